//! A keyholder's part, one step after another, as far as it can be done now.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Ceremony;
use super::error::CeremonyError;
use super::journal::Journal;
use super::message::{self, Message, Round, Slot};
use super::package;
use super::transcript::Transcript;
use crate::ambient::Ambient;
use crate::exchange::Keyholding;
use crate::node::{Directory, Identity, Origin};
use crate::oprf::ceremony::{Dkg, DkgPlan, SecretMessage};
use crate::roster::{Bytes32, Kind, Member, MemberId, RosterError, TrustedRoster};

/// Something that one run did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// Put lost files of this party back into the folder.
    PutBack {
        /// The files.
        files: Vec<String>,
    },
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
        newest: Option<&TrustedRoster>,
        ambient: &Ambient,
    ) -> Result<Joined, CeremonyError> {
        let journal = Journal::open(directory, &self.id)?;
        let seat = Seat {
            ceremony: self,
            plan: self.plan.dkg()?,
            me,
            identifier: self.seat_of(me, identity)?,
            directory,
            identity,
            ambient,
        };
        if journal.transcript().is_none() {
            let roster = self.roster.roster();
            if roster.expires.unix() <= ambient.now() {
                return Err(CeremonyError::Roster(RosterError::Expired {
                    version: roster.version,
                    expires: roster.expires,
                }));
            }
            newest.map_or(Ok(()), |newest| self.check_newest(newest))?;
        }
        seat.run(journal)
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
        match newest.version().cmp(&self.roster.version()) {
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
            Ordering::Greater => self.plan.check_newer(newest)?,
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

    fn party(&self, member: &MemberId) -> Option<&Member> {
        self.roster.member(member.as_str())
    }
}

/// One keyholder at work.
struct Seat<'a> {
    ceremony: &'a Ceremony,
    plan: DkgPlan,
    me: &'a MemberId,
    identifier: u16,
    directory: &'a Directory,
    identity: &'a Identity,
    ambient: &'a Ambient,
}

/// What a whole round makes, or whose messages it lacks.
type Gathered<T> = Result<T, Waiting>;

impl Seat<'_> {
    fn run(&self, mut journal: Journal) -> Result<Joined, CeremonyError> {
        let mut did = Vec::new();
        if journal.transcript().is_none() {
            self.put_back(&journal, &mut did)?;
            let dkg = self.commit(&mut journal, &mut did)?;
            let transcript = match self.commitments(&mut journal)? {
                Ok(transcript) => transcript,
                Err(waits_for) => return Ok(waiting(did, waits_for)),
            };
            self.send_packages(&dkg, &transcript, &mut journal, &mut did)?;
            let packages = match self.packages(&mut journal)? {
                Ok(packages) => packages,
                Err(waits_for) => return Ok(waiting(did, waits_for)),
            };
            self.finish(&dkg, &transcript, &packages, &mut journal, &mut did)?;
        }
        // A crash may have come between the share and this line.
        journal.destroy_seed()?;
        self.close(&mut journal, did)
    }

    /// Puts back what was lost from the folder, and refuses what was put in its place.
    fn put_back(&self, journal: &Journal, did: &mut Vec<Deed>) -> Result<(), CeremonyError> {
        let folder = &self.ceremony.folder;
        let mut files = Vec::new();
        for (file, text) in journal.sent() {
            match folder.read(file)? {
                Some(found) if found == *text => {}
                Some(_) => return Err(CeremonyError::OwnMessageReplaced { file: file.clone() }),
                None => {
                    folder.publish(file, text)?;
                    files.push(file.clone());
                }
            }
        }
        if !files.is_empty() {
            did.push(Deed::PutBack { files });
        }
        Ok(())
    }

    /// Round 1: draws the seed, or takes it up, and publishes the commitments.
    fn commit(&self, journal: &mut Journal, did: &mut Vec<Deed>) -> Result<Dkg, CeremonyError> {
        let slot = Slot::to_all(Round::Commitments, self.me);
        let dkg = if journal.has_seed() {
            let seed = journal.load_seed(self.identity)?;
            Dkg::from_bytes(self.plan.clone(), self.identifier, &seed)
                .map_err(|error| self.contents(error))?
        } else {
            self.refuse_second_beginning(journal)?;
            let rng = &mut self.ambient.rng();
            let dkg = Dkg::start(self.plan.clone(), self.identifier, rng)
                .map_err(|error| self.contents(error))?;
            journal.save_seed(self.identity, &dkg.to_bytes(), self.ambient)?;
            dkg
        };
        if !journal.has_sent(&slot) {
            let body = dkg.public_message().as_bytes();
            self.send(journal, &[(slot, body.to_vec())])?;
            did.push(Deed::Committed);
        }
        Ok(dkg)
    }

    /// A seed that is gone must not be replaced by another: the others may have seen the messages
    /// of the first.
    fn refuse_second_beginning(&self, journal: &Journal) -> Result<(), CeremonyError> {
        let slot = Slot::to_all(Round::Commitments, self.me);
        let own = std::iter::once(slot).chain(self.others().flat_map(|(_, other)| {
            let package = Slot::package(self.me, other);
            [package, Slot::to_all(Round::Confirmation, self.me)]
        }));
        for slot in own {
            let file = slot.file();
            if journal.has_sent(&slot) {
                return Err(CeremonyError::StateLost { file });
            }
            match self.ceremony.message(&slot) {
                Ok(None) => {}
                Ok(Some(_)) => return Err(CeremonyError::StateLost { file }),
                Err(_) => return Err(CeremonyError::OwnMessageReplaced { file }),
            }
        }
        Ok(())
    }

    fn commitments(&self, journal: &mut Journal) -> Result<Gathered<Transcript>, CeremonyError> {
        let slot = |sender: &MemberId| Slot::to_all(Round::Commitments, sender);
        let mut messages = match self.gather(Round::Commitments, slot, journal)? {
            Ok(messages) => messages,
            Err(waits_for) => return Ok(Err(waits_for)),
        };
        let own = slot(self.me);
        if let Some(message) = self.ceremony.message(&own)? {
            if journal.sent().get(&own.file()) != Some(&message.text) {
                return Err(CeremonyError::OwnMessageReplaced { file: own.file() });
            }
            messages.insert(self.identifier, message);
        }
        Ok(Ok(Transcript::new(&self.ceremony.id, messages)))
    }

    /// Round 2: a package for each of the others.
    fn send_packages(
        &self,
        dkg: &Dkg,
        transcript: &Transcript,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<(), CeremonyError> {
        let slots: Vec<(u16, Slot)> = self
            .others()
            .map(|(identifier, other)| (identifier, Slot::package(self.me, other)))
            .collect();
        if slots.iter().all(|(_, slot)| journal.has_sent(slot)) {
            return Ok(());
        }
        let secrets = dkg
            .secret_messages(transcript.messages())
            .map_err(|error| self.contents(error))?;
        let mut sealed = Vec::new();
        for (identifier, slot) in slots {
            // All are sent at once or none, so there is none to leave out here.
            let package = secrets
                .get(&identifier)
                .and_then(|secret| self.seal(&slot, secret))
                .ok_or_else(|| CeremonyError::Plan {
                    reason: format!(
                        "nothing can be encrypted to {}: its encryption key is unusable",
                        self.ceremony.title_of(identifier)
                    ),
                })?;
            sealed.push((slot, package));
        }
        let count = sealed.len();
        self.send(journal, &sealed)?;
        did.push(Deed::SentPackages { count });
        Ok(())
    }

    fn seal(&self, slot: &Slot, secret: &SecretMessage) -> Option<Vec<u8>> {
        let recipient = self.ceremony.party(slot.recipient.as_ref()?)?;
        let key = recipient.encryption_key.as_ref()?;
        let rng = &mut self.ambient.rng();
        package::seal(&self.ceremony.id, slot, key, secret.as_bytes(), rng)
    }

    fn packages(
        &self,
        journal: &mut Journal,
    ) -> Result<Gathered<BTreeMap<u16, SecretMessage>>, CeremonyError> {
        let slot = |sender: &MemberId| Slot::package(sender, self.me);
        let messages = match self.gather(Round::Package, slot, journal)? {
            Ok(messages) => messages,
            Err(waits_for) => return Ok(Err(waits_for)),
        };
        let mut packages = BTreeMap::new();
        for (identifier, sender) in self.others() {
            let Some(message) = messages.get(&identifier) else {
                continue;
            };
            let slot = slot(sender);
            let key = &self.identity.encryption;
            let opened = package::open(&self.ceremony.id, &slot, key, &message.body);
            let secret = opened.ok_or_else(|| CeremonyError::DoesNotOpen {
                who: self.ceremony.title(sender),
                file: slot.file(),
            })?;
            packages.insert(identifier, SecretMessage::new(secret.to_vec()));
        }
        Ok(Ok(packages))
    }

    /// The end: checks everything, stores the share, and signs the transcript.
    fn finish(
        &self,
        dkg: &Dkg,
        transcript: &Transcript,
        packages: &BTreeMap<u16, SecretMessage>,
        journal: &mut Journal,
        did: &mut Vec<Deed>,
    ) -> Result<(), CeremonyError> {
        let (share, key) = dkg
            .finish(transcript.messages(), packages)
            .map_err(|error| self.contents(error))?;
        let epoch = self.ceremony.plan.epoch;
        let holding = Keyholding { epoch, share };
        let origin = Origin {
            public_key: Bytes32::new(*key.public().as_bytes()),
            base: None,
            roster_version: self.ceremony.plan.roster_version,
        };
        self.identity
            .save_share(self.directory, &holding, &origin, self.ambient)?;
        did.push(Deed::HoldsShare { epoch });

        let transcript = transcript.digest();
        journal.set_transcript(transcript);
        let slot = Slot::to_all(Round::Confirmation, self.me);
        self.send(journal, &[(slot, transcript.as_bytes().to_vec())])?;
        did.push(Deed::Confirmed { transcript });
        Ok(())
    }

    /// After the end: compares the others' confirmations, and forgets the packages when all have
    /// their shares.
    fn close(&self, journal: &mut Journal, mut did: Vec<Deed>) -> Result<Joined, CeremonyError> {
        let slot = |sender: &MemberId| Slot::to_all(Round::Confirmation, sender);
        let confirmations = match self.gather(Round::Confirmation, slot, journal)? {
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
        for (_, other) in self.others() {
            journal.forget(&Slot::package(self.me, other));
        }
        journal.save()?;
        self.put_back(journal, &mut did)?;
        Ok(Joined {
            did,
            waits_for: None,
        })
    }

    /// Reads the messages of all others in one round, holding each against what was seen before.
    fn gather(
        &self,
        round: Round,
        slot: impl Fn(&MemberId) -> Slot,
        journal: &mut Journal,
    ) -> Result<Gathered<BTreeMap<u16, Message>>, CeremonyError> {
        let mut messages = BTreeMap::new();
        let mut missing = Vec::new();
        for (identifier, sender) in self.others() {
            let slot = slot(sender);
            let Some(message) = self.ceremony.message(&slot)? else {
                missing.push(sender.clone());
                continue;
            };
            if !journal.see(&slot, message.digest()) {
                return Err(CeremonyError::Changed {
                    who: self.ceremony.title(sender),
                    file: slot.file(),
                });
            }
            messages.insert(identifier, message);
        }
        // Remembered before anything is done with them.
        journal.save()?;
        Ok(if missing.is_empty() {
            Ok(messages)
        } else {
            Err(Waiting {
                round,
                members: missing,
            })
        })
    }

    /// Signs messages, records them, and publishes them once the record is durable.
    fn send(
        &self,
        journal: &mut Journal,
        messages: &[(Slot, Vec<u8>)],
    ) -> Result<(), CeremonyError> {
        let folder = &self.ceremony.folder;
        let mut texts = Vec::new();
        for (slot, body) in messages {
            let file = slot.file();
            let text = message::write(&self.ceremony.id, slot, body, &self.identity.signing)?;
            if folder.has(&file) {
                return Err(CeremonyError::OwnMessageReplaced { file });
            }
            journal.send(slot, text.clone());
            texts.push((file, text));
        }
        journal.save()?;
        texts
            .iter()
            .try_for_each(|(file, text)| folder.publish(file, text))
    }

    fn others(&self) -> impl Iterator<Item = (u16, &MemberId)> {
        self.ceremony
            .plan
            .keyholders
            .iter()
            .filter(|keyholder| keyholder.member != *self.me)
            .map(|keyholder| (keyholder.identifier, &keyholder.member))
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
