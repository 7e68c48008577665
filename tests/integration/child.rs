//! A family that knows no reference: the child is described, and found in evidence by its tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::Act;
use wayhome::roster::OmbudsmanScope;

use crate::coalition::{Coalition, MEMBERS, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::forge::LateClock;
use crate::process::{PATIENCE, Said, run};

/// The child of the exchange, as its family writes it; no reference of any register is known.
fn described(coalition: &Coalition, fields: &[(&str, &str)]) -> String {
    let columns: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
    let file = coalition.path(OMBUDSMAN).join("child.csv");
    std::fs::write(
        &file,
        format!("{}\n{}\n", columns.join(","), values.join(",")),
    )
    .unwrap();
    file.display().to_string()
}

/// As the register at home has it, under a name of the family's own.
fn as_at_home() -> Vec<(&'static str, &'static str)> {
    AT_HOME
        .iter()
        .map(|(name, value)| match *name {
            "record_ref" => ("record_ref", "of-the-family"),
            _ => (*name, *value),
        })
        .collect()
}

async fn child(coalition: &Coalition, file: &str, members: &[&str]) -> Said {
    let mut command = vec!["--json", "audit", "child", "--input", file];
    command.extend(members);
    run(&coalition.path(OMBUDSMAN), &command).await
}

fn told<'a>(said: &'a Value, member: &str) -> &'a Value {
    let members = said["members"].as_array().unwrap();
    members
        .iter()
        .find(|told| told["member"] == member)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_described_child_is_found_in_evidence_by_its_tokens() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    search(&coalition, "ua", "UA-1").await;
    let file = described(&coalition, &as_at_home());
    let said = child(&coalition, &file, &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();

    // Poland holds one record of the child, was asked once, and answered with a match.
    let pl = told(&object, "pl");
    assert_eq!(pl["records"].as_array().unwrap().len(), 1, "{pl:#}");
    let [sighting] = pl["sightings"].as_array().unwrap().as_slice() else {
        panic!("{pl:#}");
    };
    let read = |name: &str| sighting[name].as_str().unwrap().to_owned();
    assert_eq!(
        (
            read("asker"),
            read("holder"),
            read("agrees"),
            read("answered")
        ),
        ("ua".into(), "pl".into(), "MATCH".into(), "MATCH".into())
    );
    assert_eq!(sighting["purpose"], "family_tracing");
    // Its record's own story is there as well.
    assert!(
        pl["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["kind"] == "looked_up")
    );

    // Of the keys by which the family describes it, those that Poland's record has stand in the index
    // that Poland has logged; Germany has offered nothing for searching.
    let number = |index: &Value, name: &str| index[name].as_u64().unwrap();
    let index = &pl["indexes"][0];
    assert!(index["mark"].is_u64(), "{index}");
    assert!(number(index, "standing") > 0 && number(index, "standing") < number(index, "keys"));
    assert!(number(index, "rows") >= number(index, "standing"));
    let none = &told(&object, "de")["indexes"][0];
    assert_eq!((&none["mark"], &none["rows"]), (&Value::Null, &0.into()));
    assert_eq!(number(none, "standing"), 0);

    // Ukraine asked both others; Germany holds nothing and was asked all the same.
    let asked = told(&object, "ua")["sightings"].as_array().unwrap();
    assert_eq!(asked.len(), 2, "{asked:#?}");
    let de = told(&object, "de");
    assert_eq!(de["records"], Value::Array(Vec::new()));
    assert_eq!(de["sightings"][0]["answered"], "NO_MATCH");

    // Nothing of what was described went out, or was written down, on the ombudsman's side.
    assert!(!said.out.contains("of-the-family"));
    // The request is a leaf, and the keyholders counted it.
    let leaves = coalition.leaves("pl", 0).await;
    let asked_for = |leaf: &&wayhome::proto::exchange::LogEntry| {
        leaf.act() == Act::AuditAnswered && leaf.reference == "child"
    };
    assert_eq!(leaves.iter().filter(asked_for).count(), 1);
    let mut evaluated = 0;
    for id in MEMBERS {
        evaluated += coalition
            .leaves(id, 0)
            .await
            .iter()
            .filter(|leaf| leaf.act() == Act::EvaluationAnswered && leaf.peer == OMBUDSMAN)
            .count();
    }
    assert_eq!(evaluated, 2, "two keyholders suffice");

    // A child that nobody asked about.
    let other: Vec<(&str, &str)> = as_at_home()
        .into_iter()
        .map(|(name, value)| match name {
            "date_of_birth" => (name, "2001-02-03"),
            "given_name" => (name, "Zenoviia"),
            "family_name" | "mother_family_name" => (name, "Qvorkhanenko"),
            _ => (name, value),
        })
        .collect();
    let file = described(&coalition, &other);
    let said = child(&coalition, &file, &["pl"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(told(&object, "pl")["sightings"], Value::Array(Vec::new()));
    assert_eq!(told(&object, "pl")["records"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_came_after_the_query_accuses_nobody() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    search(&coalition, "ua", "UA-1").await;
    coalition.import("pl", &[ABROAD]).await;
    let file = described(&coalition, &as_at_home());
    let said = child(&coalition, &file, &["pl"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(object["findings"], 0);
    let pl = told(&object, "pl");
    assert_eq!(pl["records"].as_array().unwrap().len(), 1, "{pl:#}");
    assert_eq!(pl["sightings"][0]["agrees"], "MATCH");
    assert_eq!(pl["sightings"][0]["answered"], "NO_MATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_national_ombudsman_sees_its_own_member_alone() {
    let coalition = Coalition::start_with(|roster| {
        let ombudsman = roster
            .members
            .iter_mut()
            .find(|member| member.id.as_str() == OMBUDSMAN)
            .unwrap();
        ombudsman.roles.ombudsman = Some(OmbudsmanScope::Member("pl".parse().unwrap()));
    })
    .await;
    coalition.import("pl", &[ABROAD]).await;
    let file = described(&coalition, &as_at_home());
    let said = child(&coalition, &file, &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.object()["members"].as_array().unwrap().len(), 1);
    assert_eq!(
        told(&said.object(), "pl")["records"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let refused = child(&coalition, &file, &["de"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert_eq!(refused.object()["error"]["code"], "OUT_OF_SCOPE");
}

/// Poland's own description of the child.
fn as_abroad() -> Vec<(&'static str, &'static str)> {
    ABROAD
        .iter()
        .map(|(name, value)| match *name {
            "record_ref" => ("record_ref", "of-the-family"),
            _ => (*name, *value),
        })
        .collect()
}

/// Changes the database of a stopped node.
async fn alter(coalition: &Coalition, id: &str, sql: &'static str) {
    assert!(run_sql(coalition, id, sql).await > 0, "{sql}");
}

/// Runs a statement on the database of a stopped node. Gives how many rows it changed.
async fn run_sql(coalition: &Coalition, id: &str, sql: &'static str) -> u64 {
    let path = coalition.path(id).join("wayhome.db");
    let address = format!("sqlite:{}", path.display());
    let mut database = SqliteConnection::connect(&address).await.unwrap();
    let changed = sqlx::query(sql).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    changed.rows_affected()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_is_not_hidden_by_what_looks_like_erasing() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    search(&coalition, "ua", "UA-1").await;
    let leaves = coalition.leaves("pl", 0).await;
    let asked = leaves
        .iter()
        .position(|leaf| leaf.act() == Act::LookupAnswered);
    let asked = asked.unwrap() as u64;
    coalition.stop_node("pl").await;
    alter(
        &coalition,
        "pl",
        "UPDATE evidence_items SET data_key = NULL, sealed = NULL WHERE part = 0",
    )
    .await;
    coalition.start_node("pl").await;
    let file = described(&coalition, &as_at_home());
    let said = child(&coalition, &file, &["pl"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let object = said.object();
    let findings = told(&object, "pl")["log"]["findings"].as_array().unwrap();
    let hidden = findings
        .iter()
        .filter(|finding| finding["code"] == "ITEM_HIDDEN");
    let places: Vec<_> = hidden
        .map(|finding| finding["leaf_index"].as_u64())
        .collect();
    assert_eq!(places, [Some(asked)], "{object:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_denied_though_its_record_stands_in_the_index_is_found() {
    // Longer than a node may still answer by what it held before its register changed.
    let (clock, ambient) = LateClock::behind_ms(6 * 60_000);
    let mut coalition = Coalition::start_at(ambient, |_| {}).await;
    coalition.import("pl", &[ABROAD]).await;
    clock.catch_up();
    // Ukraine describes the child as Poland does, so that the query touches all that Poland has.
    let same: Vec<(&str, &str)> = ABROAD
        .iter()
        .map(|(name, value)| match *name {
            "record_ref" => ("record_ref", "UA-1"),
            _ => (*name, *value),
        })
        .collect();
    coalition.import("ua", &[&same]).await;
    // While the query comes nothing in the index can be found, and afterwards all of it again.
    coalition.stop_node("pl").await;
    run_sql(
        &coalition,
        "pl",
        "CREATE TABLE put_away AS SELECT * FROM lookup_index",
    )
    .await;
    alter(
        &coalition,
        "pl",
        "UPDATE lookup_index SET row_tag = zeroblob(8)",
    )
    .await;
    coalition.start_node("pl").await;
    let answers = search(&coalition, "ua", "UA-1").await;
    assert_eq!(answers[1].results[0].leads.len(), 0);
    coalition.stop_node("pl").await;
    alter(
        &coalition,
        "pl",
        "UPDATE lookup_index SET row_tag =
             (SELECT put_away.row_tag FROM put_away
              WHERE put_away.token = lookup_index.token AND put_away.rule = lookup_index.rule
                  AND put_away.record_id = lookup_index.record_id)",
    )
    .await;
    run_sql(&coalition, "pl", "DROP TABLE put_away").await;
    coalition.start_node("pl").await;
    let file = described(&coalition, &as_abroad());
    let said = child(&coalition, &file, &["pl"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let object = said.object();
    let finding = &told(&object, "pl")["log"]["findings"][0];
    assert_eq!(finding["code"], "DENIED_CHILD", "{object:#}");
    let at = finding["leaf_index"].as_u64().unwrap();
    let leaf = coalition.leaves("pl", at).await.remove(0);
    assert!(leaf.act() == Act::LookupAnswered);
    assert_eq!(leaf.peer, "ua");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_other_than_the_one_that_was_logged_is_found() {
    let mut coalition = Coalition::start().await;
    coalition.import("pl", &[ABROAD]).await;
    let file = described(&coalition, &as_abroad());
    let sound = child(&coalition, &file, &["pl"]).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    let object = sound.object();
    let index = &told(&object, "pl")["indexes"][0];
    assert_eq!(index["standing"], index["keys"], "{index}");

    // The rows stand there, and nothing finds them: what the node says of the child denies its index.
    coalition.stop_node("pl").await;
    alter(
        &coalition,
        "pl",
        "UPDATE lookup_index SET row_tag = zeroblob(8)",
    )
    .await;
    coalition.start_node("pl").await;
    let hidden = child(&coalition, &file, &["pl"]).await;
    assert_eq!(hidden.code, Some(1), "{hidden:?}");
    let object = hidden.object();
    let pl = told(&object, "pl");
    assert_eq!(pl["records"], Value::Array(Vec::new()));
    let finding = &pl["log"]["findings"][0];
    assert_eq!(finding["code"], "RECORD_HIDDEN", "{finding}");
    let asked = coalition.leaves("pl", 0).await;
    let at = finding["leaf_index"].as_u64().unwrap();
    assert!(asked[at as usize].act() == Act::AuditAnswered);
    // The node's signed answer goes with it.
    let answer = STANDARD
        .decode(finding["proof"][0].as_str().unwrap())
        .unwrap();
    let answer = pb::SignedMessage::decode(answer.as_slice()).unwrap();
    let payload = answer.envelope.unwrap().payload;
    let answer = pb::SubjectAnswer::decode(payload.as_slice()).unwrap();
    assert!(!answer.held);
    assert_eq!(answer.receipt.unwrap().leaf_index, at);

    // A row is gone that the log speaks of.
    coalition.stop_node("pl").await;
    alter(
        &coalition,
        "pl",
        "DELETE FROM lookup_index WHERE token = (SELECT min(token) FROM lookup_index)",
    )
    .await;
    coalition.start_node("pl").await;
    let other = child(&coalition, &file, &["pl"]).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    let object = other.object();
    let codes: Vec<&Value> = told(&object, "pl")["log"]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| &finding["code"])
        .collect();
    assert_eq!(codes, ["OTHER_INDEX"], "{object:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_found_in_queries_of_every_epoch_whose_key_is_still_there() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    search(&coalition, "ua", "UA-1").await;
    let logged = async |coalition: &Coalition, id: &str, act: Act| {
        let waiting = async {
            while !coalition
                .leaves(id, 0)
                .await
                .iter()
                .any(|leaf| leaf.act() == act)
            {}
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("{id} never logged {}", act.as_str_name()));
    };
    let next = coalition.make_key(2);
    coalition.change_roster(|roster| roster.coalition_key.next = Some(next));
    // Germany has no records, and so nothing to open.
    for id in ["ua", "pl"] {
        logged(&coalition, id, Act::EpochOpened).await;
    }
    let version = coalition.change_roster(|roster| {
        let keys = &mut roster.coalition_key;
        keys.previous = keys.current.take();
        keys.current = keys.next.take();
    });
    for id in MEMBERS {
        coalition.roster_in_force(id, version).await;
    }
    search(&coalition, "ua", "UA-1").await;
    let file = described(&coalition, &as_at_home());
    let both = child(&coalition, &file, &["pl"]).await;
    assert_eq!(both.code, Some(0), "{both:?}");
    let object = both.object();
    assert_eq!(object["epochs"], serde_json::json!([2, 1]));
    let pl = told(&object, "pl");
    assert_eq!(pl["sightings"].as_array().unwrap().len(), 2, "{pl:#}");
    assert_eq!(pl["untold"], 0);
    assert_eq!(pl["records"].as_array().unwrap().len(), 1);
    for index in pl["indexes"].as_array().unwrap() {
        assert!(index["standing"].as_u64() > Some(0), "{index}");
    }

    // Once the key of an epoch is gone, of what was asked under it nothing can be told: it is counted.
    coalition.change_roster(|roster| roster.coalition_key.previous = None);
    logged(&coalition, "pl", Act::EpochLeft).await;
    let one = child(&coalition, &file, &["pl"]).await;
    assert_eq!(one.code, Some(0), "{one:?}");
    let object = one.object();
    assert_eq!(object["epochs"], serde_json::json!([2]));
    let pl = told(&object, "pl");
    assert_eq!(pl["sightings"].as_array().unwrap().len(), 1, "{pl:#}");
    assert_eq!(pl["untold"], 1);
}
