//! What will stop working soon, told while there is still time to act.

use super::{Member, MemberId, Timestamp, TrustStore, TrustedRoster};

/// How long before an expiry to begin to warn, in seconds: thirty days, since a new roster needs
/// several people to meet.
pub const EXPIRY_WARNING: u64 = 30 * 86_400;

/// Something to be done about, before or after it broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Stable code.
    pub code: &'static str,
    /// The party it concerns, if it concerns one.
    pub member: Option<MemberId>,
    /// A plain sentence that says what and by when.
    pub sentence: String,
}

impl TrustStore {
    /// All that has expired or will within `window` seconds of `now` (unix seconds), most general
    /// first.
    pub fn warnings(&self, now: u64, window: u64) -> Vec<Warning> {
        let watch = Watch {
            now,
            until: now.saturating_add(window),
        };
        let mut list = Vec::new();
        let root = self.root().root();
        let what = format!("The root (version {})", root.version);
        list.extend(watch.expiry("ROOT_EXPIRES", None, &what, root.expires));
        match self.roster() {
            None => list.push(Warning {
                code: "NO_ROSTER",
                member: None,
                sentence: "No roster is trusted; get one from a peer or a file.".to_owned(),
            }),
            Some(trusted) => {
                let roster = trusted.roster();
                let what = format!("The roster (version {})", roster.version);
                list.extend(watch.expiry("ROSTER_EXPIRES", None, &what, roster.expires));
                list.extend(keyholders_short(trusted, now));
                let active = roster
                    .members
                    .iter()
                    .filter(|member| !member.is_suspended(now));
                list.extend(active.flat_map(|member| watch.keys(member)));
            }
        }
        list
    }
}

struct Watch {
    now: u64,
    until: u64,
}

impl Watch {
    fn expiry(
        &self,
        code: &'static str,
        member: Option<MemberId>,
        what: &str,
        expires: Timestamp,
    ) -> Option<Warning> {
        let (when, day) = (expires.unix(), expires.spoken());
        let sentence = if when <= self.now {
            format!("{what} expired on {day}.")
        } else if when <= self.until {
            let days = (when - self.now) / 86_400;
            format!("{what} expires on {day}, in {days} days.")
        } else {
            return None;
        };
        Some(Warning {
            code,
            member,
            sentence,
        })
    }

    /// A party's keys of each sort, taken together: what counts is when the last one ends.
    fn keys(&self, member: &Member) -> Vec<Warning> {
        let pins = member
            .tls_pins
            .iter()
            .map(|pin| (pin.not_before, pin.not_after));
        let keys = member
            .signing_keys
            .iter()
            .map(|key| (key.not_before, key.not_after));
        let sorts = [("TLS_KEY_EXPIRES", "TLS", pins.collect::<Vec<_>>())];
        let sorts = sorts
            .into_iter()
            .chain([("SIGNING_KEY_EXPIRES", "signing", keys.collect())]);
        sorts
            .filter_map(|(code, sort, times)| {
                let last = times.iter().map(|(_, until)| *until).max()?;
                let id = Some(member.id.clone());
                let what = format!("The last {sort} key of {}", member.title());
                let valid = |(from, until): &&_| Timestamp::is_within(*from, *until, self.now);
                let ending = self.expiry(code, id.clone(), &what, last);
                if ending.is_none() && !times.iter().any(|times| valid(&times)) {
                    let sentence =
                        format!("{} has no {sort} key that is valid now.", member.title());
                    return Some(Warning {
                        code,
                        member: id,
                        sentence,
                    });
                }
                ending
            })
            .collect()
    }
}

/// Whether the keyholders that are not suspended still make the threshold, and with one to spare.
fn keyholders_short(trusted: &TrustedRoster, now: u64) -> Option<Warning> {
    let key = trusted.coalition_key()?;
    let active = trusted.keyholders_of(key, now).len();
    let threshold = usize::from(key.threshold);
    if active > threshold {
        return None;
    }
    let then = if active < threshold {
        "no token can be made"
    } else {
        "one more loss and no token can be made"
    };
    Some(Warning {
        code: "KEYHOLDERS_SHORT",
        member: None,
        sentence: format!(
            "{active} of {} keyholders are active and {threshold} are needed: {then}.",
            key.keyholders.len()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::*;
    use super::super::*;

    fn told(store: &TrustStore, when: &str) -> Vec<String> {
        let warnings = store.warnings(time(when).unix(), EXPIRY_WARNING);
        warnings
            .into_iter()
            .map(|warning| warning.sentence)
            .collect()
    }

    fn with(edit: impl FnOnce(&mut Roster)) -> TrustStore {
        let mut store = store();
        let mut next = roster(6, 1);
        edit(&mut next);
        let note = signed_roster(&next, &["a", "b"]);
        assert_eq!(store.update_roster(&note, now()), Ok(Update::Updated));
        store
    }

    #[test]
    fn expiry_is_told_thirty_days_ahead() {
        let store = store();
        assert_eq!(told(&store, "2026-05-01T23:59:59Z"), [""; 0]);
        assert_eq!(
            told(&store, "2026-05-02T00:00:00Z"),
            ["The roster (version 5) expires on 2026-06-01, in 30 days."]
        );
        assert_eq!(
            told(&store, "2026-06-01T00:00:00Z"),
            ["The roster (version 5) expired on 2026-06-01."]
        );
        let late = told(&store, "2026-12-31T00:00:00Z");
        assert_eq!(
            late[0],
            "The root (version 1) expires on 2027-01-01, in 1 days."
        );
        assert_eq!(late.len(), 2 + 2 * 4, "{late:#?}");
        assert!(late.contains(
            &"The last TLS key of Poland (pl) expires on 2027-01-01, in 1 days.".to_owned()
        ));
    }

    #[test]
    fn a_successor_silences_the_warning_unless_there_is_a_gap() {
        let successor = |from: &str| {
            with(|roster| {
                roster.members[2].tls_pins[0].not_after = time("2026-03-20T00:00:00Z");
                let mut pin = pin("pl", 2);
                pin.not_before = time(from);
                roster.add_tls_pin(&id("pl"), pin).unwrap();
            })
        };
        assert_eq!(told(&successor("2026-03-15T00:00:00Z"), NOW), [""; 0]);
        assert_eq!(
            told(&successor("2026-03-22T00:00:00Z"), "2026-03-21T00:00:00Z"),
            ["Poland (pl) has no TLS key that is valid now."]
        );
    }

    #[test]
    fn too_few_keyholders_are_told() {
        let one_gone = with(|roster| roster.suspend(&id("pl"), time(NOW)).unwrap());
        assert_eq!(
            told(&one_gone, NOW),
            [
                "2 of 3 keyholders are active and 2 are needed: one more loss and no token can be \
              made."
            ]
        );
        let two_gone = with(|roster| {
            roster.suspend(&id("pl"), time(NOW)).unwrap();
            roster.suspend(&id("ua"), time(NOW)).unwrap();
        });
        assert!(told(&two_gone, NOW)[0].ends_with("2 are needed: no token can be made."));
        let pinned = TrustStore::new(&signed_root(&root(1, &["a", "b"]), &["a", "b"])).unwrap();
        assert_eq!(pinned.warnings(now(), EXPIRY_WARNING)[0].code, "NO_ROSTER");
    }
}
