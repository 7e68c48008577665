//! Which column of the file is which field.

use super::error::{HeaderError, UnknownColumn};
use super::options::ImportOptions;
use super::split::{Scanned, Span, scan_row};
use crate::records::field::{Column, FIELDS};

/// A checked CSV header.
pub(super) struct Header {
    /// By place in the row: the name as the file has it, and the field unless it is passed over.
    columns: Vec<(String, Option<Column>)>,
    /// The place of the reference.
    ref_at: usize,
}

impl Header {
    /// Checks the names of a header, and where they are unknown looks at the line for another
    /// separator.
    pub(super) fn new(
        names: Vec<String>,
        line: &str,
        options: &ImportOptions,
    ) -> Result<Self, HeaderError> {
        let meanings: Vec<_> = names
            .iter()
            .map(|name| Meaning::of(name, options))
            .collect();
        let known = |meaning: &&Meaning| matches!(meaning, Meaning::Field(_));
        let known_count = meanings.iter().filter(known).count();
        if known_count < 2
            && let Some(error) = other_delimiter(line, options)
        {
            return Err(error);
        }
        // The whole file is then one line, and what follows the names is data.
        if names
            .iter()
            .any(|name| name.replace("\r\n", "").contains('\r'))
        {
            return Err(HeaderError::CarriageReturns);
        }
        if known_count == 0 {
            return Err(HeaderError::NoHeader);
        }
        let ref_at = meanings
            .iter()
            .position(|meaning| *meaning == Meaning::Field(Column::RecordRef));
        // With one known name in it a line can still be data, whose values are not repeated.
        let certain = known_count >= 2 || ref_at.is_some();
        check_unknown(&names, &meanings, certain)?;
        check_mapped(&names, options)?;
        check_twice(&meanings)?;
        let ref_at = ref_at.ok_or(HeaderError::NoRecordRef)?;
        let columns = names
            .into_iter()
            .zip(meanings)
            .map(|(name, meaning)| (name, meaning.field()))
            .collect();
        Ok(Self { columns, ref_at })
    }

    /// How many fields a row has.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The place of the reference in a row.
    pub(super) fn ref_at(&self) -> usize {
        self.ref_at
    }

    /// The name, as the file has it, of the column at a place.
    pub(super) fn name(&self, index: usize) -> Option<&str> {
        self.columns.get(index).map(|(name, _)| name.as_str())
    }

    /// The fields that are read, with their places in a row.
    pub(super) fn fields(&self) -> impl Iterator<Item = (usize, Column)> + '_ {
        self.columns
            .iter()
            .enumerate()
            .filter_map(|(index, (_, column))| Some((index, (*column)?)))
    }
}

/// What a column's name means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Field(Column),
    Ignored,
    Unknown,
}

impl Meaning {
    /// The map file speaks first; canonical names are taken in any case.
    pub(super) fn of(name: &str, options: &ImportOptions) -> Self {
        let name = name.trim();
        if let Some(column) = options.columns.get(name) {
            return Self::Field(*column);
        }
        if options.ignore.contains(name) || ERROR_COLUMNS.contains(&name) {
            return Self::Ignored;
        }
        match Column::from_name(&name.to_ascii_lowercase()) {
            Some(column) if options.lacks.contains(&column) => Self::Ignored,
            Some(column) => Self::Field(column),
            None => Self::Unknown,
        }
    }

    fn field(self) -> Option<Column> {
        match self {
            Self::Field(column) => Some(column),
            Self::Ignored | Self::Unknown => None,
        }
    }
}

/// The columns that a file of rejected rows has besides: passed over, so that the mended file can
/// be read again as it is.
pub(super) const ERROR_COLUMNS: [&str; 4] = ["error_line", "error_column", "error", "error_row"];

/// The canonical name nearest to one that is unknown, if any is near.
pub(super) fn suggest(name: &str) -> Option<&'static str> {
    let name = name.trim().to_lowercase().replace([' ', '-', '.'], "_");
    if name.len() > 64 {
        return None;
    }
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Some(meant);
    }
    FIELDS
        .iter()
        .map(|field| (distance(&name, field.name), field.name))
        .min()
        .filter(|(distance, meant)| *distance <= meant.len() / 4)
        .map(|(_, meant)| meant)
}

/// A name that is safe to repeat: it looks like a column's, not like a person's data.
pub(super) fn printable_name(name: &str) -> Option<String> {
    let name = name.trim();
    let tame = |c: char| c.is_alphabetic() || matches!(c, '_' | '-' | ' ' | '.');
    let fits = (1..=40).contains(&name.chars().count());
    (fits && name.chars().all(tame)).then(|| name.to_owned())
}

/// Names that other systems have for the canonical columns.
const ALIASES: &[(&str, &str)] = &[
    ("id", "record_ref"),
    ("ref", "record_ref"),
    ("record_id", "record_ref"),
    ("case_id", "record_ref"),
    ("surname", "family_name"),
    ("last_name", "family_name"),
    ("lastname", "family_name"),
    ("first_name", "given_name"),
    ("firstname", "given_name"),
    ("name", "given_name"),
    ("middle_name", "patronymic"),
    ("alias", "other_names"),
    ("gender", "sex"),
    ("dob", "date_of_birth"),
    ("birth_date", "date_of_birth"),
    ("birthdate", "date_of_birth"),
    ("birth_place", "place_of_birth"),
    ("birthplace", "place_of_birth"),
    ("nationality", "citizenship"),
    ("passport", "document_number"),
    ("document", "document_number"),
    ("address", "current_place"),
    ("carer", "current_carer"),
    ("family_id", "family_ref"),
    ("notes", "note"),
    ("comment", "note"),
    ("прізвище", "family_name"),
    ("ім'я", "given_name"),
    ("імʼя", "given_name"),
    ("по_батькові", "patronymic"),
    ("дата_народження", "date_of_birth"),
    ("місце_народження", "place_of_birth"),
    ("стать", "sex"),
];

fn check_unknown(names: &[String], meanings: &[Meaning], certain: bool) -> Result<(), HeaderError> {
    let unknown: Vec<_> = names
        .iter()
        .zip(meanings)
        .enumerate()
        .filter(|(_, (_, meaning))| **meaning == Meaning::Unknown)
        .map(|(index, (name, _))| UnknownColumn {
            number: index + 1,
            name: printable_name(name).filter(|_| certain),
            suggestion: suggest(name).filter(|_| certain),
        })
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(HeaderError::Unknown(unknown))
    }
}

fn check_mapped(names: &[String], options: &ImportOptions) -> Result<(), HeaderError> {
    let missing = options
        .columns
        .keys()
        .find(|mapped| !names.iter().any(|name| name.trim() == mapped.as_str()));
    match missing {
        Some(name) => Err(HeaderError::NoSuchColumn { name: name.clone() }),
        None => Ok(()),
    }
}

fn check_twice(meanings: &[Meaning]) -> Result<(), HeaderError> {
    for (second, meaning) in meanings.iter().enumerate() {
        let Some(column) = meaning.field() else {
            continue;
        };
        let first = meanings.iter().position(|other| other == meaning);
        if let Some(first) = first.filter(|first| *first < second) {
            return Err(HeaderError::Twice {
                name: column.name(),
                first: first + 1,
                second: second + 1,
            });
        }
    }
    Ok(())
}

/// The error that a header is separated by another sign, if it has known names that way.
pub(super) fn other_delimiter(line: &str, options: &ImportOptions) -> Option<HeaderError> {
    let mut spans: Vec<Span> = Vec::new();
    let mut has_known_names = |delimiter: u8| {
        let scanned = scan_row(line.as_bytes(), true, delimiter, &mut spans);
        matches!(scanned, Scanned::Row(_))
            && spans
                .iter()
                .filter_map(|span| line.get(span.start..span.end))
                .filter(|name| matches!(Meaning::of(name, options), Meaning::Field(_)))
                .count()
                >= 2
    };
    b";\t|,"
        .iter()
        .filter(|delimiter| **delimiter != options.delimiter)
        .find(|delimiter| has_known_names(**delimiter))
        .map(|found| HeaderError::Delimiter {
            found: char::from(*found),
            expected: char::from(options.delimiter),
        })
}

/// Edits between two names: insertions, deletions, replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, in_a) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        row[0] = left;
        for (cell, in_b) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(in_a != *in_b);
            diagonal = *cell;
            *cell = replaced.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_and_other_systems_names_are_suggested() {
        for (name, meant) in [
            ("famly_name", Some("family_name")),
            ("Given Name", Some("given_name")),
            ("date-of-birth", Some("date_of_birth")),
            ("mother_name", Some("other_names")),
            ("Surname", Some("family_name")),
            ("DOB", Some("date_of_birth")),
            ("nte", Some("note")),
            ("Прізвище", Some("family_name")),
            ("shoe_size", None),
            ("", None),
        ] {
            assert_eq!(suggest(name), meant, "{name}");
        }
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(a, b), expected);
            assert_eq!(distance(b, a), expected);
        }
    }

    #[test]
    fn every_alias_leads_to_a_column() {
        for (alias, meant) in ALIASES {
            assert!(Column::from_name(meant).is_some(), "{alias}");
            assert!(Column::from_name(alias).is_none(), "{alias}");
        }
    }
}
