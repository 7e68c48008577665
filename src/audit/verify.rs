//! Reading a node's log, and everything behind it, and saying where it does not hold.
//!
//! The order is: the checkpoint that the node gives anyone; the leaves, each with the evidence
//! behind it, under the checkpoint that covers the very request for them; the root; what was signed
//! before. Nothing that fails ends the reading, as long as there is something left to read.
//!
//! Leaves and evidence go by side by side and are not kept: what is in memory does not grow with the
//! log, but for one hash in 256 leaves. A reading goes on where the last one ended in which
//! everything held, unless it is told to begin anew.

mod work;

use std::collections::{BTreeMap, BTreeSet};

use super::auditor::{AuditError, Auditor};
use super::behind::{Insight, Reported};
use super::entry::Entry;
use super::finding::{Fault, Finding, Place};
use super::last::LastVerified;
use super::locate::Tree;
use super::shape::Continued;
use crate::envelope::NoteKey;
use crate::envelope::merkle::Hash;
use crate::oprf::pseudonym::PseudonymPublicKey;
use crate::roster::{Member, MemberId};
use crate::tlog::{Frontier, VerifiedCheckpoint};

pub(super) use work::read_on;

/// Most findings of one reading that are kept one by one.
const MOST_FINDINGS: usize = 10_000;

/// Is told how far a reading is: what is read, how much is done, of how much.
pub type Progress<'a> = &'a (dyn Fn(&str, u64, u64) + Sync);

/// Is given every leaf with what the evidence behind it says.
pub type Visit<'a> = &'a mut (dyn FnMut(u64, &Entry, &Insight) + Send);

/// How a log is to be read.
#[derive(Clone, Copy, Default)]
pub struct Reading<'a> {
    /// What was verified the last time, of this log or of the one that it continues.
    pub last: Option<&'a LastVerified>,
    /// Whether to go on where everything held the last time.
    pub only_new: bool,
    /// Whether to keep the leaves, to hold them against those of another log.
    pub keep: bool,
    /// Keys of the witnesses that count.
    pub witnesses: &'a [NoteKey],
    /// How many of them must have cosigned the log, up to the leaves of the last minutes.
    pub quorum: usize,
}

/// What a reading came to.
pub struct Verification {
    /// Whose log.
    pub member: MemberId,
    /// The first leaf that was read.
    pub start: u64,
    /// The checkpoint that covers what was read, if it holds.
    pub checkpoint: Option<VerifiedCheckpoint>,
    /// Names of the known witnesses that cosigned the log.
    pub cosigned: Vec<String>,
    /// The leaves under the checkpoint that they cosigned.
    pub cosigned_size: u64,
    /// Leaves whose evidence was checked.
    pub evidence: u64,
    /// Everything that does not hold.
    pub findings: Vec<Finding>,
    /// What this log holds against the logs of others, with two signed checkpoints each.
    pub reported: Vec<Finding>,
    /// The log that was given up and that this one continues, as its first leaf says.
    pub continued: Option<Continued>,
    /// What to remember of this reading, if the log's root holds and contradicts nothing before.
    pub last: Option<LastVerified>,
    pseudonym_key: Option<PseudonymPublicKey>,
    unread: u64,
    size: u64,
    /// The leaves, if they are kept; those that could not be read are nothing.
    kept: Vec<Option<Entry>>,
    hashes: Vec<Hash>,
    /// The tree, if its root holds: where reading can go on.
    tree: Option<Tree>,
    /// Whether all leaves under the checkpoint came, and have its root.
    complete: bool,
}

impl Verification {
    pub(super) fn new(member: &Member, start: u64) -> Self {
        Self {
            member: member.id.clone(),
            start,
            checkpoint: None,
            cosigned: Vec::new(),
            cosigned_size: 0,
            evidence: 0,
            findings: Vec::new(),
            reported: Vec::new(),
            continued: None,
            last: None,
            pseudonym_key: None,
            unread: 0,
            size: start,
            kept: Vec::new(),
            hashes: Vec::new(),
            tree: None,
            complete: false,
        }
    }

    /// A reading of a whole log that did not come from a node: its leaves, and its checkpoint.
    pub(super) fn of_leaves(
        member: &Member,
        entries: Vec<Option<Entry>>,
        hashes: Vec<Hash>,
        checkpoint: Option<VerifiedCheckpoint>,
    ) -> Self {
        let unread = entries.iter().filter(|entry| entry.is_none()).count();
        let covered = checkpoint.as_ref().map(|checkpoint| checkpoint.head().size);
        Self {
            complete: unread == 0 && covered == Some(entries.len() as u64),
            size: entries.len() as u64,
            unread: unread as u64,
            kept: entries,
            hashes,
            checkpoint,
            ..Self::new(member, 0)
        }
    }

    /// The same log without what was found in it, to be held against others.
    pub(super) fn bare(&self) -> Self {
        let torn = self.torn();
        Self {
            complete: self.complete,
            size: self.size,
            unread: u64::from(torn),
            kept: self.kept.clone(),
            hashes: self.hashes.clone(),
            checkpoint: self.checkpoint.clone(),
            member: self.member.clone(),
            start: self.start,
            cosigned: Vec::new(),
            cosigned_size: 0,
            evidence: 0,
            findings: Vec::new(),
            reported: Vec::new(),
            continued: None,
            last: None,
            pseudonym_key: None,
            tree: None,
        }
    }

    /// States how many leaves the log has, of which only some were at hand.
    pub(super) fn set_size(&mut self, size: u64) {
        self.size = size;
    }

    /// Leaves in the log, as far as it was read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether everything holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether leaves could not be read or did not come, or nothing vouches for them: then nothing can
    /// be said to be missing.
    #[must_use]
    pub fn torn(&self) -> bool {
        !self.complete
            || self.unread > 0
            || self.checkpoint.is_none()
            || self.findings.iter().any(|finding| {
                matches!(
                    finding.fault,
                    Fault::AlteredLeaf
                        | Fault::Root { .. }
                        | Fault::MoreLeaves { .. }
                        | Fault::LeafMissing
                        | Fault::Proof { .. }
                )
            })
    }

    /// The leaves that were kept, with their places.
    pub fn leaves(&self) -> impl Iterator<Item = (u64, &Entry)> {
        (self.start..)
            .zip(&self.kept)
            .filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    /// The key under which the node's pseudonyms are proved, from the log's first leaf.
    #[must_use]
    pub fn pseudonym_key(&self) -> Option<PseudonymPublicKey> {
        self.pseudonym_key
    }

    /// The root of the tree of each of these sizes, as far as the leaves were kept.
    pub(super) fn roots(&self, sizes: &BTreeSet<u64>) -> BTreeMap<u64, Hash> {
        let mut roots = BTreeMap::new();
        let mut frontier = Frontier::new();
        let mut hashes = self.hashes.iter();
        for &size in sizes {
            while frontier.size() < size {
                let Some(hash) = hashes.next() else {
                    return roots;
                };
                frontier.append_each(*hash, |_, _| {});
            }
            roots.insert(size, frontier.root());
        }
        roots
    }

    /// Takes what the log holds against another's.
    pub(super) fn report(&mut self, reported: &Reported) {
        if self.reported.len() < MOST_FINDINGS {
            self.reported.push(Finding {
                member: reported.member.clone(),
                place: Place::Log,
                fault: reported.fault.clone(),
            });
        }
    }

    /// Marks that the reading broke off before its end.
    #[cfg(test)]
    pub(super) fn break_off(&mut self) {
        self.complete = false;
    }

    pub(super) fn find(&mut self, place: Place, fault: Fault) {
        let fault = match self.findings.len() {
            MOST_FINDINGS => Fault::MoreFindings {
                named: MOST_FINDINGS,
            },
            more if more > MOST_FINDINGS => return,
            _ => fault,
        };
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
    work::Work::begin(auditor, member, reading)
        .run(progress, visit)
        .await
}

fn place_of(error: &AuditError) -> Place {
    match error {
        AuditError::Peer(_) => Place::Node,
        AuditError::Reply { .. } => Place::Log,
    }
}
