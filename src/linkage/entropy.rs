//! How guessable a rule's key is, on the committed statistics.
//!
//! Whoever could evaluate the coalition's PRF on keys of their choice would try the likely ones
//! first. The *Shannon entropy* of a key bounds the work of testing a stranger blindly; the
//! *min-entropy* is that of the commonest values. Neither protects against someone who knows the
//! child: so each rule also states the min-entropy left to one who knows the name, and to one who
//! knows the name and the year of birth.
//!
//! Dependent ingredients are counted jointly: those of one comparison by the most telling of them, a
//! sex not at all beside a given name, a family name that may be the mother's as one family name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::rules::Ingredient;
use super::skeleton::rows_of;

/// A row of the committed statistics.
pub(super) struct StatisticsRow {
    pub(super) attribute: &'static str,
    pub(super) value: &'static str,
    /// How many values share the row, equally.
    pub(super) values: f64,
    /// Percent of people.
    pub(super) share: f64,
}

/// The rows of the committed statistics.
pub(super) fn rows() -> impl Iterator<Item = StatisticsRow> {
    rows_of(include_str!("data/statistics.tsv")).filter_map(|line| {
        let mut cells = line.split('\t');
        Some(StatisticsRow {
            attribute: cells.next()?,
            value: cells.next()?,
            values: cells.next()?.parse().ok()?,
            share: cells.next()?.parse().ok()?,
        })
    })
}

/// Entropy of a key, in bits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Joint {
    /// Shannon entropy.
    pub shannon: f64,
    /// Min-entropy.
    pub min: f64,
    /// Min-entropy for one who knows the family and given name.
    pub min_knowing_name: f64,
    /// Min-entropy for one who knows the name and the year of birth.
    pub min_knowing_name_and_year: f64,
}

impl Joint {
    /// Above any rule's.
    pub const MOST: Self = Self {
        shannon: f64::INFINITY,
        min: f64::INFINITY,
        min_knowing_name: f64::INFINITY,
        min_knowing_name_and_year: f64::INFINITY,
    };

    /// The lesser of both, each figure for itself.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            shannon: self.shannon.min(other.shannon),
            min: self.min.min(other.min),
            min_knowing_name: self.min_knowing_name.min(other.min_knowing_name),
            min_knowing_name_and_year: self
                .min_knowing_name_and_year
                .min(other.min_knowing_name_and_year),
        }
    }
}

/// Shannon and min-entropy of one ingredient.
#[derive(Clone, Copy, Default)]
struct Bits {
    shannon: f64,
    min: f64,
}

impl Bits {
    fn uniform(values: f64) -> Self {
        Self {
            shannon: values.log2(),
            min: values.log2(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            shannon: self.shannon + other.shannon,
            min: self.min + other.min,
        }
    }

    fn most(self, other: Self) -> Self {
        if other.shannon > self.shannon {
            other
        } else {
            self
        }
    }
}

/// Births that the statistics speak of lie within so many years.
const YEARS: f64 = 18.0;
/// Part of birth dates written as 1 January because the day is not known.
const PLACEHOLDERS: f64 = 0.02;

static BITS: LazyLock<BTreeMap<&'static str, Bits>> = LazyLock::new(|| {
    let mut out: BTreeMap<&'static str, Bits> = BTreeMap::new();
    let mut commonest: BTreeMap<&'static str, f64> = BTreeMap::new();
    for row in rows() {
        if row.attribute == "bits" {
            out.insert(
                row.value,
                Bits {
                    shannon: row.values,
                    min: row.share,
                },
            );
            continue;
        }
        let each = row.share / 100.0 / row.values;
        let top = commonest.entry(row.attribute).or_insert(0.0);
        *top = top.max(each);
        let min = -top.log2();
        let bits = out.entry(row.attribute).or_default();
        bits.shannon -= row.share / 100.0 * each.log2();
        bits.min = min;
    }
    // The family name's own rows are of names as written; its skeleton's bits replace them.
    let given = |sex: &str| out.get(sex).copied().unwrap_or_default();
    let (f, m) = (given("given_f"), given("given_m"));
    let both = Bits {
        shannon: 1.0 + (f.shannon + m.shannon) / 2.0,
        min: 1.0 + f.min.min(m.min),
    };
    out.insert("given", both);
    out
});

fn bits(name: &str) -> Bits {
    BITS.get(name).copied().unwrap_or_default()
}

/// Bits of a date's form of `days` values a year, the first of which the placeholders add to.
fn date_bits(years: f64, days: f64) -> Bits {
    let other = (1.0 - PLACEHOLDERS) / days;
    let first = other + PLACEHOLDERS;
    let within = -first * first.log2() - (days - 1.0) * other * other.log2();
    Bits {
        shannon: years.log2() + within,
        min: years.log2() - first.log2(),
    }
}

/// What an ingredient is about; those of one subject are counted by the most telling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Family,
    Given,
    Date,
    Patronymic,
    MotherGiven,
    Place,
    Address,
    Document,
}

/// The subjects of an ingredient with its bits about each, and what is left of them to one who
/// knows the year.
fn parts(of: Ingredient) -> Vec<(Subject, Bits, Bits)> {
    use Ingredient as I;
    use Subject as S;
    let same = |s, b| vec![(s, b, b)];
    match of {
        I::Family | I::SurnameAny | I::MotherFamily => same(S::Family, bits("family")),
        I::FamilySounds => same(S::Family, bits("family_sounds")),
        I::FamilyHead => same(S::Family, bits("family_head")),
        I::FamilyStart => same(S::Family, bits("family_start")),
        I::NamesStarts => {
            let (family, given) = (bits("names_starts_family"), bits("names_starts_given"));
            vec![(S::Family, family, family), (S::Given, given, given)]
        }
        I::Given | I::GivenAny | I::GivenBones => same(S::Given, bits("given")),
        I::GivenUnlisted => same(S::Given, bits("given_unlisted")),
        I::GivenStart => same(S::Given, bits("given_start")),
        I::Sex => same(S::Given, Bits::uniform(2.0)),
        I::Date => vec![(S::Date, date_bits(YEARS, 365.25), date_bits(1.0, 365.25))],
        I::MonthDay => same(S::Date, date_bits(1.0, 365.25)),
        I::YearMonth => vec![(S::Date, date_bits(YEARS, 12.0), date_bits(1.0, 12.0))],
        I::YearDay => vec![(S::Date, date_bits(YEARS, 30.4), date_bits(1.0, 30.4))],
        // 66 pairs of two different numbers up to 12.
        I::YearSwap => vec![(S::Date, Bits::uniform(YEARS * 66.0), Bits::uniform(66.0))],
        I::Year => vec![(S::Date, Bits::uniform(YEARS), Bits::default())],
        I::Patronymic => same(S::Patronymic, bits("patronymic")),
        I::MotherGiven => same(S::MotherGiven, bits("mother_given")),
        I::Place | I::LastPlace => same(S::Place, bits("place")),
        I::PlaceUnlisted => same(S::Place, bits("place_unlisted")),
        I::PlaceStart => same(S::Place, bits("place_start")),
        I::Document => same(S::Document, bits("document")),
        I::Address => same(S::Address, bits("address")),
    }
}

/// The joint entropy of a key's ingredients, dependent ones counted jointly.
#[must_use]
pub fn joint(of: &[Ingredient]) -> Joint {
    let mut subjects: BTreeMap<Subject, (Bits, Bits)> = BTreeMap::new();
    for (subject, all, knowing_year) in of.iter().flat_map(|i| parts(*i)) {
        let known = subjects.entry(subject).or_default();
        *known = (known.0.most(all), known.1.most(knowing_year));
    }
    let sum = |keep: &dyn Fn(Subject) -> bool, knowing_year: bool| {
        subjects
            .iter()
            .filter(|(s, _)| keep(**s))
            .fold(Bits::default(), |sum, (_, (all, less))| {
                sum.plus(if knowing_year { *less } else { *all })
            })
    };
    let not_name = |s: Subject| !matches!(s, Subject::Family | Subject::Given);
    let all = sum(&|_| true, false);
    Joint {
        shannon: all.shannon,
        min: all.min,
        min_knowing_name: sum(&not_name, false).min,
        min_knowing_name_and_year: sum(&not_name, true).min,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::{FLOOR_BITS, RuleTable, RuleTableError};
    use super::*;

    #[test]
    fn the_shipped_rules_hold_the_floor() {
        let table = RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"));
        for rule in table.rules() {
            for of in [&rule.of, &rule.otherwise, &rule.unlisted] {
                assert!(
                    of.is_empty() || joint(of).shannon >= FLOOR_BITS,
                    "rule {}",
                    rule.id.0
                );
            }
        }
        assert!(super::super::siblings::pair_bits() >= FLOOR_BITS);
    }

    #[test]
    fn shares_are_shares() {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for row in rows().filter(|r| r.attribute != "bits") {
            assert!(row.values >= 1.0 && row.share > 0.0, "{}", row.value);
            *sums.entry(row.attribute).or_default() += row.share;
        }
        for (attribute, sum) in sums {
            assert!((sum - 100.0).abs() < 0.5, "{attribute} adds up to {sum}");
        }
    }

    #[test]
    fn dependent_ingredients_are_counted_once() {
        use Ingredient as I;
        let one = joint(&[I::Family, I::Given]);
        assert_eq!(
            joint(&[I::Family, I::SurnameAny, I::MotherFamily, I::Given, I::Sex]),
            one
        );
        assert_eq!(one.min_knowing_name, 0.0);
        let dated = joint(&[I::Family, I::Given, I::MonthDay]);
        assert!(dated.min_knowing_name > 5.0 && dated.min_knowing_name < 9.0);
        assert_eq!(joint(&[I::Year]).min_knowing_name_and_year, 0.0);
    }

    #[test]
    fn min_entropy_is_below_shannon_entropy() {
        for i in Ingredient::ALL {
            let j = joint(&[i]);
            assert!(j.min <= j.shannon + 1e-9 && j.shannon > 0.0, "{}", i.name());
        }
    }

    #[test]
    fn a_guessable_rule_is_refused_by_name() {
        let weak = include_str!("data/rules.toml").replacen(
            "of = [\"family\", \"date\"]",
            "of = [\"given\", \"date\"]",
            1,
        );
        let refused = RuleTable::parse(&weak).err();
        assert!(
            matches!(refused, Some(RuleTableError::Entropy { id: 2, .. })),
            "{refused:?}"
        );
        assert!(RuleTable::parse_with_floor(&weak, 0.0).is_ok());
    }
}
