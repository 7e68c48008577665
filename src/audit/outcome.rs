//! Whether what a node has on record of an act is what it told the other party.
//!
//! A leaf commits to the inner outcome: which record it concerned, which grade it was given. The
//! signed answer says what the party was told. Both have to tell the same, or a report made from
//! the outcome would be about something that never happened.

use super::behind::{AnswerSays, Insight, QuerySays};
use super::entry::Entry;
use crate::proto::exchange as pb;

/// The outcome that the node has on record is the one that it answered by.
pub(super) fn outcome_as_answered(entry: &Entry, insight: &Insight) -> Result<(), &'static str> {
    let Some(outcome) = &insight.outcome else {
        return Ok(());
    };
    match (entry.act, &insight.answer, &insight.query) {
        (pb::Act::LookupAnswered, AnswerSays::Lookup(results), _) => {
            lookup_as_answered(outcome, results)
        }
        (
            pb::Act::DisclosureAnswered,
            AnswerSays::Disclosure { .. },
            QuerySays::Disclosure { lead_id, .. },
        ) => {
            let [line] = outcome.subjects.as_slice() else {
                return Err("it concerns not exactly one record");
            };
            if entry.subject.as_ref().map(<[u8; 16]>::as_slice) != Some(line.subject.as_slice()) {
                return Err("it names another record than the leaf");
            }
            if line.lead_id != *lead_id {
                return Err("it names another lead than the query");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn lookup_as_answered(
    outcome: &pb::Outcome,
    results: &[Option<pb::LookupResult>],
) -> Result<(), &'static str> {
    let no_match = pb::Grade::NoMatch as u32;
    for (index, result) in results.iter().enumerate() {
        let Some(result) = result else { continue };
        let lines: Vec<&pb::SubjectOutcome> = outcome
            .subjects
            .iter()
            .filter(|line| line.subject_index as usize == index)
            .collect();
        let best = lines
            .iter()
            .filter(|line| !line.lead_id.is_empty())
            .map(|line| line.grade)
            .max()
            .unwrap_or(no_match);
        if u32::try_from(result.grade) != Ok(best) {
            return Err("a subject was given another grade");
        }
        for lead in &result.leads {
            let grade = u32::try_from(lead.grade).unwrap_or_default();
            let recorded = lines.iter().find(|line| line.lead_id == lead.lead_id);
            match recorded {
                Some(line) if line.grade != grade => {
                    return Err("a lead was given another grade");
                }
                None if grade != no_match => {
                    return Err("a lead was handed out that is not on record");
                }
                _ => {}
            }
        }
        let handed_out = |line: &&pb::SubjectOutcome| {
            line.lead_id.is_empty() || result.leads.iter().any(|lead| lead.lead_id == line.lead_id)
        };
        if !lines.iter().all(handed_out) {
            return Err("a lead is on record that was not handed out");
        }
    }
    if outcome
        .subjects
        .iter()
        .any(|line| line.subject_index as usize >= results.len())
    {
        return Err("it tells of a subject that was not asked about");
    }
    Ok(())
}
