//! Keys over pairs of siblings, and the evidence of a family.
//!
//! Names, parents and birthplace may all have been replaced; birth dates often stay, and many of the
//! children looked for were listed beside a sibling. One date says nothing; two dates of one family,
//! with the two sexes, are as telling as a name and a date. So each child of a family yields
//!
//! * a *pair* key with each sibling: both full dates and both sexes;
//! * *triple* keys with each two siblings: their full dates and sexes, and its own sex and date with
//!   the year, the month or the day left out, so that a family of three is confirmed although a
//!   digit of one date is wrong.
//!
//! The holder counts which keys met within one held family. What it concludes is never more than
//! [`Grade::Possible`], and always goes to a person.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::attributes::{Attributes, Sex};
use super::date;
use super::decide::{Decision, Grade, Thresholds};
use super::entropy;
use super::rules::{Ingredient, LinkageKey, RuleId, RuleTable, RuleTableError};

/// Siblings beside the child itself that keys are made with: the next in age order.
const MOST_SIBLINGS: usize = 3;
/// Pairs of siblings among those.
const SIBLING_PAIRS: usize = MOST_SIBLINGS * (MOST_SIBLINGS - 1) / 2;
/// Forms of a date with one part left out.
const WILDCARDS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSiblings {
    /// Ids of the two rules.
    pair_rule: u8,
    triple_rule: u8,
    /// Families in the reference register.
    families: f64,
    /// Expected number of them, for one family asked about, that are the same family.
    expected: f64,
    /// Weight from which a family is possible.
    possible_at: f64,
    /// Whether one pair key alone makes a family possible.
    pair_alone: bool,
}

/// The sibling rules of a table.
pub(super) struct SiblingRules {
    slots: Vec<RuleId>,
    pair: RuleId,
    triple: RuleId,
    prior: f64,
    possible_at: f64,
    pair_alone: bool,
}

impl SiblingRules {
    pub(super) fn new(raw: &RawSiblings, floor: f64) -> Result<Self, RuleTableError> {
        if raw.pair_rule > 63 || raw.triple_rule > 63 || raw.pair_rule == raw.triple_rule {
            return Err(RuleTableError::Id {
                id: raw.triple_rule,
            });
        }
        let bits = pair_bits();
        if bits < floor {
            return Err(RuleTableError::Entropy {
                id: raw.pair_rule,
                bits,
                floor,
            });
        }
        let (pair, triple) = (RuleId(raw.pair_rule), RuleId(raw.triple_rule));
        let mut slots = vec![pair; MOST_SIBLINGS];
        slots.extend([triple; SIBLING_PAIRS * WILDCARDS]);
        let prior = (raw.expected / raw.families).log2();
        if !prior.is_finite() {
            let what = "families and expected must be above 0";
            return Err(RuleTableError::States {
                variable: "siblings".to_owned(),
                what,
            });
        }
        Ok(Self {
            slots,
            pair,
            triple,
            prior,
            possible_at: raw.possible_at,
            pair_alone: raw.pair_alone,
        })
    }
}

/// Bits that one child's full date and sex add to a sibling's: births of one family fall within
/// about six years of each other.
fn next_child_bits() -> f64 {
    const SPACING_YEARS: f64 = 6.0;
    (SPACING_YEARS * 365.25).log2() + 1.0
}

/// Shannon entropy of a pair key in bits.
#[must_use]
pub fn pair_bits() -> f64 {
    entropy::joint(&[Ingredient::Date]).shannon + 1.0 + next_child_bits()
}

/// Which keys met between one asked family and one held family, over all their children together,
/// each distinct key counted once. (Of a single child and record it may be counted too: less is
/// found.)
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct GroupEvidence {
    /// Pair keys that met.
    pub pairs: u16,
    /// Triple keys that met.
    pub triples: u16,
}

impl RuleTable {
    /// Which rule owns sibling slot `i`.
    #[must_use]
    pub fn sibling_slot_rules(&self) -> &[RuleId] {
        &self.siblings.slots
    }

    /// The rule of the pair keys.
    #[must_use]
    pub fn sibling_pair_rule(&self) -> RuleId {
        self.siblings.pair
    }

    /// What a family's weight is held against: it is never a match.
    #[must_use]
    pub fn group_thresholds(&self) -> Thresholds {
        Thresholds {
            match_at: f64::INFINITY,
            possible_at: self.siblings.possible_at,
        }
    }

    /// Sibling keys of the child at `which` in its family, in the order of the sibling slots. None
    /// when the child or every sibling lacks a full date or a sex.
    #[must_use]
    pub fn derive_siblings(&self, family: &[Attributes<'_>], which: usize) -> Vec<LinkageKey> {
        let Some(child) = family.get(which).and_then(Sibling::of) else {
            return Vec::new();
        };
        let mut others: Vec<Sibling> = family
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != which)
            .filter_map(|(_, a)| Sibling::of(a))
            .collect();
        others.sort_by(|a, b| a.exact.cmp(&b.exact));
        others.truncate(MOST_SIBLINGS);
        let mut keys = Vec::new();
        for other in &others {
            keys.push(self.sibling_key(self.siblings.pair, &mut [&child.exact, &other.exact], ""));
        }
        for (n, first) in others.iter().enumerate() {
            for second in &others[n + 1..] {
                for wildcard in &child.wildcards {
                    let mut both = [first.exact.as_str(), second.exact.as_str()];
                    keys.push(self.sibling_key(self.siblings.triple, &mut both, wildcard));
                }
            }
        }
        keys
    }

    fn sibling_key(&self, rule: RuleId, children: &mut [&str; 2], wildcard: &str) -> LinkageKey {
        children.sort_unstable();
        let mut text = Zeroizing::new(Vec::with_capacity(48));
        text.push(rule.0);
        for part in [children[0], children[1], wildcard] {
            text.push(0x1f);
            text.extend_from_slice(part.as_bytes());
        }
        LinkageKey { rule, text }
    }

    /// The decision on a held family, never above [`Grade::Possible`].
    ///
    /// `k` children whose dates all agree make `k (k - 1) / 2` pairs, so the count of pairs gives
    /// the number of children found, each of which adds the bits of one date and sex; a child found
    /// by a wildcard adds those of the wildcard.
    #[must_use]
    pub fn decide_group(&self, evidence: GroupEvidence) -> Decision {
        if evidence == GroupEvidence::default() {
            return Decision {
                grade: Grade::NoMatch,
                weight: f64::NEG_INFINITY,
                more: None,
            };
        }
        // A triple key holds a pair's two dates, whether or not the pair's own key was counted.
        let pairs = evidence.pairs.max(1);
        let children = f64::midpoint(1.0, (1.0 + 8.0 * f64::from(pairs)).sqrt());
        let wildcard = if evidence.triples > 0 {
            WILDCARD_BITS
        } else {
            0.0
        };
        let bits = pair_bits() + next_child_bits() * (children - 2.0) + wildcard;
        let weight = self.siblings.prior + bits;
        // The one pair key of two children meets a stranger's family in 3 of 1,000 families asked
        // against 20,000: too often to give hope by itself, unless the table's owner decides so.
        let enough = self.siblings.pair_alone || evidence.pairs > 1 || evidence.triples > 0;
        let possible = enough && weight >= self.siblings.possible_at;
        let grade = if possible {
            Grade::Possible
        } else {
            Grade::NoMatch
        };
        Decision {
            grade,
            weight,
            more: None,
        }
    }
}

/// Bits of a date without its year, month or day: the least of the three, with the sex.
const WILDCARD_BITS: f64 = 8.0;

/// One child as the sibling keys see it.
struct Sibling {
    exact: Zeroizing<String>,
    wildcards: [Zeroizing<String>; WILDCARDS],
}

impl Sibling {
    fn of(a: &Attributes<'_>) -> Option<Self> {
        let sex = if a.sex? == Sex::Female { 'f' } else { 'm' };
        let forms = date::forms(a.date_of_birth?);
        let marked = |name: &str, form: Option<Zeroizing<String>>| {
            form.map(|f| Zeroizing::new(format!("{sex}{name}{}", &*f)))
        };
        Some(Self {
            exact: marked("", forms.full)?,
            wildcards: [
                marked("y", forms.month_day)?,
                marked("d", forms.year_month)?,
                marked("m", forms.year_day)?,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Date;
    use super::*;

    fn child(sex: Sex, y: i32, m: u8, d: u8) -> Attributes<'static> {
        Attributes {
            sex: Some(sex),
            date_of_birth: Date::new(y, Some(m), Some(d)),
            ..Attributes::default()
        }
    }

    fn table() -> &'static RuleTable {
        RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"))
    }

    fn evidence(a: &[Attributes<'_>], b: &[Attributes<'_>]) -> GroupEvidence {
        let all = |family: &[Attributes<'_>]| {
            let mut keys: Vec<(RuleId, Vec<u8>)> = (0..family.len())
                .flat_map(|n| table().derive_siblings(family, n))
                .map(|k| (k.rule, k.text.to_vec()))
                .collect();
            keys.sort();
            keys.dedup();
            keys
        };
        let held = all(b);
        let met: Vec<_> = all(a).into_iter().filter(|k| held.contains(k)).collect();
        let pairs = met
            .iter()
            .filter(|k| k.0 == table().sibling_pair_rule())
            .count();
        GroupEvidence {
            pairs: pairs as u16,
            triples: (met.len() - pairs) as u16,
        }
    }

    #[test]
    fn three_children_are_found_by_their_dates_alone() {
        use Sex::{Female, Male};
        let a = [
            child(Female, 2010, 5, 3),
            child(Male, 2012, 7, 19),
            child(Male, 2015, 2, 28),
        ];
        let same = evidence(&a, &[a[2], a[0], a[1]]);
        assert_eq!(
            same,
            GroupEvidence {
                pairs: 3,
                triples: 9
            }
        );
        let slip = [a[0], a[1], child(Male, 2015, 2, 23)];
        let near = evidence(&a, &slip);
        assert_eq!((near.pairs, near.triples > 0), (1, true));
        assert!(table().decide_group(same).weight > table().decide_group(near).weight);
        assert_eq!(table().decide_group(same).grade, Grade::Possible);
        assert_eq!(table().decide_group(near).grade, Grade::Possible);
        let pair = evidence(&a[..2], &a);
        assert_eq!(table().decide_group(pair).grade, Grade::NoMatch);
        let other = [child(Female, 2010, 5, 4), child(Male, 2012, 7, 18), a[2]];
        assert_eq!(
            table().decide_group(evidence(&a, &other)).grade,
            Grade::NoMatch
        );
    }

    #[test]
    fn a_large_family_stays_within_its_slots() {
        let many: Vec<_> = (1..=12).map(|m| child(Sex::Male, 2012, m, 5)).collect();
        for n in 0..many.len() {
            let keys = table().derive_siblings(&many, n);
            let slots = table().sibling_slot_rules();
            assert_eq!(keys.len(), slots.len());
            assert!(keys.iter().zip(slots).all(|(k, s)| k.rule == *s));
        }
    }

    #[test]
    fn nothing_without_a_full_date_and_a_sex() {
        let alone = [child(Sex::Male, 2012, 1, 5)];
        assert!(table().derive_siblings(&alone, 0).is_empty());
        assert!(table().derive_siblings(&alone, 7).is_empty());
        let vague = Attributes {
            date_of_birth: Date::new(2012, None, None),
            ..Attributes::default()
        };
        assert!(table().derive_siblings(&[alone[0], vague], 0).is_empty());
    }
}
