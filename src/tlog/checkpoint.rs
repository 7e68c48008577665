//! Checkpoints: a log's size and root, signed (C2SP tlog-checkpoint).
//!
//! ```text
//! example.org/log
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — example.org/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/...
//! — witness.example/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OW...
//! ```
//!
//! The first line is the *origin*, the log's unique name; the log signs under that name and
//! witnesses under theirs. A checkpoint goes through three types: [`Checkpoint`] is what a log
//! states, [`SignedCheckpoint`] is a well-formed note that says so, [`VerifiedCheckpoint`] is
//! one whose log signature was checked.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::{Hash, MAX_SIZE, empty_root};
use crate::envelope::note::{
    KeyName, Note, NoteError, NoteKey, NoteSignature, NoteSigner, VerifiedNote, VerifiedSignature,
    verify_threshold,
};

/// The size and the root of a log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// The number of leaves.
    pub size: u64,
    /// The Merkle tree hash over them.
    pub root: Hash,
}

/// What a log states about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: KeyName,
    head: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A statement about the log named `origin`.
    pub fn new(origin: KeyName, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if size > MAX_SIZE {
            return Err(CheckpointError::Size);
        }
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self {
            origin,
            head: TreeHead { size, root },
            extensions: Vec::new(),
        })
    }

    /// Adds extension lines. C2SP advises against them: monitors cannot audit what they say.
    pub fn with_extensions(mut self, lines: Vec<String>) -> Result<Self, CheckpointError> {
        let fits = |line: &String| !line.is_empty() && !line.contains(|c: char| c.is_control());
        if !lines.iter().all(fits) {
            return Err(CheckpointError::Extension);
        }
        self.extensions = lines;
        Ok(self)
    }

    /// The log's unique name.
    #[must_use]
    pub fn origin(&self) -> &KeyName {
        &self.origin
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.size
    }

    /// The Merkle tree hash over the leaves.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.head.root
    }

    /// The extension lines, without newlines.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Reads the text of a checkpoint note.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = text.split('\n');
        let mut next = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (next()?, next()?, next()?);
        let origin = KeyName::new(origin).map_err(|_| CheckpointError::Origin)?;
        let size = parse_decimal(size).ok_or(CheckpointError::Size)?;
        let root = parse_hash(root).ok_or(CheckpointError::Root)?;
        Self::new(origin, size, root)?.with_extensions(lines.map(str::to_owned).collect())
    }

    /// Signs the checkpoint with the log's key, whose name must be the origin.
    ///
    /// Two checkpoints of one log that do not extend each other prove the log's dishonesty for
    /// good. Before signing, hold the new head against the last one that was signed.
    pub fn sign(self, signer: &NoteSigner) -> Result<SignedCheckpoint, CheckpointError> {
        if *signer.note_key().name() != self.origin {
            return Err(CheckpointError::SignerName {
                origin: self.origin,
            });
        }
        let note = Note::sign(self.to_string(), &[signer])?;
        Ok(SignedCheckpoint {
            checkpoint: self,
            note,
        })
    }
}

impl fmt::Display for Checkpoint {
    /// The text of the note: what is signed and cosigned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.origin, self.head.size)?;
        writeln!(f, "{}", STANDARD.encode(self.head.root))?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A well-formed checkpoint with signatures that nobody has checked yet.
///
/// `Display` writes it as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse_text(note.unverified_text())?;
        Ok(Self { checkpoint, note })
    }

    /// What it states, unverified: good for finding the log's keys, and for nothing else.
    #[must_use]
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, unverified.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Attaches a witness's cosignature line; one that is there already stays once.
    pub fn add_cosignature(&mut self, line: NoteSignature) -> Result<(), CheckpointError> {
        Ok(self.note.add(line)?)
    }

    /// Verifies the log's signature by any of `log_keys`, all of which bear the log's origin as
    /// their name.
    pub fn verify(&self, log_keys: &[NoteKey]) -> Result<VerifiedCheckpoint, CheckpointError> {
        if let Some(key) = log_keys
            .iter()
            .find(|key| *key.name() != self.checkpoint.origin)
        {
            return Err(CheckpointError::Foreign {
                origin: self.checkpoint.origin.clone(),
                expected: key.name().clone(),
            });
        }
        let by_log = verify_threshold(&self.note, log_keys, 1)?;
        Ok(VerifiedCheckpoint {
            signed: self.clone(),
            by_log,
        })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// A checkpoint whose log signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    signed: SignedCheckpoint,
    by_log: VerifiedNote,
}

impl VerifiedCheckpoint {
    /// What the log states.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.signed.checkpoint
    }

    /// The log's unique name.
    #[must_use]
    pub fn origin(&self) -> &KeyName {
        self.checkpoint().origin()
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.checkpoint().head()
    }

    /// The signed note with all its signatures, to keep as evidence.
    #[must_use]
    pub fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// The same with the log's own signatures alone: no room for a stranger's clutter.
    #[must_use]
    pub fn by_log_alone(&self) -> SignedCheckpoint {
        let checkpoint = self.signed.checkpoint.clone();
        SignedCheckpoint {
            checkpoint,
            note: self.by_log.to_note(),
        }
    }

    /// Verifies that at least `threshold` different keys of `witnesses` cosigned, and gives
    /// their signatures with the times of signing.
    pub fn verify_cosignatures(
        &self,
        witnesses: &[NoteKey],
        threshold: usize,
    ) -> Result<Vec<VerifiedSignature>, CheckpointError> {
        let verified = verify_threshold(&self.signed.note, witnesses, threshold)?;
        Ok(verified.signatures().to_vec())
    }

    /// Whether the other checkpoint proves that this log shows two histories: the same log
    /// signed the same size with another root.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.head(), other.head());
        self.origin() == other.origin() && ours.size == theirs.size && ours.root != theirs.root
    }
}

/// Why a checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Fewer than three lines.
    #[error("a checkpoint has three lines: origin, size, root")]
    Lines,
    /// The origin is not a name.
    #[error("line 1 of the checkpoint is not an origin: text without spaces or `+`")]
    Origin,
    /// The size is not a plain decimal number up to 2^63 - 1.
    #[error("line 2 of the checkpoint is not a size: a decimal number up to 2^63 - 1")]
    Size,
    /// The root is not a base64 SHA-256 value.
    #[error("line 3 of the checkpoint is not a root: the base64 of 32 bytes")]
    Root,
    /// Size 0 with the root of something else.
    #[error("the checkpoint of an empty log must have the hash of nothing as its root")]
    EmptyRoot,
    /// An extension line is empty or has control characters.
    #[error("an extension line of the checkpoint is empty or has control characters")]
    Extension,
    /// The signing key bears another name than the log.
    #[error("the log `{origin}` must sign with a key of that name")]
    SignerName {
        /// The log's name.
        origin: KeyName,
    },
    /// A checkpoint of another log than the one asked about.
    #[error("the checkpoint is of the log `{origin}`, not of `{expected}`")]
    Foreign {
        /// The log it is of.
        origin: KeyName,
        /// The log it should be of.
        expected: KeyName,
    },
    /// The note or a signature on it is at fault.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A decimal number without sign or leading zeros.
pub(super) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if plain && !leading_zero {
        text.parse().ok()
    } else {
        None
    }
}

/// A SHA-256 value in standard base64.
pub(super) fn parse_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::keys::SigningKey;
    use crate::envelope::note::Cosigner;
    use proptest::prelude::*;

    const EXAMPLE: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
";

    fn name(text: &str) -> KeyName {
        KeyName::new(text).unwrap()
    }

    fn signer(text: &str, seed: u8) -> NoteSigner {
        NoteSigner::new(name(text), SigningKey::from_seed(&[seed; 32]))
    }

    fn signed(size: u64, root: u8) -> SignedCheckpoint {
        Checkpoint::new(name("log"), size, [root; 32])
            .unwrap()
            .sign(&signer("log", 1))
            .unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let checkpoint = Checkpoint::parse_text(EXAMPLE).unwrap();
        assert_eq!(checkpoint.origin().as_str(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size(), 20_852_163);
        assert_eq!(
            hex::encode(checkpoint.root()),
            "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
        );
        assert_eq!(checkpoint.to_string(), EXAMPLE);
    }

    #[test]
    fn malformed_texts_are_refused() {
        use CheckpointError as E;
        let empty = STANDARD.encode(empty_root());
        for (text, error) in [
            ("", E::Lines),
            ("a\n1\n", E::Lines),
            ("\n1\nAAAA\n", E::Origin),
            ("a b\n1\nAAAA\n", E::Origin),
            ("a\n01\nAAAA\n", E::Size),
            ("a\n+1\nAAAA\n", E::Size),
            ("a\n-1\nAAAA\n", E::Size),
            ("a\n\nAAAA\n", E::Size),
            ("a\n1 \nAAAA\n", E::Size),
            ("a\n18446744073709551616\nAAAA\n", E::Size),
            ("a\n1\nAAAA\n", E::Root),
            (&EXAMPLE.replace("q2I=", "q2I"), E::Root),
            (&EXAMPLE.replace("q2I=", "q2J="), E::Root),
            (&EXAMPLE.replace("20852163", "9223372036854775808"), E::Size),
            (&EXAMPLE.replace("20852163", "0"), E::EmptyRoot),
            (&format!("{EXAMPLE}\n"), E::Extension),
            (&format!("{EXAMPLE}one\n\ntwo\n"), E::Extension),
            (EXAMPLE.trim_end(), E::Lines),
        ] {
            assert_eq!(Checkpoint::parse_text(text), Err(error), "{text}");
        }
        assert!(Checkpoint::parse_text(&format!("a\n0\n{empty}\n")).is_ok());
        let extended = format!("{EXAMPLE}one\ntwo\n");
        let read = Checkpoint::parse_text(&extended).unwrap();
        assert_eq!(read.extensions(), ["one", "two"]);
        assert_eq!(read.to_string(), extended);
    }

    #[test]
    fn only_the_logs_own_key_counts() {
        let checkpoint = signed(5, 7);
        let read = SignedCheckpoint::parse(checkpoint.to_string().as_bytes()).unwrap();
        assert_eq!(read, checkpoint);
        let verified = read.verify(&[signer("log", 1).note_key()]).unwrap();
        assert_eq!(
            verified.head(),
            TreeHead {
                size: 5,
                root: [7; 32]
            }
        );
        assert!(matches!(
            read.verify(&[signer("log", 2).note_key()]),
            Err(CheckpointError::Note(NoteError::Threshold { found: 0, .. }))
        ));
        assert!(matches!(
            read.verify(&[signer("other", 1).note_key()]),
            Err(CheckpointError::Foreign { .. })
        ));
        assert!(read.verify(&[]).is_err());
        assert!(matches!(
            Checkpoint::new(name("log"), 5, [7; 32])
                .unwrap()
                .sign(&signer("other", 1)),
            Err(CheckpointError::SignerName { .. })
        ));
    }

    #[test]
    fn cosignatures_are_attached_and_counted() {
        let mut checkpoint = signed(5, 7);
        let witnesses: Vec<Cosigner> = (10..13)
            .map(|n| Cosigner::new(name(&format!("w{n}")), SigningKey::from_seed(&[n; 32])))
            .collect();
        let text = checkpoint.unverified().to_string();
        for witness in &witnesses[..2] {
            checkpoint
                .add_cosignature(witness.cosign(&text, 99).unwrap())
                .unwrap();
        }
        // A second statement of the same witness is no second witness.
        checkpoint
            .add_cosignature(witnesses[0].cosign(&text, 100).unwrap())
            .unwrap();
        let read = SignedCheckpoint::parse(checkpoint.to_string().as_bytes()).unwrap();
        let verified = read.verify(&[signer("log", 1).note_key()]).unwrap();
        let keys: Vec<NoteKey> = witnesses.iter().map(Cosigner::note_key).collect();
        let found = verified.verify_cosignatures(&keys, 2).unwrap();
        assert_eq!(found.len(), 2);
        assert!(
            found
                .iter()
                .all(|signature| signature.unix_seconds == Some(99))
        );
        assert!(verified.verify_cosignatures(&keys, 3).is_err());
    }

    #[test]
    fn two_roots_of_one_size_contradict_each_other() {
        let keys = [signer("log", 1).note_key()];
        let verified = |size, root| signed(size, root).verify(&keys).unwrap();
        assert!(verified(5, 7).contradicts(&verified(5, 8)));
        assert!(!verified(5, 7).contradicts(&verified(5, 7)));
        assert!(!verified(5, 7).contradicts(&verified(6, 8)));
    }

    #[test]
    fn the_tlog_tiles_crate_reads_the_same() {
        let text = signed(5, 7).unverified().to_string();
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size()), ("log", 5));
        assert_eq!(theirs.hash().0, [7; 32]);
        assert_eq!(theirs.to_bytes(), text.as_bytes());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic_and_comes_back(text in "\\PC{0,9}\n\\PC{0,9}\n\\PC{0,50}\n(\\PC{0,9}\n)?") {
            if let Ok(checkpoint) = Checkpoint::parse_text(&text) {
                prop_assert_eq!(checkpoint.to_string(), text);
            }
        }

        #[test]
        fn any_flipped_bit_is_noticed(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
            let mut bytes = signed(5, 7).to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let keys = [signer("log", 1).note_key()];
            let verified = SignedCheckpoint::parse(&bytes).and_then(|read| read.verify(&keys));
            prop_assert!(verified.is_err());
        }
    }
}
