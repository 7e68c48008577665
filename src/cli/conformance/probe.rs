//! A member that asks, and can ask wrongly.

use std::time::Duration;

use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::ambient::Ambient;
use crate::cli::{CliError, Context};
use crate::envelope::{SigningKey, dsse};
use crate::exchange::ask::client;
use crate::exchange::message::{Outgoing, Payload as _, Signer, sign_query_as};
use crate::exchange::{DOMAIN, Peers};
use crate::linkage::RuleTable;
use crate::node::{Identity, PinnedPeers};
use crate::proto::exchange as pb;
use crate::proto::exchange::lookup_service_client::LookupServiceClient;
use crate::roster::{Member, MemberId, TrustedRoster};

/// How long the node is given for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever asks, and whom.
pub(super) struct Probe<'a> {
    pub(super) id: &'a MemberId,
    pub(super) key: &'a SigningKey,
    pub(super) roster: &'a TrustedRoster,
    pub(super) holder: &'a Member,
    pub(super) channel: Channel,
    pub(super) ambient: &'a Ambient,
    rules: &'static RuleTable,
    epoch: u32,
}

/// A lookup in the making: all of it can be made wrong before it is signed, and the signature after.
pub(super) struct Parts {
    pub(super) query: pb::LookupQuery,
    pub(super) items: Vec<pb::Item>,
    pub(super) payload_type: String,
    pub(super) key: SigningKey,
    /// Octets after the payload.
    pub(super) extra: Vec<u8>,
    /// Whether a bit is flipped after signing.
    pub(super) flip: bool,
}

impl Parts {
    /// The header.
    pub(super) fn header(&mut self) -> &mut pb::Header {
        self.query.header.get_or_insert_default()
    }

    /// Moves both of the header's times by so many seconds, and sets how long the message lives.
    pub(super) fn at(&mut self, ambient: &Ambient, seconds: i64, lifetime: i64) {
        let now = i64::try_from(ambient.now()).unwrap_or(i64::MAX);
        let time = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        let header = self.header();
        header.issued_at = Some(time(now + seconds));
        header.expires_at = Some(time(now + seconds + lifetime));
    }

    /// Signs it.
    pub(super) fn sign(self) -> pb::SignedMessage {
        let mut payload = self.query.encode_to_vec();
        payload.extend(self.extra);
        let sig = self.key.sign(&dsse::pae(&self.payload_type, &payload));
        if let (true, Some(last)) = (self.flip, payload.last_mut()) {
            *last ^= 1;
        }
        pb::SignedMessage {
            envelope: Some(pb::Envelope {
                payload_type: self.payload_type,
                payload,
                signatures: vec![pb::Signature {
                    key_id: self.key.verifying_key().id().as_bytes().to_vec(),
                    sig: sig.to_vec(),
                }],
            }),
            items: self.items,
            seen_checkpoints: Vec::new(),
        }
    }
}

impl<'a> Probe<'a> {
    /// Connects to the node.
    ///
    /// # Errors
    /// If it cannot be reached, or no lookup could be asked.
    pub(super) async fn open(
        context: &'a Context,
        id: &'a MemberId,
        identity: &'a Identity,
        roster: &'a TrustedRoster,
        holder: &'a Member,
        peers: &PinnedPeers,
    ) -> Result<Self, CliError> {
        let failed = |why: String| CliError::failed("CONFORMANCE", why);
        let channel = peers
            .channel(holder)
            .await
            .map_err(|error| CliError::failed(error.code(), &error))?;
        let rules = RuleTable::shipped().map_err(|error| failed(error.to_string()))?;
        let key = roster.roster().coalition_key.current.as_ref();
        let epoch = key.map(|key| key.epoch).ok_or_else(|| {
            failed("the roster states no coalition key: hold a ceremony first".to_owned())
        })?;
        Ok(Self {
            id,
            key: &identity.signing,
            roster,
            holder,
            channel,
            ambient: &context.ambient,
            rules,
            epoch: u32::try_from(epoch).unwrap_or(u32::MAX),
        })
    }

    /// Who signs.
    pub(super) fn signer(&self) -> Signer<'_> {
        Signer {
            id: self.id,
            key: self.key,
            ambient: self.ambient,
        }
    }

    /// A lookup without fault of so many children whom nobody holds: all their tokens are random.
    pub(super) fn query(&self, subjects: usize) -> Result<Outgoing, String> {
        let random = |slots: usize| {
            (0..slots)
                .flat_map(|_| self.ambient.random::<16>())
                .collect()
        };
        let bodies: Vec<Vec<u8>> = (0..subjects)
            .map(|_| {
                let subject = pb::LookupSubject {
                    presence: 0,
                    tokens: random(self.rules.slots()),
                    sibling_tokens: random(self.rules.sibling_slot_rules().len()),
                };
                subject.encode_to_vec()
            })
            .collect();
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let payload = pb::LookupQuery {
            purpose: pb::Purpose::FamilyTracing.into(),
            legal_basis: pb::LegalBasis::VitalInterest.into(),
            case_reference: "CONFORMANCE".to_owned(),
            epoch: self.epoch,
            rules_digest: self.rules.digest().to_vec(),
            ..pb::LookupQuery::default()
        };
        sign_query_as(self.signer(), self.roster, self.holder, payload, &bodies)
            .map_err(|error| error.to_string())
    }

    /// A lookup without fault of one child, taken apart.
    pub(super) fn parts(&self) -> Result<Parts, String> {
        let message = self.query(1)?.message;
        let envelope = message.envelope.unwrap_or_default();
        let query = pb::LookupQuery::decode(envelope.payload.as_slice())
            .map_err(|error| error.to_string())?;
        Ok(Parts {
            query,
            items: message.items,
            payload_type: pb::LookupQuery::TYPE.to_owned(),
            key: self.key.clone(),
            extra: Vec::new(),
            flip: false,
        })
    }

    /// Sends a lookup, whole or not.
    pub(super) async fn send(
        &self,
        message: Option<pb::SignedMessage>,
    ) -> Result<Option<pb::SignedMessage>, Status> {
        let mut client = client!(LookupServiceClient<_>, self.channel.clone());
        let call = client.lookup(pb::LookupRequest { message });
        let reply = tokio::time::timeout(PATIENCE, call)
            .await
            .map_err(|_| Status::deadline_exceeded("nothing came within 60 seconds"))??;
        Ok(reply.into_inner().message)
    }
}

/// Holds a refusal to its status and code.
pub(super) fn refused<T>(
    outcome: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Result<(), String> {
    let status = match outcome {
        Ok(_) => return Err(format!("It was answered; {reason} was due.")),
        Err(status) => status,
    };
    let info = status.get_details_error_info();
    let (domain, said) = info.map_or_else(Default::default, |info| (info.domain, info.reason));
    if (status.code(), said.as_str(), domain.as_str()) == (code, reason, DOMAIN) {
        return Ok(());
    }
    Err(format!(
        "{:?} was due with the reason {reason} of {DOMAIN}; there came {:?} with the reason {said:?} of {domain:?}.",
        code,
        status.code(),
    ))
}
