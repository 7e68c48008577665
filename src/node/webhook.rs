//! Telling people by a call to a web address: one POST with a small JSON object that holds nothing
//! personal. The answer's status is all that is read of it.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::Uri;

use super::web::{Stream, client_config, connect, is_safe};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest status line that is read, in octets.
const LONGEST: u64 = 512;

/// `https://HOST[:PORT]/PATH`, or the same with `http` to this machine itself. It may hold a secret in
/// its path, and prints without it.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookAddress {
    text: String,
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// The address is none. It is not repeated: it may hold a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the webhook's address is not understood: write https://HOST/PATH, or http://127.0.0.1:PORT/PATH \
     for a program on this machine"
)]
pub struct WebhookAddressError;

impl TryFrom<String> for WebhookAddress {
    type Error = WebhookAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let uri = Uri::from_str(&text).map_err(|_| WebhookAddressError)?;
        let host = uri.host().ok_or(WebhookAddressError)?.to_owned();
        if !is_safe(&uri) {
            return Err(WebhookAddressError);
        }
        let is_tls = uri.scheme_str() == Some("https");
        // User and password in an address end up in logs.
        if uri.authority().is_none_or(|all| all.as_str().contains('@')) {
            return Err(WebhookAddressError);
        }
        Ok(Self {
            is_tls,
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            host,
            text,
        })
    }
}

impl FromStr for WebhookAddress {
    type Err = WebhookAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<WebhookAddress> for String {
    fn from(address: WebhookAddress) -> Self {
        address.text
    }
}

impl fmt::Debug for WebhookAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why a call did not get through.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The machine could not be reached, or the connection broke off.
    #[error("{address:?} cannot be reached: {source}")]
    Io {
        /// Where.
        address: Box<WebhookAddress>,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates to trust cannot be read.
    #[error(
        "the certificates to trust cannot be read: {0}; set webhook_ca under [notify] to a PEM file"
    )]
    Trust(String),
    /// It took too long.
    #[error("{0:?} did not answer within 10 seconds")]
    TooLong(Box<WebhookAddress>),
    /// It answered with something else than success.
    #[error("{address:?} answered {status}")]
    Status {
        /// Where.
        address: Box<WebhookAddress>,
        /// The status line's code, or what stood in its place.
        status: String,
    },
}

/// Posts a JSON object. `trust` is a PEM file with the certificates to trust; the system's if not given.
///
/// # Errors
/// [`WebhookError`] unless it was answered with a status of success.
pub async fn post(
    address: &WebhookAddress,
    trust: Option<&Path>,
    object: &str,
) -> Result<(), WebhookError> {
    let boxed = || Box::new(address.clone());
    let failed = |source| WebhookError::Io {
        address: boxed(),
        source,
    };
    let config = if address.is_tls {
        Some(client_config(trust).map_err(WebhookError::Trust)?)
    } else {
        None
    };
    let call = async {
        let stream = connect(&address.host, address.port, config).await?;
        exchange(stream, address, object).await
    };
    let status = tokio::time::timeout(PATIENCE, call)
        .await
        .map_err(|_| WebhookError::TooLong(boxed()))?
        .map_err(failed)?;
    if status.len() == 3 && status.starts_with('2') {
        Ok(())
    } else {
        Err(WebhookError::Status {
            address: boxed(),
            status,
        })
    }
}

/// Sends the request and reads the status code.
async fn exchange(
    mut stream: Box<dyn Stream>,
    address: &WebhookAddress,
    object: &str,
) -> io::Result<String> {
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{object}",
        address.path,
        address.host,
        address.port,
        object.len()
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut line = Vec::new();
    let mut limited = stream.take(LONGEST);
    while !line.contains(&b'\n') {
        if limited.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&line);
    let mut words = text.split_ascii_whitespace();
    let status = match words.next() {
        Some(version) if version.starts_with("HTTP/1.") => words.next().unwrap_or_default(),
        _ => "",
    };
    // Whatever else stands there is not repeated into logs.
    Ok(
        if status.len() == 3 && status.bytes().all(|octet| octet.is_ascii_digit()) {
            status.to_owned()
        } else {
            "something else than HTTP".to_owned()
        },
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn an_address_is_encrypted_or_on_this_machine_and_prints_without_its_path() {
        let address: WebhookAddress = "https://hooks.pl.example/secret-word".parse().unwrap();
        assert_eq!(format!("{address:?}"), "hooks.pl.example:443");
        for fine in [
            "http://127.0.0.1:9/x",
            "http://[::1]:9/",
            "http://localhost",
        ] {
            assert!(fine.parse::<WebhookAddress>().is_ok(), "{fine}");
        }
        for wrong in [
            "http://hooks.pl.example/secret-word",
            "ftp://127.0.0.1/secret-word",
            "https:///secret-word",
            "https://user:secret-word@hooks.pl.example/",
            "/secret-word",
            "",
        ] {
            let error = wrong.parse::<WebhookAddress>().unwrap_err();
            assert!(!error.to_string().contains("secret-word"));
        }
    }

    /// Answers one call with `answer` and tells what was asked.
    async fn answering(answer: &'static [u8]) -> (WebhookAddress, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"}") {
                assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        (address.parse().unwrap(), asked)
    }

    #[tokio::test]
    async fn only_a_status_of_success_counts() {
        let (address, asked) = answering(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        post(&address, None, "{\"a\":1}").await.unwrap();
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.ends_with("\r\n\r\n{\"a\":1}"), "{asked}");
        assert!(asked.contains("Content-Length: 7\r\n"), "{asked}");
        for (answer, said) in [
            (&b"HTTP/1.1 500 Oh\r\n\r\n"[..], "answered 500"),
            (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "answered 302"),
            (b"HTTP/1.1 2000 X\r\n", "something else than HTTP"),
            (b"SSH-2.0-secret-word\r\n", "something else than HTTP"),
            (b"", "something else than HTTP"),
        ] {
            let (address, asked) = answering(answer).await;
            let error = post(&address, None, "{}").await.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("secret-word"), "{error}");
            asked.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_server_is_trusted_by_its_certificate_alone() {
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (ours, other) = (made("localhost"), made("localhost"));
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, pem: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let right = file("right.pem", ours.cert.pem());
        let wrong = file("wrong.pem", other.cert.pem());
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![ours.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(ours.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut asked = Vec::new();
                while !asked.ends_with(b"}") {
                    if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
        let address: WebhookAddress = format!("https://localhost:{port}/").parse().unwrap();
        post(&address, Some(&right), "{}").await.unwrap();
        let refused = post(&address, Some(&wrong), "{}").await.unwrap_err();
        assert!(matches!(refused, WebhookError::Io { .. }), "{refused}");
        let missing = post(&address, Some(&folder.path().join("none")), "{}").await;
        assert!(matches!(missing, Err(WebhookError::Trust(_))));
        serving.abort();
    }
}
