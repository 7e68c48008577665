//! What a node has to refuse, and by which code.

use tonic::Code;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

use super::probe::{Parts, Probe, refused};
use super::{Findings, Outcome};
use crate::envelope::SigningKey;
use crate::exchange::ask::MAX_QUERY;
use crate::exchange::message::{Outgoing, Payload as _};
use crate::proto::exchange as pb;

/// One respect in which a lookup is wrong.
struct Wrong {
    check: &'static str,
    promise: &'static str,
    code: Code,
    reason: &'static str,
    change: fn(&mut Parts, &Probe<'_>),
}

const WRONGS: &[Wrong] = &[
    Wrong {
        check: "signature",
        promise: "a message of which one bit was altered is refused",
        code: Code::Unauthenticated,
        reason: "BAD_SIGNATURE",
        change: |parts, _| parts.flip = true,
    },
    Wrong {
        check: "signing_key",
        promise: "a key that the roster does not give to the caller signs nothing",
        code: Code::Unauthenticated,
        reason: "BAD_SIGNATURE",
        change: |parts, probe| parts.key = SigningKey::generate(&mut probe.ambient.rng()),
    },
    Wrong {
        check: "payload_type",
        promise: "a message that was signed for one call counts in no other",
        code: Code::Unauthenticated,
        reason: "BAD_SIGNATURE",
        change: |parts, _| pb::EvaluationQuery::TYPE.clone_into(&mut parts.payload_type),
    },
    Wrong {
        check: "issuer",
        promise: "nobody speaks in another's name",
        code: Code::Unauthenticated,
        reason: "PARTY_MISMATCH",
        change: |parts, probe| parts.header().issuer = probe.holder.id.to_string(),
    },
    Wrong {
        check: "audience",
        promise: "a message to another party is refused",
        code: Code::FailedPrecondition,
        reason: "WRONG_AUDIENCE",
        change: |parts, probe| parts.header().audience = probe.id.to_string(),
    },
    Wrong {
        check: "expired",
        promise: "a message past its time is refused",
        code: Code::FailedPrecondition,
        reason: "MESSAGE_EXPIRED",
        change: |parts, probe| parts.at(probe.ambient, -600, 300),
    },
    Wrong {
        check: "not_yet_valid",
        promise: "a message from the future is refused",
        code: Code::FailedPrecondition,
        reason: "MESSAGE_NOT_YET_VALID",
        change: |parts, probe| parts.at(probe.ambient, 300, 300),
    },
    Wrong {
        check: "lifetime",
        promise: "no message lives longer than ten minutes",
        code: Code::InvalidArgument,
        reason: "LIFETIME_TOO_LONG",
        change: |parts, probe| parts.at(probe.ambient, 0, 3600),
    },
    Wrong {
        check: "roster_split",
        promise: "two rosters of one version are noticed",
        code: Code::FailedPrecondition,
        reason: "ROSTER_SPLIT",
        change: |parts, _| parts.header().roster_digest = vec![7; 32],
    },
    Wrong {
        check: "message_id",
        promise: "a message id has 16 octets",
        code: Code::InvalidArgument,
        reason: "MALFORMED",
        change: |parts, _| parts.header().message_id.truncate(15),
    },
    Wrong {
        check: "unknown_field",
        promise: "a payload with a field that the node does not know is refused",
        code: Code::InvalidArgument,
        reason: "MALFORMED",
        // Field 1,000, a varint.
        change: |parts, _| parts.extra = vec![0xc0, 0x3e, 0x01],
    },
    Wrong {
        check: "item_altered",
        promise: "the items are those that were signed for",
        code: Code::InvalidArgument,
        reason: "MALFORMED",
        change: |parts, _| {
            for item in &mut parts.items {
                if let Some(pb::item::Form::Full(octets)) = &mut item.form
                    && let Some(last) = octets.last_mut()
                {
                    *last ^= 1;
                }
            }
        },
    },
    Wrong {
        check: "item_missing",
        promise: "the items are as many as were signed for",
        code: Code::InvalidArgument,
        reason: "MALFORMED",
        change: |parts, _| parts.items.clear(),
    },
    Wrong {
        check: "item_erased",
        promise: "a query with an erased item is refused",
        code: Code::InvalidArgument,
        reason: "MALFORMED",
        change: |parts, _| {
            for item in &mut parts.items {
                if let Some(pb::item::Form::Full(octets)) = &item.form {
                    let hash = crate::envelope::merkle::leaf_hash(octets);
                    item.form = Some(pb::item::Form::Erased(hash.to_vec()));
                }
            }
        },
    },
    Wrong {
        check: "purpose",
        promise: "who states no purpose is told nothing",
        code: Code::InvalidArgument,
        reason: "MALFORMED",
        change: |parts, _| parts.query.purpose = 0,
    },
    Wrong {
        check: "legal_basis",
        promise: "who states no legal ground is told nothing",
        code: Code::InvalidArgument,
        reason: "MALFORMED",
        change: |parts, _| parts.query.legal_basis = 0,
    },
    Wrong {
        check: "epoch",
        promise: "tokens of a key that the roster does not list are refused",
        code: Code::FailedPrecondition,
        reason: "WRONG_EPOCH",
        change: |parts, _| parts.query.epoch = u32::MAX,
    },
    Wrong {
        check: "rules",
        promise: "tokens by other linkage tables are refused",
        code: Code::FailedPrecondition,
        reason: "WRONG_RULES",
        change: |parts, _| parts.query.rules_digest = vec![7; 32],
    },
];

/// Lookups that are each wrong in one respect, and the first lookup's id for another.
pub(super) async fn messages(probe: &Probe<'_>, findings: &mut Findings, first: &Outgoing) {
    for wrong in WRONGS {
        let outcome = match probe.parts() {
            Ok(mut parts) => {
                (wrong.change)(&mut parts, probe);
                let came = probe.send(Some(parts.sign())).await;
                refused(came, wrong.code, wrong.reason).into()
            }
            Err(why) => Outcome::LeftOut(why),
        };
        findings.note(wrong.check, wrong.promise, outcome);
    }
    let outcome = match probe.parts() {
        Ok(mut parts) => {
            parts.header().message_id = first.message_id.to_vec();
            let came = probe.send(Some(parts.sign())).await;
            refused(came, Code::AlreadyExists, "MESSAGE_ID_REUSED").into()
        }
        Err(why) => Outcome::LeftOut(why),
    };
    let promise = "a message id serves one query alone";
    findings.note("message_id_reused", promise, outcome);
}

/// Calls that are wrong before any message is looked at.
pub(super) async fn calls(probe: &Probe<'_>, findings: &mut Findings) {
    let came = probe.send(None).await;
    findings.note(
        "no_message",
        "a call without a message is refused",
        refused(came, Code::InvalidArgument, "MALFORMED"),
    );
    let large = pb::SignedMessage {
        items: vec![pb::Item {
            form: Some(pb::item::Form::Full(vec![0; MAX_QUERY + 1])),
        }],
        ..pb::SignedMessage::default()
    };
    let came = probe.send(Some(large)).await;
    findings.note(
        "too_large",
        "a query of more than 1 MiB is refused",
        refused(came, Code::InvalidArgument, "MESSAGE_TOO_LARGE"),
    );
    let came = unknown_call(probe).await;
    findings.note(
        "unknown_call",
        "a call that there is not is refused by its code",
        refused(came, Code::Unimplemented, "UNKNOWN_CALL"),
    );
}

async fn unknown_call(probe: &Probe<'_>) -> Result<(), tonic::Status> {
    let mut grpc = Grpc::new(probe.channel.clone());
    let unreachable =
        |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
    grpc.ready().await.map_err(unreachable)?;
    let codec = tonic_prost::ProstCodec::<pb::GetRosterRequest, pb::GetRosterResponse>::default();
    let path = PathAndQuery::from_static("/wayhome.exchange.v1.LookupService/NoSuchCall");
    let request = tonic::Request::new(pb::GetRosterRequest::default());
    grpc.unary(request, path, codec).await.map(drop)
}
