//! The Merkle tree of RFC 6962, section 2.1, grown one leaf at a time.
//!
//! A tree of any size is a row of *perfect* subtrees, whose leaf counts are the powers of two in
//! the size's binary form, largest first. A perfect subtree never changes once it is full, so
//! storage holds exactly those ([`NodeId`]), and everything else is computed from them. The
//! [`Frontier`] is that row for the newest size: all that is needed to append.

use std::ops::Range;

pub use crate::envelope::merkle::{Hash, empty_root, leaf_hash, node_hash};

/// The largest tree size, by the word of C2SP's formats: 2^63 - 1.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// The place of a perfect subtree: `2^level` leaves, the first of which is `index * 2^level`.
///
/// Level 0 holds the leaf hashes. Both numbers together are the key under which storage keeps a
/// hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// The height above the leaves, 0 to 62.
    pub level: u8,
    /// The position among the nodes of the same level, from 0.
    pub index: u64,
}

impl NodeId {
    /// The indexes of the leaves below; an empty range at `u64::MAX` when they lie beyond
    /// 64 bits.
    #[must_use]
    pub fn leaves(&self) -> Range<u64> {
        let bound = |index: u128| u64::try_from(index << self.level.min(63)).unwrap_or(u64::MAX);
        bound(self.index.into())..bound(u128::from(self.index) + 1)
    }

    /// The nodes this one is the hash of, or `None` for a leaf.
    #[must_use]
    pub fn children(&self) -> Option<(Self, Self)> {
        let level = self.level.checked_sub(1)?;
        let left = self.index.checked_mul(2)?;
        Some((
            Self { level, index: left },
            Self {
                level,
                index: left + 1,
            },
        ))
    }
}

/// The perfect subtrees that make up a tree, from which its root is computed and to which leaves
/// are appended (also called a compact range).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// One hash for each set bit of `size`, the largest subtree first.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of a tree of `size` leaves, from the hashes of [`root_nodes`]`(size)` in
    /// that order.
    pub fn from_nodes(size: u64, hashes: Vec<Hash>) -> Result<Self, TreeError> {
        if size > MAX_SIZE {
            return Err(TreeError::Size { size });
        }
        let expected = size.count_ones() as usize;
        if hashes.len() != expected {
            return Err(TreeError::NodeCount {
                size,
                expected,
                found: hashes.len(),
            });
        }
        Ok(Self {
            size,
            nodes: hashes,
        })
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the perfect subtrees, the largest first.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.nodes
    }

    /// The Merkle tree hash.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.nodes).unwrap_or_else(empty_root)
    }

    /// Appends a leaf by its hash ([`leaf_hash`]) and returns what storage has to keep: the leaf
    /// and each perfect subtree that it completes, lowest first.
    #[must_use = "the returned nodes have to be stored"]
    pub fn append(&mut self, leaf_hash: Hash) -> Vec<(NodeId, Hash)> {
        let mut completed = Vec::with_capacity(self.size.trailing_ones() as usize + 1);
        self.append_each(leaf_hash, |node, hash| completed.push((node, *hash)));
        completed
    }

    /// The same as [`Frontier::append`], handing each node to `completed` instead.
    pub fn append_each(&mut self, leaf_hash: Hash, mut completed: impl FnMut(NodeId, &Hash)) {
        let mut node = NodeId {
            level: 0,
            index: self.size,
        };
        let mut hash = leaf_hash;
        completed(node, &hash);
        // As in adding one to a binary number: each trailing one is a carry.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            node = NodeId {
                level: node.level + 1,
                index: node.index >> 1,
            };
            completed(node, &hash);
        }
        self.nodes.push(hash);
        // Reading bounds the size by `MAX_SIZE`; 2^63 further appends are out of reach.
        self.size += 1;
    }

    /// The size (8 bytes, big-endian), then the hashes, the largest subtree first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        self.nodes
            .iter()
            .for_each(|hash| bytes.extend_from_slice(hash));
        bytes
    }

    /// Reads what [`Frontier::to_bytes`] wrote. Whether the hashes are right shows only when
    /// [`Frontier::root`] is compared with a root that is trusted.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeError> {
        let (size, rest) = bytes.split_first_chunk().ok_or(TreeError::FrontierBytes)?;
        let (hashes, []) = rest.as_chunks::<32>() else {
            return Err(TreeError::FrontierBytes);
        };
        Self::from_nodes(u64::from_be_bytes(*size), hashes.to_vec())
    }
}

/// The stored nodes from which the root of a tree of `size` leaves is computed, the largest
/// subtree first. They are also the nodes of its [`Frontier`].
#[must_use]
pub fn root_nodes(size: u64) -> Vec<NodeId> {
    cover(0..size).collect()
}

/// The perfect subtrees that cover a range of leaves, left to right.
pub(super) fn cover(leaves: Range<u64>) -> impl Iterator<Item = NodeId> {
    let Range { start: mut at, end } = leaves;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at)?.checked_ilog2()?;
        let level = left.min(at.trailing_zeros());
        let node = NodeId {
            level: level as u8,
            index: at >> level,
        };
        at += 1 << level;
        Some(node)
    })
}

/// The hash of a subtree from those of the perfect subtrees that cover it, left to right.
pub(super) fn fold(hashes: &[Hash]) -> Option<Hash> {
    let (last, rest) = hashes.split_last()?;
    Some(
        rest.iter()
            .rfold(*last, |right, left| node_hash(left, &right)),
    )
}

/// Why a tree cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Above [`MAX_SIZE`].
    #[error("a tree of {size} leaves is beyond the largest size of 2^63 - 1")]
    Size {
        /// The size asked for.
        size: u64,
    },
    /// Not as many hashes as the size demands.
    #[error("a tree of {size} leaves is made of {expected} nodes, but {found} were given")]
    NodeCount {
        /// The tree's size.
        size: u64,
        /// How many nodes it is made of.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// Not a frontier in bytes.
    #[error("the stored frontier is not 8 bytes and whole hashes: rebuild it from the log")]
    FrontierBytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::testing::{CT_LEAVES, CT_ROOTS, naive_root, numbered_leaves};
    use std::collections::BTreeMap;

    #[test]
    fn the_certificate_transparency_vectors_hold() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), empty_root());
        for (leaf, root) in CT_LEAVES.iter().zip(CT_ROOTS) {
            let _ = frontier.append(leaf_hash(&hex::decode(leaf).unwrap()));
            assert_eq!(hex::encode(frontier.root()), root);
        }
    }

    #[test]
    fn every_size_has_the_root_of_the_rfc_and_stores_each_node_once() {
        let leaves = numbered_leaves(300);
        let mut frontier = Frontier::new();
        let mut stored = BTreeMap::new();
        for (index, leaf) in leaves.iter().enumerate() {
            for (node, hash) in frontier.append(*leaf) {
                assert_eq!(stored.insert(node, hash), None, "{node:?} stored twice");
            }
            let size = index + 1;
            assert_eq!(frontier.size(), size as u64);
            assert_eq!(frontier.root(), naive_root(&leaves[..size]));

            // The same frontier comes from storage and from bytes.
            let nodes = root_nodes(size as u64)
                .iter()
                .map(|node| stored[node])
                .collect();
            assert_eq!(
                Frontier::from_nodes(size as u64, nodes),
                Ok(frontier.clone())
            );
            assert_eq!(
                Frontier::from_bytes(&frontier.to_bytes()),
                Ok(frontier.clone())
            );
        }
        for (node, hash) in stored {
            let Range { start, end } = node.leaves();
            assert_eq!(hash, naive_root(&leaves[start as usize..end as usize]));
        }
    }

    #[test]
    fn a_frontier_of_the_wrong_shape_is_refused() {
        let mut bytes = 5u64.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 64]);
        assert!(Frontier::from_bytes(&bytes).is_ok());
        for (bytes, error) in [
            (bytes[..7].to_vec(), TreeError::FrontierBytes),
            (bytes[..71].to_vec(), TreeError::FrontierBytes),
            (
                bytes[..40].to_vec(),
                TreeError::NodeCount {
                    size: 5,
                    expected: 2,
                    found: 1,
                },
            ),
            (vec![0xff; 8 + 64 * 32], TreeError::Size { size: u64::MAX }),
        ] {
            assert_eq!(Frontier::from_bytes(&bytes), Err(error));
        }
    }

    #[test]
    fn nodes_know_their_leaves_and_children() {
        let node = NodeId { level: 3, index: 2 };
        assert_eq!(node.leaves(), 16..24);
        let (left, right) = node.children().unwrap();
        assert_eq!((left.leaves(), right.leaves()), (16..20, 20..24));
        assert_eq!(NodeId { level: 0, index: 2 }.children(), None);
        assert_eq!(
            NodeId {
                level: 255,
                index: u64::MAX
            }
            .leaves(),
            u64::MAX..u64::MAX
        );
        assert_eq!(
            NodeId {
                level: 255,
                index: u64::MAX
            }
            .children(),
            None
        );
    }
}
