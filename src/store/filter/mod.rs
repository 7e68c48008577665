//! Which tokens are certainly not in the lookup index, known without the database.
//!
//! Nearly every token that a peer asks about is of a child that is not held here. The filter says
//! so of all but one in 65,536 of them, in memory; what it cannot exclude is looked up in the
//! database as ever, so a wrong guess of its costs time and nothing else. It has the tokens of
//! [`Index::Published`](super::Index) under every epoch, about 20 bits each, and no token of a
//! silent record: those are met by no lookup.
//!
//! **Why a miss is never wrong.** Rows become visible to peers only by an act that draws a new
//! *mark* in the same transaction: a publication, or the opening of an epoch. A filter that is in
//! force for a mark was built of rows read after all those were there which that mark made visible;
//! rows that leave since cost a look into the database. An answer that rests on the filter names
//! its mark, and is committed only if that is still the mark of the index
//! ([`Effect::AnsweredUnder`](super::Effect)): another process of the same node may have published
//! in between. If it is not, the lookup is done anew, on the database, and this process builds its
//! filter anew in the background.
//!
//! **What may be read from its time.** A token that passes the filter is looked up, which takes
//! longer. That shows a hit, as the look into the database itself does without a filter; answers
//! leave on a tick because of it. Silent records are in no filter, so a query for one takes a miss's
//! way exactly.
//!
//! Removed records leave their fingerprints, 16 bits a token, until the next mark: nothing can be
//! learned of them without t keyholders.

mod file;
mod shard;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tokio::sync::{Mutex, MutexGuard};

use super::db::{Tx, values};
use super::{Store, StoreError, TOKEN};
use shard::Shard;
pub(super) use shard::key;

/// How many parts there are: one for each first octet of a token. They are built one after another,
/// so that building takes the memory of one.
pub(super) const SHARDS: usize = 256;

type Shards = Vec<Arc<Shard>>;

/// The filter of one process.
pub(super) struct TokenFilter {
    state: RwLock<State>,
    /// One pass over the index at a time: a slower one must not put back an older part.
    passing: Mutex<()>,
    path: OnceLock<PathBuf>,
    /// How many there are, by epoch.
    counted: RwLock<BTreeMap<u32, Counted>>,
}

/// The state of the index that was counted, and the records and tokens that were in it.
type Counted = (u64, (u64, u64));

struct State {
    /// The mark that it is in force for, if for any.
    mark: Option<u64>,
    shards: Shards,
    saved: bool,
}

/// How large the filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterSize {
    /// Whether it answers misses now.
    pub in_force: bool,
    /// Tokens in it.
    pub tokens: u64,
    /// Octets that it takes.
    pub octets: u64,
}

impl Default for TokenFilter {
    fn default() -> Self {
        Self {
            state: RwLock::new(State {
                mark: None,
                shards: (0..SHARDS).map(|_| Arc::new(Shard::Empty)).collect(),
                saved: true,
            }),
            passing: Mutex::default(),
            path: OnceLock::new(),
            counted: RwLock::default(),
        }
    }
}

impl TokenFilter {
    /// Keeps of `positions` those whose token may be in the index, and tells the mark for which that
    /// holds; leaves them all, and tells none, if it is not in force.
    pub(super) fn sift(
        &self,
        probes: &[(u8, [u8; TOKEN])],
        positions: &mut Vec<usize>,
    ) -> Option<u64> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mark = state.mark?;
        positions.retain(|&position| {
            probes.get(position).is_some_and(|(_, token)| {
                state
                    .shards
                    .get(usize::from(token[0]))
                    .is_none_or(|shard| shard.may_hold(key(token)))
            })
        });
        Some(mark)
    }

    /// Records and tokens of an epoch, if they were counted in this state of the index.
    pub(super) fn counted(&self, epoch: u32, state: u64) -> Option<(u64, u64)> {
        let counted = self.counted.read().unwrap_or_else(PoisonError::into_inner);
        let (then, size) = counted.get(&epoch)?;
        (*then == state).then_some(*size)
    }

    pub(super) fn count(&self, epoch: u32, state: u64, size: (u64, u64)) {
        let mut counted = self.counted.write().unwrap_or_else(PoisonError::into_inner);
        counted.insert(epoch, (state, size));
    }

    /// Waits for its turn to go through the index.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.passing.lock().await
    }

    /// Puts a part in place of the one that was there. It holds every token that the index has of
    /// it now, so it does for the mark in force as well as for the next.
    pub(super) async fn replace(&self, first: u8, keys: Vec<u64>) -> Result<(), StoreError> {
        let built = tokio::task::spawn_blocking(move || Arc::new(Shard::build(keys)))
            .await
            .map_err(|_| StoreError::Closed)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = state.shards.get_mut(usize::from(first)) {
            *shard = built;
        }
        state.saved = false;
        Ok(())
    }

    /// All parts were built of an index in which everything is that `mark` made visible.
    pub(super) fn is_of(&self, mark: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.mark = Some(mark);
        state.saved = false;
    }

    fn is_outdated(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.mark = None;
    }

    fn mark(&self) -> Option<u64> {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .mark
    }
}

impl Store {
    /// Keeps the filter in a file from now on, and takes what is there if it is this node's and of
    /// the newest mark. Gives whether it was.
    ///
    /// # Errors
    /// If the database fails. A file that is wrong is no error: the filter is built anew.
    pub async fn keep_filter_at(&self, path: PathBuf) -> Result<bool, StoreError> {
        let path = self.filter.path.get_or_init(|| path).clone();
        let mark = self.index_mark().await?;
        let keys = Arc::clone(&self.keys);
        let read = tokio::task::spawn_blocking(move || file::read(&path, &keys, mark))
            .await
            .map_err(|_| StoreError::Closed)?;
        match read {
            Ok(shards) => {
                let mut state = self
                    .filter
                    .state
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *state = State {
                    mark: Some(mark),
                    shards,
                    saved: true,
                };
                Ok(true)
            }
            Err(error) => {
                tracing::info!(%error, "the index filter is built anew");
                Ok(false)
            }
        }
    }

    /// Brings the filter up to the newest mark if it is of an older one, and its file with it.
    ///
    /// # Errors
    /// If the database fails; lookups then go to it, as they do while this is at work.
    pub async fn refresh_filter(&self) -> Result<(), StoreError> {
        self.check_filter().await?;
        if self.filter.mark().is_none() {
            self.build_filter().await?;
        }
        self.save_filter().await;
        Ok(())
    }

    /// Puts the filter out of force if it is not of the newest mark.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn check_filter(&self) -> Result<(), StoreError> {
        let newest = self.index_mark().await?;
        if self.filter.mark().is_some_and(|mark| mark != newest) {
            self.filter.is_outdated();
        }
        Ok(())
    }

    /// How large the filter is.
    #[must_use]
    pub fn filter_size(&self) -> FilterSize {
        let state = self
            .filter
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        FilterSize {
            in_force: state.mark.is_some(),
            tokens: state.shards.iter().map(|shard| shard.tokens()).sum(),
            octets: state.shards.iter().map(|shard| shard.octets()).sum(),
        }
    }

    /// Writes the filter to its file, if it has one and is another than was written.
    async fn save_filter(&self) {
        let Some(path) = self.filter.path.get().cloned() else {
            return;
        };
        let (mark, shards) = {
            let state = self
                .filter
                .state
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            match state.mark {
                Some(mark) if !state.saved => (mark, state.shards.clone()),
                _ => return,
            }
        };
        let keys = Arc::clone(&self.keys);
        let name = path.display().to_string();
        let written =
            tokio::task::spawn_blocking(move || file::write(&path, &keys, mark, &shards)).await;
        match written {
            Ok(Ok(())) => {
                let mut state = self
                    .filter
                    .state
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                if state.mark == Some(mark) {
                    state.saved = true;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, file = name, "the index filter could not be kept");
            }
            Err(error) => tracing::error!(%error, "the index filter could not be kept"),
        }
    }

    /// The mark of the index as peers find it now: another one each time that rows become visible.
    /// It tells nothing but whether two are the same.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn index_mark(&self) -> Result<u64, StoreError> {
        self.db
            .read_one("index-mark", MARK, vec![])
            .await?
            .ok_or_else(no_state)?
            .uint(0)
    }

    pub(super) async fn index_mark_in(tx: &mut Tx) -> Result<u64, StoreError> {
        tx.read_one(MARK, vec![])
            .await?
            .ok_or_else(no_state)?
            .uint(0)
    }

    /// Rows become visible to peers with this transaction.
    pub(super) async fn set_index_mark(tx: &mut Tx, mark: u64) -> Result<(), StoreError> {
        tx.run("UPDATE index_state SET mark = $1", values![mark])
            .await
            .map(drop)
    }

    /// A mark that no index ever had.
    #[must_use]
    pub fn new_mark(&self) -> u64 {
        // A database has no room for the highest bit.
        u64::from_be_bytes(self.ambient.random()) >> 1
    }
}

const MARK: &str = "SELECT mark FROM index_state";

pub(super) fn no_state() -> StoreError {
    StoreError::damaged("index", "its state is missing")
}

#[cfg(test)]
mod tests;
