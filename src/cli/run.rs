//! `wayhome run`: the node.

use std::io::Write as _;

use serde_json::json;

use super::stop::asked_to_stop;
use super::{CliError, Context, output};
use crate::node;

/// Arguments of `wayhome run`.
#[derive(clap::Args)]
pub struct Args {
    /// How much to log: `error`, `warn`, `info`, `debug` or `trace`; `RUST_LOG` overrides it.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    output::start_tracing(&args.log);
    let shutdown = asked_to_stop()?;
    let output = context.output;
    let directory = context.directory.clone();
    let told = directory.clone();
    node::run(
        directory,
        context.ambient.clone(),
        shutdown,
        move |address| {
            output.say(format_args!(
                "The node in {} is ready at {address}.",
                told.path().display()
            ));
            output.object(&json!({"ready": true, "address": address.to_string()}));
            let _ = std::io::stdout().flush();
        },
    )
    .await?;
    Ok(())
}
