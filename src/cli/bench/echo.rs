//! The limit that lookups are held against: a bare call over mutual TLS, with messages of the same
//! sizes, that does nothing.
//!
//! The server is a process of its own, as a node is, with a node's key, listener and settings. Its
//! answer is the same for every call, and is read from a file.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::cli::{CliError, Context};
use crate::exchange::ask::{MAX_MESSAGE, MAX_QUERY};
use crate::node::serve::{Connections, Door, accept, limits};
use crate::node::settings::{Limits, PostQuantum};
use crate::node::{Identity, tls};
use crate::proto::exchange as pb;
use crate::proto::exchange::lookup_service_server::{LookupService, LookupServiceServer};

/// Gives the same answer to everyone.
struct Echo(pb::LookupResponse);

#[tonic::async_trait]
impl LookupService for Echo {
    async fn lookup(
        &self,
        _: Request<pb::LookupRequest>,
    ) -> Result<Response<pb::LookupResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    type LookupStreamStream = tokio_stream::Empty<Result<pb::LookupStreamResponse, Status>>;

    async fn lookup_stream(
        &self,
        _: Request<Streaming<pb::LookupStreamRequest>>,
    ) -> Result<Response<Self::LookupStreamStream>, Status> {
        Err(Status::unimplemented("it echoes single lookups alone"))
    }

    async fn get_index_mark(
        &self,
        _: Request<pb::GetIndexMarkRequest>,
    ) -> Result<Response<pb::GetIndexMarkResponse>, Status> {
        Err(Status::unimplemented("it echoes single lookups alone"))
    }
}

/// Serves the answer in `file` with the key of the node in the context's directory, to whoever
/// connects, until standard input ends. Prints the address once it listens.
pub async fn serve(context: &Context, file: &Path) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::failed("BENCH", error);
    let answer = pb::LookupResponse::decode(std::fs::read(file)?.as_slice())
        .map_err(|error| failed(&error))?;
    let identity = Identity::load(&context.directory)?;
    let accepts: tls::PinCheck = Arc::new(|_| true);
    let config = tls::server_config(&identity, Arc::clone(&accepts), PostQuantum::default())
        .map_err(|error| failed(&error))?;
    let (_shown, config) = watch::channel(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let door = Door {
        config,
        accepts,
        connections: Arc::new(Connections::default()),
        limits: Limits::default(),
        telemetry: Arc::default(),
    };
    context
        .output
        .object(&serde_json::json!({"ready": true, "address": address.to_string()}));
    let service = LookupServiceServer::new(Echo(answer))
        .max_decoding_message_size(MAX_QUERY)
        .max_encoding_message_size(MAX_MESSAGE);
    limits(Server::builder())
        .add_service(service)
        .serve_with_incoming_shutdown(accept(listener, door), async {
            let mut nothing = Vec::new();
            let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
        })
        .await
        .map_err(|error| failed(&error))
}

/// A running echo server; dropped, it is killed.
pub struct EchoServer {
    /// Where it listens.
    pub address: String,
    _child: Child,
}

impl EchoServer {
    /// Starts one with the key of the node in `directory`, that answers with `answer`; `place` is
    /// for its file.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(
        directory: &Path,
        place: &Path,
        answer: &pb::LookupResponse,
    ) -> Result<Self, CliError> {
        let file = place.join("echo.bin");
        std::fs::write(&file, answer.encode_to_vec())?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--json", "--dir"])
            .arg(directory)
            .args(["bench", "--serve-echo"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let not_started = || CliError::failed("BENCH", "the echo server did not start");
        let stdout = child.stdout.take().ok_or_else(not_started)?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let address = line
            .and_then(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
            .and_then(|object| Some(object["address"].as_str()?.to_owned()))
            .ok_or_else(not_started)?;
        Ok(Self {
            address,
            _child: child,
        })
    }
}
