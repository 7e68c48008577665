//! The ledger: the one way by which acts become durable, and what makes them true in the database.
//! How they are grouped and signed is the [sequencer](super::sequencer)'s business.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::act::{Act, Committed, Effect};
use super::db::{Tx, values};
use super::journal::JournalEntry;
use super::sequence::{TermKeeper, TermRefused};
use super::sequencer::Sequencer;
use super::{Store, StoreError};
use crate::envelope::merkle::Hash;

/// Signs checkpoints of the node's log.
///
/// Contract: deterministic, does no input or output, and fails never: the key was checked when
/// it was loaded.
pub trait LogSigner: Send + Sync + 'static {
    /// The checkpoint of a tree as a signed note.
    fn sign_checkpoint(&self, size: u64, root: &Hash) -> String;
}

/// What a ledger works with.
pub struct LedgerParts {
    /// The database.
    pub store: Store,
    /// Signs the checkpoints.
    pub signer: Arc<dyn LogSigner>,
    /// Says when a term may begin.
    pub keeper: Arc<dyn TermKeeper>,
}

/// Handle on the ledger's task. Cheap to clone; the task ends when the last handle is dropped.
#[derive(Clone)]
pub struct Ledger {
    acts: mpsc::Sender<Request>,
    standing: Standing,
}

/// Whether the log is signed, as the last attempt showed; nothing before the first.
pub(super) type Standing = Arc<Mutex<Option<Result<(), TermRefused>>>>;

pub(super) enum Request {
    Commit {
        act: Box<Act>,
        reply: oneshot::Sender<Result<Committed, StoreError>>,
    },
    Begin(oneshot::Sender<Result<(), StoreError>>),
    Revoke(TermRefused),
}

/// How many acts may wait; beyond it callers wait in turn.
const QUEUE: usize = 1024;

impl Ledger {
    /// Starts the ledger's task.
    #[must_use]
    pub fn start(parts: LedgerParts) -> Self {
        let (acts, queue) = mpsc::channel(QUEUE);
        let standing = Standing::default();
        let sequencer = Sequencer {
            store: parts.store,
            signer: parts.signer,
            keeper: parts.keeper,
            term: None,
            signed: None,
            litter: true,
            stated_ms: 0,
            revoked: None,
            standing: Arc::clone(&standing),
        };
        tokio::spawn(sequencer.run(queue));
        Self { acts, standing }
    }

    /// Commits one act: when this returns [`Committed::Done`], the act is durable.
    ///
    /// # Errors
    /// If the log is not signed now ([`StoreError::NotSigned`]), or the database fails; whether the
    /// act is durable is then unknown, and repeating it with the same [`Seen`](super::Seen) is safe.
    pub async fn commit(&self, act: Act) -> Result<Committed, StoreError> {
        let (reply, answer) = oneshot::channel();
        let act = Box::new(act);
        self.acts
            .send(Request::Commit { act, reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Begins a term if this process is in none. An empty log gets its first leaf.
    ///
    /// # Errors
    /// [`StoreError::NotSigned`] says why the log cannot be signed now; the next act tries again.
    pub async fn begin(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.acts
            .send(Request::Begin(reply))
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Ends signing for as long as this process runs: it was shown that the database went back.
    pub async fn revoke(&self, why: TermRefused) {
        // A task that has ended signs nothing.
        let _ = self.acts.send(Request::Revoke(why)).await;
    }

    /// Whether the log is signed, as the last attempt showed; nothing before the first.
    #[must_use]
    pub fn standing(&self) -> Option<Result<(), TermRefused>> {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Whether what an effect builds on is still so, for those that ask the database by themselves.
pub(super) async fn is_current(
    store: &Store,
    tx: &mut Tx,
    effect: &Effect,
) -> Result<bool, StoreError> {
    match effect {
        Effect::AsSurveyed(state) => Ok(Store::index_content_in(tx).await? == *state),
        Effect::SettingIs(name, expected) => store.setting_is(tx, name, expected.as_deref()).await,
        Effect::OpenEpoch(epoch) => Store::is_complete(tx, *epoch).await,
        Effect::PutRequest(row) => Store::request_is_current(tx, row).await,
        Effect::PutReceived { row, .. } => Store::received_is_current(tx, row).await,
        Effect::PutAccount { row, first } => Store::account_fits(tx, row, *first).await,
        Effect::AccountIs {
            account_id,
            version,
        } => Ok(Store::account_version(tx, account_id).await? == *version),
        Effect::StillHeld(record_id) => {
            let row = tx
                .read_one(
                    "SELECT record_id FROM records WHERE record_id = $1 AND newest = 1",
                    values![*record_id],
                )
                .await?;
            Ok(row.is_some())
        }
        _ => Ok(true),
    }
}

/// Does what an effect says, for those that are done by statements of their own; `entry` is what the
/// journal is told of it.
pub(super) async fn carry_out(
    store: &Store,
    tx: &mut Tx,
    effect: &Effect,
    leaf_index: u64,
    entry: &mut JournalEntry,
) -> Result<(), StoreError> {
    match effect {
        // The group writes these, or asks for them.
        Effect::Keep(..)
        | Effect::NoteProbes(..)
        | Effect::Owe(_)
        | Effect::HandOut(_)
        | Effect::AnsweredUnder(_) => Ok(()),
        // These only ask.
        Effect::StillHeld(_)
        | Effect::AccountIs { .. }
        | Effect::AsSurveyed(_)
        | Effect::SettingIs(..) => Ok(()),
        Effect::Alert => Store::show_alert(tx, leaf_index).await,
        Effect::Set(name, value) => store.put_setting(tx, name, value).await,
        Effect::PutRequest(row) => store.put_request(tx, row).await,
        Effect::PutReceived { row, holds_values } => {
            store.put_received(tx, row).await?;
            if *holds_values {
                Store::note_values(tx, row.ask_id, leaf_index).await?;
            }
            Ok(())
        }
        Effect::EraseValues(ask_id) => {
            entry.forgotten.push(*ask_id);
            Store::erase_values(tx, *ask_id).await
        }
        Effect::NoteTold(ref_tag) => Store::note_told(tx, *ref_tag, leaf_index).await,
        Effect::NoteAsked(ask_id) => Store::note_values(tx, *ask_id, leaf_index).await,
        Effect::NoteWithdrawn(request_id) => {
            entry.ended.push(*request_id);
            Ok(())
        }
        Effect::NoteLessened(account_id) => {
            entry.accounts.push(*account_id);
            Ok(())
        }
        Effect::LookAtRequests => Store::requests_are_stale(tx).await,
        Effect::Post(notice) => store.post(tx, notice).await,
        Effect::Unpost(notice_id) => Store::unpost(tx, *notice_id).await,
        Effect::PutAccount { row, .. } => store.put_account(tx, row).await,
        Effect::PutSession(session) => Store::put_session(tx, session).await,
        Effect::EndSession(token_hash) => Store::end_session(tx, token_hash).await,
        Effect::EndSessions(account_id) => Store::end_sessions(tx, account_id).await,
        Effect::NoteAuthors {
            import_id,
            account_id,
        } => Store::note_authors(tx, *import_id, *account_id).await,
        Effect::CommitImport(import_id) => {
            let guarded = store.commit_import(tx, *import_id, leaf_index).await?;
            entry.withdrawn.extend(guarded);
            Ok(())
        }
        Effect::Publish(mark) => Store::publish(tx, *mark).await,
        Effect::OpenEpoch(epoch) => store.open_epoch(tx, *epoch).await,
        Effect::LeaveEpoch(epoch) => Store::leave_epoch(tx, *epoch).await,
        Effect::MarkIndex => Store::index_is_marked(tx).await,
        Effect::Raise(alert) => store.raise(tx, leaf_index, alert).await,
        Effect::SilentChecked(end) => Store::silent_checked(tx, *end).await,
        Effect::Register(step) => Store::note_register(tx, step, leaf_index).await,
        Effect::Erase { ref_tag, siblings } => {
            store.erase(tx, *ref_tag, siblings).await?;
            entry.erased.push(*ref_tag);
            Ok(())
        }
    }
}
