//! The journal: what a backup cannot know, kept outside the database.
//!
//! A database that comes back from a backup has forgotten what was done since: who was erased, who
//! must be found no longer, what that was told was withdrawn, who may do less, which quotas were used,
//! which queries were answered, and how long the log was. Each commit adds one line to a file that no backup of the database holds, and a store
//! that finds itself older than its journal does anew what must not be lost.
//!
//! A line has keyed tags and numbers, nothing of a person, and a tag that vouches for it. It is
//! written after the commit and before the answer leaves. A line that says that somebody was erased
//! or withdrawn is flushed to the disk each time, and is part of the commit too: if a crash comes
//! between the two, the line is added at the next start.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::StoreError;
use super::keys::{RowKind, StoreKeys, Tag};

/// What one commit adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalEntry {
    /// The log's origin, as its digest: a log that was given up is another log.
    pub origin: [u8; 8],
    /// Size of the log after it.
    pub size: u64,
    /// Root of the log after it.
    pub root: [u8; 32],
    /// References of records that were erased.
    pub erased: Vec<Tag>,
    /// References of records that may be found no longer, or not by everybody.
    pub withdrawn: Vec<Tag>,
    /// Ids of questions whose answers' values were erased.
    pub forgotten: Vec<[u8; 16]>,
    /// Ids of requests of others whose holder withdrew what it had told.
    pub ended: Vec<[u8; 16]>,
    /// Accounts that lost a role or their secrets, or were closed.
    pub accounts: Vec<[u8; 16]>,
    /// Draws on quotas: tag, amount and when what was used may be forgotten.
    pub used: Vec<(Tag, u64, u64)>,
    /// Queries that were answered: tag, digest, leaf and expiry.
    pub seen: Vec<(Tag, [u8; 32], u64, u64)>,
}

/// A journal in a folder. One file takes new lines; older ones are kept as long as backups are.
pub struct Journal {
    folder: PathBuf,
    file: Mutex<File>,
}

const DAY_MS: u64 = 86_400_000;

const NAME: &str = "journal";
const VERSION: &str = "v1";

impl Journal {
    /// Opens the journal in `folder`, making it if need be.
    ///
    /// # Errors
    /// If the folder or its file cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failed(folder, &error))?;
        let file = newest_file(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn append(&self, keys: &StoreKeys, entry: &JournalEntry) -> Result<(), StoreError> {
        let line = entry.to_line(keys);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
            .and_then(|()| {
                if entry.takes_away() {
                    file.sync_data()
                } else {
                    Ok(())
                }
            })
            .map_err(|error| failed(&self.folder, &error))
    }

    /// The entry that was written last; nothing if there is none, or its line was cut off.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn last(&self, keys: &StoreKeys) -> Result<Option<JournalEntry>, StoreError> {
        for path in files(&self.folder)?.into_iter().rev() {
            if let Some(line) = last_line(&path).map_err(|error| failed(&path, &error))? {
                return Ok(JournalEntry::from_line(keys, &line));
            }
        }
        Ok(None)
    }

    /// All entries, in the order in which they were written, without what has expired at `now_ms`,
    /// and the number of lines that this node did not write, or that were cut off.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn entries(
        &self,
        keys: &StoreKeys,
        now_ms: u64,
    ) -> Result<(Vec<JournalEntry>, u64), StoreError> {
        let (mut entries, mut foreign) = (Vec::new(), 0);
        for path in files(&self.folder)? {
            let file = File::open(&path).map_err(|error| failed(&path, &error))?;
            for line in BufReader::new(file).split(b'\n') {
                let line = line.map_err(|error| failed(&path, &error))?;
                if line.is_empty() {
                    continue;
                }
                let entry = std::str::from_utf8(&line)
                    .ok()
                    .and_then(|line| JournalEntry::from_line(keys, line));
                match entry {
                    Some(mut entry) => {
                        entry.used.retain(|(_, _, expires)| *expires > now_ms);
                        entry.seen.retain(|(_, _, _, expires)| *expires > now_ms);
                        entries.push(entry);
                    }
                    None => foreign += 1,
                }
            }
        }
        Ok((entries, foreign))
    }

    /// As [`Journal::turn`], if the newest file was begun a day ago or earlier.
    ///
    /// # Errors
    /// As [`Journal::turn`].
    pub fn turn_daily(&self, now_ms: u64, keep: Duration) -> Result<(), StoreError> {
        let newest = files(&self.folder)?.pop();
        let begun_ms = newest
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str()?.rsplit_once('-')?.1.parse().ok())
            .unwrap_or(0_u64);
        if begun_ms.saturating_add(DAY_MS) > now_ms {
            return Ok(());
        }
        self.turn(now_ms, keep)
    }

    /// Begins a new file, and drops those that took their last line longer ago than `keep`.
    ///
    /// # Errors
    /// If a file cannot be made or removed.
    pub fn turn(&self, now_ms: u64, keep: Duration) -> Result<(), StoreError> {
        let path = self.folder.join(format!("{NAME}-{now_ms:015}"));
        let fresh = open_file(&path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        let oldest = Duration::from_millis(now_ms).saturating_sub(keep);
        for old in files(&self.folder)? {
            if old == path {
                continue;
            }
            let written = std::fs::metadata(&old)
                .and_then(|metadata| metadata.modified())
                .map_err(|error| failed(&old, &error))?
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            if written < oldest {
                std::fs::remove_file(&old).map_err(|error| failed(&old, &error))?;
            }
        }
        Ok(())
    }
}

impl JournalEntry {
    /// Whether it says that something was erased or withdrawn, or that somebody may do less.
    pub(super) fn takes_away(&self) -> bool {
        !(self.erased.is_empty()
            && self.withdrawn.is_empty()
            && self.forgotten.is_empty()
            && self.ended.is_empty()
            && self.accounts.is_empty())
    }

    /// The state of the log after it: its origin's digest, size and root.
    pub(super) fn state(&self) -> ([u8; 8], u64, [u8; 32]) {
        (self.origin, self.size, self.root)
    }

    /// The origin that a checkpoint states in its first line, as its digest.
    pub(super) fn origin_of(checkpoint: &str) -> [u8; 8] {
        let origin = checkpoint.lines().next().unwrap_or_default();
        let digest = ring::digest::digest(&ring::digest::SHA256, origin.as_bytes());
        let mut short = [0; 8];
        short.copy_from_slice(&digest.as_ref()[..8]);
        short
    }

    pub(super) fn to_line(&self, keys: &StoreKeys) -> String {
        // A string grows as needed.
        let (origin, root) = (hex::encode(self.origin), hex::encode(self.root));
        let mut line = format!("{VERSION} {origin} {} {root}", self.size);
        for tag in &self.erased {
            let _ = write!(line, " e={}", hex::encode(tag));
        }
        for tag in &self.withdrawn {
            let _ = write!(line, " w={}", hex::encode(tag));
        }
        for id in &self.forgotten {
            let _ = write!(line, " f={}", hex::encode(id));
        }
        for id in &self.ended {
            let _ = write!(line, " r={}", hex::encode(id));
        }
        for id in &self.accounts {
            let _ = write!(line, " a={}", hex::encode(id));
        }
        for (tag, amount, expires) in &self.used {
            let _ = write!(line, " q={}:{amount}:{expires}", hex::encode(tag));
        }
        for (tag, digest, leaf, expires) in &self.seen {
            let (tag, digest) = (hex::encode(tag), hex::encode(digest));
            let _ = write!(line, " s={tag}:{digest}:{leaf}:{expires}");
        }
        let vouched = keys.row_tag(RowKind::Journal, &[line.as_bytes()]);
        let _ = writeln!(line, " {}", hex::encode(vouched));
        line
    }

    /// Reads a line that [`JournalEntry::to_line`] wrote; nothing for any other.
    pub(super) fn from_line(keys: &StoreKeys, line: &str) -> Option<Self> {
        let (said, vouched) = line.rsplit_once(' ')?;
        let vouched = hex::decode(vouched).ok()?;
        if !keys.row_holds(RowKind::Journal, &[said.as_bytes()], &vouched) {
            return None;
        }
        let mut words = said.split(' ');
        if words.next()? != VERSION {
            return None;
        }
        let mut entry = Self {
            origin: array(words.next()?)?,
            size: words.next()?.parse().ok()?,
            root: array(words.next()?)?,
            ..Self::default()
        };
        for word in words {
            let (what, value) = word.split_once('=')?;
            let parts: Vec<&str> = value.split(':').collect();
            match (what, parts.as_slice()) {
                ("e", [tag]) => entry.erased.push(array(tag)?),
                ("f", [id]) => entry.forgotten.push(array(id)?),
                ("r", [id]) => entry.ended.push(array(id)?),
                ("a", [id]) => entry.accounts.push(array(id)?),
                ("w", [tag]) => entry.withdrawn.push(array(tag)?),
                ("q", [tag, amount, expires]) => {
                    entry
                        .used
                        .push((array(tag)?, amount.parse().ok()?, expires.parse().ok()?))
                }
                ("s", [tag, digest, leaf, expires]) => entry.seen.push((
                    array(tag)?,
                    array(digest)?,
                    leaf.parse().ok()?,
                    expires.parse().ok()?,
                )),
                _ => return None,
            }
        }
        Some(entry)
    }
}

fn array<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

/// The last line of a file that is not empty.
fn last_line(path: &Path) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reach = 1 << 16;
    loop {
        let from = length.saturating_sub(reach);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        (&file).take(length - from).read_to_end(&mut tail)?;
        let text = String::from_utf8_lossy(&tail);
        let text = text.trim_end_matches('\n');
        match text.rsplit_once('\n') {
            Some((_, line)) => return Ok(Some(line.to_owned())),
            None if from == 0 => return Ok((!text.is_empty()).then(|| text.to_owned())),
            None => reach *= 4,
        }
    }
}

/// The journal's files, oldest first.
fn files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        let named = entry.file_name();
        if named.to_str().is_some_and(|name| name.starts_with(NAME)) && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn newest_file(folder: &Path) -> Result<File, StoreError> {
    let path = files(folder)?
        .pop()
        .unwrap_or_else(|| folder.join(format!("{NAME}-{:015}", 0)));
    let mut file = open_file(&path)?;
    // What a crash cut off must not swallow the next line.
    if file
        .metadata()
        .map_err(|error| failed(&path, &error))?
        .len()
        > 0
    {
        file.write_all(b"\n")
            .map_err(|error| failed(&path, &error))?;
    }
    Ok(file)
}

fn open_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Journal {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Ambient;
    use crate::store::Store;
    use crate::vault::{DataKey, KeyRing};

    async fn store(folder: &Path, ambient: &Ambient) -> Store {
        Store::open(
            &format!("sqlite:{}", folder.join("test.db").display()),
            KeyRing::generate(&mut ambient.rng()),
            DataKey::generate(&mut ambient.rng()),
            ambient.clone(),
        )
        .await
        .unwrap()
    }

    fn entry(size: u64) -> JournalEntry {
        JournalEntry {
            origin: [7; 8],
            size,
            root: [size as u8; 32],
            erased: vec![[1; 16]],
            withdrawn: vec![[2; 16], [3; 16]],
            forgotten: vec![[4; 16]],
            ended: vec![[10; 16]],
            accounts: vec![[11; 16], [12; 16]],
            used: vec![([5; 16], 3, u64::MAX), ([5; 16], 3, 1)],
            seen: vec![([6; 16], [8; 32], 9, 1)],
        }
    }

    #[tokio::test]
    async fn what_was_written_is_read_and_what_another_wrote_or_a_crash_cut_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        for path in [&one, &other] {
            std::fs::create_dir(path).unwrap();
        }
        let ambient = Ambient::system();
        let (ours, theirs) = (store(&one, &ambient).await, store(&other, &ambient).await);
        let at = folder.path().join("journal");
        let journal = Journal::open(&at).unwrap();
        assert!(journal.last(&ours.keys).unwrap().is_none());
        journal.append(&ours.keys, &entry(1)).unwrap();
        // Another node's line, one that was altered, and one that a crash cut off.
        journal.append(&theirs.keys, &entry(2)).unwrap();
        let altered = entry(3).to_line(&ours.keys).replacen("v1", "v2", 1);
        let cut = &entry(4).to_line(&ours.keys)[..40];
        let path = files(&at).unwrap().pop().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{altered}{cut}")).unwrap();
        assert!(journal.last(&ours.keys).unwrap().is_none());
        // The next line is not swallowed by it.
        let journal = Journal::open(&at).unwrap();
        journal.append(&ours.keys, &entry(5)).unwrap();
        let (found, foreign) = journal.entries(&ours.keys, 10).unwrap();
        assert_eq!(foreign, 3);
        let sizes: Vec<u64> = found.iter().map(|entry| entry.size).collect();
        assert_eq!(sizes, [1, 5]);
        // What has expired is left out, and nothing else.
        let expected = JournalEntry {
            used: vec![([5; 16], 3, u64::MAX)],
            seen: Vec::new(),
            ..entry(5)
        };
        assert_eq!(found[1], expected);
        assert_eq!(journal.last(&ours.keys).unwrap(), Some(entry(5)));
    }

    #[tokio::test]
    async fn a_file_is_begun_each_day_and_dropped_when_no_backup_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let ambient = Ambient::system();
        let store = store(folder.path(), &ambient).await;
        let at = folder.path().join("journal");
        let journal = Journal::open(&at).unwrap();
        let keep = Duration::from_millis(3 * DAY_MS);
        let now = ambient.now_ms();
        let count = || files(&at).unwrap().len();
        // The first line decides on the first file's day: it has none.
        journal.turn_daily(now, keep).unwrap();
        assert_eq!(count(), 2);
        journal.append(&store.keys, &entry(1)).unwrap();
        journal.turn_daily(now + DAY_MS - 1, keep).unwrap();
        assert_eq!(count(), 2);
        journal.turn_daily(now + DAY_MS, keep).unwrap();
        assert_eq!(count(), 3);
        // The newest file is empty; the last line is found in the one before.
        assert_eq!(journal.last(&store.keys).unwrap(), Some(entry(1)));
        journal.turn_daily(now + 5 * DAY_MS, keep).unwrap();
        assert_eq!(count(), 1);
        assert!(journal.last(&store.keys).unwrap().is_none());
    }
}
