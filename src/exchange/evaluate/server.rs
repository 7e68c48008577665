//! A keyholder's side of an evaluation.

use std::sync::Arc;

use super::{ELEMENT, PROOF};
use crate::exchange::leaf::Leaf;
use crate::exchange::message::{AnswerItems, AnswerTo, Query};
use crate::exchange::service::{self, Answering};
use crate::exchange::{Party, Refusal, quota};
use crate::oprf::{self, BlindedBatch, BlindedElement};
use crate::proto::exchange as pb;
use crate::roster::{Member, Purpose, TrustedRoster};

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
    let now = party.ambient().now();
    let is_ombudsman = query.issuer.roles.ombudsman.is_some()
        && roster.permits(query.issuer.id.as_str(), Purpose::Audit, now);
    if !query.issuer.roles.member && !is_ombudsman {
        return Err(Refusal::RoleMissing { role: "member" });
    }
    party.house_rules().admit(&query.issuer.id, None)?;
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
    // The quota is drawn on in the same transaction that makes the answer exist, so nothing
    // evaluated goes uncounted; it is looked at here first, to refuse before the work.
    let count = batch.len() as u32;
    let debit = quota::evaluations(party, &query.issuer, epoch, u64::from(count));
    quota::look(party, &debit).await?;
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
            let payload = pb::EvaluationAnswer {
                quotas: quota::stated(&position.drawn),
                ..pb::EvaluationAnswer::default()
            };
            items.sign(&signer, &roster, &to, &payload, position)
        }),
    })
}
