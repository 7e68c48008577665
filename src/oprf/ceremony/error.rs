//! What can go wrong in a ceremony, and whose doing it was.

use thiserror::Error;

use super::super::{MAX_KEYHOLDERS, OprfError};

/// An error of a ceremony. Where a keyholder is named, its message is at fault: ask it again, and
/// if it repeats itself, go on without it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CeremonyError {
    /// Threshold and number of participants do not fit.
    #[error(
        "threshold {threshold} of {participants} keyholders is not possible: the threshold must \
         be at least 2 and at most their number, which is at most {MAX_KEYHOLDERS}"
    )]
    Threshold {
        /// The threshold t.
        threshold: u16,
        /// How many take part.
        participants: usize,
    },
    /// Identifier 0 would be the key itself.
    #[error("keyholder identifier 0 is not allowed: a share at 0 would be the key itself")]
    ZeroIdentifier,
    /// A keyholder acts in a ceremony whose plan does not name it.
    #[error("keyholder {keyholder} does not take part in this ceremony: check the plan")]
    NotTakingPart {
        /// The identifier.
        keyholder: u16,
    },
    /// A keyholder that the coalition key does not know.
    #[error("keyholder {keyholder} has no share of this coalition key: repair for it first")]
    UnknownKeyholder {
        /// The identifier.
        keyholder: u16,
    },
    /// The keyholder whose share is to be restored cannot help to restore it.
    #[error("keyholder {keyholder} cannot help to restore its own share")]
    HelpsItself {
        /// The identifier.
        keyholder: u16,
    },
    /// Messages that have not come yet.
    #[error("still missing: the messages of keyholders {keyholders:?}")]
    Missing {
        /// Their identifiers, ascending.
        keyholders: Vec<u16>,
    },
    /// A message's bytes cannot be read.
    #[error("the message of keyholder {keyholder} is malformed: {what}")]
    Malformed {
        /// Whose message it is.
        keyholder: u16,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A message of another round or procedure.
    #[error("keyholder {keyholder} sent a message of another round or procedure")]
    WrongRound {
        /// Whose message it is.
        keyholder: u16,
    },
    /// A message of another ceremony: replayed, or made under another plan.
    #[error("keyholder {keyholder} sent a message of another ceremony, or under another plan")]
    WrongCeremony {
        /// Whose message it is.
        keyholder: u16,
    },
    /// A message that names another sender than it came from.
    #[error("keyholder {keyholder} sent a message that says it is from {claimed}")]
    WrongSender {
        /// From whom it came.
        keyholder: u16,
        /// Whom it names.
        claimed: u16,
    },
    /// A secret message for someone else.
    #[error("keyholder {keyholder} sent a message that is meant for {recipient}")]
    WrongRecipient {
        /// From whom it came.
        keyholder: u16,
        /// For whom it is.
        recipient: u16,
    },
    /// One's own public message is not among those received, as it was sent.
    #[error("the transcript holds another message under this keyholder's name than it sent")]
    OwnMessageAltered,
    /// The proof that a keyholder knows the secret behind its commitment does not hold.
    #[error("keyholder {keyholder} did not prove that it knows the secret it committed to")]
    ProofOfKnowledge {
        /// The identifier.
        keyholder: u16,
    },
    /// A secret value does not fit the sender's public commitments.
    #[error("the secret message of keyholder {keyholder} contradicts its public one")]
    Contradiction {
        /// The identifier.
        keyholder: u16,
    },
    /// A keyholder saw other public messages.
    #[error(
        "keyholder {keyholder} saw other public messages: someone told two stories; compare the \
         transcripts one by one"
    )]
    ViewsDiffer {
        /// Whose view differs from one's own.
        keyholder: u16,
    },
    /// A stored state that cannot be read or belongs to another plan.
    #[error("the stored state does not belong to this ceremony and plan, or is damaged")]
    State,
    /// Key or share do not fit.
    #[error(transparent)]
    Key(#[from] OprfError),
    /// The library refused for a reason that the checks before it should have caught.
    #[error("the key generation library refused: {0}")]
    Library(#[from] frost_ristretto255::Error),
}
