//! Grades are no oracle for one attribute after another.

use wayhome::exchange::lookup::PROBE_LIMIT;
use wayhome::proto::operator::search_service_client::SearchServiceClient;
use wayhome::proto::operator::{Record, SearchRequest};

use crate::coalition::Coalition;

/// A child of Poland's register, with all that makes a match sure.
const CHILD: &[(&str, &str)] = &[
    ("record_ref", "PL-1"),
    ("family_name", "Коваленко"),
    ("given_name", "Дарина"),
    ("patronymic", "Ігорівна"),
    ("sex", "F"),
    ("date_of_birth", "2015-03-14"),
    ("place_of_birth", "Бердянськ"),
    ("mother_family_name", "Коваленко"),
    ("mother_given_name", "Надія"),
    ("consent", "tracing"),
];

/// Asks Poland about the child with another birth date, one date for each subject of one query.
async fn ask(coalition: &Coalition, from: &str, dates: &[&str]) -> Vec<String> {
    let subjects = dates
        .iter()
        .map(|date| Record {
            fields: CHILD
                .iter()
                .map(|(name, value)| {
                    let value = if *name == "date_of_birth" {
                        date
                    } else {
                        value
                    };
                    ((*name).to_owned(), (*value).to_owned())
                })
                .collect(),
        })
        .collect();
    let mut results = SearchServiceClient::new(coalition.operator(from).await)
        .search(SearchRequest {
            subjects,
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            members: vec!["pl".to_owned()],
            ..SearchRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let answer = results.message().await.unwrap().unwrap();
    assert_eq!(answer.error_code, "");
    answer
        .results
        .iter()
        .map(|result| result.grade.clone())
        .collect()
}

const WRONG: [&str; 6] = [
    "2009-01-21",
    "2010-02-22",
    "2011-04-23",
    "2012-05-24",
    "2013-06-25",
    "2014-07-26",
];

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_birth_dates_ends_at_the_probe_limit() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[CHILD]).await;
    // Names and parents are known; only the date is tried, many subjects in one query and one by
    // one. The first sets are answered as they are, the later ones as the fifth was.
    let swept = ask(&coalition, "ua", &WRONG[..3]).await;
    assert!(!swept.contains(&"MATCH".to_owned()), "{swept:?}");
    let mut fifth = String::new();
    for date in &WRONG[3..PROBE_LIMIT] {
        fifth = ask(&coalition, "ua", &[date]).await.remove(0);
    }
    assert_ne!(fifth, "MATCH");
    let right = "2015-03-14";
    assert_eq!(ask(&coalition, "ua", &[right]).await, [fifth.clone()]);
    assert_eq!(ask(&coalition, "ua", &[WRONG[5]]).await, [fifth]);
    // Another party has tried nothing yet.
    assert_eq!(ask(&coalition, "de", &[right]).await, ["MATCH"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_about_the_same_child_counts_once() {
    let mut coalition = Coalition::start().await;
    coalition.import("pl", &[CHILD]).await;
    for _ in 0..2 * PROBE_LIMIT {
        assert_eq!(ask(&coalition, "ua", &["2015-03-14"]).await, ["MATCH"]);
    }
    // Nor does a restart on either side make it another set, or forget those that were tried.
    coalition.stop_node("ua").await;
    coalition.stop_node("pl").await;
    coalition.start_node("pl").await;
    coalition.start_node("ua").await;
    assert_eq!(ask(&coalition, "ua", &["2015-03-14"]).await, ["MATCH"]);
    ask(&coalition, "ua", &WRONG[..PROBE_LIMIT]).await;
    assert_eq!(ask(&coalition, "ua", &["2015-03-14"]).await, ["MATCH"]);
    assert_ne!(ask(&coalition, "ua", &["2015-03-15"]).await, ["MATCH"]);
}
