//! Why a member may ask, and on what legal ground: the two closed lists that every query names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that names none of the listed values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}; known are {known}")]
pub struct UnknownName {
    what: &'static str,
    found: String,
    known: String,
}

/// Declares a closed list whose names are stable in files, logs and messages.
macro_rules! named_list {
    (
        $(#[$doc:meta])* $list:ident, $what:literal,
        $($(#[$item_doc:meta])* $item:ident = $name:literal),+
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $list { $($(#[$item_doc])* $item),+ }

        impl $list {
            /// Every value, in the order in which files list them.
            pub const ALL: &'static [Self] = &[$(Self::$item),+];

            /// The stable name, in snake case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$item => $name),+ }
            }
        }

        impl fmt::Display for $list {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $list {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($name => Ok(Self::$item),)+
                    _ => Err(UnknownName {
                        what: $what,
                        found: text.chars().take(40).collect(),
                        known: [$($name),+].join(", "),
                    }),
                }
            }
        }

        impl Serialize for $list {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $list {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::serde_text::from_text(deserializer)
            }
        }
    };
}

named_list! {
    /// What a query is for. The roster lists which purposes each member may name.
    Purpose, "purpose",
    /// A member looks for where a child of its register is now.
    FamilyTracing = "family_tracing",
    /// A found child is being brought back to its family or carers.
    Reunification = "reunification",
    /// Someone's claimed identity is checked against a record.
    IdentityVerification = "identity_verification",
    /// A child is, or may be, in danger.
    ChildProtection = "child_protection",
    /// An ombudsman checks what was asked and answered.
    Audit = "audit"
}

named_list! {
    /// The legal ground a query rests on.
    LegalBasis, "legal basis",
    /// The child, or who speaks for it, agreed.
    Consent = "consent",
    /// The child's vital interests.
    VitalInterest = "vital_interest",
    /// A task in the public interest laid down by law.
    PublicInterest = "public_interest",
    /// A duty laid on the asking authority by law.
    LegalObligation = "legal_obligation",
    /// The order of a court.
    CourtOrder = "court_order"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_read_back() {
        let purposes: Vec<_> = Purpose::ALL
            .iter()
            .map(|purpose| purpose.as_str())
            .collect();
        assert_eq!(
            purposes,
            [
                "family_tracing",
                "reunification",
                "identity_verification",
                "child_protection",
                "audit"
            ]
        );
        let bases: Vec<_> = LegalBasis::ALL.iter().map(|basis| basis.as_str()).collect();
        assert_eq!(
            bases,
            [
                "consent",
                "vital_interest",
                "public_interest",
                "legal_obligation",
                "court_order"
            ]
        );
        for purpose in Purpose::ALL {
            assert_eq!(purpose.as_str().parse(), Ok(*purpose));
        }
        for basis in LegalBasis::ALL {
            assert_eq!(basis.as_str().parse(), Ok(*basis));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "curiosity".parse::<Purpose>().unwrap_err().to_string();
        assert!(
            error.contains("\"curiosity\"") && error.contains("family_tracing"),
            "{error}"
        );
    }
}
