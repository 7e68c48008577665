//! Keeping the node's keys: the master key and where it is kept, wrapping keys and their time.
//!
//! The files are the truth. A change is durable in its file before it is in force in the store, so
//! that whatever is wrapped can be unwrapped after a crash; what a crash leaves undone is done at
//! the next step.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify, watch};

use super::directory::Directory;
use super::identity::IdentityError;
use super::shares;
use crate::ambient::Ambient;
use crate::exchange::Party;
use crate::exchange::leaf::Leaf;
use crate::proto::exchange as pb;
use crate::store::{Act, Effect, Evidence, EvidencePart, Rewrap, Store, StoreError};
use crate::vault::{self, KeyId, KeyRing, KeyWrapper, Moving, VaultError, WrappingRing};

const DAY_MS: u64 = 86_400_000;

/// How many rows of each table are wrapped anew in one transaction.
const ROWS: u64 = 200;

/// How long others have the database between two of them: at most 2,000 rows of a table a second.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether something is to be done.
const IDLE: Duration = Duration::from_secs(60);

/// How often a process that does not sign reads the keys that another may have made.
const STANDING_BY: Duration = Duration::from_secs(5);

/// `[keys]` of `node.toml`.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// Where the master key is kept.
    pub master: MasterConfig,
    /// After how many days a new wrapping key is made.
    pub wrapping_days: u64,
    /// For how many days a backup is to be restorable: a wrapping key is destroyed so long after
    /// nothing is wrapped by it any more.
    pub backup_days: u64,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            master: MasterConfig::File,
            wrapping_days: 30,
            backup_days: 35,
        }
    }
}

impl KeysConfig {
    /// How long the journal keeps what is in a backup by then: a day longer than the oldest backup.
    #[must_use]
    pub fn journal_keep(&self) -> Duration {
        Duration::from_millis(self.backup_days.saturating_add(1).saturating_mul(DAY_MS))
    }
}

/// Where the master key is kept.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum MasterConfig {
    /// In `keys/master.key`, or in the credential `master.key` if the service manager gives it.
    #[default]
    File,
    /// In a systemd credential of this name (`LoadCredential=`, `LoadCredentialEncrypted=`).
    Credential(String),
    /// In a hardware security module.
    Pkcs11(Pkcs11Config),
}

/// A key in a hardware security module, reached by PKCS#11.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Config {
    /// The module: a shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// Labels of AES-256 keys in the token; the first wraps, any unwraps.
    pub keys: Vec<String>,
    /// Where the user's PIN is.
    pub pin: PinConfig,
}

/// Where a PIN is.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PinConfig {
    /// In a file for its owner alone; a relative path counts from the node's directory.
    File(PathBuf),
    /// In a systemd credential of this name.
    Credential(String),
}

impl MasterConfig {
    /// Loads the master key, or opens what keeps it.
    ///
    /// # Errors
    /// [`IdentityError`] says what is missing.
    pub fn load(&self, directory: &Directory) -> Result<Arc<dyn KeyWrapper>, IdentityError> {
        match self {
            Self::File => match given_credential() {
                Some(path) => {
                    let ring = vault::load_credential(&path)?;
                    moving_from_file(directory, Arc::new(ring))
                }
                None => Ok(Arc::new(vault::load_file(&directory.key("master.key"))?)),
            },
            Self::Credential(name) => {
                let ring = vault::load_credential(&credential(name)?)?;
                moving_from_file(directory, Arc::new(ring))
            }
            Self::Pkcs11(config) => moving_from_file(directory, open_token(config, directory)?),
        }
    }
}

/// The credential with the master key that the service manager gives without being asked to in
/// node.toml (`LoadCredential=master.key:PATH`).
fn given_credential() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|folder| PathBuf::from(folder).join("master.key"))
        .filter(|path| path.exists())
}

/// The path of a systemd credential.
fn credential(name: &str) -> Result<PathBuf, IdentityError> {
    let folder =
        std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| IdentityError::NoCredentials {
            name: name.to_owned(),
        })?;
    Ok(PathBuf::from(folder).join(name))
}

/// A directory whose master key was in its file, and still is, goes over to the new keeper: the file
/// unwraps what is not wrapped anew yet.
fn moving_from_file(
    directory: &Directory,
    new: Arc<dyn KeyWrapper>,
) -> Result<Arc<dyn KeyWrapper>, IdentityError> {
    let path = directory.key("master.key");
    if !path.exists() {
        return Ok(new);
    }
    let old = vault::load_file(&path)?;
    Ok(Arc::new(Moving { new, old }))
}

#[cfg(feature = "pkcs11")]
fn open_token(
    config: &Pkcs11Config,
    directory: &Directory,
) -> Result<Arc<dyn KeyWrapper>, IdentityError> {
    use std::sync::{Mutex, PoisonError};
    // One session for all that this process does with a token.
    static OPEN: Mutex<Vec<(Pkcs11Config, Arc<vault::Pkcs11Keys>)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = open.iter().find(|(known, _)| known == config) {
        return Ok(Arc::clone(known) as Arc<dyn KeyWrapper>);
    }
    let pin = match &config.pin {
        PinConfig::File(path) => vault::load_secret(&directory.path().join(path))?,
        PinConfig::Credential(name) => vault::load_secret_credential(&credential(name)?)?,
    };
    let wanted = vault::TokenKeys {
        module: config.module.clone(),
        token: config.token.clone(),
        keys: config.keys.clone(),
    };
    let token = Arc::new(vault::Pkcs11Keys::open(wanted, &pin)?);
    open.push((config.clone(), Arc::clone(&token)));
    Ok(token)
}

#[cfg(not(feature = "pkcs11"))]
fn open_token(
    config: &Pkcs11Config,
    _directory: &Directory,
) -> Result<Arc<dyn KeyWrapper>, IdentityError> {
    Err(IdentityError::Vault(VaultError::Token {
        token: config.token.clone(),
        problem: "this program was built without PKCS#11".to_owned(),
        remedy: "build it with `cargo build --release --features pkcs11`",
    }))
}

/// The file of the wrapping keys.
const WRAPPING: &str = "wrapping.keys";

/// Makes the file of the wrapping keys.
///
/// # Errors
/// If it is there already, or cannot be written.
pub(super) fn create_wrapping(
    directory: &Directory,
    master: &dyn KeyWrapper,
    ambient: &Ambient,
) -> Result<(), IdentityError> {
    let ring = WrappingRing::generate(&mut ambient.rng(), ambient.now_ms());
    let text = ring.to_text(master, &mut ambient.rng())?;
    vault::create_secret(&directory.key(WRAPPING), text.as_bytes())?;
    Ok(())
}

/// Reads the file of the wrapping keys.
///
/// # Errors
/// If it cannot be read, or `master` does not unwrap a key in it.
pub fn load_wrapping(
    directory: &Directory,
    master: &dyn KeyWrapper,
) -> Result<WrappingRing, IdentityError> {
    Ok(WrappingRing::from_text(&wrapping_text(directory)?, master)?)
}

fn wrapping_text(directory: &Directory) -> Result<String, IdentityError> {
    let path = directory.key(WRAPPING);
    let text = vault::load_secret(&path)?;
    String::from_utf8(text.to_vec()).map_err(|error| IdentityError::Damaged {
        path: path.display().to_string(),
        what: "wrapping keys",
        why: error.to_string(),
    })
}

/// Replaces the file of the wrapping keys.
///
/// # Errors
/// If it cannot be written.
pub fn save_wrapping(
    directory: &Directory,
    ring: &WrappingRing,
    master: &dyn KeyWrapper,
    ambient: &Ambient,
) -> Result<(), IdentityError> {
    let text = ring.to_text(master, &mut ambient.rng())?;
    vault::save_secret(&directory.key(WRAPPING), text.as_bytes())?;
    Ok(())
}

/// Why keys could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyKeepingError {
    /// A file or its contents.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key is not the node's to change.
    #[error(
        "the master key is kept by {keeper}, and not by the node: add a new key there, in front of \
         the old one, and restart the node; it then wraps everything anew by itself"
    )]
    NotOurs {
        /// What keeps it.
        keeper: &'static str,
    },
}

impl From<VaultError> for KeyKeepingError {
    fn from(error: VaultError) -> Self {
        Self::Identity(error.into())
    }
}

/// Keeps the keys of one node.
pub struct KeyKeeper {
    directory: Directory,
    config: KeysConfig,
    ambient: Ambient,
    /// One change of the files at a time.
    changing: Mutex<()>,
    /// There is something to do before the next look.
    wake: Notify,
}

impl KeyKeeper {
    /// The keeper of a directory's keys.
    #[must_use]
    pub fn new(directory: Directory, config: KeysConfig, ambient: Ambient) -> Self {
        Self {
            directory,
            config,
            ambient,
            changing: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// The directory whose keys it keeps.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Makes a new master key and a new wrapping key, and lets everything be wrapped by them. What
    /// the master key wraps is done when this returns; data keys follow in the background.
    ///
    /// # Errors
    /// [`KeyKeepingError::NotOurs`] if the master key is kept elsewhere.
    pub async fn rotate(&self, party: &Party) -> Result<(), KeyKeepingError> {
        let _changing = self.changing.lock().await;
        match &self.config.master {
            MasterConfig::File if given_credential().is_some() => {
                return Err(KeyKeepingError::NotOurs {
                    keeper: "the service manager",
                });
            }
            MasterConfig::File => {
                let path = self.directory.key("master.key");
                let mut ring = vault::load_file(&path)?;
                ring.rotate(&mut self.ambient.rng());
                vault::save_file(&ring, &path)?;
            }
            MasterConfig::Credential(_) => {
                return Err(KeyKeepingError::NotOurs {
                    keeper: "the service manager",
                });
            }
            MasterConfig::Pkcs11(_) => {
                return Err(KeyKeepingError::NotOurs {
                    keeper: "a hardware security module",
                });
            }
        }
        self.follow_master(party.store()).await?;
        self.renew(party).await
    }

    /// Makes a new wrapping key.
    ///
    /// # Errors
    /// If a file or the database fails.
    pub async fn renew_wrapping(&self, party: &Party) -> Result<(), KeyKeepingError> {
        let _changing = self.changing.lock().await;
        self.renew(party).await
    }

    async fn renew(&self, party: &Party) -> Result<(), KeyKeepingError> {
        let master = self.config.master.load(&self.directory)?;
        let mut ring = load_wrapping(&self.directory, master.as_ref())?;
        let id = ring.renew(&mut self.ambient.rng(), self.ambient.now_ms());
        save_wrapping(&self.directory, &ring, master.as_ref(), &self.ambient)?;
        party.store().replace_wrapping(ring);
        party.store().begin_rewrap().await?;
        self.wake.notify_one();
        self.record(party, pb::Act::WrappingKeyMade, &format!("wrapping={id}"))
            .await
    }

    /// Wraps by the current master key what the master key wraps: wrapping keys, the store's own
    /// key, shares of the coalition key.
    async fn follow_master(&self, store: &Store) -> Result<(), KeyKeepingError> {
        let master = self.config.master.load(&self.directory)?;
        let text = wrapping_text(&self.directory)?;
        if !WrappingRing::is_current_text(&text, master.as_ref())? {
            let ring = WrappingRing::from_text(&text, master.as_ref())?;
            save_wrapping(&self.directory, &ring, master.as_ref(), &self.ambient)?;
        }
        store.replace_master(Arc::clone(&master)).await?;
        shares::rewrap(&self.directory, master.as_ref(), &self.ambient)?;
        Ok(())
    }

    /// Does what is due, a little at a time. Tells whether there is more to do now.
    ///
    /// # Errors
    /// If a file or the database fails; the next step tries again.
    pub async fn step(&self, party: &Party) -> Result<bool, KeyKeepingError> {
        let _changing = self.changing.lock().await;
        let signs = matches!(party.ledger().standing(), Some(Ok(())));
        let master = self.config.master.load(&self.directory)?;
        let text = wrapping_text(&self.directory)?;
        // The process that signs keeps the keys that all processes of this node read. One that has
        // just begun to sign may still work with those of before.
        let of_file = WrappingRing::from_text(&text, master.as_ref())?;
        party.store().replace_wrapping(of_file);
        if !signs {
            return Ok(false);
        }
        let mut ring = WrappingRing::from_text(&text, master.as_ref())?;
        let now = self.ambient.now_ms();
        let due = self.config.wrapping_days.saturating_mul(DAY_MS);
        if ring
            .keys()
            .next()
            .is_some_and(|key| key.made_ms.saturating_add(due) <= now)
        {
            self.renew(party).await?;
            return Ok(true);
        }
        if ring.keys().skip(1).any(|key| key.retired_ms.is_none()) {
            if party.store().rewrap_some(ROWS).await? == Rewrap::More {
                return Ok(true);
            }
            ring.retire_others(now);
            save_wrapping(&self.directory, &ring, master.as_ref(), &self.ambient)?;
        }
        if let Some(journal) = party.store().journal() {
            journal.turn_daily(now, self.config.journal_keep())?;
        }
        let until = now.saturating_sub(self.config.backup_days.saturating_mul(DAY_MS));
        let gone = ring.destroy_retired(until);
        if gone.is_empty() {
            return Ok(false);
        }
        let rows = party.store().wrapped_rows().await?;
        let in_use = |id: &KeyId| {
            let id = id.to_string();
            rows.iter().any(|row| row.key == id && row.rows > 0)
        };
        if gone.iter().any(in_use) {
            // A process that did not know of its successor wrapped by it: what it wraps is wrapped
            // anew, and its time begins again, since backups of late hold those rows.
            tracing::warn!("a wrapping key whose time is over still wraps rows, and is kept");
            ring.take_in(&WrappingRing::from_text(&text, master.as_ref())?);
            save_wrapping(&self.directory, &ring, master.as_ref(), &self.ambient)?;
            return Ok(true);
        }
        // The leaves come first: a crash in between repeats them, and leaves none out.
        for id in gone {
            let reference = format!("wrapping={id}");
            self.record(party, pb::Act::WrappingKeyDestroyed, &reference)
                .await?;
        }
        save_wrapping(&self.directory, &ring, master.as_ref(), &self.ambient)?;
        party.store().replace_wrapping(ring);
        Ok(false)
    }

    /// What may be told of the keys.
    ///
    /// # Errors
    /// If a file or the database fails.
    pub async fn status(&self, store: &Store) -> Result<KeyStatus, KeyKeepingError> {
        let _changing = self.changing.lock().await;
        let master = self.config.master.load(&self.directory)?;
        let ring = load_wrapping(&self.directory, master.as_ref())?;
        let masters = match &self.config.master {
            MasterConfig::File if given_credential().is_none() => {
                ids(&vault::load_file(&self.directory.key("master.key"))?)
            }
            _ => Vec::new(),
        };
        let rows = store.wrapped_rows().await?;
        let wrapping = ring
            .keys()
            .map(|key| WrappingStatus {
                id: key.id.to_string(),
                made_ms: key.made_ms,
                retired_ms: key.retired_ms,
                rows: rows
                    .iter()
                    .filter(|row| row.key == key.id.to_string())
                    .map(|row| row.rows)
                    .sum(),
            })
            .collect();
        Ok(KeyStatus { masters, wrapping })
    }

    /// Wraps by the master key that is configured now what another wrapped before. To be done before
    /// the node serves.
    pub async fn begin(&self, store: &Store) {
        let _changing = self.changing.lock().await;
        if let Err(error) = self.follow_master(store).await {
            tracing::error!(%error, "what the master key wraps could not be wrapped anew");
        }
    }

    /// Steps until the node stops.
    pub async fn keep(&self, party: &Party, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let pause = match self.step(party).await {
                Ok(true) => PAUSE,
                Ok(false) if party.ledger().standing() == Some(Ok(())) => IDLE,
                Ok(false) => STANDING_BY,
                Err(error) => {
                    tracing::error!(%error, "the keys could not be kept");
                    IDLE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    async fn record(
        &self,
        party: &Party,
        act: pb::Act,
        reference: &str,
    ) -> Result<(), KeyKeepingError> {
        let (leaf, opening) = Leaf::new(act, &self.ambient, &pb::Outcome::default())
            .set(|entry| entry.reference = reference.to_owned())
            .finish();
        let act = Act::alone(leaf).with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
        party.ledger().commit(act).await?;
        Ok(())
    }
}

/// What may be told of a node's keys.
pub struct KeyStatus {
    /// Ids of the master keys, the one that wraps first; none if they are kept elsewhere.
    pub masters: Vec<String>,
    /// The wrapping keys, the one that wraps first.
    pub wrapping: Vec<WrappingStatus>,
}

/// What may be told of a wrapping key.
pub struct WrappingStatus {
    /// Its id.
    pub id: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Since when nothing is wrapped by it.
    pub retired_ms: Option<u64>,
    /// How many rows it wraps.
    pub rows: u64,
}

fn ids(ring: &KeyRing) -> Vec<String> {
    ring.ids().map(|id| id.to_string()).collect()
}
