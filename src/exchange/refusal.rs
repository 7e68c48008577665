//! Why a query is refused, as the asking party is told: a stable reason code, a sentence with a
//! remedy, and the standard gRPC status with `google.rpc` details.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::roster;
use crate::store::StoreError;

/// When a party whose streams are all taken may ask again.
const STREAM_RETRY_SECONDS: u64 = 30;

/// The domain under which reason codes are unique (`google.rpc.ErrorInfo`).
pub const DOMAIN: &str = "wayhome";

/// A refusal. Nothing in it is personal: fields are named, values are not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The caller's certificate is pinned by nobody.
    #[error(
        "the certificate of this connection belongs to no active party of the roster: check that the roster pins it and that the party is not suspended"
    )]
    UnknownParty,
    /// The message cannot be read.
    #[error("{what} cannot be read: {why}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// More than a message may be.
    #[error("a message has at most {limit} octets: split it")]
    MessageTooLarge {
        /// The limit, in octets.
        limit: usize,
    },
    /// A call that this node does not offer.
    #[error(
        "this node offers no such call: both nodes must speak the same version of the protocol"
    )]
    UnknownCall,
    /// No signature of the calling party holds.
    #[error("the message is not signed by a valid key of the party behind this connection: {why}")]
    BadSignature {
        /// What the verifier said.
        why: String,
    },
    /// Signed by one party, sent by another.
    #[error("the message names another party as its issuer than the one behind this connection")]
    PartyMismatch,
    /// Not for this node.
    #[error("the message is addressed to another party")]
    WrongAudience,
    /// Too late.
    #[error("the message has expired: sign it again and send it at once")]
    Expired,
    /// From the future.
    #[error("the message was issued in the future: check the clock of the sending node")]
    NotYetValid,
    /// Valid for too long.
    #[error("the message is valid for more than {limit_seconds} seconds: shorten its lifetime")]
    LifetimeTooLong {
        /// The longest lifetime, in seconds.
        limit_seconds: u64,
    },
    /// Another query under a used id.
    #[error("another query was answered under this message id: draw a fresh one for each query")]
    MessageIdReused,
    /// Same roster version, other roster.
    #[error(
        "the message was signed under another roster of the same version: one of the two nodes was given a forged or split roster; compare their digests and tell the secretariat"
    )]
    RosterSplit,
    /// Purpose not allowed.
    #[error("the roster does not permit this party to ask for the purpose {purpose}")]
    PurposeNotPermitted {
        /// The purpose's name.
        purpose: String,
    },
    /// The member refuses it for its own node.
    #[error(
        "this member refuses the request for its own node, although the roster permits it: ask the member"
    )]
    RefusedHere,
    /// Role not held.
    #[error("the roster does not give this party the role that the request needs: {role}")]
    RoleMissing {
        /// The role.
        role: &'static str,
    },
    /// Outside an ombudsman's scope.
    #[error("this node is outside the ombudsman's scope in the roster")]
    OutOfScope,
    /// Too much asked.
    #[error(
        "quota {quota} is used up: {used} of {limit} used, {asked} asked for; more at the start of the next period"
    )]
    QuotaExceeded {
        /// The quota's name.
        quota: &'static str,
        /// Used before.
        used: u64,
        /// In all.
        limit: u64,
        /// Asked for now.
        asked: u64,
        /// When to ask again, in seconds.
        retry_after_seconds: u64,
    },
    /// Too many streams open at a time.
    #[error("a party has at most {limit} streams open at a node at a time: end one of them first")]
    TooManyStreams {
        /// How many.
        limit: usize,
    },
    /// Too many calls at once.
    #[error("too many calls are under way here: wait a moment and send the same message again")]
    Overloaded,
    /// Tokens of another key.
    #[error(
        "the query was made under epoch {asked} of the coalition key and this node works under epoch {ours}: fetch the newest roster"
    )]
    WrongEpoch {
        /// The query's epoch.
        asked: u32,
        /// This node's.
        ours: u32,
    },
    /// Tokens of another rule table.
    #[error(
        "the query was made by another linkage rule table than this node's: both must run the release that the coalition agreed on"
    )]
    WrongRules,
    /// Not a keyholder, or no share yet.
    #[error("this node holds no share of the coalition key for that epoch")]
    NoShare,
    /// A batch or a subset that cannot be evaluated.
    #[error("the batch cannot be evaluated: {why}")]
    BadBatch {
        /// What is wrong.
        why: String,
    },
    /// A lead that this party cannot use.
    #[error(
        "no such lead is open to this party: leads are good only for the member they were given to"
    )]
    LeadUnknown,
    /// A lead past its time.
    #[error("the lead has expired: look the child up again")]
    LeadExpired,
    /// A request that this party did not make.
    #[error(
        "no such request is known here for this party: requests can be asked about by the member that made them"
    )]
    RequestUnknown,
    /// A request that is over.
    #[error("the request has ended, and what was told under it is told no more: make a new one")]
    RequestClosed,
    /// Another request under an earlier one's id.
    #[error(
        "the request names another lead, purpose, legal basis, case or fields than the one it asks about: make a new one, or give a new justification for other fields"
    )]
    RequestDiffers,
    /// A ceremony that this node knows nothing of, or whose plan it has not got yet.
    #[error("this node has no ceremony with that fingerprint: it may not have joined yet")]
    CeremonyUnknown,
    /// A field that no record has.
    #[error("there is no field called {field:?}: see the list of canonical columns")]
    UnknownField {
        /// The name that was asked for.
        field: String,
    },
    /// A leaf the log does not have.
    #[error("the log has {size} leaves and what was asked for lies beyond")]
    BeyondLog {
        /// The log's size.
        size: u64,
    },
    /// A leaf that does not open any more.
    #[error("leaf {leaf_index} of this node's log is damaged")]
    DamagedLeaf {
        /// Index of the leaf.
        leaf_index: u64,
    },
    /// No roster in force.
    #[error("this node has no roster in force: {why}")]
    NoRoster {
        /// Why.
        why: String,
    },
    /// The node's log is not signed now, so no act can be recorded.
    #[error("the node's log is not signed now, and nothing is done that is not recorded: {why}")]
    LogNotSigned {
        /// Why not.
        why: String,
    },
    /// The node cannot answer now.
    #[error(
        "the node cannot answer now (reference {reference}); nothing was done that was not recorded: ask again with the same message"
    )]
    Unavailable {
        /// Where the node's operator finds more.
        reference: String,
    },
}

impl Refusal {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownParty => "UNKNOWN_PARTY",
            Self::Malformed { .. } => "MALFORMED",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::UnknownCall => "UNKNOWN_CALL",
            Self::BadSignature { .. } => "BAD_SIGNATURE",
            Self::PartyMismatch => "PARTY_MISMATCH",
            Self::WrongAudience => "WRONG_AUDIENCE",
            Self::Expired => "MESSAGE_EXPIRED",
            Self::NotYetValid => "MESSAGE_NOT_YET_VALID",
            Self::LifetimeTooLong { .. } => "LIFETIME_TOO_LONG",
            Self::MessageIdReused => "MESSAGE_ID_REUSED",
            Self::RosterSplit => "ROSTER_SPLIT",
            Self::PurposeNotPermitted { .. } => "PURPOSE_NOT_PERMITTED",
            Self::RefusedHere => "REFUSED_HERE",
            Self::RoleMissing { .. } => "ROLE_MISSING",
            Self::OutOfScope => "OUT_OF_SCOPE",
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
            Self::Overloaded => "OVERLOADED",
            Self::WrongEpoch { .. } => "WRONG_EPOCH",
            Self::WrongRules => "WRONG_RULES",
            Self::NoShare => "NO_SHARE",
            Self::BadBatch { .. } => "BAD_BATCH",
            Self::LeadUnknown => "LEAD_UNKNOWN",
            Self::LeadExpired => "LEAD_EXPIRED",
            Self::RequestUnknown => "REQUEST_UNKNOWN",
            Self::RequestClosed => "REQUEST_CLOSED",
            Self::RequestDiffers => "REQUEST_DIFFERS",
            Self::CeremonyUnknown => "CEREMONY_UNKNOWN",
            Self::UnknownField { .. } => "UNKNOWN_FIELD",
            Self::BeyondLog { .. } => "BEYOND_LOG",
            Self::DamagedLeaf { .. } => "DAMAGED_LEAF",
            Self::NoRoster { .. } => "NO_ROSTER",
            Self::LogNotSigned { .. } => "LOG_NOT_SIGNED",
            Self::Unavailable { .. } => "UNAVAILABLE",
        }
    }

    fn grpc_code(&self) -> Code {
        match self {
            Self::UnknownParty | Self::BadSignature { .. } | Self::PartyMismatch => {
                Code::Unauthenticated
            }
            Self::UnknownCall => Code::Unimplemented,
            Self::Malformed { .. }
            | Self::MessageTooLarge { .. }
            | Self::LifetimeTooLong { .. }
            | Self::BadBatch { .. }
            | Self::RequestDiffers
            | Self::UnknownField { .. } => Code::InvalidArgument,
            Self::WrongAudience
            | Self::Expired
            | Self::NotYetValid
            | Self::RosterSplit
            | Self::WrongEpoch { .. }
            | Self::WrongRules
            | Self::NoShare
            | Self::LeadExpired
            | Self::RequestClosed
            | Self::NoRoster { .. } => Code::FailedPrecondition,
            Self::MessageIdReused => Code::AlreadyExists,
            Self::PurposeNotPermitted { .. }
            | Self::RefusedHere
            | Self::RoleMissing { .. }
            | Self::OutOfScope => Code::PermissionDenied,
            Self::QuotaExceeded { .. } | Self::TooManyStreams { .. } | Self::Overloaded => {
                Code::ResourceExhausted
            }
            Self::LeadUnknown | Self::RequestUnknown | Self::CeremonyUnknown => Code::NotFound,
            Self::BeyondLog { .. } => Code::OutOfRange,
            Self::DamagedLeaf { .. } => Code::DataLoss,
            Self::LogNotSigned { .. } | Self::Unavailable { .. } => Code::Unavailable,
        }
    }

    /// An error of the store, as a peer is told of it: a reference, no more. The operator's log has
    /// the rest under that reference.
    pub fn from_store(error: &StoreError, reference: [u8; 4]) -> Self {
        if let StoreError::DamagedLeaf { leaf_index, .. } = error {
            tracing::error!(%error, "the log is damaged");
            return Self::DamagedLeaf {
                leaf_index: *leaf_index,
            };
        }
        if let StoreError::NotSigned(why) = error {
            tracing::error!(%error, "a query could not be answered");
            return Self::LogNotSigned {
                why: why.to_string(),
            };
        }
        let reference = hex::encode(reference);
        tracing::error!(%error, %reference, "a query could not be answered");
        Self::Unavailable { reference }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut metadata = HashMap::new();
        let mut details = ErrorDetails::new();
        match &refusal {
            Refusal::QuotaExceeded {
                quota,
                used,
                limit,
                retry_after_seconds,
                ..
            } => {
                details.set_retry_info(Some(Duration::from_secs(*retry_after_seconds)));
                details.add_quota_failure_violation(
                    (*quota).to_owned(),
                    format!("{used} of {limit} used"),
                );
            }
            Refusal::TooManyStreams { limit } => {
                details.set_retry_info(Some(Duration::from_secs(STREAM_RETRY_SECONDS)));
                details.add_quota_failure_violation("streams", format!("{limit} are open"));
            }
            Refusal::DamagedLeaf { leaf_index } => {
                metadata.insert("leaf_index".to_owned(), leaf_index.to_string());
            }
            Refusal::Malformed { what, why } => {
                details.add_bad_request_violation(*what, why.clone());
            }
            Refusal::Overloaded | Refusal::LogNotSigned { .. } | Refusal::Unavailable { .. } => {
                details.set_retry_info(Some(Duration::from_secs(1)));
            }
            _ => {}
        }
        details.set_error_info(refusal.code(), DOMAIN, metadata);
        Self::with_error_details(refusal.grpc_code(), refusal.to_string(), details)
    }
}

/// A refusal as it came back from a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RemoteRefusal {
    /// The reason code, or the gRPC code's name where the peer gave none.
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// The leaf that the peer says is damaged, if it says so.
    pub leaf_index: Option<u64>,
    /// Whether asking again may help.
    pub retryable: bool,
}

impl From<Status> for RemoteRefusal {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        let code = info
            .as_ref()
            .filter(|info| info.domain == DOMAIN)
            .map_or_else(
                || format!("{:?}", status.code()),
                |info| shown(&info.reason, LONGEST_CODE),
            );
        let leaf_index = info
            .as_ref()
            .and_then(|info| info.metadata.get("leaf_index"))
            .and_then(|index| index.parse().ok());
        Self {
            code,
            message: shown(status.message(), LONGEST_MESSAGE),
            leaf_index,
            retryable: matches!(status.code(), Code::Unavailable | Code::ResourceExhausted),
        }
    }
}

/// Most characters of a peer's reason code that are shown or kept.
const LONGEST_CODE: usize = 40;

/// Most characters of a peer's message that are shown or kept.
const LONGEST_MESSAGE: usize = 400;

/// A peer's text, cut and made safe to print: it ends up in the operator's terminal and in logs.
fn shown(text: &str, most: usize) -> String {
    roster::printable(text, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_writes_reaches_no_terminal_as_it_is() {
        let hostile = format!("\u{1b}[2Jgone\r\n\u{202e}{}", "x".repeat(100_000));
        let mut details = ErrorDetails::new();
        details.set_error_info(hostile.clone(), DOMAIN, HashMap::new());
        let status = Status::with_error_details(Code::Internal, hostile, details);
        let remote = RemoteRefusal::from(status);
        for (text, most) in [
            (&remote.code, LONGEST_CODE),
            (&remote.message, LONGEST_MESSAGE),
        ] {
            assert!(text.chars().count() <= most + 1, "{}", text.len());
            assert!(text.contains("gone"), "{text:?}");
            let unsafe_to_print = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!text.contains(unsafe_to_print), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_travels_with_its_code() {
        let status = Status::from(Refusal::QuotaExceeded {
            quota: "subjects_per_day",
            used: 9,
            limit: 10,
            asked: 2,
            retry_after_seconds: 60,
        });
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(
            details.retry_info().and_then(|info| info.retry_delay),
            Some(Duration::from_secs(60))
        );
        assert!(details.quota_failure().is_some());
        let remote = RemoteRefusal::from(status);
        assert_eq!(remote.code, "QUOTA_EXCEEDED");
        assert!(remote.retryable);
    }

    #[test]
    fn a_damaged_leaf_is_named() {
        let remote = RemoteRefusal::from(Status::from(Refusal::DamagedLeaf { leaf_index: 17 }));
        assert_eq!(remote.leaf_index, Some(17));
    }

    #[test]
    fn a_foreign_status_keeps_its_grpc_code() {
        let remote = RemoteRefusal::from(Status::deadline_exceeded("late"));
        assert_eq!(remote.code, "DeadlineExceeded");
    }
}
