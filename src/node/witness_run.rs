//! A witness without a node: an ombudsman's office that cosigns the logs of the coalition.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::transport::Server;

use super::config::{Config, ConfigError};
use super::directory::Directory;
use super::identity::Identity;
use super::run::NodeError;
use super::serve::{self, Door};
use super::tls::{self, PinCheck};
use super::witness::{Desk, Desked};
use crate::ambient::Ambient;
use crate::roster::{TrustStore, TrustedRoster, Update};
use crate::store::{LogFinding, Store};
use crate::tlog::Witness;

/// The witness's memory.
const DATABASE: &str = "witness.db";

/// How often the directory is looked at for a newer roster.
const ROSTER_WATCH: Duration = Duration::from_secs(1);

/// How long requests under way are given when the witness stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Whom an office without a node trusts: what lies in its directory.
struct Office {
    trust: RwLock<TrustStore>,
    ambient: Ambient,
}

impl Desked for Office {
    fn roster(&self) -> Option<Arc<TrustedRoster>> {
        let trust = self.trust.read().unwrap_or_else(PoisonError::into_inner);
        trust.roster_in_force(self.ambient.now()).cloned().ok()
    }

    /// Its memory is a database of its own, which is never taken back: nothing here could tell.
    fn memory_is_whole(&self) -> bool {
        true
    }
}

impl Office {
    /// Takes the roster in the directory if it is newer, and keeps the state before acting on it.
    async fn adopt(&self, directory: &Directory, store: &Store) -> Result<(), NodeError> {
        let Some(note) = directory.read_if_there("roster.note")? else {
            return Ok(());
        };
        let now = self.ambient.now();
        let mut candidate = self
            .trust
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match candidate.update(std::iter::empty(), Some(note.as_bytes()), now) {
            Ok(Update::Unchanged) => {}
            Ok(Update::Updated) => {
                store
                    .set_setting("trust_store", &candidate.to_state())
                    .await?;
                *self.trust.write().unwrap_or_else(PoisonError::into_inner) = candidate;
                tracing::info!("a roster came into force");
            }
            Err(error) => {
                tracing::warn!(%error, code = error.code(), "the roster in the directory was not taken");
            }
        }
        Ok(())
    }
}

/// Runs a witness in `directory` until `shutdown` is done. `ready` is told the address listened on,
/// `alarm` what is found out.
///
/// # Errors
/// [`NodeError`] if it cannot start, or the server ends.
pub async fn run_witness(
    directory: Directory,
    ambient: Ambient,
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(SocketAddr),
    mut alarm: impl FnMut(&LogFinding),
) -> Result<(), NodeError> {
    let config = Config::load(&directory).map_err(|error: ConfigError| NodeError::from(error))?;
    let _lock = directory.lock()?;
    let identity = Identity::load(&directory)?;
    let (ring, token) = Identity::store_keys(&directory)?;
    let address = format!("sqlite:{}", directory.file(DATABASE).display());
    let store = Store::open(&address, ring, token, ambient.clone()).await?;
    let office = Arc::new(Office {
        trust: RwLock::new(super::run::trust_store(&directory, &store).await?),
        ambient: ambient.clone(),
    });
    office.adopt(&directory, &store).await?;

    let (alarms, mut found) = mpsc::unbounded_channel();
    let desk = Desk::new(
        Arc::clone(&office) as Arc<dyn Desked>,
        store.clone(),
        Witness::new(identity.witness.clone()),
        ambient.clone(),
        alarms,
    );
    let accepts = {
        let office = Arc::clone(&office);
        let ambient = ambient.clone();
        Arc::new(move |spki: &[u8; 32]| {
            office
                .roster()
                .is_some_and(|roster| roster.member_by_tls_pin(spki, ambient.now()).is_ok())
        })
    };
    let accepts: PinCheck = accepts;
    let (_config, config_changes) = watch::channel(Arc::new(tls::server_config(
        &identity,
        Arc::clone(&accepts),
        config.tls.post_quantum,
    )?));
    let door = Door {
        config: config_changes,
        accepts,
        connections: Arc::default(),
        limits: config.limits,
        telemetry: Arc::default(),
    };
    let listen = |source| NodeError::Listen {
        address: config.listen.to_string(),
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .max_concurrent_streams(16)
        .timeout(Duration::from_secs(20))
        .http2_max_header_list_size(16 * 1024)
        .add_service(desk)
        .serve_with_incoming_shutdown(serve::accept(listener, door), async {
            let _ = stopped.await;
        });
    tokio::pin!(server, shutdown);
    ready(address);
    let mut watch = tokio::time::interval(ROSTER_WATCH);
    let outcome = loop {
        tokio::select! {
            outcome = &mut server => break outcome,
            () = &mut shutdown => {
                let _ = stop.send(());
                break tokio::time::timeout(DRAIN, server).await.unwrap_or(Ok(()));
            }
            Some(alert) = found.recv() => alarm(&alert),
            _ = watch.tick() => {
                if let Err(error) = office.adopt(&directory, &store).await {
                    tracing::error!(%error, "the roster in the directory could not be taken");
                }
            }
        }
    };
    store.close().await;
    outcome.map_err(NodeError::from)
}
