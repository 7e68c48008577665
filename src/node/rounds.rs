//! The rounds that a node makes: it has its newest checkpoint cosigned by every witness it reaches
//! and serves it with what it was given; and it looks whether its peers keep their promises.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};

use super::keeper::{hold_against, witnesses};
use super::witness::{self, Said};
use crate::exchange::leaf::Leaf;
use crate::exchange::log_files::LogFileError;
use crate::exchange::{Party, hearsay, promises};
use crate::proto::exchange as pb;
use crate::roster::{Member, MemberId};
use crate::store::{
    Act, Effect, Evidence, EvidencePart, LogFinding, SignedHead, StoreError, TermRefused,
};
use crate::tlog::tree::empty_root;
use crate::tlog::{AddCheckpoint, SignedCheckpoint, TreeHead};

/// How often a grown log is shown to its witnesses.
pub const WITNESSING: Duration = Duration::from_secs(5);

/// How many rounds of witnessing go by between two looks at the promises of peers.
const PROMISES_EVERY: u64 = 6;

/// How long one witness is given in a round.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often the size that a witness remembers is followed in one round.
const TRIES: usize = 3;

/// This node's log went back: the code of the alert.
pub const LOG_LOST: &str = "LOG_LOST";

/// What a look at the peers' logs came to.
pub struct Looked {
    /// The promises.
    pub promises: promises::Outcome,
    /// How many logs were found to show two histories.
    pub splits: u64,
}

/// The rounds of one node.
pub struct Rounds {
    party: Arc<Party>,
    /// The size that each witness remembers, as far as it is known.
    remembered: Mutex<HashMap<MemberId, u64>>,
    alarm: mpsc::UnboundedSender<LogFinding>,
}

impl Rounds {
    /// The rounds of `party`; what is found out goes to `alarm`.
    #[must_use]
    pub fn new(party: Arc<Party>, alarm: mpsc::UnboundedSender<LogFinding>) -> Self {
        Self {
            party,
            remembered: Mutex::default(),
            alarm,
        }
    }

    /// Makes rounds until the node stops.
    pub async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut rounds: u64 = 0;
        let mut tick = tokio::time::interval(WITNESSING);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            // A term that could not begin is tried again without waiting for an act.
            if let Err(error) = self.party.ledger().begin().await {
                tracing::warn!(%error, "the log is not signed");
            }
            if let Err(error) = self.witness().await {
                tracing::error!(%error, "a round of witnessing failed");
            }
            if rounds.is_multiple_of(PROMISES_EVERY)
                && let Err(error) = self.look_at_peers().await
            {
                tracing::error!(%error, "the logs of peers could not be looked at");
            }
            rounds += 1;
        }
    }

    /// Looks whether peers keep their promises, and holds against the logs what was told of them. What
    /// was broken, or shows two histories, is an alert.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn look_at_peers(&self) -> Result<Looked, StoreError> {
        let promises = promises::check(&self.party).await?;
        let told = hearsay::check(&self.party).await?;
        for alert in promises.alerts.iter().chain(&told.alerts) {
            self.raise(alert.clone()).await?;
        }
        for (by, seen) in told.own {
            let known = seen.unverified().head();
            let by = format!("a checkpoint that {by} has seen");
            if let Err(why) = hold_against(self.party.store(), &known, &by).await? {
                self.lost(why, &seen.to_string()).await?;
            }
        }
        Ok(Looked {
            promises,
            splits: told.alerts.len() as u64,
        })
    }

    /// This node's database lacks what was signed: nothing more is signed on it.
    async fn lost(&self, why: TermRefused, seen: &str) -> Result<(), StoreError> {
        let store = self.party.store();
        let newest = store.newest_signed().await?;
        let alert = LogFinding {
            kind: LOG_LOST,
            member: self.party.id().to_string(),
            detail: why.to_string(),
            proof: [
                seen.to_owned(),
                newest
                    .map(|newest| newest.checkpoint.to_string())
                    .unwrap_or_default(),
            ],
        };
        self.party.ledger().revoke(why).await;
        store.raise_log_finding(&alert).await?;
        Ok(())
    }

    /// Has the newest checkpoint cosigned and serves it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn witness(&self) -> Result<(), StoreError> {
        let store = self.party.store();
        let Some(newest) = store.newest_signed().await? else {
            return Ok(());
        };
        let Ok(mut checkpoint) = SignedCheckpoint::parse(newest.checkpoint.as_bytes()) else {
            return Err(StoreError::damaged("log checkpoint", "it cannot be read"));
        };
        let Ok(roster) = self.party.roster() else {
            return Ok(());
        };
        let listed = witnesses(&self.party, &roster);
        let served = match store.published_checkpoint().await? {
            Some((size, served)) if size == newest.head.size => {
                SignedCheckpoint::parse(served.as_bytes())
                    .map_or(0, |served| served.note().signatures().len())
            }
            _ => 0,
        };
        if served > listed.len() {
            return Ok(());
        }
        let said = join_all(
            listed
                .iter()
                .map(|member| self.show(member, &newest, &checkpoint)),
        )
        .await;
        for line in said.into_iter().flatten() {
            // A line that does not fit any more is left out: there is room for a hundred.
            let _ = checkpoint.add_cosignature(line);
        }
        if checkpoint.note().signatures().len() <= served {
            return Ok(());
        }
        store
            .publish_checkpoint(newest.head.size, &checkpoint.to_string())
            .await
    }

    /// Shows one witness the checkpoint, from where the witness stands.
    async fn show(
        &self,
        member: &Member,
        newest: &SignedHead,
        checkpoint: &SignedCheckpoint,
    ) -> Option<crate::envelope::NoteSignature> {
        let shown = tokio::time::timeout(PATIENCE, self.show_from(member, newest, checkpoint));
        match shown.await {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => {
                tracing::info!(peer = member.id.as_str(), %error, "a witness did not cosign");
                None
            }
            Err(_) => {
                tracing::info!(peer = member.id.as_str(), "a witness took too long");
                None
            }
        }
    }

    async fn show_from(
        &self,
        member: &Member,
        newest: &SignedHead,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Option<crate::envelope::NoteSignature>, LogFileError> {
        let mut old_size = self.with_remembered(|known| known.get(&member.id).copied());
        for _ in 0..TRIES {
            let from = old_size.unwrap_or(0).min(newest.head.size);
            let Some(proof) = self.proof_from(from, newest).await else {
                return Ok(None);
            };
            let request = AddCheckpoint {
                old_size: from,
                proof,
                checkpoint: checkpoint.clone(),
            };
            match witness::ask_to_cosign(&self.party, member, &request).await? {
                Said::Cosigned(line) => {
                    self.with_remembered(|known| known.insert(member.id.clone(), newest.head.size));
                    return Ok(Some(line));
                }
                Said::Size(size) if size <= newest.head.size => old_size = Some(size),
                Said::Size(_) | Said::Contradicted => {
                    self.look_into(member).await;
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// A witness holds against this node that its log did not only grow. It has to show so.
    async fn look_into(&self, member: &Member) {
        let peer = member.id.as_str();
        let key = match self.party.roster() {
            Ok(roster) => roster
                .member(self.party.id().as_str())
                .and_then(|own| crate::exchange::log_files::log_key(own).ok()),
            Err(_) => None,
        };
        let Some(key) = key else { return };
        let held = witness::held_checkpoint(&self.party, member, &key).await;
        let Ok(Some(held)) = held else {
            tracing::warn!(peer, "a witness contradicts and shows nothing for it");
            return;
        };
        let known = held.unverified().head();
        let by = format!("a checkpoint that {peer} has cosigned");
        match hold_against(self.party.store(), &known, &by).await {
            Ok(Ok(())) => tracing::info!(peer, "a witness was a step ahead"),
            Ok(Err(why)) => {
                if let Err(error) = self.lost(why, &held.to_string()).await {
                    tracing::error!(%error, "an alert could not be kept");
                }
            }
            Err(error) => tracing::error!(%error, "the log could not be held against a witness"),
        }
    }

    async fn proof_from(&self, old_size: u64, newest: &SignedHead) -> Option<Vec<[u8; 32]>> {
        let root = if old_size == 0 {
            empty_root()
        } else if old_size == newest.head.size {
            newest.head.root
        } else {
            self.party.store().log_root(old_size).await.ok()?
        };
        let old = TreeHead {
            size: old_size,
            root,
        };
        match self.party.store().prove_log(&old, &newest.head).await {
            Ok(proof) => proof,
            Err(error) => {
                tracing::error!(%error, "the log's growth cannot be proved");
                None
            }
        }
    }

    /// Keeps an alert, and tells of it if it is new.
    async fn raise(&self, alert: LogFinding) -> Result<(), StoreError> {
        if self.party.store().raise_log_finding(&alert).await? {
            tracing::error!(
                member = alert.member,
                kind = alert.kind,
                detail = alert.detail,
                "something was found out"
            );
            let _ = self.alarm.send(alert);
        }
        Ok(())
    }

    fn with_remembered<T>(&self, change: impl FnOnce(&mut HashMap<MemberId, u64>) -> T) -> T {
        change(
            &mut self
                .remembered
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Makes a leaf of every alert.
pub async fn record_alerts(party: Arc<Party>, mut alarms: mpsc::UnboundedReceiver<LogFinding>) {
    while let Some(alert) = alarms.recv().await {
        let act = match alert.kind {
            witness::SPLIT_VIEW => pb::Act::SplitViewFound,
            promises::PROMISE_BROKEN => pb::Act::PromiseBroken,
            _ => continue,
        };
        // Two texts: nothing here can fail to serialise.
        let proof = serde_json::to_vec(&alert.proof).unwrap_or_default();
        let (leaf, _) = Leaf::new(act, party.ambient(), &pb::Outcome::default())
            .set(|entry| {
                entry.peer.clone_from(&alert.member);
                entry.reference.clone_from(&alert.detail);
            })
            .finish();
        let act =
            Act::alone(leaf).with(Effect::Keep(EvidencePart::Document, Evidence::plain(proof)));
        if let Err(error) = party.ledger().commit(act).await {
            tracing::error!(%error, "an alert could not be recorded");
        }
    }
}
