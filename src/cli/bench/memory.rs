//! `bench memory`: what a node takes, idle and with a large register, and how soon it is ready.
//!
//! A coalition's node is started as a process of its own. Then its index is filled to its size and it
//! is started again, without the file that keeps its filter: it builds the filter, and memory is
//! looked at every few milliseconds until it has. At last it is started with the file, as after any
//! restart.

use std::path::Path;
use std::time::Duration;

use super::filled::{self, TOKENS, slot_owners};
use super::{Bench, Figure, Measured, Measuring, Options, median, place::Place};
use crate::cli::{CliError, Context};
use crate::demo::{Coalition, Wayhome};
use crate::node::{Config, Directory, Identity};
use crate::store::{MeasuredIndex, Store};

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "memory",
    about: "memory of a node, idle and with a large register",
    run,
};

/// Records of the large register, unless told otherwise.
const COUNT: u64 = 1_000_000;

/// How often the start with a filter's file is measured.
const STARTS: usize = 5;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long a filter may take to be built.
const PATIENCE_MS: u64 = 600_000;

const NODE: &str = "de";
const MIB: f64 = 1024.0;

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(context, options.count.unwrap_or(COUNT)))
}

async fn measure(context: &Context, records: u64) -> Result<Measured, CliError> {
    if records == 0 {
        return Err(CliError::input("COUNT", "give --count 1 or more"));
    }
    let place = Place::within(context, context.directory.path())?;
    let mut coalition = Coalition::found(Wayhome::this("warn")?, place.path(), None).await?;
    let outcome = measure_at(context, &mut coalition, records).await;
    coalition.stop().await?;
    outcome
}

async fn measure_at(
    context: &Context,
    coalition: &mut Coalition,
    records: u64,
) -> Result<Measured, CliError> {
    // One node is enough; the others would take its processor.
    for (other, ..) in crate::demo::MEMBERS {
        if other != NODE {
            coalition.stop_node(other).await?;
        }
    }
    let idle = resident(process(coalition)?)?;
    coalition.stop_node(NODE).await?;
    let home = coalition.party(NODE);
    fill(context, &home, records).await?;
    let filter = Directory::new(&home).index_filter();
    // Whatever the idle node kept is of another index.
    let _ = std::fs::remove_file(&filter);

    let began = context.ambient.monotonic_ns();
    coalition.start_node(NODE).await?;
    let cold_ms = since(context, began);
    let mut peak = Resident::default();
    while !filter.exists() {
        peak = peak.at_least(resident(process(coalition)?)?);
        if since(context, began) > PATIENCE_MS as f64 {
            return Err(CliError::failed(
                "BENCH",
                "the filter was not built in time",
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
    let built_ms = since(context, began);
    let full = resident(process(coalition)?)?;
    peak = peak.at_least(full);
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        coalition.stop_node(NODE).await?;
        let began = context.ambient.monotonic_ns();
        coalition.start_node(NODE).await?;
        starts.push(since(context, began));
    }
    let tokens = records as f64 * TOKENS as f64;
    let octets = std::fs::metadata(&filter)?.len() as f64;
    Ok(Measured {
        figures: vec![
            Figure::new("idle_rss_mib", idle.all, "MiB").against("goal", 40.0),
            Figure::new("idle_anonymous_mib", idle.anonymous, "MiB"),
            Figure::new("million_records_rss_mib", peak.anonymous, "MiB").against("goal", 120.0),
            Figure::new("after_rebuild_anonymous_mib", full.anonymous, "MiB"),
            Figure::new("peak_rss_mib", peak.all, "MiB"),
            Figure::new("ready_ms", median(&starts), "ms").against("goal", 1000.0),
            Figure::new("ready_without_filter_ms", cold_ms, "ms"),
            Figure::new("filter_built_ms", built_ms, "ms"),
            Figure::new("filter_bits_per_token", 8.0 * octets / tokens, "bit"),
        ],
        method: format!(
            "A node of a coalition of four in a process of its own, on SQLite; {records} records of \
             {TOKENS} tokens. million_records_rss_mib is the largest anonymous resident memory seen \
             from its start until its filter was built and kept; idle_rss_mib is all that is resident, \
             the program itself included. ready_ms: from the start of the process to its word that it \
             is ready, the median of {STARTS} starts."
        ),
    })
}

fn process(coalition: &Coalition) -> Result<u32, CliError> {
    coalition
        .process(NODE)
        .ok_or_else(|| CliError::failed("BENCH", "the node has ended"))
}

fn since(context: &Context, began: u64) -> f64 {
    (context.ambient.monotonic_ns() - began) as f64 / 1e6
}

/// Fills the index of a node that does not run.
async fn fill(context: &Context, home: &Path, records: u64) -> Result<(), CliError> {
    let directory = Directory::new(home);
    let config = Config::load(&directory)?;
    let (ring, token) = Identity::store_keys(&directory)?;
    let store = Store::open(
        &config.database_in(&directory),
        ring,
        token,
        context.ambient.clone(),
    )
    .await?;
    let owners = slot_owners(filled::rules()?);
    let index = MeasuredIndex::new(records, &owners);
    filled::fill(context, &store, &index).await?;
    store.close().await;
    Ok(())
}

/// Resident memory of a process, in MiB.
#[derive(Clone, Copy, Default)]
struct Resident {
    all: f64,
    anonymous: f64,
}

impl Resident {
    fn at_least(self, other: Self) -> Self {
        Self {
            all: self.all.max(other.all),
            anonymous: self.anonymous.max(other.anonymous),
        }
    }
}

/// As the system states it (`proc(5)`, `smaps_rollup`).
fn resident(process: u32) -> Result<Resident, CliError> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let field = |name: &str| -> Result<f64, CliError> {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
            .map(|kib| kib / MIB)
            .ok_or_else(|| CliError::failed("BENCH", format!("the system states no {name}")))
    };
    Ok(Resident {
        all: field("Rss:")?,
        anonymous: field("Anonymous:")?,
    })
}
