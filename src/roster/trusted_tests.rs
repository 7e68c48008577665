use super::super::sample::*;
use super::super::*;
use crate::envelope::{KeyId, VerifyingKey};

/// A roster of the sample coalition after an edit, trusted.
fn trusted(edit: impl FnOnce(&mut Roster)) -> TrustedRoster {
    let mut content = roster(6, 1);
    edit(&mut content);
    let note = signed_roster(&content, &["a", "b"]);
    TrustedRoster::verify(store().root(), &note).unwrap()
}

fn at(text: &str) -> u64 {
    time(text).unix()
}

fn key_id(key: &MemberKey) -> KeyId {
    VerifyingKey::from_bytes(key.public_key.as_bytes())
        .unwrap()
        .id()
}

#[test]
fn the_digest_is_of_the_text_and_not_of_the_signatures() {
    let text = roster(6, 1).render_for_signing().unwrap();
    let two = TrustedRoster::verify(store().root(), &sign(&text, &["a", "b"])).unwrap();
    let three = TrustedRoster::verify(store().root(), &sign(&text, &["c", "b", "a"])).unwrap();
    assert_eq!(two.digest(), Bytes32::sha256(text.as_bytes()));
    assert_eq!(two.digest(), three.digest());
    assert_ne!(two.note(), three.note());
}

#[test]
fn a_pin_finds_its_party_while_it_is_valid() {
    let roster = trusted(|roster| {
        let mut second = pin("pl", 2);
        second.not_before = time("2026-03-01T00:00:00Z");
        second.not_after = time("2028-01-01T00:00:00Z");
        roster.add_tls_pin(&id("pl"), second).unwrap();
    });
    let first = *pin("pl", 1).spki_sha256.as_bytes();
    let second = *pin("pl", 2).spki_sha256.as_bytes();
    let find = |pin: &[u8; 32], when: &str| {
        roster
            .member_by_tls_pin(pin, at(when))
            .map(|member| member.id.as_str())
    };
    let code = |found: Result<&str, PeerRefusal>| found.unwrap_err().code();
    assert_eq!(find(&first, NOW), Ok("pl"));
    assert_eq!(find(&second, NOW), Ok("pl"));
    assert_eq!(
        code(find(&second, "2026-02-28T23:59:59Z")),
        "KEY_NOT_VALID_NOW"
    );
    assert_eq!(find(&first, "2026-12-31T23:59:59Z"), Ok("pl"));
    assert_eq!(
        code(find(&first, "2027-01-01T00:00:00Z")),
        "KEY_NOT_VALID_NOW"
    );
    assert_eq!(find(&second, "2027-01-01T00:00:00Z"), Ok("pl"));
    assert_eq!(code(find(&[7; 32], NOW)), "PIN_UNKNOWN");
}

#[test]
fn a_signing_key_belongs_to_one_party_for_its_time() {
    let roster = trusted(|_| {});
    let (ours, theirs) = (key_id(&message_key("pl", 1)), key_id(&message_key("ua", 1)));
    let code = |member: &str, key, when: &str| {
        roster
            .signing_key(member, key, at(when))
            .map_err(|refusal| refusal.code())
            .err()
    };
    let found = roster.signing_key("pl", &ours, at(NOW)).unwrap();
    assert_eq!(found.as_bytes(), message_key("pl", 1).public_key.as_bytes());
    assert_eq!(code("pl", &theirs, NOW), Some("SIGNING_KEY_UNKNOWN"));
    assert_eq!(code("xx", &ours, NOW), Some("PARTY_UNKNOWN"));
    assert_eq!(
        code("pl", &ours, "2025-12-31T23:59:59Z"),
        Some("KEY_NOT_VALID_NOW")
    );
    assert_eq!(
        code("pl", &ours, "2027-01-01T00:00:00Z"),
        Some("KEY_NOT_VALID_NOW")
    );
}

#[test]
fn a_suspension_takes_effect_in_its_second() {
    let since = "2026-03-05T00:00:00Z";
    let roster = trusted(|roster| roster.suspend(&id("pl"), time(since)).unwrap());
    let (before, after) = (at(since) - 1, at(since));
    let pin = *pin("pl", 1).spki_sha256.as_bytes();
    let key = key_id(&message_key("pl", 1));
    assert!(!roster.is_suspended("pl", before) && roster.is_suspended("pl", after));
    assert!(roster.member_by_tls_pin(&pin, before).is_ok());
    assert_eq!(
        roster.member_by_tls_pin(&pin, after).unwrap_err().code(),
        "SUSPENDED"
    );
    assert_eq!(
        roster.signing_key("pl", &key, after).unwrap_err().code(),
        "SUSPENDED"
    );
    assert!(roster.permits("pl", Purpose::FamilyTracing, before));
    assert!(!roster.permits("pl", Purpose::FamilyTracing, after));
    let holders = |now| {
        roster
            .keyholders(now)
            .iter()
            .map(|(k, _)| k.identifier)
            .collect()
    };
    let (all, left): (Vec<u16>, Vec<u16>) = (holders(before), holders(after));
    assert_eq!((all, left), (vec![1, 2, 3], vec![1, 3]));
    assert_eq!(roster.holders(after).count(), 2);
    assert!(roster.member("pl").is_some(), "it can still be shown");
    assert!(
        roster.is_suspended("nobody", before),
        "who is not in the roster may not speak"
    );
}

#[test]
fn purposes_are_those_listed() {
    let roster = trusted(|_| {});
    assert!(roster.permits("pl", Purpose::Reunification, now()));
    assert!(!roster.permits("pl", Purpose::Audit, now()));
    assert!(roster.permits("ombud-pl", Purpose::Audit, now()));
    assert!(!roster.permits("ombud-pl", Purpose::FamilyTracing, now()));
    assert!(!roster.permits("xx", Purpose::FamilyTracing, now()));
}

#[test]
fn the_coalition_key_is_that_of_the_current_epoch() {
    let all = ["de", "pl", "ua"];
    let rotating = trusted(|roster| {
        roster.coalition_key.next = Some(coalition_key(2, &all));
    });
    assert_eq!(rotating.coalition_key().map(|key| key.epoch), Some(1));
    let next = rotating.coalition_keys().of_epoch(2).unwrap();
    assert_eq!(rotating.keyholders_of(next, now()).len(), 3);
    assert_eq!(
        next.keyholder("pl").map(|holder| holder.identifier),
        Some(2)
    );
    let none = trusted(|roster| roster.coalition_key = CoalitionKeys::default());
    assert!(none.coalition_key().is_none() && none.keyholders(now()).is_empty());
}

#[test]
fn a_pinned_root_must_be_whole_and_signed_by_itself() {
    let code = |note: &[u8]| TrustedRoot::pin(note).unwrap_err().code();
    let good = root(1, &["a", "b"]);
    assert_eq!(code(&signed_root(&good, &["a"])), "BELOW_OWN_THRESHOLD");
    assert_eq!(
        code(&signed_roster(&roster(1, 1), &["a", "b"])),
        "WRONG_TYPE"
    );
    assert_eq!(code(b""), "NOT_A_NOTE");
}
