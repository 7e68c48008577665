//! `wayhome roster`: root keys, roots and rosters, made on machines that are never online.
//!
//! Every file is text that a person can read before signing it. Only what concerns a running node
//! (`status`, `reload`, `fetch`, `accept-clock`) needs one.

mod check;
mod draft;
pub(super) mod files;
mod keys;
mod node;
mod sign;
pub(super) mod trust;

use clap::Subcommand;

pub(super) use files::{RootArgs, read};

use super::{CliError, Context};

/// Arguments of `wayhome roster`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a root key: a secret file for one person, and its public part.
    Keygen(keys::KeygenArgs),
    /// Draft a root: which keys may sign for the coalition, and how many of them must.
    DraftRoot(keys::DraftRootArgs),
    /// Draft a roster: the coalition's first, or the successor of another.
    Draft(draft::Args),
    /// Add a signature to a draft, or to what others have signed.
    Sign(sign::SignArgs),
    /// Put the signatures of several copies of one draft together.
    Merge(sign::MergeArgs),
    /// Check signatures, dates and content, and say who has signed and who has not.
    Verify(check::VerifyArgs),
    /// Show a root or roster in plain lines, signed or not.
    Show(check::ShowArgs),
    /// Say in sentences what changes from one root or roster to another.
    Diff(check::DiffArgs),
    /// Check a signed roster and put it into the party's directory; a running node takes it up.
    Publish(check::PublishArgs),
    /// Check the successor of the newest root and put it into the party's directory.
    PublishRoot(check::PublishRootArgs),
    /// Say which root and roster the running node trusts, and what will stop working soon.
    Status,
    /// Have the running node take what lies in its directory now, and say what became of it.
    Reload,
    /// Have the running node ask its peers for newer roots and rosters now.
    Fetch,
    /// Accept this machine's clock after it was ahead and has been set right. Logged.
    AcceptClock(node::AcceptClockArgs),
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Keygen(args) => keys::keygen(context, &args),
        Command::DraftRoot(args) => keys::draft_root(context, &args),
        Command::Draft(args) => draft::run(context, &args),
        Command::Sign(args) => sign::sign(context, &args),
        Command::Merge(args) => sign::merge(context, &args),
        Command::Verify(args) => check::verify(context, &args),
        Command::Show(args) => check::show(context, &args),
        Command::Diff(args) => check::diff(context, &args),
        Command::Publish(args) => check::publish(context, &args),
        Command::PublishRoot(args) => check::publish_root(context, &args),
        Command::Status => node::status(context).await,
        Command::Reload => node::reload(context).await,
        Command::Fetch => node::fetch(context).await,
        Command::AcceptClock(args) => node::accept_clock(context, &args).await,
    }
}

#[cfg(test)]
mod tests;
