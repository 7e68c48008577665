//! What other members asked to be told: one sealed row for each request, with a version, so that two
//! who change it at once do not undo each other.

use zeroize::Zeroizing;

use super::db::{Row, Tx, values};
use super::keys::{Tag, TagKind};
use super::{Store, StoreError};

/// A request as it is kept. What it says is the caller's; the store only seals it.
#[derive(Clone)]
pub struct RequestRow {
    /// Its id, 16 random octets.
    pub request_id: [u8; 16],
    /// Tag of the asking party.
    pub party_tag: Tag,
    /// Tag of the record's reference.
    pub ref_tag: Tag,
    /// The request, serialised.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Number of its state.
    pub state: u8,
    /// Its version, from 1. A row is written only over the version before.
    pub version: u64,
    /// Whether people have to look at it.
    pub waits: bool,
    /// How much has changed under it (record, family, policy) since it was looked at, as it was read.
    /// Not written with the row.
    pub stale: u64,
    /// When time alone changes it next, in milliseconds since 1970.
    pub due_ms: u64,
    /// When it was last changed, in milliseconds since 1970.
    pub updated_ms: u64,
}

const TABLE: &str = "disclosure_requests";
const COLUMNS: &str = "request_id, party_tag, ref_tag, data_key, sealed, state, version, due_ms, \
                       updated_ms, waits, stale";

/// The number of the state in which a request stands that was taken back, by its holder or by who
/// asked: what a restored row is put into whose withdrawal the journal knows of.
pub const WITHDRAWN: u8 = 7;

/// The number of the state in which a request stands whose time has passed.
pub const EXPIRED: u8 = 6;

/// Where a page of requests ends: when the last one changed, in milliseconds since 1970, and its id.
pub type RequestCursor = (u64, [u8; 16]);

impl Store {
    /// The tag of a party in requests.
    #[must_use]
    pub fn party_tag(&self, party: &str) -> Tag {
        self.tag(TagKind::Party, &[party.as_bytes()])
    }

    /// The request with this id.
    pub async fn request(&self, request_id: &[u8; 16]) -> Result<Option<RequestRow>, StoreError> {
        let rows = self
            .requests_where("WHERE request_id = $1", values![*request_id])
            .await?;
        Ok(rows.into_iter().next())
    }

    /// Up to `limit` requests in the given state, oldest change first; of all states, newest change
    /// first, if `None`.
    pub async fn requests(
        &self,
        state: Option<u8>,
        limit: u64,
    ) -> Result<Vec<RequestRow>, StoreError> {
        match state {
            Some(state) => {
                self.requests_where(
                    "WHERE state = $1 ORDER BY updated_ms, request_id LIMIT $2",
                    values![u64::from(state), limit],
                )
                .await
            }
            None => {
                self.requests_where(
                    "ORDER BY updated_ms DESC, request_id DESC LIMIT $1",
                    values![limit],
                )
                .await
            }
        }
    }

    /// Up to `limit` requests that people have to look at, or whose ground has changed since that was
    /// decided, behind the cursor, oldest change first.
    pub async fn requests_open(
        &self,
        after: Option<RequestCursor>,
        limit: u64,
    ) -> Result<Vec<RequestRow>, StoreError> {
        let (updated_ms, request_id) = after.unwrap_or_default();
        self.requests_where(
            "WHERE (waits = 1 OR stale > 0)
               AND (updated_ms > $1 OR (updated_ms = $1 AND request_id > $2))
             ORDER BY updated_ms, request_id LIMIT $3",
            values![updated_ms, request_id, limit],
        )
        .await
    }

    /// Up to `limit` requests of a party behind the cursor, oldest change first.
    pub async fn requests_of(
        &self,
        party: &str,
        after: RequestCursor,
        limit: u64,
    ) -> Result<Vec<RequestRow>, StoreError> {
        let (updated_ms, request_id) = after;
        self.requests_where(
            "WHERE party_tag = $1
               AND (updated_ms > $2 OR (updated_ms = $2 AND request_id > $3))
             ORDER BY updated_ms, request_id LIMIT $4",
            values![self.party_tag(party), updated_ms, request_id, limit],
        )
        .await
    }

    /// Up to `limit` requests that time, or a change of what they rest on, has caught up with; those
    /// of time first, since somebody may wait for them.
    pub async fn requests_due(
        &self,
        now_ms: u64,
        limit: u64,
    ) -> Result<Vec<RequestRow>, StoreError> {
        self.requests_where(
            "WHERE due_ms <= $1 OR stale > 0
             ORDER BY CASE WHEN due_ms <= $1 THEN 0 ELSE 1 END, request_id LIMIT $2",
            values![now_ms, limit],
        )
        .await
    }

    async fn requests_where(
        &self,
        tail: &'static str,
        values: Vec<super::db::Value>,
    ) -> Result<Vec<RequestRow>, StoreError> {
        self.db
            .read_built(
                "read-requests",
                format!("SELECT {COLUMNS} FROM disclosure_requests {tail}"),
                values,
            )
            .await?
            .iter()
            .map(|row| self.open_request(row))
            .collect()
    }

    fn open_request(&self, row: &Row) -> Result<RequestRow, StoreError> {
        let request_id: [u8; 16] = row.array(0)?;
        let plaintext = self.keys.open_row(
            "disclosure request",
            TABLE,
            &request_id,
            &row.blob(3)?,
            &row.blob(4)?,
        )?;
        Ok(RequestRow {
            request_id,
            party_tag: row.array(1)?,
            ref_tag: row.array(2)?,
            plaintext,
            state: u8::try_from(row.uint(5)?)
                .map_err(|_| StoreError::damaged("disclosure request", "an unknown state"))?,
            version: row.uint(6)?,
            due_ms: row.uint(7)?,
            updated_ms: row.uint(8)?,
            waits: row.int(9)? == 1,
            stale: row.uint(10)?,
        })
    }

    /// Whether the row that is there is the one before this one.
    pub(super) async fn request_is_current(
        tx: &mut Tx,
        row: &RequestRow,
    ) -> Result<bool, StoreError> {
        let found = tx
            .read_one(
                "SELECT version FROM disclosure_requests WHERE request_id = $1",
                values![row.request_id],
            )
            .await?
            .map_or(Ok(0), |found| found.uint(0))?;
        Ok(found + 1 == row.version)
    }

    pub(super) async fn put_request(
        &self,
        tx: &mut Tx,
        row: &RequestRow,
    ) -> Result<(), StoreError> {
        let (wrapped, sealed) =
            self.keys
                .seal_row(TABLE, &row.request_id, &row.plaintext, &self.ambient)?;
        tx.run(
            "INSERT INTO disclosure_requests
                 (request_id, party_tag, ref_tag, data_key, sealed, state, version, waits, stale,
                  due_ms, updated_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10)
             ON CONFLICT (request_id) DO UPDATE SET data_key = excluded.data_key,
                 sealed = excluded.sealed, state = excluded.state, version = excluded.version,
                 waits = excluded.waits, due_ms = excluded.due_ms, updated_ms = excluded.updated_ms",
            values![
                row.request_id,
                row.party_tag,
                row.ref_tag,
                wrapped,
                sealed,
                u64::from(row.state),
                row.version,
                i64::from(row.waits),
                row.due_ms,
                row.updated_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Says that a request was looked at and that nothing of it changes; nothing if it, or what it
    /// rests on, has changed since it was read.
    pub async fn request_is_fresh(&self, row: &RequestRow) -> Result<(), StoreError> {
        let mut tx = self.db.begin("fresh-request").await?;
        tx.run(
            "UPDATE disclosure_requests SET stale = 0
             WHERE request_id = $1 AND version = $2 AND stale = $3",
            values![row.request_id, row.version, row.stale],
        )
        .await?;
        tx.commit().await
    }

    /// Has every request looked at that can still change: what decides on them has changed.
    pub(super) async fn requests_are_stale(tx: &mut Tx) -> Result<(), StoreError> {
        tx.run(
            "UPDATE disclosure_requests SET stale = stale + 1 WHERE state NOT IN ($1, $2)",
            values![u64::from(EXPIRED), u64::from(WITHDRAWN)],
        )
        .await
        .map(drop)
    }

    /// Puts a request into the state in which it was withdrawn. Tells whether there is one that was not.
    pub(super) async fn end_request(
        tx: &mut Tx,
        request_id: &[u8; 16],
    ) -> Result<bool, StoreError> {
        let ended = tx
            .run(
                "UPDATE disclosure_requests SET state = $2, waits = 0, stale = stale + 1
                 WHERE request_id = $1 AND state <> $2",
                values![*request_id, u64::from(WITHDRAWN)],
            )
            .await?;
        Ok(ended > 0)
    }

    /// Who entered or changed the record with this tag.
    pub async fn authors(&self, ref_tag: Tag) -> Result<Vec<[u8; 16]>, StoreError> {
        self.db
            .read(
                "read-authors",
                "SELECT account_id FROM record_authors WHERE ref_tag = $1 ORDER BY account_id",
                values![ref_tag],
            )
            .await?
            .iter()
            .map(|row| row.array(0))
            .collect()
    }

    /// Notes who enters the rows of an import that are new or changed. To be done before they are
    /// taken into the register.
    pub(super) async fn note_authors(
        tx: &mut Tx,
        import_id: [u8; 16],
        account_id: [u8; 16],
    ) -> Result<(), StoreError> {
        tx.run(
            "INSERT INTO record_authors (ref_tag, account_id)
             SELECT i.ref_tag, $2 FROM import_rows i
             WHERE i.import_id = $1 AND NOT EXISTS
                 (SELECT 1 FROM records r WHERE r.ref_tag = i.ref_tag AND r.newest = 1
                  AND r.content_tag = i.content_tag)
             ON CONFLICT (ref_tag, account_id) DO NOTHING",
            values![import_id, account_id],
        )
        .await?;
        Ok(())
    }
}
