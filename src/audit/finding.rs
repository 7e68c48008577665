//! What an ombudsman found, and where.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::roster::{MemberId, Timestamp};

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose node or log.
    pub member: MemberId,
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// Where something does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The node as a whole.
    Node,
    /// Its newest checkpoint.
    Checkpoint,
    /// The log as a whole.
    Log,
    /// One leaf.
    Leaf(u64),
    /// A part of the evidence behind a leaf.
    Evidence(u64, Part),
}

/// A part of the evidence behind a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The signed query.
    Query,
    /// The signed answer.
    Answer,
    /// The opening of the leaf's commitment.
    Opening,
    /// The seed of a blinded batch.
    Seed,
    /// What the act brought into force.
    Document,
}

/// What does not hold. The sentence says who did what, not which check failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The node gave no answer.
    #[error("the node could not be asked: {why}")]
    Unreachable {
        /// What happened.
        why: String,
    },
    /// The node refused.
    #[error("the node refused to answer ({code}): {why}")]
    Refused {
        /// The reason code.
        code: String,
        /// The reason.
        why: String,
    },
    /// What the node sent cannot be right, whatever its log holds.
    #[error("the node's reply breaks the protocol: {why}")]
    Reply {
        /// How.
        why: String,
    },
    /// No checkpoint that the log's key signed.
    #[error("the checkpoint does not hold: {why}")]
    Checkpoint {
        /// Why not.
        why: String,
    },
    /// Leaves were taken away.
    #[error("the log has {now} leaves now, and its node had signed {before}: it was cut back")]
    CutBack {
        /// Leaves signed before.
        before: u64,
        /// Leaves now.
        now: u64,
    },
    /// Two histories.
    #[error(
        "the node signed another history of its first {size} leaves than the one it shows now: the log was forked"
    )]
    Forked {
        /// Leaves that the contradicting checkpoint covers.
        size: u64,
        /// That checkpoint, a signed note.
        signed: String,
        /// The one shown now, a signed note.
        shown: String,
    },
    /// A leaf that should be there.
    #[error("the leaf is missing")]
    LeafMissing,
    /// A leaf out of its place.
    #[error("the leaf stands behind leaf {after}: it was moved, or put in twice")]
    LeafMoved {
        /// The leaf before it.
        after: u64,
    },
    /// A leaf beyond the end.
    #[error("the node signed a log of {size} leaves, and this one is none of them: it was put in")]
    LeafAdded {
        /// Leaves that were signed.
        size: u64,
    },
    /// A proof that proves nothing.
    #[error("its proof of inclusion does not hold: {why}")]
    Proof {
        /// Why not.
        why: String,
    },
    /// Leaves that were verified before are others now.
    #[error("leaves {first} to {last}, or some of them, are not those that were verified before")]
    Rewritten {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Too few of the witnesses that count have cosigned.
    #[error("{found} of the {needed} witnesses that are required have cosigned the checkpoint")]
    TooFewWitnesses {
        /// How many have.
        found: usize,
        /// How many must.
        needed: usize,
    },
    /// Leaves that should have been under a cosigned checkpoint by now.
    #[error(
        "the witnesses that are required have cosigned the first {size} leaves alone, and this one is {seconds} seconds old"
    )]
    NotCosigned {
        /// The leaves under the newest checkpoint with enough cosignatures.
        size: u64,
        /// The leaf's age.
        seconds: u64,
    },
    /// A cosignature by nobody that the roster or the policy names.
    #[error(
        "{name} has cosigned the checkpoint, and neither roster nor policy knows that witness or its key"
    )]
    UnknownWitness {
        /// The name on the cosignature.
        name: String,
    },
    /// A cosignature of a known witness that is false.
    #[error("a cosignature on the checkpoint does not hold: {why}")]
    Cosignature {
        /// Why not.
        why: String,
    },
    /// More was found than is listed.
    #[error("more than the {named} findings listed were made")]
    MoreFindings {
        /// How many are listed.
        named: usize,
    },
    /// A leaf that the node cannot read any more.
    #[error("the node can no longer read this leaf: its database was altered or damaged")]
    DamagedLeaf,
    /// A leaf with other content than the one that was signed.
    #[error("this leaf is not the one that the node signed: it was altered")]
    AlteredLeaf,
    /// The leaves do not have the root that was signed, and the places could not be found.
    #[error(
        "the leaves do not hash to the root that the node signed, and which one differs could not be found: {why}"
    )]
    Root {
        /// Why not.
        why: String,
    },
    /// More leaves are altered than are named one by one.
    #[error("more leaves than the {named} named do not hold")]
    MoreLeaves {
        /// How many were named.
        named: usize,
    },
    /// A leaf that is no entry.
    #[error("the leaf is no entry of a log: {why}")]
    MalformedLeaf {
        /// Why not.
        why: String,
    },
    /// The first leaf does not begin a log.
    #[error("the log's first leaf does not state the node's pseudonym key")]
    NoBeginning,
    /// A log that continues less than there was.
    #[error(
        "its first leaf says that it continues a log of {stated} leaves, and the node had signed another history of that log, of {verified} leaves, which was verified here: what came after was given up"
    )]
    GivenUpShort {
        /// Leaves of the old log, as the new one says.
        stated: u64,
        /// Leaves of it that were verified.
        verified: u64,
        /// The checkpoint of those, a signed note.
        signed: String,
    },
    /// A log that continues none, where another was verified.
    #[error(
        "another log of this node was verified here before, of {verified} leaves, and the first leaf of this one does not say that it continues it"
    )]
    NotContinued {
        /// Leaves of the old log that were verified.
        verified: u64,
        /// The checkpoint of those, a signed note.
        signed: String,
    },
    /// A beginning in the middle.
    #[error("a second beginning stands in the middle of the log")]
    SecondBeginning,
    /// Time runs backwards.
    #[error("the leaf is {seconds} seconds older than the one before it")]
    BackInTime {
        /// How far.
        seconds: u64,
    },
    /// The ombudsman's own request left no leaf.
    #[error("the node did not record this very audit in its log")]
    AuditNotRecorded,
    /// One query, two answers.
    #[error("the same query is answered a second time; the first answer is leaf {earlier}")]
    AnsweredTwice {
        /// Index of the first.
        earlier: u64,
    },
    /// Evidence that should be there.
    #[error("it is missing")]
    Missing,
    /// Evidence that the node cannot read any more.
    #[error("the node can no longer read {what}: its database was altered or damaged", what = part_of(*item))]
    Damaged {
        /// 0 for the whole, else the item's position from 1.
        item: u32,
    },
    /// A message that cannot be read.
    #[error("it cannot be read: {why}")]
    Unreadable {
        /// Why not.
        why: String,
    },
    /// A message of another kind than the act.
    #[error("it is a message of another kind than this act")]
    OtherKind,
    /// A signature that does not hold.
    #[error("it is not signed by a key that the roster gives {signer} at that time: {why}")]
    Signature {
        /// Who should have signed.
        signer: String,
        /// What the verifier said.
        why: String,
    },
    /// Dealings with a party that a roster made long before speaks against.
    #[error(
        "it dealt with {signer} under an old roster: roster {version}, made on {made} and out for more than two days then, does not let that signature count"
    )]
    OldRoster {
        /// Who should not have been dealt with.
        signer: String,
        /// The roster that says so.
        version: u64,
        /// When that roster was made.
        made: Timestamp,
    },
    /// A roster that this ombudsman does not know.
    #[error(
        "it was signed under another roster of version {version} than the one that is trusted here: somebody was given a forged or split roster"
    )]
    OtherRoster {
        /// The version.
        version: u64,
    },
    /// The evidence is of another message.
    #[error("it is not the message that the leaf states: {what} differs")]
    OtherMessage {
        /// What differs.
        what: &'static str,
    },
    /// The items are not those that were signed.
    #[error("its items are not those that were signed: {why}")]
    Items {
        /// Why not.
        why: String,
    },
    /// An item that is said to be erased, of a message from which nothing is ever erased.
    #[error(
        "its item {item} is kept back as if it had been erased, and of lookups nothing is ever erased: the node hides it"
    )]
    HiddenItem {
        /// Its position, from 1.
        item: usize,
    },
    /// An answer to something else.
    #[error("it answers another query than the one kept with it")]
    OtherQuery,
    /// A receipt that does not hold.
    #[error("its receipt does not hold: {why}")]
    Receipt {
        /// Why not.
        why: String,
    },
    /// An opening that does not open.
    #[error("it does not open the leaf's commitment: the outcome was altered")]
    Commitment,
    /// A document other than the one that the leaf states.
    #[error("it is not the document that the leaf says came into force: {why}")]
    OtherDocument {
        /// How it differs.
        why: String,
    },
    /// The outcome and the answer tell two stories.
    #[error("the outcome on record is not the one that was answered: {why}")]
    Outcome {
        /// How they differ.
        why: &'static str,
    },
    /// A disclosure out of nothing.
    #[error("fields were disclosed on a lead that no lookup in this log handed out to that party")]
    UnknownLead,
    /// A disclosure about another record than the lead led to.
    #[error("the lead led to another record than the one the leaf states")]
    OtherRecord,
    /// Someone read the log who is no ombudsman.
    #[error("the roster gives {reader} no right to audit this node")]
    NoOmbudsman {
        /// Who read.
        reader: String,
    },
    /// The node denies an answer that its peer holds.
    #[error(
        "{peer} holds an answer signed by this node (leaf {leaf} there), which this node's log does not have"
    )]
    AnswerDenied {
        /// Who holds it.
        peer: MemberId,
        /// Where, in the peer's log.
        leaf: u64,
    },
    /// The node denies a query that its peer holds.
    #[error(
        "{peer} holds a query signed by this node (leaf {leaf} there), which this node's log does not have"
    )]
    QueryDenied {
        /// Who holds it.
        peer: MemberId,
        /// Where, in the peer's log.
        leaf: u64,
    },
    /// Two logs that tell of one exchange differ.
    #[error("{peer} tells another story of this exchange (leaf {leaf} there): {what} differs")]
    OtherStory {
        /// The other log's owner.
        peer: MemberId,
        /// Where, in the other log.
        leaf: u64,
        /// What differs.
        what: &'static str,
    },
    /// A received answer without a question.
    #[error("an answer is on record, and no leaf says that it was asked for")]
    NotAsked,
    /// A promise that was not kept.
    #[error(
        "the receipt that this node gave {peer} does not hold in its log (leaf {leaf} there): {why}"
    )]
    BrokenPromise {
        /// To whom.
        peer: MemberId,
        /// Where, in the other log.
        leaf: u64,
        /// How.
        why: String,
    },
    /// A match that was denied.
    #[error(
        "this query carried the tokens of a child whose record the node holds, it was answered with no match, and the leaf's outcome does not name the record"
    )]
    DeniedChild,
    /// A record was found, and the outcome on record names another.
    #[error(
        "this query carried the tokens of a child whose record the node holds, it was answered with a record, and the leaf's outcome names other records alone"
    )]
    OtherRecordNamed,
    /// Another member holds two checkpoints against this log.
    #[error(
        "{by} holds two checkpoints that this log signed (leaf {leaf} there), {what}",
        what = if *proved {
            "which contradict each other: the log shows two histories"
        } else {
            "and states that the log which it was shown does not extend the one before"
        }
    )]
    Reported {
        /// Who says so.
        by: MemberId,
        /// Where, in its log.
        leaf: u64,
        /// Whether the two prove it by themselves.
        proved: bool,
        /// The one, a signed note.
        signed: String,
        /// The other, a signed note.
        shown: String,
    },
    /// Another member holds an answer of this one that does not hold.
    #[error(
        "{by} holds an answer that this member signed (leaf {leaf} there), {what}: {why}",
        what = if *proved {
            "which holds under no roster"
        } else {
            "and says that it does not hold, which the answer alone does not prove"
        }
    )]
    WrongAnswer {
        /// Who says so.
        by: MemberId,
        /// Where, in its log.
        leaf: u64,
        /// What is wrong, as a code.
        why: String,
        /// Whether the answer itself proves it.
        proved: bool,
        /// The signed answer, a serialised SignedMessage.
        answer: Vec<u8>,
    },
    /// An answer was reported as wrong that is right.
    #[error(
        "it reports an answer of {peer} as wrong ({why}) that holds under the very roster by which it asked"
    )]
    FalseReport {
        /// Whose answer.
        peer: MemberId,
        /// What is said to be wrong, as a code.
        why: String,
    },
    /// The index that the node shows is none that it logged.
    #[error("the index that the node shows is not the one that its log states: {why}")]
    OtherIndex {
        /// How they differ.
        why: String,
        /// The node's signed answer, a serialised SignedMessage.
        answer: Vec<u8>,
    },
    /// What the node opened of a blinded batch does not hold.
    #[error("what it opened of the batch that it had evaluated does not hold: {why}")]
    Blind {
        /// What is wrong.
        why: String,
        /// The node's signed answer, a serialised SignedMessage.
        answer: Vec<u8>,
    },
    /// The logged index has the child, and the node names no record of it.
    #[error(
        "every key of the child stands in the index that the node logged (leaf {mark}), and it names no record of it"
    )]
    RecordHidden {
        /// The leaf that states the index.
        mark: u64,
        /// The node's signed answer, a serialised SignedMessage.
        answer: Vec<u8>,
    },
    /// A pseudonym that was not proved.
    #[error("the node did not prove the pseudonym that it named: {why}")]
    Pseudonym {
        /// Why not.
        why: String,
        /// The node's signed answer, a serialised SignedMessage.
        answer: Vec<u8>,
    },
}

impl Fault {
    /// The leaf of another member's log that tells of it.
    fn held_by(&self) -> Option<(&MemberId, u64)> {
        match self {
            Self::AnswerDenied { peer, leaf }
            | Self::QueryDenied { peer, leaf }
            | Self::OtherStory { peer, leaf, .. }
            | Self::BrokenPromise { peer, leaf, .. } => Some((peer, *leaf)),
            Self::Reported { by, leaf, .. } | Self::WrongAnswer { by, leaf, .. } => {
                Some((by, *leaf))
            }
            _ => None,
        }
    }

    /// What proves it to others, beside the log itself: signed checkpoints, or a signed answer in
    /// base64.
    #[must_use]
    pub fn proof(&self) -> Vec<String> {
        match self {
            Self::Forked { signed, shown, .. } | Self::Reported { signed, shown, .. } => {
                vec![signed.clone(), shown.clone()]
            }
            Self::GivenUpShort { signed, .. } | Self::NotContinued { signed, .. } => {
                vec![signed.clone()]
            }
            Self::Pseudonym { answer, .. }
            | Self::OtherIndex { answer, .. }
            | Self::Blind { answer, .. }
            | Self::WrongAnswer { answer, .. }
            | Self::RecordHidden { answer, .. } => vec![STANDARD.encode(answer)],
            _ => Vec::new(),
        }
    }

    /// The stable code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "UNREACHABLE",
            Self::Refused { .. } => "REFUSED",
            Self::Reply { .. } => "BAD_REPLY",
            Self::Checkpoint { .. } => "BAD_CHECKPOINT",
            Self::CutBack { .. } => "CUT_BACK",
            Self::Forked { .. } => "FORKED",
            Self::LeafMissing => "LEAF_MISSING",
            Self::LeafMoved { .. } => "LEAF_MOVED",
            Self::LeafAdded { .. } => "LEAF_ADDED",
            Self::Proof { .. } => "BAD_PROOF",
            Self::Rewritten { .. } => "REWRITTEN",
            Self::TooFewWitnesses { .. } => "TOO_FEW_WITNESSES",
            Self::NotCosigned { .. } => "NOT_COSIGNED",
            Self::UnknownWitness { .. } => "UNKNOWN_WITNESS",
            Self::Cosignature { .. } => "BAD_COSIGNATURE",
            Self::MoreFindings { .. } => "MORE_FINDINGS",
            Self::DamagedLeaf => "DAMAGED_LEAF",
            Self::AlteredLeaf => "ALTERED_LEAF",
            Self::Root { .. } => "OTHER_ROOT",
            Self::MoreLeaves { .. } => "MORE_LEAVES",
            Self::MalformedLeaf { .. } => "MALFORMED_LEAF",
            Self::NoBeginning => "NO_BEGINNING",
            Self::GivenUpShort { .. } => "GIVEN_UP_SHORT",
            Self::NotContinued { .. } => "NOT_CONTINUED",
            Self::SecondBeginning => "SECOND_BEGINNING",
            Self::BackInTime { .. } => "BACK_IN_TIME",
            Self::AuditNotRecorded => "AUDIT_NOT_RECORDED",
            Self::AnsweredTwice { .. } => "ANSWERED_TWICE",
            Self::Missing => "MISSING",
            Self::Damaged { .. } => "DAMAGED",
            Self::Unreadable { .. } => "UNREADABLE",
            Self::OtherKind => "OTHER_KIND",
            Self::Signature { .. } => "BAD_SIGNATURE",
            Self::OldRoster { .. } => "OLD_ROSTER",
            Self::OtherRoster { .. } => "OTHER_ROSTER",
            Self::OtherMessage { .. } => "OTHER_MESSAGE",
            Self::Items { .. } => "BAD_ITEMS",
            Self::HiddenItem { .. } => "ITEM_HIDDEN",
            Self::OtherQuery => "OTHER_QUERY",
            Self::Receipt { .. } => "BAD_RECEIPT",
            Self::Commitment => "BAD_OPENING",
            Self::OtherDocument { .. } => "OTHER_DOCUMENT",
            Self::Outcome { .. } => "OTHER_OUTCOME",
            Self::UnknownLead => "UNKNOWN_LEAD",
            Self::OtherRecord => "OTHER_RECORD",
            Self::NoOmbudsman { .. } => "NO_OMBUDSMAN",
            Self::AnswerDenied { .. } => "ANSWER_DENIED",
            Self::QueryDenied { .. } => "QUERY_DENIED",
            Self::OtherStory { .. } => "OTHER_STORY",
            Self::NotAsked => "NOT_ASKED",
            Self::BrokenPromise { .. } => "BROKEN_PROMISE",
            Self::DeniedChild => "DENIED_CHILD",
            Self::OtherRecordNamed => "OTHER_RECORD_NAMED",
            Self::Reported { proved: true, .. } => "SPLIT_VIEW",
            Self::Reported { .. } => "REPORTED",
            Self::WrongAnswer { .. } => "WRONG_ANSWER",
            Self::FalseReport { .. } => "FALSE_REPORT",
            Self::OtherIndex { .. } => "OTHER_INDEX",
            Self::Blind { .. } => "BAD_BLIND",
            Self::RecordHidden { .. } => "RECORD_HIDDEN",
            Self::Pseudonym { .. } => "BAD_PSEUDONYM",
        }
    }
}

fn part_of(item: u32) -> String {
    if item == 0 {
        "it".to_owned()
    } else {
        format!("its item {item}")
    }
}

impl Place {
    /// The leaf, if the place is at one.
    #[must_use]
    pub fn leaf_index(&self) -> Option<u64> {
        match self {
            Self::Leaf(index) | Self::Evidence(index, _) => Some(*index),
            Self::Node | Self::Checkpoint | Self::Log => None,
        }
    }

    /// The stable name for machines.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Checkpoint => "checkpoint",
            Self::Log => "log",
            Self::Leaf(_) => "leaf",
            Self::Evidence(_, part) => part.as_str(),
        }
    }
}

impl Part {
    /// The stable name for machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Answer => "answer",
            Self::Opening => "opening",
            Self::Seed => "seed",
            Self::Document => "document",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Log => f.write_str("log"),
            Self::Leaf(index) => write!(f, "leaf {index}"),
            Self::Evidence(index, part) => write!(f, "leaf {index}, {}", part.as_str()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.member, self.place, self.fault)
    }
}

impl Finding {
    /// The finding as machines read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "member": self.member,
            "place": self.place.as_str(),
            "leaf_index": self.place.leaf_index(),
            "code": self.fault.code(),
            "what": self.fault.to_string(),
        });
        if let (Some((member, leaf)), Some(object)) = (self.fault.held_by(), object.as_object_mut())
        {
            let held_by = json!({"member": member, "leaf_index": leaf});
            object.insert("held_by".to_owned(), held_by);
        }
        let proof = self.fault.proof();
        if let (false, Some(object)) = (proof.is_empty(), object.as_object_mut()) {
            object.insert("proof".to_owned(), json!(proof));
        }
        object
    }
}
