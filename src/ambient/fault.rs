//! Places at which a test can have the process die. They exist in debug builds only; a release has no
//! such code.

/// Kills this process on the spot (SIGKILL), if `WAYHOME_TEST_KILL_AT` names this place.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::process::Command;

    if std::env::var_os("WAYHOME_TEST_KILL_AT").is_some_and(|place| place == name) {
        let _ = Command::new("kill")
            .args(["-s", "KILL", &std::process::id().to_string()])
            .status();
        // The signal is on its way: nothing more is done here.
        loop {
            std::thread::park();
        }
    }
}

/// Nothing, in a release.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &str) {}
