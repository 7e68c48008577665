//! Finding the leaves that differ from those under a signed root.
//!
//! The root is trusted, since the node signed it; the hashes on the way down are not, and the node
//! has to give them as inclusion proofs. Two proofs give the two halves of a tree, and both halves
//! together have to hash to the tree's own hash: so each step down rests on the one before. Where a
//! half has the hash that its leaves give, nothing below it differs.
//!
//! While a log is read, only one hash for every [`BLOCK`] leaves is kept. The descent goes down to
//! the blocks that differ, and reads the leaves of those alone a second time.

use std::future::Future;
use std::ops::Range;

use crate::envelope::merkle::{Hash, node_hash, root_of};
use crate::tlog::Frontier;
use crate::tlog::tree::root_nodes;

/// Leaves under one kept hash.
pub(super) const BLOCK: u64 = 256;

/// Level of the tree at which a block's hash stands.
const LEVEL: u8 = 8;

/// Most leaves that are named.
pub(super) const MOST: usize = 64;

/// What the descent found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Located {
    /// Leaves that have another hash than the one under the root.
    pub altered: Vec<u64>,
    /// Trees whose halves the node could not prove: something below differs, or the stored hashes
    /// of the tree do.
    pub unproved: Vec<(Range<u64>, String)>,
    /// Leaves that were verified before and are not the same under the root any more.
    pub rewritten: Vec<Range<u64>>,
    /// Whether the search was ended early because too much was found.
    pub cut_short: bool,
}

impl Located {
    fn too_much(&self) -> bool {
        self.altered.len() + self.unproved.len() + self.rewritten.len() >= MOST
    }
}

/// The tree of the leaves that were read, as far as it is kept: the frontier, and one hash a block.
#[derive(Clone)]
pub(super) struct Tree {
    base: Frontier,
    frontier: Frontier,
    /// Hashes of full blocks, from the one on in which the reading began.
    blocks: Vec<Hash>,
}

impl Tree {
    /// A tree that is read on from `base`.
    pub(super) fn on(base: Frontier) -> Self {
        Self {
            frontier: base.clone(),
            base,
            blocks: Vec::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Takes the hash of the next leaf.
    pub(super) fn append(&mut self, leaf: Hash) {
        let blocks = &mut self.blocks;
        self.frontier.append_each(leaf, |node, hash| {
            if node.level == LEVEL {
                blocks.push(*hash);
            }
        });
    }

    /// The hash of a tree of whole blocks, or of the last one, as it was read.
    fn hash(&self, leaves: &Range<u64>) -> Option<Hash> {
        let first = self.base.size() / BLOCK;
        let start = leaves.start / BLOCK;
        let end = leaves.end.div_ceil(BLOCK);
        let slot = |block: u64| usize::try_from(block.checked_sub(first)?).ok();
        let full = leaves.end / BLOCK;
        let mut hashes = self.blocks.get(slot(start)?..slot(full)?)?.to_vec();
        if end > full {
            if leaves.end != self.size() {
                return None;
            }
            hashes.push(self.last_block()?);
        }
        Some(root_of(hashes))
    }

    /// The hash of the last block, if it is not full.
    fn last_block(&self) -> Option<Hash> {
        let nodes = root_nodes(self.size());
        let mut low = nodes
            .iter()
            .zip(self.frontier.hashes())
            .filter(|(node, _)| node.level < LEVEL)
            .map(|(_, hash)| *hash)
            .rev();
        let last = low.next()?;
        Some(low.fold(last, |right, left| node_hash(&left, &right)))
    }

    /// Whether a tree that was verified before is the same under the root.
    fn is_as_before(&self, leaves: &Range<u64>, expected: &Hash) -> bool {
        root_nodes(self.base.size())
            .iter()
            .zip(self.base.hashes())
            .any(|(node, hash)| node.leaves() == *leaves && hash == expected)
    }
}

/// Descends from `root` over a tree of which every leaf was read.
///
/// `prove(index)` gives the inclusion proof of a leaf in the whole tree; `reread(leaves)` the
/// hashes of a run of leaves, read again, those that the node cannot read as nothing.
pub(super) async fn locate<P, F, R, G>(tree: &Tree, root: Hash, prove: P, reread: R) -> Located
where
    P: Fn(u64) -> F,
    F: Future<Output = Result<Vec<Hash>, String>>,
    R: Fn(Range<u64>) -> G,
    G: Future<Output = Result<Vec<Option<Hash>>, String>>,
{
    let mut located = Located::default();
    // Trees still to be looked at: leaves, depth below the root, the hash they must have.
    let mut open = vec![(0..tree.size(), 0_usize, root)];
    while let Some((leaves, depth, expected)) = open.pop() {
        if leaves.end <= tree.base.size() {
            if !tree.is_as_before(&leaves, &expected) {
                located.rewritten.push(leaves);
            }
            continue;
        }
        if tree.hash(&leaves) == Some(expected) {
            continue;
        }
        if located.too_much() {
            located.cut_short = true;
            break;
        }
        if leaves.end - leaves.start <= BLOCK {
            match reread(leaves.clone()).await {
                Ok(mut hashes) => {
                    let verified = tree.base.size();
                    let block = Block { leaves, verified };
                    within(&block, depth, expected, &mut hashes, &prove, &mut located).await;
                }
                Err(why) => located.unproved.push((leaves, why)),
            }
            continue;
        }
        match halves(&leaves, depth, &prove).await {
            Ok((left, right)) if node_hash(&left, &right) == expected => {
                let middle = split(&leaves);
                // The left half is popped first, so that places are found in order.
                open.push((middle..leaves.end, depth + 1, right));
                open.push((leaves.start..middle, depth + 1, left));
            }
            Ok(_) => located.unproved.push((leaves, STORED.to_owned())),
            Err(why) => located.unproved.push((leaves, why)),
        }
    }
    located
}

const STORED: &str = "the hashes that the node stores for them do not hold either";

struct Block {
    leaves: Range<u64>,
    /// How many leaves of the log were verified before.
    verified: u64,
}

/// The same within one block. Unknown leaves that lie under the root are no finding.
async fn within<P, F>(
    block: &Block,
    depth: usize,
    expected: Hash,
    hashes: &mut [Option<Hash>],
    prove: &P,
    located: &mut Located,
) where
    P: Fn(u64) -> F,
    F: Future<Output = Result<Vec<Hash>, String>>,
{
    let before = located.altered.len() + located.unproved.len();
    let whole = hashes.iter().all(Option::is_some);
    let mut open = vec![(block.leaves.clone(), depth, expected)];
    while let Some((leaves, depth, expected)) = open.pop() {
        let first = block.leaves.start;
        let (from, to) = (leaves.start - first, leaves.end - first);
        let Some(slots) = hashes.get_mut(from as usize..to as usize) else {
            located
                .unproved
                .push((leaves, "the node gave too few leaves".to_owned()));
            return;
        };
        let known: Option<Vec<Hash>> = slots.iter().copied().collect();
        if known.is_some_and(|known| root_of(known) == expected) {
            continue;
        }
        if located.too_much() {
            located.cut_short = true;
            return;
        }
        if let [slot] = slots {
            if slot.replace(expected).is_some() {
                located.altered.push(leaves.start);
            }
            continue;
        }
        match halves(&leaves, depth, prove).await {
            Ok((left, right)) if node_hash(&left, &right) == expected => {
                let middle = split(&leaves);
                open.push((middle..leaves.end, depth + 1, right));
                open.push((leaves.start..middle, depth + 1, left));
            }
            Ok(_) => located.unproved.push((leaves, STORED.to_owned())),
            Err(why) => located.unproved.push((leaves, why)),
        }
    }
    if whole && located.altered.len() + located.unproved.len() == before {
        // Read again, the block is what was signed: it is not what was read, or not what was
        // verified before.
        let leaves = block.leaves.clone();
        if leaves.start < block.verified {
            located.rewritten.push(leaves.start..block.verified);
        } else {
            let why = "the node gave other leaves when it was asked a second time".to_owned();
            located.unproved.push((leaves, why));
        }
    }
}

/// The hashes of both halves of a tree: each is the sibling in the proof of a leaf of the other.
async fn halves<P, F>(leaves: &Range<u64>, depth: usize, prove: &P) -> Result<(Hash, Hash), String>
where
    P: Fn(u64) -> F,
    F: Future<Output = Result<Vec<Hash>, String>>,
{
    let right = sibling(prove(leaves.start).await?, depth)?;
    let left = sibling(prove(split(leaves)).await?, depth)?;
    Ok((left, right))
}

/// The sibling at one depth below the root: a proof runs from the leaf up.
fn sibling(proof: Vec<Hash>, depth: usize) -> Result<Hash, String> {
    proof
        .len()
        .checked_sub(depth + 1)
        .and_then(|at| proof.get(at).copied())
        .ok_or_else(|| "a proof of inclusion is too short".to_owned())
}

/// The hash that a leaf has in a tree of `size` leaves, as the node proves it: for leaves that the
/// node cannot read any more. It counts once the root holds.
pub(super) async fn hash_of_leaf<P, F>(index: u64, size: u64, prove: P) -> Result<Hash, String>
where
    P: Fn(u64) -> F,
    F: Future<Output = Result<Vec<Hash>, String>>,
{
    let mut leaves = 0..size;
    let mut depth = 0_usize;
    let mut beside = None;
    while leaves.end - leaves.start > 1 {
        let middle = split(&leaves);
        if index < middle {
            beside = Some((middle, depth));
            leaves.end = middle;
        } else {
            beside = Some((leaves.start, depth));
            leaves.start = middle;
        }
        depth += 1;
    }
    let (beside, depth) = beside.ok_or("a tree of one leaf proves nothing of it")?;
    sibling(prove(beside).await?, depth)
}

/// Where RFC 6962 splits a tree of two or more leaves.
fn split(leaves: &Range<u64>) -> u64 {
    let width = leaves.end.saturating_sub(leaves.start).max(2);
    leaves.start + (1 << (width - 1).ilog2())
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
