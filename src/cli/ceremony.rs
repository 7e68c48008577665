//! `wayhome ceremony`: the keyholders make the coalition key among themselves, renew its shares,
//! restore them and hand them on, by files.

mod call;
mod fetch;
mod network;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};

use super::roster::RootArgs;
use super::{CliError, Context};
use crate::node::ceremony::{Ceremony, CeremonyError, Outcome, Procedure};
use crate::node::{self, Config, Identity};
use crate::roster::TrustedRoster;

/// Arguments of `wayhome ceremony`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Call a ceremony for a key: write its plan into a folder that all keyholders will see.
    Start(call::StartArgs),
    /// Call a ceremony for the next key epoch.
    Rotate(call::RotateArgs),
    /// Call a ceremony for new shares of the same key, for those who remain.
    Refresh(call::RefreshArgs),
    /// Call a ceremony in which keyholders restore another's share, or make one for a further one.
    Repair(call::RepairArgs),
    /// Call a ceremony in which a new keyholder takes the place of another.
    Replace(call::ReplaceArgs),
    /// Do whatever this keyholder can do now; to be run again until nothing is left.
    Join(JoinArgs),
    /// Check everything and write the key's public parts for the roster.
    Finish(FolderArgs),
    /// Get a ceremony's public files from a node that takes part in it, as an ombudsman.
    Fetch(fetch::Args),
    /// Show who has done what.
    Status(StatusArgs),
}

#[derive(clap::Args)]
struct JoinArgs {
    /// The ceremony's fingerprint, as you were told it over the telephone or in the room. Needed
    /// for the first step; any ceremony with another one is refused.
    #[arg(long, value_name = "FINGERPRINT")]
    expect: Option<String>,
    #[command(flatten)]
    network: network::NetworkArgs,
    /// Over the network: wait until the ceremony is at its end. The node goes on in any case.
    #[arg(long, requires = "over_network")]
    wait: bool,
    #[command(flatten)]
    root: RootArgs,
    /// The ceremony's folder.
    #[arg(
        value_name = "CEREMONY_DIR",
        required_unless_present = "over_network",
        conflicts_with = "over_network"
    )]
    folder: Option<PathBuf>,
}

#[derive(clap::Args)]
struct StatusArgs {
    /// Check the whole ceremony from its public files, as an ombudsman does, and fail unless it is
    /// complete and nothing is wrong.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(clap::Args)]
struct FolderArgs {
    #[command(flatten)]
    root: RootArgs,
    /// The ceremony's folder.
    #[arg(value_name = "CEREMONY_DIR")]
    folder: PathBuf,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Start(args) => call::start(context, &args).await,
        Command::Rotate(args) => call::rotate(context, &args).await,
        Command::Refresh(args) => call::refresh(context, &args).await,
        Command::Repair(args) => call::repair(context, &args).await,
        Command::Replace(args) => call::replace(context, &args).await,
        Command::Join(args) => join(context, &args).await,
        Command::Finish(args) => finish(context, &args),
        Command::Fetch(args) => fetch::run(context, &args).await,
        Command::Status(args) if args.verify => verify(context, &args.folder),
        Command::Status(args) => status(context, &args.folder),
    }
}

impl From<CeremonyError> for CliError {
    fn from(error: CeremonyError) -> Self {
        match error {
            CeremonyError::NotTold => Self::input(error.code(), &error),
            _ => Self::failed(error.code(), &error),
        }
    }
}

async fn join(context: &Context, args: &JoinArgs) -> Result<(), CliError> {
    let Some(folder) = &args.folder else {
        let told = args.expect.as_deref().ok_or(CeremonyError::NotTold)?;
        return network::join(context, &args.root, told, args.wait).await;
    };
    let chain = args.root.chain(context)?;
    let ceremony = Ceremony::open(folder, chain.newest())?;
    let directory = &context.directory;
    let me = Config::load(directory)?.member;
    let identity = Identity::load(directory)?;
    let filed = match directory.read_if_there("roster.note")? {
        Some(note) => Some(Arc::new(TrustedRoster::verify(
            chain.newest(),
            note.as_bytes(),
        )?)),
        None => None,
    };
    // Rosters that peers gave to the node are in its database alone.
    let kept = node::kept_roster(directory, &context.ambient).await?;
    let by_age = |roster: &Arc<TrustedRoster>| (roster.roster().root_version, roster.version());
    let newest = filed.into_iter().chain(kept).max_by_key(by_age);
    let joined = ceremony.join(
        directory,
        &identity,
        &me,
        args.expect.as_deref(),
        newest.as_deref(),
        &context.ambient,
    )?;
    words::introduce(context, &ceremony);
    words::report(context, folder, &ceremony, &me, &joined);
    Ok(())
}

fn finish(context: &Context, args: &FolderArgs) -> Result<(), CliError> {
    let chain = args.root.chain(context)?;
    let ceremony = Ceremony::open(&args.folder, chain.newest())?;
    let outcome = ceremony.finish()?;
    let key = &outcome.key;
    let file = args.folder.join("coalition-key.json");
    words::introduce(context, &ceremony);
    say_confirmed(context, &ceremony, &outcome);
    context.output.say(format_args!(
        "SHA-256 of transcript.jsonl: {}. The encrypted packages are removed.",
        key.transcript_sha256
    ));
    if is_as_stated(&ceremony, &outcome) {
        context
            .output
            .say("The key is as the roster states it: no new roster is needed. Keep the folder.");
    } else {
        context.output.say(format_args!(
            "Next: `wayhome roster draft --from ROSTER.note --coalition-key {} ...`. Keep the \
             folder: with it anyone can check the key again.",
            file.display()
        ));
    }
    let done = json!({
        "ok": true, "coalition_key": key, "file": file.display().to_string(),
        "new_roster": !is_as_stated(&ceremony, &outcome),
    });
    context.output.object(&words::with(&ceremony, done));
    Ok(())
}

/// Whether the roster states everything of the key already: as when a lost share was restored.
fn is_as_stated(ceremony: &Ceremony, outcome: &Outcome) -> bool {
    ceremony
        .stated_key()
        .is_some_and(|stated| stated.keyholders == outcome.key.keyholders)
}

fn say_confirmed(context: &Context, ceremony: &Ceremony, outcome: &Outcome) {
    let confirmed = ceremony.plan().keyholders.len();
    let key = &outcome.key.public_key;
    context.output.say(match ceremony.plan().procedure {
        Procedure::Generate => {
            format!("All {confirmed} have confirmed one transcript, and it makes the key {key}.")
        }
        _ => format!(
            "All {confirmed} have confirmed one transcript; the key is still {key}, held by {}.",
            outcome.key.keyholders.len()
        ),
    });
}

fn status(context: &Context, args: &FolderArgs) -> Result<(), CliError> {
    let chain = args.root.chain(context)?;
    let ceremony = Ceremony::open(&args.folder, chain.newest())?;
    let status = ceremony.status();
    words::introduce(context, &ceremony);
    words::show(context, &status);
    let keyholders: Vec<Value> = status.keyholders.iter().map(words::standing).collect();
    let state = json!({
        "ok": true, "keyholders": keyholders, "complete": status.key.is_some(),
        "finished": status.finished, "fault": status.fault, "coalition_key": status.key,
    });
    context.output.object(&words::with(&ceremony, state));
    Ok(())
}

fn verify(context: &Context, args: &FolderArgs) -> Result<(), CliError> {
    let chain = args.root.chain(context)?;
    let ceremony = Ceremony::open(&args.folder, chain.newest())?;
    let outcome = ceremony.verify_results()?;
    words::introduce(context, &ceremony);
    say_confirmed(context, &ceremony, &outcome);
    context.output.say(format_args!(
        "Every signature, every commitment and every confirmation holds under roster {}. \
         SHA-256 of the transcript: {}.",
        ceremony.roster().version(),
        outcome.key.transcript_sha256
    ));
    let done = json!({"ok": true, "verified": true, "coalition_key": outcome.key});
    context.output.object(&words::with(&ceremony, done));
    Ok(())
}
