//! The program itself as processes: nodes that can be killed, and commands as people type them.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Says that a test, or a part of one, is left out because `tool` is missing here. Where the run promises
/// that the tool is there, by `WAYHOME_TESTS_WHOLE`, that is a failure.
pub fn left_out(tool: &str, why: &str) {
    let promised = std::env::var("WAYHOME_TESTS_WHOLE").unwrap_or_default();
    let promised = promised.split_whitespace().any(|promised| promised == tool);
    assert!(
        !promised,
        "{tool} was found when the tests began, and now: {why}"
    );
    println!("left out: {why}");
}

/// How often or how many, in a run of ordinary length; `WAYHOME_TEST_SCALE` makes it longer.
pub fn scaled(count: usize) -> usize {
    let scale = std::env::var("WAYHOME_TEST_SCALE").ok();
    let scale = scale.map_or(1, |scale| {
        scale
            .parse::<usize>()
            .expect("WAYHOME_TEST_SCALE is a number")
    });
    count * scale.max(1)
}

/// Whether this is a run that takes its time, and has the machine to itself: then what is said of
/// speed is held to figures as well.
pub fn at_length() -> bool {
    std::env::var_os("WAYHOME_TEST_SCALE").is_some()
}

/// Waits until something is so.
pub async fn comes(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !there().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"));
}

/// A Python that can import these modules; none, with a word, where there is none here.
pub async fn python(modules: &str) -> Option<String> {
    let given = std::env::var("WAYHOME_TEST_PYTHON").ok();
    let usual = ["python3", "/usr/bin/python3"].map(str::to_owned);
    for program in given.into_iter().chain(usual) {
        let tried = Command::new(&program)
            .args(["-c", &format!("import {modules}")])
            .stderr(Stdio::null())
            .status()
            .await;
        if tried.is_ok_and(|status| status.success()) {
            return Some(program);
        }
    }
    let why = format!("no Python that can import {modules} is installed here");
    left_out("python3", &why);
    None
}

/// A command of the program in a party's directory.
pub fn wayhome(directory: &Path) -> Command {
    let mut command = program();
    command.arg("--dir").arg(directory);
    command
}

/// The program, untouched by what this process's own environment says to it.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wayhome"));
    command
        .env_remove("RUST_LOG")
        .env_remove("WAYHOME_TEST_TAP")
        .env_remove("WAYHOME_TEST_KILL_AT")
        .env_remove("WAYHOME_SESSION")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The one object that `--json` prints.
    pub fn object(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "not one line: {self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command to its end.
pub async fn run(directory: &Path, arguments: &[&str]) -> Said {
    finish(wayhome(directory).args(arguments)).await
}

/// As [`run`], for a command that was put together elsewhere.
pub async fn finish(command: &mut Command) -> Said {
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("the command did not end")
        .unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A node in a process of its own; dropped, it is killed.
pub struct NodeProcess(Child);

impl NodeProcess {
    /// Starts the node of a directory and waits until it is ready.
    pub async fn start(directory: &Path) -> Self {
        Self::start_with(directory, None).await
    }

    /// As [`NodeProcess::start`], but the node kills itself (SIGKILL) when it comes to a place.
    pub async fn start_to_die_at(directory: &Path, place: &str) -> Self {
        Self::start_with(directory, Some(place)).await
    }

    async fn start_with(directory: &Path, die_at: Option<&str>) -> Self {
        let mut command = wayhome(directory);
        if let Some(place) = die_at {
            command.env("WAYHOME_TEST_KILL_AT", place);
        }
        Self::start_as(directory, command).await
    }

    /// As [`NodeProcess::start`], from a command that was put together elsewhere.
    pub async fn start_as(directory: &Path, mut command: Command) -> Self {
        let log = std::fs::File::create(directory.join("node.log")).unwrap();
        let mut child = command
            .args(["--json", "run"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .expect("the node did not become ready")
            .unwrap()
            .unwrap_or_default();
        let log = || std::fs::read_to_string(directory.join("node.log")).unwrap();
        assert!(line.contains("\"ready\":true"), "{line}\n{}", log());
        Self(child)
    }

    /// Waits until it is gone, and says whether it was killed.
    pub async fn was_killed(mut self) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let gone = tokio::time::timeout(PATIENCE, self.0.wait()).await;
        gone.expect("the node goes on").unwrap().signal() == Some(9)
    }

    /// Kills it on the spot (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) {
        self.0.start_kill().unwrap();
        self.0.wait().await.unwrap();
    }

    /// How much memory it holds, in octets.
    pub fn resident(&self) -> u64 {
        let pid = self.0.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = held.unwrap().split_whitespace().next().unwrap();
        kibibytes.parse::<u64>().unwrap() * 1024
    }

    /// Sends it a signal.
    pub async fn signal(&self, signal: &str) {
        terminate(&self.0, signal).await;
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn stop(mut self) -> ExitStatus {
        terminate(&self.0, "TERM").await;
        tokio::time::timeout(PATIENCE, self.0.wait())
            .await
            .expect("the node did not stop")
            .unwrap()
    }
}

/// Sends a signal to a process that this test started.
pub async fn terminate(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.await.unwrap().success());
}
