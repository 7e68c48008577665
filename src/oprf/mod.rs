//! The coalition's threshold OPRF: from a linkage key to a coalition token.
//!
//! # What it is for
//!
//! A linkage key is a short string made of a child's attributes. If members compared plain hashes
//! of linkage keys, whoever held a list of names could hash it and test it against any database
//! that leaked. An *oblivious pseudorandom function* takes that away. The function
//! `T(x) = OPRF_k(x)` depends on a secret key `k`; nobody can evaluate it alone, and those who help
//! to evaluate it do not see `x`:
//!
//! 1. [`blind()`]: the member hides each linkage key `x` in a random group element
//!    `C = H(x) + r·G`.
//! 2. [`evaluate()`]: each of `t` *keyholders* multiplies `C` by its share of the key and proves
//!    that it used the share it committed to.
//! 3. [`verify`]: the member checks each proof; a wrong answer names its keyholder.
//! 4. [`combine()`]: the member adds the `t` answers, removes the blind and hashes.
//!
//! The key `k` exists nowhere. It is shared among `n` keyholders by a ceremony without a dealer
//! ([`ceremony`]); any `t` of them suffice and `t - 1` of them learn nothing. The result equals a
//! single-key evaluation of RFC 9497, OPRF(ristretto255, SHA-512), mode 0x00, under `k`.
//!
//! # Why the blind is added and not multiplied
//!
//! RFC 9497 blinds by multiplication, `C = r·H(x)`, which costs the member two variable-base
//! multiplications an element. Blinding by addition costs two fixed-base ones: on one core of an
//! AMD EPYC 46 microseconds an element for everything that the member does besides checking
//! proofs, where the other way takes 67 at best. (The literature writes groups multiplicatively
//! and calls these two *exponential* and *multiplicative* blinding.) Jarecki, Krawczyk and Xu,
//! "On the (In)Security of the Diffie-Hellman Oblivious PRF with Multiplicative Blinding" (PKC
//! 2021, ePrint 2021/273), show that it is weaker where the server's public key is not
//! authenticated: a server that hands out a false one can make its answers depend on the input in
//! ways that it can test for later. Two facts close that door here:
//!
//! * The public key is not the server's word. It and the `n` verifying shares come from the
//!   coalition's signed roster, and [`CoalitionKey::new`] accepts them only if all of them lie on
//!   one polynomial of degree `t - 1` whose value at zero is the public key.
//! * No answer is used unproven. [`verify`] yields a [`VerifiedShare`] only for a valid proof that
//!   `D_i = λ_i·k_i·C` for the same `k_i` as in the verifying share `Y_i = k_i·G`, and
//!   [`combine()`] accepts nothing but one such share of each keyholder of the subset. So the sum
//!   of the answers is `k·C` with the very `k` of the public key `K = k·G`, and
//!   `k·C - r·K = k·H(x)`: there is no other value the keyholders could bring about, whatever
//!   they do.
//!
//! In the other direction it hides at least as well: `r·G` is uniform over the group, so `C` is
//! independent of `x`. And it binds: to open `C` to another input `x'`, a member would need the
//! discrete logarithm of `H(x) - H(x')`.
//!
//! # Openings
//!
//! Blinds are derived from a [`BatchSeed`] and the element's index. A member that is asked which
//! linkage key stands behind one element of a past batch reveals that element's [`Blind`] and its
//! input; [`check_opening`] tells whether they fit. The other elements stay hidden.
//!
//! # What is derived from a token
//!
//! [`CoalitionToken`] is `T(x)`, 64 bytes. What travels and what lies in an index is a
//! [`LookupToken`]: 16 bytes that depend also on the holder and the key epoch, so two members'
//! indexes cannot be joined. [`CoalitionToken::ratchet`] moves a token on one-way.
//!
//! # Also here
//!
//! [`LocalKey`] evaluates under a key held in one place, for measurements. [`pseudonym`] holds a
//! node's verifiable pseudonyms for its own records. Everything is pure: randomness is passed in,
//! no time, no files, no network.

mod blind;
pub mod ceremony;
mod combine;
mod dleq;
mod element;
mod error;
mod evaluate;
mod hmac;
mod key;
mod local;
pub mod pseudonym;
mod suite;
mod token;

pub use blind::{BatchSeed, Blind, Blinded, BlindedBatch, blind, check_opening};
pub use combine::combine;
pub use dleq::Proof;
pub use element::{BlindedElement, ElementFault, EvaluatedElement, PublicPoint};
pub use error::{KeyholderFault, OprfError};
pub use evaluate::{Evaluation, VerifiedShare, evaluate, verify};
pub use key::{CoalitionKey, KeyShare, MAX_KEYHOLDERS, Subset};
pub use local::LocalKey;
pub use token::{CoalitionToken, LookupKey, LookupToken, lookup_token};

/// The most elements that one batch may hold.
pub const MAX_BATCH: usize = 1024;

/// The most bytes that one input may hold (RFC 9497, section 1.2).
pub const MAX_INPUT: usize = u16::MAX as usize;

#[cfg(test)]
mod tests;
