//! A ceremony over the nodes' own connections: no folder is shared, nodes are killed, peers give what
//! does not hold.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wayhome::proto::exchange::{Act, LogEntry};

use crate::coalition::{Coalition, MEMBERS};
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
    let seen = ask(crate::coalition::OMBUDSMAN, digits).await.unwrap();
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
