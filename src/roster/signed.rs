//! From bytes of foreign origin to a document whose signatures were checked.

use serde::Deserialize;

use super::document::{self, Document, Kind};
use super::error::{Authority, RosterError};
use super::{Bytes32, Root, keys};
use crate::envelope::note::{self, Note};
use crate::envelope::{NoteError, VerifiedNote};

/// A document together with the note that proves it. It is made from a verified note only, out of
/// the very text the signatures cover.
#[derive(Debug, Clone)]
pub(super) struct Signed<T> {
    pub(super) document: T,
    /// SHA-256 of the signed text, without the signature lines.
    pub(super) digest: Bytes32,
    /// The note as it can be passed on.
    pub(super) note: String,
}

impl<T: Document> Signed<T> {
    /// Parses the text of a note after its signatures were verified.
    fn from_verified(note: &Note, verified: &VerifiedNote) -> Result<Self, RosterError> {
        Ok(Self {
            document: document::parse(verified.text())?,
            digest: Bytes32::sha256(verified.text().as_bytes()),
            note: note.to_string(),
        })
    }
}

/// Reads a note of the expected kind without believing anything in it.
pub(super) fn read(kind: Kind, bytes: &[u8]) -> Result<Note, RosterError> {
    let (size, limit) = (bytes.len(), kind.max_bytes());
    if size > limit {
        return Err(RosterError::TooLarge { kind, size, limit });
    }
    let note = Note::parse(bytes).map_err(|error| RosterError::not_a_note(kind, &error))?;
    document::strip_header(kind, note.unverified_text())?;
    Ok(note)
}

/// SHA-256 of a note's text.
pub(super) fn digest(note: &Note) -> Bytes32 {
    Bytes32::sha256(note.unverified_text().as_bytes())
}

/// Verifies a document against the threshold of a root that is already trusted.
pub(super) fn verify<T: Document>(note: &Note, root: &Root) -> Result<Signed<T>, RosterError> {
    let verified = verify_by(T::KIND, note, root, Authority::Trusted(root.version))?;
    Signed::from_verified(note, &verified)
}

/// Verifies a root against its own threshold. Alone this proves only that its keys agree: use it
/// on a pinned root, or after [`verify`] under the root before.
pub(super) fn verify_own(note: &Note) -> Result<Signed<Root>, RosterError> {
    let root: Root = document::parse(note.unverified_text())?;
    let verified = verify_by(Kind::Root, note, &root, Authority::Itself(root.version))?;
    Signed::from_verified(note, &verified)
}

/// What an unverified text claims about its version, to choose the most helpful refusal and for
/// nothing else.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claim {
    #[serde(default)]
    pub(super) version: u32,
    #[serde(default)]
    pub(super) root_version: u32,
}

impl Claim {
    /// The claim of a text, or zeros where it cannot be read.
    pub(super) fn of(note: &Note) -> Self {
        let json = note
            .unverified_text()
            .split_once('\n')
            .map_or("", |(_, json)| json);
        serde_json::from_str(json).unwrap_or_default()
    }
}

/// The one place where signatures are counted.
fn verify_by(
    kind: Kind,
    note: &Note,
    root: &Root,
    by: Authority,
) -> Result<VerifiedNote, RosterError> {
    let not_a_note = |error: NoteError| RosterError::not_a_note(kind, &error);
    let keys = keys::note_keys(root).map_err(not_a_note)?;
    match note::verify_threshold(note, &keys, usize::from(root.threshold)) {
        Ok(verified) => Ok(verified),
        Err(NoteError::WrongSignature { name }) => {
            Err(RosterError::BadSignature { kind, key: name })
        }
        Err(NoteError::Threshold {
            found: have,
            threshold: need,
        }) => Err(too_few(kind, note, &keys, by, (have, need))),
        Err(other) => Err(not_a_note(other)),
    }
}

/// Says why the signatures did not suffice: a key that signed twice, strangers, or plainly too few.
fn too_few(
    kind: Kind,
    note: &Note,
    known_keys: &[note::NoteKey],
    by: Authority,
    (have, need): (usize, usize),
) -> RosterError {
    let lines_of = |key: &note::NoteKey| {
        let lines = note.signatures().iter();
        lines.filter(|line| keys::is_of(line, key)).count()
    };
    if let Some(twice) = known_keys.iter().find(|key| lines_of(key) > 1) {
        let key = twice.name().to_string();
        return RosterError::KeyCountedTwice {
            kind,
            by,
            have,
            need,
            key,
        };
    }
    let known = |line: &note::NoteSignature| known_keys.iter().any(|key| keys::is_of(line, key));
    let mut unknown: Vec<String> = note
        .signatures()
        .iter()
        .filter(|line| !known(line))
        .map(|line| document::printable(line.name().as_str(), 60))
        .collect();
    // To a new root the old root's signatures are strangers too, and rightly there.
    if unknown.is_empty() || matches!(by, Authority::Itself(_)) {
        return RosterError::BelowThreshold {
            kind,
            by,
            have,
            need,
        };
    }
    unknown.truncate(8);
    RosterError::UnknownKey {
        kind,
        by,
        have,
        need,
        unknown,
    }
}
