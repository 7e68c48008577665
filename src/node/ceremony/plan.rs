//! The plan: what is to be done to which key, and by whom.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::CeremonyError;
use super::message::{Round, Slot};
use crate::exchange::checked_key;
use crate::node::shares::base_of;
use crate::oprf;
use crate::oprf::ceremony::{CeremonyId, DkgPlan, RefreshPlan, RepairPlan};
use crate::roster::{Bytes32, CoalitionKey, MemberId, Roster, Timestamp, TrustedRoster};

const FORMAT: &str = "wayhome/ceremony-plan/v1";

/// What a ceremony does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// Makes the key of a new epoch.
    Generate,
    /// Gives the keyholders new shares of the same key; whoever takes no part has none afterwards.
    Refresh,
    /// Restores one keyholder's share, or makes one for a further keyholder.
    Repair,
    /// Makes a share for a new keyholder, then renews all without the one that leaves.
    Replace,
}

impl Procedure {
    /// The name that people type and machines read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Refresh => "refresh",
            Self::Repair => "repair",
            Self::Replace => "replace",
        }
    }

    /// Whether all who take part get a fresh share.
    pub(super) const fn shares(self) -> bool {
        !matches!(self, Self::Repair)
    }
}

impl fmt::Display for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The plan of a ceremony, as `plan.json` states it.
///
/// The SHA-256 of that file names the ceremony, and every message carries the name: whoever changes
/// anything in the plan has made another ceremony, to which no message fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub(super) format: String,
    /// What is done.
    pub procedure: Procedure,
    /// Name of the coalition.
    pub coalition: String,
    /// Number of the key epoch.
    pub epoch: u32,
    /// How many keyholders an evaluation takes (t).
    pub threshold: u16,
    /// Version of the roster that it rests on. The key whose shares are renewed or restored is as
    /// that roster states it.
    pub roster_version: u32,
    /// SHA-256 of that roster's signed text.
    pub roster_sha256: Bytes32,
    /// When it was called. Keys of the roster count if they were valid then.
    pub called: Timestamp,
    /// Drawn at random, so that no two ceremonies have one name.
    pub nonce: Bytes32,
    /// Who takes part, by identifier.
    pub keyholders: Vec<PlannedKeyholder>,
    /// Identifiers of those who together make the target's share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub helpers: Vec<u16>,
    /// Identifier of the one for whom a share is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<u16>,
}

/// One who takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedKeyholder {
    /// Its place in the secret sharing.
    pub identifier: u16,
    /// The party.
    pub member: MemberId,
}

/// The plan as the key ceremonies take it.
#[derive(Debug, Clone)]
pub(super) struct Machines {
    pub(super) sharing: Option<SharingPlan>,
    pub(super) repair: Option<RepairPlan>,
    /// The key whose shares are renewed or restored, as the roster states it.
    pub(super) stated: Option<CoalitionKey>,
    /// The same, checked.
    pub(super) key: Option<oprf::CoalitionKey>,
}

/// The part of a ceremony in which all get shares.
#[derive(Debug, Clone)]
pub(super) enum SharingPlan {
    Generate(DkgPlan),
    Refresh(RefreshPlan),
}

impl Plan {
    pub(super) const fn format() -> &'static str {
        FORMAT
    }

    /// Reads `plan.json`. There is one text of each plan.
    pub(super) fn parse(text: &str) -> Result<Self, CeremonyError> {
        let plan: Self = serde_json::from_str(text)
            .map_err(|error| wrong(format!("plan.json cannot be read: {error}")))?;
        if plan.format != FORMAT {
            return Err(wrong(format!("it is not of the format {FORMAT}")));
        }
        if plan.to_text() != text {
            return Err(wrong("plan.json departs from its fixed form".to_owned()));
        }
        Ok(plan)
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Texts and numbers alone: nothing here can fail to serialise.
        format!(
            "{}\n",
            serde_json::to_string_pretty(self).unwrap_or_default()
        )
    }

    /// The ceremony's name: the SHA-256 of the text.
    #[must_use]
    pub fn id(&self) -> Bytes32 {
        Bytes32::sha256(self.to_text().as_bytes())
    }

    /// Whether the plan fits the roster that it names; gives it as the key ceremonies take it.
    pub(super) fn check(&self, roster: &TrustedRoster) -> Result<Machines, CeremonyError> {
        if self.roster_sha256 != roster.digest() || self.roster_version != roster.version() {
            return Err(CeremonyError::OtherRoster);
        }
        if self.coalition != roster.roster().coalition {
            return Err(wrong(format!(
                "it is of the coalition {:?}",
                self.coalition
            )));
        }
        if self.called < roster.roster().issued {
            return Err(wrong(
                "it says that it was called before its roster was made".to_owned(),
            ));
        }
        if self.procedure == Procedure::Generate {
            self.check_epoch(roster.roster())?;
        }
        self.check_keyholders(roster).map_err(wrong)?;
        self.machines(roster)
    }

    /// Whether a newer roster than the plan's still allows the ceremony.
    pub(super) fn check_newer(
        &self,
        roster: &TrustedRoster,
        stated: Option<&CoalitionKey>,
    ) -> Result<(), CeremonyError> {
        let changed = |reason| CeremonyError::RosterChanged { reason };
        match stated {
            None => self.check_epoch(roster.roster())?,
            Some(stated) => {
                let now = roster.coalition_keys().of_epoch(u64::from(self.epoch));
                if now.map(base_of) != Some(base_of(stated)) {
                    return Err(changed(format!(
                        "the shares of epoch {} are others by now",
                        self.epoch
                    )));
                }
            }
        }
        self.check_keyholders(roster).map_err(changed)
    }

    fn machines(&self, roster: &TrustedRoster) -> Result<Machines, CeremonyError> {
        let id = CeremonyId::new(*self.id().as_bytes());
        let participants: BTreeSet<u16> = self.identifiers().collect();
        if participants.len() != self.keyholders.len() {
            return Err(wrong("two keyholders share an identifier".to_owned()));
        }
        if self.procedure == Procedure::Generate {
            if self.target.is_some() || !self.helpers.is_empty() {
                return Err(wrong("nobody restores a share of a new key".to_owned()));
            }
            let plan = DkgPlan::new(id, self.epoch, self.threshold, participants)
                .map_err(CeremonyError::Refused)?;
            return Ok(Machines {
                sharing: Some(SharingPlan::Generate(plan)),
                repair: None,
                stated: None,
                key: None,
            });
        }
        let stated = self.stated_key(roster)?;
        let key = checked_key(stated).map_err(|error| wrong(error.to_string()))?;
        let repair = self.repair(id, stated, &key)?;
        let sharing = if self.procedure.shares() {
            let key = repair.as_ref().map_or(&key, RepairPlan::outcome);
            let plan = RefreshPlan::new(id, key.clone(), participants);
            Some(SharingPlan::Refresh(plan.map_err(CeremonyError::Refused)?))
        } else {
            None
        };
        Ok(Machines {
            sharing,
            repair,
            stated: Some(stated.clone()),
            key: Some(key),
        })
    }

    /// The key that the ceremony is about, which must be as the plan says.
    fn stated_key<'a>(&self, roster: &'a TrustedRoster) -> Result<&'a CoalitionKey, CeremonyError> {
        let stated = roster
            .coalition_keys()
            .of_epoch(u64::from(self.epoch))
            .ok_or_else(|| {
                wrong(format!(
                    "roster {} states no key of epoch {}",
                    roster.version(),
                    self.epoch
                ))
            })?;
        if stated.threshold != self.threshold {
            return Err(wrong(format!(
                "the threshold of epoch {} is {} and cannot be changed: that takes a new epoch",
                self.epoch, stated.threshold
            )));
        }
        for PlannedKeyholder { identifier, member } in &self.keyholders {
            let of_member = stated.keyholder(member.as_str());
            let same = of_member.is_some_and(|holder| holder.identifier == *identifier);
            let taken = stated
                .keyholders
                .iter()
                .any(|holder| holder.identifier == *identifier);
            let is_target = self.target == Some(*identifier);
            match (is_target, same, taken || of_member.is_some()) {
                (false, true, _) => {}
                (false, false, _) => {
                    return Err(wrong(format!(
                        "{member} holds no share of epoch {} under the identifier {identifier}",
                        self.epoch
                    )));
                }
                // A lost share is restored, or a further one made.
                (true, true, _) if self.procedure == Procedure::Repair => {}
                (true, false, false) => {}
                (true, ..) => {
                    return Err(wrong(format!(
                        "{member} cannot get the share {identifier}: the number or the party has \
                         a share of epoch {} already; give a new keyholder a number of its own",
                        self.epoch
                    )));
                }
            }
        }
        Ok(stated)
    }

    fn repair(
        &self,
        id: CeremonyId,
        stated: &CoalitionKey,
        key: &oprf::CoalitionKey,
    ) -> Result<Option<RepairPlan>, CeremonyError> {
        let needed = matches!(self.procedure, Procedure::Repair | Procedure::Replace);
        let Some(target) = self.target.filter(|_| needed) else {
            return if needed || self.target.is_some() || !self.helpers.is_empty() {
                Err(wrong(format!(
                    "it does not say for whom a share is made, or says so in a {}",
                    self.procedure
                )))
            } else {
                Ok(None)
            };
        };
        let helpers: BTreeSet<u16> = self.helpers.iter().copied().collect();
        if helpers.len() != self.helpers.len() || !self.helpers.is_sorted() {
            return Err(wrong("its helpers are not in order".to_owned()));
        }
        if !helpers
            .iter()
            .chain([&target])
            .all(|id| self.member_of(*id).is_some())
        {
            return Err(wrong("a helper takes no part".to_owned()));
        }
        if self.procedure == Procedure::Repair && helpers.len() + 1 != self.keyholders.len() {
            return Err(wrong("somebody takes part without a task".to_owned()));
        }
        if self.procedure == Procedure::Replace {
            let stays = |identifier: u16| self.member_of(identifier).is_some();
            if stated
                .keyholders
                .iter()
                .all(|holder| stays(holder.identifier))
            {
                return Err(wrong("nobody is replaced".to_owned()));
            }
        }
        RepairPlan::new(id, key.clone(), helpers, target)
            .map(Some)
            .map_err(CeremonyError::Refused)
    }

    /// The messages that one who takes part sends in the course of the ceremony.
    pub(super) fn slots_from(&self, sender: &MemberId) -> Vec<Slot> {
        let mut slots = Vec::new();
        let others = || self.members().filter(|member| *member != sender);
        if self.is_helper(sender) {
            slots.push(Slot::to_all(Round::RepairCommitments, sender));
            slots.extend(
                others()
                    .filter(|other| self.is_helper(other))
                    .map(|other| Slot::to_one(Round::RepairPart, sender, other)),
            );
            slots.extend(
                self.target_member()
                    .map(|target| Slot::to_one(Round::RepairAnswer, sender, target)),
            );
        }
        if self.procedure.shares() {
            slots.push(Slot::to_all(Round::Commitments, sender));
            slots.extend(others().map(|other| Slot::to_one(Round::Package, sender, other)));
        }
        slots.push(Slot::to_all(Round::Confirmation, sender));
        slots
    }

    /// Who sends a message to all in a round of commitments or confirmations.
    pub(super) fn senders_to_all(&self, round: Round) -> impl Iterator<Item = (u16, &MemberId)> {
        let sends = move |member: &MemberId| match round {
            Round::RepairCommitments => self.is_helper(member),
            Round::Commitments => self.procedure.shares(),
            Round::Confirmation => true,
            Round::RepairPart | Round::RepairAnswer | Round::Package => false,
        };
        self.keyholders
            .iter()
            .filter(move |keyholder| sends(&keyholder.member))
            .map(|keyholder| (keyholder.identifier, &keyholder.member))
    }

    pub(super) fn identifiers(&self) -> impl Iterator<Item = u16> {
        self.keyholders.iter().map(|keyholder| keyholder.identifier)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &MemberId> {
        self.keyholders.iter().map(|keyholder| &keyholder.member)
    }

    pub(super) fn member_of(&self, identifier: u16) -> Option<&MemberId> {
        self.keyholders
            .iter()
            .find(|keyholder| keyholder.identifier == identifier)
            .map(|keyholder| &keyholder.member)
    }

    pub(super) fn identifier_of(&self, member: &MemberId) -> Option<u16> {
        self.keyholders
            .iter()
            .find(|keyholder| keyholder.member == *member)
            .map(|keyholder| keyholder.identifier)
    }

    /// Whether the party helps to make the target's share.
    #[must_use]
    pub fn is_helper(&self, member: &MemberId) -> bool {
        self.identifier_of(member)
            .is_some_and(|identifier| self.helpers.contains(&identifier))
    }

    /// The party for which a share is made.
    #[must_use]
    pub fn target_member(&self) -> Option<&MemberId> {
        self.member_of(self.target?)
    }

    fn check_epoch(&self, roster: &Roster) -> Result<(), CeremonyError> {
        let refused = |reason: String| CeremonyError::Epoch {
            epoch: self.epoch,
            reason,
        };
        let newest = roster.coalition_key.iter().map(|key| key.epoch).max();
        match newest {
            None if self.epoch == 0 => Err(refused("epochs count from 1".to_owned())),
            Some(newest) if u64::from(self.epoch) <= newest => Err(refused(format!(
                "roster {} states the key of epoch {newest} already",
                roster.version
            ))),
            Some(newest) if u64::from(self.epoch) != newest + 1 => Err(refused(format!(
                "the next after epoch {newest} is epoch {}",
                newest + 1
            ))),
            _ => Ok(()),
        }
    }

    fn check_keyholders(&self, roster: &TrustedRoster) -> Result<(), String> {
        for PlannedKeyholder { identifier, member } in &self.keyholders {
            let party = roster
                .active(member.as_str(), self.called.unix())
                .map_err(|refusal| refusal.to_string())?;
            match party.roles.keyholder {
                Some(role) if role.identifier == *identifier => {}
                Some(_) => return Err(format!("{} has another identifier", party.title())),
                None => return Err(format!("{} is no keyholder", party.title())),
            }
            if party.encryption_key.is_none() {
                return Err(format!("{} has no encryption key", party.title()));
            }
        }
        Ok(())
    }
}

pub(super) fn wrong(reason: String) -> CeremonyError {
    CeremonyError::Plan { reason }
}
