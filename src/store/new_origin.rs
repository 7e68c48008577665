//! Giving a log up: its leaves and their evidence are set aside, so that a new log can begin.

use super::db::values;
use super::{Store, StoreError};

/// The name of the setting that the first leaf of the new log is made of.
const CONTINUES: &str = "log_continues";

impl Store {
    /// Sets the log aside with all evidence behind it, and remembers what the first leaf of the next
    /// one states. All in one transaction; sealed values stay as they are.
    ///
    /// # Errors
    /// If the database fails; it is then as it was.
    pub async fn set_log_aside(&self, continues: &str) -> Result<(), StoreError> {
        self.set_setting(CONTINUES, continues.as_bytes()).await?;
        let mut tx = self.db.begin("set-log-aside").await?;
        let number = tx
            .read_one(
                "SELECT coalesce(max(log_number), 0) + 1 FROM old_logs",
                vec![],
            )
            .await?
            .map_or(Ok(1), |row| row.int(0))?;
        for statement in [
            "INSERT INTO old_logs (log_number, size, checkpoint)
             SELECT CAST($1 AS INTEGER), size, checkpoint FROM log_state",
            "INSERT INTO old_log_leaves (log_number, leaf_index, leaf_hash, sealed)
             SELECT CAST($1 AS INTEGER), leaf_index, leaf_hash, sealed FROM log_leaves",
            "INSERT INTO old_evidence (log_number, leaf_index, part, data_key, sealed)
             SELECT CAST($1 AS INTEGER), leaf_index, part, data_key, sealed FROM evidence",
            "INSERT INTO old_evidence_items
                 (log_number, leaf_index, part, position, item_hash, data_key, sealed)
             SELECT CAST($1 AS INTEGER), leaf_index, part, position, item_hash, data_key, sealed
             FROM evidence_items",
            // What was told is erased in time wherever it lies.
            "UPDATE received_values SET log_number = CAST($1 AS INTEGER) WHERE log_number = 0",
            "UPDATE told_values SET log_number = CAST($1 AS INTEGER) WHERE log_number = 0",
        ] {
            tx.run(statement, values![number]).await?;
        }
        for statement in [
            "DELETE FROM log_leaves",
            "DELETE FROM log_nodes",
            "DELETE FROM log_state",
            "DELETE FROM log_published",
            "DELETE FROM evidence",
            "DELETE FROM evidence_items",
            // Alerts of unusual use point to leaves.
            "DELETE FROM alerts",
            "UPDATE silent_state SET checked = 0,
                 since = CASE WHEN since IS NULL THEN NULL ELSE 0 END",
            // Stored answers stood in the old log: what is asked again is done anew.
            "DELETE FROM seen",
        ] {
            tx.run(statement, vec![]).await?;
        }
        tx.commit().await
    }

    /// What the first leaf of the log states of the log before it, if there was one.
    pub async fn log_continues(&self) -> Result<Option<String>, StoreError> {
        let text = self.setting(CONTINUES).await?;
        Ok(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
    }
}
