//! Keys at rest: made anew while the node works, and destroyed in their time.

use serde_json::Value;
use wayhome::ambient::{Ambient, ManualClock, SystemRandomness};
use wayhome::node::backup::{self, BackupError};
use wayhome::node::keys::{KeyKeeper, MasterConfig, load_wrapping, save_wrapping};
use wayhome::node::{Config, Directory, KeysConfig, open_party};
use wayhome::proto::exchange::Act;
use wayhome::store::StoreError;
use wayhome::vault::{KeyRing, VaultError};

use crate::coalition::Coalition;
use crate::exchange::ABROAD;
use crate::forge::{DAY_MS, START_MS};
use crate::process::{self, NodeProcess, PATIENCE};

/// Children enough that wrapping their keys anew takes a while.
const CHILDREN: usize = 900;

fn register() -> String {
    let mut text = String::from("record_ref,family_name,given_name,date_of_birth,consent\n");
    for number in 0..CHILDREN {
        text.push_str(&format!("K-{number},Коваль,Олег,2014-05-03,tracing\n"));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_outlives_kills_and_everything_opens_afterwards() {
    let coalition = Coalition::found(|_| {});
    let home = coalition.path("pl");
    let file = home.join("register.csv");
    std::fs::write(&file, register()).unwrap();
    let node = NodeProcess::start(&home).await;
    let file = file.display().to_string();
    let said = process::run(&home, &["records", "import", &file]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let before = status(&home).await;
    assert_eq!(before["masters"].as_array().unwrap().len(), 1);

    let said = process::run(&home, &["keys", "rotate", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    node.kill().await;
    // Killed again as soon as it is up.
    NodeProcess::start(&home).await.kill().await;
    let node = NodeProcess::start(&home).await;
    let after = tokio::time::timeout(PATIENCE, async {
        loop {
            let status = status(&home).await;
            if status["left"] == 0 && !status["wrapping"][1]["retired"].is_null() {
                return status;
            }
        }
    })
    .await
    .expect("the rotation did not end");
    assert_eq!(after["masters"].as_array().unwrap().len(), 2);
    assert_eq!(after["masters"][1], before["masters"][0]);
    assert_eq!(after["wrapping"][1]["id"], before["wrapping"][0]["id"]);
    assert!(after["wrapping"][0]["rows"].as_u64().unwrap() > CHILDREN as u64);
    assert!(node.stop().await.success());

    let store = coalition.store("pl").await;
    assert_eq!(store.count_readable().await.unwrap(), (CHILDREN as u64, 0));
    store.close().await;
    let acts: Vec<Act> = coalition
        .leaves("pl", 0)
        .await
        .iter()
        .map(|leaf| leaf.act())
        .collect();
    assert!(acts.contains(&Act::WrappingKeyMade));
}

async fn status(home: &std::path::Path) -> Value {
    process::run(home, &["keys", "status", "--json"])
        .await
        .object()["at_rest"]
        .clone()
}

/// The days that the default configuration has.
const WRAPPING_DAYS: u64 = 30;
const BACKUP_DAYS: u64 = 35;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_opens_from_no_backup_once_its_wrapping_key_is_destroyed() {
    let clock = ManualClock::at_ms(START_MS);
    let ambient = Ambient::new(clock.clone(), SystemRandomness);
    let mut coalition = Coalition::found_at(ambient.clone(), |_| {});
    coalition.start_node("pl").await;
    coalition.import_unpublished("pl", &[ABROAD]).await;
    coalition.stop_node("pl").await;

    let directory = Directory::new(coalition.path("pl"));
    let secret = directory.file("backup.key");
    let mut config = Config::load(&directory).unwrap();
    config.backup.recipient = Some(backup::keygen(&secret, &ambient).unwrap());
    let opened = open_party(&directory, &ambient).await.unwrap();
    let party = &opened.party;
    let keeper = KeyKeeper::new(directory.clone(), KeysConfig::default(), ambient.clone());
    let (data, keys) = (directory.file("data.backup"), directory.file("keys.backup"));
    backup::create(&directory, &config, party, &data, &keys)
        .await
        .unwrap();
    wayhome::exchange::enrol::erase(party, "PL-1")
        .await
        .unwrap()
        .unwrap();

    // While its wrapping key is there, the old backup still holds the record.
    let old_keys = std::fs::read(&keys).unwrap();
    let verified = backup::verify(&data, Some(&keys), &secret, &ambient)
        .await
        .unwrap();
    assert_eq!((verified.records, verified.unreadable), (Some(1), 0));

    clock.advance_ms(WRAPPING_DAYS * DAY_MS);
    while keeper.step(party).await.unwrap() {}
    clock.advance_ms((BACKUP_DAYS - 1) * DAY_MS);
    while keeper.step(party).await.unwrap() {}
    let still = keeper.status(party.store()).await.unwrap();
    assert!(still.wrapping.iter().any(|key| key.retired_ms.is_some()));
    clock.advance_ms(DAY_MS);
    while keeper.step(party).await.unwrap() {}

    // The keys archive is replaced by the next backup, and with it the last copy of the key.
    let later = directory.file("later.backup");
    backup::create(&directory, &config, party, &later, &keys)
        .await
        .unwrap();
    assert!(std::fs::read(&keys).unwrap() != old_keys);
    let verified = backup::verify(&data, Some(&keys), &secret, &ambient).await;
    match verified {
        // Nothing at all of the old backup opens any more.
        Err(BackupError::Store(StoreError::Sealed {
            source: VaultError::UnknownWrappingKey { .. },
            ..
        })) => {}
        Ok(verified) => assert_eq!((verified.records, verified.unreadable), (Some(0), 1)),
        Err(error) => panic!("{error}"),
    }
    let verified = backup::verify(&later, Some(&keys), &secret, &ambient)
        .await
        .unwrap();
    assert_eq!((verified.records, verified.unreadable), (Some(0), 0));
    party.store().close().await;
    drop(opened);
    let leaves = coalition.leaves("pl", 0).await;
    assert!(
        leaves
            .iter()
            .any(|leaf| leaf.act() == Act::WrappingKeyDestroyed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_signing_works_by_the_file_and_destroys_no_key_in_use() {
    let mut coalition = Coalition::found(|_| {});
    coalition.start_node("pl").await;
    coalition.import_unpublished("pl", &[ABROAD]).await;
    coalition.stop_node("pl").await;
    let ambient = coalition.ambient.clone();
    let directory = Directory::new(coalition.path("pl"));
    let opened = open_party(&directory, &ambient).await.unwrap();
    let store = opened.party.store();

    // The process that signed before has made a key that this one has not read, and took the old one
    // for retired long ago, though it wraps all that there is.
    let master = KeysConfig::default().master.load(&directory).unwrap();
    let mut ring = load_wrapping(&directory, master.as_ref()).unwrap();
    let old = ring.current().to_string();
    let new = ring.renew(&mut ambient.rng(), ambient.now_ms()).to_string();
    ring.retire_others(0);
    save_wrapping(&directory, &ring, master.as_ref(), &ambient).unwrap();

    let keeper = KeyKeeper::new(directory.clone(), KeysConfig::default(), ambient.clone());
    while keeper.step(&opened.party).await.unwrap() {}
    let status = keeper.status(store).await.unwrap();
    let [current, retired] = status.wrapping.as_slice() else {
        panic!("{} keys are left", status.wrapping.len());
    };
    assert_eq!((&current.id, &retired.id), (&new, &old));
    assert!(current.rows > 0);
    assert_eq!(retired.rows, 0);
    // Its time has begun again.
    assert!(retired.retired_ms > Some(0));
    assert_eq!(store.count_readable().await.unwrap(), (1, 0));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_that_the_service_manager_keeps_is_rotated_there() {
    let coalition = Coalition::found(|_| {});
    let home = coalition.path("pl");
    let elsewhere = tempfile::tempdir().unwrap();
    let credential = elsewhere.path().join("wayhome-master");
    let old = std::fs::read_to_string(home.join("keys/master.key")).unwrap();
    write_credential(&credential, &old);
    let directory = Directory::new(&home);
    let mut config = Config::load(&directory).unwrap();
    config.keys.master = MasterConfig::Credential("wayhome-master".to_owned());
    directory.write("node.toml", &config.to_text()).unwrap();
    std::fs::remove_file(home.join("keys/master.key")).unwrap();
    let file = home.join("register.csv");
    std::fs::write(
        &file,
        "record_ref,family_name,given_name,date_of_birth,consent\nK-1,Коваль,Олег,2014-05-03,tracing\n",
    )
    .unwrap();

    let without = process::run(&home, &["--json", "run"]).await;
    assert_eq!(without.code, Some(1), "{without:?}");
    assert!(
        without.err.contains("LoadCredential=wayhome-master"),
        "{without:?}"
    );
    let start = async || {
        let mut command = process::wayhome(&home);
        command.env("CREDENTIALS_DIRECTORY", elsewhere.path());
        NodeProcess::start_as(&home, command).await
    };
    let shows = async || {
        let shown = process::run(&home, &["records", "show", "K-1", "--json"]).await;
        shown.code == Some(0)
    };
    let node = start().await;
    let register = file.display().to_string();
    let said = process::run(&home, &["records", "import", &register]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = process::run(&home, &["keys", "rotate", "--json"]).await;
    assert_eq!(said.object()["error"]["code"], "MASTER_KEY_NOT_OURS");
    assert!(node.stop().await.success());

    // A new line before the old one: one start wraps everything anew, and then the old one may go.
    let new = KeyRing::generate(&mut coalition.ambient.rng()).to_text();
    write_credential(&credential, &format!("{}{old}", &*new));
    let node = start().await;
    assert!(shows().await);
    assert!(node.stop().await.success());
    write_credential(&credential, &new);
    let node = start().await;
    assert!(shows().await);
    assert!(node.stop().await.success());
    // The old one alone opens nothing any more.
    write_credential(&credential, &old);
    let mut command = process::wayhome(&home);
    command.env("CREDENTIALS_DIRECTORY", elsewhere.path());
    let said = process::finish(command.args(["--json", "run"])).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("key ring does not hold"), "{said:?}");
}

fn write_credential(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = std::fs::remove_file(path);
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o400)).unwrap();
}
