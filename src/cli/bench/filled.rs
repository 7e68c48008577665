//! Large indexes to measure on.

use super::super::progress::bar;
use super::super::{CliError, Context};
use crate::linkage::RuleTable;
use crate::store::{MeasuredIndex, Store};

/// Tokens of one record.
pub const TOKENS: usize = 16;

/// The epoch of all that is filled in.
pub const EPOCH: u32 = 1;

/// What a record is said to know: all there is.
pub const PRESENCE: u16 = 0x1fff;

/// The shipped rules.
///
/// # Errors
/// If the table is wrong.
pub fn rules() -> Result<&'static RuleTable, CliError> {
    RuleTable::shipped().map_err(|error| CliError::failed("RULES", error))
}

/// The rules of a record's tokens, in the order of a query's slots.
#[must_use]
pub fn slot_owners(rules: &RuleTable) -> Vec<u8> {
    let slots = rules.slot_rules().iter().map(|rule| rule.0);
    slots.take(TOKENS).collect()
}

/// Writes an index to a store.
///
/// # Errors
/// If the store fails.
pub async fn fill(context: &Context, store: &Store, index: &MeasuredIndex) -> Result<(), CliError> {
    let bar = bar(context.output, index.tokens(), "filling an index");
    store
        .fill_with(index, PRESENCE, EPOCH, |done| bar.inc(done))
        .await?;
    bar.finish_and_clear();
    Ok(())
}
