//! Whoever can write to the folder, and keyholders that cheat: each attempt is refused, and the
//! party whose message it is is named.

use super::*;
use crate::oprf::ceremony::{Dkg, PublicMessage};

/// The next run of `who` is refused with `code`, and the refusal names `culprit`.
fn refused(coalition: &Coalition, who: &str, code: &str, culprit: &str) {
    let error = coalition.join(who).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(culprit), "{error}");
    // Looking again changes nothing: the refusal is no state.
    assert_eq!(coalition.join(who).unwrap_err().code(), code);
}

/// Round 1 is complete; only Canada has gone on to round 2.
fn after_round_1() -> Coalition {
    let coalition = Coalition::new();
    coalition.start("ceremony");
    coalition.round();
    coalition
}

#[test]
fn a_flipped_byte() {
    let coalition = after_round_1();
    let file = coalition.file(&commitments("pl"));
    let whole = fs::read(&file).unwrap();
    for position in 0..whole.len() {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        fs::write(&file, &changed).unwrap();
        let ceremony = coalition.open("ceremony").unwrap();
        let error = ceremony.message(&commitments("pl")).err().unwrap();
        assert!(
            ["MALFORMED", "NOT_SIGNED"].contains(&error.code()),
            "byte {position}: {error}"
        );
        assert!(error.to_string().contains("Poland (pl)"), "{error}");
    }
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    refused(&coalition, "ua", "MALFORMED", "Poland (pl)");
    fs::write(&file, vec![b' '; 2 << 20]).unwrap();
    refused(&coalition, "ua", "TOO_LARGE", "round-1/pl.json");
    fs::write(&file, &whole).unwrap();
    coalition.join("ua").unwrap();
}

#[test]
fn a_second_spelling_of_the_same_message() {
    let coalition = after_round_1();
    let file = coalition.file(&commitments("pl"));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(',', ", ")).unwrap();
    refused(&coalition, "ua", "MALFORMED", "Poland (pl)");
}

#[test]
fn a_message_that_nobody_signed() {
    let coalition = after_round_1();
    let ceremony = coalition.open("ceremony").unwrap();
    let (slot, stranger) = (commitments("pl"), SigningKey::from_seed(&[9; 32]));
    let body = coalition.body(&slot);
    let text = message::write(&ceremony.id(), &slot, &body, &stranger).unwrap();
    write(&coalition.file(&slot), &text);
    refused(&coalition, "ua", "NOT_SIGNED", "Poland (pl)");
}

#[test]
fn a_wrong_sender() {
    // Germany's message in Poland's place.
    let coalition = after_round_1();
    let from = coalition.file(&commitments("de"));
    fs::copy(from, coalition.file(&commitments("pl"))).unwrap();
    refused(
        &coalition,
        "ua",
        "WRONG_SENDER",
        "Poland (pl): round-1/pl.json comes from Germany",
    );

    // A message that Poland signed in Germany's name.
    let coalition = after_round_1();
    let body = coalition.body(&commitments("de"));
    coalition.forge(&commitments("pl"), "pl", &commitments("de"), &body);
    refused(&coalition, "ua", "WRONG_SENDER", "comes from Germany (de)");

    // Germany's commitments under Poland's signature.
    let coalition = after_round_1();
    let body = coalition.body(&commitments("de"));
    coalition.forge(&commitments("pl"), "pl", &commitments("pl"), &body);
    let other = coalition.join("ca").unwrap_err();
    assert_eq!(other.code(), "CHANGED");
    refused(&coalition, "ua", "WRONG_SENDER", "Poland (pl)");
}

#[test]
fn a_wrong_round() {
    let coalition = after_round_1();
    let body = coalition.body(&commitments("pl"));
    coalition.forge(&commitments("pl"), "pl", &confirmation("pl"), &body);
    refused(&coalition, "ua", "WRONG_ROUND", "Poland (pl)");

    // The envelope says round 1, what is in it is of round 2.
    let coalition = after_round_1();
    let secret = secret_message(&coalition, "pl", 1);
    coalition.forge(&commitments("pl"), "pl", &commitments("pl"), &secret);
    refused(&coalition, "ua", "WRONG_ROUND", "Poland (pl)");
}

#[test]
fn a_message_replayed_from_another_ceremony() {
    let coalition = after_round_1();
    coalition.start("other");
    coalition.join_in("other", "pl").unwrap();
    let other = coalition.path("other").join(commitments("pl").file());
    fs::copy(&other, coalition.file(&commitments("pl"))).unwrap();
    refused(&coalition, "ua", "WRONG_CEREMONY", "Poland (pl)");

    // Poland itself wraps its commitments of the other ceremony anew.
    let ceremony = coalition.open("other").unwrap();
    let body = ceremony.message(&commitments("pl")).unwrap().unwrap().body;
    coalition.forge(&commitments("pl"), "pl", &commitments("pl"), &body);
    refused(&coalition, "ua", "WRONG_CEREMONY", "Poland (pl)");
}

#[test]
fn a_message_changed_after_it_was_seen() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    coalition.join("pl").unwrap();
    coalition.join("ua").unwrap();
    // Poland draws another secret, with another directory or by hand.
    let plan = dkg_plan(&ceremony);
    let second = Dkg::start(plan, 2, &mut coalition.ambient.rng()).unwrap();
    let body = second.public_message().as_bytes();
    coalition.forge(&commitments("pl"), "pl", &commitments("pl"), body);
    refused(&coalition, "ua", "CHANGED", "Poland (pl)");
}

#[test]
fn two_stories_told_to_two_keyholders() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    coalition.round();
    // Germany is given a folder of its own, in which Poland says something else.
    copy_folder(&coalition.path("ceremony"), &coalition.path("shown to de"));
    let plan = dkg_plan(&ceremony);
    let second = Dkg::start(plan, 2, &mut coalition.ambient.rng()).unwrap();
    let body = second.public_message().as_bytes();
    let slot = commitments("pl");
    let key = coalition.identity("pl").signing;
    let text = message::write(&ceremony.id(), &slot, body, &key).unwrap();
    // Germany ran once before Canada came, so this is what it saw; its record begins anew.
    let record = coalition.path("de").join("ceremonies");
    for (path, bytes) in files_below(&record) {
        let text = String::from_utf8(bytes).unwrap();
        let kept = text
            .lines()
            .filter(|line| !line.contains("\"round-1/pl.json\": \""));
        let kept: Vec<&str> = kept.collect();
        fs::write(path, kept.join("\n").replace(",\n  }", "\n  }")).unwrap();
    }
    write(&coalition.path("shown to de").join(slot.file()), &text);
    coalition.join_in("shown to de", "de").unwrap();
    for other in ["ua", "pl", "ca"] {
        let file = package_of("de", other).file();
        fs::copy(
            coalition.path("shown to de").join(&file),
            coalition.path("ceremony").join(&file),
        )
        .unwrap();
    }
    for who in ["ua", "pl", "ca"] {
        let _ = coalition.join(who);
    }
    refused(&coalition, "ua", "VIEWS_DIFFER", "Germany (de)");
}

#[test]
fn commitments_without_the_secret_behind_them() {
    let coalition = after_round_1();
    let mut body = coalition.body(&commitments("pl"));
    let constant: Vec<u8> = coalition.body(&commitments("de"))[35..67].to_vec();
    body[35..67].copy_from_slice(&constant);
    coalition.forge(&commitments("pl"), "pl", &commitments("pl"), &body);
    refused(&coalition, "ua", "NO_PROOF_OF_KNOWLEDGE", "Poland (pl)");
}

#[test]
fn a_share_that_contradicts_the_commitments() {
    let coalition = after_round_1();
    coalition.round();
    let mut secret = secret_message(&coalition, "pl", 1);
    let end = secret.len();
    secret[end - 32..].copy_from_slice(&[&[1_u8][..], &[0; 31]].concat());
    seal_and_forge(&coalition, "pl", "ua", &secret);
    refused(&coalition, "ua", "INCONSISTENT_SHARE", "Poland (pl)");
    // Nothing was stored, and the others are not held up by it.
    let shares = coalition.identity("ua").shares(&coalition.directory("ua"));
    assert!(shares.unwrap().is_empty());
    assert!(coalition.join("ca").is_ok());
}

#[test]
fn a_package_for_someone_else() {
    let coalition = after_round_1();
    coalition.round();
    let to_de = fs::read(coalition.file(&package_of("pl", "de"))).unwrap();
    let place = coalition.file(&package_of("pl", "ua"));
    fs::write(&place, to_de).unwrap();
    refused(&coalition, "ua", "WRONG_RECIPIENT", "Poland (pl)");

    // Poland signs for Ukraine what it sealed to Germany.
    let body = coalition.body(&package_of("pl", "de"));
    let slot = package_of("pl", "ua");
    coalition.forge(&slot, "pl", &slot, &body);
    refused(&coalition, "ua", "DOES_NOT_OPEN", "Poland (pl)");

    // It seals to Ukraine the message meant for Germany.
    let coalition = after_round_1();
    coalition.round();
    let secret = secret_message(&coalition, "pl", 3);
    seal_and_forge(&coalition, "pl", "ua", &secret);
    refused(&coalition, "ua", "WRONG_RECIPIENT", "Poland (pl)");
}

#[test]
fn a_message_of_ones_own_replaced() {
    let coalition = after_round_1();
    let file = coalition.file(&commitments("ua"));
    let whole = fs::read(&file).unwrap();
    fs::copy(coalition.file(&commitments("pl")), &file).unwrap();
    refused(&coalition, "ua", "OWN_MESSAGE_REPLACED", "round-1/ua.json");
    // The remedy that the message names.
    fs::remove_file(&file).unwrap();
    coalition.join("ua").unwrap();
    assert_eq!(fs::read(&file).unwrap(), whole);

    // Something lies in one's place before one has begun.
    let coalition = Coalition::new();
    coalition.start("ceremony");
    write(&coalition.file(&commitments("ua")), "{}\n");
    refused(&coalition, "ua", "OWN_MESSAGE_REPLACED", "round-1/ua.json");
}

#[test]
fn a_keyholder_that_lost_its_state() {
    let coalition = after_round_1();
    fs::remove_dir_all(coalition.path("ua").join("ceremonies")).unwrap();
    for (path, _) in files_below(&coalition.path("ua").join("keys")) {
        if path.to_string_lossy().contains("ceremony-") {
            fs::remove_file(path).unwrap();
        }
    }
    // It must not begin a second time: the others may have seen its first message.
    refused(&coalition, "ua", "STATE_LOST", "round-1/ua.json");
}

#[test]
fn a_confirmation_of_another_transcript() {
    let coalition = after_round_1();
    coalition.round();
    coalition.round();
    let slot = confirmation("pl");
    coalition.forge(&slot, "pl", &slot, &[7; 32]);
    let ceremony = coalition.open("ceremony").unwrap();
    let error = ceremony.finish().unwrap_err();
    assert_eq!(error.code(), "OTHER_TRANSCRIPT");
    assert!(error.to_string().contains("Poland (pl)"), "{error}");
    assert!(ceremony.status().fault.unwrap().contains("Poland (pl)"));

    // Seen first by one that has its share already.
    let coalition = after_round_1();
    coalition.round();
    coalition.forge(&slot, "pl", &slot, &[7; 32]);
    coalition.join("de").unwrap();
    coalition.join("ca").unwrap();
    refused(&coalition, "ua", "OTHER_TRANSCRIPT", "Poland (pl)");
}

#[test]
fn a_plan_changed_after_the_call() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    let told = ceremony.fingerprint();
    coalition.join("pl").unwrap();
    let file = coalition.path("ceremony").join("plan.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"threshold\": 3", "\"threshold\": 2")).unwrap();

    let changed = coalition.open("ceremony").unwrap();
    let error = changed.check_fingerprint(&told).unwrap_err();
    assert_eq!(error.code(), "OTHER_PLAN");
    // Even without having been told: nothing that was sent fits any more.
    coalition.join("ua").unwrap_err();
    refused(&coalition, "ua", "WRONG_CEREMONY", "Poland (pl)");

    fs::write(&file, text.replace("\"epoch\": 1", "\"epoch\":1")).unwrap();
    assert_eq!(coalition.open("ceremony").err().unwrap().code(), "PLAN");
    fs::write(&file, text).unwrap();
    let again = coalition.open("ceremony").unwrap();
    for told in [
        told.clone(),
        told.replace('-', " ").to_uppercase(),
        again.id().to_string(),
    ] {
        again.check_fingerprint(&told).unwrap();
    }
    for short in ["", &told[..9]] {
        assert!(again.check_fingerprint(short).is_err());
    }
}

#[test]
fn another_roster_in_the_folder() {
    let coalition = after_round_1();
    let file = coalition.path("ceremony").join("roster.note");
    let other = coalition.trusted(|roster| roster.version = 2);
    fs::write(&file, other.note()).unwrap();
    assert_eq!(coalition.join("ua").unwrap_err().code(), "OTHER_ROSTER");
    let one = other.note().lines().count() - 1;
    let unsigned: Vec<&str> = other.note().lines().take(one).collect();
    fs::write(&file, unsigned.join("\n") + "\n").unwrap();
    assert_eq!(coalition.join("ua").unwrap_err().code(), "BELOW_THRESHOLD");
    fs::remove_file(&file).unwrap();
    assert_eq!(coalition.join("ua").unwrap_err().code(), "OTHER_ROSTER");
}

#[test]
fn a_roster_of_the_past_does_not_bring_a_key_that_exists_again() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    for _ in 0..3 {
        coalition.round();
    }
    let key = ceremony.finish().unwrap().key;
    let before = shares_of(&coalition, "ua");
    assert_eq!(before.len(), 1);

    // A second ceremony for the same epoch would make a second share of it.
    coalition.start("second");
    let newest = coalition.trusted(|roster| {
        roster.version = 2;
        roster.coalition_key.current = Some(key);
    });
    let join = |newest: &TrustedRoster| {
        let ceremony = coalition.open("second").unwrap();
        ceremony.join(
            &coalition.directory("ua"),
            &coalition.identity("ua"),
            &id("ua"),
            Some(&ceremony.fingerprint()),
            Some(newest),
            &coalition.ambient,
        )
    };
    assert_eq!(join(&newest).unwrap_err().code(), "EPOCH");
    assert_eq!(shares_of(&coalition, "ua"), before);

    let gone = coalition.trusted(|roster| {
        roster.version = 2;
        roster.remove(&id("ca")).unwrap();
    });
    let error = join(&gone).unwrap_err();
    assert_eq!(error.code(), "ROSTER_CHANGED");
    let rekeyed = coalition.trusted(|roster| {
        roster.version = 2;
        roster
            .edit(&id("ca"), |member| {
                member.encryption_key = Some(Bytes32::new([5; 32]))
            })
            .unwrap();
    });
    let error = join(&rekeyed).unwrap_err();
    assert_eq!(error.code(), "ROSTER_CHANGED");
    assert!(error.to_string().contains("Canada (ca)"), "{error}");
    // Under other root keys versions begin anew: the newest roster then has no higher one.
    let anew = coalition.trusted(|roster| {
        roster.root_version = 2;
        roster.remove(&id("ca")).unwrap();
    });
    let error = join(&anew).unwrap_err();
    assert_eq!(error.code(), "ROSTER_CHANGED");
    let twin = coalition.trusted(|roster| roster.expires = Timestamp::from_unix(NOW + 1_000));
    assert_eq!(join(&twin).unwrap_err().code(), "EQUIVOCATION");
}

#[test]
fn terms_that_do_not_fit() {
    let coalition = Coalition::new();
    let refused = |epoch, threshold, keyholders: Option<&[&str]>| {
        let terms = Terms::Generate {
            epoch: Some(epoch),
            threshold: Some(threshold),
            keyholders: keyholders.map(|ids| ids.iter().map(|who| id(who)).collect()),
        };
        let folder = coalition.path("refused");
        let error = Ceremony::start(&folder, &coalition.trust, &terms, &coalition.ambient);
        assert!(!folder.exists(), "nothing is left behind");
        error.err().unwrap().code()
    };
    assert_eq!(refused(0, 3, None), "EPOCH");
    assert_eq!(refused(1, 1, None), "THRESHOLD");
    assert_eq!(refused(1, 5, None), "THRESHOLD");
    assert_eq!(refused(1, 2, Some(&["ua", "xx"])), "PLAN");
    assert_eq!(refused(1, 2, Some(&["ua", "ua"])), "PLAN");

    coalition.start("ceremony");
    let again = coalition.call("ceremony", &first_key());
    assert_eq!(again.err().unwrap().code(), "ALREADY_STARTED");
    assert_eq!(
        coalition.open("nowhere").err().unwrap().code(),
        "NO_CEREMONY"
    );
}

#[test]
fn keys_that_are_not_those_of_the_roster() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    let error = ceremony
        .join(
            &coalition.directory("pl"),
            &coalition.identity("pl"),
            &id("ua"),
            Some(&ceremony.fingerprint()),
            None,
            &coalition.ambient,
        )
        .unwrap_err();
    assert_eq!(error.code(), "OWN_KEY");
    assert!(error.to_string().contains("Ukraine (ua)"), "{error}");
}

/// The message that `who` would send to the keyholder `recipient` in round 2, made from its state.
fn secret_message(coalition: &Coalition, who: &str, recipient: u16) -> Vec<u8> {
    let ceremony = coalition.open("ceremony").unwrap();
    let journal = journal::Journal::open(&coalition.directory(who), &ceremony.id()).unwrap();
    let seed = journal
        .load_seed(journal::Part::Sharing, &coalition.identity(who))
        .unwrap();
    let plan = dkg_plan(&ceremony);
    let me = ceremony.plan().identifier_of(&id(who)).unwrap();
    let dkg = Dkg::from_bytes(plan, me, &seed).unwrap();
    let public = ceremony
        .plan()
        .keyholders
        .iter()
        .map(|holder| {
            let body = coalition.body(&commitments(holder.member.as_str()));
            (holder.identifier, PublicMessage::new(body))
        })
        .collect();
    let secrets = dkg.secret_messages(&public).unwrap();
    secrets[&recipient].as_bytes().to_vec()
}

/// Replaces the package of `who` to `recipient` by one that holds `secret`.
fn seal_and_forge(coalition: &Coalition, who: &str, recipient: &str, secret: &[u8]) {
    let ceremony = coalition.open("ceremony").unwrap();
    let slot = package_of(who, recipient);
    let party = ceremony.roster().member(recipient).unwrap();
    let key = party.encryption_key.unwrap();
    let rng = &mut coalition.ambient.rng();
    let body = package::seal(&ceremony.id(), &slot, &key, secret, rng).unwrap();
    coalition.forge(&slot, who, &slot, &body);
}
