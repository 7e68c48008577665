//! What a decision rests on, in words for the holder's own staff. Nothing of it leaves the node.
//!
//! Which rules agreed is known; which attributes agree follows from it only in part, because a rule
//! is a conjunction. The inference is plain logic, not probability: of each hidden comparison those
//! states are kept that hold every ingredient of the rules that agreed, and a rule that failed takes
//! away the states that would complete it. What is left in more than one way is said to be untold.

use super::attributes::{Field, Presence};
use super::comparisons::{SHAPES, Shape};
use super::decide::Thresholds;
use super::rules::{FORMS, Ingredient, Rule, RuleId, RuleSet, RuleTable};

/// What is known of one class of attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It agrees.
    Agrees,
    /// A part or a looser form of it agrees: the year, the first sounds, the house number.
    AgreesInPart,
    /// Both records have it, and it differs.
    Differs,
    /// Both records have it, and no rule tells.
    Untold,
    /// The asking side did not send it.
    MissingThere,
    /// The own record lacks it.
    MissingHere,
    /// Neither side has it.
    MissingBoth,
}

impl Finding {
    /// Its name for machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::AgreesInPart => "agrees_in_part",
            Self::Differs => "differs",
            Self::Untold => "untold",
            Self::MissingThere => "missing_there",
            Self::MissingHere => "missing_here",
            Self::MissingBoth => "missing_both",
        }
    }
}

/// A decision in words.
pub struct Explanation {
    /// The rules that agreed, each with what its key is made of.
    pub rules: Vec<(RuleId, String)>,
    /// The classes of attributes, each with what is known of it.
    pub classes: Vec<(&'static str, Finding)>,
    /// What the weight is held against.
    pub thresholds: Thresholds,
}

impl RuleTable {
    /// Says what a decision rests on, from the masks of both sides and the rules that agreed.
    #[must_use]
    pub fn explain(&self, asked: Presence, held: Presence, agreed: RuleSet) -> Explanation {
        let pattern = self.model.pattern(asked, held, agreed);
        let forms = |rule: usize, of: &[u64; FORMS]| -> Vec<&[Ingredient]> {
            let all = (0..FORMS).filter(|form| of[*form] & (1 << rule) != 0);
            all.map(|form| self.rules()[rule].form(form)).collect()
        };
        let mut rules: Vec<(RuleId, String)> = Vec::new();
        let mut met = Vec::new();
        let mut failed = Vec::new();
        for (at, rule) in self.rules().iter().enumerate() {
            if agreed.contains(rule.id) {
                let made = forms(at, &pattern.made);
                rules.push((rule.id, words_of(rule, &made)));
                met.push(made);
            } else {
                failed.extend(forms(at, &pattern.no));
            }
        }
        for rule in self.sibling_slot_rules() {
            if agreed.contains(*rule) && rules.iter().all(|(known, _)| known != rule) {
                let pair = *rule == self.sibling_pair_rule();
                rules.push((*rule, sibling_words(pair).to_owned()));
            }
        }
        Explanation {
            rules,
            classes: classes(asked, held, &met, &failed),
            thresholds: self.thresholds(asked, held),
        }
    }
}

fn sibling_words(pair: bool) -> &'static str {
    if pair {
        "dates of birth and sexes of the child and a sibling"
    } else {
        "dates of birth and sexes of two siblings, and the child's but for a part of its date"
    }
}

fn words_of(rule: &Rule, made: &[&[Ingredient]]) -> String {
    // A rule that agreed although the masks allow none of its forms: a table changed in between.
    let own = [rule.form(0)];
    let forms = if made.is_empty() { &own } else { made };
    let words = |of: &&[Ingredient]| {
        let all: Vec<&str> = of.iter().map(|i| word(*i)).collect();
        all.join(" + ")
    };
    forms.iter().map(words).collect::<Vec<_>>().join(", or ")
}

/// What is known of each comparison: the states that are left once nothing more can be ruled out.
fn classes(
    asked: Presence,
    held: Presence,
    met: &[Forms<'_>],
    failed: &[&[Ingredient]],
) -> Vec<(&'static str, Finding)> {
    let mut left: Vec<Vec<usize>> = SHAPES.iter().map(|s| possible(s, met)).collect();
    // Each round rules a state out or is the last.
    while rule_out(&mut left, failed) {}
    SHAPES
        .iter()
        .zip(left)
        .map(|(shape, left)| {
            let finding = match (asked.has(shape.field), held.has(shape.field)) {
                (false, false) => Finding::MissingBoth,
                (false, true) => Finding::MissingThere,
                (true, false) => Finding::MissingHere,
                (true, true) => finding(shape, &left, met),
            };
            (name(shape.field), finding)
        })
        .collect()
}

/// The forms of its key in which a rule that agreed may have met.
type Forms<'r> = Vec<&'r [Ingredient]>;

/// The states of a comparison in which every rule that agreed can have agreed; every state where
/// there is none, which takes two keys that met by chance.
fn possible(shape: &Shape, met: &[Forms<'_>]) -> Vec<usize> {
    let all = 0..shape.states.len();
    let fits = |state: &usize| {
        met.iter()
            .filter(|forms| !forms.is_empty())
            .all(|forms| forms.iter().any(|of| holds(shape, *state, of)))
    };
    let left: Vec<usize> = all.clone().filter(fits).collect();
    if left.is_empty() { all.collect() } else { left }
}

fn concerns(shape: &Shape, ingredient: Ingredient) -> bool {
    let mut states = shape.states.iter();
    states.any(|(_, all)| all.contains(&ingredient))
}

/// Whether all of a key that is the comparison's holds in a state.
fn holds(shape: &Shape, state: usize, of: &[Ingredient]) -> bool {
    let mut mine = of.iter().filter(|i| concerns(shape, **i));
    mine.all(|i| shape.states[state].1.contains(i))
}

/// Takes away states that would have made a rule agree which did not: those of the only comparison
/// on which it is open. Whether any went.
fn rule_out(left: &mut [Vec<usize>], failed: &[&[Ingredient]]) -> bool {
    for of in failed {
        let holds = |at: usize, state: usize| holds(&SHAPES[at], state, of);
        let open: Vec<usize> = (0..SHAPES.len())
            .filter(|at| !left[*at].iter().all(|state| holds(*at, *state)))
            .collect();
        let [only] = open[..] else { continue };
        let before = left[only].len();
        left[only].retain(|state| !holds(only, *state));
        if left[only].len() < before {
            return true;
        }
    }
    false
}

fn finding(shape: &Shape, left: &[usize], met: &[Forms<'_>]) -> Finding {
    let agree = left.iter().filter(|state| shape.agrees(**state)).count();
    let nothing = |state: &usize| shape.states[*state].1.is_empty();
    // Whichever form met, something of the comparison agreed.
    let mine = |of: &&[Ingredient]| of.iter().any(|i| concerns(shape, *i));
    let touched = met
        .iter()
        .any(|forms| !forms.is_empty() && forms.iter().all(mine));
    if agree == left.len() && agree > 0 {
        Finding::Agrees
    } else if touched {
        Finding::AgreesInPart
    } else if agree == 0 || left.iter().all(nothing) {
        Finding::Differs
    } else {
        Finding::Untold
    }
}

/// What people call a class.
fn name(field: Field) -> &'static str {
    match field {
        Field::Family => "family name",
        Field::Given => "given name",
        Field::Patronymic => "father's name",
        Field::Sex => "sex",
        Field::Year | Field::Month | Field::MonthDay => "date of birth",
        Field::Place => "place of birth",
        Field::MotherFamily => "mother's family name",
        Field::MotherGiven => "mother's given name",
        Field::Document => "document number",
        Field::LastPlace => "last known place",
        Field::Slavic => "kind of names",
    }
}

/// What people call an ingredient.
fn word(ingredient: Ingredient) -> &'static str {
    use Ingredient as I;
    match ingredient {
        I::Family => "family name",
        I::SurnameAny => "a family name of child or parents",
        I::FamilySounds => "family name by its sounds",
        I::FamilyHead => "first sounds of the family name",
        I::FamilyStart => "first letters of the family name",
        I::NamesStarts => "first letters of both names",
        I::Given => "given name",
        I::GivenAny => "given name or what it may be short for",
        I::GivenBones => "given name as written",
        I::GivenUnlisted => "an uncommon given name",
        I::GivenStart => "first letters of the given name",
        I::Date => "date of birth",
        I::MonthDay => "day and month of birth",
        I::YearMonth => "year and month of birth",
        I::YearDay => "year and day of birth",
        I::YearSwap => "date of birth, day and month perhaps swapped",
        I::Year => "year of birth",
        I::Patronymic => "father's given name",
        I::MotherGiven => "mother's given name",
        I::MotherFamily => "mother's family name",
        I::Place => "place of birth",
        I::PlaceUnlisted => "an uncommon place of birth",
        I::PlaceStart => "first letters of the place of birth",
        I::Sex => "sex",
        I::Document => "document number",
        I::LastPlace => "last known settlement",
        I::Address => "numbers of the last known address",
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{Attributes, Date, Sex};
    use super::super::rules::LinkageKey;
    use super::*;

    fn table() -> &'static RuleTable {
        RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"))
    }

    fn explain(asked: &Attributes<'_>, held: &Attributes<'_>) -> Explanation {
        let (asked, held) = (table().derive(asked), table().derive(held));
        let met = |k: &&LinkageKey| held.keys.iter().any(|h| h.text == k.text);
        let agreed = asked.keys.iter().filter(met).map(|k| k.rule).collect();
        table().explain(asked.presence, held.presence, agreed)
    }

    fn of(explanation: &Explanation, class: &str) -> Finding {
        let found = explanation.classes.iter().find(|(name, _)| *name == class);
        found.unwrap_or_else(|| panic!("no class {class}")).1
    }

    fn held() -> Attributes<'static> {
        Attributes {
            family_name: Some("Ковальчук"),
            given_name: Some("Олександр"),
            patronymic: Some("Миколайович"),
            sex: Some(Sex::Male),
            date_of_birth: Date::new(2013, Some(6), Some(14)),
            place_of_birth: Some("м. Харків"),
            mother_given_name: Some("Олена"),
            ..Attributes::default()
        }
    }

    #[test]
    fn what_agrees_differs_and_is_missing_is_told() {
        let asked = Attributes {
            given_name: Some("Богдан"),
            mother_given_name: None,
            document_number: Some("123456"),
            ..held()
        };
        let told = explain(&asked, &held());
        assert_eq!(of(&told, "family name"), Finding::Agrees);
        assert_eq!(of(&told, "date of birth"), Finding::Agrees);
        assert_eq!(of(&told, "given name"), Finding::Differs);
        assert_eq!(of(&told, "mother's given name"), Finding::MissingThere);
        assert_eq!(of(&told, "document number"), Finding::MissingHere);
        assert_eq!(of(&told, "last known place"), Finding::MissingBoth);
        // With the given name unlike, no rule tells of the father alone.
        assert_eq!(of(&told, "father's name"), Finding::Untold);
        let words: Vec<&str> = told.rules.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(words, ["family name + date of birth"]);
    }

    #[test]
    fn a_refinement_that_failed_tells_what_differs() {
        let asked = Attributes {
            patronymic: Some("Іванович"),
            date_of_birth: Date::new(2013, Some(6), Some(15)),
            ..held()
        };
        let told = explain(&asked, &held());
        assert_eq!(of(&told, "father's name"), Finding::Differs);
        assert_eq!(of(&told, "date of birth"), Finding::AgreesInPart);
        assert_eq!(of(&told, "place of birth"), Finding::Agrees);
        assert_eq!(of(&told, "mother's given name"), Finding::Agrees);
    }

    #[test]
    fn any_pattern_can_be_explained() {
        let mut state = 7u64;
        for n in 0..500u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(n | 1);
            let masks = [state >> 13, state >> 29].map(|m| Presence::from_bits(m as u16));
            let set = RuleSet(state.rotate_left(23) & state);
            let told = table().explain(masks[0], masks[1], set);
            assert_eq!(told.classes.len(), SHAPES.len());
            assert!(told.rules.iter().all(|(_, words)| !words.is_empty()));
        }
        for ingredient in Ingredient::ALL {
            assert!(!word(ingredient).is_empty());
        }
    }
}
