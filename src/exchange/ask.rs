//! What all acts on the asking side share: the leaf before the query leaves, the call, the check
//! of the answer, and the leaf that says which answer came.

use std::future::Future;
use std::time::Duration;

use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::leaf::Leaf;
use super::link::{Link, PeerChannel};
use super::message::{Answer, AnswerPayload, Outgoing, Payload as _, open_answer, take_apart};
use super::{Party, PeerError, Refusal};
use crate::envelope::{ItemEvidence, dsse};
use crate::proto::exchange as pb;
use crate::roster::{LegalBasis, Member, Purpose, TrustedRoster};
use crate::store::{Act, Committed, Effect, Evidence, EvidencePart, Receipt, StoreError};

/// How long a peer is given for one answer.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a call is made anew when the peer could not be reached. It is the same message each
/// time, so that the peer does the act once.
const ATTEMPTS: u32 = 3;

/// Longest wait that a peer can ask for before it is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Largest answer, in octets.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// Largest query, in octets: a lookup of 1,000 subjects has two thirds of it.
pub const MAX_QUERY: usize = 1024 * 1024;

/// What the asking side's leaves say.
pub struct Asking {
    /// The act of asking.
    pub asked: pb::Act,
    /// The act of receiving.
    pub received: pb::Act,
    /// Purpose and legal basis, if the query states them.
    pub ground: Option<(Purpose, LegalBasis)>,
    /// Elements, subjects or fields.
    pub count: u32,
    /// The inner outcome behind the commitment of the asking leaf.
    pub outcome: pb::Outcome,
    /// What else is kept with the asking leaf.
    pub keep: Vec<(EvidencePart, Evidence)>,
}

/// An answer with what it cost.
pub struct Asked<P> {
    /// The verified answer.
    pub answer: Answer<P>,
    /// Octets sent.
    pub bytes_sent: u64,
    /// Octets received.
    pub bytes_received: u64,
}

/// What an answer changes, beyond being kept.
#[tonic::async_trait]
pub trait OnAnswer<P>: Sync {
    /// The effects that go with the leaf of the answer's receipt. Called anew if the act was refused
    /// because something changed at the same moment.
    async fn effects(&self, party: &Party, answer: &Answer<P>) -> Result<Changes, StoreError>;
}

/// What goes with the leaf of an answer's receipt.
#[derive(Default)]
pub struct Changes {
    /// The effects.
    pub effects: Vec<Effect>,
    /// Whether of the answer's items only their hashes are kept: enough to prove what came, and
    /// nothing of what it said.
    pub hashes_only: bool,
}

impl From<Vec<Effect>> for Changes {
    fn from(effects: Vec<Effect>) -> Self {
        Self {
            effects,
            hashes_only: false,
        }
    }
}

/// An answer that is kept, and changes nothing else.
pub struct KeptOnly;

#[tonic::async_trait]
impl<P: AnswerPayload + Sync> OnAnswer<P> for KeptOnly {
    async fn effects(&self, _: &Party, _: &Answer<P>) -> Result<Changes, StoreError> {
        Ok(Changes::default())
    }
}

/// How often the receipt of an answer is recorded anew because something changed at the same moment.
const RECEIPTS: u32 = 5;

/// Asks `holder`: records the act, sends, verifies what comes back, and records that.
///
/// `send` makes the call; it may be called again with the same message.
///
/// # Errors
/// [`PeerError`] names the peer and what is wrong. Once this returns `Ok`, both leaves are durable.
pub async fn ask<P, F, R>(
    party: &Party,
    roster: &TrustedRoster,
    holder: &Member,
    query: &Outgoing,
    asking: Asking,
    send: F,
) -> Result<Asked<P>, PeerError>
where
    P: AnswerPayload + Sync,
    F: Fn(pb::SignedMessage) -> R,
    R: Future<Output = Result<Option<pb::SignedMessage>, Status>>,
{
    ask_keeping(
        party,
        roster,
        holder,
        query,
        asking,
        Vec::new(),
        &KeptOnly,
        send,
    )
    .await
}

/// As [`ask`], with effects of the asking act and of the answer's receipt.
///
/// # Errors
/// As [`ask`].
#[allow(clippy::too_many_arguments, reason = "it is `ask` with two more")]
pub async fn ask_keeping<P, F, R>(
    party: &Party,
    roster: &TrustedRoster,
    holder: &Member,
    query: &Outgoing,
    mut asking: Asking,
    before: Vec<Effect>,
    on_answer: &dyn OnAnswer<P>,
    send: F,
) -> Result<Asked<P>, PeerError>
where
    P: AnswerPayload + Sync,
    F: Fn(pb::SignedMessage) -> R,
    R: Future<Output = Result<Option<pb::SignedMessage>, Status>>,
{
    let (leaf, opening) = Leaf::new(asking.asked, party.ambient(), &asking.outcome)
        .set(|entry| fill(entry, holder, query, &asking))
        .finish();
    let mut act = Act::alone(leaf)
        .with(Effect::Keep(EvidencePart::Query, query.evidence.clone()))
        .with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
    for (part, evidence) in std::mem::take(&mut asking.keep) {
        act = act.with(Effect::Keep(part, evidence));
    }
    act.effects.extend(before);
    done(party.ledger().commit(act).await?)?;
    complete(party, roster, holder, query, &asking, on_answer, send).await
}

fn fill(entry: &mut pb::LogEntry, holder: &Member, query: &Outgoing, asking: &Asking) {
    entry.peer = holder.id.as_str().to_owned();
    entry.message_id = query.message_id.to_vec();
    entry.query_digest = query.digest.to_vec();
    entry.count = asking.count;
    if let Some((purpose, basis)) = asking.ground {
        entry.purpose = super::purpose_to(purpose).into();
        entry.legal_basis = super::legal_basis_to(basis).into();
    }
}

/// As [`ask_keeping`], for a query whose act of asking is recorded already: sends it, or sends it
/// again, and records what comes back.
///
/// # Errors
/// As [`ask`].
pub async fn complete<P, F, R>(
    party: &Party,
    roster: &TrustedRoster,
    holder: &Member,
    query: &Outgoing,
    asking: &Asking,
    on_answer: &dyn OnAnswer<P>,
    send: F,
) -> Result<Asked<P>, PeerError>
where
    P: AnswerPayload + Sync,
    F: Fn(pb::SignedMessage) -> R,
    R: Future<Output = Result<Option<pb::SignedMessage>, Status>>,
{
    let peer = holder.id.as_str();
    let bytes_sent = query.message.encoded_len() as u64;
    let link = party.link(&holder.id);
    let reply = call(peer, &link, || send(query.message.clone())).await?;
    let bytes_received = reply.as_ref().map_or(0, |reply| reply.encoded_len() as u64);
    let came = reply.clone();
    let answer: Answer<P> = match open_answer(party, roster, holder, query, reply) {
        Ok(answer) => answer,
        Err(why) => {
            // One that came too late is not wrong.
            if let (Some(came), false) = (came, why == Refusal::Expired.into()) {
                keep_wrong(party, roster, holder, query, came, why.code()).await;
            }
            return Err(PeerError::BadAnswer {
                member: peer.to_owned(),
                why,
            });
        }
    };

    // What keyholders answered is tokens in all but name: the proof of it stays, it does not.
    let never_kept = asking.received == pb::Act::EvaluationReceived;
    let promise = Receipt {
        member: peer.to_owned(),
        leaf_index: answer.receipt.leaf_index,
        // Checked with the rest of the receipt to have 32 octets.
        leaf_hash: answer
            .receipt
            .leaf_hash
            .as_slice()
            .try_into()
            .unwrap_or_default(),
        head: answer.covered,
        checkpoint: answer.receipt.checkpoint.clone(),
        query_digest: query.digest,
    };
    let mut recorded = Committed::Stale;
    for _ in 0..RECEIPTS {
        let changes = on_answer.effects(party, &answer).await?;
        let mut kept = answer.evidence.clone();
        if never_kept || changes.hashes_only {
            kept.items = kept.items.iter().map(ItemEvidence::erased).collect();
        }
        let (leaf, opening) = Leaf::new(asking.received, party.ambient(), &pb::Outcome::default())
            .set(|entry| fill(entry, holder, query, asking))
            .set(|entry| {
                entry.time_ms = answer.opened_ms;
                entry.answer_digest = answer.items_root.to_vec();
                entry.reference = answer.receipt.leaf_index.to_string();
            })
            .finish();
        let mut act = Act::alone(leaf)
            .with(Effect::Owe(promise.clone()))
            .with(Effect::Keep(EvidencePart::Query, query.evidence.clone()))
            .with(Effect::Keep(EvidencePart::Answer, kept))
            .with(Effect::Keep(
                EvidencePart::Opening,
                Evidence::plain(opening),
            ));
        act.effects.extend(changes.effects);
        recorded = party.ledger().commit(act).await?;
        if !matches!(recorded, Committed::Stale) {
            break;
        }
    }
    done(recorded)?;
    Ok(Asked {
        answer,
        bytes_sent,
        bytes_received,
    })
}

/// The code of an evaluation whose proof does not hold.
pub(super) const BAD_PROOF: &str = "BAD_PROOF";

/// Keeps an answer that does not hold, if the peer signed it: it proves what the peer did.
///
/// Of what was disclosed, and of evaluations that may be right, only hashes are kept. A failure to
/// keep it is logged, for the asker is told of the answer in any case.
pub(super) async fn keep_wrong(
    party: &Party,
    roster: &TrustedRoster,
    holder: &Member,
    query: &Outgoing,
    answer: pb::SignedMessage,
    code: &'static str,
) {
    let Ok((envelope, mut evidence)) = take_apart(answer) else {
        return;
    };
    let payload_type = envelope.unverified_parts().payload_type.to_owned();
    let now = party.ambient().now();
    let verified = dsse::verify(&envelope, &payload_type, |key_id| {
        roster.signing_key(holder.id.as_str(), key_id, now).ok()
    });
    let Ok(digest) = verified.map(|verified| verified.digest()) else {
        return;
    };
    if payload_type != pb::LookupAnswer::TYPE && code != BAD_PROOF {
        evidence.items = evidence.items.iter().map(ItemEvidence::erased).collect();
    }
    let (leaf, _) = Leaf::new(
        pb::Act::WrongAnswer,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.peer = holder.id.as_str().to_owned();
        entry.message_id = query.message_id.to_vec();
        entry.query_digest = query.digest.to_vec();
        entry.answer_digest = digest.to_vec();
        entry.reference = code.to_owned();
    })
    .finish();
    let act = Act::alone(leaf)
        .with(Effect::Keep(EvidencePart::Query, query.evidence.clone()))
        .with(Effect::Keep(EvidencePart::Answer, evidence));
    let peer = holder.id.as_str();
    tracing::error!(
        peer,
        code,
        "a peer signed an answer that does not hold; it is kept"
    );
    if let Err(error) = party.ledger().commit(act).await {
        tracing::error!(peer, %error, "a wrong answer could not be kept");
    }
}

async fn call<R>(
    peer: &str,
    link: &Link,
    send: impl Fn() -> R,
) -> Result<Option<pb::SignedMessage>, PeerError>
where
    R: Future<Output = Result<Option<pb::SignedMessage>, Status>>,
{
    let mut attempt = 1;
    loop {
        let late = || PeerError::Late {
            member: peer.to_owned(),
            seconds: TIMEOUT.as_secs(),
        };
        match tokio::time::timeout(TIMEOUT, send()).await {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(status)) => {
                let wait = if attempt < ATTEMPTS && may_pass(&status) {
                    link.again(attempt)
                } else {
                    None
                };
                let Some(wait) = wait else {
                    return Err(PeerError::Refused {
                        member: peer.to_owned(),
                        refusal: status.into(),
                    });
                };
                tokio::time::sleep(wait.max(asked_to_wait(&status))).await;
                attempt += 1;
            }
            Err(_) => return Err(late()),
        }
    }
}

/// Whether the same message may be taken in a moment: the peer was not reached, could not answer, or
/// had too much to do. A quota that is used up is so until tomorrow.
fn may_pass(status: &Status) -> bool {
    let overloaded = status.code() == Code::ResourceExhausted
        && status
            .get_details_error_info()
            .is_some_and(|info| info.reason == Refusal::Overloaded.code());
    overloaded || may_be_tried_again(status)
}

/// How long an overloaded peer asks to be let be, within reason.
fn asked_to_wait(status: &Status) -> Duration {
    if status.code() != Code::ResourceExhausted {
        return Duration::ZERO;
    }
    status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .unwrap_or_default()
        .min(LONGEST_WAIT)
}

fn done(committed: Committed) -> Result<(), StoreError> {
    match committed {
        Committed::Done { .. } => Ok(()),
        // An act of asking has no guards that could refuse it.
        Committed::Repeated { .. }
        | Committed::Reused
        | Committed::Stale
        | Committed::OverQuota { .. } => Err(StoreError::damaged(
            "ledger",
            "an unguarded act was refused",
        )),
    }
}

/// A channel's client with this protocol's limits; `$client` is a generated client type.
macro_rules! client {
    ($client:ty, $channel:expr) => {
        <$client>::new($channel)
            .max_decoding_message_size($crate::exchange::ask::MAX_MESSAGE)
            .max_encoding_message_size($crate::exchange::ask::MAX_MESSAGE)
    };
}
pub(crate) use client;

/// Opens a channel to `member` for calls: counted, traced, and spared while `member` is away.
///
/// # Errors
/// As [`Peers::channel`](super::Peers::channel).
pub async fn link(party: &Party, member: &Member) -> Result<PeerChannel, PeerError> {
    let channel = party.peers().channel(member).await?;
    Ok(PeerChannel::new(channel, party.link(&member.id)))
}

/// Opens a bare channel to `member`, for what is read by plain HTTP.
///
/// # Errors
/// As [`Peers::channel`](super::Peers::channel).
pub async fn channel(party: &Party, member: &Member) -> Result<Channel, PeerError> {
    party.peers().channel(member).await
}

/// Whether a call may succeed when the same message is sent again: the peer says so, or the
/// connection broke, and another process of the peer's node, or the same one in a moment, can say
/// what became of it.
fn may_be_tried_again(status: &Status) -> bool {
    status.code() == Code::Unavailable || std::error::Error::source(status).is_some()
}
