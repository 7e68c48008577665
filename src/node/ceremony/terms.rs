//! What whoever calls a ceremony decides, and the plan that comes of it.

use super::error::CeremonyError;
use super::plan::{Plan, PlannedKeyholder, Procedure, wrong};
use crate::ambient::Ambient;
use crate::roster::{Bytes32, CoalitionKey, Member, MemberId, Timestamp, TrustedRoster};

/// What whoever calls a ceremony decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// A key for a new epoch.
    Generate {
        /// Number of the key epoch, from 1; the next after those of the roster if `None`.
        epoch: Option<u32>,
        /// How many keyholders an evaluation will take (t); as in the epoch in use if `None`.
        threshold: Option<u16>,
        /// Who takes part; all keyholders of the roster if `None`.
        keyholders: Option<Vec<MemberId>>,
    },
    /// New shares of the same key.
    Refresh {
        /// Number of the key epoch; the one in use if `None`.
        epoch: Option<u32>,
        /// Who takes part, and remains; all that hold a share and are active if `None`.
        keyholders: Option<Vec<MemberId>>,
    },
    /// A share restored, or made for a further keyholder.
    Repair {
        /// Number of the key epoch; the one in use if `None`.
        epoch: Option<u32>,
        /// For whom.
        target: MemberId,
        /// Who helps; as many as the threshold if `None`.
        helpers: Option<Vec<MemberId>>,
    },
    /// A new keyholder in the place of another.
    Replace {
        /// Number of the key epoch; the one in use if `None`.
        epoch: Option<u32>,
        /// Who has no share afterwards.
        leaves: MemberId,
        /// Who has one.
        joins: MemberId,
    },
}

impl Plan {
    /// Makes a plan from terms and the roster in force.
    pub(super) fn draw(
        terms: &Terms,
        roster: &TrustedRoster,
        ambient: &Ambient,
    ) -> Result<Self, CeremonyError> {
        let plan = match terms {
            Terms::Generate {
                epoch,
                threshold,
                keyholders,
            } => generate(*epoch, *threshold, keyholders.as_deref(), roster, ambient)?,
            Terms::Refresh { epoch, keyholders } => {
                let stated = stated(*epoch, roster)?;
                let chosen = match keyholders {
                    Some(ids) => ids.iter().map(|id| party(roster, id)).collect(),
                    None => Ok(holders(stated, roster, ambient)),
                }?;
                about(Procedure::Refresh, stated, chosen, roster, ambient)?
            }
            Terms::Repair {
                epoch,
                target,
                helpers,
            } => {
                let stated = stated(*epoch, roster)?;
                let helpers: Vec<&Member> = match helpers {
                    Some(ids) => ids
                        .iter()
                        .map(|id| party(roster, id))
                        .collect::<Result<_, _>>()?,
                    None => holders(stated, roster, ambient)
                        .into_iter()
                        .filter(|member| member.id != *target)
                        .take(usize::from(stated.threshold))
                        .collect(),
                };
                let mut chosen = helpers.clone();
                chosen.push(party(roster, target)?);
                let mut plan = about(Procedure::Repair, stated, chosen, roster, ambient)?;
                plan.with_repair(&helpers, target);
                plan
            }
            Terms::Replace {
                epoch,
                leaves,
                joins,
            } => {
                let stated = stated(*epoch, roster)?;
                if stated.keyholder(leaves.as_str()).is_none() {
                    return Err(wrong(format!(
                        "{leaves} holds no share of epoch {}",
                        stated.epoch
                    )));
                }
                let helpers: Vec<&Member> = holders(stated, roster, ambient)
                    .into_iter()
                    .filter(|member| member.id != *leaves && member.id != *joins)
                    .collect();
                let mut chosen = helpers.clone();
                chosen.push(party(roster, joins)?);
                let mut plan = about(Procedure::Replace, stated, chosen, roster, ambient)?;
                plan.with_repair(&helpers, joins);
                plan
            }
        };
        plan.check(roster)?;
        Ok(plan)
    }

    fn with_repair(&mut self, helpers: &[&Member], target: &MemberId) {
        let mut helpers: Vec<u16> = helpers
            .iter()
            .filter_map(|member| self.identifier_of(&member.id))
            .collect();
        helpers.sort_unstable();
        self.helpers = helpers;
        self.target = self.identifier_of(target);
    }
}

fn generate(
    epoch: Option<u32>,
    threshold: Option<u16>,
    keyholders: Option<&[MemberId]>,
    roster: &TrustedRoster,
    ambient: &Ambient,
) -> Result<Plan, CeremonyError> {
    let now = ambient.now();
    let newest = roster.coalition_keys().iter().map(|key| key.epoch).max();
    let next = u32::try_from(newest.unwrap_or(0).saturating_add(1)).unwrap_or(u32::MAX);
    let threshold = threshold
        .or(roster.coalition_key().map(|key| key.threshold))
        .ok_or_else(|| wrong("there is no key yet whose threshold could be kept".to_owned()))?;
    let chosen: Vec<&Member> = match keyholders {
        None => roster
            .roster()
            .members
            .iter()
            .filter(|member| member.roles.keyholder.is_some() && !member.is_suspended(now))
            .collect(),
        Some(ids) => ids
            .iter()
            .map(|id| party(roster, id))
            .collect::<Result<_, _>>()?,
    };
    plan(
        Procedure::Generate,
        epoch.unwrap_or(next),
        threshold,
        chosen,
        roster,
        ambient,
    )
}

/// A plan about a key that the roster states.
fn about(
    procedure: Procedure,
    stated: &CoalitionKey,
    chosen: Vec<&Member>,
    roster: &TrustedRoster,
    ambient: &Ambient,
) -> Result<Plan, CeremonyError> {
    let epoch = u32::try_from(stated.epoch)
        .map_err(|_| wrong("the epoch's number is out of range".to_owned()))?;
    plan(procedure, epoch, stated.threshold, chosen, roster, ambient)
}

fn plan(
    procedure: Procedure,
    epoch: u32,
    threshold: u16,
    chosen: Vec<&Member>,
    roster: &TrustedRoster,
    ambient: &Ambient,
) -> Result<Plan, CeremonyError> {
    let mut keyholders = chosen
        .into_iter()
        .map(|member| {
            let role = member
                .roles
                .keyholder
                .ok_or_else(|| wrong(format!("{} is no keyholder", member.title())))?;
            Ok(PlannedKeyholder {
                identifier: role.identifier,
                member: member.id.clone(),
            })
        })
        .collect::<Result<Vec<_>, CeremonyError>>()?;
    keyholders.sort_by_key(|keyholder| keyholder.identifier);
    Ok(Plan {
        format: Plan::format().to_owned(),
        procedure,
        coalition: roster.roster().coalition.clone(),
        epoch,
        threshold,
        roster_version: roster.version(),
        roster_sha256: roster.digest(),
        called: Timestamp::from_unix(ambient.now()),
        nonce: Bytes32::new(ambient.random()),
        keyholders,
        helpers: Vec::new(),
        target: None,
    })
}

fn stated(epoch: Option<u32>, roster: &TrustedRoster) -> Result<&CoalitionKey, CeremonyError> {
    match epoch {
        Some(epoch) => roster.coalition_keys().of_epoch(u64::from(epoch)),
        None => roster.coalition_key(),
    }
    .ok_or_else(|| {
        wrong(match epoch {
            Some(epoch) => format!("roster {} states no key of epoch {epoch}", roster.version()),
            None => format!("roster {} states no coalition key", roster.version()),
        })
    })
}

/// The active holders of a key's shares, by identifier.
fn holders<'a>(
    stated: &'a CoalitionKey,
    roster: &'a TrustedRoster,
    ambient: &Ambient,
) -> Vec<&'a Member> {
    let mut holders = roster.keyholders_of(stated, ambient.now());
    holders.sort_by_key(|(keyholder, _)| keyholder.identifier);
    holders.into_iter().map(|(_, member)| member).collect()
}

fn party<'a>(roster: &'a TrustedRoster, id: &MemberId) -> Result<&'a Member, CeremonyError> {
    roster
        .member(id.as_str())
        .ok_or_else(|| wrong(format!("the roster has no party {id}")))
}
