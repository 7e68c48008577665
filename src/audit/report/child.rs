//! The report for a family's request: who asked about this child, when, why, on what ground, and
//! what they were told.

use serde_json::Value;

use super::Report;
use super::parts::{self, Proof, Section, Table};
use super::timeline::{Timeline, Track};
use crate::audit::subject::{Event, SubjectReport, What};
use crate::audit::words;
use crate::locale::Lang;
use crate::roster::{MemberId, TrustedRoster};

/// Puts the report together. `data` goes into the JSON as it is.
#[must_use]
pub fn child(
    lang: Lang,
    roster: &TrustedRoster,
    (by, at_ms): (&MemberId, u64),
    subject: &SubjectReport,
    data: Value,
) -> Report {
    let made_by = words::party(roster, by);
    let log = &subject.verification;
    let findings = log.findings.len();
    let member = words::party(roster, &subject.member);
    let mut track = Track::default();
    let mut events = Table::new(
        lang,
        "events",
        "report-events",
        &[
            "at", "party", "purpose", "basis", "case", "answer", "told", "withheld", "leaf",
        ],
    );
    for event in &subject.events {
        track.act(event.time_ms);
        events.rows.push(row(lang, roster, event));
    }
    let mut tables: Vec<Table> = parts::findings(lang, roster, log.findings.iter())
        .into_iter()
        .collect();
    tables.push(events);
    let mut proofs = parts::log_proofs(lang, roster, log, std::iter::empty());
    if let Some(pseudonym) = &subject.subject {
        proofs.push(Proof {
            heading: lang.text("report-proof-pseudonym"),
            text: format!(
                "{}\n{}\n",
                hex::encode(pseudonym),
                hex::encode(&subject.proof)
            ),
        });
    }
    proofs.push(parts::roster_proof(lang, roster));
    Report {
        lang,
        title: lang.text("report-title-child"),
        made_at_ms: at_ms,
        findings,
        verdict: parts::verdict(lang, findings),
        sections: vec![
            parts::opening(lang, &made_by, at_ms),
            Section {
                heading: Some(lang.text("report-summary")),
                sentences: sentences(lang, roster, subject, &member),
            },
        ],
        made_by,
        tables,
        timeline: Timeline::new(lang, vec![(member, track)]),
        limits: parts::limits(lang),
        proofs,
        data,
    }
}

fn sentences(
    lang: Lang,
    roster: &TrustedRoster,
    subject: &SubjectReport,
    member: &str,
) -> Vec<String> {
    let with_member = |id: &str| lang.with(id, &[("member", member.into())]);
    let mut sentences: Vec<String> = subject
        .events
        .iter()
        .map(|event| event.sentence(lang, roster, &subject.member))
        .collect();
    if subject
        .events
        .iter()
        .all(|event| event.what == What::Audited)
    {
        sentences.push(with_member("report-child-nobody"));
    }
    sentences.push(with_member(if subject.held {
        "report-child-held"
    } else {
        "report-child-not-held"
    }));
    sentences.push(lang.text(if subject.verification.holds() {
        "report-child-complete"
    } else {
        "report-child-incomplete"
    }));
    sentences.push(parts::log_sentence(lang, roster, &subject.verification));
    sentences
}

fn row(lang: Lang, roster: &TrustedRoster, event: &Event) -> Vec<String> {
    let none = || lang.text("report-none");
    let (answer, told, withheld) = match &event.what {
        What::LookedUp { grade, .. } | What::AnswerFromAbroad { grade } => {
            (words::grade(lang, *grade), none(), none())
        }
        What::MetSilently { .. } => (
            words::act(lang, crate::proto::exchange::Act::SilentChecked),
            none(),
            none(),
        ),
        What::Decided { act, .. } => (words::act(lang, *act), none(), none()),
        What::Disclosed { granted, withheld } | What::ToldFromAbroad { granted, withheld } => (
            none(),
            words::list(lang, granted),
            words::list(lang, withheld),
        ),
        What::Refused { code } => (code.clone(), none(), none()),
        What::SearchedAbroad | What::AskedAbroad { .. } | What::Erased | What::Audited => {
            (none(), none(), none())
        }
    };
    let case = if event.case_reference.is_empty() {
        none()
    } else {
        event.case_reference.clone()
    };
    vec![
        words::moment(event.time_ms),
        event
            .peer
            .as_ref()
            .map_or_else(none, |peer| words::party(roster, peer)),
        words::purpose(lang, event.purpose),
        words::legal_basis(lang, event.legal_basis),
        case,
        answer,
        told,
        withheld,
        event.leaf_index.to_string(),
    ]
}
