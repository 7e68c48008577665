//! One running node: its directory, its keys, its servers.

pub mod accounts;
pub mod backup;
pub mod ceremonies;
pub mod ceremony;
pub mod config;
mod database;
pub mod directory;
mod guard;
mod health;
mod house;
pub mod identity;
mod keeper;
pub mod keys;
mod log_http;
pub mod membership;
mod metered;
mod metrics;
mod new_origin;
mod openable;
mod operator;
pub mod otlp;
mod pause;
mod policies;
pub mod readiness;
mod reminders;
mod replica;
pub mod retention;
mod rounds;
mod run;
pub mod serve;
pub mod settings;
pub mod shares;
mod supervisor;
#[cfg(debug_assertions)]
mod tap;
mod tending;
pub mod tls;
mod web;
pub mod webhook;
mod witness;
mod witness_run;

pub use backup::BackupConfig;
pub use config::{Config, ConfigError, LogConfig, default_rederive_per_minute};
pub use database::{DatabaseAddress, DatabaseAddressError};
pub use directory::{Directory, DirectoryError, DirectoryLock};
pub use identity::{Identity, IdentityError, PublicIdentity, Successors};
pub use keys::KeysConfig;
pub use new_origin::{NewOrigin, NewOriginError, new_log_origin};
pub use operator::{
    AsPerson, InProcess, MAX_OPERATOR_MESSAGE, OperatorApi, OperatorChannel, RemoteDoor,
    RemoteError, client as operator_client, client_as as operator_client_as,
};
pub use policies::FILE as POLICY_FILE;
pub use run::{NodeError, Opened, Running, kept_roster, open_party, run};
pub use shares::{KeptShare, Origin};
pub use tls::{PinnedPeers, Routes, TlsError};
pub use witness_run::run_witness;
