//! The same for a family that knows no reference: who asked about a child that is only described.
//!
//! The ombudsman derives the child's linkage keys from its attributes, has keyholders evaluate them
//! blinded, as a member does, and so knows the lookup tokens that this child has at every holder.
//! With them it finds the child's records, which the node names with their proofs, and scans the
//! evidence behind the verified log itself: a query about this child carries its tokens, whatever
//! the node says of it. Neither names nor dates leave the ombudsman's machine.
//!
//! The node also has to prove which of these tokens stand in its index, under the root that it logged:
//! a record that was kept out of the index, and an answer that denies what is in it, show that way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::auditor::{Answered, AuditError, Auditor, NamedRecords, ProvedIndex};
use super::behind::{AnswerSays, Insight, QuerySays};
use super::entry::Entry;
use super::finding::{Fault, Place};
use super::index::{self, Mark, Marks};
use super::subject::{Event, Scan, prove};
use super::verify::{Progress, Reading, Verification, verify};
use crate::exchange::lookup::{ProbedSubject, SubjectTokens, attributes, rank};
use crate::exchange::{PeerError, Refusal};
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
    /// Its tokens under each epoch for which they could be made, the one in use first.
    under: Vec<Under>,
    missed: Vec<MissedEpoch>,
}

/// The tokens of a child under one epoch of the coalition key.
struct Under {
    epoch: u32,
    tokens: SubjectTokens,
}

/// An epoch of the roster under which the child's tokens could not be made.
pub struct MissedEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Why not.
    pub why: String,
}

/// Which keys of a child stand in a member's index, as the member proved it.
pub struct ChildInIndex {
    /// The epoch of the coalition key.
    pub epoch: u32,
    /// What the log states of the index; nothing if it was never stated, as of an empty one.
    pub mark: Option<Mark>,
    /// Rows of the index.
    pub size: u64,
    /// Keys of the child in it.
    pub standing: usize,
    /// Keys of the child in all.
    pub keys: usize,
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
    /// What the member's indexes have of it, by epoch.
    pub indexes: Vec<ChildInIndex>,
    /// Lookups in the log whose tokens were made under an epoch that is gone, or could not be asked
    /// for: whether they were about the child cannot be told any more.
    pub untold: u64,
    /// The reading of the log that this rests on.
    pub verification: Verification,
}

impl Auditor {
    /// Has keyholders make the tokens of a described child, from blinded linkage keys: under the epoch
    /// in use, and under the others that the roster lists, as far as keyholders serve them.
    ///
    /// # Errors
    /// [`AuditError`] if too few keyholders answer under the epoch in use, or the roster has no
    /// coalition key.
    pub async fn seek(
        &self,
        rules: &'static RuleTable,
        described: &Record,
    ) -> Result<SoughtChild, AuditError> {
        let derived = rules.derive(&attributes(described));
        let owners: Vec<RuleId> = derived.keys.iter().map(|key| key.rule).collect();
        let inputs: Vec<Zeroizing<Vec<u8>>> =
            derived.keys.into_iter().map(|key| key.text).collect();
        let inputs = Arc::new(inputs);
        let roster = self.rosters.newest();
        let keys = roster.coalition_keys();
        let in_use = keys
            .current
            .as_ref()
            .ok_or(PeerError::Own(Refusal::NoRoster {
                why: "it has no coalition key yet".to_owned(),
            }))?;
        let mut sought = SoughtChild {
            rules,
            under: Vec::new(),
            missed: Vec::new(),
        };
        let others = [&keys.previous, &keys.next].into_iter().flatten();
        for stated in std::iter::once(in_use).chain(others) {
            match self.coalition_tokens(stated, Arc::clone(&inputs)).await {
                Ok((epoch, tokens)) => sought.under.push(Under {
                    epoch,
                    tokens: SubjectTokens {
                        presence: derived.presence,
                        tokens: owners.iter().copied().zip(tokens).collect(),
                    },
                }),
                Err(error) if sought.under.is_empty() => return Err(error),
                Err(error) => sought.missed.push(MissedEpoch {
                    epoch: stated.epoch,
                    why: error.to_string(),
                }),
            }
        }
        Ok(sought)
    }
}

impl SoughtChild {
    /// How many linkage keys the child has; without any it cannot be looked for.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.under
            .first()
            .map_or(0, |under| under.tokens.tokens.len())
    }

    /// The epochs under which it is looked for.
    pub fn epochs(&self) -> impl Iterator<Item = u32> {
        self.under.iter().map(|under| under.epoch)
    }

    /// The epochs of the roster under which it could not be.
    #[must_use]
    pub fn missed(&self) -> &[MissedEpoch] {
        &self.missed
    }
}

impl Under {
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
        rules: &RuleTable,
        tokens: &HashMap<[u8; 16], RuleId>,
        subject: &pb::LookupSubject,
    ) -> Option<Agreement> {
        let asked = ProbedSubject::from_wire(rules, subject).ok()?;
        let agreed: RuleSet = asked
            .probes
            .iter()
            .filter_map(|(rule, token)| tokens.get(token).filter(|own| own.0 == *rule))
            .copied()
            .collect();
        let any = rules.rules().iter().any(|rule| agreed.contains(rule.id));
        if !any {
            return None;
        }
        let evidence = [(self.tokens.presence, agreed)];
        let decided = rules.decide_among(asked.presence, &evidence);
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

/// What a member answered about a child under one epoch.
struct Asked<'a> {
    under: &'a Under,
    named: NamedRecords,
    index: ProvedIndex,
    /// The child's keys that were sent.
    own: HashMap<[u8; 16], RuleId>,
}

/// Asks a member about a child under every epoch for which there are tokens.
async fn ask<'a>(
    auditor: &Auditor,
    member: &Member,
    sought: &'a SoughtChild,
) -> Result<Vec<Asked<'a>>, AuditError> {
    let holder = member.id.as_str();
    let mut asked = Vec::new();
    let mut closed = None;
    for under in &sought.under {
        let ambient = &auditor.ambient;
        let subject = under
            .tokens
            .for_holder(sought.rules, under.epoch, holder, ambient);
        let index = match auditor.prove_index(member, under.epoch, &subject).await {
            // A member opens an epoch when its register is enrolled, and leaves it later.
            Err(AuditError::Peer(PeerError::Refused { member, refusal }))
                if refusal.code == "WRONG_EPOCH" =>
            {
                closed = Some(PeerError::Refused { member, refusal });
                continue;
            }
            index => index?,
        };
        let sent = subject.tokens.as_chunks::<16>().0;
        let mut own = under.at(holder);
        own.retain(|token, _| sent.contains(token));
        asked.push(Asked {
            named: auditor.resolve_child(member, under.epoch, &subject).await?,
            under,
            index,
            own,
        });
    }
    match closed {
        Some(closed) if asked.is_empty() => Err(closed.into()),
        _ => Ok(asked),
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
    let asked = ask(auditor, member, sought).await?;
    let named: BTreeSet<[u8; 16]> = asked
        .iter()
        .flat_map(|asked| &asked.named.records)
        .map(|named| named.subject)
        .collect();
    let mut scans: Vec<Scan> = named.iter().map(|subject| Scan::new(*subject)).collect();
    let mut sightings = Sightings {
        sought,
        member: &member.id,
        named: &named,
        tokens: HashMap::new(),
        found: Vec::new(),
        denials: Denials::default(),
        untold: 0,
    };
    let answers: Vec<&Answered> = asked
        .iter()
        .flat_map(|asked| [&asked.named.at, &asked.index.at])
        .collect();
    let mut recorded: BTreeMap<u64, u64> = BTreeMap::new();
    let mut marks = Marks::default();
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
            if answers.iter().any(|answer| answer.is(index, entry)) {
                recorded.insert(index, entry.time_ms);
            }
            marks.take(index, entry);
            for scan in &mut scans {
                scan.take(index, entry, insight);
            }
            sightings.take(index, entry, insight);
        },
    )
    .await;
    let Sightings {
        found,
        denials,
        untold,
        ..
    } = sightings;
    for answer in answers {
        if !recorded.contains_key(&answer.leaf_index) {
            verification.find(Place::Leaf(answer.leaf_index), Fault::AuditNotRecorded);
        }
    }
    let mut records = BTreeSet::new();
    let mut indexes = Vec::new();
    // The epochs under which every key of the child stands in the index, as it was logged.
    let mut whole = BTreeSet::new();
    for asked in &asked {
        for named in &asked.named.records {
            match prove(
                &verification,
                &named.record_ref,
                &named.subject,
                &named.proof,
            ) {
                Ok(()) => {
                    records.insert(named.subject);
                }
                Err(why) => {
                    let (why, answer) = (why.to_owned(), asked.named.at.message.clone());
                    verification.find(Place::Node, Fault::Pseudonym { why, answer });
                }
            }
        }
        let at = asked.index.at.leaf_index;
        let time_ms = recorded.get(&at).copied().unwrap_or_default();
        match in_index(asked, &marks, (at, time_ms)) {
            Ok(index) => {
                if let Some(mark) = index.mark
                    && index.standing == index.keys
                    && index.keys > 0
                {
                    whole.insert(index.epoch);
                    let settled = denials
                        .changed_leaf
                        .is_some_and(|changed| changed <= mark.leaf_index);
                    if asked.named.records.is_empty() && settled {
                        let fault = Fault::RecordHidden {
                            mark: mark.leaf_index,
                            answer: asked.named.at.message.clone(),
                        };
                        verification.find(Place::Leaf(asked.named.at.leaf_index), fault);
                    }
                }
                indexes.push(index);
            }
            Err(why) => {
                let answer = asked.index.at.message.clone();
                verification.find(Place::Leaf(at), Fault::OtherIndex { why, answer });
            }
        }
    }
    for (leaf, epoch, denial) in denials.leaves {
        match denial {
            Denial::NoMatch if !records.is_empty() || whole.contains(&epoch) => {
                verification.find(Place::Leaf(leaf), Fault::DeniedChild);
            }
            Denial::OtherRecord if !records.is_empty() => {
                verification.find(Place::Leaf(leaf), Fault::OtherRecordNamed);
            }
            Denial::NoMatch | Denial::OtherRecord => {}
        }
    }
    let mut events: Vec<Event> = scans.into_iter().flat_map(Scan::into_events).collect();
    events.sort_by_key(|event| event.leaf_index);
    Ok(ChildReport {
        member: member.id.clone(),
        records: records.into_iter().collect(),
        events,
        sightings: found,
        indexes,
        untold,
        verification,
    })
}

/// What the index that a node showed has of the child, if it is the one that the node logged.
fn in_index(
    asked: &Asked<'_>,
    marks: &Marks,
    answered: (u64, u64),
) -> Result<ChildInIndex, String> {
    let shown = index::check(&asked.index.proof, &asked.own)?;
    let epoch = asked.under.epoch;
    let mark = marks.in_force(epoch, answered, (shown.size, shown.root));
    if mark.is_none() && (shown.size > 0 || marks.any(epoch, answered.0)) {
        return Err(format!(
            "no publication mark in force then states {} rows with the root {} under epoch {epoch}",
            shown.size,
            hex::encode(shown.root)
        ));
    }
    Ok(ChildInIndex {
        epoch,
        mark,
        size: shown.size,
        standing: shown.standing,
        keys: shown.keys,
    })
}

/// Looks for the child's tokens in every query.
struct Sightings<'a> {
    sought: &'a SoughtChild,
    member: &'a MemberId,
    /// The records that the node named.
    named: &'a BTreeSet<[u8; 16]>,
    tokens: HashMap<(MemberId, u32), HashMap<[u8; 16], RuleId>>,
    found: Vec<Sighting>,
    denials: Denials,
    untold: u64,
}

impl Sightings<'_> {
    fn take(&mut self, index: u64, entry: &Entry, insight: &Insight) {
        let (asker, holder) = match entry.act {
            pb::Act::LookupAnswered => (entry.peer.clone(), Some(self.member.clone())),
            pb::Act::LookupAsked => (Some(self.member.clone()), entry.peer.clone()),
            pb::Act::RecordsImported | pb::Act::RecordsPublished | pb::Act::EpochOpened => {
                self.denials.register_changed(index, entry.time_ms);
                return;
            }
            _ => return,
        };
        let QuerySays::Lookup {
            case_reference,
            epoch,
            subjects,
        } = &insight.query
        else {
            return;
        };
        let Some(at) = &holder else { return };
        let Some(under) = self.sought.under.iter().find(|under| under.epoch == *epoch) else {
            self.untold += 1;
            return;
        };
        let tokens = self
            .tokens
            .entry((at.clone(), *epoch))
            .or_insert_with(|| under.at(at.as_str()));
        for (number, subject) in subjects.iter().enumerate() {
            let Some(agreement) = subject
                .as_ref()
                .and_then(|subject| under.agrees(self.sought.rules, tokens, subject))
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
            let certain = entry.act == pb::Act::LookupAnswered
                && agreement.same
                && agreement.grade == Grade::Match
                && !may_be_named(self.named, number, insight);
            if let (true, Some(grade)) = (certain, answered) {
                let denial = if grade <= pb::Grade::NoMatch as u32 {
                    Denial::NoMatch
                } else {
                    Denial::OtherRecord
                };
                let leaf = (index, *epoch, denial);
                self.denials.denied(leaf, entry.time_ms);
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
fn may_be_named(records: &BTreeSet<[u8; 16]>, number: usize, insight: &Insight) -> bool {
    insight.outcome.as_ref().is_none_or(|outcome| {
        outcome.subjects.iter().any(|line| {
            // Where the node names no record of the child, any that the query touched may be it.
            line.subject_index as usize == number
                && (records.is_empty() || records.iter().any(|named| line.subject == named))
        })
    })
}

/// The leaves at which the child was denied, as far as that is certain: the node held its record
/// then as it does now, for its register has not changed since, and had not just changed.
#[derive(Default)]
struct Denials {
    changed_ms: Option<u64>,
    changed_leaf: Option<u64>,
    /// The leaves, with the epoch of the query.
    leaves: Vec<(u64, u32, Denial)>,
}

/// How a child was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denial {
    /// Nothing was said to be found.
    NoMatch,
    /// Something was, and the outcome, which has a line for each record that is touched, does not name
    /// the child's.
    OtherRecord,
}

impl Denials {
    fn register_changed(&mut self, leaf: u64, time_ms: u64) {
        self.changed_ms = Some(time_ms);
        self.changed_leaf = Some(leaf);
        self.leaves.clear();
    }

    fn denied(&mut self, leaf: (u64, u32, Denial), time_ms: u64) {
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
    use super::super::sample::{NOW_MS, entry, id};
    use super::*;
    use crate::ambient::Ambient;
    use crate::linkage::{Attributes, Date};
    use crate::oprf::CoalitionToken;

    /// Ukraine asked Poland about a child with all its tokens, and Poland has this outcome on record.
    fn answered(grade: pb::Grade, outcome: Option<[u8; 16]>) -> Insight {
        let (rules, under) = child_of_one_key();
        let subject = under.tokens.for_holder(rules, 1, "pl", &Ambient::system());
        let line = |subject: [u8; 16]| pb::SubjectOutcome {
            subject: subject.to_vec(),
            grade: grade as u32,
            ..pb::SubjectOutcome::default()
        };
        Insight {
            outcome: Some(pb::Outcome {
                subjects: outcome.into_iter().map(line).collect(),
            }),
            query: QuerySays::Lookup {
                case_reference: "CASE-1".to_owned(),
                epoch: 1,
                subjects: vec![Some(subject)],
            },
            answer: AnswerSays::Lookup(vec![Some(pb::LookupResult {
                grade: grade.into(),
                ..pb::LookupResult::default()
            })]),
            ..Insight::default()
        }
    }

    /// A child of whom one rule suffices for a match.
    fn child_of_one_key() -> (&'static RuleTable, Under) {
        let rules = RuleTable::shipped().unwrap();
        let derived = rules.derive(&Attributes {
            family_name: Some("Tryndulenko"),
            given_name: Some("Zenoviia"),
            patronymic: Some("Bohdanivna"),
            date_of_birth: Date::new(2017, Some(3), Some(4)),
            place_of_birth: Some("Kherson"),
            mother_family_name: Some("Tryndulenko"),
            ..Attributes::default()
        });
        let tokens = derived.keys.iter().zip(1..);
        let tokens =
            tokens.map(|(key, number)| (key.rule, CoalitionToken::from_bytes(&[number; 64])));
        let tokens = SubjectTokens {
            presence: derived.presence,
            tokens: tokens.collect(),
        };
        (rules, Under { epoch: 1, tokens })
    }

    #[test]
    fn an_outcome_has_to_name_the_child_s_record_whatever_was_answered() {
        const RECORD: [u8; 16] = [9; 16];
        const OTHER: [u8; 16] = [8; 16];
        let denied = |insight: &Insight, named: &[[u8; 16]]| {
            let (rules, under) = child_of_one_key();
            let sought = SoughtChild {
                rules,
                under: vec![under],
                missed: Vec::new(),
            };
            let named: BTreeSet<[u8; 16]> = named.iter().copied().collect();
            let mut sightings = Sightings {
                sought: &sought,
                member: &id("pl"),
                named: &named,
                tokens: HashMap::new(),
                found: Vec::new(),
                denials: Denials::default(),
                untold: 0,
            };
            let published = entry(pb::Act::RecordsPublished, "", 0);
            sightings.take(0, &published, &Insight::default());
            let asked = Entry {
                time_ms: NOW_MS + SETTLES_MS + 1,
                ..entry(pb::Act::LookupAnswered, "ua", 1)
            };
            sightings.take(1, &asked, insight);
            assert_eq!(sightings.found[0].agrees, Grade::Match);
            let denials = sightings.denials.leaves.iter();
            denials.map(|(_, _, denial)| *denial).collect::<Vec<_>>()
        };
        use pb::Grade::{Match, NoMatch};
        assert_eq!(denied(&answered(Match, Some(RECORD)), &[RECORD]), []);
        assert_eq!(
            denied(&answered(Match, Some(OTHER)), &[RECORD]),
            [Denial::OtherRecord]
        );
        assert_eq!(
            denied(&answered(NoMatch, None), &[RECORD]),
            [Denial::NoMatch]
        );
        // A match that was withheld is on record all the same.
        assert_eq!(denied(&answered(NoMatch, Some(RECORD)), &[RECORD]), []);
        // Where the node names no record of the child, the one on record may be it.
        assert_eq!(denied(&answered(Match, Some(OTHER)), &[]), []);
    }

    #[test]
    fn a_denial_is_certain_only_if_the_register_stands_still() {
        let denied = |leaf: u64| (leaf, 1, Denial::NoMatch);
        let mut denials = Denials::default();
        denials.denied(denied(1), SETTLES_MS * 2);
        assert!(denials.leaves.is_empty(), "nothing was ever published");
        denials.register_changed(2, 1_000);
        denials.denied(denied(3), 1_000 + SETTLES_MS);
        assert!(denials.leaves.is_empty(), "it may have been weighed before");
        denials.denied(denied(4), 1_001 + SETTLES_MS);
        assert_eq!(denials.leaves, [denied(4)]);
        denials.register_changed(5, 900_000);
        assert!(denials.leaves.is_empty(), "the record may have come since");
    }
}
