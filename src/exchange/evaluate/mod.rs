//! Evaluation: a member asks keyholders for coalition tokens, a blinded batch at a time.

mod client;
mod opening;
mod server;

pub use client::{Source, coalition_tokens, read_evaluation};
pub use opening::{
    OPENABLE_MS, OPENED_AT_ONCE, OPENED_PER_DAY, Opened, OpenedBatch, OpenedKey, forget_inputs,
    open_elements,
};
pub use server::answer;

/// Octets of one group element.
const ELEMENT: usize = 32;

/// Octets of a proof.
const PROOF: usize = 64;
