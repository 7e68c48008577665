//! Membership as it changes under running nodes: roots and rosters spread, an expired roster is
//! mended, a suspended member is cut off at once, and a clock is accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wayhome::exchange::Refused;
use wayhome::node::identity::spki_sha256;
use wayhome::node::{Config, Directory, Identity};
use wayhome::proto::exchange as pb;
use wayhome::proto::operator as op;
use wayhome::proto::operator::membership_service_client::MembershipServiceClient;
use wayhome::proto::operator::record_service_client::RecordServiceClient;
use wayhome::roster::{Bytes32, Member, MemberKey, Purpose, Timestamp, TlsPin};

use crate::coalition::{Coalition, MEMBERS};
use crate::forge::{DAY_MS, Sent as _, evaluation, lookup, refusal, standing_clock};
use crate::process::{self, PATIENCE};
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

/// The number of the new roster is that of the old one: what tells them apart is the root.
#[tokio::test(flavor = "multi_thread")]
async fn who_hears_of_a_roster_under_new_root_keys_asks_for_it_whatever_its_version() {
    let mut coalition = Coalition::start().await;
    let root = coalition.rotate_roots();
    Directory::new(coalition.path("ua"))
        .write_root(2, &root)
        .unwrap();
    coalition.publish_roster_at("ua");
    take_files(&coalition, "ua").await;
    // The others take its messages for what they are, and not for a split.
    for answer in crate::exchange::search_described(&coalition, "ua").await {
        assert_eq!(answer.error_message, "");
    }
    for id in ["pl", "de"] {
        let taken = async {
            loop {
                let found = membership(&coalition, id).await;
                if (found.root_version, found.roster_version) == (2, 1) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), taken)
            .await
            .unwrap_or_else(|_| panic!("{id} did not ask"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_off_has_the_newest_roster_before_it_answers() {
    let mut coalition = Coalition::start().await;
    coalition.stop_node("pl").await;
    coalition.roster.version = 2;
    coalition.publish_roster_at("ua");
    coalition.roster_in_force("ua", 2).await;
    coalition.start_node("pl").await;
    assert_eq!(membership(&coalition, "pl").await.roster_version, 2);

    // The older one still lies in its directory. That is nobody's attempt at anything, neither at the
    // start nor when another file changes.
    let directory = Directory::new(coalition.path("pl"));
    let mut config = Config::load(&directory).unwrap();
    config.refuse = vec![Refused {
        member: Some("de".parse().unwrap()),
        purposes: Vec::new(),
    }];
    directory.write("node.toml", &config.to_text()).unwrap();
    let looked = async {
        loop {
            let leaves = coalition.leaves("pl", 0).await;
            if leaves
                .iter()
                .any(|leaf| leaf.act() == pb::Act::HouseRulesSet)
            {
                return leaves;
            }
        }
    };
    let leaves = tokio::time::timeout(Duration::from_secs(60), looked)
        .await
        .expect("the configuration was not taken");
    let refused = |leaf: &pb::LogEntry| leaf.act() == pb::Act::RosterRefused;
    assert!(!leaves.iter().any(refused));
    // One that is put there now is another matter.
    coalition.roster.version = 1;
    coalition.roster.members[0].index_cap += 1;
    coalition.publish_roster_at("pl");
    let noticed = async {
        while !coalition
            .leaves("pl", 0)
            .await
            .iter()
            .any(|leaf| leaf.act() == pb::Act::RosterRefused && leaf.reference == "ROLLBACK")
        {
        }
    };
    tokio::time::timeout(Duration::from_secs(60), noticed)
        .await
        .expect("the rollback was not recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_new_root_keys_a_version_that_was_there_before_is_another_roster() {
    let mut coalition = Coalition::start().await;
    crate::exchange::search_described(&coalition, "ua").await;
    // The version is counted anew, and the key is another one under the same number.
    let root = coalition.rotate_roots();
    let key = coalition.make_key(1);
    coalition.roster.coalition_key.current = Some(key);
    for id in ["pl", "de"] {
        coalition.stop_node(id).await;
    }
    for id in MEMBERS {
        let directory = Directory::new(coalition.path(id));
        directory.write_root(2, &root).unwrap();
    }
    coalition.publish_roster();
    for id in ["pl", "de"] {
        coalition.start_node(id).await;
    }
    take_files(&coalition, "ua").await;
    for id in MEMBERS {
        let found = membership(&coalition, id).await;
        assert_eq!((found.root_version, found.roster_version), (2, 1), "{id}");
    }
    // One node ran through it, the others begin anew: they agree on the key.
    for answer in crate::exchange::search_described(&coalition, "ua").await {
        assert_eq!(answer.error_message, "");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_renews_its_keys_under_load_and_loses_no_query() {
    let (clock, ambient) = standing_clock();
    let mut coalition = Coalition::start_at(ambient, |_| {}).await;
    let directory = Directory::new(coalition.path("pl"));
    let (old_key, old_pin) = coalition.identity("pl").renewed().unwrap();
    let successors =
        Identity::renew(&directory, &"pl".parse().unwrap(), &coalition.ambient).unwrap();
    let (key, pin) = successors.public().unwrap();
    let not_before = Timestamp::from_unix(coalition.ambient.now() + 60);
    let not_after = Timestamp::from_unix(coalition.ambient.now() + 365 * 86_400);
    let own = |coalition: &mut Coalition, change: &dyn Fn(&mut Member)| {
        coalition.roster.version += 1;
        let mut members = coalition.roster.members.iter_mut();
        change(members.find(|member| member.id.as_str() == "pl").unwrap());
        coalition.publish_roster();
    };
    own(&mut coalition, &|pl| {
        pl.signing_keys.push(MemberKey {
            public_key: key,
            not_before,
            not_after,
        });
        pl.tls_pins.push(TlsPin {
            spki_sha256: pin,
            not_before,
            not_after,
        });
    });
    for id in MEMBERS {
        coalition.roster_in_force(id, 2).await;
    }

    // A member that asks the node, and the node that asks others, without a pause. Both have it
    // evaluate and answer too.
    let stop = Arc::new(AtomicBool::new(false));
    let mut loads = Vec::new();
    for from in ["ua", "pl"] {
        let channel = coalition.operator(from).await;
        let (done, progress) = watch::channel(0_u64);
        let stop = Arc::clone(&stop);
        let load = tokio::spawn(async move {
            while !stop.load(Ordering::Acquire) {
                for answer in crate::exchange::search_over(channel.clone()).await {
                    assert_eq!(answer.error_code, "", "{from} at {}", answer.member);
                }
                done.send_modify(|count| *count += 1);
            }
        });
        loads.push((load, progress));
    }
    let searched = async |loads: &mut Vec<(JoinHandle<()>, watch::Receiver<u64>)>, more: u64| {
        for (_, progress) in loads.iter_mut() {
            let target = *progress.borrow() + more;
            let reached = progress.wait_for(|count| *count >= target);
            reached.await.expect("a search failed");
        }
    };
    // The new keys' time comes, in steps that no message under way outlives.
    for _ in 0..12 {
        searched(&mut loads, 1).await;
        clock.advance_ms(20_000);
    }
    let changed = async {
        while !coalition
            .leaves("pl", 0)
            .await
            .iter()
            .any(|leaf| leaf.act() == pb::Act::KeysChanged)
        {}
    };
    tokio::time::timeout(PATIENCE, changed)
        .await
        .expect("the keys did not change");
    searched(&mut loads, 2).await;
    let shown = held_open(&coalition, "ua", "pl").await;
    let certificate = &shown.get_ref().1.peer_certificates().unwrap()[0];
    assert_eq!(
        Bytes32::new(spki_sha256(certificate).unwrap()),
        pin,
        "it shows the new certificate"
    );

    // The old ones leave the roster, and are destroyed.
    own(&mut coalition, &|pl| {
        pl.signing_keys.retain(|known| known.public_key != old_key);
        pl.tls_pins.retain(|known| known.spki_sha256 != old_pin);
    });
    for id in MEMBERS {
        coalition.roster_in_force(id, 3).await;
    }
    searched(&mut loads, 2).await;
    let retired = process::finish(
        process::wayhome(&coalition.path("pl"))
            .env("WAYHOME_TEST_CLOCK", coalition.ambient.now().to_string())
            .args(["--json", "keys", "retire"]),
    )
    .await;
    assert_eq!(retired.code, Some(0), "{retired:?}");
    searched(&mut loads, 2).await;
    stop.store(true, Ordering::Release);
    for (load, progress) in loads {
        load.await.expect("no search failed");
        assert!(*progress.borrow() >= 18);
    }
    assert_eq!(coalition.identity("pl").renewed().unwrap(), (key, pin));
}

#[tokio::test]
async fn keys_are_renewed_by_commands_and_not_retired_too_early() {
    let coalition = Coalition::found(|_| {});
    let directory = coalition.path("de");
    let said = process::run(&directory, &["--json", "keys", "renew"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let entry = &said.object()["entry"];
    for list in ["signing_keys", "tls_pins"] {
        let keys = entry[list].as_array().unwrap();
        assert_eq!(keys.len(), 2, "{list}");
        // They overlap.
        assert!(
            keys[1]["not_before"].as_str() < keys[0]["not_after"].as_str(),
            "{list}"
        );
    }
    // What goes into the roster is in member.json, and is an entry that a draft takes.
    let written = std::fs::read_to_string(directory.join("member.json")).unwrap();
    let member: Member = serde_json::from_str(&written).unwrap();
    assert_eq!(member.signing_keys.len(), 2);

    let again = process::run(&directory, &["--json", "keys", "renew"]).await;
    assert_eq!(again.object()["error"]["code"], "KEYS_RENEWED");
    let early = process::run(&directory, &["--json", "keys", "retire"]).await;
    assert_eq!(early.code, Some(1));
    assert_eq!(early.object()["error"]["code"], "KEYS_NOT_IN_USE");
    let status = process::run(&directory, &["--json", "keys", "status"]).await;
    let keys = status.object()["keys"].clone();
    assert_eq!(keys[0]["in_use"], true);
    assert_eq!(keys[1]["in_use"], false);
    assert_eq!(keys[1]["not_before"], serde_json::Value::Null);
}

#[tokio::test]
async fn an_index_larger_than_the_roster_allows_is_not_published() {
    let (_, ambient) = standing_clock();
    let coalition = Coalition::start_at(ambient, |roster| {
        for member in &mut roster.members {
            if member.id.as_str() == "pl" {
                member.index_cap = 1;
            }
        }
    })
    .await;
    coalition.import("pl", &[crate::exchange::ABROAD]).await;
    let mut second = crate::exchange::AT_HOME.to_vec();
    second[0] = ("record_ref", "PL-2");
    coalition.import_unpublished("pl", &[&second]).await;
    let mut steps = RecordServiceClient::new(coalition.operator("pl").await)
        .publish_records(op::PublishRecordsRequest {})
        .await
        .unwrap()
        .into_inner();
    let refused = loop {
        match steps.message().await {
            Ok(Some(step)) => assert!(!step.published),
            Ok(None) => panic!("it was published"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refusal(&refused).1, "INDEX_CAP");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_vouch_for_the_newest_roster_and_a_node_held_in_the_past_says_so() {
    let (clock, ambient) = standing_clock();
    let mut coalition = Coalition::start_vouching(ambient).await;
    let vouched = async |coalition: &Coalition, at: u64| {
        let reached = async {
            loop {
                ask_peers(coalition, "pl").await;
                let found = membership(coalition, "pl").await;
                if found.vouched >= at {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("no majority vouched for the roster")
    };
    let began = coalition.ambient.now();
    assert!(!vouched(&coalition, began).await.stale);
    // Each says so anew from time to time.
    clock.advance_ms(DAY_MS);
    assert!(!vouched(&coalition, began + DAY_MS / 1000).await.stale);

    // Cut off from the others, the node cannot know any more, and after two days says so.
    coalition.stop_node("ua").await;
    coalition.stop_node("de").await;
    clock.advance_ms(DAY_MS);
    assert!(!membership(&coalition, "pl").await.stale);
    clock.advance_ms(2 * DAY_MS);
    let found = membership(&coalition, "pl").await;
    assert!(found.stale);
    assert!(found.vouched < began + 2 * DAY_MS / 1000);
    let told = async {
        while !coalition
            .leaves("pl", 0)
            .await
            .iter()
            .any(|leaf| leaf.act() == pb::Act::RosterStale)
        {}
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("the operator was not told");

    // A new roster, vouched for by none but the node itself, is not proved by the old one's word.
    coalition.roster.version = 2;
    coalition.publish_roster_at("pl");
    take_files(&coalition, "pl").await;
    assert_eq!(membership(&coalition, "pl").await.vouched, 0);
}

#[tokio::test]
async fn versions_begin_anew_under_new_root_keys_also_for_who_asks_its_peers() {
    let mut coalition = Coalition::start().await;
    let root = coalition.rotate_roots();
    Directory::new(coalition.path("ua"))
        .write_root(2, &root)
        .unwrap();
    // The first roster under the new keys has the number of the last one under the old.
    coalition.publish_roster_at("ua");
    take_files(&coalition, "ua").await;
    let at_ua = membership(&coalition, "ua").await;
    assert_eq!((at_ua.root_version, at_ua.roster_version), (2, 1));
    let before = membership(&coalition, "pl").await;
    assert_eq!((before.root_version, before.roster_version), (1, 1));
    // One question brings both.
    ask_peers(&coalition, "pl").await;
    let at_pl = membership(&coalition, "pl").await;
    assert_eq!((at_pl.root_version, at_pl.roster_version), (2, 1));
    assert_eq!(at_pl.roster_digest, at_ua.roster_digest);
    // Who is behind has nothing to give, and nothing of it is held against it.
    ask_peers(&coalition, "ua").await;
    let leaves = coalition.leaves("ua", 0).await;
    let refused = |leaf: &pb::LogEntry| leaf.act() == pb::Act::RosterRefused;
    assert!(!leaves.iter().any(refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_requests_are_few_for_each_party_and_keep_the_house_rules() {
    use tonic::Code;
    use tonic_types::StatusExt as _;
    use wayhome::exchange::disclose::STREAMS;
    use wayhome::proto::exchange::disclosure_service_client::DisclosureServiceClient;

    let coalition = Coalition::start().await;
    let watch = async |from: &str| {
        DisclosureServiceClient::new(coalition.channel(from, "pl").await)
            .watch_requests(pb::WatchRequestsRequest { since_ms: 0 })
            .await
            .map(tonic::Response::into_inner)
    };
    let code = |status: &tonic::Status| status.get_details_error_info().unwrap().reason;
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(watch("de").await.unwrap());
    }
    let refused = watch("de").await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(code(&refused), "TOO_MANY_STREAMS");
    assert!(refused.get_details_retry_info().is_some());
    assert!(refused.get_details_quota_failure().is_some());
    // Another party has its own, and an end makes room.
    drop(watch("ua").await.unwrap());
    open.pop();
    let again = async {
        loop {
            if let Ok(stream) = watch("de").await {
                return stream;
            }
        }
    };
    open.push(
        tokio::time::timeout(Duration::from_secs(60), again)
            .await
            .expect("no room after an end"),
    );
    let refused = watch(crate::coalition::OMBUDSMAN).await.err().unwrap();
    assert_eq!(code(&refused), "ROLE_MISSING");

    // A party that this node refuses is told no more, over what was open either.
    let directory = Directory::new(coalition.path("pl"));
    let mut config = Config::load(&directory).unwrap();
    config.refuse = vec![Refused {
        member: Some("de".parse().unwrap()),
        purposes: Vec::new(),
    }];
    directory.write("node.toml", &config.to_text()).unwrap();
    take_files(&coalition, "pl").await;
    for mut stream in open {
        let end = tokio::time::timeout(Duration::from_secs(60), stream.message()).await;
        assert!(end.expect("the stream goes on").unwrap().is_none());
    }
    assert_eq!(code(&watch("de").await.err().unwrap()), "REFUSED_HERE");
}
