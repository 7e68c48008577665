//! `bench oprf`: what one coalition token costs each side, on one core and in memory alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bench, Figure, Measured, Measuring, Options, median};
use crate::ambient::Ambient;
use crate::cli::{CliError, Context};
use crate::oprf::ceremony::{CeremonyId, Dkg, DkgPlan, PublicMessage};
use crate::oprf::{
    self, BatchSeed, CoalitionKey, KeyShare, LocalKey, MAX_BATCH, OprfError, Subset,
};

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "oprf",
    about: "a coalition token's cost, on one core",
    run,
};

/// How many keyholders an evaluation takes, and how many there are.
pub const THRESHOLD: u16 = 3;
const KEYHOLDERS: u16 = 4;

/// Batches that are measured; the median counts.
const ROUNDS: u64 = 9;

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(async move {
        let costs = Costs::measure(&context.ambient, options.count.unwrap_or(ROUNDS).max(1))?;
        let alone = "RFC 9497 under one key";
        Ok(Measured {
            figures: vec![
                Figure::new("blind_us", costs.blind, "us"),
                Figure::new("evaluate_us", costs.evaluate, "us").against(alone, costs.alone),
                Figure::new("verify_us", costs.verify, "us"),
                Figure::new("combine_us", costs.combine, "us"),
                Figure::new("client_us", costs.client(), "us").against(alone, costs.alone),
            ],
            method: format!(
                "An element of a batch of {MAX_BATCH} on one core, the median of the batches; \
                 evaluate includes its share of the proof, verify is one keyholder's proof, combine \
                 the answers of {THRESHOLD}. client_us = blind_us + {THRESHOLD} x verify_us + \
                 combine_us."
            ),
        })
    })
}

/// Microseconds an element.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Blinding.
    pub blind: f64,
    /// A keyholder's evaluation, its share of the proof included.
    pub evaluate: f64,
    /// Checking one keyholder's proof.
    pub verify: f64,
    /// Combining and unblinding the answers.
    pub combine: f64,
    /// The same token under a key in one place.
    pub alone: f64,
}

impl Costs {
    /// Measures a number of batches.
    ///
    /// # Errors
    /// Never, unless the arithmetic is wrong.
    pub fn measure(ambient: &Ambient, rounds: u64) -> Result<Self, CliError> {
        let failed = |error: OprfError| CliError::failed("BENCH", error);
        let (shares, key) = deal(ambient).map_err(failed)?;
        let holders: Vec<u16> = (1..=THRESHOLD).collect();
        let subset = key.subset(&holders).map_err(failed)?;
        let texts: Vec<String> = (0..MAX_BATCH)
            .map(|number| format!("a linkage key of some length, number {number}"))
            .collect();
        let inputs: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let local = LocalKey::generate(&mut ambient.rng());
        let mut times: [Vec<f64>; 5] = Default::default();
        for _ in 0..rounds {
            let round = round(ambient, &key, &subset, &shares, &inputs, &local).map_err(failed)?;
            for (times, time) in times.iter_mut().zip(round) {
                times.push(time);
            }
        }
        let [blind, evaluate, verify, combine, alone] = times.map(|times| median(&times));
        Ok(Self {
            blind,
            evaluate,
            verify,
            combine,
            alone,
        })
    }

    /// All that a member does for one token.
    #[must_use]
    pub fn client(&self) -> f64 {
        self.blind + f64::from(THRESHOLD) * self.verify + self.combine
    }
}

fn round(
    ambient: &Ambient,
    key: &CoalitionKey,
    subset: &Subset,
    shares: &[KeyShare],
    inputs: &[&[u8]],
    local: &LocalKey,
) -> Result<[f64; 5], OprfError> {
    let clock = |began: u64, times: usize| {
        (ambient.monotonic_ns() - began) as f64 / 1000.0 / (inputs.len() * times) as f64
    };
    let seed = BatchSeed::generate(&mut ambient.rng());
    let began = ambient.monotonic_ns();
    let blinded = oprf::blind(&seed, inputs)?;
    let blind = clock(began, 1);
    let asked = &shares[..usize::from(THRESHOLD)];
    let began = ambient.monotonic_ns();
    let evaluations = asked
        .iter()
        .map(|share| oprf::evaluate(share, subset, blinded.batch(), &mut ambient.rng()))
        .collect::<Result<Vec<_>, _>>()?;
    let evaluate = clock(began, asked.len());
    let began = ambient.monotonic_ns();
    let verified = asked
        .iter()
        .zip(&evaluations)
        .map(|(share, evaluation)| {
            oprf::verify(key, subset, share.identifier(), blinded.batch(), evaluation)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let verify = clock(began, asked.len());
    let began = ambient.monotonic_ns();
    oprf::combine(key, &blinded, inputs, &verified)?;
    let combine = clock(began, 1);
    let began = ambient.monotonic_ns();
    local.tokens(inputs)?;
    let alone = clock(began, 1);
    Ok([blind, evaluate, verify, combine, alone])
}

/// Shares of a fresh key.
fn deal(ambient: &Ambient) -> Result<(Vec<KeyShare>, CoalitionKey), OprfError> {
    let wrong = || OprfError::UnknownKeyholder { keyholder: 0 };
    let identifiers: BTreeSet<u16> = (1..=KEYHOLDERS).collect();
    let id = CeremonyId::new(ambient.random());
    let plan = DkgPlan::new(id, 1, THRESHOLD, identifiers.clone()).map_err(|_| wrong())?;
    let mut parties = BTreeMap::new();
    for me in identifiers {
        let party = Dkg::start(plan.clone(), me, &mut ambient.rng()).map_err(|_| wrong())?;
        parties.insert(me, party);
    }
    let public: BTreeMap<u16, PublicMessage> = parties
        .iter()
        .map(|(&me, party)| (me, party.public_message().clone()))
        .collect();
    let mut inboxes: BTreeMap<u16, BTreeMap<u16, _>> = BTreeMap::new();
    for (&from, party) in &parties {
        for (to, message) in party.secret_messages(&public).map_err(|_| wrong())? {
            inboxes.entry(to).or_default().insert(from, message);
        }
    }
    let mut shares = Vec::new();
    let mut key = None;
    for (me, party) in &parties {
        let inbox = inboxes.get(me).ok_or_else(wrong)?;
        let (share, made) = party.finish(&public, inbox).map_err(|_| wrong())?;
        shares.push(share);
        key = Some(made);
    }
    Ok((shares, key.ok_or_else(wrong)?))
}
