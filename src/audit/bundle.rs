//! Evidence in one file, which anybody checks without asking a node.
//!
//! A bundle holds leaves of one or more logs, whole logs or single acts, each leaf with its C2SP
//! `tlog-proof`, the signed messages behind it and the opening of its commitment; and the roots and
//! rosters by which their signatures are judged. Disclosed values are not in it, only their salted
//! commitments, so that it proves the same after the data was erased, and tells nobody what it was.
//!
//! The reader brings two things: the coalition's root document, and, to find out a log that was
//! rolled back or forked, whatever checkpoints of it were seen before.

mod check;
mod gather;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::proto::exchange as pb;
use crate::roster::{Bytes32, MemberId, RosterError, Timestamp};

pub use check::{Anchors, CheckedBundle, CheckedLog, check};
pub use gather::{Choice, gather};

const FORMAT: &str = "wayhome/audit-bundle/v1";

/// Most leaves of one log in a bundle.
pub const MOST_LEAVES: u64 = 100_000;

/// A bundle. Nothing of it is verified yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    format: String,
    made_at: Timestamp,
    made_by: MemberId,
    roots: Vec<String>,
    rosters: Vec<String>,
    logs: Vec<LogPart>,
}

/// What a bundle holds of one log.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPart {
    member: MemberId,
    /// Whether these are all leaves under the checkpoint.
    whole: bool,
    /// The checkpoint that all proofs lead to, then others of the same log that were seen.
    checkpoints: Vec<String>,
    /// Of chosen leaves: that the first checkpoint extends the smaller ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    growth: Vec<Growth>,
    leaves: Vec<LeafPart>,
}

/// A proof that a log only grew, from this many leaves to its first checkpoint in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Growth {
    from: u64,
    proof: Vec<Bytes32>,
}

/// One leaf with what stands behind it. Octets are in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafPart {
    index: u64,
    leaf: String,
    proof: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    seed_kept: bool,
    /// What the node could not read any more: the part's number, the item's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    damaged: Vec<(i32, u32)>,
}

/// A bundle that cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not the file that it should be.
    #[error(
        "the bundle cannot be read: {why}; it may have been cut off or altered: fetch it again"
    )]
    Form {
        /// Why not.
        why: String,
    },
    /// Its rosters do not lead back to the root that the reader trusts.
    #[error("the bundle's rosters are not of the coalition whose root is trusted here: {0}")]
    Roster(RosterError),
    /// It has none that does.
    #[error(
        "no roster in the bundle is signed by the root that is trusted here: give the right root with --root"
    )]
    NoRoster,
    /// A log of a party that no roster lists.
    #[error("the bundle holds a log of {member}, and no roster in it lists that party's log")]
    NoMember {
        /// The party.
        member: MemberId,
    },
}

impl BundleError {
    /// The reason code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form { .. } => "BUNDLE_UNREADABLE",
            Self::Roster(error) => error.code(),
            Self::NoRoster => "BUNDLE_NO_ROSTER",
            Self::NoMember { .. } => "PARTY_UNKNOWN",
        }
    }
}

impl Bundle {
    /// The bundle as a file (JSON).
    #[must_use]
    pub fn to_text(&self) -> String {
        // Texts and numbers alone: nothing here can fail to serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads a file. Nothing of it is verified.
    ///
    /// # Errors
    /// [`BundleError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let bundle: Self = serde_json::from_slice(bytes).map_err(|error| BundleError::Form {
            why: error.to_string(),
        })?;
        if bundle.format == FORMAT {
            Ok(bundle)
        } else {
            Err(BundleError::Form {
                why: "it is of another format or version".to_owned(),
            })
        }
    }

    /// Leaves in it, of all logs.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.logs.iter().map(|log| log.leaves.len()).sum()
    }
}

impl LeafPart {
    fn new(leaf: &[u8], proof: String, behind: &pb::ReadEvidenceResponse) -> Self {
        let message = |message: &Option<pb::SignedMessage>| {
            Some(STANDARD.encode(message.as_ref()?.encode_to_vec()))
        };
        let octets = |octets: &[u8]| (!octets.is_empty()).then(|| STANDARD.encode(octets));
        Self {
            index: behind.leaf_index,
            leaf: STANDARD.encode(leaf),
            proof,
            query: message(&behind.query),
            answer: message(&behind.answer),
            opening: octets(&behind.opening),
            document: octets(&behind.document),
            seed_kept: behind.seed_kept,
            damaged: behind
                .damaged
                .iter()
                .map(|damaged| (damaged.part, damaged.item))
                .collect(),
        }
    }

    fn leaf(&self) -> Result<Vec<u8>, String> {
        octets(&self.leaf)
    }

    /// The evidence as a node serves it.
    fn behind(&self) -> Result<pb::ReadEvidenceResponse, String> {
        let message = |text: &Option<String>| {
            text.as_ref()
                .map(|text| {
                    pb::SignedMessage::decode(octets(text)?.as_slice())
                        .map_err(|error| error.to_string())
                })
                .transpose()
        };
        let plain =
            |text: &Option<String>| text.as_ref().map_or(Ok(Vec::new()), |text| octets(text));
        Ok(pb::ReadEvidenceResponse {
            leaf_index: self.index,
            query: message(&self.query)?,
            answer: message(&self.answer)?,
            opening: plain(&self.opening)?,
            document: plain(&self.document)?,
            seed_kept: self.seed_kept,
            damaged: self
                .damaged
                .iter()
                .map(|(part, item)| pb::DamagedEvidence {
                    part: *part,
                    item: *item,
                })
                .collect(),
        })
    }
}

fn octets(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| error.to_string())
}
