//! Passwords, second factors and one-time codes.

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use totp_rs::{Algorithm as TotpAlgorithm, Builder, Totp};
use zeroize::Zeroizing;

use super::AccountError;
use crate::ambient::Ambient;

/// Shortest password, in characters.
pub const MIN_PASSWORD: usize = 12;

/// Longest password, in octets: hashing must not take forever.
const MAX_PASSWORD: usize = 1_024;

/// Length of a second factor's secret, in octets (RFC 4226, section 4).
const FACTOR: usize = 20;

/// How long a code of the second factor is shown, in seconds.
const STEP: u64 = 30;

/// The cost of a guess: 19 MiB, two passes (the OWASP's figures for argon2id).
fn argon() -> Result<Argon2<'static>, AccountError> {
    let params = Params::new(19_456, 2, 1, None).map_err(system)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn system(error: impl std::fmt::Display) -> AccountError {
    AccountError::System(format!("a password could not be hashed: {error}"))
}

pub(super) fn check_password(password: &str) -> Result<(), AccountError> {
    if password.chars().count() < MIN_PASSWORD || password.len() > MAX_PASSWORD {
        return Err(AccountError::Password);
    }
    Ok(())
}

/// The hash of a password, as a PHC string.
pub(super) async fn hash(ambient: &Ambient, password: &str) -> Result<String, AccountError> {
    let salt: [u8; 16] = ambient.random();
    let password = Zeroizing::new(password.to_owned());
    // It takes long on purpose, and must not keep others waiting.
    tokio::task::spawn_blocking(move || {
        argon()?
            .hash_password_with_salt(password.as_bytes(), &salt)
            .map(|hash| hash.to_string())
            .map_err(system)
    })
    .await
    .map_err(system)?
}

/// Whether a password has this hash. Without one, the same work is done in vain, so that a name that
/// is not there cannot be told by the time.
pub(super) async fn verify(hash: Option<&str>, password: &str) -> Result<bool, AccountError> {
    if password.len() > MAX_PASSWORD {
        return Ok(false);
    }
    let hash = hash.map(str::to_owned);
    let password = Zeroizing::new(password.to_owned());
    tokio::task::spawn_blocking(move || {
        let argon = argon()?;
        match hash {
            Some(hash) => Ok(argon
                .verify_password(password.as_bytes(), hash.as_str())
                .is_ok()),
            None => argon
                .hash_password_with_salt(password.as_bytes(), &[0; 16])
                .map(|_| false)
                .map_err(system),
        }
    })
    .await
    .map_err(system)?
}

/// A one-time code for a person, and the hash that is kept of it.
pub(super) fn code(ambient: &Ambient) -> (String, String) {
    // 128 random bits need no slow hash.
    let code = hex::encode(ambient.random::<16>());
    let hash = code_hash(&code);
    (code, hash)
}

pub(super) fn code_hash(code: &str) -> String {
    hex::encode(digest(&SHA256, code.trim().as_bytes()).as_ref())
}

pub(super) fn code_holds(code: &str, hash: &str) -> bool {
    !hash.is_empty() && bool::from(code_hash(code).as_bytes().ct_eq(hash.trim().as_bytes()))
}

/// A second factor as its person is shown it, once.
pub struct SecondFactor {
    secret: Zeroizing<String>,
    totp: Totp,
}

impl SecondFactor {
    /// A fresh one.
    ///
    /// # Errors
    /// If name and member cannot stand in an address of the form `otpauth://`.
    pub(super) fn generate(
        ambient: &Ambient,
        name: &str,
        member: &str,
    ) -> Result<Self, AccountError> {
        let octets: [u8; FACTOR] = ambient.random();
        let totp = Builder::new()
            .with_algorithm(TotpAlgorithm::SHA1)
            .with_secret(octets.to_vec())
            .with_account_name(name.to_owned())
            .with_issuer(Some(format!("Wayhome {member}")))
            .build()
            .map_err(|error| AccountError::System(error.to_string()))?;
        Ok(Self {
            secret: Zeroizing::new(hex::encode(octets)),
            totp,
        })
    }

    /// The secret, hex, to be sealed.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The address for an authenticator program.
    ///
    /// # Errors
    /// Never for one that was made here.
    pub fn address(&self) -> Result<String, AccountError> {
        self.totp
            .to_url()
            .map_err(|error| AccountError::System(error.to_string()))
    }

    /// The secret as people type it, base32.
    #[must_use]
    pub fn typed(&self) -> String {
        self.totp.secret().to_base32()
    }
}

/// The time step whose code this is: that of now, or one before or after it.
pub(super) fn factor_step(secret: &str, code: &str, now: u64) -> Option<u64> {
    let octets = Zeroizing::new(hex::decode(secret).ok()?);
    let totp = Builder::new()
        .with_algorithm(TotpAlgorithm::SHA1)
        .with_secret(octets.to_vec())
        .with_step_duration(STEP)
        .with_skew(1)
        .build_noncompliant();
    let code = code.trim();
    (code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| totp.check(code, now))
        .flatten()
}
