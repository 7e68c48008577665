//! Evaluation under a key that lies in one place.
//!
//! For measuring match quality and for tests. In a coalition no such key exists.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_core::{CryptoRng, RngCore};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::error::OprfError;
use super::evaluate::multiply;
use super::suite::{self, Mode, decode_scalar};
use super::token::CoalitionToken;

/// A whole OPRF key. May be shared between threads.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LocalKey(Scalar);

impl LocalKey {
    /// Draws a key.
    #[must_use]
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        loop {
            let key = Scalar::random(rng);
            if key != Scalar::ZERO {
                return Self(key);
            }
        }
    }

    /// Reads a key: a canonical, non-zero scalar of 32 bytes, little endian.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, OprfError> {
        decode_scalar(bytes, "an OPRF key").map(Self)
    }

    /// `Evaluate` of RFC 9497, section 3.3.1, mode OPRF: the token that a coalition with this key
    /// would give.
    pub fn token(&self, input: &[u8]) -> Result<CoalitionToken, OprfError> {
        let point = suite::hash_to_group(Mode::Oprf, input, 0)? * self.0;
        Ok(CoalitionToken::new(suite::finalise(
            input,
            point.compress().as_bytes(),
        )))
    }

    /// The tokens of many inputs, somewhat faster than one by one.
    pub fn tokens(&self, inputs: &[&[u8]]) -> Result<Vec<CoalitionToken>, OprfError> {
        let points = inputs
            .iter()
            .enumerate()
            .map(|(index, input)| suite::hash_to_group(Mode::Oprf, input, index))
            .collect::<Result<Vec<RistrettoPoint>, _>>()?;
        let tokens = inputs
            .iter()
            .zip(multiply(&self.0, &points))
            .map(|(input, encoding)| CoalitionToken::new(suite::finalise(input, &encoding)))
            .collect();
        Ok(tokens)
    }
}
