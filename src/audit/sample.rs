//! A small coalition for tests, and one sound exchange in it: every test spoils one thing.

use std::sync::Arc;

use prost::Message as _;

use super::behind;
use super::entry::Entry;
use super::finding::{Fault, Place};
use super::rosters::Rosters;
use super::verify::Verification;
use crate::ambient::{Ambient, ManualClock, SystemRandomness};
use crate::envelope::merkle::{Hash, leaf_hash, root_of};
use crate::envelope::{Envelope, KeyName, Note, NoteSigner, SigningKey, items};
use crate::exchange::leaf::Leaf;
use crate::exchange::message::{
    AnswerPayload, Outgoing, Payload, Signer, sign_query_as, timestamp,
};
use crate::proto::exchange as pb;
use crate::roster::{
    Bytes32, CoalitionKeys, Log, Member, MemberId, MemberKey, OmbudsmanScope, Purpose, Quotas,
    Roles, Root, RootKey, Roster, Timestamp, TlsPin, TrustedRoot, TrustedRoster,
};
use crate::tlog::{Checkpoint, SignedCheckpoint};

/// When everything happens, in milliseconds since 1970.
pub(super) const NOW_MS: u64 = 1_790_000_000_000;

/// Index of the exchange's leaf in the holder's log, and the size of its tree.
pub(super) const LEAF: u64 = 3;
pub(super) const SIZE: u64 = 5;

pub(super) const RECORD: [u8; 16] = [9; 16];
pub(super) const LEAD: [u8; 16] = [5; 16];

/// Two members and an ombudsman.
pub(super) struct Sample {
    pub(super) root: TrustedRoot,
    pub(super) roster: TrustedRoster,
    pub(super) ambient: Ambient,
}

pub(super) fn key(label: &str) -> SigningKey {
    SigningKey::from_seed(Bytes32::sha256(label.as_bytes()).as_bytes())
}

pub(super) fn id(text: &str) -> MemberId {
    text.parse().unwrap()
}

fn log_signer(member: &str) -> NoteSigner {
    let name = KeyName::new(format!("{member}.example/log")).unwrap();
    NoteSigner::new(name, key(&format!("log of {member}")))
}

fn party(member: &str) -> Member {
    let now = NOW_MS / 1000;
    let (not_before, not_after) = (
        Timestamp::from_unix(now - 86_400),
        Timestamp::from_unix(now + 86_400),
    );
    let node = member != "ombud";
    let log = log_signer(member).note_key();
    Member {
        id: id(member),
        name: member.to_uppercase(),
        organisation: "Test".to_owned(),
        roles: Roles {
            member: node,
            ombudsman: (!node).then_some(OmbudsmanScope::Coalition),
            ..Roles::default()
        },
        suspended_since: None,
        addresses: node
            .then(|| format!("{member}.example:443").parse().unwrap())
            .into_iter()
            .collect(),
        tls_pins: vec![TlsPin {
            spki_sha256: Bytes32::sha256(member.as_bytes()),
            not_before,
            not_after,
        }],
        signing_keys: vec![MemberKey {
            public_key: Bytes32::new(*key(member).verifying_key().as_bytes()),
            not_before,
            not_after,
        }],
        encryption_key: node.then(|| Bytes32::sha256(format!("box of {member}").as_bytes())),
        log: node.then(|| Log {
            origin: log.name().to_string(),
            vkey: log.to_string(),
        }),
        witness_vkey: None,
        purposes: vec![if node {
            Purpose::FamilyTracing
        } else {
            Purpose::Audit
        }],
        quotas: if node {
            Quotas {
                evaluations_per_day: 10,
                subjects_per_day: 10,
                enrolment_records: 10,
            }
        } else {
            Quotas::default()
        },
        index_cap: if node { 10 } else { 0 },
    }
}

impl Sample {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With a change to the roster before it is signed.
    pub(super) fn with(change: impl FnOnce(&mut Roster)) -> Self {
        let now = NOW_MS / 1000;
        let roots: Vec<NoteSigner> = ["r1.example", "r2.example"]
            .map(|name| NoteSigner::new(KeyName::new(name).unwrap(), key(name)))
            .into();
        let sign = |text: String| {
            let signers: Vec<&NoteSigner> = roots.iter().collect();
            Note::sign(text, &signers).unwrap().to_string().into_bytes()
        };
        let root = Root {
            coalition: "coalition.example".to_owned(),
            version: 1,
            expires: Timestamp::from_unix(now + 86_400 * 300),
            threshold: 2,
            keys: roots
                .iter()
                .map(|signer| RootKey {
                    name: signer.note_key().name().to_string(),
                    public_key: Bytes32::new(*signer.note_key().verifying_key().as_bytes()),
                })
                .collect(),
        };
        let mut roster = Roster {
            coalition: "coalition.example".to_owned(),
            version: 1,
            root_version: 1,
            issued: Timestamp::from_unix(now - 3600),
            expires: Timestamp::from_unix(now + 86_400 * 30),
            coalition_key: CoalitionKeys::default(),
            members: ["ombud", "pl", "ua"].map(party).into(),
        };
        change(&mut roster);
        let root = TrustedRoot::pin(&sign(root.render_for_signing().unwrap())).unwrap();
        let roster = sign(roster.render_for_signing().unwrap());
        Self {
            roster: TrustedRoster::verify(&root, &roster).unwrap(),
            root,
            ambient: Ambient::new(ManualClock::at_ms(NOW_MS), SystemRandomness),
        }
    }

    pub(super) fn rosters(&self) -> Rosters {
        Rosters::new(
            vec![self.root.clone()],
            Arc::new(self.roster.clone()),
            Vec::new(),
        )
    }

    pub(super) fn member(&self, member: &str) -> &Member {
        self.roster.member(member).unwrap()
    }

    /// A leaf of Poland's log, to be held against what stands behind it.
    pub(super) fn leaf<'a>(
        &'a self,
        rosters: &'a Rosters,
        index: u64,
        entry: &'a Entry,
    ) -> behind::Leaf<'a> {
        behind::Leaf {
            rosters,
            in_force: None,
            owner: self.member("pl"),
            index,
            entry,
        }
    }

    /// A query of `from` to `to`, signed with the key of `signer`.
    pub(super) fn query<P: Payload>(
        &self,
        from: &str,
        to: &str,
        signer: &str,
        payload: P,
        bodies: &[&[u8]],
    ) -> Outgoing {
        let signer = Signer {
            id: &id(from),
            key: &key(signer),
            ambient: &self.ambient,
        };
        sign_query_as(signer, &self.roster, self.member(to), payload, bodies).unwrap()
    }

    /// The answer of `from` to a query, with its items and their root.
    pub(super) fn answer<P: AnswerPayload>(
        &self,
        from: &str,
        to: &str,
        query: &Outgoing,
        mut payload: P,
        bodies: &[&[u8]],
        receipt: pb::Receipt,
    ) -> (pb::SignedMessage, Hash) {
        let salted: Vec<Vec<u8>> = bodies
            .iter()
            .map(|body| items::salted_item(self.ambient.random(), body))
            .collect();
        let root = items::items_root(&salted);
        payload.set_header(pb::Header {
            message_id: query.message_id.to_vec(),
            issuer: from.to_owned(),
            audience: to.to_owned(),
            issued_at: Some(timestamp(NOW_MS)),
            expires_at: Some(timestamp(NOW_MS + 300_000)),
            roster_version: 1,
            roster_digest: self.roster.digest().as_bytes().to_vec(),
            in_reply_to: query.digest.to_vec(),
            items_root: root.to_vec(),
            item_count: bodies.len() as u32,
            roster_root_version: 1,
        });
        payload.set_receipt(receipt);
        let signing_key = key(from);
        let envelope = Envelope::sign(P::TYPE, payload.encode_to_vec(), &signing_key).unwrap();
        let parts = envelope.unverified_parts();
        let message = pb::SignedMessage {
            envelope: Some(pb::Envelope {
                payload_type: parts.payload_type.to_owned(),
                payload: parts.payload.to_vec(),
                signatures: parts
                    .signatures
                    .iter()
                    .map(|signature| pb::Signature {
                        key_id: signature.key_id.as_bytes().to_vec(),
                        sig: signature.sig.to_vec(),
                    })
                    .collect(),
            }),
            items: salted
                .into_iter()
                .map(|item| pb::Item {
                    form: Some(pb::item::Form::Full(item)),
                })
                .collect(),
            seen_checkpoints: Vec::new(),
        };
        (message, root)
    }
}

/// A receipt under the log of `member`.
pub(super) fn receipt(member: &str, leaf_index: u64, size: u64) -> pb::Receipt {
    pb::Receipt {
        leaf_hash: vec![7; 32],
        leaf_index,
        checkpoint: checkpoint(member, &numbered(size)).to_string(),
    }
}

fn numbered(size: u64) -> Vec<Hash> {
    (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// A checkpoint of another history of as many leaves.
pub(super) fn other_checkpoint(member: &str, size: u64) -> String {
    let mut hashes = numbered(size);
    hashes.reverse();
    checkpoint(member, &hashes).to_string()
}

fn checkpoint(member: &str, hashes: &[Hash]) -> SignedCheckpoint {
    let signer = log_signer(member);
    let origin = signer.note_key().name().clone();
    Checkpoint::new(origin, hashes.len() as u64, root_of(hashes.iter().copied()))
        .unwrap()
        .sign(&signer)
        .unwrap()
}

/// A log of these entries that was read whole, and whose root holds.
pub(super) fn log(sample: &Sample, member: &str, entries: Vec<Entry>) -> Verification {
    let hashes = numbered(entries.len() as u64);
    let key = log_signer(member).note_key();
    let checkpoint = checkpoint(member, &hashes).verify(&[key]).unwrap();
    let entries = entries.into_iter().map(Some).collect();
    Verification::of_leaves(sample.member(member), entries, hashes, Some(checkpoint))
}

/// A lookup of one subject by Ukraine at Poland that found one record, as Poland's log has it.
pub(super) struct Lookup {
    pub(super) entry: pb::LogEntry,
    pub(super) reply: pb::ReadEvidenceResponse,
}

pub(super) fn lookup_query() -> pb::LookupQuery {
    pb::LookupQuery {
        purpose: pb::Purpose::FamilyTracing.into(),
        legal_basis: pb::LegalBasis::Consent.into(),
        case_reference: "CASE-1".to_owned(),
        ..pb::LookupQuery::default()
    }
}

pub(super) fn lookup_result() -> pb::LookupResult {
    pb::LookupResult {
        grade: pb::Grade::Match.into(),
        leads: vec![pb::Lead {
            lead_id: LEAD.to_vec(),
            grade: pb::Grade::Match.into(),
        }],
        more_attributes: pb::AttributeClass::None.into(),
    }
}

pub(super) fn outcome() -> pb::Outcome {
    pb::Outcome {
        subjects: vec![pb::SubjectOutcome {
            subject_index: 0,
            subject: RECORD.to_vec(),
            rules: vec![1],
            grade: pb::Grade::Match as u32,
            lead_id: LEAD.to_vec(),
            frozen: false,
        }],
    }
}

impl Lookup {
    pub(super) fn sound(sample: &Sample) -> Self {
        let query = sample.query("ua", "pl", "ua", lookup_query(), &[b"tokens"]);
        Self::answering(sample, &query, &outcome())
    }

    pub(super) fn answering(sample: &Sample, query: &Outgoing, outcome: &pb::Outcome) -> Self {
        let (answer, root) = sample.answer(
            "pl",
            "ua",
            query,
            pb::LookupAnswer::default(),
            &[&lookup_result().encode_to_vec()],
            receipt("pl", LEAF, SIZE),
        );
        let (leaf, opening) = Leaf::new(pb::Act::LookupAnswered, &sample.ambient, outcome)
            .set(|entry| {
                entry.peer = "ua".to_owned();
                entry.message_id = query.message_id.to_vec();
                entry.query_digest = query.digest.to_vec();
                entry.answer_digest = root.to_vec();
                entry.purpose = pb::Purpose::FamilyTracing.into();
                entry.legal_basis = pb::LegalBasis::Consent.into();
                entry.count = 1;
            })
            .finish();
        Self {
            entry: pb::LogEntry::decode(leaf.as_slice()).unwrap(),
            reply: pb::ReadEvidenceResponse {
                leaf_index: LEAF,
                query: Some(query.message.clone()),
                answer: Some(answer),
                opening,
                ..pb::ReadEvidenceResponse::default()
            },
        }
    }

    pub(super) fn entry(&self) -> Entry {
        Entry::parse(&self.entry.encode_to_vec()).unwrap()
    }

    /// What Poland's log is found to hold.
    pub(super) fn check(self, sample: &Sample) -> Vec<(Place, Fault)> {
        self.judge(sample).1
    }

    /// What Poland's log says there, and is found to hold.
    pub(super) fn judge(self, sample: &Sample) -> (behind::Insight, Vec<(Place, Fault)>) {
        let (entry, rosters) = (self.entry(), sample.rosters());
        behind::check(&sample.leaf(&rosters, LEAF, &entry), self.reply)
    }
}

/// An entry with nothing but its act, its peer and the digest of its query.
pub(super) fn entry(act: pb::Act, peer: &str, digest: u8) -> Entry {
    Entry {
        time_ms: NOW_MS,
        act,
        peer: (!peer.is_empty()).then(|| id(peer)),
        message_id: Some([digest; 16]),
        query_digest: Some([digest; 32]),
        answer_digest: None,
        purpose: None,
        legal_basis: None,
        count: 1,
        commitment: None,
        subject: None,
        reference: "".into(),
        operator: None,
    }
}
