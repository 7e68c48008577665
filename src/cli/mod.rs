//! The commands. Each is one file: its arguments, and a `run` that returns what to print.
//!
//! Every command speaks plainly to people on standard output, or prints one JSON object with
//! `--json`. Errors go to standard error and say what is wrong, where, and what to do; exit codes
//! are 0 done, 1 failed, 2 wrong usage or input.

mod accounts;
mod alerts;
mod audit;
mod backup;
mod bench;
mod ceremony;
mod completions;
mod conformance;
mod demo;
mod disclose;
mod doctor;
mod eval;
mod init;
mod input;
mod keys;
mod log;
mod man;
mod output;
mod policy;
mod progress;
mod quotas;
mod records;
mod requests;
mod review;
mod roster;
mod run;
mod search;
mod status;
mod stop;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use output::{CliError, Output};

use crate::ambient::Ambient;
use crate::node::{Directory, OperatorChannel, operator_client_as};

/// Finds displaced children across borders without putting their data in one place.
#[derive(Parser)]
#[command(name = "wayhome", version, about, long_about = None, max_term_width = 100)]
struct Cli {
    /// The party's directory, as `wayhome init` made it; the current one if not given.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON object for machines.
    #[arg(long, global = true)]
    json: bool,
    /// Where your session is kept between commands; `WAYHOME_SESSION`, or `operator.session` in the
    /// directory, if not given.
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play a whole coalition on this machine: a child is found, and an ombudsman proves it.
    Demo(demo::Args),
    /// Make a party's directory and keys.
    Init(init::Args),
    /// Run the node.
    Run(run::Args),
    /// Say how the node is.
    Status(status::Args),
    /// Say what is missing or wrong here, and how to mend it.
    Doctor(doctor::Args),
    /// Renew the node's signing key and TLS certificate, and rotate its keys at rest.
    Keys(keys::Args),
    /// Say who used how much of its quotas, and what was unusual.
    Quotas(quotas::Args),
    /// Bring the register in, list, publish, erase.
    Records(records::Args),
    /// Make, check and restore backups.
    Backup(backup::Args),
    /// Say who looked for protected records.
    Alerts(alerts::Args),
    /// Look children up at the other members.
    Search(search::Args),
    /// See what peers were answered about own records, and on what grounds.
    Review(review::Args),
    /// Ask a member for fields behind a lead, ask again, watch.
    Disclose(disclose::Args),
    /// Decide on what other members ask to be told.
    Requests(requests::Args),
    /// Sign in and out; make and change accounts.
    Accounts(accounts::Args),
    /// Check, explain and test what is told to other members.
    Policy(policy::Args),
    /// Check logs and evidence, as an ombudsman.
    Audit(audit::Args),
    /// Look after this node's log, and what was found out about others'.
    Log(log::Args),
    /// Cosign the logs of others without running a node.
    Witness(witness::Args),
    /// Draft, sign, check and publish the roster.
    Roster(roster::Args),
    /// Make the coalition key among keyholders.
    Ceremony(ceremony::Args),
    /// Say whether a live node, of anyone's making, keeps the protocol.
    Conformance(conformance::Args),
    /// Measure match quality, and learn weights from data.
    Eval(eval::Args),
    /// Measure how fast this machine is, and that no answer tells by its time or size.
    Bench(bench::Args),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::Args),
    /// Write the manual, a page for each command.
    Man(man::Args),
}

/// All commands with their arguments, for what is made from them.
fn command() -> clap::Command {
    Cli::command()
}

/// What every command is given.
pub struct Context {
    /// The party's directory.
    pub directory: Directory,
    /// The same, if the command line named one.
    pub given_directory: Option<PathBuf>,
    /// Where the person's session is kept.
    pub session: PathBuf,
    /// How to speak.
    pub output: Output,
    /// Time and randomness.
    pub ambient: Ambient,
}

/// The session's file as `WAYHOME_SESSION` names it.
fn session_from_environment() -> Option<PathBuf> {
    std::env::var_os("WAYHOME_SESSION").map(PathBuf::from)
}

impl Context {
    /// The running node, as the person who signed in last, if anyone has.
    pub async fn operator(&self) -> Result<OperatorChannel, CliError> {
        let token = match std::fs::read_to_string(&self.session) {
            Ok(token) => Some(token),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(CliError::failed(
                    "SESSION",
                    input::unusable(&self.session, &error),
                ));
            }
        };
        Ok(operator_client_as(&self.directory.socket(), token.as_deref()).await?)
    }
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let context = Context {
        directory: Directory::new(cli.dir.clone().unwrap_or_else(|| PathBuf::from("."))),
        session: cli
            .session
            .or_else(session_from_environment)
            .unwrap_or_else(|| {
                let directory = cli.dir.clone().unwrap_or_else(|| PathBuf::from("."));
                directory.join("operator.session")
            }),
        given_directory: cli.dir,
        output: Output::new(cli.json),
        ambient: ambient(),
    };
    if !matches!(cli.command, Command::Run(_)) {
        output::start_tracing("warn");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime could be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::run(&context, args).await,
            Command::Init(args) => init::run(&context, args),
            Command::Run(args) => run::run(&context, args).await,
            Command::Doctor(args) => doctor::run(&context, args).await,
            Command::Status(args) => status::run(&context, args).await,
            Command::Quotas(args) => quotas::run(&context, args).await,
            Command::Records(args) => records::run(&context, args).await,
            Command::Backup(args) => backup::run(&context, args).await,
            Command::Keys(args) => keys::run(&context, args).await,
            Command::Alerts(args) => alerts::run(&context, args).await,
            Command::Search(args) => search::run(&context, args).await,
            Command::Review(args) => review::run(&context, args).await,
            Command::Disclose(args) => disclose::run(&context, args).await,
            Command::Policy(args) => policy::run(&context, args).await,
            Command::Requests(args) => requests::run(&context, args).await,
            Command::Accounts(args) => accounts::run(&context, args).await,
            Command::Audit(args) => audit::run(&context, args).await,
            Command::Roster(args) => roster::run(&context, args).await,
            Command::Log(args) => log::run(&context, args).await,
            Command::Witness(args) => witness::run(&context, args).await,
            Command::Ceremony(args) => ceremony::run(&context, args).await,
            Command::Conformance(args) => conformance::run(&context, args).await,
            Command::Eval(args) => eval::run(&context, args).await,
            Command::Bench(args) => bench::run(&context, args).await,
            Command::Completions(args) => completions::run(&context, &args),
            Command::Man(args) => man::run(&context, &args),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Time and randomness of this machine.
#[cfg(not(debug_assertions))]
fn ambient() -> Ambient {
    Ambient::system()
}

/// The same; in a debug build a test may say what time it is (unix seconds). A release has no such
/// code.
#[cfg(debug_assertions)]
fn ambient() -> Ambient {
    use crate::ambient::{ManualClock, SystemRandomness};
    let said = std::env::var("WAYHOME_TEST_CLOCK").ok();
    match said.and_then(|said| said.parse::<u64>().ok()) {
        Some(seconds) => Ambient::new(ManualClock::at_ms(seconds * 1000), SystemRandomness),
        None => Ambient::system(),
    }
}

/// What the library says of values that it cannot read, and what a person can do with it.
const PLAINER: [(&str, &str); 4] = [
    ("invalid digit found in string", "write a whole number"),
    (
        "cannot parse integer from empty string",
        "write a whole number",
    ),
    (
        "number too large to fit in target type",
        "the number is too large",
    ),
    (
        "invalid socket address syntax",
        "write an address and a port, such as 127.0.0.1:7443",
    ),
];

/// Says what is wrong with the command line, or gives the help that it asks for.
fn misused(error: &clap::Error) -> ExitCode {
    use std::io::Write as _;
    if !error.use_stderr() {
        // A reader that went away is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = PLAINER
        .iter()
        .fold(error.to_string(), |text, (said, plainer)| {
            text.replace(said, plainer)
        });
    let _ = write!(std::io::stderr().lock(), "{text}");
    // The arguments could not be read, but whether a machine listens can be seen all the same.
    let output = Output::new(std::env::args_os().any(|argument| argument == "--json"));
    // What is wrong is the first paragraph; the usage after it is for people.
    let wrong = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = wrong.split_whitespace().collect();
    let error = CliError::input("USAGE", words.join(" ").trim_start_matches("error: "));
    output.object(&serde_json::json!({"ok": false, "error": error.to_json()}));
    ExitCode::from(error.exit_code())
}
