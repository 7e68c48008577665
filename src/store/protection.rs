//! Alerts on protected records: what the holder's own people have to see, sealed, each raised once.

use zeroize::Zeroizing;

use super::db::{Tx, values};
use super::keys::{Tag, TagKind};
use super::{Store, StoreError};
use crate::vault::Place;

/// An alert to be raised.
pub struct NewAlert {
    /// The leaf of the lookup that it is about; none for the act it is raised with.
    pub leaf_index: Option<u64>,
    /// Which subject of that lookup, from 0.
    pub subject: u32,
    /// The reference of the record that it is about.
    pub record_ref: String,
    /// What it says.
    pub plaintext: Zeroizing<Vec<u8>>,
}

/// An alert as it was raised.
pub struct Alert {
    /// Its number.
    pub alert_id: u64,
    /// The leaf of the lookup that it is about.
    pub leaf_index: u64,
    /// When it was raised, in milliseconds since 1970.
    pub raised_ms: u64,
    /// Whether somebody has taken note of it.
    pub seen: bool,
    /// What it says.
    pub plaintext: Zeroizing<Vec<u8>>,
}

impl Store {
    /// Up to `limit` alerts after number `after`, in their order; those that somebody has taken
    /// note of only if `seen`.
    pub async fn alerts(
        &self,
        after: u64,
        limit: u64,
        seen: bool,
    ) -> Result<Vec<Alert>, StoreError> {
        let rows = self
            .db
            .read(
                "list-alerts",
                "SELECT alert_id, raised_ms, CASE WHEN seen_ms IS NULL THEN 0 ELSE 1 END,
                        alert_tag, sealed, leaf_index
                 FROM protection_alerts WHERE alert_id > $1 AND (seen_ms IS NULL OR $2 = 1)
                 ORDER BY alert_id LIMIT $3",
                values![after, i64::from(seen), limit],
            )
            .await?;
        let mut alerts = Vec::with_capacity(rows.len());
        for row in rows {
            let tag: Tag = row.array(3)?;
            alerts.push(Alert {
                alert_id: row.uint(0)?,
                leaf_index: row.uint(5)?,
                raised_ms: row.uint(1)?,
                seen: row.int(2)? == 1,
                plaintext: self.keys.open("alert", place(&tag), &row.blob(4)?)?,
            });
        }
        Ok(alerts)
    }

    /// How many alerts nobody has taken note of.
    pub async fn open_alerts(&self) -> Result<u64, StoreError> {
        self.db
            .read_one(
                "count-alerts",
                "SELECT count(*) FROM protection_alerts WHERE seen_ms IS NULL",
                vec![],
            )
            .await?
            .map_or(Ok(0), |row| row.uint(0))
    }

    /// Takes note of an alert. False if there is none of that number.
    pub async fn see_alert(&self, alert_id: u64) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("see-alert").await?;
        let found = tx
            .run(
                "UPDATE protection_alerts SET seen_ms = coalesce(seen_ms, $2) WHERE alert_id = $1",
                values![alert_id, self.ambient.now_ms()],
            )
            .await?;
        tx.commit().await?;
        Ok(found > 0)
    }

    pub(super) async fn raise(
        &self,
        tx: &mut Tx,
        leaf_index: u64,
        alert: &NewAlert,
    ) -> Result<(), StoreError> {
        let leaf_index = alert.leaf_index.unwrap_or(leaf_index);
        let record_ref = alert.record_ref.as_bytes();
        let tag = self.keys.tag(
            TagKind::Alert,
            &[
                &leaf_index.to_be_bytes(),
                &alert.subject.to_be_bytes(),
                record_ref,
            ],
        );
        let sealed = self.keys.seal(place(&tag), &alert.plaintext, &self.ambient);
        tx.run(
            "INSERT INTO protection_alerts (alert_tag, about_tag, leaf_index, raised_ms, seen_ms, sealed)
             VALUES ($1, $2, $3, $4, NULL, $5) ON CONFLICT (alert_tag) DO NOTHING",
            values![
                tag,
                self.keys
                    .about(self.keys.tag(TagKind::Reference, &[record_ref])),
                leaf_index,
                self.ambient.now_ms(),
                sealed
            ],
        )
        .await?;
        Ok(())
    }

    /// The leaf up to which lookups were compared with silent records.
    pub async fn silent_checked_to(&self) -> Result<u64, StoreError> {
        self.db
            .read_one(
                "silent-state",
                "SELECT checked FROM silent_state WHERE id = 1",
                vec![],
            )
            .await?
            .map_or(Ok(0), |row| row.uint(0))
    }

    pub(super) async fn silent_checked(tx: &mut Tx, end: u64) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO silent_state (id, checked, since) VALUES (1, $1, NULL)
             ON CONFLICT (id) DO UPDATE SET checked = excluded.checked",
            values![end],
        )
        .await?;
        Ok(())
    }
}

fn place(tag: &Tag) -> Place<'_> {
    Place {
        table: "protection_alerts",
        column: "sealed",
        row: tag,
    }
}
