//! A database of three PostgreSQL servers that Patroni keeps, with etcd. A commit counts once a standby
//! has it, and none counts without. The primary is lost under load, and nothing that was acknowledged is.
//!
//! Runs where the packages patroni and etcd-server are; elsewhere it says so.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::Notify;
use wayhome::proto::exchange as pb;

use crate::coalition::{Coalition, OMBUDSMAN, for_load, free_address};
use crate::forge::{Sent as _, lookup};
use crate::process::{NodeProcess, left_out, run};

const PATRONI: &str = "/usr/bin/patroni";
const ETCD: &str = "/usr/bin/etcd";

/// Lookups that were answered before the primary is lost, and again afterwards.
const FLOOR: usize = 60;

/// Lookups under way at once.
const SENDERS: usize = 6;

/// How long a cluster may take to come about, or to find a new primary: Patroni's lease of the
/// leader, 20 s, and what a loaded machine adds.
const PATIENCE: Duration = Duration::from_secs(180);

/// One server and who keeps it.
struct Kept {
    home: PathBuf,
    port: u16,
    patroni: Child,
}

struct Cluster {
    etcd: Child,
    servers: Vec<Kept>,
    _home: tempfile::TempDir,
}

/// PostgreSQL does not run as root: then it runs as the user that its package made.
fn owner(home: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(home).unwrap().uid() != 0 {
        return None;
    }
    let id = |what| {
        let output = Command::new("id")
            .args([what, "postgres"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    Some((id("-u"), id("-g")))
}

/// A program of the cluster, that writes into a file of its own.
fn start(mut command: Command, owner: Option<(u32, u32)>, log: &Path) -> Child {
    let log = std::fs::File::create(log).unwrap();
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
        .current_dir("/")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .stdout(log);
    command.spawn().unwrap()
}

fn server_programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|programs| programs.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop().unwrap()
}

impl Cluster {
    fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let home = temporary.path();
        let owner = owner(home);
        let give = |path: &Path| {
            if let Some((uid, gid)) = owner {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
        };
        give(home);
        let [clients, peers] = [free_address(), free_address()];
        let mut command = Command::new(ETCD);
        command
            .args(["--name", "only", "--log-level", "error", "--data-dir"])
            .arg(home.join("etcd"))
            .args(["--listen-client-urls", &format!("http://{clients}")])
            .args(["--advertise-client-urls", &format!("http://{clients}")])
            .args(["--listen-peer-urls", &format!("http://{peers}")])
            .args(["--initial-advertise-peer-urls", &format!("http://{peers}")])
            .args(["--initial-cluster", &format!("only=http://{peers}")]);
        let etcd = start(command, owner, &home.join("etcd.log"));
        let programs = server_programs();
        let servers = ["one", "two", "three"].map(|name| {
            let place = home.join(name);
            std::fs::create_dir(&place).unwrap();
            give(&place);
            let [server, api] = [free_address(), free_address()];
            let settings = place.join("patroni.yaml");
            std::fs::write(
                &settings,
                format!(
                    "scope: node
name: {name}
restapi: {{listen: '{api}', connect_address: '{api}'}}
etcd3: {{host: '{clients}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 8
    master_start_timeout: 0
    synchronous_mode: true
    synchronous_mode_strict: true
    postgresql: {{use_pg_rewind: false, use_slots: true}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}]
postgresql:
  listen: '{server}'
  connect_address: '{server}'
  data_dir: '{place}/data'
  bin_dir: '{programs}'
  pgpass: '{place}/pgpass'
  authentication:
    superuser: {{username: wayhome}}
    replication: {{username: wayhome}}
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
  parameters: {{unix_socket_directories: '{place}', max_connections: 100}}
",
                    place = place.display(),
                    programs = programs.display(),
                ),
            )
            .unwrap();
            let mut command = Command::new(PATRONI);
            command.arg(&settings);
            let patroni = start(command, owner, &place.join("patroni.log"));
            Kept {
                home: place,
                port: server.port(),
                patroni,
            }
        });
        Self {
            etcd,
            servers: servers.into(),
            _home: temporary,
        }
    }

    /// The address of the whole, as a node takes it.
    fn address(&self, database: &str) -> String {
        let hosts: Vec<String> = self
            .servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        format!("postgres://wayhome@{}/{database}", hosts.join(","))
    }

    /// Waits for a primary whose commits a standby confirms, and says which it is.
    async fn primary(&self) -> usize {
        let looking = async {
            loop {
                for (number, server) in self.servers.iter().enumerate() {
                    if server.is_confirmed_primary().await.unwrap_or(false) {
                        return number;
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking).await;
        found.unwrap_or_else(|_| panic!("no primary: {}", self.logs()))
    }

    fn logs(&self) -> String {
        let end = |path: PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        let servers = self.servers.iter();
        let logs = servers.map(|server| end(server.home.join("patroni.log")));
        logs.collect::<Vec<_>>().join("\n--\n")
    }
}

impl Kept {
    async fn is_confirmed_primary(&self) -> Result<bool, sqlx::Error> {
        let address = format!("postgres://wayhome@127.0.0.1:{}/postgres", self.port);
        let mut connection = PgConnection::connect(&address).await?;
        let primary = sqlx::query_scalar(
            "SELECT NOT pg_is_in_recovery()
                 AND EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')",
        )
        .fetch_one(&mut connection)
        .await;
        connection.close().await?;
        primary
    }

    /// Ends it as the loss of its machine would.
    fn kill(&mut self) {
        let _ = self.patroni.kill();
        let _ = self.patroni.wait();
        let running = std::fs::read_to_string(self.home.join("data/postmaster.pid"));
        if let Some(id) = running.ok().as_deref().and_then(|text| text.lines().next()) {
            let _ = Command::new("kill").args(["-9", id]).status();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill();
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

/// Reads leaves until a standby has been asked for them.
async fn a_standby_is_read_from(cluster: &Cluster, coalition: &Coalition, primary: usize) {
    let store = coalition.store("pl").await;
    let others = cluster.servers.iter().enumerate();
    let others = others.filter(|(number, _)| *number != primary);
    let addresses: Vec<String> = others
        .map(|(_, server)| format!("postgres://wayhome@127.0.0.1:{}/node", server.port))
        .collect();
    let reading = async {
        loop {
            assert_eq!(store.leaves(0, 1).await.unwrap().len(), 1);
            for address in &addresses {
                let mut connection = PgConnection::connect(address).await.unwrap();
                let asked: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity
                         WHERE application_name = 'wayhome' AND query LIKE '%FROM log_leaves%')",
                )
                .fetch_one(&mut connection)
                .await
                .unwrap();
                connection.close().await.unwrap();
                if asked {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, reading).await;
    assert!(outcome.is_ok(), "no standby was asked");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_lost_under_load_and_nothing_acknowledged_with_it() {
    if !(Path::new(PATRONI).exists() && Path::new(ETCD).exists()) {
        left_out(
            "patroni",
            "the packages patroni and etcd-server are not here, so no primary was lost",
        );
        return;
    }
    let mut cluster = Cluster::start();
    let primary = cluster.primary().await;
    let maintenance = format!(
        "postgres://wayhome@127.0.0.1:{}/postgres",
        cluster.servers[primary].port
    );
    let mut connection = PgConnection::connect(&maintenance).await.unwrap();
    connection.execute("CREATE DATABASE node").await.unwrap();
    connection.close().await.unwrap();

    let coalition = Coalition::found(for_load);
    coalition.configure("pl", |config| {
        config.database = cluster.address("node").parse().unwrap();
        // Nobody witnesses in this coalition: the guard remembers.
        config.log.quorum = Some(0);
    });
    let node = NodeProcess::start(&coalition.path("pl")).await;
    let verify = ["--json", "audit", "verify", "pl"];
    let auditor = coalition.path(OMBUDSMAN);
    assert_eq!(run(&auditor, &verify).await.code, Some(0));

    a_standby_is_read_from(&cluster, &coalition, primary).await;

    // A query is sent until it is answered: the same one, so that it is answered once.
    let (answered, enough, over) = (AtomicUsize::new(0), Notify::new(), AtomicBool::new(false));
    let acknowledged = Mutex::new(BTreeSet::new());
    let senders = join_all((0..SENDERS).map(|_| async {
        let channel = coalition.channel("ua", "pl").await;
        while !over.load(Ordering::Relaxed) {
            let query = lookup(&coalition, "ua", "pl", 1);
            let message_id = query.message_id();
            let signed = query.sign();
            while !over.load(Ordering::Relaxed) {
                match pb::LookupQuery::send(channel.clone(), signed.clone()).await {
                    Ok(_) => {
                        acknowledged.lock().unwrap().insert(message_id);
                        answered.fetch_add(1, Ordering::Relaxed);
                        enough.notify_one();
                        break;
                    }
                    Err(status) if status.code() == tonic::Code::Unavailable => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(status) => panic!("{status:?}"),
                }
            }
        }
    }));
    let lose = async {
        while answered.load(Ordering::Relaxed) < FLOOR {
            enough.notified().await;
        }
        cluster.servers[primary].kill();
        let before = answered.load(Ordering::Relaxed);
        let again = async {
            while answered.load(Ordering::Relaxed) < before + SENDERS + FLOOR {
                enough.notified().await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, again).await;
        over.store(true, Ordering::Relaxed);
        assert!(outcome.is_ok(), "no answer came: {}", cluster.logs());
    };
    tokio::join!(senders, lose);

    // Each answer that came is in the log once; what the ombudsman saw before is still its beginning.
    let leaves = coalition.leaves("pl", 0).await;
    let mut seen = BTreeSet::new();
    for leaf in &leaves {
        if leaf.act == i32::from(pb::Act::LookupAnswered) {
            assert!(seen.insert(leaf.message_id.clone()), "answered twice");
        }
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= 2 * FLOOR);
    let lost: Vec<_> = acknowledged.difference(&seen).collect();
    assert!(lost.is_empty(), "{} of {}", lost.len(), acknowledged.len());
    let said = run(&auditor, &verify).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(node.stop().await.success());
}
