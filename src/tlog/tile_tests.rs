//! Tests of [`super`]: the specification's examples, and the `tlog_tiles` crate.

use super::*;
use crate::tlog::proof::{assemble_inclusion, inclusion_nodes, verify_inclusion};
use crate::tlog::testing::*;
use proptest::prelude::*;

fn tile(path: &str) -> Tile {
    path.parse().unwrap()
}

#[test]
fn paths_are_those_of_the_specification() {
    for (path, kind, index, width) in [
        (
            "tile/0/x001/x234/067",
            TileKind::Hashes { level: 0 },
            1_234_067,
            256,
        ),
        ("tile/1/000.p/17", TileKind::Hashes { level: 1 }, 0, 17),
        ("tile/entries/273.p/112", TileKind::Entries, 273, 112),
        ("tile/entries/x001/000", TileKind::Entries, 1000, 256),
        ("tile/7/000.p/1", TileKind::Hashes { level: 7 }, 0, 1),
    ] {
        let read = tile(path);
        assert_eq!(
            (read.kind(), read.index(), read.width()),
            (kind, index, width)
        );
        assert_eq!(read.to_string(), path);
    }
}

#[test]
fn other_spellings_are_refused() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/00/000",
        "tile/+0/000",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1.p/1",
        "tile/data/000",
        "tile/Entries/000",
        "tile/8/000",
        "tile/63/000",
        "tile/7/001",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/entries/../000",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
}

#[test]
fn a_log_has_the_tiles_the_specification_counts() {
    let count = |size: u64, level: u8| {
        let row: Vec<u16> = Tile::all_hashes(size)
            .filter(|tile| tile.kind() == TileKind::Hashes { level })
            .map(|tile| tile.width())
            .collect();
        let full = row.iter().filter(|width| **width == FULL_WIDTH).count();
        (full, row.into_iter().find(|width| *width < FULL_WIDTH))
    };
    assert_eq!(count(70_000, 0), (273, Some(112)));
    assert_eq!(count(70_000, 1), (1, Some(17)));
    assert_eq!(count(70_000, 2), (0, Some(1)));
    assert_eq!(count(70_000, 3), (0, None));
    assert_eq!(count(256, 0), (1, None));
    assert_eq!(count(256, 1), (0, Some(1)));
    assert_eq!(Tile::all_entries(70_000).count(), 274);
    assert_eq!(
        Tile::all_hashes(0).count() + Tile::all_entries(0).count(),
        0
    );
}

#[test]
fn a_tile_is_in_a_log_that_is_long_enough() {
    assert!(tile("tile/entries/001.p/5").is_in(261));
    assert!(!tile("tile/entries/001.p/5").is_in(260));
    assert!(tile("tile/1/000.p/1").is_in(256));
    assert!(!tile("tile/1/000.p/1").is_in(255));
    assert!(!tile("tile/entries/001.p/5").full().is_in(261));
    assert_eq!(tile("tile/1/000.p/3").leaves(), 0..768);
    assert_eq!(Tile::of_leaf(260, 261), Some(tile("tile/entries/001.p/5")));
    assert_eq!(Tile::of_leaf(261, 261), None);
}

#[test]
fn bundles_come_back_and_broken_ones_are_named() {
    let bundle = tile("tile/entries/001.p/3");
    let leaves = [vec![], vec![7; 5], vec![8; MAX_LEAF_BYTES]];
    let bytes = encode_entries(&bundle, &leaves).unwrap();
    assert_eq!(&bytes[..9], b"\0\0\0\x05\x07\x07\x07\x07\x07");
    assert_eq!(decode_entries(&bundle, &bytes).unwrap(), leaves);
    let cut = |end: usize| decode_entries(&bundle, &bytes[..end]);
    assert_eq!(
        cut(1),
        Err(TileError::EntriesCutOff {
            tile: bundle,
            index: 256
        })
    );
    assert_eq!(
        cut(8),
        Err(TileError::EntriesCutOff {
            tile: bundle,
            index: 257
        })
    );
    assert_eq!(
        cut(bytes.len() - 1),
        Err(TileError::EntriesCutOff {
            tile: bundle,
            index: 258
        })
    );
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(
        decode_entries(&bundle, &longer),
        Err(TileError::EntriesTooMany { tile: bundle })
    );
    let long = [vec![], vec![0; MAX_LEAF_BYTES + 1], vec![]];
    assert_eq!(
        encode_entries(&bundle, &long),
        Err(TileError::LeafTooLong { index: 257 })
    );
    assert_eq!(
        encode_entries(&bundle, &leaves[..2]),
        Err(TileError::Width {
            tile: bundle,
            found: 2
        })
    );
}

#[test]
fn hash_tiles_of_the_wrong_length_are_refused() {
    let short = tile("tile/0/000.p/2");
    for length in [0, 32, 63, 65, 96] {
        assert!(decode_hashes(&short, &vec![0; length]).is_err());
    }
    assert_eq!(decode_hashes(&short, &[0; 64]), Ok([[0; 32]; 2].as_slice()));
    assert!(encode_hashes(&short, &[[0; 32]; 3]).is_err());
}

#[test]
fn nodes_are_found_in_their_tiles_and_nowhere_else() {
    let size = 70_000;
    let leaves = numbered_leaves(size);
    let stored = stored_nodes(&leaves);
    let bytes_of = |tile: &Tile| {
        let hashes: Vec<Hash> = tile.nodes().map(|node| stored[&node]).collect();
        encode_hashes(tile, &hashes).unwrap()
    };
    // A proof made from tiles alone, as a reader makes it who is served nothing else.
    for index in [0, 255, 256, 65_535, 65_536, 69_999] {
        let nodes = inclusion_nodes(index, size).unwrap();
        let hashes: Vec<Hash> = nodes
            .into_iter()
            .map(|node| {
                let tile = Tile::of_node(node, size).unwrap();
                let hash = node_in_tile(node, &tile, &bytes_of(&tile)).unwrap();
                assert_eq!(hash, stored[&node]);
                hash
            })
            .collect();
        let proof = assemble_inclusion(index, size, &hashes).unwrap();
        let root = crate::envelope::merkle::root_of(leaves.iter().copied());
        assert_eq!(
            verify_inclusion(&leaves[index as usize], index, size, &proof, &root),
            Ok(())
        );
    }
    let first = Tile::of_node(NodeId { level: 3, index: 0 }, size).unwrap();
    let bytes = bytes_of(&first);
    for (level, index) in [(3, 32), (8, 0), (3, u64::MAX), (255, 0), (7, u64::MAX >> 7)] {
        assert_eq!(
            node_in_tile(NodeId { level, index }, &first, &bytes),
            Err(TileError::NodeElsewhere { tile: first })
        );
    }
    for (level, index) in [(0, size), (3, size >> 3), (63, 0), (255, 0), (5, u64::MAX)] {
        assert_eq!(Tile::of_node(NodeId { level, index }, size), None);
    }
}

#[test]
fn the_tlog_tiles_crate_makes_the_same_tiles() {
    struct Theirs(std::collections::BTreeMap<NodeId, Hash>);
    impl tlog_tiles::HashReader for Theirs {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
            let hashes = indexes.iter().map(|index| {
                let (level, index) = tlog_tiles::split_stored_hash_index(*index);
                tlog_tiles::Hash(self.0[&NodeId { level, index }])
            });
            Ok(hashes.collect())
        }
    }
    for size in [1, 255, 256, 257, 1000, 66_000] {
        let stored = stored_nodes(&numbered_leaves(size));
        let ours: std::collections::BTreeMap<String, Vec<u8>> = Tile::all_hashes(size)
            .map(|tile| {
                let hashes: Vec<Hash> = tile.nodes().map(|node| stored[&node]).collect();
                (tile.to_string(), encode_hashes(&tile, &hashes).unwrap())
            })
            .collect();
        let reader = Theirs(stored);
        let theirs = tlog_tiles::Tile::new_tiles(8, 0, size);
        assert_eq!(theirs.len(), ours.len());
        for their in theirs {
            // Their paths name the height as well.
            let path = their.path().replacen("tile/8/", "tile/", 1);
            assert_eq!(their.read_data(&reader).unwrap(), ours[&path], "{path}");
        }
    }
}

proptest! {
    #[test]
    fn every_tile_has_one_path(level in 0..9u8, index in any::<u64>(), shift in 0..64u32, width in 0..300u16) {
        let kind = if level == 8 { TileKind::Entries } else { TileKind::Hashes { level } };
        if let Ok(tile) = Tile::new(kind, index >> shift, width) {
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
            prop_assert!(!tile.leaves().is_empty() && tile.leaves().end < 1 << 63);
            prop_assert!(tile.is_in(u64::MAX >> 1) && tile.full().is_in(u64::MAX >> 1));
        }
    }

    #[test]
    fn any_path_is_read_without_a_panic(path in "tile/(entries|[0-9]{1,3})(/x?[0-9]{1,4}){1,9}(\\.p/[0-9]{1,4})?|\\PC{0,70}") {
        if let Ok(tile) = path.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }

    #[test]
    fn any_bundle_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), width in 1..=256u16) {
        let tile = Tile::new(TileKind::Entries, 0, width).unwrap();
        if let Ok(leaves) = decode_entries(&tile, &bytes) {
            prop_assert_eq!(encode_entries(&tile, &leaves).unwrap(), bytes);
        }
    }
}
