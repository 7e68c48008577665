//! The messages of a ceremony: signed envelopes, each in the one file that is its place.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Ceremony;
use super::error::CeremonyError;
use crate::envelope::{Envelope, SigningKey, VerifyingKey, dsse};
use crate::roster::{Bytes32, Member, MemberId};

const TYPE: &str = "application/vnd.wayhome.ceremony.v1+json";

/// A round of the ceremony. Which of them a ceremony has is its procedure's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// Commitments to the parts of a share that is restored, for all to see.
    RepairCommitments,
    /// The parts, one package from each helper to each other helper.
    RepairPart,
    /// The sums of the parts, one package from each helper to the keyholder whose share it is.
    RepairAnswer,
    /// Commitments to a secret polynomial, for all to see.
    Commitments,
    /// Values of the polynomial, one package for each recipient.
    Package,
    /// The keyholder has what it needs and checked it.
    Confirmation,
}

impl Round {
    /// All rounds, in order.
    pub const ALL: [Self; 6] = [
        Self::RepairCommitments,
        Self::RepairPart,
        Self::RepairAnswer,
        Self::Commitments,
        Self::Package,
        Self::Confirmation,
    ];

    /// Those whose messages are encrypted: of no use once the ceremony is over.
    pub(super) const SECRET: [Self; 3] = [Self::RepairPart, Self::RepairAnswer, Self::Package];

    /// Whether its messages are encrypted.
    #[must_use]
    pub fn is_secret(self) -> bool {
        Self::SECRET.contains(&self)
    }

    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::RepairCommitments => "repair-1",
            Self::RepairPart => "repair-2",
            Self::RepairAnswer => "repair-3",
            Self::Commitments => "round-1",
            Self::Package => "round-2",
            Self::Confirmation => "confirmations",
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RepairCommitments => "repair, round 1 (commitments)",
            Self::RepairPart => "repair, round 2 (parts)",
            Self::RepairAnswer => "repair, round 3 (sums)",
            Self::Commitments => "round 1 (commitments)",
            Self::Package => "round 2 (packages)",
            Self::Confirmation => "the confirmations",
        })
    }
}

/// The place of one message: every message has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The round.
    pub round: Round,
    /// Who sends it.
    pub sender: MemberId,
    /// For whom it is, if not for all.
    pub recipient: Option<MemberId>,
}

impl Slot {
    pub(super) fn to_all(round: Round, sender: &MemberId) -> Self {
        Self {
            round,
            sender: sender.clone(),
            recipient: None,
        }
    }

    pub(super) fn to_one(round: Round, sender: &MemberId, recipient: &MemberId) -> Self {
        Self {
            round,
            sender: sender.clone(),
            recipient: Some(recipient.clone()),
        }
    }

    #[cfg(test)]
    pub(super) fn package(sender: &MemberId, recipient: &MemberId) -> Self {
        Self::to_one(Round::Package, sender, recipient)
    }

    /// The file in the ceremony's folder.
    #[must_use]
    pub fn file(&self) -> String {
        let (folder, sender) = (self.round.folder(), &self.sender);
        match &self.recipient {
            None => format!("{folder}/{sender}.json"),
            Some(recipient) => format!("{folder}/{sender}-to-{recipient}.json"),
        }
    }
}

/// What a message says; the envelope signs it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    ceremony: Bytes32,
    round: Round,
    sender: MemberId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<MemberId>,
    /// Hexadecimal.
    body: String,
}

/// A message whose signature and place were checked.
pub(super) struct Message {
    /// The file, to the byte.
    pub(super) text: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Names the very file.
    pub(super) fn digest(&self) -> Bytes32 {
        Bytes32::sha256(self.text.as_bytes())
    }
}

/// The text of a message's file.
pub(super) fn write(
    ceremony: &Bytes32,
    slot: &Slot,
    body: &[u8],
    key: &SigningKey,
) -> Result<String, CeremonyError> {
    let payload = Payload {
        ceremony: *ceremony,
        round: slot.round,
        sender: slot.sender.clone(),
        recipient: slot.recipient.clone(),
        body: hex::encode(body),
    };
    // Texts alone: nothing here can fail to serialise.
    let payload = serde_json::to_vec(&payload).unwrap_or_default();
    Ok(format!(
        "{}\n",
        Envelope::sign(TYPE, payload, key)?.to_json()
    ))
}

impl Ceremony {
    /// Reads the message in a place, if it is there, and checks that it belongs there.
    pub(super) fn message(&self, slot: &Slot) -> Result<Option<Message>, CeremonyError> {
        let Some(text) = self.folder.read(&slot.file())? else {
            return Ok(None);
        };
        self.check_message(slot, text).map(Some)
    }

    pub(super) fn check_message(
        &self,
        slot: &Slot,
        text: String,
    ) -> Result<Message, CeremonyError> {
        let (who, file) = (self.title(&slot.sender), slot.file());
        let malformed = |reason: String| CeremonyError::Malformed {
            who: who.clone(),
            file: file.clone(),
            reason,
        };
        let envelope =
            Envelope::from_json(text.as_bytes()).map_err(|error| malformed(error.to_string()))?;
        // One text of each message, so that the transcript is the same for all.
        if format!("{}\n", envelope.to_json()) != text {
            return Err(malformed("it departs from its fixed form".to_owned()));
        }
        if envelope.unverified_parts().signatures.len() != 1 {
            return Err(malformed("it has more than one signature".to_owned()));
        }
        let verified = match self.verify(&envelope, &slot.sender) {
            Some(verified) => verified,
            None => match self.signer(&envelope) {
                Some(found) => return Err(CeremonyError::WrongSender { who, file, found }),
                None => return Err(CeremonyError::NotSigned { who, file }),
            },
        };
        let payload: Payload = serde_json::from_slice(verified.payload())
            .map_err(|error| malformed(error.to_string()))?;
        if payload.ceremony != self.id {
            return Err(CeremonyError::WrongCeremony { who, file });
        }
        if payload.round != slot.round {
            return Err(CeremonyError::WrongRound {
                who,
                file,
                expected: slot.round,
                found: payload.round,
            });
        }
        if payload.sender != slot.sender {
            return Err(CeremonyError::WrongSender {
                who,
                file,
                found: self.title(&payload.sender),
            });
        }
        if payload.recipient != slot.recipient {
            return Err(CeremonyError::WrongRecipient { who, file });
        }
        let body = hex::decode(&payload.body).map_err(|error| malformed(error.to_string()))?;
        Ok(Message { text, body })
    }

    /// The keyholder that signed an envelope, for naming it.
    fn signer(&self, envelope: &Envelope) -> Option<String> {
        self.plan
            .members()
            .find(|member| self.verify(envelope, member).is_some())
            .map(|member| self.title(member))
    }

    fn verify(&self, envelope: &Envelope, sender: &MemberId) -> Option<dsse::Verified> {
        let party = self.roster.member(sender.as_str())?;
        let key = |id: &_| self.keys_of(party).find(|key| key.id() == *id);
        dsse::verify(envelope, TYPE, key).ok()
    }

    /// The keys whose signatures count: those valid when the ceremony was called, so that the
    /// transcript verifies for ever.
    pub(super) fn keys_of<'a>(&self, party: &'a Member) -> impl Iterator<Item = VerifyingKey> + 'a {
        let called = self.plan.called.unix();
        party
            .signing_keys
            .iter()
            .filter(move |key| key.is_valid(called))
            .filter_map(|key| VerifyingKey::from_bytes(key.public_key.as_bytes()).ok())
    }
}
