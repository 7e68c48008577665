//! Going through the whole lookup index, in the order of its tokens and a page at a time: for the
//! size and root that a publication mark logs, and for the filter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::db::{Tx, Value, values};
use super::filter::{SHARDS, no_state};
use super::index::IndexSize;
use super::index_proof::row_hash;
use super::{Store, StoreError, TOKEN};
use crate::tlog::Frontier;

/// Which rows of the index are surveyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surveyed {
    /// Those that peers find.
    Published,
    /// Those that they will find after the next publication mark.
    AfterPublishing,
}

/// What a survey found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The state of the index that was surveyed: what rests on the survey demands that it is the
    /// same still ([`Effect::AsSurveyed`](super::Effect)).
    pub state: u64,
    /// Size and root under each epoch that was asked for.
    pub sizes: BTreeMap<u32, IndexSize>,
}

/// Rows of one page.
const PAGE: u64 = 8_192;

/// Record numbers of one page.
const IDS: u64 = 65_536;

struct IndexEntry {
    token: [u8; TOKEN],
    rule: u8,
    record_id: u64,
    epoch: u32,
}

impl Store {
    /// Surveys the index under `epochs`. The filter's parts are built anew on the way.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn survey(
        &self,
        which: Surveyed,
        epochs: &BTreeSet<u32>,
    ) -> Result<Survey, StoreError> {
        let _turn = self.filter.turn().await;
        // Before the first row: what changes while rows are read shows in it afterwards.
        let state = self.index_content().await?;
        let visible = self.visible(which).await?;
        let mut growing: BTreeMap<u32, Growing> = epochs
            .iter()
            .map(|epoch| (*epoch, Growing::default()))
            .collect();
        self.pass(|entry| {
            if let Some(growing) = growing.get_mut(&entry.epoch)
                && visible.holds(entry.record_id)
            {
                growing.take(entry);
            }
        })
        .await?;
        Ok(Survey {
            state,
            sizes: growing
                .into_iter()
                .map(|(epoch, growing)| (epoch, growing.size()))
                .collect(),
        })
    }

    /// Builds the filter of the newest mark.
    pub(super) async fn build_filter(&self) -> Result<(), StoreError> {
        let _turn = self.filter.turn().await;
        let mark = self.index_mark().await?;
        self.pass(|_| {}).await?;
        // If the mark has moved since, answers under this one are refused where they are committed.
        self.filter.is_of(mark);
        Ok(())
    }

    /// A publication mark is set after a survey that saw every row it made visible: the filter that
    /// the survey built is in force for it.
    pub fn mark_is_set(&self, mark: u64) {
        self.filter.is_of(mark);
    }

    /// Goes through all rows, and puts each part of the filter in place as soon as it is read.
    async fn pass(&self, mut each: impl FnMut(&IndexEntry) + Send) -> Result<(), StoreError> {
        let mut after: [Value; 3] = [Vec::new().into(), 0_u64.into(), 0_u64.into()];
        let mut first = 0;
        let mut keys = Vec::new();
        loop {
            let mut bound = after.to_vec();
            bound.push(PAGE.into());
            let rows = self
                .db
                .read(
                    "survey-index",
                    "SELECT token, rule, record_id, epoch FROM lookup_index
                     WHERE (token, rule, record_id) > ($1, $2, $3)
                     ORDER BY token, rule, record_id LIMIT $4",
                    bound,
                )
                .await?;
            for row in &rows {
                let entry = IndexEntry {
                    token: row.array(0)?,
                    rule: row.uint(1)? as u8,
                    record_id: row.uint(2)?,
                    epoch: row.uint(3)? as u32,
                };
                while first < usize::from(entry.token[0]) {
                    self.filter
                        .replace(first as u8, std::mem::take(&mut keys))
                        .await?;
                    first += 1;
                }
                keys.push(super::filter::key(&entry.token));
                each(&entry);
                after = [
                    entry.token.into(),
                    u64::from(entry.rule).into(),
                    entry.record_id.into(),
                ];
            }
            if (rows.len() as u64) < PAGE {
                break;
            }
        }
        for first in first..SHARDS {
            self.filter
                .replace(first as u8, std::mem::take(&mut keys))
                .await?;
        }
        Ok(())
    }

    async fn visible(&self, which: Surveyed) -> Result<Ids, StoreError> {
        let mut ids = Ids::default();
        let published = "SELECT record_id FROM records WHERE state = 2 AND record_id > $1
                         ORDER BY record_id LIMIT $2";
        let enrolled = "SELECT record_id FROM records WHERE state = 1 AND record_id > $1
                        ORDER BY record_id LIMIT $2";
        let replaced = "SELECT replaces FROM records WHERE replaces > $1 AND state <> 0
                        ORDER BY replaces LIMIT $2";
        self.each_id(published, |id| ids.put(id)).await?;
        if which == Surveyed::AfterPublishing {
            self.each_id(enrolled, |id| ids.put(id)).await?;
            self.each_id(replaced, |id| ids.take(id)).await?;
        }
        Ok(ids)
    }

    async fn each_id(
        &self,
        sql: &'static str,
        mut each: impl FnMut(u64) + Send,
    ) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let rows = self
                .db
                .read("survey-records", sql, values![after, IDS])
                .await?;
            for row in &rows {
                after = row.uint(0)?;
                each(after);
            }
            if (rows.len() as u64) < IDS {
                return Ok(());
            }
        }
    }

    pub(super) async fn index_content(&self) -> Result<u64, StoreError> {
        self.db
            .read_one("index-content", CONTENT, vec![])
            .await?
            .ok_or_else(no_state)?
            .uint(0)
    }

    pub(super) async fn index_content_in(tx: &mut Tx) -> Result<u64, StoreError> {
        tx.read_one(CONTENT, vec![])
            .await?
            .ok_or_else(no_state)?
            .uint(0)
    }

    /// The index is another with this transaction than any survey has seen.
    pub(super) async fn index_changes(tx: &mut Tx) -> Result<(), StoreError> {
        tx.run("UPDATE index_state SET content = content + 1", vec![])
            .await
            .map(drop)
    }
}

const CONTENT: &str = "SELECT content FROM index_state";

/// The size of an index, row by row.
#[derive(Default)]
struct Growing {
    records: Ids,
    tree: Frontier,
}

impl Growing {
    fn take(&mut self, entry: &IndexEntry) {
        let row = row_hash(&(entry.token, entry.rule));
        self.tree.append_each(row, |_, _| {});
        self.records.put(entry.record_id);
    }

    fn size(&self) -> IndexSize {
        IndexSize {
            records: self.records.count(),
            tokens: self.tree.size(),
            root: self.tree.root(),
        }
    }
}

/// A set of record numbers: a bit for each, in blocks, so that a million takes an eighth of a
/// megabyte.
#[derive(Default)]
struct Ids(HashMap<u64, Box<[u64; 64]>>);

impl Ids {
    fn place(id: u64) -> (u64, usize, u64) {
        (id >> 12, (id >> 6 & 63) as usize, 1 << (id & 63))
    }

    fn put(&mut self, id: u64) {
        let (block, word, bit) = Self::place(id);
        self.0.entry(block).or_insert_with(|| Box::new([0; 64]))[word] |= bit;
    }

    fn take(&mut self, id: u64) {
        let (block, word, bit) = Self::place(id);
        if let Some(block) = self.0.get_mut(&block) {
            block[word] &= !bit;
        }
    }

    fn holds(&self, id: u64) -> bool {
        let (block, word, bit) = Self::place(id);
        self.0
            .get(&block)
            .is_some_and(|block| block[word] & bit != 0)
    }

    fn count(&self) -> u64 {
        let words = self.0.values().flat_map(|block| block.iter());
        words.map(|word| u64::from(word.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_set() {
        let mut ids = Ids::default();
        for id in [0, 1, 63, 64, 4_095, 4_096, u64::MAX, 1, 64] {
            ids.put(id);
        }
        assert_eq!(ids.count(), 7);
        ids.take(64);
        ids.take(70_000);
        assert!(ids.holds(u64::MAX) && ids.holds(63) && !ids.holds(64) && !ids.holds(2));
        assert_eq!(ids.count(), 6);
    }
}
