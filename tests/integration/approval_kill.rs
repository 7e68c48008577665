//! A node is killed at every step of an approval and of telling what was approved: no decision that was
//! acknowledged is lost, none is made twice, and nothing is answered twice.

use wayhome::proto::exchange as xpb;
use wayhome::proto::exchange::{Act, LogEntry};

use crate::coalition::Coalition;
use crate::exchange::{ask, search};
use crate::forge::{Sent, disclosure};
use crate::office::Office;
use crate::process::{NodeProcess, comes};

/// Where the holder dies while the second of two people approves.
const DECIDING: [(&str, bool); 7] = [
    ("approve.begun", false),
    ("decision.ready", false),
    ("ledger.begun", false),
    ("ledger.ready", false),
    ("ledger.durable", true),
    ("decision.durable", true),
    ("approve.durable", true),
];

/// Where it dies while it tells what was approved.
const TELLING: [(&str, bool); 3] = [
    ("ledger.begun", false),
    ("ledger.ready", false),
    ("ledger.durable", true),
];

async fn leaves(coalition: &Coalition, wanted: impl Fn(&LogEntry) -> bool) -> usize {
    let leaves = coalition.leaves("pl", 0).await;
    leaves.iter().filter(|leaf| wanted(leaf)).count()
}

/// Waits until the node has told its people of a request, so that the next act is one of theirs.
async fn people_are_told(coalition: &Coalition, requests: usize) {
    comes("the announcement", async || {
        leaves(coalition, |leaf| leaf.act() == Act::DisclosureEscalated).await >= requests
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_loses_no_decision_and_makes_none_twice() {
    let mut coalition = Coalition::found(|_| {});
    for member in ["ua", "de"] {
        coalition.start_node(member).await;
    }
    let directory = coalition.path("pl");
    let mut node = NodeProcess::start(&directory).await;
    let child = [
        ("given_name", "Aleksander"),
        ("date_of_birth", "2014-05-03"),
        ("place_of_birth", "Mariupol"),
        ("mother_given_name", "Olena"),
        ("consent", "tracing"),
    ];
    let held = [
        &[("record_ref", "PL-1"), ("family_name", "Kowalczuk")][..],
        &child,
        &[("current_carer", "foster family 12")],
    ]
    .concat();
    let asked = [
        &[("record_ref", "UA-1"), ("family_name", "Kowalczuk")][..],
        &child,
    ]
    .concat();
    coalition.import("pl", &[&held]).await;
    coalition.import("ua", &[&asked]).await;
    let office = Office::found(
        &coalition,
        "pl",
        &[("anna", &["approver"]), ("boris", &["approver"])],
    )
    .await;
    let answers = search(&coalition, "ua", "UA-1").await;
    let answer = answers.iter().find(|answer| answer.member == "pl").unwrap();
    let lead = answer.results[0].leads[0].lead.clone();

    let mut approved = String::new();
    for (number, (place, durable)) in (1..).zip(DECIDING) {
        let answer = ask(&coalition, &lead, &["current_carer"], "family_tracing").await;
        let request = answer.request.strip_prefix("pl:").unwrap().to_owned();
        people_are_told(&coalition, number).await;
        office.approve("anna", &request).await.unwrap();
        let digest = office.show("boris", &request).await.digest;
        assert!(node.stop().await.success());

        let dying = NodeProcess::start_to_die_at(&directory, place).await;
        let decided = office
            .approve_seen("boris", &request, &digest, &[], false)
            .await;
        assert!(decided.is_err(), "{place}: it was acknowledged");
        assert!(dying.was_killed().await, "{place}");

        node = NodeProcess::start(&directory).await;
        let of_this = |leaf: &LogEntry| {
            leaf.act() == Act::DisclosureApproved && leaf.reference.contains(&request)
        };
        let state = office.show("anna", &request).await.summary.unwrap().state;
        let made = leaves(&coalition, of_this).await;
        // The leaf is there if and only if the decision is.
        let expected = if durable {
            ("granted", 2)
        } else {
            ("waiting", 1)
        };
        assert_eq!((state.as_str(), made), expected, "{place}");
        if !durable {
            office.approve("boris", &request).await.unwrap();
        }
        let state = office.show("anna", &request).await.summary.unwrap().state;
        assert_eq!(state, "granted", "{place}");
        assert_eq!(leaves(&coalition, of_this).await, 2, "{place}");
        approved = request;
    }

    // What was approved is asked for with one message, sent until it is answered.
    let lead_id = hex::decode(lead.strip_prefix("pl:").unwrap()).unwrap();
    for (place, durable) in TELLING {
        let draft = disclosure(&coalition, "ua", "pl", &lead_id, &["current_carer"])
            .payload(|query| query.request_id = hex::decode(&approved).unwrap())
            .items(Vec::clear)
            .header(|header| {
                let nothing: [Vec<u8>; 0] = [];
                let none = wayhome::envelope::ItemsCommitment::to(&nothing).unwrap();
                header.items_root = none.root.to_vec();
                header.item_count = none.count;
            });
        let message_id = draft.message_id();
        let message = draft.sign();
        let answered = |leaf: &LogEntry| {
            leaf.act() == Act::DisclosureAnswered && leaf.message_id == message_id
        };
        assert!(node.stop().await.success());
        let dying = NodeProcess::start_to_die_at(&directory, place).await;
        let channel = coalition.channel("ua", "pl").await;
        let told = xpb::DisclosureQuery::send(channel, message.clone()).await;
        assert!(told.is_err(), "{place}: it was answered");
        assert!(dying.was_killed().await, "{place}");
        node = NodeProcess::start(&directory).await;
        assert_eq!(
            leaves(&coalition, answered).await,
            usize::from(durable),
            "{place}"
        );
        let channel = coalition.channel("ua", "pl").await;
        let first = xpb::DisclosureQuery::send(channel.clone(), message.clone())
            .await
            .unwrap();
        let again = xpb::DisclosureQuery::send(channel, message).await.unwrap();
        assert!(prost::Message::encode_to_vec(&first) == prost::Message::encode_to_vec(&again));
        assert_eq!(first.items.len(), 1, "{place}");
        assert_eq!(leaves(&coalition, answered).await, 1, "{place}");
    }
    assert!(node.stop().await.success());
}
