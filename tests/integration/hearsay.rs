//! A log that shows each peer another history is found when those two speak to each other.

use std::time::Duration;

use serde_json::Value;
use wayhome::envelope::NoteKey;
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::Act;
use wayhome::tlog::SignedCheckpoint;

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::forge::{Sent as _, lookup, refusal};
use crate::process::{Said, run};

/// Repeats something until it gives a value.
async fn until<T>(what: &str, mut is: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = async {
        loop {
            if let Some(found) = is().await {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(90), waited)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come about"))
}

/// One lookup by a party that tells nothing of what it has seen.
async fn ask(coalition: &Coalition, from: &str, to: &str) -> Result<(), String> {
    let channel = coalition.channel(from, to).await;
    let query = lookup(coalition, from, to, 1).sign();
    match pb::LookupQuery::send(channel, query).await {
        Ok(_) => Ok(()),
        Err(status) => Err(refusal(&status).1),
    }
}

/// What a node has found out about a party, once it has looked.
async fn found(coalition: &Coalition, id: &str, kind: &str) -> Value {
    until(kind, async || {
        // Its own rounds may have been quicker, so what this look itself finds does not matter.
        let _ = run(&coalition.path(id), &["--json", "log", "check"]).await;
        let shown = run(&coalition.path(id), &["--json", "log", "show"]).await;
        let findings = shown.object()["findings"].clone();
        let mut findings = findings.as_array().unwrap().iter();
        findings.find(|finding| finding["kind"] == kind).cloned()
    })
    .await
}

/// Takes a node back to an older database and makes it stand by it.
async fn put_back(coalition: &mut Coalition, id: &str, before: &[u8]) {
    coalition.stop_node(id).await;
    let database = coalition.path(id).join("wayhome.db");
    for side in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(database.with_extension(side));
    }
    std::fs::write(&database, before).unwrap();
    coalition.let_lie(id);
    coalition.start_node(id).await;
}

async fn taken(coalition: &mut Coalition, id: &str) -> Vec<u8> {
    coalition.stop_node(id).await;
    let before = std::fs::read(coalition.path(id).join("wayhome.db")).unwrap();
    coalition.start_node(id).await;
    before
}

async fn audit(coalition: &Coalition, member: &str) -> Said {
    let arguments = ["--json", "audit", "verify", member];
    run(&coalition.path(OMBUDSMAN), &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ombudsman_that_was_shown_another_history_tells_the_members() {
    let mut coalition = Coalition::start().await;
    let before = taken(&mut coalition, "pl").await;
    for _ in 0..4 {
        ask(&coalition, "de", "pl").await.unwrap();
    }
    let said = audit(&coalition, "pl").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let shown = said.object()["logs"][0]["leaves"].as_u64().unwrap();
    // Another history, longer than the one that the ombudsman has verified.
    put_back(&mut coalition, "pl", &before).await;
    for _ in 0..shown {
        ask(&coalition, "de", "pl").await.unwrap();
    }
    // It reads Germany's log, and Germany learns what the ombudsman was shown of Poland's.
    assert_eq!(audit(&coalition, "de").await.code, Some(0));
    let split = found(&coalition, "de", "SPLIT_VIEW").await;
    assert_eq!(split["member"], "pl");
    let detail = split["detail"].as_str().unwrap();
    assert!(detail.contains("showed ombudsman"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_shows_two_members_two_histories_is_found_when_they_speak() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    let before = taken(&mut coalition, "pl").await;
    // Ukraine is shown one history, and sees every promise in it kept.
    search(&coalition, "ua", "UA-1").await;
    let kept = run(&coalition.path("ua"), &["--json", "log", "check"]).await;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert_eq!(kept.object()["open"], 0, "{kept:?}");

    // Germany is shown another, which is longer.
    put_back(&mut coalition, "pl", &before).await;
    for _ in 0..12 {
        ask(&coalition, "de", "pl").await.unwrap();
    }
    // Alone, neither can know.
    let alone = run(&coalition.path("de"), &["--json", "log", "check"]).await;
    assert_eq!(alone.code, Some(0), "{alone:?}");

    // They speak.
    search(&coalition, "ua", "UA-1").await;
    let split = found(&coalition, "de", "SPLIT_VIEW").await;
    assert_eq!(split["member"], "pl");
    assert!(
        split["detail"].as_str().unwrap().contains("showed ua"),
        "{split}"
    );
    // Both checkpoints are signed by the log that is accused.
    let key: NoteKey = coalition
        .member("pl")
        .log
        .as_ref()
        .unwrap()
        .vkey
        .parse()
        .unwrap();
    let verified = |at: usize| {
        let note = split["proof"][at].as_str().unwrap();
        SignedCheckpoint::parse(note.as_bytes())
            .unwrap()
            .verify(std::slice::from_ref(&key))
            .unwrap()
    };
    assert!(verified(0).head().size <= verified(1).head().size);

    // It is a leaf, and an ombudsman who reads Germany's log is told, with the proof.
    until("the leaf of the split view", async || {
        let leaves = coalition.leaves("de", 0).await;
        let mut leaves = leaves.iter();
        leaves
            .find(|leaf| leaf.act() == Act::SplitViewFound && leaf.peer == "pl")
            .map(|_| ())
    })
    .await;
    let said = audit(&coalition, "de").await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let log = &said.object()["logs"][0];
    assert_eq!(log["verified"], true, "Germany's own log holds: {log:#}");
    let reported = &log["reported"][0];
    assert_eq!(reported["member"], "pl");
    assert_eq!(reported["proof"], split["proof"]);

    // Poland was told of the checkpoint that it had signed for Ukraine, and signs no more.
    found(&coalition, "pl", "LOG_LOST").await;
    assert_eq!(
        ask(&coalition, "de", "pl").await.unwrap_err(),
        "LOG_NOT_SIGNED"
    );
}
