//! Registers as others write them: dates, codes, CSV, JSON Lines, PFIF, map files.

use wayhome::records::import::{FIELD_LIMIT, Format, Import, ImportOptions, ROW_LIMIT, Row, scan};
use wayhome::records::{
    Column, Consent, DateOrder, PartialDate, Protection, ReadingRules, Record, RecordRef,
    StatusCode,
};

use super::engine::{Answer, Target};

fn dates(input: &[u8], answer: &mut Answer) {
    let text = String::from_utf8_lossy(input);
    for order in [DateOrder::DayFirst, DateOrder::MonthFirst] {
        let read = PartialDate::parse_noting_order(&text, order);
        answer.result(&read);
        if let Ok((date, shown)) = read {
            answer.kind((shown as u8, date.month().is_some(), date.day().is_some()));
            let iso = date.to_iso();
            answer.value(iso.expose());
            // What was read is written in a form that is read as the same.
            assert!(PartialDate::from_iso(iso.expose()) == Ok(date.clone()));
            assert!(PartialDate::parse(iso.expose(), order) == Ok(date));
        }
    }
    answer.result(&PartialDate::from_iso(&text));
}

fn codes(input: &[u8], answer: &mut Answer) {
    let text = String::from_utf8_lossy(input);
    answer.result(&StatusCode::parse(&text));
    answer.result(&Protection::parse(&text));
    answer.result(&Consent::parse(&text));
    answer.result(&RecordRef::new(&text));
    let Ok(reference) = RecordRef::new("R") else {
        return;
    };
    let mut record = Record::new(reference);
    for (number, part) in text.split('\u{1f}').enumerate() {
        let column = wayhome::records::FIELDS[number % wayhome::records::FIELDS.len()].column;
        if column != Column::RecordRef {
            answer.result(&record.set(column, part, &ReadingRules::default()));
        }
    }
    // A record that was read survives being stored.
    let stored = record.to_plaintext();
    let again = Record::from_plaintext(&stored).unwrap_or_else(|error| panic!("{error}"));
    assert!(again.to_plaintext() == stored);
    answer.value(stored.as_slice());
}

fn plaintext(input: &[u8], answer: &mut Answer) {
    let read = Record::from_plaintext(input);
    answer.result(&read);
    if let Ok(record) = read {
        answer.value(record.to_plaintext().as_slice());
    }
}

/// Reads a register as a stream, and again as a first pass: the two must tell the same.
fn register(input: &[u8], format: Format, answer: &mut Answer) {
    for lenient in [false, true] {
        let mut options = ImportOptions::default();
        if lenient {
            options.take_unreadable_as_missing();
        }
        let report = scan(input, format, &options, |_| ());
        answer.result(&report);
        let import = Import::new(input, format, &options);
        answer.result(&import);
        let Ok(mut import) = import else { continue };
        let (mut accepted, mut rejected) = (0, 0);
        for row in import.by_ref() {
            match row {
                Ok(Row::Accepted(at, record)) => {
                    accepted += 1;
                    answer.value((at.line, at.row, record.to_plaintext().as_slice()));
                }
                Ok(Row::Rejected(rejection)) => {
                    rejected += 1;
                    assert!(!rejection.errors.is_empty());
                    for error in rejection.errors.iter().take(3) {
                        answer.result(&Err::<(), _>(error));
                    }
                }
                Err(error) => answer.result(&Err::<(), _>(error)),
            }
        }
        answer.kind((accepted > 0, rejected > 0));
        let tally = import.tally();
        assert_eq!((tally.accepted, tally.rejected), (accepted, rejected));
        if let Ok(report) = report {
            assert_eq!(
                (report.tally.accepted, report.tally.rejected),
                (accepted, rejected)
            );
        }
    }
}

fn map_file(input: &[u8], answer: &mut Answer) {
    let text = String::from_utf8_lossy(input);
    answer.result(&ImportOptions::from_toml(&text));
    answer.kind(Format::detect(None, input) as u8);
}

#[test]
fn dates_in_any_form() {
    let pieces = &[
        "2014",
        "05",
        "3",
        "травня",
        "mai",
        ".",
        "/",
        "T00:00:00",
        " р.",
        "XX",
        "年",
    ];
    Target {
        name: "dates",
        run: dates,
        pieces,
    }
    .fuzz();
}

#[test]
fn codes_and_fields() {
    let pieces = &["\u{1f}", "F", "missing", "tracing", "silent", "2014-05-03"];
    Target {
        name: "codes",
        run: codes,
        pieces,
    }
    .fuzz();
}

#[test]
fn stored_records() {
    Target {
        name: "plaintext",
        run: plaintext,
        pieces: &["\u{1}", "\u{0}\u{0}"],
    }
    .fuzz();
}

#[test]
fn csv() {
    let pieces = &[
        "record_ref",
        "given_name",
        "date_of_birth",
        "\n",
        "\"",
        "A1,",
        "\"\"",
    ];
    let run = |input: &[u8], answer: &mut Answer| register(input, Format::Csv, answer);
    Target {
        name: "csv",
        run,
        pieces,
    }
    .fuzz();
}

#[test]
fn json_lines() {
    let pieces = &[
        "{\"record_ref\":\"A1\"}",
        "\n",
        "{",
        "}",
        "[",
        "\\u0000",
        "\\ud800",
        ":",
        "null",
    ];
    let run = |input: &[u8], answer: &mut Answer| register(input, Format::JsonLines, answer);
    Target {
        name: "jsonl",
        run,
        pieces,
    }
    .fuzz();
}

#[test]
fn pfif() {
    let pieces = &[
        "<pfif:person>",
        "</pfif:person>",
        "<pfif:full_name>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "&amp;",
        "&#1234;",
        "<!DOCTYPE x [<!ENTITY e \"e\">]>",
        "&e;",
        "xmlns=\"http://zesty.ca/pfif/1.4\"",
    ];
    let run = |input: &[u8], answer: &mut Answer| register(input, Format::Pfif, answer);
    Target {
        name: "pfif",
        run,
        pieces,
    }
    .fuzz();
}

#[test]
fn map_files() {
    let pieces = &["[columns]\n", "[values.sex]\n", "= \"", "ignore", "\n"];
    Target {
        name: "map-files",
        run: map_file,
        pieces,
    }
    .fuzz();
}

#[test]
fn bounded() {
    // A date longer than any is refused unread; a field or row over its limit is one rejected row,
    // and the row after it is read.
    let long = "1".repeat(1 << 20);
    assert!(PartialDate::parse(&long, DateOrder::DayFirst).is_err());
    for length in [FIELD_LIMIT + 1, ROW_LIMIT + 1] {
        let file = format!("record_ref,given_name\nA1,{}\nA2,Оля\n", "x".repeat(length));
        let report = scan(
            file.as_bytes(),
            Format::Csv,
            &ImportOptions::default(),
            |_| (),
        )
        .unwrap();
        assert_eq!((report.tally.accepted, report.tally.rejected), (1, 1));
    }
    // Nesting costs no stack.
    let deep = format!("{{\"record_ref\":{}", "[".repeat(200_000));
    let report = scan(
        deep.as_bytes(),
        Format::JsonLines,
        &ImportOptions::default(),
        |_| (),
    );
    assert!(report.is_ok_and(|report| report.tally.accepted == 0));
}
