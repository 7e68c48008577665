//! A master key that never leaves a hardware security module, reached by PKCS#11.
//!
//! The token holds AES-256 keys that cannot be taken out of it; it encrypts and decrypts with them
//! (AES-GCM), and the place of what is wrapped is the associated data, so the module itself refuses
//! a value that was moved. The module wraps the few keys above data keys, and no data key by itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use rand_core::CryptoRngCore;
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::error::VaultError;
use super::keyring::{KEY_ID_BYTES, KeyId, KeyWrapper};
use super::seal::{DATA_KEY_BYTES, DataKey, NONCE_BYTES, Place, TAG_BYTES, draw_nonce};

/// The version of a key that a module wrapped. Other keepers have other versions, so that one is
/// never asked about what another wrapped.
pub(super) const VERSION: u8 = 2;

const CONTEXT: &[u8] = b"wayhome/wrap/pkcs11/v1";
const TAG_BITS: u64 = 128;

/// Which keys of which token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKeys {
    /// The vendor's module, a shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// Labels of AES-256 keys in it; the first wraps, any unwraps.
    pub keys: Vec<String>,
}

/// Master keys in a token.
///
/// A wrapped key is `version (1 byte) || key id (8) || nonce (12) || ciphertext (32) || tag (16)`.
pub struct Pkcs11Keys {
    wanted: TokenKeys,
    pin: AuthPin,
    /// One session, used by one caller at a time; nothing after it was lost.
    open: Mutex<Option<Open>>,
}

struct Open {
    session: Session,
    /// Ids and handles, the key that wraps first.
    keys: Vec<(KeyId, ObjectHandle)>,
}

impl Pkcs11Keys {
    /// Opens the token and looks for its keys.
    ///
    /// # Errors
    /// [`VaultError::Token`] says which of module, token, PIN or key is wrong, and what to do.
    pub fn open(wanted: TokenKeys, pin: &[u8]) -> Result<Self, VaultError> {
        let pin = std::str::from_utf8(pin)
            .map_err(|_| {
                token_error(
                    &wanted.token,
                    "the PIN is no text",
                    "write the PIN, and nothing else, into its file",
                )
            })?
            .trim_end_matches(['\n', '\r']);
        let keys = Self {
            pin: AuthPin::new(pin.to_owned().into()),
            wanted,
            open: Mutex::new(None),
        };
        keys.with(|_| Ok(()))?;
        Ok(keys)
    }

    /// Ids of the keys, the one that wraps first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.wanted.keys.iter().map(|label| id_of(label))
    }

    /// Runs on the session; one that was lost, as when the module was restarted, is opened anew once.
    fn with<T>(
        &self,
        run: impl Fn(&Open) -> Result<T, cryptoki::error::Error>,
    ) -> Result<T, VaultError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = false;
        loop {
            let ready = match open.take() {
                Some(ready) => ready,
                None => {
                    fresh = true;
                    self.connect()?
                }
            };
            match run(&ready) {
                Ok(done) => {
                    *open = Some(ready);
                    return Ok(done);
                }
                Err(error) if is_lost(&error) && !fresh => {}
                Err(error) => {
                    if !is_lost(&error) {
                        *open = Some(ready);
                    }
                    return Err(self.failed(&error));
                }
            }
        }
    }

    fn connect(&self) -> Result<Open, VaultError> {
        let module = module(&self.wanted)?;
        let slots = module
            .get_slots_with_initialized_token()
            .map_err(|error| self.failed(&error))?;
        let mut labels = Vec::new();
        let mut found = None;
        for slot in slots {
            let info = module
                .get_token_info(slot)
                .map_err(|error| self.failed(&error))?;
            if info.label().trim_end() == self.wanted.token {
                found = Some(slot);
            }
            labels.push(format!("{:?}", info.label().trim_end()));
        }
        let slot = found.ok_or_else(|| {
            let there = match labels.as_slice() {
                [] => "there is none".to_owned(),
                labels => format!("there are {}", labels.join(", ")),
            };
            self.wrong(
                &format!("no token has this label; {there}"),
                "connect and initialise the token, or correct `token` in node.toml",
            )
        })?;
        let session = module
            .open_ro_session(slot)
            .map_err(|error| self.failed(&error))?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(self.failed(&error)),
        }
        let mut keys = Vec::with_capacity(self.wanted.keys.len());
        for label in &self.wanted.keys {
            keys.push((id_of(label), self.find(&session, label)?));
        }
        if keys.is_empty() {
            return Err(self.wrong(
                "no key is named",
                "name the label of an AES-256 key under `keys` in node.toml",
            ));
        }
        Ok(Open { session, keys })
    }

    fn find(&self, session: &Session, label: &str) -> Result<ObjectHandle, VaultError> {
        let found = session
            .find_objects(&[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Label(label.as_bytes().to_vec()),
            ])
            .map_err(|error| self.failed(&error))?;
        let key = match found.as_slice() {
            [key] => *key,
            [] => {
                return Err(self.wrong(
                    &format!("it has no AES key with the label {label:?}"),
                    "make one that cannot be taken out: pkcs11-tool --login --keygen --key-type \
                     AES:32 --sensitive --label LABEL",
                ));
            }
            _ => {
                return Err(self.wrong(
                    &format!("several of its keys have the label {label:?}"),
                    "give each key a label of its own",
                ));
            }
        };
        let attributes = session
            .get_attributes(
                key,
                &[
                    AttributeType::Extractable,
                    AttributeType::Sensitive,
                    AttributeType::ValueLen,
                ],
            )
            .map_err(|error| self.failed(&error))?;
        let is_kept = attributes.contains(&Attribute::Extractable(false))
            && attributes.contains(&Attribute::Sensitive(true));
        if !is_kept {
            return Err(self.wrong(
                &format!("the key {label:?} can be taken out of it"),
                "make a key that is sensitive and not extractable, and name that one",
            ));
        }
        if !attributes.contains(&Attribute::ValueLen((DATA_KEY_BYTES as u64).into())) {
            return Err(self.wrong(
                &format!("the key {label:?} has not 256 bits"),
                "make an AES key of 32 octets, and name that one",
            ));
        }
        Ok(key)
    }

    fn failed(&self, error: &Error) -> VaultError {
        let Error::Pkcs11(code, function) = error else {
            return self.wrong(&error.to_string(), "see the module's own documentation");
        };
        let remedy = match code {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
                "the PIN is wrong: correct its file before the next start, since a token locks \
                 itself after a few wrong ones"
            }
            RvError::PinLocked => "the PIN is locked: have the token's security officer unlock it",
            RvError::MechanismInvalid | RvError::MechanismParamInvalid => {
                "the token has no AES-GCM (CKM_AES_GCM): use one that has"
            }
            RvError::TokenNotPresent | RvError::DeviceRemoved | RvError::DeviceError => {
                "the token does not answer: check that it is connected and unlocked"
            }
            RvError::KeyFunctionNotPermitted => {
                "the key may not encrypt and decrypt: make one that may (CKA_ENCRYPT, CKA_DECRYPT)"
            }
            _ => "check that the module's service runs and the token is unlocked",
        };
        self.wrong(&format!("{function:?} gave {code:?}"), remedy)
    }

    fn wrong(&self, problem: &str, remedy: &'static str) -> VaultError {
        token_error(&self.wanted.token, problem, remedy)
    }
}

fn token_error(token: &str, problem: &str, remedy: &'static str) -> VaultError {
    VaultError::Token {
        token: token.to_owned(),
        problem: problem.to_owned(),
        remedy,
    }
}

/// Whether a session has to be opened anew.
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::CryptokiNotInitialized,
            _
        )
    )
}

/// A module is initialised once in a process, whoever uses it, and stays so until the process ends:
/// ending it for one user would end it for all.
fn module(wanted: &TokenKeys) -> Result<Pkcs11, VaultError> {
    static MODULES: Mutex<Option<HashMap<PathBuf, Pkcs11>>> = Mutex::new(None);
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let modules = modules.get_or_insert_with(HashMap::new);
    if let Some(known) = modules.get(&wanted.module) {
        return Ok(known.clone());
    }
    let fresh = load(&wanted.module).map_err(|problem| {
        token_error(
            &wanted.token,
            &problem,
            "install the module of the token's vendor, and give its path as `module` in node.toml",
        )
    })?;
    modules.insert(wanted.module.clone(), fresh.clone());
    Ok(fresh)
}

fn load(path: &Path) -> Result<Pkcs11, String> {
    let failed = |error: Error| format!("the module {} cannot be used: {error}", path.display());
    let module = Pkcs11::new(path).map_err(failed)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(failed(error)),
    }
}

/// A key is named by its label, which outlives a move to another token.
fn id_of(label: &str) -> KeyId {
    let named = [b"wayhome/vault/pkcs11-key-id/v1/", label.as_bytes()].concat();
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&digest(&SHA256, &named).as_ref()[..KEY_ID_BYTES]);
    KeyId(id)
}

/// Splits a wrapped key into key id, nonce and ciphertext.
fn split(wrapped: &[u8]) -> Result<(KeyId, [u8; NONCE_BYTES], &[u8]), VaultError> {
    const LEAST: usize = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;
    let truncated = VaultError::Truncated {
        found: wrapped.len(),
        least: LEAST,
    };
    let Some((version, rest)) = wrapped.split_first().filter(|_| wrapped.len() >= LEAST) else {
        return Err(truncated);
    };
    if *version != VERSION {
        return Err(VaultError::UnknownVersion {
            found: *version,
            known: VERSION,
        });
    }
    let Some((id, rest)) = rest.split_first_chunk() else {
        return Err(truncated);
    };
    let Some((nonce, sealed)) = rest.split_first_chunk() else {
        return Err(truncated);
    };
    Ok((KeyId(*id), *nonce, sealed))
}

fn gcm<'a>(nonce: &'a mut [u8], place: &'a [u8]) -> Result<Mechanism<'a>, Error> {
    Ok(Mechanism::AesGcm(GcmParams::new(
        nonce,
        place,
        TAG_BITS.into(),
    )?))
}

impl KeyWrapper for Pkcs11Keys {
    fn wrap(
        &self,
        data_key: &DataKey,
        place: Place<'_>,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Vec<u8>, VaultError> {
        let nonce = draw_nonce(rng);
        let bound = place.associated_data(CONTEXT);
        self.with(|open| {
            let Some((id, key)) = open.keys.first() else {
                return Err(Error::InvalidValue);
            };
            // The module may write the nonce that it used in place of the one it was given.
            let mut used = nonce;
            let sealed = open
                .session
                .encrypt(&gcm(&mut used, &bound)?, *key, data_key.expose())?;
            let mut wrapped = vec![VERSION];
            wrapped.extend_from_slice(&id.0);
            wrapped.extend_from_slice(&used);
            wrapped.extend_from_slice(&sealed);
            Ok(wrapped)
        })
    }

    fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<DataKey, VaultError> {
        let (id, nonce, sealed) = split(wrapped)?;
        if !self.ids().any(|known| known == id) {
            return Err(VaultError::UnknownKey { id });
        }
        let bound = place.associated_data(CONTEXT);
        // A value that does not open accuses the database, and not the module.
        let opened = self.with(|open| {
            let Some((_, key)) = open.keys.iter().find(|(known, _)| *known == id) else {
                return Err(Error::InvalidValue);
            };
            let mut nonce = nonce;
            match open
                .session
                .decrypt(&gcm(&mut nonce, &bound)?, *key, sealed)
            {
                Ok(opened) => Ok(Some(Zeroizing::new(opened))),
                Err(Error::Pkcs11(
                    RvError::EncryptedDataInvalid
                    | RvError::EncryptedDataLenRange
                    | RvError::GeneralError
                    | RvError::FunctionFailed,
                    _,
                )) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        let opened = opened.ok_or(VaultError::DoesNotOpen)?;
        DataKey::from_opened(&opened)
    }

    fn is_current(&self, wrapped: &[u8]) -> Result<bool, VaultError> {
        let (id, ..) = split(wrapped)?;
        Ok(self.ids().next() == Some(id))
    }
}
