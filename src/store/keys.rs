//! The keys a store works with: what wraps, what tags, what seals.

use std::sync::{Arc, PoisonError, RwLock};

use rand_core::CryptoRngCore;
use ring::hmac;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::StoreError;
use super::db::{Db, values};
use crate::ambient::Ambient;
use crate::vault::{DataKey, KeyWrapper, Place, VaultError, VaultKeys, WrappingRing};

/// A keyed tag: equal for equal inputs, meaningless without the node's key.
pub type Tag = [u8; 16];

/// What vouches for a row whose columns are in clear, without the node's key nobody can make it.
pub type RowTag = [u8; 8];

/// Keys of one node's store. The node's key itself does nothing: each use has a key made of it.
pub struct StoreKeys {
    vault: RwLock<VaultKeys>,
    token_key: DataKey,
    sealing: DataKey,
    tagging: hmac::Key,
    vouching: hmac::Key,
}

/// Which rows a row tag vouches for; tags of different kinds never meet.
#[derive(Clone, Copy)]
pub enum RowKind {
    /// A row of the lookup index.
    Index,
    /// A row of the index of silent records.
    Silent,
    /// What decisions need to know of a record: epoch, presence mask, family.
    Held,
    /// A line of the journal.
    Journal,
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
    /// An alert: the leaf, the subject and the record.
    Alert,
    /// What is kept about a record beside the record itself.
    About,
    /// A party that asks for disclosures.
    Party,
    /// A holder and its id of a request.
    Origin,
    /// The name of an account.
    Account,
    /// A disclosed field's value, to tell a change.
    Value,
    /// The file that keeps the filter of the index.
    Filter,
    /// A party and a mark of the index.
    Mark,
    /// What a browser is given to bring back: a challenge, a state.
    Ticket,
}

impl StoreKeys {
    /// Loads the node's key from the database, or makes it there.
    ///
    /// `vault` wraps data keys; `token_key` is the second seal on coalition tokens, kept outside
    /// the database and outside backups.
    pub async fn load(
        db: &Db,
        vault: VaultKeys,
        token_key: DataKey,
        ambient: &Ambient,
    ) -> Result<Self, StoreError> {
        let fresh = DataKey::generate(&mut ambient.rng());
        let wrapped = vault
            .master
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
        let node_key = vault
            .master
            .unwrap(&stored, NODE_KEY_PLACE)
            .map_err(|source| sealed("node key", source))?;
        let mac = |purpose| hmac::Key::new(hmac::HMAC_SHA256, node_key.derive(purpose).expose());
        Ok(Self {
            vault: RwLock::new(vault),
            token_key,
            sealing: node_key.derive("wayhome/node/seal/v1"),
            tagging: mac("wayhome/node/tag/v1"),
            vouching: mac("wayhome/node/row/v1"),
        })
    }

    /// The keyed tag of `parts`.
    #[must_use]
    pub fn tag(&self, kind: TagKind, parts: &[&[u8]]) -> Tag {
        mac(&self.tagging, b"wayhome/tag/v1", kind as u8, parts)
    }

    /// Names what is kept about a record beside the record itself. Without the key nobody can tell
    /// which record it is.
    #[must_use]
    pub fn about(&self, ref_tag: Tag) -> Tag {
        self.tag(TagKind::About, &[&ref_tag])
    }

    /// What vouches for a row of these columns.
    #[must_use]
    pub fn row_tag(&self, kind: RowKind, columns: &[&[u8]]) -> RowTag {
        mac(&self.vouching, b"wayhome/row/v1", kind as u8, columns)
    }

    /// Whether a row is one that this node wrote.
    #[must_use]
    pub fn row_holds(&self, kind: RowKind, columns: &[&[u8]], tag: &[u8]) -> bool {
        self.row_tag(kind, columns).ct_eq(tag).into()
    }

    /// A new data key, in clear and wrapped for `place`.
    pub fn new_data_key(
        &self,
        place: Place<'_>,
        ambient: &Ambient,
    ) -> Result<(DataKey, Vec<u8>), StoreError> {
        let key = DataKey::generate(&mut ambient.rng());
        let wrapped = self
            .with_wrapper(|wrapper| wrapper.wrap(&key, place, &mut ambient.rng()))
            .map_err(|source| sealed("data key", source))?;
        Ok((key, wrapped))
    }

    /// A data key from its wrapped form.
    pub fn data_key(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, StoreError> {
        self.with_wrapper(|wrapper| wrapper.unwrap(wrapped, place))
            .map_err(|source| sealed("data key", source))
    }

    /// A row's content under a fresh data key: the key, wrapped, and the content, sealed. Both are
    /// bound to the row, as the columns `data_key` and `sealed` of `table`.
    pub fn seal_row(
        &self,
        table: &'static str,
        row: &[u8],
        plaintext: &[u8],
        ambient: &Ambient,
    ) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        self.seal_row_by(table, row, plaintext, &mut ambient.rng())
    }

    /// As [`StoreKeys::seal_row`], with randomness that was drawn before.
    pub(super) fn seal_row_by(
        &self,
        table: &'static str,
        row: &[u8],
        plaintext: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let key = DataKey::generate(rng);
        let wrapped = self
            .with_wrapper(|wrapper| wrapper.wrap(&key, Place::new(table, "data_key", row), rng))
            .map_err(|source| sealed("data key", source))?;
        let sealed = key.seal(Place::new(table, "sealed", row), plaintext, rng);
        Ok((wrapped, sealed))
    }

    /// Opens what [`StoreKeys::seal_row`] sealed; `what` names it in an error.
    pub fn open_row(
        &self,
        what: &'static str,
        table: &'static str,
        row: &[u8],
        wrapped: &[u8],
        content: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.data_key(wrapped, Place::new(table, "data_key", row))?
            .open(Place::new(table, "sealed", row), content)
            .map_err(|source| sealed(what, source))
    }

    /// A data key wrapped anew, if the current wrapping key does not wrap it yet.
    pub(super) fn rewrapped(
        &self,
        wrapped: &[u8],
        place: Place<'_>,
        ambient: &Ambient,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_wrapper(|wrapper| {
            if wrapper.is_current(wrapped)? {
                return Ok(None);
            }
            let key = wrapper.unwrap(wrapped, place)?;
            wrapper.wrap(&key, place, &mut ambient.rng()).map(Some)
        })
        .map_err(|source| sealed("data key", source))
    }

    /// Runs with what wraps data keys now.
    pub(super) fn with_wrapper<T>(
        &self,
        run: impl FnOnce(&dyn KeyWrapper) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let vault = self.vault.read().unwrap_or_else(PoisonError::into_inner);
        match &vault.wrapping {
            Some(wrapping) => run(wrapping),
            None => run(vault.master.as_ref()),
        }
    }

    /// Puts other wrapping keys in force.
    pub(super) fn replace_wrapping(&self, wrapping: WrappingRing) {
        let mut vault = self.vault.write().unwrap_or_else(PoisonError::into_inner);
        vault.wrapping = Some(wrapping);
    }

    /// Puts another master key in force, and wraps the node's key by it if need be.
    pub(super) async fn replace_master(
        &self,
        db: &Db,
        master: Arc<dyn KeyWrapper>,
        ambient: &Ambient,
    ) -> Result<(), StoreError> {
        let failed = |source| sealed("node key", source);
        let mut tx = db.begin("rewrap-node-key").await?;
        let stored = tx
            .read_one("SELECT value FROM settings WHERE name = 'node_key'", vec![])
            .await?
            .ok_or_else(|| StoreError::damaged("node key", "missing"))?
            .blob(0)?;
        if !master.is_current(&stored).map_err(failed)? {
            let key = master.unwrap(&stored, NODE_KEY_PLACE).map_err(failed)?;
            let wrapped = master
                .wrap(&key, NODE_KEY_PLACE, &mut ambient.rng())
                .map_err(failed)?;
            tx.run(
                "UPDATE settings SET value = $1 WHERE name = 'node_key'",
                values![wrapped],
            )
            .await?;
            tx.commit().await?;
        }
        let mut vault = self.vault.write().unwrap_or_else(PoisonError::into_inner);
        vault.master = master;
        Ok(())
    }

    /// Seals under the node's own key, for rows that are never erased alone.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, plaintext: &[u8], ambient: &Ambient) -> Vec<u8> {
        self.seal_by(place, plaintext, &mut ambient.rng())
    }

    /// As [`StoreKeys::seal`], with randomness that was drawn before.
    pub(super) fn seal_by(
        &self,
        place: Place<'_>,
        plaintext: &[u8],
        rng: &mut dyn CryptoRngCore,
    ) -> Vec<u8> {
        self.sealing.seal(place, plaintext, rng)
    }

    /// Opens what [`StoreKeys::seal`] sealed.
    pub fn open(
        &self,
        what: &'static str,
        place: Place<'_>,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.sealing
            .open(place, bytes)
            .map_err(|source| sealed(what, source))
    }

    /// The second seal on coalition tokens.
    pub(super) fn token_key(&self) -> &DataKey {
        &self.token_key
    }
}

fn mac<const N: usize>(key: &hmac::Key, context: &[u8], kind: u8, parts: &[&[u8]]) -> [u8; N] {
    let mut mac = hmac::Context::with_key(key);
    mac.update(context);
    mac.update(&[kind]);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    let mut tag = [0; N];
    tag.copy_from_slice(&mac.sign().as_ref()[..N]);
    tag
}

pub(super) fn sealed(what: &'static str, source: crate::vault::VaultError) -> StoreError {
    StoreError::Sealed { what, source }
}

const NODE_KEY_PLACE: Place<'static> = Place {
    table: "settings",
    column: "value",
    row: b"node_key",
};
