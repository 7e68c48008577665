//! `bench scale`: how the cost of a lookup grows with the index.
//!
//! A lookup of one child is weighed as a node weighs it: its tokens go through the filter, what may be
//! there is read from the database, and decided on. What does not depend on the size of the index
//! (signatures, the log, the network) is not in it: `bench lookup` has that. Children are drawn at
//! random, three of ten of them held, so that the database's own cache helps as little as it would.

use rand_core::RngCore as _;

use super::filled::{self, EPOCH, PRESENCE, TOKENS, slot_owners};
use super::{Bench, Figure, Measured, Measuring, Options, median, place::Place};
use crate::ambient::Ambient;
use crate::cli::{CliError, Context};
use crate::demo::Database;
use crate::exchange::lookup::{ProbedSubject, weigh};
use crate::linkage::{Presence, RuleTable};
use crate::store::{MeasuredIndex, Store, TOKEN};
use crate::vault::{DataKey, KeyRing};

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "scale",
    about: "a lookup's cost as the index grows",
    run,
};

/// The largest index, in rows, unless told otherwise.
const COUNT: u64 = 10_000_000;

/// Rows of the indexes, with the names of their figures: with three of ten children held, and with
/// none.
const SIZES: [(u64, &str, &str); 4] = [
    (10_000, "lookup_us_1e4", "miss_us_1e4"),
    (100_000, "lookup_us_1e5", "miss_us_1e5"),
    (1_000_000, "lookup_us_1e6", "miss_us_1e6"),
    (10_000_000, "lookup_us_1e7", "miss_us_1e7"),
];

/// Lookups of one round, and rounds: the median of the rounds' means is what counts.
const ROUND: usize = 400;
const ROUNDS: usize = 7;

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(context, options))
}

async fn measure(context: &Context, options: &Options) -> Result<Measured, CliError> {
    let largest = options.count.unwrap_or(COUNT);
    if largest < SIZES[0].0 {
        return Err(CliError::input(
            "COUNT",
            "the smallest index that is measured has 10,000 rows: give --count 10000 or more",
        ));
    }
    let place = Place::within(context, context.directory.path())?;
    let server = options.database.server(&context.ambient)?;
    let mut figures = Vec::new();
    let mut smallest = None;
    for (rows, hits30, misses) in SIZES {
        if rows > largest {
            break;
        }
        let address = match &server {
            Some(server) => server.create_database(&format!("rows{rows}"))?,
            None => format!(
                "sqlite:{}",
                place.path().join(format!("{rows}.db")).display()
            ),
        };
        let (held, none) = measure_at(context, &address, rows).await?;
        let (first_held, first_none) = *smallest.get_or_insert((held, none));
        figures.push(Figure::new(hits30, held, "us").against("10,000 rows", first_held));
        figures.push(Figure::new(misses, none, "us").against("10,000 rows", first_none));
    }
    drop(server);
    Ok(Measured {
        figures,
        method: format!(
            "One child at a time, {ROUND} children a round, the median of {ROUNDS} rounds' means; \
             lookup_us: every child of {TOKENS} tokens, three of ten held; miss_us: none held. On {}, \
             weighed in this process.",
            if options.database == Database::Postgres {
                "PostgreSQL, over a socket"
            } else {
                "SQLite"
            }
        ),
    })
}

async fn measure_at(context: &Context, address: &str, rows: u64) -> Result<(f64, f64), CliError> {
    let ambient = &context.ambient;
    let store = Store::open(
        address,
        KeyRing::generate(&mut ambient.rng()),
        DataKey::generate(&mut ambient.rng()),
        ambient.clone(),
    )
    .await?;
    let rules = filled::rules()?;
    let owners = slot_owners(rules);
    let records = rows / owners.len() as u64;
    let index = MeasuredIndex::new(records, &owners);
    filled::fill(context, &store, &index).await?;
    store.refresh_filter().await?;
    let mut outcome = [0.0; 2];
    for (outcome, held_of_ten) in outcome.iter_mut().zip([3, 0]) {
        let mut rounds = Vec::with_capacity(ROUNDS);
        // The first round warms the connections and is not counted.
        for round in 0..=ROUNDS {
            let children: Vec<(bool, [ProbedSubject; 1])> = (0..ROUND)
                .map(|number| {
                    let held = number % 10 < held_of_ten;
                    let record = held.then(|| ambient.rng().next_u64() % records);
                    (held, [child(rules, &index, record, ambient)])
                })
                .collect();
            let began = ambient.monotonic_ns();
            for (held, child) in &children {
                let weighed = weigh(&store, rules, EPOCH, child).await?;
                if weighed.subjects.iter().all(Vec::is_empty) == *held {
                    return Err(CliError::failed(
                        "BENCH",
                        "a lookup did not find what is there, or found what is not",
                    ));
                }
            }
            let took = ambient.monotonic_ns() - began;
            if round > 0 {
                rounds.push(took as f64 / 1000.0 / ROUND as f64);
            }
        }
        *outcome = median(&rounds);
    }
    store.close().await;
    let [held, none] = outcome;
    Ok((held, none))
}

/// A child as it comes over the wire: a record's tokens in their slots and random ones in the others,
/// or random ones alone.
fn child(
    rules: &RuleTable,
    index: &MeasuredIndex,
    record: Option<u64>,
    ambient: &Ambient,
) -> ProbedSubject {
    let mut probes: Vec<(u8, [u8; TOKEN])> = rules
        .slot_rules()
        .iter()
        .chain(rules.sibling_slot_rules())
        .map(|rule| (rule.0, ambient.random()))
        .collect();
    if let Some(record) = record {
        for (slot, of_record) in probes.iter_mut().zip(index.of_record(record)) {
            *slot = of_record;
        }
    }
    ProbedSubject {
        presence: Presence::from_bits(PRESENCE),
        probes,
    }
}
