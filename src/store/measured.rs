//! A lookup index of any size made of nothing, for measurements of what depends on its size.

use super::bulk::{IndexRow, insert};
use super::db::{Tx, Value};
use super::index::Index;
use super::keys::{RowKind, TagKind};
use super::records::{RecordState, held_columns};
use super::{Store, StoreError, TOKEN};

/// An index of `records` records that have as many tokens each as there are rules. Its tokens are as
/// evenly spread as those of an index that is made of children, and a record's tokens lie as far apart;
/// but each can be computed from its record, so that hits can be asked for without keeping them.
pub struct MeasuredIndex {
    records: u64,
    /// The row before its first record.
    base: u64,
    rules: Vec<u8>,
    /// Carries a token's number among all of them to its place in their order, and back.
    step: u128,
    back: u128,
}

impl MeasuredIndex {
    /// Such an index. The rules are those of each record's tokens; there is at least one, and at
    /// least one record.
    #[must_use]
    pub fn new(records: u64, rules: &[u8]) -> Self {
        let rules = if rules.is_empty() { &[0] } else { rules }.to_vec();
        let records = records.max(1);
        let tokens = i128::from(records) * rules.len() as i128;
        // Near the golden section of the whole, where neighbours come to lie far apart.
        let mut step = tokens * 618 / 1000 + 1;
        let back = loop {
            match inverse(step, tokens) {
                Some(back) => break back,
                None => step += 1,
            }
        };
        Self {
            records,
            base: 0,
            rules,
            step: step.unsigned_abs(),
            back: back.unsigned_abs(),
        }
    }

    /// The same beside records that take the rows up to `base`.
    #[must_use]
    pub fn beside(self, base: u64) -> Self {
        Self { base, ..self }
    }

    /// How many tokens it has.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.records * self.rules.len() as u64
    }

    /// Rule and token of each row of a record, counted from 0.
    pub fn of_record(&self, record: u64) -> impl Iterator<Item = (u8, [u8; TOKEN])> {
        let first = u128::from(record) * self.rules.len() as u128;
        (0..).zip(&self.rules).map(move |(which, rule)| {
            let place = (first + which) * self.step % u128::from(self.tokens());
            (*rule, self.token(place as u64))
        })
    }

    /// The token at a place in their order: its first half grows with the place, its second is a mix
    /// of it.
    fn token(&self, place: u64) -> [u8; TOKEN] {
        let first = (u128::from(place) << 64) / u128::from(self.tokens());
        // The finaliser of splitmix64: one-to-one, so that no two tokens have an equal half.
        let mut mixed = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let mut token = [0; TOKEN];
        token[..8].copy_from_slice(&(first as u64).to_be_bytes());
        token[8..].copy_from_slice(&mixed.to_be_bytes());
        token
    }

    /// The row at a place in the order of tokens.
    fn row(&self, place: u64, epoch: u32) -> IndexRow {
        let number = (u128::from(place) * self.back % u128::from(self.tokens())) as u64;
        let rules = self.rules.len() as u64;
        IndexRow {
            token: self.token(place),
            rule: self.rules[(number % rules) as usize],
            record_id: self.base + number / rules + 1,
            epoch,
        }
    }
}

/// The inverse of `value` modulo `modulus`, if it has one (extended Euclid).
fn inverse(value: i128, modulus: i128) -> Option<i128> {
    let (mut old, mut new) = ((value, 1), (modulus, 0));
    while new.0 != 0 {
        let quotient = old.0 / new.0;
        (old, new) = (new, (old.0 - quotient * new.0, old.1 - quotient * new.1));
    }
    (old.0 == 1).then(|| old.1.rem_euclid(modulus))
}

/// Rows of one transaction.
const ROWS: u64 = 65_536;

impl Store {
    /// Fills a store with such an index, as one that is published; record `n` gets the record id
    /// `base + n + 1`, and has nothing sealed behind it. `progress` is told of the tokens that are in.
    ///
    /// # Errors
    /// If the store fails, or holds records in those rows already.
    pub async fn fill_with(
        &self,
        index: &MeasuredIndex,
        presence: u16,
        epoch: u32,
        progress: impl Fn(u64),
    ) -> Result<(), StoreError> {
        let mut first = 0;
        while first < index.records {
            let end = index.records.min(first + ROWS / 8);
            let mut tx = self.db.begin("fill-records").await?;
            let rows = index.base + first..index.base + end;
            self.put_records(&mut tx, rows, presence, epoch).await?;
            tx.commit().await?;
            first = end;
        }
        // Put back at the end, when it can be made by sorting.
        let mut tx = self.db.begin("fill-index").await?;
        tx.run("DROP INDEX lookup_index_by_record", vec![]).await?;
        tx.commit().await?;
        let mut first = 0;
        while first < index.tokens() {
            let end = index.tokens().min(first + ROWS);
            let rows: Vec<[Value; 5]> = (first..end)
                .map(|place| {
                    let row = index.row(place, epoch);
                    [
                        row.token.into(),
                        u64::from(row.rule).into(),
                        row.record_id.into(),
                        u64::from(epoch).into(),
                        row.tag(&self.keys, Index::Published).into(),
                    ]
                })
                .collect();
            let mut tx = self.db.begin("fill-index").await?;
            insert(
                &mut tx,
                "INSERT INTO lookup_index (token, rule, record_id, epoch, row_tag)",
                "",
                rows.into_iter(),
            )
            .await?;
            tx.commit().await?;
            progress(end - first);
            first = end;
        }
        let mut tx = self.db.begin("fill-index").await?;
        tx.run(
            "CREATE INDEX lookup_index_by_record ON lookup_index (record_id)",
            vec![],
        )
        .await?;
        Self::index_changes(&mut tx).await?;
        self.open_epoch(&mut tx, epoch).await?;
        tx.commit().await
    }

    async fn put_records(
        &self,
        tx: &mut Tx,
        numbers: std::ops::Range<u64>,
        presence: u16,
        epoch: u32,
    ) -> Result<(), StoreError> {
        let ids = || numbers.clone().map(|number| number + 1).collect::<Vec<_>>();
        let none = || Value::from(Vec::new());
        let records = ids().into_iter().map(|record_id| {
            let ref_tag = self
                .keys
                .tag(TagKind::Reference, &[&record_id.to_be_bytes()]);
            [
                record_id.into(),
                ref_tag.into(),
                1_i64.into(),
                none(),
                none(),
                none(),
                (RecordState::Published as i64).into(),
                0_i64.into(),
            ]
        });
        insert(
            tx,
            "INSERT INTO records (record_id, ref_tag, newest, data_key, sealed, content_tag, state,
                                  updated_ms)",
            "",
            records,
        )
        .await?;
        let masks = ids().into_iter().map(|record_id| {
            let columns = (record_id.to_be_bytes(), epoch.to_be_bytes());
            let mask = presence.to_be_bytes();
            let row_tag = self.keys.row_tag(
                RowKind::Held,
                &held_columns(&columns.0, &columns.1, &mask, None),
            );
            [
                record_id.into(),
                u64::from(epoch).into(),
                u64::from(presence).into(),
                row_tag.into(),
                none(),
            ]
        });
        insert(
            tx,
            "INSERT INTO record_tokens (record_id, epoch, presence, row_tag, sealed)",
            "",
            masks,
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::temporary::store;

    #[test]
    fn inverses_are_inverses() {
        for modulus in [2, 7, 16, 160, 9_973] {
            for value in 1..modulus.min(200) {
                match inverse(value, modulus) {
                    Some(back) => assert_eq!(value * back % modulus, 1),
                    None => assert!((2..=value).any(|d| value % d == 0 && modulus % d == 0)),
                }
            }
        }
    }

    #[tokio::test]
    async fn every_token_is_found_at_its_record_and_lies_in_order() {
        let (_directory, store) = store().await;
        let index = MeasuredIndex::new(50, &[1, 2, 2, 5]);
        store.fill_with(&index, 7, 1, |_| {}).await.unwrap();
        assert_eq!(store.index_size(1).await.unwrap(), (50, 200));
        store.refresh_filter().await.unwrap();
        assert_eq!(store.filter_size().tokens, 200);
        for record in [0, 1, 23, 49] {
            let probes: Vec<_> = index.of_record(record).collect();
            let hits = store.probe(1, &probes).await.unwrap().hits;
            assert_eq!(hits.len(), 4);
            assert!(hits.iter().all(|hit| hit.record_id == record + 1));
        }
        assert_eq!(store.held(1, &[1, 50]).await.unwrap().len(), 2);
        let tokens: Vec<_> = (0..200).map(|place| index.token(place)).collect();
        assert!(tokens.is_sorted());
        // Every part of the filter gets its share.
        assert!(tokens[0][0] == 0 && tokens[199][0] >= 250);
    }
}
