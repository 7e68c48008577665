//! A node's index, held against what its log says of it: which keys of a child stand in the index that
//! the node logged last, and which do not.
//!
//! The node proves each row, or the gap in which it would stand, under the root that its newest
//! publication mark states (see [`store::prove_index`](crate::store::Store::prove_index)). So a record
//! that was never indexed, or an answer that denies what was, shows without the node's word.

use std::collections::{BTreeMap, HashMap};

use super::entry::Entry;
use crate::envelope::merkle::{Hash, empty_root};
use crate::linkage::RuleId;
use crate::proto::exchange as pb;
use crate::store::{IndexKey, row_hash};
use crate::tlog::proof::verify_inclusion;

/// How long before the answer a mark may have been replaced by another, in milliseconds: the node
/// reads its index, and then answers.
const OVERTAKEN_MS: u64 = 300_000;

/// Size and root of an index, as one leaf states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The leaf.
    pub leaf_index: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Rows.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Hash,
}

/// The marks of a log, by epoch, in its order.
#[derive(Default)]
pub(super) struct Marks(BTreeMap<u32, Vec<Mark>>);

impl Marks {
    /// Takes the next leaf.
    pub(super) fn take(&mut self, leaf_index: u64, entry: &Entry) {
        if !matches!(entry.act, pb::Act::RecordsPublished | pb::Act::EpochOpened) {
            return;
        }
        let words: Vec<&str> = entry.reference.split(' ').collect();
        for stated in words.chunks_exact(3) {
            let [epoch, size, root] = stated else {
                continue;
            };
            let read = || {
                let mut bytes = [0; 32];
                hex::decode_to_slice(root.strip_prefix("root=")?, &mut bytes).ok()?;
                let epoch: u32 = epoch.strip_prefix("epoch=")?.parse().ok()?;
                let size: u64 = size.strip_prefix("tokens=")?.parse().ok()?;
                Some((epoch, size, bytes))
            };
            if let Some((epoch, size, root)) = read() {
                self.0.entry(epoch).or_default().push(Mark {
                    leaf_index,
                    time_ms: entry.time_ms,
                    size,
                    root,
                });
            }
        }
    }

    /// Whether anything was stated of the index of an epoch before a leaf.
    pub(super) fn any(&self, epoch: u32, leaf_index: u64) -> bool {
        let first = self.0.get(&epoch).and_then(|marks| marks.first());
        first.is_some_and(|mark| mark.leaf_index < leaf_index)
    }

    /// The mark that states this index and was in force when the answer at `leaf_index` was made, at
    /// `time_ms`.
    pub(super) fn in_force(
        &self,
        epoch: u32,
        (leaf_index, time_ms): (u64, u64),
        (size, root): (u64, Hash),
    ) -> Option<Mark> {
        let marks = self.0.get(&epoch)?;
        let before = marks.partition_point(|mark| mark.leaf_index < leaf_index);
        let mut next: Option<&Mark> = None;
        for mark in marks.get(..before)?.iter().rev() {
            let overtaken =
                next.is_some_and(|next| time_ms.saturating_sub(next.time_ms) > OVERTAKEN_MS);
            if overtaken {
                return None;
            }
            if (mark.size, mark.root) == (size, root) {
                return Some(*mark);
            }
            next = Some(mark);
        }
        None
    }
}

/// Which of a child's keys stand in an index, as its rows prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Rows of the index.
    pub(super) size: u64,
    /// The root that they lead to.
    pub(super) root: Hash,
    /// Keys of the child that stand in it.
    pub(super) standing: usize,
    /// Keys of the child in all.
    pub(super) keys: usize,
}

/// Checks what a node showed of its index for the keys of a child.
///
/// # Errors
/// What does not hold.
pub(super) fn check(
    proof: &pb::IndexProof,
    own: &HashMap<[u8; 16], RuleId>,
) -> Result<Shown, String> {
    let root: Hash = proof
        .root
        .as_slice()
        .try_into()
        .map_err(|_| "its root has not 32 octets".to_owned())?;
    if proof.size == 0 && root != empty_root() {
        return Err("it is said to be empty, and has another root".to_owned());
    }
    let mut standing = 0;
    for (token, rule) in own {
        let wanted = (*token, rule.0);
        let gap = proof
            .gaps
            .iter()
            .find(|gap| gap.token == *token && gap.rule == u32::from(rule.0))
            .ok_or("it proves nothing of one of the child's keys")?;
        if stands(gap, wanted, (proof.size, root))? {
            standing += 1;
        }
    }
    Ok(Shown {
        size: proof.size,
        root,
        standing,
        keys: own.len(),
    })
}

/// Whether a row stands in an index of this size and root.
fn stands(gap: &pb::IndexGap, wanted: IndexKey, (size, root): (u64, Hash)) -> Result<bool, String> {
    let rows = gap
        .rows
        .iter()
        .map(|row| {
            let token = row.token.as_slice().try_into().map_err(|_| "a token")?;
            let rule = u8::try_from(row.rule).map_err(|_| "a rule")?;
            let key: IndexKey = (token, rule);
            let proof = row
                .proof
                .iter()
                .map(|hash| hash.as_slice().try_into().map_err(|_| "a hash"))
                .collect::<Result<Vec<Hash>, _>>()?;
            Ok((row.position, key, proof))
        })
        .collect::<Result<Vec<_>, &str>>()
        .map_err(|what| format!("{what} in it has another length"))?;
    for (position, key, proof) in &rows {
        verify_inclusion(&row_hash(key), *position, size, proof, &root)
            .map_err(|error| format!("a row of it is not proved: {error}"))?;
    }
    let places: Vec<(u64, IndexKey)> = rows
        .iter()
        .map(|(position, key, _)| (*position, *key))
        .collect();
    match places.as_slice() {
        [(_, key)] if *key == wanted => Ok(true),
        [] if size == 0 => Ok(false),
        [(0, key)] if *key > wanted => Ok(false),
        [(position, key)] if position.checked_add(1) == Some(size) && *key < wanted => Ok(false),
        [(left, before), (right, after)]
            if left.checked_add(1) == Some(*right) && *before < wanted && wanted < *after =>
        {
            Ok(false)
        }
        _ => Err("the rows that it shows are not those beside the child's key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{NOW_MS, entry};
    use super::*;
    use crate::envelope::merkle::root_of;

    fn row(number: u8) -> IndexKey {
        ([number; 16], 2)
    }

    /// Rows 10, 20 and 30, what they prove of `wanted`.
    fn proof(wanted: &[u8], rows: &[&[u64]]) -> pb::IndexProof {
        let index: Vec<IndexKey> = [10, 20, 30].map(row).into();
        let hashes: Vec<Hash> = index.iter().map(row_hash).collect();
        let path = |at: u64| match at {
            0 => vec![hashes[1], hashes[2]],
            1 => vec![hashes[0], hashes[2]],
            _ => vec![root_of([hashes[0], hashes[1]])],
        };
        pb::IndexProof {
            size: 3,
            root: root_of(hashes.clone()).to_vec(),
            gaps: wanted
                .iter()
                .zip(rows)
                .map(|(wanted, rows)| pb::IndexGap {
                    token: vec![*wanted; 16],
                    rule: 2,
                    rows: rows
                        .iter()
                        .map(|&at| pb::IndexRow {
                            position: at,
                            token: index[at as usize].0.to_vec(),
                            rule: 2,
                            proof: path(at).into_iter().map(Vec::from).collect(),
                        })
                        .collect(),
                })
                .collect(),
        }
    }

    fn own(wanted: &[u8]) -> HashMap<[u8; 16], RuleId> {
        wanted
            .iter()
            .map(|&number| ([number; 16], RuleId(2)))
            .collect()
    }

    #[test]
    fn rows_and_gaps_are_told_apart() {
        let wanted = [5, 10, 15, 30, 35];
        let shown = proof(&wanted, &[&[0], &[0], &[0, 1], &[2], &[2]]);
        let shown = check(&shown, &own(&wanted)).unwrap();
        assert_eq!((shown.standing, shown.keys, shown.size), (2, 5, 3));
    }

    #[test]
    fn what_does_not_prove_it_is_refused() {
        let refused = |wanted: &[u8], rows: &[&[u64]]| {
            check(&proof(wanted, rows), &own(wanted)).unwrap_err();
        };
        // A gap that hides a row, one beside another place, one half, none.
        refused(&[20], &[&[0, 2]]);
        refused(&[15], &[&[1, 2]]);
        refused(&[15], &[&[0]]);
        refused(&[15], &[&[1]]);
        refused(&[15], &[&[]]);
        refused(&[35], &[&[1]]);
        refused(&[5], &[&[1]]);
        // Nothing of a key of the child.
        check(&proof(&[15], &[&[0, 1]]), &own(&[15, 16])).unwrap_err();
        // A row that is not in the tree, a place that is another's, a tree of another size.
        let spoilt = |spoil: &dyn Fn(&mut pb::IndexProof)| {
            let mut proof = proof(&[15], &[&[0, 1]]);
            spoil(&mut proof);
            check(&proof, &own(&[15])).unwrap_err();
        };
        spoilt(&|proof| proof.gaps[0].rows[0].token = vec![11; 16]);
        spoilt(&|proof| proof.gaps[0].rows[0].position = 1);
        spoilt(&|proof| proof.gaps[0].rows[0].rule = 300);
        spoilt(&|proof| proof.gaps[0].rows[1].proof.clear());
        spoilt(&|proof| proof.gaps[0].rows[1].proof[0].clear());
        spoilt(&|proof| proof.root = vec![1; 32]);
        spoilt(&|proof| proof.root.clear());
        spoilt(&|proof| proof.size = u64::MAX);
        spoilt(&|proof| proof.size = 0);
    }

    #[test]
    fn the_mark_that_counts_is_the_one_in_force_when_it_was_answered() {
        let mut marks = Marks::default();
        let state = |index: u64, minutes: u64, reference: &str, marks: &mut Marks| {
            let leaf = Entry {
                time_ms: NOW_MS + minutes * 60_000,
                reference: reference.into(),
                ..entry(pb::Act::RecordsPublished, "", 1)
            };
            marks.take(index, &leaf);
        };
        let text =
            |epoch: u32, size: u64| format!("epoch={epoch} tokens={size} root={:064x}", size);
        let root = |size: u64| {
            let mut root = [0; 32];
            root[31] = size as u8;
            (size, root)
        };
        state(3, 0, &text(1, 7), &mut marks);
        state(5, 60, &format!("{} {}", text(1, 8), text(2, 9)), &mut marks);
        state(6, 60, "epoch=1", &mut marks);
        let at = |index: u64, minutes: u64| (index, NOW_MS + minutes * 60_000);
        let found = |epoch, answered, size| {
            marks
                .in_force(epoch, answered, root(size))
                .map(|mark| mark.leaf_index)
        };
        assert_eq!(found(1, at(4, 1), 7), Some(3));
        assert_eq!(found(1, at(9, 61), 8), Some(5));
        assert_eq!(found(2, at(9, 61), 9), Some(5));
        // The one before had been overtaken only just now, or long since.
        assert_eq!(found(1, at(9, 64), 7), Some(3));
        assert_eq!(found(1, at(9, 66), 7), None);
        // Of another epoch, of no size that was stated, from before there was one.
        assert_eq!(found(2, at(9, 61), 8), None);
        assert_eq!(found(1, at(9, 61), 9), None);
        assert_eq!(found(1, at(2, 0), 7), None);
    }
}
