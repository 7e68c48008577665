//! The page.

use askama::Template;

use super::Report;
use super::parts::{Proof, Section, Table};
use crate::locale::Lang;

#[derive(Template)]
#[template(path = "audit_report.html")]
struct Page<'a> {
    code: &'static str,
    title: &'a str,
    holds: bool,
    verdict: &'a str,
    sections: &'a [Section],
    timeline_heading: String,
    timeline: String,
    timeline_alternative: &'a str,
    timeline_key: String,
    tables: &'a [Table],
    limits_heading: String,
    limits: &'a [String],
    proofs_heading: String,
    proofs_intro: String,
    proofs: &'a [Proof],
    signed: String,
}

/// The report as one page that needs nothing else: no script, no picture, no font from elsewhere.
pub(super) fn page(report: &Report) -> String {
    let text = |id: &str| Lang::text(report.lang, id);
    let page = Page {
        code: report.lang.code(),
        title: &report.title,
        holds: report.findings == 0,
        verdict: &report.verdict,
        sections: &report.sections,
        timeline_heading: text("report-timeline"),
        timeline: report.timeline.to_svg(),
        timeline_alternative: report.timeline.alternative(),
        timeline_key: text("report-timeline-key"),
        tables: &report.tables,
        limits_heading: text("report-limits"),
        limits: &report.limits,
        proofs_heading: text("report-proofs"),
        proofs_intro: text("report-proofs-intro"),
        proofs: &report.proofs,
        signed: text("report-sign"),
    };
    // A template of texts over a string: nothing in it can fail.
    page.render().unwrap_or_default()
}
