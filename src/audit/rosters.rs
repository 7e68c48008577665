//! The rosters by which evidence is judged: the one in force, and those before it.
//!
//! Evidence outlives rosters. A key that was replaced, or a member that has left, is not in the
//! newest roster any more, and what it signed in its time still counts. Within a log that says which
//! roster was in force at each leaf, that one has the word: a node cannot know of a suspension before
//! the roster that states it has come. How late it may come is judged apart. Elsewhere the newest roster
//! has the word on everything that it lists, and only of what it does not know are the earlier ones
//! asked.

use std::sync::Arc;

use crate::envelope::{KeyId, NoteKey, VerifyingKey};
use crate::roster::{FRESHNESS_MAX_AGE, Member, MemberId, PeerRefusal, TrustedRoot, TrustedRoster};

/// How long an act may take after its messages were judged, in milliseconds: a roster that comes
/// into force meanwhile changes nothing for it. Longer than the time that a node takes over one call.
const UNDER_WAY_MS: u64 = 120_000;

/// The roster in force and those before it, as far as they are at hand.
#[derive(Clone)]
pub struct Rosters {
    roots: Vec<TrustedRoot>,
    newest: Arc<TrustedRoster>,
    /// The newer ones first.
    earlier: Vec<Arc<TrustedRoster>>,
    /// Those that came into force in the log that is being read, with the times of their leaves in
    /// milliseconds, the last one first. Empty where it is not known what was in force.
    in_log: Vec<(u64, Arc<TrustedRoster>)>,
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
            in_log: Vec::new(),
        }
    }

    /// A roster came into force in the log that is being read; nothing if the leaf says so and what came
    /// is not at hand. One that is older than what is in force there takes nothing back.
    pub(super) fn came_into_force(&mut self, time_ms: u64, roster: Option<Arc<TrustedRoster>>) {
        let Some(roster) = roster else {
            return self.in_log.clear();
        };
        let newest = self.in_log.first();
        if newest.is_some_and(|(_, newest)| roster.place() <= newest.place()) {
            return;
        }
        // What ended long before matters to nothing that is still to come.
        let kept = self.until(time_ms).count();
        self.in_log.truncate(kept);
        self.in_log.insert(0, (time_ms, roster));
    }

    /// What is known to be in force in the log that is being read, the last one first: its time in
    /// milliseconds, and the roster.
    pub(super) fn in_log(&self) -> &[(u64, Arc<TrustedRoster>)] {
        &self.in_log
    }

    /// The rosters by which an act at `at_ms` may have been judged: the one in force, and those that
    /// ended while it may have been under way.
    fn until(&self, at_ms: u64) -> impl Iterator<Item = &TrustedRoster> {
        let ended = self.in_log.iter().map(|(time_ms, _)| *time_ms);
        let ended = std::iter::once(u64::MAX).chain(ended);
        self.in_log
            .iter()
            .zip(ended)
            .take_while(move |(_, ended)| ended.saturating_add(UNDER_WAY_MS) >= at_ms)
            .map(|((_, roster), _)| roster.as_ref())
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

    /// The public key `key_id` of a party, if its signatures counted at `at_ms` (milliseconds since
    /// 1970) by what was in force then, where that is known.
    #[must_use]
    pub fn signing_key(&self, party: &str, key_id: &KeyId, at_ms: u64) -> Option<VerifyingKey> {
        let at = at_ms / 1000;
        if !self.in_log.is_empty() {
            return self
                .until(at_ms)
                .find_map(|roster| roster.signing_key(party, key_id, at).ok());
        }
        for roster in self.all() {
            match roster.signing_key(party, key_id, at) {
                Ok(key) => return Some(key),
                Err(PeerRefusal::UnknownParty(_) | PeerRefusal::UnknownKey { .. }) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// The roster that should have told a node long before `at_ms` not to deal with a signature that it
    /// took: one that was made two days before, refuses it, and is later than what was in force.
    pub(super) fn overlooked(
        &self,
        party: &str,
        key_id: &KeyId,
        at_ms: u64,
    ) -> Option<&TrustedRoster> {
        let (_, in_force) = self.in_log.first()?;
        let at = at_ms / 1000;
        let refuses = |roster: &TrustedRoster| match roster.signing_key(party, key_id, at) {
            Ok(_) => false,
            Err(PeerRefusal::Suspended { .. }) => roster
                .member(party)
                .and_then(|member| member.suspended_since)
                .is_some_and(|since| since.unix().saturating_add(FRESHNESS_MAX_AGE) < at),
            Err(_) => true,
        };
        // From the roster in force on: where a later one takes a key back, nothing was overlooked.
        self.all()
            .take_while(|roster| roster.place() > in_force.place())
            .find(|roster| {
                let made = roster.roster().issued.unix();
                made.saturating_add(FRESHNESS_MAX_AGE) < at && refuses(roster)
            })
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

    /// Whether a message may state that it was signed under the roster of this place (root version,
    /// version): true of every place that is not at hand.
    pub(super) fn may_state(&self, place: (u64, u64), digest: &[u8]) -> bool {
        self.all()
            .find(|roster| roster.stated_place() == place)
            .is_none_or(|roster| roster.digest().as_bytes() == digest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{NOW_MS, Sample, key};
    use super::*;
    use crate::roster::Timestamp;

    const AT: u64 = NOW_MS;

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
        // Two rosters of one version under two roots: each is what a message states with its root.
        let twin = of(1, 2, "");
        assert!(rosters.learn(Arc::clone(&twin)));
        assert!(rosters.may_state((2, 2), new.digest().as_bytes()));
        assert!(rosters.may_state((1, 2), twin.digest().as_bytes()));
        assert!(!rosters.may_state((1, 2), new.digest().as_bytes()));
        assert!(!rosters.may_state((2, 2), twin.digest().as_bytes()));
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
                    member.suspended_since = Some(Timestamp::from_unix(AT / 1000 - 1));
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
        assert!(rosters.signing_key("ua", &key_id, AT - 2_000).is_some());
        // Each version that is at hand has one digest; of others nothing can be said.
        assert!(rosters.may_state((1, 1), first.roster.digest().as_bytes()));
        assert!(!rosters.may_state((1, 1), &[0; 32]));
        assert!(rosters.may_state((1, 7), &[0; 32]));
    }

    /// A suspension counts for a node from the moment at which its log took the roster on, and for
    /// longer than two days nobody can have overlooked it.
    #[test]
    fn an_act_is_judged_by_the_roster_that_was_in_force_at_its_leaf() {
        const DAY_MS: u64 = 86_400_000;
        let sample = |version: u32, suspended: bool| {
            Arc::new(
                Sample::with(|roster| {
                    roster.version = version;
                    let mut members = roster.members.iter_mut();
                    let ua = members.find(|member| member.id.as_str() == "ua");
                    let ua = ua.unwrap();
                    let since = Timestamp::from_unix(AT / 1000);
                    ua.suspended_since = suspended.then_some(since);
                    for key in &mut ua.signing_keys {
                        key.not_after = Timestamp::from_unix((AT + 30 * DAY_MS) / 1000);
                    }
                })
                .roster,
            )
        };
        let (first, second) = (sample(1, false), sample(2, true));
        let key_id = key("ua").verifying_key().id();
        let mut rosters = Rosters::new(Vec::new(), Arc::clone(&second), vec![Arc::clone(&first)]);
        let after = AT + 10_000;
        assert!(rosters.signing_key("ua", &key_id, after).is_none());
        rosters.came_into_force(AT - DAY_MS, Some(Arc::clone(&first)));
        assert!(rosters.signing_key("ua", &key_id, after).is_some());
        assert!(rosters.overlooked("ua", &key_id, after).is_none());
        // Two days on the node should have heard of it.
        let late = AT + 3 * DAY_MS;
        assert!(rosters.signing_key("ua", &key_id, late).is_some());
        let overlooked = rosters.overlooked("ua", &key_id, late).unwrap();
        assert_eq!(overlooked.version(), 2);
        // It has come: what was under way then still counts, and nothing that began later.
        rosters.came_into_force(after, Some(Arc::clone(&second)));
        let under_way = after + UNDER_WAY_MS;
        assert!(rosters.signing_key("ua", &key_id, under_way).is_some());
        assert!(rosters.signing_key("ua", &key_id, under_way + 1).is_none());
        assert!(rosters.overlooked("ua", &key_id, late).is_none());
        // An older one brings nothing back.
        rosters.came_into_force(after + 1, Some(Arc::clone(&first)));
        assert!(rosters.signing_key("ua", &key_id, under_way + 1).is_none());
        // Where it is not known what was in force, the newest has the word.
        rosters.came_into_force(under_way, None);
        assert!(rosters.signing_key("ua", &key_id, after).is_none());
        assert!(rosters.signing_key("ua", &key_id, AT - 1_000).is_some());
    }
}
