//! The people who work at a node, and their sessions.

use zeroize::Zeroizing;

use super::db::{Row, Tx, values};
use super::keys::{Tag, TagKind};
use super::{Store, StoreError};
use crate::vault::Place;

/// An account as it is kept. What it says is the caller's; the store only seals it.
#[derive(Clone)]
pub struct AccountRow {
    /// The account's pseudonym, 16 random octets.
    pub account_id: [u8; 16],
    /// Tag of the name to sign in with ([`Store::name_tag`]).
    pub name_tag: Tag,
    /// The account, serialised.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Its version, from 1. A row is written only over the version before.
    pub version: u64,
}

/// A session of one account.
#[derive(Clone, Copy)]
pub struct SessionRow {
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// Whose.
    pub account_id: [u8; 16],
    /// When the person signed in, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it was last used, in milliseconds since 1970.
    pub used_ms: u64,
    /// When the person proved by two factors who they are, in milliseconds since 1970; 0 if that is
    /// not known.
    pub proved_ms: u64,
}

impl Store {
    /// The tag of a name to sign in with.
    #[must_use]
    pub fn name_tag(&self, name: &str) -> Tag {
        self.tag(TagKind::Account, &[name.as_bytes()])
    }

    /// The account with this pseudonym.
    pub async fn account(&self, account_id: &[u8; 16]) -> Result<Option<AccountRow>, StoreError> {
        self.db
            .read_one(
                "read-account",
                "SELECT account_id, name_tag, sealed, version FROM accounts WHERE account_id = $1",
                values![*account_id],
            )
            .await?
            .map(|row| self.open_account(&row))
            .transpose()
    }

    /// The account with this name.
    pub async fn account_by_name(&self, name: &str) -> Result<Option<AccountRow>, StoreError> {
        self.db
            .read_one(
                "read-account",
                "SELECT account_id, name_tag, sealed, version FROM accounts WHERE name_tag = $1",
                values![self.name_tag(name)],
            )
            .await?
            .map(|row| self.open_account(&row))
            .transpose()
    }

    /// All accounts.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        self.db
            .read(
                "read-accounts",
                "SELECT account_id, name_tag, sealed, version FROM accounts ORDER BY account_id",
                vec![],
            )
            .await?
            .iter()
            .map(|row| self.open_account(row))
            .collect()
    }

    /// How many accounts there are, closed ones included.
    pub async fn account_count(&self) -> Result<u64, StoreError> {
        self.db
            .read_one("count-accounts", "SELECT count(*) FROM accounts", vec![])
            .await?
            .map_or(Ok(0), |row| row.uint(0))
    }

    fn open_account(&self, row: &Row) -> Result<AccountRow, StoreError> {
        let account_id: [u8; 16] = row.array(0)?;
        Ok(AccountRow {
            account_id,
            name_tag: row.array(1)?,
            plaintext: self
                .keys
                .open("account", place(&account_id), &row.blob(2)?)?,
            version: row.uint(3)?,
        })
    }

    pub(super) async fn account_version(
        tx: &mut Tx,
        account_id: &[u8; 16],
    ) -> Result<u64, StoreError> {
        tx.read_one(
            "SELECT version FROM accounts WHERE account_id = $1",
            values![*account_id],
        )
        .await?
        .map_or(Ok(0), |row| row.uint(0))
    }

    /// Whether no account has another's name, and, for the first one, whether it is the first.
    pub(super) async fn account_fits(
        tx: &mut Tx,
        row: &AccountRow,
        first: bool,
    ) -> Result<bool, StoreError> {
        if Self::account_version(tx, &row.account_id).await? + 1 != row.version {
            return Ok(false);
        }
        let other = tx
            .read_one(
                "SELECT 1 FROM accounts WHERE name_tag = $1 AND account_id <> $2",
                values![row.name_tag, row.account_id],
            )
            .await?;
        if other.is_some() {
            return Ok(false);
        }
        Ok(!first
            || tx
                .read_one("SELECT 1 FROM accounts LIMIT 1", vec![])
                .await?
                .is_none())
    }

    pub(super) async fn put_account(
        &self,
        tx: &mut Tx,
        row: &AccountRow,
    ) -> Result<(), StoreError> {
        let sealed = self
            .keys
            .seal(place(&row.account_id), &row.plaintext, &self.ambient);
        tx.run(
            "INSERT INTO accounts (account_id, name_tag, sealed, version) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account_id) DO UPDATE SET name_tag = excluded.name_tag,
                 sealed = excluded.sealed, version = excluded.version",
            values![row.account_id, row.name_tag, sealed, row.version],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn put_session(tx: &mut Tx, session: &SessionRow) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO sessions (token_hash, account_id, began_ms, used_ms, proved_ms)
             VALUES ($1, $2, $3, $4, $5)",
            values![
                session.token_hash,
                session.account_id,
                session.began_ms,
                session.used_ms,
                session.proved_ms
            ],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn end_sessions(tx: &mut Tx, account_id: &[u8; 16]) -> Result<(), StoreError> {
        tx.run(
            "DELETE FROM sessions WHERE account_id = $1",
            values![*account_id],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn end_session(tx: &mut Tx, token_hash: &[u8; 32]) -> Result<(), StoreError> {
        tx.run(
            "DELETE FROM sessions WHERE token_hash = $1",
            values![*token_hash],
        )
        .await?;
        Ok(())
    }

    /// The session with this token.
    pub async fn session(&self, token_hash: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        self.db
            .read_one(
                "read-session",
                "SELECT account_id, began_ms, used_ms, proved_ms FROM sessions WHERE token_hash = $1",
                values![*token_hash],
            )
            .await?
            .map(|row| {
                Ok(SessionRow {
                    token_hash: *token_hash,
                    account_id: row.array(0)?,
                    began_ms: row.uint(1)?,
                    used_ms: row.uint(2)?,
                    proved_ms: row.uint(3)?,
                })
            })
            .transpose()
    }

    /// Notes that a session was used.
    pub async fn use_session(&self, token_hash: &[u8; 32], used_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.db.begin("use-session").await?;
        tx.run(
            "UPDATE sessions SET used_ms = $2 WHERE token_hash = $1 AND used_ms < $2",
            values![*token_hash, used_ms],
        )
        .await?;
        tx.commit().await
    }

    /// Forgets sessions that began before one moment or were last used before another.
    pub async fn forget_sessions(
        &self,
        began_before_ms: u64,
        used_before_ms: u64,
    ) -> Result<u64, StoreError> {
        let mut tx = self.db.begin("forget-sessions").await?;
        let gone = tx
            .run(
                "DELETE FROM sessions WHERE began_ms < $1 OR used_ms < $2",
                values![began_before_ms, used_before_ms],
            )
            .await?;
        tx.commit().await?;
        Ok(gone)
    }
}

fn place(account_id: &[u8; 16]) -> Place<'_> {
    Place {
        table: "accounts",
        column: "sealed",
        row: account_id,
    }
}
