//! One child's record.

use std::fmt;

use super::code::{CodeError, Consent, Protection, Sex, StatusCode};
use super::date::{DateError, DateOrder, OrderShown, PartialDate};
use super::field::Column;
use crate::vault::PersonalText;

/// What a member knows of one child.
///
/// It has no `Debug` and no `Display`; what is in it is wiped when it is dropped. Missing text is
/// `None`, never an empty string.
pub struct Record {
    /// The member's own reference of the record.
    pub record_ref: RecordRef,
    /// Family name.
    pub family_name: Option<PersonalText>,
    /// Given name.
    pub given_name: Option<PersonalText>,
    /// Patronymic or middle name.
    pub patronymic: Option<PersonalText>,
    /// Former and other names, separated by `;`.
    pub other_names: Option<PersonalText>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Date of birth, as far as it is known.
    pub date_of_birth: Option<PartialDate>,
    /// Place of birth.
    pub place_of_birth: Option<PersonalText>,
    /// Citizenship or citizenships.
    pub citizenship: Option<PersonalText>,
    /// The mother's family name.
    pub mother_family_name: Option<PersonalText>,
    /// The mother's given name.
    pub mother_given_name: Option<PersonalText>,
    /// The father's family name.
    pub father_family_name: Option<PersonalText>,
    /// The father's given name.
    pub father_given_name: Option<PersonalText>,
    /// Kind of identity document.
    pub document_type: Option<PersonalText>,
    /// Number of that document.
    pub document_number: Option<PersonalText>,
    /// Where the child was last known to be.
    pub last_known_place: Option<PersonalText>,
    /// Where the child is.
    pub current_place: Option<PersonalText>,
    /// Who cares for the child, and how to reach them.
    pub current_carer: Option<PersonalText>,
    /// What has become of the child.
    pub status: Option<StatusCode>,
    /// How the record answers other members.
    pub protection: Protection,
    /// The ground on which it may be searched for.
    pub consent: Consent,
    /// The same for the records of one family.
    pub family_ref: Option<FamilyRef>,
    /// Where the member has the record from.
    pub source: Option<PersonalText>,
    /// Free text.
    pub note: Option<PersonalText>,
}

impl Record {
    /// A record of which only the reference is known.
    #[must_use]
    pub fn new(record_ref: RecordRef) -> Self {
        Self {
            record_ref,
            family_name: None,
            given_name: None,
            patronymic: None,
            other_names: None,
            sex: None,
            date_of_birth: None,
            place_of_birth: None,
            citizenship: None,
            mother_family_name: None,
            mother_given_name: None,
            father_family_name: None,
            father_given_name: None,
            document_type: None,
            document_number: None,
            last_known_place: None,
            current_place: None,
            current_carer: None,
            status: None,
            protection: Protection::None,
            consent: Consent::None,
            family_ref: None,
            source: None,
            note: None,
        }
    }

    /// Whether the record may be found and answers for itself: it has a ground to be searched on,
    /// and no protection that a person has to weigh first.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.consent.permits_search()
            && matches!(self.protection, Protection::None | Protection::Alert)
    }

    /// A field's value as text, as it is exported, disclosed and shown: dates in ISO form as far as
    /// known, codes by their word. `None` where the record does not have it.
    #[must_use]
    pub fn field(&self, column: Column) -> Option<PersonalText> {
        if let Some(text) = self.text(column) {
            return text.as_ref().map(|text| text.expose().as_str().into());
        }
        match column {
            Column::RecordRef => Some(self.record_ref.as_str().into()),
            Column::Sex => self.sex.map(|sex| sex.as_str().into()),
            Column::DateOfBirth => self.date_of_birth.as_ref().map(PartialDate::to_iso),
            Column::Status => self.status.as_ref().map(|status| status.as_str().into()),
            Column::Protection => Some(self.protection.as_str().into()),
            Column::Consent => Some(self.consent.as_str().into()),
            Column::FamilyRef => self
                .family_ref
                .as_ref()
                .map(|family| family.as_str().into()),
            // All others are text.
            _ => None,
        }
    }

    /// The fields that the record has, in the order of [`FIELDS`](super::FIELDS).
    pub fn fields(&self) -> impl Iterator<Item = (Column, PersonalText)> + '_ {
        super::FIELDS
            .iter()
            .filter_map(|field| Some((field.column, self.field(field.column)?)))
    }

    /// Reads a field from text as a person or a register wrote it; an empty one clears the field.
    ///
    /// What the answer shows of the order of dates matters to a reader of whole files only.
    ///
    /// # Errors
    /// [`ValueError`], and the field is as it was.
    pub fn set(
        &mut self,
        column: Column,
        text: &str,
        rules: &ReadingRules,
    ) -> Result<OrderShown, ValueError> {
        let text = text.trim();
        let given = (!text.is_empty()).then_some(text);
        if let Some(slot) = self.text_mut(column) {
            if let Some(text) = given {
                check_text(text, may_have_lines(column))?;
            }
            *slot = given.map(PersonalText::from);
            return Ok(OrderShown::Neither);
        }
        match column {
            Column::RecordRef => self.record_ref = RecordRef::new(text)?,
            Column::FamilyRef => self.family_ref = given.map(FamilyRef::new).transpose()?,
            Column::Sex => self.sex = rules.sex(text)?,
            Column::Status => self.status = given.map(StatusCode::parse).transpose()?,
            Column::Protection => {
                self.protection = given
                    .map(Protection::parse)
                    .transpose()?
                    .unwrap_or_default();
            }
            Column::Consent => {
                self.consent = given.map(Consent::parse).transpose()?.unwrap_or_default();
            }
            Column::DateOfBirth => {
                let read = given
                    .map(|text| PartialDate::parse_noting_order(text, rules.date_order))
                    .transpose()?;
                let (date, shown) = read.unzip();
                self.date_of_birth = date;
                return Ok(shown.unwrap_or(OrderShown::Neither));
            }
            // All others are text.
            _ => {}
        }
        Ok(OrderShown::Neither)
    }

    /// The field if it is one of text.
    pub(super) fn text(&self, column: Column) -> Option<&Option<PersonalText>> {
        Some(match column {
            Column::FamilyName => &self.family_name,
            Column::GivenName => &self.given_name,
            Column::Patronymic => &self.patronymic,
            Column::OtherNames => &self.other_names,
            Column::PlaceOfBirth => &self.place_of_birth,
            Column::Citizenship => &self.citizenship,
            Column::MotherFamilyName => &self.mother_family_name,
            Column::MotherGivenName => &self.mother_given_name,
            Column::FatherFamilyName => &self.father_family_name,
            Column::FatherGivenName => &self.father_given_name,
            Column::DocumentType => &self.document_type,
            Column::DocumentNumber => &self.document_number,
            Column::LastKnownPlace => &self.last_known_place,
            Column::CurrentPlace => &self.current_place,
            Column::CurrentCarer => &self.current_carer,
            Column::Source => &self.source,
            Column::Note => &self.note,
            Column::RecordRef
            | Column::Sex
            | Column::DateOfBirth
            | Column::Status
            | Column::Protection
            | Column::Consent
            | Column::FamilyRef => return None,
        })
    }

    pub(super) fn text_mut(&mut self, column: Column) -> Option<&mut Option<PersonalText>> {
        Some(match column {
            Column::FamilyName => &mut self.family_name,
            Column::GivenName => &mut self.given_name,
            Column::Patronymic => &mut self.patronymic,
            Column::OtherNames => &mut self.other_names,
            Column::PlaceOfBirth => &mut self.place_of_birth,
            Column::Citizenship => &mut self.citizenship,
            Column::MotherFamilyName => &mut self.mother_family_name,
            Column::MotherGivenName => &mut self.mother_given_name,
            Column::FatherFamilyName => &mut self.father_family_name,
            Column::FatherGivenName => &mut self.father_given_name,
            Column::DocumentType => &mut self.document_type,
            Column::DocumentNumber => &mut self.document_number,
            Column::LastKnownPlace => &mut self.last_known_place,
            Column::CurrentPlace => &mut self.current_place,
            Column::CurrentCarer => &mut self.current_carer,
            Column::Source => &mut self.source,
            Column::Note => &mut self.note,
            Column::RecordRef
            | Column::Sex
            | Column::DateOfBirth
            | Column::Status
            | Column::Protection
            | Column::Consent
            | Column::FamilyRef => return None,
        })
    }
}

/// How a register's own ways of writing are read.
#[derive(Clone, Debug, Default)]
pub struct ReadingRules {
    /// Which of two numbers before a year is the day, where the numbers leave it open.
    pub date_order: DateOrder,
    /// The register's own codes for a sex, in lower case; they go before the known words. `None`
    /// is a code for "unknown".
    pub sex_codes: Vec<(String, Option<SexCode>)>,
}

impl ReadingRules {
    fn sex(&self, text: &str) -> Result<Option<Sex>, CodeError> {
        if !self.sex_codes.is_empty() {
            let folded = text.to_lowercase();
            if let Some((_, meaning)) = self.sex_codes.iter().find(|(code, _)| *code == folded) {
                return Ok(meaning.map(SexCode::sex));
            }
        }
        Sex::parse(text)
    }
}

/// The meaning of a register's code for a sex: about codes and no child, so it can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SexCode {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Neither.
    Unspecified,
}

impl SexCode {
    fn sex(self) -> Sex {
        match self {
            Self::Male => Sex::Male,
            Self::Female => Sex::Female,
            Self::Unspecified => Sex::Unspecified,
        }
    }
}

/// Why a field's value was refused. The value itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a date.
    #[error(transparent)]
    Date(#[from] DateError),
    /// Not a known code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Not a reference.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// A control character where no text has one.
    #[error("control character U+{code:04X}: remove it")]
    ControlCharacter {
        /// Its code point.
        code: u32,
    },
}

/// Why a reference was refused. The reference itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// There is none.
    #[error("no reference: every record needs one that stays the same")]
    Missing,
    /// Too long.
    #[error("reference of {found} characters: at most {REF_LIMIT} are taken")]
    TooLong {
        /// How many characters it has.
        found: usize,
    },
    /// A control character or line break in it.
    #[error("control character U+{code:04X} in a reference: remove it")]
    ControlCharacter {
        /// Its code point.
        code: u32,
    },
}

/// The longest reference, in characters.
const REF_LIMIT: usize = 64;

/// The member's own reference of a record: 1 to 64 characters, no control characters, no space at
/// its ends.
///
/// It identifies a child to its holder, so the holder's own tools show it (`Display`), while
/// `Debug` hides it from logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordRef(String);

/// The member's own reference of a family, of the same form as a [`RecordRef`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyRef(String);

impl RecordRef {
    /// Reads a reference; space at its ends is cut off.
    ///
    /// # Errors
    /// [`RefError`].
    pub fn new(text: &str) -> Result<Self, RefError> {
        check_ref(text.trim()).map(Self)
    }

    /// The reference.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RecordRef {
    /// Stands in a record in the making until its reference is read.
    pub(super) fn unset() -> Self {
        Self(String::new())
    }
}

impl FamilyRef {
    /// Reads a reference; space at its ends is cut off.
    ///
    /// # Errors
    /// [`RefError`].
    pub fn new(text: &str) -> Result<Self, RefError> {
        check_ref(text.trim()).map(Self)
    }

    /// The reference.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordRef(..)")
    }
}

impl fmt::Debug for FamilyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FamilyRef(..)")
    }
}

fn check_ref(text: &str) -> Result<String, RefError> {
    if text.is_empty() {
        return Err(RefError::Missing);
    }
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(RefError::ControlCharacter { code: c.into() });
    }
    let found = text.chars().count();
    if found > REF_LIMIT {
        return Err(RefError::TooLong { found });
    }
    Ok(text.to_owned())
}

/// Addresses and notes have lines; a line break in a name is a fault of the file.
fn may_have_lines(column: Column) -> bool {
    matches!(
        column,
        Column::LastKnownPlace | Column::CurrentPlace | Column::CurrentCarer | Column::Note
    )
}

fn check_text(text: &str, lines: bool) -> Result<(), ValueError> {
    let refused = |c: &char| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'));
    match text.chars().find(refused) {
        Some(c) => Err(ValueError::ControlCharacter { code: c.into() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::FIELDS;

    fn record() -> Record {
        Record::new(RecordRef::new("A-1").unwrap())
    }

    fn shown(record: &Record, column: Column) -> Option<String> {
        record.field(column).map(|text| text.expose().clone())
    }

    #[test]
    fn every_field_can_be_set_read_and_cleared() {
        let mut record = record();
        for field in FIELDS {
            let (written, expected) = match field.column {
                Column::Sex => ("ж", "F"),
                Column::DateOfBirth => ("3 травня 2014", "2014-05-03"),
                Column::Protection => ("silent", "silent"),
                Column::Consent => ("tracing", "tracing"),
                Column::Status => ("Missing", "missing"),
                _ => (" word ", "word"),
            };
            assert!(
                record
                    .set(field.column, written, &ReadingRules::default())
                    .is_ok()
            );
            assert_eq!(
                shown(&record, field.column).as_deref(),
                Some(expected),
                "{}",
                field.name
            );
        }
        assert_eq!(record.fields().count(), FIELDS.len());
        for field in FIELDS {
            let cleared = record.set(field.column, " ", &ReadingRules::default());
            match field.column {
                Column::RecordRef => assert_eq!(cleared, Err(RefError::Missing.into())),
                Column::Protection | Column::Consent => {
                    assert_eq!(shown(&record, field.column).as_deref(), Some("none"));
                }
                _ => assert_eq!(shown(&record, field.column), None, "{}", field.name),
            }
        }
    }

    #[test]
    fn a_refused_value_leaves_the_field_as_it_was() {
        let mut record = record();
        let rules = ReadingRules::default();
        record.set(Column::DateOfBirth, "2014-05", &rules).unwrap();
        assert_eq!(
            record.set(Column::DateOfBirth, "2014-15", &rules),
            Err(DateError::Impossible.into())
        );
        assert_eq!(
            shown(&record, Column::DateOfBirth).as_deref(),
            Some("2014-05")
        );
        assert_eq!(
            record.set(Column::GivenName, "a\0b", &rules),
            Err(ValueError::ControlCharacter { code: 0 })
        );
        assert_eq!(
            record.set(Column::GivenName, "a\nb", &rules),
            Err(ValueError::ControlCharacter { code: 10 })
        );
        assert!(record.set(Column::Note, "a\r\n\tb", &rules).is_ok());
    }

    #[test]
    fn a_registers_own_sex_codes_go_first() {
        let rules = ReadingRules {
            sex_codes: vec![
                ("1".into(), Some(SexCode::Male)),
                ("m".into(), Some(SexCode::Female)),
                ("9".into(), None),
            ],
            ..ReadingRules::default()
        };
        let mut record = record();
        for (code, expected) in [
            ("1", Some("M")),
            ("M", Some("F")),
            ("9", None),
            ("ж", Some("F")),
        ] {
            record.set(Column::Sex, code, &rules).unwrap();
            assert_eq!(shown(&record, Column::Sex).as_deref(), expected);
        }
    }

    #[test]
    fn references_are_checked_shown_to_people_and_hidden_from_logs() {
        assert_eq!(RecordRef::new(""), Err(RefError::Missing));
        assert_eq!(
            RecordRef::new("a\tb"),
            Err(RefError::ControlCharacter { code: 9 })
        );
        assert_eq!(
            RecordRef::new(&"д".repeat(64))
                .unwrap()
                .as_str()
                .chars()
                .count(),
            64
        );
        assert_eq!(
            RecordRef::new(&"д".repeat(65)),
            Err(RefError::TooLong { found: 65 })
        );
        let reference = RecordRef::new(" A-1 ").unwrap();
        assert_eq!(reference.to_string(), "A-1");
        assert_eq!(format!("{reference:?}"), "RecordRef(..)");
        assert_eq!(
            format!("{:?}", FamilyRef::new("F-1").unwrap()),
            "FamilyRef(..)"
        );
    }
}
