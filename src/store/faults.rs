//! Faults for tests: one write, of all that go to the database, is reported failed although it was
//! done, or fails and was not done.

use std::sync::{Mutex, PoisonError};

use super::StoreError;

/// What happens at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and was not done.
    NotPersisted,
    /// It is reported failed, and was done.
    Persisted,
}

/// Which write of a named transaction goes wrong.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    /// Writes since the plan was made, with the transaction of each.
    seen: Vec<&'static str>,
    /// The write that goes wrong, counted from 0.
    at: Option<(usize, Fault)>,
}

/// What is to happen after a write was done.
#[must_use]
pub struct Struck(Option<&'static str>);

impl Faults {
    /// Counts anew; the write with this number goes wrong.
    pub fn plan(&self, at: Option<(usize, Fault)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Plan {
            seen: Vec::new(),
            at,
        };
    }

    /// The writes since the plan was made, by transaction.
    pub fn seen(&self) -> Vec<&'static str> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .seen
            .clone()
    }

    pub fn at_write(&self, transaction: &'static str) -> Result<Struck, StoreError> {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = plan.seen.len();
        plan.seen.push(transaction);
        match plan.at {
            Some((at, Fault::NotPersisted)) if at == number => Err(failed(transaction)),
            Some((at, Fault::Persisted)) if at == number => Ok(Struck(Some(transaction))),
            _ => Ok(Struck(None)),
        }
    }
}

impl Struck {
    pub fn strike(self) -> Result<(), StoreError> {
        self.0
            .map_or(Ok(()), |transaction| Err(failed(transaction)))
    }
}

fn failed(transaction: &'static str) -> StoreError {
    StoreError::Statement {
        transaction,
        reason: "a fault of the test".to_owned(),
    }
}
