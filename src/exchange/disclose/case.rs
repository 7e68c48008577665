//! A request for disclosure at its holder: what was asked, who has approved, what was told, and the
//! state that follows from it. Pure: time, record and policy are handed in.

use super::reason::DenialReason;
use std::collections::BTreeSet;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Floor;
use crate::exchange::policy::{Needs, Policy, Question, RecordFacts};
use crate::records::Column;
use crate::roster::{LegalBasis, Purpose};
use crate::vault::PersonalText;

/// A moment that never comes, in milliseconds since 1970.
pub const NEVER: u64 = u64::MAX >> 1;

/// The pseudonym of an account, as leaves have it.
pub type AccountId = [u8; 16];

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// It was sent; the holder has not answered yet.
    Requested = 1,
    /// Nothing is granted yet; people have to decide.
    Waiting = 2,
    /// Some fields are granted; for others people have to decide.
    PartlyGranted = 3,
    /// All that will be granted is.
    Granted = 4,
    /// Nothing is granted, and nobody has to decide any more.
    Refused = 5,
    /// Its time has passed.
    Expired = 6,
    /// It was taken back: by who asked, or, with what was told, by the holder.
    Withdrawn = 7,
    /// What was told has changed since; asking again gives the newest.
    Corrected = 8,
}

impl State {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Requested,
        Self::Waiting,
        Self::PartlyGranted,
        Self::Granted,
        Self::Refused,
        Self::Expired,
        Self::Withdrawn,
        Self::Corrected,
    ];

    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Waiting => "waiting",
            Self::PartlyGranted => "partly_granted",
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Corrected => "corrected",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state of this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }

    /// Whether nothing leads out of it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::Withdrawn)
    }
}

/// What no decision can change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its time passed.
    Expired,
    /// The asking member took it back.
    TakenBack,
    /// The holder took it back, with what was told.
    Withdrawn,
    /// The record is gone, and what was told is to go with it.
    Erased,
}

/// One person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    #[serde(with = "hex_octets")]
    pub account: AccountId,
    /// Which fields.
    #[serde(with = "names")]
    pub fields: Vec<Column>,
    /// The row of the record that the person saw: an approval is of what was seen, not of what a
    /// record says later.
    pub record_id: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether one person released alone, to answer for it afterwards.
    pub break_glass: bool,
}

/// One person's denial. It settles its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Who.
    #[serde(with = "hex_octets")]
    pub account: AccountId,
    /// Which fields.
    #[serde(with = "names")]
    pub fields: Vec<Column>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why, as the asking member is told; none if the person did not say.
    #[serde(default)]
    pub reason: Option<DenialReason>,
}

/// A value that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The field.
    #[serde(with = "name")]
    pub field: Column,
    /// Keyed tag of the value, to tell a change.
    #[serde(with = "hex_octets")]
    pub value_tag: [u8; 16],
    /// When it was told last, in milliseconds since 1970.
    pub at_ms: u64,
    /// Keyed tag of the newest value of which the receiver was told that there is one.
    #[serde(default, with = "hex_octets_or_none")]
    pub announced: Option<[u8; 16]>,
}

/// How far the holder's people were told that a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Not at all yet.
    Nothing,
    /// That it is there.
    Waiting,
    /// That half the time of an urgent one has passed.
    HalfTime,
    /// That an urgent one is overdue.
    Overdue,
}

/// The review that follows a release by one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Who released alone what is to be reviewed. Kept here, since approvals lapse.
    #[serde(with = "many_hex_octets")]
    pub released_by: Vec<AccountId>,
    /// Who reviewed; none while it is still to be done.
    #[serde(with = "hex_octets_or_none")]
    pub by: Option<AccountId>,
    /// Whether the release was found right.
    pub upheld: bool,
}

/// A request for disclosure.
#[derive(Serialize, Deserialize)]
pub struct Case {
    /// Its id.
    #[serde(with = "hex_octets")]
    pub request_id: [u8; 16],
    /// Who asks.
    pub member: String,
    /// The lead that it came with.
    #[serde(with = "hex_octets")]
    pub lead_id: [u8; 16],
    /// Pseudonym of the record.
    #[serde(with = "hex_octets")]
    pub subject: [u8; 16],
    /// Keyed tag of who the child is, by the record that the lead was given on.
    #[serde(with = "hex_octets")]
    pub found_identity: [u8; 16],
    /// The grade of the lead, as in the protocol.
    pub grade: u8,
    /// Whether more than names and dates agreed.
    pub corroborated: bool,
    /// What for.
    pub purpose: Purpose,
    /// On what legal ground.
    pub legal_basis: LegalBasis,
    /// The asking party's case reference.
    pub case_reference: String,
    /// Why these fields are needed.
    #[serde(with = "personal")]
    pub justification: PersonalText,
    /// The fields, each once.
    #[serde(with = "names")]
    pub fields: Vec<Column>,
    /// When it was asked, in milliseconds since 1970.
    pub asked_ms: u64,
    /// By when an answer is needed, in milliseconds since 1970, if it is urgent.
    pub answer_by_ms: Option<u64>,
    /// When it ends unless it is decided, or what was granted can be asked for no more.
    pub expires_ms: u64,
    /// What no decision changes any more.
    pub end: Option<End>,
    /// Approvals.
    pub approvals: Vec<Approval>,
    /// Denials.
    pub denials: Vec<Denial>,
    /// What was told so far.
    pub delivered: Vec<Delivered>,
    /// Whether something told has changed since.
    pub corrected: bool,
    /// What people were told of it.
    pub told: Told,
    /// The review of a release by one person, if there was one.
    pub review: Option<Review>,
    /// Whether nothing waits for people any more.
    pub settled: bool,
    /// Whether its end is known from its row alone, since it came back from a backup made before.
    #[serde(skip)]
    pub end_unwritten: bool,
}

/// Where one field of a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldState {
    /// It is told, if the record has it.
    Granted,
    /// People have to decide.
    Waiting {
        /// How many different people have to approve.
        needed: usize,
        /// How many have.
        have: usize,
    },
    /// It is not told.
    Refused,
}

impl FieldState {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Waiting { .. } => "waiting",
            Self::Refused => "refused",
        }
    }
}

/// What a decision rests on: the record as it is now.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Its newest row.
    pub record_id: u64,
    /// Keyed tag of who the child is: a record that says somebody else now is not what was found.
    pub identity: [u8; 16],
    /// How it is to be handled.
    pub facts: RecordFacts,
}

/// Why a person's decision does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// Decided, expired or withdrawn already.
    #[error("the request is {state} and can be decided no more")]
    Closed {
        /// Its state.
        state: &'static str,
    },
    /// It is not what was shown.
    #[error(
        "the request is not what was shown any more: look at it again and decide on what it is now"
    )]
    Edited,
    /// The person entered the record.
    #[error("nobody approves what they entered into the register themselves: somebody else has to")]
    OwnRecord,
    /// The person approved already.
    #[error("you have approved this already: another person has to")]
    ApprovedAlready,
    /// A field that does not wait for a decision.
    #[error("{field} does not wait for a decision: `requests show` says which fields do")]
    NotWaiting {
        /// Its name.
        field: &'static str,
    },
    /// The policy does not let one person release it.
    #[error(
        "the policy does not let one person release {field} alone: two different people have to approve"
    )]
    NoBreakGlass {
        /// Its name.
        field: &'static str,
    },
    /// A review that is not due.
    #[error("there is no release to review, or it was reviewed already")]
    NoReview,
    /// Who released cannot review.
    #[error("nobody reviews their own release: somebody else has to")]
    OwnRelease,
}

impl DecisionError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "REQUEST_CLOSED",
            Self::Edited => "REQUEST_EDITED",
            Self::OwnRecord => "SELF_APPROVAL",
            Self::ApprovedAlready => "APPROVED_ALREADY",
            Self::NotWaiting { .. } => "NOT_WAITING",
            Self::NoBreakGlass { .. } => "BREAK_GLASS_NOT_PERMITTED",
            Self::NoReview => "NO_REVIEW_DUE",
            Self::OwnRelease => "SELF_REVIEW",
        }
    }
}

impl Case {
    /// What the policy is asked about it.
    #[must_use]
    pub fn question(&self, ground: &Ground) -> Question {
        let match_grade = crate::exchange::lookup::rank(crate::linkage::Grade::Match);
        Question {
            member: self.member.clone(),
            purpose: self.purpose,
            legal_basis: self.legal_basis,
            certain: self.grade == match_grade
                && self.corroborated
                && ground.identity == self.found_identity,
            urgent: self.answer_by_ms.is_some(),
            record: ground.facts.clone(),
        }
    }

    /// What one field needs now, policy and floor together.
    #[must_use]
    pub fn needs(&self, policy: &Policy, ground: &Ground, column: Column) -> Needs {
        let question = self.question(ground);
        Floor::of_question(&question).over(policy.verdict(&question, column).needs)
    }

    /// Where one field stands, by the policy, the record and the approvals as they are now.
    #[must_use]
    pub fn field(&self, policy: &Policy, ground: &Ground, column: Column) -> FieldState {
        if self.end.is_some() || self.denies(column) {
            return FieldState::Refused;
        }
        let question = self.question(ground);
        if Floor::of_question(&question).is_closed() {
            return FieldState::Refused;
        }
        let standing = |approval: &&Approval| {
            approval.record_id == ground.record_id && approval.fields.contains(&column)
        };
        let released = self
            .approvals
            .iter()
            .filter(standing)
            .any(|approval| approval.break_glass);
        if released && policy.break_glass(&question, column).is_some() {
            return FieldState::Granted;
        }
        let people: BTreeSet<AccountId> = self
            .approvals
            .iter()
            .filter(standing)
            .map(|approval| approval.account)
            .collect();
        match self.needs(policy, ground, column).approvals() {
            None => FieldState::Refused,
            Some(needed) if people.len() >= needed => FieldState::Granted,
            Some(needed) => FieldState::Waiting {
                needed,
                have: people.len(),
            },
        }
    }

    /// Where every field stands, in the order of the request. Without a record all are refused.
    #[must_use]
    pub fn assess(&self, policy: &Policy, ground: Option<&Ground>) -> Vec<(Column, FieldState)> {
        self.fields
            .iter()
            .map(|&column| {
                let state = ground.map_or(FieldState::Refused, |ground| {
                    self.field(policy, ground, column)
                });
                (column, state)
            })
            .collect()
    }

    /// The state that follows from where its fields stand, and from which of the granted ones the
    /// record has: a refused field and one that the record lacks are the same.
    #[must_use]
    pub fn state(&self, fields: &[(Column, FieldState)], has: impl Fn(Column) -> bool) -> State {
        match self.end {
            Some(End::Expired) => return State::Expired,
            Some(End::TakenBack | End::Withdrawn | End::Erased) => return State::Withdrawn,
            None => {}
        }
        if self.corrected {
            return State::Corrected;
        }
        let granted = fields
            .iter()
            .any(|(column, state)| *state == FieldState::Granted && has(*column));
        let waiting = fields
            .iter()
            .any(|(_, state)| matches!(state, FieldState::Waiting { .. }));
        match (granted, waiting) {
            (true, true) => State::PartlyGranted,
            (true, false) => State::Granted,
            (false, true) => State::Waiting,
            (false, false) => State::Refused,
        }
    }

    /// What a person decides on: SHA-256 over all that they are shown, so that an approval is of
    /// this and of nothing else. Who else has approved does not belong to it.
    #[must_use]
    pub fn digest(&self, policy: &Policy, ground: &Ground) -> [u8; 32] {
        let needs: Vec<(&str, &str)> = self
            .fields
            .iter()
            .map(|&column| (column.name(), self.needs(policy, ground, column).as_str()))
            .collect();
        let shown = serde_json::json!({
            "request": hex::encode(self.request_id),
            "member": self.member,
            "purpose": self.purpose,
            "legal_basis": self.legal_basis,
            "case_reference": self.case_reference,
            "justification": self.justification.expose(),
            "fields": needs,
            "record": ground.record_id,
            "answer_by": self.answer_by_ms,
        });
        let text = Zeroizing::new(shown.to_string());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        hash
    }

    /// The fields that wait for people.
    #[must_use]
    pub fn waiting(&self, policy: &Policy, ground: &Ground) -> Vec<Column> {
        self.assess(policy, Some(ground))
            .into_iter()
            .filter(|(_, state)| matches!(state, FieldState::Waiting { .. }))
            .map(|(column, _)| column)
            .collect()
    }

    /// One person approves fields that wait, all of them if none is named.
    ///
    /// `still` says of an account whether it may approve today: whoever lost the role since does not
    /// count towards two.
    ///
    /// # Errors
    /// [`DecisionError`], and nothing has changed.
    pub fn approve(
        &mut self,
        policy: &Policy,
        ground: &Ground,
        decision: &Decision<'_>,
        still: impl Fn(&AccountId) -> bool,
    ) -> Result<Vec<Column>, DecisionError> {
        let chosen = self.decidable(policy, ground, decision)?;
        let account = decision.account;
        if ground.facts.entered_by.contains(&hex::encode(account)) {
            return Err(DecisionError::OwnRecord);
        }
        self.approvals
            .retain(|approval| still(&approval.account) && approval.record_id == ground.record_id);
        let twice = self.approvals.iter().any(|approval| {
            approval.account == account
                && approval.fields.iter().any(|field| chosen.contains(field))
        });
        if twice && !decision.break_glass {
            return Err(DecisionError::ApprovedAlready);
        }
        if decision.break_glass {
            let question = self.question(ground);
            for &column in &chosen {
                if policy.break_glass(&question, column).is_none() {
                    return Err(DecisionError::NoBreakGlass {
                        field: column.name(),
                    });
                }
            }
            let mut released_by = match self.review.take() {
                Some(review) if review.by.is_none() => review.released_by,
                _ => Vec::new(),
            };
            released_by.push(account);
            self.review = Some(Review {
                released_by,
                by: None,
                upheld: false,
            });
        }
        self.approvals.push(Approval {
            account,
            fields: chosen.clone(),
            record_id: ground.record_id,
            at_ms: decision.now_ms,
            break_glass: decision.break_glass,
        });
        Ok(chosen)
    }

    /// One person denies fields that wait, all of them if none is named.
    ///
    /// # Errors
    /// [`DecisionError`], and nothing has changed.
    pub fn deny(
        &mut self,
        policy: &Policy,
        ground: &Ground,
        decision: &Decision<'_>,
        reason: Option<DenialReason>,
    ) -> Result<Vec<Column>, DecisionError> {
        let chosen = self.decidable(policy, ground, decision)?;
        self.denials.push(Denial {
            account: decision.account,
            fields: chosen.clone(),
            at_ms: decision.now_ms,
            reason,
        });
        Ok(chosen)
    }

    /// Why people denied fields: the newest reason that one of them gave.
    #[must_use]
    pub fn denial_reason(&self) -> Option<DenialReason> {
        self.denials.iter().rev().find_map(|denial| denial.reason)
    }

    fn decidable(
        &self,
        policy: &Policy,
        ground: &Ground,
        decision: &Decision<'_>,
    ) -> Result<Vec<Column>, DecisionError> {
        let waiting = self.waiting(policy, ground);
        if waiting.is_empty() {
            let state = self.state(&self.assess(policy, Some(ground)), |_| true);
            return Err(DecisionError::Closed {
                state: state.as_str(),
            });
        }
        if decision.digest != self.digest(policy, ground) {
            return Err(DecisionError::Edited);
        }
        if decision.fields.is_empty() {
            return Ok(waiting);
        }
        let mut chosen = Vec::new();
        for &column in decision.fields {
            if !waiting.contains(&column) {
                return Err(DecisionError::NotWaiting {
                    field: column.name(),
                });
            }
            if !chosen.contains(&column) {
                chosen.push(column);
            }
        }
        Ok(chosen)
    }

    /// Somebody reviews a release by one person.
    ///
    /// # Errors
    /// [`DecisionError`], and nothing has changed.
    pub fn review(&mut self, account: AccountId, upheld: bool) -> Result<(), DecisionError> {
        match &mut self.review {
            Some(review) if review.by.is_none() => {
                if review.released_by.contains(&account) {
                    return Err(DecisionError::OwnRelease);
                }
                review.by = Some(account);
                review.upheld = upheld;
                Ok(())
            }
            _ => Err(DecisionError::NoReview),
        }
    }

    /// Whether a release by one person is still to be reviewed.
    #[must_use]
    pub fn review_due(&self) -> bool {
        let review = self.review.as_ref();
        review.is_some_and(|review| review.by.is_none())
    }

    /// Drops the approvals of another state of the record than this one. Tells whether there were any.
    pub fn drop_lapsed(&mut self, ground: &Ground) -> bool {
        let before = self.approvals.len();
        self.approvals
            .retain(|approval| approval.record_id == ground.record_id);
        self.approvals.len() < before
    }

    /// Begins the wait anew if it waits again: it was settled, or approvals that counted have lapsed.
    /// Its people are told as of a new request, and it has a new request's time. Tells whether it does.
    pub fn reopen(&mut self, waits: bool, lapsed: bool, now_ms: u64) -> bool {
        let again = self.end.is_none() && waits && (self.settled || lapsed);
        if again {
            self.settled = false;
            self.told = Told::Nothing;
            self.expires_ms = now_ms + super::REQUEST_LIFETIME_MS;
        }
        again
    }

    fn denies(&self, column: Column) -> bool {
        self.denials
            .iter()
            .any(|denial| denial.fields.contains(&column))
    }

    /// Whether the asking member may still keep something that it was told, and nothing has told it to
    /// give that up.
    #[must_use]
    pub fn is_kept(&self, now_ms: u64) -> bool {
        let withdrawn = matches!(self.end, Some(End::Withdrawn | End::Erased));
        let kept = |told: &Delivered| now_ms < told.at_ms.saturating_add(super::RETENTION_MS);
        !withdrawn && self.delivered.iter().any(kept)
    }

    /// When time alone changes it next, in milliseconds since 1970.
    #[must_use]
    pub fn due_ms(&self) -> u64 {
        if self.end.is_some() {
            return NEVER;
        }
        self.next_reminder()
            .map_or(self.expires_ms, |(at_ms, _)| at_ms.min(self.expires_ms))
    }

    /// When people are to be told of it next, and of what.
    #[must_use]
    pub fn next_reminder(&self) -> Option<(u64, Told)> {
        if self.settled || self.end.is_some() {
            return None;
        }
        match (self.told, self.answer_by_ms) {
            (Told::Nothing, _) => Some((0, Told::Waiting)),
            (Told::Waiting, Some(by)) => {
                let half = self.asked_ms + by.saturating_sub(self.asked_ms) / 2;
                Some((half, Told::HalfTime))
            }
            (Told::HalfTime, Some(by)) => Some((by, Told::Overdue)),
            (Told::Waiting | Told::HalfTime, None) | (Told::Overdue, _) => None,
        }
    }

    /// The case as it is kept.
    ///
    /// # Errors
    /// Never for a case that was read or made here.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        serde_json::to_vec(self).map(Zeroizing::new)
    }

    /// A case that was kept.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// What a person decides.
pub struct Decision<'a> {
    /// Who.
    pub account: AccountId,
    /// Which fields; all that wait if empty.
    pub fields: &'a [Column],
    /// Digest of the request as it was shown.
    pub digest: [u8; 32],
    /// Whether it is a release by one person alone.
    pub break_glass: bool,
    /// When, in milliseconds since 1970.
    pub now_ms: u64,
}

mod hex_octets {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer, const N: usize>(
        octets: &[u8; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(octets))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        let mut octets = [0; N];
        hex::decode_to_slice(text, &mut octets).map_err(de::Error::custom)?;
        Ok(octets)
    }
}

mod many_hex_octets {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(many: &[[u8; 16]], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(many.iter().map(hex::encode))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[u8; 16]>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| {
                let mut octets = [0; 16];
                hex::decode_to_slice(text, &mut octets).map_err(de::Error::custom)?;
                Ok(octets)
            })
            .collect()
    }
}

mod hex_octets_or_none {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(octets: &Option<[u8; 16]>, to: S) -> Result<S::Ok, S::Error> {
        match octets {
            Some(octets) => to.serialize_some(&hex::encode(octets)),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 16]>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        let mut octets = [0; 16];
        hex::decode_to_slice(text, &mut octets).map_err(de::Error::custom)?;
        Ok(Some(octets))
    }
}

pub(super) mod name {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::records::Column;

    pub fn serialize<S: Serializer>(column: &Column, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(column.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Column, D::Error> {
        let name = String::deserialize(from)?;
        Column::from_name(&name).ok_or_else(|| de::Error::custom("no field has this name"))
    }
}

pub(super) mod names {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::records::Column;

    pub fn serialize<S: Serializer>(columns: &[Column], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(columns.iter().map(|column| column.name()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Column>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|name| {
                Column::from_name(name).ok_or_else(|| de::Error::custom("no field has this name"))
            })
            .collect()
    }
}

mod personal {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::vault::PersonalText;

    pub fn serialize<S: Serializer>(text: &PersonalText, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PersonalText, D::Error> {
        String::deserialize(from).map(PersonalText::new)
    }
}

#[cfg(test)]
mod tests;
