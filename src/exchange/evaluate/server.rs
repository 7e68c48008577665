//! A keyholder's side of an evaluation.

use std::sync::Arc;

use super::{ELEMENT, PROOF};
use crate::exchange::leaf::Leaf;
use crate::exchange::message::{AnswerItems, AnswerTo, Query};
use crate::exchange::service::{self, Answering};
use crate::exchange::{Party, Refusal};
use crate::oprf::{self, BlindedBatch, BlindedElement};
use crate::proto::exchange as pb;
use crate::roster::{Member, TrustedRoster};
use crate::store::{Debit, TagKind};

/// Answers one batch: checks it, debits the quota, evaluates, and makes the act durable.
///
/// # Errors
/// A [`Refusal`] that names what is wrong.
pub async fn answer(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<pb::SignedMessage, Refusal> {
    let roster = party.roster()?;
    let query: Query<pb::EvaluationQuery> = service::open(party, &roster, caller, message).await?;
    service::answer_once(party, &query, evaluate(party, &roster, &query)).await
}

async fn evaluate(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::EvaluationQuery>,
) -> Result<Answering, Refusal> {
    if !query.issuer.roles.member {
        return Err(Refusal::RoleMissing { role: "member" });
    }
    let epoch = query.payload.epoch;
    let key = party.coalition_key(roster, Some(epoch))?;
    let holding = party.share_of(&key).ok_or(Refusal::NoShare)?;
    let bad = |error: &dyn std::error::Error| Refusal::BadBatch {
        why: error.to_string(),
    };
    let keyholders = query
        .payload
        .keyholders
        .iter()
        .map(|&identifier| u16::try_from(identifier))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(&error))?;
    let subset = key.subset(&keyholders).map_err(|error| bad(&error))?;
    let [body] = query.items.as_slice() else {
        return Err(Refusal::BadBatch {
            why: "the elements are one item".to_owned(),
        });
    };
    let (elements, []) = body.as_chunks::<ELEMENT>() else {
        return Err(Refusal::BadBatch {
            why: "the elements are 32 octets each".to_owned(),
        });
    };
    if elements.len() as u64 != u64::from(query.payload.element_count) {
        return Err(Refusal::BadBatch {
            why: "there are not as many elements as stated".to_owned(),
        });
    }
    let elements: Vec<_> = elements.iter().copied().map(BlindedElement::new).collect();
    let batch = BlindedBatch::parse(&elements).map_err(|error| bad(&error))?;
    let debit = debit(party, query, epoch, batch.len() as u64).await?;
    // The quota is drawn on in the same transaction that makes the answer exist, so nothing
    // evaluated goes uncounted; it is looked at here first, to refuse before the work.
    let count = batch.len() as u32;
    let evaluation = {
        let party = Arc::clone(party);
        tokio::task::spawn_blocking(move || {
            oprf::evaluate(&holding.share, &subset, &batch, &mut party.ambient().rng()).map_err(
                |error| Refusal::BadBatch {
                    why: error.to_string(),
                },
            )
        })
        .await
        .map_err(|_| Refusal::Unavailable {
            reference: "evaluation".to_owned(),
        })??
    };
    let mut out = Vec::with_capacity(evaluation.elements.len() * ELEMENT + PROOF);
    for element in &evaluation.elements {
        out.extend_from_slice(element.as_bytes());
    }
    out.extend_from_slice(evaluation.proof.as_bytes());
    let items = AnswerItems::new(party, &[&out]);
    let leaf = Leaf::new(
        pb::Act::EvaluationAnswered,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.answer_digest = items.root().to_vec();
        entry.count = count;
    });
    let to = AnswerTo::from(query);
    let (signer, roster) = (Arc::clone(party), Arc::clone(roster));
    Ok(Answering {
        leaf,
        debits: vec![debit],
        effects: Vec::new(),
        answer: Box::new(move |position| {
            items.sign(
                &signer,
                &roster,
                &to,
                &pb::EvaluationAnswer::default(),
                position,
            )
        }),
    })
}

/// The most keys that one record has, those of its siblings among them.
fn keys_of_a_record(party: &Party) -> u64 {
    (party.rules().slots() + party.rules().sibling_slot_rules().len()) as u64
}

/// Which of the member's two allowances this batch draws on: that for enrolling its register,
/// cumulative over the key epoch, and when that is used up the daily one for searching. The two
/// cannot be told apart by what is asked, since blinded elements all look alike.
async fn debit(
    party: &Party,
    query: &Query<pb::EvaluationQuery>,
    epoch: u32,
    amount: u64,
) -> Result<(&'static str, Debit), Refusal> {
    let quotas = query.issuer.quotas;
    let member = query.issuer.id.as_str().as_bytes();
    let enrolment = Debit {
        tag: party.store().tag(
            TagKind::Quota,
            &[member, b"enrolment", &epoch.to_be_bytes()],
        ),
        amount,
        limit: quotas
            .enrolment_records
            .saturating_mul(keys_of_a_record(party)),
    };
    let used = party
        .store()
        .quota_used(enrolment.tag)
        .await
        .map_err(|error| party.unavailable(&error))?;
    if used.saturating_add(amount) <= enrolment.limit {
        return Ok(("enrolment_records", enrolment));
    }
    let (quota, daily) = service::daily_debit(
        party,
        &query.issuer,
        "evaluations_per_day",
        amount,
        quotas.evaluations_per_day,
    );
    let used = party
        .store()
        .quota_used(daily.tag)
        .await
        .map_err(|error| party.unavailable(&error))?;
    if used.saturating_add(amount) > daily.limit {
        return Err(Refusal::QuotaExceeded {
            quota,
            used,
            limit: daily.limit,
            asked: amount,
            retry_after_seconds: service::seconds_to_midnight(party),
        });
    }
    Ok((quota, daily))
}
