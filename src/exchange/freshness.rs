//! That a roster is the newest: said by each member's node every few hours, gathered from peers.
//!
//! A signed roster stays well signed after its successor is out, so a peer could keep a node in the
//! past until the roster expires. So each node cosigns, with its witness key, that it holds this root
//! and this roster for the newest now; what a majority of the members says bounds from below until
//! when that was true (`roster::freshness`). A node that has no such word of the last two days
//! suspects that it is held in the past, and tells its operator.

use super::leaf::Leaf;
use super::{Party, service};
use crate::envelope::{Cosigner, Note};
use crate::proto::exchange as pb;
use crate::roster::{
    FRESHNESS_MAX_AGE, Freshness, Kind, TrustStore, check_freshness, freshness_text,
    gather_freshness,
};
use crate::store::{Act, Committed, Effect, StoreError};

/// The setting that holds the cosignatures gathered.
const GATHERED: &str = "roster_freshness";

/// How old this node's own word may be before it says it anew, in seconds.
pub const VOUCH_SECONDS: u64 = 6 * 3600;

/// How long after its issue a roster is expected to have been vouched for, in seconds.
const GRACE: u64 = FRESHNESS_MAX_AGE;

/// How fresh the trusted roster is proved to be, as far as this node has gathered.
///
/// # Errors
/// If the store fails.
pub async fn proved(party: &Party) -> Result<Option<Freshness>, StoreError> {
    let Some(gathered) = party.store().setting(GATHERED).await? else {
        return Ok(None);
    };
    let now = party.ambient().now();
    Ok(party.with_trust(|trust| {
        let roster = trust.roster()?;
        check_freshness(&gathered, trust.root(), roster, now).ok()
    }))
}

/// What has been gathered for the trusted roster, to be passed on; empty if nothing was.
///
/// # Errors
/// If the store fails.
pub async fn gathered(party: &Party) -> Result<Vec<u8>, StoreError> {
    let gathered = party.store().setting(GATHERED).await?.unwrap_or_default();
    let is_of_this = party.with_trust(|trust| speaks_of(trust, &gathered));
    Ok(if is_of_this { gathered } else { Vec::new() })
}

/// Whether a note speaks of the trusted root and roster.
fn speaks_of(trust: &TrustStore, note: &[u8]) -> bool {
    let Some(roster) = trust.roster() else {
        return false;
    };
    note.len() <= Kind::Freshness.max_bytes()
        && Note::parse(note)
            .is_ok_and(|note| note.unverified_text() == freshness_text(trust.root(), roster))
}

/// Says with this node's own key that it holds the roster in force for the newest now. A node says so
/// only as an active member that the roster lists with this key; says whether it did.
///
/// # Errors
/// If it cannot be kept.
pub async fn vouch(party: &Party, cosigner: &Cosigner) -> Result<bool, StoreError> {
    let now = party.ambient().now();
    let key = cosigner.note_key().to_string();
    let own = party.with_trust(|trust| {
        let roster = trust.roster_in_force(now).ok()?;
        let own = roster.active(party.id().as_str(), now).ok()?;
        if !own.roles.member || own.witness_vkey.as_ref() != Some(&key) {
            return None;
        }
        let text = freshness_text(trust.root(), roster);
        let line = cosigner.cosign(&text, now).ok()?;
        Note::from_parts(text, vec![line]).ok()
    });
    match own {
        Some(note) => gather(party, note.to_string().as_bytes())
            .await
            .map(|()| true),
        None => Ok(false),
    }
}

/// Adds what a peer has gathered, as far as it speaks of the trusted roster and verifies.
///
/// # Errors
/// If it cannot be kept.
pub async fn gather(party: &Party, note: &[u8]) -> Result<(), StoreError> {
    let _one_at_a_time = party.adopting.lock().await;
    let before = party.store().setting(GATHERED).await?.unwrap_or_default();
    let now = party.ambient().now();
    let after = party.with_trust(|trust| {
        let notes: Vec<&[u8]> = [before.as_slice(), note]
            .into_iter()
            .filter(|note| speaks_of(trust, note))
            .collect();
        let roster = trust.roster()?;
        gather_freshness(&notes, trust.root(), roster, now).ok()
    });
    match after {
        Some(after) if after.as_bytes() != before => {
            party.store().set_setting(GATHERED, after.as_bytes()).await
        }
        _ => Ok(()),
    }
}

/// Whether the trusted roster ought to be proved newer than it is: a majority of the members could
/// vouch for it, it is old enough for that, and the proof is older than two days.
///
/// # Errors
/// If the store fails.
pub async fn is_stale(party: &Party) -> Result<bool, StoreError> {
    let now = party.ambient().now();
    let expected = party.with_trust(|trust| {
        trust.roster().is_some_and(|roster| {
            let members: Vec<_> = roster.holders(now).collect();
            let able = members
                .iter()
                .filter(|member| member.witness_vkey.is_some())
                .count();
            able > members.len() / 2 && roster.roster().issued.unix().saturating_add(GRACE) < now
        })
    });
    if !expected {
        return Ok(false);
    }
    let proof = proved(party).await?;
    Ok(proof.is_none_or(|proof| !proof.is_fresh(now, FRESHNESS_MAX_AGE)))
}

/// Tells the operator, and the log, that the roster may be an old one; once a day.
///
/// # Errors
/// If the store fails.
pub async fn warn_if_stale(party: &Party) -> Result<(), StoreError> {
    if !is_stale(party).await? {
        return Ok(());
    }
    let as_of = proved(party).await?.map_or_else(
        || "never".to_owned(),
        |proof| proof.as_of.unix().to_string(),
    );
    let (leaf, _) = Leaf::new(
        pb::Act::RosterStale,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| entry.reference = format!("ROSTER_NOT_FRESH vouched={as_of}"))
    .finish();
    let mut act = Act::alone(leaf).with(Effect::Alert);
    act.debits
        .push(service::daily_draw(party, "", "roster_not_fresh", 1, 1));
    if let Committed::Done { .. } = party.ledger().commit(act).await? {
        tracing::warn!(
            vouched = as_of,
            "no majority of the members has said within two days that this roster is the newest: \
             this node may be held in the past; ask another member, or the secretariat"
        );
    }
    Ok(())
}
