//! What was answered before, and what was used of a quota.

use super::db::values;
use super::keys::Tag;
use super::{Store, StoreError};

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
