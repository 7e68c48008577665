//! One proof for a whole batch that all of it was multiplied by the same secret.
//!
//! RFC 9497, section 2.2: the batch is folded into one pair of points by weights that a hash of the
//! batch fixes (`ComputeComposites`), and for that pair the prover shows that the discrete
//! logarithms agree (Chaum and Pedersen, made non-interactive). A prover that cheats on any element
//! would have to find a batch whose weights cancel the error.
//!
//! Folding costs two multi-scalar multiplications over public values; those may take variable time.
//! What touches the secret does not.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use sha2::{Digest, Sha512};

use super::hmac::HmacKey;
use super::suite::Expander;

/// The hash domain of a proof. Proofs of one context mean nothing in another.
#[derive(Clone, Copy)]
pub(super) struct Context {
    seed_tag: &'static [u8],
    scalar_tag: &'static [u8],
}

/// Between keyholders and members.
pub(super) const COALITION: Context = Context {
    seed_tag: b"Seed-wayhome/oprf/v1-ristretto255-SHA512",
    scalar_tag: b"HashToScalar-wayhome/oprf/v1-ristretto255-SHA512",
};

/// RFC 9497's own, mode VOPRF (0x01): for pseudonyms.
pub(super) const RFC_VOPRF: Context = Context {
    seed_tag: b"Seed-OPRFV1-\x01-ristretto255-SHA512",
    scalar_tag: b"HashToScalar-OPRFV1-\x01-ristretto255-SHA512",
};

/// A proof of equal discrete logarithms: the scalars `c` and `s`, 32 bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof([u8; 64]);

impl Proof {
    /// Wraps 64 bytes; they are checked where the proof is.
    #[must_use]
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The encoding `c || s`, as RFC 9497 writes proofs.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    fn encode(c: &Scalar, s: &Scalar) -> Self {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(c.as_bytes());
        bytes[32..].copy_from_slice(s.as_bytes());
        Self(bytes)
    }

    fn decode(&self) -> Option<(Scalar, Scalar)> {
        let (c, s) = self.0.split_at(32);
        let scalar = |bytes: &[u8]| {
            Option::from(Scalar::from_canonical_bytes(
                <[u8; 32]>::try_from(bytes).ok()?,
            ))
        };
        Some((scalar(c)?, scalar(s)?))
    }
}

impl From<[u8; 64]> for Proof {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

/// Why a proof was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Encoding,
    DoesNotHold,
}

/// One side of a batch: points with their encodings, of the same number.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) points: &'a [RistrettoPoint],
    pub(super) encodings: &'a [[u8; 32]],
}

/// `GenerateProof` (section 2.2.1) for `outputs[i] = secret · inputs[i]`.
///
/// `fresh` is 32 random bytes. The nonce is derived from them, the secret and the statement, so
/// even a generator that repeats itself does not reveal the secret.
pub(super) fn prove(
    context: Context,
    secret: &Scalar,
    public: &[u8; 32],
    inputs: Side<'_>,
    outputs: &[[u8; 32]],
    fresh: &[u8; 32],
) -> Proof {
    prove_with_nonce(
        context,
        secret,
        public,
        inputs,
        outputs,
        |folded, times_secret| {
            let parts: [&[u8]; 5] = [
                b"wayhome/dleq/nonce/v1",
                fresh,
                public,
                folded,
                times_secret,
            ];
            Scalar::from_bytes_mod_order_wide(&HmacKey::new(secret.as_bytes()).tag(&parts))
        },
    )
}

/// The same with the nonce chosen by the caller from the folded pair, as test vectors need it.
pub(super) fn prove_with_nonce(
    context: Context,
    secret: &Scalar,
    public: &[u8; 32],
    inputs: Side<'_>,
    outputs: &[[u8; 32]],
    nonce: impl FnOnce(&[u8; 32], &[u8; 32]) -> Scalar,
) -> Proof {
    let weights = weights(context, public, inputs.encodings, outputs);
    // The key holder folds one side and multiplies; no need to fold the other (section 2.2.1,
    // ComputeCompositesFast).
    let m = RistrettoPoint::vartime_multiscalar_mul(&weights, inputs.points);
    let z = (m * secret).compress().to_bytes();
    let m_bytes = m.compress().to_bytes();
    let r = zeroize::Zeroizing::new(nonce(&m_bytes, &z));
    let t2 = RistrettoPoint::mul_base(&r).compress().to_bytes();
    let t3 = (m * *r).compress().to_bytes();
    let c = challenge(context, [public, &m_bytes, &z, &t2, &t3]);
    Proof::encode(&c, &(*r - c * secret))
}

/// `VerifyProof` (section 2.2.2).
pub(super) fn verify(
    context: Context,
    public: &RistrettoPoint,
    public_bytes: &[u8; 32],
    inputs: Side<'_>,
    outputs: Side<'_>,
    proof: &Proof,
) -> Result<(), Refused> {
    let (c, s) = proof.decode().ok_or(Refused::Encoding)?;
    let weights = weights(context, public_bytes, inputs.encodings, outputs.encodings);
    let m = RistrettoPoint::vartime_multiscalar_mul(&weights, inputs.points);
    let z = RistrettoPoint::vartime_multiscalar_mul(&weights, outputs.points);
    let t2 = RistrettoPoint::vartime_double_scalar_mul_basepoint(&c, public, &s);
    let t3 = RistrettoPoint::vartime_multiscalar_mul([s, c], [m, z]);
    let [m, z, t2, t3] = [m, z, t2, t3].map(|point| point.compress().to_bytes());
    if challenge(context, [public_bytes, &m, &z, &t2, &t3]) == c {
        Ok(())
    } else {
        Err(Refused::DoesNotHold)
    }
}

/// The weights `d_i` of `ComputeComposites`.
fn weights(
    context: Context,
    public: &[u8; 32],
    inputs: &[[u8; 32]],
    outputs: &[[u8; 32]],
) -> Vec<Scalar> {
    let seed = Sha512::new()
        .chain_update(32u16.to_be_bytes())
        .chain_update(public)
        .chain_update((context.seed_tag.len() as u16).to_be_bytes())
        .chain_update(context.seed_tag)
        .finalize();
    let mut prefix = Expander::new();
    prefix.update(&64u16.to_be_bytes());
    prefix.update(&seed);
    inputs
        .iter()
        .zip(outputs)
        .enumerate()
        .map(|(index, (input, output))| {
            let mut message = prefix.clone();
            message.update(&(index as u16).to_be_bytes());
            message.update(&32u16.to_be_bytes());
            message.update(input);
            message.update(&32u16.to_be_bytes());
            message.update(output);
            message.update(b"Composite");
            message.finish_scalar(context.scalar_tag)
        })
        .collect()
}

fn challenge(context: Context, elements: [&[u8; 32]; 5]) -> Scalar {
    let mut message = Expander::new();
    for element in elements {
        message.update(&32u16.to_be_bytes());
        message.update(element);
    }
    message.update(b"Challenge");
    message.finish_scalar(context.scalar_tag)
}
