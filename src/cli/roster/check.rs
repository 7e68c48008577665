//! Looking at roots and rosters, and taking one into use.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::files::{self, Chain, Document, RootArgs};
use super::trust;
use crate::cli::{CliError, Context};
use crate::roster::{
    Bytes32, Change, EXPIRY_WARNING, RosterError, SignatureReport, diff_roots, diff_rosters,
};

#[derive(clap::Args)]
pub struct VerifyArgs {
    /// The root or roster.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    root: RootArgs,
}

#[derive(clap::Args)]
pub struct ShowArgs {
    /// The root or roster, signed or not.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(clap::Args)]
pub struct DiffArgs {
    /// The root or roster before.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The root or roster after.
    #[arg(value_name = "NEW")]
    new: PathBuf,
}

#[derive(clap::Args)]
pub struct PublishArgs {
    /// The signed roster.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    root: RootArgs,
}

#[derive(clap::Args)]
pub struct PublishRootArgs {
    /// The signed root.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub fn verify(context: &Context, args: &VerifyArgs) -> Result<(), CliError> {
    let bytes = files::read(&args.file)?;
    let chain = args.root.chain(context)?;
    let report = SignatureReport::of(&bytes, chain.newest());
    let own = files::is_root(&bytes).then(|| SignatureReport::of_new_root(&bytes));
    let (kind, version, digest, warnings) = match check(context, chain, &bytes) {
        Ok(found) => found,
        Err(error) => {
            let reports = [report.ok(), own.and_then(Result::ok)];
            let said: Vec<String> = reports.iter().flatten().map(in_words).collect();
            let more = if said.is_empty() {
                String::new()
            } else {
                format!(" ({})", said.join("; by its own keys: "))
            };
            return Err(files::refused(&error, &more));
        }
    };
    // A root is judged by its own keys: of a pinned one there is no other threshold.
    let report = own.unwrap_or(report)?;
    let output = context.output;
    output.say(format_args!(
        "{} is {kind} {version}, in force, SHA-256 {digest}.",
        args.file.display()
    ));
    output.say(format_args!("It is {}.", in_words(&report)));
    for warning in &warnings {
        output.say(format_args!("Warning: {warning}"));
    }
    output.object(&json!({
        "ok": true, "kind": kind, "version": version, "digest": digest,
        "threshold": report.threshold, "signed": report.signed, "missing": report.missing,
        "unknown": report.unknown, "warnings": warnings,
    }));
    Ok(())
}

type Found = (&'static str, u32, Bytes32, Vec<String>);

/// Takes a file as a node would, now.
fn check(context: &Context, chain: Chain, bytes: &[u8]) -> Result<Found, RosterError> {
    let now = context.ambient.now();
    let mut store = chain.into_store();
    let found = if files::is_root(bytes) {
        let _ = store.update_root(bytes, now)?;
        let (root, digest) = (store.root().root(), store.root().digest());
        if root.expires.unix() <= now {
            return Err(RosterError::RootExpired {
                version: root.version,
                expires: root.expires,
            });
        }
        ("root", root.version, digest)
    } else {
        let _ = store.update_roster(bytes, now)?;
        let roster = store.roster_in_force(now)?;
        ("roster", roster.version(), roster.digest())
    };
    let (kind, version, digest) = found;
    let warnings = store.warnings(now, EXPIRY_WARNING);
    let warnings = warnings
        .into_iter()
        .filter(|warning| warning.code != "NO_ROSTER")
        .map(|warning| warning.sentence)
        .collect();
    Ok((kind, version, digest, warnings))
}

fn in_words(report: &SignatureReport) -> String {
    let mut words = format!(
        "signed by {} of the {} that must: {}",
        report.signed.len(),
        report.threshold,
        listed(&report.signed)
    );
    if !report.missing.is_empty() {
        words.push_str(&format!("; not by {}", listed(&report.missing)));
    }
    if !report.unknown.is_empty() {
        words.push_str(&format!(
            "; and by {}, which do not count",
            listed(&report.unknown)
        ));
    }
    words
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}

pub fn show(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    let (document, signers) = Document::read(&args.file)?;
    let output = context.output;
    let now = context.ambient.now();
    let (text, problems, object) = match &document {
        Document::Root(root) => (root.show(now), root.problems(), json!({"root": root})),
        Document::Roster(roster) => (
            roster.show(now),
            roster.problems(),
            json!({"roster": roster}),
        ),
    };
    output.say(text.trim_end());
    output.say(format_args!(
        "\nIt bears the names of {} on its signature lines; `wayhome roster verify` checks them.",
        listed(&signers)
    ));
    let problems: Vec<String> = problems
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect();
    for problem in &problems {
        output.say(format_args!("WRONG: {problem}"));
    }
    let mut whole = json!({"ok": true, "signature_lines": signers, "problems": problems});
    if let (Value::Object(whole), Value::Object(object)) = (&mut whole, object) {
        whole.extend(object);
    }
    output.object(&whole);
    Ok(())
}

pub fn diff(context: &Context, args: &DiffArgs) -> Result<(), CliError> {
    let (old, _) = Document::read(&args.old)?;
    let (new, _) = Document::read(&args.new)?;
    let (changes, versions) = match (&old, &new) {
        (Document::Root(old), Document::Root(new)) => {
            (diff_roots(old, new), ("root", old.version, new.version))
        }
        (Document::Roster(old), Document::Roster(new)) => {
            (diff_rosters(old, new), ("roster", old.version, new.version))
        }
        _ => {
            return Err(CliError::input(
                "WRONG_TYPE",
                "one of the files is a root and the other a roster: give two of a kind",
            ));
        }
    };
    let (kind, from, to) = versions;
    context
        .output
        .say(format_args!("From {kind} {from} to {kind} {to}:"));
    say_changes(context, &changes);
    context.output.object(&json!({
        "ok": true, "kind": kind, "from": from, "to": to, "changes": changes_object(&changes),
    }));
    Ok(())
}

pub fn say_changes(context: &Context, changes: &[Change]) {
    if changes.is_empty() {
        context.output.say("  Nothing changes.");
    }
    for change in changes {
        let mark = if change.alarming { "ALARM: " } else { "" };
        context
            .output
            .say(format_args!("  {mark}{}", change.sentence));
    }
}

pub fn changes_object(changes: &[Change]) -> Value {
    changes
        .iter()
        .map(|change| {
            json!({
                "member": change.member, "sentence": change.sentence, "alarming": change.alarming,
            })
        })
        .collect()
}

pub fn publish(context: &Context, args: &PublishArgs) -> Result<(), CliError> {
    let note = files::read(&args.file)?;
    let now = context.ambient.now();
    let directory = &context.directory;
    let mut store = args.root.trust(context)?;
    there_is(context)?;
    let before = store.roster().cloned();
    let outcome = store.update_roster(&note, now);
    // Kept after a refusal too, for the sake of the time.
    trust::keep(directory, &store)?;
    let _ = outcome?;
    let roster = store.roster_in_force(now)?;
    directory.write("roster.note", roster.note())?;
    let changes = before.map(|before| diff_rosters(before.roster(), roster.roster()));
    let output = context.output;
    output.say(format_args!(
        "Roster {} of {} is now in {}; a running node takes it up within seconds.",
        roster.version(),
        roster.roster().coalition,
        directory.file("roster.note").display()
    ));
    if let Some(changes) = &changes {
        say_changes(context, changes);
    }
    output.object(&json!({
        "ok": true, "version": roster.version(), "digest": roster.digest(),
        "file": directory.file("roster.note").display().to_string(),
        "changes": changes.map(|changes| changes_object(&changes)),
    }));
    Ok(())
}

pub fn publish_root(context: &Context, args: &PublishRootArgs) -> Result<(), CliError> {
    let note = files::read(&args.file)?;
    let directory = &context.directory;
    there_is(context)?;
    let mut store = trust::open(context)?;
    let before = store.root().root().clone();
    let outcome = store.update_root(&note, context.ambient.now());
    trust::keep(directory, &store)?;
    let _ = outcome?;
    let root = store.root();
    directory.write_root(root.version(), root.note())?;
    let changes = diff_roots(&before, root.root());
    let output = context.output;
    output.say(format_args!(
        "Root {} of {} is now in {}; a running node takes it up within seconds. Publish the roster \
         that was signed under it next.",
        root.version(),
        root.root().coalition,
        directory.file("roots").display()
    ));
    say_changes(context, &changes);
    output.object(&json!({
        "ok": true, "version": root.version(), "digest": root.digest(),
        "changes": changes_object(&changes),
    }));
    Ok(())
}

fn there_is(context: &Context) -> Result<(), CliError> {
    let path = context.directory.path();
    if path.is_dir() {
        return Ok(());
    }
    Err(CliError::input(
        "NO_DIRECTORY",
        format!(
            "{} is no party's directory: give one with --dir",
            path.display()
        ),
    ))
}
