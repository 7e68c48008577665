//! `wayhome ceremony fetch`: an ombudsman gets a ceremony's public files from a node that takes part.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::words;
use crate::cli::roster::RootArgs;
use crate::cli::{CliError, Context};
use crate::node::ceremonies::{FetchError, fetch_public};
use crate::node::ceremony::{Ceremony, CeremonyError, Fingerprint};
use crate::node::{Config, Identity, PinnedPeers};
use crate::roster::MemberId;

/// Arguments of `wayhome ceremony fetch`.
#[derive(clap::Args)]
pub struct Args {
    /// The ceremony's fingerprint, as you were told it over the telephone or in the room.
    #[arg(long, value_name = "FINGERPRINT")]
    expect: String,
    /// The member whose node is asked: one that takes part.
    #[arg(long, value_name = "MEMBER")]
    from: MemberId,
    #[command(flatten)]
    root: RootArgs,
    /// The folder that is filled.
    #[arg(value_name = "CEREMONY_DIR")]
    folder: PathBuf,
}

/// Fetches what a node shows of a ceremony, and says how far that is.
pub async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let fingerprint = Fingerprint::parse(&args.expect).ok_or_else(|| {
        CliError::input(
            "FINGERPRINT",
            "a ceremony's fingerprint has 32 hexadecimal digits: give all of them, as they were told",
        )
    })?;
    let directory = &context.directory;
    let config = Config::load(directory)?;
    let me = &config.member;
    let trust = args.root.trust(context)?;
    let now = context.ambient.now();
    let roster = trust.roster_in_force(now)?;
    let node = roster.member(args.from.as_str()).ok_or_else(|| {
        CliError::input(
            "PARTY_UNKNOWN",
            format!(
                "the roster has no party called {}: see `wayhome roster show`",
                args.from
            ),
        )
    })?;
    let own = roster.member(me.as_str());
    let identity = Arc::new(Identity::load(directory)?.in_use(directory, own, now)?);
    let peers = PinnedPeers::configured(identity, &config, context.ambient.clone());
    let root = trust.root();
    let fetched = fetch_public(&peers, node, me, root, fingerprint, &args.folder)
        .await
        .map_err(|error| match &error {
            FetchError::Peer(peer) => CliError::failed(peer.code(), &error),
            FetchError::Own(_) => CliError::failed("FOLDER", &error),
        })?;
    let ceremony = match Ceremony::open(&args.folder, root) {
        Err(CeremonyError::NoCeremony { .. }) if !fetched.refused.is_empty() => None,
        opened => Some(opened?),
    };
    let output = context.output;
    if let Some(ceremony) = &ceremony {
        words::introduce(context, ceremony);
        words::show(context, &ceremony.status());
    }
    for (file, error) in &fetched.refused {
        output.say(format_args!(
            "REFUSED: {} gave {file}: {error} ({})",
            args.from,
            error.code()
        ));
    }
    if let Some((file, error)) = fetched.refused.first() {
        return Err(CliError::failed(
            error.code(),
            format!("{} gave {file}: {error}", args.from),
        ));
    }
    output.say(format_args!(
        "Next: `wayhome ceremony status --verify {}` once all have confirmed.",
        args.folder.display()
    ));
    let done = json!({"ok": true, "new": fetched.new, "folder": args.folder.display().to_string()});
    output.object(&match &ceremony {
        Some(ceremony) => words::with(ceremony, done),
        None => done,
    });
    Ok(())
}
