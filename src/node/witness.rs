//! Witnessing (C2SP tlog-witness) over the node's own TLS.
//!
//! ```text
//! POST /witness/add-checkpoint         a log asks for a cosignature
//! GET  /witness/checkpoint/<HEX>       the last checkpoint cosigned of the log whose origin has
//!                                      this SHA-256
//! ```
//!
//! The [`Desk`] is the witness's side. It watches the logs of all parties in the roster, remembers
//! one history of each, and remembers before it cosigns. The other functions are the log's side.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Limited};
use ring::digest::{SHA256, digest};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Method, Request, Response, StatusCode};
use tonic::server::NamedService;

use super::keeper::Held;
use super::log_http::File;
use super::serve::PeerPin;
use crate::ambient::Ambient;
use crate::envelope::{NoteKey, NoteSignature};
use crate::exchange::log_files::{LogFileError, log_key, send};
use crate::exchange::{Party, ask};
use crate::roster::{Member, TrustedRoster};
use crate::store::{LogFinding, Store};
use crate::tlog::witness::{SIZE_CONTENT_TYPE, parse_cosignatures};
use crate::tlog::{AddCheckpoint, SignedCheckpoint, WatchedLog, Witness, WitnessError};

/// Largest request or answer, in octets: a checkpoint with up to a hundred signatures and a proof
/// of 63 hashes.
const MAX_BODY: usize = 64 * 1024;

/// How often a request is judged anew when another one came between.
const TRIES: usize = 4;

pub use crate::exchange::hearsay::SPLIT_VIEW;

/// What the desk asks of the party behind it.
///
/// Contract: asked at each request, must not block.
pub trait Desked: Send + Sync + 'static {
    /// The roster in force, if there is one.
    fn roster(&self) -> Option<Arc<TrustedRoster>>;

    /// Whether this witness's memory is known to be whole. A node whose own log may have been taken
    /// back has a memory that may have been taken back with it, and cosigns nothing.
    fn memory_is_whole(&self) -> bool;
}

/// A witness at work.
#[derive(Clone)]
pub struct Desk(Arc<Parts>);

struct Parts {
    behind: Arc<dyn Desked>,
    store: Store,
    witness: Witness,
    ambient: Ambient,
    alarm: mpsc::UnboundedSender<LogFinding>,
}

impl Desk {
    /// A witness that remembers in `store`; what it finds out is kept there and told to `alarm`.
    #[must_use]
    pub fn new(
        behind: Arc<dyn Desked>,
        store: Store,
        witness: Witness,
        ambient: Ambient,
        alarm: mpsc::UnboundedSender<LogFinding>,
    ) -> Self {
        Self(Arc::new(Parts {
            behind,
            store,
            witness,
            ambient,
            alarm,
        }))
    }

    async fn serve(&self, request: Request<Body>) -> File {
        let pin = request
            .extensions()
            .get::<PeerPin>()
            .map(|PeerPin(pin)| *pin);
        let refused = |status, why: &str| File::refused(status, why);
        let Some(roster) = self.0.behind.roster() else {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "no roster is in force");
        };
        let now = self.0.ambient.now();
        if pin.is_none_or(|pin| roster.member_by_tls_pin(&pin, now).is_err()) {
            return refused(
                StatusCode::UNAUTHORIZED,
                "the certificate of this connection belongs to no active party of the roster",
            );
        }
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        match (&parts.method, path.strip_prefix("/witness/")) {
            (&Method::POST, Some("add-checkpoint")) => {
                match Limited::new(body, MAX_BODY).collect().await {
                    Ok(body) => self.add_checkpoint(&roster, &body.to_bytes()).await,
                    Err(_) => refused(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "the request did not arrive whole, or is too large",
                    ),
                }
            }
            (&Method::GET, Some(path)) if path.starts_with("checkpoint/") => {
                self.last(&roster, path.trim_start_matches("checkpoint/"))
                    .await
            }
            (_, Some("add-checkpoint")) => refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "checkpoints are added with POST",
            ),
            _ => refused(StatusCode::NOT_FOUND, "a witness has no such path"),
        }
    }

    /// The protocol's one request.
    async fn add_checkpoint(&self, roster: &TrustedRoster, body: &[u8]) -> File {
        if !self.0.behind.memory_is_whole() {
            return File::refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "this witness does not know whether its memory is whole: ask again later",
            );
        }
        let reply = match AddCheckpoint::parse(body) {
            Ok(request) => match self.judge(roster, &request).await {
                Ok(reply) => reply,
                Err(error) => {
                    tracing::error!(%error, "a witness's memory failed");
                    return File::refused(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the witness cannot remember now: ask again later",
                    );
                }
            },
            Err(error) => error.reply(),
        };
        let status =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        File::reply(status, reply.content_type, reply.body)
    }

    async fn judge(
        &self,
        roster: &TrustedRoster,
        request: &AddCheckpoint,
    ) -> Result<crate::tlog::witness::Reply, crate::store::StoreError> {
        let origin = request.checkpoint.unverified().origin().as_str();
        let owner = owner_of(roster, |log| log == origin);
        for _ in 0..TRIES {
            let watched = match &owner {
                Some((_, key)) => Some(WatchedLog {
                    keys: vec![key.clone()],
                    last: self
                        .0
                        .store
                        .watched_log(origin)
                        .await?
                        // What was stored was a checkpoint.
                        .and_then(|text| SignedCheckpoint::parse(text.as_bytes()).ok()),
                }),
                None => None,
            };
            let now = self.0.ambient.now();
            let accepted = match self
                .0
                .witness
                .add_checkpoint(request, watched.as_ref(), now)
            {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let (WitnessError::Fork { known, presented }, Some((owner, _))) =
                        (&error, &owner)
                    {
                        self.found_split(owner, known.as_deref(), presented).await?;
                    }
                    return Ok(error.reply());
                }
            };
            let persist = accepted.to_persist();
            let head = persist.unverified().head();
            let remembered = accepted.expected() == Some(head)
                || self
                    .0
                    .store
                    .watch_log(origin, accepted.expected(), &head, &persist.to_string())
                    .await?;
            if remembered {
                return Ok(match accepted.persisted() {
                    Ok(line) => crate::tlog::witness::Reply::cosigned(&line),
                    Err(error) => error.reply(),
                });
            }
        }
        // Others asked about the same log at the same time: the newest size is told.
        let known = self.0.store.watched_log(origin).await?;
        let known = known
            .and_then(|text| SignedCheckpoint::parse(text.as_bytes()).ok())
            .map_or(0, |checkpoint| checkpoint.unverified().size());
        Ok(WitnessError::OtherSize { known }.reply())
    }

    async fn found_split(
        &self,
        owner: &Member,
        known: Option<&SignedCheckpoint>,
        presented: &SignedCheckpoint,
    ) -> Result<(), crate::store::StoreError> {
        let alert = LogFinding {
            kind: SPLIT_VIEW,
            member: owner.id.to_string(),
            detail: format!(
                "{} signed two histories of {} leaves",
                owner.id,
                presented.unverified().size()
            ),
            proof: [
                known.map(ToString::to_string).unwrap_or_default(),
                presented.to_string(),
            ],
        };
        if self.0.store.raise_log_finding(&alert).await? {
            tracing::error!(member = alert.member, "a log shows two histories");
            // Nobody listens any more when the node is stopping; the alert is kept.
            let _ = self.0.alarm.send(alert);
        }
        Ok(())
    }

    async fn last(&self, roster: &TrustedRoster, name: &str) -> File {
        let none = || File::refused(StatusCode::NOT_FOUND, "this witness cosigned none");
        let Some((owner, _)) = owner_of(roster, |origin| log_name(origin) == name) else {
            return none();
        };
        let origin = owner.log.as_ref().map_or("", |log| log.origin.as_str());
        match self.0.store.watched_log(origin).await {
            Ok(Some(checkpoint)) => File::checkpoint(checkpoint),
            Ok(None) => none(),
            Err(error) => {
                tracing::error!(%error, "a witness's memory failed");
                File::refused(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the witness cannot read now",
                )
            }
        }
    }
}

/// The party whose log bears a name, with the log's key.
fn owner_of(roster: &TrustedRoster, is: impl Fn(&str) -> bool) -> Option<(Member, NoteKey)> {
    roster.roster().members.iter().find_map(|member| {
        let log = member.log.as_ref()?;
        if !is(&log.origin) {
            return None;
        }
        Some((member.clone(), log_key(member).ok()?))
    })
}

/// How a path names a log: the SHA-256 of its origin, in hex.
#[must_use]
pub fn log_name(origin: &str) -> String {
    hex::encode(digest(&SHA256, origin.as_bytes()))
}

/// Asks a witness which checkpoint of the log with `key` it cosigned last. It cannot make one up:
/// what it shows counts only if the log signed it.
pub async fn held(party: &Party, witness: &Member, key: &NoteKey) -> Held {
    match held_checkpoint(party, witness, key).await {
        Ok(Some(checkpoint)) => Held::Checkpoint(checkpoint.unverified().head()),
        Ok(None) => Held::Nothing,
        Err(error) => {
            tracing::info!(peer = witness.id.as_str(), %error, "a witness gave no answer");
            Held::Silent
        }
    }
}

pub(super) async fn held_checkpoint(
    party: &Party,
    witness: &Member,
    key: &NoteKey,
) -> Result<Option<SignedCheckpoint>, LogFileError> {
    let path = format!("/witness/checkpoint/{}", log_name(key.name().as_str()));
    let channel = channel(party, witness, &path).await?;
    let fetched = send(&channel, Method::GET, &path, Vec::new(), MAX_BODY).await?;
    match fetched.status {
        200 => {
            let checkpoint = SignedCheckpoint::parse(&fetched.body)?;
            checkpoint.verify(std::slice::from_ref(key))?;
            Ok(Some(checkpoint))
        }
        404 => Ok(None),
        status => Err(LogFileError::Refused {
            path,
            status,
            said: String::new(),
        }),
    }
}

/// What a witness said to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It cosigned.
    Cosigned(NoteSignature),
    /// It remembers another size: begin there.
    Size(u64),
    /// It holds that the checkpoint does not extend what it remembers.
    Contradicted,
}

/// Asks a witness to cosign.
///
/// # Errors
/// If it does not answer, or not with anything that holds.
pub async fn ask_to_cosign(
    party: &Party,
    witness: &Member,
    request: &AddCheckpoint,
) -> Result<Said, LogFileError> {
    let path = "/witness/add-checkpoint";
    let channel = channel(party, witness, path).await?;
    let body = request.to_string().into_bytes();
    let fetched = send(&channel, Method::POST, path, body, MAX_BODY).await?;
    let refused = |said: &str| LogFileError::Refused {
        path: path.to_owned(),
        status: fetched.status,
        said: said.to_owned(),
    };
    match fetched.status {
        200 => {
            let key: NoteKey = witness
                .witness_vkey
                .as_deref()
                .unwrap_or_default()
                .parse()
                .map_err(|_| refused("the roster states no witness key"))?;
            let lines = parse_cosignatures(&fetched.body)
                .map_err(|_| refused("its answer is no cosignature"))?;
            for line in lines {
                let mut checkpoint = request.checkpoint.clone();
                let holds = checkpoint.add_cosignature(line.clone()).is_ok()
                    && crate::envelope::verify_threshold(
                        checkpoint.note(),
                        std::slice::from_ref(&key),
                        1,
                    )
                    .is_ok();
                if holds {
                    return Ok(Said::Cosigned(line));
                }
            }
            Err(refused("its cosignature is not by the key in the roster"))
        }
        409 if fetched.content_type == SIZE_CONTENT_TYPE => std::str::from_utf8(&fetched.body)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map(Said::Size)
            .ok_or_else(|| refused("its size is no number")),
        409 | 422 => Ok(Said::Contradicted),
        _ => Err(refused("")),
    }
}

async fn channel(
    party: &Party,
    witness: &Member,
    path: &str,
) -> Result<tonic::transport::Channel, LogFileError> {
    ask::channel(party, witness)
        .await
        .map_err(|error| LogFileError::Unreachable {
            path: path.to_owned(),
            why: error.to_string(),
        })
}

impl NamedService for Desk {
    const NAME: &'static str = "witness";
}

impl Service<Request<Body>> for Desk {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let desk = self.clone();
        Box::pin(async move { Ok(desk.serve(request).await.into_response()) })
    }
}
