//! What can go wrong, and whose fault it is.

use thiserror::Error;

use super::element::ElementFault;
use super::{MAX_BATCH, MAX_INPUT, MAX_KEYHOLDERS};

/// An error of the threshold OPRF. Holds positions, counts and identifiers, never an input.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OprfError {
    /// A batch is empty or too large.
    #[error("a batch holds 1 to {MAX_BATCH} elements, this one holds {count}: split it")]
    BatchSize {
        /// How many elements it held.
        count: usize,
    },
    /// An input is too long to be hashed (RFC 9497, section 1.2).
    #[error("input {index} is {length} bytes long, the limit is {MAX_INPUT}")]
    InputTooLong {
        /// Position in the batch, from 0.
        index: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// An input hashed to the identity, or its blind cancelled it: chance 2^-252, so rather a bug.
    #[error("input {index} gave the identity element: start the batch again with another seed")]
    DegenerateInput {
        /// Position in the batch, from 0.
        index: usize,
    },
    /// A blinded element from a member cannot be used.
    #[error("element {index} of the batch: {fault}")]
    Element {
        /// Position in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        fault: ElementFault,
    },
    /// The inputs at the end are not those of the beginning.
    #[error("the inputs differ from those that were blinded: pass the same, in the same order")]
    OtherInputs,
    /// An opened blind does not fit the input and the blinded element.
    #[error("the opening does not fit: this blind and input do not give the blinded element")]
    Opening,
    /// Bytes that should be a non-zero scalar below the group's order are not.
    #[error("{what} is not a canonical non-zero scalar: the stored bytes are damaged")]
    Scalar {
        /// What the bytes should have been.
        what: &'static str,
    },
    /// Bytes of another length than the type has.
    #[error("{what} must be {expected} bytes long, not {got}")]
    Length {
        /// What the bytes should have been.
        what: &'static str,
        /// Expected length in bytes.
        expected: usize,
        /// Length found in bytes.
        got: usize,
    },
    /// A threshold outside 2 to the number of keyholders, or too many keyholders.
    #[error(
        "threshold {threshold} of {keyholders} keyholders is not possible: the threshold must be \
         at least 2 and at most their number, which is at most {MAX_KEYHOLDERS}"
    )]
    Threshold {
        /// The threshold t.
        threshold: u16,
        /// The number of keyholders n.
        keyholders: usize,
    },
    /// Identifier 0 would be the key itself.
    #[error("keyholder identifier 0 is not allowed: a share at 0 would be the key itself")]
    ZeroIdentifier,
    /// The public key's encoding cannot be used.
    #[error("the coalition's public key: {fault}")]
    PublicKey {
        /// What is wrong with it.
        fault: ElementFault,
    },
    /// The verifying shares and the public key do not belong to one polynomial.
    #[error(
        "the verifying shares do not interpolate to the public key{}: the roster's key entry is \
         not the outcome of one ceremony",
        suspect.map(|id| format!(" (that of keyholder {id} does not fit the others)"))
            .unwrap_or_default()
    )]
    InconsistentShares {
        /// The one share without which the rest would fit, where there is exactly one.
        suspect: Option<u16>,
    },
    /// A subset with a wrong number of keyholders.
    #[error("an evaluation takes exactly {threshold} keyholders, the subset names {count}")]
    SubsetSize {
        /// The threshold t.
        threshold: u16,
        /// How many were named.
        count: usize,
    },
    /// A subset that names a keyholder twice.
    #[error("the subset names keyholder {keyholder} twice")]
    SubsetRepeats {
        /// The identifier named twice.
        keyholder: u16,
    },
    /// A keyholder that the coalition key does not know.
    #[error("keyholder {keyholder} has no verifying share in the coalition key of this epoch")]
    UnknownKeyholder {
        /// The unknown identifier.
        keyholder: u16,
    },
    /// An act of a keyholder that is not in the subset.
    #[error("keyholder {keyholder} is not in the subset of this evaluation")]
    NotInSubset {
        /// The identifier.
        keyholder: u16,
    },
    /// A key share that does not belong to the coalition key.
    #[error(
        "the key share of keyholder {keyholder} does not match its verifying share: it belongs to \
         another epoch or was refreshed since; restore or repair it"
    )]
    ShareMismatch {
        /// The identifier.
        keyholder: u16,
    },
    /// What a keyholder gave is wrong: its answer, or its entry in the coalition key.
    #[error("keyholder {keyholder} is at fault: {fault}")]
    Keyholder {
        /// The identifier of the keyholder at fault.
        keyholder: u16,
        /// What was wrong with its answer.
        fault: KeyholderFault,
    },
    /// Verified shares of another batch, key or subset, twice the same or too few.
    #[error(
        "the verified shares do not make one evaluation: exactly one of each keyholder of one \
         subset is needed, all for this batch and key"
    )]
    Assembly,
    /// A pseudonym does not follow from the record reference under the node's key.
    #[error("the pseudonym is false: {reason}")]
    Pseudonym {
        /// What did not fit.
        reason: &'static str,
    },
}

/// What was wrong with what a keyholder gave.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyholderFault {
    /// Not as many evaluated elements as were asked.
    #[error("{got} elements came back for {expected}")]
    Count {
        /// How many were asked.
        expected: usize,
        /// How many came back.
        got: usize,
    },
    /// An evaluated element is no usable encoding.
    #[error("evaluated element {index}: {fault}")]
    Element {
        /// Position in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        fault: ElementFault,
    },
    /// Its verifying share in the coalition key is no usable encoding.
    #[error("its verifying share: {fault}")]
    VerifyingShare {
        /// What is wrong with it.
        fault: ElementFault,
    },
    /// The proof's 64 bytes are not two canonical scalars.
    #[error("the proof is not two canonical scalars")]
    ProofEncoding,
    /// The proof does not hold: another share was used, an element or the proof was altered.
    #[error("the proof does not show that its committed share was used on these elements")]
    Proof,
}
