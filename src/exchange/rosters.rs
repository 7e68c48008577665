//! Rosters on their way between nodes: from any peer, believed only for their signatures.
//!
//! Whoever offers one, a peer or a file, it is taken by the rules of [`TrustStore`] or refused with
//! a reason. What is taken becomes durable together with its leaf, and only then is it acted on.

use std::sync::Arc;

use super::ask::{self, client};
use super::leaf::Leaf;
use super::{Party, PeerError, freshness, service};
use crate::proto::exchange as pb;
use crate::proto::exchange::roster_service_client::RosterServiceClient;
use crate::roster::{Member, MemberId, RosterError, TrustStore, TrustedRoster, Update};
use crate::store::{Act, Committed, Effect, Evidence, EvidencePart, StoreError};

/// The setting that holds what a node trusts.
pub const TRUST: &str = "trust_store";

/// How often a state of trust is made anew because another process of the node changed it meanwhile.
const TRIES: usize = 20;

const TRUSTED: &str = "what this node trusts";

/// How many refused rosters a day are recorded for each source: enough to see what was tried, and
/// no way to fill the log.
const RECORDED_REFUSALS_PER_DAY: u64 = 100;

/// What a peer that has what it says lacks, and who holds this node's roster for the newest.
///
/// # Errors
/// If the store fails.
pub async fn newer(
    party: &Party,
    has: &pb::GetRosterRequest,
) -> Result<pb::GetRosterResponse, StoreError> {
    let root_version = u32::try_from(has.root_version).unwrap_or(u32::MAX);
    let before = (has.roster_root_version, has.roster_version);
    let freshness = freshness::gathered(party).await?;
    let newer = party.with_trust(|trust| pb::GetRosterResponse {
        roots: trust
            .roots_above(root_version)
            .map(|root| root.as_bytes().to_vec())
            .collect(),
        roster: trust
            .roster()
            // Whoever is at a later root takes no roster of an earlier one.
            .filter(|roster| {
                roster.stated_place() > before && trust.root().version() >= root_version
            })
            .map(|roster| roster.note().as_bytes().to_vec())
            .unwrap_or_default(),
        freshness,
    });
    Ok(newer)
}

/// Fetches what `peer` has that is newer, and takes it if its signatures hold.
///
/// # Errors
/// If the peer cannot be reached or the state cannot be kept. What was refused, and why, is in the
/// inner result.
pub async fn fetch(
    party: &Arc<Party>,
    peer: &Member,
) -> Result<Result<Update, RosterError>, PeerError> {
    let versions = party.with_trust(TrustStore::versions);
    let channel = ask::link(party, peer).await?;
    let request = pb::GetRosterRequest {
        root_version: u64::from(versions.root),
        roster_version: u64::from(versions.roster),
        roster_root_version: u64::from(versions.roster_root),
    };
    let mut client = client!(RosterServiceClient<_>, channel);
    let reply = tokio::time::timeout(ask::TIMEOUT, client.get_roster(request))
        .await
        .map_err(|_| PeerError::Late {
            member: peer.id.to_string(),
            seconds: ask::TIMEOUT.as_secs(),
        })?
        .map_err(|status| PeerError::Refused {
            member: peer.id.to_string(),
            refusal: status.into(),
        })?
        .into_inner();
    let roster = (!reply.roster.is_empty()).then_some(reply.roster.as_slice());
    let outcome = take(party, &reply.roots, roster, Some(&peer.id)).await?;
    freshness::gather(party, &reply.freshness).await?;
    Ok(outcome)
}

/// Takes signed roots and a roster that `from` offered, a peer or (`None`) a file of the node's own
/// directory. What is accepted is in force once this returns; what is refused is recorded.
///
/// # Errors
/// The inner error says why something was refused; the outer one that nothing could be kept.
pub async fn take(
    party: &Party,
    roots: &[Vec<u8>],
    roster: Option<&[u8]>,
    from: Option<&MemberId>,
) -> Result<Result<Update, RosterError>, StoreError> {
    let outcome = take_unrecorded(party, roots, roster).await?;
    if let Err(refused) = &outcome {
        record_refusal(party, refused, from).await?;
    }
    Ok(outcome)
}

/// As [`take`], without a record of what is refused: for files that an earlier run has looked at,
/// and that a newer roster has overtaken since.
///
/// # Errors
/// As [`take`].
pub async fn take_unrecorded(
    party: &Party,
    roots: &[Vec<u8>],
    roster: Option<&[u8]>,
) -> Result<Result<Update, RosterError>, StoreError> {
    let _one_at_a_time = party.adopting.lock().await;
    for _ in 0..TRIES {
        let kept = keep_up(party).await?;
        let mut candidate = party.with_trust(Clone::clone);
        let before = trusted(&candidate);
        let now = party.ambient().now();
        let outcome = candidate.update(roots.iter().map(Vec::as_slice), roster, now);
        let changed = trusted(&candidate) != before;
        let done = if changed {
            adopt(party, kept, candidate, before.1).await?
        } else {
            // Only the time has moved on.
            replace(party, kept, candidate).await?
        };
        if done {
            return Ok(outcome);
        }
    }
    Err(StoreError::Busy { what: TRUSTED })
}

/// Brings a new root or roster into force; `false` if another process was sooner.
async fn adopt(
    party: &Party,
    kept: Option<Vec<u8>>,
    candidate: TrustStore,
    roster_before: Option<crate::roster::Bytes32>,
) -> Result<bool, StoreError> {
    let after = trusted(&candidate);
    let newest = candidate.roster().filter(|_| after.1 != roster_before);
    let (act, reference) = match newest {
        Some(roster) => (pb::Act::RosterAdopted, adopted(roster, &candidate)),
        None => (
            pb::Act::RootAdopted,
            format!(
                "root={} sha256={}",
                candidate.root().version(),
                candidate.root().digest()
            ),
        ),
    };
    let (root, roster) = (candidate.root().version(), candidate.versions().roster);
    let done = bring_into_force(party, kept, candidate, act, reference).await?;
    if done {
        tracing::info!(root, roster, "a root or roster came into force");
    }
    Ok(done)
}

/// Takes over what another process of this node has brought into force.
///
/// # Errors
/// If the store fails.
pub async fn follow(party: &Party) -> Result<(), StoreError> {
    let _one_at_a_time = party.adopting.lock().await;
    keep_up(party).await.map(drop)
}

/// Has this process trust what the database says that the node trusts, and gives that as it is kept:
/// whatever replaces it builds on it. To be called under the lock on adopting.
async fn keep_up(party: &Party) -> Result<Option<Vec<u8>>, StoreError> {
    let kept = party.store().setting(TRUST).await?;
    let Some(state) = &kept else { return Ok(None) };
    let (own, pinned) =
        party.with_trust(|own| (own.to_state(), own.pinned().note().as_bytes().to_vec()));
    if own == *state {
        return Ok(kept);
    }
    let theirs = TrustStore::from_state(&pinned, state)
        .map_err(|error| StoreError::damaged("the kept roster", error.to_string()))?;
    if party.with_trust(|own| trusted(own) != trusted(&theirs)) {
        tracing::info!(
            root = theirs.root().version(),
            roster = theirs.versions().roster,
            "a root or roster that another process of this node took is in force here"
        );
        party.trust(theirs);
    } else {
        party.know_time_of(theirs);
    }
    Ok(kept)
}

/// Keeps a state of trust that differs in the time alone; `false` if another process was sooner.
async fn replace(
    party: &Party,
    kept: Option<Vec<u8>>,
    candidate: TrustStore,
) -> Result<bool, StoreError> {
    let state = candidate.to_state();
    let done = party
        .store()
        .replace_setting(TRUST, kept.as_deref(), &state)
        .await?;
    if done {
        party.trust(candidate);
    }
    Ok(done)
}

/// Forgets that this machine's clock was once ahead: the operator's answer to a clock that ran
/// wrong and was corrected. Returns the latest time that had been seen, and the time now.
///
/// # Errors
/// If it could not be recorded.
pub async fn accept_clock(party: &Party) -> Result<(u64, u64), StoreError> {
    let _one_at_a_time = party.adopting.lock().await;
    for _ in 0..TRIES {
        let kept = keep_up(party).await?;
        let mut candidate = party.with_trust(Clone::clone);
        let (seen, now) = (candidate.last_seen(), party.ambient().now());
        candidate.accept_clock(now);
        let reference = format!("seen={seen} now={now}");
        let act = pb::Act::ClockAccepted;
        if bring_into_force(party, kept, candidate, act, reference).await? {
            tracing::warn!(seen, now, "the operator accepted the clock");
            return Ok((seen, now));
        }
    }
    Err(StoreError::Busy { what: TRUSTED })
}

/// Notes the time, so that a clock set back is noticed even if nothing else happens.
///
/// # Errors
/// The inner error says that the clock went back; the outer one that nothing could be kept.
pub async fn note_time(party: &Party) -> Result<Result<(), RosterError>, StoreError> {
    let _one_at_a_time = party.adopting.lock().await;
    for _ in 0..TRIES {
        let kept = keep_up(party).await?;
        let mut candidate = party.with_trust(Clone::clone);
        if let Err(error) = candidate.see_time(party.ambient().now()) {
            return Ok(Err(error));
        }
        if replace(party, kept, candidate).await? {
            return Ok(Ok(()));
        }
    }
    Err(StoreError::Busy { what: TRUSTED })
}

/// Makes a new state of trust durable with its leaf, then acts on it; `false` if what is kept is not
/// what it builds on any more.
async fn bring_into_force(
    party: &Party,
    kept: Option<Vec<u8>>,
    trust: TrustStore,
    act: pb::Act,
    reference: String,
) -> Result<bool, StoreError> {
    let adopted = act == pb::Act::RosterAdopted;
    let (leaf, opening) = Leaf::new(act, party.ambient(), &pb::Outcome::default())
        .set(|entry| entry.reference = reference)
        .finish();
    let mut act = Act::alone(leaf)
        .with(Effect::SettingIs(TRUST, kept))
        .with(Effect::Set(TRUST, trust.to_state()))
        .with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
    if let Some(roster) = trust.roster().filter(|_| adopted) {
        // The roster itself is kept: an ombudsman judges what was done by what was in force.
        let note = roster.note().as_bytes().to_vec();
        act = act.with(Effect::Keep(EvidencePart::Document, Evidence::plain(note)));
    }
    match party.ledger().commit(act).await? {
        Committed::Done { .. } => {
            party.trust(trust);
            Ok(true)
        }
        // Another process of this node has changed what is trusted meanwhile.
        _ => Ok(false),
    }
}

async fn record_refusal(
    party: &Party,
    refused: &RosterError,
    from: Option<&MemberId>,
) -> Result<(), StoreError> {
    let source = from.map_or("", MemberId::as_str);
    tracing::warn!(
        source = if source.is_empty() { "file" } else { source },
        code = refused.code(),
        error = %refused,
        "a root or roster was refused"
    );
    let (leaf, _) = Leaf::new(
        pb::Act::RosterRefused,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.peer = source.to_owned();
        entry.reference = refused.code().to_owned();
    })
    .finish();
    let mut act = Act::alone(leaf);
    act.debits.push(service::daily_draw(
        party,
        source,
        "refused_rosters",
        1,
        RECORDED_REFUSALS_PER_DAY,
    ));
    party.ledger().commit(act).await.map(drop)
}

/// What tells one state of trust from another, the time apart.
fn trusted(trust: &TrustStore) -> (crate::roster::Bytes32, Option<crate::roster::Bytes32>) {
    let roster = trust.roster().map(|roster| roster.digest());
    (trust.root().digest(), roster)
}

fn adopted(roster: &TrustedRoster, trust: &TrustStore) -> String {
    format!(
        "version={} sha256={} root={}",
        roster.version(),
        roster.digest(),
        trust.root().version()
    )
}
