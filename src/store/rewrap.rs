//! Wrapping data keys anew, a few rows at a time, so that an old wrapping key can be destroyed.
//!
//! Each step is one transaction that also notes how far it came: it can be stopped or killed at
//! any point and goes on where it was. Rows that are written meanwhile have the current key
//! already. A pass ends with a look over all tables; a row that slipped through begins another.

use super::db::{Row, Value, values};
use super::evidence::{EvidencePart, row_key};
use super::{Store, StoreError};
use crate::vault::Place;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrap {
    /// There may be more to do.
    More,
    /// No row is wrapped by any key but the current one.
    Done,
}

/// How many rows of a table a key wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedRows {
    /// The table.
    pub table: &'static str,
    /// The key's id, in hexadecimal digits.
    pub key: String,
    /// How many rows.
    pub rows: u64,
}

/// The table and the row that a wrapped key is bound to.
type PlaceOf = fn(&Row) -> Result<(&'static str, Vec<u8>), StoreError>;

/// A table with a column `data_key`.
struct Wrapped {
    table: &'static str,
    /// Four whole numbers that order the rows, the wrapped key, and the place's own column.
    next: &'static str,
    /// Sets the key ($1) of the row at four numbers ($2 to $5) whose key still is $6.
    update: &'static str,
    /// Whether a row is left under another key than $1.
    left: &'static str,
    count: &'static str,
    /// The place's table and row.
    place: PlaceOf,
}

/// Every table with a column `data_key`; a test holds this list against the schema. Rows of an
/// import that is not committed yet are among them: they become records as they are.
const TABLES: &[Wrapped] = &[
    Wrapped {
        table: "records",
        next: "SELECT 0, record_id, 0, 0, data_key, ref_tag FROM records
               WHERE (0, record_id, 0, 0) > ($1, $2, $3, $4) ORDER BY record_id LIMIT $5",
        update: "UPDATE records SET data_key = $1
                 WHERE $2 = 0 AND record_id = $3 AND $4 = 0 AND $5 = 0 AND data_key = $6",
        left: "SELECT 1 FROM records WHERE substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM records GROUP BY 1",
        place: |row| Ok(("records", row.blob(5)?)),
    },
    Wrapped {
        table: "import_rows",
        next: "SELECT 0, position, 0, 0, data_key, ref_tag FROM import_rows
               WHERE (0, position, 0, 0) > ($1, $2, $3, $4) ORDER BY position LIMIT $5",
        update: "UPDATE import_rows SET data_key = $1
                 WHERE $2 = 0 AND position = $3 AND $4 = 0 AND $5 = 0 AND data_key = $6",
        left: "SELECT 1 FROM import_rows WHERE substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM import_rows GROUP BY 1",
        place: |row| Ok(("records", row.blob(5)?)),
    },
    Wrapped {
        table: "disclosure_requests",
        next: "SELECT 0, number, 0, 0, data_key, request_id FROM disclosure_requests
               WHERE (0, number, 0, 0) > ($1, $2, $3, $4) ORDER BY number LIMIT $5",
        update: "UPDATE disclosure_requests SET data_key = $1
                 WHERE $2 = 0 AND number = $3 AND $4 = 0 AND $5 = 0 AND data_key = $6",
        left: "SELECT 1 FROM disclosure_requests WHERE substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM disclosure_requests GROUP BY 1",
        place: |row| Ok(("disclosure_requests", row.blob(5)?)),
    },
    Wrapped {
        table: "received_disclosures",
        next: "SELECT 0, number, 0, 0, data_key, ask_id FROM received_disclosures
               WHERE (0, number, 0, 0) > ($1, $2, $3, $4) ORDER BY number LIMIT $5",
        update: "UPDATE received_disclosures SET data_key = $1
                 WHERE $2 = 0 AND number = $3 AND $4 = 0 AND $5 = 0 AND data_key = $6",
        left: "SELECT 1 FROM received_disclosures WHERE substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM received_disclosures GROUP BY 1",
        place: |row| Ok(("received_disclosures", row.blob(5)?)),
    },
    Wrapped {
        table: "cases",
        next: "SELECT 0, number, 0, 0, data_key, case_id FROM cases
               WHERE (0, number, 0, 0) > ($1, $2, $3, $4) ORDER BY number LIMIT $5",
        update: "UPDATE cases SET data_key = $1
                 WHERE $2 = 0 AND number = $3 AND $4 = 0 AND $5 = 0 AND data_key = $6",
        left: "SELECT 1 FROM cases WHERE substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM cases GROUP BY 1",
        place: |row| Ok(("cases", row.blob(5)?)),
    },
    Wrapped {
        table: "evidence",
        next: "SELECT 0, leaf_index, part, 0, data_key FROM evidence
               WHERE (0, leaf_index, part, 0) > ($1, $2, $3, $4)
               ORDER BY leaf_index, part LIMIT $5",
        update: "UPDATE evidence SET data_key = $1
                 WHERE $2 = 0 AND leaf_index = $3 AND part = $4 AND $5 = 0 AND data_key = $6",
        left: "SELECT 1 FROM evidence WHERE substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM evidence GROUP BY 1",
        place: part_place,
    },
    Wrapped {
        table: "evidence_items",
        next: "SELECT 0, leaf_index, part, position, data_key FROM evidence_items
               WHERE (0, leaf_index, part, position) > ($1, $2, $3, $4) AND data_key IS NOT NULL
               ORDER BY leaf_index, part, position LIMIT $5",
        update: "UPDATE evidence_items SET data_key = $1
                 WHERE $2 = 0 AND leaf_index = $3 AND part = $4 AND position = $5
                 AND data_key = $6",
        left: "SELECT 1 FROM evidence_items
               WHERE data_key IS NOT NULL AND substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM evidence_items
                WHERE data_key IS NOT NULL GROUP BY 1",
        place: item_place,
    },
    Wrapped {
        table: "old_evidence",
        next: "SELECT log_number, leaf_index, part, 0, data_key FROM old_evidence
               WHERE (log_number, leaf_index, part, 0) > ($1, $2, $3, $4)
               ORDER BY log_number, leaf_index, part LIMIT $5",
        update: "UPDATE old_evidence SET data_key = $1
                 WHERE log_number = $2 AND leaf_index = $3 AND part = $4 AND $5 = 0
                 AND data_key = $6",
        left: "SELECT 1 FROM old_evidence WHERE substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM old_evidence GROUP BY 1",
        place: part_place,
    },
    Wrapped {
        table: "old_evidence_items",
        next: "SELECT log_number, leaf_index, part, position, data_key FROM old_evidence_items
               WHERE (log_number, leaf_index, part, position) > ($1, $2, $3, $4)
               AND data_key IS NOT NULL
               ORDER BY log_number, leaf_index, part, position LIMIT $5",
        update: "UPDATE old_evidence_items SET data_key = $1
                 WHERE log_number = $2 AND leaf_index = $3 AND part = $4 AND position = $5
                 AND data_key = $6",
        left: "SELECT 1 FROM old_evidence_items
               WHERE data_key IS NOT NULL AND substr(data_key, 2, 8) <> $1 LIMIT 1",
        count: "SELECT substr(data_key, 2, 8), count(*) FROM old_evidence_items
                WHERE data_key IS NOT NULL GROUP BY 1",
        place: item_place,
    },
];

/// Evidence keeps the place that it had in the log that it was kept for.
fn part_place(row: &Row) -> Result<(&'static str, Vec<u8>), StoreError> {
    Ok(("evidence", row_key(row.uint(1)?, part(row)?, None)))
}

fn item_place(row: &Row) -> Result<(&'static str, Vec<u8>), StoreError> {
    let at = row_key(row.uint(1)?, part(row)?, Some(row.uint(3)?));
    Ok(("evidence_items", at))
}

fn part(row: &Row) -> Result<EvidencePart, StoreError> {
    EvidencePart::from_number(row.uint(2)?)
        .ok_or_else(|| StoreError::damaged("evidence", "an unknown part"))
}

impl Store {
    /// Wraps up to `limit` data keys of each table by the current wrapping key.
    ///
    /// A row that does not open is passed over, and told of in the node's own log: it is damaged
    /// whatever wraps it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rewrap_some(&self, limit: u64) -> Result<Rewrap, StoreError> {
        let mut more = false;
        for table in TABLES {
            more |= self.rewrap_table(table, limit).await?;
        }
        if more {
            return Ok(Rewrap::More);
        }
        let current = self.current_wrapping()?;
        for table in TABLES {
            let left = self
                .db
                .read_one("rewrap-left", table.left, values![current.clone()])
                .await?;
            if left.is_some() {
                self.begin_rewrap().await?;
                return Ok(Rewrap::More);
            }
        }
        Ok(Rewrap::Done)
    }

    /// Begins a pass from the start.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin_rewrap(&self) -> Result<(), StoreError> {
        let mut tx = self.db.begin("begin-rewrap").await?;
        tx.run("DELETE FROM rewrap_cursors", vec![]).await?;
        tx.commit().await
    }

    /// How many rows each wrapping key wraps.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn wrapped_rows(&self) -> Result<Vec<WrappedRows>, StoreError> {
        let mut counts = Vec::new();
        for table in TABLES {
            for row in self.db.read("count-wrapped", table.count, vec![]).await? {
                counts.push(WrappedRows {
                    table: table.table,
                    key: hex::encode(row.blob(0)?),
                    rows: row.uint(1)?,
                });
            }
        }
        Ok(counts)
    }

    /// Whether rows of a table may be left.
    async fn rewrap_table(&self, table: &Wrapped, limit: u64) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("rewrap").await?;
        let cursor = match tx
            .read_one(
                "SELECT log_number, at, part, position FROM rewrap_cursors WHERE name = $1",
                values![table.table],
            )
            .await?
        {
            Some(row) => [row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?],
            None => [-1; 4],
        };
        let mut bound: Vec<Value> = cursor.into_iter().map(Value::from).collect();
        bound.push(limit.into());
        let rows = tx.read(table.next, bound).await?;
        let Some(last) = rows.last() else {
            return Ok(false);
        };
        for row in &rows {
            let wrapped = row.blob(4)?;
            let (place_table, at) = (table.place)(row)?;
            let place = Place {
                table: place_table,
                column: "data_key",
                row: &at,
            };
            match self.keys.rewrapped(&wrapped, place, &self.ambient) {
                Ok(None) => {}
                Ok(Some(again)) => {
                    tx.run(
                        table.update,
                        values![
                            again,
                            row.int(0)?,
                            row.int(1)?,
                            row.int(2)?,
                            row.int(3)?,
                            wrapped
                        ],
                    )
                    .await?;
                }
                Err(error) => {
                    tracing::error!(
                        %error, table = table.table, row = row.int(1)?,
                        "a data key could not be wrapped anew"
                    );
                }
            }
        }
        tx.run(
            "INSERT INTO rewrap_cursors (name, log_number, at, part, position)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE SET log_number = excluded.log_number,
                 at = excluded.at, part = excluded.part, position = excluded.position",
            values![
                table.table,
                last.int(0)?,
                last.int(1)?,
                last.int(2)?,
                last.int(3)?
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The id of the wrapping key in force, as wrapped keys name it.
    fn current_wrapping(&self) -> Result<Vec<u8>, StoreError> {
        let (_, wrapped) = self
            .keys
            .new_data_key(Place::new("probe", "data_key", b""), &self.ambient)?;
        Ok(wrapped.get(1..9).unwrap_or_default().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::Group;
    use super::super::temporary;
    use super::super::{CaseRow, Evidence};
    use super::*;
    use crate::ambient::Ambient;
    use crate::envelope::ItemEvidence;
    use crate::vault::{DataKey, KeyRing};

    #[tokio::test]
    async fn every_table_with_a_data_key_is_wrapped_anew() {
        let (_directory, store) = temporary::store().await;
        let rows = store
            .db
            .read(
                "schema",
                "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
                 WHERE m.type = 'table' AND c.name = 'data_key' ORDER BY m.name",
                vec![],
            )
            .await
            .unwrap();
        let in_schema: Vec<String> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        let mut listed: Vec<&str> = TABLES.iter().map(|table| table.table).collect();
        listed.sort_unstable();
        assert_eq!(in_schema, listed);
    }

    #[tokio::test]
    async fn the_evidence_of_a_log_that_was_given_up_is_wrapped_anew_in_its_old_place() {
        let directory = tempfile::tempdir().unwrap();
        let ambient = Ambient::system();
        let address = format!("sqlite:{}", directory.path().join("keys.db").display());
        let ring = KeyRing::generate(&mut ambient.rng());
        let token = || DataKey::from_bytes(&[9; 32]);
        let mut rotated = KeyRing::from_text(&ring.to_text()).unwrap();
        let store = Store::open(&address, ring, token(), ambient.clone());
        let store = store.await.unwrap();
        let kept = Evidence {
            envelope: zeroize::Zeroizing::new(b"envelope".to_vec()),
            items: vec![ItemEvidence::full(
                b"an item with its salt before it".to_vec(),
            )],
        };
        let mut tx = store.db.begin("test").await.unwrap();
        let mut group = Group::open(&store, &mut tx, &[]).await.unwrap();
        group.keep(7, EvidencePart::Query, &kept).unwrap();
        group.write(&mut tx).await.unwrap();
        tx.run(
            "INSERT INTO log_state (id, size, frontier, checkpoint, term) VALUES (1, 0, $1, 'x', 1)",
            values![vec![0_u8; 8]],
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        store.set_log_aside("after=x").await.unwrap();
        assert!(
            store
                .evidence(7, EvidencePart::Query)
                .await
                .unwrap()
                .is_none()
        );
        store.close().await;

        // Another master key takes over.
        rotated.rotate(&mut ambient.rng());
        let store = Store::open(&address, rotated, token(), ambient.clone());
        let store = store.await.unwrap();
        while store.rewrap_some(10).await.unwrap() == Rewrap::More {}
        let current = hex::encode(store.current_wrapping().unwrap());
        let wrapped = store.wrapped_rows().await.unwrap();
        for table in ["old_evidence", "old_evidence_items"] {
            let rows: Vec<_> = wrapped.iter().filter(|rows| rows.table == table).collect();
            assert_eq!(rows.len(), 1, "{table}");
            assert_eq!((&rows[0].key, rows[0].rows), (&current, 1), "{table}");
        }
    }

    #[tokio::test]
    async fn a_case_is_wrapped_anew_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let ambient = Ambient::system();
        let address = format!("sqlite:{}", directory.path().join("keys.db").display());
        let ring = KeyRing::generate(&mut ambient.rng());
        let token = || DataKey::from_bytes(&[9; 32]);
        let mut rotated = KeyRing::from_text(&ring.to_text()).unwrap();
        let store = Store::open(&address, ring, token(), ambient.clone());
        let store = store.await.unwrap();
        for number in 1..=3 {
            let case = CaseRow {
                case_id: [number; 16],
                ref_tag: None,
                plaintext: zeroize::Zeroizing::new(b"what was done".to_vec()),
                due_ms: 0,
                opened_ms: 1,
                updated_ms: 1,
            };
            assert!(store.open_case(&case).await.unwrap());
        }
        store.close().await;

        rotated.rotate(&mut ambient.rng());
        let store = Store::open(&address, rotated, token(), ambient.clone());
        let store = store.await.unwrap();
        while store.rewrap_some(2).await.unwrap() == Rewrap::More {}
        let current = hex::encode(store.current_wrapping().unwrap());
        let wrapped = store.wrapped_rows().await.unwrap();
        let [cases] = wrapped.as_slice() else {
            panic!("{wrapped:?}");
        };
        assert_eq!((&cases.key, cases.rows), (&current, 3));
        let case = store.case(&[2; 16]).await.unwrap().unwrap();
        assert_eq!(case.plaintext.as_slice(), b"what was done");
    }
}
