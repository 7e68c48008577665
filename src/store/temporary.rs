//! A store for a test of its own.

use super::Store;
use crate::ambient::Ambient;
use crate::vault::{DataKey, KeyRing};

/// An empty store with keys of its own, in a folder that is gone with its handle.
pub(super) async fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let ambient = Ambient::system();
    let store = Store::open(
        &format!("sqlite:{}", directory.path().join("index.db").display()),
        KeyRing::generate(&mut ambient.rng()),
        DataKey::generate(&mut ambient.rng()),
        ambient.clone(),
    )
    .await
    .unwrap();
    (directory, store)
}
