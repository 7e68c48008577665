//! One keyholder's steps in a ceremony, each taken up where it was left.

use std::collections::BTreeMap;

use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::Ceremony;
use super::error::CeremonyError;
use super::join::{Deed, Joined, Waiting};
use super::journal::{Journal, Part};
use super::mail::Secrets;
use super::message::{Round, Slot};
use super::plan::SharingPlan;
use super::transcript::Transcript;
use crate::ambient::Ambient;
use crate::exchange::Keyholding;
use crate::node::shares::{Origin, base_of};
use crate::node::{Directory, Identity};
use crate::oprf::ceremony::{Dkg, PublicMessage, Refresh, RepairHelper};
use crate::oprf::{self, KeyShare};
use crate::roster::{Bytes32, MemberId};

/// One keyholder at work.
pub(super) struct Seat<'a> {
    pub(super) ceremony: &'a Ceremony,
    pub(super) me: &'a MemberId,
    pub(super) identifier: u16,
    pub(super) share: Option<KeyShare>,
    pub(super) directory: &'a Directory,
    pub(super) identity: &'a Identity,
    pub(super) ambient: &'a Ambient,
}

/// Unwraps what a round made, or ends the run with what it waits for.
macro_rules! or_wait {
    ($gathered:expr, $did:expr) => {
        match $gathered? {
            Ok(gathered) => gathered,
            Err(waits_for) => return Ok(waiting($did, waits_for)),
        }
    };
}

impl Seat<'_> {
    pub(super) fn run(&self, mut journal: Journal) -> Result<Joined, CeremonyError> {
        let mut did = Vec::new();
        if journal.transcript().is_none() {
            self.put_back(&journal, &mut did)?;
            let helper = self.commit_to_repair(&mut journal, &mut did)?;
            let sharing = self.commit(&mut journal, &mut did)?;
            let repair_round = self.public_round(Round::RepairCommitments, &mut journal);
            let repair = or_wait!(repair_round, did);
            let round = self.public_round(Round::Commitments, &mut journal);
            let transcript = Transcript::new(&self.ceremony.id, repair, or_wait!(round, did));
            if let Some(sharing) = &sharing {
                self.send_packages(sharing, &transcript, &mut journal, &mut did)?;
            }
            if let Some(helper) = &helper {
                self.send_parts(helper, &mut journal, &mut did)?;
                let parts = or_wait!(self.secrets(Round::RepairPart, &mut journal), did);
                self.answer(helper, &transcript, &parts, &mut journal, &mut did)?;
            }
            let answers = or_wait!(self.secrets(Round::RepairAnswer, &mut journal), did);
            let packages = or_wait!(self.secrets(Round::Package, &mut journal), did);
            let share = self.own_share(&transcript, &answers)?;
            let made = self.made(sharing.as_ref(), &transcript, &packages, share)?;
            self.finish(made, &transcript, &mut journal, &mut did)?;
        }
        // A crash may have come between the share and this line.
        journal.destroy_seeds()?;
        self.close(&mut journal, did)
    }

    /// Draws the seed of the part in restoring another's share, or takes it up, and publishes the
    /// commitments.
    fn commit_to_repair(
        &self,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<Option<RepairHelper>, CeremonyError> {
        let Some(plan) = &self.ceremony.machines.repair else {
            return Ok(None);
        };
        if !self.ceremony.plan.is_helper(self.me) {
            return Ok(None);
        }
        let share = self.needed_share()?;
        let contents = |error| self.contents(error);
        let helper = if journal.has_seed(Part::Repair) {
            let seed = journal.load_seed(Part::Repair, self.identity)?;
            RepairHelper::from_bytes(plan.clone(), share, &seed).map_err(contents)?
        } else {
            self.refuse_second_beginning(Round::RepairCommitments, journal)?;
            let rng = &mut self.ambient.rng();
            let helper = RepairHelper::start(plan.clone(), share, rng).map_err(contents)?;
            journal.save_seed(
                Part::Repair,
                self.identity,
                &helper.to_bytes(),
                self.ambient,
            )?;
            helper
        };
        let slot = Slot::to_all(Round::RepairCommitments, self.me);
        if !journal.has_sent(&slot) {
            let body = helper.public_message().as_bytes();
            self.send(journal, &[(slot, body.to_vec())])?;
            did.push(Deed::CommittedToRepair);
        }
        Ok(Some(helper))
    }

    /// Draws the seed of the part in making or renewing shares, or takes it up, and publishes the
    /// commitments.
    fn commit(
        &self,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<Option<Sharing>, CeremonyError> {
        let Some(plan) = &self.ceremony.machines.sharing else {
            return Ok(None);
        };
        let contents = |error| self.contents(error);
        let sharing = if journal.has_seed(Part::Sharing) {
            let seed = journal.load_seed(Part::Sharing, self.identity)?;
            Sharing::from_bytes(plan, self.identifier, &seed).map_err(contents)?
        } else {
            self.refuse_second_beginning(Round::Commitments, journal)?;
            let rng = &mut self.ambient.rng();
            let sharing = Sharing::start(plan, self.identifier, rng).map_err(contents)?;
            journal.save_seed(
                Part::Sharing,
                self.identity,
                &sharing.to_bytes(),
                self.ambient,
            )?;
            sharing
        };
        let slot = Slot::to_all(Round::Commitments, self.me);
        if !journal.has_sent(&slot) {
            let body = sharing.public_message().as_bytes();
            self.send(journal, &[(slot, body.to_vec())])?;
            did.push(Deed::Committed);
        }
        Ok(Some(sharing))
    }

    /// A package for each of the others.
    fn send_packages(
        &self,
        sharing: &Sharing,
        transcript: &Transcript,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<(), CeremonyError> {
        if self.has_sent_round(Round::Package, journal) {
            return Ok(());
        }
        let secrets = sharing
            .secret_messages(transcript.sharing())
            .map_err(|error| self.contents(error))?;
        let count = self.send_secrets(Round::Package, &secrets, journal)?;
        did.push(Deed::SentPackages { count });
        Ok(())
    }

    /// A part for each of the other helpers.
    fn send_parts(
        &self,
        helper: &RepairHelper,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<(), CeremonyError> {
        if self.has_sent_round(Round::RepairPart, journal) {
            return Ok(());
        }
        let secrets = helper.secret_messages();
        let count = self.send_secrets(Round::RepairPart, &secrets, journal)?;
        did.push(Deed::SentParts { count });
        Ok(())
    }

    /// The sum of the parts, for the one whose share it is.
    fn answer(
        &self,
        helper: &RepairHelper,
        transcript: &Transcript,
        parts: &Secrets,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<(), CeremonyError> {
        let Some(target) = self.ceremony.plan.target else {
            return Ok(());
        };
        if self.has_sent_round(Round::RepairAnswer, journal) {
            return Ok(());
        }
        let answer = helper
            .answer(transcript.repair(), parts)
            .map_err(|error| self.contents(error))?;
        self.send_secrets(Round::RepairAnswer, &[(target, answer)].into(), journal)?;
        did.push(Deed::Answered);
        Ok(())
    }

    /// The share that this party has before shares are renewed: its own, or the one that the
    /// helpers made for it.
    fn own_share(
        &self,
        transcript: &Transcript,
        answers: &Secrets,
    ) -> Result<Option<KeyShare>, CeremonyError> {
        match &self.ceremony.machines.repair {
            Some(plan) if self.ceremony.plan.target == Some(self.identifier) => {
                oprf::ceremony::recover(plan, transcript.repair(), answers)
                    .map(|(share, _)| Some(share))
                    .map_err(|error| self.contents(error))
            }
            _ => Ok(self.share.clone()),
        }
    }

    /// The share that the ceremony makes for this party, with the public key it is of; nothing for
    /// who only helps.
    fn made(
        &self,
        sharing: Option<&Sharing>,
        transcript: &Transcript,
        packages: &Secrets,
        own: Option<KeyShare>,
    ) -> Result<Option<KeyShare>, CeremonyError> {
        let public = transcript.sharing();
        let contents = |error| self.contents(error);
        match sharing {
            Some(Sharing::Generate(dkg)) => dkg
                .finish(public, packages)
                .map(|(share, _)| Some(share))
                .map_err(contents),
            Some(Sharing::Refresh(refresh)) => {
                let own = own.ok_or_else(|| self.no_share())?;
                refresh
                    .finish(public, packages, &own)
                    .map(|(share, _)| Some(share))
                    .map_err(contents)
            }
            None if self.ceremony.plan.target == Some(self.identifier) => Ok(own),
            None => Ok(None),
        }
    }

    /// The end: stores the share, and signs the transcript.
    fn finish(
        &self,
        made: Option<KeyShare>,
        transcript: &Transcript,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<(), CeremonyError> {
        if let Some(share) = made {
            let key = self
                .ceremony
                .derive(transcript)
                .map_err(|error| self.contents(error))?;
            let plan = &self.ceremony.plan;
            let epoch = plan.epoch;
            let origin = Origin {
                public_key: Bytes32::new(*key.public().as_bytes()),
                base: self.ceremony.machines.stated.as_ref().map(base_of),
                roster_place: self.ceremony.roster.place(),
            };
            let holding = Keyholding { epoch, share };
            self.identity
                .save_share(self.directory, &holding, &origin, self.ambient)?;
            did.push(Deed::HoldsShare { epoch });
        }
        let transcript = transcript.digest();
        journal.set_transcript(transcript);
        let slot = Slot::to_all(Round::Confirmation, self.me);
        self.send(journal, &[(slot, transcript.as_bytes().to_vec())])?;
        did.push(Deed::Confirmed { transcript });
        Ok(())
    }

    fn needed_share(&self) -> Result<&KeyShare, CeremonyError> {
        self.share.as_ref().ok_or_else(|| self.no_share())
    }

    fn no_share(&self) -> CeremonyError {
        CeremonyError::NoShare {
            epoch: self.ceremony.plan.epoch,
        }
    }

    /// After the end: compares the others' confirmations, and forgets the packages when all have
    /// their shares.
    fn close(&self, journal: &mut Journal, mut did: Vec<Deed>) -> Result<Joined, CeremonyError> {
        let slots = self.others().map(|(identifier, other)| {
            let slot = Slot::to_all(Round::Confirmation, other);
            (identifier, slot)
        });
        let confirmations = match self.gather(Round::Confirmation, slots.collect(), journal)? {
            Ok(confirmations) => confirmations,
            Err(waits_for) => {
                self.put_back(journal, &mut did)?;
                return Ok(waiting(did, waits_for));
            }
        };
        let mine = journal.transcript();
        for (identifier, message) in confirmations {
            if mine.is_none_or(|mine| mine.as_bytes()[..] != message.body) {
                return Err(CeremonyError::OtherTranscript {
                    who: self.ceremony.title_of(identifier),
                });
            }
        }
        for slot in self.ceremony.plan.slots_from(self.me) {
            if Round::SECRET.contains(&slot.round) {
                journal.forget(&slot);
            }
        }
        journal.save()?;
        self.put_back(journal, &mut did)?;
        Ok(Joined {
            did,
            waits_for: None,
        })
    }

    fn contents(&self, error: crate::oprf::ceremony::CeremonyError) -> CeremonyError {
        CeremonyError::of_contents(error, |identifier| self.ceremony.title_of(identifier))
    }
}

fn waiting(did: Vec<Deed>, waits_for: Waiting) -> Joined {
    Joined {
        did,
        waits_for: Some(waits_for),
    }
}

/// A keyholder's part in making or renewing shares.
enum Sharing {
    Generate(Dkg),
    Refresh(Refresh),
}

type Made<T> = Result<T, oprf::ceremony::CeremonyError>;

impl Sharing {
    fn start(plan: &SharingPlan, me: u16, rng: &mut (impl RngCore + CryptoRng)) -> Made<Self> {
        match plan {
            SharingPlan::Generate(plan) => Dkg::start(plan.clone(), me, rng).map(Self::Generate),
            SharingPlan::Refresh(plan) => Refresh::start(plan.clone(), me, rng).map(Self::Refresh),
        }
    }

    fn from_bytes(plan: &SharingPlan, me: u16, bytes: &[u8]) -> Made<Self> {
        match plan {
            SharingPlan::Generate(plan) => {
                Dkg::from_bytes(plan.clone(), me, bytes).map(Self::Generate)
            }
            SharingPlan::Refresh(plan) => {
                Refresh::from_bytes(plan.clone(), me, bytes).map(Self::Refresh)
            }
        }
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Generate(dkg) => dkg.to_bytes(),
            Self::Refresh(refresh) => refresh.to_bytes(),
        }
    }

    fn public_message(&self) -> &PublicMessage {
        match self {
            Self::Generate(dkg) => dkg.public_message(),
            Self::Refresh(refresh) => refresh.public_message(),
        }
    }

    fn secret_messages(&self, public: &BTreeMap<u16, PublicMessage>) -> Made<Secrets> {
        match self {
            Self::Generate(dkg) => dkg.secret_messages(public),
            Self::Refresh(refresh) => refresh.secret_messages(public),
        }
    }
}
