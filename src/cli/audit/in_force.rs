//! `wayhome audit in-force`: by which roster, policy and rules a member acted at some moment.

use std::path::PathBuf;

use serde_json::json;

use super::office::Office;
use super::read::{log_object, say_log};
use super::verdict;
use crate::audit::in_force::{InForce, Moment};
use crate::cli::CliError;
use crate::roster::{MemberId, Timestamp};

/// Arguments of `wayhome audit in-force`.
#[derive(clap::Args)]
pub struct Args {
    /// The member.
    id: MemberId,
    /// When this leaf of its log was made; now if neither this nor a time is given.
    #[arg(long, value_name = "INDEX", conflicts_with = "at")]
    leaf: Option<u64>,
    /// At this time (UTC), such as 2026-11-24T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Also write the documents to this folder: roster.note and policy.cedar.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Says what was in force at a member.
pub async fn run(office: &Office<'_>, args: Args) -> Result<(), CliError> {
    let member = office.one(&args.id)?;
    let moment = match (args.leaf, args.at) {
        (Some(leaf), _) => Moment::Leaf(leaf),
        (None, Some(at)) => Moment::Time(at.unix().saturating_mul(1000).saturating_add(999)),
        (None, None) => Moment::Time(u64::MAX),
    };
    let mut found = InForce::at(moment);
    let log = office
        .read(member, true, &mut |index, entry, insight| {
            found.take(index, entry, insight);
        })
        .await?;
    if let Some(leaf) = args.leaf.filter(|leaf| *leaf >= log.size()) {
        return Err(CliError::input(
            "NO_LEAF",
            format!(
                "the log of {} has {} leaves, and no leaf {leaf}",
                member.title(),
                log.size()
            ),
        ));
    }
    let output = office.context.output;
    say_log(output, member, &log);
    say(office, &found);
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out)?;
        let roster = found
            .roster
            .as_ref()
            .and_then(|adopted| adopted.document.clone());
        let policy = found
            .policy
            .as_ref()
            .and_then(|adopted| adopted.document.clone());
        if let Some(roster) = roster {
            std::fs::write(out.join("roster.note"), roster.note())?;
        }
        if let Some(policy) = policy {
            std::fs::write(out.join("policy.cedar"), policy.as_bytes())?;
        }
    }
    output.object(&json!({
        "ok": log.holds(),
        "member": member.id,
        "in_force": found.to_json(),
        "log": log_object(&log),
        "findings": log.findings.len(),
    }));
    verdict(log.findings.len())
}

fn say(office: &Office<'_>, found: &InForce) {
    const LOST: &str = "its document cannot be shown any more";
    let output = office.context.output;
    match &found.roster {
        None => output.say("No roster was in force yet."),
        Some(adopted) => {
            let what = adopted.document.as_ref().map_or_else(
                || LOST.to_owned(),
                |roster| {
                    let (root, version) = roster.place();
                    format!(
                        "version {version} under root {root}, SHA-256 {}",
                        roster.digest()
                    )
                },
            );
            output.say(format_args!(
                "Roster (leaf {}): {what}.",
                adopted.leaf_index
            ));
        }
    }
    match &found.policy {
        None => output.say("No disclosure policy was in force yet."),
        Some(adopted) => output.say(format_args!(
            "Disclosure policy (leaf {}):\n\n{}",
            adopted.leaf_index,
            adopted.document.as_deref().unwrap_or(LOST)
        )),
    }
    match &found.house_rules {
        None => output.say("The log states no rules of the member's own."),
        Some(adopted) => output.say(format_args!(
            "Its own rules (leaf {}): {}",
            adopted.leaf_index,
            adopted.document.as_deref().unwrap_or_default()
        )),
    }
}
