//! What all acts on the server side share: committing, answering again, and recording refusals.

use std::future::Future;
use std::sync::Arc;

use super::leaf::Leaf;
use super::message::{Payload, Query, SignedQuery, open_query, to_wire};
use super::{Party, Refusal, unusual};
use crate::proto::exchange as pb;
use crate::roster::{Member, TrustedRoster};
use crate::store::{
    Act, Committed, Debit, Effect, Evidence, EvidencePart, Position, StoreError, TagKind,
};

const DAY_MS: u64 = 86_400_000;

/// How many refusals a day are recorded for one party: enough to see what it tried, and no way to
/// fill the log.
const RECORDED_REFUSALS_PER_DAY: u64 = 1_000;

/// What is said in place of a reference where an act was not done because what it builds on changed.
const CHANGED: &str = "changed meanwhile";

/// Whether an act was not done because what it builds on changed: done anew, it may be.
#[must_use]
pub fn is_stale(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Unavailable { reference } if reference == CHANGED)
}

/// Opens a query that came over the connection of `caller`, and records it if it is refused although
/// its signature held.
///
/// # Errors
/// The refusal.
pub async fn open<P: Payload>(
    party: &Party,
    roster: &TrustedRoster,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<Query<P>, Refusal> {
    match open_query(party, roster, caller, message) {
        Ok(query) => Ok(query),
        Err(rejected) => {
            // Unverified ones are not recorded: anyone could send them in another's name.
            match rejected.signed {
                Some(signed) => record(party, caller, *signed, &rejected.refusal).await,
                None => tell(caller, &rejected.refusal),
            }
            Err(rejected.refusal)
        }
    }
}

/// Builds the signed answer once its place in the log is known.
pub type AnswerSigner = Box<dyn Fn(&Position) -> Result<Evidence, Refusal> + Send + Sync>;

/// An act that is ready to be committed.
pub struct Answering {
    /// Its leaf, without what the query states.
    pub leaf: Leaf,
    /// Quotas it draws on.
    pub debits: Vec<Debit>,
    /// What else goes with it.
    pub effects: Vec<Effect>,
    /// Signs its answer.
    pub answer: AnswerSigner,
}

/// Answers `query` once: gives the stored answer to a query that was answered before, else does
/// what `act` says and commits it, or records that it was refused.
///
/// # Errors
/// The refusal.
pub async fn answer_once<P: Payload>(
    party: &Arc<Party>,
    query: &Query<P>,
    act: impl Future<Output = Result<Answering, Refusal>>,
) -> Result<pb::SignedMessage, Refusal> {
    // Looked at before any work is done: what was answered is answered again, even if the same
    // could not be answered afresh (a quota used up since, a lead that has expired).
    match earlier_answer(party, query).await {
        Ok(None) => {}
        Ok(Some(earlier)) => return Ok(earlier),
        Err(refusal) => {
            if refusal == Refusal::MessageIdReused {
                record_refusal(party, query, &refusal).await;
            }
            return Err(refusal);
        }
    }
    match act.await {
        Ok(answering) => commit(party, query, answering).await,
        Err(refusal) => Err(refuse_afresh(party, query, refusal).await),
    }
}

/// As [`answer_once`], for an act that costs no more than looking whether it was done before: that
/// shows when it is committed.
///
/// # Errors
/// The refusal.
pub async fn answer_small<P: Payload>(
    party: &Arc<Party>,
    query: &Query<P>,
    act: impl Future<Output = Result<Answering, Refusal>>,
) -> Result<pb::SignedMessage, Refusal> {
    let refusal = match act.await {
        Ok(answering) => return commit(party, query, answering).await,
        Err(refusal) => refusal,
    };
    // What was answered is answered again, even if the same could not be answered afresh.
    match earlier_answer(party, query).await {
        Ok(Some(earlier)) => Ok(earlier),
        Ok(None) => Err(refuse_afresh(party, query, refusal).await),
        Err(refusal) => {
            if refusal == Refusal::MessageIdReused {
                record_refusal(party, query, &refusal).await;
            }
            Err(refusal)
        }
    }
}

/// Records that an act was refused which was not done before.
async fn refuse_afresh<P: Payload>(party: &Party, query: &Query<P>, refusal: Refusal) -> Refusal {
    // The alert first: a caller that hangs up now has been counted.
    if let Refusal::QuotaExceeded {
        quota, used, limit, ..
    } = refusal
    {
        unusual::used_up(party, &query.issuer, quota, used, limit).await;
    }
    record_refusal(party, query, &refusal).await;
    refusal
}

/// Commits an act, and gives its answer once that is durable.
async fn commit<P: Payload>(
    party: &Arc<Party>,
    query: &Query<P>,
    answering: Answering,
) -> Result<pb::SignedMessage, Refusal> {
    let (leaf, opening) = answering
        .leaf
        .set(|entry| {
            entry.time_ms = query.opened_ms;
            entry.peer = query.issuer.id.as_str().to_owned();
            entry.message_id = query.message_id.to_vec();
            entry.query_digest = query.digest.to_vec();
        })
        .finish();
    let mut effects = answering.effects;
    effects.push(Effect::Keep(EvidencePart::Query, query.evidence.clone()));
    effects.push(Effect::Keep(
        EvidencePart::Opening,
        Evidence::plain(opening),
    ));
    let sign = answering.answer;
    let act = Act {
        leaf,
        seen: Some(query.seen(party)),
        debits: answering.debits,
        effects,
        answer: Some(Box::new(move |position| {
            sign(position).unwrap_or_else(|refusal| {
                // Sizes were bounded when the query was opened, so an answer always fits.
                tracing::error!(%refusal, "an answer could not be signed");
                Evidence::plain(Vec::new())
            })
        })),
    };
    match unusual::commit_watched(party, &query.issuer, act)
        .await
        .map_err(|error| party.unavailable(&error))?
    {
        Committed::Done {
            answer: Some(answer),
            ..
        } => Ok(telling(party, &query.issuer, to_wire(&answer))),
        Committed::Done { answer: None, .. } => Err(party.unavailable(&StoreError::Closed)),
        Committed::Repeated { leaf_index } => stored_answer(party, &query.issuer, leaf_index).await,
        // Asking again with the same message does the act anew, on what holds by then.
        Committed::Stale => Err(Refusal::Unavailable {
            reference: CHANGED.to_owned(),
        }),
        Committed::Reused => {
            let refusal = Refusal::MessageIdReused;
            record_refusal(party, query, &refusal).await;
            Err(refusal)
        }
        Committed::OverQuota {
            quota,
            asked,
            used,
            limit,
        } => {
            let refusal = Refusal::QuotaExceeded {
                quota,
                used,
                limit,
                asked,
                retry_after_seconds: seconds_to_midnight(party),
            };
            record_refusal(party, query, &refusal).await;
            Err(refusal)
        }
    }
}

/// As [`answer_once`], for an act that was tried already.
///
/// # Errors
/// The refusal.
pub async fn settle<P: Payload>(
    party: &Arc<Party>,
    query: &Query<P>,
    tried: Result<Answering, Refusal>,
) -> Result<pb::SignedMessage, Refusal> {
    answer_once(party, query, std::future::ready(tried)).await
}

/// Whether this very query was answered before.
///
/// # Errors
/// That the store cannot say.
pub async fn was_answered<P: Payload>(party: &Party, query: &Query<P>) -> Result<bool, Refusal> {
    let seen = query.seen(party);
    party
        .store()
        .seen(seen.tag)
        .await
        .map(|earlier| earlier.is_some_and(|(digest, _)| digest == seen.query_digest))
        .map_err(|error| party.unavailable(&error))
}

/// The stored answer to this very query, if it was answered before.
///
/// # Errors
/// That its id belongs to another query, or that the store cannot say.
pub async fn earlier_answer<P: Payload>(
    party: &Party,
    query: &Query<P>,
) -> Result<Option<pb::SignedMessage>, Refusal> {
    let seen = query.seen(party);
    let earlier = party
        .store()
        .seen(seen.tag)
        .await
        .map_err(|error| party.unavailable(&error))?;
    match earlier {
        Some((digest, leaf_index)) if digest == seen.query_digest => {
            stored_answer(party, &query.issuer, leaf_index)
                .await
                .map(Some)
        }
        Some(_) => Err(Refusal::MessageIdReused),
        None => Ok(None),
    }
}

/// An answer on its way, with what the asking party may not know of the logs.
fn telling(party: &Party, to: &Member, mut answer: pb::SignedMessage) -> pb::SignedMessage {
    answer.seen_checkpoints = party.hearsay().to_tell(&to.id);
    answer
}

async fn stored_answer(
    party: &Party,
    to: &Member,
    leaf_index: u64,
) -> Result<pb::SignedMessage, Refusal> {
    let stored = party
        .store()
        .evidence(leaf_index, EvidencePart::Answer)
        .await
        .map_err(|error| party.unavailable(&error))?;
    match stored {
        Some(answer) => Ok(telling(party, to, to_wire(&answer))),
        None => Err(party.unavailable(&StoreError::Damaged {
            what: format!("answer behind leaf {leaf_index}"),
            reason: "missing".to_owned(),
        })),
    }
}

/// Refuses a query that passed the gate, whatever was answered to it before.
///
/// # Errors
/// Always the refusal.
pub async fn refuse<P: Payload>(
    party: &Party,
    query: &Query<P>,
    refusal: Refusal,
) -> Result<pb::SignedMessage, Refusal> {
    record_refusal(party, query, &refusal).await;
    Err(refusal)
}

/// A draw on what a party may do in one day (UTC).
#[must_use]
pub fn daily_debit(
    party: &Party,
    issuer: &Member,
    quota: &'static str,
    amount: u64,
    limit: u64,
) -> Debit {
    daily_draw(party, issuer.id.as_str(), quota, amount, limit)
}

/// The same for whoever `who` names.
pub(super) fn daily_draw(
    party: &Party,
    who: &str,
    quota: &'static str,
    amount: u64,
    limit: u64,
) -> Debit {
    let day = party.ambient().now_ms() / DAY_MS;
    Debit {
        quota,
        tag: party.store().tag(
            TagKind::Quota,
            &[who.as_bytes(), quota.as_bytes(), &day.to_be_bytes()],
        ),
        amount,
        limit,
        // A day longer than it counts: clocks may differ.
        expires_ms: Some((day + 2) * DAY_MS),
        otherwise: None,
    }
}

/// Records that a query which passed the gate was refused.
async fn record_refusal<P: Payload>(party: &Party, query: &Query<P>, refusal: &Refusal) {
    let signed = SignedQuery {
        message_id: Some(query.message_id),
        digest: query.digest,
        opened_ms: query.opened_ms,
        // The items of a refused query are nobody's evidence of anything.
        evidence: Evidence {
            envelope: query.evidence.envelope.clone(),
            items: Vec::new(),
        },
    };
    record(party, &query.issuer, signed, refusal).await;
}

/// Records that a query was refused whose signature held.
async fn record(party: &Party, issuer: &Member, query: SignedQuery, refusal: &Refusal) {
    let (leaf, opening) = Leaf::new(
        pb::Act::QueryRefused,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.time_ms = query.opened_ms;
        entry.peer = issuer.id.as_str().to_owned();
        entry.message_id = query.message_id.map_or_else(Vec::new, Vec::from);
        entry.query_digest = query.digest.to_vec();
        entry.reference = refusal.code().to_owned();
    })
    .finish();
    let mut act = Act::alone(leaf)
        .with(Effect::Keep(EvidencePart::Query, query.evidence))
        .with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
    act.debits.push(daily_debit(
        party,
        issuer,
        "refusals",
        1,
        RECORDED_REFUSALS_PER_DAY,
    ));
    if let Err(error) = party.ledger().commit(act).await {
        tracing::error!(%error, "a refusal could not be recorded");
    }
    tell(issuer, refusal);
}

/// One line for the operator, without a word of what was asked.
fn tell(peer: &Member, refusal: &Refusal) {
    tracing::warn!(
        peer = peer.id.as_str(),
        code = refusal.code(),
        "a query was refused"
    );
}

/// Seconds until the daily quotas begin anew (00:00 UTC).
#[must_use]
pub fn seconds_to_midnight(party: &Party) -> u64 {
    (DAY_MS - party.ambient().now_ms() % DAY_MS).div_ceil(1000)
}
