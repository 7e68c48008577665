//! The story: a node lies about what it told, and the ombudsman proves it.
//!
//! The lie comes from outside. A node has no way to lie: the story stops it, puts an older copy of
//! its database back, as an operator with something to hide could, and starts it again.

use std::path::Path;

use serde_json::{Value, json};

use super::super::DemoError;
use super::super::coalition::{Coalition, OMBUDSMAN};
use super::found::{ask_for_fields, bring_registers_in, find_a_child};
use super::{Stage, state, text};

/// What belongs to a node's database.
const DATABASE: [&str; 3] = ["wayhome.db", "wayhome.db-wal", "wayhome.db-shm"];

/// Tells the story to its end.
pub(super) async fn tell(stage: &Stage<'_>) -> Result<(Coalition, Value), DemoError> {
    let (say, seed) = (stage.say, stage.options.seed);
    let registers = stage.registers()?;
    stage.say("A coalition of four states is founded on this machine, with an ombudsman who trusts no node.");
    let mut coalition = stage.coalition().await?;
    bring_registers_in(&coalition, &registers, stage.ambient, say).await?;
    let copies = stage.options.directory.join("copies");
    for member in ["pl", "de", "ca"] {
        copy_database(&mut coalition, member, &copies.join(member)).await?;
    }
    let found = find_a_child(&coalition, &registers, seed, say).await?;
    let liar = found.pair.member.clone();
    ask_for_fields(&coalition, &found, say).await?;
    let before = check_before(&coalition, &liar, stage).await?;
    lie(&mut coalition, &liar, &copies.join(&liar), stage).await?;
    let caught = catch(&coalition, &liar, stage).await?;
    let denied = other_side(&coalition, &liar, stage).await?;
    let proved = prove_without_a_node(&coalition, &liar, stage).await?;
    let outcome = json!({
        "ok": true,
        "liar": liar,
        "leaves_before": before,
        "caught": caught,
        "denied": denied,
        "proved_offline": proved,
        "seconds": stage.seconds(),
    });
    Ok((coalition, outcome))
}

/// An operator copies its node's database while the node is stopped.
async fn copy_database(
    coalition: &mut Coalition,
    member: &str,
    to: &Path,
) -> Result<(), DemoError> {
    coalition.stop_node(member).await?;
    std::fs::create_dir_all(to).map_err(DemoError::system("making a copy"))?;
    for name in DATABASE {
        let from = coalition.party(member).join(name);
        if from.exists() {
            std::fs::copy(&from, to.join(name)).map_err(DemoError::system("making a copy"))?;
        }
    }
    coalition.start_node(member).await
}

async fn check_before(
    coalition: &Coalition,
    liar: &str,
    stage: &Stage<'_>,
) -> Result<u64, DemoError> {
    let verified = coalition.run(OMBUDSMAN, &["audit", "verify"]).await?;
    let leaves = verified["logs"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|log| log["member"] == liar)
        .and_then(|log| log["leaves"].as_u64())
        .unwrap_or_default();
    stage.say(String::new());
    stage.say(format!(
        "The ombudsman reads the four logs from outside. All of them hold. It remembers that the log of {} had {leaves} leaves, and what they hashed to.",
        state(liar)
    ));
    Ok(leaves)
}

async fn lie(
    coalition: &mut Coalition,
    liar: &str,
    copy: &Path,
    stage: &Stage<'_>,
) -> Result<(), DemoError> {
    stage.say(String::new());
    stage.say(format!(
        "At night somebody in {} stops the node, puts back a copy of its database from before the question, and starts it again. Nobody, its log now says, was ever told anything about this child.",
        state(liar)
    ));
    coalition.stop_node(liar).await?;
    for name in DATABASE {
        let place = coalition.party(liar).join(name);
        let kept = copy.join(name);
        if place.exists() {
            std::fs::remove_file(&place).map_err(DemoError::system("putting the copy back"))?;
        }
        if kept.exists() {
            std::fs::copy(&kept, &place).map_err(DemoError::system("putting the copy back"))?;
        }
    }
    coalition.start_node(liar).await
}

/// The ombudsman's own memory catches the lie.
async fn catch(
    coalition: &Coalition,
    liar: &str,
    stage: &Stage<'_>,
) -> Result<Vec<Value>, DemoError> {
    let (told, failure) = coalition
        .try_run(OMBUDSMAN, &["audit", "verify", liar])
        .await?;
    let findings: Vec<Value> = findings(&told["logs"][0]["findings"]);
    let caught: Vec<Value> = findings
        .iter()
        .filter(|finding| ["CUT_BACK", "FORKED"].contains(&text(&finding["code"]).as_str()))
        .cloned()
        .collect();
    if failure.is_none() || caught.is_empty() {
        return Err(DemoError::Audit(format!(
            "the node of {liar} was rolled back, and the ombudsman did not notice"
        )));
    }
    stage.say(String::new());
    stage.say("The ombudsman comes again:");
    for finding in &findings {
        stage.say(format!(
            "  {}: {}",
            text(&finding["place"]),
            text(&finding["what"])
        ));
    }
    let remembered = coalition
        .party(OMBUDSMAN)
        .join("audit")
        .join(format!("{liar}.json"));
    let remembered: Value = std::fs::read_to_string(&remembered)
        .ok()
        .and_then(|record| serde_json::from_str(&record).ok())
        .unwrap_or_default();
    stage.say(format!(
        "The proof is {}'s own signature. This it had signed, and the ombudsman kept it:",
        state(liar)
    ));
    quote(stage, &text(&remembered["checkpoint"]));
    if let Some(shown) = told["logs"][0]["checkpoint"].as_str() {
        stage.say(
            "And this it shows now, with fewer leaves. A log only grows; both cannot be true:",
        );
        quote(stage, shown);
    }
    Ok(caught)
}

/// What the other side holds catches it as well, without any memory.
async fn other_side(
    coalition: &Coalition,
    liar: &str,
    stage: &Stage<'_>,
) -> Result<Vec<Value>, DemoError> {
    let (told, _) = coalition
        .try_run(OMBUDSMAN, &["audit", "reconcile", "ua", liar])
        .await?;
    let denied: Vec<Value> = findings(&told["between"])
        .into_iter()
        .filter(|finding| finding["member"] == liar)
        .collect();
    if !denied.is_empty() {
        stage.say(String::new());
        stage.say("Ukraine's log tells what was hidden, and holds the signed answers:");
        for finding in &denied {
            stage.say(format!("  {}", text(&finding["what"])));
        }
    }
    Ok(denied)
}

/// What Ukraine received, in one file that anyone checks without asking a node.
async fn prove_without_a_node(
    coalition: &Coalition,
    liar: &str,
    stage: &Stage<'_>,
) -> Result<Value, DemoError> {
    let file = stage.options.directory.join("proof.json");
    let file = file.display().to_string();
    coalition
        .run(OMBUDSMAN, &["audit", "bundle", "ua", "--out", &file])
        .await?;
    let (told, failure) = coalition
        .try_run("ua", &["audit", "verify", "--bundle", &file])
        .await?;
    if let Some(failure) = failure {
        return Err(DemoError::Audit(failure));
    }
    let leaves = told["logs"][0]["leaves"].clone();
    stage.say(String::new());
    stage.say(format!(
        "All of Ukraine's {leaves} leaves, with the answers that {} signed, are in one file. A court checks it with nothing but the coalition's root document; no node has to be asked, and no name of a child is in it: {file}",
        state(liar)
    ));
    Ok(leaves)
}

fn findings(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn quote(stage: &Stage<'_>, note: &str) {
    for line in note.lines().filter(|line| !line.is_empty()) {
        stage.say(format!("    {line}"));
    }
}
