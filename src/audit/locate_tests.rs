use super::*;
use crate::envelope::merkle::leaf_hash;
use crate::tlog::{NodeId, proof};
use std::collections::HashMap;

/// The log as its node has it.
struct Log {
    hashes: Vec<Hash>,
    nodes: HashMap<NodeId, Hash>,
    root: Hash,
}

fn log(size: u64) -> Log {
    let mut frontier = Frontier::new();
    let mut nodes = HashMap::new();
    let hashes: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    for hash in &hashes {
        frontier.append_each(*hash, |node, hash| {
            nodes.insert(node, *hash);
        });
    }
    Log {
        hashes,
        nodes,
        root: frontier.root(),
    }
}

impl Log {
    fn prove(&self, index: u64) -> Result<Vec<Hash>, String> {
        let size = self.hashes.len() as u64;
        let nodes = proof::inclusion_nodes(index, size).unwrap();
        let hashes: Vec<Hash> = nodes.iter().map(|node| self.nodes[node]).collect();
        Ok(proof::assemble_inclusion(index, size, &hashes).unwrap())
    }

    fn read(&self) -> Vec<Option<Hash>> {
        self.hashes.iter().copied().map(Some).collect()
    }

    /// Locates what differs in `read`, of which the first `base` leaves were verified before.
    async fn locate_from(&self, base: usize, read: &[Option<Hash>]) -> Located {
        let mut before = Frontier::new();
        for hash in &self.hashes[..base] {
            before.append_each(*hash, |_, _| {});
        }
        let mut tree = Tree::on(before);
        for (index, hash) in read.iter().enumerate().skip(base) {
            let hash = match hash {
                Some(hash) => *hash,
                None => {
                    let size = read.len() as u64;
                    hash_of_leaf(index as u64, size, |index| {
                        std::future::ready(self.prove(index))
                    })
                    .await
                    .unwrap()
                }
            };
            tree.append(hash);
        }
        if tree.frontier().root() == self.root {
            return Located::default();
        }
        locate(
            &tree,
            self.root,
            |index| std::future::ready(self.prove(index)),
            |leaves| {
                let leaves = read[leaves.start as usize..leaves.end as usize].to_vec();
                std::future::ready(Ok(leaves))
            },
        )
        .await
    }

    async fn locate(&self, read: &[Option<Hash>]) -> Located {
        self.locate_from(0, read).await
    }
}

#[tokio::test]
async fn every_altered_leaf_of_every_size_is_named() {
    for size in (2..40).chain([255, 256, 257, 300, 511, 512, 513, 1000]) {
        let log = log(size);
        assert_eq!(log.locate(&log.read()).await, Located::default());
        for altered in (0..size).step_by(if size < 40 { 1 } else { 37 }) {
            let mut read = log.read();
            read[altered as usize] = Some([7; 32]);
            let located = log.locate(&read).await;
            assert_eq!(located.altered, [altered], "{altered} of {size}");
            assert!(located.unproved.is_empty() && located.rewritten.is_empty());
        }
    }
}

#[tokio::test]
async fn a_reading_that_goes_on_names_the_leaf_as_well() {
    let log = log(1300);
    for base in [1, 255, 256, 257, 700, 1024, 1299] {
        assert_eq!(
            log.locate_from(base, &log.read()).await,
            Located::default(),
            "{base}"
        );
        for altered in [base, 1299] {
            let mut read = log.read();
            read[altered] = Some([7; 32]);
            let located = log.locate_from(base, &read).await;
            assert_eq!(located.altered, [altered as u64], "{altered} from {base}");
            assert!(located.rewritten.is_empty(), "{located:?}");
        }
    }
}

#[tokio::test]
async fn leaves_that_were_replaced_since_they_were_verified_are_told_apart() {
    let (before, now) = (log(700), log(900));
    let mut base = Frontier::new();
    for hash in &before.hashes[..699] {
        base.append_each(*hash, |_, _| {});
    }
    base.append_each([9; 32], |_, _| {});
    let mut tree = Tree::on(base);
    for hash in &now.hashes[700..] {
        tree.append(*hash);
    }
    let located = locate(
        &tree,
        now.root,
        |index| std::future::ready(now.prove(index)),
        |leaves| {
            let leaves = now.read()[leaves.start as usize..leaves.end as usize].to_vec();
            std::future::ready(Ok(leaves))
        },
    )
    .await;
    // Of what was verified only the frontier is kept: the place is known to the block.
    assert_eq!(located.rewritten.first(), Some(&(512..700)));
    assert!(located.altered.is_empty() && located.unproved.is_empty());
}

#[tokio::test]
async fn unknown_leaves_are_proved_and_hide_no_altered_one() {
    for size in [21, 600] {
        let log = log(size);
        let last = size as usize - 1;
        let mut read = log.read();
        read[last] = None;
        read[4] = None;
        assert_eq!(log.locate(&read).await, Located::default());
        read[5] = Some([0; 32]);
        read[13] = Some([0; 32]);
        let located = log.locate(&read).await;
        assert_eq!(located.altered, [5, 13]);
        assert!(located.unproved.is_empty());
    }
}

#[tokio::test]
async fn a_node_that_proves_falsely_is_not_believed() {
    let mut log = log(16);
    let mut read = log.read();
    read[9] = Some([0; 32]);
    // The stored hash of leaves 8 to 11 is damaged, too.
    log.nodes.insert(NodeId { level: 2, index: 2 }, [1; 32]);
    let located = log.locate(&read).await;
    assert_eq!(located.altered, [0_u64; 0]);
    assert_eq!(located.unproved[0].0, 8..16);
}

#[tokio::test]
async fn too_many_are_cut_short() {
    let log = log(300);
    let located = log.locate(&vec![Some([3; 32]); 300]).await;
    assert!(located.cut_short);
    assert_eq!(located.altered.len(), MOST);
}

#[tokio::test]
async fn one_altered_leaf_of_a_million_is_named() {
    let log = log(1_000_000);
    for altered in [654_321, 999_999] {
        let mut read = log.read();
        read[altered] = Some([7; 32]);
        let located = log.locate(&read).await;
        assert_eq!(located.altered, [altered as u64]);
        assert!(located.unproved.is_empty() && located.rewritten.is_empty());
    }
}
