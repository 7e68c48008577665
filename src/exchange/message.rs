//! Signing and opening messages: the one gate that every message between parties passes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use zeroize::Zeroizing;

use super::{Party, Refusal};
use crate::ambient::Ambient;
use crate::envelope::{
    Envelope, ItemEvidence, ItemsCommitment, KeyId, Signature, SigningKey, dsse, items,
};
use crate::proto::exchange as pb;
use crate::roster::{Member, MemberId, TrustedRoster};
use crate::store::{Evidence, Position, Seen, TagKind};
use crate::tlog::{SignedCheckpoint, TreeHead};

/// How far two nodes' clocks may differ, in milliseconds.
pub const CLOCK_SKEW_MS: u64 = 60_000;

/// How long a message may be valid, in milliseconds.
pub const MAX_LIFETIME_MS: u64 = 600_000;

/// How long a message of this node is valid, in milliseconds.
pub const LIFETIME_MS: u64 = 300_000;

/// Largest payload, in octets. What a message is about travels in its items.
pub const MAX_PAYLOAD: usize = 8 * 1024;

/// Most items of one message: the subjects of a lookup.
pub const MAX_ITEMS: usize = 1_000;

/// A payload that travels in an envelope.
pub trait Payload: prost::Message + Default + 'static {
    /// Its media type.
    const TYPE: &'static str;
    /// Its header, if it has one.
    fn header(&self) -> Option<&pb::Header>;
    /// Sets its header.
    fn set_header(&mut self, header: pb::Header);
}

/// A payload that answers a query and carries a receipt.
pub trait AnswerPayload: Payload {
    /// Its receipt, if it has one.
    fn receipt(&self) -> Option<&pb::Receipt>;
    /// Sets its receipt.
    fn set_receipt(&mut self, receipt: pb::Receipt);
    /// What it states of the asking party's quotas.
    fn quotas(&self) -> &[pb::QuotaState] {
        &[]
    }
    /// Brings it to a size that tells nothing, where its size could tell something.
    fn pad(&mut self) {}
}

macro_rules! payload {
    ($($message:ident = $name:literal),+ $(,)?) => { $(
        impl Payload for pb::$message {
            const TYPE: &'static str = concat!("application/vnd.wayhome.", $name, ".v1");
            fn header(&self) -> Option<&pb::Header> {
                self.header.as_ref()
            }
            fn set_header(&mut self, header: pb::Header) {
                self.header = Some(header);
            }
        }
    )+ };
}

macro_rules! answer_payload {
    ($($message:ident $(states $quotas:ident)?),+ $(,)?) => { $(
        impl AnswerPayload for pb::$message {
            $(fn quotas(&self) -> &[pb::QuotaState] {
                &self.$quotas
            })?
            fn receipt(&self) -> Option<&pb::Receipt> {
                self.receipt.as_ref()
            }
            fn set_receipt(&mut self, receipt: pb::Receipt) {
                self.receipt = Some(receipt);
            }
        }
    )+ };
}

payload! {
    EvaluationQuery = "evaluation-query",
    EvaluationAnswer = "evaluation-answer",
    LookupQuery = "lookup-query",
    LookupAnswer = "lookup-answer",
    DisclosureQuery = "disclosure-query",
    DisclosureAnswer = "disclosure-answer",
    DisclosureNotice = "disclosure-notice",
    NoticeAnswer = "notice-answer",
    AuditQuery = "audit-query",
    SubjectAnswer = "subject-answer",
}
answer_payload!(
    EvaluationAnswer states quotas,
    DisclosureAnswer,
    NoticeAnswer,
    SubjectAnswer
);

impl AnswerPayload for pb::LookupAnswer {
    fn quotas(&self) -> &[pb::QuotaState] {
        &self.quotas
    }

    fn receipt(&self) -> Option<&pb::Receipt> {
        self.receipt.as_ref()
    }

    fn set_receipt(&mut self, receipt: pb::Receipt) {
        self.receipt = Some(receipt);
    }

    fn pad(&mut self) {
        self.padding.clear();
        // A field costs its number, its length in one or two octets, and itself; an empty one is
        // left out.
        let bare = self.encoded_len();
        let mut padded = (bare + 3).next_multiple_of(PADDED_TO);
        if padded - bare == 130 {
            // No field has this length: 127 octets take 129, and 128 take 131.
            padded += PADDED_TO;
        }
        let field = padded - bare;
        self.padding = vec![0; if field < 130 { field - 2 } else { field - 3 }];
    }
}

/// Lookup answers come in payloads of a multiple of this many octets.
const PADDED_TO: usize = 1024;

/// A query that passed the gate.
pub struct Query<P> {
    /// The payload, parsed from the very bytes that were verified.
    pub payload: P,
    /// Who sent and signed it.
    pub issuer: Member,
    /// Its message id.
    pub message_id: [u8; 16],
    /// SHA-256 of its pre-authentication encoding.
    pub digest: [u8; 32],
    /// The items' bodies, without salt; an item that was erased is `None`.
    pub items: Vec<Zeroizing<Vec<u8>>>,
    /// The message, to be kept.
    pub evidence: Evidence,
    /// When it expires, in milliseconds since 1970.
    pub expires_ms: u64,
    /// When it passed the gate, in milliseconds since 1970: what its signature was judged by then is
    /// what counts for its act, however long that takes.
    pub opened_ms: u64,
}

impl<P> Query<P> {
    /// The query as the store remembers it.
    #[must_use]
    pub fn seen(&self, party: &Party) -> Seen {
        Seen {
            tag: party.store().tag(
                TagKind::Seen,
                &[self.issuer.id.as_str().as_bytes(), &self.message_id],
            ),
            query_digest: self.digest,
            // Remembered until no clock within the skew would take it any more.
            expires_ms: self.expires_ms.saturating_add(2 * CLOCK_SKEW_MS),
        }
    }
}

/// A query that did not pass the gate.
pub struct Rejected {
    /// Why.
    pub refusal: Refusal,
    /// What is left of it to be recorded, if its signature held: nobody else could have sent it.
    pub signed: Option<Box<SignedQuery>>,
}

/// A query whose signature held, whatever else is wrong with it.
pub struct SignedQuery {
    /// Its message id, if it states one.
    pub message_id: Option<[u8; 16]>,
    /// SHA-256 of its pre-authentication encoding.
    pub digest: [u8; 32],
    /// When its signature was judged, in milliseconds since 1970.
    pub opened_ms: u64,
    /// Its envelope, without items: nothing vouches for those.
    pub evidence: Evidence,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            signed: None,
        }
    }
}

/// Opens a query that came over the connection of `caller`.
///
/// The steps are those of docs/protocol.md, "The gate", in order. A caller that answers uses
/// [`service::open`](super::service::open), which records what is refused.
///
/// # Errors
/// [`Rejected`] says what is wrong.
pub fn open_query<P: Payload>(
    party: &Party,
    roster: &TrustedRoster,
    caller: &Member,
    mut message: pb::SignedMessage,
) -> Result<Query<P>, Rejected> {
    // 1. The envelope is whole, and signed by a key that the roster gives to the caller now. A key
    //    of any other party counts as unknown, so the party that signed is the party that sent.
    let now_ms = party.ambient().now_ms();
    let told = std::mem::take(&mut message.seen_checkpoints);
    let (envelope, evidence) = take_apart(message)?;
    let verified = dsse::verify(&envelope, P::TYPE, |key_id: &KeyId| {
        roster
            .signing_key(caller.id.as_str(), key_id, now_ms / 1000)
            .ok()
    })
    .map_err(|error| Refusal::BadSignature {
        why: error.to_string(),
    })?;
    party.hearsay().was_told(&caller.id, &told, now_ms);
    let digest = verified.digest();
    // 2. Only now is the payload read, from the bytes that were verified.
    let payload = decode::<P>(verified.payload());
    let message_id = payload
        .as_ref()
        .ok()
        .and_then(|payload| payload.header()?.message_id.as_slice().try_into().ok());
    let admitted = payload.and_then(|payload| {
        let (items, expires_ms) =
            admit(party, roster, caller, now_ms, payload.header(), &evidence)?;
        Ok((payload, items, expires_ms))
    });
    match (admitted, message_id) {
        (Ok((payload, items, expires_ms)), Some(message_id)) => Ok(Query {
            issuer: caller.clone(),
            message_id,
            digest,
            items,
            evidence,
            expires_ms,
            opened_ms: now_ms,
            payload,
        }),
        (admitted, message_id) => Err(Rejected {
            refusal: admitted
                .err()
                .unwrap_or_else(|| not_sixteen_octets("message_id")),
            signed: Some(Box::new(SignedQuery {
                message_id,
                digest,
                opened_ms: now_ms,
                evidence: Evidence {
                    envelope: evidence.envelope,
                    items: Vec::new(),
                },
            })),
        }),
    }
}

/// Reads a payload strictly: what it does not know would be kept as evidence unseen, and could
/// carry anything.
fn decode<P: Payload>(bytes: &[u8]) -> Result<P, Refusal> {
    let malformed = |why: String| Refusal::Malformed {
        what: "payload",
        why,
    };
    if bytes.len() > MAX_PAYLOAD {
        return Err(malformed(format!("it has more than {MAX_PAYLOAD} octets")));
    }
    let payload = P::decode(bytes).map_err(|error| malformed(error.to_string()))?;
    if payload.encoded_len() != bytes.len() {
        return Err(malformed(
            "it has fields that this node does not know".to_owned(),
        ));
    }
    Ok(payload)
}

/// The items' bodies, without salt.
type Bodies = Vec<Zeroizing<Vec<u8>>>;

/// Steps 3 to 6 of the gate: the items' bodies, and when the query expires.
fn admit(
    party: &Party,
    roster: &TrustedRoster,
    caller: &Member,
    now_ms: u64,
    header: Option<&pb::Header>,
    evidence: &Evidence,
) -> Result<(Bodies, u64), Refusal> {
    let header = header.ok_or(Refusal::Malformed {
        what: "header",
        why: "it is missing".to_owned(),
    })?;
    // 3. The issuer is the caller and the audience is this node.
    if header.issuer != caller.id.as_str() {
        return Err(Refusal::PartyMismatch);
    }
    if header.audience != party.id().as_str() {
        return Err(Refusal::WrongAudience);
    }
    // 4. It is fresh.
    let issued_ms = milliseconds(header.issued_at.as_ref(), "issued_at")?;
    let expires_ms = milliseconds(header.expires_at.as_ref(), "expires_at")?;
    if issued_ms > now_ms + CLOCK_SKEW_MS {
        return Err(Refusal::NotYetValid);
    }
    if expires_ms <= now_ms {
        return Err(Refusal::Expired);
    }
    if expires_ms.saturating_sub(issued_ms) > MAX_LIFETIME_MS {
        return Err(Refusal::LifetimeTooLong {
            limit_seconds: MAX_LIFETIME_MS / 1000,
        });
    }
    // 5. If it was made under a roster of this version and root, it was this very roster.
    if stated_place(header) == roster.stated_place()
        && header.roster_digest != roster.digest().as_bytes()
    {
        return Err(Refusal::RosterSplit);
    }
    party.heard_of(&caller.id, stated_place(header));
    // 6. The items are those that were signed, and none was erased on the way.
    Ok((check_items(header, &evidence.items)?, expires_ms))
}

/// The place among all rosters that a header states for the one it was made under: root version, then
/// version.
#[must_use]
pub fn stated_place(header: &pb::Header) -> (u64, u64) {
    (header.roster_root_version, header.roster_version)
}

/// A query of this node, signed and ready to be sent.
pub struct Outgoing {
    /// What is sent.
    pub message: pb::SignedMessage,
    /// Its message id.
    pub message_id: [u8; 16],
    /// SHA-256 of its pre-authentication encoding.
    pub digest: [u8; 32],
    /// The same, to be kept.
    pub evidence: Evidence,
}

/// Who signs a message: a node, or a party that runs none.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Its id in the roster.
    pub id: &'a MemberId,
    /// Its key.
    pub key: &'a SigningKey,
    /// Time and randomness.
    pub ambient: &'a Ambient,
}

impl<'a> Signer<'a> {
    /// A node signs with the key that it uses now.
    #[must_use]
    pub fn node(party: &'a Party, key: &'a SigningKey) -> Self {
        Self {
            id: party.id(),
            key,
            ambient: party.ambient(),
        }
    }
}

/// Signs a query of this node.
///
/// # Errors
/// If there are more items, or a larger payload, than a message may hold.
pub fn sign_query<P: Payload>(
    party: &Party,
    roster: &TrustedRoster,
    audience: &Member,
    payload: P,
    bodies: &[&[u8]],
) -> Result<Outgoing, Refusal> {
    let key = party.signing_key();
    let mut query = sign_query_as(Signer::node(party, &key), roster, audience, payload, bodies)?;
    query.message.seen_checkpoints = party.hearsay().to_tell(&audience.id);
    Ok(query)
}

/// Signs a query of any party.
///
/// # Errors
/// If there are more items, or a larger payload, than a message may hold.
pub fn sign_query_as<P: Payload>(
    signer: Signer<'_>,
    roster: &TrustedRoster,
    audience: &Member,
    mut payload: P,
    bodies: &[&[u8]],
) -> Result<Outgoing, Refusal> {
    let salted = salt_items(signer.ambient, bodies);
    let message_id = signer.ambient.random();
    payload.set_header(header(signer, roster, audience, message_id, &[], &salted)?);
    let (envelope, evidence) = seal_up(signer.key, &payload, salted)?;
    Ok(Outgoing {
        message: to_wire(&evidence),
        message_id,
        digest: envelope.digest(),
        evidence,
    })
}

/// The items of an answer, salted ahead of its signature so that a leaf can commit to them.
pub struct AnswerItems {
    salted: Vec<Zeroizing<Vec<u8>>>,
    root: [u8; 32],
}

impl AnswerItems {
    /// Salts `bodies`.
    #[must_use]
    pub fn new(party: &Party, bodies: &[&[u8]]) -> Self {
        let salted = salt_items(party.ambient(), bodies);
        let root = items::items_root(&salted);
        Self { salted, root }
    }

    /// Their Merkle root: the answer, as a leaf states it.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// Signs the answer once its place in the log is known.
    ///
    /// # Errors
    /// If there are more items, or a larger payload, than a message may hold.
    pub fn sign<P: AnswerPayload + Clone>(
        &self,
        party: &Party,
        roster: &TrustedRoster,
        to: &AnswerTo,
        payload: &P,
        position: &Position,
    ) -> Result<Evidence, Refusal> {
        let mut payload = payload.clone();
        let key = party.signing_key();
        let signer = Signer::node(party, &key);
        payload.set_header(header(
            signer,
            roster,
            &to.member,
            to.message_id,
            &to.digest,
            &self.salted,
        )?);
        payload.set_receipt(pb::Receipt {
            leaf_index: position.leaf_index,
            checkpoint: position.checkpoint.to_string(),
            leaf_hash: position.leaf_hash.to_vec(),
        });
        payload.pad();
        Ok(seal_up(signer.key, &payload, self.salted.clone())?.1)
    }
}

/// Which query an answer answers.
#[derive(Clone)]
pub struct AnswerTo {
    /// Who asked.
    pub member: Member,
    /// The query's message id.
    pub message_id: [u8; 16],
    /// SHA-256 of the query's pre-authentication encoding.
    pub digest: [u8; 32],
}

impl<P> From<&Query<P>> for AnswerTo {
    fn from(query: &Query<P>) -> Self {
        Self {
            member: query.issuer.clone(),
            message_id: query.message_id,
            digest: query.digest,
        }
    }
}

/// An answer that passed the gate.
pub struct Answer<P> {
    /// The payload, parsed from the very bytes that were verified.
    pub payload: P,
    /// The items' bodies.
    pub items: Vec<Zeroizing<Vec<u8>>>,
    /// Root of the items: the answer, as leaves on both sides state it.
    pub items_root: [u8; 32],
    /// The holder's promise.
    pub receipt: pb::Receipt,
    /// The tree that the promise rests on.
    pub covered: TreeHead,
    /// The message, to be kept.
    pub evidence: Evidence,
    /// When its signature was judged, in milliseconds since 1970.
    pub opened_ms: u64,
}

/// Why an answer does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The envelope, its signature, or its items.
    #[error("{0}")]
    Message(#[from] Refusal),
    /// It answers another query.
    #[error("it answers another query than the one that was sent")]
    OtherQuery,
    /// It comes from another party, or is meant for another.
    #[error("it names other parties than the two of this exchange")]
    OtherParties,
    /// Its promise cannot be held to.
    #[error("its receipt does not hold: {why}")]
    Receipt {
        /// What is wrong.
        why: String,
    },
    /// Its content is not what this query is answered with.
    #[error("its content does not fit the query: {why}")]
    Content {
        /// What is wrong.
        why: String,
    },
}

impl AnswerError {
    /// What is wrong, as the leaf of a wrong answer states it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Message(refusal) => refusal.code(),
            Self::OtherQuery => "OTHER_QUERY",
            Self::OtherParties => "OTHER_PARTIES",
            Self::Receipt { .. } => "BAD_RECEIPT",
            Self::Content { .. } => "BAD_CONTENT",
        }
    }
}

/// Opens the answer of `holder` to a query of this node.
///
/// # Errors
/// [`AnswerError`] names what is wrong.
pub fn open_answer<P: AnswerPayload>(
    party: &Party,
    roster: &TrustedRoster,
    holder: &Member,
    query: &Outgoing,
    message: Option<pb::SignedMessage>,
) -> Result<Answer<P>, AnswerError> {
    let key = party.signing_key();
    let asker = Signer::node(party, &key);
    let told = message
        .as_ref()
        .map(|message| message.seen_checkpoints.clone());
    // Answers that were committed together carry one checkpoint.
    let check = |receipt: &pb::Receipt| party.checked_heads().check(holder, receipt);
    let answer: Answer<P> = open_answer_by(asker, roster, holder, query, message, check)?;
    let hearsay = party.hearsay();
    hearsay.was_told(
        &holder.id,
        &told.unwrap_or_default(),
        party.ambient().now_ms(),
    );
    if holder.id != *party.id() {
        hearsay.saw(&holder.id, answer.covered, &answer.receipt.checkpoint);
    }
    if let Some(header) = answer.payload.header() {
        party.heard_of(&holder.id, stated_place(header));
    }
    party.note_own_use(&holder.id, answer.payload.quotas());
    Ok(answer)
}

/// Opens the answer of `holder` to a query that `asker` signed.
///
/// # Errors
/// [`AnswerError`] names what is wrong.
pub fn open_answer_to<P: AnswerPayload>(
    asker: Signer<'_>,
    roster: &TrustedRoster,
    holder: &Member,
    query: &Outgoing,
    message: Option<pb::SignedMessage>,
) -> Result<Answer<P>, AnswerError> {
    let check = |receipt: &pb::Receipt| check_receipt(holder, receipt);
    open_answer_by(asker, roster, holder, query, message, check)
}

fn open_answer_by<P: AnswerPayload>(
    asker: Signer<'_>,
    roster: &TrustedRoster,
    holder: &Member,
    query: &Outgoing,
    message: Option<pb::SignedMessage>,
    check: impl FnOnce(&pb::Receipt) -> Result<TreeHead, String>,
) -> Result<Answer<P>, AnswerError> {
    let now_ms = asker.ambient.now_ms();
    let message = message.ok_or(Refusal::Malformed {
        what: "answer",
        why: "it is missing".to_owned(),
    })?;
    let (envelope, evidence) = take_apart(message)?;
    let verified = dsse::verify(&envelope, P::TYPE, |key_id: &KeyId| {
        roster
            .signing_key(holder.id.as_str(), key_id, now_ms / 1000)
            .ok()
    })
    .map_err(|error| Refusal::BadSignature {
        why: error.to_string(),
    })?;
    let payload = decode::<P>(verified.payload())?;
    let header = payload.header().ok_or(Refusal::Malformed {
        what: "header",
        why: "it is missing".to_owned(),
    })?;
    if header.issuer != holder.id.as_str() || header.audience != asker.id.as_str() {
        return Err(AnswerError::OtherParties);
    }
    if header.message_id != query.message_id || header.in_reply_to != query.digest {
        return Err(AnswerError::OtherQuery);
    }
    let expires_ms = milliseconds(header.expires_at.as_ref(), "expires_at")?;
    if expires_ms <= now_ms {
        return Err(Refusal::Expired.into());
    }
    let items = check_items(header, &evidence.items)?;
    let items_root = header
        .items_root
        .as_slice()
        .try_into()
        .map_err(|_| Refusal::Malformed {
            what: "items_root",
            why: "it has not 32 octets".to_owned(),
        })?;
    let receipt = payload.receipt().cloned().unwrap_or_default();
    let covered = check(&receipt).map_err(|why| AnswerError::Receipt { why })?;
    Ok(Answer {
        items,
        items_root,
        receipt,
        covered,
        evidence,
        opened_ms: now_ms,
        payload,
    })
}

/// Checks that a receipt's checkpoint is signed by the holder's log and covers the leaf.
///
/// # Errors
/// What is wrong.
pub fn check_receipt(holder: &Member, receipt: &pb::Receipt) -> Result<TreeHead, String> {
    covers(
        check_checkpoint(vkey(holder)?, &receipt.checkpoint)?,
        receipt,
    )
}

fn vkey(holder: &Member) -> Result<&str, String> {
    let log = holder.log.as_ref();
    log.map(|log| log.vkey.as_str())
        .ok_or_else(|| "the roster states no log for the holder".to_owned())
}

/// The head that a checkpoint states, if it is signed by the log key.
fn check_checkpoint(vkey: &str, checkpoint: &str) -> Result<TreeHead, String> {
    let key = vkey
        .parse()
        .map_err(|error| format!("the roster's log key: {error}"))?;
    SignedCheckpoint::parse(checkpoint.as_bytes())
        .and_then(|signed| signed.verify(&[key]))
        .map(|checkpoint| checkpoint.head())
        .map_err(|error| error.to_string())
}

/// The head, if the receipt's leaf lies under it.
fn covers(head: TreeHead, receipt: &pb::Receipt) -> Result<TreeHead, String> {
    if head.size <= receipt.leaf_index {
        return Err("its checkpoint does not cover its leaf".to_owned());
    }
    if receipt.leaf_hash.len() != 32 {
        return Err("it states no hash of its leaf".to_owned());
    }
    Ok(head)
}

/// Checkpoints whose signatures were checked a moment ago, oldest first: log key, text, and the head
/// that they state. Only what held is remembered.
#[derive(Default)]
pub struct CheckedHeads(Mutex<VecDeque<(String, String, TreeHead)>>);

/// How many of them are remembered: one or two for each peer that is being asked.
const CHECKED: usize = 64;

impl CheckedHeads {
    /// As [`check_receipt`], without checking one signature twice.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, holder: &Member, receipt: &pb::Receipt) -> Result<TreeHead, String> {
        let (vkey, text) = (vkey(holder)?, receipt.checkpoint.as_str());
        let known = self
            .known()
            .iter()
            .rev()
            .find(|(by, checkpoint, _)| by == vkey && checkpoint == text)
            .map(|(.., head)| *head);
        let head = match known {
            Some(head) => head,
            None => {
                let head = check_checkpoint(vkey, text)?;
                let mut known = self.known();
                if known.len() >= CHECKED {
                    known.pop_front();
                }
                known.push_back((vkey.to_owned(), text.to_owned(), head));
                head
            }
        };
        covers(head, receipt)
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(String, String, TreeHead)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn salt_items(ambient: &Ambient, bodies: &[&[u8]]) -> Vec<Zeroizing<Vec<u8>>> {
    bodies
        .iter()
        .map(|body| Zeroizing::new(items::salted_item(ambient.random(), body)))
        .collect()
}

fn header(
    signer: Signer<'_>,
    roster: &TrustedRoster,
    audience: &Member,
    message_id: [u8; 16],
    in_reply_to: &[u8],
    salted: &[Zeroizing<Vec<u8>>],
) -> Result<pb::Header, Refusal> {
    let commitment = ItemsCommitment::to(salted).map_err(|error| Refusal::Malformed {
        what: "items",
        why: error.to_string(),
    })?;
    let now_ms = signer.ambient.now_ms();
    Ok(pb::Header {
        message_id: message_id.to_vec(),
        issuer: signer.id.as_str().to_owned(),
        audience: audience.id.as_str().to_owned(),
        issued_at: Some(timestamp(now_ms)),
        expires_at: Some(timestamp(now_ms + LIFETIME_MS)),
        roster_version: u64::from(roster.version()),
        roster_digest: roster.digest().as_bytes().to_vec(),
        in_reply_to: in_reply_to.to_vec(),
        items_root: commitment.root.to_vec(),
        item_count: commitment.count,
        roster_root_version: roster.stated_place().0,
    })
}

fn seal_up<P: Payload>(
    key: &SigningKey,
    payload: &P,
    salted: Vec<Zeroizing<Vec<u8>>>,
) -> Result<(Envelope, Evidence), Refusal> {
    let envelope = Envelope::sign(P::TYPE, payload.encode_to_vec(), key).map_err(|error| {
        Refusal::Malformed {
            what: "envelope",
            why: error.to_string(),
        }
    })?;
    let evidence = Evidence {
        envelope: Zeroizing::new(envelope_to_wire(&envelope).encode_to_vec()),
        items: salted.into_iter().map(ItemEvidence::Full).collect(),
    };
    Ok((envelope, evidence))
}

fn check_items(
    header: &pb::Header,
    evidence: &[ItemEvidence],
) -> Result<Vec<Zeroizing<Vec<u8>>>, Refusal> {
    let malformed = |why: String| Refusal::Malformed { what: "items", why };
    if evidence.len() > MAX_ITEMS {
        return Err(malformed(format!("there are more than {MAX_ITEMS}")));
    }
    let root = header
        .items_root
        .as_slice()
        .try_into()
        .map_err(|_| malformed("their root has not 32 octets".to_owned()))?;
    let commitment = ItemsCommitment {
        count: header.item_count,
        root,
    };
    commitment
        .check(evidence)
        .map_err(|error| malformed(error.to_string()))?;
    evidence
        .iter()
        .map(|item| match item {
            ItemEvidence::Full(item) => items::split_item(item)
                .map(|(_, body)| Zeroizing::new(body.to_vec()))
                .map_err(|error| malformed(error.to_string())),
            ItemEvidence::Erased(_) => Err(malformed("one was left out".to_owned())),
        })
        .collect()
}

/// Splits a wire message into its envelope and what is kept of it.
///
/// # Errors
/// [`Refusal::Malformed`] if a part is missing or has a wrong length.
pub fn take_apart(message: pb::SignedMessage) -> Result<(Envelope, Evidence), Refusal> {
    let wire = message.envelope.ok_or(Refusal::Malformed {
        what: "envelope",
        why: "it is missing".to_owned(),
    })?;
    let stored = Zeroizing::new(wire.encode_to_vec());
    let envelope = envelope_from_wire(wire)?;
    let items = message
        .items
        .into_iter()
        .map(|item| match item.form {
            Some(pb::item::Form::Full(item)) => Ok(ItemEvidence::full(item)),
            Some(pb::item::Form::Erased(hash)) => hash
                .try_into()
                .map(ItemEvidence::Erased)
                .map_err(|_| "an erased one has not 32 octets"),
            None => Err("one is empty"),
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| Refusal::Malformed {
            what: "items",
            why: why.to_owned(),
        })?;
    Ok((
        envelope,
        Evidence {
            envelope: stored,
            items,
        },
    ))
}

/// A kept message as it travels.
#[must_use]
pub fn to_wire(evidence: &Evidence) -> pb::SignedMessage {
    pb::SignedMessage {
        // What is kept was encoded here or checked on its way in.
        envelope: pb::Envelope::decode(evidence.envelope.as_slice()).ok(),
        items: evidence
            .items
            .iter()
            .map(|item| pb::Item {
                form: Some(match item {
                    ItemEvidence::Full(item) => pb::item::Form::Full(item.to_vec()),
                    ItemEvidence::Erased(hash) => pb::item::Form::Erased(hash.to_vec()),
                }),
            })
            .collect(),
        seen_checkpoints: Vec::new(),
    }
}

fn envelope_from_wire(wire: pb::Envelope) -> Result<Envelope, Refusal> {
    let malformed = |why: String| Refusal::Malformed {
        what: "envelope",
        why,
    };
    let signatures = wire
        .signatures
        .into_iter()
        .map(|signature| {
            Ok(Signature {
                key_id: KeyId::from_bytes(&signature.key_id)
                    .map_err(|error| malformed(error.to_string()))?,
                sig: signature
                    .sig
                    .try_into()
                    .map_err(|_| malformed("a signature has not 64 octets".to_owned()))?,
            })
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    Envelope::from_parts(wire.payload_type, wire.payload, signatures)
        .map_err(|error| malformed(error.to_string()))
}

fn envelope_to_wire(envelope: &Envelope) -> pb::Envelope {
    let parts = envelope.unverified_parts();
    pb::Envelope {
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
    }
}

/// Milliseconds since 1970 as the protocol writes a time.
#[must_use]
pub fn timestamp(ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: (ms / 1000) as i64,
        nanos: (ms % 1000) as i32 * 1_000_000,
    }
}

/// A time of the protocol in milliseconds since 1970.
///
/// # Errors
/// [`Refusal::Malformed`] if it is missing or out of range.
pub fn milliseconds(
    time: Option<&prost_types::Timestamp>,
    what: &'static str,
) -> Result<u64, Refusal> {
    let malformed = |why: &str| Refusal::Malformed {
        what,
        why: why.to_owned(),
    };
    let time = time.ok_or_else(|| malformed("it is missing"))?;
    let seconds = u64::try_from(time.seconds).map_err(|_| malformed("it lies before 1970"))?;
    let nanos = u64::try_from(time.nanos).map_err(|_| malformed("it has negative nanoseconds"))?;
    if seconds > 253_402_300_799 || nanos > 999_999_999 {
        return Err(malformed("it is no time of the calendar"));
    }
    Ok(seconds * 1000 + nanos / 1_000_000)
}

/// The sixteen octets of an id in a message; `what` names it in the refusal.
pub(super) fn sixteen_octets(what: &'static str, octets: &[u8]) -> Result<[u8; 16], Refusal> {
    octets.try_into().map_err(|_| not_sixteen_octets(what))
}

fn not_sixteen_octets(what: &'static str) -> Refusal {
    Refusal::Malformed {
        what,
        why: "it has not 16 octets".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_in_a_lookup_answer_shows_in_its_size() {
        for text in 0..2 * PADDED_TO {
            let mut answer = pb::LookupAnswer::default();
            answer.set_receipt(pb::Receipt {
                leaf_hash: vec![7; 32],
                leaf_index: 1 << (text % 60),
                checkpoint: "x".repeat(text),
            });
            answer.pad();
            assert!(answer.encoded_len().is_multiple_of(PADDED_TO), "{text}");
        }
    }
}
