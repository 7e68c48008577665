//! Asking a peer for fields behind a lead.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::duty::Duty;
use super::requests::moment_or_empty;
use super::search::ground;
use super::{Operator, columns, invalid, page_size, refused, store_failed, told};
use crate::envelope::ItemEvidence;
use crate::exchange::disclose::{
    self, AskAgain, Asked, DenialReason, Disclosed, DisclosureAsked, Instead, ask_again, disclose,
};
use crate::proto::exchange;
use crate::proto::operator as pb;
use crate::proto::operator::disclosure_service_server::DisclosureService;
use crate::records::Column;
use crate::roster::{LegalBasis, Member, Purpose, Timestamp};
use crate::store::StoreError;
use crate::vault::PersonalText;

#[tonic::async_trait]
impl DisclosureService for Operator {
    async fn disclose(
        &self,
        request: Request<pb::DiscloseRequest>,
    ) -> Result<Response<pb::DiscloseResponse>, Status> {
        let caller = self.caller(&request, Duty::Ask).await?;
        let asked = request.into_inner();
        let (member, lead_id) = handle(&asked.lead, "LEAD", LEAD_FORM)?;
        let holder = self.member(&member)?;
        let ground = ground(&asked.purpose, &asked.legal_basis, &asked.case_reference)?;
        let (purpose, legal_basis) = (ground.purpose, ground.legal_basis);
        let asked = DisclosureAsked {
            lead_id,
            fields: columns(&asked.fields)?,
            ground,
            justification: PersonalText::new(asked.justification),
            answer_by_ms: answer_by(&asked.answer_by)?,
        };
        let disclosed = caller
            .does(disclose(&self.party, &holder, asked))
            .await
            .map_err(|error| told(&error))?;
        Ok(Response::new(response(
            &member,
            purpose,
            legal_basis,
            &disclosed,
        )))
    }

    async fn ask_again(
        &self,
        request: Request<pb::AskAgainRequest>,
    ) -> Result<Response<pb::AskAgainResponse>, Status> {
        let caller = self.caller(&request, Duty::Ask).await?;
        let asked = request.into_inner();
        let (member, request_id) = handle(&asked.request, "REQUEST", REQUEST_FORM)?;
        let holder = self.member(&member)?;
        let (_, known) = self.known(&member, &request_id).await?;
        let fields = columns(&asked.fields)?;
        let answer_by_ms = answer_by(&asked.answer_by)?;
        let amends =
            !fields.is_empty() || !asked.justification.is_empty() || answer_by_ms.is_some();
        let instead = amends.then(|| Instead {
            fields,
            justification: PersonalText::new(asked.justification),
            answer_by_ms,
        });
        let again = AskAgain {
            request_id,
            take_back: asked.take_back,
            instead,
        };
        let disclosed = caller
            .does(ask_again(&self.party, &holder, again))
            .await
            .map_err(|error| told(&error))?;
        let answer = response(&member, known.purpose, known.legal_basis, &disclosed);
        Ok(Response::new(pb::AskAgainResponse {
            answer: Some(answer),
        }))
    }

    type WatchAskedStream = ReceiverStream<Result<pb::WatchAskedResponse, Status>>;

    async fn watch_asked(
        &self,
        request: Request<pb::WatchAskedRequest>,
    ) -> Result<Response<Self::WatchAskedStream>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let member = request.into_inner().member;
        let holder = self.member(&member)?;
        let since_ms = self.party.ambient().now_ms();
        let mut changes = disclose::watch_at(&self.party, &holder, since_ms)
            .await
            .map_err(|error| told(&error))?;
        let (sender, receiver) = mpsc::channel(16);
        let party = Arc::clone(&self.party);
        let mut stopped = self.stopped.clone();
        tokio::spawn(async move {
            loop {
                let told = tokio::select! {
                    () = sender.closed() => return,
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                    told = changes.message() => told,
                };
                let change = match told {
                    Ok(Some(told)) => match disclose::change(&told) {
                        Some(change) => change,
                        None => continue,
                    },
                    Ok(None) => return,
                    Err(status) => {
                        let _ = sender.send(Err(status)).await;
                        return;
                    }
                };
                // Only what this node knows of is passed on.
                let known = party
                    .store()
                    .received(&member, &change.request_id)
                    .await
                    .is_ok_and(|known| known.is_some());
                if !known {
                    continue;
                }
                let changed = pb::WatchAskedResponse {
                    request: format!("{member}:{}", hex::encode(change.request_id)),
                    state: change.state.as_str().to_owned(),
                };
                if sender.send(Ok(changed)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_asked(
        &self,
        request: Request<pb::ListAskedRequest>,
    ) -> Result<Response<pb::ListAskedResponse>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let limit = page_size(request.into_inner().limit);
        let rows = self
            .party
            .store()
            .all_received(u64::from(limit))
            .await
            .map_err(|error| store_failed(&error))?;
        let asked = rows
            .iter()
            .map(|row| Asked::read(row).map(|asked| shown(&asked)))
            .collect::<Result<_, StoreError>>()
            .map_err(|error| store_failed(&error))?;
        Ok(Response::new(pb::ListAskedResponse { asked }))
    }

    async fn show_asked(
        &self,
        request: Request<pb::ShowAskedRequest>,
    ) -> Result<Response<pb::ShowAskedResponse>, Status> {
        self.caller(&request, Duty::Ask).await?;
        let (member, request_id) = handle(&request.into_inner().request, "REQUEST", REQUEST_FORM)?;
        let (ask_id, known) = self.known(&member, &request_id).await?;
        let values = self
            .values(&ask_id, &known)
            .await
            .map_err(|error| store_failed(&error))?;
        Ok(Response::new(pb::ShowAskedResponse {
            asked: Some(shown(&known)),
            values,
        }))
    }
}

impl Operator {
    fn member(&self, id: &str) -> Result<Member, Status> {
        let roster = self.party.roster()?;
        roster
            .active(id, self.party.ambient().now())
            .cloned()
            .map_err(|error| invalid(error.code(), &error.to_string()))
    }

    async fn known(
        &self,
        member: &str,
        request_id: &[u8; 16],
    ) -> Result<([u8; 16], Asked), Status> {
        let row = self
            .party
            .store()
            .received(member, request_id)
            .await
            .map_err(|error| store_failed(&error))?
            .ok_or_else(|| {
                refused(
                    Code::NotFound,
                    "REQUEST_UNKNOWN",
                    "this node made no such request: `wayhome disclose list` shows those it made",
                )
            })?;
        let asked = Asked::read(&row).map_err(|error| store_failed(&error))?;
        Ok((row.ask_id, asked))
    }

    /// The values that were told and are still kept, the newest of each.
    async fn values(
        &self,
        ask_id: &[u8; 16],
        known: &Asked,
    ) -> Result<HashMap<String, String>, StoreError> {
        let store = self.party.store();
        let mut values = HashMap::new();
        for answer in store.answers_with_values(ask_id).await? {
            for item in &answer.items {
                let ItemEvidence::Full(item) = item else {
                    continue;
                };
                let body = item.get(16..).unwrap_or_default();
                if let Ok(field) = exchange::DisclosedField::decode(body)
                    && known.told.iter().any(|column| column.name() == field.name)
                {
                    values.insert(field.name, field.value);
                }
            }
        }
        Ok(values)
    }
}

fn response(
    member: &str,
    purpose: Purpose,
    legal_basis: LegalBasis,
    disclosed: &Disclosed,
) -> pb::DiscloseResponse {
    pb::DiscloseResponse {
        granted: disclosed
            .granted
            .iter()
            .map(|(column, value)| (column.name().to_owned(), value.expose().clone()))
            .collect(),
        withheld: names(&disclosed.withheld),
        retain_until: Timestamp::from_unix(disclosed.retain_until_ms / 1000).to_string(),
        holder_leaf_index: disclosed.leaf_index,
        request: format!("{member}:{}", hex::encode(disclosed.request_id)),
        state: disclosed.state.as_str().to_owned(),
        waiting: names(&disclosed.waiting),
        expires_at: Timestamp::from_unix(disclosed.expires_ms / 1000).to_string(),
        purpose: purpose.to_string(),
        legal_basis: legal_basis.to_string(),
        no_onward_transfer: disclosed.no_onward_transfer,
        denial_reason: word(disclosed.denial_reason),
    }
}

pub(super) fn shown(asked: &Asked) -> pb::Asked {
    pb::Asked {
        request: asked
            .request_id
            .as_ref()
            .map(|id| format!("{}:{id}", asked.holder))
            .unwrap_or_default(),
        member: asked.holder.clone(),
        state: asked.state.as_str().to_owned(),
        fields: names(&asked.fields),
        told: names(&asked.told),
        outdated: names(&asked.outdated),
        waiting: names(&asked.waiting),
        purpose: asked.purpose.to_string(),
        case_reference: asked.case_reference.clone(),
        retain_until: moment_or_empty(asked.retain_until_ms),
        legal_basis: asked.legal_basis.to_string(),
        no_onward_transfer: asked.no_onward_transfer,
        denial_reason: word(asked.denial_reason),
    }
}

/// Why it was denied, in a word; empty if that is not said.
pub(super) fn word(reason: Option<DenialReason>) -> String {
    reason.map_or_else(String::new, |reason| reason.as_str().to_owned())
}

pub(super) fn names(columns: &[Column]) -> Vec<String> {
    columns
        .iter()
        .map(|column| column.name().to_owned())
        .collect()
}

fn answer_by(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let moment: Timestamp = text
        .parse()
        .map_err(|error: crate::roster::TimestampError| invalid("ANSWER_BY", &error.to_string()))?;
    Ok(Some(moment.unix() * 1000))
}

const LEAD_FORM: &str = "a lead is written as member:hex, as `wayhome search` prints it";
const REQUEST_FORM: &str = "a request is written as member:hex, as `wayhome disclose` prints it";

/// A lead or a request as operators write it: `member:hex`.
fn handle(text: &str, code: &str, form: &str) -> Result<(String, [u8; 16]), Status> {
    let wrong = || invalid(code, form);
    let (member, handle) = text.split_once(':').ok_or_else(wrong)?;
    let mut id = [0; 16];
    hex::decode_to_slice(handle, &mut id).map_err(|_| wrong())?;
    Ok((member.to_owned(), id))
}
