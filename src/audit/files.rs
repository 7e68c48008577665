//! A log that lies in files, as nodes serve it (C2SP tlog-tiles): verified without asking anybody.
//!
//! Each leaf is parsed and hashed, each stored hash compared with the one computed, and the root with
//! the signed checkpoint. The first place that does not hold is named, to the leaf.

use std::path::Path;

use super::entry::{Entry, MalformedEntry};
use crate::envelope::NoteKey;
use crate::tlog::{
    CheckError, CheckpointError, Frontier, SignedCheckpoint, Tile, TileChecker, TileKind, TreeHead,
    VerifiedCheckpoint,
};

/// A log whose files hold.
pub struct LogFiles {
    /// Its checkpoint.
    pub checkpoint: VerifiedCheckpoint,
    /// Where reading can go on once it has grown.
    pub frontier: Frontier,
}

/// What does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesFault {
    /// A file is not there.
    #[error("{file} cannot be read: {source}")]
    Missing {
        /// Its name within the folder.
        file: String,
        /// The first leaf that it would prove.
        leaf: Option<u64>,
        /// Why not.
        source: std::io::Error,
    },
    /// The checkpoint is none of this log.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A leaf is no entry.
    #[error("leaf {leaf} is no entry of a log: {source}")]
    Entry {
        /// The leaf.
        leaf: u64,
        /// Why not.
        source: MalformedEntry,
    },
    /// Leaves and hashes do not fit together, or not the checkpoint.
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl FilesFault {
    /// The stable code for machines, as findings have it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { leaf: Some(_), .. } | Self::Check(CheckError::Missing { .. }) => {
                "LEAF_MISSING"
            }
            Self::Missing { .. } | Self::Checkpoint(_) => "BAD_CHECKPOINT",
            Self::Entry { .. } => "MALFORMED_LEAF",
            Self::Check(CheckError::Leaf { .. }) => "ALTERED_LEAF",
            Self::Check(CheckError::Order { .. }) => "LEAF_MOVED",
            Self::Check(CheckError::Size { .. }) => "CUT_BACK",
            Self::Check(CheckError::Tile(_)) => "UNREADABLE",
            Self::Check(_) => "OTHER_ROOT",
        }
    }

    /// The leaf, or the first of those among which it is.
    #[must_use]
    pub fn leaf_index(&self) -> Option<u64> {
        match self {
            Self::Missing { leaf, .. } => *leaf,
            Self::Entry { leaf, .. } => Some(*leaf),
            Self::Check(CheckError::Leaf { index }) => Some(*index),
            Self::Check(CheckError::Order { expected, .. }) => Some(*expected),
            Self::Check(CheckError::Node { first, .. }) => Some(*first),
            Self::Check(CheckError::Missing { tile }) => Some(tile.leaves().start),
            _ => None,
        }
    }
}

/// The checkpoint in a folder, unverified: whose log it claims to be.
///
/// # Errors
/// [`FilesFault`] if there is none.
pub fn checkpoint(folder: &Path) -> Result<SignedCheckpoint, FilesFault> {
    let bytes = read(folder, "checkpoint", None)?;
    Ok(SignedCheckpoint::parse(&bytes)?)
}

/// Verifies the log in a folder under its key, from its first leaf or from where it was verified last.
///
/// # Errors
/// [`FilesFault`] names the first place that does not hold.
pub fn verify(
    folder: &Path,
    key: &NoteKey,
    last: Option<(Frontier, TreeHead)>,
) -> Result<LogFiles, FilesFault> {
    let checkpoint = checkpoint(folder)?.verify(std::slice::from_ref(key))?;
    let head = checkpoint.head();
    let mut checker = match last {
        Some((frontier, verified)) => TileChecker::resume(frontier, verified, head),
        None => TileChecker::new(head),
    }?;
    let mut unread = None;
    while let Some(wanted) = checker.wanted() {
        let (tile, bytes) = tile(folder, wanted)?;
        checker.supply(&tile, &bytes, |index, leaf| {
            if let (Err(why), None) = (Entry::parse(leaf), &unread) {
                unread = Some((index, why));
            }
        })?;
        // Named once it is known to be what was signed: before that, it may be altered.
        if let (Some((leaf, source)), false) = (unread.take(), wanted.kind() == TileKind::Entries) {
            return Err(FilesFault::Entry { leaf, source });
        }
    }
    let frontier = checker.finish()?;
    Ok(LogFiles {
        checkpoint,
        frontier,
    })
}

/// The file that is wanted, or the full one that has taken its place.
fn tile(folder: &Path, wanted: Tile) -> Result<(Tile, Vec<u8>), FilesFault> {
    let leaf = Some(wanted.leaves().start);
    match read(folder, &wanted.to_string(), leaf) {
        Err(FilesFault::Missing { .. }) if wanted != wanted.full() => {
            let full = wanted.full();
            Ok((full, read(folder, &full.to_string(), leaf)?))
        }
        bytes => Ok((wanted, bytes?)),
    }
}

fn read(folder: &Path, file: &str, leaf: Option<u64>) -> Result<Vec<u8>, FilesFault> {
    std::fs::read(folder.join(file)).map_err(|source| FilesFault::Missing {
        file: file.to_owned(),
        leaf,
        source,
    })
}
