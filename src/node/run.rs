//! Starting, running and stopping a node.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::accounts::{self, Ways};
use super::ceremonies::{Ceremonies, CeremonyDesk};
use super::config::{Config, ConfigError, OperatorConfig};
use super::directory::{Directory, DirectoryError, DirectoryLock};
use super::guard::Guard;
use super::health;
use super::house;
use super::identity::{Identity, IdentityError};
use super::keeper::Keeper;
use super::keys::KeyKeeper;
use super::log_http::LogFiles;
use super::membership::{self, Membership, MembershipError, Reach, SeenFiles};
use super::metered::MeteredLayer;
use super::metrics;
use super::openable;
use super::operator::{Operator, OperatorApi, OperatorParts, RemoteDoor, cases};
use super::otlp;
use super::pause::{pause, until};
use super::policies;
use super::reminders;
use super::replica;
use super::retention;
use super::rounds::{Rounds, record_alerts};
use super::serve::{self, Connections, Door, Exchange};
use super::supervisor::Supervisor;
use super::tending::{self, Tending};
use super::tls::{self, PinCheck, PinnedPeers, TlsError};
use super::witness::{Desk, Desked};
use crate::ambient::Ambient;
use crate::audit::AuditServer;
use crate::envelope::NoteSigner;
use crate::envelope::merkle::Hash;
use crate::exchange::ask::{MAX_MESSAGE, MAX_QUERY};
use crate::exchange::policy::PolicyError;
use crate::exchange::{Party, PartyParts, Peers, enrol, lookup, rosters};
use crate::linkage::RuleTable;
use crate::proto::exchange::audit_service_server::AuditServiceServer;
use crate::proto::exchange::ceremony_service_server::CeremonyServiceServer;
use crate::proto::exchange::disclosure_service_server::DisclosureServiceServer;
use crate::proto::exchange::lookup_service_server::LookupServiceServer;
use crate::proto::exchange::roster_service_server::RosterServiceServer;
use crate::proto::exchange::token_service_server::TokenServiceServer;
use crate::roster::{RosterError, TrustStore, TrustedRoster};
use crate::store::{
    Journal, Ledger, LedgerParts, LogSigner, Store, StoreError, TermKeeper, TermRefused,
};
use crate::tlog::{Checkpoint, Witness};

/// How often expired leads and remembered queries are dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(600);

/// How often lookups are compared with silent records. It does not depend on what is found.
const SILENT: Duration = Duration::from_secs(60);

/// How often it is looked whether another process has published.
const FILTER: Duration = Duration::from_secs(5);
/// How long an import may take, in milliseconds, before another process of the node takes it for
/// left behind.
const STAGING_MS: u64 = 86_400_000;

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
    /// The roots and the roster in the directory.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The pinned root, or the kept state of the roster.
    #[error("{place}: {source} ({code})", code = source.code())]
    Roster {
        /// Which document.
        place: &'static str,
        /// What is wrong.
        source: RosterError,
    },
    /// The disclosure policy cannot be followed, and there is no earlier one.
    #[error(
        "{path}: {error}\nmend the file, `wayhome policy check` says when it is right, or remove it to begin with the shipped policy"
    )]
    Policy {
        /// The file.
        path: String,
        /// What is wrong.
        error: PolicyError,
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
    let journal = config.backup.journal_in(directory);
    let store = Store::open(&config.database_in(directory), ring, token, ambient.clone())
        .await?
        .with_journal(Journal::open(&journal)?);
    do_anew(&store).await?;
    // What was staged by a run that ended is dropped: on a file every other has ended, on a server
    // those that take longer than a day.
    let staged_before = if config.database.is_shared() {
        ambient.now_ms().saturating_sub(STAGING_MS)
    } else {
        u64::MAX
    };
    store.discard_imports(staged_before).await?;
    store.keep_filter_at(directory.index_filter()).await?;
    let trust = trust_store(directory, &store).await?;
    let own = trust
        .contacts()
        .and_then(|roster| roster.member(config.member.as_str()));
    let identity = Arc::new(identity.in_use(directory, own, ambient.now())?);
    let peers = Arc::new(PinnedPeers::configured(
        Arc::clone(&identity),
        &config,
        ambient.clone(),
    ));
    let mut first = hex::encode(identity.pseudonym.public().as_bytes());
    if let Some(continues) = store.log_continues().await? {
        first = format!("{first} {continues}");
    }
    let log_key = identity.log.note_key();
    let keeper = Arc::new(Keeper::new(
        Guard::new(directory.guard(), log_key.name().as_str()),
        log_key,
        config.log.quorum,
        first,
        ambient.clone(),
    ));
    let ledger = Ledger::start(LedgerParts {
        store: store.clone(),
        signer: Arc::new(CheckpointSigner(identity.log.clone())),
        keeper: Arc::clone(&keeper) as Arc<dyn TermKeeper>,
    });
    let party = Party::new(PartyParts {
        id: config.member.clone(),
        signing_key: identity.signing.clone(),
        pseudonym_key: identity.pseudonym.clone(),
        policy: policies::kept(&store).await?,
        store,
        ledger,
        trust,
        shares,
        peers: Arc::clone(&peers) as Arc<dyn Peers>,
        rules,
        ambient: ambient.clone(),
    });
    let party = Arc::new(party);
    keeper.attach(&party);
    // A log that cannot be signed now keeps the node from answering, not from starting: its peers
    // are told why, and it tries again. What was to be recorded is recorded then.
    if let Err(error) = party.ledger().begin().await {
        tracing::error!(%error, "the log is not signed");
    }
    match house::set(&party, config.house_rules()).await {
        Err(StoreError::NotSigned(_)) => party.set_house_rules(config.house_rules()),
        other => {
            other?;
        }
    }
    let seen_files = membership::seen_files(directory);
    match membership::take_files(directory, &party, true).await {
        Err(MembershipError::Store(error @ StoreError::NotSigned(_))) => {
            tracing::warn!(%error, "the roster in the directory is taken later");
        }
        other => {
            other?;
        }
    }
    // An earlier run may have ended between a removal from the index and its mark.
    match enrol::mark_if_changed(&party).await {
        Err(error @ StoreError::NotSigned(_)) => {
            tracing::warn!(%error, "the index is marked by the next publication");
        }
        other => other?,
    }
    policies::take_at_start(directory, &party).await?;
    Ok(Opened {
        config,
        identity,
        party,
        peers,
        seen_files,
        _lock: lock,
    })
}

/// Compares the database with what is kept outside of it. A database that came back from a backup
/// does anew what it has forgotten, before anybody is answered.
async fn do_anew(store: &Store) -> Result<(), NodeError> {
    store.settle_journal().await?;
    let replayed = store.replay_journal().await?;
    if replayed.is_older() {
        tracing::error!(
            leaves = replayed.size,
            known = replayed.known_size,
            erased = replayed.erased,
            withdrawn = replayed.withdrawn,
            "the database is older than the node's journal: it came back from a backup; what the \
             journal knows was done anew"
        );
    }
    Ok(())
}

/// An open node. While it lives no other process opens the same directory.
pub struct Opened {
    /// Its configuration.
    pub config: Config,
    /// Its keys.
    pub identity: Arc<Identity>,
    /// The node as a party.
    pub party: Arc<Party>,
    /// How it reaches the others.
    pub peers: Arc<PinnedPeers>,
    /// The files of the directory that were looked at.
    pub(super) seen_files: SeenFiles,
    _lock: DirectoryLock,
}

/// The newest roster that the node of a directory trusts, expired or not, as its database has it;
/// `None` if there is no database here, as on an offline machine, or no roster in it. The node may be
/// running.
///
/// # Errors
/// [`NodeError`] if there is a database and it cannot be read.
pub async fn kept_roster(
    directory: &Directory,
    ambient: &Ambient,
) -> Result<Option<Arc<TrustedRoster>>, NodeError> {
    let config = Config::load(directory)?;
    let file = config.database.file(directory);
    if file.as_ref().is_some_and(|file| !file.exists()) {
        return Ok(None);
    }
    let (ring, token) = Identity::store_keys(directory)?;
    let address = config.database_in(directory);
    let store = match Store::open(&address, ring, token, ambient.clone()).await {
        // A machine that is offline reaches no server.
        Err(error) if file.is_none() => {
            tracing::warn!(%error, "the node's database cannot be asked for its newest roster");
            return Ok(None);
        }
        opened => opened?,
    };
    let trust = trust_store(directory, &store).await;
    store.close().await;
    Ok(trust?.roster().cloned())
}

pub(super) async fn trust_store(
    directory: &Directory,
    store: &Store,
) -> Result<TrustStore, NodeError> {
    let root = directory
        .read_if_there("root.note")?
        .ok_or_else(|| NodeError::NoRoot {
            path: directory.file("root.note").display().to_string(),
        })?;
    let at = |place: &'static str| move |source| NodeError::Roster { place, source };
    match store.setting(rosters::TRUST).await? {
        Some(state) => {
            TrustStore::from_state(root.as_bytes(), &state).map_err(at("the kept roster"))
        }
        None => TrustStore::new(root.as_bytes()).map_err(at("root.note")),
    }
}

/// A node that is ready, as what runs beside it is given it.
pub struct Running {
    /// The address that peers connect to.
    pub address: SocketAddr,
    /// Its operator API, without the socket.
    pub api: OperatorApi,
    /// Where its operator API is reached over the network, if it is.
    pub operators: Option<SocketAddr>,
    /// Its database.
    pub store: Store,
    /// Turns true when the node stops.
    pub stopped: watch::Receiver<bool>,
}

/// Runs the node in `directory` until `shutdown` is done. `ready` is told when it is.
///
/// # Errors
/// [`NodeError`] if it cannot start, or a server ends.
pub async fn run(
    directory: Directory,
    ambient: Ambient,
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(Running),
) -> Result<(), NodeError> {
    // From here on a SIGHUP that comes before the node serves does not end it.
    let _hangup = signal(SignalKind::hangup());
    let supervisor = Arc::new(Supervisor::from_environment());
    supervisor.status("Opening the database");
    let opened = open_party(&directory, &ambient).await?;
    let (config, identity, party) = (&opened.config, &opened.identity, &opened.party);
    let connections = Arc::new(Connections::default());
    let accepts = accepts(party);
    let (shown, tls) = watch::channel(Arc::new(tls::server_config(
        identity,
        Arc::clone(&accepts),
        config.tls.post_quantum,
    )?));
    let membership = Arc::new(Membership::new(
        directory.clone(),
        &opened,
        identity.renewed()?,
        Reach {
            peers: Arc::clone(&opened.peers),
            connections: Arc::clone(&connections),
            accepts: Arc::clone(&accepts),
            post_quantum: config.tls.post_quantum,
            witness: identity.witness.clone(),
            shown,
        },
    ));
    // Before anybody is listened to: nodes that start together refuse each other at once, instead of
    // waiting for each other.
    membership.ask_at_start().await;
    let listen = |address: &dyn std::fmt::Display| {
        let address = address.to_string();
        move |source| NodeError::Listen { address, source }
    };
    let metrics = match config.telemetry.metrics {
        Some(address) => Some(TcpListener::bind(address).await.map_err(listen(&address))?),
        None => None,
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
    // What goes on beside the servers until the node stops.
    let mut beside = JoinSet::new();
    let (alarm, alarms) = mpsc::unbounded_channel();
    let desk = Desk::new(
        Arc::new(AtNode(Arc::clone(party))),
        party.store().clone(),
        Witness::new(identity.witness.clone()),
        ambient.clone(),
        alarm.clone(),
    );
    let rounds = Arc::new(Rounds::new(Arc::clone(party), alarm));
    // Before anybody is answered: a share that a roster took back must not answer.
    let tending = Tending::begin(directory.clone(), Arc::clone(party)).await;
    beside.spawn(tending::go_on(
        tending,
        config.rederive_per_minute,
        stopped.clone(),
    ));
    let door = Door {
        config: tls,
        accepts,
        connections,
        limits: config.limits,
        telemetry: Arc::clone(party.telemetry()),
    };
    let ceremonies = Arc::new(Ceremonies::new(directory.clone(), Arc::clone(party)));
    let exchange = Exchange {
        party: Arc::clone(party),
        stopped: stopped.clone(),
    };
    let files = CeremonyDesk::new(exchange.clone(), directory.clone());
    let keeper = Arc::new(KeyKeeper::new(
        directory.clone(),
        config.keys.clone(),
        ambient.clone(),
    ));
    keeper.begin(party.store()).await;
    beside.spawn({
        let (party, keeper, stopped) = (Arc::clone(party), Arc::clone(&keeper), stopped.clone());
        async move { keeper.keep(&party, stopped).await }
    });
    if let Some(collector) = config.telemetry.otlp {
        let exporter = otlp::start(collector, config.member.to_string(), stopped.clone());
        party.telemetry().export_to(exporter);
    }
    let (reporter, health_service) = tonic_health::server::health_reporter();
    beside.spawn(health::watch(
        Arc::clone(party),
        reporter,
        Arc::clone(&supervisor),
        stopped.clone(),
    ));
    let peers = peer_server(exchange, desk, files, listener, door, health_service);
    let operator = Operator::new(OperatorParts {
        party: Arc::clone(party),
        membership: Arc::clone(&membership),
        rounds: Arc::clone(&rounds),
        ceremonies: Arc::clone(&ceremonies),
        stopped: stopped.clone(),
        keeper,
        ways: Arc::new(Ways::new(config, &directory)),
    });
    let api = OperatorApi::new(operator.clone());
    beside.spawn(ceremonies.go_on(stopped.clone()));
    let remote = match &config.operator {
        Some(operator) => open_to_systems(operator, &directory).await,
        None => None,
    };
    let remote_address = remote.as_ref().map(RemoteDoor::address);
    let remote = {
        let (operator, stopped) = (operator.clone(), stopped.clone());
        async move {
            if let Some(door) = remote {
                door.serve(operator, stopped).await;
            }
            Ok::<(), tonic::transport::Error>(())
        }
    };
    let own = operator_server(operator, operators, stopped.clone());
    beside.spawn(membership.watch(stopped.clone()));
    beside.spawn(cases::nightly(Arc::clone(party), stopped.clone()));
    beside.spawn(keep_house(Arc::clone(party), stopped.clone()));
    beside.spawn(watch_silent(Arc::clone(party), stopped.clone()));
    beside.spawn(keep_filter(Arc::clone(party), stopped.clone()));
    beside.spawn(record_alerts(Arc::clone(party), alarms));
    beside.spawn(rounds.run(stopped.clone()));
    beside.spawn(policies::watch(
        directory.clone(),
        Arc::clone(party),
        stopped.clone(),
    ));
    if config.database.is_shared() {
        beside.spawn(replica::follow(Arc::clone(party), stopped.clone()));
    }
    beside.spawn(reminders::work(Arc::clone(party), stopped.clone()));
    beside.spawn(reminders::notify(Arc::clone(party), stopped.clone()));
    beside.spawn(reminders::send(
        Arc::clone(party),
        config.notify.clone(),
        directory.path().to_owned(),
        stopped.clone(),
    ));
    beside.spawn(openable::keep(Arc::clone(party), stopped.clone()));
    beside.spawn(retention::keep(
        Arc::clone(party),
        config.retention.clone(),
        stopped.clone(),
    ));
    let alive = Arc::clone(&supervisor);
    let watched = stopped.clone();
    beside.spawn(async move { alive.stay_alive(watched).await });
    if let Some(listener) = metrics {
        beside.spawn(metrics::serve(listener, Arc::clone(party), stopped.clone()));
    }
    ready(Running {
        address,
        api,
        operators: remote_address,
        store: party.store().clone(),
        stopped: stopped.clone(),
    });
    supervisor.ready(address);
    tracing::info!(member = %config.member, %address, "the node is ready");
    let servers = async { tokio::try_join!(peers, own, remote).map(|_| ()) };
    tokio::pin!(servers);
    let outcome = tokio::select! {
        outcome = &mut servers => outcome,
        () = shutdown => {
            tracing::info!("the node is stopping");
            supervisor.stopping();
            let _ = stop.send(true);
            tokio::time::timeout(DRAIN, servers).await.unwrap_or(Ok(()))
        }
    };
    let _ = stop.send(true);
    beside.shutdown().await;
    let _ = std::fs::remove_file(&socket);
    party.store().close().await;
    outcome.map_err(NodeError::from)
}

/// The door for the member's own systems. One that cannot be opened keeps nobody else from the node.
async fn open_to_systems(config: &OperatorConfig, directory: &Directory) -> Option<RemoteDoor> {
    match RemoteDoor::open(config, directory).await {
        Ok(door) => Some(door),
        Err(error) => {
            tracing::error!(%error, "the operator API is on the socket alone");
            None
        }
    }
}

/// Who may connect: an active party of the last roster that is known. If that is not in force, all
/// that is answered is who asks for a newer one.
fn accepts(party: &Arc<Party>) -> PinCheck {
    let party = Arc::clone(party);
    Arc::new(move |spki| {
        party
            .known_roster()
            .is_some_and(|roster| party.caller(&roster, spki).is_ok())
    })
}

fn peer_server(
    exchange: Exchange,
    desk: Desk,
    files: CeremonyDesk,
    listener: TcpListener,
    door: Door,
    health: HealthServer<impl Health>,
) -> impl Future<Output = Result<(), tonic::transport::Error>> {
    let (party, stopped) = (Arc::clone(&exchange.party), exchange.stopped.clone());
    macro_rules! limited {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(MAX_QUERY)
                .max_encoding_message_size(MAX_MESSAGE)
        };
    }
    serve::limits(Server::builder())
        .layer(MeteredLayer::new(Arc::clone(&party), door.limits))
        .layer(tower::util::MapResponseLayer::new(serve::with_reason))
        .add_service(health.max_decoding_message_size(1024))
        .add_service(LogFiles::new(Arc::clone(&party)))
        .add_service(desk)
        .add_service(limited!(TokenServiceServer, exchange.clone()))
        .add_service(limited!(LookupServiceServer, exchange.clone()))
        .add_service(limited!(DisclosureServiceServer, exchange.clone()))
        .add_service(limited!(RosterServiceServer, exchange.clone()))
        .add_service(limited!(CeremonyServiceServer, files))
        .add_service(limited!(
            AuditServiceServer,
            AuditServer::new(party, serve::pin_of)
        ))
        .serve_with_incoming_shutdown(serve::accept(listener, door), until(stopped))
}

/// The node behind its own witness.
struct AtNode(Arc<Party>);

impl Desked for AtNode {
    fn roster(&self) -> Option<Arc<TrustedRoster>> {
        self.0.roster().ok()
    }

    fn memory_is_whole(&self) -> bool {
        matches!(
            self.0.ledger().standing(),
            Some(Ok(()) | Err(TermRefused::Elsewhere))
        )
    }
}

fn operator_server(
    operator: Operator,
    listener: UnixListener,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = Result<(), tonic::transport::Error>> {
    operator.routes().serve_with_incoming_shutdown(
        tokio_stream::wrappers::UnixListenerStream::new(listener),
        until(stopped),
    )
}

/// Compares lookups with silent records, again and again.
async fn watch_silent(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    while pause(SILENT, &mut stopped).await {
        if let Err(error) = lookup::compare_with_silent(&party).await {
            tracing::error!(%error, "lookups could not be compared with silent records");
        }
    }
}

/// Keeps the filter of the index at its newest mark, whichever process of this node has set it, and
/// its file with it.
async fn keep_filter(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = party.store().refresh_filter().await {
            tracing::warn!(%error, "the index filter could not be brought up to date");
        }
        if !pause(FILTER, &mut stopped).await {
            return;
        }
    }
}

/// Drops what has expired, now and then.
async fn keep_house(party: Arc<Party>, mut stopped: watch::Receiver<bool>) {
    while pause(HOUSEKEEPING, &mut stopped).await {
        let now = party.ambient().now_ms();
        if let Err(error) = party.store().forget_expired(now).await {
            tracing::error!(%error, "expired rows could not be dropped");
        }
        if let Err(error) = accounts::forget_ended(&party).await {
            tracing::error!(%error, "ended sessions could not be dropped");
        }
        // What an erasure could not empty of old pages, because they were still read.
        if let Err(error) = party.store().scrub().await {
            tracing::error!(%error, "old pages of the database could not be emptied");
        }
    }
}

fn restrict(socket: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))
}
