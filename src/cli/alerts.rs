//! `wayhome alerts`: who looked for protected records.

use serde_json::json;

use super::{CliError, Context};
use crate::proto::operator::protection_service_client::ProtectionServiceClient;
use crate::proto::operator::{ListProtectionAlertsRequest, SeeProtectionAlertRequest};
use crate::roster::Timestamp;

/// Arguments of `wayhome alerts`.
#[derive(clap::Args)]
pub struct Args {
    /// Also those that somebody has taken note of.
    #[arg(long)]
    all: bool,
    /// Take note of the alert with this number.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["all", "after", "limit"])]
    seen: Option<u64>,
    /// Begin after this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// How many, at most 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let channel = context.operator().await?;
    let mut client = ProtectionServiceClient::new(channel);
    if let Some(id) = args.seen {
        client
            .see_protection_alert(SeeProtectionAlertRequest { id })
            .await?;
        context.output.say(format_args!("Alert {id} is noted."));
        context.output.object(&json!({"ok": true, "seen": id}));
        return Ok(());
    }
    let listed = client
        .list_protection_alerts(ListProtectionAlertsRequest {
            after: args.after,
            limit: args.limit,
            seen: args.all,
        })
        .await?
        .into_inner();
    let mut alerts = Vec::with_capacity(listed.alerts.len());
    for alert in &listed.alerts {
        let raised = Timestamp::from_unix(alert.raised_ms / 1000).to_string();
        context.output.say(format_args!(
            "{:>6}  {raised}  {:<6} {:<24} {} looked for it ({}, {}), leaf {}{}",
            alert.id,
            alert.protection,
            alert.record_ref,
            alert.peer,
            alert.purpose,
            alert.grade,
            alert.leaf_index,
            if alert.seen { ", noted" } else { "" }
        ));
        alerts.push(json!({
            "id": alert.id,
            "raised": raised,
            "protection": alert.protection,
            "record_ref": alert.record_ref,
            "peer": alert.peer,
            "purpose": alert.purpose,
            "case_reference": alert.case_reference,
            "grade": alert.grade,
            "leaf_index": alert.leaf_index,
            "seen": alert.seen,
        }));
    }
    context.output.say(format_args!(
        "{} alerts wait for somebody. `wayhome alerts --seen NUMBER` takes note of one.",
        listed.open
    ));
    context
        .output
        .object(&json!({"ok": true, "alerts": alerts, "open": listed.open}));
    Ok(())
}
