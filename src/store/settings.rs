//! Single named values.

use super::db::{Tx, values};
use super::{Store, StoreError};
use crate::vault::Place;

impl Store {
    /// Reads a setting.
    pub async fn setting(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(row) = self
            .db
            .read_one(
                "read-setting",
                "SELECT value FROM settings WHERE name = $1",
                values![name],
            )
            .await?
        else {
            return Ok(None);
        };
        let opened = self
            .keys
            .open("setting", place(name), &row.blob(0)?)?
            .to_vec();
        Ok(Some(opened))
    }

    /// Writes a setting, sealed.
    pub async fn set_setting(&self, name: &'static str, value: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("write-setting").await?;
        self.put_setting(&mut tx, name, value).await?;
        tx.commit().await
    }

    pub(super) async fn put_setting(
        &self,
        tx: &mut Tx,
        name: &'static str,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let sealed = self.keys.seal(place(name), value, &self.ambient);
        tx.run(
            "INSERT INTO settings (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            values![name, sealed],
        )
        .await
        .map(drop)
    }
}

fn place(name: &'static str) -> Place<'static> {
    Place {
        table: "settings",
        column: "value",
        row: name.as_bytes(),
    }
}
