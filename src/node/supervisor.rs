//! What the service manager is told: that the node serves, that it stops, that it is alive.
//!
//! The protocol is that of sd_notify(3): datagrams of `NAME=VALUE` lines to the socket that
//! `NOTIFY_SOCKET` names. Without that variable nobody is told anything.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::sync::watch;

use super::pause::pause;

/// The service manager that started this process, if one did.
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names.
    #[must_use]
    pub fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let opened = address(name.as_bytes()).and_then(|address| {
                let socket = UnixDatagram::unbound()?;
                // A manager that reads nothing must not stop the node.
                socket.set_nonblocking(true)?;
                Ok((socket, address))
            });
            opened
                .inspect_err(|error| tracing::warn!(%error, "the service manager is not told"))
                .ok()
        });
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        Self {
            socket,
            watchdog: number("WATCHDOG_USEC")
                .filter(|micros| ours && *micros > 0)
                .map(Duration::from_micros),
        }
    }

    /// The node serves at `address`.
    pub fn ready(&self, address: std::net::SocketAddr) {
        self.tell(&format!("READY=1\nSTATUS=Serving at {address}"));
    }

    /// How the node is, in a line for people.
    pub fn status(&self, line: &str) {
        self.tell(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// The node stops: what it has begun is brought to its end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Finishing what was begun");
    }

    /// Says that this process is alive, twice in each interval that the manager allows, until the
    /// node stops. What does not run any more says nothing, and is started anew.
    pub async fn stay_alive(&self, mut stopped: watch::Receiver<bool>) {
        let Some(allowed) = self.watchdog else {
            return;
        };
        loop {
            self.tell("WATCHDOG=1");
            if !pause(allowed / 2, &mut stopped).await {
                return;
            }
        }
    }

    fn tell(&self, lines: &str) {
        if let Some((socket, address)) = &self.socket {
            // Nothing depends on its being heard.
            let _ = socket.send_to_addr(lines.as_bytes(), address);
        }
    }
}

/// The address of a socket by its path, or by its name in the abstract namespace after an `@`.
fn address(name: &[u8]) -> std::io::Result<SocketAddr> {
    match name.strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => Err(std::io::Error::from(std::io::ErrorKind::Unsupported)),
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_paths_or_abstract_names() {
        let path = address(b"/run/systemd/notify").unwrap();
        assert_eq!(
            path.as_pathname(),
            Some(std::path::Path::new("/run/systemd/notify"))
        );
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt as _;
            let hidden = address(b"@wayhome").unwrap();
            assert_eq!(hidden.as_abstract_name(), Some(&b"wayhome"[..]));
        }
    }
}
