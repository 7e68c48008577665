//! `bench stream`: how fast a whole register is looked up at one member.
//!
//! Two nodes of a coalition, each a process of its own, over mutual TLS: one has a register of so many
//! children with their tokens, the other an index of a million tokens. The register is searched for
//! with the command that a member uses; every batch leaves its leaves and its evidence at both nodes.

use std::fmt::Write as _;
use std::path::Path;

use rand_core::RngCore as _;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Bench, Figure, Measured, Measuring, Options, median, place::Place};
use crate::cli::progress::bar;
use crate::cli::{CliError, Context};
use crate::demo::{Coalition, Wayhome};
use crate::exchange::lookup::SubjectTokens;
use crate::linkage::{Presence, RuleId, RuleTable};
use crate::node::{Config, Directory, Identity};
use crate::oprf::CoalitionToken;
use crate::store::{MeasuredIndex, RecordTokens, Store};

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "stream",
    about: "a whole register looked up at one member",
    run,
};

/// Children of the register, unless told otherwise.
const COUNT: u64 = 20_000;

/// Tokens of the holder's index, and of one record.
const INDEX: u64 = 1_000_000;
const TOKENS: usize = 16;

/// How often the register is searched for: within one day's quota.
const RUNS: usize = 3;

const ASKER: &str = "ua";
const HOLDER: &str = "de";
const EPOCH: u32 = 1;
const PRESENCE: u16 = 0x1fff;

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(context, options.count.unwrap_or(COUNT)))
}

async fn measure(context: &Context, children: u64) -> Result<Measured, CliError> {
    // Four searches must fit into the day's quota of 100,000.
    if !(1..=25_000).contains(&children) {
        return Err(CliError::input("COUNT", "give --count 1 to 25000"));
    }
    let place = Place::within(context, context.directory.path())?;
    let mut coalition = Coalition::found(Wayhome::this("warn")?, place.path(), None).await?;
    let outcome = measure_at(context, &mut coalition, place.path(), children).await;
    coalition.stop().await?;
    outcome
}

async fn measure_at(
    context: &Context,
    coalition: &mut Coalition,
    place: &Path,
    children: u64,
) -> Result<Measured, CliError> {
    for (other, ..) in crate::demo::MEMBERS {
        if ![ASKER, HOLDER].contains(&other) {
            coalition.stop_node(other).await?;
        }
    }
    let register = place.join("register.csv");
    std::fs::write(&register, synthetic_register(children))?;
    let register = register.display().to_string();
    coalition
        .run(ASKER, &["records", "import", &register])
        .await?;
    for id in [ASKER, HOLDER] {
        coalition.stop_node(id).await?;
    }
    enrol(context, &coalition.party(ASKER), children).await?;
    fill(context, &coalition.party(HOLDER)).await?;
    for id in [ASKER, HOLDER] {
        coalition.start_node(id).await?;
    }
    let mut rates = Vec::with_capacity(RUNS);
    let mut first = 0.0;
    let mut octets = 0.0;
    for run in 0..=RUNS {
        let said = coalition
            .run(ASKER, &["search", "--register", "--again", "--at", HOLDER])
            .await?;
        let rate = rate_of(&said, children)?;
        octets = said["members"][0]["bytes_sent"].as_f64().unwrap_or(0.0)
            + said["members"][0]["bytes_received"].as_f64().unwrap_or(0.0);
        if run == 0 {
            first = rate;
        } else {
            rates.push(rate);
        }
    }
    // Nothing has changed on either side: nothing is asked.
    let began = context.ambient.monotonic_ns();
    let idle = coalition
        .run(ASKER, &["search", "--register", "--at", HOLDER])
        .await?;
    let idle_ms = (context.ambient.monotonic_ns() - began) as f64 / 1e6;
    if idle["members"][0]["asked"] != 0 || idle["members"][0]["unchanged"] != children {
        return Err(CliError::failed(
            "BENCH",
            format!("records were asked about again without a reason: {idle}"),
        ));
    }
    Ok(Measured {
        figures: vec![
            Figure::new("subjects_per_second", median(&rates), "1/s").against("goal", 20_000.0),
            Figure::new("first_subjects_per_second", first, "1/s"),
            Figure::new("bytes_per_subject", octets / children as f64, "B"),
            Figure::new("unchanged_ms", idle_ms, "ms"),
        ],
        method: format!(
            "{children} children against an index of {INDEX} tokens, none of them held; two nodes, a \
             process each, on SQLite and on this one machine, every batch of 1,000 durable in both \
             logs with its evidence. The first search makes the pseudonyms of all records and stands \
             apart; then the median of {RUNS} searches for all of them again. unchanged_ms: a search \
             when nothing has changed."
        ),
    })
}

fn rate_of(said: &Value, children: u64) -> Result<f64, CliError> {
    let wrong = || {
        CliError::failed(
            "BENCH",
            format!("not all children were asked about: {said}"),
        )
    };
    if said["members"][0]["asked"] != children {
        return Err(wrong());
    }
    let seconds = said["seconds"].as_f64().ok_or_else(wrong)?;
    Ok(children as f64 / seconds.max(1e-6))
}

async fn store_of(context: &Context, home: &Path) -> Result<Store, CliError> {
    let directory = Directory::new(home);
    let config = Config::load(&directory)?;
    let (ring, token) = Identity::store_keys(&directory)?;
    Ok(Store::open(
        &config.database_in(&directory),
        ring,
        token,
        context.ambient.clone(),
    )
    .await?)
}

/// Gives every record of a node that does not run tokens that nobody else has: what keyholders would
/// have made of them is measured by `bench enrol`.
async fn enrol(context: &Context, home: &Path, children: u64) -> Result<(), CliError> {
    let store = store_of(context, home).await?;
    let rules = owners()?;
    let bar = bar(context.output, children, "making tokens");
    loop {
        let records = store.records_to_enrol(1_000).await?;
        if records.is_empty() {
            break;
        }
        let saved = records
            .iter()
            .map(|record| {
                let tokens = rules
                    .iter()
                    .map(|rule| {
                        let mut bytes = Zeroizing::new([0; 64]);
                        context.ambient.rng().fill_bytes(bytes.as_mut());
                        (RuleId(*rule), CoalitionToken::from_bytes(&bytes))
                    })
                    .collect();
                let tokens = SubjectTokens {
                    presence: Presence::from_bits(PRESENCE),
                    tokens,
                };
                let made = RecordTokens {
                    epoch: EPOCH,
                    presence: PRESENCE,
                    index: tokens.index_rows(EPOCH, ASKER),
                    tokens: tokens.to_bytes(),
                };
                (record, vec![made])
            })
            .collect();
        store.save_tokens(saved).await?;
        bar.inc(records.len() as u64);
    }
    bar.finish_and_clear();
    store.close().await;
    Ok(())
}

async fn fill(context: &Context, home: &Path) -> Result<(), CliError> {
    let store = store_of(context, home).await?;
    let index = MeasuredIndex::new(INDEX / TOKENS as u64, &owners()?);
    let bar = bar(context.output, index.tokens(), "filling an index");
    store
        .fill_with(&index, PRESENCE, EPOCH, |done| bar.inc(done))
        .await?;
    bar.finish_and_clear();
    store.close().await;
    Ok(())
}

fn owners() -> Result<Vec<u8>, CliError> {
    let rules = RuleTable::shipped().map_err(|error| CliError::failed("RULES", error))?;
    let slots = rules.slot_rules().iter().take(TOKENS);
    Ok(slots.map(|rule| rule.0).collect())
}

/// A register of children who differ in their names and dates.
fn synthetic_register(children: u64) -> String {
    let mut text = String::from("record_ref,family_name,given_name,sex,date_of_birth,consent\n");
    const START: [&str; 10] = [
        "Кова", "Мель", "Шев", "Бон", "Тка", "Сав", "Лис", "Гри", "Пав", "Мар",
    ];
    const END: [&str; 5] = ["ленко", "ничук", "ченко", "дарець", "цюк"];
    const GIVEN: [&str; 6] = ["Олег", "Іван", "Андрій", "Тарас", "Петро", "Максим"];
    for number in 0..children {
        let part =
            |parts: &[&'static str], by: u64| parts[((number / by) % parts.len() as u64) as usize];
        // A string grows as needed.
        let _ = writeln!(
            text,
            "S-{number},{}{},{},M,20{:02}-{:02}-{:02},tracing",
            part(&START, 1),
            part(&END, 10),
            part(&GIVEN, 50),
            6 + number / 300 % 12,
            1 + number / 3_600 % 12,
            1 + number % 28,
        );
    }
    text
}
