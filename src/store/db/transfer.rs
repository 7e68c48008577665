//! Carrying a whole database over from one kind to the other, row by row.
//!
//! Both kinds have the same tables with the same columns; a test compares them. What is carried is
//! what one transaction saw.

use std::path::Path;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, TypeInfo as _, ValueRef as _};
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use super::{Backend, Db, Inner, Pools, Row, Tx, TxInner, Value, values};
use super::{postgres, sqlite};
use crate::store::StoreError;

/// How many values one statement takes: fewer than either kind's limit.
const BOUND: usize = 4_000;

/// Tables that belong to each database itself and are not carried over.
const OWN: [&str; 2] = ["schema_version", "writer"];

/// Tables in which a new database has rows already, to be replaced by those that are carried over.
const BEGUN: [&str; 1] = ["index_state"];

impl Db {
    /// Writes a consistent copy of a file's database to another file, which is not there yet. False
    /// if this is no file: then its rows are to be carried over.
    pub async fn copy_to(&self, path: &Path) -> Result<bool, StoreError> {
        match &self.pools {
            Pools::Sqlite(pools) => pools.copy_to(path).await.map(|()| true),
            Pools::Postgres(_) => Ok(false),
        }
    }

    /// Carries every row over to `to`, which has the tables and nothing in them. All or nothing.
    ///
    /// # Errors
    /// If `to` holds rows already, or a database fails.
    pub async fn carry_to(&self, to: &Self) -> Result<(), StoreError> {
        let mut from = self.begin_reading("carry-from").await?;
        let mut into = to.begin("carry-to").await?;
        for table in tables(&mut from, self.backend()).await? {
            if OWN.contains(&table.as_str()) {
                continue;
            }
            if BEGUN.contains(&table.as_str()) {
                into.run_built(format!("DELETE FROM {table}"), vec![])
                    .await?;
            }
            let held = into
                .read_built(format!("SELECT 1 FROM {table} LIMIT 1"))
                .await?;
            if !held.is_empty() {
                return Err(StoreError::NotEmpty);
            }
            from.pour(&table, &mut into).await?;
        }
        for (table, last) in numbers_given(&mut from, self.backend()).await? {
            give_numbers_beyond(&mut into, to.backend(), &table, last).await?;
        }
        into.commit().await
    }
}

async fn tables(tx: &mut Tx, backend: Backend) -> Result<Vec<String>, StoreError> {
    let sql = match backend {
        Backend::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'
             ORDER BY name"
        }
        Backend::Postgres => {
            // A table that lies in parts is one table.
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
                 AND NOT c.relispartition ORDER BY 1"
        }
    };
    tx.read(sql, vec![])
        .await?
        .iter()
        .map(|row| row.text(0))
        .collect()
}

/// The last number that each table gave to a row by itself: it is never given again.
async fn numbers_given(tx: &mut Tx, backend: Backend) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = match backend {
        Backend::Sqlite => "SELECT name, seq FROM sqlite_sequence WHERE seq > 0 ORDER BY name",
        Backend::Postgres => {
            "SELECT c.table_name::text, s.last_value
             FROM information_schema.columns c JOIN pg_sequences s
                 ON quote_ident(s.schemaname) || '.' || quote_ident(s.sequencename)
                     = pg_get_serial_sequence(quote_ident(c.table_name), c.column_name)
             WHERE c.table_schema = current_schema() AND c.is_identity = 'YES'
                 AND s.last_value IS NOT NULL
             ORDER BY 1"
        }
    };
    tx.read(sql, vec![])
        .await?
        .iter()
        .map(|row| Ok((row.text(0)?, row.int(1)?)))
        .collect()
}

async fn give_numbers_beyond(
    tx: &mut Tx,
    backend: Backend,
    table: &str,
    last: i64,
) -> Result<(), StoreError> {
    match backend {
        Backend::Sqlite => {
            tx.run(
                "DELETE FROM sqlite_sequence WHERE name = $1",
                values![table],
            )
            .await?;
            tx.run(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)",
                values![table, last],
            )
            .await?;
        }
        Backend::Postgres => {
            tx.read(
                "SELECT setval(pg_get_serial_sequence(quote_ident($1), column_name), $2)
                 FROM information_schema.columns
                 WHERE table_schema = current_schema() AND is_identity = 'YES'
                     AND table_name = $1",
                values![table, last],
            )
            .await?;
        }
    }
    Ok(())
}

impl Tx {
    /// Reads rows by a statement put together from constant parts and names of tables.
    async fn read_built(&mut self, sql: String) -> Result<Vec<Row>, StoreError> {
        match &mut self.inner {
            TxInner::Sqlite(tx) => {
                sqlite::fetch(&mut **tx, self.name, AssertSqlSafe(sql), vec![]).await
            }
            TxInner::Postgres(tx) => {
                postgres::fetch(&mut **tx, self.name, AssertSqlSafe(sql), vec![]).await
            }
        }
    }

    /// Sends every row of a table on. Rows are taken as they come, so a table of any size passes
    /// through little memory.
    async fn pour(&mut self, table: &str, into: &mut Tx) -> Result<(), StoreError> {
        let sql = AssertSqlSafe(format!("SELECT * FROM {table}"));
        let name = self.name;
        let mut batch = Batch::of(table);
        match &mut self.inner {
            TxInner::Sqlite(tx) => {
                let mut rows = sqlx::query(sql).fetch(&mut **tx);
                while let Some(row) = rows
                    .try_next()
                    .await
                    .map_err(|error| sqlite::failed(name, &error))?
                {
                    batch.take(&Row(Inner::Sqlite(row)), into).await?;
                }
            }
            TxInner::Postgres(tx) => {
                let mut rows = sqlx::query(sql).fetch(&mut **tx);
                while let Some(row) = rows
                    .try_next()
                    .await
                    .map_err(|error| postgres::failed(name, &error))?
                {
                    batch.take(&Row(Inner::Postgres(row)), into).await?;
                }
            }
        }
        batch.send(into).await
    }
}

/// Rows on their way into a table.
struct Batch<'a> {
    table: &'a str,
    columns: Vec<String>,
    values: Vec<Value>,
}

impl<'a> Batch<'a> {
    fn of(table: &'a str) -> Self {
        Self {
            table,
            columns: Vec::new(),
            values: Vec::new(),
        }
    }

    async fn take(&mut self, row: &Row, into: &mut Tx) -> Result<(), StoreError> {
        if self.columns.is_empty() {
            self.columns = row.names();
        }
        if self.values.len() + self.columns.len() > BOUND {
            self.send(into).await?;
        }
        for index in 0..self.columns.len() {
            self.values.push(row.value(index)?);
        }
        Ok(())
    }

    async fn send(&mut self, into: &mut Tx) -> Result<(), StoreError> {
        if self.values.is_empty() {
            return Ok(());
        }
        let width = self.columns.len();
        let rows: Vec<String> = (0..self.values.len() / width)
            .map(|row| {
                let places: Vec<String> = (1..=width)
                    .map(|column| format!("${}", row * width + column))
                    .collect();
                format!("({})", places.join(", "))
            })
            .collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES {}",
            self.table,
            self.columns.join(", "),
            rows.join(", ")
        );
        into.run_built(sql, std::mem::take(&mut self.values))
            .await
            .map(|_| ())
    }
}

impl Row {
    fn names(&self) -> Vec<String> {
        fn of<C: sqlx::Column>(columns: &[C]) -> Vec<String> {
            columns
                .iter()
                .map(|column| column.name().to_owned())
                .collect()
        }
        match &self.0 {
            Inner::Sqlite(row) => of(row.columns()),
            Inner::Postgres(row) => of(row.columns()),
        }
    }

    /// The value in column `index`, of whatever kind it is.
    fn value(&self, index: usize) -> Result<Value, StoreError> {
        let kind = match &self.0 {
            Inner::Sqlite(row) => sqlite_kind(row, index),
            Inner::Postgres(row) => postgres_kind(row, index),
        }
        .map_err(|error| StoreError::damaged(format!("column {index}"), error.to_string()))?;
        match kind {
            Kind::Null => Ok(Value::Null),
            Kind::Int => self.int(index).map(Value::Int),
            Kind::Blob => self.blob(index).map(Value::Blob),
            Kind::Text => self.text(index).map(Value::Text),
            Kind::Other(name) => Err(StoreError::damaged(
                format!("column {index}"),
                format!("a value of the unknown type {name}"),
            )),
        }
    }
}

enum Kind {
    Null,
    Int,
    Blob,
    Text,
    Other(String),
}

fn sqlite_kind(row: &SqliteRow, index: usize) -> Result<Kind, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    Ok(match raw.type_info().name() {
        _ if raw.is_null() => Kind::Null,
        "INTEGER" => Kind::Int,
        "BLOB" => Kind::Blob,
        "TEXT" => Kind::Text,
        other => Kind::Other(other.to_owned()),
    })
}

fn postgres_kind(row: &PgRow, index: usize) -> Result<Kind, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    Ok(match raw.type_info().name() {
        _ if raw.is_null() => Kind::Null,
        "INT8" | "INT4" => Kind::Int,
        "BYTEA" => Kind::Blob,
        "TEXT" => Kind::Text,
        other => Kind::Other(other.to_owned()),
    })
}
