//! The narrow waist between SQL and the rest of the store: values, rows, connections and named
//! transactions. Only this folder knows the drivers.
//!
//! The same SQL runs on SQLite and on PostgreSQL: `$n` for values, `ON CONFLICT` for upserts, and
//! nothing that only one of them has. Writing transactions never run side by side, neither in one
//! process nor in several on one PostgreSQL: each begins by taking the one writer's place, so none
//! ever has to be run again because of another, and what a transaction has read is still true when
//! it commits. Readers wait for nobody.

mod bulk;
mod postgres;
mod sqlite;
mod transfer;

use std::path::Path;

use sqlx::postgres::{PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqlSafeStr, Transaction};

use super::StoreError;
pub use bulk::{Among, Kind, Table};
use postgres::PostgresPools;
use sqlite::SqlitePools;

/// A value bound to a statement.
#[derive(Clone)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// Octets.
    Blob(Vec<u8>),
    /// Text.
    Text(String),
    /// Nothing.
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
pub struct Row(Inner);

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Reads a column from whichever row it is.
macro_rules! column {
    ($row:expr, $index:expr) => {
        match &$row.0 {
            Inner::Sqlite(row) => row.try_get($index),
            Inner::Postgres(row) => row.try_get($index),
        }
        .map_err(|error| StoreError::damaged(format!("column {}", $index), error.to_string()))
    };
}

impl Row {
    /// The whole number in column `index`.
    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        let wide: Result<i64, StoreError> = column!(self, index);
        if wide.is_err()
            && let Inner::Postgres(row) = &self.0
            // A literal such as `SELECT 1` is narrower there than any column of ours.
            && let Ok(narrow) = row.try_get::<i32, _>(index)
        {
            return Ok(i64::from(narrow));
        }
        wide
    }

    /// The whole number in column `index`, which is never negative.
    pub fn uint(&self, index: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(index)?)
            .map_err(|_| StoreError::damaged(format!("column {index}"), "a negative number"))
    }

    /// The octets in column `index`.
    pub fn blob(&self, index: usize) -> Result<Vec<u8>, StoreError> {
        column!(self, index)
    }

    /// The octets in column `index`, or nothing.
    pub fn blob_or_null(&self, index: usize) -> Result<Option<Vec<u8>>, StoreError> {
        column!(self, index)
    }

    /// The `N` octets in column `index`, or nothing.
    pub fn array_or_null<const N: usize>(
        &self,
        index: usize,
    ) -> Result<Option<[u8; N]>, StoreError> {
        self.blob_or_null(index)?
            .map(|found| exactly(index, found))
            .transpose()
    }

    /// The `N` octets in column `index`.
    pub fn array<const N: usize>(&self, index: usize) -> Result<[u8; N], StoreError> {
        exactly(index, self.blob(index)?)
    }

    /// The text in column `index`.
    pub fn text(&self, index: usize) -> Result<String, StoreError> {
        column!(self, index)
    }
}

fn exactly<const N: usize>(index: usize, found: Vec<u8>) -> Result<[u8; N], StoreError> {
    found.try_into().map_err(|found: Vec<u8>| {
        StoreError::damaged(
            format!("column {index}"),
            format!("{} octets in place of {N}", found.len()),
        )
    })
}

/// The database: one writer, several readers. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pools: Pools,
    #[cfg(test)]
    pub(super) faults: std::sync::Arc<super::faults::Faults>,
}

#[derive(Clone)]
enum Pools {
    Sqlite(SqlitePools),
    Postgres(PostgresPools),
}

/// Which database is behind a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file of the node's own.
    Sqlite,
    /// A server, which several processes of one node may share.
    Postgres,
}

impl Db {
    /// Opens `sqlite:PATH`, creating the file if need be, or `postgres://...`.
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        let pools = if let Some(path) = address.strip_prefix("sqlite:") {
            Pools::Sqlite(SqlitePools::open(path).await?)
        } else if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            Pools::Postgres(PostgresPools::open(address).await?)
        } else {
            return Err(StoreError::Address {
                address: address
                    .split('@')
                    .next_back()
                    .unwrap_or_default()
                    .to_owned(),
            });
        };
        Ok(Self {
            pools,
            #[cfg(test)]
            faults: std::sync::Arc::default(),
        })
    }

    /// Opens a file for reading alone.
    pub async fn open_copy(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            pools: Pools::Sqlite(SqlitePools::open_copy(path).await?),
            #[cfg(test)]
            faults: std::sync::Arc::default(),
        })
    }

    /// Moves the write-ahead log into the database and empties it, so that no old page is left in
    /// it. False if a reader was in the way. A server does so by itself.
    pub async fn empty_log(&self) -> Result<bool, StoreError> {
        match &self.pools {
            Pools::Sqlite(pools) => pools.empty_log().await,
            Pools::Postgres(_) => Ok(true),
        }
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match &self.pools {
            Pools::Sqlite(_) => Backend::Sqlite,
            Pools::Postgres(_) => Backend::Postgres,
        }
    }

    /// Begins a writing transaction, as soon as no other is under way. `name` labels its errors
    /// and its metric.
    pub async fn begin(&self, name: &'static str) -> Result<Tx, StoreError> {
        let (inner, session) = match &self.pools {
            // A file is open for as long as the process runs.
            Pools::Sqlite(pools) => (TxInner::Sqlite(pools.begin(name).await?), 0),
            Pools::Postgres(pools) => {
                let (tx, session) = pools.begin(name).await?;
                (TxInner::Postgres(tx), session)
            }
        };
        Ok(self.begun(inner, name, session))
    }

    fn begun(&self, inner: TxInner, name: &'static str, session: u64) -> Tx {
        Tx {
            inner,
            name,
            session,
            #[cfg(test)]
            faults: std::sync::Arc::clone(&self.faults),
        }
    }

    /// Begins a transaction that sees the database as it is now, whatever is written meanwhile, and
    /// keeps nobody from writing. It is not for writing.
    pub async fn begin_reading(&self, name: &'static str) -> Result<Tx, StoreError> {
        let inner = match &self.pools {
            Pools::Sqlite(pools) => TxInner::Sqlite(pools.begin_reading(name).await?),
            Pools::Postgres(pools) => TxInner::Postgres(pools.begin_reading(name).await?),
        };
        Ok(self.begun(inner, name, 0))
    }

    /// Begins the transaction that brings the schema up to date. It needs no table to be there,
    /// and keeps other processes from doing the same.
    pub async fn begin_migration(&self) -> Result<Tx, StoreError> {
        let name = "migrate";
        let inner = match &self.pools {
            Pools::Sqlite(pools) => TxInner::Sqlite(pools.begin(name).await?),
            Pools::Postgres(pools) => TxInner::Postgres(pools.begin_migration(name).await?),
        };
        Ok(self.begun(inner, name, 0))
    }

    /// Reads rows outside a transaction.
    pub async fn read(
        &self,
        name: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.fetch(name, sql, values).await
    }

    /// As [`Db::read`], for as many rows as `expected` that never change once they are there: from a
    /// standby, if there is one that has them all.
    pub async fn read_settled(
        &self,
        name: &'static str,
        sql: &'static str,
        values: Vec<Value>,
        expected: u64,
    ) -> Result<Vec<Row>, StoreError> {
        if let Pools::Postgres(pools) = &self.pools
            && let Some(rows) = pools.fetch_aside(name, sql, values.clone()).await
            && rows.len() as u64 == expected
        {
            return Ok(rows);
        }
        self.fetch(name, sql, values).await
    }

    /// As [`Db::read`], for a statement put together at run time from constant parts.
    pub async fn read_built(
        &self,
        name: &'static str,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = match &self.pools {
            Pools::Sqlite(_) => sqlite::nameless(sql),
            Pools::Postgres(_) => sql,
        };
        self.fetch(name, AssertSqlSafe(sql), values).await
    }

    async fn fetch(
        &self,
        name: &'static str,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        match &self.pools {
            Pools::Sqlite(pools) => sqlite::fetch(&pools.readers, name, sql, values).await,
            Pools::Postgres(pools) => postgres::fetch(&pools.readers, name, sql, values).await,
        }
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
        match &self.pools {
            Pools::Sqlite(pools) => pools.close().await,
            Pools::Postgres(pools) => pools.close().await,
        }
    }
}

/// A writing transaction; dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: TxInner,
    name: &'static str,
    session: u64,
    #[cfg(test)]
    faults: std::sync::Arc<super::faults::Faults>,
}

enum TxInner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Which session with the database this transaction is in. As long as it is the same, the
    /// database is the same and was not started anew.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Runs a statement and returns how many rows it touched.
    pub async fn run(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64, StoreError> {
        #[cfg(test)]
        let fault = self.faults.at_write(self.name)?;
        let done = self.execute(sql, values).await;
        #[cfg(test)]
        fault.strike()?;
        done
    }

    /// As [`Tx::run`], for a statement put together at run time from constant parts.
    pub async fn run_built(&mut self, sql: String, values: Vec<Value>) -> Result<u64, StoreError> {
        let sql = match &self.inner {
            TxInner::Sqlite(_) => sqlite::nameless(sql),
            TxInner::Postgres(_) => sql,
        };
        self.execute(AssertSqlSafe(sql), values).await
    }

    async fn execute(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => sqlite::execute(&mut **tx, self.name, sql, values).await,
            TxInner::Postgres(tx) => postgres::execute(&mut **tx, self.name, sql, values).await,
        }
    }

    /// Runs several statements without values, such as a migration.
    pub async fn run_script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => (**tx)
                .execute(sqlx::raw_sql(sql))
                .await
                .map(|_| ())
                .map_err(|error| sqlite::failed(self.name, &error)),
            TxInner::Postgres(tx) => (**tx)
                .execute(sqlx::raw_sql(sql))
                .await
                .map(|_| ())
                .map_err(|error| postgres::failed(self.name, &error)),
        }
    }

    /// Reads rows within the transaction.
    pub async fn read(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => sqlite::fetch(&mut **tx, self.name, sql, values).await,
            TxInner::Postgres(tx) => postgres::fetch(&mut **tx, self.name, sql, values).await,
        }
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
        #[cfg(test)]
        let fault = self.faults.at_write(self.name)?;
        let done = match self.inner {
            TxInner::Sqlite(tx) => tx
                .commit()
                .await
                .map_err(|error| sqlite::failed(self.name, &error)),
            TxInner::Postgres(tx) => postgres::commit(tx, self.name).await,
        };
        #[cfg(test)]
        fault.strike()?;
        done
    }
}
