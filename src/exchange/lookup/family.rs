//! Families on both sides of a lookup: what their sibling keys say together.
//!
//! A query does not say which of its subjects are siblings. It need not: the key of a pair of
//! siblings is the same whichever of the two is asked about, so subjects that carry an equal
//! sibling token are one asked family. A held family is known by its tag.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{ProbedSubject, TOKEN};
use crate::linkage::{Decision, GroupEvidence, RuleId, RuleTable};
use crate::store::Tag;

/// Most subjects that are taken for one family.
const LARGEST_FAMILY: usize = 8;

/// The asked families of one query with what they hit.
pub struct AskedFamilies {
    /// The rule of the keys that both of a pair of siblings have; every other sibling key is of
    /// one child beside its siblings.
    pair_rule: RuleId,
    /// For each subject, the first subject of its family.
    family: Vec<usize>,
    /// For each first subject, how many its family has.
    size: Vec<usize>,
    /// The subjects of each family that has more than one, by its first.
    members: HashMap<usize, Vec<usize>>,
    /// The distinct keys in which an asked family and a held one agree.
    agreed: BTreeMap<(usize, HeldFamily), BTreeSet<Key>>,
    /// The held family of each record that a subject shares a sibling key with.
    touched: HashMap<(usize, u64), HeldFamily>,
    /// The records that share with a subject a key of the one child.
    own: HashSet<(usize, u64)>,
    /// The held families that have such a record for a subject.
    told_apart: HashSet<(usize, HeldFamily)>,
}

/// An asked family as it touches a held record.
pub struct TouchedByFamily<'a> {
    /// Its subjects; none if the subject has no sibling in the query.
    pub subjects: &'a [usize],
    /// The tokens in which it agrees with the held family.
    pub tokens: Vec<[u8; TOKEN]>,
}

/// A sibling key: its rule and its token.
type Key = (u8, [u8; TOKEN]);

/// A held family by its tag, or a record that has none by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum HeldFamily {
    Tag(Tag),
    Alone(u64),
}

impl AskedFamilies {
    /// Finds which subjects are siblings.
    pub fn new(rules: &RuleTable, subjects: &[ProbedSubject]) -> Self {
        let siblings = rules.sibling_slot_rules();
        let mut family: Vec<usize> = (0..subjects.len()).collect();
        let mut first = HashMap::new();
        for (subject, probed) in subjects.iter().enumerate() {
            for probe in &probed.probes {
                if siblings.contains(&RuleId(probe.0)) {
                    let other = *first.entry(*probe).or_insert(subject);
                    let (a, b) = (root(&family, subject), root(&family, other));
                    family[a.max(b)] = a.min(b);
                }
            }
        }
        let mut size = vec![0; subjects.len()];
        for subject in 0..family.len() {
            family[subject] = root(&family, subject);
            size[family[subject]] += 1;
        }
        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        for (subject, first) in family.iter().enumerate() {
            if size[*first] > 1 {
                members.entry(*first).or_default().push(subject);
            }
        }
        Self {
            pair_rule: rules.sibling_pair_rule(),
            family,
            size,
            members,
            agreed: BTreeMap::new(),
            touched: HashMap::new(),
            own: HashSet::new(),
            told_apart: HashSet::new(),
        }
    }

    /// Notes that a sibling key of a subject agreed with one of a held record.
    pub fn note(
        &mut self,
        subject: usize,
        record_id: u64,
        family_tag: Option<Tag>,
        (rule, token): Key,
    ) {
        let held = family_tag.map_or(HeldFamily::Alone(record_id), HeldFamily::Tag);
        self.agreed
            .entry((self.family[subject], held))
            .or_default()
            .insert((rule, token));
        self.touched.insert((subject, record_id), held);
        if RuleId(rule) != self.pair_rule {
            self.own.insert((subject, record_id));
            self.told_apart.insert((subject, held));
        }
    }

    /// What of an asked family bears on a held record through sibling keys; `None` if nothing does,
    /// so that the subject stands for itself.
    pub fn touched(&self, subject: usize, record_id: u64) -> Option<TouchedByFamily<'_>> {
        let first = self.family[subject];
        // Beyond the size of a family nothing is owed to it.
        if self.size[first] > LARGEST_FAMILY {
            return None;
        }
        let held = *self.touched.get(&(subject, record_id))?;
        let agreed = self.agreed.get(&(first, held));
        Some(TouchedByFamily {
            subjects: self.members.get(&first).map_or(&[], Vec::as_slice),
            tokens: agreed
                .into_iter()
                .flatten()
                .map(|(_, token)| *token)
                .collect(),
        })
    }

    /// The decision on a held record by its family; `None` if no sibling key of the subject agreed
    /// with one of the record, or if another child of the held family is the subject rather.
    pub fn decide(&self, rules: &RuleTable, subject: usize, record_id: u64) -> Option<Decision> {
        // Subjects that share a token by design, not by blood, would pool guesses: beyond the size
        // of a family nothing is owed to it.
        if self.size[self.family[subject]] > LARGEST_FAMILY {
            return None;
        }
        let held = *self.touched.get(&(subject, record_id))?;
        if self.told_apart.contains(&(subject, held)) && !self.own.contains(&(subject, record_id)) {
            return None;
        }
        let agreed = self.agreed.get(&(self.family[subject], held))?;
        let pairs = agreed
            .iter()
            .filter(|(rule, _)| RuleId(*rule) == self.pair_rule)
            .count();
        // A family has few keys: what does not fit is as good as the most.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linkage::{Grade, Presence};

    /// A query of subjects that each carry pair keys (below 100) and keys of the one child, with
    /// the table they are of.
    fn query(subjects: &[&[u8]]) -> (&'static RuleTable, Vec<ProbedSubject>) {
        let rules = RuleTable::shipped().ok().unwrap();
        let subjects = subjects.iter().map(|keys| ProbedSubject {
            presence: Presence::default(),
            probes: keys.iter().map(|key| probe(rules, *key)).collect(),
        });
        (rules, subjects.collect())
    }

    fn probe(rules: &RuleTable, key: u8) -> Key {
        let pair = rules.sibling_pair_rule();
        let other = rules
            .sibling_slot_rules()
            .iter()
            .find(|rule| **rule != pair);
        let rule = if key < 100 { pair } else { *other.unwrap() };
        (rule.0, [key; TOKEN])
    }

    const FAMILY: Option<Tag> = Some([1; 16]);

    #[test]
    fn what_siblings_share_is_counted_for_their_family() {
        // Three children of one family (pairs 1, 2, 3) and one of another.
        let (rules, subjects) = query(&[&[1, 2], &[9], &[1, 3], &[2, 3]]);
        let mut families = AskedFamilies::new(rules, &subjects);
        let mut note = |subject, record, key| {
            families.note(subject, record, FAMILY, probe(rules, key));
        };
        // Two of the three are held: their one pair says too little.
        for (subject, record) in [(0, 10), (0, 11), (2, 10), (2, 11)] {
            note(subject, record, 1);
        }
        let decide = |families: &AskedFamilies, subject, record| {
            families
                .decide(rules, subject, record)
                .map(|decision| decision.grade)
        };
        assert_eq!(decide(&families, 0, 10), Some(Grade::NoMatch));
        assert_eq!(decide(&families, 3, 10), None);
        // The third is held too: now every child of the family is possible, whoever brought it.
        families.note(3, 12, FAMILY, probe(rules, 2));
        families.note(3, 12, FAMILY, probe(rules, 3));
        assert_eq!(decide(&families, 0, 10), Some(Grade::Possible));
        assert_eq!(decide(&families, 3, 12), Some(Grade::Possible));
        assert_eq!(decide(&families, 1, 10), None);
    }

    #[test]
    fn equal_evidence_counts_once_and_families_are_kept_apart() {
        let (rules, subjects) = query(&[&[1, 2], &[1]]);
        let mut families = AskedFamilies::new(rules, &subjects);
        // The same pair met through both children, and another pair in another family.
        for subject in [0, 1] {
            families.note(subject, 10, FAMILY, probe(rules, 1));
        }
        families.note(0, 20, Some([2; 16]), probe(rules, 2));
        families.note(0, 30, None, probe(rules, 2));
        let one = rules.decide_group(GroupEvidence {
            pairs: 1,
            triples: 0,
        });
        for record in [10, 20, 30] {
            assert_eq!(families.decide(rules, 0, record), Some(one));
        }
    }

    #[test]
    fn more_subjects_than_a_family_has_pool_nothing() {
        let mine: Vec<Vec<u8>> = (0..=LARGEST_FAMILY as u8)
            .map(|at| vec![1, 10 + at])
            .collect();
        let keys: Vec<&[u8]> = mine.iter().map(Vec::as_slice).collect();
        for (subjects, pooled) in [(LARGEST_FAMILY, true), (LARGEST_FAMILY + 1, false)] {
            let (rules, asked) = query(&keys[..subjects]);
            let mut families = AskedFamilies::new(rules, &asked);
            for (subject, keys) in keys[..subjects].iter().enumerate() {
                families.note(subject, 10, FAMILY, probe(rules, keys[1]));
            }
            assert_eq!(families.decide(rules, 0, 10).is_some(), pooled);
        }
    }

    #[test]
    fn a_key_of_the_one_child_tells_it_from_its_siblings() {
        let (rules, subjects) = query(&[&[1, 2, 101]]);
        let mut families = AskedFamilies::new(rules, &subjects);
        for (record, key) in [(10, 1), (10, 2), (10, 101), (11, 1), (12, 2)] {
            families.note(0, record, FAMILY, probe(rules, key));
        }
        assert!(families.decide(rules, 0, 10).is_some());
        assert_eq!(families.decide(rules, 0, 11), None);
        assert_eq!(families.decide(rules, 0, 12), None);
    }
}
