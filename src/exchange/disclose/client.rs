//! The asking side of a disclosure.

use std::sync::Arc;

use prost::Message as _;

use super::{MAX_FIELDS, MAX_JUSTIFICATION};
use crate::exchange::ask::{self, Asking, ask, client};
use crate::exchange::lookup::{LookupAt, check_case_reference};
use crate::exchange::message::{AnswerError, milliseconds, sign_query};
use crate::exchange::{Party, PeerError, Refusal, legal_basis_to, purpose_to};
use crate::proto::exchange as pb;
use crate::proto::exchange::disclosure_service_client::DisclosureServiceClient;
use crate::records::Column;
use crate::roster::Member;
use crate::vault::PersonalText;

/// What is asked of a holder.
pub struct DisclosureAsked {
    /// The lead.
    pub lead_id: [u8; 16],
    /// The fields.
    pub fields: Vec<Column>,
    /// Purpose, legal basis and case reference.
    pub ground: LookupAt,
    /// Why these fields are needed.
    pub justification: PersonalText,
}

/// What came back.
pub struct Disclosed {
    /// The granted fields.
    pub granted: Vec<(Column, PersonalText)>,
    /// Those that were withheld.
    pub withheld: Vec<Column>,
    /// The data may be kept until then, in milliseconds since 1970.
    pub retain_until_ms: u64,
    /// Index of the disclosure's leaf in the holder's log.
    pub leaf_index: u64,
}

/// Asks `holder` for fields behind a lead.
///
/// # Errors
/// [`PeerError`] names the holder and what is wrong.
pub async fn disclose(
    party: &Arc<Party>,
    holder: &Member,
    asked: &DisclosureAsked,
) -> Result<Disclosed, PeerError> {
    check_case_reference(&asked.ground.case_reference)?;
    check(asked)?;
    let roster = party.roster()?;
    let names: Vec<String> = asked
        .fields
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    let payload = pb::DisclosureQuery {
        lead_id: asked.lead_id.to_vec(),
        fields: Some(prost_types::FieldMask {
            paths: names.clone(),
        }),
        purpose: purpose_to(asked.ground.purpose).into(),
        legal_basis: legal_basis_to(asked.ground.legal_basis).into(),
        case_reference: asked.ground.case_reference.clone(),
        ..pb::DisclosureQuery::default()
    };
    let query = sign_query(
        party,
        &roster,
        holder,
        payload,
        &[asked.justification.expose().as_bytes()],
    )?;
    let asking = Asking {
        asked: pb::Act::DisclosureAsked,
        received: pb::Act::DisclosureReceived,
        ground: Some((asked.ground.purpose, asked.ground.legal_basis)),
        count: names.len() as u32,
        outcome: pb::Outcome {
            subjects: vec![pb::SubjectOutcome {
                lead_id: asked.lead_id.to_vec(),
                ..pb::SubjectOutcome::default()
            }],
        },
        keep: Vec::new(),
    };
    let channel = ask::channel(party, holder).await?;
    let asked_of =
        ask::<pb::DisclosureAnswer, _, _>(party, &roster, holder, &query, asking, |message| {
            let channel = channel.clone();
            async move {
                let request = pb::RequestDisclosureRequest {
                    message: Some(message),
                };
                let reply = client!(DisclosureServiceClient<_>, channel)
                    .request_disclosure(request)
                    .await?;
                Ok(reply.into_inner().message)
            }
        })
        .await?;
    read(&asked.fields, &asked_of.answer).map_err(|why| PeerError::BadAnswer {
        member: holder.id.to_string(),
        why,
    })
}

fn check(asked: &DisclosureAsked) -> Result<(), Refusal> {
    if asked.fields.is_empty() || asked.fields.len() > MAX_FIELDS {
        return Err(Refusal::Malformed {
            what: "fields",
            why: format!("a request names 1 to {MAX_FIELDS} of them"),
        });
    }
    let length = asked.justification.expose().len();
    if length == 0 || length > MAX_JUSTIFICATION {
        return Err(Refusal::Malformed {
            what: "justification",
            why: format!("it has 1 to {MAX_JUSTIFICATION} octets: say why these fields are needed"),
        });
    }
    Ok(())
}

fn read(
    fields: &[Column],
    answer: &crate::exchange::message::Answer<pb::DisclosureAnswer>,
) -> Result<Disclosed, AnswerError> {
    let content = |why: &str| AnswerError::Content {
        why: why.to_owned(),
    };
    let listed = |mask: Option<&prost_types::FieldMask>| {
        mask.map(|mask| mask.paths.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|path| {
                Column::from_name(path)
                    .filter(|column| fields.contains(column))
                    .ok_or_else(|| content("it names a field that was not asked for"))
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let names = listed(answer.payload.granted.as_ref())?;
    let withheld = listed(answer.payload.withheld.as_ref())?;
    if names.len() != answer.items.len() {
        return Err(content("it has not one value for each granted field"));
    }
    let mut granted = Vec::with_capacity(names.len());
    for (column, item) in names.into_iter().zip(&answer.items) {
        let field = pb::DisclosedField::decode(item.as_slice())
            .map_err(|_| content("a granted field cannot be read"))?;
        if field.name != column.name() {
            return Err(content("its values are not in the order of its fields"));
        }
        granted.push((column, PersonalText::new(field.value)));
    }
    Ok(Disclosed {
        granted,
        withheld,
        retain_until_ms: milliseconds(answer.payload.retain_until.as_ref(), "retain_until")?,
        leaf_index: answer.receipt.leaf_index,
    })
}
