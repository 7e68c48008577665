//! What reports are made of.

use serde_json::{Value, json};

use crate::audit::Finding;
use crate::audit::finding::{Fault, Place};
use crate::audit::verify::Verification;
use crate::audit::words;
use crate::locale::Lang;
use crate::roster::TrustedRoster;

/// Sentences under a heading; the first section has none.
pub struct Section {
    /// The heading, if there is one.
    pub heading: Option<String>,
    /// The sentences.
    pub sentences: Vec<String>,
}

/// A table.
pub struct Table {
    /// A name for its anchor.
    pub id: &'static str,
    /// What it tells.
    pub caption: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// A text that proves something.
pub struct Proof {
    /// What it proves.
    pub heading: String,
    /// The text, as it was signed or sent.
    pub text: String,
}

impl Section {
    pub(super) fn to_json(&self) -> Value {
        json!({"heading": self.heading, "sentences": self.sentences})
    }
}

impl Table {
    pub(super) fn new(lang: Lang, id: &'static str, caption: &str, columns: &[&str]) -> Self {
        Self {
            id,
            caption: lang.text(caption),
            columns: columns
                .iter()
                .map(|column| lang.text(&format!("report-column-{column}")))
                .collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"caption": self.caption, "columns": self.columns, "rows": self.rows})
    }
}

impl Proof {
    pub(super) fn to_json(&self) -> Value {
        json!({"heading": self.heading, "text": self.text})
    }
}

/// A finding's fault in words. English is the program's own, which says the most.
pub(super) fn fault(lang: Lang, fault: &Fault) -> String {
    match lang {
        Lang::English => fault.to_string(),
        _ => lang.with("fault", &[("code", fault.code().into())]),
    }
}

fn place(lang: Lang, place: &Place) -> String {
    let id = format!("report-place-{}", place.as_str());
    match place.leaf_index() {
        Some(leaf) => lang.with(&id, &[("leaf", leaf.to_string().into())]),
        None => lang.text(&id),
    }
}

/// The table of everything that does not hold.
pub(super) fn findings<'a>(
    lang: Lang,
    roster: &TrustedRoster,
    findings: impl Iterator<Item = &'a Finding>,
) -> Option<Table> {
    let mut table = Table::new(
        lang,
        "findings",
        "report-findings",
        &["member", "place", "what", "code"],
    );
    table.rows = findings
        .map(|finding| {
            vec![
                words::party(roster, &finding.member),
                place(lang, &finding.place),
                fault(lang, &finding.fault),
                finding.fault.code().to_owned(),
            ]
        })
        .collect();
    (!table.rows.is_empty()).then_some(table)
}

/// What one log came to, in a sentence or two.
pub(super) fn log_sentence(lang: Lang, roster: &TrustedRoster, log: &Verification) -> String {
    let member = words::party(roster, &log.member);
    let leaves = lang.with("report-leaves", &[("count", log.size().into())]);
    let mut text = if log.holds() {
        lang.with(
            "report-log-ok",
            &[
                ("member", member.into()),
                ("leaves", leaves.into()),
                ("evidence", log.evidence.to_string().into()),
            ],
        )
    } else {
        lang.with(
            "report-log-bad",
            &[
                ("member", member.into()),
                ("leaves", leaves.into()),
                ("findings", log.findings.len().into()),
            ],
        )
    };
    if log.checkpoint.is_some() {
        text.push(' ');
        text.push_str(&match log.cosigned.as_slice() {
            [] => lang.text("report-unwitnessed"),
            names => lang.with(
                "report-witnessed",
                &[("names", words::list(lang, names).into())],
            ),
        });
    }
    text
}

/// The checkpoint of a log, and whatever contradicts it.
pub(super) fn log_proofs<'a>(
    lang: Lang,
    roster: &TrustedRoster,
    log: &'a Verification,
    between: impl Iterator<Item = &'a Finding>,
) -> Vec<Proof> {
    let member = words::party(roster, &log.member);
    let mut proofs = Vec::new();
    if let Some(checkpoint) = &log.checkpoint {
        proofs.push(Proof {
            heading: lang.with(
                "report-proof-checkpoint",
                &[("member", member.as_str().into())],
            ),
            text: checkpoint.signed().to_string(),
        });
    }
    let own = between.filter(|finding| finding.member == log.member);
    for finding in log.findings.iter().chain(own) {
        if let Fault::Forked { signed, shown, .. } | Fault::Reported { signed, shown, .. } =
            &finding.fault
        {
            proofs.push(Proof {
                heading: lang.with("report-proof-fork", &[("member", member.as_str().into())]),
                text: format!("{signed}\n{shown}"),
            });
        }
    }
    proofs
}

/// The roster in force.
pub(super) fn roster_proof(lang: Lang, roster: &TrustedRoster) -> Proof {
    Proof {
        heading: lang.text("report-proof-roster"),
        text: format!("version={} sha256={}\n", roster.version(), roster.digest()),
    }
}

/// The first section: who made the report, and how.
pub(super) fn opening(lang: Lang, by: &str, at_ms: u64) -> Section {
    Section {
        heading: None,
        sentences: vec![lang.with(
            "report-by",
            &[("by", by.into()), ("at", words::moment(at_ms).into())],
        )],
    }
}

/// Whether everything holds, in a sentence.
pub(super) fn verdict(lang: Lang, findings: usize) -> String {
    match findings {
        0 => lang.text("report-ok"),
        count => lang.with("report-bad", &[("count", count.into())]),
    }
}

/// What no report of this kind can show.
pub(super) fn limits(lang: Lang) -> Vec<String> {
    ["both", "index", "lost", "own", "silent"]
        .iter()
        .map(|limit| lang.text(&format!("report-limit-{limit}")))
        .collect()
}
