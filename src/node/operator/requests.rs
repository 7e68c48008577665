//! The inbox: what other members ask to be told.

use std::future::Future;

use tonic::{Code, Request, Response, Status};

use super::disclosure;
use super::duty::Duty;
use super::{Operator, invalid, page_size, refused, store_failed};
use crate::exchange::disclose::{
    self, Actor, DecideError, Decided, DenialReason, End, FieldState, NEVER, Shown, State,
};
use crate::exchange::lookup::rank;
use crate::linkage::Grade;
use crate::node::accounts;
use crate::proto::operator as pb;
use crate::proto::operator::request_service_server::RequestService;
use crate::records::Column;
use crate::roster::Timestamp;

#[tonic::async_trait]
impl RequestService for Operator {
    async fn list_requests(
        &self,
        request: Request<pb::ListRequestsRequest>,
    ) -> Result<Response<pb::ListRequestsResponse>, Status> {
        self.caller(&request, Duty::Oversee).await?;
        let asked = request.into_inner();
        let limit = page_size(asked.limit);
        let state = match asked.state.as_str() {
            "" | "all" => None,
            name => Some(State::from_name(name).ok_or_else(|| {
                let names: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
                invalid(
                    "STATE",
                    &format!("there is no such state: write {} or all", names.join(", ")),
                )
            })?),
        };
        let shown = disclose::list(&self.party, state, asked.state == "all", u64::from(limit))
            .await
            .map_err(|error| store_failed(&error))?;
        Ok(Response::new(pb::ListRequestsResponse {
            requests: shown.iter().map(summary).collect(),
        }))
    }

    async fn show_request(
        &self,
        request: Request<pb::ShowRequestRequest>,
    ) -> Result<Response<pb::ShowRequestResponse>, Status> {
        self.caller(&request, Duty::Weigh).await?;
        let id = id(&request.into_inner().request)?;
        let shown = disclose::show(&self.party, &id)
            .await
            .map_err(|error| told(&error))?;
        let events = self.events(&shown).await?;
        Ok(Response::new(pb::ShowRequestResponse {
            summary: Some(summary(&shown)),
            justification: shown.case.justification.expose().clone(),
            record_ref: shown.record_ref.clone().unwrap_or_default(),
            values: shown
                .values
                .iter()
                .map(|(column, value)| (column.name().to_owned(), value.expose().clone()))
                .collect(),
            grade: if shown.case.grade == rank(Grade::Match) {
                "MATCH"
            } else {
                "POSSIBLE"
            }
            .to_owned(),
            certain: shown.certain,
            protection: shown.protection.to_owned(),
            digest: shown.digest.map(hex::encode).unwrap_or_default(),
            history: events.iter().map(line).collect(),
            events,
        }))
    }

    async fn get_request(
        &self,
        request: Request<pb::GetRequestRequest>,
    ) -> Result<Response<pb::GetRequestResponse>, Status> {
        self.caller(&request, Duty::Oversee).await?;
        let id = id(&request.into_inner().request)?;
        let shown = disclose::show(&self.party, &id)
            .await
            .map_err(|error| told(&error))?;
        Ok(Response::new(pb::GetRequestResponse {
            summary: Some(summary(&shown)),
        }))
    }

    async fn approve_request(
        &self,
        request: Request<pb::ApproveRequestRequest>,
    ) -> Result<Response<pb::ApproveRequestResponse>, Status> {
        let (call, asked) = apart(request);
        let read = || decision(asked.decision.clone());
        let decided = self.decide(&call, Duty::Decide, read, |actor, decision| {
            let alone = asked.break_glass;
            async move {
                let (id, digest, fields) = decision;
                disclose::approve(&self.party, &actor, &id, digest, &fields, alone).await
            }
        });
        Ok(Response::new(pb::ApproveRequestResponse {
            decided: Some(decided.await?),
        }))
    }

    async fn deny_request(
        &self,
        request: Request<pb::DenyRequestRequest>,
    ) -> Result<Response<pb::DenyRequestResponse>, Status> {
        let (call, asked) = apart(request);
        let read = || Ok((decision(asked.decision.clone())?, reason(&asked.reason)?));
        let decided = self.decide(&call, Duty::Decide, read, |actor, asked| async move {
            let ((id, digest, fields), reason) = asked;
            disclose::deny(&self.party, &actor, &id, digest, &fields, reason).await
        });
        Ok(Response::new(pb::DenyRequestResponse {
            decided: Some(decided.await?),
        }))
    }

    async fn withdraw_request(
        &self,
        request: Request<pb::WithdrawRequestRequest>,
    ) -> Result<Response<pb::WithdrawRequestResponse>, Status> {
        let (call, asked) = apart(request);
        let read = || id(&asked.request);
        let decided = self.decide(&call, Duty::Decide, read, |actor, id| async move {
            disclose::withdraw(&self.party, &actor, &id).await
        });
        Ok(Response::new(pb::WithdrawRequestResponse {
            decided: Some(decided.await?),
        }))
    }

    async fn review_release(
        &self,
        request: Request<pb::ReviewReleaseRequest>,
    ) -> Result<Response<pb::ReviewReleaseResponse>, Status> {
        let (call, asked) = apart(request);
        let upheld = asked.upheld;
        let read = || id(&asked.request);
        let decided = self.decide(&call, Duty::Review, read, |actor, id| async move {
            disclose::review(&self.party, &actor, &id, upheld).await
        });
        Ok(Response::new(pb::ReviewReleaseResponse {
            decided: Some(decided.await?),
        }))
    }
}

/// How often a decision is made anew on accounts as they are read anew: each sign-in changes one.
const ATTEMPTS: u32 = 3;

/// A call without what it asks, and that.
fn apart<T>(request: Request<T>) -> (Request<()>, T) {
    let (metadata, extensions, asked) = request.into_parts();
    (Request::from_parts(metadata, extensions, ()), asked)
}

impl Operator {
    /// A person decides, on their account and on those of other approvers as they are when it counts.
    async fn decide<D, F>(
        &self,
        call: &Request<()>,
        duty: Duty,
        read: impl Fn() -> Result<D, Status> + Send + Sync,
        work: impl Fn(Actor, D) -> F + Send + Sync,
    ) -> Result<pb::Decided, Status>
    where
        D: Send,
        F: Future<Output = Result<Decided, DecideError>> + Send,
    {
        let mut attempt = 1;
        loop {
            let caller = self.caller(call, duty).await?;
            let actor = self.actor(&caller).await?;
            let decided = caller.does(work(actor, read()?)).await;
            if matches!(decided, Err(DecideError::Changed)) && attempt < ATTEMPTS {
                attempt += 1;
                continue;
            }
            return outcome(decided);
        }
    }

    /// What people did with a request.
    async fn events(&self, shown: &Shown) -> Result<Vec<pb::RequestEvent>, Status> {
        let names: std::collections::HashMap<_, _> = accounts::all(&self.party)
            .await
            .map_err(|error| store_failed(&error))?
            .into_iter()
            .map(|read| (read.id, read.account.name))
            .collect();
        let event = |at_ms: u64, what: &str, by: Option<&[u8; 16]>, columns: &[Column]| {
            let name = |id| names.get(id).cloned().unwrap_or_else(|| hex::encode(id));
            pb::RequestEvent {
                at_ms,
                what: what.to_owned(),
                by: by.map_or_else(String::new, name),
                fields: disclosure::names(columns),
                reason: String::new(),
            }
        };
        let case = &shown.case;
        let mut events = Vec::new();
        for approval in &case.approvals {
            let what = match approval.break_glass {
                true => "released_alone",
                false => "approved",
            };
            let by = Some(&approval.account);
            events.push(event(approval.at_ms, what, by, &approval.fields));
        }
        for denial in &case.denials {
            let by = Some(&denial.account);
            let mut denied = event(denial.at_ms, "denied", by, &denial.fields);
            denied.reason = disclosure::word(denial.reason);
            events.push(denied);
        }
        events.sort_by_key(|event| event.at_ms);
        if let Some(review) = &case.review {
            let what = match (&review.by, review.upheld) {
                (None, _) => "review_due",
                (Some(_), true) => "upheld",
                (Some(_), false) => "not_upheld",
            };
            events.push(event(0, what, review.by.as_ref(), &[]));
        }
        if let Some(end) = case.end {
            let what = match end {
                End::Expired => "expired",
                End::TakenBack => "taken_back",
                End::Withdrawn => "withdrawn",
                End::Erased => "erased",
            };
            events.push(event(0, what, None, &[]));
        }
        Ok(events)
    }
}

/// What people did with a request, in a line.
fn line(event: &pb::RequestEvent) -> String {
    let (by, fields) = (&event.by, event.fields.join(", "));
    let did = |what: &str| format!("{}: {by} {what} {fields}", moment(event.at_ms));
    match event.what.as_str() {
        "approved" => did("approved"),
        "released_alone" => did("released alone"),
        "denied" if event.reason.is_empty() => did("denied"),
        "denied" => format!("{} ({})", did("denied"), event.reason),
        "review_due" => "the release by one person is still to be reviewed".to_owned(),
        "upheld" => format!("{by} found the release right"),
        "not_upheld" => format!("{by} found the release wrong"),
        "expired" => "its time has passed".to_owned(),
        "taken_back" => "the asking member took it back".to_owned(),
        "withdrawn" => "it was withdrawn, with what was told".to_owned(),
        _ => "the record, or its ground, is gone".to_owned(),
    }
}

fn outcome(decided: Result<Decided, DecideError>) -> Result<pb::Decided, Status> {
    let decided = decided.map_err(|error| told(&error))?;
    Ok(pb::Decided {
        summary: Some(summary(&decided.shown)),
        leaf_index: decided.leaf_index,
    })
}

fn told(error: &DecideError) -> Status {
    let code = match error {
        DecideError::Unknown => Code::NotFound,
        DecideError::Store(error) => return store_failed(error),
        DecideError::Changed => Code::Aborted,
        DecideError::RecordGone | DecideError::Decision(_) => Code::FailedPrecondition,
    };
    refused(code, error.code(), &error.to_string())
}

fn id(text: &str) -> Result<[u8; 16], Status> {
    let mut id = [0; 16];
    hex::decode_to_slice(text, &mut id).map_err(|_| {
        invalid(
            "REQUEST",
            "a request is named by 32 hexadecimal digits, as `wayhome requests list` prints it",
        )
    })?;
    Ok(id)
}

type Decision = ([u8; 16], [u8; 32], Vec<Column>);

fn decision(asked: Option<pb::Decision>) -> Result<Decision, Status> {
    let asked = asked.unwrap_or_default();
    let mut digest = [0; 32];
    hex::decode_to_slice(&asked.digest, &mut digest).map_err(|_| {
        invalid(
            "DIGEST",
            "a decision names the digest of what was shown, 64 hexadecimal digits: `wayhome requests show` prints it",
        )
    })?;
    Ok((id(&asked.request)?, digest, super::columns(&asked.fields)?))
}

fn reason(name: &str) -> Result<Option<DenialReason>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    DenialReason::from_name(name).map(Some).ok_or_else(|| {
        let names: Vec<&str> = DenialReason::ALL
            .iter()
            .map(|reason| reason.as_str())
            .collect();
        let message = format!(
            "there is no such reason: write {} or none",
            names.join(", ")
        );
        invalid("REASON", &message)
    })
}

fn moment(ms: u64) -> String {
    Timestamp::from_unix(ms / 1000).to_string()
}

pub(super) fn moment_or_empty(ms: Option<u64>) -> String {
    ms.filter(|ms| *ms < NEVER).map(moment).unwrap_or_default()
}

fn summary(shown: &Shown) -> pb::RequestSummary {
    let case = &shown.case;
    pb::RequestSummary {
        request: hex::encode(case.request_id),
        member: case.member.clone(),
        state: shown.state.as_str().to_owned(),
        fields: shown
            .fields
            .iter()
            .map(|field| {
                let (needed, have) = match field.state {
                    FieldState::Waiting { needed, have } => (needed, have),
                    _ => (field.needed.unwrap_or(0), 0),
                };
                pb::RequestedField {
                    name: field.column.name().to_owned(),
                    state: field.state.as_str().to_owned(),
                    needed: needed as u32,
                    have: have as u32,
                    why: field.why.clone(),
                    told: field.told,
                    rules: field.rules.clone(),
                }
            })
            .collect(),
        purpose: case.purpose.to_string(),
        legal_basis: case.legal_basis.to_string(),
        case_reference: case.case_reference.clone(),
        asked_at: moment(case.asked_ms),
        answer_by: moment_or_empty(case.answer_by_ms),
        expires_at: moment_or_empty(Some(case.expires_ms)),
        overdue: shown.overdue,
        review_due: shown.review_due(),
    }
}
