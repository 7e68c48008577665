//! TLS 1.3 between parties, both ways, with certificates pinned by the roster.
//!
//! No certificate authority takes part: a certificate counts because the roster names its public
//! key. The checks are made at each handshake against the roster in force at that moment, and the
//! server makes them again at each request, so that a suspended party is cut off at once.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible,
    ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::identity::{Identity, server_name, spki_sha256};
use crate::ambient::Ambient;
use crate::exchange::{PeerError, Peers};
use crate::roster::{Bytes32, Member, TlsPin};

/// The protocol's ALPN: HTTP/2.
const ALPN: &[u8] = b"h2";

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
pub fn server_config(identity: &Identity, accepts: PinCheck) -> Result<ServerConfig, TlsError> {
    let provider = provider();
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

fn client_config(identity: &Identity, accepts: PinCheck) -> Result<ClientConfig, TlsError> {
    let provider = provider();
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
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

/// Channels to other parties over TLS, each pinned to the keys that the roster gives them.
pub struct PinnedPeers {
    identity: Arc<Identity>,
    ambient: Ambient,
    channels: Mutex<HashMap<Bytes32, Channel>>,
}

impl PinnedPeers {
    /// Channels that show the identity's certificate.
    #[must_use]
    pub fn new(identity: Arc<Identity>, ambient: Ambient) -> Self {
        Self {
            identity,
            ambient,
            channels: Mutex::default(),
        }
    }

    fn open(&self, member: &Member) -> Result<Channel, PeerError> {
        let wrong = |why: String| PeerError::Address {
            member: member.id.to_string(),
            why,
        };
        let address = member
            .addresses
            .first()
            .ok_or_else(|| wrong("the roster states none".to_owned()))?;
        let (pins, ambient) = (member.tls_pins.clone(), self.ambient.clone());
        let accepts: PinCheck = Arc::new(move |spki| {
            let now = ambient.now();
            pins.iter()
                .any(|pin: &TlsPin| pin.spki_sha256.as_bytes() == spki && pin.is_valid(now))
        });
        let config =
            client_config(&self.identity, accepts).map_err(|error| wrong(error.to_string()))?;
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(server_name(&member.id))
            .map_err(|error| wrong(error.to_string()))?;
        let target = address.to_string();
        let endpoint = Endpoint::from_shared(format!("http://{}", server_name(&member.id)))
            .map_err(|error| wrong(error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .tcp_nodelay(true);
        Ok(
            endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                let (connector, name, target) = (connector.clone(), name.clone(), target.clone());
                async move {
                    let stream = TcpStream::connect(&target).await?;
                    stream.set_nodelay(true)?;
                    let tls = connector.connect(name, stream).await?;
                    Ok::<_, io::Error>(TokioIo::new(tls))
                }
            })),
        )
    }
}

impl Peers for PinnedPeers {
    fn channel<'a>(
        &'a self,
        member: &'a Member,
    ) -> Pin<Box<dyn Future<Output = Result<Channel, PeerError>> + Send + 'a>> {
        Box::pin(async move {
            // A change of address or pin in the roster makes another channel.
            let mut shape = member.id.to_string();
            for address in &member.addresses {
                shape.push_str(&format!("|{address}"));
            }
            for pin in &member.tls_pins {
                shape.push_str(&format!("|{}", pin.spki_sha256));
            }
            let key = Bytes32::sha256(shape.as_bytes());
            let known = |channels: &HashMap<Bytes32, Channel>| channels.get(&key).cloned();
            let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(channel) = known(&channels) {
                return Ok(channel);
            }
            let channel = self.open(member)?;
            channels.insert(key, channel.clone());
            Ok(channel)
        })
    }
}
