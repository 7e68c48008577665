//! `wayhome bench`: measured figures, in one form for all of them.
//!
//! A benchmark is one file below and one line in [`BENCHES`]. It gets the command's options and
//! gives [`Figure`]s; what the machine is and how figures are printed is said here.

mod console;
mod echo;
mod enrol;
mod figure;
mod filled;
mod log;
mod lookup;
mod machine;
mod memory;
mod oprf;
mod oracle;
mod peers;
mod place;
mod scale;
mod stream;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use serde_json::{Value, json};

pub use figure::{Figure, mean_and_variance, median, welch_t};

use super::{CliError, Context};
use crate::demo::Database;

/// Arguments of `wayhome bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Which benchmark; all of them if not given.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Serve the answer in this file to whoever calls, as what lookups are held against.
    #[arg(long, hide = true, value_name = "FILE")]
    serve_echo: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// What every benchmark may be told.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// How many operations to measure; each benchmark has a number of its own if not given.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// What the nodes keep their data in, where it matters.
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    pub database: Database,
    /// How many records the other side holds, where a benchmark has two sides.
    #[arg(long, value_name = "N")]
    pub held: Option<u64>,
}

/// What a benchmark gives: its figures, and in words how they were measured.
pub struct Measured {
    /// The figures.
    pub figures: Vec<Figure>,
    /// How, in a sentence or two.
    pub method: String,
}

/// A benchmark's outcome, once it is there.
pub type Measuring<'a> = Pin<Box<dyn Future<Output = Result<Measured, CliError>> + Send + 'a>>;

/// A benchmark.
pub struct Bench {
    /// The name on the command line.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// Measures.
    pub run: for<'a> fn(&'a Context, &'a Options) -> Measuring<'a>,
}

/// All benchmarks.
const BENCHES: &[Bench] = &[
    console::BENCH,
    enrol::BENCH,
    lookup::BENCH,
    log::BENCH,
    memory::BENCH,
    oprf::BENCH,
    oracle::BENCH,
    peers::BENCH,
    scale::BENCH,
    stream::BENCH,
];

/// What a benchmark's figures promise, by its name: nothing if they keep it, else what is broken.
type Promise = fn(&[Figure]) -> Option<String>;

/// The benchmarks whose figures are promised, not only measured.
const PROMISES: &[(&str, Promise)] = &[("oracle", oracle::broken)];

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    if let Some(file) = &args.serve_echo {
        return echo::serve(context, file).await;
    }
    let machine = machine::describe();
    let output = context.output;
    let Some(name) = &args.name else {
        let mut all = Vec::with_capacity(BENCHES.len());
        let mut kept = Ok(());
        for bench in BENCHES {
            let (measured, promise) = measure(context, bench, &args.options, &machine).await?;
            all.push(measured);
            kept = kept.and(promise);
        }
        output.object(&json!({"ok": kept.is_ok(), "benches": all}));
        return kept;
    };
    let bench = BENCHES
        .iter()
        .find(|bench| bench.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
            CliError::input(
                "UNKNOWN_BENCH",
                format!(
                    "there is no benchmark {name:?}; there are: {}",
                    names.join(", ")
                ),
            )
        })?;
    let (measured, kept) = measure(context, bench, &args.options, &machine).await?;
    output.object(&measured);
    kept
}

/// Runs one benchmark, says its figures, and gives them as the object for machines, with whether they
/// keep what is promised of them.
async fn measure(
    context: &Context,
    bench: &Bench,
    options: &Options,
    machine: &Value,
) -> Result<(Value, Result<(), CliError>), CliError> {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build; its figures say nothing of a release");
    }
    let measured = (bench.run)(context, options).await?;
    let output = context.output;
    output.say(format_args!("{}: {}", bench.name, bench.about));
    for figure in &measured.figures {
        output.say(figure);
    }
    output.say(&measured.method);
    let figures: Vec<Value> = measured.figures.iter().map(Figure::to_json).collect();
    let promise = PROMISES.iter().find(|(name, _)| *name == bench.name);
    let broken = promise.and_then(|(_, broken)| broken(&measured.figures));
    let object = json!({
        "ok": broken.is_none(),
        "bench": bench.name,
        "machine": machine,
        "figures": figures,
        "method": measured.method,
        "release": !cfg!(debug_assertions),
    });
    let kept = broken.map_or(Ok(()), |broken| {
        // The figures are said already.
        Err(CliError::failed("PROMISE_BROKEN", broken).told())
    });
    Ok((object, kept))
}
