//! What can go wrong between the node and its database.

use super::TermRefused;
use crate::vault::VaultError;

/// An error of the store. No variant carries personal data: statements are named, values never
/// shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database could not be opened.
    #[error("database {location} could not be opened: {reason}; {remedy}")]
    Open {
        /// The database's file or host.
        location: String,
        /// What the driver said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The database does not answer, or not now; it may later, without a change here.
    #[error("transaction {transaction} failed, the database is away: {reason}; {remedy}")]
    Away {
        /// The transaction's name.
        transaction: &'static str,
        /// What the driver said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The address names no database this program knows.
    #[error(
        "database address {address:?} is not understood: use sqlite:PATH or postgres://USER@HOST/DATABASE"
    )]
    Address {
        /// The address, without a password.
        address: String,
    },
    /// The database was written by a newer program.
    #[error(
        "database has schema version {found}, and this program knows versions up to {known}: run the newer program"
    )]
    UnknownSchema {
        /// The version found.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// A migration failed.
    #[error("migration {version} failed: {reason}; the database is as it was before")]
    Migration {
        /// The migration's number.
        version: i64,
        /// What the driver said.
        reason: String,
    },
    /// A statement failed.
    #[error("transaction {transaction} failed: {reason}")]
    Statement {
        /// The transaction's name.
        transaction: &'static str,
        /// What the driver said.
        reason: String,
    },
    /// A stored value is not what was stored.
    #[error(
        "{what} in the database is damaged: {reason}; restore from a backup and compare the log"
    )]
    Damaged {
        /// Which value.
        what: String,
        /// How it is wrong.
        reason: String,
    },
    /// A leaf of the log does not open or does not have its hash.
    #[error("leaf {leaf_index} of the log is damaged: {reason}")]
    DamagedLeaf {
        /// Index of the leaf, from 0.
        leaf_index: u64,
        /// How it is wrong.
        reason: String,
    },
    /// A sealed value did not open.
    #[error("{what}: {source}")]
    Sealed {
        /// Which value.
        what: &'static str,
        /// Why not.
        source: VaultError,
    },
    /// The log is not signed now, so nothing can be recorded.
    #[error("{0}")]
    NotSigned(#[from] TermRefused),
    /// The journal could not be opened, read or written.
    #[error(
        "the journal at {path} failed: {reason}; it keeps what a backup cannot know, so mend the \
         disk or its permissions before you go on"
    )]
    Journal {
        /// Its folder or file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A database that is to be filled holds something already.
    #[error(
        "the database holds something already: make an empty one and name it in node.toml; the one \
         that is there stays as it is"
    )]
    NotEmpty,
    /// Another process of this node changed again and again what something was to be based on.
    #[error(
        "{what} was changed by another process of this node again and again; try when that has ended"
    )]
    Busy {
        /// What was changed.
        what: &'static str,
    },
    /// The ledger's task has ended: the node is shutting down.
    #[error("the node is shutting down; ask again in a moment")]
    Closed,
}

impl StoreError {
    /// The same error once more, for another caller that waits for the same thing.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::NotSigned(why) => Self::NotSigned(why.clone()),
            Self::Damaged { what, reason } => Self::damaged(what, reason),
            Self::Statement {
                transaction,
                reason,
            } => Self::Statement {
                transaction,
                reason: reason.clone(),
            },
            Self::DamagedLeaf { leaf_index, reason } => Self::DamagedLeaf {
                leaf_index: *leaf_index,
                reason: reason.clone(),
            },
            Self::Away {
                transaction,
                reason,
                remedy,
            } => Self::Away {
                transaction,
                reason: reason.clone(),
                remedy,
            },
            Self::Busy { what } => Self::Busy { what },
            Self::Closed => Self::Closed,
            other => Self::Statement {
                transaction: "commit-acts",
                reason: other.to_string(),
            },
        }
    }

    pub(crate) fn damaged(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged {
            what: what.into(),
            reason: reason.into(),
        }
    }
}
