//! This node as a party to the exchange: who it is, what it holds, whom it trusts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{mpsc, watch};

use super::disclose::Watchers;
use super::hearsay::Hearsay;
use super::link::Link;
use super::message::CheckedHeads;
use super::policy::{Policy, PolicyInForce};
use super::quota::watched;
use super::{HouseRules, Peers, Refusal};
use crate::ambient::Ambient;
use crate::envelope::SigningKey;
use crate::linkage::RuleTable;
use crate::oprf::pseudonym::{Pseudonym, PseudonymKey};
use crate::oprf::{CoalitionKey, KeyShare, PublicPoint};
use crate::proto::exchange as pb;
use crate::roster::{self, Bytes32, Member, MemberId, TrustStore, TrustedRoster};
use crate::store::{Ledger, Store, StoreError};
use crate::telemetry::Telemetry;

/// How many peers with newer rosters are remembered until they are asked.
const HEARD: usize = 16;

/// What a party is made of.
pub struct PartyParts {
    /// Its id in the roster.
    pub id: MemberId,
    /// Signs its messages.
    pub signing_key: SigningKey,
    /// Names its records in its log.
    pub pseudonym_key: PseudonymKey,
    /// Its database.
    pub store: Store,
    /// Its acts.
    pub ledger: Ledger,
    /// Its roots and roster.
    pub trust: TrustStore,
    /// Its shares of the coalition key, one for each epoch it holds.
    pub shares: Vec<Keyholding>,
    /// What it tells, and who has to approve.
    pub policy: PolicyInForce,
    /// How it reaches the others.
    pub peers: Arc<dyn Peers>,
    /// The linkage rules.
    pub rules: &'static RuleTable,
    /// Time and randomness.
    pub ambient: Ambient,
}

/// A quota of this member at a peer, as the peer last stated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnUse {
    /// Used by then.
    pub used: u64,
    /// In all.
    pub limit: u64,
    /// When that was, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Most quotas that one answer is believed to state.
const MOST_STATED: usize = 4;

/// A share of the coalition key of one epoch.
pub struct Keyholding {
    /// The epoch.
    pub epoch: u32,
    /// The share.
    pub share: KeyShare,
}

/// This node as a party to the exchange.
pub struct Party {
    id: MemberId,
    signing_key: RwLock<Arc<SigningKey>>,
    pseudonym_key: PseudonymKey,
    store: Store,
    ledger: Ledger,
    trust: RwLock<TrustStore>,
    changed: watch::Sender<u64>,
    /// Rosters are taken one after another: each builds on the one before.
    pub(super) adopting: tokio::sync::Mutex<()>,
    /// Peers that signed under a newer roster than this node's.
    heard: (
        mpsc::Sender<MemberId>,
        tokio::sync::Mutex<mpsc::Receiver<MemberId>>,
    ),
    /// The member's own rules for its node.
    house_rules: RwLock<Arc<HouseRules>>,
    /// What was seen of the others' logs, and what was told of them.
    hearsay: Hearsay,
    /// This member's use of its quotas at others, as they last stated it.
    own_use: Mutex<BTreeMap<(MemberId, &'static str), OwnUse>>,
    /// Checkpoints of peers that were checked a moment ago.
    checked_heads: CheckedHeads,
    /// Checked coalition keys, by the roster's digest and the epoch. Versions would not do: they
    /// begin anew under new root keys.
    coalition: RwLock<BTreeMap<(Bytes32, u64), CoalitionKey>>,
    shares: RwLock<Vec<Arc<Keyholding>>>,
    /// Epochs known to be open to peers, so that a lookup need not read them.
    open_epochs: RwLock<BTreeSet<u32>>,
    /// Under which epoch a member answered last, and the digest of the roster at that time.
    answered_under: RwLock<BTreeMap<MemberId, (Bytes32, u32)>>,
    policy: RwLock<PolicyInForce>,
    peers: Arc<dyn Peers>,
    rules: &'static RuleTable,
    ambient: Ambient,
    /// Who watches its requests here.
    pub(super) watchers: Arc<Watchers>,
    telemetry: Arc<Telemetry>,
    /// What is known of the ways to peers.
    links: Mutex<BTreeMap<MemberId, Arc<Link>>>,
    /// Imports and publications exclude each other: a publication's leaf states the index as it
    /// will be.
    pub(super) register: tokio::sync::Mutex<()>,
    /// Streams of lookups that are open.
    pub(super) streams: Arc<super::lookup::Streams>,
}

impl Party {
    /// Puts a party together.
    #[must_use]
    pub fn new(parts: PartyParts) -> Self {
        let heard = mpsc::channel(HEARD);
        Self {
            id: parts.id,
            signing_key: RwLock::new(Arc::new(parts.signing_key)),
            pseudonym_key: parts.pseudonym_key,
            store: parts.store,
            ledger: parts.ledger,
            trust: RwLock::new(parts.trust),
            changed: watch::Sender::new(0),
            house_rules: RwLock::default(),
            hearsay: Hearsay::default(),
            own_use: Mutex::default(),
            adopting: tokio::sync::Mutex::default(),
            heard: (heard.0, tokio::sync::Mutex::new(heard.1)),
            checked_heads: CheckedHeads::default(),
            coalition: RwLock::default(),
            shares: RwLock::new(parts.shares.into_iter().map(Arc::new).collect()),
            open_epochs: RwLock::default(),
            answered_under: RwLock::default(),
            policy: RwLock::new(parts.policy),
            peers: parts.peers,
            rules: parts.rules,
            ambient: parts.ambient,
            watchers: Arc::default(),
            telemetry: Arc::default(),
            links: Mutex::default(),
            register: tokio::sync::Mutex::default(),
            streams: Arc::default(),
        }
    }

    /// Its id in the roster.
    #[must_use]
    pub fn id(&self) -> &MemberId {
        &self.id
    }

    /// What it counts.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// The way to a peer. There is one for each, whoever goes it.
    #[must_use]
    pub fn link(&self, peer: &MemberId) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.entry(peer.clone()).or_insert_with(|| {
            let telemetry = Arc::clone(&self.telemetry);
            Arc::new(Link::new(peer, telemetry, self.ambient.clone()))
        });
        Arc::clone(link)
    }

    /// Its database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Time and randomness.
    #[must_use]
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// The linkage rules.
    #[must_use]
    pub fn rules(&self) -> &'static RuleTable {
        self.rules
    }

    /// What it tells, and who has to approve: the policy in force now.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy_in_force().policy
    }

    /// The policy in force, with what was refused since.
    #[must_use]
    pub fn policy_in_force(&self) -> PolicyInForce {
        self.policy
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_policy(&self, policy: PolicyInForce) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// What it has seen of the others' logs, and what it was told of them.
    #[must_use]
    pub fn hearsay(&self) -> &Hearsay {
        &self.hearsay
    }

    /// How it reaches the others.
    #[must_use]
    pub fn peers(&self) -> &dyn Peers {
        self.peers.as_ref()
    }

    /// Names its records in its log.
    #[must_use]
    pub fn pseudonym_key(&self) -> &PseudonymKey {
        &self.pseudonym_key
    }

    pub(super) fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(
            &self
                .signing_key
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Signs with another key from now on. The roster must list it as valid.
    pub fn set_signing_key(&self, key: SigningKey) {
        *self
            .signing_key
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    /// The roster in force now.
    ///
    /// # Errors
    /// [`Refusal::NoRoster`] if there is none, or it has expired.
    pub fn roster(&self) -> Result<Arc<TrustedRoster>, Refusal> {
        let now = self.ambient.now();
        let trust = self.trust.read().unwrap_or_else(PoisonError::into_inner);
        trust
            .roster_in_force(now)
            .cloned()
            .map_err(|error| Refusal::NoRoster {
                why: error.to_string(),
            })
    }

    /// Looks at the trust store.
    pub fn with_trust<T>(&self, look: impl FnOnce(&TrustStore) -> T) -> T {
        look(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a new state of trust; only [`rosters`](super::rosters) does, once it is durable.
    pub(super) fn trust(&self, trust: TrustStore) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
        self.changed.send_modify(|count| *count += 1);
    }

    /// Takes a state of trust that differs in the time alone.
    pub(super) fn know_time_of(&self, trust: TrustStore) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
    }

    /// Told whenever what is trusted may have changed.
    #[must_use]
    pub fn trust_changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The last roster that is or was trusted, in force or not: to find those who may have a newer
    /// one, and to give what there is to who lacks it. Never to be acted on.
    #[must_use]
    pub fn known_roster(&self) -> Option<Arc<TrustedRoster>> {
        self.with_trust(|trust| trust.contacts().cloned())
    }

    /// Notes that `peer` signed under a roster of this place (root version, version): if it is newer
    /// than this node's, it is worth asking for.
    pub(super) fn heard_of(&self, peer: &MemberId, place: (u64, u64)) {
        let own = self.with_trust(TrustStore::versions);
        if place > (own.roster_root.into(), own.roster.into()) {
            // Full means that enough peers are to be asked already.
            let _ = self.heard.0.try_send(peer.clone());
        }
    }

    /// A peer that signed under a newer roster, as soon as there is one.
    pub async fn next_ahead(&self) -> MemberId {
        match self.heard.1.lock().await.recv().await {
            Some(peer) => peer,
            // The sending half lives as long as this party.
            None => std::future::pending().await,
        }
    }

    /// The member's own rules for its node, as they are now.
    #[must_use]
    pub fn house_rules(&self) -> Arc<HouseRules> {
        Arc::clone(
            &self
                .house_rules
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Brings the member's own rules into force. To be recorded by the caller.
    pub fn set_house_rules(&self, rules: HouseRules) {
        *self
            .house_rules
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Notes what a peer states of this member's quotas there.
    pub(super) fn note_own_use(&self, peer: &MemberId, stated: &[pb::QuotaState]) {
        let at_ms = self.ambient.now_ms();
        let level = self.house_rules().alerts.quota_percent;
        let mut known = self.own_use.lock().unwrap_or_else(PoisonError::into_inner);
        for quota in stated.iter().take(MOST_STATED) {
            let of = |part: u64| part.saturating_mul(100) >= quota.limit.saturating_mul(level);
            // What is kept here is kept for good.
            let Some(name) = watched(&quota.quota) else {
                continue;
            };
            let before = known.insert(
                (peer.clone(), name),
                OwnUse {
                    used: quota.used,
                    limit: quota.limit,
                    at_ms,
                },
            );
            if of(quota.used) && !before.is_some_and(|before| of(before.used)) {
                tracing::warn!(
                    peer = peer.as_str(),
                    used = quota.used,
                    limit = quota.limit,
                    "this member's quota at a peer is nearly used up"
                );
            }
        }
    }

    /// This member's use of its quotas at others, as they last stated it: peer, quota, figures.
    #[must_use]
    pub fn own_use(&self) -> Vec<(MemberId, &'static str, OwnUse)> {
        self.own_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|((peer, quota), found)| (peer.clone(), *quota, *found))
            .collect()
    }

    /// Checkpoints of peers that were checked a moment ago.
    pub(super) fn checked_heads(&self) -> &CheckedHeads {
        &self.checked_heads
    }

    /// The coalition key of `epoch` under `roster`, checked.
    ///
    /// # Errors
    /// If the roster has none for that epoch, or its parts contradict each other.
    pub fn coalition_key(
        &self,
        roster: &TrustedRoster,
        epoch: Option<u32>,
    ) -> Result<CoalitionKey, Refusal> {
        let stated = match epoch {
            Some(epoch) => roster.coalition_keys().of_epoch(u64::from(epoch)),
            None => roster.coalition_key(),
        };
        let current = roster.coalition_key().map_or(0, |key| key.epoch as u32);
        let stated = stated.ok_or(Refusal::WrongEpoch {
            asked: epoch.unwrap_or(0),
            ours: current,
        })?;
        let slot = (roster.digest(), stated.epoch);
        if let Some(key) = self
            .coalition
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&slot)
        {
            return Ok(key.clone());
        }
        let key = checked_key(stated)?;
        let mut known = self
            .coalition
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.retain(|(digest, _), _| *digest == slot.0);
        known.insert(slot, key.clone());
        Ok(key)
    }

    /// This node's share of `key`, if it holds one. Of several shares of one epoch, as there are
    /// after a refresh, it is the one that belongs to the key as the roster states it.
    #[must_use]
    pub fn share_of(&self, key: &CoalitionKey) -> Option<Arc<Keyholding>> {
        self.shares
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(|holding| holding.epoch == key.epoch() && key.check_share(&holding.share).is_ok())
            .cloned()
    }

    /// Whether `epoch` is known to be open to peers.
    pub(super) fn is_known_open(&self, epoch: u32) -> bool {
        self.open_epochs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&epoch)
    }

    /// Notes which epochs are open to peers.
    pub(super) fn know_open(&self, epochs: BTreeSet<u32>) {
        *self
            .open_epochs
            .write()
            .unwrap_or_else(PoisonError::into_inner) = epochs;
    }

    /// The epoch under which `member` answered last, if that was under the same roster.
    pub(super) fn answered_under(&self, member: &MemberId, roster: &TrustedRoster) -> Option<u32> {
        self.answered_under
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(member)
            .filter(|(digest, _)| *digest == roster.digest())
            .map(|(_, epoch)| *epoch)
    }

    /// Notes under which epoch a member answered.
    pub(super) fn note_answer(&self, member: &MemberId, roster: &TrustedRoster, epoch: u32) {
        self.answered_under
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(member.clone(), (roster.digest(), epoch));
    }

    /// Takes the shares that a ceremony has put into the node's directory, in place of those it
    /// had.
    pub fn replace_shares(&self, shares: Vec<Keyholding>) {
        *self.shares.write().unwrap_or_else(PoisonError::into_inner) =
            shares.into_iter().map(Arc::new).collect();
    }

    /// The pseudonym of one of this node's records.
    ///
    /// # Errors
    /// Never for a valid reference; a reference is at most 64 characters.
    pub fn pseudonym(&self, record_ref: &str) -> Result<Pseudonym, Refusal> {
        self.pseudonym_key
            .pseudonym(record_ref.as_bytes())
            .map_err(|error| Refusal::Malformed {
                what: "record reference",
                why: error.to_string(),
            })
    }

    /// An error of the store, as a peer is told of it.
    #[must_use]
    pub fn unavailable(&self, error: &StoreError) -> Refusal {
        Refusal::from_store(error, self.ambient.random())
    }

    /// The member that `caller` is asked to be, if the roster has it active.
    ///
    /// # Errors
    /// [`Refusal::UnknownParty`].
    pub fn caller(&self, roster: &TrustedRoster, spki: &[u8; 32]) -> Result<Member, Refusal> {
        roster
            .member_by_tls_pin(spki, self.ambient.now())
            .cloned()
            .map_err(|_| Refusal::UnknownParty)
    }
}

/// A coalition key as a roster states it, its parts checked against each other.
///
/// # Errors
/// [`Refusal::NoRoster`] says what contradicts itself.
pub fn checked_key(stated: &roster::CoalitionKey) -> Result<CoalitionKey, Refusal> {
    let epoch = u32::try_from(stated.epoch).map_err(|_| Refusal::NoRoster {
        why: "its epoch number is out of range".to_owned(),
    })?;
    let shares = stated
        .keyholders
        .iter()
        .map(|keyholder| {
            (
                keyholder.identifier,
                PublicPoint::new(*keyholder.verifying_share.as_bytes()),
            )
        })
        .collect();
    CoalitionKey::new(
        epoch,
        stated.threshold,
        PublicPoint::new(*stated.public_key.as_bytes()),
        &shares,
    )
    .map_err(|error| Refusal::NoRoster {
        why: error.to_string(),
    })
}
