//! A database server that refuses, or cannot do what it is asked: what it says, and that the store
//! goes on by itself once it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinHandle;
use wayhome::ambient::Ambient;
use wayhome::demo::PostgresServer;
use wayhome::store::StoreError;
use wayhome::vault::KeyRing;

use super::away::{commit, ledger, open, try_open};

async fn run(address: &str, statements: &[&'static str]) {
    let mut connection = PgConnection::connect(address).await.unwrap();
    for statement in statements {
        connection.execute(*statement).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_told_with_its_remedy_and_never_repeated() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("pg");
    let server = PostgresServer::start(&place).unwrap();
    let address = server.create_database("locked").unwrap();
    run(&address, &["ALTER ROLE wayhome PASSWORD 'right-word'"]).await;
    std::fs::write(
        place.join("data/pg_hba.conf"),
        "local all all scram-sha-256\n",
    )
    .unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let with = |word: &str| address.replace("wayhome@", &format!("wayhome:{word}@"));
    let error = try_open(&with("wrong-word"), &ring).await.err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Open { .. }), "{text}");
    assert!(text.contains("check the user and its password"), "{text}");
    assert!(!text.contains("wrong-word"), "{text}");
    open(&with("right-word"), &ring).await.close().await;
}

/// Writes until the server holds a writer back for want of a standby, and gives that writer, which
/// ends when the server waits no more.
async fn somebody_waits_for_a_standby(address: &str) -> JoinHandle<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (address, stop) = (address.to_owned(), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                run(&address, &["CREATE TABLE held ()", "DROP TABLE held"]).await;
            }
        }
    });
    let mut connection = PgConnection::connect(address).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while sqlx::query_scalar::<_, i64>(waiting)
        .fetch_one(&mut connection)
        .await
        .unwrap()
        == 0
    {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Relaxed);
    writer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_does_not_confirm_holds_answers_back_and_is_named() {
    let home = tempfile::tempdir().unwrap();
    let server = PostgresServer::start(&home.path().join("pg")).unwrap();
    let address = server.create_database("waiting").unwrap();
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let store = open(&address, &ring).await;
    let ledger = ledger(&store);
    assert_eq!(commit(&ledger, 0).await.unwrap(), 0);
    // From now on the server waits for a standby that there is not.
    let wait = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    run(&address, &[wait, "SELECT pg_reload_conf()"]).await;
    let held = somebody_waits_for_a_standby(&address).await;
    let error = commit(&ledger, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    assert!(
        error.to_string().contains("synchronous_standby_names"),
        "{error}"
    );
    // It is given up; the server finishes what it was at, and the store goes on without a restart.
    let go_on = "ALTER SYSTEM RESET synchronous_standby_names";
    run(&address, &[go_on, "SELECT pg_reload_conf()"]).await;
    // The server has heard of it: it lets go of who waited.
    held.await.unwrap();
    let place = commit(&ledger, 2).await.unwrap();
    assert_eq!(place, 2, "what was not confirmed was durable after all");
    let leaves = store.leaves(0, 10).await.unwrap();
    let expected = [0_u32, 1, 2].map(|number| number.to_be_bytes().to_vec());
    assert_eq!(leaves, expected);
}
