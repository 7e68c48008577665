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
mod reminder;
mod server;
mod watch;
mod work;

pub use asked::Asked;
pub use case::{
    AccountId, Approval, Case, Decision, DecisionError, Delivered, Denial, End, FieldState, Ground,
    NEVER, Review, State, Told,
};
pub use client::{AskAgain, Disclosed, DisclosureAsked, ask_again, disclose};
pub use decide::{Actor, DecideError, Decided, Shown, approve, deny, list, review, show, withdraw};
pub use floor::Floor;
pub use notice::answer_notice;
pub use reminder::{Reminder, Waiting, Way, reminders_due};
pub use server::answer;
pub use watch::{Change, STREAMS, Watchers, change, watch, watch_at};
pub use work::tick;

use zeroize::Zeroizing;

use super::Party;
use super::policy::RecordFacts;
use crate::records::{Column, FIELDS, FieldClass, Record};
use crate::store::{RequestRow, StoreError, Tag, TagKind};

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
    Case::from_bytes(&row.plaintext).map_err(|error| StoreError::Damaged {
        what: "disclosure request".to_owned(),
        reason: error.to_string(),
    })
}

/// A case as it is to be kept.
fn row(
    party: &Party,
    case: &Case,
    ref_tag: Tag,
    state: State,
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
        due_ms: case.due_ms(),
        updated_ms: party.ambient().now_ms(),
    })
}

/// What decisions about a record rest on.
async fn ground_of(
    party: &Party,
    record: &Record,
    record_id: u64,
    ref_tag: Tag,
) -> Result<Ground, StoreError> {
    let entered_by = party
        .store()
        .authors(ref_tag)
        .await?
        .iter()
        .map(hex::encode)
        .collect();
    Ok(Ground {
        record_id,
        identity: identity_of(party, record),
        facts: RecordFacts::of(record, entered_by),
    })
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
