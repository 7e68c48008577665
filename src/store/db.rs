//! The narrow waist between SQL and the rest of the store: values, rows, connections and named
//! transactions. Only this file knows the driver.

use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Executor as _, Row as _, Transaction};

use super::StoreError;

/// A value bound to a statement.
#[derive(Clone)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// Octets.
    Blob(Vec<u8>),
    /// Text.
    Text(String),
    /// Nothing, in place of octets.
    Null,
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        // Row numbers, sizes and milliseconds stay far below 2^63.
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Binds values in a row: `values![a, b, c]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::db::Value::from($value)),*] };
}
pub(super) use values;

/// A row of a result.
pub struct Row(SqliteRow);

impl Row {
    /// The whole number in column `index`.
    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        self.0.try_get(index).map_err(|error| column(index, &error))
    }

    /// The whole number in column `index`, which is never negative.
    pub fn uint(&self, index: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(index)?)
            .map_err(|_| StoreError::damaged(format!("column {index}"), "a negative number"))
    }

    /// The octets in column `index`.
    pub fn blob(&self, index: usize) -> Result<Vec<u8>, StoreError> {
        self.0.try_get(index).map_err(|error| column(index, &error))
    }

    /// The octets in column `index`, or nothing.
    pub fn blob_or_null(&self, index: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.try_get(index).map_err(|error| column(index, &error))
    }

    /// The `N` octets in column `index`.
    pub fn array<const N: usize>(&self, index: usize) -> Result<[u8; N], StoreError> {
        self.blob(index)?.try_into().map_err(|found: Vec<u8>| {
            StoreError::damaged(
                format!("column {index}"),
                format!("{} octets in place of {N}", found.len()),
            )
        })
    }

    /// The text in column `index`.
    pub fn text(&self, index: usize) -> Result<String, StoreError> {
        self.0.try_get(index).map_err(|error| column(index, &error))
    }
}

fn column(index: usize, error: &sqlx::Error) -> StoreError {
    StoreError::damaged(format!("column {index}"), error.to_string())
}

/// The database: one writer, several readers.
///
/// SQLite lets one transaction write at a time; a single writing connection makes writers queue
/// here, in order, rather than poll the file's lock.
#[derive(Clone)]
pub struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
    #[cfg(test)]
    pub(super) faults: std::sync::Arc<super::faults::Faults>,
}

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Db {
    /// Opens `sqlite:PATH`, creating the file if need be.
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        let Some(path) = address.strip_prefix("sqlite:") else {
            return Err(StoreError::Address {
                address: address
                    .split('@')
                    .next_back()
                    .unwrap_or_default()
                    .to_owned(),
            });
        };
        let opening = |error: sqlx::Error| StoreError::Open {
            location: path.to_owned(),
            reason: error.to_string(),
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
            .busy_timeout(BUSY_TIMEOUT);
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
        Ok(Self {
            writer,
            readers,
            #[cfg(test)]
            faults: std::sync::Arc::default(),
        })
    }

    /// Begins a writing transaction. `name` labels its errors and its metric.
    pub async fn begin(&self, name: &'static str) -> Result<Tx, StoreError> {
        let inner = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| failed(name, &error))?;
        Ok(Tx {
            inner,
            name,
            #[cfg(test)]
            faults: std::sync::Arc::clone(&self.faults),
        })
    }

    /// Reads rows outside a transaction.
    pub async fn read(
        &self,
        name: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = query(sql, values)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| failed(name, &error))?;
        Ok(rows.into_iter().map(Row).collect())
    }

    /// As [`Db::read`], for a statement put together at run time from constant parts.
    pub async fn read_built(
        &self,
        name: &'static str,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = bound(sqlx::query(sqlx::AssertSqlSafe(sql)), values)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| failed(name, &error))?;
        Ok(rows.into_iter().map(Row).collect())
    }

    /// Reads at most one row outside a transaction.
    pub async fn read_one(
        &self,
        name: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.read(name, sql, values).await?.into_iter().next())
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A writing transaction; dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    name: &'static str,
    #[cfg(test)]
    faults: std::sync::Arc<super::faults::Faults>,
}

impl Tx {
    /// Runs a statement and returns how many rows it touched.
    pub async fn run(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64, StoreError> {
        #[cfg(test)]
        let fault = self.faults.at_write(self.name)?;
        let done = query(sql, values)
            .execute(&mut *self.inner)
            .await
            .map(|result| result.rows_affected())
            .map_err(|error| failed(self.name, &error));
        #[cfg(test)]
        fault.strike()?;
        done
    }

    /// As [`Tx::run`], for a statement put together at run time from constant parts.
    pub async fn run_built(&mut self, sql: String, values: Vec<Value>) -> Result<u64, StoreError> {
        bound(sqlx::query(sqlx::AssertSqlSafe(sql)), values)
            .execute(&mut *self.inner)
            .await
            .map(|result| result.rows_affected())
            .map_err(|error| failed(self.name, &error))
    }

    /// Runs several statements without values, such as a migration.
    pub async fn run_script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        (*self.inner)
            .execute(sqlx::raw_sql(sql))
            .await
            .map(|_| ())
            .map_err(|error| failed(self.name, &error))
    }

    /// Reads rows within the transaction.
    pub async fn read(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = query(sql, values)
            .fetch_all(&mut *self.inner)
            .await
            .map_err(|error| failed(self.name, &error))?;
        Ok(rows.into_iter().map(Row).collect())
    }

    /// Reads at most one row within the transaction.
    pub async fn read_one(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.read(sql, values).await?.into_iter().next())
    }

    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        let name = self.name;
        #[cfg(test)]
        let fault = self.faults.at_write(name)?;
        let done = self
            .inner
            .commit()
            .await
            .map_err(|error| failed(name, &error));
        #[cfg(test)]
        fault.strike()?;
        done
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn query(sql: &'static str, values: Vec<Value>) -> Query<'static> {
    bound(sqlx::query(sql), values)
}

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

fn failed(transaction: &'static str, error: &sqlx::Error) -> StoreError {
    StoreError::Statement {
        transaction,
        reason: error.to_string(),
    }
}
