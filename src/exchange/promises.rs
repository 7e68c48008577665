//! Whether peers keep what their receipts promised: that the leaf stands in their log, and that the
//! tree it stood in is one that their log still extends.
//!
//! The node looks by itself, from the checkpoint and the hash tiles that the peer serves to
//! everybody. A peer that is away breaks nothing; one that shows a log without the leaf does, and
//! two checkpoints under its own signature say so.

use std::collections::BTreeSet;

use super::log_files::{LogFileError, RemoteLog};
use super::{Party, ask};
use crate::roster::Member;
use crate::store::{LogFinding, OpenReceipt, StoreError};
use crate::tlog::{TreeHead, VerifiedCheckpoint};

/// A promise was broken: the code of the alert.
pub const PROMISE_BROKEN: &str = "PROMISE_BROKEN";

/// How long a peer may take until what it serves covers what it promised, in milliseconds. It
/// serves what its witnesses have seen, which is a little behind what it signs.
pub const GRACE_MS: u64 = 120_000;

/// How many promises of one peer are looked at in one round.
const AT_ONCE: u64 = 2_000;

/// What a look at the promises came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many were seen kept.
    pub kept: u64,
    /// How many are still open: the peer is away, or its served checkpoint does not cover them yet.
    pub open: u64,
    /// What was found broken.
    pub alerts: Vec<LogFinding>,
}

/// Looks at all open promises.
///
/// # Errors
/// If the database fails. A peer that cannot be reached is no error.
pub async fn check(party: &Party) -> Result<Outcome, StoreError> {
    let mut outcome = Outcome::default();
    let Ok(roster) = party.roster() else {
        return Ok(outcome);
    };
    for member in roster
        .roster()
        .members
        .iter()
        .filter(|member| member.log.is_some())
    {
        let open = party
            .store()
            .open_receipts(member.id.as_str(), AT_ONCE)
            .await?;
        let open = of_this_log(party, member, open).await?;
        if open.is_empty() {
            continue;
        }
        let before = open.len() as u64;
        match check_peer(party, member, open, &mut outcome).await? {
            Ok(settled) => outcome.open += before - settled,
            Err(error) => {
                tracing::info!(peer = member.id.as_str(), %error, "promises are looked at later");
                outcome.open += before;
            }
        }
    }
    Ok(outcome)
}

/// Those that are of the log which the roster states for the peer. The others are of one that it has
/// given up, as the coalition has signed since: no log is left that could keep or break them.
async fn of_this_log(
    party: &Party,
    member: &Member,
    open: Vec<OpenReceipt>,
) -> Result<Vec<OpenReceipt>, StoreError> {
    let origin = member.log.as_ref().map(|log| log.origin.as_str());
    let (open, given_up): (Vec<_>, Vec<_>) = open
        .into_iter()
        .partition(|open| open.receipt.checkpoint.lines().next() == origin);
    if !given_up.is_empty() {
        let ids: Vec<i64> = given_up.iter().map(|open| open.receipt_id).collect();
        party.store().receipts_superseded(&ids).await?;
        tracing::info!(
            peer = member.id.as_str(),
            receipts = ids.len(),
            "promises of a log that was given up are set aside"
        );
    }
    Ok(open)
}

/// How many promises of one peer are settled; the inner error says that nothing could be seen.
async fn check_peer(
    party: &Party,
    member: &Member,
    open: Vec<OpenReceipt>,
    outcome: &mut Outcome,
) -> Result<Result<u64, LogFileError>, StoreError> {
    let log = async {
        let channel =
            ask::channel(party, member)
                .await
                .map_err(|error| LogFileError::Unreachable {
                    path: "/log/checkpoint".to_owned(),
                    why: error.to_string(),
                })?;
        let log = RemoteLog::new(channel, member)?;
        let served = log.checkpoint().await?;
        Ok((log, served))
    };
    let (mut log, served) = match log.await {
        Ok(log) => log,
        Err(error) => return Ok(Err(error)),
    };
    let now_ms = party.ambient().now_ms();
    let mut kept = Vec::new();
    let mut broken = 0;
    let mut sound: BTreeSet<(u64, [u8; 32])> = BTreeSet::new();
    for OpenReceipt {
        receipt_id,
        received_ms,
        receipt,
    } in open
    {
        let verdict = if served.head().size < receipt.head.size {
            if now_ms.saturating_sub(received_ms) < GRACE_MS {
                continue;
            }
            Err(format!(
                "it serves a log of {} leaves long after it signed one of {}",
                served.head().size,
                receipt.head.size
            ))
        } else {
            let known = (receipt.head.size, receipt.head.root);
            let grown = if sound.contains(&known) {
                Ok(())
            } else {
                grows(&mut log, &receipt.head, &served).await
            };
            let checked = match grown {
                Ok(()) => {
                    sound.insert(known);
                    log.check_inclusion(&receipt.leaf_hash, receipt.leaf_index, &served.head())
                        .await
                }
                Err(error) => Err(error),
            };
            match checked {
                Ok(()) => Ok(()),
                Err(error) if error.is_breach() => Err(error.to_string()),
                // The rest waits for the next round; what was settled so far counts.
                Err(error) => {
                    tracing::info!(peer = member.id.as_str(), %error, "a log was not read to its end");
                    break;
                }
            }
        };
        match verdict {
            Ok(()) => kept.push(receipt_id),
            Err(why) => {
                party.store().receipt_broken(receipt_id).await?;
                broken += 1;
                outcome.alerts.push(LogFinding {
                    kind: PROMISE_BROKEN,
                    member: member.id.to_string(),
                    detail: format!(
                        "{} promised leaf {} in its log, and {why}",
                        member.id, receipt.leaf_index
                    ),
                    proof: [receipt.checkpoint, served.signed().to_string()],
                });
            }
        }
    }
    let settled = kept.len() as u64 + broken;
    outcome.kept += kept.len() as u64;
    party.store().receipts_kept(&kept).await?;
    Ok(Ok(settled))
}

async fn grows(
    log: &mut RemoteLog,
    promised: &TreeHead,
    served: &VerifiedCheckpoint,
) -> Result<(), LogFileError> {
    log.prove_consistency(promised, &served.head())
        .await
        .map(|_| ())
}
