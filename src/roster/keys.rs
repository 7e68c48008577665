//! Where the roster's texts meet the keys of signed notes.

use std::fmt;

use super::{Bytes32, Root};
use crate::envelope::note::{Algorithm, NoteSignature};
use crate::envelope::{KeyName, NoteError, NoteKey, VerifyingKey};

/// Whether a name may stand on a signature line of a document. Signed notes allow any Unicode
/// without spaces; here it is ASCII, so that no two names look the same to a person.
pub(super) fn is_plain_key_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'+')
}

/// Why 32 bytes are no usable Ed25519 public key.
pub(super) fn check_ed25519(key: &Bytes32) -> Result<(), String> {
    VerifyingKey::from_bytes(key.as_bytes())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Reads the verifier key of a log and returns its name.
pub(super) fn parse_log_vkey(vkey: &str) -> Result<String, String> {
    parse_vkey(vkey, Algorithm::Ed25519, "a log's (Ed25519, type 0x01)")
}

/// Reads the verifier key of a witness and returns its name.
pub(super) fn parse_witness_vkey(vkey: &str) -> Result<String, String> {
    parse_vkey(vkey, Algorithm::CosignatureV1, "a cosigner's (type 0x04)")
}

/// The root's keys in the form that verifies notes.
pub(super) fn note_keys(root: &Root) -> Result<Vec<NoteKey>, NoteError> {
    root.keys
        .iter()
        .map(|key| {
            let public_key = VerifyingKey::from_bytes(key.public_key.as_bytes())?;
            Ok(NoteKey::new(
                KeyName::new(&*key.name)?,
                Algorithm::Ed25519,
                public_key,
            ))
        })
        .collect()
}

/// Whether a signature line claims to be of this key. The claim alone proves nothing.
pub(super) fn is_of(line: &NoteSignature, key: &NoteKey) -> bool {
    line.name() == key.name() && line.key_id() == key.id()
}

fn parse_vkey(vkey: &str, algorithm: Algorithm, what: &str) -> Result<String, String> {
    let key: NoteKey = vkey.parse().map_err(|error: NoteError| error.to_string())?;
    if key.algorithm() != algorithm {
        return Err(format!("is a verifier key of another type, must be {what}"));
    }
    // One key has one text, or it could appear twice unnoticed.
    if key.to_string() != vkey {
        return Err(format!("is not in its usual form, write {}", Quoted(&key)));
    }
    Ok(key.name().as_str().to_owned())
}

struct Quoted<'a>(&'a NoteKey);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}
