//! Proving to an ombudsman which keys of a child stand in the index.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost::Message as _;

use super::{answering, audit_leaf, one_child};
use crate::exchange::message::{AnswerItems, Query};
use crate::exchange::service::Answering;
use crate::exchange::{Party, Refusal, enrol, epochs};
use crate::proto::exchange as pb;
use crate::roster::TrustedRoster;
use crate::store::{IndexKey, IndexProof};

/// Proves of each slot of a child's tokens whether the index that was logged last has it.
pub(super) async fn resolve_index(
    party: &Arc<Party>,
    roster: &Arc<TrustedRoster>,
    query: &Query<pb::AuditQuery>,
    epoch: u32,
) -> Result<Answering, Refusal> {
    party.coalition_key(roster, Some(epoch))?;
    let open = epochs::is_open(party, epoch).await;
    if !open.map_err(|error| party.unavailable(&error))? {
        return Err(Refusal::WrongEpoch {
            asked: epoch,
            ours: epochs::in_use(party).unwrap_or(0),
        });
    }
    let subject = one_child(party, query)?;
    let wanted: BTreeSet<IndexKey> = subject
        .probes
        .into_iter()
        .map(|(rule, token)| (token, rule))
        .collect();
    let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    let proved = enrol::prove_index(party, epoch, &wanted)
        .await
        .map_err(|error| party.unavailable(&error))?;
    let body = to_message(proved).encode_to_vec();
    let items = AnswerItems::new(party, &[&body]);
    let leaf = audit_leaf(party, "index".to_owned(), count);
    let payload = pb::SubjectAnswer::default();
    Ok(answering(party, roster, query, items, leaf, payload))
}

fn to_message(proved: IndexProof) -> pb::IndexProof {
    let gaps = proved.rows.into_iter().map(|((token, rule), rows)| {
        let rows = rows.into_iter().map(|row| pb::IndexRow {
            position: row.position,
            token: row.key.0.to_vec(),
            rule: row.key.1.into(),
            proof: row.proof.into_iter().map(Vec::from).collect(),
        });
        pb::IndexGap {
            token: token.to_vec(),
            rule: rule.into(),
            rows: rows.collect(),
        }
    });
    pb::IndexProof {
        size: proved.size,
        root: proved.root.to_vec(),
        gaps: gaps.collect(),
    }
}
