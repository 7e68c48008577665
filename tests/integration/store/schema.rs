//! Both databases have the same tables, and neither is opened by a program that does not know its
//! schema.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};
use wayhome::ambient::Ambient;
use wayhome::store::{Store, StoreError};
use wayhome::vault::{DataKey, KeyRing};

async fn open(address: &str, ring: &KeyRing) -> Result<Store, StoreError> {
    let ring = KeyRing::from_text(&ring.to_text()).unwrap();
    let token_key = DataKey::from_bytes(&[9; 32]);
    Store::open(address, ring, token_key, Ambient::system()).await
}

#[tokio::test]
async fn both_databases_have_the_same_columns() {
    let home = tempfile::tempdir().unwrap();
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let sqlite = format!("sqlite:{}", home.path().join("columns.db").display());
    let postgres = crate::postgres::server()
        .create_database("columns")
        .unwrap();
    for address in [&sqlite, &postgres] {
        open(address, &ring).await.unwrap().close().await;
    }

    let mut connection = SqliteConnection::connect(&sqlite).await.unwrap();
    let in_sqlite: BTreeSet<(String, String, bool)> = sqlx::query(
        "SELECT m.name, c.name, c.\"notnull\" <> 0 OR c.pk > 0
         FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
    .iter()
    .map(|row| (row.get(0), row.get(1), row.get(2)))
    .collect();

    let mut connection = PgConnection::connect(&postgres).await.unwrap();
    let in_postgres: BTreeSet<(String, String, bool)> = sqlx::query(
        "SELECT table_name::text, column_name::text, is_nullable = 'NO'
         FROM information_schema.columns JOIN pg_class c ON c.relname = table_name::text
         WHERE table_schema = 'public' AND NOT c.relispartition",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
    .iter()
    .map(|row| (row.get(0), row.get(1), row.get(2)))
    .collect();

    assert!(in_sqlite.len() > 40, "{}", in_sqlite.len());
    assert_eq!(in_sqlite, in_postgres);
}

#[tokio::test]
async fn a_schema_from_the_future_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let sqlite = format!("sqlite:{}", home.path().join("future.db").display());
    let postgres = crate::postgres::server().create_database("future").unwrap();
    for address in [&sqlite, &postgres] {
        open(address, &ring).await.unwrap().close().await;
    }
    let newer = "INSERT INTO schema_version (version) VALUES (999)";
    let mut connection = SqliteConnection::connect(&sqlite).await.unwrap();
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut connection = PgConnection::connect(&postgres).await.unwrap();
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    for address in [&sqlite, &postgres] {
        let error = open(address, &ring).await.err().unwrap();
        assert!(
            matches!(error, StoreError::UnknownSchema { found: 999, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("run the newer program"));
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named_with_a_remedy_and_without_its_password() {
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let server = crate::postgres::server();
    let missing = server.address("no_such_database");
    let cases = [
        (missing.as_str(), "createdb"),
        (
            "postgres://user:secret-word@127.0.0.1:1/wayhome",
            "check that PostgreSQL runs",
        ),
        (
            "postgres://user:secret-word@[::1/x",
            "write it as postgres://",
        ),
        (
            "mysql://user:secret-word@host/x",
            "use sqlite:PATH or postgres://",
        ),
        (
            "sqlite:/no/such/directory/x.db",
            "check that the directory exists",
        ),
    ];
    for (address, remedy) in cases {
        let error = open(address, &ring).await.err().unwrap().to_string();
        assert!(error.contains(remedy), "{address}: {error}");
        assert!(!error.contains("secret-word"), "{error}");
    }
}

#[tokio::test]
async fn two_processes_may_migrate_the_same_database_at_once() {
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let address = crate::postgres::server().create_database("twins").unwrap();
    let (one, other) = tokio::join!(open(&address, &ring), open(&address, &ring));
    one.unwrap().close().await;
    other.unwrap().close().await;
}
