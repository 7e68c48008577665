//! Why a ceremony does not go on, and whose doing it is.

use super::message::Round;
use crate::envelope::EnvelopeError;
use crate::node::{DirectoryError, IdentityError};
use crate::oprf;
use crate::roster::RosterError;
use crate::vault::VaultError;

/// An error of a ceremony by files. Where a party is named (`Poland (pl)`), the message filed under
/// its name is at fault: ask that party, over another channel, whether it sent it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The folder cannot be read or written.
    #[error("{path}: {reason}; check the folder and its permissions")]
    Folder {
        /// The file or folder.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A file of the folder is larger than any of its kind.
    #[error("{path} is larger than {limit} bytes and so no file of a ceremony; remove it")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The folder holds no plan.
    #[error("{folder} holds no ceremony; `wayhome ceremony start` makes one")]
    NoCeremony {
        /// The folder.
        folder: String,
    },
    /// The folder holds a plan already.
    #[error("{folder} holds a ceremony already; give each ceremony a folder of its own")]
    AlreadyStarted {
        /// The folder.
        folder: String,
    },
    /// The plan cannot be read or does not fit its roster.
    #[error("the plan does not hold: {reason}; ask whoever called the ceremony")]
    Plan {
        /// What is wrong.
        reason: String,
    },
    /// Another plan than the one the keyholder was told of.
    #[error(
        "this is not the ceremony you were told of: its plan has the fingerprint {found}; \
         take no part before that is explained"
    )]
    OtherPlan {
        /// The fingerprint of the plan in the folder.
        found: String,
    },
    /// The operator gave no fingerprint before the party's first step.
    #[error(
        "this party has not taken part in this ceremony yet: compare its fingerprint with the one \
         that you were told, over the telephone or in the room, and give it with --expect"
    )]
    NotTold,
    /// The party holds no share to take part with.
    #[error(
        "this directory holds no share of epoch {epoch} that belongs to the key as the ceremony's \
         roster states it; use the keyholder's directory, or have the share restored first"
    )]
    NoShare {
        /// The epoch.
        epoch: u32,
    },
    /// The roster is refused.
    #[error("the ceremony's roster is refused: {0}")]
    Roster(#[from] RosterError),
    /// The roster in the folder is not the plan's.
    #[error("the folder does not hold the roster that the plan names; put roster.note back")]
    OtherRoster,
    /// A newer roster contradicts the plan.
    #[error(
        "the roster has changed since the ceremony was called: {reason}; call a new ceremony under \
         the new roster"
    )]
    RosterChanged {
        /// What changed.
        reason: String,
    },
    /// The epoch has a key, or does not follow on those that have.
    #[error("epoch {epoch} cannot get a key: {reason}")]
    Epoch {
        /// The epoch asked for.
        epoch: u32,
        /// Why not.
        reason: String,
    },
    /// The party takes no part.
    #[error("{member} is no keyholder of this ceremony; give the keyholder's directory with --dir")]
    NotTakingPart {
        /// The party.
        member: String,
    },
    /// The party's keys are not those of the roster.
    #[error(
        "the {what} in this directory is not the one that the roster states for {member}; have the \
         roster corrected, or use the right directory"
    )]
    OwnKey {
        /// The party.
        member: String,
        /// Which key.
        what: &'static str,
    },
    /// Another command works on the same ceremonies of the party.
    #[error("another `wayhome ceremony join` is at work in this directory; wait for its end")]
    Busy,
    /// The party has sent messages, but its state is gone.
    #[error(
        "the folder holds {file} of this party, but this directory has no state of the ceremony: \
         use the directory that began, or call a new ceremony"
    )]
    StateLost {
        /// The file that shows it.
        file: String,
    },
    /// The party's own state cannot be used.
    #[error("{path} cannot be used ({reason}); restore it, or call a new ceremony")]
    State {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// In place of this party's message there is another.
    #[error(
        "{file} is not what this party sent: somebody changed it; find out who can write to the \
         folder, delete the file and run this again to put the right one back"
    )]
    OwnMessageReplaced {
        /// The file.
        file: String,
    },
    /// A message that cannot be read.
    #[error("{who}: {file} is malformed: {reason}")]
    Malformed {
        /// Whose message it is.
        who: String,
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A message that its sender did not sign.
    #[error("{who}: {file} is not signed by a key that the roster states for it")]
    NotSigned {
        /// Whose message it should be.
        who: String,
        /// The file.
        file: String,
    },
    /// A message that names or is signed by another sender.
    #[error("{who}: {file} comes from {found} and not from it")]
    WrongSender {
        /// Whose message it should be.
        who: String,
        /// The file.
        file: String,
        /// Who sent it.
        found: String,
    },
    /// A message of another round.
    #[error("{who}: {file} is a message of {found} where one of {expected} belongs")]
    WrongRound {
        /// Whose message it is.
        who: String,
        /// The file.
        file: String,
        /// The round expected.
        expected: Round,
        /// The round found.
        found: Round,
    },
    /// A message of another ceremony.
    #[error("{who}: {file} belongs to another ceremony: it was replayed, or the plan was changed")]
    WrongCeremony {
        /// Whose message it is.
        who: String,
        /// The file.
        file: String,
    },
    /// A package for someone else.
    #[error("{who}: {file} is meant for another recipient")]
    WrongRecipient {
        /// Whose message it is.
        who: String,
        /// The file.
        file: String,
    },
    /// A message that changed after it was first seen.
    #[error(
        "{who}: {file} was changed after this keyholder first saw it; both versions are signed, so \
         {who} told two stories: stop the ceremony and keep the folder as evidence"
    )]
    Changed {
        /// Whose message it is.
        who: String,
        /// The file.
        file: String,
    },
    /// A package that does not open.
    #[error("{who}: {file} does not open with this party's key: it was sealed to another")]
    DoesNotOpen {
        /// Whose package it is.
        who: String,
        /// The file.
        file: String,
    },
    /// A confirmation of another transcript.
    #[error(
        "{who} confirmed another transcript than the one in the folder: it saw other messages; \
         compare the folders and stop the ceremony"
    )]
    OtherTranscript {
        /// Whose confirmation it is.
        who: String,
    },
    /// The messages are in form, but what they say does not hold.
    #[error("{who}: {source}")]
    Contents {
        /// Whose message is at fault.
        who: String,
        /// What is wrong with it.
        source: oprf::ceremony::CeremonyError,
    },
    /// The key ceremony refuses without anyone being at fault.
    #[error(transparent)]
    Refused(oprf::ceremony::CeremonyError),
    /// The ceremony cannot be finished yet.
    #[error("not finished: {round} still lacks {}", missing.join(", "))]
    Unfinished {
        /// The round.
        round: Round,
        /// Whose messages are missing.
        missing: Vec<String>,
    },
    /// A result that contradicts an earlier one in the folder.
    #[error("{file} is in the folder and says something else; move it away and run this again")]
    ResultDiffers {
        /// The file.
        file: String,
    },
    /// An own message could not be signed.
    #[error("the message could not be signed: {0}")]
    Envelope(#[from] EnvelopeError),
    /// Sealing at rest.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The party's keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The party's directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl CeremonyError {
    /// The stable reason code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "FOLDER",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::NoCeremony { .. } => "NO_CEREMONY",
            Self::AlreadyStarted { .. } => "ALREADY_STARTED",
            Self::Plan { .. } => "PLAN",
            Self::OtherPlan { .. } => "OTHER_PLAN",
            Self::NotTold => "FINGERPRINT_NEEDED",
            Self::NoShare { .. } => "NO_SHARE",
            Self::Roster(error) => error.code(),
            Self::OtherRoster => "OTHER_ROSTER",
            Self::RosterChanged { .. } => "ROSTER_CHANGED",
            Self::Epoch { .. } => "EPOCH",
            Self::NotTakingPart { .. } => "NOT_TAKING_PART",
            Self::OwnKey { .. } => "OWN_KEY",
            Self::Busy => "BUSY",
            Self::StateLost { .. } => "STATE_LOST",
            Self::State { .. } => "STATE",
            Self::OwnMessageReplaced { .. } => "OWN_MESSAGE_REPLACED",
            Self::Malformed { .. } => "MALFORMED",
            Self::NotSigned { .. } => "NOT_SIGNED",
            Self::WrongSender { .. } => "WRONG_SENDER",
            Self::WrongRound { .. } => "WRONG_ROUND",
            Self::WrongCeremony { .. } => "WRONG_CEREMONY",
            Self::WrongRecipient { .. } => "WRONG_RECIPIENT",
            Self::Changed { .. } => "CHANGED",
            Self::DoesNotOpen { .. } => "DOES_NOT_OPEN",
            Self::OtherTranscript { .. } => "OTHER_TRANSCRIPT",
            Self::Contents { source, .. } | Self::Refused(source) => contents_code(source),
            Self::Unfinished { .. } => "UNFINISHED",
            Self::ResultDiffers { .. } => "RESULT_DIFFERS",
            Self::Envelope(_) => "ENVELOPE",
            Self::Vault(_) => "VAULT",
            Self::Identity(_) => "IDENTITY",
            Self::Directory(_) => "DIRECTORY",
        }
    }

    /// Wraps an error of the key ceremony, naming the party behind an identifier.
    pub(super) fn of_contents(
        source: oprf::ceremony::CeremonyError,
        title_of: impl Fn(u16) -> String,
    ) -> Self {
        match culprit(&source) {
            Some(identifier) => Self::Contents {
                who: title_of(identifier),
                source,
            },
            None => Self::Refused(source),
        }
    }
}

const fn culprit(error: &oprf::ceremony::CeremonyError) -> Option<u16> {
    use oprf::ceremony::CeremonyError as E;
    match error {
        E::Malformed { keyholder, .. }
        | E::WrongRound { keyholder }
        | E::WrongCeremony { keyholder }
        | E::WrongSender { keyholder, .. }
        | E::WrongRecipient { keyholder, .. }
        | E::ProofOfKnowledge { keyholder }
        | E::Contradiction { keyholder }
        | E::ViewsDiffer { keyholder } => Some(*keyholder),
        _ => None,
    }
}

const fn contents_code(error: &oprf::ceremony::CeremonyError) -> &'static str {
    use oprf::ceremony::CeremonyError as E;
    match error {
        E::Malformed { .. } => "MALFORMED",
        E::WrongRound { .. } => "WRONG_ROUND",
        E::WrongCeremony { .. } => "WRONG_CEREMONY",
        E::WrongSender { .. } => "WRONG_SENDER",
        E::WrongRecipient { .. } => "WRONG_RECIPIENT",
        E::ProofOfKnowledge { .. } => "NO_PROOF_OF_KNOWLEDGE",
        E::Contradiction { .. } => "INCONSISTENT_SHARE",
        E::ViewsDiffer { .. } => "VIEWS_DIFFER",
        E::Threshold { .. } => "THRESHOLD",
        E::UnknownKeyholder { .. } => "UNKNOWN_KEYHOLDER",
        E::HelpsItself { .. } => "HELPS_ITSELF",
        E::State => "STATE",
        _ => "REFUSED",
    }
}
