//! A holder and an asking side, as two nodes would be, without the wire between them.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;

use super::parallel::{cores, map_parts};
use super::register::Register;
use crate::ambient::Ambient;
use crate::cli::CliError;
use crate::exchange::lookup::{Candidate, MAX_SUBJECTS, ProbedSubject, SubjectTokens, weigh};
use crate::linkage::RuleTable;
use crate::store::{IndexedRecord, Store};
use crate::vault::{DataKey, KeyRing};

/// The holder's member id, which is part of every lookup token.
const HOLDER: &str = "holder";
/// The epoch of the key.
const EPOCH: u32 = 1;

/// A holder's index in a database of its own, which is removed at the end.
pub struct Holder {
    store: Store,
    directory: PathBuf,
}

impl Holder {
    /// Makes the database and fills the index with a register's tokens.
    ///
    /// # Errors
    /// If the temporary directory cannot be written or the store fails.
    pub async fn fill(
        ambient: &Ambient,
        register: &Register,
        tokens: &[SubjectTokens],
    ) -> Result<Self, CliError> {
        let name = format!("wayhome-eval-{}", hex::encode(ambient.random::<6>()));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory)?;
        let store = Store::open(
            &format!("sqlite:{}", directory.join("index.db").display()),
            KeyRing::generate(&mut ambient.rng()),
            DataKey::generate(&mut ambient.rng()),
            ambient.clone(),
        )
        .await;
        let holder = match store {
            Ok(store) => Self { store, directory },
            Err(error) => {
                let _ = std::fs::remove_dir_all(&directory);
                return Err(error.into());
            }
        };
        let rows = map_parts(tokens, |part| {
            part.iter()
                .map(|record| record.index_rows(EPOCH, HOLDER))
                .collect()
        });
        let records: Vec<IndexedRecord> = register
            .records
            .iter()
            .zip(tokens)
            .zip(rows)
            .map(|((record, tokens), index)| IndexedRecord {
                presence: tokens.presence.0,
                family_ref: record
                    .family_ref
                    .as_ref()
                    .map(|family| family.as_str().to_owned()),
                index,
            })
            .collect();
        holder.store.fill_for_measurement(&records, EPOCH).await?;
        Ok(holder)
    }

    /// Asks about every record of a register and answers with its candidates, best first. Those
    /// of one family are asked about together, as a caseworker would.
    ///
    /// A candidate's record id is the position of its record in the holder's register, plus 1.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn ask(
        &self,
        ambient: &Ambient,
        rules: &Arc<RuleTable>,
        register: &Register,
        tokens: &[SubjectTokens],
        bar: &ProgressBar,
    ) -> Result<Vec<Vec<Candidate>>, CliError> {
        let plan = plan(register);
        let queries = plan.iter().map(|query| {
            let subjects = on_the_wire(ambient, rules, tokens, query);
            let (store, rules) = (self.store.clone(), Arc::clone(rules));
            async move {
                let subjects = subjects?;
                // On a task of its own, so that queries are weighed on all cores.
                tokio::spawn(async move { weigh(&store, &rules, EPOCH, &subjects).await })
                    .await
                    .map_err(|error| CliError::failed("EVAL", error))?
                    .map(|weighed| weighed.subjects)
                    .map_err(CliError::from)
                    .inspect(|answers| bar.inc(answers.len() as u64))
            }
        });
        let answers: Vec<Vec<Vec<Candidate>>> = stream::iter(queries)
            .buffered(2 * cores())
            .try_collect()
            .await?;
        let mut found = Vec::new();
        found.resize_with(register.records.len(), Vec::new);
        let asked = plan.into_iter().flatten();
        for (position, candidates) in asked.zip(answers.into_iter().flatten()) {
            found[position] = candidates;
        }
        Ok(found)
    }

    /// Closes the database and removes it.
    pub async fn close(self) {
        self.store.close().await;
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The subjects of one query as they come out of the wire's form.
fn on_the_wire(
    ambient: &Ambient,
    rules: &RuleTable,
    tokens: &[SubjectTokens],
    query: &[usize],
) -> Result<Vec<ProbedSubject>, CliError> {
    let subjects = map_parts(query, |part| {
        part.iter()
            .map(|&position| {
                let subject = tokens[position].for_holder(rules, EPOCH, HOLDER, ambient);
                ProbedSubject::from_wire(rules, &subject)
            })
            .collect()
    });
    subjects
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|why| CliError::failed("EVAL", why))
}

/// The positions of all records, query by query: those of one family are asked about in one.
fn plan(register: &Register) -> Vec<Vec<usize>> {
    let mut families = register.families();
    let mut queries: Vec<Vec<usize>> = vec![Vec::new()];
    for (position, record) in register.records.iter().enumerate() {
        let group = match &record.family_ref {
            // The first of a family takes all of it along.
            Some(family) => families.remove(family.as_str()).unwrap_or_default(),
            None => vec![position],
        };
        for part in group.chunks(MAX_SUBJECTS) {
            match queries.last_mut() {
                Some(query) if query.len() + part.len() <= MAX_SUBJECTS => query.extend(part),
                _ => queries.push(part.to_vec()),
            }
        }
    }
    queries
}
