//! Whether a node can answer its peers now, and if not, why.

use crate::exchange::Party;

/// What keeps a node from answering. The codes are stable; the sentences hold nothing personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// `STOPPING`, `NO_ROSTER`, `LOG_NOT_SIGNED` or `DATABASE`.
    pub code: &'static str,
    /// What it is, and what mends it.
    pub reason: String,
}

/// Everything that keeps the node of `party` from answering now; empty if it answers.
pub async fn not_ready(party: &Party, stopping: bool) -> Vec<NotReady> {
    let mut reasons = Vec::new();
    let mut say = |code, reason: String| reasons.push(NotReady { code, reason });
    if stopping {
        say("STOPPING", "the node is stopping".to_owned());
    }
    if let Err(refusal) = party.roster() {
        say(refusal.code(), refusal.to_string());
    }
    match party.ledger().standing() {
        Some(Ok(())) => {}
        Some(Err(refused)) => say("LOG_NOT_SIGNED", refused.to_string()),
        None => say("LOG_NOT_SIGNED", "the log was not opened yet".to_owned()),
    }
    if let Err(error) = party.store().checkpoint().await {
        // Its text may name the server; the log has it.
        tracing::warn!(%error, "the database gives no answer");
        say(
            "DATABASE",
            "the database gives no answer: see the node's log".to_owned(),
        );
    }
    reasons
}
