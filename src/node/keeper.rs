//! When this node may sign its log: what it looks at outside its database before the first signature
//! of a term.
//!
//! 1. **Nobody contradicts.** Every witness in the roster is asked for the newest checkpoint of this
//!    log that it has cosigned. One that the database does not extend stops the node, whatever else
//!    speaks for it. So does a guard, or a journal, that is ahead of the database.
//! 2. **Somebody vouches.** Either the guard is intact and speaks for all that was signed: the
//!    database was signed last in the guard's own term and extends it, or nothing was signed since
//!    the state that the guard states; or as many witnesses as the quorum says have answered. The
//!    guard is of a new term before anything is signed in it, so a node that is killed at any moment
//!    of it still has a guard that vouches. Where several processes sign in turn, only the guard of
//!    the one that signed last does.
//!
//! So a node whose peers are all away starts by its guard, a node without a guard waits for its
//! peers, and one peer that is away stops nothing.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::future::join_all;

use super::guard::{Guard, Guarded};
use super::witness;
use crate::ambient::Ambient;
use crate::envelope::NoteKey;
use crate::exchange::Party;
use crate::exchange::leaf::Leaf;
use crate::proto::exchange as pb;
use crate::roster::{Member, MemberId, TrustedRoster};
use crate::store::{KeeperFuture, SignedHead, Store, StoreError, TermKeeper, TermRefused};
use crate::tlog::TreeHead;
use crate::tlog::tree::empty_root;

/// How long a witness is given to say what it holds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks after the log of one node.
pub struct Keeper {
    guard: Guard,
    key: NoteKey,
    /// How many witnesses have to answer where the guard does not vouch; the majority of those in
    /// the roster if it is not set.
    quorum: Option<usize>,
    /// What the first leaf states.
    first: String,
    ambient: Ambient,
    party: OnceLock<Weak<Party>>,
}

/// What a witness says of this node's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// The newest checkpoint that it cosigned.
    Checkpoint(TreeHead),
    /// It never saw one.
    Nothing,
    /// It did not answer, or not with anything that holds.
    Silent,
}

impl Keeper {
    /// Looks after the log whose checkpoints `key` verifies; an empty log begins with a leaf that
    /// states `first`.
    #[must_use]
    pub fn new(
        guard: Guard,
        key: NoteKey,
        quorum: Option<usize>,
        first: String,
        ambient: Ambient,
    ) -> Self {
        Self {
            guard,
            key,
            quorum,
            first,
            ambient,
            party: OnceLock::new(),
        }
    }

    /// Lets it ask the witnesses that `party` knows.
    pub fn attach(&self, party: &Arc<Party>) {
        let _ = self.party.set(Arc::downgrade(party));
    }

    async fn ask_witnesses(&self) -> Vec<(MemberId, Held)> {
        let Some(party) = self.party.get().and_then(Weak::upgrade) else {
            return Vec::new();
        };
        let Ok(roster) = party.roster() else {
            return Vec::new();
        };
        let asked = witnesses(&party, &roster).into_iter().map(|member| {
            let party = &party;
            async move {
                let held =
                    tokio::time::timeout(PATIENCE, witness::held(party, member, &self.key)).await;
                (member.id.clone(), held.unwrap_or(Held::Silent))
            }
        });
        join_all(asked).await
    }

    /// The rule, on what the guard and the witnesses say.
    async fn judge(
        &self,
        store: &Store,
        newest: Option<&SignedHead>,
        guarded: Guarded,
        witnesses: &[(MemberId, Held)],
    ) -> Result<(), TermRefused> {
        // The node's own journal, which no backup of the database holds, contradicts as well.
        match store.head_in_journal(self.key.name().as_str()) {
            Ok(Some((size, root))) => {
                extends(store, newest, &TreeHead { size, root }, "the journal").await?;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the journal cannot be asked about the log"),
        }
        for (member, held) in witnesses {
            if let Held::Checkpoint(head) = held {
                let by = format!("a checkpoint that {member} has cosigned");
                extends(store, newest, head, &by).await?;
            }
        }
        let why = match guarded {
            Guarded::Signed { term, head } => {
                extends(store, newest, &head, "the guard file").await?;
                let (last, held) = newest.map_or((0, 0), |newest| (newest.term, newest.head.size));
                if term == last || (term > last && held == head.size) {
                    return Ok(());
                }
                "another process of this node signed after the guard file was written".to_owned()
            }
            Guarded::Missing => "the guard file is missing".to_owned(),
            Guarded::Void(reason) => format!("the guard file says nothing ({reason})"),
        };
        let listed = witnesses.len();
        let answered = witnesses
            .iter()
            .filter(|(_, held)| *held != Held::Silent)
            .count();
        let needed = self.quorum.unwrap_or(listed / 2 + 1);
        if answered >= needed {
            return Ok(());
        }
        Err(TermRefused::NoQuorum {
            why,
            answered,
            needed,
            listed,
        })
    }
}

/// Whether the database's newest state extends one that was signed.
async fn extends(
    store: &Store,
    newest: Option<&SignedHead>,
    known: &TreeHead,
    by: &str,
) -> Result<(), TermRefused> {
    let held = newest.map_or(0, |newest| newest.head.size);
    let by = || by.to_owned();
    if held < known.size {
        return Err(TermRefused::Behind {
            held,
            known: known.size,
            by: by(),
        });
    }
    let Some(newest) = newest else { return Ok(()) };
    match store.log_extends(known, &newest.head).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(TermRefused::Forked {
            size: known.size,
            by: by(),
        }),
        Err(error) => {
            tracing::error!(%error, "the stored tree cannot be held against what was signed");
            Err(TermRefused::Forked {
                size: known.size,
                by: by(),
            })
        }
    }
}

impl TermKeeper for Keeper {
    fn may_begin<'a>(
        &'a self,
        store: &'a Store,
        newest: Option<&'a SignedHead>,
    ) -> KeeperFuture<'a> {
        Box::pin(async move {
            let witnesses = self.ask_witnesses().await;
            self.judge(store, newest, self.guard.read(), &witnesses)
                .await
        })
    }

    fn begun(&self, term: u64, newest: Option<&SignedHead>) {
        let head = newest.map_or(
            TreeHead {
                size: 0,
                root: empty_root(),
            },
            |newest| newest.head,
        );
        self.remember(term, &head);
    }

    fn signed(&self, newest: &SignedHead) {
        self.remember(newest.term, &newest.head);
    }

    fn first_leaf(&self) -> Option<Vec<u8>> {
        let (leaf, _) = Leaf::new(pb::Act::LogStarted, &self.ambient, &pb::Outcome::default())
            .set(|entry| entry.reference.clone_from(&self.first))
            .finish();
        Some(leaf)
    }

    fn set_back(&self, stated_ms: u64) -> Option<Vec<u8>> {
        let none = pb::Outcome::default();
        let (leaf, _) = Leaf::new(pb::Act::ClockSetBack, &self.ambient, &none)
            .set(|entry| entry.reference = format!("stated={stated_ms} now={}", entry.time_ms))
            .finish();
        tracing::warn!(stated_ms, "the clock was set back; the log says so");
        Some(leaf)
    }
}

impl Keeper {
    fn remember(&self, term: u64, head: &TreeHead) {
        if let Err(error) = self.guard.write(term, head) {
            tracing::error!(%error, "the log's guard file cannot be written; it is struck out");
            if let Err(error) = self.guard.strike_out() {
                tracing::error!(%error, "the guard file cannot be removed: remove it by hand");
            }
        }
    }
}

/// The witnesses of this node's log: every other active party that the roster gives a witness key
/// and an address.
#[must_use]
pub fn witnesses<'a>(party: &Party, roster: &'a TrustedRoster) -> Vec<&'a Member> {
    let now = party.ambient().now();
    roster
        .roster()
        .members
        .iter()
        .filter(|member| {
            member.id != *party.id()
                && member.witness_vkey.is_some()
                && !member.addresses.is_empty()
                && !member.is_suspended(now)
        })
        .collect()
}

/// Holds a state that was signed against the database of a running node: whether it shows that the
/// database went back.
///
/// # Errors
/// [`TermRefused`] if it does; the outer error is the database's.
pub async fn hold_against(
    store: &Store,
    known: &TreeHead,
    by: &str,
) -> Result<Result<(), TermRefused>, StoreError> {
    let newest = store.newest_signed().await?;
    Ok(extends(store, newest.as_ref(), known, by).await)
}
