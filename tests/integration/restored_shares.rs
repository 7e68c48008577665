//! A share of the coalition key outlives a database that went back: what an old roster says of it is
//! not acted on.

use std::path::PathBuf;
use std::time::Duration;

use wayhome::node::{Directory, Identity, Origin};
use wayhome::proto::exchange::Act;

use crate::coalition::Coalition;

/// Puts a share into a node's directory that was in use and that its roster does not name. Gives its
/// file and what the log is to say of its end.
fn plant(coalition: &Coalition, id: &str) -> (PathBuf, String) {
    let public_key = coalition
        .roster
        .coalition_key
        .current
        .as_ref()
        .unwrap()
        .public_key;
    coalition.make_key(1);
    let directory = Directory::new(coalition.path(id));
    let identity = Identity::load(&directory).unwrap();
    let mut kept = identity.shares(&directory).unwrap();
    kept.retain(|share| !share.in_use);
    let share = kept.pop().unwrap();
    let verifying_share = share.verifying_share().to_string();
    let file = coalition
        .path(id)
        .join("keys")
        .join(format!("share-1-{}.new", &verifying_share[..16]));
    std::fs::remove_file(&file).unwrap();
    let origin = Origin {
        public_key,
        base: None,
        roster_place: (0, 0),
    };
    identity
        .save_share(&directory, &share.holding, &origin, &coalition.ambient)
        .unwrap();
    let sealed = file.with_extension("sealed");
    std::fs::rename(&file, &sealed).unwrap();
    (sealed, format!("epoch=1 share={verifying_share}"))
}

fn put_back(coalition: &Coalition, id: &str, database: &[u8]) {
    let path = coalition.path(id).join("wayhome.db");
    for side in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(path.with_extension(side));
    }
    std::fs::write(path, database).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_share_is_destroyed_for_a_database_that_went_back() {
    let mut coalition = Coalition::start().await;
    let database = coalition.path("pl").join("wayhome.db");
    coalition.stop_node("pl").await;
    let old = std::fs::read(&database).unwrap();
    coalition.start_node("pl").await;
    coalition
        .import_unpublished(
            "pl",
            &[&[
                ("record_ref", "PL-1"),
                ("family_name", "Kowalczuk"),
                ("given_name", "Siergiej"),
                ("date_of_birth", "2014-03-09"),
                ("consent", "tracing"),
            ]],
        )
        .await;
    coalition.stop_node("pl").await;
    let newest = std::fs::read(&database).unwrap();
    assert_ne!(old, newest);
    let (share, destroyed) = plant(&coalition, "pl");

    // The node sees that its log went back, and signs nothing. It has tended its shares by the time it
    // is ready.
    put_back(&coalition, "pl", &old);
    coalition.start_node("pl").await;
    assert!(share.exists());
    coalition.stop_node("pl").await;
    assert!(share.exists());

    // With the newest database it destroys the share, and its log says so.
    put_back(&coalition, "pl", &newest);
    coalition.start_node("pl").await;
    let gone = async {
        while share.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .expect("the share is still there");
    let leaves = coalition.leaves("pl", 0).await;
    let recorded: Vec<&str> = leaves
        .iter()
        .filter(|leaf| leaf.act() == Act::ShareDestroyed)
        .map(|leaf| leaf.reference.as_str())
        .collect();
    assert_eq!(recorded, [destroyed]);
    assert!(!share.with_extension("destroyed").exists());
}
