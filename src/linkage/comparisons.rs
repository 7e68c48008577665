//! The hidden comparisons of two records, and what is true of the rules' ingredients in each of
//! their states.

use super::attributes::Field;
use super::rules::Ingredient;

/// A hidden comparison: which states it has and what is true in each.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) states: &'static [(&'static str, &'static [Ingredient])],
    pub(super) field: Field,
}

impl Shape {
    /// The ingredient that the comparison is mainly about.
    pub(super) fn main(&self) -> Option<Ingredient> {
        self.states
            .first()?
            .1
            .iter()
            .copied()
            .find(|i| !i.optional())
    }

    /// Whether that ingredient agrees in a state.
    pub(super) fn agrees(&self, state: usize) -> bool {
        let main = self.main();
        self.states
            .get(state)
            .is_some_and(|(_, all)| main.is_some_and(|m| all.contains(&m)))
    }
}

use Ingredient as I;

/// The comparisons, in the order in which they are summed over. A comparison whose probabilities
/// depend on another one comes after it.
pub(super) const SHAPES: [Shape; 10] = [
    Shape {
        name: "family",
        field: Field::Family,
        states: &[
            (
                "same",
                &[
                    I::Family,
                    I::FamilySounds,
                    I::SurnameAny,
                    I::FamilyHead,
                    I::FamilyStart,
                    I::NamesStarts,
                ],
            ),
            (
                "bones",
                &[
                    I::Family,
                    I::SurnameAny,
                    I::FamilyHead,
                    I::FamilyStart,
                    I::NamesStarts,
                ],
            ),
            ("swapped", &[I::NamesStarts]),
            ("other_head", &[I::SurnameAny, I::FamilyHead]),
            ("other", &[I::SurnameAny]),
            (
                "head_start",
                &[I::NamesStarts, I::FamilyHead, I::FamilyStart],
            ),
            ("head", &[I::FamilyHead, I::FamilyStart]),
            ("start", &[I::NamesStarts, I::FamilyStart]),
            ("differ", &[]),
        ],
    },
    Shape {
        name: "mother_family",
        field: Field::MotherFamily,
        states: &[("same", &[I::MotherFamily]), ("differ", &[])],
    },
    Shape {
        name: "given",
        field: Field::Given,
        states: &[
            (
                "rare",
                &[
                    I::Given,
                    I::GivenAny,
                    I::GivenBones,
                    I::GivenUnlisted,
                    I::GivenStart,
                    I::NamesStarts,
                ],
            ),
            (
                "same",
                &[
                    I::Given,
                    I::GivenAny,
                    I::GivenBones,
                    I::GivenStart,
                    I::NamesStarts,
                ],
            ),
            (
                "class",
                &[I::Given, I::GivenAny, I::GivenStart, I::NamesStarts],
            ),
            ("any", &[I::GivenAny]),
            ("bones", &[I::GivenBones, I::GivenStart, I::NamesStarts]),
            ("swapped", &[I::NamesStarts]),
            ("start", &[I::GivenStart, I::NamesStarts]),
            ("differ", &[]),
        ],
    },
    Shape {
        name: "sex",
        field: Field::Sex,
        states: &[("same", &[I::Sex]), ("differ", &[])],
    },
    Shape {
        name: "date",
        field: Field::Year,
        states: &[
            (
                "full",
                &[
                    I::Date,
                    I::MonthDay,
                    I::YearMonth,
                    I::YearDay,
                    I::YearSwap,
                    I::Year,
                ],
            ),
            ("month_day", &[I::MonthDay]),
            ("year_month", &[I::YearMonth, I::Year]),
            ("year_day", &[I::YearDay, I::Year]),
            ("swapped", &[I::YearSwap, I::Year]),
            ("year", &[I::Year]),
            ("differ", &[]),
        ],
    },
    Shape {
        name: "patronymic",
        field: Field::Patronymic,
        states: &[("same", &[I::Patronymic]), ("differ", &[])],
    },
    Shape {
        name: "mother_given",
        field: Field::MotherGiven,
        states: &[("same", &[I::MotherGiven]), ("differ", &[])],
    },
    Shape {
        name: "place",
        field: Field::Place,
        states: &[
            ("rare", &[I::Place, I::PlaceUnlisted, I::PlaceStart]),
            ("same", &[I::Place]),
            ("start", &[I::PlaceStart]),
            ("differ", &[]),
        ],
    },
    Shape {
        name: "document",
        field: Field::Document,
        states: &[("same", &[I::Document]), ("differ", &[])],
    },
    Shape {
        name: "last_place",
        field: Field::LastPlace,
        states: &[
            ("same", &[I::LastPlace, I::Address]),
            ("settlement", &[I::LastPlace]),
            ("address", &[I::Address]),
            ("differ", &[]),
        ],
    },
];

const FAMILY: usize = 0;
const GIVEN: usize = 2;
/// From this comparison on none depends on another.
pub(super) const FREE_FROM: usize = 4;

/// A comparison that depends on another: its number, the other's, and the name of its table for when
/// the other agrees in its main ingredient.
pub(super) const CONDITIONS: [(usize, usize, &str); 2] = [
    (1, FAMILY, "mother_family_if_family"),
    (3, GIVEN, "sex_if_given"),
];
