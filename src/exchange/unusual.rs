//! Unusual use: what the operator of the asked node is told, and the log with it.
//!
//! Nothing here refuses anything. A party that sweeps, or searches by night, or finds nearly
//! everything it asks for, may have good reasons; a person has to know of it. What is counted is
//! counted for one party and one day, in the transaction of the act itself, so that all replicas
//! count together. Each kind of alert is raised once a day for each party.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::leaf::Leaf;
use super::lookup::ProbedSubject;
use super::{Party, quota, service};
use crate::proto::exchange as pb;
use crate::roster::Member;
use crate::store::{Act, Committed, Debit, Drawn, Effect, StoreError};

/// Subjects that were answered with a hit.
const HITS: &str = "hits";

/// Subjects asked about by night.
const NIGHT: &str = "night_subjects";

/// Sets of tokens that touched one record.
const TOUCHES: &str = "touching_sets";

/// What was noticed. Nothing in it is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// Most of a quota is used, or all of it.
    Quota(Drawn),
    /// A record was tried with more sets of tokens than the probe limit.
    ProbeLimit,
    /// One record was touched by many different sets of tokens.
    SweepOfRecord {
        /// How many.
        sets: u64,
    },
    /// Many subjects of one query differ in part only.
    SweepOfQuery {
        /// How many share a token.
        subjects: u64,
    },
    /// A large part of what was asked about was found.
    HitRate {
        /// Subjects found.
        hits: u64,
        /// Subjects asked about.
        subjects: u64,
    },
    /// Many subjects were asked about by night.
    Night {
        /// How many.
        subjects: u64,
    },
}

impl Alert {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Quota(drawn) if drawn.used >= drawn.limit => "QUOTA_USED_UP",
            Self::Quota(_) => "QUOTA_NEARLY_USED",
            Self::ProbeLimit => "PROBE_LIMIT",
            Self::SweepOfRecord { .. } => "SWEEP_OF_RECORD",
            Self::SweepOfQuery { .. } => "SWEEP_IN_QUERY",
            Self::HitRate { .. } => "HIT_RATE",
            Self::Night { .. } => "NIGHT_BURST",
        }
    }

    /// The code and its figures, as leaf and log line state them.
    #[must_use]
    pub fn reference(&self) -> String {
        let code = self.code();
        match self {
            Self::Quota(drawn) => format!(
                "{code} quota={} used={} limit={}",
                drawn.quota, drawn.used, drawn.limit
            ),
            Self::ProbeLimit => code.to_owned(),
            Self::SweepOfRecord { sets } => format!("{code} sets={sets}"),
            Self::SweepOfQuery { subjects } | Self::Night { subjects } => {
                format!("{code} subjects={subjects}")
            }
            Self::HitRate { hits, subjects } => format!("{code} hits={hits} subjects={subjects}"),
        }
    }

    /// What a party is not alerted about twice a day.
    fn kind(&self) -> String {
        match self {
            Self::Quota(drawn) => format!("{} {}", self.code(), drawn.quota),
            _ => self.code().to_owned(),
        }
    }
}

/// What a lookup adds to the day's counts.
#[derive(Default)]
pub struct Counts {
    /// Subjects that were answered with a hit.
    pub hits: u64,
    /// For each record that was touched, by its reference: the sets that touched it.
    pub touched: BTreeMap<String, BTreeSet<[u8; 16]>>,
}

/// Draws that count and never refuse.
#[must_use]
pub fn counting(party: &Party, asker: &Member, subjects: u64, counts: &Counts) -> Vec<Debit> {
    let count = |quota, amount| service::daily_debit(party, asker, quota, amount, u64::MAX);
    let mut debits = vec![count(HITS, counts.hits)];
    if party
        .house_rules()
        .alerts
        .is_night(party.ambient().now_ms())
    {
        debits.push(count(NIGHT, subjects));
    }
    for (record, sets) in &counts.touched {
        let mut debit = count(TOUCHES, sets.len() as u64);
        debit.tag = service::daily_draw(
            party,
            &format!("{}\n{record}", asker.id),
            TOUCHES,
            0,
            u64::MAX,
        )
        .tag;
        debits.push(debit);
    }
    debits
}

/// How many subjects of a query share the token that most of them share, each rule for itself.
/// Children of one family share some; twenty do not.
#[must_use]
pub fn most_shared(subjects: &[ProbedSubject]) -> u64 {
    let mut sharing: BTreeMap<(u8, [u8; 16]), u64> = BTreeMap::new();
    let mut sets = BTreeSet::new();
    for subject in subjects {
        // The same child asked for twice is no sweep.
        if !sets.insert(super::lookup::digest_of(subject)) {
            continue;
        }
        let own: BTreeSet<_> = subject.probes.iter().copied().collect();
        for probe in own {
            *sharing.entry(probe).or_default() += 1;
        }
    }
    sharing.values().copied().max().unwrap_or(0)
}

/// Raises an alert if a query holds many subjects that differ in part only.
pub async fn watch_query(party: &Party, asker: &Member, subjects: &[ProbedSubject]) {
    let level = party.house_rules().alerts.sweep_subjects;
    if (subjects.len() as u64) < level || level == 0 {
        return;
    }
    let subjects = most_shared(subjects);
    if subjects >= level {
        raise(party, asker, Alert::SweepOfQuery { subjects }).await;
    }
}

/// Commits an act of `asker` and raises what its draws show. The two go on together in a task of their
/// own: a caller that hangs up once the act is done must not keep the alert from being raised.
///
/// # Errors
/// If the store fails.
pub async fn commit_watched(
    party: &Arc<Party>,
    asker: &Member,
    act: Act,
) -> Result<Committed, StoreError> {
    let (party, asker) = (Arc::clone(party), asker.clone());
    let committing = tokio::spawn(async move {
        let committed = party.ledger().commit(act).await?;
        match &committed {
            Committed::Done { position, .. } => watch(&party, &asker, &position.drawn).await,
            Committed::OverQuota {
                quota, used, limit, ..
            } => used_up(&party, &asker, quota, *used, *limit).await,
            _ => {}
        }
        Ok(committed)
    });
    // The task ends early only with the whole process.
    committing.await.map_err(|_| StoreError::Closed)?
}

/// Raises what the draws of an act show.
async fn watch(party: &Party, asker: &Member, drawn: &[Drawn]) {
    let rules = party.house_rules();
    let alerts = &rules.alerts;
    let after = |quota: &str| drawn.iter().find(|drawn| drawn.quota == quota);
    let mut raised = Vec::new();
    for one in drawn {
        let level = one.limit.saturating_mul(alerts.quota_percent).div_ceil(100);
        if quota::WATCHED.contains(&one.quota) && one.limit > 0 && one.crossed(level.max(1)) {
            raised.push(Alert::Quota(*one));
        }
        if one.quota == TOUCHES && one.crossed(alerts.sweep_sets.max(1)) {
            raised.push(Alert::SweepOfRecord { sets: one.used });
        }
        if one.quota == NIGHT && one.crossed(alerts.night_subjects.max(1)) {
            raised.push(Alert::Night { subjects: one.used });
        }
    }
    if let (Some(hits), Some(subjects)) = (after(HITS), after(quota::SUBJECTS))
        && hits.amount > 0
        && subjects.used >= alerts.hit_subjects
        && hits.used.saturating_mul(100) >= subjects.used.saturating_mul(alerts.hit_percent)
    {
        raised.push(Alert::HitRate {
            hits: hits.used,
            subjects: subjects.used,
        });
    }
    for alert in raised {
        raise(party, asker, alert).await;
    }
}

/// Raises the alert that a quota is used up: more was asked for than was left.
pub async fn used_up(party: &Party, asker: &Member, quota: &'static str, used: u64, limit: u64) {
    if quota::WATCHED.contains(&quota) {
        let drawn = Drawn {
            quota,
            amount: 0,
            // Asking for more than is left is what counts, whatever was left.
            used: used.max(limit),
            limit,
        };
        raise(party, asker, Alert::Quota(drawn)).await;
    }
}

/// Raises an alert: a leaf, and a line for the operator, once a day for each party and kind.
pub async fn raise(party: &Party, asker: &Member, alert: Alert) {
    let reference = alert.reference();
    let (leaf, _) = Leaf::new(
        pb::Act::AlertRaised,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.peer = asker.id.as_str().to_owned();
        entry.reference = reference.clone();
    })
    .finish();
    let mut act = Act::alone(leaf).with(Effect::Alert);
    let who = format!("{}\n{}", asker.id, alert.kind());
    act.debits
        .push(service::daily_draw(party, &who, "alerts", 1, 1));
    match party.ledger().commit(act).await {
        Ok(Committed::Done { .. }) => {
            tracing::warn!(
                peer = asker.id.as_str(),
                alert = reference,
                "unusual use by a peer"
            );
        }
        // Raised today already.
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "an alert could not be recorded"),
    }
}
