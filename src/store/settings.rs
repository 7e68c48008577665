//! Single named values.

use super::db::{Row, Tx, values};
use super::{Store, StoreError};
use crate::vault::Place;

const READ: &str = "SELECT value FROM settings WHERE name = $1";

impl Store {
    /// Reads a setting.
    pub async fn setting(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self
            .db
            .read_one("read-setting", READ, values![name])
            .await?;
        row.map(|row| self.opened(name, &row)).transpose()
    }

    /// Writes a setting, sealed.
    pub async fn set_setting(&self, name: &'static str, value: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("write-setting").await?;
        self.put_setting(&mut tx, name, value).await?;
        tx.commit().await
    }

    /// Writes a setting in place of the value that was read; `false` if another stands there by now.
    pub async fn replace_setting(
        &self,
        name: &'static str,
        read: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("replace-setting").await?;
        if !self.setting_is(&mut tx, name, read).await? {
            return Ok(false);
        }
        self.put_setting(&mut tx, name, value).await?;
        tx.commit().await.map(|()| true)
    }

    pub(super) async fn setting_is(
        &self,
        tx: &mut Tx,
        name: &'static str,
        expected: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let row = tx.read_one(READ, values![name]).await?;
        let found = row.map(|row| self.opened(name, &row)).transpose()?;
        Ok(found.as_deref() == expected)
    }

    fn opened(&self, name: &'static str, row: &Row) -> Result<Vec<u8>, StoreError> {
        let opened = self.keys.open("setting", place(name), &row.blob(0)?)?;
        Ok(opened.to_vec())
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
