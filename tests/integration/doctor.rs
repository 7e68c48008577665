//! `wayhome doctor`: what is wrong is named, with what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::coalition::Coalition;
use crate::office::{ADMINISTRATOR, PASSWORD, code};
use crate::process::{Said, finish, run, wayhome};

/// How each thing was found to be.
fn looks<'a>(object: &'a Value, what: &str) -> Vec<(&'a str, &'a str)> {
    object["looks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|look| look["what"] == what)
        .map(|look| {
            (
                look["how"].as_str().unwrap(),
                look["remedy"].as_str().unwrap(),
            )
        })
        .collect()
}

/// Claims the first account, as an administrator does, and gives the secret of its authenticator.
async fn claim(directory: &Path, password: &str) -> String {
    let said = run(directory, &["--json", "accounts", "first-code"]).await;
    let object = said.object();
    let first = object["code"].as_str().unwrap();
    let command = ["--json", "accounts", "claim", ADMINISTRATOR];
    let options = ["--code", first, "--password-file", password];
    let said = run(directory, &[command, options].concat()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said.object()["secret"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_accounts_is_looked_at_by_who_is_signed_in() {
    let coalition = Coalition::start().await;
    let directory = coalition.path("ua");
    let password = directory.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let password = password.display().to_string();
    let secret = claim(&directory, &password).await;

    let said = run(&directory, &["--json", "doctor"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let object = said.object();
    for what in ["log", "membership", "peer"] {
        let found = looks(&object, what);
        assert!(
            found.len() == 1 && found[0].0 == "wrong" && found[0].1.contains("signed in"),
            "{what}: {object:#}"
        );
    }

    let code = code(&secret, coalition.ambient.now());
    let command = ["--json", "accounts", "sign-in", ADMINISTRATOR];
    let options = ["--code", code.as_str(), "--password-file", &password];
    let said = run(&directory, &[command, options].concat()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = run(&directory, &["--json", "doctor"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    for what in ["node", "log", "membership"] {
        assert_eq!(looks(&object, what), [("good", "")], "{what}: {object:#}");
    }
    assert_eq!(looks(&object, "peer").len(), 2, "{object:#}");
}

/// Programs that say what a system would say of itself, found before the real ones.
struct System(tempfile::TempDir);

impl System {
    fn new() -> Self {
        let system = Self(tempfile::tempdir().unwrap());
        system.has_free(50 << 20);
        system.keeps_time("yes");
        system
    }

    fn has(&self, program: &str, script: &str) {
        let path = self.0.path().join(program);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn has_free(&self, kibibytes: u64) {
        self.has(
            "df",
            &format!(
                "echo Filesystem 1024-blocks Used Available Capacity Mounted\necho /dev/disk 90000000 1 {kibibytes} 1% /"
            ),
        );
    }

    fn keeps_time(&self, how: &str) {
        self.has("timedatectl", &format!("echo {how}"));
    }

    /// What the doctor says on this system, by a clock that is off by so many seconds.
    async fn doctor(&self, directory: &Path, seconds_off: i64) -> Said {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.0.path().display());
        let now = wayhome::ambient::Ambient::system().now();
        let clock = now.saturating_add_signed(seconds_off).to_string();
        let mut command = wayhome(directory);
        command
            .args(["--json", "doctor"])
            .env("PATH", path)
            .env("WAYHOME_TEST_CLOCK", clock);
        finish(&mut command).await
    }

    /// How one thing was found; the worst, if it was looked at more than once.
    async fn finds(&self, directory: &Path, seconds_off: i64, what: &str) -> String {
        let said = self.doctor(directory, seconds_off).await;
        let object = said.object();
        let found = looks(&object, what);
        let worst = ["wrong", "soon", "good"]
            .into_iter()
            .find(|how| found.iter().any(|(found, _)| found == how));
        for (how, remedy) in &found {
            assert_eq!(*how == "good", remedy.is_empty(), "{what}: {object:#}");
        }
        worst.unwrap_or("not looked at").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_disk_database_keys_and_roster_are_looked_at_without_a_node() {
    const DAY: i64 = 86_400;
    let mut coalition = Coalition::found(|_| {});
    let directory = coalition.path("ua");
    coalition.start_node("ua").await;
    coalition.stop_node("ua").await;
    let system = System::new();
    let finds = async |what: &str| system.finds(&directory, 0, what).await;

    for what in ["clock", "disk", "database", "keys", "root", "roster"] {
        assert_eq!(finds(what).await, "good", "{what}");
    }
    assert_eq!(finds("expiry").await, "not looked at");

    // Clock: behind what is here already; kept by nobody.
    assert_eq!(system.finds(&directory, -DAY, "clock").await, "wrong");
    system.keeps_time("no");
    assert_eq!(finds("clock").await, "soon");
    system.keeps_time("yes");

    // What runs out: the roster of this coalition is good for 90 days.
    assert_eq!(system.finds(&directory, 70 * DAY, "expiry").await, "soon");

    // Disk.
    system.has_free(500 << 10);
    assert_eq!(finds("disk").await, "soon");
    system.has_free(50 << 10);
    assert_eq!(finds("disk").await, "wrong");
    system.has("df", "exit 1");
    assert_eq!(finds("disk").await, "soon");
    system.has_free(50 << 20);

    // Database: not yet made, made, gone, something else.
    coalition.start_node("ua").await;
    assert_eq!(finds("database").await, "good");
    coalition.stop_node("ua").await;
    assert_eq!(finds("database").await, "good");
    let file = directory.join("wayhome.db");
    let aside = directory.join("aside");
    std::fs::rename(&file, &aside).unwrap();
    assert_eq!(finds("database").await, "wrong");
    std::fs::write(&file, "no database").unwrap();
    assert_eq!(finds("database").await, "wrong");
    std::fs::rename(&aside, &file).unwrap();
    assert_eq!(finds("database").await, "good");

    // Keys: one is gone, one is open to others.
    let key = directory.join("keys/signing.key");
    std::fs::rename(&key, &aside).unwrap();
    assert_eq!(finds("keys").await, "wrong");
    std::fs::rename(&aside, &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(finds("keys").await, "wrong");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(finds("keys").await, "good");

    // Roster: altered after it was signed; not there.
    let roster = directory.join("roster.note");
    let text = std::fs::read_to_string(&roster).unwrap();
    std::fs::write(&roster, text.replacen("\"Test\"", "\"Tost\"", 1)).unwrap();
    assert_eq!(finds("roster").await, "wrong");
    std::fs::remove_file(&roster).unwrap();
    assert_eq!(finds("roster").await, "soon");
    std::fs::write(&roster, text).unwrap();
    assert_eq!(finds("roster").await, "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyholder_without_its_share_is_told_so() {
    let mut coalition = Coalition::found(|_| {});
    let directory = coalition.path("ua");
    for entry in std::fs::read_dir(directory.join("keys")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("share-") {
            std::fs::remove_file(path).unwrap();
        }
    }
    coalition.start_node("ua").await;
    let object = run(&directory, &["--json", "doctor"]).await.object();
    let share = looks(&object, "share");
    assert!(
        share.len() == 1 && share[0].0 == "wrong" && share[0].1.contains("ceremony repair"),
        "{object:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_no_partys_is_said_to_be_none_and_nothing_more() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for place in [home.path(), &home.path().join("nowhere"), &file] {
        let said = run(place, &["--json", "doctor"]).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        let object = said.object();
        assert_eq!(object["looks"].as_array().unwrap().len(), 1, "{object:#}");
        let found = looks(&object, "directory");
        assert!(
            found[0].0 == "wrong" && found[0].1.contains("--dir"),
            "{object:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_well_is_found_well_and_what_is_wrong_is_named() {
    let mut coalition = Coalition::start().await;
    let directory = coalition.path("ua");
    let said = run(&directory, &["--json", "doctor"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    for what in [
        "directory",
        "configuration",
        "keys",
        "root",
        "roster",
        "node",
        "log",
        "membership",
        "coalition key",
        "clock",
        "disk",
    ] {
        assert_eq!(looks(&object, what), [("good", "")], "{what}: {object:#}");
    }
    assert_eq!(
        looks(&object, "peer"),
        [("good", ""), ("good", "")],
        "{object:#}"
    );

    coalition.stop_node("pl").await;
    let object = run(&directory, &["--json", "doctor"]).await.object();
    let peers = looks(&object, "peer");
    assert_eq!(
        peers.iter().filter(|(how, _)| *how == "soon").count(),
        1,
        "{object:#}"
    );

    coalition.stop_node("ua").await;
    std::fs::write(directory.join("node.toml"), "member = 1").unwrap();
    std::fs::remove_file(directory.join("root.note")).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = run(&directory, &["--json", "doctor"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let object = said.object();
    assert_eq!(object["ok"], false);
    for what in ["directory", "configuration", "root", "node"] {
        let found = looks(&object, what);
        assert_eq!(found.len(), 1, "{what}: {object:#}");
        assert!(
            found[0].0 == "wrong" && !found[0].1.is_empty(),
            "{what}: {object:#}"
        );
    }
    let for_people = run(&directory, &["doctor"]).await;
    assert!(
        for_people
            .out
            .contains("WRONG  directory: others can reach into it"),
        "{for_people:?}"
    );
}
