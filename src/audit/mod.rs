//! What an ombudsman does: find out who asked what about whom, without having to trust any node.
//!
//! A node answers an ombudsman as it answers anyone: by signed messages over a pinned connection
//! ([`server`]), each of which is itself an act in the node's log. What makes the answers worth
//! something is that the ombudsman believes none of them unchecked:
//!
//! * [`verify`] reads every leaf of a log and computes the root under the node's signature from
//!   them, then holds the evidence behind each leaf against what the leaf says of it. Whatever
//!   does not hold is a [`Finding`] with its place, and the reading goes on;
//! * [`subject`] has the node name a child's pseudonym, with a proof that it is the only possible
//!   one, and scans the verified log for it itself, so that nothing depends on what the node
//!   chooses to show;
//! * [`blinds`] has single elements of blinded batches opened, and traces them to where they went;
//! * [`reconcile`] holds two logs against each other: each question in the one has its answer in
//!   the other.
//!
//! What an ombudsman is shown is what its office needs and no more: evidence is served with
//! disclosed values, justifications and references left out as hashes, so that the signatures
//! still verify and no child's data is copied to where it was not before.

mod auditor;
mod behind;
pub mod blinds;
pub mod bundle;
pub mod child;
mod entry;
pub mod files;
mod finding;
pub mod in_force;
mod index;
mod last;
mod locate;
mod outcome;
pub mod reconcile;
pub mod report;
mod rosters;
pub mod server;
mod shape;
pub mod subject;
pub mod summary;
mod tokens;
pub mod verify;
mod witnesses;
pub mod words;

#[cfg(test)]
mod sample;

pub use auditor::{AuditError, Auditor};
pub use behind::{AnswerSays, Insight, PromiseOf, QuerySays, Reported};
pub use entry::{Entry, MalformedEntry};
pub use finding::{Fault, Finding, Part, Place};
pub use index::Mark;
pub use last::{LastVerified, RecordError};
pub use rosters::Rosters;
pub use server::{AuditServer, may_read};
pub use shape::Continued;
