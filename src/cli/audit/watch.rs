//! `wayhome audit watch`: reading what is new, again and again, and raising the alarm.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::office::Office;
use super::{Policy, faults};
use crate::audit::Finding;
use crate::cli::{CliError, Context};
use crate::roster::MemberId;

/// Arguments of `wayhome audit watch`.
#[derive(clap::Args)]
pub struct Args {
    /// The members; all in your scope if none is named.
    members: Vec<MemberId>,
    /// Seconds from the end of one round to the beginning of the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    every: u64,
    /// Rounds to read; without end if not given.
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
    /// A program to run at each alarm: it is given the findings as one JSON object on its standard
    /// input.
    #[arg(long, value_name = "PROGRAM")]
    hook: Option<String>,
    /// End with exit code 1 at the first alarm.
    #[arg(long)]
    exit_on_alarm: bool,
}

/// Watches until it is stopped, or has read all rounds.
pub(super) async fn run(context: &Context, args: Args, policy: &Policy) -> Result<(), CliError> {
    let mut raised = BTreeSet::new();
    let mut alarms = 0;
    let mut round = 0;
    // A watch that ends at the first trouble watches nothing: once it has begun, what goes wrong is
    // told, and the next round is another try.
    let mut failed;
    loop {
        round += 1;
        failed = None;
        let (fresh, mut errors) = match one_round(context, &args, policy, &mut raised).await {
            Err(error) if round == 1 => return Err(error),
            Err(error) => (Vec::new(), vec![error]),
            Ok(read) => read,
        };
        if !fresh.is_empty() {
            alarms += fresh.len();
            errors.extend(raise(context, &args, round, &fresh).await.err());
        }
        for error in errors {
            let told = error.to_json();
            let why = told["message"].as_str().unwrap_or_default();
            context.output.say(format_args!("Round {round}: {why}"));
            context
                .output
                .object(&json!({"failed": told, "round": round}));
            failed = Some(error);
        }
        if !fresh.is_empty() && args.exit_on_alarm {
            break;
        }
        if args.rounds.is_some_and(|rounds| round >= rounds) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.every)) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    context.output.object(&json!({
        "ok": alarms == 0 && failed.is_none(),
        "rounds": round,
        "findings": alarms,
    }));
    match failed {
        Some(error) if alarms == 0 => Err(error.told()),
        _ => super::verdict(alarms),
    }
}

/// Reads what is new at every member. Gives what was not known before, since a finding that stands is
/// told once, and why what could not be read was not.
async fn one_round(
    context: &Context,
    args: &Args,
    policy: &Policy,
    raised: &mut BTreeSet<String>,
) -> Result<(Vec<Finding>, Vec<CliError>), CliError> {
    // Opened anew each round: rosters change, and so do those in scope.
    let office = Office::open(context, policy).await?;
    let (mut fresh, mut errors) = (Vec::new(), Vec::new());
    for member in office.members(&args.members)? {
        let log = match office.read(member, false, &mut |_, _, _| {}).await {
            Ok(log) => log,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let known = |finding: &Finding| {
            // A fork's text grows with the log; its code and place do not.
            format!(
                "{} {} {}",
                finding.member,
                finding.place,
                finding.fault.code()
            )
        };
        for finding in log.findings.into_iter().chain(log.reported) {
            if raised.insert(known(&finding)) {
                fresh.push(finding);
            }
        }
    }
    Ok((fresh, errors))
}

async fn raise(
    context: &Context,
    args: &Args,
    round: u64,
    fresh: &[Finding],
) -> Result<(), CliError> {
    let output = context.output;
    output.say(format_args!("Round {round}: {}.", faults(fresh.len())));
    for finding in fresh {
        output.say(format_args!("  {finding}"));
    }
    let alarm: Value = json!({
        "alarm": super::list(fresh, Finding::to_json),
        "round": round,
    });
    output.object(&alarm);
    let Some(hook) = &args.hook else {
        return Ok(());
    };
    let failed = |why: &dyn std::fmt::Display| CliError::failed("HOOK", format!("{hook}: {why}"));
    let mut child = Command::new(hook)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut input) = child.stdin.take() {
        // A hook that reads nothing is no failure.
        let _ = input.write_all(alarm.to_string().as_bytes()).await;
    }
    let ended = child.wait().await.map_err(|error| failed(&error))?;
    if ended.success() {
        Ok(())
    } else {
        Err(failed(&ended))
    }
}
