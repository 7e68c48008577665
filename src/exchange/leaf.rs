//! Building leaves and the openings behind their commitments.

use prost::Message as _;
use ring::digest::{SHA256, digest};

use crate::ambient::Ambient;
use crate::proto::exchange::{Act, LogEntry, Outcome};

/// A leaf in the making.
pub struct Leaf {
    entry: LogEntry,
    opening: Vec<u8>,
}

impl Leaf {
    /// An act at this moment, of whoever is acted for. Its commitment is fresh, so that two acts with the same outcome
    /// cannot be told to have it.
    #[must_use]
    pub fn new(act: Act, ambient: &Ambient, outcome: &Outcome) -> Self {
        let mut opening = ambient.random::<16>().to_vec();
        outcome
            .encode(&mut opening)
            .expect("a vector grows as needed");
        Self {
            entry: LogEntry {
                time_ms: ambient.now_ms(),
                act: act.into(),
                commitment: commitment(&opening).to_vec(),
                operator: super::acting::account().map_or_else(Vec::new, Vec::from),
                ..LogEntry::default()
            },
            opening,
        }
    }

    /// Sets further fields.
    #[must_use]
    pub fn set(mut self, change: impl FnOnce(&mut LogEntry)) -> Self {
        change(&mut self.entry);
        self
    }

    /// The leaf's bytes, and the opening to keep as evidence.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, Vec<u8>) {
        (self.entry.encode_to_vec(), self.opening)
    }
}

/// What a leaf says of an opening.
#[must_use]
pub fn commitment(opening: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, opening).as_ref());
    hash
}
