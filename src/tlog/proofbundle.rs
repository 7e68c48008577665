//! One proof that stands on its own (C2SP tlog-proof, file extension `.tlog-proof`).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra YXBwbGljYXRpb24gZGF0YQ==
//! index 73894
//! gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
//! B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
//!
//! example.org/log
//! 109482
//! sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=
//!
//! — example.org/log hI2DJw...
//! — witness.example/w1 mJirIk...
//! ```
//!
//! With the leaf itself beside it and a [`LogPolicy`], anyone can check without asking a node
//! that the leaf stood in the log.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{CheckpointError, SignedCheckpoint, parse_decimal, parse_hash};
use super::policy::{AcceptedCheckpoint, LogPolicy};
use super::proof::{MAX_PROOF_HASHES, ProofError, verify_inclusion};
use super::tree::{Hash, leaf_hash};
use crate::envelope::note::MAX_NOTE_BYTES;

/// The most extra data, in bytes.
pub const MAX_EXTRA_BYTES: usize = 1_000_000;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof with its checkpoint. Nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofBundle {
    extra: Option<Vec<u8>>,
    index: u64,
    proof: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

impl ProofBundle {
    /// Puts a bundle together.
    pub fn new(
        index: u64,
        proof: Vec<Hash>,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, ProofBundleError> {
        if proof.len() > MAX_PROOF_HASHES {
            return Err(ProofBundleError::TooManyHashes);
        }
        Ok(Self {
            extra: None,
            index,
            proof,
            checkpoint,
        })
    }

    /// Adds extra data. No signature covers it.
    pub fn with_extra(mut self, extra: Vec<u8>) -> Result<Self, ProofBundleError> {
        if extra.len() > MAX_EXTRA_BYTES {
            return Err(ProofBundleError::ExtraTooLong);
        }
        self.extra = Some(extra);
        Ok(self)
    }

    /// Reads the text form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofBundleError> {
        if bytes.len() > MAX_NOTE_BYTES + MAX_EXTRA_BYTES.div_ceil(3) * 4 + 4096 {
            return Err(ProofBundleError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofBundleError::NotUtf8)?;
        // No line above the checkpoint is empty, so the first empty line ends them.
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(ProofBundleError::NoCheckpoint)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(ProofBundleError::FirstLine);
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra
            .map(|line| STANDARD.decode(&line["extra ".len()..]))
            .transpose()
            .map_err(|_| ProofBundleError::Extra)?;
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(parse_decimal)
            .ok_or(ProofBundleError::Index)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF_HASHES {
                return Err(ProofBundleError::TooManyHashes);
            }
            proof.push(parse_hash(line).ok_or(ProofBundleError::Hash {
                number: proof.len() + 1,
            })?);
        }
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        let bundle = Self::new(index, proof, checkpoint)?;
        match extra {
            Some(extra) => bundle.with_extra(extra),
            None => Ok(bundle),
        }
    }

    /// The leaf's index, unverified.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint, unverified: it names the log whose policy to verify by.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The extra data, which stays unverified whatever is checked here.
    #[must_use]
    pub fn unverified_extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Verifies that `leaf` (its bytes) stood in the log at this index, under a checkpoint that
    /// the policy accepts.
    pub fn verify(&self, leaf: &[u8], policy: &LogPolicy) -> Result<LoggedLeaf, ProofBundleError> {
        let accepted = policy.accept(&self.checkpoint)?;
        let head = accepted.checkpoint.head();
        let leaf_hash = leaf_hash(leaf);
        verify_inclusion(&leaf_hash, self.index, head.size, &self.proof, &head.root)?;
        Ok(LoggedLeaf {
            index: self.index,
            leaf_hash,
            accepted,
        })
    }
}

impl fmt::Display for ProofBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// A leaf that was proved to stand in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedLeaf {
    /// Its index.
    pub index: u64,
    /// Its hash.
    pub leaf_hash: Hash,
    /// The checkpoint over it.
    pub accepted: AcceptedCheckpoint,
}

/// Why a proof bundle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofBundleError {
    /// More than a checkpoint and the most extra data can need.
    #[error("the proof is too large to be one")]
    TooLarge,
    /// Not UTF-8.
    #[error("the proof is not UTF-8 text")]
    NotUtf8,
    /// Another format, or a newer version.
    #[error("the proof does not begin with `{FIRST_LINE}`: it is of another format or version")]
    FirstLine,
    /// The extra data is not base64.
    #[error("the proof's `extra` line is not base64")]
    Extra,
    /// The extra data is above [`MAX_EXTRA_BYTES`].
    #[error("the proof's extra data is longer than {MAX_EXTRA_BYTES} bytes")]
    ExtraTooLong,
    /// No index line, or none that is read.
    #[error("the proof has no line `index N` with a decimal number where one belongs")]
    Index,
    /// A proof line that is not a hash.
    #[error("hash {number} of the proof is not the base64 of 32 bytes")]
    Hash {
        /// Which one, from 1.
        number: usize,
    },
    /// Above [`MAX_PROOF_HASHES`].
    #[error("the proof has more than {MAX_PROOF_HASHES} hashes")]
    TooManyHashes,
    /// No empty line before the checkpoint.
    #[error("the proof has no checkpoint; it may have been cut off in transfer")]
    NoCheckpoint,
    /// The checkpoint is at fault, or the policy does not accept it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The leaf is not the one that was proved.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::merkle::root_of;
    use crate::tlog::testing::*;
    use proptest::prelude::*;

    const SIZE: u64 = 21;

    fn bundle(index: u64) -> ProofBundle {
        let leaves = numbered_leaves(SIZE);
        let mut checkpoint = signed_checkpoint("log", SIZE, root_of(leaves.iter().copied()));
        let text = checkpoint.unverified().to_string();
        checkpoint
            .add_cosignature(cosigner(1).cosign(&text, 7).unwrap())
            .unwrap();
        ProofBundle::new(index, naive_inclusion(index as usize, &leaves), checkpoint).unwrap()
    }

    fn policy(witness: u8) -> LogPolicy {
        let log_keys = vec![log_signer("log").note_key()];
        LogPolicy::with_witnesses(log_keys, vec![cosigner(witness).note_key()], 1).unwrap()
    }

    #[test]
    fn a_bundle_proves_its_leaf_and_no_other() {
        for index in 0..SIZE {
            let bundle = bundle(index).with_extra(b"more".to_vec()).unwrap();
            let read = ProofBundle::parse(bundle.to_string().as_bytes()).unwrap();
            assert_eq!(read, bundle);
            assert_eq!(read.unverified_extra(), Some(b"more".as_slice()));
            let logged = read.verify(&leaf(index), &policy(1)).unwrap();
            assert_eq!(
                (logged.index, logged.leaf_hash),
                (index, leaf_hash(&leaf(index)))
            );
            assert_eq!(logged.accepted.cosignatures[0].unix_seconds, Some(7));
            assert!(matches!(
                read.verify(&leaf(index + 1), &policy(1)),
                Err(ProofBundleError::Proof(ProofError::Inclusion { .. }))
            ));
            assert!(matches!(
                read.verify(&leaf(index), &policy(2)),
                Err(ProofBundleError::Checkpoint(_))
            ));
        }
    }

    #[test]
    fn the_text_has_the_lines_of_the_specification() {
        let text = bundle(20).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["c2sp.org/tlog-proof@v1", "index 20"]);
        assert!(lines[2..4].iter().all(|line| line.len() == 44));
        assert_eq!(lines[4..7], ["", "log", "21"]);
    }

    #[test]
    fn malformed_texts_are_refused() {
        use ProofBundleError as E;
        let text = bundle(20).with_extra(b"more".to_vec()).unwrap().to_string();
        for (from, to, error) in [
            ("@v1", "@v2", E::FirstLine),
            ("extra bW9yZQ==", "extra bW9yZQ=", E::Extra),
            ("extra ", "Extra ", E::Index),
            ("index 20", "index 020", E::Index),
            ("index 20", "index  20", E::Index),
            ("index 20\n", "", E::Index),
            ("index 20\n", "index 20\nAAAA\n", E::Hash { number: 1 }),
            (
                "index 20\n",
                "index 20\n\n",
                E::Checkpoint(CheckpointError::Size),
            ),
            ("\n\nlog", "\nlog", E::Hash { number: 3 }),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let found = ProofBundle::parse(changed.as_bytes());
            assert_eq!(found, Err(error), "{from} -> {to}");
        }
        assert_eq!(ProofBundle::parse(b"\xff"), Err(E::NotUtf8));
        assert_eq!(
            ProofBundle::parse(FIRST_LINE.as_bytes()),
            Err(E::NoCheckpoint)
        );
        let hashes = vec![[0; 32]; MAX_PROOF_HASHES + 1];
        let checkpoint = bundle(0).checkpoint;
        assert_eq!(
            ProofBundle::new(0, hashes, checkpoint),
            Err(E::TooManyHashes)
        );
        let line = format!(
            "index 20\n{}",
            format!("{}\n", "A".repeat(43) + "=").repeat(64)
        );
        let long = text.replacen("index 20\n", &line, 1);
        assert_eq!(ProofBundle::parse(long.as_bytes()), Err(E::TooManyHashes));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_of_a_proof_is_noticed(at in any::<proptest::sample::Index>(), bit in 0..8u8) {
            let mut bytes = bundle(20).to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let verified = ProofBundle::parse(&bytes)
                .and_then(|bundle| bundle.verify(&leaf(20), &policy(1)));
            prop_assert!(verified.is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(tail in "(extra [A=]{0,4}\n)?(index [0-9]{1,30}\n)?(\\PC{0,45}\n){0,3}\n\\PC{0,60}") {
            let _ = ProofBundle::parse(tail.as_bytes());
            let _ = ProofBundle::parse(format!("{FIRST_LINE}\n{tail}").as_bytes());
        }
    }
}
