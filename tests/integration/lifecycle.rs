//! How a node begins and ends: what the service manager is told, and that a stop costs nobody a call.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::disclosure_service_client::DisclosureServiceClient;

use crate::coalition::{Coalition, for_load};
use crate::forge::{Sent, lookup};
use crate::process::{self, NodeProcess, PATIENCE, scaled};

/// What a service manager hears.
struct Manager {
    socket: tokio::net::UnixDatagram,
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket: tokio::net::UnixDatagram::from_std(socket).unwrap(),
            _folder: folder,
            path,
        }
    }

    /// Listens until a message has this line; gives the whole message.
    async fn hears(&self, line: &str) -> String {
        let mut heard = Vec::new();
        let listening = async {
            loop {
                let mut buffer = [0; 4096];
                let length = self.socket.recv(&mut buffer).await.unwrap();
                let said = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if said.lines().any(|said| said == line) {
                    return said;
                }
                heard.push(said);
            }
        };
        match tokio::time::timeout(PATIENCE, listening).await {
            Ok(said) => said,
            Err(_) => panic!("{line} was not said; {heard:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_that_the_node_serves_lives_and_stops() {
    let coalition = Coalition::found(|_| {});
    let manager = Manager::new();
    let mut command = process::wayhome(&coalition.path("pl"));
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "200000");
    let node = NodeProcess::start_as(&coalition.path("pl"), command).await;
    let ready = manager.hears("READY=1").await;
    assert!(ready.contains("STATUS=Serving at 127.0.0.1:"), "{ready}");
    // More than one: it goes on.
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }
    let (stopping, ended) = tokio::join!(manager.hears("STOPPING=1"), node.stop());
    assert!(stopping.contains("STATUS="), "{stopping}");
    assert!(ended.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_of_another_process_is_not_answered() {
    let coalition = Coalition::found(|_| {});
    let manager = Manager::new();
    let mut command = process::wayhome(&coalition.path("pl"));
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "20000")
        .env("WATCHDOG_PID", "1");
    let node = NodeProcess::start_as(&coalition.path("pl"), command).await;
    manager.hears("READY=1").await;
    assert!(node.stop().await.success());
    let mut rest = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = manager.socket.try_recv(&mut buffer) {
        rest.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    assert!(rest.iter().any(|said| said.contains("STOPPING=1")));
    assert!(
        rest.iter().all(|said| !said.contains("WATCHDOG")),
        "{rest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_may_come_as_a_credential_and_from_nowhere_else_then() {
    let coalition = Coalition::found(|_| {});
    let directory = coalition.path("pl");
    let elsewhere = tempfile::tempdir().unwrap();
    let credential = elsewhere.path().join("master.key");
    std::fs::rename(directory.join("keys/master.key"), &credential).unwrap();
    let without = process::run(&directory, &["--json", "run"]).await;
    assert_eq!(without.code, Some(1));
    assert!(without.err.contains("master.key"), "{without:?}");
    let mut command = process::wayhome(&directory);
    command.env("CREDENTIALS_DIRECTORY", elsewhere.path());
    let node = NodeProcess::start_as(&directory, command).await;
    assert!(node.stop().await.success());
    assert!(!directory.join("keys/master.key").exists());
}

/// Senders at once.
const SENDERS: usize = 6;

/// How often the node is stopped under load.
const STOPS: usize = 4;

/// Calls that were answered before each stop: the load is real.
const FLOOR: usize = 30;

/// Whether the call failed on the way and not at the node: the connection closed before its turn to be
/// sent came, or as it was sent. The asking side of a node makes such a call anew, as it does one that
/// is told UNAVAILABLE.
fn came_too_late(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_costs_no_call() {
    let coalition = Coalition::found(for_load);
    let directory = coalition.path("pl");
    let came = Mutex::new(BTreeSet::new());
    for _ in 0..scaled(STOPS) {
        let node = NodeProcess::start(&directory).await;
        let (answered, enough, over) = (AtomicUsize::new(0), Notify::new(), AtomicBool::new(false));
        let wrong = Mutex::new(Vec::new());
        let senders = join_all((0..SENDERS).map(|_| async {
            let channel = coalition.channel("ua", "pl").await;
            loop {
                let query = lookup(&coalition, "ua", "pl", 1);
                let message_id = query.message_id();
                match pb::LookupQuery::send(channel.clone(), query.sign()).await {
                    Ok(_) => {
                        came.lock().unwrap().insert(message_id);
                        if answered.fetch_add(1, Ordering::Relaxed) + 1 == FLOOR {
                            enough.notify_one();
                        }
                    }
                    // The node did not take it up, which its log shows below: it can be sent again.
                    Err(status)
                        if (status.code() == Code::Unavailable || came_too_late(&status))
                            && over.load(Ordering::Relaxed) =>
                    {
                        return;
                    }
                    Err(status) => {
                        wrong.lock().unwrap().push(status);
                        return;
                    }
                }
            }
        }));
        let stopper = async {
            enough.notified().await;
            over.store(true, Ordering::Relaxed);
            node.stop().await
        };
        let (_, ended) = tokio::join!(senders, stopper);
        assert!(ended.success());
        let wrong = wrong.into_inner().unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        // Each answer that came is in the log, and no answer is there that did not come.
        let leaves = coalition.leaves("pl", 0).await;
        let mut seen = BTreeSet::new();
        for leaf in &leaves {
            if leaf.act == i32::from(pb::Act::LookupAnswered) {
                assert!(seen.insert(leaf.message_id.clone()), "answered twice");
            }
        }
        assert_eq!(seen, *came.lock().unwrap());
    }
    let answers = coalition
        .leaves("pl", 0)
        .await
        .iter()
        .filter(|leaf| leaf.act == i32::from(pb::Act::LookupAnswered))
        .count();
    assert!(answers >= STOPS * FLOOR, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_does_not_hold_up_a_stop() {
    let coalition = Coalition::found(|_| {});
    let node = NodeProcess::start(&coalition.path("pl")).await;
    let channel = coalition.channel("ua", "pl").await;
    let mut watch = DisclosureServiceClient::new(channel)
        .watch_requests(pb::WatchRequestsRequest { since_ms: 0 })
        .await
        .unwrap()
        .into_inner();
    // Far below the drain's limit of 20 seconds, after which it would be cut.
    let stop = tokio::time::timeout(Duration::from_secs(10), node.stop());
    let (told, ended) = tokio::join!(watch.next(), stop);
    assert!(ended.expect("the stream held it up").success());
    // The stream came to its end; it was not torn.
    assert!(told.is_none(), "{:?}", told.map(|told| told.err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_answer_says_why() {
    let mut coalition = Coalition::found(|_| {});
    let directory = coalition.path("pl");
    let roster = std::fs::read(directory.join("roster.note")).unwrap();
    std::fs::remove_file(directory.join("roster.note")).unwrap();
    coalition.start_node("pl").await;
    let probe = || process::run(&directory, &["--json", "status", "--ready"]);
    let said = probe().await;
    assert_eq!(said.code, Some(1));
    let object = said.object();
    assert_eq!(object["ready"], false);
    assert_eq!(object["not_ready"][0]["code"], "NO_ROSTER", "{object}");
    // Without the question it is a report, not a verdict.
    let report = process::run(&directory, &["--json", "status"]).await;
    assert_eq!(report.code, Some(0));
    assert_eq!(report.object()["ready"], false);
    std::fs::write(directory.join("roster.note"), roster).unwrap();
    crate::deploy::await_ready(&directory).await;
}
