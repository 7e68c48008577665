//! One person of a PFIF file: its elements, and what they are here.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};
use zeroize::Zeroizing;

use super::FIELD_LIMIT;
use super::build::Draft;
use super::error::{RowErrorKind, XmlFault};
use crate::records::field::Column;

/// What was read of one person.
pub(super) struct Person {
    elements: Vec<Element>,
}

/// An element that is read, of a person or of a note.
pub(super) struct Element {
    pub(super) name: &'static str,
    /// The number of the note, from 1, or 0 for the person itself.
    note: usize,
    /// Its place in what was written of the person.
    pub(super) at: usize,
    text: Zeroizing<String>,
}

/// A value made of elements, with the index of the one to name in an error.
type Made = Option<(usize, Zeroizing<String>)>;

impl Person {
    /// Reads what was written of one person. The parser's own messages are not passed on, since
    /// they quote what they read.
    pub(super) fn parse(text: &str) -> Result<Self, XmlFault> {
        parse(text).map(|elements| Self { elements })
    }

    /// The element of this number, from 1.
    pub(super) fn element(&self, number: usize) -> Option<&Element> {
        self.elements.get(number.checked_sub(1)?)
    }

    /// The number of the element that holds the reference; 0 if there is none.
    pub(super) fn ref_number(&self) -> usize {
        self.first("person_record_id").map_or(0, |(at, _)| at + 1)
    }

    /// The fields of a record that the person has, with the number of the element to name in an
    /// error.
    pub(super) fn fields(&self) -> Vec<(usize, Column, Zeroizing<String>)> {
        let plain = PLAIN.iter().filter_map(|(name, column)| {
            let (at, element) = self.first(name)?;
            Some((at + 1, *column, element.text.clone()))
        });
        let made = [
            (Column::OtherNames, self.other_names()),
            (Column::LastKnownPlace, self.last_known_place()),
            (Column::Status, self.status()),
        ]
        .into_iter()
        .filter_map(|(column, made)| made.map(|(at, text)| (at + 1, column, text)));
        plain.chain(made).collect()
    }

    /// The person's own element of this name, with its index.
    fn first(&self, name: &str) -> Option<(usize, &Element)> {
        self.elements
            .iter()
            .enumerate()
            .find(|(_, element)| element.note == 0 && element.name == name)
    }

    /// Notes in a draft what cannot be taken of the elements as such.
    pub(super) fn refuse_faulty(&self, draft: &mut Draft) {
        for (index, element) in self.elements.iter().enumerate() {
            let same = |other: &Element| other.note == element.note && other.name == element.name;
            if element.text.len() > FIELD_LIMIT {
                draft.refuse(index + 1, RowErrorKind::FieldTooLong);
            } else if self.elements.iter().take(index).any(same) {
                draft.refuse(index + 1, XmlFault::FieldTwice.into());
            }
        }
    }

    fn other_names(&self) -> Made {
        let alternate = self.first("alternate_names");
        let named = ["family_name", "last_name", "given_name", "first_name"]
            .iter()
            .any(|name| self.first(name).is_some());
        let full = self.first("full_name").filter(|_| !named);
        let (at, _) = full.or(alternate)?;
        // Alternate names stand on a line each.
        let names = [full, alternate]
            .into_iter()
            .flatten()
            .flat_map(|(_, element)| element.text.lines());
        Some((at, joined(names, "; ")))
    }

    fn last_known_place(&self) -> Made {
        if let Some((at, element)) = self.latest("last_known_location") {
            return Some((at, element.text.clone()));
        }
        let parts: Vec<_> = HOME.iter().filter_map(|name| self.first(name)).collect();
        let (at, _) = parts.first()?;
        let texts = parts.iter().map(|(_, element)| element.text.as_str());
        Some((*at, joined(texts, ", ")))
    }

    fn status(&self) -> Made {
        let (at, element) = self.latest("status")?;
        let known = STATUSES
            .iter()
            .find(|(theirs, _)| *theirs == element.text.as_str());
        let text = known.map_or(element.text.as_str(), |(_, ours)| ours);
        Some((at, Zeroizing::new(text.to_owned())))
    }

    /// The element of this name in the latest of the notes that have it. Dates in the one form of
    /// PFIF, `yyyy-mm-ddThh:mm:ssZ`, sort as texts.
    fn latest(&self, name: &str) -> Option<(usize, &Element)> {
        let date_of = |note: usize| {
            ["source_date", "entry_date"].iter().find_map(|name| {
                self.elements
                    .iter()
                    .find(|element| element.note == note && element.name == *name)
                    .map(|element| element.text.as_str())
            })
        };
        self.elements
            .iter()
            .enumerate()
            .filter(|(_, element)| element.note > 0 && element.name == name)
            .filter(|(_, element)| !element.text.is_empty())
            .max_by_key(|(_, element)| (date_of(element.note), element.note))
    }
}

/// The fields of a person that are read as they are.
const PLAIN: &[(&str, Column)] = &[
    ("person_record_id", Column::RecordRef),
    ("family_name", Column::FamilyName),
    ("last_name", Column::FamilyName),
    ("given_name", Column::GivenName),
    ("first_name", Column::GivenName),
    ("sex", Column::Sex),
    ("date_of_birth", Column::DateOfBirth),
    ("description", Column::Note),
    ("source_name", Column::Source),
];

/// The other fields of a person that are read.
const OTHER: &[&str] = &["full_name", "alternate_names"];

/// The parts of an address, the nearest first.
const HOME: &[&str] = &[
    "home_street",
    "home_neighborhood",
    "home_city",
    "home_state",
    "home_postal_code",
    "home_country",
];

/// The fields of a note that are read.
const IN_NOTES: &[&str] = &["source_date", "entry_date", "status", "last_known_location"];

/// The statuses of PFIF 1.4 and what they are called here.
const STATUSES: &[(&str, &str)] = &[
    ("information_sought", "missing"),
    ("believed_missing", "missing"),
    ("is_note_author", "located"),
    ("believed_alive", "located"),
    ("believed_dead", "deceased"),
];

fn joined<'a>(parts: impl Iterator<Item = &'a str>, separator: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push_str(separator);
        }
        text.push_str(part);
    }
    text
}

fn parse(text: &str) -> Result<Vec<Element>, XmlFault> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut elements: Vec<Element> = Vec::new();
    let mut path: Vec<Level> = Vec::new();
    let mut notes = 0;
    loop {
        // Positions fit: the text is in memory.
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = reader.read_event().map_err(|_| XmlFault::NotWellFormed)?;
        match event {
            Event::Start(tag) => {
                let level = level(path.last(), tag.local_name().as_ref().as_bytes())?;
                match level {
                    Level::Note => notes += 1,
                    Level::Field(name, in_note) => elements.push(Element {
                        name,
                        note: if in_note { notes } else { 0 },
                        at,
                        text: Zeroizing::new(String::new()),
                    }),
                    Level::Person | Level::Other => {}
                }
                path.push(level);
            }
            // An empty element says nothing.
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::End(_) => {
                if let Some(Level::Field(..)) = path.pop()
                    && let Some(element) = elements.last_mut()
                {
                    element.text = Zeroizing::new(element.text.trim().to_owned());
                }
            }
            Event::Text(part) => {
                let part = part.xml_content(XmlVersion::Implicit1_0);
                add(&mut elements, &path, &part);
            }
            Event::CData(part) => {
                let part = part.xml_content(XmlVersion::Implicit1_0);
                add(&mut elements, &path, &part);
            }
            Event::GeneralRef(reference) => {
                let character = resolve(&reference)?;
                add(&mut elements, &path, &character);
            }
            Event::Decl(_) | Event::DocType(_) => return Err(XmlFault::NotWellFormed),
            Event::Eof if path.is_empty() => return Ok(elements),
            Event::Eof => return Err(XmlFault::NotWellFormed),
        }
    }
}

/// What an open element is.
#[derive(Clone, Copy)]
enum Level {
    Person,
    Note,
    /// A field that is read; whether it is a note's.
    Field(&'static str, bool),
    /// What this program does not know, and PFIF asks to pass over.
    Other,
}

fn level(parent: Option<&Level>, name: &[u8]) -> Result<Level, XmlFault> {
    let known =
        |names: &[&'static str]| names.iter().find(|known| known.as_bytes() == name).copied();
    Ok(match parent {
        None => Level::Person,
        Some(Level::Person) if name == b"note" => Level::Note,
        Some(Level::Person) => PLAIN
            .iter()
            .map(|(plain, _)| *plain)
            .find(|plain| plain.as_bytes() == name)
            .or_else(|| known(OTHER))
            .or_else(|| known(HOME))
            .map_or(Level::Other, |name| Level::Field(name, false)),
        Some(Level::Note) => known(IN_NOTES).map_or(Level::Other, |name| Level::Field(name, true)),
        Some(Level::Field(..)) => return Err(XmlFault::ElementInField),
        Some(Level::Other) => Level::Other,
    })
}

/// Adds text to the field that is open, if one is.
fn add(elements: &mut [Element], path: &[Level], part: &str) {
    if let (Some(Level::Field(..)), Some(element)) = (path.last(), elements.last_mut()) {
        element.text.push_str(part);
    }
}

/// The five entities of XML and references by number. Others would need a document type.
fn resolve(reference: &BytesRef<'_>) -> Result<String, XmlFault> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character.to_string());
    }
    resolve_predefined_entity(reference.as_ref())
        .map(str::to_owned)
        .ok_or(XmlFault::UnknownEntity)
}
