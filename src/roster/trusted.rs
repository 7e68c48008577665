//! A roster whose signatures were checked, and the questions a node asks it.

use std::collections::HashMap;

use super::document::Kind;
use super::signed::{self, Signed};
use super::{
    Bytes32, CoalitionKey, CoalitionKeys, Keyholder, Member, MemberId, Purpose, Root, Roster,
    RosterError,
};
use crate::envelope::{KeyId, VerifyingKey};

/// A roster that the root keys signed. Only verification makes one.
///
/// Whether it is still in force at some time is the trust store's to say; the questions here take
/// the time only for what has a time of its own: keys, pins and suspensions.
#[derive(Debug, Clone)]
pub struct TrustedRoster {
    signed: Signed<Roster>,
    by_id: HashMap<MemberId, usize>,
    by_pin: HashMap<Bytes32, usize>,
}

/// Why a peer, its certificate or its key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// No party has this id.
    #[error("no party of the roster is called {0:?}")]
    UnknownParty(String),
    /// No party has a certificate with this key.
    #[error("no party of the roster has a TLS certificate with key digest {0}")]
    UnknownPin(Bytes32),
    /// The party does not have this signing key.
    #[error("{member} has no signing key {key} in the roster")]
    UnknownKey {
        /// The party.
        member: MemberId,
        /// The key asked for.
        key: KeyId,
    },
    /// The certificate or key is the party's, but not now.
    #[error("this key of {member} is not valid now: its time has not come or has passed")]
    NotValidNow {
        /// The party.
        member: MemberId,
    },
    /// The party is suspended.
    #[error("{member} is suspended")]
    Suspended {
        /// The party.
        member: MemberId,
    },
}

impl PeerRefusal {
    /// The stable reason code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownParty(_) => "PARTY_UNKNOWN",
            Self::UnknownPin(_) => "PIN_UNKNOWN",
            Self::UnknownKey { .. } => "SIGNING_KEY_UNKNOWN",
            Self::NotValidNow { .. } => "KEY_NOT_VALID_NOW",
            Self::Suspended { .. } => "SUSPENDED",
        }
    }
}

impl TrustedRoster {
    /// Verifies a signed roster under a trusted root: signatures, form and content, but neither
    /// its time nor its version against others. That is enough to show or check a file, and to
    /// judge evidence of the past; a running node uses [`super::TrustStore`].
    pub fn verify(root: &TrustedRoot, note: &[u8]) -> Result<Self, RosterError> {
        let note = signed::read(Kind::Roster, note)?;
        Self::check(signed::verify(&note, root.root())?, root.root())
    }

    /// Takes a signed roster if it belongs to the root's coalition.
    pub(super) fn check(signed: Signed<Roster>, root: &Root) -> Result<Self, RosterError> {
        let roster = &signed.document;
        if roster.coalition != root.coalition {
            return Err(RosterError::WrongCoalition {
                kind: Kind::Roster,
                expected: root.coalition.clone(),
                found: roster.coalition.clone(),
            });
        }
        let members = || roster.members.iter().enumerate();
        let by_id = members()
            .map(|(index, member)| (member.id.clone(), index))
            .collect();
        let by_pin = members()
            .flat_map(|(index, member)| {
                member
                    .tls_pins
                    .iter()
                    .map(move |pin| (pin.spki_sha256, index))
            })
            .collect();
        Ok(Self {
            by_id,
            by_pin,
            signed,
        })
    }

    /// The content.
    pub fn roster(&self) -> &Roster {
        &self.signed.document
    }

    /// The version.
    pub fn version(&self) -> u32 {
        self.roster().version
    }

    /// Its place among all rosters that were ever in force: root version, then version. Versions alone
    /// do not say, for they are counted anew when the root keys change.
    pub fn place(&self) -> (u32, u32) {
        (self.roster().root_version, self.version())
    }

    /// The same as messages state it.
    pub fn stated_place(&self) -> (u64, u64) {
        let (root, version) = self.place();
        (root.into(), version.into())
    }

    /// SHA-256 of the signed text. Further signatures do not change it.
    pub fn digest(&self) -> Bytes32 {
        self.signed.digest
    }

    /// The signed note, to be passed on.
    pub fn note(&self) -> &str {
        &self.signed.note
    }

    /// The party called `id`, suspended or not.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.by_id
            .get(id)
            .and_then(|index| self.roster().members.get(*index))
    }

    /// The party whose TLS certificate has this key, if it may connect at `now`.
    ///
    /// `spki_sha256` is the SHA-256 of the certificate's DER SubjectPublicKeyInfo; `now` is in unix
    /// seconds.
    pub fn member_by_tls_pin(
        &self,
        spki_sha256: &[u8; 32],
        now: u64,
    ) -> Result<&Member, PeerRefusal> {
        let pin = Bytes32::new(*spki_sha256);
        let index = self.by_pin.get(&pin).ok_or(PeerRefusal::UnknownPin(pin))?;
        let member = self
            .roster()
            .members
            .get(*index)
            .ok_or(PeerRefusal::UnknownPin(pin))?;
        let valid = |known: &super::TlsPin| known.spki_sha256 == pin && known.is_valid(now);
        if !member.tls_pins.iter().any(valid) {
            return Err(PeerRefusal::NotValidNow {
                member: member.id.clone(),
            });
        }
        not_suspended(member, now)
    }

    /// The public key `key_id` of the party, if its signatures count at `now` (unix seconds).
    ///
    /// For evidence of the past pass the time at which it was signed, and ask the roster of then.
    pub fn signing_key(
        &self,
        member: &str,
        key_id: &KeyId,
        now: u64,
    ) -> Result<VerifyingKey, PeerRefusal> {
        let party = self.active(member, now)?;
        let (key, valid) = party
            .signing_keys
            .iter()
            .filter_map(|entry| {
                let key = VerifyingKey::from_bytes(entry.public_key.as_bytes()).ok()?;
                (key.id() == *key_id).then_some((key, entry.is_valid(now)))
            })
            .next()
            .ok_or_else(|| PeerRefusal::UnknownKey {
                member: party.id.clone(),
                key: *key_id,
            })?;
        if valid {
            Ok(key)
        } else {
            Err(PeerRefusal::NotValidNow {
                member: party.id.clone(),
            })
        }
    }

    /// The party called `id`, if it is in the roster and not suspended at `now` (unix seconds).
    pub fn active(&self, id: &str, now: u64) -> Result<&Member, PeerRefusal> {
        let member = self
            .member(id)
            .ok_or_else(|| PeerRefusal::UnknownParty(super::document::printable(id, 40)))?;
        not_suspended(member, now)
    }

    /// Whether the party may not take part at `now` (unix seconds). Also true of one that is not
    /// in the roster: neither may speak.
    pub fn is_suspended(&self, id: &str, now: u64) -> bool {
        self.active(id, now).is_err()
    }

    /// Whether the party may ask for `purpose` at `now` (unix seconds). What the asked member
    /// itself refuses comes on top.
    pub fn permits(&self, id: &str, purpose: Purpose, now: u64) -> bool {
        self.active(id, now)
            .is_ok_and(|member| member.purposes.contains(&purpose))
    }

    /// The coalition key of the current epoch.
    pub fn coalition_key(&self) -> Option<&CoalitionKey> {
        self.coalition_keys().current.as_ref()
    }

    /// The coalition key's epochs in use.
    pub fn coalition_keys(&self) -> &CoalitionKeys {
        &self.roster().coalition_key
    }

    /// The keyholders of the current epoch with their parties, those suspended at `now` (unix
    /// seconds) left out, by identifier.
    pub fn keyholders(&self, now: u64) -> Vec<(&Keyholder, &Member)> {
        self.coalition_key()
            .map(|key| self.keyholders_of(key, now))
            .unwrap_or_default()
    }

    /// The same for the key of any epoch in this roster.
    pub fn keyholders_of<'a>(
        &'a self,
        key: &'a CoalitionKey,
        now: u64,
    ) -> Vec<(&'a Keyholder, &'a Member)> {
        let with_party = |keyholder: &'a Keyholder| {
            Some((keyholder, self.active(keyholder.member.as_str(), now).ok()?))
        };
        key.keyholders.iter().filter_map(with_party).collect()
    }

    /// The nodes that hold registers and are not suspended at `now` (unix seconds), by id.
    pub fn holders(&self, now: u64) -> impl Iterator<Item = &Member> {
        let holds = move |member: &&Member| member.roles.member && !member.is_suspended(now);
        self.roster().members.iter().filter(holds)
    }
}

fn not_suspended(member: &Member, now: u64) -> Result<&Member, PeerRefusal> {
    if member.is_suspended(now) {
        return Err(PeerRefusal::Suspended {
            member: member.id.clone(),
        });
    }
    Ok(member)
}

/// A root that is trusted: pinned, or reached from a pinned one.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    signed: Signed<Root>,
}

impl TrustedRoot {
    /// Takes a root on the word of whoever configured it, after checking that the file is whole
    /// and that its own threshold signed it (TUF 5.2). Its expiry does not matter yet.
    pub fn pin(note: &[u8]) -> Result<Self, RosterError> {
        let note = signed::read(Kind::Root, note)?;
        Ok(Self {
            signed: signed::verify_own(&note)?,
        })
    }

    pub(super) fn new(signed: Signed<Root>) -> Self {
        Self { signed }
    }

    /// The content.
    pub fn root(&self) -> &Root {
        &self.signed.document
    }

    /// The version.
    pub fn version(&self) -> u32 {
        self.root().version
    }

    /// SHA-256 of the signed text.
    pub fn digest(&self) -> Bytes32 {
        self.signed.digest
    }

    /// The signed note, to be passed on.
    pub fn note(&self) -> &str {
        &self.signed.note
    }
}

#[cfg(test)]
#[path = "trusted_tests.rs"]
mod tests;
