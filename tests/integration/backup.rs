//! Backups: made while the node runs, restored without forgetting, and never a second history unseen.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use wayhome::node::backup::{self, Sources};
use wayhome::node::{self, Config, Directory};
use wayhome::proto::operator::backup_service_client::BackupServiceClient;
use wayhome::proto::operator::disclosure_service_client::DisclosureServiceClient;
use wayhome::proto::operator::record_service_client::RecordServiceClient;
use wayhome::proto::operator::{
    AskAgainRequest, CreateBackupRequest, EraseRecordRequest, SearchResponse,
};
use wayhome::store::TagKind;

use crate::coalition::Coalition;
use crate::exchange::{ABROAD, AT_HOME, ask, search};
use crate::process::{self, NodeProcess, wayhome};

type Child = Vec<(&'static str, &'static str)>;

fn with(child: &[(&'static str, &'static str)], changes: &[(&'static str, &'static str)]) -> Child {
    let mut child: Child = child
        .iter()
        .copied()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name))
        .collect();
    child.extend_from_slice(changes);
    child
}

/// Children, at home and abroad, who differ in what decides.
fn children() -> [(Child, Child); 4] {
    [
        ("1", "2014-05-03", "Ковальчук", "Kowalczuk"),
        ("2", "2011-02-17", "Мельник", "Melnyk"),
        ("3", "2009-11-28", "Шевченко", "Szewczenko"),
        ("4", "2012-08-21", "Бондаренко", "Bondarenko"),
    ]
    .map(|(number, born, home, away)| {
        let (ua, pl) = match number {
            "1" => ("UA-1", "PL-1"),
            "2" => ("UA-2", "PL-2"),
            "3" => ("UA-3", "PL-3"),
            _ => ("UA-4", "PL-4"),
        };
        let of = |child, reference, family| {
            with(
                child,
                &[
                    ("record_ref", reference),
                    ("date_of_birth", born),
                    ("family_name", family),
                    ("mother_family_name", family),
                ],
            )
        };
        (of(AT_HOME, ua, home), of(ABROAD, pl, away))
    })
}

async fn at_pl(coalition: &Coalition, record_ref: &str) -> SearchResponse {
    search(coalition, "ua", record_ref)
        .await
        .into_iter()
        .find(|answer| answer.member == "pl")
        .unwrap()
}

async fn grade(coalition: &Coalition, record_ref: &str) -> String {
    at_pl(coalition, record_ref).await.results[0].grade.clone()
}

/// Makes a backup key and puts it into the configuration of a node that does not run.
pub fn prepare(coalition: &Coalition, id: &str) -> std::path::PathBuf {
    let secret = coalition.path(id).join("backup.key");
    let recipient = backup::keygen(&secret, &coalition.ambient).unwrap();
    coalition.configure(id, |config| config.backup.recipient = Some(recipient));
    secret
}

async fn used_by_ua(coalition: &Coalition) -> u64 {
    let store = coalition.store("pl").await;
    let day = coalition.ambient.now_ms() / 86_400_000;
    let tag = store.tag(
        TagKind::Quota,
        &[b"ua", b"subjects_per_day", &day.to_be_bytes()],
    );
    let used = store.quota_used(tag).await.unwrap();
    store.close().await;
    used
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_forgets_nothing_and_signs_nothing_until_it_is_decided() {
    let mut coalition = Coalition::found(|_| {});
    let secret = prepare(&coalition, "pl");
    for id in ["ua", "pl", "de"] {
        coalition.start_node(id).await;
    }
    let children = children();
    for (home, abroad) in &children {
        coalition.import_unpublished("ua", &[home]).await;
        coalition.import_unpublished("pl", &[abroad]).await;
    }
    coalition.publish("ua").await;
    coalition.publish("pl").await;
    for reference in ["UA-1", "UA-2", "UA-3", "UA-4"] {
        assert_eq!(grade(&coalition, reference).await, "MATCH");
    }
    let lead = at_pl(&coalition, "UA-4").await.results[0].leads[0].clone();
    let granted = ask(&coalition, &lead.lead, &["current_place"], "family_tracing").await;
    assert_eq!(granted.granted["current_place"], "Lublin");
    let place = tempfile::tempdir().unwrap();
    let (data, keys) = (place.path().join("data"), place.path().join("keys"));
    let mut operator = BackupServiceClient::new(coalition.operator("pl").await);
    let request = CreateBackupRequest {
        path: data.display().to_string(),
        keys_path: keys.display().to_string(),
    };
    let created = operator
        .create_backup(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(created.records, 4);
    // A backup is never overwritten.
    assert!(operator.create_backup(request).await.is_err());

    // What happens afterwards is in no backup.
    RecordServiceClient::new(coalition.operator("pl").await)
        .erase_record(EraseRecordRequest {
            record_ref: "PL-1".to_owned(),
        })
        .await
        .unwrap();
    let withdrawn = with(&children[1].1, &[("consent", "none")]);
    let silent = with(&children[3].1, &[("protection", "silent")]);
    coalition
        .import_unpublished("pl", &[&withdrawn, &silent])
        .await;
    for (reference, expected) in [
        ("UA-1", "NO_MATCH"),
        ("UA-2", "NO_MATCH"),
        ("UA-3", "MATCH"),
        ("UA-4", "NO_MATCH"),
    ] {
        assert_eq!(grade(&coalition, reference).await, expected);
    }
    coalition.stop_node("pl").await;
    let (size, used) = (coalition.log_size("pl").await, used_by_ua(&coalition).await);

    let directory = Directory::new(coalition.path("pl"));
    let ambient = coalition.ambient.clone();
    let sources = Sources {
        data: &data,
        keys: Some(&keys),
        secret: &secret,
        journals: &[],
        replace: false,
    };
    let taken = backup::restore(
        &directory,
        Sources {
            replace: false,
            ..sources
        },
        &ambient,
    )
    .await
    .err()
    .unwrap();
    assert_eq!(taken.code(), "FILE_EXISTS");
    let restored = backup::restore(
        &directory,
        Sources {
            replace: true,
            ..sources
        },
        &ambient,
    )
    .await
    .unwrap();
    assert!(restored.journal && restored.replayed.is_older());
    assert_eq!(restored.replayed.known_size, size);
    assert_eq!(
        (restored.replayed.erased, restored.replayed.withdrawn),
        (1, 2)
    );
    assert!(restored.set_aside.unwrap().exists());
    assert_eq!(used_by_ua(&coalition).await, used);

    // The journal alone, without guard or witnesses, knows that leaves are lost.
    coalition.let_lie_but_for_the_journal("pl");
    // Done once is done: neither a second look nor a start does it again.
    coalition.start_node("pl").await;
    assert_eq!(at_pl(&coalition, "UA-3").await.error_code, "LOG_NOT_SIGNED");
    coalition.stop_node("pl").await;
    assert_eq!(used_by_ua(&coalition).await, used);

    // The log cannot go on: a new one begins, and the coalition is told of its key.
    let origin = node::new_log_origin(&directory, &ambient, None)
        .await
        .unwrap();
    assert_eq!(origin.broken_size, size);
    coalition.state_log("pl", origin.origin, origin.vkey);
    for id in ["ua", "de"] {
        coalition.stop_node(id).await;
    }
    for id in ["pl", "ua", "de"] {
        coalition.start_node(id).await;
    }
    // The erased record is gone, the withdrawn one and the silent one are found by nobody, the third
    // is as it was.
    for (reference, expected) in [
        ("UA-1", "NO_MATCH"),
        ("UA-2", "NO_MATCH"),
        ("UA-3", "MATCH"),
        ("UA-4", "NO_MATCH"),
    ] {
        assert_eq!(grade(&coalition, reference).await, expected);
    }
    // Of the silent one nothing is told any more, although its words are those of the backup.
    let again = DisclosureServiceClient::new(coalition.operator("ua").await)
        .ask_again(AskAgainRequest {
            request: granted.request,
            ..AskAgainRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
        .answer
        .unwrap();
    assert_eq!((again.state.as_str(), again.granted.len()), ("refused", 0));
    // Imported again, with a ground, the withdrawn one is found again.
    coalition.import("pl", &[&children[1].1]).await;
    assert_eq!(grade(&coalition, "UA-2").await, "MATCH");
}

/// Writes a register of `count` records, and imports it into a running node.
async fn fill(home: &Path, count: usize) {
    let register = home.join("register.csv");
    let mut text = String::from("record_ref,family_name,given_name,date_of_birth,consent\n");
    for number in 0..count {
        text.push_str(&format!("K-{number},Коваль,Олег,2014-05-03,tracing\n"));
    }
    std::fs::write(&register, text).unwrap();
    let said = process::run(home, &["records", "import", &path(&register)]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// Where a node and its backup are.
struct Site {
    home: PathBuf,
    secret: PathBuf,
    data: PathBuf,
    keys: PathBuf,
}

impl Site {
    fn of(coalition: &Coalition, place: &Path) -> Self {
        Self {
            home: coalition.path("pl"),
            secret: prepare(coalition, "pl"),
            data: place.join("data"),
            keys: place.join("keys"),
        }
    }

    fn create(&self) -> Command {
        let mut command = wayhome(&self.home);
        command.args(["--json", "backup", "create", "--out"]);
        command.arg(&self.data).arg("--keys-out").arg(&self.keys);
        command
    }

    fn verify(&self, data: &Path, keys: Option<&Path>, secret: &Path) -> Command {
        let mut command = wayhome(&self.home);
        command.args(["--json", "backup", "verify"]).arg(data);
        command.arg("--backup-key").arg(secret);
        if let Some(keys) = keys {
            command.arg("--keys").arg(keys);
        }
        command
    }

    fn restore(&self) -> Command {
        let mut command = wayhome(&self.home);
        command
            .args(["--json", "backup", "restore"])
            .arg(&self.data);
        command.arg("--keys").arg(&self.keys);
        command
            .arg("--backup-key")
            .arg(&self.secret)
            .arg("--replace");
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_while_a_backup_is_made_or_restored_lose_nothing() {
    const RECORDS: usize = 40;
    let coalition = Coalition::found(|_| {});
    let place = tempfile::tempdir().unwrap();
    let site = Site::of(&coalition, place.path());
    let node = NodeProcess::start(&site.home).await;
    fill(&site.home, RECORDS).await;
    assert!(node.stop().await.success());

    // Killed at each step of making one: what is there is whole, and the next one can be made.
    for step in ["backup.copied", "backup.keys", "backup.data"] {
        let node = NodeProcess::start_to_die_at(&site.home, step).await;
        let said = process::finish(&mut site.create()).await;
        assert_eq!(said.code, Some(1), "{step}: {said:?}");
        assert!(node.was_killed().await, "{step}");
        assert_eq!(site.data.exists(), step == "backup.data", "{step}");
    }
    std::fs::remove_file(&site.data).unwrap();
    let node = NodeProcess::start(&site.home).await;
    let said = process::finish(&mut site.create()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!site.home.join("backup.partial").exists());
    let mut verify = site.verify(&site.data, Some(&site.keys), &site.secret);
    let said = process::finish(&mut verify).await.object();
    assert_eq!(said["records_readable"], RECORDS);

    // What is erased since, even if the node is killed before it can note it, stays erased.
    assert!(node.stop().await.success());
    let erase = ["records", "erase", "K-7", "--yes"];
    let node = NodeProcess::start_to_die_at(&site.home, "ledger.durable").await;
    assert_eq!(process::run(&site.home, &erase).await.code, Some(1));
    assert!(node.was_killed().await);
    let node = NodeProcess::start(&site.home).await;
    assert!(node.stop().await.success());

    // Killed at each step of the way back, and repeated.
    for step in [
        "restore.extracted",
        "restore.keys",
        "restore.replayed",
        "restore.aside",
        "restore.placed",
    ] {
        let mut command = site.restore();
        let said = process::finish(command.env("WAYHOME_TEST_KILL_AT", step)).await;
        assert_eq!(said.code, None, "{step}: {said:?}");
        let said = process::finish(&mut site.restore()).await;
        assert_eq!(said.code, Some(0), "{step}: {said:?}");
        let store = coalition.store("pl").await;
        let readable = store.count_readable().await.unwrap();
        assert_eq!(readable, (RECORDS as u64 - 1, 0), "{step}");
        assert!(store.record_by_ref("K-7").await.unwrap().is_none());
        store.close().await;
    }
    // Every database that was there is still there.
    let aside = std::fs::read_dir(&site.home)
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains(".before-restore-"))
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .count();
    assert!(aside >= 5, "{aside}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_damaged_or_for_another_key_is_refused_with_what_to_do() {
    let coalition = Coalition::found(|_| {});
    let place = tempfile::tempdir().unwrap();
    let site = Site::of(&coalition, place.path());
    let node = NodeProcess::start(&site.home).await;
    fill(&site.home, 3).await;
    let said = process::finish(&mut site.create()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(node.stop().await.success());
    let other = place.path().join("other.key");
    backup::keygen(&other, &coalition.ambient).unwrap();
    let whole = std::fs::read(&site.data).unwrap();
    let altered = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let flipped = altered("flipped", &flipped);
    let cut = altered("cut", &whole[..whole.len() - 1]);
    let none = altered("none", b"not a backup");
    let (data, keys, key) = (&site.data, Some(site.keys.as_path()), &site.secret);
    for (data, keys, key, code, remedy) in [
        (&flipped, keys, key, "BACKUP_DAMAGED", "use another copy"),
        (&cut, keys, key, "BACKUP_DAMAGED", "use another copy"),
        (&none, keys, key, "BACKUP_DAMAGED", "use another copy"),
        (
            data,
            keys,
            &other,
            "WRONG_BACKUP_KEY",
            "give the right file",
        ),
        (
            data,
            Some(data),
            key,
            "WRONG_BACKUP_KEY",
            "give the right file",
        ),
        (
            &site.keys,
            keys,
            key,
            "WRONG_BACKUP_KEY",
            "give the right file",
        ),
        (data, keys, data, "BACKUP_DAMAGED", "backup keygen"),
    ] {
        let said = process::finish(&mut site.verify(data, keys, key)).await;
        assert!(said.code.is_some_and(|code| code != 0), "{said:?}");
        let error = said.object()["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert!(
            error["message"].as_str().unwrap().contains(remedy),
            "{error}"
        );
    }
    // Nothing of it is put anywhere.
    std::fs::write(&site.data, std::fs::read(&flipped).unwrap()).unwrap();
    let before = std::fs::read(site.home.join("wayhome.db")).unwrap();
    let said = process::finish(&mut site.restore()).await;
    assert_ne!(said.code, Some(0));
    assert!(std::fs::read(site.home.join("wayhome.db")).unwrap() == before);
    // Without a backup key nothing is written, and it is said how to make one.
    let directory = Directory::new(&site.home);
    let mut config = Config::load(&directory).unwrap();
    config.backup.recipient = None;
    directory.write("node.toml", &config.to_text()).unwrap();
    let node = NodeProcess::start(&site.home).await;
    std::fs::remove_file(&site.data).unwrap();
    let said = process::finish(&mut site.create()).await;
    assert!(
        said.object()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("backup keygen")
    );
    assert!(!site.data.exists());
    assert!(node.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_a_server_is_backed_up_and_restored_on_either_kind_of_database() {
    let coalition = Coalition::found(|_| {});
    let place = tempfile::tempdir().unwrap();
    let site = Site::of(&coalition, place.path());
    let directory = Directory::new(&site.home);
    let put = |address: &str| {
        let mut config = Config::load(&directory).unwrap();
        config.database = address.parse().unwrap();
        directory.write("node.toml", &config.to_text()).unwrap();
    };
    let server = crate::postgres::server();
    let first = server.create_database("backup_first").unwrap();
    put(&first);
    let node = NodeProcess::start(&site.home).await;
    fill(&site.home, 30).await;
    let said = process::finish(&mut site.create()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let erase = ["records", "erase", "K-7", "--yes"];
    assert_eq!(process::run(&site.home, &erase).await.code, Some(0));
    assert!(node.stop().await.success());

    // What is there is never overwritten.
    let said = process::finish(&mut site.restore()).await.object();
    assert_eq!(said["error"]["code"], "DATABASE_NOT_EMPTY", "{said}");

    for address in [
        server.create_database("backup_second").unwrap().as_str(),
        "sqlite:restored.db",
    ] {
        put(address);
        let said = process::finish(&mut site.restore()).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let said = said.object();
        assert_eq!((&said["records"], &said["erased"]), (&30.into(), &1.into()));
        let store = coalition.store("pl").await;
        assert_eq!(store.count_readable().await.unwrap(), (29, 0));
        assert!(store.record_by_ref("K-7").await.unwrap().is_none());
        store.close().await;
        // The node answers, and knows that its log is behind.
        let node = NodeProcess::start(&site.home).await;
        let shown = process::run(&site.home, &["records", "list", "--json"]).await;
        assert_eq!(shown.object()["records"].as_array().map(Vec::len), Some(29));
        let refused = process::run(&site.home, &["records", "erase", "K-8", "--yes"]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(node.stop().await.success());
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
