//! Checking a bundle, without any node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Bundle, BundleError, LeafPart, LogPart, MOST_LEAVES};
use crate::audit::behind::{self, Insight, PromiseOf};
use crate::audit::entry::Entry;
use crate::audit::finding::{Fault, Part, Place};
use crate::audit::last::{LastVerified, RecordError, verify_checkpoint};
use crate::audit::reconcile::{Proofs, Readings, Reconciliation, compare};
use crate::audit::rosters::Rosters;
use crate::audit::shape::{Continued, Shape};
use crate::audit::verify::Verification;
use crate::audit::witnesses;
use crate::envelope::NoteKey;
use crate::envelope::merkle::{Hash, leaf_hash};
use crate::roster::{Member, MemberId, Timestamp, TrustStore, TrustedRoot, TrustedRoster};
use crate::tlog::proof::verify_consistency;
use crate::tlog::{LogPolicy, ProofBundle, ProofBundleError, TreeHead, VerifiedCheckpoint};

/// Most leaves that are named as missing, one by one.
const MOST_MISSING: u64 = 64;

/// Reads what was verified of a member's log before, by the rosters given.
pub type LastOf<'a> = dyn Fn(&Rosters, &Member) -> Result<Option<LastVerified>, RecordError> + 'a;

/// What a reader of bundles trusts and knows before.
pub struct Anchors<'a> {
    /// The root document of the coalition, a signed note.
    pub root: &'a [u8],
    /// Keys of the witnesses that count; those that the rosters name if there are none.
    pub witnesses: &'a [NoteKey],
    /// How many of them must have cosigned.
    pub quorum: usize,
    /// Reads what was verified of a member's log before, by the rosters of the bundle.
    pub last: &'a LastOf<'a>,
}

/// A bundle that was checked.
pub struct CheckedBundle {
    /// When it was made, as it says.
    pub made_at: Timestamp,
    /// Who made it, as it says.
    pub made_by: MemberId,
    /// The newest roster in it.
    pub roster: Arc<TrustedRoster>,
    /// How many rosters it has.
    pub rosters: usize,
    /// The logs.
    pub logs: Vec<CheckedLog>,
    /// What holding whole logs against each other came to, if there are two or more.
    pub story: Option<Reconciliation>,
}

/// A log of a bundle that was checked.
pub struct CheckedLog {
    /// Whether it is the whole log.
    pub whole: bool,
    /// Whether what was verified of the log before could not be held against it: chosen leaves alone do
    /// not show it, and the file has no proof from there on.
    pub unheld: bool,
    /// The acts in it that could be read, with their places.
    pub acts: Vec<(u64, Entry, Insight)>,
    /// What was found.
    pub log: Verification,
}

impl CheckedBundle {
    /// Everything that does not hold, and what one log holds against others.
    #[must_use]
    pub fn findings(&self) -> usize {
        let within = |log: &CheckedLog| log.log.findings.len() + log.log.reported.len();
        let within: usize = self.logs.iter().map(within).sum();
        within + self.story.as_ref().map_or(0, |story| story.findings.len())
    }
}

/// Checks a bundle.
///
/// # Errors
/// [`BundleError`] if it cannot be read, or not judged by the root that is trusted. What does not
/// hold in it is in the result.
pub fn check(bytes: &[u8], anchors: &Anchors<'_>) -> Result<CheckedBundle, BundleError> {
    let bundle = Bundle::parse(bytes)?;
    let (rosters, roster) = rosters(&bundle, anchors.root)?;
    let mut logs = Vec::new();
    let mut proofs = Proofs::default();
    let mut members = BTreeSet::new();
    for part in &bundle.logs {
        bounded(part)?;
        if !members.insert(&part.member) {
            let member = &part.member;
            return Err(BundleError::Form {
                why: format!(
                    "it holds two parts of the log of {member}, and nothing holds one against the other"
                ),
            });
        }
        let member = rosters
            .member(part.member.as_str())
            .filter(|member| member.log.is_some())
            .ok_or_else(|| BundleError::NoMember {
                member: part.member.clone(),
            })?;
        let work = Work::new(rosters.clone(), member, part, bundle.made_at);
        logs.push(work.run(anchors, &mut proofs));
    }
    let story = story(&logs, &proofs);
    Ok(CheckedBundle {
        made_at: bundle.made_at,
        made_by: bundle.made_by.clone(),
        rosters: rosters.all().count(),
        roster,
        logs,
        story,
    })
}

/// What a log of a bundle takes to check is in proportion to the leaves that it holds.
fn bounded(part: &LogPart) -> Result<(), BundleError> {
    let present = part.leaves.len() as u64;
    let Some(last) = part.leaves.iter().map(|leaf| leaf.index).max() else {
        return Ok(());
    };
    let most = present
        .saturating_mul(2)
        .saturating_add(MOST_MISSING)
        .min(MOST_LEAVES);
    if part.whole && last >= most {
        let member = &part.member;
        return Err(BundleError::Form {
            why: format!(
                "the log of {member} is said to be whole, and has {present} leaves up to leaf {last}"
            ),
        });
    }
    Ok(())
}

/// The rosters of a bundle, as far as they lead back to the trusted root.
fn rosters(bundle: &Bundle, root: &[u8]) -> Result<(Rosters, Arc<TrustedRoster>), BundleError> {
    let mut trust = TrustStore::new(root).map_err(BundleError::Roster)?;
    for note in &bundle.roots {
        // Those up to the trusted one change nothing, and are passed over.
        let _ = trust.update_root(note.as_bytes(), bundle.made_at.unix());
    }
    let roots: Vec<TrustedRoot> = std::iter::once(root)
        .chain(trust.roots_above(0).map(str::as_bytes))
        .filter_map(|note| TrustedRoot::pin(note).ok())
        .collect();
    let mut verified: Vec<Arc<TrustedRoster>> = bundle
        .rosters
        .iter()
        .filter_map(|note| {
            roots
                .iter()
                .find_map(|root| TrustedRoster::verify(root, note.as_bytes()).ok())
        })
        .map(Arc::new)
        .collect();
    verified.sort_by_key(|roster| roster.place());
    let newest = verified.pop().ok_or(BundleError::NoRoster)?;
    Ok((Rosters::new(roots, Arc::clone(&newest), verified), newest))
}

/// Holds whole logs against each other.
fn story(logs: &[CheckedLog], proofs: &Proofs) -> Option<Reconciliation> {
    let whole: Vec<_> = logs.iter().filter(|log| log.whole).collect();
    if whole.len() < 2 {
        return None;
    }
    let logs = whole.iter().map(|log| log.log.bare()).collect();
    Some(compare(logs, proofs, Readings::Loose))
}

/// The check of one log.
struct Work<'a> {
    /// Those of the bundle, and those that came into force in this log.
    rosters: Rosters,
    member: &'a Member,
    part: &'a LogPart,
    /// The roster in force at the leaf that is checked, if the bundle has told of it so far.
    in_force: Option<Arc<TrustedRoster>>,
    /// When the bundle was made, as it says.
    made_ms: u64,
    found: Verification,
    shape: Shape,
    /// Where the next leaf belongs.
    next: u64,
    entries: BTreeMap<u64, (Entry, Hash)>,
    acts: Vec<(u64, Entry, Insight)>,
    own_promises: Vec<(u64, PromiseOf)>,
}

impl<'a> Work<'a> {
    fn new(rosters: Rosters, member: &'a Member, part: &'a LogPart, made_at: Timestamp) -> Self {
        let mut shape = Shape::default();
        if !part.whole {
            shape.missed_leaf();
        }
        Self {
            rosters,
            member,
            part,
            in_force: None,
            made_ms: made_at.unix().saturating_mul(1000),
            found: Verification::new(member, 0),
            shape,
            next: 0,
            entries: BTreeMap::new(),
            acts: Vec::new(),
            own_promises: Vec::new(),
        }
    }

    fn run(mut self, anchors: &Anchors<'_>, proofs: &mut Proofs) -> CheckedLog {
        let seen = self.checkpoints();
        let checkpoint = seen.first().cloned().flatten();
        for leaf in &self.part.leaves {
            self.leaf(leaf, checkpoint.as_ref(), proofs);
        }
        if let Some(checkpoint) = &checkpoint {
            self.ended(checkpoint);
        }
        if self.part.whole {
            let slots = 0..self.next;
            let mut hashes = Vec::new();
            let mut kept = Vec::new();
            for index in slots {
                match self.entries.get(&index) {
                    Some((entry, hash)) => {
                        hashes.push(*hash);
                        kept.push(Some(entry.clone()));
                    }
                    None => kept.push(None),
                }
            }
            let findings = std::mem::take(&mut self.found.findings);
            let reported = std::mem::take(&mut self.found.reported);
            let evidence = self.found.evidence;
            self.found = Verification::of_leaves(self.member, kept, hashes, checkpoint.clone());
            self.found.findings = findings;
            self.found.reported = reported;
            self.found.evidence = evidence;
        } else {
            self.found.checkpoint.clone_from(&checkpoint);
            self.found.set_size(
                checkpoint
                    .as_ref()
                    .map_or(0, |checkpoint| checkpoint.head().size),
            );
        }
        self.cosigned(&seen, anchors);
        let unheld = self.trees(seen.into_iter().flatten(), anchors);
        CheckedLog {
            whole: self.part.whole,
            unheld,
            acts: self.acts,
            log: self.found,
        }
    }

    fn find(&mut self, place: Place, fault: Fault) {
        self.found.find(place, fault);
    }

    /// The checkpoints, those that do not hold as nothing.
    fn checkpoints(&mut self) -> Vec<Option<VerifiedCheckpoint>> {
        if self.part.checkpoints.is_empty() {
            let why = "the bundle has none".to_owned();
            self.find(Place::Checkpoint, Fault::Checkpoint { why });
        }
        let mut seen = Vec::new();
        for note in &self.part.checkpoints {
            let verified = match verify_checkpoint(self.member, note) {
                Ok(verified) => Some(verified),
                Err(why) => {
                    self.find(Place::Checkpoint, Fault::Checkpoint { why });
                    None
                }
            };
            seen.push(verified);
        }
        seen
    }

    /// Counts the witnesses of the tree that the leaves are proved to be in: of the checkpoint that
    /// the proofs lead to, and, where the leaves are all there, of those that they lead to as well.
    fn cosigned(&mut self, seen: &[Option<VerifiedCheckpoint>], anchors: &Anchors<'_>) {
        let known = self.rosters.witnesses();
        let proving = seen.first().and_then(Option::as_ref);
        let proving = proving.map(VerifiedCheckpoint::head);
        let roots = if self.part.whole && !self.found.torn() {
            let sizes = seen.iter().flatten().map(|seen| seen.head().size);
            self.found.roots(&sizes.collect())
        } else {
            BTreeMap::new()
        };
        // Enough before few, and then the longest.
        let mut best = (0, 0, Vec::new());
        for checkpoint in seen.iter().flatten() {
            let (names, faults) = witnesses::check(checkpoint, &known, (anchors.witnesses, 0));
            for fault in faults {
                self.find(Place::Checkpoint, fault);
            }
            let head = checkpoint.head();
            let proved = Some(head) == proving || roots.get(&head.size) == Some(&head.root);
            let candidate = (names.len().min(anchors.quorum.max(1)), head.size, names);
            if proved && !candidate.2.is_empty() && candidate > best {
                best = candidate;
            }
        }
        let (_, size, names) = best;
        let (found, needed) = (names.len(), anchors.quorum);
        self.found.cosigned = names;
        self.found.cosigned_size = size;
        if found < needed {
            let fault = Fault::TooFewWitnesses { found, needed };
            return self.find(Place::Checkpoint, fault);
        }
        if needed > 0 {
            let beyond = self.entries.range(size..);
            let late = beyond.filter_map(|(index, (entry, _))| {
                let fault = witnesses::late(size, entry.time_ms, self.made_ms)?;
                Some((*index, fault))
            });
            let late = late.min_by_key(|(index, _)| *index);
            if let Some((index, fault)) = late {
                self.find(Place::Leaf(index), fault);
            }
        }
    }

    fn leaf(
        &mut self,
        part: &LeafPart,
        checkpoint: Option<&VerifiedCheckpoint>,
        proofs: &mut Proofs,
    ) {
        let index = part.index;
        let place = Place::Leaf(index);
        if let Some(size) = checkpoint.map(|checkpoint| checkpoint.head().size)
            && index >= size
        {
            return self.find(place, Fault::LeafAdded { size });
        }
        let Some(next) = index.checked_add(1) else {
            return self.find(place, Fault::LeafAdded { size: self.next });
        };
        if index < self.next {
            return self.find(
                place,
                Fault::LeafMoved {
                    after: self.next - 1,
                },
            );
        }
        if self.part.whole {
            self.missing(index);
        }
        self.next = next;
        let leaf = match part.leaf() {
            Ok(leaf) => leaf,
            Err(why) => {
                self.shape.missed_leaf();
                return self.find(place, Fault::Unreadable { why });
            }
        };
        if let Some(checkpoint) = checkpoint
            && let Err(fault) = self.proved(part, &leaf, checkpoint)
        {
            self.find(place, fault);
        }
        let entry = match Entry::parse(&leaf) {
            Ok(entry) => entry,
            Err(error) => {
                self.shape.missed_leaf();
                let why = error.to_string();
                return self.find(place, Fault::MalformedLeaf { why });
            }
        };
        for (place, fault) in self.shape.leaf(index, &entry) {
            self.find(place, fault);
        }
        self.entries
            .insert(index, (entry.clone(), leaf_hash(&leaf)));
        let insight = match part.behind() {
            Ok(reply) => self.behind(index, &entry, reply, proofs),
            Err(why) => {
                self.find(place, Fault::Unreadable { why });
                Insight::default()
            }
        };
        self.acts.push((index, entry, insight));
    }

    fn missing(&mut self, index: u64) {
        for missing in self.next..index.min(self.next.saturating_add(MOST_MISSING)) {
            self.shape.missed_leaf();
            self.find(Place::Leaf(missing), Fault::LeafMissing);
        }
        if index - self.next > MOST_MISSING {
            let named = MOST_MISSING as usize;
            self.find(Place::Log, Fault::MoreLeaves { named });
        }
    }

    /// The leaf stands where it says, under the bundle's checkpoint.
    fn proved(
        &self,
        part: &LeafPart,
        leaf: &[u8],
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<(), Fault> {
        let wrong = |why: String| Fault::Proof { why };
        let proof =
            ProofBundle::parse(part.proof.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        if proof.index() != part.index {
            return Err(wrong(format!("it is that of leaf {}", proof.index())));
        }
        let keys = self
            .member
            .log
            .iter()
            .filter_map(|log| log.vkey.parse().ok())
            .collect();
        match proof.verify(leaf, &LogPolicy::log_alone(keys)) {
            Ok(logged) if logged.accepted.checkpoint.head() == checkpoint.head() => Ok(()),
            Ok(_) => Err(wrong(
                "it leads to another checkpoint than the bundle's".to_owned(),
            )),
            Err(ProofBundleError::Proof(_)) => Err(Fault::AlteredLeaf),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    fn behind(
        &mut self,
        index: u64,
        entry: &Entry,
        reply: crate::proto::exchange::ReadEvidenceResponse,
        proofs: &mut Proofs,
    ) -> Insight {
        let leaf = behind::Leaf {
            rosters: &self.rosters,
            in_force: self.in_force.as_deref(),
            owner: self.member,
            index,
            entry,
        };
        let (insight, faults) = behind::check(&leaf, reply);
        if let Some(roster) = &insight.roster {
            self.rosters.learn(Arc::clone(roster));
            self.in_force = Some(Arc::clone(roster));
        }
        if let Some(reported) = &insight.reported {
            self.found.report(reported);
        }
        self.found.evidence += 1;
        for (place, fault) in faults {
            self.find(place, fault);
        }
        if let Some((place, fault)) = self.shape.evidence(index, entry, &insight) {
            self.find(place, fault);
        }
        if let Some(promise) = &insight.promise
            && promise.holder == self.member.id
        {
            self.own_promises.push((index, promise.clone()));
        }
        proofs.take(&self.member.id, index, entry, &insight);
        insight
    }

    /// All leaves under the checkpoint came. Those besides were found one by one.
    fn ended(&mut self, checkpoint: &VerifiedCheckpoint) {
        let (before, now) = (checkpoint.head().size, self.next);
        if self.part.whole && now < before {
            self.find(Place::Log, Fault::CutBack { before, now });
        }
    }

    /// Holds the log against every tree that its node is known to have signed. Gives whether there is
    /// nothing to hold what was verified before against.
    fn trees(
        &mut self,
        seen: impl Iterator<Item = VerifiedCheckpoint>,
        anchors: &Anchors<'_>,
    ) -> bool {
        let Some(checkpoint) = self.found.checkpoint.clone() else {
            return false;
        };
        let (head, shown) = (checkpoint.head(), checkpoint.signed().to_string());
        let mut signed: Vec<_> = seen
            .map(|checkpoint| {
                (
                    checkpoint.head(),
                    checkpoint.signed().to_string(),
                    Place::Log,
                )
            })
            .collect();
        // What was verified by a roster that is not in the bundle cannot be held against it.
        let (last, mut unheld) = match (anchors.last)(&self.rosters, self.member) {
            Ok(Some(last)) if last.is_of(self.member) => (Some(last), false),
            Ok(Some(given_up)) => (None, self.hold_given_up(&given_up)),
            Ok(None) => (None, false),
            Err(_) => (None, true),
        };
        if !self.part.whole {
            let of_file = signed.iter().map(|(tree, note, _)| (*tree, note.clone()));
            let mut trees: Vec<_> = of_file.map(|tree| (tree, true)).collect();
            let of_reader = last.iter().map(|last| (last.head, last.checkpoint.clone()));
            trees.extend(of_reader.map(|tree| (tree, false)));
            for ((tree, signed), of_file) in trees {
                match self.grown(&tree, &head) {
                    Grown::Shown => {}
                    Grown::Not => {
                        let size = tree.size;
                        let shown = shown.clone();
                        let fault = Fault::Forked {
                            size,
                            signed,
                            shown,
                        };
                        self.find(Place::Log, fault);
                    }
                    Grown::Unproved if of_file => {
                        let (from, to) = (tree.size, head.size);
                        let why = format!(
                            "the file has another checkpoint of {from} leaves, and no proof that the log of {to} leaves extends it"
                        );
                        self.find(Place::Log, Fault::Proof { why });
                    }
                    Grown::Unproved => unheld = true,
                }
            }
        }
        signed.extend(last.map(|last| (last.head, last.checkpoint, Place::Log)));
        let before = signed.iter().map(|(tree, ..)| tree.size).max().unwrap_or(0);
        signed.extend(self.own_promises.drain(..).map(|(index, promise)| {
            let place = Place::Evidence(index, Part::Answer);
            (promise.head, promise.checkpoint, place)
        }));
        let sizes: BTreeSet<u64> = signed.iter().map(|(head, ..)| head.size).collect();
        let mut roots = if self.found.torn() {
            BTreeMap::new()
        } else {
            self.found.roots(&sizes)
        };
        roots.insert(head.size, head.root);
        if before > head.size {
            let now = head.size;
            self.find(Place::Log, Fault::CutBack { before, now });
        }
        for (tree, note, place) in signed {
            if roots.get(&tree.size).is_some_and(|root| *root != tree.root) {
                let fault = Fault::Forked {
                    size: tree.size,
                    signed: note,
                    shown: shown.clone(),
                };
                self.find(place, fault);
            }
        }
        unheld
    }

    /// Holds what was verified of a log that was given up against the first leaf of this one. Gives
    /// whether that leaf is not there.
    fn hold_given_up(&mut self, last: &LastVerified) -> bool {
        let Some((first, _)) = self.entries.get(&0) else {
            return true;
        };
        self.found.continued = Continued::of(first);
        if let Some(fault) = last.given_up(&self.rosters, self.found.continued.as_ref()) {
            self.find(Place::Leaf(0), fault);
        }
        false
    }

    /// Whether the file proves that the log of its first checkpoint extends a smaller tree.
    fn grown(&self, from: &TreeHead, to: &TreeHead) -> Grown {
        if from.size == 0 || from.size >= to.size {
            // Nothing was signed, or it is held against the checkpoint itself.
            return Grown::Shown;
        }
        let mut of_size = self
            .part
            .growth
            .iter()
            .filter(|growth| growth.from == from.size);
        let Some(growth) = of_size.next() else {
            return Grown::Unproved;
        };
        let proof: Vec<Hash> = growth.proof.iter().map(|hash| *hash.as_bytes()).collect();
        match verify_consistency(from.size, to.size, &proof, &from.root, &to.root) {
            Ok(()) => Grown::Shown,
            Err(_) => Grown::Not,
        }
    }
}

/// What a file shows of a smaller tree.
enum Grown {
    /// The log extends it.
    Shown,
    /// It is no tree of this log.
    Not,
    /// Nothing.
    Unproved,
}
