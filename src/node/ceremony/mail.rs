//! How a keyholder reads and writes the folder: what it sends is recorded before it leaves, and what
//! it sees is held against what it saw before.

use std::collections::BTreeMap;

use super::error::CeremonyError;
use super::join::{Deed, Waiting};
use super::journal::Journal;
use super::message::{self, Message, Round, Slot};
use super::seat::Seat;
use super::{package, plan};
use crate::oprf::ceremony::SecretMessage;
use crate::roster::MemberId;

/// What a whole round makes, or whose messages it lacks.
pub(super) type Gathered<T> = Result<T, Waiting>;

/// Secret messages by the identifier of their sender, or of their recipient.
pub(super) type Secrets = BTreeMap<u16, SecretMessage>;

impl Seat<'_> {
    /// Puts back what was lost from the folder, and refuses what was put in its place.
    pub(super) fn put_back(
        &self,
        journal: &Journal,
        did: &mut Vec<Deed>,
    ) -> Result<(), CeremonyError> {
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

    /// A seed that is gone must not be replaced by another: the others may have seen the messages
    /// of the first. Looked at are all messages from round `first` on.
    pub(super) fn refuse_second_beginning(
        &self,
        first: Round,
        journal: &Journal,
    ) -> Result<(), CeremonyError> {
        let own = self.ceremony.plan.slots_from(self.me);
        for slot in own.into_iter().filter(|slot| slot.round >= first) {
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

    /// The messages to all in a round of commitments, this party's own among them.
    pub(super) fn public_round(
        &self,
        round: Round,
        journal: &mut Journal,
    ) -> Result<Gathered<BTreeMap<u16, Message>>, CeremonyError> {
        let slots = self.ceremony.plan.senders_to_all(round);
        let slots: Vec<(u16, Slot)> = slots
            .filter(|(_, sender)| *sender != self.me)
            .map(|(identifier, sender)| (identifier, Slot::to_all(round, sender)))
            .collect();
        let mut messages = match self.gather(round, slots, journal)? {
            Ok(messages) => messages,
            Err(waits_for) => return Ok(Err(waits_for)),
        };
        let own = Slot::to_all(round, self.me);
        if journal.has_sent(&own)
            && let Some(message) = self.ceremony.message(&own)?
        {
            if journal.sent().get(&own.file()) != Some(&message.text) {
                return Err(CeremonyError::OwnMessageReplaced { file: own.file() });
            }
            messages.insert(self.identifier, message);
        }
        Ok(Ok(messages))
    }

    pub(super) fn has_sent_round(&self, round: Round, journal: &Journal) -> bool {
        self.ceremony
            .plan
            .slots_from(self.me)
            .iter()
            .filter(|slot| slot.round == round)
            .all(|slot| journal.has_sent(slot))
    }

    /// Encrypts secrets to their recipients and sends them, all at once.
    pub(super) fn send_secrets(
        &self,
        round: Round,
        secrets: &Secrets,
        journal: &mut Journal,
    ) -> Result<usize, CeremonyError> {
        let mut sealed = Vec::new();
        for (identifier, secret) in secrets {
            let slot = self
                .ceremony
                .plan
                .member_of(*identifier)
                .map(|recipient| Slot::to_one(round, self.me, recipient));
            let package = slot.and_then(|slot| {
                let body = self.seal(&slot, secret)?;
                Some((slot, body))
            });
            sealed.push(package.ok_or_else(|| {
                plan::wrong(format!(
                    "nothing can be encrypted to {}: its encryption key is unusable",
                    self.ceremony.title_of(*identifier)
                ))
            })?);
        }
        let count = sealed.len();
        self.send(journal, &sealed)?;
        Ok(count)
    }

    fn seal(&self, slot: &Slot, secret: &SecretMessage) -> Option<Vec<u8>> {
        let recipient = self.ceremony.party(slot.recipient.as_ref()?)?;
        let key = recipient.encryption_key.as_ref()?;
        let rng = &mut self.ambient.rng();
        package::seal(&self.ceremony.id, slot, key, secret.as_bytes(), rng)
    }

    /// The messages to this party alone in a round, opened.
    pub(super) fn secrets(
        &self,
        round: Round,
        journal: &mut Journal,
    ) -> Result<Gathered<Secrets>, CeremonyError> {
        let plan = &self.ceremony.plan;
        let slots: Vec<(u16, Slot)> = plan
            .keyholders
            .iter()
            .flat_map(|sender| {
                let slots = plan.slots_from(&sender.member).into_iter();
                slots.map(|slot| (sender.identifier, slot))
            })
            .filter(|(_, slot)| slot.round == round && slot.recipient.as_ref() == Some(self.me))
            .collect();
        let senders = slots.clone();
        let messages = match self.gather(round, slots, journal)? {
            Ok(messages) => messages,
            Err(waits_for) => return Ok(Err(waits_for)),
        };
        let mut secrets = BTreeMap::new();
        for (identifier, slot) in senders {
            let Some(message) = messages.get(&identifier) else {
                continue;
            };
            let key = &self.identity.encryption;
            let opened = package::open(&self.ceremony.id, &slot, key, &message.body);
            let secret = opened.ok_or_else(|| CeremonyError::DoesNotOpen {
                who: self.ceremony.title(&slot.sender),
                file: slot.file(),
            })?;
            secrets.insert(identifier, SecretMessage::new(secret.to_vec()));
        }
        Ok(Ok(secrets))
    }

    /// Reads the messages of others in one round, holding each against what was seen before.
    pub(super) fn gather(
        &self,
        round: Round,
        slots: Vec<(u16, Slot)>,
        journal: &mut Journal,
    ) -> Result<Gathered<BTreeMap<u16, Message>>, CeremonyError> {
        let mut messages = BTreeMap::new();
        let mut missing = Vec::new();
        if slots.is_empty() {
            return Ok(Ok(messages));
        }
        for (identifier, slot) in slots {
            let Some(message) = self.ceremony.message(&slot)? else {
                missing.push(slot.sender);
                continue;
            };
            if !journal.see(&slot, message.digest()) {
                return Err(CeremonyError::Changed {
                    who: self.ceremony.title(&slot.sender),
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
    pub(super) fn send(
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

    pub(super) fn others(&self) -> impl Iterator<Item = (u16, &MemberId)> {
        self.ceremony
            .plan
            .keyholders
            .iter()
            .filter(|keyholder| keyholder.member != *self.me)
            .map(|keyholder| (keyholder.identifier, &keyholder.member))
    }
}
