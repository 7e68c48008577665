//! What is shipped beside the program: units, manifests, sample configurations.

use std::path::{Path, PathBuf};
use std::process::Command;

use wayhome::node::{Config, Directory};

use crate::process::{self, left_out};

/// Highest exposure that the unit may have, as `systemd-analyze security` counts it, in tenths.
const EXPOSURE: &str = "--threshold=15";

const UNIT: &str = "deploy/systemd/wayhome.service";

/// Runs a program and gives whether it was content, with all it said; nothing if it is not here.
fn outcome(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            left_out(program, &format!("{program} is not installed here"));
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let said = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[test]
fn the_unit_leaves_little_to_an_intruder() {
    let scored = |unit: &str| {
        outcome(
            "systemd-analyze",
            &["security", "--offline=true", EXPOSURE, unit],
        )
    };
    let Some((content, said)) = scored(UNIT) else {
        return;
    };
    assert!(content, "{said}");
    // The judge does judge: without its restrictions the same unit fails.
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("wayhome.service");
    let text: String = std::fs::read_to_string(UNIT)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("Protect") && !line.starts_with("SystemCall"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&open, text).unwrap();
    let (content, said) = scored(open.to_str().unwrap()).unwrap();
    assert!(!content, "{said}");
}

#[test]
fn the_unit_has_no_setting_that_systemd_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let place = |path: &str, text: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    use std::os::unix::fs::PermissionsExt as _;
    for program in ["usr/bin/wayhome", "bin/kill"] {
        let path = place(program, b"#!/bin/sh\n");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let text = std::fs::read_to_string(UNIT).unwrap();
    let unit = "etc/systemd/system/wayhome.service";
    let root = format!("--root={}", root.display());
    let verify = |text: &str| {
        let path = place(unit, text.as_bytes());
        let path = format!("/{}", path.strip_prefix(folder.path()).unwrap().display());
        outcome("systemd-analyze", &["verify", "--man=no", &root, &path])
    };
    let Some((_, said)) = verify(&text) else {
        return;
    };
    let about = |said: &str| {
        said.lines()
            .filter(|line| line.contains("wayhome.service") && !line.contains("not found"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(about(&said), Vec::<String>::new(), "{said}");
    let (_, said) = verify(&text.replace("ProtectClock=", "ProtectClocks=")).unwrap();
    assert!(about(&said)[0].contains("ProtectClocks"), "{said}");
}

/// Every file below `deploy` with this ending.
fn shipped(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == ending)
            {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn sample_configurations_are_read_by_the_node() {
    let samples = shipped("toml");
    assert!(samples.len() >= 4, "{samples:?}");
    let folder = tempfile::tempdir().unwrap();
    let read = |text: &str| {
        std::fs::write(folder.path().join("node.toml"), text).unwrap();
        Config::load(&Directory::new(folder.path()))
    };
    for sample in samples {
        let text = std::fs::read_to_string(&sample).unwrap();
        if let Err(error) = read(&text) {
            panic!("{}: {error}", sample.display());
        }
        // It is the node's own reader: a setting that it does not know would be told of.
        assert!(read(&format!("unheard_of = 1\n{text}")).is_err());
    }
}

#[test]
fn the_examples_in_the_documents_are_read_as_well() {
    let text = std::fs::read_to_string("docs/operations.md").unwrap();
    let (_, after) = text.split_once("\n## Configuration\n").unwrap();
    let (section, _) = after.split_once("\n## ").unwrap();
    let example: String = section
        .lines()
        .skip_while(|line| !line.starts_with("    member = "))
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("node.toml"), example).unwrap();
    let config = Config::load(&Directory::new(folder.path())).unwrap();
    assert_eq!(config.member.as_str(), "pl");
    assert_eq!(config.log.quorum, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_coalition_is_founded_by_the_shipped_script_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let trial = folder.path().join("trial");
    // Three ports in a row that were free a moment ago.
    let free = (0..50).find_map(|_| {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let tens = port / 10 * 10;
        let others: Vec<_> = (tens + 1..=tens + 3)
            .map(|port| std::net::TcpListener::bind(("127.0.0.1", port)))
            .collect();
        (tens > 1024 && others.iter().all(Result::is_ok)).then_some(port / 10)
    });
    let address = format!(
        "127.0.0.1:{}%n",
        free.expect("no three free ports in a row")
    );
    let founded = Command::new("deploy/found")
        .arg(&trial)
        .env("WAYHOME", env!("CARGO_BIN_EXE_wayhome"))
        .env("ADDRESS", &address)
        .env("LISTEN", &address)
        .output()
        .unwrap();
    assert!(
        founded.status.success(),
        "{}",
        String::from_utf8_lossy(&founded.stderr)
    );
    // The compose file runs exactly these members, each on its own directory.
    let compose = std::fs::read_to_string("deploy/container/compose.yaml").unwrap();
    for member in ["ua", "pl", "de"] {
        assert!(compose.contains(&format!("/{member}:/data\"")), "{member}");
        assert!(trial.join(member).join("node.toml").exists());
    }
    let start = |member: &str| {
        let directory = trial.join(member);
        async move { process::NodeProcess::start(&directory).await }
    };
    let (ua, pl, de) = tokio::join!(start("ua"), start("pl"), start("de"));
    for member in ["ua", "pl", "de"] {
        await_ready(&trial.join(member)).await;
    }
    let fetched = process::run(&trial.join("ua"), &["--json", "roster", "fetch"]).await;
    assert_eq!(fetched.code, Some(0), "{fetched:?}");
    for peer in ["pl", "de"] {
        assert!(
            fetched.out.contains(&format!("\"{peer}\"")),
            "{peer}: {fetched:?}"
        );
    }
    for node in [ua, pl, de] {
        assert!(node.stop().await.success());
    }
}

/// Waits until the node of a directory says that it answers its peers.
pub async fn await_ready(directory: &Path) {
    let ready = async {
        while process::run(directory, &["--json", "status", "--ready"])
            .await
            .code
            != Some(0)
        {}
    };
    if tokio::time::timeout(process::PATIENCE, ready)
        .await
        .is_err()
    {
        let said = process::run(directory, &["status", "--ready"]).await;
        panic!("{said:?}");
    }
}
