//! Which leaves are alerts, so that the newest are found without reading the log.

use super::db::{Tx, values};
use super::{Store, StoreError};

impl Store {
    pub(super) async fn show_alert(tx: &mut Tx, leaf_index: u64) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO alerts (leaf_index) VALUES ($1)",
            values![leaf_index],
        )
        .await
        .map(drop)
    }

    /// The indexes of the newest alerts' leaves, the newest first, at most `count`.
    pub async fn newest_alerts(&self, count: u64) -> Result<Vec<u64>, StoreError> {
        let rows = self
            .db
            .read(
                "read-alerts",
                "SELECT leaf_index FROM alerts ORDER BY leaf_index DESC LIMIT $1",
                values![count],
            )
            .await?;
        rows.iter().map(|row| row.uint(0)).collect()
    }
}
