//! `wayhome ceremony`: the keyholders make the coalition key among themselves, by files.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::roster::RootArgs;
use super::{CliError, Context};
use crate::node::ceremony::{Ceremony, CeremonyError, Deed, Joined, Status, Terms};
use crate::node::{Config, Identity};
use crate::roster::{MemberId, TrustedRoster};

/// Arguments of `wayhome ceremony`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Call a ceremony: write its plan into a folder that all keyholders will see.
    Start(StartArgs),
    /// Do whatever this keyholder can do now; to be run again until nothing is left.
    Join(JoinArgs),
    /// Check everything and write the key's public parts for the roster.
    Finish(FolderArgs),
    /// Show who has done what.
    Status(FolderArgs),
}

#[derive(clap::Args)]
struct StartArgs {
    /// The signed roster that names the keyholders and their keys.
    #[arg(long, value_name = "ROSTER.note")]
    roster: PathBuf,
    /// How many keyholders an evaluation takes.
    #[arg(long, value_name = "NUMBER")]
    threshold: u16,
    /// Number of the key epoch: 1 for the coalition's first key, then one more each time.
    #[arg(long, value_name = "NUMBER")]
    epoch: u32,
    /// Who takes part; all keyholders of the roster if not given.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    keyholders: Option<Vec<MemberId>>,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(clap::Args)]
struct JoinArgs {
    /// Refuse any ceremony but the one with this fingerprint, as you were told it.
    #[arg(long, value_name = "FINGERPRINT")]
    expect: Option<String>,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(clap::Args)]
struct FolderArgs {
    #[command(flatten)]
    root: RootArgs,
    /// The ceremony's folder.
    #[arg(value_name = "CEREMONY_DIR")]
    folder: PathBuf,
}

pub fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Start(args) => start(context, &args),
        Command::Join(args) => join(context, &args),
        Command::Finish(args) => finish(context, &args),
        Command::Status(args) => status(context, &args),
    }
}

impl From<CeremonyError> for CliError {
    fn from(error: CeremonyError) -> Self {
        Self::failed(error.code(), &error)
    }
}

fn start(context: &Context, args: &StartArgs) -> Result<(), CliError> {
    let mut trust = args.folder.root.chain(context)?.into_store();
    let note = super::roster::read(&args.roster)?;
    let _ = trust.update_roster(&note, context.ambient.now())?;
    let terms = Terms {
        epoch: args.epoch,
        threshold: args.threshold,
        keyholders: args.keyholders.clone(),
    };
    let ceremony = Ceremony::start(&args.folder.folder, &trust, &terms, &context.ambient)?;
    let output = context.output;
    introduce(context, &ceremony);
    output.say(format_args!(
        "The plan is in {}. Read the fingerprint to every keyholder, over the telephone or in the \
         room, not in the message that brings the folder.",
        args.folder.folder.display()
    ));
    output.say(format_args!(
        "Next: each keyholder runs `wayhome --dir DIR ceremony join {}`, in three rounds.",
        args.folder.folder.display()
    ));
    output.object(&with(&ceremony, json!({"ok": true})));
    Ok(())
}

fn join(context: &Context, args: &JoinArgs) -> Result<(), CliError> {
    let chain = args.folder.root.chain(context)?;
    let ceremony = Ceremony::open(&args.folder.folder, chain.newest())?;
    if let Some(expected) = &args.expect {
        ceremony.check_fingerprint(expected)?;
    }
    let directory = &context.directory;
    let me = Config::load(directory)?.member;
    let identity = Identity::load(directory)?;
    let newest = match directory.read_if_there("roster.note")? {
        Some(note) => Some(TrustedRoster::verify(chain.newest(), note.as_bytes())?),
        None => None,
    };
    introduce(context, &ceremony);
    let joined = ceremony.join(directory, &identity, &me, newest.as_ref(), &context.ambient)?;
    report(context, args, &ceremony, &me, &joined);
    Ok(())
}

fn finish(context: &Context, args: &FolderArgs) -> Result<(), CliError> {
    let chain = args.root.chain(context)?;
    let ceremony = Ceremony::open(&args.folder, chain.newest())?;
    let outcome = ceremony.finish()?;
    let key = &outcome.key;
    let file = args.folder.join("coalition-key.json");
    introduce(context, &ceremony);
    context.output.say(format_args!(
        "All {} keyholders have confirmed one transcript, and it makes the key {}.",
        key.keyholders.len(),
        key.public_key
    ));
    context.output.say(format_args!(
        "SHA-256 of transcript.jsonl: {}. The encrypted packages are removed.",
        key.transcript_sha256
    ));
    context.output.say(format_args!(
        "Next: `wayhome roster draft --from ROSTER.note --coalition-key {} ...`. Keep the folder: \
         with it anyone can check the key again.",
        file.display()
    ));
    let done = json!({"ok": true, "coalition_key": key, "file": file.display().to_string()});
    context.output.object(&with(&ceremony, done));
    Ok(())
}

fn status(context: &Context, args: &FolderArgs) -> Result<(), CliError> {
    let chain = args.root.chain(context)?;
    let ceremony = Ceremony::open(&args.folder, chain.newest())?;
    let status = ceremony.status();
    introduce(context, &ceremony);
    show(context, &status);
    let keyholders: Vec<Value> = status
        .keyholders
        .iter()
        .map(|standing| {
            json!({
                "member": standing.member, "identifier": standing.identifier,
                "committed": standing.committed, "packages": standing.packages,
                "confirmed": standing.confirmed, "faults": standing.faults,
            })
        })
        .collect();
    let state = json!({
        "ok": true, "keyholders": keyholders, "complete": status.key.is_some(),
        "finished": status.finished, "fault": status.fault, "coalition_key": status.key,
    });
    context.output.object(&with(&ceremony, state));
    Ok(())
}

/// What every command says first: which ceremony this is.
fn introduce(context: &Context, ceremony: &Ceremony) {
    let plan = ceremony.plan();
    let names: Vec<String> = plan
        .keyholders
        .iter()
        .map(|keyholder| ceremony.title(&keyholder.member))
        .collect();
    context.output.say(format_args!(
        "Ceremony {}\nof {}: the key of epoch {}, any {} of {} keyholders: {}.",
        ceremony.fingerprint(),
        plan.coalition,
        plan.epoch,
        plan.threshold,
        names.len(),
        names.join(", ")
    ));
}

fn with(ceremony: &Ceremony, mut object: Value) -> Value {
    let plan = ceremony.plan();
    let about = json!({
        "ceremony": ceremony.id(), "fingerprint": ceremony.fingerprint(),
        "coalition": plan.coalition, "epoch": plan.epoch, "threshold": plan.threshold,
    });
    if let (Value::Object(object), Value::Object(about)) = (&mut object, about) {
        object.extend(about);
    }
    object
}

fn report(context: &Context, args: &JoinArgs, ceremony: &Ceremony, me: &MemberId, joined: &Joined) {
    let output = context.output;
    for deed in &joined.did {
        output.say(sentence(deed));
    }
    match &joined.waits_for {
        Some(waiting) => {
            if joined.did.is_empty() {
                output.say("Nothing could be done now.");
            }
            let names: Vec<String> = waiting
                .members
                .iter()
                .map(|member| ceremony.title(member))
                .collect();
            output.say(format_args!(
                "Waits for {} of {}. Run this again when they are there.",
                waiting.round,
                names.join(", ")
            ));
        }
        None => output.say(format_args!(
            "All keyholders have confirmed. Next: `wayhome ceremony finish {}`.",
            args.folder.folder.display()
        )),
    }
    let did: Vec<Value> = joined.did.iter().map(deed_object).collect();
    let waits_for = joined
        .waits_for
        .as_ref()
        .map(|waiting| json!({"round": waiting.round, "members": waiting.members}));
    let done = json!({
        "ok": true, "member": me, "did": did, "waits_for": waits_for,
        "complete": joined.waits_for.is_none(),
    });
    output.object(&with(ceremony, done));
}

fn sentence(deed: &Deed) -> String {
    match deed {
        Deed::PutBack { files } => format!("Put back into the folder: {}.", files.join(", ")),
        Deed::Committed => "Drew a secret, sealed it here, and published commitments to it \
                            (round 1)."
            .to_owned(),
        Deed::SentPackages { count } => format!(
            "Checked the commitments of all, and put {count} encrypted packages into the folder \
             (round 2)."
        ),
        Deed::HoldsShare { epoch } => format!(
            "Checked all packages; the share of epoch {epoch} is sealed in this directory, and the \
             secret it was made with is destroyed."
        ),
        Deed::Confirmed { transcript } => format!("Confirmed the transcript {transcript}."),
    }
}

fn deed_object(deed: &Deed) -> Value {
    match deed {
        Deed::PutBack { files } => json!({"deed": "put_back", "files": files}),
        Deed::Committed => json!({"deed": "committed"}),
        Deed::SentPackages { count } => json!({"deed": "sent_packages", "count": count}),
        Deed::HoldsShare { epoch } => json!({"deed": "holds_share", "epoch": epoch}),
        Deed::Confirmed { transcript } => {
            json!({"deed": "confirmed", "transcript_sha256": transcript})
        }
    }
}

fn show(context: &Context, status: &Status) {
    let output = context.output;
    let others = status.keyholders.len().saturating_sub(1);
    let width = status
        .keyholders
        .iter()
        .map(|standing| standing.title.chars().count())
        .max()
        .unwrap_or_default();
    for standing in &status.keyholders {
        let mark = |done: bool| if done { "yes" } else { "no" };
        // After the end the packages are gone, and nobody asks for them.
        let packages = if status.finished {
            "done".to_owned()
        } else {
            format!("{} of {others}", standing.packages)
        };
        output.say(format_args!(
            "  {:width$}  commitments {:3}  packages {packages}  confirmed {}",
            standing.title,
            mark(standing.committed),
            mark(standing.confirmed),
        ));
        for fault in &standing.faults {
            output.say(format_args!("    WRONG: {fault}"));
        }
    }
    if let Some(fault) = &status.fault {
        output.say(format_args!("WRONG: {fault}"));
    }
    output.say(match (&status.key, status.finished) {
        (Some(key), true) => format!("Finished: the key is {}.", key.public_key),
        (Some(_), false) => "Everything is there: `wayhome ceremony finish` ends it.".to_owned(),
        (None, _) => "Not complete yet.".to_owned(),
    });
}
