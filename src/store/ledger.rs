//! The ledger: the one way by which acts become durable.
//!
//! Acts are committed in groups: while one group is on its way to the disk the next gathers, so
//! the cost of making a commit durable is shared under load and nobody waits when there is none.
//! In one transaction the group's guards are checked, its effects applied, its leaves appended,
//! the checkpoint signed, and the answers, which carry that checkpoint, built and kept. Only then
//! do the answers leave.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::act::{Act, Committed, Debit, Drawn, Effect, Position};
use super::db::{Tx, values};
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

/// Handle on the ledger's task. Cheap to clone; the task ends when the last handle is dropped.
#[derive(Clone)]
pub struct Ledger {
    acts: mpsc::Sender<Request>,
}

struct Request {
    act: Act,
    reply: oneshot::Sender<Result<Committed, StoreError>>,
}

/// How many acts may wait; beyond it callers wait in turn.
const QUEUE: usize = 1024;

/// When a cumulative quota is forgotten.
const NEVER: u64 = i64::MAX as u64;

/// How many acts share one commit at most, which bounds how long one waits for the others.
const GROUP: usize = 128;

impl Ledger {
    /// Starts the ledger's task on `store`.
    #[must_use]
    pub fn start(store: Store, signer: Arc<dyn LogSigner>) -> Self {
        let (acts, queue) = mpsc::channel(QUEUE);
        tokio::spawn(run(store, signer, queue));
        Self { acts }
    }

    /// Commits one act: when this returns [`Committed::Done`], the act is durable.
    ///
    /// # Errors
    /// If the database fails; whether the act is durable is then unknown, and repeating it with
    /// the same [`Seen`](super::Seen) is safe.
    pub async fn commit(&self, act: Act) -> Result<Committed, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.acts
            .send(Request { act, reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

async fn run(store: Store, signer: Arc<dyn LogSigner>, mut queue: mpsc::Receiver<Request>) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.recv_many(&mut group, GROUP).await > 0 {
        let (acts, replies): (Vec<Act>, Vec<_>) = group
            .drain(..)
            .map(|request| (request.act, request.reply))
            .unzip();
        match commit_group(&store, signer.as_ref(), &acts).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // A caller that has gone away has still done what it asked for.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) if acts.len() == 1 => {
                tracing::error!(%error, "an act could not be committed");
                if let Some(reply) = replies.into_iter().next() {
                    let _ = reply.send(Err(error));
                }
            }
            Err(error) => {
                // One bad act must not fail its neighbours: each is tried alone.
                tracing::warn!(%error, acts = acts.len(), "a group of acts is committed one by one");
                for (act, reply) in acts.iter().zip(replies) {
                    let outcome = commit_group(&store, signer.as_ref(), std::slice::from_ref(act))
                        .await
                        .map(|mut outcomes| outcomes.remove(0));
                    let _ = reply.send(outcome);
                }
            }
        }
    }
}

async fn commit_group(
    store: &Store,
    signer: &dyn LogSigner,
    acts: &[Act],
) -> Result<Vec<Committed>, StoreError> {
    let mut tx = store.db.begin("commit-acts").await?;
    let state = Store::log_state(&mut tx).await?;
    let mut frontier = state.frontier;
    let old_size = frontier.size();
    // What is signed next extends what was signed last, or nothing is signed: a frontier that was
    // altered in the database would otherwise become a fork under this node's own signature.
    if old_size > 0 && signer.sign_checkpoint(old_size, &frontier.root()) != state.checkpoint {
        return Err(StoreError::damaged(
            "log checkpoint",
            "it is not the one of the stored tree",
        ));
    }
    let mut outcomes = Vec::with_capacity(acts.len());
    for act in acts {
        let outcome = match guard(&mut tx, act).await? {
            Err(refusal) => Err(refusal),
            Ok(drawn) => {
                let leaf_index = store.append_leaf(&mut tx, &mut frontier, &act.leaf).await?;
                apply(store, &mut tx, act, leaf_index).await?;
                Ok((leaf_index, drawn))
            }
        };
        outcomes.push(outcome);
    }
    if frontier.size() == old_size {
        // Nothing was done: there is nothing to make durable.
        return Ok(outcomes.into_iter().filter_map(Result::err).collect());
    }
    let checkpoint: Arc<str> = signer
        .sign_checkpoint(frontier.size(), &frontier.root())
        .into();
    let mut done = Vec::with_capacity(acts.len());
    for (act, outcome) in acts.iter().zip(outcomes) {
        done.push(match outcome {
            Err(refusal) => refusal,
            Ok((leaf_index, drawn)) => {
                let position = Position {
                    leaf_index,
                    checkpoint: Arc::clone(&checkpoint),
                    drawn: drawn.into(),
                };
                let answer = act.answer.as_ref().map(|build| build(&position));
                if let Some(answer) = &answer {
                    store
                        .keep(&mut tx, leaf_index, super::EvidencePart::Answer, answer)
                        .await?;
                }
                Committed::Done { position, answer }
            }
        });
    }
    Store::save_log_state(&mut tx, old_size, &frontier, &checkpoint).await?;
    tx.commit().await?;
    Ok(done)
}

/// Checks what would refuse the act, and draws on its quotas.
async fn guard(tx: &mut Tx, act: &Act) -> Result<Result<Vec<Drawn>, Committed>, StoreError> {
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
        if let Effect::StillHeld(record_id) = effect
            && tx
                .read_one(
                    "SELECT record_id FROM records WHERE record_id = $1",
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

async fn apply(store: &Store, tx: &mut Tx, act: &Act, leaf_index: u64) -> Result<(), StoreError> {
    if let Some(seen) = &act.seen {
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
            Effect::StillHeld(_) => {}
            Effect::Alert => Store::show_alert(tx, leaf_index).await?,
            Effect::Set(name, value) => store.put_setting(tx, name, value).await?,
            Effect::HandOut(lead) => store.hand_out(tx, lead).await?,
            Effect::CommitImport(import_id) => {
                store.commit_import(tx, *import_id, leaf_index).await?;
            }
            Effect::Publish => Store::publish(tx).await?,
            Effect::OpenEpoch(epoch) => Store::open_epoch(tx, *epoch).await?,
            Effect::LeaveEpoch(epoch) => Store::leave_epoch(tx, *epoch).await?,
            Effect::MarkIndex => Store::index_is_marked(tx).await?,
            Effect::Raise(alert) => store.raise(tx, leaf_index, alert).await?,
            Effect::SilentChecked(end) => Store::silent_checked(tx, *end).await?,
            Effect::Erase { ref_tag } => Store::erase(tx, *ref_tag).await?,
        }
    }
    Ok(())
}
