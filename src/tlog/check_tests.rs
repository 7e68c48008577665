//! Tests of [`super`]: whole logs are read, and every kind of damage is named.

use super::*;
use crate::tlog::testing::*;
use crate::tlog::tile::{encode_entries, encode_hashes};
use crate::tlog::tree::root_nodes;
use std::collections::BTreeMap;

/// The files of a log, and its head.
struct Files {
    head: TreeHead,
    files: BTreeMap<Tile, Vec<u8>>,
}

fn files(leaves: &[Vec<u8>]) -> Files {
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let stored = stored_nodes(&hashes);
    let size = leaves.len() as u64;
    let mut files = BTreeMap::new();
    for tile in Tile::all_hashes(size) {
        let hashes: Vec<Hash> = tile.nodes().map(|node| stored[&node]).collect();
        files.insert(tile, encode_hashes(&tile, &hashes).unwrap());
    }
    for tile in Tile::all_entries(size) {
        let range = tile.leaves();
        let leaves = &leaves[range.start as usize..range.end as usize];
        files.insert(tile, encode_entries(&tile, leaves).unwrap());
    }
    Files {
        head: TreeHead {
            size,
            root: naive_root(&hashes),
        },
        files,
    }
}

fn numbered(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(leaf).collect()
}

fn run(mut checker: TileChecker, files: &Files) -> Result<(Frontier, Vec<u64>), CheckError> {
    let mut seen = Vec::new();
    while let Some(tile) = checker.wanted() {
        let bytes = files.files.get(&tile).ok_or(CheckError::Missing { tile })?;
        checker.supply(&tile, bytes, |index, bytes| {
            assert!(bytes.len() > 4);
            seen.push(index);
        })?;
    }
    Ok((checker.finish()?, seen))
}

fn read(files: &Files) -> Result<(Frontier, Vec<u64>), CheckError> {
    run(TileChecker::new(files.head)?, files)
}

#[test]
fn leaves_fed_in_order_lead_to_the_root() {
    let leaves = numbered(100);
    let head = files(&leaves).head;
    let mut checker = LogChecker::new();
    for (index, leaf) in (0..).zip(&leaves) {
        assert_eq!(checker.next_index(), index);
        checker.feed(index, leaf).unwrap();
    }
    let frontier = checker.finish(head).unwrap();
    assert_eq!(frontier.size(), 100);
    assert_eq!(
        checker.finish(TreeHead { size: 101, ..head }),
        Err(CheckError::Size {
            expected: 101,
            found: 100
        })
    );
    assert_eq!(
        checker.finish(TreeHead {
            root: [0; 32],
            ..head
        }),
        Err(CheckError::Root {
            since: 0,
            size: 100
        })
    );
    assert_eq!(
        checker.feed(99, b""),
        Err(CheckError::Order {
            expected: 100,
            found: 99
        })
    );
    assert_eq!(
        checker.feed(101, b""),
        Err(CheckError::Order {
            expected: 100,
            found: 101
        })
    );
    assert_eq!(
        checker.feed_stored(100, b"this", &leaf_hash(b"that")),
        Err(CheckError::Leaf { index: 100 })
    );
    assert_eq!(
        checker.feed_stored(100, b"this", &leaf_hash(b"this")),
        Ok(())
    );
}

#[test]
fn a_checker_goes_on_where_another_ended() {
    let leaves = numbered(70);
    let (early, late) = (files(&leaves[..33]).head, files(&leaves).head);
    let mut first = LogChecker::new();
    for (index, leaf) in (0..33).zip(&leaves) {
        first.feed(index, leaf).unwrap();
    }
    let frontier = first.finish(early).unwrap();
    let mut second = LogChecker::resume(frontier.clone(), early).unwrap();
    for (index, leaf) in (0..).zip(&leaves).skip(33) {
        second.feed(index, leaf).unwrap();
    }
    assert!(second.finish(late).is_ok());
    assert_eq!(
        second.finish(TreeHead {
            root: [0; 32],
            ..late
        }),
        Err(CheckError::Root {
            since: 33,
            size: 70
        })
    );
    for wrong in [
        TreeHead { size: 34, ..early },
        TreeHead {
            root: [0; 32],
            ..early
        },
    ] {
        assert!(LogChecker::resume(frontier.clone(), wrong).is_err());
    }
}

#[test]
fn every_file_of_a_log_is_read() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 1000] {
        let files = files(&numbered(size));
        let (frontier, seen) = read(&files).unwrap();
        assert_eq!((frontier.size(), frontier.root()), (size, files.head.root));
        assert_eq!(seen, (0..size).collect::<Vec<_>>());
    }
    // Two tile levels filled, three begun.
    let files = files(&numbered(66_000));
    let mut checker = TileChecker::new(files.head).unwrap();
    let mut wanted = Vec::new();
    while let Some(tile) = checker.wanted() {
        checker
            .supply(&tile, &files.files[&tile], |_, _| {})
            .unwrap();
        wanted.push(tile);
    }
    checker.finish().unwrap();
    wanted.sort();
    assert_eq!(wanted, files.files.keys().copied().collect::<Vec<_>>());
}

#[test]
fn a_log_is_read_on_from_any_size_to_any_size() {
    let leaves = numbered(1200);
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let stored = stored_nodes(&hashes);
    for (old, new) in [
        (0, 700),
        (1, 2),
        (100, 256),
        (255, 257),
        (256, 600),
        (300, 1200),
        (7, 7),
    ] {
        let nodes = root_nodes(old).iter().map(|node| stored[node]).collect();
        let frontier = Frontier::from_nodes(old, nodes).unwrap();
        let verified = TreeHead {
            size: old,
            root: frontier.root(),
        };
        let files = files(&leaves[..new as usize]);
        let checker = TileChecker::resume(frontier, verified, files.head).unwrap();
        let (frontier, seen) = run(checker, &files).unwrap();
        assert_eq!(frontier.size(), new);
        assert_eq!(seen, (old..new).collect::<Vec<_>>());
    }
    let frontier = Frontier::from_nodes(0, Vec::new()).unwrap();
    let empty = TreeHead {
        size: 0,
        root: frontier.root(),
    };
    assert!(
        TileChecker::resume(
            frontier,
            empty,
            TreeHead {
                size: u64::MAX,
                ..empty
            }
        )
        .is_err()
    );
}

#[test]
fn a_full_tile_serves_for_a_partial_one() {
    let leaves = numbered(512);
    let (early, late) = (files(&leaves[..300]), files(&leaves));
    let mut checker = TileChecker::new(early.head).unwrap();
    while let Some(tile) = checker.wanted() {
        let full = tile.full();
        let (tile, bytes) = match late.files.get(&full) {
            Some(bytes) => (full, bytes),
            None => (tile, &early.files[&tile]),
        };
        checker
            .supply(&tile, bytes, |index, _| assert!(index < 300))
            .unwrap();
    }
    assert_eq!(checker.finish().unwrap().root(), early.head.root);
}

#[test]
fn every_altered_byte_is_named() {
    let good = files(&numbered(600));
    for (tile, bytes) in &good.files {
        for at in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            let mut bad = Files {
                head: good.head,
                files: good.files.clone(),
            };
            bad.files.get_mut(tile).unwrap()[at] ^= 1;
            let error = read(&bad).expect_err("altered");
            match (tile.kind(), &error) {
                (TileKind::Entries, CheckError::Leaf { index }) => {
                    assert!(tile.leaves().contains(index), "{tile} at {at}: {error}");
                }
                // A length that was altered breaks the bundle itself, which is named as well.
                (TileKind::Entries, CheckError::Tile(_)) => {}
                (TileKind::Hashes { level: 0 }, CheckError::Leaf { index }) => {
                    assert_eq!(*index, tile.leaves().start + at as u64 / 32);
                }
                (
                    TileKind::Hashes { level: 1 },
                    CheckError::Node {
                        tile: named,
                        first,
                        end,
                    },
                ) => {
                    assert_eq!(named, tile);
                    assert_eq!(
                        (*first, *end),
                        (at as u64 / 32 * 256, (at as u64 / 32 + 1) * 256)
                    );
                }
                other => panic!("{tile} at {at}: {other:?}"),
            }
        }
    }
    let forked = TreeHead {
        root: [0; 32],
        ..good.head
    };
    assert_eq!(
        read(&Files {
            head: forked,
            files: good.files
        })
        .map(drop),
        Err(CheckError::Root {
            since: 0,
            size: 600
        })
    );
}

#[test]
fn leaves_deleted_inserted_or_moved_are_named() {
    let leaves = numbered(600);
    let good = files(&leaves);
    let with_leaves = |leaves: &[Vec<u8>]| {
        let mut all = good.files.clone();
        for (tile, bytes) in files(leaves).files {
            if tile.kind() == TileKind::Entries && good.files.contains_key(&tile) {
                all.insert(tile, bytes);
            }
        }
        read(&Files {
            head: good.head,
            files: all,
        })
        .map(drop)
    };
    let mut deleted = leaves.clone();
    deleted.remove(300);
    deleted.push(leaf(600));
    assert_eq!(with_leaves(&deleted), Err(CheckError::Leaf { index: 300 }));
    let mut inserted = leaves.clone();
    inserted.insert(300, leaf(700));
    inserted.pop();
    assert_eq!(with_leaves(&inserted), Err(CheckError::Leaf { index: 300 }));
    let mut moved = leaves.clone();
    moved.swap(10, 20);
    assert_eq!(with_leaves(&moved), Err(CheckError::Leaf { index: 10 }));
}

#[test]
fn files_out_of_turn_are_refused() {
    let good = files(&numbered(300));
    let mut checker = TileChecker::new(good.head).unwrap();
    let wanted = checker.wanted().unwrap();
    let other: Tile = "tile/entries/001.p/44".parse().unwrap();
    assert_eq!(
        checker.supply(&other, &good.files[&other], |_, _| {}),
        Err(CheckError::Unwanted { tile: other })
    );
    assert_eq!(
        checker.finish().map(drop),
        Err(CheckError::Missing { tile: wanted })
    );
    let mut done = TileChecker::new(files(&[]).head).unwrap();
    assert_eq!(done.wanted(), None);
    assert_eq!(
        done.supply(&other, &[], |_, _| {}),
        Err(CheckError::Unwanted { tile: other })
    );
}
