//! Running this very binary: commands that end, and nodes that stay.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a node is given to say that it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the demo could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A file or process of the demo.
    #[error("{what}: {source}")]
    System {
        /// What was done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command failed.
    #[error("`wayhome {command}` failed: {message}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        message: String,
    },
    /// A node did not start.
    #[error("the node of {member} did not start: {why}")]
    NodeStart {
        /// The member.
        member: String,
        /// What it said, or where its log is.
        why: String,
    },
    /// The demo's database server.
    #[error("the database: {why}")]
    Database {
        /// What it said, and what to do.
        why: String,
    },
    /// The registers are not what the demo needs.
    #[error("{0}")]
    Registers(String),
    /// No case of those drawn was found.
    #[error("none of {drawn} children drawn was found; the linkage or the registers are broken")]
    NothingFound {
        /// How many were drawn.
        drawn: usize,
    },
    /// The ombudsman found something wrong.
    #[error("the ombudsman's check failed: {0}")]
    Audit(String),
    /// Something in a story came out otherwise than it must.
    #[error("{0}")]
    Story(String),
    /// Somebody pressed Ctrl-C.
    #[error("stopped")]
    Interrupted,
}

impl DemoError {
    /// Wraps an error of the system.
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// This binary.
#[derive(Clone)]
pub struct Wayhome {
    binary: PathBuf,
    /// Log level of the nodes, as `RUST_LOG` takes it.
    log: String,
}

impl Wayhome {
    /// Finds the binary that is running.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn this(log: &str) -> Result<Self, DemoError> {
        let binary = std::env::current_exe().map_err(DemoError::system("finding this binary"))?;
        Ok(Self {
            binary,
            log: log.to_owned(),
        })
    }

    /// Runs a command in a party's directory to its end and returns its JSON object.
    ///
    /// # Errors
    /// What the command said, if it failed.
    pub async fn command(&self, directory: &Path, arguments: &[&str]) -> Result<Value, DemoError> {
        let (object, failure) = self.try_command(directory, arguments).await?;
        match failure {
            None => Ok(object),
            Some(message) => Err(DemoError::Command {
                command: arguments.join(" "),
                message,
            }),
        }
    }

    /// As [`Wayhome::command`], but a failed command still gives its object, with what it said.
    ///
    /// # Errors
    /// If the command cannot be run at all.
    pub async fn try_command(
        &self,
        directory: &Path,
        arguments: &[&str],
    ) -> Result<(Value, Option<String>), DemoError> {
        let output = Command::new(&self.binary)
            .arg("--json")
            .arg("--dir")
            .arg(directory)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(DemoError::system("running this binary"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let object = text
            .lines()
            .next_back()
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or(Value::Null);
        let failure = (!output.status.success()).then(|| {
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .trim_start_matches("error: ")
                .to_owned()
        });
        Ok((object, failure))
    }

    /// Starts a node and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready; its log file says why.
    pub async fn node(&self, member: &str, directory: &Path) -> Result<Node, DemoError> {
        let log = directory.join("node.log");
        let file =
            std::fs::File::create(&log).map_err(DemoError::system(log.display().to_string()))?;
        let mut child = Command::new(&self.binary)
            .arg("--json")
            .arg("--dir")
            .arg(directory)
            .arg("run")
            .env("RUST_LOG", &self.log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(DemoError::system("starting a node"))?;
        let not_started = |line: Option<&str>| DemoError::NodeStart {
            member: member.to_owned(),
            why: line
                .and_then(|line| serde_json::from_str::<Value>(line).ok())
                .and_then(|object| Some(object["error"]["message"].as_str()?.to_owned()))
                .unwrap_or_else(|| format!("see {}", log.display())),
        };
        let stdout = child.stdout.take().ok_or_else(|| not_started(None))?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
        match ready {
            Ok(Ok(Some(line))) if line.contains("\"ready\":true") => Ok(Node { child }),
            Ok(Ok(line)) => Err(not_started(line.as_deref())),
            _ => Err(not_started(None)),
        }
    }
}

/// A running node; dropped, it is killed.
pub struct Node {
    child: Child,
}

impl Node {
    /// Its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks the node to stop and waits until it has.
    ///
    /// # Errors
    /// If the system does not let us.
    pub async fn stop(mut self) -> Result<(), DemoError> {
        if let Some(pid) = self.child.id() {
            // The standard library cannot send SIGTERM; `kill` can, everywhere.
            let _ = Command::new("kill").arg(pid.to_string()).status().await;
        }
        let stopped = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        match stopped {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(DemoError::system("stopping a node")(error)),
            Err(_) => self
                .child
                .kill()
                .await
                .map_err(DemoError::system("stopping a node")),
        }
    }
}
