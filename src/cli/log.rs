//! `wayhome log`: the node's own log, and what was found out about it and about others'.

use serde_json::json;

use super::{CliError, Context, input};
use crate::node::new_log_origin;
use crate::proto::operator::log_service_client::LogServiceClient;
use crate::proto::operator::{CheckLogRequest, GetLogRequest};

/// Arguments of `wayhome log`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say how the log stands: who has cosigned it, which promises of peers are open, what was
    /// found out.
    Show,
    /// Show the newest checkpoint to the witnesses and look at the promises of peers, now.
    Check,
    /// Begin a new log after the old one was lost. The node must be stopped. Cannot be undone.
    NewOrigin(NewOrigin),
}

#[derive(clap::Args)]
struct NewOrigin {
    /// Confirm that the old log is given up.
    #[arg(long)]
    yes: bool,
    /// The newest checkpoint of the old log that anybody can show, as a file; a witness or a peer
    /// has it. Without it, the newest that this directory knows of is named.
    #[arg(long, value_name = "FILE")]
    last: Option<std::path::PathBuf>,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Show => show(context).await,
        Command::Check => check(context).await,
        Command::NewOrigin(args) => new_origin(context, args).await,
    }
}

async fn show(context: &Context) -> Result<(), CliError> {
    let channel = context.operator().await?;
    let log = LogServiceClient::new(channel)
        .get_log(GetLogRequest {})
        .await?
        .into_inner();
    let output = context.output;
    output.say(format_args!("{} has {} leaves.", log.origin, log.size));
    if !log.not_signed.is_empty() {
        output.say(format_args!("IT IS NOT SIGNED: {}.", log.not_signed));
    }
    match log.witnesses.len() {
        0 => output.say(
            "The roster lists no witness for it: nothing speaks against a second history but the receipts of peers.",
        ),
        listed => output.say(format_args!(
            "The checkpoint of {} leaves is served, cosigned by {} of {listed} witnesses: {}.",
            log.served_size,
            log.cosigned_by.len(),
            log.cosigned_by.join(", ")
        )),
    }
    output.say(format_args!(
        "{} promises of peers are not yet seen kept, {} were broken.",
        log.open_receipts, log.broken_receipts
    ));
    for alert in &log.findings {
        output.say(format_args!(
            "{} {}: {}",
            alert.kind, alert.member, alert.detail
        ));
        for checkpoint in &alert.proof {
            output.say(format_args!("\n{checkpoint}"));
        }
    }
    let findings: Vec<_> = log
        .findings
        .iter()
        .map(|alert| {
            json!({
                "found_ms": alert.found_ms, "kind": alert.kind, "member": alert.member,
                "detail": alert.detail, "proof": alert.proof,
            })
        })
        .collect();
    output.object(&json!({
        "ok": true,
        "origin": log.origin,
        "size": log.size,
        "served_size": log.served_size,
        "signed": log.not_signed.is_empty(),
        "not_signed": log.not_signed,
        "witnesses": log.witnesses,
        "cosigned_by": log.cosigned_by,
        "open_receipts": log.open_receipts,
        "broken_receipts": log.broken_receipts,
        "findings": findings,
    }));
    Ok(())
}

async fn check(context: &Context) -> Result<(), CliError> {
    let channel = context.operator().await?;
    let found = LogServiceClient::new(channel)
        .check_log(CheckLogRequest {})
        .await?
        .into_inner();
    let output = context.output;
    output.say(format_args!(
        "{} promises were seen kept, {} are still open, {} were found broken. {} logs were found to show two histories. The served checkpoint has {} cosignatures.",
        found.kept, found.open, found.broken, found.splits, found.cosignatures
    ));
    output.object(&json!({
        "ok": found.broken == 0 && found.splits == 0,
        "kept": found.kept,
        "open": found.open,
        "broken": found.broken,
        "cosignatures": found.cosignatures,
        "splits": found.splits,
    }));
    if found.splits > 0 {
        return Err(CliError::failed(
            "SPLIT_VIEW",
            "a peer's log shows two histories: `wayhome log show` has the proof; tell the ombudsman",
        )
        .told());
    }
    if found.broken == 0 {
        Ok(())
    } else {
        Err(CliError::failed(
            "PROMISE_BROKEN",
            "a peer's log does not hold what its receipts promised: `wayhome log show` has the proof; tell the ombudsman",
        )
        .told())
    }
}

async fn new_origin(context: &Context, args: NewOrigin) -> Result<(), CliError> {
    if !args.yes {
        return Err(CliError::input(
            "NOT_CONFIRMED",
            "this gives the old log up for good and needs a new entry in the roster: if that is what you want, say --yes",
        ));
    }
    let last = match &args.last {
        Some(path) => Some(input::read(path, "LAST")?),
        None => None,
    };
    let begun = new_log_origin(&context.directory, &context.ambient, last.as_deref()).await?;
    let output = context.output;
    output.say(format_args!(
        "The log {} begins when the node is started. Its first leaf names {} with {} leaves.",
        begun.origin, begun.broken_origin, begun.broken_size
    ));
    output.say(
        "Next: give member.json to the secretariat. Peers take no answer of this node until a roster states the new log.",
    );
    output.object(&json!({
        "ok": true,
        "origin": begun.origin,
        "vkey": begun.vkey,
        "broken_origin": begun.broken_origin,
        "broken_size": begun.broken_size,
    }));
    Ok(())
}
