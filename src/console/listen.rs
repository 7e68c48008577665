//! The console's own door: plain on this machine, TLS for others.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::node::Directory;
use crate::node::config::ConsoleConfig;

/// Most connections at once.
const CONNECTIONS: usize = 512;

/// How long a browser may take to say hello, and to name what it wants.
const HELLO: Duration = Duration::from_secs(10);

/// How long a connection may take for one answer at most, and idle before the next.
const CONNECTION: Duration = Duration::from_secs(600);

/// How long calls under way are given when the node stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorError {
    /// Others would listen.
    #[error(
        "[console] listens on {0}, which other machines reach, and names no certificate: write certificate and key into [console] of node.toml, or listen on 127.0.0.1 behind a proxy"
    )]
    Plain(SocketAddr),
    /// One of the two is missing.
    #[error("[console] of node.toml names one of certificate and key: it needs both, or neither")]
    Half,
    /// A file cannot be read.
    #[error("{path}: {why}; [console] of node.toml names it: a PEM file is needed there")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// They do not fit together.
    #[error("the certificate and the key of [console] do not fit: {0}")]
    Tls(#[from] rustls::Error),
    /// The address is taken.
    #[error(
        "the console is not served: {address} cannot be listened on: {source}; write another address into [console] of node.toml"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DoorError {
    /// Whether somebody else listens there: perhaps the node itself.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
    }
}

/// Where browsers come in.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    hosts: Vec<String>,
}

impl Door {
    /// Opens the door that a node's configuration describes.
    ///
    /// # Errors
    /// [`DoorError`] names what to mend.
    pub async fn open(config: &ConsoleConfig, directory: &Directory) -> Result<Self, DoorError> {
        let tls = match (&config.certificate, &config.key) {
            (Some(certificate), Some(key)) => Some(Arc::new(server_config(
                &directory.path().join(certificate),
                &directory.path().join(key),
            )?)),
            (None, None) if config.listen.ip().is_loopback() => None,
            (None, None) => return Err(DoorError::Plain(config.listen)),
            _ => return Err(DoorError::Half),
        };
        let failed = |source| DoorError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            tls,
            hosts: config.hosts.clone(),
        })
    }

    /// What people type into their browsers.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls() { "https" } else { "http" };
        match self.hosts.first() {
            Some(host) if self.address.port() == 443 => format!("{scheme}://{host}"),
            Some(host) => format!("{scheme}://{host}:{}", self.address.port()),
            None => format!("{scheme}://{}", self.address),
        }
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The names under which browsers may call it, without port: those configured, and on this
    /// machine those of this machine. Others are refused, so that a page elsewhere cannot have its
    /// own name point here.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts = self.hosts.clone();
        if self.address.ip().is_loopback() {
            hosts.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        }
        hosts.push(match self.address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        hosts
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
pub struct Remote(pub IpAddr);

fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, DoorError> {
    let file = |path: &Path, why: &dyn std::fmt::Display| DoorError::File {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(certificate, &error))?;
    if chain.is_empty() {
        return Err(file(certificate, &"no certificate is in it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves until the node stops.
pub async fn accept(door: Door, routes: Router, stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let acceptor = door.tls.map(TlsAcceptor::from);
    let mut stop = stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
            _ = stop.wait_for(|stopped| *stopped) => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The connection was gone before it was taken, or there are no more files: a
                // moment later there may be.
                tracing::warn!(%error, "the console could not take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (routes, acceptor, stopped) = (routes.clone(), acceptor.clone(), stopped.clone());
        tokio::spawn(async move {
            let _place = place;
            match acceptor {
                None => connection(stream, remote.ip(), routes, stopped).await,
                Some(acceptor) => {
                    if let Ok(Ok(stream)) =
                        tokio::time::timeout(HELLO, acceptor.accept(stream)).await
                    {
                        connection(stream, remote.ip(), routes, stopped).await;
                    }
                }
            }
        });
    }
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN, places.acquire_many(all)).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    remote: IpAddr,
    routes: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let service =
        TowerToHyperService::new(routes.map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Remote(remote));
            request
        }));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HELLO)
        .max_headers(64);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let stopping = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    // What a broken connection says is nobody's concern: the browser asks again.
    let done = tokio::select! {
        ended = tokio::time::timeout(CONNECTION, connection.as_mut()) => ended.is_ok(),
        () = stopping => false,
    };
    if !done {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(DRAIN, connection).await;
    }
}
