//! Before all services: each call is counted, given its place in a trace, and let in only if its party
//! has not too many under way.
//!
//! A call holds its place until its answer has been read to the end or let go of, so that a peer that
//! reads slowly holds back its own calls and nobody else's.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic_types::StatusExt as _;
use tower::Layer;
use tracing::Instrument as _;

use super::serve::PeerPin;
use super::settings::Limits;
use crate::exchange::calls::label;
use crate::exchange::link::code_name;
use crate::exchange::{Party, Refusal};
use crate::telemetry::{CallLabels, Kind, MethodLabels, ReasonLabels, Span, TraceContext};

/// Parties that are remembered before those without a call under way are forgotten.
const REMEMBERED: usize = 256;

/// How many calls may be under way.
pub struct Places {
    limits: Limits,
    all: Arc<Semaphore>,
    parties: Mutex<HashMap<[u8; 32], Arc<Own>>>,
}

/// One party's places, by the key of its certificate.
struct Own {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A call's place.
struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// One who waits in line.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Places {
    /// All places, free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: Arc::new(Semaphore::new(limits.calls.get())),
            parties: Mutex::default(),
        }
    }

    fn of(&self, pin: [u8; 32]) -> Arc<Own> {
        let mut parties = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
        if parties.len() >= REMEMBERED {
            parties.retain(|_, own| Arc::strong_count(own) > 1);
        }
        let own = parties.entry(pin).or_insert_with(|| {
            Arc::new(Own {
                places: Arc::new(Semaphore::new(self.limits.calls_per_party.get())),
                waiting: AtomicUsize::new(0),
            })
        });
        Arc::clone(own)
    }

    /// A place for a call of the party behind `pin`, after those of its calls that wait already; or
    /// what there is too much of.
    async fn take(&self, pin: [u8; 32]) -> Result<(Place, Arc<Own>), &'static str> {
        let own = self.of(pin);
        let place = match Arc::clone(&own.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let before = own.waiting.fetch_add(1, Ordering::AcqRel);
                let _waiting = Waiting(&own.waiting);
                if before >= self.limits.waiting_per_party {
                    return Err("party");
                }
                // The semaphore is never closed.
                let place = Arc::clone(&own.places).acquire_owned().await;
                place.map_err(|_| "party")?
            }
        };
        let all = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| "node")?;
        let place = Place {
            _own: place,
            _all: all,
        };
        Ok((place, own))
    }
}

/// Puts [`Metered`] around services.
#[derive(Clone)]
pub struct MeteredLayer {
    party: Arc<Party>,
    places: Arc<Places>,
}

impl MeteredLayer {
    /// For the node of `party`.
    #[must_use]
    pub fn new(party: Arc<Party>, limits: Limits) -> Self {
        Self {
            party,
            places: Arc::new(Places::new(limits)),
        }
    }
}

impl<S> Layer<S> for MeteredLayer {
    type Service = Metered<S>;

    fn layer(&self, services: S) -> Metered<S> {
        Metered {
            services,
            layer: self.clone(),
        }
    }
}

/// Services whose calls are counted.
#[derive(Clone)]
pub struct Metered<S> {
    services: S,
    layer: MeteredLayer,
}

impl<S> Service<Request<Body>> for Metered<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone that was readied is used, and another one kept for the next call.
        let fresh = self.services.clone();
        let mut services = std::mem::replace(&mut self.services, fresh);
        let layer = self.layer.clone();
        let method = label(request.uri().path());
        let ambient = layer.party.ambient().clone();
        let above = request
            .headers()
            .get("traceparent")
            .and_then(|header| TraceContext::parse(header.to_str().ok()?));
        let here = above.map_or_else(
            || TraceContext::begin(&ambient),
            |above| above.child(&ambient),
        );
        let span = tracing::info_span!("call", method, trace = %here);
        let work = async move {
            let telemetry = layer.party.telemetry();
            let (began_ms, began_ns) = (ambient.now_ms(), ambient.monotonic_ns());
            let pin = request.extensions().get::<PeerPin>().map(|pin| pin.0);
            let under_way = UnderWay::begin(telemetry.meters.calls_in_flight.clone());
            let response = match layer.places.take(pin.unwrap_or_default()).await {
                Ok(place) => {
                    let response = here.scope(services.call(request)).await?;
                    // Held until the answer has gone.
                    response.map(|body| {
                        Body::new(body.map_frame(move |frame| {
                            let _ = (&place, &under_way);
                            frame
                        }))
                    })
                }
                Err(reason) => {
                    telemetry
                        .meters
                        .calls_shed
                        .get_or_create_owned(&ReasonLabels { reason })
                        .inc();
                    Status::from(Refusal::Overloaded).into_http()
                }
            };
            let code = code_of(&response);
            let took_ns = ambient.monotonic_ns().saturating_sub(began_ns);
            telemetry
                .meters
                .call_seconds
                .get_or_create_owned(&MethodLabels { method })
                .observe(took_ns as f64 / 1e9);
            telemetry
                .meters
                .calls
                .get_or_create_owned(&CallLabels {
                    method,
                    code: code.clone(),
                })
                .inc();
            telemetry.finished(|| Span {
                context: here,
                parent: above.map(TraceContext::span),
                name: method,
                kind: Kind::Server,
                began_ms,
                took_ns,
                code,
                peer: pin.and_then(|pin| {
                    let roster = layer.party.known_roster()?;
                    let member = layer.party.caller(&roster, &pin).ok()?;
                    Some(member.id.to_string())
                }),
                peer_trace: None,
            });
            Ok(response)
        };
        Box::pin(work.instrument(span))
    }
}

/// A call under way, in the gauge.
struct UnderWay(Gauge);

impl UnderWay {
    fn begin(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What was answered: this program's own reason code, or the gRPC code, or the HTTP status. A stream
/// that fails after it began counts as begun.
fn code_of(response: &Response<Body>) -> String {
    match Status::from_header_map(response.headers()) {
        Some(status) => status
            .get_details_error_info()
            .map_or_else(|| code_name(status.code()).to_owned(), |info| info.reason),
        None if response.status().is_success() => "OK".to_owned(),
        None => response.status().as_u16().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn places(calls: usize, per_party: usize, waiting: usize) -> Places {
        Places::new(Limits {
            calls: NonZeroUsize::new(calls).unwrap(),
            calls_per_party: NonZeroUsize::new(per_party).unwrap(),
            waiting_per_party: waiting,
            ..Limits::default()
        })
    }

    /// How a future stands after one look.
    async fn looked_at<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }

    #[tokio::test]
    async fn one_party_waits_in_its_own_line_and_is_then_turned_away() {
        let places = places(10, 2, 1);
        let first = places.take([1; 32]).await.unwrap();
        let _second = places.take([1; 32]).await.unwrap();
        let mut third = std::pin::pin!(places.take([1; 32]));
        assert!(looked_at(third.as_mut()).await.is_pending());
        assert_eq!(places.take([1; 32]).await.err(), Some("party"));
        // Others notice nothing.
        let _other = places.take([2; 32]).await.unwrap();
        drop(first);
        assert!(third.await.is_ok());
        // The line is empty again: one may wait in it.
        let _third = places.take([1; 32]).await;
        let mut next = std::pin::pin!(places.take([1; 32]));
        assert!(looked_at(next.as_mut()).await.is_pending());
    }

    #[tokio::test]
    async fn all_together_are_limited_as_well() {
        let places = places(3, 2, 0);
        let mut held = Vec::new();
        for party in [1, 1, 2] {
            held.push(places.take([party; 32]).await.unwrap());
        }
        assert_eq!(places.take([3; 32]).await.err(), Some("node"));
        held.pop();
        assert!(places.take([3; 32]).await.is_ok());
    }

    #[tokio::test]
    async fn who_left_the_line_frees_it() {
        let places = places(10, 1, 1);
        let _held = places.take([1; 32]).await.unwrap();
        {
            let mut gone = std::pin::pin!(places.take([1; 32]));
            assert!(looked_at(gone.as_mut()).await.is_pending());
        }
        let mut next = std::pin::pin!(places.take([1; 32]));
        assert!(looked_at(next.as_mut()).await.is_pending());
    }
}
