//! Reading another party's log as files (C2SP tlog-tiles), over the same channel as everything
//! else. Nothing that comes back is believed: hashes count only once they lead to the root of a
//! checkpoint that the log has signed.

use std::collections::HashMap;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{Method, Request, StatusCode};
use tonic::transport::Channel;
use tower::ServiceExt as _;

use crate::envelope::NoteKey;
use crate::roster::Member;
use crate::tlog::tile::{self, Tile, TileError};
use crate::tlog::{
    CheckpointError, Hash, NodeId, ProofError, SignedCheckpoint, TreeHead, VerifiedCheckpoint,
    proof,
};

/// How long one file may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Largest checkpoint, in octets: a log's own signature and up to a hundred cosignatures.
const MAX_CHECKPOINT: usize = 64 * 1024;

/// Octets of a full hash tile.
const MAX_TILE: usize = tile::FULL_WIDTH as usize * 32;

/// Why a log could not be read, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFileError {
    /// The roster states no log, or a key that is none.
    #[error("the roster states no usable log for {member}: {why}")]
    NoLog {
        /// The party.
        member: String,
        /// What is wrong.
        why: String,
    },
    /// The party's node cannot be reached, or broke off.
    #[error("{path} could not be fetched: {why}")]
    Unreachable {
        /// The path.
        path: String,
        /// What happened.
        why: String,
    },
    /// Another status than 200.
    #[error("{path} was refused with status {status}: {said}")]
    Refused {
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The first line of what the node said.
        said: String,
    },
    /// Not a tile, or one of another length.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The checkpoint is malformed, or not signed by the log.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The tiles do not lead to what the log signed.
    #[error("the log's own hashes do not hold: {0}")]
    Proof(#[from] ProofError),
}

impl LogFileError {
    /// Whether the party broke what it signed, rather than being away or busy.
    #[must_use]
    pub fn is_breach(&self) -> bool {
        matches!(self, Self::Tile(_) | Self::Checkpoint(_) | Self::Proof(_))
    }
}

/// An HTTP exchange's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// The content type, or nothing.
    pub content_type: String,
    /// How long it may be kept, as its header says.
    pub caching: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends one HTTP request over a channel and reads a body of at most `limit` octets.
///
/// # Errors
/// [`LogFileError::Unreachable`]; any status is an outcome, not an error.
pub async fn send(
    channel: &Channel,
    method: Method,
    path: &str,
    body: Vec<u8>,
    limit: usize,
) -> Result<Fetched, LogFileError> {
    let lost = |why: String| LogFileError::Unreachable {
        path: path.to_owned(),
        why,
    };
    let mut request = Request::new(Body::new(Full::new(Bytes::from(body))));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| lost("it is no path".to_owned()))?;
    let exchange = async {
        let response = channel
            .clone()
            .oneshot(request)
            .await
            .map_err(|error| lost(error.to_string()))?;
        let (parts, body) = response.into_parts();
        let header = |name: &str| {
            let value = parts.headers.get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let (status, content_type, caching) = (
            parts.status.as_u16(),
            header("content-type"),
            header("cache-control"),
        );
        let body = Limited::new(body, limit)
            .collect()
            .await
            .map_err(|error| lost(error.to_string()))?;
        Ok(Fetched {
            status,
            content_type,
            caching,
            body: body.to_bytes().to_vec(),
        })
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|_| lost(format!("nothing came within {} seconds", TIMEOUT.as_secs())))?
}

/// The keys of a party's log, as the roster states them.
///
/// # Errors
/// [`LogFileError::NoLog`].
pub fn log_key(member: &Member) -> Result<NoteKey, LogFileError> {
    let wrong = |why: String| LogFileError::NoLog {
        member: member.id.to_string(),
        why,
    };
    let log = member
        .log
        .as_ref()
        .ok_or_else(|| wrong("it runs no node".to_owned()))?;
    let key: NoteKey = log
        .vkey
        .parse()
        .map_err(|error| wrong(format!("{error}")))?;
    if key.name().as_str() == log.origin {
        Ok(key)
    } else {
        Err(wrong("its key bears another name than the log".to_owned()))
    }
}

/// A party's log, read over a channel. Tiles are kept for as long as this lives.
pub struct RemoteLog {
    channel: Channel,
    key: NoteKey,
    tiles: HashMap<Tile, Vec<u8>>,
}

impl RemoteLog {
    /// The log of `member`, at the far end of `channel`.
    ///
    /// # Errors
    /// [`LogFileError::NoLog`].
    pub fn new(channel: Channel, member: &Member) -> Result<Self, LogFileError> {
        Ok(Self {
            channel,
            key: log_key(member)?,
            tiles: HashMap::new(),
        })
    }

    /// The checkpoint it serves now, its signature verified.
    ///
    /// # Errors
    /// [`LogFileError`].
    pub async fn checkpoint(&self) -> Result<VerifiedCheckpoint, LogFileError> {
        let body = self.get("/log/checkpoint", MAX_CHECKPOINT).await?;
        Ok(SignedCheckpoint::parse(&body)?.verify(std::slice::from_ref(&self.key))?)
    }

    /// Checks that a leaf with this hash stands at `index` under `head`.
    ///
    /// # Errors
    /// [`LogFileError::Proof`] if it does not.
    pub async fn check_inclusion(
        &mut self,
        leaf_hash: &Hash,
        index: u64,
        head: &TreeHead,
    ) -> Result<(), LogFileError> {
        let nodes = proof::inclusion_nodes(index, head.size)?;
        let hashes = self.hashes(&nodes, head.size).await?;
        let path = proof::assemble_inclusion(index, head.size, &hashes)?;
        Ok(proof::verify_inclusion(
            leaf_hash, index, head.size, &path, &head.root,
        )?)
    }

    /// The hashes that prove that the tree under `new` extends the one under `old`, verified.
    ///
    /// # Errors
    /// [`LogFileError::Proof`] if it does not.
    pub async fn prove_consistency(
        &mut self,
        old: &TreeHead,
        new: &TreeHead,
    ) -> Result<Vec<Hash>, LogFileError> {
        let nodes = proof::consistency_nodes(old.size, new.size)?;
        let hashes = self.hashes(&nodes, new.size).await?;
        let path = proof::assemble_consistency(old.size, new.size, &hashes)?;
        proof::verify_consistency(old.size, new.size, &path, &old.root, &new.root)?;
        Ok(path)
    }

    /// Hashes of perfect subtrees out of the tiles of the log at `size` leaves. They are the
    /// log's word until a proof holds them against a root.
    async fn hashes(&mut self, nodes: &[NodeId], size: u64) -> Result<Vec<Hash>, LogFileError> {
        let mut hashes = Vec::with_capacity(nodes.len());
        for &node in nodes {
            let tile = Tile::of_node(node, size).ok_or(TileError::NoSuchTile)?;
            if !self.tiles.contains_key(&tile) {
                let bytes = self.get(&format!("/log/{tile}"), MAX_TILE).await?;
                self.tiles.insert(tile, bytes);
            }
            let bytes = self.tiles.get(&tile).map_or(&[][..], Vec::as_slice);
            hashes.push(tile::node_in_tile(node, &tile, bytes)?);
        }
        Ok(hashes)
    }

    async fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, LogFileError> {
        let fetched = send(&self.channel, Method::GET, path, Vec::new(), limit).await?;
        if fetched.status == StatusCode::OK.as_u16() {
            return Ok(fetched.body);
        }
        let said = String::from_utf8_lossy(&fetched.body);
        Err(LogFileError::Refused {
            path: path.to_owned(),
            status: fetched.status,
            said: said
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .filter(|character| !character.is_control())
                .take(200)
                .collect(),
        })
    }
}
