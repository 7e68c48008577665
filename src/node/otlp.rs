//! Spans to an OpenTelemetry collector on this machine (OTLP over gRPC).
//!
//! What is sent is what [`Span`] holds, field by field, and nothing that a log line or a library might
//! add; so nobody has to trust a filter. The messages are the part of OTLP's that this takes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::telemetry::{Kind, Span};

/// Spans that wait to be sent; more are lost and counted.
const WAITING: usize = 4096;

/// Spans sent at once.
const BATCH: usize = 512;

/// How long a span waits for others.
const EVERY: Duration = Duration::from_secs(2);

/// How long the collector is given.
const PATIENCE: Duration = Duration::from_secs(10);

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// OTLP's messages, so far as spans of this program need them. Field numbers are OTLP's.
pub mod wire {
    macro_rules! message {
        ($(#[$doc:meta])* $name:ident { $($(#[$field:meta])* $part:ident: $kind:ty),* $(,)? }) => {
            $(#[$doc])*
            #[derive(Clone, PartialEq, prost::Message)]
            pub struct $name { $($(#[$field])* pub $part: $kind),* }
        };
    }
    message!(/** `ExportTraceServiceRequest` */ ExportRequest {
        /** By resource. */ #[prost(message, repeated, tag = "1")] resource_spans: Vec<ResourceSpans>,
    });
    message!(/** `ExportTraceServiceResponse`; what was not taken is not sent again. */ ExportResponse {});
    message!(/** Spans of one program. */ ResourceSpans {
        /** The program. */ #[prost(message, optional, tag = "1")] resource: Option<Resource>,
        /** Its spans. */ #[prost(message, repeated, tag = "2")] scope_spans: Vec<ScopeSpans>,
    });
    message!(/** A program. */ Resource {
        /** What is known of it. */ #[prost(message, repeated, tag = "1")] attributes: Vec<KeyValue>,
    });
    message!(/** Spans of one library. */ ScopeSpans {
        /** The spans. */ #[prost(message, repeated, tag = "2")] spans: Vec<SpanData>,
    });
    message!(/** A name with a value. */ KeyValue {
        /** The name. */ #[prost(string, tag = "1")] key: String,
        /** The value. */ #[prost(message, optional, tag = "2")] value: Option<AnyValue>,
    });
    message!(/** A value; here always text. */ AnyValue {
        /** The text. */ #[prost(string, optional, tag = "1")] string_value: Option<String>,
    });
    message!(/** A span. */ SpanData {
        /** Trace. */ #[prost(bytes = "vec", tag = "1")] trace_id: Vec<u8>,
        /** Place. */ #[prost(bytes = "vec", tag = "2")] span_id: Vec<u8>,
        /** Place above. */ #[prost(bytes = "vec", tag = "4")] parent_span_id: Vec<u8>,
        /** Name. */ #[prost(string, tag = "5")] name: String,
        /** Kind: 2 server, 3 client. */ #[prost(int32, tag = "6")] kind: i32,
        /** Start, in nanoseconds since 1970. */ #[prost(fixed64, tag = "7")] start: u64,
        /** End, in nanoseconds since 1970. */ #[prost(fixed64, tag = "8")] end: u64,
        /** Attributes. */ #[prost(message, repeated, tag = "9")] attributes: Vec<KeyValue>,
        /** Outcome. */ #[prost(message, optional, tag = "15")] status: Option<SpanStatus>,
    });
    message!(/** An outcome. */ SpanStatus {
        /** 1 well, 2 not. */ #[prost(int32, tag = "3")] code: i32,
    });
}

/// Begins to export to the collector at `address`; gives where spans go.
#[must_use]
pub fn start(
    address: SocketAddr,
    member: String,
    stopped: watch::Receiver<bool>,
) -> mpsc::Sender<Span> {
    let (sender, spans) = mpsc::channel(WAITING);
    tokio::spawn(export(address, member, spans, stopped));
    sender
}

async fn export(
    address: SocketAddr,
    member: String,
    mut spans: mpsc::Receiver<Span>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return;
    };
    let channel = endpoint
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .connect_lazy();
    let mut away = false;
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        let last = tokio::select! {
            taken = spans.recv_many(&mut batch, BATCH) => taken == 0,
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        if !last {
            // Others may come in a moment.
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
        while batch.len() < BATCH
            && let Ok(span) = spans.try_recv()
        {
            batch.push(span);
        }
        if !batch.is_empty() {
            match send(channel.clone(), request(&member, &batch)).await {
                Ok(()) => away = false,
                Err(status) if !away => {
                    away = true;
                    tracing::warn!(code = ?status.code(), "the collector of traces takes nothing");
                }
                Err(_) => {}
            }
        }
        if last {
            return;
        }
    }
}

async fn send(channel: Channel, request: wire::ExportRequest) -> Result<(), tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<wire::ExportRequest, wire::ExportResponse>::default();
    client
        .unary(
            tonic::Request::new(request),
            PathAndQuery::from_static(EXPORT),
            codec,
        )
        .await
        .map(drop)
}

fn request(member: &str, spans: &[Span]) -> wire::ExportRequest {
    let resource = wire::Resource {
        attributes: vec![
            attribute("service.name", "wayhome"),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", member),
        ],
    };
    wire::ExportRequest {
        resource_spans: vec![wire::ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![wire::ScopeSpans {
                spans: spans.iter().map(data).collect(),
            }],
        }],
    }
}

fn data(span: &Span) -> wire::SpanData {
    let mut attributes = vec![attribute("wayhome.code", &span.code)];
    if let Some(peer) = &span.peer {
        attributes.push(attribute("wayhome.peer", peer));
    }
    if let Some(trace) = &span.peer_trace {
        attributes.push(attribute("wayhome.peer_trace", &hex::encode(trace)));
    }
    let start = span.began_ms.saturating_mul(1_000_000);
    wire::SpanData {
        trace_id: span.context.trace().to_vec(),
        span_id: span.context.span().to_vec(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        name: span.name.to_owned(),
        kind: match span.kind {
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start,
        end: start.saturating_add(span.took_ns),
        attributes,
        status: Some(wire::SpanStatus {
            code: if span.code == "OK" { 1 } else { 2 },
        }),
    }
}

fn attribute(key: &str, value: &str) -> wire::KeyValue {
    wire::KeyValue {
        key: key.to_owned(),
        value: Some(wire::AnyValue {
            string_value: Some(value.to_owned()),
        }),
    }
}
