//! Epochs of the coalition key at this node: which are open to peers, how far the next one is, and
//! how one that was left is destroyed.
//!
//! While the key changes, records have tokens and index rows under more than one epoch. An epoch is
//! *open* once every enrolled record has its tokens there: from then on peers may ask under it, and
//! whatever is enrolled later is enrolled under it too.

use std::collections::BTreeSet;

use super::bulk::insert_index;
use super::db::{Tx, values};
use super::index::Index;
use super::records::{RecordTokens, StoredRecord};
use super::{Store, StoreError};

impl Store {
    /// The epochs under which peers may ask.
    pub async fn open_epochs(&self) -> Result<BTreeSet<u32>, StoreError> {
        self.db
            .read("open-epochs", "SELECT epoch FROM open_epochs", vec![])
            .await?
            .iter()
            .map(|row| Ok(row.uint(0)? as u32))
            .collect()
    }

    /// The epochs of which anything is kept here.
    pub async fn kept_epochs(&self) -> Result<BTreeSet<u32>, StoreError> {
        self.db
            .read(
                "kept-epochs",
                // From one epoch to the next by the index, and not through all tokens.
                "WITH RECURSIVE kept(epoch) AS (
                     SELECT min(epoch) FROM record_tokens
                     UNION ALL
                     SELECT (SELECT min(t.epoch) FROM record_tokens t WHERE t.epoch > kept.epoch)
                     FROM kept WHERE kept.epoch IS NOT NULL)
                 SELECT epoch FROM kept WHERE epoch IS NOT NULL
                 UNION SELECT epoch FROM open_epochs",
                vec![],
            )
            .await?
            .iter()
            .map(|row| Ok(row.uint(0)? as u32))
            .collect()
    }

    /// How many enrolled records have tokens under `epoch`, and how many enrolled records there
    /// are.
    pub async fn epoch_progress(&self, epoch: u32) -> Result<(u64, u64), StoreError> {
        let row = self
            .db
            .read_one(
                "epoch-progress",
                "SELECT (SELECT count(*) FROM records r JOIN record_tokens t
                             ON t.record_id = r.record_id AND t.epoch = $1
                          WHERE r.state IN (1, 2)),
                        (SELECT count(*) FROM records WHERE state IN (1, 2))",
                values![u64::from(epoch)],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("epoch", "no progress"))?;
        Ok((row.uint(0)?, row.uint(1)?))
    }

    /// The first enrolled records past row `after` that have no tokens under `epoch`.
    pub async fn records_to_rederive(
        &self,
        epoch: u32,
        after: u64,
        limit: u64,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.db
            .read(
                "records-to-rederive",
                "SELECT r.record_id, r.state, r.family_tag, r.ref_tag, r.data_key, r.sealed
                 FROM records r
                 WHERE r.record_id > $2 AND r.state IN (1, 2) AND NOT EXISTS
                     (SELECT 1 FROM record_tokens t
                       WHERE t.record_id = r.record_id AND t.epoch = $1)
                 ORDER BY r.record_id LIMIT $3",
                values![u64::from(epoch), after, limit],
            )
            .await?
            .iter()
            .map(|row| self.open_record(row))
            .collect()
    }

    /// Keeps the tokens that enrolled records have under one more epoch.
    pub async fn save_rederived(
        &self,
        tokens: Vec<(&StoredRecord, RecordTokens)>,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("save-rederived").await?;
        let open = Self::open_epochs_in(&mut tx).await?;
        let mut visible = false;
        let mut index = Vec::new();
        for (record, tokens) in tokens {
            // Changed or erased in the meantime, or to be enrolled anew: nothing is kept for it.
            let enrolled = tx
                .read_one(
                    "SELECT record_id FROM records WHERE record_id = $1 AND state IN (1, 2)",
                    values![record.record_id],
                )
                .await?;
            if enrolled.is_some() {
                visible |= open.contains(&tokens.epoch);
                self.put_tokens(&mut tx, record, &tokens, &mut index)
                    .await?;
            }
        }
        insert_index(&self.keys, &mut tx, Index::Published, index).await?;
        if visible {
            Self::set_index_mark(&mut tx, self.new_mark()).await?;
        }
        tx.commit().await
    }

    /// Destroys tokens and index rows of at most `limit` records under an epoch that was left.
    /// Gives how many records had some.
    pub async fn forget_epoch_in_part(&self, epoch: u32, limit: u64) -> Result<u64, StoreError> {
        let mut tx = self.db.begin("forget-epoch").await?;
        let epoch = u64::from(epoch);
        let Some(row) = tx
            .read_one(
                "SELECT count(*), coalesce(max(record_id), 0) FROM
                     (SELECT record_id FROM record_tokens WHERE epoch = $1
                      ORDER BY record_id LIMIT $2) AS part",
                values![epoch, limit],
            )
            .await?
        else {
            return Ok(0);
        };
        let (count, last) = (row.uint(0)?, row.uint(1)?);
        for sql in [
            "DELETE FROM lookup_index WHERE epoch = $1 AND record_id IN
                 (SELECT record_id FROM record_tokens WHERE epoch = $1 AND record_id <= $2)",
            "DELETE FROM silent_index WHERE epoch = $1 AND record_id IN
                 (SELECT record_id FROM record_tokens WHERE epoch = $1 AND record_id <= $2)",
            "DELETE FROM record_tokens WHERE epoch = $1 AND record_id <= $2",
        ] {
            tx.run(sql, values![epoch, last]).await?;
        }
        Self::index_changes(&mut tx).await?;
        tx.commit().await?;
        Ok(count)
    }

    pub(super) async fn open_epochs_in(tx: &mut Tx) -> Result<BTreeSet<u32>, StoreError> {
        tx.read("SELECT epoch FROM open_epochs", vec![])
            .await?
            .iter()
            .map(|row| Ok(row.uint(0)? as u32))
            .collect()
    }

    pub(super) async fn has_enrolled(tx: &mut Tx) -> Result<bool, StoreError> {
        let one = tx
            .read_one(
                "SELECT record_id FROM records WHERE state IN (1, 2) LIMIT 1",
                vec![],
            )
            .await?;
        Ok(one.is_some())
    }

    /// Whether every enrolled record has its tokens under `epoch`.
    pub(super) async fn is_complete(tx: &mut Tx, epoch: u32) -> Result<bool, StoreError> {
        let lacking = tx
            .read_one(
                "SELECT r.record_id FROM records r WHERE r.state IN (1, 2) AND NOT EXISTS
                     (SELECT 1 FROM record_tokens t
                       WHERE t.record_id = r.record_id AND t.epoch = $1) LIMIT 1",
                values![u64::from(epoch)],
            )
            .await?;
        Ok(lacking.is_none())
    }

    pub(super) async fn open_epoch(&self, tx: &mut Tx, epoch: u32) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO open_epochs (epoch) VALUES ($1) ON CONFLICT (epoch) DO NOTHING",
            values![u64::from(epoch)],
        )
        .await?;
        // Silent records get their tokens under it with the next publication, and are compared with
        // the lookups that came until then.
        tx.run(
            "UPDATE records SET state = 4 WHERE state = 5 AND NOT EXISTS
                 (SELECT 1 FROM record_tokens t
                   WHERE t.record_id = records.record_id AND t.epoch = $1)",
            values![u64::from(epoch)],
        )
        .await?;
        tx.run(
            "UPDATE silent_state SET since = coalesce(since, checked)
             WHERE EXISTS (SELECT 1 FROM records WHERE state = 4)",
            vec![],
        )
        .await?;
        // What was made under it is found from now on.
        Self::set_index_mark(tx, self.new_mark()).await
    }

    /// Destroys whatever is left of an epoch.
    pub(super) async fn leave_epoch(tx: &mut Tx, epoch: u32) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM lookup_index WHERE epoch = $1 AND record_id IN
                 (SELECT record_id FROM record_tokens WHERE epoch = $1)",
            "DELETE FROM silent_index WHERE epoch = $1",
            "DELETE FROM record_tokens WHERE epoch = $1",
            "DELETE FROM open_epochs WHERE epoch = $1",
        ] {
            tx.run(sql, values![u64::from(epoch)]).await?;
        }
        Self::index_changes(tx).await
    }
}
