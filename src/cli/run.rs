//! `wayhome run`: the node, and beside it the console.

use std::io::Write as _;

use serde_json::json;

use super::stop::asked_to_stop;
use super::{CliError, Context, output};
use crate::console::{self, Door};
use crate::node::{self, Config, Running};

/// Arguments of `wayhome run`.
#[derive(clap::Args)]
pub struct Args {
    /// How much to log: `error`, `warn`, `info`, `debug` or `trace`; `RUST_LOG` overrides it.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    output::start_tracing(&args.log);
    if context.directory.is_office() {
        return Err(CliError::input(
            "NO_NODE",
            format!(
                "{} is an office's directory, and an office runs no node: it reads the members' logs \
                 (`wayhome audit verify`), and can be a witness (`wayhome witness run`)",
                context.directory.path().display()
            ),
        ));
    }
    let shutdown = asked_to_stop()?;
    let output = context.output;
    let directory = context.directory.clone();
    let told = directory.clone();
    let door = door(context).await?;
    let ambient = context.ambient.clone();
    let mut pages = None;
    node::run(
        directory,
        context.ambient.clone(),
        shutdown,
        |running: Running| {
            let address = running.address;
            let console = door.as_ref().map(Door::url);
            output.say(format_args!(
                "The node in {} is ready at {address}.",
                told.path().display()
            ));
            if let Some(console) = &console {
                output.say(format_args!("Its console is at {console}"));
            }
            let operators = running.operators.map(|address| address.to_string());
            if let Some(operators) = &operators {
                output.say(format_args!(
                    "Its operator API is at {operators}, beside the socket."
                ));
            }
            output.object(&json!({
                "ready": true,
                "address": address.to_string(),
                "console": console,
                "operators": operators,
            }));
            let _ = std::io::stdout().flush();
            if let Some(door) = door {
                pages = Some(tokio::spawn(console::serve(door, running, ambient)));
            }
        },
    )
    .await?;
    if let Some(pages) = pages {
        // It was told to stop when the node was.
        let _ = pages.await;
    }
    Ok(())
}

/// The console's door. One that cannot be opened keeps nobody else from the node: its own people
/// are told why, and the other members are answered.
async fn door(context: &Context) -> Result<Option<Door>, CliError> {
    let config = Config::load(&context.directory)?;
    let Some(console) = &config.console else {
        return Ok(None);
    };
    match Door::open(console, &context.directory).await {
        Ok(door) => Ok(Some(door)),
        Err(error) => {
            tracing::error!(%error, "there is no console");
            eprintln!("warning: {error}");
            Ok(None)
        }
    }
}
