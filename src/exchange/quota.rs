//! Quotas: what the roster lets a party ask of one node, and how much of it is used.
//!
//! Each node counts for itself, so two independent parties enforce every limit: evaluations are
//! counted by each keyholder, subjects by each holder. Counts are drawn on in the transaction that
//! makes the answer exist, and are kept in the database, which all replicas of a node share.

use super::{Party, Refusal, service};
use crate::proto::exchange as pb;
use crate::roster::Member;
use crate::store::{Debit, Drawn, StoreError, TagKind};

/// Subjects that a member may ask a holder about in a day.
pub const SUBJECTS: &str = "subjects_per_day";

/// Elements that a member may have evaluated by a keyholder in a day, for searching.
pub const EVALUATIONS: &str = "evaluations_per_day";

/// Elements that a member may have evaluated by a keyholder in a key epoch, for its own register.
pub const ENROLMENT: &str = "enrolment_records";

/// Elements that an ombudsman may have evaluated by a keyholder in a day: some twenty children, for
/// families who know no reference. The roster gives an ombudsman no quota of its own.
pub const OMBUDSMAN_EVALUATIONS: u64 = 1_000;

/// The quotas that an alert is raised for when they run out.
pub const WATCHED: [&str; 3] = [SUBJECTS, EVALUATIONS, ENROLMENT];

/// The quota that a peer means by `name`, if it is one: any other name is the peer's own invention.
#[must_use]
pub fn watched(name: &str) -> Option<&'static str> {
    WATCHED.into_iter().find(|known| *known == name)
}

/// A draw on the subjects of a day.
#[must_use]
pub fn subjects(party: &Party, asker: &Member, amount: u64) -> Debit {
    service::daily_debit(
        party,
        asker,
        SUBJECTS,
        amount,
        asker.quotas.subjects_per_day,
    )
}

/// A draw on a member's two allowances for evaluations: that for enrolling its register, cumulative
/// over the key epoch, and where that does not suffice the daily one for searching. The two cannot be
/// told apart by what is asked, since blinded elements all look alike.
#[must_use]
pub fn evaluations(party: &Party, asker: &Member, epoch: u32, amount: u64) -> Debit {
    let limit = match asker.roles.ombudsman {
        Some(_) => OMBUDSMAN_EVALUATIONS,
        None => asker.quotas.evaluations_per_day,
    };
    let daily = service::daily_debit(party, asker, EVALUATIONS, amount, limit);
    if asker.roles.ombudsman.is_some() {
        return daily;
    }
    Debit {
        quota: ENROLMENT,
        tag: party.store().tag(
            TagKind::Quota,
            &[
                asker.id.as_str().as_bytes(),
                b"enrolment",
                &epoch.to_be_bytes(),
            ],
        ),
        amount,
        limit: asker
            .quotas
            .enrolment_records
            .saturating_mul(keys_of_a_record(party)),
        // For as long as the epoch lasts, which no clock tells.
        expires_ms: None,
        otherwise: Some(Box::new(daily)),
    }
}

/// The most keys that one record has, those of its siblings among them.
fn keys_of_a_record(party: &Party) -> u64 {
    (party.rules().slots() + party.rules().sibling_slot_rules().len()) as u64
}

/// Refuses what would be refused later anyway, before any work is done for it. What is drawn, and on
/// which allowance, is decided when the act is committed.
///
/// # Errors
/// [`Refusal::QuotaExceeded`], or that the store fails.
pub async fn look(party: &Party, debit: &Debit) -> Result<(), Refusal> {
    let mut allowance = debit;
    loop {
        let used = used(party, allowance)
            .await
            .map_err(|error| party.unavailable(&error))?;
        if used.saturating_add(allowance.amount) <= allowance.limit {
            return Ok(());
        }
        match &allowance.otherwise {
            Some(next) => allowance = next,
            None => {
                let (quota, limit) = (allowance.quota, allowance.limit);
                return Err(Refusal::QuotaExceeded {
                    quota,
                    used,
                    limit,
                    asked: allowance.amount,
                    retry_after_seconds: service::seconds_to_midnight(party),
                });
            }
        }
    }
}

async fn used(party: &Party, debit: &Debit) -> Result<u64, StoreError> {
    party.store().quota_used(debit.tag).await
}

/// How much of its quotas a member has used at this node.
///
/// # Errors
/// If the store fails.
pub async fn standing(
    party: &Party,
    asker: &Member,
    epoch: Option<u32>,
) -> Result<Vec<Drawn>, StoreError> {
    let mut debits = vec![subjects(party, asker, 0)];
    if let Some(epoch) = epoch {
        let enrolment = evaluations(party, asker, epoch, 0);
        debits.extend(enrolment.otherwise.as_deref().cloned());
        debits.push(enrolment);
    }
    let mut standing = Vec::with_capacity(debits.len());
    for debit in debits {
        standing.push(Drawn {
            quota: debit.quota,
            amount: 0,
            used: used(party, &debit).await?,
            limit: debit.limit,
        });
    }
    Ok(standing)
}

/// Quotas as an answer states them to the party that drew on them.
#[must_use]
pub fn stated(drawn: &[Drawn]) -> Vec<pb::QuotaState> {
    drawn
        .iter()
        .filter(|drawn| WATCHED.contains(&drawn.quota))
        .map(|drawn| pb::QuotaState {
            quota: drawn.quota.to_owned(),
            used: drawn.used,
            limit: drawn.limit,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_invents_no_quota() {
        assert_eq!(watched("subjects_per_day"), Some(SUBJECTS));
        for name in [
            "",
            "subjects_per_day ",
            "SUBJECTS_PER_DAY",
            "\u{1b}[2J",
            "x1",
        ] {
            assert_eq!(watched(name), None, "{name:?}");
        }
    }
}
