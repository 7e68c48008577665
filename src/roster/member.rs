//! One party of the coalition: a member's node, a keyholder, or an ombudsman.

use serde::{Deserialize, Serialize};

use super::{Address, Bytes32, MemberId, Purpose, Timestamp};

/// A party and all that its peers need to know of it.
///
/// A *node* is a party with the role of member or keyholder: it has addresses, a log and an
/// encryption key. An ombudsman is a party without a node: it has keys and TLS pins and a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Short name, stable for as long as the party is in the roster.
    pub id: MemberId,
    /// The state, or for an independent party the name by which people know it.
    pub name: String,
    /// The authority that runs the node or holds the office.
    pub organisation: String,
    /// What the party may be to the others.
    pub roles: Roles,
    /// Since when the party is suspended. A time to come is a suspension announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_since: Option<Timestamp>,
    /// Where the node listens, in order of preference. Empty for an ombudsman.
    pub addresses: Vec<Address>,
    /// Which TLS certificates are this party's; several overlap during a change of certificate.
    pub tls_pins: Vec<TlsPin>,
    /// Keys that sign this party's messages; several overlap during a change of key.
    pub signing_keys: Vec<MemberKey>,
    /// X25519 public key to which ceremony packages are sealed (RFC 9180). None for an ombudsman.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<Bytes32>,
    /// The node's transparency log. None for an ombudsman.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Verifier key (C2SP `vkey`) under which the party cosigns the checkpoints of others, if it
    /// is a witness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness_vkey: Option<String>,
    /// For which purposes the party may ask.
    pub purposes: Vec<Purpose>,
    /// How much it may ask.
    pub quotas: Quotas,
    /// Most records that its lookup index may hold: a bound on what one index can be used as a
    /// dictionary for.
    pub index_cap: u64,
}

/// The parts a party plays. At least one is set; an ombudsman plays no other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Holds a register, asks and answers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub member: bool,
    /// Holds a share of the coalition key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyholder: Option<KeyholderRole>,
    /// Checks logs and evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ombudsman: Option<OmbudsmanScope>,
}

/// The keyholder's place in the secret sharing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyholderRole {
    /// The x-coordinate of the holder's share: never zero, never another holder's, and the same
    /// for as long as the party is a keyholder.
    pub identifier: u16,
}

/// Whose logs and evidence an ombudsman may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OmbudsmanScope {
    /// Every member's.
    Coalition,
    /// That of one member.
    Member(MemberId),
}

/// A TLS certificate's key, by digest, and when peers accept it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsPin {
    /// SHA-256 of the certificate's DER SubjectPublicKeyInfo (as in RFC 7469).
    pub spki_sha256: Bytes32,
    /// First second of validity.
    pub not_before: Timestamp,
    /// First second after it.
    pub not_after: Timestamp,
}

/// An Ed25519 key that signs messages, and when peers accept it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberKey {
    /// Ed25519 public key (RFC 8032).
    pub public_key: Bytes32,
    /// First second of validity.
    pub not_before: Timestamp,
    /// First second after it.
    pub not_after: Timestamp,
}

/// A node's transparency log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Origin line of its checkpoints (C2SP tlog-checkpoint).
    pub origin: String,
    /// Verifier key (C2SP `vkey`) that signs its checkpoints.
    pub vkey: String,
}

/// How much a party may ask. Zero means not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Searching: evaluations a day at each keyholder, stated after the factor n/t that spreading
    /// over keyholders gives.
    pub evaluations_per_day: u64,
    /// Searching: subjects a day at each holder.
    pub subjects_per_day: u64,
    /// Enrolment: the size of the register, cumulative over a key epoch.
    pub enrolment_records: u64,
}

impl Member {
    /// Whether the party runs a node: it is a member, a keyholder or both.
    pub fn is_node(&self) -> bool {
        self.roles.member || self.roles.keyholder.is_some()
    }

    /// Whether the party is suspended at `now` (unix seconds).
    pub fn is_suspended(&self, now: u64) -> bool {
        self.suspended_since
            .is_some_and(|since| since.unix() <= now)
    }

    /// How errors and sentences name the party: `Poland (pl)`.
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.id)
    }
}

impl TlsPin {
    /// Whether `now` (unix seconds) is within the validity.
    pub fn is_valid(&self, now: u64) -> bool {
        Timestamp::is_within(self.not_before, self.not_after, now)
    }
}

impl MemberKey {
    /// Whether `now` (unix seconds) is within the validity.
    pub fn is_valid(&self, now: u64) -> bool {
        Timestamp::is_within(self.not_before, self.not_after, now)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
