//! What a node tells its operators of itself: how many calls, how long they took, which led to which.
//!
//! Nothing here is personal, and nothing that a peer writes gets in: labels are ids of the roster and
//! names of this program, and of a peer's trace only its number is taken.

mod context;
mod meters;
mod spans;

pub use context::TraceContext;
pub use meters::{
    CallLabels, GroupLabels, Meters, MethodLabels, OutcomeLabels, PeerCallLabels, PeerLabels,
    PeerMethodLabels, QuotaLabels, ReasonLabels,
};
pub use spans::{Kind, Span, Telemetry};
