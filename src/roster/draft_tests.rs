use super::super::sample::*;
use super::super::*;

fn edited() -> Roster {
    let old = roster(5, 1);
    let mut draft = old.successor(
        1,
        time("2026-03-10T00:00:00Z"),
        time("2026-09-01T00:00:00Z"),
    );
    draft
        .suspend(&id("pl"), time("2026-03-11T00:00:00Z"))
        .unwrap();
    draft
}

#[test]
fn signers_in_different_rooms_make_one_file() {
    let text = edited().render_for_signing().unwrap();
    let first = add_signature(text.as_bytes(), &signer("a")).unwrap();
    let second = add_signature(text.as_bytes(), &signer("c")).unwrap();
    let mut store = store();
    assert_eq!(
        store
            .update_roster(first.as_bytes(), now())
            .unwrap_err()
            .code(),
        "BELOW_THRESHOLD"
    );

    let merged = merge_signatures(&[first.as_bytes(), second.as_bytes()]).unwrap();
    let in_turn = add_signature(first.as_bytes(), &signer("c")).unwrap();
    assert_eq!(merged, in_turn);
    let again = merge_signatures(&[merged.as_bytes(), first.as_bytes()]).unwrap();
    assert_eq!(again, merged);
    let later = time("2026-03-12T00:00:00Z").unix();
    assert_eq!(
        store.update_roster(merged.as_bytes(), later),
        Ok(Update::Updated)
    );
    assert!(
        store
            .roster_in_force(later)
            .unwrap()
            .is_suspended("pl", later)
    );
}

#[test]
fn who_has_signed_is_told() {
    let text = edited().render_for_signing().unwrap();
    let name = |who: &str| format!("{COALITION}/root/{who}");
    let store = store();
    let report = |file: &[u8]| SignatureReport::of(file, store.root()).unwrap();

    let none = report(text.as_bytes());
    assert_eq!(
        (none.signed.len(), none.missing.len(), none.is_enough()),
        (0, 3, false)
    );

    let some = report(&sign(&text, &["c", "x"]));
    assert_eq!(some.signed, [name("c")]);
    assert_eq!(some.missing, [name("a"), name("b")]);
    assert_eq!(some.unknown, [name("x")]);
    assert!(!some.is_enough());
    assert!(report(&sign(&text, &["c", "x", "a"])).is_enough());

    // A signature over another text counts for nothing.
    let other =
        String::from_utf8(sign(&roster(9, 1).render_for_signing().unwrap(), &["a"])).unwrap();
    let line = other.lines().last().unwrap();
    let wrong = report(format!("{text}\n{line}\n").as_bytes());
    assert_eq!((wrong.signed.len(), wrong.missing.len()), (0, 3));

    let new_root = signed_root(&root(2, &["d", "e", "f"]), &["a", "b", "d"]);
    assert!(report(&new_root).is_enough());
    let own = SignatureReport::of_new_root(&new_root).unwrap();
    assert_eq!((own.signed.len(), own.is_enough()), (1, false));
}

#[test]
fn a_signer_refuses_what_a_node_would() {
    let code = |file: &[u8]| add_signature(file, &signer("a")).unwrap_err().code();
    let text = edited().render_for_signing().unwrap();
    assert_eq!(
        code(text.replace("  \"version\"", " \"version\"").as_bytes()),
        "NOT_CANONICAL"
    );
    assert_eq!(code(text.trim_end().as_bytes()), "NOT_CANONICAL");
    assert_eq!(
        code(
            text.replace("\"index_cap\": 0", "\"index_cap\": 3")
                .as_bytes()
        ),
        "INVALID_CONTENT"
    );
    assert_eq!(code(b"any text\n"), "WRONG_TYPE");
    assert_eq!(code(&[0xff]), "NOT_A_NOTE");
    assert_eq!(code(&vec![b' '; Kind::Roster.max_bytes() + 1]), "TOO_LARGE");
    assert_eq!(code(&sign(&text, &["a"])), "ALREADY_SIGNED");

    let other = roster(9, 1).render_for_signing().unwrap();
    let (one, two) = (sign(&text, &["a"]), sign(&other, &["b"]));
    assert_eq!(
        merge_signatures(&[&one, &two]).unwrap_err().code(),
        "DIFFERENT_TEXTS"
    );
    assert_eq!(merge_signatures(&[]).unwrap_err().code(), "NOT_A_NOTE");
}

#[test]
fn edits_name_who_is_missing_or_there_twice() {
    let mut draft = edited();
    assert_eq!(
        draft.suspend(&id("xx"), Timestamp::MAX).unwrap_err().code(),
        "NO_SUCH_MEMBER"
    );
    assert_eq!(
        draft.remove(&id("xx")).unwrap_err().code(),
        "NO_SUCH_MEMBER"
    );
    let again = member("pl", "Poland", 2);
    assert_eq!(draft.add(again).unwrap_err().code(), "MEMBER_EXISTS");

    draft.reinstate(&id("pl")).unwrap();
    assert_eq!(draft.member("pl").unwrap().suspended_since, None);
    draft
        .add_signing_key(&id("pl"), message_key("pl", 2))
        .unwrap();
    draft
        .revoke(&id("pl"), &message_key("pl", 1).public_key)
        .unwrap();
    draft.add_tls_pin(&id("pl"), pin("pl", 2)).unwrap();
    draft.revoke(&id("pl"), &pin("pl", 1).spki_sha256).unwrap();
    let pl = draft.member("pl").unwrap();
    assert_eq!(pl.signing_keys, [message_key("pl", 2)]);
    assert_eq!(pl.tls_pins, [pin("pl", 2)]);
    draft.set_coalition_key(CoalitionKeys::default());
    assert!(draft.problems().as_slice().is_empty());
    assert_eq!(draft.version, 6);
}

#[test]
fn a_draft_may_be_written_in_any_layout_or_in_toml() {
    let draft = edited();
    let compact = serde_json::to_string(&draft).unwrap();
    assert_eq!(Roster::from_draft(&compact).unwrap(), draft);
    assert_eq!(
        Roster::from_draft(&format!("wayhome/roster/v1\n{compact}")).unwrap(),
        draft
    );
    let refused = Roster::from_draft(&format!("wayhome/root/v1\n{compact}")).unwrap_err();
    assert_eq!(refused.code(), "WRONG_TYPE");

    let only_pl = Roster {
        coalition_key: CoalitionKeys::default(),
        members: vec![member("pl", "Poland", 2)],
        ..roster(5, 1)
    };
    assert_eq!(toml::from_str::<Roster>(&in_toml()).unwrap(), only_pl);

    let root = root(1, &["b", "a"]);
    let read = Root::from_draft(&serde_json::to_string(&root).unwrap()).unwrap();
    assert_eq!(read.render_for_signing(), root.render_for_signing());
    assert_eq!(root.successor(Timestamp::MAX).version, 2);
    assert!(root.problems().as_slice().is_empty());
}

/// The sample's Poland alone, as a person would write it in TOML.
fn in_toml() -> String {
    let pl = member("pl", "Poland", 2);
    let log = pl.log.unwrap();
    format!(
        r#"
            coalition = "coalition.example"
            version = 5
            root_version = 1
            issued = "2026-03-01T00:00:00Z"
            expires = "2026-06-01T00:00:00Z"
            coalition_key = {{}}

            [[members]]
            id = "pl"
            name = "Poland"
            organisation = "Ministry of Social Policy"
            roles = {{ member = true, keyholder = {{ identifier = 2 }} }}
            addresses = ["node.pl.coalition.example:8443"]
            encryption_key = "{}"
            log = {{ origin = "{}", vkey = "{}" }}
            witness_vkey = "{}"
            purposes = ["family_tracing", "reunification"]
            index_cap = 50000

            [members.quotas]
            evaluations_per_day = 5000
            subjects_per_day = 2000
            enrolment_records = 20000

            [[members.tls_pins]]
            spki_sha256 = "{}"
            not_before = "2026-01-01T00:00:00Z"
            not_after = "2027-01-01T00:00:00Z"

            [[members.signing_keys]]
            public_key = "{}"
            not_before = "2026-01-01T00:00:00Z"
            not_after = "2027-01-01T00:00:00Z"
            "#,
        pl.encryption_key.unwrap(),
        log.origin,
        log.vkey,
        pl.witness_vkey.unwrap(),
        pl.tls_pins[0].spki_sha256,
        pl.signing_keys[0].public_key,
    )
}

#[test]
fn people_can_read_it() {
    let shown = edited().show(time("2026-10-01T00:00:00Z").unix());
    for line in [
        "Roster 6 of coalition.example",
        "made on 2026-03-10 under root 1, EXPIRED on 2026-09-01",
        "Coalition key, epoch 1 (in use): 2 of 3 keyholders",
        "Poland (pl), Ministry of Social Policy: a member and keyholder 2",
        "  SUSPENDED since 2026-03-11",
        "Poland (ombud-pl), Ombudsman for Children: an ombudsman for pl",
        "  may ask for family_tracing and reunification",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line} is missing in\n{shown}"
        );
    }
    let shown = root(1, &["a", "b", "c"]).show(now());
    assert!(shown.starts_with("Root 1 of coalition.example\n2 of 3 keys have to sign, expires"));
}
