//! A record as bytes, ready to be sealed.
//!
//! `version (1 byte)`, then for each field that the record has, in the order of their numbers:
//! `number (1) || length (4, big-endian) || text`. One record has one encoding and each byte of an
//! encoding counts, so digests over it mean what they seem to. The lengths are known before the
//! first byte is written, so no reallocation leaves copies of a child's data in freed memory.

use zeroize::Zeroizing;

use super::code::{Consent, Protection, Sex, StatusCode};
use super::date::PartialDate;
use super::field::Column;
use super::record::{FamilyRef, Record, RecordRef, ValueError};
use crate::vault::PersonalText;

const VERSION: u8 = 1;

/// Why bytes that were opened are no record. They come from this node's own vault, so each of
/// these says that another version, or a fault, wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaintextError {
    /// The version is not known.
    #[error(
        "stored record has version {found}, and this program reads version {VERSION}: upgrade the \
         program"
    )]
    UnknownVersion {
        /// The version found.
        found: u8,
    },
    /// A field's number is not known.
    #[error(
        "stored record has field number {number}, which this program does not know: upgrade the \
         program"
    )]
    UnknownField {
        /// The number found.
        number: u8,
    },
    /// The bytes end too early, or a field stands twice or out of order.
    #[error("stored record is malformed at byte {at}: restore the row from a backup")]
    Malformed {
        /// Where, counted from 0.
        at: usize,
    },
    /// A value that no record can hold.
    #[error("stored record holds no valid {field}: {error}")]
    Value {
        /// The field's canonical name.
        field: &'static str,
        /// What is wrong with it.
        error: ValueError,
    },
}

impl Record {
    /// The record as bytes to seal. The same record gives the same bytes.
    #[must_use]
    pub fn to_plaintext(&self) -> Zeroizing<Vec<u8>> {
        let fields: Vec<_> = self.fields().collect();
        let length = fields
            .iter()
            .map(|(_, text)| 1 + 4 + text.expose().len())
            .sum::<usize>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + length));
        bytes.push(VERSION);
        for (column, text) in &fields {
            let text = text.expose();
            let length = u32::try_from(text.len()).expect("a field is far below 4 GiB");
            bytes.push(column.tag());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// The record of these bytes.
    ///
    /// # Errors
    /// [`PlaintextError`].
    pub fn from_plaintext(bytes: &[u8]) -> Result<Self, PlaintextError> {
        let mut rest = Rest { bytes, at: 0 };
        let [version] = rest.take_array()?;
        if version != VERSION {
            return Err(PlaintextError::UnknownVersion { found: version });
        }
        let mut record: Option<Self> = None;
        let mut last = 0;
        let mut handled = 0;
        while rest.at < bytes.len() {
            let at = rest.at;
            let (column, text) = rest.take_field()?;
            if column.tag() <= last {
                return Err(PlaintextError::Malformed { at });
            }
            last = column.tag();
            let outcome = match &mut record {
                None if column == Column::RecordRef => RecordRef::new(text)
                    .map(|reference| record = Some(Self::new(reference)))
                    .map_err(ValueError::from),
                None => return Err(PlaintextError::Malformed { at }),
                Some(record) => record.restore(column, text),
            };
            outcome.map_err(|error| PlaintextError::Value {
                field: column.name(),
                error,
            })?;
            // The readers of codes take many words for one; only the one that is written is stored.
            let stored = record.as_ref().and_then(|record| record.field(column));
            if stored.is_none_or(|stored| stored.expose() != text) {
                return Err(PlaintextError::Malformed { at });
            }
            handled += u8::from(matches!(column, Column::Protection | Column::Consent));
        }
        // Every record states how it may be used. Bytes that do not were not written here, and to
        // take a missing protection for none would be the dangerous way to be wrong.
        record
            .filter(|_| handled == 2)
            .ok_or(PlaintextError::Malformed { at: rest.at })
    }

    /// Puts a stored value back. Text is taken as it is: what was once accepted must not be lost
    /// because a later version of this program is stricter.
    fn restore(&mut self, column: Column, text: &str) -> Result<(), ValueError> {
        if let Some(slot) = self.text_mut(column) {
            *slot = Some(PersonalText::from(text));
            return Ok(());
        }
        match column {
            Column::Sex => self.sex = Sex::parse(text)?,
            Column::DateOfBirth => self.date_of_birth = Some(PartialDate::from_iso(text)?),
            Column::Status => self.status = Some(StatusCode::parse(text)?),
            Column::Protection => self.protection = Protection::parse(text)?,
            Column::Consent => self.consent = Consent::parse(text)?,
            Column::FamilyRef => self.family_ref = Some(FamilyRef::new(text)?),
            // The reference comes first and once; all others are text.
            _ => {}
        }
        Ok(())
    }
}

/// What is left to read.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], PlaintextError> {
        let taken = self
            .at
            .checked_add(length)
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or(PlaintextError::Malformed { at: self.at })?;
        self.at += length;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], PlaintextError> {
        let at = self.at;
        self.take(N)?
            .try_into()
            .map_err(|_| PlaintextError::Malformed { at })
    }

    fn take_field(&mut self) -> Result<(Column, &'a str), PlaintextError> {
        let [number] = self.take_array()?;
        let column = Column::from_tag(number).ok_or(PlaintextError::UnknownField { number })?;
        let length = u32::from_be_bytes(self.take_array()?);
        let at = self.at;
        let text = usize::try_from(length)
            .map_err(|_| PlaintextError::Malformed { at })
            .and_then(|length| self.take(length))?;
        let text = str::from_utf8(text).map_err(|_| PlaintextError::Malformed { at })?;
        Ok((column, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{FIELDS, ReadingRules};
    use proptest::prelude::*;

    fn full() -> Record {
        let mut record = Record::new(RecordRef::new("A-1").unwrap());
        let rules = ReadingRules::default();
        for field in FIELDS {
            let text = match field.column {
                Column::Sex => "X",
                Column::DateOfBirth => "2014-05",
                Column::Protection => "human_only",
                Column::Consent => "guardian",
                _ => "слово",
            };
            record.set(field.column, text, &rules).unwrap();
        }
        record
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let record = Record::new(RecordRef::new("A-1").unwrap());
        assert_eq!(
            record.to_plaintext().as_slice(),
            b"\x01\x01\0\0\0\x03A-1\x14\0\0\0\x04none\x15\0\0\0\x04none"
        );
    }

    #[test]
    fn a_record_comes_back_whole_and_encodes_the_same() {
        let bytes = full().to_plaintext();
        let again = Record::from_plaintext(&bytes).ok().unwrap();
        assert_eq!(again.fields().count(), FIELDS.len());
        for (column, text) in full().fields() {
            assert_eq!(again.field(column).unwrap().expose(), text.expose());
        }
        assert_eq!(again.to_plaintext(), bytes);
    }

    #[test]
    fn every_cut_and_every_foreign_form_is_refused() {
        let bytes = full().to_plaintext();
        // Between two fields, once protection and consent have been stated.
        let boundaries: Vec<usize> = full()
            .fields()
            .scan(1, |at, (column, text)| {
                *at += 5 + text.expose().len();
                Some((column, *at))
            })
            .filter(|(column, _)| *column >= Column::Consent)
            .map(|(_, at)| at)
            .collect();
        for length in 0..bytes.len() {
            let read = Record::from_plaintext(&bytes[..length]);
            assert_eq!(read.is_ok(), boundaries.contains(&length), "{length}");
        }
        let refusal = |bytes: &[u8]| Record::from_plaintext(bytes).err().unwrap();
        assert_eq!(
            refusal(b"\x02"),
            PlaintextError::UnknownVersion { found: 2 }
        );
        assert_eq!(
            refusal(b"\x01\x63\0\0\0\0"),
            PlaintextError::UnknownField { number: 99 }
        );
        assert_eq!(
            refusal(b"\x01\x02\0\0\0\x01a"),
            PlaintextError::Malformed { at: 1 }
        );
        assert_eq!(
            refusal(b"\x01\x01\0\0\0\x01a\x01\0\0\0\x01b"),
            PlaintextError::Malformed { at: 7 }
        );
        assert_eq!(
            refusal(b"\x01\x01\0\0\0\x01a\x06\0\0\0\x04male"),
            PlaintextError::Malformed { at: 7 }
        );
        assert_eq!(
            refusal(b"\x01\x01\0\0\0\x01a\x07\0\0\0\x072014-99").to_string(),
            "stored record holds no valid date_of_birth: impossible date: the calendar has no such \
             day or month"
        );
    }

    proptest! {
        #[test]
        fn bytes_that_are_a_record_are_its_one_encoding(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = full().to_plaintext().to_vec();
            for (place, byte) in changes {
                *place.get_mut(&mut bytes) = byte;
            }
            if let Ok(record) = Record::from_plaintext(&bytes) {
                let again = record.to_plaintext();
                prop_assert_eq!(again.as_slice(), bytes.as_slice());
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Record::from_plaintext(&bytes);
        }

        #[test]
        fn texts_come_back_as_they_were(name: String, note: String) {
            let mut record = full();
            record.given_name = Some(name.as_str().into());
            record.note = Some(note.as_str().into());
            let again = Record::from_plaintext(&record.to_plaintext()).ok().unwrap();
            prop_assert!(again.given_name.is_some_and(|text| *text.expose() == name));
            prop_assert!(again.note.is_some_and(|text| *text.expose() == note));
        }
    }
}
