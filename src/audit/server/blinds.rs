//! What single elements of a blinded batch hid.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost::Message as _;

use super::{answering, audit_leaf, named_record};
use crate::audit::entry::blinds_reference;
use crate::exchange::evaluate::{OPENED_PER_DAY, Opened, OpenedKey, open_elements};
use crate::exchange::message::{AnswerItems, Query};
use crate::exchange::service::{Answering, daily_debit};
use crate::exchange::{Party, Refusal};
use crate::proto::exchange as pb;
use crate::roster::TrustedRoster;
use crate::store::{Effect, Evidence, EvidencePart, Tag};

/// Opens elements of a batch that this node had evaluated. What is told of a record is erased from the
/// evidence of it with the record, and all of it in time.
pub(super) async fn resolve_blinds(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::AuditQuery>,
    asked: &pb::BatchPositions,
) -> Result<Answering, Refusal> {
    let batch = open_elements(party, asked.leaf_index, &asked.positions).await?;
    let mut told: BTreeSet<Tag> = BTreeSet::new();
    let mut bodies = vec![batch.elements.to_vec()];
    for (position, opened) in batch.opened {
        if let Opened::Record { ref_tag, .. } = &opened {
            told.insert(*ref_tag);
        }
        bodies.push(element(party, position, opened)?.encode_to_vec());
    }
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let items = AnswerItems::new(party, &bodies);
    let payload = pb::SubjectAnswer::default();
    let count = u32::try_from(asked.positions.len()).unwrap_or(u32::MAX);
    let leaf = audit_leaf(party, blinds_reference(asked), count);
    let mut effects: Vec<Effect> = told.into_iter().map(Effect::NoteTold).collect();
    let marked = Evidence::plain(Vec::new());
    effects.push(Effect::Keep(EvidencePart::Inputs, marked));
    Ok(Answering {
        debits: vec![daily_debit(
            party,
            &query.issuer,
            "blinds_opened",
            count.into(),
            OPENED_PER_DAY,
        )],
        effects,
        ..answering(party, roster, query, items, leaf, payload)
    })
}

fn element(party: &Party, position: u32, opened: Opened) -> Result<pb::OpenedElement, Refusal> {
    let with_key = |source: pb::OpenedSource, key: &OpenedKey| pb::OpenedElement {
        position,
        source: source.into(),
        blind: key.blind.to_bytes().to_vec(),
        input: key.input.to_vec(),
        record: None,
    };
    let without = |source: pb::OpenedSource| pb::OpenedElement {
        position,
        source: source.into(),
        ..pb::OpenedElement::default()
    };
    Ok(match opened {
        Opened::Record {
            key, record_ref, ..
        } => pb::OpenedElement {
            record: Some(named_record(party, record_ref)?),
            ..with_key(pb::OpenedSource::Record, &key)
        },
        Opened::Search(key) => with_key(pb::OpenedSource::Search, &key),
        Opened::Gone => without(pb::OpenedSource::Gone),
        Opened::Forgotten => without(pb::OpenedSource::Forgotten),
        Opened::Unreadable => without(pb::OpenedSource::Unreadable),
    })
}
