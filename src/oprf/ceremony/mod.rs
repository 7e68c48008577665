//! How a coalition key comes to be, and how its shares are renewed, mended and handed on.
//!
//! # Making a key without a dealer
//!
//! [`Dkg`]: every keyholder invents a secret polynomial, publishes commitments to it with a proof
//! that it knows the secret ([`PublicMessage`]), and sends each other keyholder the value at that
//! one's identifier ([`SecretMessage`]). The key is the sum of all the secrets; a keyholder's share
//! is the sum of what it was sent. Nobody ever held the key, and it is safe as long as fewer than
//! `t` keyholders collude. The arithmetic is that of FROST's key generation (Komlo and Goldberg,
//! ePrint 2020/852, figure 1), from `frost-ristretto255`; its shares serve an OPRF as well as a
//! signature, and on ristretto255 no sign has to be adjusted. Whoever publishes last can choose
//! among keys, as in every key generation of this kind, but learns nothing about the one chosen.
//!
//! # Afterwards
//!
//! * [`Refresh`] gives new shares of the same key: the keyholders add shares of zero. What a thief
//!   took before is then worthless, unless it had `t` shares already. A keyholder left out of the
//!   refresh is thereby removed.
//! * [`RepairHelper`] and [`recover`]: `t` keyholders restore the share of one that lost it,
//!   without learning it. The identifier may also be new: that is how a keyholder is added.
//! * To replace a keyholder: repair for the new identifier, then refresh without the old one. The
//!   old shares must be destroyed: `t` of them, the removed keyholder's included, still make the
//!   key.
//!
//! `frost-core` 3.0 itself allows in a refresh any set of at least `t` keyholders that already have
//! a verifying share, so removal only; and it repairs for any identifier, known or not, but checks
//! neither what helpers send each other nor the result. The checks here make up for that, so that
//! whoever sends something wrong is named.
//!
//! # Shape
//!
//! Each procedure is a pure function of a seed, drawn once, and of the messages. [`Dkg::to_bytes`]
//! is thus all that must be kept, sealed, to go on after an interruption: a step that is run again
//! gives the same messages, and a message that is lost can be made again. Keep the messages
//! received; they are passed in again at each step, and the public ones together are the
//! *transcript*, from which [`verify_transcript`] derives the coalition key without any secret.
//!
//! What the caller must see to: each message comes from the keyholder it is filed under (signed
//! envelopes), secret messages are read by their recipient only (encrypted), states are sealed and
//! destroyed when the ceremony is over. That all saw the same public messages is checked here:
//! every secret message carries a digest of the sender's view.

mod dkg;
mod error;
mod frost;
mod message;
mod plan;
mod refresh;
mod repair;
mod rounds;

pub use dkg::{Dkg, verify_transcript};
pub use error::CeremonyError;
pub use message::{PublicMessage, SecretMessage, TranscriptDigest};
pub use plan::{CeremonyId, DkgPlan, RefreshPlan, RepairPlan};
pub use refresh::{Refresh, verify_refresh};
pub use repair::{RepairHelper, recover, verify_repair};

#[cfg(test)]
mod tests;
