//! A report that a court or a parliament can read: plain sentences first, then tables, a picture of
//! the acts over time, and the proofs by which all of it can be checked again.
//!
//! One report is one value, in one language; it is written as one HTML page that needs nothing else
//! and prints, and the same in JSON. A detached note signs both ([`sign`]).

mod child;
mod html;
mod oversight;
mod parts;
pub mod sign;
mod timeline;

use serde_json::{Value, json};

use crate::locale::Lang;

pub use oversight::Watched;
pub use parts::{Proof, Section, Table};
pub use timeline::{Timeline, Track};

pub use child::child;
pub use oversight::oversight;

/// A report, in one language.
pub struct Report {
    lang: Lang,
    title: String,
    made_by: String,
    made_at_ms: u64,
    findings: usize,
    verdict: String,
    sections: Vec<Section>,
    tables: Vec<Table>,
    timeline: Timeline,
    limits: Vec<String>,
    proofs: Vec<Proof>,
    /// The same as machines read it elsewhere.
    data: Value,
}

impl Report {
    /// How many things do not hold.
    #[must_use]
    pub fn findings(&self) -> usize {
        self.findings
    }

    /// The sentences, in order.
    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        self.sections
            .iter()
            .flat_map(|section| section.sentences.iter().map(String::as_str))
    }

    /// The report as one page that needs nothing else.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// The same for machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "format": "wayhome/audit-report/v1",
            "lang": self.lang.code(),
            "title": self.title,
            "made_by": self.made_by,
            "made_at_ms": self.made_at_ms,
            "ok": self.findings == 0,
            "findings": self.findings,
            "verdict": self.verdict,
            "sections": self.sections.iter().map(Section::to_json).collect::<Vec<_>>(),
            "tables": self.tables.iter().map(Table::to_json).collect::<Vec<_>>(),
            "timeline": self.timeline.to_json(),
            "limits": self.limits,
            "proofs": self.proofs.iter().map(Proof::to_json).collect::<Vec<_>>(),
            "data": self.data,
        })
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
