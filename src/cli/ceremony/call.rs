//! Calling a ceremony: what it is for, and who takes part.

use std::path::PathBuf;

use serde_json::json;

use super::network::{self, NetworkArgs};
use super::words;
use crate::cli::roster::RootArgs;
use crate::cli::{CliError, Context};
use crate::node::ceremony::{Ceremony, Terms};
use crate::roster::MemberId;

#[derive(clap::Args)]
struct CallArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// The signed roster in force, which names the keyholders and their keys. Over the network it is
    /// the node's own.
    #[arg(
        long,
        value_name = "ROSTER.note",
        required_unless_present = "over_network",
        conflicts_with = "over_network"
    )]
    roster: Option<PathBuf>,
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
pub struct StartArgs {
    /// How many keyholders an evaluation takes.
    #[arg(long, value_name = "NUMBER")]
    threshold: u16,
    /// Number of the key epoch: 1 for the coalition's first key, then one more each time.
    #[arg(long, value_name = "NUMBER")]
    epoch: u32,
    /// Who takes part; all keyholders of the roster if not given.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    keyholders: Option<Vec<MemberId>>,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Args)]
pub struct RotateArgs {
    /// How many keyholders an evaluation takes; as in the epoch in use if not given.
    #[arg(long, value_name = "NUMBER")]
    threshold: Option<u16>,
    /// Who takes part; all keyholders of the roster if not given.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    keyholders: Option<Vec<MemberId>>,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Args)]
pub struct RefreshArgs {
    /// Number of the key epoch; the one in use if not given.
    #[arg(long, value_name = "NUMBER")]
    epoch: Option<u32>,
    /// Who takes part, and remains; all active keyholders of the epoch if not given. Whoever is not
    /// named has no share afterwards.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    keyholders: Option<Vec<MemberId>>,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Args)]
pub struct RepairArgs {
    /// Whose share is restored, or made.
    #[arg(long = "for", value_name = "ID")]
    target: MemberId,
    /// Who helps; as many active keyholders as the threshold if not given.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    helpers: Option<Vec<MemberId>>,
    /// Number of the key epoch; the one in use if not given.
    #[arg(long, value_name = "NUMBER")]
    epoch: Option<u32>,
    #[command(flatten)]
    call: CallArgs,
}

#[derive(clap::Args)]
pub struct ReplaceArgs {
    /// Who has no share afterwards; it takes no part.
    #[arg(long, value_name = "ID")]
    leaves: MemberId,
    /// Who has one: a party with the role of keyholder and a number of its own.
    #[arg(long, value_name = "ID")]
    joins: MemberId,
    /// Number of the key epoch; the one in use if not given.
    #[arg(long, value_name = "NUMBER")]
    epoch: Option<u32>,
    #[command(flatten)]
    call: CallArgs,
}

pub async fn start(context: &Context, args: &StartArgs) -> Result<(), CliError> {
    let terms = Terms::Generate {
        epoch: Some(args.epoch),
        threshold: Some(args.threshold),
        keyholders: args.keyholders.clone(),
    };
    call(context, &args.call, &terms).await
}

pub async fn rotate(context: &Context, args: &RotateArgs) -> Result<(), CliError> {
    let terms = Terms::Generate {
        epoch: None,
        threshold: args.threshold,
        keyholders: args.keyholders.clone(),
    };
    call(context, &args.call, &terms).await
}

pub async fn refresh(context: &Context, args: &RefreshArgs) -> Result<(), CliError> {
    let terms = Terms::Refresh {
        epoch: args.epoch,
        keyholders: args.keyholders.clone(),
    };
    call(context, &args.call, &terms).await
}

pub async fn repair(context: &Context, args: &RepairArgs) -> Result<(), CliError> {
    let terms = Terms::Repair {
        epoch: args.epoch,
        target: args.target.clone(),
        helpers: args.helpers.clone(),
    };
    call(context, &args.call, &terms).await
}

pub async fn replace(context: &Context, args: &ReplaceArgs) -> Result<(), CliError> {
    let terms = Terms::Replace {
        epoch: args.epoch,
        leaves: args.leaves.clone(),
        joins: args.joins.clone(),
    };
    call(context, &args.call, &terms).await
}

async fn call(context: &Context, args: &CallArgs, terms: &Terms) -> Result<(), CliError> {
    let (Some(roster), Some(folder)) = (&args.roster, &args.folder) else {
        return network::call(context, &args.root, terms).await;
    };
    let mut trust = args.root.chain(context)?.into_store();
    let note = crate::cli::roster::read(roster)?;
    let _ = trust.update_roster(&note, context.ambient.now())?;
    let ceremony = Ceremony::start(folder, &trust, terms, &context.ambient)?;
    let output = context.output;
    words::introduce(context, &ceremony);
    output.say(format_args!(
        "The plan is in {}. Read the fingerprint to every one who takes part, over the telephone \
         or in the room, not in the message that brings the folder.",
        folder.display()
    ));
    output.say(format_args!(
        "Next: each of them runs `wayhome --dir DIR ceremony join --expect FINGERPRINT {}`, and \
         again until nothing is left to do.",
        folder.display()
    ));
    output.object(&words::with(&ceremony, json!({"ok": true})));
    Ok(())
}
