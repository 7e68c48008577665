//! The keyholder's step, and the member's check of it.

use std::sync::LazyLock;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::blind::BlindedBatch;
use super::dleq::{self, COALITION, Proof, Refused, Side};
use super::element::{EvaluatedElement, PublicPoint};
use super::error::{KeyholderFault, OprfError};
use super::key::{CoalitionKey, KeyShare, Subset};

/// A keyholder's answer to one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// `D_i = λ·k·C_i`, in the order of the batch.
    pub elements: Vec<EvaluatedElement>,
    /// That all of them were multiplied by what the keyholder's verifying share commits to.
    pub proof: Proof,
}

/// Multiplies every element by this keyholder's share and by its Lagrange coefficient in `subset`,
/// and proves it.
///
/// The coefficient is folded in here because a keyholder multiplies anyway; the member would pay a
/// multiplication more for each keyholder and element. Takes time independent of the share.
pub fn evaluate(
    share: &KeyShare,
    subset: &Subset,
    batch: &BlindedBatch,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Evaluation, OprfError> {
    let factor = Zeroizing::new(subset.coefficient(share.identifier())? * share.secret());
    let elements = multiply(&factor, batch.points());
    let public = RistrettoPoint::mul_base(&factor).compress().to_bytes();
    let mut fresh = Zeroizing::new([0; 32]);
    rng.fill_bytes(fresh.as_mut());
    let inputs = Side {
        points: batch.points(),
        encodings: batch.encodings(),
    };
    let proof = dleq::prove(COALITION, &factor, &public, inputs, &elements, &fresh);
    let elements = elements.into_iter().map(EvaluatedElement::from).collect();
    Ok(Evaluation { elements, proof })
}

/// An answer that was checked. Made by [`verify`] only.
#[derive(Clone)]
pub struct VerifiedShare {
    pub(super) keyholder: u16,
    pub(super) subset: Subset,
    pub(super) key: PublicPoint,
    pub(super) batch: [u8; 64],
    pub(super) points: Vec<RistrettoPoint>,
}

impl VerifiedShare {
    /// Whose answer it is.
    #[must_use]
    pub fn keyholder(&self) -> u16 {
        self.keyholder
    }
}

/// Checks a keyholder's answer to `batch` against its verifying share.
///
/// An [`OprfError::Keyholder`] names the keyholder and what was wrong: the count, an encoding, or
/// the proof. Time varies with the values, all of which are public.
pub fn verify(
    key: &CoalitionKey,
    subset: &Subset,
    keyholder: u16,
    batch: &BlindedBatch,
    evaluation: &Evaluation,
) -> Result<VerifiedShare, OprfError> {
    let accuse = |fault| OprfError::Keyholder { keyholder, fault };
    let public = key.share_point(keyholder)? * subset.coefficient(keyholder)?;
    if evaluation.elements.len() != batch.len() {
        return Err(accuse(KeyholderFault::Count {
            expected: batch.len(),
            got: evaluation.elements.len(),
        }));
    }
    let mut points = Vec::with_capacity(batch.len());
    let mut encodings = Vec::with_capacity(batch.len());
    for (index, element) in evaluation.elements.iter().enumerate() {
        let point = element
            .decode()
            .map_err(|fault| accuse(KeyholderFault::Element { index, fault }))?;
        points.push(point);
        encodings.push(*element.as_bytes());
    }
    let inputs = Side {
        points: batch.points(),
        encodings: batch.encodings(),
    };
    let outputs = Side {
        points: &points,
        encodings: &encodings,
    };
    let public_bytes = public.compress().to_bytes();
    dleq::verify(
        COALITION,
        &public,
        &public_bytes,
        inputs,
        outputs,
        &evaluation.proof,
    )
    .map_err(|refused| {
        accuse(match refused {
            Refused::Encoding => KeyholderFault::ProofEncoding,
            Refused::DoesNotHold => KeyholderFault::Proof,
        })
    })?;
    Ok(VerifiedShare {
        keyholder,
        subset: subset.clone(),
        key: key.public(),
        batch: *batch.digest(),
        points,
    })
}

/// Encodings of `factor · point` for each point.
///
/// Encoding one element costs an inverse square root; encoding the doubles of many costs one
/// inversion for all. So each is multiplied by half the factor, then doubled and encoded together.
pub(super) fn multiply(factor: &Scalar, points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    static HALF: LazyLock<Scalar> = LazyLock::new(|| Scalar::from(2u8).invert());
    let half = Zeroizing::new(factor * *HALF);
    let halves: Vec<RistrettoPoint> = points.iter().map(|point| point * *half).collect();
    RistrettoPoint::double_and_compress_batch(&halves)
        .into_iter()
        .map(|encoding| encoding.to_bytes())
        .collect()
}
