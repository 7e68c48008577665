//! One running node: its directory, its keys, its servers.

pub mod ceremony;
pub mod config;
pub mod directory;
mod house;
pub mod identity;
mod log_http;
pub mod membership;
mod operator;
mod run;
mod serve;
pub mod shares;
#[cfg(debug_assertions)]
mod tap;
mod tending;
pub mod tls;

pub use config::{Config, ConfigError, default_rederive_per_minute};
pub use directory::{Directory, DirectoryError};
pub use identity::{Identity, IdentityError, PublicIdentity};
pub use operator::client as operator_client;
pub use run::{NodeError, open_party, run};
pub use shares::{KeptShare, Origin};
pub use tls::{PinnedPeers, Routes, TlsError};
