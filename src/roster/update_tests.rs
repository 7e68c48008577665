use proptest::prelude::*;

use super::super::sample::*;
use super::super::*;

fn code(outcome: Result<Update, RosterError>) -> &'static str {
    match outcome {
        Ok(Update::Updated) => "UPDATED",
        Ok(Update::Unchanged) => "UNCHANGED",
        Err(error) => error.code(),
    }
}

fn versions(root: u32, roster: u32, roster_root: u32) -> Versions {
    Versions {
        root,
        roster,
        roster_root,
    }
}

#[test]
fn one_cycle_walks_the_roots_and_takes_the_roster() {
    let mut store = store();
    let second = signed_root(&root(2, &["b", "c", "d"]), &["a", "b", "d"]);
    let third = signed_root(&root(3, &["c", "d", "e"]), &["c", "d"]);
    let newest = signed_roster(&roster(6, 3), &["d", "e"]);
    let roots = [&*second, &*third];
    assert_eq!(code(store.update(roots, Some(&newest), now())), "UPDATED");
    assert_eq!(store.versions(), versions(3, 6, 3));
    assert_eq!(code(store.update(roots, Some(&newest), now())), "UNCHANGED");
    assert_eq!(code(store.update([], None, now())), "UNCHANGED");
    let passed_on: Vec<_> = store.roots_above(1).map(str::as_bytes).collect();
    assert_eq!(passed_on, roots);
    assert_eq!(store.roster().unwrap().note().as_bytes(), newest);
}

#[test]
fn a_refused_roster_leaves_the_roots_that_were_taken() {
    let mut store = store();
    let second = signed_root(&root(2, &["a", "b", "c"]), &["a", "b"]);
    let wrong = signed_roster(&roster(6, 2), &["a", "x"]);
    assert_eq!(
        code(store.update([&*second], Some(&wrong), now())),
        "UNKNOWN_KEY"
    );
    assert_eq!(store.versions(), versions(2, 5, 1));
}

#[test]
fn a_root_that_renews_the_same_keys_lowers_no_floor() {
    let mut store = store();
    let renewed = signed_root(&root(2, &["a", "b", "c"]), &["a", "b"]);
    assert_eq!(code(store.update_root(&renewed, now())), "UPDATED");
    assert!(store.roster_in_force(now()).is_ok());
    let older = signed_roster(&roster(4, 2), &["a", "b"]);
    assert_eq!(code(store.update_roster(&older, now())), "ROLLBACK");
}

#[test]
fn a_change_of_one_key_keeps_a_roster_that_the_others_signed() {
    let mut kept = store();
    let c_leaves = signed_root(&root(2, &["a", "b", "d"]), &["a", "b"]);
    assert_eq!(code(kept.update_root(&c_leaves, now())), "UPDATED");
    assert_eq!(kept.roster_in_force(now()).unwrap().version(), 5);
    let lower = signed_roster(&roster(3, 2), &["a", "d"]);
    assert_eq!(code(kept.update_roster(&lower, now())), "UPDATED");

    let mut dropped = store();
    let b_leaves = signed_root(&root(2, &["a", "c", "d"]), &["a", "b", "d"]);
    assert_eq!(code(dropped.update_root(&b_leaves, now())), "UPDATED");
    let refusal = dropped.roster_in_force(now()).unwrap_err();
    assert_eq!(refusal, RosterError::NoRoster { root_version: 2 });
}

#[test]
fn an_epoch_keeps_its_key_until_the_root_keys_change() {
    let other = |version: u32, root_version: u32| {
        let mut roster = roster(version, root_version);
        let key = roster.coalition_key.current.as_mut().unwrap();
        key.public_key = bytes("another key for epoch 1");
        roster
    };
    let mut store = store();
    let before = store.to_state();
    let note = signed_roster(&other(6, 1), &["a", "b"]);
    assert_eq!(code(store.update_roster(&note, now())), "OTHER_KEY");
    assert_eq!(store.to_state(), before);
    // The same key in another place of the rotation, beside a new one, is no other key.
    let entered = Roster {
        coalition_key: CoalitionKeys {
            previous: Some(coalition_key(1, &["de", "pl", "ua"])),
            current: Some(coalition_key(2, &["de", "pl", "ua"])),
            next: None,
        },
        ..roster(6, 1)
    };
    let note = signed_roster(&entered, &["a", "b"]);
    assert_eq!(code(store.update_roster(&note, now())), "UPDATED");
    // As the one that is being left, it is held to what it was all the same.
    let mut left = entered.clone();
    left.version = 7;
    left.coalition_key.previous.as_mut().unwrap().public_key = bytes("another key for epoch 1");
    let note = signed_roster(&left, &["a", "b"]);
    assert_eq!(code(store.update_roster(&note, now())), "OTHER_KEY");

    // A root that only renews the same keys frees nobody; one of other keys begins anew.
    let mut store = self::store();
    let renewed = signed_root(&root(2, &["a", "b", "c"]), &["a", "b"]);
    assert_eq!(code(store.update_root(&renewed, now())), "UPDATED");
    let note = signed_roster(&other(6, 2), &["a", "b"]);
    assert_eq!(code(store.update_roster(&note, now())), "OTHER_KEY");
    let replaced = signed_root(&root(3, &["a", "b", "d"]), &["a", "b"]);
    assert_eq!(code(store.update_root(&replaced, now())), "UPDATED");
    assert!(
        store.roster().is_some(),
        "the new keys vouch for the old roster"
    );
    let note = signed_roster(&other(1, 3), &["a", "d"]);
    assert_eq!(code(store.update_roster(&note, now())), "UPDATED");
    let note = signed_roster(&roster(2, 3), &["a", "d"]);
    assert_eq!(code(store.update_roster(&note, now())), "OTHER_KEY");
}

#[test]
fn a_higher_threshold_is_a_change_of_authority() {
    let mut store = store();
    let stricter = Root {
        threshold: 3,
        ..root(2, &["a", "b", "c"])
    };
    let note = signed_root(&stricter, &["a", "b"]);
    assert_eq!(code(store.update_root(&note, now())), "BELOW_OWN_THRESHOLD");
    let note = signed_root(&stricter, &["a", "b", "c"]);
    assert_eq!(code(store.update_root(&note, now())), "UPDATED");
    assert!(store.roster().is_none(), "two signatures no longer suffice");
}

#[test]
fn the_roster_in_force_ends_with_its_expiry_the_roots_or_the_clock() {
    let mut store = store();
    let at = |text: &str| time(text).unix();
    assert!(store.roster_in_force(at("2026-05-31T23:59:59Z")).is_ok());
    let refused =
        |store: &TrustStore, text: &str| store.roster_in_force(at(text)).unwrap_err().code();
    assert_eq!(refused(&store, "2026-06-01T00:00:00Z"), "EXPIRED");
    assert_eq!(refused(&store, "2027-01-01T00:00:00Z"), "ROOT_EXPIRED");
    assert_eq!(refused(&store, "2026-03-02T11:58:00Z"), "CLOCK_WENT_BACK");
    store.accept_clock(at("2026-03-02T11:58:00Z"));
    assert!(store.roster_in_force(at("2026-03-02T11:58:00Z")).is_ok());
}

#[test]
fn a_time_seen_once_is_remembered() {
    let mut store = store();
    assert_eq!(store.see_time(now() + 1_000), Ok(()));
    let back = store.see_time(now()).unwrap_err();
    assert_eq!(back.code(), "CLOCK_WENT_BACK");
    assert!(store.roster_in_force(now()).is_err());
    assert!(
        store
            .roster_in_force(now() + 1_000 - CLOCK_TOLERANCE)
            .is_ok()
    );
}

#[test]
fn a_clock_that_falls_back_a_little_does_not_revive_what_expired() {
    let mut store = store();
    let expiry = time("2026-06-01T00:00:00Z").unix();
    let newer = signed_roster(&roster(6, 1), &["a", "b"]);
    assert_eq!(code(store.update_roster(&newer, expiry)), "EXPIRED");
    assert_eq!(
        code(store.update_roster(&newer, expiry - CLOCK_TOLERANCE)),
        "EXPIRED"
    );
}

#[test]
fn a_chain_has_an_end() {
    let mut store = store();
    let keys = ["a", "b"];
    for version in 2..=MAX_ROOTS as u32 {
        let next = signed_root(&root(version, &keys), &keys);
        let outcome = store.update_root(&next, now());
        // The first step needs the old threshold, which a and b are.
        assert_eq!(code(outcome), "UPDATED", "{version}");
    }
    let next = signed_root(&root(MAX_ROOTS as u32 + 1, &keys), &keys);
    assert_eq!(code(store.update_root(&next, now())), "TOO_MANY_ROOTS");
    let endless = std::iter::repeat_n(store.root().note().to_owned(), MAX_ROOTS + 1);
    let endless: Vec<_> = endless.collect();
    let endless = endless.iter().map(|note| note.as_bytes());
    assert_eq!(code(store.update(endless, None, now())), "TOO_MANY_ROOTS");
}

#[test]
fn no_single_altered_byte_is_taken() {
    let note = signed_roster(&roster(6, 1), &["a", "b"]);
    let next = signed_root(&root(2, &["a", "b", "d"]), &["a", "b"]);
    let mut store = store();
    for at in 0..note.len() {
        let mut altered = note.clone();
        altered[at] ^= 1;
        assert!(store.update_roster(&altered, now()).is_err(), "byte {at}");
    }
    for at in 0..next.len() {
        let mut altered = next.clone();
        altered[at] ^= 0x20;
        assert!(store.update_root(&altered, now()).is_err(), "byte {at}");
    }
    assert_eq!(store.versions(), versions(1, 5, 1));
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic_and_change_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        now in any::<u64>(),
    ) {
        let mut store = store();
        let before = store.versions();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let long = format!("wayhome/roster/v1\n{text}\n\n— a AAAAAAAA\n");
        for bytes in [&bytes[..], text.as_bytes(), long.as_bytes()] {
            prop_assert!(store.update_root(bytes, now).is_err());
            prop_assert!(store.update_roster(bytes, now).is_err());
            prop_assert!(TrustStore::new(bytes).is_err());
        }
        prop_assert_eq!(store.versions(), before);
    }

    #[test]
    fn the_version_never_falls_under_the_same_keys(
        versions in proptest::collection::vec((1u32..40, any::<bool>()), 1..12)
    ) {
        let mut store = store();
        let pinned = store.root().note().to_owned();
        for (version, restart) in versions {
            let before = store.versions().roster;
            let note = signed_roster(&roster(version, 1), &["b", "c"]);
            let outcome = code(store.update_roster(&note, now()));
            let expected = match version.cmp(&before) {
                std::cmp::Ordering::Less => "ROLLBACK",
                std::cmp::Ordering::Equal => "UNCHANGED",
                std::cmp::Ordering::Greater => "UPDATED",
            };
            prop_assert_eq!(outcome, expected);
            if restart {
                store = TrustStore::from_state(pinned.as_bytes(), &store.to_state()).unwrap();
            }
            prop_assert_eq!(store.versions().roster, before.max(version));
        }
    }
}
