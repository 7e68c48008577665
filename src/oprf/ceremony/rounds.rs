//! What key generation and refresh have in common: commit to a polynomial, send its values, add up.
//!
//! The two differ in the constant term. In a key generation it is the participant's contribution to
//! the key, committed to and proved known; in a refresh it is zero, which needs no commitment, and
//! a proof would show nothing.

use std::collections::{BTreeMap, BTreeSet};

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, VartimeMultiscalarMul};
use frost_ristretto255::keys::VerifiableSecretSharingCommitment;
use frost_ristretto255::keys::dkg::{round1, round2};
use frost_ristretto255::{Ciphersuite, Identifier, Ristretto255Sha512, Signature};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::super::hmac::SeedRng;
use super::error::CeremonyError;
use super::frost;
use super::message::{
    Binding, Kind, PublicMessage, Reader, SecretMessage, TranscriptDigest, Writer,
};

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Procedure {
    Generate,
    Refresh,
}

impl Procedure {
    fn kinds(self) -> (Kind, Kind, Kind) {
        match self {
            Procedure::Generate => (Kind::DkgCommitments, Kind::DkgShare, Kind::DkgState),
            Procedure::Refresh => (
                Kind::RefreshCommitments,
                Kind::RefreshShare,
                Kind::RefreshState,
            ),
        }
    }

    fn seed_label(self) -> &'static str {
        match self {
            Procedure::Generate => "wayhome/ceremony/dkg/v1",
            Procedure::Refresh => "wayhome/ceremony/refresh/v1",
        }
    }

    /// How many commitments a participant publishes.
    fn commitments(self, threshold: u16) -> usize {
        match self {
            Procedure::Generate => usize::from(threshold),
            Procedure::Refresh => usize::from(threshold) - 1,
        }
    }
}

/// The part of a plan that the rounds need.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) procedure: Procedure,
    pub(super) threshold: u16,
    pub(super) participants: BTreeSet<u16>,
    pub(super) binding: Binding,
}

/// One participant: its seed and what follows from it.
pub(super) struct Participant {
    setting: Setting,
    me: u16,
    seed: Zeroizing<[u8; 32]>,
    own: PublicMessage,
}

impl Participant {
    pub(super) fn start(
        setting: Setting,
        me: u16,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, CeremonyError> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(setting, me, seed)
    }

    /// State: kind, binding, identifier, seed, and the public message that was sent.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (_, _, kind) = self.setting.procedure.kinds();
        let own = self.own.as_bytes();
        Writer::new(kind, &self.setting.binding, self.me, 32 + own.len())
            .put(self.seed.as_ref())
            .put(own)
            .state()
    }

    pub(super) fn from_bytes(
        setting: Setting,
        me: u16,
        bytes: &[u8],
    ) -> Result<Self, CeremonyError> {
        let (_, _, kind) = setting.procedure.kinds();
        let mut reader =
            Reader::open(bytes, kind, &setting.binding, me).map_err(|_| CeremonyError::State)?;
        let seed = reader.take().map_err(|_| CeremonyError::State)?;
        let participant = Self::from_seed(setting, me, Zeroizing::new(*seed))?;
        // A library that drew otherwise from the same seed would show here, not as a wrong share.
        if participant.own.as_bytes() != reader.remaining() {
            return Err(CeremonyError::State);
        }
        Ok(participant)
    }

    fn from_seed(
        setting: Setting,
        me: u16,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Self, CeremonyError> {
        if !setting.participants.contains(&me) {
            return Err(CeremonyError::NotTakingPart { keyholder: me });
        }
        let (_, package) = part1(&setting, me, &seed)?;
        let commitments = package.commitment().serialize()?;
        let proof = package.proof_of_knowledge().serialize()?;
        let (kind, _, _) = setting.procedure.kinds();
        let body = commitments.len() * 32 + proof.len();
        let mut writer = Writer::new(kind, &setting.binding, me, body);
        for commitment in &commitments {
            writer = writer.put(commitment);
        }
        let own = writer.put(&proof).public();
        Ok(Self {
            setting,
            me,
            seed,
            own,
        })
    }

    pub(super) fn me(&self) -> u16 {
        self.me
    }

    pub(super) fn own(&self) -> &PublicMessage {
        &self.own
    }

    /// The secret messages to the others.
    pub(super) fn send_shares(
        &self,
        public: &BTreeMap<u16, PublicMessage>,
    ) -> Result<BTreeMap<u16, SecretMessage>, CeremonyError> {
        let round = self.second_round(public)?;
        let (_, kind, _) = self.setting.procedure.kinds();
        let mut messages = BTreeMap::new();
        for &recipient in self
            .setting
            .participants
            .iter()
            .filter(|id| **id != self.me)
        {
            let package = round.outgoing.get(&frost::identifier(recipient)?).ok_or(
                CeremonyError::NotTakingPart {
                    keyholder: recipient,
                },
            )?;
            let share = Zeroizing::new(package.signing_share().serialize());
            let message = Writer::new(kind, &self.setting.binding, self.me, 2 + 32 + share.len())
                .put(&recipient.to_be_bytes())
                .put(round.view.as_bytes())
                .put(&share)
                .secret();
            messages.insert(recipient, message);
        }
        Ok(messages)
    }

    /// Reads and checks the secret messages of the others; hands all to the library's last part.
    pub(super) fn receive_shares<T>(
        &self,
        public: &BTreeMap<u16, PublicMessage>,
        secret: &BTreeMap<u16, SecretMessage>,
        last_part: impl FnOnce(
            &round2::SecretPackage,
            &BTreeMap<Identifier, round1::Package>,
            &BTreeMap<Identifier, round2::Package>,
        ) -> Result<T, frost_ristretto255::Error>,
    ) -> Result<T, CeremonyError> {
        let round = self.second_round(public)?;
        let (_, kind, _) = self.setting.procedure.kinds();
        let senders = || {
            self.setting
                .participants
                .iter()
                .filter(|id| **id != self.me)
        };
        check_senders(secret.keys(), senders())?;
        let mut incoming = BTreeMap::new();
        for (&sender, message) in secret {
            let binding = &self.setting.binding;
            let mut reader = Reader::open(message.as_bytes(), kind, binding, sender)?;
            reader.recipient(self.me)?;
            reader.view(&round.view)?;
            let share = reader.scalar()?;
            reader.end()?;
            // The library checks this too, but in a refresh it does not say whose share was wrong.
            let expected = round.statements.get(&sender).map(|s| s.value_at(self.me));
            if expected != Some(RistrettoPoint::mul_base(&share)) {
                return Err(CeremonyError::Contradiction { keyholder: sender });
            }
            let package = round2::Package::new(frost::signing_share(&share)?);
            incoming.insert(frost::identifier(sender)?, package);
        }
        Ok(last_part(&round.secret, &round.packages, &incoming)?)
    }

    fn second_round(
        &self,
        public: &BTreeMap<u16, PublicMessage>,
    ) -> Result<SecondRound, CeremonyError> {
        let statements = read_public(&self.setting, public)?;
        if public.get(&self.me) != Some(&self.own) {
            return Err(CeremonyError::OwnMessageAltered);
        }
        let mut packages = BTreeMap::new();
        for (&sender, statement) in statements.iter().filter(|(id, _)| **id != self.me) {
            packages.insert(frost::identifier(sender)?, statement.package.clone());
        }
        let (first, _) = part1(&self.setting, self.me, &self.seed)?;
        let (secret, outgoing) = match self.setting.procedure {
            Procedure::Generate => frost_ristretto255::keys::dkg::part2(first, &packages),
            Procedure::Refresh => {
                frost_ristretto255::keys::refresh::refresh_dkg_part2(first, &packages)
            }
        }?;
        let view = TranscriptDigest::of(&self.setting.binding, public);
        Ok(SecondRound {
            statements,
            packages,
            secret,
            outgoing,
            view,
        })
    }
}

struct SecondRound {
    statements: BTreeMap<u16, Statement>,
    packages: BTreeMap<Identifier, round1::Package>,
    secret: round2::SecretPackage,
    outgoing: BTreeMap<Identifier, round2::Package>,
    view: TranscriptDigest,
}

/// A participant's public message, read.
pub(super) struct Statement {
    /// Commitments to all coefficients; in a refresh the first is the identity.
    commitments: Vec<RistrettoPoint>,
    package: round1::Package,
}

impl Statement {
    /// The committed polynomial's value at `x`, times the generator.
    pub(super) fn value_at(&self, x: u16) -> RistrettoPoint {
        let x = Scalar::from(x);
        let powers: Vec<Scalar> = std::iter::successors(Some(Scalar::ONE), |power| Some(power * x))
            .take(self.commitments.len())
            .collect();
        RistrettoPoint::vartime_multiscalar_mul(powers, &self.commitments)
    }

    /// The committed constant term, times the generator.
    pub(super) fn constant(&self) -> RistrettoPoint {
        self.commitments[0]
    }
}

/// Reads the public messages of all participants; names whoever sent a wrong one.
pub(super) fn read_public(
    setting: &Setting,
    public: &BTreeMap<u16, PublicMessage>,
) -> Result<BTreeMap<u16, Statement>, CeremonyError> {
    check_senders(public.keys(), setting.participants.iter())?;
    public
        .iter()
        .map(|(&sender, message)| Ok((sender, read_statement(setting, sender, message)?)))
        .collect()
}

/// All that are expected have sent, and nobody else.
pub(super) fn check_senders<'a>(
    present: impl Iterator<Item = &'a u16>,
    expected: impl Iterator<Item = &'a u16>,
) -> Result<(), CeremonyError> {
    let present: BTreeSet<u16> = present.copied().collect();
    let expected: BTreeSet<u16> = expected.copied().collect();
    if let Some(&keyholder) = present.difference(&expected).next() {
        return Err(CeremonyError::NotTakingPart { keyholder });
    }
    let keyholders: Vec<u16> = expected.difference(&present).copied().collect();
    if keyholders.is_empty() {
        Ok(())
    } else {
        Err(CeremonyError::Missing { keyholders })
    }
}

fn read_statement(
    setting: &Setting,
    sender: u16,
    message: &PublicMessage,
) -> Result<Statement, CeremonyError> {
    let (kind, _, _) = setting.procedure.kinds();
    let mut reader = Reader::open(message.as_bytes(), kind, &setting.binding, sender)?;
    let count = setting.procedure.commitments(setting.threshold);
    let mut commitments = Vec::with_capacity(count + 1);
    if setting.procedure == Procedure::Refresh {
        commitments.push(RistrettoPoint::identity());
    }
    let mut encodings = Vec::with_capacity(count * 32);
    for _ in 0..count {
        let point = reader.point()?;
        encodings.extend_from_slice(point.compress().as_bytes());
        commitments.push(point);
    }
    let proof = reader.take::<64>()?;
    let signature = Signature::deserialize(proof)
        .map_err(|_| reader.malformed("the proof of knowledge is not a valid encoding"))?;
    if setting.procedure == Procedure::Generate {
        check_knowledge(sender, &commitments[0], proof, &reader)?;
    }
    reader.end()?;
    let commitment = VerifiableSecretSharingCommitment::deserialize_whole(&encodings)?;
    Ok(Statement {
        commitments,
        package: round1::Package::new(commitment, signature),
    })
}

/// The proof of knowledge of a constant term (ePrint 2020/852, figure 1, round 1, step 5): a
/// Schnorr proof `(R, z)` over the sender's identifier. The library checks it as well; here it also
/// serves those who hold no secret and only read the transcript.
fn check_knowledge(
    sender: u16,
    constant: &RistrettoPoint,
    proof: &[u8; 64],
    reader: &Reader<'_>,
) -> Result<(), CeremonyError> {
    let (r, z) = proof.split_at(32);
    let identifier = Scalar::from(sender).to_bytes();
    let preimage = [&identifier, &constant.compress().to_bytes()[..], r].concat();
    let challenge = Ristretto255Sha512::HDKG(&preimage).ok_or(CeremonyError::Library(
        frost_ristretto255::Error::DKGNotSupported,
    ))?;
    let z: Option<Scalar> = <[u8; 32]>::try_from(z)
        .ok()
        .and_then(|bytes| Scalar::from_canonical_bytes(bytes).into());
    let z = z.ok_or(reader.malformed("the proof of knowledge is not a valid encoding"))?;
    let expected = RistrettoPoint::vartime_double_scalar_mul_basepoint(&-challenge, constant, &z);
    if expected.compress().as_bytes() == r {
        Ok(())
    } else {
        Err(CeremonyError::ProofOfKnowledge { keyholder: sender })
    }
}

fn part1(
    setting: &Setting,
    me: u16,
    seed: &[u8; 32],
) -> Result<(round1::SecretPackage, round1::Package), CeremonyError> {
    let identifier = frost::identifier(me)?;
    let count = setting.participants.len() as u16;
    let mut rng = SeedRng::new(seed, setting.procedure.seed_label());
    let threshold = setting.threshold;
    Ok(match setting.procedure {
        Procedure::Generate => {
            frost_ristretto255::keys::dkg::part1(identifier, count, threshold, &mut rng)
        }
        Procedure::Refresh => frost_ristretto255::keys::refresh::refresh_dkg_part1(
            identifier, count, threshold, &mut rng,
        ),
    }?)
}
