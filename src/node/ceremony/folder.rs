//! The shared folder: what anybody may have written is read with a limit, and what is written
//! appears whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::CeremonyError;
use super::message::Round;

pub(super) const PLAN: &str = "plan.json";
pub(super) const ROSTER: &str = "roster.note";
pub(super) const TRANSCRIPT: &str = "transcript.jsonl";
/// What a finished ceremony yields, written last.
pub const COALITION_KEY: &str = "coalition-key.json";

/// Above the largest roster, which is the largest file.
pub(super) const FILE_LIMIT: u64 = 1 << 20;

/// The folder of one ceremony.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn open(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the folder.
    pub(super) fn create(path: &Path) -> Result<Self, CeremonyError> {
        fs::create_dir_all(path).map_err(|error| wrong(path, &error))?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    /// Reads a file, if it is there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, CeremonyError> {
        let path = self.0.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&path, &error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(&path, &error))?;
        if bytes.len() as u64 > FILE_LIMIT {
            return Err(CeremonyError::TooLarge {
                path: path.display().to_string(),
                limit: FILE_LIMIT,
            });
        }
        // Every file of a ceremony is ASCII or a roster; what is not text fails where it is parsed.
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Writes a file in place of what may be there. Nobody ever reads half of it.
    pub(super) fn publish(&self, name: &str, text: &str) -> Result<(), CeremonyError> {
        #[cfg(test)]
        super::tests::crash_point()?;
        let path = self.0.join(name);
        let failed = |error: io::Error| wrong(&path, &error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut fresh = path.clone().into_os_string();
        fresh.push(".fresh");
        let fresh = PathBuf::from(fresh);
        // Never through what somebody else may have put there, such as a link to a key file.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&fresh, &path).map_err(failed)
    }

    /// Removes the folder of a round with all that is in it.
    pub(super) fn remove_round(&self, round: Round) -> Result<(), CeremonyError> {
        let path = self.0.join(round.folder());
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(wrong(&path, &error)),
            _ => Ok(()),
        }
    }
}

fn wrong(path: &Path, error: &io::Error) -> CeremonyError {
    CeremonyError::Folder {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}
