//! How often a party has touched a record with ever other tokens.

use rand_core::CryptoRngCore;

use super::db::{Among, Kind, Table, Value, values};
use super::keys::Tag;
use super::{Store, StoreError};
use crate::vault::Place;

/// Octets of one set's digest, and of a token.
const SET: usize = 16;

/// The distinct token sets of one party that touched one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeState {
    /// How many sets were noted before; what is written must build on this very state.
    pub version: u64,
    /// Digests of the sets, in the order of their coming.
    pub sets: Vec<[u8; SET]>,
    /// Tokens of those sets that touched the record, in ascending order.
    pub touched: Vec<[u8; SET]>,
    /// The grade that the last of them was given.
    pub grade: u8,
    /// Tag of the record's reference.
    pub ref_tag: Tag,
}

impl Store {
    /// What is noted under a tag ([`TagKind::Probe`](super::TagKind::Probe)) about the record of a
    /// reference.
    pub async fn probe_state(&self, tag: Tag, ref_tag: Tag) -> Result<ProbeState, StoreError> {
        let Some(row) = self
            .db
            .read_one(
                "read-probes",
                "SELECT version, sealed FROM probes WHERE probe_tag = $1",
                values![tag],
            )
            .await?
        else {
            return Ok(ProbeState {
                ref_tag,
                ..ProbeState::default()
            });
        };
        let plaintext = self.keys.open("probes", place(&tag), &row.blob(1)?)?;
        let damaged = || StoreError::damaged("probes", "they have another length");
        let [grade, count, rest @ ..] = plaintext.as_slice() else {
            return Err(damaged());
        };
        let (chunks, []) = rest.as_chunks::<SET>() else {
            return Err(damaged());
        };
        let (sets, touched) = chunks
            .split_at_checked(usize::from(*count))
            .ok_or_else(damaged)?;
        Ok(ProbeState {
            version: row.uint(0)?,
            sets: sets.to_vec(),
            touched: touched.to_vec(),
            grade: *grade,
            ref_tag,
        })
    }

    /// The state under a tag as a row of [`PROBES`].
    pub(super) fn probes_row(
        &self,
        tag: Tag,
        state: &ProbeState,
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<Value> {
        // At most the probe limit, which is far below 255.
        let count = u8::try_from(state.sets.len()).unwrap_or(u8::MAX);
        let mut plaintext = vec![state.grade, count];
        plaintext.extend(state.sets.iter().flatten());
        plaintext.extend(state.touched.iter().flatten());
        let sealed = self.keys.seal_by(place(&tag), &plaintext, rng);
        values![
            tag,
            state.sets.len() as u64,
            sealed,
            self.keys.about(state.ref_tag)
        ]
    }
}

/// Which versions the states under some tags have.
pub(super) static VERSIONS: Among =
    Among::new("SELECT probe_tag, version FROM probes WHERE probe_tag");

/// Rows of such states.
pub(super) static PROBES: Table = Table::new(
    "probes",
    &[
        ("probe_tag", Kind::Blob),
        ("version", Kind::Int),
        ("sealed", Kind::Blob),
        ("about_tag", Kind::Blob),
    ],
    "ON CONFLICT (probe_tag) DO UPDATE SET version = excluded.version, sealed = excluded.sealed",
);

fn place(tag: &Tag) -> Place<'_> {
    Place {
        table: "probes",
        column: "sealed",
        row: tag,
    }
}
