//! A consistent copy of the database while it is in use, and getting rid of what was erased.

use std::path::Path;

use super::db::{Db, values};
use super::{Store, StoreError, schema};
use crate::vault::VaultError;

/// What a copy of the database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Leaves of the log.
    pub size: u64,
    /// The checkpoint that covers them, as a signed note; empty before the first leaf.
    pub checkpoint: String,
    /// Records.
    pub records: u64,
}

impl Store {
    /// Writes a consistent copy of the database to `path`, a file that must not be there yet, as an
    /// SQLite database, whichever kind this one is. Acts go on meanwhile.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn snapshot(&self, path: &Path) -> Result<Snapshot, StoreError> {
        if !self.db.copy_to(path).await? {
            let copy = Db::open(&format!("sqlite:{}", path.display())).await?;
            let carried = async {
                schema::migrate(&copy).await?;
                self.db.carry_to(&copy).await?;
                copy.empty_log().await
            }
            .await;
            copy.close().await;
            carried?;
        }
        Self::look_at(path).await
    }

    /// Carries a copy that [`Store::snapshot`] made into the database at `address`, which has
    /// nothing in it yet: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] if there is something in it; or a database fails.
    pub async fn load_copy(path: &Path, address: &str) -> Result<(), StoreError> {
        let copy = Db::open_copy(path).await?;
        let loaded = async {
            let db = Db::open(address).await?;
            let carried = async {
                schema::migrate(&db).await?;
                copy.carry_to(&db).await
            }
            .await;
            db.close().await;
            carried
        }
        .await;
        copy.close().await;
        loaded
    }

    /// Says what a copy of the database holds, and that it is whole.
    ///
    /// # Errors
    /// If it cannot be opened or is damaged.
    pub async fn look_at(path: &Path) -> Result<Snapshot, StoreError> {
        let db = Db::open_copy(path).await?;
        let looked = async {
            let whole = db
                .read_one("integrity", "PRAGMA integrity_check(1)", vec![])
                .await?
                .ok_or_else(|| StoreError::damaged("copy of the database", "it says nothing"))?
                .text(0)?;
            if whole != "ok" {
                return Err(StoreError::damaged("copy of the database", whole));
            }
            let log = db
                .read_one(
                    "read-checkpoint",
                    "SELECT size, checkpoint FROM log_state WHERE id = 1",
                    vec![],
                )
                .await?;
            let (size, checkpoint) = match log {
                Some(row) => (row.uint(0)?, row.text(1)?),
                None => (0, String::new()),
            };
            let records = db
                .read_one(
                    "count-records",
                    "SELECT count(*) FROM records WHERE newest = 1",
                    vec![],
                )
                .await?
                .map_or(Ok(0), |row| row.uint(0))?;
            Ok(Snapshot {
                size,
                checkpoint,
                records,
            })
        }
        .await;
        db.close().await;
        looked
    }

    /// How many records open, and how many do not because their wrapping key is destroyed.
    ///
    /// # Errors
    /// If the database fails, or a record does not open for another reason.
    pub async fn count_readable(&self) -> Result<(u64, u64), StoreError> {
        let (mut readable, mut destroyed) = (0, 0);
        let mut after = 0;
        loop {
            let rows = self
                .db
                .read(
                    "record-rows",
                    "SELECT record_id, state, family_tag, ref_tag, data_key, sealed FROM records
                     WHERE record_id > $1 ORDER BY record_id LIMIT 500",
                    values![after],
                )
                .await?;
            let Some(last) = rows.last() else {
                return Ok((readable, destroyed));
            };
            after = last.uint(0)?;
            for row in &rows {
                match self.open_record(row) {
                    Ok(_) => readable += 1,
                    Err(StoreError::Sealed {
                        source: VaultError::UnknownWrappingKey { .. },
                        ..
                    }) => destroyed += 1,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Makes old pages unreadable that hold what was erased. False if readers were in the way: try
    /// again later.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        self.db.empty_log().await
    }
}
