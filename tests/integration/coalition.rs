//! A coalition for tests: real directories, keys, databases and TLS, nodes in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message as _;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use wayhome::ambient::Ambient;
use wayhome::console::Door;
use wayhome::envelope::{KeyName, Note, NoteSigner, SigningKey};
use wayhome::exchange::{Keyholding, Peers as _};
use wayhome::node::config::ConsoleConfig;
use wayhome::node::{self, Config, Directory, Identity, Origin, PinnedPeers};
use wayhome::oprf::ceremony::{CeremonyId, Dkg, DkgPlan, PublicMessage};
use wayhome::oprf::{CoalitionKey, KeyShare};
use wayhome::proto::exchange::LogEntry;
use wayhome::proto::operator::record_service_client::RecordServiceClient;
use wayhome::proto::operator::{ImportRecordsRequest, PublishRecordsRequest, Record};
use wayhome::roster::{
    self, Bytes32, CoalitionKeys, KeyholderRole, Log, Member, MemberKey, OmbudsmanScope, Purpose,
    Quotas, Roles, Root, RootKey, Roster, Timestamp, TlsPin, TrustedRoot, TrustedRoster,
};
use wayhome::store::Store;

/// The members of a test coalition; the first two of three suffice for an evaluation.
pub const MEMBERS: [&str; 3] = ["ua", "pl", "de"];

/// The ombudsman of a test coalition.
pub const OMBUDSMAN: &str = "ombudsman";

/// A coalition whose nodes run in this process.
pub struct Coalition {
    home: TempDir,
    pub ambient: Ambient,
    root_keys: Vec<NoteSigner>,
    pub roster: Roster,
    nodes: BTreeMap<String, Node>,
}

struct Node {
    /// Where its console is, if it has one.
    console: Option<String>,
    /// Where its operator API is reached over the network, if it is.
    operators: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), node::NodeError>>,
}

impl Coalition {
    /// Founds a coalition and starts all of its nodes.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// As [`Coalition::start`], with a change to the roster before it is signed.
    pub async fn start_with(change: impl FnOnce(&mut Roster)) -> Self {
        Self::start_at(Ambient::system(), change).await
    }

    /// As [`Coalition::start_with`], by a clock of the test's own.
    pub async fn start_at(ambient: Ambient, change: impl FnOnce(&mut Roster)) -> Self {
        let mut coalition = Self::found_at(ambient, change);
        for member in MEMBERS {
            coalition.start_node(member).await;
        }
        coalition
    }

    /// Founds a coalition: keys, root, roster, coalition key. No node runs yet.
    pub fn found(change: impl FnOnce(&mut Roster)) -> Self {
        Self::found_at(Ambient::system(), change)
    }

    /// As [`Coalition::found`], by a clock of the test's own.
    pub fn found_at(ambient: Ambient, change: impl FnOnce(&mut Roster)) -> Self {
        Self::found_as(ambient, false, change)
    }

    /// Founds and starts a coalition whose members witness each other's logs.
    pub async fn start_witnessing() -> Self {
        let mut coalition = Self::found_as(Ambient::system(), true, |_| {});
        for member in MEMBERS {
            coalition.start_node(member).await;
        }
        coalition
    }

    /// Founds and starts a coalition whose members have witness keys, with which they vouch for the
    /// roster, by a clock of the test's own; a log is signed without asking witnesses first.
    pub async fn start_vouching(ambient: Ambient) -> Self {
        let mut coalition = Self::found_as(ambient, true, |_| {});
        for member in MEMBERS {
            coalition.configure(member, |config| config.log.quorum = Some(0));
            coalition.start_node(member).await;
        }
        coalition
    }

    fn found_as(ambient: Ambient, witnessing: bool, change: impl FnOnce(&mut Roster)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let now = ambient.now();
        let root_keys: Vec<NoteSigner> = (1..=3)
            .map(|number| root_key(1, number, &ambient))
            .collect();
        let root = root_of(1, &root_keys, Timestamp::from_unix(now + 365 * 86_400));
        let root = sign(&root.render_for_signing().unwrap(), &root_keys[..2]);
        let mut members = Vec::new();
        for (number, id) in (1..).zip(MEMBERS) {
            members.push(make_party(&home, id, Some(number), &ambient));
        }
        members.push(make_party(&home, OMBUDSMAN, None, &ambient));
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let (shares, key) = deal(&ambient, 1);
        let public_key = key.public_key;
        let mut roster = Roster {
            coalition: "test".to_owned(),
            version: 1,
            root_version: 1,
            issued: Timestamp::from_unix(now),
            expires: Timestamp::from_unix(now + 90 * 86_400),
            coalition_key: CoalitionKeys {
                current: Some(key),
                ..CoalitionKeys::default()
            },
            members,
        };
        if !witnessing {
            for member in &mut roster.members {
                member.witness_vkey = None;
            }
        }
        change(&mut roster);
        for id in MEMBERS.iter().chain([&OMBUDSMAN]) {
            std::fs::write(home.path().join(id).join("root.note"), &root).unwrap();
        }
        let coalition = Self {
            home,
            ambient,
            root_keys,
            roster,
            nodes: BTreeMap::new(),
        };
        coalition.hand_out(1, shares, public_key);
        coalition.publish_roster();
        coalition
    }

    /// Puts shares of a key into the members' directories, as a ceremony does.
    fn hand_out(&self, epoch: u32, shares: Vec<KeyShare>, public_key: Bytes32) {
        let origin = Origin {
            public_key,
            base: None,
            roster_place: (self.roster.root_version, self.roster.version),
        };
        for (id, share) in MEMBERS.iter().zip(shares) {
            let directory = Directory::new(self.path(id));
            let identity = Identity::load(&directory).unwrap();
            let holding = Keyholding { epoch, share };
            identity
                .save_share(&directory, &holding, &origin, &self.ambient)
                .unwrap();
        }
    }

    /// Makes the key of an epoch, as a ceremony does, and gives what a roster says of it.
    pub fn make_key(&self, epoch: u32) -> roster::CoalitionKey {
        let (shares, key) = deal(&self.ambient, epoch);
        self.hand_out(epoch, shares, key.public_key);
        key
    }

    /// Changes the roster and puts the next version into every party's directory. Gives its number.
    pub fn change_roster(&mut self, change: impl FnOnce(&mut Roster)) -> u64 {
        self.roster.version += 1;
        change(&mut self.roster);
        self.publish_roster();
        u64::from(self.roster.version)
    }

    /// Has the roster state another log of a member. Gives the roster's number.
    pub fn state_log(&mut self, id: &str, origin: String, vkey: String) -> u64 {
        self.change_roster(|roster| {
            let mut members = roster.members.iter_mut();
            let member = members.find(|member| member.id.as_str() == id).unwrap();
            member.log = Some(Log { origin, vkey });
        })
    }

    /// Has a member go by a roster that states another key for a peer's log than the one that the peer
    /// signs with. The peer has a later one that does not, so that it has no reason to take that.
    pub async fn misstate_log(&mut self, at: &str, of: &str) {
        let log = self.member(of).log.as_ref().unwrap();
        let origin = KeyName::new(log.origin.clone()).unwrap();
        let stranger = NoteSigner::new(origin, SigningKey::from_seed(&[5; 32]));
        let known = u64::from(self.roster.version);
        self.roster.version += 2;
        self.publish_roster_at(of);
        self.roster_in_force(of, known + 2).await;
        self.roster.version -= 1;
        let mut members = self.roster.members.iter_mut();
        let peer = members.find(|member| member.id.as_str() == of).unwrap();
        peer.log.as_mut().unwrap().vkey = stranger.note_key().to_string();
        self.publish_roster_at(at);
        self.roster_in_force(at, known + 1).await;
    }

    /// Signs the roster as it stands and puts it into every party's directory.
    pub fn publish_roster(&self) {
        let text = self.roster.render_for_signing().unwrap();
        let note = sign(&text, &self.root_keys[..2]);
        for id in MEMBERS.iter().chain([&OMBUDSMAN]) {
            let directory = Directory::new(self.path(id));
            directory.write("roster.note", &note).unwrap();
        }
    }

    /// Signs the roster as it stands and puts it into one party's directory alone.
    pub fn publish_roster_at(&self, id: &str) {
        let note = sign(
            &self.roster.render_for_signing().unwrap(),
            &self.root_keys[..2],
        );
        Directory::new(self.path(id))
            .write("roster.note", &note)
            .unwrap();
    }

    /// Replaces every root key: makes the successor of the root, signed by the old keys and the
    /// new, and from now on signs with the new ones.
    pub fn rotate_roots(&mut self) -> String {
        let new: Vec<NoteSigner> = (1..=3)
            .map(|number| root_key(self.roster.root_version + 1, number, &self.ambient))
            .collect();
        self.roster.root_version += 1;
        let root = root_of(
            self.roster.root_version,
            &new,
            Timestamp::from_unix(self.ambient.now() + 365 * 86_400),
        );
        let text = root.render_for_signing().unwrap();
        let signers: Vec<&NoteSigner> = self.root_keys[..2].iter().chain(&new[..2]).collect();
        let note = Note::sign(&text, &signers).unwrap().to_string();
        self.root_keys = new;
        note
    }

    /// A party's directory.
    pub fn path(&self, id: &str) -> PathBuf {
        self.home.path().join(id)
    }

    /// Starts one node and waits until it is ready.
    pub async fn start_node(&mut self, id: &str) {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let ended = tokio::spawn(node::run(
            Directory::new(self.path(id)),
            self.ambient.clone(),
            async move {
                let _ = stopped.await;
            },
            move |running| {
                let _ = ready.send(running);
            },
        ));
        let Ok(running) = is_ready.await else {
            panic!("the node of {id} did not start: {:?}", ended.await);
        };
        let directory = Directory::new(self.path(id));
        let config = Config::load(&directory).unwrap();
        let mut console = None;
        let operators = running.operators;
        if let Some(at) = &config.console {
            let door = Door::open(at, &directory).await.unwrap();
            console = Some(door.url());
            tokio::spawn(wayhome::console::serve(door, running, self.ambient.clone()));
        }
        let node = Node {
            console,
            operators,
            stop,
            ended,
        };
        self.nodes.insert(id.to_owned(), node);
    }

    /// Stops one node and waits for it.
    pub async fn stop_node(&mut self, id: &str) {
        let node = self.nodes.remove(id).unwrap();
        let _ = node.stop.send(());
        node.ended.await.unwrap().unwrap();
    }

    /// Makes a node stand by whatever is in its directory, as an operator can who means to deceive:
    /// no guard, no journal, and no witness needed.
    pub fn let_lie(&self, id: &str) {
        let journal = Directory::new(self.path(id)).file("journal");
        let _ = std::fs::remove_dir_all(journal);
        self.let_lie_but_for_the_journal(id);
    }

    /// As [`Coalition::let_lie`], but the journal stays.
    pub fn let_lie_but_for_the_journal(&self, id: &str) {
        let _ = std::fs::remove_file(Directory::new(self.path(id)).guard());
        self.configure(id, |config| config.log.quorum = Some(0));
    }

    /// Changes what a party's node is told, from its next start on.
    pub fn configure<T>(&self, id: &str, change: impl FnOnce(&mut Config) -> T) -> T {
        let directory = Directory::new(self.path(id));
        let mut config = Config::load(&directory).unwrap();
        let changed = change(&mut config);
        directory.write("node.toml", &config.to_text()).unwrap();
        changed
    }

    /// A second hand on a node's database, whether the node runs or not.
    pub async fn store(&self, id: &str) -> Store {
        let directory = Directory::new(self.path(id));
        let (ring, token) = Identity::store_keys(&directory).unwrap();
        let address = Config::load(&directory).unwrap().database_in(&directory);
        Store::open(&address, ring, token, self.ambient.clone())
            .await
            .unwrap()
    }

    /// The leaves of a node's log from `start` on.
    pub async fn leaves(&self, id: &str, start: u64) -> Vec<LogEntry> {
        let store = self.store(id).await;
        let leaves = store.leaves(start, 1_000_000).await.unwrap();
        store.close().await;
        leaves
            .iter()
            .map(|leaf| LogEntry::decode(leaf.as_slice()).unwrap())
            .collect()
    }

    /// How many leaves a node's log has.
    pub async fn log_size(&self, id: &str) -> u64 {
        self.leaves(id, 0).await.len() as u64
    }

    /// Waits until a running node has taken the roster of this version and recorded it.
    pub async fn roster_in_force(&self, id: &str, version: u64) {
        let reference = format!("version={version} ");
        let taken = async {
            while !self
                .leaves(id, 0)
                .await
                .iter()
                .any(|leaf| leaf.reference.starts_with(&reference))
            {}
        };
        tokio::time::timeout(Duration::from_secs(60), taken)
            .await
            .unwrap_or_else(|_| panic!("{id} did not take roster {version}"));
    }

    /// Gives a member a console, from its next start on.
    pub fn add_console(&self, id: &str) {
        let console = ConsoleConfig::at("127.0.0.1:0".parse().unwrap());
        self.configure(id, |config| config.console = Some(console));
    }

    /// Where the console of a running node is.
    pub fn console(&self, id: &str) -> String {
        self.nodes[id].console.clone().unwrap()
    }

    /// Where the operator API of a running node is reached over the network, if it is.
    pub fn operators(&self, id: &str) -> Option<SocketAddr> {
        self.nodes[id].operators
    }

    /// A channel to a node's operator API.
    pub async fn operator(&self, id: &str) -> Channel {
        node::operator_client(&self.path(id).join("operator.sock"))
            .await
            .unwrap()
    }

    /// A party's keys.
    pub fn identity(&self, id: &str) -> Arc<Identity> {
        Arc::new(Identity::load(&Directory::new(self.path(id))).unwrap())
    }

    /// A channel to the node of `to` over TLS, as the party `from`.
    pub async fn channel(&self, from: &str, to: &str) -> Channel {
        let peers = PinnedPeers::new(self.identity(from), self.ambient.clone());
        peers.channel(self.member(to)).await.unwrap()
    }

    /// A party's entry in the roster.
    pub fn member(&self, id: &str) -> &Member {
        self.roster.member(id).unwrap()
    }

    /// The root as nodes trust it.
    pub fn trusted_root(&self) -> TrustedRoot {
        TrustedRoot::pin(&std::fs::read(self.path("ua").join("root.note")).unwrap()).unwrap()
    }

    /// The roster as nodes trust it.
    pub fn trusted_roster(&self) -> TrustedRoster {
        let note = std::fs::read(self.path("ua").join("roster.note")).unwrap();
        TrustedRoster::verify(&self.trusted_root(), &note).unwrap()
    }

    /// Imports records into a register and publishes them.
    pub async fn import(&self, id: &str, records: &[&[(&str, &str)]]) {
        self.import_unpublished(id, records).await;
        self.publish(id).await;
    }

    /// Imports records into a register.
    pub async fn import_unpublished(&self, id: &str, records: &[&[(&str, &str)]]) {
        let mut client = RecordServiceClient::new(self.operator(id).await);
        let records = records
            .iter()
            .map(|fields| Record {
                fields: fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            })
            .collect();
        client
            .import_records(tokio_stream::iter([ImportRecordsRequest { records }]))
            .await
            .unwrap();
    }

    /// Sets a publication mark.
    pub async fn publish(&self, id: &str) {
        let mut client = RecordServiceClient::new(self.operator(id).await);
        let mut steps = client
            .publish_records(PublishRecordsRequest {})
            .await
            .unwrap()
            .into_inner();
        let mut published = false;
        while let Some(step) = steps.message().await.unwrap() {
            published = step.published;
        }
        assert!(published);
    }
}

/// A change to a roster: members may ask for the protection of a child.
pub fn for_protection(roster: &mut Roster) {
    for member in &mut roster.members {
        if member.roles.member {
            member.purposes.push(Purpose::ChildProtection);
        }
    }
}

/// A change to a roster: members may look up as much as a test under load does.
pub fn for_load(roster: &mut Roster) {
    for member in &mut roster.members {
        if member.roles.member {
            member.quotas.subjects_per_day = 1_000_000;
        }
    }
}

fn root_key(version: u32, number: u32, ambient: &Ambient) -> NoteSigner {
    NoteSigner::new(
        KeyName::new(format!("root{version}-{number}.test")).unwrap(),
        SigningKey::generate(&mut ambient.rng()),
    )
}

fn root_of(version: u32, keys: &[NoteSigner], expires: Timestamp) -> Root {
    Root {
        coalition: "test".to_owned(),
        version,
        expires,
        threshold: 2,
        keys: keys
            .iter()
            .map(|key| RootKey {
                name: key.note_key().name().to_string(),
                public_key: Bytes32::new(*key.note_key().verifying_key().as_bytes()),
            })
            .collect(),
    }
}

fn sign(text: &str, keys: &[NoteSigner]) -> String {
    let signers: Vec<&NoteSigner> = keys.iter().collect();
    Note::sign(text, &signers).unwrap().to_string()
}

fn make_party(home: &TempDir, id: &str, keyholder: Option<u16>, ambient: &Ambient) -> Member {
    let directory = Directory::new(home.path().join(id));
    let identity = Identity::create(&directory, &id.parse().unwrap(), ambient).unwrap();
    let is_node = keyholder.is_some();
    let listen = free_address();
    let config = Config {
        rederive_per_minute: 60_000,
        ..Config::new(id.parse().unwrap(), listen)
    };
    directory.write("node.toml", &config.to_text()).unwrap();
    let public = identity.public().unwrap();
    let now = ambient.now();
    let (not_before, not_after) = (
        Timestamp::from_unix(now - 3600),
        Timestamp::from_unix(now + 365 * 86_400),
    );
    Member {
        id: id.parse().unwrap(),
        name: id.to_uppercase(),
        organisation: "Test".to_owned(),
        roles: Roles {
            member: is_node,
            keyholder: keyholder.map(|identifier| KeyholderRole { identifier }),
            ombudsman: (!is_node).then_some(OmbudsmanScope::Coalition),
        },
        suspended_since: None,
        addresses: if is_node {
            vec![listen.to_string().parse().unwrap()]
        } else {
            Vec::new()
        },
        tls_pins: vec![TlsPin {
            spki_sha256: public.tls_spki_sha256,
            not_before,
            not_after,
        }],
        signing_keys: vec![MemberKey {
            public_key: public.signing_key,
            not_before,
            not_after,
        }],
        encryption_key: is_node.then_some(public.encryption_key),
        log: is_node.then_some(Log {
            origin: public.log_origin,
            vkey: public.log_vkey,
        }),
        witness_vkey: is_node.then_some(public.witness_vkey),
        purposes: if is_node {
            vec![Purpose::FamilyTracing, Purpose::Reunification]
        } else {
            vec![Purpose::Audit]
        },
        quotas: if is_node {
            Quotas {
                evaluations_per_day: 10_000,
                subjects_per_day: 10_000,
                enrolment_records: 1_000,
            }
        } else {
            Quotas::default()
        },
        index_cap: if is_node { 1_000_000 } else { 0 },
    }
}

/// An address that was free a moment ago: the roster states it before the node listens. None is
/// given twice, for the system may offer one again as soon as it is let go.
pub fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if given.insert(address.port()) {
            return address;
        }
    }
}

/// A dealerless key generation among the members, two of whom suffice.
fn deal(ambient: &Ambient, epoch: u32) -> (Vec<KeyShare>, roster::CoalitionKey) {
    let identifiers: BTreeSet<u16> = (1..).take(MEMBERS.len()).collect();
    let id = CeremonyId::new(ambient.random());
    let plan = DkgPlan::new(id, epoch, 2, identifiers.clone()).unwrap();
    let parties: BTreeMap<u16, Dkg> = identifiers
        .iter()
        .map(|&me| {
            (
                me,
                Dkg::start(plan.clone(), me, &mut ambient.rng()).unwrap(),
            )
        })
        .collect();
    let public: BTreeMap<u16, PublicMessage> = parties
        .iter()
        .map(|(&me, party)| (me, party.public_message().clone()))
        .collect();
    let mut inboxes: BTreeMap<u16, BTreeMap<u16, _>> = BTreeMap::new();
    for (&from, party) in &parties {
        for (to, message) in party.secret_messages(&public).unwrap() {
            inboxes.entry(to).or_default().insert(from, message);
        }
    }
    let mut shares = Vec::new();
    let mut key: Option<CoalitionKey> = None;
    for (me, party) in &parties {
        let (share, made) = party.finish(&public, &inboxes[me]).unwrap();
        shares.push(share);
        key = Some(made);
    }
    let key = key.unwrap();
    let stated = roster::CoalitionKey {
        epoch: u64::from(key.epoch()),
        threshold: key.threshold(),
        public_key: Bytes32::new(*key.public().as_bytes()),
        keyholders: key
            .verifying_shares()
            .map(|(identifier, share)| roster::Keyholder {
                member: MEMBERS[usize::from(identifier) - 1].parse().unwrap(),
                identifier,
                verifying_share: Bytes32::new(*share.as_bytes()),
            })
            .collect(),
        transcript_sha256: Bytes32::new([7; 32]),
    };
    (shares, stated)
}
