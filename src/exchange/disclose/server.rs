//! The holder's side of a disclosure.

use std::sync::Arc;

use prost::Message as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{DISCLOSURES_PER_DAY, MAX_FIELDS, MAX_JUSTIFICATION, RETENTION_MS};
use crate::exchange::leaf::Leaf;
use crate::exchange::lookup::{check_case_reference, rank};
use crate::exchange::message::{AnswerItems, AnswerTo, Query, timestamp};
use crate::exchange::service::{self, Answering};
use crate::exchange::{
    Party, Refusal, enrol, legal_basis_from, legal_basis_to, purpose_from, purpose_to,
};
use crate::linkage::Grade;
use crate::proto::exchange as pb;
use crate::records::{Column, Record};
use crate::roster::{Member, Purpose, TrustedRoster};
use crate::store::{Effect, StoreError};

/// Answers a request for fields: what the holder's allow-list grants, and what is withheld.
///
/// # Errors
/// A [`Refusal`] that names what is wrong.
pub async fn answer(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<pb::SignedMessage, Refusal> {
    let roster = party.roster()?;
    let query: Query<pb::DisclosureQuery> = service::open(party, &roster, caller, message).await?;
    // A stored answer is given again only while there is something to tell it of.
    if let Err(Refusal::LeadUnknown) = record_behind(party, &query).await {
        return service::refuse(party, &query, Refusal::LeadUnknown).await;
    }
    service::answer_once(party, &query, decide(party, &roster, &query)).await
}

async fn decide(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::DisclosureQuery>,
) -> Result<Answering, Refusal> {
    let asked = &query.payload;
    if !query.issuer.roles.member {
        return Err(Refusal::RoleMissing { role: "member" });
    }
    let purpose = purpose_from(asked.purpose)?;
    let basis = legal_basis_from(asked.legal_basis)?;
    if !roster.permits(query.issuer.id.as_str(), purpose, party.ambient().now()) {
        return Err(Refusal::PurposeNotPermitted {
            purpose: purpose.to_string(),
        });
    }
    party.house_rules().admit(&query.issuer.id, Some(purpose))?;
    check_case_reference(&asked.case_reference)?;
    check_justification(&query.items)?;
    let columns = columns(asked)?;
    let Behind {
        record,
        record_id,
        grade,
        open,
    } = record_behind(party, query).await?;

    let mut granted = Vec::new();
    let mut withheld = Vec::new();
    for column in columns {
        match grant(party, purpose, &record, open, column) {
            Some(field) => granted.push((column, field)),
            None => withheld.push(column.name().to_owned()),
        }
    }
    let bodies: Vec<&[u8]> = granted.iter().map(|(_, field)| field.as_slice()).collect();
    let items = AnswerItems::new(party, &bodies);
    let names: Vec<String> = granted
        .iter()
        .map(|(column, _)| column.name().to_owned())
        .collect();
    let count = names.len() as u32;
    let subject = party.pseudonym(record.record_ref.as_str())?;
    let outcome = pb::Outcome {
        subjects: vec![pb::SubjectOutcome {
            subject: subject.as_bytes().to_vec(),
            grade: u32::from(grade),
            lead_id: asked.lead_id.clone(),
            ..pb::SubjectOutcome::default()
        }],
    };
    let leaf = Leaf::new(pb::Act::DisclosureAnswered, party.ambient(), &outcome).set(|entry| {
        entry.answer_digest = items.root().to_vec();
        entry.purpose = purpose_to(purpose).into();
        entry.legal_basis = legal_basis_to(basis).into();
        entry.count = count;
        entry.subject = subject.as_bytes().to_vec();
        entry.reference = names.join(",");
    });
    let payload = pb::DisclosureAnswer {
        granted: Some(prost_types::FieldMask { paths: names }),
        withheld: Some(prost_types::FieldMask { paths: withheld }),
        retain_until: Some(timestamp(party.ambient().now_ms() + RETENTION_MS)),
        ..pb::DisclosureAnswer::default()
    };
    let to = AnswerTo::from(query);
    let (signer, roster) = (Arc::clone(party), Arc::clone(roster));
    Ok(Answering {
        leaf,
        // Every request costs a leaf and its evidence, so their number is bounded too.
        debits: vec![service::daily_debit(
            party,
            &query.issuer,
            "disclosures_per_day",
            1,
            DISCLOSURES_PER_DAY,
        )],
        // Erased at the same moment, it is not told.
        effects: vec![Effect::StillHeld(record_id)],
        answer: Box::new(move |position| items.sign(&signer, &roster, &to, &payload, position)),
    })
}

/// The field as it is disclosed, if it is granted and the record has it. The two reasons why it
/// may not be are not told apart.
fn grant(
    party: &Party,
    purpose: Purpose,
    record: &Record,
    open: bool,
    column: Column,
) -> Option<Zeroizing<Vec<u8>>> {
    if !open || !party.allow_list().grants(purpose, column) {
        return None;
    }
    let value = record.field(column)?;
    let mut field = pb::DisclosedField {
        name: column.name().to_owned(),
        value: value.expose().clone(),
    };
    let encoded = Zeroizing::new(field.encode_to_vec());
    field.value.zeroize();
    Some(encoded)
}

fn columns(asked: &pb::DisclosureQuery) -> Result<Vec<Column>, Refusal> {
    let paths = asked
        .fields
        .as_ref()
        .map(|mask| mask.paths.as_slice())
        .unwrap_or_default();
    if paths.is_empty() || paths.len() > MAX_FIELDS {
        return Err(Refusal::Malformed {
            what: "fields",
            why: format!("a request names 1 to {MAX_FIELDS} of them"),
        });
    }
    let mut columns = Vec::with_capacity(paths.len());
    for path in paths {
        let column = Column::from_name(path).ok_or_else(|| Refusal::UnknownField {
            field: path.chars().take(40).collect(),
        })?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

fn check_justification(items: &[Zeroizing<Vec<u8>>]) -> Result<(), Refusal> {
    let fits = match items {
        [text] => {
            !text.is_empty() && text.len() <= MAX_JUSTIFICATION && std::str::from_utf8(text).is_ok()
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::Malformed {
            what: "justification",
            why: format!("it is one text of 1 to {MAX_JUSTIFICATION} octets"),
        })
    }
}

async fn record_behind(
    party: &Party,
    query: &Query<pb::DisclosureQuery>,
) -> Result<Behind, Refusal> {
    let failed = |error: StoreError| party.unavailable(&error);
    let lead_id = query
        .payload
        .lead_id
        .as_slice()
        .try_into()
        .map_err(|_| Refusal::Malformed {
            what: "lead_id",
            why: "it has not 16 octets".to_owned(),
        })?;
    let lead = party.store().lead(lead_id).await.map_err(failed)?;
    let lead = lead
        .filter(|lead| lead.party == query.issuer.id.as_str())
        .ok_or(Refusal::LeadUnknown)?;
    if lead.expires_ms <= party.ambient().now_ms() {
        return Err(Refusal::LeadExpired);
    }
    let stored = party
        .store()
        .record_by_id(lead.record_id)
        .await
        .map_err(failed)?
        .filter(|stored| stored.ref_tag() == lead.ref_tag)
        .ok_or(Refusal::LeadUnknown)?;
    let newest = enrol::newest(party, &stored)
        .await
        .map_err(failed)?
        .ok_or(Refusal::LeadUnknown)?;
    // A candidate that only may be the child, or agrees in nothing but names and dates, has to be
    // looked at by a person first, and so has every record that is protected. What was corrected
    // since it was found may be another child by now.
    let open = lead.grade == rank(Grade::Match)
        && lead.corroborated
        && newest.is_as_published
        && newest.record.is_open();
    Ok(Behind {
        record: newest.record,
        record_id: lead.record_id,
        grade: lead.grade,
        open,
    })
}

/// The record behind a lead.
struct Behind {
    record: Record,
    record_id: u64,
    grade: u8,
    /// Whether anything of it may be told without a person's decision.
    open: bool,
}
