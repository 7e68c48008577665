//! The ciphersuite OPRF(ristretto255, SHA-512) of RFC 9497, section 4.1.
//!
//! `hash_to_ristretto255` and the scalar hash both stand on `expand_message_xmd` with SHA-512
//! (RFC 9380, section 5.3.1), here for the one output length that the suite needs: 64 bytes, which
//! is a single block of the expander.

use std::sync::LazyLock;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};
use zeroize::Zeroize;

use super::{MAX_INPUT, OprfError};

/// The modes of RFC 9497 in use here (section 3.1); they separate the hash domains.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    /// 0x00, for coalition tokens.
    Oprf,
    /// 0x01, for pseudonyms.
    Voprf,
}

impl Mode {
    fn hash_to_group_tag(self) -> &'static [u8] {
        match self {
            Mode::Oprf => b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512",
            Mode::Voprf => b"HashToGroup-OPRFV1-\x01-ristretto255-SHA512",
        }
    }
}

/// `G.HashToGroup(input)`; `index` only names the input in errors.
pub(super) fn hash_to_group(
    mode: Mode,
    input: &[u8],
    index: usize,
) -> Result<RistrettoPoint, OprfError> {
    if input.len() > MAX_INPUT {
        return Err(OprfError::InputTooLong {
            index,
            length: input.len(),
        });
    }
    let mut message = Expander::new();
    message.update(input);
    let mut uniform = message.finish(mode.hash_to_group_tag());
    let point = RistrettoPoint::from_uniform_bytes(&uniform);
    uniform.zeroize();
    if point.is_identity() {
        return Err(OprfError::DegenerateInput { index });
    }
    Ok(point)
}

/// `Finalize`'s hash (RFC 9497, section 3.3.1) over the input and the encoded `k·H(input)`.
///
/// The input's length was checked when it was hashed to the group.
pub(super) fn finalise(input: &[u8], evaluated: &[u8; 32]) -> [u8; 64] {
    Sha512::new()
        .chain_update((input.len() as u16).to_be_bytes())
        .chain_update(input)
        .chain_update(32u16.to_be_bytes())
        .chain_update(evaluated)
        .chain_update(b"Finalize")
        .finalize()
        .into()
}

/// `expand_message_xmd` with SHA-512 for 64 bytes of output, fed piece by piece.
///
/// Cloning one keeps a common prefix, so that a batch hashes it once.
#[derive(Clone)]
pub(super) struct Expander(Sha512);

impl Expander {
    pub(super) fn new() -> Self {
        /// The state after the block of zeros that every message begins with.
        static PADDED: LazyLock<Sha512> = LazyLock::new(|| Sha512::new().chain_update([0u8; 128]));
        Self(PADDED.clone())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The 64 bytes under a domain separation tag of at most 255 bytes.
    pub(super) fn finish(self, tag: &[u8]) -> [u8; 64] {
        debug_assert!(tag.len() <= 255);
        let tag_length = [tag.len() as u8];
        let first = self
            .0
            .chain_update(64u16.to_be_bytes())
            .chain_update([0u8])
            .chain_update(tag)
            .chain_update(tag_length)
            .finalize();
        Sha512::new()
            .chain_update(first)
            .chain_update([1u8])
            .chain_update(tag)
            .chain_update(tag_length)
            .finalize()
            .into()
    }

    /// The same, reduced to a scalar: the suite's `HashToScalar`.
    pub(super) fn finish_scalar(self, tag: &[u8]) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.finish(tag))
    }
}

/// A canonical non-zero scalar from bytes.
pub(super) fn decode_scalar(bytes: [u8; 32], what: &'static str) -> Result<Scalar, OprfError> {
    Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes))
        .filter(|scalar| *scalar != Scalar::ZERO)
        .ok_or(OprfError::Scalar { what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use elliptic_curve::hash2curve::{ExpandMsg, ExpandMsgXmd, Expander as _};

    #[test]
    fn expander_agrees_with_an_independent_one() {
        for length in [0, 1, 31, 127, 128, 129, 1000, MAX_INPUT] {
            let message: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let tag = b"HashToScalar-a tag of ours";
            let mut ours = Expander::new();
            let (head, tail) = message.split_at(length / 3);
            ours.update(head);
            ours.update(tail);
            let mut theirs = [0u8; 64];
            ExpandMsgXmd::<Sha512>::expand_message(&[&message], &[tag], 64)
                .unwrap()
                .fill_bytes(&mut theirs);
            assert_eq!(ours.finish(tag), theirs, "length {length}");
        }
    }

    #[test]
    fn an_overlong_input_is_refused() {
        let input = vec![0; MAX_INPUT + 1];
        assert_eq!(
            hash_to_group(Mode::Oprf, &input, 7).unwrap_err(),
            OprfError::InputTooLong {
                index: 7,
                length: 65_536
            }
        );
        assert!(hash_to_group(Mode::Oprf, &input[1..], 7).is_ok());
    }
}
