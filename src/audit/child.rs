//! The same for a family that knows no reference: who asked about a child that is only described.
//!
//! The ombudsman derives the child's linkage keys from its attributes, has keyholders evaluate them
//! blinded, as a member does, and so knows the lookup tokens that this child has at every holder.
//! With them it finds the child's records, which the node names with their proofs, and scans the
//! evidence behind the verified log itself: a query about this child carries its tokens, whatever
//! the node says of it. Neither names nor dates leave the ombudsman's machine.

use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::auditor::{AuditError, Auditor, NamedRecord};
use super::behind::{AnswerSays, Insight, QuerySays};
use super::entry::Entry;
use super::finding::{Fault, Place};
use super::subject::{Event, Scan, prove};
use super::verify::{Progress, Reading, Verification, verify};
use crate::exchange::lookup::{ProbedSubject, SubjectTokens, attributes, rank};
use crate::linkage::{Grade, RuleId, RuleSet, RuleTable};
use crate::proto::exchange as pb;
use crate::records::Record;
use crate::roster::{LegalBasis, Member, MemberId, Purpose};

/// How long after its register changed a node may still answer by what it held before, in
/// milliseconds: as long as a query is valid.
const SETTLES_MS: u64 = 300_000;

/// A child as the ombudsman looks for it: its tokens, and nothing of what it is called.
pub struct SoughtChild {
    rules: &'static RuleTable,
    epoch: u32,
    tokens: SubjectTokens,
}

/// A query that was about this child, by its tokens.
pub struct Sighting {
    /// Its leaf.
    pub leaf_index: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who asked.
    pub asker: Option<MemberId>,
    /// Who was asked.
    pub holder: Option<MemberId>,
    /// Why.
    pub purpose: Option<Purpose>,
    /// On what legal ground.
    pub legal_basis: Option<LegalBasis>,
    /// The asking party's case reference.
    pub case_reference: String,
    /// How well the query agrees with the child, by the rules of linkage.
    pub agrees: Grade,
    /// The grade that was answered, as in the protocol, if the answer is on record.
    pub answered: Option<u32>,
}

/// All that a member's log and evidence say of a child.
pub struct ChildReport {
    /// Whose log.
    pub member: MemberId,
    /// The records that the member holds of it now, as proved.
    pub records: Vec<[u8; 16]>,
    /// What happened to those records, in the order of the log.
    pub events: Vec<Event>,
    /// The queries that carried its tokens.
    pub sightings: Vec<Sighting>,
    /// The reading of the log that this rests on.
    pub verification: Verification,
}

impl Auditor {
    /// Has keyholders make the tokens of a described child, from blinded linkage keys.
    ///
    /// # Errors
    /// [`AuditError`] if too few keyholders answer, or the roster has no coalition key.
    pub async fn seek(
        &self,
        rules: &'static RuleTable,
        described: &Record,
    ) -> Result<SoughtChild, AuditError> {
        let derived = rules.derive(&attributes(described));
        let owners: Vec<RuleId> = derived.keys.iter().map(|key| key.rule).collect();
        let inputs: Vec<Zeroizing<Vec<u8>>> =
            derived.keys.into_iter().map(|key| key.text).collect();
        let (epoch, tokens) = self.coalition_tokens(Arc::new(inputs)).await?;
        Ok(SoughtChild {
            rules,
            epoch,
            tokens: SubjectTokens {
                presence: derived.presence,
                tokens: owners.into_iter().zip(tokens).collect(),
            },
        })
    }
}

impl SoughtChild {
    /// How many linkage keys the child has; without any it cannot be looked for.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.tokens.tokens.len()
    }

    /// The child's tokens at a holder, with their rules.
    fn at(&self, holder: &str) -> HashMap<[u8; 16], RuleId> {
        self.tokens
            .index_rows(self.epoch, holder)
            .into_iter()
            .map(|(rule, token)| (token, RuleId(rule)))
            .collect()
    }

    /// How well a subject of a query agrees with the child.
    fn agrees(
        &self,
        tokens: &HashMap<[u8; 16], RuleId>,
        subject: &pb::LookupSubject,
    ) -> Option<Agreement> {
        let asked = ProbedSubject::from_wire(self.rules, subject).ok()?;
        let agreed: RuleSet = asked
            .probes
            .iter()
            .filter_map(|(rule, token)| tokens.get(token).filter(|own| own.0 == *rule))
            .copied()
            .collect();
        let any = self
            .rules
            .rules()
            .iter()
            .any(|rule| agreed.contains(rule.id));
        if !any {
            return None;
        }
        let evidence = [(self.tokens.presence, agreed)];
        let decided = self.rules.decide_among(asked.presence, &evidence);
        Some(Agreement {
            grade: decided.first()?.grade,
            same: asked.presence == self.tokens.presence
                && tokens
                    .iter()
                    .all(|(token, rule)| asked.probes.contains(&(rule.0, *token))),
        })
    }
}

/// How a subject of a query agrees with the child.
struct Agreement {
    grade: Grade,
    /// Whether it carried all the child's tokens and fields, so that it had to touch whatever the
    /// child touches.
    same: bool,
}

/// Reports on a described child at one member.
///
/// # Errors
/// Only if the node did not say which of its records the child touches; what does not hold in its
/// log is in the report.
pub async fn child(
    auditor: &Auditor,
    member: &Member,
    sought: &SoughtChild,
    reading: Reading<'_>,
    progress: Progress<'_>,
) -> Result<ChildReport, AuditError> {
    let subject = sought.tokens.for_holder(
        sought.rules,
        sought.epoch,
        member.id.as_str(),
        &auditor.ambient,
    );
    let named = auditor
        .resolve_child(member, sought.epoch, &subject)
        .await?;
    let mut scans: Vec<Scan> = named
        .records
        .iter()
        .map(|named| Scan::new(named.subject))
        .collect();
    let mut sightings = Sightings {
        sought,
        member: &member.id,
        named: named.records.iter().map(|named| named.subject).collect(),
        tokens: HashMap::new(),
        found: Vec::new(),
        denials: Denials::default(),
    };
    let mut recorded = false;
    let reading = Reading {
        only_new: false,
        ..reading
    };
    let mut verification = verify(
        auditor,
        member,
        reading,
        progress,
        &mut |index, entry, insight| {
            recorded |= index == named.leaf_index
                && entry.act == pb::Act::AuditAnswered
                && entry.query_digest == Some(named.query_digest);
            for scan in &mut scans {
                scan.take(index, entry, insight);
            }
            sightings.take(index, entry, insight);
        },
    )
    .await;
    let mut records = Vec::new();
    for NamedRecord {
        record_ref,
        subject,
        proof,
    } in &named.records
    {
        match prove(&verification, record_ref, subject, proof) {
            Ok(()) => records.push(*subject),
            Err(why) => {
                let why = why.to_owned();
                verification.find(Place::Node, Fault::Pseudonym { why });
            }
        }
    }
    if !recorded {
        verification.find(Place::Leaf(named.leaf_index), Fault::AuditNotRecorded);
    }
    let Sightings { found, denials, .. } = sightings;
    if !records.is_empty() {
        for leaf in denials.leaves {
            verification.find(Place::Leaf(leaf), Fault::DeniedChild);
        }
    }
    let mut events: Vec<Event> = scans.into_iter().flat_map(Scan::into_events).collect();
    events.sort_by_key(|event| event.leaf_index);
    Ok(ChildReport {
        member: member.id.clone(),
        records,
        events,
        sightings: found,
        verification,
    })
}

/// Looks for the child's tokens in every query.
struct Sightings<'a> {
    sought: &'a SoughtChild,
    member: &'a MemberId,
    /// The records that the node named.
    named: Vec<[u8; 16]>,
    tokens: HashMap<MemberId, HashMap<[u8; 16], RuleId>>,
    found: Vec<Sighting>,
    denials: Denials,
}

impl Sightings<'_> {
    fn take(&mut self, index: u64, entry: &Entry, insight: &Insight) {
        let (asker, holder) = match entry.act {
            pb::Act::LookupAnswered => (entry.peer.clone(), Some(self.member.clone())),
            pb::Act::LookupAsked => (Some(self.member.clone()), entry.peer.clone()),
            pb::Act::RecordsImported | pb::Act::RecordsPublished | pb::Act::EpochOpened => {
                self.denials.register_changed(entry.time_ms);
                return;
            }
            _ => return,
        };
        let QuerySays::Lookup {
            case_reference,
            subjects,
        } = &insight.query
        else {
            return;
        };
        let Some(at) = &holder else { return };
        let tokens = self
            .tokens
            .entry(at.clone())
            .or_insert_with(|| self.sought.at(at.as_str()));
        for (number, subject) in subjects.iter().enumerate() {
            let Some(agreement) = subject
                .as_ref()
                .and_then(|subject| self.sought.agrees(tokens, subject))
                .filter(|agreement| rank(agreement.grade) > rank(Grade::NoMatch))
            else {
                continue;
            };
            let answered = match &insight.answer {
                AnswerSays::Lookup(results) => results
                    .get(number)
                    .and_then(|result| u32::try_from(result.as_ref()?.grade).ok()),
                _ => None,
            };
            let denied = entry.act == pb::Act::LookupAnswered
                && agreement.same
                && agreement.grade == Grade::Match
                && answered.is_some_and(|grade| grade <= pb::Grade::NoMatch as u32)
                && !may_be_named(&self.named, number, insight);
            if denied {
                self.denials.denied(index, entry.time_ms);
            }
            self.found.push(Sighting {
                leaf_index: index,
                time_ms: entry.time_ms,
                asker: asker.clone(),
                holder: holder.clone(),
                purpose: entry.purpose,
                legal_basis: entry.legal_basis,
                case_reference: case_reference.clone(),
                agrees: agreement.grade,
                answered,
            });
        }
    }
}

/// Whether the leaf's outcome names one of the child's records for this subject, or is not known.
/// A leaf that names the record tells the ombudsman of it, whatever the peer was told: a match is
/// withheld for a protected record, and beyond the probe limit.
fn may_be_named(records: &[[u8; 16]], number: usize, insight: &Insight) -> bool {
    insight.outcome.as_ref().is_none_or(|outcome| {
        outcome.subjects.iter().any(|line| {
            line.subject_index as usize == number
                && records.iter().any(|named| line.subject == named)
        })
    })
}

/// The leaves at which the child was denied, as far as that is certain: the node held its record
/// then as it does now, for its register has not changed since, and had not just changed.
#[derive(Default)]
struct Denials {
    changed_ms: Option<u64>,
    leaves: Vec<u64>,
}

impl Denials {
    fn register_changed(&mut self, time_ms: u64) {
        self.changed_ms = Some(time_ms);
        self.leaves.clear();
    }

    fn denied(&mut self, leaf: u64, time_ms: u64) {
        let settled = self
            .changed_ms
            .is_some_and(|changed| time_ms.saturating_sub(changed) > SETTLES_MS);
        if settled {
            self.leaves.push(leaf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_certain_only_if_the_register_stands_still() {
        let mut denials = Denials::default();
        denials.denied(1, SETTLES_MS * 2);
        assert!(denials.leaves.is_empty(), "nothing was ever published");
        denials.register_changed(1_000);
        denials.denied(3, 1_000 + SETTLES_MS);
        assert!(denials.leaves.is_empty(), "it may have been weighed before");
        denials.denied(4, 1_001 + SETTLES_MS);
        assert_eq!(denials.leaves, [4]);
        denials.register_changed(900_000);
        assert!(denials.leaves.is_empty(), "the record may have come since");
    }
}
