//! Plain words for what logs say in numbers.

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

/// Why, after "for".
#[must_use]
pub fn purpose(purpose: Option<Purpose>) -> &'static str {
    match purpose {
        Some(Purpose::FamilyTracing) => "tracing the family",
        Some(Purpose::Reunification) => "reunification",
        Some(Purpose::IdentityVerification) => "verifying an identity",
        Some(Purpose::ChildProtection) => "protecting the child",
        Some(Purpose::Audit) => "an audit",
        None => "a purpose that was not stated",
    }
}

/// On what ground, after "on".
#[must_use]
pub fn legal_basis(basis: Option<LegalBasis>) -> &'static str {
    match basis {
        Some(LegalBasis::Consent) => "the consent of the child or who speaks for it",
        Some(LegalBasis::VitalInterest) => "the child's vital interests",
        Some(LegalBasis::PublicInterest) => "a public task laid down by law",
        Some(LegalBasis::LegalObligation) => "a duty laid on it by law",
        Some(LegalBasis::CourtOrder) => "the order of a court",
        None => "a ground that was not stated",
    }
}

/// A grade, after "was answered".
#[must_use]
pub fn grade(number: u32) -> &'static str {
    match i32::try_from(number).map(pb::Grade::try_from) {
        Ok(Ok(pb::Grade::Match)) => "a match",
        Ok(Ok(pb::Grade::Possible)) => "a possible match, for a person to decide",
        Ok(Ok(pb::Grade::NoMatch)) => "no match",
        _ => "an unknown grade",
    }
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
pub fn act(act: pb::Act) -> &'static str {
    match act {
        pb::Act::Unspecified => "unknown",
        pb::Act::LogStarted => "log started",
        pb::Act::RosterAdopted => "roster came into force",
        pb::Act::EvaluationAsked => "evaluation asked",
        pb::Act::EvaluationAnswered => "evaluation answered",
        pb::Act::EvaluationReceived => "evaluation received",
        pb::Act::LookupAsked => "lookup asked",
        pb::Act::LookupAnswered => "lookup answered",
        pb::Act::LookupReceived => "lookup answer received",
        pb::Act::DisclosureAsked => "fields asked for",
        pb::Act::DisclosureAnswered => "fields answered",
        pb::Act::DisclosureReceived => "fields received",
        pb::Act::RecordsImported => "records imported",
        pb::Act::RecordsPublished => "records published",
        pb::Act::RecordErased => "record erased",
        pb::Act::AuditAnswered => "audit answered",
        pb::Act::QueryRefused => "query refused",
        pb::Act::EpochOpened => "key epoch opened to peers",
        pb::Act::EpochLeft => "key epoch left, its tokens destroyed",
        pb::Act::ShareTaken => "share of the coalition key taken into use",
        pb::Act::ShareDestroyed => "share of the coalition key destroyed",
        pb::Act::LeavesRead => "leaves read as files",
        pb::Act::RootAdopted => "root taken",
        pb::Act::RosterRefused => "root or roster refused",
        pb::Act::ClockAccepted => "clock accepted",
        pb::Act::HouseRulesSet => "member's own rules set",
        pb::Act::AlertRaised => "alert of unusual use",
        pb::Act::SilentChecked => "lookups compared with silent records",
        pb::Act::SplitViewFound => "split view found",
        pb::Act::PromiseBroken => "broken promise found",
    }
}

/// The stable name of an act.
#[must_use]
pub fn act_name(act: pb::Act) -> &'static str {
    act.as_str_name().trim_start_matches("ACT_")
}

/// Field names in a sentence: `current_place and status`.
#[must_use]
pub fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_people_write_them() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(list(&names(&[])), "nothing");
        assert_eq!(list(&names(&["a"])), "a");
        assert_eq!(list(&names(&["a", "b", "c"])), "a, b and c");
    }

    #[test]
    fn acts_and_grades_have_stable_names() {
        assert_eq!(act_name(pb::Act::LookupAnswered), "LOOKUP_ANSWERED");
        assert_eq!(grade_name(pb::Grade::Match as u32), "MATCH");
        assert_eq!(grade_name(77), "UNKNOWN");
    }
}
