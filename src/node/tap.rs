//! A tap on decrypted connections, for the test that no personal data travels. It exists in debug
//! builds only; a release has no such code.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Writes what a connection carries to two files.
pub struct Tap {
    read: File,
    written: File,
}

impl Tap {
    /// Taps if `WAYHOME_TEST_TAP` names a directory.
    pub fn from_environment() -> Option<Self> {
        let directory = std::env::var_os("WAYHOME_TEST_TAP")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let open = |direction: &str| {
            let name = format!("{}-{number}-{direction}.h2", std::process::id());
            File::create(Path::new(&directory).join(name)).ok()
        };
        Some(Self {
            read: open("in")?,
            written: open("out")?,
        })
    }

    pub fn read(&mut self, bytes: &[u8]) {
        let _ = self.read.write_all(bytes);
    }

    pub fn written(&mut self, bytes: &[u8]) {
        let _ = self.written.write_all(bytes);
    }
}
