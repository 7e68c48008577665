//! One account.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Passkey;
use super::secrets;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Searches, and asks others to be told.
    Caseworker,
    /// Decides what others are told.
    Approver,
    /// Keeps the register.
    Steward,
    /// Makes and changes accounts.
    Administrator,
    /// Looks at everything that holds no personal data, and reviews releases.
    Auditor,
}

/// A word that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no role of this name: write caseworker, approver, steward, administrator or auditor"
)]
pub struct UnknownRole;

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Caseworker,
        Self::Approver,
        Self::Steward,
        Self::Administrator,
        Self::Auditor,
    ];

    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caseworker => "caseworker",
            Self::Approver => "approver",
            Self::Steward => "steward",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or(UnknownRole)
    }
}

/// What an account can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// Its person has not claimed it yet.
    Invited,
    /// It can be used.
    Active,
    /// Too many sign-ins were refused.
    Locked,
    /// It was closed for good.
    Closed,
}

impl AccountState {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Closed => "closed",
        }
    }
}

/// How many sign-ins in a row may be refused.
const FAILURES: u32 = 5;

/// How long an account is then locked, in milliseconds: 15 minutes.
const LOCK_MS: u64 = 15 * 60_000;

/// A person of an identity provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// The provider's issuer identifier.
    pub issuer: String,
    /// The person's identifier there.
    pub subject: String,
}

/// An account. It has no `Debug`: name and secrets are in it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Account {
    /// The name to sign in with.
    pub name: String,
    /// What its person may do.
    pub roles: BTreeSet<Role>,
    /// What it could do once and cannot any more.
    pub former_roles: BTreeSet<Role>,
    /// Whether it was closed.
    pub closed: bool,
    /// Hash of the one-time code, while it is to be claimed.
    invitation: Option<String>,
    /// The password's hash, as a PHC string.
    password: Option<String>,
    /// The second factor's secret, hex.
    factor: Option<String>,
    /// Passkeys, in the order in which they were added.
    #[serde(default)]
    pub passkeys: Vec<Passkey>,
    /// Which person of the identity provider it is.
    #[serde(default)]
    pub linked: Option<Linked>,
    /// The time step of the last code that was taken: each is taken once.
    last_step: u64,
    failures: u32,
    locked_until_ms: u64,
}

impl Account {
    pub(super) fn invited(name: &str, roles: BTreeSet<Role>, invitation: String) -> Self {
        Self {
            name: name.to_owned(),
            roles,
            former_roles: BTreeSet::new(),
            closed: false,
            invitation: Some(invitation),
            password: None,
            factor: None,
            passkeys: Vec::new(),
            linked: None,
            last_step: 0,
            failures: 0,
            locked_until_ms: 0,
        }
    }

    pub(super) fn invite(&mut self, invitation: String) {
        self.invitation = Some(invitation);
        self.password = None;
        self.factor = None;
        // Whoever has the lost device is not to come in by it.
        self.passkeys.clear();
        self.failures = 0;
        self.locked_until_ms = 0;
    }

    pub(super) fn invitation_holds(&self, code: &str) -> bool {
        !self.closed
            && self
                .invitation
                .as_ref()
                .is_some_and(|hash| secrets::code_holds(code, hash))
    }

    pub(super) fn claim(&mut self, password: String, factor: String) {
        self.invitation = None;
        self.password = Some(password);
        self.factor = Some(factor);
        self.last_step = 0;
        self.failures = 0;
        self.locked_until_ms = 0;
    }

    pub(super) fn change(&mut self, give: &BTreeSet<Role>, take: &BTreeSet<Role>, close: bool) {
        for role in take {
            if self.roles.remove(role) {
                self.former_roles.insert(*role);
            }
        }
        for role in give {
            self.roles.insert(*role);
            self.former_roles.remove(role);
        }
        self.closed |= close;
    }

    /// Whether its person may act in this role today.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.is_taken() && self.roles.contains(&role)
    }

    /// What it can be used for at this moment.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> AccountState {
        if self.closed {
            AccountState::Closed
        } else if !self.is_taken() {
            AccountState::Invited
        } else if now_ms < self.locked_until_ms {
            AccountState::Locked
        } else {
            AccountState::Active
        }
    }

    /// Whether its person can sign in: they claimed it, or an administrator said who they are at the
    /// identity provider.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        !self.closed && (self.password.is_some() || self.linked.is_some())
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_deref().filter(|_| !self.closed)
    }

    pub(super) fn factor(&self) -> Option<&str> {
        self.factor.as_deref()
    }

    pub(super) fn locked_for_ms(&self, now_ms: u64) -> u64 {
        self.locked_until_ms.saturating_sub(now_ms)
    }

    /// Whether a code of this time step was taken before.
    pub(super) fn step_is_used(&self, step: u64) -> bool {
        step <= self.last_step
    }

    pub(super) fn signed_in(&mut self, step: u64) {
        self.last_step = step;
        self.failures = 0;
    }

    pub(super) fn refused(&mut self, now_ms: u64) {
        self.failures += 1;
        if self.failures >= FAILURES {
            self.failures = 0;
            self.locked_until_ms = now_ms + LOCK_MS;
        }
    }
}
