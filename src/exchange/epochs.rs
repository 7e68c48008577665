//! Epochs of the coalition key at this node, and its way from one to the next.
//!
//! A roster states up to three: the one in use, the one announced, the one being left. This node
//! makes tokens for its enrolled records under every epoch that comes, at a stated rate and in the
//! background; when all have theirs the epoch *opens*: its index is logged, and peers may ask under
//! it. An epoch that the roster lists no more is destroyed here. All of it is kept in the database,
//! so that it goes on after a crash where it was, and a node that was off catches up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::leaf::Leaf;
use super::{Party, PeerError, Refusal, enrol};
use crate::proto::exchange as pb;
use crate::roster::TrustedRoster;
use crate::store::{Act, Committed, Effect, IndexSize, StoreError, Surveyed};

/// How many records lose their tokens in one transaction when an epoch is left.
const FORGET_AT_ONCE: u64 = 1_000;

/// Which of a roster's epochs one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is being left.
    Previous,
    /// It is in use.
    Current,
    /// It is announced.
    Next,
}

impl Place {
    /// The name that operators see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Previous => "previous",
            Self::Current => "current",
            Self::Next => "next",
        }
    }
}

/// How this node stands with one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The epoch.
    pub epoch: u32,
    /// Which of the roster's it is.
    pub place: Place,
    /// Enrolled records that have tokens under it.
    pub done: u64,
    /// Enrolled records.
    pub total: u64,
    /// Whether peers may ask under it.
    pub open: bool,
    /// Whether this node holds a share of its key.
    pub share: bool,
}

/// How this node stands with each epoch of the roster, oldest first.
///
/// # Errors
/// If the store fails. Without a roster in force there are none.
pub async fn standings(party: &Party) -> Result<Vec<Standing>, StoreError> {
    let Ok(roster) = party.roster() else {
        return Ok(Vec::new());
    };
    let mut standings = Vec::new();
    for (epoch, place) in listed(&roster) {
        let (done, total) = party.store().epoch_progress(epoch).await?;
        let share = party
            .coalition_key(&roster, Some(epoch))
            .is_ok_and(|key| party.share_of(&key).is_some());
        standings.push(Standing {
            epoch,
            place,
            done,
            total,
            open: is_open(party, epoch).await?,
            share,
        });
    }
    Ok(standings)
}

/// The epochs of a roster, oldest first.
fn listed(roster: &TrustedRoster) -> Vec<(u32, Place)> {
    let keys = roster.coalition_keys();
    let places = [
        (&keys.previous, Place::Previous),
        (&keys.current, Place::Current),
        (&keys.next, Place::Next),
    ];
    places
        .into_iter()
        .filter_map(|(key, place)| Some((u32::try_from(key.as_ref()?.epoch).ok()?, place)))
        .collect()
}

pub(super) fn is_listed(roster: &TrustedRoster, epoch: u32) -> bool {
    listed(roster).iter().any(|(listed, _)| *listed == epoch)
}

/// The epoch in use, if there is one.
#[must_use]
pub fn in_use(party: &Party) -> Option<u32> {
    let roster = party.roster().ok()?;
    u32::try_from(roster.coalition_key()?.epoch).ok()
}

/// The epochs that are open to peers, oldest first.
///
/// # Errors
/// If the store fails.
pub async fn open(party: &Party) -> Result<BTreeSet<u32>, StoreError> {
    let open = party.store().open_epochs().await?;
    party.know_open(open.clone());
    Ok(open)
}

/// Whether peers may ask under `epoch` here.
///
/// # Errors
/// If the store fails.
pub async fn is_open(party: &Party, epoch: u32) -> Result<bool, StoreError> {
    if party.is_known_open(epoch) {
        return Ok(true);
    }
    let open = open(party).await?;
    if open.contains(&epoch) {
        return Ok(true);
    }
    // A node that has enrolled nothing has nothing to open: whatever is asked, it holds no record.
    Ok(open.is_empty() && party.store().epoch_progress(epoch).await?.1 == 0)
}

/// Refuses a lookup under an epoch that the roster does not list, or that is not open here.
///
/// # Errors
/// [`Refusal::WrongEpoch`], or that the store fails.
pub(super) async fn admit(
    party: &Party,
    roster: &TrustedRoster,
    epoch: u32,
) -> Result<(), Refusal> {
    let open = is_listed(roster, epoch)
        && is_open(party, epoch)
            .await
            .map_err(|error| party.unavailable(&error))?;
    if open {
        return Ok(());
    }
    Err(Refusal::WrongEpoch {
        asked: epoch,
        ours: roster.coalition_key().map_or(0, |key| key.epoch as u32),
    })
}

/// The epochs under which a record is enrolled now: those that are open, or the one in use where
/// none is.
///
/// # Errors
/// If there is no coalition key yet, or the store fails.
pub(super) async fn to_enrol_in(party: &Party) -> Result<Vec<u32>, PeerError> {
    let roster = party.roster()?;
    let current = party.coalition_key(&roster, None)?.epoch();
    let open = open(party).await?;
    let open: Vec<u32> = open
        .into_iter()
        .filter(|epoch| is_listed(&roster, *epoch))
        .collect();
    Ok(if open.is_empty() { vec![current] } else { open })
}

/// How a leaf states the index of one epoch.
#[must_use]
pub fn index_text(epoch: u32, size: &IndexSize) -> String {
    format!(
        "epoch={epoch} tokens={} root={}",
        size.tokens,
        hex::encode(size.root)
    )
}

/// A node's way into an epoch, between two steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    epoch: u32,
    /// The last row that was looked at.
    after: u64,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many records have tokens under one more epoch.
    Rederived {
        /// The epoch.
        epoch: u32,
        /// How many.
        records: u64,
    },
    /// Every record has its tokens there: peers may ask under the epoch from now on.
    Opened {
        /// The epoch.
        epoch: u32,
    },
    /// There is nothing to do.
    Settled,
}

/// One step into the epochs that the roster lists and that are not open here: tokens for at most
/// `records` records, or the opening. The epoch in use goes before the one announced; one that is
/// being left is not entered any more.
///
/// # Errors
/// If too few keyholders answer, or the store fails. What was done is kept; ask again later.
pub async fn step(party: &Arc<Party>, way: &mut Way, records: u64) -> Result<Step, PeerError> {
    let roster = party.roster()?;
    for place in [Place::Current, Place::Next] {
        let epoch = listed(&roster)
            .into_iter()
            .find_map(|(epoch, listed)| (listed == place).then_some(epoch));
        if let Some(epoch) = epoch
            && !is_open(party, epoch).await?
        {
            return step_into(party, way, epoch, records).await;
        }
    }
    Ok(Step::Settled)
}

async fn step_into(
    party: &Arc<Party>,
    way: &mut Way,
    epoch: u32,
    limit: u64,
) -> Result<Step, PeerError> {
    if way.epoch != epoch {
        *way = Way { epoch, after: 0 };
    }
    let records = party
        .store()
        .records_to_rederive(epoch, way.after, limit)
        .await?;
    let Some(last) = records.last() else {
        // Rows before the last one looked at may have come since: what counts is the whole.
        way.after = 0;
        return open_epoch(party, epoch).await;
    };
    let last = last.record_id;
    let derived = enrol::derive(party, &records).await?;
    let tokens = enrol::tokens_under(party, epoch, &derived).await?;
    let count = records.len() as u64;
    let saved = records.iter().zip(tokens).collect();
    let _register = party.register.lock().await;
    party.store().save_rederived(saved).await?;
    way.after = last;
    Ok(Step::Rederived {
        epoch,
        records: count,
    })
}

async fn open_epoch(party: &Arc<Party>, epoch: u32) -> Result<Step, PeerError> {
    // Nothing comes into the index between the leaf that states it and what peers find.
    let _register = party.register.lock().await;
    let survey = party
        .store()
        .survey(Surveyed::Published, &BTreeSet::from([epoch]))
        .await?;
    let size = survey
        .sizes
        .get(&epoch)
        .copied()
        .unwrap_or_else(IndexSize::empty);
    let (leaf, _) = Leaf::new(
        pb::Act::EpochOpened,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.count = u32::try_from(size.records).unwrap_or(u32::MAX);
        entry.reference = index_text(epoch, &size);
    })
    .finish();
    let act = Act::alone(leaf)
        .with(Effect::AsSurveyed(survey.state))
        .with(Effect::OpenEpoch(epoch));
    match party.ledger().commit(act).await? {
        Committed::Done { .. } => {
            open(party).await?;
            Ok(Step::Opened { epoch })
        }
        // Some records are lacking, or have changed meanwhile: they are next.
        _ => Ok(Step::Rederived { epoch, records: 0 }),
    }
}

/// Destroys tokens and index rows of every epoch that is kept here and that the roster lists no
/// more. Gives the epochs that were left.
///
/// # Errors
/// If the store fails; what is left is destroyed the next time.
pub async fn leave(party: &Party) -> Result<Vec<u32>, StoreError> {
    let Ok(roster) = party.roster() else {
        // No roster in force says nothing about epochs.
        return Ok(Vec::new());
    };
    let mut left = Vec::new();
    for epoch in party.store().kept_epochs().await? {
        // A roster without any key is no reason to destroy what was made under one.
        if roster.coalition_key().is_none() || is_listed(&roster, epoch) {
            continue;
        }
        let mut records = 0;
        loop {
            let _register = party.register.lock().await;
            let some = party
                .store()
                .forget_epoch_in_part(epoch, FORGET_AT_ONCE)
                .await?;
            records += some;
            if some < FORGET_AT_ONCE {
                break;
            }
        }
        let (leaf, _) = Leaf::new(pb::Act::EpochLeft, party.ambient(), &pb::Outcome::default())
            .set(|entry| {
                entry.count = u32::try_from(records).unwrap_or(u32::MAX);
                entry.reference = format!("epoch={epoch}");
            })
            .finish();
        let act = Act::alone(leaf).with(Effect::LeaveEpoch(epoch));
        party.ledger().commit(act).await?;
        left.push(epoch);
    }
    if !left.is_empty() {
        open(party).await?;
    }
    Ok(left)
}
