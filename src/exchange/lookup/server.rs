//! The holder's side of a lookup.

use std::sync::Arc;

use prost::Message as _;
use zeroize::Zeroizing;

use super::limit::{self, ProbeBook};
use super::review::{Graded, ReviewBook};
use super::tick::{on_tick, quantum};
use super::weigh::{Candidate, ProbedSubject, Weighed, rank, weigh};
use super::{LEAD_LIFETIME_MS, LEADS, MAX_CASE_REFERENCE, MAX_SUBJECTS};
use crate::exchange::leaf::Leaf;
use crate::exchange::message::{AnswerItems, AnswerTo, Query};
use crate::exchange::service::{self, Answering};
use crate::exchange::unusual::{self, Alert, Counts};
use crate::exchange::{Party, Refusal, enrol, epochs, legal_basis_from, purpose_from, quota};
use crate::linkage::decide::step_up;
use crate::linkage::{AttributeClass, Field, Grade, Presence, RuleTable};
use crate::proto::exchange as pb;
use crate::proto::operator::{self, KeptReview};
use crate::records::{Protection, Record};
use crate::roster::{Member, TrustedRoster};
use crate::store::{Effect, Lead, NewAlert, Tag, TagKind};

/// Up to how many subjects a query is small: then the index is probed without first asking the
/// database whether the query was answered before and the quota suffices. Both are decided when the
/// act is committed; asking before only spares work, and here it would cost as much.
const SMALL: usize = 20;

/// Answers a lookup: checks it, probes the index, grades, and makes the act durable. What comes of
/// it leaves on a tick.
///
/// # Errors
/// A [`Refusal`] that names what is wrong.
pub async fn answer(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<pb::SignedMessage, Refusal> {
    on_tick(
        quantum(message.items.len()),
        answer_now(party, caller, message),
    )
    .await
}

async fn answer_now(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<pb::SignedMessage, Refusal> {
    let roster = party.roster()?;
    let query: Query<pb::LookupQuery> = service::open(party, &roster, caller, message).await?;
    for _ in 0..ANEW {
        let answer = answer_by_size(party, &roster, &query).await;
        match answer {
            Err(refusal) if service::is_stale(&refusal) => {
                // Perhaps another process of this node has published: then the filter is not asked.
                party
                    .store()
                    .check_filter()
                    .await
                    .map_err(|error| party.unavailable(&error))?;
            }
            answer => return answer,
        }
    }
    answer_by_size(party, &roster, &query).await
}

async fn answer_by_size(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::LookupQuery>,
) -> Result<pb::SignedMessage, Refusal> {
    let act = look_up(party, roster, query);
    if query.items.len() <= SMALL {
        service::answer_small(party, query, act).await
    } else {
        service::answer_once(party, query, act).await
    }
}

/// How often a lookup is done anew because what it rests on changed before it was durable, before
/// the asking side is told to try again.
const ANEW: u32 = 2;

async fn look_up(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::LookupQuery>,
) -> Result<Answering, Refusal> {
    let asked = &query.payload;
    if !query.issuer.roles.member {
        return Err(Refusal::RoleMissing { role: "member" });
    }
    let purpose = purpose_from(asked.purpose)?;
    let basis = legal_basis_from(asked.legal_basis)?;
    let now = party.ambient().now();
    if !roster.permits(query.issuer.id.as_str(), purpose, now) {
        return Err(Refusal::PurposeNotPermitted {
            purpose: purpose.to_string(),
        });
    }
    party.house_rules().admit(&query.issuer.id, Some(purpose))?;
    check_case_reference(&asked.case_reference)?;
    let epoch = asked.epoch;
    epochs::admit(party, roster, epoch).await?;
    if asked.rules_digest != party.rules().digest() {
        return Err(Refusal::WrongRules);
    }
    let subjects = parse_subjects(party.rules(), query)?;
    let now_ms = party.ambient().now_ms();
    let count = subjects.len() as u32;
    let subjects_debit = quota::subjects(party, &query.issuer, u64::from(count));
    if subjects.len() > SMALL {
        quota::look(party, &subjects_debit).await?;
    }
    unusual::watch_query(party, &query.issuer, &subjects).await;
    let Weighed {
        subjects: weighed,
        mark,
    } = weigh(party.store(), party.rules(), epoch, &subjects)
        .await
        .map_err(|error| party.unavailable(&error))?;

    let mut results = Vec::with_capacity(subjects.len());
    let mut tally = Tally::default();
    for (index, (candidates, subject)) in weighed.into_iter().zip(&subjects).enumerate() {
        let touching = Touching {
            index: index as u32,
            set: limit::digest_of(subject),
            epoch,
            presence: subject.presence,
        };
        let result = answer_subject(party, query, touching, candidates, &mut tally).await?;
        if result.grade != pb::Grade::NoMatch as i32 {
            tally.counts.hits += 1;
        }
        results.push(result.encode_to_vec());
    }
    let Tally {
        book,
        review,
        mut effects,
        outcome,
        counts,
    } = tally;
    effects.extend(mark.map(Effect::AnsweredUnder));
    effects.extend(book.into_effects());
    effects.extend(review.into_effect(KeptReview {
        time_ms: now_ms,
        peer: query.issuer.id.as_str().to_owned(),
        purpose: purpose.to_string(),
        legal_basis: basis.to_string(),
        case_reference: asked.case_reference.clone(),
        message_id: query.message_id.to_vec(),
        findings: Vec::new(),
    }));
    let bodies: Vec<&[u8]> = results.iter().map(Vec::as_slice).collect();
    let items = AnswerItems::new(party, &bodies);
    let leaf = Leaf::new(pb::Act::LookupAnswered, party.ambient(), &outcome).set(|entry| {
        entry.answer_digest = items.root().to_vec();
        entry.purpose = super::super::purpose_to(purpose).into();
        entry.legal_basis = super::super::legal_basis_to(basis).into();
        entry.count = count;
    });
    if outcome.subjects.iter().any(|line| line.frozen) {
        unusual::raise(party, &query.issuer, Alert::ProbeLimit).await;
    }
    let mut debits = vec![subjects_debit];
    debits.extend(unusual::counting(
        party,
        &query.issuer,
        u64::from(count),
        &counts,
    ));
    let index_mark = mark_for(party, &query.issuer, mark.unwrap_or_default());
    let to = AnswerTo::from(query);
    let (signer, roster) = (Arc::clone(party), Arc::clone(roster));
    Ok(Answering {
        leaf,
        debits,
        effects,
        answer: Box::new(move |position| {
            let payload = pb::LookupAnswer {
                index_mark: index_mark.to_vec(),
                quotas: quota::stated(&position.drawn),
                ..pb::LookupAnswer::default()
            };
            items.sign(&signer, &roster, &to, &payload, position)
        }),
    })
}

/// The mark of this index as one party sees it: no two parties can compare theirs.
pub(super) fn mark_for(party: &Party, asker: &Member, mark: u64) -> Tag {
    party.store().tag(
        TagKind::Mark,
        &[asker.id.as_str().as_bytes(), &mark.to_be_bytes()],
    )
}

fn parse_subjects(
    rules: &RuleTable,
    query: &Query<pb::LookupQuery>,
) -> Result<Vec<ProbedSubject>, Refusal> {
    let malformed = |why: String| Refusal::Malformed {
        what: "subjects",
        why,
    };
    if query.items.is_empty() || query.items.len() > MAX_SUBJECTS {
        return Err(malformed(format!(
            "a query has 1 to {MAX_SUBJECTS} of them, not {}",
            query.items.len()
        )));
    }
    query
        .items
        .iter()
        .map(|item| {
            let subject = pb::LookupSubject::decode(item.as_slice())
                .map_err(|error| malformed(error.to_string()))?;
            ProbedSubject::from_wire(rules, &subject).map_err(|why| malformed(why.to_owned()))
        })
        .collect()
}

/// One subject of a query, as what it touched is counted.
#[derive(Clone, Copy)]
struct Touching {
    index: u32,
    set: [u8; 16],
    epoch: u32,
    presence: Presence,
}

/// The books of one query, each for another reader.
#[derive(Default)]
struct Tally {
    book: ProbeBook,
    review: ReviewBook,
    effects: Vec<Effect>,
    outcome: pb::Outcome,
    counts: Counts,
}

async fn answer_subject(
    party: &Party,
    query: &Query<pb::LookupQuery>,
    touching: Touching,
    candidates: Vec<Candidate>,
    tally: &mut Tally,
) -> Result<pb::LookupResult, Refusal> {
    let mut found: Vec<Found> = Vec::new();
    for candidate in candidates {
        let stored = party
            .store()
            .record_by_id(candidate.record_id)
            .await
            .map_err(|error| party.unavailable(&error))?;
        // Erased since the probe: there is nothing to find any more.
        let Some(stored) = stored else { continue };
        let newest = enrol::newest(party, &stored)
            .await
            .map_err(|error| party.unavailable(&error))?;
        let Some(enrol::Newest { record, .. }) = newest else {
            continue;
        };
        let tag = party.store().tag(
            TagKind::Probe,
            &[
                query.issuer.id.as_str().as_bytes(),
                record.record_ref.as_str().as_bytes(),
                &touching.epoch.to_be_bytes(),
            ],
        );
        let set = candidate.family_set.unwrap_or(touching.set);
        let given = tally
            .book
            .grade(
                party.store(),
                (tag, stored.ref_tag()),
                set,
                protected(&record, candidate.decision.grade),
                // Two children of one family seldom meet two of another by chance.
                candidate.agreed.len() > 1 || candidate.family_set.is_some(),
                &candidate.touching,
            )
            .await
            .map_err(|error| party.unavailable(&error))?;
        tally
            .counts
            .touched
            .entry(record.record_ref.as_str().to_owned())
            .or_default()
            .insert(set);
        // A record that was protected since must not be given away by an older grade.
        let grade = protected(&record, given.grade);
        tally.outcome.subjects.push(pb::SubjectOutcome {
            subject_index: touching.index,
            subject: party
                .pseudonym(record.record_ref.as_str())?
                .as_bytes()
                .to_vec(),
            rules: agreed_rules(&candidate),
            grade: grade_number(grade) as u32,
            lead_id: Vec::new(),
            frozen: given.frozen,
        });
        found.push(Found {
            line: tally.outcome.subjects.len() - 1,
            grade,
            frozen: given.frozen,
            ref_tag: stored.ref_tag(),
            candidate,
            record,
        });
    }
    // The grades that are given decide who is among the leads, and nothing else shows in their
    // order: a grade lowered for protection would stand out among those that it was above.
    found.sort_by(|a, b| {
        let weight = |found: &Found| found.candidate.decision.weight;
        rank(b.grade)
            .cmp(&rank(a.grade))
            .then(weight(b).total_cmp(&weight(a)))
    });
    // Of the masks alone, so that a grade lowered for protection or by the probe limit reads as any
    // other.
    let more = found
        .iter()
        .find(|found| found.grade == Grade::Possible)
        .map(|found| step_up(touching.presence, found.candidate.held));
    let mut leads = Vec::with_capacity(LEADS);
    for found in &found {
        let led = found.grade != Grade::NoMatch && leads.len() < LEADS;
        let lead_id = led.then(|| party.ambient().random::<16>());
        tally.review.note(
            party.rules(),
            &Graded {
                subject_index: touching.index,
                asked: touching.presence,
                candidate: &found.candidate,
                ref_tag: found.ref_tag,
                grade: found.grade,
                frozen: found.frozen,
                lead_id,
            },
        );
        let Some(lead_id) = lead_id else { continue };
        if let Some(line) = tally.outcome.subjects.get_mut(found.line) {
            line.lead_id = lead_id.to_vec();
        }
        tally.effects.push(Effect::HandOut(Lead {
            lead_id,
            party: query.issuer.id.as_str().to_owned(),
            record_id: found.candidate.record_id,
            ref_tag: found.ref_tag,
            corroborated: corroborated(party.rules(), &found.candidate),
            grade: rank(found.grade),
            expires_ms: party.ambient().now_ms() + LEAD_LIFETIME_MS,
        }));
        leads.push(pb::Lead {
            lead_id: lead_id.to_vec(),
            grade: grade_number(found.grade).into(),
        });
        if matches!(found.record.protection, Protection::Alert) {
            tally.effects.push(alert(query, touching.index, found));
        }
    }
    // Their ids are random, and so is their order within a grade.
    leads.sort_by(|a, b| b.grade.cmp(&a.grade).then(a.lead_id.cmp(&b.lead_id)));
    let best = leads
        .iter()
        .map(pb::Lead::grade)
        .max_by_key(|grade| *grade as i32)
        .unwrap_or(pb::Grade::NoMatch);
    while leads.len() < LEADS {
        leads.push(pb::Lead {
            lead_id: party.ambient().random::<16>().to_vec(),
            grade: pb::Grade::NoMatch.into(),
        });
    }
    let more = if best == pb::Grade::Possible {
        class_number(more)
    } else {
        pb::AttributeClass::None
    };
    Ok(pb::LookupResult {
        grade: best.into(),
        leads,
        more_attributes: more.into(),
    })
}

/// A record that was touched, with what is given for it.
struct Found {
    /// Its line in the outcome.
    line: usize,
    /// The grade that is given.
    grade: Grade,
    /// Whether the probe limit decided it.
    frozen: bool,
    ref_tag: Tag,
    candidate: Candidate,
    record: Record,
}

/// The alert on a record whose protection asks for one.
fn alert(query: &Query<pb::LookupQuery>, subject: u32, found: &Found) -> Effect {
    tracing::warn!(
        peer = query.issuer.id.as_str(),
        "a protected record was found by a peer"
    );
    Effect::Raise(NewAlert {
        subject,
        ..raised(
            &found.record,
            query.issuer.id.as_str(),
            query.payload.purpose,
            query.payload.case_reference.clone(),
            found.grade,
        )
    })
}

/// An alert on a record, about the first subject of the act that it is raised with.
pub(crate) fn raised(
    record: &Record,
    peer: &str,
    purpose: i32,
    case_reference: String,
    grade: Grade,
) -> NewAlert {
    let said = operator::ProtectionAlert {
        protection: record.protection.as_str().to_owned(),
        record_ref: record.record_ref.as_str().to_owned(),
        peer: peer.to_owned(),
        purpose: purpose_from(purpose)
            .map(|purpose| purpose.to_string())
            .unwrap_or_default(),
        case_reference,
        grade: match grade {
            Grade::Match => "MATCH",
            Grade::Possible => "POSSIBLE",
            Grade::NoMatch => "NO_MATCH",
        }
        .to_owned(),
        ..operator::ProtectionAlert::default()
    };
    NewAlert {
        leaf_index: None,
        subject: 0,
        record_ref: record.record_ref.as_str().to_owned(),
        plaintext: Zeroizing::new(said.encode_to_vec()),
    }
}

/// The rules that agreed, by their numbers.
pub(super) fn agreed_rules(candidate: &Candidate) -> Vec<u32> {
    (0..64)
        .filter(|&rule| candidate.agreed.contains(crate::linkage::RuleId(rule)))
        .map(u32::from)
        .collect()
}

/// Whether more than names and dates agreed. Names and dates can be tried out by who knows a child
/// by name; what the parents are called, where the child was born and what its document's number
/// is cannot be tried out as well at the same time.
fn corroborated(rules: &RuleTable, candidate: &Candidate) -> bool {
    rules
        .rules()
        .iter()
        .filter(|rule| candidate.agreed.contains(rule.id))
        .any(|rule| {
            let fields = || rule.of.iter().map(|ingredient| ingredient.field());
            // Only a record that has all of a rule's fields made its key of them.
            fields().all(|field| candidate.held.has(field))
                && fields().any(|field| {
                    matches!(
                        field,
                        Field::Patronymic
                            | Field::MotherFamily
                            | Field::MotherGiven
                            | Field::Place
                            | Field::Document
                            | Field::LastPlace
                    )
                })
        })
}

/// The grade that a record's protection and ground allow. Of those that a search must not find, only
/// the ones reach this point that became such after the last publication mark: the others are not in
/// the index.
fn protected(record: &Record, grade: Grade) -> Grade {
    match record.protection {
        _ if !record.consent.permits_search() => Grade::NoMatch,
        Protection::Silent => Grade::NoMatch,
        Protection::HumanOnly if grade == Grade::Match => Grade::Possible,
        Protection::None | Protection::Alert | Protection::HumanOnly => grade,
    }
}

pub(super) fn grade_number(grade: Grade) -> pb::Grade {
    match grade {
        Grade::NoMatch => pb::Grade::NoMatch,
        Grade::Possible => pb::Grade::Possible,
        Grade::Match => pb::Grade::Match,
    }
}

fn class_number(class: Option<AttributeClass>) -> pb::AttributeClass {
    match class {
        None => pb::AttributeClass::None,
        Some(AttributeClass::Mother) => pb::AttributeClass::Mother,
        Some(AttributeClass::Document) => pb::AttributeClass::Document,
        Some(AttributeClass::Place) => pb::AttributeClass::Place,
        Some(AttributeClass::Sibling) => pb::AttributeClass::Sibling,
    }
}

/// A case reference is opaque to everyone but who gave it: short, printable, in plain letters, so
/// that no sentence about a child fits in.
pub(crate) fn check_case_reference(reference: &str) -> Result<(), Refusal> {
    let fits = reference.chars().count() <= MAX_CASE_REFERENCE
        && reference
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c));
    if fits {
        Ok(())
    } else {
        Err(Refusal::Malformed {
            what: "case_reference",
            why: format!(
                "it has at most {MAX_CASE_REFERENCE} characters out of A-Z, a-z, 0-9 and -_./:"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_one_size() {
        let result = |grade: pb::Grade, more: pb::AttributeClass| {
            pb::LookupResult {
                grade: grade.into(),
                leads: (0..LEADS)
                    .map(|_| pb::Lead {
                        lead_id: vec![7; 16],
                        grade: grade.into(),
                    })
                    .collect(),
                more_attributes: more.into(),
            }
            .encode_to_vec()
            .len()
        };
        let miss = result(pb::Grade::NoMatch, pb::AttributeClass::None);
        assert_eq!(miss, result(pb::Grade::Match, pb::AttributeClass::None));
        assert_eq!(
            miss,
            result(pb::Grade::Possible, pb::AttributeClass::Sibling)
        );
    }

    #[test]
    fn a_case_reference_holds_no_sentence() {
        assert!(check_case_reference("UA-2026/0017").is_ok());
        assert!(check_case_reference("").is_ok());
        assert!(check_case_reference("the boy from").is_err());
        assert!(check_case_reference("Київ").is_err());
        assert!(check_case_reference(&"x".repeat(65)).is_err());
    }
}
