//! What this member asked others to be told, until when it may keep what it was told, and the
//! notices on their way to others.

use zeroize::Zeroizing;

use super::db::{Row, Tx, Value, values};
use super::evidence::{Evidence, EvidencePart};
use super::keys::{Tag, TagKind};
use super::{Store, StoreError};
use crate::vault::Place;

/// A question of this member to another, as it is kept. What was told in answer stays in the
/// evidence behind the leaves of its receipt and nowhere else.
#[derive(Clone)]
pub struct ReceivedRow {
    /// Message id of the first question.
    pub ask_id: [u8; 16],
    /// Tag of the holder and its request id ([`Store::origin_tag`]), once known.
    pub origin_tag: Option<Tag>,
    /// What is known of it, serialised.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Number of its state.
    pub state: u8,
    /// Its version, from 1. A row is written only over the version before.
    pub version: u64,
    /// When what was told is to be erased, in milliseconds since 1970.
    pub due_ms: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_ms: u64,
}

/// Whom something that is on its way is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mail {
    /// Another member, that was told something.
    Notice = 0,
    /// The member's own people.
    Reminder = 1,
}

/// A notice that is to reach another member, or this member's own people.
#[derive(Clone)]
pub struct NoticeRow {
    /// Whom it is to reach.
    pub kind: Mail,
    /// Its id, 16 random octets.
    pub notice_id: [u8; 16],
    /// What it says, serialised.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// How often it was tried.
    pub attempts: u64,
    /// When it is tried next, in milliseconds since 1970.
    pub due_ms: u64,
}

const TABLE: &str = "received_disclosures";
const COLUMNS: &str = "ask_id, origin_tag, data_key, sealed, state, version, due_ms, updated_ms";

impl Store {
    /// The tag of a holder and its request id.
    #[must_use]
    pub fn origin_tag(&self, holder: &str, request_id: &[u8; 16]) -> Tag {
        self.tag(TagKind::Origin, &[holder.as_bytes(), request_id])
    }

    /// The question behind a holder's request.
    pub async fn received(
        &self,
        holder: &str,
        request_id: &[u8; 16],
    ) -> Result<Option<ReceivedRow>, StoreError> {
        let rows = self
            .received_where(
                "WHERE origin_tag = $1",
                values![self.origin_tag(holder, request_id)],
            )
            .await?;
        Ok(rows.into_iter().next())
    }

    /// Up to `limit` questions, newest change first.
    pub async fn all_received(&self, limit: u64) -> Result<Vec<ReceivedRow>, StoreError> {
        self.received_where("ORDER BY updated_ms DESC, ask_id LIMIT $1", values![limit])
            .await
    }

    /// Up to `limit` questions whose answers may be kept no longer.
    pub async fn received_due(
        &self,
        now_ms: u64,
        limit: u64,
    ) -> Result<Vec<ReceivedRow>, StoreError> {
        self.received_where(
            "WHERE due_ms <= $1 ORDER BY ask_id LIMIT $2",
            values![now_ms, limit],
        )
        .await
    }

    async fn received_where(
        &self,
        tail: &'static str,
        values: Vec<super::db::Value>,
    ) -> Result<Vec<ReceivedRow>, StoreError> {
        self.db
            .read_built(
                "read-received",
                format!("SELECT {COLUMNS} FROM received_disclosures {tail}"),
                values,
            )
            .await?
            .iter()
            .map(|row| self.open_received(row))
            .collect()
    }

    fn open_received(&self, row: &Row) -> Result<ReceivedRow, StoreError> {
        let ask_id: [u8; 16] = row.array(0)?;
        let plaintext = self.keys.open_row(
            "received disclosure",
            TABLE,
            &ask_id,
            &row.blob(2)?,
            &row.blob(3)?,
        )?;
        Ok(ReceivedRow {
            ask_id,
            origin_tag: row.array_or_null(1)?,
            plaintext,
            state: u8::try_from(row.uint(4)?)
                .map_err(|_| StoreError::damaged("received disclosure", "an unknown state"))?,
            version: row.uint(5)?,
            due_ms: row.uint(6)?,
            updated_ms: row.uint(7)?,
        })
    }

    /// The answers to a question whose values are still kept, oldest first, those behind the leaves
    /// of logs that were given up among them.
    pub async fn answers_with_values(
        &self,
        ask_id: &[u8; 16],
    ) -> Result<Vec<Evidence>, StoreError> {
        let rows = self
            .db
            .read(
                "read-received-values",
                "SELECT log_number, leaf_index FROM received_values WHERE ask_id = $1
                 ORDER BY CASE WHEN log_number = 0 THEN 1 ELSE 0 END, log_number, leaf_index",
                values![*ask_id],
            )
            .await?;
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            let (log_number, leaf_index) = (row.uint(0)?, row.uint(1)?);
            let answer = match log_number {
                0 => self.evidence(leaf_index, EvidencePart::Answer).await?,
                _ => {
                    self.old_evidence(log_number, leaf_index, EvidencePart::Answer)
                        .await?
                }
            };
            answers.extend(answer);
        }
        Ok(answers)
    }

    pub(super) async fn received_is_current(
        tx: &mut Tx,
        row: &ReceivedRow,
    ) -> Result<bool, StoreError> {
        let found = tx
            .read_one(
                "SELECT version FROM received_disclosures WHERE ask_id = $1",
                values![row.ask_id],
            )
            .await?
            .map_or(Ok(0), |found| found.uint(0))?;
        Ok(found + 1 == row.version)
    }

    pub(super) async fn put_received(
        &self,
        tx: &mut Tx,
        row: &ReceivedRow,
    ) -> Result<(), StoreError> {
        let (wrapped, sealed) =
            self.keys
                .seal_row(TABLE, &row.ask_id, &row.plaintext, &self.ambient)?;
        tx.run(
            "INSERT INTO received_disclosures
                 (ask_id, origin_tag, data_key, sealed, state, version, due_ms, updated_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (ask_id) DO UPDATE SET origin_tag = excluded.origin_tag,
                 data_key = excluded.data_key, sealed = excluded.sealed, state = excluded.state,
                 version = excluded.version, due_ms = excluded.due_ms,
                 updated_ms = excluded.updated_ms",
            values![
                row.ask_id,
                row.origin_tag,
                wrapped,
                sealed,
                u64::from(row.state),
                row.version,
                row.due_ms,
                row.updated_ms
            ],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn note_values(
        tx: &mut Tx,
        ask_id: [u8; 16],
        leaf_index: u64,
    ) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO received_values (ask_id, log_number, leaf_index) VALUES ($1, 0, $2)
             ON CONFLICT (ask_id, log_number, leaf_index) DO NOTHING",
            values![ask_id, leaf_index],
        )
        .await?;
        Ok(())
    }

    /// Destroys the data keys of all values that were told in answer to a question, and of the words
    /// in which they were asked for. What is left of each is its hash, so that what was signed still
    /// verifies.
    pub(super) async fn erase_values(tx: &mut Tx, ask_id: [u8; 16]) -> Result<(), StoreError> {
        shred(tx, "received_values", "ask_id", ask_id.into()).await
    }

    pub(super) async fn note_told(
        tx: &mut Tx,
        ref_tag: Tag,
        leaf_index: u64,
    ) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO told_values (ref_tag, log_number, leaf_index) VALUES ($1, 0, $2)
             ON CONFLICT (ref_tag, log_number, leaf_index) DO NOTHING",
            values![ref_tag, leaf_index],
        )
        .await?;
        Ok(())
    }

    /// Destroys the data keys of everything in the evidence that was told of a record, or said to ask
    /// for it. What is left of each is its hash, so that what was signed still verifies.
    pub(super) async fn erase_told(tx: &mut Tx, ref_tag: Tag) -> Result<(), StoreError> {
        shred(tx, "told_values", "ref_tag", ref_tag.into()).await
    }

    pub(super) async fn post(&self, tx: &mut Tx, notice: &NoticeRow) -> Result<(), StoreError> {
        let sealed = self.keys.seal(
            notice_place(&notice.notice_id),
            &notice.plaintext,
            &self.ambient,
        );
        tx.run(
            "INSERT INTO outbox (notice_id, kind, sealed, attempts, due_ms)
             VALUES ($1, $2, $3, $4, $5)",
            values![
                notice.notice_id,
                notice.kind as i64,
                sealed,
                notice.attempts,
                notice.due_ms
            ],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn unpost(tx: &mut Tx, notice_id: [u8; 16]) -> Result<(), StoreError> {
        tx.run(
            "DELETE FROM outbox WHERE notice_id = $1",
            values![notice_id],
        )
        .await?;
        Ok(())
    }

    /// Takes a reminder that has reached people, or that nobody is to be told of, off its way.
    pub async fn drop_reminder(&self, notice_id: [u8; 16]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("drop-reminder").await?;
        Self::unpost(&mut tx, notice_id).await?;
        tx.commit().await
    }

    /// Up to `limit` notices of a kind that are to be tried by now.
    pub async fn notices_due(
        &self,
        kind: Mail,
        now_ms: u64,
        limit: u64,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        self.db
            .read(
                "read-outbox",
                "SELECT notice_id, sealed, attempts, due_ms FROM outbox
                 WHERE kind = $1 AND due_ms <= $2 ORDER BY due_ms, notice_id LIMIT $3",
                values![kind as i64, now_ms, limit],
            )
            .await?
            .iter()
            .map(|row| {
                let notice_id: [u8; 16] = row.array(0)?;
                Ok(NoticeRow {
                    kind,
                    notice_id,
                    plaintext: self
                        .keys
                        .open("notice", notice_place(&notice_id), &row.blob(1)?)?,
                    attempts: row.uint(2)?,
                    due_ms: row.uint(3)?,
                })
            })
            .collect()
    }

    /// How many notices wait for other members to acknowledge.
    pub async fn notices_waiting(&self) -> Result<u64, StoreError> {
        self.db
            .read_one(
                "count-outbox",
                "SELECT count(*) FROM outbox WHERE kind = 0",
                vec![],
            )
            .await?
            .map_or(Ok(0), |row| row.uint(0))
    }

    /// Puts off a notice that did not get through.
    pub async fn put_off(
        &self,
        notice_id: [u8; 16],
        attempts: u64,
        due_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("put-off").await?;
        tx.run(
            "UPDATE outbox SET attempts = $2, due_ms = $3 WHERE notice_id = $1",
            values![notice_id, attempts, due_ms],
        )
        .await?;
        tx.commit().await
    }
}

/// Destroys the data keys of what `table` lists under a key, values and the words that asked for them,
/// in this log and in those given up, and forgets the list.
async fn shred(
    tx: &mut Tx,
    table: &'static str,
    column: &'static str,
    key: Value,
) -> Result<(), StoreError> {
    for statement in [
        format!(
            "UPDATE evidence_items SET data_key = NULL, sealed = NULL
             WHERE part IN (0, 1) AND leaf_index IN
                 (SELECT leaf_index FROM {table} WHERE {column} = $1 AND log_number = 0)"
        ),
        format!(
            "UPDATE old_evidence_items SET data_key = NULL, sealed = NULL
             WHERE part IN (0, 1) AND (log_number, leaf_index) IN
                 (SELECT log_number, leaf_index FROM {table} WHERE {column} = $1)"
        ),
        format!("DELETE FROM {table} WHERE {column} = $1"),
    ] {
        tx.run_built(statement, vec![key.clone()]).await?;
    }
    Ok(())
}

fn notice_place(notice_id: &[u8; 16]) -> Place<'_> {
    Place {
        table: "outbox",
        column: "sealed",
        row: notice_id,
    }
}
