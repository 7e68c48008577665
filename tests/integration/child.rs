//! A family that knows no reference: the child is described, and found in evidence by its tokens.

use serde_json::Value;
use wayhome::proto::exchange::Act;
use wayhome::roster::OmbudsmanScope;

use crate::coalition::{Coalition, MEMBERS, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::process::{Said, run};

/// The child of the exchange, as its family writes it; no reference of any register is known.
fn described(coalition: &Coalition, fields: &[(&str, &str)]) -> String {
    let columns: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
    let file = coalition.path(OMBUDSMAN).join("child.csv");
    std::fs::write(
        &file,
        format!("{}\n{}\n", columns.join(","), values.join(",")),
    )
    .unwrap();
    file.display().to_string()
}

/// As the register at home has it, under a name of the family's own.
fn as_at_home() -> Vec<(&'static str, &'static str)> {
    AT_HOME
        .iter()
        .map(|(name, value)| match *name {
            "record_ref" => ("record_ref", "of-the-family"),
            _ => (*name, *value),
        })
        .collect()
}

async fn child(coalition: &Coalition, file: &str, members: &[&str]) -> Said {
    let mut command = vec!["--json", "audit", "child", "--input", file];
    command.extend(members);
    run(&coalition.path(OMBUDSMAN), &command).await
}

fn told<'a>(said: &'a Value, member: &str) -> &'a Value {
    let members = said["members"].as_array().unwrap();
    members
        .iter()
        .find(|told| told["member"] == member)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_described_child_is_found_in_evidence_by_its_tokens() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    search(&coalition, "ua", "UA-1").await;
    let file = described(&coalition, &as_at_home());
    let said = child(&coalition, &file, &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();

    // Poland holds one record of the child, was asked once, and answered with a match.
    let pl = told(&object, "pl");
    assert_eq!(pl["records"].as_array().unwrap().len(), 1, "{pl:#}");
    let [sighting] = pl["sightings"].as_array().unwrap().as_slice() else {
        panic!("{pl:#}");
    };
    let read = |name: &str| sighting[name].as_str().unwrap().to_owned();
    assert_eq!(
        (
            read("asker"),
            read("holder"),
            read("agrees"),
            read("answered")
        ),
        ("ua".into(), "pl".into(), "MATCH".into(), "MATCH".into())
    );
    assert_eq!(sighting["purpose"], "family_tracing");
    // Its record's own story is there as well.
    assert!(
        pl["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["kind"] == "looked_up")
    );

    // Ukraine asked both others; Germany holds nothing and was asked all the same.
    let asked = told(&object, "ua")["sightings"].as_array().unwrap();
    assert_eq!(asked.len(), 2, "{asked:#?}");
    let de = told(&object, "de");
    assert_eq!(de["records"], Value::Array(Vec::new()));
    assert_eq!(de["sightings"][0]["answered"], "NO_MATCH");

    // Nothing of what was described went out, or was written down, on the ombudsman's side.
    assert!(!said.out.contains("of-the-family"));
    // The request is a leaf, and the keyholders counted it.
    let leaves = coalition.leaves("pl", 0).await;
    let asked_for = |leaf: &&wayhome::proto::exchange::LogEntry| {
        leaf.act() == Act::AuditAnswered && leaf.reference == "child"
    };
    assert_eq!(leaves.iter().filter(asked_for).count(), 1);
    let mut evaluated = 0;
    for id in MEMBERS {
        evaluated += coalition
            .leaves(id, 0)
            .await
            .iter()
            .filter(|leaf| leaf.act() == Act::EvaluationAnswered && leaf.peer == OMBUDSMAN)
            .count();
    }
    assert_eq!(evaluated, 2, "two keyholders suffice");

    // A child that nobody asked about.
    let other: Vec<(&str, &str)> = as_at_home()
        .into_iter()
        .map(|(name, value)| match name {
            "date_of_birth" => (name, "2001-02-03"),
            "given_name" => (name, "Zenoviia"),
            "family_name" | "mother_family_name" => (name, "Qvorkhanenko"),
            _ => (name, value),
        })
        .collect();
    let file = described(&coalition, &other);
    let said = child(&coalition, &file, &["pl"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(told(&object, "pl")["sightings"], Value::Array(Vec::new()));
    assert_eq!(told(&object, "pl")["records"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_came_after_the_query_accuses_nobody() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    search(&coalition, "ua", "UA-1").await;
    coalition.import("pl", &[ABROAD]).await;
    let file = described(&coalition, &as_at_home());
    let said = child(&coalition, &file, &["pl"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(object["findings"], 0);
    let pl = told(&object, "pl");
    assert_eq!(pl["records"].as_array().unwrap().len(), 1, "{pl:#}");
    assert_eq!(pl["sightings"][0]["agrees"], "MATCH");
    assert_eq!(pl["sightings"][0]["answered"], "NO_MATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_national_ombudsman_sees_its_own_member_alone() {
    let coalition = Coalition::start_with(|roster| {
        let ombudsman = roster
            .members
            .iter_mut()
            .find(|member| member.id.as_str() == OMBUDSMAN)
            .unwrap();
        ombudsman.roles.ombudsman = Some(OmbudsmanScope::Member("pl".parse().unwrap()));
    })
    .await;
    coalition.import("pl", &[ABROAD]).await;
    let file = described(&coalition, &as_at_home());
    let said = child(&coalition, &file, &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.object()["members"].as_array().unwrap().len(), 1);
    assert_eq!(
        told(&said.object(), "pl")["records"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let refused = child(&coalition, &file, &["de"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert_eq!(refused.object()["error"]["code"], "OUT_OF_SCOPE");
}
