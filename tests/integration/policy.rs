//! The disclosure policy of a running node: taken when it changes, refused when it cannot be
//! followed, and what the commands say of it.

use std::path::Path;

use serde_json::Value;
use wayhome::exchange::policy;
use wayhome::proto::exchange::Act;

use crate::coalition::Coalition;
use crate::process::{NodeProcess, PATIENCE, run};

const NOTHING: &str = "@id(\"nothing\") forbid (principal, action, resource);\n";
const WRONG: &str = "@id(\"typo\") permit (principal, action == Action::\"place\", resource);\n";

async fn status(directory: &Path) -> Value {
    run(directory, &["--json", "policy", "status"])
        .await
        .object()
}

/// Waits until the node's own account of its policy is as wanted.
async fn until(directory: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let status = status(directory).await;
            if wanted(&status) {
                return status;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .expect("the policy did not change")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_taken_and_a_wrong_one_is_refused_loudly() {
    let coalition = Coalition::found(|_| {});
    let directory = coalition.path("pl");
    let node = NodeProcess::start(&directory).await;
    let shipped = status(&directory).await;
    assert_eq!(shipped["ok"], true);
    assert_eq!(shipped["policy"], policy::DEFAULT);

    std::fs::write(directory.join("policy.cedar"), NOTHING).unwrap();
    let taken = until(&directory, |status| status["policy"] == NOTHING).await;
    assert_ne!(taken["sha256"], shipped["sha256"]);

    std::fs::write(directory.join("policy.cedar"), WRONG).unwrap();
    let refused = until(&directory, |status| status["ok"] == false).await;
    assert_eq!(refused["refused"]["code"], "POLICY_INVALID");
    assert_eq!(refused["sha256"], taken["sha256"]);
    let log = std::fs::read_to_string(directory.join("node.log")).unwrap();
    assert!(log.contains("policy_refused"), "{log}");

    // The old one stays in force over a restart, as loudly.
    assert!(node.stop().await.success());
    let node = NodeProcess::start(&directory).await;
    let refused = until(&directory, |status| status["ok"] == false).await;
    assert_eq!(refused["policy"], NOTHING);

    // Gone, it stays in force too; mended, the new one is taken on SIGHUP at the latest.
    std::fs::write(directory.join("policy.cedar"), policy::DEFAULT).unwrap();
    node.signal("HUP").await;
    until(&directory, |status| status["sha256"] == shipped["sha256"]).await;
    std::fs::remove_file(directory.join("policy.cedar")).unwrap();
    node.signal("HUP").await;
    tokio::time::timeout(PATIENCE, async {
        let path = directory.join("node.log");
        while !std::fs::read_to_string(&path)
            .unwrap()
            .contains("there is no policy file")
        {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(status(&directory).await["sha256"], shipped["sha256"]);
    assert!(node.stop().await.success());

    let references: Vec<(&str, String)> = coalition
        .leaves("pl", 0)
        .await
        .into_iter()
        .filter(|leaf| matches!(leaf.act(), Act::PolicyAdopted | Act::PolicyRefused))
        .map(|leaf| (leaf.act().as_str_name(), leaf.reference))
        .collect();
    let adopted = |status: &Value| {
        let digest = status["sha256"].as_str().unwrap();
        (Act::PolicyAdopted.as_str_name(), format!("sha256={digest}"))
    };
    let refused = || {
        (
            Act::PolicyRefused.as_str_name(),
            "POLICY_INVALID".to_owned(),
        )
    };
    assert_eq!(
        references,
        [
            adopted(&shipped),
            adopted(&taken),
            refused(),
            refused(),
            adopted(&shipped)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_policy_that_is_wrong_keeps_the_node_from_starting() {
    let coalition = Coalition::found(|_| {});
    let directory = coalition.path("pl");
    std::fs::write(directory.join("policy.cedar"), WRONG).unwrap();
    let said = run(&directory, &["--json", "run"]).await;
    assert_eq!(said.code, Some(1));
    let message = said.object()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("policy.cedar"), "{message}");
    assert!(message.contains("policy check"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_checked_explained_and_tested() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let said = run(directory.path(), &["--json", "policy", "check"]).await;
    assert_eq!(said.code, Some(0));
    assert_eq!(said.object()["policy"], "the shipped policy");

    let wrong = file("wrong.cedar", WRONG);
    let said = run(directory.path(), &["--json", "policy", "check", &wrong]).await;
    assert_eq!(said.code, Some(2));
    assert_eq!(said.object()["error"]["code"], "POLICY_INVALID");

    let said = run(
        directory.path(),
        &[
            "policy",
            "explain",
            "--field",
            "current_place,current_carer",
        ],
    )
    .await;
    assert_eq!(said.code, Some(0));
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with("current_place is told at once, by the rule place-at-once: "));
    assert!(lines[1].starts_with("current_carer is told once two different people"));
    let said = run(
        directory.path(),
        &[
            "--json",
            "policy",
            "explain",
            "--uncertain",
            "--field",
            "status",
        ],
    )
    .await;
    assert_eq!(said.object()["fields"][0]["decision"], "one_approval");
    let said = run(directory.path(), &["--json", "policy", "explain"]).await;
    assert_eq!(said.object()["fields"].as_array().unwrap().len(), 19);

    let cases = file(
        "cases.csv",
        "purpose,field,expect\nfamily_tracing,current_place,granted\n",
    );
    let said = run(directory.path(), &["--json", "policy", "test", &cases]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let nothing = file("nothing.cedar", NOTHING);
    let said = run(
        directory.path(),
        &["--json", "policy", "test", &cases, "--policy", &nothing],
    )
    .await;
    assert_eq!(said.code, Some(1));
    let object = said.object();
    assert_eq!(object["error"]["code"], "POLICY_CASES_FAILED");
    assert_eq!(object["cases"][0]["rules"][0]["id"], "nothing");
}
