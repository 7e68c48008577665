//! Families on both sides of a lookup: what their sibling keys say together.
//!
//! A query does not say which of its subjects are siblings. It need not: a key over a pair of
//! siblings is the same whichever of the two is asked about, so subjects that carry an equal
//! sibling token are one asked family, and nothing is learned but by who sent them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{ProbedSubject, TOKEN};
use crate::linkage::{Decision, GroupEvidence, RuleId, RuleTable};
use crate::store::Tag;

/// The asked families of one query with what they hit.
pub struct AskedFamilies {
    /// For each subject, the first subject of its family.
    family: Vec<usize>,
    /// The distinct keys in which an asked family and a held one agree.
    agreed: BTreeMap<(usize, HeldFamily), BTreeSet<(u8, [u8; TOKEN])>>,
    /// The held family of each record that a subject shares a sibling key with.
    touched: HashMap<(usize, u64), HeldFamily>,
}

/// A held family by its tag, or a record that has none by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum HeldFamily {
    Tag(Tag),
    Alone(u64),
}

impl AskedFamilies {
    /// Finds which subjects are siblings. `rules` are those that own sibling slots.
    pub fn new(rules: &[RuleId], subjects: &[ProbedSubject]) -> Self {
        let mut family: Vec<usize> = (0..subjects.len()).collect();
        let mut first = HashMap::new();
        for (subject, probed) in subjects.iter().enumerate() {
            for probe in &probed.probes {
                if rules.contains(&RuleId(probe.0)) {
                    let other = *first.entry(*probe).or_insert(subject);
                    let (a, b) = (root(&family, subject), root(&family, other));
                    family[a.max(b)] = a.min(b);
                }
            }
        }
        for subject in 0..family.len() {
            family[subject] = root(&family, subject);
        }
        Self {
            family,
            agreed: BTreeMap::new(),
            touched: HashMap::new(),
        }
    }

    /// Notes that a sibling key of a subject agreed with one of a held record.
    pub fn note(
        &mut self,
        subject: usize,
        record_id: u64,
        family_tag: Option<Tag>,
        rule: u8,
        token: [u8; TOKEN],
    ) {
        let held = family_tag.map_or(HeldFamily::Alone(record_id), HeldFamily::Tag);
        let asked = self.family[subject];
        self.agreed
            .entry((asked, held))
            .or_default()
            .insert((rule, token));
        self.touched.insert((subject, record_id), held);
    }

    /// The decision on a held record by its family; `None` if no sibling key of the subject agreed
    /// with one of the record.
    pub fn decide(&self, rules: &RuleTable, subject: usize, record_id: u64) -> Option<Decision> {
        let held = self.touched.get(&(subject, record_id))?;
        let agreed = self.agreed.get(&(self.family[subject], *held))?;
        let pair_rule = rules.sibling_pair_rule();
        let pairs = agreed
            .iter()
            .filter(|(rule, _)| RuleId(*rule) == pair_rule)
            .count();
        // A family has no more keys than fit: what is above is as good as the most.
        let count = |keys: usize| u16::try_from(keys).unwrap_or(u16::MAX);
        Some(rules.decide_group(GroupEvidence {
            pairs: count(pairs),
            triples: count(agreed.len() - pairs),
        }))
    }
}

fn root(family: &[usize], mut subject: usize) -> usize {
    while family[subject] != subject {
        subject = family[subject];
    }
    subject
}
