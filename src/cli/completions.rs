//! `wayhome completions`: what a shell needs to complete commands and options.

use clap_complete::{Shell, generate};
use serde_json::json;

use super::{CliError, Context, command};

/// Arguments of `wayhome completions`.
#[derive(clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let mut script = Vec::new();
    generate(args.shell, &mut command(), "wayhome", &mut script);
    let script = String::from_utf8(script).map_err(|error| CliError::failed("UTF8", error))?;
    context.output.say(script.trim_end());
    context.output.object(&json!({
        "ok": true,
        "shell": args.shell.to_string(),
        "script": script,
    }));
    Ok(())
}
