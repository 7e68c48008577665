//! Many rows with few statements.
//!
//! A statement for each row spends most of its time on its way to the database and back. On SQLite
//! rows go in as lists of values, in few sizes, so that few statements are prepared; on PostgreSQL
//! as one array for each column, whatever their number.

use std::sync::OnceLock;

use super::{Row, Tx, TxInner, Value, postgres, sqlite};
use crate::store::StoreError;

/// How many rows, or keys, one statement takes on SQLite.
const SIZES: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// How many rows one statement takes on PostgreSQL: enough for any group of ordinary acts, and few
/// enough that a thousand large ones fit into a message.
const ARRAY: usize = 1_024;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Int,
    /// Octets.
    Blob,
    /// Text.
    Text,
}

/// A table, as rows are put into it many at a time.
pub struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    tail: &'static str,
    lists: [OnceLock<String>; SIZES.len()],
    arrays: OnceLock<String>,
}

impl Table {
    /// Rows of these columns; `tail` says what happens where a row is there already. No two rows of
    /// one call may meet in the same place.
    pub const fn new(
        name: &'static str,
        columns: &'static [(&'static str, Kind)],
        tail: &'static str,
    ) -> Self {
        Self {
            name,
            columns,
            tail,
            lists: [const { OnceLock::new() }; SIZES.len()],
            arrays: OnceLock::new(),
        }
    }

    fn head(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(column, _)| *column).collect();
        format!("INSERT INTO {} ({})", self.name, columns.join(", "))
    }

    /// The statement for so many rows as a list of values.
    fn list(&self, rows: usize) -> String {
        let row = format!("({})", places(self.columns.len()));
        let rows = vec![row; rows].join(", ");
        format!("{} VALUES {rows} {}", self.head(), self.tail)
    }

    /// The statement for any number of rows as one array for each column.
    fn arrays(&self) -> String {
        let arrays: Vec<String> = (1..)
            .zip(self.columns)
            .map(|(number, (_, kind))| format!("${number}::{}", array_of(*kind)))
            .collect();
        format!(
            "{} SELECT * FROM UNNEST({}) {}",
            self.head(),
            arrays.join(", "),
            self.tail
        )
    }
}

/// A table that is read by many keys at a time.
pub struct Among {
    head: &'static str,
    lists: [OnceLock<String>; SIZES.len()],
    array: OnceLock<String>,
}

impl Among {
    /// `head` ends with the column that is among the keys, which are octets.
    pub const fn new(head: &'static str) -> Self {
        Self {
            head,
            lists: [const { OnceLock::new() }; SIZES.len()],
            array: OnceLock::new(),
        }
    }

    fn list(&self, keys: usize) -> String {
        format!("{} IN ({})", self.head, places(keys))
    }
}

/// So many places for values on SQLite. They have no names: a name is looked up for each value that
/// is bound, among all names of the statement.
fn places(number: usize) -> String {
    vec!["?"; number].join(", ")
}

fn array_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "bigint[]",
        Kind::Blob => "bytea[]",
        Kind::Text => "text[]",
    }
}

impl Tx {
    /// Puts rows into a table, each with a value for every column.
    pub async fn insert(
        &mut self,
        into: &'static Table,
        mut rows: Vec<Vec<Value>>,
    ) -> Result<(), StoreError> {
        while !rows.is_empty() {
            #[cfg(test)]
            let fault = self.faults.at_write(self.name)?;
            match &mut self.inner {
                TxInner::Sqlite(tx) => {
                    let (at, size) = fitting(rows.len());
                    let sql = into.lists[at].get_or_init(|| into.list(size)).as_str();
                    let bound = rows.drain(..size).flatten().collect();
                    sqlite::execute(&mut **tx, self.name, sql, bound).await?;
                }
                TxInner::Postgres(tx) => {
                    let sql = into.arrays.get_or_init(|| into.arrays()).as_str();
                    let some = rows.drain(..rows.len().min(ARRAY)).collect();
                    let kinds = into.columns.iter().map(|(_, kind)| *kind);
                    postgres::insert(&mut **tx, self.name, sql, kinds, some).await?;
                }
            }
            #[cfg(test)]
            fault.strike()?;
        }
        Ok(())
    }

    /// Reads the rows whose key is among `keys`, in no order.
    pub async fn read_among(
        &mut self,
        among: &'static Among,
        mut keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        while !keys.is_empty() {
            match &mut self.inner {
                TxInner::Sqlite(tx) => {
                    let (at, size) = fitting(keys.len());
                    let sql = among.lists[at].get_or_init(|| among.list(size)).as_str();
                    let bound = keys.drain(..size).map(Value::Blob).collect();
                    found.extend(sqlite::fetch(&mut **tx, self.name, sql, bound).await?);
                }
                TxInner::Postgres(tx) => {
                    let sql = among
                        .array
                        .get_or_init(|| format!("{} = ANY($1::bytea[])", among.head))
                        .as_str();
                    let keys = std::mem::take(&mut keys);
                    found.extend(postgres::fetch_among(&mut **tx, self.name, sql, keys).await?);
                }
            }
        }
        Ok(found)
    }
}

/// The largest size that so many, at least one, fill; by its place and itself.
fn fitting(rows: usize) -> (usize, usize) {
    let smallest = SIZES.len() - 1;
    SIZES
        .iter()
        .copied()
        .enumerate()
        .find(|(_, size)| *size <= rows)
        .unwrap_or((smallest, SIZES[smallest]))
}

#[cfg(test)]
mod tests {
    use super::*;

    static THINGS: Table = Table::new(
        "things",
        &[("a", Kind::Int), ("b", Kind::Blob)],
        "ON CONFLICT DO NOTHING",
    );

    #[test]
    fn statements_have_a_place_for_each_value() {
        assert_eq!(
            THINGS.list(2),
            "INSERT INTO things (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            THINGS.arrays(),
            "INSERT INTO things (a, b) SELECT * FROM UNNEST($1::bigint[], $2::bytea[]) \
             ON CONFLICT DO NOTHING"
        );
        let among = Among::new("SELECT a FROM things WHERE b");
        assert_eq!(among.list(3), "SELECT a FROM things WHERE b IN (?, ?, ?)");
    }

    #[test]
    fn every_number_is_made_up_of_the_sizes() {
        for number in 1..200 {
            let mut left = number;
            let mut statements = 0;
            while left > 0 {
                let (at, size) = fitting(left);
                assert_eq!(SIZES[at], size);
                left -= size;
                statements += 1;
            }
            assert!(statements <= number / 64 + 6, "{number}: {statements}");
        }
    }
}
