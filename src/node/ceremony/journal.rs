//! What a keyholder remembers of a ceremony between two runs, in its own directory.
//!
//! ```text
//! DIR/keys/ceremony-ID.sealed   the seed of its part, sealed under its key ring; until it has its share
//! DIR/keys/ceremony-ID-repair.sealed   the same, of its part in restoring another's share
//! DIR/ceremonies/ID.json        what it sent, and digests of what it saw: nothing secret
//! DIR/ceremonies/lock           held by the command at work
//! ```
//!
//! Each entry is durable before the message it records leaves, so a crash at any point is followed
//! by the same messages, never by other ones.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::CeremonyError;
use super::message::Slot;
use crate::ambient::Ambient;
use crate::node::{Directory, Identity};
use crate::roster::Bytes32;
use crate::vault::{self, DataKey, Place};

const FORMAT: &str = "wayhome/ceremony-journal/v1";

/// Which of a keyholder's two parts in a ceremony a seed is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// In making or renewing shares.
    Sharing,
    /// In restoring a share.
    Repair,
}

impl Part {
    const ALL: [Self; 2] = [Self::Sharing, Self::Repair];

    fn suffix(self) -> &'static str {
        match self {
            Self::Sharing => "",
            Self::Repair => "-repair",
        }
    }

    fn columns(self) -> [&'static str; 2] {
        match self {
            Self::Sharing => ["data_key", "seed"],
            Self::Repair => ["repair_data_key", "repair_seed"],
        }
    }
}

/// The record of one ceremony; no other process writes it meanwhile.
pub(super) struct Journal {
    directory: Directory,
    entries: Entries,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    format: String,
    ceremony: Bytes32,
    /// Whether the operator was told of this ceremony by another way than the folder.
    #[serde(default)]
    told: bool,
    /// Messages of this party, by file.
    sent: BTreeMap<String, String>,
    /// SHA-256 of the messages of others, by file.
    seen: BTreeMap<String, Bytes32>,
    /// Set when the share is stored: the transcript that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transcript_sha256: Option<Bytes32>,
}

impl Journal {
    /// Opens the record of a ceremony, or begins one.
    pub(super) fn open(directory: &Directory, ceremony: &Bytes32) -> Result<Self, CeremonyError> {
        let lock = lock(directory)?;
        let entries = match directory.read_if_there(&name(ceremony))? {
            None => Entries {
                format: FORMAT.to_owned(),
                ceremony: *ceremony,
                told: false,
                sent: BTreeMap::new(),
                seen: BTreeMap::new(),
                transcript_sha256: None,
            },
            Some(text) => {
                let wrong = |reason: String| CeremonyError::State {
                    path: directory.file(&name(ceremony)).display().to_string(),
                    reason,
                };
                let entries: Entries =
                    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
                if entries.format != FORMAT || entries.ceremony != *ceremony {
                    return Err(wrong("it is of another ceremony".to_owned()));
                }
                entries
            }
        };
        Ok(Self {
            directory: directory.clone(),
            entries,
            _lock: lock,
        })
    }

    /// Makes the entries durable.
    pub(super) fn save(&self) -> Result<(), CeremonyError> {
        #[cfg(test)]
        super::tests::crash_point()?;
        // Texts alone: nothing here can fail to serialise.
        let text = serde_json::to_string_pretty(&self.entries).unwrap_or_default();
        let name = name(&self.entries.ceremony);
        self.directory.write(&name, &format!("{text}\n"))?;
        let folder = folder(&self.directory);
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(&folder))
    }

    /// Whether the operator was told of this ceremony.
    pub(super) fn was_told(&self) -> bool {
        self.entries.told
    }

    /// Records that the operator was told of this ceremony.
    pub(super) fn set_told(&mut self) -> Result<(), CeremonyError> {
        self.entries.told = true;
        self.save()
    }

    /// Messages of this party, by file.
    pub(super) fn sent(&self) -> &BTreeMap<String, String> {
        &self.entries.sent
    }

    pub(super) fn has_sent(&self, slot: &Slot) -> bool {
        self.entries.sent.contains_key(&slot.file())
    }

    /// Records a message of this party; save before it leaves.
    pub(super) fn send(&mut self, slot: &Slot, text: String) {
        self.entries.sent.insert(slot.file(), text);
    }

    /// Drops messages that nobody needs any more.
    pub(super) fn forget(&mut self, slot: &Slot) {
        self.entries.sent.remove(&slot.file());
    }

    /// Records a message of another party. `false` if another one was seen in its place.
    #[must_use]
    pub(super) fn see(&mut self, slot: &Slot, digest: Bytes32) -> bool {
        *self.entries.seen.entry(slot.file()).or_insert(digest) == digest
    }

    /// The transcript that the stored share belongs to, once there is a share.
    pub(super) fn transcript(&self) -> Option<Bytes32> {
        self.entries.transcript_sha256
    }

    pub(super) fn set_transcript(&mut self, digest: Bytes32) {
        self.entries.transcript_sha256 = Some(digest);
    }

    /// Whether there is a seed.
    pub(super) fn has_seed(&self, part: Part) -> bool {
        self.seed_path(part).exists()
    }

    /// Seals the seed into a new file.
    pub(super) fn save_seed(
        &self,
        part: Part,
        identity: &Identity,
        seed: &[u8],
        ambient: &Ambient,
    ) -> Result<(), CeremonyError> {
        #[cfg(test)]
        super::tests::crash_point()?;
        let row = self.entries.ceremony.as_bytes();
        let [key_column, column] = part.columns();
        let key = DataKey::generate(&mut ambient.rng());
        let wrapped = identity
            .master
            .wrap(&key, place(key_column, row), &mut ambient.rng())?;
        let sealed = key.seal(place(column, row), seed, &mut ambient.rng());
        let text = format!("{}\n{}\n", hex::encode(wrapped), hex::encode(sealed));
        Ok(vault::create_secret(
            &self.seed_path(part),
            text.as_bytes(),
        )?)
    }

    /// Opens the seed.
    pub(super) fn load_seed(
        &self,
        part: Part,
        identity: &Identity,
    ) -> Result<Zeroizing<Vec<u8>>, CeremonyError> {
        let path = self.seed_path(part);
        let text = vault::load_secret(&path)?;
        let mut lines = std::str::from_utf8(&text)
            .unwrap_or_default()
            .lines()
            .map(hex::decode);
        let (Some(Ok(wrapped)), Some(Ok(sealed))) = (lines.next(), lines.next()) else {
            return Err(CeremonyError::State {
                path: path.display().to_string(),
                reason: "it is not two lines of hexadecimal digits".to_owned(),
            });
        };
        let row = self.entries.ceremony.as_bytes();
        let [key_column, column] = part.columns();
        let key = identity.master.unwrap(&wrapped, place(key_column, row))?;
        Ok(key.open(place(column, row), &sealed)?)
    }

    /// Destroys the seeds that are still there.
    pub(super) fn destroy_seeds(&self) -> Result<(), CeremonyError> {
        Part::ALL
            .into_iter()
            .filter(|part| self.has_seed(*part))
            .try_for_each(|part| self.destroy_seed(part))
    }

    fn destroy_seed(&self, part: Part) -> Result<(), CeremonyError> {
        #[cfg(test)]
        super::tests::crash_point()?;
        let path = self.seed_path(part);
        let overwritten = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| {
                // The wrapped key goes first. On a disk that writes elsewhere this overwrites nothing;
                // what is left there is sealed.
                let length = file.metadata()?.len() as usize;
                file.write_all(&vec![b'0'; length])?;
                file.sync_all()
            });
        match overwritten.and_then(|()| fs::remove_file(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => Ok(()),
        }
    }

    fn seed_path(&self, part: Part) -> PathBuf {
        self.directory.key(&format!(
            "ceremony-{}{}.sealed",
            short(&self.entries.ceremony),
            part.suffix()
        ))
    }
}

fn lock(directory: &Directory) -> Result<File, CeremonyError> {
    let folder = folder(directory);
    let path = folder.join("lock");
    let file = fs::create_dir_all(&folder)
        .and_then(|()| File::create(&path))
        .map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CeremonyError::Busy),
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

fn folder(directory: &Directory) -> PathBuf {
    directory.file("ceremonies")
}

fn name(ceremony: &Bytes32) -> String {
    format!("ceremonies/{}.json", short(ceremony))
}

/// Enough of the name to tell ceremonies apart; the whole one is inside.
fn short(ceremony: &Bytes32) -> String {
    ceremony.to_string().chars().take(16).collect()
}

fn place<'a>(column: &'a str, row: &'a [u8]) -> Place<'a> {
    Place::new("ceremonies", column, row)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CeremonyError {
    let path = path.display().to_string();
    move |error| CeremonyError::Folder {
        path,
        reason: error.to_string(),
    }
}
