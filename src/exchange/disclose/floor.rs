//! What no policy can change: the least that must be so before anything of a record is told.

use crate::exchange::policy::{Needs, Question};
use crate::records::{Consent, Protection};

/// How far a record is open to be told of, before any policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Floor {
    /// The finding is certain and the record answers for itself: the policy alone decides.
    Open,
    /// A person has to look first, whatever the policy says: the candidate only may be the child,
    /// or agrees in nothing but names and dates, or the record was changed since it was found and
    /// may be another child's by now, or it is protected so, or one of its family is silent.
    Person,
    /// Nothing is told, whoever approves: the record answers as if it did not exist.
    Closed,
}

impl Floor {
    /// The floor of a record with this protection and ground, found with or without certainty.
    #[must_use]
    pub fn of(protection: Protection, ground: Consent, certain: bool) -> Self {
        match protection {
            Protection::Silent => Self::Closed,
            _ if !ground.permits_search() => Self::Closed,
            Protection::HumanOnly => Self::Person,
            Protection::None | Protection::Alert if certain => Self::Open,
            Protection::None | Protection::Alert => Self::Person,
        }
    }

    /// The floor of what a policy is asked about.
    #[must_use]
    pub fn of_question(question: &Question) -> Self {
        let floor = Self::of(
            question.record.protection,
            question.record.ground,
            question.certain,
        );
        if question.record.family_silent {
            floor.max(Self::Person)
        } else {
            floor
        }
    }

    /// What a field needs once the floor is counted in.
    #[must_use]
    pub fn over(self, needs: Needs) -> Needs {
        match self {
            Self::Open => needs,
            Self::Person => needs.max(Needs::OnePerson),
            Self::Closed => Needs::Refused,
        }
    }

    /// Whether nothing is told.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self == Self::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: [Needs; 4] = [
        Needs::Nobody,
        Needs::OnePerson,
        Needs::TwoPeople,
        Needs::Refused,
    ];

    #[test]
    fn a_floor_never_makes_less_of_what_a_policy_asks() {
        for needs in NEEDS {
            assert_eq!(Floor::Open.over(needs), needs);
            assert!(Floor::Person.over(needs) >= needs);
            assert_ne!(Floor::Person.over(needs), Needs::Nobody);
            assert_eq!(Floor::Closed.over(needs), Needs::Refused);
        }
    }

    #[test]
    fn protection_and_ground_close_and_uncertainty_asks_for_a_person() {
        let tracing = Consent::Tracing;
        for certain in [true, false] {
            assert_eq!(
                Floor::of(Protection::Silent, tracing, certain),
                Floor::Closed
            );
            assert_eq!(
                Floor::of(Protection::HumanOnly, tracing, certain),
                Floor::Person
            );
            for protection in [Protection::None, Protection::Alert, Protection::HumanOnly] {
                assert_eq!(Floor::of(protection, Consent::None, certain), Floor::Closed);
            }
        }
        for protection in [Protection::None, Protection::Alert] {
            assert_eq!(Floor::of(protection, tracing, true), Floor::Open);
            assert_eq!(Floor::of(protection, tracing, false), Floor::Person);
        }
    }
}
