use serde_json::Value;

use super::super::sample::*;
use super::*;

fn sentences(old: &Roster, new: &Roster) -> Vec<String> {
    diff_rosters(old, new)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// Replaces the leaf number `at` of a JSON tree by others of its type; returns its path.
fn mutants(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| {
                let whole = value.clone();
                let name = name.clone();
                let mut all: Vec<_> = mutants(field)
                    .into_iter()
                    .map(|(path, mutant)| {
                        let mut whole = whole.clone();
                        whole[&name] = mutant;
                        (format!("{name}.{path}"), whole)
                    })
                    .collect();
                let mut without = value.clone();
                without.as_object_mut().unwrap().remove(&name);
                all.push((format!("without {name}"), without));
                all
            })
            .collect(),
        Value::Array(items) => (0..items.len())
            .flat_map(|index| {
                let mut all: Vec<_> = mutants(&items[index])
                    .into_iter()
                    .map(|(path, mutant)| {
                        let mut whole = value.clone();
                        whole[index] = mutant;
                        (format!("{index}.{path}"), whole)
                    })
                    .collect();
                let mut without = value.clone();
                without.as_array_mut().unwrap().remove(index);
                all.push((format!("without {index}"), without));
                all
            })
            .collect(),
        Value::String(text) => {
            let digit = |from: char, to: char| text.replacen(from, &to.to_string(), 1);
            let others = [
                format!("{text}x"),
                digit('1', '2'),
                digit('a', 'b'),
                "reunification".to_owned(),
                "2026-05-05T05:05:05Z".to_owned(),
            ];
            let others = others.into_iter().filter(|other| other != text);
            others
                .map(|other| (other.clone(), Value::from(other)))
                .collect()
        }
        Value::Number(number) => {
            vec![("+1".to_owned(), Value::from(number.as_u64().unwrap() + 1))]
        }
        Value::Bool(flag) => vec![("not".to_owned(), Value::from(!flag))],
        Value::Null => vec![],
    }
}

#[test]
fn no_value_changes_without_a_sentence() {
    let mut full = roster(5, 1);
    full.coalition_key.next = Some(coalition_key(2, &["de", "pl", "ua"]));
    full.members[0].suspended_since = Some(time("2026-02-01T00:00:00Z"));
    full.members[2].signing_keys.push(message_key("pl", 2));
    full.members[3]
        .addresses
        .push("[2001:db8::1]:8443".parse().unwrap());
    let mut looked_at = 0;
    for (path, mutant) in mutants(&serde_json::to_value(&full).unwrap()) {
        let Ok(mutant) = serde_json::from_value::<Roster>(mutant) else {
            continue;
        };
        looked_at += 1;
        let only_version = Roster {
            version: full.version,
            ..mutant.clone()
        } == full
            && mutant != full;
        if mutant != full && !only_version {
            assert!(
                !diff_rosters(&full, &mutant).is_empty(),
                "silent about {path}"
            );
        }
    }
    assert!(looked_at > 250, "only {looked_at} mutants were readable");
    assert!(diff_rosters(&full, &full).is_empty());

    let root = root(1, &["a", "b", "c"]);
    for (path, mutant) in mutants(&serde_json::to_value(&root).unwrap()) {
        let Ok(mutant) = serde_json::from_value::<Root>(mutant) else {
            continue;
        };
        let only_version = Root {
            version: 1,
            ..mutant.clone()
        } == root
            && mutant.version == 2;
        if mutant != root && !only_version {
            assert!(
                !diff_roots(&root, &mutant).is_empty(),
                "silent about {path}"
            );
        }
    }
}

#[test]
fn a_signer_reads_what_happens() {
    let old = roster(5, 1);
    let issued = time("2026-02-20T00:00:00Z");
    let mut new = old.successor(1, time("2026-03-10T00:00:00Z"), old.expires);
    let mut pin = pin("ua", 2);
    pin.not_before = time("2026-04-01T00:00:00Z");
    new.add_tls_pin(&id("ua"), pin.clone()).unwrap();
    new.edit(&id("ua"), |member| {
        member.tls_pins[0].not_after = time("2026-04-08T00:00:00Z")
    })
    .unwrap();
    new.suspend(&id("de"), issued).unwrap();
    new.edit(&id("pl"), |member| {
        member.quotas.evaluations_per_day = 6_000
    })
    .unwrap();
    new.add(member("mt", "Malta", 4)).unwrap();
    new.remove(&id("ombud-pl")).unwrap();
    let mut next = coalition_key(2, &["de", "pl", "ua"]);
    next.threshold = 3;
    new.coalition_key.next = Some(next);
    let old_pin = old.member("ua").unwrap().tls_pins[0].spki_sha256.short();
    let malta = new.member("mt").unwrap();
    assert_eq!(
        sentences(&old, &new),
        [
            "It was made on 2026-03-10.".to_owned(),
            "Germany is suspended (since 2026-02-20).".to_owned(),
            "Poland (ombud-pl) leaves the coalition.".to_owned(),
            "Poland (pl)'s limit of evaluations a day rises from 5000 to 6000.".to_owned(),
            format!(
                "Україна's TLS key {old_pin} is accepted until 2026-04-08 instead of \
                     2027-01-01."
            ),
            format!(
                "Україна's TLS key changes on 2026-04-01 (new key {}, until 2027-01-01).",
                pin.spki_sha256
            ),
            "Malta (mt), Ministry of Social Policy, joins as a member and keyholder 4, with \
                 its node at node.mt.coalition.example:8443; it may ask for family_tracing and \
                 reunification; its limits are 5000 evaluations and 2000 subjects a day, 20000 \
                 records enrolled and 50000 indexed."
                .to_owned(),
            format!(
                "Malta's signing key {} is accepted at once.",
                malta.signing_keys[0].public_key
            ),
            format!(
                "Malta's TLS key {} is accepted at once.",
                malta.tls_pins[0].spki_sha256
            ),
            format!(
                "Ceremony packages for Malta are sealed to the key {}.",
                bytes("encryption key of mt")
            ),
            format!(
                "Malta's log is signed with the key {}.",
                malta.log.as_ref().unwrap().vkey
            ),
            format!(
                "Malta cosigns the logs of others with the key {}.",
                malta.witness_vkey.as_ref().unwrap()
            ),
            "Epoch 2 of the coalition key is added, 3 of 3 keyholders (de, pl and ua).".to_owned(),
            "Epoch 2 of the coalition key is announced from now on.".to_owned(),
        ]
    );
    assert!(
        diff_rosters(&old, &new)
            .iter()
            .all(|change| !change.alarming)
    );
}

#[test]
fn what_must_never_happen_is_marked() {
    let old = roster(5, 1);
    let mut new = roster(4, 1);
    new.coalition = "other.example".into();
    new.issued = time("2026-02-01T00:00:00Z");
    new.coalition_key.current.as_mut().unwrap().public_key = bytes("another key");
    new.edit(&id("pl"), |member| {
        member.roles.keyholder = Some(super::super::KeyholderRole { identifier: 9 });
    })
    .unwrap();
    let alarms: Vec<_> = diff_rosters(&old, &new);
    assert_eq!(
        alarms.iter().filter(|change| change.alarming).count(),
        5,
        "{alarms:?}"
    );

    let skipped = diff_roots(&root(1, &["a", "b"]), &root(3, &["a", "c"]));
    let told: Vec<_> = skipped.iter().map(ToString::to_string).collect();
    assert!(
        told[0].contains("does not follow on root 1") && skipped[0].alarming,
        "{told:?}"
    );
    assert!(told[1].contains("root/b") && told[1].ends_with("is no longer a root key."));
    assert!(told[2].contains("root/c") && told[2].ends_with("becomes a root key."));
}
