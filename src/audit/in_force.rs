//! What was in force at a member at some moment: roster, disclosure policy, and its own rules, as the
//! leaves of its log state them and the documents behind those leaves prove.

use std::sync::Arc;

use serde_json::{Value, json};

use super::behind::Insight;
use super::entry::Entry;
use crate::envelope::merkle::sha256;
use crate::proto::exchange as pb;
use crate::roster::TrustedRoster;

/// A moment in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When this leaf was made.
    Leaf(u64),
    /// This time, in milliseconds since 1970.
    Time(u64),
}

/// What a leaf brought into force.
#[derive(Clone)]
pub struct Adopted<T> {
    /// The leaf.
    pub leaf_index: u64,
    /// What; nothing if the document behind the leaf does not hold.
    pub document: Option<T>,
}

/// What was in force at a moment, as far as the leaves that went by tell.
#[derive(Clone)]
pub struct InForce {
    moment: Moment,
    /// The roster.
    pub roster: Option<Adopted<Arc<TrustedRoster>>>,
    /// The disclosure policy.
    pub policy: Option<Adopted<Arc<str>>>,
    /// The member's own rules: whom it refuses what, and its thresholds for alerts.
    pub house_rules: Option<Adopted<Arc<str>>>,
}

/// Whether an act brings something into force of which [`InForce`] tells.
#[must_use]
pub fn adopts(act: pb::Act) -> bool {
    matches!(
        act,
        pb::Act::RosterAdopted | pb::Act::PolicyAdopted | pb::Act::HouseRulesSet
    )
}

impl InForce {
    /// Nothing yet: it is given the leaves of a log in their order.
    #[must_use]
    pub fn at(moment: Moment) -> Self {
        Self {
            moment,
            roster: None,
            policy: None,
            house_rules: None,
        }
    }

    /// Takes the next leaf.
    pub fn take(&mut self, leaf_index: u64, entry: &Entry, insight: &Insight) {
        let later = match self.moment {
            Moment::Leaf(leaf) => leaf_index > leaf,
            Moment::Time(time_ms) => entry.time_ms > time_ms,
        };
        if later {
            return;
        }
        match entry.act {
            pb::Act::RosterAdopted => {
                self.roster = Some(Adopted {
                    leaf_index,
                    document: insight.roster.clone(),
                });
            }
            pb::Act::PolicyAdopted => {
                self.policy = Some(Adopted {
                    leaf_index,
                    document: insight.policy.clone(),
                });
            }
            pb::Act::HouseRulesSet => {
                self.house_rules = Some(Adopted {
                    leaf_index,
                    document: Some(Arc::from(&*entry.reference)),
                });
            }
            _ => {}
        }
    }

    /// The same as machines read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let roster = self.roster.as_ref().map(|adopted| {
            let roster = adopted.document.as_ref();
            json!({
                "leaf_index": adopted.leaf_index,
                "version": roster.map(|roster| roster.version()),
                "root_version": roster.map(|roster| roster.roster().root_version),
                "sha256": roster.map(|roster| roster.digest().to_string()),
                "note": roster.map(|roster| roster.note()),
            })
        });
        let policy = self.policy.as_ref().map(|adopted| {
            let text = adopted.document.as_deref();
            json!({
                "leaf_index": adopted.leaf_index,
                "sha256": text.map(|text| hex::encode(sha256(&[text.as_bytes()]))),
                "text": text,
            })
        });
        let rules = self.house_rules.as_ref().map(|adopted| {
            json!({
                "leaf_index": adopted.leaf_index,
                "text": adopted.document.as_deref(),
            })
        });
        json!({"roster": roster, "policy": policy, "house_rules": rules})
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{NOW_MS, Sample, entry};
    use super::*;

    fn leaf(act: pb::Act, minutes: u64, reference: &str) -> Entry {
        Entry {
            time_ms: NOW_MS + minutes * 60_000,
            reference: reference.into(),
            ..entry(act, "", 1)
        }
    }

    #[test]
    fn what_came_later_was_not_in_force_then() {
        let policy = |text: &str| Insight {
            policy: Some(Arc::from(text)),
            ..Insight::default()
        };
        let roster = Insight {
            roster: Some(Arc::new(Sample::new().roster)),
            ..Insight::default()
        };
        let log = [
            (leaf(pb::Act::RosterAdopted, 0, ""), roster),
            (leaf(pb::Act::PolicyAdopted, 1, ""), policy("first")),
            (leaf(pb::Act::HouseRulesSet, 2, "none"), Insight::default()),
            (leaf(pb::Act::PolicyAdopted, 3, ""), policy("second")),
            // One whose document is lost: what came before it is in force no more.
            (leaf(pb::Act::PolicyAdopted, 4, ""), Insight::default()),
        ];
        let told = |moment| {
            let mut found = InForce::at(moment);
            for (index, (entry, insight)) in (0..).zip(&log) {
                found.take(index, entry, insight);
            }
            found.to_json()
        };
        let at_first = told(Moment::Leaf(0));
        assert_eq!(at_first["roster"]["version"], 1);
        assert_eq!(at_first["policy"], Value::Null);
        for moment in [Moment::Leaf(2), Moment::Time(NOW_MS + 179_000)] {
            let told = told(moment);
            assert_eq!(told["policy"]["text"], "first");
            assert_eq!(told["policy"]["leaf_index"], 1);
            assert_eq!(told["house_rules"]["text"], "none");
        }
        assert_eq!(told(Moment::Leaf(3))["policy"]["text"], "second");
        let lost = told(Moment::Time(u64::MAX));
        assert_eq!(lost["policy"]["leaf_index"], 4);
        assert_eq!(lost["policy"]["text"], Value::Null);
    }
}
