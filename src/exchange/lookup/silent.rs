//! Silent records are met by no lookup. They are compared with the evidence of lookups afterwards,
//! and the holder is told who looked for them.
//!
//! One leaf says that so many lookups were compared, whatever came of it: peers see how long the
//! log is, and a leaf that stood there only after a hit would tell them of the hit.

use prost::Message as _;

use super::ProbedSubject;
use super::server::{agreed_rules, grade_number, raised};
use super::weigh::weigh_in;
use crate::envelope::{ItemEvidence, items};
use crate::exchange::leaf::Leaf;
use crate::exchange::{Party, enrol};
use crate::linkage::Grade;
use crate::proto::exchange as pb;
use crate::store::{Act, Effect, Evidence, EvidencePart, Index, NewAlert, StoreError};

/// How many leaves are read at a time.
const LEAVES: u64 = 256;

/// Compares the lookups that were answered since the last time with the silent records, and raises
/// alerts. Tells how many lookups there were.
///
/// May be interrupted: what was not done is done the next time, and no alert is raised twice.
///
/// # Errors
/// If the store fails.
pub async fn compare(party: &Party) -> Result<u64, StoreError> {
    let end = party.store().checkpoint().await?.map_or(0, |log| log.0);
    let mut start = party.store().silent_checked_to().await?;
    let mut lookups = 0;
    while start < end {
        let count = LEAVES.min(end - start);
        lookups += compare_leaves(party, start, count).await?;
        start += count;
    }
    Ok(lookups)
}

async fn compare_leaves(party: &Party, start: u64, count: u64) -> Result<u64, StoreError> {
    let leaves = party.store().leaves(start, count).await?;
    let end = start + leaves.len() as u64;
    let mut lookups = 0;
    let mut outcome = pb::Outcome::default();
    let mut alerts = Vec::new();
    for (leaf_index, leaf) in (start..).zip(&leaves) {
        let Ok(entry) = pb::LogEntry::decode(leaf.as_slice()) else {
            continue;
        };
        if entry.act() == pb::Act::LookupAnswered {
            lookups += 1;
            compare_one(party, leaf_index, &entry, &mut outcome, &mut alerts).await?;
        }
    }
    if lookups == 0 {
        return Ok(0);
    }
    for alert in &alerts {
        tracing::warn!(
            leaf_index = alert.leaf_index,
            "a silent record was looked for by a peer; see `wayhome alerts`"
        );
    }
    let (leaf, opening) = Leaf::new(pb::Act::SilentChecked, party.ambient(), &outcome)
        .set(|entry| entry.count = lookups as u32)
        .finish();
    let act = alerts
        .into_iter()
        .map(Effect::Raise)
        .fold(Act::alone(leaf), Act::with)
        .with(Effect::SilentChecked(end))
        .with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
    party.ledger().commit(act).await?;
    Ok(lookups)
}

async fn compare_one(
    party: &Party,
    leaf_index: u64,
    entry: &pb::LogEntry,
    outcome: &mut pb::Outcome,
    alerts: &mut Vec<NewAlert>,
) -> Result<(), StoreError> {
    let Some(evidence) = party
        .store()
        .evidence(leaf_index, EvidencePart::Query)
        .await?
    else {
        return Ok(());
    };
    let mut subjects = Vec::new();
    let mut numbers = Vec::new();
    for (number, item) in (0..).zip(&evidence.items) {
        // What was erased since, or is no subject of these rules, is compared with nothing.
        let subject = body(item)
            .and_then(|body| pb::LookupSubject::decode(body).ok())
            .and_then(|subject| ProbedSubject::from_wire(party.rules(), &subject).ok());
        if let Some(subject) = subject {
            subjects.push(subject);
            numbers.push(number);
        }
    }
    let Some(query) = query_of(&evidence) else {
        return Ok(());
    };
    let weighed = weigh_in(
        party.store(),
        Index::Silent,
        party.rules(),
        query.epoch,
        &subjects,
    )
    .await?;
    for (number, candidates) in numbers.into_iter().zip(weighed.subjects) {
        for candidate in candidates {
            if candidate.decision.grade == Grade::NoMatch {
                continue;
            }
            let Some(stored) = party.store().record_by_id(candidate.record_id).await? else {
                continue;
            };
            let record = enrol::parse(&stored)?;
            if let Ok(subject) = party.pseudonym(record.record_ref.as_str()) {
                outcome.subjects.push(pb::SubjectOutcome {
                    subject_index: number,
                    subject: subject.as_bytes().to_vec(),
                    rules: agreed_rules(&candidate),
                    grade: grade_number(candidate.decision.grade) as u32,
                    ..pb::SubjectOutcome::default()
                });
            }
            alerts.push(NewAlert {
                leaf_index: Some(leaf_index),
                subject: number,
                ..raised(
                    &record,
                    &entry.peer,
                    entry.purpose,
                    query.case_reference.clone(),
                    candidate.decision.grade,
                )
            });
        }
    }
    Ok(())
}

fn body(item: &ItemEvidence) -> Option<&[u8]> {
    match item {
        ItemEvidence::Full(item) => items::split_item(item).ok().map(|(_, body)| body),
        ItemEvidence::Erased(_) => None,
    }
}

/// The query as it was signed.
fn query_of(evidence: &Evidence) -> Option<pb::LookupQuery> {
    let envelope = pb::Envelope::decode(evidence.envelope.as_slice()).ok()?;
    pb::LookupQuery::decode(envelope.payload.as_slice()).ok()
}
