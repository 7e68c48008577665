//! The protocol as a whole: against RFC 9497's vectors, against an independent implementation, and
//! against keyholders and members that lie.

mod differential;
mod lies;
mod protocol;
mod vectors;

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;

/// RFC 9497, appendix A.1.1: `skSm` of mode OPRF.
const RFC_KEY: &str = "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e";

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn scalar(hex: &str) -> Scalar {
    let bytes = hex::decode(hex).unwrap().try_into().unwrap();
    Scalar::from_canonical_bytes(bytes).unwrap()
}

/// Shares a known key, which only a test may do.
fn deal(
    secret: Scalar,
    threshold: u16,
    identifiers: &[u16],
    rng: &mut ChaCha20Rng,
) -> (CoalitionKey, Vec<KeyShare>) {
    let mut coefficients = vec![secret];
    coefficients.extend((1..threshold).map(|_| Scalar::random(rng)));
    let shares: Vec<KeyShare> = identifiers
        .iter()
        .map(|&id| {
            let x = Scalar::from(id);
            let value = coefficients
                .iter()
                .rev()
                .fold(Scalar::ZERO, |sum, c| sum * x + c);
            KeyShare::new(id, value).unwrap()
        })
        .collect();
    let verifying: BTreeMap<u16, PublicPoint> = shares
        .iter()
        .map(|share| (share.identifier(), share.verifying_share()))
        .collect();
    let public = PublicPoint::encode(&RistrettoPoint::mul_base(&secret));
    (
        CoalitionKey::new(1, threshold, public, &verifying).unwrap(),
        shares,
    )
}

/// The whole way for one batch.
fn evaluate_all(
    key: &CoalitionKey,
    shares: &[&KeyShare],
    inputs: &[&[u8]],
    rng: &mut ChaCha20Rng,
) -> Result<Vec<CoalitionToken>, OprfError> {
    let blinded = blind(&BatchSeed::generate(rng), inputs)?;
    let identifiers: Vec<u16> = shares.iter().map(|share| share.identifier()).collect();
    let subset = key.subset(&identifiers)?;
    let sent: Vec<BlindedElement> = blinded.batch().elements().collect();
    let verified = shares
        .iter()
        .map(|share| {
            let received = BlindedBatch::parse(&sent)?;
            let answer = evaluate(share, &subset, &received, rng)?;
            verify(key, &subset, share.identifier(), blinded.batch(), &answer)
        })
        .collect::<Result<Vec<_>, _>>()?;
    combine(key, &blinded, inputs, &verified)
}
