//! The schema and its migrations: forward only, each in one transaction, and never on a database
//! that a newer program has written.

use super::StoreError;
use super::db::{Db, values};

const MIGRATIONS: &[&str] = &[include_str!("migrations/sqlite/0001_node.sql")];

/// The newest schema version this program knows.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the database up to [`VERSION`].
pub async fn migrate(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin("schema-version").await?;
    tx.run_script("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        .await?;
    let found = match tx
        .read_one(
            "SELECT max(version) FROM schema_version WHERE version IS NOT NULL HAVING count(*) > 0",
            vec![],
        )
        .await?
    {
        Some(row) => row.int(0)?,
        None => 0,
    };
    tx.commit().await?;
    if found > VERSION {
        return Err(StoreError::UnknownSchema {
            found,
            known: VERSION,
        });
    }
    for (index, script) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let version = index as i64 + 1;
        let mut tx = db.begin("migrate").await?;
        let wrong = |error: StoreError| StoreError::Migration {
            version,
            reason: error.to_string(),
        };
        tx.run_script(script).await.map_err(wrong)?;
        tx.run(
            "INSERT INTO schema_version (version) VALUES ($1)",
            values![version],
        )
        .await
        .map_err(wrong)?;
        tx.commit().await?;
    }
    Ok(())
}
