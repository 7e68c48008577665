//! The way through, in whatever order people come to the table.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::oprf::{self, PublicPoint};
use crate::roster;

#[test]
fn four_keyholders_make_one_key_in_three_rounds() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    assert_eq!(
        ceremony.plan().identifiers().collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );

    let first = coalition.round();
    assert_eq!(first[0].did, [Deed::Committed]);
    let waits_for = first[0].waits_for.as_ref().unwrap();
    assert_eq!(waits_for.round, Round::Commitments);
    assert_eq!(waits_for.members, [id("pl"), id("de"), id("ca")]);
    // The last to come already finds what round 2 needs.
    assert_eq!(
        first[3].did,
        [Deed::Committed, Deed::SentPackages { count: 3 }]
    );
    coalition.round();
    let third = coalition.round();
    assert!(third[3].waits_for.is_none());

    let outcome = ceremony.finish().unwrap();
    let key = checked(&outcome.key);
    for (who, _) in NAMES {
        let shares = coalition
            .identity(who)
            .shares(&coalition.directory(who))
            .unwrap();
        assert_eq!(shares.len(), 1);
        assert_eq!(shares[0].holding.epoch, 1);
        assert_eq!(key.check_share(&shares[0].holding.share), Ok(()));
        let seeds = files_below(&coalition.path(who).join("keys"));
        assert!(!seeds.iter().any(|(path, _)| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("ceremony-")
        }));
    }
    // The roster takes it as it is.
    coalition.trusted(|roster| roster.coalition_key.current = Some(outcome.key.clone()));

    // Run again, nobody does anything.
    for joined in coalition.round() {
        assert_eq!(joined.did, []);
        assert_eq!(joined.waits_for, None);
    }
    assert_eq!(ceremony.finish().unwrap(), outcome);
}

#[test]
fn the_roster_states_the_digest_of_the_file() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    for _ in 0..3 {
        coalition.round();
    }
    let outcome = ceremony.finish().unwrap();
    let folder = coalition.path("ceremony");
    let transcript = fs::read(folder.join("transcript.jsonl")).unwrap();
    assert_eq!(Bytes32::sha256(&transcript), outcome.key.transcript_sha256);
    let plan = fs::read(folder.join("plan.json")).unwrap();
    assert_eq!(Bytes32::sha256(&plan), ceremony.id());
    let key: roster::CoalitionKey =
        serde_json::from_slice(&fs::read(folder.join("coalition-key.json")).unwrap()).unwrap();
    assert_eq!(key, outcome.key);
    assert!(!folder.join("round-2").exists());
}

#[test]
fn whoever_comes_when_gets_the_same_key() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    // One keyholder runs its command ten times in between, another twice at the end.
    let order = "ua ua pl ua de pl ua ca de ca ua pl ua de ca ua pl pl de ca ua";
    for who in order.split(' ') {
        coalition.join(who).unwrap();
    }
    ceremony.finish().unwrap();
}

#[test]
fn no_secret_is_in_the_folder_or_in_clear_anywhere() {
    let coalition = Coalition::new();
    coalition.start("ceremony");
    let mut seen: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut secrets: Vec<(String, Vec<u8>)> = Vec::new();
    for _ in 0..3 {
        for (who, _) in NAMES {
            coalition.join(who).unwrap();
            seen.extend(files_below(&coalition.path("ceremony")));
            seen.extend(files_below(&coalition.path(who).join("ceremonies")));
            seen.extend(files_below(&coalition.path(who).join("keys")));
        }
    }
    for (who, _) in NAMES {
        let identity = coalition.identity(who);
        let shares = identity.shares(&coalition.directory(who)).unwrap();
        secrets.push((
            format!("share of {who}"),
            shares[0].holding.share.to_bytes()[2..].to_vec(),
        ));
    }
    // The search finds what is there: a public value stands in for a canary.
    let canary = coalition.body(&commitments("ua"));
    let canary = hex::encode(&canary[35..67]);
    let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|at| at == part);
    let decoded = |bytes: &[u8]| -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        let payload = text
            .split('"')
            .filter_map(|part| STANDARD.decode(part).ok());
        payload.flatten().collect()
    };
    let found_canary = seen
        .values()
        .any(|bytes| holds(&decoded(bytes), canary.as_bytes()));
    assert!(found_canary);
    for (name, secret) in &secrets {
        let forms = [
            secret.clone(),
            hex::encode(secret).into_bytes(),
            STANDARD.encode(secret).into_bytes(),
        ];
        for (path, bytes) in &seen {
            for form in &forms {
                assert!(!holds(bytes, form), "{name} in {}", path.display());
                assert!(
                    !holds(&decoded(bytes), form),
                    "{name} in {}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn an_ombudsman_checks_it_from_the_public_files_years_later() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    for _ in 0..3 {
        coalition.round();
    }
    let outcome = ceremony.finish().unwrap();
    // Nothing here knows a time: keys count as of the day when the ceremony was called.
    let archive = coalition.path("archive");
    copy_folder(&coalition.path("ceremony"), &archive);
    let again = Ceremony::open(&archive, coalition.trust.root()).unwrap();
    assert_eq!(again.verify_all().unwrap(), outcome);
}

#[test]
fn status_says_who_has_done_what() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    for who in ["ua", "pl", "de"] {
        coalition.join(who).unwrap();
    }
    let status = ceremony.status();
    let committed: Vec<usize> = status
        .keyholders
        .iter()
        .map(|who| who.progress(Round::Commitments).unwrap().done)
        .collect();
    assert_eq!(committed, [1, 1, 1, 0]);
    assert!(status.key.is_none() && !status.finished && status.fault.is_none());

    coalition.join("ca").unwrap();
    let status = ceremony.status();
    let packages = status.keyholders[3].progress(Round::Package).unwrap();
    assert_eq!((packages.done, packages.of), (3, 3));
    coalition.round();
    coalition.round();
    let status = ceremony.status();
    assert!(status.keyholders.iter().all(|who| who.has_confirmed()));
    assert!(status.key.is_some() && !status.finished);
    ceremony.finish().unwrap();
    assert!(ceremony.status().finished);
}

#[test]
fn a_participant_that_stops_halfway_is_named_and_left_out_of_the_next() {
    let coalition = Coalition::new();
    let ceremony = coalition.start("ceremony");
    for _ in 0..3 {
        for who in ["ua", "pl", "de"] {
            let joined = coalition.join(who).unwrap();
            let waits_for = joined.waits_for.unwrap().members;
            assert!(waits_for.contains(&id("ca")));
        }
    }
    let unfinished = ceremony.finish().unwrap_err();
    assert_eq!(unfinished.code(), "UNFINISHED");
    assert!(
        unfinished.to_string().contains("Canada (ca)"),
        "{unfinished}"
    );

    let terms = Terms::Generate {
        epoch: Some(1),
        threshold: Some(2),
        keyholders: Some(vec![id("ua"), id("pl"), id("de")]),
    };
    let second = coalition.call("second", &terms).unwrap();
    for _ in 0..3 {
        for who in ["ua", "pl", "de"] {
            coalition.join_in("second", who).unwrap();
        }
    }
    let outcome = second.finish().unwrap();
    assert_eq!(outcome.key.keyholders.len(), 3);
    let refused = coalition.join_in("second", "ca").unwrap_err();
    assert_eq!(refused.code(), "NOT_TAKING_PART");
}

#[test]
fn what_is_lost_from_the_folder_is_put_back_as_it_was() {
    let coalition = Coalition::new();
    coalition.start("ceremony");
    coalition.round();
    coalition.round();
    // Germany and Canada have finished by now, Ukraine and Poland have not.
    let file = coalition.file(&package_of("pl", "ua"));
    let before = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let joined = coalition.join("ua").unwrap();
    let waits_for = joined.waits_for.unwrap();
    assert_eq!(waits_for.round, Round::Package);
    assert_eq!(waits_for.members, [id("pl")]);
    let joined = coalition.join("pl").unwrap();
    let files = vec!["round-2/pl-to-ua.json".to_owned()];
    assert!(joined.did.contains(&Deed::PutBack { files }));
    assert_eq!(fs::read(&file).unwrap(), before);
    // One that has finished can still give the others what they lost.
    let file = coalition.file(&package_of("de", "ua"));
    fs::remove_file(&file).unwrap();
    coalition.join("de").unwrap();
    assert!(file.exists());
    coalition.join("ua").unwrap();
    coalition.round();
    coalition.open("ceremony").unwrap().finish().unwrap();
}

fn checked(key: &roster::CoalitionKey) -> oprf::CoalitionKey {
    let shares = key
        .keyholders
        .iter()
        .map(|holder| {
            let share = PublicPoint::new(*holder.verifying_share.as_bytes());
            (holder.identifier, share)
        })
        .collect();
    let public = PublicPoint::new(*key.public_key.as_bytes());
    oprf::CoalitionKey::new(1, key.threshold, public, &shares).unwrap()
}
