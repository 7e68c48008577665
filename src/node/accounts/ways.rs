//! The ways to sign in beside password and code: a passkey, the member's identity provider.

use super::identity_token::MAX_SUBJECT;
use super::passkey::{Answer, MAX_PASSKEYS, Passkey, PasskeyError};
use super::provider::{Came, Provider, ProviderError};
use super::sign_in::{self, SignedIn};
use super::ticket::{self, TicketUse};
use super::{AccountError, Read, account::Linked, all, by_id, by_name, put};
use crate::exchange::Party;
use crate::exchange::disclose::AccountId;
use crate::node::{Config, Directory};
use crate::store::Effect;

/// The ways of one node, from its configuration.
pub struct Ways {
    provider: Option<Provider>,
    /// Names of the console.
    hosts: Vec<String>,
}

impl Ways {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &Config, directory: &Directory) -> Self {
        let console = config.console.as_ref();
        let mut hosts = console.map_or_else(Vec::new, |console| console.hosts.clone());
        if console.is_some_and(|console| console.listen.ip().is_loopback()) {
            hosts.push("localhost".to_owned());
        }
        // Browsers give passkeys to names alone.
        hosts.retain(|host| host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('['));
        Self {
            provider: config
                .identity_provider
                .clone()
                .map(|config| Provider::new(config, directory.clone())),
            hosts,
        }
    }

    /// The identity provider.
    ///
    /// # Errors
    /// [`ProviderError::None`].
    pub fn provider(&self) -> Result<&Provider, ProviderError> {
        self.provider.as_ref().ok_or(ProviderError::None)
    }

    /// The name for which passkeys of a page are good: the host of its origin, if it is one of the
    /// console's.
    ///
    /// # Errors
    /// [`AccountError::PasskeyHost`].
    pub fn host_of<'a>(&self, origin: &'a str) -> Result<&'a str, AccountError> {
        let (scheme, rest) = origin.split_once("://").ok_or(AccountError::PasskeyHost)?;
        let host = rest.split(':').next().unwrap_or_default();
        let known = self.hosts.iter().any(|known| known == host);
        if known && (scheme == "https" || host == "localhost") {
            Ok(host)
        } else {
            Err(AccountError::PasskeyHost)
        }
    }
}

/// Whether an answer is to a challenge that was drawn for this browser and is spent by it now.
async fn challenged(party: &Party, browser: &str, challenge: &str) -> Result<(), AccountError> {
    let fits = ticket::holds(party, TicketUse::Passkey, browser, challenge)
        && ticket::spend(party, challenge).await?;
    if fits {
        Ok(())
    } else {
        Err(AccountError::Challenge)
    }
}

/// Adds a passkey to an account.
///
/// # Errors
/// [`AccountError`].
pub async fn add_passkey(
    party: &Party,
    id: AccountId,
    browser: &str,
    answer: &Answer<'_>,
    public_key: &[u8],
    label: &str,
) -> Result<(), AccountError> {
    challenged(party, browser, answer.challenge).await?;
    let passkey = Passkey::create(answer, public_key, label, party.ambient().now_ms())
        .map_err(AccountError::Passkey)?;
    let taken = all(party)
        .await?
        .iter()
        .flat_map(|read| &read.account.passkeys)
        .any(|known| known.is(answer.credential));
    if taken {
        return Err(AccountError::Passkey(PasskeyError::AuthenticatorData));
    }
    let mut read = by_id(party, &id).await?.ok_or(AccountError::Unknown)?;
    if read.account.passkeys.len() >= MAX_PASSKEYS {
        return Err(AccountError::TooManyPasskeys);
    }
    read.account.passkeys.push(passkey);
    keep(party, read, "passkey-added", Vec::new())
        .await
        .map(drop)
}

/// Removes a passkey from an account.
///
/// # Errors
/// [`AccountError`].
pub async fn remove_passkey(
    party: &Party,
    id: AccountId,
    credential: &[u8],
) -> Result<(), AccountError> {
    let mut read = by_id(party, &id).await?.ok_or(AccountError::Unknown)?;
    read.account.passkeys.retain(|known| !known.is(credential));
    // What was lost is not good again once a backup is restored.
    let beside = vec![Effect::NoteLessened(id)];
    keep(party, read, "passkey-removed", beside).await.map(drop)
}

/// Begins a session with a passkey.
///
/// # Errors
/// [`AccountError::Challenge`] or [`AccountError::Passkey`], which does not say whether there is such
/// an account.
pub async fn sign_in_with_passkey(
    party: &Party,
    id: AccountId,
    browser: &str,
    answer: &Answer<'_>,
    signature: &[u8],
) -> Result<SignedIn, AccountError> {
    challenged(party, browser, answer.challenge).await?;
    let mut found = by_id(party, &id).await?;
    let verified = found
        .as_mut()
        .filter(|read| read.account.is_taken())
        .and_then(|read| {
            read.account
                .passkeys
                .iter_mut()
                .find(|known| known.is(answer.credential))
        })
        .ok_or(PasskeyError::Signature)
        .and_then(|passkey| passkey.verify(answer, signature));
    match (verified, found) {
        (Ok(()), Some(found)) => {
            let now_ms = party.ambient().now_ms();
            sign_in::begin(party, found, "passkey", now_ms).await
        }
        (verified, found) => {
            let known = found.map(|found| found.id);
            sign_in::refused_other(party, known, "PASSKEY_REFUSED").await?;
            Err(AccountError::Passkey(
                verified.err().unwrap_or(PasskeyError::Signature),
            ))
        }
    }
}

/// What came of a sign-in at the identity provider.
pub enum AtProvider {
    /// A session was begun.
    SignedIn(Box<SignedIn>),
    /// No account is linked to this person.
    Unknown(String),
}

/// Begins a session with what the identity provider sent back, if an administrator has linked its
/// person to an account. No account is ever made, and no role given, by what a provider says.
///
/// # Errors
/// [`AccountError`].
pub async fn sign_in_at_provider(
    party: &Party,
    ways: &Ways,
    came: &Came<'_>,
) -> Result<AtProvider, AccountError> {
    let provider = ways.provider()?;
    let vouched = match provider.finish(party, came).await {
        Ok(vouched) => vouched,
        Err(error) => {
            let error = AccountError::from(error);
            sign_in::refused_other(party, None, error.code()).await?;
            tracing::warn!(%error, "a sign-in at the identity provider was refused");
            return Err(error);
        }
    };
    let person = Linked {
        issuer: provider.issuer().to_owned(),
        subject: vouched.subject,
    };
    let found = all(party)
        .await?
        .into_iter()
        .find(|read| read.account.is_taken() && read.account.linked.as_ref() == Some(&person));
    match found {
        Some(found) => Ok(AtProvider::SignedIn(Box::new(
            sign_in::begin(party, found, "provider", vouched.proved_ms).await?,
        ))),
        None => {
            sign_in::refused_other(party, None, "NOT_LINKED").await?;
            Ok(AtProvider::Unknown(person.subject))
        }
    }
}

/// Says which person of the identity provider an account is; none to unlink. Sessions of an account
/// that was linked to another end.
///
/// # Errors
/// [`AccountError`].
pub async fn link(
    party: &Party,
    ways: &Ways,
    name: &str,
    subject: &str,
) -> Result<Read, AccountError> {
    let subject = subject.trim();
    let linked = if subject.is_empty() {
        None
    } else {
        if subject.len() > MAX_SUBJECT || !subject.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(AccountError::Subject);
        }
        Some(Linked {
            issuer: ways.provider()?.issuer().to_owned(),
            subject: subject.to_owned(),
        })
    };
    let mut read = by_name(party, name).await?.ok_or(AccountError::Unknown)?;
    let taken = all(party)
        .await?
        .into_iter()
        .filter(|other| other.id != read.id && !other.account.closed)
        .any(|other| linked.is_some() && other.account.linked == linked);
    if taken {
        return Err(AccountError::LinkTaken);
    }
    if read.account.linked == linked {
        return Ok(read);
    }
    let what = if linked.is_some() {
        "linked"
    } else {
        "unlinked"
    };
    let beside = if read.account.linked.is_some() {
        vec![Effect::NoteLessened(read.id), Effect::EndSessions(read.id)]
    } else {
        Vec::new()
    };
    read.account.linked = linked;
    keep(party, read, what, beside).await
}

/// Keeps an account as it is now, and gives it with the version that it then has.
async fn keep(
    party: &Party,
    mut read: Read,
    what: &str,
    beside: Vec<Effect>,
) -> Result<Read, AccountError> {
    read.version += 1;
    put(
        party,
        read.id,
        &read.account,
        read.version,
        false,
        what,
        beside,
    )
    .await?;
    Ok(read)
}
