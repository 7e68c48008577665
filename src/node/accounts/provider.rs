//! Signing in at the member's identity provider: OpenID Connect Core 1.0, the authorisation code flow
//! with PKCE (RFC 7636). Whom a person is here, and what they may do, no provider says: an
//! administrator links them to an account.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::Serializer;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Uri};
use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::identity_token::{Expected, Keys, TokenError};
use super::sign_in::{ABSOLUTE_MS, FRESH_MS};
use super::ticket::{self, TicketUse};
use crate::exchange::Party;
use crate::node::Directory;
use crate::node::web::{self, is_safe};
use crate::store::StoreError;

/// For how long what a provider says of itself is remembered, in milliseconds.
const REMEMBERED_MS: u64 = 5 * 60_000;

/// `[identity_provider]` of `node.toml`: where the member's people sign in otherwise.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// What people call it.
    pub name: String,
    /// Its issuer identifier: `https://...`, or `http` on this machine.
    pub issuer: String,
    /// What it calls this node.
    pub client_id: String,
    /// The file with the client's secret; a relative path counts from the node's directory. Not set
    /// for a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<PathBuf>,
    /// The certificates that are trusted there, a PEM file. Not set, those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The authentication contexts (`acr`) that count as two factors: the provider is asked for one of
    /// them and each sign-in must state one. Not set, any is taken, and no decision is made on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// There is none.
    #[error(
        "no identity provider is set: write [identity_provider] into node.toml, see docs/console.md"
    )]
    None,
    /// It cannot be asked.
    #[error("the identity provider cannot be asked: {0}")]
    Unreachable(String),
    /// What the browser brought back was not given to it, or too long ago, or was used.
    #[error(
        "this sign-in was not begun here, was used already, or is older than ten minutes: begin it again"
    )]
    Ticket,
    /// The provider did not give a token for the code.
    #[error("the identity provider did not take the code: {0}")]
    Code(String),
    /// It calls itself otherwise.
    #[error("the answer is of another identity provider")]
    Issuer,
    /// What the provider says does not hold.
    #[error("what the identity provider says does not hold: {0}")]
    Token(#[from] TokenError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whom a provider vouches for.
pub struct Vouched {
    /// The person, as the provider identifies them.
    pub subject: String,
    /// When they proved by two factors who they are, in milliseconds since 1970; 0 if it does not
    /// say.
    pub proved_ms: u64,
}

/// What came back with a browser.
pub struct Came<'a> {
    /// The browser's secret.
    pub browser: &'a str,
    /// Where it came back to.
    pub redirect: &'a str,
    /// The state.
    pub state: &'a str,
    /// The code.
    pub code: &'a str,
    /// The provider's name for itself, if it said one (RFC 9207).
    pub issuer: &'a str,
}

/// What a provider says of itself (OpenID Connect Discovery 1.0, section 3), as far as it is used.
#[derive(Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// What it answers to a code.
#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
}

/// The identity provider of a node.
pub struct Provider {
    config: ProviderConfig,
    directory: Directory,
    known: Mutex<Option<(u64, Metadata)>>,
}

impl Provider {
    /// The provider of a configuration. It is asked nothing yet.
    #[must_use]
    pub fn new(config: ProviderConfig, directory: Directory) -> Self {
        Self {
            config,
            directory,
            known: Mutex::new(None),
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    fn secret(&self) -> Result<Option<Zeroizing<String>>, ProviderError> {
        let Some(file) = &self.config.client_secret else {
            return Ok(None);
        };
        let path = self.directory.path().join(file);
        let secret = std::fs::read_to_string(&path).map_err(|error| {
            ProviderError::Unreachable(format!(
                "{}: {error}; client_secret of [identity_provider] names it",
                path.display()
            ))
        })?;
        Ok(Some(Zeroizing::new(secret.trim().to_owned())))
    }

    /// Asks the provider, and reads its answer as JSON, whatever its status: refusals are JSON too.
    async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<(u16, Option<T>), ProviderError> {
        let trust = self
            .config
            .ca
            .as_ref()
            .map(|ca| self.directory.path().join(ca));
        let answer = web::ask(trust.as_deref(), request)
            .await
            .map_err(|error| ProviderError::Unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(answer.body()).ok()))
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, ProviderError> {
        let request = Request::get(address)
            .header(ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|error| ProviderError::Unreachable(format!("{address}: {error}")))?;
        match self.ask(request).await? {
            (200, Some(answer)) => Ok(answer),
            (200, None) => Err(ProviderError::Unreachable(format!(
                "{address} answered something else than is expected there"
            ))),
            (status, _) => Err(ProviderError::Unreachable(format!(
                "{address} answered {status}"
            ))),
        }
    }

    /// What it says of itself.
    async fn metadata(&self, party: &Party) -> Result<Metadata, ProviderError> {
        let now_ms = party.ambient().now_ms();
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read_ms, metadata)) = &*known
                && now_ms < read_ms + REMEMBERED_MS
            {
                return Ok(metadata.clone());
            }
        }
        let issuer = &self.config.issuer;
        let address = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let metadata: Metadata = self.get(&address).await?;
        // Whoever serves these words for another could have people sent to it.
        if metadata.issuer != *issuer {
            return Err(ProviderError::Issuer);
        }
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint];
        let unsafe_one = endpoints
            .into_iter()
            .find(|address| !address.parse::<Uri>().is_ok_and(|uri| is_safe(&uri)));
        if let Some(address) = unsafe_one {
            return Err(ProviderError::Unreachable(format!(
                "it names {address}, which is neither https nor on this machine"
            )));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((now_ms, metadata.clone()));
        Ok(metadata)
    }

    /// Where a browser is sent to sign in.
    ///
    /// # Errors
    /// [`ProviderError::Unreachable`].
    pub async fn begin(
        &self,
        party: &Party,
        browser: &str,
        redirect: &str,
        again: bool,
    ) -> Result<String, ProviderError> {
        let metadata = self.metadata(party).await?;
        let what = match again {
            true => TicketUse::ProviderAgain,
            false => TicketUse::Provider,
        };
        let state = ticket::draw(party, what, browser);
        let verifier = ticket::secret_of(party, "verifier", &state);
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let mut query = Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", "openid")
            .append_pair("state", &state)
            .append_pair("nonce", &ticket::secret_of(party, "nonce", &state))
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if again {
            query.append_pair("prompt", "login");
        }
        if !self.config.acr.is_empty() {
            // With an age, a provider has to say when the person signed in.
            let age = if again { FRESH_MS } else { ABSOLUTE_MS } / 1_000;
            query
                .append_pair("acr_values", &self.config.acr.join(" "))
                .append_pair("max_age", &age.to_string());
        }
        let endpoint = metadata.authorization_endpoint;
        let sign = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{sign}{}", query.finish()))
    }

    /// Whom the provider vouches for, from what it sent back with the browser.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn finish(&self, party: &Party, came: &Came<'_>) -> Result<Vouched, ProviderError> {
        let holds = |what| ticket::holds(party, what, came.browser, came.state);
        let again = holds(TicketUse::ProviderAgain);
        if !again && !holds(TicketUse::Provider) || !ticket::spend(party, came.state).await? {
            return Err(ProviderError::Ticket);
        }
        if !came.issuer.is_empty() && came.issuer != self.config.issuer {
            return Err(ProviderError::Issuer);
        }
        let metadata = self.metadata(party).await?;
        let token = self.token(party, &metadata, came).await?;
        // Keys change: they are read for each sign-in.
        let keys: Keys = self.get(&metadata.jwks_uri).await?;
        let now_ms = party.ambient().now_ms();
        // Where no decision is made on it, it does not matter when the person signed in there.
        let age_ms = match (self.config.acr.is_empty(), again) {
            (true, _) => now_ms,
            (false, true) => FRESH_MS,
            (false, false) => ABSOLUTE_MS,
        };
        let nonce = ticket::secret_of(party, "nonce", came.state);
        let claims = keys.verify(
            &token,
            &Expected {
                issuer: &self.config.issuer,
                audience: &self.config.client_id,
                nonce: &nonce,
                acr: &self.config.acr,
                oldest: now_ms.saturating_sub(age_ms) / 1_000,
                now: now_ms / 1_000,
            },
        )?;
        let proved_ms = match self.config.acr.is_empty() {
            true => 0,
            false => (claims.auth_time.unwrap_or(0) * 1_000).min(now_ms),
        };
        Ok(Vouched {
            subject: claims.sub,
            proved_ms,
        })
    }

    /// The identity token for a code (OpenID Connect Core, section 3.1.3).
    async fn token(
        &self,
        party: &Party,
        metadata: &Metadata,
        came: &Came<'_>,
    ) -> Result<Zeroizing<String>, ProviderError> {
        let request = self.token_request(party, metadata, came)?;
        let (status, answer) = self.ask::<TokenAnswer>(request).await?;
        match answer.and_then(|answer| answer.id_token) {
            Some(token) if status == 200 => Ok(Zeroizing::new(token)),
            _ => Err(ProviderError::Code(format!(
                "it answered {status} without an identity token"
            ))),
        }
    }

    fn token_request(
        &self,
        party: &Party,
        metadata: &Metadata,
        came: &Came<'_>,
    ) -> Result<Request<Vec<u8>>, ProviderError> {
        let id = &self.config.client_id;
        let mut body = Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", came.code)
            .append_pair("redirect_uri", came.redirect)
            .append_pair(
                "code_verifier",
                &ticket::secret_of(party, "verifier", came.state),
            );
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&metadata.token_endpoint)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let knows = |method: &str| methods.iter().any(|known| known == method);
        match self.secret()? {
            None => {
                body.append_pair("client_id", id);
            }
            Some(secret) if knows("client_secret_post") && !knows("client_secret_basic") => {
                body.append_pair("client_id", id)
                    .append_pair("client_secret", &secret);
            }
            Some(secret) => {
                // Both parts are encoded as in a form first (RFC 6749, section 2.3.1).
                let encoded = |text: &str| {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let pair = Zeroizing::new(format!("{}:{}", encoded(id), encoded(&secret)));
                let value = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
                request = request.header(AUTHORIZATION, value);
            }
        }
        request
            .body(body.finish().into_bytes())
            .map_err(|error| ProviderError::Unreachable(error.to_string()))
    }
}
