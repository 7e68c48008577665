//! A first pass over a whole register, for those who take all or nothing.

use std::fmt;
use std::io::Read;

use super::{Format, Import, ImportError, ImportOptions, Row, RowError, Tally};
use crate::records::DateOrder;

/// How many errors a report keeps; further ones are counted.
const KEPT: usize = 1000;

/// What a first pass found.
#[derive(Clone, Debug)]
pub struct ScanReport {
    /// Rows and dates.
    pub tally: Tally,
    /// Bytes read.
    pub bytes: u64,
    /// The first thousand errors, in the order of their lines.
    pub errors: Vec<RowError>,
    /// All errors. A row can have several.
    pub error_count: u64,
    /// A reason to doubt that the dates were read in the right order.
    pub date_order_doubt: Option<DateOrderDoubt>,
}

impl ScanReport {
    /// Whether every row was accepted.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.tally.rejected == 0
    }
}

/// Dates such as 03/05/2014 were read one way, while other dates of the file can only be read the
/// other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateOrderDoubt {
    /// The order by which they were read.
    pub assumed: DateOrder,
    /// How many were read by it.
    pub by_order: u64,
    /// How many dates of the file can only be read in the other order.
    pub against: u64,
}

impl DateOrderDoubt {
    /// The doubt that a tally gives reason for, if any.
    #[must_use]
    pub fn from_tally(tally: &Tally, assumed: DateOrder) -> Option<Self> {
        let against = match assumed {
            DateOrder::DayFirst => tally.dates_month_first,
            DateOrder::MonthFirst => tally.dates_day_first,
        };
        (against > 0 && tally.dates_by_order > 0).then_some(Self {
            assumed,
            by_order: tally.dates_by_order,
            against,
        })
    }
}

impl fmt::Display for DateOrderDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (assumed, other, key) = match self.assumed {
            DateOrder::DayFirst => ("day first", "month first", "month-first"),
            DateOrder::MonthFirst => ("month first", "day first", "day-first"),
        };
        write!(
            f,
            "{} dates were read {assumed} while {} can only be {other}: if the register writes \
             dates {other}, put `date_order = \"{key}\"` in a map file",
            self.by_order, self.against
        )
    }
}

/// Reads a whole register and makes no records. `progress` is told, now and then, how many bytes
/// were read so far.
///
/// # Errors
/// [`ImportError`]: the file cannot be read at all, or not to its end.
pub fn scan<R: Read>(
    source: R,
    format: Format,
    options: &ImportOptions,
    mut progress: impl FnMut(u64),
) -> Result<ScanReport, ImportError> {
    let mut import = Import::new(source, format, options)?;
    let mut errors = Vec::new();
    let mut error_count = 0;
    while let Some(row) = import.next() {
        if let Row::Rejected(rejection) = row? {
            error_count += rejection.errors.len() as u64;
            errors.extend(rejection.errors);
            errors.truncate(KEPT);
        }
        if import.tally().rows().is_multiple_of(256) {
            progress(import.bytes_read());
        }
    }
    let tally = import.tally();
    progress(import.bytes_read());
    Ok(ScanReport {
        tally,
        bytes: import.bytes_read(),
        errors,
        error_count,
        date_order_doubt: DateOrderDoubt::from_tally(&tally, options.rules().date_order),
    })
}
