//! How people and supervisors end what runs on.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Ends at Ctrl-C or SIGTERM. From this call on neither ends the process by itself.
///
/// # Errors
/// If the system refuses to tell of signals.
pub fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
