//! Verifiable pseudonyms of a node's own records.
//!
//! A log leaf must say which record an act was about without naming it. It carries a *pseudonym*:
//! a pseudorandom function of the record's reference under a key that only the node holds. A plain
//! keyed hash would do for that, but then a node could log one child's access under another's
//! pseudonym and nobody could tell. So this one is verifiable: the node's public key stands in its
//! log, and for any reference the node can prove which pseudonym follows from it. There is exactly
//! one, so a false pseudonym in a leaf can be proved false.
//!
//! It is RFC 9497 in mode VOPRF (0x01) without blinding, since the node is both sides: the blind is
//! one. The pseudonym is the first 16 bytes of the 64-byte output. The cost of cutting it short:
//! a node that wanted two references with one pseudonym could search for them, with some 2^64
//! evaluations instead of 2^256; and among a million records two share a pseudonym by chance with
//! probability 2^-89. To find a reference for a given pseudonym still takes 2^128.

use std::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_core::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::dleq::{self, Proof, RFC_VOPRF, Side};
use super::element::{EvaluatedElement, PublicPoint};
use super::error::OprfError;
use super::suite::{self, Mode, decode_scalar};

/// A node's secret key for pseudonyms. Cannot be printed; overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PseudonymKey {
    secret: Scalar,
}

/// A node's public key for pseudonyms, as its log states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PseudonymPublicKey {
    encoding: PublicPoint,
    point: RistrettoPoint,
}

/// The pseudonym of one record: 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym([u8; 16]);

/// That a pseudonym follows from a reference under a node's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PseudonymProof {
    /// `k·H(reference)`, of which the pseudonym is a hash.
    pub element: EvaluatedElement,
    /// That `k` is the node's key.
    pub proof: Proof,
}

impl PseudonymKey {
    /// Draws a key.
    #[must_use]
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        loop {
            let secret = Scalar::random(rng);
            if secret != Scalar::ZERO {
                return Self { secret };
            }
        }
    }

    /// Reads a stored key: a canonical, non-zero scalar of 32 bytes, little endian.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, OprfError> {
        Ok(Self {
            secret: decode_scalar(bytes, "a pseudonym key")?,
        })
    }

    /// The bytes to seal.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The public key to put on record before the first pseudonym is used.
    #[must_use]
    pub fn public(&self) -> PseudonymPublicKey {
        let point = RistrettoPoint::mul_base(&self.secret);
        PseudonymPublicKey {
            encoding: PublicPoint::encode(&point),
            point,
        }
    }

    /// The pseudonym of a reference of up to 65,535 bytes.
    pub fn pseudonym(&self, reference: &[u8]) -> Result<Pseudonym, OprfError> {
        let point = suite::hash_to_group(Mode::Voprf, reference, 0)? * self.secret;
        Ok(Pseudonym::of(reference, point.compress().as_bytes()))
    }

    /// Proves the pseudonym of a reference.
    ///
    /// Takes no randomness: the proof's nonce is derived from the key and the statement, so the
    /// same question gets the same answer and a poor generator cannot reveal the key.
    pub fn prove(&self, reference: &[u8]) -> Result<PseudonymProof, OprfError> {
        let input = suite::hash_to_group(Mode::Voprf, reference, 0)?;
        let element = EvaluatedElement::encode(&(input * self.secret));
        let proof = dleq::prove(
            RFC_VOPRF,
            &self.secret,
            self.public().encoding.as_bytes(),
            Side {
                points: &[input],
                encodings: &[input.compress().to_bytes()],
            },
            &[*element.as_bytes()],
            &[0; 32],
        );
        Ok(PseudonymProof { element, proof })
    }
}

impl PseudonymPublicKey {
    /// Reads a public key from the log.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, OprfError> {
        let encoding = PublicPoint::new(bytes);
        let point = encoding.decode().map_err(|_| OprfError::Pseudonym {
            reason: "the public key is no valid element",
        })?;
        Ok(Self { encoding, point })
    }

    /// The bytes to put on record.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.encoding.as_bytes()
    }
}

impl Pseudonym {
    /// Takes up a stored pseudonym. Any 16 bytes may be one.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand in a leaf.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn of(reference: &[u8], evaluated: &[u8; 32]) -> Self {
        let output = Zeroizing::new(suite::finalise(reference, evaluated));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&output[..16]);
        Self(bytes)
    }
}

impl From<[u8; 16]> for Pseudonym {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Public in the log, so it may be shown.
impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym(")?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Checks that `pseudonym` is the one of `reference` under the node's public key.
pub fn verify_pseudonym(
    public: &PseudonymPublicKey,
    reference: &[u8],
    pseudonym: &Pseudonym,
    proof: &PseudonymProof,
) -> Result<(), OprfError> {
    let input = suite::hash_to_group(Mode::Voprf, reference, 0)?;
    let output = proof.element.decode().map_err(|_| OprfError::Pseudonym {
        reason: "its element is no valid encoding",
    })?;
    dleq::verify(
        RFC_VOPRF,
        &public.point,
        public.encoding.as_bytes(),
        Side {
            points: &[input],
            encodings: &[input.compress().to_bytes()],
        },
        Side {
            points: &[output],
            encodings: &[*proof.element.as_bytes()],
        },
        &proof.proof,
    )
    .map_err(|_| OprfError::Pseudonym {
        reason: "its proof does not hold under the node's key",
    })?;
    if Pseudonym::of(reference, proof.element.as_bytes()) == *pseudonym {
        Ok(())
    } else {
        Err(OprfError::Pseudonym {
            reason: "the proven element gives another pseudonym",
        })
    }
}
