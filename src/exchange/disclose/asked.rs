//! What this member asked of others: where it stands, what was told, until when it may be kept.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::case::State;
use super::reason::DenialReason;
use super::{NEVER, REQUEST_LIFETIME_MS};
use crate::exchange::Party;
use crate::records::Column;
use crate::roster::{LegalBasis, Purpose};
use crate::store::{ReceivedRow, StoreError};

/// A request of this member. Values are not in it: they stay in the evidence of the answers.
#[derive(Clone, Serialize, Deserialize)]
pub struct Asked {
    /// Who was asked.
    pub holder: String,
    /// The holder's id of the request, hex; none while it has not answered.
    pub request_id: Option<String>,
    /// The lead, hex.
    pub lead_id: String,
    /// The fields.
    #[serde(with = "super::case::names")]
    pub fields: Vec<Column>,
    /// What for.
    pub purpose: Purpose,
    /// On what legal ground.
    pub legal_basis: LegalBasis,
    /// The case.
    pub case_reference: String,
    /// Where it stands.
    #[serde(with = "state")]
    pub state: State,
    /// What was told and is still kept.
    #[serde(with = "super::case::names")]
    pub told: Vec<Column>,
    /// What was told and has changed since.
    #[serde(with = "super::case::names")]
    pub outdated: Vec<Column>,
    /// What waits for the holder's people.
    #[serde(with = "super::case::names")]
    pub waiting: Vec<Column>,
    /// When what was told is to be erased, in milliseconds since 1970; none if nothing is kept.
    pub retain_until_ms: Option<u64>,
    /// Why the holder's people denied fields, if they said so.
    #[serde(default)]
    pub denial_reason: Option<DenialReason>,
    /// When it was asked, in milliseconds since 1970.
    pub asked_ms: u64,
    /// Whether the holder told it on the condition that it is not passed on.
    #[serde(default)]
    pub no_onward_transfer: bool,
}

impl Asked {
    /// A request as it was kept.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(row: &ReceivedRow) -> Result<Self, StoreError> {
        serde_json::from_slice(&row.plaintext).map_err(|error| damaged(&error))
    }

    /// The request as it is to be kept.
    ///
    /// # Errors
    /// Never for one that was read or made here.
    pub fn row(
        &self,
        party: &Party,
        ask_id: [u8; 16],
        version: u64,
    ) -> Result<ReceivedRow, StoreError> {
        let plaintext = serde_json::to_vec(self).map_err(|error| damaged(&error))?;
        let origin_tag = self
            .request_octets()
            .map(|id| party.store().origin_tag(&self.holder, &id));
        Ok(ReceivedRow {
            ask_id,
            origin_tag,
            plaintext: Zeroizing::new(plaintext),
            state: self.state as u8,
            version,
            due_ms: self.due_ms(),
            updated_ms: party.ambient().now_ms(),
        })
    }

    /// The holder's id of the request.
    #[must_use]
    pub fn request_octets(&self) -> Option<[u8; 16]> {
        let mut id = [0; 16];
        hex::decode_to_slice(self.request_id.as_ref()?, &mut id).ok()?;
        Some(id)
    }

    /// When time changes it: what was told is erased, or an unanswered question is given up.
    fn due_ms(&self) -> u64 {
        match (self.retain_until_ms, self.state) {
            (Some(until), _) => until,
            (None, State::Requested) => self.asked_ms + REQUEST_LIFETIME_MS,
            (None, _) => NEVER,
        }
    }
}

fn damaged(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: "received disclosure".to_owned(),
        reason: error.to_string(),
    }
}

mod state {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use super::State;

    pub fn serialize<S: Serializer>(state: &State, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(state.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<State, D::Error> {
        let name = String::deserialize(from)?;
        State::from_name(&name).ok_or_else(|| de::Error::custom("no state has this name"))
    }
}
