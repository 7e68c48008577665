//! Messages between keyholders, as bytes.
//!
//! Every message begins with its kind (1 byte), the binding of its plan (32 bytes) and its sender
//! (2 bytes, big endian). Fixed lengths follow, so there is one encoding of each message.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::super::PublicPoint;
use super::error::CeremonyError;

/// A message for all keyholders. Part of the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicMessage(Vec<u8>);

impl PublicMessage {
    /// Takes up bytes as received; they are checked where they are used.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to sign and send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A message for one keyholder, to be encrypted to that one. Cannot be printed; overwritten when
/// dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretMessage(Vec<u8>);

impl SecretMessage {
    /// Takes up bytes as received and decrypted; they are checked where they are used.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to encrypt and send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Digest of the public messages of a ceremony, for keyholders to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranscriptDigest([u8; 32]);

impl TranscriptDigest {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Over the plan's binding and all public messages in the order of their senders.
    pub(super) fn of(binding: &Binding, messages: &BTreeMap<u16, PublicMessage>) -> Self {
        let mut hash = Sha512::new().chain_update(b"wayhome/ceremony/transcript/v1");
        hash.update(binding);
        for (sender, message) in messages {
            hash.update(sender.to_be_bytes());
            hash.update((message.0.len() as u64).to_be_bytes());
            hash.update(&message.0);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&hash.finalize()[..32]);
        Self(digest)
    }
}

/// Digest of a plan: ties every message and state to it.
pub(super) type Binding = [u8; 32];

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    DkgCommitments = 1,
    DkgShare = 2,
    RefreshCommitments = 3,
    RefreshShare = 4,
    RepairCommitments = 5,
    RepairPart = 6,
    RepairAnswer = 7,
    DkgState = 8,
    RefreshState = 9,
    RepairState = 10,
}

/// Writes a message. Secret ones are written here too, so the buffer must not grow.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: Kind, binding: &Binding, sender: u16, body: usize) -> Self {
        let mut bytes = Vec::with_capacity(35 + body);
        bytes.push(kind as u8);
        bytes.extend_from_slice(binding);
        bytes.extend_from_slice(&sender.to_be_bytes());
        Self(bytes)
    }

    pub(super) fn put(mut self, bytes: &[u8]) -> Self {
        debug_assert!(self.0.len() + bytes.len() <= self.0.capacity());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn public(self) -> PublicMessage {
        PublicMessage(self.0)
    }

    pub(super) fn secret(self) -> SecretMessage {
        SecretMessage(self.0)
    }

    pub(super) fn state(self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0)
    }
}

/// Reads a message of the keyholder it came from; every fault is that keyholder's.
pub(super) struct Reader<'a> {
    keyholder: u16,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks kind, plan and sender.
    pub(super) fn open(
        bytes: &'a [u8],
        kind: Kind,
        binding: &Binding,
        keyholder: u16,
    ) -> Result<Self, CeremonyError> {
        let mut reader = Self {
            keyholder,
            rest: bytes,
        };
        let [found] = reader.take::<1>()?;
        if *found != kind as u8 {
            return Err(CeremonyError::WrongRound { keyholder });
        }
        if reader.take::<32>()? != binding {
            return Err(CeremonyError::WrongCeremony { keyholder });
        }
        let claimed = reader.identifier()?;
        if claimed != keyholder {
            return Err(CeremonyError::WrongSender { keyholder, claimed });
        }
        Ok(reader)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], CeremonyError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(self.malformed("it is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn identifier(&mut self) -> Result<u16, CeremonyError> {
        self.take().copied().map(u16::from_be_bytes)
    }

    pub(super) fn point(&mut self) -> Result<RistrettoPoint, CeremonyError> {
        PublicPoint::new(*self.take()?)
            .decode()
            .map_err(|_| self.malformed("a commitment is no valid element"))
    }

    pub(super) fn scalar(&mut self) -> Result<Zeroizing<Scalar>, CeremonyError> {
        Option::from(Scalar::from_canonical_bytes(*self.take()?))
            .map(Zeroizing::new)
            .ok_or(self.malformed("a number is out of range"))
    }

    /// Checks that a secret message is for `me`.
    pub(super) fn recipient(&mut self, me: u16) -> Result<(), CeremonyError> {
        let recipient = self.identifier()?;
        if recipient == me {
            Ok(())
        } else {
            Err(CeremonyError::WrongRecipient {
                keyholder: self.keyholder,
                recipient,
            })
        }
    }

    /// Checks that the sender of a secret message saw the same public ones.
    pub(super) fn view(&mut self, mine: &TranscriptDigest) -> Result<(), CeremonyError> {
        if self.take()? == mine.as_bytes() {
            Ok(())
        } else {
            Err(CeremonyError::ViewsDiffer {
                keyholder: self.keyholder,
            })
        }
    }

    pub(super) fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn end(self) -> Result<(), CeremonyError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("it is too long"))
        }
    }

    pub(super) fn malformed(&self, what: &'static str) -> CeremonyError {
        CeremonyError::Malformed {
            keyholder: self.keyholder,
            what,
        }
    }
}
