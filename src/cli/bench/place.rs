//! Where a benchmark keeps its files.

use std::path::{Path, PathBuf};

use crate::cli::{CliError, Context};

/// A directory for one benchmark, removed at the end.
pub struct Place(PathBuf);

impl Place {
    /// A new directory within `parent`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn within(context: &Context, parent: &Path) -> Result<Self, CliError> {
        let name = format!(
            "wayhome-bench-{}",
            hex::encode(context.ambient.random::<6>())
        );
        let place = Self(parent.join(name));
        std::fs::create_dir_all(&place.0)?;
        Ok(place)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
