//! Learning the model's probabilities from two registers, at a place that holds both in clear.
//!
//! The rates u are those among pairs taken at random, nearly all of which are strangers. The rates m
//! come from pairs known to be the same child, or, without any truth, from expectation and
//! maximisation over the candidate pairs: each candidate counts by the posterior probability that
//! the current rates give it (Winkler 1988; the u held at their random-pair values, which keeps the
//! two classes from changing places). The present table is the prior, worth `PRIOR` pairs, so that
//! a state that the registers never show keeps a sensible rate.

use std::fmt::Write as _;

use super::attributes::Field;
use super::comparisons::{CONDITIONS, SHAPES};
use super::features::Features;
use super::rules::{Ingredient, RuleTable};

/// Pairs that the rates of the present table count for.
const PRIOR: f64 = 20.0;
/// Least rate written to a table.
const LEAST_RATE: f64 = 1e-6;
/// Rounds of expectation and maximisation.
const ROUNDS: usize = 25;

/// The state of each comparison of one pair, `None` where one of the two records lacks it.
pub type States = Vec<Option<usize>>;

/// Rates of one table of the model: per state m and u.
pub struct Rates {
    /// Name under `model.states`.
    pub table: &'static str,
    /// Names of the states, and m and u of each.
    pub states: Vec<(&'static str, [f64; 2])>,
}

/// Compares two records in clear. Dates are compared only where both have their day.
#[must_use]
pub fn compare(a: &Features, b: &Features) -> States {
    let agrees = |i: Ingredient| a.values(i).iter().any(|v| b.values(i).contains(v));
    let both = a.presence.both(b.presence);
    let state = |shape: &super::comparisons::Shape| {
        let mine = |i: &Ingredient| shape.states.iter().any(|(_, all)| all.contains(i));
        let holds: Vec<Ingredient> = Ingredient::ALL
            .into_iter()
            .filter(|i| mine(i) && agrees(*i))
            .collect();
        // The first state that states nothing untrue. Its optional statements may be missing where
        // it states the comparison's main ingredient, which carries it without them.
        let main = shape.main();
        shape.states.iter().position(|(_, all)| {
            let carried = main.is_some_and(|m| all.contains(&m));
            let spared = |i: Ingredient| carried && i.optional() && !rare(i) && absent(a, b, i);
            let allowed = |i: &Ingredient| i.beginning() && all.first() != Some(i);
            all.iter()
                .all(|i| holds.contains(i) || spared(*i) || allowed(i))
        })
    };
    let in_full = |s: &super::comparisons::Shape| {
        both.has(s.field) && (s.field != Field::Year || both.has(Field::MonthDay))
    };
    SHAPES
        .iter()
        .map(|s| if in_full(s) { state(s) } else { None })
        .collect()
}

/// Statements that make a state of their own, so that a missing one is an untrue one.
fn rare(i: Ingredient) -> bool {
    matches!(i, Ingredient::GivenUnlisted | Ingredient::PlaceUnlisted)
}

fn absent(a: &Features, b: &Features, i: Ingredient) -> bool {
    a.values(i).is_empty() || b.values(i).is_empty()
}

/// The rates from pairs known to be the same child and from pairs taken at random.
#[must_use]
pub fn with_truth(prior: &RuleTable, same: &[States], random: &[States]) -> Vec<Rates> {
    let same: Vec<(&States, f64)> = same.iter().map(|s| (s, 1.0)).collect();
    rates(&prior_rates(prior), &same, random)
}

/// The rates from candidate pairs of unknown truth and from pairs taken at random.
///
/// `parse` makes a table of the rates of each round, usually the prior's text with the rates
/// replaced; a round whose rates it refuses ends the search.
#[must_use]
pub fn without_truth(
    prior: &RuleTable,
    candidates: &[States],
    random: &[States],
    parse: impl Fn(&[Rates]) -> Option<RuleTable>,
) -> Vec<Rates> {
    let start = prior_rates(prior);
    let mut table: Option<RuleTable> = None;
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        let model = &table.as_ref().unwrap_or(prior).model;
        let weighed: Vec<(&States, f64)> = candidates
            .iter()
            .map(|s| {
                let odds = model.odds_in_view(s);
                (s, odds / (1.0 + odds))
            })
            .collect();
        found = rates(&start, &weighed, random);
        match parse(&found) {
            Some(next) => table = Some(next),
            None => break,
        }
    }
    found
}

/// The rates as the rule table writes them.
#[must_use]
pub fn to_toml(rates: &[Rates]) -> String {
    let mut out = String::new();
    for table in rates {
        let _ = writeln!(out, "[model.states.{}]", table.table);
        for (state, [m, u]) in &table.states {
            // Nothing is impossible: a rate rounded to 0 would veto a state for good.
            let (m, u) = (m.max(LEAST_RATE), u.max(LEAST_RATE));
            let _ = writeln!(
                out,
                "{state:12} = [{m:.6}, {u:.8}] # {:+.1} bits",
                (m / u).log2()
            );
        }
        out.push('\n');
    }
    out
}

fn prior_rates(prior: &RuleTable) -> Vec<[Option<Vec<[f64; 2]>>; 2]> {
    (0..SHAPES.len()).map(|n| prior.model.rates(n)).collect()
}

/// Counts states, weighed for m and plain for u, the prior added.
fn rates(
    prior: &[[Option<Vec<[f64; 2]>>; 2]],
    same: &[(&States, f64)],
    random: &[States],
) -> Vec<Rates> {
    let mut out = Vec::new();
    for (at, shape) in SHAPES.iter().enumerate() {
        let condition = CONDITIONS.iter().find(|c| c.0 == at);
        for dependent in [false, true] {
            let Some(before) = &prior[at][usize::from(dependent)] else {
                continue;
            };
            let mut counts: Vec<[f64; 2]> =
                before.iter().map(|[m, u]| [m * PRIOR, u * PRIOR]).collect();
            let counted = |s: &States| {
                let met = condition.is_some_and(|c| s[c.1].is_some_and(|x| SHAPES[c.1].agrees(x)));
                if met == dependent { s[at] } else { None }
            };
            for (s, weight) in same {
                if let Some(state) = counted(s) {
                    counts[state][0] += weight;
                }
            }
            for s in random {
                if let Some(state) = counted(s) {
                    counts[state][1] += 1.0;
                }
            }
            let sum = |which: usize| counts.iter().map(|c| c[which]).sum::<f64>();
            let (m, u) = (sum(0), sum(1));
            let names = shape.states.iter().map(|s| s.0);
            let table = match (dependent, condition) {
                (true, Some(c)) => c.2,
                _ => shape.name,
            };
            let states = names
                .zip(&counts)
                .map(|(n, c)| (n, [c[0] / m, c[1] / u]))
                .collect();
            out.push(Rates { table, states });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{Attributes, Date};
    use super::*;

    fn table() -> &'static RuleTable {
        RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"))
    }

    fn at(name: &str) -> usize {
        SHAPES.iter().position(|s| s.name == name).unwrap_or(0)
    }

    /// Pairs in which patronymics agree in so many percent, and the family names in nearly all or
    /// nearly none.
    fn pairs(count: u32, patronymic: u32, family: u32) -> Vec<States> {
        let one = |n: u32| {
            let mut states: States = vec![None; SHAPES.len()];
            let roll = |salt: u32| n.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 8 & 0x7f;
            let pick = |yes: bool, of: usize| if yes { 0 } else { SHAPES[of].states.len() - 1 };
            let agree = |percent: u32, salt: u32| roll(salt) * 100 < percent * 128;
            for (name, percent, salt) in [
                ("patronymic", patronymic, 0),
                ("family", family, 77 << 8),
                ("mother_given", family, 5 << 9),
            ] {
                states[at(name)] = Some(pick(agree(percent, salt), at(name)));
            }
            states[at("date")] = Some(pick(family > 50, at("date")));
            states
        };
        (0..count).map(one).collect()
    }

    fn m_of(rates: &[Rates], table: &str) -> f64 {
        rates
            .iter()
            .find(|r| r.table == table)
            .map_or(0.0, |r| r.states[0].1[0])
    }

    /// The shipped table with other rates.
    fn with_rates(rates: &[Rates]) -> String {
        let shipped = include_str!("data/rules.toml");
        let start = shipped.find("[model.states.").unwrap_or(0);
        let end = shipped.find("[model.states_bare.").unwrap_or(shipped.len());
        format!("{}{}{}", &shipped[..start], to_toml(rates), &shipped[end..])
    }

    #[test]
    fn truth_gives_the_rates_back() {
        let found = with_truth(table(), &pairs(4_000, 80, 95), &pairs(4_000, 4, 2));
        assert!((m_of(&found, "patronymic") - 0.80).abs() < 0.03);
        let u = found
            .iter()
            .find(|r| r.table == "patronymic")
            .map_or(0.0, |r| r.states[0].1[1]);
        assert!((u - 0.04).abs() < 0.02, "{u}");
    }

    #[test]
    fn expectation_and_maximisation_finds_them_without_truth() {
        let mut mixed = pairs(1_000, 80, 95);
        mixed.extend(pairs(3_000, 4, 2));
        let random = pairs(4_000, 4, 2);
        let found = without_truth(table(), &mixed, &random, |rates| {
            RuleTable::parse(&with_rates(rates)).ok()
        });
        assert!(
            (m_of(&found, "patronymic") - 0.80).abs() < 0.05,
            "{}",
            m_of(&found, "patronymic")
        );
    }

    #[test]
    fn written_rates_parse_again() {
        let found = with_truth(table(), &pairs(500, 80, 95), &pairs(500, 4, 2));
        assert!(RuleTable::parse(&with_rates(&found)).is_ok());
    }

    #[test]
    fn comparing_two_records() {
        let a = Attributes {
            family_name: Some("Мельник"),
            given_name: Some("Марія"),
            date_of_birth: Date::new(2013, Some(6), Some(4)),
            ..Attributes::default()
        };
        let b = Attributes {
            family_name: Some("Melnyk"),
            given_name: Some("Oksana"),
            date_of_birth: Date::new(2013, Some(4), Some(6)),
            ..Attributes::default()
        };
        let states = compare(&Features::of(&a), &Features::of(&b));
        let name = |of: &str| states[at(of)].map(|s| SHAPES[at(of)].states[s].0);
        assert_eq!(name("family"), Some("same"));
        assert_eq!(name("given"), Some("differ"));
        assert_eq!(name("date"), Some("swapped"));
        assert_eq!(name("place"), None);
    }
}
