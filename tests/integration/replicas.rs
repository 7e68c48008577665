//! Several processes on one PostgreSQL are one node.
//!
//! Poland's node runs as up to three processes of the real program, each with a directory and an
//! address of its own, on one database. Ukraine asks.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use prost::Message as _;
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::Channel;
use wayhome::envelope::merkle::leaf_hash;
use wayhome::exchange::lookup::{LookupAt, SubjectTokens, look_up};
use wayhome::exchange::message::check_receipt;
use wayhome::exchange::{Party, Peers as _, promises};
use wayhome::linkage::RuleTable;
use wayhome::node::{Config, Directory, Opened, PinnedPeers, open_party};
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::{Act, LogEntry};
use wayhome::roster::{LegalBasis, Purpose, Roster};
use wayhome::tlog::{Frontier, LogChecker};

use crate::coalition::{Coalition, OMBUDSMAN, free_address};
use crate::forge::{Sent as _, lookup, refusal};
use crate::process::{self, NodeProcess, PATIENCE};

/// Ukraine's node, and how many lookups its quota allows.
const ASKER: &str = "ua";
const QUOTA: u64 = 1_000_000;

/// The directories of Poland's processes.
const REPLICAS: [&str; 3] = ["pl", "pl-2", "pl-3"];

/// A coalition whose Polish node is several processes.
struct Replicas {
    coalition: Coalition,
    addresses: Vec<SocketAddr>,
}

impl Replicas {
    fn found(database: &str, change: impl FnOnce(&mut Roster)) -> Self {
        let mut addresses = Vec::new();
        let coalition = Coalition::found(|roster| {
            for member in &mut roster.members {
                if member.roles.member {
                    member.quotas.subjects_per_day = QUOTA;
                }
                if member.id.as_str() == "pl" {
                    addresses.push(member.addresses[0].as_str().parse().unwrap());
                    while addresses.len() < REPLICAS.len() {
                        let further = free_address();
                        member.addresses.push(further.to_string().parse().unwrap());
                        addresses.push(further);
                    }
                }
            }
            change(roster);
        });
        let address = crate::postgres::server().create_database(database).unwrap();
        let replicas = Self {
            coalition,
            addresses,
        };
        let directory = Directory::new(replicas.path(0));
        let mut config = Config::load(&directory).unwrap();
        config.database = address.parse().unwrap();
        // Nobody witnesses in this coalition.
        config.log.quorum = Some(0);
        directory.write("node.toml", &config.to_text()).unwrap();
        for further in 1..REPLICAS.len() {
            copy(&replicas.path(0), &replicas.path(further));
            config.listen = replicas.addresses[further];
            Directory::new(replicas.path(further))
                .write("node.toml", &config.to_text())
                .unwrap();
        }
        replicas
    }

    /// The directory of one of them.
    fn path(&self, replica: usize) -> PathBuf {
        self.coalition.path(REPLICAS[replica])
    }

    async fn start(&self, replica: usize) -> NodeProcess {
        NodeProcess::start(&self.path(replica)).await
    }

    /// A channel to one of them alone.
    async fn channel(&self, from: &str, replica: usize) -> Channel {
        let (identity, ambient) = (
            self.coalition.identity(from),
            self.coalition.ambient.clone(),
        );
        let peers = PinnedPeers::new(identity, ambient);
        let member = self.coalition.member("pl");
        let route = vec![self.addresses[replica].to_string().parse().unwrap()];
        peers.set_routes([(member.id.clone(), route)].into());
        peers.channel(member).await.unwrap()
    }

    async fn leaves(&self) -> Vec<LogEntry> {
        self.coalition.leaves("pl", 0).await
    }

    /// How often a query with this id was answered, by the log.
    async fn answered(&self, message_id: &[u8]) -> usize {
        let leaves = self.leaves().await;
        let of_it = |leaf: &&LogEntry| leaf.message_id == message_id;
        let answers = leaves.iter().filter(of_it);
        answers
            .filter(|leaf| leaf.act() == Act::LookupAnswered)
            .count()
    }
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_answer_as_one_node() {
    let mut replicas = Replicas::found("replicas_one", |roster| {
        for member in &mut roster.members {
            if member.id.as_str() == "de" {
                member.quotas.subjects_per_day = 5;
            }
        }
    });
    let (first, second) = (replicas.start(0).await, replicas.start(1).await);
    let channels = [
        replicas.channel(ASKER, 0).await,
        replicas.channel(ASKER, 1).await,
    ];

    // Both get the same message at once: it is answered once, and both give that answer.
    for _ in 0..10 {
        let query = lookup(&replicas.coalition, ASKER, "pl", 1);
        let message_id = query.message_id();
        let query = query.sign();
        let (one, other) = tokio::join!(
            pb::LookupQuery::send(channels[0].clone(), query.clone()),
            pb::LookupQuery::send(channels[1].clone(), query),
        );
        assert!(one.unwrap() == other.unwrap());
        assert_eq!(replicas.answered(&message_id).await, 1);
    }

    // What the one has answered cannot be used for another question to the other.
    let asked = lookup(&replicas.coalition, ASKER, "pl", 1);
    let message_id = asked.message_id();
    pb::LookupQuery::send(channels[0].clone(), asked.sign())
        .await
        .unwrap();
    let replayed = lookup(&replicas.coalition, ASKER, "pl", 1)
        .header(|header| header.message_id.clone_from(&message_id))
        .sign();
    let refused = pb::LookupQuery::send(channels[1].clone(), replayed).await;
    let (_, reason) = refusal(&refused.err().unwrap());
    assert_eq!(reason, "MESSAGE_ID_REUSED");

    // A quota is counted once, whoever is asked.
    let by_germany = [
        replicas.channel("de", 0).await,
        replicas.channel("de", 1).await,
    ];
    let ask = |number: usize| {
        let query = lookup(&replicas.coalition, "de", "pl", 1).sign();
        pb::LookupQuery::send(by_germany[number % 2].clone(), query)
    };
    let at_once = join_all((0..8).map(ask)).await;
    assert_eq!(at_once.iter().filter(|answer| answer.is_ok()).count(), 5);
    for refused in at_once.into_iter().filter_map(Result::err) {
        let (code, reason) = refusal(&refused);
        assert_eq!(
            (code, reason.as_str()),
            (Code::ResourceExhausted, "QUOTA_EXCEEDED")
        );
    }

    // What one process takes is in force in the other: here, that a member is suspended.
    let since = replicas.coalition.ambient.now();
    replicas.coalition.roster.version += 1;
    for member in &mut replicas.coalition.roster.members {
        if member.id.as_str() == "de" {
            member.suspended_since = Some(wayhome::roster::Timestamp::from_unix(since));
        }
    }
    replicas.coalition.publish_roster_at("pl");
    let suspended = async {
        loop {
            // Whoever is suspended is cut off, or told so.
            let query = lookup(&replicas.coalition, "de", "pl", 1).sign();
            let channel = replicas.channel("de", 1).await;
            match pb::LookupQuery::send(channel, query).await {
                Err(status) if status.code() == Code::ResourceExhausted => {}
                Err(_) => return,
                Ok(_) => panic!("the quota was used up"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, suspended).await.unwrap();
    let adopted = |leaves: &[LogEntry]| {
        let taken = leaves
            .iter()
            .filter(|leaf| leaf.act() == Act::RosterAdopted);
        taken.map(|leaf| leaf.reference.clone()).collect::<Vec<_>>()
    };
    let taken = adopted(&replicas.leaves().await);
    let once: BTreeSet<&String> = taken.iter().collect();
    assert_eq!(
        once.len(),
        taken.len(),
        "a roster was taken twice: {taken:?}"
    );
    assert!(first.stop().await.success());
    assert!(second.stop().await.success());
}

/// Ukraine as a party in this process, which asks as a node does.
struct Asker {
    opened: Opened,
    answered: watch::Sender<u64>,
    ended: AtomicBool,
}

impl Asker {
    async fn open(coalition: &Coalition) -> Arc<Self> {
        let directory = Directory::new(coalition.path(ASKER));
        let mut config = Config::load(&directory).unwrap();
        config.log.quorum = Some(0);
        directory.write("node.toml", &config.to_text()).unwrap();
        Arc::new(Self {
            opened: open_party(&directory, &coalition.ambient).await.unwrap(),
            answered: watch::Sender::new(0),
            ended: AtomicBool::new(false),
        })
    }

    fn party(&self) -> &Arc<Party> {
        &self.opened.party
    }

    /// Looks children up until it is told to end. No call may fail.
    async fn ask_on(self: Arc<Self>) {
        let party = self.party();
        let roster = party.roster().unwrap();
        let holder = roster.member("pl").unwrap();
        let lookup = LookupAt {
            purpose: Purpose::FamilyTracing,
            legal_basis: LegalBasis::VitalInterest,
            case_reference: "CASE-1".to_owned(),
        };
        while !self.ended.load(Ordering::Acquire) {
            let child = [(None, child(party))];
            look_up(party, holder, &lookup, 1, &child)
                .await
                .unwrap_or_else(|error| panic!("a call failed: {error}"));
            self.answered.send_modify(|answered| *answered += 1);
        }
    }

    /// Waits until so many more calls were answered.
    async fn progress(&self, more: u64) {
        let mut answered = self.answered.subscribe();
        let enough = *answered.borrow() + more;
        tokio::time::timeout(PATIENCE, answered.wait_for(|answered| *answered >= enough))
            .await
            .expect("the calls came to a standstill")
            .unwrap();
    }
}

/// A child whom nobody holds.
fn child(party: &Party) -> SubjectTokens {
    let rules = RuleTable::shipped().unwrap();
    let tokens = rules.slot_rules().iter().flat_map(|rule| {
        let mut token = vec![rule.0];
        token.extend(party.ambient().random::<64>());
        token
    });
    SubjectTokens::from_bytes(0, &tokens.collect::<Vec<u8>>()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_may_be_killed_stopped_and_added_under_load_without_a_failed_call() {
    let replicas = Replicas::found("replicas_killed", |_| {});
    let (first, second) = (replicas.start(0).await, replicas.start(1).await);
    let third = replicas.start(2).await;
    let asker = Asker::open(&replicas.coalition).await;
    let calls: Vec<_> = (0..8)
        .map(|_| tokio::spawn(Arc::clone(&asker).ask_on()))
        .collect();
    asker.progress(50).await;
    // The one that is asked is killed; the others go on.
    first.kill().await;
    asker.progress(50).await;
    // It comes back, and the others are killed.
    let first = replicas.start(0).await;
    second.kill().await;
    asker.progress(50).await;
    third.kill().await;
    asker.progress(50).await;
    let second = replicas.start(1).await;
    // The one that answers is stopped in the middle of it, and the other writes meanwhile: its
    // answers wait, its transaction is ended by the server, and it forks nothing when it wakes.
    let aside = [
        replicas.channel("de", 0).await,
        replicas.channel("de", 1).await,
    ];
    let by_germany = |replica: usize| {
        let query = lookup(&replicas.coalition, "de", "pl", 1).sign();
        let channel = aside[replica].clone();
        async move {
            let mut last = None;
            // As a node does: the same message once more, if it is not known what became of it.
            for _ in 0..3 {
                match pb::LookupQuery::send(channel.clone(), query.clone()).await {
                    Ok(answer) => return answer,
                    Err(status) => last = Some(status),
                }
            }
            panic!("{last:?}")
        }
    };
    let mut promises = vec![by_germany(0).await, by_germany(1).await];
    for round in 0..3 {
        let (stopped, awake) = if round % 2 == 0 {
            (&first, 1)
        } else {
            (&second, 0)
        };
        stopped.signal("STOP").await;
        for _ in 0..20 {
            promises.push(by_germany(awake).await);
        }
        stopped.signal("CONT").await;
        promises.push(by_germany(1 - awake).await);
        asker.progress(20).await;
    }
    asker.ended.store(true, Ordering::Release);
    for call in calls {
        call.await.unwrap();
    }

    // Every promise stands in one log, and so does every answer that the asker holds a receipt of.
    check_log(&replicas, &promises, *asker.answered.borrow()).await;
    let outcome = promises::check(asker.party()).await.unwrap();
    assert!(outcome.alerts.is_empty(), "{:?}", outcome.alerts);
    let ombudsman = replicas.coalition.path(OMBUDSMAN);
    let said = process::run(&ombudsman, &["--json", "audit", "verify", "pl"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(first.stop().await.success());
    assert!(second.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_restarted_one_by_one_without_a_failed_call() {
    let replicas = Replicas::found("replicas_rolling", |_| {});
    let mut running = vec![replicas.start(0).await, replicas.start(1).await];
    let asker = Asker::open(&replicas.coalition).await;
    let calls: Vec<_> = (0..6)
        .map(|_| tokio::spawn(Arc::clone(&asker).ask_on()))
        .collect();
    for round in 0..process::scaled(2) {
        let replica = round % running.len();
        asker.progress(30).await;
        // As an update does it: told to stop, and started again from what is installed then.
        assert!(running.remove(replica).stop().await.success());
        asker.progress(10).await;
        running.insert(replica, replicas.start(replica).await);
    }
    asker.progress(30).await;
    asker.ended.store(true, Ordering::Release);
    for call in calls {
        call.await.unwrap();
    }
    check_log(&replicas, &[], *asker.answered.borrow()).await;
    for node in running {
        assert!(node.stop().await.success());
    }
}

/// Reads the whole log: it is what its newest checkpoint says, each promise stands in it and was made
/// under a checkpoint of a prefix, and each query stands there once.
async fn check_log(replicas: &Replicas, promises: &[pb::SignedMessage], answered: u64) {
    let store = replicas.coalition.store("pl").await;
    let newest = store.newest_signed().await.unwrap().unwrap();
    let leaves = store.leaves(0, newest.head.size).await.unwrap();
    store.close().await;
    let mut checker = LogChecker::new();
    let mut tree = Frontier::new();
    let mut roots = vec![tree.root()];
    for (index, leaf) in (0..).zip(&leaves) {
        checker.feed(index, leaf).unwrap();
        let _ = tree.append(leaf_hash(leaf));
        roots.push(tree.root());
    }
    checker.finish(newest.head).unwrap();
    for promise in promises {
        let payload = &promise.envelope.as_ref().unwrap().payload;
        let payload = pb::LookupAnswer::decode(payload.as_slice()).unwrap();
        let receipt = payload.receipt.unwrap();
        let head = check_receipt(replicas.coalition.member("pl"), &receipt).unwrap();
        assert_eq!(roots[head.size as usize], head.root, "the log was forked");
        let leaf = &leaves[receipt.leaf_index as usize];
        assert_eq!(receipt.leaf_hash, leaf_hash(leaf));
    }
    let mut ids: Vec<Vec<u8>> = leaves
        .iter()
        .map(|leaf| LogEntry::decode(leaf.as_slice()).unwrap())
        .filter(|leaf| leaf.act() == Act::LookupAnswered)
        .map(|leaf| leaf.message_id)
        .collect();
    let all = ids.len();
    assert!(all as u64 >= answered + promises.len() as u64);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "a query was answered twice");
}
