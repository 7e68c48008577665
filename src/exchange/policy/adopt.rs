//! Bringing a policy into force in a running node.

use std::sync::Arc;

use super::{Policy, PolicyError};
use crate::exchange::Party;
use crate::exchange::leaf::Leaf;
use crate::proto::exchange as pb;
use crate::store::{Act, Effect, Evidence, EvidencePart, StoreError};

/// Under which name the policy in force is kept in the store.
pub const SETTING: &str = "policy";

/// Under which name its digest is kept beside it: small enough to be asked for with every decision.
pub const DIGEST_SETTING: &str = "policy_digest";

/// What became of a policy that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It is in force now.
    New,
    /// It was in force already.
    Unchanged,
}

/// The policy that is in force, and what was refused since.
#[derive(Clone)]
pub struct PolicyInForce {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Whether its digest stands in the log.
    pub recorded: bool,
    /// Why the newest one offered was refused; none if the newest is in force.
    pub refused: Option<RefusedPolicy>,
}

/// A policy that was offered and is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPolicy {
    /// The stable code.
    pub code: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl PolicyInForce {
    /// Demands that it is still in force when what was decided by it becomes durable: another process
    /// of this node may have taken another. On what is stale, [`follow`] and decide anew.
    #[must_use]
    pub fn guard(&self) -> Option<Effect> {
        self.recorded
            .then(|| Effect::SettingIs(DIGEST_SETTING, Some(self.policy.digest().to_vec())))
    }

    /// A policy that was in force when the node last ran, or the shipped one, which is still to be
    /// recorded.
    #[must_use]
    pub fn at_start(kept: Option<Policy>) -> Self {
        Self {
            recorded: kept.is_some(),
            policy: Arc::new(kept.unwrap_or_else(Policy::shipped)),
            refused: None,
        }
    }
}

/// Brings a policy into force: from the moment its digest is durable in the log, decisions are made
/// by it. One that cannot be followed leaves the old in force, and says so in the node's log, in the
/// transparency log and in the status.
///
/// # Errors
/// The inner error says what is wrong with the policy; the outer one that it could not be recorded,
/// which the status says too until it is offered again.
pub async fn adopt(party: &Party, text: &str) -> Result<Result<Adopted, PolicyError>, StoreError> {
    let adopted = try_to_adopt(party, text).await;
    if let Err(error) = &adopted {
        not_in_force(party, "POLICY_NOT_RECORDED", error.to_string());
    }
    adopted
}

/// Takes over the policy that another process of this node has brought into force.
///
/// # Errors
/// If the store fails.
pub async fn follow(party: &Party) -> Result<(), StoreError> {
    let Some(text) = party.store().setting(SETTING).await? else {
        return Ok(());
    };
    let now = party.policy_in_force();
    if !now.recorded || now.policy.text().as_bytes() == text {
        return Ok(());
    }
    let policy = String::from_utf8(text).ok();
    let policy = policy.and_then(|text| Policy::parse(&text).ok());
    let Some(policy) = policy else {
        return Err(StoreError::damaged(
            "the disclosure policy in force",
            "it cannot be read",
        ));
    };
    tracing::info!(
        sha256 = hex::encode(policy.digest()),
        "a disclosure policy that another process of this node took is in force here"
    );
    party.set_policy(PolicyInForce {
        policy: Arc::new(policy),
        recorded: true,
        refused: None,
    });
    Ok(())
}

/// Says, once and in the status, that the policy on offer is not in force although nothing is known
/// to be wrong with it.
pub fn not_in_force(party: &Party, code: &'static str, why: String) {
    let now = party.policy_in_force();
    let refused = RefusedPolicy { code, why };
    if now.refused.as_ref() == Some(&refused) {
        return;
    }
    tracing::error!(
        alert = "policy_not_in_force",
        code,
        why = refused.why,
        in_force = hex::encode(now.policy.digest()),
        "the disclosure policy on offer is not in force yet: it is tried again"
    );
    party.set_policy(PolicyInForce {
        refused: Some(refused),
        ..now
    });
}

async fn try_to_adopt(
    party: &Party,
    text: &str,
) -> Result<Result<Adopted, PolicyError>, StoreError> {
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(error) => {
            refuse(party, &error).await?;
            return Ok(Err(error));
        }
    };
    let now = party.policy_in_force();
    if now.recorded && now.policy.digest() == policy.digest() {
        party.set_policy(PolicyInForce {
            refused: None,
            ..now
        });
        return Ok(Ok(Adopted::Unchanged));
    }
    let (leaf, _) = Leaf::new(
        pb::Act::PolicyAdopted,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.count = u32::try_from(policy.len()).unwrap_or(u32::MAX);
        entry.reference = format!("sha256={}", hex::encode(policy.digest()));
    })
    .finish();
    let text = policy.text().as_bytes().to_vec();
    let act = Act::alone(leaf)
        .with(Effect::Keep(
            EvidencePart::Document,
            Evidence::plain(text.clone()),
        ))
        .with(Effect::Set(SETTING, text))
        .with(Effect::Set(DIGEST_SETTING, policy.digest().to_vec()))
        .with(Effect::LookAtRequests);
    party.ledger().commit(act).await?;
    tracing::info!(
        sha256 = hex::encode(policy.digest()),
        rules = policy.len(),
        "a disclosure policy came into force"
    );
    party.set_policy(PolicyInForce {
        policy: Arc::new(policy),
        recorded: true,
        refused: None,
    });
    Ok(Ok(Adopted::New))
}

async fn refuse(party: &Party, error: &PolicyError) -> Result<(), StoreError> {
    let now = party.policy_in_force();
    let refused = RefusedPolicy {
        code: error.code(),
        why: error.to_string(),
    };
    if now.refused.as_ref() == Some(&refused) {
        return Ok(());
    }
    tracing::error!(
        alert = "policy_refused",
        code = error.code(),
        in_force = hex::encode(now.policy.digest()),
        %error,
        "the new disclosure policy cannot be followed: the one before stays in force"
    );
    let (leaf, _) = Leaf::new(
        pb::Act::PolicyRefused,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| entry.reference = error.code().to_owned())
    .finish();
    party.ledger().commit(Act::alone(leaf)).await?;
    party.set_policy(PolicyInForce {
        refused: Some(refused),
        ..now
    });
    Ok(())
}
