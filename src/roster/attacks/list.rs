//! The attacks themselves. What is signed here is signed by the invented root keys a, b and c, or d,
//! e and f after a rotation; x and y are strangers.

use super::super::sample::*;
use super::super::*;
use super::{Attack, OLD};

const NEW: &[&str] = &["d", "e", "f"];
const LATER: &str = "2026-03-03T12:00:00Z";
const LONG_AFTER: &str = "2026-07-01T00:00:00Z";

/// Every attack, with the files it takes and the refusals it meets.
pub(super) fn attacks() -> Vec<Attack> {
    let roster_text = |version| roster(version, 1).render_for_signing().unwrap();
    let by_ab = |version| signed_roster(&roster(version, 1), &["a", "b"]);
    let rotated = || signed_root(&root(2, NEW), &["a", "b", "d", "e"]);
    let expired = |version| Roster {
        expires: time("2026-04-01T00:00:00Z"),
        ..roster(version, 1)
    };
    let other = "other.example".to_owned();
    let with_other_key = |version, root_version| {
        let mut roster = roster(version, root_version);
        if let Some(key) = &mut roster.coalition_key.current {
            key.public_key = bytes("another key for epoch 1");
        }
        roster
    };

    vec![
        Attack::new(
            "rollback",
            "An older roster is offered, also after a restart.",
        )
        .usual()
        .roster("4.roster", by_ab(4), NOW, "ROLLBACK")
        .restart()
        .again("4.roster", NOW, "ROLLBACK"),
        Attack::new(
            "freeze",
            "A roster that has expired is offered, one that was never seen and the trusted one.",
        )
        .usual()
        .roster(
            "6.roster",
            signed_roster(&expired(6), &["a", "b"]),
            LONG_AFTER,
            "EXPIRED",
        )
        .again("5.roster", LONG_AFTER, "EXPIRED"),
        Attack::new(
            "root_freeze",
            "The newest root that is offered has expired.",
        )
        .pin(
            "1.root",
            signed_root(
                &Root {
                    expires: time("2026-05-01T00:00:00Z"),
                    ..root(1, OLD)
                },
                &["a", "b"],
            ),
        )
        .roster("5.roster", by_ab(5), NOW, "UPDATED")
        .roster("6.roster", by_ab(6), "2026-05-02T00:00:00Z", "ROOT_EXPIRED"),
        Attack::new(
            "expired_root_on_the_way",
            "No attack: an expired root leads to one that is valid, and is walked over.",
        )
        .usual()
        .root(
            "2.root",
            signed_root(
                &Root {
                    expires: time("2026-02-01T00:00:00Z"),
                    ..root(2, OLD)
                },
                &["a", "c"],
            ),
            NOW,
            "UPDATED",
        )
        .again("5.roster", NOW, "ROOT_EXPIRED")
        .root(
            "3.root",
            signed_root(&root(3, OLD), &["b", "c"]),
            NOW,
            "UPDATED",
        )
        .roster(
            "6.roster",
            signed_roster(&roster(6, 3), &["a", "b"]),
            NOW,
            "UPDATED",
        ),
        Attack::new(
            "fast_forward",
            "Someone with the root keys publishes a version so high that no later one fits.",
        )
        .usual()
        .roster(
            "4000000000.roster",
            by_ab(4_000_000_000),
            NOW,
            "FAST_FORWARD",
        ),
        Attack::new(
            "fast_forward_recovery",
            "A node that knew no earlier roster took the fast-forwarded one.
            New root keys end that, the count begins anew, and the old file stays out.",
        )
        .pin("1.root", signed_root(&root(1, OLD), &["a", "b"]))
        .roster("4000000000.roster", by_ab(4_000_000_000), NOW, "UPDATED")
        .roster("6-under-1.roster", by_ab(6), NOW, "ROLLBACK")
        .root("2.root", rotated(), NOW, "UPDATED")
        .again("4000000000.roster", NOW, "OLD_ROOT")
        .restart()
        .roster(
            "7.roster",
            signed_roster(&roster(7, 2), &["d", "e"]),
            NOW,
            "UPDATED",
        )
        .again("4000000000.roster", NOW, "OLD_ROOT"),
        Attack::new(
            "other_key",
            "A roster puts another key in the place of an epoch's, which would make every share and
            token worthless. Only the first roster under new root keys may.",
        )
        .usual()
        .roster(
            "6-other-key.roster",
            signed_roster(&with_other_key(6, 1), &["a", "b"]),
            NOW,
            "OTHER_KEY",
        )
        .restart()
        .again("6-other-key.roster", NOW, "OTHER_KEY")
        .root("2.root", rotated(), NOW, "UPDATED")
        .roster(
            "7.roster",
            signed_roster(&with_other_key(7, 2), &["d", "e"]),
            NOW,
            "UPDATED",
        )
        .roster(
            "8-first-key.roster",
            signed_roster(&roster(8, 2), &["d", "e"]),
            NOW,
            "OTHER_KEY",
        ),
        Attack::new(
            "mix_and_match",
            "Rosters and roots of different times are combined.",
        )
        .usual()
        .roster("6.roster", by_ab(6), NOW, "UPDATED")
        .roster(
            "7.roster",
            signed_roster(&roster(7, 2), &["d", "e"]),
            NOW,
            "ROOT_MISSING",
        )
        .root("2.root", rotated(), NOW, "UPDATED")
        .again("6.roster", NOW, "OLD_ROOT")
        .roster(
            "7-by-old.roster",
            signed_roster(&roster(7, 2), &["a", "b"]),
            NOW,
            "UNKNOWN_KEY",
        )
        .again("7.roster", NOW, "UPDATED"),
        Attack::new(
            "wrong_coalition",
            "The same people sign for two coalitions, and the files of one are shown to the other.",
        )
        .usual()
        .roster(
            "other.roster",
            signed_roster(
                &Roster {
                    coalition: other.clone(),
                    ..roster(6, 1)
                },
                &["a", "b"],
            ),
            NOW,
            "WRONG_COALITION",
        )
        .root(
            "other.root",
            signed_root(
                &Root {
                    coalition: other,
                    ..root(2, OLD)
                },
                &["a", "b"],
            ),
            NOW,
            "WRONG_COALITION",
        ),
        Attack::new(
            "arbitrary",
            "A signed roster is altered after signing; a root is altered likewise; noise is sent.",
        )
        .usual()
        .roster(
            "altered.roster",
            replaced(&by_ab(6), "\"index_cap\": 50000", "\"index_cap\": 90000"),
            NOW,
            "BAD_SIGNATURE",
        )
        .root(
            "altered.root",
            replaced(&rotated(), "\"threshold\": 2", "\"threshold\": 3"),
            NOW,
            "BAD_SIGNATURE",
        )
        .roster(
            "noise.roster",
            b"\x00\xff noise".to_vec(),
            NOW,
            "NOT_A_NOTE",
        )
        .roster(
            "unsigned.roster",
            roster_text(6).into_bytes(),
            NOW,
            "NOT_A_NOTE",
        ),
        Attack::new(
            "truncated",
            "The file ends early: in the text, or in a signature line.",
        )
        .usual()
        .roster("text.roster", by_ab(6)[..2_000].to_vec(), NOW, "NOT_A_NOTE")
        .roster("line.roster", without_end(by_ab(6), 9), NOW, "NOT_A_NOTE")
        .roster(
            "last-line.roster",
            without_last_line(&by_ab(6)),
            NOW,
            "BELOW_THRESHOLD",
        ),
        Attack::new("endless_data", "The file is longer than any root could be.")
            .usual()
            .root(
                "2.root",
                vec![b'\n'; Kind::Root.max_bytes() + 1],
                NOW,
                "TOO_LARGE",
            ),
        Attack::new("below_threshold", "One root key signs where two have to.")
            .usual()
            .roster(
                "6.roster",
                signed_roster(&roster(6, 1), &["c"]),
                NOW,
                "BELOW_THRESHOLD",
            ),
        Attack::new(
            "key_counted_twice",
            "One root key signs twice where two keys have to.",
        )
        .usual()
        .roster(
            "6.roster",
            signed_roster(&roster(6, 1), &["a", "a"]),
            NOW,
            "KEY_COUNTED_TWICE",
        )
        .root(
            "2.root",
            signed_root(&root(2, OLD), &["b", "b"]),
            NOW,
            "KEY_COUNTED_TWICE",
        ),
        Attack::new(
            "one_key_two_names",
            "A root that lists one key under two names would let one person make the threshold.",
        )
        .usual()
        .root(
            "2.root",
            sign(&one_key_two_names(), &["a", "b"]),
            NOW,
            "INVALID_CONTENT",
        ),
        Attack::new(
            "unknown_key",
            "Keys that are not root keys sign, with and without one that is.",
        )
        .usual()
        .roster(
            "6.roster",
            signed_roster(&roster(6, 1), &["x", "y"]),
            NOW,
            "UNKNOWN_KEY",
        )
        .roster(
            "mixed.roster",
            signed_roster(&roster(6, 1), &["a", "x"]),
            NOW,
            "UNKNOWN_KEY",
        )
        .root(
            "2.root",
            signed_root(&root(2, &["x", "y"]), &["x", "y"]),
            NOW,
            "UNKNOWN_KEY",
        ),
        Attack::new(
            "wrong_type",
            "A root is offered as a roster and the reverse; a format of the future is offered.",
        )
        .usual()
        .roster(
            "root.roster",
            signed_root(&root(2, OLD), &["a", "b"]),
            NOW,
            "WRONG_TYPE",
        )
        .root("roster.root", by_ab(6), NOW, "WRONG_TYPE")
        .roster(
            "future.roster",
            sign(
                &roster_text(6).replace("roster/v1", "roster/v2"),
                &["a", "b"],
            ),
            NOW,
            "UNSUPPORTED_FORMAT",
        ),
        Attack::new(
            "root_rollback",
            "An older root is offered, one that this node did not come by.",
        )
        .usual()
        .root("2.root", rotated(), NOW, "UPDATED")
        .root(
            "other-1.root",
            signed_root(
                &Root {
                    expires: time("2028-01-01T00:00:00Z"),
                    ..root(1, OLD)
                },
                &["a", "b"],
            ),
            NOW,
            "ROOT_ROLLBACK",
        ),
        Attack::new(
            "root_skipped",
            "A root is offered that is two ahead, and then the highest.",
        )
        .usual()
        .root(
            "3.root",
            signed_root(&root(3, OLD), &["a", "b"]),
            NOW,
            "ROOT_SKIPPED",
        )
        .root(
            "4294967295.root",
            signed_root(&root(u32::MAX, OLD), &["a", "b"]),
            NOW,
            "ROOT_SKIPPED",
        ),
        Attack::new(
            "root_without_the_old",
            "New keys sign themselves in; too few of the old keys agree.",
        )
        .usual()
        .root(
            "2.root",
            signed_root(&root(2, NEW), &["a", "d", "e", "f"]),
            NOW,
            "UNKNOWN_KEY",
        )
        .root(
            "one-old.root",
            signed_root(&root(2, OLD), &["a"]),
            NOW,
            "BELOW_THRESHOLD",
        ),
        Attack::new(
            "root_without_the_new",
            "The old keys name new ones whose holders do not have them.",
        )
        .usual()
        .root(
            "2.root",
            signed_root(&root(2, NEW), &["a", "b", "d"]),
            NOW,
            "BELOW_OWN_THRESHOLD",
        ),
        Attack::new(
            "equivocation",
            "Two different signed files carry one version.",
        )
        .usual()
        .roster(
            "other-5.roster",
            signed_roster(
                &Roster {
                    expires: time("2026-06-02T00:00:00Z"),
                    ..roster(5, 1)
                },
                &["b", "c"],
            ),
            NOW,
            "EQUIVOCATION",
        )
        .root(
            "other-1.root",
            signed_root(&root(1, &["a", "b"]), OLD),
            NOW,
            "EQUIVOCATION",
        )
        .roster(
            "5-by-b-and-c.roster",
            signed_roster(&roster(5, 1), &["b", "c"]),
            NOW,
            "UNCHANGED",
        ),
        Attack::new(
            "clock_set_back",
            "The machine's clock is set back, so that what has expired looks fresh.",
        )
        .usual()
        .again("5.roster", LATER, "UNCHANGED")
        .roster(
            "6.roster",
            by_ab(6),
            "2026-03-03T11:58:00Z",
            "CLOCK_WENT_BACK",
        )
        .step("2026-03-03T11:59:30Z restart".to_owned())
        .again("6.roster", "2026-03-03T11:58:00Z", "CLOCK_WENT_BACK")
        .again("6.roster", "2026-03-03T11:59:30Z", "UPDATED"),
        Attack::new(
            "clock_behind",
            "The roster is dated days after what the clock says.",
        )
        .pin("1.root", signed_root(&root(1, OLD), &["a", "b"]))
        .roster("5.roster", by_ab(5), "2026-02-01T00:00:00Z", "CLOCK_BEHIND"),
        Attack::new(
            "second_spelling",
            "Well signed, but not in the one form: fields in another order, another layout,
            an escape where none is needed, a list out of order.",
        )
        .usual()
        .roster(
            "order.roster",
            signed_replaced(
                &roster_text(6),
                "  \"version\": 6,\n  \"root_version\": 1,\n",
                "  \"root_version\": 1,\n  \"version\": 6,\n",
            ),
            NOW,
            "NOT_CANONICAL",
        )
        .roster(
            "layout.roster",
            signed_replaced(&roster_text(6), "\"version\": 6", "\"version\":  6"),
            NOW,
            "NOT_CANONICAL",
        )
        .roster(
            "escape.roster",
            signed_replaced(&roster_text(6), "\"Germany\"", "\"\\u0047ermany\""),
            NOW,
            "NOT_CANONICAL",
        )
        .roster(
            "list.roster",
            signed_replaced(
                &roster_text(6),
                "\"family_tracing\",\n        \"reunification\"",
                "\"reunification\",\n        \"family_tracing\"",
            ),
            NOW,
            "NOT_CANONICAL",
        )
        .roster(
            "after-the-end.roster",
            sign(&format!("{}\n{{}}\n", roster_text(6)), &["a", "b"]),
            NOW,
            "MALFORMED",
        ),
        Attack::new(
            "malformed",
            "Well signed, but an unknown field, a field given twice, a value of another type,
            a key that is no key.",
        )
        .usual()
        .roster(
            "unknown-field.roster",
            signed_replaced(
                &roster_text(6),
                "\"version\": 6",
                "\"version\": 6,\n  \"admin\": true",
            ),
            NOW,
            "MALFORMED",
        )
        .roster(
            "twice.roster",
            signed_replaced(
                &roster_text(6),
                "\"version\": 6",
                "\"version\": 6,\n  \"version\": 7",
            ),
            NOW,
            "MALFORMED",
        )
        .roster(
            "type.roster",
            signed_replaced(
                &roster_text(6),
                "\"index_cap\": 50000",
                "\"index_cap\": \"50000\"",
            ),
            NOW,
            "MALFORMED",
        )
        .root(
            "unknown-field.root",
            signed_replaced(
                &root(2, OLD).render_for_signing().unwrap(),
                "\"threshold\": 2",
                "\"threshold\": 2,\n  \"quorum\": 1",
            ),
            NOW,
            "MALFORMED",
        )
        .root(
            "cut.root",
            sign("wayhome/root/v1\n{\n", &["a", "b"]),
            NOW,
            "MALFORMED",
        )
        .roster(
            "hex.roster",
            signed_replaced(
                &roster_text(6),
                &tls_pin("TLS key 1 of pl").to_string(),
                "f00",
            ),
            NOW,
            "MALFORMED",
        ),
        Attack::new(
            "invalid_content",
            "Well signed, but two members share a TLS key; an ombudsman is given a log;
            a member is named with characters that hide in print.",
        )
        .usual()
        .roster(
            "shared-pin.roster",
            signed_replaced(
                &roster_text(6),
                &tls_pin("TLS key 1 of pl").to_string(),
                &tls_pin("TLS key 1 of ua").to_string(),
            ),
            NOW,
            "INVALID_CONTENT",
        )
        .roster(
            "ombudsman.roster",
            signed_replaced(&roster_text(6), "\"index_cap\": 0", "\"index_cap\": 1"),
            NOW,
            "INVALID_CONTENT",
        )
        .roster(
            "hidden.roster",
            signed_replaced(&roster_text(6), "\"Germany\"", "\"Germany\u{202e}\""),
            NOW,
            "INVALID_CONTENT",
        ),
    ]
}

fn replaced(note: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(note).unwrap();
    assert!(text.contains(from), "{from} is not in the text");
    text.replacen(from, to, 1).into_bytes()
}

fn signed_replaced(text: &str, from: &str, to: &str) -> Vec<u8> {
    sign(
        std::str::from_utf8(&replaced(text.as_bytes(), from, to)).unwrap(),
        &["a", "b"],
    )
}

fn without_end(mut bytes: Vec<u8>, count: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - count);
    bytes
}

fn without_last_line(note: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(note).unwrap().trim_end();
    text.as_bytes()[..=text.rfind('\n').unwrap()].to_vec()
}

fn one_key_two_names() -> String {
    let mut two = root(2, &["a", "b", "c"]);
    two.keys[2].public_key = two.keys[0].public_key;
    document::render(&two).unwrap()
}
