//! `wayhome audit bundle` and `wayhome audit verify --bundle`: evidence in one file.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::office::{Office, record_of, witness_keys};
use super::read::{log_object, say_log, say_reported, say_story, story_object};
use super::{Policy, faults, list, verdict};
use crate::audit::bundle::{Anchors, CheckedLog, Choice, check, gather};
use crate::audit::in_force::{InForce, Moment, adopts};
use crate::audit::words;
use crate::cli::{CliError, Context, input};
use crate::locale::Lang;
use crate::roster::MemberId;

/// Arguments of `wayhome audit bundle`.
#[derive(clap::Args)]
pub struct Args {
    /// The members; all in your scope if none is named.
    members: Vec<MemberId>,
    /// Only these leaves of the one member that is named; its whole log if none is given.
    #[arg(long = "leaf", value_name = "INDEX")]
    leaves: Vec<u64>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Makes a bundle.
pub async fn make(office: &Office<'_>, args: Args) -> Result<(), CliError> {
    if !args.leaves.is_empty() && args.members.len() != 1 {
        return Err(CliError::input(
            "ONE_MEMBER",
            "--leaf chooses leaves of one log: name exactly one member",
        ));
    }
    let choice = if args.leaves.is_empty() {
        Choice::Whole
    } else {
        Choice::Leaves(args.leaves)
    };
    let mut logs = Vec::new();
    for member in office.members(&args.members)? {
        logs.push((member, choice.clone(), office.last(member)?));
    }
    let bundle = gather(&office.auditor, &logs)
        .await
        .map_err(|error| CliError::failed(error.code(), &error))?;
    std::fs::write(&args.out, bundle.to_text())?;
    let output = office.context.output;
    let file = args.out.display();
    output.say(format_args!(
        "{} leaves with the evidence behind them are in {file}. Anyone checks it with `wayhome audit verify --bundle {file} --root ROOT.note`.",
        bundle.leaves()
    ));
    output.object(&json!({"ok": true, "leaves": bundle.leaves(), "file": args.out}));
    Ok(())
}

/// Checks a bundle, without any node.
pub(super) fn verify(
    context: &Context,
    file: &Path,
    root: Option<&Path>,
    policy: &Policy,
) -> Result<(), CliError> {
    let bytes = input::read(file, "FILE")?;
    let root = super::root_note(context, root)?;
    let witnesses = witness_keys(policy)?;
    let checked = check(
        &bytes,
        &Anchors {
            root: &root,
            witnesses: &witnesses,
            quorum: policy.quorum,
            last: &|rosters, member| record_of(context, rosters, member),
        },
    )
    .map_err(|error| CliError::failed(error.code(), &error))?;
    let output = context.output;
    output.say(format_args!(
        "This bundle says that {} made it at {}; it holds {} rosters, judged by the root that is trusted here.",
        checked.made_by,
        words::moment(checked.made_at.unix() * 1000),
        checked.rosters
    ));
    for checked_log in &checked.logs {
        let CheckedLog {
            whole,
            unheld,
            acts,
            log,
        } = checked_log;
        let Some(member) = checked.roster.member(log.member.as_str()) else {
            continue;
        };
        if *whole || !log.holds() {
            say_log(output, member, log);
        } else {
            output.say(format_args!(
                "{}: {} leaves of a log of {} are proved, with the evidence behind them.",
                member.title(),
                acts.len(),
                log.size()
            ));
            say_reported(output, log);
        }
        if *unheld {
            output.say(format_args!(
                "  What was verified of this log before could not be held against it: the file has no proof from there on."
            ));
        }
        if !*whole {
            for (index, entry, _) in acts {
                let peer = entry.peer.as_ref().map_or_else(String::new, |peer| {
                    format!(", {}", words::party(&checked.roster, peer))
                });
                let what = if adopts(entry.act) {
                    format!(" ({})", entry.reference)
                } else {
                    String::new()
                };
                output.say(format_args!(
                    "  leaf {index}: {}, {}{peer}{what}",
                    words::moment(entry.time_ms),
                    words::act(Lang::English, entry.act)
                ));
            }
        }
    }
    if let Some(story) = &checked.story {
        say_story(output, &checked.roster, story);
    }
    let findings = checked.findings();
    output.say(format_args!(
        "Checked without a node: {}.",
        faults(findings)
    ));
    output.object(&json!({
        "ok": findings == 0,
        "made_by": checked.made_by,
        "made_at": checked.made_at,
        "logs": list(&checked.logs, |checked| {
            let mut object = log_object(&checked.log);
            let mut found = InForce::at(Moment::Time(u64::MAX));
            for (index, entry, insight) in &checked.acts {
                found.take(*index, entry, insight);
            }
            if let Some(object) = object.as_object_mut() {
                object.insert("in_force".to_owned(), found.to_json());
                object.insert("unheld".to_owned(), checked.unheld.into());
            }
            object
        }),
        "story": checked.story.as_ref().map(story_object),
        "findings": findings,
    }));
    verdict(findings)
}
