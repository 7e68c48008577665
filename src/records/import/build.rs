//! From a row's fields to a record, for all formats.

use std::collections::HashMap;

use ring::digest;

use super::Tally;
use super::error::RowErrorKind;
use super::options::ImportOptions;
use crate::records::field::Column;
use crate::records::record::{ReadingRules, Record, RecordRef, RefError};
use crate::records::{OrderShown, PartialDate};

/// What stays the same from row to row, and the references seen.
pub(super) struct Builder {
    rules: ReadingRules,
    defaults: Vec<(Column, String)>,
    unreadable_is_missing: bool,
    /// References by a digest of 16 bytes, with their lines. A digest, for a register's references
    /// may be names in all but name, and so that each takes the same few bytes.
    seen: HashMap<[u8; 16], u64>,
}

/// A record in the making. It goes on after an error, so that a row's errors are told at once.
pub(super) struct Draft {
    record: Record,
    has_ref: bool,
    order_shown: OrderShown,
    unreadable: u64,
    errors: Faults,
}

/// What is never taken as missing because it cannot be read: whose record it is, and how it may be
/// used.
const MUST_BE_READ: [Column; 3] = [Column::RecordRef, Column::Protection, Column::Consent];

/// What is wrong with a row: the field's number, from 1, and the fault.
pub(super) type Faults = Vec<(usize, RowErrorKind)>;

impl Builder {
    pub(super) fn new(options: &ImportOptions) -> Self {
        Self {
            rules: options.rules.clone(),
            defaults: options.defaults.clone(),
            unreadable_is_missing: options.unreadable_is_missing,
            seen: HashMap::new(),
        }
    }

    /// Begins a record, with the defaults in it.
    pub(super) fn draft(&self) -> Draft {
        let mut record = Record::new(RecordRef::unset());
        for (column, text) in &self.defaults {
            // They were tried when the options were made.
            let _ = record.set(*column, text, &self.rules);
        }
        Draft {
            record,
            has_ref: false,
            order_shown: OrderShown::Neither,
            unreadable: 0,
            errors: Vec::new(),
        }
    }

    /// Reads a field into a record. An empty one leaves the default.
    pub(super) fn set(&self, draft: &mut Draft, number: usize, column: Column, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match draft.record.set(column, text, &self.rules) {
            Ok(OrderShown::Neither) => draft.has_ref |= column == Column::RecordRef,
            Ok(shown) => draft.order_shown = shown,
            Err(_) if self.unreadable_is_missing && !MUST_BE_READ.contains(&column) => {
                draft.unreadable += 1;
                if column == Column::DateOfBirth {
                    let part = PartialDate::possible_part(text, self.rules.date_order);
                    draft.record.date_of_birth = part;
                }
            }
            Err(error) => draft.refuse(number, error.into()),
        }
    }

    /// Ends a record that begins on `line`, and notes its reference. `ref_number` is the number of
    /// the reference's field, for the error that there is none.
    pub(super) fn finish(
        &mut self,
        mut draft: Draft,
        ref_number: usize,
        line: u64,
        tally: &mut Tally,
    ) -> Result<Box<Record>, Faults> {
        draft.note_missing_ref(ref_number);
        if draft.has_ref {
            // Also of a row that is refused for something else: which of the two is right is for
            // a person to say.
            let first_line = *self
                .seen
                .entry(short_digest(&draft.record.record_ref))
                .or_insert(line);
            if first_line != line {
                draft.refuse(ref_number, RowErrorKind::DuplicateRef { first_line });
            }
        }
        if draft.errors.is_empty() {
            tally.unreadable += draft.unreadable;
            match draft.order_shown {
                OrderShown::DayFirst => tally.dates_day_first += 1,
                OrderShown::MonthFirst => tally.dates_month_first += 1,
                OrderShown::Either => tally.dates_by_order += 1,
                OrderShown::Neither => {}
            }
            Ok(Box::new(draft.record))
        } else {
            draft.errors.sort_by_key(|(number, _)| *number);
            Err(draft.errors)
        }
    }
}

impl Draft {
    /// Notes that a field cannot be taken.
    pub(super) fn refuse(&mut self, number: usize, kind: RowErrorKind) {
        self.errors.push((number, kind));
    }

    /// Whether the row is a valid record but for what other rows say.
    pub(super) fn would_stand(mut self) -> bool {
        self.note_missing_ref(0);
        self.errors.is_empty()
    }

    fn note_missing_ref(&mut self, ref_number: usize) {
        let refused = self.errors.iter().any(|(number, _)| *number == ref_number);
        if !self.has_ref && !refused {
            self.refuse(ref_number, RefError::Missing.into());
        }
    }
}

fn short_digest(reference: &RecordRef) -> [u8; 16] {
    let digest = digest::digest(&digest::SHA256, reference.as_str().as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&digest.as_ref()[..16]);
    short
}
