//! The guard: the newest state of the log that this node has signed, in a small file outside the
//! database.
//!
//! It is a first aid, no proof. A database that was taken back to an older state contradicts it, and
//! the node sees so before it signs anything and without asking anyone. Whoever takes the whole
//! directory back takes the guard back as well; against that stand the witnesses. So that an
//! ordinary copy of the directory does not pass for the original, the guard names its own inode: a
//! copied or restored guard says nothing. **It does not belong into a backup.**
//!
//! The file has two slots of 256 octets that are written in turn, in place: a torn write leaves the
//! other. It is not forced to the disk: the database is, before, so that after a power cut the
//! guard can only be behind, never ahead.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use crate::tlog::TreeHead;
use crate::tlog::tree::empty_root;

const FORMAT: &str = "wayhome/log-guard/v1";
const SLOT: usize = 256;

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guarded {
    /// There is none.
    Missing,
    /// It says nothing: for what reason.
    Void(&'static str),
    /// The newest state that was signed, and in which term; of size 0 before the first.
    Signed {
        /// The term.
        term: u64,
        /// Size and root.
        head: TreeHead,
    },
}

/// The guard of one log.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    origin: String,
    slots: Mutex<Option<Slots>>,
}

#[derive(Debug)]
struct Slots {
    file: File,
    /// Which slot is written next.
    next: usize,
}

impl Guard {
    /// The guard at `path` of the log named `origin`. Nothing is read or written yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, origin: &str) -> Self {
        Self {
            path: path.into(),
            origin: origin.to_owned(),
            slots: Mutex::default(),
        }
    }

    /// Makes the guard of a log that has not begun, in place of any that is there.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn create(&self) -> io::Result<()> {
        self.write(
            0,
            &TreeHead {
                size: 0,
                root: empty_root(),
            },
        )
    }

    /// What it says.
    #[must_use]
    pub fn read(&self) -> Guarded {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Guarded::Missing,
            Err(_) => return Guarded::Void("it cannot be read"),
        };
        let Ok(own) = inode(&file) else {
            return Guarded::Void("it cannot be read");
        };
        let mut found: Option<(u64, TreeHead)> = None;
        let mut why = "it is damaged";
        for slot in 0..2 {
            match read_slot(&file, slot, &own, &self.origin) {
                Ok((term, head)) => {
                    // Of two words the one of the later term is the newer, or the one of the larger
                    // tree in it: a term begins on the tree that the one before left.
                    if found.is_none_or(|(known, other)| (known, other.size) <= (term, head.size)) {
                        found = Some((term, head));
                    }
                }
                Err(Some(reason)) => why = reason,
                Err(None) => {}
            }
        }
        match found {
            Some((term, head)) => Guarded::Signed { term, head },
            None => Guarded::Void(why),
        }
    }

    /// Remembers a state.
    ///
    /// # Errors
    /// If the file system refuses. The guard may then be behind; [`Guard::strike_out`] it.
    pub fn write(&self, term: u64, head: &TreeHead) -> io::Result<()> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.is_none() {
            *slots = Some(Slots {
                file: self.fresh_file()?,
                next: 0,
            });
        }
        let Some(Slots { file, next }) = slots.as_mut() else {
            return Ok(());
        };
        let line = self.line(file, term, head)?;
        file.write_all_at(&line, (*next * SLOT) as u64)?;
        *next = 1 - *next;
        Ok(())
    }

    /// Removes the guard, so that it cannot vouch for what it has not seen.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn strike_out(&self) -> io::Result<()> {
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = None;
        std::fs::remove_file(&self.path)
    }

    /// A new file in place of the old, so that none of the old one's slots can outlive it: an old
    /// guard of greater size would speak for a log that has ended.
    fn fresh_file(&self) -> io::Result<File> {
        let fresh = self.path.with_extension("fresh");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        // The old one stays in force until the new one says something.
        if let Guarded::Signed { term, head } = self.read() {
            let line = self.line(&file, term, &head)?;
            file.write_all_at(&line, SLOT as u64)?;
        }
        std::fs::rename(&fresh, &self.path)?;
        Ok(file)
    }

    fn line(&self, file: &File, term: u64, head: &TreeHead) -> io::Result<Vec<u8>> {
        let body = format!(
            "{FORMAT} {} {} {term} {} {}",
            self.origin,
            inode(file)?,
            head.size,
            hex::encode(head.root)
        );
        let mut line = format!("{body} {}", checksum(&body)).into_bytes();
        if line.len() >= SLOT {
            return Err(io::Error::other("the log's name is too long for its guard"));
        }
        line.resize(SLOT - 1, b' ');
        line.push(b'\n');
        Ok(line)
    }
}

/// One slot's word, or why it has none; nothing where it was never written.
fn read_slot(
    file: &File,
    slot: usize,
    own: &str,
    origin: &str,
) -> Result<(u64, TreeHead), Option<&'static str>> {
    let mut bytes = [0; SLOT];
    file.read_exact_at(&mut bytes, (slot * SLOT) as u64)
        .map_err(|_| None)?;
    if bytes == [0; SLOT] {
        return Err(None);
    }
    let damaged = Some("it is damaged");
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged)?.trim_end();
    let (body, sum) = text.rsplit_once(' ').ok_or(damaged)?;
    if checksum(body) != sum {
        return Err(damaged);
    }
    let mut words = body.split(' ');
    let mut next = || words.next().ok_or(damaged);
    if next()? != FORMAT {
        return Err(damaged);
    }
    if next()? != origin {
        return Err(Some("it is of another log"));
    }
    if next()? != own {
        return Err(Some("it was copied or restored"));
    }
    let term = next()?.parse().map_err(|_| damaged)?;
    let size = next()?.parse().map_err(|_| damaged)?;
    let mut root = [0; 32];
    hex::decode_to_slice(next()?, &mut root).map_err(|_| damaged)?;
    Ok((term, TreeHead { size, root }))
}

/// What tells this very file from a copy of it.
fn inode(file: &File) -> io::Result<String> {
    let metadata = file.metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

fn checksum(body: &str) -> String {
    hex::encode(&digest(&SHA256, body.as_bytes()).as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "pl.wayhome.internal/log";

    fn head(size: u64) -> TreeHead {
        TreeHead {
            size,
            root: [size as u8; 32],
        }
    }

    fn signed(term: u64, size: u64) -> Guarded {
        Guarded::Signed {
            term,
            head: head(size),
        }
    }

    #[test]
    fn it_says_what_was_written_last_also_after_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log.guard");
        let guard = Guard::new(&path, ORIGIN);
        assert_eq!(guard.read(), Guarded::Missing);
        guard.create().unwrap();
        let Guarded::Signed {
            term: 0,
            head: none,
        } = guard.read()
        else {
            panic!("{:?}", guard.read());
        };
        assert_eq!((none.size, none.root), (0, empty_root()));
        for size in 1..5 {
            guard.write(1, &head(size)).unwrap();
            assert_eq!(guard.read(), signed(1, size));
        }
        let again = Guard::new(&path, ORIGIN);
        assert_eq!(again.read(), signed(1, 4));
        again.write(2, &head(9)).unwrap();
        assert_eq!(again.read(), signed(2, 9));
        // A new term begins on the tree of the one before, whichever slot is its turn.
        for term in 3..6 {
            again.write(term, &head(9)).unwrap();
            assert_eq!(again.read(), signed(term, 9));
        }
        again.strike_out().unwrap();
        assert_eq!(again.read(), Guarded::Missing);
    }

    #[test]
    fn a_torn_write_leaves_the_state_before_it_and_never_a_wrong_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log.guard");
        let guard = Guard::new(&path, ORIGIN);
        for size in 1..5 {
            guard.write(1, &head(size)).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        guard.write(1, &head(5)).unwrap();
        let after = std::fs::read(&path).unwrap();
        for cut in 0..=SLOT {
            // The first `cut` octets of the new slot have arrived.
            let mut torn = before.clone();
            torn[..cut].copy_from_slice(&after[..cut]);
            // In place, as a copy would have another inode.
            std::fs::write(&path, torn).unwrap();
            let found = guard.read();
            assert!(
                found == signed(1, 4) || found == signed(1, 5),
                "{cut}: {found:?}"
            );
        }
        std::fs::write(&path, &before[..SLOT / 2]).unwrap();
        assert!(matches!(guard.read(), Guarded::Void(_)));
    }

    #[test]
    fn a_copy_and_another_logs_guard_say_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (path, kept) = (home.path().join("log.guard"), home.path().join("kept"));
        let guard = Guard::new(&path, ORIGIN);
        guard.write(1, &head(3)).unwrap();
        // Kept beside it, so that the file system does not give the inode to the copy.
        std::fs::rename(&path, &kept).unwrap();
        std::fs::copy(&kept, &path).unwrap();
        assert_eq!(guard.read(), Guarded::Void("it was copied or restored"));
        std::fs::rename(&kept, &path).unwrap();
        assert_eq!(Guard::new(&path, ORIGIN).read(), signed(1, 3));
        let other = Guard::new(&path, "de.wayhome.internal/log");
        assert_eq!(other.read(), Guarded::Void("it is of another log"));
    }
}
