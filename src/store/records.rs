//! The register: records sealed under data keys of their own, and their coalition tokens.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::bulk::{IndexRow, insert_index};
use super::db::{Row, Tx, values};
use super::index::Index;
use super::keys::{RowKind, Tag, TagKind, sealed};
use super::{Store, StoreError};
use crate::vault::{DataKey, Place};

/// Where a record stands on its way into the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Its tokens are still to be made.
    Pending = 0,
    /// Its tokens are made; searchable from the next publication mark on.
    Enrolled = 1,
    /// Searchable.
    Published = 2,
    /// Has too few attributes for any rule, or no ground to be searched on.
    NotSearchable = 3,
    /// Silent, and its tokens are still to be made.
    SilentPending = 4,
    /// Silent: no lookup meets it, and it is compared with lookups afterwards.
    Silent = 5,
    /// Withheld since a backup was restored: the journal knows that it was protected, or lost its
    /// ground, after the backup was made. Until it is imported anew nobody finds it and nothing is
    /// told of it, whatever its own words say.
    Withheld = 6,
}

impl RecordState {
    /// The name that operators see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Enrolled => "enrolled",
            Self::Published => "published",
            Self::NotSearchable => "not_searchable",
            Self::SilentPending | Self::Silent => "silent",
            Self::Withheld => "withheld",
        }
    }

    fn from_int(value: i64) -> Result<Self, StoreError> {
        match value {
            0 => Ok(Self::Pending),
            1 => Ok(Self::Enrolled),
            2 => Ok(Self::Published),
            3 => Ok(Self::NotSearchable),
            4 => Ok(Self::SilentPending),
            5 => Ok(Self::Silent),
            6 => Ok(Self::Withheld),
            _ => Err(StoreError::damaged("record state", "an unknown number")),
        }
    }
}

/// How a record may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Findable {
    /// By whoever looks for it.
    Yes,
    /// By nobody; the holder is told of those who look for it.
    Silently,
    /// Not at all.
    No,
}

/// A record to be staged by an import.
pub struct StagedRecord {
    /// The holder's reference.
    pub record_ref: String,
    /// The serialised record.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The family's reference, if the record has one.
    pub family_ref: Option<String>,
    /// Whether and how it may and can be found.
    pub findable: Findable,
    /// Whether not everybody may find it: it is protected, or has no ground.
    pub guarded: bool,
}

/// A record as it was stored.
pub struct StoredRecord {
    /// Its row.
    pub record_id: u64,
    /// Its state.
    pub state: RecordState,
    /// Tag of its family, if it has one.
    pub family_tag: Option<Tag>,
    /// The serialised record.
    pub plaintext: Zeroizing<Vec<u8>>,
    ref_tag: Tag,
    data_key: DataKey,
}

/// Coalition tokens of one record, with the index rows made of them.
pub struct RecordTokens {
    /// Epoch of the coalition key.
    pub epoch: u32,
    /// The presence mask.
    pub presence: u16,
    /// The serialised coalition tokens.
    pub tokens: Zeroizing<Vec<u8>>,
    /// Rule and lookup token of each index row.
    pub index: Vec<(u8, [u8; 16])>,
}

/// What is left of a record's coalition tokens when one of its siblings is erased.
pub struct SiblingTokens {
    /// The record that stays.
    pub record: StoredRecord,
    /// Its tokens of each open epoch, without those that it had of the other.
    pub tokens: Vec<RecordTokens>,
}

/// What committing an import will change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// References not held before.
    pub added: u64,
    /// References whose content is new.
    pub changed: u64,
    /// References whose content is the same.
    pub unchanged: u64,
    /// Of those added or changed: not searchable.
    pub not_searchable: u64,
}

impl Store {
    /// Stages a part of an import. Nothing of it is visible until
    /// [`Effect::CommitImport`](super::Effect::CommitImport).
    ///
    /// # Errors
    /// If a reference was staged before in the same import, among others.
    pub async fn stage_import(
        &self,
        import_id: [u8; 16],
        records: Vec<StagedRecord>,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("stage-import").await?;
        let staged_before = tx
            .read_one(
                "SELECT count(*) FROM import_rows WHERE import_id = $1",
                values![import_id],
            )
            .await?
            .map_or(Ok(0), |row| row.uint(0))?;
        for (position, record) in (staged_before..).zip(records) {
            let ref_tag = self
                .keys
                .tag(TagKind::Reference, &[record.record_ref.as_bytes()]);
            let content_tag = self.keys.tag(
                TagKind::Content,
                &[&record.plaintext, &[record.findable as u8]],
            );
            let family_tag = record
                .family_ref
                .as_ref()
                .map(|family| self.keys.tag(TagKind::Family, &[family.as_bytes()]));
            let (wrapped, sealed) =
                self.keys
                    .seal_row("records", &ref_tag, &record.plaintext, &self.ambient)?;
            let state = match record.findable {
                Findable::Yes => RecordState::Pending,
                Findable::Silently => RecordState::SilentPending,
                Findable::No => RecordState::NotSearchable,
            };
            tx.run(
                "INSERT INTO import_rows
                     (import_id, position, ref_tag, data_key, sealed, content_tag, family_tag,
                      state, guarded)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                values![
                    import_id,
                    position,
                    ref_tag,
                    wrapped,
                    sealed,
                    content_tag,
                    family_tag,
                    state as i64,
                    i64::from(record.guarded)
                ],
            )
            .await?;
        }
        tx.commit().await
    }

    /// What committing a staged import will change.
    pub async fn import_counts(&self, import_id: [u8; 16]) -> Result<ImportCounts, StoreError> {
        let row = self
            .db
            .read_one(
                "count-import",
                "SELECT
                    coalesce(sum(CASE WHEN r.record_id IS NULL THEN 1 ELSE 0 END), 0),
                    coalesce(sum(CASE WHEN r.content_tag <> i.content_tag THEN 1 ELSE 0 END), 0),
                    coalesce(sum(CASE WHEN r.content_tag = i.content_tag THEN 1 ELSE 0 END), 0),
                    coalesce(sum(CASE WHEN i.state IN (3, 4) AND
                        (r.record_id IS NULL OR r.content_tag <> i.content_tag)
                        THEN 1 ELSE 0 END), 0)
                 FROM import_rows i
                 LEFT JOIN records r ON r.ref_tag = i.ref_tag AND r.newest = 1
                 WHERE i.import_id = $1",
                values![import_id],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("import", "no counts"))?;
        Ok(ImportCounts {
            added: row.uint(0)?,
            changed: row.uint(1)?,
            unchanged: row.uint(2)?,
            not_searchable: row.uint(3)?,
        })
    }

    /// A new import's id. Ids are in the order of their time.
    #[must_use]
    pub fn new_import(&self) -> [u8; 16] {
        let mut import_id = self.ambient.random::<16>();
        import_id[..8].copy_from_slice(&self.ambient.now_ms().to_be_bytes());
        import_id
    }

    /// Drops a staged import.
    pub async fn discard_import(&self, import_id: [u8; 16]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("discard-import").await?;
        tx.run(
            "DELETE FROM import_rows WHERE import_id = $1",
            values![import_id],
        )
        .await?;
        tx.commit().await
    }

    /// Drops what was staged before `before_ms` (milliseconds since 1970) and never taken in: whoever
    /// staged it has ended since.
    pub async fn discard_imports(&self, before_ms: u64) -> Result<(), StoreError> {
        let mut first = [0; 16];
        first[..8].copy_from_slice(&before_ms.to_be_bytes());
        let mut tx = self.db.begin("discard-imports").await?;
        tx.run(
            "DELETE FROM import_rows WHERE import_id < $1",
            values![first],
        )
        .await?;
        tx.commit().await
    }

    pub(super) async fn commit_import(
        &self,
        tx: &mut Tx,
        import_id: [u8; 16],
        leaf_index: u64,
    ) -> Result<Vec<Tag>, StoreError> {
        // What is the same as before stays as it is.
        tx.run(
            "DELETE FROM import_rows WHERE import_id = $1 AND EXISTS
                 (SELECT 1 FROM records r WHERE r.ref_tag = import_rows.ref_tag
                  AND r.newest = 1 AND r.content_tag = import_rows.content_tag)",
            values![import_id],
        )
        .await?;
        // Whoever was told something of a record hears that it was corrected.
        tx.run(
            "UPDATE disclosure_requests SET stale = stale + 1 WHERE ref_tag IN
                 (SELECT ref_tag FROM import_rows WHERE import_id = $1)",
            values![import_id],
        )
        .await?;
        // What is told of a child depends on whether its family is protected.
        tx.run(
            "UPDATE disclosure_requests SET stale = stale + 1 WHERE ref_tag IN
                 (SELECT r.ref_tag FROM records r JOIN import_rows i
                      ON i.family_tag = r.family_tag
                  WHERE i.import_id = $1 AND i.ref_tag <> r.ref_tag)",
            values![import_id],
        )
        .await?;
        // A changed row that was never published has nothing to keep searchable: its place is
        // taken by the new row, which replaces what the old one was to replace.
        tx.run(
            "UPDATE records SET newest = 0 WHERE newest = 1 AND ref_tag IN
                 (SELECT ref_tag FROM import_rows WHERE import_id = $1)",
            values![import_id],
        )
        .await?;
        tx.run(
            "INSERT INTO records (ref_tag, replaces, newest, data_key, sealed, content_tag,
                                  family_tag, state, updated_ms)
             SELECT i.ref_tag,
                    (SELECT max(r.record_id) FROM records r
                      WHERE r.ref_tag = i.ref_tag AND r.state = 2),
                    1, i.data_key, i.sealed, i.content_tag, i.family_tag, i.state, $2
             FROM import_rows i WHERE i.import_id = $1 ORDER BY i.position",
            values![import_id, self.ambient.now_ms()],
        )
        .await?;
        // What must be found no longer leaves the index at once, and does not wait for a mark.
        let left = tx
            .run(
                "DELETE FROM lookup_index WHERE record_id IN
                     (SELECT replaces FROM records WHERE replaces IS NOT NULL
                      AND state IN (3, 4))",
                vec![],
            )
            .await?;
        if left > 0 {
            Self::index_has_changed(tx).await?;
        }
        tx.run(
            "INSERT INTO silent_state (id, checked, since)
             SELECT 1, $1, $1 WHERE EXISTS (SELECT 1 FROM records WHERE state = 4)
             ON CONFLICT (id) DO UPDATE SET since = coalesce(silent_state.since, excluded.since)",
            values![leaf_index],
        )
        .await?;
        for sql in [
            "DELETE FROM silent_index WHERE record_id IN
                 (SELECT record_id FROM records WHERE newest = 0 AND state <> 2)",
            "DELETE FROM lookup_index WHERE record_id IN
                 (SELECT record_id FROM records WHERE newest = 0 AND state <> 2)",
            "DELETE FROM record_tokens WHERE record_id IN
                 (SELECT record_id FROM records WHERE newest = 0 AND state <> 2)",
            "DELETE FROM records WHERE newest = 0 AND state <> 2",
        ] {
            tx.run(sql, vec![]).await?;
        }
        // Those that not everybody may find: a restored database must know of them.
        let guarded = tx
            .read(
                "SELECT ref_tag FROM import_rows WHERE import_id = $1 AND guarded = 1",
                values![import_id],
            )
            .await?
            .iter()
            .map(|row| row.array(0))
            .collect::<Result<_, _>>()?;
        Self::index_changes(tx).await?;
        tx.run(
            "DELETE FROM import_rows WHERE import_id = $1",
            values![import_id],
        )
        .await?;
        Ok(guarded)
    }

    /// The newest state of the record with this reference.
    pub async fn record_by_ref(
        &self,
        record_ref: &str,
    ) -> Result<Option<StoredRecord>, StoreError> {
        let tag = self.keys.tag(TagKind::Reference, &[record_ref.as_bytes()]);
        self.record_by_tag(tag).await
    }

    /// The newest state of the record whose reference has this tag.
    pub async fn record_by_tag(&self, ref_tag: Tag) -> Result<Option<StoredRecord>, StoreError> {
        let row = self
            .db
            .read_one(
                "read-record",
                "SELECT record_id, state, family_tag, ref_tag, data_key, sealed FROM records
                 WHERE ref_tag = $1 AND newest = 1",
                values![ref_tag],
            )
            .await?;
        row.map(|row| self.open_record(&row)).transpose()
    }

    /// The record in this row.
    pub async fn record_by_id(&self, record_id: u64) -> Result<Option<StoredRecord>, StoreError> {
        let row = self
            .db
            .read_one(
                "read-record",
                "SELECT record_id, state, family_tag, ref_tag, data_key, sealed FROM records
                 WHERE record_id = $1",
                values![record_id],
            )
            .await?;
        row.map(|row| self.open_record(&row)).transpose()
    }

    /// Up to `limit` newest records after row `after`, in the order of rows.
    pub async fn records_after(
        &self,
        after: u64,
        limit: u64,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.db
            .read(
                "list-records",
                "SELECT record_id, state, family_tag, ref_tag, data_key, sealed FROM records
                 WHERE record_id > $1 AND newest = 1 ORDER BY record_id LIMIT $2",
                values![after, limit],
            )
            .await?
            .iter()
            .map(|row| self.open_record(row))
            .collect()
    }

    /// Up to `limit` records behind `after` that nobody has changed since `before_ms`, each with when
    /// it was changed last, in milliseconds since 1970.
    pub async fn records_unchanged_since(
        &self,
        before_ms: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<(u64, StoredRecord)>, StoreError> {
        self.db
            .read(
                "list-unchanged",
                "SELECT record_id, state, family_tag, ref_tag, data_key, sealed, updated_ms
                 FROM records WHERE record_id > $1 AND newest = 1 AND updated_ms <= $2
                 ORDER BY record_id LIMIT $3",
                values![after, before_ms, limit],
            )
            .await?
            .iter()
            .map(|row| Ok((row.uint(6)?, self.open_record(row)?)))
            .collect()
    }

    /// Up to `limit` records whose tokens are still to be made.
    pub async fn records_to_enrol(&self, limit: u64) -> Result<Vec<StoredRecord>, StoreError> {
        self.records_to_enrol_after(0, limit).await
    }

    /// The same past row `after`.
    pub async fn records_to_enrol_after(
        &self,
        after: u64,
        limit: u64,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.db
            .read(
                "records-to-enrol",
                "SELECT record_id, state, family_tag, ref_tag, data_key, sealed FROM records
                 WHERE state IN (0, 4) AND record_id > $1 ORDER BY record_id LIMIT $2",
                values![after, limit],
            )
            .await?
            .iter()
            .map(|row| self.open_record(row))
            .collect()
    }

    /// All newest records of one family.
    pub async fn family(&self, family_tag: Tag) -> Result<Vec<StoredRecord>, StoreError> {
        self.db
            .read(
                "read-family",
                "SELECT record_id, state, family_tag, ref_tag, data_key, sealed FROM records
                 WHERE family_tag = $1 AND newest = 1 ORDER BY record_id",
                values![family_tag],
            )
            .await?
            .iter()
            .map(|row| self.open_record(row))
            .collect()
    }

    /// How many records there are. An index tells it, so a page can ask each time.
    pub async fn record_total(&self) -> Result<u64, StoreError> {
        self.db
            .read_one(
                "count-newest",
                "SELECT count(*) FROM records WHERE newest = 1",
                vec![],
            )
            .await?
            .map_or(Ok(0), |row| row.uint(0))
    }

    /// How many newest records there are, and how many of them are still to be enrolled.
    pub async fn record_counts(&self) -> Result<(u64, u64), StoreError> {
        let row = self
            .db
            .read_one(
                "count-records",
                "SELECT count(*), coalesce(sum(CASE WHEN state IN (0, 4) THEN 1 ELSE 0 END), 0)
                 FROM records WHERE newest = 1",
                vec![],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("records", "no count"))?;
        Ok((row.uint(0)?, row.uint(1)?))
    }

    /// Keeps the tokens of records and their index rows, of one epoch or of several; they are
    /// searchable from the next publication mark on.
    ///
    /// A record that lacks the tokens of an epoch that is open is left as it was, to be enrolled
    /// anew: it must not be missing where peers ask. Tokens of an epoch that was left while they were
    /// made are dropped.
    pub async fn save_tokens(
        &self,
        tokens: Vec<(&StoredRecord, Vec<RecordTokens>)>,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("save-tokens").await?;
        let mut open = Self::open_epochs_in(&mut tx).await?;
        if open.is_empty() && !Self::has_enrolled(&mut tx).await? {
            // The first that this index ever has: there is nothing else to wait for.
            let given = tokens.iter().flat_map(|(_, of_record)| of_record);
            let given: BTreeSet<u32> = given.map(|tokens| tokens.epoch).collect();
            for epoch in &given {
                self.open_epoch(&mut tx, *epoch).await?;
            }
            open = given;
        }
        let (mut index, mut silent_index) = (Vec::new(), Vec::new());
        for (record, of_record) in tokens {
            let has = |epoch: &u32| of_record.iter().any(|tokens| tokens.epoch == *epoch);
            if !open.iter().all(has) {
                continue;
            }
            // Nothing is kept for a record that was changed or erased in the meantime.
            let still = tx
                .run(
                    "UPDATE records SET state = state + 1 WHERE record_id = $1 AND state = $2",
                    values![record.record_id, record.state as i64],
                )
                .await?;
            if still == 0 {
                continue;
            }
            let rows = if record.state == RecordState::SilentPending {
                &mut silent_index
            } else {
                &mut index
            };
            for tokens in of_record {
                // None is open on the way from an epoch that was left to the first one after it.
                if open.is_empty() || open.contains(&tokens.epoch) {
                    self.put_tokens(&mut tx, record, &tokens, rows).await?;
                }
            }
        }
        insert_index(&self.keys, &mut tx, Index::Published, index).await?;
        insert_index(&self.keys, &mut tx, Index::Silent, silent_index).await?;
        // Lookups that came while a silent record waited for its tokens are compared with it, too.
        tx.run(
            "UPDATE silent_state SET since = NULL,
                 checked = CASE WHEN since < checked THEN since ELSE checked END
             WHERE since IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM records WHERE state = 4)",
            vec![],
        )
        .await?;
        tx.commit().await
    }

    /// Keeps the tokens of one record and epoch in place of those that may be there; its index rows
    /// are added to `index`.
    pub(super) async fn put_tokens(
        &self,
        tx: &mut Tx,
        record: &StoredRecord,
        tokens: &RecordTokens,
        index: &mut Vec<IndexRow>,
    ) -> Result<(), StoreError> {
        let epoch = u64::from(tokens.epoch);
        let row = tokens_row(record.record_id, tokens.epoch);
        let inner = record.data_key.seal(
            tokens_place("inner", &row),
            &tokens.tokens,
            &mut self.ambient.rng(),
        );
        let outer = self.keys.token_key().seal(
            tokens_place("sealed", &row),
            &inner,
            &mut self.ambient.rng(),
        );
        let row_tag = self.keys.row_tag(
            RowKind::Held,
            &held_columns(
                &record.record_id.to_be_bytes(),
                &tokens.epoch.to_be_bytes(),
                &tokens.presence.to_be_bytes(),
                record.family_tag.as_ref(),
            ),
        );
        tx.run(
            "INSERT INTO record_tokens (record_id, epoch, presence, row_tag, sealed)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (record_id, epoch) DO UPDATE SET
                 presence = excluded.presence, row_tag = excluded.row_tag,
                 sealed = excluded.sealed",
            values![
                record.record_id,
                epoch,
                u64::from(tokens.presence),
                row_tag,
                outer
            ],
        )
        .await?;
        // A record with other tokens is another question than was asked.
        tx.run(
            "DELETE FROM register_asked WHERE record_id = $1",
            values![record.record_id],
        )
        .await?;
        for sql in [
            "DELETE FROM lookup_index WHERE record_id = $1 AND epoch = $2",
            "DELETE FROM silent_index WHERE record_id = $1 AND epoch = $2",
        ] {
            tx.run(sql, values![record.record_id, epoch]).await?;
        }
        index.extend(tokens.index.iter().map(|&(rule, token)| IndexRow {
            token,
            rule,
            record_id: record.record_id,
            epoch: tokens.epoch,
        }));
        Ok(())
    }

    /// The coalition tokens of a record under `epoch`, and its presence mask.
    pub async fn tokens(
        &self,
        record: &StoredRecord,
        epoch: u32,
    ) -> Result<Option<(u16, Zeroizing<Vec<u8>>)>, StoreError> {
        let Some(row) = self
            .db
            .read_one(
                "read-tokens",
                "SELECT presence, sealed FROM record_tokens
                 WHERE record_id = $1 AND epoch = $2",
                values![record.record_id, u64::from(epoch)],
            )
            .await?
        else {
            return Ok(None);
        };
        let tokens = self.open_tokens(record, epoch, &row.blob(1)?)?;
        Ok(Some((row.uint(0)? as u16, tokens)))
    }

    /// Erases a record. Its siblings made keys of their own with its date: those that are given
    /// take their new rows, the others wait for their tokens to be made anew. Tells whether there
    /// was such a record.
    pub(super) async fn erase(
        &self,
        tx: &mut Tx,
        ref_tag: Tag,
        siblings: &[SiblingTokens],
    ) -> Result<bool, StoreError> {
        let mut kept = Vec::new();
        for sibling in siblings {
            let still = tx
                .read_one(
                    "SELECT 1 FROM records WHERE record_id = $1 AND state IN (1, 2)",
                    values![sibling.record.record_id],
                )
                .await?;
            if still.is_some() {
                kept.push(sibling);
            }
        }
        // Marked, so that those statements pass them over.
        for sibling in &kept {
            tx.run(
                "UPDATE records SET state = state + 10 WHERE record_id = $1",
                values![sibling.record.record_id],
            )
            .await?;
        }
        for sql in [
            "DELETE FROM lookup_index WHERE record_id IN
                 (SELECT s.record_id FROM records s JOIN records e
                      ON e.family_tag = s.family_tag WHERE e.ref_tag = $1 AND s.state < 10)",
            "DELETE FROM record_tokens WHERE record_id IN
                 (SELECT s.record_id FROM records s JOIN records e
                      ON e.family_tag = s.family_tag
                  WHERE e.ref_tag = $1 AND s.state IN (0, 1, 2))",
            "UPDATE records SET state = 0 WHERE state IN (1, 2) AND record_id IN
                 (SELECT s.record_id FROM records s JOIN records e
                      ON e.family_tag = s.family_tag WHERE e.ref_tag = $1)",
            "DELETE FROM silent_index WHERE record_id IN
                 (SELECT record_id FROM records WHERE ref_tag = $1)",
            "DELETE FROM lookup_index WHERE record_id IN
                 (SELECT record_id FROM records WHERE ref_tag = $1)",
            "DELETE FROM record_tokens WHERE record_id IN
                 (SELECT record_id FROM records WHERE ref_tag = $1)",
            "DELETE FROM register_asked WHERE record_id IN
                 (SELECT record_id FROM records WHERE ref_tag = $1)",
            "DELETE FROM record_pseudonyms WHERE record_id IN
                 (SELECT record_id FROM records WHERE ref_tag = $1)",
            "DELETE FROM record_authors WHERE ref_tag = $1",
            "UPDATE disclosure_requests SET stale = stale + 1 WHERE ref_tag = $1",
        ] {
            tx.run(sql, values![ref_tag]).await?;
        }
        let gone = tx
            .run("DELETE FROM records WHERE ref_tag = $1", values![ref_tag])
            .await?;
        for sibling in &kept {
            tx.run(
                "UPDATE records SET state = state - 10 WHERE record_id = $1 AND state >= 10",
                values![sibling.record.record_id],
            )
            .await?;
            self.replace_tokens(tx, sibling).await?;
        }
        if !kept.is_empty() {
            // Their rows are found at once.
            Self::set_index_mark(tx, self.new_mark()).await?;
        }
        self.forget_about(tx, ref_tag).await?;
        Self::erase_told(tx, ref_tag).await?;
        if gone > 0 {
            Self::index_has_changed(tx).await?;
        }
        Ok(gone > 0)
    }

    async fn replace_tokens(&self, tx: &mut Tx, sibling: &SiblingTokens) -> Result<(), StoreError> {
        let record = &sibling.record;
        // Those of epochs that are not given go too: they are made anew.
        for sql in [
            "DELETE FROM lookup_index WHERE record_id = $1",
            "DELETE FROM record_tokens WHERE record_id = $1",
        ] {
            tx.run(sql, values![record.record_id]).await?;
        }
        let mut index = Vec::new();
        for tokens in &sibling.tokens {
            self.put_tokens(tx, record, tokens, &mut index).await?;
        }
        insert_index(&self.keys, tx, Index::Published, index).await
    }

    /// Forgets what is kept about a record beside the record itself: leads on it, who tried it with
    /// which tokens, alerts, and its parts of the evidence.
    pub(super) async fn forget_about(&self, tx: &mut Tx, ref_tag: Tag) -> Result<(), StoreError> {
        let about = self.keys.about(ref_tag);
        for sql in [
            "DELETE FROM leads WHERE about_tag = $1",
            "DELETE FROM probes WHERE about_tag = $1",
            "DELETE FROM protection_alerts WHERE about_tag = $1",
        ] {
            tx.run(sql, values![about]).await?;
        }
        Ok(())
    }

    /// Opens coalition tokens as they are sealed for `record` under `epoch`.
    pub(super) fn open_tokens(
        &self,
        record: &StoredRecord,
        epoch: u32,
        outer: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let place_row = tokens_row(record.record_id, epoch);
        let inner = self
            .keys
            .token_key()
            .open(tokens_place("sealed", &place_row), outer)
            .map_err(|source| sealed("coalition tokens", source))?;
        record
            .data_key
            .open(tokens_place("inner", &place_row), &inner)
            .map_err(|source| sealed("coalition tokens", source))
    }

    pub(super) fn open_record(&self, row: &Row) -> Result<StoredRecord, StoreError> {
        let ref_tag: Tag = row.array(3)?;
        let place = |column| Place::new("records", column, &ref_tag);
        let data_key = self.keys.data_key(&row.blob(4)?, place("data_key"))?;
        let plaintext = data_key
            .open(place("sealed"), &row.blob(5)?)
            .map_err(|source| sealed("record", source))?;
        Ok(StoredRecord {
            record_id: row.uint(0)?,
            state: RecordState::from_int(row.int(1)?)?,
            family_tag: row.array_or_null(2)?,
            plaintext,
            ref_tag,
            data_key,
        })
    }
}

impl StoredRecord {
    /// Tag of the record's reference.
    #[must_use]
    pub fn ref_tag(&self) -> Tag {
        self.ref_tag
    }
}

/// Names the tokens of one record and epoch: 8 octets, then 4.
fn tokens_row(record_id: u64, epoch: u32) -> [u8; 12] {
    let mut row = [0; 12];
    row[..8].copy_from_slice(&record_id.to_be_bytes());
    row[8..].copy_from_slice(&epoch.to_be_bytes());
    row
}

/// The columns that decisions rest on, as a row tag vouches for them.
pub(super) fn held_columns<'a>(
    record_id: &'a [u8; 8],
    epoch: &'a [u8; 4],
    presence: &'a [u8; 2],
    family_tag: Option<&'a Tag>,
) -> [&'a [u8]; 4] {
    [
        record_id,
        epoch,
        presence,
        family_tag.map_or(&[], Tag::as_slice),
    ]
}

fn tokens_place<'a>(column: &'a str, row: &'a [u8]) -> Place<'a> {
    Place {
        table: "record_tokens",
        column,
        row,
    }
}
