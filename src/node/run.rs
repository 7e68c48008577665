//! Starting, running and stopping a node.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tonic::transport::Server;

use super::config::{Config, ConfigError};
use super::directory::{Directory, DirectoryError};
use super::identity::{Identity, IdentityError};
use super::log_http::LogFiles;
use super::operator::Operator;
use super::serve::{self, Exchange};
use super::tending::{self, Tending};
use super::tls::{self, PinnedPeers, TlsError};
use crate::ambient::Ambient;
use crate::audit::AuditServer;
use crate::envelope::NoteSigner;
use crate::envelope::merkle::Hash;
use crate::exchange::ask::{self, MAX_MESSAGE, MAX_QUERY};
use crate::exchange::leaf::Leaf;
use crate::exchange::{Party, PartyParts, rosters};
use crate::linkage::RuleTable;
use crate::proto::exchange as pb;
use crate::proto::exchange::audit_service_server::AuditServiceServer;
use crate::proto::exchange::disclosure_service_server::DisclosureServiceServer;
use crate::proto::exchange::lookup_service_server::LookupServiceServer;
use crate::proto::exchange::roster_service_server::RosterServiceServer;
use crate::proto::exchange::token_service_server::TokenServiceServer;
use crate::roster::{RosterError, TrustStore, Update};
use crate::store::{Act, Ledger, LogSigner, Store, StoreError};
use crate::tlog::Checkpoint;

/// How often the directory is looked at for a newer roster.
const ROSTER_WATCH: Duration = Duration::from_secs(1);

/// How often expired leads and remembered queries are dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(600);

/// How long calls under way are given when the node stops.
const DRAIN: Duration = Duration::from_secs(20);

/// Why a node could not be started, or stopped running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No root is pinned yet.
    #[error(
        "{path} is missing: ask the coalition's secretariat for its signed root document, compare its digest by another way, and put it there"
    )]
    NoRoot {
        /// Where it belongs.
        path: String,
    },
    /// The pinned root, or the kept state of the roster.
    #[error("{place}: {source} ({code})", code = source.code())]
    Roster {
        /// Which document.
        place: &'static str,
        /// What is wrong.
        source: RosterError,
    },
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The shipped rule table.
    #[error("the linkage rule table is damaged: {0}")]
    Rules(String),
    /// A listener could not be bound.
    #[error("{address} cannot be listened on: {source}; is another node running there?")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server ended.
    #[error("the server ended: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// Signs this node's checkpoints.
struct CheckpointSigner(NoteSigner);

impl LogSigner for CheckpointSigner {
    fn sign_checkpoint(&self, size: u64, root: &Hash) -> String {
        let origin = self.0.note_key().name().clone();
        Checkpoint::new(origin, size, *root)
            .and_then(|checkpoint| checkpoint.sign(&self.0))
            .map(|signed| signed.to_string())
            // The origin is the key's own name, and no log reaches the size limit.
            .unwrap_or_default()
    }
}

/// Opens everything that a node consists of, without listening.
///
/// # Errors
/// [`NodeError`] names what is missing or wrong.
pub async fn open_party(directory: &Directory, ambient: &Ambient) -> Result<Opened, NodeError> {
    let config = Config::load(directory)?;
    let lock = directory.lock()?;
    let identity = Identity::load(directory)?;
    let shares = identity.shares(directory)?;
    let shares = shares.into_iter().map(|kept| kept.holding).collect();
    let rules = RuleTable::shipped().map_err(|error| NodeError::Rules(error.to_string()))?;
    let (ring, token) = Identity::store_keys(directory)?;
    let store = Store::open(&config.database_in(directory), ring, token, ambient.clone()).await?;
    store.discard_import(None).await?;
    let identity = Arc::new(identity);
    let trust = trust_store(directory, &store).await?;
    let ledger = Ledger::start(
        store.clone(),
        Arc::new(CheckpointSigner(identity.log.clone())),
    );
    if store.checkpoint().await?.is_none() {
        let key = identity.pseudonym.public();
        let (leaf, _) = Leaf::new(pb::Act::LogStarted, ambient, &pb::Outcome::default())
            .set(|entry| entry.reference = hex::encode(key.as_bytes()))
            .finish();
        ledger.commit(Act::alone(leaf)).await?;
    }
    let party = Party::new(PartyParts {
        id: config.member.clone(),
        signing_key: identity.signing.clone(),
        pseudonym_key: identity.pseudonym.clone(),
        allow_list: config.allow_list().map_err(ConfigError::from)?,
        store,
        ledger,
        trust,
        shares,
        peers: Arc::new(PinnedPeers::new(Arc::clone(&identity), ambient.clone())),
        rules,
        ambient: ambient.clone(),
    });
    let party = Arc::new(party);
    adopt_roster_file(directory, &party).await?;
    Ok(Opened {
        config,
        identity,
        party,
        _lock: lock,
    })
}

/// An open node. While it lives no other process opens the same directory.
pub struct Opened {
    /// Its configuration.
    pub config: Config,
    /// Its keys.
    pub identity: Arc<Identity>,
    /// The node as a party.
    pub party: Arc<Party>,
    _lock: std::fs::File,
}

async fn trust_store(directory: &Directory, store: &Store) -> Result<TrustStore, NodeError> {
    let root = directory
        .read_if_there("root.note")?
        .ok_or_else(|| NodeError::NoRoot {
            path: directory.file("root.note").display().to_string(),
        })?;
    let at = |place: &'static str| move |source| NodeError::Roster { place, source };
    match store.setting("trust_store").await? {
        Some(state) => {
            TrustStore::from_state(root.as_bytes(), &state).map_err(at("the kept roster"))
        }
        None => TrustStore::new(root.as_bytes()).map_err(at("root.note")),
    }
}

/// Takes the roster that lies in the directory, if it is newer than the one in force.
async fn adopt_roster_file(directory: &Directory, party: &Party) -> Result<(), NodeError> {
    let Some(note) = directory.read_if_there("roster.note")? else {
        return Ok(());
    };
    let outcome = party.offer_roster(&[], Some(note.as_bytes())).await?;
    match outcome {
        Ok(Update::Unchanged) => {}
        Ok(Update::Updated) => record_adoption(party).await?,
        // An older file beside a newer kept roster is no fault: the newer one stays in force.
        Err(error) => {
            tracing::warn!(%error, code = error.code(), "the roster in the directory was not taken");
        }
    }
    Ok(())
}

async fn record_adoption(party: &Party) -> Result<(), NodeError> {
    let Some((version, digest)) = party.with_trust(|trust| {
        let roster = trust.roster()?;
        Some((roster.version(), roster.digest()))
    }) else {
        return Ok(());
    };
    let (leaf, _) = Leaf::new(
        pb::Act::RosterAdopted,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| entry.reference = format!("version={version} sha256={digest}"))
    .finish();
    party.ledger().commit(Act::alone(leaf)).await?;
    tracing::info!(version, "a roster came into force");
    Ok(())
}

/// Runs the node in `directory` until `shutdown` is done. `ready` is told the address listened on.
///
/// # Errors
/// [`NodeError`] if it cannot start, or a server ends.
pub async fn run(
    directory: Directory,
    ambient: Ambient,
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), NodeError> {
    let opened = open_party(&directory, &ambient).await?;
    let (config, identity, party) = (&opened.config, &opened.identity, &opened.party);
    let listen = |address: &dyn std::fmt::Display| {
        let address = address.to_string();
        move |source| NodeError::Listen { address, source }
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(listen(&config.listen))?;
    let address = listener.local_addr().map_err(listen(&config.listen))?;
    let socket = directory.socket();
    // What an earlier run left there listens no more: this process holds the directory's lock.
    let _ = std::fs::remove_file(&socket);
    let operators = UnixListener::bind(&socket).map_err(listen(&socket.display()))?;
    restrict(&socket).map_err(listen(&socket.display()))?;

    let (stop, stopped) = watch::channel(false);
    let peers = peer_server(party, identity, listener, stopped.clone())?;
    let own = operator_server(party, operators, stopped.clone());
    let watcher = tokio::spawn(watch_directory(
        directory.clone(),
        Arc::clone(party),
        stopped.clone(),
    ));
    // Before anybody is answered: a share that a roster took back must not answer.
    let tending = Tending::begin(directory.clone(), Arc::clone(party)).await;
    let tending = tokio::spawn(tending::go_on(
        tending,
        config.rederive_per_minute,
        stopped.clone(),
    ));
    ready(address);
    tracing::info!(member = %config.member, %address, "the node is ready");
    let servers = async { tokio::try_join!(peers, own).map(|_| ()) };
    tokio::pin!(servers);
    let outcome = tokio::select! {
        outcome = &mut servers => outcome,
        () = shutdown => {
            tracing::info!("the node is stopping");
            let _ = stop.send(true);
            tokio::time::timeout(DRAIN, servers).await.unwrap_or(Ok(()))
        }
    };
    let _ = stop.send(true);
    watcher.abort();
    tending.abort();
    let _ = std::fs::remove_file(&socket);
    party.store().close().await;
    outcome.map_err(NodeError::from)
}

fn peer_server(
    party: &Arc<Party>,
    identity: &Identity,
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
) -> Result<impl Future<Output = Result<(), tonic::transport::Error>>, NodeError> {
    let accepts = {
        let party = Arc::clone(party);
        Arc::new(move |spki: &[u8; 32]| {
            party
                .roster()
                .is_ok_and(|roster| party.caller(&roster, spki).is_ok())
        })
    };
    let config = tls::server_config(identity, accepts)?;
    let exchange = Exchange(Arc::clone(party));
    macro_rules! limited {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(MAX_QUERY)
                .max_encoding_message_size(MAX_MESSAGE)
        };
    }
    Ok(Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(64)
        .timeout(ask::TIMEOUT)
        .http2_max_header_list_size(16 * 1024)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .layer(tower::util::MapResponseLayer::new(serve::with_reason))
        .add_service(LogFiles::new(Arc::clone(party)))
        .add_service(limited!(TokenServiceServer, exchange.clone()))
        .add_service(limited!(LookupServiceServer, exchange.clone()))
        .add_service(limited!(DisclosureServiceServer, exchange.clone()))
        .add_service(limited!(RosterServiceServer, exchange.clone()))
        .add_service(limited!(
            AuditServiceServer,
            AuditServer::new(Arc::clone(party), serve::pin_of)
        ))
        .serve_with_incoming_shutdown(serve::accept(listener, config), until(stopped)))
}

fn operator_server(
    party: &Arc<Party>,
    listener: UnixListener,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = Result<(), tonic::transport::Error>> {
    Operator::new(Arc::clone(party))
        .routes()
        .serve_with_incoming_shutdown(
            tokio_stream::wrappers::UnixListenerStream::new(listener),
            until(stopped),
        )
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops the node as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Looks for a newer roster in the directory and at the peers, and keeps house.
async fn watch_directory(directory: Directory, party: Arc<Party>, stopped: watch::Receiver<bool>) {
    let mut last_seen = None;
    let mut ticks: u64 = 0;
    let housekeeping_ticks = HOUSEKEEPING.as_secs() / ROSTER_WATCH.as_secs();
    while !*stopped.borrow() {
        tokio::time::sleep(ROSTER_WATCH).await;
        ticks += 1;
        let modified = std::fs::metadata(directory.file("roster.note"))
            .and_then(|metadata| metadata.modified())
            .ok();
        if modified != last_seen {
            last_seen = modified;
            if let Err(error) = adopt_roster_file(&directory, &party).await {
                tracing::error!(%error, "the roster in the directory could not be taken");
            }
        }
        if ticks.is_multiple_of(housekeeping_ticks) {
            let now = party.ambient().now_ms();
            if let Err(error) = party.store().forget_expired(now).await {
                tracing::error!(%error, "expired rows could not be dropped");
            }
            // A peer that does not answer keeps neither the files nor the others waiting.
            tokio::spawn({
                let party = Arc::clone(&party);
                async move { ask_for_rosters(&party).await }
            });
        }
    }
}

async fn ask_for_rosters(party: &Arc<Party>) {
    let Ok(roster) = party.roster() else { return };
    for member in crate::exchange::lookup::others(party, &roster) {
        match rosters::fetch(party, member).await {
            Ok(Ok(Update::Updated)) => {
                if let Err(error) = record_adoption(party).await {
                    tracing::error!(%error, "a roster could not be recorded");
                }
            }
            Ok(Ok(Update::Unchanged)) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    peer = member.id.as_str(),
                    code = error.code(),
                    "a peer's roster was refused"
                );
            }
            Err(error) => {
                tracing::info!(
                    peer = member.id.as_str(),
                    code = error.code(),
                    "a peer gave no roster"
                );
            }
        }
    }
}

fn restrict(socket: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))
}
