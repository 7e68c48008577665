//! Roots and rosters at a running node: taken from its directory and from its peers, and acted on
//! at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::config::Config;
use super::directory::{Directory, DirectoryError};
use super::house;
use super::identity::{Identity, Successors};
use super::run::Opened;
use super::serve::Connections;
use super::settings::PostQuantum;
use super::tls::{self, PinCheck, PinnedPeers};
use crate::envelope::Cosigner;
use crate::exchange::leaf::Leaf;
use crate::exchange::{Party, PeerError, freshness, rosters};
use crate::proto::exchange as pb;
use crate::roster::{Bytes32, Kind, Member, MemberId, RosterError, TrustedRoster, Update};
use crate::store::{Act, StoreError};

/// How often the directory is looked at, and whether a time in the roster has come.
const WATCH: Duration = Duration::from_secs(1);

/// How often every peer is asked for newer rosters, in seconds.
const ASK_ALL_SECONDS: u64 = 600;

/// How long a start waits for what the peers have, in all. A peer that is away refuses at once; one
/// that is slow is heard later.
const ASK_AT_START: Duration = Duration::from_secs(5);

/// How long a peer that says it is ahead is not asked again, in seconds: it may say so with every
/// message and have nothing to show for it.
const ASK_ONE_SECONDS: u64 = 30;

const CONFIG: &str = "node.toml";

/// What became of a root or roster that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The file, or the party's id.
    pub source: String,
    /// `UPDATED`, `UNCHANGED`, or the reason code of the refusal.
    pub code: String,
    /// The reason in words.
    pub message: String,
}

/// What a membership acts on.
pub struct Reach {
    /// How the node reaches the others.
    pub peers: Arc<PinnedPeers>,
    /// Who has reached it.
    pub connections: Arc<Connections>,
    /// Who may.
    pub accepts: PinCheck,
    /// Whether with post-quantum security alone.
    pub post_quantum: PostQuantum,
    /// The key with which it says that a roster is the newest.
    pub witness: Cosigner,
    /// What it shows to who connects from now on.
    pub shown: watch::Sender<Arc<ServerConfig>>,
}

/// Keeps a node's membership current.
pub struct Membership {
    directory: Directory,
    party: Arc<Party>,
    reach: Reach,
    /// Public parts of the signing key and the certificate in use.
    keys: std::sync::Mutex<(Bytes32, Bytes32)>,
    /// A configuration is compared with what the log states, and recorded, by one at a time.
    configuring: tokio::sync::Mutex<()>,
    /// The roots and the roster in the directory that were offered when the node was opened.
    at_opening: SeenFiles,
    /// When each peer was last asked because it said that it is ahead, in unix seconds.
    asked: std::sync::Mutex<HashMap<MemberId, u64>>,
}

impl Membership {
    /// The membership of an open node in `directory`.
    #[must_use]
    pub fn new(
        directory: Directory,
        opened: &Opened,
        keys: (Bytes32, Bytes32),
        reach: Reach,
    ) -> Self {
        Self {
            directory,
            party: Arc::clone(&opened.party),
            reach,
            keys: std::sync::Mutex::new(keys),
            at_opening: trust_files(&opened.seen_files),
            configuring: tokio::sync::Mutex::default(),
            asked: std::sync::Mutex::default(),
        }
    }

    /// Takes the roots and the roster that lie in the directory.
    ///
    /// # Errors
    /// If a file cannot be read, or what is accepted cannot be kept.
    pub async fn take_files(&self) -> Result<Vec<Offer>, MembershipError> {
        self.take_all(false).await
    }

    /// As [`Membership::take_files`]; `known`, the roots and the roster were looked at before.
    async fn take_all(&self, known: bool) -> Result<Vec<Offer>, MembershipError> {
        let mut offers = take_files(&self.directory, &self.party, known).await?;
        offers.push(self.take_config().await?);
        Ok(offers)
    }

    /// Brings those parts of the configuration into force that may change while the node runs. One
    /// that is wrong changes nothing.
    async fn take_config(&self) -> Result<Offer, MembershipError> {
        let config = match Config::load(&self.directory) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(%error, "the configuration was not taken");
                return Ok(Offer {
                    source: "node.toml".to_owned(),
                    code: "CONFIG".to_owned(),
                    message: error.to_string(),
                });
            }
        };
        let _one_at_a_time = self.configuring.lock().await;
        let changed = house::set(&self.party, config.house_rules()).await?;
        self.reach.peers.set_routes(config.routes);
        let update = if changed {
            Update::Updated
        } else {
            Update::Unchanged
        };
        Ok(offer("node.toml", Ok(Ok(update))))
    }

    /// Asks every other party for what is newer, all at the same time.
    pub async fn ask_peers(&self) -> Vec<Offer> {
        let Some(roster) = self.party.known_roster() else {
            return Vec::new();
        };
        let asks = self
            .others(&roster)
            .map(|member| self.ask(member))
            .collect::<Vec<_>>();
        futures_util::future::join_all(asks).await
    }

    /// Asks every other party before this node answers anybody: since it stopped, a roster may have
    /// suspended a member, or taken a share from this node. Nothing under way is given up when the
    /// wait is over.
    pub async fn ask_at_start(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let asking = tokio::spawn(async move { this.ask_peers().await });
        if tokio::time::timeout(ASK_AT_START, asking).await.is_err() {
            tracing::info!("not every peer said whether there is a newer roster");
        }
    }

    /// Nodes other than this one, by the newest roster that is known, expired or not: one that has
    /// expired is still good for finding those who have its successor.
    fn others<'a>(&'a self, roster: &'a TrustedRoster) -> impl Iterator<Item = &'a Member> {
        let now = self.party.ambient().now();
        roster.roster().members.iter().filter(move |member| {
            member.is_node() && !member.is_suspended(now) && member.id != *self.party.id()
        })
    }

    async fn ask(&self, member: &Member) -> Offer {
        let outcome = rosters::fetch(&self.party, member).await;
        if let Err(error) = &outcome {
            tracing::info!(
                peer = member.id.as_str(),
                code = error.code(),
                "a peer gave no roster"
            );
        }
        offer(member.id.as_str(), outcome)
    }

    /// Asks a peer that signed under a newer roster, unless it was asked just now.
    async fn ask_ahead(&self, peer: &MemberId) {
        let now = self.party.ambient().now();
        {
            let mut asked = self
                .asked
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            // What this node asked of its own accord does not count: what is heard of now is newer.
            let at = asked.get(peer).copied();
            if at.is_some_and(|at| now < at.saturating_add(ASK_ONE_SECONDS)) {
                return;
            }
            asked.insert(peer.clone(), now);
        }
        if let Some(roster) = self.party.known_roster()
            && let Some(member) = self.others(&roster).find(|member| member.id == *peer)
        {
            self.ask(member).await;
        }
    }

    /// Cuts the connections of those who may not connect any more, and lets go of channels that no
    /// longer fit. What others have under way is not touched.
    fn act_on_roster(&self) {
        let now = self.party.ambient().now();
        let Some(roster) = self.party.known_roster() else {
            return;
        };
        let cut = self
            .reach
            .connections
            .cut(|pin| roster.member_by_tls_pin(pin, now).is_ok());
        if cut > 0 {
            tracing::info!(
                connections = cut,
                "connections of parties no longer admitted were cut"
            );
        }
        self.reach.peers.keep(&roster, now);
    }

    /// Uses the successors of the node's keys once the roster has them in use. Answers under way are
    /// not touched: both keys count while they overlap.
    async fn use_keys(&self) {
        let now = self.party.ambient().now();
        let known = self.party.known_roster();
        let own = known
            .as_ref()
            .and_then(|roster| roster.member(self.party.id().as_str()));
        let chosen = Identity::load(&self.directory)
            .and_then(|identity| identity.in_use(&self.directory, own, now))
            .and_then(|identity| Ok((identity.renewed()?, identity)));
        let (keys, identity) = match chosen {
            Ok(chosen) => chosen,
            Err(error) => {
                tracing::error!(%error, "the node's keys could not be read");
                return;
            }
        };
        let in_use = *self
            .keys
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if keys == in_use {
            return;
        }
        let shown = match tls::server_config(
            &identity,
            Arc::clone(&self.reach.accepts),
            self.reach.post_quantum,
        ) {
            Ok(shown) => shown,
            Err(error) => {
                tracing::error!(%error, "the node's new certificate cannot be shown");
                return;
            }
        };
        let (signing, pin) = keys;
        let (leaf, _) = Leaf::new(
            pb::Act::KeysChanged,
            self.party.ambient(),
            &pb::Outcome::default(),
        )
        .set(|entry| entry.reference = format!("signing={signing} tls={pin}"))
        .finish();
        if let Err(error) = self.party.ledger().commit(Act::alone(leaf)).await {
            tracing::error!(%error, "a change of keys could not be recorded");
            return;
        }
        *self
            .keys
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = keys;
        self.party.set_signing_key(identity.signing.clone());
        self.reach.shown.send_replace(Arc::new(shown));
        self.reach.peers.set_identity(Arc::new(identity));
        tracing::info!(%signing, tls = %pin, "the node uses other keys from now on");
    }

    /// Keeps the membership current until the node stops.
    pub async fn watch(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut changes = self.party.trust_changes();
        let mut files = BTreeSet::new();
        // Roots and roster were offered when the node was opened: one that a newer has overtaken is no
        // attempt at anything.
        let mut offered = self.at_opening.clone();
        let mut asked_all = self.party.ambient().now();
        let mut vouched = None;
        let mut keys_may_differ = false;
        // Asking waits for peers: it must keep neither the files nor the cutting waiting.
        let mut asking = tokio::task::JoinSet::new();
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not listened to"))
            .ok();
        loop {
            tokio::select! {
                () = told_to_reload(&mut hangup) => {
                    files.clear();
                    keys_may_differ = true;
                    offered.clear();
                }
                () = tokio::time::sleep(WATCH) => {}
                Ok(()) = changes.changed() => {}
                peer = self.party.next_ahead() => {
                    let this = Arc::clone(&self);
                    asking.spawn(async move { this.ask_ahead(&peer).await });
                }
                Some(_) = asking.join_next() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            // Whether a successor's time has come is looked at only while there is one, or on demand.
            if std::mem::take(&mut keys_may_differ) || Successors::are_there(&self.directory) {
                self.use_keys().await;
            }
            self.act_on_roster();
            let there = seen_files(&self.directory);
            if there != files {
                let trusted = trust_files(&there);
                match self.take_all(trusted == offered).await {
                    Ok(_) => (files, offered) = (there, trusted),
                    // What could not be kept or recorded now is tried again at the next look.
                    Err(error) => {
                        tracing::error!(%error, "the roster in the directory could not be taken");
                        files.clear();
                    }
                }
            }
            let now = self.party.ambient().now();
            let held = self.party.with_trust(|trust| {
                let roster = trust.roster().map(|roster| roster.digest());
                (trust.root().digest(), roster)
            });
            if vouched.is_none_or(|(for_, at): ((_, _), u64)| {
                for_ != held || now >= at.saturating_add(freshness::VOUCH_SECONDS)
            }) {
                match freshness::vouch(&self.party, &self.reach.witness).await {
                    Ok(_) => vouched = Some((held, now)),
                    Err(error) => tracing::error!(%error, "the roster could not be vouched for"),
                }
            }
            if now >= asked_all.saturating_add(ASK_ALL_SECONDS) {
                asked_all = now;
                let this = Arc::clone(&self);
                asking.spawn(async move {
                    this.note_time().await;
                    this.ask_peers().await;
                    if let Err(error) = freshness::warn_if_stale(&this.party).await {
                        tracing::error!(%error, "an old roster could not be told of");
                    }
                });
            }
        }
    }

    async fn note_time(&self) {
        match rosters::note_time(&self.party).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, code = error.code(), "the clock is wrong"),
            Err(error) => tracing::error!(%error, "the time could not be kept"),
        }
    }
}

/// Why the files of a directory could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// A file.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes the roots and the roster of a directory. Of files that are `known`, looked at before, one
/// that a newer has overtaken since is passed over without a record.
pub(super) async fn take_files(
    directory: &Directory,
    party: &Party,
    known: bool,
) -> Result<Vec<Offer>, MembershipError> {
    let mut offers = Vec::new();
    // A root that is refused must not keep the roster out, so each is tried for itself first; those
    // that hold are then taken together with the roster, in one act.
    let mut tried = party.with_trust(Clone::clone);
    let now = party.ambient().now();
    let mut good = Vec::new();
    for (name, note) in directory.roots()? {
        match tried.update([note.as_slice()], None, now) {
            Ok(update) => {
                offers.push(offer(&name, Ok(Ok(update))));
                good.push(note);
            }
            Err(_) => {
                let outcome = take(party, &[note], None, known).await?;
                offers.push(offer(&name, Ok(outcome)));
            }
        }
    }
    let roster = directory.read_note("roster.note", Kind::Roster.max_bytes())?;
    if !good.is_empty() || roster.is_some() {
        let outcome = take(party, &good, roster.as_deref(), known).await?;
        offers.extend(roster.map(|_| offer("roster.note", Ok(outcome))));
    }
    Ok(offers)
}

async fn take(
    party: &Party,
    roots: &[Vec<u8>],
    roster: Option<&[u8]>,
    known: bool,
) -> Result<Result<Update, RosterError>, StoreError> {
    if !known {
        return rosters::take(party, roots, roster, None).await;
    }
    let outcome = rosters::take_unrecorded(party, roots, roster).await?;
    if let Err(error) = &outcome {
        tracing::warn!(%error, code = error.code(), "a root or roster in the directory was not taken");
    }
    Ok(outcome)
}

fn offer(source: &str, outcome: Result<Result<Update, RosterError>, PeerError>) -> Offer {
    let (code, message) = match &outcome {
        Ok(Ok(Update::Updated)) => ("UPDATED".to_owned(), String::new()),
        Ok(Ok(Update::Unchanged)) => ("UNCHANGED".to_owned(), String::new()),
        Ok(Err(refused)) => (refused.code().to_owned(), refused.to_string()),
        Err(error) => (error.code().to_owned(), error.to_string()),
    };
    Offer {
        source: source.to_owned(),
        code,
        message,
    }
}

/// Waits for SIGHUP, where it can be listened to.
async fn told_to_reload(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Names, times and sizes of the files of the directory that may change.
pub(super) type SeenFiles = BTreeSet<(String, Option<SystemTime>, u64)>;

/// Those of them that are roots or the roster.
fn trust_files(seen: &SeenFiles) -> SeenFiles {
    let is_trust = |(name, _, _): &&(String, _, _)| name != CONFIG;
    seen.iter().filter(is_trust).cloned().collect()
}

/// What tells whether a file of the directory that may change has changed.
pub(super) fn seen_files(directory: &Directory) -> SeenFiles {
    let entry = |name: String| {
        let metadata = std::fs::metadata(directory.file(&name)).ok()?;
        Some((name, metadata.modified().ok(), metadata.len()))
    };
    directory
        .root_names()
        .unwrap_or_default()
        .into_iter()
        .chain(["roster.note".to_owned(), CONFIG.to_owned()])
        .filter_map(entry)
        .collect()
}
