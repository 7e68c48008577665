//! Waiting between two rounds of what a node does again and again, and for the node's end.

use std::time::Duration;

use tokio::sync::watch;

/// Waits so long; false, and at once, if the node stops.
pub(super) async fn pause(duration: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(duration) => true,
        // An error means that the sender is gone, which stops the node as well.
        _ = stopped.wait_for(|stopped| *stopped) => false,
    }
}

/// Waits until the node stops.
pub(super) async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops the node as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
