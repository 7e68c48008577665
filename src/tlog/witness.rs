//! A witness: somebody else's memory of a log (C2SP tlog-witness).
//!
//! A log sends each new checkpoint with a proof that it extends the last one the witness saw.
//! The witness checks, remembers, and only then cosigns. Because it remembers one history alone,
//! a log that shows two cannot get both cosigned.
//!
//! This is the pure part: given what storage holds about the log ([`WatchedLog`]), it gives
//! either a refusal or an [`Accepted`] checkpoint. The cosignature comes out only by
//! [`Accepted::persisted`], which the caller may call once the new checkpoint is durable.
//!
//! ```text
//! old 20852014
//! PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
//! jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
//!
//! example.org/log
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — example.org/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/...
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{
    CheckpointError, SignedCheckpoint, TreeHead, VerifiedCheckpoint, parse_decimal, parse_hash,
};
use super::proof::{MAX_PROOF_HASHES, ProofError, verify_consistency};
use super::tree::{Hash, empty_root};
use crate::envelope::note::{Cosigner, MAX_NOTE_BYTES, NoteError, NoteKey, NoteSignature};

/// The content type of a reply that tells the size to start from.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

const TEXT_CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// What a witness's storage holds about one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedLog {
    /// The log's keys, all named like the log.
    pub keys: Vec<NoteKey>,
    /// The checkpoint that was cosigned last, if any.
    pub last: Option<SignedCheckpoint>,
}

/// A request for a cosignature: the body of `add-checkpoint`.
///
/// `Display` writes it as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size from which the proof leads on; the last that the witness cosigned.
    pub old_size: u64,
    /// The consistency proof from there to the checkpoint.
    pub proof: Vec<Hash>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, WitnessError> {
        if body.len() > MAX_NOTE_BYTES + 4096 {
            return Err(WitnessError::Malformed("is too large"));
        }
        let text =
            std::str::from_utf8(body).map_err(|_| WitnessError::Malformed("is not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(WitnessError::Malformed(
            "has no empty line before the checkpoint",
        ))?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(parse_decimal)
            .ok_or(WitnessError::Malformed("does not begin with `old N`"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF_HASHES {
                return Err(WitnessError::Malformed("has more than 63 proof lines"));
            }
            let hash = parse_hash(line);
            proof.push(hash.ok_or(WitnessError::Malformed("has a proof line that is no hash"))?);
        }
        let checkpoint =
            SignedCheckpoint::parse(checkpoint.as_bytes()).map_err(WitnessError::Checkpoint)?;
        Ok(Self {
            old_size,
            proof,
            checkpoint,
        })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads the body of a successful reply: cosignature lines, to be attached to the checkpoint and
/// verified with it.
pub fn parse_cosignatures(body: &[u8]) -> Result<Vec<NoteSignature>, NoteError> {
    if body.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| NoteError::NotUtf8)?;
    let lines = text.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
    lines.split('\n').map(NoteSignature::parse_line).collect()
}

/// A witness with its key.
#[derive(Clone)]
pub struct Witness {
    cosigner: Cosigner,
}

impl Witness {
    /// A witness that signs with this key.
    #[must_use]
    pub fn new(cosigner: Cosigner) -> Self {
        Self { cosigner }
    }

    /// The key by which others verify the witness's cosignatures.
    #[must_use]
    pub fn note_key(&self) -> NoteKey {
        self.cosigner.note_key()
    }

    /// Judges a request at `unix_seconds`, in the order of the specification. `log` is what
    /// storage holds about the log that the request's checkpoint names, `None` when the witness
    /// does not watch it.
    pub fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
        log: Option<&WatchedLog>,
        unix_seconds: u64,
    ) -> Result<Accepted<'_>, WitnessError> {
        // The log must be known, and the signature one of its own.
        let log = log.ok_or(WitnessError::UnknownLog)?;
        let presented = request
            .checkpoint
            .verify(&log.keys)
            .map_err(WitnessError::NotSigned)?;
        let new = presented.head();
        // The old size must not be above the new one.
        if request.old_size > new.size {
            return Err(WitnessError::SizesReversed {
                old: request.old_size,
                new: new.size,
            });
        }
        // The old size must be the one remembered.
        let last = log.last.as_ref().map(|last| last.unverified().head());
        let old = last.unwrap_or(TreeHead {
            size: 0,
            root: empty_root(),
        });
        if request.old_size != old.size {
            return Err(WitnessError::OtherSize { known: old.size });
        }
        // At equal sizes the roots must be equal too: else the log has two histories.
        if old.size == new.size && old.root != new.root {
            return Err(WitnessError::Fork {
                known: log.last.clone().map(Box::new),
                presented: Box::new(presented.by_log_alone()),
            });
        }
        // The new checkpoint must extend the old one.
        verify_consistency(old.size, new.size, &request.proof, &old.root, &new.root)
            .map_err(WitnessError::Inconsistent)?;
        Ok(Accepted {
            witness: self,
            presented,
            expected: last,
            unix_seconds,
        })
    }
}

/// A checkpoint that may be cosigned as soon as it is durable.
#[must_use = "persist the checkpoint, then call `persisted` for the cosignature"]
pub struct Accepted<'w> {
    witness: &'w Witness,
    presented: VerifiedCheckpoint,
    expected: Option<TreeHead>,
    unix_seconds: u64,
}

impl Accepted<'_> {
    /// What storage must still hold when the new checkpoint is written, `None` for nothing: the
    /// two must be compared and swapped as one step. If it holds something else by now, drop
    /// this and judge the request anew.
    #[must_use]
    pub fn expected(&self) -> Option<TreeHead> {
        self.expected
    }

    /// What to write: the checkpoint with the log's own signatures.
    #[must_use]
    pub fn to_persist(&self) -> SignedCheckpoint {
        self.presented.by_log_alone()
    }

    /// The cosignature. To be called only after [`Accepted::to_persist`] is durable: a witness
    /// that forgets what it cosigned can be made to cosign a second history.
    pub fn persisted(self) -> Result<NoteSignature, WitnessError> {
        let text = self.presented.checkpoint().to_string();
        self.witness
            .cosigner
            .cosign(&text, self.unix_seconds)
            .map_err(WitnessError::Cosign)
    }
}

/// A reply over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// The content type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The reply that carries a cosignature.
    #[must_use]
    pub fn cosigned(line: &NoteSignature) -> Self {
        Self {
            status: 200,
            content_type: TEXT_CONTENT_TYPE,
            body: format!("{line}\n"),
        }
    }
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// Not a request.
    #[error("the request {0}")]
    Malformed(
        /// What is wrong with it.
        &'static str,
    ),
    /// The request holds no well-formed checkpoint.
    #[error("the request's checkpoint is malformed: {0}")]
    Checkpoint(#[source] CheckpointError),
    /// Not a log that this witness watches.
    #[error("this witness does not watch the log; ask its operator to add it")]
    UnknownLog,
    /// No valid signature of the log.
    #[error("the checkpoint is not signed by the log: {0}")]
    NotSigned(#[source] CheckpointError),
    /// The old size is above the new one.
    #[error("the old size {old} is above the checkpoint's size {new}")]
    SizesReversed {
        /// The old size.
        old: u64,
        /// The checkpoint's size.
        new: u64,
    },
    /// The witness remembers another size.
    #[error("this witness last saw {known} leaves; send a proof from there")]
    OtherSize {
        /// The size it remembers.
        known: u64,
    },
    /// The log signed two roots for one size. The two checkpoints together prove it to anyone.
    #[error("the log shows two histories of the same length: keep both checkpoints as proof")]
    Fork {
        /// The one that was cosigned before; `None` when it is the empty log.
        known: Option<Box<SignedCheckpoint>>,
        /// The one that was sent now.
        presented: Box<SignedCheckpoint>,
    },
    /// The proof does not hold.
    #[error("the checkpoint was not shown to extend the last one: {0}")]
    Inconsistent(#[source] ProofError),
    /// The witness could not sign.
    #[error("the witness cannot cosign: {0}")]
    Cosign(#[source] NoteError),
}

impl WitnessError {
    /// The HTTP status code that the specification gives it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Checkpoint(_) | Self::SizesReversed { .. } => 400,
            Self::NotSigned(_) => 403,
            Self::UnknownLog => 404,
            Self::OtherSize { .. } | Self::Fork { .. } => 409,
            Self::Inconsistent(_) => 422,
            Self::Cosign(_) => 500,
        }
    }

    /// The whole reply over HTTP.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (content_type, body) = match self {
            Self::OtherSize { known } => (SIZE_CONTENT_TYPE, format!("{known}\n")),
            other => (TEXT_CONTENT_TYPE, format!("{other}\n")),
        };
        Reply {
            status: self.status(),
            content_type,
            body,
        }
    }
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
