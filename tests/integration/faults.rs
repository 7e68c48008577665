//! A federation of real processes on a network, a disk and clocks that fail. After each fault the
//! ombudsman reads every log from outside: nothing acknowledged is lost, nothing is answered twice,
//! no log forks, and both sides of every exchange tell one story.
//!
//! A run counts only if the federation was at work before the fault.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use wayhome::ambient::Ambient;
use wayhome::demo::PostgresServer;
use wayhome::node::{Config, Directory};
use wayhome::proto::exchange as pb;
use wayhome::proto::operator::SearchResponse;

use crate::coalition::{Coalition, MEMBERS, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::process::{self, NodeProcess, PATIENCE, scaled};

/// Searches that must have succeeded before a fault.
const FLOOR: usize = 5;

/// Searches under each fault.
const UNDER: usize = 6;

/// What a network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Weather {
    /// It carries everything.
    Fair,
    /// It carries everything late.
    Slow,
    /// Nobody gets through, and who was through is cut off.
    Parted,
    /// Every second connection is cut off in the middle of a request.
    Lossy,
    /// What is asked arrives; the answer is lost, and the connection with it.
    AnswersLost,
}

const LATE: Duration = Duration::from_millis(150);

/// The way to one node, through the weather.
struct Way {
    address: SocketAddr,
    weather: Arc<AtomicU8>,
    changed: Arc<Notify>,
    harmed: Arc<AtomicUsize>,
}

impl Way {
    /// A way to the node at `to`.
    async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Self {
            address,
            weather: Arc::default(),
            changed: Arc::default(),
            harmed: Arc::default(),
        };
        let (weather, changed, harmed) = (
            Arc::clone(&way.weather),
            Arc::clone(&way.changed),
            Arc::clone(&way.harmed),
        );
        tokio::spawn(async move {
            let mut count = 0_usize;
            loop {
                let (near, _) = listener.accept().await.unwrap();
                count += 1;
                if weather.load(Ordering::Acquire) == Weather::Parted as u8 {
                    harmed.fetch_add(1, Ordering::AcqRel);
                    continue;
                }
                let (weather, changed) = (Arc::clone(&weather), Arc::clone(&changed));
                let harmed = Arc::clone(&harmed);
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else {
                        return;
                    };
                    let cut = changed.notified();
                    let carried = carry(near, far, &weather, &harmed, count);
                    tokio::select! {
                        () = carried => {}
                        () = cut => {}
                    }
                });
            }
        });
        way
    }

    /// The weather changes. Connections that stood under the old one are cut.
    fn turns(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// How many connections it has harmed.
    fn harmed(&self) -> usize {
        self.harmed.load(Ordering::Acquire)
    }
}

async fn carry(
    near: TcpStream,
    far: TcpStream,
    weather: &AtomicU8,
    harmed: &AtomicUsize,
    count: usize,
) {
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = one_way(near_read, far_write, weather, harmed, Some(count)) => {}
        () = one_way(far_read, near_write, weather, harmed, None) => {}
    }
}

/// Carries one direction until it ends or the weather ends it. `asking` is the connection's number,
/// in the direction of requests.
async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: &AtomicU8,
    harmed: &AtomicUsize,
    asking: Option<usize>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut carried = 0;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        carried += length;
        let now = weather.load(Ordering::Acquire);
        if now == Weather::Slow as u8 {
            tokio::time::sleep(LATE).await;
            harmed.fetch_add(1, Ordering::AcqRel);
        }
        // Past the handshake, so that a request or an answer is what is lost.
        let lost = (now == Weather::Lossy as u8
            && asking.is_some_and(|count| count % 2 == 1)
            && carried > 4_000)
            || (now == Weather::AnswersLost as u8 && asking.is_none() && carried > 5_000);
        if lost {
            harmed.fetch_add(1, Ordering::AcqRel);
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Three nodes in processes of their own; `ua` reaches the others through the weather.
struct Federation {
    coalition: Coalition,
    nodes: Vec<NodeProcess>,
    ways: [Way; 2],
}

impl Federation {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts with nodes that were configured otherwise.
    async fn start_with(change: impl FnOnce(&Coalition)) -> Self {
        let coalition = Coalition::found(|_| {});
        change(&coalition);
        let listen = |id: &str| {
            let directory = Directory::new(coalition.path(id));
            Config::load(&directory).unwrap().listen
        };
        let ways = [Way::to(listen("pl")).await, Way::to(listen("de")).await];
        coalition.configure("ua", |own| {
            for (id, way) in ["pl", "de"].iter().zip(&ways) {
                let route = vec![way.address.to_string().parse().unwrap()];
                own.routes.insert(id.parse().unwrap(), route);
            }
        });
        let mut nodes = Vec::new();
        for id in MEMBERS {
            nodes.push(NodeProcess::start(&coalition.path(id)).await);
        }
        coalition.import("ua", &[AT_HOME]).await;
        coalition.import("pl", &[ABROAD]).await;
        Self {
            coalition,
            nodes,
            ways,
        }
    }

    async fn search(&self) -> Vec<SearchResponse> {
        let answers = search(&self.coalition, "ua", "UA-1").await;
        assert_eq!(
            answers.len(),
            2,
            "each peer is told of, whatever became of it"
        );
        answers
    }

    /// Searches until each of `count` is answered by all.
    async fn works(&self, count: usize) {
        let working = async {
            let mut whole = 0;
            while whole < count {
                whole += usize::from(self.search().await.iter().all(answered));
            }
        };
        tokio::time::timeout(PATIENCE, working)
            .await
            .expect("the federation does not work");
    }

    /// Stops the node of `pl`, so that it can be started under other circumstances.
    async fn stop_holder(&mut self) -> PathBuf {
        assert!(self.nodes.remove(1).stop().await.success());
        self.coalition.path("pl")
    }

    /// Starts the node of `pl` again.
    async fn start_holder(&mut self) {
        let node = NodeProcess::start(&self.coalition.path("pl")).await;
        self.nodes.insert(1, node);
    }

    /// What became of one search at `pl`, while `de` answers as ever.
    async fn one_fails(&self) -> String {
        let found = self.search().await;
        let of = |id: &str| found.iter().find(|answer| answer.member == id).unwrap();
        assert!(answered(of("de")), "{:?}", of("de").error_code);
        of("pl").error_code.clone()
    }

    /// Searches until `pl` fails one; gives how many it answered before, and the code.
    async fn until_one_fails(&self) -> (usize, String) {
        let failing = async {
            let mut answers = 0;
            loop {
                match self.one_fails().await {
                    code if code.is_empty() => answers += 1,
                    code => return (answers, code),
                }
            }
        };
        tokio::time::timeout(PATIENCE, failing)
            .await
            .expect("nothing failed")
    }

    /// Searches in bad weather; gives how many answers came.
    async fn works_under(&self, weather: Weather) -> usize {
        self.works(FLOOR).await;
        for way in &self.ways {
            way.turns(weather);
        }
        let mut answers = 0;
        for _ in 0..scaled(UNDER) {
            answers += self
                .search()
                .await
                .iter()
                .filter(|answer| answered(answer))
                .count();
        }
        assert!(
            self.ways.iter().any(|way| way.harmed() > 0),
            "{weather:?} harmed nothing"
        );
        for way in &self.ways {
            way.turns(Weather::Fair);
        }
        self.works(FLOOR).await;
        answers
    }

    /// What the ombudsman finds, from outside.
    async fn holds(&self) {
        holds(&self.coalition).await;
    }

    async fn stop(self) {
        for node in self.nodes {
            assert!(node.stop().await.success());
        }
    }
}

fn answered(answer: &SearchResponse) -> bool {
    answer.error_code.is_empty()
}

/// Holds the logs of all members to what they promised and to each other; no id was answered twice.
async fn holds(coalition: &Coalition) {
    let office = coalition.path(OMBUDSMAN);
    for check in [
        &["--json", "audit", "verify"][..],
        &["--json", "audit", "reconcile"],
    ] {
        let said = process::run(&office, check).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.object()["ok"], true, "{said:?}");
    }
    for id in MEMBERS {
        let mut ids = std::collections::BTreeSet::new();
        for leaf in coalition.leaves(id, 0).await {
            if leaf.act == i32::from(pb::Act::LookupAnswered) {
                assert!(
                    ids.insert(leaf.message_id),
                    "{id} answered one message twice"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federation_parted_and_joined_again_goes_on() {
    let federation = Federation::start().await;
    let answers = federation.works_under(Weather::Parted).await;
    assert_eq!(answers, 0, "there was no way");
    federation.holds().await;
    federation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_slows_and_harms_nothing() {
    let federation = Federation::start().await;
    let answers = federation.works_under(Weather::Slow).await;
    assert_eq!(answers, 2 * scaled(UNDER));
    federation.holds().await;
    federation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_requests_and_lost_answers_are_done_once() {
    let federation = Federation::start().await;
    for weather in [Weather::Lossy, Weather::AnswersLost] {
        federation.works_under(weather).await;
        federation.holds().await;
    }
    federation.stop().await;
}

/// What a peer is told by a node that cannot make an act durable.
const CANNOT: [&str; 4] = [
    "UNAVAILABLE",
    "LOG_NOT_SIGNED",
    "Unavailable",
    "PEER_SPARED",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let mut federation = Federation::start().await;
    federation.works(FLOOR).await;
    // The holder comes back on a disk that has room for some acts more: no file may grow beyond it.
    let directory = federation.stop_holder().await;
    let size = |name: &str| std::fs::metadata(directory.join(name)).map_or(0, |file| file.len());
    let room = (size("wayhome.db") + size("wayhome.db-wal")) / 1024 + 600;
    let mut limited = tokio::process::Command::new("bash");
    limited
        .arg("-c")
        .arg(format!(
            "trap '' XFSZ; ulimit -f {room}; exec \"$0\" \"$@\""
        ))
        .arg(env!("CARGO_BIN_EXE_wayhome"))
        .arg("--dir")
        .arg(&directory)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let holder = NodeProcess::start_as(&directory, limited).await;
    let (answers, code) = federation.until_one_fails().await;
    assert!(answers > 0, "there was no room from the beginning");
    assert!(CANNOT.contains(&code.as_str()), "{code}");
    holder.kill().await;

    // With room again it goes on, and has all that it acknowledged.
    federation.start_holder().await;
    federation.works(FLOOR).await;
    federation.holds().await;
    federation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_that_is_killed_or_turns_read_only_loses_nothing() {
    let server = PostgresServer::start_aside(&Ambient::system()).unwrap();
    let address = server.create_database("faults").unwrap();
    let federation = Federation::start_with(|coalition| {
        coalition.configure("pl", |own| {
            own.database = address.parse().unwrap();
            own.log.quorum = Some(0);
        });
    })
    .await;
    federation.works(FLOOR).await;
    server.kill().unwrap();
    let (_, code) = federation.until_one_fails().await;
    assert!(CANNOT.contains(&code.as_str()), "{code}");
    server.restart().unwrap();
    federation.works(FLOOR).await;

    // As when a standby takes over that may not be written to.
    let turn = async |read_only: &str| {
        let mut server = PgConnection::connect(&address).await.unwrap();
        for statement in [
            "SET default_transaction_read_only = off".to_owned(),
            format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}"),
            "SELECT pg_reload_conf()".to_owned(),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut server)
                .await
                .unwrap();
        }
        server.close().await.unwrap();
    };
    turn("on").await;
    let (_, code) = federation.until_one_fails().await;
    assert!(CANNOT.contains(&code.as_str()), "{code}");
    turn("off").await;
    federation.works(FLOOR).await;
    federation.holds().await;
    federation.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ten_minutes_is_noticed_by_who_is_asked_and_nothing_is_lost() {
    let mut federation = Federation::start().await;
    federation.works(FLOOR).await;
    let directory = federation.stop_holder().await;
    let ahead = federation.coalition.ambient.now() + 600;
    let mut jumped = process::wayhome(&directory);
    jumped.env("WAYHOME_TEST_CLOCK", ahead.to_string());
    let holder = NodeProcess::start_as(&directory, jumped).await;
    assert_eq!(federation.one_fails().await, "MESSAGE_EXPIRED");
    assert!(holder.stop().await.success());

    // The clock was set right: a person vouches for that, since a clock set back could be an attack.
    federation.start_holder().await;
    let accepted = process::run(&directory, &["--json", "roster", "accept-clock", "--yes"]).await;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    federation.works(FLOOR).await;
    // The log says itself that its time went back, so that the ombudsman need not ask.
    let leaves = federation.coalition.leaves("pl", 0).await;
    let said = leaves
        .iter()
        .filter(|leaf| leaf.act() == pb::Act::ClockSetBack);
    assert_eq!(said.count(), 1);
    federation.holds().await;
    federation.stop().await;
}
