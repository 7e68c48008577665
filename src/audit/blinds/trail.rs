//! Where tokens went: a log gone through once more for what became of what was opened.

use std::collections::{BTreeMap, HashMap};

use super::{Tokens, Trace};
use crate::audit::auditor::Answered;
use crate::audit::behind::{Insight, QuerySays};
use crate::audit::entry::Entry;
use crate::audit::index::Marks;
use crate::proto::exchange as pb;
use crate::roster::MemberId;

/// What the second reading looks for.
pub(super) struct Trail {
    /// The tokens that were made for searches, by holder and epoch, with their elements.
    searched: Vec<(usize, u64, SearchTokens)>,
    /// Leaves of answers, with their times.
    pub(super) recorded: BTreeMap<u64, u64>,
    answers: Vec<(u64, [u8; 32])>,
    pub(super) marks: Marks,
    /// The first query that carries the token of an element.
    pub(super) asked: BTreeMap<usize, Trace>,
    /// When a record was last erased or changed, in milliseconds since 1970.
    pub(super) last_change_ms: Option<u64>,
    pub(super) newest_ms: u64,
    /// The first batch of which anything was opened, by its leaf.
    pub(super) first_opened: Option<u64>,
}

/// The tokens of one key at the holders met so far.
struct SearchTokens {
    tokens: Tokens,
    at: HashMap<MemberId, Option<[u8; 16]>>,
}

impl Trail {
    /// Looks for the leaves of `answers`, and for queries that carry tokens that were made for searches:
    /// each with its element, and the leaf at which its batch was asked for.
    pub(super) fn of<'a>(
        answers: impl Iterator<Item = &'a Answered>,
        searched: impl Iterator<Item = (usize, u64, Tokens)>,
    ) -> Self {
        Self {
            searched: searched
                .map(|(at, since, tokens)| (at, since, SearchTokens::new(tokens)))
                .collect(),
            recorded: BTreeMap::new(),
            answers: answers
                .map(|answer| (answer.leaf_index, answer.query_digest))
                .collect(),
            marks: Marks::default(),
            asked: BTreeMap::new(),
            last_change_ms: None,
            newest_ms: 0,
            first_opened: None,
        }
    }

    pub(super) fn take(&mut self, index: u64, entry: &Entry, insight: &Insight) {
        self.newest_ms = self.newest_ms.max(entry.time_ms);
        self.marks.take(index, entry);
        match entry.act {
            pb::Act::AuditAnswered => {
                let known = |(leaf, digest): &(u64, [u8; 32])| {
                    *leaf == index && entry.query_digest == Some(*digest)
                };
                if self.answers.iter().any(known) {
                    self.recorded.insert(index, entry.time_ms);
                }
            }
            pb::Act::RecordErased => self.last_change_ms = Some(entry.time_ms),
            // A new sibling changes the keys of those that were there, too.
            pb::Act::RecordsImported if entry.count > 0 => {
                self.last_change_ms = Some(entry.time_ms)
            }
            pb::Act::LookupAsked => self.asked_about(index, entry, insight),
            _ => {}
        }
    }

    fn asked_about(&mut self, index: u64, entry: &Entry, insight: &Insight) {
        let (
            Some(holder),
            QuerySays::Lookup {
                case_reference,
                epoch,
                subjects,
            },
        ) = (&entry.peer, &insight.query)
        else {
            return;
        };
        for (at, since, searched) in &mut self.searched {
            if index <= *since || searched.tokens.epoch != *epoch || self.asked.contains_key(at) {
                continue;
            }
            let Some(token) = searched.at(holder) else {
                continue;
            };
            let carries = |subject: &pb::LookupSubject| {
                [&subject.tokens, &subject.sibling_tokens]
                    .iter()
                    .any(|tokens| tokens.as_chunks::<16>().0.contains(&token))
            };
            if subjects.iter().flatten().any(carries) {
                let trace = Trace::Asked {
                    leaf_index: index,
                    holder: holder.clone(),
                    case_reference: case_reference.clone(),
                };
                self.asked.insert(*at, trace);
            }
        }
    }
}

impl SearchTokens {
    fn new(tokens: Tokens) -> Self {
        Self {
            tokens,
            at: HashMap::new(),
        }
    }

    fn at(&mut self, holder: &MemberId) -> Option<[u8; 16]> {
        if let Some(known) = self.at.get(holder) {
            return *known;
        }
        let token = self.tokens.at(holder.as_str());
        self.at.insert(holder.clone(), token);
        token
    }
}
