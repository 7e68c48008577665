//! Filling the lookup index many rows at a time.
//!
//! A statement for each row spends most of its time on its way to the database and back. Rows go
//! in by the hundred here, sorted by token where there are many, so that the index grows at its
//! end and not all over.

use super::db::{Tx, Value};
use super::index::Index;
use super::keys::{RowKind, RowTag, StoreKeys, TagKind};
use super::records::{RecordState, held_columns};
use super::{Store, StoreError};

/// A row of the lookup index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IndexRow {
    pub token: [u8; 16],
    pub rule: u8,
    pub record_id: u64,
    pub epoch: u32,
}

impl IndexRow {
    /// What vouches for the row: who can write the database cannot point a token at a record.
    pub fn tag(&self, keys: &StoreKeys, index: Index) -> RowTag {
        keys.row_tag(
            match index {
                Index::Published => RowKind::Index,
                Index::Silent => RowKind::Silent,
            },
            &[
                &self.token,
                &[self.rule],
                &self.record_id.to_be_bytes(),
                &self.epoch.to_be_bytes(),
            ],
        )
    }
}

/// What a lookup needs of one record, and nothing of what the record says.
pub struct IndexedRecord {
    /// The presence mask.
    pub presence: u16,
    /// The family's reference, if the record has one.
    pub family_ref: Option<String>,
    /// Rule and lookup token of each index row.
    pub index: Vec<(u8, [u8; 16])>,
}

/// How many rows one statement takes. Few different sizes, so that few statements are prepared.
const SIZES: [usize; 3] = [256, 16, 1];

impl Store {
    /// Fills an empty store with published records that have nothing sealed behind them. Such a
    /// store answers lookups, which is what a measurement of match quality needs, and cannot be
    /// used for anything else.
    ///
    /// The record at position `n` gets the record id `n + 1`.
    ///
    /// # Errors
    /// If the store fails, or holds records already.
    pub async fn fill_for_measurement(
        &self,
        records: &[IndexedRecord],
        epoch: u32,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("fill-for-measurement").await?;
        let numbered = || (records.iter().enumerate()).map(|(at, record)| (record, at as u64 + 1));
        let none = || Value::from(Vec::new());
        let rows = numbered().map(|(record, record_id)| {
            let reference = record_id.to_be_bytes();
            let ref_tag = self.keys.tag(TagKind::Reference, &[&reference]);
            let family_tag = record
                .family_ref
                .as_ref()
                .map(|family| self.keys.tag(TagKind::Family, &[family.as_bytes()]));
            let state = RecordState::Published as i64;
            [
                record_id.into(),
                ref_tag.into(),
                1_i64.into(),
                none(),
                none(),
                none(),
                family_tag.into(),
                state.into(),
                0_i64.into(),
            ]
        });
        insert(
            &mut tx,
            "INSERT INTO records (record_id, ref_tag, newest, data_key, sealed, content_tag,
                                  family_tag, state, updated_ms)",
            "",
            rows,
        )
        .await?;
        let masks = numbered().map(|(record, record_id)| {
            let family_tag = record
                .family_ref
                .as_ref()
                .map(|family| self.keys.tag(TagKind::Family, &[family.as_bytes()]));
            let row_tag = self.keys.row_tag(
                RowKind::Held,
                &held_columns(
                    &record_id.to_be_bytes(),
                    &epoch.to_be_bytes(),
                    &record.presence.to_be_bytes(),
                    family_tag.as_ref(),
                ),
            );
            [
                record_id.into(),
                u64::from(epoch).into(),
                u64::from(record.presence).into(),
                row_tag.into(),
                none(),
            ]
        });
        insert(
            &mut tx,
            "INSERT INTO record_tokens (record_id, epoch, presence, row_tag, sealed)",
            "",
            masks,
        )
        .await?;
        let index = numbered().flat_map(|(record, record_id)| {
            record.index.iter().map(move |&(rule, token)| IndexRow {
                token,
                rule,
                record_id,
                epoch,
            })
        });
        insert_index(&self.keys, &mut tx, Index::Published, index.collect()).await?;
        self.open_epoch(&mut tx, epoch).await?;
        tx.commit().await
    }
}

/// Inserts rows of the lookup index; those that are there already stay.
pub(super) async fn insert_index(
    keys: &StoreKeys,
    tx: &mut Tx,
    index: Index,
    mut rows: Vec<IndexRow>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    if index == Index::Published {
        Store::index_changes(tx).await?;
    }
    rows.sort_unstable();
    let rows = rows.into_iter().map(|row| {
        [
            row.token.into(),
            u64::from(row.rule).into(),
            row.record_id.into(),
            u64::from(row.epoch).into(),
            row.tag(keys, index).into(),
        ]
    });
    insert(
        tx,
        match index {
            Index::Published => "INSERT INTO lookup_index (token, rule, record_id, epoch, row_tag)",
            Index::Silent => "INSERT INTO silent_index (token, rule, record_id, epoch, row_tag)",
        },
        "ON CONFLICT DO NOTHING",
        rows,
    )
    .await
}

/// Runs `head VALUES (..), (..) tail` over all rows.
pub(super) async fn insert<const COLUMNS: usize>(
    tx: &mut Tx,
    head: &'static str,
    tail: &'static str,
    mut rows: impl ExactSizeIterator<Item = [Value; COLUMNS]>,
) -> Result<(), StoreError> {
    for size in SIZES {
        while rows.len() >= size {
            let bound = rows.by_ref().take(size).flatten().collect();
            tx.run_built(statement(head, tail, size, COLUMNS), bound)
                .await?;
        }
    }
    Ok(())
}

fn statement(head: &str, tail: &str, rows: usize, columns: usize) -> String {
    let mut sql = format!("{head} VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            if column > 1 {
                sql.push_str(", ");
            }
            sql.push('$');
            sql.push_str(&(row * columns + column).to_string());
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::temporary::store;

    #[test]
    fn a_statement_numbers_its_values_through() {
        assert_eq!(
            statement("INSERT INTO t (a, b)", "ON CONFLICT DO NOTHING", 2, 2),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING"
        );
    }

    #[tokio::test]
    async fn every_row_is_found_again_whatever_their_number() {
        let (_directory, store) = store().await;
        // 300 records of 3 rows: every size of statement is needed.
        let token = |record: u16, rule: u8| {
            let mut token = [rule; 16];
            token[..2].copy_from_slice(&record.to_be_bytes());
            token
        };
        let records: Vec<IndexedRecord> = (0..300_u16)
            .map(|record| IndexedRecord {
                presence: record,
                family_ref: (record < 2).then(|| "F1".to_owned()),
                // The last stands twice, as a key with two equal values does.
                index: [1, 2, 2].map(|rule| (rule, token(record, rule))).to_vec(),
            })
            .collect();
        store.fill_for_measurement(&records, 1).await.unwrap();
        assert_eq!(store.index_size(1).await.unwrap(), (300, 600));
        assert_eq!(store.index_size(2).await.unwrap(), (0, 0));

        let probes: Vec<(u8, [u8; 16])> = (0..300)
            .map(|record| (2, token(record, 2)))
            .chain([(1, token(7, 2)), (2, [9; 16])])
            .collect();
        let mut hits = store.probe(1, &probes).await.unwrap().hits;
        hits.sort_by_key(|hit| hit.position);
        let found: Vec<(usize, u64)> = hits
            .iter()
            .map(|hit| (hit.position, hit.record_id))
            .collect();
        let expected: Vec<(usize, u64)> = (0..300).zip(1..).collect();
        assert_eq!(found, expected);
        assert!(store.probe(2, &probes).await.unwrap().hits.is_empty());

        let held = store.held(1, &[1, 2, 3, 300, 301]).await.unwrap();
        assert_eq!(held.len(), 4);
        assert_eq!(held[&300].presence, 299);
        assert!(held[&1].family_tag.is_some());
        assert_eq!(held[&1].family_tag, held[&2].family_tag);
        assert_eq!(held[&3].family_tag, None);

        // A store in use is left as it is.
        assert!(store.fill_for_measurement(&records, 1).await.is_err());
        assert_eq!(store.index_size(1).await.unwrap(), (300, 600));
    }
}
