//! Shares of the coalition key in a party's directory.
//!
//! ```text
//! keys/share-N-XXXXXXXXXXXXXXXX.new        made by a ceremony, and not yet named by a roster
//! keys/share-N-XXXXXXXXXXXXXXXX.sealed     taken into use: the roster named it
//! keys/share-N-XXXXXXXXXXXXXXXX.destroyed  the log says it is gone; being overwritten
//! ```
//!
//! N is the epoch, the digits are the beginning of the share's public counterpart. No share is ever
//! written over another: which of several counts is the roster's to say. One that was in use and is
//! named no more is destroyed, and so is one that can never be named: its epoch is past, or the
//! shares that it was made from have moved on. Nothing is destroyed for a roster that may be older
//! than the share, as it is in a restored database, nor for one that states another key for its
//! epoch.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

use super::directory::Directory;
use super::identity::{Identity, IdentityError};
use crate::ambient::Ambient;
use crate::exchange::Keyholding;
use crate::oprf::KeyShare;
use crate::roster::{Bytes32, CoalitionKey, MemberId, TrustedRoster};
use crate::vault::{self, DataKey, KeyWrapper, Place, VaultError};

/// Octets of a share's record: the share, the public key, the base, the roster's root version and version.
const RECORD: usize = KeyShare::LENGTH + 32 + 32 + 4 + 4;

/// Where a share comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The coalition's public key that it is a share of.
    pub public_key: Bytes32,
    /// Digest of the key as it was stated before ([`base_of`]), if the ceremony renewed its shares;
    /// nothing if it made a new key.
    pub base: Option<Bytes32>,
    /// Place of the roster that the ceremony rested on: root version, then version, which begins anew
    /// under other root keys.
    pub roster_place: (u32, u32),
}

/// A share in the directory.
pub struct KeptShare {
    /// The share.
    pub holding: Keyholding,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether a roster has named it.
    pub in_use: bool,
    path: PathBuf,
}

/// What is to be done with a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The roster names it.
    Use,
    /// A coming roster may name it.
    Keep,
    /// No roster will name it again.
    Destroy,
}

/// Digest of a coalition key as a roster states it: what a refresh or a repair builds on.
#[must_use]
pub fn base_of(key: &CoalitionKey) -> Bytes32 {
    let mut hash = Context::new(&SHA256);
    hash.update(b"wayhome/share-base/v1");
    hash.update(&key.epoch.to_be_bytes());
    hash.update(&key.threshold.to_be_bytes());
    hash.update(key.public_key.as_bytes());
    for keyholder in &key.keyholders {
        hash.update(&keyholder.identifier.to_be_bytes());
        hash.update(keyholder.verifying_share.as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    Bytes32::new(digest)
}

impl Identity {
    /// Seals a share of the coalition key into the directory, beside those that are there.
    ///
    /// # Errors
    /// If the file system or the vault refuses.
    pub fn save_share(
        &self,
        directory: &Directory,
        holding: &Keyholding,
        origin: &Origin,
        ambient: &Ambient,
    ) -> Result<(), IdentityError> {
        let public = holding.share.verifying_share();
        let name = Name::of(holding.epoch, public.as_bytes());
        let mut record = Zeroizing::new(Vec::with_capacity(RECORD));
        record.extend_from_slice(&*holding.share.to_bytes());
        record.extend_from_slice(origin.public_key.as_bytes());
        record.extend_from_slice(
            origin
                .base
                .map_or([0; 32], |base| *base.as_bytes())
                .as_ref(),
        );
        let (root, version) = origin.roster_place;
        record.extend_from_slice(&root.to_be_bytes());
        record.extend_from_slice(&version.to_be_bytes());
        let row = name.row();
        let key = DataKey::generate(&mut ambient.rng());
        let wrapped = self
            .master
            .wrap(&key, place("data_key", &row), &mut ambient.rng())?;
        let sealed = key.seal(place("sealed", &row), &record, &mut ambient.rng());
        let text = format!("{}\n{}\n", hex::encode(wrapped), hex::encode(sealed));
        // One that is in use already is the same, restored: its file may have been damaged.
        let in_use = directory.key(&name.file("sealed"));
        let path = if in_use.exists() {
            in_use
        } else {
            directory.key(&name.file("new"))
        };
        vault::save_secret(&path, text.as_bytes())?;
        Ok(())
    }

    /// The shares of the coalition key in the directory, by epoch.
    ///
    /// # Errors
    /// If one does not open.
    pub fn shares(&self, directory: &Directory) -> Result<Vec<KeptShare>, IdentityError> {
        let mut names: Vec<(Name, bool)> = files(directory)
            .into_iter()
            .filter_map(|file| match file.rsplit_once('.')? {
                (stem, "sealed") => Some((Name::parse(stem)?, true)),
                (stem, "new") => Some((Name::parse(stem)?, false)),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names
            .into_iter()
            .map(|(name, in_use)| self.load_share(directory, name, in_use))
            .collect()
    }

    fn load_share(
        &self,
        directory: &Directory,
        name: Name,
        in_use: bool,
    ) -> Result<KeptShare, IdentityError> {
        let path = directory.key(&name.file(if in_use { "sealed" } else { "new" }));
        let damaged = |why: String| IdentityError::Damaged {
            path: path.display().to_string(),
            what: "share of the coalition key",
            why,
        };
        let text = vault::load_secret(&path)?;
        let text = std::str::from_utf8(&text).map_err(|error| damaged(error.to_string()))?;
        let mut lines = text.lines().map(hex::decode);
        let (Some(Ok(wrapped)), Some(Ok(sealed))) = (lines.next(), lines.next()) else {
            return Err(damaged("it is not two lines of hex".to_owned()));
        };
        let row = name.row();
        let key = self.master.unwrap(&wrapped, place("data_key", &row))?;
        let record = key.open(place("sealed", &row), &sealed)?;
        let (share, origin) = read_record(&record).ok_or(damaged("it has another form".into()))?;
        let share = KeyShare::from_bytes(share).map_err(|error| damaged(error.to_string()))?;
        if Name::of(name.epoch, share.verifying_share().as_bytes()) != name {
            return Err(damaged("it is another share than its name says".to_owned()));
        }
        let epoch = name.epoch;
        Ok(KeptShare {
            holding: Keyholding { epoch, share },
            origin,
            in_use,
            path,
        })
    }
}

/// Lets the current master key wrap the shares in a directory.
///
/// # Errors
/// If one does not open, or cannot be written.
pub fn rewrap(
    directory: &Directory,
    master: &dyn KeyWrapper,
    ambient: &Ambient,
) -> Result<(), IdentityError> {
    for file in files(directory) {
        let name = match file.rsplit_once('.') {
            Some((stem, "sealed" | "new")) => Name::parse(stem),
            _ => None,
        };
        let Some(name) = name else { continue };
        let path = directory.key(&file);
        let text = vault::load_secret(&path)?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let Some((wrapped, sealed)) = text.split_once('\n') else {
            continue;
        };
        let wrapped = hex::decode(wrapped).unwrap_or_default();
        if master.is_current(&wrapped)? {
            continue;
        }
        let row = name.row();
        let key = master.unwrap(&wrapped, place("data_key", &row))?;
        let wrapped = master.wrap(&key, place("data_key", &row), &mut ambient.rng())?;
        let text = format!("{}\n{sealed}", hex::encode(wrapped));
        vault::save_secret(&path, text.as_bytes())?;
    }
    Ok(())
}

fn read_record(record: &[u8]) -> Option<(&[u8], Origin)> {
    let (share, rest) = record.split_at_checked(KeyShare::LENGTH)?;
    let (public_key, rest) = rest.split_first_chunk::<32>()?;
    let (base, rest) = rest.split_first_chunk::<32>()?;
    let (root, rest) = rest.split_first_chunk::<4>()?;
    let version: &[u8; 4] = rest.try_into().ok()?;
    let origin = Origin {
        public_key: Bytes32::new(*public_key),
        base: (*base != [0; 32]).then_some(Bytes32::new(*base)),
        roster_place: (u32::from_be_bytes(*root), u32::from_be_bytes(*version)),
    };
    Some((share, origin))
}

impl KeptShare {
    /// The share's public counterpart.
    #[must_use]
    pub fn verifying_share(&self) -> Bytes32 {
        Bytes32::new(*self.holding.share.verifying_share().as_bytes())
    }

    /// What is to be done with it under a roster.
    #[must_use]
    pub fn verdict(&self, me: &MemberId, roster: &TrustedRoster) -> Verdict {
        let keys = roster.coalition_keys();
        let epoch = u64::from(self.holding.epoch);
        let stated = keys.of_epoch(epoch);
        let named = stated
            .and_then(|stated| stated.keyholder(me.as_str()))
            .is_some_and(|keyholder| keyholder.verifying_share == self.verifying_share());
        if named {
            return Verdict::Use;
        }
        // Not newer than the one that the ceremony rested on: it knows nothing of what came of it.
        // A restored database has such a roster.
        if roster.place() <= self.origin.roster_place {
            return Verdict::Keep;
        }
        let Some(stated) = stated else {
            let is_past = keys.iter().any(|key| key.epoch > epoch);
            return if is_past {
                Verdict::Destroy
            } else {
                Verdict::Keep
            };
        };
        // The very shares that it was made from: its own turn comes, or came in a newer roster.
        let may_come = self.origin.base == Some(base_of(stated));
        // A rotation never gives an epoch another key, so who does may be wrong.
        if stated.public_key != self.origin.public_key || may_come {
            Verdict::Keep
        } else {
            Verdict::Destroy
        }
    }

    /// Marks it as named by a roster.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn take_into_use(&mut self) -> Result<(), IdentityError> {
        let path = self.path.with_extension("sealed");
        fs::rename(&self.path, &path).map_err(failed("take into use", &self.path))?;
        self.path = path;
        self.in_use = true;
        Ok(())
    }

    /// Overwrites and removes it. The log must say so by then: a database that went back refuses the
    /// leaf, and with it the destruction that an old roster would bring about.
    ///
    /// # Errors
    /// If the file system refuses; [`finish_destroying`] goes on where it stopped.
    pub fn destroy(self) -> Result<(), IdentityError> {
        let marker = self.path.with_extension("destroyed");
        // Renamed first: a share that was overwritten in part must not be taken for one.
        fs::rename(&self.path, &marker).map_err(failed("rename", &self.path))?;
        destroy_file(&marker)
    }
}

/// Destroys what an earlier run began to and did not end. The log has it already.
///
/// # Errors
/// If the file system refuses.
pub fn finish_destroying(directory: &Directory) -> Result<(), IdentityError> {
    files(directory)
        .into_iter()
        .filter(|file| file.ends_with(".destroyed"))
        .try_for_each(|file| destroy_file(&directory.key(&file)))
}

/// The names of the files about shares, to see a change.
#[must_use]
pub fn files(directory: &Directory) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory.key(""))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("share-"))
        .collect();
    names.sort_unstable();
    names
}

/// What a share's file is called: its epoch and the first 16 digits of its public counterpart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    epoch: u32,
    digits: String,
}

impl Name {
    fn of(epoch: u32, public: &[u8; 32]) -> Self {
        let digits = hex::encode(&public[..8]);
        Self { epoch, digits }
    }

    fn parse(stem: &str) -> Option<Self> {
        let (epoch, digits) = stem.strip_prefix("share-")?.split_once('-')?;
        let name = Self {
            epoch: epoch.parse().ok()?,
            digits: digits.to_owned(),
        };
        (digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .then_some(name)
    }

    fn file(&self, extension: &str) -> String {
        format!("share-{}-{}.{extension}", self.epoch, self.digits)
    }

    /// What a sealed share is bound to.
    fn row(&self) -> Vec<u8> {
        [&self.epoch.to_be_bytes(), self.digits.as_bytes()].concat()
    }
}

fn place<'a>(column: &'a str, row: &'a [u8]) -> Place<'a> {
    Place {
        table: "shares",
        column,
        row,
    }
}

/// Writes zeros over a file, then removes it. On a disk that writes elsewhere this overwrites
/// nothing; what is left there is sealed.
fn destroy_file(path: &Path) -> Result<(), IdentityError> {
    let overwrite = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len() as usize;
        file.write_all(&vec![b'0'; length])?;
        file.sync_all()
    };
    overwrite().map_err(failed("overwrite", path))?;
    fs::remove_file(path).map_err(failed("remove", path))
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> IdentityError + 'a {
    move |source| {
        IdentityError::Vault(VaultError::File {
            doing: action,
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(identifier: u8) -> Keyholding {
        let mut bytes = [0; KeyShare::LENGTH];
        (bytes[1], bytes[2]) = (identifier, 7);
        Keyholding {
            epoch: 1,
            share: KeyShare::from_bytes(&bytes).unwrap(),
        }
    }

    /// A party's directory with a share of each identifier.
    fn with_shares(identifiers: &[u8]) -> (tempfile::TempDir, Directory, Identity) {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::new(home.path().join("ua"));
        let ambient = Ambient::system();
        let identity = Identity::create(&directory, &"ua".parse().unwrap(), &ambient).unwrap();
        for identifier in identifiers {
            let mut holding = holding(*identifier);
            // Each identifier has a secret of its own.
            let mut bytes = *holding.share.to_bytes();
            bytes[2] = *identifier;
            holding.share = KeyShare::from_bytes(&bytes).unwrap();
            let origin = Origin {
                public_key: Bytes32::new([1; 32]),
                base: Some(Bytes32::new([2; 32])),
                roster_place: (1, 3),
            };
            identity
                .save_share(&directory, &holding, &origin, &ambient)
                .unwrap();
        }
        (home, directory, identity)
    }

    #[test]
    fn a_share_is_kept_taken_into_use_and_destroyed() {
        let (_home, directory, identity) = with_shares(&[1, 2]);
        let mut kept = identity.shares(&directory).unwrap();
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|share| !share.in_use));
        assert_eq!(kept[0].origin.base, Some(Bytes32::new([2; 32])));
        assert_eq!(kept[0].origin.roster_place, (1, 3));
        let mut share = kept.remove(0);
        share.take_into_use().unwrap();
        let public = share.verifying_share().to_string();
        let again = identity.shares(&directory).unwrap();
        assert_eq!(again.iter().filter(|share| share.in_use).count(), 1);

        let other = kept.remove(0);
        share.destroy().unwrap();
        let left = identity.shares(&directory).unwrap();
        assert_eq!(left.len(), 1);
        assert_ne!(left[0].verifying_share().to_string(), public);
        assert_eq!(left[0].verifying_share(), other.verifying_share());
        // Nothing of it is left, not even a name.
        assert_eq!(files(&directory).len(), 1);
    }

    #[test]
    fn what_a_crash_left_of_a_share_is_destroyed() {
        let (_home, directory, identity) = with_shares(&[1, 2]);
        let share = identity.shares(&directory).unwrap().remove(0);
        // The process died between the first step and the second.
        let marker = share.path.with_extension("destroyed");
        fs::rename(&share.path, &marker).unwrap();
        // A second name of the same file shows what becomes of its content.
        let content = directory.key("seen-by-the-test");
        fs::hard_link(&marker, &content).unwrap();
        assert_eq!(identity.shares(&directory).unwrap().len(), 1);
        finish_destroying(&directory).unwrap();
        assert!(!marker.exists());
        assert!(
            fs::read(&content)
                .unwrap()
                .iter()
                .all(|octet| *octet == b'0')
        );
        // The other one is not touched, and there is nothing to do a second time.
        finish_destroying(&directory).unwrap();
        assert_eq!(identity.shares(&directory).unwrap().len(), 1);
    }

    #[test]
    fn a_share_under_anothers_name_is_none() {
        let (_home, directory, identity) = with_shares(&[1, 2]);
        let shares = identity.shares(&directory).unwrap();
        fs::copy(&shares[0].path, &shares[1].path).unwrap();
        assert!(identity.shares(&directory).is_err());
    }
}
