//! `wayhome audit`: logs and evidence, checked by an ombudsman who trusts no node.

mod bars;
mod blinds;
mod bundle;
mod child;
mod files;
mod in_force;
mod office;
mod read;
mod report;
mod trust;
mod watch;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CliError, Context, input};
use crate::roster::MemberId;
use office::Office;

/// What `wayhome audit --help` says at its end.
const HELP: &str = "\
Exit codes: 0 everything that was read holds; 1 something does not, and is named with its member and \
leaf; 2 wrong usage or input.

What was verified of each log is kept in DIR/audit: keep that folder, for a log that was rewritten is \
caught by it. `verify --bundle`, `--report` and `--files` ask no node.

Examples:
  wayhome --dir DIR audit verify
  wayhome --dir DIR audit subject PL-000017 --member pl --lang uk --out FOLDER
  wayhome --dir DIR audit bundle pl --leaf 17 --out FILE
  wayhome audit verify --bundle FILE --root ROOT.note";

/// Arguments of `wayhome audit`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    policy: Policy,
}

/// Who must have seen a log before its checkpoint counts.
#[derive(clap::Args)]
struct Policy {
    /// Key of a witness that counts (C2SP vkey); those that the roster names if none is given.
    #[arg(long, global = true, value_name = "VKEY")]
    witness: Vec<String>,
    /// How many of the witnesses must have cosigned the log, up to the leaves of the last minutes.
    #[arg(long, global = true, value_name = "K", default_value_t = 0)]
    quorum: usize,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read logs with the evidence behind them, and name every place that does not hold.
    Verify {
        /// The members; all in your scope if none is named.
        members: Vec<MemberId>,
        /// Begin at the first leaf, instead of where everything held the last time.
        #[arg(long)]
        all: bool,
        /// Check this bundle instead, without asking any node.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["members", "all"])]
        bundle: Option<PathBuf>,
        /// Check the signature of the report in this folder instead, without asking any node.
        #[arg(long, value_name = "DIR", conflicts_with_all = ["members", "all", "bundle"])]
        report: Option<PathBuf>,
        /// Check the log in this folder (checkpoint and tiles, as nodes serve them) instead, without
        /// asking any node.
        #[arg(long, value_name = "DIR", conflicts_with_all = ["members", "all", "bundle", "report"])]
        files: Option<PathBuf>,
        /// The key of that log (C2SP vkey); the one that the roster states if not given.
        #[arg(long, value_name = "VKEY", requires = "files")]
        log_key: Option<String>,
        /// The coalition's root document to judge a bundle or report by; the directory's if not
        /// given.
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Put leaves with all that proves them into one file, for a check without any node.
    Bundle(bundle::Args),
    /// Say who asked about a record, when, on what ground, and what they were told.
    Subject(read::SubjectArgs),
    /// Say who asked about a child that is described in a file, for families who know no reference.
    Child(child::Args),
    /// Draw elements of the blinded batches that keyholders evaluated for a member, have its node open
    /// them, and say what each was for.
    Blinds(blinds::Args),
    /// Say by which roster, disclosure policy and own rules a member acted at some moment.
    InForce(in_force::Args),
    /// Hold logs against each other: each question has its answer on the other side.
    Reconcile {
        /// The members; all in your scope if none is named.
        members: Vec<MemberId>,
    },
    /// Make a signed report that people can read: one page, and the same for machines.
    Report(report::Args),
    /// Read what is new again and again, and raise the alarm.
    Watch(watch::Args),
    /// Count what a member did, by act and by the other party.
    Member {
        /// The member.
        id: MemberId,
    },
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match &args.command {
        Command::Verify {
            bundle: Some(file),
            root,
            ..
        } => return bundle::verify(context, file, root.as_deref(), &args.policy),
        Command::Verify {
            report: Some(folder),
            root,
            ..
        } => return report::verify(context, folder, root.as_deref()),
        Command::Verify {
            files: Some(folder),
            log_key,
            ..
        } => return files::verify(context, folder, log_key.as_deref()),
        _ => {}
    }
    if let Command::Watch(watched) = args.command {
        return watch::run(context, watched, &args.policy).await;
    }
    let office = Office::open(context, &args.policy).await?;
    match args.command {
        Command::Verify { members, all, .. } => read::verify(&office, &members, all).await,
        Command::Bundle(args) => bundle::make(&office, args).await,
        Command::Subject(args) => read::subject(&office, args).await,
        Command::Child(args) => child::run(&office, args).await,
        Command::Blinds(args) => blinds::run(&office, args).await,
        Command::InForce(args) => in_force::run(&office, args).await,
        Command::Report(args) => report::make(&office, args).await,
        // It opens its office anew in every round.
        Command::Watch(_) => Ok(()),
        Command::Reconcile { members } => read::reconcile(&office, &members).await,
        Command::Member { id } => read::member(&office, &id).await,
    }
}

/// The root document that a file is judged by.
fn root_note(context: &Context, given: Option<&Path>) -> Result<Vec<u8>, CliError> {
    match given {
        Some(root) => input::read(root, "FILE"),
        None => match context.directory.read("root.note") {
            Ok(root) => Ok(root.into_bytes()),
            Err(error) => Err(CliError::input(
                "NO_ROOT",
                format!("{error}; or give the coalition's root document with --root"),
            )),
        },
    }
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

fn list<T>(items: &[T], to_json: impl Fn(&T) -> Value) -> Value {
    items.iter().map(to_json).collect()
}
