//! `wayhome witness`: cosigning the logs of others without running a node.

use std::io::Write as _;

use serde_json::json;

use super::stop::asked_to_stop;
use super::{CliError, Context, output};
use crate::node;

/// Arguments of `wayhome witness`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Cosign the checkpoints of every log in the roster, each only if it extends the last one.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// How much to log: `error`, `warn`, `info`, `debug` or `trace`; `RUST_LOG` overrides it.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let Command::Run(args) = args.command;
    output::start_tracing(&args.log);
    let shutdown = asked_to_stop()?;
    let output = context.output;
    node::run_witness(
        context.directory.clone(),
        context.ambient.clone(),
        shutdown,
        |address| {
            output.say(format_args!("The witness is ready at {address}."));
            output.object(&json!({"ready": true, "address": address.to_string()}));
            let _ = std::io::stdout().flush();
        },
        |alert| {
            output.say(format_args!(
                "{} {}: {}. The two checkpoints that prove it:\n\n{}\n{}",
                alert.kind, alert.member, alert.detail, alert.proof[0], alert.proof[1]
            ));
            output.object(&json!({
                "alert": alert.kind, "member": alert.member, "detail": alert.detail,
                "proof": alert.proof,
            }));
            let _ = std::io::stdout().flush();
        },
    )
    .await?;
    Ok(())
}
