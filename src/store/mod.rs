//! The node's database: records sealed at rest, the lookup index, the evidence, and the
//! transparency log with the acts that stand in it.
//!
//! All SQL of the project is in this folder. Callers hand over plain values and get plain values
//! back; sealing happens here, bound to table, column and row, so that a caller cannot forget it.
//!
//! Everything that an answer depends on goes through the [`Ledger`]: an [`Act`] and its leaf
//! become durable in one transaction, and only then does its answer exist.

mod accounts;
mod act;
mod alerts;
mod audit_reads;
mod bulk;
mod cases;
mod console;
mod db;
mod epochs;
mod error;
mod evidence;
#[cfg(test)]
mod faults;
mod filter;
mod group;
mod index;
mod index_proof;
mod journal;
mod keys;
mod leads;
mod ledger;
mod log;
mod measured;
mod new_origin;
mod probes;
mod protection;
mod receipts;
mod received;
mod records;
mod register;
mod requests;
mod restored;
mod rewrap;
mod schema;
mod seen;
mod sequence;
mod sequencer;
mod settings;
mod snapshot;
mod survey;
#[cfg(test)]
mod temporary;
mod witnessed;

use std::sync::Arc;

pub use accounts::{AccountRow, SessionRow};
pub use act::{Act, AnswerBuilder, Committed, Debit, Drawn, Effect, Position, Seen};
pub use audit_reads::{Behind, KeptPart};
pub use bulk::IndexedRecord;
pub use cases::{CaseItemRow, CaseRow};
pub use console::KeptTag;
pub use error::StoreError;
pub use evidence::{Evidence, EvidencePart};
pub use filter::FilterSize;
pub use index::{Held, Hit, Index, IndexSize, Probed};
pub use index_proof::{IndexKey, IndexProof, ProvedRow, row_hash};
pub use journal::{Journal, JournalEntry};
pub use keys::{Tag, TagKind};
pub use leads::Lead;
pub use ledger::{Ledger, LedgerParts, LogSigner};
pub use measured::MeasuredIndex;
pub use probes::ProbeState;
pub use protection::{Alert, NewAlert};
pub use receipts::{OpenReceipt, Receipt};
pub use received::{Mail, NoticeRow, ReceivedRow};
pub use records::{
    Findable, ImportCounts, RecordState, RecordTokens, SiblingTokens, StagedRecord, StoredRecord,
};
pub use register::{RegisterCounts, RegisterEntry, RegisterStep, RegisterToAsk, SentBatch};
pub use requests::{EXPIRED, RequestCursor, RequestRow, WITHDRAWN};
pub use restored::Replayed;
pub use rewrap::{Rewrap, WrappedRows};
pub use sequence::{KeeperFuture, SignedHead, TermKeeper, TermRefused, Unwatched};
pub use snapshot::Snapshot;
pub use survey::{Survey, Surveyed};
pub use witnessed::{KeptLogFinding, LogFinding};

use crate::ambient::Ambient;
use crate::vault::{DataKey, KeyWrapper, VaultKeys, WrappingRing};
use db::Db;
use keys::StoreKeys;

/// The database of one node. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    db: Db,
    keys: Arc<StoreKeys>,
    filter: Arc<filter::TokenFilter>,
    ambient: Ambient,
    journal: Option<Arc<Journal>>,
}

/// Octets of a lookup token.
pub const TOKEN: usize = 16;

impl Store {
    /// Opens the database at `address` (`sqlite:PATH` or `postgres://...`), migrating it if it is older.
    ///
    /// # Errors
    /// If it cannot be opened, was written by a newer program, or its node key does not open
    /// under `vault`.
    pub async fn open(
        address: &str,
        vault: impl Into<VaultKeys>,
        token_key: DataKey,
        ambient: Ambient,
    ) -> Result<Self, StoreError> {
        let db = Db::open(address).await?;
        schema::migrate(&db).await?;
        let keys = Arc::new(StoreKeys::load(&db, vault.into(), token_key, &ambient).await?);
        Ok(Self {
            db,
            keys,
            filter: Arc::default(),
            ambient,
            journal: None,
        })
    }

    /// The keyed tag of `parts`.
    #[must_use]
    pub fn tag(&self, kind: TagKind, parts: &[&[u8]]) -> Tag {
        self.keys.tag(kind, parts)
    }

    /// Puts other wrapping keys in force. The file that holds them must be durable before.
    pub fn replace_wrapping(&self, wrapping: WrappingRing) {
        self.keys.replace_wrapping(wrapping);
    }

    /// Puts another master key in force, and wraps the node's own key by it if need be.
    ///
    /// # Errors
    /// If `master` does not unwrap the node's key, or the database fails.
    pub async fn replace_master(&self, master: Arc<dyn KeyWrapper>) -> Result<(), StoreError> {
        self.keys
            .replace_master(&self.db, master, &self.ambient)
            .await
    }

    /// Closes the database once nothing uses it.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
