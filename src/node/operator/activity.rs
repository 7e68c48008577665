//! What went on day by day, counted from the node's own log: for pictures, and for nothing that
//! anybody relies on.

use std::collections::BTreeMap;

use prost::Message as _;

use super::Operator;
use crate::proto::exchange::{Act, LogEntry};
use crate::proto::operator as pb;
use crate::store::StoreError;

/// A day, in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// How many days are told.
pub const DAYS: u64 = 30;

/// How many leaves are read the first time. Of a longer log the earlier days are counted in part, and
/// not told.
const LEAVES: u64 = 20_000;

/// How many are read at once.
const AT_ONCE: u64 = 1_000;

/// What was counted of one day.
#[derive(Clone, Copy, Default)]
struct Day {
    asked: u64,
    answered: u64,
    told: u64,
    were_told: u64,
    /// The log's size at its end.
    size: u64,
}

/// What was counted so far. It holds what the log says, so that each process counts for itself.
#[derive(Default)]
pub struct Activity {
    begun: bool,
    /// The first leaf that is not counted.
    next: u64,
    days: BTreeMap<u64, Day>,
}

impl Activity {
    fn count(&mut self, index: u64, entry: &LogEntry) {
        let day = self.days.entry(entry.time_ms / DAY_MS).or_default();
        match entry.act() {
            Act::LookupAsked => day.asked += 1,
            Act::LookupAnswered => day.answered += 1,
            Act::DisclosureAnswered => day.told += 1,
            Act::DisclosureReceived => day.were_told += 1,
            _ => {}
        }
        day.size = day.size.max(index + 1);
    }

    /// The last days up to a moment, those on which nothing happened as well.
    fn days(&self, now_ms: u64) -> Vec<pb::ActivityDay> {
        let today = now_ms / DAY_MS;
        let first = today.saturating_sub(DAYS - 1);
        let known = self.days.keys().next().copied().unwrap_or(today);
        let first = first.max(known);
        let mut size = 0;
        (first..=today)
            .map(|number| {
                let day = self.days.get(&number).copied().unwrap_or_default();
                size = day.size.max(size);
                pb::ActivityDay {
                    day_ms: number * DAY_MS,
                    searches_asked: day.asked,
                    searches_answered: day.answered,
                    disclosures_answered: day.told,
                    disclosures_received: day.were_told,
                    log_size: size,
                }
            })
            .collect()
    }
}

impl Operator {
    /// What went on in the last days.
    pub(super) async fn activity(&self) -> Result<Vec<pb::ActivityDay>, StoreError> {
        let store = self.party.store();
        let mut counted = self.counted.lock().await;
        let size = store.checkpoint().await?.map_or(0, |(size, _)| size);
        if !counted.begun || counted.next > size {
            *counted = Activity {
                begun: true,
                next: size.saturating_sub(LEAVES),
                days: BTreeMap::new(),
            };
        }
        while counted.next < size {
            let start = counted.next;
            let end = size.min(start + AT_ONCE);
            for (index, leaf) in (start..).zip(store.leaves_each(start, end).await?) {
                // A damaged leaf is the audit's business, not a picture's.
                if let Some(entry) = leaf.ok().and_then(|leaf| LogEntry::decode(&*leaf).ok()) {
                    counted.count(index, &entry);
                }
            }
            counted.next = end;
        }
        Ok(counted.days(self.party.ambient().now_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_from_the_first_that_is_known_and_none_is_left_out() {
        let mut activity = Activity::default();
        let entry = |act: Act, day: u64| LogEntry {
            act: act.into(),
            time_ms: day * DAY_MS + 5,
            ..LogEntry::default()
        };
        for (index, (act, day)) in [
            (Act::LogStarted, 100),
            (Act::LookupAsked, 100),
            (Act::LookupAnswered, 102),
            (Act::LookupAnswered, 102),
            (Act::DisclosureAnswered, 102),
            (Act::DisclosureReceived, 103),
        ]
        .into_iter()
        .enumerate()
        {
            activity.count(index as u64, &entry(act, day));
        }
        let told = activity.days(103 * DAY_MS + 9);
        let days: Vec<u64> = told.iter().map(|day| day.day_ms / DAY_MS).collect();
        assert_eq!(days, [100, 101, 102, 103]);
        let sizes: Vec<u64> = told.iter().map(|day| day.log_size).collect();
        assert_eq!(sizes, [2, 2, 5, 6]);
        let counts = |of: fn(&pb::ActivityDay) -> u64| told.iter().map(of).collect::<Vec<_>>();
        assert_eq!(counts(|day| day.searches_asked), [1, 0, 0, 0]);
        assert_eq!(counts(|day| day.searches_answered), [0, 0, 2, 0]);
        assert_eq!(counts(|day| day.disclosures_answered), [0, 0, 1, 0]);
        assert_eq!(counts(|day| day.disclosures_received), [0, 0, 0, 1]);
        let later = activity.days(200 * DAY_MS);
        assert_eq!(later.len() as u64, DAYS);
        assert!(Activity::default().days(9 * DAY_MS).len() == 1);
    }
}
