//! Membership as it changes under running nodes: roots and rosters spread, an expired roster is
//! mended, a suspended member is cut off at once, and a clock is accepted.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use wayhome::exchange::Refused;
use wayhome::node::{Config, Directory};
use wayhome::proto::exchange as pb;
use wayhome::proto::operator as op;
use wayhome::proto::operator::membership_service_client::MembershipServiceClient;
use wayhome::roster::{Purpose, Timestamp};

use crate::coalition::{Coalition, MEMBERS};
use crate::forge::{DAY_MS, Sent as _, evaluation, lookup, refusal, standing_clock};
use crate::tls::held_open;

async fn membership(coalition: &Coalition, id: &str) -> op::GetMembershipResponse {
    MembershipServiceClient::new(coalition.operator(id).await)
        .get_membership(op::GetMembershipRequest {})
        .await
        .unwrap()
        .into_inner()
}

async fn ask_peers(coalition: &Coalition, id: &str) -> Vec<(String, String)> {
    MembershipServiceClient::new(coalition.operator(id).await)
        .ask_peers(op::AskPeersRequest {})
        .await
        .unwrap()
        .into_inner()
        .offers
        .into_iter()
        .map(|offer| (offer.source, offer.code))
        .collect()
}

async fn take_files(coalition: &Coalition, id: &str) -> Vec<(String, String)> {
    MembershipServiceClient::new(coalition.operator(id).await)
        .take_files(op::TakeFilesRequest {})
        .await
        .unwrap()
        .into_inner()
        .offers
        .into_iter()
        .map(|offer| (offer.source, offer.code))
        .collect()
}

#[tokio::test]
async fn new_roots_come_by_file_and_reach_the_others_by_their_peers() {
    let mut coalition = Coalition::start().await;
    let root = coalition.rotate_roots();
    coalition.roster.version = 2;
    let directory = Directory::new(coalition.path("pl"));
    directory.write_root(2, &root).unwrap();
    coalition.publish_roster_at("pl");
    take_files(&coalition, "pl").await;
    let found = membership(&coalition, "pl").await;
    assert_eq!((found.root_version, found.roster_version), (2, 2));
    assert_eq!(found.not_in_force, "");

    // All root keys are others, so the old roster was dropped with them: the peers that it named
    // are found all the same.
    for id in ["ua", "de"] {
        ask_peers(&coalition, id).await;
        let found = membership(&coalition, id).await;
        assert_eq!((found.root_version, found.roster_version), (2, 2), "{id}");
    }
    // A roster that the old keys alone have signed is nobody's any more, and a restart forgets
    // nothing, even where the new root lies in the pin's place.
    let pinned = coalition.path("ua").join("root.note");
    std::fs::write(&pinned, &root).unwrap();
    coalition.stop_node("ua").await;
    coalition.start_node("ua").await;
    let found = membership(&coalition, "ua").await;
    assert_eq!((found.root_version, found.roster_version), (2, 2));
    let leaves = coalition.leaves("pl", 0).await;
    assert!(
        leaves
            .iter()
            .any(|leaf| leaf.act() == pb::Act::RosterAdopted && leaf.reference.ends_with("root=2"))
    );
}

#[tokio::test]
async fn a_root_put_into_the_pins_place_is_taken_at_the_next_start() {
    let mut coalition = Coalition::start().await;
    let root = coalition.rotate_roots();
    coalition.roster.version = 2;
    coalition.stop_node("de").await;
    std::fs::write(coalition.path("de").join("root.note"), &root).unwrap();
    coalition.publish_roster_at("de");
    coalition.start_node("de").await;
    let found = membership(&coalition, "de").await;
    assert_eq!((found.root_version, found.roster_version), (2, 2));
}

#[tokio::test]
async fn an_expired_roster_is_mended_from_any_peer_that_has_the_next() {
    let (clock, ambient) = standing_clock();
    let mut coalition = Coalition::start_at(ambient, |_| {}).await;
    clock.advance_ms(91 * DAY_MS);
    for id in MEMBERS {
        assert_eq!(
            membership(&coalition, id).await.not_in_force,
            "EXPIRED",
            "{id}"
        );
    }
    // Nobody answers a question under an expired roster.
    let message = lookup(&coalition, "ua", "pl", 1).sign();
    let channel = coalition.channel("ua", "pl").await;
    let refused = pb::LookupQuery::send(channel, message).await.err().unwrap();
    assert_eq!(refusal(&refused).1, "NO_ROSTER");

    coalition.roster.version = 2;
    coalition.roster.issued = Timestamp::from_unix(coalition.ambient.now());
    coalition.roster.expires = Timestamp::from_unix(coalition.ambient.now() + 90 * 86_400);
    coalition.publish_roster_at("pl");
    take_files(&coalition, "pl").await;
    let offers = ask_peers(&coalition, "ua").await;
    assert!(
        offers.contains(&("pl".to_owned(), "UPDATED".to_owned())),
        "{offers:?}"
    );
    let found = membership(&coalition, "ua").await;
    assert_eq!((found.roster_version, found.not_in_force.as_str()), (2, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_of_a_newer_roster_asks_for_it() {
    let mut coalition = Coalition::start().await;
    coalition.roster.version = 2;
    coalition.publish_roster_at("ua");
    coalition.roster_in_force("ua", 2).await;
    // One contact: the query says under which roster it was signed.
    crate::exchange::search_described(&coalition, "ua").await;
    for id in ["pl", "de"] {
        coalition.roster_in_force(id, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_member_is_cut_off_at_once_and_nobody_else() {
    let mut coalition = Coalition::start().await;
    let mut suspended = held_open(&coalition, "ua", "pl").await;
    let mut other = held_open(&coalition, "de", "pl").await;
    // Another member asks without a pause, before, during and after.
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let channel = coalition.channel("de", "pl").await;
    let drafts = (0..2_000).map(|_| lookup(&coalition, "de", "pl", 1).sign());
    let drafts: Vec<_> = drafts.collect();
    let asking = tokio::spawn(async move {
        let mut answered = 0;
        for message in drafts {
            pb::LookupQuery::send(channel.clone(), message)
                .await
                .unwrap();
            answered += 1;
            if stopped.try_recv().is_ok() {
                break;
            }
        }
        answered
    });

    coalition.roster.version = 2;
    let now = Timestamp::from_unix(coalition.ambient.now());
    for member in &mut coalition.roster.members {
        if member.id.as_str() == "ua" {
            member.suspended_since = Some(now);
        }
    }
    let queried = coalition.channel("ua", "pl").await;
    let first = lookup(&coalition, "ua", "pl", 1).sign();
    pb::LookupQuery::send(queried.clone(), first).await.unwrap();
    coalition.publish_roster_at("pl");

    // The connection ends though nothing was asked over it.
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        let mut frames = [0; 1024];
        while !matches!(suspended.read(&mut frames).await, Ok(0) | Err(_)) {}
    });
    ended.await.expect("the connection is still open");
    let message = lookup(&coalition, "ua", "pl", 1).sign();
    assert!(pb::LookupQuery::send(queried, message).await.is_err());
    // That of another is open: it has not ended.
    let mut frames = [0; 1024];
    let open = tokio::time::timeout(Duration::from_millis(50), async {
        while !matches!(other.read(&mut frames).await, Ok(0) | Err(_)) {}
    });
    assert!(open.await.is_err(), "another member was cut off too");
    let _ = stop.send(());
    assert!(asking.await.unwrap() > 0);
}

#[tokio::test]
async fn a_clock_that_ran_ahead_is_accepted_by_a_person() {
    let (clock, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |_| {}).await;
    clock.advance_ms(2 * DAY_MS);
    take_files(&coalition, "pl").await;
    clock.set_ms(crate::forge::START_MS + DAY_MS);
    assert_eq!(
        membership(&coalition, "pl").await.not_in_force,
        "CLOCK_WENT_BACK"
    );
    let told = take_files(&coalition, "pl").await;
    assert!(
        told.contains(&("roster.note".to_owned(), "CLOCK_WENT_BACK".to_owned())),
        "{told:?}"
    );
    let accepted = MembershipServiceClient::new(coalition.operator("pl").await)
        .accept_clock(op::AcceptClockRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(accepted.seen - accepted.now, DAY_MS / 1000);
    assert_eq!(membership(&coalition, "pl").await.not_in_force, "");
    let leaves = coalition.leaves("pl", 0).await;
    assert!(
        leaves
            .iter()
            .any(|leaf| leaf.act() == pb::Act::ClockAccepted)
    );
}

#[tokio::test]
async fn a_member_refuses_a_peer_or_a_purpose_for_its_own_node_without_a_restart() {
    let (_, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |_| {}).await;
    let directory = Directory::new(coalition.path("pl"));
    let ask = async |from: &str, purpose: pb::Purpose| {
        let message = lookup(&coalition, from, "pl", 1)
            .payload(|query| query.purpose = purpose.into())
            .sign();
        let channel = coalition.channel(from, "pl").await;
        match pb::LookupQuery::send(channel, message).await {
            Ok(_) => "answered".to_owned(),
            Err(refused) => refusal(&refused).1,
        }
    };
    let (tracing, reunion) = (pb::Purpose::FamilyTracing, pb::Purpose::Reunification);
    assert_eq!(ask("ua", reunion).await, "answered");

    let mut config = Config::load(&directory).unwrap();
    config.refuse = vec![
        Refused {
            member: Some("ua".parse().unwrap()),
            purposes: vec![Purpose::Reunification],
        },
        Refused {
            member: Some("de".parse().unwrap()),
            purposes: Vec::new(),
        },
    ];
    directory.write("node.toml", &config.to_text()).unwrap();
    take_files(&coalition, "pl").await;
    assert_eq!(ask("ua", reunion).await, "REFUSED_HERE");
    assert_eq!(ask("ua", tracing).await, "answered");
    assert_eq!(ask("de", tracing).await, "REFUSED_HERE");
    let message = evaluation(&coalition, "de", "pl", 1).sign();
    let channel = coalition.channel("de", "pl").await;
    let refused = pb::EvaluationQuery::send(channel, message)
        .await
        .err()
        .unwrap();
    assert_eq!(refusal(&refused).1, "REFUSED_HERE");
    // A configuration that is wrong changes nothing, and the operator is told.
    let good = directory.read("node.toml").unwrap();
    directory
        .write("node.toml", &format!("{good}\n[[refuse]]\n"))
        .unwrap();
    let told = take_files(&coalition, "pl").await;
    assert!(
        told.contains(&("node.toml".to_owned(), "CONFIG".to_owned())),
        "{told:?}"
    );
    assert_eq!(ask("de", tracing).await, "REFUSED_HERE");
    directory.write("node.toml", &good).unwrap();
    // What holds stands in the log.
    let leaves = coalition.leaves("pl", 0).await;
    let stated: Vec<&str> = leaves
        .iter()
        .filter(|leaf| leaf.act() == pb::Act::HouseRulesSet)
        .map(|leaf| leaf.reference.as_str())
        .collect();
    assert_eq!(stated.len(), 1);
    assert!(
        stated[0].starts_with("refuse=ua:reunification refuse=de "),
        "{stated:?}"
    );
}
