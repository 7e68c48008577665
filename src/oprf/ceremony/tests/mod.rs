//! Ceremonies of honest keyholders, of forgetful ones, and of liars.

mod generation;
mod renewal;

use std::collections::{BTreeMap, BTreeSet};

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::super::key::lagrange;
use super::super::*;
use super::*;

type Public = BTreeMap<u16, PublicMessage>;
type Secret = BTreeMap<u16, SecretMessage>;
type Outcomes = BTreeMap<u16, (KeyShare, CoalitionKey)>;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn ids(ids: &[u16]) -> BTreeSet<u16> {
    ids.iter().copied().collect()
}

fn plan(id: u8, threshold: u16, participants: &[u16]) -> DkgPlan {
    DkgPlan::new(CeremonyId::new([id; 32]), 1, threshold, ids(participants)).unwrap()
}

fn refresh_plan(id: u8, key: &CoalitionKey, participants: &[u16]) -> RefreshPlan {
    RefreshPlan::new(CeremonyId::new([id; 32]), key.clone(), ids(participants)).unwrap()
}

fn repair_plan(id: u8, key: &CoalitionKey, helpers: &[u16], target: u16) -> RepairPlan {
    RepairPlan::new(CeremonyId::new([id; 32]), key.clone(), ids(helpers), target).unwrap()
}

/// What each was sent, from what each sends.
fn deliver(sent: &BTreeMap<u16, Secret>, to: u16) -> Secret {
    sent.iter()
        .filter_map(|(from, messages)| Some((*from, messages.get(&to)?.clone())))
        .collect()
}

struct Generation {
    parties: BTreeMap<u16, Dkg>,
    public: Public,
    sent: BTreeMap<u16, Secret>,
}

impl Generation {
    fn new(plan: &DkgPlan, rng: &mut ChaCha20Rng) -> Self {
        let parties: BTreeMap<u16, Dkg> = plan
            .participants()
            .iter()
            .map(|&id| (id, Dkg::start(plan.clone(), id, rng).unwrap()))
            .collect();
        let public: Public = parties
            .iter()
            .map(|(id, party)| (*id, party.public_message().clone()))
            .collect();
        let sent = parties
            .iter()
            .map(|(id, party)| (*id, party.secret_messages(&public).unwrap()))
            .collect();
        Self {
            parties,
            public,
            sent,
        }
    }

    fn finish(&self) -> Outcomes {
        self.parties
            .iter()
            .map(|(&id, party)| {
                (
                    id,
                    party
                        .finish(&self.public, &deliver(&self.sent, id))
                        .unwrap(),
                )
            })
            .collect()
    }
}

fn generate(threshold: u16, participants: &[u16], rng: &mut ChaCha20Rng) -> Outcomes {
    Generation::new(&plan(1, threshold, participants), rng).finish()
}

fn refresh(plan: &RefreshPlan, old: &Outcomes, rng: &mut ChaCha20Rng) -> Outcomes {
    let parties: BTreeMap<u16, Refresh> = plan
        .participants()
        .iter()
        .map(|&id| (id, Refresh::start(plan.clone(), id, rng).unwrap()))
        .collect();
    let public: Public = parties
        .iter()
        .map(|(id, party)| (*id, party.public_message().clone()))
        .collect();
    let sent: BTreeMap<u16, Secret> = parties
        .iter()
        .map(|(id, party)| (*id, party.secret_messages(&public).unwrap()))
        .collect();
    let outcomes: Outcomes = parties
        .iter()
        .map(|(&id, party)| {
            (
                id,
                party
                    .finish(&public, &deliver(&sent, id), &old[&id].0)
                    .unwrap(),
            )
        })
        .collect();
    let (seen, _) = verify_refresh(plan, &public).unwrap();
    assert!(outcomes.values().all(|(_, key)| *key == seen));
    outcomes
}

fn repair(
    plan: &RepairPlan,
    holders: &Outcomes,
    rng: &mut ChaCha20Rng,
) -> (KeyShare, CoalitionKey) {
    let helpers: BTreeMap<u16, RepairHelper> = plan
        .helpers()
        .iter()
        .map(|&id| {
            (
                id,
                RepairHelper::start(plan.clone(), &holders[&id].0, rng).unwrap(),
            )
        })
        .collect();
    let public: Public = helpers
        .iter()
        .map(|(id, helper)| (*id, helper.public_message().clone()))
        .collect();
    let sent: BTreeMap<u16, Secret> = helpers
        .iter()
        .map(|(id, helper)| (*id, helper.secret_messages()))
        .collect();
    let answers = helpers
        .iter()
        .map(|(&id, helper)| (id, helper.answer(&public, &deliver(&sent, id)).unwrap()))
        .collect();
    verify_repair(plan, &public).unwrap();
    recover(plan, &public, &answers).unwrap()
}

/// The key behind some shares: what no party ever computes.
fn reconstruct(shares: &[&KeyShare]) -> Scalar {
    let ids: Vec<u16> = shares.iter().map(|share| share.identifier()).collect();
    lagrange(&ids, 0)
        .iter()
        .zip(shares)
        .map(|(weight, share)| weight * share.secret())
        .sum()
}

/// The token of one input, by the whole protocol.
fn token(
    key: &CoalitionKey,
    shares: &[&KeyShare],
    rng: &mut ChaCha20Rng,
) -> Result<CoalitionToken, OprfError> {
    let inputs: [&[u8]; 1] = [b"R1|olena|2014"];
    let blinded = blind(&BatchSeed::generate(rng), &inputs)?;
    let chosen: Vec<u16> = shares.iter().map(|share| share.identifier()).collect();
    let subset = key.subset(&chosen)?;
    let verified = shares
        .iter()
        .map(|share| {
            let answer = evaluate(share, &subset, blinded.batch(), rng)?;
            verify(key, &subset, share.identifier(), blinded.batch(), &answer)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(combine(key, &blinded, &inputs, &verified)?.remove(0))
}

#[test]
fn impossible_plans_are_refused() {
    let id = CeremonyId::new([1; 32]);
    let refused =
        |threshold, participants: &[u16]| DkgPlan::new(id, 1, threshold, ids(participants)).err();
    for (threshold, participants) in [(0, 3), (1, 3), (4, 3), (2, 256)] {
        let everyone: Vec<u16> = (1..=participants).collect();
        assert_eq!(
            refused(threshold, &everyone),
            Some(CeremonyError::Threshold {
                threshold,
                participants: usize::from(participants)
            })
        );
    }
    assert_eq!(refused(2, &[0, 1, 2]), Some(CeremonyError::ZeroIdentifier));

    let key = generate(2, &[1, 2, 3], &mut rng(15))[&1].1.clone();
    assert_eq!(
        RefreshPlan::new(id, key.clone(), ids(&[1, 4])).err(),
        Some(CeremonyError::UnknownKeyholder { keyholder: 4 })
    );
    assert_eq!(
        RefreshPlan::new(id, key.clone(), ids(&[1])).err(),
        Some(CeremonyError::Threshold {
            threshold: 2,
            participants: 1
        })
    );
    for (helpers, target, error) in [
        (&[1, 2][..], 2, CeremonyError::HelpsItself { keyholder: 2 }),
        (&[1, 7], 3, CeremonyError::UnknownKeyholder { keyholder: 7 }),
        (
            &[1],
            3,
            CeremonyError::Threshold {
                threshold: 2,
                participants: 1,
            },
        ),
        (&[1, 2], 0, CeremonyError::ZeroIdentifier),
    ] {
        assert_eq!(
            RepairPlan::new(id, key.clone(), ids(helpers), target).err(),
            Some(error)
        );
    }
}
