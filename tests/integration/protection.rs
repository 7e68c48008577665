//! Protected records: who looks for them is told to the holder, and to nobody else.

use wayhome::exchange::lookup;
use wayhome::node::{Directory, open_party};
use wayhome::proto::exchange::Act;
use wayhome::proto::operator::protection_service_client::ProtectionServiceClient;
use wayhome::proto::operator::record_service_client::RecordServiceClient;
use wayhome::proto::operator::{
    ImportRecordsRequest, ListProtectionAlertsRequest, ProtectionAlert, Record,
    SeeProtectionAlertRequest,
};

use crate::coalition::Coalition;
use crate::exchange::{ABROAD, AT_HOME, search};

fn abroad(protection: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut record = ABROAD.to_vec();
    record.push(("protection", protection));
    record
}

/// Stops a node, compares its lookups with its silent records, and starts it again.
async fn compare(coalition: &mut Coalition, id: &str) -> u64 {
    coalition.stop_node(id).await;
    let directory = Directory::new(coalition.path(id));
    let opened = open_party(&directory, &coalition.ambient).await.unwrap();
    let lookups = lookup::compare_with_silent(&opened.party).await.unwrap();
    opened.party.store().close().await;
    drop(opened);
    coalition.start_node(id).await;
    lookups
}

async fn alerts(coalition: &Coalition, id: &str) -> Vec<ProtectionAlert> {
    ProtectionServiceClient::new(coalition.operator(id).await)
        .list_protection_alerts(ListProtectionAlertsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .alerts
}

async fn grade_at_pl(coalition: &Coalition) -> String {
    let answers = search(coalition, "ua", "UA-1").await;
    answers[1].results[0].grade.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_record_answers_nobody_and_tells_its_holder_afterwards() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    // Looked for before its tokens were made: that is not missed either.
    coalition
        .import_unpublished("pl", &[&abroad("silent")])
        .await;
    assert_eq!(grade_at_pl(&coalition).await, "NO_MATCH");
    coalition.publish("pl").await;
    assert_eq!(grade_at_pl(&coalition).await, "NO_MATCH");
    assert!(alerts(&coalition, "pl").await.is_empty());

    assert_eq!(compare(&mut coalition, "pl").await, 2);
    let raised = alerts(&coalition, "pl").await;
    assert_eq!(raised.len(), 2);
    let leaves = coalition.leaves("pl", 0).await;
    for alert in &raised {
        assert_eq!(alert.protection, "silent");
        assert_eq!(alert.record_ref, "PL-1");
        assert_eq!(alert.peer, "ua");
        assert_eq!(alert.purpose, "family_tracing");
        assert_eq!(alert.case_reference, "CASE-1");
        assert_eq!(alert.grade, "MATCH");
        let leaf = &leaves[alert.leaf_index as usize];
        assert!(leaf.act() == Act::LookupAnswered);
    }
    let checked = leaves.last().unwrap();
    assert!(checked.act() == Act::SilentChecked);
    assert_eq!((checked.count, checked.reference.as_str()), (2, ""));

    // Nothing is raised twice, and nothing new leaves no leaf.
    assert_eq!(compare(&mut coalition, "pl").await, 0);
    assert_eq!(alerts(&coalition, "pl").await.len(), 2);

    let mut client = ProtectionServiceClient::new(coalition.operator("pl").await);
    client
        .see_protection_alert(SeeProtectionAlertRequest { id: raised[0].id })
        .await
        .unwrap();
    assert_eq!(alerts(&coalition, "pl").await.len(), 1);
    assert!(
        client
            .see_protection_alert(SeeProtectionAlertRequest { id: 999 })
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_finds_nothing_leaves_the_same_leaf() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    assert_eq!(grade_at_pl(&coalition).await, "MATCH");
    assert_eq!(compare(&mut coalition, "pl").await, 1);
    let leaves = coalition.leaves("pl", 0).await;
    let checked = leaves.last().unwrap();
    assert!(checked.act() == Act::SilentChecked);
    assert_eq!((checked.count, checked.reference.as_str()), (1, ""));
    assert!(alerts(&coalition, "pl").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_silent_leaves_the_index_at_once_and_the_log_says_so() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    assert_eq!(grade_at_pl(&coalition).await, "MATCH");
    let before = coalition.log_size("pl").await;
    coalition
        .import_unpublished("pl", &[&abroad("silent")])
        .await;
    let leaves = coalition.leaves("pl", before).await;
    let acts: Vec<Act> = leaves.iter().map(|leaf| leaf.act()).collect();
    assert!(acts == [Act::RecordsImported, Act::RecordsPublished]);
    assert!(leaves[1].reference.starts_with("epoch=1 tokens=0 root="));
    assert_eq!(grade_at_pl(&coalition).await, "NO_MATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_raised_with_the_answer_that_found_the_record() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[&abroad("alert")]).await;
    assert_eq!(grade_at_pl(&coalition).await, "MATCH");
    let raised = alerts(&coalition, "pl").await;
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].protection, "alert");
    assert_eq!(raised[0].record_ref, "PL-1");
    let leaves = coalition.leaves("pl", raised[0].leaf_index).await;
    assert!(leaves[0].act() == Act::LookupAnswered);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_states_no_ground_says_how_many_records_lose_theirs() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[ABROAD]).await;
    let without = ABROAD
        .iter()
        .filter(|(name, _)| *name != "consent")
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let counts = RecordServiceClient::new(coalition.operator("pl").await)
        .import_records(tokio_stream::iter([ImportRecordsRequest {
            records: vec![Record { fields: without }],
        }]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((counts.changed, counts.grounds_lost), (1, 1));
}
