//! The spot check of blinded evaluations: what did a member have evaluated, and what for?
//!
//! Keyholders see random points, so a member could have the tokens of invented children made, and try
//! them where nobody sees it. The ombudsman therefore draws elements at random, of all that keyholders
//! evaluated for a member, and has the member's node open them: the linkage key that an element hid, and
//! the blind that hid it. Nobody can open an element to another key than the one it was made of.
//!
//! With the key the ombudsman has the token made itself, and looks where it went: a row of the index that
//! the member logged, or a query to another member. What went nowhere is named.
//!
//! Drawn is from the evaluations whose answer another party signed as a keyholder, and only after they are
//! in the log: what was never evaluated cannot thin them out. That none is missing from the member's log is
//! shown by holding it against the keyholders' ([`reconcile`](super::reconcile)).

mod draw;
mod read;
mod trail;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use zeroize::Zeroizing;

use self::draw::{Batch, Batches};
use self::read::read;
use self::trail::Trail;
use super::auditor::{Answered, AuditError, Auditor, ProvedIndex};
use super::finding::{Fault, Place};
use super::index;
use super::subject::prove;
use super::verify::{Progress, Reading, Verification, verify};
use crate::exchange::PeerError;
use crate::exchange::evaluate::{OPENABLE_MS, OPENED_PER_DAY};
use crate::exchange::lookup::SubjectTokens;
use crate::linkage::{Presence, RuleId, RuleTable};
use crate::proto::exchange as pb;
use crate::roster::{Member, MemberId};

/// Most elements that one check draws: as many as a node opens in a day.
pub const MOST_DRAWN: u64 = OPENED_PER_DAY;

/// How much younger than the time for which it is kept a search may be whose key is said to be gone, in
/// milliseconds: a day, for the node looks once a day, and clocks differ.
const ROUNDED_MS: u64 = 86_400_000;

/// How long before its batch was asked for a record may have changed whose keys were in it, in
/// milliseconds: an import may come while records are enrolled.
const ENROLS_MS: u64 = 3_600_000;

/// What a spot check came to.
pub struct BlindReport {
    /// Whose evaluations.
    pub member: MemberId,
    /// How many elements other keyholders evaluated for it in all, each counted at each of them.
    pub evaluated: u64,
    /// The elements that were drawn.
    pub drawn: Vec<Drawn>,
    /// The reading of the log that this rests on, with what does not hold.
    pub verification: Verification,
}

/// An element that was drawn.
pub struct Drawn {
    /// The leaf at which its batch was asked for.
    pub leaf_index: u64,
    /// Its position in the batch, from 0.
    pub position: u32,
    /// The keyholder that evaluated it.
    pub keyholder: MemberId,
    /// When it was asked for, in milliseconds since 1970.
    pub time_ms: u64,
    /// The rule of its linkage key, if it was opened.
    pub rule: Option<RuleId>,
    /// What it was for.
    pub trace: Trace,
}

/// What an element was for, as far as that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// Its key stands in the index that the member logged.
    Indexed {
        /// The record that has it, as the member says.
        record_ref: String,
        /// The leaf that states the index.
        mark: u64,
    },
    /// The member says which record has its key, and its index has it not: the record is not to be
    /// found, or not yet.
    Unindexed {
        /// The record.
        record_ref: String,
    },
    /// It was asked about.
    Asked {
        /// The leaf of the first query that carries it.
        leaf_index: u64,
        /// Who was asked.
        holder: MemberId,
        /// The case, as the member stated it.
        case_reference: String,
    },
    /// It was made for a search, and no query in the member's log carries it.
    Unasked,
    /// The record is gone or was changed, the member says.
    Gone,
    /// It was made for a search that is too long ago.
    Forgotten,
    /// The member cannot open its seed any more.
    Unreadable,
    /// It was opened, and its token cannot be made any more: the epoch of the key is gone, or too few
    /// keyholders answered.
    Untraceable {
        /// Why not.
        why: String,
    },
    /// The member did not open it, or not soundly: see the findings.
    Fault,
}

impl Trace {
    /// Its stable name for machines.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Indexed { .. } => "INDEXED",
            Self::Unindexed { .. } => "UNINDEXED",
            Self::Asked { .. } => "ASKED",
            Self::Unasked => "UNASKED",
            Self::Gone => "GONE",
            Self::Forgotten => "FORGOTTEN",
            Self::Unreadable => "UNREADABLE",
            Self::Untraceable { .. } => "UNTRACEABLE",
            Self::Fault => "FAULT",
        }
    }

    /// Whether it was shown what the element was for. What was not has to be looked into at the member.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        matches!(self, Self::Indexed { .. } | Self::Asked { .. })
    }
}

/// Draws `count` elements that keyholders evaluated for a member, has them opened, and traces them.
pub async fn spot_check(
    auditor: &Auditor,
    rules: &RuleTable,
    member: &Member,
    count: u64,
    reading: Reading<'_>,
    progress: Progress<'_>,
) -> BlindReport {
    let reading = Reading {
        only_new: false,
        ..reading
    };
    let mut batches = Batches::of(&member.id);
    let mut verification = verify(
        auditor,
        member,
        reading,
        progress,
        &mut |at, entry, told| {
            batches.take(at, entry, told);
        },
    )
    .await;
    let mut check = Check {
        auditor,
        rules,
        member,
        opened: Vec::new(),
        answers: Vec::new(),
        faults: Vec::new(),
    };
    for (batch, positions) in batches.draw(&auditor.ambient, count) {
        check.open(batch, &positions).await;
    }
    if check.opened.is_empty() && check.faults.is_empty() {
        return BlindReport {
            member: member.id.clone(),
            evaluated: batches.evaluated(),
            drawn: Vec::new(),
            verification,
        };
    }
    let tokens = check.tokens().await;
    let proofs = check.prove_index(&tokens).await;
    // The log once more, as it is by now: what the openings were recorded as, where the tokens went, and
    // what the index is that they are held against.
    let mut trail = check.trail(&tokens, &proofs);
    verification = verify(
        auditor,
        member,
        reading,
        progress,
        &mut |at, entry, told| {
            trail.take(at, entry, told);
        },
    )
    .await;
    check.judge(&tokens, &proofs, &trail, verification, batches.evaluated())
}

/// An element that a node has said something about.
struct OpenedElement {
    drawn: Drawn,
    epoch: u32,
    source: pb::OpenedSource,
    key: Option<Zeroizing<Vec<u8>>>,
    record: Option<pb::NamedRecord>,
    /// Which of the answers it comes from.
    answer: usize,
}

/// The token of an opened key.
#[derive(Clone)]
struct Tokens {
    epoch: u32,
    rule: RuleId,
    tokens: SubjectTokens,
}

impl Tokens {
    fn at(&self, holder: &str) -> Option<[u8; 16]> {
        let rows = self.tokens.index_rows(self.epoch, holder);
        rows.first().map(|(_, token)| *token)
    }
}

/// The tokens of opened keys, by element, or why they cannot be made.
type Made = BTreeMap<usize, Result<Tokens, String>>;

/// What a node proves of its index, by element.
type Proofs = BTreeMap<usize, Result<ProvedIndex, AuditError>>;

struct Check<'a> {
    auditor: &'a Auditor,
    rules: &'a RuleTable,
    member: &'a Member,
    opened: Vec<OpenedElement>,
    answers: Vec<Answered>,
    faults: Vec<(Place, Fault)>,
}

impl Check<'_> {
    /// Has elements of a batch opened, and checks that they are what was signed.
    async fn open(&mut self, batch: &Batch, positions: &[u32]) {
        let place = Place::Leaf(batch.leaf_index);
        let drawn = |position: u32| Drawn {
            leaf_index: batch.leaf_index,
            position,
            keyholder: batch.keyholder.clone(),
            time_ms: batch.time_ms,
            rule: None,
            trace: Trace::Fault,
        };
        let not_opened = |position: &u32| OpenedElement {
            drawn: drawn(*position),
            epoch: batch.epoch,
            source: pb::OpenedSource::Unspecified,
            key: None,
            record: None,
            answer: usize::MAX,
        };
        let asked = pb::BatchPositions {
            leaf_index: batch.leaf_index,
            positions: positions.to_vec(),
        };
        let (items, at) = match self.auditor.open_blinds(self.member, asked).await {
            Ok(answer) => answer,
            // That it opens no more today is as it must be.
            Err(AuditError::Peer(PeerError::Refused { refusal, .. }))
                if refusal.code == "QUOTA_EXCEEDED" =>
            {
                let why = refusal.message;
                return self.opened.extend(positions.iter().map(|position| {
                    let mut element = not_opened(position);
                    element.drawn.trace = Trace::Untraceable { why: why.clone() };
                    element
                }));
            }
            Err(error) => {
                self.faults.push((place, error.into()));
                return self.opened.extend(positions.iter().map(not_opened));
            }
        };
        match read(batch.items_root, positions, &items) {
            Ok(elements) => {
                let answer = self.answers.len();
                for (element, key) in elements {
                    let mut drawn = drawn(element.position);
                    drawn.rule = key
                        .as_deref()
                        .and_then(|key| key.first())
                        .copied()
                        .map(RuleId);
                    self.opened.push(OpenedElement {
                        drawn,
                        epoch: batch.epoch,
                        source: element.source(),
                        key,
                        record: element.record,
                        answer,
                    });
                }
            }
            Err(why) => {
                let answer = at.message.clone();
                self.faults.push((place, Fault::Blind { why, answer }));
                self.opened.extend(positions.iter().map(not_opened));
            }
        }
        self.answers.push(at);
    }

    /// The tokens of the opened keys.
    async fn tokens(&self) -> Made {
        let mut made = Made::new();
        let epochs: BTreeSet<u32> = self.opened.iter().map(|element| element.epoch).collect();
        for epoch in epochs {
            let of_epoch: Vec<(usize, &Zeroizing<Vec<u8>>)> = (0..)
                .zip(&self.opened)
                .filter(|(_, element)| element.epoch == epoch)
                .filter_map(|(at, element)| Some((at, element.key.as_ref()?)))
                .collect();
            if of_epoch.is_empty() {
                continue;
            }
            let inputs: Vec<_> = of_epoch.iter().map(|(_, key)| (*key).clone()).collect();
            let keys = self.auditor.rosters.newest().coalition_keys();
            let tokens = match keys.of_epoch(epoch.into()) {
                Some(stated) => self
                    .auditor
                    .coalition_tokens(stated, Arc::new(inputs))
                    .await
                    .map_err(|error| error.to_string()),
                None => Err("the roster lists this epoch of the key no more".to_owned()),
            };
            match tokens {
                Ok((_, tokens)) => {
                    for ((at, key), token) in of_epoch.into_iter().zip(tokens) {
                        let rule = RuleId(key.first().copied().unwrap_or_default());
                        let tokens = SubjectTokens {
                            presence: Presence::default(),
                            tokens: vec![(rule, token)],
                        };
                        let tokens = Tokens {
                            epoch,
                            rule,
                            tokens,
                        };
                        made.insert(at, Ok(tokens));
                    }
                }
                Err(why) => {
                    for (at, _) in of_epoch {
                        made.insert(at, Err(why.clone()));
                    }
                }
            }
        }
        made
    }

    /// Has the node prove which of the tokens of records stand in its index, one at a time: what is in
    /// one query tells nothing of what is in another. By element.
    async fn prove_index(&self, tokens: &Made) -> Proofs {
        let mut proofs = BTreeMap::new();
        for (at, element) in self.opened.iter().enumerate() {
            let (pb::OpenedSource::Record, Some(Ok(tokens))) = (element.source, tokens.get(&at))
            else {
                continue;
            };
            let subject = tokens.tokens.for_holder(
                self.rules,
                tokens.epoch,
                self.member.id.as_str(),
                &self.auditor.ambient,
            );
            let proof = self
                .auditor
                .prove_index(self.member, tokens.epoch, &subject)
                .await;
            proofs.insert(at, proof);
        }
        proofs
    }

    /// What is to be looked for in the log.
    fn trail(&self, tokens: &Made, proofs: &Proofs) -> Trail {
        let proved = proofs.values().flatten().map(|proved| &proved.at);
        let searched = self.opened.iter().enumerate();
        let searched = searched.filter_map(|(at, element)| match tokens.get(&at) {
            Some(Ok(tokens)) if element.source == pb::OpenedSource::Search => {
                Some((at, element.drawn.leaf_index, tokens.clone()))
            }
            _ => None,
        });
        let mut trail = Trail::of(self.answers.iter().chain(proved), searched);
        let opened = self.opened.iter().filter(|element| element.key.is_some());
        trail.first_opened = opened.map(|element| element.drawn.leaf_index).min();
        trail
    }

    fn judge(
        self,
        tokens: &Made,
        proofs: &Proofs,
        trail: &Trail,
        mut verification: Verification,
        evaluated: u64,
    ) -> BlindReport {
        let proved = proofs.values().flatten().map(|proved| &proved.at);
        for answer in self.answers.iter().chain(proved) {
            if !trail.recorded.contains_key(&answer.leaf_index) {
                verification.find(Place::Leaf(answer.leaf_index), Fault::AuditNotRecorded);
            }
        }
        for (place, fault) in self.faults {
            verification.find(place, fault);
        }
        let mut drawn = Vec::with_capacity(self.opened.len());
        for (at, element) in self.opened.into_iter().enumerate() {
            let answer = self.answers.get(element.answer);
            let trace = judge_one(
                self.member,
                (at, &element),
                tokens.get(&at),
                proofs.get(&at),
                trail,
                &verification,
            );
            let trace = trace.unwrap_or_else(|fault| {
                let place = Place::Leaf(element.drawn.leaf_index);
                verification.find(place, fault.naming(answer));
                Trace::Fault
            });
            drawn.push(Drawn {
                trace,
                ..element.drawn
            });
        }
        BlindReport {
            member: self.member.id.clone(),
            evaluated,
            drawn,
            verification,
        }
    }
}

/// Something that does not hold, still without the answer that proves it.
enum Wrong {
    Blind(String),
    Other(Fault),
}

impl Wrong {
    fn naming(self, answer: Option<&Answered>) -> Fault {
        match self {
            Self::Blind(why) => Fault::Blind {
                why,
                answer: answer.map_or_else(Vec::new, |answer| answer.message.clone()),
            },
            Self::Other(fault) => fault,
        }
    }
}

fn judge_one(
    member: &Member,
    (at, element): (usize, &OpenedElement),
    tokens: Option<&Result<Tokens, String>>,
    proof: Option<&Result<ProvedIndex, AuditError>>,
    trail: &Trail,
    verification: &Verification,
) -> Result<Trace, Wrong> {
    let wrong = |why: &str| Err(Wrong::Blind(why.to_owned()));
    let since = element.drawn.leaf_index;
    match element.source {
        pb::OpenedSource::Unspecified => return Ok(element.drawn.trace.clone()),
        pb::OpenedSource::Gone
            if trail.last_change_ms.is_none_or(|change_ms| {
                change_ms.saturating_add(ENROLS_MS) < element.drawn.time_ms
            }) =>
        {
            return wrong(
                "it says that a record was erased or changed, and its log tells of no such thing since",
            );
        }
        pb::OpenedSource::Gone => return Ok(Trace::Gone),
        pb::OpenedSource::Forgotten => {
            let age = trail.newest_ms.saturating_sub(element.drawn.time_ms);
            if age.saturating_add(ROUNDED_MS) < OPENABLE_MS {
                return wrong("it says that a search is too long ago, which was made lately");
            }
            return Ok(Trace::Forgotten);
        }
        // One key opens all seeds, and once it is another, all of before are lost.
        pb::OpenedSource::Unreadable if trail.first_opened.is_some_and(|first| first < since) => {
            return wrong("it says that the seed does not open any more, and opened one of before");
        }
        pb::OpenedSource::Unreadable => return Ok(Trace::Unreadable),
        pb::OpenedSource::Record | pb::OpenedSource::Search => {}
    }
    let tokens = match tokens {
        Some(Ok(tokens)) => tokens,
        Some(Err(why)) => return Ok(Trace::Untraceable { why: why.clone() }),
        None => return wrong("it gave no key"),
    };
    if element.source == pb::OpenedSource::Search {
        return Ok(trail.asked.get(&at).cloned().unwrap_or(Trace::Unasked));
    }
    let Some(record) = &element.record else {
        return wrong("it names no record");
    };
    let subject = record.subject.as_slice().try_into();
    let subject: [u8; 16] =
        subject.map_err(|_| Wrong::Blind("a pseudonym has not 16 octets".to_owned()))?;
    prove(verification, &record.record_ref, &subject, &record.proof)
        .map_err(|why| Wrong::Blind(why.to_owned()))?;
    let record_ref = record.record_ref.clone();
    let proved = match proof {
        Some(Ok(proved)) => proved,
        Some(Err(error)) => {
            let why = error.to_string();
            return Ok(Trace::Untraceable { why });
        }
        None => return Ok(Trace::Unindexed { record_ref }),
    };
    let other = |why: String| {
        Wrong::Other(Fault::OtherIndex {
            why,
            answer: proved.at.message.clone(),
        })
    };
    let token = tokens.at(member.id.as_str()).unwrap_or_default();
    let own = HashMap::from([(token, tokens.rule)]);
    let shown = index::check(&proved.proof, &own).map_err(other)?;
    let at = proved.at.leaf_index;
    let time_ms = trail.recorded.get(&at).copied().unwrap_or_default();
    let index = (shown.size, shown.root);
    match trail.marks.in_force(tokens.epoch, (at, time_ms), index) {
        Some(mark) if shown.standing > 0 => Ok(Trace::Indexed {
            record_ref,
            mark: mark.leaf_index,
        }),
        Some(_) => Ok(Trace::Unindexed { record_ref }),
        None if shown.size > 0 || trail.marks.any(tokens.epoch, at) => Err(other(
            "no publication mark in force then states this index".to_owned(),
        )),
        None => Ok(Trace::Unindexed { record_ref }),
    }
}
