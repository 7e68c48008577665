//! Where a node's database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::directory::Directory;

/// Where the database is. It may hold a password, and is not printed.
#[derive(Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseAddress(String);

impl DatabaseAddress {
    /// Whether processes on other machines may be at work on the same database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !self.0.starts_with("sqlite:")
    }

    /// The file that holds it, from `directory`; `None` if a server does.
    #[must_use]
    pub fn file(&self, directory: &Directory) -> Option<PathBuf> {
        let path = self.0.strip_prefix("sqlite:")?;
        Some(directory.path().join(path))
    }

    /// The address with a file's path made absolute, from `directory`.
    #[must_use]
    pub fn within(&self, directory: &Directory) -> String {
        match self.0.strip_prefix("sqlite:") {
            Some(path) => format!("sqlite:{}", directory.path().join(path).display()),
            None => self.0.clone(),
        }
    }
}

impl Default for DatabaseAddress {
    fn default() -> Self {
        Self("sqlite:wayhome.db".to_owned())
    }
}

/// The address names no database this program knows. It is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the database's address is not understood: write sqlite:PATH, or postgres://USER@HOST/DATABASE, \
     with further hosts after commas"
)]
pub struct DatabaseAddressError;

impl FromStr for DatabaseAddress {
    type Err = DatabaseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for DatabaseAddress {
    type Error = DatabaseAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let known = ["sqlite:", "postgres://", "postgresql://"]
            .iter()
            .any(|kind| text.len() > kind.len() && text.starts_with(kind));
        known.then_some(Self(text)).ok_or(DatabaseAddressError)
    }
}

impl From<DatabaseAddress> for String {
    fn from(address: DatabaseAddress) -> Self {
        address.0
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split_once(':').map_or("", |(kind, _)| kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed_and_other_databases_are_refused() {
        let address: DatabaseAddress = "postgres://user:secret-word@host/x".parse().unwrap();
        assert_eq!(format!("{address:?}"), "postgres");
        for wrong in [
            "",
            "sqlite:",
            "wayhome.db",
            "mysql://user:secret-word@host/x",
        ] {
            let error = wrong.parse::<DatabaseAddress>().unwrap_err();
            assert!(!error.to_string().contains("secret-word"));
        }
    }
}
