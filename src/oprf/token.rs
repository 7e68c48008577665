//! Coalition tokens, and what is derived from them.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::hmac::HmacKey;

/// `T(x)`: the OPRF's output for one linkage key, 64 bytes.
///
/// Whoever holds it can recognise the linkage key in any index of the epoch, so it is kept sealed
/// and never sent. Cannot be printed; overwritten when dropped; compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CoalitionToken([u8; 64]);

impl CoalitionToken {
    pub(super) fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Takes up a stored token.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        Self(*bytes)
    }

    /// The bytes to seal.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The next month's token: `HKDF-Expand(T, "wayhome/ratchet/v1", 64 bytes)`.
    ///
    /// One-way: from the new token the old one, and so past traffic, cannot be recovered.
    #[must_use]
    pub fn ratchet(&self) -> Self {
        Self(HmacKey::new(&self.0).expand(&[b"wayhome/ratchet/v1"]))
    }

    /// Prepares for lookups at several holders, each of which then costs half.
    #[must_use]
    pub fn lookup_key(&self) -> LookupKey {
        LookupKey(HmacKey::new(&self.0))
    }
}

impl PartialEq for CoalitionToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for CoalitionToken {}

/// A coalition token absorbed as the key of HKDF. As secret as the token.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LookupKey(HmacKey);

impl LookupKey {
    /// `L(x, P, epoch)` for the holder P with member id `holder`.
    ///
    /// `HKDF-Expand(T, "wayhome/lookup/v1" || epoch || holder, 16 bytes)` with SHA-512 (RFC 5869,
    /// section 2.3). The extract step is left out, as section 3.3 allows: T is already the output
    /// of a pseudorandom function. `epoch` takes 4 bytes, big endian; `holder` is the rest of the
    /// string, in UTF-8. No two pairs give the same string, as all before `holder` has one length.
    #[must_use]
    pub fn token(&self, epoch: u32, holder: &str) -> LookupToken {
        let mut block = self.0.expand(&[
            b"wayhome/lookup/v1",
            &epoch.to_be_bytes(),
            holder.as_bytes(),
        ]);
        let mut token = [0; 16];
        token.copy_from_slice(&block[..16]);
        block.zeroize();
        LookupToken(token)
    }
}

/// The lookup token of `token` at one holder; for several holders see
/// [`CoalitionToken::lookup_key`].
#[must_use]
pub fn lookup_token(token: &CoalitionToken, epoch: u32, holder: &str) -> LookupToken {
    token.lookup_key().token(epoch, holder)
}

/// What lies in a holder's index and what a requester sends to that holder: 16 bytes.
///
/// 128 bits of a pseudorandom function: among 2^32 tokens in an index, a random one is found by
/// chance with probability 2^-96.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupToken([u8; 16]);

impl LookupToken {
    /// Takes up a stored or received token. Any 16 bytes are one.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store or send.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for LookupToken {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Never shows the bytes: they link a query to a record.
impl fmt::Debug for LookupToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupToken(..)")
    }
}
