//! Searching other members' registers.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, invalid, no_such_record, record, store_failed, told};
use crate::exchange::acting::acting_for;
use crate::exchange::lookup::{
    self, LookupAt, MAX_SUBJECTS, Subject, SubjectGrade, Subjects, check_case_reference,
};
use crate::exchange::{Party, enrol};
use crate::proto::exchange::{AttributeClass, Grade};
use crate::proto::operator as pb;
use crate::proto::operator::search_service_server::SearchService;
use crate::records::Record;
use crate::roster::Member;
use crate::telemetry::TraceContext;

type Results = Pin<Box<dyn Stream<Item = Result<pb::SearchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl SearchService for Operator {
    type SearchStream = Results;

    async fn search(
        &self,
        request: Request<pb::SearchRequest>,
    ) -> Result<Response<Results>, Status> {
        let caller = self.caller(&request, Duty::Ask).await?;
        let asked = request.into_inner();
        let ground = ground(&asked.purpose, &asked.legal_basis, &asked.case_reference)?;
        let holders = holders(&self.party, &asked.members)?;
        let subjects = Arc::new(caller.does(subjects(&self.party, &asked)).await?);
        caller
            .does(subjects.prepare(&self.party))
            .await
            .map_err(|error| told(&error))?;
        let account = caller.account();
        let (sender, receiver) = mpsc::channel(16);
        // The calls of one search belong together, for this node alone.
        let trace = TraceContext::begin(self.party.ambient());
        for holder in holders {
            let (party, subjects, ground, sender) = (
                Arc::clone(&self.party),
                Arc::clone(&subjects),
                ground.clone(),
                sender.clone(),
            );
            tokio::spawn(async move {
                let asking = acting_for(account, ask(&party, &holder, &ground, &subjects));
                let response = trace.scope(asking).await;
                // Whoever asked may have gone away; the act is recorded all the same.
                let _ = sender.send(Ok(response)).await;
            });
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Purpose, legal basis and case reference, read.
pub(super) fn ground(
    purpose: &str,
    legal_basis: &str,
    case_reference: &str,
) -> Result<LookupAt, Status> {
    // Before any member is asked.
    check_case_reference(case_reference)
        .map_err(|refusal| invalid("CASE_REFERENCE", &refusal.to_string()))?;
    Ok(LookupAt {
        purpose: purpose
            .parse()
            .map_err(|error: crate::roster::UnknownName| invalid("PURPOSE", &error.to_string()))?,
        legal_basis: legal_basis
            .parse()
            .map_err(|error: crate::roster::UnknownName| {
                invalid("LEGAL_BASIS", &error.to_string())
            })?,
        case_reference: case_reference.to_owned(),
    })
}

pub(super) fn holders(party: &Party, named: &[String]) -> Result<Vec<Member>, Status> {
    let roster = party.roster()?;
    let others = lookup::others(party, &roster);
    if named.is_empty() {
        return Ok(others.into_iter().cloned().collect());
    }
    named
        .iter()
        .map(|name| {
            others
                .iter()
                .find(|member| member.id.as_str() == name)
                .map(|member| (*member).clone())
                .ok_or_else(|| {
                    invalid(
                        "UNKNOWN_MEMBER",
                        &format!("{name:?} is no other active member of the roster"),
                    )
                })
        })
        .collect()
}

pub(super) async fn subjects(
    party: &Arc<Party>,
    asked: &pb::SearchRequest,
) -> Result<Subjects, Status> {
    let count = asked.record_refs.len() + asked.subjects.len();
    if count == 0 || count > MAX_SUBJECTS {
        return Err(invalid(
            "SUBJECTS",
            &format!("a search is for 1 to {MAX_SUBJECTS} children, not {count}"),
        ));
    }
    let mut subjects = Vec::with_capacity(count);
    for record_ref in &asked.record_refs {
        let stored = party
            .store()
            .record_by_ref(record_ref)
            .await
            .map_err(|error| store_failed(&error))?
            .ok_or_else(no_such_record)?;
        subjects.push(Subject::Own {
            stored: Box::new(stored),
            pseudonym: *party.pseudonym(record_ref)?.as_bytes(),
        });
    }
    for given in &asked.subjects {
        let record = record(&given.fields)?;
        is_searchable(party, &record)?;
        subjects.push(Subject::Described(Box::new(record)));
    }
    Ok(Subjects::new(subjects))
}

/// Whether enough is known of a child to search for it.
///
/// # Errors
/// `TOO_FEW_ATTRIBUTES` if not.
pub(super) fn is_searchable(party: &Party, record: &Record) -> Result<(), Status> {
    if enrol::keys(party, record, &[]).1.is_empty() {
        return Err(invalid(
            "TOO_FEW_ATTRIBUTES",
            "too little is known of a child to search for it: give at least a name and a date of \
             birth, or a document number",
        ));
    }
    Ok(())
}

pub(super) async fn ask(
    party: &Arc<Party>,
    holder: &Member,
    ground: &LookupAt,
    subjects: &Subjects,
) -> pb::SearchResponse {
    let member = holder.id.as_str().to_owned();
    match subjects.look_up_at(party, holder, ground).await {
        Ok(answer) => pb::SearchResponse {
            results: answer
                .results
                .iter()
                .map(|result| shown(&member, result))
                .collect(),
            bytes_sent: answer.bytes_sent,
            bytes_received: answer.bytes_received,
            member,
            ..pb::SearchResponse::default()
        },
        Err(error) => pb::SearchResponse {
            member,
            error_code: error.code().to_owned(),
            error_message: error.to_string(),
            ..pb::SearchResponse::default()
        },
    }
}

pub(super) fn shown(member: &str, result: &SubjectGrade) -> pb::SubjectResult {
    pb::SubjectResult {
        grade: grade(result.grade).to_owned(),
        leads: result
            .leads
            .iter()
            .map(|lead| pb::SearchLead {
                lead: format!("{member}:{}", hex::encode(lead.lead_id)),
                grade: grade(lead.grade).to_owned(),
            })
            .collect(),
        more_attributes: match result.more {
            AttributeClass::Mother => "mother",
            AttributeClass::Document => "document",
            AttributeClass::Place => "place",
            AttributeClass::Sibling => "sibling",
            AttributeClass::None | AttributeClass::Unspecified => "",
        }
        .to_owned(),
    }
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Match => "MATCH",
        Grade::Possible => "POSSIBLE",
        Grade::NoMatch | Grade::Unspecified => "NO_MATCH",
    }
}
