//! Reading for an ombudsman: whole runs of leaves and evidence, in which damage is a result like
//! any other, so that one damaged row hides no other.

use std::collections::BTreeMap;

use super::db::{Row, values};
use super::evidence::row_key;
use super::{Evidence, EvidencePart, Store, StoreError};
use crate::envelope::ItemEvidence;

/// What is kept behind one leaf.
#[derive(Default)]
pub struct Behind {
    /// The parts that are there, whole or damaged.
    pub parts: BTreeMap<u8, KeptPart>,
}

/// One part of the evidence behind a leaf, as far as it can still be read.
#[derive(Default)]
pub struct KeptPart {
    /// The part; nothing if its envelope does not open. An item that does not open stands as
    /// erased.
    pub evidence: Option<Evidence>,
    /// What does not open, or is not what its hash says: 0 for the envelope, otherwise an item's
    /// position counted from 1.
    pub damaged: Vec<u32>,
}

impl Behind {
    /// One part, if it is there.
    #[must_use]
    pub fn part(&self, part: EvidencePart) -> Option<&KeptPart> {
        self.parts.get(&(part as u8))
    }
}

impl Store {
    /// The leaves from `start` up to `end`, each read or damaged ([`StoreError::DamagedLeaf`]).
    ///
    /// # Errors
    /// If the database fails as a whole.
    pub async fn leaves_each(
        &self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Result<Vec<u8>, StoreError>>, StoreError> {
        let rows = self
            .db
            .read_settled(
                "audit-leaves",
                "SELECT leaf_index, leaf_hash, sealed FROM log_leaves
                 WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index",
                values![start, end],
                end.saturating_sub(start),
            )
            .await?;
        let mut rows = rows.iter().peekable();
        let mut leaves = Vec::new();
        for leaf_index in start..end {
            let row = rows.next_if(|row| row.uint(0).is_ok_and(|found| found == leaf_index));
            leaves.push(match row {
                Some(row) => self
                    .open_leaf(leaf_index, row)
                    .map_err(|error| match error {
                        // A column of another type is damage of this leaf, too.
                        StoreError::Damaged { what, reason } => StoreError::DamagedLeaf {
                            leaf_index,
                            reason: format!("{what}: {reason}"),
                        },
                        other => other,
                    }),
                None => Err(StoreError::DamagedLeaf {
                    leaf_index,
                    reason: "it is missing".to_owned(),
                }),
            });
        }
        Ok(leaves)
    }

    /// All evidence behind the leaves from `start` up to `end`, by leaf. Everything is opened and
    /// held against its hash, the seed of a blinded batch included.
    ///
    /// # Errors
    /// If the database fails as a whole.
    pub async fn evidence_between(
        &self,
        start: u64,
        end: u64,
    ) -> Result<BTreeMap<u64, Behind>, StoreError> {
        let mut found: BTreeMap<u64, Behind> = BTreeMap::new();
        let rows = self
            .db
            .read(
                "audit-evidence",
                "SELECT leaf_index, part, data_key, sealed FROM evidence
                 WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index, part",
                values![start, end],
            )
            .await?;
        for row in &rows {
            let Some((leaf_index, part)) = row_place(row) else {
                continue;
            };
            let kept = found.entry(leaf_index).or_default();
            let kept = kept.parts.entry(part as u8).or_default();
            match self.open_envelope(leaf_index, part, row) {
                Ok(evidence) => kept.evidence = Some(evidence),
                Err(_) => kept.damaged.push(0),
            }
        }
        let rows = self
            .db
            .read(
                "audit-evidence-items",
                "SELECT leaf_index, part, position, item_hash, data_key, sealed
                 FROM evidence_items
                 WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index, part, position",
                values![start, end],
            )
            .await?;
        for row in &rows {
            let Some((leaf_index, part)) = row_place(row) else {
                continue;
            };
            let kept = found.entry(leaf_index).or_default();
            let kept = kept.parts.entry(part as u8).or_default();
            self.take_item(leaf_index, part, row, kept);
        }
        Ok(found)
    }

    fn open_envelope(
        &self,
        leaf_index: u64,
        part: EvidencePart,
        row: &Row,
    ) -> Result<Evidence, StoreError> {
        let at = row_key(leaf_index, part, None);
        let (wrapped, sealed) = (row.blob(2)?, row.blob(3)?);
        Ok(Evidence {
            envelope: self.open_at(leaf_index, "evidence", &at, &wrapped, &sealed)?,
            items: Vec::new(),
        })
    }

    /// Adds an item to its part. A row out of its place counts as damage of the item that should
    /// be there.
    fn take_item(&self, leaf_index: u64, part: EvidencePart, row: &Row, kept: &mut KeptPart) {
        let expected = kept
            .evidence
            .as_ref()
            .map_or(0, |evidence| evidence.items.len() as u64);
        let number = u32::try_from(expected + 1).unwrap_or(u32::MAX);
        let item = self.open_item(leaf_index, part, expected, row);
        if item.is_err() {
            kept.damaged.push(number);
        }
        let left = match item {
            Ok(item) => item,
            Err(_) => ItemEvidence::Erased(row.array(3).unwrap_or_default()),
        };
        if let Some(evidence) = &mut kept.evidence {
            evidence.items.push(left);
        }
    }

    fn open_item(
        &self,
        leaf_index: u64,
        part: EvidencePart,
        expected: u64,
        row: &Row,
    ) -> Result<ItemEvidence, StoreError> {
        let damaged =
            |reason: &str| StoreError::damaged(format!("item behind leaf {leaf_index}"), reason);
        if row.uint(2)? != expected {
            return Err(damaged("it is missing"));
        }
        let hash = row.array(3)?;
        let (wrapped, sealed) = match (row.blob_or_null(4)?, row.blob_or_null(5)?) {
            (Some(wrapped), Some(sealed)) => (wrapped, sealed),
            (None, None) => return Ok(ItemEvidence::Erased(hash)),
            _ => return Err(damaged("it has no key, or only a key")),
        };
        let at = row_key(leaf_index, part, Some(expected));
        let item = ItemEvidence::Full(self.open_at(
            leaf_index,
            "evidence_items",
            &at,
            &wrapped,
            &sealed,
        )?);
        if item.leaf_hash() == hash {
            Ok(item)
        } else {
            Err(damaged("its hash is another"))
        }
    }
}

/// Leaf and part of a row; nothing for a row whose numbers were altered, which then is missing
/// where it belongs.
fn row_place(row: &Row) -> Option<(u64, EvidencePart)> {
    // What the holder's own staff is shown of an answer, and what is kept for a time, is no evidence.
    let part = EvidencePart::from_number(row.uint(1).ok()?)
        .filter(|part| ![EvidencePart::Review, EvidencePart::Inputs].contains(part))?;
    Some((row.uint(0).ok()?, part))
}
