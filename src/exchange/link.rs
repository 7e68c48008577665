//! The way to one peer, as acts use it: counted, traced, with a deadline that the peer is told, and
//! spared while the peer is away.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::ask::TIMEOUT;
use super::calls::label;
use super::refusal::DOMAIN;
use crate::ambient::Ambient;
use crate::roster::MemberId;
use crate::telemetry::{
    Kind, PeerCallLabels, PeerLabels, PeerMethodLabels, Span, Telemetry, TraceContext,
};

/// How often in a row a peer must not be reached before it is spared.
const FAILURES: u32 = 8;

/// Calls that fail within so many nanoseconds count as one failure: a connection that is cut takes all
/// the calls on it along, and that says nothing of the peer's other processes.
const TOGETHER_NS: u64 = 100_000_000;

/// How long a peer is spared first, and at most.
const SPARED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// Calls made again draw on a budget: of ten calls that a peer takes one may be made again, and at once
/// as many as one connection carries, since one that is cut takes them all along. So a peer in trouble
/// is not given three times the load.
const BUDGET: f64 = 64.0;
const EARNED: f64 = 0.1;

/// What is known of the way to one peer.
pub struct Link {
    peer: String,
    telemetry: Arc<Telemetry>,
    ambient: Ambient,
    state: Mutex<State>,
}

struct State {
    failures: u32,
    /// When the last failure came that was counted.
    failed_ns: Option<u64>,
    way: Way,
    spared_for: Duration,
    budget: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Calls go out.
    Open,
    /// None does, for a moment.
    Spared,
    /// One may go out, to see whether the peer is back.
    Probing,
    /// One is out; others wait for what becomes of it.
    Probed,
}

impl Link {
    /// The way to `peer`, of which nothing is known yet.
    #[must_use]
    pub fn new(peer: &MemberId, telemetry: Arc<Telemetry>, ambient: Ambient) -> Self {
        Self {
            peer: peer.to_string(),
            telemetry,
            ambient,
            state: Mutex::new(State {
                failures: 0,
                failed_ns: None,
                way: Way::Open,
                spared_for: SPARED.0,
                budget: BUDGET,
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labels(&self) -> PeerLabels {
        PeerLabels {
            peer: self.peer.clone(),
        }
    }

    /// How long to wait before a call is made again, `attempt` times after the first, or nothing if
    /// the budget is used up. The wait is drawn at random, so that many who failed at one moment do
    /// not come back at one moment.
    #[must_use]
    pub fn again(&self, attempt: u32) -> Option<Duration> {
        let mut state = self.state();
        if state.budget < 1.0 {
            return None;
        }
        state.budget -= 1.0;
        drop(state);
        self.telemetry
            .meters
            .peer_retries
            .get_or_create_owned(&self.labels())
            .inc();
        let longest = 200_u64 << attempt.min(6);
        let drawn = u64::from(u32::from_be_bytes(self.ambient.random()));
        Some(Duration::from_millis(longest / 2 + drawn % (longest / 2)))
    }

    /// Whether a call may go out now.
    fn admits(&self) -> bool {
        let mut state = self.state();
        match state.way {
            Way::Open => true,
            Way::Spared | Way::Probed => false,
            Way::Probing => {
                state.way = Way::Probed;
                true
            }
        }
    }

    /// The peer was reached.
    fn reached(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.failed_ns = None;
        state.spared_for = SPARED.0;
        state.budget = (state.budget + EARNED).min(BUDGET);
        if state.way != Way::Open {
            state.way = Way::Open;
            drop(state);
            self.show(0);
            tracing::info!(peer = self.peer, "a peer answers again");
        }
    }

    /// The peer could not be reached.
    fn failed(self: &Arc<Self>) {
        if let Some(wait) = self.count_failure(self.ambient.monotonic_ns()) {
            let link = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                link.wait_is_over();
            });
        }
    }

    /// How long the peer is spared after one more failure, if it is.
    fn count_failure(&self, at_ns: u64) -> Option<Duration> {
        let mut state = self.state();
        let was_open = state.way == Way::Open;
        let together = state
            .failed_ns
            .is_some_and(|failed_ns| at_ns.saturating_sub(failed_ns) < TOGETHER_NS);
        if was_open && together {
            return None;
        }
        state.failed_ns = Some(at_ns);
        state.failures = state.failures.saturating_add(1);
        if was_open && state.failures < FAILURES {
            return None;
        }
        state.way = Way::Spared;
        let wait = state.spared_for;
        state.spared_for = (wait * 2).min(SPARED.1);
        drop(state);
        if was_open {
            self.show(1);
            tracing::warn!(peer = self.peer, "a peer does not answer and is spared");
        }
        Some(wait)
    }

    fn wait_is_over(&self) {
        let mut state = self.state();
        if state.way == Way::Spared {
            state.way = Way::Probing;
        }
    }

    fn show(&self, spared: i64) {
        self.telemetry
            .meters
            .peer_spared
            .get_or_create_owned(&self.labels())
            .set(spared);
    }

    fn spared(&self) -> Response<Body> {
        let details =
            ErrorDetails::with_error_info("PEER_SPARED", DOMAIN, std::collections::HashMap::new());
        Status::with_error_details(
            Code::Unavailable,
            format!(
                "{} could not be reached {FAILURES} times in a row; it is tried again within {} seconds",
                self.peer,
                SPARED.1.as_secs()
            ),
            details,
        )
        .into_http()
    }
}

/// A probe that was let go of without an outcome must not leave its peer spared for good.
struct Probe {
    link: Arc<Link>,
    over: bool,
}

impl Probe {
    fn came_out(&mut self) {
        self.over = true;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.link.state();
        if state.way == Way::Probed {
            state.way = Way::Probing;
        }
    }
}

/// A channel to one peer.
#[derive(Clone)]
pub struct PeerChannel {
    channel: Channel,
    link: Arc<Link>,
}

impl PeerChannel {
    /// Goes out by `channel`.
    #[must_use]
    pub fn new(channel: Channel, link: Arc<Link>) -> Self {
        Self { channel, link }
    }
}

type Answered =
    Pin<Box<dyn Future<Output = Result<Response<Body>, tonic::transport::Error>> + Send>>;

impl Service<Request<Body>> for PeerChannel {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Answered;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let outcome = ready!(self.channel.poll_ready(context));
        if outcome.is_err() {
            self.link.failed();
        }
        Poll::Ready(outcome)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let link = Arc::clone(&self.link);
        if !link.admits() {
            return Box::pin(async move { Ok(link.spared()) });
        }
        let mut probe = Probe {
            link: Arc::clone(&link),
            over: false,
        };
        // The peer is told how long its answer is waited for, and a trace of its own.
        let told = TraceContext::begin(&link.ambient);
        let headers = request.headers_mut();
        if let Ok(value) = HeaderValue::try_from(told.to_header()) {
            headers.insert("traceparent", value);
        }
        if !headers.contains_key("grpc-timeout")
            && let Ok(value) = HeaderValue::try_from(format!("{}m", TIMEOUT.as_millis()))
        {
            headers.insert("grpc-timeout", value);
        }
        let method = label(request.uri().path());
        let under = TraceContext::current();
        let (began_ms, began_ns) = (link.ambient.now_ms(), link.ambient.monotonic_ns());
        let call = self.channel.call(request);
        Box::pin(async move {
            let outcome = call.await;
            probe.came_out();
            match &outcome {
                Ok(_) => link.reached(),
                Err(_) => link.failed(),
            }
            let code = match &outcome {
                Ok(response) => Status::from_header_map(response.headers())
                    .map_or(Code::Ok, |status| status.code()),
                Err(_) => Code::Unavailable,
            };
            let took_ns = link.ambient.monotonic_ns().saturating_sub(began_ns);
            let meters = &link.telemetry.meters;
            let peer = link.peer.clone();
            meters
                .peer_call_seconds
                .get_or_create_owned(&PeerMethodLabels {
                    peer: peer.clone(),
                    method,
                })
                .observe(took_ns as f64 / 1e9);
            let code = code_name(code);
            meters
                .peer_calls
                .get_or_create_owned(&PeerCallLabels {
                    peer: peer.clone(),
                    method,
                    code,
                })
                .inc();
            link.telemetry.finished(|| Span {
                context: under.map_or(told, |under| under.child(&link.ambient)),
                parent: under.map(TraceContext::span),
                name: method,
                kind: Kind::Client,
                began_ms,
                took_ns,
                code: code.to_owned(),
                peer: Some(peer),
                peer_trace: Some(told.trace()),
            });
            outcome
        })
    }
}

/// A gRPC code's name in the specification.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Arc<Link> {
        Arc::new(Link::new(
            &"pl".parse().unwrap(),
            Arc::default(),
            Ambient::system(),
        ))
    }

    /// Moments that are not together.
    fn moment(number: u32) -> u64 {
        u64::from(number) * TOGETHER_NS
    }

    #[test]
    fn a_peer_that_is_away_is_spared_and_tried_again_by_one_call() {
        let link = link();
        for number in 1..FAILURES {
            assert!(link.admits());
            // However many calls are cut off with one connection.
            for _ in 0..2 * FAILURES {
                assert_eq!(link.count_failure(moment(number)), None);
            }
        }
        assert!(link.admits());
        assert_eq!(link.count_failure(moment(FAILURES)), Some(SPARED.0));
        assert!(!link.admits());
        link.wait_is_over();
        // One goes out to see; no second one does until it is back.
        assert!(link.admits());
        assert!(!link.admits());
        // Still away: it is spared for longer, and not for ever longer.
        assert_eq!(link.count_failure(moment(FAILURES + 1)), Some(SPARED.0 * 2));
        for number in FAILURES + 2..FAILURES + 12 {
            let wait = link.count_failure(moment(number));
            assert!(wait.is_some_and(|wait| wait <= SPARED.1));
        }
        link.wait_is_over();
        assert!(link.admits());
        link.reached();
        assert!(link.admits());
        assert!(link.admits());
    }

    #[test]
    fn a_probe_that_is_let_go_of_is_followed_by_another() {
        let link = link();
        for number in 0..FAILURES {
            link.count_failure(moment(number));
        }
        link.wait_is_over();
        assert!(link.admits());
        drop(Probe {
            link: Arc::clone(&link),
            over: false,
        });
        assert!(link.admits());
    }

    #[test]
    fn calls_are_made_again_within_a_budget_and_at_no_common_moment() {
        let link = link();
        let waits: Vec<Duration> = (0..100).map_while(|_| link.again(1)).collect();
        assert_eq!(waits.len(), BUDGET as usize);
        assert!(waits.iter().any(|wait| wait != &waits[0]));
        assert!(
            waits
                .iter()
                .all(|wait| (200..400).contains(&wait.as_millis()))
        );
        assert_eq!(link.again(1), None);
        // Ten calls that arrive earn one more.
        for _ in 0..11 {
            link.reached();
        }
        assert!(link.again(1).is_some());
        assert_eq!(link.again(1), None);
    }
}
