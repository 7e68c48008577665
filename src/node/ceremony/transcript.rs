//! The transcript: what everybody said in public, and what follows from it.

use std::collections::BTreeMap;

use super::Ceremony;
use super::error::CeremonyError;
use super::folder;
use super::message::{Message, Round, Slot};
use crate::oprf;
use crate::oprf::ceremony::{PublicMessage, verify_transcript};
use crate::roster::{Bytes32, CoalitionKey, Keyholder, MemberId};

const FORMAT: &str = "wayhome/ceremony-transcript/v1";

/// The public messages of all keyholders, and the one text of them.
pub(super) struct Transcript {
    text: String,
    messages: BTreeMap<u16, PublicMessage>,
}

impl Transcript {
    /// From the commitments of all keyholders, by identifier.
    pub(super) fn new(ceremony: &Bytes32, commitments: BTreeMap<u16, Message>) -> Self {
        let mut text = format!("{{\"format\":\"{FORMAT}\",\"ceremony\":\"{ceremony}\"}}\n");
        let mut messages = BTreeMap::new();
        for (identifier, message) in commitments {
            text.push_str(&message.text);
            messages.insert(identifier, PublicMessage::new(message.body));
        }
        Self { text, messages }
    }

    /// SHA-256 of the text: what the keyholders confirm and the roster states.
    pub(super) fn digest(&self) -> Bytes32 {
        Bytes32::sha256(self.text.as_bytes())
    }

    /// What the key ceremony takes.
    pub(super) fn messages(&self) -> &BTreeMap<u16, PublicMessage> {
        &self.messages
    }
}

/// What a finished ceremony yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The key's public parts, as the roster states them.
    pub key: CoalitionKey,
    /// The transcript's text: a line that names the ceremony, then the commitments of each
    /// keyholder by identifier, each a signed envelope.
    pub transcript: String,
}

/// Reads the commitments of all keyholders from the folder.
fn gather(ceremony: &Ceremony) -> Result<Transcript, CeremonyError> {
    let mut messages = BTreeMap::new();
    let mut missing = Vec::new();
    for keyholder in &ceremony.plan.keyholders {
        let slot = Slot::to_all(Round::Commitments, &keyholder.member);
        match ceremony.message(&slot)? {
            Some(message) => {
                messages.insert(keyholder.identifier, message);
            }
            None => missing.push(ceremony.title(&keyholder.member)),
        }
    }
    complete(Round::Commitments, missing)?;
    Ok(Transcript::new(&ceremony.id, messages))
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
        let (key, _) = verify_transcript(&self.plan.dkg()?, &transcript.messages)
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

    /// Ends the ceremony: [`Ceremony::verify_all`], then writes `transcript.jsonl` and
    /// `coalition-key.json` and removes the packages, which nobody needs any more.
    ///
    /// # Errors
    /// As [`Ceremony::verify_all`], or if the folder holds another result.
    pub fn finish(&self) -> Result<Outcome, CeremonyError> {
        let outcome = self.verify_all()?;
        let results = [
            (folder::TRANSCRIPT, outcome.transcript.clone()),
            (folder::COALITION_KEY, outcome.key_text()),
        ];
        for (file, text) in results {
            match self.folder.read(file)? {
                Some(found) if found == text => {}
                Some(_) => {
                    return Err(CeremonyError::ResultDiffers {
                        file: file.to_owned(),
                    });
                }
                None => self.folder.publish(file, &text)?,
            }
        }
        self.folder.remove_round(Round::Package)?;
        Ok(outcome)
    }

    fn stated(&self, key: &oprf::CoalitionKey, transcript_sha256: Bytes32) -> CoalitionKey {
        let holder = |(identifier, share): (u16, oprf::PublicPoint)| {
            let member: &MemberId = self.plan.member_of(identifier)?;
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
