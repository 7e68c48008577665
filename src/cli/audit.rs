//! `wayhome audit`: logs and evidence, checked by an ombudsman who trusts no node.

use std::sync::Arc;

use serde_json::{Value, json};

use super::roster::trust;
use super::{CliError, Context, progress};
use crate::audit::reconcile::{Reconciliation, reconcile};
use crate::audit::subject::{SubjectReport, subject};
use crate::audit::summary::summary;
use crate::audit::verify::{Reading, Verification, verify};
use crate::audit::{Auditor, Finding, LastVerified, Rosters, words};
use crate::node::{Config, Identity, PinnedPeers};
use crate::roster::{Kind, Member, MemberId, OmbudsmanScope, TrustedRoot, TrustedRoster};

/// Arguments of `wayhome audit`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read whole logs with the evidence behind them, and name every place that does not hold.
    Verify {
        /// The members; all in your scope if none is named.
        members: Vec<MemberId>,
        /// Read only what is new since the last time. Older leaves are not looked at again.
        #[arg(long)]
        only_new: bool,
    },
    /// Say who asked about a record, when, on what ground, and what they were told.
    Subject {
        /// The member's reference of the record.
        record_ref: String,
        /// The member that holds the record.
        #[arg(long)]
        member: MemberId,
    },
    /// Hold logs against each other: each question has its answer on the other side.
    Reconcile {
        /// The members; all in your scope if none is named.
        members: Vec<MemberId>,
    },
    /// Count what a member did, by act and by the other party.
    Member {
        /// The member.
        id: MemberId,
    },
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let office = Office::open(context)?;
    match args.command {
        Command::Verify { members, only_new } => office.verify(&members, only_new).await,
        Command::Subject { record_ref, member } => office.subject(&record_ref, &member).await,
        Command::Reconcile { members } => office.reconcile(&members).await,
        Command::Member { id } => office.member(&id).await,
    }
}

/// An ombudsman at work in its directory.
struct Office<'a> {
    context: &'a Context,
    auditor: Auditor,
    roster: Arc<TrustedRoster>,
    scope: OmbudsmanScope,
}

/// Where rosters are kept once they were in force: evidence outlives them.
const ROSTERS: &str = "audit/rosters";

impl<'a> Office<'a> {
    fn open(context: &'a Context) -> Result<Self, CliError> {
        let directory = &context.directory;
        let config = Config::load(directory)?;
        let identity = Arc::new(Identity::load(directory)?);
        std::fs::create_dir_all(directory.file(ROSTERS))?;
        let (roster, earlier) = trusted_rosters(context)?;
        let own = roster.member(config.member.as_str()).ok_or_else(|| {
            CliError::failed(
                "PARTY_UNKNOWN",
                format!(
                    "the roster does not list {}: have the secretariat admit the ombudsman first",
                    config.member
                ),
            )
        })?;
        let scope = own.roles.ombudsman.clone().ok_or_else(|| {
            CliError::failed(
                "NO_OMBUDSMAN",
                format!(
                    "the roster does not make {} an ombudsman: run this in an ombudsman's directory",
                    own.title()
                ),
            )
        })?;
        let auditor = Auditor {
            id: config.member,
            signing_key: identity.signing.clone(),
            rosters: Rosters::new(Arc::clone(&roster), earlier),
            peers: Arc::new(PinnedPeers::new(identity, context.ambient.clone())),
            ambient: context.ambient.clone(),
        };
        Ok(Self {
            context,
            auditor,
            roster,
            scope,
        })
    }

    /// The members that are named, or all in scope.
    fn members(&self, named: &[MemberId]) -> Result<Vec<&Member>, CliError> {
        if !named.is_empty() {
            return named.iter().map(|id| self.one(id)).collect();
        }
        let in_scope = |member: &&Member| match &self.scope {
            OmbudsmanScope::Coalition => member.log.is_some(),
            OmbudsmanScope::Member(own) => member.id == *own,
        };
        Ok(self
            .roster
            .roster()
            .members
            .iter()
            .filter(in_scope)
            .collect())
    }

    fn one(&self, id: &MemberId) -> Result<&Member, CliError> {
        let member = self.roster.member(id.as_str()).ok_or_else(|| {
            CliError::input(
                "PARTY_UNKNOWN",
                format!("the roster has no party called {id}: see `wayhome roster show`"),
            )
        })?;
        if let OmbudsmanScope::Member(own) = &self.scope
            && member.id != *own
        {
            return Err(CliError::input(
                "OUT_OF_SCOPE",
                format!("the roster lets you audit {own}, not {id}"),
            ));
        }
        if member.log.is_none() {
            return Err(CliError::input(
                "NO_LOG",
                format!("{} keeps no log: it runs no node", member.title()),
            ));
        }
        Ok(member)
    }

    async fn verify(&self, named: &[MemberId], only_new: bool) -> Result<(), CliError> {
        let mut logs = Vec::new();
        for member in self.members(named)? {
            let last = self.last(member)?;
            let reading = Reading {
                last: last.as_ref(),
                only_new,
            };
            let log = self.read(member, reading).await;
            self.remember(&log)?;
            self.say_log(member, &log);
            logs.push(log);
        }
        let findings = logs.iter().map(|log| log.findings.len()).sum();
        self.context.output.object(&json!({
            "ok": findings == 0,
            "logs": logs.iter().map(log_object).collect::<Vec<_>>(),
            "findings": findings,
        }));
        verdict(findings)
    }

    async fn subject(&self, record_ref: &str, id: &MemberId) -> Result<(), CliError> {
        let member = self.one(id)?;
        let last = self.last(member)?;
        let reading = Reading {
            last: last.as_ref(),
            only_new: false,
        };
        let bars = Bars::new(self.context, member);
        let report = subject(
            &self.auditor,
            member,
            record_ref,
            reading,
            &|what, done, of| {
                bars.step(what, done, of);
            },
        )
        .await
        .map_err(|error| CliError::failed(error.code(), &error))?;
        bars.clear();
        self.remember(&report.verification)?;
        self.say_subject(member, &report);
        let findings = report.verification.findings.len();
        self.context.output.object(&json!({
            "ok": findings == 0,
            "member": report.member,
            "held": report.held,
            "subject": report.subject.map(hex::encode),
            "sentences": report.events.iter().map(|event| event.sentence(&self.roster, &report.member)).collect::<Vec<_>>(),
            "events": report.events.iter().map(crate::audit::subject::Event::to_json).collect::<Vec<_>>(),
            "log": log_object(&report.verification),
            "findings": findings,
        }));
        verdict(findings)
    }

    async fn reconcile(&self, named: &[MemberId]) -> Result<(), CliError> {
        let members = self.members(named)?;
        let lasts = members
            .iter()
            .map(|member| self.last(member))
            .collect::<Result<Vec<_>, _>>()?;
        let readings: Vec<(&Member, Reading<'_>)> = members
            .iter()
            .zip(&lasts)
            .map(|(member, last)| {
                let reading = Reading {
                    last: last.as_ref(),
                    only_new: false,
                };
                (*member, reading)
            })
            .collect();
        let bars = Bars::all(self.context);
        let story = reconcile(&self.auditor, &readings, &|what, done, of| {
            bars.step(what, done, of);
        })
        .await;
        bars.clear();
        for log in &story.logs {
            self.remember(log)?;
        }
        self.say_story(&members, &story);
        let within: usize = story.logs.iter().map(|log| log.findings.len()).sum();
        let findings = within + story.findings.len();
        let list = |loose: &[crate::audit::reconcile::Loose]| {
            loose
                .iter()
                .map(crate::audit::reconcile::Loose::to_json)
                .collect::<Vec<_>>()
        };
        self.context.output.object(&json!({
            "ok": findings == 0,
            "pairs": story.matched,
            "unmatched": story.findings.len(),
            "open": list(&story.open),
            "refused": list(&story.refused),
            "between": story.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "logs": story.logs.iter().map(log_object).collect::<Vec<_>>(),
            "findings": findings,
        }));
        verdict(findings)
    }

    async fn member(&self, id: &MemberId) -> Result<(), CliError> {
        let member = self.one(id)?;
        let last = self.last(member)?;
        let reading = Reading {
            last: last.as_ref(),
            only_new: false,
        };
        let log = self.read(member, reading).await;
        self.remember(&log)?;
        let lines = summary(&log);
        self.say_log(member, &log);
        let output = self.context.output;
        output.say(format_args!(
            "{:<26} {:<10} {:>8} {:>10}  from .. to",
            "act", "party", "leaves", "counted"
        ));
        for line in &lines {
            let peer = line.peer.as_ref().map_or("-", MemberId::as_str);
            output.say(format_args!(
                "{:<26} {:<10} {:>8} {:>10}  {} .. {}",
                line.act_in_words,
                peer,
                line.leaves,
                line.counted,
                words::moment(line.times_ms.0),
                words::moment(line.times_ms.1),
            ));
        }
        output.object(&json!({
            "ok": log.holds(),
            "acts": lines.iter().map(crate::audit::summary::Line::to_json).collect::<Vec<_>>(),
            "log": log_object(&log),
            "findings": log.findings.len(),
        }));
        verdict(log.findings.len())
    }

    async fn read(&self, member: &Member, reading: Reading<'_>) -> Verification {
        let bars = Bars::new(self.context, member);
        let log = verify(
            &self.auditor,
            member,
            reading,
            &|what, done, of| bars.step(what, done, of),
            &mut |_, _, _| {},
        )
        .await;
        bars.clear();
        log
    }

    fn last(&self, member: &Member) -> Result<Option<LastVerified>, CliError> {
        let name = record_name(&member.id);
        let Some(text) = self.context.directory.read_if_there(&name)? else {
            return Ok(None);
        };
        LastVerified::parse(member, &text)
            .map(Some)
            .map_err(|error| CliError::failed("OWN_RECORD", format!("{name}: {error}")))
    }

    fn remember(&self, log: &Verification) -> Result<(), CliError> {
        if let Some(last) = &log.last {
            let name = record_name(&log.member);
            self.context.directory.write(&name, &last.to_text())?;
        }
        Ok(())
    }

    fn say_log(&self, member: &Member, log: &Verification) {
        let output = self.context.output;
        let new = if log.start > 0 {
            format!(", of which {} are new and were read", log.entries.len())
        } else {
            String::new()
        };
        if log.holds() {
            output.say(format_args!(
                "{}: the log holds. {} leaves{new}, all under the root that the node signed; the evidence behind {} of them is whole.",
                member.title(),
                log.size(),
                log.evidence
            ));
        } else {
            output.say(format_args!(
                "{}: {} in the log ({} leaves read) or in its evidence:",
                member.title(),
                faults(log.findings.len()),
                log.entries.len()
            ));
            for finding in &log.findings {
                output.say(format_args!("  {finding}"));
            }
        }
    }

    fn say_subject(&self, member: &Member, report: &SubjectReport) {
        let output = self.context.output;
        if report.events.is_empty() {
            output.say(format_args!(
                "Nobody asked about this record at {}.",
                member.title()
            ));
        }
        for event in &report.events {
            output.say(format_args!(
                "{} [leaf {}]",
                event.sentence(&self.roster, &report.member),
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
        self.say_log(member, &report.verification);
    }

    fn say_story(&self, members: &[&Member], story: &Reconciliation) {
        let output = self.context.output;
        for log in &story.logs {
            if let Some(member) = members.iter().find(|member| member.id == log.member) {
                self.say_log(member, log);
            }
        }
        for finding in &story.findings {
            output.say(format_args!("  {finding}"));
        }
        for loose in &story.refused {
            output.say(format_args!("  refused: {}", loose.sentence(&self.roster)));
        }
        for loose in &story.open {
            output.say(format_args!("  open: {}", loose.sentence(&self.roster)));
        }
        output.say(format_args!(
            "{} questions have their answer in the other log; {} were refused, {} are open, and {} between the logs.",
            story.matched,
            story.refused.len(),
            story.open.len(),
            faults(story.findings.len())
        ));
    }
}

/// The roster that is in force for this ombudsman, and those that were before. What was accepted
/// once is kept, so that an older file in the directory is not believed.
fn trusted_rosters(
    context: &Context,
) -> Result<(Arc<TrustedRoster>, Vec<Arc<TrustedRoster>>), CliError> {
    let directory = &context.directory;
    let now = context.ambient.now();
    let mut trust = trust::open(context)?;
    if let Some(note) = directory.read_note("roster.note", Kind::Roster.max_bytes())? {
        match trust.update_roster(&note, now) {
            Ok(_) => {}
            // An older file beside a newer kept roster is no fault: the newer one is in force.
            Err(_) if trust.roster().is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    trust::keep(directory, &trust)?;
    let roster = Arc::clone(trust.roster_in_force(now)?);
    directory.write(
        &format!("{ROSTERS}/{}.note", roster.version()),
        roster.note(),
    )?;
    let roots: Vec<TrustedRoot> = trust
        .roots_above(0)
        .filter_map(|note| TrustedRoot::pin(note.as_bytes()).ok())
        .collect();
    let mut earlier = Vec::new();
    for file in std::fs::read_dir(directory.file(ROSTERS))? {
        let note = std::fs::read(file?.path())?;
        // What no root of the chain signed proves nothing and is passed over.
        let verified = roots
            .iter()
            .find_map(|root| TrustedRoster::verify(root, &note).ok());
        earlier.extend(verified.map(Arc::new));
    }
    Ok((roster, earlier))
}

fn record_name(member: &MemberId) -> String {
    format!("audit/{member}.json")
}

fn log_object(log: &Verification) -> Value {
    json!({
        "member": log.member,
        "verified": log.holds(),
        "leaves": log.size(),
        "read_from": log.start,
        "evidence": log.evidence,
        "root": log.checkpoint.as_ref().map(|checkpoint| hex::encode(checkpoint.checkpoint().root())),
        "checkpoint": log.checkpoint.as_ref().map(|checkpoint| checkpoint.signed().to_string()),
        "findings": log.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
    })
}

fn faults(count: usize) -> String {
    match count {
        0 => "no fault was found".to_owned(),
        1 => "one fault was found".to_owned(),
        count => format!("{count} faults were found"),
    }
}

fn verdict(findings: usize) -> Result<(), CliError> {
    if findings == 0 {
        Ok(())
    } else {
        Err(CliError::failed("FINDINGS", faults(findings)).told())
    }
}

/// One bar for what is being read.
struct Bars<'a> {
    context: &'a Context,
    prefix: String,
    current: std::sync::Mutex<Option<(String, indicatif::ProgressBar)>>,
}

impl<'a> Bars<'a> {
    fn new(context: &'a Context, member: &Member) -> Self {
        Self {
            context,
            prefix: format!("{}: ", member.id),
            current: std::sync::Mutex::default(),
        }
    }

    fn all(context: &'a Context) -> Self {
        Self {
            context,
            prefix: String::new(),
            current: std::sync::Mutex::default(),
        }
    }

    fn step(&self, what: &str, done: u64, of: u64) {
        let mut current = self
            .current
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = current
            .as_ref()
            .is_none_or(|(shown, bar)| shown != what || done < bar.position());
        if fresh {
            if let Some((_, bar)) = current.take() {
                bar.finish_and_clear();
            }
            let title = format!("{}{what}", self.prefix);
            let bar = progress::bar(self.context.output, of, &title);
            *current = Some((what.to_owned(), bar));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_length(of);
            bar.set_position(done);
        }
    }

    fn clear(&self) {
        let mut current = self
            .current
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, bar)) = current.take() {
            bar.finish_and_clear();
        }
    }
}
