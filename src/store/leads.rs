//! Leads: opaque handles on candidates, each for one asking party, until it expires.

use rand_core::CryptoRngCore;
use ring::digest::{SHA256, digest};

use super::db::{Kind, Table, Value, values};
use super::keys::Tag;
use super::{Store, StoreError};
use crate::vault::Place;

/// A lead and what the holder knows of it.
#[derive(Clone)]
pub struct Lead {
    /// The handle, 16 random octets.
    pub lead_id: [u8; 16],
    /// The party it was given to.
    pub party: String,
    /// The record behind it.
    pub record_id: u64,
    /// Tag of that record's reference: a row that was erased and its number given to another
    /// record is not what the lead was for.
    pub ref_tag: Tag,
    /// Whether more than names and dates agreed: something of the parents, a birthplace or a
    /// document.
    pub corroborated: bool,
    /// The grade it was given with, as in the protocol's `Grade`.
    pub grade: u8,
    /// When it ceases to be good, in milliseconds since 1970.
    pub expires_ms: u64,
}

impl Store {
    /// Finds a lead by its handle, expired or not.
    pub async fn lead(&self, lead_id: &[u8; 16]) -> Result<Option<Lead>, StoreError> {
        let tag = lead_tag(lead_id);
        let Some(row) = self
            .db
            .read_one(
                "read-lead",
                "SELECT sealed, expires_ms FROM leads WHERE lead_tag = $1",
                values![tag],
            )
            .await?
        else {
            return Ok(None);
        };
        let expires_ms = row.uint(1)?;
        let plaintext = self
            .keys
            .open("lead", place(&row_of(&tag, expires_ms)), &row.blob(0)?)?;
        let (head, party) = plaintext
            .split_first_chunk::<26>()
            .ok_or_else(|| StoreError::damaged("lead", "too short"))?;
        let (record_id, rest) = head
            .split_first_chunk::<8>()
            .ok_or_else(|| StoreError::damaged("lead", "too short"))?;
        let (ref_tag, marks) = rest
            .split_first_chunk::<16>()
            .ok_or_else(|| StoreError::damaged("lead", "too short"))?;
        Ok(Some(Lead {
            lead_id: *lead_id,
            party: String::from_utf8(party.to_vec())
                .map_err(|_| StoreError::damaged("lead", "party is not text"))?,
            record_id: u64::from_be_bytes(*record_id),
            ref_tag: *ref_tag,
            corroborated: marks[1] == 1,
            grade: marks[0],
            expires_ms,
        }))
    }

    /// A lead as a row of [`LEADS`].
    pub(super) fn lead_row(&self, lead: &Lead, rng: &mut dyn CryptoRngCore) -> Vec<Value> {
        let tag = lead_tag(&lead.lead_id);
        let mut plaintext = lead.record_id.to_be_bytes().to_vec();
        plaintext.extend_from_slice(&lead.ref_tag);
        plaintext.push(lead.grade);
        plaintext.push(u8::from(lead.corroborated));
        plaintext.extend_from_slice(lead.party.as_bytes());
        let at = row_of(&tag, lead.expires_ms);
        let sealed = self.keys.seal_by(place(&at), &plaintext, rng);
        values![tag, self.keys.about(lead.ref_tag), sealed, lead.expires_ms]
    }

    /// Forgets leads that expired before `before_ms`, queries that could be replayed no more, and
    /// what was used of quotas whose period is over.
    pub async fn forget_expired(&self, before_ms: u64) -> Result<u64, StoreError> {
        let mut tx = self.db.begin("forget-expired").await?;
        let leads = tx
            .run(
                "DELETE FROM leads WHERE expires_ms < $1",
                values![before_ms],
            )
            .await?;
        let seen = tx
            .run("DELETE FROM seen WHERE expires_ms < $1", values![before_ms])
            .await?;
        let quotas = tx
            .run(
                "DELETE FROM quotas WHERE expires_ms < $1",
                values![before_ms],
            )
            .await?;
        let kept = tx
            .run(
                "DELETE FROM console_kept WHERE expires_ms < $1",
                values![before_ms],
            )
            .await?;
        tx.commit().await?;
        Ok(leads + seen + quotas + kept)
    }
}

/// Rows of leads.
pub(super) static LEADS: Table = Table::new(
    "leads",
    &[
        ("lead_tag", Kind::Blob),
        ("about_tag", Kind::Blob),
        ("sealed", Kind::Blob),
        ("expires_ms", Kind::Int),
    ],
    "",
);

fn lead_tag(lead_id: &[u8; 16]) -> [u8; 32] {
    let mut tag = [0; 32];
    tag.copy_from_slice(digest(&SHA256, lead_id).as_ref());
    tag
}

/// A lead opens under its own tag and its own expiry: who can write the database cannot prolong it.
fn row_of(tag: &[u8; 32], expires_ms: u64) -> [u8; 40] {
    let mut row = [0; 40];
    row[..32].copy_from_slice(tag);
    row[32..].copy_from_slice(&expires_ms.to_be_bytes());
    row
}

fn place(row: &[u8; 40]) -> Place<'_> {
    Place {
        table: "leads",
        column: "sealed",
        row,
    }
}
