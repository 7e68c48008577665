//! Shares renewed, restored and handed on: the key stays, and whoever cheats is named.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

use super::crashes::with_effects;
use super::*;
use crate::node::shares::{KeptShare, Verdict, base_of};
use crate::oprf::KeyShare;
use crate::oprf::ceremony::{RepairHelper, SecretMessage};
use crate::roster;

const FOUR: [&str; 4] = ["ua", "pl", "de", "ca"];

/// A coalition with a key of epoch 1, 3 of 4, that its roster states; a fifth party is a keyholder
/// in name.
fn with_key() -> (Coalition, roster::CoalitionKey) {
    let mut coalition = Coalition::new();
    let ceremony = coalition.start("first");
    finish_with(&coalition, "first", &FOUR);
    let key = ceremony.finish().unwrap().key;
    let directory = coalition.directory("fr");
    let identity = Identity::create(&directory, &id("fr"), &coalition.ambient).unwrap();
    let stated = key.clone();
    coalition.adopt(|roster| {
        roster.coalition_key.current = Some(stated);
        roster.add(member("fr", "France", 5, &identity)).unwrap();
    });
    (coalition, key)
}

impl Coalition {
    /// The next roster comes into force.
    fn adopt(&mut self, edit: impl FnOnce(&mut Roster)) {
        self.roster.version += 1;
        edit(&mut self.roster);
        let note = signed(&self.roster);
        let _ = self.trust.update_roster(note.as_bytes(), NOW).unwrap();
    }

    fn in_force(&self) -> &TrustedRoster {
        self.trust.roster_in_force(NOW).unwrap()
    }

    fn kept(&self, who: &str) -> Vec<KeptShare> {
        self.identity(who).shares(&self.directory(who)).unwrap()
    }

    /// The one share of a party that fits a key.
    fn share_of(&self, who: &str, key: &roster::CoalitionKey) -> KeyShare {
        let stated = key.keyholder(who).unwrap().verifying_share;
        let mut fitting = self.kept(who);
        fitting.retain(|kept| kept.verifying_share() == stated);
        assert_eq!(fitting.len(), 1, "{who}");
        fitting.remove(0).holding.share
    }
}

/// Everybody named comes to the table until nothing is left to do.
fn finish_with(coalition: &Coalition, folder: &str, who: &[&str]) {
    for _ in 0..5 {
        for who in who {
            coalition.join_in(folder, who).unwrap();
        }
    }
    for who in who {
        let joined = coalition.join_in(folder, who).unwrap();
        assert_eq!((joined.did, joined.waits_for), (Vec::new(), None), "{who}");
    }
}

fn refresh(keyholders: &[&str]) -> Terms {
    Terms::Refresh {
        epoch: None,
        keyholders: Some(keyholders.iter().map(|who| id(who)).collect()),
    }
}

fn repair(target: &str) -> Terms {
    Terms::Repair {
        epoch: None,
        target: id(target),
        helpers: None,
    }
}

fn replace(leaves: &str, joins: &str) -> Terms {
    Terms::Replace {
        epoch: None,
        leaves: id(leaves),
        joins: id(joins),
    }
}

/// The secret at zero of the polynomial through shares, times the generator: by a Lagrange
/// interpolation that stands apart from the program's.
fn interpolated(shares: &[KeyShare]) -> Bytes32 {
    let points: Vec<(Scalar, Scalar)> = shares
        .iter()
        .map(|share| {
            let bytes = share.to_bytes();
            let secret: [u8; 32] = bytes[2..].try_into().unwrap();
            let secret = Scalar::from_canonical_bytes(secret).unwrap();
            (Scalar::from(share.identifier()), secret)
        })
        .collect();
    let mut sum = Scalar::ZERO;
    for (x, y) in &points {
        let mut weight = Scalar::ONE;
        for (other, _) in points.iter().filter(|(other, _)| other != x) {
            weight *= -other * (x - other).invert();
        }
        sum += y * weight;
    }
    Bytes32::new(RistrettoPoint::mul_base(&sum).compress().to_bytes())
}

fn shares(coalition: &Coalition, key: &roster::CoalitionKey, who: &[&str]) -> Vec<KeyShare> {
    who.iter().map(|who| coalition.share_of(who, key)).collect()
}

#[test]
fn renewed_shares_are_of_the_same_key_and_do_not_fit_the_old_ones() {
    let (mut coalition, old) = with_key();
    let ceremony = coalition.call("refresh", &refresh(&FOUR)).unwrap();
    assert!(ceremony.leaving().is_empty());
    finish_with(&coalition, "refresh", &FOUR);
    let new = ceremony.finish().unwrap().key;
    assert_eq!(new.public_key, old.public_key);
    for subset in [["ua", "pl", "de"], ["pl", "de", "ca"], ["ua", "de", "ca"]] {
        assert_eq!(
            interpolated(&shares(&coalition, &new, &subset)),
            new.public_key
        );
        assert_eq!(
            interpolated(&shares(&coalition, &old, &subset)),
            old.public_key
        );
    }
    let mut mixed = shares(&coalition, &new, &["ua", "pl"]);
    mixed.extend(shares(&coalition, &old, &["de"]));
    assert_ne!(interpolated(&mixed), new.public_key);

    // Both lie side by side until a roster names the new one; then the old one is to go.
    let verdicts = |coalition: &Coalition, in_use: &roster::CoalitionKey| {
        let named = in_use.keyholder("pl").unwrap().verifying_share;
        let mut verdicts = BTreeMap::new();
        for kept in coalition.kept("pl") {
            let is_named = kept.verifying_share() == named;
            verdicts.insert(is_named, kept.verdict(&id("pl"), coalition.in_force()));
        }
        verdicts
    };
    let kept = verdicts(&coalition, &old);
    assert_eq!(kept, [(true, Verdict::Use), (false, Verdict::Keep)].into());
    coalition.adopt(|roster| roster.coalition_key.current = Some(new.clone()));
    let kept = verdicts(&coalition, &new);
    assert_eq!(
        kept,
        [(true, Verdict::Use), (false, Verdict::Destroy)].into()
    );
}

#[test]
fn a_roster_that_may_be_older_than_a_share_or_states_another_key_destroys_none() {
    let (mut coalition, old) = with_key();
    let before = coalition.trusted(|_| {});
    let ceremony = coalition.call("refresh", &refresh(&FOUR)).unwrap();
    finish_with(&coalition, "refresh", &FOUR);
    let new = ceremony.finish().unwrap().key;
    // A roster about something else comes in between.
    coalition.adopt(|_| {});
    let between = coalition.trusted(|_| {});
    coalition.adopt(|roster| roster.coalition_key.current = Some(new.clone()));
    let named = new.keyholder("pl").unwrap().verifying_share;
    let renewed = coalition
        .kept("pl")
        .into_iter()
        .find(|kept| kept.verifying_share() == named);
    let mut renewed = renewed.unwrap();
    renewed.take_into_use().unwrap();
    let pl = id("pl");
    assert_eq!(renewed.verdict(&pl, coalition.in_force()), Verdict::Use);
    // As after a database was restored: an old roster knows only the shares that were before.
    for older in [&before, &between] {
        assert_eq!(renewed.verdict(&pl, older), Verdict::Keep);
    }
    // Versions begin anew under other root keys: a low one may be later, and names others' shares.
    let later = coalition.trusted(|roster| {
        roster.root_version = 2;
        roster.version = 1;
        let key = roster.coalition_key.current.as_mut().unwrap();
        let pl = key
            .keyholders
            .iter_mut()
            .find(|keyholder| keyholder.member == pl);
        let of_before = old.keyholder("pl").unwrap().verifying_share;
        pl.unwrap().verifying_share = of_before;
    });
    assert_eq!(renewed.verdict(&pl, &later), Verdict::Destroy);
    // Signed by stolen keys: all shares of the epoch would be gone at once.
    let other_key = coalition.trusted(|roster| {
        roster.version += 1;
        let key = roster.coalition_key.current.as_mut().unwrap();
        *key = old.clone();
        key.public_key = new.keyholders[0].verifying_share;
    });
    assert_eq!(renewed.verdict(&pl, &other_key), Verdict::Keep);
}

#[test]
fn two_ceremonies_of_one_epoch_overwrite_nothing_and_the_roster_decides() {
    let (mut coalition, old) = with_key();
    let first = coalition.call("first refresh", &refresh(&FOUR)).unwrap();
    let second = coalition.call("second refresh", &refresh(&FOUR)).unwrap();
    finish_with(&coalition, "second refresh", &FOUR);
    finish_with(&coalition, "first refresh", &FOUR);
    let (first, second) = (first.finish().unwrap().key, second.finish().unwrap().key);
    assert_eq!(coalition.kept("ua").len(), 3);
    for key in [&old, &first, &second] {
        let three = shares(&coalition, key, &["ua", "de", "ca"]);
        assert_eq!(interpolated(&three), old.public_key);
    }
    coalition.adopt(|roster| roster.coalition_key.current = Some(first.clone()));
    for kept in coalition.kept("ua") {
        let named = first.keyholder("ua").unwrap().verifying_share;
        let expected = if kept.verifying_share() == named {
            Verdict::Use
        } else {
            // Made from shares that are in use no more, so no roster can name it.
            Verdict::Destroy
        };
        assert_eq!(kept.verdict(&id("ua"), coalition.in_force()), expected);
    }
    // A ceremony called before is none any more, and its folder brings no second change.
    let error = coalition
        .open("second refresh")
        .unwrap()
        .join(
            &coalition.directory("fr"),
            &coalition.identity("fr"),
            &id("fr"),
            None,
            None,
            &coalition.ambient,
        )
        .unwrap_err();
    assert_eq!(error.code(), "NOT_TAKING_PART");
    let third = coalition.call("third", &refresh(&FOUR)).unwrap();
    coalition.adopt(|roster| roster.coalition_key.current = Some(second.clone()));
    let error = third
        .join(
            &coalition.directory("ua"),
            &coalition.identity("ua"),
            &id("ua"),
            Some(&third.fingerprint()),
            Some(coalition.in_force()),
            &coalition.ambient,
        )
        .unwrap_err();
    assert_eq!(error.code(), "ROSTER_CHANGED", "{error}");
}

#[test]
fn whoever_is_left_out_of_a_refresh_has_no_share_any_more() {
    let (mut coalition, old) = with_key();
    let ceremony = coalition
        .call("refresh", &refresh(&["ua", "pl", "de"]))
        .unwrap();
    assert_eq!(ceremony.leaving(), [&id("ca")]);
    finish_with(&coalition, "refresh", &["ua", "pl", "de"]);
    let new = ceremony.finish().unwrap().key;
    assert_eq!(new.public_key, old.public_key);
    assert!(new.keyholder("ca").is_none());
    let refused = coalition.join_in("refresh", "ca").unwrap_err();
    assert_eq!(refused.code(), "NOT_TAKING_PART");
    let mut mixed = shares(&coalition, &new, &["ua", "pl"]);
    mixed.extend(shares(&coalition, &old, &["ca"]));
    assert_ne!(interpolated(&mixed), old.public_key);
    coalition.adopt(|roster| roster.coalition_key.current = Some(new));
    let mut kept = coalition.kept("ca");
    let left = &mut kept[0];
    left.take_into_use().unwrap();
    assert_eq!(
        left.verdict(&id("ca"), coalition.in_force()),
        Verdict::Destroy
    );
}

#[test]
fn a_lost_share_is_restored_as_it_was() {
    let (coalition, key) = with_key();
    let lost = coalition.share_of("pl", &key).to_bytes();
    for (path, _) in shares_of(&coalition, "pl") {
        fs::remove_file(path).unwrap();
    }
    let ceremony = coalition.call("repair", &repair("pl")).unwrap();
    assert_eq!(ceremony.plan().helpers, [1, 3, 4]);
    finish_with(&coalition, "repair", &FOUR);
    let outcome = ceremony.finish().unwrap();
    assert_eq!(outcome.key.keyholders, key.keyholders);
    assert_eq!(coalition.share_of("pl", &key).to_bytes(), lost);
    // The helpers have what they had.
    assert_eq!(coalition.kept("ua").len(), 1);
    let restored = &coalition.kept("pl")[0];
    assert_eq!(
        restored.verdict(&id("pl"), coalition.in_force()),
        Verdict::Use
    );
}

#[test]
fn a_further_keyholder_gets_a_share_of_the_same_key() {
    let (coalition, key) = with_key();
    let ceremony = coalition.call("repair", &repair("fr")).unwrap();
    finish_with(&coalition, "repair", &["ua", "pl", "de", "fr"]);
    let outcome = ceremony.finish().unwrap();
    assert_eq!(outcome.key.keyholders.len(), 5);
    assert_eq!(outcome.key.keyholders[..4], key.keyholders[..]);
    // Canada took no part, and its place is kept.
    assert!(outcome.key.keyholder("ca").is_some());
    let three = shares(&coalition, &outcome.key, &["fr", "ua", "ca"]);
    assert_eq!(interpolated(&three), key.public_key);
    // It waits for a roster that states it.
    let kept = &coalition.kept("fr")[0];
    assert_eq!(kept.verdict(&id("fr"), coalition.in_force()), Verdict::Keep);
    coalition.trusted(|roster| roster.coalition_key.current = Some(outcome.key.clone()));
}

#[test]
fn a_keyholder_is_replaced_and_its_share_is_worth_nothing_beside_the_new_ones() {
    let (mut coalition, old) = with_key();
    coalition.adopt(|roster| {
        roster
            .suspend(&id("ca"), Timestamp::from_unix(NOW - 1))
            .unwrap();
    });
    let ceremony = coalition.call("replace", &replace("ca", "fr")).unwrap();
    assert_eq!(ceremony.leaving(), [&id("ca")]);
    assert_eq!(ceremony.plan().helpers, [1, 2, 3]);
    finish_with(&coalition, "replace", &["fr", "ua", "pl", "de"]);
    let outcome = ceremony.finish().unwrap();
    let holders: Vec<&str> = outcome
        .key
        .keyholders
        .iter()
        .map(|of| of.member.as_str())
        .collect();
    assert_eq!(holders, ["ua", "pl", "de", "fr"]);
    assert_eq!(outcome.key.public_key, old.public_key);
    for subset in [["ua", "pl", "fr"], ["pl", "de", "fr"], ["ua", "pl", "de"]] {
        let three = shares(&coalition, &outcome.key, &subset);
        assert_eq!(interpolated(&three), old.public_key);
    }
    let mut mixed = shares(&coalition, &outcome.key, &["fr", "ua"]);
    mixed.extend(shares(&coalition, &old, &["ca"]));
    assert_ne!(interpolated(&mixed), old.public_key);
    // The share in between, on the old polynomial, was never stored.
    assert_eq!(coalition.kept("fr").len(), 1);
    for who in ["ua", "pl", "de", "fr"] {
        let keys = files_below(&coalition.path(who).join("keys"));
        assert!(
            !keys
                .iter()
                .any(|(path, _)| path.to_string_lossy().contains("ceremony-"))
        );
    }
    // The encrypted messages are gone, and who comes years later can check it all the same.
    for folder in ["round-2", "repair-2", "repair-3"] {
        assert!(!coalition.path("replace").join(folder).exists());
    }
    let archive = coalition.path("archive");
    copy_folder(&coalition.path("replace"), &archive);
    let again = Ceremony::open(&archive, coalition.trust.root()).unwrap();
    assert_eq!(again.verify_results().unwrap(), outcome);
    fs::write(archive.join("coalition-key.json"), "{}\n").unwrap();
    assert_eq!(again.verify_results().unwrap_err().code(), "RESULT_DIFFERS");
    coalition.adopt(|roster| roster.coalition_key.current = Some(outcome.key));
}

#[test]
fn whoever_stops_halfway_is_named_and_the_others_go_on_when_it_returns() {
    let (coalition, _) = with_key();
    let ceremony = coalition.call("replace", &replace("ca", "fr")).unwrap();
    for who in ["ua", "pl", "de", "fr", "ua", "pl", "fr", "ua"] {
        coalition.join_in("replace", who).unwrap();
    }
    let waits_for = coalition
        .join_in("replace", "ua")
        .unwrap()
        .waits_for
        .unwrap();
    assert_eq!(waits_for.round, Round::RepairPart);
    assert_eq!(waits_for.members, [id("de")]);
    let waits_for = coalition
        .join_in("replace", "fr")
        .unwrap()
        .waits_for
        .unwrap();
    assert_eq!(waits_for.round, Round::RepairAnswer);
    assert_eq!(waits_for.members, [id("ua"), id("pl"), id("de")]);
    let unfinished = ceremony.finish().unwrap_err();
    assert_eq!(unfinished.code(), "UNFINISHED");
    assert!(
        unfinished.to_string().contains("Germany (de)"),
        "{unfinished}"
    );
    let status = ceremony.status();
    let parts = status.keyholders[2].progress(Round::RepairPart).unwrap();
    assert_eq!((parts.done, parts.of), (0, 2));
    finish_with(&coalition, "replace", &["ua", "pl", "de", "fr"]);
    ceremony.finish().unwrap();
}

/// A ceremony in which the `effects + 1`st effect of `victim` never happens. Gives whether there
/// was such an effect.
fn killed_after(effects: usize, victim: &str, prepared: &Coalition) -> bool {
    let coalition = Coalition {
        home: tempfile::tempdir().unwrap(),
        ambient: prepared.ambient.clone(),
        roster: prepared.roster.clone(),
        trust: prepared.trust.clone(),
    };
    copy_folder(prepared.home.path(), coalition.home.path());
    let ceremony = coalition.call("replace", &replace("ca", "fr")).unwrap();
    let mut left = Some(effects);
    let mut waiting = 4;
    while waiting > 0 {
        waiting = 0;
        for who in ["ua", "pl", "de", "fr"] {
            let (true, Some(allowed)) = (who == victim, left) else {
                let joined = coalition.join_in("replace", who).unwrap();
                waiting += usize::from(joined.waits_for.is_some());
                continue;
            };
            let (outcome, unused) = with_effects(allowed, || {
                let outcome = coalition.join_in("replace", who);
                (outcome, EFFECTS_LEFT.get().unwrap_or_default())
            });
            match outcome {
                Ok(joined) => {
                    waiting += usize::from(joined.waits_for.is_some());
                    left = Some(unused);
                }
                Err(error) => {
                    waiting += 1;
                    assert!(error.to_string().contains("killed"), "{error}");
                    left = None;
                    coalition.join_in("replace", who).unwrap();
                }
            }
        }
    }
    let key = ceremony.finish().unwrap().key;
    let three = shares(&coalition, &key, &["ua", "pl", "fr"]);
    assert_eq!(interpolated(&three), key.public_key);
    left.is_none()
}

#[test]
fn a_helper_and_a_newcomer_killed_on_the_way_go_on() {
    let (prepared, _) = with_key();
    // Every fourth step: how a step is made durable is the same for all, and shown for each one in
    // a ceremony that makes a key.
    for (victim, first, least) in [("pl", 0, 4), ("fr", 1, 2)] {
        let effects = (first..).step_by(4);
        let killed = effects.take_while(|effects| killed_after(*effects, victim, &prepared));
        let count = killed.count();
        assert!(count >= least, "only {count} effects of {victim}");
    }
}

/// The next run of `who` in the ceremony is refused with `code`, and the refusal names `culprit`.
fn refused(coalition: &Coalition, who: &str, code: &str, culprit: &str) {
    let error = coalition.join_in("replace", who).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(culprit), "{error}");
    assert_eq!(coalition.join_in("replace", who).unwrap_err().code(), code);
}

/// Commitments are there; Poland has sent its parts, and Ukraine has read nothing of them.
fn in_the_middle() -> Coalition {
    let (coalition, _) = with_key();
    coalition.call("replace", &replace("ca", "fr")).unwrap();
    for who in ["ua", "de", "fr", "pl", "de"] {
        coalition.join_in("replace", who).unwrap();
    }
    coalition
}

/// Puts a message of Poland into a place, signed by it and, if it is for one, sealed to that one.
fn forge(coalition: &Coalition, slot: &Slot, message: &[u8]) {
    let ceremony = coalition.open("replace").unwrap();
    let body = match &slot.recipient {
        None => message.to_vec(),
        Some(recipient) => {
            let party = ceremony.roster().member(recipient.as_str()).unwrap();
            let key = party.encryption_key.unwrap();
            let rng = &mut coalition.ambient.rng();
            package::seal(&ceremony.id(), slot, &key, message, rng).unwrap()
        }
    };
    let key = coalition.identity("pl").signing;
    let text = message::write(&ceremony.id(), slot, &body, &key).unwrap();
    write(&coalition.path("replace").join(slot.file()), &text);
}

/// Poland's part in restoring the share, from its own state.
fn helper(coalition: &Coalition) -> RepairHelper {
    let ceremony = coalition.open("replace").unwrap();
    let journal = journal::Journal::open(&coalition.directory("pl"), &ceremony.id()).unwrap();
    let seed = journal
        .load_seed(journal::Part::Repair, &coalition.identity("pl"))
        .unwrap();
    let share = coalition.kept("pl").remove(0).holding.share;
    RepairHelper::from_bytes(ceremony.machines.repair.clone().unwrap(), &share, &seed).unwrap()
}

fn to(recipient: &str, round: Round) -> Slot {
    Slot::to_one(round, &id("pl"), &id(recipient))
}

fn changed(message: &SecretMessage) -> Vec<u8> {
    let mut bytes = message.as_bytes().to_vec();
    let end = bytes.len();
    bytes[end - 32..].copy_from_slice(&[&[1_u8][..], &[0; 31]].concat());
    bytes
}

#[test]
fn a_part_or_a_sum_that_contradicts_the_commitments_names_its_sender() {
    let coalition = in_the_middle();
    let parts = helper(&coalition).secret_messages();
    forge(
        &coalition,
        &to("ua", Round::RepairPart),
        &changed(&parts[&1]),
    );
    refused(&coalition, "ua", "INCONSISTENT_SHARE", "Poland (pl)");
    // A part meant for Germany, sealed to Ukraine.
    let coalition = in_the_middle();
    let parts = helper(&coalition).secret_messages();
    forge(
        &coalition,
        &to("ua", Round::RepairPart),
        parts[&3].as_bytes(),
    );
    refused(&coalition, "ua", "WRONG_RECIPIENT", "Poland (pl)");

    let coalition = in_the_middle();
    for who in ["ua", "pl", "de"] {
        coalition.join_in("replace", who).unwrap();
    }
    let ceremony = coalition.open("replace").unwrap();
    let read = |slot: Slot, who: &str| {
        let body = ceremony.message(&slot).unwrap().unwrap().body;
        let key = coalition.identity(who).encryption;
        package::open(&ceremony.id(), &slot, &key, &body).unwrap()
    };
    let sum = read(to("fr", Round::RepairAnswer), "fr");
    let sum = SecretMessage::new(sum.to_vec());
    forge(&coalition, &to("fr", Round::RepairAnswer), &changed(&sum));
    refused(&coalition, "fr", "INCONSISTENT_SHARE", "Poland (pl)");
    assert!(coalition.kept("fr").is_empty(), "nothing was stored");
}

#[test]
fn a_renewal_that_contradicts_its_commitments_names_its_sender() {
    let coalition = in_the_middle();
    for who in ["ua", "pl", "de"] {
        coalition.join_in("replace", who).unwrap();
    }
    let ceremony = coalition.open("replace").unwrap();
    let slot = to("fr", Round::Package);
    let body = ceremony.message(&slot).unwrap().unwrap().body;
    let key = coalition.identity("fr").encryption;
    let package = package::open(&ceremony.id(), &slot, &key, &body).unwrap();
    forge(
        &coalition,
        &slot,
        &changed(&SecretMessage::new(package.to_vec())),
    );
    refused(&coalition, "fr", "INCONSISTENT_SHARE", "Poland (pl)");
}

#[test]
fn messages_in_a_wrong_place_or_of_another_ceremony_name_their_sender() {
    let coalition = in_the_middle();
    let parts = helper(&coalition).secret_messages();
    // A part where a package of the renewal belongs.
    forge(&coalition, &to("ua", Round::Package), parts[&1].as_bytes());
    forge(
        &coalition,
        &to("ua", Round::RepairPart),
        parts[&1].as_bytes(),
    );
    for who in ["ua", "fr", "de"] {
        coalition.join_in("replace", who).unwrap();
    }
    refused(&coalition, "ua", "WRONG_ROUND", "Poland (pl)");

    // Commitments that do not add up to its summand: those of another ceremony under the same key.
    let (coalition, _) = with_key();
    coalition.call("replace", &replace("ca", "fr")).unwrap();
    coalition.call("other", &replace("ca", "fr")).unwrap();
    coalition.join_in("other", "pl").unwrap();
    let slot = Slot::to_all(Round::RepairCommitments, &id("pl"));
    let other = coalition.open("other").unwrap();
    let replayed = other.message(&slot).unwrap().unwrap();
    write(&coalition.path("replace").join(slot.file()), &replayed.text);
    refused(&coalition, "ua", "WRONG_CEREMONY", "Poland (pl)");
    forge(&coalition, &slot, &replayed.body);
    for who in ["de", "fr"] {
        coalition.join_in("replace", who).unwrap();
    }
    let pl = Slot::to_all(Round::Commitments, &id("pl"));
    let sharing = other.message(&pl).unwrap().unwrap();
    forge(&coalition, &pl, &sharing.body);
    refused(&coalition, "ua", "WRONG_CEREMONY", "Poland (pl)");
}

#[test]
fn terms_that_do_not_fit_the_key() {
    let (coalition, _) = with_key();
    for (terms, code) in [
        (refresh(&["ua", "pl"]), "THRESHOLD"),
        (refresh(&["ua", "pl", "de", "fr"]), "PLAN"),
        (refresh(&["ua", "pl", "xx"]), "PLAN"),
        (replace("fr", "ua"), "PLAN"),
        (replace("ca", "pl"), "PLAN"),
        (
            Terms::Refresh {
                epoch: Some(2),
                keyholders: None,
            },
            "PLAN",
        ),
        (
            Terms::Repair {
                epoch: None,
                target: id("pl"),
                helpers: Some(vec![id("pl"), id("ua"), id("de")]),
            },
            "PLAN",
        ),
    ] {
        let error = coalition.call("refused", &terms).err().unwrap();
        assert_eq!(error.code(), code, "{terms:?}: {error}");
        assert!(!coalition.path("refused").exists(), "something was left");
    }
    // Who has a share already cannot be a new keyholder.
    let error = coalition
        .call("refused", &replace("ca", "pl"))
        .err()
        .unwrap();
    assert!(error.to_string().contains("number of its own"), "{error}");
}

#[test]
fn a_keyholder_without_its_share_takes_no_part() {
    let (coalition, _) = with_key();
    for (path, _) in shares_of(&coalition, "pl") {
        fs::remove_file(path).unwrap();
    }
    coalition.call("replace", &replace("ca", "fr")).unwrap();
    let error = coalition.join_in("replace", "pl").unwrap_err();
    assert_eq!(error.code(), "NO_SHARE");
    // The others are told whom they wait for.
    let waits_for = coalition
        .join_in("replace", "ua")
        .unwrap()
        .waits_for
        .unwrap();
    assert!(waits_for.members.contains(&id("pl")));
}

#[test]
fn the_first_step_takes_a_fingerprint_and_a_date_that_can_be() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    let join = |ceremony: &Ceremony, told: Option<&str>| {
        ceremony.join(
            &coalition.directory("ua"),
            &coalition.identity("ua"),
            &id("ua"),
            told,
            None,
            &coalition.ambient,
        )
    };
    assert_eq!(
        join(&ceremony, None).unwrap_err().code(),
        "FINGERPRINT_NEEDED"
    );
    let other = "0000-0000-0000-0000-0000-0000-0000-0000";
    assert_eq!(
        join(&ceremony, Some(other)).unwrap_err().code(),
        "OTHER_PLAN"
    );
    assert!(
        files_below(&coalition.path("ceremony")).len() == 2,
        "nothing was sent"
    );
    join(&ceremony, Some(&ceremony.fingerprint())).unwrap();
    // From then on it is known.
    join(&ceremony, None).unwrap();

    let file = coalition.path("ceremony").join("plan.json");
    let text = fs::read_to_string(&file).unwrap();
    let called = Timestamp::from_unix(NOW).to_string();
    let dated = |seconds: u64| text.replace(&called, &Timestamp::from_unix(seconds).to_string());
    // Keys that were revoked since would count again.
    fs::write(&file, dated(NOW - 1_000)).unwrap();
    assert_eq!(coalition.open("ceremony").err().unwrap().code(), "PLAN");
    fs::write(&file, dated(NOW + 200_000)).unwrap();
    let later = coalition.open("ceremony").unwrap();
    let error = join(&later, Some(&later.fingerprint())).unwrap_err();
    assert_eq!(error.code(), "PLAN");
    assert!(error.to_string().contains("compare the clocks"), "{error}");
}

#[test]
fn the_base_of_a_renewal_is_the_whole_key() {
    let (_, key) = with_key();
    let base = base_of(&key);
    let changes: [fn(&mut roster::CoalitionKey); 4] = [
        |key| key.epoch += 1,
        |key| key.threshold -= 1,
        |key| key.public_key = Bytes32::new([1; 32]),
        |key| key.keyholders[2].verifying_share = Bytes32::new([1; 32]),
    ];
    for change in changes {
        let mut other = key.clone();
        change(&mut other);
        assert_ne!(base_of(&other), base);
    }
    // Who is behind a share is the roster's to change.
    let mut other = key.clone();
    other.keyholders[0].member = id("xx");
    assert_eq!(base_of(&other), base);
}
