//! A node's directory: which file is where.
//!
//! ```text
//! DIR/node.toml            configuration
//! DIR/member.json          the party's public entry, for the secretariat's roster draft
//! DIR/root.note            the pinned root document
//! DIR/roots/N.note         roots that followed it, by version
//! DIR/roster.note          the newest roster given as a file
//! DIR/keys/master.key      wraps wrapping keys and what else stands above data keys (vault)
//! DIR/keys/wrapping.keys   wrap data keys; in no backup of the database
//! DIR/keys/token.key       second seal on coalition tokens; never backed up
//! DIR/keys/signing.key     signs messages
//! DIR/log.guard            the newest state of the log that was signed; never backed up
//! DIR/keys/log.key         signs checkpoints
//! DIR/keys/witness.key     cosigns the checkpoints of others
//! DIR/keys/pseudonym.key   names records in the log
//! DIR/keys/encryption.key  opens ceremony packages
//! DIR/keys/tls.key, .crt   TLS identity
//! DIR/keys/share-N-X.*     shares of the coalition key of epoch N (`shares`)
//! DIR/index.filter         what the lookup index certainly has not; rebuilt when missing
//! DIR/operator.sock        operator API
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::roster::Kind;

/// The directory of one node, or of one ombudsman.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(PathBuf);

/// A file of the directory that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}; {remedy}")]
pub struct DirectoryError {
    path: String,
    reason: String,
    remedy: &'static str,
}

/// A directory that is this process's. Dropped, it is anybody's again.
#[derive(Debug)]
#[must_use = "the directory is locked as long as this lives"]
pub struct DirectoryLock(std::fs::File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // To close the file is not enough: a process that is just being started has it as well, until
        // it becomes the program that it is to run.
        let _ = self.0.unlock();
    }
}

impl Directory {
    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A key file in it.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(name)
    }

    /// The operator API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.file("operator.sock")
    }

    /// The filter of the lookup index.
    #[must_use]
    pub fn index_filter(&self) -> PathBuf {
        self.file("index.filter")
    }

    /// The guard of the node's log.
    #[must_use]
    pub fn guard(&self) -> PathBuf {
        self.file("log.guard")
    }

    /// Makes the directory and its `keys` folder, readable by the owner alone.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn create(&self) -> Result<(), DirectoryError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let keys = self.0.join("keys");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&keys)
            .map_err(|error| wrong(&keys, &error))
    }

    /// Whether this is the directory of an office that runs no node, as `member.json` has it.
    #[must_use]
    pub fn is_office(&self) -> bool {
        let entry = self.read_if_there("member.json").ok().flatten();
        entry
            .and_then(|entry| serde_json::from_str::<crate::roster::Member>(&entry).ok())
            .is_some_and(|entry| entry.roles.ombudsman.is_some() && !entry.roles.member)
    }

    /// Locks the directory for this process, as long as the lock lives.
    ///
    /// # Errors
    /// If another process has it, or others than its owner can reach into it.
    pub fn lock(&self) -> Result<DirectoryLock, DirectoryError> {
        use std::os::unix::fs::MetadataExt as _;
        let mode = std::fs::metadata(&self.0)
            .map_err(|error| wrong(&self.0, &error))?
            .mode();
        if mode & 0o077 != 0 {
            return Err(DirectoryError {
                path: self.0.display().to_string(),
                reason: format!(
                    "others than its owner can reach into it (mode {:o})",
                    mode & 0o777
                ),
                remedy: "run `chmod 700` on it",
            });
        }
        let path = self.file("lock");
        let file = std::fs::File::create(&path).map_err(|error| wrong(&path, &error))?;
        file.try_lock().map_err(|error| DirectoryError {
            path: path.display().to_string(),
            reason: match error {
                std::fs::TryLockError::WouldBlock => "it is locked".to_owned(),
                std::fs::TryLockError::Error(error) => error.to_string(),
            },
            remedy: "another process runs this node: stop it first",
        })?;
        Ok(DirectoryLock(file))
    }

    /// Reads a text file of the directory.
    ///
    /// # Errors
    /// If it is missing or no UTF-8.
    pub fn read(&self, name: &str) -> Result<String, DirectoryError> {
        let path = self.file(name);
        std::fs::read_to_string(&path).map_err(|error| wrong(&path, &error))
    }

    /// Reads a text file of the directory, if it is there.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read_if_there(&self, name: &str) -> Result<Option<String>, DirectoryError> {
        let path = self.file(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(&path, &error)),
        }
    }

    /// Reads a signed note of the directory, if it is there: at most `limit` octets and one more,
    /// so that whoever checks it sees that it is too long.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read_note(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, DirectoryError> {
        use std::io::Read as _;
        let path = self.file(name);
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(&path, &error)),
        }
    }

    /// Names of the roots that followed the pinned one, `roots/2.note` and so on, in their order.
    ///
    /// # Errors
    /// If the folder is there and cannot be read.
    pub fn root_names(&self) -> Result<Vec<String>, DirectoryError> {
        let folder = self.file("roots");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(wrong(&folder, &error)),
        };
        let mut versions: Vec<u32> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".note")?.parse().ok())
            .collect();
        versions.sort_unstable();
        Ok(versions.into_iter().map(root_name).collect())
    }

    /// The roots that followed the pinned one, each with its name, in their order.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn roots(&self) -> Result<Vec<(String, Vec<u8>)>, DirectoryError> {
        let mut roots = Vec::new();
        for name in self.root_names()? {
            if let Some(note) = self.read_note(&name, Kind::Root.max_bytes())? {
                roots.push((name, note));
            }
        }
        Ok(roots)
    }

    /// Keeps a root that followed the pinned one.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write_root(&self, version: u32, note: &str) -> Result<(), DirectoryError> {
        let folder = self.file("roots");
        std::fs::create_dir_all(&folder).map_err(|error| wrong(&folder, &error))?;
        self.write(&root_name(version), note)
    }

    /// Writes a text file of the directory, whole or not at all.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&self, name: &str, text: &str) -> Result<(), DirectoryError> {
        let path = self.file(name);
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::File::open(&fresh)?.sync_all())
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(|error| wrong(&path, &error))
    }
}

fn root_name(version: u32) -> String {
    format!("roots/{version}.note")
}

impl DirectoryError {
    /// What the system said of a file.
    #[must_use]
    pub fn of(path: &Path, error: &io::Error) -> Self {
        wrong(path, error)
    }
}

fn wrong(path: &Path, error: &io::Error) -> DirectoryError {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => {
            "is this a party's directory? --dir names another, `wayhome init` makes one"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            "a party's directory is a folder with files of these names: --dir names another"
        }
        io::ErrorKind::PermissionDenied => "run the command as the user that owns the directory",
        _ => "check the disk and the directory's permissions",
    };
    DirectoryError {
        path: path.display().to_string(),
        reason: error.to_string(),
        remedy,
    }
}
