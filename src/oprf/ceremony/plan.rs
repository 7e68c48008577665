//! What the participants of a ceremony agree on before it begins.

use std::collections::BTreeSet;

use sha2::{Digest, Sha512};

use super::super::{CoalitionKey, MAX_KEYHOLDERS};
use super::error::CeremonyError;
use super::message::Binding;

/// Names one ceremony: 32 bytes, drawn by whoever calls for it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CeremonyId([u8; 32]);

impl CeremonyId {
    /// Wraps 32 random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The plan for a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkgPlan {
    pub(super) epoch: u32,
    pub(super) threshold: u16,
    pub(super) participants: BTreeSet<u16>,
    pub(super) binding: Binding,
}

impl DkgPlan {
    /// A key for `epoch`, shared `threshold` of `participants.len()` among the identifiers named.
    pub fn new(
        id: CeremonyId,
        epoch: u32,
        threshold: u16,
        participants: BTreeSet<u16>,
    ) -> Result<Self, CeremonyError> {
        check_participants(threshold, &participants)?;
        let binding = Draft::new("dkg", id)
            .number(epoch)
            .number(threshold)
            .identifiers(&participants)
            .finish();
        Ok(Self {
            epoch,
            threshold,
            participants,
            binding,
        })
    }

    /// Who takes part.
    #[must_use]
    pub fn participants(&self) -> &BTreeSet<u16> {
        &self.participants
    }
}

/// The plan for new shares of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshPlan {
    pub(super) key: CoalitionKey,
    pub(super) participants: BTreeSet<u16>,
    pub(super) binding: Binding,
}

impl RefreshPlan {
    /// New shares of `key` for `participants`, at least `t` of its keyholders. The key's other
    /// keyholders are removed. Threshold and epoch stay as they are.
    pub fn new(
        id: CeremonyId,
        key: CoalitionKey,
        participants: BTreeSet<u16>,
    ) -> Result<Self, CeremonyError> {
        check_participants(key.threshold(), &participants)?;
        check_known(&key, &participants)?;
        let binding = Draft::new("refresh", id)
            .key(&key)
            .identifiers(&participants)
            .finish();
        Ok(Self {
            key,
            participants,
            binding,
        })
    }

    /// Who takes part, and remains.
    #[must_use]
    pub fn participants(&self) -> &BTreeSet<u16> {
        &self.participants
    }
}

/// The plan for restoring a share, or making one for a new keyholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairPlan {
    pub(super) key: CoalitionKey,
    /// The key with the target's verifying share, which may be new.
    pub(super) extended: CoalitionKey,
    pub(super) helpers: BTreeSet<u16>,
    pub(super) target: u16,
    pub(super) binding: Binding,
}

impl RepairPlan {
    /// The share of `key` at identifier `target`, restored by `helpers`: at least `t` of its
    /// keyholders, without the target.
    pub fn new(
        id: CeremonyId,
        key: CoalitionKey,
        helpers: BTreeSet<u16>,
        target: u16,
    ) -> Result<Self, CeremonyError> {
        check_participants(key.threshold(), &helpers)?;
        check_known(&key, &helpers)?;
        if helpers.contains(&target) {
            return Err(CeremonyError::HelpsItself { keyholder: target });
        }
        let share = key
            .verifying_share_at(target)
            .ok_or(CeremonyError::ZeroIdentifier)?;
        let mut shares: std::collections::BTreeMap<_, _> = key.verifying_shares().collect();
        shares.insert(target, share);
        let extended = CoalitionKey::new(key.epoch(), key.threshold(), key.public(), &shares)?;
        let binding = Draft::new("repair", id)
            .key(&key)
            .identifiers(&helpers)
            .number(target)
            .finish();
        Ok(Self {
            key,
            extended,
            helpers,
            target,
            binding,
        })
    }

    /// Who helps.
    #[must_use]
    pub fn helpers(&self) -> &BTreeSet<u16> {
        &self.helpers
    }

    /// Whose share is made.
    #[must_use]
    pub fn target(&self) -> u16 {
        self.target
    }

    /// The coalition key as it is once the target has its share.
    #[must_use]
    pub fn outcome(&self) -> &CoalitionKey {
        &self.extended
    }
}

fn check_participants(threshold: u16, participants: &BTreeSet<u16>) -> Result<(), CeremonyError> {
    let count = participants.len();
    if threshold < 2 || count < usize::from(threshold) || count > MAX_KEYHOLDERS {
        return Err(CeremonyError::Threshold {
            threshold,
            participants: count,
        });
    }
    if participants.contains(&0) {
        return Err(CeremonyError::ZeroIdentifier);
    }
    Ok(())
}

fn check_known(key: &CoalitionKey, participants: &BTreeSet<u16>) -> Result<(), CeremonyError> {
    match participants
        .iter()
        .find(|id| key.share_point(**id).is_err())
    {
        None => Ok(()),
        Some(&keyholder) => Err(CeremonyError::UnknownKeyholder { keyholder }),
    }
}

/// Hashes a plan, every list with its length.
struct Draft(Sha512);

impl Draft {
    fn new(procedure: &str, id: CeremonyId) -> Self {
        Self(
            Sha512::new()
                .chain_update(b"wayhome/ceremony/plan/v1")
                .chain_update([procedure.len() as u8])
                .chain_update(procedure)
                .chain_update(id.0),
        )
    }

    fn number(self, number: impl Into<u64>) -> Self {
        Self(self.0.chain_update(number.into().to_be_bytes()))
    }

    fn identifiers(self, identifiers: &BTreeSet<u16>) -> Self {
        let counted = self.number(identifiers.len() as u64);
        identifiers
            .iter()
            .fold(counted, |draft, id| draft.number(*id))
    }

    fn key(self, key: &CoalitionKey) -> Self {
        let counted = self
            .number(key.epoch())
            .number(key.threshold())
            .number(key.verifying_shares().count() as u64);
        let with_public = Self(counted.0.chain_update(key.public().as_bytes()));
        key.verifying_shares()
            .fold(with_public, |draft, (id, share)| {
                Self(draft.number(id).0.chain_update(share.as_bytes()))
            })
    }

    fn finish(self) -> Binding {
        let mut binding = [0; 32];
        binding.copy_from_slice(&self.0.finalize()[..32]);
        binding
    }
}
