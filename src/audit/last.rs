//! What an ombudsman remembers of a log between two readings: the last checkpoint that held.
//!
//! Without it a node could show another history each time; with it the node has to show the same
//! beginning, or the two checkpoints, both signed by it, prove that it did not.

use serde::{Deserialize, Serialize};

use crate::roster::{Bytes32, Member, MemberId, Timestamp};
use crate::tlog::{Frontier, SignedCheckpoint, TreeHead, VerifiedCheckpoint};

const FORMAT: &str = "wayhome/last-verified/v1";

/// The last checkpoint of a log that the ombudsman verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastVerified {
    /// Whose log.
    pub member: MemberId,
    /// When it was verified, in unix seconds.
    pub verified_at: u64,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
    /// Its size and root.
    pub head: TreeHead,
    /// Its frontier, from which a later reading goes on.
    pub frontier: Frontier,
}

/// A record of the ombudsman's own directory that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "what was last verified of {member} cannot be used: {why}; if the file cannot be restored, move it away, and the log is read as if for the first time"
)]
pub struct RecordError {
    member: MemberId,
    why: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    member: MemberId,
    verified_at: Timestamp,
    size: u64,
    root: Bytes32,
    frontier: Vec<Bytes32>,
    checkpoint: String,
}

impl LastVerified {
    /// Remembers a checkpoint that held.
    #[must_use]
    pub fn new(
        member: MemberId,
        verified_at: u64,
        checkpoint: &VerifiedCheckpoint,
        frontier: Frontier,
    ) -> Self {
        Self {
            member,
            verified_at,
            head: checkpoint.head(),
            checkpoint: checkpoint.signed().to_string(),
            frontier,
        }
    }

    /// The record as a file (JSON).
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = Text {
            format: FORMAT.to_owned(),
            member: self.member.clone(),
            verified_at: Timestamp::from_unix(self.verified_at),
            size: self.head.size,
            root: Bytes32::new(self.head.root),
            frontier: self
                .frontier
                .hashes()
                .iter()
                .copied()
                .map(Bytes32::new)
                .collect(),
            checkpoint: self.checkpoint.clone(),
        };
        // Texts and numbers alone: nothing here can fail to serialise.
        serde_json::to_string_pretty(&text).unwrap_or_default() + "\n"
    }

    /// Reads a record. The checkpoint's signature is checked again, and that size, root and
    /// frontier belong to it, so that a file that was touched is not believed.
    ///
    /// # Errors
    /// [`RecordError`] says what is wrong.
    pub fn parse(member: &Member, text: &str) -> Result<Self, RecordError> {
        let wrong = |why: String| RecordError {
            member: member.id.clone(),
            why,
        };
        let text: Text = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if text.format != FORMAT || text.member != member.id {
            return Err(wrong("it is of another format or member".to_owned()));
        }
        let head = verify_checkpoint(member, &text.checkpoint)
            .map_err(wrong)?
            .head();
        let hashes = text.frontier.iter().map(|hash| *hash.as_bytes()).collect();
        let frontier =
            Frontier::from_nodes(text.size, hashes).map_err(|error| wrong(error.to_string()))?;
        let stated = TreeHead {
            size: text.size,
            root: *text.root.as_bytes(),
        };
        if stated != head || frontier.root() != head.root {
            return Err(wrong(
                "its parts do not belong to its checkpoint".to_owned(),
            ));
        }
        Ok(Self {
            member: text.member,
            verified_at: text.verified_at.unix(),
            checkpoint: text.checkpoint,
            head,
            frontier,
        })
    }
}

/// Verifies a checkpoint under the log key that the roster gives a member.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn verify_checkpoint(
    member: &Member,
    checkpoint: &str,
) -> Result<VerifiedCheckpoint, String> {
    let log = member
        .log
        .as_ref()
        .ok_or("the roster states no log for this party")?;
    let key = log
        .vkey
        .parse()
        .map_err(|error| format!("the roster's log key: {error}"))?;
    let verified = SignedCheckpoint::parse(checkpoint.as_bytes())
        .and_then(|signed| signed.verify(&[key]))
        .map_err(|error| error.to_string())?;
    if verified.origin().as_str() == log.origin {
        Ok(verified)
    } else {
        Err("it is of another log than the roster states".to_owned())
    }
}
