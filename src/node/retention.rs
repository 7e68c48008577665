//! How long records are kept: by their status, so long after they were changed last. What is over its
//! time is erased as an operator would erase it, and stands in the log.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::pause::pause;
use crate::exchange::{Party, PeerError, enrol};
use crate::records::StatusCode;
use crate::store::{StoreError, StoredRecord};

const DAY_MS: u64 = 86_400_000;

/// How often the register is looked through.
const ROUND: Duration = Duration::from_secs(86_400);

/// How soon it is looked through again if something failed.
const AGAIN: Duration = Duration::from_secs(3_600);

/// How many records are looked at in one go.
const AT_ONCE: u64 = 200;

/// `[[retention]]` of `node.toml`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "Vec<RuleText>", into = "Vec<RuleText>")]
pub struct Retention(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// As the register folds it.
    status: String,
    days: u64,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    status: String,
    days: u64,
}

/// Why rules cannot be followed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RetentionError {
    /// A status is none.
    #[error("retention: {0:?} is no status: write it as the register does")]
    Status(String),
    /// A period is none.
    #[error("retention: records of status {0:?} are to be kept for at least one day")]
    Days(String),
    /// Two rules for one status.
    #[error("retention: status {0:?} has two rules: keep one")]
    Twice(String),
}

impl TryFrom<Vec<RuleText>> for Retention {
    type Error = RetentionError;

    fn try_from(texts: Vec<RuleText>) -> Result<Self, Self::Error> {
        let mut rules: Vec<Rule> = Vec::with_capacity(texts.len());
        for text in texts {
            let status = StatusCode::parse(&text.status)
                .map_err(|_| RetentionError::Status(text.status.clone()))?
                .as_str()
                .to_owned();
            if text.days == 0 {
                return Err(RetentionError::Days(text.status));
            }
            if rules.iter().any(|rule| rule.status == status) {
                return Err(RetentionError::Twice(text.status));
            }
            rules.push(Rule {
                status,
                days: text.days,
            });
        }
        Ok(Self(rules))
    }
}

impl From<Retention> for Vec<RuleText> {
    fn from(retention: Retention) -> Self {
        let text = |rule: Rule| RuleText {
            status: rule.status,
            days: rule.days,
        };
        retention.0.into_iter().map(text).collect()
    }
}

impl Retention {
    /// Whether everything is kept until somebody erases it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// For how many days a record of this status is kept; nothing if for ever.
    fn days(&self, status: Option<&StatusCode>) -> Option<u64> {
        let status = status?.as_str();
        let rule = self.0.iter().find(|rule| rule.status == status)?;
        Some(rule.days)
    }
}

/// Erases what is over its time. Tells how many records those were.
///
/// # Errors
/// If the store fails, the log is not signed, or a record could not be erased: the last of those, once all
/// others are. The next round goes on.
pub async fn step(party: &Arc<Party>, retention: &Retention) -> Result<u64, PeerError> {
    let Some(shortest) = retention.0.iter().map(|rule| rule.days).min() else {
        return Ok(0);
    };
    let now_ms = party.ambient().now_ms();
    let before = |days: u64| now_ms.saturating_sub(days.saturating_mul(DAY_MS));
    let (mut after, mut erased) = (0, 0);
    let mut failed = None;
    loop {
        let page = party
            .store()
            .records_unchanged_since(before(shortest), after, AT_ONCE)
            .await?;
        let Some((_, last)) = page.last() else {
            return failed.map_or(Ok(erased), Err);
        };
        after = last.record_id;
        for (changed_ms, stored) in page {
            match erase_if_over(party, retention, &stored, |days| changed_ms <= before(days)).await
            {
                Ok(gone) => erased += u64::from(gone),
                // While the log is not signed none of the others can be erased either.
                Err(error @ PeerError::Store(StoreError::NotSigned(_))) => return Err(error),
                // One that fails keeps none of the others.
                Err(error) => {
                    tracing::error!(
                        code = error.code(),
                        "a record over its time could not be erased"
                    );
                    failed = Some(error);
                }
            }
        }
    }
}

async fn erase_if_over(
    party: &Arc<Party>,
    retention: &Retention,
    stored: &StoredRecord,
    is_over: impl Fn(u64) -> bool,
) -> Result<bool, PeerError> {
    let record = enrol::parse(stored)?;
    let Some(days) = retention.days(record.status.as_ref()) else {
        return Ok(false);
    };
    // Changed since it was read, it is another record, with a time of its own.
    Ok(is_over(days) && enrol::erase_in_time(party, stored, days).await?.is_some())
}

/// Looks through the register day by day until the node stops.
pub async fn keep(party: Arc<Party>, retention: Retention, mut stopped: watch::Receiver<bool>) {
    if retention.is_default() {
        return;
    }
    loop {
        let wait = match step(&party, &retention).await {
            Ok(erased) => {
                if erased > 0 {
                    tracing::info!(erased, "records over their time were erased");
                }
                ROUND
            }
            Err(error) => {
                tracing::error!(
                    code = error.code(),
                    "records over their time are not all erased"
                );
                AGAIN
            }
        };
        if !pause(wait, &mut stopped).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Retention, String> {
        #[derive(Deserialize)]
        struct File {
            retention: Retention,
        }
        toml::from_str::<File>(text)
            .map(|file| file.retention)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_as_the_register_writes_its_statuses_and_wrong_ones_are_named() {
        let rules = "[[retention]]\nstatus = \"Forcibly-displaced\"\ndays = 3";
        let rules = read(rules).unwrap();
        let status = StatusCode::parse("forcibly displaced").unwrap();
        assert_eq!(rules.days(Some(&status)), Some(3));
        assert_eq!(rules.days(None), None);
        for (wrong, said) in [
            ("[[retention]]\nstatus = \"a;b\"\ndays = 3", "is no status"),
            (
                "[[retention]]\nstatus = \"a\"\ndays = 0",
                "at least one day",
            ),
            (
                "[[retention]]\nstatus = \"a\"\ndays = 1\n[[retention]]\nstatus = \"A\"\ndays = 2",
                "two rules",
            ),
            ("[[retention]]\nstatus = \"a\"\nhours = 3", "hours"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
