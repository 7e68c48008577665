//! `wayhome witness run` as the process that an office runs: the codes of the protocol, what it
//! remembers, and that no kill makes it cosign two histories.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use ring::digest::{SHA256, digest};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tonic::codegen::http::Method;
use tonic::transport::Channel;
use wayhome::envelope::merkle::root_of;
use wayhome::envelope::{KeyName, NoteKey, NoteSigner, SigningKey};
use wayhome::exchange::log_files::{Fetched, LogFileError, send};
use wayhome::node::{Config, Directory};
use wayhome::tlog::proof::{assemble_consistency, consistency_nodes};
use wayhome::tlog::witness::parse_cosignatures;
use wayhome::tlog::{
    AddCheckpoint, Checkpoint, LogPolicy, SignedCheckpoint, TreeHead, VerifiedCheckpoint,
};

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::process::{PATIENCE, terminate, wayhome};

/// Whose log is witnessed. No node of it runs: the tests sign with its key.
const OWNER: &str = "pl";

/// Leaves that both histories have.
const SHARED: u64 = 4;

/// A coalition whose ombudsman is a witness.
struct Office(Coalition);

impl Office {
    fn found() -> Self {
        let mut coalition = Coalition::found(|_| {});
        let config = Config::load(&Directory::new(coalition.path(OMBUDSMAN))).unwrap();
        let key = coalition.identity(OMBUDSMAN).public().unwrap().witness_vkey;
        coalition.change_roster(|roster| {
            for member in &mut roster.members {
                if member.id.as_str() == OMBUDSMAN {
                    member.addresses = vec![config.listen.to_string().parse().unwrap()];
                    member.witness_vkey = Some(key.clone());
                }
            }
        });
        Self(coalition)
    }

    fn path(&self) -> PathBuf {
        self.0.path(OMBUDSMAN)
    }

    async fn channel(&self) -> Channel {
        self.0.channel("ua", OMBUDSMAN).await
    }

    fn log(&self) -> NoteSigner {
        self.0.identity(OWNER).log.clone()
    }

    /// Counts a checkpoint only with this witness's cosignature.
    fn policy(&self) -> LogPolicy {
        let vkey = self.0.member(OMBUDSMAN).witness_vkey.as_deref().unwrap();
        let witness: NoteKey = vkey.parse().unwrap();
        LogPolicy::with_witnesses(vec![self.log().note_key()], vec![witness], 1).unwrap()
    }

    async fn held(&self) -> Option<SignedCheckpoint> {
        let origin = self.log().note_key().name().to_string();
        let name = hex::encode(digest(&SHA256, origin.as_bytes()));
        let path = format!("/witness/checkpoint/{name}");
        let held = send(
            &self.channel().await,
            Method::GET,
            &path,
            Vec::new(),
            1 << 20,
        )
        .await
        .unwrap();
        match held.status {
            200 => Some(SignedCheckpoint::parse(&held.body).unwrap()),
            404 => None,
            status => panic!("{status}"),
        }
    }
}

/// The witness in a process of its own; dropped, it is killed.
struct Witness {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Witness {
    async fn start(directory: &Path) -> Self {
        let log = std::fs::File::create(directory.join("witness.log")).unwrap();
        let mut child = wayhome(directory)
            .args(["--json", "witness", "run"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut witness = Self { child, lines };
        let ready = witness.says().await;
        assert_eq!(ready["ready"], true, "{ready}");
        witness
    }

    async fn says(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the witness says nothing")
            .unwrap()
            .expect("the witness ended");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    async fn stop(mut self) -> ExitStatus {
        terminate(&self.child, "TERM").await;
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("the witness did not stop")
            .unwrap()
    }
}

/// A history of the log, with all that proves its growth.
struct History {
    signer: NoteSigner,
    leaves: Vec<[u8; 32]>,
}

impl History {
    /// One of two that part after the shared leaves.
    fn new(signer: NoteSigner, which: u8) -> Self {
        let leaves = (0..2_000_u64)
            .map(|index| {
                let mut leaf = [if index < SHARED { 0 } else { which }; 32];
                leaf[..8].copy_from_slice(&index.to_be_bytes());
                leaf
            })
            .collect();
        Self { signer, leaves }
    }

    fn root(&self, size: u64) -> [u8; 32] {
        root_of(self.leaves[..usize::try_from(size).unwrap()].to_vec())
    }

    fn checkpoint(&self, size: u64) -> SignedCheckpoint {
        Checkpoint::new(self.signer.note_key().name().clone(), size, self.root(size))
            .unwrap()
            .sign(&self.signer)
            .unwrap()
    }

    fn request(&self, old_size: u64, size: u64) -> AddCheckpoint {
        let proof = if old_size == 0 || old_size >= size {
            Vec::new()
        } else {
            let hashes: Vec<[u8; 32]> = consistency_nodes(old_size, size)
                .unwrap()
                .iter()
                .map(|node| {
                    let leaves = node.leaves();
                    root_of(self.leaves[leaves.start as usize..leaves.end as usize].to_vec())
                })
                .collect();
            assemble_consistency(old_size, size, &hashes).unwrap()
        };
        AddCheckpoint {
            old_size,
            proof,
            checkpoint: self.checkpoint(size),
        }
    }
}

async fn add(channel: &Channel, body: &str) -> Result<Fetched, LogFileError> {
    let path = "/witness/add-checkpoint";
    let body = body.as_bytes().to_vec();
    send(channel, Method::POST, path, body, 1 << 20).await
}

/// The checkpoint with the line that a witness gave, if a reader who demands it accepts it.
fn cosigned(policy: &LogPolicy, request: &AddCheckpoint, fetched: &Fetched) -> TreeHead {
    let mut checkpoint = request.checkpoint.clone();
    for line in parse_cosignatures(&fetched.body).unwrap() {
        checkpoint.add_cosignature(line).unwrap();
    }
    policy.accept(&checkpoint).unwrap().checkpoint.head()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_of_its_own_keeps_the_codes_of_the_protocol_and_proves_a_fork() {
    let mut office = Office::found();
    let mut witness = Witness::start(&office.path()).await;
    let channel = office.channel().await;
    let policy = office.policy();
    let (log, other) = (
        History::new(office.log(), 0xaa),
        History::new(office.log(), 0xbb),
    );
    let status = async |body: &str| add(&channel, body).await.unwrap().status;
    assert!(office.held().await.is_none());

    let first = log.request(0, SHARED);
    let line = add(&channel, &first.to_string()).await.unwrap();
    assert_eq!(line.status, 200);
    assert_eq!(cosigned(&policy, &first, &line).size, SHARED);
    let grown = log.request(SHARED, SHARED + 3);
    let line = add(&channel, &grown.to_string()).await.unwrap();
    assert_eq!(cosigned(&policy, &grown, &line).size, SHARED + 3);
    // What it remembers is the log's own checkpoint, which anybody may fetch.
    assert_eq!(office.held().await.unwrap(), log.checkpoint(SHARED + 3));

    // 409 with the size that it remembers, whether the request begins before or after it.
    for old in [0, 1, SHARED] {
        let conflict = add(&channel, &log.request(old, SHARED + 5).to_string())
            .await
            .unwrap();
        assert_eq!(conflict.status, 409, "from {old}");
        assert_eq!(conflict.content_type, "text/x.tlog.size");
        assert_eq!(conflict.body, format!("{}\n", SHARED + 3).into_bytes());
    }
    // 422: a larger tree whose proof does not hold, of this history or of another.
    let mut unproved = log.request(SHARED + 3, SHARED + 5);
    unproved.proof.clear();
    assert_eq!(status(&unproved.to_string()).await, 422);
    let beside = other.request(SHARED + 3, SHARED + 5);
    assert_eq!(status(&beside.to_string()).await, 422);
    // 400: sizes the wrong way round, and what is no request at all.
    assert_eq!(
        status(&log.request(SHARED + 9, SHARED + 5).to_string()).await,
        400
    );
    for nonsense in ["", "old\n", "old -1\n\nx", "old 1\n!!\n\nx", "old 01\n\nx"] {
        assert_eq!(status(nonsense).await, 400, "{nonsense:?}");
    }
    assert_eq!(status(&"x".repeat(100_000)).await, 413);
    // 403: the log's name with another key. 404: a log that no party of the roster has.
    let forged = |name: &str| {
        let name = KeyName::new(name).unwrap();
        History::new(NoteSigner::new(name, SigningKey::from_seed(&[3; 32])), 0xcc)
            .request(0, 2)
            .to_string()
    };
    let name = office.log().note_key().name().to_string();
    assert_eq!(status(&forged(&name)).await, 403);
    assert_eq!(status(&forged("stranger.test/log")).await, 404);
    // It serves nothing but its desk, and that by its methods.
    for (method, path, expected) in [
        (Method::GET, "/witness/add-checkpoint", 405),
        (Method::GET, "/witness/checkpoint/00", 404),
        (Method::GET, "/witness/else", 404),
    ] {
        let fetched = send(&channel, method, path, Vec::new(), 1 << 20)
            .await
            .unwrap();
        assert_eq!(fetched.status, expected, "{path}");
    }
    // None of this changed what it remembers.
    assert_eq!(office.held().await.unwrap(), log.checkpoint(SHARED + 3));

    // A second history of the same length: refused, and both checkpoints are on the screen.
    let fork = other.request(SHARED + 3, SHARED + 3);
    let refused = add(&channel, &fork.to_string()).await.unwrap();
    assert_eq!(refused.status, 409);
    assert_ne!(refused.content_type, "text/x.tlog.size");
    let alert = witness.says().await;
    assert_eq!(
        (&alert["alert"], &alert["member"]),
        (&"SPLIT_VIEW".into(), &OWNER.into())
    );
    let [one, two] = proof_of(&alert, &office.log().note_key());
    assert!(one.contradicts(&two));
    assert_eq!(office.held().await.unwrap(), log.checkpoint(SHARED + 3));
    // And it goes on with the first.
    let next = log.request(SHARED + 3, SHARED + 4);
    assert_eq!(status(&next.to_string()).await, 200);

    // A roster that gives a party another log is taken while it runs.
    let german = History::new(office.0.identity("de").log.clone(), 0xdd);
    assert_eq!(status(&german.request(0, 1).to_string()).await, 200);
    let name = KeyName::new("de.wayhome.internal/log/2").unwrap();
    let second = NoteSigner::new(name, SigningKey::from_seed(&[4; 32]));
    office.0.change_roster(|roster| {
        let mut members = roster.members.iter_mut();
        let log = members.find(|member| member.id.as_str() == "de").unwrap();
        let log = log.log.as_mut().unwrap();
        log.origin = second.note_key().name().to_string();
        log.vkey = second.note_key().to_string();
    });
    let taken = async { while status(&german.request(1, 2).to_string()).await != 404 {} };
    tokio::time::timeout(PATIENCE, taken).await.unwrap();
    let begun = History::new(second, 0xee).request(0, 1);
    assert_eq!(status(&begun.to_string()).await, 200);
    assert!(witness.stop().await.success());
}

fn proof_of(alert: &Value, key: &NoteKey) -> [VerifiedCheckpoint; 2] {
    [0, 1].map(|at| {
        let text = alert["proof"][at].as_str().unwrap();
        SignedCheckpoint::parse(text.as_bytes())
            .unwrap()
            .verify(std::slice::from_ref(key))
            .unwrap()
    })
}

/// Offers a history until the witness is gone, following the size that it says it remembers. Every
/// cosignature that came back is kept outside of the witness.
async fn offer(
    channel: Channel,
    history: Arc<History>,
    policy: LogPolicy,
    given: Arc<Mutex<Vec<TreeHead>>>,
    came: tokio::sync::mpsc::UnboundedSender<()>,
) {
    let mut old = 0;
    loop {
        let request = history.request(old, old.max(SHARED) + 1);
        let Ok(fetched) = add(&channel, &request.to_string()).await else {
            return;
        };
        match fetched.status {
            200 => {
                let head = cosigned(&policy, &request, &fetched);
                old = head.size;
                given.lock().unwrap().push(head);
                let _ = came.send(());
            }
            409 if fetched.content_type == "text/x.tlog.size" => {
                let size = String::from_utf8(fetched.body).unwrap();
                old = size.trim().parse().unwrap();
            }
            // This history is not the one that the witness follows. It tries again all the same.
            409 | 422 => {}
            status => panic!("{status}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_killed_at_any_moment_cosigns_one_history() {
    const KILLS: usize = 12;
    let office = Office::found();
    let histories = [0xaa, 0xbb].map(|which| Arc::new(History::new(office.log(), which)));
    let given: Arc<Mutex<Vec<TreeHead>>> = Arc::default();
    for kill in 0..KILLS {
        let witness = Witness::start(&office.path()).await;
        let (sender, mut came) = tokio::sync::mpsc::unbounded_channel();
        let mut offers = Vec::new();
        // Each history over connections of its own, several at once.
        for number in 0..4 {
            offers.push(tokio::spawn(offer(
                office.channel().await,
                Arc::clone(&histories[number % 2]),
                office.policy(),
                Arc::clone(&given),
                sender.clone(),
            )));
        }
        drop(sender);
        // It is killed as soon as so many cosignatures have come, with other requests under way.
        for _ in 0..=kill {
            came.recv().await.expect("no cosignature came");
        }
        witness.kill().await;
        for offer in offers {
            offer.await.unwrap();
        }
    }

    let given = given.lock().unwrap().clone();
    let last = given.iter().max_by_key(|head| head.size).unwrap();
    assert!(given.len() > KILLS && last.size > SHARED);
    // Every cosignature that anybody was given is of one history.
    let one: Vec<&Arc<History>> = histories
        .iter()
        .filter(|history| {
            given
                .iter()
                .all(|head| history.root(head.size) == head.root)
        })
        .collect();
    assert_eq!(
        one.len(),
        1,
        "two histories were cosigned, or none: {given:?}"
    );
    // What was cosigned had been remembered before: the witness knows at least that.
    let witness = Witness::start(&office.path()).await;
    let held = office.held().await.unwrap().unverified().head();
    assert!(held.size >= last.size);
    assert_eq!(one[0].root(held.size), held.root);
    // After all these deaths it still tells one history from the other.
    let other = histories
        .iter()
        .find(|history| !Arc::ptr_eq(history, one[0]))
        .unwrap();
    let fork = other.request(held.size, held.size);
    let refused = add(&office.channel().await, &fork.to_string())
        .await
        .unwrap();
    assert_eq!(refused.status, 409);
    assert_eq!(office.held().await.unwrap().unverified().head(), held);
    assert!(witness.stop().await.success());
}
