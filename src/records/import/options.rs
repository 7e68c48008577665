//! The map file: how one register's own ways of writing become the canonical ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::error::meant;
use super::header::suggest;
use crate::records::field::Column;
use crate::records::record::{ReadingRules, Record, RecordRef, SexCode, ValueError};
use crate::records::{DateOrder, Sex};

/// How a register is read. The default reads the canonical columns, separated by commas, and dates
/// day first.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    pub(super) columns: BTreeMap<String, Column>,
    pub(super) ignore: BTreeSet<String>,
    pub(super) lacks: BTreeSet<Column>,
    pub(super) delimiter: u8,
    pub(super) defaults: Vec<(Column, String)>,
    pub(super) rules: ReadingRules,
    pub(super) unreadable_is_missing: bool,
}

/// What is wrong with a map file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// Not TOML, or a key or value that a map file does not have.
    #[error("map file, line {line}: {message}")]
    Toml {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A name that is no canonical column.
    #[error(
        "map file, [{section}]: no column is called `{name}`{}",
        meant(*.suggestion)
    )]
    UnknownColumn {
        /// Where in the map file.
        section: &'static str,
        /// The name.
        name: String,
        /// The name that was perhaps meant.
        suggestion: Option<&'static str>,
    },
    /// Two columns of the file become one.
    #[error("map file, [columns]: both `{first}` and `{second}` become `{name}`; keep one")]
    Twice {
        /// The canonical name.
        name: &'static str,
        /// A column of the file.
        first: String,
        /// Another.
        second: String,
    },
    /// A default that its column cannot hold.
    #[error("map file, [defaults], {name}: {error}")]
    Default {
        /// The canonical name.
        name: &'static str,
        /// What is wrong with the value.
        error: ValueError,
    },
    /// A default for what must differ on each row.
    #[error("map file, [defaults]: `record_ref` has no default, since each record needs its own")]
    DefaultRef,
    /// A separator that cannot be one.
    #[error("map file, delimiter: it is one of `,`, `;`, `|` and `\\t`")]
    Delimiter,
    /// A meaning that is no sex.
    #[error("map file, [sex], `{code}`: its meaning is one of M, F, X and unknown")]
    SexMeaning {
        /// The code.
        code: String,
    },
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            ignore: BTreeSet::new(),
            lacks: BTreeSet::new(),
            delimiter: b',',
            defaults: Vec::new(),
            rules: ReadingRules::default(),
            unreadable_is_missing: false,
        }
    }
}

impl ImportOptions {
    /// Reads a map file:
    ///
    /// ```
    /// let options = wayhome::records::import::ImportOptions::from_toml(r#"
    ///     delimiter = ";"                     # else a comma
    ///     date_order = "month-first"          # else "day-first"
    ///     ignore = ["photo", "clerk"]         # columns of the file to pass over
    ///     lacks = ["mother_given_name"]       # fields that the register does not keep
    ///
    ///     [columns]                           # the file's name = the canonical name
    ///     "Прізвище" = "family_name"
    ///     id = "record_ref"
    ///
    ///     [defaults]                          # where a row leaves a field empty
    ///     consent = "tracing"
    ///
    ///     [sex]                               # the register's own codes
    ///     1 = "M"
    ///     2 = "F"
    ///     9 = "unknown"
    /// "#)?;
    /// # Ok::<(), wayhome::records::import::MapError>(())
    /// ```
    ///
    /// # Errors
    /// [`MapError`], which names the line or the entry.
    pub fn from_toml(text: &str) -> Result<Self, MapError> {
        let map: MapFile = toml::from_str(text).map_err(|error| MapError::Toml {
            line: error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| 1 + before.matches('\n').count()),
            message: error.message().to_owned(),
        })?;
        let mut options = Self {
            ignore: map.ignore,
            delimiter: match map.delimiter.as_deref() {
                None | Some(",") => b',',
                Some(";") => b';',
                Some("|") => b'|',
                Some("\t") => b'\t',
                Some(_) => return Err(MapError::Delimiter),
            },
            ..Self::default()
        };
        options.rules.date_order = match map.date_order {
            Some(MapDateOrder::MonthFirst) => DateOrder::MonthFirst,
            Some(MapDateOrder::DayFirst) | None => DateOrder::DayFirst,
        };
        for name in map.lacks {
            options.lacks.insert(column("lacks", &name)?);
        }
        options.rename(map.columns)?;
        for (name, text) in map.defaults {
            options.set_default(column("defaults", &name)?, &text)?;
        }
        for (code, meaning) in map.sex {
            let meaning = match Sex::parse(&meaning) {
                Ok(None) => None,
                Ok(Some(Sex::Male)) => Some(SexCode::Male),
                Ok(Some(Sex::Female)) => Some(SexCode::Female),
                Ok(Some(Sex::Unspecified)) => Some(SexCode::Unspecified),
                Err(_) => return Err(MapError::SexMeaning { code }),
            };
            options.rules.sex_codes.push((code.to_lowercase(), meaning));
        }
        Ok(options)
    }

    /// Sets what a field holds where a row leaves it empty.
    ///
    /// # Errors
    /// [`MapError::Default`] or [`MapError::DefaultRef`].
    pub fn set_default(&mut self, column: Column, text: &str) -> Result<(), MapError> {
        if column == Column::RecordRef {
            return Err(MapError::DefaultRef);
        }
        Record::new(RecordRef::unset())
            .set(column, text, &self.rules)
            .map_err(|error| MapError::Default {
                name: column.name(),
                error,
            })?;
        self.defaults.retain(|(other, _)| *other != column);
        self.defaults.push((column, text.to_owned()));
        Ok(())
    }

    /// Sets the order of dates such as 03/05/2014.
    pub fn set_date_order(&mut self, order: DateOrder) {
        self.rules.date_order = order;
    }

    /// Takes a value that cannot be read as missing, of an impossible date of birth all but its
    /// [possible part](crate::records::PartialDate::possible_part), and counts it
    /// ([`Tally::unreadable`](super::Tally::unreadable)), in place of rejecting its row. This is
    /// for measuring on foreign data. References, protection and grounds are still rejected.
    pub fn take_unreadable_as_missing(&mut self) {
        self.unreadable_is_missing = true;
    }

    /// The rules by which values are read.
    #[must_use]
    pub fn rules(&self) -> &ReadingRules {
        &self.rules
    }

    /// The fields that the register does not keep, as its map file says. A column of that name in
    /// the file is passed over.
    pub fn lacks(&self) -> impl Iterator<Item = Column> + '_ {
        self.lacks.iter().copied()
    }

    fn rename(&mut self, columns: BTreeMap<String, String>) -> Result<(), MapError> {
        for (theirs, ours) in columns {
            let target = column("columns", &ours)?;
            let earlier = self.columns.iter().find(|(_, known)| **known == target);
            if let Some((first, _)) = earlier {
                return Err(MapError::Twice {
                    name: target.name(),
                    first: first.clone(),
                    second: theirs,
                });
            }
            self.columns.insert(theirs.trim().to_owned(), target);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapFile {
    delimiter: Option<String>,
    date_order: Option<MapDateOrder>,
    #[serde(default)]
    ignore: BTreeSet<String>,
    #[serde(default)]
    lacks: Vec<String>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    #[serde(default)]
    sex: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MapDateOrder {
    DayFirst,
    MonthFirst,
}

fn column(section: &'static str, name: &str) -> Result<Column, MapError> {
    Column::from_name(name).ok_or_else(|| MapError::UnknownColumn {
        section,
        name: name.to_owned(),
        suggestion: suggest(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_map_file_is_named() {
        for (text, message) in [
            ("ignore = [", "map file, line 1: "),
            ("\n\ncolour = 1", "map file, line 3: unknown field `colour`"),
            (
                "date_order = \"year-first\"",
                "map file, line 1: unknown variant `year-first`",
            ),
            ("delimiter = \"::\"", "map file, delimiter: it is one of"),
            (
                "[columns]\nx = \"famly_name\"",
                "map file, [columns]: no column is called `famly_name` (did you mean `family_name`?)",
            ),
            (
                "[columns]\nx = \"note\"\ny = \"note\"",
                "map file, [columns]: both `x` and `y` become `note`; keep one",
            ),
            (
                "lacks = [\"zzzzzzzz\"]",
                "map file, [lacks]: no column is called `zzzzzzzz`",
            ),
            (
                "[defaults]\nconsent = \"yes\"",
                "map file, [defaults], consent: not a ground",
            ),
            (
                "[defaults]\nrecord_ref = \"1\"",
                "map file, [defaults]: `record_ref` has no",
            ),
            (
                "[sex]\n1 = \"boyish\"",
                "map file, [sex], `1`: its meaning is one of",
            ),
        ] {
            let said = ImportOptions::from_toml(text).err().unwrap().to_string();
            assert!(said.starts_with(message), "{said}");
        }
    }

    #[test]
    fn an_empty_map_file_changes_nothing() {
        let options = ImportOptions::from_toml("").unwrap();
        assert_eq!(
            format!("{options:?}"),
            format!("{:?}", ImportOptions::default())
        );
    }
}
