//! What every log has: a beginning, time that passes, one answer to one query, a question before
//! each answer that came in, and fields told only on a lead that was handed out.
//!
//! The leaves go by once and are not kept. What one leaf has to be held against another for is
//! remembered as long as the two can lie apart: the leaves of one query lie within the validity of
//! its message, which the evidence behind each of them shows, and a lead, with the requests made on
//! it and what was granted to them, ends after ninety days.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::behind::{Insight, QuerySays};
use super::entry::Entry;
use super::finding::{Fault, Place};
use crate::exchange::disclose::{GRANT_LIFETIME_MS, REQUEST_LIFETIME_MS};
use crate::exchange::lookup::LEAD_LIFETIME_MS;
use crate::exchange::message::{CLOCK_SKEW_MS, MAX_LIFETIME_MS};
use crate::oprf::pseudonym::PseudonymPublicKey;
use crate::proto::exchange as pb;
use crate::roster::{Bytes32, MemberId};
use crate::tlog::TreeHead;

/// How far a leaf's time may lie before that of the leaf before it: acts are timed before they are
/// put in order.
pub(super) const DISORDER_MS: u64 = 5 * CLOCK_SKEW_MS;

/// How far two leaves of one query can lie apart: each lies within the message's lifetime, and at
/// most a lifetime and the clocks' skew outside of it.
const APART_MS: u64 = 3 * MAX_LIFETIME_MS + 2 * CLOCK_SKEW_MS + DISORDER_MS;

/// How long a lead is remembered after it was handed out or last made use of: on its last day fields
/// may be asked for, the request may wait to its end for people, and what they granted be fetched as
/// late as it counts.
const LEAD_MS: u64 = LEAD_LIFETIME_MS
    + REQUEST_LIFETIME_MS
    + GRANT_LIFETIME_MS
    + MAX_LIFETIME_MS
    + CLOCK_SKEW_MS
    + DISORDER_MS;

/// The first half of a digest: 128 bits are enough to tell queries apart.
type Half = [u8; 16];

/// What is remembered of the leaves that went by.
#[derive(Clone, Default)]
pub(super) struct Shape {
    newest_ms: u64,
    asked: Recent<Half, u64>,
    answered: Recent<Half, u64>,
    leads: Recent<Half, (Option<MemberId>, Half)>,
    pseudonym_key: Option<PseudonymPublicKey>,
    /// Whether something could not be read, that may be what is looked for.
    torn: bool,
    /// When the log began, if it continues one that was given up: leads may stand in that one.
    continued_ms: Option<u64>,
}

/// Things that are forgotten once they are too old to matter.
#[derive(Clone)]
struct Recent<K, V> {
    /// With the time at which each was last put in.
    known: HashMap<K, (u64, V)>,
    order: VecDeque<(u64, K)>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Copy + Eq + std::hash::Hash, V> Recent<K, V> {
    fn insert(&mut self, time_ms: u64, key: K, value: V) -> Option<V> {
        self.order.push_back((time_ms, key));
        let before = self.known.insert(key, (time_ms, value))?;
        Some(before.1)
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.known.get(key).map(|(_, value)| value)
    }

    /// Remembers from now on what is known already.
    fn refresh(&mut self, time_ms: u64, key: K) {
        if let Some((at, _)) = self.known.get_mut(&key)
            && *at < time_ms
        {
            *at = time_ms;
            self.order.push_back((time_ms, key));
        }
    }

    /// All that is known, in the order in which it is forgotten.
    fn all(&self) -> impl Iterator<Item = (u64, &K, &V)> {
        self.order.iter().filter_map(|(at, key)| {
            let (last, value) = self.known.get(key)?;
            (last == at).then_some((*at, key, value))
        })
    }

    fn forget_before(&mut self, time_ms: u64) {
        while let Some((at, key)) = self.order.front() {
            if *at >= time_ms {
                return;
            }
            if self.known.get(key).is_some_and(|(last, _)| last == at) {
                self.known.remove(key);
            }
            self.order.pop_front();
        }
    }
}

impl Shape {
    /// The key under which the node's pseudonyms are proved, from the log's first leaf.
    pub(super) fn pseudonym_key(&self) -> Option<PseudonymPublicKey> {
        self.pseudonym_key
    }

    /// A leaf could not be read.
    pub(super) fn missed_leaf(&mut self) {
        self.torn = true;
    }

    /// Takes the next leaf.
    pub(super) fn leaf(&mut self, index: u64, entry: &Entry) -> Vec<(Place, Fault)> {
        let mut faults = Vec::new();
        let mut fault = |fault: Fault| faults.push((Place::Leaf(index), fault));
        if index == 0 {
            self.pseudonym_key = first_key(entry);
            if self.pseudonym_key.is_none() {
                fault(Fault::NoBeginning);
            }
            self.continued_ms = continues(entry).then_some(entry.time_ms);
        } else if entry.act == pb::Act::LogStarted {
            fault(Fault::SecondBeginning);
        }
        // A clock that was wrong and is set right is said to have been; what is not said is a fault.
        if entry.act == pb::Act::ClockSetBack {
            self.newest_ms = entry.time_ms;
        }
        let behind = self.newest_ms.saturating_sub(entry.time_ms);
        if behind > DISORDER_MS {
            fault(Fault::BackInTime {
                seconds: behind / 1000,
            });
        }
        self.newest_ms = self.newest_ms.max(entry.time_ms);
        self.forget();
        let Some(digest) = entry.query_digest.as_ref().map(half) else {
            return faults;
        };
        match entry.act {
            pb::Act::EvaluationAsked
            | pb::Act::LookupAsked
            | pb::Act::DisclosureAsked
            | pb::Act::NoticeAsked => {
                self.asked.insert(entry.time_ms, digest, index);
            }
            pb::Act::EvaluationReceived
            | pb::Act::LookupReceived
            | pb::Act::DisclosureReceived
            | pb::Act::NoticeReceived
                if !self.torn && !self.asked.known.contains_key(&digest) =>
            {
                fault(Fault::NotAsked);
            }
            pb::Act::EvaluationAnswered
            | pb::Act::LookupAnswered
            | pb::Act::DisclosureAnswered
            | pb::Act::NoticeAnswered
            | pb::Act::AuditAnswered => {
                if let Some(earlier) = self.answered.insert(entry.time_ms, digest, index) {
                    fault(Fault::AnsweredTwice { earlier });
                }
            }
            _ => {}
        }
        faults
    }

    /// Takes what the evidence behind a leaf says.
    pub(super) fn evidence(
        &mut self,
        index: u64,
        entry: &Entry,
        insight: &Insight,
    ) -> Option<(Place, Fault)> {
        // By the leaf's own time: those of a whole part go by before the evidence behind the first.
        self.leads
            .forget_before(entry.time_ms.saturating_sub(LEAD_MS));
        match (entry.act, &insight.outcome, &insight.query) {
            (pb::Act::LookupAnswered, None, _) => {
                self.torn = true;
                None
            }
            (pb::Act::LookupAnswered, Some(outcome), _) => {
                for line in &outcome.subjects {
                    let (Ok(lead), Ok(subject)) = (
                        line.lead_id.as_slice().try_into(),
                        line.subject.as_slice().try_into(),
                    ) else {
                        continue;
                    };
                    self.leads
                        .insert(entry.time_ms, lead, (entry.peer.clone(), subject));
                }
                None
            }
            (pb::Act::DisclosureAnswered, _, QuerySays::Disclosure { lead_id, .. }) => {
                let lead: Option<Half> = lead_id.as_slice().try_into().ok();
                if let Some(lead) = lead {
                    self.leads.refresh(entry.time_ms, lead);
                }
                let fault = match lead.and_then(|lead| self.leads.get(&lead)) {
                    None if self.torn || self.may_be_of_before(entry) => return None,
                    None => Fault::UnknownLead,
                    Some((peer, _)) if *peer != entry.peer => Fault::UnknownLead,
                    Some((_, subject)) if entry.subject.as_ref() != Some(subject) => {
                        Fault::OtherRecord
                    }
                    Some(_) => return None,
                };
                Some((Place::Leaf(index), fault))
            }
            _ => None,
        }
    }

    fn forget(&mut self) {
        let before = self.newest_ms.saturating_sub(APART_MS);
        self.asked.forget_before(before);
        self.answered.forget_before(before);
    }

    /// Whether a lead made use of at a leaf may have been handed out in a log that was given up.
    fn may_be_of_before(&self, entry: &Entry) -> bool {
        self.continued_ms
            .is_some_and(|began| entry.time_ms <= began.saturating_add(LEAD_MS))
    }
}

/// A log that was given up, as the first leaf of the one that continues it states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    /// Its name.
    pub origin: String,
    /// Its leaves and their root, as far as the node knew them.
    pub head: TreeHead,
}

impl Continued {
    /// What a log's first leaf says of the log that it continues; nothing if it continues none.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        if !continues(entry) {
            return None;
        }
        let value = |name: &str| {
            let mut words = entry.reference.split(' ').skip(1);
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let mut root = [0; 32];
        hex::decode_to_slice(value("root")?, &mut root).ok()?;
        Some(Self {
            origin: value("after")?.to_owned(),
            head: TreeHead {
                size: value("size")?.parse().ok()?,
                root,
            },
        })
    }
}

/// Whether a log's first leaf says that it continues one that was given up.
pub(super) fn continues(entry: &Entry) -> bool {
    let mut words = entry.reference.split(' ').skip(1);
    entry.act == pb::Act::LogStarted && words.any(|word| word.starts_with("after="))
}

fn first_key(entry: &Entry) -> Option<PseudonymPublicKey> {
    if entry.act != pb::Act::LogStarted {
        return None;
    }
    // What may follow the key tells of a log that this one continues.
    let key = entry.reference.split(' ').next().unwrap_or_default();
    let mut bytes = [0; 32];
    hex::decode_to_slice(key, &mut bytes).ok()?;
    PseudonymPublicKey::from_bytes(bytes).ok()
}

fn half(digest: &[u8; 32]) -> Half {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// The same as it is kept between two readings.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShapeText {
    newest_ms: u64,
    pseudonym_key: Option<Bytes32>,
    /// Time, digest, leaf.
    asked: Vec<(u64, String, u64)>,
    answered: Vec<(u64, String, u64)>,
    /// Time, lead, party, pseudonym.
    leads: Vec<(u64, String, Option<MemberId>, String)>,
    #[serde(default)]
    continued_ms: Option<u64>,
}

impl Shape {
    pub(super) fn to_text(&self) -> ShapeText {
        let digests = |recent: &Recent<Half, u64>| {
            recent
                .all()
                .map(|(at, key, index)| (at, hex::encode(key), *index))
                .collect()
        };
        ShapeText {
            newest_ms: self.newest_ms,
            pseudonym_key: self.pseudonym_key.map(|key| Bytes32::new(*key.as_bytes())),
            asked: digests(&self.asked),
            answered: digests(&self.answered),
            leads: self
                .leads
                .all()
                .map(|(at, lead, (peer, subject))| {
                    (at, hex::encode(lead), peer.clone(), hex::encode(subject))
                })
                .collect(),
            continued_ms: self.continued_ms,
        }
    }

    /// Nothing if a value has another form than it was written in.
    pub(super) fn from_text(text: ShapeText) -> Option<Self> {
        let read = |text: &str| {
            let mut half: Half = [0; 16];
            hex::decode_to_slice(text, &mut half).ok()?;
            Some(half)
        };
        let digests = |list: Vec<(u64, String, u64)>| {
            let mut recent = Recent::default();
            for (at, key, index) in list {
                recent.insert(at, read(&key)?, index);
            }
            Some(recent)
        };
        let mut leads = Recent::default();
        for (at, lead, peer, subject) in text.leads {
            leads.insert(at, read(&lead)?, (peer, read(&subject)?));
        }
        let pseudonym_key = match text.pseudonym_key {
            Some(key) => Some(PseudonymPublicKey::from_bytes(*key.as_bytes()).ok()?),
            None => None,
        };
        Some(Self {
            newest_ms: text.newest_ms,
            asked: digests(text.asked)?,
            answered: digests(text.answered)?,
            leads,
            pseudonym_key,
            torn: false,
            continued_ms: text.continued_ms,
        })
    }
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
