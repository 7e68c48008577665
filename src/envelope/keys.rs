//! Ed25519 keys (RFC 8032) and their identifiers.
//!
//! A key is known by its [`KeyId`], the SHA-256 of its 32 public bytes. Who owns a key is not
//! said here: the roster binds keys to members.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::{CryptoRng, RngCore};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::merkle::sha256;

/// The length of an Ed25519 signature in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// A secret Ed25519 key.
///
/// It has no `Debug` and no serialisation; the seed comes and goes in [`Zeroizing`] wrappers.
/// Clones share one copy in memory. The seed kept here is wiped when the last clone goes; the
/// expanded key that `ring` holds beside it is not, because `ring` offers no way to.
#[derive(Clone)]
pub struct SigningKey(Arc<Secret>);

struct Secret {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key that belongs to a 32-byte seed (the "private key" of RFC 8032).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        // Ring refuses a seed only for its length, which the type fixes.
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed of 32 bytes is a key");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self(Arc::new(Secret {
            seed: Zeroizing::new(*seed),
            pair,
            public: VerifyingKey(public),
        }))
    }

    /// A new key from the caller's randomness.
    #[must_use]
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The 32-byte seed, for storing the key.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.0.seed.clone()
    }

    /// The key as PKCS#8 version 1 in DER (RFC 8410, section 7), which TLS libraries read.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        // SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING seed } }
        const PREFIX: [u8; 16] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        let mut der = Zeroizing::new(Vec::with_capacity(PREFIX.len() + 32));
        der.extend_from_slice(&PREFIX);
        der.extend_from_slice(self.0.seed.as_ref());
        der
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.0.public
    }

    /// Signs `message` (plain Ed25519, deterministic).
    ///
    /// Callers sign through [`super::dsse`] or [`super::note`], whose encodings cannot be
    /// mistaken for each other; anything signed directly needs such a prefix of its own.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut bytes = [0; SIGNATURE_LEN];
        bytes.copy_from_slice(self.0.pair.sign(message).as_ref());
        bytes
    }
}

/// A public Ed25519 key.
///
/// Only canonical encodings of points that are not of small order are accepted: otherwise one
/// holder could appear under several keys, or sign with a key that fits any message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Takes the 32-byte encoding of RFC 8032, section 5.1.2.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|_| KeyError::Length { found: bytes.len() })?;
        let mut y = bytes;
        y[31] &= 0x7f;
        if !is_below_field_prime(&y) {
            return Err(KeyError::NotCanonical);
        }
        if SMALL_ORDER_Y.contains(&y) {
            return Err(KeyError::SmallOrder);
        }
        Ok(Self(bytes))
    }

    /// Reads 64 lower-case or upper-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&hex::decode(text).map_err(|_| KeyError::Hex)?)
    }

    /// Reads standard base64 with padding.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&STANDARD.decode(text).map_err(|_| KeyError::Base64)?)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits; the same as `Display`.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Standard base64 with padding.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The key's identifier.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(sha256(&[&self.0]))
    }

    /// Whether `signature` is this key's signature over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_hex(text)
    }
}

/// The identifier of a public key: the SHA-256 of its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// Takes the 32 bytes of an identifier.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes
            .try_into()
            .map_err(|_| KeyError::Length { found: bytes.len() })?;
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&hex::decode(text).map_err(|_| KeyError::Hex)?)
    }
}

/// How many different public keys there are among `keys`.
///
/// Every threshold of the project (root keys of the roster, witnesses of a checkpoint) is
/// counted by this one function: a key that signed twice, or under two names, counts once.
#[must_use]
pub fn count_distinct(keys: impl IntoIterator<Item = VerifyingKey>) -> usize {
    keys.into_iter().collect::<BTreeSet<_>>().len()
}

/// Why bytes or text are not a key or key identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes.
    #[error("a key or key id has 32 bytes, not {found}; copy it anew from its source")]
    Length {
        /// The number of bytes found.
        found: usize,
    },
    /// Not hexadecimal.
    #[error("the key or key id is not hexadecimal; copy it anew from its source")]
    Hex,
    /// Not base64.
    #[error("the key is not standard base64; copy it anew from its source")]
    Base64,
    /// The point's encoding is not the canonical one.
    #[error("the public key is not canonically encoded; ask its holder for a regular Ed25519 key")]
    NotCanonical,
    /// The point is of small order, so its signatures prove nothing.
    #[error("the public key is a point of small order; ask its holder for a regular Ed25519 key")]
    SmallOrder,
}

/// The y-coordinates (little-endian) of the points whose order divides 8. Under such a key one
/// fixed signature fits every eighth message at least, as a test below shows.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether a little-endian value with its top bit clear is below 2^255 - 19.
fn is_below_field_prime(y: &[u8; 32]) -> bool {
    y[31] != 0x7f || y[1..31].iter().any(|byte| *byte != 0xff) || y[0] < 0xed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, tests 1 and 3.
    #[test]
    fn signs_the_vectors_of_rfc_8032() {
        let cases = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac\
                 c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290\
                 ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ];
        for (seed, public, message, signature) in cases {
            let seed: [u8; 32] = hex::decode(seed).unwrap().try_into().unwrap();
            let message = hex::decode(message).unwrap();
            let key = SigningKey::from_seed(&seed);
            assert_eq!(key.verifying_key().to_hex(), public);
            assert_eq!(hex::encode(key.sign(&message)), signature);
            assert_eq!(*key.seed(), seed);
            assert!(key.verifying_key().verifies(&message, &key.sign(&message)));
            assert!(!key.verifying_key().verifies(b"other", &key.sign(&message)));
        }
    }

    #[test]
    fn a_new_key_is_the_callers_randomness() {
        use rand_chacha::rand_core::SeedableRng as _;
        let rng = || rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut expected = [0; 32];
        rng().fill_bytes(&mut expected);
        assert_eq!(*SigningKey::generate(&mut rng()).seed(), expected);
    }

    #[test]
    fn pkcs8_is_read_by_others() {
        let key = SigningKey::from_seed(&[7; 32]);
        let read = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key.to_pkcs8()).unwrap();
        assert_eq!(read.public_key().as_ref(), key.verifying_key().as_bytes());
    }

    #[test]
    fn text_forms_come_back() {
        let key = SigningKey::from_seed(&[1; 32]).verifying_key();
        assert_eq!(VerifyingKey::from_hex(&key.to_hex()), Ok(key));
        assert_eq!(VerifyingKey::from_base64(&key.to_base64()), Ok(key));
        assert_eq!(key.id().to_string().parse(), Ok(key.id()));
        assert_eq!(VerifyingKey::from_hex("zz"), Err(KeyError::Hex));
        assert_eq!(VerifyingKey::from_base64("!"), Err(KeyError::Base64));
        assert_eq!(
            VerifyingKey::from_hex("00ff"),
            Err(KeyError::Length { found: 2 })
        );
    }

    #[test]
    fn degenerate_points_are_refused() {
        for y in SMALL_ORDER_Y {
            for sign in [0x00, 0x80] {
                let mut bytes = y;
                bytes[31] |= sign;
                assert_eq!(VerifyingKey::from_bytes(&bytes), Err(KeyError::SmallOrder));
            }
        }
        // p itself (that is, zero written differently) and 2^255 - 1.
        let mut prime = [0xff; 32];
        prime[0] = 0xed;
        prime[31] = 0x7f;
        assert_eq!(
            VerifyingKey::from_bytes(&prime),
            Err(KeyError::NotCanonical)
        );
        assert_eq!(
            VerifyingKey::from_bytes(&[0xff; 32]),
            Err(KeyError::NotCanonical)
        );
    }

    #[test]
    fn the_points_refused_would_accept_a_signature_that_nobody_made() {
        // R is the neutral element and s is zero: no secret was needed to write this.
        let mut forged = [0; SIGNATURE_LEN];
        forged[0] = 1;
        for y in SMALL_ORDER_Y {
            let key = UnparsedPublicKey::new(&ED25519, y);
            let fits = (0..200u8)
                .filter(|n| key.verify(&[*n], &forged).is_ok())
                .count();
            assert!(fits > 5, "{y:02x?} fits {fits} of 200 messages");
        }
    }

    #[test]
    fn a_key_counts_once() {
        let a = SigningKey::from_seed(&[1; 32]).verifying_key();
        let b = SigningKey::from_seed(&[2; 32]).verifying_key();
        assert_eq!(count_distinct([a, b, a, a]), 2);
        assert_eq!(count_distinct([]), 0);
    }
}
