//! The transcript: what everybody said in public, and what follows from it.

use std::collections::BTreeMap;

use super::Ceremony;
use super::error::CeremonyError;
use super::folder;
use super::message::{Message, Round, Slot};
use super::plan::SharingPlan;
use crate::oprf;
use crate::oprf::ceremony::{PublicMessage, verify_refresh, verify_repair, verify_transcript};
use crate::roster::{Bytes32, CoalitionKey, Keyholder, MemberId};

const FORMAT: &str = "wayhome/ceremony-transcript/v1";

/// The public messages of all who take part, and the one text of them.
pub(super) struct Transcript {
    text: String,
    repair: BTreeMap<u16, PublicMessage>,
    sharing: BTreeMap<u16, PublicMessage>,
}

impl Transcript {
    /// From the commitments of the helpers and those of all, each by identifier.
    pub(super) fn new(
        ceremony: &Bytes32,
        repair: BTreeMap<u16, Message>,
        sharing: BTreeMap<u16, Message>,
    ) -> Self {
        let mut text = format!("{{\"format\":\"{FORMAT}\",\"ceremony\":\"{ceremony}\"}}\n");
        let mut public = |messages: BTreeMap<u16, Message>| {
            messages
                .into_iter()
                .map(|(identifier, message)| {
                    text.push_str(&message.text);
                    (identifier, PublicMessage::new(message.body))
                })
                .collect()
        };
        let (repair, sharing) = (public(repair), public(sharing));
        Self {
            text,
            repair,
            sharing,
        }
    }

    /// SHA-256 of the text: what the keyholders confirm and the roster states.
    pub(super) fn digest(&self) -> Bytes32 {
        Bytes32::sha256(self.text.as_bytes())
    }

    /// What those say who restore a share.
    pub(super) fn repair(&self) -> &BTreeMap<u16, PublicMessage> {
        &self.repair
    }

    /// What those say who make or renew shares.
    pub(super) fn sharing(&self) -> &BTreeMap<u16, PublicMessage> {
        &self.sharing
    }
}

/// What a finished ceremony yields: of a repair, the key with the restored share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The key's public parts, as the roster states them.
    pub key: CoalitionKey,
    /// The transcript's text: a line that names the ceremony, then the commitments of each helper
    /// and of each keyholder by identifier, each a signed envelope.
    pub transcript: String,
}

/// Reads the commitments of all who take part from the folder.
fn gather(ceremony: &Ceremony) -> Result<Transcript, CeremonyError> {
    let repair = gather_round(ceremony, Round::RepairCommitments)?;
    let sharing = gather_round(ceremony, Round::Commitments)?;
    Ok(Transcript::new(&ceremony.id, repair, sharing))
}

fn gather_round(
    ceremony: &Ceremony,
    round: Round,
) -> Result<BTreeMap<u16, Message>, CeremonyError> {
    let mut messages = BTreeMap::new();
    let mut missing = Vec::new();
    for (identifier, member) in ceremony.plan.senders_to_all(round) {
        match ceremony.message(&Slot::to_all(round, member))? {
            Some(message) => {
                messages.insert(identifier, message);
            }
            None => missing.push(ceremony.title(member)),
        }
    }
    complete(round, missing)?;
    Ok(messages)
}

impl Ceremony {
    /// Checks the whole ceremony from public files: every commitment, every confirmation, and that
    /// they belong together.
    ///
    /// # Errors
    /// [`CeremonyError::Unfinished`] while something is missing; otherwise whose message is at
    /// fault.
    pub fn verify_all(&self) -> Result<Outcome, CeremonyError> {
        let transcript = gather(self)?;
        let key = self
            .derive(&transcript)
            .map_err(|error| CeremonyError::of_contents(error, |id| self.title_of(id)))?;
        let digest = transcript.digest();
        let mut missing = Vec::new();
        for member in self.plan.members() {
            let slot = Slot::to_all(Round::Confirmation, member);
            match self.message(&slot)? {
                None => missing.push(self.title(member)),
                Some(confirmation) if confirmation.body == digest.as_bytes() => {}
                Some(_) => {
                    return Err(CeremonyError::OtherTranscript {
                        who: self.title(member),
                    });
                }
            }
        }
        complete(Round::Confirmation, missing)?;
        Ok(Outcome {
            key: self.stated(&key, digest),
            transcript: transcript.text,
        })
    }

    /// The key that follows from public messages, after every one was checked.
    pub(super) fn derive(
        &self,
        transcript: &Transcript,
    ) -> Result<oprf::CoalitionKey, oprf::ceremony::CeremonyError> {
        if let Some(plan) = &self.machines.repair {
            verify_repair(plan, &transcript.repair)?;
        }
        match (&self.machines.sharing, &self.machines.repair) {
            (Some(SharingPlan::Generate(plan)), _) => {
                verify_transcript(plan, &transcript.sharing).map(|(key, _)| key)
            }
            (Some(SharingPlan::Refresh(plan)), _) => {
                verify_refresh(plan, &transcript.sharing).map(|(key, _)| key)
            }
            (None, Some(plan)) => Ok(plan.outcome().clone()),
            // A plan that was checked has one part at least.
            (None, None) => Err(oprf::ceremony::CeremonyError::State),
        }
    }

    /// Holds the results that lie in the folder against the ceremony, for who checks it later.
    ///
    /// # Errors
    /// As [`Ceremony::verify_all`], or if the folder holds another result than it makes.
    pub fn verify_results(&self) -> Result<Outcome, CeremonyError> {
        let outcome = self.verify_all()?;
        for (file, text) in outcome.files() {
            if self.folder.read(file)?.is_some_and(|found| found != text) {
                return Err(CeremonyError::ResultDiffers {
                    file: file.to_owned(),
                });
            }
        }
        Ok(outcome)
    }

    /// Ends the ceremony: [`Ceremony::verify_all`], then writes `transcript.jsonl` and
    /// `coalition-key.json` and removes the packages, which nobody needs any more.
    ///
    /// # Errors
    /// As [`Ceremony::verify_all`], or if the folder holds another result.
    pub fn finish(&self) -> Result<Outcome, CeremonyError> {
        let outcome = self.verify_results()?;
        for (file, text) in outcome.files() {
            if !self.folder.has(file) {
                self.folder.publish(file, &text)?;
            }
        }
        for round in Round::SECRET {
            self.folder.remove_round(round)?;
        }
        Ok(outcome)
    }

    fn stated(&self, key: &oprf::CoalitionKey, transcript_sha256: Bytes32) -> CoalitionKey {
        let before = |identifier: u16| {
            let holders = self.machines.stated.iter().flat_map(|key| &key.keyholders);
            let mut of_it = holders.filter(move |holder| holder.identifier == identifier);
            of_it.next().map(|holder| &holder.member)
        };
        let holder = |(identifier, share): (u16, oprf::PublicPoint)| {
            // Of those who take no part in a repair, the roster says who they are.
            let member: &MemberId = self
                .plan
                .member_of(identifier)
                .or_else(|| before(identifier))?;
            Some(Keyholder {
                member: member.clone(),
                identifier,
                verifying_share: Bytes32::new(*share.as_bytes()),
            })
        };
        CoalitionKey {
            epoch: u64::from(key.epoch()),
            threshold: key.threshold(),
            public_key: Bytes32::new(*key.public().as_bytes()),
            keyholders: key.verifying_shares().filter_map(holder).collect(),
            transcript_sha256,
        }
    }
}

impl Outcome {
    fn files(&self) -> [(&'static str, String); 2] {
        [
            (folder::TRANSCRIPT, self.transcript.clone()),
            (folder::COALITION_KEY, self.key_text()),
        ]
    }

    /// The text of `coalition-key.json`.
    #[must_use]
    pub fn key_text(&self) -> String {
        // Texts and numbers alone: nothing here can fail to serialise.
        format!(
            "{}\n",
            serde_json::to_string_pretty(&self.key).unwrap_or_default()
        )
    }
}

fn complete(round: Round, missing: Vec<String>) -> Result<(), CeremonyError> {
    if missing.is_empty() {
        Ok(())
    } else {
        Err(CeremonyError::Unfinished { round, missing })
    }
}
