//! The log as plain files (C2SP tlog-tiles), beside the gRPC services on the same listener.
//!
//! ```text
//! GET /log/checkpoint                  the newest cosigned checkpoint, a signed note
//! GET /log/tile/<L>/<N>[.p/<W>]        hashes
//! GET /log/tile/entries/<N>[.p/<W>]    leaves
//! ```
//!
//! Checkpoints and hashes are for every active party of the roster. Leaves say who exchanged what
//! with whom: they are for ombudsmen who have this node in their scope, and reading them leaves a
//! leaf, as every other request of an ombudsman does; one an hour for each, so that reading the
//! log does not fill it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body_util::Full;
use tonic::body::Body;
use tonic::codegen::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tonic::codegen::http::{Method, Request, Response, StatusCode};
use tonic::codegen::{Bytes, Service};
use tonic::server::NamedService;

use super::keeper::witnesses;
use super::serve::PeerPin;
use crate::audit::may_read;
use crate::exchange::leaf::Leaf;
use crate::exchange::{Party, Refusal};
use crate::proto::exchange as pb;
use crate::roster::{Member, MemberId};
use crate::store::{Act, Committed, Debit, Effect, Evidence, EvidencePart, StoreError, TagKind};
use crate::tlog::tile::{self, Tile, TileKind};

const HOUR_MS: u64 = 3_600_000;

const TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";

/// A checkpoint is replaced by the next one; the hashes and leaves of a path never change.
const FRESH: &str = "no-store";
const FOREVER: &str = "private, max-age=31536000, immutable";

/// Serves the log of one party under `/log/`.
#[derive(Clone)]
pub struct LogFiles {
    party: Arc<Party>,
    /// The hour in which each reader's last leaf stands. A replica that does not know it asks the
    /// ledger again, which knows.
    recorded: Arc<Mutex<HashMap<MemberId, u64>>>,
}

/// One file, or why it is not given.
#[derive(Debug)]
pub(super) struct File {
    status: StatusCode,
    content_type: &'static str,
    caching: &'static str,
    body: Vec<u8>,
}

impl LogFiles {
    /// The log of `party`.
    #[must_use]
    pub fn new(party: Arc<Party>) -> Self {
        Self {
            party,
            recorded: Arc::default(),
        }
    }

    async fn serve(&self, method: &Method, path: &str, pin: Option<[u8; 32]>) -> File {
        if method != Method::GET {
            return File::refused(StatusCode::METHOD_NOT_ALLOWED, "the log is read with GET");
        }
        match self.find(path, pin).await {
            Ok(file) => file,
            Err(refusal) => {
                tracing::warn!(code = refusal.code(), "a file of the log was refused");
                File::refused(status(&refusal), &format!("{}: {refusal}", refusal.code()))
            }
        }
    }

    async fn find(&self, path: &str, pin: Option<[u8; 32]>) -> Result<File, Refusal> {
        let party = &self.party;
        let roster = party.roster()?;
        let caller = party.caller(&roster, &pin.ok_or(Refusal::UnknownParty)?)?;
        let failed = |error: StoreError| party.unavailable(&error);
        let Some((size, checkpoint)) = party.store().checkpoint().await.map_err(failed)? else {
            return Ok(File::none());
        };
        let Some(name) = path.strip_prefix("/log/") else {
            return Ok(File::none());
        };
        if name == "checkpoint" {
            // With witnesses, what they have seen is served, so that it shows their cosignatures; it
            // is a few seconds behind.
            let served = if witnesses(party, &roster).is_empty() {
                None
            } else {
                party.store().published_checkpoint().await.map_err(failed)?
            };
            return Ok(File::checkpoint(
                served.map_or(checkpoint, |(_, served)| served),
            ));
        }
        // Who may not read leaves is not told which there are.
        if name.starts_with("tile/entries/") {
            may_read(party, &roster, &caller)?;
        }
        let tile = match name.parse::<Tile>() {
            Ok(tile) if tile.is_in(size) => tile,
            _ => return Ok(File::none()),
        };
        let body = match tile.kind() {
            TileKind::Hashes { level } => {
                let first = tile.index() * u64::from(tile::FULL_WIDTH);
                let end = first + u64::from(tile.width());
                let hashes = party
                    .store()
                    .log_row(level * tile::HEIGHT, first, end)
                    .await
                    .map_err(failed)?;
                tile::encode_hashes(&tile, &hashes)
            }
            TileKind::Entries => {
                self.record_reading(&caller, size).await?;
                let range = tile.leaves();
                let leaves = party
                    .store()
                    .leaves_each(range.start, range.end)
                    .await
                    .and_then(|leaves| leaves.into_iter().collect::<Result<Vec<_>, _>>())
                    .map_err(failed)?;
                tile::encode_entries(&tile, &leaves)
            }
        };
        let body = body.map_err(|error| failed(StoreError::damaged("log", error.to_string())))?;
        Ok(File::found(OCTETS, FOREVER, body))
    }

    /// Makes the reading of leaves a leaf of its own before the first of them leaves the node.
    async fn record_reading(&self, reader: &Member, size: u64) -> Result<(), Refusal> {
        let hour = self.party.ambient().now_ms() / HOUR_MS;
        let recorded = |change: &dyn Fn(&mut HashMap<MemberId, u64>) -> bool| {
            change(&mut self.recorded.lock().unwrap_or_else(PoisonError::into_inner))
        };
        if recorded(&|known| known.get(&reader.id) == Some(&hour)) {
            return Ok(());
        }
        let (leaf, opening) = Leaf::new(
            pb::Act::LeavesRead,
            self.party.ambient(),
            &pb::Outcome::default(),
        )
        .set(|entry| {
            entry.peer = reader.id.as_str().to_owned();
            entry.count = u32::try_from(size).unwrap_or(u32::MAX);
        })
        .finish();
        let mut act = Act::alone(leaf).with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
        act.debits.push(Debit {
            quota: "leaves_read_per_hour",
            tag: self.party.store().tag(
                TagKind::Quota,
                &[
                    reader.id.as_str().as_bytes(),
                    b"leaves-read",
                    &hour.to_be_bytes(),
                ],
            ),
            amount: 1,
            limit: 1,
            // An hour longer than it counts: clocks may differ.
            expires_ms: Some((hour + 2) * HOUR_MS),
            otherwise: None,
        });
        match self.party.ledger().commit(act).await {
            // Over the limit of one: another replica, or this one before it was restarted, has
            // recorded it.
            Ok(Committed::Done { .. } | Committed::OverQuota { .. }) => {
                recorded(&|known| known.insert(reader.id.clone(), hour).is_some());
                Ok(())
            }
            Ok(Committed::Repeated { .. } | Committed::Reused | Committed::Stale) => {
                Err(self.party.unavailable(&StoreError::Closed))
            }
            Err(error) => Err(self.party.unavailable(&error)),
        }
    }
}

impl File {
    fn found(content_type: &'static str, caching: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            caching,
            body,
        }
    }

    /// An answer of the given type, not to be kept.
    pub(super) fn reply(status: StatusCode, content_type: &'static str, body: String) -> Self {
        Self {
            status,
            content_type,
            caching: FRESH,
            body: body.into_bytes(),
        }
    }

    /// A checkpoint.
    pub(super) fn checkpoint(checkpoint: String) -> Self {
        Self::found(TEXT, FRESH, checkpoint.into_bytes())
    }

    pub(super) fn refused(status: StatusCode, why: &str) -> Self {
        Self {
            status,
            content_type: TEXT,
            caching: FRESH,
            body: format!("{why}\n").into_bytes(),
        }
    }

    fn none() -> Self {
        Self::refused(
            StatusCode::NOT_FOUND,
            "the log has no such file: read /log/checkpoint for its size",
        )
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::new(Full::new(Bytes::from(self.body))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.caching));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownParty => StatusCode::UNAUTHORIZED,
        Refusal::RoleMissing { .. } | Refusal::OutOfScope | Refusal::PurposeNotPermitted { .. } => {
            StatusCode::FORBIDDEN
        }
        Refusal::DamagedLeaf { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl NamedService for LogFiles {
    const NAME: &'static str = "log";
}

impl Service<Request<Body>> for LogFiles {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let files = self.clone();
        Box::pin(async move {
            let pin = request
                .extensions()
                .get::<PeerPin>()
                .map(|PeerPin(pin)| *pin);
            let (method, path) = (request.method(), request.uri().path());
            Ok(files.serve(method, path, pin).await.into_response())
        })
    }
}
