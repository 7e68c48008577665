//! `wayhome demo`: a whole coalition on this machine.

use std::path::{Path, PathBuf};

use super::input::unusable;
use super::stop::asked_to_stop;
use super::{CliError, Context};
use crate::demo::{self, ConsoleAt, Database, DemoError, Options, Story};

/// Arguments of `wayhome demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Which story is told.
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    story: Story,
    /// Leave the coalition running after the story, until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// What the nodes keep their data in; for `postgres` the demo starts a server of its own.
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    database: Database,
    /// Draws another child.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Use the registers in this directory instead of the shipped ones.
    #[arg(long, value_name = "DIR")]
    registers: Option<PathBuf>,
    /// How much the nodes log, as `RUST_LOG` takes it; the logs are in the coalition's directory.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
    /// Keep the coalition's directory instead of removing it at the end.
    #[arg(long)]
    keep: bool,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let place = Place::make(context, args.keep)?;
    let options = Options {
        story: args.story,
        directory: place.path().to_owned(),
        registers: args.registers,
        seed: args.seed,
        log: args.log,
        database: args.database,
    };
    let stopped = asked_to_stop()?;
    tokio::pin!(stopped);
    let output = context.output;
    let say = move |line: String| output.say(line);
    // Dropping the story kills the nodes, so that Ctrl-C leaves nothing behind.
    let told = tokio::select! {
        told = demo::tell(&options, &context.ambient, &say) => told,
        () = &mut stopped => Err(DemoError::Interrupted),
    };
    let (coalition, outcome) = told?;
    context.output.object(&outcome);
    if args.serve {
        // The story of the child that was found names it; others are about nobody in particular.
        let child = outcome["found"][0]["case"].as_str().unwrap_or("UA-000001");
        what_to_try(context, place.path(), coalition.consoles(), child);
        stopped.await;
    }
    coalition.stop().await?;
    if args.keep {
        context.output.say(format_args!(
            "The coalition's directory is kept: {}",
            place.path().display()
        ));
    }
    Ok(())
}

fn what_to_try(context: &Context, directory: &Path, consoles: &[ConsoleAt], child: &str) {
    let directory = directory.display();
    let output = context.output;
    output.say("");
    output.say(
        "The coalition is running. Each state's people have a console; open one in a browser:",
    );
    for console in consoles {
        output.say(format_args!(
            "  {:<8} {}/set-up   one-time code {}",
            console.name, console.url, console.code
        ));
    }
    output.say("In another terminal, as long as a node has no accounts, try:");
    for command in [
        format!("ua search --record {child} --case TRY-1"),
        "ua disclose LEAD --fields current_place --justification \"The family asks.\"".to_owned(),
        "ca review list --limit 1".to_owned(),
        "de records list --limit 10".to_owned(),
        "pl doctor".to_owned(),
        "ombudsman audit verify".to_owned(),
    ] {
        output.say(format_args!("  wayhome --dir {directory}/{command}"));
    }
    output.say("Ctrl-C stops the nodes and cleans up.");
}

/// Where the coalition lives: a directory that is removed at the end, unless it was given or is to
/// be kept.
struct Place {
    path: PathBuf,
    remove: bool,
}

impl Place {
    fn make(context: &Context, keep: bool) -> Result<Self, CliError> {
        let place = match &context.given_directory {
            Some(given) => {
                let taken =
                    std::fs::read_dir(given).is_ok_and(|mut entries| entries.next().is_some());
                if taken {
                    return Err(CliError::input(
                        "NOT_EMPTY",
                        format!(
                            "{} is not empty: give the demo a directory of its own",
                            given.display()
                        ),
                    ));
                }
                Self {
                    path: given.clone(),
                    remove: !keep,
                }
            }
            None => {
                let name = format!(
                    "wayhome-demo-{}",
                    hex::encode(context.ambient.random::<6>())
                );
                Self {
                    path: std::env::temp_dir().join(name),
                    remove: !keep,
                }
            }
        };
        std::fs::create_dir_all(&place.path)
            .map_err(|error| CliError::input("PLACE", unusable(&place.path, &error)))?;
        Ok(place)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.remove {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> Self {
        let code = match error {
            DemoError::Interrupted => "INTERRUPTED",
            DemoError::Audit(_) => "AUDIT_FAILED",
            DemoError::NothingFound { .. } => "NOTHING_FOUND",
            DemoError::Story(_) => "STORY_FAILED",
            DemoError::Registers(_) => return CliError::input("REGISTERS", error),
            _ => "DEMO_FAILED",
        };
        CliError::failed(code, error)
    }
}
