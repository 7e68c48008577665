//! Which fields a holder grants, by purpose: a plain allow-list.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::records::Column;
use crate::roster::Purpose;

/// Fields that are granted at once, by purpose. What is not listed is withheld.
#[derive(Debug, Clone, Default)]
pub struct AllowList(BTreeMap<Purpose, BTreeSet<Column>>);

/// What is wrong with an allow-list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// A name that no column has.
    #[error("[disclosure] {purpose}: there is no field called {field:?}")]
    UnknownField {
        /// The purpose under which it stands.
        purpose: Purpose,
        /// The name.
        field: String,
    },
    /// A column that is never disclosed.
    #[error(
        "[disclosure] {purpose}: the field {field:?} is the holder's own business and is never disclosed"
    )]
    NeverDisclosed {
        /// The purpose under which it stands.
        purpose: Purpose,
        /// The name.
        field: String,
    },
}

/// The allow-list as configuration files state it: purpose to field names.
#[derive(Debug, Clone, Default, Deserialize, serde::Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct AllowListText(pub BTreeMap<Purpose, Vec<String>>);

impl AllowList {
    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// [`AllowListError`] names purpose and field.
    pub fn parse(text: &AllowListText) -> Result<Self, AllowListError> {
        let mut list = BTreeMap::<Purpose, BTreeSet<Column>>::new();
        for (&purpose, fields) in &text.0 {
            let granted = list.entry(purpose).or_default();
            for field in fields {
                let column =
                    Column::from_name(field).ok_or_else(|| AllowListError::UnknownField {
                        purpose,
                        field: field.clone(),
                    })?;
                if !column.field().disclosable {
                    return Err(AllowListError::NeverDisclosed {
                        purpose,
                        field: field.clone(),
                    });
                }
                granted.insert(column);
            }
        }
        Ok(Self(list))
    }

    /// Whether `column` is granted for `purpose`.
    #[must_use]
    pub fn grants(&self, purpose: Purpose, column: Column) -> bool {
        column.field().disclosable
            && self
                .0
                .get(&purpose)
                .is_some_and(|granted| granted.contains(&column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(field: &str) -> AllowListText {
        AllowListText(BTreeMap::from([(
            Purpose::FamilyTracing,
            vec![field.to_owned()],
        )]))
    }

    #[test]
    fn grants_what_is_listed_and_nothing_else() {
        let allowed = AllowList::parse(&list("current_place")).unwrap();
        assert!(allowed.grants(Purpose::FamilyTracing, Column::CurrentPlace));
        assert!(!allowed.grants(Purpose::FamilyTracing, Column::Note));
        assert!(!allowed.grants(Purpose::Reunification, Column::CurrentPlace));
    }

    #[test]
    fn refuses_what_is_no_field_and_what_is_never_disclosed() {
        assert!(matches!(
            AllowList::parse(&list("curent_place")),
            Err(AllowListError::UnknownField { .. })
        ));
        assert!(matches!(
            AllowList::parse(&list("protection")),
            Err(AllowListError::NeverDisclosed { .. })
        ));
    }
}
