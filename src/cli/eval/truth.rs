//! What is known to be true: pairs, kinds of negatives, families.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use super::register::Register;
use crate::cli::CliError;
use crate::cli::input::open_register;

/// The pairs that are the same child.
pub struct Truth {
    /// The pairs, in the file's order.
    pub pairs: Vec<TruePair>,
    /// Which of them joins two positions.
    pub by_position: HashMap<(usize, usize), usize>,
}

/// One child in both registers.
pub struct TruePair {
    /// Reference in A.
    pub a_ref: String,
    /// Reference in B.
    pub b_ref: String,
    /// Where the two stand in the registers; `None` where a row that was rejected may be meant.
    pub positions: Option<(usize, usize)>,
    /// How the child was altered between them.
    pub tags: Vec<String>,
}

impl Truth {
    /// Reads `a_ref,b_ref[,tags]`.
    ///
    /// A reference that a register lacks is an error, unless rows of that register were rejected:
    /// then the pair may stand on one of them, and counts as missed.
    ///
    /// # Errors
    /// Names the line and what is wrong in it.
    pub fn read(path: &Path, a: &Register, b: &Register) -> Result<Self, CliError> {
        let table = Table::read(path, &["a_ref", "b_ref"], &["tags"])?;
        let (in_a, in_b) = (a.positions(), b.positions());
        let mut seen: HashMap<(&str, &str), u64> = HashMap::new();
        let (mut pairs, mut by_position) = (Vec::new(), HashMap::new());
        for row in &table.rows {
            let (a_ref, b_ref) = (row.cell(0), row.cell(1));
            if let Some(first) = seen.insert((a_ref, b_ref), row.line) {
                return Err(table.wrong(
                    row.line,
                    &format!("the pair stands on line {first} already: remove one"),
                ));
            }
            let position_a = table.find(row, 0, &in_a, a.rejected)?;
            let position_b = table.find(row, 1, &in_b, b.rejected)?;
            let positions = position_a.zip(position_b);
            if let Some(positions) = positions {
                by_position.insert(positions, pairs.len());
            }
            let tags = row.cell(2).split(';').map(str::trim);
            pairs.push(TruePair {
                a_ref: a_ref.to_owned(),
                b_ref: b_ref.to_owned(),
                positions,
                tags: tags
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned)
                    .collect(),
            });
        }
        if pairs.is_empty() {
            return Err(table.wrong(1, "no pair follows the header: there is nothing to find"));
        }
        Ok(Self { pairs, by_position })
    }
}

/// What kind of negative each record of B is, by its position; `None` where the file does not say.
///
/// # Errors
/// Names the line of a reference that B lacks.
pub fn kinds(path: &Path, b: &Register) -> Result<Vec<Option<String>>, CliError> {
    let table = Table::read(path, &["b_ref", "kind"], &[])?;
    let in_b = b.positions();
    let mut kinds = vec![None; b.records.len()];
    for row in &table.rows {
        if let Some(position) = table.find(row, 0, &in_b, b.rejected)? {
            kinds[position] = Some(row.cell(1).to_owned());
        }
    }
    Ok(kinds)
}

/// The families that are the same: reference in A, reference in B.
///
/// # Errors
/// Names the line of a reference that a register lacks.
pub fn families(
    path: &Path,
    a: &Register,
    b: &Register,
) -> Result<Vec<(String, String)>, CliError> {
    let table = Table::read(path, &["a_family_ref", "b_family_ref"], &[])?;
    let (in_a, in_b) = (a.families(), b.families());
    let mut pairs = Vec::new();
    for row in &table.rows {
        table.find(row, 0, &in_a, a.rejected)?;
        table.find(row, 1, &in_b, b.rejected)?;
        pairs.push((row.cell(0).to_owned(), row.cell(1).to_owned()));
    }
    Ok(pairs)
}

/// A small CSV file of references.
struct Table {
    name: String,
    /// The columns wanted, the optional ones last.
    columns: Vec<&'static str>,
    rows: Vec<Line>,
}

struct Line {
    line: u64,
    cells: Vec<String>,
}

impl Line {
    /// A column's cell; empty where the file has no such column.
    fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }
}

impl Table {
    fn read(
        path: &Path,
        needed: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, CliError> {
        let mut table = Self {
            name: path.display().to_string(),
            columns: needed.iter().chain(optional).copied().collect(),
            rows: Vec::new(),
        };
        let mut bytes = Vec::new();
        open_register(path)?
            .0
            .read_to_end(&mut bytes)
            .map_err(|error| table.wrong(1, &error.to_string()))?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let header = reader.headers().map_err(|error| table.csv(&error))?.clone();
        let mut places = Vec::new();
        for column in &table.columns {
            let place = header.iter().position(|name| name == *column);
            if place.is_none() && needed.contains(column) {
                return Err(table.wrong(
                    1,
                    &format!(
                        "no column `{column}`: the file needs the columns {}",
                        needed.join(", ")
                    ),
                ));
            }
            places.push(place);
        }
        for record in reader.into_records() {
            let record = record.map_err(|error| table.csv(&error))?;
            let cell = |place: &Option<usize>| place.and_then(|place| record.get(place));
            table.rows.push(Line {
                line: record.position().map_or(0, |start| line(bytes, start)),
                cells: places
                    .iter()
                    .map(|place| cell(place).unwrap_or_default().to_owned())
                    .collect(),
            });
        }
        Ok(table)
    }

    /// Where the reference in a cell is found; `None` where it may have stood in a rejected row.
    fn find<T: Clone>(
        &self,
        row: &Line,
        column: usize,
        known: &HashMap<&str, T>,
        rejected: u64,
    ) -> Result<Option<T>, CliError> {
        let found = known.get(row.cell(column)).cloned();
        if found.is_none() && rejected == 0 {
            let why = format!(
                "the register has no record for this `{}`: correct it, or give the register that \
                 the file belongs to",
                self.columns[column]
            );
            return Err(self.wrong(row.line, &why));
        }
        Ok(found)
    }

    fn csv(&self, error: &csv::Error) -> CliError {
        let line = error.position().map_or(1, csv::Position::line);
        let why = match error.kind() {
            csv::ErrorKind::Utf8 { .. } => "not UTF-8: save the file as UTF-8".to_owned(),
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("the row has {len} fields and the header has {expected_len}"),
            _ => "it cannot be read as CSV".to_owned(),
        };
        self.wrong(line, &why)
    }

    fn wrong(&self, line: u64, why: &str) -> CliError {
        CliError::input("TRUTH", format!("{}: line {line}: {why}", self.name))
    }
}

/// The line, counted from 1, on which a record begins. The reader counts blank lines before it to
/// the record.
fn line(bytes: &[u8], start: &csv::Position) -> u64 {
    let rest = bytes.get(start.byte() as usize..).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    start.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}
