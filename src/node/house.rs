//! Bringing the configuration's changeable parts into force: the member's own rules, and routes.

use crate::exchange::leaf::Leaf;
use crate::exchange::{HouseRules, Party};
use crate::proto::exchange as pb;
use crate::store::{Act, Effect, StoreError};

/// The setting that holds which rules stand in the log.
const RECORDED: &str = "house_rules";

/// Brings the member's own rules into force, and records them if they are others than those in the
/// log. Says whether they were.
///
/// # Errors
/// If they cannot be recorded; they are not in force then.
pub async fn set(party: &Party, rules: HouseRules) -> Result<bool, StoreError> {
    let summary = rules.summary();
    let recorded = party.store().setting(RECORDED).await?;
    // A log that states none is of a node that has always had those of the program.
    let known = match &recorded {
        Some(recorded) => recorded == summary.as_bytes(),
        None => rules == HouseRules::default(),
    };
    if known {
        party.set_house_rules(rules);
        return Ok(false);
    }
    let (leaf, _) = Leaf::new(
        pb::Act::HouseRulesSet,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| entry.reference = summary.clone())
    .finish();
    let act = Act::alone(leaf).with(Effect::Set(RECORDED, summary.clone().into_bytes()));
    party.ledger().commit(act).await?;
    party.set_house_rules(rules);
    tracing::info!(rules = summary, "the member's own rules came into force");
    Ok(true)
}
