//! What can go wrong when sealing, opening, and reading key files.

use std::io;
use std::path::PathBuf;

use super::keyring::KeyId;

/// An error of the vault. No variant carries key material or plaintext.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The bytes are too few to be a sealed value.
    #[error(
        "sealed value of {found} bytes is shorter than the {least} bytes any sealed value has: \
         the stored value was cut short; restore the row from a backup"
    )]
    Truncated {
        /// The length found, in bytes.
        found: usize,
        /// The least length possible, in bytes.
        least: usize,
    },

    /// The format version is not one that this program reads.
    #[error(
        "sealed value has format version {found}, and this program reads version {known}: \
         upgrade the program, or restore the row from a backup if the byte was damaged"
    )]
    UnknownVersion {
        /// The version byte found.
        found: u8,
        /// The version that this program writes and reads.
        known: u8,
    },

    /// The cipher refused: the value was changed, was sealed for another place, or under another
    /// key. AES-GCM cannot tell these apart, and nor can we.
    #[error(
        "sealed value does not open in this place: it was changed, moved from another row or \
         column, or sealed under another key; treat the database as tampered with until shown \
         otherwise"
    )]
    DoesNotOpen,

    /// The value opens but is no data key.
    #[error(
        "wrapped data key holds {found} bytes in place of 32: the value was wrapped by something \
         else than this program"
    )]
    NotADataKey {
        /// The length found, in bytes.
        found: usize,
    },

    /// The data key was wrapped by a master key that the ring does not hold.
    #[error(
        "data key was wrapped by master key {id}, which the key ring does not hold: add that key's \
         line back to the key file"
    )]
    UnknownKey {
        /// The master key's id.
        id: KeyId,
    },

    /// The data key was wrapped by a wrapping key that was destroyed, or is not at hand.
    #[error(
        "data key was wrapped by wrapping key {id}, which is not at hand: it was destroyed in its \
         time, or belongs to a backup whose keys were not given"
    )]
    UnknownWrappingKey {
        /// The wrapping key's id.
        id: KeyId,
    },

    /// A line of the file of wrapping keys cannot be read.
    #[error(
        "wrapping keys, line {line}: {problem}; restore the file from the keys that were kept apart"
    )]
    BadWrappingLine {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// The ring has no key.
    #[error("key file holds no key: create one, or restore it from where its copy is kept")]
    EmptyRing,

    /// The same key stands in the ring twice.
    #[error("master key {id} stands in the key file twice (line {line}): remove one of the lines")]
    DuplicateKey {
        /// The key's id.
        id: KeyId,
        /// The line, counted from 1, of its second occurrence.
        line: usize,
    },

    /// A line of a key file cannot be read.
    #[error(
        "key file, line {line}: {problem}; a line reads `wayhome-master-key-v1 ID KEY`, with ID in \
         16 hexadecimal digits and KEY in 43 characters of base64url"
    )]
    BadLine {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// The id on a line does not belong to the key on it.
    #[error(
        "key file, line {line}: the key does not have the id {stated} that the line states but \
         {actual}: one of the two was mistyped; copy the line again from where it is kept"
    )]
    IdMismatch {
        /// The line, counted from 1.
        line: usize,
        /// The id that the line states.
        stated: KeyId,
        /// The id that the key has.
        actual: KeyId,
    },

    /// The key that seals cannot be taken out of the ring.
    #[error("master key {id} is the one that seals: rotate first, re-wrap, then retire it")]
    RetiresCurrent {
        /// The key's id.
        id: KeyId,
    },

    /// Others than the owner may read or write a key file.
    #[error(
        "{path} has mode {mode:04o}, so others than its owner can reach the key in it: run \
         `chmod 600 {path}`, and make a new key if they may have read it",
        path = path.display()
    )]
    FileTooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// A key file would be overwritten by a new one.
    #[error(
        "{path} exists already, and to overwrite a key is to lose what only that key opens or \
         signs: name another file, or move this one away yourself",
        path = path.display()
    )]
    FileExists {
        /// The file.
        path: PathBuf,
    },

    /// A key file is larger than any key ring.
    #[error("{path} is larger than {limit} bytes and so no key file", path = path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },

    /// The operating system refused a file operation.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    File {
        /// What was tried: `open`, `write` and the like.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// A token of a hardware security module cannot be used.
    #[error("the PKCS#11 token {token:?}: {problem}; {remedy}")]
    Token {
        /// The token's label, as the configuration names it.
        token: String,
        /// What is wrong, without key material and without the PIN.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },

    /// A wrapper outside this process (a KMS, an HSM) could not be reached or refused.
    #[error("key service {service} did not {doing}: {reason}; check that it runs and is unlocked")]
    KeyService {
        /// The service as the configuration names it.
        service: String,
        /// `wrap` or `unwrap`.
        doing: &'static str,
        /// Its answer, without key material.
        reason: String,
    },
}
