//! The protocol's messages and services, generated from `proto/`.
//!
//! Generated messages implement no `Debug`: some carry personal data.

#![allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]

/// Between parties: `wayhome.exchange.v1`.
pub mod exchange {
    tonic::include_proto!("wayhome.exchange.v1");
}

/// Between a member's own systems and its node: `wayhome.operator.v1`.
pub mod operator {
    tonic::include_proto!("wayhome.operator.v1");
}
