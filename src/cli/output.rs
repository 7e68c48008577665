//! How commands speak.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

/// Why a command failed, with its exit code.
#[derive(Debug)]
pub struct CliError {
    message: String,
    code: String,
    usage: bool,
    told: bool,
}

impl CliError {
    /// The command could not be done (exit code 1). `code` is for machines.
    pub fn failed(code: &str, message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            code: code.to_owned(),
            usage: false,
            told: false,
        }
    }

    /// What was given is wrong (exit code 2).
    pub fn input(code: &str, message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            code: code.to_owned(),
            usage: true,
            told: false,
        }
    }

    /// The command's own object has told machines already what is wrong: none is printed for the
    /// error.
    #[must_use]
    pub fn told(self) -> Self {
        Self { told: true, ..self }
    }

    /// What machines are told of it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }

    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

macro_rules! failures {
    ($($error:ty => $code:literal),+ $(,)?) => { $(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::failed($code, error)
            }
        }
    )+ };
}

failures! {
    crate::node::DirectoryError => "DIRECTORY",
    crate::node::NewOriginError => "NEW_ORIGIN",
    crate::node::IdentityError => "IDENTITY",
    crate::node::ConfigError => "CONFIG",
    crate::node::TlsError => "TLS",
    crate::node::NodeError => "NODE",
    crate::store::StoreError => "STORE",
}

impl From<crate::roster::RosterError> for CliError {
    fn from(error: crate::roster::RosterError) -> Self {
        Self::failed(error.code(), &error)
    }
}

impl From<crate::exchange::Refusal> for CliError {
    fn from(refusal: crate::exchange::Refusal) -> Self {
        Self::failed(refusal.code(), &refusal)
    }
}

impl From<crate::exchange::RemoteRefusal> for CliError {
    fn from(refusal: crate::exchange::RemoteRefusal) -> Self {
        Self {
            message: refusal.message,
            code: refusal.code,
            usage: false,
            told: false,
        }
    }
}

impl From<tonic::Status> for CliError {
    fn from(status: tonic::Status) -> Self {
        // What the node could not read was given on the command line.
        let usage = status.code() == tonic::Code::InvalidArgument;
        Self {
            usage,
            ..crate::exchange::RemoteRefusal::from(status).into()
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::failed("IO", error)
    }
}

/// Where and how a command prints.
#[derive(Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Plain text, or JSON.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether machines are listening.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A line for people; nothing with `--json`.
    pub fn say(&self, line: impl fmt::Display) {
        if !self.json {
            print_line(&line.to_string());
        }
    }

    /// The one object for machines; nothing without `--json`.
    pub fn object(&self, object: &Value) {
        if self.json {
            print_line(&object.to_string());
        }
    }

    /// Whether progress may be drawn: on a terminal, for people.
    #[must_use]
    pub fn draws_progress(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// An error, to standard error; with `--json` also as the object.
    pub fn error(&self, error: &CliError) {
        if self.json && !error.told {
            print_line(&json!({"ok": false, "error": error.to_json()}).to_string());
        }
        print_error_line(&format!("error: {error}"));
    }
}

/// Prints a line; a reader that went away (`| head`) is no failure.
fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
}

/// Prints a line to standard error; nobody has to read it.
fn print_error_line(line: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{line}");
}

/// Starts tracing to standard error. `RUST_LOG` overrides `level`.
pub fn start_tracing(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(draws_colours())
        .try_init();
}

/// Whether standard error may be coloured: on a terminal that can, unless `NO_COLOR` is set to anything.
fn draws_colours() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    std::io::stderr().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb")
}
