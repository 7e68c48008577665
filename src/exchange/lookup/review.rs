//! What the holder's own staff is later shown of an answer. It is kept beside the answer, sealed,
//! and nothing that leaves the node is made of it: the answer's signer never sees it.

use prost::Message as _;

use super::rank;
use super::weigh::Candidate;
use crate::linkage::{Grade, Presence, RuleId, RuleTable, Thresholds};
use crate::proto::operator::{KeptFinding, KeptReview};
use crate::store::{Effect, Evidence, EvidencePart, Tag};

/// A candidate and what was answered about it.
pub struct Graded<'a> {
    /// Which subject of the query.
    pub subject_index: u32,
    /// The fields the asking side sent.
    pub asked: Presence,
    /// The candidate.
    pub candidate: &'a Candidate,
    /// Tag of its record's reference.
    pub ref_tag: Tag,
    /// The grade given.
    pub grade: Grade,
    /// Whether the probe limit decided it.
    pub frozen: bool,
    /// The lead given, if one was.
    pub lead_id: Option<[u8; 16]>,
}

/// The findings of one answer, as they come about.
#[derive(Default)]
pub struct ReviewBook {
    findings: Vec<KeptFinding>,
}

impl ReviewBook {
    /// Notes a candidate, unless it is no match whichever way one looks at it.
    pub fn note(&mut self, rules: &RuleTable, graded: &Graded<'_>) {
        let candidate = graded.candidate;
        if graded.grade == Grade::NoMatch && candidate.decision.grade == Grade::NoMatch {
            return;
        }
        let Thresholds {
            match_at,
            possible_at,
        } = if candidate.by_family {
            rules.group_thresholds()
        } else {
            rules.thresholds(graded.asked, candidate.held)
        };
        self.findings.push(KeptFinding {
            subject_index: graded.subject_index,
            ref_tag: graded.ref_tag.to_vec(),
            lead_id: graded.lead_id.map_or_else(Vec::new, Vec::from),
            grade: rank(graded.grade).into(),
            weighed: rank(candidate.decision.grade).into(),
            weight: candidate.decision.weight,
            weight_alone: candidate.alone.weight,
            match_at,
            possible_at,
            asked: graded.asked.0.into(),
            held: candidate.held.0.into(),
            rules: (0..64)
                .filter(|&rule| candidate.agreed.contains(RuleId(rule)))
                .map(u32::from)
                .collect(),
            frozen: graded.frozen,
            by_family: candidate.by_family,
        });
    }

    /// What is to be kept with the answer: nothing where nothing was found.
    #[must_use]
    pub fn into_effect(self, about: KeptReview) -> Option<Effect> {
        (!self.findings.is_empty()).then(|| {
            let kept = KeptReview {
                findings: self.findings,
                ..about
            };
            Effect::Keep(EvidencePart::Review, Evidence::plain(kept.encode_to_vec()))
        })
    }
}
