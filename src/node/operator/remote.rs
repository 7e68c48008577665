//! The operator API over the network, for a member's own systems on other machines: TLS 1.3 both ways,
//! with certificates of the member's own authority.
//!
//! A certificate says which machine calls, a session says which person. So nothing is open here to a
//! caller without a session, whatever the socket allows: only the socket's file says that the caller
//! is the node's own user.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Extensions;
use tonic::transport::Server;

use super::Operator;
use crate::node::Directory;
use crate::node::config::OperatorConfig;
use crate::node::pause::until;
use crate::node::serve::{self, Connections};
use crate::node::settings::{Limits, PostQuantum};
use crate::node::tls::{PemError, authorities, certificates, private_key, provider};

/// HTTP/2.
const ALPN: &[u8] = b"h2";

/// Why the operator API is not served over the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// A file cannot be used.
    #[error("{0}; [operator] of node.toml names it: a PEM file is needed there")]
    File(PemError),
    /// The files do not fit together.
    #[error("the certificate and the key of [operator] do not fit: {0}")]
    Tls(#[from] rustls::Error),
    /// The authority of the callers cannot be used.
    #[error("the certificates in `clients` of [operator] cannot be used: {0}")]
    Clients(#[from] VerifierBuilderError),
    /// The address is taken.
    #[error(
        "the operator API is not served over the network: {address} cannot be listened on: {source}; write another address into [operator] of node.toml"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl RemoteError {
    /// Whether somebody else listens there: perhaps the node itself.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse)
    }
}

/// Where the member's own systems come in.
pub struct RemoteDoor {
    listener: TcpListener,
    address: SocketAddr,
    tls: Arc<ServerConfig>,
}

impl RemoteDoor {
    /// Opens the door that a node's configuration describes.
    ///
    /// # Errors
    /// [`RemoteError`] names what to mend.
    pub async fn open(config: &OperatorConfig, directory: &Directory) -> Result<Self, RemoteError> {
        let tls = Arc::new(server_config(config, directory.path())?);
        let failed = |source| RemoteError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            tls,
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the node stops.
    pub(in crate::node) async fn serve(self, operator: Operator, stopped: watch::Receiver<bool>) {
        // The sender lives as long as the server: the configuration does not change.
        let (_shown, config) = watch::channel(self.tls);
        let door = serve::Door {
            config,
            // Who has a certificate of the member's authority, which TLS has looked at.
            accepts: Arc::new(|_| true),
            connections: Arc::new(Connections::default()),
            limits: Limits::default(),
            telemetry: Arc::clone(operator.party.telemetry()),
        };
        let served = serve::network(Server::builder())
            .add_routes(operator.services())
            .serve_with_incoming_shutdown(serve::accept(self.listener, door), until(stopped))
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the operator API is no more served over the network");
        }
    }
}

/// Whether a call came over the network.
#[must_use]
pub(super) fn is_remote(extensions: &Extensions) -> bool {
    serve::pin_of(extensions).is_some()
}

fn server_config(config: &OperatorConfig, directory: &Path) -> Result<ServerConfig, RemoteError> {
    let chain = certificates(&directory.join(&config.certificate)).map_err(RemoteError::File)?;
    let secret = private_key(&directory.join(&config.key)).map_err(RemoteError::File)?;
    let callers = authorities(&directory.join(&config.clients)).map_err(RemoteError::File)?;
    let provider = provider(PostQuantum::Preferred);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(callers), Arc::clone(&provider))
            .build()?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, secret)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // No session is resumed: a resumed one would not ask for the certificate again.
    tls.send_tls13_tickets = 0;
    Ok(tls)
}
