//! An ombudsman as a party: it has keys and a roster, and neither a register nor a log.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use zeroize::Zeroizing;

use super::entry::Entry;
use super::finding::Fault;
use super::rosters::Rosters;
use crate::ambient::Ambient;
use crate::envelope::SigningKey;
use crate::envelope::merkle::Hash;
use crate::exchange::ask::client;
use crate::exchange::hearsay::Hearsay;
use crate::exchange::message::{
    Answer, AnswerError, Outgoing, Signer, open_answer_to, sign_query_as, to_wire,
};
use crate::exchange::{PeerError, Peers, Refusal, RemoteRefusal};
use crate::proto::exchange as pb;
use crate::proto::exchange::audit_service_client::AuditServiceClient;
use crate::proto::exchange::roster_service_client::RosterServiceClient;
use crate::roster::{Member, MemberId, Versions};
use crate::tlog::SignedCheckpoint;

/// How long a node is given for each part of an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An ombudsman, with all that it needs to ask nodes.
#[derive(Clone)]
pub struct Auditor {
    /// Its id in the roster.
    pub id: MemberId,
    /// Signs its queries.
    pub signing_key: SigningKey,
    /// The rosters it trusts.
    pub rosters: Rosters,
    /// How it reaches nodes.
    pub peers: Arc<dyn Peers>,
    /// What it has verified of their logs: each is told, beside its queries, of what it may have shown
    /// to others.
    pub hearsay: Arc<Hearsay>,
    /// Time and randomness.
    pub ambient: Ambient,
}

/// Why a node gave no answer that an audit can use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Not reached, refused, late, or an answer that does not hold.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The node cannot be told apart from one that lies.
    #[error("{member} breaks the protocol: {why}")]
    Reply {
        /// The member.
        member: MemberId,
        /// How.
        why: String,
    },
}

impl AuditError {
    /// The reason code for machines.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Peer(error) => error.code(),
            Self::Reply { .. } => "BAD_REPLY",
        }
    }
}

impl From<AuditError> for Fault {
    fn from(error: AuditError) -> Self {
        match error {
            // A code of the protocol's own: the node is there and says no.
            AuditError::Peer(PeerError::Refused { refusal, .. })
                if refusal
                    .code
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c == '_') =>
            {
                Self::Refused {
                    code: refusal.code,
                    why: refusal.message,
                }
            }
            AuditError::Peer(PeerError::BadAnswer { why, .. }) => Self::Reply {
                why: why.to_string(),
            },
            AuditError::Peer(error) => Self::Unreachable {
                why: error.to_string(),
            },
            AuditError::Reply { why, .. } => Self::Reply { why },
        }
    }
}

/// A pseudonym as a node named it; its proof is still to be checked against the node's log.
pub(super) struct NamedSubject {
    pub(super) subject: [u8; 16],
    pub(super) proof: Vec<u8>,
    pub(super) held: bool,
    pub(super) at: Answered,
}

/// Where a signed answer stands in the node's log, and the answer itself, to be shown to others.
pub(super) struct Answered {
    pub(super) leaf_index: u64,
    pub(super) query_digest: [u8; 32],
    /// A serialised SignedMessage.
    pub(super) message: Vec<u8>,
}

impl Answered {
    fn new(query: &Outgoing, answer: &Answer<pb::SubjectAnswer>) -> Self {
        Self {
            leaf_index: answer.receipt.leaf_index,
            query_digest: query.digest,
            message: to_wire(&answer.evidence).encode_to_vec(),
        }
    }

    /// Whether a leaf is the one of this answer.
    pub(super) fn is(&self, index: u64, entry: &Entry) -> bool {
        index == self.leaf_index
            && entry.act == pb::Act::AuditAnswered
            && entry.query_digest == Some(self.query_digest)
    }
}

/// A record as a node named it; its proof is still to be checked.
pub(super) struct NamedRecord {
    pub(super) subject: [u8; 16],
    pub(super) proof: Vec<u8>,
    pub(super) record_ref: String,
}

/// The records that a child touches, and where the answer stands in the node's log.
pub(super) struct NamedRecords {
    pub(super) records: Vec<NamedRecord>,
    pub(super) at: Answered,
}

/// What a node proves of its index.
pub(super) struct ProvedIndex {
    pub(super) proof: pb::IndexProof,
    pub(super) at: Answered,
}

/// A run of leaves on its way, one part at a time.
pub(super) struct EntryRun<'a> {
    auditor: &'a Auditor,
    member: &'a Member,
    parts: Streaming<pb::ReadEntriesResponse>,
    first: Option<pb::ReadEntriesResponse>,
    /// The checkpoint that covers it, as it came.
    pub(super) checkpoint: String,
    /// Digest of the query, by which its own leaf is found.
    pub(super) query_digest: [u8; 32],
    next: u64,
    end: u64,
}

impl EntryRun<'_> {
    /// The leaf after the last one that will come.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The next leaves, those that the node cannot read as nothing; an empty part is the end.
    pub(super) async fn next(&mut self) -> Result<Vec<(u64, Option<Vec<u8>>)>, AuditError> {
        let wrong = |why: &str| Err(reply(self.member, why));
        loop {
            let part = match self.first.take() {
                Some(part) => Some(part),
                None => self.receive().await?,
            };
            let Some(part) = part else {
                return if self.next == self.end {
                    Ok(Vec::new())
                } else {
                    wrong("it left leaves out")
                };
            };
            if part.start != self.next {
                return wrong("its leaves are out of order");
            }
            if part.entries.len() as u64 > self.end - self.next {
                return wrong("it gave more leaves than its checkpoint covers");
            }
            let mut leaves = Vec::with_capacity(part.entries.len());
            for entry in part.entries {
                let damaged = part.damaged.contains(&self.next);
                leaves.push((self.next, (!damaged).then_some(entry)));
                self.next += 1;
            }
            if !leaves.is_empty() {
                return Ok(leaves);
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<pb::ReadEntriesResponse>, AuditError> {
        self.auditor.next_part(self.member, &mut self.parts).await
    }
}

/// A run of evidence on its way.
pub(super) struct EvidenceRun<'a> {
    auditor: &'a Auditor,
    member: &'a Member,
    parts: Streaming<pb::ReadEvidenceResponse>,
    next: u64,
    end: u64,
}

impl EvidenceRun<'_> {
    /// The evidence behind the next leaf.
    pub(super) async fn next(&mut self) -> Result<pb::ReadEvidenceResponse, AuditError> {
        let part = self.auditor.next_part(self.member, &mut self.parts).await?;
        match part {
            Some(part) if part.leaf_index == self.next && self.next < self.end => {
                self.next += 1;
                Ok(part)
            }
            Some(_) => Err(reply(self.member, "its evidence is out of order")),
            None => Err(reply(self.member, "it left evidence out")),
        }
    }
}

impl Auditor {
    /// The newest checkpoint of a node, and the one that its witnesses cosigned, as they came.
    ///
    /// # Errors
    /// [`AuditError`] says why there are none.
    pub async fn checkpoints(
        &self,
        member: &Member,
    ) -> Result<pb::GetCheckpointResponse, AuditError> {
        let mut client = self.client(member).await?;
        let reply = self
            .in_time(member, client.get_checkpoint(pb::GetCheckpointRequest {}))
            .await?;
        Ok(reply.into_inner())
    }

    /// The roots and the roster of a node that are newer than these versions, as they came.
    ///
    /// # Errors
    /// [`AuditError`] says why there are none.
    pub async fn newer_rosters(
        &self,
        member: &Member,
        versions: Versions,
    ) -> Result<(Vec<Vec<u8>>, Option<Vec<u8>>), AuditError> {
        let channel = self.peers.channel(member).await?;
        let mut client = client!(RosterServiceClient<_>, channel);
        let asked = pb::GetRosterRequest {
            root_version: u64::from(versions.root),
            roster_version: u64::from(versions.roster),
            roster_root_version: u64::from(versions.roster_root),
        };
        let reply = self
            .in_time(member, client.get_roster(asked))
            .await?
            .into_inner();
        let roster = (!reply.roster.is_empty()).then_some(reply.roster);
        Ok((reply.roots, roster))
    }

    /// A proof that the tree of `new_size` leaves extends that of `old_size`.
    ///
    /// # Errors
    /// [`AuditError`] says why there is none.
    pub async fn prove_consistency(
        &self,
        member: &Member,
        old_size: u64,
        new_size: u64,
    ) -> Result<Vec<Hash>, AuditError> {
        let mut client = self.client(member).await?;
        let asked = pb::ProveConsistencyRequest { old_size, new_size };
        let reply = self
            .in_time(member, client.prove_consistency(asked))
            .await?;
        hashes(member, reply.into_inner().proof)
    }

    /// A proof that a leaf stands in the tree of `size` leaves.
    ///
    /// # Errors
    /// [`AuditError`] says why there is none.
    pub async fn prove_inclusion(
        &self,
        member: &Member,
        leaf_index: u64,
        size: u64,
    ) -> Result<Vec<Hash>, AuditError> {
        let mut client = self.client(member).await?;
        let asked = pb::ProveInclusionRequest { leaf_index, size };
        let reply = self.in_time(member, client.prove_inclusion(asked)).await?;
        hashes(member, reply.into_inner().proof)
    }

    /// Begins to read leaves from `start` on: all there are, or `count` at most.
    pub(super) async fn open_entries<'a>(
        &'a self,
        member: &'a Member,
        start: u64,
        count: Option<u64>,
    ) -> Result<EntryRun<'a>, AuditError> {
        let range = pb::LeafRange {
            start,
            count: count.unwrap_or(u64::MAX - start),
        };
        let query = self.sign(member, pb::audit_query::Subject::Entries(range), &[])?;
        let mut client = self.client(member).await?;
        let request = pb::ReadEntriesRequest {
            message: Some(query.message.clone()),
        };
        let parts = self
            .in_time(member, client.read_entries(request))
            .await?
            .into_inner();
        let mut run = EntryRun {
            auditor: self,
            member,
            parts,
            first: None,
            checkpoint: String::new(),
            query_digest: query.digest,
            next: start,
            end: u64::MAX,
        };
        if let Some(part) = run.receive().await? {
            run.checkpoint.clone_from(&part.checkpoint);
            // No more is read than the checkpoint covers, whoever signed it.
            run.end = SignedCheckpoint::parse(part.checkpoint.as_bytes())
                .map_or(start, |signed| signed.unverified().size())
                .min(start.saturating_add(range.count));
            run.first = Some(part);
        }
        Ok(run)
    }

    /// Begins to read the evidence behind `count` leaves from `start` on.
    pub(super) async fn open_evidence<'a>(
        &'a self,
        member: &'a Member,
        start: u64,
        count: u64,
    ) -> Result<EvidenceRun<'a>, AuditError> {
        let range = pb::LeafRange { start, count };
        let query = self.sign(member, pb::audit_query::Subject::Evidence(range), &[])?;
        let mut client = self.client(member).await?;
        let request = pb::ReadEvidenceRequest {
            message: Some(query.message),
        };
        let parts = self
            .in_time(member, client.read_evidence(request))
            .await?
            .into_inner();
        Ok(EvidenceRun {
            auditor: self,
            member,
            parts,
            next: start,
            end: start.saturating_add(count),
        })
    }

    /// Has a node name the pseudonym of a record.
    pub(super) async fn resolve_subject(
        &self,
        member: &Member,
        record_ref: &str,
    ) -> Result<NamedSubject, AuditError> {
        let query = self.sign(
            member,
            pb::audit_query::Subject::Pseudonym(true),
            &[record_ref.as_bytes()],
        )?;
        let answer = self.resolve(member, &query).await?;
        let at = Answered::new(&query, &answer);
        let subject = answer
            .payload
            .subject
            .as_slice()
            .try_into()
            .map_err(|_| reply(member, "a pseudonym has 16 octets"))?;
        Ok(NamedSubject {
            subject,
            proof: answer.payload.proof,
            held: answer.payload.held,
            at,
        })
    }

    /// Has a node name the records that a child touches.
    pub(super) async fn resolve_child(
        &self,
        member: &Member,
        epoch: u32,
        child: &pb::LookupSubject,
    ) -> Result<NamedRecords, AuditError> {
        let query = self.sign(
            member,
            pb::audit_query::Subject::ChildEpoch(epoch),
            &[&child.encode_to_vec()],
        )?;
        let answer = self.resolve(member, &query).await?;
        let records = answer
            .items
            .iter()
            .map(|item| {
                let named = pb::NamedRecord::decode(item.as_slice())
                    .map_err(|_| reply(member, "a named record is none"))?;
                Ok(NamedRecord {
                    subject: named
                        .subject
                        .as_slice()
                        .try_into()
                        .map_err(|_| reply(member, "a pseudonym has 16 octets"))?,
                    proof: named.proof,
                    record_ref: named.record_ref,
                })
            })
            .collect::<Result<_, AuditError>>()?;
        Ok(NamedRecords {
            records,
            at: Answered::new(&query, &answer),
        })
    }

    /// Has a node prove which keys of a child stand in its index.
    pub(super) async fn prove_index(
        &self,
        member: &Member,
        epoch: u32,
        child: &pb::LookupSubject,
    ) -> Result<ProvedIndex, AuditError> {
        let query = self.sign(
            member,
            pb::audit_query::Subject::IndexEpoch(epoch),
            &[&child.encode_to_vec()],
        )?;
        let answer = self.resolve(member, &query).await?;
        let [item] = answer.items.as_slice() else {
            return Err(reply(member, "what proves its index is one item"));
        };
        let proof = pb::IndexProof::decode(item.as_slice())
            .map_err(|_| reply(member, "what proves its index cannot be read"))?;
        Ok(ProvedIndex {
            proof,
            at: Answered::new(&query, &answer),
        })
    }

    /// Has a node open elements of a batch that it had evaluated: the items of its answer, and where that
    /// stands.
    pub(super) async fn open_blinds(
        &self,
        member: &Member,
        asked: pb::BatchPositions,
    ) -> Result<(Vec<Zeroizing<Vec<u8>>>, Answered), AuditError> {
        let query = self.sign(member, pb::audit_query::Subject::Blinds(asked), &[])?;
        let answer = self.resolve(member, &query).await?;
        let at = Answered::new(&query, &answer);
        Ok((answer.items, at))
    }

    async fn resolve(
        &self,
        member: &Member,
        query: &Outgoing,
    ) -> Result<Answer<pb::SubjectAnswer>, AuditError> {
        let mut client = self.client(member).await?;
        let request = pb::ResolveSubjectRequest {
            message: Some(query.message.clone()),
        };
        let reply_message = self
            .in_time(member, client.resolve_subject(request))
            .await?
            .into_inner()
            .message;
        let answer = open_answer_to(
            self.signer(),
            self.rosters.newest(),
            member,
            query,
            reply_message,
        )
        .map_err(|why: AnswerError| PeerError::BadAnswer {
            member: member.id.to_string(),
            why,
        })?;
        Ok(answer)
    }

    pub(super) fn signer(&self) -> Signer<'_> {
        Signer {
            id: &self.id,
            key: &self.signing_key,
            ambient: &self.ambient,
        }
    }

    fn sign(
        &self,
        member: &Member,
        subject: pb::audit_query::Subject,
        items: &[&[u8]],
    ) -> Result<Outgoing, AuditError> {
        let payload = pb::AuditQuery {
            subject: Some(subject),
            ..pb::AuditQuery::default()
        };
        let signed = sign_query_as(self.signer(), self.rosters.newest(), member, payload, items);
        let mut query = signed.map_err(|refusal: Refusal| PeerError::Own(refusal))?;
        query.message.seen_checkpoints = self.hearsay.to_tell(&member.id);
        Ok(query)
    }

    async fn client(&self, member: &Member) -> Result<AuditServiceClient<Channel>, AuditError> {
        let channel = self.peers.channel(member).await?;
        Ok(client!(AuditServiceClient<_>, channel))
    }

    pub(super) async fn in_time<T>(
        &self,
        member: &Member,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, AuditError> {
        match tokio::time::timeout(TIMEOUT, call).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(status)) => Err(refused(member, status)),
            Err(_) => Err(PeerError::Late {
                member: member.id.to_string(),
                seconds: TIMEOUT.as_secs(),
            }
            .into()),
        }
    }

    async fn next_part<T>(
        &self,
        member: &Member,
        parts: &mut Streaming<T>,
    ) -> Result<Option<T>, AuditError> {
        match self.in_time(member, parts.message()).await {
            // That a stream ends with the damage that it told of is no surprise.
            Err(error) if is_damage(&error) => Ok(None),
            other => other,
        }
    }
}

fn refused(member: &Member, status: Status) -> AuditError {
    PeerError::Refused {
        member: member.id.to_string(),
        refusal: RemoteRefusal::from(status),
    }
    .into()
}

fn reply(member: &Member, why: &str) -> AuditError {
    AuditError::Reply {
        member: member.id.clone(),
        why: why.to_owned(),
    }
}

fn is_damage(error: &AuditError) -> bool {
    matches!(
        error,
        AuditError::Peer(PeerError::Refused { refusal, .. }) if refusal.code == "DAMAGED_LEAF"
    )
}

fn hashes(member: &Member, proof: Vec<Vec<u8>>) -> Result<Vec<Hash>, AuditError> {
    proof
        .into_iter()
        .map(|hash| {
            hash.try_into()
                .map_err(|_| reply(member, "a hash has 32 octets"))
        })
        .collect()
}
