//! Tables of cases: what a ministry expects of its policy, to be held against it after each change.

use serde::Deserialize;

use super::{Needs, Policy, Question, RecordFacts, Rule};
use crate::records::{Column, Consent, Protection};
use crate::roster::{LegalBasis, Purpose};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Comma-separated, with a header.
    Csv,
    /// TOML: one `[[case]]` for each.
    Toml,
}

/// What is expected of one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// What the field needs.
    Needs(Needs),
    /// That one person may release it at once.
    BreakGlass,
    /// That nobody may release it alone.
    NoBreakGlass,
}

impl Expected {
    /// The word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Needs(needs) => needs.as_str(),
            Self::BreakGlass => "break_glass",
            Self::NoBreakGlass => "no_break_glass",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let needs = [
            Needs::Nobody,
            Needs::OnePerson,
            Needs::TwoPeople,
            Needs::Refused,
        ];
        needs
            .into_iter()
            .map(Self::Needs)
            .chain([Self::BreakGlass, Self::NoBreakGlass])
            .find(|expected| expected.as_str() == word)
    }
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its place: the line of a CSV file, the number of a TOML table.
    pub place: usize,
    /// What it is called; empty if it is not.
    pub name: String,
    /// The question.
    pub question: Question,
    /// The field.
    pub column: Column,
    /// What is expected.
    pub expected: Expected,
    /// The rule that is to decide, if the table says so.
    pub rule: Option<String>,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseOutcome {
    /// What the policy decides.
    pub found: Expected,
    /// The rules that decided.
    pub rules: Vec<Rule>,
    /// Whether all is as expected.
    pub as_expected: bool,
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It cannot be read.
    #[error("the table cannot be read: {0}")]
    Unreadable(String),
    /// A case states something that there is not.
    #[error("case {place}: {column}: {why}")]
    Case {
        /// Line of a CSV file, number of a TOML table.
        place: usize,
        /// Which column.
        column: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It has no case.
    #[error("the table has no case: a test of nothing proves nothing")]
    Empty,
}

/// A case as it is written; what is left out is what is most common.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    name: String,
    #[serde(default)]
    member: String,
    purpose: String,
    #[serde(default)]
    legal_basis: String,
    field: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    protection: String,
    #[serde(default)]
    ground: String,
    #[serde(default)]
    certain: String,
    #[serde(default)]
    urgent: String,
    expect: String,
    #[serde(default)]
    rule: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToml {
    #[serde(default, rename = "case")]
    cases: Vec<Written>,
}

/// Reads a table of cases.
///
/// # Errors
/// [`TableError`] names case and column.
pub fn read_table(text: &str, format: TableFormat) -> Result<Vec<Case>, TableError> {
    let unreadable = |error: &dyn std::fmt::Display| TableError::Unreadable(error.to_string());
    let text = text.trim_start_matches('\u{feff}');
    let written: Vec<(usize, Written)> = match format {
        TableFormat::Toml => {
            let table: WrittenToml = toml::from_str(text).map_err(|error| unreadable(&error))?;
            (1..).zip(table.cases).collect()
        }
        TableFormat::Csv => {
            let mut reader = csv::ReaderBuilder::new()
                .trim(csv::Trim::All)
                .comment(Some(b'#'))
                .from_reader(text.as_bytes());
            let headers = reader
                .headers()
                .map_err(|error| unreadable(&error))?
                .clone();
            let mut cases = Vec::new();
            let mut row = csv::StringRecord::new();
            while reader
                .read_record(&mut row)
                .map_err(|error| unreadable(&error))?
            {
                let line = last_line(text, reader.position().byte(), &row);
                let case = row
                    .deserialize(Some(&headers))
                    .map_err(|error| unreadable(&error))?;
                cases.push((line, case));
            }
            cases
        }
    };
    if written.is_empty() {
        return Err(TableError::Empty);
    }
    written
        .into_iter()
        .map(|(place, case)| read_case(place, case))
        .collect()
}

/// The line, from 1, in which a row of a CSV file begins that ends before this octet. The reader's
/// own account of it counts the comments above the row in.
fn last_line(text: &str, end: u64, row: &csv::StringRecord) -> usize {
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    let before = text.get(..end).unwrap_or(text).trim_end();
    let within: usize = row.iter().map(|field| field.matches('\n').count()).sum();
    (before.matches('\n').count() + 1).saturating_sub(within)
}

fn read_case(place: usize, written: Written) -> Result<Case, TableError> {
    let wrong = |column: &'static str, why: &dyn std::fmt::Display| TableError::Case {
        place,
        column,
        why: why.to_string(),
    };
    let yes = |column: &'static str, word: &str, unsaid: bool| match word {
        "" => Ok(unsaid),
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(wrong(column, &"write yes or no")),
    };
    let purpose: Purpose = written
        .purpose
        .parse()
        .map_err(|error| wrong("purpose", &error))?;
    let legal_basis = match written.legal_basis.as_str() {
        "" => LegalBasis::VitalInterest,
        word => word.parse().map_err(|error| wrong("legal_basis", &error))?,
    };
    let column = Column::from_name(&written.field).ok_or_else(|| {
        wrong(
            "field",
            &format!("there is no field called {:?}", written.field),
        )
    })?;
    let protection = match written.protection.as_str() {
        "" => Protection::None,
        word => Protection::parse(word).map_err(|error| wrong("protection", &error))?,
    };
    let ground = match written.ground.as_str() {
        "" => Consent::Tracing,
        word => Consent::parse(word).map_err(|error| wrong("ground", &error))?,
    };
    let expected = Expected::parse(&written.expect).ok_or_else(|| {
        wrong(
            "expect",
            &"write granted, one_approval, two_approvals, refused, break_glass or no_break_glass",
        )
    })?;
    Ok(Case {
        place,
        name: written.name,
        question: Question {
            member: if written.member.is_empty() {
                "any".to_owned()
            } else {
                written.member
            },
            purpose,
            legal_basis,
            certain: yes("certain", &written.certain, true)?,
            urgent: yes("urgent", &written.urgent, false)?,
            record: RecordFacts {
                status: written.status,
                protection,
                ground,
                entered_by: Vec::new(),
                family_silent: false,
            },
        },
        column,
        expected,
        rule: (!written.rule.is_empty()).then_some(written.rule),
    })
}

impl Case {
    /// Holds the case against a policy, with what no policy can change counted in.
    #[must_use]
    pub fn hold(&self, policy: &Policy) -> CaseOutcome {
        let explained = policy.explain(&self.question, self.column);
        let (found, rules) = match self.expected {
            Expected::Needs(_) => (Expected::Needs(explained.needs), explained.rules),
            Expected::BreakGlass | Expected::NoBreakGlass => match explained.alone {
                Some(rules) => (Expected::BreakGlass, rules),
                None => (Expected::NoBreakGlass, Vec::new()),
            },
        };
        let by_rule = self
            .rule
            .as_ref()
            .is_none_or(|name| rules.iter().any(|rule| rule.id == *name));
        CaseOutcome {
            as_expected: found == self.expected && by_rule,
            found,
            rules,
        }
    }
}
