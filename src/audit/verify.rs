//! Reading a node's whole log, and everything behind it, and saying where it does not hold.
//!
//! The order is: the checkpoint that the node gives anyone; the leaves, with the checkpoint that
//! covers the very request for them; the root; what was signed before; the evidence. Nothing that
//! fails ends the reading, as long as there is something left to read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::auditor::{AuditError, Auditor};
use super::behind::{self, Insight, QuerySays};
use super::entry::Entry;
use super::finding::{Fault, Finding, Place};
use super::last::{LastVerified, verify_checkpoint};
use super::locate::{self, locate};
use crate::envelope::merkle::Hash;
use crate::exchange::message::CLOCK_SKEW_MS;
use crate::oprf::pseudonym::PseudonymPublicKey;
use crate::proto::exchange as pb;
use crate::roster::{Member, MemberId};
use crate::tlog::{CheckError, Frontier, LogChecker, TreeHead, VerifiedCheckpoint, proof};

/// How far a leaf's time may lie before that of the leaf before it: acts are timed before they are
/// put in order.
const DISORDER_MS: u64 = 5 * CLOCK_SKEW_MS;

/// Is told how far a reading is: what is read, how much is done, of how much.
pub type Progress<'a> = &'a (dyn Fn(&str, u64, u64) + Sync);

/// Is given every leaf with what the evidence behind it says.
pub type Visit<'a> = &'a mut (dyn FnMut(u64, &Entry, &Insight) + Send);

/// How a log is to be read.
#[derive(Clone, Copy, Default)]
pub struct Reading<'a> {
    /// What was verified the last time.
    pub last: Option<&'a LastVerified>,
    /// Whether to read only what is new since then.
    pub only_new: bool,
}

/// What a reading came to.
pub struct Verification {
    /// Whose log.
    pub member: MemberId,
    /// The first leaf that was read.
    pub start: u64,
    /// The leaves from there on; those that could not be read are nothing.
    pub entries: Vec<Option<Entry>>,
    /// The checkpoint that covers them, if it holds.
    pub checkpoint: Option<VerifiedCheckpoint>,
    /// Leaves whose evidence was checked.
    pub evidence: u64,
    /// Everything that does not hold.
    pub findings: Vec<Finding>,
    /// What to remember of this reading, if the log holds.
    pub last: Option<LastVerified>,
    /// The leaves' hashes as they are under the root.
    hashes: Vec<Option<Hash>>,
    /// The tree before the first leaf that was read.
    base: Frontier,
}

/// A tree that the node is known to have signed.
struct Signed {
    head: TreeHead,
    note: String,
    place: Place,
}

impl Verification {
    fn new(member: &Member, base: Frontier) -> Self {
        Self {
            member: member.id.clone(),
            start: base.size(),
            entries: Vec::new(),
            checkpoint: None,
            evidence: 0,
            findings: Vec::new(),
            last: None,
            hashes: Vec::new(),
            base,
        }
    }

    /// A reading as tests need it.
    #[cfg(test)]
    pub(super) fn sample(
        member: &Member,
        entries: Vec<Entry>,
        hashes: Vec<Hash>,
        checkpoint: VerifiedCheckpoint,
    ) -> Self {
        Self {
            entries: entries.into_iter().map(Some).collect(),
            hashes: hashes.into_iter().map(Some).collect(),
            checkpoint: Some(checkpoint),
            ..Self::new(member, Frontier::new())
        }
    }

    /// Leaves in the log, as far as it was read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// Whether everything holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// A leaf that was read.
    #[must_use]
    pub fn entry(&self, leaf_index: u64) -> Option<&Entry> {
        let slot = usize::try_from(leaf_index.checked_sub(self.start)?).ok()?;
        self.entries.get(slot)?.as_ref()
    }

    /// All leaves that were read, with their places.
    pub fn leaves(&self) -> impl Iterator<Item = (u64, &Entry)> {
        (self.start..)
            .zip(&self.entries)
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    /// The key under which the node's pseudonyms are proved, from the log's first leaf.
    #[must_use]
    pub fn pseudonym_key(&self) -> Option<PseudonymPublicKey> {
        let first = self.entry(0)?;
        if first.act != pb::Act::LogStarted {
            return None;
        }
        let mut bytes = [0; 32];
        let (key, _) = first
            .reference
            .split_once(' ')
            .unwrap_or((&first.reference, ""));
        hex::decode_to_slice(key, &mut bytes).ok()?;
        PseudonymPublicKey::from_bytes(bytes).ok()
    }

    /// The root of the tree of each of these sizes, as far as it can be told.
    pub(super) fn roots(&self, sizes: &BTreeSet<u64>) -> BTreeMap<u64, Hash> {
        let mut roots = BTreeMap::new();
        let mut frontier = self.base.clone();
        let mut hashes = self.hashes.iter();
        for &size in sizes.range(self.base.size()..) {
            while frontier.size() < size {
                let Some(Some(hash)) = hashes.next() else {
                    return roots;
                };
                frontier.append_each(*hash, |_, _| {});
            }
            roots.insert(size, frontier.root());
        }
        roots
    }

    /// The frontier of all that was read.
    fn frontier(&self) -> Option<Frontier> {
        let mut frontier = self.base.clone();
        for hash in &self.hashes {
            frontier.append_each((*hash)?, |_, _| {});
        }
        Some(frontier)
    }

    pub(super) fn find(&mut self, place: Place, fault: Fault) {
        self.findings.push(Finding {
            member: self.member.clone(),
            place,
            fault,
        });
    }
}

/// Reads and verifies a member's log and the evidence behind it.
pub async fn verify(
    auditor: &Auditor,
    member: &Member,
    reading: Reading<'_>,
    progress: Progress<'_>,
    visit: Visit<'_>,
) -> Verification {
    let base = match reading.last {
        Some(last) if reading.only_new => last.frontier.clone(),
        _ => Frontier::new(),
    };
    let mut found = Verification::new(member, base);
    let mut signed = Vec::new();
    if let Some(last) = reading.last {
        signed.push(Signed {
            head: last.head,
            note: last.checkpoint.clone(),
            place: Place::Log,
        });
    }
    match newest(auditor, member).await {
        Ok(checkpoint) => signed.push(Signed {
            head: checkpoint.head(),
            note: checkpoint.signed().to_string(),
            place: Place::Checkpoint,
        }),
        Err((place, fault)) => {
            found.find(place, fault);
            if place == Place::Node {
                return found;
            }
        }
    }
    let expected = signed.iter().map(|signed| signed.head.size).max();
    let whole = read_leaves(auditor, member, &mut found, expected.unwrap_or(0), progress).await;
    if whole {
        check_root(auditor, member, &mut found).await;
    }
    check_shape(&mut found);
    check_signed(&mut found, &signed);
    if let Some(last) = reading.last {
        check_consistency(auditor, member, &mut found, last).await;
    }
    read_evidence(auditor, member, &mut found, progress, visit).await;
    found.last = to_remember(auditor, &found);
    found
}

/// The checkpoint that the node gives anyone.
async fn newest(auditor: &Auditor, member: &Member) -> Result<VerifiedCheckpoint, (Place, Fault)> {
    let note = auditor.checkpoint(member).await.map_err(|error| {
        let fault = Fault::from(error);
        // A node that is there and cannot give its checkpoint may still give its leaves.
        let place = match &fault {
            Fault::Refused { code, .. } if code == "UNAVAILABLE" => Place::Checkpoint,
            _ => Place::Node,
        };
        (place, fault)
    })?;
    verify_checkpoint(member, &note).map_err(|why| (Place::Checkpoint, Fault::Checkpoint { why }))
}

/// Reads the leaves. Gives whether all that the covering checkpoint states came, so that the root
/// can be checked.
async fn read_leaves(
    auditor: &Auditor,
    member: &Member,
    found: &mut Verification,
    expected: u64,
    progress: Progress<'_>,
) -> bool {
    let mut entries = Vec::new();
    let mut faults = Vec::new();
    let mut checker = LogChecker::new();
    let mut hashes = Vec::new();
    let start = found.start;
    let run = auditor
        .read_entries(member, start, |index, leaf| {
            let Some(leaf) = leaf else {
                faults.push((Place::Leaf(index), Fault::DamagedLeaf));
                entries.push(None);
                hashes.push(None);
                return;
            };
            hashes.push(checker.feed(checker.next_index(), &leaf).ok());
            match Entry::parse(&leaf) {
                Ok(entry) => entries.push(Some(entry)),
                Err(error) => {
                    let why = error.to_string();
                    faults.push((Place::Leaf(index), Fault::MalformedLeaf { why }));
                    entries.push(None);
                }
            }
            progress("leaves", index + 1, expected.max(index + 1));
        })
        .await;
    found.entries = entries;
    found.hashes = hashes;
    for (place, fault) in faults {
        found.find(place, fault);
    }
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            let place = place_of(&error);
            found.find(place, error.into());
            return false;
        }
    };
    let whole = run.ended.is_none();
    if let Some(error) = run.ended {
        found.find(Place::Log, error.into());
    }
    match verify_checkpoint(member, &run.checkpoint) {
        Ok(checkpoint) => found.checkpoint = Some(checkpoint),
        Err(why) => {
            found.find(Place::Checkpoint, Fault::Checkpoint { why });
            return false;
        }
    }
    let recorded = found.leaves().any(|(_, entry)| {
        entry.act == pb::Act::AuditAnswered && entry.query_digest == Some(run.query_digest)
    });
    // A leaf that cannot be read may be the one that is looked for.
    if whole && !recorded && !found.entries.iter().any(Option::is_none) {
        found.find(Place::Log, Fault::AuditNotRecorded);
    }
    whole
}

fn place_of(error: &AuditError) -> Place {
    match error {
        AuditError::Peer(_) => Place::Node,
        AuditError::Reply { .. } => Place::Log,
    }
}

/// Holds the leaves against the root that covers them, and names those that differ.
async fn check_root(auditor: &Auditor, member: &Member, found: &mut Verification) {
    let Some(head) = found.checkpoint.as_ref().map(VerifiedCheckpoint::head) else {
        return;
    };
    if found.size() != head.size {
        let why = format!(
            "its checkpoint covers {} leaves, and {} came",
            head.size,
            found.size()
        );
        found.find(Place::Log, Fault::Reply { why });
        return;
    }
    if let Some(frontier) = found.frontier()
        && frontier.root() == head.root
    {
        return;
    }
    if found.start > 0 {
        let unread = found.hashes.iter().any(Option::is_none);
        if !unread {
            let why = "only new leaves were read; read the whole log to find the place".to_owned();
            found.find(Place::Log, Fault::Root { why });
        }
        return;
    }
    let located = locate(&mut found.hashes, head.root, |index| async move {
        auditor
            .prove_inclusion(member, index, head.size)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    for index in located.altered {
        found.find(Place::Leaf(index), Fault::AlteredLeaf);
    }
    for (leaves, why) in located.unproved {
        let why = format!("leaves {} to {}: {why}", leaves.start, leaves.end - 1);
        found.find(Place::Log, Fault::Root { why });
    }
    if located.cut_short {
        found.find(
            Place::Log,
            Fault::MoreLeaves {
                named: locate::MOST,
            },
        );
    }
}

/// Checks what every log has: a beginning, time that passes, one answer to one query, and a
/// question before each answer that came in.
fn check_shape(found: &mut Verification) {
    let mut faults = Vec::new();
    if found.start == 0 && found.size() > 0 && found.pseudonym_key().is_none() {
        // An unreadable first leaf is named already.
        if found.entry(0).is_some() {
            faults.push((Place::Leaf(0), Fault::NoBeginning));
        }
    }
    // A leaf that cannot be read may be the one that is looked for.
    let unread = found.entries.iter().any(Option::is_none);
    let whole = found.start == 0 && !unread;
    let mut newest = 0_u64;
    let mut answered = HashMap::new();
    let mut asked = BTreeSet::new();
    for (index, entry) in found.leaves() {
        if index > 0 && entry.act == pb::Act::LogStarted {
            faults.push((Place::Leaf(index), Fault::SecondBeginning));
        }
        let behind = newest.saturating_sub(entry.time_ms);
        if behind > DISORDER_MS {
            let seconds = behind / 1000;
            faults.push((Place::Leaf(index), Fault::BackInTime { seconds }));
        }
        newest = newest.max(entry.time_ms);
        let Some(digest) = entry.query_digest else {
            continue;
        };
        match entry.act {
            pb::Act::EvaluationAsked | pb::Act::LookupAsked | pb::Act::DisclosureAsked => {
                asked.insert(digest);
            }
            pb::Act::EvaluationReceived | pb::Act::LookupReceived | pb::Act::DisclosureReceived
                if whole && !asked.contains(&digest) =>
            {
                faults.push((Place::Leaf(index), Fault::NotAsked));
            }
            pb::Act::EvaluationAnswered
            | pb::Act::LookupAnswered
            | pb::Act::DisclosureAnswered
            | pb::Act::AuditAnswered => {
                if let Some(earlier) = answered.insert(digest, index) {
                    faults.push((Place::Leaf(index), Fault::AnsweredTwice { earlier }));
                }
            }
            _ => {}
        }
    }
    for (place, fault) in faults {
        found.find(place, fault);
    }
}

/// Holds the log against every tree that the node is known to have signed.
fn check_signed(found: &mut Verification, signed: &[Signed]) {
    let Some(checkpoint) = &found.checkpoint else {
        return;
    };
    let (now, shown) = (checkpoint.head().size, checkpoint.signed().to_string());
    let sizes = signed.iter().map(|signed| signed.head.size).collect();
    let roots = found.roots(&sizes);
    for Signed { head, note, place } in signed {
        if head.size > now {
            let before = head.size;
            found.find(*place, Fault::CutBack { before, now });
        } else if roots.get(&head.size).is_some_and(|root| *root != head.root) {
            let fault = Fault::Forked {
                size: head.size,
                signed: note.clone(),
                shown: shown.clone(),
            };
            found.find(*place, fault);
        }
    }
}

/// Has the node prove that its log extends what was verified before. The leaves have shown it
/// already; this shows whether the node's stored tree still does.
async fn check_consistency(
    auditor: &Auditor,
    member: &Member,
    found: &mut Verification,
    last: &LastVerified,
) {
    let Some(head) = found.checkpoint.as_ref().map(VerifiedCheckpoint::head) else {
        return;
    };
    if !found.holds() || last.head.size == 0 || last.head.size >= head.size {
        return;
    }
    let proved = auditor
        .prove_consistency(member, last.head.size, head.size)
        .await
        .map_err(|error| error.to_string())
        .and_then(|hashes| {
            proof::verify_consistency(
                last.head.size,
                head.size,
                &hashes,
                &last.head.root,
                &head.root,
            )
            .map_err(|error| error.to_string())
        });
    if let Err(why) = proved {
        let why = format!(
            "its own proof that the log only grew does not hold ({why}), though the leaves show it: the stored hashes of the tree are damaged"
        );
        found.find(Place::Log, Fault::Reply { why });
    }
}

/// Reads and checks the evidence behind every leaf that was read.
async fn read_evidence(
    auditor: &Auditor,
    member: &Member,
    found: &mut Verification,
    progress: Progress<'_>,
    visit: Visit<'_>,
) {
    let (start, count) = (found.start, found.entries.len() as u64);
    if count == 0 {
        return;
    }
    let mut faults = Vec::new();
    let mut checked = 0;
    let mut leads = Leads {
        torn: found.entries.iter().any(Option::is_none),
        ..Leads::default()
    };
    let mut promises = Vec::new();
    let entries = &found.entries;
    let outcome = auditor
        .read_evidence(member, start, count, |reply| {
            let index = reply.leaf_index;
            checked += 1;
            progress("evidence", checked, count);
            let slot = usize::try_from(index - start).unwrap_or(usize::MAX);
            let Some(entry) = entries.get(slot).and_then(Option::as_ref) else {
                return;
            };
            let leaf = behind::Leaf {
                rosters: &auditor.rosters,
                owner: member,
                index,
                entry,
            };
            let (insight, found) = behind::check(&leaf, reply);
            faults.extend(found);
            if start == 0 {
                faults.extend(leads.follow(index, entry, &insight));
            }
            if let Some(promise) = &insight.promise
                && promise.holder == member.id
            {
                promises.push(Signed {
                    head: promise.head,
                    note: promise.checkpoint.clone(),
                    place: Place::Evidence(index, super::Part::Answer),
                });
            }
            visit(index, entry, &insight);
        })
        .await;
    found.evidence = checked;
    for (place, fault) in faults {
        found.find(place, fault);
    }
    if let Err(error) = outcome {
        let place = place_of(&error);
        found.find(place, error.into());
    }
    // What a receipt promised beyond what is read now lies ahead, not in a fork.
    let now = found.size();
    promises.retain(|promise| promise.head.size <= now);
    check_signed(found, &promises);
}

/// Which lead led to which record, for whom.
#[derive(Default)]
struct Leads {
    leads: HashMap<Vec<u8>, (Option<MemberId>, Vec<u8>)>,
    /// Whether the outcome of a lookup could not be read, so that leads may be missing here.
    torn: bool,
}

impl Leads {
    fn follow(&mut self, index: u64, entry: &Entry, insight: &Insight) -> Option<(Place, Fault)> {
        match (entry.act, &insight.outcome, &insight.query) {
            (pb::Act::LookupAnswered, None, _) => {
                self.torn = true;
                None
            }
            (pb::Act::LookupAnswered, Some(outcome), _) => {
                for line in outcome
                    .subjects
                    .iter()
                    .filter(|line| !line.lead_id.is_empty())
                {
                    self.leads.insert(
                        line.lead_id.clone(),
                        (entry.peer.clone(), line.subject.clone()),
                    );
                }
                None
            }
            (pb::Act::DisclosureAnswered, _, QuerySays::Disclosure { lead_id, .. }) => {
                let fault = match self.leads.get(lead_id) {
                    None if self.torn => return None,
                    None => Fault::UnknownLead,
                    Some((peer, _)) if *peer != entry.peer => Fault::UnknownLead,
                    Some((_, subject))
                        if entry.subject.map(Vec::from).as_ref() != Some(subject) =>
                    {
                        Fault::OtherRecord
                    }
                    Some(_) => return None,
                };
                Some((Place::Leaf(index), fault))
            }
            _ => None,
        }
    }
}

/// What is worth remembering: a log whose root holds and which contradicts nothing signed before.
fn to_remember(auditor: &Auditor, found: &Verification) -> Option<LastVerified> {
    let checkpoint = found.checkpoint.as_ref()?;
    let frontier = found.frontier()?;
    let sound = frontier.size() == checkpoint.head().size
        && frontier.root() == checkpoint.head().root
        && !found.findings.iter().any(|finding| {
            matches!(
                finding.fault,
                Fault::Forked { .. } | Fault::CutBack { .. } | Fault::Root { .. }
            )
        });
    sound.then(|| {
        LastVerified::new(
            found.member.clone(),
            auditor.ambient.now(),
            checkpoint,
            frontier,
        )
    })
}

/// Reads on where a verification ended: the leaves that were added since. Only the log is read,
/// not the evidence.
pub(super) async fn read_on(auditor: &Auditor, member: &Member, found: &mut Verification) {
    let Some(last) = found.last.clone() else {
        return;
    };
    let from = found.size();
    if last.head.size != from {
        return;
    }
    let mut checker = match LogChecker::resume(last.frontier, last.head) {
        Ok(checker) => checker,
        Err(error) => {
            let why = error.to_string();
            found.find(Place::Log, Fault::Root { why });
            return;
        }
    };
    let mut faults = Vec::new();
    let mut fed = Ok(());
    let run = auditor
        .read_entries(member, from, |index, leaf| {
            let entry = leaf.as_deref().and_then(|leaf| {
                if fed.is_ok() {
                    match checker.feed(index, leaf) {
                        Ok(hash) => found.hashes.push(Some(hash)),
                        Err(error) => fed = Err(error),
                    }
                }
                Entry::parse(leaf).ok()
            });
            if entry.is_none() {
                faults.push((Place::Leaf(index), Fault::DamagedLeaf));
            }
            found.entries.push(entry);
        })
        .await;
    let unread = !faults.is_empty();
    for (place, fault) in faults {
        found.find(place, fault);
    }
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            let place = place_of(&error);
            found.find(place, error.into());
            return;
        }
    };
    if let Some(error) = run.ended {
        found.find(Place::Log, error.into());
        return;
    }
    match verify_checkpoint(member, &run.checkpoint) {
        Err(why) => found.find(Place::Checkpoint, Fault::Checkpoint { why }),
        Ok(checkpoint) => {
            let held = fed.and_then(|()| checker.finish(checkpoint.head()).map(|_| ()));
            if let Err(error) = held
                && !unread
            {
                found.find(Place::Log, grown_otherwise(&error));
            }
            found.checkpoint = Some(checkpoint);
        }
    }
}

fn grown_otherwise(error: &CheckError) -> Fault {
    Fault::Root {
        why: error.to_string(),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
