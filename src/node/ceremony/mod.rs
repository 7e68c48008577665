//! The ceremonies of the coalition key by files: for machines that are offline, or share no more than
//! a folder.
//!
//! Four procedures ([`Procedure`]): a key is made for a new epoch; its shares are renewed; one share
//! is restored, or made for a further keyholder; a keyholder is replaced, which is a share made for
//! the new one and a renewal without the old one in a single ceremony, so that the share in between
//! exists nowhere but in memory.
//!
//! The mathematics is [`crate::oprf::ceremony`]. Here are the parts around it that keep a person
//! with access to the folder, or a keyholder that cheats, from doing harm unseen:
//!
//! * every message is a signed envelope, bound to ceremony, round, sender and recipient;
//! * a package with a secret in it is encrypted to its one recipient;
//! * each keyholder remembers what it has seen, and refuses what changes afterwards;
//! * what a keyholder must remember in secret lies sealed in its own directory, and is destroyed
//!   when it has its share;
//! * no share is written over another: which one counts is the roster's to say
//!   ([`crate::node::shares`]);
//! * a keyholder takes its first step only when its operator was told of the ceremony by another way
//!   than the folder;
//! * whoever is at fault is named.
//!
//! # The folder
//!
//! ```text
//! CEREMONY/plan.json                what is to be made, by whom; its SHA-256 names the ceremony
//! CEREMONY/roster.note              the signed roster that the plan rests on
//! CEREMONY/repair-1/ua.json         a share is restored: a helper's commitments, for all
//! CEREMONY/repair-2/ua-to-pl.json   a part for another helper, encrypted
//! CEREMONY/repair-3/ua-to-de.json   a sum for the one whose share it is, encrypted
//! CEREMONY/round-1/ua.json          shares are made or renewed: commitments, for all
//! CEREMONY/round-2/ua-to-pl.json    a package for one recipient, encrypted
//! CEREMONY/confirmations/ua.json    "I have what is mine of what this transcript makes"
//! CEREMONY/transcript.jsonl         the commitments of all, one a line
//! CEREMONY/coalition-key.json       the key's public parts, for the roster
//! ```
//!
//! [`Ceremony::start`] writes the first two; which rounds there are is the procedure's to say. Each keyholder runs [`Ceremony::join`], again and
//! again: it does whichever step can be done now and says what it waits for. A step that was
//! interrupted is taken up where it was left, and a file that was lost from the folder is put back.
//! [`Ceremony::finish`] checks everything once more, from public files alone, and writes the last
//! two; so can an ombudsman, years later.
//!
//! Nodes do the same over their own connections, each with a folder of its own (`wire`).
//!
//! # What the folder's keeper can do
//!
//! Withhold, and so stop the ceremony. Nothing else: what it changes is refused, what it shows to
//! one keyholder and not to another comes out in round 2, and a plan of its own making has another
//! name than the one that the keyholders read to each other.

mod error;
mod folder;
mod join;
mod journal;
mod mail;
mod message;
mod package;
mod plan;
mod seat;
mod status;
mod terms;
mod transcript;
mod wire;

use std::path::Path;

pub use error::CeremonyError;
pub use folder::COALITION_KEY;
pub use join::{Deed, Joined, Waiting};
pub use message::{Round, Slot};
pub use plan::{Plan, PlannedKeyholder, Procedure};
pub use status::{Progress, Standing, Status};
pub use terms::Terms;
pub use transcript::Outcome;
pub use wire::{Fingerprint, Reader, Taken, WireFile, receive};

use folder::Folder;
use plan::Machines;

use crate::ambient::Ambient;
use crate::roster::{Bytes32, CoalitionKey, MemberId, TrustStore, TrustedRoot, TrustedRoster};

/// Half of a SHA-256: nobody finds another plan to it.
const FINGERPRINT_DIGITS: usize = 32;

/// A ceremony: its folder, its plan, and the roster that says whose keys count.
pub struct Ceremony {
    folder: Folder,
    plan: Plan,
    machines: Machines,
    id: Bytes32,
    roster: TrustedRoster,
}

impl Ceremony {
    /// Calls a ceremony: writes the plan and the roster into the folder, which is made if it is
    /// not there.
    ///
    /// `trust` is what whoever calls it trusts: the ceremony rests on the roster in force there.
    ///
    /// # Errors
    /// If the roster is not in force, the terms do not fit it, or the folder holds a ceremony
    /// already.
    pub fn start(
        path: &Path,
        trust: &TrustStore,
        terms: &Terms,
        ambient: &Ambient,
    ) -> Result<Self, CeremonyError> {
        let roster = TrustedRoster::clone(trust.roster_in_force(ambient.now())?);
        let plan = Plan::draw(terms, &roster, ambient)?;
        let machines = plan.check(&roster)?;
        let folder = Folder::create(path)?;
        if folder.has(folder::PLAN) {
            return Err(CeremonyError::AlreadyStarted {
                folder: path.display().to_string(),
            });
        }
        folder.publish(folder::ROSTER, roster.note())?;
        // Last, because a folder with a plan is a ceremony.
        folder.publish(folder::PLAN, &plan.to_text())?;
        Ok(Self {
            id: plan.id(),
            folder,
            plan,
            machines,
            roster,
        })
    }

    /// Opens a ceremony's folder and checks plan and roster under a trusted root.
    ///
    /// # Errors
    /// If the folder holds no ceremony, or its roster or plan does not hold.
    pub fn open(path: &Path, root: &TrustedRoot) -> Result<Self, CeremonyError> {
        let folder = Folder::open(path);
        let text = folder
            .read(folder::PLAN)?
            .ok_or(CeremonyError::NoCeremony {
                folder: path.display().to_string(),
            })?;
        let plan = Plan::parse(&text)?;
        let note = folder
            .read(folder::ROSTER)?
            .ok_or(CeremonyError::OtherRoster)?;
        let roster = TrustedRoster::verify(root, note.as_bytes())?;
        let machines = plan.check(&roster)?;
        Ok(Self {
            id: plan.id(),
            folder,
            plan,
            machines,
            roster,
        })
    }

    /// The ceremony's name: the SHA-256 of `plan.json`. Keyholders read it to each other before
    /// they begin.
    #[must_use]
    pub fn id(&self) -> Bytes32 {
        self.id
    }

    /// What keyholders read to each other: the first half of the name, in groups of four digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        Fingerprint::of(&self.id).to_string()
    }

    /// Refuses a ceremony with another fingerprint than the one that was told, in any spacing.
    ///
    /// # Errors
    /// [`CeremonyError::OtherPlan`].
    pub fn check_fingerprint(&self, told: &str) -> Result<(), CeremonyError> {
        let told: String = told
            .chars()
            .filter(char::is_ascii_hexdigit)
            .map(|digit| digit.to_ascii_lowercase())
            .collect();
        // A few digits are not enough: a plan with the same few is quickly found.
        if told.len() >= FINGERPRINT_DIGITS && self.id.to_string().starts_with(&told) {
            Ok(())
        } else {
            Err(CeremonyError::OtherPlan {
                found: self.fingerprint(),
            })
        }
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The key whose shares are renewed or restored, as the plan's roster states it; nothing if a
    /// key is made.
    #[must_use]
    pub fn stated_key(&self) -> Option<&CoalitionKey> {
        self.machines.stated.as_ref()
    }

    /// Those who hold a share of the key now and will hold none of its renewed shares.
    #[must_use]
    pub fn leaving(&self) -> Vec<&MemberId> {
        let stated = self.machines.stated.iter();
        stated
            .flat_map(|key| &key.keyholders)
            .map(|keyholder| &keyholder.member)
            .filter(|member| {
                self.plan.procedure.shares() && self.plan.identifier_of(member).is_none()
            })
            .collect()
    }

    /// The roster that the plan rests on.
    #[must_use]
    pub fn roster(&self) -> &TrustedRoster {
        &self.roster
    }

    /// How sentences name a party: `Poland (pl)`.
    #[must_use]
    pub fn title(&self, member: &MemberId) -> String {
        self.roster
            .member(member.as_str())
            .map_or_else(|| member.to_string(), crate::roster::Member::title)
    }

    fn title_of(&self, identifier: u16) -> String {
        self.plan
            .member_of(identifier)
            .map_or_else(|| format!("keyholder {identifier}"), |id| self.title(id))
    }
}

#[cfg(test)]
mod tests;
