//! The ledger: the one way by which acts become durable, and what makes them true in the database.
//! How they are grouped and signed is the [sequencer](super::sequencer)'s business.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::act::{Act, Committed, Debit, Drawn, Effect};
use super::db::{Tx, values};
use super::journal::JournalEntry;
use super::sequence::{SqlCell, TermKeeper, TermRefused};
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
    /// Whether no other process can be at work on this database. If others can, they take turns by
    /// a lease.
    pub exclusive: bool,
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

/// When a cumulative quota is forgotten.
const NEVER: u64 = i64::MAX as u64;

impl Ledger {
    /// Starts the ledger's task.
    #[must_use]
    pub fn start(parts: LedgerParts) -> Self {
        let (acts, queue) = mpsc::channel(QUEUE);
        let standing = Standing::default();
        let cell = SqlCell {
            holder: parts.store.ambient.random(),
            exclusive: parts.exclusive,
        };
        let sequencer = Sequencer {
            store: parts.store,
            signer: parts.signer,
            keeper: parts.keeper,
            cell,
            term: None,
            signed: None,
            unsure: None,
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

/// Checks what would refuse the act, and draws on its quotas.
pub(super) async fn guard(
    tx: &mut Tx,
    act: &Act,
    entry: &mut JournalEntry,
) -> Result<Result<Vec<Drawn>, Committed>, StoreError> {
    if let Some(seen) = &act.seen {
        let earlier = tx
            .read_one(
                "SELECT query_digest, leaf_index FROM seen WHERE seen_tag = $1",
                values![seen.tag],
            )
            .await?;
        if let Some(row) = earlier {
            return Ok(Err(if row.blob(0)? == seen.query_digest {
                Committed::Repeated {
                    leaf_index: row.uint(1)?,
                }
            } else {
                Committed::Reused
            }));
        }
    }
    for effect in &act.effects {
        if let Effect::NoteProbes(tag, state) = effect
            && !Store::probes_are_current(tx, *tag, state).await?
        {
            return Ok(Err(Committed::Stale));
        }
        if let Effect::OpenEpoch(epoch) = effect
            && !Store::is_complete(tx, *epoch).await?
        {
            return Ok(Err(Committed::Stale));
        }
        let current = match effect {
            Effect::PutRequest(row) => Store::request_is_current(tx, row).await?,
            Effect::PutReceived { row, .. } => Store::received_is_current(tx, row).await?,
            Effect::PutAccount { row, first } => Store::account_fits(tx, row, *first).await?,
            Effect::AsSurveyed(state) => Store::index_content_in(tx).await? == *state,
            Effect::AnsweredUnder(mark) => Store::index_mark_in(tx).await? == *mark,
            Effect::AccountIs {
                account_id,
                version,
            } => Store::account_version(tx, account_id).await? == *version,
            _ => true,
        };
        if !current {
            return Ok(Err(Committed::Stale));
        }
        if let Effect::StillHeld(record_id) = effect
            && tx
                .read_one(
                    "SELECT record_id FROM records WHERE record_id = $1 AND newest = 1",
                    values![*record_id],
                )
                .await?
                .is_none()
        {
            return Ok(Err(Committed::Stale));
        }
    }
    // All are looked at before any is drawn on: a refused act draws on none.
    let mut draws = Vec::with_capacity(act.debits.len());
    for debit in &act.debits {
        match choose(tx, debit).await? {
            Ok(draw) => draws.push(draw),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    let mut drawn = Vec::with_capacity(draws.len());
    for (debit, before) in draws {
        tx.run(
            "INSERT INTO quotas (quota_tag, used, expires_ms) VALUES ($1, $2, $3)
             ON CONFLICT (quota_tag) DO UPDATE SET used = quotas.used + excluded.used",
            values![debit.tag, debit.amount, debit.expires_ms.unwrap_or(NEVER)],
        )
        .await?;
        let expires_ms = debit.expires_ms.unwrap_or(NEVER);
        entry.used.push((debit.tag, debit.amount, expires_ms));
        drawn.push(Drawn {
            quota: debit.quota,
            amount: debit.amount,
            used: before.saturating_add(debit.amount),
            limit: debit.limit,
        });
    }
    Ok(Ok(drawn))
}

/// The first of a debit's allowances that suffices, with what was used of it before.
async fn choose<'a>(
    tx: &mut Tx,
    debit: &'a Debit,
) -> Result<Result<(&'a Debit, u64), Committed>, StoreError> {
    let mut allowance = debit;
    loop {
        let used = tx
            .read_one(
                "SELECT used FROM quotas WHERE quota_tag = $1",
                values![allowance.tag],
            )
            .await?
            .map_or(Ok(0), |row| row.uint(0))?;
        if used.saturating_add(allowance.amount) <= allowance.limit {
            return Ok(Ok((allowance, used)));
        }
        match &allowance.otherwise {
            Some(next) => allowance = next,
            None => {
                return Ok(Err(Committed::OverQuota {
                    quota: allowance.quota,
                    asked: allowance.amount,
                    used,
                    limit: allowance.limit,
                }));
            }
        }
    }
}

pub(super) async fn apply(
    store: &Store,
    tx: &mut Tx,
    act: &Act,
    leaf_index: u64,
    entry: &mut JournalEntry,
) -> Result<(), StoreError> {
    if let Some(seen) = &act.seen {
        entry
            .seen
            .push((seen.tag, seen.query_digest, leaf_index, seen.expires_ms));
        tx.run(
            "INSERT INTO seen (seen_tag, query_digest, leaf_index, expires_ms)
             VALUES ($1, $2, $3, $4)",
            values![seen.tag, seen.query_digest, leaf_index, seen.expires_ms],
        )
        .await?;
    }
    for effect in &act.effects {
        match effect {
            Effect::Keep(part, evidence) => {
                store.keep(tx, leaf_index, *part, evidence).await?;
            }
            Effect::NoteProbes(tag, state) => store.note_probes(tx, *tag, state).await?,
            Effect::Alert => Store::show_alert(tx, leaf_index).await?,
            Effect::Set(name, value) => store.put_setting(tx, name, value).await?,
            Effect::Owe(receipt) => store.owe(tx, receipt).await?,
            Effect::StillHeld(_)
            | Effect::AccountIs { .. }
            | Effect::AsSurveyed(_)
            | Effect::AnsweredUnder(_) => {}
            Effect::PutRequest(row) => store.put_request(tx, row).await?,
            Effect::PutReceived { row, holds_values } => {
                store.put_received(tx, row).await?;
                if *holds_values {
                    Store::note_values(tx, row.ask_id, leaf_index).await?;
                }
            }
            Effect::EraseValues(ask_id) => {
                Store::erase_values(tx, *ask_id).await?;
                entry.forgotten.push(*ask_id);
            }
            Effect::NoteTold(ref_tag) => Store::note_told(tx, *ref_tag, leaf_index).await?,
            Effect::NoteAsked(ask_id) => Store::note_values(tx, *ask_id, leaf_index).await?,
            Effect::Post(notice) => store.post(tx, notice).await?,
            Effect::Unpost(notice_id) => Store::unpost(tx, *notice_id).await?,
            Effect::PutAccount { row, .. } => store.put_account(tx, row).await?,
            Effect::PutSession(session) => Store::put_session(tx, session).await?,
            Effect::EndSession(token_hash) => Store::end_session(tx, token_hash).await?,
            Effect::EndSessions(account_id) => Store::end_sessions(tx, account_id).await?,
            Effect::NoteAuthors {
                import_id,
                account_id,
            } => Store::note_authors(tx, *import_id, *account_id).await?,
            Effect::HandOut(lead) => store.hand_out(tx, lead).await?,
            Effect::CommitImport(import_id) => {
                let guarded = store.commit_import(tx, *import_id, leaf_index).await?;
                entry.withdrawn.extend(guarded);
            }
            Effect::Publish(mark) => Store::publish(tx, *mark).await?,
            Effect::OpenEpoch(epoch) => store.open_epoch(tx, *epoch).await?,
            Effect::LeaveEpoch(epoch) => Store::leave_epoch(tx, *epoch).await?,
            Effect::MarkIndex => Store::index_is_marked(tx).await?,
            Effect::Raise(alert) => store.raise(tx, leaf_index, alert).await?,
            Effect::SilentChecked(end) => Store::silent_checked(tx, *end).await?,
            Effect::Register(step) => Store::note_register(tx, step, leaf_index).await?,
            Effect::Erase { ref_tag, siblings } => {
                store.erase(tx, *ref_tag, siblings).await?;
                entry.erased.push(*ref_tag);
            }
        }
    }
    Ok(())
}
