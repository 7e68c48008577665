//! An act: what a node did, as one leaf of its log, with all that must be true of the database if
//! and only if the leaf is there.

use std::sync::Arc;

use super::accounts::{AccountRow, SessionRow};
use super::evidence::{Evidence, EvidencePart};
use super::keys::Tag;
use super::leads::Lead;
use super::probes::ProbeState;
use super::protection::NewAlert;
use super::receipts::Receipt;
use super::received::{NoticeRow, ReceivedRow};
use super::records::SiblingTokens;
use super::register::RegisterStep;
use super::requests::RequestRow;
use crate::envelope::merkle::Hash;

/// One act, to be committed by the [`Ledger`](super::Ledger).
pub struct Act {
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// If the act answers a query: the query, so that it is answered once.
    pub seen: Option<Seen>,
    /// Quotas the act draws on; if one would be exceeded the act is refused whole.
    pub debits: Vec<Debit>,
    /// What else becomes true with the leaf.
    pub effects: Vec<Effect>,
    /// Builds the signed answer, once the leaf's place is known. Called inside the transaction,
    /// perhaps more than once: it must not do anything but compute.
    pub answer: Option<AnswerBuilder>,
}

impl Act {
    /// An act of the node alone.
    #[must_use]
    pub fn alone(leaf: Vec<u8>) -> Self {
        Self {
            leaf,
            seen: None,
            debits: Vec::new(),
            effects: Vec::new(),
            answer: None,
        }
    }

    /// Adds an effect.
    #[must_use]
    pub fn with(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

/// Builds a signed answer that carries its own receipt.
pub type AnswerBuilder = Box<dyn Fn(&Position) -> Evidence + Send + Sync>;

/// Where an act stands in the log.
#[derive(Clone, Debug)]
pub struct Position {
    /// Index of the leaf, from 0.
    pub leaf_index: u64,
    /// The leaf's hash.
    pub leaf_hash: Hash,
    /// A checkpoint that covers it, as a signed note.
    pub checkpoint: Arc<str>,
    /// The quotas that the act drew on, in the order of its debits.
    pub drawn: Arc<[Drawn]>,
}

/// A query, as the store remembers it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Tag of issuer and message id ([`TagKind::Seen`](super::TagKind::Seen)).
    pub tag: Tag,
    /// SHA-256 of the query's pre-authentication encoding.
    pub query_digest: [u8; 32],
    /// When the query expires; forgotten some time after.
    pub expires_ms: u64,
}

/// A draw on a quota.
#[derive(Clone, Debug)]
pub struct Debit {
    /// The quota's name.
    pub quota: &'static str,
    /// Tag of party, quota and period ([`TagKind::Quota`](super::TagKind::Quota)).
    pub tag: Tag,
    /// How much.
    pub amount: u64,
    /// How much there is in all.
    pub limit: u64,
    /// When what was used may be forgotten, in milliseconds since 1970; `None` for never.
    pub expires_ms: Option<u64>,
    /// The allowance that is drawn on, whole, if this one does not suffice.
    pub otherwise: Option<Box<Debit>>,
}

/// A quota after an act drew on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its name.
    pub quota: &'static str,
    /// How much the act drew.
    pub amount: u64,
    /// How much is used, this draw included.
    pub used: u64,
    /// How much there is in all.
    pub limit: u64,
}

impl Drawn {
    /// Whether this very draw brought the use from below `level` to it or beyond.
    #[must_use]
    pub fn crossed(&self, level: u64) -> bool {
        self.used >= level && self.used - self.amount < level
    }
}

/// A change that goes with a leaf.
pub enum Effect {
    /// Keeps a part of the evidence behind the leaf.
    Keep(EvidencePart, Evidence),
    /// Notes which token sets touched a record. The act is refused as [`Committed::Stale`] if
    /// others were noted since the state was read.
    NoteProbes(Tag, ProbeState),
    /// Demands that this row is still the newest of its record; the act is refused as
    /// [`Committed::Stale`] if the record was erased or changed.
    StillHeld(u64),
    /// Remembers what a peer promised, until it is seen in the peer's log.
    Owe(Receipt),
    /// Hands out a lead.
    HandOut(Lead),
    /// Demands that a setting is as it was read; the act is refused as [`Committed::Stale`] if not.
    SettingIs(&'static str, Option<Vec<u8>>),
    /// Sets a setting: what the act brings into force is in force if and only if its leaf is there.
    Set(&'static str, Vec<u8>),
    /// Shows the leaf among the node's alerts.
    Alert,
    /// Writes a request for disclosure. The act is refused as [`Committed::Stale`] if the row that is
    /// there is not the one before this one.
    PutRequest(RequestRow),
    /// Writes what is known of a question of this member, likewise.
    PutReceived {
        /// The row.
        row: ReceivedRow,
        /// Whether values that were told stand in the evidence behind this very leaf.
        holds_values: bool,
    },
    /// Destroys the values that were told in answer to the question with this id.
    EraseValues([u8; 16]),
    /// Notes that values of the record with this tag were told, or asked for with words of its own,
    /// in the evidence behind this very leaf: they are erased with the record.
    NoteTold(Tag),
    /// Notes that the evidence behind this very leaf holds words of a question with this id.
    NoteAsked([u8; 16]),
    /// Notes that a request's holder withdraws what it told: a restored database must know.
    NoteWithdrawn([u8; 16]),
    /// Has every request looked at that can still change, since what decides on them changes.
    LookAtRequests,
    /// Puts a notice on its way.
    Post(NoticeRow),
    /// Takes a notice that has arrived off its way.
    Unpost([u8; 16]),
    /// Writes an account. The act is refused as [`Committed::Stale`] if the row that is there is not
    /// the one before this one, another account has the name, or `first` and there is one.
    PutAccount {
        /// The row.
        row: AccountRow,
        /// Whether it must be the first of all.
        first: bool,
    },
    /// Demands that an account is as it was read; the act is refused as [`Committed::Stale`] if not.
    AccountIs {
        /// The account.
        account_id: [u8; 16],
        /// The version that was read.
        version: u64,
    },
    /// Notes that an account loses a role or its secrets, or is closed: a restored database must know.
    NoteLessened([u8; 16]),
    /// Begins a session.
    PutSession(SessionRow),
    /// Ends the session with this token.
    EndSession([u8; 32]),
    /// Ends all sessions of an account.
    EndSessions([u8; 16]),
    /// Notes who enters the rows of a staged import. Stands before [`Effect::CommitImport`].
    NoteAuthors {
        /// The import.
        import_id: [u8; 16],
        /// The account.
        account_id: [u8; 16],
    },
    /// Takes staged rows into the register.
    CommitImport([u8; 16]),
    /// Makes every enrolled record searchable and drops the rows they replace. The index has this
    /// mark from then on ([`Store::new_mark`](super::Store::new_mark)).
    Publish(u64),
    /// Demands that the index is as a survey found it; the act is refused as [`Committed::Stale`] if
    /// rows came or went since.
    AsSurveyed(u64),
    /// Demands that the index still has the mark under which it was probed; the act is refused as
    /// [`Committed::Stale`] if rows became visible since.
    AnsweredUnder(u64),
    /// Opens an epoch of the coalition key to peers. The act is refused as [`Committed::Stale`] if
    /// an enrolled record lacks its tokens there.
    OpenEpoch(u32),
    /// Destroys what is left of an epoch of the coalition key: tokens and index rows.
    LeaveEpoch(u32),
    /// The leaf states size and root of the index as it is.
    MarkIndex,
    /// Raises an alert, once.
    Raise(NewAlert),
    /// Leaves before this one have been compared with silent records.
    SilentChecked(u64),
    /// A batch of a register's search is on its way, or was answered.
    Register(RegisterStep),
    /// Erases all rows of a record, and what is kept about it.
    Erase {
        /// Tag of the record's reference.
        ref_tag: Tag,
        /// Its siblings' tokens without those that they had of it.
        siblings: Vec<SiblingTokens>,
    },
}

/// What became of an act.
pub enum Committed {
    /// It is durable.
    Done {
        /// Where it stands.
        position: Position,
        /// The answer, if the act has one.
        answer: Option<Evidence>,
    },
    /// The same query was answered before, by the act at this leaf.
    Repeated {
        /// Index of that leaf.
        leaf_index: u64,
    },
    /// Another query was answered under the same message id.
    Reused,
    /// What the act builds on has changed since it was read; nothing was done. Do it anew.
    Stale,
    /// A quota does not suffice; nothing was done.
    OverQuota {
        /// Its name.
        quota: &'static str,
        /// How much was asked for.
        asked: u64,
        /// What was used before.
        used: u64,
        /// How much there is in all.
        limit: u64,
    },
}
