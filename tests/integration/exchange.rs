//! A child is found across borders, and nothing is disclosed but what was asked and allowed.

use tonic::transport::Channel;
use wayhome::node::OperatorChannel;
use wayhome::proto::operator::disclosure_service_client::DisclosureServiceClient;
use wayhome::proto::operator::search_service_client::SearchServiceClient;
use wayhome::proto::operator::{
    DiscloseRequest, DiscloseResponse, Record, SearchRequest, SearchResponse,
};

use crate::coalition::Coalition;

/// One child as Ukraine's register writes it.
pub const AT_HOME: &[(&str, &str)] = &[
    ("record_ref", "UA-1"),
    ("family_name", "Ковальчук"),
    ("given_name", "Олександр"),
    ("patronymic", "Миколайович"),
    ("sex", "M"),
    ("date_of_birth", "2014-05-03"),
    ("place_of_birth", "Маріуполь"),
    ("mother_family_name", "Ковальчук"),
    ("mother_given_name", "Олена"),
    ("consent", "tracing"),
];

/// The same child as another register writes it.
pub const ABROAD: &[(&str, &str)] = &[
    ("record_ref", "PL-1"),
    ("family_name", "Kowalczuk"),
    ("given_name", "Aleksander"),
    ("sex", "M"),
    ("date_of_birth", "2014-05-03"),
    ("place_of_birth", "Mariupol"),
    ("mother_family_name", "Kowalczuk"),
    ("mother_given_name", "Olena"),
    ("current_place", "Lublin"),
    ("current_carer", "foster family 12"),
    ("consent", "tracing"),
];

pub async fn search(coalition: &Coalition, from: &str, record_ref: &str) -> Vec<SearchResponse> {
    let socket = coalition.path(from).join("operator.sock");
    let nobody = wayhome::node::operator_client_as(&socket, None)
        .await
        .unwrap();
    search_as(nobody, record_ref).await
}

/// As [`search`], as a person.
pub async fn search_as(person: OperatorChannel, record_ref: &str) -> Vec<SearchResponse> {
    let mut results = SearchServiceClient::new(person)
        .search(SearchRequest {
            record_refs: vec![record_ref.to_owned()],
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            case_reference: "CASE-1".to_owned(),
            ..SearchRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = results.message().await.unwrap() {
        answers.push(answer);
    }
    answers.sort_by(|a, b| a.member.cmp(&b.member));
    answers
}

/// Asks from Ukraine for fields of the child behind a lead.
pub async fn ask(
    coalition: &Coalition,
    lead: &str,
    fields: &[&str],
    purpose: &str,
) -> DiscloseResponse {
    DisclosureServiceClient::new(coalition.operator("ua").await)
        .disclose(DiscloseRequest {
            lead: lead.to_owned(),
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
            purpose: purpose.to_owned(),
            legal_basis: "vital_interest".to_owned(),
            case_reference: "CASE-1".to_owned(),
            justification: "The family asks.".to_owned(),
            ..DiscloseRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
}

/// Looks the child of [`AT_HOME`] up as one that is described, not held.
pub async fn search_described(coalition: &Coalition, from: &str) -> Vec<SearchResponse> {
    search_over(coalition.operator(from).await).await
}

/// The same over a channel to a node's operator API.
pub async fn search_over(channel: Channel) -> Vec<SearchResponse> {
    let subject = Record {
        fields: AT_HOME
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let mut results = SearchServiceClient::new(channel)
        .search(SearchRequest {
            subjects: vec![subject],
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            ..SearchRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = results.message().await.unwrap() {
        answers.push(answer);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_found_and_two_fields_are_asked_for() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    let answers = search(&coalition, "ua", "UA-1").await;
    let grades: Vec<(&str, &str)> = answers
        .iter()
        .map(|answer| (answer.member.as_str(), answer.results[0].grade.as_str()))
        .collect();
    assert_eq!(grades, [("de", "NO_MATCH"), ("pl", "MATCH")]);
    // The size of an answer tells nothing. (That of a query follows from its time by a few octets.)
    assert_eq!(answers[0].bytes_received, answers[1].bytes_received);

    let lead = &answers[1].results[0].leads[0].lead;
    let fields = ["current_place", "current_carer", "status"];
    let told = ask(&coalition, lead, &fields, "family_tracing").await;
    assert_eq!(told.granted.len(), 1);
    assert_eq!(told.granted["current_place"], "Lublin");
    // One waits for people, one the record lacks.
    assert_eq!(told.waiting, ["current_carer"]);
    assert_eq!(told.withheld, ["status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_knows_nothing_of_protection_takes_none_away() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    let with = |protection: &'static str| {
        let mut record = ABROAD.to_vec();
        record.push(("protection", protection));
        record
    };
    coalition.import("pl", &[&with("silent")]).await;
    coalition.import("pl", &[ABROAD]).await;
    coalition.import("pl", &[&with("none")]).await;
    let grade = |answers: Vec<SearchResponse>| answers[1].results[0].grade.clone();
    assert_eq!(grade(search(&coalition, "ua", "UA-1").await), "NO_MATCH");
    // It can be changed to another one.
    coalition.import("pl", &[&with("human_only")]).await;
    assert_eq!(grade(search(&coalition, "ua", "UA-1").await), "POSSIBLE");
}
