//! JSON Lines: one object a line, with the canonical columns as its fields.

use std::fmt;
use std::io::Read;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::build::{Builder, Faults};
use super::error::{ColumnAt, ImportError, JsonFault, RowError, RowErrorKind};
use super::header::{Meaning, printable_name, suggest};
use super::input::Input;
use super::options::ImportOptions;
use super::{FIELD_LIMIT, Location, ROW_LIMIT, RawRow, Rejection, Row, Tally};
use crate::vault::PersonalText;

/// A JSON Lines file being read.
pub(super) struct JsonLinesReader<R> {
    input: Input<R>,
    options: ImportOptions,
    builder: Builder,
    rows: u64,
}

impl<R: Read> JsonLinesReader<R> {
    pub(super) fn new(source: R, options: &ImportOptions) -> Result<Self, ImportError> {
        let mut input = Input::new(source)?;
        loop {
            let blank = input
                .bytes()
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            input.consume(blank);
            match input.bytes().first() {
                Some(b'[') => return Err(ImportError::JsonArray),
                Some(_) => break,
                None => {}
            }
            if !input.fill()? {
                return Err(ImportError::Empty);
            }
        }
        Ok(Self {
            input,
            options: options.clone(),
            builder: Builder::new(options),
            rows: 0,
        })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.input.offset()
    }

    /// The next line that is not blank.
    pub(super) fn next_row(&mut self, tally: &mut Tally) -> Result<Option<Row>, ImportError> {
        loop {
            let Some(length) = self.next_line()? else {
                return self.take_oversized().map(Some);
            };
            if length == 0 {
                return Ok(None);
            }
            if self.input.bytes()[..length].trim_ascii().is_empty() {
                self.input.consume(length);
            } else {
                return Ok(Some(self.take_line(length, tally)));
            }
        }
    }

    /// The length of the next line with its end; 0 at the end of the file, `None` over the limit.
    fn next_line(&mut self) -> Result<Option<usize>, ImportError> {
        let mut searched = 0;
        loop {
            let bytes = self.input.bytes();
            let fresh = bytes.get(searched..).unwrap_or_default();
            let line_end = fresh.iter().position(|byte| *byte == b'\n');
            let length = line_end.map(|at| searched + at + 1);
            searched = bytes.len();
            if length.unwrap_or(searched) > ROW_LIMIT {
                return Ok(None);
            }
            if length.is_some() {
                return Ok(length);
            }
            if !self.input.fill()? {
                return Ok(Some(searched));
            }
        }
    }

    fn take_line(&mut self, length: usize, tally: &mut Tally) -> Row {
        let location = self.next_location();
        let line = &self.input.bytes()[..length];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec());
        let outcome = self.read_line(&line, location.line, tally);
        self.input.consume(length);
        match outcome {
            Ok(record) => Row::Accepted(location, record),
            Err(errors) => Row::Rejected(Rejection {
                location,
                errors,
                raw: RawRow::Whole(line),
            }),
        }
    }

    fn read_line(
        &mut self,
        line: &[u8],
        line_number: u64,
        tally: &mut Tally,
    ) -> Result<Box<crate::records::Record>, Vec<RowError>> {
        let whole_line = |kind| {
            vec![RowError {
                line: line_number,
                column: None,
                kind,
            }]
        };
        let text = str::from_utf8(line).map_err(|error| {
            let byte = self.input.offset() + error.valid_up_to() as u64;
            whole_line(RowErrorKind::InvalidUtf8 { byte })
        })?;
        let members = parse(text).map_err(|fault| whole_line(fault.into()))?;
        self.build(&members, line_number, tally).map_err(|faults| {
            faults
                .into_iter()
                .map(|(number, kind)| RowError {
                    line: line_number,
                    column: number.checked_sub(1).map(|index| ColumnAt {
                        number,
                        name: self.known_name(&members, index),
                    }),
                    kind,
                })
                .collect()
        })
    }

    fn build(
        &mut self,
        members: &[Member],
        line: u64,
        tally: &mut Tally,
    ) -> Result<Box<crate::records::Record>, Faults> {
        let mut draft = self.builder.draft();
        let mut ref_number = 0;
        let mut taken = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let number = index + 1;
            let column = match Meaning::of(&member.name, &self.options) {
                Meaning::Field(column) => column,
                Meaning::Ignored => continue,
                Meaning::Unknown => {
                    let fault = JsonFault::UnknownField {
                        name: printable_name(&member.name),
                        suggestion: suggest(&member.name),
                    };
                    draft.refuse(number, fault.into());
                    continue;
                }
            };
            if column == crate::records::Column::RecordRef {
                ref_number = number;
            }
            if taken.contains(&column) {
                draft.refuse(number, JsonFault::FieldTwice.into());
                continue;
            }
            taken.push(column);
            match &member.value {
                Value::Null => {}
                Value::Other => draft.refuse(number, JsonFault::NotText.into()),
                Value::Text(text) if text.expose().len() > FIELD_LIMIT => {
                    draft.refuse(number, RowErrorKind::FieldTooLong);
                }
                Value::Text(text) => self.builder.set(&mut draft, number, column, text.expose()),
            }
        }
        self.builder.finish(draft, ref_number, line, tally)
    }

    /// The name of a member, unless it is not a known one and so perhaps data.
    fn known_name(&self, members: &[Member], index: usize) -> Option<String> {
        let name = members.get(index)?.name.as_str();
        match Meaning::of(name, &self.options) {
            Meaning::Field(_) => Some(name.trim().to_owned()),
            Meaning::Ignored | Meaning::Unknown => None,
        }
    }

    fn take_oversized(&mut self) -> Result<Row, ImportError> {
        let location = self.next_location();
        loop {
            let bytes = self.input.bytes();
            match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    self.input.consume(at + 1);
                    break;
                }
                None => self.input.consume(bytes.len()),
            }
            if !self.input.fill()? {
                break;
            }
        }
        Ok(Row::Rejected(Rejection {
            location,
            errors: vec![RowError {
                line: location.line,
                column: None,
                kind: RowErrorKind::RowTooLong,
            }],
            raw: RawRow::TooLong,
        }))
    }

    fn next_location(&mut self) -> Location {
        self.rows += 1;
        Location {
            line: self.input.line(),
            row: self.rows,
        }
    }
}

/// A member of an object.
struct Member {
    name: Zeroizing<String>,
    value: Value,
}

enum Value {
    Null,
    Text(PersonalText),
    /// What no field holds: a fraction, a truth value, a list, an object.
    Other,
}

/// Reads one object. The parser's own messages are not passed on, since they quote what they read.
fn parse(text: &str) -> Result<Vec<Member>, JsonFault> {
    if !text.trim_start().starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => JsonFault::NotAnObject,
            Err(error) => syntax(&error),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer
        .deserialize_map(ObjectVisitor)
        .map_err(|error| syntax(&error))?;
    deserializer.end().map_err(|error| syntax(&error))?;
    Ok(members)
}

fn syntax(error: &serde_json::Error) -> JsonFault {
    JsonFault::Syntax {
        byte: error.column().max(1),
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let name = Zeroizing::new(name);
            let value = map.next_value()?;
            members.push(Member { name, value });
        }
        Ok(members)
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Text(number.to_string().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Text(number.to_string().into()))
    }

    /// Also a whole number of many digits, which has lost some of them by now.
    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
