//! A ceremony over the nodes' own connections: no folder is shared, nodes are killed, peers give what
//! does not hold.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wayhome::proto::exchange::{Act, LogEntry};

use crate::coalition::{Coalition, MEMBERS, OMBUDSMAN};
use crate::office::{ADMINISTRATOR, reason};
use crate::process::{NodeProcess, PATIENCE, Said, run};

/// Calls a ceremony for epoch 2 at a node; gives its fingerprint.
async fn call(directory: &Path) -> String {
    let said = run(
        directory,
        &[
            "--json",
            "ceremony",
            "rotate",
            "--over-network",
            "--threshold",
            "2",
        ],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said.object()["fingerprint"].as_str().unwrap().to_owned()
}

async fn join(directory: &Path, fingerprint: &str, more: &[&str]) -> Said {
    let mut arguments = vec!["--json", "ceremony", "join", "--over-network"];
    arguments.extend(["--expect", fingerprint]);
    arguments.extend(more);
    run(directory, &arguments).await
}

/// As [`join`], which must succeed; gives where the node stands.
async fn standing(directory: &Path, fingerprint: &str, more: &[&str]) -> Value {
    let said = join(directory, fingerprint, more).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said.object()
}

fn folder(coalition: &Coalition, id: &str, fingerprint: &str) -> PathBuf {
    let digits = fingerprint.replace('-', "");
    coalition.path(id).join("ceremonies").join(digits)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}

async fn recorded(coalition: &Coalition, id: &str, act: Act) -> Vec<LogEntry> {
    let mut leaves = coalition.leaves(id, 0).await;
    leaves.retain(|leaf| leaf.act() == act);
    leaves
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_without_a_folder_and_a_killed_node_goes_on() {
    let mut coalition = Coalition::found(|_| {});
    let mut nodes = Vec::new();
    for id in MEMBERS {
        nodes.push(NodeProcess::start(&coalition.path(id)).await);
    }
    let [ua, pl, de] = MEMBERS.map(|id| coalition.path(id));
    let fingerprint = call(&ua).await;

    // Nobody takes part by itself, nor for a fingerprint that was not told in full.
    assert!(!folder(&coalition, "pl", &fingerprint).exists());
    let said = join(&pl, &fingerprint[..9], &[]).await;
    assert_eq!(said.object()["error"]["code"], "FINGERPRINT", "{said:?}");
    let unknown = standing(&pl, "0000-0000-0000-0000-0000-0000-0000-0000", &[]).await;
    assert_eq!(
        (&unknown["has_plan"], &unknown["joined"]),
        (&Value::Bool(false), &Value::Bool(true))
    );

    standing(&ua, &fingerprint, &[]).await;
    let at_pl = standing(&pl, &fingerprint, &[]).await;
    assert_eq!(at_pl["finished"], false);
    // Two of three have begun. One of them is killed, and there is nobody to tell it anything.
    let sent = folder(&coalition, "pl", &fingerprint).join("round-1/pl.json");
    until("Poland's commitments", || sent.exists()).await;
    let killed = nodes.remove(1);
    killed.kill().await;
    let at_de = standing(&de, &fingerprint, &[]).await;
    assert_eq!(at_de["finished"], false);
    nodes.push(NodeProcess::start(&pl).await);
    for directory in [&ua, &pl, &de] {
        let done = standing(directory, &fingerprint, &["--wait"]).await;
        assert_eq!(done["finished"], true, "{done}");
        assert_eq!(done["faults"].as_array().unwrap().len(), 0, "{done}");
    }

    // All have the same result, and anyone can check it with the folder alone.
    let key = |id: &str| {
        let file = folder(&coalition, id, &fingerprint).join("coalition-key.json");
        std::fs::read_to_string(file).unwrap()
    };
    assert!(MEMBERS.iter().all(|id| key(id) == key("ua")));
    let kept = folder(&coalition, "de", &fingerprint);
    let kept = kept.to_str().unwrap();
    let checked = run(&de, &["--json", "ceremony", "status", "--verify", kept]).await;
    assert_eq!(checked.object()["verified"], true, "{checked:?}");
    for id in MEMBERS {
        for act in [Act::CeremonyJoined, Act::CeremonyFinished] {
            let leaves = recorded(&coalition, id, act).await;
            let of_this = format!("ceremony={fingerprint}");
            let count = leaves
                .iter()
                .filter(|leaf| leaf.reference.starts_with(&of_this));
            assert_eq!(count.count(), 1, "{id} {}", act.as_str_name());
        }
    }
    // The shares are what the key says: the nodes take them into use once a roster names them.
    let made = serde_json::from_str(&key("ua")).unwrap();
    coalition.change_roster(|roster| roster.coalition_key.next = Some(made));
    for id in MEMBERS {
        let taken = async {
            loop {
                let leaves = recorded(&coalition, id, Act::ShareTaken).await;
                if leaves
                    .iter()
                    .any(|leaf| leaf.reference.starts_with("epoch=2 "))
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, taken)
            .await
            .unwrap_or_else(|_| panic!("{id} took no share"));
    }
    for node in nodes {
        assert!(node.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_makes_up_is_refused_with_its_name_and_the_ceremony_goes_on() {
    let coalition = Coalition::start().await;
    let [ua, pl, de] = MEMBERS.map(|id| coalition.path(id));
    let fingerprint = call(&ua).await;
    let other = call(&ua).await;
    assert_ne!(fingerprint, other);
    // Poland begins both. Nobody else has seen what it sent.
    for fingerprint in [&fingerprint, &other] {
        standing(&pl, fingerprint, &[]).await;
        let sent = folder(&coalition, "pl", fingerprint).join("round-1/pl.json");
        until("Poland's commitments", || sent.exists()).await;
    }
    let place = folder(&coalition, "pl", &fingerprint).join("round-1/pl.json");
    let right = std::fs::read(&place).unwrap();
    let replayed = folder(&coalition, "pl", &other).join("round-1/pl.json");
    let replayed = std::fs::read(replayed).unwrap();

    let own = folder(&coalition, "ua", &fingerprint).join("round-1/ua.json");
    for (code, content) in [
        ("MALFORMED", Some(b"{}\n".to_vec())),
        ("WRONG_CEREMONY", Some(replayed)),
        // Ukraine's own, once it has one.
        ("WRONG_SENDER", None),
    ] {
        std::fs::write(
            &place,
            content.unwrap_or_else(|| std::fs::read(&own).unwrap()),
        )
        .unwrap();
        let told = standing(&ua, &fingerprint, &[]).await;
        let faults = told["faults"].as_array().unwrap();
        let fault = faults.iter().find(|fault| fault["code"] == code);
        let fault = fault.unwrap_or_else(|| panic!("{code}: {told}"));
        assert_eq!(fault["peer"], "pl");
        assert!(
            fault["message"].as_str().unwrap().contains("(pl)"),
            "{fault}"
        );
        assert!(
            !folder(&coalition, "ua", &fingerprint)
                .join("round-1/pl.json")
                .exists()
        );
        let leaves = recorded(&coalition, "ua", Act::CeremonyFileRefused).await;
        let says = format!("ceremony={fingerprint} code={code} file=round-1/pl.json");
        assert!(
            leaves
                .iter()
                .any(|leaf| leaf.peer == "pl" && leaf.reference == says),
            "{code}"
        );
    }

    // Poland puts its own file back, and all come to the end.
    std::fs::write(&place, &right).unwrap();
    for directory in [&ua, &pl] {
        standing(directory, &fingerprint, &[]).await;
    }
    for directory in [&de, &pl, &ua] {
        let done = standing(directory, &fingerprint, &["--wait"]).await;
        assert_eq!(done["finished"], true, "{done}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_part_is_given_nothing_but_to_an_ombudsman_what_is_public() {
    use wayhome::exchange::RemoteRefusal;
    use wayhome::proto::exchange as pb;
    use wayhome::proto::exchange::ceremony_service_client::CeremonyServiceClient;

    let coalition = Coalition::start().await;
    let said = run(
        &coalition.path("ua"),
        &[
            "--json",
            "ceremony",
            "rotate",
            "--over-network",
            "--threshold",
            "2",
            "--keyholders",
            "ua,pl",
        ],
    )
    .await;
    let fingerprint = said.object()["fingerprint"].as_str().unwrap().to_owned();
    standing(&coalition.path("ua"), &fingerprint, &[]).await;
    let asked = |octets: Vec<u8>| pb::GetCeremonyFilesRequest {
        fingerprint: octets,
        held: Vec::new(),
    };
    let digits = hex::decode(fingerprint.replace('-', "")).unwrap();
    let ask = async |from: &str, octets: Vec<u8>| {
        CeremonyServiceClient::new(coalition.channel(from, "ua").await)
            .get_ceremony_files(asked(octets))
            .await
            .map(|reply| reply.into_inner().files)
            .map_err(|status| RemoteRefusal::from(status).code)
    };
    let names = |files: &[pb::CeremonyFile]| -> Vec<String> {
        files.iter().map(|file| file.name.clone()).collect()
    };
    let to_pl = ask("pl", digits.clone()).await.unwrap();
    assert_eq!(
        names(&to_pl),
        ["roster.note", "plan.json", "round-1/ua.json"]
    );
    let refusal = ask("de", digits.clone()).await.map(|files| names(&files));
    assert_eq!(refusal.unwrap_err(), "ROLE_MISSING");
    let seen = ask(OMBUDSMAN, digits).await.unwrap();
    assert_eq!(names(&seen), names(&to_pl));
    for wrong in [vec![7; 16], vec![7; 15], Vec::new()] {
        let expected = if wrong.len() == 16 {
            "CEREMONY_UNKNOWN"
        } else {
            "MALFORMED"
        };
        let refusal = ask("pl", wrong).await.map(|files| names(&files));
        assert_eq!(refusal.unwrap_err(), expected);
    }
}

async fn fetch(directory: &Path, fingerprint: &str, into: &str) -> Said {
    let arguments = ["--json", "ceremony", "fetch", "--from", "ua", "--expect"];
    let mut arguments = arguments.to_vec();
    arguments.extend([fingerprint, into]);
    run(directory, &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ombudsman_fetches_what_is_public_and_checks_it_alone() {
    let coalition = Coalition::start().await;
    let [ua, pl, de] = MEMBERS.map(|id| coalition.path(id));
    let office = coalition.path(OMBUDSMAN);
    let own = office.join("ceremony");
    let into = own.to_str().unwrap();
    let fingerprint = call(&ua).await;
    standing(&ua, &fingerprint, &[]).await;

    // As far as it is: one of three has begun.
    let said = fetch(&office, &fingerprint, into).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(own.join("round-1/ua.json").exists());
    assert!(!own.join("round-1/pl.json").exists());
    // Of another ceremony there is nothing, and nothing is laid.
    let elsewhere = office.join("elsewhere");
    let other = "0000-0000-0000-0000-0000-0000-0000-0000";
    let said = fetch(&office, other, elsewhere.to_str().unwrap()).await;
    assert_eq!(
        said.object()["error"]["code"],
        "CEREMONY_UNKNOWN",
        "{said:?}"
    );
    assert!(!elsewhere.join("plan.json").exists());
    let said = fetch(&office, &fingerprint[..9], into).await;
    assert_eq!(said.object()["error"]["code"], "FINGERPRINT", "{said:?}");

    for directory in [&pl, &de] {
        standing(directory, &fingerprint, &[]).await;
    }
    for directory in [&pl, &de, &ua] {
        standing(directory, &fingerprint, &["--wait"]).await;
    }
    let said = fetch(&office, &fingerprint, into).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    // What is encrypted to others is not there, and all of it is proved nevertheless.
    assert!(!own.join("round-2").exists());
    let checked = run(&office, &["--json", "ceremony", "status", "--verify", into]).await;
    assert_eq!(checked.object()["verified"], true, "{checked:?}");
}

/// A node may have been given a roster that lies in no file of its directory.
#[tokio::test(flavor = "multi_thread")]
async fn by_a_folder_the_newest_roster_that_the_node_was_given_counts() {
    let mut coalition = Coalition::start().await;
    let [ua, pl, _] = MEMBERS.map(|id| coalition.path(id));
    let root = pl.join("root.note").display().to_string();
    let of_before = pl.join("before.note");
    std::fs::copy(pl.join("roster.note"), &of_before).unwrap();
    coalition.roster.version = 2;
    let mut members = coalition.roster.members.iter_mut();
    let de = members.find(|member| member.id.as_str() == "de").unwrap();
    // De has lost its directory, and another key.
    de.encryption_key = Some(wayhome::roster::Bytes32::new([9; 32]));
    coalition.publish_roster_at("pl");
    coalition.roster_in_force("pl", 2).await;
    crate::exchange::search_described(&coalition, "pl").await;
    coalition.roster_in_force("ua", 2).await;
    let filed = std::fs::read(ua.join("roster.note")).unwrap();
    assert_eq!(filed, std::fs::read(&of_before).unwrap(), "no file told it");

    let now = pl.join("roster.note");
    for (roster, name, refused) in [
        (&of_before, "old", Some("ROSTER_CHANGED")),
        (&now, "new", None),
    ] {
        let folder = pl.join(name).display().to_string();
        let roster = roster.display().to_string();
        let terms = ["--json", "ceremony", "rotate", "--roster", &roster];
        let mut arguments = terms.to_vec();
        arguments.extend(["--root", &root, &folder]);
        let called = run(&pl, &arguments).await.object();
        let told = called["fingerprint"].as_str().unwrap();
        let join = ["--json", "ceremony", "join", "--expect", told, &folder];
        let said = run(&ua, &join).await;
        match refused {
            Some(code) => {
                assert_eq!(said.code, Some(1), "{said:?}");
                assert_eq!(said.object()["error"]["code"], code);
                let told = said.object()["error"]["message"].to_string();
                assert!(told.contains("DE (de)"), "{told}");
            }
            None => assert_eq!(said.code, Some(0), "{said:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceremony_is_the_administrators_and_anyone_there_may_look() {
    use wayhome::proto::operator as pb;
    use wayhome::proto::operator::ceremony_service_client::CeremonyServiceClient;

    let scene = crate::approval::Scene::set().await;
    let rotate = || pb::CallCeremonyRequest {
        procedure: "generate".to_owned(),
        threshold: 2,
        ..pb::CallCeremonyRequest::default()
    };
    let nobody = scene.coalition.operator("pl").await;
    let called = CeremonyServiceClient::new(nobody)
        .call_ceremony(rotate())
        .await;
    assert_eq!(reason(called), "SIGN_IN_NEEDED");
    for person in ["anna", "auditor"] {
        let called = CeremonyServiceClient::new(scene.pl.person(person).await)
            .call_ceremony(rotate())
            .await;
        assert_eq!(reason(called), "ROLE_MISSING", "{person}");
    }
    let mut administrator = CeremonyServiceClient::new(scene.pl.person(ADMINISTRATOR).await);
    let called = administrator.call_ceremony(rotate()).await.unwrap();
    let fingerprint = called.into_inner().fingerprint;
    for person in ["anna", "auditor"] {
        let mut client = CeremonyServiceClient::new(scene.pl.person(person).await);
        let joined = client
            .join_ceremony(pb::JoinCeremonyRequest {
                fingerprint: fingerprint.clone(),
            })
            .await;
        assert_eq!(reason(joined), "ROLE_MISSING", "{person}");
        let seen = client
            .get_ceremony(pb::GetCeremonyRequest {
                fingerprint: fingerprint.clone(),
            })
            .await
            .unwrap();
        let standing = seen.into_inner().standing.unwrap();
        assert!(standing.has_plan && !standing.joined, "{person}");
    }
    let joined = administrator
        .join_ceremony(pb::JoinCeremonyRequest {
            fingerprint: fingerprint.clone(),
        })
        .await
        .unwrap();
    assert!(joined.into_inner().standing.unwrap().joined);
    // Whose act it was stands in the log.
    let leaves = recorded(&scene.coalition, "pl", Act::CeremonyJoined).await;
    assert!(matches!(leaves.as_slice(), [leaf] if leaf.operator.len() == 16));
}
