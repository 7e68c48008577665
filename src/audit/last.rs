//! What an ombudsman remembers of a log between two readings: the last checkpoint that held, and
//! where reading goes on.
//!
//! Without it a node could show another history each time; with it the node has to show the same
//! beginning, or the two checkpoints, both signed by it, prove that it did not.

use serde::{Deserialize, Serialize};

use super::finding::Fault;
use super::rosters::Rosters;
use super::shape::{Continued, Shape, ShapeText};
use crate::roster::{Bytes32, Member, MemberId, Timestamp};
use crate::tlog::{Frontier, SignedCheckpoint, TreeHead, VerifiedCheckpoint};

const FORMAT: &str = "wayhome/last-verified/v2";

/// What an ombudsman remembers of a log.
#[derive(Clone)]
pub struct LastVerified {
    /// Whose log.
    pub member: MemberId,
    /// When it was read last, in unix seconds.
    pub verified_at: u64,
    /// The newest checkpoint whose root held: the node can never go back behind it.
    pub checkpoint: String,
    /// Its size and root.
    pub head: TreeHead,
    /// Where the next reading goes on: the end of the last one in which nothing was found.
    pub(super) resume: Option<Resume>,
}

/// A place in a log up to which everything held.
#[derive(Clone)]
pub(super) struct Resume {
    pub(super) checkpoint: String,
    pub(super) head: TreeHead,
    pub(super) frontier: Frontier,
    pub(super) shape: Shape,
    /// The rosters that were in force there, the last one first: time of the leaf in milliseconds since
    /// 1970, and the signed note.
    pub(super) rosters: Vec<(u64, String)>,
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

impl RecordError {
    /// A member's record, and what is wrong with it.
    #[must_use]
    pub fn new(member: &MemberId, why: &dyn std::fmt::Display) -> Self {
        Self {
            member: member.clone(),
            why: why.to_string(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    member: MemberId,
    verified_at: Timestamp,
    size: u64,
    checkpoint: String,
    resume: Option<ResumeText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumeText {
    checkpoint: String,
    frontier: Vec<Bytes32>,
    shape: ShapeText,
    #[serde(default)]
    rosters: Vec<(u64, String)>,
}

impl LastVerified {
    /// The name of the log that it is of.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.checkpoint.lines().next().unwrap_or_default()
    }

    /// Whether it is of the log that the roster states for a member: else it is of one that the member
    /// had before.
    #[must_use]
    pub fn is_of(&self, member: &Member) -> bool {
        let log = member.log.as_ref();
        log.is_some_and(|log| log.origin == self.origin())
    }

    /// Holds what was verified of a log that was given up against what the one that follows it says of
    /// it in its first leaf. Of a log of before that one, which a roster knows, it can say nothing.
    pub(super) fn given_up(
        &self,
        rosters: &Rosters,
        continued: Option<&Continued>,
    ) -> Option<Fault> {
        let (verified, signed) = (self.head.size, self.checkpoint.clone());
        let short = |stated: u64| Fault::GivenUpShort {
            stated,
            verified,
            signed: signed.clone(),
        };
        match continued {
            Some(continued) if continued.origin == self.origin() => {
                let stated = continued.head;
                let less = stated.size < verified
                    || (stated.size == verified && stated.root != self.head.root);
                less.then(|| short(stated.size))
            }
            Some(continued) if rosters.had_log(&self.member, &continued.origin) => None,
            _ => Some(Fault::NotContinued { verified, signed }),
        }
    }

    /// Leaves that need not be read again.
    #[must_use]
    pub fn resume_at(&self) -> u64 {
        self.resume.as_ref().map_or(0, |resume| resume.head.size)
    }

    /// The record as a file (JSON).
    #[must_use]
    pub fn to_text(&self) -> String {
        let resume = self.resume.as_ref().map(|resume| ResumeText {
            checkpoint: resume.checkpoint.clone(),
            frontier: resume
                .frontier
                .hashes()
                .iter()
                .copied()
                .map(Bytes32::new)
                .collect(),
            shape: resume.shape.to_text(),
            rosters: resume.rosters.clone(),
        });
        let text = Text {
            format: FORMAT.to_owned(),
            member: self.member.clone(),
            verified_at: Timestamp::from_unix(self.verified_at),
            size: self.head.size,
            checkpoint: self.checkpoint.clone(),
            resume,
        };
        // Texts and numbers alone: nothing here can fail to serialise.
        serde_json::to_string_pretty(&text).unwrap_or_default() + "\n"
    }

    /// As [`LastVerified::parse`], of the log that a member has now or had by an earlier roster.
    ///
    /// # Errors
    /// [`RecordError`] says what is wrong.
    pub fn parse_any(rosters: &Rosters, member: &Member, text: &str) -> Result<Self, RecordError> {
        let error = match Self::parse(member, text) {
            Ok(last) => return Ok(last),
            Err(error) => error,
        };
        let mut before = rosters
            .all()
            .filter_map(|roster| roster.member(member.id.as_str()))
            .filter(|before| before.log != member.log);
        before
            .find_map(|before| Self::parse(before, text).ok())
            .ok_or(error)
    }

    /// Reads a record. The checkpoints' signatures are checked again, and that size and frontier
    /// belong to them, so that a file that was touched is not believed.
    ///
    /// # Errors
    /// [`RecordError`] says what is wrong.
    pub fn parse(member: &Member, text: &str) -> Result<Self, RecordError> {
        let wrong = |why: &str| RecordError::new(&member.id, &why);
        let text: Text = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
        if text.format != FORMAT || text.member != member.id {
            return Err(wrong("it is of another format or member"));
        }
        let head_of = |checkpoint: &str| {
            verify_checkpoint(member, checkpoint)
                .map(|verified| verified.head())
                .map_err(|why| wrong(&why))
        };
        let head = head_of(&text.checkpoint)?;
        if head.size != text.size {
            return Err(wrong("its size is not that of its checkpoint"));
        }
        let resume = text
            .resume
            .map(|resume| {
                let head = head_of(&resume.checkpoint)?;
                let hashes = resume.frontier.iter().map(|hash| *hash.as_bytes());
                let frontier = Frontier::from_nodes(head.size, hashes.collect())
                    .map_err(|error| wrong(&error.to_string()))?;
                if frontier.root() != head.root {
                    return Err(wrong("its frontier does not belong to its checkpoint"));
                }
                let shape = Shape::from_text(resume.shape)
                    .ok_or_else(|| wrong("what it remembers of leaves cannot be read"))?;
                Ok(Resume {
                    checkpoint: resume.checkpoint,
                    head,
                    frontier,
                    shape,
                    rosters: resume.rosters,
                })
            })
            .transpose()?;
        Ok(Self {
            member: text.member,
            verified_at: text.verified_at.unix(),
            checkpoint: text.checkpoint,
            head,
            resume,
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
