//! The keys a store works with: what wraps, what tags, what seals.

use ring::hmac;
use zeroize::Zeroizing;

use super::StoreError;
use super::db::{Db, values};
use crate::ambient::Ambient;
use crate::vault::{DataKey, KeyRing, KeyWrapper as _, Place};

/// A keyed tag: equal for equal inputs, meaningless without the node's key.
pub type Tag = [u8; 16];

/// Keys of one node's store.
pub struct StoreKeys {
    ring: KeyRing,
    token_key: DataKey,
    node_key: DataKey,
    tagging: hmac::Key,
}

/// What a tag is of; tags of different kinds never meet.
#[derive(Clone, Copy)]
pub enum TagKind {
    /// A record's reference.
    Reference,
    /// A record's content.
    Content,
    /// A family's reference.
    Family,
    /// A query's issuer and message id.
    Seen,
    /// A quota's party, name and period.
    Quota,
    /// A party, a record and an epoch, for the probe limit.
    Probe,
}

impl StoreKeys {
    /// Loads the node's key from the database, or makes it there.
    ///
    /// `ring` wraps data keys; `token_key` is the second seal on coalition tokens, kept outside
    /// the database and outside backups.
    pub async fn load(
        db: &Db,
        ring: KeyRing,
        token_key: DataKey,
        ambient: &Ambient,
    ) -> Result<Self, StoreError> {
        let fresh = DataKey::generate(&mut ambient.rng());
        let wrapped = ring
            .wrap(&fresh, NODE_KEY_PLACE, &mut ambient.rng())
            .map_err(|source| sealed("node key", source))?;
        let mut tx = db.begin("node-key").await?;
        tx.run(
            "INSERT INTO settings (name, value) VALUES ('node_key', $1) ON CONFLICT (name) DO NOTHING",
            values![wrapped],
        )
        .await?;
        let stored = tx
            .read_one("SELECT value FROM settings WHERE name = 'node_key'", vec![])
            .await?
            .ok_or_else(|| StoreError::damaged("node key", "missing"))?
            .blob(0)?;
        tx.commit().await?;
        let node_key = ring
            .unwrap(&stored, NODE_KEY_PLACE)
            .map_err(|source| sealed("node key", source))?;
        let tagging = hmac::Key::new(hmac::HMAC_SHA256, node_key.expose());
        Ok(Self {
            ring,
            token_key,
            node_key,
            tagging,
        })
    }

    /// The keyed tag of `parts`.
    #[must_use]
    pub fn tag(&self, kind: TagKind, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.tagging);
        context.update(b"wayhome/tag/v1");
        context.update(&[kind as u8]);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; 16];
        tag.copy_from_slice(&context.sign().as_ref()[..16]);
        tag
    }

    /// A new data key, in clear and wrapped for `place`.
    pub fn new_data_key(
        &self,
        place: Place<'_>,
        ambient: &Ambient,
    ) -> Result<(DataKey, Vec<u8>), StoreError> {
        let key = DataKey::generate(&mut ambient.rng());
        let wrapped = self
            .ring
            .wrap(&key, place, &mut ambient.rng())
            .map_err(|source| sealed("data key", source))?;
        Ok((key, wrapped))
    }

    /// A data key from its wrapped form.
    pub fn data_key(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, StoreError> {
        self.ring
            .unwrap(wrapped, place)
            .map_err(|source| sealed("data key", source))
    }

    /// Seals under the node's own key, for rows that are never erased alone.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, plaintext: &[u8], ambient: &Ambient) -> Vec<u8> {
        self.node_key.seal(place, plaintext, &mut ambient.rng())
    }

    /// Opens what [`StoreKeys::seal`] sealed.
    pub fn open(
        &self,
        what: &'static str,
        place: Place<'_>,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.node_key
            .open(place, bytes)
            .map_err(|source| sealed(what, source))
    }

    /// The second seal on coalition tokens.
    pub(super) fn token_key(&self) -> &DataKey {
        &self.token_key
    }
}

pub(super) fn sealed(what: &'static str, source: crate::vault::VaultError) -> StoreError {
    StoreError::Sealed { what, source }
}

const NODE_KEY_PLACE: Place<'static> = Place {
    table: "settings",
    column: "value",
    row: b"node_key",
};
