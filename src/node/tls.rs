//! TLS 1.3 between parties, both ways, with certificates pinned by the roster.
//!
//! No certificate authority takes part: a certificate counts because the roster names its public
//! key. The checks are made at each handshake against the roster in force at that moment, and the
//! server makes them again at each request, so that a suspended party is cut off at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible,
    RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::config::Config;
use super::identity::{Identity, server_name, spki_sha256};
use super::settings::PostQuantum;
use crate::ambient::Ambient;
use crate::exchange::{PeerError, Peers};
use crate::roster::{Address, Bytes32, Member, MemberId, TlsPin, TrustedRoster};

/// The protocol's ALPN: HTTP/2.
const ALPN: &[u8] = b"h2";

/// How long one address is given, the handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS could not be set up: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// Says whether a certificate's key is that of an active party now.
///
/// Contract: asked at each handshake, must not block.
pub type PinCheck = Arc<dyn Fn(&[u8; 32]) -> bool + Send + Sync>;

/// The server's side: any active party of the roster may connect.
///
/// # Errors
/// If the identity's key and certificate do not fit.
pub fn server_config(
    identity: &Identity,
    accepts: PinCheck,
    post_quantum: PostQuantum,
) -> Result<ServerConfig, TlsError> {
    let provider = provider(post_quantum);
    let verifier = Arc::new(PinVerifier {
        accepts,
        provider: Arc::clone(&provider),
    });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![identity.certificate.clone()],
            identity.tls_key.clone_key(),
        )?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // No session is resumed: a resumed one would not ask for the certificate again.
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_config(
    identity: &Identity,
    accepts: PinCheck,
    post_quantum: PostQuantum,
) -> Result<ClientConfig, TlsError> {
    let provider = provider(post_quantum);
    let verifier = Arc::new(PinVerifier {
        accepts,
        provider: Arc::clone(&provider),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(
            vec![identity.certificate.clone()],
            identity.tls_key.clone_key(),
        )?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// What TLS computes with: `ring`, and before its key exchanges one that a quantum computer does not
/// break. What is recorded on the way today must stay closed for as long as the children live.
pub(super) fn provider(post_quantum: PostQuantum) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let hybrid = rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768;
    match post_quantum {
        PostQuantum::Preferred => provider.kx_groups.insert(0, hybrid),
        PostQuantum::Required => provider.kx_groups = vec![hybrid],
    }
    Arc::new(provider)
}

/// A PEM file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct PemError {
    path: PathBuf,
    why: String,
}

impl PemError {
    fn new(path: &Path, why: &dyn fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// If the file cannot be read, or there is none in it.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| PemError::new(path, &error))?;
    if chain.is_empty() {
        return Err(PemError::new(path, &"no certificate is in it"));
    }
    Ok(chain)
}

/// The private key in a PEM file.
///
/// # Errors
/// If the file cannot be read, or there is none in it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| PemError::new(path, &error))
}

/// The authorities whose certificates are in a PEM file.
///
/// # Errors
/// If the file cannot be read, or a certificate in it is no authority's.
pub fn authorities(path: &Path) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| PemError::new(path, &error))?;
    }
    Ok(roots)
}

/// Accepts a certificate by the pin of its key, and checks that the peer has that key.
struct PinVerifier {
    accepts: PinCheck,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for PinVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinVerifier")
    }
}

impl PinVerifier {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let pin = spki_sha256(certificate)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if (self.accepts)(&pin) {
            Ok(())
        } else {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for PinVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

fn tls13_only() -> rustls::Error {
    rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered)
}

/// Where this node reaches parties, if not at the addresses that the roster states.
pub type Routes = BTreeMap<MemberId, Vec<Address>>;

/// Channels to other parties over TLS, each pinned to the keys that the roster gives them.
pub struct PinnedPeers {
    identity: RwLock<Arc<Identity>>,
    routes: RwLock<Routes>,
    post_quantum: RwLock<PostQuantum>,
    ambient: Ambient,
    /// One for each party, with the shape it was made to.
    channels: Mutex<HashMap<MemberId, (Bytes32, Channel)>>,
}

impl PinnedPeers {
    /// Channels that show the identity's certificate.
    #[must_use]
    pub fn new(identity: Arc<Identity>, ambient: Ambient) -> Self {
        Self {
            identity: RwLock::new(identity),
            routes: RwLock::default(),
            post_quantum: RwLock::default(),
            ambient,
            channels: Mutex::default(),
        }
    }

    /// As [`PinnedPeers::new`], by the routes and the key exchange that a party's configuration asks for.
    #[must_use]
    pub fn configured(identity: Arc<Identity>, config: &Config, ambient: Ambient) -> Self {
        let peers = Self::new(identity, ambient);
        peers.set_routes(config.routes.clone());
        peers.set_post_quantum(config.tls.post_quantum);
        peers
    }

    /// Shows another certificate from now on, on channels that are opened anew.
    pub fn set_identity(&self, identity: Arc<Identity>) {
        *self
            .identity
            .write()
            .unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// Exchanges keys like this on channels that are opened from now on.
    pub fn set_post_quantum(&self, post_quantum: PostQuantum) {
        *self
            .post_quantum
            .write()
            .unwrap_or_else(PoisonError::into_inner) = post_quantum;
    }

    /// Reaches parties by these routes from now on.
    pub fn set_routes(&self, routes: Routes) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
    }

    /// Lets go of the channels to parties that are active no more at `now` (unix seconds), or have
    /// other pins. A call that is under way keeps its channel to its end.
    pub fn keep(&self, roster: &TrustedRoster, now: u64) {
        self.channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|id, (shape, _)| {
                let member = roster.active(id.as_str(), now).ok();
                member.is_some_and(|member| *shape == self.shape(member, &self.addresses(member)))
            });
    }

    fn addresses(&self, member: &Member) -> Vec<Address> {
        self.routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&member.id)
            .unwrap_or(&member.addresses)
            .clone()
    }

    /// What a channel depends on: the addresses, the pins that count now and for how long, and the
    /// certificate that this side shows.
    fn shape(&self, member: &Member, addresses: &[Address]) -> Bytes32 {
        let now = self.ambient.now();
        let mut shape = hex::encode(
            self.identity
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .certificate
                .as_ref(),
        );
        for address in addresses {
            shape.push_str(&format!("|{address}"));
        }
        for pin in member.tls_pins.iter().filter(|pin| pin.is_valid(now)) {
            shape.push_str(&format!(
                "|{} {} {}",
                pin.spki_sha256, pin.not_before, pin.not_after
            ));
        }
        Bytes32::sha256(shape.as_bytes())
    }

    fn open(&self, member: &Member, addresses: Vec<Address>) -> Result<Channel, PeerError> {
        let wrong = |why: String| PeerError::Address {
            member: member.id.to_string(),
            why,
        };
        if addresses.is_empty() {
            return Err(wrong("the roster states none".to_owned()));
        }
        let (pins, ambient) = (member.tls_pins.clone(), self.ambient.clone());
        let accepts: PinCheck = Arc::new(move |spki| {
            let now = ambient.now();
            pins.iter()
                .any(|pin: &TlsPin| pin.spki_sha256.as_bytes() == spki && pin.is_valid(now))
        });
        let identity = self.identity.read().unwrap_or_else(PoisonError::into_inner);
        let post_quantum = *self
            .post_quantum
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let config = client_config(&identity, accepts, post_quantum)
            .map_err(|error| wrong(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(server_name(&member.id))
            .map_err(|error| wrong(error.to_string()))?;
        let endpoint = Endpoint::from_shared(format!("http://{}", server_name(&member.id)))
            .map_err(|error| wrong(error.to_string()))?
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .tcp_nodelay(true);
        let addresses: Arc<[Address]> = addresses.into();
        Ok(
            endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                connect(connector.clone(), name.clone(), Arc::clone(&addresses))
            })),
        )
    }
}

/// Connects to the first of the addresses, in the roster's order of preference, at which the party
/// itself answers.
async fn connect(
    connector: TlsConnector,
    name: ServerName<'static>,
    addresses: Arc<[Address]>,
) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.iter() {
        let one = async {
            let stream = TcpStream::connect(address.as_str()).await?;
            stream.set_nodelay(true)?;
            connector.connect(name.clone(), stream).await
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, one).await {
            Ok(Ok(stream)) => return Ok(TokioIo::new(stream)),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(last)
}

impl Peers for PinnedPeers {
    fn channel<'a>(
        &'a self,
        member: &'a Member,
    ) -> Pin<Box<dyn Future<Output = Result<Channel, PeerError>> + Send + 'a>> {
        Box::pin(async move {
            let addresses = self.addresses(member);
            let shape = self.shape(member, &addresses);
            let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, channel)) = channels
                .get(&member.id)
                .filter(|(known, _)| *known == shape)
            {
                return Ok(channel.clone());
            }
            let channel = self.open(member, addresses)?;
            channels.insert(member.id.clone(), (shape, channel.clone()));
            Ok(channel)
        })
    }
}
