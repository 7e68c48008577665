//! `wayhome doctor`: what is wrong is named, with what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::coalition::Coalition;
use crate::office::{ADMINISTRATOR, PASSWORD, code};
use crate::process::run;

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
