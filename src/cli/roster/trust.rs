//! What the commands of one directory trust, kept between them.

use super::files;
use crate::cli::{CliError, Context};
use crate::node::Directory;
use crate::roster::{Kind, TrustStore};

/// Where it is kept, so that no older roster and no clock set back is ever believed again.
const FILE: &str = "trust.json";

/// Opens what the directory trusts: the pinned root, what was taken since, and the roots that lie
/// in the directory.
///
/// # Errors
/// If there is no pinned root, or what was kept does not hold.
pub fn open(context: &Context) -> Result<TrustStore, CliError> {
    let directory = &context.directory;
    let root = directory
        .read_note("root.note", Kind::Root.max_bytes())?
        .ok_or_else(|| {
            CliError::input(
                "NO_ROOT",
                format!(
                    "no root is trusted here: give --root ROOT.note, or put the coalition's root \
                     into {}",
                    directory.file("root.note").display()
                ),
            )
        })?;
    let now = context.ambient.now();
    let mut trust = match directory.read_if_there(FILE)? {
        Some(state) => TrustStore::from_state(&root, state.as_bytes())?,
        None => {
            let mut trust = TrustStore::new(&root)?;
            remember_roster(directory, &mut trust, now)?;
            trust
        }
    };
    for (_, root) in directory.roots()? {
        // One that is refused leaves everything as it was.
        let _ = trust.update([root.as_slice()], None, now);
    }
    Ok(trust)
}

/// The same, with the roster that lies in the directory taken too if it is newer, as a running node
/// takes it.
///
/// # Errors
/// As [`open`].
pub fn with_roster(context: &Context) -> Result<TrustStore, CliError> {
    let mut trust = open(context)?;
    if let Some(note) = context
        .directory
        .read_note("roster.note", Kind::Roster.max_bytes())?
    {
        // One that is refused leaves everything as it was.
        let _ = trust.update_roster(&note, context.ambient.now());
    }
    Ok(trust)
}

/// Keeps what is trusted now.
///
/// # Errors
/// If the file system refuses.
pub fn keep(directory: &Directory, trust: &TrustStore) -> Result<(), CliError> {
    let state = String::from_utf8_lossy(&trust.to_state()).into_owned();
    directory.write(FILE, &state)?;
    Ok(())
}

/// Whether anything is kept in this directory.
pub fn is_kept(directory: &Directory) -> bool {
    directory.file(FILE).exists()
}

/// Lets the store take the roster that lies there, as of a time when it was valid, so that an
/// expired one still keeps an older one out.
///
/// # Errors
/// If the file cannot be read.
pub fn remember_roster(
    directory: &Directory,
    trust: &mut TrustStore,
    now: u64,
) -> Result<(), CliError> {
    let Some(note) = directory.read_note("roster.note", Kind::Roster.max_bytes())? else {
        return Ok(());
    };
    if let Some(roster) = files::verified(trust, &note) {
        let valid = roster.roster().expires.unix().saturating_sub(1).min(now);
        // One of an earlier root is refused here, and with the root its count began anew.
        let _ = trust.update_roster(&note, valid);
    }
    Ok(())
}
