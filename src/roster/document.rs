//! The text of a document: one spelling for each content, read by people and machines alike.
//!
//! A signature covers bytes, a person reads a text, and a program acts on values. Trouble starts
//! where the three can differ. So each content has exactly one text: a line that names the type
//! and its version, then JSON indented by two spaces, in a fixed order of fields, with lists
//! sorted wherever their order means nothing. Reading renders the values again and refuses a text
//! that is not the same to the byte: no unknown field, no duplicate key, no second spelling of a
//! number, nothing after the end.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::RosterError;
use super::validate::Problem;

/// The kinds of signed file that this module reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`super::Root`].
    Root,
    /// [`super::Roster`].
    Roster,
    /// A proof of freshness, see [`super::freshness_text`].
    Freshness,
}

impl Kind {
    /// First line of the text, without its newline.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Root => "wayhome/root/v1",
            Self::Roster => "wayhome/roster/v1",
            Self::Freshness => "wayhome/freshness/v1",
        }
    }

    /// Most bytes of a signed document of this kind, signatures included. The roster's is that of
    /// any signed note; three hundred parties fit.
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Root | Self::Freshness => 64 * 1024,
            Self::Roster => crate::envelope::note::MAX_NOTE_BYTES,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Roster => "roster",
            Self::Freshness => "proof of freshness",
        })
    }
}

/// What the root and the roster have in common.
///
/// `normalise` must be idempotent, and `problems` must not depend on the order that `normalise`
/// sets.
pub(super) trait Document: Clone + Serialize + DeserializeOwned {
    const KIND: Kind;

    /// Sorts every list whose order carries no meaning.
    fn normalise(&mut self);

    /// Everything about the content that is wrong, in the order a reader meets it.
    fn problems(&self) -> Vec<Problem>;
}

/// The one text of `document`, ending in a newline.
pub(super) fn render<T: Document>(document: &T) -> Result<String, RosterError> {
    let mut document = document.clone();
    document.normalise();
    let json = serde_json::to_string_pretty(&document).map_err(|error| {
        // Only a failing `Serialize` leads here, and none of ours fails; the type says so anyway.
        RosterError::Malformed {
            kind: T::KIND,
            line: error.line(),
            column: error.column(),
            place: String::new(),
            reason: error.to_string(),
        }
    })?;
    Ok(format!("{}\n{json}\n", T::KIND.header()))
}

/// Reads a text that must be the one text of its content, and checks the content.
pub(super) fn parse<T: Document>(text: &str) -> Result<T, RosterError> {
    let kind = T::KIND;
    let json = strip_header(kind, text)?;
    let document: T = parse_json(kind, json, 1)?;
    let canonical = render(&document)?;
    if canonical != text {
        let line = first_difference(&canonical, text);
        return Err(RosterError::NotCanonical { kind, line });
    }
    check(&document)?;
    Ok(document)
}

/// Refuses a document that has problems.
pub(super) fn check<T: Document>(document: &T) -> Result<(), RosterError> {
    let problems = document.problems();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(RosterError::Invalid {
            kind: T::KIND,
            problems: problems.into(),
        })
    }
}

/// Checks the type line and returns what follows it.
pub(super) fn strip_header(kind: Kind, text: &str) -> Result<&str, RosterError> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if first == kind.header() {
        return Ok(rest);
    }
    let found = printable(first, 60);
    let family = kind.header().trim_end_matches(|c: char| c.is_ascii_digit());
    match first.strip_prefix(family) {
        Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            Err(RosterError::UnsupportedFormat { kind, found })
        }
        _ => Err(RosterError::WrongType { kind, found }),
    }
}

/// Reads JSON of any layout; unknown fields, duplicate keys and wrong types are refused with their
/// place. `lines_before` is how many lines of the file precede the JSON.
pub(super) fn parse_json<T: DeserializeOwned>(
    kind: Kind,
    json: &str,
    lines_before: usize,
) -> Result<T, RosterError> {
    let malformed = |error: &serde_json::Error, path: &str| {
        let whole = error.to_string();
        let reason = whole
            .rsplit_once(" at line ")
            .map_or(whole.as_str(), |(reason, _)| reason);
        RosterError::Malformed {
            kind,
            line: error.line() + lines_before,
            column: error.column(),
            place: place(json, path),
            reason: printable(reason, 300),
        }
    };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| malformed(error.inner(), &error.path().to_string()))?;
    deserializer.end().map_err(|error| malformed(&error, "."))?;
    Ok(value)
}

/// Cuts a foreign text to `most` characters and makes it safe to print on one line.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let shown = |c: char| match c {
        readable if super::validate::is_readable(readable) => readable,
        _ => char::REPLACEMENT_CHARACTER,
    };
    let mut short: String = text.chars().take(most).map(shown).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// Turns `members[3].tls_pins[0]` into `member pl: tls_pins[0]` where the id can be read.
fn place(json: &str, path: &str) -> String {
    let named = || {
        let (index, rest) = path.strip_prefix("members[")?.split_once(']')?;
        let index: usize = index.parse().ok()?;
        let value: serde_json::Value = serde_json::from_str(json).ok()?;
        let id = value.get("members")?.get(index)?.get("id")?.as_str()?;
        Some(format!(
            "member {}: {}",
            printable(id, 20),
            rest.trim_start_matches('.')
        ))
    };
    match path {
        "." | "?" => String::new(),
        _ => printable(&named().unwrap_or_else(|| path.to_owned()), 120),
    }
}

fn first_difference(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b);
    1 + same.filter(|(byte, _)| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::*;
    use super::super::*;
    use super::*;

    /// Rosters of many shapes, all of them valid.
    fn rosters() -> impl Strategy<Value = Roster> {
        let a_member = (
            any::<[bool; 4]>(),
            proptest::sample::subsequence(Purpose::ALL, 0..=Purpose::ALL.len()).prop_shuffle(),
            0..3u32,
            any::<[u32; 4]>(),
            "[A-Za-zÀ-ÖА-яҐґЄєІіЇї]{1,20}( [A-Za-zÀ-ÖА-яҐґЄєІіЇї'’-]{1,12}){0,2}",
        );
        let members = proptest::collection::btree_map("[a-z][a-z0-9]{1,15}", a_member, 1..6);
        let versions = (
            1..u32::MAX,
            1..u32::MAX,
            0..Timestamp::MAX.unix() - 1,
            any::<u32>(),
        );
        (members, versions).prop_map(|(members, (version, root_version, issued, lasts))| {
            let mut roster = roster(version, root_version);
            roster.issued = Timestamp::from_unix(issued);
            roster.expires = Timestamp::from_unix(issued + 1 + u64::from(lasts));
            roster.members.clear();
            for (identifier, (short, (flags, purposes, more, numbers, name))) in (1..).zip(members)
            {
                let mut member = member(&short, &name, identifier);
                member.purposes = purposes;
                member.suspended_since = flags[0].then(|| Timestamp::from_unix(numbers[0].into()));
                if flags[1] {
                    member.witness_vkey = None;
                }
                if flags[2] {
                    member
                        .addresses
                        .insert(0, format!("[2001:db8::{identifier}]:1").parse().unwrap());
                }
                for number in 0..more {
                    member.tls_pins.push(pin(&short, 10 - number));
                    member.signing_keys.push(message_key(&short, 10 - number));
                }
                member.index_cap = 1 + u64::from(numbers[1]);
                member.quotas.subjects_per_day = numbers[2].into();
                roster.members.push(member);
            }
            let ids: Vec<String> = roster.members.iter().map(|m| m.id.to_string()).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let key = |epoch| (ids.len() > 1).then(|| coalition_key(epoch, &ids));
            roster.coalition_key = match version % 4 {
                0 => CoalitionKeys::default(),
                1 => CoalitionKeys {
                    current: key(1),
                    ..CoalitionKeys::default()
                },
                2 => CoalitionKeys {
                    current: key(1),
                    next: key(2),
                    previous: None,
                },
                _ => CoalitionKeys {
                    previous: key(1),
                    current: key(2),
                    next: key(3),
                },
            };
            roster.members.reverse();
            roster
        })
    }

    proptest! {
        #[test]
        fn reading_what_was_rendered_gives_the_same(roster in rosters()) {
            let text = roster.render_for_signing().unwrap();
            let read: Roster = parse(&text).unwrap();
            let mut expected = roster;
            expected.normalise();
            prop_assert_eq!(&read, &expected);
            prop_assert_eq!(render(&read).unwrap(), text.clone());
            prop_assert!(!text.contains("\n\n"), "an empty line would end the note's text");
            prop_assert_eq!(Roster::from_draft(&text).unwrap(), read);
        }

        #[test]
        fn foreign_text_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = String::from_utf8_lossy(&bytes);
            for header in ["", "wayhome/roster/v1\n", "wayhome/root/v1\n"] {
                let text = format!("{header}{text}");
                let _ = parse::<Roster>(&text);
                let _ = parse::<Root>(&text);
                let _ = Roster::from_draft(&text);
                let _ = Root::from_draft(&text);
                let _ = add_signature(text.as_bytes(), &signer("a"));
                let _ = merge_signatures(&[text.as_bytes(), text.as_bytes()]);
                let _ = TrustStore::new(text.as_bytes());
            }
        }

        #[test]
        fn whatever_is_read_has_that_one_text(
            cut in 0..8_000usize,
            put in "[0-9a-f\",:{}\\[\\] \n\\\\.é]{0,4}",
            drop in 0..40usize,
        ) {
            let text = roster(1, 1).render_for_signing().unwrap();
            let at = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (before, after) = text.split_at(at);
            let broken = format!("{before}{put}{}", after.chars().skip(drop).collect::<String>());
            match parse::<Roster>(&broken) {
                Ok(read) => prop_assert_eq!(render(&read).unwrap(), broken),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn an_error_names_line_member_and_field() {
        let text = roster(1, 1).render_for_signing().unwrap();
        let pin = tls_pin("TLS key 1 of pl").to_string();
        let error = parse::<Roster>(&text.replace(&pin, "f00")).unwrap_err();
        let line = 1 + text.lines().position(|line| line.contains(&pin)).unwrap();
        let told = error.to_string();
        assert!(told.contains(&format!("line {line}, column")), "{told}");
        assert!(
            told.contains("member pl: tls_pins[0].spki_sha256: expected 64"),
            "{told}"
        );

        for (from, to, expected) in [
            (
                "\"version\": 1",
                "\"version\": 1,\n  \"version\": 1",
                "duplicate field `version`",
            ),
            (
                "\"version\": 1",
                "\"version\": 1.0",
                "invalid type: floating point",
            ),
            (
                "\"version\": 1",
                "\"version\": -1",
                "invalid value: integer `-1`",
            ),
            ("\"version\": 1", "\"version\": 4294967296", "invalid value"),
            ("\"version\": 1", "\"version\": null", "invalid type: null"),
            (
                "\"audit\"",
                "\"curiosity\"",
                "unknown purpose \"curiosity\"",
            ),
            (
                "\"2026-03-01T00:00:00Z\"",
                "\"1 March\"",
                "written like 2026-03-01T00:00:00Z",
            ),
            ("node.pl.coalition.example:8443", "node.pl", "is no address"),
            ("\"id\": \"pl\"", "\"id\": \"PL\"", "is no member id"),
            (
                "\"organisation\"",
                "\"organization\"",
                "unknown field `organization`",
            ),
        ] {
            assert!(text.contains(from), "{from}");
            let told = parse::<Roster>(&text.replacen(from, to, 1)).unwrap_err();
            assert_eq!(told.code(), "MALFORMED", "{told}");
            assert!(
                told.to_string().contains(expected),
                "{told} lacks {expected}"
            );
        }
    }

    #[test]
    fn an_error_prints_on_one_line_whatever_the_file_holds() {
        let text = "wayhome/roster/v1\n{\"a\\nb\u{202e}\": 1}\n";
        let told = parse::<Roster>(text).unwrap_err().to_string();
        assert!(
            !told.contains('\n') && !told.contains('\u{202e}'),
            "{told:?}"
        );
        let told = parse::<Roster>(&format!("{}\u{1b}[2J\n", "x".repeat(99))).unwrap_err();
        assert!(
            told.to_string().len() < 200 && told.code() == "WRONG_TYPE",
            "{told:?}"
        );
    }

    #[test]
    fn three_hundred_parties_fit() {
        let mut large = roster(1, 1);
        for number in 4..=300 {
            large.members.push(member(
                &format!("m{number}"),
                "A state of long name",
                number,
            ));
        }
        let size = signed_roster(&large, &["a", "b"]).len();
        assert!(size < Kind::Roster.max_bytes(), "{size}");
    }
}
