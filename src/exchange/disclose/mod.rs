//! Disclosure: named fields of the record behind a lead, for a stated purpose.

mod client;
mod server;

pub use client::{Disclosed, DisclosureAsked, disclose};
pub use server::answer;

/// How long a receiver may keep what it is told, in milliseconds: 180 days.
pub const RETENTION_MS: u64 = 180 * 86_400_000;

/// Longest justification, in octets.
pub const MAX_JUSTIFICATION: usize = 4_096;

/// Most requests of one party a day.
pub const DISCLOSURES_PER_DAY: u64 = 1_000;

/// Most fields of one request.
pub const MAX_FIELDS: usize = 32;
