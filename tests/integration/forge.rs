//! Messages by any party with any fault, sent over real connections: what a hostile peer could do.

use std::future::Future;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use wayhome::ambient::{Ambient, Clock, ManualClock, SystemClock, SystemRandomness};
use wayhome::envelope::dsse::pae;
use wayhome::envelope::{ItemsCommitment, SigningKey, items};
use wayhome::exchange::DOMAIN;
use wayhome::exchange::ask::MAX_MESSAGE;
use wayhome::exchange::message::{LIFETIME_MS, Payload, timestamp};
use wayhome::linkage::RuleTable;
use wayhome::oprf::{self, BatchSeed};
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::disclosure_service_client::DisclosureServiceClient;
use wayhome::proto::exchange::lookup_service_client::LookupServiceClient;
use wayhome::proto::exchange::token_service_client::TokenServiceClient;

use crate::coalition::Coalition;

/// When tests by a clock of their own begin: 2026-11-24T08:00:00Z.
pub const START_MS: u64 = 1_795_507_200_000;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// A clock that stands at [`START_MS`], and the ambient that shows it.
pub fn standing_clock() -> (ManualClock, Ambient) {
    let clock = ManualClock::at_ms(START_MS);
    (clock.clone(), Ambient::new(clock, SystemRandomness))
}

/// The machine's clock, behind by as much as a test says: what happens while it is behind has happened
/// long ago once it is not, and programs by the machine's own clock can be spoken with then.
#[derive(Clone, Default)]
pub struct LateClock {
    machine: Arc<SystemClock>,
    behind_ms: Arc<AtomicU64>,
}

impl LateClock {
    /// A clock that is behind by `ms` milliseconds, and the ambient that shows it.
    pub fn behind_ms(ms: u64) -> (Self, Ambient) {
        let clock = Self::default();
        clock.behind_ms.store(ms, Ordering::Release);
        (clock.clone(), Ambient::new(clock, SystemRandomness))
    }

    /// Lets it show the machine's time from now on.
    pub fn catch_up(&self) {
        self.behind_ms.store(0, Ordering::Release);
    }
}

impl Clock for LateClock {
    fn now_ms(&self) -> u64 {
        self.machine.now_ms() - self.behind_ms.load(Ordering::Acquire)
    }
}

/// A query in the making. Everything about it can be made wrong before it is signed.
#[derive(Clone)]
pub struct Draft<P> {
    payload: P,
    header: pb::Header,
    items: Vec<pb::Item>,
    key: SigningKey,
    payload_type: String,
}

impl<P: Payload + Clone> Draft<P> {
    /// A query without fault by `from` to `to`, whose items have these bodies.
    pub fn new(
        coalition: &Coalition,
        from: &str,
        to: &str,
        payload: P,
        bodies: &[impl AsRef<[u8]>],
    ) -> Self {
        let ambient = &coalition.ambient;
        let salted: Vec<Vec<u8>> = bodies
            .iter()
            .map(|body| items::salted_item(ambient.random(), body.as_ref()))
            .collect();
        let commitment = ItemsCommitment::to(&salted).unwrap();
        let roster = coalition.trusted_roster();
        let now_ms = ambient.now_ms();
        Self {
            payload,
            header: pb::Header {
                message_id: ambient.random::<16>().to_vec(),
                issuer: from.to_owned(),
                audience: to.to_owned(),
                issued_at: Some(timestamp(now_ms)),
                expires_at: Some(timestamp(now_ms + LIFETIME_MS)),
                roster_version: u64::from(roster.version()),
                roster_digest: roster.digest().as_bytes().to_vec(),
                in_reply_to: Vec::new(),
                items_root: commitment.root.to_vec(),
                item_count: commitment.count,
                roster_root_version: u64::from(roster.roster().root_version),
            },
            items: salted.into_iter().map(full).collect(),
            key: coalition.identity(from).signing.clone(),
            payload_type: P::TYPE.to_owned(),
        }
    }

    /// Changes the header.
    pub fn header(mut self, change: impl FnOnce(&mut pb::Header)) -> Self {
        change(&mut self.header);
        self
    }

    /// Changes the payload.
    pub fn payload(mut self, change: impl FnOnce(&mut P)) -> Self {
        change(&mut self.payload);
        self
    }

    /// Changes the items that travel; those that are signed for stay.
    pub fn items(mut self, change: impl FnOnce(&mut Vec<pb::Item>)) -> Self {
        change(&mut self.items);
        self
    }

    /// Lets another party's key sign.
    pub fn signed_by(mut self, coalition: &Coalition, party: &str) -> Self {
        self.key = coalition.identity(party).signing.clone();
        self
    }

    /// Signs for another type of payload.
    pub fn of_type(mut self, payload_type: &str) -> Self {
        payload_type.clone_into(&mut self.payload_type);
        self
    }

    /// Its message id.
    pub fn message_id(&self) -> Vec<u8> {
        self.header.message_id.clone()
    }

    /// Signs it.
    pub fn sign(mut self) -> pb::SignedMessage {
        self.payload.set_header(self.header);
        let bytes = self.payload.encode_to_vec();
        sign_bytes(&self.payload_type, bytes, &self.key, self.items)
    }
}

/// A signed message whose payload is any bytes at all.
pub fn sign_bytes(
    payload_type: &str,
    payload: Vec<u8>,
    key: &SigningKey,
    items: Vec<pb::Item>,
) -> pb::SignedMessage {
    let sig = key.sign(&pae(payload_type, &payload));
    pb::SignedMessage {
        envelope: Some(pb::Envelope {
            payload_type: payload_type.to_owned(),
            payload,
            signatures: vec![pb::Signature {
                key_id: key.verifying_key().id().as_bytes().to_vec(),
                sig: sig.to_vec(),
            }],
        }),
        items,
        seen_checkpoints: Vec::new(),
    }
}

/// A whole item.
pub fn full(salted: Vec<u8>) -> pb::Item {
    pb::Item {
        form: Some(pb::item::Form::Full(salted)),
    }
}

/// A lookup of `subjects` children whom nobody holds.
pub fn lookup(
    coalition: &Coalition,
    from: &str,
    to: &str,
    subjects: usize,
) -> Draft<pb::LookupQuery> {
    let bodies: Vec<Vec<u8>> = (0..subjects)
        .map(|_| stranger(&coalition.ambient).encode_to_vec())
        .collect();
    let payload = pb::LookupQuery {
        purpose: pb::Purpose::FamilyTracing.into(),
        legal_basis: pb::LegalBasis::VitalInterest.into(),
        case_reference: "CASE-1".to_owned(),
        epoch: 1,
        rules_digest: RuleTable::shipped().unwrap().digest().to_vec(),
        ..pb::LookupQuery::default()
    };
    Draft::new(coalition, from, to, payload, &bodies)
}

/// A subject whose tokens are random: it touches no record.
pub fn stranger(ambient: &Ambient) -> pb::LookupSubject {
    let rules = RuleTable::shipped().unwrap();
    let random = |slots: usize| {
        (0..slots)
            .flat_map(|_| ambient.random::<16>())
            .collect::<Vec<u8>>()
    };
    pb::LookupSubject {
        presence: 0,
        tokens: random(rules.slots()),
        sibling_tokens: random(rules.sibling_slot_rules().len()),
    }
}

/// Blinded elements, as a member makes them.
pub fn blinded(ambient: &Ambient, count: usize) -> Vec<u8> {
    let inputs: Vec<Vec<u8>> = (0..count)
        .map(|_| ambient.random::<16>().to_vec())
        .collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let seed = BatchSeed::generate(&mut ambient.rng());
    oprf::blind(&seed, &inputs)
        .unwrap()
        .batch()
        .elements()
        .flat_map(|element| *element.as_bytes())
        .collect()
}

/// A batch of `count` elements for the keyholders 1 and 2.
pub fn evaluation(
    coalition: &Coalition,
    from: &str,
    to: &str,
    count: usize,
) -> Draft<pb::EvaluationQuery> {
    let payload = pb::EvaluationQuery {
        epoch: 1,
        keyholders: vec![1, 2],
        element_count: count as u32,
        ..pb::EvaluationQuery::default()
    };
    let elements = blinded(&coalition.ambient, count);
    Draft::new(coalition, from, to, payload, &[elements])
}

/// A request for fields behind a lead.
pub fn disclosure(
    coalition: &Coalition,
    from: &str,
    to: &str,
    lead_id: &[u8],
    fields: &[&str],
) -> Draft<pb::DisclosureQuery> {
    let payload = pb::DisclosureQuery {
        lead_id: lead_id.to_vec(),
        fields: Some(prost_types::FieldMask {
            paths: fields.iter().map(|&field| field.to_owned()).collect(),
        }),
        purpose: pb::Purpose::FamilyTracing.into(),
        legal_basis: pb::LegalBasis::VitalInterest.into(),
        case_reference: "CASE-1".to_owned(),
        ..pb::DisclosureQuery::default()
    };
    Draft::new(coalition, from, to, payload, &["The family asks."])
}

/// A query that some service takes.
pub trait Sent: Payload + Clone {
    /// Sends a message of this kind.
    fn send(
        channel: Channel,
        message: pb::SignedMessage,
    ) -> impl Future<Output = Result<pb::SignedMessage, Status>> + Send;
}

macro_rules! sent {
    ($($query:ident by $client:ident . $call:ident ($request:ident)),+ $(,)?) => { $(
        impl Sent for pb::$query {
            async fn send(
                channel: Channel,
                message: pb::SignedMessage,
            ) -> Result<pb::SignedMessage, Status> {
                let reply = $client::new(channel)
                    .max_decoding_message_size(4 * MAX_MESSAGE)
                    .max_encoding_message_size(4 * MAX_MESSAGE)
                    .$call(pb::$request { message: Some(message) })
                    .await?;
                Ok(reply.into_inner().message.unwrap())
            }
        }
    )+ };
}

sent! {
    LookupQuery by LookupServiceClient.lookup(LookupRequest),
    EvaluationQuery by TokenServiceClient.evaluate(EvaluateRequest),
    DisclosureQuery by DisclosureServiceClient.request_disclosure(RequestDisclosureRequest),
}

/// Sends any bytes as the request of a call.
pub async fn send_raw(
    channel: &Channel,
    call: &'static str,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(channel.clone()).max_encoding_message_size(4 * MAX_MESSAGE);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let reply = grpc
        .unary(Request::new(bytes), PathAndQuery::from_static(call), Raw)
        .await?;
    Ok(reply.into_inner())
}

/// A refusal as the peer states it: status and reason code. Panics if it states no reason.
pub fn refusal(status: &Status) -> (Code, String) {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("a refusal without a reason code: {status:?}"));
    assert_eq!(info.domain, DOMAIN);
    (status.code(), info.reason)
}

/// Bytes as they are, in place of messages.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

/// What is logged on this thread. Tests that use it run their nodes on one thread.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Captures from now on what an operator's log would hold, until the guard is dropped.
    pub fn capture() -> (Self, DefaultGuard) {
        Self::capture_at(tracing::Level::INFO)
    }

    /// As [`Logs::capture`], with everything that is said at a level, the libraries included.
    pub fn capture_at(level: tracing::Level) -> (Self, DefaultGuard) {
        let logs = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(logs.clone())
            .finish();
        (logs, tracing::subscriber::set_default(subscriber))
    }

    /// The lines since the last call.
    pub fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
