//! What was answered before, and what was used of a quota.

use super::db::{Among, Kind, Table, values};
use super::keys::Tag;
use super::{Store, StoreError};

/// Which of some queries were answered.
pub(super) static ANSWERED: Among =
    Among::new("SELECT seen_tag, query_digest, leaf_index FROM seen WHERE seen_tag");

/// Rows of answered queries.
pub(super) static SEEN: Table = Table::new(
    "seen",
    &[
        ("seen_tag", Kind::Blob),
        ("query_digest", Kind::Blob),
        ("leaf_index", Kind::Int),
        ("expires_ms", Kind::Int),
    ],
    "",
);

/// How much of some quotas is used.
pub(super) static USED: Among = Among::new("SELECT quota_tag, used FROM quotas WHERE quota_tag");

/// Rows that add to what is used.
pub(super) static QUOTAS: Table = Table::new(
    "quotas",
    &[
        ("quota_tag", Kind::Blob),
        ("used", Kind::Int),
        ("expires_ms", Kind::Int),
    ],
    "ON CONFLICT (quota_tag) DO UPDATE SET used = quotas.used + excluded.used",
);

impl Store {
    /// The digest of the query that was answered under this tag, and the leaf of that act.
    pub async fn seen(&self, tag: Tag) -> Result<Option<([u8; 32], u64)>, StoreError> {
        let row = self
            .db
            .read_one(
                "read-seen",
                "SELECT query_digest, leaf_index FROM seen WHERE seen_tag = $1",
                values![tag],
            )
            .await?;
        row.map(|row| Ok((row.array(0)?, row.uint(1)?))).transpose()
    }

    /// How much of a quota is used.
    pub async fn quota_used(&self, tag: Tag) -> Result<u64, StoreError> {
        let row = self
            .db
            .read_one(
                "read-quota",
                "SELECT used FROM quotas WHERE quota_tag = $1",
                values![tag],
            )
            .await?;
        row.map_or(Ok(0), |row| row.uint(0))
    }
}
