//! A ceremony's files on their way between nodes: what is given to whom, and what of it is taken.
//!
//! The network is one more keeper of a folder. Each node has a folder of its own, gives from it what
//! the caller may see, and takes into it only what would hold in any folder: a plan with the
//! fingerprint that the operator was told, the roster that the plan names, and messages that their
//! sender signed for this ceremony and this place. So nothing that a peer makes up is ever in a
//! node's folder, and who gave it is named.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::error::CeremonyError;
use super::folder::{self, Folder};
use super::message::Slot;
use super::plan::Plan;
use super::{Ceremony, FINGERPRINT_DIGITS};
use crate::roster::{Bytes32, MemberId, TrustedRoot, TrustedRoster};

/// Largest file but the roster, in octets: a commitment of the largest ceremony has a tenth of it.
const MESSAGE_LIMIT: usize = 64 << 10;

/// How much is given at a time, in octets, beyond the first file.
const PORTION: usize = 2 << 20;

/// Most files that are looked at of one answer.
const MOST_FILES: usize = 2_048;

/// Where the second of two messages is kept that one sender signed for the same place.
const CONTRADICTIONS: &str = "contradictions";

/// What keyholders read to each other: the first half of the plan's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; FINGERPRINT_DIGITS / 2]);

impl Fingerprint {
    /// Of a plan that has this name.
    #[must_use]
    pub fn of(id: &Bytes32) -> Self {
        let mut half = [0; FINGERPRINT_DIGITS / 2];
        half.copy_from_slice(&id.as_bytes()[..FINGERPRINT_DIGITS / 2]);
        Self(half)
    }

    /// As it was told: 32 hexadecimal digits in any grouping.
    #[must_use]
    pub fn parse(told: &str) -> Option<Self> {
        let digits: String = told
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '-' | ':'))
            .collect();
        let bytes = hex::decode(digits).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// As it travels.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its digits without groups: the name of a folder.
    #[must_use]
    pub fn digits(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        for (group, start) in (0..digits.len()).step_by(4).enumerate() {
            if group > 0 {
                f.write_str("-")?;
            }
            f.write_str(&digits[start..start + 4])?;
        }
        Ok(())
    }
}

/// Who is given files.
#[derive(Debug, Clone, Copy)]
pub enum Reader<'a> {
    /// A party that takes part: what is for all, and what the giver encrypted to it.
    Keyholder(&'a MemberId),
    /// An ombudsman: what is for all.
    Ombudsman,
}

/// A file as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFile {
    /// Its name within the folder.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// What became of the files that a peer gave.
#[derive(Debug, Default)]
pub struct Taken {
    /// How many are new in the folder.
    pub new: usize,
    /// What was refused, and why.
    pub refused: Vec<(String, CeremonyError)>,
}

impl Ceremony {
    /// Whether a party takes part.
    #[must_use]
    pub fn has(&self, member: &MemberId) -> bool {
        self.plan.identifier_of(member).is_some()
    }

    /// Who takes part, by identifier.
    pub fn members(&self) -> impl Iterator<Item = &MemberId> {
        self.plan.members()
    }

    /// Refuses to go on with a ceremony in which somebody told two stories.
    ///
    /// # Errors
    /// [`CeremonyError::Changed`] names who did.
    pub fn check_contradictions(&self) -> Result<(), CeremonyError> {
        let told_twice = |slot: &Slot| self.folder.has(&contradiction(&slot.file()));
        match self.slots().into_iter().find(told_twice) {
            None => Ok(()),
            Some(slot) => Err(CeremonyError::Changed {
                who: self.title(&slot.sender),
                file: slot.file(),
            }),
        }
    }

    /// What `reader` lacks of what it may see here, of a node whose party is `me`; and whether there
    /// is more than fits into one answer. `held` are the SHA-256 of what it has, by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn give(
        &self,
        me: &MemberId,
        reader: Reader<'_>,
        held: &BTreeMap<String, Bytes32>,
    ) -> Result<(Vec<WireFile>, bool), CeremonyError> {
        let may_see = |slot: &Slot| match (&slot.recipient, reader) {
            (None, _) => true,
            (Some(recipient), Reader::Keyholder(reader)) => {
                recipient == reader && slot.sender == *me
            }
            (Some(_), Reader::Ombudsman) => false,
        };
        let fixed = [folder::ROSTER.to_owned(), folder::PLAN.to_owned()];
        let messages = self.slots().into_iter().filter(may_see);
        let mut files = Vec::new();
        let mut octets = 0;
        for name in fixed.into_iter().chain(messages.map(|slot| slot.file())) {
            let Some(text) = self.folder.read(&name)? else {
                continue;
            };
            if held.get(&name) == Some(&Bytes32::sha256(text.as_bytes())) {
                continue;
            }
            if octets > 0 && octets + text.len() > PORTION {
                return Ok((files, true));
            }
            octets += text.len();
            files.push(WireFile {
                name,
                content: text.into_bytes(),
            });
        }
        Ok((files, false))
    }

    /// The SHA-256 of what is in the folder, by name: what need not be given again.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn held(&self) -> Result<BTreeMap<String, Bytes32>, CeremonyError> {
        let fixed = [folder::ROSTER.to_owned(), folder::PLAN.to_owned()];
        let messages = self.slots().into_iter().map(|slot| slot.file());
        let mut held = BTreeMap::new();
        for name in fixed.into_iter().chain(messages) {
            if let Some(text) = self.folder.read(&name)? {
                held.insert(name, Bytes32::sha256(text.as_bytes()));
            }
        }
        Ok(held)
    }

    /// Takes what holds of the messages that a peer gave to the party `me`. What is there already is
    /// never replaced: of two messages for one place the second is kept aside, since the sender's
    /// signature on both is the proof against it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn take(&self, me: &MemberId, files: Vec<WireFile>) -> Result<Taken, CeremonyError> {
        let mut taken = Taken::default();
        let slots: BTreeMap<String, Slot> = self
            .slots()
            .into_iter()
            // What this party sent itself is in its journal, and is put back from there.
            .filter(|slot| slot.sender != *me)
            .filter(|slot| slot.recipient.as_ref().is_none_or(|to| to == me))
            .map(|slot| (slot.file(), slot))
            .collect();
        for file in files.into_iter().take(MOST_FILES) {
            let Some(slot) = slots.get(&file.name) else {
                continue;
            };
            match self.take_one(slot, file.content) {
                Ok(new) => taken.new += usize::from(new),
                Err(error @ CeremonyError::Folder { .. }) => return Err(error),
                Err(error) => taken.refused.push((file.name, error)),
            }
        }
        Ok(taken)
    }

    fn take_one(&self, slot: &Slot, content: Vec<u8>) -> Result<bool, CeremonyError> {
        let file = slot.file();
        let text = readable(&file, content, MESSAGE_LIMIT)?;
        let there = self.folder.read(&file)?;
        if there.as_ref() == Some(&text) {
            return Ok(false);
        }
        let message = self.check_message(slot, text)?;
        if there.is_none() {
            self.folder.publish(&file, &message.text)?;
            return Ok(true);
        }
        self.folder.publish(&contradiction(&file), &message.text)?;
        Err(CeremonyError::Changed {
            who: self.title(&slot.sender),
            file,
        })
    }

    fn slots(&self) -> Vec<Slot> {
        let of = |member: &MemberId| self.plan.slots_from(member);
        self.plan.members().flat_map(of).collect()
    }
}

fn contradiction(file: &str) -> String {
    format!("{CONTRADICTIONS}/{}", file.replace('/', "-"))
}

/// Lays the folder of a ceremony from a plan and a roster that a peer gave, if they are those of the
/// fingerprint; nothing while one of them is missing among the files.
///
/// # Errors
/// [`CeremonyError`] says what does not hold; nothing was written then.
pub fn receive(
    path: &Path,
    root: &TrustedRoot,
    fingerprint: Fingerprint,
    files: &[WireFile],
) -> Result<Option<Ceremony>, CeremonyError> {
    let find = |name: &str, limit| {
        let file = files.iter().take(MOST_FILES).find(|file| file.name == name);
        file.map(|file| readable(name, file.content.clone(), limit))
            .transpose()
    };
    let Some(plan_text) = find(folder::PLAN, MESSAGE_LIMIT)? else {
        return Ok(None);
    };
    let Some(note) = find(folder::ROSTER, folder::FILE_LIMIT as usize)? else {
        return Ok(None);
    };
    let found = Fingerprint::of(&Bytes32::sha256(plan_text.as_bytes()));
    if found != fingerprint {
        return Err(CeremonyError::OtherPlan {
            found: found.to_string(),
        });
    }
    let plan = Plan::parse(&plan_text)?;
    let roster = TrustedRoster::verify(root, note.as_bytes())?;
    let machines = plan.check(&roster)?;
    let folder = Folder::create(path)?;
    folder.publish(folder::ROSTER, &note)?;
    // Last, because a folder with a plan is a ceremony.
    folder.publish(folder::PLAN, &plan_text)?;
    Ok(Some(Ceremony {
        id: plan.id(),
        folder,
        plan,
        machines,
        roster,
    }))
}

fn readable(name: &str, content: Vec<u8>, limit: usize) -> Result<String, CeremonyError> {
    if content.len() > limit {
        return Err(CeremonyError::TooLarge {
            path: name.to_owned(),
            limit: limit as u64,
        });
    }
    // Every file of a ceremony is ASCII or a roster; what is not text fails where it is parsed.
    Ok(String::from_utf8_lossy(&content).into_owned())
}
