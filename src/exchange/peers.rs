//! How a node reaches its peers: an interface, so that tests can put any network behind it.

use std::future::Future;
use std::pin::Pin;

use tonic::transport::Channel;

use super::RemoteRefusal;
use super::message::AnswerError;
use crate::roster::Member;
use crate::store::StoreError;

/// Opens channels to other parties.
///
/// Contract: the channel is authenticated both ways; its far end showed a certificate that the
/// roster pins for `member`. Opening may be lazy: failing to reach the peer then shows at the
/// first call. Safe to call often: channels are reused.
pub trait Peers: Send + Sync + 'static {
    /// A channel to `member`.
    fn channel<'a>(
        &'a self,
        member: &'a Member,
    ) -> Pin<Box<dyn Future<Output = Result<Channel, PeerError>> + Send + 'a>>;
}

/// Why a peer gave no answer that counts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Not in the roster, or not active.
    #[error("{0}")]
    NotInRoster(crate::roster::PeerRefusal),
    /// No address, or none that could be used.
    #[error("{member} has no address that can be used: {why}")]
    Address {
        /// The member.
        member: String,
        /// Why not.
        why: String,
    },
    /// The peer refused.
    #[error("{member} refused: {refusal}")]
    Refused {
        /// The member.
        member: String,
        /// Why.
        refusal: RemoteRefusal,
    },
    /// The peer's answer does not hold.
    #[error("{member} gave an answer that does not hold: {why}")]
    BadAnswer {
        /// The member.
        member: String,
        /// Why not.
        why: AnswerError,
    },
    /// The peer did not answer in time.
    #[error("{member} did not answer within {seconds} seconds")]
    Late {
        /// The member.
        member: String,
        /// How long it was given.
        seconds: u64,
    },
    /// This node's own refusal to go on.
    #[error("{0}")]
    Own(#[from] super::Refusal),
    /// This node could not record the act, so nothing was sent, or what came back is not used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Too few keyholders gave a valid answer.
    #[error("only {answered} of the {needed} keyholders needed gave a valid answer: {last}")]
    TooFewKeyholders {
        /// How many did.
        answered: usize,
        /// The threshold.
        needed: usize,
        /// What the last one that failed said.
        last: String,
    },
}

impl PeerError {
    /// The reason code for machines.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NotInRoster(refusal) => refusal.code(),
            Self::Address { .. } => "NO_ADDRESS",
            Self::Refused { refusal, .. } => &refusal.code,
            Self::BadAnswer { .. } => "BAD_ANSWER",
            Self::Late { .. } => "TIMED_OUT",
            Self::Own(refusal) => refusal.code(),
            Self::Store(_) => "STORE_FAILED",
            Self::TooFewKeyholders { .. } => "TOO_FEW_KEYHOLDERS",
        }
    }
}
