//! What the tests of this module share: published vectors, and the definitions of RFC 6962
//! written down word for word, to hold the real code to.

use std::collections::BTreeMap;

use super::checkpoint::{Checkpoint, SignedCheckpoint};
use super::tree::{Frontier, Hash, NodeId, empty_root, leaf_hash, node_hash};
use crate::envelope::keys::SigningKey;
use crate::envelope::note::{Cosigner, KeyName, NoteSigner};

/// The leaves of the well-known eight-leaf test tree of the Certificate Transparency project
/// (`merkle_tree_test` in google/certificate-transparency), in hexadecimal.
pub const CT_LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots of that tree at sizes 1 to 8.
pub const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Leaf hashes of `count` different leaves.
pub fn numbered_leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&leaf(n))).collect()
}

/// The bytes of the leaf with this number.
pub fn leaf(n: u64) -> Vec<u8> {
    format!("leaf number {n}").into_bytes()
}

/// All nodes that storage holds for a log of these leaves.
pub fn stored_nodes(leaves: &[Hash]) -> BTreeMap<NodeId, Hash> {
    let mut frontier = Frontier::new();
    leaves
        .iter()
        .flat_map(|leaf| frontier.append(*leaf))
        .collect()
}

/// MTH of RFC 6962, section 2.1.
pub fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
pub fn naive_inclusion(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m < k {
        [naive_inclusion(m, left), vec![naive_root(right)]].concat()
    } else {
        [naive_inclusion(m - k, right), vec![naive_root(left)]].concat()
    }
}

/// PROOF of RFC 6962, section 2.1.2.
pub fn naive_consistency(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    naive_subproof(m, leaves, true)
}

fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m <= k {
        [naive_subproof(m, left, whole), vec![naive_root(right)]].concat()
    } else {
        [naive_subproof(m - k, right, false), vec![naive_root(left)]].concat()
    }
}

/// The largest power of two smaller than `n`.
fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// The test key of the log with this origin.
pub fn log_signer(origin: &str) -> NoteSigner {
    NoteSigner::new(
        KeyName::new(origin).unwrap(),
        SigningKey::from_seed(&[200; 32]),
    )
}

/// A checkpoint signed by [`log_signer`].
pub fn signed_checkpoint(origin: &str, size: u64, root: Hash) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(KeyName::new(origin).unwrap(), size, root).unwrap();
    checkpoint.sign(&log_signer(origin)).unwrap()
}

/// The test witness with this number.
pub fn cosigner(n: u8) -> Cosigner {
    let name = KeyName::new(format!("witness.example/w{n}")).unwrap();
    Cosigner::new(name, SigningKey::from_seed(&[n; 32]))
}
