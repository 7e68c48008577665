//! The node's side: what it owes an ombudsman, and what it owes anyone.
//!
//! Checkpoints and proofs are for every active party. Leaves, evidence and pseudonyms are for
//! ombudsmen within their scope, who ask by signed queries. Each such query is a leaf of its own,
//! durable before the first octet of its answer, and the checkpoint that opens a stream covers
//! that very leaf: nobody reads a log without a trace in it.
//!
//! Damage is told, not hidden: a leaf or a piece of evidence that does not open any more is named
//! where it stands in the stream, the stream goes on, and ends with `DATA_LOSS` for the first.

mod blinds;
mod index;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::entry::run_reference;
use crate::envelope::ItemEvidence;
use crate::exchange::leaf::Leaf;
use crate::exchange::lookup::{ProbedSubject, weigh};
use crate::exchange::message::{AnswerItems, AnswerTo, Query, to_wire};
use crate::exchange::service::{self, Answering};
use crate::exchange::{Party, Refusal, enrol, purpose_to};
use crate::linkage::Grade;
use crate::proto::exchange as pb;
use crate::proto::exchange::audit_service_server::AuditService;
use crate::roster::{Member, OmbudsmanScope, Purpose, TrustedRoster};
use crate::store::{Act, Behind, Committed, Effect, Evidence, EvidencePart, KeptPart, StoreError};
use crate::tlog::{ProofError, SignedCheckpoint, proof};

/// Leaves in one part of a stream.
const LEAVES: u64 = 256;

/// Leaves whose evidence is read from the database at a time.
const EVIDENCE: u64 = 16;

/// Most records that a child's tokens are answered with.
const MOST_NAMED: usize = 16;

/// Longest reference of a record, in octets: 64 characters.
const MAX_REFERENCE: usize = 256;

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The audit service of one node.
///
/// `pin_of` finds the pin of the certificate that a request's connection showed.
pub struct AuditServer<F> {
    party: Arc<Party>,
    pin_of: F,
}

impl<F> AuditServer<F>
where
    F: Fn(&tonic::Extensions) -> Option<[u8; 32]> + Send + Sync + 'static,
{
    /// The audit service of `party`.
    #[must_use]
    pub fn new(party: Arc<Party>, pin_of: F) -> Self {
        Self { party, pin_of }
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<Member, Refusal> {
        let pin = (self.pin_of)(request.extensions()).ok_or(Refusal::UnknownParty)?;
        let roster = self.party.roster()?;
        self.party.caller(&roster, &pin)
    }
}

#[tonic::async_trait]
impl<F> AuditService for AuditServer<F>
where
    F: Fn(&tonic::Extensions) -> Option<[u8; 32]> + Send + Sync + 'static,
{
    async fn get_checkpoint(
        &self,
        request: Request<pb::GetCheckpointRequest>,
    ) -> Result<Response<pb::GetCheckpointResponse>, Status> {
        self.caller(&request)?;
        let (_, checkpoint) = newest_checkpoint(&self.party).await?;
        let cosigned = self
            .party
            .store()
            .published_checkpoint()
            .await
            .map_err(|error| self.party.unavailable(&error))?
            .map(|(_, cosigned)| cosigned)
            .unwrap_or_default();
        Ok(Response::new(pb::GetCheckpointResponse {
            checkpoint,
            cosigned,
        }))
    }

    async fn prove_consistency(
        &self,
        request: Request<pb::ProveConsistencyRequest>,
    ) -> Result<Response<pb::ProveConsistencyResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        let proof = prove_consistency(&self.party, asked.old_size, asked.new_size).await?;
        Ok(Response::new(pb::ProveConsistencyResponse { proof }))
    }

    async fn prove_inclusion(
        &self,
        request: Request<pb::ProveInclusionRequest>,
    ) -> Result<Response<pb::ProveInclusionResponse>, Status> {
        self.caller(&request)?;
        let asked = request.into_inner();
        let proof = prove_inclusion(&self.party, asked.leaf_index, asked.size).await?;
        Ok(Response::new(pb::ProveInclusionResponse { proof }))
    }

    type ReadEntriesStream = Parts<pb::ReadEntriesResponse>;

    async fn read_entries(
        &self,
        request: Request<pb::ReadEntriesRequest>,
    ) -> Result<Response<Self::ReadEntriesStream>, Status> {
        let caller = self.caller(&request)?;
        let message = message(request.into_inner().message)?;
        Ok(Response::new(
            read_entries(&self.party, &caller, message).await?,
        ))
    }

    type ReadEvidenceStream = Parts<pb::ReadEvidenceResponse>;

    async fn read_evidence(
        &self,
        request: Request<pb::ReadEvidenceRequest>,
    ) -> Result<Response<Self::ReadEvidenceStream>, Status> {
        let caller = self.caller(&request)?;
        let message = message(request.into_inner().message)?;
        Ok(Response::new(
            read_evidence(&self.party, &caller, message).await?,
        ))
    }

    async fn resolve_subject(
        &self,
        request: Request<pb::ResolveSubjectRequest>,
    ) -> Result<Response<pb::ResolveSubjectResponse>, Status> {
        let caller = self.caller(&request)?;
        let message = message(request.into_inner().message)?;
        let answer = resolve_subject(&self.party, &caller, message).await?;
        Ok(Response::new(pb::ResolveSubjectResponse {
            message: Some(answer),
        }))
    }
}

fn message(message: Option<pb::SignedMessage>) -> Result<pb::SignedMessage, Refusal> {
    message.ok_or(Refusal::Malformed {
        what: "message",
        why: "it is missing".to_owned(),
    })
}

/// The newest checkpoint with its size.
async fn newest_checkpoint(party: &Party) -> Result<(u64, String), Refusal> {
    party
        .store()
        .checkpoint()
        .await
        .map_err(|error| party.unavailable(&error))?
        .ok_or(Refusal::BeyondLog { size: 0 })
}

async fn prove_consistency(
    party: &Party,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Vec<u8>>, Refusal> {
    within_log(party, new_size).await?;
    let nodes = proof::consistency_nodes(old_size, new_size).map_err(|error| unproved(&error))?;
    let hashes = party
        .store()
        .log_hashes(&nodes)
        .await
        .map_err(|error| party.unavailable(&error))?;
    let proof = proof::assemble_consistency(old_size, new_size, &hashes)
        .map_err(|error| unproved(&error))?;
    Ok(proof.into_iter().map(Vec::from).collect())
}

async fn prove_inclusion(
    party: &Party,
    leaf_index: u64,
    size: u64,
) -> Result<Vec<Vec<u8>>, Refusal> {
    within_log(party, size).await?;
    let nodes = proof::inclusion_nodes(leaf_index, size).map_err(|error| unproved(&error))?;
    let hashes = party
        .store()
        .log_hashes(&nodes)
        .await
        .map_err(|error| party.unavailable(&error))?;
    let proof =
        proof::assemble_inclusion(leaf_index, size, &hashes).map_err(|error| unproved(&error))?;
    Ok(proof.into_iter().map(Vec::from).collect())
}

async fn within_log(party: &Party, size: u64) -> Result<(), Refusal> {
    let (newest, _) = newest_checkpoint(party).await?;
    if size <= newest {
        Ok(())
    } else {
        Err(Refusal::BeyondLog { size: newest })
    }
}

fn unproved(error: &ProofError) -> Refusal {
    Refusal::Malformed {
        what: "tree sizes",
        why: error.to_string(),
    }
}

/// Serves leaves to an ombudsman.
///
/// # Errors
/// A [`Refusal`], which is recorded if the query was verified.
pub async fn read_entries(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<Parts<pb::ReadEntriesResponse>, Refusal> {
    let run = open_run(party, caller, message, Wanted::Entries).await?;
    let party = Arc::clone(party);
    let state = Reading {
        first_damaged: None,
        done: false,
        first: true,
        run,
    };
    Ok(Box::pin(stream::try_unfold(state, move |mut state| {
        let party = Arc::clone(&party);
        async move {
            let Run { next, end, .. } = state.run;
            if next >= end && !state.first {
                return state.finish();
            }
            let upto = end.min(next.saturating_add(LEAVES));
            let leaves = party
                .store()
                .leaves_each(next, upto)
                .await
                .map_err(|error| party.unavailable(&error))?;
            let mut part = pb::ReadEntriesResponse {
                start: next,
                ..pb::ReadEntriesResponse::default()
            };
            if state.first {
                part.checkpoint = std::mem::take(&mut state.run.checkpoint);
            }
            for (leaf_index, leaf) in (next..).zip(leaves) {
                if let Err(error) = &leaf {
                    tracing::error!(%error, "an ombudsman is told of a damaged leaf");
                    part.damaged.push(leaf_index);
                    state.first_damaged.get_or_insert(leaf_index);
                }
                part.entries.push(leaf.unwrap_or_default());
            }
            state.run.next = upto;
            state.first = false;
            Ok(Some((part, state)))
        }
    })))
}

/// Serves the evidence behind leaves to an ombudsman.
///
/// # Errors
/// A [`Refusal`], which is recorded if the query was verified.
pub async fn read_evidence(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<Parts<pb::ReadEvidenceResponse>, Refusal> {
    let run = open_run(party, caller, message, Wanted::Evidence).await?;
    let party = Arc::clone(party);
    let state = Reading {
        first_damaged: None,
        done: false,
        first: true,
        run,
    };
    let batches = stream::try_unfold(state, move |mut state| {
        let party = Arc::clone(&party);
        async move {
            let Run { next, end, .. } = state.run;
            if next >= end {
                return state.finish();
            }
            let upto = end.min(next.saturating_add(EVIDENCE));
            let mut found = party
                .store()
                .evidence_between(next, upto)
                .await
                .map_err(|error| party.unavailable(&error))?;
            let mut batch = Vec::new();
            for leaf_index in next..upto {
                let behind = found.remove(&leaf_index).unwrap_or_default();
                let part = served(leaf_index, behind);
                if !part.damaged.is_empty() {
                    tracing::error!(leaf_index, "an ombudsman is told of damaged evidence");
                    state.first_damaged.get_or_insert(leaf_index);
                }
                batch.push(Ok(part));
            }
            state.run.next = upto;
            Ok::<_, Status>(Some((stream::iter(batch), state)))
        }
    });
    Ok(Box::pin(futures_util::TryStreamExt::try_flatten(batches)))
}

/// Names the pseudonym of a record to an ombudsman, with its proof.
///
/// # Errors
/// A [`Refusal`], which is recorded if the query was verified.
pub async fn resolve_subject(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
) -> Result<pb::SignedMessage, Refusal> {
    let roster = party.roster()?;
    let query: Query<pb::AuditQuery> = service::open(party, &roster, caller, message).await?;
    let reply = resolve(party, &roster, &query).await;
    service::settle(party, &query, reply).await
}

async fn resolve(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::AuditQuery>,
) -> Result<Answering, Refusal> {
    check_scope(party, roster, query)?;
    match query.payload.subject {
        Some(pb::audit_query::Subject::Pseudonym(true)) => {}
        Some(pb::audit_query::Subject::ChildEpoch(epoch)) => {
            return resolve_child(party, roster, query, epoch).await;
        }
        Some(pb::audit_query::Subject::IndexEpoch(epoch)) => {
            return index::resolve_index(party, roster, query, epoch).await;
        }
        Some(pb::audit_query::Subject::Blinds(ref asked)) => {
            return blinds::resolve_blinds(party, roster, query, asked).await;
        }
        _ => return Err(other_subject()),
    }
    let malformed = |why: &str| Refusal::Malformed {
        what: "record reference",
        why: why.to_owned(),
    };
    let [reference] = query.items.as_slice() else {
        return Err(malformed("it is the query's one item"));
    };
    if reference.is_empty() || reference.len() > MAX_REFERENCE {
        return Err(malformed("it has 1 to 64 characters"));
    }
    let text = std::str::from_utf8(reference).map_err(|_| malformed("it is not UTF-8"))?;
    let held = party
        .store()
        .record_by_ref(text)
        .await
        .map_err(|error| party.unavailable(&error))?
        .is_some();
    let subject = party.pseudonym(text)?;
    let proved = prove_pseudonym(party, reference)?;
    let payload = pb::SubjectAnswer {
        subject: subject.as_bytes().to_vec(),
        proof: proved,
        held,
        ..pb::SubjectAnswer::default()
    };
    let items = AnswerItems::new(party, &[]);
    let leaf = audit_leaf(party, "pseudonym".to_owned(), 1)
        .set(|entry| entry.subject = subject.as_bytes().to_vec());
    Ok(answering(party, roster, query, items, leaf, payload))
}

/// Names the records that a child touches, as a lookup of it would find them: those that would be
/// a match or a possible one, the best first.
async fn resolve_child(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::AuditQuery>,
    epoch: u32,
) -> Result<Answering, Refusal> {
    party.coalition_key(roster, Some(epoch))?;
    let subject = one_child(party, query)?;
    let unavailable = |error: &StoreError| party.unavailable(error);
    let weighed = weigh(party.store(), party.rules(), epoch, &[subject])
        .await
        .map_err(|error| unavailable(&error))?;
    let touched = weighed
        .subjects
        .into_iter()
        .flatten()
        .filter(|candidate| candidate.decision.grade != Grade::NoMatch)
        .take(MOST_NAMED);
    let mut named = Vec::new();
    for candidate in touched {
        let stored = party
            .store()
            .record_by_id(candidate.record_id)
            .await
            .map_err(|error| unavailable(&error))?;
        // Erased since: there is nothing to name.
        let Some(stored) = stored else { continue };
        let record = enrol::parse(&stored).map_err(|error| unavailable(&error))?;
        let record_ref = record.record_ref.as_str().to_owned();
        named.push(named_record(party, record_ref)?.encode_to_vec());
    }
    let bodies: Vec<&[u8]> = named.iter().map(Vec::as_slice).collect();
    let items = AnswerItems::new(party, &bodies);
    let payload = pb::SubjectAnswer {
        held: !named.is_empty(),
        ..pb::SubjectAnswer::default()
    };
    let count = u32::try_from(named.len()).unwrap_or(u32::MAX);
    let leaf = audit_leaf(party, "child".to_owned(), count);
    Ok(answering(party, roster, query, items, leaf, payload))
}

/// A record as it is named to an ombudsman, with the proof of its pseudonym.
fn named_record(party: &Party, record_ref: String) -> Result<pb::NamedRecord, Refusal> {
    Ok(pb::NamedRecord {
        subject: party.pseudonym(&record_ref)?.as_bytes().to_vec(),
        proof: prove_pseudonym(party, record_ref.as_bytes())?,
        record_ref,
    })
}

/// The evaluated element of a reference, then the proof that it is the only possible one.
fn prove_pseudonym(party: &Party, reference: &[u8]) -> Result<Vec<u8>, Refusal> {
    let proof = party
        .pseudonym_key()
        .prove(reference)
        .map_err(|error| Refusal::Malformed {
            what: "record reference",
            why: error.to_string(),
        })?;
    let mut proved = proof.element.as_bytes().to_vec();
    proved.extend_from_slice(proof.proof.as_bytes());
    Ok(proved)
}

#[derive(Clone, Copy)]
enum Wanted {
    Entries,
    Evidence,
}

/// A run of leaves that is being served.
struct Run {
    next: u64,
    end: u64,
    /// Covers all of them, and the leaf of the request itself.
    checkpoint: String,
}

struct Reading {
    run: Run,
    first: bool,
    done: bool,
    first_damaged: Option<u64>,
}

impl Reading {
    /// The end of a stream: an error that names the first damaged leaf, if there was one.
    fn finish<T>(mut self) -> Result<Option<(T, Self)>, Status> {
        match self.first_damaged {
            Some(leaf_index) if !self.done => {
                self.done = true;
                Err(Refusal::DamagedLeaf { leaf_index }.into())
            }
            _ => Ok(None),
        }
    }
}

/// Opens a query for a run of leaves and makes its own leaf durable.
async fn open_run(
    party: &Arc<Party>,
    caller: &Member,
    message: pb::SignedMessage,
    wanted: Wanted,
) -> Result<Run, Refusal> {
    let roster = party.roster()?;
    let query: Query<pb::AuditQuery> = service::open(party, &roster, caller, message).await?;
    match begin_run(party, &roster, &query, wanted).await {
        Ok(run) => Ok(run),
        Err(refusal) => {
            // Settling a refusal records it; there is no signed answer that could come back.
            match service::settle(party, &query, Err(refusal.clone())).await {
                Err(settled) => Err(settled),
                Ok(_) => Err(refusal),
            }
        }
    }
}

async fn begin_run(
    party: &Arc<Party>,
    roster: &TrustedRoster,
    query: &Query<pb::AuditQuery>,
    wanted: Wanted,
) -> Result<Run, Refusal> {
    check_scope(party, roster, query)?;
    let (name, range) = match (wanted, &query.payload.subject) {
        (Wanted::Entries, Some(pb::audit_query::Subject::Entries(range))) => ("entries", range),
        (Wanted::Evidence, Some(pb::audit_query::Subject::Evidence(range))) => ("evidence", range),
        _ => return Err(other_subject()),
    };
    let (size, _) = newest_checkpoint(party).await?;
    // The leaf of this very request will follow the newest one.
    if range.start > size {
        return Err(Refusal::BeyondLog { size });
    }
    let asked = run_reference(name, range);
    let count = range.count.min((size - range.start).saturating_add(1));
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let (leaf, opening) = audit_leaf(party, asked, count)
        .set(|entry| {
            entry.time_ms = query.opened_ms;
            entry.peer = query.issuer.id.as_str().to_owned();
            entry.message_id = query.message_id.to_vec();
            entry.query_digest = query.digest.to_vec();
        })
        .finish();
    let mut act = Act::alone(leaf)
        .with(Effect::Keep(EvidencePart::Query, query.evidence.clone()))
        .with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
    act.seen = Some(query.seen(party));
    let checkpoint = match party
        .ledger()
        .commit(act)
        .await
        .map_err(|error| party.unavailable(&error))?
    {
        Committed::Done { position, .. } => position.checkpoint.to_string(),
        // Asked again with the same message: the act stands, and the newest checkpoint covers it.
        Committed::Repeated { .. } => newest_checkpoint(party).await?.1,
        Committed::Reused => return Err(Refusal::MessageIdReused),
        Committed::Stale | Committed::OverQuota { .. } => return Err(other_subject()),
    };
    let size = SignedCheckpoint::parse(checkpoint.as_bytes())
        .map_or(size, |signed| signed.unverified().size());
    Ok(Run {
        next: range.start,
        end: size.min(range.start.saturating_add(range.count)),
        checkpoint,
    })
}

/// The child that a query is about, as the subject of a lookup.
fn one_child(party: &Party, query: &Query<pb::AuditQuery>) -> Result<ProbedSubject, Refusal> {
    let malformed = |why: &str| Refusal::Malformed {
        what: "child",
        why: why.to_owned(),
    };
    let [item] = query.items.as_slice() else {
        return Err(malformed("it is the query's one item"));
    };
    let subject = pb::LookupSubject::decode(item.as_slice())
        .map_err(|_| malformed("it is no subject of a lookup"))?;
    ProbedSubject::from_wire(party.rules(), &subject).map_err(malformed)
}

/// The act of answering a query, whose leaf commits to the items of the answer.
fn answering(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::AuditQuery>,
    items: AnswerItems,
    leaf: Leaf,
    payload: pb::SubjectAnswer,
) -> Answering {
    let leaf = leaf.set(|entry| entry.answer_digest = items.root().to_vec());
    let to = AnswerTo::from(query);
    let (signer, roster) = (Arc::clone(party), Arc::clone(roster));
    Answering {
        leaf,
        debits: Vec::new(),
        effects: Vec::new(),
        answer: Box::new(move |position| items.sign(&signer, &roster, &to, &payload, position)),
    }
}

fn audit_leaf(party: &Party, reference: String, count: u32) -> Leaf {
    Leaf::new(
        pb::Act::AuditAnswered,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.purpose = purpose_to(Purpose::Audit).into();
        entry.count = count;
        entry.reference = reference;
    })
}

fn check_scope(
    party: &Party,
    roster: &TrustedRoster,
    query: &Query<pb::AuditQuery>,
) -> Result<(), Refusal> {
    may_read(party, roster, &query.issuer)
}

/// Whether a party may read this node's leaves: it is an ombudsman, has the node in its scope, and
/// may ask for the purpose of an audit.
///
/// # Errors
/// The [`Refusal`] that it is told.
pub fn may_read(party: &Party, roster: &TrustedRoster, reader: &Member) -> Result<(), Refusal> {
    match &reader.roles.ombudsman {
        None => return Err(Refusal::RoleMissing { role: "ombudsman" }),
        Some(OmbudsmanScope::Coalition) => {}
        Some(OmbudsmanScope::Member(member)) if member == party.id() => {}
        Some(OmbudsmanScope::Member(_)) => return Err(Refusal::OutOfScope),
    }
    if roster.permits(reader.id.as_str(), Purpose::Audit, party.ambient().now()) {
        Ok(())
    } else {
        Err(Refusal::PurposeNotPermitted {
            purpose: Purpose::Audit.to_string(),
        })
    }
}

fn other_subject() -> Refusal {
    Refusal::Malformed {
        what: "audit query",
        why: "it does not ask for what this call gives".to_owned(),
    }
}

/// The evidence behind a leaf as an ombudsman is given it.
fn served(leaf_index: u64, mut behind: Behind) -> pb::ReadEvidenceResponse {
    let mut reply = pb::ReadEvidenceResponse {
        leaf_index,
        ..pb::ReadEvidenceResponse::default()
    };
    let mut take = |part: EvidencePart, name: pb::EvidencePart| {
        let KeptPart { evidence, damaged } = behind.parts.remove(&(part as u8))?;
        reply
            .damaged
            .extend(damaged.into_iter().map(|item| pb::DamagedEvidence {
                part: name.into(),
                item,
            }));
        evidence
    };
    let query = take(EvidencePart::Query, pb::EvidencePart::Query);
    let answer = take(EvidencePart::Answer, pb::EvidencePart::Answer);
    let opening = take(EvidencePart::Opening, pb::EvidencePart::Opening);
    let seed = take(EvidencePart::Seed, pb::EvidencePart::Seed);
    let document = take(EvidencePart::Document, pb::EvidencePart::Document);
    reply.query = query.map(without_personal_items);
    reply.answer = answer.map(without_personal_items);
    reply.opening = opening.map_or_else(Vec::new, |opening| opening.envelope.to_vec());
    reply.seed_kept = seed.is_some();
    reply.document = document.map_or_else(Vec::new, |document| document.envelope.to_vec());
    reply
}

/// Leaves out what an ombudsman does not need to see: disclosed values, justifications, references
/// of records; and the blinded elements of evaluations, which are random to everyone and many.
/// Their hashes stay, so that the signature still covers them. Subjects and results of lookups are
/// served whole: they are tokens and grades, and the ombudsman scans them.
fn without_personal_items(evidence: Evidence) -> pb::SignedMessage {
    let mut message = to_wire(&evidence);
    let served_whole = message
        .envelope
        .as_ref()
        .is_some_and(|envelope| SERVED_WHOLE.contains(&envelope.payload_type.as_str()));
    if !served_whole {
        message.items = evidence
            .items
            .iter()
            .map(|item| pb::Item {
                form: Some(pb::item::Form::Erased(
                    ItemEvidence::leaf_hash(item).to_vec(),
                )),
            })
            .collect();
    }
    message
}

/// Types whose items hold no personal data.
const SERVED_WHOLE: &[&str] = &[
    "application/vnd.wayhome.lookup-query.v1",
    "application/vnd.wayhome.lookup-answer.v1",
];
