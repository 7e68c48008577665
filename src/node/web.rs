//! Asking a web service: one request over a connection of its own, its answer read whole and within
//! limits. No redirect is followed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::settings::PostQuantum;
use super::tls;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer, in octets.
const LONGEST: usize = 1 << 20;

/// Why a service did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// Neither encrypted nor on this machine.
    #[error("{0} is neither https nor on this machine")]
    Address(String),
    /// The machine could not be reached, or the connection broke off.
    #[error("{host} cannot be reached: {source}")]
    Io {
        /// Where.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates to trust cannot be read.
    #[error(
        "the certificates to trust cannot be read: {0}; set ca under [identity_provider] to a PEM file"
    )]
    Trust(String),
    /// It took too long.
    #[error("{0} did not answer within 10 seconds")]
    TooLong(String),
    /// What it answered is not HTTP, or too long.
    #[error("{host} answered something else than expected: {why}")]
    Answer {
        /// Where.
        host: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Whether an address is encrypted, or on this machine.
#[must_use]
pub fn is_safe(address: &Uri) -> bool {
    match (address.scheme_str(), address.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
        _ => false,
    }
}

/// Asks. `trust` is a PEM file with the certificates to trust; the system's if not given.
///
/// # Errors
/// [`WebError`].
pub async fn ask(
    trust: Option<&Path>,
    request: Request<Vec<u8>>,
) -> Result<Response<Vec<u8>>, WebError> {
    let address = request.uri().clone();
    if !is_safe(&address) {
        return Err(WebError::Address(address.to_string()));
    }
    let host = address.host().unwrap_or_default().to_owned();
    let config = match address.scheme_str() {
        Some("https") => Some(client_config(trust).map_err(WebError::Trust)?),
        _ => None,
    };
    let port = address
        .port_u16()
        .unwrap_or(if config.is_some() { 443 } else { 80 });
    let failed = |source| WebError::Io {
        host: host.clone(),
        source,
    };
    let call = async {
        let stream = connect(&host, port, config).await.map_err(failed)?;
        exchange(stream, &host, request).await
    };
    tokio::time::timeout(PATIENCE, call)
        .await
        .map_err(|_| WebError::TooLong(host.clone()))?
}

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to a machine, encrypted if it is said how.
///
/// # Errors
/// If it cannot be reached, or is not trusted.
pub(super) async fn connect(
    host: &str,
    port: u16,
    config: Option<ClientConfig>,
) -> io::Result<Box<dyn Stream>> {
    let host = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await?;
    let Some(config) = config else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

/// How a server is trusted: by the certificates of a PEM file, or by the system's.
///
/// # Errors
/// If there are none; says what is wrong.
pub(super) fn client_config(trust: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = match trust {
        Some(path) => tls::authorities(path).map_err(|error| error.to_string())?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    if roots.is_empty() {
        return Err("there are none".to_owned());
    }
    ClientConfig::builder_with_provider(tls::provider(PostQuantum::Preferred))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth())
        .map_err(|error| error.to_string())
}

async fn exchange(
    stream: Box<dyn Stream>,
    host: &str,
    mut request: Request<Vec<u8>>,
) -> Result<Response<Vec<u8>>, WebError> {
    let wrong = |why: &dyn std::fmt::Display| WebError::Answer {
        host: host.to_owned(),
        why: why.to_string(),
    };
    // A server is asked for a path, by the name that it goes by.
    if let Some(authority) = request.uri().authority()
        && let Ok(name) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, name);
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .parse::<Uri>()
        .map_err(|error| wrong(&error))?;
    *request.uri_mut() = path;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| wrong(&error))?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let answer = sender
            .send_request(request.map(|body| Full::new(Bytes::from(body))))
            .await
            .map_err(|error| wrong(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST)
            .collect()
            .await
            .map_err(|error| wrong(&error))?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }
    .await;
    driver.abort();
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn asked(answer: Vec<u8>) -> Result<Response<Vec<u8>>, WebError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/path?x=1", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1_024];
            let read = stream.read(&mut asked).await.unwrap();
            assert!(asked[..read].starts_with(b"GET /path?x=1 HTTP/1.1\r\n"));
            let _ = stream.write_all(&answer).await;
        });
        ask(None, Request::get(address).body(Vec::new()).unwrap()).await
    }

    #[tokio::test]
    async fn an_answer_is_read_whole_and_within_limits() {
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec();
        assert_eq!(asked(good).await.unwrap().body(), b"{}");
        let mut long = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        long.resize(LONGEST + 100, b'x');
        for wrong in [long, b"SSH-2.0\r\n".to_vec(), Vec::new()] {
            assert!(matches!(asked(wrong).await, Err(WebError::Answer { .. })));
        }
        // A redirect is an answer like others: nobody is sent elsewhere.
        let moved =
            b"HTTP/1.1 302 Found\r\nlocation: http://evil.example/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(asked(moved.to_vec()).await.unwrap().status(), 302);
    }

    #[tokio::test]
    async fn only_what_is_encrypted_or_here_is_asked() {
        for wrong in ["http://id.example/", "ftp://127.0.0.1/", "/path"] {
            let request = Request::get(wrong).body(Vec::new()).unwrap();
            assert!(matches!(
                ask(None, request).await,
                Err(WebError::Address(_))
            ));
        }
    }
}
