//! The member's last step: add the answers, remove the blinds, hash.

use curve25519_dalek::ristretto::RistrettoPoint;

use super::blind::Blinded;
use super::error::OprfError;
use super::evaluate::VerifiedShare;
use super::key::CoalitionKey;
use super::suite;
use super::token::CoalitionToken;

/// Makes the coalition tokens of a batch from `t` verified answers, one of each keyholder of the
/// subset, in any order. `inputs` are those that were blinded, in the same order.
///
/// Token `i` equals `Finalize` of RFC 9497 (mode OPRF) for `inputs[i]` under the coalition's key.
pub fn combine(
    key: &CoalitionKey,
    blinded: &Blinded,
    inputs: &[&[u8]],
    shares: &[VerifiedShare],
) -> Result<Vec<CoalitionToken>, OprfError> {
    blinded.check_inputs(inputs)?;
    check_assembly(key, blinded, shares)?;
    let table = key.table();
    let tokens = inputs
        .iter()
        .zip(blinded.blinds())
        .enumerate()
        .map(|(index, (input, blind))| {
            let blinded_result: RistrettoPoint =
                shares.iter().map(|share| share.points[index]).sum();
            let result = blinded_result - table * blind;
            CoalitionToken::new(suite::finalise(input, result.compress().as_bytes()))
        })
        .collect();
    Ok(tokens)
}

/// The sum is the key's only if every coefficient of one subset occurs once.
fn check_assembly(
    key: &CoalitionKey,
    blinded: &Blinded,
    shares: &[VerifiedShare],
) -> Result<(), OprfError> {
    let subset = &shares.first().ok_or(OprfError::Assembly)?.subset;
    let mut keyholders: Vec<u16> = shares.iter().map(|share| share.keyholder).collect();
    keyholders.sort_unstable();
    let fits = keyholders == subset.members()
        && subset.members().len() == usize::from(key.threshold())
        && shares.iter().all(|share| {
            share.subset == *subset
                && share.key == key.public()
                && share.batch == *blinded.batch().digest()
        });
    if fits {
        Ok(())
    } else {
        Err(OprfError::Assembly)
    }
}
