//! The envelopes behind the log's leaves, and their items, each sealed under its own key.

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use super::db::{Kind, Row, Table, Value, values};
use super::{Store, StoreError};
use crate::envelope::ItemEvidence;
use crate::vault::Place;

/// Which part of the evidence behind a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidencePart {
    /// The signed query.
    Query = 0,
    /// The signed answer.
    Answer = 1,
    /// The opening of the leaf's commitment.
    Opening = 2,
    /// The seed of a blinded batch, with the source of each element. Never served as it is.
    Seed = 3,
    /// What the member's own staff is shown of a lookup that found something. Never served.
    Review = 4,
    /// What an act brought into force, such as a roster.
    Document = 5,
    /// What the elements of a blinded batch hid that no record holds; empty behind a leaf at which such
    /// was opened. Destroyed after a time. Never served as it is.
    Inputs = 6,
}

impl EvidencePart {
    /// The part with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Query),
            1 => Some(Self::Answer),
            2 => Some(Self::Opening),
            3 => Some(Self::Seed),
            4 => Some(Self::Review),
            5 => Some(Self::Document),
            6 => Some(Self::Inputs),
            _ => None,
        }
    }
}

/// A signed message, or an opening, as it is kept.
#[derive(Clone)]
pub struct Evidence {
    /// The serialised envelope, without items; for an opening, the opening.
    pub envelope: Zeroizing<Vec<u8>>,
    /// The items, in order.
    pub items: Vec<ItemEvidence>,
}

impl Evidence {
    /// Evidence without items.
    #[must_use]
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self {
            envelope: Zeroizing::new(bytes),
            items: Vec::new(),
        }
    }
}

impl Store {
    /// Reads one part of the evidence behind a leaf.
    pub async fn evidence(
        &self,
        leaf_index: u64,
        part: EvidencePart,
    ) -> Result<Option<Evidence>, StoreError> {
        let Some(row) = self
            .db
            .read_one(
                "read-evidence",
                "SELECT data_key, sealed FROM evidence WHERE leaf_index = $1 AND part = $2",
                values![leaf_index, part as i64],
            )
            .await?
        else {
            return Ok(None);
        };
        let items = self
            .db
            .read(
                "read-evidence-items",
                "SELECT position, item_hash, data_key, sealed FROM evidence_items
                 WHERE leaf_index = $1 AND part = $2 ORDER BY position",
                values![leaf_index, part as i64],
            )
            .await?;
        self.open_evidence(leaf_index, part, &row, &items).map(Some)
    }

    /// Opens what a blinded batch can be opened with: its seed with the sources of its elements, or what
    /// those hid. Nothing if it is not there, or is sealed under a token key of before.
    ///
    /// # Errors
    /// If the database fails, or the evidence is damaged.
    pub async fn batch_secret(
        &self,
        leaf_index: u64,
        part: EvidencePart,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(kept) = self.evidence(leaf_index, part).await? else {
            return Ok(None);
        };
        let at = row_key(leaf_index, part, None);
        let place = place("evidence", secret_column(part), &at);
        Ok(self.keys.token_key().open(place, &kept.envelope).ok())
    }

    /// Destroys what blinded batches hid, and what was opened of any, behind leaves before this one.
    /// Tells behind how many leaves there was any.
    ///
    /// # Errors
    /// If the database fails; nothing is then destroyed.
    pub async fn forget_inputs_before(&self, leaf_index: u64) -> Result<u64, StoreError> {
        let mut tx = self.db.begin("forget-inputs").await?;
        let counted = tx
            .read_one(
                "SELECT count(*) FROM evidence WHERE part = 6 AND leaf_index < $1",
                values![leaf_index],
            )
            .await?;
        let found = counted.map_or(Ok(0), |row| row.uint(0))?;
        if found > 0 {
            for sql in [
                "UPDATE evidence_items SET data_key = NULL, sealed = NULL
                 WHERE part = 1 AND leaf_index IN
                     (SELECT leaf_index FROM evidence WHERE part = 6 AND leaf_index < $1)",
                "DELETE FROM evidence WHERE part = 6 AND leaf_index < $1",
            ] {
                tx.run(sql, values![leaf_index]).await?;
            }
        }
        tx.commit().await?;
        Ok(found)
    }

    /// Reads one part of the evidence behind a leaf of a log that was given up.
    pub async fn old_evidence(
        &self,
        log_number: u64,
        leaf_index: u64,
        part: EvidencePart,
    ) -> Result<Option<Evidence>, StoreError> {
        let Some(row) = self
            .db
            .read_one(
                "read-old-evidence",
                "SELECT data_key, sealed FROM old_evidence
                 WHERE log_number = $1 AND leaf_index = $2 AND part = $3",
                values![log_number, leaf_index, part as i64],
            )
            .await?
        else {
            return Ok(None);
        };
        let items = self
            .db
            .read(
                "read-old-evidence-items",
                "SELECT position, item_hash, data_key, sealed FROM old_evidence_items
                 WHERE log_number = $1 AND leaf_index = $2 AND part = $3 ORDER BY position",
                values![log_number, leaf_index, part as i64],
            )
            .await?;
        self.open_evidence(leaf_index, part, &row, &items).map(Some)
    }

    /// Opens what was read; it is bound to the place it first had, whichever log that belongs to.
    fn open_evidence(
        &self,
        leaf_index: u64,
        part: EvidencePart,
        row: &Row,
        rows: &[Row],
    ) -> Result<Evidence, StoreError> {
        let at = row_key(leaf_index, part, None);
        let wrapped = row.blob(0)?;
        let envelope = self.open_at(leaf_index, "evidence", &at, &wrapped, &row.blob(1)?)?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(wrapped), Some(sealed)) = (row.blob_or_null(2)?, row.blob_or_null(3)?) else {
                items.push(ItemEvidence::Erased(row.array(1)?));
                continue;
            };
            let at = row_key(leaf_index, part, Some(row.uint(0)?));
            let item = self.open_at(leaf_index, "evidence_items", &at, &wrapped, &sealed)?;
            items.push(ItemEvidence::Full(item));
        }
        Ok(Evidence { envelope, items })
    }

    /// What was kept for the member's own staff behind leaves before `before`, newest first, at most
    /// `limit`: each with its leaf.
    ///
    /// # Errors
    /// If the database fails, or one cannot be opened.
    pub async fn reviews_before(
        &self,
        before: u64,
        limit: u64,
    ) -> Result<Vec<(u64, Zeroizing<Vec<u8>>)>, StoreError> {
        let rows = self
            .db
            .read(
                "list-reviews",
                "SELECT leaf_index, data_key, sealed FROM evidence
                 WHERE part = 4 AND leaf_index < $1 ORDER BY leaf_index DESC LIMIT $2",
                values![before, limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let leaf_index = row.uint(0)?;
                let at = row_key(leaf_index, EvidencePart::Review, None);
                let (wrapped, sealed) = (row.blob(1)?, row.blob(2)?);
                let kept = self.open_at(leaf_index, "evidence", &at, &wrapped, &sealed)?;
                Ok((leaf_index, kept))
            })
            .collect()
    }

    pub(super) fn open_at(
        &self,
        leaf_index: u64,
        table: &'static str,
        at: &[u8],
        wrapped: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let damaged = |error: &dyn std::error::Error| {
            StoreError::damaged(
                format!("evidence behind leaf {leaf_index}"),
                error.to_string(),
            )
        };
        self.keys
            .open_row("evidence", table, at, wrapped, sealed)
            .map_err(|error| damaged(&error))
    }

    /// One part of the evidence behind a leaf as rows of [`EVIDENCE`] and [`EVIDENCE_ITEMS`].
    pub(super) fn evidence_rows(
        &self,
        leaf_index: u64,
        part: EvidencePart,
        evidence: &Evidence,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<Value>, Vec<Vec<Value>>), StoreError> {
        let at = row_key(leaf_index, part, None);
        let (wrapped, sealed) = match part {
            // With a batch's seed its tokens can be made out of its evidence: it is sealed a second
            // time under the token key, as the tokens themselves are.
            EvidencePart::Seed | EvidencePart::Inputs => {
                let place = place("evidence", secret_column(part), &at);
                let inner = self.keys.token_key().seal(place, &evidence.envelope, rng);
                self.keys.seal_row_by("evidence", &at, &inner, rng)?
            }
            _ => self
                .keys
                .seal_row_by("evidence", &at, &evidence.envelope, rng)?,
        };
        let mut items = Vec::with_capacity(evidence.items.len());
        for (position, item) in evidence.items.iter().enumerate() {
            let position = position as u64;
            let (wrapped, sealed) = match item {
                ItemEvidence::Full(item) => {
                    let at = row_key(leaf_index, part, Some(position));
                    let (wrapped, sealed) =
                        self.keys.seal_row_by("evidence_items", &at, item, rng)?;
                    (Some(wrapped), Some(sealed))
                }
                ItemEvidence::Erased(_) => (None, None),
            };
            items.push(values![
                leaf_index,
                part as i64,
                position,
                item.leaf_hash(),
                wrapped,
                sealed
            ]);
        }
        Ok((values![leaf_index, part as i64, wrapped, sealed], items))
    }
}

/// Rows of evidence.
pub(super) static EVIDENCE: Table = Table::new(
    "evidence",
    &[
        ("leaf_index", Kind::Int),
        ("part", Kind::Int),
        ("data_key", Kind::Blob),
        ("sealed", Kind::Blob),
    ],
    "",
);

/// Rows of its items.
pub(super) static EVIDENCE_ITEMS: Table = Table::new(
    "evidence_items",
    &[
        ("leaf_index", Kind::Int),
        ("part", Kind::Int),
        ("position", Kind::Int),
        ("item_hash", Kind::Blob),
        ("data_key", Kind::Blob),
        ("sealed", Kind::Blob),
    ],
    "",
);

pub(super) fn row_key(leaf_index: u64, part: EvidencePart, position: Option<u64>) -> Vec<u8> {
    let mut key = leaf_index.to_be_bytes().to_vec();
    key.push(part as u8);
    if let Some(position) = position {
        key.extend_from_slice(&position.to_be_bytes());
    }
    key
}

/// Where the second seal of a batch's secrets binds them to.
fn secret_column(part: EvidencePart) -> &'static str {
    match part {
        EvidencePart::Inputs => "inputs",
        _ => "seed",
    }
}

fn place<'a>(table: &'a str, column: &'a str, row: &'a [u8]) -> Place<'a> {
    Place { table, column, row }
}
