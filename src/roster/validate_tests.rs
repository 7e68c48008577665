use super::super::sample::*;
use super::super::*;

fn told(edit: impl FnOnce(&mut Roster)) -> Vec<String> {
    let mut changed = super::super::sample::roster(1, 1);
    edit(&mut changed);
    super::roster(&changed)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn of_pl(edit: impl FnOnce(&mut Member)) -> Vec<String> {
    told(|roster| edit(&mut roster.members[2]))
}

#[track_caller]
fn only(problems: Vec<String>, expected: &str) {
    assert!(
        problems.len() == 1 && problems[0].starts_with(expected),
        "{problems:#?}"
    );
}

#[test]
fn the_sample_is_valid() {
    assert!(told(|_| {}).is_empty());
    assert!(super::root(&sample::root(1, &["a", "b"])).is_empty());
}

#[test]
fn each_mistake_in_a_member_is_named_with_member_and_field() {
    only(
        of_pl(|m| m.name = String::new()),
        "member pl: name: write 1 to 200",
    );
    only(
        of_pl(|m| m.name = "Po\u{200b}land".into()),
        "member pl: name: has invisible",
    );
    only(
        of_pl(|m| m.organisation = " x".into()),
        "member pl: organisation: has invisible",
    );
    only(
        of_pl(|m| m.tls_pins.clear()),
        "member pl: tls_pins: give at least one",
    );
    only(
        of_pl(|m| m.signing_keys.clear()),
        "member pl: signing_keys: give at least one",
    );
    only(
        of_pl(|m| m.addresses.clear()),
        "member pl: addresses: a node needs",
    );
    only(
        of_pl(|m| m.encryption_key = None),
        "member pl: encryption_key: a node needs one",
    );
    only(of_pl(|m| m.log = None), "member pl: log: a node needs one");
    only(
        of_pl(|m| m.index_cap = 0),
        "member pl: index_cap: a member's index needs",
    );
    only(
        of_pl(|m| m.tls_pins[0].not_after = m.tls_pins[0].not_before),
        "member pl: tls_pins[0]: not_before (2026-01-01T00:00:00Z) must come before",
    );
    only(
        of_pl(|m| m.signing_keys[0].not_before = Timestamp::MAX),
        "member pl: signing_keys[0]: not_before (9999-12-31T23:59:59Z) must come before",
    );
    only(
        of_pl(|m| m.signing_keys[0].public_key = Bytes32::new([0; 32])),
        "member pl: signing_keys[0].public_key: the public key is a point of small order",
    );
    only(
        of_pl(|m| m.encryption_key = Some(Bytes32::new([0; 32]))),
        "member pl: encryption_key: is all zero",
    );
    only(
        of_pl(|m| m.log.as_mut().unwrap().vkey = "pl+00000000+AA".into()),
        "member pl: log.vkey: ",
    );
    only(
        of_pl(|m| m.log.as_mut().unwrap().origin = "elsewhere.example/log".into()),
        "member pl: log.vkey: is of \"pl.coalition.example/log\", must be of the log's origin",
    );
    only(
        of_pl(|m| m.log.as_mut().unwrap().vkey = m.witness_vkey.take().unwrap()),
        "member pl: log.vkey: is a verifier key of another type",
    );
    only(
        of_pl(|m| m.witness_vkey = Some(m.log.as_ref().unwrap().vkey.clone())),
        "member pl: witness_vkey: is a verifier key of another type",
    );
    only(
        of_pl(|m| m.purposes = vec![Purpose::Audit, Purpose::Audit]),
        "member pl: purposes: audit is listed twice",
    );
    only(
        told(|r| r.members[0].roles.member = false),
        "member de: purposes: only a member may be given purposes other than audit",
    );
    only(
        told(|r| r.members[1].roles = Roles::default()),
        "member ombud-pl: roles: give at least one",
    );
}

#[test]
fn an_ombudsman_has_no_node_and_oversees_a_member() {
    let of_ombudsman = |edit: fn(&mut Member)| told(|roster| edit(&mut roster.members[1]));
    only(
        of_ombudsman(|m| m.index_cap = 1),
        "member ombud-pl: index_cap: an ombudsman has none",
    );
    only(
        of_ombudsman(|m| m.addresses = vec!["a.example:1".parse().unwrap()]),
        "member ombud-pl: addresses: an ombudsman has none",
    );
    only(
        of_ombudsman(|m| m.roles.ombudsman = Some(OmbudsmanScope::Member(id("xx")))),
        "member ombud-pl: roles.ombudsman: xx is no member",
    );
    only(
        of_pl(|m| m.roles.ombudsman = Some(OmbudsmanScope::Coalition)),
        "member pl: roles: an ombudsman must not be a member or a keyholder",
    );
}

#[test]
fn nothing_is_shared_between_parties() {
    only(
        told(|r| r.members[3].tls_pins = r.members[2].tls_pins.clone()),
        "member ua: tls_pins[0].spki_sha256: the same value as member pl: tls_pins[0]",
    );
    only(
        told(|r| r.members[3].signing_keys = r.members[2].signing_keys.clone()),
        "member ua: signing_keys[0].public_key: the same value as member pl",
    );
    only(
        told(|r| r.members[3].encryption_key = r.members[2].encryption_key),
        "member ua: encryption_key: the same value as member pl: encryption_key",
    );
    only(
        told(|r| r.members[3].addresses = r.members[2].addresses.clone()),
        "member ua: addresses[0]: the same address as member pl: addresses[0]",
    );
    only(
        told(|r| r.members[3].witness_vkey = r.members[2].witness_vkey.clone()),
        "member ua: witness_vkey: the same verifier key as member pl",
    );
    let twice = told(|r| {
        let again = r.members[2].clone();
        r.members.push(again);
    });
    assert!(
        twice[0].starts_with("member pl: id: the same id as member pl: id"),
        "{twice:#?}"
    );
    let identifiers = told(|r| {
        r.coalition_key = CoalitionKeys::default();
        r.members[3].roles.keyholder = Some(KeyholderRole { identifier: 2 });
    });
    only(
        identifiers,
        "member ua: roles.keyholder.identifier: the same keyholder identifier",
    );
    only(
        told(|r| {
            r.coalition_key = CoalitionKeys::default();
            r.members[3].roles.keyholder = Some(KeyholderRole { identifier: 0 });
        }),
        "member ua: roles.keyholder.identifier: must not be zero",
    );
}

#[test]
fn mistakes_in_the_head_of_a_roster() {
    only(told(|r| r.version = 0), "roster: version: counts from 1");
    only(
        told(|r| r.root_version = 0),
        "roster: root_version: counts from 1",
    );
    only(
        told(|r| r.expires = r.issued),
        "roster: expires: must come after issued",
    );
    only(
        told(|r| r.coalition.clear()),
        "roster: coalition: write 1 to",
    );
    let empty = told(|r| {
        r.coalition_key = CoalitionKeys::default();
        r.members.clear();
    });
    only(empty, "roster: members: a roster has at least one party");
}

#[test]
fn mistakes_in_the_coalition_key() {
    let of_key = |edit: fn(&mut CoalitionKey)| {
        told(|roster| edit(roster.coalition_key.current.as_mut().unwrap()))
    };
    let epoch = "coalition key of epoch 1: ";
    let found = of_key(|k| k.threshold = 1);
    only(
        found,
        &format!("{epoch}threshold: is 1, must be at least 2"),
    );
    let found = of_key(|k| k.threshold = 4);
    only(
        found,
        &format!("{epoch}threshold: is 4, but there are only 3 keyholders"),
    );
    let found = of_key(|k| k.public_key = Bytes32::new([0; 32]));
    only(found, &format!("{epoch}public_key: is all zero"));
    let found = of_key(|k| k.keyholders[1].verifying_share = k.keyholders[0].verifying_share);
    only(
        found,
        &format!("{epoch}keyholders[1].verifying_share: the same value as {epoch}"),
    );
    let found = of_key(|k| k.keyholders[1].identifier = 7);
    only(
        found,
        &format!("{epoch}keyholders[1].identifier: pl has the identifier 2 in its roles"),
    );
    let found = of_key(|k| k.keyholders[1].member = id("xx"));
    only(
        found,
        &format!("{epoch}keyholders[1].member: xx is not in this roster"),
    );
    let found = told(|r| r.members[2].roles.keyholder = None);
    only(
        found,
        &format!("{epoch}keyholders[1].member: pl lacks the role of keyholder"),
    );
    let found = told(|r| r.coalition_key.current.as_mut().unwrap().epoch = 0);
    only(found, "coalition key of epoch 0: epoch: counts from 1");

    let all = ["de", "pl", "ua"];
    let keys = |previous, current, next| {
        told(move |r| {
            r.coalition_key = CoalitionKeys {
                previous,
                current,
                next,
            }
        })
    };
    only(
        keys(None, None, Some(coalition_key(2, &all))),
        "roster: coalition_key.current: is missing beside another epoch",
    );
    only(
        keys(
            Some(coalition_key(1, &all)),
            Some(coalition_key(3, &all)),
            None,
        ),
        "roster: coalition_key: epoch 3 does not follow on epoch 1",
    );
    // Who has left the keyholders is still listed under the epoch that is being left.
    let left = told(|r| {
        r.members[2].roles.keyholder = None;
        let mut current = coalition_key(2, &all);
        current.keyholders.remove(1);
        let previous = Some(coalition_key(1, &all));
        r.coalition_key = CoalitionKeys {
            previous,
            current: Some(current),
            next: None,
        };
    });
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn mistakes_in_a_root() {
    let told = |edit: fn(&mut Root)| {
        let mut changed = sample::root(1, &["a", "b", "c"]);
        edit(&mut changed);
        super::root(&changed)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    only(told(|r| r.version = 0), "root: version: counts from 1");
    only(
        told(|r| r.threshold = 1),
        "root: threshold: is 1, must be at least 2",
    );
    only(
        told(|r| r.threshold = 4),
        "root: threshold: is 4, but there are only 3 keys",
    );
    only(
        told(|r| r.keys[1].name = "a b".into()),
        "root key a b: name: write 1 to 100",
    );
    only(
        told(|r| r.keys[1].name = r.keys[0].name.clone()),
        "root key coalition.example/root/a: name: the same root key name as",
    );
    only(
        told(|r| r.keys[1].public_key = r.keys[0].public_key),
        "root key coalition.example/root/b: public_key: the same value as root key",
    );
}

#[test]
fn several_problems_are_told_at_once() {
    let mut wrong = sample::roster(0, 1);
    wrong.members[2].tls_pins.clear();
    let told = wrong.render_for_signing().unwrap_err().to_string();
    assert_eq!(
        told,
        "the roster is not valid: \n  roster: version: counts from 1\
             \n  member pl: tls_pins: give at least one"
    );
}
