//! By which roster, policy and rules a member acted at some moment: from its log, and from a bundle.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wayhome::exchange::policy::DEFAULT;
use wayhome::proto::exchange::Act;

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::process::{Said, run};

const NOTHING: &str = "@id(\"nothing\") forbid (principal, action, resource);\n";

async fn office(coalition: &Coalition, arguments: &[&str]) -> Said {
    let arguments = [&["--json", "audit"], arguments].concat();
    run(&coalition.path(OMBUDSMAN), &arguments).await
}

/// Where the leaves of an act stand, once there are so many.
async fn places(coalition: &Coalition, id: &str, act: Act, count: usize) -> Vec<u64> {
    let waiting = async {
        loop {
            let leaves = coalition.leaves(id, 0).await;
            let places: Vec<u64> = (0..)
                .zip(&leaves)
                .filter(|(_, leaf)| leaf.act() == act)
                .map(|(index, _)| index)
                .collect();
            if places.len() >= count {
                return places;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("{id} never logged {count} of {}", act.as_str_name()))
}

#[tokio::test(flavor = "multi_thread")]
async fn roster_and_policy_of_the_day_are_shown_and_proved() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    search(&coalition, "ua", "UA-1").await;
    let answered = places(&coalition, "pl", Act::LookupAnswered, 1).await[0];
    std::fs::write(coalition.path("pl").join("policy.cedar"), NOTHING).unwrap();
    let policies = places(&coalition, "pl", Act::PolicyAdopted, 2).await;
    let version = coalition.change_roster(|_| {});
    coalition.roster_in_force("pl", version).await;

    // Now, and when the lookup was answered.
    let now = office(&coalition, &["in-force", "pl"]).await;
    assert_eq!(now.code, Some(0), "{now:?}");
    let told = &now.object()["in_force"];
    assert_eq!(told["policy"]["text"], NOTHING);
    assert_eq!(told["roster"]["version"], version);
    let out = coalition.path(OMBUDSMAN).join("then");
    let leaf = answered.to_string();
    let then = office(
        &coalition,
        &[
            "in-force",
            "pl",
            "--leaf",
            &leaf,
            "--out",
            out.to_str().unwrap(),
        ],
    )
    .await;
    assert_eq!(then.code, Some(0), "{then:?}");
    let told = &then.object()["in_force"];
    assert_eq!(told["policy"]["text"], DEFAULT);
    assert_eq!(told["policy"]["leaf_index"], policies[0]);
    assert_eq!(told["roster"]["version"], 1);
    assert_eq!(
        std::fs::read_to_string(out.join("policy.cedar")).unwrap(),
        DEFAULT
    );
    let first = coalition.trusted_root();
    let note = std::fs::read(out.join("roster.note")).unwrap();
    let roster = wayhome::roster::TrustedRoster::verify(&first, &note).unwrap();
    assert_eq!(roster.version(), 1);
    let early = office(
        &coalition,
        &["in-force", "pl", "--at", "2001-01-01T00:00:00Z"],
    )
    .await;
    assert_eq!(early.object()["in_force"]["policy"], Value::Null);
    let beyond = office(&coalition, &["in-force", "pl", "--leaf", "9999999"]).await;
    assert_eq!(beyond.code, Some(2), "{beyond:?}");

    // A bundle of that one act holds them, and what is altered in them is named.
    let file = coalition.path(OMBUDSMAN).join("bundle.json");
    let file = file.to_str().unwrap();
    let made = office(
        &coalition,
        &["bundle", "pl", "--leaf", &leaf, "--out", file],
    )
    .await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let sound: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let at = |bundle: &Value, index: u64| {
        let leaves = bundle["logs"][0]["leaves"].as_array().unwrap().clone();
        leaves
            .iter()
            .position(|leaf| leaf["index"] == index)
            .unwrap()
    };
    let place = at(&sound, policies[0]);
    let check = async |bundle: &Value| {
        std::fs::write(file, bundle.to_string()).unwrap();
        office(&coalition, &["verify", "--bundle", file]).await
    };
    let said = check(&sound).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let told = &said.object()["logs"][0]["in_force"];
    assert_eq!(told["policy"]["text"], DEFAULT);
    assert_eq!(told["roster"]["version"], 1);

    let mut other = sound.clone();
    other["logs"][0]["leaves"][place]["document"] = json!(STANDARD.encode(NOTHING));
    let mut without = sound.clone();
    without["logs"][0]["leaves"][place]
        .as_object_mut()
        .unwrap()
        .remove("document");
    for (bundle, code) in [(other, "OTHER_DOCUMENT"), (without, "MISSING")] {
        let said = check(&bundle).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        let finding = &said.object()["logs"][0]["findings"][0];
        assert_eq!(
            (&finding["code"], &finding["leaf_index"], &finding["place"]),
            (&code.into(), &policies[0].into(), &"document".into())
        );
    }
}
