//! The story: a child is found, two fields are asked for, and an ombudsman proves it.

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::super::DemoError;
use super::super::case::{draw, draw_negative, line};
use super::super::coalition::{Coalition, OMBUDSMAN, THRESHOLD};
use super::super::registers::{MEMBERS, Registers, TruePair};
use super::{Stage, ask_about, state, text};
use crate::ambient::Ambient;

/// How many children are drawn at most until one is found.
const DRAWS: usize = 8;

/// What the two fields are asked for.
const FIELDS: [&str; 2] = ["current_place", "current_carer"];

/// Tells the story to its end.
pub(super) async fn tell(stage: &Stage<'_>) -> Result<(Coalition, Value), DemoError> {
    let (ambient, say, seed) = (stage.ambient, stage.say, stage.options.seed);
    let registers = stage.registers()?;
    stage.say("A coalition of four states is founded on this machine. Each runs its own node, with its own database and keys.");
    let coalition = stage.coalition().await?;
    stage.say(format!(
        "The four hold a ceremony: the coalition's key now exists in four shares, {THRESHOLD} of which must work together. Nobody has the key itself."
    ));
    let members = bring_registers_in(&coalition, &registers, ambient, say).await?;
    let found = find_a_child(&coalition, &registers, seed, say).await?;
    let spared = spare_a_sibling(&coalition, &registers, seed, say).await?;
    let disclosure = ask_for_fields(&coalition, &found, say).await?;
    let logs = verify_logs(&coalition, &[], say).await?;
    subject_access(&coalition, &found, say).await?;
    let reconciled = reconcile(&coalition, say).await?;
    let seconds = stage.seconds();
    tell_figures(&found, disclosure.0.len(), seconds, say);
    let outcome = json!({
        "ok": true,
        "members": members,
        "found": [{
            "case": found.pair.own,
            "by": "ua",
            "at": found.pair.member,
            "grade": found.grade,
        }],
        "not_mistaken": spared,
        "disclosed": disclosure.0,
        "withheld": disclosure.1,
        "logs": logs,
        "reconciled": reconciled,
        "bytes": {"sent": found.bytes_sent, "received": found.bytes_received},
        "seconds": seconds,
    });
    Ok((coalition, outcome))
}

pub(super) async fn bring_registers_in(
    coalition: &Coalition,
    registers: &Registers,
    ambient: &Ambient,
    say: &(dyn Fn(String) + Sync),
) -> Result<Vec<Value>, DemoError> {
    let began = ambient.now_ms();
    let members = try_join_all(MEMBERS.iter().map(|(id, name, organisation)| async move {
        let file = registers.file(id).display().to_string();
        let imported = coalition.run(id, &["records", "import", &file]).await?;
        let published = coalition.run(id, &["records", "publish"]).await?;
        Ok::<_, DemoError>(json!({
            "member": id,
            "name": name,
            "organisation": organisation,
            "records": imported["imported"],
            "index_records": published["index_records"],
            "index_tokens": published["index_tokens"],
        }))
    }))
    .await?;
    for member in &members {
        say(format!(
            "{} brings in its register of {} children; {} of them may be searched for.",
            text(&member["name"]),
            member["records"],
            member["index_records"]
        ));
    }
    let tokens: u64 = members
        .iter()
        .filter_map(|member| member["index_tokens"].as_u64())
        .sum();
    say(format!(
        "Names and dates became {tokens} meaningless tokens in {:.1} seconds. The keyholders who helped saw only random numbers.",
        (ambient.now_ms() - began) as f64 / 1000.0
    ));
    Ok(members)
}

pub(super) struct Found {
    pub(super) pair: TruePair,
    grade: String,
    pub lead: String,
    bytes_sent: u64,
    bytes_received: u64,
}

pub(super) async fn find_a_child(
    coalition: &Coalition,
    registers: &Registers,
    seed: u64,
    say: &(dyn Fn(String) + Sync),
) -> Result<Found, DemoError> {
    let drawn = draw(registers, seed);
    for pair in drawn.iter().take(DRAWS) {
        let own = registers
            .record("ua", &pair.own)
            .map(line)
            .unwrap_or_default();
        say(String::new());
        say(format!("Ukraine looks for a child of its register: {own}."));
        let searched = coalition
            .run("ua", &["search", "--record", &pair.own, "--case", "DEMO-1"])
            .await?;
        let answers = searched["answers"].as_array().cloned().unwrap_or_default();
        let mut found = None;
        for answer in &answers {
            let result = &answer["results"][0];
            let member = text(&answer["member"]);
            say(format!("  {member} answers {}.", text(&result["grade"])));
            if member == pair.member && result["grade"] == "MATCH" {
                found = Some(text(&result["leads"][0]["lead"]));
            }
        }
        let sum = |field: &str| {
            answers
                .iter()
                .filter_map(|answer| answer[field].as_u64())
                .sum()
        };
        let Some(lead) = found else {
            say("  This child was not found beyond doubt; the draw goes on.".to_owned());
            continue;
        };
        let other = registers
            .record(&pair.member, &pair.other)
            .map(line)
            .unwrap_or_default();
        say(format!(
            "The child is found. In the register of {} it stands as: {other}.",
            state(&pair.member)
        ));
        say(format!(
            "(That this is the same child is what the registers' generator says: {}. No node knew it.)",
            pair.tags.join(", ")
        ));
        return Ok(Found {
            pair: pair.clone(),
            grade: "MATCH".to_owned(),
            lead,
            bytes_sent: sum("bytes_sent"),
            bytes_received: sum("bytes_received"),
        });
    }
    Err(DemoError::NothingFound {
        drawn: drawn.len().min(DRAWS),
    })
}

async fn spare_a_sibling(
    coalition: &Coalition,
    registers: &Registers,
    seed: u64,
    say: &(dyn Fn(String) + Sync),
) -> Result<Value, DemoError> {
    let Some(negative) = draw_negative(registers, seed, "sibling") else {
        return Ok(Value::Null);
    };
    let searched = coalition
        .run(
            "ua",
            &[
                "search",
                "--record",
                &negative.own,
                "--at",
                &negative.member,
                "--case",
                "DEMO-2",
            ],
        )
        .await?;
    let grade = text(&searched["answers"][0]["results"][0]["grade"]);
    say(String::new());
    say(format!(
        "Another child of Ukraine's register is not abroad, but a sibling is, in the register of {}. The answer: {grade}.",
        state(&negative.member)
    ));
    Ok(json!({"case": negative.own, "at": negative.member, "kind": negative.kind, "grade": grade}))
}

pub(super) async fn ask_for_fields(
    coalition: &Coalition,
    found: &Found,
    say: &(dyn Fn(String) + Sync),
) -> Result<(Vec<String>, Vec<String>), DemoError> {
    let told = ask_about(coalition, &found.lead, &FIELDS).await?;
    say(String::new());
    say(format!(
        "Ukraine asks {} for two fields: {}.",
        state(&found.pair.member),
        FIELDS.join(" and ")
    ));
    let granted: Vec<String> = told["granted"]
        .as_object()
        .map(|fields| fields.keys().cloned().collect())
        .unwrap_or_default();
    let named = |list: &Value| list.as_array().into_iter().flatten().map(text).collect();
    let waiting: Vec<String> = named(&told["waiting"]);
    let mut withheld: Vec<String> = named(&told["withheld"]);
    for field in &granted {
        say(format!("  {field}: {}", text(&told["granted"][field])));
    }
    for field in &withheld {
        say(format!("  {field}: withheld"));
    }
    for field in &waiting {
        say(format!(
            "  {field}: withheld until people of {} have approved",
            state(&found.pair.member)
        ));
    }
    // Nobody decides in this story.
    withheld.extend(waiting);
    Ok((granted, withheld))
}

pub(super) async fn verify_logs(
    coalition: &Coalition,
    members: &[&str],
    say: &(dyn Fn(String) + Sync),
) -> Result<Vec<Value>, DemoError> {
    say(String::new());
    say("The ombudsman, who trusts no node, reads the four logs from outside and checks every leaf and all evidence.".to_owned());
    let command = [&["audit", "verify"], members].concat();
    let (verified, failure) = coalition.try_run(OMBUDSMAN, &command).await?;
    if let Some(failure) = failure {
        return Err(DemoError::Audit(with_findings(failure, &verified)));
    }
    let logs: Vec<Value> = verified["logs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|log| {
            json!({
                "member": log["member"],
                "leaves": log["leaves"],
                "verified": log["verified"],
            })
        })
        .collect();
    for log in &logs {
        say(format!(
            "  {}: {} leaves, whole and unaltered.",
            text(&log["member"]),
            log["leaves"]
        ));
    }
    Ok(logs)
}

/// What a failed check says, with what was found in each log.
fn with_findings(failure: String, verified: &Value) -> String {
    let mut told = vec![failure];
    for log in verified["logs"].as_array().into_iter().flatten() {
        let lists = [&log["findings"], &log["reported"]];
        for finding in lists.into_iter().filter_map(Value::as_array).flatten() {
            let leaf = finding["leaf_index"]
                .as_u64()
                .map_or_else(String::new, |leaf| format!(" of leaf {leaf}"));
            told.push(format!(
                "{}, {}{leaf}: {}",
                state(&text(&finding["member"])),
                text(&finding["place"]),
                text(&finding["what"])
            ));
        }
    }
    told.join("; ")
}

pub(super) async fn subject_access(
    coalition: &Coalition,
    found: &Found,
    say: &(dyn Fn(String) + Sync),
) -> Result<(), DemoError> {
    let told = coalition
        .run(
            OMBUDSMAN,
            &[
                "audit",
                "subject",
                &found.pair.other,
                "--member",
                &found.pair.member,
            ],
        )
        .await?;
    say(format!(
        "Who asked about this child at {}?",
        state(&found.pair.member)
    ));
    for sentence in told["sentences"].as_array().into_iter().flatten() {
        say(format!("  {}", text(sentence)));
    }
    Ok(())
}

async fn reconcile(
    coalition: &Coalition,
    say: &(dyn Fn(String) + Sync),
) -> Result<Value, DemoError> {
    let (told, failure) = coalition
        .try_run(OMBUDSMAN, &["audit", "reconcile"])
        .await?;
    if let Some(failure) = failure {
        return Err(DemoError::Audit(failure));
    }
    let reconciled = json!({"pairs": told["pairs"], "unmatched": told["unmatched"]});
    say(format!(
        "Both sides of every exchange tell the same story: {} acts paired, {} without a partner.",
        told["pairs"], told["unmatched"]
    ));
    Ok(reconciled)
}

fn tell_figures(found: &Found, granted: usize, seconds: f64, say: &(dyn Fn(String) + Sync)) {
    let at = state(&found.pair.member);
    say(String::new());
    say("What each learned:".to_owned());
    say(format!(
        "  Ukraine: that {at} holds this child, and the {granted} of {} fields that it was granted.",
        FIELDS.len()
    ));
    say(format!(
        "  {at}: that Ukraine asked, for what purpose, and which of its own records agreed."
    ));
    say("  The other members: that Ukraine asked about somebody they do not hold.".to_owned());
    say("  The keyholders: how many tokens each member made, and nothing else.".to_owned());
    say(format!(
        "One child asked of three members took {} octets out and {} back. All of this took {seconds:.1} seconds.",
        found.bytes_sent, found.bytes_received
    ));
}
