//! The asking side of a disclosure.

use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;

use super::asked::Asked;
use super::case::State;
use super::reason::DenialReason;
use super::{MAX_FIELDS, MAX_JUSTIFICATION};
use crate::exchange::ask::{self, Asking, Changes, OnAnswer, ask_keeping, client};
use crate::exchange::lookup::{LookupAt, check_case_reference};
use crate::exchange::message::{Answer, AnswerError, milliseconds, sign_query, timestamp};
use crate::exchange::{Party, PeerError, Refusal, legal_basis_to, purpose_to};
use crate::proto::exchange as pb;
use crate::proto::exchange::disclosure_service_client::DisclosureServiceClient;
use crate::records::Column;
use crate::roster::Member;
use crate::store::{Effect, ReceivedRow, StoreError};
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
    /// By when an answer is needed, in milliseconds since 1970, if it is urgent.
    pub answer_by_ms: Option<u64>,
}

/// What is asked about an earlier request.
pub struct AskAgain {
    /// The holder's id of it.
    pub request_id: [u8; 16],
    /// Takes it back.
    pub take_back: bool,
    /// Puts another request in its place.
    pub instead: Option<Instead>,
}

/// What is put in the place of a request.
pub struct Instead {
    /// The fields.
    pub fields: Vec<Column>,
    /// Why these are needed.
    pub justification: PersonalText,
    /// By when an answer is needed, in milliseconds since 1970; as before if not stated.
    pub answer_by_ms: Option<u64>,
}

/// What came back.
pub struct Disclosed {
    /// The holder's id of the request.
    pub request_id: [u8; 16],
    /// Where it stands.
    pub state: State,
    /// The granted fields.
    pub granted: Vec<(Column, PersonalText)>,
    /// Those that were withheld.
    pub withheld: Vec<Column>,
    /// Those that wait for the holder's people.
    pub waiting: Vec<Column>,
    /// The data may be kept until then, in milliseconds since 1970; it is erased by itself.
    pub retain_until_ms: u64,
    /// When the request ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Whether what was told must not be passed on.
    pub no_onward_transfer: bool,
    /// Why the holder's people denied fields, if they said so.
    pub denial_reason: Option<DenialReason>,
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
    asked: DisclosureAsked,
) -> Result<Disclosed, PeerError> {
    check_case_reference(&asked.ground.case_reference)?;
    check(&asked.fields, &asked.justification)?;
    let known = Asked {
        holder: holder.id.to_string(),
        request_id: None,
        lead_id: hex::encode(asked.lead_id),
        fields: asked.fields,
        purpose: asked.ground.purpose,
        legal_basis: asked.ground.legal_basis,
        case_reference: asked.ground.case_reference,
        state: State::Requested,
        told: Vec::new(),
        outdated: Vec::new(),
        waiting: Vec::new(),
        retain_until_ms: None,
        denial_reason: None,
        asked_ms: party.ambient().now_ms(),
        no_onward_transfer: false,
    };
    let payload = pb::DisclosureQuery {
        answer_by: asked.answer_by_ms.map(timestamp),
        ..query(&known)
    };
    send(
        party,
        holder,
        known,
        None,
        payload,
        Some(&asked.justification),
    )
    .await
}

/// Asks about an earlier request again: what was decided since, or what was corrected.
///
/// # Errors
/// [`PeerError`] names the holder and what is wrong.
pub async fn ask_again(
    party: &Arc<Party>,
    holder: &Member,
    again: AskAgain,
) -> Result<Disclosed, PeerError> {
    let row = party
        .store()
        .received(holder.id.as_str(), &again.request_id)
        .await?
        .ok_or(Refusal::RequestUnknown)?;
    let mut known = Asked::read(&row)?;
    let (mut justification, mut answer_by) = (None, None);
    if let Some(instead) = again.instead {
        check(&instead.fields, &instead.justification)?;
        known.fields = instead.fields;
        justification = Some(instead.justification);
        answer_by = instead.answer_by_ms.map(timestamp);
    }
    let payload = pb::DisclosureQuery {
        request_id: again.request_id.to_vec(),
        take_back: again.take_back,
        answer_by,
        ..query(&known)
    };
    send(
        party,
        holder,
        known,
        Some(row),
        payload,
        justification.as_ref(),
    )
    .await
}

fn query(known: &Asked) -> pb::DisclosureQuery {
    pb::DisclosureQuery {
        lead_id: hex::decode(&known.lead_id).unwrap_or_default(),
        fields: Some(prost_types::FieldMask {
            paths: names(&known.fields),
        }),
        purpose: purpose_to(known.purpose).into(),
        legal_basis: legal_basis_to(known.legal_basis).into(),
        case_reference: known.case_reference.clone(),
        ..pb::DisclosureQuery::default()
    }
}

fn names(columns: &[Column]) -> Vec<String> {
    columns
        .iter()
        .map(|column| column.name().to_owned())
        .collect()
}

async fn send(
    party: &Arc<Party>,
    holder: &Member,
    known: Asked,
    row: Option<ReceivedRow>,
    payload: pb::DisclosureQuery,
    justification: Option<&PersonalText>,
) -> Result<Disclosed, PeerError> {
    let roster = party.roster()?;
    let lead_id = payload.lead_id.clone();
    let fields = known.fields.clone();
    let items: Vec<&[u8]> = justification
        .iter()
        .map(|text| text.expose().as_bytes())
        .collect();
    let query = sign_query(party, &roster, holder, payload, &items)?;
    let asking = Asking {
        asked: pb::Act::DisclosureAsked,
        received: pb::Act::DisclosureReceived,
        ground: Some((known.purpose, known.legal_basis)),
        count: fields.len() as u32,
        outcome: pb::Outcome {
            subjects: vec![pb::SubjectOutcome {
                lead_id,
                ..pb::SubjectOutcome::default()
            }],
        },
        keep: Vec::new(),
    };
    // The question is known before it leaves, so that no answer to it is ever lost sight of.
    let ask_id = row.as_ref().map_or(query.message_id, |row| row.ask_id);
    let mut before = Vec::new();
    if justification.is_some() {
        before.push(Effect::NoteAsked(ask_id));
    }
    if row.is_none() {
        before.push(Effect::PutReceived {
            row: known.row(party, ask_id, 1)?,
            holds_values: false,
        });
    }
    let channel = ask::link(party, holder).await?;
    let told = Keep {
        ask_id,
        known,
        fields: fields.clone(),
        found: Mutex::new(Found::Fits),
    };
    let asked_of = ask_keeping::<pb::DisclosureAnswer, _, _>(
        party,
        &roster,
        holder,
        &query,
        asking,
        before,
        &told,
        |message| {
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
        },
    )
    .await?;
    let bad = |why| PeerError::BadAnswer {
        member: holder.id.to_string(),
        why,
    };
    let mut disclosed = read(&fields, &asked_of.answer).map_err(bad)?;
    match told.found() {
        Found::Fits => {}
        Found::OfAnother => {
            return Err(bad(AnswerError::Content {
                why: "it is about another request".to_owned(),
            }));
        }
        Found::Late => {
            disclosed.state = State::Withdrawn;
            disclosed.granted.clear();
            disclosed.waiting.clear();
            disclosed.withheld = fields;
        }
    }
    Ok(disclosed)
}

/// What an answer changes here, in one act with the leaf of its receipt.
struct Keep {
    ask_id: [u8; 16],
    known: Asked,
    fields: Vec<Column>,
    found: Mutex<Found>,
}

/// How an answer fits what is known here of the request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It is the answer to it.
    Fits,
    /// It names another request than the one that was asked about.
    OfAnother,
    /// The holder withdrew what it had told before the answer came.
    Late,
}

impl Keep {
    fn found(&self) -> Found {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits(&self, disclosed: &Disclosed, stored: Option<&ReceivedRow>) -> Found {
        let request_id = hex::encode(disclosed.request_id);
        let another = self.known.request_id.as_ref();
        if another.is_some_and(|known| *known != request_id)
            || stored.is_some_and(|row| row.ask_id != self.ask_id)
        {
            Found::OfAnother
        } else if stored.is_some_and(|row| row.state == State::Withdrawn as u8) {
            Found::Late
        } else {
            Found::Fits
        }
    }
}

#[tonic::async_trait]
impl OnAnswer<pb::DisclosureAnswer> for Keep {
    async fn effects(
        &self,
        party: &Party,
        answer: &Answer<pb::DisclosureAnswer>,
    ) -> Result<Changes, StoreError> {
        // The receipt is recorded; what the answer says counts for nothing and is not kept.
        let for_nothing = || Changes {
            effects: Vec::new(),
            hashes_only: true,
        };
        let Ok(disclosed) = read(&self.fields, answer) else {
            return Ok(for_nothing());
        };
        let request_id = hex::encode(disclosed.request_id);
        let holder = &self.known.holder;
        let stored = party
            .store()
            .received(holder, &disclosed.request_id)
            .await?;
        let found = self.fits(&disclosed, stored.as_ref());
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        if found != Found::Fits {
            return Ok(for_nothing());
        }
        let (mut known, version) = match &stored {
            Some(row) => (Asked::read(row)?, row.version),
            // The first answer: the question was written when it was sent.
            None => (self.known.clone(), 1),
        };
        known.request_id = Some(request_id);
        known.fields.clone_from(&self.fields);
        known.state = disclosed.state;
        known.denial_reason = disclosed.denial_reason;
        known.waiting.clone_from(&disclosed.waiting);
        let told: Vec<Column> = disclosed
            .granted
            .iter()
            .map(|(column, _)| *column)
            .collect();
        known.outdated.retain(|column| !told.contains(column));
        for column in &told {
            if !known.told.contains(column) {
                known.told.push(*column);
            }
        }
        if !told.is_empty() {
            known.no_onward_transfer |= disclosed.no_onward_transfer;
            known.retain_until_ms = Some(
                known
                    .retain_until_ms
                    .map_or(disclosed.retain_until_ms, |until| {
                        until.min(disclosed.retain_until_ms)
                    }),
            );
        }
        Ok(vec![Effect::PutReceived {
            row: known.row(party, self.ask_id, version + 1)?,
            holds_values: !told.is_empty(),
        }]
        .into())
    }
}

fn check(fields: &[Column], justification: &PersonalText) -> Result<(), Refusal> {
    if fields.is_empty() || fields.len() > MAX_FIELDS {
        return Err(Refusal::Malformed {
            what: "fields",
            why: format!("a request names 1 to {MAX_FIELDS} of them"),
        });
    }
    let length = justification.expose().len();
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
    answer: &Answer<pb::DisclosureAnswer>,
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
    let payload = &answer.payload;
    let names = listed(payload.granted.as_ref())?;
    let withheld = listed(payload.withheld.as_ref())?;
    let waiting = listed(payload.waiting.as_ref())?;
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
        request_id: payload
            .request_id
            .as_slice()
            .try_into()
            .map_err(|_| content("its request id has not 16 octets"))?,
        state: state_from(payload.state())
            .ok_or_else(|| content("it does not say where the request stands"))?,
        granted,
        withheld,
        waiting,
        retain_until_ms: milliseconds(payload.retain_until.as_ref(), "retain_until")?,
        expires_ms: milliseconds(payload.expires_at.as_ref(), "expires_at")?,
        no_onward_transfer: payload
            .conditions
            .as_ref()
            .is_some_and(|conditions| conditions.no_onward_transfer),
        denial_reason: DenialReason::from_proto(payload.denial_reason()),
        leaf_index: answer.receipt.leaf_index,
    })
}

/// The state behind the protocol's number.
pub(super) fn state_from(state: pb::DisclosureState) -> Option<State> {
    State::ALL
        .into_iter()
        .find(|known| super::server::state_to(*known) == state && *known != State::Requested)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::roster::{LegalBasis, Purpose};

    fn keep(request_id: Option<[u8; 16]>) -> Keep {
        let known = Asked {
            holder: "pl".to_owned(),
            request_id: request_id.map(hex::encode),
            lead_id: hex::encode([8; 16]),
            fields: vec![Column::CurrentPlace],
            purpose: Purpose::FamilyTracing,
            legal_basis: LegalBasis::VitalInterest,
            case_reference: "CASE-1".to_owned(),
            state: State::Waiting,
            told: Vec::new(),
            outdated: Vec::new(),
            waiting: Vec::new(),
            retain_until_ms: None,
            denial_reason: None,
            asked_ms: 0,
            no_onward_transfer: false,
        };
        Keep {
            ask_id: [1; 16],
            fields: known.fields.clone(),
            known,
            found: Mutex::new(Found::Fits),
        }
    }

    fn stored(ask_id: [u8; 16], state: State) -> ReceivedRow {
        ReceivedRow {
            ask_id,
            origin_tag: None,
            plaintext: Zeroizing::default(),
            state: state as u8,
            version: 2,
            due_ms: 0,
            updated_ms: 0,
        }
    }

    #[test]
    fn an_answer_counts_for_the_request_it_is_about_and_until_it_was_withdrawn() {
        let answer = Disclosed {
            request_id: [9; 16],
            state: State::Granted,
            granted: Vec::new(),
            withheld: Vec::new(),
            waiting: Vec::new(),
            retain_until_ms: 0,
            expires_ms: 0,
            no_onward_transfer: true,
            denial_reason: None,
            leaf_index: 0,
        };
        let ours = |state| stored([1; 16], state);
        let fits = |known, row: Option<ReceivedRow>| keep(known).fits(&answer, row.as_ref());
        assert!(fits(None, None) == Found::Fits);
        assert!(fits(Some([9; 16]), Some(ours(State::Granted))) == Found::Fits);
        assert!(fits(Some([9; 16]), Some(ours(State::Withdrawn))) == Found::Late);
        assert!(fits(Some([5; 16]), Some(ours(State::Granted))) == Found::OfAnother);
        assert!(fits(Some([5; 16]), None) == Found::OfAnother);
        let of_another = stored([2; 16], State::Granted);
        assert!(fits(None, Some(of_another)) == Found::OfAnother);
    }
}
