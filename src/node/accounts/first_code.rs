//! The code by which the first administrator claims an account, before there is anyone who could make
//! one. Its hash lies in the node's directory: whoever can write there is the node's operator.

use super::secrets;
use crate::ambient::Ambient;
use crate::node::{Directory, DirectoryError};

/// Where its hash lies.
pub const FIRST_CODE_FILE: &str = "first-administrator.sha256";

/// Makes a code, in place of one that was made before.
///
/// # Errors
/// If the directory cannot be written.
pub fn make_first_code(directory: &Directory, ambient: &Ambient) -> Result<String, DirectoryError> {
    let (code, hash) = secrets::code(ambient);
    directory.write(FIRST_CODE_FILE, &format!("{hash}\n"))?;
    Ok(code)
}

pub(super) fn holds(directory: &Directory, code: &str) -> bool {
    match directory.read_if_there(FIRST_CODE_FILE) {
        Ok(Some(hash)) => secrets::code_holds(code, &hash),
        Ok(None) => false,
        Err(error) => {
            tracing::error!(%error, "the first administrator's code cannot be read");
            false
        }
    }
}

/// It was used. Were it left behind it would be good for nothing: there is an account now.
pub(super) fn spend(directory: &Directory) {
    let _ = std::fs::remove_file(directory.file(FIRST_CODE_FILE));
}
