//! The gate: what a running node says to every message that it must not answer.
//!
//! Each refusal is asked for over real TLS. After each the node has written one line to its log,
//! without a word of what was asked; has a leaf that says so, where the signature held; and answers
//! a good query as before.

use std::collections::BTreeMap;

use prost::Message as _;
use tonic::Code;
use tonic::transport::Channel;
use tracing::subscriber::DefaultGuard;
use wayhome::ambient::ManualClock;
use wayhome::exchange::Peers as _;
use wayhome::exchange::message::{
    CLOCK_SKEW_MS, LIFETIME_MS, MAX_LIFETIME_MS, Payload as _, timestamp,
};
use wayhome::node::{Directory, Identity, PinnedPeers};
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::{Act, LogEntry};
use wayhome::roster::Timestamp;

use crate::coalition::{Coalition, MEMBERS, OMBUDSMAN};
use crate::forge::{
    Draft, Logs, START_MS, Sent, disclosure, evaluation, full, lookup, refusal, send_raw,
    sign_bytes, standing_clock, stranger,
};

const LOOKUP: &str = "/wayhome.exchange.v1.LookupService/Lookup";
const DISCLOSE: &str = "/wayhome.exchange.v1.DisclosureService/RequestDisclosure";

/// The node that is knocked at.
const HOLDER: &str = "pl";

/// A coalition by a standing clock, with its log captured and a channel for each party.
struct Scene {
    coalition: Coalition,
    clock: ManualClock,
    channels: BTreeMap<&'static str, Channel>,
    logs: Logs,
    _capture: DefaultGuard,
}

/// Whether the node could tell who was refused.
#[derive(Clone, Copy, PartialEq)]
enum Signature {
    /// It held, so the refusal has a leaf.
    Held,
    /// It did not: anyone could have sent the message in another's name.
    Failed,
}
use Signature::{Failed, Held};

impl Scene {
    async fn set() -> Self {
        let (logs, capture) = Logs::capture();
        let (clock, ambient) = standing_clock();
        let coalition = Coalition::start_at(ambient, |_| {}).await;
        let mut channels = BTreeMap::new();
        for party in MEMBERS.into_iter().chain([OMBUDSMAN]) {
            if party != HOLDER {
                channels.insert(party, coalition.channel(party, HOLDER).await);
            }
        }
        Self {
            coalition,
            clock,
            channels,
            logs,
            _capture: capture,
        }
    }

    /// A lookup by `ua` without fault.
    fn lookup(&self) -> Draft<pb::LookupQuery> {
        lookup(&self.coalition, "ua", HOLDER, 1)
    }

    /// Sends what must be refused, over the connection of `from`, and checks all that goes with it.
    async fn refuses<P: Sent>(
        &self,
        what: &str,
        from: &str,
        message: pb::SignedMessage,
        (status, code): (Code, &str),
        signature: Signature,
    ) {
        let before = self.coalition.log_size(HOLDER).await;
        let kept = Secrets::of::<P>(&message);
        self.logs.take();
        let refused = P::send(self.channels[from].clone(), message)
            .await
            .err()
            .unwrap_or_else(|| panic!("{what}: it was answered"));
        assert_eq!(refusal(&refused), (status, code.to_owned()), "{what}");
        kept.are_not_in(what, refused.message());
        let lines = self.logs.take();
        assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
        assert!(lines[0].contains(code), "{what}: {}", lines[0]);
        kept.are_not_in(what, &lines[0]);

        self.answers_well().await;
        let leaves = self.coalition.leaves(HOLDER, before).await;
        let acts: Vec<(&str, &str, &str)> = leaves.iter().map(told).collect();
        let good = ("ACT_LOOKUP_ANSWERED", "ua", "");
        match signature {
            Held => assert_eq!(acts, [("ACT_QUERY_REFUSED", from, code), good], "{what}"),
            Failed => assert_eq!(acts, [good], "{what}"),
        }
    }

    async fn answers_well(&self) {
        let good = self.lookup().sign();
        pb::LookupQuery::send(self.channels["ua"].clone(), good)
            .await
            .unwrap();
    }
}

/// What a leaf tells: act, peer and reference.
fn told(leaf: &LogEntry) -> (&str, &str, &str) {
    (leaf.act().as_str_name(), &leaf.peer, &leaf.reference)
}

/// What a message holds that is nobody's business: no status and no log line may repeat it.
struct Secrets(Vec<String>);

impl Secrets {
    fn of<P: Sent>(message: &pb::SignedMessage) -> Self {
        let mut secrets = vec!["CASE-1".to_owned(), "The family asks".to_owned()];
        for item in &message.items {
            if let Some(pb::item::Form::Full(bytes)) = &item.form
                && bytes.len() >= 24
            {
                secrets.push(hex::encode(&bytes[16..24]));
            }
        }
        Self(secrets)
    }

    fn are_not_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret), "{what}: {secret} is in {text:?}");
        }
    }
}

#[tokio::test]
async fn a_message_must_be_signed_by_the_party_that_sends_it() {
    let scene = Scene::set().await;
    let bad_signature = (Code::Unauthenticated, "BAD_SIGNATURE");
    let malformed = (Code::InvalidArgument, "MALFORMED");

    let by_another = scene.lookup().signed_by(&scene.coalition, "de").sign();
    scene
        .refuses::<pb::LookupQuery>(
            "signed by de, sent by ua",
            "ua",
            by_another,
            bad_signature,
            Failed,
        )
        .await;
    let whole = lookup(&scene.coalition, "de", HOLDER, 1).sign();
    scene
        .refuses::<pb::LookupQuery>(
            "de's own message, sent by ua",
            "ua",
            whole,
            bad_signature,
            Failed,
        )
        .await;
    let stranger = Draft::signed_by(scene.lookup(), &scene.coalition, OMBUDSMAN).sign();
    scene
        .refuses::<pb::LookupQuery>(
            "signed by the ombudsman",
            "ua",
            stranger,
            bad_signature,
            Failed,
        )
        .await;
    let in_its_name = scene
        .lookup()
        .header(|header| header.issuer = "de".to_owned());
    scene
        .refuses::<pb::LookupQuery>(
            "ua signs in the name of de",
            "ua",
            in_its_name.sign(),
            (Code::Unauthenticated, "PARTY_MISMATCH"),
            Held,
        )
        .await;

    let mut unsigned = scene.lookup().sign();
    unsigned.envelope.as_mut().unwrap().signatures.clear();
    scene
        .refuses::<pb::LookupQuery>("unsigned", "ua", unsigned, malformed, Failed)
        .await;
    let mut forged = scene.lookup().sign();
    // A key id that the roster gives to ua, over nothing that ua signed.
    forged.envelope.as_mut().unwrap().signatures[0].sig = vec![7; 64];
    scene
        .refuses::<pb::LookupQuery>("a forged signature", "ua", forged, bad_signature, Failed)
        .await;
    let mut many = scene.lookup().sign();
    let one = many.envelope.as_ref().unwrap().signatures[0].clone();
    many.envelope.as_mut().unwrap().signatures = vec![one; 17];
    scene
        .refuses::<pb::LookupQuery>("seventeen signatures", "ua", many, malformed, Failed)
        .await;
    for (what, change) in [
        (
            "a short signature",
            (|signature| signature.sig.truncate(63)) as fn(&mut pb::Signature),
        ),
        ("a short key id", |signature| signature.key_id.truncate(31)),
    ] {
        let mut short = scene.lookup().sign();
        change(&mut short.envelope.as_mut().unwrap().signatures[0]);
        scene
            .refuses::<pb::LookupQuery>(what, "ua", short, malformed, Failed)
            .await;
    }

    let other_type = scene.lookup().of_type(pb::DisclosureQuery::TYPE).sign();
    scene
        .refuses::<pb::LookupQuery>("another type", "ua", other_type, bad_signature, Failed)
        .await;
    let other_call = disclosure(&scene.coalition, "ua", HOLDER, &[1; 16], &["status"]).sign();
    scene
        .refuses::<pb::LookupQuery>(
            "another call's message",
            "ua",
            other_call,
            bad_signature,
            Failed,
        )
        .await;
    let no_type = scene.lookup().of_type("").sign();
    scene
        .refuses::<pb::LookupQuery>("no type", "ua", no_type, malformed, Failed)
        .await;
}

#[tokio::test]
async fn a_payload_is_read_only_after_its_signature_held() {
    let scene = Scene::set().await;
    let malformed = (Code::InvalidArgument, "MALFORMED");
    let key = scene.coalition.identity("ua").signing.clone();
    let signed = |payload: Vec<u8>| sign_bytes(pb::LookupQuery::TYPE, payload, &key, Vec::new());

    scene
        .refuses::<pb::LookupQuery>(
            "an empty payload",
            "ua",
            signed(Vec::new()),
            malformed,
            Held,
        )
        .await;
    scene
        .refuses::<pb::LookupQuery>(
            "noise for a payload",
            "ua",
            signed(vec![0xff; 40]),
            malformed,
            Held,
        )
        .await;
    let headless = pb::LookupQuery::default().encode_to_vec();
    scene
        .refuses::<pb::LookupQuery>(
            "a payload without a header",
            "ua",
            signed(headless),
            malformed,
            Held,
        )
        .await;
    let good = scene.lookup().sign();
    let mut cut = good.envelope.clone().unwrap().payload;
    cut.truncate(cut.len() - 3);
    scene
        .refuses::<pb::LookupQuery>("a payload cut short", "ua", signed(cut), malformed, Held)
        .await;
    let empty = pb::SignedMessage::default();
    scene
        .refuses::<pb::LookupQuery>("no envelope", "ua", empty, malformed, Failed)
        .await;
    let large = signed(vec![0; 8 * 1024 + 1]);
    scene
        .refuses::<pb::LookupQuery>("a payload above 8 KiB", "ua", large, malformed, Held)
        .await;
    let mut unknown = good.envelope.clone().unwrap().payload;
    // Field 100, a varint: no message of this protocol has it.
    unknown.extend_from_slice(&[0xa0, 0x06, 0x01]);
    scene
        .refuses::<pb::LookupQuery>("an unknown field", "ua", signed(unknown), malformed, Held)
        .await;
}

#[tokio::test]
async fn what_a_header_says_is_held_against_clock_roster_and_addressee() {
    let scene = Scene::set().await;
    let at = |ms: u64| Some(timestamp(ms));
    type Change = Box<dyn FnOnce(&mut pb::Header)>;
    let cases: Vec<(&str, (Code, &str), Change)> = vec![
        (
            "for another member",
            (Code::FailedPrecondition, "WRONG_AUDIENCE"),
            Box::new(|header| header.audience = "de".to_owned()),
        ),
        (
            "for nobody",
            (Code::FailedPrecondition, "WRONG_AUDIENCE"),
            Box::new(|header| header.audience.clear()),
        ),
        (
            "expired this very moment",
            (Code::FailedPrecondition, "MESSAGE_EXPIRED"),
            Box::new(move |header| {
                header.issued_at = at(START_MS - LIFETIME_MS);
                header.expires_at = at(START_MS);
            }),
        ),
        (
            "issued past the skew",
            (Code::FailedPrecondition, "MESSAGE_NOT_YET_VALID"),
            Box::new(move |header| header.issued_at = at(START_MS + CLOCK_SKEW_MS + 1)),
        ),
        (
            "valid for too long",
            (Code::InvalidArgument, "LIFETIME_TOO_LONG"),
            Box::new(move |header| header.expires_at = at(START_MS + MAX_LIFETIME_MS + 1)),
        ),
        (
            "valid for ever, issued long ago",
            (Code::InvalidArgument, "LIFETIME_TOO_LONG"),
            Box::new(move |header| {
                header.issued_at = at(0);
                header.expires_at = at(253_402_300_799_000);
            }),
        ),
        (
            "without a time of issue",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.issued_at = None),
        ),
        (
            "without an expiry",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.expires_at = None),
        ),
        (
            "before 1970",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.issued_at.as_mut().unwrap().seconds = -1),
        ),
        (
            "after the calendar's end",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.expires_at.as_mut().unwrap().seconds = i64::MAX),
        ),
        (
            "with negative nanoseconds",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.issued_at.as_mut().unwrap().nanos = -1),
        ),
        (
            "under another roster of the same version",
            (Code::FailedPrecondition, "ROSTER_SPLIT"),
            Box::new(|header| header.roster_digest = vec![9; 32]),
        ),
        (
            "with a short message id",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.message_id.truncate(15)),
        ),
        (
            "without a message id",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.message_id.clear()),
        ),
        (
            "with a short items root",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.items_root.truncate(31)),
        ),
        (
            "with another count of items",
            (Code::InvalidArgument, "MALFORMED"),
            Box::new(|header| header.item_count = 2),
        ),
    ];
    for (what, expected, change) in cases {
        let message = scene.lookup().header(change).sign();
        scene
            .refuses::<pb::LookupQuery>(what, "ua", message, expected, Held)
            .await;
    }

    // The bounds themselves are good.
    for change in [
        Box::new(move |header: &mut pb::Header| {
            header.issued_at = at(START_MS + CLOCK_SKEW_MS);
            header.expires_at = at(START_MS + CLOCK_SKEW_MS + MAX_LIFETIME_MS);
        }) as Box<dyn FnOnce(&mut pb::Header)>,
        Box::new(move |header| header.expires_at = at(START_MS + 1)),
        // Made under the roster before this one: peers do not change rosters in one moment.
        Box::new(|header| {
            header.roster_version = 0;
            header.roster_digest = vec![9; 32];
        }),
        // Of the same version under other root keys, where versions begin anew.
        Box::new(|header| {
            header.roster_root_version += 1;
            header.roster_digest = vec![9; 32];
        }),
    ] {
        let message = scene.lookup().header(change).sign();
        pb::LookupQuery::send(scene.channels["ua"].clone(), message)
            .await
            .unwrap();
    }
    // A message that was good goes bad as time passes.
    let message = scene.lookup().sign();
    scene.clock.advance_ms(LIFETIME_MS);
    scene
        .refuses::<pb::LookupQuery>(
            "expired on its way",
            "ua",
            message,
            (Code::FailedPrecondition, "MESSAGE_EXPIRED"),
            Held,
        )
        .await;
}

#[tokio::test]
async fn items_are_those_that_were_signed() {
    let scene = Scene::set().await;
    let malformed = (Code::InvalidArgument, "MALFORMED");
    let two = || lookup(&scene.coalition, "ua", HOLDER, 2);
    let another = |scene: &Scene| {
        let mut salted = vec![1; 16];
        salted.extend(stranger(&scene.coalition.ambient).encode_to_vec());
        full(salted)
    };
    let cases: Vec<(&str, Draft<pb::LookupQuery>)> = vec![
        ("one missing", two().items(|items| items.truncate(1))),
        ("all missing", two().items(Vec::clear)),
        (
            "one too many",
            two().items(|items| items.push(another(&scene))),
        ),
        (
            "one twice",
            two().items(|items| items[1] = items[0].clone()),
        ),
        ("in another order", two().items(|items| items.swap(0, 1))),
        (
            "one exchanged",
            two().items(|items| items[0] = another(&scene)),
        ),
        (
            "one empty",
            two().items(|items| items[0] = full(Vec::new())),
        ),
        (
            "one without a form",
            two().items(|items| items[0].form = None),
        ),
        (
            "one with another salt",
            two().items(|items| {
                if let Some(pb::item::Form::Full(bytes)) = &mut items[0].form {
                    bytes[0] ^= 1;
                }
            }),
        ),
        (
            "an erased one of 31 octets",
            two().items(|items| items[0].form = Some(pb::item::Form::Erased(vec![0; 31]))),
        ),
        // The root still holds: but a query with a hole in it is no query.
        (
            "one erased",
            two().items(|items| {
                let Some(pb::item::Form::Full(bytes)) = &items[0].form else {
                    unreachable!()
                };
                let hash = wayhome::envelope::merkle::leaf_hash(bytes);
                items[0].form = Some(pb::item::Form::Erased(hash.to_vec()));
            }),
        ),
    ];
    for (what, draft) in cases {
        // Parts that have no form are found before any signature is looked at.
        let shapeless = matches!(what, "one without a form" | "an erased one of 31 octets");
        let signature = if shapeless { Failed } else { Held };
        scene
            .refuses::<pb::LookupQuery>(what, "ua", draft.sign(), malformed, signature)
            .await;
    }
}

#[tokio::test]
async fn a_lookup_asks_what_it_may_in_the_form_that_is_fixed() {
    let scene = Scene::set().await;
    let malformed = (Code::InvalidArgument, "MALFORMED");
    type Change = fn(&mut pb::LookupQuery);
    let cases: [(&str, (Code, &str), Change); 9] = [
        (
            "a purpose that the roster does not give",
            (Code::PermissionDenied, "PURPOSE_NOT_PERMITTED"),
            |query| query.set_purpose(pb::Purpose::IdentityVerification),
        ),
        (
            "an ombudsman's purpose",
            (Code::PermissionDenied, "PURPOSE_NOT_PERMITTED"),
            |query| query.set_purpose(pb::Purpose::Audit),
        ),
        ("no purpose", malformed, |query| query.purpose = 0),
        ("an unknown purpose", malformed, |query| query.purpose = 99),
        ("no legal basis", malformed, |query| query.legal_basis = 0),
        ("an unknown legal basis", malformed, |query| {
            query.legal_basis = -1
        }),
        ("a case reference that is a sentence", malformed, |query| {
            query.case_reference = "the boy with the red scarf".to_owned();
        }),
        (
            "another epoch",
            (Code::FailedPrecondition, "WRONG_EPOCH"),
            |query| query.epoch = 2,
        ),
        (
            "another rule table",
            (Code::FailedPrecondition, "WRONG_RULES"),
            |query| {
                query.rules_digest = vec![3; 32];
            },
        ),
    ];
    for (what, expected, change) in cases {
        let message = scene.lookup().payload(change).sign();
        scene
            .refuses::<pb::LookupQuery>(what, "ua", message, expected, Held)
            .await;
    }
    for subjects in [0, 1_001] {
        let message = lookup(&scene.coalition, "ua", HOLDER, subjects).sign();
        scene
            .refuses::<pb::LookupQuery>(
                &format!("{subjects} subjects"),
                "ua",
                message,
                malformed,
                Held,
            )
            .await;
    }

    let with = |change: fn(&mut pb::LookupSubject)| {
        let mut subject = stranger(&scene.coalition.ambient);
        change(&mut subject);
        let payload = scene.lookup().clone();
        rebuilt(&scene.coalition, payload, &[subject.encode_to_vec()])
    };
    type Shape = fn(&mut pb::LookupSubject);
    let shapes: [(&str, Shape); 6] = [
        ("a slot too few", |subject| {
            subject.tokens.truncate(subject.tokens.len() - 16)
        }),
        ("a slot too many", |subject| subject.tokens.extend([0; 16])),
        ("half a slot", |subject| {
            subject.tokens.truncate(subject.tokens.len() - 8)
        }),
        ("no slot", |subject| subject.tokens.clear()),
        ("a sibling slot too many", |subject| {
            subject.sibling_tokens.extend([0; 16])
        }),
        ("presence bits that do not exist", |subject| {
            subject.presence = 1 << 16
        }),
    ];
    for (what, change) in shapes {
        scene
            .refuses::<pb::LookupQuery>(what, "ua", with(change).sign(), malformed, Held)
            .await;
    }
    let noise = rebuilt(&scene.coalition, scene.lookup(), &[vec![0xff; 30]]);
    scene
        .refuses::<pb::LookupQuery>("noise for a subject", "ua", noise.sign(), malformed, Held)
        .await;

    // An ombudsman holds no register and looks nobody up.
    let message = lookup(&scene.coalition, OMBUDSMAN, HOLDER, 1).sign();
    let role_missing = (Code::PermissionDenied, "ROLE_MISSING");
    scene
        .refuses::<pb::LookupQuery>(
            "an ombudsman's lookup",
            OMBUDSMAN,
            message,
            role_missing,
            Held,
        )
        .await;
}

/// The same query over other items.
fn rebuilt(
    coalition: &Coalition,
    draft: Draft<pb::LookupQuery>,
    bodies: &[Vec<u8>],
) -> Draft<pb::LookupQuery> {
    let mut payload = None;
    let _ = draft.payload(|query| payload = Some(query.clone()));
    Draft::new(coalition, "ua", HOLDER, payload.unwrap(), bodies)
}

#[tokio::test]
async fn a_keyholder_evaluates_whole_batches_of_its_own_subset() {
    let scene = Scene::set().await;
    let good = |count| evaluation(&scene.coalition, "ua", HOLDER, count);
    let bad_batch = (Code::InvalidArgument, "BAD_BATCH");
    type Change = fn(&mut pb::EvaluationQuery);
    let cases: [(&str, (Code, &str), Change); 9] = [
        (
            "another epoch",
            (Code::FailedPrecondition, "WRONG_EPOCH"),
            |query| query.epoch = 2,
        ),
        (
            "epoch 0",
            (Code::FailedPrecondition, "WRONG_EPOCH"),
            |query| query.epoch = 0,
        ),
        ("too few keyholders", bad_batch, |query| {
            query.keyholders = vec![2]
        }),
        ("too many keyholders", bad_batch, |query| {
            query.keyholders = vec![1, 2, 3]
        }),
        ("one keyholder twice", bad_batch, |query| {
            query.keyholders = vec![2, 2]
        }),
        ("a keyholder that is none", bad_batch, |query| {
            query.keyholders = vec![2, 9]
        }),
        ("a keyholder past all numbers", bad_batch, |query| {
            query.keyholders = vec![2, 70_000]
        }),
        ("a subset of others", bad_batch, |query| {
            query.keyholders = vec![1, 3]
        }),
        ("another count", bad_batch, |query| query.element_count = 4),
    ];
    for (what, expected, change) in cases {
        let message = good(3).payload(change).sign();
        scene
            .refuses::<pb::EvaluationQuery>(what, "ua", message, expected, Held)
            .await;
    }
    let of = |elements: Vec<u8>| {
        let payload = pb::EvaluationQuery {
            epoch: 1,
            keyholders: vec![1, 2],
            element_count: (elements.len() / 32) as u32,
            ..pb::EvaluationQuery::default()
        };
        Draft::new(&scene.coalition, "ua", HOLDER, payload, &[elements])
    };
    let one = crate::forge::blinded(&scene.coalition.ambient, 1);
    let cases = [
        ("no element", Vec::new()),
        ("the identity", vec![0; 32]),
        ("no point of the group", vec![0xff; 32]),
        ("a point and a half", [one.as_slice(), &one[..16]].concat()),
        ("1,025 elements", one.repeat(1_025)),
    ];
    for (what, elements) in cases {
        scene
            .refuses::<pb::EvaluationQuery>(what, "ua", of(elements).sign(), bad_batch, Held)
            .await;
    }
    // An ombudsman has an allowance for the children that families ask about, and no more.
    // The operator is alerted besides, so more is logged than of other refusals.
    let message = evaluation(&scene.coalition, OMBUDSMAN, HOLDER, 1_001).sign();
    let refused = pb::EvaluationQuery::send(scene.channels[OMBUDSMAN].clone(), message)
        .await
        .err()
        .expect("an ombudsman's register was evaluated");
    assert_eq!(
        refusal(&refused),
        (Code::ResourceExhausted, "QUOTA_EXCEEDED".to_owned())
    );
    // What is right is done.
    pb::EvaluationQuery::send(scene.channels["ua"].clone(), good(3).sign())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_member_without_a_share_evaluates_nothing() {
    let (_, ambient) = standing_clock();
    let mut coalition = Coalition::found_at(ambient, |_| {});
    for file in std::fs::read_dir(coalition.path(HOLDER).join("keys")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with("share-") {
            std::fs::remove_file(&path).unwrap();
        }
    }
    coalition.start_node(HOLDER).await;
    let message = evaluation(&coalition, "ua", HOLDER, 1).sign();
    let channel = coalition.channel("ua", HOLDER).await;
    let refused = pb::EvaluationQuery::send(channel, message)
        .await
        .err()
        .unwrap();
    assert_eq!(
        refusal(&refused),
        (Code::FailedPrecondition, "NO_SHARE".to_owned())
    );
}

#[tokio::test]
async fn the_same_message_is_answered_once_and_the_same_id_serves_no_other() {
    let mut scene = Scene::set().await;
    let first = scene.lookup();
    let message = first.clone().sign();
    let ua = scene.channels["ua"].clone();
    let before = scene.coalition.log_size(HOLDER).await;
    let answer = pb::LookupQuery::send(ua.clone(), message.clone())
        .await
        .unwrap()
        .encode_to_vec();
    let again = pb::LookupQuery::send(ua.clone(), message.clone())
        .await
        .unwrap()
        .encode_to_vec();
    assert_eq!(again, answer, "the stored answer is given again");
    // All at once: still one act.
    let racing = scene.lookup().sign();
    let sends = (0..8).map(|_| pb::LookupQuery::send(ua.clone(), racing.clone()));
    let answers = futures_util::future::join_all(sends).await;
    let answers: Vec<Vec<u8>> = answers
        .into_iter()
        .map(|answer| answer.unwrap().encode_to_vec())
        .collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(scene.coalition.log_size(HOLDER).await, before + 2);

    let id = first.message_id();
    let other = scene
        .lookup()
        .header(|header| header.message_id = id.clone());
    let reused = (Code::AlreadyExists, "MESSAGE_ID_REUSED");
    scene
        .refuses::<pb::LookupQuery>(
            "the id, over another query",
            "ua",
            other.sign(),
            reused,
            Held,
        )
        .await;
    // One that would be refused anyway is told of its id, not of its fault.
    let other = scene
        .lookup()
        .header(|header| header.message_id = id.clone())
        .payload(|query| query.epoch = 9);
    scene
        .refuses::<pb::LookupQuery>("the id, over a bad query", "ua", other.sign(), reused, Held)
        .await;
    let batch = evaluation(&scene.coalition, "ua", HOLDER, 1)
        .header(|header| header.message_id = id.clone());
    scene
        .refuses::<pb::EvaluationQuery>("the id, in another call", "ua", batch.sign(), reused, Held)
        .await;
    // The same id by another party is another id.
    let of_de = lookup(&scene.coalition, "de", HOLDER, 1)
        .header(|header| header.message_id = id.clone())
        .sign();
    pb::LookupQuery::send(scene.channels["de"].clone(), of_de)
        .await
        .unwrap();

    // The very message over another party's connection is not that party's.
    scene
        .refuses::<pb::LookupQuery>(
            "de sends what ua signed",
            "de",
            message.clone(),
            (Code::Unauthenticated, "BAD_SIGNATURE"),
            Failed,
        )
        .await;

    scene.coalition.stop_node(HOLDER).await;
    scene.coalition.start_node(HOLDER).await;
    let before = scene.coalition.log_size(HOLDER).await;
    let ua = scene.coalition.channel("ua", HOLDER).await;
    let again = pb::LookupQuery::send(ua, message.clone())
        .await
        .unwrap()
        .encode_to_vec();
    assert_eq!(again, answer, "the stored answer, after a restart");
    assert_eq!(scene.coalition.log_size(HOLDER).await, before);
    let answered = scene.coalition.leaves(HOLDER, 0).await;
    let of_it = |leaf: &&LogEntry| {
        leaf.act() == Act::LookupAnswered && leaf.message_id == id && leaf.peer == "ua"
    };
    assert_eq!(answered.iter().filter(of_it).count(), 1);
}

#[tokio::test]
async fn no_flipped_bit_and_no_cut_gets_through() {
    let scene = Scene::set().await;
    // A lead that nobody was given: were the message believed, the answer would be LEAD_UNKNOWN.
    let message = disclosure(&scene.coalition, "ua", HOLDER, &[1; 16], &["status"]).sign();
    let whole = pb::RequestDisclosureRequest {
        message: Some(message),
    }
    .encode_to_vec();
    let ua = scene.channels["ua"].clone();
    let outcome = send_raw(&ua, DISCLOSE, whole.clone()).await;
    assert_eq!(
        refusal(&outcome.unwrap_err()),
        (Code::NotFound, "LEAD_UNKNOWN".to_owned()),
        "the message is good but for its lead"
    );
    let before = scene.coalition.log_size(HOLDER).await;

    let mut seen = BTreeMap::<String, usize>::new();
    let mut check = |what: String, outcome: Result<Vec<u8>, tonic::Status>| {
        let (code, reason) = refusal(&outcome.err().unwrap_or_else(|| panic!("{what}: answered")));
        let expected = match reason.as_str() {
            "MALFORMED" => Code::InvalidArgument,
            "BAD_SIGNATURE" => Code::Unauthenticated,
            _ => panic!("{what}: {reason}"),
        };
        assert_eq!(code, expected, "{what}");
        *seen.entry(reason).or_default() += 1;
    };
    for position in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[position] ^= 1 << (position % 8);
        check(
            format!("a bit of octet {position}"),
            send_raw(&ua, DISCLOSE, flipped).await,
        );
        check(
            format!("cut after octet {position}"),
            send_raw(&ua, DISCLOSE, whole[..position].to_vec()).await,
        );
    }
    assert!(
        seen["BAD_SIGNATURE"] > 100 && seen["MALFORMED"] > 100,
        "{seen:?}"
    );
    // Leaves tell of those whose signature held: the items were cut or flipped, no more.
    let leaves = scene.coalition.leaves(HOLDER, before).await;
    assert!(leaves.len() <= 2 * "The family asks.".len() + 2 * 16 + 20);
    for leaf in leaves {
        assert_eq!(told(&leaf), ("ACT_QUERY_REFUSED", "ua", "MALFORMED"));
    }
    scene.answers_well().await;
}

#[tokio::test]
async fn what_is_no_message_at_all_is_refused_with_a_reason_too() {
    let scene = Scene::set().await;
    let ua = scene.channels["ua"].clone();
    type Case = (&'static str, &'static str, Vec<u8>, (Code, &'static str));
    let cases: [Case; 4] = [
        (
            "noise",
            LOOKUP,
            vec![0xff; 64],
            (Code::InvalidArgument, "MALFORMED"),
        ),
        (
            "nothing",
            LOOKUP,
            Vec::new(),
            (Code::InvalidArgument, "MALFORMED"),
        ),
        (
            "nine MiB",
            LOOKUP,
            vec![0; 9 << 20],
            (Code::InvalidArgument, "MESSAGE_TOO_LARGE"),
        ),
        (
            "a call that there is not",
            "/wayhome.exchange.v1.LookupService/Dump",
            Vec::new(),
            (Code::Unimplemented, "UNKNOWN_CALL"),
        ),
    ];
    for (what, call, bytes, (status, code)) in cases {
        let before = scene.coalition.log_size(HOLDER).await;
        scene.logs.take();
        let refused = send_raw(&ua, call, bytes).await.unwrap_err();
        assert_eq!(refusal(&refused), (status, code.to_owned()), "{what}");
        let lines = scene.logs.take();
        assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
        assert_eq!(scene.coalition.log_size(HOLDER).await, before, "{what}");
        scene.answers_well().await;
    }
}

#[tokio::test]
async fn a_suspended_member_is_cut_off() {
    let mut scene = Scene::set().await;
    let de = scene.channels["de"].clone();
    let good = lookup(&scene.coalition, "de", HOLDER, 1).sign();
    pb::LookupQuery::send(de.clone(), good.clone())
        .await
        .unwrap();

    let now = START_MS / 1000;
    scene.coalition.roster.version += 1;
    for member in &mut scene.coalition.roster.members {
        if member.id.as_str() == "de" {
            member.suspended_since = Some(Timestamp::from_unix(now));
        }
    }
    scene.coalition.publish_roster();
    scene.coalition.roster_in_force(HOLDER, 2).await;

    // Its connection is cut, and what it sends before it notices is not answered either: no new
    // question, and not even what was answered before.
    let before = scene.coalition.log_size(HOLDER).await;
    let message = lookup(&scene.coalition, "de", HOLDER, 1).sign();
    for message in [message, good] {
        let refused = pb::LookupQuery::send(de.clone(), message)
            .await
            .err()
            .unwrap();
        assert!(
            is_shut_out(&refused)
                || refusal(&refused) == (Code::Unauthenticated, "UNKNOWN_PARTY".to_owned()),
            "{refused:?}"
        );
    }
    assert_eq!(scene.coalition.log_size(HOLDER).await, before);
    // And it cannot come back in.
    let anew = scene.coalition.channel("de", HOLDER).await;
    let message = lookup(&scene.coalition, "de", HOLDER, 1).sign();
    let refused = pb::LookupQuery::send(anew, message).await.err().unwrap();
    assert!(is_shut_out(&refused), "{refused:?}");
    scene.answers_well().await;
}

/// Whether a connection could not be made, or was cut before any request was read.
fn is_shut_out(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown) && status.details().is_empty()
}

#[tokio::test]
async fn a_certificate_that_nobody_pinned_does_not_connect() {
    let scene = Scene::set().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Identity::create(
        &Directory::new(elsewhere.path().join("ua")),
        &"ua".parse().unwrap(),
        &scene.coalition.ambient,
    )
    .unwrap();
    let peers = PinnedPeers::new(stranger.into(), scene.coalition.ambient.clone());
    let channel = peers.channel(scene.coalition.member(HOLDER)).await.unwrap();
    scene.logs.take();
    let before = scene.coalition.log_size(HOLDER).await;
    // The message itself is good: it was signed by ua.
    let message = scene.lookup().sign();
    let refused = pb::LookupQuery::send(channel, message).await.err().unwrap();
    assert!(is_shut_out(&refused), "{refused:?}");
    assert_eq!(scene.coalition.log_size(HOLDER).await, before);
    let lines = scene.logs.take();
    assert!(
        lines
            .iter()
            .all(|line| line.contains("a handshake was refused")),
        "{lines:#?}"
    );
    scene.answers_well().await;
}
