//! A database that came back from a backup: noticing it, and doing anew what must not be lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::db::{Tx, values};
use super::journal::{Journal, JournalEntry};
use super::{RecordState, Store, StoreError};

/// What a store found when it compared itself with its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Leaves of the log that are there.
    pub size: u64,
    /// Leaves that there once were, as far as the journal knows.
    pub known_size: u64,
    /// Whether the journal knows of commits that the database does not have.
    pub older: bool,
    /// Records erased anew.
    pub erased: u64,
    /// Records that may be found no longer.
    pub withdrawn: u64,
    /// Questions whose answers' values were erased anew.
    pub forgotten: u64,
    /// Requests of others that were withdrawn anew.
    pub ended: u64,
    /// Accounts that lost a role or their secrets, or were closed, since: their sessions are ended, and somebody has to
    /// look at them.
    pub accounts: BTreeSet<[u8; 16]>,
    /// Draws on quotas taken over.
    pub quotas: u64,
    /// Answered queries taken over.
    pub seen: u64,
    /// Lines of the journal that this node did not write, or that were cut off.
    pub foreign: u64,
}

impl Replayed {
    /// Takes in what another journal came to.
    pub fn add(&mut self, other: &Self) {
        self.size = other.size;
        self.known_size = self.known_size.max(other.known_size);
        self.older |= other.older;
        self.erased += other.erased;
        self.withdrawn += other.withdrawn;
        self.forgotten += other.forgotten;
        self.ended += other.ended;
        self.accounts.extend(&other.accounts);
        self.quotas += other.quotas;
        self.seen += other.seen;
        self.foreign += other.foreign;
    }

    /// Whether the database is older than the node's last act.
    #[must_use]
    pub fn is_older(&self) -> bool {
        self.older
    }
}

impl Store {
    /// The same store, which tells a journal of every commit.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self {
            journal: Some(Arc::new(journal)),
            ..self
        }
    }

    /// The store's journal.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// Notes a commit in the journal.
    pub(super) fn note_in_journal(&self, entry: &JournalEntry) {
        if let Some(journal) = &self.journal
            && let Err(error) = journal.append(&self.keys, entry)
        {
            // The acts are durable. What is lost is lost only together with the database.
            tracing::error!(%error, "a commit could not be noted in the journal");
        }
    }

    /// Makes a commit's line part of the commit, so that a crash between the two loses neither.
    pub(super) async fn keep_line(
        &self,
        tx: &mut Tx,
        entry: &JournalEntry,
    ) -> Result<(), StoreError> {
        if self.journal.is_none() || !entry.takes_away() {
            return Ok(());
        }
        let line = entry.to_line(&self.keys);
        self.put_setting(tx, "journal_line", line.as_bytes()).await
    }

    /// Adds the line of the newest commit to the journal if a crash has kept it out. To be done
    /// before anything else is committed.
    ///
    /// # Errors
    /// If the journal or the database fails.
    pub async fn settle_journal(&self) -> Result<(), StoreError> {
        let (Some(journal), Some(line)) = (&self.journal, self.setting("journal_line").await?)
        else {
            return Ok(());
        };
        let line = String::from_utf8_lossy(&line);
        let Some(entry) = JournalEntry::from_line(&self.keys, line.trim_end()) else {
            return Ok(());
        };
        // Only the newest commit's can be missing; and in a database that came back from a backup it
        // is in the journal, with what came after it.
        if entry.state() != self.newest_state().await? {
            return Ok(());
        }
        if journal
            .last(&self.keys)?
            .is_some_and(|last| last.state() == entry.state())
        {
            return Ok(());
        }
        let (entries, _) = journal.entries(&self.keys, self.ambient.now_ms())?;
        if entries.iter().any(|known| known.state() == entry.state()) {
            return Ok(());
        }
        journal.append(&self.keys, &entry)
    }

    /// The newest state of the log `origin` that the journal knows of: size and root.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn head_in_journal(&self, origin: &str) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        let Some(journal) = &self.journal else {
            return Ok(None);
        };
        let last = journal.last(&self.keys)?;
        let of_log = last.filter(|last| last.origin == JournalEntry::origin_of(origin));
        Ok(of_log.map(|last| (last.size, last.root)))
    }

    /// The newest state of the database's log: its origin's digest, size and root.
    async fn newest_state(&self) -> Result<([u8; 8], u64, [u8; 32]), StoreError> {
        Ok(match self.newest_signed().await? {
            Some(newest) => (
                JournalEntry::origin_of(&newest.checkpoint),
                newest.head.size,
                newest.head.root,
            ),
            None => ([0; 8], 0, [0; 32]),
        })
    }

    /// Compares the database with its journal, and does anew what the database has forgotten:
    /// erasures, withdrawals of records and of what was told, ends of sessions, draws on quotas,
    /// answered queries. May be repeated.
    ///
    /// Whether the log may go on is not decided here: that is the sequencer's.
    ///
    /// # Errors
    /// If the journal cannot be read or the database fails.
    pub async fn replay_journal(&self) -> Result<Replayed, StoreError> {
        let Some(journal) = &self.journal else {
            return Ok(Replayed::default());
        };
        let state = self.newest_state().await?;
        let (origin, size, _) = state;
        // A node that was stopped in order, or killed and settled, needs not read all of it.
        let last = journal.last(&self.keys)?;
        if last.is_some_and(|last| last.state() == state) {
            return Ok(Replayed {
                size,
                known_size: size,
                ..Replayed::default()
            });
        }
        let mut tx = self.db.begin("replay-journal").await?;
        let (entries, foreign) = journal.entries(&self.keys, self.ambient.now_ms())?;
        // What stands behind the entry of the database's own state is what it has forgotten. If a
        // crash came between a commit and its line, that entry is not there: then it is what stands
        // behind the last entry that is no newer.
        let own = entries
            .iter()
            .rposition(|entry| entry.state() == state)
            .or_else(|| {
                let no_newer = |entry: &JournalEntry| entry.origin == origin && entry.size <= size;
                entries.iter().rposition(no_newer)
            });
        let done = replayed_to(&mut tx)
            .await?
            .and_then(|at| entries.iter().rposition(|entry| entry.state() == at));
        let beyond: Vec<(usize, &JournalEntry)> = entries
            .iter()
            .enumerate()
            .filter(|(at, entry)| match own {
                Some(own) => *at > own,
                None => entry.origin == origin && entry.size > size,
            })
            .collect();
        let mut replayed = Replayed {
            size,
            known_size: size,
            foreign,
            ..Replayed::default()
        };
        for (at, entry) in &beyond {
            replayed.known_size = replayed.known_size.max(entry.size);
            if done.is_none_or(|done| *at > done) {
                self.replay(&mut tx, entry, &mut replayed).await?;
            }
        }
        if let Some((_, last)) = beyond.last() {
            let mut at = last.origin.to_vec();
            at.extend_from_slice(&last.size.to_be_bytes());
            at.extend_from_slice(&last.root);
            tx.run(
                "INSERT INTO settings (name, value) VALUES ('replayed_to', $1)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                values![at],
            )
            .await?;
            tx.commit().await?;
        }
        replayed.older = !beyond.is_empty();
        Ok(replayed)
    }

    async fn replay(
        &self,
        tx: &mut Tx,
        entry: &JournalEntry,
        replayed: &mut Replayed,
    ) -> Result<(), StoreError> {
        for tag in &entry.erased {
            replayed.erased += u64::from(self.erase(tx, *tag, &[]).await?);
        }
        for tag in &entry.withdrawn {
            replayed.withdrawn += u64::from(self.withdraw(tx, *tag).await?);
        }
        for ask_id in &entry.forgotten {
            Self::erase_values(tx, *ask_id).await?;
            // The node states so in its log as soon as it signs one.
            replayed.forgotten += tx
                .run(
                    "UPDATE received_disclosures SET due_ms = 0 WHERE ask_id = $1",
                    values![*ask_id],
                )
                .await?;
        }
        for request_id in &entry.ended {
            // The node tells the receiver anew as soon as it signs its log.
            replayed.ended += u64::from(Self::end_request(tx, request_id).await?);
        }
        for account_id in &entry.accounts {
            Self::end_sessions(tx, account_id).await?;
            replayed.accounts.insert(*account_id);
        }
        for (tag, amount, expires_ms) in &entry.used {
            tx.run(
                "INSERT INTO quotas (quota_tag, used, expires_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (quota_tag) DO UPDATE SET used = quotas.used + excluded.used",
                values![*tag, *amount, *expires_ms],
            )
            .await?;
            replayed.quotas += 1;
        }
        for (tag, digest, leaf_index, expires_ms) in &entry.seen {
            tx.run(
                "INSERT INTO seen (seen_tag, query_digest, leaf_index, expires_ms)
                 VALUES ($1, $2, $3, $4) ON CONFLICT (seen_tag) DO NOTHING",
                values![*tag, *digest, *leaf_index, *expires_ms],
            )
            .await?;
            replayed.seen += 1;
        }
        Ok(())
    }

    /// Takes a record out of the index until it is imported anew. Tells whether there is one.
    async fn withdraw(&self, tx: &mut Tx, ref_tag: super::Tag) -> Result<bool, StoreError> {
        self.forget_about(tx, ref_tag).await?;
        for sql in [
            "DELETE FROM lookup_index WHERE record_id IN
                 (SELECT record_id FROM records WHERE ref_tag = $1)",
            "DELETE FROM silent_index WHERE record_id IN
                 (SELECT record_id FROM records WHERE ref_tag = $1)",
        ] {
            tx.run(sql, values![ref_tag]).await?;
        }
        // Another content tag, so that importing the same again counts as a change.
        let found = tx
            .run(
                "UPDATE records SET state = $3, content_tag = $2 WHERE ref_tag = $1",
                values![
                    ref_tag,
                    self.ambient.random::<16>(),
                    RecordState::Withheld as i64
                ],
            )
            .await?;
        if found > 0 {
            Self::index_has_changed(tx).await?;
        }
        Ok(found > 0)
    }
}

/// The entry up to which the journal was done anew: origin, size and root of the log after it.
async fn replayed_to(tx: &mut Tx) -> Result<Option<([u8; 8], u64, [u8; 32])>, StoreError> {
    let row = tx
        .read_one(
            "SELECT value FROM settings WHERE name = 'replayed_to'",
            vec![],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let at: [u8; 48] = row.array(0)?;
    let (mut origin, mut size, mut root) = ([0; 8], [0; 8], [0; 32]);
    origin.copy_from_slice(&at[..8]);
    size.copy_from_slice(&at[8..16]);
    root.copy_from_slice(&at[16..]);
    Ok(Some((origin, u64::from_be_bytes(size), root)))
}
