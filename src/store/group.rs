//! A group of acts on its way into the database: what would refuse each of them, and what it
//! changes, gathered so that the whole group takes a handful of statements.
//!
//! What acts of everyday build on (queries answered before, quotas, probe states) is read once for
//! all of them, and kept up to date here as one act follows the other; what they write is gathered,
//! and written table by table. An act that needs more, such as an import, has everything before it
//! written first, and then runs statements of its own: it finds the database as it would alone.

use std::collections::HashMap;

use super::act::{Act, Committed, Debit, Drawn, Effect};
use super::db::{Table, Tx, Value, values};
use super::evidence::{EVIDENCE, EVIDENCE_ITEMS, Evidence, EvidencePart};
use super::journal::JournalEntry;
use super::keys::Tag;
use super::leads::LEADS;
use super::ledger::{carry_out, is_current};
use super::log::{LEAVES, NODES};
use super::probes::{PROBES, VERSIONS};
use super::receipts::RECEIPTS;
use super::seen::{ANSWERED, QUOTAS, SEEN, USED};
use super::{Store, StoreError};
use crate::ambient::Portions;
use crate::envelope::merkle::Hash;
use crate::tlog::Frontier;

/// When a cumulative quota is forgotten.
const NEVER: u64 = i64::MAX as u64;

/// A group within its transaction.
pub(super) struct Group<'a> {
    store: &'a Store,
    rng: Portions,
    /// Queries that were answered: digest and leaf.
    answered: HashMap<Tag, ([u8; 32], u64)>,
    /// What is used of quotas, this group's draws included.
    used: HashMap<Tag, u64>,
    /// Versions of probe states, this group's included.
    versions: HashMap<Tag, u64>,
    /// The mark of the index, once somebody asked.
    mark: Option<u64>,
    /// What the journal is told.
    entry: JournalEntry,
    /// Draws that are not written yet, each with when it may be forgotten.
    drawn: HashMap<Tag, (u64, u64)>,
    /// Probe states that are not written yet.
    probes: HashMap<Tag, Vec<Value>>,
    /// Rows that are not written yet.
    leaves: Vec<Vec<Value>>,
    nodes: Vec<Vec<Value>>,
    seen: Vec<Vec<Value>>,
    evidence: Vec<Vec<Value>>,
    items: Vec<Vec<Value>>,
    leads: Vec<Vec<Value>>,
    receipts: Vec<Vec<Value>>,
}

impl<'a> Group<'a> {
    /// Reads what `acts` build on.
    pub(super) async fn open(
        store: &'a Store,
        tx: &mut Tx,
        acts: &[Act],
    ) -> Result<Self, StoreError> {
        let mut group = Self {
            store,
            rng: store.ambient.portions(),
            answered: HashMap::new(),
            used: HashMap::new(),
            versions: HashMap::new(),
            mark: None,
            entry: JournalEntry::default(),
            drawn: HashMap::new(),
            probes: HashMap::new(),
            leaves: Vec::new(),
            nodes: Vec::new(),
            seen: Vec::new(),
            evidence: Vec::new(),
            items: Vec::new(),
            leads: Vec::new(),
            receipts: Vec::new(),
        };
        let seen = acts.iter().filter_map(|act| Some(act.seen.as_ref()?.tag));
        for row in tx.read_among(&ANSWERED, distinct(seen)).await? {
            let found = (row.array(1)?, row.uint(2)?);
            group.answered.insert(row.array(0)?, found);
        }
        let quotas = acts.iter().flat_map(|act| &act.debits).flat_map(allowances);
        let quotas = quotas.map(|debit| debit.tag);
        for row in tx.read_among(&USED, distinct(quotas)).await? {
            group.used.insert(row.array(0)?, row.uint(1)?);
        }
        let probes = acts.iter().flat_map(|act| &act.effects);
        let probes = probes.filter_map(|effect| match effect {
            Effect::NoteProbes(tag, _) => Some(*tag),
            _ => None,
        });
        for row in tx.read_among(&VERSIONS, distinct(probes)).await? {
            group.versions.insert(row.array(0)?, row.uint(1)?);
        }
        Ok(group)
    }

    /// Takes an act into the group: checks what would refuse it, draws on its quotas, appends its
    /// leaf to `frontier` and does the rest. The inner error is the refusal; such an act has changed
    /// nothing.
    pub(super) async fn take(
        &mut self,
        tx: &mut Tx,
        frontier: &mut Frontier,
        act: &Act,
        leaf_hash: Hash,
    ) -> Result<Result<(u64, Vec<Drawn>), Committed>, StoreError> {
        let drawn = match self.guard(tx, act).await? {
            Ok(drawn) => drawn,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let leaf_index = frontier.size();
        self.leaves.push(
            self.store
                .leaf_row(leaf_index, &act.leaf, leaf_hash, &mut self.rng),
        );
        let nodes = &mut self.nodes;
        frontier.append_each(leaf_hash, |node, hash| {
            nodes.push(values![u64::from(node.level), node.index, *hash]);
        });
        self.apply(tx, act, leaf_index).await?;
        Ok(Ok((leaf_index, drawn)))
    }

    async fn guard(
        &mut self,
        tx: &mut Tx,
        act: &Act,
    ) -> Result<Result<Vec<Drawn>, Committed>, StoreError> {
        if let Some(seen) = &act.seen
            && let Some((digest, leaf_index)) = self.answered.get(&seen.tag)
        {
            return Ok(Err(if *digest == seen.query_digest {
                Committed::Repeated {
                    leaf_index: *leaf_index,
                }
            } else {
                Committed::Reused
            }));
        }
        for effect in &act.effects {
            let current = match effect {
                Effect::NoteProbes(tag, state) => {
                    self.versions.get(tag).copied().unwrap_or(0) == state.version
                }
                Effect::AnsweredUnder(mark) => {
                    let now = match self.mark {
                        Some(now) => now,
                        None => Store::index_mark_in(tx).await?,
                    };
                    self.mark = Some(now);
                    now == *mark
                }
                effect if is_written_later(effect) => true,
                effect => {
                    self.write(tx).await?;
                    is_current(self.store, tx, effect).await?
                }
            };
            if !current {
                return Ok(Err(Committed::Stale));
            }
        }
        // All are looked at before any is drawn on: a refused act draws on none.
        let mut draws = Vec::with_capacity(act.debits.len());
        for debit in &act.debits {
            match self.choose(debit) {
                Ok(draw) => draws.push(draw),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let mut drawn = Vec::with_capacity(draws.len());
        for (debit, before) in draws {
            *self.used.entry(debit.tag).or_default() += debit.amount;
            let expires_ms = debit.expires_ms.unwrap_or(NEVER);
            self.drawn.entry(debit.tag).or_insert((0, expires_ms)).0 += debit.amount;
            self.entry.used.push((debit.tag, debit.amount, expires_ms));
            drawn.push(Drawn {
                quota: debit.quota,
                amount: debit.amount,
                used: before.saturating_add(debit.amount),
                limit: debit.limit,
            });
        }
        Ok(Ok(drawn))
    }

    /// The first of a debit's allowances that suffices, with what was used of it before.
    fn choose<'d>(&self, debit: &'d Debit) -> Result<(&'d Debit, u64), Committed> {
        let mut last = (debit, 0);
        for allowance in allowances(debit) {
            let used = self.used.get(&allowance.tag).copied().unwrap_or(0);
            last = (allowance, used);
            if used.saturating_add(allowance.amount) <= allowance.limit {
                return Ok(last);
            }
        }
        let (allowance, used) = last;
        Err(Committed::OverQuota {
            quota: allowance.quota,
            asked: allowance.amount,
            used,
            limit: allowance.limit,
        })
    }

    async fn apply(&mut self, tx: &mut Tx, act: &Act, leaf_index: u64) -> Result<(), StoreError> {
        if let Some(seen) = &act.seen {
            self.answered
                .insert(seen.tag, (seen.query_digest, leaf_index));
            let line = (seen.tag, seen.query_digest, leaf_index, seen.expires_ms);
            self.entry.seen.push(line);
            self.seen.push(values![
                seen.tag,
                seen.query_digest,
                leaf_index,
                seen.expires_ms
            ]);
        }
        for effect in &act.effects {
            match effect {
                Effect::Keep(part, evidence) => self.keep(leaf_index, *part, evidence)?,
                Effect::NoteProbes(tag, state) => {
                    let row = self.store.probes_row(*tag, state, &mut self.rng);
                    self.versions.insert(*tag, state.sets.len() as u64);
                    self.probes.insert(*tag, row);
                }
                Effect::Owe(receipt) => self.receipts.push(self.store.receipt_row(receipt)),
                Effect::HandOut(lead) => {
                    self.leads.push(self.store.lead_row(lead, &mut self.rng));
                }
                Effect::AnsweredUnder(_) => {}
                effect => {
                    self.write(tx).await?;
                    carry_out(self.store, tx, effect, leaf_index, &mut self.entry).await?;
                    // It may be what sets another.
                    self.mark = None;
                }
            }
        }
        Ok(())
    }

    /// Keeps a part of the evidence behind a leaf.
    pub(super) fn keep(
        &mut self,
        leaf_index: u64,
        part: EvidencePart,
        evidence: &Evidence,
    ) -> Result<(), StoreError> {
        let (row, items) = self
            .store
            .evidence_rows(leaf_index, part, evidence, &mut self.rng)?;
        self.evidence.push(row);
        self.items.extend(items);
        Ok(())
    }

    /// What the journal is told of the group.
    pub(super) fn into_entry(self) -> JournalEntry {
        self.entry
    }

    /// Writes what has been gathered.
    pub(super) async fn write(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        let quotas = std::mem::take(&mut self.drawn)
            .into_iter()
            .map(|(tag, (amount, expires_ms))| values![tag, amount, expires_ms])
            .collect();
        let probes = std::mem::take(&mut self.probes).into_values().collect();
        let tables: [(&'static Table, Vec<Vec<Value>>); 9] = [
            (&LEAVES, std::mem::take(&mut self.leaves)),
            (&NODES, std::mem::take(&mut self.nodes)),
            (&SEEN, std::mem::take(&mut self.seen)),
            (&QUOTAS, quotas),
            (&EVIDENCE, std::mem::take(&mut self.evidence)),
            (&EVIDENCE_ITEMS, std::mem::take(&mut self.items)),
            (&LEADS, std::mem::take(&mut self.leads)),
            (&RECEIPTS, std::mem::take(&mut self.receipts)),
            (&PROBES, probes),
        ];
        for (table, rows) in tables {
            tx.insert(table, rows).await?;
        }
        Ok(())
    }
}

/// Whether an effect refuses nothing and is written with its group.
fn is_written_later(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Keep(..) | Effect::Owe(_) | Effect::HandOut(_)
    )
}

/// A debit's allowances, in the order in which they are tried.
fn allowances(debit: &Debit) -> impl Iterator<Item = &Debit> {
    std::iter::successors(Some(debit), |debit| debit.otherwise.as_deref())
}

fn distinct(tags: impl Iterator<Item = Tag>) -> Vec<Vec<u8>> {
    let mut tags: Vec<Tag> = tags.collect();
    tags.sort_unstable();
    tags.dedup();
    tags.into_iter().map(Vec::from).collect()
}
