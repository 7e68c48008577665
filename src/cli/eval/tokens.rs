//! From a register's records to their tokens.

use std::collections::HashMap;

use indicatif::ProgressBar;

use super::parallel::map_parts;
use super::register::Register;
use crate::cli::CliError;
use crate::exchange::lookup::{SubjectTokens, attributes};
use crate::linkage::{Attributes, LinkageKey, Presence, RuleId, RuleTable};
use crate::oprf::{CoalitionToken, LocalKey, OprfError};

/// A record's linkage keys.
pub struct Keys {
    /// Which fields it has.
    pub presence: Presence,
    /// Its keys, those with its siblings last.
    keys: Vec<LinkageKey>,
    /// How many of them are its own.
    pub own: usize,
}

impl Keys {
    /// How many keys it shares with siblings.
    pub fn with_siblings(&self) -> usize {
        self.keys.len() - self.own
    }
}

/// Derives the keys of all records.
pub fn derive(rules: &RuleTable, register: &Register) -> Vec<Keys> {
    let positions: Vec<usize> = (0..register.records.len()).collect();
    let mut keys = map_parts(&positions, |part| {
        part.iter()
            .map(|&position| {
                let derived = rules.derive(&attributes(&register.records[position]));
                Keys {
                    presence: derived.presence,
                    own: derived.keys.len(),
                    keys: derived.keys,
                }
            })
            .collect()
    });
    let families: Vec<Vec<usize>> = register.families().into_values().collect();
    let siblings = map_parts(&families, |part| {
        part.iter()
            .map(|family| of_family(rules, register, family))
            .collect()
    });
    for (family, siblings) in families.iter().zip(siblings) {
        for (&position, more) in family.iter().zip(siblings) {
            keys[position].keys.extend(more);
        }
    }
    keys
}

fn of_family(rules: &RuleTable, register: &Register, family: &[usize]) -> Vec<Vec<LinkageKey>> {
    if rules.sibling_slot_rules().is_empty() {
        return Vec::new();
    }
    let all: Vec<Attributes<'_>> = family
        .iter()
        .map(|&position| attributes(&register.records[position]))
        .collect();
    (0..all.len())
        .map(|which| rules.derive_siblings(&all, which))
        .collect()
}

/// Evaluates the OPRF on the keys of both registers. A key that stands in several records, such as
/// both of a true pair, is evaluated once.
///
/// # Errors
/// If a key cannot be evaluated.
pub fn evaluate(
    key: &LocalKey,
    registers: [&[Keys]; 2],
    bar: &ProgressBar,
) -> Result<[Vec<SubjectTokens>; 2], CliError> {
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    let mut inputs: Vec<&[u8]> = Vec::new();
    let keys = registers
        .iter()
        .copied()
        .flatten()
        .flat_map(|record| &record.keys);
    for linkage_key in keys {
        let text: &[u8] = &linkage_key.text;
        places.entry(text).or_insert_with(|| {
            inputs.push(text);
            inputs.len() - 1
        });
    }
    bar.set_length(inputs.len() as u64);
    let tokens = map_parts(&inputs, |part| {
        let tokens = match key.tokens(part) {
            Ok(tokens) => tokens.into_iter().map(Ok).collect(),
            Err(_) => part.iter().map(|input| key.token(input)).collect(),
        };
        bar.inc(part.len() as u64);
        tokens
    });
    let tokens = tokens
        .into_iter()
        .collect::<Result<Vec<CoalitionToken>, OprfError>>()
        .map_err(|error| CliError::failed("OPRF", error))?;
    Ok(registers.map(|register| {
        register
            .iter()
            .map(|record| SubjectTokens {
                presence: record.presence,
                tokens: record
                    .keys
                    .iter()
                    .filter_map(|key| {
                        let place = places.get(key.text.as_slice())?;
                        Some((key.rule, tokens[*place].clone()))
                    })
                    .collect::<Vec<(RuleId, CoalitionToken)>>(),
            })
            .collect()
    }))
}
