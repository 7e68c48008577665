//! The four synthetic registers that are shipped, and what their generator knows of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::DemoError;
use crate::records::Record;
use crate::records::import::{Format, Import, ImportOptions, Row};

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
    let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
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
