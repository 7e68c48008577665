//! Purposes and legal bases between the roster's names and the protocol's numbers.

use super::Refusal;
use crate::proto::exchange as pb;
use crate::roster::{LegalBasis, Purpose};

/// The protocol's number for a purpose.
#[must_use]
pub fn purpose_to(purpose: Purpose) -> pb::Purpose {
    match purpose {
        Purpose::FamilyTracing => pb::Purpose::FamilyTracing,
        Purpose::Reunification => pb::Purpose::Reunification,
        Purpose::IdentityVerification => pb::Purpose::IdentityVerification,
        Purpose::ChildProtection => pb::Purpose::ChildProtection,
        Purpose::Audit => pb::Purpose::Audit,
    }
}

/// The purpose behind the protocol's number.
///
/// # Errors
/// [`Refusal::Malformed`] if it is not stated or not known.
pub fn purpose_from(number: i32) -> Result<Purpose, Refusal> {
    match pb::Purpose::try_from(number) {
        Ok(pb::Purpose::FamilyTracing) => Ok(Purpose::FamilyTracing),
        Ok(pb::Purpose::Reunification) => Ok(Purpose::Reunification),
        Ok(pb::Purpose::IdentityVerification) => Ok(Purpose::IdentityVerification),
        Ok(pb::Purpose::ChildProtection) => Ok(Purpose::ChildProtection),
        Ok(pb::Purpose::Audit) => Ok(Purpose::Audit),
        Ok(pb::Purpose::Unspecified) | Err(_) => Err(Refusal::Malformed {
            what: "purpose",
            why: "it is not stated, or not one that this node knows".to_owned(),
        }),
    }
}

/// The protocol's number for a legal basis.
#[must_use]
pub fn legal_basis_to(basis: LegalBasis) -> pb::LegalBasis {
    match basis {
        LegalBasis::Consent => pb::LegalBasis::Consent,
        LegalBasis::VitalInterest => pb::LegalBasis::VitalInterest,
        LegalBasis::PublicInterest => pb::LegalBasis::PublicInterest,
        LegalBasis::LegalObligation => pb::LegalBasis::LegalObligation,
        LegalBasis::CourtOrder => pb::LegalBasis::CourtOrder,
    }
}

/// The legal basis behind the protocol's number.
///
/// # Errors
/// [`Refusal::Malformed`] if it is not stated or not known.
pub fn legal_basis_from(number: i32) -> Result<LegalBasis, Refusal> {
    match pb::LegalBasis::try_from(number) {
        Ok(pb::LegalBasis::Consent) => Ok(LegalBasis::Consent),
        Ok(pb::LegalBasis::VitalInterest) => Ok(LegalBasis::VitalInterest),
        Ok(pb::LegalBasis::PublicInterest) => Ok(LegalBasis::PublicInterest),
        Ok(pb::LegalBasis::LegalObligation) => Ok(LegalBasis::LegalObligation),
        Ok(pb::LegalBasis::CourtOrder) => Ok(LegalBasis::CourtOrder),
        Ok(pb::LegalBasis::Unspecified) | Err(_) => Err(Refusal::Malformed {
            what: "legal basis",
            why: "it is not stated, or not one that this node knows".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_and_basis_travels() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose_from(purpose_to(*purpose) as i32), Ok(*purpose));
        }
        for basis in LegalBasis::ALL {
            assert_eq!(legal_basis_from(legal_basis_to(*basis) as i32), Ok(*basis));
        }
        assert!(purpose_from(0).is_err() && purpose_from(99).is_err());
        assert!(legal_basis_from(0).is_err() && legal_basis_from(-1).is_err());
    }
}
