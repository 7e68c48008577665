//! Why a person denied what was asked: one of a few reasons, which the asking member is told.
//!
//! They are about the request alone. None speaks of the child or the record, and no free words go out:
//! a reason that fits one child and no other would tell what the denial withholds. It is said of the
//! request and not of a field, so that a denied field and one that the record lacks still read alike.

use serde::{Deserialize, Serialize};

use crate::proto::exchange as pb;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialReason {
    /// What is asked for is not what the stated purpose needs.
    PurposeUnclear,
    /// The stated legal ground does not permit it under the holder's law.
    GroundInsufficient,
    /// It asks for more than it needs: asking for fewer fields may help.
    TooMuch,
    /// It is to be asked in another way, such as through an authority or a court.
    OtherWay,
}

impl DenialReason {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::PurposeUnclear,
        Self::GroundInsufficient,
        Self::TooMuch,
        Self::OtherWay,
    ];

    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PurposeUnclear => "purpose_unclear",
            Self::GroundInsufficient => "ground_insufficient",
            Self::TooMuch => "too_much",
            Self::OtherWay => "other_way",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The protocol's number.
    #[must_use]
    pub fn to_proto(self) -> pb::DenialReason {
        match self {
            Self::PurposeUnclear => pb::DenialReason::PurposeUnclear,
            Self::GroundInsufficient => pb::DenialReason::GroundInsufficient,
            Self::TooMuch => pb::DenialReason::TooMuch,
            Self::OtherWay => pb::DenialReason::OtherWay,
        }
    }

    /// The reason behind the protocol's number; none for none, or for one that came later.
    #[must_use]
    pub fn from_proto(reason: pb::DenialReason) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.to_proto() == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_keep_their_names_and_numbers() {
        for reason in DenialReason::ALL {
            assert_eq!(DenialReason::from_name(reason.as_str()), Some(reason));
            assert_eq!(DenialReason::from_proto(reason.to_proto()), Some(reason));
        }
        assert_eq!(DenialReason::from_name("because"), None);
        let unstated = pb::DenialReason::Unspecified;
        assert_eq!(DenialReason::from_proto(unstated), None);
    }
}
