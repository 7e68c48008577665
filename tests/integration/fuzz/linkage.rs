//! Names, places, documents and dates as the linkage reads them; its rule table; its decision.

use wayhome::linkage::{
    Attributes, Date, MAX_SLOTS, Presence, RuleSet, RuleTable, Sex, document, normalise,
    patronymic, place, skeleton, surname,
};

use super::engine::{Answer, Target};

/// Separates the fields of an input; no field can hold it.
const BETWEEN: char = '\u{1f}';

/// Longest key, in octets: three ingredients of a bounded field each.
const LONGEST_KEY: usize = 4 * 4 * normalise::MAX_CHARS;

/// A record whose text fields are the input's parts, in order; the rest of the first octets says sex
/// and date.
fn record(text: &str) -> Attributes<'_> {
    let mut parts = text.split(BETWEEN);
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let head = next().unwrap_or_default();
    let digit = |at: usize| head.as_bytes().get(at).copied().unwrap_or_default();
    Attributes {
        sex: match digit(0) % 3 {
            0 => None,
            1 => Some(Sex::Female),
            _ => Some(Sex::Male),
        },
        date_of_birth: Date::new(
            1_900 + i32::from(digit(1)),
            Some(digit(2) % 14).filter(|month| *month > 0),
            Some(digit(3) % 33).filter(|day| *day > 0),
        ),
        family_name: next(),
        given_name: next(),
        patronymic: next(),
        other_names: next(),
        place_of_birth: next(),
        citizenship: next(),
        mother_family_name: next(),
        mother_given_name: next(),
        father_family_name: next(),
        father_given_name: next(),
        document_type: next(),
        document_number: next(),
        last_known_place: next(),
    }
}

fn names(input: &[u8], answer: &mut Answer) {
    let table = RuleTable::shipped().unwrap_or_else(|error| panic!("{error}"));
    let text = String::from_utf8_lossy(input);
    let record = record(&text);
    let derived = table.derive(&record);
    assert!(derived.keys.len() <= MAX_SLOTS);
    answer.kind(derived.presence.0);
    for key in &derived.keys {
        assert!(key.text.len() <= LONGEST_KEY);
        answer.kind(key.rule.0);
        answer.value(key.text.as_slice());
    }
    for key in table.derive_siblings(&[record, record], 0) {
        answer.value(key.text.as_slice());
    }
    // Each reader alone, on all of the text.
    let words = normalise::words(&text);
    let spelling = skeleton::orthography(words.iter());
    for word in &words {
        answer.value(word.text.as_str());
        answer.value(patronymic::father(&word.text, spelling).map(|name| name.to_string()));
    }
    for part in surname::parts(&words, spelling) {
        answer.value((part.bones.as_str(), part.sounds.as_str()));
    }
    answer.value(place::settlement(&words, spelling).map(|name| name.to_string()));
    answer.value(document::number(&words, spelling).map(|number| number.to_string()));
}

fn decision(input: &[u8], answer: &mut Answer) {
    let table = RuleTable::shipped().unwrap_or_else(|error| panic!("{error}"));
    let word = |at: usize| {
        let part = input.get(at * 8..).unwrap_or_default();
        let mut octets = [0; 8];
        octets
            .iter_mut()
            .zip(part)
            .for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(octets)
    };
    let asked = Presence::from_bits(word(0) as u16);
    let candidates: Vec<(Presence, RuleSet)> = (0..4)
        .map(|n| {
            let held = Presence::from_bits((word(0) >> (16 + 11 * n)) as u16);
            (held, RuleSet(word(1 + n)))
        })
        .collect();
    for (decision, (held, agreed)) in table
        .decide_among(asked, &candidates)
        .iter()
        .zip(&candidates)
    {
        assert!(agreed.is_empty() || decision.weight.is_finite());
        answer.kind(decision.grade as u8);
        answer.value(decision.weight.to_bits());
        let told = table.explain(asked, *held, *agreed);
        answer.kind(told.rules.len());
        for (class, finding) in told.classes {
            answer.kind((class, finding.as_str()));
        }
    }
}

fn rule_table(input: &[u8], answer: &mut Answer) {
    let text = String::from_utf8_lossy(input);
    answer.result(&RuleTable::parse(&text));
}

#[test]
fn names_places_and_documents() {
    let pieces = &[
        "Шевченко",
        "Ольга",
        "Іванівна",
        "SZ",
        "tsch",
        "м. ",
        "\u{1f}",
    ];
    Target {
        name: "names",
        run: names,
        pieces,
    }
    .fuzz();
}

#[test]
fn decisions() {
    Target {
        name: "decisions",
        run: decision,
        pieces: &["\u{ff}", "\u{7f}"],
    }
    .fuzz();
}

#[test]
fn rule_tables() {
    let pieces = &[
        "[[rule]]\n",
        "id = 1\n",
        "of = [\"date\", \"family\"]\n",
        "slots = ",
        "[model]\n",
    ];
    Target {
        name: "rule-tables",
        run: rule_table,
        pieces,
    }
    .fuzz();
}

#[test]
fn bounded() {
    // What lies beyond the first characters of a field is never looked at: the work on a record is
    // bounded whatever its length.
    let table = RuleTable::shipped().unwrap_or_else(|error| panic!("{error}"));
    for unit in [
        "а",
        "Шев ченко-",
        "tsch ",
        "\u{0301}",
        "Ольга ",
        "1234 ",
        "ﷺ",
        "ж\u{0301}'",
    ] {
        let long = unit.repeat(200_000 / unit.len());
        let cut: String = long.chars().take(normalise::MAX_CHARS).collect();
        let of = |text: &str| {
            let derived = table.derive(&Attributes {
                family_name: Some(text),
                given_name: Some(text),
                patronymic: Some(text),
                other_names: Some(text),
                date_of_birth: Date::new(2014, Some(5), Some(3)),
                place_of_birth: Some(text),
                mother_family_name: Some(text),
                mother_given_name: Some(text),
                father_given_name: Some(text),
                document_number: Some(text),
                last_known_place: Some(text),
                ..Attributes::default()
            });
            let keys = derived.keys.iter().map(|key| key.text.to_vec());
            (derived.presence, keys.collect::<Vec<_>>())
        };
        assert!(of(&long) == of(&cut), "{unit:?}");
    }
}
