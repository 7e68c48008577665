//! Bundles of evidence: files that an ombudsman's reader is handed by anybody.

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::{Value, json};
use wayhome::audit::bundle::{Anchors, check};

use super::engine::{Answer, Target};

/// A sound bundle, and the root that it is judged by.
struct Sound {
    root: Vec<u8>,
    bundle: Value,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/bundles");
    let bundle = std::fs::read(folder.join("sound.json")).unwrap();
    Sound {
        root: std::fs::read(folder.join("root.note")).unwrap(),
        bundle: serde_json::from_slice(&bundle).unwrap(),
    }
});

/// Checks a bundle as one who has the root and knows nothing else.
fn judged(bytes: &[u8], answer: &mut Answer) {
    let anchors = Anchors {
        root: &SOUND.root,
        witnesses: &[],
        quorum: 0,
        last: &|_, _| Ok(None),
    };
    let checked = check(bytes, &anchors);
    answer.result(&checked);
    let Ok(checked) = checked else { return };
    for log in &checked.logs {
        for finding in &log.log.findings {
            answer.kind(finding.fault.code());
            answer.value(finding.to_string());
        }
    }
    answer.value(checked.findings());
}

/// Numbers that readers stumble over.
const NUMBERS: [u64; 6] = [0, 1, 100_001, 1_000_000_000_000, 1 << 63, u64::MAX];

/// One edit: two octets choose the place, one says what is done there.
fn edit(bundle: &mut Value, [first, second, what]: [u8; 3]) {
    let mut place = bundle;
    let mut choice = usize::from(first) << 8 | usize::from(second);
    // Down to a value, or to a list or object on the way where the choice ends.
    loop {
        let inner = match &*place {
            Value::Array(list) => list.len(),
            Value::Object(object) => object.len(),
            _ => 0,
        };
        if inner == 0 || choice == 0 {
            break;
        }
        let at = choice % inner;
        choice /= inner.max(2);
        let next = match place {
            Value::Array(list) => list.get_mut(at),
            Value::Object(object) => object.values_mut().nth(at),
            _ => None,
        };
        let Some(next) = next else { return };
        place = next;
    }
    let at = usize::from(what >> 3);
    match (what % 8, place) {
        (0, place) => *place = Value::Null,
        (1, Value::Array(list)) if !list.is_empty() => drop(list.remove(at % list.len())),
        (2, Value::Array(list)) if !list.is_empty() => {
            let twin = list[at % list.len()].clone();
            list.push(twin);
        }
        (3, Value::Array(list)) => list.reverse(),
        (1..=3, Value::Object(object)) => {
            let name = object.keys().nth(at % object.len().max(1)).cloned();
            if let Some(name) = name {
                object.remove(&name);
            }
        }
        (1..=3, Value::String(text)) => {
            let cut = text.char_indices().map(|(at, _)| at).nth(at * 7 + 3);
            text.truncate(cut.unwrap_or(0));
        }
        (4..=7, Value::String(text)) => {
            let other = if what & 8 == 0 { 'A' } else { '/' };
            let mut letters: Vec<char> = text.chars().collect();
            let length = letters.len().max(1);
            if let Some(letter) = letters.get_mut(at * 31 % length) {
                *letter = other;
            }
            *text = letters.into_iter().collect();
        }
        (_, place @ Value::Number(_)) => *place = json!(NUMBERS[at % NUMBERS.len()]),
        (_, place @ Value::Bool(_)) => *place = json!(place == &Value::Bool(false)),
        _ => {}
    }
}

fn edited(input: &[u8], answer: &mut Answer) {
    let mut bundle = SOUND.bundle.clone();
    for script in input.as_chunks::<3>().0.iter().take(16) {
        edit(&mut bundle, *script);
    }
    judged(bundle.to_string().as_bytes(), answer);
}

#[test]
fn bundle_files() {
    Target {
        name: "bundles",
        run: judged,
        pieces: &[
            "\"leaves\":[",
            "\"index\":",
            "18446744073709551615",
            "null",
            "{}",
            "]",
            "\"",
        ],
    }
    .fuzz();
}

#[test]
fn edits_of_a_sound_bundle() {
    Target {
        name: "bundle-edits",
        run: edited,
        pieces: &["\u{1}", "\u{7f}\u{0}", "abc"],
    }
    .fuzz();
}

#[test]
fn the_sound_bundle_is_sound() {
    let anchors = Anchors {
        root: &SOUND.root,
        witnesses: &[],
        quorum: 0,
        last: &|_, _| Ok(None),
    };
    let checked = check(SOUND.bundle.to_string().as_bytes(), &anchors).unwrap();
    assert_eq!(checked.findings(), 0);
    assert!(checked.logs.iter().any(|log| log.acts.len() > 1));
}
