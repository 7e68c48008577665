//! Files that the command line names: why one cannot be used, and what to do.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::CliError;
use crate::records::import::ImportOptions;

/// How much of a file is looked at to see what it is, in octets.
const LOOKED_AT: usize = 512;

/// Says why a file cannot be read or written, and what to do.
#[must_use]
pub fn unusable(path: &Path, error: &io::Error) -> String {
    use io::ErrorKind;
    let remedy = match error.kind() {
        ErrorKind::NotFound => "give the path of a file that is there",
        ErrorKind::IsADirectory => "this is a folder: give the path of a file",
        ErrorKind::AlreadyExists => "name another, or move what is there away",
        ErrorKind::NotADirectory => "a part of this path is a file and no folder",
        ErrorKind::PermissionDenied => "run the command as a user who may, or ask the file's owner",
        ErrorKind::InvalidData => "this is no UTF-8 text: is it the right file?",
        _ => "look at the disk",
    };
    format!("{}: {error}; {remedy}", path.display())
}

/// Reads a text that the command line names. `code` is for machines.
///
/// # Errors
/// Names the file, and what to do.
pub fn read_text(path: &Path, code: &str) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::input(code, unusable(path, &error)))
}

/// Reads a file that the command line names. `code` is for machines.
///
/// # Errors
/// Names the file, and what to do.
pub fn read(path: &Path, code: &str) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| CliError::input(code, unusable(path, &error)))
}

/// How a register is read: as the map that the command line names says, or as it is.
///
/// # Errors
/// Names the file, and what is wrong with it.
pub fn import_options(map: Option<&Path>) -> Result<ImportOptions, CliError> {
    let Some(path) = map else {
        return Ok(ImportOptions::default());
    };
    ImportOptions::from_toml(&read_text(path, "MAP")?)
        .map_err(|error| CliError::input("MAP", format!("{}: {error}", path.display())))
}

/// Opens a register, and gives its first octets, by which its format is told.
///
/// # Errors
/// Names the file, and what to do: also for what is certainly no register, such as a spreadsheet's
/// own format.
pub fn open_register(path: &Path) -> Result<(File, Vec<u8>), CliError> {
    let wrong = |error: &io::Error| CliError::input("NO_FILE", unusable(path, error));
    let mut first = Vec::with_capacity(LOOKED_AT);
    File::open(path)
        .map_err(|error| wrong(&error))?
        .take(LOOKED_AT as u64)
        .read_to_end(&mut first)
        .map_err(|error| wrong(&error))?;
    // What says of itself that it is UTF-16 is named so by its reader.
    let marked = first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]);
    if first.contains(&0) && !marked {
        return Err(CliError::input(
            "NO_TEXT",
            format!(
                "{}: this is no UTF-8 text: from a spreadsheet save it as \"CSV UTF-8\"",
                path.display()
            ),
        ));
    }
    let file = File::open(path).map_err(|error| wrong(&error))?;
    Ok((file, first))
}
