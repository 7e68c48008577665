//! An ombudsman as a party: it has keys and a roster, and neither a register nor a log.

use std::sync::Arc;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::finding::Fault;
use super::rosters::Rosters;
use crate::ambient::Ambient;
use crate::envelope::SigningKey;
use crate::envelope::merkle::Hash;
use crate::exchange::ask::client;
use crate::exchange::message::{
    Answer, AnswerError, Outgoing, Signer, open_answer_to, sign_query_as,
};
use crate::exchange::{PeerError, Peers, Refusal, RemoteRefusal};
use crate::proto::exchange as pb;
use crate::proto::exchange::audit_service_client::AuditServiceClient;
use crate::roster::{Member, MemberId};

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
    pub(super) leaf_index: u64,
    pub(super) query_digest: [u8; 32],
}

/// A run of leaves as it was read.
pub(super) struct ReadRun {
    /// The checkpoint that covers it, as it came.
    pub(super) checkpoint: String,
    /// Digest of the query, by which its own leaf is found.
    pub(super) query_digest: [u8; 32],
    /// Why reading ended early, if it did.
    pub(super) ended: Option<AuditError>,
}

impl Auditor {
    /// The newest checkpoint of a node, as it came.
    ///
    /// # Errors
    /// [`AuditError`] says why there is none.
    pub async fn checkpoint(&self, member: &Member) -> Result<String, AuditError> {
        let mut client = self.client(member).await?;
        let reply = self
            .in_time(member, client.get_checkpoint(pb::GetCheckpointRequest {}))
            .await?;
        Ok(reply.into_inner().checkpoint)
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

    /// Reads all leaves from `start` on; `each` is given them in order, those that the node cannot
    /// read as nothing.
    pub(super) async fn read_entries(
        &self,
        member: &Member,
        start: u64,
        mut each: impl FnMut(u64, Option<Vec<u8>>),
    ) -> Result<ReadRun, AuditError> {
        let range = pb::LeafRange {
            start,
            count: u64::MAX - start,
        };
        let query = self.sign(member, pb::audit_query::Subject::Entries(range), &[])?;
        let mut client = self.client(member).await?;
        let request = pb::ReadEntriesRequest {
            message: Some(query.message.clone()),
        };
        let mut parts = self
            .in_time(member, client.read_entries(request))
            .await?
            .into_inner();
        let mut run = ReadRun {
            checkpoint: String::new(),
            query_digest: query.digest,
            ended: None,
        };
        let mut next = start;
        let mut first = true;
        loop {
            let part = match self.next_part(member, &mut parts).await {
                Ok(Some(part)) => part,
                Ok(None) => return Ok(run),
                Err(error) => {
                    // That the stream ends with the damage it told of is no surprise.
                    if !is_damage(&error) {
                        run.ended = Some(error);
                    }
                    return Ok(run);
                }
            };
            if first {
                run.checkpoint = part.checkpoint;
                first = false;
            }
            if part.start != next {
                run.ended = Some(reply(member, "its leaves are out of order"));
                return Ok(run);
            }
            for entry in part.entries {
                let damaged = part.damaged.contains(&next);
                each(next, (!damaged).then_some(entry));
                next += 1;
            }
        }
    }

    /// Reads the evidence behind `count` leaves from `start` on; `each` is given it in order.
    pub(super) async fn read_evidence(
        &self,
        member: &Member,
        start: u64,
        count: u64,
        mut each: impl FnMut(pb::ReadEvidenceResponse),
    ) -> Result<(), AuditError> {
        let range = pb::LeafRange { start, count };
        let query = self.sign(member, pb::audit_query::Subject::Evidence(range), &[])?;
        let mut client = self.client(member).await?;
        let request = pb::ReadEvidenceRequest {
            message: Some(query.message),
        };
        let mut parts = self
            .in_time(member, client.read_evidence(request))
            .await?
            .into_inner();
        let mut next = start;
        loop {
            let part = match self.next_part(member, &mut parts).await {
                Ok(Some(part)) => part,
                Ok(None) => break,
                Err(error) if is_damage(&error) => break,
                Err(error) => return Err(error),
            };
            if part.leaf_index != next {
                return Err(reply(member, "its evidence is out of order"));
            }
            next += 1;
            each(part);
        }
        if next - start == count {
            Ok(())
        } else {
            Err(reply(member, "it left evidence out"))
        }
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
        let mut client = self.client(member).await?;
        let request = pb::ResolveSubjectRequest {
            message: Some(query.message.clone()),
        };
        let reply_message = self
            .in_time(member, client.resolve_subject(request))
            .await?
            .into_inner()
            .message;
        let answer: Answer<pb::SubjectAnswer> = open_answer_to(
            self.signer(),
            self.rosters.newest(),
            member,
            &query,
            reply_message,
        )
        .map_err(|why: AnswerError| PeerError::BadAnswer {
            member: member.id.to_string(),
            why,
        })?;
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
            leaf_index: answer.receipt.leaf_index,
            query_digest: query.digest,
        })
    }

    fn signer(&self) -> Signer<'_> {
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
        sign_query_as(self.signer(), self.rosters.newest(), member, payload, items)
            .map_err(|refusal: Refusal| PeerError::Own(refusal).into())
    }

    async fn client(&self, member: &Member) -> Result<AuditServiceClient<Channel>, AuditError> {
        let channel = self.peers.channel(member).await?;
        Ok(client!(AuditServiceClient<_>, channel))
    }

    async fn in_time<T>(
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
        self.in_time(member, parts.message()).await
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
