//! Asking a peer for fields behind a lead.

use tonic::{Request, Response, Status};

use super::search::ground;
use super::{Operator, invalid, told};
use crate::exchange::disclose::{DisclosureAsked, disclose};
use crate::proto::operator as pb;
use crate::proto::operator::disclosure_service_server::DisclosureService;
use crate::records::Column;
use crate::roster::Timestamp;
use crate::vault::PersonalText;

#[tonic::async_trait]
impl DisclosureService for Operator {
    async fn disclose(
        &self,
        request: Request<pb::DiscloseRequest>,
    ) -> Result<Response<pb::DiscloseResponse>, Status> {
        let asked = request.into_inner();
        let (member, lead_id) = lead(&asked.lead)?;
        let roster = self.party.roster()?;
        let holder = roster
            .active(member, self.party.ambient().now())
            .map_err(|error| invalid(error.code(), &error.to_string()))?;
        let fields = asked
            .fields
            .iter()
            .map(|name| {
                Column::from_name(name).ok_or_else(|| {
                    invalid(
                        "UNKNOWN_FIELD",
                        &format!("there is no field called {name:?}: see the canonical columns"),
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        let disclosed = disclose(
            &self.party,
            holder,
            &DisclosureAsked {
                lead_id,
                fields,
                ground: ground(&asked.purpose, &asked.legal_basis, &asked.case_reference)?,
                justification: PersonalText::new(asked.justification),
            },
        )
        .await
        .map_err(|error| told(&error))?;
        Ok(Response::new(pb::DiscloseResponse {
            granted: disclosed
                .granted
                .iter()
                .map(|(column, value)| (column.name().to_owned(), value.expose().clone()))
                .collect(),
            withheld: disclosed
                .withheld
                .iter()
                .map(|column| column.name().to_owned())
                .collect(),
            retain_until: Timestamp::from_unix(disclosed.retain_until_ms / 1000).to_string(),
            holder_leaf_index: disclosed.leaf_index,
        }))
    }
}

/// A lead as operators write it: `member:hex`.
fn lead(text: &str) -> Result<(&str, [u8; 16]), Status> {
    let wrong = || {
        invalid(
            "LEAD",
            "a lead is written as member:hex, as `wayhome search` prints it",
        )
    };
    let (member, handle) = text.split_once(':').ok_or_else(wrong)?;
    let mut lead_id = [0; 16];
    hex::decode_to_slice(handle, &mut lead_id).map_err(|_| wrong())?;
    Ok((member, lead_id))
}
