//! The machine: its clock, its disk, and the database's file on it.

use std::io::Read as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::{Context, Looks};
use crate::cli::roster::trust;
use crate::node::Config;
use crate::roster::{CLOCK_TOLERANCE, Timestamp};

/// What mends a clock.
const SET_THE_CLOCK: &str = "set this machine's clock, and have a time service keep it right; if it was ahead once, `wayhome roster accept-clock --yes` afterwards";

/// Below so many octets free, work will soon end.
const LITTLE: u64 = 1 << 30;

/// Below so many octets free, work is about to end.
const TOO_LITTLE: u64 = 100 << 20;

/// What a file of the embedded database begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

pub(super) async fn look(context: &Context, config: Option<&Config>, looks: &mut Looks) {
    clock(context, config, looks);
    time_service(looks).await;
    disk(context.directory.path(), looks).await;
    if let Some(config) = config {
        database(context, config, looks);
    }
}

/// Whether the clock is behind what this directory has seen already.
fn clock(context: &Context, config: Option<&Config>, looks: &mut Looks) {
    let now = context.ambient.now();
    let directory = &context.directory;
    let mut seen = Vec::new();
    if let Ok(trust) = trust::with_roster(context) {
        seen.push((trust.last_seen(), "a command here"));
        if let Some(roster) = trust.roster() {
            seen.push((roster.roster().issued.unix(), "the roster"));
        }
    }
    let mut files = vec![
        directory.file("node.toml"),
        directory.file("roster.note"),
        directory.guard(),
    ];
    files.extend(config.and_then(|config| config.database.file(directory)));
    let written = files
        .iter()
        .filter_map(|file| std::fs::metadata(file).ok()?.modified().ok())
        .filter_map(|time| time.duration_since(UNIX_EPOCH).ok())
        .map(|time| (time.as_secs(), "a file here"));
    seen.extend(written);
    match seen.into_iter().max() {
        Some((time, by)) if time > now + CLOCK_TOLERANCE => looks.wrong(
            "clock",
            format!(
                "this machine says {}, and {by} is of {}",
                Timestamp::from_unix(now),
                Timestamp::from_unix(time)
            ),
            SET_THE_CLOCK,
        ),
        _ => looks.good(
            "clock",
            format!("this machine says {}", Timestamp::from_unix(now)),
        ),
    }
}

/// Whether anything keeps the clock right, where the system says so.
async fn time_service(looks: &mut Looks) {
    let asked = said(&[
        "timedatectl",
        "show",
        "--property=NTPSynchronized",
        "--value",
    ])
    .await;
    if asked.is_some_and(|said| said.trim() == "no") {
        looks.soon(
            "clock",
            "no time service has set it, and members refuse messages that are a minute off",
            "run a time service: `timedatectl set-ntp true`, or chrony",
        );
    }
}

/// How much room is left where the directory is.
async fn disk(directory: &Path, looks: &mut Looks) {
    let path = directory.display().to_string();
    let free = said(&["df", "-Pk", &path]).await.and_then(|said| {
        // POSIX: a header, then device, blocks, used, available, ...
        let line = said.lines().nth(1)?.to_owned();
        let available: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
        Some(available * 1024)
    });
    let Some(free) = free else {
        looks.soon(
            "disk",
            "how much room is left cannot be seen here",
            "look at it by other means: the evidence grows with every act",
        );
        return;
    };
    let told = format!("{} MiB are free", free >> 20);
    let remedy =
        "make room: evidence grows with every act, and a node that cannot write answers nobody";
    match free {
        free if free < TOO_LITTLE => looks.wrong("disk", told, remedy),
        free if free < LITTLE => looks.soon("disk", told, remedy),
        _ => looks.good("disk", told),
    }
}

/// Whether the database's file is one. Nothing in it is touched: opening it is the node's.
fn database(context: &Context, config: &Config, looks: &mut Looks) {
    const RESTORE: &str = "put the newest copy back, or `wayhome backup restore`: docs/operations.md, Backup and restore";
    let Some(file) = config.database.file(&context.directory) else {
        // A server's database is the node's to ask.
        return;
    };
    let mut first = Vec::new();
    let read = std::fs::File::open(&file)
        .and_then(|file| file.take(SQLITE.len() as u64).read_to_end(&mut first));
    let name = file.display();
    match read {
        Ok(_) if first == SQLITE => looks.good("database", format!("{name} is there")),
        Ok(_) => looks.wrong("database", format!("{name} is no database"), RESTORE),
        // The guard is written with the first leaf: then there was a database.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if context.directory.guard().exists() {
                looks.wrong(
                    "database",
                    format!("{name} is gone, and there was a log in it"),
                    RESTORE,
                );
            } else {
                looks.good("database", "the first start makes it");
            }
        }
        Err(error) => looks.wrong(
            "database",
            format!("{name}: {error}"),
            "run this as the user that runs the node, and look at the file's permissions",
        ),
    }
}

/// What a program of the system says; `None` if it is not there or fails.
async fn said(command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(5), output)
        .await
        .ok()?
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
