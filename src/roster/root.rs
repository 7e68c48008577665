//! The root document: which keys may sign for the coalition.

use serde::{Deserialize, Serialize};

use super::document::{Document, Kind};
use super::validate::{self, Problem};
use super::{Bytes32, Timestamp};

/// The root keys at one version: the anchor of all trust in the coalition.
///
/// The keys live offline, each with another person. Any `threshold` of them sign a roster; a new
/// root needs the threshold of the old root and its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Name of the coalition, such as `coalition.example`.
    pub coalition: String,
    /// From 1, growing by exactly one with each new root.
    pub version: u32,
    /// When it ceases to be accepted.
    pub expires: Timestamp,
    /// How many of the keys must sign, at least two.
    pub threshold: u16,
    /// The keys, by name.
    pub keys: Vec<RootKey>,
}

/// One person's offline key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKey {
    /// The key's name on signature lines (C2SP signed-note): no spaces, no `+`.
    pub name: String,
    /// Ed25519 public key (RFC 8032).
    pub public_key: Bytes32,
}

impl Root {
    /// Whether `other` would be signed by the same keys at the same threshold. Only a change here
    /// can end a compromise, so only a change here lifts the floor under the roster's version.
    pub(super) fn same_authority(&self, other: &Self) -> bool {
        self.threshold == other.threshold && self.keys == other.keys
    }
}

impl Document for Root {
    const KIND: Kind = Kind::Root;

    fn normalise(&mut self) {
        self.keys
            .sort_by(|a, b| (&a.name, a.public_key).cmp(&(&b.name, b.public_key)));
    }

    fn problems(&self) -> Vec<Problem> {
        validate::root(self)
    }
}
