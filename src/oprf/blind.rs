//! The member's first step: hide each linkage key in a random group element.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::MAX_BATCH;
use super::element::BlindedElement;
use super::error::OprfError;
use super::hmac::HmacKey;
use super::suite::{self, Mode};

/// The secret from which all blinds of one batch follow. One seed, one batch.
///
/// Cannot be printed; overwritten when dropped. Kept sealed beside the batch's record, it lets an
/// ombudsman have single elements opened; destroyed, none can be.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct BatchSeed([u8; 32]);

impl BatchSeed {
    /// Draws a new seed.
    #[must_use]
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self(*bytes)
    }

    /// Takes up a stored seed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The bytes to seal.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The blind of the element at `index` (from 0): what is revealed to open that element.
    ///
    /// `HKDF-Expand(seed, "wayhome/oprf/blind/v1" || index (4 bytes, big endian), 64 bytes)` with
    /// SHA-512, taken as a little-endian number modulo the group's order (a bias below 2^-250).
    /// One blind says nothing about the seed or another blind.
    #[must_use]
    pub fn open(&self, index: u32) -> Blind {
        Blind(derive_blind(&HmacKey::new(&self.0), index))
    }
}

/// The blind of one element. Secret until the element is opened.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Blind(Scalar);

impl Blind {
    /// Reads a blind that was handed over for an opening.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, OprfError> {
        suite::decode_scalar(bytes, "a blind").map(Self)
    }

    /// The bytes to hand over.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

/// Does `blinded` hide this very input? The ombudsman's check of an opened element.
pub fn check_opening(
    blind: &Blind,
    input: &[u8],
    blinded: &BlindedElement,
) -> Result<(), OprfError> {
    let point = suite::hash_to_group(Mode::Oprf, input, 0)? + RistrettoPoint::mul_base(&blind.0);
    if BlindedElement::encode(&point) == *blinded {
        Ok(())
    } else {
        Err(OprfError::Opening)
    }
}

/// A batch as it travels, parsed: 1 to [`MAX_BATCH`] valid elements. Public.
#[derive(Clone)]
pub struct BlindedBatch {
    elements: Vec<[u8; 32]>,
    points: Vec<RistrettoPoint>,
    digest: [u8; 64],
}

impl BlindedBatch {
    /// What a keyholder does first with what it received: refuses empty and oversize batches,
    /// encodings that are not canonical, and the identity.
    pub fn parse(elements: &[BlindedElement]) -> Result<Self, OprfError> {
        check_size(elements.len())?;
        let points = elements
            .iter()
            .enumerate()
            .map(|(index, element)| {
                element
                    .decode()
                    .map_err(|fault| OprfError::Element { index, fault })
            })
            .collect::<Result<_, _>>()?;
        let elements = elements.iter().map(|element| *element.as_bytes()).collect();
        Ok(Self::from_parts(elements, points))
    }

    fn from_parts(elements: Vec<[u8; 32]>, points: Vec<RistrettoPoint>) -> Self {
        let digest = Sha512::digest(elements.as_flattened()).into();
        Self {
            elements,
            points,
            digest,
        }
    }

    /// The elements, in order.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = BlindedElement> {
        self.elements.iter().copied().map(BlindedElement::from)
    }

    /// How many, 1 to [`MAX_BATCH`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub(super) fn encodings(&self) -> &[[u8; 32]] {
        &self.elements
    }

    pub(super) fn points(&self) -> &[RistrettoPoint] {
        &self.points
    }

    /// Identifies the batch, to keep answers to different batches apart.
    pub(super) fn digest(&self) -> &[u8; 64] {
        &self.digest
    }
}

/// A batch with the member's secrets: what it keeps until the answers are there.
///
/// Need not be stored: [`blind`] makes the same again from the seed and the inputs.
pub struct Blinded {
    batch: BlindedBatch,
    blinds: Zeroizing<Vec<Scalar>>,
    inputs: Zeroizing<[u8; 64]>,
}

impl Blinded {
    /// What is sent to the keyholders.
    #[must_use]
    pub fn batch(&self) -> &BlindedBatch {
        &self.batch
    }

    pub(super) fn blinds(&self) -> &[Scalar] {
        &self.blinds
    }

    /// Are these the inputs that were blinded?
    pub(super) fn check_inputs(&self, inputs: &[&[u8]]) -> Result<(), OprfError> {
        if inputs.len() == self.blinds.len() && *digest_inputs(inputs) == *self.inputs {
            Ok(())
        } else {
            Err(OprfError::OtherInputs)
        }
    }
}

/// Blinds 1 to [`MAX_BATCH`] inputs of up to [`super::MAX_INPUT`] bytes: `C_i = H(x_i) + r_i·G`.
///
/// A seed must never blind two different batches: equal indexes would share a blind, and the
/// difference of two elements would tell whether their inputs are equal.
pub fn blind(seed: &BatchSeed, inputs: &[&[u8]]) -> Result<Blinded, OprfError> {
    check_size(inputs.len())?;
    let key = HmacKey::new(&seed.0);
    let mut blinds = Zeroizing::new(Vec::with_capacity(inputs.len()));
    let mut points = Vec::with_capacity(inputs.len());
    let mut elements = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let blind = derive_blind(&key, index as u32);
        let point =
            suite::hash_to_group(Mode::Oprf, input, index)? + RistrettoPoint::mul_base(&blind);
        if point.is_identity() {
            return Err(OprfError::DegenerateInput { index });
        }
        elements.push(point.compress().to_bytes());
        points.push(point);
        blinds.push(blind);
    }
    let batch = BlindedBatch::from_parts(elements, points);
    Ok(Blinded {
        batch,
        blinds,
        inputs: digest_inputs(inputs),
    })
}

pub(super) fn check_size(count: usize) -> Result<(), OprfError> {
    if (1..=MAX_BATCH).contains(&count) {
        Ok(())
    } else {
        Err(OprfError::BatchSize { count })
    }
}

fn derive_blind(key: &HmacKey, index: u32) -> Scalar {
    let mut wide = key.expand(&[b"wayhome/oprf/blind/v1", &index.to_be_bytes()]);
    let blind = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    blind
}

fn digest_inputs(inputs: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut hash = Sha512::new();
    for input in inputs {
        hash.update((input.len() as u64).to_be_bytes());
        hash.update(input);
    }
    Zeroizing::new(hash.finalize().into())
}
