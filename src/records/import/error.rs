//! What can be wrong with a register, told without a word of what it says of anyone.

use std::fmt;
use std::io;

use super::{FIELD_LIMIT, ROW_LIMIT};
use crate::records::record::{RefError, ValueError};

/// A fault of the whole file: nothing, or nothing more, can be read from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The operating system did not give the file's bytes.
    #[error("cannot read on after byte {at}: {source}")]
    Read {
        /// How many bytes were read before.
        at: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("the file is empty: it needs a header line and a row for each record")]
    Empty,
    /// It is in another encoding.
    #[error("the file is in UTF-16: save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")")]
    Utf16,
    /// A JSON file that is one array.
    #[error(
        "the file is one JSON array, and JSON Lines has one object on each line: convert it, for \
         example with `jq -c '.[]'`"
    )]
    JsonArray,
    /// A PFIF file that cannot be read further.
    #[error("line {line}: {fault}")]
    Pfif {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong.
        fault: PfifFault,
    },
    /// The header is wrong.
    #[error("line {line}{error}")]
    Header {
        /// The header's line, counted from 1.
        line: u64,
        /// What is wrong.
        error: HeaderError,
    },
}

/// What is wrong with a PFIF file as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PfifFault {
    /// No PFIF, or not a version that is read.
    #[error(
        "not PFIF 1.2 to 1.4: the file must begin with a `pfif` element in a namespace such as \
         http://zesty.ca/pfif/1.4"
    )]
    NotPfif,
    /// A document type, with which a file can make a reader fetch and expand things.
    #[error("a document type declaration: remove it, for PFIF needs none")]
    DocType,
    /// Another encoding.
    #[error("the file says that it is not in UTF-8: save it as UTF-8")]
    Encoding,
    /// Markup that does not end.
    #[error("markup that does not end: the file is not well-formed XML")]
    NotWellFormed,
    /// The end is missing.
    #[error("the file ends before its last element does: it was cut short, fetch it again")]
    CutShort,
}

/// What is wrong with a CSV file's header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// None of the names is known, so the line is taken for data and not repeated.
    NoHeader,
    /// Columns of unknown name.
    Unknown(Vec<UnknownColumn>),
    /// No column holds the reference.
    NoRecordRef,
    /// Two columns are the same field.
    Twice {
        /// The field's canonical name.
        name: &'static str,
        /// The first column's number, from 1.
        first: usize,
        /// The second column's number, from 1.
        second: usize,
    },
    /// The fields are separated by something else.
    Delimiter {
        /// What separates them.
        found: char,
        /// What was expected.
        expected: char,
    },
    /// The map file renames a column that is not there.
    NoSuchColumn {
        /// The name in the map file.
        name: String,
    },
    /// The lines end in carriage returns alone.
    CarriageReturns,
    /// Not UTF-8.
    InvalidUtf8 {
        /// The column's number, from 1.
        column: usize,
        /// The offending byte's place in the file, from 0.
        byte: u64,
    },
    /// A quote that is not closed or stands inside a name.
    Quote {
        /// The column's number, from 1.
        column: usize,
    },
    /// More than a header can be.
    TooLong,
}

/// A column whose name is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownColumn {
    /// Its number, from 1.
    pub number: usize,
    /// Its name, where it looks like a name and not like data.
    pub name: Option<String>,
    /// The canonical name that was perhaps meant.
    pub suggestion: Option<&'static str>,
}

impl fmt::Display for HeaderError {
    /// Continues "line 1".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str(
                ": none of the known columns is named here; the first line must be a header, such \
                 as `record_ref,family_name,given_name,date_of_birth`",
            ),
            Self::Unknown(columns) => {
                for (index, column) in columns.iter().enumerate() {
                    let separator = if index == 0 { ", " } else { "; " };
                    write!(f, "{separator}column {}: unknown column", column.number)?;
                    if let Some(name) = &column.name {
                        write!(f, " `{name}`")?;
                    }
                    f.write_str(&meant(column.suggestion))?;
                }
                f.write_str("; a map file renames or ignores columns")
            }
            Self::NoRecordRef => f.write_str(
                ": no column `record_ref`; every record needs a reference that stays the same \
                 (a map file can rename a column to it)",
            ),
            Self::Twice {
                name,
                first,
                second,
            } => write!(
                f,
                ", column {second}: `{name}` stands twice, first in column {first}; remove one or \
                 ignore it in a map file"
            ),
            Self::Delimiter { found, expected } => write!(
                f,
                ": the columns are separated by {}, not by {}; save the file with {}, or write \
                 `delimiter = \"{}\"` in a map file",
                delimiter_name(*found),
                delimiter_name(*expected),
                delimiter_name(*expected),
                found.escape_default(),
            ),
            Self::NoSuchColumn { name } => write!(
                f,
                ": the map file speaks of a column `{name}` that the file does not have; correct \
                 the name under [columns]"
            ),
            Self::CarriageReturns => f.write_str(
                ": lines end in a carriage return alone; save the file with LF or CRLF line ends",
            ),
            Self::InvalidUtf8 { column, byte } => write!(
                f,
                ", column {column}: not UTF-8 at byte {byte} of the file; save the file as UTF-8"
            ),
            Self::Quote { column } => write!(
                f,
                ", column {column}: a quote that is not closed or stands inside a name"
            ),
            Self::TooLong => write!(
                f,
                ": longer than {ROW_LIMIT} bytes or wider than 4096 columns, so no header of a \
                 register"
            ),
        }
    }
}

fn delimiter_name(delimiter: char) -> &'static str {
    match delimiter {
        ',' => "commas",
        ';' => "semicolons",
        '\t' => "tabs",
        '|' => "bars",
        _ => "another sign",
    }
}

/// One thing that is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The line, counted from 1: of the field where there is one, else the row's first.
    pub line: u64,
    /// The field, where the fault is one field's.
    pub column: Option<ColumnAt>,
    /// What is wrong.
    pub kind: RowErrorKind,
}

/// A column by number and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnAt {
    /// Its number from 1; in JSON Lines, the field's number within the object.
    pub number: usize,
    /// Its name as the file has it, where it is a known one.
    pub name: Option<String>,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column {}", column.number)?;
            if let Some(name) = &column.name {
                write!(f, " ({name})")?;
            }
        }
        write!(f, ": {}", self.kind)
    }
}

impl std::error::Error for RowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.kind)
    }
}

/// What is wrong with a row or one of its fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowErrorKind {
    /// Too few or too many fields.
    #[error(
        "the row has {found} fields and the header has {expected}: add what is missing, or put a \
         value that holds the separator in quotes"
    )]
    FieldCount {
        /// How many the header has.
        expected: usize,
        /// How many the row has.
        found: usize,
    },
    /// A quote that is never closed.
    #[error(
        "the quote that opens this value is not closed: close it, or double a quote that belongs \
         to the value"
    )]
    UnclosedQuote,
    /// A quote in a value that is not quoted.
    #[error(
        "a quote inside a value that does not begin with one: put the whole value in quotes and \
         double those inside it"
    )]
    StrayQuote,
    /// Something between a closing quote and the separator.
    #[error("text after the closing quote: double a quote that belongs to the value")]
    TextAfterQuote,
    /// Not UTF-8.
    #[error("not UTF-8 at byte {byte} of the file: save the file as UTF-8")]
    InvalidUtf8 {
        /// The offending byte's place in the file, from 0.
        byte: u64,
    },
    /// A field over the limit.
    #[error("the value is longer than {FIELD_LIMIT} bytes: shorten it or leave it out")]
    FieldTooLong,
    /// A row over the limit.
    #[error("the row is longer than {ROW_LIMIT} bytes: shorten it")]
    RowTooLong,
    /// A value that its field cannot hold.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The reference stands on an earlier row.
    #[error(
        "the reference stands on line {first_line} already: give each record its own, or remove \
         one of the two"
    )]
    DuplicateRef {
        /// The line of the earlier row.
        first_line: u64,
    },
    /// A fault of a JSON line.
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// A fault of a PFIF person.
    #[error(transparent)]
    Xml(#[from] XmlFault),
}

impl From<RefError> for RowErrorKind {
    fn from(error: RefError) -> Self {
        Self::Value(error.into())
    }
}

/// What is wrong with a line of JSON Lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonFault {
    /// Not JSON.
    #[error("not JSON from byte {byte} of the line on: each line must be one whole object")]
    Syntax {
        /// The place in the line, counted from 1.
        byte: usize,
    },
    /// JSON, but no object.
    #[error("not a JSON object: each line must read like {{\"record_ref\": \"A1\", ...}}")]
    NotAnObject,
    /// A value that is neither text, whole number nor null.
    #[error("the value must be a text: write it in quotes")]
    NotText,
    /// A field that stands twice.
    #[error("the field stands twice in the object: remove one")]
    FieldTwice,
    /// A field of unknown name.
    #[error(
        "unknown field{}{}: rename or ignore it in a map file",
        quoted(.name.as_deref()),
        meant(*.suggestion)
    )]
    UnknownField {
        /// Its name, where it looks like a name and not like data.
        name: Option<String>,
        /// The canonical name that was perhaps meant.
        suggestion: Option<&'static str>,
    },
}

/// What is wrong with a person in PFIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlFault {
    /// Not XML.
    #[error("the person is not well-formed XML: check that each element is closed in its order")]
    NotWellFormed,
    /// An entity that is not one of XML's own.
    #[error("an entity that XML does not define: write the character itself")]
    UnknownEntity,
    /// An element where text is expected.
    #[error("an element inside a field that holds text alone")]
    ElementInField,
    /// A field that stands twice.
    #[error("the field stands twice in its person or note: remove one")]
    FieldTwice,
}

fn quoted(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" `{name}`"))
}

/// The hint after an unknown name.
pub(super) fn meant(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}
