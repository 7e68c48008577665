//! Which call a piece of work belongs to (W3C Trace Context, `traceparent`).
//!
//! A trace is known to two parties at most. Were one number passed on to everybody who is asked in the
//! course of a search, members could put together who was asked what on account of the same child;
//! so each call to a peer begins a trace of its own, and only this node's spans say which of them
//! belong together. `tracestate` and `baggage`, in which anything could stand, are not passed on.

use std::fmt;
use std::future::Future;

use crate::ambient::Ambient;

/// A trace and a place in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
}

tokio::task_local! {
    static CURRENT: TraceContext;
}

impl TraceContext {
    /// Begins a trace.
    #[must_use]
    pub fn begin(ambient: &Ambient) -> Self {
        Self {
            trace: ambient.random(),
            span: ambient.random(),
        }
    }

    /// A place below this one in the same trace.
    #[must_use]
    pub fn child(self, ambient: &Ambient) -> Self {
        Self {
            trace: self.trace,
            span: ambient.random(),
        }
    }

    /// The trace's number.
    #[must_use]
    pub fn trace(self) -> [u8; 16] {
        self.trace
    }

    /// The place's number.
    #[must_use]
    pub fn span(self) -> [u8; 8] {
        self.span
    }

    /// Reads a `traceparent`. What is not one counts as none, as the specification demands; of a later
    /// version what this one knows is read.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lower = |text: &str, length: usize| {
            text.len() == length
                && text
                    .bytes()
                    .all(|octet| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet))
        };
        let known = version == "00";
        if !lower(version, 2)
            || version == "ff"
            || !lower(flags, 2)
            || !lower(trace, 32)
            || !lower(span, 16)
            || (known && parts.next().is_some())
        {
            return None;
        }
        let (mut read_trace, mut read_span) = ([0; 16], [0; 8]);
        hex::decode_to_slice(trace, &mut read_trace).ok()?;
        hex::decode_to_slice(span, &mut read_span).ok()?;
        (read_trace != [0; 16] && read_span != [0; 8]).then_some(Self {
            trace: read_trace,
            span: read_span,
        })
    }

    /// The `traceparent` that says this.
    #[must_use]
    pub fn to_header(self) -> String {
        format!("00-{self}-{}-01", hex::encode(self.span))
    }

    /// Where the running task is, if it works on a call.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Works at this place.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.trace))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({})", self.to_header())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_header_reads_back() {
        let context = TraceContext::begin(&Ambient::system());
        assert_eq!(TraceContext::parse(&context.to_header()), Some(context));
        let child = context.child(&Ambient::system());
        assert_eq!(child.trace(), context.trace());
        assert_ne!(child.span(), context.span());
    }

    #[test]
    fn what_the_specification_forbids_counts_as_none() {
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-b7ad6b7169203331"),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{TRACE}-b7ad6b716920333-01"),
            format!("00-{TRACE}-b7ad6b7169203331-zz"),
        ] {
            assert_eq!(TraceContext::parse(&wrong), None, "{wrong}");
        }
        let later = format!("42-{TRACE}-b7ad6b7169203331-01-more");
        assert_eq!(
            TraceContext::parse(&later).map(|context| context.to_string()),
            Some(TRACE.to_owned())
        );
    }

    #[tokio::test]
    async fn a_task_knows_where_it_is() {
        assert_eq!(TraceContext::current(), None);
        let context = TraceContext::begin(&Ambient::system());
        let inside = context.scope(async { TraceContext::current() }).await;
        assert_eq!(inside, Some(context));
    }
}
