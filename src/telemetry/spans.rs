//! Spans: what was called, when, for how long, and how it came out.

use std::sync::OnceLock;

use tokio::sync::mpsc;

use super::context::TraceContext;
use super::meters::Meters;

/// On which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This node was called.
    Server,
    /// This node called.
    Client,
}

/// A call that is over.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace and place.
    pub context: TraceContext,
    /// The place above it.
    pub parent: Option<[u8; 8]>,
    /// Which call.
    pub name: &'static str,
    /// On which side.
    pub kind: Kind,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
    /// `OK` or a code.
    pub code: String,
    /// The peer's id in the roster, if it is known.
    pub peer: Option<String>,
    /// The trace under which the peer knows the call.
    pub peer_trace: Option<[u8; 16]>,
}

/// What a node counts, and where its spans go.
#[derive(Default)]
pub struct Telemetry {
    /// What it counts.
    pub meters: Meters,
    exporter: OnceLock<mpsc::Sender<Span>>,
}

impl Telemetry {
    /// Hands spans to an exporter from now on. The first one stays.
    pub fn export_to(&self, exporter: mpsc::Sender<Span>) {
        let _ = self.exporter.set(exporter);
    }

    /// Hands on a call that is over. Never waits: an exporter that cannot keep up loses spans, and that
    /// is counted.
    pub fn finished(&self, span: impl FnOnce() -> Span) {
        if let Some(exporter) = self.exporter.get()
            && exporter.try_send(span()).is_err()
        {
            self.meters.spans_lost.inc();
        }
    }
}
