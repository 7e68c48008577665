//! Lookup: does a holder know this child? Tokens in, grades out.

mod client;
mod family;
mod limit;
mod register;
mod review;
mod server;
mod silent;
mod stream;
mod subject;
mod subjects;
mod tick;
mod weigh;

pub use client::{LeadRef, LookupAt, MemberAnswer, SubjectGrade, look_up, others};
pub use limit::{PROBE_LIMIT, digest_of};
pub use register::{Progress, RegisterSearch};
pub use server::answer;
pub(crate) use server::check_case_reference;
pub(crate) use server::raised;
pub use silent::compare as compare_with_silent;
pub use stream::{Streams, answer_stream, own_index_mark};
pub use subject::{SubjectTokens, attributes, sibling_keys};
pub use subjects::{Subject, Subjects};
pub use tick::quantum;
pub use weigh::{Candidate, ProbedSubject, Weighed, rank, weigh, weigh_in};

pub use crate::store::TOKEN;

/// How many leads every answer holds for each subject; those past the candidates are padding.
pub const LEADS: usize = 4;

/// Most subjects of one query.
pub const MAX_SUBJECTS: usize = 1_000;

/// How long a lead is good, in milliseconds: 30 days.
pub const LEAD_LIFETIME_MS: u64 = 30 * 86_400_000;

/// Longest case reference, in characters.
pub const MAX_CASE_REFERENCE: usize = 64;
