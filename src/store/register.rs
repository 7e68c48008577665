//! What of a member's own register was looked up at whom, so that nothing is asked twice: neither
//! after a search was broken off, nor on the next night where nothing has changed.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::bulk::insert;
use super::db::{Tx, values};
use super::records::StoredRecord;
use super::{Store, StoreError};
use crate::vault::Place;

/// Which of the own records are still to be looked up at a member.
#[derive(Clone, Debug)]
pub struct RegisterToAsk {
    /// The member.
    pub member: String,
    /// Under which epoch of the coalition key.
    pub epoch: u32,
    /// The mark of the member's index: records that were asked about under it are left out. Nothing
    /// is left out where it is empty.
    pub mark: Vec<u8>,
}

/// How much of a register there is to ask about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterCounts {
    /// Records to be asked about.
    pub to_ask: u64,
    /// Records that were asked about already, and nothing has changed since.
    pub unchanged: u64,
    /// Records without tokens yet.
    pub waiting: u64,
}

/// An own record with all that a question about it is made of.
pub struct RegisterEntry {
    /// The record.
    pub record: StoredRecord,
    /// Its presence mask.
    pub presence: u16,
    /// Its coalition tokens, as they were serialised.
    pub tokens: Zeroizing<Vec<u8>>,
    /// Its pseudonym in the log, if it was made before.
    pub pseudonym: Option<[u8; 16]>,
}

/// A batch that was sent, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBatch {
    /// Its message id.
    pub message_id: [u8; 16],
    /// The member.
    pub member: String,
    /// The leaf of the act of asking; 0 until that is committed.
    pub leaf_index: u64,
    /// Epoch of the coalition key.
    pub epoch: u32,
    /// Until when the member takes it.
    pub expires_ms: u64,
    /// The records, in the order of the subjects.
    pub records: Arc<[u64]>,
}

/// What goes with the leaves of a batch.
#[derive(Clone, Debug)]
pub enum RegisterStep {
    /// It is on its way.
    Sent(SentBatch),
    /// It was answered, by an index of this mark.
    Answered {
        /// The batch.
        batch: SentBatch,
        /// The mark.
        mark: Vec<u8>,
    },
}

impl Store {
    /// Forgets what is of no use any more: records that are gone, and batches that nobody takes after
    /// `now_ms`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn tidy_register(&self, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.db.begin("tidy-register").await?;
        for sql in [
            "DELETE FROM register_asked WHERE record_id NOT IN (SELECT record_id FROM records)",
            "DELETE FROM record_pseudonyms WHERE record_id NOT IN (SELECT record_id FROM records)",
        ] {
            tx.run(sql, vec![]).await?;
        }
        tx.run(
            "DELETE FROM register_batches WHERE expires_ms <= $1",
            values![now_ms],
        )
        .await?;
        tx.commit().await
    }

    /// The batches that are on their way to `member`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sent_batches(&self, member: &str) -> Result<Vec<SentBatch>, StoreError> {
        self.db
            .read(
                "sent-batches",
                "SELECT message_id, leaf_index, epoch, expires_ms, records FROM register_batches
                 WHERE member = $1 ORDER BY leaf_index",
                values![member],
            )
            .await?
            .iter()
            .map(|row| {
                let records = row.blob(4)?;
                let (records, _) = records.as_chunks::<8>();
                Ok(SentBatch {
                    message_id: row.array(0)?,
                    member: member.to_owned(),
                    leaf_index: row.uint(1)?,
                    epoch: row.uint(2)? as u32,
                    expires_ms: row.uint(3)?,
                    records: records.iter().copied().map(u64::from_be_bytes).collect(),
                })
            })
            .collect()
    }

    /// How much there is to ask. Silent records are not among it: whoever looks for one abroad does
    /// so by itself, and knowingly.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn register_counts(
        &self,
        asked: &RegisterToAsk,
    ) -> Result<RegisterCounts, StoreError> {
        let row = self
            .db
            .read_one(
                "count-register",
                "SELECT (SELECT count(*) FROM records r JOIN record_tokens t
                             ON t.record_id = r.record_id AND t.epoch = $1
                          WHERE r.newest = 1 AND r.state IN (1, 2)),
                        (SELECT count(*) FROM records r JOIN record_tokens t
                             ON t.record_id = r.record_id AND t.epoch = $1
                          JOIN register_asked a ON a.record_id = r.record_id AND a.member = $2
                             AND a.epoch = $1 AND a.mark = $3
                          WHERE r.newest = 1 AND r.state IN (1, 2)),
                        (SELECT count(*) FROM records r WHERE r.newest = 1
                             AND (r.state = 0 OR (r.state IN (1, 2) AND NOT EXISTS
                                 (SELECT 1 FROM record_tokens t
                                   WHERE t.record_id = r.record_id AND t.epoch = $1))))",
                values![
                    u64::from(asked.epoch),
                    asked.member.as_str(),
                    asked.mark.clone()
                ],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("register", "no counts"))?;
        let (enrolled, unchanged) = (row.uint(0)?, row.uint(1)?);
        Ok(RegisterCounts {
            to_ask: enrolled.saturating_sub(unchanged),
            unchanged,
            waiting: row.uint(2)?,
        })
    }

    /// The first records past row `after` that are to be asked about.
    ///
    /// # Errors
    /// If the database fails, or one cannot be opened.
    pub async fn register_page(
        &self,
        asked: &RegisterToAsk,
        after: u64,
        limit: u64,
    ) -> Result<Vec<RegisterEntry>, StoreError> {
        let rows = self
            .db
            .read(
                "read-register",
                "SELECT r.record_id, r.state, r.family_tag, r.ref_tag, r.data_key, r.sealed,
                        t.presence, t.sealed, p.sealed
                 FROM records r
                 JOIN record_tokens t ON t.record_id = r.record_id AND t.epoch = $1
                 LEFT JOIN record_pseudonyms p ON p.record_id = r.record_id
                 WHERE r.record_id > $4 AND r.newest = 1 AND r.state IN (1, 2) AND NOT EXISTS
                     (SELECT 1 FROM register_asked a WHERE a.record_id = r.record_id
                      AND a.member = $2 AND a.epoch = $1 AND a.mark = $3)
                 ORDER BY r.record_id LIMIT $5",
                values![
                    u64::from(asked.epoch),
                    asked.member.as_str(),
                    asked.mark.clone(),
                    after,
                    limit
                ],
            )
            .await?;
        let store = self.clone();
        let epoch = asked.epoch;
        // A thousand records are unsealed, three times each: where it keeps nobody waiting.
        tokio::task::spawn_blocking(move || {
            rows.iter()
                .map(|row| {
                    let record = store.open_record(row)?;
                    let pseudonym = row
                        .blob_or_null(8)?
                        .map(|sealed| store.open_pseudonym(record.record_id, &sealed))
                        .transpose()?;
                    Ok(RegisterEntry {
                        presence: row.uint(6)? as u16,
                        tokens: store.open_tokens(&record, epoch, &row.blob(7)?)?,
                        pseudonym,
                        record,
                    })
                })
                .collect()
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    /// Keeps pseudonyms, by record.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn save_pseudonyms(&self, made: &[(u64, [u8; 16])]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("save-pseudonyms").await?;
        let rows: Vec<_> = made
            .iter()
            .map(|(record_id, pseudonym)| {
                let row = record_id.to_be_bytes();
                let sealed = self
                    .keys
                    .seal(pseudonym_place(&row), pseudonym, &self.ambient);
                [(*record_id).into(), sealed.into()]
            })
            .collect();
        insert(
            &mut tx,
            "INSERT INTO record_pseudonyms (record_id, sealed)",
            "ON CONFLICT DO NOTHING",
            rows.into_iter(),
        )
        .await?;
        tx.commit().await
    }

    fn open_pseudonym(&self, record_id: u64, sealed: &[u8]) -> Result<[u8; 16], StoreError> {
        let row = record_id.to_be_bytes();
        let opened = self.keys.open("pseudonym", pseudonym_place(&row), sealed)?;
        opened
            .as_slice()
            .try_into()
            .map_err(|_| StoreError::damaged("pseudonym", "it has not 16 octets"))
    }

    pub(super) async fn note_register(
        tx: &mut Tx,
        step: &RegisterStep,
        leaf_index: u64,
    ) -> Result<(), StoreError> {
        match step {
            RegisterStep::Sent(batch) => {
                let records: Vec<u8> = batch
                    .records
                    .iter()
                    .flat_map(|record_id| record_id.to_be_bytes())
                    .collect();
                tx.run(
                    "INSERT INTO register_batches
                         (message_id, member, leaf_index, epoch, expires_ms, records)
                     VALUES ($1, $2, $3, $4, $5, $6)",
                    values![
                        batch.message_id,
                        batch.member.as_str(),
                        leaf_index,
                        u64::from(batch.epoch),
                        batch.expires_ms,
                        records
                    ],
                )
                .await
                .map(drop)
            }
            RegisterStep::Answered { batch, mark } => {
                tx.run(
                    "DELETE FROM register_batches WHERE message_id = $1",
                    values![batch.message_id],
                )
                .await?;
                let rows: Vec<_> = batch
                    .records
                    .iter()
                    .map(|record_id| {
                        [
                            (*record_id).into(),
                            batch.member.as_str().into(),
                            u64::from(batch.epoch).into(),
                            mark.clone().into(),
                        ]
                    })
                    .collect();
                insert(
                    tx,
                    "INSERT INTO register_asked (record_id, member, epoch, mark)",
                    "ON CONFLICT (record_id, member) DO UPDATE SET
                         epoch = excluded.epoch, mark = excluded.mark",
                    rows.into_iter(),
                )
                .await
            }
        }
    }
}

fn pseudonym_place(row: &[u8]) -> Place<'_> {
    Place {
        table: "record_pseudonyms",
        column: "sealed",
        row,
    }
}
