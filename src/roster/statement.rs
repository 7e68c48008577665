//! The roster document: who is in the coalition at one version.

use serde::{Deserialize, Serialize};

use super::document::{Document, Kind};
use super::validate::{self, Problem};
use super::{CoalitionKeys, Member, Timestamp};

/// The coalition's membership at one version, as the root keys sign it.
///
/// A `Roster` by itself proves nothing; [`super::TrustedRoster`] is one whose signatures were
/// checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// Name of the coalition; the same in its root.
    pub coalition: String,
    /// Grows with every change, from 1.
    pub version: u32,
    /// Version of the root whose keys sign this roster. It ties the two together, so that a roster
    /// made under keys since replaced cannot be shown to someone who already has the new root.
    pub root_version: u32,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ceases to be accepted.
    pub expires: Timestamp,
    /// The coalition key's epochs in use.
    pub coalition_key: CoalitionKeys,
    /// The parties, by id.
    pub members: Vec<Member>,
}

impl Roster {
    /// The party called `id`.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id.as_str() == id)
    }
}

impl Document for Roster {
    const KIND: Kind = Kind::Roster;

    fn normalise(&mut self) {
        for key in self.coalition_key.iter_mut() {
            key.keyholders
                .sort_by(|a, b| (a.identifier, &a.member).cmp(&(b.identifier, &b.member)));
        }
        for member in &mut self.members {
            // Addresses stay as they are: their order is the order of preference.
            member
                .tls_pins
                .sort_by_key(|pin| (pin.not_before, pin.not_after, pin.spki_sha256));
            member
                .signing_keys
                .sort_by_key(|key| (key.not_before, key.not_after, key.public_key));
            member.purposes.sort_unstable();
        }
        self.members.sort_by(|a, b| a.id.cmp(&b.id));
    }

    fn problems(&self) -> Vec<Problem> {
        validate::roster(self)
    }
}
