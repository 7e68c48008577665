//! The rosters that an ombudsman goes by.
//!
//! What was accepted once is kept in its directory, so that an older file there is not believed,
//! and evidence that was signed by keys which have left the roster is still judged by their time.

use std::sync::Arc;

use crate::audit::Auditor;
use crate::cli::roster::trust as kept;
use crate::cli::{CliError, Context};
use crate::roster::{Kind, Member, TrustStore, TrustedRoot, TrustedRoster};

/// Where rosters are kept once they were in force.
const ROSTERS: &str = "audit/rosters";

/// The trust store as it stands in the directory, with the roster that lies there taken.
pub fn load(context: &Context) -> Result<TrustStore, CliError> {
    let directory = &context.directory;
    std::fs::create_dir_all(directory.file(ROSTERS))?;
    let mut trust = kept::open(context)?;
    if let Some(note) = directory.read_note("roster.note", Kind::Roster.max_bytes())? {
        match trust.update_roster(&note, context.ambient.now()) {
            Ok(_) => {}
            // An older file beside a newer kept roster is no fault: the newer one is in force.
            Err(_) if trust.roster().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    save(context, &trust)?;
    Ok(trust)
}

/// Asks nodes for newer rosters, and takes what the roots signed. A node that is not there, or has
/// nothing new, is passed over: what it serves is checked all the same.
pub async fn renew(
    context: &Context,
    auditor: &Auditor,
    trust: &mut TrustStore,
    members: &[Member],
) -> Result<bool, CliError> {
    let before = trust.versions();
    let asked = members.iter().map(|member| async {
        auditor
            .newer_rosters(member, before)
            .await
            .unwrap_or_default()
    });
    for (roots, roster) in futures_util::future::join_all(asked).await {
        let mut candidate = trust.clone();
        let roster = roster.as_deref();
        let now = context.ambient.now();
        if candidate
            .update(roots.iter().map(Vec::as_slice), roster, now)
            .is_ok()
        {
            *trust = candidate;
        }
    }
    let renewed = trust.versions() != before;
    if renewed {
        save(context, trust)?;
    }
    Ok(renewed)
}

fn save(context: &Context, trust: &TrustStore) -> Result<(), CliError> {
    kept::keep(&context.directory, trust)?;
    if let Some(roster) = trust.roster() {
        keep(context, roster)?;
    }
    Ok(())
}

/// Keeps a roster that was in force once.
pub fn keep(context: &Context, roster: &TrustedRoster) -> Result<(), CliError> {
    let (root, version) = roster.place();
    let name = format!("{ROSTERS}/{root}-{version}.note");
    Ok(context.directory.write(&name, roster.note())?)
}

/// The roots of the chain, and the rosters that were in force before.
pub fn earlier(
    context: &Context,
    trust: &TrustStore,
) -> Result<(Vec<TrustedRoot>, Vec<Arc<TrustedRoster>>), CliError> {
    let roots: Vec<TrustedRoot> = trust
        .roots_above(0)
        .filter_map(|note| TrustedRoot::pin(note.as_bytes()).ok())
        .collect();
    let mut earlier = Vec::new();
    for file in std::fs::read_dir(context.directory.file(ROSTERS))? {
        let note = std::fs::read(file?.path())?;
        // What no root of the chain signed proves nothing and is passed over.
        let verified = roots
            .iter()
            .find_map(|root| TrustedRoster::verify(root, &note).ok());
        earlier.extend(verified.map(Arc::new));
    }
    Ok((roots, earlier))
}
