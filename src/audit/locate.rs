//! Finding the leaves that differ from those under a signed root.
//!
//! The root is trusted, since the node signed it; the hashes on the way down are not, and the node
//! has to give them as inclusion proofs. Two proofs give the two halves of a tree, and both halves
//! together have to hash to the tree's own hash: so each step down rests on the one before. Where a
//! half has the hash that its leaves give, nothing below it differs.

use std::future::Future;
use std::ops::Range;

use crate::envelope::merkle::{Hash, node_hash, root_of};

/// What the descent found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Located {
    /// Leaves that have another hash than the one under the root.
    pub altered: Vec<u64>,
    /// Trees whose halves the node could not prove: something below differs, or the stored hashes
    /// of the tree do.
    pub unproved: Vec<(Range<u64>, String)>,
    /// Whether the search was ended early because too much was found.
    pub cut_short: bool,
}

/// Most leaves that are named.
pub(super) const MOST: usize = 64;

/// Descends from `root` over `hashes`, of which those unknown are nothing. Unknown ones that lie
/// under the root are filled in and are not reported.
///
/// `prove(index)` gives the inclusion proof of a leaf in the whole tree.
pub(super) async fn locate<F, R>(hashes: &mut [Option<Hash>], root: Hash, prove: F) -> Located
where
    F: Fn(u64) -> R,
    R: Future<Output = Result<Vec<Hash>, String>>,
{
    let mut located = Located::default();
    let size = hashes.len() as u64;
    // Trees still to be looked at: leaves, depth below the root, the hash they must have.
    let mut open = vec![(0..size, 0_usize, root)];
    while let Some((leaves, depth, expected)) = open.pop() {
        let Some(slots) = hashes.get_mut(leaves.start as usize..leaves.end as usize) else {
            break;
        };
        let known: Option<Vec<Hash>> = slots.iter().copied().collect();
        if known.is_some_and(|known| root_of(known) == expected) {
            continue;
        }
        if located.altered.len() + located.unproved.len() >= MOST {
            located.cut_short = true;
            break;
        }
        if let [slot] = slots {
            if slot.replace(expected).is_some() {
                located.altered.push(leaves.start);
            }
            continue;
        }
        let middle = split(&leaves);
        match halves(&leaves, middle, depth, &prove).await {
            Ok((left, right)) if node_hash(&left, &right) == expected => {
                // The left half is popped first, so that places are found in order.
                open.push((middle..leaves.end, depth + 1, right));
                open.push((leaves.start..middle, depth + 1, left));
            }
            Ok(_) => located.unproved.push((
                leaves,
                "the hashes that the node stores for them do not hold either".to_owned(),
            )),
            Err(why) => located.unproved.push((leaves, why)),
        }
    }
    located
}

/// The hashes of both halves of a tree: each is the sibling in the proof of a leaf of the other.
async fn halves<F, R>(
    leaves: &Range<u64>,
    middle: u64,
    depth: usize,
    prove: &F,
) -> Result<(Hash, Hash), String>
where
    F: Fn(u64) -> R,
    R: Future<Output = Result<Vec<Hash>, String>>,
{
    let sibling = |proof: Vec<Hash>| {
        // A proof runs from the leaf to the root.
        let at = proof.len().checked_sub(depth + 1)?;
        proof.get(at).copied()
    };
    let short = || "a proof of inclusion is too short".to_owned();
    let right = sibling(prove(leaves.start).await?).ok_or_else(short)?;
    let left = sibling(prove(middle).await?).ok_or_else(short)?;
    Ok((left, right))
}

/// Where RFC 6962 splits a tree of two or more leaves.
fn split(leaves: &Range<u64>) -> u64 {
    let width = leaves.end.saturating_sub(leaves.start).max(2);
    leaves.start + (1 << (width - 1).ilog2())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::merkle::leaf_hash;
    use crate::tlog::{Frontier, NodeId, proof};
    use std::collections::BTreeMap;

    struct Tree {
        hashes: Vec<Hash>,
        nodes: BTreeMap<NodeId, Hash>,
        root: Hash,
    }

    fn tree(size: u64) -> Tree {
        let mut frontier = Frontier::new();
        let mut nodes = BTreeMap::new();
        let hashes: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        for hash in &hashes {
            nodes.extend(frontier.append(*hash));
        }
        Tree {
            hashes,
            nodes,
            root: frontier.root(),
        }
    }

    impl Tree {
        fn prove(&self, index: u64) -> Result<Vec<Hash>, String> {
            let size = self.hashes.len() as u64;
            let nodes = proof::inclusion_nodes(index, size).unwrap();
            let hashes: Vec<Hash> = nodes.iter().map(|node| self.nodes[node]).collect();
            Ok(proof::assemble_inclusion(index, size, &hashes).unwrap())
        }

        async fn locate(&self, read: &mut [Option<Hash>]) -> Located {
            locate(read, self.root, |index| {
                std::future::ready(self.prove(index))
            })
            .await
        }

        fn read(&self) -> Vec<Option<Hash>> {
            self.hashes.iter().copied().map(Some).collect()
        }
    }

    #[tokio::test]
    async fn every_altered_leaf_of_every_size_is_named() {
        for size in 1..40 {
            let tree = tree(size);
            assert_eq!(tree.locate(&mut tree.read()).await, Located::default());
            for altered in 0..size {
                let mut read = tree.read();
                read[altered as usize] = Some([7; 32]);
                let located = tree.locate(&mut read).await;
                assert_eq!(located.altered, [altered], "{altered} of {size}");
                assert!(located.unproved.is_empty());
            }
        }
    }

    #[tokio::test]
    async fn unknown_leaves_are_filled_in_and_hide_no_altered_one() {
        let tree = tree(21);
        let mut read = tree.read();
        read[20] = None;
        read[4] = None;
        read[5] = Some([0; 32]);
        read[13] = Some([0; 32]);
        let located = tree.locate(&mut read).await;
        assert_eq!(located.altered, [5, 13]);
        assert_eq!(read[20], Some(tree.hashes[20]));
        assert_eq!(read[4], Some(tree.hashes[4]));
    }

    #[tokio::test]
    async fn a_node_that_proves_falsely_is_not_believed() {
        let mut tree = tree(16);
        let mut read = tree.read();
        read[9] = Some([0; 32]);
        // The stored hash of leaves 8 to 11 is damaged, too.
        tree.nodes.insert(NodeId { level: 2, index: 2 }, [1; 32]);
        let located = tree.locate(&mut read).await;
        assert_eq!(located.altered, [0_u64; 0]);
        assert_eq!(located.unproved[0].0, 8..16);
    }

    #[tokio::test]
    async fn too_many_are_cut_short() {
        let tree = tree(300);
        let mut read = vec![Some([3; 32]); 300];
        let located = tree.locate(&mut read).await;
        assert!(located.cut_short);
        assert_eq!(located.altered.len(), MOST);
    }
}
