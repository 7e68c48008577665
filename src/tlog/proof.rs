//! Inclusion and consistency proofs (RFC 6962, section 2.1; verification as in RFC 9162).
//!
//! Making a proof takes two steps, so that a database without blocking calls can serve it: ask
//! which stored nodes are needed (`*_nodes`), fetch their hashes in that order, hand them to
//! `assemble_*`. Verifying needs nothing but the proof.

use std::ops::Range;

use super::tree::{Hash, MAX_SIZE, NodeId, cover, empty_root, fold, node_hash, root_nodes};

/// The longest proof of either kind, in hashes.
pub const MAX_PROOF_HASHES: usize = 63;

/// The stored nodes needed to prove that leaf `index` is in the tree of `size` leaves.
pub fn inclusion_nodes(index: u64, size: u64) -> Result<Vec<NodeId>, ProofError> {
    Ok(inclusion_path(index, size)?
        .into_iter()
        .flat_map(cover)
        .collect())
}

/// The inclusion proof, the leaf's sibling first, from the hashes of [`inclusion_nodes`].
pub fn assemble_inclusion(index: u64, size: u64, hashes: &[Hash]) -> Result<Vec<Hash>, ProofError> {
    assemble(inclusion_path(index, size)?, hashes)
}

/// The stored nodes needed to prove that the tree of `new_size` leaves extends that of
/// `old_size`. None are needed when the sizes are equal or the old tree is empty.
pub fn consistency_nodes(old_size: u64, new_size: u64) -> Result<Vec<NodeId>, ProofError> {
    Ok(consistency_path(old_size, new_size)?
        .into_iter()
        .flat_map(cover)
        .collect())
}

/// The consistency proof from the hashes of [`consistency_nodes`].
pub fn assemble_consistency(
    old_size: u64,
    new_size: u64,
    hashes: &[Hash],
) -> Result<Vec<Hash>, ProofError> {
    assemble(consistency_path(old_size, new_size)?, hashes)
}

/// The root of the tree of `size` leaves from the hashes of [`root_nodes`]; `size` may be any
/// that the log has passed.
pub fn assemble_root(size: u64, hashes: &[Hash]) -> Result<Hash, ProofError> {
    checked_size(size)?;
    let expected = root_nodes(size).len();
    if hashes.len() != expected {
        return Err(ProofError::NodeCount {
            expected,
            found: hashes.len(),
        });
    }
    Ok(fold(hashes).unwrap_or_else(empty_root))
}

/// Checks that a leaf is at `index` in the tree with this size and root (RFC 9162, section
/// 2.1.3.2).
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    // Step 1: the index must lie in the tree.
    checked_size(size)?;
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    // Steps 2 and 3.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    // Step 4.
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Inclusion { index, size });
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            climb_to_left_edge(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    // Step 5.
    if last != 0 || hash != *root {
        return Err(ProofError::Inclusion { index, size });
    }
    Ok(())
}

/// Checks that the tree with the new size and root extends the one with the old (RFC 9162,
/// section 2.1.4.2).
///
/// Equal sizes need equal roots and an empty proof. Every tree extends the empty one, by an
/// empty proof (as C2SP tlog-witness has it).
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    checked_sizes(old_size, new_size)?;
    let refused = Err(ProofError::Consistency { old_size, new_size });
    if old_size == 0 {
        let holds = proof.is_empty() && *old_root == empty_root();
        return if holds { Ok(()) } else { refused };
    }
    if old_size == new_size {
        let holds = proof.is_empty() && old_root == new_root;
        return if holds { Ok(()) } else { refused };
    }
    // Steps 1 and 2: a perfect old tree is its own first node.
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        match proof.split_first() {
            Some(parts) => parts,
            None => return refused,
        }
    };
    // Steps 3 to 5.
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    let (mut old_hash, mut new_hash) = (*first, *first);
    // Step 6.
    for sibling in rest {
        if last == 0 {
            return refused;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            climb_to_left_edge(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    // Step 7.
    if last != 0 || old_hash != *old_root || new_hash != *new_root {
        return refused;
    }
    Ok(())
}

/// Why a proof cannot be made, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A size above [`MAX_SIZE`].
    #[error("a tree of {size} leaves is beyond the largest size of 2^63 - 1")]
    Size {
        /// The size asked for.
        size: u64,
    },
    /// No such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves; ask for a newer checkpoint")]
    IndexBeyondSize {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The old tree is larger than the new one.
    #[error("a log of {new_size} leaves cannot extend one of {old_size}: it was cut back")]
    SizesReversed {
        /// The older size.
        old_size: u64,
        /// The newer size.
        new_size: u64,
    },
    /// Storage did not give the hashes that were asked for.
    #[error("{expected} stored nodes are needed, but {found} were given: the store lacks some")]
    NodeCount {
        /// How many are needed.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// An inclusion proof that does not hold.
    #[error("the proof does not show leaf {index} in the tree of {size} leaves")]
    Inclusion {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// A consistency proof that does not hold.
    #[error(
        "the proof does not show that the tree of {new_size} leaves extends that of {old_size}"
    )]
    Consistency {
        /// The older size.
        old_size: u64,
        /// The newer size.
        new_size: u64,
    },
}

/// PATH of RFC 6962, section 2.1.1, as the subtrees whose hashes make up the proof.
fn inclusion_path(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    checked_size(size)?;
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let Range { mut start, mut end } = 0..size;
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = split(&(start..end));
        if index < middle {
            path.push(middle..end);
            end = middle;
        } else {
            path.push(start..middle);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// PROOF of RFC 6962, section 2.1.2, as the subtrees whose hashes make up the proof.
fn consistency_path(old_size: u64, new_size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    checked_sizes(old_size, new_size)?;
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let Range { mut start, mut end } = 0..new_size;
    let mut path = Vec::new();
    while old_size != end {
        let middle = split(&(start..end));
        if old_size <= middle {
            path.push(middle..end);
            end = middle;
        } else {
            path.push(start..middle);
            start = middle;
        }
    }
    // A subtree from the left edge is the old tree itself, which the verifier knows.
    if start != 0 {
        path.push(start..end);
    }
    path.reverse();
    Ok(path)
}

/// Where RFC 6962 splits a subtree of two or more leaves: after the largest power of two that
/// is smaller than their number.
fn split(leaves: &Range<u64>) -> u64 {
    leaves.start + (1 << (leaves.end - leaves.start - 1).ilog2())
}

/// Folds the hashes that cover each subtree of a path into one hash.
fn assemble(path: Vec<Range<u64>>, hashes: &[Hash]) -> Result<Vec<Hash>, ProofError> {
    let counts: Vec<usize> = path
        .into_iter()
        .map(|leaves| cover(leaves).count())
        .collect();
    let expected = counts.iter().sum();
    let wrong = ProofError::NodeCount {
        expected,
        found: hashes.len(),
    };
    if hashes.len() != expected {
        return Err(wrong);
    }
    let mut rest = hashes;
    counts
        .into_iter()
        .map(|count| {
            let (these, others) = rest.split_at_checked(count)?;
            rest = others;
            fold(these)
        })
        .collect::<Option<_>>()
        .ok_or(wrong)
}

/// On the right edge levels may be missing: go up to where the node is a right child.
fn climb_to_left_edge(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn checked_size(size: u64) -> Result<(), ProofError> {
    if size > MAX_SIZE {
        Err(ProofError::Size { size })
    } else {
        Ok(())
    }
}

fn checked_sizes(old_size: u64, new_size: u64) -> Result<(), ProofError> {
    checked_size(new_size)?;
    if old_size > new_size {
        return Err(ProofError::SizesReversed { old_size, new_size });
    }
    Ok(())
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
