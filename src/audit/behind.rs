//! The evidence behind one leaf, held against what the leaf says.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use zeroize::Zeroizing;

use super::entry::{Entry, blinds_reference, run_reference};
use super::finding::{Fault, Part, Place};
use super::last::verify_checkpoint;
use super::outcome::outcome_as_answered;
use super::rosters::Rosters;
use crate::envelope::merkle::sha256;
use crate::envelope::{ItemEvidence, ItemsCommitment, KeyId, dsse, items};
use crate::exchange::leaf::commitment;
use crate::exchange::message::{
    CLOCK_SKEW_MS, MAX_LIFETIME_MS, Payload, check_receipt, milliseconds, stated_place, take_apart,
};
use crate::exchange::{legal_basis_from, purpose_from};
use crate::proto::exchange as pb;
use crate::roster::{LegalBasis, Member, MemberId, OmbudsmanScope, Purpose, TrustedRoster};
use crate::tlog::TreeHead;

/// What the evidence behind a leaf says, once it is verified.
#[derive(Clone, Default)]
pub struct Insight {
    /// The inner outcome, if it was opened and holds.
    pub outcome: Option<pb::Outcome>,
    /// The query.
    pub query: QuerySays,
    /// The answer.
    pub answer: AnswerSays,
    /// The receipt in the answer.
    pub promise: Option<PromiseOf>,
    /// The roster that came into force.
    pub roster: Option<Arc<TrustedRoster>>,
    /// The disclosure policy that came into force.
    pub policy: Option<Arc<str>>,
    /// What the log's owner holds against another party's log.
    pub reported: Option<Reported>,
    /// Whether the query is one that the party signed which the leaf says has asked. Only then does
    /// the leaf prove anything of that party, whatever else is wrong with it.
    pub query_held: bool,
    /// Whether the answer holds, so that the party signed it which the leaf says has answered.
    pub answer_held: bool,
}

/// Two checkpoints by which the owner of a log accuses another party. Both are signed by that party's
/// log.
#[derive(Clone)]
pub struct Reported {
    /// Who is accused.
    pub member: MemberId,
    /// Of what.
    pub fault: Fault,
}

/// What a verified query says.
#[derive(Clone, Default)]
pub enum QuerySays {
    /// No query, or one that did not hold.
    #[default]
    Nothing,
    /// A batch of evaluations.
    Evaluation {
        /// The epoch of the coalition key.
        epoch: u32,
        /// Root of its one item, the blinded elements.
        items_root: [u8; 32],
    },
    /// A lookup.
    Lookup {
        /// The asking party's case reference.
        case_reference: String,
        /// The epoch of the coalition key that its tokens were made under.
        epoch: u32,
        /// The subjects; nothing where one is none.
        subjects: Vec<Option<pb::LookupSubject>>,
    },
    /// A request for fields.
    Disclosure {
        /// The asking party's case reference.
        case_reference: String,
        /// The lead.
        lead_id: Vec<u8>,
        /// The fields asked for.
        fields: Vec<String>,
    },
    /// A notice to a receiver.
    Notice,
    /// An ombudsman's request.
    Audit,
}

/// What a verified answer says.
#[derive(Clone, Default)]
pub enum AnswerSays {
    /// No answer, or one that did not hold.
    #[default]
    Nothing,
    /// A batch was evaluated.
    Evaluation,
    /// The results of a lookup, by subject; nothing where one is unknown.
    Lookup(Vec<Option<pb::LookupResult>>),
    /// A disclosure.
    Disclosure {
        /// Names of the fields that were given.
        granted: Vec<String>,
        /// Names of those that were not.
        withheld: Vec<String>,
    },
    /// A notice was acted on.
    Notice,
    /// A pseudonym was named.
    Subject,
}

/// A receipt: whose log, which leaf, and which tree was promised to hold it.
#[derive(Clone)]
pub struct PromiseOf {
    /// Whose log.
    pub holder: MemberId,
    /// The leaf.
    pub leaf_index: u64,
    /// The tree that covers it.
    pub head: TreeHead,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// A leaf whose evidence is to be checked.
pub(super) struct Leaf<'a> {
    /// Whose keys count.
    pub rosters: &'a Rosters,
    /// The roster in force at this leaf, if the log has told of it so far.
    pub in_force: Option<&'a TrustedRoster>,
    /// Whose log.
    pub owner: &'a Member,
    /// Its place.
    pub index: u64,
    /// What it says.
    pub entry: &'a Entry,
}

/// Which evidence an act leaves behind.
struct Expected {
    query: bool,
    answer: bool,
    opening: bool,
    seed: bool,
    /// Whether the log's owner asked, or was asked.
    own_query: bool,
}

fn expected(entry: &Entry) -> Expected {
    use pb::Act;
    let all = Expected {
        query: true,
        answer: true,
        opening: true,
        seed: false,
        own_query: false,
    };
    match entry.act {
        Act::EvaluationAsked => Expected {
            answer: false,
            seed: true,
            own_query: true,
            ..all
        },
        Act::LookupAsked | Act::DisclosureAsked | Act::NoticeAsked => Expected {
            answer: false,
            own_query: true,
            ..all
        },
        Act::EvaluationReceived
        | Act::LookupReceived
        | Act::DisclosureReceived
        | Act::NoticeReceived => Expected {
            own_query: true,
            ..all
        },
        Act::EvaluationAnswered
        | Act::LookupAnswered
        | Act::DisclosureAnswered
        | Act::NoticeAnswered => all,
        Act::AuditAnswered => Expected {
            // Streams of leaves and evidence have no signed answer of their own.
            answer: entry.answer_digest.is_some(),
            ..all
        },
        Act::QueryRefused => Expected {
            answer: false,
            ..all
        },
        Act::WrongAnswer => Expected {
            opening: false,
            own_query: true,
            ..all
        },
        Act::RosterAdopted
        | Act::RootAdopted
        | Act::RecordsImported
        | Act::RecordsPublished
        | Act::RecordErased
        | Act::SilentChecked
        | Act::BackupCreated
        | Act::WrappingKeyMade
        | Act::WrappingKeyDestroyed
        | Act::LeavesRead => Expected {
            query: false,
            answer: false,
            ..all
        },
        _ => Expected {
            query: false,
            answer: false,
            opening: false,
            ..all
        },
    }
}

/// Checks the evidence behind a leaf. Everything that does not hold is named, and what holds is
/// told.
pub(super) fn check(
    leaf: &Leaf<'_>,
    reply: pb::ReadEvidenceResponse,
) -> (Insight, Vec<(Place, Fault)>) {
    let mut faults = Vec::new();
    let mut insight = Insight::default();
    let expected = expected(leaf.entry);
    let damaged = damaged_parts(leaf.index, &reply, &mut faults);
    let is_damaged = |part: Part| damaged.contains_key(&part);
    let place = |part: Part| Place::Evidence(leaf.index, part);
    let reports = leaf.entry.act == pb::Act::WrongAnswer;
    let query = reply.query.as_ref().filter(|_| reports);
    let asked_under = query.and_then(|query| stated_roster(leaf, query));

    match reply.query {
        Some(message) if !is_damaged(Part::Query) => {
            match check_query(leaf, &expected, message, &mut insight.query_held) {
                Ok(says) => insight.query = says,
                Err(fault) => faults.push((place(Part::Query), fault)),
            }
        }
        None if expected.query && !is_damaged(Part::Query) => {
            faults.push((place(Part::Query), Fault::Missing));
        }
        _ => {}
    }
    match reply.answer {
        Some(message) if reports && !is_damaged(Part::Answer) => {
            let judged_by = asked_under.filter(|_| insight.query_held);
            match wrong_answer(leaf, judged_by, message) {
                Ok(reported) => insight.reported = Some(reported),
                Err(fault) => faults.push((place(Part::Answer), fault)),
            }
        }
        Some(message) if !is_damaged(Part::Answer) => {
            match check_answer(leaf, &expected, message) {
                Ok((says, promise)) => {
                    insight.answer = says;
                    insight.promise = promise;
                    insight.answer_held = true;
                }
                Err(fault) => faults.push((place(Part::Answer), fault)),
            }
        }
        None if expected.answer && !is_damaged(Part::Answer) => {
            faults.push((place(Part::Answer), Fault::Missing));
        }
        _ => {}
    }
    if !is_damaged(Part::Opening) {
        if reply.opening.is_empty() {
            if expected.opening {
                faults.push((place(Part::Opening), Fault::Missing));
            }
        } else {
            match open_outcome(leaf.entry, &reply.opening) {
                Ok(outcome) => insight.outcome = Some(outcome),
                Err(fault) => faults.push((place(Part::Opening), fault)),
            }
        }
    }
    if expected.seed && !reply.seed_kept && !is_damaged(Part::Seed) {
        faults.push((place(Part::Seed), Fault::Missing));
    }
    if leaf.entry.act == pb::Act::RosterAdopted && !is_damaged(Part::Document) {
        match adopted_roster(leaf, &reply.document) {
            Ok(roster) => insight.roster = Some(roster),
            Err(fault) => faults.push((place(Part::Document), fault)),
        }
    }
    if leaf.entry.act == pb::Act::PolicyAdopted && !is_damaged(Part::Document) {
        match adopted_policy(leaf, &reply.document) {
            Ok(policy) => insight.policy = Some(policy),
            Err(fault) => faults.push((place(Part::Document), fault)),
        }
    }
    let accuses = [pb::Act::SplitViewFound, pb::Act::PromiseBroken].contains(&leaf.entry.act);
    if accuses && !is_damaged(Part::Document) {
        match reported(leaf, &reply.document) {
            Ok(reported) => insight.reported = Some(reported),
            Err(fault) => faults.push((place(Part::Document), fault)),
        }
    }
    if let Err(why) = outcome_as_answered(leaf.entry, &insight) {
        faults.push((place(Part::Opening), Fault::Outcome { why }));
    }
    (insight, faults)
}

/// The parts that the node says it cannot read, each with one finding for each place in it.
fn damaged_parts(
    index: u64,
    reply: &pb::ReadEvidenceResponse,
    faults: &mut Vec<(Place, Fault)>,
) -> BTreeMap<Part, ()> {
    let mut damaged = BTreeMap::new();
    for place in &reply.damaged {
        let part = match place.part() {
            pb::EvidencePart::Answer => Part::Answer,
            pb::EvidencePart::Opening => Part::Opening,
            pb::EvidencePart::Seed => Part::Seed,
            pb::EvidencePart::Document => Part::Document,
            pb::EvidencePart::Query | pb::EvidencePart::Unspecified => Part::Query,
        };
        damaged.insert(part, ());
        faults.push((
            Place::Evidence(index, part),
            Fault::Damaged { item: place.item },
        ));
    }
    damaged
}

/// The roster that came into force, as the leaf states it.
fn adopted_roster(leaf: &Leaf<'_>, document: &[u8]) -> Result<Arc<TrustedRoster>, Fault> {
    if document.is_empty() {
        return Err(Fault::Missing);
    }
    let other = |why: String| Fault::OtherDocument { why };
    let roster = leaf
        .rosters
        .verify(document)
        .ok_or_else(|| other("no root of this coalition signed it".to_owned()))?;
    let stated = format!("version={} sha256={}", roster.version(), roster.digest());
    let found = leaf.entry.reference.split(' ').take(2).collect::<Vec<_>>();
    if stated != found.join(" ") {
        return Err(other(format!(
            "it is the roster of version {}",
            roster.version()
        )));
    }
    let at_hand = leaf
        .rosters
        .may_state(roster.stated_place(), roster.digest().as_bytes());
    if at_hand {
        Ok(Arc::new(roster))
    } else {
        Err(Fault::OtherRoster {
            version: roster.version().into(),
        })
    }
}

/// The disclosure policy that came into force, as the leaf states it.
fn adopted_policy(leaf: &Leaf<'_>, document: &[u8]) -> Result<Arc<str>, Fault> {
    if document.is_empty() {
        return Err(Fault::Missing);
    }
    let other = |why: &str| Fault::OtherDocument {
        why: why.to_owned(),
    };
    let stated = format!("sha256={}", hex::encode(sha256(&[document])));
    if *leaf.entry.reference != *stated {
        return Err(other("its digest is another"));
    }
    std::str::from_utf8(document)
        .map(Arc::from)
        .map_err(|_| other("it is no text"))
}

/// Two checkpoints of the accused party's log, under the log's own key of then or now.
fn reported(leaf: &Leaf<'_>, document: &[u8]) -> Result<Reported, Fault> {
    if document.is_empty() {
        return Err(Fault::Missing);
    }
    let other = |why: String| Fault::OtherDocument { why };
    let member = leaf.entry.peer.as_ref().ok_or(Fault::OtherMessage {
        what: "the other party",
    })?;
    let [signed, shown]: [String; 2] = serde_json::from_slice(document)
        .map_err(|_| other("it is not two checkpoints".to_owned()))?;
    let verify = |note: &str| {
        let mut why = "the roster has no such party".to_owned();
        for roster in leaf.rosters.all() {
            let Some(accused) = roster.member(member.as_str()) else {
                continue;
            };
            match verify_checkpoint(accused, note) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => why = error,
            }
        }
        Err(other(format!("a checkpoint in it does not hold: {why}")))
    };
    let (one, two) = (verify(&signed)?, verify(&shown)?);
    Ok(Reported {
        member: member.clone(),
        fault: Fault::Reported {
            by: leaf.owner.id.clone(),
            leaf: leaf.index,
            proved: one.contradicts(&two),
            signed,
            shown,
        },
    })
}

fn open_outcome(entry: &Entry, opening: &[u8]) -> Result<pb::Outcome, Fault> {
    if entry.commitment != Some(commitment(opening)) {
        return Err(Fault::Commitment);
    }
    opening
        .get(16..)
        .and_then(|outcome| pb::Outcome::decode(outcome).ok())
        .ok_or(Fault::Unreadable {
            why: "it holds no outcome".to_owned(),
        })
}

/// A message whose signature and parties hold; its items are still to be checked.
struct Signed<P> {
    payload: P,
    header: pb::Header,
    digest: [u8; 32],
    items: Vec<ItemEvidence>,
}

/// A message whose signature, parties and items hold.
struct Opened<P> {
    payload: P,
    header: pb::Header,
    items_root: [u8; 32],
    items: Vec<Option<Zeroizing<Vec<u8>>>>,
}

/// Checks a query. Sets `held` as soon as it is one that the party signed which is said to have
/// asked: what the log's owner may have made of it since does not take that back.
fn check_query(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<QuerySays, Fault> {
    use pb::Act;
    match leaf.entry.act {
        Act::EvaluationAsked | Act::EvaluationAnswered | Act::EvaluationReceived => {
            evaluation_query(leaf, expected, message, held)
        }
        Act::LookupAsked | Act::LookupAnswered | Act::LookupReceived => {
            lookup_query(leaf, expected, message, held)
        }
        Act::DisclosureAsked | Act::DisclosureAnswered | Act::DisclosureReceived => {
            disclosure_query(leaf, expected, message, held)
        }
        Act::NoticeAsked | Act::NoticeAnswered | Act::NoticeReceived => {
            open_query::<pb::DisclosureNotice>(leaf, expected, message, held)
                .map(|_| QuerySays::Notice)
        }
        Act::AuditAnswered => audit_query(leaf, expected, message, held),
        Act::QueryRefused => refused_query(leaf, expected, message, held),
        Act::WrongAnswer => readable_query(leaf, expected, message, held),
        _ => Err(Fault::OtherKind),
    }
}

fn evaluation_query(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<QuerySays, Fault> {
    let query: Opened<pb::EvaluationQuery> = open_query(leaf, expected, message, held)?;
    same(query.payload.element_count, leaf.entry.count, "the count")?;
    Ok(evaluation_says(&query))
}

fn evaluation_says(query: &Opened<pb::EvaluationQuery>) -> QuerySays {
    QuerySays::Evaluation {
        epoch: query.payload.epoch,
        items_root: query.items_root,
    }
}

fn lookup_query(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<QuerySays, Fault> {
    let query: Opened<pb::LookupQuery> = open_query(leaf, expected, message, held)?;
    same(
        query.header.item_count,
        leaf.entry.count,
        "the number of subjects",
    )?;
    same_ground(leaf.entry, query.payload.purpose, query.payload.legal_basis)?;
    none_hidden(&query.items)?;
    Ok(QuerySays::Lookup {
        subjects: subjects(&query.items),
        epoch: query.payload.epoch,
        case_reference: query.payload.case_reference,
    })
}

/// Subjects and results of lookups are tokens and grades, which no node erases: one that is said to be
/// erased is one that the log's owner would have nobody see.
fn none_hidden(items: &[Option<Zeroizing<Vec<u8>>>]) -> Result<(), Fault> {
    match items.iter().position(Option::is_none) {
        Some(position) => Err(Fault::HiddenItem { item: position + 1 }),
        None => Ok(()),
    }
}

fn subjects(items: &[Option<Zeroizing<Vec<u8>>>]) -> Vec<Option<pb::LookupSubject>> {
    items
        .iter()
        .map(|item| pb::LookupSubject::decode(item.as_ref()?.as_slice()).ok())
        .collect()
}

fn disclosure_query(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<QuerySays, Fault> {
    let query: Opened<pb::DisclosureQuery> = open_query(leaf, expected, message, held)?;
    same_ground(leaf.entry, query.payload.purpose, query.payload.legal_basis)?;
    let fields = query
        .payload
        .fields
        .map_or_else(Vec::new, |mask| mask.paths);
    if leaf.entry.act != pb::Act::DisclosureAnswered {
        same(
            fields.len() as u64,
            u64::from(leaf.entry.count),
            "the number of fields",
        )?;
    }
    Ok(QuerySays::Disclosure {
        case_reference: query.payload.case_reference,
        lead_id: query.payload.lead_id,
        fields,
    })
}

fn audit_query(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<QuerySays, Fault> {
    let query: Opened<pb::AuditQuery> = open_query(leaf, expected, message, held)?;
    let asked = match query.payload.subject {
        Some(pb::audit_query::Subject::Entries(range)) => run_reference("entries", &range),
        Some(pb::audit_query::Subject::Evidence(range)) => run_reference("evidence", &range),
        Some(pb::audit_query::Subject::Pseudonym(_)) => "pseudonym".to_owned(),
        Some(pb::audit_query::Subject::ChildEpoch(_)) => "child".to_owned(),
        Some(pb::audit_query::Subject::IndexEpoch(_)) => "index".to_owned(),
        Some(pb::audit_query::Subject::Blinds(asked)) => blinds_reference(&asked),
        None => return Err(Fault::OtherKind),
    };
    same(asked.as_str(), &*leaf.entry.reference, "what was asked for")?;
    if may_read(leaf, &query.header) {
        Ok(QuerySays::Audit)
    } else {
        Err(Fault::NoOmbudsman {
            reader: leaf
                .entry
                .peer
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), |peer| peer.as_str().to_owned()),
        })
    }
}

/// Whether the reader was an ombudsman whose scope the log's owner was in, by the roster that its
/// query states or by the one in force at the leaf: a roster that came later takes nothing back. If
/// neither is at hand, any that is may permit it.
fn may_read(leaf: &Leaf<'_>, header: &pb::Header) -> bool {
    let Some(reader) = &leaf.entry.peer else {
        return false;
    };
    let permits = |roster: &TrustedRoster| {
        let reader = roster.member(reader.as_str());
        match reader.and_then(|reader| reader.roles.ombudsman.as_ref()) {
            Some(OmbudsmanScope::Coalition) => true,
            Some(OmbudsmanScope::Member(member)) => *member == leaf.owner.id,
            None => false,
        }
    };
    let stated = leaf.rosters.all().filter(|roster| states(header, roster));
    let mut of_then = stated.chain(leaf.in_force).peekable();
    if of_then.peek().is_some() {
        of_then.any(permits)
    } else {
        leaf.rosters.all().any(permits)
    }
}

/// A refused query may be of any kind, and may be wrong in any way but its signature: what it says
/// is told where it can be read.
fn refused_query(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<QuerySays, Fault> {
    let kind = kind_of(&message);
    signed_by_peer(leaf, message.clone())?;
    // Anything else that the party signed is no question: an answer of its own, put here, would else
    // be one that it denies. An ombudsman's question leaves no leaf where it is asked.
    *held = [
        pb::EvaluationQuery::TYPE,
        pb::LookupQuery::TYPE,
        pb::DisclosureQuery::TYPE,
        pb::DisclosureNotice::TYPE,
    ]
    .contains(&kind.as_str());
    Ok(readable_query(leaf, expected, message, &mut false).unwrap_or_default())
}

/// What a message says that it is.
fn kind_of(message: &pb::SignedMessage) -> String {
    let envelope = message.envelope.as_ref();
    envelope
        .map(|envelope| envelope.payload_type.clone())
        .unwrap_or_default()
}

/// An answer that the log's owner could not use: the peer signed it, and what is wrong with it is the
/// owner's word, but for its receipt, which is judged here again.
fn wrong_answer(
    leaf: &Leaf<'_>,
    judged_by: Option<&TrustedRoster>,
    message: pb::SignedMessage,
) -> Result<Reported, Fault> {
    let answer = message.encode_to_vec();
    let receipt = receipt_of(&message);
    if Some(digest_by_peer(leaf, message)?) != leaf.entry.answer_digest {
        return Err(Fault::OtherMessage { what: "its digest" });
    }
    let member = leaf.entry.peer.clone().ok_or(Fault::OtherMessage {
        what: "the other party",
    })?;
    let why = leaf.entry.reference.to_string();
    let mut proved = false;
    if why == BAD_RECEIPT {
        let holds = |roster: &TrustedRoster, receipt: &pb::Receipt| {
            let holder = roster.member(member.as_str());
            holder.is_some_and(|holder| check_receipt(holder, receipt).is_ok())
        };
        let Some(receipt) = receipt else {
            return Err(Fault::OtherKind);
        };
        // The owner judged by the roster that its question states; by another one the receipt may well
        // hold.
        if judged_by.is_some_and(|roster| holds(roster, &receipt)) {
            return Err(Fault::FalseReport { peer: member, why });
        }
        proved = !leaf.rosters.all().any(|roster| holds(roster, &receipt));
    }
    Ok(Reported {
        member,
        fault: Fault::WrongAnswer {
            by: leaf.owner.id.clone(),
            leaf: leaf.index,
            why,
            proved,
            answer,
        },
    })
}

/// The roster at hand that a question says it was asked under.
fn stated_roster<'a>(leaf: &Leaf<'a>, query: &pb::SignedMessage) -> Option<&'a TrustedRoster> {
    let envelope = query.envelope.as_ref()?;
    let payload = envelope.payload.as_slice();
    let header = match envelope.payload_type.as_str() {
        pb::EvaluationQuery::TYPE => pb::EvaluationQuery::decode(payload).ok()?.header,
        pb::LookupQuery::TYPE => pb::LookupQuery::decode(payload).ok()?.header,
        pb::DisclosureQuery::TYPE => pb::DisclosureQuery::decode(payload).ok()?.header,
        pb::DisclosureNotice::TYPE => pb::DisclosureNotice::decode(payload).ok()?.header,
        _ => None,
    }?;
    leaf.rosters.all().find(|roster| states(&header, roster))
}

/// Whether a message says that it was made under a roster.
fn states(header: &pb::Header, roster: &TrustedRoster) -> bool {
    u64::from(roster.version()) == header.roster_version
        && roster.digest().as_bytes() == header.roster_digest.as_slice()
}

/// The code of a receipt that does not hold.
const BAD_RECEIPT: &str = "BAD_RECEIPT";

/// The receipt in an answer of any kind, an empty one where there is none; nothing if it is no answer.
fn receipt_of(message: &pb::SignedMessage) -> Option<pb::Receipt> {
    let envelope = message.envelope.as_ref()?;
    let payload = envelope.payload.as_slice();
    let receipt = match envelope.payload_type.as_str() {
        pb::EvaluationAnswer::TYPE => pb::EvaluationAnswer::decode(payload).ok()?.receipt,
        pb::LookupAnswer::TYPE => pb::LookupAnswer::decode(payload).ok()?.receipt,
        pb::DisclosureAnswer::TYPE => pb::DisclosureAnswer::decode(payload).ok()?.receipt,
        pb::NoticeAnswer::TYPE => pb::NoticeAnswer::decode(payload).ok()?.receipt,
        _ => return None,
    };
    Some(receipt.unwrap_or_default())
}

fn signed_by_peer(leaf: &Leaf<'_>, message: pb::SignedMessage) -> Result<(), Fault> {
    if Some(digest_by_peer(leaf, message)?) == leaf.entry.query_digest {
        Ok(())
    } else {
        Err(Fault::OtherMessage { what: "its digest" })
    }
}

/// The digest of a message that the peer signed.
fn digest_by_peer(leaf: &Leaf<'_>, message: pb::SignedMessage) -> Result<[u8; 32], Fault> {
    let peer = leaf.entry.peer.as_ref().ok_or(Fault::OtherMessage {
        what: "the other party",
    })?;
    let (envelope, _) = take_apart(message).map_err(|error| Fault::Unreadable {
        why: error.to_string(),
    })?;
    let payload_type = envelope.unverified_parts().payload_type;
    let verified = dsse::verify(&envelope, payload_type, |key_id: &KeyId| {
        leaf.rosters
            .signing_key(peer.as_str(), key_id, leaf.entry.time_ms)
    })
    .map_err(|error| Fault::Signature {
        signer: peer.to_string(),
        why: error.to_string(),
    })?;
    Ok(verified.digest())
}

fn readable_query(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<QuerySays, Fault> {
    match kind_of(&message).as_str() {
        pb::EvaluationQuery::TYPE => {
            open_query::<pb::EvaluationQuery>(leaf, expected, message, held)
                .map(|query| evaluation_says(&query))
        }
        pb::LookupQuery::TYPE => {
            let query: Opened<pb::LookupQuery> = open_query(leaf, expected, message, held)?;
            Ok(QuerySays::Lookup {
                subjects: subjects(&query.items),
                epoch: query.payload.epoch,
                case_reference: query.payload.case_reference,
            })
        }
        pb::DisclosureQuery::TYPE => {
            let query: Opened<pb::DisclosureQuery> = open_query(leaf, expected, message, held)?;
            Ok(QuerySays::Disclosure {
                case_reference: query.payload.case_reference,
                lead_id: query.payload.lead_id,
                fields: query
                    .payload
                    .fields
                    .map_or_else(Vec::new, |mask| mask.paths),
            })
        }
        pb::DisclosureNotice::TYPE => {
            open_query::<pb::DisclosureNotice>(leaf, expected, message, held)
                .map(|_| QuerySays::Notice)
        }
        pb::AuditQuery::TYPE => {
            open_query::<pb::AuditQuery>(leaf, expected, message, held).map(|_| QuerySays::Audit)
        }
        _ => Err(Fault::OtherKind),
    }
}

fn check_answer(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
) -> Result<(AnswerSays, Option<PromiseOf>), Fault> {
    use pb::Act;
    match leaf.entry.act {
        Act::EvaluationAnswered | Act::EvaluationReceived => {
            let answer: Opened<pb::EvaluationAnswer> = open_answer(leaf, expected, message)?;
            let promise = promise(leaf, expected, answer.payload.receipt)?;
            Ok((AnswerSays::Evaluation, promise))
        }
        Act::LookupAnswered | Act::LookupReceived => {
            let answer: Opened<pb::LookupAnswer> = open_answer(leaf, expected, message)?;
            let promise = promise(leaf, expected, answer.payload.receipt)?;
            same(
                answer.header.item_count,
                leaf.entry.count,
                "the number of results",
            )?;
            none_hidden(&answer.items)?;
            let results = answer
                .items
                .iter()
                .map(|item| {
                    item.as_ref()
                        .map(|item| pb::LookupResult::decode(item.as_slice()))
                        .transpose()
                        .map_err(|_| Fault::Unreadable {
                            why: "a result is none".to_owned(),
                        })
                })
                .collect::<Result<_, _>>()?;
            Ok((AnswerSays::Lookup(results), promise))
        }
        Act::DisclosureAnswered | Act::DisclosureReceived => {
            let answer: Opened<pb::DisclosureAnswer> = open_answer(leaf, expected, message)?;
            let promise = promise(leaf, expected, answer.payload.receipt)?;
            let names = |mask: Option<prost_types::FieldMask>| {
                mask.map_or_else(Vec::new, |mask| mask.paths)
            };
            let granted = names(answer.payload.granted);
            same(
                granted.len() as u64,
                u64::from(answer.header.item_count),
                "the number of fields",
            )?;
            if leaf.entry.act == Act::DisclosureAnswered {
                same(
                    granted.join(",").as_str(),
                    &*leaf.entry.reference,
                    "the fields given",
                )?;
            }
            Ok((
                AnswerSays::Disclosure {
                    granted,
                    // What waits for people is not given either.
                    withheld: [
                        names(answer.payload.withheld),
                        names(answer.payload.waiting),
                    ]
                    .concat(),
                },
                promise,
            ))
        }
        Act::NoticeAnswered | Act::NoticeReceived => {
            let answer: Opened<pb::NoticeAnswer> = open_answer(leaf, expected, message)?;
            let promise = promise(leaf, expected, answer.payload.receipt)?;
            Ok((AnswerSays::Notice, promise))
        }
        Act::AuditAnswered => {
            let answer: Opened<pb::SubjectAnswer> = open_answer(leaf, expected, message)?;
            let promise = promise(leaf, expected, answer.payload.receipt)?;
            let subject = leaf.entry.subject.map(Vec::from).unwrap_or_default();
            same(answer.payload.subject, subject, "the pseudonym")?;
            Ok((AnswerSays::Subject, promise))
        }
        _ => Err(Fault::OtherKind),
    }
}

fn open_query<P: Payload>(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
    held: &mut bool,
) -> Result<Opened<P>, Fault> {
    let query = signed::<P>(leaf, expected.own_query, message)?;
    if Some(query.digest) != leaf.entry.query_digest {
        return Err(Fault::OtherMessage { what: "its digest" });
    }
    if !query.header.in_reply_to.is_empty() {
        return Err(Fault::OtherKind);
    }
    *held = true;
    query.open()
}

fn open_answer<P: Payload>(
    leaf: &Leaf<'_>,
    expected: &Expected,
    message: pb::SignedMessage,
) -> Result<Opened<P>, Fault> {
    let answer = signed::<P>(leaf, !expected.own_query, message)?.open()?;
    if Some(answer.header.in_reply_to.as_slice())
        != leaf.entry.query_digest.as_ref().map(<[u8; 32]>::as_slice)
    {
        return Err(Fault::OtherQuery);
    }
    if Some(answer.items_root) != leaf.entry.answer_digest {
        return Err(Fault::OtherMessage {
            what: "the root of its items",
        });
    }
    Ok(answer)
}

fn unreadable(why: String) -> Fault {
    Fault::Unreadable { why }
}

/// A message that the log's owner (`by_owner`) or the leaf's peer signed.
fn signed<P: Payload>(
    leaf: &Leaf<'_>,
    by_owner: bool,
    message: pb::SignedMessage,
) -> Result<Signed<P>, Fault> {
    let entry = leaf.entry;
    let peer = entry.peer.as_ref().ok_or(Fault::OtherMessage {
        what: "the other party",
    })?;
    let (issuer, audience) = if by_owner {
        (&leaf.owner.id, peer)
    } else {
        (peer, &leaf.owner.id)
    };
    let (envelope, evidence) =
        take_apart(message).map_err(|error| unreadable(error.to_string()))?;
    let verified = dsse::verify(&envelope, P::TYPE, |key_id: &KeyId| {
        leaf.rosters
            .signing_key(issuer.as_str(), key_id, entry.time_ms)
    })
    .map_err(|error| match error {
        crate::envelope::EnvelopeError::Type { .. } => Fault::OtherKind,
        error => Fault::Signature {
            signer: issuer.to_string(),
            why: error.to_string(),
        },
    })?;
    // One signature that nothing speaks against is enough, as it was for the node.
    let overlooked: Option<Vec<&TrustedRoster>> = verified
        .signers()
        .map(|(key_id, _)| {
            leaf.rosters
                .overlooked(issuer.as_str(), key_id, entry.time_ms)
        })
        .collect();
    if let Some(overlooked) = overlooked.and_then(|rosters| rosters.first().copied()) {
        return Err(Fault::OldRoster {
            signer: issuer.to_string(),
            version: overlooked.version().into(),
            made: overlooked.roster().issued,
        });
    }
    let payload = P::decode(verified.payload()).map_err(|error| unreadable(error.to_string()))?;
    let header = payload
        .header()
        .cloned()
        .ok_or_else(|| unreadable("it has no header".to_owned()))?;
    same(header.issuer.as_str(), issuer.as_str(), "who sent it")?;
    same(
        header.audience.as_str(),
        audience.as_str(),
        "to whom it was sent",
    )?;
    let message_id = entry.message_id.map(Vec::from).unwrap_or_default();
    same(
        header.message_id.as_slice(),
        message_id.as_slice(),
        "its message id",
    )?;
    in_time(entry.time_ms, &header)?;
    if !leaf
        .rosters
        .may_state(stated_place(&header), &header.roster_digest)
    {
        return Err(Fault::OtherRoster {
            version: header.roster_version,
        });
    }
    Ok(Signed {
        digest: verified.digest(),
        payload,
        header,
        items: evidence.items,
    })
}

impl<P> Signed<P> {
    /// The message with its items, if they are those that were signed.
    fn open(self) -> Result<Opened<P>, Fault> {
        let root = self.header.items_root.as_slice();
        let items_root = root
            .try_into()
            .map_err(|_| unreadable("the root of its items has not 32 octets".to_owned()))?;
        let commitment = ItemsCommitment {
            count: self.header.item_count,
            root: items_root,
        };
        let altered = |why: String| Fault::Items { why };
        commitment
            .check(&self.items)
            .map_err(|error| altered(error.to_string()))?;
        let items = self
            .items
            .iter()
            .map(|item| match item {
                ItemEvidence::Erased(_) => Ok(None),
                ItemEvidence::Full(item) => items::split_item(item)
                    .map(|(_, body)| Some(Zeroizing::new(body.to_vec())))
                    .map_err(|error| altered(error.to_string())),
            })
            .collect::<Result<_, _>>()?;
        Ok(Opened {
            payload: self.payload,
            header: self.header,
            items_root,
            items,
        })
    }
}

/// The act lies within the validity of its messages, as far as clocks may differ.
fn in_time(time_ms: u64, header: &pb::Header) -> Result<(), Fault> {
    let unreadable = |error: crate::exchange::Refusal| Fault::Unreadable {
        why: error.to_string(),
    };
    let issued = milliseconds(header.issued_at.as_ref(), "issued_at").map_err(unreadable)?;
    let expires = milliseconds(header.expires_at.as_ref(), "expires_at").map_err(unreadable)?;
    let within = issued <= time_ms.saturating_add(MAX_LIFETIME_MS + CLOCK_SKEW_MS)
        && time_ms <= expires.saturating_add(MAX_LIFETIME_MS + CLOCK_SKEW_MS)
        && expires.saturating_sub(issued) <= MAX_LIFETIME_MS;
    if within {
        Ok(())
    } else {
        Err(Fault::OtherMessage { what: "its time" })
    }
}

/// What a receipt promised, if it can still be held against the log that promised it.
fn promise(
    leaf: &Leaf<'_>,
    expected: &Expected,
    receipt: Option<pb::Receipt>,
) -> Result<Option<PromiseOf>, Fault> {
    let wrong = |why: String| Fault::Receipt { why };
    let receipt = receipt.ok_or_else(|| wrong("it is missing".to_owned()))?;
    let (holder, head) = if expected.own_query {
        holder_of(leaf, &receipt).map_err(wrong)?
    } else {
        let head = check_receipt(leaf.owner, &receipt).map_err(wrong)?;
        (leaf.owner, head)
    };
    if expected.own_query {
        if *receipt.leaf_index.to_string() != *leaf.entry.reference {
            return Err(wrong("it names another leaf than this one does".to_owned()));
        }
    } else if receipt.leaf_index != leaf.index {
        return Err(wrong(format!(
            "it promises leaf {}, and the act stands at this one",
            receipt.leaf_index
        )));
    }
    // A log that was given up since cannot be held to what it promised.
    let log_now = |member: &Member| member.log.as_ref().map(|log| log.origin.clone());
    let newest = leaf.rosters.member(holder.id.as_str());
    if newest.and_then(log_now) != log_now(holder) {
        return Ok(None);
    }
    Ok(Some(PromiseOf {
        holder: holder.id.clone(),
        leaf_index: receipt.leaf_index,
        head,
        checkpoint: receipt.checkpoint,
    }))
}

/// Who gave a receipt, as a roster lists it whose log key of that party signed it: a party may have
/// another log by now.
fn holder_of<'a>(leaf: &Leaf<'a>, receipt: &pb::Receipt) -> Result<(&'a Member, TreeHead), String> {
    let mut last = "the roster has no such party".to_owned();
    let Some(peer) = &leaf.entry.peer else {
        return Err(last);
    };
    for roster in leaf.rosters.all() {
        let Some(holder) = roster.member(peer.as_str()) else {
            continue;
        };
        match check_receipt(holder, receipt) {
            Ok(head) => return Ok((holder, head)),
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn same_ground(entry: &Entry, purpose: i32, basis: i32) -> Result<(), Fault> {
    let purpose: Option<Purpose> = purpose_from(purpose).ok();
    let basis: Option<LegalBasis> = legal_basis_from(basis).ok();
    same(purpose, entry.purpose, "the purpose")?;
    same(basis, entry.legal_basis, "the legal basis")
}

fn same<T: PartialEq>(found: T, stated: T, what: &'static str) -> Result<(), Fault> {
    if found == stated {
        Ok(())
    } else {
        Err(Fault::OtherMessage { what })
    }
}

#[cfg(test)]
#[path = "behind_tests.rs"]
mod tests;
