//! Between this module's types and those of `frost-ristretto255`.

use std::collections::{BTreeMap, BTreeSet};

use curve25519_dalek::scalar::Scalar;
use frost_ristretto255::keys::{KeyPackage, PublicKeyPackage, SigningShare, VerifyingShare};
use frost_ristretto255::{Error, Identifier, VerifyingKey};
use zeroize::Zeroizing;

use super::super::{CoalitionKey, KeyShare, OprfError, PublicPoint};
use super::error::CeremonyError;

pub(super) fn identifier(id: u16) -> Result<Identifier, CeremonyError> {
    Ok(Identifier::try_from(id)?)
}

pub(super) fn identifiers(ids: &BTreeSet<u16>) -> Result<Vec<Identifier>, CeremonyError> {
    ids.iter().map(|id| identifier(*id)).collect()
}

pub(super) fn signing_share(scalar: &Scalar) -> Result<SigningShare, Error> {
    SigningShare::deserialize(scalar.as_bytes())
}

pub(super) fn key_package(
    key: &CoalitionKey,
    share: &KeyShare,
) -> Result<KeyPackage, CeremonyError> {
    Ok(KeyPackage::new(
        identifier(share.identifier())?,
        signing_share(share.secret())?,
        VerifyingShare::deserialize(share.verifying_share().as_bytes())?,
        VerifyingKey::deserialize(key.public().as_bytes())?,
        key.threshold(),
    ))
}

pub(super) fn public_package(key: &CoalitionKey) -> Result<PublicKeyPackage, CeremonyError> {
    let shares = key
        .verifying_shares()
        .map(|(id, share)| {
            Ok((
                identifier(id)?,
                VerifyingShare::deserialize(share.as_bytes())?,
            ))
        })
        .collect::<Result<_, CeremonyError>>()?;
    let public = VerifyingKey::deserialize(key.public().as_bytes())?;
    Ok(PublicKeyPackage::new(shares, public, Some(key.threshold())))
}

pub(super) fn coalition_key(
    epoch: u32,
    threshold: u16,
    participants: &BTreeSet<u16>,
    package: &PublicKeyPackage,
) -> Result<CoalitionKey, CeremonyError> {
    let shares = participants
        .iter()
        .map(|&id| {
            let share = package
                .verifying_shares()
                .get(&identifier(id)?)
                .ok_or(OprfError::UnknownKeyholder { keyholder: id })?;
            Ok((id, point(&share.serialize()?)?))
        })
        .collect::<Result<BTreeMap<_, _>, CeremonyError>>()?;
    let public = point(&package.verifying_key().serialize()?)?;
    Ok(CoalitionKey::new(epoch, threshold, public, &shares)?)
}

pub(super) fn key_share(id: u16, package: &KeyPackage) -> Result<KeyShare, CeremonyError> {
    let scalar = scalar(&Zeroizing::new(package.signing_share().serialize()))?;
    Ok(KeyShare::new(id, *scalar)?)
}

/// A scalar as the library serialises it.
pub(super) fn scalar(bytes: &[u8]) -> Result<Zeroizing<Scalar>, CeremonyError> {
    let bytes = Zeroizing::new(array(bytes)?);
    Option::from(Scalar::from_canonical_bytes(*bytes))
        .map(Zeroizing::new)
        .ok_or(CeremonyError::Library(Error::MalformedSigningKey))
}

fn point(bytes: &[u8]) -> Result<PublicPoint, CeremonyError> {
    Ok(PublicPoint::new(array(bytes)?))
}

fn array(bytes: &[u8]) -> Result<[u8; 32], CeremonyError> {
    bytes
        .try_into()
        .map_err(|_| CeremonyError::Library(Error::MalformedVerifyingKey))
}
