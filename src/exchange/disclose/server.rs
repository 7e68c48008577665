//! The holder's side of a disclosure: a request comes in, is asked about again, is taken back.

use std::sync::Arc;

use prost::Message as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::case::{Case, End, FieldState, Ground, State, Told};
use super::{
    DISCLOSURES_PER_DAY, GRANT_LIFETIME_MS, MAX_FIELDS, MAX_JUSTIFICATION, REQUEST_LIFETIME_MS,
    RETENTION_MS, ground_of, identity_of, value_tag,
};
use crate::exchange::leaf::Leaf;
use crate::exchange::lookup::{check_case_reference, raised, rank};
use crate::exchange::message::{
    AnswerItems, AnswerTo, Query, milliseconds, sixteen_octets, timestamp,
};
use crate::exchange::service::{self, Answering};
use crate::exchange::{
    Party, Refusal, enrol, legal_basis_from, legal_basis_to, policy, purpose_from, purpose_to,
};
use crate::linkage::Grade;
use crate::proto::exchange as pb;
use crate::records::{Column, Protection, Record};
use crate::roster::{Member, TrustedRoster};
use crate::store::{Effect, Lead, RecordState, RequestRow, StoreError, Tag};
use crate::vault::PersonalText;

/// Answers a query about fields: what the holder's policy grants at once, what waits for its people,
/// and what is withheld.
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
    if query.payload.request_id.is_empty() {
        // A stored answer is given again only while there is something to tell it of.
        if let Err(Refusal::LeadUnknown) = behind(party, &query).await {
            return service::refuse(party, &query, Refusal::LeadUnknown).await;
        }
        if let Some(earlier) = service::earlier_answer(party, &query).await?
            && is_told_no_more(party, &earlier).await?
        {
            return service::refuse(party, &query, Refusal::RequestClosed).await;
        }
    }
    let mut attempt = 1;
    loop {
        match answer_now(party, &roster, &query).await {
            Err(refusal) if service::is_stale(&refusal) && attempt < ATTEMPTS => {
                attempt += 1;
                // A policy that came into force since may be what made the answer stale.
                policy::follow(party)
                    .await
                    .map_err(|error| party.unavailable(&error))?;
            }
            outcome => return outcome,
        }
    }
}

/// How often an answer is made anew because the request changed under it: people decide, and time
/// passes, while the asking member asks.
const ATTEMPTS: u32 = 5;

/// Answers a query on what holds now.
async fn answer_now(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::DisclosureQuery>,
) -> Result<pb::SignedMessage, Refusal> {
    if query.payload.request_id.is_empty() {
        return service::answer_once(party, query, first(party, roster, query)).await;
    }
    if let Ok(known) = known(party, query).await
        && service::was_answered(party, query).await?
        && is_closed(party, &known.row, &known.case).await?
    {
        // What was told before it was withdrawn is not told again.
        return service::refuse(party, query, Refusal::RequestClosed).await;
    }
    service::answer_once(party, query, again(party, roster, query)).await
}

/// Whether a stored answer is of a request that nothing is told of any more.
async fn is_told_no_more(party: &Party, earlier: &pb::SignedMessage) -> Result<bool, Refusal> {
    let failed = |error: StoreError| party.unavailable(&error);
    let told = earlier.envelope.as_ref();
    let told = told.and_then(|told| pb::DisclosureAnswer::decode(told.payload.as_slice()).ok());
    let Some(Ok(request_id)) = told.map(|told| told.request_id.as_slice().try_into()) else {
        return Ok(false);
    };
    let Some(row) = party.store().request(&request_id).await.map_err(failed)? else {
        return Ok(false);
    };
    let case = super::read_case(&row).map_err(failed)?;
    is_closed(party, &row, &case).await
}

/// Whether a request has ended, other than by who asks, or its record answers for nothing.
async fn is_closed(party: &Party, row: &RequestRow, case: &Case) -> Result<bool, Refusal> {
    if case.end.is_some_and(|end| end != End::TakenBack) {
        return Ok(true);
    }
    let newest = newest(party, row.ref_tag).await;
    let newest = newest.map_err(|error| party.unavailable(&error))?;
    Ok(newest
        .is_none_or(|newest| super::Floor::of_question(&case.question(&newest.ground)).is_closed()))
}

/// What every query about fields has to state.
struct Stated {
    purpose: crate::roster::Purpose,
    legal_basis: crate::roster::LegalBasis,
    columns: Vec<Column>,
}

fn stated(
    party: &Party,
    roster: &TrustedRoster,
    query: &Query<pb::DisclosureQuery>,
) -> Result<Stated, Refusal> {
    let asked = &query.payload;
    if !query.issuer.roles.member {
        return Err(Refusal::RoleMissing { role: "member" });
    }
    let purpose = purpose_from(asked.purpose)?;
    let legal_basis = legal_basis_from(asked.legal_basis)?;
    if !roster.permits(query.issuer.id.as_str(), purpose, party.ambient().now()) {
        return Err(Refusal::PurposeNotPermitted {
            purpose: purpose.to_string(),
        });
    }
    party.house_rules().admit(&query.issuer.id, Some(purpose))?;
    check_case_reference(&asked.case_reference)?;
    Ok(Stated {
        purpose,
        legal_basis,
        columns: columns(asked)?,
    })
}

async fn first(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::DisclosureQuery>,
) -> Result<Answering, Refusal> {
    let stated = stated(party, roster, query)?;
    let justification = justification(&query.items)?;
    let answer_by_ms = answer_by(party, &query.payload)?;
    let Behind {
        lead,
        ref_tag,
        found_identity,
        newest,
    } = behind(party, query).await?;
    let now_ms = party.ambient().now_ms();
    let subject = party.pseudonym(newest.record.record_ref.as_str())?;
    let case = Case {
        request_id: party.ambient().random(),
        member: query.issuer.id.to_string(),
        lead_id: lead.lead_id,
        subject: *subject.as_bytes(),
        found_identity,
        grade: lead.grade,
        corroborated: lead.corroborated,
        purpose: stated.purpose,
        legal_basis: stated.legal_basis,
        case_reference: query.payload.case_reference.clone(),
        justification,
        fields: stated.columns,
        asked_ms: now_ms,
        answer_by_ms,
        expires_ms: now_ms + REQUEST_LIFETIME_MS,
        end: None,
        approvals: Vec::new(),
        denials: Vec::new(),
        delivered: Vec::new(),
        corrected: false,
        told: Told::Nothing,
        review: None,
        settled: false,
        end_unwritten: false,
    };
    let alert = alert(query, &newest.record, lead.grade);
    let mut answering = compose(party, roster, query, case, ref_tag, None, Some(newest))?;
    answering.effects.extend(alert);
    Ok(answering)
}

/// The alert on a record whose protection asks for one: that something was asked of it is as much to
/// be seen as that it was found.
fn alert(query: &Query<pb::DisclosureQuery>, record: &Record, grade: u8) -> Option<Effect> {
    if record.protection != Protection::Alert {
        return None;
    }
    tracing::warn!(
        peer = query.issuer.id.as_str(),
        "a peer asks to be told of a protected record"
    );
    let grade = [Grade::Match, Grade::Possible]
        .into_iter()
        .find(|known| rank(*known) == grade)
        .unwrap_or(Grade::NoMatch);
    Some(Effect::Raise(raised(
        record,
        query.issuer.id.as_str(),
        query.payload.purpose,
        query.payload.case_reference.clone(),
        grade,
    )))
}

/// A request of the party that asks again.
struct Known {
    row: RequestRow,
    case: Case,
}

async fn known(party: &Party, query: &Query<pb::DisclosureQuery>) -> Result<Known, Refusal> {
    let request_id = sixteen_octets("request_id", &query.payload.request_id)?;
    let row = party
        .store()
        .request(&request_id)
        .await
        .map_err(|error| party.unavailable(&error))?
        .filter(|row| row.party_tag == party.store().party_tag(query.issuer.id.as_str()))
        .ok_or(Refusal::RequestUnknown)?;
    let case = super::read_case(&row).map_err(|error| party.unavailable(&error))?;
    Ok(Known { row, case })
}

async fn again(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::DisclosureQuery>,
) -> Result<Answering, Refusal> {
    let stated = stated(party, roster, query)?;
    let Known { row, mut case } = known(party, query).await?;
    let asked = &query.payload;
    let same = asked.lead_id == case.lead_id
        && stated.purpose == case.purpose
        && stated.legal_basis == case.legal_basis
        && asked.case_reference == case.case_reference;
    let amends = !query.items.is_empty();
    let same_fields = stated.columns.len() == case.fields.len()
        && stated
            .columns
            .iter()
            .all(|column| case.fields.contains(column));
    if !same || !(amends || same_fields) {
        return Err(Refusal::RequestDiffers);
    }
    let now_ms = party.ambient().now_ms();
    let newest = newest(party, row.ref_tag)
        .await
        .map_err(|error| party.unavailable(&error))?;
    if case.end.is_none() {
        if newest.is_none() && case.delivered.is_empty() {
            case.end = Some(End::Erased);
        } else if now_ms >= case.expires_ms {
            case.end = Some(End::Expired);
        } else if asked.take_back {
            case.end = Some(End::TakenBack);
        }
    }
    if amends {
        if case.end.is_some() {
            return Err(Refusal::RequestClosed);
        }
        // Another request in the place of the first: nobody has approved it yet, and what was
        // denied stays denied.
        case.justification = justification(&query.items)?;
        case.fields = stated.columns;
        // Unstated it stays: a request is not less urgent because it asks for something else.
        case.answer_by_ms = answer_by(party, asked)?.or(case.answer_by_ms);
        case.approvals.clear();
        case.told = Told::Nothing;
        case.settled = false;
        case.expires_ms = now_ms + REQUEST_LIFETIME_MS;
    }
    compose(
        party,
        roster,
        query,
        case,
        row.ref_tag,
        Some(Before {
            version: row.version,
            // Another request in its place is a change, whatever its state.
            state: State::from_number(row.state).filter(|_| !amends),
            updated_ms: row.updated_ms,
        }),
        newest,
    )
}

/// The row that an answer is written over.
struct Before {
    version: u64,
    /// Its state, where asking alone is no change that anyone has to hear of.
    state: Option<State>,
    updated_ms: u64,
}

/// The answer by what holds now, with the request as it is after it.
fn compose(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::DisclosureQuery>,
    mut case: Case,
    ref_tag: Tag,
    before: Option<Before>,
    newest: Option<Newest>,
) -> Result<Answering, Refusal> {
    let now_ms = party.ambient().now_ms();
    // Found erased here first, before the node came round to it.
    let erased = newest.is_none() && case.is_kept(now_ms);
    if erased {
        case.end = Some(End::Erased);
        case.justification = PersonalText::new(String::new());
    }
    let in_force = party.policy_in_force();
    let policy = &in_force.policy;
    let lapsed = newest
        .as_ref()
        .is_some_and(|newest| case.drop_lapsed(&newest.ground));
    let fields = case.assess(policy, newest.as_ref().map(|newest| &newest.ground));
    case.reopen(super::waits(&fields), lapsed, now_ms);
    let (mut granted, mut withheld, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for &(column, state) in &fields {
        match (state, &newest) {
            (FieldState::Waiting { .. }, _) => waiting.push(column.name().to_owned()),
            (FieldState::Granted, Some(newest)) => match disclosed(&newest.record, column) {
                Some(field) => {
                    let tag = value_tag(party, &case.subject, &newest.record, column);
                    case.delivered.retain(|told| told.field != column);
                    case.delivered
                        .extend(tag.map(|value_tag| super::case::Delivered {
                            field: column,
                            value_tag,
                            at_ms: now_ms,
                            announced: None,
                        }));
                    granted.push((column, field));
                }
                None => withheld.push(column.name().to_owned()),
            },
            // A refused field and one that the record lacks are not told apart.
            _ => withheld.push(column.name().to_owned()),
        }
    }
    let names: Vec<String> = granted
        .iter()
        .map(|(column, _)| column.name().to_owned())
        .collect();
    let has = |column: Column| granted.iter().any(|(told, _)| *told == column);
    case.corrected = false;
    if waiting.is_empty() && !case.settled {
        case.settled = true;
        case.expires_ms = now_ms + GRANT_LIFETIME_MS;
    }
    let state = case.state(&fields, has);

    let bodies: Vec<&[u8]> = granted.iter().map(|(_, field)| field.as_slice()).collect();
    let items = AnswerItems::new(party, &bodies);
    let outcome = pb::Outcome {
        subjects: vec![pb::SubjectOutcome {
            subject: case.subject.to_vec(),
            grade: u32::from(case.grade),
            lead_id: case.lead_id.to_vec(),
            ..pb::SubjectOutcome::default()
        }],
    };
    let leaf = Leaf::new(pb::Act::DisclosureAnswered, party.ambient(), &outcome).set(|entry| {
        entry.answer_digest = items.root().to_vec();
        entry.purpose = purpose_to(case.purpose).into();
        entry.legal_basis = legal_basis_to(case.legal_basis).into();
        entry.count = names.len() as u32;
        entry.subject = case.subject.to_vec();
        entry.reference = names.join(",");
    });
    let payload = pb::DisclosureAnswer {
        granted: Some(prost_types::FieldMask { paths: names }),
        withheld: Some(prost_types::FieldMask { paths: withheld }),
        retain_until: Some(timestamp(now_ms + RETENTION_MS)),
        request_id: case.request_id.to_vec(),
        state: state_to(state).into(),
        waiting: Some(prost_types::FieldMask { paths: waiting }),
        expires_at: Some(timestamp(case.expires_ms)),
        conditions: Some(pb::Conditions {
            purpose: purpose_to(case.purpose).into(),
            legal_basis: legal_basis_to(case.legal_basis).into(),
            no_onward_transfer: true,
        }),
        denial_reason: case
            .denial_reason()
            .map_or(0, |reason| reason.to_proto().into()),
        ..pb::DisclosureAnswer::default()
    };
    let version = before.as_ref().map_or(1, |before| before.version + 1);
    let mut row = super::row(party, &case, ref_tag, state, &fields, version)
        .map_err(|error| party.unavailable(&error))?;
    if let Some(before) = before.filter(|before| before.state == Some(state)) {
        row.updated_ms = before.updated_ms;
    }
    let mut effects = vec![Effect::PutRequest(row), Effect::NoteTold(ref_tag)];
    effects.extend(in_force.guard());
    if erased {
        // Told in this answer that there is nothing more, the receiver is also to erase what it has.
        let withdrawal = super::withdrawal(party, &case);
        effects.extend(withdrawal.map_err(|error| party.unavailable(&error))?);
    }
    let owed = super::owed(party, &case).map_err(|error| party.unavailable(&error))?;
    effects.extend(owed);
    if let Some(newest) = &newest {
        // Erased or changed at the same moment, it is not told.
        effects.push(Effect::StillHeld(newest.ground.record_id));
    }
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
        effects,
        answer: Box::new(move |position| items.sign(&signer, &roster, &to, &payload, position)),
    })
}

/// The field as it is disclosed, if the record has it.
fn disclosed(record: &Record, column: Column) -> Option<Zeroizing<Vec<u8>>> {
    let value = record.field(column)?;
    let mut field = pb::DisclosedField {
        name: column.name().to_owned(),
        value: value.expose().clone(),
    };
    let encoded = Zeroizing::new(field.encode_to_vec());
    field.value.zeroize();
    Some(encoded)
}

/// The protocol's number of a state. A request that is answered is past `Requested`.
pub(super) fn state_to(state: State) -> pb::DisclosureState {
    match state {
        State::Requested => pb::DisclosureState::Unspecified,
        State::Waiting => pb::DisclosureState::Waiting,
        State::PartlyGranted => pb::DisclosureState::PartlyGranted,
        State::Granted => pb::DisclosureState::Granted,
        State::Refused => pb::DisclosureState::Refused,
        State::Expired => pb::DisclosureState::Expired,
        State::Withdrawn => pb::DisclosureState::Withdrawn,
        State::Corrected => pb::DisclosureState::Corrected,
    }
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

fn justification(items: &[Zeroizing<Vec<u8>>]) -> Result<PersonalText, Refusal> {
    let text = match items {
        [text] if !text.is_empty() && text.len() <= MAX_JUSTIFICATION => {
            std::str::from_utf8(text).ok()
        }
        _ => None,
    };
    text.map(PersonalText::from).ok_or(Refusal::Malformed {
        what: "justification",
        why: format!("it is one text of 1 to {MAX_JUSTIFICATION} octets"),
    })
}

/// By when an urgent request is to be answered.
fn answer_by(party: &Party, asked: &pb::DisclosureQuery) -> Result<Option<u64>, Refusal> {
    let Some(stated) = &asked.answer_by else {
        return Ok(None);
    };
    let by_ms = milliseconds(Some(stated), "answer_by")?;
    let now_ms = party.ambient().now_ms();
    if by_ms <= now_ms || by_ms > now_ms + REQUEST_LIFETIME_MS {
        return Err(Refusal::Malformed {
            what: "answer_by",
            why: format!(
                "an urgent request is to be answered within {} days from now",
                REQUEST_LIFETIME_MS / 86_400_000
            ),
        });
    }
    Ok(Some(by_ms))
}

/// The record behind a lead.
struct Behind {
    lead: Lead,
    ref_tag: Tag,
    /// Who the child is by the record that was found.
    found_identity: [u8; 16],
    newest: Newest,
}

/// A record as it stands now.
pub(super) struct Newest {
    pub record: Record,
    pub ground: Ground,
}

async fn behind(party: &Party, query: &Query<pb::DisclosureQuery>) -> Result<Behind, Refusal> {
    let failed = |error: StoreError| party.unavailable(&error);
    let lead_id = sixteen_octets("lead_id", &query.payload.lead_id)?;
    let lead = party.store().lead(&lead_id).await.map_err(failed)?;
    let lead = lead
        .filter(|lead| lead.party == query.issuer.id.as_str())
        .ok_or(Refusal::LeadUnknown)?;
    if lead.expires_ms <= party.ambient().now_ms() {
        return Err(Refusal::LeadExpired);
    }
    let found = party
        .store()
        .record_by_id(lead.record_id)
        .await
        .map_err(failed)?
        .filter(|found| found.ref_tag() == lead.ref_tag)
        .ok_or(Refusal::LeadUnknown)?;
    let found_identity = identity_of(party, &enrol::parse(&found).map_err(failed)?);
    let newest = newest(party, lead.ref_tag)
        .await
        .map_err(failed)?
        .ok_or(Refusal::LeadUnknown)?;
    Ok(Behind {
        ref_tag: lead.ref_tag,
        lead,
        found_identity,
        newest,
    })
}

/// The newest state of a record, if there still is one.
pub(super) async fn newest(party: &Party, ref_tag: Tag) -> Result<Option<Newest>, StoreError> {
    let Some(stored) = party.store().record_by_tag(ref_tag).await? else {
        return Ok(None);
    };
    let record = enrol::parse(&stored)?;
    let mut ground = ground_of(party, &record, &stored, ref_tag).await?;
    if stored.state == RecordState::Withheld {
        // Its own words are older than what the journal knows of it.
        ground.facts.protection = Protection::Silent;
    }
    Ok(Some(Newest { record, ground }))
}
