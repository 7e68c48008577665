//! `wayhome quotas`: who used how much, and what was unusual.

use serde_json::{Value, json};

use super::{CliError, Context};
use crate::proto::operator as pb;
use crate::proto::operator::quota_service_client::QuotaServiceClient;
use crate::roster::Timestamp;

/// Arguments of `wayhome quotas`.
#[derive(clap::Args)]
pub struct Args {
    /// How many of the newest alerts to show.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    alerts: u32,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let channel = context.operator().await?;
    let mut client = QuotaServiceClient::new(channel);
    let quotas = client
        .list_quotas(pb::ListQuotasRequest {})
        .await?
        .into_inner();
    let alerts = match args.alerts {
        0 => Vec::new(),
        count => {
            client
                .list_alerts(pb::ListAlertsRequest { count })
                .await?
                .into_inner()
                .alerts
        }
    };
    let output = context.output;
    output.say("Used at this node (days are in UTC, enrolment counts for the key epoch):");
    for quota in &quotas.here {
        output.say(line(quota));
    }
    if !quotas.elsewhere.is_empty() {
        output.say("Used by this member, as the others last stated it:");
    }
    for quota in &quotas.elsewhere {
        let at = Timestamp::from_unix(quota.stated_ms / 1000).spoken();
        output.say(format_args!("{} ({at})", line(quota)));
    }
    if !alerts.is_empty() {
        output.say("Unusual use:");
    }
    for alert in &alerts {
        output.say(format_args!(
            "  {} {}: {} [leaf {}]",
            Timestamp::from_unix(alert.time_ms / 1000).spoken(),
            alert.member,
            alert.alert,
            alert.leaf_index
        ));
    }
    let alerts: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            json!({
                "leaf": alert.leaf_index, "time_ms": alert.time_ms, "member": alert.member,
                "alert": alert.alert,
            })
        })
        .collect();
    output.object(&json!({
        "ok": true, "here": objects(&quotas.here), "elsewhere": objects(&quotas.elsewhere),
        "alerts": alerts,
    }));
    Ok(())
}

fn line(quota: &pb::QuotaUse) -> String {
    let percent = quota
        .used
        .saturating_mul(100)
        .checked_div(quota.limit)
        .map_or_else(String::new, |percent| format!(", {percent} %"));
    format!(
        "  {} {}: {} of {}, {} left{percent}",
        quota.member,
        quota.quota,
        quota.used,
        quota.limit,
        quota.limit.saturating_sub(quota.used)
    )
}

fn objects(quotas: &[pb::QuotaUse]) -> Vec<Value> {
    quotas
        .iter()
        .map(|quota| {
            json!({
                "member": quota.member, "quota": quota.quota, "used": quota.used,
                "limit": quota.limit, "left": quota.limit.saturating_sub(quota.used),
                "stated_ms": (quota.stated_ms > 0).then_some(quota.stated_ms),
            })
        })
        .collect()
}
