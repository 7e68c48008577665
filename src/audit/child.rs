//! The same for a family that knows no reference: who asked about a child that is only described.
//!
//! The ombudsman derives the child's linkage keys from its attributes, has keyholders evaluate them
//! blinded, as a member does, and so knows the lookup tokens that this child has at every holder.
//! With them it finds the child's records, which the node names with their proofs, and scans the
//! evidence behind the verified log itself: a query about this child carries its tokens, whatever
//! the node says of it. Neither names nor dates leave the ombudsman's machine.

use std::collections::{BTreeSet, HashMap};
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
    ) -> Option<Grade> {
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
        decided.first().map(|decision| decision.grade)
    }
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
        tokens: HashMap::new(),
        found: Vec::new(),
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
    let found = sightings.found;
    let mut events: Vec<Event> = scans.into_iter().flat_map(Scan::into_events).collect();
    events.sort_by_key(|event| event.leaf_index);
    // What the log says of a record may be less than what the evidence shows, and never more.
    let told: BTreeSet<u64> = events.iter().map(|event| event.leaf_index).collect();
    for sighting in &found {
        let denied = sighting.holder.as_ref() == Some(&member.id)
            && sighting.agrees == Grade::Match
            && sighting
                .answered
                .is_some_and(|grade| grade <= pb::Grade::NoMatch as u32)
            && !records.is_empty()
            && !told.contains(&sighting.leaf_index);
        if denied {
            verification.find(Place::Leaf(sighting.leaf_index), Fault::DeniedChild);
        }
    }
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
    tokens: HashMap<MemberId, HashMap<[u8; 16], RuleId>>,
    found: Vec<Sighting>,
}

impl Sightings<'_> {
    fn take(&mut self, index: u64, entry: &Entry, insight: &Insight) {
        let QuerySays::Lookup {
            case_reference,
            subjects,
        } = &insight.query
        else {
            return;
        };
        let (asker, holder) = match entry.act {
            pb::Act::LookupAnswered => (entry.peer.clone(), Some(self.member.clone())),
            pb::Act::LookupAsked => (Some(self.member.clone()), entry.peer.clone()),
            _ => return,
        };
        let Some(at) = &holder else { return };
        let tokens = self
            .tokens
            .entry(at.clone())
            .or_insert_with(|| self.sought.at(at.as_str()));
        let sightings = subjects.iter().enumerate().filter_map(|(number, subject)| {
            let agrees = self.sought.agrees(tokens, subject.as_ref()?)?;
            let answered = match &insight.answer {
                AnswerSays::Lookup(results) => results
                    .get(number)
                    .and_then(|result| u32::try_from(result.as_ref()?.grade).ok()),
                _ => None,
            };
            (rank(agrees) > rank(Grade::NoMatch)).then(|| Sighting {
                leaf_index: index,
                time_ms: entry.time_ms,
                asker: asker.clone(),
                holder: holder.clone(),
                purpose: entry.purpose,
                legal_basis: entry.legal_basis,
                case_reference: case_reference.clone(),
                agrees,
                answered,
            })
        });
        self.found.extend(sightings);
    }
}
