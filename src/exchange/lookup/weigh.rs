//! From hits to candidates: the part of a lookup that a measurement runs too.

use std::collections::BTreeMap;

use crate::linkage::{Decision, Grade, GroupEvidence, Presence, RuleId, RuleSet, RuleTable};
use crate::store::{Hit, Store, StoreError};

/// A subject as it came over the wire: its presence mask and the probes of its slots.
pub struct ProbedSubject {
    /// Which fields the asking party knows.
    pub presence: Presence,
    /// Rule and token of each slot that a rule owns.
    pub probes: Vec<(u8, [u8; 16])>,
}

/// A record that a subject touched, with the decision on it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The record.
    pub record_id: u64,
    /// The rules that agreed.
    pub agreed: RuleSet,
    /// What comes of it.
    pub decision: Decision,
}

/// Probes the published index for all subjects at once and decides on every record touched.
///
/// For each subject: its candidates, best first. Records that were touched and decided as no match
/// are among them, since touching is what the probe limit counts.
///
/// # Errors
/// If the store fails.
pub async fn weigh(
    store: &Store,
    rules: &RuleTable,
    subjects: &[ProbedSubject],
) -> Result<Vec<Vec<Candidate>>, StoreError> {
    let mut probes = Vec::new();
    let mut owners = Vec::new();
    for (subject, probed) in subjects.iter().enumerate() {
        for probe in &probed.probes {
            probes.push(*probe);
            owners.push(subject);
        }
    }
    let hits = store.probe(&probes).await?;
    let mut touched: Vec<BTreeMap<u64, Touch>> = Vec::new();
    touched.resize_with(subjects.len(), BTreeMap::new);
    let siblings = rules.sibling_slot_rules();
    for Hit {
        position,
        record_id,
    } in hits
    {
        let rule = RuleId(probes[position].0);
        let touch = touched[owners[position]].entry(record_id).or_default();
        if siblings.contains(&rule) {
            touch.siblings.push(rule);
        } else {
            touch.agreed.insert(rule);
        }
    }
    let mut presence = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(subjects.len());
    for (subject, touched) in subjects.iter().zip(touched) {
        let mut candidates = Vec::with_capacity(touched.len());
        for (record_id, touch) in touched {
            let held = match presence.get(&record_id) {
                Some(held) => *held,
                None => {
                    let held = Presence::from_bits(store.presence(record_id).await?.unwrap_or(0));
                    presence.insert(record_id, held);
                    held
                }
            };
            let mut decision = rules.decide(subject.presence, held, touch.agreed);
            let group = rules.decide_group(GroupEvidence::default());
            if rank(group.grade) > rank(decision.grade) {
                decision = group;
            }
            candidates.push(Candidate {
                record_id,
                agreed: touch.agreed,
                decision,
            });
        }
        candidates.sort_by(|a, b| {
            rank(b.decision.grade)
                .cmp(&rank(a.decision.grade))
                .then(b.decision.weight.total_cmp(&a.decision.weight))
                .then(a.record_id.cmp(&b.record_id))
        });
        outcomes.push(candidates);
    }
    Ok(outcomes)
}

#[derive(Default)]
struct Touch {
    agreed: RuleSet,
    siblings: Vec<RuleId>,
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
