//! The rosters by which evidence is judged: the one in force, and those before it.
//!
//! Evidence outlives rosters. A key that was replaced, or a member that has left, is not in the
//! newest roster any more, and what it signed in its time still counts. The newest roster has the
//! word on everything that it lists; only of what it does not know are the earlier ones asked.

use std::sync::Arc;

use crate::envelope::{KeyId, NoteKey, VerifyingKey};
use crate::roster::{Member, MemberId, PeerRefusal, TrustedRoot, TrustedRoster};

/// The roster in force and those before it, as far as they are at hand.
#[derive(Clone)]
pub struct Rosters {
    roots: Vec<TrustedRoot>,
    newest: Arc<TrustedRoster>,
    /// The newer ones first.
    earlier: Vec<Arc<TrustedRoster>>,
}

impl Rosters {
    /// The roster in force, with earlier ones in any order, and the roots that may sign rosters.
    #[must_use]
    pub fn new(
        roots: Vec<TrustedRoot>,
        newest: Arc<TrustedRoster>,
        mut earlier: Vec<Arc<TrustedRoster>>,
    ) -> Self {
        earlier.retain(|roster| roster.place() < newest.place());
        earlier.sort_by_key(|roster| std::cmp::Reverse(roster.place()));
        Self {
            roots,
            newest,
            earlier,
        }
    }

    /// Verifies a signed roster of any time under one of the roots.
    #[must_use]
    pub fn verify(&self, note: &[u8]) -> Option<TrustedRoster> {
        self.roots
            .iter()
            .find_map(|root| TrustedRoster::verify(root, note).ok())
    }

    /// The roots that may sign rosters, as signed notes.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(TrustedRoot::note)
    }

    /// The rosters at hand, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &TrustedRoster> {
        std::iter::once(&self.newest)
            .chain(&self.earlier)
            .map(Arc::as_ref)
    }

    /// Takes a verified roster that was learned of; whether it was not at hand before. One that is later
    /// than the newest takes its place.
    pub fn learn(&mut self, mut roster: Arc<TrustedRoster>) -> bool {
        if self.all().any(|known| known.place() == roster.place()) {
            return false;
        }
        if roster.place() > self.newest.place() {
            std::mem::swap(&mut self.newest, &mut roster);
        }
        self.earlier.push(roster);
        self.earlier
            .sort_by_key(|roster| std::cmp::Reverse(roster.place()));
        true
    }

    /// The roster in force.
    #[must_use]
    pub fn newest(&self) -> &TrustedRoster {
        &self.newest
    }

    /// The public key `key_id` of a party, if its signatures counted at `at` (unix seconds).
    #[must_use]
    pub fn signing_key(&self, party: &str, key_id: &KeyId, at: u64) -> Option<VerifyingKey> {
        for roster in self.all() {
            match roster.signing_key(party, key_id, at) {
                Ok(key) => return Some(key),
                Err(PeerRefusal::UnknownParty(_) | PeerRefusal::UnknownKey { .. }) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// The party called `id`, as the newest roster that has it lists it.
    #[must_use]
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.all().find_map(|roster| roster.member(id))
    }

    /// Whether some roster states this log for a party.
    #[must_use]
    pub fn had_log(&self, party: &MemberId, origin: &str) -> bool {
        let mut listed = self
            .all()
            .filter_map(|roster| roster.member(party.as_str()));
        listed.any(|member| member.log.as_ref().is_some_and(|log| log.origin == origin))
    }

    /// Keys of the witnesses that the rosters name.
    #[must_use]
    pub fn witnesses(&self) -> Vec<NoteKey> {
        let mut keys: Vec<NoteKey> = Vec::new();
        let members = self.all().flat_map(|roster| &roster.roster().members);
        for vkey in members.filter_map(|member| member.witness_vkey.as_ref()) {
            if let Ok(key) = vkey.parse()
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        keys
    }

    /// Whether a message may state that it was signed under this roster: true of every version
    /// that is not at hand. After a change of the root keys there may be several of one version.
    pub(super) fn may_state(&self, version: u64, digest: &[u8]) -> bool {
        let mut of_version = self
            .all()
            .filter(|roster| u64::from(roster.version()) == version)
            .peekable();
        of_version.peek().is_none() || of_version.any(|roster| roster.digest().as_bytes() == digest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{NOW_MS, Sample, key};
    use super::*;

    const AT: u64 = NOW_MS / 1000;

    #[test]
    fn what_the_newest_roster_does_not_know_an_earlier_one_may() {
        let (first, second) = (
            Sample::new(),
            Sample::with(|roster| {
                roster.version = 2;
                roster.members.retain(|member| member.id.as_str() != "ua");
            }),
        );
        let key_id = key("ua").verifying_key().id();
        let alone = Rosters::new(Vec::new(), Arc::new(second.roster.clone()), Vec::new());
        assert!(alone.signing_key("ua", &key_id, AT).is_none());
        let both = Rosters::new(
            Vec::new(),
            Arc::new(second.roster),
            vec![Arc::new(first.roster)],
        );
        assert!(both.signing_key("ua", &key_id, AT).is_some());
        assert!(both.member("ua").is_some());
    }

    /// When the root keys change, versions begin anew: the newest roster then has a low one.
    #[test]
    fn a_roster_under_a_later_root_is_the_later_one_whatever_its_version() {
        let of = |root: u32, version: u32, without: &str| {
            Arc::new(
                Sample::with(|roster| {
                    roster.root_version = root;
                    roster.version = version;
                    roster
                        .members
                        .retain(|member| member.id.as_str() != without);
                })
                .roster,
            )
        };
        let (old, older, new) = (of(1, 9, ""), of(1, 8, "ua"), of(2, 2, "ua"));
        let mut rosters = Rosters::new(Vec::new(), Arc::clone(&new), vec![Arc::clone(&older)]);
        assert!(rosters.member("ua").is_none());
        assert!(
            rosters.learn(Arc::clone(&old)),
            "it came before, version 9 as it is"
        );
        assert!(!rosters.learn(Arc::clone(&old)));
        let places: Vec<(u32, u32)> = rosters.all().map(TrustedRoster::place).collect();
        assert_eq!(places, [(2, 2), (1, 9), (1, 8)]);
        // What ua signed in its time counts.
        let key_id = key("ua").verifying_key().id();
        assert!(rosters.signing_key("ua", &key_id, AT).is_some());
        // Two rosters of one version under two roots: a message may state either, and no third.
        let twin = of(1, 2, "");
        assert!(rosters.learn(Arc::clone(&twin)));
        assert!(rosters.may_state(2, new.digest().as_bytes()));
        assert!(rosters.may_state(2, twin.digest().as_bytes()));
        assert!(!rosters.may_state(2, old.digest().as_bytes()));
    }

    /// A node may have taken a roster that the ombudsman has not been given yet.
    #[test]
    fn a_later_roster_that_was_learned_of_is_the_newest() {
        let of = |version: u32| Arc::new(Sample::with(|roster| roster.version = version).roster);
        let mut rosters = Rosters::new(Vec::new(), of(2), vec![of(1)]);
        assert!(rosters.learn(of(4)));
        assert!(rosters.learn(of(3)));
        assert!(!rosters.learn(of(4)));
        assert_eq!(rosters.newest().version(), 4);
        let versions: Vec<u32> = rosters.all().map(TrustedRoster::version).collect();
        assert_eq!(versions, [4, 3, 2, 1]);
    }

    #[test]
    fn a_suspension_is_not_undone_by_an_earlier_roster() {
        let first = Sample::new();
        let second = Sample::with(|roster| {
            roster.version = 2;
            for member in &mut roster.members {
                if member.id.as_str() == "ua" {
                    member.suspended_since = Some(crate::roster::Timestamp::from_unix(AT - 1));
                }
            }
        });
        let key_id = key("ua").verifying_key().id();
        let rosters = Rosters::new(
            Vec::new(),
            Arc::new(second.roster.clone()),
            vec![Arc::new(first.roster.clone()), Arc::new(second.roster)],
        );
        assert!(rosters.signing_key("ua", &key_id, AT).is_none());
        assert!(rosters.signing_key("ua", &key_id, AT - 2).is_some());
        // Each version that is at hand has one digest; of others nothing can be said.
        assert!(rosters.may_state(1, first.roster.digest().as_bytes()));
        assert!(!rosters.may_state(1, &[0; 32]));
        assert!(rosters.may_state(7, &[0; 32]));
    }
}
