//! Cases: what a member's own people did for one child. All of a case is under one data key, and
//! gone with it.

use zeroize::Zeroizing;

use super::db::{Row, values};
use super::keys::{Tag, sealed};
use super::{Store, StoreError};
use crate::vault::{DataKey, Place};

/// A case as it is kept. What it says is the caller's; the store only seals it.
pub struct CaseRow {
    /// Its id, 16 random octets.
    pub case_id: [u8; 16],
    /// Keyed tag of the own record's reference, if it is about one.
    pub ref_tag: Option<Tag>,
    /// The case, serialised.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// When the child is looked for next by itself, in milliseconds since 1970.
    pub due_ms: u64,
    /// When it was opened, in milliseconds since 1970.
    pub opened_ms: u64,
    /// When it last changed, in milliseconds since 1970.
    pub updated_ms: u64,
}

/// Something that was done in a case.
pub struct CaseItemRow {
    /// Its id, 16 random octets.
    pub item_id: [u8; 16],
    /// The case.
    pub case_id: [u8; 16],
    /// What it says, serialised.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// When it was done, in milliseconds since 1970.
    pub at_ms: u64,
}

const COLUMNS: &str = "case_id, ref_tag, data_key, sealed, due_ms, opened_ms, updated_ms";

impl Store {
    /// Opens a case. Says whether it was: one record has one case.
    pub async fn open_case(&self, case: &CaseRow) -> Result<bool, StoreError> {
        let (wrapped, content) =
            self.keys
                .seal_row("cases", &case.case_id, &case.plaintext, &self.ambient)?;
        let mut tx = self.db.begin("open-case").await?;
        if let Some(ref_tag) = case.ref_tag {
            let other = tx
                .read_one("SELECT 1 FROM cases WHERE ref_tag = $1", values![ref_tag])
                .await?;
            if other.is_some() {
                return Ok(false);
            }
        }
        tx.run(
            "INSERT INTO cases (case_id, ref_tag, data_key, sealed, due_ms, opened_ms, updated_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            values![
                case.case_id,
                case.ref_tag,
                wrapped,
                content,
                case.due_ms,
                case.opened_ms,
                case.updated_ms
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Changes what a case says, under its own key. Nothing if it is gone.
    pub async fn change_case(
        &self,
        case_id: &[u8; 16],
        plaintext: &[u8],
        updated_ms: u64,
    ) -> Result<(), StoreError> {
        let Some(key) = self.case_key(case_id).await? else {
            return Ok(());
        };
        let content = key.seal(
            Place::new("cases", "sealed", case_id),
            plaintext,
            &mut self.ambient.rng(),
        );
        let mut tx = self.db.begin("change-case").await?;
        tx.run(
            "UPDATE cases SET sealed = $2, updated_ms = $3 WHERE case_id = $1",
            values![*case_id, content, updated_ms],
        )
        .await?;
        tx.commit().await
    }

    /// Sets when the child of a case is looked for next, if it still is as it was. Says whether.
    pub async fn set_case_due(
        &self,
        case_id: &[u8; 16],
        was_ms: u64,
        due_ms: u64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("set-case-due").await?;
        let changed = tx
            .run(
                "UPDATE cases SET due_ms = $3 WHERE case_id = $1 AND due_ms = $2",
                values![*case_id, was_ms, due_ms],
            )
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// The case with this id.
    pub async fn case(&self, case_id: &[u8; 16]) -> Result<Option<CaseRow>, StoreError> {
        let cases = self
            .cases_where("WHERE case_id = $1", values![*case_id])
            .await?;
        Ok(cases.into_iter().next())
    }

    /// The case of an own record, by the tag of its reference.
    pub async fn case_of_record(&self, ref_tag: Tag) -> Result<Option<CaseRow>, StoreError> {
        let cases = self
            .cases_where("WHERE ref_tag = $1", values![ref_tag])
            .await?;
        Ok(cases.into_iter().next())
    }

    /// Up to `limit` cases, newest change first.
    pub async fn cases(&self, limit: u64) -> Result<Vec<CaseRow>, StoreError> {
        self.cases_where("ORDER BY updated_ms DESC, case_id LIMIT $1", values![limit])
            .await
    }

    /// Up to `limit` cases whose children are to be looked for now.
    pub async fn cases_due(&self, now_ms: u64, limit: u64) -> Result<Vec<CaseRow>, StoreError> {
        self.cases_where(
            "WHERE due_ms <= $1 ORDER BY due_ms, case_id LIMIT $2",
            values![now_ms, limit],
        )
        .await
    }

    async fn cases_where(
        &self,
        tail: &'static str,
        values: Vec<super::db::Value>,
    ) -> Result<Vec<CaseRow>, StoreError> {
        self.db
            .read_built(
                "read-cases",
                format!("SELECT {COLUMNS} FROM cases {tail}"),
                values,
            )
            .await?
            .iter()
            .map(|row| self.read_case(row))
            .collect()
    }

    fn read_case(&self, row: &Row) -> Result<CaseRow, StoreError> {
        let case_id: [u8; 16] = row.array(0)?;
        Ok(CaseRow {
            case_id,
            ref_tag: row.array_or_null(1)?,
            plaintext: self.keys.open_row(
                "case",
                "cases",
                &case_id,
                &row.blob(2)?,
                &row.blob(3)?,
            )?,
            due_ms: row.uint(4)?,
            opened_ms: row.uint(5)?,
            updated_ms: row.uint(6)?,
        })
    }

    async fn case_key(&self, case_id: &[u8; 16]) -> Result<Option<DataKey>, StoreError> {
        self.db
            .read_one(
                "read-case-key",
                "SELECT data_key FROM cases WHERE case_id = $1",
                values![*case_id],
            )
            .await?
            .map(|row| {
                let place = Place::new("cases", "data_key", case_id);
                self.keys.data_key(&row.blob(0)?, place)
            })
            .transpose()
    }

    /// Adds what was done in a case. Says whether the case is still there.
    pub async fn add_case_item(&self, item: &CaseItemRow) -> Result<bool, StoreError> {
        let Some(key) = self.case_key(&item.case_id).await? else {
            return Ok(false);
        };
        let content = key.seal(
            Place::new("case_items", "sealed", &item.item_id),
            &item.plaintext,
            &mut self.ambient.rng(),
        );
        let mut tx = self.db.begin("add-case-item").await?;
        let there = tx
            .run(
                "UPDATE cases SET updated_ms = $2 WHERE case_id = $1",
                values![item.case_id, item.at_ms],
            )
            .await?;
        if there == 0 {
            return Ok(false);
        }
        tx.run(
            "INSERT INTO case_items (item_id, case_id, sealed, at_ms) VALUES ($1, $2, $3, $4)",
            values![item.item_id, item.case_id, content, item.at_ms],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What was done in a case, oldest first.
    pub async fn case_items(&self, case_id: &[u8; 16]) -> Result<Vec<CaseItemRow>, StoreError> {
        let Some(key) = self.case_key(case_id).await? else {
            return Ok(Vec::new());
        };
        self.db
            .read(
                "read-case-items",
                "SELECT item_id, sealed, at_ms FROM case_items WHERE case_id = $1
                 ORDER BY at_ms, item_id",
                values![*case_id],
            )
            .await?
            .iter()
            .map(|row| {
                let item_id: [u8; 16] = row.array(0)?;
                Ok(CaseItemRow {
                    item_id,
                    case_id: *case_id,
                    plaintext: key
                        .open(Place::new("case_items", "sealed", &item_id), &row.blob(1)?)
                        .map_err(|source| sealed("case", source))?,
                    at_ms: row.uint(2)?,
                })
            })
            .collect()
    }

    /// The case in which something was done.
    pub async fn case_of_item(&self, item_id: &[u8; 16]) -> Result<Option<[u8; 16]>, StoreError> {
        self.db
            .read_one(
                "read-case-of-item",
                "SELECT case_id FROM case_items WHERE item_id = $1",
                values![*item_id],
            )
            .await?
            .map(|row| row.array(0))
            .transpose()
    }

    /// Erases a case and all that was done in it: its data key is gone. Says whether it was there.
    pub async fn erase_case(&self, case_id: &[u8; 16]) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("erase-case").await?;
        tx.run(
            "DELETE FROM case_items WHERE case_id = $1",
            values![*case_id],
        )
        .await?;
        let gone = tx
            .run("DELETE FROM cases WHERE case_id = $1", values![*case_id])
            .await?;
        tx.commit().await?;
        Ok(gone == 1)
    }
}
