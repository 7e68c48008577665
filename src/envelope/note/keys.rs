//! Keys that sign notes: their names, their text forms, and what each kind covers.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{NoteError, NoteSignature, check_text};
use crate::envelope::keys::{SigningKey, VerifyingKey};
use crate::envelope::merkle::sha256;

/// The longest key name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

const SECRET_KEY_START: &str = "PRIVATE+KEY+";
const COSIGNATURE_HEADER: &str = "cosignature/v1\n";

/// Beginnings of other things that an Ed25519 key may sign in this project. A note never begins
/// like one, so a signature under a note is never a signature under something else.
const RESERVED_STARTS: [&str; 2] = [COSIGNATURE_HEADER, "DSSEv1 "];

/// The name of a key: not empty, no Unicode spaces, no plus sign, no control characters, at
/// most [`MAX_NAME_BYTES`] bytes. By custom a schema-less URL such as `example.org/log`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, NoteError> {
        let name = name.into();
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(allowed) {
            return Err(NoteError::Name);
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::new(text)
    }
}

/// What a note key's signatures look like and cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 over the note's text; type byte `0x01`.
    Ed25519,
    /// Ed25519 over the time and the note's text, by a witness; type byte `0x04`.
    CosignatureV1,
}

impl Algorithm {
    /// The type byte of C2SP signed-note.
    #[must_use]
    pub fn type_byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    fn from_type_byte(byte: u8) -> Result<Self, NoteError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::CosignatureV1),
            other => Err(NoteError::Algorithm { byte: other }),
        }
    }
}

/// A named public key that note signatures are checked against ("vkey").
///
/// Its text form is `name+id+base64(type byte || public key)`, the id as eight hexadecimal
/// digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteKey {
    name: KeyName,
    algorithm: Algorithm,
    key: VerifyingKey,
    id: u32,
}

impl NoteKey {
    /// Names a public key.
    #[must_use]
    pub fn new(name: KeyName, algorithm: Algorithm, key: VerifyingKey) -> Self {
        let id = key_id(&name, algorithm, &key);
        Self {
            name,
            algorithm,
            key,
            id,
        }
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The kind of signature the key makes.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key itself.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key
    }

    /// The short key id: `SHA-256(name || 0x0A || type byte || public key)[:4]`, big-endian.
    ///
    /// It only finds the key; with 32 bits it proves nothing.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Checks one signature of this key over `text`. For a cosignature gives its time (unix
    /// seconds).
    pub(super) fn check(&self, text: &str, signature: &[u8]) -> Option<Option<u64>> {
        match self.algorithm {
            Algorithm::Ed25519 => self
                .key
                .verifies(text.as_bytes(), signature)
                .then_some(None),
            Algorithm::CosignatureV1 => {
                let (time, signature) = signature.split_at_checked(8)?;
                let time = u64::from_be_bytes(time.try_into().ok()?);
                i64::try_from(time).ok()?;
                let message = cosigned_message(text, time);
                self.key
                    .verifies(message.as_bytes(), signature)
                    .then_some(Some(time))
            }
        }
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut material = vec![self.algorithm.type_byte()];
        material.extend_from_slice(self.key.as_bytes());
        write!(
            f,
            "{}+{:08x}+{}",
            self.name,
            self.id(),
            STANDARD.encode(material)
        )
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, material) = split_key_text(text)?;
        let (algorithm, bytes) = material.split_first().ok_or(NoteError::KeyText)?;
        let algorithm = Algorithm::from_type_byte(*algorithm)?;
        let key = VerifyingKey::from_bytes(bytes)?;
        let key = Self::new(name, algorithm, key);
        if key.id() != id {
            return Err(NoteError::KeyIdMismatch { name: key.name.0 });
        }
        Ok(key)
    }
}

/// A named secret key that signs notes (type byte `0x01`).
///
/// Its text form ("skey") is `PRIVATE+KEY+name+id+base64(0x01 || seed)`.
#[derive(Clone)]
pub struct NoteSigner {
    name: KeyName,
    key: SigningKey,
}

impl NoteSigner {
    /// Names a secret key.
    #[must_use]
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        Self { name, key }
    }

    /// The public key under the same name.
    #[must_use]
    pub fn note_key(&self) -> NoteKey {
        NoteKey::new(
            self.name.clone(),
            Algorithm::Ed25519,
            self.key.verifying_key(),
        )
    }

    /// Signs a note's text. Refuses texts that are not well-formed, or that begin like a
    /// cosigned message or an envelope.
    pub fn sign(&self, text: &str) -> Result<NoteSignature, NoteError> {
        check_text(text)?;
        if RESERVED_STARTS.iter().any(|start| text.starts_with(start)) {
            return Err(NoteError::ReservedStart);
        }
        let bytes = self.key.sign(text.as_bytes()).to_vec();
        Ok(NoteSignature::new(&self.note_key(), bytes))
    }

    /// Reads the text form.
    pub fn from_secret_text(text: &str) -> Result<Self, NoteError> {
        let text = text
            .strip_prefix(SECRET_KEY_START)
            .ok_or(NoteError::KeyText)?;
        let (name, id, material) = split_key_text(text)?;
        let (algorithm, seed) = material.split_first().ok_or(NoteError::KeyText)?;
        if *algorithm != Algorithm::Ed25519.type_byte() {
            return Err(NoteError::Algorithm { byte: *algorithm });
        }
        let seed: &[u8; 32] = seed.try_into().map_err(|_| NoteError::KeyText)?;
        let signer = Self::new(name, SigningKey::from_seed(seed));
        if signer.note_key().id() != id {
            return Err(NoteError::KeyIdMismatch {
                name: signer.name.0,
            });
        }
        Ok(signer)
    }

    /// Writes the text form.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut material = Zeroizing::new([0; 33]);
        material[0] = Algorithm::Ed25519.type_byte();
        material[1..].copy_from_slice(self.key.seed().as_ref());
        let encoded = Zeroizing::new(STANDARD.encode(material.as_ref()));
        let id = self.note_key().id();
        Zeroizing::new(format!(
            "{SECRET_KEY_START}{}+{id:08x}+{}",
            self.name, *encoded
        ))
    }
}

/// A named secret key that cosigns checkpoints as a witness (type byte `0x04`).
#[derive(Clone)]
pub struct Cosigner {
    name: KeyName,
    key: SigningKey,
}

impl Cosigner {
    /// Names a secret key. The signed message does not hold the name, so each cosigner needs a
    /// key of its own.
    #[must_use]
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        Self { name, key }
    }

    /// The public key under the same name.
    #[must_use]
    pub fn note_key(&self) -> NoteKey {
        NoteKey::new(
            self.name.clone(),
            Algorithm::CosignatureV1,
            self.key.verifying_key(),
        )
    }

    /// States that at `unix_seconds` the text was the newest consistent checkpoint seen.
    pub fn cosign(&self, text: &str, unix_seconds: u64) -> Result<NoteSignature, NoteError> {
        check_text(text)?;
        i64::try_from(unix_seconds).map_err(|_| NoteError::Time)?;
        let mut bytes = unix_seconds.to_be_bytes().to_vec();
        bytes.extend_from_slice(
            &self
                .key
                .sign(cosigned_message(text, unix_seconds).as_bytes()),
        );
        Ok(NoteSignature::new(&self.note_key(), bytes))
    }
}

fn cosigned_message(text: &str, unix_seconds: u64) -> String {
    format!("{COSIGNATURE_HEADER}time {unix_seconds}\n{text}")
}

fn key_id(name: &KeyName, algorithm: Algorithm, key: &VerifyingKey) -> u32 {
    let hash = sha256(&[
        name.0.as_bytes(),
        b"\n",
        &[algorithm.type_byte()],
        key.as_bytes(),
    ]);
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// Splits `name+id+base64`. The base64 may hold plus signs, the name may not.
fn split_key_text(text: &str) -> Result<(KeyName, u32, Zeroizing<Vec<u8>>), NoteError> {
    let mut parts = text.splitn(3, '+');
    let mut next = || parts.next().ok_or(NoteError::KeyText);
    let (name, id, material) = (next()?, next()?, next()?);
    let name = KeyName::new(name)?;
    let is_id = id.len() == 8 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = u32::from_str_radix(id, 16)
        .ok()
        .filter(|_| is_id)
        .ok_or(NoteError::KeyText)?;
    let material = STANDARD.decode(material).map_err(|_| NoteError::KeyText)?;
    Ok((name, id, Zeroizing::new(material)))
}
