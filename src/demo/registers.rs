//! The four synthetic registers that are shipped, and what their generator knows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::DemoError;
use crate::records::import::{Format, Import, ImportOptions, Row};
use crate::records::{Column, Record};

/// The members of the demo's coalition: id, state, authority, adjective-free place of the register.
pub const MEMBERS: [(&str, &str, &str); 4] = [
    ("ua", "Ukraine", "National Information Bureau"),
    ("pl", "Poland", "Ministry of Family Affairs"),
    ("de", "Germany", "Federal Youth Office"),
    ("ca", "Canada", "Department of Family Reunification"),
];

const SHIPPED: [(&str, &str); 6] = [
    ("ua.csv", include_str!("../../tests/data/registers/ua.csv")),
    ("pl.csv", include_str!("../../tests/data/registers/pl.csv")),
    ("de.csv", include_str!("../../tests/data/registers/de.csv")),
    ("ca.csv", include_str!("../../tests/data/registers/ca.csv")),
    (
        "truth.csv",
        include_str!("../../tests/data/registers/truth.csv"),
    ),
    (
        "kinds.csv",
        include_str!("../../tests/data/registers/kinds.csv"),
    ),
];

/// The registers, read.
pub struct Registers {
    directory: PathBuf,
    records: BTreeMap<String, BTreeMap<String, Record>>,
    truth: Vec<TruePair>,
    hard: Vec<HardNegative>,
}

/// Two records of one child.
#[derive(Clone)]
pub struct TruePair {
    /// Reference in Ukraine's register.
    pub own: String,
    /// Where the other record is.
    pub member: String,
    /// Its reference there.
    pub other: String,
    /// How the other record was altered.
    pub tags: Vec<String>,
}

/// A foreign record that looks like a child of Ukraine's register and is another's.
#[derive(Clone)]
pub struct HardNegative {
    /// Reference in Ukraine's register.
    pub own: String,
    /// Where the other record is.
    pub member: String,
    /// What the other record is to the child.
    pub kind: String,
}

impl Registers {
    /// Takes the registers of `given`, or writes the shipped ones into `directory`.
    ///
    /// # Errors
    /// If a file is missing or has rows that cannot be read.
    pub fn load(given: Option<&Path>, directory: &Path) -> Result<Self, DemoError> {
        let directory = match given {
            Some(given) => given.to_owned(),
            None => {
                std::fs::create_dir_all(directory)
                    .map_err(DemoError::system("writing the registers"))?;
                for (name, text) in SHIPPED {
                    std::fs::write(directory.join(name), text)
                        .map_err(DemoError::system("writing the registers"))?;
                }
                directory.to_owned()
            }
        };
        let mut records = BTreeMap::new();
        for (member, ..) in MEMBERS {
            records.insert(
                member.to_owned(),
                read_register(&directory.join(format!("{member}.csv")))?,
            );
        }
        let truth = rows(&directory.join("truth.csv"))?
            .into_iter()
            .filter_map(|row| {
                let [own, other, member, tags] = row.try_into().ok()?;
                Some(TruePair {
                    own,
                    member,
                    other,
                    tags: tags.split(';').map(str::to_owned).collect(),
                })
            })
            .collect();
        let hard = rows(&directory.join("kinds.csv"))?
            .into_iter()
            .filter_map(|row| {
                let [_, member, kind, own] = row.try_into().ok()?;
                Some(HardNegative { own, member, kind })
            })
            .filter(|negative| !negative.own.is_empty())
            .collect();
        Ok(Self {
            directory,
            records,
            truth,
            hard,
        })
    }

    /// Writes a part of each register into `directory`: the records that are named, by member and
    /// reference, and `others` more. Gives the part; what the generator knows stays whole.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn part(
        &self,
        directory: &Path,
        named: &BTreeSet<(String, String)>,
        others: usize,
    ) -> Result<Self, DemoError> {
        std::fs::create_dir_all(directory).map_err(DemoError::system("writing a part"))?;
        let mut records = BTreeMap::new();
        for (member, ..) in MEMBERS {
            let (from, to) = (self.file(member), directory.join(format!("{member}.csv")));
            let wrong = |why: &dyn std::fmt::Display| {
                DemoError::Registers(format!("{}: {why}", from.display()))
            };
            let mut reader = csv::Reader::from_path(&from).map_err(|error| wrong(&error))?;
            let mut writer = csv::Writer::from_path(&to).map_err(|error| wrong(&error))?;
            let header = reader.headers().map_err(|error| wrong(&error))?.clone();
            writer
                .write_record(&header)
                .map_err(|error| wrong(&error))?;
            let column = header
                .iter()
                .position(|name| name == Column::RecordRef.name())
                .ok_or_else(|| wrong(&"it has no references"))?;
            let mut more = others;
            for row in reader.records() {
                let row = row.map_err(|error| wrong(&error))?;
                let reference = row.get(column).unwrap_or_default().to_owned();
                let is_named = named.contains(&(member.to_owned(), reference));
                if !is_named && more == 0 {
                    continue;
                }
                more -= usize::from(!is_named);
                writer.write_record(&row).map_err(|error| wrong(&error))?;
            }
            writer
                .flush()
                .map_err(DemoError::system("writing a part"))?;
            records.insert(member.to_owned(), read_register(&to)?);
        }
        Ok(Self {
            directory: directory.to_owned(),
            records,
            truth: self.truth.clone(),
            hard: self.hard.clone(),
        })
    }

    /// The file of a member's register.
    #[must_use]
    pub fn file(&self, member: &str) -> PathBuf {
        self.directory.join(format!("{member}.csv"))
    }

    /// A record by member and reference.
    #[must_use]
    pub fn record(&self, member: &str, record_ref: &str) -> Option<&Record> {
        self.records.get(member)?.get(record_ref)
    }

    /// The first record of a member that may be searched for.
    #[must_use]
    pub fn findable(&self, member: &str) -> Option<String> {
        let mut records = self.records.get(member)?.iter();
        records
            .find(|(_, record)| record.consent.permits_search())
            .map(|(reference, _)| reference.clone())
    }

    /// The pairs that belong together.
    #[must_use]
    pub fn truth(&self) -> &[TruePair] {
        &self.truth
    }

    /// The pairs that only seem to.
    #[must_use]
    pub fn hard_negatives(&self) -> &[HardNegative] {
        &self.hard
    }
}

fn read_register(path: &Path) -> Result<BTreeMap<String, Record>, DemoError> {
    let wrong =
        |why: &dyn std::fmt::Display| DemoError::Registers(format!("{}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| {
        wrong(&format_args!(
            "{error}; --registers names a folder with the registers ua.csv, pl.csv, de.csv and ca.csv, \
             and truth.csv and kinds.csv, as `tests/data/generate.py` makes them"
        ))
    })?;
    let import =
        Import::new(file, Format::Csv, &ImportOptions::default()).map_err(|error| wrong(&error))?;
    let mut records = BTreeMap::new();
    for row in import {
        match row.map_err(|error| wrong(&error))? {
            Row::Accepted(_, record) => {
                records.insert(record.record_ref.as_str().to_owned(), *record);
            }
            Row::Rejected(rejection) => {
                if let Some(error) = rejection.errors.first() {
                    return Err(wrong(error));
                }
            }
        }
    }
    Ok(records)
}

fn rows(path: &Path) -> Result<Vec<Vec<String>>, DemoError> {
    let wrong =
        |why: &dyn std::fmt::Display| DemoError::Registers(format!("{}: {why}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(|error| wrong(&error))?;
    reader
        .records()
        .map(|row| {
            row.map(|row| row.iter().map(str::to_owned).collect())
                .map_err(|error| wrong(&error))
        })
        .collect()
}
