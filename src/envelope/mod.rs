//! Signed statements: who said exactly which bytes, and how that is checked.
//!
//! Everything that leaves a node and may later have to be proved is signed, in one of two
//! forms:
//!
//! * a [`dsse`] *envelope* for messages between machines: the signature covers the message's
//!   type and its bytes as they were sent, so nobody has to agree on a canonical encoding;
//! * a signed [`note`] for short texts that people may read as well: the checkpoints of a
//!   transparency log, their cosignatures, the roster.
//!
//! Both use Ed25519 keys from [`keys`]. Both follow one rule: what was verified is what is
//! used. Parsing gives a value whose content cannot be reached by accident; verification gives
//! a second value that owns the very bytes the signature was checked over.
//!
//! A message often speaks of several children, and one of them may have to be erased later
//! without making the evidence about the others worthless. [`items`] is for that: the signed
//! payload holds only the Merkle root ([`merkle`]) of a list of salted items, and an erased
//! item leaves its hash behind, from which nothing can be learnt or guessed.
//!
//! This module is pure: no clock, no randomness of its own, no input or output.

pub mod dsse;
pub mod items;
pub mod keys;
pub mod merkle;
pub mod note;

pub use dsse::{Envelope, EnvelopeError, Signature, Verified};
pub use items::{ItemEvidence, ItemsCommitment, ItemsError};
pub use keys::{KeyError, KeyId, SigningKey, VerifyingKey};
pub use note::{
    Cosigner, KeyName, Note, NoteError, NoteKey, NoteSignature, NoteSigner, VerifiedNote,
    verify_threshold,
};
