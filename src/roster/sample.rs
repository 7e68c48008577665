//! An invented coalition for tests: every key follows from its name, so every file is the same on
//! every machine.

use super::*;
use crate::envelope::note::Algorithm;
use crate::envelope::{KeyName, Note, NoteKey, NoteSigner, SigningKey};

pub(super) const COALITION: &str = "coalition.example";

/// The time at which most tests take place.
pub(super) const NOW: &str = "2026-03-02T12:00:00Z";

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn now() -> u64 {
    time(NOW).unix()
}

pub(super) fn id(text: &str) -> MemberId {
    text.parse().unwrap()
}

pub(super) fn bytes(label: &str) -> Bytes32 {
    Bytes32::sha256(label.as_bytes())
}

pub(super) fn signing_key(label: &str) -> SigningKey {
    SigningKey::from_seed(bytes(label).as_bytes())
}

/// The holder of a root key, by the last part of its name.
pub(super) fn signer(who: &str) -> NoteSigner {
    let name = KeyName::new(format!("{COALITION}/root/{who}")).unwrap();
    NoteSigner::new(name, signing_key(&format!("root key of {who}")))
}

/// A root of the given keys, of which two have to sign.
pub(super) fn root(version: u32, who: &[&str]) -> Root {
    let keys = who.iter().map(|who| {
        let key = signer(who).note_key();
        let public_key = Bytes32::new(*key.verifying_key().as_bytes());
        RootKey {
            name: key.name().to_string(),
            public_key,
        }
    });
    Root {
        coalition: COALITION.to_owned(),
        version,
        expires: time("2027-01-01T00:00:00Z"),
        threshold: 2,
        keys: keys.collect(),
    }
}

/// A roster of three members, all keyholders, and an ombudsman.
pub(super) fn roster(version: u32, root_version: u32) -> Roster {
    Roster {
        coalition: COALITION.to_owned(),
        version,
        root_version,
        issued: time("2026-03-01T00:00:00Z"),
        expires: time("2026-06-01T00:00:00Z"),
        coalition_key: CoalitionKeys {
            current: Some(coalition_key(1, &["de", "pl", "ua"])),
            ..CoalitionKeys::default()
        },
        members: vec![
            member("de", "Germany", 1),
            ombudsman("ombud-pl", "Poland", OmbudsmanScope::Member(id("pl"))),
            member("pl", "Poland", 2),
            member("ua", "Україна", 3),
        ],
    }
}

pub(super) fn coalition_key(epoch: u64, members: &[&str]) -> CoalitionKey {
    let keyholders = members
        .iter()
        .zip(1..)
        .map(|(member, identifier)| Keyholder {
            member: id(member),
            identifier,
            verifying_share: bytes(&format!("share of {member} in epoch {epoch}")),
        });
    CoalitionKey {
        epoch,
        threshold: 2,
        public_key: bytes(&format!("coalition key of epoch {epoch}")),
        keyholders: keyholders.collect(),
        transcript_sha256: bytes(&format!("transcript of epoch {epoch}")),
    }
}

pub(super) fn member(short: &str, name: &str, identifier: u16) -> Member {
    let origin = format!("{short}.{COALITION}/log");
    let log_key = NoteKey::new(
        KeyName::new(&*origin).unwrap(),
        Algorithm::Ed25519,
        signing_key(&format!("log key of {short}")).verifying_key(),
    );
    let witness_key = NoteKey::new(
        KeyName::new(format!("{short}.{COALITION}/witness")).unwrap(),
        Algorithm::CosignatureV1,
        signing_key(&format!("witness key of {short}")).verifying_key(),
    );
    Member {
        id: id(short),
        name: name.to_owned(),
        organisation: "Ministry of Social Policy".to_owned(),
        roles: Roles {
            member: true,
            keyholder: Some(KeyholderRole { identifier }),
            ombudsman: None,
        },
        suspended_since: None,
        addresses: vec![format!("node.{short}.{COALITION}:8443").parse().unwrap()],
        tls_pins: vec![pin(short, 1)],
        signing_keys: vec![message_key(short, 1)],
        encryption_key: Some(bytes(&format!("encryption key of {short}"))),
        log: Some(Log {
            origin,
            vkey: log_key.to_string(),
        }),
        witness_vkey: Some(witness_key.to_string()),
        purposes: vec![Purpose::FamilyTracing, Purpose::Reunification],
        quotas: Quotas {
            evaluations_per_day: 5_000,
            subjects_per_day: 2_000,
            enrolment_records: 20_000,
        },
        index_cap: 50_000,
    }
}

pub(super) fn ombudsman(short: &str, name: &str, scope: OmbudsmanScope) -> Member {
    Member {
        id: id(short),
        name: name.to_owned(),
        organisation: "Ombudsman for Children".to_owned(),
        roles: Roles {
            ombudsman: Some(scope),
            ..Roles::default()
        },
        suspended_since: None,
        addresses: vec![],
        tls_pins: vec![pin(short, 1)],
        signing_keys: vec![message_key(short, 1)],
        encryption_key: None,
        log: None,
        witness_vkey: None,
        purposes: vec![Purpose::Audit],
        quotas: Quotas::default(),
        index_cap: 0,
    }
}

/// The pin of a certificate with the Ed25519 key that follows from a label, so that a test over TLS
/// can be any party of the invented coalition.
pub(super) fn tls_pin(label: &str) -> Bytes32 {
    // RFC 8410: SubjectPublicKeyInfo of an Ed25519 key.
    const PREFIX: [u8; 12] = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let key = signing_key(label).verifying_key();
    Bytes32::sha256(&[&PREFIX[..], key.as_bytes()].concat())
}

pub(super) fn pin(short: &str, number: u32) -> TlsPin {
    TlsPin {
        spki_sha256: tls_pin(&format!("TLS key {number} of {short}")),
        not_before: time("2026-01-01T00:00:00Z"),
        not_after: time("2027-01-01T00:00:00Z"),
    }
}

pub(super) fn message_key(short: &str, number: u32) -> MemberKey {
    let key = signing_key(&format!("signing key {number} of {short}")).verifying_key();
    MemberKey {
        public_key: Bytes32::new(*key.as_bytes()),
        not_before: time("2026-01-01T00:00:00Z"),
        not_after: time("2027-01-01T00:00:00Z"),
    }
}

/// Signs any text, valid or not, which `add_signature` would refuse to.
pub(super) fn sign(text: &str, who: &[&str]) -> Vec<u8> {
    let signers: Vec<_> = who.iter().map(|who| signer(who)).collect();
    let signers: Vec<_> = signers.iter().collect();
    Note::sign(text, &signers).unwrap().to_string().into_bytes()
}

pub(super) fn signed_root(root: &Root, who: &[&str]) -> Vec<u8> {
    sign(&root.render_for_signing().unwrap(), who)
}

pub(super) fn signed_roster(roster: &Roster, who: &[&str]) -> Vec<u8> {
    sign(&roster.render_for_signing().unwrap(), who)
}

/// A store that trusts root 1 of keys a, b and c, and roster 5.
pub(super) fn store() -> TrustStore {
    let mut store = TrustStore::new(&signed_root(&root(1, &["a", "b", "c"]), &["a", "b"])).unwrap();
    let note = signed_roster(&roster(5, 1), &["a", "b"]);
    assert_eq!(store.update_roster(&note, now()), Ok(Update::Updated));
    store
}
