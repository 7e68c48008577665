//! `wayhome keys rotate`, and what `wayhome keys status` says of the keys that guard what is at rest.

use serde_json::{Value, json};

use crate::cli::{CliError, Context};
use crate::proto::operator::key_service_client::KeyServiceClient;
use crate::proto::operator::{GetKeysRequest, GetKeysResponse, RotateKeysRequest};
use crate::roster::Timestamp;

#[derive(clap::Args)]
pub struct RotateArgs {
    /// Make a new wrapping key only, and leave the master key as it is.
    #[arg(long)]
    wrapping_only: bool,
}

pub async fn rotate(context: &Context, args: &RotateArgs) -> Result<(), CliError> {
    KeyServiceClient::new(context.operator().await?)
        .rotate_keys(RotateKeysRequest {
            wrapping_only: args.wrapping_only,
        })
        .await?;
    context.output.say(
        "New keys are in force. Data keys are wrapped anew in the background: see \
         `wayhome keys status`.",
    );
    if !args.wrapping_only {
        context.output.say(
            "Make a backup now: its keys archive has the new keys. The old master key stays in \
             keys/master.key, since older backups need it.",
        );
    }
    context.output.object(&json!({"ok": true}));
    Ok(())
}

/// The keys at rest, as the running node knows them; nothing if no node runs.
pub async fn status(context: &Context) -> Result<Option<Value>, CliError> {
    let Ok(operator) = context.operator().await else {
        context
            .output
            .say("At rest: start the node to see how far a rotation has come.");
        return Ok(None);
    };
    let status = KeyServiceClient::new(operator)
        .get_keys(GetKeysRequest {})
        .await?
        .into_inner();
    Ok(Some(say(context, &status)))
}

fn say(context: &Context, status: &GetKeysResponse) -> Value {
    let time = |ms: u64| Timestamp::from_unix(ms / 1000);
    for (at, id) in status.masters.iter().enumerate() {
        let what = if at == 0 { "wraps" } else { "unwraps" };
        context
            .output
            .say(format_args!("At rest: master key {id}, {what}."));
    }
    if status.masters.is_empty() {
        context
            .output
            .say("At rest: the master key is kept outside the node.");
    }
    let mut wrapping = Vec::new();
    for (at, key) in status.wrapping.iter().enumerate() {
        let retired = (key.retired_ms > 0).then(|| time(key.retired_ms));
        let what = match (&retired, at) {
            (Some(retired), _) => format!("wraps nothing since {}", retired.spoken()),
            (None, 0) => format!("wraps {} data keys", key.rows),
            (None, _) => format!("still wraps {} data keys", key.rows),
        };
        context.output.say(format_args!(
            "At rest: wrapping key {}, made {}, {what}.",
            key.id,
            time(key.made_ms).spoken()
        ));
        wrapping.push(json!({
            "id": key.id,
            "made": time(key.made_ms).to_string(),
            "retired": retired.map(|retired| retired.to_string()),
            "rows": key.rows,
        }));
    }
    json!({"masters": status.masters, "wrapping": wrapping, "left": status.left})
}
