//! The lookup index: 16-octet tokens of published records.
//!
//! Rows of records that are enrolled but not yet published are in the table too; they are told
//! apart by their record's state, so that a publication mark is one small update.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::bulk::IndexRow;
use super::db::{Row, Tx, Value, values};
use super::keys::{RowKind, Tag};
use super::records::{RecordState, held_columns};
use super::{Store, StoreError, Surveyed};
use crate::envelope::merkle;

/// Which records tokens are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Those that peers may find.
    Published,
    /// Those that are silent. No lookup waits for them.
    Silent,
}

/// A token of a query that a row of the index equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hit {
    /// Which token of those probed, by position.
    pub position: usize,
    /// The record.
    pub record_id: u64,
}

/// What probing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The hits.
    pub hits: Vec<Hit>,
    /// The mark of the published index that was probed: an answer that rests on it demands that it
    /// is the same still ([`Effect::AnsweredUnder`](super::Effect)). None for silent records.
    pub mark: Option<u64>,
}

/// What a decision needs to know of a held record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The presence mask.
    pub presence: u16,
    /// Tag of its family, if it has one.
    pub family_tag: Option<Tag>,
}

/// Size of the published index, with its root as a publication mark logs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSize {
    /// Records.
    pub records: u64,
    /// Tokens.
    pub tokens: u64,
    /// RFC 6962 Merkle root over the index rows (token, then rule) in ascending order.
    pub root: [u8; 32],
}

impl IndexSize {
    /// The index of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            records: 0,
            tokens: 0,
            root: merkle::root_of(Vec::new()),
        }
    }
}

/// Statements take this many tokens at once, so that few different statements are prepared.
const CHUNK: usize = 480;
const SMALL_CHUNKS: [usize; 4] = [8, 24, 40, 120];

impl Store {
    /// Finds the published records whose token of `epoch` equals one of `probes` under the same
    /// rule.
    ///
    /// A probe is a rule's number and a token; the same hit is reported once. A row that this node
    /// did not write is no hit. Tokens that the filter excludes cost no look into the database.
    pub async fn probe(&self, epoch: u32, probes: &[(u8, [u8; 16])]) -> Result<Probed, StoreError> {
        self.probe_in(Index::Published, epoch, probes).await
    }

    /// As [`Store::probe`], among the records of an index.
    pub async fn probe_in(
        &self,
        index: Index,
        epoch: u32,
        probes: &[(u8, [u8; 16])],
    ) -> Result<Probed, StoreError> {
        let head = match index {
            Index::Published => PROBE,
            Index::Silent => PROBE_SILENT,
        };
        let mut order: Vec<usize> = (0..probes.len()).collect();
        let mark = match index {
            Index::Silent => None,
            Index::Published => match self.filter.sift(probes, &mut order) {
                Some(mark) => Some(mark),
                // Read before the first row: rows that become visible later show in it.
                None => Some(self.index_mark().await?),
            },
        };
        order.sort_unstable_by_key(|&position| probes[position].1);
        let mut hits = Vec::new();
        let mut seen = HashSet::new();
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let size = chunk_size(rest.len());
            let (chunk, remainder) = rest.split_at(rest.len().min(size));
            rest = remainder;
            let bound = chunk.iter().map(|&at| probes[at].1.into()).collect();
            let rows = self
                .read_in("probe-index", head, "i.epoch", epoch, size, bound)
                .await?;
            for row in rows {
                let token: [u8; 16] = row.array(0)?;
                let rule = row.uint(1)?;
                let record_id = row.uint(2)?;
                let row_tag: [u8; 8] = row.array(3)?;
                let first = chunk.partition_point(|&at| probes[at].1 < token);
                for &position in &chunk[first..] {
                    if probes[position].1 != token {
                        break;
                    }
                    let hit = Hit {
                        position,
                        record_id,
                    };
                    if u64::from(probes[position].0) != rule {
                        continue;
                    }
                    let genuine = IndexRow {
                        token,
                        rule: probes[position].0,
                        record_id,
                        epoch,
                    }
                    .tag(&self.keys, index);
                    if genuine != row_tag {
                        tracing::error!(
                            record_id,
                            "a row of the index was not written by this node; it finds nothing"
                        );
                    } else if seen.insert(hit) {
                        hits.push(hit);
                    }
                }
            }
        }
        Ok(Probed { hits, mark })
    }

    /// What decisions need to know of records that were hit under `epoch`, by record id. A record
    /// that is gone since is not among them.
    pub async fn held(
        &self,
        epoch: u32,
        record_ids: &[u64],
    ) -> Result<HashMap<u64, Held>, StoreError> {
        let mut held = HashMap::with_capacity(record_ids.len());
        let mut rest = record_ids;
        while !rest.is_empty() {
            let size = chunk_size(rest.len());
            let (chunk, remainder) = rest.split_at(rest.len().min(size));
            rest = remainder;
            let bound = chunk.iter().map(|&record_id| record_id.into()).collect();
            let rows = self
                .read_in("read-held", HELD, "t.epoch", epoch, size, bound)
                .await?;
            for row in rows {
                let family_tag: Option<Tag> = row.array_or_null(2)?;
                let record_id = row.uint(0)?;
                let presence = row.uint(1)? as u16;
                let columns = (record_id.to_be_bytes(), (row.uint(3)? as u32).to_be_bytes());
                let presence_column = presence.to_be_bytes();
                let columns = held_columns(
                    &columns.0,
                    &columns.1,
                    &presence_column,
                    family_tag.as_ref(),
                );
                if !self.keys.row_holds(RowKind::Held, &columns, &row.blob(4)?) {
                    tracing::error!(
                        record_id,
                        "what the database says of a record's fields was not written by this \
                         node; the record is not found"
                    );
                    continue;
                }
                let record = Held {
                    presence,
                    family_tag,
                };
                held.insert(record_id, record);
            }
        }
        Ok(held)
    }

    /// Runs `head IN (..) AND column = epoch` over at most `size` values. Repeating the last of
    /// them keeps the statement's shape constant.
    async fn read_in(
        &self,
        name: &'static str,
        head: &'static str,
        column: &'static str,
        epoch: u32,
        size: usize,
        mut bound: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        if let Some(last) = bound.last().cloned() {
            bound.resize(size, last);
        }
        bound.push(u64::from(epoch).into());
        self.db
            .read_built(name, statement(head, column, size), bound)
            .await
    }

    /// Size and root that the index of `epoch` will have after the next publication mark.
    pub async fn index_after_publishing(&self, epoch: u32) -> Result<IndexSize, StoreError> {
        self.surveyed(Surveyed::AfterPublishing, epoch).await
    }

    /// Size and root of the index of `epoch` as it is published, or will be once the epoch opens.
    pub async fn index_published(&self, epoch: u32) -> Result<IndexSize, StoreError> {
        self.surveyed(Surveyed::Published, epoch).await
    }

    async fn surveyed(&self, which: Surveyed, epoch: u32) -> Result<IndexSize, StoreError> {
        let survey = self.survey(which, &BTreeSet::from([epoch])).await?;
        Ok(survey
            .sizes
            .get(&epoch)
            .copied()
            .unwrap_or_else(IndexSize::empty))
    }

    /// Whether rows have left the index since its size and root were last logged.
    pub async fn index_is_unmarked(&self) -> Result<bool, StoreError> {
        let row = self
            .db
            .read_one(
                "index-unmarked",
                "SELECT name FROM settings WHERE name = 'index_unmarked'",
                vec![],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Notes that the index is another than was last logged.
    pub(super) async fn index_has_changed(tx: &mut Tx) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO settings (name, value) VALUES ('index_unmarked', $1)
             ON CONFLICT (name) DO NOTHING",
            values![[1_u8]],
        )
        .await?;
        Self::index_changes(tx).await
    }

    /// Notes that the index is logged as it is.
    pub(super) async fn index_is_marked(tx: &mut Tx) -> Result<(), StoreError> {
        tx.run("DELETE FROM settings WHERE name = 'index_unmarked'", vec![])
            .await?;
        Ok(())
    }

    /// Size of the published index of `epoch`: records and tokens.
    ///
    /// Counted once for each state of the index: a large one takes a while.
    pub async fn index_size(&self, epoch: u32) -> Result<(u64, u64), StoreError> {
        let state = self.index_content().await?;
        if let Some(size) = self.filter.counted(epoch, state) {
            return Ok(size);
        }
        let row = self
            .db
            .read_one(
                "index-size",
                "SELECT (SELECT count(*) FROM records r JOIN record_tokens t
                            ON t.record_id = r.record_id AND t.epoch = $1 WHERE r.state = 2),
                        (SELECT count(*) FROM lookup_index i JOIN records r
                            ON r.record_id = i.record_id WHERE r.state = 2 AND i.epoch = $1)",
                values![u64::from(epoch)],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("index", "no size"))?;
        let size = (row.uint(0)?, row.uint(1)?);
        self.filter.count(epoch, state, size);
        Ok(size)
    }

    pub(super) async fn publish(tx: &mut Tx, mark: u64) -> Result<(), StoreError> {
        // Rows that an enrolled or no longer searchable newer row replaces go first.
        for sql in [
            "DELETE FROM lookup_index WHERE record_id IN
                 (SELECT replaces FROM records WHERE replaces IS NOT NULL AND state <> 0)",
            "DELETE FROM record_tokens WHERE record_id IN
                 (SELECT replaces FROM records WHERE replaces IS NOT NULL AND state <> 0)",
            "DELETE FROM records WHERE record_id IN
                 (SELECT replaces FROM records WHERE replaces IS NOT NULL AND state <> 0)",
            "UPDATE records SET replaces = NULL WHERE replaces IS NOT NULL AND state <> 0",
        ] {
            tx.run(sql, vec![]).await?;
        }
        tx.run(
            "UPDATE records SET state = $1 WHERE state = $2",
            values![RecordState::Published as i64, RecordState::Enrolled as i64],
        )
        .await?;
        Self::index_changes(tx).await?;
        Self::set_index_mark(tx, mark).await?;
        Self::index_is_marked(tx).await
    }
}

/// A cross join, for it makes SQLite look tokens up and then their records. By itself it begins with
/// all published records and goes through the whole index.
const PROBE: &str = "SELECT i.token, i.rule, i.record_id, i.row_tag FROM lookup_index i
    CROSS JOIN records r WHERE r.record_id = i.record_id AND r.state = 2 AND i.token IN";

const PROBE_SILENT: &str = "SELECT i.token, i.rule, i.record_id, i.row_tag FROM silent_index i
    CROSS JOIN records r WHERE r.record_id = i.record_id AND r.state = 5 AND i.token IN";

const HELD: &str = "SELECT r.record_id, t.presence, r.family_tag, t.epoch, t.row_tag FROM records r
    JOIN record_tokens t ON t.record_id = r.record_id WHERE r.record_id IN";

/// `head (..) AND column = epoch`, with `size` values before the epoch.
fn statement(head: &str, column: &str, size: usize) -> String {
    let mut sql = String::from(head);
    for number in 1..=size {
        sql.push_str(if number == 1 { " ($" } else { ",$" });
        sql.push_str(&number.to_string());
    }
    sql.push_str(") AND ");
    sql.push_str(column);
    sql.push_str(" = $");
    sql.push_str(&(size + 1).to_string());
    sql
}

fn chunk_size(rest: usize) -> usize {
    let fitting = SMALL_CHUNKS.into_iter().find(|size| rest <= *size);
    fitting.unwrap_or(CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::IndexedRecord;
    use crate::store::temporary::store;

    #[tokio::test]
    async fn who_can_write_the_database_cannot_point_a_token_at_a_record() {
        let (_directory, store) = store().await;
        let records = [1_u8, 2].map(|number| IndexedRecord {
            presence: 7,
            family_ref: None,
            index: vec![(number, [number; 16])],
        });
        store.fill_for_measurement(&records, 1).await.unwrap();
        let found = |probed: Probed| {
            probed
                .hits
                .iter()
                .map(|hit| hit.record_id)
                .collect::<Vec<_>>()
        };
        let probe = [(1, [1; 16])];
        assert_eq!(found(store.probe(1, &probe).await.unwrap()), [1]);
        assert_eq!(store.held(1, &[1]).await.unwrap().len(), 1);
        // The row of one record is given to the other; another's tag is copied along.
        for sql in [
            "UPDATE lookup_index SET record_id = 2 WHERE rule = 1",
            "UPDATE lookup_index SET row_tag =
                 (SELECT row_tag FROM lookup_index WHERE rule = 2) WHERE rule = 1",
            "UPDATE record_tokens SET presence = 8 WHERE record_id = 1",
        ] {
            let mut tx = store.db.begin("tamper").await.unwrap();
            assert_eq!(tx.run(sql, vec![]).await.unwrap(), 1);
            tx.commit().await.unwrap();
            assert!(
                store.probe(1, &probe).await.unwrap().hits.is_empty(),
                "{sql}"
            );
        }
        assert!(store.held(1, &[1]).await.unwrap().is_empty());
        assert_eq!(store.held(1, &[2]).await.unwrap().len(), 1);
    }

    /// SQLite knows nothing of how many rows a table has, and once chose to go through them all.
    #[tokio::test]
    async fn a_lookup_goes_by_keys_alone() {
        let (_directory, store) = store().await;
        for (head, column) in [
            (PROBE, "i.epoch"),
            (PROBE_SILENT, "i.epoch"),
            (HELD, "t.epoch"),
        ] {
            let sql = format!("EXPLAIN QUERY PLAN {}", statement(head, column, 2));
            let bound = values![[0_u8; 16], [1_u8; 16], 1_i64];
            let plan = store.db.read_built("plan", sql, bound).await.unwrap();
            for step in plan {
                let step = step.text(3).unwrap();
                let by_key = ["(token=?", "rowid=?", "record_id=?"]
                    .iter()
                    .any(|key| step.contains(key));
                assert!(by_key, "{head}: {step}");
            }
        }
    }
}
