//! Clerical review: the holder's own staff sees what an answer rests on, and the peer nothing of it.

use prost::Message as _;
use wayhome::proto::exchange as pb;
use wayhome::proto::operator::record_service_client::RecordServiceClient;
use wayhome::proto::operator::review_service_client::ReviewServiceClient;
use wayhome::proto::operator::{
    EraseRecordRequest, Finding, FindingInFull, KeptReview, ListFindingsRequest, Record,
    SearchRequest, SearchResponse, ShowFindingsRequest, search_service_client::SearchServiceClient,
};
use wayhome::store::EvidencePart;

use crate::coalition::Coalition;
use crate::exchange::{ABROAD, AT_HOME};
use crate::process::{NodeProcess, run};

async fn findings(coalition: &Coalition, asked: ListFindingsRequest) -> Vec<Finding> {
    ReviewServiceClient::new(coalition.operator("pl").await)
        .list_findings(asked)
        .await
        .unwrap()
        .into_inner()
        .findings
}

async fn show(coalition: &Coalition, handle: &str) -> Vec<FindingInFull> {
    ReviewServiceClient::new(coalition.operator("pl").await)
        .show_findings(ShowFindingsRequest {
            handle: handle.to_owned(),
        })
        .await
        .unwrap()
        .into_inner()
        .findings
}

/// Asks `pl` about children as they are described.
async fn ask(coalition: &Coalition, from: &str, children: &[&[(&str, &str)]]) -> SearchResponse {
    let subjects = children.iter().map(|child| Record {
        fields: child
            .iter()
            .filter(|(name, _)| !["record_ref", "consent"].contains(name))
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    });
    let mut answers = SearchServiceClient::new(coalition.operator(from).await)
        .search(SearchRequest {
            subjects: subjects.collect(),
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            case_reference: "CASE-7".to_owned(),
            members: vec!["pl".to_owned()],
            ..SearchRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    answers.message().await.unwrap().unwrap()
}

fn class<'a>(full: &'a FindingInFull, name: &str) -> &'a str {
    let of = full.classes.iter().find(|class| class.class == name);
    &of.unwrap_or_else(|| panic!("no class {name}")).finding
}

fn with<'a>(
    child: &[(&'a str, &'a str)],
    changes: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut child = child.to_vec();
    for change in changes {
        child.retain(|(name, _)| *name != change.0);
        if !change.1.is_empty() {
            child.push(*change);
        }
    }
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holders_staff_sees_what_an_answer_rests_on() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[ABROAD]).await;
    let twin = with(AT_HOME, &[("given_name", "Богдан"), ("place_of_birth", "")]);
    let stranger = with(
        AT_HOME,
        &[
            ("family_name", "Гончар"),
            ("given_name", "Остап"),
            ("date_of_birth", "2009-01-21"),
        ],
    );
    let answer = ask(&coalition, "ua", &[&stranger, AT_HOME]).await;
    let lead = answer.results[1].leads[0].lead.clone();
    ask(&coalition, "de", &[&twin]).await;

    let listed = findings(&coalition, ListFindingsRequest::default()).await;
    let told: Vec<_> = listed
        .iter()
        .map(|found| {
            (
                found.peer.as_str(),
                found.subject_index,
                found.record_ref.as_str(),
                found.grade.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("de", 0, "PL-1", "POSSIBLE"), ("ua", 1, "PL-1", "MATCH")]
    );
    let by = |peer: &str| ListFindingsRequest {
        peer: peer.to_owned(),
        ..ListFindingsRequest::default()
    };
    assert_eq!(findings(&coalition, by("ua")).await.len(), 1);
    let of = |record: &str| ListFindingsRequest {
        record_ref: record.to_owned(),
        ..ListFindingsRequest::default()
    };
    assert_eq!(findings(&coalition, of("PL-1")).await.len(), 2);
    assert!(findings(&coalition, of("PL-2")).await.is_empty());

    // By the lead as the asking side writes it, by its digits, and by the query.
    let [full] = &show(&coalition, &lead).await[..] else {
        panic!("one lead is one finding");
    };
    let found = full.finding.as_ref().unwrap();
    assert_eq!(format!("pl:{}", found.lead), lead);
    assert_eq!(found.case_reference, "CASE-7");
    assert_eq!(found.purpose, "family_tracing");
    assert!(found.weight > found.match_at && found.match_at > found.possible_at);
    assert!(!found.frozen && !found.by_family && !found.explained);
    assert_eq!(class(full, "family name"), "agrees");
    assert_eq!(class(full, "date of birth"), "agrees");
    assert_eq!(class(full, "father's name"), "missing_here");
    assert_eq!(class(full, "document number"), "missing_both");
    assert_eq!(
        full.record.as_ref().unwrap().fields["current_carer"],
        "foster family 12"
    );
    assert!(
        full.rules
            .iter()
            .any(|rule| rule.of == "family name + date of birth")
    );
    for handle in [&found.lead, &found.message_id] {
        let again = show(&coalition, handle).await;
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].finding.as_ref().unwrap().lead, found.lead);
    }
    let twin = &show(&coalition, &listed[0].lead).await[0];
    assert_eq!(class(twin, "given name"), "differs");
    assert_eq!(class(twin, "place of birth"), "missing_there");

    // What was erased is gone from the review, too.
    RecordServiceClient::new(coalition.operator("pl").await)
        .erase_record(EraseRecordRequest {
            record_ref: "PL-1".to_owned(),
        })
        .await
        .unwrap();
    let full = &show(&coalition, &lead).await[0];
    assert!(full.record.is_none());
    assert_eq!(full.finding.as_ref().unwrap().record_ref, "");
    assert_eq!(full.state, "erased");
}

/// The result as it went over the wire, without the leads' random handles.
fn bare(item: &pb::Item) -> pb::LookupResult {
    let Some(pb::item::Form::Full(bytes)) = &item.form else {
        panic!("an item is erased");
    };
    let mut result = pb::LookupResult::decode(&bytes[16..]).unwrap();
    for lead in &mut result.leads {
        assert_eq!(lead.lead_id.len(), 16);
        lead.lead_id.clear();
    }
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_is_in_the_answer() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[ABROAD]).await;
    // Both match; other rules agreed, with other weights.
    let undated = with(AT_HOME, &[("date_of_birth", "2014"), ("patronymic", "")]);
    let before = coalition.log_size("pl").await;
    ask(&coalition, "ua", &[AT_HOME, &undated]).await;
    let store = coalition.store("pl").await;
    let mut answered = None;
    for leaf_index in before..coalition.log_size("pl").await {
        let review = store
            .evidence(leaf_index, EvidencePart::Review)
            .await
            .unwrap();
        if let Some(review) = review {
            answered = Some((
                leaf_index,
                KeptReview::decode(review.envelope.as_slice()).unwrap(),
            ));
        }
    }
    let (leaf_index, kept) = answered.expect("the answer found something");
    let [first, second] = &kept.findings[..] else {
        panic!("both children were found");
    };
    assert_ne!(first.rules, second.rules);
    assert!((first.weight - second.weight).abs() > 1.0);
    assert_eq!((first.grade, second.grade), (3, 3));

    let answer = store
        .evidence(leaf_index, EvidencePart::Answer)
        .await
        .unwrap()
        .unwrap();
    let wire = wayhome::exchange::message::to_wire(&answer);
    let results: Vec<Vec<u8>> = wire
        .items
        .iter()
        .map(|item| bare(item).encode_to_vec())
        .collect();
    // The handles apart, a result is its grade and padding: what differs in review does not show.
    assert_eq!(results[0], results[1]);
    let bytes = wire.encode_to_vec();
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    assert!(holds(&first.lead_id));
    for found in &kept.findings {
        assert!(!holds(&found.ref_tag));
        assert!(!holds(&found.weight.to_le_bytes()));
        let ids: Vec<u8> = found.rules.iter().map(|id| *id as u8).collect();
        assert!(ids.len() > 2 && !holds(&ids));
        assert!(!holds(b"PL-1"));
    }
    // Nor does an ombudsman's reading serve it: the parts that are served are named one by one.
    let behind = store
        .evidence_between(leaf_index, leaf_index + 1)
        .await
        .unwrap();
    assert!(behind[&leaf_index].part(EvidencePart::Review).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_and_lowered_grades_are_said() {
    let coalition = Coalition::start().await;
    let guarded = with(ABROAD, &[("protection", "human_only")]);
    coalition.import("pl", &[&guarded]).await;
    ask(&coalition, "ua", &[AT_HOME]).await;
    let listed = findings(&coalition, ListFindingsRequest::default()).await;
    assert_eq!(
        (listed[0].weighed.as_str(), listed[0].grade.as_str()),
        ("MATCH", "POSSIBLE")
    );
    assert!(!listed[0].frozen);
    for year in 2008..2014 {
        let date = format!("{year}-05-03");
        ask(
            &coalition,
            "ua",
            &[&with(AT_HOME, &[("date_of_birth", &date)])],
        )
        .await;
    }
    let listed = findings(&coalition, ListFindingsRequest::default()).await;
    assert!(listed[0].frozen, "the seventh set is beyond the limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_to_siblings_is_said() {
    let coalition = Coalition::start().await;
    let born = [
        ("M", "2011-03-05"),
        ("F", "2013-09-21"),
        ("M", "2016-01-30"),
    ];
    let family = |names: [(&'static str, &'static str); 3], refs: [&'static str; 3]| {
        let children = refs.into_iter().zip(names).zip(born);
        let record = |((reference, (family, given)), (sex, date))| {
            vec![
                ("record_ref", reference),
                ("family_name", family),
                ("given_name", given),
                ("sex", sex),
                ("date_of_birth", date),
                ("family_ref", "F-1"),
                ("consent", "tracing"),
            ]
        };
        children.map(record).collect::<Vec<_>>()
    };
    let home = [
        ("Гончар", "Остап"),
        ("Гончар", "Соломія"),
        ("Гончар", "Тарас"),
    ];
    let abroad = [("Maier", "Felix"), ("Maier", "Greta"), ("Maier", "Jonas")];
    for (member, children) in [
        ("ua", family(home, ["UA-1", "UA-2", "UA-3"])),
        ("pl", family(abroad, ["PL-1", "PL-2", "PL-3"])),
    ] {
        let children: Vec<&[(&str, &str)]> = children.iter().map(Vec::as_slice).collect();
        coalition.import(member, &children).await;
    }
    let mut answers = SearchServiceClient::new(coalition.operator("ua").await)
        .search(SearchRequest {
            record_refs: ["UA-1", "UA-2", "UA-3"].map(str::to_owned).to_vec(),
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            members: vec!["pl".to_owned()],
            ..SearchRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let lead = answer.results[0].leads[0].lead.clone();
    let full = &show(&coalition, &lead).await[0];
    let found = full.finding.as_ref().unwrap();
    assert_eq!(
        (found.grade.as_str(), found.record_ref.as_str()),
        ("POSSIBLE", "PL-1")
    );
    assert!(found.by_family && found.weight >= found.possible_at);
    assert!(full.weight_alone < found.possible_at);
    assert!(full.rules.iter().any(|rule| rule.of.contains("a sibling")));
    // The whole query, by its id: every child that was found.
    let all = show(&coalition, &found.message_id).await;
    assert!(
        all.len() >= 3
            && all
                .iter()
                .all(|full| full.finding.as_ref().unwrap().by_family)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_speaks_to_people_and_machines() {
    let mut coalition = Coalition::start().await;
    coalition.import("pl", &[ABROAD]).await;
    let answer = ask(&coalition, "ua", &[AT_HOME]).await;
    let lead = answer.results[0].leads[0].lead.clone();
    coalition.stop_node("pl").await;
    let directory = coalition.path("pl");
    let node = NodeProcess::start(&directory).await;

    let listed = run(&directory, &["--json", "review", "list"])
        .await
        .object();
    assert_eq!(listed["findings"][0]["record_ref"], "PL-1");
    assert_eq!(listed["findings"][0]["grade"], "MATCH");
    assert!(listed["next_before"].is_null());
    let plain = run(&directory, &["review", "list"]).await;
    assert!(
        plain.out.contains("PL-1") && plain.out.contains("1 findings"),
        "{}",
        plain.out
    );
    // Personal data is shown by explicit request alone.
    assert!(!plain.out.contains("Kowalczuk") && !listed.to_string().contains("Kowalczuk"));
    let shown = run(&directory, &["review", "show", &lead]).await;
    for part in [
        "MATCH: lead",
        "asked by",
        "Kowalczuk",
        "missing on ours",
        "rule 2 agreed",
    ] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let shown = run(&directory, &["--json", "review", "show", &lead])
        .await
        .object();
    assert_eq!(
        shown["findings"][0]["attributes"]["father's name"],
        "missing_here"
    );
    assert_eq!(shown["findings"][0]["record"]["record_ref"], "PL-1");
    for (handle, code, exit) in [
        ("pl:00", "HANDLE", 2),
        (&"0".repeat(32), "NO_SUCH_FINDING", 1),
    ] {
        let said = run(&directory, &["--json", "review", "show", handle]).await;
        assert_eq!(said.code, Some(exit));
        assert_eq!(said.object()["error"]["code"], code);
    }
    node.stop().await;
}
