//! Signing in and out, and what a token stands for.

use ring::digest::{SHA256, digest};

use super::{Account, AccountError, Read, by_id, by_name, row, secrets};
use crate::exchange::Party;
use crate::exchange::disclose::AccountId;
use crate::exchange::leaf::Leaf;
use crate::proto::exchange as pb;
use crate::store::{Act, Committed, Effect, SessionRow, StoreError};

/// How long a session lasts without being used, in milliseconds: 30 minutes.
const IDLE_MS: u64 = 30 * 60_000;

/// How long a session lasts at all, in milliseconds: 12 hours.
pub(super) const ABSOLUTE_MS: u64 = 12 * 3_600_000;

/// How long a sign-in is fresh, in milliseconds: 5 minutes.
pub const FRESH_MS: u64 = 5 * 60_000;

/// How often it is noted that a session was used, in milliseconds.
const NOTE_MS: u64 = 60_000;

/// A session that was begun.
pub struct SignedIn {
    /// The token, hex. The node keeps its hash alone.
    pub token: String,
    /// Whose.
    pub id: AccountId,
    /// The account.
    pub account: Account,
    /// When it ends at the latest, in milliseconds since 1970.
    pub ends_ms: u64,
}

/// A session that holds.
pub struct Session {
    /// Whose, with the roles of this moment.
    pub read: Read,
    /// Whether its person proved by two factors within the last five minutes who they are.
    pub fresh: bool,
}

/// Begins a session.
///
/// # Errors
/// [`AccountError::SignIn`], which does not say what was wrong, or [`AccountError::Locked`].
pub async fn sign_in(
    party: &Party,
    name: &str,
    password: &str,
    code: &str,
) -> Result<SignedIn, AccountError> {
    let now_ms = party.ambient().now_ms();
    let found = by_name(party, name).await?;
    if let Some(found) = &found {
        let locked_ms = found.account.locked_for_ms(now_ms);
        if locked_ms > 0 {
            return Err(AccountError::Locked {
                minutes: locked_ms.div_ceil(60_000),
            });
        }
    }
    let hash = found.as_ref().and_then(|found| found.account.password());
    let known = secrets::verify(hash, password).await?;
    let step = found
        .as_ref()
        .and_then(|found| found.account.factor())
        .and_then(|secret| secrets::factor_step(secret, code, now_ms / 1000));
    let Some(mut found) = found else {
        refused(party, None, now_ms).await?;
        return Err(AccountError::SignIn);
    };
    let step = step.filter(|step| known && !found.account.step_is_used(*step));
    let Some(step) = step else {
        refused(party, Some(found), now_ms).await?;
        return Err(AccountError::SignIn);
    };
    found.account.signed_in(step);
    begin(party, found, "password", now_ms).await
}

/// Begins a session of an account, which is kept as it is now. `proved_ms` is when the person proved
/// by two factors who they are; 0 if that is not known.
pub(super) async fn begin(
    party: &Party,
    found: Read,
    by: &str,
    proved_ms: u64,
) -> Result<SignedIn, AccountError> {
    let now_ms = party.ambient().now_ms();
    let token: [u8; 32] = party.ambient().random();
    let session = SessionRow {
        token_hash: hash_of(&token),
        account_id: found.id,
        began_ms: now_ms,
        used_ms: now_ms,
        proved_ms,
    };
    let (leaf, _) = Leaf::new(
        pb::Act::OperatorSignedIn,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.operator = found.id.to_vec();
        entry.reference = format!("by={by}");
    })
    .finish();
    let act = Act::alone(leaf)
        .with(Effect::PutAccount {
            row: row(party, found.id, &found.account, found.version + 1)?,
            first: false,
        })
        .with(Effect::PutSession(session));
    match party.ledger().commit(act).await? {
        Committed::Done { .. } => Ok(SignedIn {
            token: hex::encode(token),
            id: found.id,
            account: found.account,
            ends_ms: now_ms + ABSOLUTE_MS,
        }),
        // Two used the same code at once: one of them has it.
        _ => Err(AccountError::SignIn),
    }
}

/// Notes that a sign-in was refused that no number of guesses would come nearer to: a passkey, or
/// what an identity provider said.
pub(super) async fn refused_other(
    party: &Party,
    id: Option<AccountId>,
    code: &str,
) -> Result<(), StoreError> {
    tracing::warn!(
        alert = "sign_in_refused",
        account = id.map_or_else(|| "unknown".to_owned(), hex::encode),
        code,
        "a sign-in was refused"
    );
    let leaf = refusal(party, id, code);
    party.ledger().commit(Act::alone(leaf)).await?;
    Ok(())
}

/// The leaf on a sign-in that was refused.
fn refusal(party: &Party, id: Option<AccountId>, code: &str) -> Vec<u8> {
    let (leaf, _) = Leaf::new(
        pb::Act::OperatorRefused,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.reference = code.to_owned();
        entry.operator = id.map_or_else(Vec::new, Vec::from);
    })
    .finish();
    leaf
}

async fn refused(party: &Party, found: Option<Read>, now_ms: u64) -> Result<(), StoreError> {
    let id = found.as_ref().map(|found| found.id);
    tracing::warn!(
        alert = "sign_in_refused",
        account = id.map_or_else(|| "unknown".to_owned(), hex::encode),
        "a sign-in was refused"
    );
    let leaf = refusal(party, id, AccountError::SignIn.code());
    let Some(mut found) = found else {
        party.ledger().commit(Act::alone(leaf)).await?;
        return Ok(());
    };
    // Of guesses made at once each counts: one that finds the account changed counts on what it is
    // now.
    loop {
        found.account.refused(now_ms);
        let act = Act::alone(leaf.clone()).with(Effect::PutAccount {
            row: row(party, found.id, &found.account, found.version + 1)?,
            first: false,
        });
        if !matches!(party.ledger().commit(act).await?, Committed::Stale) {
            return Ok(());
        }
        match by_id(party, &found.id).await? {
            Some(now) => found = now,
            None => return Ok(()),
        }
    }
}

/// Ends the session of a token.
///
/// # Errors
/// If the store fails.
pub async fn sign_out(party: &Party, token: &str, id: AccountId) -> Result<(), StoreError> {
    let Some(octets) = octets(token) else {
        return Ok(());
    };
    let (leaf, _) = Leaf::new(
        pb::Act::OperatorSignedOut,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| entry.operator = id.to_vec())
    .finish();
    let act = Act::alone(leaf).with(Effect::EndSession(hash_of(&octets)));
    party.ledger().commit(act).await?;
    Ok(())
}

impl Session {
    /// The session of a token, if it holds at this moment; it is thereby used.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn of(party: &Party, token: &str) -> Result<Option<Self>, StoreError> {
        let Some(octets) = octets(token) else {
            return Ok(None);
        };
        let hash = hash_of(&octets);
        let now_ms = party.ambient().now_ms();
        let Some(session) = party.store().session(&hash).await? else {
            return Ok(None);
        };
        if now_ms >= session.used_ms + IDLE_MS || now_ms >= session.began_ms + ABSOLUTE_MS {
            return Ok(None);
        }
        let Some(read) = by_id(party, &session.account_id).await? else {
            return Ok(None);
        };
        if !read.account.is_taken() {
            return Ok(None);
        }
        if now_ms >= session.used_ms + NOTE_MS {
            party.store().use_session(&hash, now_ms).await?;
        }
        Ok(Some(Self {
            read,
            fresh: now_ms < session.proved_ms + FRESH_MS,
        }))
    }
}

/// Forgets sessions that have ended by themselves.
///
/// # Errors
/// If the store fails.
pub async fn forget_ended(party: &Party) -> Result<u64, StoreError> {
    let now_ms = party.ambient().now_ms();
    party
        .store()
        .forget_sessions(
            now_ms.saturating_sub(ABSOLUTE_MS),
            now_ms.saturating_sub(IDLE_MS),
        )
        .await
}

fn octets(token: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    hex::decode_to_slice(token, &mut octets).ok()?;
    Some(octets)
}

fn hash_of(token: &[u8; 32]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token).as_ref());
    hash
}
