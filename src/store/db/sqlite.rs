//! SQLite: a file of the node's own.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Executor, SqlSafeStr, Transaction};

use super::{Inner, Row, Value};
use crate::store::StoreError;

/// SQLite lets one transaction write at a time; a single writing connection makes writers queue
/// here, in order, rather than poll the file's lock.
#[derive(Clone)]
pub(super) struct SqlitePools {
    writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

const READERS: u32 = 4;
/// How many statements a connection keeps prepared: each bulk statement comes in several sizes.
const STATEMENTS: usize = 300;

/// Memory that a connection takes for pages, as SQLite takes it: kibibytes, negative.
const WRITER_CACHE: &str = "-16000";
const READER_CACHE: &str = "-4000";
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl SqlitePools {
    pub(super) async fn open(path: &str) -> Result<Self, StoreError> {
        let opening = |error: sqlx::Error| StoreError::Open {
            location: path.to_owned(),
            reason: error.to_string(),
            remedy: "check that the directory exists and is writable, and that the disk is not full",
        };
        let options = SqliteConnectOptions::from_str(&format!("sqlite:{path}"))
            .map_err(opening)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The log lives here: a commit that was acknowledged survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("secure_delete", "ON")
            // Evidence comes in rows of one to two thousand octets. On pages of 4096 such a row of a
            // table that is its own index spills over into a page of its own.
            .page_size(8192)
            // A commit that finds so many pages in the write-ahead log carries them over, and others
            // wait for it: rarely, and pages that are written again and again only once.
            .pragma("wal_autocheckpoint", "2000")
            .pragma("cache_size", WRITER_CACHE)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(opening)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // What a lookup reads is nowhere twice; the system keeps what was read from the file.
            .connect_with(options.pragma("cache_size", READER_CACHE))
            .await
            .map_err(opening)?;
        Ok(Self { writer, readers })
    }

    /// Opens a file that nobody writes.
    pub(super) async fn open_copy(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .disable_statement_logging();
        let readers = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(|error| StoreError::Open {
                location: path.display().to_string(),
                reason: error.to_string(),
                remedy: "use another copy of the backup",
            })?;
        Ok(Self {
            writer: readers.clone(),
            readers,
        })
    }

    /// Writes a consistent copy, without free pages, to a file that is not there yet.
    pub(super) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let name = "copy-database";
        let path = path.to_str().ok_or_else(|| StoreError::Statement {
            transaction: name,
            reason: "the path is not UTF-8".to_owned(),
        })?;
        execute(&self.readers, name, "VACUUM INTO $1", super::values![path])
            .await
            .map(|_| ())
    }

    pub(super) async fn empty_log(&self) -> Result<bool, StoreError> {
        let rows = fetch(
            &self.writer,
            "empty-log",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            vec![],
        )
        .await?;
        rows.first().map_or(Ok(true), |row| Ok(row.int(0)? == 0))
    }

    pub(super) async fn begin_reading(
        &self,
        name: &'static str,
    ) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers
            .begin()
            .await
            .map_err(|error| failed(name, &error))
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(super) async fn begin(
        &self,
        name: &'static str,
    ) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| failed(name, &error))
    }
}

pub(super) async fn fetch<'c>(
    on: impl Executor<'c, Database = Sqlite>,
    name: &'static str,
    sql: impl SqlSafeStr,
    values: Vec<Value>,
) -> Result<Vec<Row>, StoreError> {
    bound(sqlx::query(sql), values)
        .fetch_all(on)
        .await
        .map(|rows| rows.into_iter().map(Inner::Sqlite).map(Row).collect())
        .map_err(|error| failed(name, &error))
}

pub(super) async fn execute<'c>(
    on: impl Executor<'c, Database = Sqlite>,
    name: &'static str,
    sql: impl SqlSafeStr,
    values: Vec<Value>,
) -> Result<u64, StoreError> {
    bound(sqlx::query(sql), values)
        .execute(on)
        .await
        .map(|result| result.rows_affected())
        .map_err(|error| failed(name, &error))
}

/// A statement whose places for values have no names, if their numbers are in order. For each value
/// that is bound its place's name is looked up among all of the statement, which in a long list takes
/// longer than the statement.
pub(super) fn nameless(sql: String) -> String {
    let mut parts = sql.split('$');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1_usize..).zip(parts) {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (name, rest) = part.split_at(digits);
        if name.parse() != Ok(number) {
            return sql;
        }
        plain.push('?');
        plain.push_str(rest);
    }
    plain
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn bound(mut query: Query<'static>, values: Vec<Value>) -> Query<'static> {
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Null => query.bind(None::<Vec<u8>>),
        };
    }
    query
}

pub(super) fn failed(transaction: &'static str, error: &sqlx::Error) -> StoreError {
    let reason = error.to_string();
    match error.as_database_error().and_then(|error| error.code()) {
        Some(code) => match remedy(&code) {
            Some(remedy) => StoreError::Away {
                transaction,
                reason,
                remedy,
            },
            None => StoreError::Statement {
                transaction,
                reason,
            },
        },
        None => StoreError::Statement {
            transaction,
            reason,
        },
    }
}

/// What to do where a file may be written again later, without a change here, by SQLite's result
/// code (its lowest octet is the primary one).
fn remedy(code: &str) -> Option<&'static str> {
    match code.parse::<u32>().ok()? & 0xff {
        5 | 6 => Some("another program holds the database's file: close it"),
        8 => Some("the database's file or disk is read-only: make it writable"),
        10 => Some("the disk fails: check it, and the system's log"),
        13 => Some("the disk is full: free space; the node goes on by itself then"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::nameless;

    #[test]
    fn places_lose_their_names_where_they_are_in_order() {
        let plain = |sql: &str| nameless(sql.to_owned());
        assert_eq!(plain("a IN ($1, $2) AND b = $3"), "a IN (?, ?) AND b = ?");
        assert_eq!(plain("SELECT 1"), "SELECT 1");
        for kept in ["b = $2 AND a = $1", "a = $1 OR b = $1", "'$' || $1"] {
            assert_eq!(plain(kept), kept);
        }
    }
}
