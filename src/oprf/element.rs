//! Group elements as they travel: 32 bytes, the canonical encoding of RFC 9496.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::traits::IsIdentity;
use thiserror::Error;

/// Why 32 bytes are no usable group element.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ElementFault {
    /// Not the canonical encoding of any element (RFC 9496, section 4.3.1).
    #[error("not a canonical ristretto255 encoding")]
    NotCanonical,
    /// The identity: it would be a fixed point of every key, so RFC 9497 forbids it.
    #[error("the identity element, which is not allowed")]
    Identity,
}

macro_rules! element_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes; they are checked where they are used.
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The encoding.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            pub(super) fn encode(point: &RistrettoPoint) -> Self {
                Self(point.compress().to_bytes())
            }

            pub(super) fn decode(&self) -> Result<RistrettoPoint, ElementFault> {
                decode(&self.0)
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl From<CompressedRistretto> for $name {
            fn from(point: CompressedRistretto) -> Self {
                Self(point.to_bytes())
            }
        }
    };
}

element_type! {
    /// What a member sends: one blinded linkage key. Says nothing about it.
    BlindedElement
}
element_type! {
    /// What a keyholder answers: a blinded element multiplied by its key share.
    EvaluatedElement
}
element_type! {
    /// A public key or a verifying share.
    PublicPoint
}

fn decode(bytes: &[u8; 32]) -> Result<RistrettoPoint, ElementFault> {
    let point = CompressedRistretto(*bytes)
        .decompress()
        .ok_or(ElementFault::NotCanonical)?;
    if point.is_identity() {
        return Err(ElementFault::Identity);
    }
    Ok(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_non_canonical_encodings_are_told_apart() {
        assert_eq!(
            BlindedElement::new([0; 32]).decode(),
            Err(ElementFault::Identity)
        );
        // RFC 9496, appendix A.3: the field's modulus itself (non-canonical), and a negative one.
        let mut modulus = [0xff; 32];
        modulus[0] = 0xed;
        modulus[31] = 0x7f;
        assert_eq!(
            BlindedElement::new(modulus).decode(),
            Err(ElementFault::NotCanonical)
        );
        let mut negative = [0; 32];
        negative[0] = 1;
        assert_eq!(
            BlindedElement::new(negative).decode(),
            Err(ElementFault::NotCanonical)
        );
    }
}
