//! A party's keys: made once by `wayhome init`, loaded by every command that speaks for the party.

use std::path::Path;
use std::sync::Arc;

use rand_core::RngCore as _;
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::directory::{Directory, DirectoryError};
use super::guard::Guard;
use super::keys::{self, KeysConfig};
use crate::ambient::Ambient;
use crate::envelope::{Cosigner, KeyName, NoteSigner, SigningKey};
use crate::oprf::pseudonym::PseudonymKey;
use crate::roster::{Bytes32, Member, MemberId, Timestamp};
use crate::vault::{self, DataKey, KeyRing, KeyWrapper, VaultError, VaultKeys};

/// The keys of one party.
pub struct Identity {
    /// Signs messages.
    pub signing: SigningKey,
    /// Signs checkpoints of the party's own log; an ombudsman's is never used.
    pub log: NoteSigner,
    /// Cosigns the checkpoints of others.
    pub witness: Cosigner,
    /// Names records in the log.
    pub pseudonym: PseudonymKey,
    /// Opens ceremony packages (X25519, RFC 9180).
    pub encryption: Zeroizing<[u8; 32]>,
    /// Wraps what stands above data keys: wrapping keys, shares, the store's own key.
    pub master: Arc<dyn KeyWrapper>,
    /// TLS certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub tls_key: PrivateKeyDer<'static>,
}

/// The public half of an identity, as the roster states it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PublicIdentity {
    /// Ed25519 public key that verifies messages.
    pub signing_key: Bytes32,
    /// SHA-256 of the TLS certificate's SubjectPublicKeyInfo.
    pub tls_spki_sha256: Bytes32,
    /// X25519 public key for ceremony packages.
    pub encryption_key: Bytes32,
    /// Origin of the log.
    pub log_origin: String,
    /// Verifier key of the log's checkpoints.
    pub log_vkey: String,
    /// Verifier key of the cosignatures on others' checkpoints.
    pub witness_vkey: String,
}

/// A key that could not be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The vault's part.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The directory's part.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A key file that holds something else.
    #[error("{path} holds no {what}: {why}; restore the file from the node's key backup")]
    Damaged {
        /// The file.
        path: String,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The service manager gives no credentials.
    #[error(
        "the master key is to be the credential {name:?}, and there are no credentials here: run \
         the node as a systemd service with LoadCredential={name}:FILE, or set \
         CREDENTIALS_DIRECTORY"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// The certificate could not be made.
    #[error("the TLS certificate could not be made: {0}")]
    Certificate(String),
}

impl Identity {
    /// Makes all keys of the party `member` and writes them into the directory.
    ///
    /// # Errors
    /// If a key file is already there: an identity is never overwritten.
    pub fn create(
        directory: &Directory,
        member: &MemberId,
        ambient: &Ambient,
    ) -> Result<Self, IdentityError> {
        directory.create()?;
        let secret = |name: &str| -> Result<Zeroizing<[u8; 32]>, IdentityError> {
            let mut bytes = Zeroizing::new([0; 32]);
            ambient.rng().fill_bytes(bytes.as_mut());
            write_secret(&directory.key(name), &*bytes)?;
            Ok(bytes)
        };
        let master = KeyRing::generate(&mut ambient.rng());
        vault::create_file(&master, &directory.key("master.key"))?;
        keys::create_wrapping(directory, &master, ambient)?;
        secret("token.key")?;
        secret("signing.key")?;
        secret("encryption.key")?;
        secret("witness.key")?;
        let pseudonym = PseudonymKey::generate(&mut ambient.rng());
        write_secret(&directory.key("pseudonym.key"), &*pseudonym.to_bytes())?;
        let log = NoteSigner::new(
            log_origin(member)?,
            SigningKey::generate(&mut ambient.rng()),
        );
        vault::create_secret(&directory.key("log.key"), log.to_secret_text().as_bytes())?;
        let guard = directory.guard();
        Guard::new(&guard, log.note_key().name().as_str())
            .create()
            .map_err(|error| DirectoryError::of(&guard, &error))?;
        let (certificate, key) = self_signed(member)?;
        vault::create_secret(&directory.key("tls.key"), key.as_bytes())?;
        vault::create_secret(&directory.key("tls.crt"), certificate.as_bytes())?;
        Self::load(directory)
    }

    /// Loads the keys of a directory.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what is wrong with it.
    pub fn load(directory: &Directory) -> Result<Self, IdentityError> {
        let damaged = |name: &str, what: &'static str, why: String| IdentityError::Damaged {
            path: directory.key(name).display().to_string(),
            what,
            why,
        };
        let text = vault::load_secret(&directory.key("log.key"))?;
        let log = std::str::from_utf8(&text)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                NoteSigner::from_secret_text(text.trim()).map_err(|error| error.to_string())
            })
            .map_err(|why| damaged("log.key", "log key", why))?;
        let pseudonym = read_secret(&directory.key("pseudonym.key"))?;
        let pseudonym = PseudonymKey::from_bytes(*pseudonym)
            .map_err(|error| damaged("pseudonym.key", "pseudonym key", error.to_string()))?;
        let (certificate, tls_key) = load_tls(directory, TLS_CERTIFICATE, TLS_KEY)?;
        Ok(Self {
            signing: SigningKey::from_seed(&*read_secret(&directory.key(SIGNING))?),
            witness: Cosigner::new(
                witness_name(&log)?,
                SigningKey::from_seed(&*read_secret(&directory.key("witness.key"))?),
            ),
            log,
            pseudonym,
            encryption: read_secret(&directory.key("encryption.key"))?,
            master: master(directory)?,
            certificate,
            tls_key,
        })
    }

    /// Makes successors of the keys that a party renews: the one that signs its messages and that of
    /// its TLS certificate. They lie beside those in use until the roster has them.
    ///
    /// # Errors
    /// If there are successors already.
    pub fn renew(
        directory: &Directory,
        member: &MemberId,
        ambient: &Ambient,
    ) -> Result<Successors, IdentityError> {
        let mut seed = Zeroizing::new([0; 32]);
        ambient.rng().fill_bytes(seed.as_mut());
        let (certificate, key) = self_signed(member)?;
        write_secret(&directory.key(&next(SIGNING)), &*seed)?;
        vault::create_secret(&directory.key(&next(TLS_KEY)), key.as_bytes())?;
        vault::create_secret(
            &directory.key(&next(TLS_CERTIFICATE)),
            certificate.as_bytes(),
        )?;
        Successors::load(directory)?.ok_or_else(|| IdentityError::Damaged {
            path: directory.key(&next(SIGNING)).display().to_string(),
            what: "successor",
            why: "it was not written".to_owned(),
        })
    }

    /// This identity with those of its successors that `own`, the party's entry in the roster, has
    /// put into use at `now` (unix seconds).
    ///
    /// # Errors
    /// If the successors cannot be read.
    pub fn in_use(
        mut self,
        directory: &Directory,
        own: Option<&Member>,
        now: u64,
    ) -> Result<Self, IdentityError> {
        let (Some(successors), Some(own)) = (Successors::load(directory)?, own) else {
            return Ok(self);
        };
        let (signing, pin) = successors.public()?;
        if own
            .signing_keys
            .iter()
            .any(|key| key.public_key == signing && settled(key.not_before, key.not_after, now))
        {
            self.signing = successors.signing;
        }
        if own.tls_pins.iter().any(|known| {
            known.spki_sha256 == pin && settled(known.not_before, known.not_after, now)
        }) {
            self.certificate = successors.certificate;
            self.tls_key = successors.tls_key;
        }
        Ok(self)
    }

    /// Public parts of the keys that a party renews: of its signing key and its TLS certificate.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub fn renewed(&self) -> Result<(Bytes32, Bytes32), IdentityError> {
        public_parts(&self.signing, &self.certificate)
    }

    /// Puts the successors in the place of the keys they follow, which are thereby destroyed. Can be
    /// repeated if it was interrupted.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn retire(directory: &Directory) -> Result<(), IdentityError> {
        for name in [SIGNING, TLS_CERTIFICATE, TLS_KEY] {
            let from = directory.key(&next(name));
            if from.exists() {
                std::fs::rename(&from, directory.key(name)).map_err(|error| {
                    IdentityError::Damaged {
                        path: from.display().to_string(),
                        what: "key that can be put into use",
                        why: error.to_string(),
                    }
                })?;
            }
        }
        Ok(())
    }

    /// What the store works with: the ring that wraps data keys, and the second seal on coalition
    /// tokens.
    ///
    /// # Errors
    /// If a key file cannot be read.
    pub fn store_keys(directory: &Directory) -> Result<(VaultKeys, DataKey), IdentityError> {
        let master = master(directory)?;
        let wrapping = Some(keys::load_wrapping(directory, master.as_ref())?);
        let token = DataKey::from_bytes(&*read_secret(&directory.key("token.key"))?);
        Ok((VaultKeys { master, wrapping }, token))
    }

    /// The public half.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub fn public(&self) -> Result<PublicIdentity, IdentityError> {
        let spki = spki_sha256(&self.certificate)
            .map_err(|why| IdentityError::Certificate(why.to_owned()))?;
        let secret = x25519_dalek::StaticSecret::from(*self.encryption);
        let log = self.log.note_key();
        Ok(PublicIdentity {
            signing_key: Bytes32::new(*self.signing.verifying_key().as_bytes()),
            tls_spki_sha256: Bytes32::new(spki),
            encryption_key: Bytes32::new(x25519_dalek::PublicKey::from(&secret).to_bytes()),
            log_origin: log.name().to_string(),
            log_vkey: log.to_string(),
            witness_vkey: self.witness.note_key().to_string(),
        })
    }

    /// A key for the log that follows the one named `origin`: the name gets the next number.
    ///
    /// # Errors
    /// If the name is none.
    pub fn next_log_key(origin: &str, ambient: &Ambient) -> Result<NoteSigner, IdentityError> {
        let (base, number) = match origin.rsplit_once('/') {
            Some((base, number)) if number.parse::<u32>().is_ok() => {
                (base, number.parse::<u32>().unwrap_or(1))
            }
            _ => (origin, 1),
        };
        let name = KeyName::new(format!("{base}/{}", number.saturating_add(1)))
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        Ok(NoteSigner::new(
            name,
            SigningKey::generate(&mut ambient.rng()),
        ))
    }

    /// Puts another log key in place of the one in the directory, which is destroyed.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn replace_log_key(directory: &Directory, log: &NoteSigner) -> Result<(), IdentityError> {
        let text = log.to_secret_text();
        vault::save_secret(&directory.key("log.key"), text.as_bytes())?;
        Ok(())
    }
}

/// The keys that take the place of others once the roster has them.
pub struct Successors {
    signing: SigningKey,
    certificate: CertificateDer<'static>,
    tls_key: PrivateKeyDer<'static>,
}

impl Successors {
    /// Whether there are any.
    #[must_use]
    pub fn are_there(directory: &Directory) -> bool {
        directory.key(&next(SIGNING)).exists()
    }

    /// Loads the successors that lie in a directory, if there are any.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what is wrong with it.
    pub fn load(directory: &Directory) -> Result<Option<Self>, IdentityError> {
        let signing = directory.key(&next(SIGNING));
        let there = [&next(TLS_CERTIFICATE), &next(TLS_KEY)].map(|name| directory.key(name));
        // Made in this order and retired in another, so some are there only in between.
        if !signing.exists() || there.iter().any(|path| !path.exists()) {
            return Ok(None);
        }
        let (certificate, tls_key) = load_tls(directory, &next(TLS_CERTIFICATE), &next(TLS_KEY))?;
        Ok(Some(Self {
            signing: SigningKey::from_seed(&*read_secret(&signing)?),
            certificate,
            tls_key,
        }))
    }

    /// Their public parts: of the signing key and the TLS certificate.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub fn public(&self) -> Result<(Bytes32, Bytes32), IdentityError> {
        public_parts(&self.signing, &self.certificate)
    }
}

/// A key is used a little later than it is valid, so that a peer whose clock is behind takes it too.
const SETTLING_SECONDS: u64 = 120;

fn settled(not_before: Timestamp, not_after: Timestamp, now: u64) -> bool {
    not_before.unix().saturating_add(SETTLING_SECONDS) <= now && now < not_after.unix()
}

const SIGNING: &str = "signing.key";
const TLS_KEY: &str = "tls.key";
const TLS_CERTIFICATE: &str = "tls.crt";

/// Name of the file of a key's successor.
fn next(name: &str) -> String {
    format!("next-{name}")
}

fn public_parts(
    signing: &SigningKey,
    certificate: &CertificateDer<'_>,
) -> Result<(Bytes32, Bytes32), IdentityError> {
    let pin = spki_sha256(certificate).map_err(|why| IdentityError::Certificate(why.to_owned()))?;
    let signing = Bytes32::new(*signing.verifying_key().as_bytes());
    Ok((signing, Bytes32::new(pin)))
}

fn load_tls(
    directory: &Directory,
    certificate: &str,
    key: &str,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), IdentityError> {
    let damaged = |name: &str, what: &'static str, why: String| IdentityError::Damaged {
        path: directory.key(name).display().to_string(),
        what,
        why,
    };
    let pem = vault::load_secret(&directory.key(certificate))?;
    let shown = CertificateDer::from_pem_slice(&pem)
        .map_err(|error| damaged(certificate, "certificate", error.to_string()))?;
    let pem = vault::load_secret(&directory.key(key))?;
    let secret = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| damaged(key, "private key", error.to_string()))?;
    Ok((shown, secret))
}

/// The master key, from where the configuration says; a directory that has none yet has it in its
/// file.
fn master(directory: &Directory) -> Result<Arc<dyn KeyWrapper>, IdentityError> {
    #[derive(Deserialize)]
    struct Only {
        #[serde(default)]
        keys: KeysConfig,
    }
    let text = directory.read_if_there("node.toml")?.unwrap_or_default();
    let only: Only = toml::from_str(&text).map_err(|error| IdentityError::Damaged {
        path: directory.file("node.toml").display().to_string(),
        what: "[keys]",
        why: error.to_string(),
    })?;
    only.keys.master.load(directory)
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo: its pin.
///
/// # Errors
/// If it is no X.509 certificate.
pub fn spki_sha256(certificate: &CertificateDer<'_>) -> Result<[u8; 32], &'static str> {
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|_| "it is no X.509 version 3 certificate")?;
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, parsed.subject_public_key_info().as_ref()).as_ref());
    Ok(hash)
}

/// The name under which a party's certificate and connections go. Trust rests on the pin, not on
/// the name.
#[must_use]
pub fn server_name(member: &MemberId) -> String {
    format!("{member}.wayhome.internal")
}

fn log_origin(member: &MemberId) -> Result<KeyName, IdentityError> {
    KeyName::new(format!("{}/log", server_name(member)))
        .map_err(|error| IdentityError::Certificate(error.to_string()))
}

/// The name under which a party cosigns: beside its log, whatever the log's number.
fn witness_name(log: &NoteSigner) -> Result<KeyName, IdentityError> {
    let origin = log.note_key().name().to_string();
    let host = origin.split('/').next().unwrap_or_default();
    KeyName::new(format!("{host}/witness"))
        .map_err(|error| IdentityError::Certificate(error.to_string()))
}

fn self_signed(member: &MemberId) -> Result<(String, Zeroizing<String>), IdentityError> {
    let wrong = |error: rcgen::Error| IdentityError::Certificate(error.to_string());
    // The key comes from ring's own system randomness: rcgen has no other way. It is one that every
    // TLS library has, gRPC's usual one in other languages included, which knows no Ed25519 here.
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
    let mut params = rcgen::CertificateParams::new(vec![server_name(member)]).map_err(wrong)?;
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, member.as_str());
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.self_signed(&key).map_err(wrong)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

/// Writes a secret to a new file for its owner alone, in hexadecimal digits.
pub(super) fn write_secret(path: &Path, secret: &[u8]) -> Result<(), VaultError> {
    let text = Zeroizing::new(format!("{}\n", hex::encode(secret)));
    vault::create_secret(path, text.as_bytes())
}

fn read_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let text = vault::load_secret(path)?;
    let mut secret = Zeroizing::new([0; 32]);
    let text = std::str::from_utf8(&text).unwrap_or_default();
    hex::decode_to_slice(text.trim(), secret.as_mut()).map_err(|error| IdentityError::Damaged {
        path: path.display().to_string(),
        what: "secret of 32 octets in hex",
        why: error.to_string(),
    })?;
    Ok(secret)
}
