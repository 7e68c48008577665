//! The decision at the holder: from the rules that agreed to a grade.
//!
//! Each rule is a conjunction, so a pattern of agreeing and disagreeing rules is a set of statements
//! about a few hidden comparisons: did the family names agree, the given names, the dates, and so on.
//! The weight of a pattern is the exact posterior odds of "same child" under a Fellegi-Sunter model
//! over those hidden comparisons: the probability of the pattern is summed over every state of the
//! comparisons that would have produced it. An attribute thus counts once, however many rules
//! contain it; a refinement that failed where its base agreed counts against; what no rule could
//! tell counts for nothing.
//!
//! Non-matches are not of one kind. A sibling agrees in family name, parents and place, a twin also
//! in the date, a namesake in the names. The model has a class for each, with its own column of
//! probabilities, so that the dependence of attributes on each other within a family is accounted
//! for instead of being added up.

use super::attributes::{Field, Presence};
use super::model::Model;
use super::rules::{RuleSet, RuleTable};

/// What the holder answers for one candidate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Grade {
    /// Not the child, or nothing to go by.
    NoMatch,
    /// May be the child: a person must look.
    Possible,
    /// The child, up to the stated error rate.
    Match,
}

/// A class of attribute that would decide an undecided candidate. A class, never a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttributeClass {
    /// The mother's names.
    Mother,
    /// A document number.
    Document,
    /// The place of birth.
    Place,
    /// A sibling.
    Sibling,
}

/// The decision on one candidate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Decision {
    /// Its grade.
    pub grade: Grade,
    /// Binary logarithm of the posterior odds of "same child" at the reference register size.
    pub weight: f64,
    /// What would decide, where the grade is `Possible` and something would.
    pub more: Option<AttributeClass>,
}

/// The weights from which a candidate is a match, and possible.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Thresholds {
    /// From this weight on it is [`Grade::Match`].
    pub match_at: f64,
    /// From this weight on it is [`Grade::Possible`].
    pub possible_at: f64,
}

/// A candidate this far below another one of the same subject is explained by it.
const EXPLAINED_BITS: f64 = 6.0;

impl RuleTable {
    /// Decides on all the candidates of one subject together: each by itself as [`Self::decide`]
    /// does, save that a register holds a child once, or if twice then much alike, so that a
    /// candidate far below the best is explained by it (the twin beside the child) and is at most
    /// [`Grade::Possible`]. The decisions are in the order of the candidates.
    #[must_use]
    pub fn decide_among(
        &self,
        asked: Presence,
        candidates: &[(Presence, RuleSet)],
    ) -> Vec<Decision> {
        let decide = |(held, agreed): &(Presence, RuleSet)| self.decide(asked, *held, *agreed);
        let mut out: Vec<Decision> = candidates.iter().map(decide).collect();
        let best = out
            .iter()
            .map(|d| d.weight)
            .fold(f64::NEG_INFINITY, f64::max);
        for decision in &mut out {
            if decision.grade == Grade::Match && decision.weight < best - EXPLAINED_BITS {
                decision.grade = Grade::Possible;
            }
        }
        out
    }

    /// What the weight of a pair with these masks is held against.
    #[must_use]
    pub fn thresholds(&self, asked: Presence, held: Presence) -> Thresholds {
        Thresholds {
            match_at: if Model::bare(asked, held) {
                self.model.match_at_bare
            } else {
                self.model.match_at
            },
            possible_at: self.model.possible_at,
        }
    }

    /// Decides on one held record, from the masks of both sides and the rules that agreed.
    #[must_use]
    pub fn decide(&self, asked: Presence, held: Presence, agreed: RuleSet) -> Decision {
        if agreed.is_empty() {
            return Decision {
                grade: Grade::NoMatch,
                weight: f64::NEG_INFINITY,
                more: None,
            };
        }
        let weight = self.model.weight(asked, held, agreed);
        let thresholds = self.thresholds(asked, held);
        let grade = if weight >= thresholds.match_at {
            Grade::Match
        } else if weight >= thresholds.possible_at {
            Grade::Possible
        } else {
            Grade::NoMatch
        };
        let more = (grade == Grade::Possible).then(|| step_up(asked, held));
        Decision {
            grade,
            weight,
            more,
        }
    }
}

/// The class that would decide: the strongest that the holder has and the asker did not send, or a
/// sibling where there is none. It depends on the two masks alone, so it tells no value, and of the
/// holder's mask at most which one of four cases holds: two bits.
#[must_use]
pub fn step_up(asked: Presence, held: Presence) -> AttributeClass {
    let lacks = |field| held.has(field) && !asked.has(field);
    if lacks(Field::Document) {
        AttributeClass::Document
    } else if lacks(Field::MotherGiven) || lacks(Field::MotherFamily) {
        AttributeClass::Mother
    } else if lacks(Field::Place) {
        AttributeClass::Place
    } else {
        AttributeClass::Sibling
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{Attributes, Date, Sex};
    use super::super::rules::{Derived, RuleId};
    use super::*;

    fn table() -> &'static RuleTable {
        RuleTable::shipped().unwrap_or_else(|e| panic!("{e}"))
    }

    fn agreed(a: &Derived, b: &Derived) -> RuleSet {
        let met = |k: &&super::super::rules::LinkageKey| b.keys.iter().any(|h| h.text == k.text);
        a.keys.iter().filter(met).map(|k| k.rule).collect()
    }

    fn decide(a: &Attributes<'_>, b: &Attributes<'_>) -> Decision {
        let (a, b) = (table().derive(a), table().derive(b));
        table().decide(a.presence, b.presence, agreed(&a, &b))
    }

    fn held() -> Attributes<'static> {
        Attributes {
            family_name: Some("Ковальчук"),
            given_name: Some("Олександр"),
            patronymic: Some("Миколайович"),
            sex: Some(Sex::Male),
            date_of_birth: Date::new(2013, Some(6), Some(14)),
            place_of_birth: Some("м. Харків"),
            mother_family_name: Some("Ковальчук"),
            mother_given_name: Some("Олена"),
            ..Attributes::default()
        }
    }

    #[test]
    fn the_altered_child_is_found() {
        let held = held();
        let russified = Attributes {
            family_name: Some("KOVALCHUK"),
            given_name: Some("Sasha"),
            patronymic: Some("Nikolaevich"),
            place_of_birth: Some("Kharkov, Ukraine"),
            mother_given_name: Some("Elena"),
            mother_family_name: None,
            ..held
        };
        assert_eq!(decide(&russified, &held).grade, Grade::Match);
        let adopted = Attributes {
            family_name: Some("Смирнов"),
            patronymic: None,
            ..russified
        };
        assert!(decide(&adopted, &held).grade >= Grade::Possible);
        let swapped_date = Attributes {
            date_of_birth: Date::new(2018, Some(6), Some(14)),
            ..held
        };
        assert_eq!(decide(&swapped_date, &held).grade, Grade::Match);
        let year_only = Attributes {
            date_of_birth: Date::new(2013, None, None),
            ..russified
        };
        assert_eq!(decide(&year_only, &held).grade, Grade::Match);
    }

    #[test]
    fn the_relative_and_the_namesake_are_not() {
        let held = held();
        let twin = Attributes {
            given_name: Some("Марія"),
            sex: Some(Sex::Female),
            ..held
        };
        assert!(decide(&twin, &held).grade < Grade::Match);
        let twin_brother = Attributes {
            given_name: Some("Богдан"),
            ..held
        };
        assert!(decide(&twin_brother, &held).grade < Grade::Match);
        let sibling = Attributes {
            date_of_birth: Date::new(2015, Some(9), Some(2)),
            ..twin
        };
        assert_eq!(decide(&sibling, &held).grade, Grade::NoMatch);
        let namesake = Attributes {
            patronymic: Some("Іванович"),
            place_of_birth: Some("Суми"),
            mother_given_name: Some("Оксана"),
            mother_family_name: Some("Мельник"),
            ..held
        };
        assert!(decide(&namesake, &held).grade < Grade::Match);
    }

    #[test]
    fn a_plain_register_needs_no_parents() {
        let held = Attributes {
            family_name: Some("Harding"),
            given_name: Some("Rosalind"),
            date_of_birth: Date::new(2013, Some(6), Some(14)),
            place_of_birth: Some("Little Wenham"),
            ..Attributes::default()
        };
        let misdated = Attributes {
            date_of_birth: Date::new(2015, Some(9), Some(2)),
            ..held
        };
        assert_eq!(decide(&misdated, &held).grade, Grade::Match);
        // Siblings are not given one name: the same pair of records with another name is one.
        let sibling = Attributes {
            given_name: Some("Beatrix"),
            ..misdated
        };
        assert!(decide(&sibling, &held).grade < Grade::Match);
        let slips = Attributes {
            family_name: Some("Harbing"),
            given_name: Some("Rosblind"),
            place_of_birth: None,
            ..held
        };
        let there = Attributes {
            place_of_birth: None,
            ..held
        };
        assert!(decide(&slips, &there).grade >= Grade::Possible);
        // Where a form of a rule cannot have been made, it explains no agreement.
        let surname = Attributes {
            family_name: Some("Haworth"),
            given_name: Some("Thomas"),
            ..there
        };
        let renamed = Attributes {
            family_name: Some("Halifax"),
            ..surname
        };
        assert_eq!(decide(&renamed, &surname).grade, Grade::Match);
    }

    #[test]
    fn one_household_is_not_one_child() {
        let held = Attributes {
            family_name: Some("Harding"),
            given_name: Some("Rosalind"),
            date_of_birth: Date::new(2013, Some(6), Some(14)),
            place_of_birth: Some("Little Wenham"),
            last_known_place: Some("7 Church Lane 3056"),
            ..Attributes::default()
        };
        // Found by surname and address although given name, date and birthplace are others.
        let sibling = Attributes {
            given_name: Some("Beatrix"),
            date_of_birth: Date::new(2015, Some(9), Some(2)),
            place_of_birth: Some("Ashford"),
            ..held
        };
        assert!(decide(&sibling, &held).grade < Grade::Match);
        let born_there = Attributes {
            place_of_birth: held.place_of_birth,
            ..sibling
        };
        assert!(decide(&born_there, &held).grade < Grade::Match);
        // The child under another name, misdated.
        let renamed = Attributes {
            family_name: Some("Ellery"),
            date_of_birth: sibling.date_of_birth,
            ..held
        };
        assert!(decide(&renamed, &held).grade >= Grade::Possible);
    }

    #[test]
    fn names_and_dates_alone_do_not_make_a_twin_the_child() {
        let held = Attributes {
            family_name: Some("Ковальчук"),
            given_name: Some("Олександр"),
            date_of_birth: Date::new(2013, Some(6), Some(14)),
            ..Attributes::default()
        };
        // As a register abroad writes it, with nothing that shows where the child is from.
        let abroad = Attributes {
            family_name: Some("Kowalczuk"),
            given_name: Some("Aleksander"),
            ..held
        };
        let twin = Attributes {
            given_name: Some("Bogdan"),
            ..abroad
        };
        let sibling = Attributes {
            date_of_birth: Date::new(2015, Some(9), Some(2)),
            ..twin
        };
        assert_eq!(decide(&abroad, &held).grade, Grade::Match);
        for side in [held, abroad] {
            assert_eq!(decide(&twin, &side).grade, Grade::Possible);
            assert_eq!(decide(&side, &twin).grade, Grade::Possible);
            assert_eq!(decide(&sibling, &side).grade, Grade::NoMatch);
        }
    }

    #[test]
    fn missing_is_not_different() {
        let held = held();
        let bare = Attributes {
            mother_family_name: None,
            mother_given_name: None,
            place_of_birth: None,
            ..held
        };
        let silent = Attributes {
            patronymic: None,
            ..bare
        };
        let other = Attributes {
            patronymic: Some("Іванович"),
            ..bare
        };
        assert!(decide(&silent, &held).weight > decide(&other, &held).weight + 3.0);
    }

    #[test]
    fn the_twin_beside_the_child_is_explained_by_it() {
        let held = held();
        let child = table().derive(&held);
        let twin = table().derive(&Attributes {
            given_name: Some("Богдан"),
            ..held
        });
        let all = [
            (child.presence, agreed(&child, &child)),
            (twin.presence, agreed(&child, &twin)),
        ];
        let decided = table().decide_among(child.presence, &all);
        assert_eq!(decided[0].grade, Grade::Match);
        assert!(decided[1].grade < Grade::Match);
        assert!(table().decide_among(child.presence, &[]).is_empty());
    }

    #[test]
    fn the_step_up_depends_on_the_masks_alone() {
        // Whatever agreed, two masks give one class: it cannot tell a value. Over all masks of the
        // holder it takes four: two bits.
        let mut classes = Vec::new();
        let asked = Presence::from_bits(0b0_0000_1111_1111);
        for held in (0..1 << super::super::PRESENCE_BITS)
            .step_by(7)
            .map(Presence::from_bits)
        {
            let mut seen = None;
            for rule in table().rules() {
                let one = table().decide(asked, held, [rule.id].into_iter().collect());
                assert_eq!(one.more.is_some(), one.grade == Grade::Possible);
                if let Some(more) = one.more {
                    assert!(seen.is_none_or(|s| s == more));
                    seen = Some(more);
                }
            }
            if let Some(class) = seen.filter(|c| !classes.contains(c)) {
                classes.push(class);
            }
        }
        assert!(!classes.is_empty() && classes.len() <= 4);
    }

    #[test]
    fn any_pattern_has_a_finite_weight() {
        let mut state = 1u64;
        for n in 0..2_000u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(n | 1);
            let masks = [state >> 13, state >> 29].map(|m| Presence::from_bits(m as u16));
            let set = RuleSet(state.rotate_left(23) & state);
            let decision = table().decide(masks[0], masks[1], set);
            assert!(set.is_empty() || decision.weight.is_finite(), "{set:?}");
        }
        let none = table().decide(Presence::default(), Presence::default(), RuleSet::default());
        assert_eq!(none.grade, Grade::NoMatch);
        let foreign: RuleSet = [RuleId(63)].into_iter().collect();
        assert_eq!(
            table().decide(Presence(0), Presence(0), foreign).grade,
            Grade::NoMatch
        );
    }
}
