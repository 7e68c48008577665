//! Reading logs, and saying what they hold.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::bars::Bars;
use super::office::Office;
use super::{faults, list, verdict};
use crate::audit::reconcile::{Loose, Reconciliation, reconcile as hold_against_each_other};
use crate::audit::report::child;
use crate::audit::subject::{Event, SubjectReport, subject as report_on};
use crate::audit::summary::{Line, Summary};
use crate::audit::verify::{Reading, Verification};
use crate::audit::{Finding, words};
use crate::cli::CliError;
use crate::cli::output::Output;
use crate::locale::Lang;
use crate::roster::{Member, MemberId, TrustedRoster};

/// Arguments of `wayhome audit subject`.
#[derive(clap::Args)]
pub struct SubjectArgs {
    /// The member's reference of the record.
    record_ref: String,
    /// The member that holds the record.
    #[arg(long)]
    member: MemberId,
    /// The language of the sentences: en, uk.
    #[arg(long, value_name = "LANG", default_value_t)]
    lang: Lang,
    /// Also write a signed report for the family to this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// `wayhome audit verify`.
pub async fn verify(office: &Office<'_>, named: &[MemberId], all: bool) -> Result<(), CliError> {
    let mut logs = Vec::new();
    for member in office.members(named)? {
        let log = office.read(member, all, &mut |_, _, _| {}).await?;
        say_log(office.context.output, member, &log);
        logs.push(log);
    }
    let findings = logs
        .iter()
        .map(|log| log.findings.len() + log.reported.len())
        .sum();
    office.context.output.object(&json!({
        "ok": findings == 0,
        "logs": list(&logs, log_object),
        "findings": findings,
    }));
    verdict(findings)
}

/// `wayhome audit subject`.
pub async fn subject(office: &Office<'_>, args: SubjectArgs) -> Result<(), CliError> {
    let member = office.one(&args.member)?;
    let lang = args.lang;
    let last = office.last(member)?;
    let bars = Bars::new(office.context, member);
    let report = report_on(
        &office.auditor,
        member,
        &args.record_ref,
        office.reading(last.as_ref(), false),
        &|what, done, of| bars.step(what, done, of),
    )
    .await
    .map_err(|error| CliError::failed(error.code(), &error))?;
    bars.clear();
    office.remember(&report.verification)?;
    say_subject(office, lang, member, &report);
    let findings = report.verification.findings.len();
    let sentence = |event: &Event| event.sentence(lang, &office.roster, &report.member).into();
    let object = json!({
        "ok": findings == 0,
        "member": report.member,
        "held": report.held,
        "subject": report.subject.map(hex::encode),
        "sentences": list(&report.events, sentence),
        "events": list(&report.events, Event::to_json),
        "log": log_object(&report.verification),
        "findings": findings,
    });
    if let Some(out) = &args.out {
        let by = (&office.auditor.id, office.context.ambient.now_ms());
        let told = child(lang, &office.roster, by, &report, object.clone());
        super::report::write(office, &told, out)?;
        super::report::say_where(office, lang, out);
    }
    office.context.output.object(&object);
    verdict(findings)
}

/// `wayhome audit reconcile`.
pub async fn reconcile(office: &Office<'_>, named: &[MemberId]) -> Result<(), CliError> {
    let members = office.members(named)?;
    let lasts = members
        .iter()
        .map(|member| office.last(member))
        .collect::<Result<Vec<_>, _>>()?;
    let readings: Vec<(&Member, Reading<'_>)> = members
        .iter()
        .zip(&lasts)
        .map(|(member, last)| (*member, office.reading(last.as_ref(), false)))
        .collect();
    let bars = Bars::all(office.context);
    let story = hold_against_each_other(
        &office.auditor,
        &readings,
        &|what, done, of| bars.step(what, done, of),
        &mut |_, _, _, _| {},
    )
    .await;
    bars.clear();
    for log in &story.logs {
        office.remember(log)?;
    }
    let output = office.context.output;
    for log in &story.logs {
        if let Some(member) = members.iter().find(|member| member.id == log.member) {
            say_log(output, member, log);
        }
    }
    say_story(output, &office.roster, &story);
    output.object(&story_object(&story));
    verdict(story_findings(&story))
}

/// `wayhome audit member`.
pub async fn member(office: &Office<'_>, id: &MemberId) -> Result<(), CliError> {
    let member = office.one(id)?;
    let mut summary = Summary::default();
    let log = office
        .read(member, true, &mut |_, entry, _| summary.take(entry))
        .await?;
    let lines = summary.lines();
    let output = office.context.output;
    say_log(output, member, &log);
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default().max(5);
    let name = |line: &Line| words::act(Lang::English, line.act);
    let acts = widest(&mut lines.iter().map(|line| name(line).chars().count()));
    let parties = widest(
        &mut lines
            .iter()
            .map(|line| line.peer.as_ref().map_or(0, |peer| peer.as_str().len())),
    );
    output.say(format_args!(
        "{:<acts$} {:<parties$} {:>8} {:>10}  from .. to",
        "act", "party", "leaves", "counted"
    ));
    for line in &lines {
        let peer = line.peer.as_ref().map_or("-", MemberId::as_str);
        output.say(format_args!(
            "{:<acts$} {:<parties$} {:>8} {:>10}  {} .. {}",
            name(line),
            peer,
            line.leaves,
            line.counted,
            words::moment(line.times_ms.0),
            words::moment(line.times_ms.1),
        ));
    }
    output.object(&json!({
        "ok": log.holds(),
        "acts": list(&lines, Line::to_json),
        "log": log_object(&log),
        "findings": log.findings.len(),
    }));
    verdict(log.findings.len())
}

/// What was found within the logs and between them, and what one log holds against another's.
pub fn story_findings(story: &Reconciliation) -> usize {
    let within = |log: &Verification| log.findings.len() + log.reported.len();
    story.logs.iter().map(within).sum::<usize>() + story.findings.len()
}

/// A reconciliation as machines read it.
pub fn story_object(story: &Reconciliation) -> Value {
    let findings = story_findings(story);
    json!({
        "ok": findings == 0,
        "pairs": story.matched,
        "unmatched": story.findings.len(),
        "open": list(&story.open, Loose::to_json),
        "refused": list(&story.refused, Loose::to_json),
        "between": list(&story.findings, Finding::to_json),
        "logs": list(&story.logs, log_object),
        "findings": findings,
    })
}

/// A reading as machines read it.
pub fn log_object(log: &Verification) -> Value {
    json!({
        "member": log.member,
        "verified": log.holds(),
        "leaves": log.size(),
        "read_from": log.start,
        "evidence": log.evidence,
        "cosigned": log.cosigned,
        "cosigned_leaves": log.cosigned_size,
        "root": log.checkpoint.as_ref().map(|checkpoint| hex::encode(checkpoint.checkpoint().root())),
        "checkpoint": log.checkpoint.as_ref().map(|checkpoint| checkpoint.signed().to_string()),
        "continues": log.continued.as_ref().map(|continued| json!({
            "origin": continued.origin,
            "size": continued.head.size,
            "root": hex::encode(continued.head.root),
        })),
        "findings": list(&log.findings, Finding::to_json),
        "reported": list(&log.reported, Finding::to_json),
    })
}

/// A reading in words.
pub fn say_log(output: Output, member: &Member, log: &Verification) {
    let read = log.size() - log.start;
    let new = if log.start > 0 {
        format!(", of which {read} are new and were read")
    } else {
        String::new()
    };
    if log.holds() {
        let witnesses = match log.cosigned.as_slice() {
            [] => String::new(),
            names => format!(
                " The first {} leaves are cosigned by {}.",
                log.cosigned_size,
                words::list(Lang::English, names)
            ),
        };
        output.say(format_args!(
            "{}: the log holds. {} leaves{new}, all under the root that the node signed; the evidence behind {} of them is whole.{witnesses}",
            member.title(),
            log.size(),
            log.evidence
        ));
    } else {
        output.say(format_args!(
            "{}: {} in the log ({read} leaves read) or in its evidence:",
            member.title(),
            faults(log.findings.len()),
        ));
        for finding in &log.findings {
            output.say(format_args!("  {finding}"));
        }
    }
    if let Some(continued) = &log.continued {
        output.say(format_args!(
            "  This log continues {}, which was given up with {} leaves.",
            continued.origin, continued.head.size
        ));
    }
    say_reported(output, log);
}

/// What a log holds against others, in words.
pub fn say_reported(output: Output, log: &Verification) {
    for finding in &log.reported {
        output.say(format_args!("  It reports: {finding}"));
    }
}

fn say_subject(office: &Office<'_>, lang: Lang, member: &Member, report: &SubjectReport) {
    let output = office.context.output;
    if report.events.is_empty() {
        output.say(format_args!(
            "Nobody asked about this record at {}.",
            member.title()
        ));
    }
    for event in &report.events {
        output.say(format_args!(
            "{} [leaf {}]",
            event.sentence(lang, &office.roster, &report.member),
            event.leaf_index
        ));
    }
    if !report.held {
        output.say(format_args!(
            "{} says that it holds no record under this reference now.",
            member.title()
        ));
    }
    if report.verification.holds() {
        output.say(
            "The list is complete as far as this log goes: all of it was read, and the record's pseudonym is proved.",
        );
    } else {
        output.say("The list may not be complete, because something does not hold:");
    }
    say_log(output, member, &report.verification);
}

/// A reconciliation in words.
pub fn say_story(output: Output, roster: &TrustedRoster, story: &Reconciliation) {
    for finding in &story.findings {
        output.say(format_args!("  {finding}"));
    }
    for loose in &story.refused {
        output.say(format_args!(
            "  refused: {}",
            loose.sentence(Lang::English, roster)
        ));
    }
    for loose in &story.open {
        output.say(format_args!(
            "  open: {}",
            loose.sentence(Lang::English, roster)
        ));
    }
    output.say(format_args!(
        "{} questions have their answer in the other log; {} were refused, {} are open, and {} between the logs.",
        story.matched,
        story.refused.len(),
        story.open.len(),
        faults(story.findings.len())
    ));
}
