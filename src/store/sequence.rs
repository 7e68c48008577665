//! Who may append to the log, and on top of what: the sequencer's storage contract.
//!
//! A log has one history as long as every checkpoint that leaves the node extends all that left it
//! before. Two things could break that: two sequencers at once, and a database that went back in
//! time. The first is the business of the [`CheckpointCell`], which lives in the database; the
//! second cannot be seen from inside the database, so a sequencer that begins a *term* first asks a
//! [`TermKeeper`], who looks outside.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::db::{Tx, values};
use super::{Store, StoreError};
use crate::tlog::{Frontier, TreeHead, proof};

/// A signed state of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// Size and root.
    pub head: TreeHead,
    /// The checkpoint, a signed note.
    pub checkpoint: Arc<str>,
    /// The term in which it was signed.
    pub term: u64,
}

/// Why the log is not signed now. Nothing in it is secret: peers are told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TermRefused {
    /// The log or the session with the database changed hands at that moment.
    #[error(
        "the log, or this process's session with the database, changed hands at this moment: ask again"
    )]
    Elsewhere,
    /// The database lacks leaves that were signed.
    #[error(
        "{known} leaves of the log were signed, as {by} shows, and the database has {held}: it was taken back to an older state"
    )]
    Behind {
        /// Leaves in the database.
        held: u64,
        /// Leaves that were signed.
        known: u64,
        /// Who knows of them.
        by: String,
    },
    /// The database holds another history than the one that was signed.
    #[error(
        "the first {size} leaves in the database are not those that were signed, as {by} shows"
    )]
    Forked {
        /// Leaves of the history that was signed.
        size: u64,
        /// Who knows of it.
        by: String,
    },
    /// Nothing vouches for the database being the newest.
    #[error(
        "{why}, and of the {listed} witnesses in the roster {answered} answered where {needed} are needed: the log is signed again as soon as they do"
    )]
    NoQuorum {
        /// Why witnesses are needed.
        why: String,
        /// How many answered.
        answered: usize,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        listed: usize,
    },
}

impl TermRefused {
    /// Whether only a person can mend it.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Forked { .. })
    }
}

/// A future that can be sent between threads.
pub type KeeperFuture<'a> = Pin<Box<dyn Future<Output = Result<(), TermRefused>> + Send + 'a>>;

/// Decides whether a sequencer may make the first signature of its term, by what is known outside
/// the database.
///
/// Contract:
/// * `may_begin` is asked once before the first signature of every term, never twice at a time. It
///   says yes only if nothing that left this node before is known to lack in `newest`. It may talk
///   to others and take seconds; it writes nothing to the database. If it says no, nothing is signed
///   and it is asked again with the next act.
/// * `signed` is told of every new state once that is durable, before any answer that rests on it
///   leaves. It must not fail: whatever it cannot remember it has to be able to do without.
/// * `first_leaf` is the leaf with which an empty log begins.
/// * `set_back` is asked for a leaf before the first act after the clock went back. It states when.
pub trait TermKeeper: Send + Sync + 'static {
    /// Whether a term may begin on top of `newest`, which is nothing for an empty log.
    fn may_begin<'a>(
        &'a self,
        store: &'a Store,
        newest: Option<&'a SignedHead>,
    ) -> KeeperFuture<'a>;

    /// A term began on top of `newest`; nothing is signed in it yet. Whatever is durable of it after
    /// a crash was signed by this process.
    fn begun(&self, term: u64, newest: Option<&SignedHead>);

    /// A state became durable.
    fn signed(&self, newest: &SignedHead);

    /// The leaf with which an empty log begins.
    fn first_leaf(&self) -> Option<Vec<u8>>;

    /// The leaf that says that the clock was set back, after leaves that state times up to
    /// `stated_ms`.
    fn set_back(&self, stated_ms: u64) -> Option<Vec<u8>>;
}

/// Lets every term begin: for a log that nobody outside has ever seen, as in measurements.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl TermKeeper for Unwatched {
    fn may_begin<'a>(&'a self, _: &'a Store, _: Option<&'a SignedHead>) -> KeeperFuture<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn begun(&self, _: u64, _: Option<&SignedHead>) {}

    fn signed(&self, _: &SignedHead) {}

    fn first_leaf(&self) -> Option<Vec<u8>> {
        None
    }

    fn set_back(&self, _: u64) -> Option<Vec<u8>> {
        None
    }
}

/// What the cell holds.
pub(super) struct CellState {
    pub(super) frontier: Frontier,
    /// The newest checkpoint; nothing before the first leaf.
    pub(super) newest: Option<SignedHead>,
}

/// The place of the newest checkpoint, and of the number of terms.
///
/// Contract, for whatever database is behind it:
/// * **Atomic.** All calls take a transaction. The leaves, the effects of their acts, and the new
///   checkpoint become visible together or not at all.
/// * **Durable.** Once that transaction has committed, the new checkpoint outlives a crash of the
///   process and of the machine. If the commit fails, the outcome is unknown until `newest` is read
///   in another transaction: it is then settled.
/// * **Concurrent.** Any number of processes may call at once. Of those that swap the same old
///   checkpoint at most one commits. That rests on the comparison alone, and on nobody's clock: no
///   process is told to wait for another, and one that was stopped for an hour does no harm.
/// * **Who retries.** Nobody inside. A swap that lost says `false`: the caller drops its
///   transaction, gives up its term, and begins anew.
pub(super) trait CheckpointCell: Send + Sync {
    /// What it holds.
    fn newest(&self, tx: &mut Tx) -> impl Future<Output = Result<CellState, StoreError>> + Send;

    /// Takes a new term: a number that none before had.
    fn claim(&self, tx: &mut Tx) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Replaces the checkpoint `from` by `to`; `false` if the cell holds another than `from`.
    fn swap(
        &self,
        tx: &mut Tx,
        from: Option<&SignedHead>,
        frontier: &Frontier,
        to: &SignedHead,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The cell as two rows of the node's database.
pub(super) struct SqlCell;

impl CheckpointCell for SqlCell {
    async fn newest(&self, tx: &mut Tx) -> Result<CellState, StoreError> {
        let row = tx
            .read_one(
                "SELECT size, frontier, checkpoint, term FROM log_state WHERE id = 1",
                vec![],
            )
            .await?;
        let Some(row) = row else {
            return Ok(CellState {
                frontier: Frontier::new(),
                newest: None,
            });
        };
        let frontier = Frontier::from_bytes(&row.blob(1)?)
            .map_err(|error| StoreError::damaged("log frontier", error.to_string()))?;
        if frontier.size() != row.uint(0)? {
            return Err(StoreError::damaged("log frontier", "its size is another"));
        }
        let newest = SignedHead {
            head: TreeHead {
                size: frontier.size(),
                root: frontier.root(),
            },
            checkpoint: row.text(2)?.into(),
            term: row.uint(3)?,
        };
        Ok(CellState {
            frontier,
            newest: Some(newest),
        })
    }

    async fn claim(&self, tx: &mut Tx) -> Result<u64, StoreError> {
        tx.run(
            "INSERT INTO log_term (id, term) VALUES (1, 1)
             ON CONFLICT (id) DO UPDATE SET term = log_term.term + 1",
            vec![],
        )
        .await?;
        tx.read_one("SELECT term FROM log_term WHERE id = 1", vec![])
            .await?
            .ok_or_else(|| StoreError::damaged("log term", "missing"))?
            .uint(0)
    }

    async fn swap(
        &self,
        tx: &mut Tx,
        from: Option<&SignedHead>,
        frontier: &Frontier,
        to: &SignedHead,
    ) -> Result<bool, StoreError> {
        // No checkpoint is empty: where nothing is expected, a row that is there is no match.
        let from = from.map_or("", |from| &*from.checkpoint);
        let changed = tx
            .run(
                "INSERT INTO log_state (id, size, frontier, checkpoint, term)
                 VALUES (1, $1, $2, $3, $4)
                 ON CONFLICT (id) DO UPDATE SET size = excluded.size,
                     frontier = excluded.frontier, checkpoint = excluded.checkpoint,
                     term = excluded.term
                 WHERE log_state.checkpoint = $5",
                values![
                    to.head.size,
                    frontier.to_bytes(),
                    &*to.checkpoint,
                    to.term,
                    from
                ],
            )
            .await?;
        Ok(changed == 1)
    }
}

impl Store {
    /// The newest state of the log that was signed; nothing before the first leaf. The root is the
    /// one that the stored tree leads to.
    pub async fn newest_signed(&self) -> Result<Option<SignedHead>, StoreError> {
        let row = self
            .db
            .read_one(
                "read-newest",
                "SELECT size, frontier, checkpoint, term FROM log_state WHERE id = 1",
                vec![],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let frontier = Frontier::from_bytes(&row.blob(1)?)
            .map_err(|error| StoreError::damaged("log frontier", error.to_string()))?;
        Ok(Some(SignedHead {
            head: TreeHead {
                size: frontier.size(),
                root: frontier.root(),
            },
            checkpoint: row.text(2)?.into(),
            term: row.uint(3)?,
        }))
    }

    /// Whether the stored tree under `new` extends the one under `old`.
    ///
    /// # Errors
    /// If the database fails, or lacks hashes of the tree.
    pub async fn log_extends(&self, old: &TreeHead, new: &TreeHead) -> Result<bool, StoreError> {
        Ok(self.prove_log(old, new).await?.is_some())
    }

    /// The hashes that prove that the stored tree under `new` extends the one under `old`; nothing
    /// if it does not.
    ///
    /// # Errors
    /// If the database fails, or lacks hashes of the tree.
    pub async fn prove_log(
        &self,
        old: &TreeHead,
        new: &TreeHead,
    ) -> Result<Option<Vec<[u8; 32]>>, StoreError> {
        let Ok(nodes) = proof::consistency_nodes(old.size, new.size) else {
            return Ok(None);
        };
        let hashes = self.log_hashes(&nodes).await?;
        let path = proof::assemble_consistency(old.size, new.size, &hashes)
            .map_err(|error| StoreError::damaged("log tree", error.to_string()))?;
        let holds =
            proof::verify_consistency(old.size, new.size, &path, &old.root, &new.root).is_ok();
        Ok(holds.then_some(path))
    }
}
