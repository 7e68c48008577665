//! All that keyholders evaluated for a member, and elements of it drawn at random.

use std::collections::{BTreeSet, HashMap};

use rand_core::RngCore as _;

use super::MOST_DRAWN;
use crate::ambient::Ambient;
use crate::audit::behind::{AnswerSays, Insight, QuerySays};
use crate::audit::entry::Entry;
use crate::exchange::evaluate::OPENED_AT_ONCE;
use crate::proto::exchange as pb;
use crate::roster::MemberId;

/// A batch that a keyholder evaluated.
pub(super) struct Batch {
    pub(super) leaf_index: u64,
    pub(super) time_ms: u64,
    pub(super) keyholder: MemberId,
    pub(super) epoch: u32,
    pub(super) items_root: [u8; 32],
    pub(super) count: u32,
}

/// All batches of a member that other keyholders evaluated. What it says that it evaluated itself does not
/// count: it could say so of any number, and every token takes another keyholder.
pub(super) struct Batches<'a> {
    member: &'a MemberId,
    asked: HashMap<[u8; 32], (u64, u64)>,
    evaluated: Vec<Batch>,
}

impl<'a> Batches<'a> {
    pub(super) fn of(member: &'a MemberId) -> Self {
        Self {
            member,
            asked: HashMap::new(),
            evaluated: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, index: u64, entry: &Entry, insight: &Insight) {
        let Some(digest) = entry.query_digest else {
            return;
        };
        match (entry.act, &insight.query, &insight.answer) {
            (pb::Act::EvaluationAsked, ..) => {
                self.asked.insert(digest, (index, entry.time_ms));
            }
            (
                pb::Act::EvaluationReceived,
                QuerySays::Evaluation { epoch, items_root },
                AnswerSays::Evaluation,
            ) => {
                let (Some((leaf_index, time_ms)), Some(keyholder)) =
                    (self.asked.remove(&digest), entry.peer.clone())
                else {
                    return;
                };
                if keyholder == *self.member {
                    return;
                }
                self.evaluated.push(Batch {
                    leaf_index,
                    time_ms,
                    keyholder,
                    epoch: *epoch,
                    items_root: *items_root,
                    count: entry.count,
                });
            }
            _ => {}
        }
    }

    pub(super) fn evaluated(&self) -> u64 {
        self.evaluated
            .iter()
            .map(|batch| u64::from(batch.count))
            .sum()
    }

    /// Draws elements, each as likely as any other, by batch and ascending.
    pub(super) fn draw(&self, ambient: &Ambient, count: u64) -> Vec<(&Batch, Vec<u32>)> {
        let total = self.evaluated();
        let mut drawn = BTreeSet::new();
        let mut rng = ambient.rng();
        while (drawn.len() as u64) < count.min(MOST_DRAWN).min(total) {
            // What lies beyond the last whole multiple would favour the first elements.
            let number = rng.next_u64();
            if number < u64::MAX - u64::MAX % total {
                drawn.insert(number % total);
            }
        }
        let mut by_batch = Vec::new();
        let mut before = 0;
        for batch in &self.evaluated {
            let end = before + u64::from(batch.count);
            let positions: Vec<u32> = drawn
                .range(before..end)
                .filter_map(|number| u32::try_from(number - before).ok())
                .collect();
            for some in positions.chunks(OPENED_AT_ONCE) {
                by_batch.push((batch, some.to_vec()));
            }
            before = end;
        }
        by_batch
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample::{entry, id};
    use super::*;

    fn batches<'a>(member: &'a MemberId, counts: &[(&str, u32)]) -> Batches<'a> {
        let mut batches = Batches::of(member);
        for (number, (keyholder, count)) in (1..).zip(counts) {
            let asked = entry(pb::Act::EvaluationAsked, keyholder, number);
            batches.take(u64::from(number), &asked, &Insight::default());
            let received = Entry {
                count: *count,
                ..entry(pb::Act::EvaluationReceived, keyholder, number)
            };
            let insight = Insight {
                query: QuerySays::Evaluation {
                    epoch: 1,
                    items_root: [number; 32],
                },
                answer: AnswerSays::Evaluation,
                ..Insight::default()
            };
            batches.take(100 + u64::from(number), &received, &insight);
        }
        batches
    }

    #[test]
    fn every_element_that_others_evaluated_can_be_drawn_and_none_twice() {
        let ua = id("ua");
        let batches = batches(&ua, &[("pl", 3), ("ua", 1_000), ("de", 40)]);
        assert_eq!(batches.evaluated(), 43);
        let drawn = batches.draw(&Ambient::system(), 100);
        let drawn: Vec<(u64, Vec<u32>)> = drawn
            .into_iter()
            .map(|(batch, positions)| (batch.leaf_index, positions))
            .collect();
        let all = [
            (1, vec![0, 1, 2]),
            (3, (0..32).collect()),
            (3, (32..40).collect()),
        ];
        assert_eq!(drawn, all);
        let few = batches.draw(&Ambient::system(), 7);
        let positions: usize = few.iter().map(|(_, positions)| positions.len()).sum();
        assert_eq!(positions, 7);
        assert!(
            super::Batches::of(&ua)
                .draw(&Ambient::system(), 7)
                .is_empty()
        );
    }

    #[test]
    fn an_answer_without_its_question_is_not_drawn_from() {
        let ua = id("ua");
        let mut batches = Batches::of(&ua);
        let received = entry(pb::Act::EvaluationReceived, "pl", 1);
        let insight = Insight {
            query: QuerySays::Evaluation {
                epoch: 1,
                items_root: [1; 32],
            },
            answer: AnswerSays::Evaluation,
            ..Insight::default()
        };
        batches.take(1, &received, &insight);
        assert_eq!(batches.evaluated(), 0);
    }
}
