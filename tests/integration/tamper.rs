//! One bit of a stopped node's database is flipped, and `wayhome audit verify` names the place.

use serde_json::Value;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::Act;

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::forge::{Sent, disclosure, evaluation, lookup, sign_bytes};
use crate::process::{NodeProcess, Said, run};

const HOLDER: &str = "pl";

/// What is flipped, and as what `audit verify` has to name it.
struct Flip {
    /// The value: table, column, and which row of those behind the leaf.
    value: (&'static str, &'static str, &'static str),
    /// Which octet of it; from the end if negative.
    at: i64,
    place: &'static str,
}

const FLIPS: [Flip; 16] = [
    leaf("leaf_hash", 0),
    leaf("sealed", 0),
    leaf("sealed", -1),
    evidence("data_key", "part = 0", "query"),
    evidence("sealed", "part = 0", "query"),
    evidence("data_key", "part = 1", "answer"),
    evidence("sealed", "part = 1", "answer"),
    evidence("data_key", "part = 2", "opening"),
    evidence("sealed", "part = 2", "opening"),
    item("item_hash", "part = 0 AND position = 0", "query"),
    item("sealed", "part = 0 AND position = 0", "query"),
    item("item_hash", "part = 1 AND position = 0", "answer"),
    item("data_key", "part = 1 AND position = 0", "answer"),
    item("sealed", "part = 1 AND position = 0", "answer"),
    checkpoint(30),
    checkpoint(-10),
];

const fn leaf(column: &'static str, at: i64) -> Flip {
    let value = ("log_leaves", column, "1 = 1");
    Flip {
        value,
        at,
        place: "leaf",
    }
}

const fn evidence(column: &'static str, row: &'static str, place: &'static str) -> Flip {
    let value = ("evidence", column, row);
    Flip {
        value,
        at: 20,
        place,
    }
}

const fn item(column: &'static str, row: &'static str, place: &'static str) -> Flip {
    let value = ("evidence_items", column, row);
    Flip {
        value,
        at: 20,
        place,
    }
}

const fn checkpoint(at: i64) -> Flip {
    let value = ("log_state", "checkpoint", "id = 1");
    Flip {
        value,
        at,
        place: "checkpoint",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flipped_bit_is_named_with_its_place() {
    let (coalition, leaf_index) = after_a_disclosure().await;
    let database = coalition.path(HOLDER).join("wayhome.db");
    settle(&coalition).await;
    let sound = std::fs::read(&database).unwrap();
    for flip in &FLIPS {
        let (table, column, row) = flip.value;
        let what = format!("{table}.{column} {row}, octet {}", flip.at);
        std::fs::write(&database, &sound).unwrap();
        coalition.let_lie(HOLDER);
        // The ombudsman comes for the first time: nothing it remembers helps.
        let _ = std::fs::remove_dir_all(coalition.path(OMBUDSMAN).join("audit"));
        let node = NodeProcess::start(&coalition.path(HOLDER)).await;
        let said = verify(&coalition).await;
        assert_eq!(said.code, Some(0), "{what}, before: {said:?}");
        assert!(node.stop().await.success());

        std::fs::write(&database, &sound).unwrap();
        coalition.let_lie(HOLDER);
        let _ = std::fs::remove_dir_all(coalition.path(OMBUDSMAN).join("audit"));
        turn(&coalition, leaf_index, flip).await;
        let node = NodeProcess::start(&coalition.path(HOLDER)).await;
        let said = verify(&coalition).await;
        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        let object = said.object();
        assert_eq!(object["ok"], false, "{what}");
        let log = &object["logs"][0];
        assert_eq!(
            (&log["member"], &log["verified"]),
            (&HOLDER.into(), &false.into()),
            "{what}"
        );
        let places: Vec<(&str, Option<u64>)> = log["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                let text = |name: &str| finding[name].as_str().unwrap();
                assert!(!text("what").is_empty() && !text("code").is_empty());
                (text("place"), finding["leaf_index"].as_u64())
            })
            .collect();
        let expected = (
            flip.place,
            (flip.place != "checkpoint").then_some(leaf_index),
        );
        assert!(places.contains(&expected), "{what}: {places:?}");
        // People are told the same.
        let said = run(&coalition.path(OMBUDSMAN), &["audit", "verify", HOLDER]).await;
        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        let told = format!("{}{}", said.out, said.err);
        if let Some(leaf_index) = expected.1 {
            assert!(
                told.contains(&format!("leaf {leaf_index}")),
                "{what}: {told}"
            );
        }
        assert!(told.contains(flip.place), "{what}: {told}");
        assert!(node.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_peer_cannot_spoil_the_log_with_messages_that_are_refused() {
    let coalition = Coalition::start().await;
    let good = || lookup(&coalition, "ua", HOLDER, 2);
    let key = coalition.identity("ua").signing.clone();
    let noise = |bytes: &[u8]| {
        let payload_type = "application/vnd.wayhome.lookup-query.v1";
        sign_bytes(payload_type, bytes.to_vec(), &key, Vec::new())
    };
    let lookups = vec![
        noise(b""),
        noise(b"\xff\xff\xff"),
        good()
            .header(|header| header.audience = "de".to_owned())
            .sign(),
        good()
            .header(|header| header.issuer = "de".to_owned())
            .sign(),
        good().header(|header| header.message_id.clear()).sign(),
        good()
            .header(|header| header.message_id = vec![1; 400])
            .sign(),
        good().header(|header| header.issued_at = None).sign(),
        good()
            .header(|header| header.expires_at.as_mut().unwrap().seconds = 1)
            .sign(),
        good()
            .header(|header| header.roster_digest = vec![1; 32])
            .sign(),
        good()
            .header(|header| header.roster_version = 99)
            .payload(|query| query.epoch = 9)
            .sign(),
        good()
            .header(|header| header.in_reply_to = vec![1; 32])
            .payload(|query| query.epoch = 9)
            .sign(),
        good()
            .header(|header| header.items_root = vec![1; 32])
            .sign(),
        good().header(|header| header.item_count = 7).sign(),
        good().items(Vec::clear).sign(),
        good().items(|items| items.swap(0, 1)).sign(),
        good().payload(|query| query.purpose = 77).sign(),
        good().payload(|query| query.legal_basis = -3).sign(),
        good()
            .payload(|query| query.case_reference = "x".repeat(9_000))
            .sign(),
        good().payload(|query| query.epoch = 7).sign(),
    ];
    let channel = coalition.channel("ua", HOLDER).await;
    let before = coalition.log_size(HOLDER).await;
    for message in &lookups {
        let refused = pb::LookupQuery::send(channel.clone(), message.clone()).await;
        assert!(refused.is_err());
    }
    let batch = evaluation(&coalition, "ua", HOLDER, 2)
        .payload(|query| query.element_count = 1_000_000)
        .sign();
    assert!(
        pb::EvaluationQuery::send(channel.clone(), batch)
            .await
            .is_err()
    );
    let fields = disclosure(&coalition, "ua", HOLDER, &[1; 400], &["x\u{0}y"]).sign();
    assert!(pb::DisclosureQuery::send(channel, fields).await.is_err());
    // Each of them was signed by ua and stands in the log, and the log holds.
    assert_eq!(
        coalition.log_size(HOLDER).await,
        before + lookups.len() as u64 + 2
    );
    let said = verify(&coalition).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(
        said.object()["logs"][0]["findings"],
        Value::Array(Vec::new())
    );
}

async fn verify(coalition: &Coalition) -> Said {
    run(
        &coalition.path(OMBUDSMAN),
        &["--json", "audit", "verify", HOLDER],
    )
    .await
}

/// A coalition whose holder told of a child and was stopped, and the leaf of that act.
async fn after_a_disclosure() -> (Coalition, u64) {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import(HOLDER, &[ABROAD]).await;
    let answers = search(&coalition, "ua", "UA-1").await;
    let lead = &answers[1].results[0].leads[0].lead;
    let lead = hex::decode(lead.strip_prefix("pl:").unwrap()).unwrap();
    let ask = disclosure(&coalition, "ua", HOLDER, &lead, &["current_place"]).sign();
    let channel = coalition.channel("ua", HOLDER).await;
    pb::DisclosureQuery::send(channel, ask).await.unwrap();
    let leaves = coalition.leaves(HOLDER, 0).await;
    let told = |leaf: &pb::LogEntry| leaf.act() == Act::DisclosureAnswered;
    let leaf_index = leaves.iter().position(told).unwrap() as u64;
    assert_eq!(leaves[leaf_index as usize].count, 1);
    coalition.stop_node(HOLDER).await;
    (coalition, leaf_index)
}

async fn open(coalition: &Coalition) -> SqliteConnection {
    let path = coalition.path(HOLDER).join("wayhome.db");
    SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap()
}

/// Brings everything into the one database file.
async fn settle(coalition: &Coalition) {
    let mut database = open(coalition).await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

async fn turn(coalition: &Coalition, leaf_index: u64, flip: &Flip) {
    let (table, column, row) = flip.value;
    let filter = match table {
        "log_state" => row.to_owned(),
        _ => format!("leaf_index = {leaf_index} AND {row}"),
    };
    let mut database = open(coalition).await;
    let sql =
        format!("SELECT CAST({column} AS BLOB), typeof({column}) FROM {table} WHERE {filter}");
    let found = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(&mut database)
        .await
        .unwrap();
    let mut value: Vec<u8> = found.get(0);
    let length = value.len() as i64;
    let at = if flip.at < 0 {
        length + flip.at
    } else {
        flip.at
    };
    value[at as usize] ^= 1;
    let sql = format!(
        "UPDATE {table} SET {column} = CAST($1 AS {}) WHERE {filter}",
        found.get::<String, _>(1)
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(value)
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
    database.close().await.unwrap();
    settle(coalition).await;
}
