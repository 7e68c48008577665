//! The schema and its migrations: forward only, all or none, and never on a database that a newer
//! program has written.

use super::StoreError;
use super::db::{Backend, Db, values};

/// One migration, as each database wants it.
struct Migration {
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[Migration {
    sqlite: include_str!("migrations/sqlite/0001_node.sql"),
    postgres: include_str!("migrations/postgres/0001_node.sql"),
}];

/// The newest schema version this program knows.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the database up to [`VERSION`].
pub async fn migrate(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin_migration().await?;
    tx.run_script("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .await?;
    let found = match tx
        .read_one(
            "SELECT max(version) FROM schema_version HAVING count(*) > 0",
            vec![],
        )
        .await?
    {
        Some(row) => row.int(0)?,
        None => 0,
    };
    if found > VERSION {
        return Err(StoreError::UnknownSchema {
            found,
            known: VERSION,
        });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS).skip(found as usize) {
        let wrong = |error: StoreError| StoreError::Migration {
            version,
            reason: error.to_string(),
        };
        let script = match db.backend() {
            Backend::Sqlite => migration.sqlite,
            Backend::Postgres => migration.postgres,
        };
        tx.run_script(script).await.map_err(wrong)?;
        tx.run(
            "INSERT INTO schema_version (version) VALUES ($1)",
            values![version],
        )
        .await
        .map_err(wrong)?;
    }
    tx.commit().await
}
