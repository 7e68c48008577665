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
            .pragma("cache_size", "-16000")
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(opening)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options)
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
    StoreError::Statement {
        transaction,
        reason: error.to_string(),
    }
}
