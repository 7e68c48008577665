//! Reading the log: leaves, checkpoints and the hashes of its perfect subtrees.

use std::collections::HashMap;

use rand_core::CryptoRngCore;

use super::db::{Kind, Row, Table, Value, values};
use super::{Store, StoreError};
use crate::envelope::merkle::{Hash, leaf_hash};
use crate::tlog::NodeId;
use crate::tlog::proof::assemble_root;
use crate::tlog::tree::root_nodes;
use crate::vault::Place;

impl Store {
    /// The newest checkpoint as a signed note, with the size it states; nothing before the first
    /// leaf.
    pub async fn checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        let row = self
            .db
            .read_one(
                "read-checkpoint",
                "SELECT size, checkpoint FROM log_state WHERE id = 1",
                vec![],
            )
            .await?;
        row.map(|row| Ok((row.uint(0)?, row.text(1)?))).transpose()
    }

    /// Up to `count` leaves from `start` on.
    ///
    /// # Errors
    /// [`StoreError::DamagedLeaf`] names the first that does not open, or does not have the hash
    /// that the tree was built from.
    pub async fn leaves(&self, start: u64, count: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = self
            .db
            .read_settled(
                "read-leaves",
                "SELECT leaf_index, leaf_hash, sealed FROM log_leaves
                 WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2",
                values![start, count],
                count,
            )
            .await?;
        let mut leaves = Vec::with_capacity(rows.len());
        for (expected, row) in (start..).zip(&rows) {
            leaves.push(self.open_leaf(expected, row)?);
        }
        Ok(leaves)
    }

    pub(super) fn open_leaf(&self, leaf_index: u64, row: &Row) -> Result<Vec<u8>, StoreError> {
        let damaged = |reason: String| StoreError::DamagedLeaf { leaf_index, reason };
        if row.uint(0)? != leaf_index {
            return Err(damaged("it is missing".to_owned()));
        }
        let at = leaf_index.to_be_bytes();
        let leaf = self
            .keys
            .open("leaf", leaf_place(&at), &row.blob(2)?)
            .map_err(|error| damaged(error.to_string()))?;
        if row.blob(1)? != leaf_hash(&leaf) {
            return Err(damaged("its hash is another".to_owned()));
        }
        Ok(leaf.to_vec())
    }

    /// Hashes of perfect subtrees, in the order asked for.
    pub async fn log_hashes(&self, nodes: &[NodeId]) -> Result<Vec<Hash>, StoreError> {
        let mut found = HashMap::with_capacity(nodes.len());
        for some in nodes.chunks(NODES_AT_ONCE) {
            // Repeating the last keeps the statement's shape constant.
            let padded = some.iter().chain(some.last().into_iter().cycle());
            let bound = padded
                .take(NODES_AT_ONCE)
                .flat_map(|node| values![u64::from(node.level), node.index])
                .collect();
            for row in self
                .db
                .read_built("read-log-nodes", select_nodes(), bound)
                .await?
            {
                found.insert((row.uint(0)?, row.uint(1)?), row.array(2)?);
            }
        }
        nodes
            .iter()
            .map(|node| {
                let place = (u64::from(node.level), node.index);
                found.get(&place).copied().ok_or_else(|| {
                    StoreError::damaged(
                        format!("log node {} at level {}", node.index, node.level),
                        "missing",
                    )
                })
            })
            .collect()
    }

    /// A row of neighbouring hashes of one level: those from `start` up to `end`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if one is missing.
    pub async fn log_row(&self, level: u8, start: u64, end: u64) -> Result<Vec<Hash>, StoreError> {
        let rows = self
            .db
            .read_settled(
                "read-log-row",
                "SELECT idx, hash FROM log_nodes
                 WHERE level = $1 AND idx >= $2 AND idx < $3 ORDER BY idx",
                values![u64::from(level), start, end],
                end.saturating_sub(start),
            )
            .await?;
        let mut hashes = Vec::with_capacity(rows.len());
        let mut rows = rows.iter();
        for index in start..end {
            let row = rows.next();
            let found = row.map(|row| row.uint(0)).transpose()?;
            let (Some(row), true) = (row, found == Some(index)) else {
                return Err(StoreError::damaged(
                    format!("log node {index} at level {level}"),
                    "missing",
                ));
            };
            hashes.push(row.array(1)?);
        }
        Ok(hashes)
    }

    /// The root of the stored tree at a size that the log has passed.
    pub async fn log_root(&self, size: u64) -> Result<Hash, StoreError> {
        let hashes = self.log_hashes(&root_nodes(size)).await?;
        assemble_root(size, &hashes)
            .map_err(|error| StoreError::damaged("log tree", error.to_string()))
    }

    /// A leaf as a row of [`LEAVES`].
    pub(super) fn leaf_row(
        &self,
        leaf_index: u64,
        leaf: &[u8],
        hash: Hash,
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<Value> {
        let at = leaf_index.to_be_bytes();
        let sealed = self.keys.seal_by(leaf_place(&at), leaf, rng);
        values![leaf_index, hash, sealed]
    }
}

/// How many hashes one statement reads: a proof in a log of a million leaves takes about as many.
const NODES_AT_ONCE: usize = 32;

fn select_nodes() -> String {
    let places: Vec<String> = (0..NODES_AT_ONCE)
        .map(|node| {
            let (level, idx) = (2 * node + 1, 2 * node + 2);
            format!("(CAST(${level} AS BIGINT), CAST(${idx} AS BIGINT))")
        })
        .collect();
    format!(
        "SELECT level, idx, hash FROM log_nodes WHERE (level, idx) IN (VALUES {})",
        places.join(", ")
    )
}

/// Rows of leaves.
pub(super) static LEAVES: Table = Table::new(
    "log_leaves",
    &[
        ("leaf_index", Kind::Int),
        ("leaf_hash", Kind::Blob),
        ("sealed", Kind::Blob),
    ],
    "",
);

/// Rows of the tree's hashes.
pub(super) static NODES: Table = Table::new(
    "log_nodes",
    &[
        ("level", Kind::Int),
        ("idx", Kind::Int),
        ("hash", Kind::Blob),
    ],
    "",
);

fn leaf_place(at: &[u8; 8]) -> Place<'_> {
    Place {
        table: "log_leaves",
        column: "sealed",
        row: at,
    }
}
