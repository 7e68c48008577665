//! The disclosure policy as a file of the node's directory: read at the start, taken anew when it
//! changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::directory::Directory;
use super::run::NodeError;
use crate::exchange::Party;
use crate::exchange::policy::{self, Policy, PolicyInForce};
use crate::store::{Store, StoreError};

/// The file's name in the directory.
pub const FILE: &str = "policy.cedar";

/// How often the file is looked at.
const WATCH: Duration = Duration::from_secs(1);

/// The policy that was in force when the node last ran.
///
/// # Errors
/// If the store fails. A kept policy that this program cannot follow any more counts as none, so
/// that the file has to be right.
pub async fn kept(store: &Store) -> Result<PolicyInForce, NodeError> {
    let kept = store.setting(policy::SETTING).await?;
    let policy = kept
        .and_then(|text| String::from_utf8(text).ok())
        .and_then(|text| Policy::parse(&text).ok());
    Ok(PolicyInForce::at_start(policy))
}

/// Takes the file at the node's start. Without one the policy last in force stays, and without that
/// the shipped one is taken.
///
/// # Errors
/// If the file cannot be followed and no earlier policy is known, or the store fails.
pub async fn take_at_start(directory: &Directory, party: &Party) -> Result<(), NodeError> {
    match take(directory, party).await {
        // Nobody is answered before the log is signed; the watch takes the policy then.
        Err(NodeError::Store(error @ StoreError::NotSigned(_))) => {
            tracing::warn!(%error, "the disclosure policy is taken later");
            Ok(())
        }
        outcome => outcome,
    }
}

async fn take(directory: &Directory, party: &Party) -> Result<(), NodeError> {
    let known = party.policy_in_force().recorded;
    match directory.read_if_there(FILE)? {
        Some(text) => match policy::adopt(party, &text).await? {
            Err(error) if !known => Err(NodeError::Policy {
                path: directory.file(FILE).display().to_string(),
                error,
            }),
            // The one before stays in force; that was said loudly.
            Ok(_) | Err(_) => Ok(()),
        },
        None if known => {
            missing(directory);
            Ok(())
        }
        None => policy::adopt(party, policy::DEFAULT)
            .await?
            .map(|_| ())
            .map_err(|error| NodeError::Policy {
                path: "the shipped policy".to_owned(),
                error,
            }),
    }
}

fn missing(directory: &Directory) {
    tracing::warn!(
        path = %directory.file(FILE).display(),
        "there is no policy file: the policy that was last in force stays"
    );
}

/// Takes the file whenever it changes, and on SIGHUP.
pub async fn watch(directory: Directory, party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be waited for");
            return;
        }
    };
    let state = || {
        std::fs::metadata(directory.file(FILE))
            .and_then(|metadata| Ok((metadata.modified()?, metadata.len())))
            .ok()
    };
    // Unknown until the file was taken: it may have changed while the node was down and its log could
    // not be signed at the start, and what could not be recorded is tried again. That there is no
    // file was said at the start.
    let mut last = state().is_none().then_some(None);
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(WATCH) => false,
            _ = hangup.recv() => true,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let now = state();
        if !party.policy_in_force().recorded {
            if let Err(error) = take_at_start(&directory, &party).await {
                tracing::error!(%error, "the disclosure policy could not be taken");
            }
            continue;
        }
        if last == Some(now) && !asked {
            continue;
        }
        let taken = match directory.read_if_there(FILE) {
            // A failure stands in the status, and was said loudly.
            Ok(Some(text)) => policy::adopt(&party, &text).await.is_ok(),
            Ok(None) => {
                missing(&directory);
                true
            }
            Err(error) => {
                policy::not_in_force(&party, "POLICY_UNREADABLE", error.to_string());
                false
            }
        };
        last = taken.then_some(now);
    }
}
