//! What a member did, counted by act and by the other party.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::entry::Entry;
use super::words;
use crate::proto::exchange as pb;
use crate::roster::MemberId;

/// One line of a summary.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// The act.
    pub act: pb::Act,
    /// The other party, if there is one.
    pub peer: Option<MemberId>,
    /// How many leaves.
    pub leaves: u64,
    /// The sum of what they count: elements, subjects, fields or records.
    pub counted: u64,
    /// First and last time, in milliseconds since 1970.
    pub times_ms: (u64, u64),
}

/// Counts the acts of a log while it is read.
#[derive(Default)]
pub struct Summary {
    lines: BTreeMap<(i32, Option<MemberId>), Line>,
}

impl Summary {
    /// Counts a leaf.
    pub fn take(&mut self, entry: &Entry) {
        let line = self
            .lines
            .entry((entry.act as i32, entry.peer.clone()))
            .or_insert_with(|| Line {
                act: entry.act,
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

    /// The lines, in the order of the protocol's acts and then by party.
    #[must_use]
    pub fn lines(self) -> Vec<Line> {
        self.lines.into_values().collect()
    }
}

impl Line {
    /// The line as machines read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "act": words::act_name(self.act),
            "peer": self.peer,
            "leaves": self.leaves,
            "counted": self.counted,
            "first_ms": self.times_ms.0,
            "last_ms": self.times_ms.1,
        })
    }
}
