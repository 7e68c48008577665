//! A leaf, read strictly: lengths hold, names are known.

use prost::Message as _;

use crate::proto::exchange as pb;
use crate::roster::{LegalBasis, MemberId, Purpose};

/// A leaf of a node's log, with every field in a type that fits.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What.
    pub act: pb::Act,
    /// The other party, if there is one.
    pub peer: Option<MemberId>,
    /// The query's message id.
    pub message_id: Option<[u8; 16]>,
    /// SHA-256 of the query's pre-authentication encoding.
    pub query_digest: Option<[u8; 32]>,
    /// Root of the answer's items.
    pub answer_digest: Option<[u8; 32]>,
    /// Why.
    pub purpose: Option<Purpose>,
    /// On what legal ground.
    pub legal_basis: Option<LegalBasis>,
    /// Elements, subjects, fields or records.
    pub count: u32,
    /// Commitment to the inner outcome.
    pub commitment: Option<[u8; 32]>,
    /// Pseudonym of the one record concerned.
    pub subject: Option<[u8; 16]>,
    /// What the act brings into force, or how it is described.
    pub reference: Box<str>,
    /// Pseudonym of the account whose act it is, where it is a person's.
    pub operator: Option<[u8; 16]>,
}

/// Why the bytes of a leaf are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct MalformedEntry {
    field: &'static str,
    why: &'static str,
}

impl Entry {
    /// Reads the bytes of a leaf.
    ///
    /// # Errors
    /// [`MalformedEntry`] names the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedEntry> {
        let entry = pb::LogEntry::decode(bytes).map_err(|_| wrong("leaf", "it cannot be read"))?;
        let act = match pb::Act::try_from(entry.act) {
            Ok(pb::Act::Unspecified) | Err(_) => return Err(wrong("act", "it is not known")),
            Ok(act) => act,
        };
        let peer = if entry.peer.is_empty() {
            None
        } else {
            let peer = entry.peer.parse();
            Some(peer.map_err(|_| wrong("peer", "it is no member id"))?)
        };
        Ok(Self {
            time_ms: entry.time_ms,
            act,
            peer,
            message_id: octets("message_id", &entry.message_id)?,
            query_digest: octets("query_digest", &entry.query_digest)?,
            answer_digest: octets("answer_digest", &entry.answer_digest)?,
            purpose: match entry.purpose {
                0 => None,
                number => Some(
                    crate::exchange::purpose_from(number)
                        .map_err(|_| wrong("purpose", "it is not known"))?,
                ),
            },
            legal_basis: match entry.legal_basis {
                0 => None,
                number => Some(
                    crate::exchange::legal_basis_from(number)
                        .map_err(|_| wrong("legal_basis", "it is not known"))?,
                ),
            },
            count: entry.count,
            commitment: octets("commitment", &entry.commitment)?,
            subject: octets("subject", &entry.subject)?,
            reference: entry.reference.into_boxed_str(),
            operator: octets("operator", &entry.operator)?,
        })
    }
}

/// How a leaf states which run of leaves an ombudsman read.
pub(super) fn run_reference(what: &str, range: &pb::LeafRange) -> String {
    if range
        .start
        .checked_add(range.count)
        .is_none_or(|end| end == u64::MAX)
    {
        format!("{what} {}+", range.start)
    } else {
        format!("{what} {}+{}", range.start, range.count)
    }
}

/// How a leaf states which elements of a batch an ombudsman had opened.
pub(super) fn blinds_reference(asked: &pb::BatchPositions) -> String {
    let positions: Vec<String> = asked.positions.iter().map(u32::to_string).collect();
    format!("blinds {}:{}", asked.leaf_index, positions.join(","))
}

fn wrong(field: &'static str, why: &'static str) -> MalformedEntry {
    MalformedEntry { field, why }
}

fn octets<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<Option<[u8; N]>, MalformedEntry> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes
        .try_into()
        .map(Some)
        .map_err(|_| wrong(field, "it has another length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_leaf_is_read_field_by_field() {
        let leaf = pb::LogEntry {
            time_ms: 5,
            act: pb::Act::LookupAnswered.into(),
            peer: "pl".to_owned(),
            message_id: vec![1; 16],
            query_digest: vec![2; 32],
            answer_digest: vec![3; 32],
            purpose: pb::Purpose::FamilyTracing.into(),
            legal_basis: pb::LegalBasis::Consent.into(),
            count: 7,
            commitment: vec![4; 32],
            subject: Vec::new(),
            reference: "x".to_owned(),
            operator: Vec::new(),
        };
        let entry = Entry::parse(&leaf.encode_to_vec()).unwrap();
        assert!(
            entry
                .peer
                .as_ref()
                .is_some_and(|peer| peer.as_str() == "pl")
        );
        assert_eq!(entry.message_id, Some([1; 16]));
        assert_eq!(entry.purpose, Some(Purpose::FamilyTracing));
        assert_eq!(entry.subject, None);
        let short = pb::LogEntry {
            commitment: vec![4; 31],
            ..leaf.clone()
        };
        let error = Entry::parse(&short.encode_to_vec()).err().unwrap();
        assert_eq!(error.field, "commitment");
        let act = pb::LogEntry { act: 99, ..leaf };
        assert_eq!(
            Entry::parse(&act.encode_to_vec()).err().unwrap().field,
            "act"
        );
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::parse(&bytes);
        }
    }
}
