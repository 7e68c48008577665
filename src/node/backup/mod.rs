//! Backups: a consistent copy of the node, sealed to a key that the node does not have, and the way
//! back.
//!
//! There are two archives, whichever kind of database the node has, to be kept in different hands. The *data* archive holds the database and
//! the public files. The *keys* archive holds the keys, wrapping keys among them, and takes the
//! place of the one before: so a wrapping key that the node has destroyed is in no backup either,
//! and what was erased while it wrapped opens nowhere. Neither holds `token.key`.

mod archive;
mod create;
mod restore;

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use archive::Kind;
pub use create::{Created, create};
pub use restore::{Restored, Sources, Verified, restore, verify};

use super::config::ConfigError;
use super::directory::{Directory, DirectoryError};
use super::identity::{IdentityError, write_secret};
use crate::ambient::Ambient;
use crate::roster::Bytes32;
use crate::store::StoreError;
use crate::vault::VaultError;

/// `[backup]` of `node.toml`.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// The public part of the backup key, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Bytes32>,
    /// The folder of the journal, best on another disk than the database; a relative path counts
    /// from the node's directory.
    pub journal: PathBuf,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            recipient: None,
            journal: PathBuf::from("journal"),
        }
    }
}

impl BackupConfig {
    /// The folder of the journal.
    #[must_use]
    pub fn journal_in(&self, directory: &Directory) -> PathBuf {
        directory.path().join(&self.journal)
    }
}

/// Files of a directory that a data archive holds beside the database.
const PUBLIC_FILES: [&str; 5] = [
    "node.toml",
    "policy.cedar",
    "member.json",
    "root.note",
    "roster.note",
];

/// The database's name in a data archive.
const DATABASE: &str = "wayhome.db";

/// The key file that is in no backup.
const NEVER: &str = "token.key";

/// What an archive says of itself.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
pub struct Manifest {
    /// `data` or `keys`.
    pub kind: String,
    /// Whose backup it is.
    pub member: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Leaves of the log in it; 0 in a keys archive.
    pub log_size: u64,
    /// Records in it; 0 in a keys archive.
    pub records: u64,
    /// Ids of the wrapping keys at that time, the one that wrapped first.
    pub wrapping: Vec<String>,
    /// The version of the program.
    pub version: String,
}

/// Why a backup could not be made, checked or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// No backup key is configured.
    #[error(
        "node.toml names no backup key: make one with `wayhome backup keygen --out FILE`, keep the \
         file away from the node, and set recipient under [backup]"
    )]
    NoRecipient,
    /// The public part of the backup key is none.
    #[error("[backup] recipient is no X25519 public key: copy it again from `backup keygen`")]
    Recipient,
    /// The archive is not what it should be.
    #[error("the archive is damaged: {0}; use another copy")]
    Damaged(&'static str),
    /// The archive was made for another key, or is of the other kind.
    #[error("this is no {kind} archive for this backup key: give the right file and key")]
    NotForThisKey {
        /// The kind that was expected.
        kind: &'static str,
    },
    /// A file changed while it was read.
    #[error("{0} changed while it was read; try again")]
    Changed(String),
    /// A file is there already.
    #[error("{path} exists already; {remedy}", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// The archives do not belong together, or not to this directory.
    #[error("{0}")]
    Mismatch(String),
    /// What a file holds in clear was not what was stored.
    #[error("{0}")]
    Unreadable(String),
    /// The system refused.
    #[error("{what}: {source}")]
    System {
        /// Which file.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    fn system(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::System { what, source }
    }

    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRecipient | Self::Recipient => "NO_BACKUP_KEY",
            Self::Damaged(_) | Self::Unreadable(_) => "BACKUP_DAMAGED",
            Self::NotForThisKey { .. } => "WRONG_BACKUP_KEY",
            Self::Changed(_) => "FILE_CHANGED",
            Self::Exists { .. } => "FILE_EXISTS",
            Self::Mismatch(_) => "BACKUP_MISMATCH",
            Self::System { .. } => "IO",
            Self::Directory(_) => "DIRECTORY",
            Self::Config(_) => "CONFIG",
            Self::Identity(_) | Self::Vault(_) => "IDENTITY",
            Self::Store(StoreError::NotEmpty) => "DATABASE_NOT_EMPTY",
            Self::Store(_) => "STORE",
        }
    }
}

/// A new name is durable only once its folder is.
fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(BackupError::system(folder.display()))
}

/// Makes a backup key: writes the secret part to a new file, and tells the public part.
///
/// # Errors
/// If the file is there already or cannot be written.
pub fn keygen(path: &Path, ambient: &Ambient) -> Result<Bytes32, BackupError> {
    let secret = x25519_dalek::StaticSecret::from(ambient.random::<32>());
    write_secret(path, secret.as_bytes())?;
    Ok(Bytes32::new(
        x25519_dalek::PublicKey::from(&secret).to_bytes(),
    ))
}
