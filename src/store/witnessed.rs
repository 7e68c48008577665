//! What this node remembers of logs as a witness, what witnesses gave it for its own, and what it
//! has found out.

use super::db::{Row, values};
use super::{Store, StoreError};
use crate::tlog::TreeHead;

/// Something that was found out and that people have to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFinding {
    /// What: a stable code.
    pub kind: &'static str,
    /// The party it is about.
    pub member: String,
    /// What happened, in words; nothing personal.
    pub detail: String,
    /// Two signed checkpoints that prove it to anyone; empty where there is no proof.
    pub proof: [String; 2],
}

/// A finding as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLogFinding {
    /// When it was found, in milliseconds since 1970.
    pub found_ms: u64,
    /// What: a stable code.
    pub kind: String,
    /// The party it is about.
    pub member: String,
    /// What happened, in words.
    pub detail: String,
    /// Two signed checkpoints that prove it, or empty texts.
    pub proof: [String; 2],
}

impl Store {
    /// The checkpoint of the log named `origin` that this witness cosigned last.
    pub async fn watched_log(&self, origin: &str) -> Result<Option<String>, StoreError> {
        let row = self
            .db
            .read_one(
                "read-watched-log",
                "SELECT checkpoint FROM watched_logs WHERE origin = $1",
                values![origin],
            )
            .await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Remembers a checkpoint of another's log, in place of the one with the head `expected`, or of
    /// none. `false` if another stands there by now: judge anew. Once this returns `true` it is
    /// durable.
    pub async fn watch_log(
        &self,
        origin: &str,
        expected: Option<TreeHead>,
        head: &TreeHead,
        checkpoint: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("watch-log").await?;
        // Where nothing is expected, a row that is there never matches: no size is negative.
        let (size, root) = expected.map_or((-1, Vec::new()), |expected| {
            (
                i64::try_from(expected.size).unwrap_or(i64::MAX),
                expected.root.to_vec(),
            )
        });
        let changed = tx
            .run(
                "INSERT INTO watched_logs (origin, size, root, checkpoint)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root,
                     checkpoint = excluded.checkpoint
                 WHERE watched_logs.size = $5 AND watched_logs.root = $6",
                values![origin, head.size, head.root, checkpoint, size, root],
            )
            .await?;
        if changed == 0 {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The checkpoint that is served, with the cosignatures that it was given, and its size.
    pub async fn published_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        let row = self
            .db
            .read_one(
                "read-published",
                "SELECT size, checkpoint FROM log_published WHERE id = 1",
                vec![],
            )
            .await?;
        row.map(|row| Ok((row.uint(0)?, row.text(1)?))).transpose()
    }

    /// Serves a checkpoint from now on, unless a larger one is served already.
    pub async fn publish_checkpoint(&self, size: u64, checkpoint: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin("publish-checkpoint").await?;
        tx.run(
            "INSERT INTO log_published (id, size, checkpoint) VALUES (1, $1, $2)
             ON CONFLICT (id) DO UPDATE SET size = excluded.size,
                 checkpoint = excluded.checkpoint
             WHERE log_published.size <= excluded.size",
            values![size, checkpoint],
        )
        .await?;
        tx.commit().await
    }

    /// Keeps a finding with its proof. `false` if it is known already.
    pub async fn raise_log_finding(&self, finding: &LogFinding) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("raise-log-finding").await?;
        let [one, other] = &finding.proof;
        let changed = tx
            .run(
                "INSERT INTO log_findings (kind, member, detail, one, other, found_ms)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (kind, member, detail) DO NOTHING",
                values![
                    finding.kind,
                    finding.member.as_str(),
                    finding.detail.as_str(),
                    one.as_str(),
                    other.as_str(),
                    self.ambient.now_ms()
                ],
            )
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// The newest findings, up to `limit`.
    pub async fn log_findings(&self, limit: u64) -> Result<Vec<KeptLogFinding>, StoreError> {
        let rows = self
            .db
            .read(
                "read-log-findings",
                "SELECT found_ms, kind, member, detail, one, other FROM log_findings
                 ORDER BY found_ms DESC, kind, member, detail LIMIT $1",
                values![limit],
            )
            .await?;
        rows.iter().map(kept_finding).collect()
    }
}

fn kept_finding(row: &Row) -> Result<KeptLogFinding, StoreError> {
    Ok(KeptLogFinding {
        found_ms: row.uint(0)?,
        kind: row.text(1)?,
        member: row.text(2)?,
        detail: row.text(3)?,
        proof: [row.text(4)?, row.text(5)?],
    })
}
