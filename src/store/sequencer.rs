//! The sequencer: takes acts in groups, appends their leaves, signs, and lets the answers go.
//!
//! Acts are committed in groups: while one group is on its way to the disk the next gathers, so
//! the cost of making a commit durable is shared under load and nobody waits when there is none.
//! In one transaction the group's guards are checked, its effects applied, its leaves appended,
//! the checkpoint signed, and the answers, which carry that checkpoint, built and kept. Only then
//! do the answers leave.
//!
//! Every process of a node has a sequencer, and all of them append to one log. The database puts
//! their groups in order: one transaction writes at a time, and each replaces the very checkpoint
//! that it read at its beginning. What is signed leaves the process only once that is durable, so
//! no process, however late it wakes, can let a fork out.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::act::{Act, Committed, Position};
use super::db::{Tx, values};
use super::group::Group;
use super::journal::JournalEntry;
use super::ledger::{LogSigner, Request, Standing};
use super::sequence::{
    CellState, CheckpointCell as _, SignedHead, SqlCell, TermKeeper, TermRefused,
};
use super::{EvidencePart, Store, StoreError};
use crate::ambient::fault;
use crate::envelope::merkle::leaf_hash;
use crate::tlog::TreeHead;

/// How many acts share one commit at most, which bounds how long one waits for the others.
const GROUP: usize = 128;

/// How long a group waits for more acts where several are under way at once. A group costs as much
/// as some twenty acts in it, and they wait for the disk about as long anyway; a single act waits
/// for nobody.
const GATHER: Duration = Duration::from_millis(3);

/// How far the clock may be behind the latest leaf before the log says that it was set back. Acts are
/// timed before they are put in order, and processes of one node have clocks of their own.
const SET_BACK_MS: u64 = 60_000;

/// How often a term, or a group in it, is tried when it ends under one's hands.
const TRIES: usize = 3;

pub(super) struct Sequencer {
    pub(super) store: Store,
    pub(super) signer: Arc<dyn LogSigner>,
    pub(super) keeper: Arc<dyn TermKeeper>,
    /// The term that this process is in, if it is in one.
    pub(super) term: Option<Term>,
    /// The newest state that this process knows to be signed, by itself or by another process: what
    /// the database must still hold.
    pub(super) signed: Option<SignedHead>,
    /// Whether evidence may be left behind leaves that never came to be ([`Sequencer::clear`]).
    pub(super) litter: bool,
    /// The latest time that a leaf states, as far as this process knows.
    pub(super) stated_ms: u64,
    /// Why this process never signs again.
    pub(super) revoked: Option<TermRefused>,
    /// What others are told.
    pub(super) standing: Standing,
}

/// The time in which this process may sign without asking anyone. It lasts no longer than the
/// process's session with the database: as long as that stands, it is the same server, which has
/// not been started anew, and no older state can have taken the place of the newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    number: u64,
    session: u64,
}

/// Why a group was not confirmed.
enum GroupFailed {
    /// Nothing of it is in the database.
    Undone(StoreError),
    /// The commit failed; the database may hold the group all the same.
    Unsure {
        error: StoreError,
        next: SignedHead,
        entry: Box<JournalEntry>,
        outcomes: Vec<Committed>,
    },
}

/// Why a group is not done.
struct NotDone {
    error: StoreError,
    /// Whether the database is known to hold nothing of it.
    undone: bool,
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
        while queue.recv_many(&mut group, GROUP).await > 0 {
            if group.len() > 1 && group.len() + queue.len() < GROUP {
                tokio::time::sleep(GATHER).await;
            }
            while group.len() < GROUP
                && let Ok(request) = queue.try_recv()
            {
                group.push(request);
            }
            let taken = std::mem::replace(&mut group, Vec::with_capacity(GROUP));
            self.serve(taken).await;
        }
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
        match self.commit_in_term(&acts).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // A caller that has gone away has still done what it asked for.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(NotDone { error, undone })
                if acts.len() == 1
                    || !undone
                    || matches!(error, StoreError::NotSigned(_) | StoreError::Away { .. }) =>
            {
                tracing::error!(%error, acts = acts.len(), "acts could not be committed");
                for reply in replies {
                    let _ = reply.send(Err(error.again()));
                }
            }
            Err(NotDone { error, .. }) => {
                tracing::warn!(%error, acts = acts.len(), "a group of acts is committed one by one");
                for (act, reply) in acts.iter().zip(replies) {
                    let outcome = self
                        .commit_in_term(std::slice::from_ref(act))
                        .await
                        .map(|mut outcomes| outcomes.remove(0))
                        .map_err(|failed| failed.error);
                    let _ = reply.send(outcome);
                }
            }
        }
    }

    /// Commits a group, in a new term if the one that this process is in ends, and once more if
    /// what another process left behind may have been in its way.
    async fn commit_in_term(&mut self, acts: &[Act]) -> Result<Vec<Committed>, NotDone> {
        let mut tries = 1;
        loop {
            let cleared = self.litter;
            let failed = match self.commit_after_clock(acts).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(failed) => failed,
            };
            self.litter = true;
            let ended = matches!(failed.error, StoreError::NotSigned(TermRefused::Elsewhere));
            let littered =
                failed.undone && !cleared && matches!(failed.error, StoreError::Statement { .. });
            if !(ended || littered) || tries == TRIES {
                return Err(failed);
            }
            tries += 1;
            self.begin().await.map_err(|error| NotDone {
                error,
                undone: true,
            })?;
        }
    }

    /// Commits a group, and before it, where the clock was set back, the leaf that says so.
    async fn commit_after_clock(&mut self, acts: &[Act]) -> Result<Vec<Committed>, NotDone> {
        let now_ms = self.store.ambient.now_ms();
        if now_ms.saturating_add(SET_BACK_MS) < self.stated_ms
            && let Some(leaf) = self.keeper.set_back(self.stated_ms)
        {
            self.commit_settled(&[Act::alone(leaf)], false).await?;
            self.stated_ms = now_ms;
        }
        self.commit_settled(acts, false).await
    }

    /// Commits a group, as [`Self::commit_group`] does. Where the commit was not confirmed the
    /// database is asked what became of it, so that nothing is done twice.
    async fn commit_settled(
        &mut self,
        acts: &[Act],
        first: bool,
    ) -> Result<Vec<Committed>, NotDone> {
        let (error, next, entry, outcomes) = match self.commit_group(acts, first).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(GroupFailed::Undone(error)) => {
                return Err(NotDone {
                    error,
                    undone: true,
                });
            }
            Err(GroupFailed::Unsure {
                error,
                next,
                entry,
                outcomes,
            }) => (error, next, entry, outcomes),
        };
        match self.settle(&next).await {
            Ok(true) => {
                tracing::warn!(%error, "a commit was reported failed and is durable");
                self.store.note_in_journal(&entry);
                self.advance(next);
                Ok(outcomes)
            }
            Ok(false) => Err(NotDone {
                error,
                undone: true,
            }),
            // Whatever became of it, what is signed next extends what the database holds then.
            Err(_) => Err(NotDone {
                error,
                undone: false,
            }),
        }
    }

    /// Whether a state whose commit failed is in the database. The writer's place is had only once
    /// whatever held it has ended, so what is not there then never will be.
    async fn settle(&mut self, next: &SignedHead) -> Result<bool, StoreError> {
        let mut tx = self.store.db.begin("settle").await?;
        let state = SqlCell.newest(&mut tx).await?;
        drop(tx);
        match &state.newest {
            Some(found) if found.checkpoint == next.checkpoint => Ok(true),
            Some(found) if found.head.size > next.head.size => {
                self.store.log_extends(&next.head, &found.head).await
            }
            _ => Ok(false),
        }
    }

    /// Commits a group; `first` says that it is the one with which the log begins, which is left
    /// out where another process was sooner.
    async fn commit_group(
        &mut self,
        acts: &[Act],
        first: bool,
    ) -> Result<Vec<Committed>, GroupFailed> {
        let term = self.term.ok_or(TermRefused::Elsewhere)?;
        let mut tx = self.store.db.begin("commit-acts").await?;
        fault::point("ledger.begun");
        if tx.session() != term.session {
            self.term = None;
            return Err(TermRefused::Elsewhere.into());
        }
        let state = SqlCell.newest(&mut tx).await?;
        self.recognise(&state).await?;
        if first && state.newest.is_some() {
            return Ok(Vec::new());
        }
        let mut frontier = state.frontier;
        let old_size = frontier.size();
        if self.litter {
            self.clear(&mut tx, old_size).await?;
        }
        let mut group = Group::open(&self.store, &mut tx, acts).await?;
        let mut outcomes = Vec::with_capacity(acts.len());
        for act in acts {
            let hash = leaf_hash(&act.leaf);
            let taken = group.take(&mut tx, &mut frontier, act, hash).await?;
            outcomes.push(taken.map(|(leaf_index, drawn)| (leaf_index, hash, drawn)));
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
            term: term.number,
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
                        group.keep(leaf_index, EvidencePart::Answer, answer)?;
                    }
                    Committed::Done { position, answer }
                }
            });
        }
        group.write(&mut tx).await?;
        let swapped = SqlCell
            .swap(&mut tx, state.newest.as_ref(), &frontier, &next)
            .await?;
        if !swapped {
            self.term = None;
            return Err(TermRefused::Elsewhere.into());
        }
        let mut entry = group.into_entry();
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
                let stated = acts.iter().filter_map(|act| stated_ms(&act.leaf)).max();
                self.stated_ms = self.stated_ms.max(stated.unwrap_or(0));
                Ok(done)
            }
            Err(error) => Err(GroupFailed::Unsure {
                error,
                next,
                entry: Box::new(entry),
                outcomes: done,
            }),
        }
    }

    /// Removes evidence behind leaves from `size` on, which are not there. Parts of the evidence may
    /// lie on other servers, each of which commits by itself a moment before this one does: a commit
    /// that then fails here leaves theirs behind, and the next leaf with that index could not be kept.
    async fn clear(&self, tx: &mut Tx, size: u64) -> Result<(), StoreError> {
        tx.run("DELETE FROM evidence WHERE leaf_index >= $1", values![size])
            .await?;
        tx.run(
            "DELETE FROM evidence_items WHERE leaf_index >= $1",
            values![size],
        )
        .await?;
        Ok(())
    }

    /// A state that this process signed is durable; after this, answers that rest on it may leave.
    fn advance(&mut self, next: SignedHead) {
        self.litter = false;
        self.keeper.signed(&next);
        self.signed = Some(next);
    }

    /// Holds what the database has against what this process knows it must have. What is signed next
    /// extends what was signed last, or nothing is signed.
    async fn recognise(&mut self, found: &CellState) -> Result<(), StoreError> {
        if found.newest == self.signed {
            return Ok(());
        }
        self.is_own(found.newest.as_ref())?;
        // Another process went on, or the database went back.
        if let Err(error) = self.check_memory(found.newest.as_ref()).await {
            self.term = None;
            return Err(error);
        }
        self.signed.clone_from(&found.newest);
        Ok(())
    }

    /// Whether the newest state is the one that this node signed. A frontier that was altered in the
    /// database would otherwise become a fork under this node's signature, and an altered checkpoint
    /// be replaced by a sound one before anybody saw it.
    fn is_own(&self, newest: Option<&SignedHead>) -> Result<(), StoreError> {
        let Some(SignedHead {
            head, checkpoint, ..
        }) = newest
        else {
            return Ok(());
        };
        if *self.signer.sign_checkpoint(head.size, &head.root) == **checkpoint {
            return Ok(());
        }
        Err(StoreError::damaged(
            "log checkpoint",
            "it is not the one of the stored tree",
        ))
    }

    /// Begins a term unless this process is in one, and the log if it is empty.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let mut tries = 1;
        while self.term.is_none() {
            match self.begin_term().await {
                Err(StoreError::NotSigned(TermRefused::Elsewhere)) if tries < TRIES => tries += 1,
                begun => begun?,
            }
        }
        // Also in a term that could not get so far before: no other leaf may be the first.
        if self.signed.is_none()
            && let Some(leaf) = self.keeper.first_leaf()
        {
            self.commit_settled(&[Act::alone(leaf)], true)
                .await
                .map_err(|failed| failed.error)?;
        }
        Ok(())
    }

    async fn begin_term(&mut self) -> Result<(), StoreError> {
        if let Some(why) = &self.revoked {
            return Err(why.clone().into());
        }
        // The session is there before anybody is asked: while it stands the database cannot go back
        // behind what is read in it.
        let mut tx = self.store.db.begin("look-at-log").await?;
        let session = tx.session();
        let vouched = SqlCell.newest(&mut tx).await?.newest;
        drop(tx);
        self.is_own(vouched.as_ref())?;
        self.check_memory(vouched.as_ref()).await?;
        self.keeper.may_begin(&self.store, vouched.as_ref()).await?;
        let mut tx = self.store.db.begin("begin-term").await?;
        if tx.session() != session {
            return Err(TermRefused::Elsewhere.into());
        }
        // Other processes may have gone on meanwhile.
        let state = SqlCell.newest(&mut tx).await?;
        let number = SqlCell.claim(&mut tx).await?;
        tx.commit().await?;
        self.keeper.begun(number, vouched.as_ref());
        tracing::info!(term = number, "this process signs the log");
        self.term = Some(Term { number, session });
        self.signed = vouched;
        self.recognise(&state).await?;
        // A last leaf that cannot be read is found by whoever needs it; here it only goes unheeded.
        if let Some(last) = state
            .newest
            .and_then(|newest| newest.head.size.checked_sub(1))
            && let Ok(leaves) = self.store.leaves(last, 1).await
        {
            let stated = leaves.first().and_then(|leaf| stated_ms(leaf));
            self.stated_ms = self.stated_ms.max(stated.unwrap_or(0));
        }
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
}

/// The time that a leaf states: the first field of a `LogEntry`, 8 octets, the least first.
fn stated_ms(leaf: &[u8]) -> Option<u64> {
    let octets = leaf.strip_prefix(&[0x09])?.first_chunk()?;
    Some(u64::from_le_bytes(*octets))
}

#[cfg(test)]
#[path = "sequencer_tests.rs"]
mod tests;
