//! Wayhome: a federated, minimal-disclosure exchange node.

pub mod ambient;
pub mod audit;
pub mod cli;
pub mod console;
pub mod demo;
pub mod envelope;
pub mod exchange;
pub mod linkage;
pub mod locale;
pub mod node;
pub mod oprf;
pub mod proto;
pub mod records;
pub mod roster;
pub mod store;
pub mod telemetry;
pub mod tlog;
pub mod vault;
