//! Proof that a roster was the newest not long ago (TUF's timestamp role).
//!
//! An expiry of weeks bounds how long a peer can hold a node in the past; a day is better. But
//! there is no central server that could sign a timestamp each day. So every member's node does,
//! for the roster it trusts, with its witness key: a C2SP cosignature, which carries the time,
//! over a short text that names the roster. A majority of the members saying so bounds from below
//! when the roster was still the newest, as long as a majority is honest.
//!
//! The text has a coalition's name where a checkpoint has its size, so neither can pass for the
//! other.

use std::collections::BTreeMap;

use super::document::Kind;
use super::keys;
use super::signed;
use super::{Member, MemberId, RosterError, Timestamp, TrustedRoot, TrustedRoster};
use crate::envelope::NoteKey;
use crate::envelope::note::{self, Note, NoteSignature};

/// How old a proof may be, in seconds, before a node should suspect that it is held in the past:
/// two days, so that one missed round alarms nobody.
pub const FRESHNESS_MAX_AGE: u64 = 2 * 86_400;

/// How fresh a roster is proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// Up to this time at least a majority held the roster for the newest.
    pub as_of: Timestamp,
    /// Who said so then or later.
    pub by: Vec<MemberId>,
}

impl Freshness {
    /// Whether the proof is at most `max_age` seconds old at `now` (unix seconds).
    pub fn is_fresh(&self, now: u64, max_age: u64) -> bool {
        self.as_of.unix().saturating_add(max_age) >= now
    }
}

/// The text that members' nodes cosign, each with its own time, for as long as they trust this root
/// and this roster as the newest.
pub fn freshness_text(root: &TrustedRoot, roster: &TrustedRoster) -> String {
    format!(
        "{}\ncoalition {}\nroot {} {}\nroster {} {}\n",
        Kind::Freshness.header(),
        root.root().coalition,
        root.version(),
        root.digest(),
        roster.version(),
        roster.digest()
    )
}

/// Checks a proof of freshness for the root and roster that this node trusts, at `now` (unix
/// seconds).
///
/// Refuses what speaks of another roster, and what fewer than half the active members signed. A
/// time ahead of `now` counts as `now`.
pub fn check_freshness(
    note: &[u8],
    root: &TrustedRoot,
    roster: &TrustedRoster,
    now: u64,
) -> Result<Freshness, RosterError> {
    let note = read(note, root, roster)?;
    let members: Vec<&Member> = roster.holders(now).collect();
    let need = members.len() / 2 + 1;
    let mut said: Vec<(u64, MemberId)> = times(&note, &members)
        .into_iter()
        .map(|(id, (time, _))| (time.min(now), id))
        .collect();
    // Newest first, so that the last of the majority bounds the time from below.
    said.sort_by(|a, b| b.cmp(a));
    match said.get(need - 1) {
        None => Err(RosterError::NotVouched {
            have: said.len(),
            need,
        }),
        Some((as_of, _)) => {
            let as_of = *as_of;
            let by = said
                .into_iter()
                .take_while(|(time, _)| *time >= as_of)
                .map(|(_, id)| id);
            Ok(Freshness {
                as_of: Timestamp::from_unix(as_of),
                by: by.collect(),
            })
        }
    }
}

/// Puts cosignatures from several notes over the same text together, the newest valid one of each
/// active member. What does not verify is left out.
pub fn gather_freshness(
    notes: &[&[u8]],
    root: &TrustedRoot,
    roster: &TrustedRoster,
    now: u64,
) -> Result<String, RosterError> {
    let members: Vec<&Member> = roster.holders(now).collect();
    let mut newest = BTreeMap::new();
    for bytes in notes {
        for (id, (time, line)) in times(&read(bytes, root, roster)?, &members) {
            let entry = newest.entry(id).or_insert((time, line.clone()));
            if time > entry.0 {
                *entry = (time, line);
            }
        }
    }
    let lines = newest.into_values().map(|(_, line)| line).collect();
    let text = freshness_text(root, roster);
    let whole = Note::from_parts(text, lines)
        .map_err(|error| RosterError::not_a_note(Kind::Freshness, &error))?;
    Ok(whole.to_string())
}

fn read(note: &[u8], root: &TrustedRoot, roster: &TrustedRoster) -> Result<Note, RosterError> {
    let note = signed::read(Kind::Freshness, note)?;
    if note.unverified_text() != freshness_text(root, roster) {
        return Err(RosterError::OtherRosterVouched {
            version: roster.version(),
        });
    }
    Ok(note)
}

/// The newest valid cosignature of each member, with its time.
fn times(note: &Note, members: &[&Member]) -> BTreeMap<MemberId, (u64, NoteSignature)> {
    let mut newest: BTreeMap<MemberId, (u64, NoteSignature)> = BTreeMap::new();
    for member in members {
        let key = member
            .witness_vkey
            .as_ref()
            .and_then(|vkey| vkey.parse::<NoteKey>().ok());
        let Some(key) = key else { continue };
        for line in note.signatures() {
            let Some(time) = time_of(note.unverified_text(), line, &key) else {
                continue;
            };
            if newest
                .get(&member.id)
                .is_none_or(|(known, _)| time > *known)
            {
                newest.insert(member.id.clone(), (time, line.clone()));
            }
        }
    }
    newest
}

fn time_of(text: &str, line: &NoteSignature, key: &NoteKey) -> Option<u64> {
    if !keys::is_of(line, key) {
        return None;
    }
    let alone = Note::from_parts(text, vec![line.clone()]).ok()?;
    let verified = note::verify_threshold(&alone, std::slice::from_ref(key), 1).ok()?;
    verified.signatures().first()?.unix_seconds
}

#[cfg(test)]
mod tests {
    use super::super::sample::*;
    use super::super::*;
    use super::*;
    use crate::envelope::{Cosigner, KeyName};

    fn cosigner(short: &str) -> Cosigner {
        let name = KeyName::new(format!("{short}.{COALITION}/witness")).unwrap();
        Cosigner::new(name, signing_key(&format!("witness key of {short}")))
    }

    /// A note in which each of the given members vouches for a text at its time.
    fn vouched(text: &str, by: &[(&str, u64)]) -> Vec<u8> {
        let lines = by
            .iter()
            .map(|(short, time)| cosigner(short).cosign(text, *time).unwrap());
        Note::from_parts(text, lines.collect())
            .unwrap()
            .to_string()
            .into_bytes()
    }

    fn trusted() -> (TrustStore, String) {
        let store = store();
        let text = freshness_text(store.root(), store.roster().unwrap());
        (store, text)
    }

    fn check(store: &TrustStore, note: &[u8], now: u64) -> Result<Freshness, RosterError> {
        check_freshness(note, store.root(), store.roster().unwrap(), now)
    }

    #[test]
    fn the_majority_bounds_the_time() {
        let (store, text) = trusted();
        let now = now();
        let note = vouched(
            &text,
            &[("de", now - 900), ("pl", now - 10), ("ua", now - 300)],
        );
        let fresh = check(&store, &note, now).unwrap();
        assert_eq!(
            fresh.as_of.unix(),
            now - 300,
            "two of three said so at this time or later"
        );
        assert_eq!(fresh.by, [id("pl"), id("ua")]);
        assert!(fresh.is_fresh(now, 300) && !fresh.is_fresh(now, 299));
    }

    #[test]
    fn one_liar_moves_nothing() {
        let (store, text) = trusted();
        let now = now();
        let note = vouched(&text, &[("de", now - 900), ("pl", now + 1_000_000)]);
        assert_eq!(check(&store, &note, now).unwrap().as_of.unix(), now - 900);
        let note = vouched(&text, &[("de", now + 5), ("pl", now + 1_000_000)]);
        let fresh = check(&store, &note, now).unwrap();
        assert_eq!(fresh.as_of.unix(), now, "nobody knows the future");
        let note = vouched(&text, &[("pl", now), ("pl", now - 1)]);
        assert_eq!(check(&store, &note, now).unwrap_err().code(), "NOT_VOUCHED");
    }

    #[test]
    fn strangers_forgeries_and_other_rosters_do_not_count() {
        let (store, text) = trusted();
        let now = now();
        let code = |note: &[u8]| check(&store, note, now).unwrap_err().code();
        assert_eq!(
            code(&vouched(&text, &[("pl", now), ("xx", now)])),
            "NOT_VOUCHED"
        );
        let newer = text.replace("roster 5", "roster 6");
        assert_eq!(
            code(&vouched(&newer, &[("pl", now), ("ua", now)])),
            "OTHER_ROSTER_VOUCHED"
        );
        let moved = String::from_utf8(vouched(&newer, &[("pl", now), ("ua", now)])).unwrap();
        assert_eq!(
            code(moved.replace("roster 6", "roster 5").as_bytes()),
            "NOT_VOUCHED"
        );
        assert_eq!(
            code(&signed_roster(&roster(5, 1), &["a", "b"])),
            "WRONG_TYPE"
        );
        assert_eq!(code(b"x"), "NOT_A_NOTE");
    }

    #[test]
    fn a_suspended_member_neither_counts_nor_is_counted() {
        let mut store = store();
        let mut next = roster(6, 1);
        next.suspend(&id("de"), time("2026-03-01T00:00:00Z"))
            .unwrap();
        let note = signed_roster(&next, &["a", "b"]);
        assert_eq!(store.update_roster(&note, now()), Ok(Update::Updated));
        let text = freshness_text(store.root(), store.roster().unwrap());
        let code = |by: &[(&str, u64)]| {
            check(&store, &vouched(&text, by), now())
                .map_err(|error| error.code())
                .err()
        };
        assert_eq!(code(&[("de", now()), ("pl", now())]), Some("NOT_VOUCHED"));
        assert_eq!(code(&[("ua", now()), ("pl", now())]), None);
    }

    #[test]
    fn what_was_gathered_holds_the_newest_of_each() {
        let (store, text) = trusted();
        let now = now();
        let first = vouched(&text, &[("pl", now - 50), ("xx", now)]);
        let second = vouched(&text, &[("pl", now - 20), ("ua", now - 40)]);
        let (root, roster) = (store.root(), store.roster().unwrap());
        let both = gather_freshness(&[&first, &second], root, roster, now).unwrap();
        let expected = vouched(&text, &[("pl", now - 20), ("ua", now - 40)]);
        assert_eq!(both.as_bytes(), expected);
        assert_eq!(
            check(&store, both.as_bytes(), now).unwrap().as_of.unix(),
            now - 40
        );
        assert_eq!(
            gather_freshness(&[], root, roster, now).unwrap_err().code(),
            "NOT_A_NOTE",
            "a note without signatures is none"
        );
    }
}
