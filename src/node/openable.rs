//! What is kept so that an ombudsman can have elements of blinded batches opened, destroyed in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pause::pause;
use crate::exchange::{Party, evaluate};

/// How often it is looked at: what is too old goes on the day on which it becomes so.
const ROUND: Duration = Duration::from_secs(3600);

/// Looks, at once and every hour, until the node stops.
pub async fn keep(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    loop {
        match evaluate::forget_inputs(&party).await {
            Ok(0) => {}
            Ok(batches) => {
                tracing::info!(
                    batches,
                    "what blinded batches of searches hid was destroyed"
                );
            }
            Err(error) => {
                tracing::error!(%error, "what blinded batches of searches hid is not destroyed");
            }
        }
        if !pause(ROUND, &mut stopped).await {
            return;
        }
    }
}
