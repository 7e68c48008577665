//! Reminders: that something waits for the member's own people, on its way to them until it has
//! arrived, by each way that there is.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::case::Case;
use crate::exchange::Party;
use crate::store::{Effect, Mail, NoticeRow, StoreError};

/// That people have something to look at. Nothing in it is personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminder {
    /// What happened: `waiting`, `half_time`, `overdue`, `break_glass`.
    pub event: String,
    /// The request, hex.
    pub request: String,
    /// Who asks.
    pub member: String,
    /// By when an answer is needed, in milliseconds since 1970, if it is urgent.
    pub answer_by_ms: Option<u64>,
    /// By which way it goes.
    pub way: Way,
    /// Since when it is on its way, in milliseconds since 1970.
    pub since_ms: u64,
}

/// A way to people. Each is tried by itself: one that is closed keeps nothing from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A program of the member's own.
    Command,
    /// A call to a web address.
    Webhook,
}

/// A reminder that waits to be sent.
pub struct Waiting {
    /// Its id.
    pub id: [u8; 16],
    /// How often it was tried.
    pub attempts: u64,
    /// What it says.
    pub reminder: Reminder,
}

/// Puts reminders of an event on their ways.
pub(super) fn posts(party: &Party, case: &Case, event: &str) -> Result<Vec<Effect>, StoreError> {
    let now_ms = party.ambient().now_ms();
    [Way::Command, Way::Webhook]
        .into_iter()
        .map(|way| {
            let reminder = Reminder {
                event: event.to_owned(),
                request: hex::encode(case.request_id),
                member: case.member.clone(),
                answer_by_ms: case.answer_by_ms,
                way,
                since_ms: now_ms,
            };
            let plaintext = serde_json::to_vec(&reminder).map_err(|error| damaged(&error))?;
            Ok(Effect::Post(NoticeRow {
                kind: Mail::Reminder,
                notice_id: party.ambient().random(),
                plaintext: Zeroizing::new(plaintext),
                attempts: 0,
                due_ms: now_ms,
            }))
        })
        .collect()
}

/// Up to `limit` reminders that are to be tried by now.
///
/// # Errors
/// If the store fails.
pub async fn reminders_due(party: &Party, limit: u64) -> Result<Vec<Waiting>, StoreError> {
    let now_ms = party.ambient().now_ms();
    let rows = party
        .store()
        .notices_due(Mail::Reminder, now_ms, limit)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Waiting {
                id: row.notice_id,
                attempts: row.attempts,
                reminder: serde_json::from_slice(&row.plaintext)
                    .map_err(|error| damaged(&error))?,
            })
        })
        .collect()
}

fn damaged(error: &serde_json::Error) -> StoreError {
    StoreError::Damaged {
        what: "reminder".to_owned(),
        reason: error.to_string(),
    }
}
