//! A keyholder's part, one step after another, as far as it can be done now.

use std::cmp::Ordering;

use super::error::CeremonyError;
use super::journal::Journal;
use super::message::Round;
use super::seat::Seat;
use super::{Ceremony, plan};
use crate::ambient::Ambient;
use crate::node::{Directory, Identity};
use crate::oprf::KeyShare;
use crate::roster::{Bytes32, Kind, Member, MemberId, RosterError, TrustedRoster};

/// How far clocks may differ, in seconds: a day, since offline machines are set by hand.
const CLOCK_SKEW: u64 = 86_400;

/// Something that one run did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// Put lost files of this party back into the folder.
    PutBack {
        /// The files.
        files: Vec<String>,
    },
    /// Published commitments to the parts of another's share.
    CommittedToRepair,
    /// Sent each of the other helpers its part.
    SentParts {
        /// How many.
        count: usize,
    },
    /// Checked the parts of the other helpers and sent their sum to the one whose share it is.
    Answered,
    /// Published commitments to a fresh secret polynomial.
    Committed,
    /// Sent each of the others its package.
    SentPackages {
        /// How many.
        count: usize,
    },
    /// Checked the packages of the others and sealed the share; the seed is destroyed.
    HoldsShare {
        /// The key epoch.
        epoch: u32,
    },
    /// Published the signed confirmation of the transcript.
    Confirmed {
        /// SHA-256 of the transcript.
        transcript: Bytes32,
    },
}

/// What one run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The round.
    pub round: Round,
    /// Whose messages are missing.
    pub members: Vec<MemberId>,
}

/// What one run did, and what the next one needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// What was done.
    pub did: Vec<Deed>,
    /// What is waited for; nothing when all keyholders have confirmed.
    pub waits_for: Option<Waiting>,
}

impl Ceremony {
    /// Does what the keyholder `me` can do now. To be run again and again; a run that was killed is
    /// taken up by the next.
    ///
    /// `told` is the ceremony's fingerprint as the operator was told it by another way than the
    /// folder. Without it the party takes no first step; later it need not be given again.
    ///
    /// `newest` is the newest roster that the party itself knows: it may forbid what an older one,
    /// in the folder, would allow.
    ///
    /// # Errors
    /// [`CeremonyError`] names whose message is at fault; nothing of it was acted on.
    pub fn join(
        &self,
        directory: &Directory,
        identity: &Identity,
        me: &MemberId,
        told: Option<&str>,
        newest: Option<&TrustedRoster>,
        ambient: &Ambient,
    ) -> Result<Joined, CeremonyError> {
        let identifier = self.seat_of(me, identity)?;
        if let Some(told) = told {
            self.check_fingerprint(told)?;
        }
        let mut journal = Journal::open(directory, &self.id)?;
        if journal.transcript().is_none() {
            self.check_time(ambient)?;
            newest.map_or(Ok(()), |newest| self.check_newest(newest))?;
        }
        if !journal.was_told() {
            told.ok_or(CeremonyError::NotTold)?;
            journal.set_told()?;
        }
        let share = self.held_share(directory, identity, identifier)?;
        let seat = Seat {
            ceremony: self,
            me,
            identifier,
            share,
            directory,
            identity,
            ambient,
        };
        seat.run(journal)
    }

    /// A plan's date decides which keys count, so it must be one that can be.
    fn check_time(&self, ambient: &Ambient) -> Result<(), CeremonyError> {
        let (roster, now) = (self.roster.roster(), ambient.now());
        if roster.expires.unix() <= now {
            return Err(CeremonyError::Roster(RosterError::Expired {
                version: roster.version,
                expires: roster.expires,
            }));
        }
        if self.plan.called.unix() > now.saturating_add(CLOCK_SKEW) {
            return Err(plan::wrong(format!(
                "it says that it was called on {}, which is to come; compare the clocks",
                self.plan.called
            )));
        }
        Ok(())
    }

    /// The share with which the party takes part, of the key as the roster states it. Who makes a
    /// new key, or gets its share here, needs none.
    fn held_share(
        &self,
        directory: &Directory,
        identity: &Identity,
        identifier: u16,
    ) -> Result<Option<KeyShare>, CeremonyError> {
        let Some(key) = &self.machines.key else {
            return Ok(None);
        };
        if self.plan.target == Some(identifier) {
            return Ok(None);
        }
        let shares = identity.shares(directory)?;
        let share = shares
            .into_iter()
            .map(|kept| kept.holding)
            .find(|held| held.epoch == key.epoch() && key.check_share(&held.share).is_ok());
        // A run after the end needs none: the roster may have moved on, and the share with it.
        Ok(share.map(|held| held.share))
    }

    /// The identifier of `me`, if it takes part and its directory holds the keys of the roster.
    fn seat_of(&self, me: &MemberId, identity: &Identity) -> Result<u16, CeremonyError> {
        let not_taking_part = || CeremonyError::NotTakingPart {
            member: self.title(me),
        };
        let identifier = self.plan.identifier_of(me).ok_or_else(not_taking_part)?;
        let party = self.party(me).ok_or_else(not_taking_part)?;
        let own = identity.public()?;
        let other = |what| CeremonyError::OwnKey {
            member: party.title(),
            what,
        };
        if party.encryption_key != Some(own.encryption_key) {
            return Err(other("encryption key"));
        }
        let signing = identity.signing.verifying_key();
        if !self.keys_of(party).any(|key| key == signing) {
            return Err(other("signing key"));
        }
        Ok(identifier)
    }

    /// What the party itself knows of the coalition must not speak against the ceremony; and the
    /// keys to which packages are sealed must be those of the newest roster.
    fn check_newest(&self, newest: &TrustedRoster) -> Result<(), CeremonyError> {
        match newest.place().cmp(&self.roster.place()) {
            Ordering::Less => return Ok(()),
            Ordering::Equal if newest.digest() == self.roster.digest() => return Ok(()),
            Ordering::Equal => {
                return Err(CeremonyError::Roster(RosterError::Equivocation {
                    kind: Kind::Roster,
                    version: newest.version(),
                    trusted: newest.digest(),
                    found: self.roster.digest(),
                }));
            }
            Ordering::Greater => self
                .plan
                .check_newer(newest, self.machines.stated.as_ref())?,
        }
        let key = |member: Option<&Member>| member.and_then(|member| member.encryption_key);
        let changed =
            |member: &&MemberId| key(newest.member(member.as_str())) != key(self.party(member));
        match self.plan.members().find(changed) {
            None => Ok(()),
            Some(member) => Err(CeremonyError::RosterChanged {
                reason: format!("{} has another encryption key", self.title(member)),
            }),
        }
    }

    pub(super) fn party(&self, member: &MemberId) -> Option<&Member> {
        self.roster.member(member.as_str())
    }
}
