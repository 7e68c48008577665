//! The door before the gate: TLS 1.3, mutual, with certificates that the roster pins.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wayhome::ambient::Ambient;
use wayhome::exchange::Peers as _;
use wayhome::node::settings::PostQuantum;
use wayhome::node::{Config, Directory, Identity, PinnedPeers};
use wayhome::proto::exchange as pb;

use crate::coalition::Coalition;
use crate::forge::Sent as _;

const HOLDER: &str = "pl";

async fn scene() -> (Coalition, SocketAddr) {
    let mut coalition = Coalition::found(|_| {});
    coalition.start_node(HOLDER).await;
    let config = Config::load(&Directory::new(coalition.path(HOLDER))).unwrap();
    (coalition, config.listen)
}

/// A ClientHello that offers these versions by extension (RFC 8446, section 4.2.1), or without it
/// TLS 1.2 at most (section 4.2.1 of RFC 5246 knows no such extension).
fn client_hello(versions: &[u16]) -> Vec<u8> {
    let block = |length_octets: usize, content: &[u8]| {
        let length = (content.len() as u32).to_be_bytes();
        [&length[4 - length_octets..], content].concat()
    };
    let extension =
        |kind: u16, content: &[u8]| [&kind.to_be_bytes(), &block(2, content)[..]].concat();
    let shorts = |values: &[u16]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect()
    };
    // X25519 and P-256; Ed25519, ECDSA and RSA; HTTP/2.
    let mut extensions = extension(10, &block(2, &shorts(&[0x001d, 0x0017])));
    extensions.extend(extension(
        13,
        &block(2, &shorts(&[0x0807, 0x0403, 0x0804, 0x0401])),
    ));
    extensions.extend(extension(11, &block(1, &[0])));
    extensions.extend(extension(16, &block(2, &block(1, b"h2"))));
    if !versions.is_empty() {
        extensions.extend(extension(43, &block(1, &shorts(versions))));
        let share = [&shorts(&[0x001d])[..], &block(2, &[9; 32])].concat();
        extensions.extend(extension(51, &block(2, &share)));
    }
    // ECDHE with AES-GCM as TLS 1.2 names it, and AES-128-GCM as TLS 1.3 does.
    let suites = shorts(&[0xc02b, 0xc02f, 0xc02c, 0xc030, 0x1301]);
    let hello = [
        &[3, 3][..],
        &[7; 32],
        &block(1, &[]),
        &block(2, &suites),
        &block(1, &[0]),
        &block(2, &extensions),
    ]
    .concat();
    let handshake = [&[1][..], &block(3, &hello)].concat();
    [&[0x16, 3, 1][..], &block(2, &handshake)].concat()
}

/// The first record that the node answers with: its type and what is in it.
async fn first_record(address: SocketAddr, hello: &[u8]) -> (u8, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let mut content = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut content).await.unwrap();
    (head[0], content)
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let (_coalition, address) = scene().await;
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    // Fatal, protocol_version.
    let refused = (ALERT, vec![2, 70]);
    assert_eq!(first_record(address, &client_hello(&[])).await, refused);
    assert_eq!(
        first_record(address, &client_hello(&[0x0303])).await,
        refused
    );
    assert_eq!(
        first_record(address, &client_hello(&[0x0303, 0x0302])).await,
        refused
    );
    // The same hello with TLS 1.3 in it is answered by a ServerHello: it was the version alone.
    let (kind, content) = first_record(address, &client_hello(&[0x0304, 0x0303])).await;
    assert_eq!((kind, content[0]), (HANDSHAKE, 2));
}

#[tokio::test]
async fn noise_at_the_door_does_no_harm() {
    let (coalition, address) = scene().await;
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 64],
        &[0xff; 4_096],
        &[0x16, 3, 1],
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        // Whatever it says, it ends the connection.
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert!(said.len() < 64);
    }
    greets(&coalition, address, Some("ua")).await.unwrap();
}

#[tokio::test]
async fn keys_are_exchanged_by_a_hybrid_that_a_quantum_computer_does_not_break() {
    let (mut coalition, address) = scene().await;
    let exchanged = async |coalition: &Coalition, groups: &[&'static dyn SupportedKxGroup]| {
        let identity = coalition.identity("ua");
        let provider = CryptoProvider {
            kx_groups: groups.to_vec(),
            ..rustls::crypto::ring::default_provider()
        };
        let shown = Some((identity.certificate.clone(), identity.as_ref()));
        let tls = connect(address, config_with(provider, shown)).await?;
        let connection = tls.get_ref().1;
        let suite = connection.negotiated_cipher_suite().unwrap().suite();
        let group = connection.negotiated_key_exchange_group().unwrap().name();
        std::io::Result::Ok((group, suite))
    };
    let classical = rustls::crypto::ring::ALL_KX_GROUPS;
    let hybrid = rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768;
    let both = [classical, &[hybrid]].concat();
    // It is taken by the node's preference, even by a client that offers it last.
    let (group, suite) = exchanged(&coalition, &[hybrid]).await.unwrap();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(suite, CipherSuite::TLS13_AES_256_GCM_SHA384);
    // Preferred, not required: who cannot is served all the same.
    let (group, _) = exchanged(&coalition, classical).await.unwrap();
    assert_eq!(group, NamedGroup::X25519);

    coalition.stop_node(HOLDER).await;
    let directory = Directory::new(coalition.path(HOLDER));
    let mut settings = Config::load(&directory).unwrap();
    settings.tls.post_quantum = PostQuantum::Required;
    directory.write("node.toml", &settings.to_text()).unwrap();
    coalition.start_node(HOLDER).await;
    let (group, _) = exchanged(&coalition, &both).await.unwrap();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    let refused = exchanged(&coalition, classical).await.unwrap_err();
    assert!(
        refused.to_string().contains("HandshakeFailure"),
        "{refused}"
    );
    // Nodes themselves offer it: a search goes through to the one that requires it.
    let channel = coalition.channel("ua", HOLDER).await;
    let query = crate::forge::lookup(&coalition, "ua", HOLDER, 1).sign();
    pb::LookupQuery::send(channel, query).await.unwrap();
}

#[tokio::test]
async fn a_node_that_requires_the_hybrid_calls_nobody_without_it() {
    let coalition = Coalition::found(|_| {});
    // Somebody with the right certificate who knows the old groups alone.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let identity = coalition.identity(HOLDER);
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![identity.certificate.clone()],
        identity.tls_key.clone_key(),
    )
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let outcomes = tokio::spawn(async move {
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            outcomes.push(acceptor.accept(stream).await.map(drop));
        }
        outcomes
    });
    for required in [PostQuantum::Required, PostQuantum::Preferred] {
        let peers = PinnedPeers::new(coalition.identity("ua"), coalition.ambient.clone());
        peers.set_post_quantum(required);
        let route = vec![address.to_string().parse().unwrap()];
        peers.set_routes([(HOLDER.parse().unwrap(), route)].into());
        let channel = peers.channel(coalition.member(HOLDER)).await.unwrap();
        // Nobody speaks HTTP/2 there, so the call fails either way: only the handshakes count.
        let mut client = pb::roster_service_client::RosterServiceClient::new(channel);
        let failed = client.get_roster(pb::GetRosterRequest::default()).await;
        assert!(failed.is_err());
    }
    let outcomes = outcomes.await.unwrap();
    assert!(outcomes[0].is_err(), "{outcomes:?}");
    assert!(outcomes[1].is_ok(), "{outcomes:?}");
}

#[tokio::test]
async fn who_shows_no_certificate_is_not_let_in() {
    let (coalition, address) = scene().await;
    let refused = greets(&coalition, address, None).await.unwrap_err();
    assert!(
        refused.to_string().contains("CertificateRequired"),
        "{refused}"
    );
    // Only that was missing.
    greets(&coalition, address, Some("ua")).await.unwrap();
    // The node itself shows the certificate that the roster pins.
    let shown = greets(&coalition, address, Some("ua")).await.unwrap();
    assert_eq!(shown, coalition.identity(HOLDER).certificate);
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let (coalition, address) = scene().await;
    let ambient = Ambient::system();
    let elsewhere = tempfile::tempdir().unwrap();
    let thief = Directory::new(elsewhere.path().join("thief"));
    let thief = Identity::create(&thief, &"thief".parse().unwrap(), &ambient).unwrap();
    // The certificate of ua is public; the key is the thief's own.
    let certificate = coalition.identity("ua").certificate.clone();
    let config = config(Some((certificate, &thief)));
    let refused = handshake(address, config).await.unwrap_err();
    assert!(refused.to_string().contains("DecryptError"), "{refused}");
}

/// Shakes hands as a party, or without a certificate; gives the certificate that the node showed.
async fn greets(
    coalition: &Coalition,
    address: SocketAddr,
    party: Option<&str>,
) -> std::io::Result<CertificateDer<'static>> {
    let identity = party.map(|party| coalition.identity(party));
    let shown = identity
        .as_ref()
        .map(|identity| (identity.certificate.clone(), identity.as_ref()));
    handshake(address, config(shown)).await
}

fn config(shown: Option<(CertificateDer<'static>, &Identity)>) -> ClientConfig {
    config_with(rustls::crypto::ring::default_provider(), shown)
}

fn config_with(
    provider: CryptoProvider,
    shown: Option<(CertificateDer<'static>, &Identity)>,
) -> ClientConfig {
    let provider = Arc::new(provider);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider.clone())));
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, identity)) => {
            let key = provider
                .key_provider
                .load_private_key(identity.tls_key.clone_key())
                .unwrap();
            // Not checked against each other, so that a thief can show what is not its own.
            let certified = rustls::sign::CertifiedKey::new(vec![certificate], key);
            let resolver = rustls::sign::SingleCertAndKey::from(certified);
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A party's connection to a node, past the handshake: it is held open and nothing is asked.
pub async fn held_open(coalition: &Coalition, from: &str, to: &str) -> TlsStream<TcpStream> {
    let identity = coalition.identity(from);
    let config = config(Some((identity.certificate.clone(), &identity)));
    let listen = Config::load(&Directory::new(coalition.path(to)))
        .unwrap()
        .listen;
    connect(listen, config).await.unwrap()
}

async fn handshake(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<CertificateDer<'static>> {
    let tls = connect(address, config).await?;
    let shown = tls.get_ref().1.peer_certificates().unwrap();
    Ok(shown[0].clone().into_owned())
}

async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("pl.wayhome.internal").unwrap();
    let stream = TcpStream::connect(address).await?;
    let mut tls = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    // In TLS 1.3 the server's verdict on a client's certificate comes after the handshake: either
    // the first frame of HTTP/2, or the end.
    tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await?;
    let mut head = [0; 9];
    tls.read_exact(&mut head).await?;
    Ok(tls)
}

/// Takes any certificate: what is tested here is the server's side.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("the client offers TLS 1.3 alone")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
