//! Tiles and entry bundles: a log as plain files (C2SP tlog-tiles, height 8).
//!
//! A *hash tile* of level `l` is a row of up to 256 node hashes of tree level `8 * l`; an *entry
//! bundle* is the row of up to 256 leaves below a level-0 tile, each with its length before it
//! (two bytes, big-endian). At the right edge of the log the rows are shorter, and their path
//! says how long they are:
//!
//! ```text
//! tile/0/x001/x234/067         the full tile 1234067 of level 0
//! tile/1/000.p/17              17 hashes of the first tile of level 1
//! tile/entries/273.p/112       112 leaves
//! ```

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::checkpoint::parse_decimal;
use super::tree::{Hash, MAX_SIZE, NodeId};
use crate::envelope::merkle::root_of;

/// The number of hashes in a full tile, and of leaves in a full bundle.
pub const FULL_WIDTH: u16 = 256;

/// The longest leaf in bytes.
pub const MAX_LEAF_BYTES: usize = u16::MAX as usize;

/// The tree levels that one tile spans, as a power of two.
pub const HEIGHT: u8 = 8;

/// The highest tile level that a log of [`MAX_SIZE`] leaves has.
const MAX_LEVEL: u8 = 7;

/// The name of a hash tile or an entry bundle; its text form is the path below the log's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Leaves.
    Entries,
    /// Hashes of the nodes of tree level `8 * level`.
    Hashes {
        /// The tile's level, 0 to 7.
        level: u8,
    },
}

impl Tile {
    /// The tile at position `index` of its kind, `width` (1 to 256) hashes or leaves long.
    pub fn new(kind: TileKind, index: u64, width: u16) -> Result<Self, TileError> {
        let exists = match kind {
            TileKind::Entries => true,
            TileKind::Hashes { level } => level <= MAX_LEVEL,
        };
        if !exists || width == 0 || width > width_in(kind, index, MAX_SIZE) {
            return Err(TileError::NoSuchTile);
        }
        Ok(Self { kind, index, width })
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its position among the tiles of its kind, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or leaves it holds, 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The same tile once it has filled up, which a log may serve instead of a partial one.
    #[must_use]
    pub fn full(&self) -> Self {
        // At the very end of the largest log there is none.
        Self::new(self.kind, self.index, FULL_WIDTH).unwrap_or(*self)
    }

    /// Whether a log of `size` leaves has it.
    #[must_use]
    pub fn is_in(&self, size: u64) -> bool {
        width_in(self.kind, self.index, size) >= self.width
    }

    /// The nodes whose hashes a hash tile holds, in order; for a bundle, those of its leaves.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        let level = tree_level(self.kind);
        self.positions().map(move |index| NodeId { level, index })
    }

    /// The leaves that lie below it.
    #[must_use]
    pub fn leaves(&self) -> Range<u64> {
        let Range { start, end } = self.positions();
        let level = tree_level(self.kind);
        start << level..end << level
    }

    /// All hash tiles of a log of `size` leaves, level by level; partial ones last in each.
    pub fn all_hashes(size: u64) -> impl Iterator<Item = Self> {
        (0..=MAX_LEVEL).flat_map(move |level| Self::row(TileKind::Hashes { level }, size))
    }

    /// All entry bundles of a log of `size` leaves.
    pub fn all_entries(size: u64) -> impl Iterator<Item = Self> {
        Self::row(TileKind::Entries, size)
    }

    /// The bundle that holds a leaf, as wide as it is in a log of `size` leaves.
    #[must_use]
    pub fn of_leaf(index: u64, size: u64) -> Option<Self> {
        let index = if index < size {
            index >> HEIGHT
        } else {
            return None;
        };
        Self::new(
            TileKind::Entries,
            index,
            width_in(TileKind::Entries, index, size),
        )
        .ok()
    }

    /// The hash tile from which the hash of a node can be had ([`node_in_tile`]), as wide as it
    /// is in a log of `size` leaves. `None` when the node is not complete at that size.
    #[must_use]
    pub fn of_node(node: NodeId, size: u64) -> Option<Self> {
        if node.level >= 63 || node.index >= size.min(MAX_SIZE) >> node.level {
            return None;
        }
        let kind = TileKind::Hashes {
            level: node.level / HEIGHT,
        };
        let index = (node.index << (node.level % HEIGHT)) >> HEIGHT;
        Self::new(kind, index, width_in(kind, index, size)).ok()
    }

    fn row(kind: TileKind, size: u64) -> impl Iterator<Item = Self> {
        let count = (size.min(MAX_SIZE) >> tree_level(kind)).div_ceil(FULL_WIDTH.into());
        (0..count).map(move |index| Self {
            kind,
            index,
            width: width_in(kind, index, size),
        })
    }

    /// Where its hashes or leaves stand among those of its level.
    fn positions(&self) -> Range<u64> {
        let first = self.index << HEIGHT;
        first..first + u64::from(self.width)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups[1..].iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.width < FULL_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for Tile {
    type Err = TileError;

    /// Reads a path, without a leading slash. Only the one spelling of each tile is read.
    fn from_str(path: &str) -> Result<Self, TileError> {
        // Longer than any path of a tile; keeps the work on foreign input small.
        if path.len() > 64 {
            return Err(TileError::Path);
        }
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (kind, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => {
                let level = parse_decimal(level).ok_or(TileError::Path)?;
                TileKind::Hashes {
                    level: level.try_into().map_err(|_| TileError::NoSuchTile)?,
                }
            }
        };
        let (position, width) = match rest.split_once(".p/") {
            Some((position, width)) => (position, parse_decimal(width).ok_or(TileError::Path)?),
            None => (rest, FULL_WIDTH.into()),
        };
        let width = width.try_into().map_err(|_| TileError::NoSuchTile)?;
        let mut index = 0u64;
        for group in position.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(TileError::Path);
            }
            let digits = digits.parse().map_err(|_| TileError::Path)?;
            let shifted = index.checked_mul(1000).ok_or(TileError::NoSuchTile)?;
            index = shifted.checked_add(digits).ok_or(TileError::NoSuchTile)?;
        }
        let tile = Self::new(kind, index, width)?;
        // Catches a missing or misplaced `x`, leading zero groups and `.p/256`.
        if tile.to_string() != path {
            return Err(TileError::Path);
        }
        Ok(tile)
    }
}

/// The bytes of a hash tile from the hashes of [`Tile::nodes`], in that order.
pub fn encode_hashes(tile: &Tile, hashes: &[Hash]) -> Result<Vec<u8>, TileError> {
    if hashes.len() != usize::from(tile.width) {
        return Err(TileError::Width {
            tile: *tile,
            found: hashes.len(),
        });
    }
    Ok(hashes.concat())
}

/// The hashes in a hash tile's bytes, in the order of [`Tile::nodes`].
pub fn decode_hashes<'b>(tile: &Tile, bytes: &'b [u8]) -> Result<&'b [Hash], TileError> {
    match bytes.as_chunks() {
        (hashes, []) if hashes.len() == usize::from(tile.width) => Ok(hashes),
        (hashes, _) => Err(TileError::Width {
            tile: *tile,
            found: hashes.len(),
        }),
    }
}

/// The hash of a node out of the bytes of the tile that [`Tile::of_node`] names.
pub fn node_in_tile(node: NodeId, tile: &Tile, bytes: &[u8]) -> Result<Hash, TileError> {
    let hashes = decode_hashes(tile, bytes)?;
    let inside = node.level % HEIGHT;
    let same_level = tile.kind
        == TileKind::Hashes {
            level: node.level / HEIGHT,
        };
    let first = node
        .index
        .checked_shl(inside.into())
        .filter(|first| first >> inside == node.index);
    let start = first.and_then(|first| first.checked_sub(tile.index << HEIGHT));
    let below = start
        .filter(|_| same_level)
        .and_then(|start| usize::try_from(start).ok())
        .and_then(|start| hashes.get(start..start.checked_add(1 << inside)?))
        .ok_or(TileError::NodeElsewhere { tile: *tile })?;
    Ok(root_of(below.iter().copied()))
}

/// The bytes of an entry bundle.
pub fn encode_entries(tile: &Tile, leaves: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, TileError> {
    if leaves.len() != usize::from(tile.width) {
        return Err(TileError::Width {
            tile: *tile,
            found: leaves.len(),
        });
    }
    let mut bytes = Vec::new();
    for (leaf, index) in leaves.iter().zip(tile.leaves()) {
        let leaf = leaf.as_ref();
        let length = u16::try_from(leaf.len()).map_err(|_| TileError::LeafTooLong { index })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(leaf);
    }
    Ok(bytes)
}

/// The leaves in an entry bundle's bytes.
pub fn decode_entries<'b>(tile: &Tile, bytes: &'b [u8]) -> Result<Vec<&'b [u8]>, TileError> {
    let mut rest = bytes;
    let mut leaves = Vec::with_capacity(tile.width.into());
    for index in tile.leaves() {
        let (leaf, others) = rest
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()))
            .ok_or(TileError::EntriesCutOff { tile: *tile, index })?;
        leaves.push(leaf);
        rest = others;
    }
    if !rest.is_empty() {
        return Err(TileError::EntriesTooMany { tile: *tile });
    }
    Ok(leaves)
}

/// Why a path is not a tile's, or bytes are not a tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the path of a tile.
    #[error("not the path of a tile, such as `tile/0/x001/234.p/5` or `tile/entries/000`")]
    Path,
    /// The path is well-formed, but no log has such a tile.
    #[error("no log has a tile of this level, position and width")]
    NoSuchTile,
    /// A tile of another length than its path says.
    #[error("`{tile}` must hold {} hashes or leaves, not {found}: fetch it again", tile.width)]
    Width {
        /// The tile.
        tile: Tile,
        /// How many whole hashes or leaves there are.
        found: usize,
    },
    /// A node was looked for in a tile that does not hold it.
    #[error("`{tile}` does not hold the node that was looked for")]
    NodeElsewhere {
        /// The tile.
        tile: Tile,
    },
    /// A leaf above [`MAX_LEAF_BYTES`].
    #[error("leaf {index} is longer than {MAX_LEAF_BYTES} bytes, more than a bundle can hold")]
    LeafTooLong {
        /// The leaf's index.
        index: u64,
    },
    /// A bundle ends before its last leaf does.
    #[error("`{tile}` is cut off in leaf {index}: fetch it again")]
    EntriesCutOff {
        /// The bundle.
        tile: Tile,
        /// The leaf that is not whole.
        index: u64,
    },
    /// A bundle goes on after its last leaf.
    #[error("`{tile}` holds more than {} leaves: fetch it again", tile.width)]
    EntriesTooMany {
        /// The bundle.
        tile: Tile,
    },
}

fn tree_level(kind: TileKind) -> u8 {
    match kind {
        TileKind::Entries => 0,
        TileKind::Hashes { level } => HEIGHT * level,
    }
}

/// How wide a tile is in a log of `size` leaves; 0 when it does not exist.
fn width_in(kind: TileKind, index: u64, size: u64) -> u16 {
    let on_level = size.min(MAX_SIZE) >> tree_level(kind);
    let from_here = on_level.saturating_sub(index.saturating_mul(FULL_WIDTH.into()));
    from_here.try_into().unwrap_or(FULL_WIDTH).min(FULL_WIDTH)
}

#[cfg(test)]
#[path = "tile_tests.rs"]
mod tests;
