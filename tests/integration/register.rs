//! A whole register is looked up, batch after batch, and nothing is asked or charged twice.

use std::collections::BTreeMap;

use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use wayhome::envelope::{ItemEvidence, items};
use wayhome::exchange::message::{Signer, sign_query_as};
use wayhome::linkage::RuleTable;
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::lookup_service_client::LookupServiceClient;
use wayhome::proto::operator::register_search_service_client::RegisterSearchServiceClient;
use wayhome::proto::operator::{SearchRegisterRequest, SearchRegisterResponse};

use crate::coalition::Coalition;
use crate::exchange::{ABROAD, AT_HOME};

/// Searches for the register of `from`; gives the last word of each member, with all that was found.
async fn search(
    coalition: &Coalition,
    from: &str,
    again: bool,
) -> BTreeMap<String, SearchRegisterResponse> {
    let mut told = RegisterSearchServiceClient::new(coalition.operator(from).await)
        .search_register(SearchRegisterRequest {
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            case_reference: "CASE-1".to_owned(),
            again,
            ..SearchRegisterRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let mut members: BTreeMap<String, SearchRegisterResponse> = BTreeMap::new();
    while let Some(mut told) = told.message().await.unwrap() {
        let before = members.remove(&told.member).unwrap_or_default();
        let mut found = before.found;
        found.append(&mut told.found);
        members.insert(
            told.member.clone(),
            SearchRegisterResponse { found, ..told },
        );
    }
    for member in members.values() {
        assert!(member.finished);
        assert_eq!(member.error_code, "", "{}", member.error_message);
    }
    members
}

fn children(count: usize) -> Vec<Vec<(&'static str, String)>> {
    (0..count)
        .map(|number| {
            vec![
                ("record_ref", format!("UA-{}", 100 + number)),
                ("family_name", "Бондар".to_owned()),
                ("given_name", "Ірина".to_owned()),
                ("sex", "F".to_owned()),
                (
                    "date_of_birth",
                    format!("2012-{:02}-{:02}", 1 + number / 28, 1 + number % 28),
                ),
                ("consent", "tracing".to_owned()),
            ]
        })
        .collect()
}

async fn import(coalition: &Coalition, id: &str, records: &[Vec<(&'static str, String)>]) {
    let borrowed: Vec<Vec<(&str, &str)>> = records
        .iter()
        .map(|fields| {
            fields
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect()
        })
        .collect();
    let slices: Vec<&[(&str, &str)]> = borrowed.iter().map(Vec::as_slice).collect();
    coalition.import(id, &slices).await;
}

/// Subjects that `member` was asked about by `peer`, by its own log.
async fn answered(coalition: &Coalition, member: &str, peer: &str) -> u32 {
    let leaves = coalition.leaves(member, 0).await;
    leaves
        .iter()
        .filter(|leaf| leaf.act() == pb::Act::LookupAnswered && leaf.peer == peer)
        .map(|leaf| leaf.count)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_is_asked_about_once_and_again_only_where_something_changed() {
    let coalition = Coalition::start().await;
    coalition.import("pl", &[ABROAD]).await;
    let mut register = children(40);
    register.push(
        AT_HOME
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
    );
    import(&coalition, "ua", &register).await;

    let first = search(&coalition, "ua", false).await;
    let members: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(members, ["de", "pl"]);
    for member in first.values() {
        assert_eq!((member.done, member.total, member.unchanged), (41, 41, 0));
    }
    assert_eq!(first["de"].found.len(), 0);
    let found = &first["pl"].found[0];
    assert_eq!(found.record_ref, "UA-1");
    assert_eq!(found.result.as_ref().unwrap().grade, "MATCH");
    assert_eq!(answered(&coalition, "pl", "ua").await, 41);

    // Nothing has changed: nothing is asked, and nothing is found anew.
    let second = search(&coalition, "ua", false).await;
    for member in second.values() {
        assert_eq!((member.done, member.total, member.unchanged), (0, 0, 41));
        assert_eq!(member.found.len(), 0);
    }
    // One record is new here: it alone is asked about.
    import(&coalition, "ua", &children(41)[40..]).await;
    let third = search(&coalition, "ua", false).await;
    for member in third.values() {
        assert_eq!((member.done, member.unchanged), (1, 41));
    }
    // Another mark at one member: there all are asked about, at the other none.
    let elsewhere = [
        ("record_ref", "DE-1"),
        ("family_name", "Bondar"),
        ("given_name", "Iryna"),
        ("sex", "F"),
        ("date_of_birth", "2012-01-01"),
        ("consent", "tracing"),
    ];
    coalition.import("de", &[&elsewhere]).await;
    let fourth = search(&coalition, "ua", false).await;
    assert_eq!((fourth["de"].done, fourth["pl"].done), (42, 0));
    let found = &fourth["de"].found;
    assert!(found.iter().any(|found| found.record_ref == "UA-100"));
    // And all of them whenever one wants it.
    let fifth = search(&coalition, "ua", true).await;
    assert_eq!((fifth["de"].done, fifth["pl"].done), (42, 42));
    assert_eq!(answered(&coalition, "pl", "ua").await, 41 + 1 + 42);
    assert_eq!(answered(&coalition, "de", "ua").await, 41 + 1 + 42 + 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_its_way_when_the_node_stopped_is_not_charged_again() {
    let mut coalition = Coalition::start().await;
    import(&coalition, "ua", &children(30)).await;
    // The holder is away: the batch is recorded as asked and never answered.
    coalition.stop_node("pl").await;
    let mut told = RegisterSearchServiceClient::new(coalition.operator("ua").await)
        .search_register(SearchRegisterRequest {
            purpose: "family_tracing".to_owned(),
            legal_basis: "vital_interest".to_owned(),
            case_reference: "CASE-1".to_owned(),
            members: vec!["pl".to_owned()],
            again: true,
        })
        .await
        .unwrap()
        .into_inner();
    let mut last = SearchRegisterResponse::default();
    while let Some(next) = told.message().await.unwrap() {
        last = next;
    }
    assert!(last.finished && !last.error_code.is_empty());
    let store = coalition.store("ua").await;
    let [sent] = store.sent_batches("pl").await.unwrap().try_into().unwrap();
    assert_eq!(sent.records.len(), 30);
    store.close().await;

    coalition.start_node("pl").await;
    // The same message reaches it by another way, and its answer is lost.
    let evidence = coalition.store("ua").await;
    let kept = evidence
        .evidence(sent.leaf_index, wayhome::store::EvidencePart::Query)
        .await
        .unwrap()
        .unwrap();
    evidence.close().await;
    let message = wayhome::exchange::message::to_wire(&kept);
    LookupServiceClient::new(coalition.channel("ua", "pl").await)
        .lookup(pb::LookupRequest {
            message: Some(message),
        })
        .await
        .unwrap();
    assert_eq!(answered(&coalition, "pl", "ua").await, 30);

    coalition.stop_node("ua").await;
    coalition.start_node("ua").await;
    let resumed = search(&coalition, "ua", false).await;
    assert_eq!(resumed["pl"].done, 30);
    // One answer, one debit, one leaf at the holder; one act of asking here.
    assert_eq!(answered(&coalition, "pl", "ua").await, 30);
    let leaves = coalition.leaves("ua", 0).await;
    let acts = |act: pb::Act| {
        leaves
            .iter()
            .filter(|leaf| leaf.act() == act && leaf.peer == "pl")
            .count()
    };
    assert_eq!(acts(pb::Act::LookupAsked), 1);
    assert_eq!(acts(pb::Act::LookupReceived), 1);
    let store = coalition.store("ua").await;
    assert_eq!(store.sent_batches("pl").await.unwrap(), []);
    store.close().await;
}

/// A query about `count` children whom nobody holds.
fn batch(coalition: &Coalition, count: usize, epoch: u32) -> pb::SignedMessage {
    let rules = RuleTable::shipped().ok().unwrap();
    let subject = pb::LookupSubject {
        presence: 0x1fff,
        tokens: vec![7; rules.slots() * 16],
        sibling_tokens: vec![7; rules.sibling_slot_rules().len() * 16],
    }
    .encode_to_vec();
    let identity = coalition.identity("ua");
    let payload = pb::LookupQuery {
        purpose: pb::Purpose::FamilyTracing.into(),
        legal_basis: pb::LegalBasis::VitalInterest.into(),
        epoch,
        rules_digest: rules.digest().to_vec(),
        ..pb::LookupQuery::default()
    };
    let signer = Signer {
        id: &"ua".parse().unwrap(),
        key: &identity.signing,
        ambient: &coalition.ambient,
    };
    let bodies = vec![subject.as_slice(); count];
    let roster = coalition.trusted_roster();
    sign_query_as(signer, &roster, coalition.member("pl"), payload, &bodies)
        .unwrap()
        .message
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_answered_in_their_order_and_a_refused_one_ends_nothing() {
    let coalition = Coalition::start().await;
    import(&coalition, "pl", &children(3)).await;
    let sizes = [1, 30, 2, 7];
    let mut sent: Vec<pb::SignedMessage> = sizes
        .iter()
        .map(|size| batch(&coalition, *size, 1))
        .collect();
    sent.insert(2, batch(&coalition, 5, 77));
    let (queries, stream) = tokio::sync::mpsc::channel(8);
    let mut answers = LookupServiceClient::new(coalition.channel("ua", "pl").await)
        .lookup_stream(ReceiverStream::new(stream))
        .await
        .unwrap()
        .into_inner();
    for message in &sent {
        let request = pb::LookupStreamRequest {
            message: Some(message.clone()),
        };
        queries.send(request).await.unwrap();
    }
    drop(queries);
    let mut items_of = Vec::new();
    while let Some(response) = answers.message().await.unwrap() {
        items_of.push(match response.outcome.unwrap() {
            pb::lookup_stream_response::Outcome::Message(message) => {
                prove_each(&message);
                message.items.len()
            }
            pb::lookup_stream_response::Outcome::Refusal(refusal) => {
                assert!(refusal.message.contains("epoch"), "{}", refusal.message);
                0
            }
        });
    }
    assert_eq!(items_of, [1, 30, 0, 2, 7]);
    assert_eq!(answered(&coalition, "pl", "ua").await, 40);
}

/// One signature covers a whole batch, and each item stands under it alone: with the hashes of the
/// others in their place.
fn prove_each(message: &pb::SignedMessage) {
    let payload = message.envelope.as_ref().unwrap().payload.as_slice();
    let header = pb::LookupAnswer::decode(payload).unwrap().header.unwrap();
    let commitment = items::ItemsCommitment {
        count: header.item_count,
        root: header.items_root.try_into().unwrap(),
    };
    let whole: Vec<ItemEvidence> = message
        .items
        .iter()
        .map(|item| match item.form.clone().unwrap() {
            pb::item::Form::Full(item) => ItemEvidence::full(item),
            pb::item::Form::Erased(_) => panic!("an item was left out"),
        })
        .collect();
    for kept in 0..whole.len() {
        let others: Vec<ItemEvidence> = whole
            .iter()
            .enumerate()
            .map(|(at, item)| {
                if at == kept {
                    item.clone()
                } else {
                    item.erased()
                }
            })
            .collect();
        commitment.check(&others).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_has_two_streams_open_and_no_third() {
    let coalition = Coalition::start().await;
    let channel = coalition.channel("ua", "pl").await;
    let open = || async {
        let (queries, stream) = tokio::sync::mpsc::channel(1);
        let answers = LookupServiceClient::new(channel.clone())
            .lookup_stream(ReceiverStream::new(stream))
            .await;
        (queries, answers)
    };
    let (first_queries, first) = open().await;
    let (_second_queries, second) = open().await;
    assert!(first.is_ok() && second.is_ok());
    let (_, third) = open().await;
    let refused = third.map(drop).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    // One that has ended makes room for another.
    drop(first_queries);
    let mut first = first.unwrap().into_inner();
    while first.message().await.unwrap().is_some() {}
    let room = async { while open().await.1.is_err() {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), room)
        .await
        .unwrap();
}
