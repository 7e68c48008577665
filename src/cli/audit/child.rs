//! `wayhome audit child`: who asked about a child that is described, not referred to.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::bars::Bars;
use super::office::Office;
use super::read::{log_object, say_log};
use super::{list, verdict};
use crate::audit::child::{ChildReport, Sighting, child as look_for};
use crate::audit::subject::Event;
use crate::audit::words;
use crate::cli::CliError;
use crate::cli::input::open_register;
use crate::linkage::{Grade, RuleTable};
use crate::locale::Lang;
use crate::records::Record;
use crate::records::import::{Format, Import, ImportOptions, Row};
use crate::roster::{Member, MemberId, TrustedRoster};

/// Arguments of `wayhome audit child`.
#[derive(clap::Args)]
pub struct Args {
    /// A file with one child, in a format that `records import` reads. It stays on this machine.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The members; all in your scope if none is named.
    members: Vec<MemberId>,
    /// The language of the sentences: en, uk.
    #[arg(long, value_name = "LANG", default_value_t)]
    lang: Lang,
}

/// Says who asked about a described child.
pub async fn run(office: &Office<'_>, args: Args) -> Result<(), CliError> {
    let described = described(&args.input)?;
    let rules = RuleTable::shipped().map_err(|error| CliError::failed("RULES", error))?;
    let members = office.members(&args.members)?;
    let failed = |error: crate::audit::AuditError| CliError::failed(error.code(), &error);
    let sought = office
        .auditor
        .seek(rules, &described)
        .await
        .map_err(failed)?;
    if sought.keys() == 0 {
        return Err(CliError::input(
            "NO_KEYS",
            "too little is known of this child to look for it: give name, date of birth and one more field",
        ));
    }
    let output = office.context.output;
    for missed in sought.missed() {
        output.say(format_args!(
            "Under epoch {} of the coalition key the child cannot be looked for: {}",
            missed.epoch, missed.why
        ));
    }
    let mut told = Vec::new();
    let mut findings = 0;
    for member in members {
        let last = office.last(member)?;
        let bars = Bars::new(office.context, member);
        let reading = office.reading(last.as_ref(), false);
        let report = look_for(
            &office.auditor,
            member,
            &sought,
            reading,
            &|what, done, of| {
                bars.step(what, done, of);
            },
        )
        .await
        .map_err(failed)?;
        bars.clear();
        office.remember(&report.verification)?;
        let sentences = sentences(args.lang, &office.roster, &report);
        output.say(args.lang.with(
            "child-records",
            &[
                ("member", member.title().into()),
                ("count", report.records.len().into()),
            ],
        ));
        for sentence in about_index(args.lang, member, &report)
            .iter()
            .chain(&sentences)
        {
            output.say(format_args!("  {sentence}"));
        }
        say_log(output, member, &report.verification);
        findings += report.verification.findings.len();
        told.push(object(&report, &sentences));
    }
    output.object(&json!({
        "ok": findings == 0,
        "epochs": sought.epochs().collect::<Vec<_>>(),
        "epochs_missed": list(sought.missed(), |missed| json!({
            "epoch": missed.epoch,
            "why": missed.why,
        })),
        "members": told,
        "findings": findings,
    }));
    verdict(findings)
}

fn described(path: &Path) -> Result<Record, CliError> {
    let name = path.display();
    let wrong = |why: &dyn std::fmt::Display| CliError::input("INPUT", format!("{name}: {why}"));
    let (file, first) = open_register(path)?;
    let format = Format::detect(Some(path), &first);
    let import = Import::new(BufReader::new(file), format, &ImportOptions::default())
        .map_err(|error| wrong(&error))?;
    let mut children = Vec::new();
    for row in import {
        match row.map_err(|error| wrong(&error))? {
            Row::Accepted(_, record) => children.push(record),
            Row::Rejected(rejection) => {
                let first = rejection.errors.first().map(ToString::to_string);
                return Err(wrong(&first.unwrap_or_default()));
            }
        }
    }
    match (children.pop(), children.is_empty()) {
        (Some(child), true) => Ok(*child),
        _ => Err(wrong(&"it has to hold exactly one child")),
    }
}

/// What the member's index has of the child, and what cannot be told any more.
fn about_index(lang: Lang, member: &Member, report: &ChildReport) -> Vec<String> {
    let title = member.title();
    let index = report.indexes.iter().map(|index| match index.mark {
        Some(mark) => lang.with(
            "child-index",
            &[
                ("member", title.clone().into()),
                ("standing", index.standing.to_string().into()),
                ("keys", index.keys.to_string().into()),
                ("rows", index.size.to_string().into()),
                ("epoch", index.epoch.to_string().into()),
                ("leaf", mark.leaf_index.to_string().into()),
            ],
        ),
        None => lang.with(
            "child-index-empty",
            &[
                ("member", title.clone().into()),
                ("epoch", index.epoch.to_string().into()),
            ],
        ),
    });
    let untold = (report.untold > 0).then(|| {
        lang.with(
            "child-untold",
            &[
                ("member", title.clone().into()),
                ("count", report.untold.into()),
            ],
        )
    });
    index.chain(untold).collect()
}

/// What happened, by time: acts on the child's records, and queries that were about it.
fn sentences(lang: Lang, roster: &TrustedRoster, report: &ChildReport) -> Vec<String> {
    let mut lines: BTreeMap<(u64, usize), String> = BTreeMap::new();
    for (number, event) in report.events.iter().enumerate() {
        lines.insert(
            (event.leaf_index, number),
            event.sentence(lang, roster, &report.member),
        );
    }
    let told: Vec<u64> = report.events.iter().map(|event| event.leaf_index).collect();
    for sighting in &report.sightings {
        if !told.contains(&sighting.leaf_index) {
            lines.insert((sighting.leaf_index, 0), sighted(lang, roster, sighting));
        }
    }
    lines.into_values().collect()
}

fn sighted(lang: Lang, roster: &TrustedRoster, sighting: &Sighting) -> String {
    let party = |id: &Option<MemberId>| {
        id.as_ref()
            .map_or_else(|| lang.text("party-nobody"), |id| words::party(roster, id))
    };
    let ground = lang.with(
        "ground",
        &[
            ("purpose", words::purpose(lang, sighting.purpose).into()),
            (
                "basis",
                words::legal_basis(lang, sighting.legal_basis).into(),
            ),
        ],
    );
    let case = match sighting.case_reference.as_str() {
        "" => String::new(),
        case => lang.with("case", &[("case", case.into())]),
    };
    let grade = sighting.answered.map_or_else(
        || lang.text("sighting-elsewhere"),
        |grade| words::grade(lang, grade),
    );
    lang.with(
        "sighting",
        &[
            ("at", words::moment(sighting.time_ms).into()),
            ("asker", party(&sighting.asker).into()),
            ("holder", party(&sighting.holder).into()),
            ("ground", ground.into()),
            ("case", case.into()),
            (
                "agrees",
                words::grade(lang, grade_number(sighting.agrees)).into(),
            ),
            ("grade", grade.into()),
        ],
    )
}

fn grade_number(grade: Grade) -> u32 {
    u32::from(crate::exchange::lookup::rank(grade))
}

fn object(report: &ChildReport, sentences: &[String]) -> Value {
    json!({
        "member": report.member,
        "records": report.records.iter().map(hex::encode).collect::<Vec<_>>(),
        "indexes": list(&report.indexes, |index| json!({
            "epoch": index.epoch,
            "mark": index.mark.map(|mark| mark.leaf_index),
            "rows": index.size,
            "root": index.mark.map(|mark| hex::encode(mark.root)),
            "keys": index.keys,
            "standing": index.standing,
        })),
        "untold": report.untold,
        "sentences": sentences,
        "events": list(&report.events, Event::to_json),
        "sightings": list(&report.sightings, |sighting| json!({
            "leaf_index": sighting.leaf_index,
            "time_ms": sighting.time_ms,
            "asker": sighting.asker,
            "holder": sighting.holder,
            "purpose": sighting.purpose,
            "legal_basis": sighting.legal_basis,
            "case_reference": sighting.case_reference,
            "agrees": words::grade_name(grade_number(sighting.agrees)),
            "answered": sighting.answered.map(words::grade_name),
        })),
        "log": log_object(&report.verification),
    })
}
