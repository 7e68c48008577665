//! `bench stream`: how fast a whole register is looked up at one member.
//!
//! Two nodes of a coalition, each a process of its own, over mutual TLS: one has a register of so many
//! children with their tokens, the other an index of a million tokens. The register is searched for
//! with the command that a member uses; every batch leaves its leaves and its evidence at both nodes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use ring::digest::{Context as Context512, SHA512};
use serde_json::Value;
use zeroize::Zeroizing;

use super::filled::{self, EPOCH, PRESENCE, TOKENS};
use super::{Bench, Figure, Measured, Measuring, Options, median, place::Place};
use crate::cli::{CliError, Context};
use crate::demo::{Coalition, Wayhome};
use crate::exchange::lookup::SubjectTokens;
use crate::linkage::{Presence, RuleId};
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

/// Records of the holder, a million tokens, unless told otherwise.
const HELD: u64 = 62_500;

/// How often the register is searched for: within one day's quota.
const RUNS: usize = 3;

const ASKER: &str = "ua";
const HOLDER: &str = "de";

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(
        context,
        options.count.unwrap_or(COUNT),
        options.held.unwrap_or(HELD),
    ))
}

async fn measure(context: &Context, children: u64, records: u64) -> Result<Measured, CliError> {
    let index = records * TOKENS as u64;
    // Four searches must fit into the day's quota of 100,000.
    if !(1..=25_000).contains(&children) {
        return Err(CliError::input("COUNT", "give --count 1 to 25000"));
    }
    let none = searches(context, children, 0, index).await?;
    let hits30 = searches(context, children, children * 3 / 10, index).await?;
    let rate = |searches: &Searches| children as f64 / searches.seconds;
    Ok(Measured {
        figures: vec![
            Figure::new("subjects_per_second", rate(&none), "1/s").against("goal", 20_000.0),
            Figure::new("subjects_per_second_hits30", rate(&hits30), "1/s")
                .against("none held", rate(&none)),
            Figure::new(
                "first_subjects_per_second",
                children as f64 / none.first_seconds,
                "1/s",
            ),
            Figure::new("bytes_per_subject", none.octets / children as f64, "B"),
            Figure::new("unchanged_ms", none.unchanged_ms, "ms"),
        ],
        method: format!(
            "{children} children against an index of {index} tokens, none of them held (_hits30: three \
             of ten); two nodes, a process each, on SQLite and on this one machine, every batch \
             durable in both logs with its evidence. The first search makes the pseudonyms of all \
             records and stands apart; then the median of {RUNS} searches for all of them again. \
             unchanged_ms: a search when nothing has changed."
        ),
    })
}

/// What searches for one register came to.
pub struct Searches {
    /// The first one.
    pub first_seconds: f64,
    /// The median of those that followed.
    pub seconds: f64,
    /// Octets of one, both ways.
    pub octets: f64,
    /// One when nothing has changed.
    pub unchanged_ms: f64,
}

/// Has a member search for a register of `children` at another, who holds `held` of them and an index of
/// about `index` tokens besides.
///
/// # Errors
/// If a search does not find what is held, or anything else goes wrong.
pub async fn searches(
    context: &Context,
    children: u64,
    held: u64,
    index: u64,
) -> Result<Searches, CliError> {
    let place = Place::within(context, context.directory.path())?;
    let mut coalition = Coalition::found(Wayhome::this("warn")?, place.path(), None).await?;
    let wanted = Wanted {
        children,
        held,
        index,
        seed: context.ambient.random(),
    };
    let outcome = search_at(context, &mut coalition, place.path(), &wanted).await;
    coalition.stop().await?;
    outcome
}

struct Wanted {
    children: u64,
    held: u64,
    index: u64,
    /// What all tokens are made of.
    seed: [u8; 32],
}

async fn search_at(
    context: &Context,
    coalition: &mut Coalition,
    place: &Path,
    wanted: &Wanted,
) -> Result<Searches, CliError> {
    for (other, ..) in crate::demo::MEMBERS {
        if ![ASKER, HOLDER].contains(&other) {
            coalition.stop_node(other).await?;
        }
    }
    for (id, children) in [(ASKER, wanted.children), (HOLDER, wanted.held)] {
        if children > 0 {
            let register = place.join("register.csv");
            std::fs::write(&register, synthetic_register(children))?;
            let register = register.display().to_string();
            coalition.run(id, &["records", "import", &register]).await?;
        }
        coalition.stop_node(id).await?;
        enrol(context, &coalition.party(id), id, &wanted.seed).await?;
    }
    fill(context, &coalition.party(HOLDER), wanted).await?;
    for id in [ASKER, HOLDER] {
        coalition.start_node(id).await?;
    }
    coalition.run(HOLDER, &["records", "publish"]).await?;
    let mut times = Vec::with_capacity(RUNS);
    let mut first_seconds = 0.0;
    let mut octets = 0.0;
    for run in 0..=RUNS {
        let said = coalition
            .run(ASKER, &["search", "--register", "--again", "--at", HOLDER])
            .await?;
        let seconds = seconds_of(&said, wanted)?;
        octets = said["members"][0]["bytes_sent"].as_f64().unwrap_or(0.0)
            + said["members"][0]["bytes_received"].as_f64().unwrap_or(0.0);
        if run == 0 {
            first_seconds = seconds;
        } else {
            times.push(seconds);
        }
    }
    // Nothing has changed on either side: nothing is asked.
    let began = context.ambient.monotonic_ns();
    let idle = coalition
        .run(ASKER, &["search", "--register", "--at", HOLDER])
        .await?;
    let unchanged_ms = (context.ambient.monotonic_ns() - began) as f64 / 1e6;
    if idle["members"][0]["asked"] != 0 || idle["members"][0]["unchanged"] != wanted.children {
        return Err(CliError::failed(
            "BENCH",
            format!("records were asked about again without a reason: {idle}"),
        ));
    }
    Ok(Searches {
        first_seconds,
        seconds: median(&times),
        octets,
        unchanged_ms,
    })
}

fn seconds_of(said: &Value, wanted: &Wanted) -> Result<f64, CliError> {
    let wrong = || CliError::failed("BENCH", format!("a search came out otherwise: {said}"));
    let member = &said["members"][0];
    let found = member["found"].as_array().map_or(0, Vec::len) as u64;
    if member["asked"] != wanted.children || found != wanted.held {
        return Err(wrong());
    }
    said["seconds"].as_f64().ok_or_else(wrong)
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

/// Gives every record of a node that does not run its tokens, equal ones at both nodes: what
/// keyholders would have made of them is measured by `bench enrol`.
async fn enrol(
    context: &Context,
    home: &Path,
    member: &str,
    seed: &[u8; 32],
) -> Result<(), CliError> {
    let store = store_of(context, home).await?;
    let rules = owners()?;
    let mut number = 0;
    loop {
        let records = store.records_to_enrol(1_000).await?;
        if records.is_empty() {
            break;
        }
        let saved = records
            .iter()
            .map(|record| {
                let tokens = SubjectTokens {
                    presence: Presence::from_bits(PRESENCE),
                    tokens: rules
                        .iter()
                        .map(|rule| (RuleId(*rule), token(seed, number, *rule)))
                        .collect(),
                };
                number += 1;
                let made = RecordTokens {
                    epoch: EPOCH,
                    presence: PRESENCE,
                    index: tokens.index_rows(EPOCH, member),
                    tokens: tokens.to_bytes(),
                };
                (record, vec![made])
            })
            .collect();
        store.save_tokens(saved).await?;
    }
    store.close().await;
    Ok(())
}

/// A token of a child, by its place in the register.
fn token(seed: &[u8; 32], number: u64, rule: u8) -> CoalitionToken {
    let mut hash = Context512::new(&SHA512);
    hash.update(seed);
    hash.update(&number.to_be_bytes());
    hash.update(&[rule]);
    let mut bytes = Zeroizing::new([0; 64]);
    bytes.copy_from_slice(hash.finish().as_ref());
    CoalitionToken::from_bytes(&bytes)
}

async fn fill(context: &Context, home: &Path, wanted: &Wanted) -> Result<(), CliError> {
    let store = store_of(context, home).await?;
    let records = wanted.index / TOKENS as u64;
    let index = MeasuredIndex::new(records, &owners()?).beside(wanted.held);
    filled::fill(context, &store, &index).await?;
    store.close().await;
    Ok(())
}

fn owners() -> Result<Vec<u8>, CliError> {
    let rules: BTreeSet<u8> = filled::rules()?
        .slot_rules()
        .iter()
        .map(|rule| rule.0)
        .collect();
    Ok(rules.into_iter().take(TOKENS).collect())
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
