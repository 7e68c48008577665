//! The Fellegi-Sunter model over hidden comparisons, and its summation over a pattern of rules.
//!
//! A pattern's probability in one kind of pair is the sum, over every combination of the
//! comparisons' states that would have made just these rules agree, of the product of the states'
//! probabilities. The walk goes comparison by comparison and drops a branch as soon as an agreed
//! rule can no longer agree, and a comparison that no open rule depends on adds up to one, so a sum
//! takes a few microseconds.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::attributes::{Field, Presence};
use super::comparisons::{CONDITIONS, FREE_FROM, SHAPES, Shape};
use super::rules::{
    FORM_ELSE, FORM_OF, FORM_UNLISTED, FORMS, Ingredient, Rule, RuleSet, RuleTableError, fields,
    fills,
};

/// Most kinds of pair that a table may tell apart.
const MOST_KINDS: usize = 6;
/// How much less often than between strangers a comparison agrees in which a kind is `apart`.
const APART: f64 = 0.1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    match_at: f64,
    /// The same for pairs that `states_bare` judges.
    match_at_bare: Option<f64>,
    possible_at: f64,
    kinds: Vec<RawKind>,
    /// Per comparison and state: m and u.
    states: RawStates,
    /// The same for pairs with no family attribute on either side; what is absent is as in `states`.
    #[serde(default)]
    states_bare: RawStates,
}

type RawStates = BTreeMap<String, BTreeMap<String, [f64; 2]>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKind {
    kind: String,
    /// Expected number of such records in the reference register, for one record asked about.
    expected: f64,
    /// The same where neither record has a sex, patronymic or mother to be told apart by: registers of whole populations, in which families are not sought together.
    expected_bare: Option<f64>,
    /// Comparisons that come out as for the same child; the others as for strangers.
    as_same: Vec<String>,
    /// Of the others, those that agree less often than between strangers.
    #[serde(default)]
    apart: Vec<String>,
}

type Column = [f64; MOST_KINDS];

/// One mask a form of key; bit `n` of each stands for the `n`-th rule.
type Masks = [u64; FORMS];

struct Variable {
    field: Field,
    /// Per state: the keys that cannot agree in it.
    fails: Vec<Masks>,
    /// The keys that some state fails.
    touches: Masks,
    /// The keys that are made of the comparison's ingredients.
    uses: Masks,
    /// Per state: probability in each kind of pair.
    odds: Vec<Column>,
    /// Per state: whether the comparison's main ingredient agrees in it.
    agrees: Vec<bool>,
    /// The comparison it depends on, and its probabilities when that one agrees.
    given: Option<(usize, Vec<Column>)>,
}

/// The probabilities and thresholds of a table, laid out for summing.
pub(super) struct Model {
    /// Expected number of each kind; the first is the same child, those beyond the table's are 0.
    expected: Column,
    /// The same for pairs with no family attribute on either side.
    expected_bare: Column,
    pub(super) match_at: f64,
    pub(super) match_at_bare: f64,
    pub(super) possible_at: f64,
    variables: Vec<Variable>,
    /// The same for pairs with no family attribute on either side.
    variables_bare: Vec<Variable>,
    rules: Vec<Rule>,
}

/// What a pair's masks and agreements say of the rules.
#[derive(Default, Clone, Copy)]
pub(super) struct Pattern {
    /// Keys that both records would make.
    pub(super) made: Masks,
    /// Rules that agreed.
    pub(super) yes: u64,
    /// Keys whose missing agreement says something.
    pub(super) no: Masks,
}

impl Model {
    pub(super) fn new(raw: &RawModel, rules: &[Rule]) -> Result<Self, RuleTableError> {
        for name in raw.states.keys().chain(raw.states_bare.keys()) {
            let known =
                SHAPES.iter().any(|s| s.name == name) || CONDITIONS.iter().any(|c| c.2 == name);
            if !known {
                return Err(fault(name, "no such comparison"));
            }
        }
        let mut expected = [0.0; MOST_KINDS];
        if raw.kinds.len() < 2 || raw.kinds.len() > MOST_KINDS {
            return Err(fault(
                "kinds",
                "between 2 and 6 kinds of pair, the same child first",
            ));
        }
        let mut expected_bare = expected;
        for (at, kind) in raw.kinds.iter().enumerate() {
            let bare = kind.expected_bare.unwrap_or(kind.expected);
            if !(bare.is_finite() && bare > 0.0 && kind.expected.is_finite() && kind.expected > 0.0)
            {
                return Err(fault(&kind.kind, "the expected number must be above 0"));
            }
            if kind
                .as_same
                .iter()
                .chain(&kind.apart)
                .any(|n| !SHAPES.iter().any(|s| s.name == n))
            {
                return Err(fault(
                    &kind.kind,
                    "as_same or apart names a comparison that does not exist",
                ));
            }
            expected[at] = kind.expected;
            expected_bare[at] = bare;
        }
        Ok(Self {
            expected,
            expected_bare,
            match_at: raw.match_at,
            match_at_bare: raw.match_at_bare.unwrap_or(raw.match_at),
            possible_at: raw.possible_at,
            variables: variables(raw, rules, false)?,
            variables_bare: variables(raw, rules, true)?,
            rules: rules.to_vec(),
        })
    }

    /// What the masks of both sides and the rules that agreed say of every rule's keys.
    pub(super) fn pattern(&self, asked: Presence, held: Presence, agreed: RuleSet) -> Pattern {
        let both = asked.both(held);
        let mut pattern = Pattern::default();
        for (at, rule) in self.rules.iter().enumerate() {
            let bit = 1 << at;
            let agreed = agreed.contains(rule.id);
            if agreed {
                pattern.yes |= bit;
            }
            let filled = [asked, held].map(|p| rule.otherwise.is_empty() || rule.filled_by(p));
            for form in 0..FORMS {
                let of = rule.form(form);
                let needs = fields(of);
                let made = match form {
                    FORM_OF => filled == [true; 2],
                    FORM_ELSE => filled == [false; 2],
                    _ => fills(of, both),
                };
                if of.is_empty() || !made {
                    continue;
                }
                pattern.made[form] |= bit;
                if !agreed && needs.both(both) == needs && !of.iter().any(|i| i.optional()) {
                    pattern.no[form] |= bit;
                }
            }
        }
        pattern
    }

    /// Whether a pair is judged by the rates of registers of whole populations: nothing of a family
    /// and nothing East Slavic in either record.
    pub(super) fn bare(asked: Presence, held: Presence) -> bool {
        let family = [
            Field::Sex,
            Field::Patronymic,
            Field::MotherGiven,
            Field::MotherFamily,
            Field::Slavic,
        ];
        !family.iter().any(|f| asked.has(*f) || held.has(*f))
    }

    /// Binary logarithm of the posterior odds of "same child" for a pattern.
    pub(super) fn weight(&self, asked: Presence, held: Presence, agreed: RuleSet) -> f64 {
        let both = asked.both(held);
        let pattern = self.pattern(asked, held, agreed);
        let (variables, expected) = if Self::bare(asked, held) {
            (&self.variables_bare, &self.expected_bare)
        } else {
            (&self.variables, &self.expected)
        };
        let mut sums = sum(variables, both, pattern);
        if sums[0] <= 0.0 {
            // Two keys that met by chance, or a table changed between two derivations: no state of
            // the comparisons makes this pattern, so only the agreements are taken at their word.
            sums = sum(
                variables,
                both,
                Pattern {
                    no: Masks::default(),
                    ..pattern
                },
            );
        }
        let [same, rest @ ..] = product(sums, expected);
        let against: f64 = rest.iter().sum();
        (same.max(1e-300) / against.max(1e-300)).log2()
    }
}

impl Model {
    /// Posterior odds of "same child" for a pair whose comparisons are all in view.
    pub(super) fn odds_in_view(&self, states: &[Option<usize>]) -> f64 {
        let mut odds = self.expected;
        for (variable, state) in self.variables.iter().zip(states) {
            let Some(state) = state else { continue };
            let table = match &variable.given {
                Some((on, table)) if states[*on].is_some_and(|s| SHAPES[*on].agrees(s)) => table,
                _ => &variable.odds,
            };
            odds = product(odds, &table[*state]);
        }
        let [same, rest @ ..] = odds;
        same / rest.iter().sum::<f64>().max(1e-300)
    }

    /// m and u of every state of a comparison, and of its dependent table if it has one.
    pub(super) fn rates(&self, comparison: usize) -> [Option<Vec<[f64; 2]>>; 2] {
        let variable = &self.variables[comparison];
        let pick = |table: &Vec<Column>| table.iter().map(|c| [c[0], c[1]]).collect();
        [
            Some(pick(&variable.odds)),
            variable.given.as_ref().map(|(_, t)| pick(t)),
        ]
    }
}

/// Lays the comparisons out for summing, for pairs with or without a family attribute.
fn variables(raw: &RawModel, rules: &[Rule], bare: bool) -> Result<Vec<Variable>, RuleTableError> {
    let mut out = Vec::new();
    for (at, shape) in SHAPES.iter().enumerate() {
        let odds = columns(raw, shape, shape.name, bare)?;
        let given = match CONDITIONS.iter().find(|c| c.0 == at) {
            Some((_, on, name)) => Some((*on, columns(raw, shape, name, bare)?)),
            None => None,
        };
        let fails: Vec<Masks> = shape
            .states
            .iter()
            .map(|(_, holds)| fails_in(shape, holds, rules))
            .collect();
        let mut touches = Masks::default();
        for masks in &fails {
            (0..FORMS).for_each(|f| touches[f] |= masks[f]);
        }
        let uses = used_by(shape, rules);
        let agrees = (0..shape.states.len())
            .map(|state| shape.agrees(state))
            .collect();
        out.push(Variable {
            field: shape.field,
            fails,
            touches,
            uses,
            odds,
            agrees,
            given,
        });
    }
    Ok(out)
}

/// The probabilities of a comparison's states in every kind of pair.
fn columns(
    raw: &RawModel,
    shape: &Shape,
    name: &str,
    bare: bool,
) -> Result<Vec<Column>, RuleTableError> {
    let table = if bare {
        raw.states_bare.get(name)
    } else {
        None
    };
    let table = table
        .or_else(|| raw.states.get(name))
        .ok_or_else(|| fault(name, "the comparison is missing"))?;
    if table
        .keys()
        .any(|k| !shape.states.iter().any(|(s, _)| s == k))
    {
        return Err(fault(name, "a state that the comparison does not have"));
    }
    let mut out = Vec::new();
    let mut sums = [0.0; 2];
    for (at, (state, _)) in shape.states.iter().enumerate() {
        let [m, u] = *table
            .get(*state)
            .ok_or_else(|| fault(name, "a state is missing"))?;
        for (sum, p) in sums.iter_mut().zip([m, u]) {
            if !(p.is_finite() && p > 0.0 && p <= 1.0) {
                return Err(fault(name, "a probability outside 0 to 1, or 0"));
            }
            *sum += p;
        }
        let mut column = [0.0; MOST_KINDS];
        for (slot, kind) in column.iter_mut().zip(&raw.kinds) {
            let named = |list: &[String]| list.iter().any(|n| n == shape.name);
            *slot = if named(&kind.as_same) {
                m
            } else if named(&kind.apart) && shape.agrees(at) {
                u * APART
            } else {
                u
            };
        }
        out.push(column);
    }
    if sums.iter().any(|s| (s - 1.0).abs() > 0.01) {
        return Err(fault(
            name,
            "the probabilities of a column do not add up to 1",
        ));
    }
    Ok(out)
}

fn fault(variable: &str, what: &'static str) -> RuleTableError {
    RuleTableError::States {
        variable: variable.to_owned(),
        what,
    }
}

/// The keys with an ingredient of the comparison.
fn used_by(shape: &Shape, rules: &[Rule]) -> Masks {
    let mine = |i: &Ingredient| shape.states.iter().any(|(_, all)| all.contains(i));
    let mut masks = Masks::default();
    for (at, rule) in rules.iter().enumerate() {
        for (form, mask) in masks.iter_mut().enumerate() {
            if rule.form(form).iter().any(mine) {
                *mask |= 1 << at;
            }
        }
    }
    masks
}

/// The keys that cannot agree while the comparison is in a state where only `holds` hold.
fn fails_in(shape: &Shape, holds: &[Ingredient], rules: &[Rule]) -> Masks {
    let mine = |i: &Ingredient| shape.states.iter().any(|(_, all)| all.contains(i));
    let mut masks = Masks::default();
    for (at, rule) in rules.iter().enumerate() {
        for (form, mask) in masks.iter_mut().enumerate() {
            let untrue = rule
                .form(form)
                .iter()
                .any(|i| mine(i) && !holds.contains(i));
            // Where both names are unlisted and agree, the rule makes its unlisted key instead.
            let instead = form != FORM_UNLISTED
                && rule
                    .unlisted
                    .iter()
                    .any(|i| i.unlisted() && holds.contains(i));
            if untrue || instead {
                *mask |= 1 << at;
            }
        }
    }
    masks
}

/// The probability of a pattern in each kind of pair.
fn sum(variables: &[Variable], both: Presence, pattern: Pattern) -> Column {
    let mut walk = Walk {
        variables,
        both,
        pattern,
        agrees: [false; SHAPES.len()],
        sums: [0.0; MOST_KINDS],
    };
    walk.step(0, Masks::default(), [1.0; MOST_KINDS]);
    walk.sums
}

/// The summation over hidden states.
struct Walk<'m> {
    variables: &'m [Variable],
    both: Presence,
    pattern: Pattern,
    /// Whether a comparison already walked agrees in its main ingredient.
    agrees: [bool; SHAPES.len()],
    sums: Column,
}

impl Walk<'_> {
    fn step(&mut self, at: usize, failed: Masks, odds: Column) {
        let Some(variable) = self.variables.get(at) else {
            if self.open(&failed) == Masks::default() {
                for (sum, p) in self.sums.iter_mut().zip(odds) {
                    *sum += p;
                }
            }
            return;
        };
        let meets = |masks: &Masks| (0..FORMS).any(|f| masks[f] & variable.touches[f] != 0);
        let agreed: Masks = self.pattern.made.map(|made| made & self.pattern.yes);
        let used = (0..FORMS).any(|f| agreed[f] & variable.uses[f] != 0);
        if !self.both.has(variable.field) && !used {
            return self.step(at + 1, failed, odds);
        }
        let table = match &variable.given {
            Some((on, table)) if self.agrees[*on] => table,
            _ => &variable.odds,
        };
        if at >= FREE_FROM && !meets(&self.open(&failed)) && !meets(&agreed) {
            // Neither an agreement nor an open question depends on it: its states add up to one.
            return self.step(at + 1, failed, odds);
        }
        for (state, (fails, column)) in variable.fails.iter().zip(table).enumerate() {
            let mut next = failed;
            (0..FORMS).for_each(|f| next[f] |= fails[f]);
            if self.possible(&next) {
                self.agrees[at] = variable.agrees[state];
                self.step(at + 1, next, product(odds, column));
            }
        }
    }

    /// Keys that should have agreed so far and did not.
    fn open(&self, failed: &Masks) -> Masks {
        let mut open = self.pattern.no;
        (0..FORMS).for_each(|f| open[f] &= !failed[f]);
        open
    }

    /// Whether every rule that agreed still has a key that can.
    fn possible(&self, failed: &Masks) -> bool {
        let can = (0..FORMS).fold(0, |can, f| can | (self.pattern.made[f] & !failed[f]));
        self.pattern.yes & !can == 0
    }
}

fn product(mut a: Column, b: &Column) -> Column {
    a.iter_mut().zip(b).for_each(|(x, y)| *x *= y);
    a
}
