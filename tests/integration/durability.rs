//! What was acknowledged is durable: a node is killed under load, again and again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use prost::Message as _;
use tokio::sync::Notify;
use wayhome::envelope::merkle::leaf_hash;
use wayhome::exchange::message::check_receipt;
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::{Act, LogEntry};
use wayhome::tlog::{Frontier, TreeHead};

use crate::coalition::{Coalition, for_load};
use crate::forge::{Sent, lookup};
use crate::process::{NodeProcess, scaled};

const KILLS: usize = 25;

/// Senders at once, so that acts share commits.
const SENDERS: usize = 8;

/// Answers that are awaited before each kill: now many, so that it falls into the middle of the
/// work, now one, so that it falls into its beginning.
const ANSWERS: [usize; 5] = [24, 1, 9, 16, 3];

/// An answer that came: what the node promised.
struct Promise {
    query: pb::SignedMessage,
    answer: Vec<u8>,
    message_id: Vec<u8>,
    leaf_index: u64,
    leaf_hash: Vec<u8>,
    items_root: Vec<u8>,
    head: TreeHead,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_act_outlives_twenty_five_kills() {
    let coalition = Coalition::found(for_load);
    let mut promises: Vec<Promise> = Vec::new();
    for kill in 0..scaled(KILLS) {
        let node = NodeProcess::start(&coalition.path("pl")).await;
        let answers = ANSWERS[kill % ANSWERS.len()];
        promises.extend(load_until_killed(&coalition, node, answers).await);
        // What was promised is kept here, outside the node; its log is read whole now and then.
        if kill % ANSWERS.len() == 0 {
            check_log(&coalition, &promises).await;
        }
    }
    check_log(&coalition, &promises).await;
    // The node that comes up after all this still knows each query it answered.
    let node = NodeProcess::start(&coalition.path("pl")).await;
    let before = coalition.log_size("pl").await;
    let channel = coalition.channel("ua", "pl").await;
    for promise in &promises {
        let again = pb::LookupQuery::send(channel.clone(), promise.query.clone())
            .await
            .unwrap();
        assert!(again.encode_to_vec() == promise.answer);
    }
    assert_eq!(coalition.log_size("pl").await, before);
    assert!(node.stop().await.success());
    check_log(&coalition, &promises).await;
}

/// Sends lookups from all sides, kills the node while many are on their way, and gathers what was
/// acknowledged.
async fn load_until_killed(
    coalition: &Coalition,
    node: NodeProcess,
    answers: usize,
) -> Vec<Promise> {
    let acknowledged = Mutex::new(Vec::new());
    let count = AtomicUsize::new(0);
    let enough = Notify::new();
    let senders = join_all((0..SENDERS).map(|_| async {
        let channel = coalition.channel("ua", "pl").await;
        loop {
            let query = lookup(coalition, "ua", "pl", 1);
            let message_id = query.message_id();
            let query = query.sign();
            // The first failure means that the node is gone.
            let Ok(answer) = pb::LookupQuery::send(channel.clone(), query.clone()).await else {
                return;
            };
            let promise = promise(coalition, query, message_id, &answer);
            acknowledged.lock().unwrap().push(promise);
            if count.fetch_add(1, Ordering::Relaxed) + 1 == answers {
                enough.notify_one();
            }
        }
    }));
    let killer = async {
        enough.notified().await;
        node.kill().await;
    };
    tokio::join!(senders, killer);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= answers);
    acknowledged
}

fn promise(
    coalition: &Coalition,
    query: pb::SignedMessage,
    message_id: Vec<u8>,
    answer: &pb::SignedMessage,
) -> Promise {
    let payload = &answer.envelope.as_ref().unwrap().payload;
    let answered = pb::LookupAnswer::decode(payload.as_slice()).unwrap();
    let receipt = answered.receipt.unwrap();
    let head = check_receipt(coalition.member("pl"), &receipt).unwrap();
    Promise {
        query,
        answer: answer.encode_to_vec(),
        message_id,
        leaf_index: receipt.leaf_index,
        leaf_hash: receipt.leaf_hash,
        items_root: answered.header.unwrap().items_root,
        head,
    }
}

/// Reads the whole log of a stopped node: each promise has its leaf, and each checkpoint ever given
/// out is that of a prefix, so nothing was forked or rewritten.
async fn check_log(coalition: &Coalition, promises: &[Promise]) {
    let store = coalition.store("pl").await;
    let leaves = store.leaves(0, 1_000_000).await.unwrap();
    let (size, _) = store.checkpoint().await.unwrap().unwrap();
    store.close().await;
    assert_eq!(size, leaves.len() as u64);
    let mut tree = Frontier::new();
    let mut roots = vec![tree.root()];
    for leaf in &leaves {
        let _ = tree.append(leaf_hash(leaf));
        roots.push(tree.root());
    }
    let mut answered = 0;
    for promise in promises {
        let leaf = LogEntry::decode(leaves[promise.leaf_index as usize].as_slice()).unwrap();
        assert!(leaf.act() == Act::LookupAnswered);
        let hash = leaf_hash(&leaves[promise.leaf_index as usize]);
        assert_eq!(promise.leaf_hash, hash);
        assert_eq!(leaf.message_id, promise.message_id);
        assert_eq!(leaf.answer_digest, promise.items_root);
        assert!(
            roots[promise.head.size as usize] == promise.head.root,
            "the log was forked"
        );
        answered += 1;
    }
    // What was not acknowledged may stand there too, but each query once.
    let mut ids: Vec<Vec<u8>> = leaves
        .iter()
        .map(|leaf| LogEntry::decode(leaf.as_slice()).unwrap())
        .filter(|leaf| leaf.act() == Act::LookupAnswered)
        .map(|leaf| leaf.message_id)
        .collect();
    let all = ids.len();
    assert!(all >= answered);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
}
