//! Every attack on the roster, one folder of files each, against a running node (through its
//! directory and by a hostile peer over TLS) and against the commands.
//!
//! The folders are the same that the rules themselves are tested with; their README says how a
//! story reads. Whatever is refused is refused with the story's own reason code, is recorded, and
//! leaves the node trusting what it trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt as _, stream};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use wayhome::ambient::{Ambient, ManualClock, SystemRandomness};
use wayhome::node::{self, Config, Directory, Identity, Routes, tls};
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::roster_service_server::{RosterService, RosterServiceServer};
use wayhome::proto::operator as op;
use wayhome::proto::operator::membership_service_client::MembershipServiceClient;
use wayhome::roster::{Bytes32, Timestamp};
use wayhome::store::Store;

use crate::process;

/// How many stories are played at a time.
const AT_ONCE: usize = 6;

/// A line of a story.
#[derive(Clone)]
struct Step {
    at: u64,
    act: String,
    file: String,
    /// `UPDATED`, `UNCHANGED`, or the reason code.
    told: String,
}

impl Step {
    fn is_refused(&self) -> bool {
        !["", "UPDATED", "UNCHANGED"].contains(&self.told.as_str())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/roster")
}

/// All stories by the names of their folders.
fn stories() -> BTreeMap<String, Vec<Step>> {
    let mut stories = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        let text = fs::read_to_string(entry.path().join("steps.txt")).unwrap();
        let steps = text.lines().filter(|line| !line.starts_with('#')).map(step);
        stories.insert(entry.file_name().into_string().unwrap(), steps.collect());
    }
    assert!(stories.len() >= 26, "{} stories", stories.len());
    stories
}

fn step(line: &str) -> Step {
    let (step, told) = line.split_once(" -> ").unwrap_or((line, ""));
    let words: Vec<&str> = step.split(' ').collect();
    Step {
        at: words[0].parse::<Timestamp>().unwrap().unix(),
        act: words[1].to_owned(),
        file: words.get(2).copied().unwrap_or_default().to_owned(),
        told: told.to_owned(),
    }
}

/// A party of the invented coalition that offers whatever it is told to, over TLS under the key that
/// the roster pins.
#[derive(Clone, Default)]
struct HostilePeer(Arc<Mutex<pb::GetRosterResponse>>);

impl HostilePeer {
    fn offers(&self, act: &str, bytes: &[u8]) {
        let mut offer = pb::GetRosterResponse::default();
        if act == "root" {
            offer.roots.push(bytes.to_vec());
        } else {
            offer.roster = bytes.to_vec();
        }
        *self.0.lock().unwrap() = offer;
    }

    fn has_nothing(&self) {
        *self.0.lock().unwrap() = pb::GetRosterResponse::default();
    }

    /// Listens as `id`; gives the address.
    async fn listen(&self, home: &TempDir, id: &str, ambient: &Ambient) -> std::net::SocketAddr {
        let directory = Directory::new(home.path().join(id));
        Identity::create(&directory, &id.parse().unwrap(), ambient).unwrap();
        write_tls_key(&directory, id);
        let identity = Identity::load(&directory).unwrap();
        let config = tls::server_config(&identity, Arc::new(|_| true), Default::default()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));

        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = plain.local_addr().unwrap();
        let server = Server::builder().add_service(RosterServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(plain)));

        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = front.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = front.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut tls = acceptor.accept(stream).await?;
                    let mut server = TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut tls, &mut server).await
                });
            }
        });
        address
    }
}

#[tonic::async_trait]
impl RosterService for HostilePeer {
    async fn get_roster(
        &self,
        _request: Request<pb::GetRosterRequest>,
    ) -> Result<Response<pb::GetRosterResponse>, Status> {
        Ok(Response::new(self.0.lock().unwrap().clone()))
    }
}

/// Gives a directory the TLS key that the invented coalition's rosters pin for the party.
fn write_tls_key(directory: &Directory, id: &str) {
    // RFC 8410: an Ed25519 private key in PKCS #8.
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(Bytes32::sha256(format!("TLS key 1 of {id}").as_bytes()).as_bytes());
    let key = rcgen::KeyPair::try_from(&PrivatePkcs8KeyDer::from(der)).unwrap();
    let params = rcgen::CertificateParams::new(vec![format!("{id}.wayhome.internal")]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(directory.key("tls.key"), key.serialize_pem()).unwrap();
    fs::write(directory.key("tls.crt"), certificate.pem()).unwrap();
}

/// The node of `pl`, attacked.
struct Victim {
    home: TempDir,
    clock: ManualClock,
    ambient: Ambient,
    peer: HostilePeer,
    running: Option<Running>,
}

/// How a node is stopped, and its end.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), node::NodeError>>);

impl Victim {
    async fn new(at: u64, root: &[u8]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = ManualClock::at_ms(at * 1000);
        let ambient = Ambient::new(clock.clone(), SystemRandomness);
        let directory = Directory::new(home.path().join("pl"));
        Identity::create(&directory, &"pl".parse().unwrap(), &ambient).unwrap();
        let peer = HostilePeer::default();
        let address = peer.listen(&home, "ua", &ambient).await;
        let route = |address: &str| vec![address.parse().unwrap()];
        let config = Config {
            // Nobody listens at the discard port; the roster's own addresses lead nowhere.
            routes: Routes::from([
                ("ua".parse().unwrap(), route(&address.to_string())),
                ("de".parse().unwrap(), route("127.0.0.1:9")),
            ]),
            ..Config::new("pl".parse().unwrap(), "127.0.0.1:0".parse().unwrap())
        };
        directory.write("node.toml", &config.to_text()).unwrap();
        fs::write(directory.file("root.note"), root).unwrap();
        let mut victim = Self {
            home,
            clock,
            ambient,
            peer,
            running: None,
        };
        victim.start().await;
        victim
    }

    fn directory(&self) -> Directory {
        Directory::new(self.home.path().join("pl"))
    }

    async fn start(&mut self) {
        // Another test may just be starting a process, which for a moment has the lock of a node that
        // was stopped open too.
        for _ in 0..100 {
            if self.try_start().await {
                return;
            }
        }
        panic!("the node did not start");
    }

    async fn try_start(&mut self) -> bool {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let ended = tokio::spawn(node::run(
            self.directory(),
            self.ambient.clone(),
            async move {
                let _ = stopped.await;
            },
            move |_| {
                let _ = ready.send(());
            },
        ));
        if is_ready.await.is_err() {
            let failed = ended.await.unwrap().unwrap_err().to_string();
            assert!(failed.contains("lock"), "{failed}");
            return false;
        }
        self.running = Some((stop, ended));
        true
    }

    async fn stop(&mut self) {
        let (stop, ended) = self.running.take().unwrap();
        let _ = stop.send(());
        ended.await.unwrap().unwrap();
    }

    async fn operator(&self) -> MembershipServiceClient<tonic::transport::Channel> {
        let socket = self.directory().socket();
        MembershipServiceClient::new(node::operator_client(&socket).await.unwrap())
    }

    /// All that the node trusts.
    async fn trusted(&self) -> (u64, u64, Vec<u8>) {
        let found = self
            .operator()
            .await
            .get_membership(op::GetMembershipRequest {})
            .await
            .unwrap()
            .into_inner();
        (
            found.root_version,
            found.roster_version,
            found.roster_digest,
        )
    }

    /// Offers a file by the hostile peer; gives what the node made of it. `None` if the node knows
    /// of no peer, having trusted no roster yet.
    async fn by_peer(&self, act: &str, bytes: &[u8]) -> Option<String> {
        self.peer.offers(act, bytes);
        let offers = self
            .operator()
            .await
            .ask_peers(op::AskPeersRequest {})
            .await
            .unwrap()
            .into_inner()
            .offers;
        if offers.is_empty() {
            return None;
        }
        let from_peer = offers.into_iter().find(|offer| offer.source == "ua");
        Some(from_peer.expect("the peer was asked").code)
    }

    /// Puts a file into the node's directory; gives what the node made of it.
    async fn by_file(&self, act: &str, number: usize, bytes: &[u8]) -> String {
        let name = self.file(act, number);
        fs::create_dir_all(self.directory().file("roots")).unwrap();
        fs::write(self.directory().file(&name), bytes).unwrap();
        let offers = self
            .operator()
            .await
            .take_files(op::TakeFilesRequest {})
            .await
            .unwrap()
            .into_inner()
            .offers;
        let of_file = offers.into_iter().find(|offer| offer.source == name);
        of_file.expect("the file was looked at").code
    }

    fn file(&self, act: &str, number: usize) -> String {
        if act == "root" {
            format!("roots/{number}.note")
        } else {
            "roster.note".to_owned()
        }
    }

    /// What the log says was refused: from whom, and why.
    async fn refusals(&self) -> BTreeSet<(String, String)> {
        use prost::Message as _;
        let directory = self.directory();
        let (ring, token) = Identity::store_keys(&directory).unwrap();
        let address = Config::load(&directory).unwrap().database_in(&directory);
        let store = Store::open(&address, ring, token, self.ambient.clone())
            .await
            .unwrap();
        let leaves = store.leaves(0, 10_000).await.unwrap();
        store.close().await;
        leaves
            .iter()
            .map(|leaf| pb::LogEntry::decode(leaf.as_slice()).unwrap())
            .filter(|leaf| leaf.act() == pb::Act::RosterRefused)
            .map(|leaf| (leaf.peer, leaf.reference))
            .collect()
    }
}

/// Plays one story against a running node. Gives how many offers by the peer were refused; by file
/// all were.
async fn play_at_node(name: &str, steps: &[Step]) -> usize {
    let read = |step: &Step| fs::read(folder().join(name).join(&step.file)).unwrap();
    let mut victim = Victim::new(steps[0].at, &read(&steps[0])).await;
    let mut refused = 0;
    let mut recorded = BTreeSet::new();
    for (number, step) in steps.iter().enumerate().skip(1) {
        let what = format!("{name}: {} {}", step.act, step.file);
        victim.clock.set_ms(step.at * 1000);
        if step.act == "restart" {
            // A node that starts asks its peers. What was refused at this very time is offered once
            // more; what was refused at another time may be good by now, which is no attack.
            if steps[number - 1].at != step.at {
                victim.peer.has_nothing();
            }
            let before = victim.trusted().await;
            victim.stop().await;
            victim.start().await;
            assert_eq!(victim.trusted().await, before, "{what}");
            continue;
        }
        let bytes = read(step);
        let before = victim.trusted().await;
        if step.told == "UPDATED" {
            // The two ways take turns.
            let by_peer = match number % 2 {
                0 => victim.by_peer(&step.act, &bytes).await,
                _ => None,
            };
            let told = match by_peer {
                Some(told) => told,
                None => victim.by_file(&step.act, number, &bytes).await,
            };
            // The node looks into its directory by itself too, and may have been faster.
            assert!(told == "UPDATED" || told == "UNCHANGED", "{what}: {told}");
            assert_ne!(victim.trusted().await, before, "{what}");
            continue;
        }
        if let Some(by_peer) = victim.by_peer(&step.act, &bytes).await {
            assert_eq!(by_peer, step.told, "{what}, by a peer");
            assert_eq!(victim.trusted().await, before, "{what}, by a peer");
            if step.is_refused() {
                refused += 1;
                recorded.insert(("ua".to_owned(), step.told.clone()));
            }
        }
        let kept = victim.directory().file(&victim.file(&step.act, number));
        let earlier = fs::read(&kept).ok();
        let by_file = victim.by_file(&step.act, number, &bytes).await;
        assert_eq!(by_file, step.told, "{what}, by file");
        assert_eq!(victim.trusted().await, before, "{what}, by file");
        match earlier {
            Some(earlier) => fs::write(&kept, earlier).unwrap(),
            None => fs::remove_file(&kept).unwrap(),
        }
        if step.is_refused() {
            recorded.insert((String::new(), step.told.clone()));
        }
    }
    let found = victim.refusals().await;
    assert!(found.is_superset(&recorded), "{name}: {found:?}");
    victim.stop().await;
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_refuses_every_attack_for_its_own_reason() {
    let stories = stories();
    let refused: usize = stream::iter(&stories)
        .map(|(name, steps)| play_at_node(name, steps))
        .buffer_unordered(AT_ONCE)
        .fold(0, |sum, refused| async move { sum + refused })
        .await;
    let attacks = stories.values().flatten().filter(|step| step.is_refused());
    // By file every one; by a peer all but what is offered before there is any.
    let attacks = attacks.count();
    assert!(
        attacks > 40 && refused >= attacks - 1,
        "{refused} of {attacks}"
    );
}

/// What of a directory a refused file must not change.
fn published(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let roots = fs::read_dir(directory.join("roots"))
        .into_iter()
        .flatten()
        .map(|entry| {
            format!(
                "roots/{}",
                entry.unwrap().file_name().into_string().unwrap()
            )
        });
    roots
        .chain(["roster.note".to_owned(), "root.note".to_owned()])
        .filter_map(|name| Some((name.clone(), fs::read(directory.join(name)).ok()?)))
        .collect()
}

/// Plays one story against `wayhome roster publish` and `publish-root`.
async fn play_at_commands(name: &str, steps: &[Step]) {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    let path = |step: &Step| folder().join(name).join(&step.file);
    fs::copy(path(&steps[0]), directory.join("root.note")).unwrap();
    for step in &steps[1..] {
        // Each command is a start of its own.
        if step.act == "restart" {
            continue;
        }
        let command = match step.act.as_str() {
            "root" => "publish-root",
            _ => "publish",
        };
        let before = published(directory);
        let said = process::finish(
            process::wayhome(directory)
                .env("WAYHOME_TEST_CLOCK", step.at.to_string())
                .args(["--json", "roster", command])
                .arg(path(step)),
        )
        .await;
        let what = format!("{name}: {command} {}", step.file);
        if step.is_refused() {
            assert_eq!(said.code, Some(1), "{what}: {said:?}");
            assert_eq!(said.object()["error"]["code"], step.told, "{what}");
            assert_eq!(published(directory), before, "{what}");
        } else {
            assert_eq!(said.code, Some(0), "{what}: {said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_refuse_every_attack_for_its_own_reason() {
    let stories = stories();
    stream::iter(&stories)
        .for_each_concurrent(AT_ONCE, |(name, steps)| play_at_commands(name, steps))
        .await;
}
