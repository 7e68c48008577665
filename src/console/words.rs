//! Words for moments, codes and names, in a reader's language.

use crate::locale::{Arg, Lang};
use crate::roster::Timestamp;

/// A moment as a person reads it, from milliseconds since 1970: `24 November 2026, 13:45 UTC`.
#[must_use]
pub fn moment(lang: Lang, ms: u64) -> String {
    let iso = machine_moment(ms);
    let time = iso.get(11..16).unwrap_or_default();
    lang.with(
        "console-moment",
        &[("date", date(lang, &iso).into()), ("time", time.into())],
    )
}

/// A moment as machines read it (RFC 3339).
#[must_use]
pub fn machine_moment(ms: u64) -> String {
    Timestamp::from_unix(ms / 1000).to_string()
}

/// A date as a person reads it, from one that begins with `YYYY-MM-DD`; a part that is not known is
/// left out. What is no date stays as it is.
#[must_use]
pub fn date(lang: Lang, iso: &str) -> String {
    let part = |range| {
        iso.get(range)
            .and_then(|text: &str| text.parse::<u64>().ok())
    };
    let (Some(year), month, day) = (part(0..4), part(5..7), part(8..10)) else {
        return iso.to_owned();
    };
    let named = |month: u64, form: &str| lang.text(&format!("console-month-{form}-{month}"));
    match (month, day) {
        (Some(month @ 1..=12), Some(day)) => lang.with(
            "console-date",
            &[
                ("day", day.to_string().into()),
                ("month", named(month, "of").into()),
                ("year", year.to_string().into()),
            ],
        ),
        (Some(month @ 1..=12), None) if iso.len() == 7 => lang.with(
            "console-date-month",
            &[
                ("month", named(month, "in").into()),
                ("year", year.to_string().into()),
            ],
        ),
        (None, None) if iso.len() == 4 => year.to_string(),
        _ => iso.to_owned(),
    }
}

/// Milliseconds since 1970 of a moment that the node states (RFC 3339), if it is one.
#[must_use]
pub fn read_moment(text: &str) -> Option<u64> {
    let moment: Timestamp = text.parse().ok()?;
    Some(moment.unix() * 1000)
}

/// The text for a stable code under a prefix, or the code itself where there is none.
#[must_use]
pub fn named(lang: Lang, prefix: &str, code: &str) -> String {
    lang.known(&format!("{prefix}-{code}"))
        .unwrap_or_else(|| code.to_owned())
}

/// The name of a field of a record.
#[must_use]
pub fn field(lang: Lang, name: &str) -> String {
    named(lang, "field", name)
}

/// Names of fields in a sentence.
#[must_use]
pub fn fields(lang: Lang, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| field(lang, name)).collect();
    names.join(", ")
}

/// A count with what is counted.
#[must_use]
pub fn count(lang: Lang, id: &str, count: u64) -> String {
    lang.with(id, &[("count", Arg::Number(count))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn texts_of(folder: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                texts_of(&path, into);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "rs" || extension == "html")
            {
                into.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// A text that the console names and the language files lack would show as its bare name.
    #[test]
    fn every_text_that_the_console_names_is_there() {
        let mut ids = BTreeSet::new();
        for file in ["console.ftl", "audit.ftl"] {
            let text = std::fs::read_to_string(Path::new("locales/en").join(file)).unwrap();
            ids.extend(
                text.lines()
                    .filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()))
                    .filter_map(|line| Some(line.split_once(" =")?.0.to_owned())),
            );
        }
        let first = |id: &str| id.split('-').next().unwrap_or_default().to_owned();
        let subjects: BTreeSet<String> = ids.iter().map(|id| first(id)).collect();
        let mut sources = Vec::new();
        texts_of(Path::new("src/console"), &mut sources);
        texts_of(Path::new("templates/console"), &mut sources);
        let mut named = 0;
        for literal in sources.iter().flat_map(|source| source.split('"')) {
            let looks = literal.contains('-')
                && literal
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
            if looks && subjects.contains(&first(literal)) {
                let there = ids.contains(literal)
                    || ids.iter().any(|id| id.starts_with(&format!("{literal}-")));
                assert!(there, "{literal} has no text");
                named += 1;
            }
        }
        assert!(named > 200, "only {named} texts were found in the sources");
    }

    #[test]
    fn moments_are_read_in_both_languages() {
        let ms = 1_795_528_020_000;
        assert_eq!(machine_moment(ms), "2026-11-24T13:47:00Z");
        assert_eq!(moment(Lang::English, ms), "24 November 2026, 13:47 UTC");
        assert_eq!(
            moment(Lang::Ukrainian, ms),
            "24 листопада 2026 р., 13:47 UTC"
        );
        assert_eq!(read_moment("2026-11-24T13:47:00Z"), Some(ms));
    }

    #[test]
    fn dates_are_as_long_as_they_are_known() {
        for (iso, english, ukrainian) in [
            ("2014-05-03", "3 May 2014", "3 травня 2014 р."),
            ("2014-05", "May 2014", "травень 2014 р."),
            ("2014", "2014", "2014"),
            ("about 2014", "about 2014", "about 2014"),
            ("2014-??-03", "2014-??-03", "2014-??-03"),
        ] {
            assert_eq!(date(Lang::English, iso), english);
            assert_eq!(date(Lang::Ukrainian, iso), ukrainian);
        }
    }

    #[test]
    fn a_code_without_a_text_stands_for_itself() {
        assert_eq!(named(Lang::English, "field", "no_such"), "no_such");
        assert_eq!(field(Lang::English, "given_name"), "Given name");
    }
}
