//! What a reader of a log demands of a checkpoint before trusting it.

use super::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use crate::envelope::note::{NoteError, NoteKey, VerifiedSignature};

/// The keys of one log, and how many of which witnesses must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPolicy {
    log_keys: Vec<NoteKey>,
    witnesses: Vec<NoteKey>,
    quorum: usize,
}

impl LogPolicy {
    /// Demands the log's own signature, and no witness: nothing then speaks against the log
    /// showing another history to somebody else.
    #[must_use]
    pub fn log_alone(log_keys: Vec<NoteKey>) -> Self {
        Self {
            log_keys,
            witnesses: Vec::new(),
            quorum: 0,
        }
    }

    /// Demands the log's own signature and cosignatures by `quorum` different keys of
    /// `witnesses`.
    pub fn with_witnesses(
        log_keys: Vec<NoteKey>,
        witnesses: Vec<NoteKey>,
        quorum: usize,
    ) -> Result<Self, NoteError> {
        if quorum == 0 {
            return Err(NoteError::ThresholdZero);
        }
        Ok(Self {
            log_keys,
            witnesses,
            quorum,
        })
    }

    /// Verifies a checkpoint by this policy.
    pub fn accept(&self, signed: &SignedCheckpoint) -> Result<AcceptedCheckpoint, CheckpointError> {
        let checkpoint = signed.verify(&self.log_keys)?;
        let cosignatures = match self.quorum {
            0 => Vec::new(),
            quorum => checkpoint.verify_cosignatures(&self.witnesses, quorum)?,
        };
        Ok(AcceptedCheckpoint {
            checkpoint,
            cosignatures,
        })
    }
}

/// A checkpoint that fulfils a [`LogPolicy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedCheckpoint {
    /// The checkpoint.
    pub checkpoint: VerifiedCheckpoint,
    /// The witnesses' signatures with their times; empty when none were demanded.
    pub cosignatures: Vec<VerifiedSignature>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::testing::{cosigner, log_signer, signed_checkpoint};

    #[test]
    fn a_checkpoint_needs_the_log_and_the_quorum() {
        let mut signed = signed_checkpoint("log", 5, [7; 32]);
        let log_keys = vec![log_signer("log").note_key()];
        let witnesses: Vec<NoteKey> = (1..4).map(|n| cosigner(n).note_key()).collect();
        let two = LogPolicy::with_witnesses(log_keys.clone(), witnesses.clone(), 2).unwrap();
        let alone = LogPolicy::log_alone(log_keys.clone());

        assert!(alone.accept(&signed).unwrap().cosignatures.is_empty());
        let text = signed.unverified().to_string();
        signed
            .add_cosignature(cosigner(1).cosign(&text, 9).unwrap())
            .unwrap();
        assert_eq!(
            two.accept(&signed),
            Err(CheckpointError::Note(NoteError::Threshold {
                found: 1,
                threshold: 2
            }))
        );
        // An unknown witness's cosignature does not count.
        signed
            .add_cosignature(cosigner(9).cosign(&text, 9).unwrap())
            .unwrap();
        assert!(two.accept(&signed).is_err());
        signed
            .add_cosignature(cosigner(3).cosign(&text, 9).unwrap())
            .unwrap();
        assert_eq!(two.accept(&signed).unwrap().cosignatures.len(), 2);

        // Witnesses do not stand in for the log.
        let stranger = LogPolicy::with_witnesses(vec![], witnesses.clone(), 2).unwrap();
        assert!(stranger.accept(&signed).is_err());
        assert_eq!(
            LogPolicy::with_witnesses(log_keys, witnesses, 0),
            Err(NoteError::ThresholdZero)
        );
    }
}
