//! `wayhome eval`: how well records are matched, and by what weights.
//!
//! A measurement runs what a node runs: the register's own readers, the linkage keys, tokens as
//! they travel, the lookup index in a database, and the holder's decision. Two things differ. The
//! OPRF is evaluated under one local key, drawn for the run, where a coalition has a shared one;
//! the tokens are of the same kind and the agreements the same. And grounds and protection are
//! not looked at, since they say who may be told and not who is who.

mod fit;
mod groups;
mod linkage;
mod lookup;
mod measure;
mod pairs;
mod parallel;
mod register;
mod report;
mod rules;
#[cfg(test)]
mod tests;
mod tokens;
mod truth;

use std::path::PathBuf;

use super::{CliError, Context, Output};
use register::Register;

/// Arguments of `wayhome eval`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Measure match quality between two registers whose true pairs are known.
    Linkage(linkage::Args),
    /// Learn the model's rates from two registers, with or without true pairs.
    Fit(fit::Args),
}

/// The two registers, and how they are read.
#[derive(clap::Args)]
pub struct RegisterArgs {
    /// The holder's register (CSV in the canonical columns, JSON Lines or PFIF).
    #[arg(long, value_name = "FILE")]
    a: PathBuf,
    /// The asking side's register.
    #[arg(long, value_name = "FILE")]
    b: PathBuf,
    /// A map file for both: renames columns, and names those the registers lack.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// A map file for A alone, in place of --map.
    #[arg(long, value_name = "FILE")]
    map_a: Option<PathBuf>,
    /// A map file for B alone, in place of --map.
    #[arg(long, value_name = "FILE")]
    map_b: Option<PathBuf>,
    /// Another rule table than the shipped one.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
}

impl RegisterArgs {
    /// Reads both registers.
    fn read(&self, output: Output) -> Result<(Register, Register), CliError> {
        let map_a = self.map_a.as_ref().or(self.map.as_ref());
        let map_b = self.map_b.as_ref().or(self.map.as_ref());
        let a = Register::read(output, &self.a, map_a.map(PathBuf::as_path))?;
        let b = Register::read(output, &self.b, map_b.map(PathBuf::as_path))?;
        Ok((a, b))
    }
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Linkage(args) => linkage::run(context, &args).await,
        Command::Fit(args) => fit::run(context, &args),
    }
}
