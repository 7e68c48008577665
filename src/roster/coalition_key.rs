//! The coalition key as the roster states it: public parts only, one set for each epoch.

use serde::{Deserialize, Serialize};

use super::{Bytes32, MemberId};

/// The epochs of the coalition key that are in use.
///
/// Outside a change only `current` is set. During a rotation members move from one epoch to the
/// next at their own pace, so keyholders answer under both: first `next` is announced beside
/// `current`, then it becomes `current` and the old one stays as `previous` until it is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoalitionKeys {
    /// The epoch that is being left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<CoalitionKey>,
    /// The epoch in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<CoalitionKey>,
    /// The epoch that is being entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<CoalitionKey>,
}

/// The coalition key of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoalitionKey {
    /// Number of the epoch, from 1, growing by one with each rotation.
    pub epoch: u64,
    /// How many keyholders must answer: the t of t-of-n.
    pub threshold: u16,
    /// The group public key, a ristretto255 element (RFC 9496 encoding).
    pub public_key: Bytes32,
    /// The holders of shares, n of them, by identifier.
    pub keyholders: Vec<Keyholder>,
    /// SHA-256 of the ceremony's transcript, which every listed keyholder signed.
    pub transcript_sha256: Bytes32,
}

/// One holder of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyholder {
    /// The party.
    pub member: MemberId,
    /// Its x-coordinate in the sharing, never zero.
    pub identifier: u16,
    /// The share's public counterpart, a ristretto255 element: what the keyholder's proofs are
    /// checked against.
    pub verifying_share: Bytes32,
}

impl CoalitionKeys {
    /// The epochs present, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &CoalitionKey> {
        [&self.previous, &self.current, &self.next]
            .into_iter()
            .flatten()
    }

    /// The key of `epoch`, if it is one of those in use.
    pub fn of_epoch(&self, epoch: u64) -> Option<&CoalitionKey> {
        self.iter().find(|key| key.epoch == epoch)
    }

    /// Whether no key is stated yet.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut CoalitionKey> {
        [&mut self.previous, &mut self.current, &mut self.next]
            .into_iter()
            .flatten()
    }
}

impl CoalitionKey {
    /// The keyholder that `member` is, if it is one.
    pub fn keyholder(&self, member: &str) -> Option<&Keyholder> {
        self.keyholders
            .iter()
            .find(|keyholder| keyholder.member.as_str() == member)
    }
}
