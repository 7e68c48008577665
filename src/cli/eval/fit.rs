//! `wayhome eval fit`: the model's rates, learned from two registers.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::RegisterArgs;
use super::parallel::map_parts;
use super::register::Register;
use super::rules::Table;
use super::truth::Truth;
use crate::cli::{CliError, Context};
use crate::exchange::lookup::attributes;
use crate::linkage::features::Features;
use crate::linkage::fit::{self, Rates, States};
use crate::linkage::{Derived, RuleTable};

/// Arguments of `wayhome eval fit`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    registers: RegisterArgs,
    /// The true pairs: CSV with the columns a_ref and b_ref. Without it, the rates are learned from
    /// the registers alone, by expectation and maximisation.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// How many pairs are taken at random to learn how often strangers agree.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 500_000,
        value_parser = clap::value_parser!(u32).range(1_000..=5_000_000)
    )]
    random_pairs: u32,
}

/// What was learned.
pub struct Learned {
    /// The rates of every comparison.
    pub rates: Vec<Rates>,
    /// The same as a rule table writes them.
    pub text: String,
    /// From what they were learned, in words.
    pub learned_from: String,
    /// How many pairs were taken at random.
    pub random_pairs: usize,
}

pub fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let learned = learn(context, args)?;
    context.output.say(format_args!(
        "# Learned from {} and {} pairs taken at random.\n",
        learned.learned_from, learned.random_pairs
    ));
    context.output.say(learned.text.trim_end());
    context.output.object(&json!({
        "ok": true,
        "with_truth": args.truth.is_some(),
        "learned_from": learned.learned_from,
        "random_pairs": learned.random_pairs,
        "rates": learned.rates.iter().map(comparison).collect::<Vec<_>>(),
        "toml": learned.text,
    }));
    Ok(())
}

/// Reads both registers and learns from them.
pub fn learn(context: &Context, args: &Args) -> Result<Learned, CliError> {
    let table = Table::read(args.registers.rules.as_deref(), false)?;
    let (a, b) = args.registers.read(context.output)?;
    let features = [&a, &b].map(features);
    let random = random_pairs(
        features.each_ref().map(Vec::len),
        args.random_pairs as usize,
    );
    let random = compare(&features, &random);
    let (rates, learned_from) = match &args.truth {
        Some(path) => {
            let truth = Truth::read(path, &a, &b)?;
            let pairs: Vec<(usize, usize)> = truth
                .pairs
                .iter()
                .filter_map(|pair| pair.positions)
                .collect();
            let same = compare(&features, &pairs);
            let rates = fit::with_truth(&table.rules, &same, &random);
            (rates, format!("{} true pairs", same.len()))
        }
        None => {
            let candidates = candidates(&table.rules, [&a, &b]);
            let states = compare(&features, &candidates);
            let rates = fit::without_truth(&table.rules, &states, &random, |rates| {
                RuleTable::parse(&replaced(&table.text, rates)).ok()
            });
            (
                rates,
                format!("{} candidate pairs without truth", states.len()),
            )
        }
    };
    Ok(Learned {
        text: fit::to_toml(&rates),
        rates,
        learned_from,
        random_pairs: random.len(),
    })
}

fn comparison(rates: &Rates) -> Value {
    let states = rates
        .states
        .iter()
        .map(|(state, [m, u])| json!({"state": state, "m": m, "u": u, "bits": (m / u).log2()}));
    json!({"comparison": rates.table, "states": states.collect::<Vec<_>>()})
}

fn features(register: &Register) -> Vec<Features> {
    map_parts(&register.records, |part| {
        part.iter()
            .map(|record| Features::of(&attributes(record)))
            .collect()
    })
}

fn compare([a, b]: &[Vec<Features>; 2], pairs: &[(usize, usize)]) -> Vec<States> {
    map_parts(pairs, |part| {
        part.iter()
            .map(|&(at_a, at_b)| fit::compare(&a[at_a], &b[at_b]))
            .collect()
    })
}

/// Pairs spread evenly over all pairs; the same for the same sizes, so that a fit can be repeated.
fn random_pairs([in_a, in_b]: [usize; 2], wanted: usize) -> Vec<(usize, usize)> {
    let all = in_a as u128 * in_b as u128;
    let wanted = (wanted as u128).min(all);
    // Steps of the golden ratio visit a range evenly whatever the number of steps.
    const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15;
    let mut seen = HashSet::new();
    (1..=wanted)
        .filter_map(|step| {
            let at = (((step * GOLDEN) & u128::from(u64::MAX)) * all) >> 64;
            let pair = ((at / in_b as u128) as usize, (at % in_b as u128) as usize);
            seen.insert(pair).then_some(pair)
        })
        .collect()
}

/// Pairs that share a linkage key.
fn candidates(rules: &RuleTable, registers: [&Register; 2]) -> Vec<(usize, usize)> {
    let [a, b] = registers.map(|register| {
        map_parts(&register.records, |part| {
            part.iter()
                .map(|record| rules.derive(&attributes(record)))
                .collect::<Vec<Derived>>()
        })
    });
    let mut index: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (position, record) in a.iter().enumerate() {
        for key in &record.keys {
            index.entry(&key.text).or_default().push(position);
        }
    }
    let mut pairs = HashSet::new();
    for (position, record) in b.iter().enumerate() {
        for key in &record.keys {
            for &other in index.get(key.text.as_slice()).into_iter().flatten() {
                pairs.insert((other, position));
            }
        }
    }
    let mut pairs: Vec<(usize, usize)> = pairs.into_iter().collect();
    pairs.sort_unstable();
    pairs
}

/// A rule table's text with other rates: its tables `model.states` are taken out, and the rates
/// follow at the end.
fn replaced(text: &str, rates: &[Rates]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut within = false;
    for line in text.lines() {
        if line.starts_with('[') {
            let name = line.trim_start_matches('[');
            within = rates
                .iter()
                .any(|rates| name.starts_with(&format!("model.states.{}]", rates.table)));
        }
        if !within {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept.push_str(&fit::to_toml(rates));
    kept
}
