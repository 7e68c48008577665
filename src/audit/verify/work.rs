//! A reading under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Progress, Reading, Verification, Visit, place_of};
use crate::audit::auditor::{Auditor, EntryRun, EvidenceRun};
use crate::audit::behind::{self, Insight, PromiseOf};
use crate::audit::entry::Entry;
use crate::audit::finding::{Fault, Part, Place};
use crate::audit::last::{LastVerified, Resume, verify_checkpoint};
use crate::audit::locate::{self, Located, Tree, hash_of_leaf, locate};
use crate::audit::rosters::Rosters;
use crate::audit::shape::{Continued, Shape};
use crate::audit::witnesses;
use crate::envelope::merkle::{Hash, leaf_hash};
use crate::proto::exchange as pb;
use crate::roster::{Member, TrustedRoster};
use crate::tlog::{Frontier, TreeHead, VerifiedCheckpoint, proof};

/// How far beyond its leaf a receipt's tree may reach: acts are committed in groups.
const AHEAD: u64 = 100_000;

/// A tree that the node is known to have signed.
#[derive(Clone)]
struct Signed {
    head: TreeHead,
    note: String,
    place: Place,
}

/// A reading under way.
pub(super) struct Work<'a> {
    auditor: &'a Auditor,
    /// Those that the auditor knows, and those that came into force in this log: what follows is
    /// judged by them as well.
    rosters: Rosters,
    member: &'a Member,
    reading: Reading<'a>,
    /// What was verified of the log that this one continues.
    given_up: Option<&'a LastVerified>,
    found: Verification,
    tree: Tree,
    shape: Shape,
    /// Signed trees whose size is still to come, by size.
    pending: BTreeMap<u64, Vec<Signed>>,
    /// Signed trees that are not trees of the leaves that were read.
    contradicted: Vec<Signed>,
    /// The checkpoint that the node gives anyone, if it holds.
    newest: Option<VerifiedCheckpoint>,
    /// The one that its witnesses cosigned, if it holds.
    cosigned: Option<Signed>,
    /// The first leaf beyond that one that is too old to stand there.
    late: Option<(u64, Fault)>,
    /// The roster in force at the leaf that is read, if this reading has met it.
    in_force: Option<Arc<TrustedRoster>>,
}

/// Leaves of one part, on their way from the tree to their evidence.
struct Chunk {
    base: Frontier,
    hashes: Vec<Hash>,
    entries: Vec<(u64, Option<Entry>)>,
}

impl<'a> Work<'a> {
    pub(super) fn begin(auditor: &'a Auditor, member: &'a Member, reading: Reading<'a>) -> Self {
        let given_up = reading.last.filter(|last| !last.is_of(member));
        let reading = Reading {
            last: reading.last.filter(|last| last.is_of(member)),
            ..reading
        };
        let resume = reading
            .last
            .and_then(|last| last.resume.as_ref())
            .filter(|_| reading.only_new && !reading.keep);
        let (base, shape) = match resume {
            Some(resume) => (resume.frontier.clone(), resume.shape.clone()),
            None => Default::default(),
        };
        let mut rosters = auditor.rosters.clone();
        for (time_ms, note) in resume.iter().flat_map(|resume| resume.rosters.iter().rev()) {
            // One that no root at hand has signed leaves open what was in force.
            let roster = rosters.verify(note.as_bytes()).map(Arc::new);
            rosters.came_into_force(*time_ms, roster);
        }
        Self {
            auditor,
            rosters,
            member,
            reading,
            given_up,
            found: Verification::new(member, base.size()),
            tree: Tree::on(base),
            shape,
            pending: BTreeMap::new(),
            contradicted: Vec::new(),
            newest: None,
            cosigned: None,
            late: None,
            in_force: None,
        }
    }

    pub(super) async fn run(mut self, progress: Progress<'_>, visit: Visit<'_>) -> Verification {
        if !self.newest().await {
            return self.found;
        }
        let newest = self.newest.as_ref().map(|newest| Signed {
            head: newest.head(),
            note: newest.signed().to_string(),
            place: Place::Checkpoint,
        });
        if newest
            .as_ref()
            .is_some_and(|newest| newest.head.size < self.tree.size())
        {
            // There is nothing to go on from: what is there now is read from its first leaf.
            self.tree = Tree::on(Frontier::new());
            self.rosters = self.auditor.rosters.clone();
            self.shape = Shape::default();
            self.found.start = 0;
        }
        let last = self.reading.last.map(|last| Signed {
            head: last.head,
            note: last.checkpoint.clone(),
            place: Place::Log,
        });
        let cosigned = self.cosigned.clone();
        for signed in last.into_iter().chain(newest).chain(cosigned) {
            self.expect(signed);
        }
        self.read(progress, visit).await;
        self.check_cosigned().await;
        self.found.size = self.tree.size();
        self.found.pseudonym_key = self.shape.pseudonym_key();
        self.check_signed().await;
        self.check_consistency().await;
        self.found.last = self.to_remember();
        if self.found.complete {
            self.found.tree = Some(self.tree);
        }
        self.found
    }

    fn find(&mut self, place: Place, fault: Fault) {
        self.found.find(place, fault);
    }

    /// The checkpoint that the node gives anyone. Gives whether the node is there at all.
    async fn newest(&mut self) -> bool {
        let reply = match self.auditor.checkpoints(self.member).await {
            Ok(reply) => reply,
            Err(error) => {
                let fault = Fault::from(error);
                // A node that is there and cannot give its checkpoint may still give its leaves.
                let there = matches!(&fault, Fault::Refused { code, .. } if code == "UNAVAILABLE");
                let place = if there {
                    Place::Checkpoint
                } else {
                    Place::Node
                };
                self.find(place, fault);
                return there;
            }
        };
        match verify_checkpoint(self.member, &reply.checkpoint) {
            Err(why) => self.find(Place::Checkpoint, Fault::Checkpoint { why }),
            Ok(checkpoint) => self.newest = Some(checkpoint),
        }
        // Witnesses follow the log with a delay, so the checkpoint with their lines is another one.
        let cosigned = match reply.cosigned.as_str() {
            "" => &reply.checkpoint,
            cosigned => cosigned,
        };
        match verify_checkpoint(self.member, cosigned) {
            Err(_) if reply.cosigned.is_empty() => {}
            Err(why) => self.find(Place::Checkpoint, Fault::Checkpoint { why }),
            Ok(checkpoint) => {
                let known = self.auditor.rosters.witnesses();
                let asked = (self.reading.witnesses, self.reading.quorum);
                let (cosigned, faults) = witnesses::check(&checkpoint, &known, asked);
                self.found.cosigned_size = match cosigned.as_slice() {
                    [] => 0,
                    _ => checkpoint.head().size,
                };
                self.found.cosigned = cosigned;
                for fault in faults {
                    self.find(Place::Checkpoint, fault);
                }
                self.cosigned = Some(Signed {
                    head: checkpoint.head(),
                    note: checkpoint.signed().to_string(),
                    place: Place::Checkpoint,
                });
            }
        }
        true
    }

    /// Holds a signed tree against the leaves as soon as they have come.
    fn expect(&mut self, signed: Signed) {
        if signed.head.size == self.tree.size() {
            self.compare(signed, &self.tree.frontier().root());
        } else if signed.head.size > self.tree.size() {
            let slot = self.pending.entry(signed.head.size).or_default();
            slot.push(signed);
        }
    }

    /// A leaf that no witness has seen, and that is too old for that.
    fn look_at_age(&mut self, index: u64, time_ms: u64) {
        let size = self.found.cosigned_size;
        if self.reading.quorum > 0 && index >= size && self.late.is_none() {
            let now_ms = self.auditor.ambient.now_ms();
            self.late = witnesses::late(size, time_ms, now_ms).map(|fault| (index, fault));
        }
    }

    /// What was cosigned is this log, and reaches as far as it must.
    async fn check_cosigned(&mut self) {
        let (start, size) = (self.found.start, self.found.cosigned_size);
        if self.reading.quorum == 0 || self.found.cosigned.len() < self.reading.quorum {
            // Too few at all is a finding already.
            return;
        }
        if size < start {
            // The leaves before this reading were read in the last one.
            let verified_ms = self
                .reading
                .last
                .map(|last| last.verified_at.saturating_mul(1000));
            if let Some(verified_ms) = verified_ms {
                self.look_at_age(size, verified_ms);
            }
            let now = self.found.checkpoint.as_ref().map(VerifiedCheckpoint::head);
            if let (Some(cosigned), Some(now)) = (self.cosigned.clone(), now)
                && size > 0
                && let Err(why) = self.prove(&cosigned.head, &now).await
            {
                let why = format!("that its {size} leaves are of this log is not proved: {why}");
                self.find(Place::Checkpoint, Fault::Cosignature { why });
            }
        }
        if let Some((index, fault)) = self.late.take() {
            self.find(Place::Leaf(index), fault);
        }
    }

    fn compare(&mut self, signed: Signed, root: &Hash) {
        if signed.head.root != *root && self.contradicted.len() < locate::MOST {
            self.contradicted.push(signed);
        }
    }

    async fn read(&mut self, progress: Progress<'_>, visit: Visit<'_>) {
        let start = self.tree.size();
        let (auditor, member) = (self.auditor, self.member);
        let mut leaves = match auditor.open_entries(member, start, None).await {
            Ok(leaves) => leaves,
            Err(error) => return self.find(place_of(&error), error.into()),
        };
        match verify_checkpoint(member, &leaves.checkpoint) {
            Ok(checkpoint) => self.found.checkpoint = Some(checkpoint),
            Err(why) => self.find(Place::Checkpoint, Fault::Checkpoint { why }),
        }
        let end = leaves.end();
        let mut evidence = None;
        if end > start {
            match auditor.open_evidence(member, start, end - start).await {
                Ok(run) => evidence = Some(run),
                Err(error) => self.find(place_of(&error), error.into()),
            }
        }
        let mut recorded = false;
        let whole = loop {
            let chunk = match self.next_chunk(&mut leaves, end).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break true,
                Err(()) => break false,
            };
            recorded |= chunk.entries.iter().any(|(_, entry)| {
                entry.as_ref().is_some_and(|entry| {
                    entry.act == pb::Act::AuditAnswered
                        && entry.query_digest == Some(leaves.query_digest)
                })
            });
            self.behind(chunk, &mut evidence, visit).await;
            progress("leaves", self.tree.size(), end);
        };
        if whole && !recorded && self.found.unread == 0 {
            self.find(Place::Log, Fault::AuditNotRecorded);
        }
        if whole {
            self.check_root().await;
        }
    }

    /// Takes the next leaves into the tree. An error is found already.
    async fn next_chunk(
        &mut self,
        leaves: &mut EntryRun<'_>,
        end: u64,
    ) -> Result<Option<Chunk>, ()> {
        let part = match leaves.next().await {
            Ok(part) => part,
            Err(error) => {
                self.find(Place::Log, error.into());
                return Err(());
            }
        };
        if part.is_empty() {
            return Ok(None);
        }
        let mut chunk = Chunk {
            base: self.tree.frontier().clone(),
            hashes: Vec::with_capacity(part.len()),
            entries: Vec::with_capacity(part.len()),
        };
        for (index, leaf) in part {
            let hash = match &leaf {
                Some(leaf) => leaf_hash(leaf),
                None => self.hash_of_damaged(index, end).await?,
            };
            self.append(hash);
            chunk.hashes.push(hash);
            let entry = leaf.and_then(|leaf| self.parse(index, &leaf));
            if let Some(entry) = &entry {
                self.look_at_age(index, entry.time_ms);
            }
            if self.reading.keep {
                self.found.hashes.push(hash);
                self.found.kept.push(entry.clone());
            }
            chunk.entries.push((index, entry));
        }
        Ok(Some(chunk))
    }

    /// The hash that the tree has for a leaf that cannot be read any more. Only the root will tell
    /// whether it is the right one.
    async fn hash_of_damaged(&mut self, index: u64, size: u64) -> Result<Hash, ()> {
        self.found.unread += 1;
        self.shape.missed_leaf();
        self.find(Place::Leaf(index), Fault::DamagedLeaf);
        if self.found.unread > locate::MOST as u64 {
            let named = locate::MOST;
            self.find(Place::Log, Fault::MoreLeaves { named });
            return Err(());
        }
        let (auditor, member) = (self.auditor, self.member);
        let proved = hash_of_leaf(index, size, |index| async move {
            let proof = auditor.prove_inclusion(member, index, size).await;
            proof.map_err(|error| error.to_string())
        })
        .await;
        proved.map_err(|why| {
            let why = format!("leaf {index} cannot be read, and its hash was not proved: {why}");
            self.find(Place::Log, Fault::Root { why });
        })
    }

    fn append(&mut self, hash: Hash) {
        self.tree.append(hash);
        if let Some(signed) = self.pending.remove(&self.tree.size()) {
            let root = self.tree.frontier().root();
            for signed in signed {
                self.compare(signed, &root);
            }
        }
    }

    fn parse(&mut self, index: u64, leaf: &[u8]) -> Option<Entry> {
        match Entry::parse(leaf) {
            Ok(entry) => {
                for (place, fault) in self.shape.leaf(index, &entry) {
                    self.find(place, fault);
                }
                if index == 0 {
                    self.found.continued = Continued::of(&entry);
                    let continued = self.found.continued.as_ref();
                    let given_up = self.given_up;
                    let fault = given_up.and_then(|last| last.given_up(&self.rosters, continued));
                    if let Some(fault) = fault {
                        self.find(Place::Leaf(0), fault);
                    }
                }
                Some(entry)
            }
            Err(error) => {
                let why = error.to_string();
                self.found.unread += 1;
                self.shape.missed_leaf();
                self.find(Place::Leaf(index), Fault::MalformedLeaf { why });
                None
            }
        }
    }

    /// Checks the evidence behind the leaves of a part.
    async fn behind(
        &mut self,
        chunk: Chunk,
        evidence: &mut Option<EvidenceRun<'_>>,
        visit: &mut (dyn FnMut(u64, &Entry, &Insight) + Send),
    ) {
        let mut promises = BTreeMap::<u64, Vec<Signed>>::new();
        for (index, entry) in chunk.entries {
            let reply = match evidence {
                None => None,
                Some(run) => match run.next().await {
                    Ok(reply) => Some(reply),
                    Err(error) => {
                        self.find(place_of(&error), error.into());
                        *evidence = None;
                        None
                    }
                },
            };
            let Some(entry) = entry else {
                self.found.evidence += u64::from(reply.is_some());
                continue;
            };
            let Some(reply) = reply else {
                visit(index, &entry, &Insight::default());
                continue;
            };
            self.found.evidence += 1;
            let insight = self.insight(index, &entry, reply);
            if let Some(promise) = &insight.promise
                && promise.holder == self.member.id
            {
                self.promised(index, promise, &mut promises);
            }
            visit(index, &entry, &insight);
        }
        // Receipts cover trees of this part, or of those to come.
        let mut frontier = chunk.base;
        let mut hashes = chunk.hashes.into_iter();
        for (size, signed) in promises {
            if size > self.tree.size() {
                self.pending.entry(size).or_default().extend(signed);
                continue;
            }
            while frontier.size() < size {
                let Some(hash) = hashes.next() else { break };
                frontier.append_each(hash, |_, _| {});
            }
            let root = frontier.root();
            for signed in signed {
                self.compare(signed, &root);
            }
        }
    }

    fn insight(&mut self, index: u64, entry: &Entry, reply: pb::ReadEvidenceResponse) -> Insight {
        let leaf = behind::Leaf {
            rosters: &self.rosters,
            in_force: self.in_force.as_deref(),
            owner: self.member,
            index,
            entry,
        };
        let (insight, faults) = behind::check(&leaf, reply);
        for (place, fault) in faults {
            self.find(place, fault);
        }
        if let Some((place, fault)) = self.shape.evidence(index, entry, &insight) {
            self.find(place, fault);
        }
        if entry.act == pb::Act::RosterAdopted {
            if let Some(roster) = &insight.roster {
                self.rosters.learn(Arc::clone(roster));
                self.in_force = Some(Arc::clone(roster));
            }
            self.rosters
                .came_into_force(entry.time_ms, insight.roster.clone());
        }
        if let Some(reported) = &insight.reported {
            self.found.report(reported);
        }
        insight
    }

    fn promised(
        &mut self,
        index: u64,
        promise: &PromiseOf,
        promises: &mut BTreeMap<u64, Vec<Signed>>,
    ) {
        let place = Place::Evidence(index, Part::Answer);
        if promise.head.size <= index {
            // A keyholder that asked itself: its receipt was checked at the leaf that gave it.
            return;
        }
        if promise.head.size > index.saturating_add(AHEAD) {
            let why = format!("its tree reaches more than {AHEAD} leaves beyond its leaf");
            return self.find(place, Fault::Receipt { why });
        }
        let signed = Signed {
            head: promise.head,
            note: promise.checkpoint.clone(),
            place,
        };
        promises.entry(promise.head.size).or_default().push(signed);
    }

    /// Holds the leaves against the root that covers them, and names those that differ.
    async fn check_root(&mut self) {
        let Some(head) = self.found.checkpoint.as_ref().map(VerifiedCheckpoint::head) else {
            return;
        };
        if self.tree.size() == head.size && self.tree.frontier().root() == head.root {
            self.found.complete = true;
            return;
        }
        if self.tree.size() != head.size {
            let (covered, read) = (head.size, self.tree.size());
            let why = format!("its checkpoint covers {covered} leaves, and {read} came");
            return self.find(Place::Log, Fault::Reply { why });
        }
        let (auditor, member) = (self.auditor, self.member);
        let prove = |index| async move {
            let proof = auditor.prove_inclusion(member, index, head.size).await;
            proof.map_err(|error| error.to_string())
        };
        let reread = |leaves: std::ops::Range<u64>| async move {
            let count = leaves.end - leaves.start;
            let mut run = auditor
                .open_entries(member, leaves.start, Some(count))
                .await
                .map_err(|error| error.to_string())?;
            let mut hashes = Vec::new();
            loop {
                let part = run.next().await.map_err(|error| error.to_string())?;
                if part.is_empty() {
                    return Ok(hashes);
                }
                hashes.extend(part.into_iter().map(|(_, leaf)| Some(leaf_hash(&leaf?))));
            }
        };
        let located = locate(&self.tree, head.root, prove, reread).await;
        self.name(located);
    }

    fn name(&mut self, located: Located) {
        for index in located.altered {
            self.find(Place::Leaf(index), Fault::AlteredLeaf);
        }
        for (leaves, why) in located.unproved {
            let why = format!("leaves {} to {}: {why}", leaves.start, leaves.end - 1);
            self.find(Place::Log, Fault::Root { why });
        }
        for leaves in located.rewritten {
            let fault = Fault::Rewritten {
                first: leaves.start,
                last: leaves.end.saturating_sub(1),
            };
            self.find(Place::Log, fault);
            self.forked_since_last();
        }
        if located.cut_short {
            let named = locate::MOST;
            self.find(Place::Log, Fault::MoreLeaves { named });
        }
    }

    /// The place from which this reading went on is no part of the log any more: both checkpoints
    /// together prove it.
    fn forked_since_last(&mut self) {
        let already = |found: &Verification| {
            let mut faults = found.findings.iter().map(|finding| &finding.fault);
            faults.any(|fault| matches!(fault, Fault::Forked { .. }))
        };
        let resume = self.reading.last.and_then(|last| last.resume.as_ref());
        if let (Some(resume), Some(shown), false) =
            (resume, &self.found.checkpoint, already(&self.found))
        {
            let fault = Fault::Forked {
                size: resume.head.size,
                signed: resume.checkpoint.clone(),
                shown: shown.signed().to_string(),
            };
            self.find(Place::Log, fault);
        }
    }

    /// Names the trees that the node signed and that are none of this log.
    async fn check_signed(&mut self) {
        // A node that cannot serve its leaves still shows how long it says that its log is.
        let shown = self.found.checkpoint.clone().or(self.newest.clone());
        let Some(checkpoint) = shown else {
            return;
        };
        let (now, shown) = (checkpoint.head(), checkpoint.signed().to_string());
        for signed in std::mem::take(&mut self.contradicted) {
            // Where leaves were altered on the way, the node may still show that it is one log.
            if !self.found.complete && self.prove(&signed.head, &now).await.is_ok() {
                continue;
            }
            let fault = Fault::Forked {
                size: signed.head.size,
                signed: signed.note,
                shown: shown.clone(),
            };
            self.find(signed.place, fault);
        }
        // What a receipt promised beyond what is read now lies ahead, not in a fork.
        let beyond = std::mem::take(&mut self.pending).into_values().flatten();
        for signed in beyond {
            if signed.head.size > now.size && signed.place.leaf_index().is_none() {
                let (before, now) = (signed.head.size, now.size);
                self.find(signed.place, Fault::CutBack { before, now });
            }
        }
    }

    async fn prove(&self, old: &TreeHead, new: &TreeHead) -> Result<(), String> {
        let hashes = self
            .auditor
            .prove_consistency(self.member, old.size, new.size)
            .await
            .map_err(|error| error.to_string())?;
        proof::verify_consistency(old.size, new.size, &hashes, &old.root, &new.root)
            .map_err(|error| error.to_string())
    }

    /// Has the node prove that its log extends what was verified before. The leaves have shown it
    /// already; this shows whether the node's stored tree still does.
    async fn check_consistency(&mut self) {
        let (Some(last), Some(checkpoint)) = (self.reading.last, &self.found.checkpoint) else {
            return;
        };
        let head = checkpoint.head();
        if !self.found.holds() || last.head.size == 0 || last.head.size >= head.size {
            return;
        }
        if let Err(why) = self.prove(&last.head, &head).await {
            let why = format!(
                "its own proof that the log only grew does not hold ({why}), though the leaves show it: the stored hashes of the tree are damaged"
            );
            self.find(Place::Log, Fault::Reply { why });
        }
    }

    /// What is worth remembering: a log whose root holds and which contradicts nothing signed
    /// before. Where anything was found, the next reading begins where this one did.
    fn to_remember(&self) -> Option<LastVerified> {
        let checkpoint = self.found.checkpoint.as_ref()?;
        let contradicts = self.found.findings.iter().any(|finding| {
            matches!(
                finding.fault,
                Fault::Forked { .. }
                    | Fault::CutBack { .. }
                    | Fault::Rewritten { .. }
                    | Fault::GivenUpShort { .. }
                    | Fault::NotContinued { .. }
            )
        });
        if !self.found.complete || contradicts {
            return None;
        }
        let note = checkpoint.signed().to_string();
        let resume = if self.found.holds() {
            Some(Resume {
                checkpoint: note.clone(),
                head: checkpoint.head(),
                frontier: self.tree.frontier().clone(),
                shape: self.shape.clone(),
                rosters: self
                    .rosters
                    .in_log()
                    .iter()
                    .map(|(time_ms, roster)| (*time_ms, roster.note().to_owned()))
                    .collect(),
            })
        } else {
            self.reading.last.and_then(|last| last.resume.clone())
        };
        Some(LastVerified {
            member: self.found.member.clone(),
            verified_at: self.auditor.ambient.now(),
            checkpoint: note,
            head: checkpoint.head(),
            resume,
        })
    }
}

/// Reads on where a verification ended, and keeps the leaves that were added since. Only the log is
/// read, not the evidence.
pub(in crate::audit) async fn read_on(
    auditor: &Auditor,
    member: &Member,
    found: &mut Verification,
) {
    let Some(mut tree) = found.tree.take() else {
        return;
    };
    // Of a reading that breaks off here nothing can be said to be missing: the other logs go on.
    found.complete = false;
    let mut run = match auditor.open_entries(member, tree.size(), None).await {
        Ok(run) => run,
        Err(error) => return found.find(place_of(&error), error.into()),
    };
    let checkpoint = match verify_checkpoint(member, &run.checkpoint) {
        Ok(checkpoint) => checkpoint,
        Err(why) => return found.find(Place::Checkpoint, Fault::Checkpoint { why }),
    };
    loop {
        let part = match run.next().await {
            Ok(part) => part,
            Err(error) => return found.find(Place::Log, error.into()),
        };
        if part.is_empty() {
            break;
        }
        for (index, leaf) in part {
            let entry = leaf.as_deref().and_then(|leaf| {
                let hash = leaf_hash(leaf);
                tree.append(hash);
                found.hashes.push(hash);
                Entry::parse(leaf).ok()
            });
            if entry.is_none() {
                found.unread += 1;
                found.find(Place::Leaf(index), Fault::DamagedLeaf);
            }
            found.size = index + 1;
            found.kept.push(entry);
        }
    }
    let head = checkpoint.head();
    if (tree.size(), tree.frontier().root()) == (head.size, head.root) {
        found.complete = true;
    } else if found.unread == 0 {
        let why = "what was added while the logs were read does not follow from it".to_owned();
        found.find(Place::Log, Fault::Root { why });
    }
    found.checkpoint = Some(checkpoint);
}
