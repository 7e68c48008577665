//! The `wayhome` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    wayhome::cli::main()
}
