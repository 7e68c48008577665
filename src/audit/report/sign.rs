//! The ombudsman's signature over a report: a detached signed note (C2SP signed-note) that names
//! the files and their digests.
//!
//! ```text
//! wayhome/audit-report/v1
//! ombudsman 2026-11-24T09:00:00Z
//! report.html 6c7f...
//! report.json 09ab...
//!
//! — ombudsman mKx0...
//! ```
//!
//! The key is the one that signs the ombudsman's messages, as the roster lists it. A note's text
//! and an envelope's encoding never begin alike, so neither can be taken for the other.

use crate::envelope::note::{Algorithm, verify_threshold};
use crate::envelope::{KeyName, Note, NoteError, NoteKey, NoteSigner, SigningKey, VerifyingKey};
use crate::roster::{Bytes32, MemberId, Timestamp, TrustedRoster};

const FORMAT: &str = "wayhome/audit-report/v1";

/// Signs files of a report.
///
/// # Errors
/// If the party's id is no name of a key.
pub fn sign(
    id: &MemberId,
    key: &SigningKey,
    at: u64,
    files: &[(&str, &[u8])],
) -> Result<String, NoteError> {
    let mut text = format!("{FORMAT}\n{id} {}\n", Timestamp::from_unix(at));
    for (name, bytes) in files {
        text.push_str(&format!("{name} {}\n", Bytes32::sha256(bytes)));
    }
    let signer = NoteSigner::new(KeyName::new(id.as_str())?, key.clone());
    Ok(Note::sign(text, &[&signer])?.to_string())
}

/// A report's signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReport {
    /// Who signed.
    pub by: MemberId,
    /// When.
    pub at: Timestamp,
    /// The files that were signed, with their digests.
    pub files: Vec<(String, Bytes32)>,
}

/// Why a report's signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not a note of this kind.
    #[error("report.note is no signature over a report: {why}")]
    Form {
        /// Why not.
        why: String,
    },
    /// Not by the party that it names.
    #[error("the report is not signed by a key that the roster gives the ombudsman {by}: {why}")]
    Signature {
        /// Who is named.
        by: String,
        /// Why not.
        why: String,
    },
    /// A file is another.
    #[error("{file} is not the file that was signed: it was altered")]
    Altered {
        /// Its name.
        file: String,
    },
    /// A file is not there.
    #[error("{file} was signed and is not there")]
    Missing {
        /// Its name.
        file: String,
    },
}

impl ReportError {
    /// The reason code for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form { .. } => "REPORT_UNREADABLE",
            Self::Signature { .. } => "REPORT_NOT_SIGNED",
            Self::Altered { .. } => "REPORT_ALTERED",
            Self::Missing { .. } => "REPORT_INCOMPLETE",
        }
    }
}

/// Checks a report's signature under a roster, and every file that it names.
///
/// `read` gives a file's bytes, or nothing if it is not there.
///
/// # Errors
/// [`ReportError`] says what does not hold.
pub fn check(
    note: &[u8],
    roster: &TrustedRoster,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<SignedReport, ReportError> {
    let form = |why: &str| ReportError::Form {
        why: why.to_owned(),
    };
    let note = Note::parse(note).map_err(|error| form(&error.to_string()))?;
    let signed = stated(note.unverified_text()).ok_or_else(|| form("its lines are others"))?;
    let refused = |why: &str| ReportError::Signature {
        by: signed.by.to_string(),
        why: why.to_owned(),
    };
    let keys = keys(roster, &signed, &refused)?;
    verify_threshold(&note, &keys, 1).map_err(|error| refused(&error.to_string()))?;
    for (file, digest) in &signed.files {
        let bytes = read(file).ok_or_else(|| ReportError::Missing { file: file.clone() })?;
        if Bytes32::sha256(&bytes) != *digest {
            return Err(ReportError::Altered { file: file.clone() });
        }
    }
    Ok(signed)
}

fn stated(text: &str) -> Option<SignedReport> {
    let mut lines = text.lines();
    if lines.next()? != FORMAT {
        return None;
    }
    let (by, at) = lines.next()?.split_once(' ')?;
    let files = lines
        .map(|line| {
            let (name, digest) = line.split_once(' ')?;
            // A file beside the note, and nothing else.
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let named = name.chars().all(plain) && !name.starts_with('.');
            Some((named.then(|| name.to_owned())?, digest.parse().ok()?))
        })
        .collect::<Option<Vec<_>>>()?;
    (!files.is_empty()).then_some(SignedReport {
        by: by.parse().ok()?,
        at: at.parse().ok()?,
        files,
    })
}

/// The keys that the roster gives the ombudsman at the stated time.
fn keys(
    roster: &TrustedRoster,
    signed: &SignedReport,
    refused: &impl Fn(&str) -> ReportError,
) -> Result<Vec<NoteKey>, ReportError> {
    let member = roster
        .member(signed.by.as_str())
        .filter(|member| member.roles.ombudsman.is_some())
        .ok_or_else(|| refused("the roster has no such ombudsman"))?;
    let name = KeyName::new(signed.by.as_str()).map_err(|error| refused(&error.to_string()))?;
    let within =
        |key: &&crate::roster::MemberKey| key.not_before <= signed.at && signed.at < key.not_after;
    member
        .signing_keys
        .iter()
        .filter(within)
        .map(|key| {
            VerifyingKey::from_bytes(key.public_key.as_bytes())
                .map(|key| NoteKey::new(name.clone(), Algorithm::Ed25519, key))
                .map_err(|error| refused(&error.to_string()))
        })
        .collect()
}
