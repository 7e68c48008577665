//! A new key without a dealer.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::super::{CoalitionKey, KeyShare, PublicPoint};
use super::error::CeremonyError;
use super::frost;
use super::message::{PublicMessage, SecretMessage, TranscriptDigest};
use super::plan::DkgPlan;
use super::rounds::{Participant, Procedure, Setting, read_public};

/// One keyholder's part in making a key.
///
/// Store [`Dkg::to_bytes`], sealed, before the first message leaves; destroy it when the share is
/// safely stored.
pub struct Dkg {
    plan: DkgPlan,
    participant: Participant,
}

impl Dkg {
    /// Takes part as keyholder `me`, drawing the seed.
    pub fn start(
        plan: DkgPlan,
        me: u16,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, CeremonyError> {
        let participant = Participant::start(setting(&plan), me, rng)?;
        Ok(Self { plan, participant })
    }

    /// The state to seal and keep.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.participant.to_bytes()
    }

    /// Goes on from a kept state, which must belong to this plan and keyholder.
    pub fn from_bytes(plan: DkgPlan, me: u16, bytes: &[u8]) -> Result<Self, CeremonyError> {
        let participant = Participant::from_bytes(setting(&plan), me, bytes)?;
        Ok(Self { plan, participant })
    }

    /// Round 1: what to publish.
    #[must_use]
    pub fn public_message(&self) -> &PublicMessage {
        self.participant.own()
    }

    /// Round 2: from the public messages of all participants, one's own included, what to send to
    /// each of the others.
    pub fn secret_messages(
        &self,
        public: &BTreeMap<u16, PublicMessage>,
    ) -> Result<BTreeMap<u16, SecretMessage>, CeremonyError> {
        self.participant.send_shares(public)
    }

    /// The end: from the same public messages and the secret ones received from the others, this
    /// keyholder's share and the key.
    pub fn finish(
        &self,
        public: &BTreeMap<u16, PublicMessage>,
        secret: &BTreeMap<u16, SecretMessage>,
    ) -> Result<(KeyShare, CoalitionKey), CeremonyError> {
        let (own, all) = self.participant.receive_shares(
            public,
            secret,
            frost_ristretto255::keys::dkg::part3,
        )?;
        let DkgPlan {
            epoch,
            threshold,
            participants,
            ..
        } = &self.plan;
        let key = frost::coalition_key(*epoch, *threshold, participants, &all)?;
        let share = frost::key_share(self.participant.me(), &own)?;
        key.check_share(&share)?;
        Ok((share, key))
    }
}

/// What anyone can derive from the public messages of a key generation: the key, if every message
/// is in order, and the digest that the keyholders sign.
pub fn verify_transcript(
    plan: &DkgPlan,
    public: &BTreeMap<u16, PublicMessage>,
) -> Result<(CoalitionKey, TranscriptDigest), CeremonyError> {
    let statements = read_public(&setting(plan), public)?;
    let constant: RistrettoPoint = statements.values().map(|s| s.constant()).sum();
    let shares = plan
        .participants
        .iter()
        .map(|&id| {
            let value: RistrettoPoint = statements.values().map(|s| s.value_at(id)).sum();
            (id, PublicPoint::encode(&value))
        })
        .collect();
    let public_key = PublicPoint::encode(&constant);
    let key = CoalitionKey::new(plan.epoch, plan.threshold, public_key, &shares)?;
    Ok((key, TranscriptDigest::of(&plan.binding, public)))
}

fn setting(plan: &DkgPlan) -> Setting {
    Setting {
        procedure: Procedure::Generate,
        threshold: plan.threshold,
        participants: plan.participants.clone(),
        binding: plan.binding,
    }
}
