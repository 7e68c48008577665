//! What time does to requests and to what was told, telling those who were told something what becomes
//! of it, and telling people that something waits for them.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::watch;

use super::config::Notify;
use super::pause::pause;
use super::webhook;
use crate::exchange::Party;
use crate::exchange::disclose::{self, Reminder, Waiting, Way};
use crate::roster::Timestamp;
use crate::store::StoreError;

/// How often requests are looked at.
const ROUND: Duration = Duration::from_secs(1);

/// How long a program that tells people may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most reminders that one round sends.
const AT_ONCE: u64 = 20;

/// Longest time between two attempts, in milliseconds: 15 minutes.
const MAX_PAUSE_MS: u64 = 15 * 60_000;

/// How long a reminder is tried, in milliseconds: a week. By then its request speaks for itself.
const GIVE_UP_MS: u64 = 7 * 86_400_000;

/// Looks at requests until the node stops.
pub async fn work(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    while pause(ROUND, &mut stopped).await {
        if let Err(error) = disclose::tick(&party).await {
            tracing::error!(%error, "requests could not be looked at");
        }
    }
}

/// Sends notices to those who were told something until the node stops. Beside the others: a member that
/// does not answer holds up no deadline and no erasure here.
pub async fn notify(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    while pause(ROUND, &mut stopped).await {
        if let Err(error) = disclose::send_notices(&party).await {
            tracing::error!(%error, "notices could not be sent");
        }
    }
}

/// Sends reminders until the node stops. Beside the other: a way that takes long holds up no request.
pub async fn send(
    party: Arc<Party>,
    notify: Notify,
    directory: std::path::PathBuf,
    mut stopped: watch::Receiver<bool>,
) {
    while pause(ROUND, &mut stopped).await {
        if let Err(error) = send_due(&party, &notify, &directory).await {
            tracing::error!(%error, "reminders could not be sent");
        }
    }
}

async fn send_due(
    party: &Arc<Party>,
    notify: &Notify,
    directory: &std::path::Path,
) -> Result<(), StoreError> {
    for waiting in disclose::reminders_due(party, AT_ONCE).await? {
        let object = object(party.id().as_str(), &waiting.reminder);
        let told = match waiting.reminder.way {
            Way::Command => run(&notify.command, &object).await,
            Way::Webhook => match &notify.webhook {
                Some(address) => {
                    let trust = notify.webhook_ca.as_ref().map(|path| directory.join(path));
                    webhook::post(address, trust.as_deref(), &object)
                        .await
                        .map_err(|error| error.to_string())
                }
                None => Ok(()),
            },
        };
        match told {
            Ok(()) => party.store().drop_reminder(waiting.id).await?,
            Err(why) => put_off(party, &waiting, &why).await?,
        }
    }
    Ok(())
}

async fn put_off(party: &Party, waiting: &Waiting, why: &str) -> Result<(), StoreError> {
    let now_ms = party.ambient().now_ms();
    let attempts = waiting.attempts + 1;
    let given_up = now_ms.saturating_sub(waiting.reminder.since_ms) > GIVE_UP_MS;
    tracing::error!(
        alert = "notify",
        way = ?waiting.reminder.way,
        attempts,
        given_up,
        why,
        "people could not be told that a request waits (see [notify] in node.toml)"
    );
    if given_up {
        return party.store().drop_reminder(waiting.id).await;
    }
    let pause = (1_000_u64 << attempts.min(12)).min(MAX_PAUSE_MS);
    party
        .store()
        .put_off(waiting.id, attempts, now_ms + pause)
        .await
}

/// What people are told. Nothing in it is personal: the request's id, who asks, and by when.
fn object(member: &str, reminder: &Reminder) -> String {
    serde_json::json!({
        "event": reminder.event,
        "node": member,
        "request": reminder.request,
        "member": reminder.member,
        "answer_by": reminder
            .answer_by_ms
            .map(|ms| Timestamp::from_unix(ms / 1000).to_string()),
    })
    .to_string()
}

/// Runs the member's own program, if there is one.
async fn run(command: &[String], object: &str) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let told = async {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(format!("{object}\n").as_bytes()).await?;
        }
        child.wait().await
    };
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("the program failed: {status}")),
        Ok(Err(error)) => Err(format!("the program could not be run: {error}")),
        Err(_) => Err("the program took too long".to_owned()),
    }
}
