//! A database server that goes away: nothing acknowledged is lost, what cannot be made durable is
//! refused, and the store goes on by itself once the server is back.

use std::sync::Arc;

use wayhome::ambient::Ambient;
use wayhome::demo::PostgresServer;
use wayhome::envelope::merkle::Hash;
use wayhome::store::{
    Act, Committed, Ledger, LedgerParts, LogSigner, Store, StoreError, Unwatched,
};
use wayhome::vault::{DataKey, KeyRing};

struct Plain;

impl LogSigner for Plain {
    fn sign_checkpoint(&self, size: u64, root: &Hash) -> String {
        format!("{size} {}", hex::encode(root))
    }
}

pub async fn try_open(address: &str, ring: &KeyRing) -> Result<Store, StoreError> {
    let ring = KeyRing::from_text(&ring.to_text()).unwrap();
    let token_key = DataKey::from_bytes(&[9; 32]);
    Store::open(address, ring, token_key, Ambient::system()).await
}

pub async fn open(address: &str, ring: &KeyRing) -> Store {
    try_open(address, ring).await.unwrap()
}

/// A ledger of a process that may not be the only one on its database.
pub fn ledger(store: &Store) -> Ledger {
    Ledger::start(LedgerParts {
        store: store.clone(),
        signer: Arc::new(Plain),
        keeper: Arc::new(Unwatched),
    })
}

/// Commits one act and says at which leaf it stands.
pub async fn commit(ledger: &Ledger, number: u32) -> Result<u64, StoreError> {
    let leaf = number.to_be_bytes().to_vec();
    match ledger.commit(Act::alone(leaf)).await? {
        Committed::Done { position, .. } => Ok(position.leaf_index),
        _ => panic!("the act was refused"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_acknowledged_and_is_used_again_when_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let server = PostgresServer::start(&home.path().join("pg")).unwrap();
    let address = server.create_database("away").unwrap();
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let store = open(&address, &ring).await;
    let ledger = ledger(&store);
    let mut acknowledged = Vec::new();
    for round in 0..3_u32 {
        // Acts are under way while the server dies.
        let busy = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                let mut done = Vec::new();
                for number in round * 100_000.. {
                    match commit(&ledger, number).await {
                        Ok(leaf_index) => done.push((leaf_index, number)),
                        Err(error) => return (done, error),
                    }
                }
                unreachable!("the server was killed")
            }
        });
        while store
            .checkpoint()
            .await
            .unwrap()
            .map_or(0, |(size, _)| size)
            < acknowledged.len() as u64 + 20
        {
            tokio::task::yield_now().await;
        }
        server.kill().unwrap();
        let (done, error) = busy.await.unwrap();
        assert!(matches!(error, StoreError::Away { .. }), "{error}");
        acknowledged.extend(done);
        assert!(commit(&ledger, u32::MAX).await.is_err());
        server.restart().unwrap();
        let again = commit(&ledger, u32::MAX - round - 1).await.unwrap();
        acknowledged.push((again, u32::MAX - round - 1));
    }
    for (leaf_index, number) in &acknowledged {
        let leaf = store.leaves(*leaf_index, 1).await.unwrap();
        assert_eq!(leaf, [number.to_be_bytes().to_vec()]);
    }
    // One more leaf a round at most: the act that was durable when its acknowledgement was lost.
    let (size, _) = store.checkpoint().await.unwrap().unwrap();
    let extra = size - acknowledged.len() as u64;
    assert!(extra <= 6, "{extra}");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_append_to_one_log_in_turn() {
    let address = crate::postgres::server()
        .create_database("two_logs")
        .unwrap();
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let (one, other) = (open(&address, &ring).await, open(&address, &ring).await);
    let (first, second) = (ledger(&one), ledger(&other));
    let some = |ledger: Ledger, from: u32| async move {
        let mut places = Vec::new();
        for number in from..from + 50 {
            places.push((commit(&ledger, number).await.unwrap(), number));
        }
        places
    };
    let (own, others) = tokio::join!(
        tokio::spawn(some(first.clone(), 0)),
        tokio::spawn(some(second, 1_000)),
    );
    let mut places = own.unwrap();
    places.extend(others.unwrap());
    // One leaves in the middle of it; the other has nothing to wait for.
    places.push((commit(&first, 5_000).await.unwrap(), 5_000));
    places.sort_unstable();
    let indices: Vec<u64> = places.iter().map(|(leaf_index, _)| *leaf_index).collect();
    assert_eq!(indices, (0..101).collect::<Vec<u64>>());
    let stored = one.leaves(0, 200).await.unwrap();
    let promised: Vec<Vec<u8>> = places
        .iter()
        .map(|(_, number)| number.to_be_bytes().to_vec())
        .collect();
    assert_eq!(stored, promised);
}
