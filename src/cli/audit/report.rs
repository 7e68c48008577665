//! `wayhome audit report`: a report that people can read and check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::bars::Bars;
use super::office::Office;
use super::read::{story_findings, story_object};
use super::verdict;
use crate::audit::reconcile::reconcile;
use crate::audit::report::{Report, Watched, oversight, sign};
use crate::audit::words;
use crate::cli::{CliError, Context};
use crate::locale::Lang;
use crate::roster::{MemberId, TrustedRoot, TrustedRoster};

/// Arguments of `wayhome audit report`.
#[derive(clap::Args)]
pub struct Args {
    /// The members; all in your scope if none is named.
    members: Vec<MemberId>,
    /// The language: en, uk.
    #[arg(long, value_name = "LANG", default_value_t)]
    lang: Lang,
    /// The folder to write the report to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Makes a report on what members did.
pub async fn make(office: &Office<'_>, args: Args) -> Result<(), CliError> {
    let members = office.members(&args.members)?;
    let lasts = members
        .iter()
        .map(|member| office.last(member))
        .collect::<Result<Vec<_>, _>>()?;
    let readings: Vec<_> = members
        .iter()
        .zip(&lasts)
        .map(|(member, last)| (*member, office.reading(last.as_ref(), false)))
        .collect();
    let bars = Bars::all(office.context);
    let mut watched: BTreeMap<MemberId, Watched> = members
        .iter()
        .map(|member| (member.id.clone(), Watched::default()))
        .collect();
    let story = reconcile(
        &office.auditor,
        &readings,
        &|what, done, of| bars.step(what, done, of),
        &mut |member, index, entry, _| {
            if let Some(watched) = watched.get_mut(member) {
                watched.take(index, entry);
            }
        },
    )
    .await;
    bars.clear();
    for log in &story.logs {
        office.remember(log)?;
    }
    let report = oversight(
        args.lang,
        &office.roster,
        (&office.auditor.id, office.context.ambient.now_ms()),
        &story,
        watched,
        story_object(&story),
    );
    let files = write(office, &report, &args.out)?;
    for sentence in report.sentences() {
        office.context.output.say(sentence);
    }
    say_where(office, args.lang, &args.out);
    let findings = story_findings(&story);
    office.context.output.object(&json!({
        "ok": findings == 0,
        "files": files,
        "findings": findings,
    }));
    verdict(findings)
}

/// Says where a report lies, in its own language.
pub fn say_where(office: &Office<'_>, lang: Lang, out: &Path) {
    let file = out.join("report.html").display().to_string();
    let told = lang.with("report-is-in", &[("file", file.into())]);
    office.context.output.say(told);
}

/// Writes a report, signed, with the roster that it goes by.
pub fn write(office: &Office<'_>, report: &Report, out: &Path) -> Result<Vec<PathBuf>, CliError> {
    std::fs::create_dir_all(out)?;
    let html = report.to_html();
    let json = report.to_json().to_string() + "\n";
    let roster = office.roster.note();
    let files: [(&str, &[u8]); 3] = [
        ("report.html", html.as_bytes()),
        ("report.json", json.as_bytes()),
        ("roster.note", roster.as_bytes()),
    ];
    let note = sign::sign(
        &office.auditor.id,
        &office.auditor.signing_key,
        office.context.ambient.now(),
        &files,
    )
    .map_err(|error| CliError::failed("REPORT_NOT_SIGNED", error))?;
    let mut written = Vec::new();
    for (name, bytes) in files.into_iter().chain([("report.note", note.as_bytes())]) {
        let path = out.join(name);
        std::fs::write(&path, bytes)?;
        written.push(path);
    }
    Ok(written)
}

/// Checks a report's signature, without any node.
pub fn verify(context: &Context, folder: &Path, root: Option<&Path>) -> Result<(), CliError> {
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let missing = |name: &str| {
        let file = folder.join(name);
        CliError::input("FILE", format!("{} cannot be read", file.display()))
    };
    let root = super::root_note(context, root)?;
    let root = TrustedRoot::pin(&root)?;
    let roster = read("roster.note").ok_or_else(|| missing("roster.note"))?;
    let roster = TrustedRoster::verify(&root, &roster)?;
    let note = read("report.note").ok_or_else(|| missing("report.note"))?;
    let signed = sign::check(&note, &roster, read)
        .map_err(|error| CliError::failed(error.code(), &error))?;
    let files: Vec<&str> = signed.files.iter().map(|(name, _)| name.as_str()).collect();
    context.output.say(format_args!(
        "The report is the one that {} signed on {}: {}.",
        words::party(&roster, &signed.by),
        signed.at.spoken(),
        files.join(", ")
    ));
    let told: Value = json!({
        "ok": true,
        "signed_by": signed.by,
        "signed_at": signed.at,
        "files": files,
    });
    context.output.object(&told);
    Ok(())
}
