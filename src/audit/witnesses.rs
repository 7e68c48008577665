//! Who else has seen a checkpoint: the cosignatures of witnesses.

use super::finding::Fault;
use crate::envelope::NoteKey;
use crate::exchange::message::CLOCK_SKEW_MS;
use crate::tlog::VerifiedCheckpoint;

/// How old a leaf may be that no witness has seen: they are shown the log every few seconds. The clock
/// that judges may be ahead of the one that timed the leaf.
const LATE_MS: u64 = 3 * 60_000 + CLOCK_SKEW_MS;

/// What is wrong with a leaf that stands beyond the `size` leaves that were cosigned.
pub(super) fn late(size: u64, time_ms: u64, now_ms: u64) -> Option<Fault> {
    let age = now_ms.saturating_sub(time_ms);
    (age > LATE_MS).then_some(Fault::NotCosigned {
        size,
        seconds: age / 1000,
    })
}

/// Counts the cosignatures on a checkpoint that a log's own key signed.
///
/// `known` are the witnesses that rosters name; `asked` are those that the ombudsman's policy names
/// beside them, and how many must have cosigned. Gives the names of those that did, and what does
/// not hold: too few, a cosignature that is false, and any by a key that nobody knows.
pub(super) fn check(
    checkpoint: &VerifiedCheckpoint,
    known: &[NoteKey],
    asked: (&[NoteKey], usize),
) -> (Vec<String>, Vec<Fault>) {
    let (named, quorum) = asked;
    // A policy that names witnesses counts those alone.
    let counted = if named.is_empty() { known } else { named };
    let mut faults = Vec::new();
    let mut cosigned = Vec::new();
    if !counted.is_empty() {
        match checkpoint.verify_cosignatures(counted, 1) {
            Ok(signatures) => {
                cosigned = signatures
                    .iter()
                    .map(|signature| signature.key.name().to_string())
                    .collect();
            }
            Err(crate::tlog::CheckpointError::Note(crate::envelope::NoteError::Threshold {
                ..
            })) => {}
            Err(error) => faults.push(Fault::Cosignature {
                why: error.to_string(),
            }),
        }
    }
    if cosigned.len() < quorum {
        faults.push(Fault::TooFewWitnesses {
            found: cosigned.len(),
            needed: quorum,
        });
    }
    let own = checkpoint.by_log_alone();
    for line in checkpoint.signed().note().signatures() {
        let is_known = known
            .iter()
            .chain(named)
            .any(|key| key.name() == line.name() && key.id() == line.key_id());
        if !is_known && !own.note().signatures().contains(line) {
            faults.push(Fault::UnknownWitness {
                name: line.name().to_string(),
            });
        }
    }
    (cosigned, faults)
}
