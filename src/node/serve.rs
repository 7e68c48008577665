//! The node's listener: TLS handshakes, connections with the peer's pin, and the services behind
//! them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status};

use super::identity::spki_sha256;
use crate::exchange::ask::MAX_QUERY;
use crate::exchange::{Party, Refusal, disclose, evaluate, lookup, rosters};
use crate::proto::exchange as pb;
use crate::proto::exchange::disclosure_service_server::DisclosureService;
use crate::proto::exchange::lookup_service_server::LookupService;
use crate::proto::exchange::roster_service_server::RosterService;
use crate::proto::exchange::token_service_server::TokenService;
use crate::roster::Member;

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

/// A connection whose peer showed a pinned certificate.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    pin: PeerPin,
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

/// Accepts connections until the receiver is dropped.
#[must_use]
pub fn accept(
    listener: TcpListener,
    config: ServerConfig,
) -> ReceiverStream<io::Result<Connection>> {
    let (connections, incoming) = mpsc::channel(64);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
                return;
            };
            let stream = tokio::select! {
                () = connections.closed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Too many open files, or a connection that went away: others may work.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let (acceptor, connections) = (acceptor.clone(), connections.clone());
            tokio::spawn(async move {
                let connection = handshake(acceptor, stream).await;
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

async fn handshake(acceptor: TlsAcceptor, stream: TcpStream) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::info!(%error, "a handshake was refused");
            return None;
        }
        Err(_) => {
            tracing::info!("a handshake took too long");
            return None;
        }
    };
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let pin = PeerPin(spki_sha256(certificate).ok()?);
    Some(Connection {
        stream,
        pin,
        #[cfg(debug_assertions)]
        tap: super::tap::Tap::from_environment(),
    })
}

/// The services that a node offers its peers.
#[derive(Clone)]
pub struct Exchange(pub Arc<Party>);

impl Exchange {
    /// Who calls: the party behind the connection, if the roster has it active now.
    ///
    /// # Errors
    /// [`Refusal::UnknownParty`], or that there is no roster in force.
    pub fn caller<T>(&self, request: &Request<T>) -> Result<Member, Refusal> {
        let pin = pin_of(request.extensions()).ok_or(Refusal::UnknownParty)?;
        let roster = self.0.roster()?;
        self.0.caller(&roster, &pin).inspect_err(told)
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
            evaluate::answer(&self.0, &caller, message(request.into_inner().message)?).await?;
        Ok(Response::new(pb::EvaluateResponse {
            message: Some(answer),
        }))
    }
}

#[tonic::async_trait]
impl LookupService for Exchange {
    async fn lookup(
        &self,
        request: Request<pb::LookupRequest>,
    ) -> Result<Response<pb::LookupResponse>, Status> {
        let caller = self.caller(&request)?;
        let answer =
            lookup::answer(&self.0, &caller, message(request.into_inner().message)?).await?;
        Ok(Response::new(pb::LookupResponse {
            message: Some(answer),
        }))
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
            disclose::answer(&self.0, &caller, message(request.into_inner().message)?).await?;
        Ok(Response::new(pb::RequestDisclosureResponse {
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
        self.caller(&request)?;
        let asked = request.into_inner();
        Ok(Response::new(rosters::newer(
            &self.0,
            asked.root_version,
            asked.roster_version,
        )))
    }
}
