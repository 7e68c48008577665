//! Ceremonies over the nodes' own connections: a node gives its operator's part of a ceremony to the
//! others and gathers theirs, until all have confirmed.
//!
//! ```text
//! DIR/ceremonies/FINGERPRINT/...      the ceremony's folder, as it would travel on a stick
//! DIR/ceremonies/FINGERPRINT/joined   the operator was told of it and takes part
//! ```
//!
//! An operator says once which ceremony it was told of. From then on the node does by itself what
//! `wayhome ceremony join` does: fetch what the others have published, do what can be done, wait. All
//! state is in the folder and the journal, so a node that was killed goes on where it was.

mod desk;
mod fetch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use self::desk::CeremonyDesk;
pub use self::fetch::{FetchError, Fetched, fetch_public};
use super::Identity;
use super::ceremony::{
    COALITION_KEY, Ceremony, CeremonyError, Fingerprint, Joined, Terms, Waiting,
};
use super::directory::{Directory, DirectoryError};
use super::tending::record;
use crate::exchange::{Party, Refusal};
use crate::proto::exchange as pb;
use crate::roster::{MemberId, TrustStore, TrustedRoot};
use crate::store::StoreError;
use tokio::sync::watch;

/// How soon the others are asked again while something happens, and while nothing does.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(30);

const FOLDER: &str = "ceremonies";
const JOINED: &str = "joined";

/// A file that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Who gave it.
    pub peer: MemberId,
    /// Its name within the folder.
    pub file: String,
    /// The stable reason code.
    pub code: &'static str,
    /// The reason in words, with the name of whose message it is.
    pub message: String,
}

/// Where a ceremony stands at this node.
#[derive(Debug, Clone, Default)]
pub struct Stand {
    /// Whether the plan is there.
    pub has_plan: bool,
    /// Whether the node takes part.
    pub joined: bool,
    /// Whether all have confirmed and the results are written.
    pub finished: bool,
    /// What is waited for.
    pub waits_for: Option<Waiting>,
    /// Why it does not go on by itself: code and words.
    pub stopped: Option<(&'static str, String)>,
    /// What was refused since the node started.
    pub faults: Vec<Fault>,
    /// Peers that could not be asked at the last attempt.
    pub away: Vec<MemberId>,
}

/// Why nothing can be said or done about a ceremony.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremoniesError {
    /// The ceremony itself.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// No roster in force.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The node's directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The act could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work was interrupted.
    #[error("the work was interrupted: ask again")]
    Interrupted,
}

/// The ceremonies of one node.
pub struct Ceremonies {
    directory: Directory,
    party: Arc<Party>,
    /// One step at a time.
    working: tokio::sync::Mutex<()>,
    /// What several peers give is put into the folder one after the other.
    taking: tokio::sync::Mutex<()>,
    stands: Mutex<BTreeMap<Fingerprint, Stand>>,
    /// Wakes the background when an operator joins.
    nudged: tokio::sync::Notify,
}

impl Ceremonies {
    /// The ceremonies in a node's directory.
    #[must_use]
    pub fn new(directory: Directory, party: Arc<Party>) -> Self {
        Self {
            directory,
            party,
            working: tokio::sync::Mutex::default(),
            taking: tokio::sync::Mutex::default(),
            stands: Mutex::default(),
            nudged: tokio::sync::Notify::new(),
        }
    }

    /// The folder of a ceremony at this node.
    #[must_use]
    pub fn folder(&self, fingerprint: Fingerprint) -> PathBuf {
        self.directory.file(FOLDER).join(fingerprint.digits())
    }

    /// Calls a ceremony under the roster in force; its files are given to those who ask for it by its
    /// fingerprint.
    ///
    /// # Errors
    /// If the terms do not fit the roster, or the folder cannot be written.
    pub async fn call(&self, terms: Terms) -> Result<Fingerprint, CeremoniesError> {
        let _one_at_a_time = self.working.lock().await;
        let trust = self.party.with_trust(Clone::clone);
        let (folder, ambient) = (self.directory.file(FOLDER), self.party.ambient().clone());
        blocking(move || {
            // Laid under a name of its own, since the plan's name comes of the plan.
            let fresh = folder.join(format!("new-{}", hex::encode(ambient.random::<8>())));
            let ceremony = Ceremony::start(&fresh, &trust, &terms, &ambient)?;
            let fingerprint = Fingerprint::of(&ceremony.id());
            let path = folder.join(fingerprint.digits());
            std::fs::rename(&fresh, &path).map_err(|error| DirectoryError::of(&path, &error))?;
            Ok(fingerprint)
        })
        .await
    }

    /// Takes part in the ceremony that the operator was told of, from now on, and does what can be
    /// done now.
    ///
    /// # Errors
    /// If that could not be recorded; whatever else is in the way is in what is returned.
    pub async fn join(&self, fingerprint: Fingerprint) -> Result<Stand, CeremoniesError> {
        {
            let _one_at_a_time = self.working.lock().await;
            let marker = self.folder(fingerprint).join(JOINED);
            if !marker.exists() {
                record(
                    &self.party,
                    pb::Act::CeremonyJoined,
                    format!("ceremony={fingerprint}"),
                )
                .await?;
                let wrong = |error| DirectoryError::of(&marker, &error);
                std::fs::create_dir_all(self.folder(fingerprint)).map_err(wrong)?;
                std::fs::File::create(&marker)
                    .and_then(|file| file.sync_all())
                    .map_err(wrong)?;
            }
        }
        self.go_on_with(fingerprint).await?;
        self.nudged.notify_one();
        self.stand(fingerprint).await
    }

    /// Where a ceremony stands here.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn stand(&self, fingerprint: Fingerprint) -> Result<Stand, CeremoniesError> {
        let (known, finished) = (self.known(fingerprint), self.is_finished(fingerprint));
        let (path, root) = (self.folder(fingerprint), self.root());
        blocking(move || {
            let joined = path.join(JOINED).exists();
            let has_plan = opened(&path, &root)?.is_some();
            Ok(Stand {
                has_plan,
                joined,
                finished,
                ..known
            })
        })
        .await
    }

    /// Goes on with every ceremony that the operator joined, until the node stops.
    pub async fn go_on(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut pause = SOON;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.nudged.notified() => pause = SOON,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let mut moved = false;
            for fingerprint in self.under_way() {
                match self.go_on_with(fingerprint).await {
                    Ok(did) => moved |= did,
                    Err(error) => {
                        tracing::error!(%error, ceremony = %fingerprint, "a ceremony does not go on");
                    }
                }
            }
            pause = if moved { SOON } else { (pause * 2).min(LATER) };
        }
    }

    /// The ceremonies that were joined and are not at their end.
    fn under_way(&self) -> Vec<Fingerprint> {
        let entries = std::fs::read_dir(self.directory.file(FOLDER));
        let joined = |fingerprint: &Fingerprint| {
            self.folder(*fingerprint).join(JOINED).exists() && !self.is_finished(*fingerprint)
        };
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.len() == 32)
            .filter_map(|name| Fingerprint::parse(&name))
            .filter(joined)
            .collect()
    }

    /// Whether the results have been written, which is the last that a ceremony does.
    fn is_finished(&self, fingerprint: Fingerprint) -> bool {
        self.folder(fingerprint).join(COALITION_KEY).exists()
    }

    /// Fetches what the others have, does what can be done, and says whether anything has changed.
    async fn go_on_with(&self, fingerprint: Fingerprint) -> Result<bool, CeremoniesError> {
        let _one_at_a_time = self.working.lock().await;
        if self.is_finished(fingerprint) {
            return Ok(false);
        }
        let mut moved = self.fetch_all(fingerprint).await?;
        match self.step(fingerprint).await {
            Ok(None) => {}
            Ok(Some(joined)) => {
                moved |= !joined.did.is_empty();
                let ended = joined.waits_for.is_none();
                self.note(fingerprint, |stand| {
                    stand.waits_for = joined.waits_for;
                    stand.stopped = None;
                });
                if ended {
                    self.end(fingerprint).await?;
                    moved = true;
                }
            }
            Err(CeremoniesError::Ceremony(error)) => self.note(fingerprint, |stand| {
                let stopped = Some((error.code(), error.to_string()));
                if stand.stopped != stopped {
                    tracing::error!(code = error.code(), %error, ceremony = %fingerprint, "a ceremony stopped");
                    stand.stopped = stopped;
                }
            }),
            Err(error) => return Err(error),
        }
        Ok(moved)
    }

    /// This party's part, as far as it can be done; nothing while nobody has given the plan.
    async fn step(&self, fingerprint: Fingerprint) -> Result<Option<Joined>, CeremoniesError> {
        let newest = self.party.roster()?;
        let (path, root) = (self.folder(fingerprint), self.root());
        let (directory, me) = (self.directory.clone(), self.party.id().clone());
        let ambient = self.party.ambient().clone();
        blocking(move || {
            let Some(ceremony) = opened(&path, &root)? else {
                return Ok(None);
            };
            ceremony.check_contradictions()?;
            let identity = Identity::load(&directory).map_err(CeremonyError::from)?;
            let told = fingerprint.digits();
            let joined = ceremony.join(
                &directory,
                &identity,
                &me,
                Some(&told),
                Some(&newest),
                &ambient,
            )?;
            Ok(Some(joined))
        })
        .await
    }

    /// Writes the results; the log says so first.
    async fn end(&self, fingerprint: Fingerprint) -> Result<(), CeremoniesError> {
        let (path, root) = (self.folder(fingerprint), self.root());
        let reference = blocking({
            let (path, root) = (path.clone(), root.clone());
            move || {
                let ceremony = Ceremony::open(&path, &root)?;
                let outcome = ceremony.verify_results()?;
                Ok(format!(
                    "ceremony={fingerprint} procedure={} epoch={} transcript={}",
                    ceremony.plan().procedure,
                    ceremony.plan().epoch,
                    outcome.key.transcript_sha256
                ))
            }
        })
        .await?;
        record(&self.party, pb::Act::CeremonyFinished, reference).await?;
        blocking(move || {
            Ceremony::open(&path, &root)?.finish()?;
            Ok(())
        })
        .await?;
        tracing::info!(ceremony = %fingerprint, "a ceremony came to its end");
        Ok(())
    }

    fn root(&self) -> TrustedRoot {
        self.party
            .with_trust(|trust: &TrustStore| trust.root().clone())
    }

    fn known(&self, fingerprint: Fingerprint) -> Stand {
        let stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        stands.get(&fingerprint).cloned().unwrap_or_default()
    }

    fn note(&self, fingerprint: Fingerprint, change: impl FnOnce(&mut Stand)) {
        let mut stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        change(stands.entry(fingerprint).or_default());
    }
}

/// Files are read, checked and written where it keeps nobody waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CeremoniesError> + Send + 'static,
) -> Result<T, CeremoniesError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| CeremoniesError::Interrupted)?
}

/// The ceremony in a folder; nothing while nobody has given its plan.
fn opened(path: &Path, root: &TrustedRoot) -> Result<Option<Ceremony>, CeremoniesError> {
    match Ceremony::open(path, root) {
        Ok(ceremony) => Ok(Some(ceremony)),
        Err(CeremonyError::NoCeremony { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
