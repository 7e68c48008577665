//! The client's side of the update rules: what a node does with a root or a roster it is given.
//!
//! The rules are those of The Update Framework (TUF specification 1.0.33, section 5; the numbers
//! in the comments are its steps). Two of its four roles are enough here. The *root* names the
//! keys. The *roster* takes the place of targets, snapshot and timestamp together: it is one file,
//! so nothing in it can be mixed, and it is signed by the root's keys. Where a step only exists
//! because TUF has several files or mirrors, it is left out.

use std::sync::Arc;

use super::document::Kind;
use super::signed::{self, Claim};
use super::trusted::{TrustedRoot, TrustedRoster};
use super::{Root, Roster, RosterError, Timestamp};

/// Most roots taken in one update cycle (TUF 5.3.3 calls this Y), and most kept in a chain.
pub const MAX_ROOTS: usize = 1024;

/// Most versions that a new roster may be ahead of the trusted one. Someone who once held the root
/// keys could otherwise publish the highest version there is and so block every later roster; a
/// roster a day makes this many in 27 years.
pub const MAX_VERSION_STEP: u32 = 10_000;

/// How far this machine's clock may fall back without being called set back, in seconds. The
/// clocks of a node's replicas differ by less.
pub const CLOCK_TOLERANCE: u64 = 60;

/// How long after this machine's time a roster may say it was made, in seconds. Offline machines
/// keep time badly.
pub const ISSUED_TOLERANCE: u64 = 86_400;

/// What a node trusts: one root and at most one roster, each reached from the pinned root by
/// signatures alone.
///
/// Nothing is done by itself: the caller passes in files and the time, and keeps
/// [`TrustStore::to_state`] durably after every call that answers anything but `Unchanged`, before
/// acting on the new roster, and now and then for the sake of the time in it. A refused root or
/// roster leaves what was trusted as it was.
///
/// A roster must name the very root that is trusted. So whenever the secretariat signs a new root,
/// even one that only extends the expiry, it signs the roster anew under it. Until that arrives a
/// node goes on with the roster it has, unless the new keys do not vouch for that.
#[derive(Debug, Clone)]
pub struct TrustStore {
    /// The root that the operator vouches for. It is in the chain, and where it was put ahead of one
    /// that was kept, it is not the first in it.
    pub(super) pin: TrustedRoot,
    /// From the first root that is known to the trusted one; never empty.
    pub(super) roots: Vec<TrustedRoot>,
    pub(super) roster: Option<Arc<TrustedRoster>>,
    /// The last roster that was trusted, where a change of root keys has ended that trust.
    pub(super) past: Option<Arc<TrustedRoster>>,
    /// The highest roster version taken under the present root keys: none older is taken.
    pub(super) floor: u32,
    /// The latest time that was passed in.
    pub(super) last_seen: Timestamp,
}

/// What an update changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Update {
    /// It is what was already trusted.
    Unchanged,
    /// It is trusted from now on.
    Updated,
}

/// The versions a node has, as it tells its peers at every contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of the trusted root.
    pub root: u32,
    /// Of the roster, zero if there is none.
    pub roster: u32,
    /// Of the root that the roster names, zero if there is none: under other root keys versions of
    /// rosters begin anew, so two of them compare by this one first.
    pub roster_root: u32,
}

impl TrustStore {
    /// Begins from a root that the operator was given in person (TUF 5.2).
    pub fn new(pinned_root: &[u8]) -> Result<Self, RosterError> {
        Ok(Self::from_pin(TrustedRoot::pin(pinned_root)?))
    }

    pub(super) fn from_pin(pinned: TrustedRoot) -> Self {
        let last_seen = Timestamp::from_unix(0);
        Self {
            pin: pinned.clone(),
            roots: vec![pinned],
            roster: None,
            past: None,
            floor: 0,
            last_seen,
        }
    }

    /// The trusted root.
    pub fn root(&self) -> &TrustedRoot {
        // The list begins with one root and only grows.
        &self.roots[self.roots.len() - 1]
    }

    /// The root that the operator was given, or that took its place when the state was last read:
    /// with it another state of the same node is read, without losing what the pin has brought.
    pub fn pinned(&self) -> &TrustedRoot {
        &self.pin
    }

    /// The latest time that was passed in, in unix seconds.
    pub fn last_seen(&self) -> u64 {
        self.last_seen.unix()
    }

    /// The last roster that is or was trusted: to find those who may have a newer one, and for
    /// nothing else. What they give is believed only for its signatures.
    pub fn contacts(&self) -> Option<&Arc<TrustedRoster>> {
        self.roster.as_ref().or(self.past.as_ref())
    }

    /// The trusted roster, expired or not: to be shown, never to be acted on.
    pub fn roster(&self) -> Option<&Arc<TrustedRoster>> {
        self.roster.as_ref()
    }

    /// The roster in force at `now` (unix seconds): what a node acts on. Refuses when the clock
    /// went back, or the root or the roster has expired.
    pub fn roster_in_force(&self, now: u64) -> Result<&Arc<TrustedRoster>, RosterError> {
        let now = self.steady(now)?;
        self.root_not_expired(now)?;
        let missing = RosterError::NoRoster {
            root_version: self.root().version(),
        };
        let roster = self.roster.as_ref().ok_or(missing)?;
        not_expired(roster.roster(), now)?;
        Ok(roster)
    }

    /// What to tell a peer.
    pub fn versions(&self) -> Versions {
        let (roster_root, roster) = self.roster.as_ref().map_or((0, 0), |roster| roster.place());
        Versions {
            root: self.root().version(),
            roster,
            roster_root,
        }
    }

    /// The signed roots above `version`, in the order in which a peer has to take them.
    pub fn roots_above(&self, version: u32) -> impl Iterator<Item = &str> {
        self.roots
            .iter()
            .filter(move |root| root.version() > version)
            .map(TrustedRoot::note)
    }

    /// One update cycle (TUF 5): first the roots in order, then the roster. Roots that this node
    /// has already walked through are passed over, so a peer may send more than was asked for.
    /// Roots that were taken stay trusted when something later is refused, as TUF's 5.3.8 has it;
    /// so the state is to be kept after a refusal too. `now` is in unix seconds and the same for
    /// the whole cycle (5.1).
    pub fn update<'a>(
        &mut self,
        roots: impl IntoIterator<Item = &'a [u8]>,
        roster: Option<&[u8]>,
        now: u64,
    ) -> Result<Update, RosterError> {
        let mut outcome = Update::Unchanged;
        for (index, root) in roots.into_iter().enumerate() {
            if index >= MAX_ROOTS {
                return Err(RosterError::TooManyRoots { limit: MAX_ROOTS });
            }
            if self.has_walked(root) {
                continue;
            }
            if self.update_root(root, now)? == Update::Updated {
                outcome = Update::Updated;
            }
        }
        match roster {
            Some(roster) if self.update_roster(roster, now)? == Update::Updated => {
                Ok(Update::Updated)
            }
            _ => Ok(outcome),
        }
    }

    /// Takes the next root (TUF 5.3). Call it for each version in order, then
    /// [`TrustStore::update_roster`]. `now` is in unix seconds.
    pub fn update_root(&mut self, note: &[u8], now: u64) -> Result<Update, RosterError> {
        // 5.1 Fixed update start time; one that lies before an earlier one is refused.
        self.observe(now)?;

        // 5.3.2 N is the version of the trusted root.
        let trusted = self.root();
        let version = trusted.version();

        // 5.3.3 No more bytes than a root can have, and a root at all.
        let note = signed::read(Kind::Root, note)?;
        let digest = signed::digest(&note);
        if digest == trusted.digest() {
            return Ok(Update::Unchanged);
        }

        // 5.3.5 Rollback: exactly N+1. TUF looks at the signatures first. Both must hold, so the
        // order only decides which refusal is told, and to an honest peer that sent the wrong file
        // this one says more. The version is read again below, from the verified text.
        next_or_same(version, Claim::of(&note).version)?;

        // 5.3.4 (1) Arbitrary software: signed by the threshold of the trusted root ...
        let new = signed::verify::<Root>(&note, trusted.root())?;
        if new.document.coalition != trusted.root().coalition {
            return Err(RosterError::WrongCoalition {
                kind: Kind::Root,
                expected: trusted.root().coalition.clone(),
                found: new.document.coalition,
            });
        }
        next_or_same(version, new.document.version)?;
        if new.document.version == version {
            return Err(RosterError::Equivocation {
                kind: Kind::Root,
                version,
                trusted: trusted.digest(),
                found: digest,
            });
        }
        // ... (2) and by its own.
        let new = TrustedRoot::new(signed::verify_own(&note)?);
        if self.roots.len() >= MAX_ROOTS {
            return Err(RosterError::TooManyRoots { limit: MAX_ROOTS });
        }

        // 5.3.6 An expired root may still be a step on the way to one that is not.
        // 5.3.7 It is the trusted root from here on; 5.3.8 the caller keeps the state.
        let same_authority = trusted.root().same_authority(new.root());
        self.roots.push(new);

        // 5.3.11 Fast-forward recovery: when the keys changed, whoever held the old ones may have
        // raised the version at will, so the count begins anew. TUF deletes the files; the roster
        // in force may stay if the new keys vouch for it too, so that a planned change of one
        // person's key stops no node. What was signed before cannot come back under the lowered
        // floor, because a roster names the root it was made under.
        if !same_authority {
            self.floor = 0;
            if let Some(roster) = self.roster.take() {
                let vouched = TrustedRoster::verify(self.root(), roster.note().as_bytes());
                *(if vouched.is_ok() {
                    &mut self.roster
                } else {
                    &mut self.past
                }) = Some(roster);
            }
        }
        Ok(Update::Updated)
    }

    /// Takes a roster (TUF 5.4 to 5.6, for a single file). `now` is in unix seconds.
    pub fn update_roster(&mut self, note: &[u8], now: u64) -> Result<Update, RosterError> {
        // 5.1 Fixed update start time.
        let now = self.observe(now)?;

        // 5.3.10 Freeze at the root: the chain of roots must end in one that has not expired.
        self.root_not_expired(now)?;
        let root = self.root().root();

        // 5.4.1 No more bytes than a roster can have, and a roster at all.
        let note = signed::read(Kind::Roster, note)?;
        let digest = signed::digest(&note);

        // 5.4.3.1 The same version again is normal, unless it has meanwhile expired: whoever offers
        // an expired roster may be freezing this node in the past.
        if let Some(trusted) = self
            .roster
            .as_ref()
            .filter(|trusted| trusted.digest() == digest)
        {
            not_expired(trusted.roster(), now)?;
            return Ok(Update::Unchanged);
        }

        // 5.4.2 Arbitrary software and mix-and-match: the roster names the root it was made under,
        // and that must be the trusted one. The claim is looked at before the signatures, because
        // a roster under a newer root cannot verify yet, and what helps is to fetch the roots.
        root_matches(&Claim::of(&note), root)?;
        let signed = signed::verify::<Roster>(&note, root)?;
        let new = TrustedRoster::check(signed, root)?;
        let roster = new.roster();
        let (version, root_version) = (roster.version, roster.root_version);
        root_matches(
            &Claim {
                version,
                root_version,
            },
            root,
        )?;

        // 5.4.3 Rollback; and 5.3.11's fast-forward, stopped where it can be seen.
        if version < self.floor {
            return Err(RosterError::Rollback {
                trusted: self.floor,
                found: version,
            });
        }
        if let Some(trusted) = self.roster.as_ref()
            && self.floor == version
        {
            return Err(RosterError::Equivocation {
                kind: Kind::Roster,
                version,
                trusted: trusted.digest(),
                found: digest,
            });
        }
        if self.floor > 0 && version - self.floor > MAX_VERSION_STEP {
            let (trusted, found, limit) = (self.floor, version, MAX_VERSION_STEP);
            return Err(RosterError::FastForward {
                trusted,
                found,
                limit,
            });
        }

        // Not in TUF: an epoch's key stays what it is. Tokens and shares were made under it, so another
        // one under the same number would make all of them worthless at once. Only the first roster
        // under new root keys is free of what those before it said, as it is of their versions.
        if self.floor > 0
            && let Some(trusted) = self.roster.as_ref()
        {
            same_keys(trusted, &new)?;
        }

        // Not in TUF: a roster from the future shows that the clock here is behind, and a clock
        // that is behind takes what has expired for fresh.
        if roster.issued.unix() > now.unix().saturating_add(ISSUED_TOLERANCE) {
            let issued = roster.issued;
            return Err(RosterError::ClockBehind {
                version,
                issued,
                now,
            });
        }

        // 5.4.4 Freeze.
        not_expired(roster, now)?;

        // 5.4.5 It is the trusted roster from here on; the caller keeps the state.
        self.floor = version;
        self.past = None;
        self.roster = Some(Arc::new(new));
        Ok(Update::Updated)
    }

    /// Whether a root is the very one, or its like with other signatures, in this node's chain.
    fn has_walked(&self, note: &[u8]) -> bool {
        signed::read(Kind::Root, note).is_ok_and(|note| {
            let digest = signed::digest(&note);
            self.roots.iter().any(|root| root.digest() == digest)
        })
    }

    /// Takes note of the time without an update, so that a clock set back later is noticed. Refuses
    /// one that was set back already. `now` is in unix seconds.
    pub fn see_time(&mut self, now: u64) -> Result<(), RosterError> {
        self.observe(now).map(|_| ())
    }

    /// Forgets that the clock was once ahead: the operator's answer to a clock that ran wrong,
    /// corrected by hand. `now` is in unix seconds. To be logged, since it also lets an old time in.
    pub fn accept_clock(&mut self, now: u64) {
        self.last_seen = Timestamp::from_unix(now);
    }

    /// Remembers the time and returns the one to judge by.
    fn observe(&mut self, now: u64) -> Result<Timestamp, RosterError> {
        self.last_seen = self.steady(now)?;
        Ok(self.last_seen)
    }

    /// The time to judge by: `now`, or the latest seen if the clock fell back a little.
    fn steady(&self, now: u64) -> Result<Timestamp, RosterError> {
        let (now, seen) = (Timestamp::from_unix(now), self.last_seen);
        if now.unix().saturating_add(CLOCK_TOLERANCE) < seen.unix() {
            return Err(RosterError::ClockWentBack { seen, now });
        }
        Ok(now.max(seen))
    }

    fn root_not_expired(&self, now: Timestamp) -> Result<(), RosterError> {
        let (version, expires) = (self.root().version(), self.root().root().expires);
        if expires <= now {
            return Err(RosterError::RootExpired { version, expires });
        }
        Ok(())
    }
}

/// Refuses every root version but N+1, and N itself, which is looked at further on. Zero stands for
/// a claim that could not be read; the parser then says what is wrong.
fn next_or_same(trusted: u32, found: u32) -> Result<(), RosterError> {
    if found != 0 && found < trusted {
        return Err(RosterError::RootRollback { trusted, found });
    }
    if found > trusted.saturating_add(1) {
        return Err(RosterError::RootSkipped { trusted, found });
    }
    Ok(())
}

fn root_matches(roster: &Claim, root: &Root) -> Result<(), RosterError> {
    let (version, found, trusted) = (roster.version, roster.root_version, root.version);
    match found.cmp(&trusted) {
        _ if found == 0 => Ok(()),
        std::cmp::Ordering::Less => Err(RosterError::OldRoot {
            version,
            trusted,
            found,
        }),
        std::cmp::Ordering::Greater => Err(RosterError::RootMissing {
            version,
            trusted,
            found,
        }),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

/// Refuses another public key for an epoch that both rosters list.
fn same_keys(trusted: &TrustedRoster, new: &TrustedRoster) -> Result<(), RosterError> {
    for key in new.coalition_keys().iter() {
        let before = trusted.coalition_keys().of_epoch(key.epoch);
        if let Some(before) = before.filter(|before| before.public_key != key.public_key) {
            return Err(RosterError::OtherKey {
                version: new.version(),
                epoch: key.epoch,
                trusted: before.public_key,
                found: key.public_key,
            });
        }
    }
    Ok(())
}

fn not_expired(roster: &Roster, now: Timestamp) -> Result<(), RosterError> {
    let (version, expires) = (roster.version, roster.expires);
    if expires <= now {
        return Err(RosterError::Expired { version, expires });
    }
    Ok(())
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
