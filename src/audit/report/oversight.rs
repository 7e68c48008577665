//! The report on what members did.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Report;
use super::parts::{self, Proof, Section, Table};
use super::timeline::{Timeline, Track};
use crate::audit::entry::Entry;
use crate::audit::reconcile::{Loose, Reconciliation};
use crate::audit::summary::Summary;
use crate::audit::words;
use crate::locale::Lang;
use crate::roster::{MemberId, TrustedRoster};

/// What is gathered of one member while its log is read.
#[derive(Default)]
pub struct Watched {
    summary: Summary,
    track: Track,
    times: BTreeMap<u64, u64>,
}

impl Watched {
    /// Takes a leaf.
    pub fn take(&mut self, index: u64, entry: &Entry) {
        self.summary.take(entry);
        self.track.act(entry.time_ms);
        // One time in a few leaves is enough to place what does not hold.
        if index.is_multiple_of(64) || self.times.len() < 4096 {
            self.times.insert(index, entry.time_ms);
        }
    }

    /// About when a leaf was written.
    fn time_of(&self, index: u64) -> Option<u64> {
        let before = self.times.range(..=index).next_back();
        before
            .or_else(|| self.times.iter().next())
            .map(|(_, time_ms)| *time_ms)
    }
}

/// Puts the report together. `watched` is what was gathered of each member; `data` goes into the
/// JSON as it is.
#[must_use]
pub fn oversight(
    lang: Lang,
    roster: &TrustedRoster,
    (by, at_ms): (&MemberId, u64),
    story: &Reconciliation,
    mut watched: BTreeMap<MemberId, Watched>,
    data: Value,
) -> Report {
    let made_by = words::party(roster, by);
    // What does not hold in the logs or between them, and what one log holds against another's.
    let beyond = || {
        let reported = story.logs.iter().flat_map(|log| &log.reported);
        story.findings.iter().chain(reported)
    };
    let all_findings = || {
        let within = story.logs.iter().flat_map(|log| &log.findings);
        within.chain(beyond())
    };
    let findings = all_findings().count();
    for finding in all_findings() {
        if let Some(watched) = watched.get_mut(&finding.member) {
            let newest = watched.times.values().next_back().copied();
            let at = finding
                .place
                .leaf_index()
                .and_then(|leaf| watched.time_of(leaf));
            if let Some(at) = at.or(newest) {
                watched.track.trouble(at);
            }
        }
    }
    let mut tables: Vec<Table> = parts::findings(lang, roster, all_findings())
        .into_iter()
        .collect();
    tables.extend(loose(lang, roster, story));
    let mut tracks = Vec::new();
    let mut acts = Table::new(
        lang,
        "acts",
        "report-acts",
        &["member", "act", "party", "leaves", "counted", "from", "to"],
    );
    for (member, watched) in watched {
        let name = words::party(roster, &member);
        for line in watched.summary.lines() {
            acts.rows.push(vec![
                name.clone(),
                words::act(lang, line.act),
                line.peer.as_ref().map_or_else(
                    || lang.text("report-none"),
                    |peer| words::party(roster, peer),
                ),
                line.leaves.to_string(),
                line.counted.to_string(),
                words::moment(line.times_ms.0),
                words::moment(line.times_ms.1),
            ]);
        }
        tracks.push((name, watched.track));
    }
    tables.push(acts);
    let mut proofs: Vec<Proof> = story
        .logs
        .iter()
        .flat_map(|log| parts::log_proofs(lang, roster, log, beyond()))
        .collect();
    proofs.push(parts::roster_proof(lang, roster));
    Report {
        lang,
        title: lang.text("report-title"),
        made_at_ms: at_ms,
        findings,
        verdict: parts::verdict(lang, findings),
        sections: vec![
            parts::opening(lang, &made_by, at_ms),
            Section {
                heading: Some(lang.text("report-summary")),
                sentences: sentences(lang, roster, story),
            },
        ],
        made_by,
        tables,
        timeline: Timeline::new(lang, tracks),
        limits: parts::limits(lang),
        proofs,
        data,
    }
}

fn sentences(lang: Lang, roster: &TrustedRoster, story: &Reconciliation) -> Vec<String> {
    let mut sentences: Vec<String> = story
        .logs
        .iter()
        .map(|log| parts::log_sentence(lang, roster, log))
        .collect();
    if story.logs.len() > 1 {
        let id = if story.findings.is_empty() {
            "report-story-ok"
        } else {
            "report-story-bad"
        };
        sentences.push(lang.with(
            id,
            &[
                ("pairs", story.matched.into()),
                ("findings", story.findings.len().into()),
            ],
        ));
        for (id, count) in [
            ("report-refused", story.refused.len()),
            ("report-open", story.open.len()),
        ] {
            if count > 0 {
                sentences.push(lang.with(id, &[("count", count.into())]));
            }
        }
    }
    for finding in story
        .logs
        .iter()
        .flat_map(|log| &log.findings)
        .chain(&story.findings)
    {
        sentences.push(format!(
            "{}: {}.",
            words::party(roster, &finding.member),
            parts::fault(lang, &finding.fault)
        ));
    }
    sentences
}

fn loose(lang: Lang, roster: &TrustedRoster, story: &Reconciliation) -> Option<Table> {
    let mut table = Table::new(
        lang,
        "loose",
        "report-loose",
        &["at", "member", "act", "party", "leaf", "code"],
    );
    let row = |loose: &Loose| {
        vec![
            words::moment(loose.time_ms),
            words::party(roster, &loose.member),
            words::act(lang, loose.act),
            words::party(roster, &loose.peer),
            loose.leaf_index.to_string(),
            loose
                .code
                .clone()
                .unwrap_or_else(|| lang.text("report-none")),
        ]
    };
    table.rows = story.refused.iter().chain(&story.open).map(row).collect();
    (!table.rows.is_empty()).then_some(table)
}
