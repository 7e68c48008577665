//! Beginning a new log after the old one was lost: an operator's decision, made on a stopped node.

use super::config::Config;
use super::directory::{Directory, DirectoryError};
use super::guard::{Guard, Guarded};
use super::identity::Identity;
use super::run::NodeError;
use crate::ambient::Ambient;
use crate::roster::{Log, Member};
use crate::store::{Journal, Store};
use crate::tlog::{SignedCheckpoint, TreeHead};

/// A new log, which begins when its node is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrigin {
    /// Its name.
    pub origin: String,
    /// The key that verifies it.
    pub vkey: String,
    /// The name of the log that was given up.
    pub broken_origin: String,
    /// How many leaves of it are known to have been signed.
    pub broken_size: u64,
}

/// Why no new log can begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewOriginError {
    /// The node's directory, keys or database.
    #[error(transparent)]
    Node(#[from] Box<NodeError>),
    /// The checkpoint that was given.
    #[error("the checkpoint given is none of this node's log: {0}")]
    Last(String),
    /// There is no log to give up.
    #[error("no leaf of this node's log was ever signed: start the node instead")]
    NothingLost,
    /// The public entry could not be brought up to date.
    #[error("member.json: {0}; the new log is in force all the same, its key is in keys/log.key")]
    Entry(String),
}

impl<E: Into<NodeError>> From<E> for NewOriginError {
    fn from(error: E) -> Self {
        Self::Node(Box::new(error.into()))
    }
}

/// Gives the log of a stopped node up and prepares the next, whose first leaf names it.
///
/// The old log's leaves and evidence are set aside in the database, its key is replaced: no second
/// history of it can be signed by this directory any more. `last` is the newest checkpoint of it
/// that anybody can show.
///
/// # Errors
/// [`NewOriginError`]. Run again, it takes up where it stopped.
pub async fn new_log_origin(
    directory: &Directory,
    ambient: &Ambient,
    last: Option<&[u8]>,
) -> Result<NewOrigin, NewOriginError> {
    let config = Config::load(directory)?;
    let _lock = directory.lock()?;
    let identity = Identity::load(directory)?;
    let (ring, token) = Identity::store_keys(directory)?;
    let address = config.database_in(directory);
    let store = Store::open(&address, ring, token, ambient.clone())
        .await?
        .with_journal(Journal::open(&config.backup.journal_in(directory))?);
    let old = identity.log.note_key();
    let broken_origin = old.name().to_string();

    let mut known: Vec<TreeHead> = Vec::new();
    known.extend(store.newest_signed().await?.map(|newest| newest.head));
    let noted = store.head_in_journal(&broken_origin)?;
    known.extend(noted.map(|(size, root)| TreeHead { size, root }));
    let guard_file = directory.file("log.guard");
    if let Guarded::Signed { head, .. } = Guard::new(&guard_file, &broken_origin).read() {
        known.push(head);
    }
    if let Some(last) = last {
        let checkpoint = SignedCheckpoint::parse(last)
            .and_then(|checkpoint| checkpoint.verify(std::slice::from_ref(&old)))
            .map_err(|error| NewOriginError::Last(error.to_string()))?;
        known.push(checkpoint.head());
    }
    let broken = known
        .into_iter()
        .filter(|head| head.size > 0)
        .max_by_key(|head| head.size)
        .ok_or(NewOriginError::NothingLost)?;

    let log = Identity::next_log_key(&broken_origin, ambient)?;
    let new = log.note_key();
    let continues = format!(
        "after={broken_origin} size={} root={}",
        broken.size,
        hex::encode(broken.root)
    );
    store.set_log_aside(&continues).await?;
    store.close().await;
    Guard::new(&guard_file, new.name().as_str())
        .create()
        .map_err(|error| DirectoryError::of(&guard_file, &error))?;
    Identity::replace_log_key(directory, &log)?;
    state_in_entry(directory, &new.to_string(), new.name().as_str())?;
    Ok(NewOrigin {
        origin: new.name().to_string(),
        vkey: new.to_string(),
        broken_origin,
        broken_size: broken.size,
    })
}

fn state_in_entry(directory: &Directory, vkey: &str, origin: &str) -> Result<(), NewOriginError> {
    let Some(text) = directory.read_if_there("member.json")? else {
        return Ok(());
    };
    let wrong = |error: serde_json::Error| NewOriginError::Entry(error.to_string());
    let mut member: Member = serde_json::from_str(&text).map_err(wrong)?;
    member.log = Some(Log {
        origin: origin.to_owned(),
        vkey: vkey.to_owned(),
    });
    let text = serde_json::to_string_pretty(&member).map_err(wrong)?;
    directory.write("member.json", &format!("{text}\n"))?;
    Ok(())
}
