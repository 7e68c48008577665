//! AES-256-GCM with the place bound in.
//!
//! A sealed value is `version (1 byte) || nonce (12) || ciphertext || tag (16)`. The nonce is
//! random. NIST SP 800-38D, section 8.3, allows 2^32 random nonces under one key; a data key seals
//! the few values of one record or envelope, so that bound is never near.

use rand_core::{CryptoRng, RngCore};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::VaultError;

/// The length of a data key in bytes.
pub const DATA_KEY_BYTES: usize = 32;

/// How many bytes a sealed value is longer than its plaintext.
pub const SEAL_OVERHEAD: usize = 1 + NONCE_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
pub(super) const NONCE_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;

/// Where a sealed value is stored. It opens there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's primary key, in any encoding that is the same each time.
    pub row: &'a [u8],
}

impl<'a> Place<'a> {
    /// The place in `table`, `column` and `row`.
    #[must_use]
    pub fn new(table: &'a str, column: &'a str, row: &'a [u8]) -> Self {
        Self { table, column, row }
    }

    /// The associated data. Every part goes in with its length before it, since `("ab", "c")`
    /// and `("a", "bc")` are different places.
    pub(super) fn associated_data(&self, context: &[u8]) -> Vec<u8> {
        let parts = [
            context,
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row,
        ];
        let total = parts.iter().map(|part| part.len() + 8).sum();
        let mut bytes = Vec::with_capacity(total);
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// The key under which the values of one record, or one envelope, are sealed. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; DATA_KEY_BYTES]);

impl DataKey {
    /// Draws a new key.
    pub fn generate<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Self([0; DATA_KEY_BYTES]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// Takes key bytes that came from elsewhere. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; DATA_KEY_BYTES]) -> Self {
        Self(*bytes)
    }

    /// Takes key bytes that a wrapped key was opened to. The caller wipes its own copy.
    ///
    /// # Errors
    /// [`VaultError::NotADataKey`] if they are not [`DATA_KEY_BYTES`].
    pub(super) fn from_opened(opened: &[u8]) -> Result<Self, VaultError> {
        let found = opened.len();
        let bytes = opened
            .try_into()
            .map_err(|_| VaultError::NotADataKey { found })?;
        Ok(Self::from_bytes(bytes))
    }

    /// Shows the key's bytes, for a [`KeyWrapper`](super::KeyWrapper) of another make.
    #[must_use]
    pub fn expose(&self) -> &[u8; DATA_KEY_BYTES] {
        &self.0
    }

    /// A key for one use, made of this one by HKDF-Expand (RFC 5869) with the use as its info. What
    /// is done with it tells nothing of this key, or of a key for another use.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        let mut key = Self([0; DATA_KEY_BYTES]);
        hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.0)
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key.0))
            .expect("HKDF gives 32 bytes");
        key
    }

    /// Seals a plaintext for a place. The answer is [`SEAL_OVERHEAD`] bytes longer.
    #[must_use]
    pub fn seal<R: RngCore + CryptoRng + ?Sized>(
        &self,
        place: Place<'_>,
        plaintext: &[u8],
        rng: &mut R,
    ) -> Vec<u8> {
        let nonce = draw_nonce(rng);
        let mut sealed = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD);
        sealed.push(VERSION);
        encrypt(
            &self.0,
            &nonce,
            &place.associated_data(CONTEXT),
            plaintext,
            &mut sealed,
        );
        sealed
    }

    /// Opens a sealed value in its place.
    ///
    /// # Errors
    /// [`VaultError::Truncated`], [`VaultError::UnknownVersion`], or [`VaultError::DoesNotOpen`]
    /// when the value was changed or belongs to another place or key.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let Some((&version, rest)) = sealed
            .split_first()
            .filter(|_| sealed.len() >= SEAL_OVERHEAD)
        else {
            return Err(VaultError::Truncated {
                found: sealed.len(),
                least: SEAL_OVERHEAD,
            });
        };
        if version != VERSION {
            return Err(VaultError::UnknownVersion {
                found: version,
                known: VERSION,
            });
        }
        decrypt(&self.0, &place.associated_data(CONTEXT), rest)
    }
}

/// Tells sealed values from wrapped keys, and this format from later ones.
const CONTEXT: &[u8] = b"wayhome/seal/v1";

pub(super) fn draw_nonce<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    nonce
}

/// Appends `nonce || ciphertext || tag` to `out`.
pub(super) fn encrypt(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(nonce);
    let start = out.len();
    // Room for the tag at once: a reallocation after this line would leave plaintext behind in
    // freed memory.
    out.reserve_exact(plaintext.len() + TAG_BYTES);
    out.extend_from_slice(plaintext);
    let tag = cipher(key)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(associated_data),
            &mut out[start..],
        )
        .expect("AES-GCM seals any plaintext below 64 GiB");
    out.extend_from_slice(tag.as_ref());
}

/// Opens `nonce || ciphertext || tag`.
pub(super) fn decrypt(
    key: &[u8; 32],
    associated_data: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (nonce, body) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(VaultError::DoesNotOpen)?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let length = cipher(key)
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(associated_data),
            &mut buffer,
        )
        .map_err(|_| VaultError::DoesNotOpen)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const HERE: Place<'static> = Place {
        table: "record",
        column: "body",
        row: b"17",
    };

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    const DERIVED: &str = "e788c9876436e391948d5d567f3513d7e23a2b0badeaa0a7c554f5197b3430ee";

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B,
    /// submitted to NIST: AES-256, 96-bit nonce, 20 bytes of associated data.
    #[test]
    fn agrees_with_the_published_vector() {
        let key: [u8; 32] = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
            .try_into()
            .unwrap();
        let nonce: [u8; 12] = hex("cafebabefacedbaddecaf888").try_into().unwrap();
        let plaintext = hex(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ));
        let associated = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let expected = hex(concat!(
            "cafebabefacedbaddecaf888",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b"
        ));

        let mut sealed = Vec::new();
        encrypt(&key, &nonce, &associated, &plaintext, &mut sealed);
        assert_eq!(sealed, expected);
        assert_eq!(*decrypt(&key, &associated, &sealed).unwrap(), plaintext);
    }

    /// The whole path, associated data spelt out by hand, against another implementation.
    #[test]
    fn another_implementation_opens_what_we_seal() {
        let key = DataKey::generate(&mut rng());
        let sealed = key.seal(HERE, "дитина".as_bytes(), &mut rng());

        let mut associated = Vec::new();
        for part in ["wayhome/seal/v1", "record", "body", "17"] {
            associated.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, part.len() as u8]);
            associated.extend_from_slice(part.as_bytes());
        }
        let opened = aes_gcm::Aes256Gcm::new(key.expose().into())
            .decrypt(
                sealed[1..13].into(),
                Payload {
                    msg: &sealed[13..],
                    aad: &associated,
                },
            )
            .unwrap();
        assert_eq!(opened, "дитина".as_bytes());
        assert_eq!(sealed[0], 1);
        assert_eq!(sealed.len(), "дитина".len() + SEAL_OVERHEAD);
    }

    /// Test case 1 of RFC 5869 has another length; this value was computed with Python's `hmac`:
    /// HMAC-SHA256(key, "use" || 0x01) for a key of 32 octets 0x07.
    #[test]
    fn a_derived_key_is_the_published_function() {
        let derived = DataKey::from_bytes(&[7; 32]).derive("use");
        assert_eq!(derived.expose().to_vec(), hex(DERIVED));
        assert_ne!(
            DataKey::from_bytes(&[7; 32]).derive("other").expose(),
            derived.expose()
        );
    }

    #[test]
    fn opens_in_its_own_place_only() {
        let key = DataKey::generate(&mut rng());
        let sealed = key.seal(HERE, b"x", &mut rng());
        assert_eq!(*key.open(HERE, &sealed).unwrap(), b"x");
        for elsewhere in [
            Place::new("record", "body", b"18"),
            Place::new("record", "note", b"17"),
            Place::new("envelope", "body", b"17"),
            Place::new("recordb", "ody", b"17"),
            Place::new("record", "body1", b"7"),
            Place::new("record", "", b"body17"),
        ] {
            assert!(matches!(
                key.open(elsewhere, &sealed),
                Err(VaultError::DoesNotOpen)
            ));
        }
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let key = DataKey::generate(&mut rng());
        let sealed = key.seal(HERE, b"a child", &mut rng());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(HERE, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                key.open(HERE, &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_foreign_value() {
        let key = DataKey::generate(&mut rng());
        let message = |sealed: &[u8]| key.open(HERE, sealed).err().unwrap().to_string();
        assert!(message(&[]).starts_with("sealed value of 0 bytes is shorter than the 29 bytes"));
        assert!(message(&[9; 40]).starts_with("sealed value has format version 9"));
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        let key = DataKey::generate(&mut rng());
        let mut rng = rng();
        assert_ne!(
            key.seal(HERE, b"x", &mut rng),
            key.seal(HERE, b"x", &mut rng)
        );
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(plaintext: Vec<u8>, row: Vec<u8>, table: String, column: String) {
            let key = DataKey::generate(&mut rng());
            let place = Place::new(&table, &column, &row);
            let sealed = key.seal(place, &plaintext, &mut rng());
            prop_assert_eq!(&*key.open(place, &sealed).unwrap(), &plaintext);
        }

        #[test]
        fn different_places_have_different_associated_data(
            a: (String, String, Vec<u8>),
            b: (String, String, Vec<u8>),
        ) {
            prop_assume!(a != b);
            prop_assert_ne!(
                Place::new(&a.0, &a.1, &a.2).associated_data(CONTEXT),
                Place::new(&b.0, &b.1, &b.2).associated_data(CONTEXT)
            );
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = DataKey::from_bytes(&[7; 32]).open(HERE, &bytes);
        }
    }
}
