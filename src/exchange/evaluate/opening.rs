//! Opening single elements of a batch that this node had evaluated, for an ombudsman.
//!
//! An element hides a linkage key `x` under a blind `r`: `C = H(x) + r·G`. Whoever is given `x` and `r`
//! can compute `C` and hold it against the query that the node signed and the keyholders logged; and a
//! node that made `C` of one `x` cannot find an `r` for another, for that would be the discrete logarithm
//! of a difference of two hashes. An opening without `x` would prove nothing, so it is given: of single
//! elements that the ombudsman drew, few a day, each opening a leaf of its own. The blind of one element
//! follows from the batch's seed and its position, and says nothing of any other.
//!
//! What a record's element hid is derived from the record anew. What a search's element hid is kept,
//! sealed as the seed is, for as long as it may be asked for ([`OPENABLE_MS`]), and then destroyed.

use std::sync::Arc;

use prost::Message as _;
use zeroize::Zeroizing;

use super::ELEMENT;
use crate::envelope::{ItemEvidence, items};
use crate::exchange::{Party, Refusal, enrol};
use crate::oprf::{BatchSeed, Blind, BlindedElement, check_opening};
use crate::proto::exchange as pb;
use crate::store::{EvidencePart, StoreError, StoredRecord, Tag};

/// Most elements that one query opens.
pub const OPENED_AT_ONCE: usize = 32;

/// Most elements that are opened to one ombudsman in a day.
pub const OPENED_PER_DAY: u64 = 100;

/// How long what a search's elements hid is kept, in milliseconds: 90 days.
pub const OPENABLE_MS: u64 = 90 * 86_400_000;

/// Octets of a seed.
const SEED: usize = 32;

/// Octets of the row of one element's record.
const ROW: usize = 8;

/// What is opened of a batch.
pub struct OpenedBatch {
    /// The item of the query that holds the blinded elements, with its salt, as it was signed.
    pub elements: Zeroizing<Vec<u8>>,
    /// The elements that were asked for, in their order, with their positions from 0.
    pub opened: Vec<(u32, Opened)>,
}

/// What is opened of one element.
pub enum Opened {
    /// It hid a key of a record that is held.
    Record {
        /// What hides and what was hidden.
        key: OpenedKey,
        /// The record's reference.
        record_ref: String,
        /// Its tag.
        ref_tag: Tag,
    },
    /// It hid a key of a child that was described in a search.
    Search(OpenedKey),
    /// It hid a key of a record that is not held any more as it was: erased, changed, or in another
    /// family by now.
    Gone,
    /// It hid a key of a child that was described in a search, too long ago.
    Forgotten,
    /// The seed does not open any more, as in a database that was restored from a backup.
    Unreadable,
}

/// The blind of an element, and the linkage key under it.
pub struct OpenedKey {
    /// The blind.
    pub blind: Blind,
    /// The linkage key.
    pub input: Zeroizing<Vec<u8>>,
}

/// Opens elements of the batch that was asked for at a leaf of this node's log. Positions are counted
/// from 0 and ascend.
///
/// # Errors
/// [`Refusal::Malformed`] if there is no such batch or no such element; [`Refusal::DamagedLeaf`] if the
/// query cannot be read any more.
pub async fn open_elements(
    party: &Arc<Party>,
    leaf_index: u64,
    positions: &[u32],
) -> Result<OpenedBatch, Refusal> {
    let malformed = |what: &'static str, why: &str| Refusal::Malformed {
        what,
        why: why.to_owned(),
    };
    let ascending = positions.is_sorted_by(|one, next| one < next);
    if positions.is_empty() || positions.len() > OPENED_AT_ONCE || !ascending {
        return Err(malformed("positions", "they are 1 to 32, and ascend"));
    }
    let unavailable = |error: StoreError| party.unavailable(&error);
    let entry = entry_at(party, leaf_index).await.map_err(unavailable)?;
    if entry.is_none_or(|entry| entry.act() != pb::Act::EvaluationAsked) {
        return Err(malformed("leaf", "no batch was asked for at it"));
    }
    let query = party
        .store()
        .evidence(leaf_index, EvidencePart::Query)
        .await
        .map_err(unavailable)?;
    let item = match query.map(|query| query.items).as_deref() {
        Some([ItemEvidence::Full(item)]) => item.clone(),
        _ => return Err(Refusal::DamagedLeaf { leaf_index }),
    };
    let body = items::split_item(&item).map(|(_, body)| body.to_vec());
    let body = body.map_err(|_| Refusal::DamagedLeaf { leaf_index })?;
    let elements = body.as_chunks::<ELEMENT>().0;
    let mut secrets = Secrets::of(party, leaf_index, elements.len())
        .await
        .map_err(unavailable)?;
    let mut opened = Vec::with_capacity(positions.len());
    for &position in positions {
        let element = elements
            .get(position as usize)
            .ok_or_else(|| malformed("positions", "the batch has not so many elements"))?;
        let element = BlindedElement::new(*element);
        let found = match &mut secrets {
            None => Opened::Unreadable,
            Some(secrets) => secrets
                .open(party, position, element)
                .await
                .map_err(unavailable)?,
        };
        opened.push((position, found));
    }
    Ok(OpenedBatch {
        elements: item,
        opened,
    })
}

/// A record, its reference and the keys of its slots.
type Looked = (StoredRecord, String, Vec<Zeroizing<Vec<u8>>>);

/// What a batch's elements are opened with.
struct Secrets {
    seed: BatchSeed,
    /// The rows of the elements' records, 0 for a search.
    rows: Vec<u64>,
    /// What the elements of searches hid, with their positions; nothing once it was destroyed.
    inputs: Option<Vec<(u32, Zeroizing<Vec<u8>>)>>,
    /// The record that was looked at last, with its keys.
    last: Option<Looked>,
}

impl Secrets {
    /// Nothing if they do not open any more.
    async fn of(
        party: &Party,
        leaf_index: u64,
        elements: usize,
    ) -> Result<Option<Self>, StoreError> {
        let store = party.store();
        let kept = store.batch_secret(leaf_index, EvidencePart::Seed).await?;
        let Some((seed, rows)) = kept
            .as_deref()
            .and_then(|kept| kept.split_first_chunk::<SEED>())
        else {
            return Ok(None);
        };
        let (rows, []) = rows.as_chunks::<ROW>() else {
            return Ok(None);
        };
        if rows.len() != elements {
            return Ok(None);
        }
        let inputs = store.batch_secret(leaf_index, EvidencePart::Inputs).await?;
        Ok(Some(Self {
            seed: BatchSeed::from_bytes(seed),
            rows: rows.iter().map(|row| u64::from_be_bytes(*row)).collect(),
            inputs: inputs.map(|inputs| read_inputs(&inputs)),
            last: None,
        }))
    }

    async fn open(
        &mut self,
        party: &Arc<Party>,
        position: u32,
        element: BlindedElement,
    ) -> Result<Opened, StoreError> {
        let blind = self.seed.open(position);
        let row = self.rows.get(position as usize).copied().unwrap_or(0);
        if row == 0 {
            return Ok(match &self.inputs {
                None => Opened::Forgotten,
                Some(inputs) => inputs.iter().find(|(at, _)| *at == position).map_or(
                    Opened::Unreadable,
                    |(_, input)| {
                        Opened::Search(OpenedKey {
                            blind,
                            input: input.clone(),
                        })
                    },
                ),
            });
        }
        let known = self.last.as_ref();
        if known.is_none_or(|(stored, ..)| stored.record_id != row) {
            self.last = match party.store().record_by_id(row).await? {
                Some(stored) => {
                    let record_ref = enrol::parse(&stored)?.record_ref.as_str().to_owned();
                    let keys = enrol::keys_of(party, &stored).await?;
                    Some((stored, record_ref, keys))
                }
                None => return Ok(Opened::Gone),
            };
        }
        let Some((stored, record_ref, keys)) = &self.last else {
            return Ok(Opened::Gone);
        };
        let (tried, hides) = (keys.clone(), blind.clone());
        let input = tokio::task::spawn_blocking(move || {
            let mut keys = tried.into_iter();
            keys.find(|key| check_opening(&hides, key, &element).is_ok())
        });
        let input = input.await.map_err(|_| StoreError::Closed)?;
        Ok(input.map_or(Opened::Gone, |input| Opened::Record {
            key: OpenedKey { blind, input },
            record_ref: record_ref.clone(),
            ref_tag: stored.ref_tag(),
        }))
    }
}

/// What the elements of searches hid, as it is sealed: position (4 octets), length (2), the key.
pub(super) fn write_inputs<'a>(
    searched: impl Iterator<Item = (u32, &'a [u8])>,
) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    for (position, input) in searched {
        bytes.extend_from_slice(&position.to_be_bytes());
        // A key has less than this: longer ones are refused when they are blinded.
        let length = u16::try_from(input.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(input.get(..length.into()).unwrap_or_default());
    }
    bytes
}

/// Reads it, as far as it can be read.
fn read_inputs(mut bytes: &[u8]) -> Vec<(u32, Zeroizing<Vec<u8>>)> {
    let mut inputs = Vec::new();
    while let Some((position, rest)) = bytes.split_first_chunk::<4>()
        && let Some((length, rest)) = rest.split_first_chunk::<2>()
        && let Some((input, rest)) = rest.split_at_checked(u16::from_be_bytes(*length).into())
    {
        inputs.push((
            u32::from_be_bytes(*position),
            Zeroizing::new(input.to_vec()),
        ));
        bytes = rest;
    }
    inputs
}

/// A leaf of this node's log, if there is one that can be read.
async fn entry_at(party: &Party, index: u64) -> Result<Option<pb::LogEntry>, StoreError> {
    let leaves = party.store().leaves(index, 1).await?;
    let leaf = leaves.first();
    Ok(leaf.and_then(|leaf| pb::LogEntry::decode(leaf.as_slice()).ok()))
}

/// Destroys what was kept to open elements of searches, and what was opened, behind leaves that are
/// older than [`OPENABLE_MS`]. Tells behind how many leaves there was any.
///
/// # Errors
/// If the store fails; the next round goes on.
pub async fn forget_inputs(party: &Party) -> Result<u64, StoreError> {
    let before_ms = party.ambient().now_ms().saturating_sub(OPENABLE_MS);
    // Leaves stand in the order of time but for the minutes that an act may take.
    let (mut old, mut end) = (0, party.store().checkpoint().await?.map_or(0, |log| log.0));
    while old < end {
        let middle = old + (end - old) / 2;
        let entry = entry_at(party, middle).await?;
        let time_ms = entry.map_or(u64::MAX, |entry| entry.time_ms);
        if time_ms < before_ms {
            old = middle + 1;
        } else {
            end = middle;
        }
    }
    party.store().forget_inputs_before(old).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_searches_hid_is_read_as_it_was_written_and_cut_off_where_it_ends() {
        let kept = [(3, b"one".as_slice()), (7, b""), (1_000, b"three")];
        let bytes = write_inputs(kept.into_iter());
        let read = read_inputs(&bytes);
        let read: Vec<(u32, &[u8])> = read
            .iter()
            .map(|(position, input)| (*position, input.as_slice()))
            .collect();
        assert_eq!(read, kept);
        for cut in 0..bytes.len() {
            assert!(read_inputs(&bytes[..cut]).len() < kept.len());
        }
    }
}
