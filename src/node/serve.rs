//! The node's listener: TLS handshakes, connections with the peer's pin, and the services behind
//! them.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt as _};
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status, Streaming};

use super::identity::spki_sha256;
use super::pause::until;
use super::settings::Limits;
use super::tls::PinCheck;
use crate::exchange::ask::{self, MAX_QUERY};
use crate::exchange::{Party, Refusal, disclose, evaluate, lookup, rosters};
use crate::proto::exchange as pb;
use crate::proto::exchange::disclosure_service_server::DisclosureService;
use crate::proto::exchange::lookup_service_server::LookupService;
use crate::proto::exchange::roster_service_server::RosterService;
use crate::proto::exchange::token_service_server::TokenService;
use crate::roster::Member;
use crate::telemetry::{GroupLabels, OutcomeLabels, Telemetry};

/// How long a peer may take over its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many handshakes may be under way at once.
const HANDSHAKES: usize = 256;

/// Who is at the other end of a connection: the pin of its certificate's key. Which party that is,
/// and whether it is active, is asked of the roster at each request.
#[derive(Clone, Debug)]
pub struct PeerPin(pub [u8; 32]);

/// The pin of the connection that a request came over.
#[must_use]
pub fn pin_of(extensions: &tonic::Extensions) -> Option<[u8; 32]> {
    extensions.get::<PeerPin>().map(|PeerPin(pin)| *pin)
}

/// The connections that are open, so that those of a party that is admitted no more can be cut at
/// once.
#[derive(Default)]
pub struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, (PeerPin, Arc<Cut>)>>,
    /// By address: handshakes under way, and connections in all.
    addresses: Mutex<HashMap<IpAddr, (usize, usize)>>,
}

/// The place of a connection among those from its address; freed when it is dropped.
struct FromAddress {
    address: IpAddr,
    shaking: bool,
    connections: Arc<Connections>,
}

impl FromAddress {
    /// The handshake is over.
    fn shaken(&mut self) {
        if std::mem::take(&mut self.shaking) {
            let mut addresses = self.connections.addresses();
            if let Some((handshakes, _)) = addresses.get_mut(&self.address) {
                *handshakes = handshakes.saturating_sub(1);
            }
        }
    }
}

impl Drop for FromAddress {
    fn drop(&mut self) {
        self.shaken();
        let mut addresses = self.connections.addresses();
        if let Some((_, all)) = addresses.get_mut(&self.address) {
            *all = all.saturating_sub(1);
            if *all == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// Whether a connection was cut, and who waits for it.
#[derive(Default)]
struct Cut {
    done: AtomicBool,
    reading: AtomicWaker,
    writing: AtomicWaker,
}

impl Cut {
    fn make(&self) {
        self.done.store(true, Ordering::Release);
        self.reading.wake();
        self.writing.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.done.load(Ordering::Acquire) {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
        }
        Ok(())
    }
}

impl Connections {
    /// Cuts every connection whose pin is not admitted; returns how many. The others notice
    /// nothing.
    pub fn cut(&self, admitted: impl Fn(&[u8; 32]) -> bool) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cut = 0;
        for (PeerPin(pin), connection) in open.values() {
            if !connection.done.load(Ordering::Acquire) && !admitted(pin) {
                connection.make();
                cut += 1;
            }
        }
        cut
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, (usize, usize)>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection from `address`, if there is one.
    fn arrive(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<FromAddress> {
        let mut addresses = self.addresses();
        let (handshakes, all) = addresses.get(&address).copied().unwrap_or_default();
        if handshakes >= limits.handshakes_per_address.get()
            || all >= limits.connections_per_address.get()
        {
            return None;
        }
        addresses.insert(address, (handshakes + 1, all + 1));
        Some(FromAddress {
            address,
            shaking: true,
            connections: Arc::clone(self),
        })
    }

    /// A place for a connection of the party behind `pin`, if there is one.
    fn enter(
        self: &Arc<Self>,
        pin: &PeerPin,
        from: FromAddress,
        limits: &Limits,
        open_now: &Gauge,
    ) -> Option<Entry> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let cut = Arc::new(Cut::default());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.values().filter(|(known, _)| known.0 == pin.0).count();
        if open.len() >= limits.connections.get() || own >= limits.connections_per_party.get() {
            return None;
        }
        open.insert(number, (pin.clone(), Arc::clone(&cut)));
        drop(open);
        open_now.inc();
        Some(Entry {
            number,
            cut,
            connections: Arc::clone(self),
            open_now: open_now.clone(),
            _from: from,
        })
    }
}

/// A connection's place among the open ones; dropped with it.
struct Entry {
    number: u64,
    cut: Arc<Cut>,
    connections: Arc<Connections>,
    open_now: Gauge,
    _from: FromAddress,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open_now.dec();
        self.connections
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
    }
}

/// A connection whose peer showed a pinned certificate.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    pin: PeerPin,
    entry: Entry,
    #[cfg(debug_assertions)]
    tap: Option<super::tap::Tap>,
}

impl Connected for Connection {
    type ConnectInfo = PeerPin;

    fn connect_info(&self) -> PeerPin {
        self.pin.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.entry.cut.reading.register(context.waker());
        if let Err(cut) = self.entry.cut.check() {
            return Poll::Ready(Err(cut));
        }
        #[cfg(debug_assertions)]
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        #[cfg(debug_assertions)]
        if let Some(tap) = &mut self.tap {
            tap.read(&buffer.filled()[before..]);
        }
        outcome
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.entry.cut.writing.register(context.waker());
        if let Err(cut) = self.entry.cut.check() {
            return Poll::Ready(Err(cut));
        }
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        #[cfg(debug_assertions)]
        if let (Some(tap), Poll::Ready(Ok(written))) = (&mut self.tap, &outcome) {
            tap.written(&bytes[..*written]);
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What a listener works with.
pub struct Door {
    /// The newest TLS configuration: looked at for each handshake.
    pub config: watch::Receiver<Arc<ServerConfig>>,
    /// Who is let in.
    pub accepts: PinCheck,
    /// Who is in.
    pub connections: Arc<Connections>,
    /// How many may be.
    pub limits: Limits,
    /// Where it is counted.
    pub telemetry: Arc<Telemetry>,
}

impl Door {
    fn count(&self, outcome: &'static str) {
        let handshakes = &self.telemetry.meters.handshakes;
        handshakes
            .get_or_create_owned(&OutcomeLabels { outcome })
            .inc();
    }
}

/// What every connection over the network is given.
#[must_use]
pub fn network(server: Server) -> Server {
    server
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(64)
        .http2_max_header_list_size(16 * 1024)
}

/// What a peer's connection is given, and no more.
#[must_use]
pub fn limits(server: Server) -> Server {
    network(server)
        // Streams that are opened and reset at once: a few may be by chance, then the connection ends.
        .http2_max_pending_accept_reset_streams(Some(20))
        .timeout(ask::TIMEOUT)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
}

/// Accepts connections until the receiver is dropped.
#[must_use]
pub fn accept(listener: TcpListener, door: Door) -> ReceiverStream<io::Result<Connection>> {
    let (connections, incoming) = mpsc::channel(64);
    let door = Arc::new(door);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
                return;
            };
            let (stream, address) = tokio::select! {
                () = connections.closed() => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Too many open files, or a connection that went away: others may work.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let address = address.ip().to_canonical();
            let Some(from) = door.connections.arrive(address, &door.limits) else {
                door.count("crowded");
                continue;
            };
            let (door, connections) = (Arc::clone(&door), connections.clone());
            tokio::spawn(async move {
                let connection = handshake(&door, stream, from).await;
                drop(permit);
                if let Some(connection) = connection {
                    // Nobody listens any more: the node is shutting down.
                    let _ = connections.send(Ok(connection)).await;
                }
            });
        }
    });
    ReceiverStream::new(incoming)
}

async fn handshake(door: &Door, stream: TcpStream, mut from: FromAddress) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    let acceptor = TlsAcceptor::from(Arc::clone(&door.config.borrow()));
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            door.count("refused");
            tracing::info!(%error, "a handshake was refused");
            return None;
        }
        Err(_) => {
            door.count("late");
            tracing::info!("a handshake took too long");
            return None;
        }
    };
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let pin = PeerPin(spki_sha256(certificate).ok()?);
    from.shaken();
    let meters = &door.telemetry.meters;
    let entered = door
        .connections
        .enter(&pin, from, &door.limits, &meters.connections);
    let Some(entry) = entered else {
        door.count("crowded");
        return None;
    };
    // Once more, now that cutting would find it: the roster may have changed during the handshake.
    if !(door.accepts)(&pin.0) {
        door.count("refused");
        return None;
    }
    door.count("accepted");
    if let Some(group) = stream.get_ref().1.negotiated_key_exchange_group() {
        let group = format!("{:?}", group.name());
        meters
            .key_exchanges
            .get_or_create_owned(&GroupLabels { group })
            .inc();
    }
    Some(Connection {
        stream,
        pin,
        entry,
        #[cfg(debug_assertions)]
        tap: super::tap::Tap::from_environment(),
    })
}

/// The services that a node offers its peers.
#[derive(Clone)]
pub struct Exchange {
    /// The node as a party.
    pub party: Arc<Party>,
    /// Whether it stops: then streams without an end come to theirs.
    pub stopped: watch::Receiver<bool>,
}

impl Exchange {
    /// Who calls: the party behind the connection, if the roster has it active now.
    ///
    /// # Errors
    /// [`Refusal::UnknownParty`], or that there is no roster in force.
    pub fn caller<T>(&self, request: &Request<T>) -> Result<Member, Refusal> {
        let pin = pin_of(request.extensions()).ok_or(Refusal::UnknownParty)?;
        let roster = self.party.roster()?;
        self.party.caller(&roster, &pin).inspect_err(told)
    }

    /// Whether the caller is a party of the last roster that is known, in force or not: then it may
    /// have what is newer, and a node whose roster has expired is not left alone with it.
    fn knows<T>(&self, request: &Request<T>) -> Result<(), Refusal> {
        let pin = pin_of(request.extensions()).ok_or(Refusal::UnknownParty)?;
        let roster = self.party.known_roster().ok_or(Refusal::UnknownParty)?;
        self.party.caller(&roster, &pin).map(drop).inspect_err(told)
    }
}

fn message(message: Option<pb::SignedMessage>) -> Result<pb::SignedMessage, Refusal> {
    message
        .ok_or(Refusal::Malformed {
            what: "message",
            why: "it is missing".to_owned(),
        })
        .inspect_err(told)
}

/// One line for the operator on a request that no party can be held to.
fn told(refusal: &Refusal) {
    tracing::warn!(code = refusal.code(), "a request was refused");
}

/// Gives a reason code to what is refused before any service sees it: a request that is no message,
/// one that is too large, a call that there is not.
pub fn with_reason(response: http::Response<Body>) -> http::Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    let refusal = match status.code() {
        _ if !status.details().is_empty() => return response,
        Code::Unimplemented => Refusal::UnknownCall,
        Code::OutOfRange | Code::ResourceExhausted => Refusal::MessageTooLarge { limit: MAX_QUERY },
        Code::Internal | Code::InvalidArgument => Refusal::Malformed {
            what: "request",
            why: "it is no message of this protocol".to_owned(),
        },
        _ => return response,
    };
    told(&refusal);
    Status::from(refusal).into_http()
}

#[tonic::async_trait]
impl TokenService for Exchange {
    async fn evaluate(
        &self,
        request: Request<pb::EvaluateRequest>,
    ) -> Result<Response<pb::EvaluateResponse>, Status> {
        let caller = self.caller(&request)?;
        let answer =
            evaluate::answer(&self.party, &caller, message(request.into_inner().message)?).await?;
        Ok(Response::new(pb::EvaluateResponse {
            message: Some(answer),
        }))
    }
}

/// Answers to the batches of a stream.
type BatchAnswers = Pin<Box<dyn Stream<Item = Result<pb::LookupStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl LookupService for Exchange {
    async fn lookup(
        &self,
        request: Request<pb::LookupRequest>,
    ) -> Result<Response<pb::LookupResponse>, Status> {
        let caller = self.caller(&request)?;
        let answer =
            lookup::answer(&self.party, &caller, message(request.into_inner().message)?).await?;
        Ok(Response::new(pb::LookupResponse {
            message: Some(answer),
        }))
    }

    type LookupStreamStream = BatchAnswers;

    async fn lookup_stream(
        &self,
        request: Request<Streaming<pb::LookupStreamRequest>>,
    ) -> Result<Response<Self::LookupStreamStream>, Status> {
        let caller = self.caller(&request)?;
        // A node that stops takes no further batch, and answers those that it has.
        let queries = request.into_inner().take_until(until(self.stopped.clone()));
        Ok(Response::new(Box::pin(lookup::answer_stream(
            Arc::clone(&self.party),
            caller,
            queries,
        )?)))
    }

    async fn get_index_mark(
        &self,
        request: Request<pb::GetIndexMarkRequest>,
    ) -> Result<Response<pb::GetIndexMarkResponse>, Status> {
        let caller = self.caller(&request)?;
        if !caller.roles.member {
            return Err(Refusal::RoleMissing { role: "member" }.into());
        }
        Ok(Response::new(
            lookup::own_index_mark(&self.party, &caller).await?,
        ))
    }
}

#[tonic::async_trait]
impl DisclosureService for Exchange {
    async fn request_disclosure(
        &self,
        request: Request<pb::RequestDisclosureRequest>,
    ) -> Result<Response<pb::RequestDisclosureResponse>, Status> {
        let caller = self.caller(&request)?;
        let answer =
            disclose::answer(&self.party, &caller, message(request.into_inner().message)?).await?;
        Ok(Response::new(pb::RequestDisclosureResponse {
            message: Some(answer),
        }))
    }

    type WatchRequestsStream = ReceiverStream<Result<pb::WatchRequestsResponse, Status>>;

    async fn watch_requests(
        &self,
        request: Request<pb::WatchRequestsRequest>,
    ) -> Result<Response<Self::WatchRequestsStream>, Status> {
        let caller = self.caller(&request)?;
        let since_ms = request.into_inner().since_ms;
        let changes = disclose::watch(&self.party, &caller, since_ms, self.stopped.clone())
            .inspect_err(told)?;
        Ok(Response::new(ReceiverStream::new(changes)))
    }

    async fn notify(
        &self,
        request: Request<pb::NotifyRequest>,
    ) -> Result<Response<pb::NotifyResponse>, Status> {
        let caller = self.caller(&request)?;
        let answer =
            disclose::answer_notice(&self.party, &caller, message(request.into_inner().message)?)
                .await?;
        Ok(Response::new(pb::NotifyResponse {
            message: Some(answer),
        }))
    }
}

#[tonic::async_trait]
impl RosterService for Exchange {
    async fn get_roster(
        &self,
        request: Request<pb::GetRosterRequest>,
    ) -> Result<Response<pb::GetRosterResponse>, Status> {
        self.knows(&request)?;
        let asked = request.into_inner();
        let newer = rosters::newer(&self.party, &asked)
            .await
            .map_err(|error| self.party.unavailable(&error))?;
        Ok(Response::new(newer))
    }
}
