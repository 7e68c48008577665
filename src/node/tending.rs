//! What a running node does by itself about the coalition key: it takes shares into use and destroys
//! them as the roster says, makes tokens of a new epoch in the background, and destroys what it kept
//! under an old one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::directory::Directory;
use super::identity::{Identity, IdentityError};
use super::pause::pause;
use super::shares::{self, Verdict};
use crate::exchange::epochs::{self, Step, Way};
use crate::exchange::leaf::Leaf;
use crate::exchange::{Party, PeerError};
use crate::proto::exchange as pb;
use crate::roster::{Bytes32, TrustStore};
use crate::store::{Act, StoreError};

/// How often roster and directory are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How long is waited after a failure.
const BACK_OFF: Duration = Duration::from_secs(5);

/// How many records are given tokens in one step at most: their keys fill a few batches.
const AT_ONCE: u64 = 192;

/// Why a share could not be tended.
#[derive(Debug, thiserror::Error)]
enum TendingError {
    /// The directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a node tends, and what it last saw of it.
pub struct Tending {
    directory: Directory,
    party: Arc<Party>,
    seen: Option<Seen>,
}

/// What decides about shares and epochs.
#[derive(PartialEq, Eq)]
struct Seen {
    /// Digest of the roster: under new root keys another one may have the same version.
    roster: Option<Bytes32>,
    /// The files with shares.
    files: Vec<String>,
    /// Whether the log is signed. While it is not, the database may have gone back, and nothing is
    /// destroyed for the sake of an old roster.
    signed: bool,
}

impl Tending {
    /// Tends the shares in `directory` and the epochs of `party` for the first time.
    pub async fn begin(directory: Directory, party: Arc<Party>) -> Self {
        let mut tending = Self {
            directory,
            party,
            seen: None,
        };
        tending.look().await;
        tending
    }

    /// Does what a new roster, or a ceremony, makes necessary.
    async fn look(&mut self) {
        let before = self.see();
        if self.seen.as_ref() == Some(&before) {
            return;
        }
        match tend_keys(&self.directory, &self.party, before.signed).await {
            // What was done changed the files once more.
            Ok(()) => {
                let files = shares::files(&self.directory);
                self.seen = Some(Seen { files, ..before });
            }
            Err(error) => tracing::error!(%error, "the node's shares could not be tended"),
        }
    }

    fn see(&self) -> Seen {
        let digest = |trust: &TrustStore| trust.roster().map(|roster| roster.digest());
        Seen {
            roster: self.party.with_trust(digest),
            files: shares::files(&self.directory),
            signed: matches!(self.party.ledger().standing(), Some(Ok(()))),
        }
    }
}

/// Tends shares and epochs until the node stops. `rederive_per_minute` is how many records are given
/// tokens of a new epoch in a minute.
pub async fn go_on(
    mut tending: Tending,
    rederive_per_minute: u32,
    mut stopped: watch::Receiver<bool>,
) {
    let party = Arc::clone(&tending.party);
    let mut way = Way::default();
    let per_minute = u64::from(rederive_per_minute.max(1));
    loop {
        tending.look().await;
        // Small steps, so that the keyholders' work is spread over the minute.
        let at_once = (per_minute / 60).clamp(1, AT_ONCE);
        let wait = match epochs::step(&party, &mut way, at_once).await {
            Ok(Step::Settled) => TICK,
            Ok(Step::Rederived { records, .. }) => {
                Duration::from_millis(records * 60_000 / per_minute)
            }
            Ok(Step::Opened { epoch }) => {
                tracing::info!(epoch, "a key epoch is open to peers");
                Duration::ZERO
            }
            // Without a roster in force, or without a key in it, there is nothing to enter.
            Err(PeerError::Own(_)) => TICK,
            Err(error) => {
                tracing::warn!(
                    code = error.code(),
                    %error,
                    "tokens of the new key epoch could not be made; they are tried again"
                );
                BACK_OFF
            }
        };
        if !pause(wait, &mut stopped).await {
            return;
        }
    }
}

async fn tend_keys(directory: &Directory, party: &Party, signed: bool) -> Result<(), TendingError> {
    tend_shares(directory, party, signed).await?;
    if signed {
        for epoch in epochs::leave(party).await? {
            tracing::info!(epoch, "what was kept under an old key epoch is destroyed");
        }
    }
    Ok(())
}

async fn tend_shares(
    directory: &Directory,
    party: &Party,
    signed: bool,
) -> Result<(), TendingError> {
    shares::finish_destroying(directory)?;
    let identity = Identity::load(directory)?;
    let mut kept = Vec::new();
    let mut doomed = Vec::new();
    let roster = party.roster().ok();
    for mut share in identity.shares(directory)? {
        let verdict = roster
            .as_ref()
            .map_or(Verdict::Keep, |roster| share.verdict(party.id(), roster));
        match verdict {
            Verdict::Destroy => {
                doomed.push(share);
                continue;
            }
            Verdict::Use if !share.in_use => {
                let reference = reference(share.holding.epoch, &share.verifying_share());
                record(party, pb::Act::ShareTaken, reference).await?;
                share.take_into_use()?;
                tracing::info!(epoch = share.holding.epoch, "a share is taken into use");
            }
            Verdict::Use | Verdict::Keep => {}
        }
        kept.push(share.holding);
    }
    // Those to be destroyed answer no more, whether or not they can be now.
    party.replace_shares(kept);
    if !signed {
        return Ok(());
    }
    for share in doomed {
        // The leaf comes first: a database that went back cannot commit it. A crash in between
        // leaves the share to be judged, recorded and destroyed at the next start.
        let epoch = share.holding.epoch;
        let reference = reference(epoch, &share.verifying_share());
        record(party, pb::Act::ShareDestroyed, reference).await?;
        share.destroy()?;
        tracing::info!(epoch, "a share is destroyed");
    }
    Ok(())
}

fn reference(epoch: u32, verifying_share: &dyn std::fmt::Display) -> String {
    format!("epoch={epoch} share={verifying_share}")
}

/// Records an act of which no more is to be told than a reference.
pub(super) async fn record(
    party: &Party,
    act: pb::Act,
    reference: String,
) -> Result<(), StoreError> {
    let (leaf, _) = Leaf::new(act, party.ambient(), &pb::Outcome::default())
        .set(|entry| entry.reference = reference)
        .finish();
    party.ledger().commit(Act::alone(leaf)).await.map(|_| ())
}
