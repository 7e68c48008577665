//! The roster: who is in the coalition, which keys are theirs, and how a node comes to believe it.
//!
//! There is no central server, so everything a node accepts rests on this one file. It lists the
//! parties (members, keyholders, ombudsmen) with their addresses, keys, purposes and limits, and
//! the public parts of the coalition key. A handful of people hold *root keys*, each on a machine
//! that is never online; a threshold of them signs every new roster. Nodes pass rosters on to each
//! other and believe none for who sent it, only for its signatures.
//!
//! A signature alone would not do: an old roster is well signed too. The rules for taking a new one
//! are those of The Update Framework (<https://theupdateframework.github.io/specification/v1.0.33/>,
//! sections 5 and 6): versions only grow, everything expires, a new set of root keys needs the
//! consent of the old set and of its own, and a node walks through them one by one.
//!
//! # The files
//!
//! A [`Root`] and a [`Roster`] are C2SP signed notes: a text that a person can read before signing
//! it, an empty line, signature lines. The text is a line that names the type, then JSON of which
//! every content has exactly one spelling (`document.rs` says why).
//!
//! # The way through
//!
//! * Making one: edit a [`Roster`] as a draft, look at [`diff_rosters`], render it with
//!   [`Roster::render_for_signing`], then [`add_signature`] on each signer's machine.
//! * Taking one: a [`TrustStore`] begins from a root that the operator was given in person, and
//!   takes roots and rosters by the numbered rules in `update.rs`. Its state is kept between runs.
//! * Using one: [`TrustStore::roster_in_force`] gives a [`TrustedRoster`], which answers whose a
//!   TLS certificate is, whether a signing key counts, and who may ask for what.
//! * Knowing that it is the newest: members vouch for it each day (`freshness.rs`).
//!
//! Everything here is pure: the time comes in as unix seconds, and nothing is read or written.

mod bytes32;
mod coalition_key;
mod diff;
mod document;
mod draft;
mod error;
mod freshness;
mod health;
mod keys;
mod member;
mod names;
mod purpose;
mod root;
mod serde_text;
mod show;
mod signed;
mod state;
mod statement;
mod timestamp;
mod trusted;
mod update;
mod validate;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod sample;

pub use bytes32::{Bytes32, HexError};
pub use coalition_key::{CoalitionKey, CoalitionKeys, Keyholder};
pub use diff::{Change, diff_roots, diff_rosters};
pub use document::{Kind, printable};
pub use draft::{SignatureReport, add_signature, merge_signatures};
pub use error::{Authority, RosterError};
pub use freshness::{
    FRESHNESS_MAX_AGE, Freshness, check_freshness, freshness_text, gather_freshness,
};
pub use health::{EXPIRY_WARNING, Warning};
pub use member::{KeyholderRole, Log, Member, MemberKey, OmbudsmanScope, Quotas, Roles, TlsPin};
pub use names::{Address, AddressError, MemberId, MemberIdError};
pub use purpose::{LegalBasis, Purpose, UnknownName};
pub use root::{Root, RootKey};
pub use statement::Roster;
pub use timestamp::{Timestamp, TimestampError};
pub use trusted::{PeerRefusal, TrustedRoot, TrustedRoster};
pub use update::{
    CLOCK_TOLERANCE, ISSUED_TOLERANCE, MAX_ROOTS, MAX_VERSION_STEP, TrustStore, Update, Versions,
};
pub use validate::{Problem, Problems};
