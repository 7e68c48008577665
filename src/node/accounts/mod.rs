//! The people who work at a node: accounts, roles, sessions.
//!
//! An account is made by an administrator and claimed by its person with a one-time code; the first
//! administrator claims with the code that `init` prints. There is no password that somebody else
//! knows. A person signs in with a password (argon2id) and the code of an authenticator (TOTP, RFC
//! 6238), and is from then on known by a token of which the node keeps the hash alone.
//!
//! In the log a person is the pseudonym of their account; the name stays sealed in the database.

mod account;
mod first_code;
mod identity_token;
mod passkey;
mod provider;
mod secrets;
mod sign_in;
mod ticket;
mod ways;

pub use account::{Account, AccountState, Role, UnknownRole};
pub use first_code::{FIRST_CODE_FILE, make_first_code};
pub use identity_token::TokenError;
pub use passkey::{Answer, Passkey, PasskeyError, read as read_base64, write as write_base64};
pub use provider::{Came, Provider, ProviderConfig, ProviderError, Vouched};
pub use secrets::{MIN_PASSWORD, SecondFactor};
pub use sign_in::{FRESH_MS, Session, SignedIn, forget_ended, sign_in, sign_out};
pub use ticket::{TicketUse, draw as draw_ticket};
pub use ways::{
    AtProvider, Ways, add_passkey, link, remove_passkey, sign_in_at_provider, sign_in_with_passkey,
};

use std::collections::BTreeSet;

use crate::exchange::Party;
use crate::exchange::disclose::AccountId;
use crate::exchange::leaf::Leaf;
use crate::node::Directory;
use crate::proto::exchange as pb;
use crate::store::{AccountRow, Act, Committed, Effect, StoreError};

/// Longest name, in characters.
const MAX_NAME: usize = 64;

/// Why an account was not made, changed or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Not a name.
    #[error("a name has 1 to {MAX_NAME} letters, digits and . _ -")]
    Name,
    /// Too short or too long.
    #[error("a password has at least {MIN_PASSWORD} characters and at most 1,024 octets")]
    Password,
    /// Name taken.
    #[error("there is an account of this name: choose another name")]
    NameTaken,
    /// No such account.
    #[error("there is no account of this name: see `wayhome accounts list`")]
    Unknown,
    /// No role of this name.
    #[error(transparent)]
    Role(#[from] UnknownRole),
    /// A wrong code, or one that was used.
    #[error(
        "the code does not hold: codes are good once; ask an administrator for a new one, or, before there is any account, make one with `wayhome accounts first-code`"
    )]
    Code,
    /// Name, password or code are wrong.
    #[error(
        "name, password or authenticator code are wrong, or the code was used before: wait for the next code and try again"
    )]
    SignIn,
    /// Too many wrong ones.
    #[error("too many sign-ins were refused: try again in {minutes} minutes")]
    Locked {
        /// How long, in minutes.
        minutes: u64,
    },
    /// The last administrator.
    #[error(
        "this would leave the node without an administrator: give the role to another account first"
    )]
    LastAdministrator,
    /// Something changed at the same moment.
    #[error("the account changed at the same moment: try again")]
    Changed,
    /// A passkey that does not hold.
    #[error("the passkey does not hold: {0}; begin again, or sign in with password and code")]
    Passkey(PasskeyError),
    /// A challenge that was not given, or was used.
    #[error("the page is older than ten minutes or was used already: load it again")]
    Challenge,
    /// Passkeys need a name.
    #[error(
        "passkeys are good for a name, not for an address: write the console's name into hosts under [console] of node.toml"
    )]
    PasskeyHost,
    /// Enough is enough.
    #[error(
        "an account has at most {} passkeys: remove one first",
        passkey::MAX_PASSKEYS
    )]
    TooManyPasskeys,
    /// The person of the provider is linked already.
    #[error("another account is linked to this person of the identity provider")]
    LinkTaken,
    /// Not an identifier of a person.
    #[error("a person's identifier has 1 to 255 characters of ASCII")]
    Subject,
    /// The identity provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The system.
    #[error("{0}")]
    System(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name => "ACCOUNT_NAME",
            Self::Password => "PASSWORD_LENGTH",
            Self::NameTaken => "NAME_TAKEN",
            Self::Unknown => "ACCOUNT_UNKNOWN",
            Self::Role(_) => "ROLE_UNKNOWN",
            Self::Code => "CODE_WRONG",
            Self::SignIn => "SIGN_IN_REFUSED",
            Self::Locked { .. } => "SIGN_IN_LOCKED",
            Self::LastAdministrator => "LAST_ADMINISTRATOR",
            Self::Changed => "ACCOUNT_CHANGED",
            Self::Passkey(_) => "PASSKEY_REFUSED",
            Self::Challenge => "CHALLENGE_OLD",
            Self::PasskeyHost => "PASSKEY_HOST",
            Self::TooManyPasskeys => "PASSKEY_COUNT",
            Self::LinkTaken => "LINK_TAKEN",
            Self::Subject => "SUBJECT",
            Self::Provider(ProviderError::None) => "NO_PROVIDER",
            Self::Provider(ProviderError::Unreachable(_)) => "PROVIDER_UNREACHABLE",
            Self::Provider(ProviderError::Ticket) => "PROVIDER_TICKET",
            Self::Provider(
                ProviderError::Code(_) | ProviderError::Issuer | ProviderError::Token(_),
            ) => "PROVIDER_REFUSED",
            Self::Provider(ProviderError::Store(_)) => "STORE_FAILED",
            Self::System(_) => "SYSTEM",
            Self::Store(_) => "STORE_FAILED",
        }
    }
}

/// An account as it is read, with the version it has.
pub struct Read {
    /// Its pseudonym.
    pub id: AccountId,
    /// The account.
    pub account: Account,
    /// Its version.
    pub version: u64,
}

fn read(row: &AccountRow) -> Result<Read, StoreError> {
    let account = serde_json::from_slice(&row.plaintext).map_err(|error| StoreError::Damaged {
        what: "account".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Read {
        id: row.account_id,
        account,
        version: row.version,
    })
}

fn row(
    party: &Party,
    id: AccountId,
    account: &Account,
    version: u64,
) -> Result<AccountRow, StoreError> {
    let plaintext = serde_json::to_vec(account).map_err(|error| StoreError::Damaged {
        what: "account".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(AccountRow {
        account_id: id,
        name_tag: party.store().name_tag(&account.name),
        plaintext: zeroize::Zeroizing::new(plaintext),
        version,
    })
}

/// All accounts, by name.
///
/// # Errors
/// If the store fails.
pub async fn all(party: &Party) -> Result<Vec<Read>, StoreError> {
    let mut accounts = party
        .store()
        .accounts()
        .await?
        .iter()
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    accounts.sort_by(|a, b| a.account.name.cmp(&b.account.name));
    Ok(accounts)
}

/// The account with this pseudonym.
///
/// # Errors
/// If the store fails.
pub async fn by_id(party: &Party, id: &AccountId) -> Result<Option<Read>, StoreError> {
    let found = party.store().account(id).await?;
    found.as_ref().map(read).transpose()
}

async fn by_name(party: &Party, name: &str) -> Result<Option<Read>, StoreError> {
    let found = party.store().account_by_name(name).await?;
    found.as_ref().map(read).transpose()
}

/// Makes an account, to be claimed with the code that is returned.
///
/// # Errors
/// [`AccountError`].
pub async fn add(
    party: &Party,
    name: &str,
    roles: BTreeSet<Role>,
) -> Result<(AccountId, String), AccountError> {
    check_name(name)?;
    if by_name(party, name).await?.is_some() {
        return Err(AccountError::NameTaken);
    }
    let (code, hash) = secrets::code(party.ambient());
    let id = party.ambient().random();
    let account = Account::invited(name, roles, hash);
    put(party, id, &account, 1, false, "added", Vec::new()).await?;
    Ok((id, code))
}

/// Takes an account with a one-time code and a password. Before there is any account, the code is
/// that of the first administrator.
///
/// # Errors
/// [`AccountError`].
pub async fn claim(
    party: &Party,
    directory: &Directory,
    name: &str,
    code: &str,
    password: &str,
) -> Result<(AccountId, SecondFactor), AccountError> {
    check_name(name)?;
    secrets::check_password(password)?;
    let first = party.store().account_count().await? == 0;
    let (id, mut account, version) = if first {
        if !first_code::holds(directory, code) {
            return Err(AccountError::Code);
        }
        let id = party.ambient().random();
        let roles = [Role::Administrator].into();
        (id, Account::invited(name, roles, String::new()), 1)
    } else {
        let found = by_name(party, name).await?.ok_or(AccountError::Code)?;
        if !found.account.invitation_holds(code) {
            return Err(AccountError::Code);
        }
        (found.id, found.account, found.version + 1)
    };
    let factor = SecondFactor::generate(party.ambient(), name, party.id().as_str())?;
    account.claim(
        secrets::hash(party.ambient(), password).await?,
        factor.secret().to_owned(),
    );
    put(party, id, &account, version, first, "claimed", Vec::new()).await?;
    if first {
        first_code::spend(directory);
    }
    Ok((id, factor))
}

/// Gives and takes roles, or closes an account. Its sessions go on with the roles it has then; those
/// of a closed account end.
///
/// # Errors
/// [`AccountError`].
pub async fn change(
    party: &Party,
    name: &str,
    give: &BTreeSet<Role>,
    take: &BTreeSet<Role>,
    close: bool,
) -> Result<Read, AccountError> {
    let mut found = by_name(party, name).await?.ok_or(AccountError::Unknown)?;
    let administered = found.account.may(Role::Administrator);
    found.account.change(give, take, close);
    let mut beside = Vec::new();
    if !found.account.may(Role::Administrator) {
        let remaining = all(party)
            .await?
            .into_iter()
            .find(|other| other.id != found.id && other.account.may(Role::Administrator));
        let remaining = remaining.ok_or(AccountError::LastAdministrator)?;
        if administered {
            // Two who remove each other at once would leave none.
            beside.push(Effect::AccountIs {
                account_id: remaining.id,
                version: remaining.version,
            });
        }
    }
    if close || !take.is_empty() {
        beside.push(Effect::NoteLessened(found.id));
    }
    if close {
        beside.push(Effect::EndSessions(found.id));
    }
    let word = |roles: &BTreeSet<Role>| {
        roles
            .iter()
            .map(|role| role.as_str())
            .collect::<Vec<_>>()
            .join(",")
    };
    let what = format!(
        "gave={} took={}{}",
        word(give),
        word(take),
        if close { " closed" } else { "" }
    );
    found.version += 1;
    put(
        party,
        found.id,
        &found.account,
        found.version,
        false,
        &what,
        beside,
    )
    .await?;
    Ok(found)
}

/// A new code for a person who lost password or second factor. The old ones end at once.
///
/// # Errors
/// [`AccountError`].
pub async fn reset(party: &Party, name: &str) -> Result<(AccountId, String), AccountError> {
    let mut found = by_name(party, name).await?.ok_or(AccountError::Unknown)?;
    let (code, hash) = secrets::code(party.ambient());
    found.account.invite(hash);
    put(
        party,
        found.id,
        &found.account,
        found.version + 1,
        false,
        "reset",
        // What was lost is not good again once a backup is restored.
        vec![
            Effect::NoteLessened(found.id),
            Effect::EndSessions(found.id),
        ],
    )
    .await?;
    Ok((found.id, code))
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let fits = (1..=MAX_NAME).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if fits {
        Ok(())
    } else {
        Err(AccountError::Name)
    }
}

async fn put(
    party: &Party,
    id: AccountId,
    account: &Account,
    version: u64,
    first: bool,
    what: &str,
    beside: Vec<Effect>,
) -> Result<(), AccountError> {
    let (leaf, _) = Leaf::new(
        pb::Act::AccountChanged,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.reference = format!("account={} {what}", hex::encode(id));
        if entry.operator.is_empty() {
            // Claimed by its own person.
            entry.operator = id.to_vec();
        }
    })
    .finish();
    let mut act = Act::alone(leaf).with(Effect::PutAccount {
        row: row(party, id, account, version)?,
        first,
    });
    act.effects.extend(beside);
    match party.ledger().commit(act).await? {
        Committed::Done { .. } => Ok(()),
        _ => Err(AccountError::Changed),
    }
}

#[cfg(test)]
mod tests;
