//! The plan: which key is to be made, and by whom.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::CeremonyError;
use crate::ambient::Ambient;
use crate::oprf::ceremony::{CeremonyId, DkgPlan};
use crate::roster::{Bytes32, Member, MemberId, Roster, Timestamp, TrustedRoster};

const FORMAT: &str = "wayhome/ceremony-plan/v1";

/// What whoever calls a ceremony decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Number of the key epoch, from 1.
    pub epoch: u32,
    /// How many keyholders an evaluation will take (t).
    pub threshold: u16,
    /// Who takes part; all keyholders of the roster if `None`.
    pub keyholders: Option<Vec<MemberId>>,
}

/// The plan of a ceremony, as `plan.json` states it.
///
/// The SHA-256 of that file names the ceremony, and every message carries the name: whoever changes
/// anything in the plan has made another ceremony, to which no message fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    format: String,
    /// Name of the coalition.
    pub coalition: String,
    /// Number of the key epoch.
    pub epoch: u32,
    /// How many keyholders an evaluation will take (t).
    pub threshold: u16,
    /// Version of the roster that it rests on.
    pub roster_version: u32,
    /// SHA-256 of that roster's signed text.
    pub roster_sha256: Bytes32,
    /// When it was called. Keys of the roster count if they were valid then.
    pub called: Timestamp,
    /// Drawn at random, so that no two ceremonies have one name.
    pub nonce: Bytes32,
    /// Who takes part, by identifier.
    pub keyholders: Vec<PlannedKeyholder>,
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

impl Plan {
    /// Makes a plan from terms and the roster in force.
    pub(super) fn draw(
        terms: &Terms,
        roster: &TrustedRoster,
        ambient: &Ambient,
    ) -> Result<Self, CeremonyError> {
        let now = ambient.now();
        let chosen: Vec<&Member> = match &terms.keyholders {
            None => roster
                .roster()
                .members
                .iter()
                .filter(|member| member.roles.keyholder.is_some() && !member.is_suspended(now))
                .collect(),
            Some(ids) => ids
                .iter()
                .map(|id| {
                    roster
                        .member(id.as_str())
                        .ok_or_else(|| wrong(format!("the roster has no party {id}")))
                })
                .collect::<Result<_, _>>()?,
        };
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
        let plan = Self {
            format: FORMAT.to_owned(),
            coalition: roster.roster().coalition.clone(),
            epoch: terms.epoch,
            threshold: terms.threshold,
            roster_version: roster.version(),
            roster_sha256: roster.digest(),
            called: Timestamp::from_unix(now),
            nonce: Bytes32::new(ambient.random()),
            keyholders,
        };
        plan.check(roster)?;
        Ok(plan)
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

    /// Whether the plan fits the roster that it names.
    pub(super) fn check(&self, roster: &TrustedRoster) -> Result<(), CeremonyError> {
        if self.roster_sha256 != roster.digest() || self.roster_version != roster.version() {
            return Err(CeremonyError::OtherRoster);
        }
        if self.coalition != roster.roster().coalition {
            return Err(wrong(format!(
                "it is of the coalition {:?}",
                self.coalition
            )));
        }
        self.check_epoch(roster.roster())?;
        self.check_keyholders(roster).map_err(wrong)?;
        self.dkg().map(|_| ())
    }

    /// Whether a newer roster than the plan's still allows the ceremony.
    pub(super) fn check_newer(&self, roster: &TrustedRoster) -> Result<(), CeremonyError> {
        self.check_epoch(roster.roster())?;
        self.check_keyholders(roster)
            .map_err(|reason| CeremonyError::RosterChanged { reason })
    }

    /// The plan as the key ceremony takes it.
    pub(super) fn dkg(&self) -> Result<DkgPlan, CeremonyError> {
        let id = CeremonyId::new(*self.id().as_bytes());
        let participants: BTreeSet<u16> = self.identifiers().collect();
        if participants.len() != self.keyholders.len() {
            return Err(wrong("two keyholders share an identifier".to_owned()));
        }
        DkgPlan::new(id, self.epoch, self.threshold, participants).map_err(CeremonyError::Refused)
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

fn wrong(reason: String) -> CeremonyError {
    CeremonyError::Plan { reason }
}
