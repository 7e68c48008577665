//! From hits to candidates: the part of a lookup that a measurement runs too.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::family::AskedFamilies;
use super::{TOKEN, limit};
use crate::linkage::{Decision, Grade, Presence, RuleId, RuleSet, RuleTable};
use crate::proto::exchange as pb;
use crate::store::{Held, Hit, Index, Probed, Store, StoreError};

/// A subject as it came over the wire: its presence mask and the probes of its slots.
pub struct ProbedSubject {
    /// Which fields the asking party knows.
    pub presence: Presence,
    /// Rule and token of each slot that a rule owns, sibling slots included.
    pub probes: Vec<(u8, [u8; TOKEN])>,
}

impl ProbedSubject {
    /// Reads a subject of a query.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_wire(rules: &RuleTable, subject: &pb::LookupSubject) -> Result<Self, &'static str> {
        let siblings = rules.sibling_slot_rules();
        if subject.tokens.len() != rules.slots() * TOKEN
            || subject.sibling_tokens.len() != siblings.len() * TOKEN
        {
            return Err("one has not as many slots as the rule table");
        }
        let presence =
            u16::try_from(subject.presence).map_err(|_| "a presence mask has unknown bits")?;
        let owned = |owners: &[RuleId], tokens: &[u8]| {
            owners
                .iter()
                .map(|rule| rule.0)
                .zip(tokens.as_chunks::<TOKEN>().0.iter().copied())
                .collect::<Vec<_>>()
        };
        let mut probes = owned(rules.slot_rules(), &subject.tokens);
        probes.extend(owned(siblings, &subject.sibling_tokens));
        Ok(Self {
            presence: Presence::from_bits(presence),
            probes,
        })
    }
}

/// A record that a subject touched, with the decision on it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The record.
    pub record_id: u64,
    /// Which fields the record has.
    pub held: Presence,
    /// The rules that agreed, those of sibling keys among them.
    pub agreed: RuleSet,
    /// What comes of it.
    pub decision: Decision,
    /// What comes of the record alone, its family apart.
    pub alone: Decision,
    /// The tokens that touched it.
    pub touching: Vec<[u8; TOKEN]>,
    /// Whether it is owed to the record's family and not to the record itself.
    pub by_family: bool,
    /// What the probe limit counts in place of the subject's own set, if a sibling key touched the
    /// record: then the other subjects of its family decide as well.
    pub family_set: Option<[u8; 16]>,
}

/// What subjects came upon.
pub struct Weighed {
    /// For each subject: its candidates, best first.
    pub subjects: Vec<Vec<Candidate>>,
    /// The mark of the index that was probed ([`Probed::mark`]).
    pub mark: Option<u64>,
}

/// Probes the published index of `epoch` for all subjects at once and decides on every record
/// touched.
///
/// For each subject: its candidates, best first. Records that were touched and decided as no match
/// are among them, since touching is what the probe limit counts.
///
/// # Errors
/// If the store fails.
pub async fn weigh(
    store: &Store,
    rules: &RuleTable,
    epoch: u32,
    subjects: &[ProbedSubject],
) -> Result<Weighed, StoreError> {
    weigh_in(store, Index::Published, rules, epoch, subjects).await
}

/// As [`weigh`], among the records of an index.
///
/// # Errors
/// If the store fails.
pub async fn weigh_in(
    store: &Store,
    index: Index,
    rules: &RuleTable,
    epoch: u32,
    subjects: &[ProbedSubject],
) -> Result<Weighed, StoreError> {
    let mut probes = Vec::new();
    let mut owners = Vec::new();
    for (subject, probed) in subjects.iter().enumerate() {
        probes.extend_from_slice(&probed.probes);
        owners.resize(probes.len(), subject);
    }
    let Probed { hits, mark } = store.probe_in(index, epoch, &probes).await?;
    let ids: BTreeSet<u64> = hits.iter().map(|hit| hit.record_id).collect();
    let ids: Vec<u64> = ids.into_iter().collect();
    let held = store.held(epoch, &ids).await?;

    let siblings = rules.sibling_slot_rules();
    let mut touched: Vec<BTreeMap<u64, RuleSet>> = Vec::new();
    touched.resize_with(subjects.len(), BTreeMap::new);
    let mut by: Vec<BTreeMap<u64, Vec<[u8; TOKEN]>>> = Vec::new();
    by.resize_with(subjects.len(), BTreeMap::new);
    let mut families = AskedFamilies::new(rules, subjects);
    for Hit {
        position,
        record_id,
    } in hits
    {
        // Erased since the probe: there is nothing to decide on.
        let Some(record) = held.get(&record_id) else {
            continue;
        };
        let rule = RuleId(probes[position].0);
        let subject = owners[position];
        touched[subject].entry(record_id).or_default().insert(rule);
        by[subject]
            .entry(record_id)
            .or_default()
            .push(probes[position].1);
        if siblings.contains(&rule) {
            families.note(subject, record_id, record.family_tag, probes[position]);
        }
    }
    let subjects = subjects
        .iter()
        .zip(touched)
        .enumerate()
        .map(|(at, (subject, touched))| {
            let mut candidates = decide(rules, subject.presence, &touched, &held);
            for candidate in &mut candidates {
                let group = families.decide(rules, at, candidate.record_id);
                if let Some(group) = group
                    && rank(group.grade) > rank(candidate.decision.grade)
                {
                    candidate.decision = group;
                    candidate.by_family = true;
                }
                candidate.touching = by[at].remove(&candidate.record_id).unwrap_or_default();
                if let Some(touched) = families.touched(at, candidate.record_id) {
                    candidate.family_set = Some(limit::digest_of_family(
                        touched.subjects.iter().map(|subject| &subjects[*subject]),
                        subject,
                    ));
                    candidate.touching.extend(touched.tokens);
                    candidate.touching.sort_unstable();
                    candidate.touching.dedup();
                }
            }
            candidates.sort_by(best_first);
            candidates
        })
        .collect();
    Ok(Weighed { subjects, mark })
}

/// Decides on the records that one subject touched, together.
fn decide(
    rules: &RuleTable,
    asked: Presence,
    touched: &BTreeMap<u64, RuleSet>,
    held: &HashMap<u64, Held>,
) -> Vec<Candidate> {
    let presence = |record_id: &u64| {
        Presence::from_bits(held.get(record_id).map_or(0, |record| record.presence))
    };
    // What siblings share is weighed for the family, not for the child.
    let own = |agreed: &RuleSet| {
        let rules = rules.rules().iter().map(|rule| rule.id);
        rules.filter(|rule| agreed.contains(*rule)).collect()
    };
    let evidence: Vec<(Presence, RuleSet)> = touched
        .iter()
        .map(|(record_id, agreed)| (presence(record_id), own(agreed)))
        .collect();
    rules
        .decide_among(asked, &evidence)
        .into_iter()
        .zip(touched.iter().zip(evidence))
        .map(|(decision, ((record_id, agreed), (held, _)))| Candidate {
            record_id: *record_id,
            held,
            agreed: *agreed,
            touching: Vec::new(),
            decision,
            alone: decision,
            by_family: false,
            family_set: None,
        })
        .collect()
}

fn best_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    rank(b.decision.grade)
        .cmp(&rank(a.decision.grade))
        .then(b.decision.weight.total_cmp(&a.decision.weight))
        .then(a.record_id.cmp(&b.record_id))
}

/// Grades in ascending order.
#[must_use]
pub fn rank(grade: Grade) -> u8 {
    match grade {
        Grade::NoMatch => 1,
        Grade::Possible => 2,
        Grade::Match => 3,
    }
}
