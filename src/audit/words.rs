//! Plain words for what logs say in numbers, in every language.

use crate::locale::Lang;
use crate::proto::exchange as pb;
use crate::roster::{LegalBasis, MemberId, Purpose, Timestamp, TrustedRoster};

/// A moment as a sentence names it, from milliseconds since 1970.
#[must_use]
pub fn moment(ms: u64) -> String {
    Timestamp::from_unix(ms / 1000).spoken()
}

/// A party as a sentence names it: `Poland (pl)`.
#[must_use]
pub fn party(roster: &TrustedRoster, id: &MemberId) -> String {
    roster
        .member(id.as_str())
        .map_or_else(|| id.to_string(), |member| member.title())
}

/// Why.
#[must_use]
pub fn purpose(lang: Lang, purpose: Option<Purpose>) -> String {
    let name = purpose.map_or_else(|| "none".to_owned(), |purpose| purpose.to_string());
    lang.text(&format!("purpose-{name}"))
}

/// On what ground.
#[must_use]
pub fn legal_basis(lang: Lang, basis: Option<LegalBasis>) -> String {
    let name = basis.map_or_else(|| "none".to_owned(), |basis| basis.to_string());
    lang.text(&format!("basis-{name}"))
}

/// A grade.
#[must_use]
pub fn grade(lang: Lang, number: u32) -> String {
    lang.text(&format!("grade-{}", grade_name(number)))
}

/// The stable name of a grade.
#[must_use]
pub fn grade_name(number: u32) -> &'static str {
    match i32::try_from(number).map(pb::Grade::try_from) {
        Ok(Ok(pb::Grade::Match)) => "MATCH",
        Ok(Ok(pb::Grade::Possible)) => "POSSIBLE",
        Ok(Ok(pb::Grade::NoMatch)) => "NO_MATCH",
        _ => "UNKNOWN",
    }
}

/// An act as a table names it.
#[must_use]
pub fn act(lang: Lang, act: pb::Act) -> String {
    lang.text(&format!("act-{}", act_name(act)))
}

/// The stable name of an act.
#[must_use]
pub fn act_name(act: pb::Act) -> &'static str {
    act.as_str_name().trim_start_matches("ACT_")
}

/// Names in a sentence: `current_place and status`.
#[must_use]
pub fn list(lang: Lang, names: &[String]) -> String {
    match names {
        [] => lang.text("list-none"),
        [one] => one.clone(),
        [rest @ .., last] => lang.with(
            "list-last",
            &[
                ("rest", rest.join(", ").into()),
                ("last", last.as_str().into()),
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_people_write_them() {
        let list = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            super::list(Lang::English, &names)
        };
        assert_eq!(list(&[]), "nothing");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn everything_has_words_in_every_language() {
        for lang in Lang::ALL {
            for number in 0..200 {
                if let Ok(act) = pb::Act::try_from(number) {
                    assert_ne!(super::act(lang, act), format!("act-{}", act_name(act)));
                }
            }
            for number in 1..=5 {
                let (said, basis) = (
                    purpose(lang, crate::exchange::purpose_from(number).ok()),
                    legal_basis(lang, crate::exchange::legal_basis_from(number).ok()),
                );
                assert!(!said.starts_with("purpose-") && !basis.starts_with("basis-"));
            }
            assert!(!purpose(lang, None).starts_with("purpose-"));
            assert!(!legal_basis(lang, None).starts_with("basis-"));
        }
    }

    #[test]
    fn acts_and_grades_have_stable_names() {
        assert_eq!(act_name(pb::Act::LookupAnswered), "LOOKUP_ANSWERED");
        assert_eq!(grade_name(pb::Grade::Match as u32), "MATCH");
        assert_eq!(grade_name(77), "UNKNOWN");
    }
}
