//! Who has done what.

use super::Ceremony;
use super::error::CeremonyError;
use super::folder;
use super::message::{Round, Slot};
use crate::roster::{CoalitionKey, MemberId};

/// How far one keyholder is in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The round.
    pub round: Round,
    /// How many of its messages are there and in form.
    pub done: usize,
    /// How many it sends.
    pub of: usize,
}

/// How one keyholder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The party.
    pub member: MemberId,
    /// How sentences name it.
    pub title: String,
    /// Its place in the secret sharing.
    pub identifier: u16,
    /// How far it is, in the rounds in which it sends anything.
    pub rounds: Vec<Progress>,
    /// What is wrong with its messages, in sentences.
    pub faults: Vec<String>,
}

impl Standing {
    /// How far it is in a round; nothing if it sends nothing there.
    #[must_use]
    pub fn progress(&self, round: Round) -> Option<&Progress> {
        self.rounds.iter().find(|progress| progress.round == round)
    }

    /// Whether its confirmation is there and in form.
    #[must_use]
    pub fn has_confirmed(&self) -> bool {
        self.progress(Round::Confirmation)
            .is_some_and(|progress| progress.done == progress.of)
    }
}

/// How the ceremony stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The keyholders, by identifier.
    pub keyholders: Vec<Standing>,
    /// The key, once everything was checked and nothing is missing or wrong.
    pub key: Option<CoalitionKey>,
    /// Whether the results have been written.
    pub finished: bool,
    /// What is wrong with the whole, in a sentence.
    pub fault: Option<String>,
}

impl Ceremony {
    /// Looks at all public files; what is wrong with one message hides nothing of the others.
    #[must_use]
    pub fn status(&self) -> Status {
        let keyholders: Vec<Standing> = self
            .plan
            .keyholders
            .iter()
            .map(|keyholder| self.standing(&keyholder.member, keyholder.identifier))
            .collect();
        let in_form = keyholders.iter().all(|standing| standing.faults.is_empty());
        let (key, fault) = match self.verify_all() {
            Ok(outcome) => (Some(outcome.key), None),
            Err(CeremonyError::Unfinished { .. }) => (None, None),
            Err(error) => (None, in_form.then(|| error.to_string())),
        };
        Status {
            finished: self.folder.has(folder::COALITION_KEY),
            keyholders,
            key,
            fault,
        }
    }

    fn standing(&self, member: &MemberId, identifier: u16) -> Standing {
        let mut faults = Vec::new();
        let mut is_there = |slot: &Slot| match self.message(slot) {
            Ok(message) => message.is_some(),
            Err(error) => {
                faults.push(error.to_string());
                false
            }
        };
        let mut rounds: Vec<Progress> = Vec::new();
        for slot in self.plan.slots_from(member) {
            let done = usize::from(is_there(&slot));
            match rounds.iter_mut().find(|known| known.round == slot.round) {
                Some(known) => {
                    known.done += done;
                    known.of += 1;
                }
                None => rounds.push(Progress {
                    round: slot.round,
                    done,
                    of: 1,
                }),
            }
        }
        Standing {
            member: member.clone(),
            title: self.title(member),
            identifier,
            rounds,
            faults,
        }
    }
}
