//! Missed and wrong pairs as CSV, for study. References and masks stand in it, and nothing that a
//! record says.

use std::path::Path;

use super::measure::Pair;
use super::register::Register;
use super::truth::Truth;
use crate::cli::CliError;
use crate::linkage::{Field, Grade, Presence, RuleId};

/// Writes the true pairs that are not answered as a match: possible ones, those whose tokens met
/// without sufficing (`NO_MATCH`), those past the leads of an answer (`NOT_ANSWERED`), and those no
/// token of which met (`UNSEEN`).
///
/// # Errors
/// If the file cannot be written.
pub fn write_missed(
    path: &Path,
    pairs: &[Pair],
    truth: &Truth,
    masks: [&[Presence]; 2],
) -> Result<(), CliError> {
    let mut file = File::create(
        path,
        &[
            "a_ref",
            "b_ref",
            "tags",
            "grade",
            "weight",
            "rules",
            "present_in_both",
        ],
    )?;
    let mut seen: Vec<Option<&Pair>> = vec![None; truth.pairs.len()];
    for pair in pairs {
        if let Some(at) = pair.truth {
            seen[at] = Some(pair);
        }
    }
    for (known, pair) in truth.pairs.iter().zip(seen) {
        if pair.is_some_and(|pair| pair.at_least(Grade::Match)) {
            continue;
        }
        let (grade, weight, rules) = pair.map_or_else(
            || ("UNSEEN", String::new(), String::new()),
            |pair| (grade(pair), weight(pair), rules(pair)),
        );
        let both = match known.positions {
            Some((a, b)) => masks[0][a].both(masks[1][b]),
            None => Presence::default(),
        };
        file.row(&[
            &known.a_ref,
            &known.b_ref,
            &known.tags.join(";"),
            grade,
            &weight,
            &rules,
            &fields(both),
        ])?;
    }
    file.finish()
}

/// Writes the pairs that are answered as a match or possible and are not true, the worst first.
///
/// # Errors
/// If the file cannot be written.
pub fn write_false(
    path: &Path,
    pairs: &[Pair],
    registers: [&Register; 2],
    kinds: Option<&[Option<String>]>,
    masks: [&[Presence]; 2],
) -> Result<(), CliError> {
    let mut file = File::create(
        path,
        &[
            "a_ref",
            "b_ref",
            "kind",
            "grade",
            "weight",
            "rules",
            "present_in_both",
        ],
    )?;
    let mut wrong: Vec<&Pair> = pairs
        .iter()
        .filter(|pair| pair.answered && pair.truth.is_none())
        .collect();
    wrong.sort_by(|x, y| {
        let (x_decision, y_decision) = (x.candidate.decision, y.candidate.decision);
        y_decision
            .grade
            .cmp(&x_decision.grade)
            .then(y_decision.weight.total_cmp(&x_decision.weight))
            .then((x.a, x.b).cmp(&(y.a, y.b)))
    });
    let [a, b] = registers;
    for pair in wrong {
        let kind = kinds.and_then(|kinds| kinds[pair.b].as_deref());
        file.row(&[
            a.records[pair.a].record_ref.as_str(),
            b.records[pair.b].record_ref.as_str(),
            kind.unwrap_or_default(),
            grade(pair),
            &weight(pair),
            &rules(pair),
            &fields(masks[0][pair.a].both(masks[1][pair.b])),
        ])?;
    }
    file.finish()
}

fn grade(pair: &Pair) -> &'static str {
    match (pair.candidate.decision.grade, pair.answered) {
        (Grade::NoMatch, _) => "NO_MATCH",
        (_, false) => "NOT_ANSWERED",
        (Grade::Possible, _) => "POSSIBLE",
        (Grade::Match, _) => "MATCH",
    }
}

fn weight(pair: &Pair) -> String {
    let weight = pair.candidate.decision.weight;
    if weight.is_finite() {
        format!("{weight:.2}")
    } else {
        String::new()
    }
}

fn rules(pair: &Pair) -> String {
    let agreed = (0..64).filter(|&id| pair.candidate.agreed.contains(RuleId(id)));
    let ids: Vec<String> = agreed.map(|id| id.to_string()).collect();
    ids.join(" ")
}

/// The names of the fields that a mask has.
fn fields(mask: Presence) -> String {
    const NAMES: [(Field, &str); 13] = [
        (Field::Family, "family"),
        (Field::Given, "given"),
        (Field::Patronymic, "patronymic"),
        (Field::Sex, "sex"),
        (Field::Year, "year"),
        (Field::Month, "month"),
        (Field::MonthDay, "day"),
        (Field::Place, "place"),
        (Field::MotherFamily, "mother_family"),
        (Field::MotherGiven, "mother_given"),
        (Field::Document, "document"),
        (Field::LastPlace, "last_place"),
        (Field::Slavic, "slavic"),
    ];
    let present = NAMES.iter().filter(|(field, _)| mask.has(*field));
    present.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}

/// A CSV file being written.
struct File {
    name: String,
    writer: csv::Writer<std::fs::File>,
}

impl File {
    fn create(path: &Path, header: &[&str]) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let file = std::fs::File::create(path)
            .map_err(|error| CliError::input("NO_FILE", format!("{name}: {error}")))?;
        let writer = csv::Writer::from_writer(file);
        let mut file = Self { name, writer };
        file.row(header)?;
        Ok(file)
    }

    fn row(&mut self, cells: &[&str]) -> Result<(), CliError> {
        self.writer
            .write_record(cells)
            .map_err(|error| CliError::failed("IO", format!("{}: {error}", self.name)))
    }

    fn finish(mut self) -> Result<(), CliError> {
        self.writer
            .flush()
            .map_err(|error| CliError::failed("IO", format!("{}: {error}", self.name)))
    }
}
