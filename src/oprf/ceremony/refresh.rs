//! New shares of the same key.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::super::{CoalitionKey, KeyShare, PublicPoint};
use super::error::CeremonyError;
use super::frost;
use super::message::{PublicMessage, SecretMessage, TranscriptDigest};
use super::plan::RefreshPlan;
use super::rounds::{Participant, Procedure, Setting, read_public};

/// One keyholder's part in a refresh.
///
/// The new share is of use only together with other new shares: keep the old one until the roster
/// states the new verifying shares, then destroy it.
pub struct Refresh {
    plan: RefreshPlan,
    participant: Participant,
}

impl Refresh {
    /// Takes part as keyholder `me`, drawing the seed.
    pub fn start(
        plan: RefreshPlan,
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
    pub fn from_bytes(plan: RefreshPlan, me: u16, bytes: &[u8]) -> Result<Self, CeremonyError> {
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

    /// The end: this keyholder's new share, and the key with its new verifying shares.
    pub fn finish(
        &self,
        public: &BTreeMap<u16, PublicMessage>,
        secret: &BTreeMap<u16, SecretMessage>,
        old_share: &KeyShare,
    ) -> Result<(KeyShare, CoalitionKey), CeremonyError> {
        let old_key = &self.plan.key;
        let me = self.participant.me();
        if old_share.identifier() != me {
            return Err(CeremonyError::NotTakingPart {
                keyholder: old_share.identifier(),
            });
        }
        old_key.check_share(old_share)?;
        let old_public = frost::public_package(old_key)?;
        let old_package = frost::key_package(old_key, old_share)?;
        let (own, all) =
            self.participant
                .receive_shares(public, secret, |second, first, shares| {
                    frost_ristretto255::keys::refresh::refresh_dkg_shares(
                        second,
                        first,
                        shares,
                        old_public,
                        old_package,
                    )
                })?;
        let participants = &self.plan.participants;
        let key = frost::coalition_key(old_key.epoch(), old_key.threshold(), participants, &all)?;
        let share = frost::key_share(me, &own)?;
        key.check_share(&share)?;
        Ok((share, key))
    }
}

/// What anyone can derive from the public messages of a refresh: the key with its new verifying
/// shares, if every message is in order, and the digest that the keyholders sign.
pub fn verify_refresh(
    plan: &RefreshPlan,
    public: &BTreeMap<u16, PublicMessage>,
) -> Result<(CoalitionKey, TranscriptDigest), CeremonyError> {
    let statements = read_public(&setting(plan), public)?;
    let mut shares = BTreeMap::new();
    for &id in &plan.participants {
        let added: RistrettoPoint = statements.values().map(|s| s.value_at(id)).sum();
        shares.insert(
            id,
            PublicPoint::encode(&(plan.key.share_point(id)? + added)),
        );
    }
    let RefreshPlan { key, .. } = plan;
    let key = CoalitionKey::new(key.epoch(), key.threshold(), key.public(), &shares)?;
    Ok((key, TranscriptDigest::of(&plan.binding, public)))
}

fn setting(plan: &RefreshPlan) -> Setting {
    Setting {
        procedure: Procedure::Refresh,
        threshold: plan.key.threshold(),
        participants: plan.participants.clone(),
        binding: plan.binding,
    }
}
