//! What proves to an outsider which rows the published index has, and which it has not, under the
//! root that a publication mark logged.
//!
//! The rows stand in ascending order of token and rule. A row is there if its hash leads to the
//! root; none is there if the two rows between which it would stand are neighbours under the root.
//! The index goes by once, in pages; of its tree one hash in 256 rows is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::db::values;
use super::{Store, StoreError};
use crate::envelope::merkle::{Hash, leaf_hash, root_of};
use crate::tlog::{NodeId, ProofError, proof};

/// Rows read at a time.
const PAGE: u64 = 4_096;

/// Rows of a block, of which one hash is kept: two to the [`LEVEL`].
const BLOCK: usize = 256;
const LEVEL: u8 = 8;

/// A row of the index as the tree has it: token, then rule.
pub type IndexKey = ([u8; 16], u8);

/// A row with its place under the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedRow {
    /// Its place, from 0.
    pub position: u64,
    /// The row.
    pub key: IndexKey,
    /// RFC 6962 inclusion proof.
    pub proof: Vec<Hash>,
}

/// What proves of some rows whether the index has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexProof {
    /// Rows of the index.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Hash,
    /// For each row asked for, in the order of the rows: itself, or its would-be neighbours, of which
    /// there is one at either end of the index and none in an empty one.
    pub rows: Vec<(IndexKey, Vec<ProvedRow>)>,
}

/// The hash of a row in the tree.
#[must_use]
pub fn row_hash(key: &IndexKey) -> Hash {
    let mut row = [0; 17];
    row[..16].copy_from_slice(&key.0);
    row[16] = key.1;
    leaf_hash(&row)
}

impl Store {
    /// Proves which of `wanted` stand in the published index of `epoch`.
    ///
    /// The index may change while it is read: whoever answers with the proof compares its root with
    /// what was logged.
    ///
    /// # Errors
    /// If the database fails, or holds a row that is none.
    pub async fn prove_index(
        &self,
        epoch: u32,
        wanted: &BTreeSet<IndexKey>,
    ) -> Result<IndexProof, StoreError> {
        let mut pass = Pass::new(wanted);
        let mut after: (Vec<u8>, u64, u64) = (Vec::new(), 0, 0);
        loop {
            let rows = self
                .db
                .read(
                    "prove-index",
                    "SELECT i.token, i.rule, i.record_id FROM lookup_index i
                     JOIN records r ON r.record_id = i.record_id
                     WHERE i.epoch = $1 AND r.state = 2
                         AND (i.token, i.rule, i.record_id) > ($2, $3, $4)
                     ORDER BY i.token, i.rule, i.record_id LIMIT $5",
                    values![u64::from(epoch), after.0.clone(), after.1, after.2, PAGE],
                )
                .await?;
            let Some(last) = rows.last() else { break };
            after = (last.blob(0)?, last.uint(1)?, last.uint(2)?);
            for row in &rows {
                let rule = u8::try_from(row.uint(1)?)
                    .map_err(|_| StoreError::damaged("index", "a rule has no such number"))?;
                pass.take((row.array(0)?, rule));
            }
            if (rows.len() as u64) < PAGE {
                break;
            }
        }
        pass.finish().map_err(|error| {
            StoreError::damaged("index", format!("its rows cannot be proved: {error}"))
        })
    }
}

/// One pass over the rows in their order.
struct Pass<'a> {
    wanted: std::iter::Peekable<std::collections::btree_set::Iter<'a, IndexKey>>,
    size: u64,
    last: Option<IndexKey>,
    /// Hashes of the full blocks.
    blocks: Vec<Hash>,
    /// Hashes of the rows of the block under way.
    open: Vec<Hash>,
    /// Those of the block before.
    before: Vec<Hash>,
    /// Those of the blocks in which a proof begins, by number.
    kept: BTreeMap<u64, Vec<Hash>>,
    keep_open: bool,
    found: Vec<(IndexKey, Vec<(u64, IndexKey)>)>,
}

impl<'a> Pass<'a> {
    fn new(wanted: &'a BTreeSet<IndexKey>) -> Self {
        Self {
            wanted: wanted.iter().peekable(),
            size: 0,
            last: None,
            blocks: Vec::new(),
            open: Vec::with_capacity(BLOCK),
            before: Vec::new(),
            kept: BTreeMap::new(),
            keep_open: false,
            found: Vec::new(),
        }
    }

    /// Takes the next row.
    fn take(&mut self, row: IndexKey) {
        let position = self.size;
        let previous = self.last.map(|key| (position.saturating_sub(1), key));
        self.size += 1;
        self.last = Some(row);
        self.open.push(row_hash(&row));
        while let Some(wanted) = self.wanted.next_if(|wanted| **wanted <= row) {
            let mut rows = Vec::with_capacity(2);
            if *wanted < row {
                rows.extend(previous);
            }
            rows.push((position, row));
            if let Some((before, _)) = rows.first() {
                self.keep(*before);
            }
            self.keep(position);
            self.found.push((*wanted, rows));
        }
        if self.open.len() == BLOCK {
            self.close();
        }
    }

    /// A proof begins at this row, the newest or the one before it.
    fn keep(&mut self, position: u64) {
        let block = position / BLOCK as u64;
        if block == self.blocks.len() as u64 {
            self.keep_open = true;
        } else if !self.kept.contains_key(&block) {
            self.kept.insert(block, self.before.clone());
        }
    }

    fn close(&mut self) {
        let rows = std::mem::replace(&mut self.open, Vec::with_capacity(BLOCK));
        if std::mem::take(&mut self.keep_open) {
            self.kept.insert(self.blocks.len() as u64, rows.clone());
        }
        self.blocks.push(root_of(rows.iter().copied()));
        self.before = rows;
    }

    fn finish(mut self) -> Result<IndexProof, ProofError> {
        let last = self.last.map(|key| (self.size.saturating_sub(1), key));
        if let Some((position, _)) = last
            && self.wanted.peek().is_some()
        {
            self.keep(position);
        }
        for wanted in self.wanted.by_ref() {
            self.found.push((*wanted, last.into_iter().collect()));
        }
        // Proofs lead through the ragged end, wherever they begin.
        let open = std::mem::take(&mut self.open);
        let mut top = self.blocks.clone();
        if !open.is_empty() {
            top.push(root_of(open.iter().copied()));
            self.kept.insert(self.blocks.len() as u64, open);
        }
        let root = root_of(top);
        let found = std::mem::take(&mut self.found);
        let rows = found
            .into_iter()
            .map(|(wanted, rows)| {
                let proved = rows
                    .into_iter()
                    .map(|(position, key)| {
                        Ok(ProvedRow {
                            position,
                            key,
                            proof: self.proof(position)?,
                        })
                    })
                    .collect::<Result<_, ProofError>>()?;
                Ok((wanted, proved))
            })
            .collect::<Result<_, ProofError>>()?;
        Ok(IndexProof {
            size: self.size,
            root,
            rows,
        })
    }

    fn proof(&self, position: u64) -> Result<Vec<Hash>, ProofError> {
        let hashes: Vec<Hash> = proof::inclusion_nodes(position, self.size)?
            .iter()
            .filter_map(|node| self.node(node))
            .collect();
        // One that is missing shows in the number of the hashes.
        proof::assemble_inclusion(position, self.size, &hashes)
    }

    /// The hash of a perfect subtree.
    fn node(&self, node: &NodeId) -> Option<Hash> {
        let leaves = node.leaves();
        let block = BLOCK as u64;
        let slot = |at: u64| usize::try_from(at).ok();
        let hashes = if node.level >= LEVEL {
            self.blocks
                .get(slot(leaves.start / block)?..slot(leaves.end / block)?)?
        } else {
            let kept = self.kept.get(&(leaves.start / block))?;
            let start = slot(leaves.start % block)?;
            kept.get(start..start.checked_add(slot(leaves.end - leaves.start)?)?)?
        };
        Some(root_of(hashes.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> IndexKey {
        let mut token = [0; 16];
        token[8..].copy_from_slice(&number.to_be_bytes());
        (token, (number % 3) as u8)
    }

    fn prove(rows: &[IndexKey], wanted: &BTreeSet<IndexKey>) -> IndexProof {
        let mut pass = Pass::new(wanted);
        for row in rows {
            pass.take(*row);
        }
        pass.finish().unwrap()
    }

    /// Every second number is a row, so that each row and each gap is asked for.
    #[test]
    fn each_row_and_each_gap_is_proved_under_the_root_of_all_rows() {
        for size in [0_u64, 1, 2, 3, 255, 256, 257, 511, 512, 513, 700, 1_025] {
            let rows: Vec<IndexKey> = (0..size).map(|row| key(2 * row + 1)).collect();
            let root = root_of(rows.iter().map(row_hash));
            let wanted: BTreeSet<IndexKey> = (0..=2 * size + 1).map(key).collect();
            let proved = prove(&rows, &wanted);
            assert_eq!((proved.size, proved.root), (size, root));
            assert_eq!(proved.rows.len(), wanted.len());
            for (asked, shown) in &proved.rows {
                for row in shown {
                    assert_eq!(rows[row.position as usize], row.key);
                    proof::verify_inclusion(
                        &row_hash(&row.key),
                        row.position,
                        size,
                        &row.proof,
                        &root,
                    )
                    .unwrap_or_else(|error| panic!("{size}, {}: {error}", row.position));
                }
                let place = rows.partition_point(|row| row < asked) as u64;
                let positions: Vec<u64> = shown.iter().map(|row| row.position).collect();
                let expected: Vec<u64> = if rows.get(place as usize) == Some(asked) {
                    vec![place]
                } else {
                    (place.saturating_sub(1)..(place + 1).min(size))
                        .filter(|at| *at + 1 == place || *at == place)
                        .collect()
                };
                assert_eq!(positions, expected, "{size}: {asked:?}");
            }
        }
    }

    #[test]
    fn proofs_far_apart_and_of_equal_rows_hold_too() {
        // Three records share a row: all three stand in the tree.
        let mut rows: Vec<IndexKey> = (0..5_000).map(|row| key(2 * row)).collect();
        rows.extend([key(4_000), key(4_000)]);
        rows.sort_unstable();
        let wanted: BTreeSet<IndexKey> = [0, 3_999, 4_000, 4_001, 9_998, 9_999].map(key).into();
        let proved = prove(&rows, &wanted);
        let root = root_of(rows.iter().map(row_hash));
        assert_eq!(proved.root, root);
        let counts: Vec<usize> = proved.rows.iter().map(|(_, rows)| rows.len()).collect();
        assert_eq!(counts, [1, 2, 1, 2, 1, 1]);
        for row in proved.rows.iter().flat_map(|(_, rows)| rows) {
            let size = rows.len() as u64;
            proof::verify_inclusion(&row_hash(&row.key), row.position, size, &row.proof, &root)
                .unwrap();
        }
    }
}
