//! What a member did, counted by act and by the other party.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::verify::Verification;
use super::words;
use crate::roster::MemberId;

/// One line of a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Stable name of the act.
    pub act: &'static str,
    /// The act as a table names it.
    pub act_in_words: &'static str,
    /// The other party, if there is one.
    pub peer: Option<MemberId>,
    /// How many leaves.
    pub leaves: u64,
    /// The sum of what they count: elements, subjects, fields or records.
    pub counted: u64,
    /// First and last time, in milliseconds since 1970.
    pub times_ms: (u64, u64),
}

/// Counts the acts of a log, in the order of the protocol's acts and then by party.
#[must_use]
pub fn summary(log: &Verification) -> Vec<Line> {
    let mut lines = BTreeMap::new();
    for (_, entry) in log.leaves() {
        let line = lines
            .entry((entry.act as i32, entry.peer.clone()))
            .or_insert_with(|| Line {
                act: words::act_name(entry.act),
                act_in_words: words::act(entry.act),
                peer: entry.peer.clone(),
                leaves: 0,
                counted: 0,
                times_ms: (entry.time_ms, entry.time_ms),
            });
        line.leaves += 1;
        line.counted += u64::from(entry.count);
        line.times_ms.0 = line.times_ms.0.min(entry.time_ms);
        line.times_ms.1 = line.times_ms.1.max(entry.time_ms);
    }
    lines.into_values().collect()
}

impl Line {
    /// The line as machines read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "act": self.act,
            "peer": self.peer,
            "leaves": self.leaves,
            "counted": self.counted,
            "first_ms": self.times_ms.0,
            "last_ms": self.times_ms.1,
        })
    }
}
