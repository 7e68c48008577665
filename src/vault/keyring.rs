//! Master keys: the first seals, any opens.

use std::fmt;
use std::fmt::Write as _;

use base64ct::{Base64UrlUnpadded, Encoding};
use rand_core::{CryptoRng, CryptoRngCore, RngCore};
use ring::hmac;
use zeroize::{Zeroize, Zeroizing};

use super::error::VaultError;
use super::seal::{
    DATA_KEY_BYTES, DataKey, NONCE_BYTES, Place, TAG_BYTES, decrypt, draw_nonce, encrypt,
};

/// Wraps data keys: the seam between the node and whatever guards its master key.
///
/// The contract, which a file, a KMS and an HSM keep alike:
///
/// * `unwrap(wrap(k, p), p)` gives `k` again, after any number of restarts and rotations, for as
///   long as the master key that wrapped it has not been retired.
/// * A wrapped key opens in its own [`Place`] only, and any change to it is refused. An
///   implementation whose service takes no associated data must bind the place itself.
/// * The wrapped form names the master key that made it, so [`is_current`](Self::is_current) needs
///   no secret and a rotation can find what is left to re-wrap.
/// * Calls may come from many threads at once. A call may block on a device or a network, so an
///   async caller moves it off its executor. It does not retry: the caller knows how long it can
///   wait. A failure to reach a service is [`VaultError::KeyService`], never
///   [`VaultError::DoesNotOpen`], which accuses the database.
/// * Neither an error nor a log line holds key material.
pub trait KeyWrapper: Send + Sync {
    /// Wraps a data key under the current master key, for a place.
    ///
    /// # Errors
    /// [`VaultError::KeyService`] where a service did not answer.
    fn wrap(
        &self,
        data_key: &DataKey,
        place: Place<'_>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, VaultError>;

    /// Unwraps a data key in its place.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] with the id of a master key that is not at hand,
    /// [`VaultError::DoesNotOpen`] for a changed or moved value, or that the value is malformed.
    fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, VaultError>;

    /// Whether the current master key wrapped this, so that a rotation need not touch it.
    ///
    /// # Errors
    /// That the value is malformed.
    fn is_current(&self, wrapped: &[u8]) -> Result<bool, VaultError>;
}

/// The length in bytes of a data key wrapped by a [`KeyRing`].
pub const WRAPPED_KEY_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
pub(super) const KEY_ID_BYTES: usize = 8;
const LINE_TAG: &str = "wayhome-master-key-v1";
const CONTEXT: &[u8] = b"wayhome/wrap/v1";

/// The public name of a master key, derived from it. It prints as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) [u8; KEY_ID_BYTES]);

impl KeyId {
    /// The id's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_ID_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let number = u64::from_str_radix(text, 16).ok()?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl<T: KeyWrapper + ?Sized> KeyWrapper for std::sync::Arc<T> {
    fn wrap(
        &self,
        data_key: &DataKey,
        place: Place<'_>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, VaultError> {
        (**self).wrap(data_key, place, rng)
    }

    fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, VaultError> {
        (**self).unwrap(wrapped, place)
    }

    fn is_current(&self, wrapped: &[u8]) -> Result<bool, VaultError> {
        (**self).is_current(wrapped)
    }
}

/// A node's master keys. The first wraps; any unwraps.
///
/// A wrapped key is `version (1 byte) || key id (8) || nonce (12) || ciphertext (32) || tag (16)`.
/// One master key may wrap 2^32 data keys (NIST SP 800-38D, section 8.3); rotate long before that.
pub struct KeyRing {
    /// Never empty.
    keys: Vec<MasterKey>,
}

impl KeyRing {
    /// A ring of one new key.
    pub fn generate<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self {
            keys: vec![MasterKey::generate(rng)],
        }
    }

    /// A ring of these keys, of which there is at least one.
    pub(super) fn of(keys: &[Zeroizing<[u8; 32]>]) -> Self {
        Self {
            keys: keys.iter().cloned().map(MasterKey::new).collect(),
        }
    }

    /// Adds a key that unwraps.
    pub(super) fn push(&mut self, key: &[u8; 32]) {
        self.keys.push(MasterKey::new(Zeroizing::new(*key)));
    }

    /// The keys with their ids, the one that wraps first.
    pub(super) fn exposed(&self) -> impl Iterator<Item = (KeyId, &[u8; 32])> {
        self.keys.iter().map(|key| (key.id, &*key.bytes))
    }

    /// Reads a ring from the text of a key file: a line a key, `wayhome-master-key-v1 ID KEY`;
    /// empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// Names the line that cannot be read, states another id than its key has, or repeats a key;
    /// or says that there is no key.
    pub fn from_text(text: &str) -> Result<Self, VaultError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for (index, content) in text.lines().enumerate() {
            let line = index + 1;
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let key = read_line(content, line)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(VaultError::DuplicateKey { id: key.id, line });
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(VaultError::EmptyRing);
        }
        Ok(Self { keys })
    }

    /// The text of a key file, with the keys in the clear.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        // Sized at once, so that no reallocation leaves a key behind.
        let mut text = Zeroizing::new(String::with_capacity(256 + 128 * self.keys.len()));
        text.push_str(
            "# Master keys. The first seals, any opens. Keep a copy where no backup of\n",
        );
        text.push_str("# the database lies: either alone is worth nothing to a thief.\n");
        for key in &self.keys {
            let mut encoded = Zeroizing::new([0_u8; 64]);
            let encoded = Base64UrlUnpadded::encode(&*key.bytes, &mut *encoded)
                .expect("32 bytes take 43 characters");
            writeln!(text, "{LINE_TAG} {} {encoded}", key.id)
                .expect("writing to a string succeeds");
        }
        text
    }

    /// The id of the key that wraps.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.keys[0].id
    }

    /// The ids of all keys, the one that wraps first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.iter().map(|key| key.id)
    }

    /// Adds a new key, which wraps from now on; the others go on unwrapping. Save the ring before
    /// anything is wrapped under the new key.
    pub fn rotate<R: RngCore + CryptoRng + ?Sized>(&mut self, rng: &mut R) -> KeyId {
        self.keys.insert(0, MasterKey::generate(rng));
        self.current()
    }

    /// Takes in the keys of another ring that this one lacks, to unwrap with. Tells whether there
    /// were any.
    pub fn take_in(&mut self, other: &Self) -> bool {
        let before = self.keys.len();
        for key in &other.keys {
            if !self.keys.iter().any(|known| known.id == key.id) {
                self.push(&key.bytes);
            }
        }
        self.keys.len() > before
    }

    /// Takes a key out of the ring, once nothing is wrapped under it any more.
    ///
    /// # Errors
    /// [`VaultError::RetiresCurrent`] for the key that wraps, [`VaultError::UnknownKey`] for one
    /// that is not there.
    pub fn retire(&mut self, id: KeyId) -> Result<(), VaultError> {
        if id == self.current() {
            return Err(VaultError::RetiresCurrent { id });
        }
        let before = self.keys.len();
        self.keys.retain(|key| key.id != id);
        if self.keys.len() == before {
            return Err(VaultError::UnknownKey { id });
        }
        Ok(())
    }
}

impl KeyWrapper for KeyRing {
    fn wrap(
        &self,
        data_key: &DataKey,
        place: Place<'_>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, VaultError> {
        let key = &self.keys[0];
        let nonce = draw_nonce(rng);
        let mut wrapped = Vec::with_capacity(WRAPPED_KEY_BYTES);
        wrapped.push(VERSION);
        wrapped.extend_from_slice(&key.id.0);
        encrypt(
            &key.bytes,
            &nonce,
            &place.associated_data(CONTEXT),
            data_key.expose(),
            &mut wrapped,
        );
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, VaultError> {
        let (id, sealed) = split_wrapped(wrapped)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or(VaultError::UnknownKey { id })?;
        let opened = decrypt(&key.bytes, &place.associated_data(CONTEXT), sealed)?;
        DataKey::from_opened(&opened)
    }

    fn is_current(&self, wrapped: &[u8]) -> Result<bool, VaultError> {
        Ok(split_wrapped(wrapped)?.0 == self.current())
    }
}

/// One master key and its id.
struct MasterKey {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    fn generate<R: RngCore + CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self::new(bytes)
    }

    /// The id is a PRF of the key under a label used for nothing else, so it tells nothing of it.
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mac = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &*bytes),
            b"wayhome/vault/master-key-id/v1",
        );
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&mac.as_ref()[..KEY_ID_BYTES]);
        Self {
            id: KeyId(id),
            bytes,
        }
    }
}

fn read_line(content: &str, line: usize) -> Result<MasterKey, VaultError> {
    let bad = |problem| VaultError::BadLine { line, problem };
    let mut words = content.split_ascii_whitespace();
    let (Some(tag), Some(id), Some(key), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("it does not have three words"));
    };
    if tag != LINE_TAG {
        return Err(bad(
            "its first word is not one that this program knows (a later version's?)",
        ));
    }
    let stated = KeyId::parse(id).ok_or_else(|| bad("its id is not 16 hexadecimal digits"))?;
    let mut bytes = Zeroizing::new([0; 32]);
    let decoded = Base64UrlUnpadded::decode(key, &mut *bytes).map(<[u8]>::len);
    if decoded != Ok(32) {
        bytes.zeroize();
        return Err(bad("its key is not 43 characters of base64url"));
    }
    let key = MasterKey::new(bytes);
    if key.id != stated {
        return Err(VaultError::IdMismatch {
            line,
            stated,
            actual: key.id,
        });
    }
    Ok(key)
}

fn split_wrapped(wrapped: &[u8]) -> Result<(KeyId, &[u8]), VaultError> {
    let truncated = || VaultError::Truncated {
        found: wrapped.len(),
        least: WRAPPED_KEY_BYTES,
    };
    if wrapped.len() < WRAPPED_KEY_BYTES {
        return Err(truncated());
    }
    let (&version, rest) = wrapped.split_first().ok_or_else(truncated)?;
    if version != VERSION {
        return Err(VaultError::UnknownVersion {
            found: version,
            known: VERSION,
        });
    }
    let (id, sealed) = rest
        .split_first_chunk::<KEY_ID_BYTES>()
        .ok_or_else(truncated)?;
    Ok((KeyId(*id), sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const HERE: Place<'static> = Place {
        table: "record",
        column: "data_key",
        row: b"17",
    };

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(2)
    }

    fn refusal<T>(result: Result<T, VaultError>) -> String {
        result.err().expect("must be refused").to_string()
    }

    #[test]
    fn an_old_key_still_opens_after_rotation_and_the_new_one_wraps() {
        let mut rng = rng();
        let mut ring = KeyRing::generate(&mut rng);
        let data_key = DataKey::generate(&mut rng);
        let old = ring.wrap(&data_key, HERE, &mut rng).unwrap();
        let first = ring.current();

        let second = ring.rotate(&mut rng);
        assert_ne!(first, second);
        assert_eq!(ring.unwrap(&old, HERE).unwrap().expose(), data_key.expose());
        assert!(!ring.is_current(&old).unwrap());

        let new = ring.wrap(&data_key, HERE, &mut rng).unwrap();
        assert!(ring.is_current(&new).unwrap());
        assert_eq!(new.len(), WRAPPED_KEY_BYTES);

        ring.retire(first).unwrap();
        assert_eq!(
            refusal(ring.unwrap(&old, HERE)),
            format!(
                "data key was wrapped by master key {first}, which the key ring does not hold: add \
                 that key's line back to the key file"
            )
        );
        assert!(refusal(ring.retire(second)).contains("rotate first"));
        assert!(refusal(ring.retire(first)).contains("does not hold"));
    }

    #[test]
    fn a_wrapped_key_opens_in_its_own_place_only_and_unchanged() {
        let mut rng = rng();
        let ring = KeyRing::generate(&mut rng);
        let data_key = DataKey::generate(&mut rng);
        let wrapped = ring.wrap(&data_key, HERE, &mut rng).unwrap();
        let elsewhere = Place::new("record", "data_key", b"18");
        assert!(matches!(
            ring.unwrap(&wrapped, elsewhere),
            Err(VaultError::DoesNotOpen)
        ));
        for bit in 0..wrapped.len() * 8 {
            let mut changed = wrapped.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(ring.unwrap(&changed, HERE).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_wrapped_key_is_no_sealed_value_and_the_other_way_round() {
        let mut rng = rng();
        let bytes = [9; 32];
        let ring = KeyRing {
            keys: vec![MasterKey::new(Zeroizing::new(bytes))],
        };
        let same_key = DataKey::from_bytes(&bytes);
        let sealed = same_key.seal(HERE, &[1; 32], &mut rng);
        let mut forged = vec![VERSION];
        forged.extend_from_slice(&ring.current().0);
        forged.extend_from_slice(&sealed[1..]);
        assert!(matches!(
            ring.unwrap(&forged, HERE),
            Err(VaultError::DoesNotOpen)
        ));
    }

    #[test]
    fn the_text_gives_the_ring_again() {
        let mut rng = rng();
        let mut ring = KeyRing::generate(&mut rng);
        ring.rotate(&mut rng);
        let data_key = DataKey::generate(&mut rng);
        let wrapped = ring.wrap(&data_key, HERE, &mut rng).unwrap();

        let again = KeyRing::from_text(&ring.to_text()).unwrap();
        assert!(again.ids().eq(ring.ids()));
        assert_eq!(
            again.unwrap(&wrapped, HERE).unwrap().expose(),
            data_key.expose()
        );
        assert_eq!(*again.to_text(), *ring.to_text());
    }

    /// The id and the key's text for an all-zero key, computed with Python's `hmac` and `base64`.
    const ZERO_LINE: &str =
        "wayhome-master-key-v1 6a87a6ab6e55bd5e AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn the_id_is_the_published_function_of_the_key() {
        assert_eq!(KeyRing::from_text(ZERO_LINE).unwrap().ids().count(), 1);
    }

    #[test]
    fn each_fault_of_a_key_file_has_its_own_message() {
        let twice = format!("{ZERO_LINE}\n# again\n{ZERO_LINE}\n");
        let wrong_id = ZERO_LINE.replace(" 6a87a6ab6e55bd5e ", " 0123456789abcdef ");
        for (text, message) in [
            ("", "key file holds no key"),
            ("# nothing\n\n", "key file holds no key"),
            ("\nhello", "key file, line 2: it does not have three words"),
            ("a b c", "key file, line 1: its first word"),
            (
                "wayhome-master-key-v1 xyz AAAA",
                "key file, line 1: its id is not",
            ),
            (
                "wayhome-master-key-v1 +123456789abcdef AAAA",
                "key file, line 1: its id is not",
            ),
            (
                "wayhome-master-key-v1 0123456789abcdef AAAA",
                "key file, line 1: its key is not",
            ),
            (
                &wrong_id,
                "key file, line 1: the key does not have the id 0123456789abcdef",
            ),
            (
                &twice,
                "master key 6a87a6ab6e55bd5e stands in the key file twice (line 3)",
            ),
        ] {
            let said = refusal(KeyRing::from_text(text));
            assert!(said.starts_with(message), "{said}");
            assert!(!said.contains("AAAA"), "key material in: {said}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_and_texts_never_panic(bytes: Vec<u8>, text: String) {
            let ring = KeyRing::generate(&mut rng());
            prop_assert!(ring.unwrap(&bytes, HERE).is_err());
            let _ = ring.is_current(&bytes);
            let _ = KeyRing::from_text(&text);
        }
    }
}
