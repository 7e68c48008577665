//! The probe limit: a party gets no more than five different answers about one record.
//!
//! Grades could be an oracle: a party that knows a child's name might ask with one birth date after
//! another until the grade rises. So the holder counts, for each of its records and each party, the
//! distinct sets of tokens that touched the record. Asking again with the same set counts nothing.
//! After five the grade is frozen: another set is given the grade that the fifth was given, though
//! never `MATCH`, if it repeats a token that touched the record in one of the five, and `NO_MATCH` if
//! it does not; and the holder's operator is alerted. So what a party is told from then on follows
//! from what it was told before, and not from whether its new guesses are right: a set that holds
//! nothing but new guesses reads as one that touches nothing.
//!
//! Siblings that are asked for in one query decide together, so a set is then the whole family's: who
//! keeps one child's tokens and varies its brother's tries another set on both.
//!
//! A set counts if it came near: it was graded above `NO_MATCH`, more than one rule agreed, or one of
//! the keys that siblings share.
//! Namesakes in a large register touch a record by a single rule now and then; if they counted,
//! five of them would hide the child itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ring::digest::{Context, SHA256};

use super::TOKEN;
use super::weigh::ProbedSubject;
use crate::linkage::Grade;
use crate::store::{Effect, ProbeState, Store, StoreError, Tag};

/// How many distinct sets a party may try on one record within a key epoch.
pub const PROBE_LIMIT: usize = 5;

/// What one query notes.
#[derive(Default)]
pub struct ProbeBook {
    states: BTreeMap<Tag, (ProbeState, bool)>,
}

/// A grade, and whether it is given in place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The grade to give.
    pub grade: Grade,
    /// Whether the limit decided it.
    pub frozen: bool,
}

impl ProbeBook {
    /// The grade to give for a set of tokens that touched the record behind `tag`, which has the
    /// reference behind `ref_tag`; `came_near` says that it counts whatever it was graded.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn grade(
        &mut self,
        store: &Store,
        (tag, ref_tag): (Tag, Tag),
        set: [u8; 16],
        grade: Grade,
        came_near: bool,
        touching: &[[u8; TOKEN]],
    ) -> Result<Given, StoreError> {
        let (state, changed) = match self.states.entry(tag) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert((store.probe_state(tag, ref_tag).await?, false))
            }
        };
        if state.sets.contains(&set) {
            return Ok(Given {
                grade,
                frozen: false,
            });
        }
        if state.sets.len() >= PROBE_LIMIT {
            let repeats = touching
                .iter()
                .any(|token| state.touched.binary_search(token).is_ok());
            return Ok(Given {
                grade: match grade_of(state.grade) {
                    Grade::Possible | Grade::Match if repeats => Grade::Possible,
                    _ => Grade::NoMatch,
                },
                frozen: true,
            });
        }
        if grade == Grade::NoMatch && !came_near {
            return Ok(Given {
                grade,
                frozen: false,
            });
        }
        state.sets.push(set);
        state.touched.extend_from_slice(touching);
        state.touched.sort_unstable();
        state.touched.dedup();
        state.grade = super::rank(grade);
        *changed = true;
        Ok(Given {
            grade,
            frozen: false,
        })
    }

    /// What is to be noted with the answer.
    pub fn into_effects(self) -> impl Iterator<Item = Effect> {
        self.states
            .into_iter()
            .filter(|(_, (_, changed))| *changed)
            .map(|(tag, (state, _))| Effect::NoteProbes(tag, state))
    }
}

/// What tells one set of tokens from another.
#[must_use]
pub fn digest_of(subject: &ProbedSubject) -> [u8; 16] {
    let mut hash = Context::new(&SHA256);
    hash.update(&subject.presence.0.to_be_bytes());
    for (rule, token) in &subject.probes {
        hash.update(&[*rule]);
        hash.update(token);
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finish().as_ref()[..16]);
    digest
}

/// The same for a subject whose siblings in the query bear on the answer: one of theirs changed makes
/// another set. The order in which they stand in the query says nothing.
#[must_use]
pub fn digest_of_family<'a>(
    family: impl Iterator<Item = &'a ProbedSubject>,
    subject: &ProbedSubject,
) -> [u8; 16] {
    let own = digest_of(subject);
    let mut sets: Vec<[u8; 16]> = family.map(digest_of).collect();
    sets.sort_unstable();
    sets.dedup();
    // One that is asked for alone is the same set as ever.
    if sets.is_empty() || sets == [own] {
        return own;
    }
    let mut hash = Context::new(&SHA256);
    hash.update(&own);
    for set in &sets {
        hash.update(set);
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finish().as_ref()[..16]);
    digest
}

fn grade_of(rank: u8) -> Grade {
    match rank {
        3 => Grade::Match,
        2 => Grade::Possible,
        _ => Grade::NoMatch,
    }
}
