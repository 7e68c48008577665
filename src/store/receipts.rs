//! Receipts: what peers promised to have in their logs, until it was seen there.

use super::db::{Kind, Row, Table, Value, values};
use super::{Store, StoreError};
use crate::envelope::merkle::Hash;
use crate::tlog::TreeHead;

/// A promise of a peer, as its signed answer stated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose log.
    pub member: String,
    /// Index of the leaf there.
    pub leaf_index: u64,
    /// The leaf's hash.
    pub leaf_hash: Hash,
    /// The tree that covered it.
    pub head: TreeHead,
    /// The checkpoint that says so, a signed note.
    pub checkpoint: String,
    /// SHA-256 of the query's pre-authentication encoding.
    pub query_digest: [u8; 32],
}

/// A promise that has not been seen kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReceipt {
    /// Its number here.
    pub receipt_id: i64,
    /// When the answer came, in milliseconds since 1970.
    pub received_ms: u64,
    /// The promise.
    pub receipt: Receipt,
}

/// How many promises one statement forgets.
const AT_ONCE: usize = 500;

const OPEN: i64 = 0;
const BROKEN: i64 = 1;
/// Of a log that its party has given up since: the new one cannot hold it.
const SUPERSEDED: i64 = 2;

/// Rows of promises.
pub(super) static RECEIPTS: Table = Table::new(
    "receipts",
    &[
        ("member", Kind::Text),
        ("leaf_index", Kind::Int),
        ("leaf_hash", Kind::Blob),
        ("size", Kind::Int),
        ("root", Kind::Blob),
        ("checkpoint", Kind::Text),
        ("query_digest", Kind::Blob),
        ("received_ms", Kind::Int),
        ("state", Kind::Int),
    ],
    "",
);

impl Store {
    /// A promise as a row of [`RECEIPTS`].
    pub(super) fn receipt_row(&self, receipt: &Receipt) -> Vec<Value> {
        values![
            receipt.member.as_str(),
            receipt.leaf_index,
            receipt.leaf_hash,
            receipt.head.size,
            receipt.head.root,
            receipt.checkpoint.as_str(),
            receipt.query_digest,
            self.ambient.now_ms(),
            OPEN
        ]
    }

    /// Up to `limit` promises of one party that have not been seen kept, oldest first.
    pub async fn open_receipts(
        &self,
        member: &str,
        limit: u64,
    ) -> Result<Vec<OpenReceipt>, StoreError> {
        let rows = self
            .db
            .read(
                "read-receipts",
                "SELECT receipt_id, received_ms, member, leaf_index, leaf_hash, size, root,
                     checkpoint, query_digest
                 FROM receipts WHERE state = $1 AND member = $2 ORDER BY receipt_id LIMIT $3",
                values![OPEN, member, limit],
            )
            .await?;
        rows.iter().map(open_receipt).collect()
    }

    /// How many promises are open, and how many were broken.
    pub async fn receipt_counts(&self) -> Result<(u64, u64), StoreError> {
        let rows = self
            .db
            .read(
                "count-receipts",
                "SELECT state, count(*) FROM receipts GROUP BY state",
                vec![],
            )
            .await?;
        let mut counts = (0, 0);
        for row in &rows {
            match row.int(0)? {
                OPEN => counts.0 = row.uint(1)?,
                BROKEN => counts.1 = row.uint(1)?,
                _ => {}
            }
        }
        Ok(counts)
    }

    /// Forgets promises that were seen kept.
    pub async fn receipts_kept(&self, receipt_ids: &[i64]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("receipts-kept").await?;
        for some in receipt_ids.chunks(AT_ONCE) {
            let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
            let sql = format!(
                "DELETE FROM receipts WHERE receipt_id IN ({})",
                places.join(", ")
            );
            tx.run_built(sql, some.iter().map(|id| (*id).into()).collect())
                .await?;
        }
        tx.commit().await
    }

    /// Sets promises aside that are of a log which its party has given up since; they are kept as
    /// evidence, and not looked at again.
    pub async fn receipts_superseded(&self, receipt_ids: &[i64]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("receipts-superseded").await?;
        for receipt_id in receipt_ids {
            tx.run(
                "UPDATE receipts SET state = $1 WHERE receipt_id = $2",
                values![SUPERSEDED, *receipt_id],
            )
            .await?;
        }
        tx.commit().await
    }

    /// Marks a promise as broken; it is kept, and not looked at again.
    pub async fn receipt_broken(&self, receipt_id: i64) -> Result<(), StoreError> {
        let mut tx = self.db.begin("receipt-broken").await?;
        tx.run(
            "UPDATE receipts SET state = $1 WHERE receipt_id = $2",
            values![BROKEN, receipt_id],
        )
        .await?;
        tx.commit().await
    }
}

fn open_receipt(row: &Row) -> Result<OpenReceipt, StoreError> {
    Ok(OpenReceipt {
        receipt_id: row.int(0)?,
        received_ms: row.uint(1)?,
        receipt: Receipt {
            member: row.text(2)?,
            leaf_index: row.uint(3)?,
            leaf_hash: row.array(4)?,
            head: TreeHead {
                size: row.uint(5)?,
                root: row.array(6)?,
            },
            checkpoint: row.text(7)?,
            query_digest: row.array(8)?,
        },
    })
}
