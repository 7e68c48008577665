//! Tests of [`super`]: published vectors, the RFC's own definitions, and the `tlog_tiles` crate.

use super::*;
use crate::tlog::testing::*;
use crate::tlog::tree::leaf_hash;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SIZES: usize = 300;

fn fetch(stored: &BTreeMap<NodeId, Hash>, nodes: &[NodeId]) -> Vec<Hash> {
    nodes.iter().map(|node| stored[node]).collect()
}

fn inclusion(stored: &BTreeMap<NodeId, Hash>, index: u64, size: u64) -> Vec<Hash> {
    let hashes = fetch(stored, &inclusion_nodes(index, size).unwrap());
    assemble_inclusion(index, size, &hashes).unwrap()
}

fn consistency(stored: &BTreeMap<NodeId, Hash>, old: u64, new: u64) -> Vec<Hash> {
    let hashes = fetch(stored, &consistency_nodes(old, new).unwrap());
    assemble_consistency(old, new, &hashes).unwrap()
}

fn hex_hash(text: &str) -> Hash {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// Proofs published with the eight-leaf tree, indexes from 0.
#[test]
fn the_certificate_transparency_vectors_hold() {
    const N01: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
    const N03: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
    const N23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const N47: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const N45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const N67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const L0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    const L1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const L4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";

    let leaves: Vec<Hash> = CT_LEAVES
        .iter()
        .map(|leaf| leaf_hash(&hex::decode(leaf).unwrap()))
        .collect();
    let stored = stored_nodes(&leaves);
    let hashes = |proof: &[&str]| proof.iter().map(|hash| hex_hash(hash)).collect::<Vec<_>>();
    for (index, size, proof) in [
        (0, 1, &[][..]),
        (0, 8, &[L1, N23, N47][..]),
        (5, 8, &[L4, N67, N03][..]),
        (2, 3, &[N01][..]),
        (1, 5, &[L0, N23, L4][..]),
    ] {
        assert_eq!(
            inclusion(&stored, index, size),
            hashes(proof),
            "{index} in {size}"
        );
    }
    for (old, new, proof) in [
        (1, 1, &[][..]),
        (1, 8, &[L1, N23, N47][..]),
        (6, 8, &[N45, N67, N03][..]),
        (2, 5, &[N23, L4][..]),
    ] {
        assert_eq!(
            consistency(&stored, old, new),
            hashes(proof),
            "{old} to {new}"
        );
    }
}

#[test]
fn every_proof_is_that_of_the_rfc_and_holds() {
    let leaves = numbered_leaves(SIZES as u64);
    let stored = stored_nodes(&leaves);
    let roots: Vec<Hash> = (0..=SIZES)
        .map(|size| naive_root(&leaves[..size]))
        .collect();
    for (size, root) in roots.iter().enumerate() {
        let nodes = fetch(&stored, &root_nodes(size as u64));
        assert_eq!(assemble_root(size as u64, &nodes), Ok(*root));
    }
    // Every place in the small trees and every seventh in the others: the recursion is cubic.
    for size in 1..=SIZES {
        let (first, step) = if size <= 70 { (0, 1) } else { (size % 7, 7) };
        let root = &roots[size];
        for index in (first..size).step_by(step) {
            let proof = inclusion(&stored, index as u64, size as u64);
            assert_eq!(proof, naive_inclusion(index, &leaves[..size]));
            let held = verify_inclusion(&leaves[index], index as u64, size as u64, &proof, root);
            assert_eq!(held, Ok(()), "{index} in {size}");
        }
        for old in (first..=size).step_by(step) {
            let proof = consistency(&stored, old as u64, size as u64);
            if old > 0 {
                assert_eq!(proof, naive_consistency(old, &leaves[..size]));
            }
            let held = verify_consistency(old as u64, size as u64, &proof, &roots[old], root);
            assert_eq!(held, Ok(()), "{old} to {size}");
        }
    }
}

#[test]
fn wrong_places_sizes_and_lengths_are_refused() {
    let leaves = numbered_leaves(33);
    let stored = stored_nodes(&leaves);
    let roots: Vec<Hash> = (0..=33).map(|size| naive_root(&leaves[..size])).collect();
    for size in 1..=33u64 {
        let root = &roots[size as usize];
        for index in 0..size {
            let proof = inclusion(&stored, index, size);
            let leaf = &leaves[index as usize];
            for other in (0..size + 2).filter(|other| *other != index) {
                assert!(verify_inclusion(leaf, other, size, &proof, root).is_err());
            }
            let longer = [proof.as_slice(), &[[0; 32]]].concat();
            assert!(verify_inclusion(leaf, index, size, &longer, root).is_err());
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_inclusion(leaf, index, size, shorter, root).is_err());
            }
        }
        for old in 1..=size {
            let proof = consistency(&stored, old, size);
            let (old_root, new_root) = (&roots[old as usize], root);
            for wrong in (1..=size).filter(|wrong| *wrong != old) {
                assert!(verify_consistency(wrong, size, &proof, old_root, new_root).is_err());
            }
            let longer = [proof.as_slice(), &[[0; 32]]].concat();
            assert!(verify_consistency(old, size, &longer, old_root, new_root).is_err());
            assert!(verify_consistency(old, size, &proof, &[1; 32], new_root).is_err());
            assert!(verify_consistency(old, size, &proof, old_root, &[1; 32]).is_err());
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_consistency(old, size, shorter, old_root, new_root).is_err());
            }
        }
    }
}

#[test]
fn impossible_questions_are_refused() {
    use ProofError as E;
    assert_eq!(
        inclusion_nodes(3, 3),
        Err(E::IndexBeyondSize { index: 3, size: 3 })
    );
    assert_eq!(
        inclusion_nodes(0, 0),
        Err(E::IndexBeyondSize { index: 0, size: 0 })
    );
    assert_eq!(
        consistency_nodes(4, 3),
        Err(E::SizesReversed {
            old_size: 4,
            new_size: 3
        })
    );
    assert_eq!(
        inclusion_nodes(0, u64::MAX),
        Err(E::Size { size: u64::MAX })
    );
    assert_eq!(
        consistency_nodes(1, u64::MAX),
        Err(E::Size { size: u64::MAX })
    );
    assert_eq!(
        assemble_inclusion(0, 8, &[[0; 32]; 2]),
        Err(E::NodeCount {
            expected: 3,
            found: 2
        })
    );
    assert_eq!(
        assemble_root(5, &[[0; 32]]),
        Err(E::NodeCount {
            expected: 2,
            found: 1
        })
    );
    assert_eq!(assemble_root(0, &[]), Ok(empty_root()));
    let huge = u64::MAX >> 1;
    assert!(inclusion_nodes(huge / 3, huge).unwrap().len() < 64 * 64);
    assert!(assemble_consistency(huge / 3, huge, &[]).is_err());
    let (root, empty) = ([1; 32], empty_root());
    assert_eq!(verify_consistency(0, 5, &[], &empty, &root), Ok(()));
    assert!(verify_consistency(0, 5, &[], &root, &root).is_err());
    assert!(verify_consistency(0, 5, &[root], &empty, &root).is_err());
}

#[test]
fn the_longest_proof_fits_the_stated_bound() {
    let inclusion = inclusion_path(0, MAX_SIZE).unwrap();
    assert_eq!(inclusion.len(), MAX_PROOF_HASHES);
    // An old tree that ends deep inside the right half needs its own node besides; C2SP's bound
    // of 63 lines is one short of that, at sizes that no log reaches.
    let consistency = consistency_path((MAX_SIZE >> 1) + 2, MAX_SIZE).unwrap();
    assert_eq!(consistency.len(), MAX_PROOF_HASHES + 1);
    assert_eq!(
        consistency_path((MAX_SIZE >> 2) + 2, MAX_SIZE >> 1)
            .unwrap()
            .len(),
        MAX_PROOF_HASHES
    );
}

/// Storage of the `tlog_tiles` crate, which numbers nodes in one row.
struct Theirs<'a>(&'a BTreeMap<NodeId, Hash>);

impl tlog_tiles::HashReader for Theirs<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let hashes = indexes.iter().map(|index| {
            let (level, index) = tlog_tiles::split_stored_hash_index(*index);
            tlog_tiles::Hash(self.0[&NodeId { level, index }])
        });
        Ok(hashes.collect())
    }
}

fn theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().copied().map(tlog_tiles::Hash).collect()
}

proptest! {
    #[test]
    fn the_tlog_tiles_crate_agrees(size in 1..2_000u64, index in any::<u64>(), old in any::<u64>()) {
        let leaves = numbered_leaves(size);
        let stored = stored_nodes(&leaves);
        let (index, old) = (index % size, old % size + 1);
        let root = |size: u64| assemble_root(size, &fetch(&stored, &root_nodes(size))).unwrap();

        let their_root = tlog_tiles::tree_hash(size, &Theirs(&stored)).unwrap();
        prop_assert_eq!(their_root.0, root(size));
        let leaf = &leaves[index as usize];

        let ours = inclusion(&stored, index, size);
        let their = tlog_tiles::prove_record(size, index, &Theirs(&stored)).unwrap();
        prop_assert_eq!(&theirs(&ours), &their);
        let read = tlog_tiles::check_record(
            &theirs(&ours), size, their_root, index, tlog_tiles::Hash(*leaf));
        prop_assert!(read.is_ok());

        let ours = consistency(&stored, old, size);
        let their = tlog_tiles::prove_tree(size, old, &Theirs(&stored)).unwrap();
        prop_assert_eq!(&theirs(&ours), &their);
    }

    #[test]
    fn any_flipped_bit_is_noticed(
        size in 2..400u64,
        index in any::<u64>(),
        old in any::<u64>(),
        at in any::<proptest::sample::Index>(),
        bit in 0..256usize,
    ) {
        let leaves = numbered_leaves(size);
        let stored = stored_nodes(&leaves);
        let root = naive_root(&leaves);
        let (index, old) = (index % size, old % (size - 1) + 1);
        let flip = |proof: &mut Vec<Hash>| {
            let at = at.index(proof.len());
            proof[at][bit / 8] ^= 1 << (bit % 8);
        };

        let mut proof = inclusion(&stored, index, size);
        flip(&mut proof);
        prop_assert!(verify_inclusion(&leaves[index as usize], index, size, &proof, &root).is_err());

        let mut proof = consistency(&stored, old, size);
        flip(&mut proof);
        let old_root = naive_root(&leaves[..old as usize]);
        prop_assert!(verify_consistency(old, size, &proof, &old_root, &root).is_err());
    }

    #[test]
    fn any_proof_is_checked_without_a_panic(
        index in any::<u64>(),
        size in any::<u64>(),
        proof in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let hash = [0; 32];
        prop_assert!(verify_inclusion(&hash, index, size, &proof, &hash).is_err());
        let _ = verify_consistency(index, size, &proof, &hash, &hash);
        let _ = inclusion_nodes(index, size);
        let _ = consistency_nodes(index, size);
        let _ = assemble_inclusion(index, size, &proof);
        let _ = assemble_consistency(index, size, &proof);
    }
}
