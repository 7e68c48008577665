//! The coalition key: shares, verifying shares, and the subsets that evaluate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use curve25519_dalek::ristretto::{RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::element::PublicPoint;
use super::error::{KeyholderFault, OprfError};
use super::suite::decode_scalar;

/// The most keyholders that one key may have.
pub const MAX_KEYHOLDERS: usize = 255;

/// A keyholder's share of the coalition key: the value of the secret polynomial at its identifier.
///
/// Cannot be printed; overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyShare {
    identifier: u16,
    secret: Scalar,
}

impl KeyShare {
    /// Length of the stored form in bytes.
    pub const LENGTH: usize = 34;

    pub(super) fn new(identifier: u16, secret: Scalar) -> Result<Self, OprfError> {
        if identifier == 0 {
            return Err(OprfError::ZeroIdentifier);
        }
        if secret == Scalar::ZERO {
            return Err(OprfError::Scalar {
                what: "a key share",
            });
        }
        Ok(Self { identifier, secret })
    }

    /// Reads the stored form: identifier (2 bytes, big endian), then the scalar (32 bytes, little
    /// endian as in RFC 9496).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OprfError> {
        let wrong = OprfError::Length {
            what: "a key share",
            expected: Self::LENGTH,
            got: bytes.len(),
        };
        let (identifier, secret) = bytes.split_first_chunk::<2>().ok_or(wrong.clone())?;
        let secret = Zeroizing::new(<[u8; 32]>::try_from(secret).map_err(|_| wrong)?);
        Self::new(
            u16::from_be_bytes(*identifier),
            decode_scalar(*secret, "a key share")?,
        )
    }

    /// The stored form. Seal it before it is written anywhere.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LENGTH]> {
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        bytes[..2].copy_from_slice(&self.identifier.to_be_bytes());
        bytes[2..].copy_from_slice(self.secret.as_bytes());
        bytes
    }

    /// The keyholder's identifier, never 0.
    #[must_use]
    pub const fn identifier(&self) -> u16 {
        self.identifier
    }

    /// The public counterpart of this share.
    #[must_use]
    pub fn verifying_share(&self) -> PublicPoint {
        PublicPoint::encode(&RistrettoPoint::mul_base(&self.secret))
    }

    pub(super) fn secret(&self) -> &Scalar {
        &self.secret
    }
}

/// The public half of a coalition key, as a roster states it. Cheap to clone.
///
/// Holding one means that its parts were checked: every point decodes, and the verifying shares of
/// all `n` keyholders lie on one polynomial of degree `t - 1` with the public key at zero.
#[derive(Clone)]
pub struct CoalitionKey(Arc<Inner>);

struct Inner {
    epoch: u32,
    threshold: u16,
    public: PublicPoint,
    public_point: RistrettoPoint,
    shares: BTreeMap<u16, (PublicPoint, RistrettoPoint)>,
    /// Multiples of the public key, for unblinding: 30 KiB and a millisecond, so only when used.
    table: OnceLock<RistrettoBasepointTable>,
}

impl CoalitionKey {
    /// Checks the parts of a coalition key against each other.
    ///
    /// `threshold` is t, the number of keyholders that an evaluation takes (at least 2);
    /// `verifying_shares` maps each keyholder's identifier to its share times the generator.
    pub fn new(
        epoch: u32,
        threshold: u16,
        public: PublicPoint,
        verifying_shares: &BTreeMap<u16, PublicPoint>,
    ) -> Result<Self, OprfError> {
        let keyholders = verifying_shares.len();
        if threshold < 2 || usize::from(threshold) > keyholders || keyholders > MAX_KEYHOLDERS {
            return Err(OprfError::Threshold {
                threshold,
                keyholders,
            });
        }
        let public_point = public
            .decode()
            .map_err(|fault| OprfError::PublicKey { fault })?;
        let mut shares = BTreeMap::new();
        for (&keyholder, share) in verifying_shares {
            if keyholder == 0 {
                return Err(OprfError::ZeroIdentifier);
            }
            let point = share.decode().map_err(|fault| OprfError::Keyholder {
                keyholder,
                fault: KeyholderFault::VerifyingShare { fault },
            })?;
            shares.insert(keyholder, (*share, point));
        }
        // The public key takes part as the point at zero.
        let mut points: Vec<(u16, RistrettoPoint)> = vec![(0, public_point)];
        points.extend(shares.iter().map(|(&id, &(_, point))| (id, point)));
        if !on_one_polynomial(&points, threshold) {
            return Err(OprfError::InconsistentShares {
                suspect: odd_one(&points, threshold),
            });
        }
        let table = OnceLock::new();
        Ok(Self(Arc::new(Inner {
            epoch,
            threshold,
            public,
            public_point,
            shares,
            table,
        })))
    }

    /// The key epoch: which coalition key this is, counted by the roster.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.0.epoch
    }

    /// How many keyholders one evaluation takes (t).
    #[must_use]
    pub fn threshold(&self) -> u16 {
        self.0.threshold
    }

    /// The public key `K = k·G`.
    #[must_use]
    pub fn public(&self) -> PublicPoint {
        self.0.public
    }

    /// Each keyholder's verifying share, by identifier, ascending.
    pub fn verifying_shares(&self) -> impl Iterator<Item = (u16, PublicPoint)> {
        self.0.shares.iter().map(|(&id, &(share, _))| (id, share))
    }

    /// Names the keyholders of an evaluation: exactly `t` different ones of this key, in any order.
    pub fn subset(&self, keyholders: &[u16]) -> Result<Subset, OprfError> {
        let mut members = keyholders.to_vec();
        members.sort_unstable();
        if let Some(pair) = members.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(OprfError::SubsetRepeats { keyholder: pair[0] });
        }
        if let Some(&keyholder) = members.iter().find(|id| !self.0.shares.contains_key(id)) {
            return Err(OprfError::UnknownKeyholder { keyholder });
        }
        if members.len() != usize::from(self.0.threshold) {
            return Err(OprfError::SubsetSize {
                threshold: self.0.threshold,
                count: members.len(),
            });
        }
        let coefficients = lagrange(&members, 0);
        Ok(Subset {
            members,
            coefficients,
        })
    }

    /// Does this share belong to this key? To be asked when a keyholder starts.
    pub fn check_share(&self, share: &KeyShare) -> Result<(), OprfError> {
        let keyholder = share.identifier;
        let (expected, _) = self
            .0
            .shares
            .get(&keyholder)
            .ok_or(OprfError::UnknownKeyholder { keyholder })?;
        if share.verifying_share() != *expected {
            return Err(OprfError::ShareMismatch { keyholder });
        }
        Ok(())
    }

    /// The verifying share that belongs to `identifier` on this key's polynomial, whether or not
    /// that keyholder exists yet. `None` for 0, and for the one-in-2^252 case of the identity.
    pub(super) fn verifying_share_at(&self, identifier: u16) -> Option<PublicPoint> {
        if identifier == 0 {
            return None;
        }
        if let Some((share, _)) = self.0.shares.get(&identifier) {
            return Some(*share);
        }
        let points: Vec<_> = self
            .0
            .shares
            .iter()
            .take(usize::from(self.0.threshold))
            .map(|(&id, &(_, point))| (id, point))
            .collect();
        let share = PublicPoint::encode(&interpolate(&points, identifier));
        share.decode().ok().map(|_| share)
    }

    pub(super) fn share_point(&self, keyholder: u16) -> Result<&RistrettoPoint, OprfError> {
        self.0
            .shares
            .get(&keyholder)
            .map(|(_, point)| point)
            .ok_or(OprfError::UnknownKeyholder { keyholder })
    }

    pub(super) fn table(&self) -> &RistrettoBasepointTable {
        self.0
            .table
            .get_or_init(|| RistrettoBasepointTable::create(&self.0.public_point))
    }
}

impl PartialEq for CoalitionKey {
    fn eq(&self, other: &Self) -> bool {
        self.epoch() == other.epoch()
            && self.threshold() == other.threshold()
            && self.public() == other.public()
            && self.verifying_shares().eq(other.verifying_shares())
    }
}

impl Eq for CoalitionKey {}

impl fmt::Debug for CoalitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalitionKey")
            .field("epoch", &self.epoch())
            .field("threshold", &self.threshold())
            .field("keyholders", &self.0.shares.keys())
            .finish_non_exhaustive()
    }
}

/// The `t` keyholders of one evaluation, with the weight of each.
///
/// Made by [`CoalitionKey::subset`] only, so it is complete, without repetition and known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    members: Vec<u16>,
    /// Lagrange coefficients at zero, in the order of `members`.
    coefficients: Vec<Scalar>,
}

impl Subset {
    /// The identifiers, ascending.
    #[must_use]
    pub fn members(&self) -> &[u16] {
        &self.members
    }

    /// The Lagrange coefficient at zero of one member.
    pub(super) fn coefficient(&self, keyholder: u16) -> Result<&Scalar, OprfError> {
        self.members
            .binary_search(&keyholder)
            .map(|position| &self.coefficients[position])
            .map_err(|_| OprfError::NotInSubset { keyholder })
    }
}

/// Lagrange coefficients at `x` for the values of a polynomial at `identifiers`, which differ.
pub(super) fn lagrange(identifiers: &[u16], x: u16) -> Vec<Scalar> {
    let x = Scalar::from(x);
    let scalars: Vec<Scalar> = identifiers.iter().map(|&id| Scalar::from(id)).collect();
    let others = |i: usize| {
        scalars
            .iter()
            .enumerate()
            .filter(move |(j, _)| *j != i)
            .map(|(_, scalar)| scalar)
    };
    let mut denominators: Vec<Scalar> = (0..scalars.len())
        .map(|i| others(i).map(|other| scalars[i] - other).product())
        .collect();
    Scalar::batch_invert(&mut denominators);
    denominators
        .iter()
        .enumerate()
        .map(|(i, inverse)| others(i).map(|other| x - other).product::<Scalar>() * inverse)
        .collect()
}

/// The value at `x` of the polynomial of degree `points.len() - 1` through `points`.
pub(super) fn interpolate(points: &[(u16, RistrettoPoint)], x: u16) -> RistrettoPoint {
    let identifiers: Vec<u16> = points.iter().map(|(id, _)| *id).collect();
    RistrettoPoint::vartime_multiscalar_mul(
        lagrange(&identifiers, x),
        points.iter().map(|(_, point)| point),
    )
}

/// Do all points lie on one polynomial of degree `threshold - 1`?
fn on_one_polynomial(points: &[(u16, RistrettoPoint)], threshold: u16) -> bool {
    let (base, rest) = points.split_at(usize::from(threshold).min(points.len()));
    rest.iter()
        .all(|(id, point)| interpolate(base, *id) == *point)
}

/// The one keyholder without whom the rest would fit, if the rest says anything at all.
fn odd_one(points: &[(u16, RistrettoPoint)], threshold: u16) -> Option<u16> {
    if points.len() < usize::from(threshold) + 2 {
        return None;
    }
    let mut suspects = points.iter().map(|(id, _)| *id).filter(|suspect| {
        let others: Vec<_> = points
            .iter()
            .filter(|(id, _)| id != suspect)
            .copied()
            .collect();
        *suspect != 0 && on_one_polynomial(&others, threshold)
    });
    let first = suspects.next()?;
    suspects.next().is_none().then_some(first)
}
