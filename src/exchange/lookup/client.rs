//! The asking side of a lookup: the same question to every member, each under tokens of its own.

use std::sync::Arc;

use prost::Message as _;

use super::server::check_case_reference;
use super::{LEADS, MAX_SUBJECTS, SubjectTokens};
use crate::exchange::ask::{self, Asked, Asking, ask, client};
use crate::exchange::message::{AnswerError, Outgoing, sign_query};
use crate::exchange::{Party, PeerError, Refusal, legal_basis_to, purpose_to};
use crate::proto::exchange as pb;
use crate::proto::exchange::lookup_service_client::LookupServiceClient;
use crate::roster::{LegalBasis, Member, Purpose, TrustedRoster};

/// What a lookup is for.
#[derive(Clone, Debug)]
pub struct LookupAt {
    /// Why.
    pub purpose: Purpose,
    /// On what legal ground.
    pub legal_basis: LegalBasis,
    /// Opaque case reference.
    pub case_reference: String,
}

/// A candidate at a member.
#[derive(Clone, PartialEq, Eq)]
pub struct LeadRef {
    /// The lead.
    pub lead_id: [u8; 16],
    /// Its grade.
    pub grade: pb::Grade,
}

/// One subject at one member.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectGrade {
    /// The best grade.
    pub grade: pb::Grade,
    /// The candidates, best first, without padding.
    pub leads: Vec<LeadRef>,
    /// What would decide.
    pub more: pb::AttributeClass,
}

/// A member's answer.
pub struct MemberAnswer {
    /// One result for each subject.
    pub results: Vec<SubjectGrade>,
    /// Octets sent.
    pub bytes_sent: u64,
    /// Octets received.
    pub bytes_received: u64,
}

/// Looks subjects up at one member under `epoch`, of which their tokens are. A pseudonym names an
/// own record in this node's log, where a subject is one.
///
/// # Errors
/// [`PeerError`] names the member and what is wrong.
pub async fn look_up(
    party: &Arc<Party>,
    holder: &Member,
    lookup: &LookupAt,
    epoch: u32,
    subjects: &[(Option<[u8; 16]>, SubjectTokens)],
) -> Result<MemberAnswer, PeerError> {
    check_case_reference(&lookup.case_reference)?;
    if subjects.is_empty() || subjects.len() > MAX_SUBJECTS {
        return Err(PeerError::Own(Refusal::Malformed {
            what: "subjects",
            why: format!("a query has 1 to {MAX_SUBJECTS} of them"),
        }));
    }
    let roster = party.roster()?;
    let pseudonyms = subjects.iter().map(|(pseudonym, _)| *pseudonym);
    let bodies: Vec<Vec<u8>> = subjects
        .iter()
        .map(|(_, tokens)| {
            tokens
                .for_holder(party.rules(), epoch, holder.id.as_str(), party.ambient())
                .encode_to_vec()
        })
        .collect();
    let (query, asking) = question(party, &roster, holder, lookup, epoch, &bodies, pseudonyms)?;
    let channel = ask::link(party, holder).await?;
    let Asked {
        answer,
        bytes_sent,
        bytes_received,
    } = ask::<pb::LookupAnswer, _, _>(party, &roster, holder, &query, asking, |message| {
        let channel = channel.clone();
        async move {
            let request = pb::LookupRequest {
                message: Some(message),
            };
            let reply = client!(LookupServiceClient<_>, channel)
                .lookup(request)
                .await?;
            Ok(reply.into_inner().message)
        }
    })
    .await?;
    let results = results(&answer.items, subjects.len()).map_err(|why| unfit(holder, why))?;
    Ok(MemberAnswer {
        results,
        bytes_sent,
        bytes_received,
    })
}

/// An answer whose content does not fit the query.
pub(super) fn unfit(holder: &Member, why: &str) -> PeerError {
    PeerError::BadAnswer {
        member: holder.id.to_string(),
        why: AnswerError::Content {
            why: why.to_owned(),
        },
    }
}

/// A signed query about subjects of these bodies, with what this node's log says of it.
pub(super) fn question(
    party: &Party,
    roster: &TrustedRoster,
    holder: &Member,
    lookup: &LookupAt,
    epoch: u32,
    bodies: &[Vec<u8>],
    pseudonyms: impl Iterator<Item = Option<[u8; 16]>>,
) -> Result<(Outgoing, Asking), Refusal> {
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let payload = pb::LookupQuery {
        purpose: purpose_to(lookup.purpose).into(),
        legal_basis: legal_basis_to(lookup.legal_basis).into(),
        case_reference: lookup.case_reference.clone(),
        epoch,
        rules_digest: party.rules().digest().to_vec(),
        ..pb::LookupQuery::default()
    };
    let query = sign_query(party, roster, holder, payload, &bodies)?;
    let outcome = pb::Outcome {
        subjects: pseudonyms
            .enumerate()
            .filter_map(|(index, pseudonym)| {
                Some(pb::SubjectOutcome {
                    subject_index: index as u32,
                    subject: pseudonym?.to_vec(),
                    ..pb::SubjectOutcome::default()
                })
            })
            .collect(),
    };
    Ok((query, asking_about(lookup, bodies.len(), outcome)))
}

/// What this node's log says of a query about so many subjects.
pub(super) fn asking_about(lookup: &LookupAt, subjects: usize, outcome: pb::Outcome) -> Asking {
    Asking {
        asked: pb::Act::LookupAsked,
        received: pb::Act::LookupReceived,
        ground: Some((lookup.purpose, lookup.legal_basis)),
        count: subjects as u32,
        outcome,
        keep: Vec::new(),
    }
}

/// The members that a search asks: all that hold registers, but this node.
#[must_use]
pub fn others<'a>(party: &Party, roster: &'a TrustedRoster) -> Vec<&'a Member> {
    roster
        .holders(party.ambient().now())
        .filter(|member| member.id != *party.id())
        .collect()
}

pub(super) fn results(
    items: &[zeroize::Zeroizing<Vec<u8>>],
    subjects: usize,
) -> Result<Vec<SubjectGrade>, &'static str> {
    if items.len() != subjects {
        return Err("it has not one result for each subject");
    }
    items
        .iter()
        .map(|item| {
            let result =
                pb::LookupResult::decode(item.as_slice()).map_err(|_| "a result cannot be read")?;
            if result.leads.len() != LEADS {
                return Err("a result has not the fixed number of leads");
            }
            let grade = known_grade(result.grade)?;
            let more = pb::AttributeClass::try_from(result.more_attributes)
                .map_err(|_| "a result names an unknown attribute class")?;
            let mut leads = Vec::new();
            for lead in result.leads {
                let lead_grade = known_grade(lead.grade)?;
                if lead_grade != pb::Grade::NoMatch {
                    leads.push(LeadRef {
                        lead_id: lead
                            .lead_id
                            .try_into()
                            .map_err(|_| "a lead has not 16 octets")?,
                        grade: lead_grade,
                    });
                }
            }
            Ok(SubjectGrade { grade, leads, more })
        })
        .collect()
}

fn known_grade(number: i32) -> Result<pb::Grade, &'static str> {
    match pb::Grade::try_from(number) {
        Ok(pb::Grade::Unspecified) | Err(_) => Err("a result has no known grade"),
        Ok(grade) => Ok(grade),
    }
}
