//! What time does to requests and to what was told, and telling people that something waits for them.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::watch;

use super::config::Notify;
use crate::exchange::Party;
use crate::exchange::disclose::{self, Reminder};
use crate::roster::Timestamp;

/// How often requests are looked at.
const ROUND: Duration = Duration::from_secs(1);

/// How long a program that tells people may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at requests until the node stops.
pub async fn work(party: Arc<Party>, notify: Notify, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        match disclose::tick(&party).await {
            Ok(reminders) => {
                for reminder in reminders {
                    tell(&notify, party.id().as_str(), &reminder).await;
                }
            }
            Err(error) => tracing::error!(%error, "requests could not be looked at"),
        }
    }
}

/// Runs the member's own program. Nothing that it is given is personal: the request's id, who asks,
/// and by when.
async fn tell(notify: &Notify, member: &str, reminder: &Reminder) {
    let Some((program, arguments)) = notify.command.split_first() else {
        return;
    };
    let object = serde_json::json!({
        "event": reminder.event,
        "node": member,
        "request": reminder.request,
        "member": reminder.member,
        "answer_by": reminder
            .answer_by_ms
            .map(|ms| Timestamp::from_unix(ms / 1000).to_string()),
    });
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
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => {
            tracing::error!(alert = "notify", %status, "the program of [notify] failed");
        }
        Ok(Err(error)) => {
            tracing::error!(alert = "notify", %error, "the program of [notify] could not be run");
        }
        Err(_) => tracing::error!(alert = "notify", "the program of [notify] took too long"),
    }
}
