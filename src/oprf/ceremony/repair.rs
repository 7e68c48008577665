//! A share restored, or made for a new keyholder.
//!
//! Laing and Stinson's repairable threshold scheme (ePrint 2017/1155): the target's share is a
//! weighted sum of the helpers' shares. Each helper splits its summand at random into one part for
//! each helper; each helper adds up the parts it was given and sends the sum to the target. So
//! nobody sees a summand, and the target alone sees the total.
//!
//! Added to the scheme: each helper publishes its parts times the generator. These must add up to
//! its summand times the generator, which follows from its verifying share; so a wrong part or sum
//! is noticed by whoever receives it.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use frost_ristretto255::Ristretto255Sha512;
use frost_ristretto255::keys::repairable::{
    Delta, Sigma, repair_share_part1, repair_share_part2, repair_share_part3,
};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::super::hmac::SeedRng;
use super::super::key::lagrange;
use super::super::{CoalitionKey, KeyShare};
use super::error::CeremonyError;
use super::frost;
use super::message::{Kind, PublicMessage, Reader, SecretMessage, TranscriptDigest, Writer};
use super::plan::RepairPlan;
use super::rounds::check_senders;

/// One helper's part in a repair.
pub struct RepairHelper {
    plan: RepairPlan,
    me: u16,
    seed: Zeroizing<[u8; 32]>,
    own: PublicMessage,
    /// The parts of this helper's summand, by recipient, itself included.
    parts: BTreeMap<u16, Zeroizing<Scalar>>,
}

impl RepairHelper {
    /// Helps with its `share`, drawing the seed.
    pub fn start(
        plan: RepairPlan,
        share: &KeyShare,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, CeremonyError> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(plan, share, seed)
    }

    /// The state to seal and keep.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let own = self.own.as_bytes();
        Writer::new(
            Kind::RepairState,
            &self.plan.binding,
            self.me,
            32 + own.len(),
        )
        .put(self.seed.as_ref())
        .put(own)
        .state()
    }

    /// Goes on from a kept state, which must belong to this plan and share.
    pub fn from_bytes(
        plan: RepairPlan,
        share: &KeyShare,
        bytes: &[u8],
    ) -> Result<Self, CeremonyError> {
        let mut reader = Reader::open(bytes, Kind::RepairState, &plan.binding, share.identifier())
            .map_err(|_| CeremonyError::State)?;
        let seed = reader.take().map_err(|_| CeremonyError::State)?;
        let helper = Self::from_seed(plan, share, Zeroizing::new(*seed))?;
        if helper.own.as_bytes() != reader.remaining() {
            return Err(CeremonyError::State);
        }
        Ok(helper)
    }

    fn from_seed(
        plan: RepairPlan,
        share: &KeyShare,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Self, CeremonyError> {
        let me = share.identifier();
        if !plan.helpers.contains(&me) {
            return Err(CeremonyError::NotTakingPart { keyholder: me });
        }
        plan.key.check_share(share)?;
        let deltas = repair_share_part1::<Ristretto255Sha512, SeedRng>(
            &frost::identifiers(&plan.helpers)?,
            &frost::key_package(&plan.key, share)?,
            &mut SeedRng::new(&seed, "wayhome/ceremony/repair/v1"),
            frost::identifier(plan.target)?,
        )?;
        let mut parts = BTreeMap::new();
        let count = plan.helpers.len();
        let mut writer = Writer::new(Kind::RepairCommitments, &plan.binding, me, count * 32);
        for &helper in &plan.helpers {
            let delta = deltas
                .get(&frost::identifier(helper)?)
                .ok_or(CeremonyError::NotTakingPart { keyholder: helper })?;
            let part = frost::scalar(&Zeroizing::new(delta.serialize()))?;
            writer = writer.put(RistrettoPoint::mul_base(&part).compress().as_bytes());
            parts.insert(helper, part);
        }
        let own = writer.public();
        Ok(Self {
            plan,
            me,
            seed,
            own,
            parts,
        })
    }

    /// Round 1: what to publish to all helpers and the target.
    #[must_use]
    pub fn public_message(&self) -> &PublicMessage {
        &self.own
    }

    /// Round 1: what to send to each of the other helpers.
    #[must_use]
    pub fn secret_messages(&self) -> BTreeMap<u16, SecretMessage> {
        self.parts
            .iter()
            .filter(|(recipient, _)| **recipient != self.me)
            .map(|(recipient, part)| {
                let message = Writer::new(Kind::RepairPart, &self.plan.binding, self.me, 2 + 32)
                    .put(&recipient.to_be_bytes())
                    .put(part.as_bytes())
                    .secret();
                (*recipient, message)
            })
            .collect()
    }

    /// Round 2: from the public messages of all helpers, one's own included, and the secret ones of
    /// the others, what to send to the target.
    pub fn answer(
        &self,
        public: &BTreeMap<u16, PublicMessage>,
        secret: &BTreeMap<u16, SecretMessage>,
    ) -> Result<SecretMessage, CeremonyError> {
        let commitments = read_commitments(&self.plan, public)?;
        if public.get(&self.me) != Some(&self.own) {
            return Err(CeremonyError::OwnMessageAltered);
        }
        check_senders(
            secret.keys(),
            self.plan.helpers.iter().filter(|id| **id != self.me),
        )?;
        let mut deltas = vec![delta(&self.parts[&self.me])?];
        for (&sender, message) in secret {
            let binding = &self.plan.binding;
            let mut reader = Reader::open(message.as_bytes(), Kind::RepairPart, binding, sender)?;
            reader.recipient(self.me)?;
            let part = reader.scalar()?;
            reader.end()?;
            if commitments[&sender][&self.me] != RistrettoPoint::mul_base(&part) {
                return Err(CeremonyError::Contradiction { keyholder: sender });
            }
            deltas.push(delta(&part)?);
        }
        let sum = Zeroizing::new(repair_share_part2(&deltas).serialize());
        let view = TranscriptDigest::of(&self.plan.binding, public);
        Ok(Writer::new(
            Kind::RepairAnswer,
            &self.plan.binding,
            self.me,
            2 + 32 + sum.len(),
        )
        .put(&self.plan.target.to_be_bytes())
        .put(view.as_bytes())
        .put(&sum)
        .secret())
    }
}

/// The target's part: from the public messages and the answers of all helpers, its share. The key
/// then is the plan's [`outcome`](RepairPlan::outcome).
pub fn recover(
    plan: &RepairPlan,
    public: &BTreeMap<u16, PublicMessage>,
    answers: &BTreeMap<u16, SecretMessage>,
) -> Result<(KeyShare, CoalitionKey), CeremonyError> {
    let commitments = read_commitments(plan, public)?;
    let view = TranscriptDigest::of(&plan.binding, public);
    check_senders(answers.keys(), plan.helpers.iter())?;
    let mut sigmas = Vec::new();
    for (&sender, message) in answers {
        let mut reader = Reader::open(
            message.as_bytes(),
            Kind::RepairAnswer,
            &plan.binding,
            sender,
        )?;
        reader.recipient(plan.target)?;
        reader.view(&view)?;
        let sum = reader.scalar()?;
        reader.end()?;
        let expected: RistrettoPoint = commitments.values().map(|parts| parts[&sender]).sum();
        if expected != RistrettoPoint::mul_base(&sum) {
            return Err(CeremonyError::Contradiction { keyholder: sender });
        }
        sigmas.push(Sigma::deserialize(sum.as_bytes())?);
    }
    let package = repair_share_part3(
        &sigmas,
        frost::identifier(plan.target)?,
        &frost::public_package(&plan.key)?,
    )?;
    let share = frost::key_share(plan.target, &package)?;
    plan.extended.check_share(&share)?;
    Ok((share, plan.extended.clone()))
}

/// What anyone can check of a repair: that every helper's public message is in order. Gives the
/// digest that the helpers sign.
pub fn verify_repair(
    plan: &RepairPlan,
    public: &BTreeMap<u16, PublicMessage>,
) -> Result<TranscriptDigest, CeremonyError> {
    read_commitments(plan, public)?;
    Ok(TranscriptDigest::of(&plan.binding, public))
}

/// The parts that each helper committed to, by helper and recipient; they must add up to the
/// helper's summand.
fn read_commitments(
    plan: &RepairPlan,
    public: &BTreeMap<u16, PublicMessage>,
) -> Result<BTreeMap<u16, BTreeMap<u16, RistrettoPoint>>, CeremonyError> {
    check_senders(public.keys(), plan.helpers.iter())?;
    let helpers: Vec<u16> = plan.helpers.iter().copied().collect();
    let mut commitments = BTreeMap::new();
    for (&sender, weight) in helpers.iter().zip(lagrange(&helpers, plan.target)) {
        let mut reader = Reader::open(
            public[&sender].as_bytes(),
            Kind::RepairCommitments,
            &plan.binding,
            sender,
        )?;
        let mut parts = BTreeMap::new();
        for &recipient in &helpers {
            parts.insert(recipient, reader.point()?);
        }
        reader.end()?;
        let summand = plan.key.share_point(sender)? * weight;
        if parts.values().sum::<RistrettoPoint>() != summand {
            return Err(CeremonyError::Contradiction { keyholder: sender });
        }
        commitments.insert(sender, parts);
    }
    Ok(commitments)
}

fn delta(part: &Scalar) -> Result<Delta, CeremonyError> {
    Ok(Delta::deserialize(part.as_bytes())?)
}
