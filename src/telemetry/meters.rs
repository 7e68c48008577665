//! Counters and gauges in the OpenMetrics text format.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),+ $(,)? })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind),+ }
    )+ };
}

labels! {
    /// A call that came in.
    CallLabels {
        /// Service and call, or `other`.
        method: &'static str,
        /// `OK`, a reason code of the protocol, or a gRPC code.
        code: String,
    }
    /// A call's name.
    MethodLabels {
        /// Service and call, or `other`.
        method: &'static str,
    }
    /// A call to a peer.
    PeerCallLabels {
        /// The peer's id in the roster.
        peer: String,
        /// Service and call, or `other`.
        method: &'static str,
        /// The gRPC code: what else a peer says is not repeated here.
        code: &'static str,
    }
    /// A call's name at a peer.
    PeerMethodLabels {
        /// The peer's id in the roster.
        peer: String,
        /// Service and call, or `other`.
        method: &'static str,
    }
    /// A peer.
    PeerLabels {
        /// The peer's id in the roster.
        peer: String,
    }
    /// Why something was not done.
    ReasonLabels {
        /// A code of this program.
        reason: &'static str,
    }
    /// How something came out.
    OutcomeLabels {
        /// A code of this program.
        outcome: &'static str,
    }
    /// How keys were exchanged.
    GroupLabels {
        /// The group, as TLS names it.
        group: String,
    }
    /// A quota of this member at a peer.
    QuotaLabels {
        /// The peer's id in the roster.
        peer: String,
        /// The quota's name.
        quota: &'static str,
    }
}

/// Everything that a node counts.
pub struct Meters {
    registry: Registry,
    /// Calls answered, with what.
    pub calls: Family<CallLabels, Counter>,
    /// How long they took.
    pub call_seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
    /// Calls under way.
    pub calls_in_flight: Gauge,
    /// Calls turned away because too many were under way.
    pub calls_shed: Family<ReasonLabels, Counter>,
    /// Connections that came in, by what became of them.
    pub handshakes: Family<OutcomeLabels, Counter>,
    /// How their keys were exchanged.
    pub key_exchanges: Family<GroupLabels, Counter>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Calls made to peers.
    pub peer_calls: Family<PeerCallLabels, Counter>,
    /// How long they took.
    pub peer_call_seconds: Family<PeerMethodLabels, Histogram, fn() -> Histogram>,
    /// Calls made again.
    pub peer_retries: Family<PeerLabels, Counter>,
    /// Whether a peer is not called for a moment because it did not answer.
    pub peer_spared: Family<PeerLabels, Gauge>,
    /// Spans that could not be exported.
    pub spans_lost: Counter,
    /// Whether the node answers its peers.
    pub ready: Gauge,
    /// What keeps it from that.
    pub not_ready: Family<ReasonLabels, Gauge>,
    /// Version of the roster in force, 0 without one.
    pub roster_version: Gauge,
    /// When it expires, in unix seconds.
    pub roster_expires_timestamp_seconds: Gauge,
    /// Epoch of the coalition key.
    pub key_epoch: Gauge,
    /// Leaves in the log.
    pub log_leaves: Gauge,
    /// Records held.
    pub records: Gauge,
    /// Records in the published index.
    pub index_records: Gauge,
    /// Tokens in the published index.
    pub index_tokens: Gauge,
    /// Alerts on protected records that nobody has taken note of.
    pub open_alerts: Gauge,
    /// Part of a quota at a peer that was used.
    pub own_quota_used_ratio: Family<QuotaLabels, Gauge<f64, AtomicU64>>,
    /// Memory held by the process, in octets.
    pub process_resident_memory_bytes: Gauge,
    /// Files and sockets open in the process.
    pub process_open_fds: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}

impl Default for Meters {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("wayhome");
        macro_rules! made {
            ($name:literal, $help:literal) => {
                made!($name, $help, Default::default())
            };
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, Clone::clone(&metric));
                metric
            }};
        }
        let timed: fn() -> Histogram = seconds;
        let meters = Self {
            calls: made!("calls", "Calls of peers that were answered"),
            call_seconds: made!(
                "call_seconds",
                "How long calls of peers took",
                Family::new_with_constructor(timed)
            ),
            calls_in_flight: made!("calls_in_flight", "Calls of peers under way"),
            calls_shed: made!("calls_shed", "Calls turned away: too many under way"),
            handshakes: made!("handshakes", "Connections that came in, by outcome"),
            key_exchanges: made!("key_exchanges", "How connections exchanged keys"),
            connections: made!("connections", "Connections of peers that are open"),
            peer_calls: made!("peer_calls", "Calls made to peers"),
            peer_call_seconds: made!(
                "peer_call_seconds",
                "How long calls to peers took",
                Family::new_with_constructor(timed)
            ),
            peer_retries: made!("peer_retries", "Calls made to peers again"),
            peer_spared: made!("peer_spared", "1 while a peer that is away is not called"),
            spans_lost: made!("spans_lost", "Spans that could not be exported"),
            ready: made!("ready", "1 while the node answers its peers"),
            not_ready: made!("not_ready", "1 for what keeps the node from answering"),
            roster_version: made!("roster_version", "Version of the roster in force"),
            roster_expires_timestamp_seconds: made!(
                "roster_expires_timestamp_seconds",
                "When the roster in force expires"
            ),
            key_epoch: made!("key_epoch", "Epoch of the coalition key"),
            log_leaves: made!("log_leaves", "Leaves in the log"),
            records: made!("records", "Records held"),
            index_records: made!("index_records", "Records that can be found by peers"),
            index_tokens: made!("index_tokens", "Tokens in the published index"),
            open_alerts: made!("open_alerts", "Alerts on protected records not yet noted"),
            own_quota_used_ratio: made!(
                "own_quota_used_ratio",
                "Part used of this member's quota at a peer"
            ),
            process_resident_memory_bytes: made!(
                "process_resident_memory_bytes",
                "Memory held by the process"
            ),
            process_open_fds: made!("process_open_fds", "Files and sockets open in the process"),
            registry: Registry::default(),
        };
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        Self { registry, ..meters }
    }
}

impl Meters {
    /// The content type of [`Meters::render`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Everything as OpenMetrics text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        let meters = Meters::default();
        let labels = CallLabels {
            method: "LookupService/Lookup",
            code: "OK".to_owned(),
        };
        meters.calls.get_or_create(&labels).inc();
        let method = labels.method;
        let taken = meters
            .call_seconds
            .get_or_create_owned(&MethodLabels { method });
        taken.observe(0.02);
        meters.ready.set(1);
        let text = meters.render();
        for line in [
            "wayhome_calls_total{method=\"LookupService/Lookup\",code=\"OK\"} 1",
            "wayhome_call_seconds_bucket{le=\"0.025\",method=\"LookupService/Lookup\"} 1",
            "wayhome_call_seconds_bucket{le=\"0.01\",method=\"LookupService/Lookup\"} 0",
            "wayhome_ready 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|said| said == line), "{line}\n{text}");
        }
    }
}
