//! The spot check of blinded evaluations: an honest member's are traced to where they went, and a dishonest
//! one's are not.

use serde_json::Value;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use wayhome::audit::blinds::{BlindReport, Trace, spot_check};
use wayhome::audit::verify::Reading;
use wayhome::linkage::RuleTable;
use wayhome::proto::exchange as pb;
use wayhome::roster::Timestamp;

use crate::audit::auditor;
use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search_described};
use crate::forge::{DAY_MS, START_MS, standing_clock};
use crate::process::{Said, run};

/// As many as a node opens in a day.
const ALL: &str = "100";

async fn blinds(coalition: &Coalition, member: &str) -> Said {
    let command = ["--json", "audit", "blinds", member, "--draw", ALL];
    run(&coalition.path(OMBUDSMAN), &command).await
}

fn traces(said: &Value) -> Vec<&str> {
    said["members"][0]["drawn"]
        .as_array()
        .unwrap()
        .iter()
        .map(|drawn| drawn["trace"].as_str().unwrap())
        .collect()
}

fn codes(said: &Value) -> Vec<&str> {
    let findings = &said["members"][0]["log"]["findings"];
    findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect()
}

/// A value of a stopped node's database, or of a running one's.
async fn database(coalition: &Coalition, id: &str) -> SqliteConnection {
    let file = coalition.path(id).join("wayhome.db");
    SqliteConnection::connect(&format!("sqlite:{}", file.display()))
        .await
        .unwrap()
}

async fn kept_inputs(coalition: &Coalition, id: &str) -> i64 {
    let mut database = database(coalition, id).await;
    let row = sqlx::query("SELECT count(*) FROM evidence WHERE part = 6")
        .fetch_one(&mut database)
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_members_evaluations_are_traced_to_its_index_and_its_queries() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    search_described(&coalition, "ua").await;
    let said = blinds(&coalition, "ua").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let told = said.object();
    let traced = traces(&told);
    assert_eq!(
        told["members"][0]["evaluated"].as_u64(),
        Some(traced.len() as u64),
        "not all were drawn"
    );
    for trace in ["INDEXED", "ASKED"] {
        assert!(traced.contains(&trace), "{traced:?}");
    }
    let known = |trace: &&str| ["INDEXED", "ASKED"].contains(trace);
    assert!(traced.iter().all(known), "{told}");
    assert_eq!(told["to_look_into"], 0);
    // The record is named.
    let drawn = told["members"][0]["drawn"].as_array().unwrap();
    let of = |trace: &str| {
        drawn
            .iter()
            .find(|drawn| drawn["trace"] == trace)
            .unwrap()
            .clone()
    };
    assert_eq!(of("INDEXED")["record_ref"], "UA-1");
    // Of the keys themselves nothing is printed.
    for word in ["2014-05-03", "Ковальчук", "Олександр"] {
        assert!(!said.out.contains(word), "{word}: {}", said.out);
    }
    // Each opening stands in the node's log, with what was opened.
    let leaves = coalition.leaves("ua", 0).await;
    let openings = leaves.iter().filter(|leaf| {
        leaf.act() == pb::Act::AuditAnswered && leaf.reference.starts_with("blinds ")
    });
    let opened: u32 = openings.map(|leaf| leaf.count).sum();
    assert_eq!(opened as usize, traced.len());
    // A node opens so many in a day and no more.
    for _ in 0..10 {
        let again = blinds(&coalition, "ua").await.object();
        assert!(codes(&again).is_empty(), "{again}");
        if traces(&again).contains(&"UNTRACEABLE") {
            assert!(again.to_string().contains("blinds_opened"), "{again}");
            return;
        }
    }
    panic!("as many as anybody wants were opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_question_that_reached_nobody_are_traced_to_it() {
    let mut coalition = Coalition::start().await;
    // The question stands in the log before it is sent, whoever is there.
    coalition.stop_node("pl").await;
    let one = wayhome::proto::operator::SearchRequest {
        subjects: vec![wayhome::proto::operator::Record {
            fields: AT_HOME
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }],
        purpose: "family_tracing".to_owned(),
        legal_basis: "vital_interest".to_owned(),
        case_reference: "CASE-1".to_owned(),
        members: vec!["pl".to_owned()],
        ..wayhome::proto::operator::SearchRequest::default()
    };
    let channel = coalition.operator("ua").await;
    let mut answers =
        wayhome::proto::operator::search_service_client::SearchServiceClient::new(channel)
            .search(one)
            .await
            .unwrap()
            .into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        assert_ne!(answer.error_code, "");
    }
    let said = blinds(&coalition, "ua").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let told = said.object();
    let traced = traces(&told);
    assert!(!traced.is_empty());
    assert!(traced.iter().all(|trace| *trace == "ASKED"), "{told}");
    assert_eq!(told["to_look_into"], 0);
    let drawn = told["members"][0]["drawn"].as_array().unwrap();
    assert!(
        drawn
            .iter()
            .all(|drawn| drawn["case_reference"] == "CASE-1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hides_what_it_had_evaluated_is_found_out() {
    let (clock, ambient) = standing_clock();
    let mut coalition = Coalition::start_at(ambient, |_| {}).await;
    coalition.import_unpublished("ua", &[AT_HOME]).await;
    clock.advance_ms(2 * 3_600_000);
    coalition.publish("ua").await;
    // Its tokens made, the record is made away with, as if there had never been one.
    coalition.stop_node("ua").await;
    {
        let mut database = database(&coalition, "ua").await;
        let gone = sqlx::query("DELETE FROM records")
            .execute(&mut database)
            .await
            .unwrap();
        assert_eq!(gone.rows_affected(), 1);
        database.close().await.unwrap();
    }
    coalition.let_lie("ua");
    coalition.start_node("ua").await;
    let report = spot(&coalition).await;
    assert!(!report.drawn.is_empty());
    assert!(report.drawn.iter().all(|drawn| drawn.trace == Trace::Fault));
    // Its signed answer is the proof of it.
    let proved = report.verification.findings.iter().any(|finding| {
        finding.fault.code() == "BAD_BLIND"
            && finding
                .to_string()
                .contains("its log tells of no such thing")
    });
    assert!(proved, "{:?}", report.verification.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_search_hid_is_destroyed_after_its_time() {
    let (clock, ambient) = standing_clock();
    let mut coalition = Coalition::start_at(ambient, |roster| {
        roster.expires = Timestamp::from_unix(START_MS / 1000 + 300 * 86_400);
    })
    .await;
    search_described(&coalition, "ua").await;
    assert!(kept_inputs(&coalition, "ua").await > 0);
    let report = checked(&coalition).await;
    let of = |report: &BlindReport, wanted: &str| {
        let drawn = report.drawn.iter();
        drawn.filter(|drawn| drawn.trace.name() == wanted).count()
    };
    assert_eq!(of(&report, "ASKED"), report.drawn.len());
    assert!(!report.drawn.is_empty());

    clock.advance_ms(91 * DAY_MS);
    coalition.stop_node("ua").await;
    coalition.start_node("ua").await;
    let destroyed = async { while kept_inputs(&coalition, "ua").await > 0 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), destroyed)
        .await
        .expect("what the search hid is still kept");
    // What was opened before is destroyed with it: behind its leaf only the hashes are left.
    let mut opened = database(&coalition, "ua").await;
    let row = sqlx::query(
        "SELECT count(*) FROM evidence_items WHERE part = 1 AND position > 0 AND data_key IS NOT NULL",
    )
    .fetch_one(&mut opened)
    .await
    .unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);
    let report = checked(&coalition).await;
    assert_eq!(report.drawn.len(), of(&report, "FORGOTTEN"));
    assert!(
        report
            .drawn
            .iter()
            .all(|drawn| drawn.trace == Trace::Forgotten && drawn.rule.is_none())
    );
}

async fn spot(coalition: &Coalition) -> BlindReport {
    spot_check(
        &auditor(coalition, OMBUDSMAN),
        RuleTable::shipped().unwrap(),
        coalition.member("ua"),
        20,
        Reading::default(),
        &|_, _, _| {},
    )
    .await
}

/// The same, in which nothing must be found.
async fn checked(coalition: &Coalition) -> BlindReport {
    let report = spot(coalition).await;
    let findings: Vec<String> = report
        .verification
        .findings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(findings.is_empty(), "{findings:#?}");
    report
}
