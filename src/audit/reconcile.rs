//! Do both sides tell the same story?
//!
//! Every exchange between two members stands in both their logs: the question in the one that
//! asked, the answer in the one that was asked, and its arrival in the first again. Each leaf of
//! the one is held against its partner in the other.
//!
//! Logs grow while they are read. Therefore each is read twice: every leaf of the first reading is
//! looked for in the second reading of the other log, which began after the first had ended. A
//! question is durable before it leaves, and an answer before it leaves, so what a leaf tells of
//! must stand there by then.
//!
//! Logs in a file were read at times that nobody vouches for. There a receipt proves that its leaf
//! stands in the tree that the other log shows, and the time of a question that it would, by the time
//! of the leaves there.
//!
//! A leaf by itself accuses nobody: its owner wrote it. What is denied is what the other party signed,
//! and that is the evidence behind the leaf.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use super::auditor::Auditor;
use super::behind::{Insight, PromiseOf};
use super::entry::Entry;
use super::finding::{Fault, Finding, Place};
use super::shape::continues;
use super::verify::{Progress, Reading, Verification, read_on, verify};
use super::words;
use crate::exchange::message::{CLOCK_SKEW_MS, MAX_LIFETIME_MS};
use crate::locale::Lang;
use crate::proto::exchange as pb;
use crate::roster::{Member, MemberId, TrustedRoster};

/// What holding logs against each other came to.
pub struct Reconciliation {
    /// The logs, as they were read.
    pub logs: Vec<Verification>,
    /// Questions that have their answer in the other log.
    pub matched: u64,
    /// Questions without an answer, and answers that did not arrive. No fault by itself: a
    /// message can be lost on the way, and one cannot tell from the logs who dropped it.
    pub open: Vec<Loose>,
    /// Questions that the other side refused.
    pub refused: Vec<Loose>,
    /// What does not hold between the logs. What does not hold within one is with that log.
    pub findings: Vec<Finding>,
}

/// A leaf whose exchange did not come to its end.
pub struct Loose {
    /// Whose log.
    pub member: MemberId,
    /// The leaf.
    pub leaf_index: u64,
    /// The act.
    pub act: pb::Act,
    /// The other party.
    pub peer: MemberId,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The reason code of a refusal.
    pub code: Option<String>,
}

impl Reconciliation {
    /// Whether nothing was found, within the logs or between them.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty() && self.logs.iter().all(Verification::holds)
    }
}

/// Is given every leaf of every log with what the evidence behind it says.
pub type VisitEach<'a> = &'a mut (dyn FnMut(&MemberId, u64, &Entry, &Insight) + Send);

/// Reads the logs of `members` and holds each against each.
pub async fn reconcile(
    auditor: &Auditor,
    members: &[(&Member, Reading<'_>)],
    progress: Progress<'_>,
    visit: VisitEach<'_>,
) -> Reconciliation {
    let mut logs = Vec::with_capacity(members.len());
    let mut proofs = Proofs::default();
    for (member, reading) in members {
        // The whole log is read and kept: a partner may stand anywhere.
        let reading = Reading {
            only_new: false,
            keep: true,
            ..*reading
        };
        let log = verify(
            auditor,
            member,
            reading,
            progress,
            &mut |index, entry, insight| {
                visit(&member.id, index, entry, insight);
                proofs.take(&member.id, index, entry, insight);
            },
        )
        .await;
        logs.push(log);
    }
    let read: Vec<u64> = logs.iter().map(Verification::size).collect();
    for (log, (member, _)) in logs.iter_mut().zip(members) {
        read_on(auditor, member, log).await;
    }
    compare(logs, &proofs, Readings::Twice(&read))
}

/// What the evidence behind the leaves of some logs proves of the owners of the others.
#[derive(Default)]
pub(super) struct Proofs {
    /// The receipts of others, by whose log keeps them at which leaf.
    promises: BTreeMap<(MemberId, u64), PromiseOf>,
    /// The leaves behind which stands what the other party signed.
    signed: BTreeMap<MemberId, HashSet<u64>>,
}

impl Proofs {
    /// Takes what the evidence behind a leaf of `owner` says.
    pub(super) fn take(&mut self, owner: &MemberId, index: u64, entry: &Entry, insight: &Insight) {
        if let Some(promise) = &insight.promise
            && promise.holder != *owner
        {
            let place = (owner.clone(), index);
            self.promises.insert(place, promise.clone());
        }
        let signed = match role(entry.act) {
            Some(Role::Answered | Role::Refused) => insight.query_held,
            Some(Role::Received) => insight.answer_held,
            Some(Role::Asked) | None => false,
        };
        if signed {
            let leaves = self.signed.entry(owner.clone()).or_default();
            leaves.insert(index);
        }
    }

    fn signed(&self, owner: &MemberId, index: u64) -> bool {
        let leaves = self.signed.get(owner);
        leaves.is_some_and(|leaves| leaves.contains(&index))
    }
}

/// How logs were read that are held against each other.
#[derive(Clone, Copy)]
pub(super) enum Readings<'a> {
    /// Each twice, all a second time after all were read the first time; so many leaves of each came in
    /// the first reading.
    Twice(&'a [u64]),
    /// Each at some time, nobody knows which before which.
    Loose,
}

/// Holds logs against each other.
pub(super) fn compare(
    logs: Vec<Verification>,
    proofs: &Proofs,
    readings: Readings<'_>,
) -> Reconciliation {
    let sides: BTreeMap<MemberId, Side<'_>> = logs
        .iter()
        .map(|log| (log.member.clone(), Side::of(log)))
        .collect();
    let mut story = Story {
        proofs,
        readings,
        matched: 0,
        open: Vec::new(),
        refused: Vec::new(),
        findings: Vec::new(),
    };
    for (number, log) in logs.iter().enumerate() {
        let first = match readings {
            Readings::Twice(read) => read.get(number).copied().unwrap_or(0),
            Readings::Loose => u64::MAX,
        };
        for (index, entry) in log.leaves().take_while(|(index, _)| *index < first) {
            let Some(peer) = &entry.peer else { continue };
            let (Some(other), Some(digest)) = (sides.get(peer), entry.query_digest) else {
                continue;
            };
            story.hold(&log.member, index, entry, peer, other, &digest);
        }
    }
    let broken = broken_promises(&logs, proofs, readings);
    let Story {
        matched,
        open,
        refused,
        mut findings,
        ..
    } = story;
    findings.extend(broken);
    Reconciliation {
        matched,
        open,
        refused,
        findings,
        logs,
    }
}

/// One log, by the digests of queries.
#[derive(Default)]
struct Side<'a> {
    asked: HashMap<[u8; 32], (u64, &'a Entry)>,
    received: HashMap<[u8; 32], (u64, &'a Entry)>,
    answered: HashMap<[u8; 32], (u64, &'a Entry)>,
    refused: HashMap<[u8; 32], (u64, &'a Entry)>,
    /// Whether leaves of this log could not be read: then nothing can be said to be missing.
    torn: bool,
    /// Leaves in it.
    size: u64,
    /// The latest time that a leaf of it states.
    newest_ms: u64,
    /// When this log began, if it continues one that was given up: that one told of what was before.
    continues_ms: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Asked,
    Received,
    Answered,
    Refused,
}

fn role(act: pb::Act) -> Option<Role> {
    match act {
        pb::Act::EvaluationAsked
        | pb::Act::LookupAsked
        | pb::Act::DisclosureAsked
        | pb::Act::NoticeAsked => Some(Role::Asked),
        pb::Act::EvaluationReceived
        | pb::Act::LookupReceived
        | pb::Act::DisclosureReceived
        | pb::Act::NoticeReceived => Some(Role::Received),
        pb::Act::EvaluationAnswered
        | pb::Act::LookupAnswered
        | pb::Act::DisclosureAnswered
        | pb::Act::NoticeAnswered => Some(Role::Answered),
        pb::Act::QueryRefused => Some(Role::Refused),
        _ => None,
    }
}

/// Evaluation, lookup or disclosure.
fn kind(act: pb::Act) -> u8 {
    match act {
        pb::Act::EvaluationAsked | pb::Act::EvaluationReceived | pb::Act::EvaluationAnswered => 1,
        pb::Act::LookupAsked | pb::Act::LookupReceived | pb::Act::LookupAnswered => 2,
        pb::Act::DisclosureAsked | pb::Act::DisclosureReceived | pb::Act::DisclosureAnswered => 3,
        pb::Act::NoticeAsked | pb::Act::NoticeReceived | pb::Act::NoticeAnswered => 4,
        _ => 0,
    }
}

impl<'a> Side<'a> {
    fn of(log: &'a Verification) -> Self {
        let mut side = Self {
            torn: log.torn(),
            size: log.size(),
            ..Self::default()
        };
        for (index, entry) in log.leaves() {
            side.newest_ms = side.newest_ms.max(entry.time_ms);
            if index == 0 && continues(entry) {
                side.continues_ms = Some(entry.time_ms);
            }
            let (Some(role), Some(digest)) = (role(entry.act), entry.query_digest) else {
                continue;
            };
            let leaves = match role {
                Role::Asked => &mut side.asked,
                Role::Received => &mut side.received,
                Role::Answered => &mut side.answered,
                Role::Refused => &mut side.refused,
            };
            leaves.entry(digest).or_insert((index, entry));
        }
        side
    }

    /// Whether what happened then may stand in a log that was given up.
    fn may_be_of_before(&self, time_ms: u64) -> bool {
        self.continues_ms
            .is_some_and(|began| time_ms <= began.saturating_add(CLOCK_SKEW_MS))
    }
}

struct Story<'a> {
    proofs: &'a Proofs,
    readings: Readings<'a>,
    matched: u64,
    open: Vec<Loose>,
    refused: Vec<Loose>,
    findings: Vec<Finding>,
}

impl Story<'_> {
    /// Looks for the partner of one leaf of `owner` in the log of `peer`.
    fn hold(
        &mut self,
        owner: &MemberId,
        index: u64,
        entry: &Entry,
        peer: &MemberId,
        other: &Side<'_>,
        digest: &[u8; 32],
    ) {
        let loose = |code: Option<String>| Loose {
            member: owner.clone(),
            leaf_index: index,
            act: entry.act,
            peer: peer.clone(),
            time_ms: entry.time_ms,
            code,
        };
        match role(entry.act) {
            Some(Role::Asked) => {
                if let Some((there, answered)) = other.answered.get(digest) {
                    self.matched += 1;
                    self.differ(owner, index, peer, *there, ask_differs(entry, answered));
                } else if let Some((_, refused)) = other.refused.get(digest) {
                    self.refused
                        .push(loose(Some(refused.reference.to_string())));
                } else {
                    self.open.push(loose(None));
                }
            }
            Some(Role::Received) => match other.answered.get(digest) {
                Some((there, answered)) => {
                    let what = receipt_differs(entry, *there, answered);
                    self.differ(owner, index, peer, *there, what);
                }
                None if other.torn => {}
                None if self.denied(owner, index, entry, other) => self.findings.push(Finding {
                    member: peer.clone(),
                    place: Place::Log,
                    fault: Fault::AnswerDenied {
                        peer: owner.clone(),
                        leaf: index,
                    },
                }),
                None => self.open.push(loose(None)),
            },
            Some(Role::Answered) => {
                if other.asked.contains_key(digest) {
                    if !other.received.contains_key(digest) {
                        self.open.push(loose(None));
                    }
                } else if self.denied(owner, index, entry, other) {
                    self.findings.push(query_denied(owner, index, peer));
                } else if !other.torn {
                    self.open.push(loose(None));
                }
            }
            // What was refused may have been anything: that alone is not told of.
            Some(Role::Refused)
                if !other.asked.contains_key(digest) && self.denied(owner, index, entry, other) =>
            {
                self.findings.push(query_denied(owner, index, peer));
            }
            Some(Role::Refused) | None => {}
        }
    }

    /// Whether the other log, which has no partner of this leaf, would have to have one: the other party
    /// signed what stands behind the leaf, and its log was read to where the partner would stand.
    fn denied(&self, owner: &MemberId, index: u64, entry: &Entry, other: &Side<'_>) -> bool {
        let reached = match (self.readings, role(entry.act)) {
            (Readings::Twice(_), _) => true,
            (Readings::Loose, Some(Role::Received)) => {
                let receipt = self.proofs.promises.get(&(owner.clone(), index));
                receipt.is_some_and(|receipt| receipt.head.size <= other.size)
            }
            (Readings::Loose, _) => {
                let latest = entry
                    .time_ms
                    .saturating_add(MAX_LIFETIME_MS + CLOCK_SKEW_MS);
                other.newest_ms > latest
            }
        };
        reached
            && !other.torn
            && !other.may_be_of_before(entry.time_ms)
            && self.proofs.signed(owner, index)
    }

    fn differ(
        &mut self,
        owner: &MemberId,
        index: u64,
        peer: &MemberId,
        there: u64,
        what: Option<&'static str>,
    ) {
        if let Some(what) = what {
            self.findings.push(Finding {
                member: owner.clone(),
                place: Place::Leaf(index),
                fault: Fault::OtherStory {
                    peer: peer.clone(),
                    leaf: there,
                    what,
                },
            });
        }
    }
}

fn query_denied(owner: &MemberId, index: u64, peer: &MemberId) -> Finding {
    Finding {
        member: peer.clone(),
        place: Place::Log,
        fault: Fault::QueryDenied {
            peer: owner.clone(),
            leaf: index,
        },
    }
}

/// How the leaf of the answer differs from that of the question, if it does.
fn ask_differs(asked: &Entry, answered: &Entry) -> Option<&'static str> {
    if kind(asked.act) != kind(answered.act) {
        return Some("the kind of act");
    }
    if asked.message_id != answered.message_id {
        return Some("the message id");
    }
    if asked.purpose != answered.purpose {
        return Some("the purpose");
    }
    if asked.legal_basis != answered.legal_basis {
        return Some("the legal basis");
    }
    // A disclosure's leaves count what was asked for and what was given.
    if kind(asked.act) != 3 && asked.count != answered.count {
        return Some("the count");
    }
    let earliest = asked.time_ms.saturating_sub(CLOCK_SKEW_MS);
    let latest = asked
        .time_ms
        .saturating_add(MAX_LIFETIME_MS + CLOCK_SKEW_MS);
    (!(earliest..=latest).contains(&answered.time_ms)).then_some("the time")
}

/// How the leaf of the answer differs from that of its arrival, if it does.
fn receipt_differs(received: &Entry, there: u64, answered: &Entry) -> Option<&'static str> {
    if kind(received.act) != kind(answered.act) {
        return Some("the kind of act");
    }
    if received.answer_digest != answered.answer_digest {
        return Some("the answer");
    }
    if *received.reference != *there.to_string() {
        return Some("the leaf that the receipt names");
    }
    let earliest = answered.time_ms.saturating_sub(CLOCK_SKEW_MS);
    let latest = answered
        .time_ms
        .saturating_add(MAX_LIFETIME_MS + CLOCK_SKEW_MS);
    (!(earliest..=latest).contains(&received.time_ms)).then_some("the time")
}

/// Holds every receipt that a member has of another against the other's log: the tree that it
/// promised must be a tree of that log.
fn broken_promises(logs: &[Verification], proofs: &Proofs, readings: Readings<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A log that came in a file may have been read before the receipt was given.
    let read_after = matches!(readings, Readings::Twice(_));
    for log in logs {
        let mine: Vec<_> = proofs
            .promises
            .iter()
            .filter(|(_, promise)| promise.holder == log.member)
            .collect();
        let sizes: BTreeSet<u64> = mine.iter().map(|(_, promise)| promise.head.size).collect();
        let roots = log.roots(&sizes);
        let size = log.size();
        let torn = log.torn();
        for ((holder, leaf), promise) in mine {
            let why = match roots.get(&promise.head.size) {
                Some(root) if *root == promise.head.root => continue,
                // Where leaves were altered, the roots after them tell nothing of the promise.
                Some(_) if torn => continue,
                Some(_) => format!(
                    "it was given under another history of the first {} leaves",
                    promise.head.size
                ),
                None if promise.head.size > size && !torn && read_after => format!(
                    "it was given under {} leaves, and the log has {size}",
                    promise.head.size
                ),
                None => continue,
            };
            findings.push(Finding {
                member: log.member.clone(),
                place: Place::Leaf(promise.leaf_index),
                fault: Fault::BrokenPromise {
                    peer: holder.clone(),
                    leaf: *leaf,
                    why,
                },
            });
        }
    }
    findings
}

impl Loose {
    /// The leaf in one plain sentence.
    #[must_use]
    pub fn sentence(&self, lang: Lang, roster: &TrustedRoster) -> String {
        let id = match (&self.code, role(self.act)) {
            (Some(_), _) => "loose-refused",
            (None, Some(Role::Answered)) => "loose-answered",
            (None, Some(Role::Received)) => "loose-received",
            (None, _) => "loose-asked",
        };
        let code = self.code.clone().unwrap_or_default();
        lang.with(
            id,
            &[
                ("at", words::moment(self.time_ms).into()),
                ("own", words::party(roster, &self.member).into()),
                ("peer", words::party(roster, &self.peer).into()),
                ("leaf", self.leaf_index.to_string().into()),
                ("code", code.into()),
            ],
        )
    }

    /// The leaf as machines read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "member": self.member,
            "leaf_index": self.leaf_index,
            "act": words::act_name(self.act),
            "peer": self.peer,
            "time_ms": self.time_ms,
            "code": self.code,
        })
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
