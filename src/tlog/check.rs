//! Reading a whole log again, and saying where it does not hold.
//!
//! [`LogChecker`] takes the leaves one by one and computes the root on the way, two hashes a
//! leaf on average; [`TileChecker`] does the same from the files that a log serves, and compares
//! every stored hash with the one it computed, so that damage is named to the leaf.
//!
//! Both can go on from a place that was verified before, whose [`Frontier`] the reader kept:
//! then only the new leaves are read. What lies before that place is not looked at again.

use std::collections::VecDeque;

use super::checkpoint::TreeHead;
use super::tile::{FULL_WIDTH, Tile, TileError, TileKind, decode_entries, decode_hashes};
use super::tree::{Frontier, Hash, MAX_SIZE, NodeId, leaf_hash};

/// Computes the root of a log from its leaves, given in order.
#[derive(Debug, Clone, Default)]
pub struct LogChecker {
    frontier: Frontier,
    since: u64,
}

impl LogChecker {
    /// A checker that reads a log from its first leaf.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A checker that goes on from a verified checkpoint. The frontier must be that of the
    /// checkpoint.
    pub fn resume(frontier: Frontier, verified: TreeHead) -> Result<Self, CheckError> {
        if frontier.size() != verified.size || frontier.root() != verified.root {
            return Err(CheckError::Resume {
                size: verified.size,
            });
        }
        Ok(Self {
            since: frontier.size(),
            frontier,
        })
    }

    /// The index of the leaf that is to be fed next.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.frontier.size()
    }

    /// Takes the next leaf and returns its hash.
    pub fn feed(&mut self, index: u64, leaf: &[u8]) -> Result<Hash, CheckError> {
        self.check_order(index)?;
        let hash = leaf_hash(leaf);
        self.frontier.append_each(hash, |_, _| {});
        Ok(hash)
    }

    /// Takes the next leaf and compares its hash with the one that the log stores for it.
    pub fn feed_stored(
        &mut self,
        index: u64,
        leaf: &[u8],
        stored: &Hash,
    ) -> Result<(), CheckError> {
        self.check_order(index)?;
        if leaf_hash(leaf) != *stored {
            return Err(CheckError::Leaf { index });
        }
        self.frontier.append_each(*stored, |_, _| {});
        Ok(())
    }

    /// Compares what was read with a checkpoint of the same size. May be called at every
    /// checkpoint on the way, which narrows down where a log leaves the path; the frontier it
    /// returns is the place to resume from.
    pub fn finish(&self, checkpoint: TreeHead) -> Result<Frontier, CheckError> {
        let found = self.frontier.size();
        if found != checkpoint.size {
            return Err(CheckError::Size {
                expected: checkpoint.size,
                found,
            });
        }
        if self.frontier.root() != checkpoint.root {
            return Err(CheckError::Root {
                since: self.since,
                size: found,
            });
        }
        Ok(self.frontier.clone())
    }

    fn check_order(&self, index: u64) -> Result<(), CheckError> {
        let expected = self.next_index();
        if index == expected && index < MAX_SIZE {
            Ok(())
        } else {
            Err(CheckError::Order {
                expected,
                found: index,
            })
        }
    }
}

/// Checks the files of a log (C2SP tlog-tiles) against a checkpoint.
///
/// Ask [`TileChecker::wanted`] which file comes next, fetch it, hand it to
/// [`TileChecker::supply`], until none is wanted; then [`TileChecker::finish`].
#[derive(Debug, Clone)]
pub struct TileChecker {
    head: TreeHead,
    checker: LogChecker,
    wanted: VecDeque<Tile>,
    /// For each tile level the hashes that were computed, but not yet compared with a tile.
    computed: [Computed; LEVELS],
}

/// Tile levels that a log of `MAX_SIZE` leaves has.
const LEVELS: usize = 8;

/// Hashes of one tile level in a row, of which the first has this position.
#[derive(Debug, Clone, Default)]
struct Computed {
    first: u64,
    hashes: Vec<Hash>,
}

impl TileChecker {
    /// A checker that reads the whole log under a checkpoint.
    pub fn new(checkpoint: TreeHead) -> Result<Self, CheckError> {
        Self::over(LogChecker::new(), checkpoint)
    }

    /// A checker that reads what a checkpoint added to an earlier, verified one.
    pub fn resume(
        frontier: Frontier,
        verified: TreeHead,
        checkpoint: TreeHead,
    ) -> Result<Self, CheckError> {
        Self::over(LogChecker::resume(frontier, verified)?, checkpoint)
    }

    /// The file to supply next, or `None` when all have been read.
    #[must_use]
    pub fn wanted(&self) -> Option<Tile> {
        self.wanted.front().copied()
    }

    /// Takes the wanted file, or the full tile in its place. Calls `on_leaf` for each new leaf,
    /// in order, before the leaf is known to be genuine: what it gathers may be used once
    /// [`TileChecker::finish`] has returned.
    pub fn supply(
        &mut self,
        tile: &Tile,
        bytes: &[u8],
        on_leaf: impl FnMut(u64, &[u8]),
    ) -> Result<(), CheckError> {
        let wanted = self.wanted().ok_or(CheckError::Unwanted { tile: *tile })?;
        if *tile != wanted && *tile != wanted.full() {
            return Err(CheckError::Unwanted { tile: *tile });
        }
        match wanted.kind() {
            TileKind::Entries => self.take_entries(&wanted, tile, bytes, on_leaf)?,
            TileKind::Hashes { level } => self.compare(level, &wanted, tile, bytes)?,
        }
        self.wanted.pop_front();
        if self.wanted.is_empty() {
            self.want_next_bundle();
        }
        Ok(())
    }

    /// Compares the root with the checkpoint's, after all files were supplied.
    pub fn finish(&self) -> Result<Frontier, CheckError> {
        if let Some(tile) = self.wanted() {
            return Err(CheckError::Missing { tile });
        }
        self.checker.finish(self.head)
    }

    fn over(checker: LogChecker, head: TreeHead) -> Result<Self, CheckError> {
        let since = checker.next_index();
        if head.size > MAX_SIZE || head.size < since {
            return Err(CheckError::Size {
                expected: head.size,
                found: since,
            });
        }
        let computed = std::array::from_fn(|level| Computed {
            first: since >> (8 * level),
            hashes: Vec::new(),
        });
        let mut this = Self {
            head,
            checker,
            wanted: VecDeque::new(),
            computed,
        };
        this.want_next_bundle();
        Ok(this)
    }

    fn want_next_bundle(&mut self) {
        self.wanted
            .extend(Tile::of_leaf(self.checker.next_index(), self.head.size));
    }

    /// Reads the new leaves of a bundle, and asks for the hash tiles that they complete.
    fn take_entries(
        &mut self,
        wanted: &Tile,
        given: &Tile,
        bytes: &[u8],
        mut on_leaf: impl FnMut(u64, &[u8]),
    ) -> Result<(), CheckError> {
        let leaves = decode_entries(given, bytes)?;
        let next = self.checker.next_index();
        for (index, leaf) in wanted
            .leaves()
            .zip(leaves)
            .skip_while(|(index, _)| *index < next)
        {
            let computed = &mut self.computed;
            self.checker
                .frontier
                .append_each(leaf_hash(leaf), |node, hash| {
                    if let Some(row) = tile_level(node).and_then(|level| computed.get_mut(level)) {
                        row.hashes.push(*hash);
                    }
                });
            on_leaf(index, leaf);
        }
        let size = self.checker.next_index();
        let is_last = size == self.head.size;
        for (level, row) in (0u8..).zip(&self.computed) {
            // The last hash of a row may be that of a tile begun before: ask for the tile that
            // holds it as soon as it is full, or when the log ends.
            let end = row.first + row.hashes.len() as u64;
            if row.hashes.is_empty() || !(is_last || end.is_multiple_of(FULL_WIDTH.into())) {
                continue;
            }
            let index = (end - 1) / u64::from(FULL_WIDTH);
            let width = (end - 1) % u64::from(FULL_WIDTH) + 1;
            let kind = TileKind::Hashes { level };
            let width = u16::try_from(width).unwrap_or(FULL_WIDTH);
            self.wanted.push_back(Tile::new(kind, index, width)?);
        }
        Ok(())
    }

    /// Compares a hash tile with what was computed.
    fn compare(
        &mut self,
        level: u8,
        wanted: &Tile,
        given: &Tile,
        bytes: &[u8],
    ) -> Result<(), CheckError> {
        let stored = decode_hashes(given, bytes)?;
        let Some(row) = self.computed.get_mut(usize::from(level)) else {
            return Err(CheckError::Unwanted { tile: *wanted });
        };
        let skip = wanted
            .nodes()
            .take_while(|node| node.index < row.first)
            .count();
        for ((node, stored), computed) in
            wanted.nodes().zip(stored).skip(skip).zip(row.hashes.iter())
        {
            if stored != computed {
                let leaves = node.leaves();
                return Err(match level {
                    0 => CheckError::Leaf {
                        index: leaves.start,
                    },
                    _ => CheckError::Node {
                        tile: *wanted,
                        first: leaves.start,
                        end: leaves.end,
                    },
                });
            }
        }
        row.first += row.hashes.len() as u64;
        row.hashes.clear();
        Ok(())
    }
}

/// Where and how a log does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The kept frontier does not belong to the kept checkpoint.
    #[error("the kept frontier does not belong to the checkpoint of {size} leaves: start anew")]
    Resume {
        /// The checkpoint's size.
        size: u64,
    },
    /// A leaf was left out, repeated or moved.
    #[error("leaf {found} was given where leaf {expected} comes next: one is missing or moved")]
    Order {
        /// The index that comes next.
        expected: u64,
        /// The index that was given.
        found: u64,
    },
    /// A leaf does not hash to the hash that the log stores for it.
    #[error("leaf {index} does not have the hash that the log holds for it: one was altered")]
    Leaf {
        /// The leaf's index.
        index: u64,
    },
    /// A stored hash above the leaves does not follow from them.
    #[error("`{tile}` does not fit leaves {first} to {}: one of them was altered", end - 1)]
    Node {
        /// The tile.
        tile: Tile,
        /// The first leaf below the wrong hash.
        first: u64,
        /// The leaf after the last one below it.
        end: u64,
    },
    /// Another number of leaves than the checkpoint states.
    #[error("the checkpoint states {expected} leaves, but {found} were read: the log was cut back")]
    Size {
        /// The number the checkpoint states.
        expected: u64,
        /// The number read.
        found: u64,
    },
    /// The leaves are not those under the checkpoint.
    #[error("leaves {since} to {size} do not lead to the checkpoint's root: the log was rewritten")]
    Root {
        /// The first leaf that was read.
        since: u64,
        /// The number of leaves.
        size: u64,
    },
    /// A file that was not asked for.
    #[error("`{tile}` is not the file that is wanted next")]
    Unwanted {
        /// The file.
        tile: Tile,
    },
    /// A file that was not supplied.
    #[error("`{tile}` was not supplied: the log is not whole")]
    Missing {
        /// The file.
        tile: Tile,
    },
    /// A file is broken.
    #[error(transparent)]
    Tile(#[from] TileError),
}

/// The tile level in whose rows a node's hash stands, if any.
fn tile_level(node: NodeId) -> Option<usize> {
    node.level
        .is_multiple_of(8)
        .then_some(usize::from(node.level / 8))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
