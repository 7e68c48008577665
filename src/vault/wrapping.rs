//! Wrapping keys: what stands between the master key and the data keys.
//!
//! Data keys are in the database, and so in every backup of it. They are wrapped by a wrapping key
//! that is not: wrapping keys lie in a file of their own, wrapped by the master key, are renewed
//! every month, and are destroyed once nothing is wrapped by them any more and every backup in
//! which something was has had its time. A record that was erased is then beyond anybody's reach,
//! whatever old backup and whatever key of the node comes to light.

use std::fmt::Write as _;
use std::sync::Arc;

use rand_core::{CryptoRng, CryptoRngCore, RngCore};
use zeroize::Zeroizing;

use super::error::VaultError;
use super::keyring::{KeyId, KeyRing, KeyWrapper};
use super::seal::{DataKey, Place};

const LINE_TAG: &str = "wayhome-wrapping-key-v1";

/// A node's wrapping keys. The first wraps; any unwraps.
pub struct WrappingRing {
    ring: KeyRing,
    /// As many as there are keys, in their order.
    terms: Vec<Terms>,
}

#[derive(Clone, Copy)]
struct Terms {
    made_ms: u64,
    retired_ms: Option<u64>,
}

/// What may be told of a wrapping key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrappingKey {
    /// Its id.
    pub id: KeyId,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Since when nothing in the database is wrapped by it, in milliseconds since 1970.
    pub retired_ms: Option<u64>,
}

impl WrappingRing {
    /// A ring of one new key.
    pub fn generate<R: RngCore + CryptoRng + ?Sized>(rng: &mut R, now_ms: u64) -> Self {
        Self {
            ring: KeyRing::generate(rng),
            terms: vec![Terms {
                made_ms: now_ms,
                retired_ms: None,
            }],
        }
    }

    /// Reads a ring from the text of its file.
    ///
    /// # Errors
    /// Names the line that cannot be read or whose key `master` does not unwrap.
    pub fn from_text(text: &str, master: &dyn KeyWrapper) -> Result<Self, VaultError> {
        let mut keys = Vec::new();
        let mut terms = Vec::new();
        for (number, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let bad = |problem| VaultError::BadWrappingLine {
                line: number,
                problem,
            };
            let (stated, when, wrapped) = read_line(content).map_err(bad)?;
            let key = master.unwrap(&wrapped, place(&stated))?;
            keys.push(Zeroizing::new(*key.expose()));
            terms.push(when);
            let ring = KeyRing::of(&keys);
            if ring.ids().last() != Some(stated) {
                return Err(bad("its key has another id"));
            }
        }
        if keys.is_empty() {
            return Err(VaultError::EmptyRing);
        }
        Ok(Self {
            ring: KeyRing::of(&keys),
            terms,
        })
    }

    /// The text of its file: every key wrapped by `master`.
    ///
    /// # Errors
    /// If the master key's keeper does not answer.
    pub fn to_text(
        &self,
        master: &dyn KeyWrapper,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<String, VaultError> {
        let mut text = String::from(
            "# Wrapping keys, each wrapped by the master key. The first wraps, any unwraps.\n\
             # Keep this file out of every backup: `wayhome backup create` keeps the keys apart.\n",
        );
        for ((id, key), terms) in self.ring.exposed().zip(&self.terms) {
            let key = DataKey::from_bytes(key);
            let wrapped = hex::encode(master.wrap(&key, place(&id), rng)?);
            let retired = terms
                .retired_ms
                .map_or_else(|| "-".to_owned(), |ms| ms.to_string());
            // A string grows as needed.
            let _ = writeln!(
                text,
                "{LINE_TAG} {id} {} {retired} {wrapped}",
                terms.made_ms
            );
        }
        Ok(text)
    }

    /// Whether the current master key wraps every key of a file's text.
    ///
    /// # Errors
    /// Names the line that cannot be read.
    pub fn is_current_text(text: &str, master: &dyn KeyWrapper) -> Result<bool, VaultError> {
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (_, _, wrapped) = read_line(content)
                .map_err(|problem| VaultError::BadWrappingLine { line, problem })?;
            if !master.is_current(&wrapped)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds a new key, which wraps from now on. Save the ring before anything is wrapped by it.
    pub fn renew<R: RngCore + CryptoRng + ?Sized>(&mut self, rng: &mut R, now_ms: u64) -> KeyId {
        self.terms.insert(
            0,
            Terms {
                made_ms: now_ms,
                retired_ms: None,
            },
        );
        self.ring.rotate(rng)
    }

    /// Notes that nothing in the database is wrapped by any key but the current one. Tells whether
    /// that was news.
    pub fn retire_others(&mut self, now_ms: u64) -> bool {
        let mut news = false;
        for terms in self.terms.iter_mut().skip(1) {
            news |= terms.retired_ms.is_none();
            terms.retired_ms.get_or_insert(now_ms);
        }
        news
    }

    /// Takes out every key that was retired at `until_ms` or before, for good. Tells which.
    pub fn destroy_retired(&mut self, until_ms: u64) -> Vec<KeyId> {
        let gone: Vec<KeyId> = self
            .keys()
            .filter(|key| key.retired_ms.is_some_and(|retired| retired <= until_ms))
            .map(|key| key.id)
            .collect();
        for id in &gone {
            if let Some(at) = self.ring.ids().position(|known| known == *id) {
                self.terms.remove(at);
            }
            // A retired key is never the current one.
            let _ = self.ring.retire(*id);
        }
        gone
    }

    /// What may be told of the keys, the one that wraps first.
    pub fn keys(&self) -> impl Iterator<Item = WrappingKey> + '_ {
        self.ring
            .ids()
            .zip(&self.terms)
            .map(|(id, terms)| WrappingKey {
                id,
                made_ms: terms.made_ms,
                retired_ms: terms.retired_ms,
            })
    }

    /// The key that wraps.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.ring.current()
    }

    /// Takes in the keys of another ring that this one lacks, as retired ones: a restored database
    /// may need them.
    pub fn take_in(&mut self, other: &Self) {
        for ((id, key), terms) in other.ring.exposed().zip(&other.terms) {
            if !self.ring.ids().any(|known| known == id) {
                self.ring.push(key);
                self.terms.push(Terms {
                    retired_ms: None,
                    ..*terms
                });
            }
        }
    }
}

impl KeyWrapper for WrappingRing {
    fn wrap(
        &self,
        data_key: &DataKey,
        place: Place<'_>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, VaultError> {
        self.ring.wrap(data_key, place, rng)
    }

    fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, VaultError> {
        self.ring
            .unwrap(wrapped, place)
            .map_err(|error| match error {
                VaultError::UnknownKey { id } => VaultError::UnknownWrappingKey { id },
                other => other,
            })
    }

    fn is_current(&self, wrapped: &[u8]) -> Result<bool, VaultError> {
        self.ring.is_current(wrapped)
    }
}

/// What a store unwraps data keys with.
pub struct VaultKeys {
    /// The master key, or what keeps it.
    pub master: Arc<dyn KeyWrapper>,
    /// The wrapping keys. Without them the master key wraps data keys itself.
    pub wrapping: Option<WrappingRing>,
}

impl From<KeyRing> for VaultKeys {
    /// A master key that wraps data keys itself, as in a measurement.
    fn from(ring: KeyRing) -> Self {
        Self {
            master: Arc::new(ring),
            wrapping: None,
        }
    }
}

type Line = (KeyId, Terms, Vec<u8>);

fn read_line(content: &str) -> Result<Line, &'static str> {
    let words: Vec<&str> = content.split_ascii_whitespace().collect();
    let [tag, id, made, retired, wrapped] = words.as_slice() else {
        return Err("it does not have five words");
    };
    if *tag != LINE_TAG {
        return Err("its first word is not one that this program knows (a later version's?)");
    }
    let id = KeyId::parse(id).ok_or("its id is not 16 hexadecimal digits")?;
    let time = |text: &str| text.parse::<u64>().map_err(|_| "a time in it is no number");
    let terms = Terms {
        made_ms: time(made)?,
        retired_ms: match *retired {
            "-" => None,
            retired => Some(time(retired)?),
        },
    };
    let wrapped = hex::decode(wrapped).map_err(|_| "its key is not hexadecimal")?;
    Ok((id, terms, wrapped))
}

fn place(id: &KeyId) -> Place<'_> {
    Place {
        table: "wrapping_keys",
        column: "key",
        row: id.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const HERE: Place<'static> = Place {
        table: "record",
        column: "data_key",
        row: b"17",
    };

    #[test]
    fn the_text_gives_the_ring_again_under_any_master_key() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut master = KeyRing::generate(&mut rng);
        let mut ring = WrappingRing::generate(&mut rng, 5);
        ring.renew(&mut rng, 9);
        ring.retire_others(11);
        let data_key = DataKey::generate(&mut rng);
        let wrapped = ring.wrap(&data_key, HERE, &mut rng).unwrap();
        let text = ring.to_text(&master, &mut rng).unwrap();
        master.rotate(&mut rng);
        assert!(!WrappingRing::is_current_text(&text, &master).unwrap());
        let again = WrappingRing::from_text(&text, &master).unwrap();
        assert!(again.keys().eq(ring.keys()));
        assert_eq!(
            again.unwrap(&wrapped, HERE).unwrap().expose(),
            data_key.expose()
        );
        let text = again.to_text(&master, &mut rng).unwrap();
        assert!(WrappingRing::is_current_text(&text, &master).unwrap());
        let stranger = KeyRing::generate(&mut rng);
        assert!(WrappingRing::from_text(&text, &stranger).is_err());
    }

    #[test]
    fn a_key_is_destroyed_only_after_its_time_and_never_the_current_one() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut ring = WrappingRing::generate(&mut rng, 0);
        let data_key = DataKey::generate(&mut rng);
        let old = ring.wrap(&data_key, HERE, &mut rng).unwrap();
        let first = ring.current();
        let second = ring.renew(&mut rng, 10);
        assert!(ring.destroy_retired(u64::MAX).is_empty());
        assert!(ring.retire_others(20));
        assert!(!ring.retire_others(30));
        assert!(ring.destroy_retired(19).is_empty());
        assert!(ring.unwrap(&old, HERE).is_ok());
        assert_eq!(ring.destroy_retired(20), [first]);
        assert_eq!(ring.keys().map(|key| key.id).collect::<Vec<_>>(), [second]);
        assert!(matches!(
            ring.unwrap(&old, HERE),
            Err(VaultError::UnknownWrappingKey { id }) if id == first
        ));
    }

    #[test]
    fn an_older_ring_lends_its_keys() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let old = WrappingRing::generate(&mut rng, 0);
        let data_key = DataKey::generate(&mut rng);
        let wrapped = old.wrap(&data_key, HERE, &mut rng).unwrap();
        let mut ring = WrappingRing::generate(&mut rng, 1);
        let current = ring.current();
        ring.take_in(&old);
        ring.take_in(&old);
        assert_eq!(ring.keys().count(), 2);
        assert_eq!(ring.current(), current);
        assert!(ring.unwrap(&wrapped, HERE).is_ok());
    }

    #[test]
    fn each_fault_of_the_file_names_its_line() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let master = KeyRing::generate(&mut rng);
        let text = WrappingRing::generate(&mut rng, 0)
            .to_text(&master, &mut rng)
            .unwrap();
        let line = text.lines().last().unwrap();
        for (text, said) in [
            ("# nothing\n".to_owned(), "holds no key"),
            ("a b\n".to_owned(), "line 1: it does not have five words"),
            (
                line.replace(" 0 ", " x "),
                "line 1: a time in it is no number",
            ),
            (line.replace(LINE_TAG, "other"), "line 1: its first word"),
            (format!("\n{line}zz"), "line 2: its key is not hexadecimal"),
        ] {
            let error = WrappingRing::from_text(&text, &master).err().unwrap();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
