//! Disclosure: named fields of the record behind a lead, for a stated purpose.
//!
//! A request is granted field by field: at once, after people of the holder have approved, or not at
//! all. It lives at the holder as a [`Case`], a sealed row that changes only together with a leaf, and
//! at the asking member as [`Asked`]. Values are told in one place alone, the answer to a signed query
//! ([`answer`]); approvals, notices and streams only say that it is worth asking again.

mod asked;
mod case;
mod client;
mod decide;
mod floor;
mod notice;
mod reason;
mod reminder;
mod server;
mod watch;
mod work;

pub use asked::Asked;
pub use case::{
    AccountId, Approval, Case, Decision, DecisionError, Delivered, Denial, End, FieldState, Ground,
    NEVER, Review, State, Told,
};
pub use client::{AskAgain, Disclosed, DisclosureAsked, Instead, ask_again, disclose};
pub use decide::{Actor, DecideError, Decided, Shown, approve, deny, list, review, show, withdraw};
pub use floor::Floor;
pub use notice::{answer_notice, send_due as send_notices};
pub use reason::DenialReason;
pub use reminder::{Reminder, Waiting, Way, reminders_due};
pub use server::answer;
pub use watch::{Change, STREAMS, Watchers, change, watch, watch_at};
pub use work::tick;

use zeroize::Zeroizing;

use super::policy::RecordFacts;
use super::{Party, enrol};
use crate::records::{Column, FIELDS, FieldClass, Protection, Record};
use crate::store::{
    EXPIRED, Effect, RecordState, RequestRow, StoreError, StoredRecord, Tag, TagKind, WITHDRAWN,
};

/// How long a receiver may keep what it is told, in milliseconds: 180 days.
pub const RETENTION_MS: u64 = 180 * 86_400_000;

/// How long a request waits for people, in milliseconds: 30 days.
pub const REQUEST_LIFETIME_MS: u64 = 30 * 86_400_000;

/// How long what was granted can be asked for, in milliseconds: 30 days.
pub const GRANT_LIFETIME_MS: u64 = 30 * 86_400_000;

/// Longest justification, in octets.
pub const MAX_JUSTIFICATION: usize = 4_096;

/// Most requests of one party a day.
pub const DISCLOSURES_PER_DAY: u64 = 1_000;

/// Most fields of one request.
pub const MAX_FIELDS: usize = 32;

/// A case as it was kept.
fn read_case(row: &RequestRow) -> Result<Case, StoreError> {
    let mut case = Case::from_bytes(&row.plaintext).map_err(|error| StoreError::Damaged {
        what: "disclosure request".to_owned(),
        reason: error.to_string(),
    })?;
    if row.state == WITHDRAWN && case.end.is_none() {
        // Only the journal knew of it when the database came back from a backup.
        case.end = Some(End::Withdrawn);
        case.end_unwritten = true;
    }
    Ok(case)
}

const _: () = assert!(State::Withdrawn as u8 == WITHDRAWN && State::Expired as u8 == EXPIRED);

/// What a withdrawal does besides its leaf and its row: a restored database must know of it, and
/// whoever was told anything hears of it.
fn withdrawal(party: &Party, case: &Case) -> Result<Vec<Effect>, StoreError> {
    let mut effects = vec![Effect::NoteWithdrawn(case.request_id)];
    if !case.delivered.is_empty() {
        effects.push(Effect::Post(notice::withdrawn(party, case)?));
    }
    Ok(effects)
}

/// What a withdrawal that only the journal knew of still owes, once its case is written with it: the
/// receiver hears of it.
fn owed(party: &Party, case: &Case) -> Result<Vec<Effect>, StoreError> {
    if case.end_unwritten && !case.delivered.is_empty() {
        return Ok(vec![Effect::Post(notice::withdrawn(party, case)?)]);
    }
    Ok(Vec::new())
}

/// A case as it is to be kept.
fn row(
    party: &Party,
    case: &Case,
    ref_tag: Tag,
    state: State,
    fields: &[(Column, FieldState)],
    version: u64,
) -> Result<RequestRow, StoreError> {
    let plaintext = case.to_bytes().map_err(|error| StoreError::Damaged {
        what: "disclosure request".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(RequestRow {
        request_id: case.request_id,
        party_tag: party.store().party_tag(&case.member),
        ref_tag,
        plaintext,
        state: state as u8,
        version,
        waits: waits(fields) || case.review_due(),
        stale: 0,
        due_ms: case.due_ms(),
        updated_ms: party.ambient().now_ms(),
    })
}

/// Whether any field waits for people.
fn waits(fields: &[(Column, FieldState)]) -> bool {
    fields
        .iter()
        .any(|(_, state)| matches!(state, FieldState::Waiting { .. }))
}

/// What decisions about a record rest on.
async fn ground_of(
    party: &Party,
    record: &Record,
    stored: &StoredRecord,
    ref_tag: Tag,
) -> Result<Ground, StoreError> {
    let entered_by = party
        .store()
        .authors(ref_tag)
        .await?
        .iter()
        .map(hex::encode)
        .collect();
    let mut facts = RecordFacts::of(record, entered_by);
    facts.family_silent = family_is_silent(party, stored).await?;
    Ok(Ground {
        record_id: stored.record_id,
        identity: identity_of(party, record),
        facts,
    })
}

/// Whether anybody of the record's family is silent: what is told of a child tells where its
/// brothers and sisters may be.
async fn family_is_silent(party: &Party, stored: &StoredRecord) -> Result<bool, StoreError> {
    let Some(family) = stored.family_tag else {
        return Ok(false);
    };
    for relative in party.store().family(family).await? {
        if relative.state == RecordState::Withheld
            || enrol::parse(&relative)?.protection == Protection::Silent
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keyed tag of who the child is, by what identifies it: the same as long as a record speaks of the
/// same child in the same words.
fn identity_of(party: &Party, record: &Record) -> Tag {
    let mut said = Zeroizing::new(Vec::new());
    for field in FIELDS {
        let identifies = field.class == FieldClass::Identity
            || matches!(field.column, Column::DocumentType | Column::DocumentNumber);
        if identifies && let Some(value) = record.field(field.column) {
            said.push(field.column as u8);
            said.extend_from_slice(&(value.expose().len() as u64).to_be_bytes());
            said.extend_from_slice(value.expose().as_bytes());
        }
    }
    party.store().tag(TagKind::Content, &[b"identity", &said])
}

/// Keyed tag of a field's value, to tell later whether it changed.
fn value_tag(
    party: &Party,
    subject: &[u8; 16],
    record: &Record,
    column: Column,
) -> Option<[u8; 16]> {
    let value = record.field(column)?;
    Some(party.store().tag(
        TagKind::Value,
        &[subject, &[column as u8], value.expose().as_bytes()],
    ))
}
