//! What the console keeps between two requests of one browser, for a while.

use zeroize::Zeroizing;

use super::db::values;
use super::{Store, StoreError};
use crate::vault::Place;

/// By what a kept thing is found: SHA-256 of a secret that only its browser has.
pub type KeptTag = [u8; 32];

impl Store {
    /// Keeps a part of something until a moment, in milliseconds since 1970, over what was there.
    pub async fn keep_part(
        &self,
        tag: &KeptTag,
        part: u64,
        plaintext: &[u8],
        expires_ms: u64,
    ) -> Result<(), StoreError> {
        let sealed = self.seal_kept(tag, part, plaintext);
        let mut tx = self.db.begin("keep").await?;
        tx.run(
            "INSERT INTO console_kept (kept_tag, part, sealed, expires_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (kept_tag, part) DO UPDATE SET sealed = excluded.sealed,
                 expires_ms = excluded.expires_ms",
            values![*tag, part, sealed, expires_ms],
        )
        .await?;
        tx.commit().await
    }

    /// As [`Store::keep_part`], unless there is something already. Says whether this was the first.
    pub async fn keep_first(
        &self,
        tag: &KeptTag,
        plaintext: &[u8],
        expires_ms: u64,
    ) -> Result<bool, StoreError> {
        let sealed = self.seal_kept(tag, 0, plaintext);
        let mut tx = self.db.begin("keep-first").await?;
        let kept = tx
            .run(
                "INSERT INTO console_kept (kept_tag, part, sealed, expires_ms)
                 VALUES ($1, 0, $2, $3) ON CONFLICT (kept_tag, part) DO NOTHING",
                values![*tag, sealed, expires_ms],
            )
            .await?;
        tx.commit().await?;
        Ok(kept == 1)
    }

    /// A part of what is kept, unless its time has passed.
    pub async fn kept(
        &self,
        tag: &KeptTag,
        part: u64,
        now_ms: u64,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.db
            .read_one(
                "read-kept",
                "SELECT sealed FROM console_kept
                 WHERE kept_tag = $1 AND part = $2 AND expires_ms > $3",
                values![*tag, part, now_ms],
            )
            .await?
            .map(|row| {
                let at = row_of(tag, part);
                self.keys.open("kept form", place(&at), &row.blob(0)?)
            })
            .transpose()
    }

    /// Forgets all parts of what is kept.
    pub async fn forget_kept(&self, tag: &KeptTag) -> Result<(), StoreError> {
        let mut tx = self.db.begin("forget-kept").await?;
        tx.run(
            "DELETE FROM console_kept WHERE kept_tag = $1",
            values![*tag],
        )
        .await?;
        tx.commit().await
    }

    fn seal_kept(&self, tag: &KeptTag, part: u64, plaintext: &[u8]) -> Vec<u8> {
        let at = row_of(tag, part);
        self.keys.seal(place(&at), plaintext, &self.ambient)
    }
}

fn row_of(tag: &KeptTag, part: u64) -> [u8; 40] {
    let mut row = [0; 40];
    row[..32].copy_from_slice(tag);
    row[32..].copy_from_slice(&part.to_be_bytes());
    row
}

fn place(row: &[u8; 40]) -> Place<'_> {
    Place {
        table: "console_kept",
        column: "sealed",
        row,
    }
}
