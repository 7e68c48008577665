//! Every keyholder with a folder of its own, and files that go from one to the other.

use std::collections::BTreeMap;

use super::*;
use crate::node::ceremony::{Fingerprint, Reader, WireFile, receive};

fn folder_of(who: &str) -> String {
    format!("folder-of-{who}")
}

/// A ceremony that Ukraine called, in its own folder.
fn called() -> (Coalition, Fingerprint) {
    let coalition = Coalition::new();
    let ceremony = coalition.start(&folder_of("ua"));
    let fingerprint = Fingerprint::of(&ceremony.id());
    (coalition, fingerprint)
}

/// What `giver` gives `reader`, who has what it has.
fn given(coalition: &Coalition, giver: &str, reader: &str) -> Vec<WireFile> {
    let held = match coalition.open(&folder_of(reader)) {
        Ok(ceremony) => ceremony.held().unwrap(),
        Err(_) => BTreeMap::new(),
    };
    let Ok(ceremony) = coalition.open(&folder_of(giver)) else {
        return Vec::new();
    };
    let reader = id(reader);
    let (files, more) = ceremony
        .give(&id(giver), Reader::Keyholder(&reader), &held)
        .unwrap();
    assert!(!more);
    files
}

/// `who` fetches from all others and does what it can.
fn go_on(coalition: &Coalition, fingerprint: Fingerprint, who: &str) -> Option<Joined> {
    let path = coalition.path(&folder_of(who));
    for (peer, _) in NAMES.iter().filter(|(peer, _)| *peer != who) {
        let files = given(coalition, peer, who);
        let ceremony = match coalition.open(&folder_of(who)) {
            Ok(ceremony) => ceremony,
            Err(_) => match receive(&path, coalition.trust.root(), fingerprint, &files).unwrap() {
                Some(ceremony) => ceremony,
                None => continue,
            },
        };
        let taken = ceremony.take(&id(who), files).unwrap();
        assert!(taken.refused.is_empty(), "{:?}", taken.refused);
    }
    coalition.open(&folder_of(who)).ok()?;
    Some(coalition.join_in(&folder_of(who), who).unwrap())
}

#[test]
fn four_folders_make_one_key_and_nobody_sees_a_package_of_others() {
    let (coalition, fingerprint) = called();
    let mut ended = 0;
    for _ in 0..8 {
        ended = 0;
        for (who, _) in NAMES {
            if go_on(&coalition, fingerprint, who).is_some_and(|joined| joined.waits_for.is_none())
            {
                ended += 1;
            }
        }
        for (who, _) in NAMES {
            for (name, _) in files_below(&coalition.path(&folder_of(who))) {
                let name = name.file_name().unwrap().to_string_lossy().into_owned();
                let Some((sender, recipient)) = name.split_once("-to-") else {
                    continue;
                };
                let recipient = recipient.trim_end_matches(".json");
                assert!(sender == who || recipient == who, "{who} has {name}");
            }
        }
        if ended == NAMES.len() {
            break;
        }
    }
    assert_eq!(ended, NAMES.len());
    let outcomes = NAMES.map(|(who, _)| {
        let ceremony = coalition.open(&folder_of(who)).unwrap();
        ceremony.finish().unwrap()
    });
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
    // An ombudsman is given what proves it, and no package even before the end.
    let ceremony = coalition.open(&folder_of("ua")).unwrap();
    let (files, _) = ceremony
        .give(&id("ua"), Reader::Ombudsman, &BTreeMap::new())
        .unwrap();
    assert!(
        files
            .iter()
            .any(|file| file.name == "confirmations/ca.json")
    );
    assert!(!files.iter().any(|file| file.name.contains("-to-")));
}

#[test]
fn an_ombudsman_is_given_no_package() {
    let (coalition, fingerprint) = called();
    for _ in 0..2 {
        for (who, _) in NAMES {
            go_on(&coalition, fingerprint, who);
        }
    }
    let ceremony = coalition.open(&folder_of("ua")).unwrap();
    let all = ceremony.held().unwrap();
    assert!(all.keys().any(|name| name.contains("-to-")));
    let (files, _) = ceremony
        .give(&id("ua"), Reader::Ombudsman, &BTreeMap::new())
        .unwrap();
    assert!(files.iter().any(|file| file.name == "round-1/pl.json"));
    assert!(!files.iter().any(|file| file.name.contains("-to-")));
}

#[test]
fn a_plan_of_anothers_making_and_a_foreign_roster_are_not_taken() {
    let (coalition, fingerprint) = called();
    let other = coalition.start("another");
    let files = |ceremony: &Ceremony| {
        let reader = id("pl");
        let reader = Reader::Keyholder(&reader);
        ceremony
            .give(&id("ua"), reader, &BTreeMap::new())
            .unwrap()
            .0
    };
    let path = coalition.path(&folder_of("pl"));
    let root = coalition.trust.root();
    let error = receive(&path, root, fingerprint, &files(&other))
        .err()
        .unwrap();
    assert_eq!(error.code(), "OTHER_PLAN");
    let right = files(&coalition.open(&folder_of("ua")).unwrap());
    // The right plan with a roster that nobody signed.
    let mut forged = right.clone();
    forged[0].content = b"wayhome/roster/v1\n".to_vec();
    let error = receive(&path, root, fingerprint, &forged).err().unwrap();
    assert_eq!(forged[0].name, "roster.note");
    assert_ne!(error.code(), "FOLDER");
    let mut endless = right.clone();
    endless[1].content = vec![b' '; 1 << 20];
    let error = receive(&path, root, fingerprint, &endless).err().unwrap();
    assert_eq!(error.code(), "TOO_LARGE");
    // One of the two alone is nothing yet.
    assert!(
        receive(&path, root, fingerprint, &right[..1])
            .unwrap()
            .is_none()
    );
    assert!(!path.exists(), "something was written");
    assert!(receive(&path, root, fingerprint, &right).unwrap().is_some());
}

#[test]
fn what_does_not_hold_stays_out_and_its_sender_is_named() {
    let (coalition, fingerprint) = called();
    for (who, _) in NAMES {
        go_on(&coalition, fingerprint, who);
    }
    let content = |folder: &str, name: &str| fs::read(coalition.path(folder).join(name)).unwrap();
    let poland = content(&folder_of("pl"), "round-1/pl.json");
    // The same step of another ceremony.
    coalition.start("another");
    coalition.join_in("another", "pl").unwrap();
    let replayed = content("another", "round-1/pl.json");
    let germany = content(&folder_of("de"), "round-1/de.json");
    let mut flipped = poland.clone();
    flipped[poland.len() / 2] ^= 1;

    let path = coalition.path(&folder_of("ca"));
    fs::remove_file(path.join("round-1/pl.json")).ok();
    let ceremony = coalition.open(&folder_of("ca")).unwrap();
    let code_of = |name: &str, content: &[u8]| {
        let files = vec![WireFile {
            name: name.to_owned(),
            content: content.to_vec(),
        }];
        let taken = ceremony.take(&id("ca"), files).unwrap();
        assert_eq!(taken.new, 0);
        taken.refused.into_iter().next().map(|(_, error)| {
            assert!(error.to_string().contains("Poland (pl)") || error.code() == "TOO_LARGE");
            error.code()
        })
    };
    let name = "round-1/pl.json";
    assert_eq!(code_of(name, b"{}"), Some("MALFORMED"));
    assert!(["MALFORMED", "NOT_SIGNED"].contains(&code_of(name, &flipped).unwrap()));
    assert_eq!(code_of(name, &replayed), Some("WRONG_CEREMONY"));
    assert_eq!(code_of(name, &germany), Some("WRONG_SENDER"));
    assert_eq!(code_of(name, &vec![b'{'; 1 << 20]), Some("TOO_LARGE"));
    assert_eq!(
        code_of("confirmations/pl.json", &poland),
        Some("WRONG_ROUND")
    );
    // No file of a ceremony at all, nor one for others: not even looked at.
    for name in [
        "../escape",
        "round-2/pl-to-de.json",
        "joined",
        "coalition-key.json",
    ] {
        assert_eq!(code_of(name, &poland), None, "{name}");
    }
    assert!(!path.join(name).exists());
    assert!(!coalition.path("escape").exists());
    let right = vec![WireFile {
        name: name.to_owned(),
        content: poland,
    }];
    assert_eq!(ceremony.take(&id("ca"), right).unwrap().new, 1);
}

#[test]
fn two_stories_of_one_sender_are_kept_and_end_the_ceremony() {
    let (coalition, fingerprint) = called();
    // Poland keeps a copy of itself, and begins twice.
    go_on(&coalition, fingerprint, "ua");
    copy_folder(&coalition.path("pl"), &coalition.path("pl-again"));
    go_on(&coalition, fingerprint, "pl");
    copy_folder(&coalition.path(&folder_of("ua")), &coalition.path("second"));
    let second = coalition.open("second").unwrap();
    second
        .join(
            &coalition.directory("pl-again"),
            &coalition.identity("pl-again"),
            &id("pl"),
            Some(&second.fingerprint()),
            None,
            &coalition.ambient,
        )
        .unwrap();
    let name = "round-1/pl.json".to_owned();
    let first = fs::read(coalition.path(&folder_of("pl")).join(&name)).unwrap();
    let other = fs::read(coalition.path("second").join(&name)).unwrap();
    assert_ne!(first, other);

    let ceremony = coalition.open(&folder_of("ua")).unwrap();
    let give = |content: &[u8]| {
        let files = vec![WireFile {
            name: name.clone(),
            content: content.to_vec(),
        }];
        ceremony.take(&id("ua"), files).unwrap()
    };
    assert_eq!(give(&first).new, 1);
    ceremony.check_contradictions().unwrap();
    assert!(give(&first).refused.is_empty());
    let taken = give(&other);
    assert_eq!(taken.refused[0].1.code(), "CHANGED");
    // The first one stays in its place, and the two together are the proof.
    let folder = coalition.path(&folder_of("ua"));
    assert_eq!(fs::read(folder.join(&name)).unwrap(), first);
    assert_eq!(
        fs::read(folder.join("contradictions/round-1-pl.json")).unwrap(),
        other
    );
    let error = ceremony.check_contradictions().unwrap_err();
    assert_eq!(error.code(), "CHANGED");
    assert!(error.to_string().contains("Poland (pl)"), "{error}");
}

#[test]
fn a_fingerprint_is_whole_or_none() {
    let (coalition, fingerprint) = called();
    let told = fingerprint.to_string();
    assert_eq!(
        told,
        coalition.open(&folder_of("ua")).unwrap().fingerprint()
    );
    assert_eq!(Fingerprint::parse(&told), Some(fingerprint));
    assert_eq!(
        Fingerprint::parse(&told.to_uppercase().replace('-', " ")),
        Some(fingerprint)
    );
    for wrong in [
        &told[..told.len() - 1],
        "",
        "159d-ad73",
        &format!("{told}00"),
    ] {
        assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
    }
}
