//! Signed notes: short texts with one or more signatures below them.
//!
//! The format is C2SP signed-note (<https://c2sp.org/signed-note>), born in Go's checksum
//! database. A note is a text ending in a newline, an empty line, and signature lines:
//!
//! ```text
//! example.org/log
//! 42
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — example.org/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/...
//! ```
//!
//! Two kinds of signature are known here: plain Ed25519 (type byte `0x01`) and the timestamped
//! cosignature of a witness (C2SP tlog-cosignature, type byte `0x04`), which also says when the
//! witness saw the text. Signatures by unknown keys are carried along and ignored; a wrong
//! signature by a known key condemns the whole note.

mod keys;

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{KeyError, count_distinct};

pub use keys::{Algorithm, Cosigner, KeyName, MAX_NAME_BYTES, NoteKey, NoteSigner};

/// The largest note read or written, in bytes (the bound of Go's implementation).
pub const MAX_NOTE_BYTES: usize = 1_000_000;

/// The largest number of signature lines in a note (the bound of Go's implementation).
pub const MAX_SIGNATURES: usize = 100;

const SIGNATURE_LINE_START: &str = "— ";

/// One signature line: whose it claims to be, and its bytes. Not verified by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    id: u32,
    bytes: Vec<u8>,
}

impl NoteSignature {
    fn new(key: &NoteKey, bytes: Vec<u8>) -> Self {
        Self {
            name: key.name().clone(),
            id: key.id(),
            bytes,
        }
    }

    /// The name of the key that is said to have signed.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The short id of that key.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.id
    }

    /// Reads one signature line, without its newline.
    pub fn parse_line(line: &str) -> Result<Self, NoteError> {
        let rest = line
            .strip_prefix(SIGNATURE_LINE_START)
            .ok_or(NoteError::SignatureLine)?;
        let (name, encoded) = rest.split_once(' ').ok_or(NoteError::SignatureLine)?;
        let name = KeyName::new(name)?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| NoteError::SignatureLine)?;
        let (id, bytes) = bytes
            .split_first_chunk::<4>()
            .ok_or(NoteError::SignatureLine)?;
        if bytes.is_empty() {
            return Err(NoteError::SignatureLine);
        }
        Ok(Self {
            name,
            id: u32::from_be_bytes(*id),
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for NoteSignature {
    /// The signature line, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        write!(
            f,
            "{SIGNATURE_LINE_START}{} {}",
            self.name,
            STANDARD.encode(bytes)
        )
    }
}

/// A well-formed note whose signatures nobody has checked yet.
///
/// `Display` writes it in the signed-note format; reading that gives the same note again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs a text (which ends in a newline) with one or more keys.
    pub fn sign(text: impl Into<String>, signers: &[&NoteSigner]) -> Result<Self, NoteError> {
        let text = text.into();
        let signatures = signers
            .iter()
            .map(|signer| signer.sign(&text))
            .collect::<Result<Vec<_>, _>>()?;
        Self::from_parts(text, signatures)
    }

    /// Puts a text and signature lines together.
    pub fn from_parts(
        text: impl Into<String>,
        signatures: Vec<NoteSignature>,
    ) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        if signatures.is_empty() {
            return Err(NoteError::Unsigned);
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let note = Self { text, signatures };
        if note.to_string().len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge);
        }
        Ok(note)
    }

    /// Reads a note. Anything but the exact format is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        // The signatures follow the last empty line; the text may have empty lines of its own.
        let split = whole.rfind("\n\n").ok_or(NoteError::NoSeparator)?;
        let (text, rest) = whole.split_at(split + 1);
        check_text(text)?;
        let lines = rest[1..].strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse_line(line)?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The text, unverified: good for finding out whose keys to ask for, and for nothing else.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The signature lines, unverified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line; one that is already there stays once.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        let mut signatures = self.signatures.clone();
        signatures.push(signature);
        *self = Self::from_parts(std::mem::take(&mut self.text), signatures)?;
        Ok(())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// A signature that was checked against a known key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The key that made it.
    pub key: NoteKey,
    /// When a witness made it (unix seconds); `None` for plain signatures.
    pub unix_seconds: Option<u64>,
    /// The signature line.
    pub line: NoteSignature,
}

/// A note's text together with the signatures that were verified over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote {
    text: String,
    signatures: Vec<VerifiedSignature>,
}

impl VerifiedNote {
    /// The text that was signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The verified signatures, at most one for each key given.
    #[must_use]
    pub fn signatures(&self) -> &[VerifiedSignature] {
        &self.signatures
    }

    /// The note without the signatures that were not verified, as it is worth keeping.
    #[must_use]
    pub fn to_note(&self) -> Note {
        let lines = self
            .signatures
            .iter()
            .map(|signature| signature.line.clone());
        Note {
            text: self.text.clone(),
            signatures: lines.collect(),
        }
    }
}

/// Verifies a note: at least `threshold` different public keys out of `keys` must have signed.
///
/// A signature belongs to a key when name and short id agree. Signatures by other keys are
/// ignored; a repeated line of one key counts once; a wrong signature by one of `keys` refuses
/// the note, whatever the others say. A `threshold` of zero is refused, so that a forgotten
/// setting cannot accept an unsigned text.
pub fn verify_threshold(
    note: &Note,
    keys: &[NoteKey],
    threshold: usize,
) -> Result<VerifiedNote, NoteError> {
    if threshold == 0 {
        return Err(NoteError::ThresholdZero);
    }
    let mut seen = BTreeSet::new();
    let mut signatures = Vec::new();
    for signature in &note.signatures {
        let Some(key) = find_key(keys, signature)? else {
            continue;
        };
        if !seen.insert(key) {
            continue;
        }
        let unix_seconds =
            key.check(&note.text, &signature.bytes)
                .ok_or_else(|| NoteError::WrongSignature {
                    name: key.name().to_string(),
                })?;
        signatures.push(VerifiedSignature {
            key: key.clone(),
            unix_seconds,
            line: signature.clone(),
        });
    }
    let found = count_distinct(
        signatures
            .iter()
            .map(|signature| signature.key.verifying_key()),
    );
    if found < threshold {
        return Err(NoteError::Threshold { found, threshold });
    }
    Ok(VerifiedNote {
        text: note.text.clone(),
        signatures,
    })
}

/// Why a note, or a key for notes, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Above [`MAX_NOTE_BYTES`].
    #[error("the note is larger than {MAX_NOTE_BYTES} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("the note is not UTF-8 text")]
    NotUtf8,
    /// The text has a control character or does not end in a newline.
    #[error("a note's text ends in a newline and has no other control characters")]
    Text,
    /// The text begins like another kind of signed message.
    #[error("a note must not begin with `cosignature/v1` or `DSSEv1`: other messages begin so")]
    ReservedStart,
    /// No empty line between text and signatures.
    #[error("the note has no empty line between its text and its signatures")]
    NoSeparator,
    /// No signature lines, or the last one is cut off.
    #[error("the note has no complete signature line; it may have been cut off in transfer")]
    Unsigned,
    /// Above [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A line below the text that is not a signature.
    #[error("a line below the note's text is not of the form `— name base64`")]
    SignatureLine,
    /// Not a key name.
    #[error(
        "a key name has 1 to {MAX_NAME_BYTES} bytes, without spaces, `+` or control characters"
    )]
    Name,
    /// Not a key in text form.
    #[error("the key is not of the form `name+id+base64`; copy it anew from its source")]
    KeyText,
    /// The id in a key's text form belongs to another key.
    #[error("the id of key `{name}` does not belong to its bytes; copy it anew from its source")]
    KeyIdMismatch {
        /// The key's name.
        name: String,
    },
    /// A kind of key this program does not know.
    #[error("key type 0x{byte:02x} is not supported; use Ed25519 (0x01) or a cosigner's (0x04)")]
    Algorithm {
        /// The type byte.
        byte: u8,
    },
    /// The key's bytes are unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A cosignature's time is beyond what the format can hold.
    #[error("a cosignature's time must be below 2^63 seconds")]
    Time,
    /// Two of the given keys have the same name and short id, but different bytes.
    #[error("two of the trusted keys share the name `{name}` and the same id; remove one")]
    AmbiguousKey {
        /// The name they share.
        name: String,
    },
    /// A known key's signature does not fit.
    #[error("the signature of `{name}` does not fit the note's text: one of them was altered")]
    WrongSignature {
        /// The name of the key.
        name: String,
    },
    /// Too few different keys signed.
    #[error("{found} of the trusted keys signed the note, {threshold} are required")]
    Threshold {
        /// How many different keys signed.
        found: usize,
        /// How many had to.
        threshold: usize,
    },
    /// The caller asked for no signature at all.
    #[error("a threshold of 0 would accept an unsigned note; set it to 1 or more")]
    ThresholdZero,
}

/// The key among `keys` that a signature line claims, if any.
fn find_key<'k>(
    keys: &'k [NoteKey],
    signature: &NoteSignature,
) -> Result<Option<&'k NoteKey>, NoteError> {
    let mut found: Option<&NoteKey> = None;
    for key in keys
        .iter()
        .filter(|key| *key.name() == signature.name && key.id() == signature.id)
    {
        if found.is_some_and(|other| other != key) {
            return Err(NoteError::AmbiguousKey {
                name: key.name().to_string(),
            });
        }
        found = Some(key);
    }
    Ok(found)
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let control = |byte: u8| byte < 0x20 && byte != b'\n';
    if !text.ends_with('\n') || text.bytes().any(control) {
        return Err(NoteError::Text);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
