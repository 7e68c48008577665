//! The sequencer: takes acts in groups, appends their leaves, signs, and lets the answers go.
//!
//! Acts are committed in groups: while one group is on its way to the disk the next gathers, so
//! the cost of making a commit durable is shared under load and nobody waits when there is none.
//! In one transaction the group's guards are checked, its effects applied, its leaves appended,
//! the checkpoint signed, and the answers, which carry that checkpoint, built and kept. Only then
//! do the answers leave.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::act::{Act, Committed, Position};
use super::journal::JournalEntry;
use super::ledger::{LogSigner, Request, Standing, apply, guard};
use super::sequence::{
    CheckpointCell as _, LEASE_MS, SignedHead, SqlCell, TermKeeper, TermRefused,
};
use super::{EvidencePart, Store, StoreError};
use crate::ambient::fault;
use crate::envelope::merkle::leaf_hash;
use crate::tlog::TreeHead;

/// How many acts share one commit at most, which bounds how long one waits for the others.
const GROUP: usize = 128;

/// How often an idle sequencer says that it is still there.
const RENEW: Duration = Duration::from_millis(LEASE_MS / 3);

pub(super) struct Sequencer {
    pub(super) store: Store,
    pub(super) signer: Arc<dyn LogSigner>,
    pub(super) keeper: Arc<dyn TermKeeper>,
    pub(super) cell: SqlCell,
    /// The term that this process is in, if it is in one.
    pub(super) term: Option<u64>,
    /// The newest state that this process knows to be signed: what the database must still hold.
    pub(super) signed: Option<SignedHead>,
    /// A state whose commit failed: the database may hold it all the same.
    pub(super) unsure: Option<SignedHead>,
    /// Why this process never signs again.
    pub(super) revoked: Option<TermRefused>,
    /// What others are told.
    pub(super) standing: Standing,
}

/// Why a group was not confirmed.
enum GroupFailed {
    /// Nothing of it is in the database.
    Undone(StoreError),
    /// The commit failed; the database may hold the group all the same.
    Unsure {
        error: StoreError,
        next: SignedHead,
        outcomes: Vec<Committed>,
    },
}

impl From<StoreError> for GroupFailed {
    fn from(error: StoreError) -> Self {
        Self::Undone(error)
    }
}

impl From<TermRefused> for GroupFailed {
    fn from(refused: TermRefused) -> Self {
        Self::Undone(refused.into())
    }
}

impl Sequencer {
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        let mut renewal = tokio::time::interval(RENEW);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                taken = queue.recv_many(&mut group, GROUP) => {
                    if taken == 0 {
                        break;
                    }
                    let taken = std::mem::replace(&mut group, Vec::with_capacity(GROUP));
                    self.serve(taken).await;
                }
                _ = renewal.tick(), if self.term.is_some() && !self.cell.exclusive => {
                    self.renew().await;
                }
            }
        }
        self.leave().await;
    }

    async fn serve(&mut self, requests: Vec<Request>) {
        let mut acts = Vec::with_capacity(requests.len());
        let mut replies = Vec::with_capacity(requests.len());
        let mut waiting = Vec::new();
        for request in requests {
            match request {
                Request::Commit { act, reply } => {
                    acts.push(*act);
                    replies.push(reply);
                }
                Request::Begin(reply) => waiting.push(reply),
                Request::Revoke(why) => {
                    tracing::error!(%why, "the log is not signed any more");
                    self.term = None;
                    self.revoked = Some(why);
                }
            }
        }
        let begun = self.begin().await;
        match &begun {
            Ok(()) => self.stands(Ok(())),
            Err(StoreError::NotSigned(why)) => self.stands(Err(why.clone())),
            Err(_) => {}
        }
        for reply in waiting {
            let _ = reply.send(match &begun {
                Ok(()) => Ok(()),
                Err(error) => Err(error.again()),
            });
        }
        if let Err(error) = begun {
            if !replies.is_empty() {
                tracing::error!(%error, acts = replies.len(), "acts could not be committed");
            }
            for reply in replies {
                let _ = reply.send(Err(error.again()));
            }
            return;
        }
        if !acts.is_empty() {
            self.commit(acts, replies).await;
        }
    }

    fn stands(&self, now: Result<(), TermRefused>) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Commits acts together or, if that fails, each alone: one bad act must not fail its
    /// neighbours.
    async fn commit(
        &mut self,
        acts: Vec<Act>,
        replies: Vec<oneshot::Sender<Result<Committed, StoreError>>>,
    ) {
        match self.commit_settled(&acts).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // A caller that has gone away has still done what it asked for.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) if acts.len() == 1 || self.term.is_none() || self.unsure.is_some() => {
                tracing::error!(%error, acts = acts.len(), "acts could not be committed");
                for reply in replies {
                    let _ = reply.send(Err(error.again()));
                }
            }
            Err(error) => {
                tracing::warn!(%error, acts = acts.len(), "a group of acts is committed one by one");
                for (act, reply) in acts.iter().zip(replies) {
                    let outcome = self
                        .commit_settled(std::slice::from_ref(act))
                        .await
                        .map(|mut outcomes| outcomes.remove(0));
                    let _ = reply.send(outcome);
                }
            }
        }
    }

    /// Commits a group. Where the commit was not confirmed the database is asked what became of it,
    /// so that nothing is done twice.
    async fn commit_settled(&mut self, acts: &[Act]) -> Result<Vec<Committed>, StoreError> {
        match self.commit_group(acts).await {
            Ok(outcomes) => Ok(outcomes),
            Err(GroupFailed::Undone(error)) => Err(error),
            Err(GroupFailed::Unsure {
                error,
                next,
                outcomes,
            }) => {
                let found = self.store.newest_signed().await;
                // Kept even where the old state is found: a database that lost the connection may
                // still be at work on the commit.
                self.unsure = Some(next.clone());
                match found {
                    Ok(Some(found)) if found.checkpoint == next.checkpoint => {
                        tracing::warn!(%error, "a commit was reported failed and is durable");
                        self.advance(next);
                        Ok(outcomes)
                    }
                    Ok(found) if found == self.signed => {
                        // Nobody else is at work on this database: what is not there now never
                        // will be.
                        if self.cell.exclusive {
                            self.unsure = None;
                        }
                        Err(error)
                    }
                    _ => Err(error),
                }
            }
        }
    }

    async fn commit_group(&mut self, acts: &[Act]) -> Result<Vec<Committed>, GroupFailed> {
        let term = self.term.ok_or(TermRefused::Elsewhere)?;
        let mut tx = self.store.db.begin("commit-acts").await?;
        fault::point("ledger.begun");
        let state = self.cell.newest(&mut tx).await?;
        self.recognise(state.newest.as_ref())?;
        let mut frontier = state.frontier;
        let old_size = frontier.size();
        // What is signed next extends what was signed last, or nothing is signed: a frontier that
        // was altered in the database would otherwise become a fork under this node's signature.
        if let Some(newest) = &state.newest
            && *self.signer.sign_checkpoint(old_size, &frontier.root()) != *newest.checkpoint
        {
            return Err(GroupFailed::Undone(StoreError::damaged(
                "log checkpoint",
                "it is not the one of the stored tree",
            )));
        }
        let mut outcomes = Vec::with_capacity(acts.len());
        let mut entry = JournalEntry::default();
        for act in acts {
            let outcome = match guard(&mut tx, act, &mut entry).await? {
                Err(refusal) => Err(refusal),
                Ok(drawn) => {
                    let hash = leaf_hash(&act.leaf);
                    let leaf_index = self
                        .store
                        .append_leaf(&mut tx, &mut frontier, &act.leaf, hash)
                        .await?;
                    apply(&self.store, &mut tx, act, leaf_index, &mut entry).await?;
                    Ok((leaf_index, hash, drawn))
                }
            };
            outcomes.push(outcome);
        }
        if frontier.size() == old_size {
            // Nothing was done: there is nothing to make durable.
            return Ok(outcomes.into_iter().filter_map(Result::err).collect());
        }
        let head = TreeHead {
            size: frontier.size(),
            root: frontier.root(),
        };
        let next = SignedHead {
            head,
            checkpoint: self.signer.sign_checkpoint(head.size, &head.root).into(),
            term,
        };
        let mut done = Vec::with_capacity(acts.len());
        for (act, outcome) in acts.iter().zip(outcomes) {
            done.push(match outcome {
                Err(refusal) => refusal,
                Ok((leaf_index, leaf_hash, drawn)) => {
                    let position = Position {
                        leaf_index,
                        leaf_hash,
                        checkpoint: Arc::clone(&next.checkpoint),
                        drawn: drawn.into(),
                    };
                    let answer = act.answer.as_ref().map(|build| build(&position));
                    if let Some(answer) = &answer {
                        self.store
                            .keep(&mut tx, leaf_index, EvidencePart::Answer, answer)
                            .await?;
                    }
                    Committed::Done { position, answer }
                }
            });
        }
        let until_ms = self.store.ambient.now_ms().saturating_add(LEASE_MS);
        let held = self.cell.hold(&mut tx, term, until_ms).await?
            && self
                .cell
                .swap(&mut tx, state.newest.as_ref(), &frontier, &next)
                .await?;
        if !held {
            self.term = None;
            return Err(TermRefused::Elsewhere.into());
        }
        entry.size = head.size;
        entry.root = head.root;
        entry.origin = JournalEntry::origin_of(&next.checkpoint);
        self.store.keep_line(&mut tx, &entry).await?;
        fault::point("ledger.ready");
        match tx.commit().await {
            Ok(()) => {
                fault::point("ledger.durable");
                self.store.note_in_journal(&entry);
                self.advance(next);
                Ok(done)
            }
            Err(error) => Err(GroupFailed::Unsure {
                error,
                next,
                outcomes: done,
            }),
        }
    }

    /// A state is durable; after this, answers that rest on it may leave.
    fn advance(&mut self, next: SignedHead) {
        self.keeper.signed(&next);
        self.signed = Some(next);
        self.unsure = None;
    }

    /// Holds what the database has against what this process knows it must have.
    fn recognise(&mut self, found: Option<&SignedHead>) -> Result<(), TermRefused> {
        let text = |state: Option<&SignedHead>| state.map(|state| Arc::clone(&state.checkpoint));
        if text(found) == text(self.signed.as_ref()) {
            return Ok(());
        }
        if found.is_some() && text(found) == text(self.unsure.as_ref()) {
            if let Some(unsure) = self.unsure.take() {
                self.advance(unsure);
            }
            return Ok(());
        }
        // Either another process went on, or the database went back: the next term tells which.
        self.term = None;
        Err(TermRefused::Elsewhere)
    }

    /// Begins a term unless this process is in one, and the log if it is empty.
    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.term.is_none() {
            self.begin_term().await?;
        }
        // Also in a term that could not get so far before: no other leaf may be the first.
        if self.signed.is_none()
            && let Some(leaf) = self.keeper.first_leaf()
        {
            self.commit_settled(&[Act::alone(leaf)]).await?;
        }
        Ok(())
    }

    async fn begin_term(&mut self) -> Result<(), StoreError> {
        if let Some(why) = &self.revoked {
            return Err(why.clone().into());
        }
        let newest = self.store.newest_signed().await?;
        self.check_memory(newest.as_ref()).await?;
        self.keeper.may_begin(&self.store, newest.as_ref()).await?;
        let mut tx = self.store.db.begin("begin-term").await?;
        let state = self.cell.newest(&mut tx).await?;
        if state.newest != newest {
            return Err(TermRefused::Elsewhere.into());
        }
        let now_ms = self.store.ambient.now_ms();
        let Some(term) = self.cell.claim(&mut tx, now_ms).await? else {
            return Err(TermRefused::Elsewhere.into());
        };
        tx.commit().await?;
        self.keeper.begun(term, newest.as_ref());
        tracing::info!(term, "this process signs the log");
        self.term = Some(term);
        self.unsure = None;
        self.signed = newest;
        Ok(())
    }

    /// What this process has seen signed must still be there.
    async fn check_memory(&self, newest: Option<&SignedHead>) -> Result<(), StoreError> {
        let by = || "this process".to_owned();
        let Some(signed) = &self.signed else {
            return Ok(());
        };
        let held = newest.map_or(0, |newest| newest.head.size);
        let Some(newest) = newest.filter(|_| held >= signed.head.size) else {
            return Err(TermRefused::Behind {
                held,
                known: signed.head.size,
                by: by(),
            }
            .into());
        };
        if self.store.log_extends(&signed.head, &newest.head).await? {
            Ok(())
        } else {
            Err(TermRefused::Forked {
                size: signed.head.size,
                by: by(),
            }
            .into())
        }
    }

    async fn renew(&mut self) {
        let Some(term) = self.term else { return };
        let until_ms = self.store.ambient.now_ms().saturating_add(LEASE_MS);
        match self.prolong(term, until_ms).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(term, "another process of this node signs the log now");
                self.term = None;
            }
            Err(error) => tracing::warn!(%error, "the term could not be prolonged"),
        }
    }

    /// Lets the next process begin at once.
    async fn leave(&mut self) {
        if let Some(term) = self.term.take()
            && !self.cell.exclusive
            && let Err(error) = self.prolong(term, 0).await
        {
            tracing::debug!(%error, "the term runs out by itself");
        }
    }

    async fn prolong(&self, term: u64, until_ms: u64) -> Result<bool, StoreError> {
        let mut tx = self.store.db.begin("hold-term").await?;
        let held = self.cell.hold(&mut tx, term, until_ms).await?;
        tx.commit().await?;
        Ok(held)
    }
}

#[cfg(test)]
#[path = "sequencer_tests.rs"]
mod tests;
