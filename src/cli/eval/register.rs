//! A register of a measurement, as it is read.

use std::collections::HashMap;
use std::path::Path;

use crate::cli::input::{import_options, open_register};
use crate::cli::progress::bar;
use crate::cli::{CliError, Output};
use crate::records::Record;
use crate::records::import::{Format, Import, Row};

/// How many faults of rows are printed; the rest is counted.
const SHOWN: usize = 20;

/// The records of one register.
pub struct Register {
    /// The records, in the file's order.
    pub records: Vec<Record>,
    /// Values that could not be read and count as missing.
    pub unreadable: u64,
    /// Rows that could not be taken at all: their records are not in the register.
    pub rejected: u64,
}

impl Register {
    /// Reads a file. Values that cannot be read count as missing; rows that cannot be taken are
    /// named on standard error and left out.
    ///
    /// # Errors
    /// That the file or its map cannot be read, or holds no record.
    pub fn read(output: Output, path: &Path, map: Option<&Path>) -> Result<Self, CliError> {
        let name = path.display();
        let wrong =
            |why: &dyn std::fmt::Display| CliError::input("BAD_FILE", format!("{name}: {why}"));
        let mut options = import_options(map)?;
        options.take_unreadable_as_missing();
        let (file, first) = open_register(path)?;
        let format = Format::detect(Some(path), &first);
        let length = file.metadata()?.len();
        let import = Import::new(file, format, &options).map_err(|error| wrong(&error))?;
        let bar = bar(output, length, "reading");
        let (mut records, mut faults) = (Vec::new(), 0_usize);
        let mut import = import;
        while let Some(row) = import.next() {
            match row.map_err(|error| wrong(&error))? {
                Row::Accepted(_, record) => records.push(*record),
                Row::Rejected(rejection) => {
                    for error in &rejection.errors {
                        if faults < SHOWN {
                            eprintln!("warning: {name}: {error}");
                        }
                        faults += 1;
                    }
                }
            }
            if import.tally().rows().is_multiple_of(256) {
                bar.set_position(import.bytes_read());
            }
        }
        bar.finish_and_clear();
        if faults > SHOWN {
            eprintln!("warning: {name}: and {} more faults", faults - SHOWN);
        }
        let tally = import.tally();
        if records.is_empty() {
            return Err(wrong(
                &"no row could be read as a record: there is nothing to measure",
            ));
        }
        Ok(Self {
            records,
            unreadable: tally.unreadable,
            rejected: tally.rejected,
        })
    }

    /// Positions of the records by their references.
    pub fn positions(&self) -> HashMap<&str, usize> {
        let refs = self.records.iter().map(|record| record.record_ref.as_str());
        refs.zip(0..).collect()
    }

    /// The families: the positions of the records that share a `family_ref`.
    pub fn families(&self) -> HashMap<&str, Vec<usize>> {
        let mut families: HashMap<&str, Vec<usize>> = HashMap::new();
        for (position, record) in self.records.iter().enumerate() {
            if let Some(family) = &record.family_ref {
                families.entry(family.as_str()).or_default().push(position);
            }
        }
        families
    }
}
