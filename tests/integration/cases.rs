//! Cases at the operator API: searches that are kept, made again at night, and erased for good.

use tonic::Code;
use wayhome::node::OperatorChannel;
use wayhome::proto::operator as pb;
use wayhome::proto::operator::case_service_client::CaseServiceClient;

use crate::coalition::Coalition;
use crate::exchange::{ABROAD, AT_HOME};
use crate::forge::{DAY_MS, refusal, standing_clock};
use crate::office::Office;
use crate::process::PATIENCE;

type Cases = CaseServiceClient<OperatorChannel>;

fn search(record_ref: &str) -> pb::StartSearchRequest {
    pb::StartSearchRequest {
        record_ref: record_ref.to_owned(),
        purpose: "family_tracing".to_owned(),
        legal_basis: "vital_interest".to_owned(),
        case_reference: "CASE-7".to_owned(),
        ..pb::StartSearchRequest::default()
    }
}

async fn get(cases: &mut Cases, case: &str) -> pb::GetCaseResponse {
    cases
        .get_case(pb::GetCaseRequest {
            case: case.to_owned(),
        })
        .await
        .unwrap()
        .into_inner()
}

/// Waits until a case has so many searches, all of which have ended.
async fn searched(cases: &mut Cases, case: &str, count: usize) -> pb::GetCaseResponse {
    let look = async {
        loop {
            let found = get(cases, case).await;
            if found.searches.len() == count && found.searches.iter().all(|search| search.ended) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .expect("the search does not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_keeps_its_searches_and_is_looked_for_again_at_night() {
    let (clock, ambient) = standing_clock();
    let mut coalition = Coalition::start_at(ambient, |_| {}).await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    let people: [(&str, &[&str]); 2] = [("worker", &["caseworker"]), ("steward", &["steward"])];
    let office = Office::found(&coalition, "ua", &people).await;
    let mut cases: Cases = CaseServiceClient::new(office.person("worker").await);
    // A member that is down is shown as such, and the others stand.
    coalition.stop_node("de").await;
    let begun = cases
        .start_search(search("UA-1"))
        .await
        .unwrap()
        .into_inner();
    let case = searched(&mut cases, &begun.case, 1).await;
    let found = &case.searches[0];
    assert_eq!(found.search, begun.search);
    assert_eq!(found.members, ["de", "pl"]);
    let of = |member: &str| {
        found
            .answers
            .iter()
            .find(|answer| answer.member == member)
            .unwrap()
            .clone()
    };
    assert_eq!(of("pl").results[0].grade, "MATCH");
    assert!(of("de").results.is_empty() && !of("de").error_code.is_empty());
    let summary = case.summary.unwrap();
    assert_eq!((summary.grade.as_str(), summary.nightly), ("MATCH", false));
    assert!(!case.child.unwrap().fields.is_empty());

    // One record has one case, whoever searches and however often.
    let again = cases
        .start_search(search("UA-1"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.case, begun.case);
    searched(&mut cases, &begun.case, 2).await;

    // A note is its writer's, by name.
    cases
        .add_note(pb::AddNoteRequest {
            case: begun.case.clone(),
            text: " Called the school. ".to_owned(),
        })
        .await
        .unwrap();
    let empty = cases
        .add_note(pb::AddNoteRequest {
            case: begun.case.clone(),
            text: " ".to_owned(),
        })
        .await
        .err()
        .unwrap();
    assert_eq!(refusal(&empty).1, "NOTE");

    // What is asked on a lead of the case stands in it.
    office
        .disclosures("worker")
        .await
        .disclose(pb::DiscloseRequest {
            lead: of("pl").results[0].leads[0].lead.clone(),
            fields: vec!["current_place".to_owned()],
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            case_reference: "CASE-7".to_owned(),
            justification: "The family asks.".to_owned(),
            ..pb::DiscloseRequest::default()
        })
        .await
        .unwrap();
    let case = get(&mut cases, &begun.case).await;
    assert_eq!(
        (case.notes[0].by.as_str(), case.notes[0].text.as_str()),
        ("worker", "Called the school.")
    );
    assert_eq!(case.asked.len(), 1);
    assert_eq!(
        case.asked[0].asked.as_ref().unwrap().told,
        ["current_place"]
    );

    // At night the child is looked for by itself, once.
    cases
        .set_nightly(pb::SetNightlyRequest {
            case: begun.case.clone(),
            nightly: true,
        })
        .await
        .unwrap();
    coalition.start_node("de").await;
    clock.advance_ms(2 * DAY_MS);
    let mut office = office;
    office.sign_in(&coalition, "worker").await.unwrap();
    let mut cases: Cases = CaseServiceClient::new(office.person("worker").await);
    let case = searched(&mut cases, &begun.case, 3).await;
    assert!(case.searches[2].nightly && !case.searches[1].nightly);
    assert_eq!(case.searches[2].answers.len(), 2);
    assert!(case.summary.unwrap().nightly);

    // Somebody without the role sees nothing of it.
    office.sign_in(&coalition, "steward").await.unwrap();
    let mut steward: Cases = CaseServiceClient::new(office.person("steward").await);
    let refused = steward
        .list_cases(pb::ListCasesRequest::default())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);

    // Erased, it is gone, with all that was in it.
    cases
        .erase_case(pb::EraseCaseRequest {
            case: begun.case.clone(),
        })
        .await
        .unwrap();
    let gone = cases
        .get_case(pb::GetCaseRequest {
            case: begun.case.clone(),
        })
        .await
        .err()
        .unwrap();
    assert_eq!(refusal(&gone).1, "NO_SUCH_CASE");
    let gone = cases
        .get_search(pb::GetSearchRequest {
            search: begun.search,
        })
        .await
        .err()
        .unwrap();
    assert_eq!(refusal(&gone).1, "NO_SUCH_CASE");
    assert!(
        cases
            .list_cases(pb::ListCasesRequest::default())
            .await
            .unwrap()
            .into_inner()
            .cases
            .is_empty()
    );
    let store = coalition.store("ua").await;
    let mut id = [0; 16];
    hex::decode_to_slice(&begun.case, &mut id).unwrap();
    assert!(store.case_items(&id).await.unwrap().is_empty());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_and_unknown_are_refused_before_a_case_is_opened() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    let office = Office::found(&coalition, "ua", &[("worker", &["caseworker"])]).await;
    let mut cases: Cases = CaseServiceClient::new(office.person("worker").await);
    let described = |fields: &[(&str, &str)]| pb::StartSearchRequest {
        record_ref: String::new(),
        described: Some(pb::Record {
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }),
        ..search("")
    };
    for (request, code) in [
        (described(&[("given_name", "Olena")]), "TOO_FEW_ATTRIBUTES"),
        (described(&[("date_of_birth", "31.02.2014")]), "FIELD"),
        (search("UA-404"), "NO_SUCH_RECORD"),
        (
            pb::StartSearchRequest {
                purpose: "curiosity".to_owned(),
                ..search("UA-1")
            },
            "PURPOSE",
        ),
        (
            pb::StartSearchRequest {
                case: "00".repeat(16),
                ..search("")
            },
            "NO_SUCH_CASE",
        ),
    ] {
        let refused = cases.start_search(request).await.err().unwrap();
        assert_eq!(refusal(&refused).1, code);
    }
    let listed = cases
        .list_cases(pb::ListCasesRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().cases.is_empty());
}
