//! `wayhome status`: how the node is.

use serde_json::{Value, json};

use super::{CliError, Context};
use crate::node::operator_client;
use crate::proto::operator::node_service_client::NodeServiceClient;
use crate::proto::operator::{GetStatusRequest, KeyEpoch};

/// Arguments of `wayhome status`.
#[derive(clap::Args)]
pub struct Args {
    /// Fail (exit code 1) unless the node answers its peers now; for probes.
    #[arg(long)]
    ready: bool,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let channel = operator_client(&context.directory.socket()).await?;
    let status = NodeServiceClient::new(channel)
        .get_status(GetStatusRequest {})
        .await?
        .into_inner();
    let output = context.output;
    output.say(format_args!(
        "{} runs Wayhome {}.",
        status.member, status.version
    ));
    match status.roster_version {
        0 => {
            output.say("No roster is in force: put the coalition's roster.note into the directory.")
        }
        version => output.say(format_args!("Roster {version} is in force.")),
    }
    match (status.epoch, status.keyholder) {
        (0, _) => output.say("The coalition has no key yet: the keyholders hold a ceremony first."),
        (epoch, true) => output.say(format_args!(
            "Key epoch {epoch}; this node holds a share of the coalition key."
        )),
        (epoch, false) => output.say(format_args!("Key epoch {epoch}.")),
    }
    // With one epoch there is nothing under way.
    if status.epochs.len() > 1 || status.epochs.iter().any(|epoch| !epoch.open) {
        for epoch in &status.epochs {
            output.say(epoch_line(epoch));
        }
    }
    output.say(format_args!(
        "{} records, of which {} can be found by peers ({} tokens).",
        status.records, status.index_records, status.index_tokens
    ));
    output.say(format_args!("The log has {} leaves.", status.log_size));
    if status.open_alerts > 0 {
        output.say(format_args!(
            "{} alerts on protected records wait for somebody: see `wayhome alerts`.",
            status.open_alerts
        ));
    }
    let reasons: Vec<String> = status
        .not_ready
        .iter()
        .map(|reason| format!("{}: {}", reason.code, reason.reason))
        .collect();
    for reason in &reasons {
        output.say(format_args!("It does not answer its peers now. {reason}"));
    }
    let ok = reasons.is_empty() || !args.ready;
    output.object(&json!({
        "ok": ok,
        "ready": reasons.is_empty(),
        "not_ready": status
            .not_ready
            .iter()
            .map(|reason| json!({"code": reason.code, "reason": reason.reason}))
            .collect::<Vec<_>>(),
        "member": status.member,
        "version": status.version,
        "roster_version": status.roster_version,
        "epoch": status.epoch,
        "keyholder": status.keyholder,
        "records": status.records,
        "index_records": status.index_records,
        "index_tokens": status.index_tokens,
        "log_size": status.log_size,
        "epochs": status.epochs.iter().map(epoch_object).collect::<Vec<_>>(),
        "open_alerts": status.open_alerts,
    }));
    if ok {
        return Ok(());
    }
    Err(CliError::failed("NOT_READY", reasons.join("; ")).told())
}

fn epoch_line(epoch: &KeyEpoch) -> String {
    let place = match epoch.place.as_str() {
        "next" => "is announced",
        "previous" => "is being left",
        _ => "is in use",
    };
    let state = if epoch.open {
        "peers find this node's records under it"
    } else {
        "not yet open to peers"
    };
    format!(
        "  Epoch {} {place}: {} of {} records have their tokens; {state}.",
        epoch.epoch, epoch.records_done, epoch.records_total
    )
}

fn epoch_object(epoch: &KeyEpoch) -> Value {
    json!({
        "epoch": epoch.epoch, "place": epoch.place, "records_done": epoch.records_done,
        "records_total": epoch.records_total, "open": epoch.open, "share": epoch.share,
    })
}
