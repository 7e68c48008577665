//! Why a root or a roster was refused. Each reason has a stable code of its own.

use super::document::Kind;
use super::validate::Problems;
use super::{Bytes32, MemberId, Timestamp};
use crate::envelope::NoteError;

/// A refusal, or a reason why the trust store cannot serve.
///
/// Every message says what was wrong and what to do. Nothing here is secret; texts from the
/// refused file are shortened and made printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// Endless data: more bytes than a document of its kind can have.
    #[error("the {kind} is {size} bytes long, more than the {limit} allowed; it was not read")]
    TooLarge {
        /// What was expected.
        kind: Kind,
        /// Bytes received.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not a signed note.
    #[error("the {kind} is not a signed note ({reason}); get the file again from its source")]
    NotANote {
        /// What was expected.
        kind: Kind,
        /// What is wrong with it.
        reason: String,
    },
    /// Another kind of document where this one was expected.
    #[error("expected a {kind} (first line {:?}), found {found:?}", kind.header())]
    WrongType {
        /// What was expected.
        kind: Kind,
        /// The first line found.
        found: String,
    },
    /// The right kind in a version of the format that this program does not know.
    #[error("this program reads {:?} and not {found:?}; update the program", kind.header())]
    UnsupportedFormat {
        /// What was expected.
        kind: Kind,
        /// The first line found.
        found: String,
    },
    /// A signature under a known key that does not verify.
    #[error("the signature of {key} on the {kind} does not verify; the file was altered")]
    BadSignature {
        /// What was refused.
        kind: Kind,
        /// Name of the known key.
        key: String,
    },
    /// Signatures only by keys that are not root keys, or too few without them.
    #[error(
        "the {kind} has {have} of {need} signatures of {by}, and others by keys that do not \
         count: {}; the signers must be root keys",
        unknown.join(", ")
    )]
    UnknownKey {
        /// What was refused.
        kind: Kind,
        /// Whose threshold.
        by: Authority,
        /// Distinct known keys that signed.
        have: usize,
        /// Distinct known keys required.
        need: usize,
        /// Names on the signature lines that are no root keys.
        unknown: Vec<String>,
    },
    /// One key signed more than once, and counted once it is not enough.
    #[error(
        "the {kind} has {have} of {need} signatures of {by}; {key} signed more than once and \
         counts once"
    )]
    KeyCountedTwice {
        /// What was refused.
        kind: Kind,
        /// Whose threshold.
        by: Authority,
        /// Distinct known keys that signed.
        have: usize,
        /// Distinct known keys required.
        need: usize,
        /// The key that signed more than once.
        key: String,
    },
    /// Too few root keys signed.
    #[error("the {kind} has {have} of {need} signatures of {by}; collect the missing ones")]
    BelowThreshold {
        /// What was refused.
        kind: Kind,
        /// Whose threshold.
        by: Authority,
        /// Distinct known keys that signed.
        have: usize,
        /// Distinct known keys required.
        need: usize,
    },
    /// Text that does not parse as a document of its kind.
    #[error(
        "the {kind} cannot be read at line {line}, column {column}{}{place}: {reason}",
        if place.is_empty() { "" } else { ", " }
    )]
    Malformed {
        /// What was expected.
        kind: Kind,
        /// Line in the file, from 1.
        line: usize,
        /// Column in the line, from 1.
        column: usize,
        /// The field, with the member that it belongs to.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// A second spelling of a content that has one.
    #[error(
        "the {kind} departs from its fixed form at line {line}; make it with `wayhome roster \
         draft`, which writes that form"
    )]
    NotCanonical {
        /// What was refused.
        kind: Kind,
        /// First line that differs, from 1.
        line: usize,
    },
    /// Content that contradicts itself or the rules.
    #[error("the {kind} is not valid: {problems}")]
    Invalid {
        /// What was refused.
        kind: Kind,
        /// Everything that is wrong with it.
        problems: Problems,
    },
    /// A document of another coalition.
    #[error("the {kind} is of the coalition {found:?}, this node belongs to {expected:?}")]
    WrongCoalition {
        /// What was refused.
        kind: Kind,
        /// This node's coalition.
        expected: String,
        /// The document's.
        found: String,
    },
    /// A root older than the trusted one.
    #[error("root version {found} is older than version {trusted}, already trusted")]
    RootRollback {
        /// Version already trusted.
        trusted: u32,
        /// Version refused.
        found: u32,
    },
    /// A root that does not follow directly on the trusted one.
    #[error(
        "root version {found} does not follow on version {trusted}; roots are taken one by one, \
         so version {} comes first",
        trusted.saturating_add(1)
    )]
    RootSkipped {
        /// Version already trusted.
        trusted: u32,
        /// Version refused.
        found: u32,
    },
    /// The trusted root has expired.
    #[error(
        "root version {version} expired on {expires}; ask a peer or the secretariat for a newer"
    )]
    RootExpired {
        /// Version of the trusted root.
        version: u32,
        /// When it expired.
        expires: Timestamp,
    },
    /// More roots at once than a chain may have.
    #[error("more than {limit} roots in a row; pin a recent root and begin from it")]
    TooManyRoots {
        /// Most roots in a chain.
        limit: usize,
    },
    /// A roster older than the trusted one.
    #[error("roster version {found} is older than version {trusted}, already trusted")]
    Rollback {
        /// Version already trusted.
        trusted: u32,
        /// Version refused.
        found: u32,
    },
    /// A roster whose version runs so far ahead that it can only be meant to block later ones.
    #[error(
        "roster version {found} is more than {limit} ahead of version {trusted}; if it is genuine, \
         the secretariat replaces a root key, which begins the count anew"
    )]
    FastForward {
        /// Version already trusted.
        trusted: u32,
        /// Version refused.
        found: u32,
        /// Most versions that one step may skip.
        limit: u32,
    },
    /// Two different signed documents of one version: the signers broke the rules.
    #[error(
        "two different {kind} documents carry version {version} (digests {trusted} and {found}), \
         both signed; keep both files and tell the ombudsman"
    )]
    Equivocation {
        /// Which kind.
        kind: Kind,
        /// The version they share.
        version: u32,
        /// Digest of the trusted one.
        trusted: Bytes32,
        /// Digest of the other.
        found: Bytes32,
    },
    /// A roster that states another public key for an epoch than the trusted one does.
    #[error(
        "roster version {version} states another coalition key for epoch {epoch} ({found} instead \
         of {trusted}), which would make every share and token of it worthless; another key needs \
         another epoch: keep the file and tell the secretariat and the ombudsman"
    )]
    OtherKey {
        /// Version refused.
        version: u32,
        /// The epoch that both list.
        epoch: u64,
        /// Its public key in the trusted roster.
        trusted: Bytes32,
        /// Its public key in the refused one.
        found: Bytes32,
    },
    /// A roster made under a root that has been replaced.
    #[error(
        "roster version {version} was made under root version {found}, since replaced by \
         {trusted}; ask for the roster that was signed under the new root"
    )]
    OldRoot {
        /// Version of the roster.
        version: u32,
        /// Version of the trusted root.
        trusted: u32,
        /// Version of the root that the roster names.
        found: u32,
    },
    /// A roster made under a root that this node has not seen yet.
    #[error(
        "roster version {version} was made under root version {found}, this node has {trusted}; \
         get the roots in between first"
    )]
    RootMissing {
        /// Version of the roster.
        version: u32,
        /// Version of the trusted root.
        trusted: u32,
        /// Version of the root that the roster names.
        found: u32,
    },
    /// Freeze: the roster has expired.
    #[error(
        "roster version {version} expired on {expires}; ask a peer or the secretariat for a newer"
    )]
    Expired {
        /// Version of the roster.
        version: u32,
        /// When it expired.
        expires: Timestamp,
    },
    /// The roster was made long after what this machine's clock says is now.
    #[error(
        "roster version {version} was made on {issued}, but the clock here says {now}; set the \
         clock, or find out who made a roster ahead of time"
    )]
    ClockBehind {
        /// Version of the roster.
        version: u32,
        /// When it says it was made.
        issued: Timestamp,
        /// This machine's time.
        now: Timestamp,
    },
    /// This machine's clock says less than it said before.
    #[error(
        "the clock says {now}, but it was already {seen} here; set the clock right before \
         trusting what expires by it"
    )]
    ClockWentBack {
        /// Latest time seen.
        seen: Timestamp,
        /// This machine's time.
        now: Timestamp,
    },
    /// No roster is trusted yet, or a change of root keys ended trust in the last.
    #[error(
        "no roster is trusted under root version {root_version}; get one from a peer or a file"
    )]
    NoRoster {
        /// Version of the trusted root.
        root_version: u32,
    },
    /// A proof of freshness for another root or roster than the trusted ones.
    #[error(
        "the proof of freshness is not for the trusted root and roster version {version}; compare \
         versions with the peer first"
    )]
    OtherRosterVouched {
        /// Version of the trusted roster.
        version: u32,
    },
    /// Freeze, perhaps: too few members vouch for the roster being the newest.
    #[error(
        "{have} members vouch for the roster being the newest, {need} are needed; gather more \
         cosignatures, and if they do not come ask another peer for a newer roster"
    )]
    NotVouched {
        /// Members whose cosignature is valid.
        have: usize,
        /// A majority of the active members.
        need: usize,
    },
    /// Kept state that cannot be read.
    #[error("the kept trust state cannot be read ({reason}); restore it from a backup")]
    StateCorrupt {
        /// What is wrong with it.
        reason: String,
    },
    /// Kept state that began from another pinned root.
    #[error(
        "the kept trust state does not contain the pinned root {pinned}; if the pin was changed on \
         purpose, begin with an empty state"
    )]
    StateMismatch {
        /// Digest of the pinned root.
        pinned: Bytes32,
    },
    /// An edit of a draft that names nobody in it.
    #[error("the draft has no party called {id}")]
    NoSuchMember {
        /// The id.
        id: MemberId,
    },
    /// An edit of a draft that adds a party twice.
    #[error("the draft already has a party called {id}")]
    MemberExists {
        /// The id.
        id: MemberId,
    },
    /// Signatures that belong to different texts.
    #[error(
        "the files hold different texts (digests {first} and {other}); signatures can only be \
         put together over the same text"
    )]
    DifferentTexts {
        /// Digest of the first text.
        first: Bytes32,
        /// Digest of the one that differs.
        other: Bytes32,
    },
    /// A second signature by the same key.
    #[error("{key} has already signed this {kind}")]
    AlreadySigned {
        /// What is being signed.
        kind: Kind,
        /// Name of the key.
        key: String,
    },
}

/// Whose threshold a document had to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The root that is trusted, of this version.
    Trusted(u32),
    /// The new root itself, of this version.
    Itself(u32),
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trusted(version) => write!(f, "the trusted root {version}"),
            Self::Itself(version) => write!(f, "the new root {version} itself"),
        }
    }
}

impl RosterError {
    pub(super) fn not_a_note(kind: Kind, error: &NoteError) -> Self {
        Self::NotANote {
            kind,
            reason: error.to_string(),
        }
    }

    /// The stable reason code, for logs, peers and scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::NotANote { .. } => "NOT_A_NOTE",
            Self::WrongType { .. } => "WRONG_TYPE",
            Self::UnsupportedFormat { .. } => "UNSUPPORTED_FORMAT",
            Self::BadSignature { .. } => "BAD_SIGNATURE",
            Self::UnknownKey { .. } => "UNKNOWN_KEY",
            Self::KeyCountedTwice { .. } => "KEY_COUNTED_TWICE",
            Self::BelowThreshold {
                by: Authority::Trusted(_),
                ..
            } => "BELOW_THRESHOLD",
            Self::BelowThreshold {
                by: Authority::Itself(_),
                ..
            } => "BELOW_OWN_THRESHOLD",
            Self::Malformed { .. } => "MALFORMED",
            Self::NotCanonical { .. } => "NOT_CANONICAL",
            Self::Invalid { .. } => "INVALID_CONTENT",
            Self::WrongCoalition { .. } => "WRONG_COALITION",
            Self::RootRollback { .. } => "ROOT_ROLLBACK",
            Self::RootSkipped { .. } => "ROOT_SKIPPED",
            Self::RootExpired { .. } => "ROOT_EXPIRED",
            Self::TooManyRoots { .. } => "TOO_MANY_ROOTS",
            Self::Rollback { .. } => "ROLLBACK",
            Self::FastForward { .. } => "FAST_FORWARD",
            Self::Equivocation { .. } => "EQUIVOCATION",
            Self::OtherKey { .. } => "OTHER_KEY",
            Self::OldRoot { .. } => "OLD_ROOT",
            Self::RootMissing { .. } => "ROOT_MISSING",
            Self::Expired { .. } => "EXPIRED",
            Self::ClockBehind { .. } => "CLOCK_BEHIND",
            Self::ClockWentBack { .. } => "CLOCK_WENT_BACK",
            Self::NoRoster { .. } => "NO_ROSTER",
            Self::OtherRosterVouched { .. } => "OTHER_ROSTER_VOUCHED",
            Self::NotVouched { .. } => "NOT_VOUCHED",
            Self::StateCorrupt { .. } => "STATE_CORRUPT",
            Self::StateMismatch { .. } => "STATE_MISMATCH",
            Self::NoSuchMember { .. } => "NO_SUCH_MEMBER",
            Self::MemberExists { .. } => "MEMBER_EXISTS",
            Self::DifferentTexts { .. } => "DIFFERENT_TEXTS",
            Self::AlreadySigned { .. } => "ALREADY_SIGNED",
        }
    }
}
