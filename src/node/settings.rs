//! Sections of `node.toml` about the node as a machine: how it is connected to.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

/// `[tls]` of `node.toml`.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Whether connections must be safe from who records them now and has a quantum computer later.
    #[serde(default)]
    pub post_quantum: PostQuantum,
}

/// Whether keys are exchanged by X25519MLKEM768, which holds as long as one of X25519 and ML-KEM-768
/// does.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PostQuantum {
    /// With every party that can; X25519 or an elliptic curve with others.
    #[default]
    Preferred,
    /// With every party; there is no connection with others.
    Required,
}

/// `[limits]` of `node.toml`: what one peer, or all of them, can take of this node.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls of all parties under way at once; more are refused with `OVERLOADED`.
    pub calls: NonZeroUsize,
    /// Calls of one party under way at once; more wait.
    pub calls_per_party: NonZeroUsize,
    /// Calls of one party that wait; more are refused with `OVERLOADED`.
    pub waiting_per_party: usize,
    /// Connections open at once; more are closed unheard.
    pub connections: NonZeroUsize,
    /// Connections of one party.
    pub connections_per_party: NonZeroUsize,
    /// Connections from one address, those whose handshake is under way included.
    pub connections_per_address: NonZeroUsize,
    /// Handshakes under way from one address.
    pub handshakes_per_address: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        let number = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        Self {
            calls: number(1024),
            calls_per_party: number(128),
            waiting_per_party: 256,
            connections: number(2048),
            connections_per_party: number(64),
            connections_per_address: number(512),
            handshakes_per_address: number(64),
        }
    }
}

/// `[telemetry]` of `node.toml`: both addresses are on the loopback.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Where metrics and readiness are served, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// The OpenTelemetry collector that takes spans (OTLP over gRPC), if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<SocketAddr>,
}

impl TelemetrySettings {
    /// The first address that others than this machine could reach or read.
    #[must_use]
    pub fn exposed(&self) -> Option<SocketAddr> {
        [self.metrics, self.otlp]
            .into_iter()
            .flatten()
            .find(|address| !address.ip().is_loopback())
    }
}
