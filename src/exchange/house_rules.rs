//! A member's own rules for its node, on top of the roster: whom it refuses what, and what it counts
//! as unusual use. They can change while the node runs; each change is a leaf.

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::roster::{MemberId, Purpose};

/// What a member has laid down for its own node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HouseRules {
    /// Whom it refuses what.
    pub refuse: Vec<Refused>,
    /// When it wants to be told.
    pub alerts: Thresholds,
}

/// A peer, a purpose, or a purpose of a peer that this node refuses although the roster permits it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The party; every party if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// The purposes; every purpose, and evaluations, if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<Purpose>,
}

/// What counts as unusual use by one party in one day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// How much of a quota is used, in percent.
    pub quota_percent: u64,
    /// Hits among the subjects asked about, in percent ...
    pub hit_percent: u64,
    /// ... once so many were asked about.
    pub hit_subjects: u64,
    /// Sets of tokens that touched one and the same record.
    pub sweep_sets: u64,
    /// Subjects of one query that share a token.
    pub sweep_subjects: u64,
    /// First hour of the night, 0 to 23 (UTC).
    pub night_from: u8,
    /// First hour after it.
    pub night_until: u8,
    /// Subjects asked about by night.
    pub night_subjects: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            quota_percent: 80,
            hit_percent: 30,
            hit_subjects: 50,
            sweep_sets: 10,
            sweep_subjects: 20,
            night_from: 22,
            night_until: 4,
            night_subjects: 10_000,
        }
    }
}

/// What is wrong with a member's own rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HouseRulesError {
    /// A refusal of everything by everybody.
    #[error(
        "[[refuse]] number {number} names neither a member nor a purpose: it would refuse everybody everything"
    )]
    RefusesAll {
        /// Which, from 1.
        number: usize,
    },
    /// A number out of its range.
    #[error("[alerts] {setting} is {found}, and has to be {range}")]
    Range {
        /// The setting.
        setting: &'static str,
        /// What was found.
        found: u64,
        /// What it has to be.
        range: &'static str,
    },
}

impl HouseRules {
    /// Checks rules that were read.
    ///
    /// # Errors
    /// [`HouseRulesError`] names the setting.
    pub fn check(&self) -> Result<(), HouseRulesError> {
        let empty = |refused: &Refused| refused.member.is_none() && refused.purposes.is_empty();
        if let Some(at) = self.refuse.iter().position(empty) {
            return Err(HouseRulesError::RefusesAll { number: at + 1 });
        }
        let alerts = &self.alerts;
        let out_of = |setting, found: u64, most: u64, range| {
            (found > most).then_some(HouseRulesError::Range {
                setting,
                found,
                range,
            })
        };
        [
            out_of("quota_percent", alerts.quota_percent, 100, "0 to 100"),
            out_of("hit_percent", alerts.hit_percent, 100, "0 to 100"),
            out_of(
                "night_from",
                alerts.night_from.into(),
                23,
                "an hour, 0 to 23",
            ),
            out_of(
                "night_until",
                alerts.night_until.into(),
                23,
                "an hour, 0 to 23",
            ),
        ]
        .into_iter()
        .flatten()
        .next()
        .map_or(Ok(()), Err)
    }

    /// Refuses what the member refuses. Without a purpose only a refusal of the whole party counts.
    ///
    /// # Errors
    /// [`Refusal::RefusedHere`].
    pub fn admit(&self, asker: &MemberId, purpose: Option<Purpose>) -> Result<(), Refusal> {
        let refuses = |refused: &Refused| {
            refused.member.as_ref().is_none_or(|member| member == asker)
                && (refused.purposes.is_empty()
                    || purpose.is_some_and(|purpose| refused.purposes.contains(&purpose)))
        };
        if self.refuse.iter().any(refuses) {
            return Err(Refusal::RefusedHere);
        }
        Ok(())
    }

    /// The rules on one line, as the leaf of a change states them.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut words: Vec<String> = self
            .refuse
            .iter()
            .map(|refused| {
                let member = refused.member.as_ref().map_or("*", MemberId::as_str);
                let purposes: Vec<String> =
                    refused.purposes.iter().map(ToString::to_string).collect();
                match purposes.as_slice() {
                    [] => format!("refuse={member}"),
                    some => format!("refuse={member}:{}", some.join(",")),
                }
            })
            .collect();
        let alerts = &self.alerts;
        words.push(format!(
            "quota={}% hits={}%/{} sweep={}/{} night={}-{}/{}",
            alerts.quota_percent,
            alerts.hit_percent,
            alerts.hit_subjects,
            alerts.sweep_sets,
            alerts.sweep_subjects,
            alerts.night_from,
            alerts.night_until,
            alerts.night_subjects
        ));
        words.join(" ")
    }
}

impl Thresholds {
    /// Whether the moment (milliseconds since 1970) is by night.
    #[must_use]
    pub fn is_night(&self, now_ms: u64) -> bool {
        let hour = (now_ms / 3_600_000 % 24) as u8;
        if self.night_from <= self.night_until {
            (self.night_from..self.night_until).contains(&hour)
        } else {
            hour >= self.night_from || hour < self.night_until
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(refuse: Vec<Refused>) -> HouseRules {
        HouseRules {
            refuse,
            ..HouseRules::default()
        }
    }

    fn refused(member: Option<&str>, purposes: &[Purpose]) -> Refused {
        Refused {
            member: member.map(|id| id.parse().unwrap()),
            purposes: purposes.to_vec(),
        }
    }

    #[test]
    fn a_refusal_covers_what_it_names_and_no_more() {
        let (de, pl): (MemberId, MemberId) = ("de".parse().unwrap(), "pl".parse().unwrap());
        let (tracing, reunion) = (Some(Purpose::FamilyTracing), Some(Purpose::Reunification));
        let whole = rules(vec![refused(Some("de"), &[])]);
        assert!(whole.admit(&de, tracing).is_err() && whole.admit(&de, None).is_err());
        assert!(whole.admit(&pl, tracing).is_ok() && whole.admit(&pl, None).is_ok());
        let one = rules(vec![refused(Some("de"), &[Purpose::Reunification])]);
        assert!(one.admit(&de, reunion).is_err());
        assert!(one.admit(&de, tracing).is_ok() && one.admit(&de, None).is_ok());
        let all = rules(vec![refused(None, &[Purpose::Reunification])]);
        assert!(all.admit(&pl, reunion).is_err() && all.admit(&pl, tracing).is_ok());
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        assert!(rules(vec![]).check().is_ok());
        let number = |rules: HouseRules| rules.check().unwrap_err().to_string();
        assert!(number(rules(vec![refused(Some("de"), &[]), refused(None, &[])])).contains("2"));
        let mut late = rules(vec![]);
        late.alerts.night_from = 24;
        assert!(number(late).contains("night_from"));
    }

    #[test]
    fn a_night_may_pass_midnight() {
        let hour = |hour: u64| hour * 3_600_000 + 1;
        let alerts = Thresholds::default();
        let nights: Vec<u64> = (0..24).filter(|at| alerts.is_night(hour(*at))).collect();
        assert_eq!(nights, [0, 1, 2, 3, 22, 23]);
        let early = Thresholds {
            night_from: 1,
            night_until: 5,
            ..alerts
        };
        let nights: Vec<u64> = (0..24).filter(|at| early.is_night(hour(*at))).collect();
        assert_eq!(nights, [1, 2, 3, 4]);
    }
}
