//! Parts of the lookup index and of the evidence lie on PostgreSQL servers of their own.

use std::path::Path;
use std::process::Command;

use sqlx::{Connection as _, Executor as _, PgConnection};
use wayhome::demo::PostgresServer;
use wayhome::proto::exchange::Act;
use wayhome::store::EvidencePart;

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::process::run;

const WHOLE: [&str; 3] = ["lookup_index", "evidence", "evidence_items"];

/// Parts of each table.
const PARTS: u32 = 8;

/// Runs one of the scripts that operators run.
fn script(name: &str, address: &str, variables: &[(&str, &str)]) -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/postgres")
        .join(name);
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--quiet", "--file"]).arg(file);
    for (variable, value) in variables {
        command.args(["--set", &format!("{variable}={value}")]);
    }
    let output = command.arg(address).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn count(address: &str, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(address).await.unwrap();
    let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
    connection.close().await.unwrap();
    count.unwrap()
}

/// Ukraine looks its child up; what Poland said of it, or why it said nothing.
async fn said_by_poland(coalition: &Coalition) -> Result<String, String> {
    let answers = search(coalition, "ua", "UA-1").await;
    let poland = answers.iter().find(|answer| answer.member == "pl").unwrap();
    match poland.results.first() {
        Some(result) => Ok(result.grade.clone()),
        None => Err(format!("{} {}", poland.error_code, poland.error_message)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_index_and_evidence_lie_on_servers_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    let [own, first, second] = ["own", "first", "second"]
        .map(|name| PostgresServer::start(&home.path().join(name)).unwrap());
    let node = own.create_database("node").unwrap();
    let elsewhere = [("first", &first), ("second", &second)]
        .map(|(name, server)| (name, server.create_database("parts").unwrap()));

    let mut coalition = Coalition::found(|_| {});
    coalition.configure("pl", |config| config.database = node.parse().unwrap());
    for id in ["ua", "pl", "de"] {
        coalition.start_node(id).await;
    }
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    assert_eq!(said_by_poland(&coalition).await.unwrap(), "MATCH");
    let rows = count(&node, "SELECT count(*) FROM lookup_index").await;
    assert!(rows > 0);

    // Every part of the index, and half of the evidence, is moved while the node runs.
    let mut connection = PgConnection::connect(&node).await.unwrap();
    connection
        .execute("CREATE EXTENSION postgres_fdw")
        .await
        .unwrap();
    for (name, _) in &elsewhere {
        let place = home.path().join(name).display().to_string();
        let server = format!(
            "CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw
                 OPTIONS (host '{place}', dbname 'parts');
             CREATE USER MAPPING FOR wayhome SERVER {name} OPTIONS (user 'wayhome')"
        );
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(server)))
            .await
            .unwrap();
    }
    for whole in WHOLE {
        for number in 0..PARTS {
            if whole != "lookup_index" && number % 2 == 1 {
                continue;
            }
            let (server, address) = &elsewhere[usize::from(number >= PARTS / 2)];
            let part = format!("{whole}_{number}");
            script("receive-part.sql", address, &[("part", &part)]).unwrap();
            let moved = [("part", part.as_str()), ("server", server)];
            script("move-part.sql", &node, &moved).unwrap();
        }
    }
    let away = "SELECT count(*) FROM pg_class WHERE relkind = 'f' AND relispartition";
    assert_eq!(count(&node, away).await, i64::from(PARTS * 2));
    let all = "SELECT count(*) FROM lookup_index";
    assert_eq!(count(&node, all).await, rows);
    // What is not there, or was moved before, is refused and changes nothing.
    for part in ["evidence_9", "evidence_0", "records"] {
        let refused = script(
            "move-part.sql",
            &node,
            &[("part", part), ("server", "first")],
        );
        assert!(refused.unwrap_err().contains("no such part"), "{part}");
    }

    // The node found and finds the child, keeps its evidence, and its log holds.
    for _ in 0..2 * PARTS {
        assert_eq!(said_by_poland(&coalition).await.unwrap(), "MATCH");
    }
    let store = coalition.store("pl").await;
    let leaves = coalition.leaves("pl", 0).await;
    let mut answered = 0;
    for (index, leaf) in (0..).zip(&leaves) {
        if leaf.act() == Act::LookupAnswered {
            let kept = store.evidence(index, EvidencePart::Answer).await.unwrap();
            assert!(kept.is_some(), "leaf {index}");
            answered += 1;
        }
    }
    assert_eq!(answered, 2 * PARTS + 1);
    for ((name, address), kept) in elsewhere.iter().zip([
        "SELECT (SELECT count(*) FROM evidence_0) + (SELECT count(*) FROM evidence_2)",
        "SELECT (SELECT count(*) FROM evidence_4) + (SELECT count(*) FROM evidence_6)",
    ]) {
        assert!(count(address, kept).await > 0, "{name}");
    }

    // A server of parts that is away holds answers back, by name; once it is there they come.
    first.kill().unwrap();
    let refused = said_by_poland(&coalition).await.unwrap_err();
    assert!(refused.contains("UNAVAILABLE"), "{refused}");
    first.restart().unwrap();
    assert_eq!(said_by_poland(&coalition).await.unwrap(), "MATCH");

    // A server of parts commits by itself, a moment before the node's: what a crash between the two
    // leaves there is in nobody's way, and nobody's evidence.
    let size = coalition.log_size("pl").await;
    for (index, part) in [(size, 0), (size, 1), (size + 1, 0), (size + 2, 1)] {
        sqlx::query(
            "INSERT INTO evidence (leaf_index, part, data_key, sealed) VALUES ($1, $2, '', '')",
        )
        .bind(i64::try_from(index).unwrap())
        .bind(part)
        .execute(&mut connection)
        .await
        .unwrap();
    }
    assert_eq!(said_by_poland(&coalition).await.unwrap(), "MATCH");
    let nothing = "SELECT count(*) FROM evidence WHERE sealed = ''";
    assert_eq!(count(&node, nothing).await, 0);

    let said = run(
        &coalition.path(OMBUDSMAN),
        &["--json", "audit", "verify", "pl"],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    connection.close().await.unwrap();
    store.close().await;
}
