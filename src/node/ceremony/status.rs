//! Who has done what.

use super::Ceremony;
use super::error::CeremonyError;
use super::folder;
use super::message::{Round, Slot};
use crate::roster::{CoalitionKey, MemberId};

/// How one keyholder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The party.
    pub member: MemberId,
    /// How sentences name it.
    pub title: String,
    /// Its place in the secret sharing.
    pub identifier: u16,
    /// Its commitments are there and in form.
    pub committed: bool,
    /// For how many of the others its package is there and in form.
    pub packages: usize,
    /// Its confirmation is there and in form.
    pub confirmed: bool,
    /// What is wrong with its messages, in sentences.
    pub faults: Vec<String>,
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
        let mut is_there = |slot: Slot| match self.message(&slot) {
            Ok(message) => message.is_some(),
            Err(error) => {
                faults.push(error.to_string());
                false
            }
        };
        let committed = is_there(Slot::to_all(Round::Commitments, member));
        let others = self.plan.members().filter(|other| *other != member);
        let packages = others
            .filter(|other| is_there(Slot::package(member, other)))
            .count();
        let confirmed = is_there(Slot::to_all(Round::Confirmation, member));
        Standing {
            member: member.clone(),
            title: self.title(member),
            identifier,
            committed,
            packages,
            confirmed,
            faults,
        }
    }
}
