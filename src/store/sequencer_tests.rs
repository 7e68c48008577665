use std::collections::BTreeMap;
use std::sync::Mutex;

use super::super::faults::Fault;
use super::super::{
    Debit, Effect, Evidence, KeeperFuture, Ledger, LedgerParts, Seen, TagKind, Unwatched,
};
use super::*;
use crate::ambient::{Ambient, ManualClock, SystemRandomness};
use crate::envelope::{KeyName, NoteSigner, SigningKey};
use crate::tlog::{Checkpoint, Frontier, Hash, SignedCheckpoint};
use crate::vault::{DataKey, KeyRing};

const ORIGIN: &str = "store.test/log";

struct Signer(NoteSigner);

impl LogSigner for Signer {
    fn sign_checkpoint(&self, size: u64, root: &Hash) -> String {
        Checkpoint::new(KeyName::new(ORIGIN).unwrap(), size, *root)
            .and_then(|checkpoint| checkpoint.sign(&self.0))
            .unwrap()
            .to_string()
    }
}

/// Remembers what was signed, and says no when it is told to.
#[derive(Default)]
struct Memory {
    signed: Mutex<Vec<SignedHead>>,
    asked: Mutex<u32>,
    refuses: Mutex<Option<TermRefused>>,
}

impl TermKeeper for Memory {
    fn may_begin<'a>(&'a self, _: &'a Store, _: Option<&'a SignedHead>) -> KeeperFuture<'a> {
        *self.asked.lock().unwrap() += 1;
        let refuses = self.refuses.lock().unwrap().clone();
        Box::pin(std::future::ready(refuses.map_or(Ok(()), Err)))
    }

    fn begun(&self, _: u64, _: Option<&SignedHead>) {}

    fn signed(&self, newest: &SignedHead) {
        self.signed.lock().unwrap().push(newest.clone());
    }

    fn first_leaf(&self) -> Option<Vec<u8>> {
        Some(b"first".to_vec())
    }

    fn set_back(&self, stated_ms: u64) -> Option<Vec<u8>> {
        Some(format!("set back from {stated_ms}").into_bytes())
    }
}

struct Scene {
    home: tempfile::TempDir,
    ring: String,
    ambient: Ambient,
    signer: NoteSigner,
}

impl Scene {
    fn new() -> Self {
        let clock = ManualClock::at_ms(1_790_000_000_000);
        let ambient = Ambient::new(clock, SystemRandomness);
        Self {
            home: tempfile::tempdir().unwrap(),
            ring: KeyRing::generate(&mut ambient.rng()).to_text().to_string(),
            signer: NoteSigner::new(
                KeyName::new(ORIGIN).unwrap(),
                SigningKey::generate(&mut ambient.rng()),
            ),
            ambient,
        }
    }

    async fn store(&self) -> Store {
        Store::open(
            &format!("sqlite:{}", self.home.path().join("test.db").display()),
            KeyRing::from_text(&self.ring).unwrap(),
            DataKey::from_bytes(&[9; 32]),
            self.ambient.clone(),
        )
        .await
        .unwrap()
    }

    fn ledger(&self, store: &Store, keeper: Arc<dyn TermKeeper>) -> Ledger {
        Ledger::start(LedgerParts {
            store: store.clone(),
            signer: Arc::new(Signer(self.signer.clone())),
            keeper,
        })
    }
}

/// An act as a query leaves it: remembered, counted against a quota, with evidence and an answer.
fn act(store: &Store, number: u64) -> Act {
    let name = number.to_be_bytes();
    Act {
        leaf: format!("leaf {number}").into_bytes(),
        seen: Some(Seen {
            tag: store.tag(TagKind::Seen, &[&name]),
            query_digest: [number as u8; 32],
            expires_ms: u64::MAX >> 1,
        }),
        debits: vec![Debit {
            quota: "all",
            expires_ms: None,
            otherwise: None,
            tag: store.tag(TagKind::Quota, &[b"all"]),
            amount: 1,
            limit: 1_000,
        }],
        effects: vec![Effect::Keep(
            EvidencePart::Query,
            Evidence::plain(name.to_vec()),
        )],
        answer: Some(Box::new(|position| {
            Evidence::plain(position.checkpoint.as_bytes().to_vec())
        })),
    }
}

/// What was promised outside: by act, the leaf's index, its hash, and the checkpoint.
type Promised = BTreeMap<u64, Position>;

/// Offers acts until each is acknowledged, as a peer does that sends the same message again, and
/// keeps what was promised.
async fn acknowledge(ledger: &Ledger, store: &Store, numbers: &[u64], promised: &mut Promised) {
    for _ in 0..4 {
        let offered = numbers.iter().map(|&number| async move {
            let outcome = ledger.commit(act(store, number)).await;
            (number, outcome)
        });
        for (number, outcome) in futures_util::future::join_all(offered).await {
            match outcome {
                Ok(Committed::Done { position, answer }) => {
                    assert!(answer.is_some());
                    // Done once: whoever was told so before was told the same place.
                    let earlier = promised.insert(number, position.clone());
                    assert!(
                        earlier.is_none_or(|earlier| earlier.leaf_index == position.leaf_index)
                    );
                }
                Ok(Committed::Repeated { leaf_index }) => {
                    let answer = store.evidence(leaf_index, EvidencePart::Answer).await;
                    let answer = answer.unwrap().unwrap().envelope;
                    let position = Position {
                        leaf_index,
                        leaf_hash: leaf_hash(format!("leaf {number}").as_bytes()),
                        checkpoint: std::str::from_utf8(&answer).unwrap().into(),
                        drawn: Arc::default(),
                    };
                    promised.entry(number).or_insert(position);
                }
                Ok(_) => panic!("the act was refused"),
                Err(_) => {}
            }
        }
        if numbers.iter().all(|number| promised.contains_key(number)) {
            return;
        }
    }
    panic!("never acknowledged");
}

/// The full check: what is stored is what was signed, every promise stands in it, every act stands
/// there once, and every checkpoint that ever left is that of a prefix.
async fn check(scene: &Scene, store: &Store, promised: &Promised, left: &[SignedHead]) {
    let leaves = store.leaves(0, 1_000).await.unwrap();
    let mut tree = Frontier::new();
    let mut roots = vec![tree.root()];
    for leaf in &leaves {
        let _ = tree.append(leaf_hash(leaf));
        roots.push(tree.root());
    }
    let newest = store.newest_signed().await.unwrap().unwrap();
    assert_eq!(newest.head.size, leaves.len() as u64);
    let key = scene.signer.note_key();
    let head = |checkpoint: &str| {
        let signed = SignedCheckpoint::parse(checkpoint.as_bytes()).unwrap();
        signed.verify(std::slice::from_ref(&key)).unwrap().head()
    };
    let checkpoints = promised
        .values()
        .map(|position| &position.checkpoint)
        .chain(left.iter().map(|left| &left.checkpoint))
        .chain([&newest.checkpoint]);
    for checkpoint in checkpoints {
        let head = head(checkpoint);
        assert_eq!(head.root, roots[head.size as usize], "a fork was signed");
    }
    for (number, position) in promised {
        let leaf = format!("leaf {number}").into_bytes();
        assert_eq!(leaves[position.leaf_index as usize], leaf);
        assert_eq!(position.leaf_hash, leaf_hash(&leaf));
        let covered = head(&position.checkpoint).size;
        assert!(position.leaf_index < covered);
    }
    let mut once = leaves.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), leaves.len(), "an act was done twice");
    assert_eq!(leaves[0], b"first");
}

#[tokio::test]
async fn every_write_may_fail_persisted_or_not_and_nothing_is_lost_or_forked() {
    let mut number_of_writes = 0;
    let mut at = 0;
    let mut cases = 0;
    while at <= number_of_writes {
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            let scene = Scene::new();
            let store = scene.store().await;
            let memory = Arc::new(Memory::default());
            let mut promised = Promised::new();
            // The fault may fall into the beginning of the term, the first leaf, a group, or what
            // follows it.
            store.db.faults.plan(Some((at, fault)));
            let ledger = scene.ledger(&store, memory.clone());
            acknowledge(&ledger, &store, &[1, 2, 3], &mut promised).await;
            acknowledge(&ledger, &store, &[4], &mut promised).await;
            let writes = store.db.faults.seen();
            if at == 0 {
                number_of_writes = writes.len();
                assert!(writes.contains(&"begin-term") && writes.contains(&"commit-acts"));
            }
            // Asked again, each is known.
            acknowledge(&ledger, &store, &[1, 2, 3, 4], &mut promised).await;
            let left = memory.signed.lock().unwrap().clone();
            check(&scene, &store, &promised, &left).await;

            // The process dies, and another goes on.
            drop(ledger);
            store.close().await;
            let store = scene.store().await;
            let ledger = scene.ledger(&store, memory.clone());
            acknowledge(&ledger, &store, &[1, 2, 3, 4, 5], &mut promised).await;
            let left = memory.signed.lock().unwrap().clone();
            check(&scene, &store, &promised, &left).await;
            store.close().await;
            cases += 1;
        }
        at += 1;
    }
    assert!(cases > 50, "only {cases} faults were tried");
}

#[tokio::test]
async fn a_database_that_goes_back_under_a_running_node_stops_it() {
    let scene = Scene::new();
    let store = scene.store().await;
    let ledger = scene.ledger(&store, Arc::new(Unwatched));
    let mut promised = Promised::new();
    acknowledge(&ledger, &store, &[1], &mut promised).await;
    let old = store.newest_signed().await.unwrap().unwrap();
    let state = |store: Store| async move {
        let mut tx = store.db.begin("test").await.unwrap();
        let rows = "SELECT size, frontier, checkpoint FROM log_state";
        let row = tx.read_one(rows, vec![]).await.unwrap().unwrap();
        (row.uint(0), row.blob(1), row.text(2))
    };
    let (size, frontier, checkpoint) = state(store.clone()).await;
    acknowledge(&ledger, &store, &[2, 3], &mut promised).await;
    // As after a restore of the database alone.
    let mut tx = store.db.begin("test").await.unwrap();
    tx.run(
        "UPDATE log_state SET size = $1, frontier = $2, checkpoint = $3",
        super::super::db::values![size.unwrap(), frontier.unwrap(), checkpoint.unwrap()],
    )
    .await
    .unwrap();
    for statement in [
        "DELETE FROM log_leaves WHERE leaf_index >= $1",
        "DELETE FROM log_nodes WHERE level = 0 AND idx >= $1",
        "DELETE FROM log_nodes WHERE level > 0 AND idx >= 0 AND $1 > 0",
        "DELETE FROM seen WHERE leaf_index >= $1",
    ] {
        tx.run(statement, super::super::db::values![old.head.size])
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    for _ in 0..2 {
        let refused = ledger.commit(act(&store, 4)).await;
        assert!(
            matches!(
                refused,
                Err(StoreError::NotSigned(
                    TermRefused::Elsewhere | TermRefused::Behind { .. }
                ))
            ),
            "{:?}",
            refused.err()
        );
    }
    assert!(matches!(
        ledger.begin().await,
        Err(StoreError::NotSigned(TermRefused::Behind {
            known: 3,
            held: 1,
            ..
        }))
    ));
    assert!(matches!(ledger.standing(), Some(Err(why)) if why.is_loss()));
    let newest = store.newest_signed().await.unwrap().unwrap();
    assert_eq!(newest, old, "nothing was signed on top of the old state");
}

/// What stands in the database in the place of the newest checkpoint is never replaced unless it is
/// the one that was signed: neither by the process that signed it, nor by one that begins.
#[tokio::test]
async fn an_altered_checkpoint_is_never_replaced() {
    let scene = Scene::new();
    let store = scene.store().await;
    let ledger = scene.ledger(&store, Arc::new(Unwatched));
    let mut promised = Promised::new();
    acknowledge(&ledger, &store, &[1, 2], &mut promised).await;
    let sound = store.newest_signed().await.unwrap().unwrap().checkpoint;
    let put = async |text: &str| {
        let mut tx = store.db.begin("test").await.unwrap();
        let to = super::super::db::values![text];
        tx.run("UPDATE log_state SET checkpoint = $1", to)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    for at in [2, sound.len() / 2, sound.len() - 3] {
        let mut altered = sound.as_bytes().to_vec();
        altered[at] ^= 1;
        let altered = String::from_utf8(altered).unwrap();
        put(&altered).await;
        let began = scene.ledger(&store, Arc::new(Memory::default()));
        for refused in [
            began.begin().await.err(),
            began.commit(act(&store, 3)).await.err(),
            ledger.commit(act(&store, 3)).await.err(),
        ] {
            let named = matches!(
                &refused,
                Some(StoreError::Damaged { what, .. }) if what == "log checkpoint"
            );
            assert!(named, "octet {at}: {refused:?}");
        }
        let held = store.newest_signed().await.unwrap().unwrap();
        assert_eq!(*held.checkpoint, *altered, "octet {at}");
    }
    // Once it is put right both go on.
    put(&sound).await;
    acknowledge(&ledger, &store, &[3], &mut promised).await;
    let began = scene.ledger(&store, Arc::new(Memory::default()));
    acknowledge(&began, &store, &[4], &mut promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sequencers_take_turns_on_one_log_and_none_forks_it() {
    let scene = Scene::new();
    let (one_store, two_store) = (scene.store().await, scene.store().await);
    let (one_memory, two_memory) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    let one = scene.ledger(&one_store, one_memory.clone());
    let two = scene.ledger(&two_store, two_memory.clone());
    let (mut by_one, mut by_two) = (Promised::new(), Promised::new());
    // Both begin on the empty log at once, and go on side by side; what both are offered is done
    // once, and both promise the same place.
    for round in 0..10 {
        let shared = 10_000 + round;
        let own: Vec<u64> = (0..5).map(|number| round * 10 + number).collect();
        let others: Vec<u64> = own.iter().map(|number| 1_000 + number).collect();
        let (own, others) = (
            [&own[..], &[shared]].concat(),
            [&others[..], &[shared]].concat(),
        );
        tokio::join!(
            acknowledge(&one, &one_store, &own, &mut by_one),
            acknowledge(&two, &two_store, &others, &mut by_two),
        );
        assert_eq!(by_one[&shared].leaf_index, by_two[&shared].leaf_index);
    }
    // One sleeps while the other goes on far, and finds its way when it wakes.
    for number in 2_000..2_300 {
        acknowledge(&two, &two_store, &[number], &mut by_two).await;
    }
    acknowledge(&one, &one_store, &[3_000], &mut by_one).await;
    let mut left = one_memory.signed.lock().unwrap().clone();
    left.extend(two_memory.signed.lock().unwrap().clone());
    let mut promised = by_one;
    promised.append(&mut by_two);
    check(&scene, &one_store, &promised, &left).await;
    // Each began one term, by asking its keeper, and signed in it.
    for memory in [&one_memory, &two_memory] {
        assert_eq!(*memory.asked.lock().unwrap(), 1);
        assert!(!memory.signed.lock().unwrap().is_empty());
    }
    let terms: std::collections::BTreeSet<u64> = left.iter().map(|left| left.term).collect();
    assert_eq!(terms.len(), 2);
}

#[tokio::test]
async fn nothing_is_signed_until_the_keeper_agrees() {
    let scene = Scene::new();
    let store = scene.store().await;
    let memory = Arc::new(Memory::default());
    let no_quorum = TermRefused::NoQuorum {
        why: "the guard file is missing".to_owned(),
        answered: 0,
        needed: 2,
        listed: 3,
    };
    *memory.refuses.lock().unwrap() = Some(no_quorum.clone());
    let ledger = scene.ledger(&store, memory.clone());
    for _ in 0..2 {
        match ledger.commit(act(&store, 1)).await {
            Err(StoreError::NotSigned(why)) => assert_eq!(why, no_quorum),
            _ => panic!("it was signed"),
        }
    }
    assert_eq!(store.newest_signed().await.unwrap(), None);
    *memory.refuses.lock().unwrap() = None;
    let mut promised = Promised::new();
    acknowledge(&ledger, &store, &[1], &mut promised).await;
    assert_eq!(promised[&1].leaf_index, 1);
    // What a witness shows later ends it for good.
    ledger
        .revoke(TermRefused::Behind {
            held: 2,
            known: 9,
            by: "a witness".to_owned(),
        })
        .await;
    let after = ledger.commit(act(&store, 2)).await;
    assert!(matches!(
        after,
        Err(StoreError::NotSigned(TermRefused::Behind { .. }))
    ));
}
