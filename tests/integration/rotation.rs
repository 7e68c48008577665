//! The coalition key changes while the coalition works: every search is answered before, during and
//! after, nothing is lost when a node is killed in the middle, and what is old is destroyed.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use wayhome::proto::exchange::{Act, LogEntry};
use wayhome::proto::operator::search_service_client::SearchServiceClient;
use wayhome::proto::operator::{SearchRequest, SearchResponse};

use crate::coalition::{Coalition, MEMBERS};
use crate::process::{NodeProcess, PATIENCE, run};

const AT_HOME: &[(&str, &str)] = &[
    ("record_ref", "UA-1"),
    ("family_name", "Ковальчук"),
    ("given_name", "Сергій"),
    ("patronymic", "Олександрович"),
    ("sex", "male"),
    ("date_of_birth", "2014-03-09"),
    ("place_of_birth", "Маріуполь"),
    ("consent", "tracing"),
];

const ABROAD: &[(&str, &str)] = &[
    ("record_ref", "PL-1"),
    ("family_name", "Kowalczuk"),
    ("given_name", "Siergiej"),
    ("patronymic", "Aleksandrowicz"),
    ("sex", "male"),
    ("date_of_birth", "2014-03-09"),
    ("place_of_birth", "Mariupol"),
    ("consent", "tracing"),
];

/// Another child, by number.
fn another(number: usize) -> Vec<(&'static str, String)> {
    let day = number % 28 + 1;
    let year = 2008 + number / 28;
    vec![
        ("record_ref", format!("X-{number}")),
        ("family_name", "Шевченко".to_owned()),
        ("given_name", "Марія".to_owned()),
        ("date_of_birth", format!("{year}-05-{day:02}")),
        ("place_of_birth", "Херсон".to_owned()),
        ("consent", "tracing".to_owned()),
    ]
}

async fn import_others(coalition: &Coalition, id: &str, count: usize) {
    let others: Vec<_> = (0..count).map(another).collect();
    let others: Vec<Vec<(&str, &str)>> = others
        .iter()
        .map(|fields| {
            fields
                .iter()
                .map(|(name, text)| (*name, text.as_str()))
                .collect()
        })
        .collect();
    let others: Vec<&[(&str, &str)]> = others.iter().map(Vec::as_slice).collect();
    coalition.import(id, &others).await;
}

async fn search(coalition: &Coalition) -> SearchResponse {
    let mut client = SearchServiceClient::new(coalition.operator("ua").await);
    let mut results = client
        .search(SearchRequest {
            record_refs: vec!["UA-1".to_owned()],
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            case_reference: "CASE-1".to_owned(),
            members: vec!["pl".to_owned()],
            ..SearchRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let answer = results.message().await.unwrap().unwrap();
    assert_eq!(answer.error_message, "");
    answer
}

async fn finds(coalition: &Coalition) -> bool {
    search(coalition).await.results[0].grade == "MATCH"
}

/// How a node says it is.
async fn status(directory: &Path) -> Value {
    run(directory, &["--json", "status"]).await.object()
}

fn epoch_of(status: &Value, epoch: u64) -> Option<Value> {
    let epochs = status["epochs"].as_array().unwrap();
    epochs
        .iter()
        .find(|standing| standing["epoch"] == epoch)
        .cloned()
}

/// Waits until a node says what is wanted.
async fn until(directory: &Path, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let waiting = async {
        loop {
            let said = status(directory).await;
            if holds(&said) {
                return said;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

fn is_open(status: &Value, epoch: u64) -> bool {
    epoch_of(status, epoch).is_some_and(|standing| standing["open"] == true)
}

/// Waits until the log of a node has a leaf of such an act, and gives all that it has.
async fn leaves_with(coalition: &Coalition, id: &str, act: Act) -> Vec<LogEntry> {
    let waiting = async {
        loop {
            let leaves = coalition.leaves(id, 0).await;
            let found: Vec<_> = leaves
                .into_iter()
                .filter(|leaf| leaf.act() == act)
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("{id} never logged {}", act.as_str_name()))
}

fn share_files(coalition: &Coalition, id: &str) -> Vec<String> {
    let keys = std::fs::read_dir(coalition.path(id).join("keys")).unwrap();
    let mut names: Vec<String> = keys
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("share-"))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_found_before_during_and_after_the_key_changes() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    assert!(finds(&coalition).await);

    // A key is announced: the nodes make its tokens by themselves.
    let next = coalition.make_key(2);
    coalition.change_roster(|roster| roster.coalition_key.next = Some(next));
    for id in MEMBERS {
        let said = until(&coalition.path(id), "epoch 2 opens", |said| {
            is_open(said, 2)
        })
        .await;
        assert_eq!(said["epoch"], 1, "{id}");
        assert_eq!(epoch_of(&said, 2).unwrap()["share"], true);
    }
    assert!(finds(&coalition).await);
    let opened = leaves_with(&coalition, "pl", Act::EpochOpened).await;
    assert_eq!(opened.len(), 1);
    assert!(
        opened[0].reference.starts_with("epoch=2 tokens="),
        "{}",
        opened[0].reference
    );

    // What comes in now is found under both, and the mark states the index of both.
    let mut second = ABROAD.to_vec();
    second[0].1 = "PL-2";
    coalition.import("pl", &[&second]).await;
    let mark = leaves_with(&coalition, "pl", Act::RecordsPublished).await;
    let mark = &mark.last().unwrap().reference;
    assert!(mark.starts_with("epoch=1 tokens="), "{mark}");
    assert!(mark.contains(" epoch=2 tokens="), "{mark}");
    assert_eq!(candidates(&search(&coalition).await), 2);

    // The epoch is entered: the same two are found under it.
    let version = coalition.change_roster(|roster| {
        let keys = &mut roster.coalition_key;
        keys.previous = keys.current.take();
        keys.current = keys.next.take();
    });
    for id in MEMBERS {
        coalition.roster_in_force(id, version).await;
    }
    assert_eq!(candidates(&search(&coalition).await), 2);

    // The old one is dropped: its tokens, its index rows and its shares are destroyed.
    let old = coalition.roster.coalition_key.previous.clone().unwrap();
    coalition.change_roster(|roster| roster.coalition_key.previous = None);
    for id in MEMBERS {
        let destroyed = leaves_with(&coalition, id, Act::ShareDestroyed).await;
        let share = old.keyholder(id).unwrap().verifying_share;
        assert_eq!(destroyed[0].reference, format!("epoch=1 share={share}"));
        // The third member holds no record, so there was nothing for it to leave.
        let kept = if id == "de" { None } else { Some(2) };
        if kept.is_some() {
            let left = leaves_with(&coalition, id, Act::EpochLeft).await;
            assert_eq!(left[0].reference, "epoch=1");
        }
        let files = share_files(&coalition, id);
        assert_eq!(files.len(), 1, "{files:?}");
        assert!(files[0].starts_with("share-2-") && files[0].ends_with(".sealed"));
        let store = coalition.store(id).await;
        assert_eq!(
            store.kept_epochs().await.unwrap(),
            kept.into_iter().collect()
        );
        assert_eq!(store.index_published(1).await.unwrap().tokens, 0);
        store.close().await;
    }
    assert_eq!(candidates(&search(&coalition).await), 2);
}

fn candidates(answer: &SearchResponse) -> usize {
    answer.results[0].leads.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lags_is_asked_under_the_epoch_that_it_knows() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    import_others(&coalition, "pl", 3).await;
    // One node is off while the key is announced and entered, and slow when it comes back.
    coalition.stop_node("pl").await;
    let config = coalition.path("pl").join("node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let slow = text.replace("rederive_per_minute = 60000", "rederive_per_minute = 1");
    assert_ne!(text, slow);
    std::fs::write(&config, slow).unwrap();
    let next = coalition.make_key(2);
    let announced = coalition.change_roster(|roster| roster.coalition_key.next = Some(next));
    until(&coalition.path("ua"), "epoch 2 opens", |said| {
        is_open(said, 2)
    })
    .await;
    coalition.roster_in_force("ua", announced).await;
    let entered = coalition.change_roster(|roster| {
        let keys = &mut roster.coalition_key;
        keys.previous = keys.current.take();
        keys.current = keys.next.take();
    });
    coalition.roster_in_force("ua", entered).await;
    coalition.start_node("pl").await;
    until(
        &coalition.path("pl"),
        "the first token of epoch 2",
        |said| epoch_of(said, 2).is_some_and(|standing| standing["records_done"] == 1),
    )
    .await;
    let before = coalition.log_size("pl").await;
    assert!(finds(&coalition).await);
    // It refused the epoch in use once; from then on it is asked under the one it answers.
    assert!(finds(&coalition).await);
    let acts: Vec<&str> = coalition
        .leaves("pl", before)
        .await
        .iter()
        .map(LogEntry::act)
        .filter(|act| matches!(act, Act::QueryRefused | Act::LookupAnswered))
        .map(|act| act.as_str_name())
        .collect();
    assert_eq!(
        acts,
        [
            "ACT_QUERY_REFUSED",
            "ACT_LOOKUP_ANSWERED",
            "ACT_LOOKUP_ANSWERED"
        ]
    );

    // Left behind altogether it still catches up, this time at its usual pace.
    coalition.stop_node("pl").await;
    std::fs::write(&config, text).unwrap();
    let dropped = coalition.change_roster(|roster| roster.coalition_key.previous = None);
    coalition.start_node("pl").await;
    until(&coalition.path("pl"), "epoch 2 opens", |said| {
        is_open(said, 2)
    })
    .await;
    coalition.roster_in_force("ua", dropped).await;
    assert!(finds(&coalition).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_in_the_middle_goes_on_where_it_was() {
    const RECORDS: usize = 60;
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    import_others(&coalition, "pl", RECORDS - 1).await;
    coalition.stop_node("pl").await;
    let home = coalition.path("pl");
    let config = home.join("node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    // Ten records a second, ten at a time.
    let text = text.replace("rederive_per_minute = 60000", "rederive_per_minute = 600");
    std::fs::write(&config, text).unwrap();
    let next = coalition.make_key(2);
    let version = coalition.change_roster(|roster| roster.coalition_key.next = Some(next));
    for id in ["ua", "de"] {
        coalition.roster_in_force(id, version).await;
    }
    let log_before = coalition.log_size("pl").await;

    let node = NodeProcess::start(&home).await;
    let done =
        |said: &Value| epoch_of(said, 2).map_or(0, |of| of["records_done"].as_u64().unwrap());
    until(&home, "some records are done", |said| done(said) >= 20).await;
    node.kill().await;
    let node = NodeProcess::start(&home).await;
    let said = status(&home).await;
    let kept = done(&said);
    assert!(kept >= 20, "{said}");
    assert!(
        !is_open(&said, 2),
        "the kill came too late to show anything"
    );
    let said = until(&home, "epoch 2 opens", |said| is_open(said, 2)).await;
    assert_eq!(done(&said), RECORDS as u64);
    assert!(node.stop().await.success());

    // No record was evaluated twice, but for the ten that were under way when the node died.
    let store = coalition.store("pl").await;
    let tokens = store.index_published(2).await.unwrap();
    assert_eq!(tokens.records, RECORDS as u64);
    assert_eq!(
        tokens.tokens,
        store.index_published(1).await.unwrap().tokens
    );
    store.close().await;
    let evaluated: u64 = coalition
        .leaves("pl", log_before)
        .await
        .iter()
        .filter(|leaf| leaf.act() == Act::EvaluationReceived)
        .map(|leaf| u64::from(leaf.count))
        .sum();
    // Two keyholders are asked for each token.
    let of_ten = tokens.tokens.div_ceil(RECORDS as u64 / 10) * 2;
    assert!(
        evaluated <= tokens.tokens * 2 + of_ten,
        "{evaluated} elements evaluated for {} tokens",
        tokens.tokens
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_a_rotation_is_told_without_a_failed_search() {
    let home = tempfile::tempdir().unwrap();
    let said = run(
        &home.path().join("coalition"),
        &["--json", "demo", "--story", "rotation"],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let told = said.object();
    assert_eq!(told["ok"], true, "{told}");
    assert!(told["seconds"].as_f64().unwrap() > 0.0);
    let searches = &told["searches"];
    assert_eq!(searches["failed"], 0, "{told}");
    assert!(searches["done"].as_u64().unwrap() > 20, "{told}");
    // The suspended member was answered until then, and by nobody since.
    let of_suspended = &searches["of_suspended"];
    assert!(of_suspended["answered"].as_u64().unwrap() > 0, "{told}");
    assert!(of_suspended["refused"].as_u64().unwrap() > 0, "{told}");
    let found = told["found"].as_array().unwrap();
    let when: Vec<&str> = found
        .iter()
        .map(|one| one["when"].as_str().unwrap())
        .collect();
    assert_eq!(when.first(), Some(&"before"));
    assert_eq!(when.last(), Some(&"after"));
    assert!(when.len() >= 5, "{told}");
    assert!(found.iter().all(|one| one["grade"] == "MATCH"), "{told}");
    assert_eq!(told["shares_destroyed"], 4);
    for log in told["logs"].as_array().unwrap() {
        assert_eq!(log["verified"], true, "{told}");
    }
    assert!(
        !home.path().join("coalition").exists(),
        "nothing stays behind"
    );
}
