use std::collections::BTreeMap;

use super::super::entry::Entry;
use super::super::finding::{Fault, Finding, Place};
use super::super::reconcile::{Proofs, Readings, compare};
use super::super::sample::{NOW_MS, Sample, entry, id, key, log};
use super::*;
use crate::proto::exchange as pb;

/// Ukraine asked Poland, and Poland's log was forked.
fn report(lang: Lang, whole: bool) -> Report {
    let sample = Sample::new();
    let asked = entry(pb::Act::LookupAsked, "pl", 1);
    let answered = entry(pb::Act::LookupAnswered, "ua", 1);
    let received = Entry {
        time_ms: NOW_MS + 300_000,
        reference: "0".into(),
        ..entry(pb::Act::LookupReceived, "pl", 1)
    };
    let mut watched: BTreeMap<_, Watched> = BTreeMap::new();
    for (member, entries) in [("ua", vec![&asked, &received]), ("pl", vec![&answered])] {
        let watched = watched.entry(id(member)).or_default();
        for (index, entry) in (0..).zip(entries) {
            watched.take(index, entry);
        }
    }
    let mut logs = vec![
        log(&sample, "ua", vec![asked, received]),
        log(&sample, "pl", vec![answered]),
    ];
    if !whole {
        logs[1].findings.push(Finding {
            member: id("pl"),
            place: Place::Log,
            fault: Fault::Forked {
                size: 1,
                signed: "<script>alert(1)</script>".to_owned(),
                shown: "another".to_owned(),
            },
        });
    }
    let story = compare(logs, &Proofs::default(), Readings::Twice(&[2, 1]));
    oversight(
        lang,
        &sample.roster,
        (&id("ombud"), NOW_MS),
        &story,
        watched,
        Value::Null,
    )
}

#[test]
fn a_sound_report_says_so_first() {
    let report = report(Lang::English, true);
    assert_eq!(report.findings(), 0);
    let sentences: Vec<&str> = report.sentences().collect();
    assert!(sentences[0].starts_with("Made by OMBUD (ombud) on "));
    assert!(sentences[1].starts_with("The log of UA (ua) is whole: 2 leaves"));
    assert!(sentences[3].contains("one question has its answer in the other log"));
    let html = report.to_html();
    assert!(html.contains("Nothing was found that does not hold."));
    assert!(html.contains("<html lang=\"en\">"));
}

#[test]
fn what_does_not_hold_is_named_in_both_languages_and_never_as_markup() {
    let (english, ukrainian) = (report(Lang::English, false), report(Lang::Ukrainian, false));
    assert_eq!((english.findings(), ukrainian.findings()), (1, 1));
    let (english_page, ukrainian_page) = (english.to_html(), ukrainian.to_html());
    assert!(english_page.contains("the log was forked"));
    assert!(ukrainian_page.contains("журнал роздвоєно"));
    for page in [&english_page, &ukrainian_page] {
        assert!(page.contains("FORKED") && page.contains("class=\"trouble\""));
        assert!(!page.contains("<script"), "markup of foreign origin");
        assert!(page.contains("another"), "the proof is in the page");
    }
    // Every text of the one language has its counterpart in the other.
    let (english, ukrainian) = (english.to_json(), ukrainian.to_json());
    let shape = |value: &Value| {
        let rows = |table: &Value| table["rows"].as_array().unwrap().len();
        let tables: Vec<usize> = value["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(rows)
            .collect();
        (tables, value["sections"].as_array().unwrap().len())
    };
    assert_eq!(shape(&english), shape(&ukrainian));
    assert_ne!(english["title"], ukrainian["title"]);
}

#[test]
fn every_fault_has_ukrainian_words() {
    let source = include_str!("finding.rs");
    let codes: Vec<&str> = source
        .split("=> \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|code| code.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert!(codes.len() > 40, "{}", codes.len());
    for code in codes {
        let text = Lang::Ukrainian.with("fault", &[("code", code.into())]);
        assert!(!text.starts_with("порушення ("), "{code}: {text}");
        assert!(text.ends_with(&format!("({code})")));
    }
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = report(Lang::Ukrainian, false).to_html();
    for reference in ["src=", "href=", "url(", "@import", "http-equiv=\"refresh\""] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert_eq!(
        page.matches("http").count(),
        2,
        "the policy and the name of SVG"
    );
}

#[test]
fn a_signature_covers_every_file() {
    let sample = Sample::new();
    let (html, json) = (b"page".to_vec(), b"{}".to_vec());
    let files: [(&str, &[u8]); 2] = [("report.html", &html), ("report.json", &json)];
    let at = NOW_MS / 1000;
    let note = sign::sign(&id("ombud"), &key("ombud"), at, &files).unwrap();
    let read = |name: &str| match name {
        "report.html" => Some(html.clone()),
        "report.json" => Some(json.clone()),
        _ => None,
    };
    let check = |note: &str, read: &dyn Fn(&str) -> Option<Vec<u8>>| {
        sign::check(note.as_bytes(), &sample.roster, read)
    };
    let signed = check(&note, &read).unwrap();
    assert_eq!((signed.by.as_str(), signed.files.len()), ("ombud", 2));
    let code = |result: Result<sign::SignedReport, sign::ReportError>| {
        result.err().map_or("", |error| error.code())
    };
    assert_eq!(
        code(check(&note, &|_| Some(b"other".to_vec()))),
        "REPORT_ALTERED"
    );
    assert_eq!(code(check(&note, &|_| None)), "REPORT_INCOMPLETE");
    assert_eq!(
        code(check(&note.replace("report.json", "report.jsom"), &read)),
        "REPORT_NOT_SIGNED"
    );
    // Nobody but an ombudsman of the roster, with a key of that time.
    let by_member = sign::sign(&id("ua"), &key("ua"), at, &files).unwrap();
    assert_eq!(code(check(&by_member, &read)), "REPORT_NOT_SIGNED");
    let other_key = sign::sign(&id("ombud"), &key("ua"), at, &files).unwrap();
    assert_eq!(code(check(&other_key, &read)), "REPORT_NOT_SIGNED");
    let too_late = sign::sign(&id("ombud"), &key("ombud"), at + 864_000, &files).unwrap();
    assert_eq!(code(check(&too_late, &read)), "REPORT_NOT_SIGNED");
    let outside = sign::sign(&id("ombud"), &key("ombud"), at, &[("../x", b"")]).unwrap();
    assert_eq!(code(check(&outside, &read)), "REPORT_UNREADABLE");
    assert_eq!(code(check("", &read)), "REPORT_UNREADABLE");
}
