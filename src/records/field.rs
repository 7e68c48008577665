//! The fields of a record by name: in a register's columns, in a request for disclosure, and in
//! policies the same field has the same name.

/// One field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "`FIELDS` says of each what it holds")]
pub enum Column {
    // The numbers are stored in sealed records: they are never changed and never used again.
    RecordRef = 1,
    FamilyName = 2,
    GivenName = 3,
    Patronymic = 4,
    OtherNames = 5,
    Sex = 6,
    DateOfBirth = 7,
    PlaceOfBirth = 8,
    Citizenship = 9,
    MotherFamilyName = 10,
    MotherGivenName = 11,
    FatherFamilyName = 12,
    FatherGivenName = 13,
    DocumentType = 14,
    DocumentNumber = 15,
    LastKnownPlace = 16,
    CurrentPlace = 17,
    CurrentCarer = 18,
    Status = 19,
    Protection = 20,
    Consent = 21,
    FamilyRef = 22,
    Source = 23,
    Note = 24,
}

impl Column {
    /// The canonical name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.field().name
    }

    /// What is said of the field in [`FIELDS`].
    #[must_use]
    pub fn field(self) -> &'static Field {
        // The test below holds the table's order to the numbers.
        &FIELDS[self as usize - 1]
    }

    /// The field of this canonical name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        FIELDS
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.column)
    }

    /// The number under which the field is stored in a sealed record.
    pub(super) fn tag(self) -> u8 {
        self as u8
    }

    pub(super) fn from_tag(tag: u8) -> Option<Self> {
        let index = usize::from(tag).checked_sub(1)?;
        FIELDS.get(index).map(|field| field.column)
    }
}

/// What kind of thing a field tells, for policies to speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldClass {
    /// Who the child is.
    Identity,
    /// Who is with the child and how to reach them.
    Contact,
    /// Where the child is or was.
    Place,
    /// The child's health. No column of today's is of this class; policies can name it already.
    Health,
    /// Documents, citizenship, standing.
    Legal,
    /// Free text.
    Note,
    /// The holder's own business; never disclosed.
    Internal,
}

impl FieldClass {
    /// The word in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Contact => "contact",
            Self::Place => "place",
            Self::Health => "health",
            Self::Legal => "legal",
            Self::Note => "note",
            Self::Internal => "internal",
        }
    }
}

/// What is known of a field ahead of any record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which field.
    pub column: Column,
    /// Its canonical name: the column of a register, the path in a field mask.
    pub name: &'static str,
    /// Of what class it is.
    pub class: FieldClass,
    /// Whether a peer may ask for it at all.
    pub disclosable: bool,
    /// What it holds, in a line for people.
    pub holds: &'static str,
}

/// Every field, in the order of the columns in documents and exports.
#[rustfmt::skip]
pub const FIELDS: &[Field] = &[
    internal(Column::RecordRef, "record_ref", "the member's own reference of the record"),
    told(Column::FamilyName, "family_name", FieldClass::Identity, "family name"),
    told(Column::GivenName, "given_name", FieldClass::Identity, "given name"),
    told(Column::Patronymic, "patronymic", FieldClass::Identity, "patronymic or middle name"),
    told(Column::OtherNames, "other_names", FieldClass::Identity, "former and other names, separated by `;`"),
    told(Column::Sex, "sex", FieldClass::Identity, "M, F or X"),
    told(Column::DateOfBirth, "date_of_birth", FieldClass::Identity, "date of birth, as far as it is known"),
    told(Column::PlaceOfBirth, "place_of_birth", FieldClass::Identity, "place of birth"),
    told(Column::Citizenship, "citizenship", FieldClass::Legal, "citizenship or citizenships"),
    told(Column::MotherFamilyName, "mother_family_name", FieldClass::Identity, "the mother's family name"),
    told(Column::MotherGivenName, "mother_given_name", FieldClass::Identity, "the mother's given name"),
    told(Column::FatherFamilyName, "father_family_name", FieldClass::Identity, "the father's family name"),
    told(Column::FatherGivenName, "father_given_name", FieldClass::Identity, "the father's given name"),
    told(Column::DocumentType, "document_type", FieldClass::Legal, "kind of identity document"),
    told(Column::DocumentNumber, "document_number", FieldClass::Legal, "number of that document"),
    told(Column::LastKnownPlace, "last_known_place", FieldClass::Place, "where the child was last known to be"),
    told(Column::CurrentPlace, "current_place", FieldClass::Place, "where the child is"),
    told(Column::CurrentCarer, "current_carer", FieldClass::Contact, "who cares for the child, and how to reach them"),
    told(Column::Status, "status", FieldClass::Legal, "what has become of the child, such as missing or returned"),
    internal(Column::Protection, "protection", "none, alert, silent or human_only"),
    internal(Column::Consent, "consent", "tracing, guardian, vital_interest, legal_obligation or none"),
    internal(Column::FamilyRef, "family_ref", "the same for the records of one family"),
    internal(Column::Source, "source", "where the member has the record from"),
    told(Column::Note, "note", FieldClass::Note, "free text"),
];

const fn told(column: Column, name: &'static str, class: FieldClass, holds: &'static str) -> Field {
    Field {
        column,
        name,
        class,
        disclosable: true,
        holds,
    }
}

const fn internal(column: Column, name: &'static str, holds: &'static str) -> Field {
    Field {
        column,
        name,
        class: FieldClass::Internal,
        disclosable: false,
        holds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_columns_and_numbers_agree() {
        for (index, field) in FIELDS.iter().enumerate() {
            assert_eq!(field.column as usize, index + 1, "{}", field.name);
            assert_eq!(field.column.field(), field);
            assert_eq!(Column::from_name(field.name), Some(field.column));
            assert_eq!(Column::from_tag(field.column.tag()), Some(field.column));
            assert_eq!(
                field.disclosable,
                field.class != FieldClass::Internal,
                "{}",
                field.name
            );
        }
        assert_eq!(Column::from_tag(0), None);
        assert_eq!(Column::from_tag(25), None);
        assert_eq!(Column::from_name("Family_Name"), None);
    }

    #[test]
    fn what_says_how_a_child_is_protected_is_never_disclosable() {
        for name in [
            "record_ref",
            "protection",
            "consent",
            "family_ref",
            "source",
        ] {
            assert!(!Column::from_name(name).unwrap().field().disclosable);
        }
    }
}
