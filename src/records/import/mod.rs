//! Registers as they come: CSV, JSON Lines and PFIF, read as a stream.
//!
//! A register is large, is written by other people's programs, and is about children. From this
//! follow the rules here:
//!
//! * **Bounded memory.** A field holds at most 64 KiB and a row 1 MiB; what is longer is refused
//!   and passed over, and the rows after it are read. The one thing that grows with the file is
//!   some 50 bytes a row, to find a reference that stands twice.
//! * **An error says where and what to do**: line, column and its name, remedy. It never repeats a
//!   value, for errors go to terminals, logs and mails.
//! * **One bad row costs one row.** After a quote that was never closed, reading goes on at the
//!   next line that is a whole and valid row of its own.
//! * **Nothing is guessed in silence.** Unknown columns, ambiguous codes, impossible dates and
//!   doubled references are errors, which a [map file](ImportOptions::from_toml) answers.
//!
//! A caller that must take all or nothing reads the file twice: [`scan()`] first, then an [`Import`].
//!
//! ```
//! use wayhome::records::import::{Format, Import, ImportOptions, Row, scan};
//!
//! let file = "record_ref,given_name,date_of_birth\nA1,Оля,3 травня 2014\nA2,Іван,31.04.2014\n";
//! let options = ImportOptions::default();
//!
//! let report = scan(file.as_bytes(), Format::Csv, &options, |_bytes| ())?;
//! assert_eq!((report.tally.accepted, report.tally.rejected), (1, 1));
//! assert_eq!(
//!     report.errors[0].to_string(),
//!     "line 3, column 3 (date_of_birth): impossible date: the calendar has no such day or month"
//! );
//!
//! for row in Import::new(file.as_bytes(), Format::Csv, &options)? {
//!     match row? {
//!         Row::Accepted(location, record) => {
//!             assert_eq!((location.line, record.record_ref.as_str()), (2, "A1"));
//!         }
//!         Row::Rejected(rejection) => assert_eq!(rejection.location.line, 3),
//!     }
//! }
//! # Ok::<(), wayhome::records::import::ImportError>(())
//! ```

mod build;
mod csv;
mod error;
mod format;
mod header;
mod input;
mod json_lines;
mod markup;
mod options;
mod pfif;
mod pfif_person;
mod rejects;
mod scan;
mod split;
#[cfg(test)]
mod tests;

use std::io::Read;

use zeroize::Zeroizing;

pub use error::{
    ColumnAt, HeaderError, ImportError, JsonFault, PfifFault, RowError, RowErrorKind,
    UnknownColumn, XmlFault,
};
pub use format::Format;
pub use options::{ImportOptions, MapError};
pub use rejects::RejectsWriter;
pub use scan::{DateOrderDoubt, ScanReport, scan};

use super::record::Record;

/// The longest field taken, in bytes as written.
pub const FIELD_LIMIT: usize = 64 * 1024;

/// The longest row taken, in bytes as written.
pub const ROW_LIMIT: usize = 1024 * 1024;

/// A register being read: an iterator over its rows.
///
/// An `Err` item is the end: the file itself cannot be read further. A row that cannot be taken is
/// [`Row::Rejected`], and the next rows follow.
pub struct Import<R> {
    reader: Reader<R>,
    tally: Tally,
    ended: bool,
}

enum Reader<R> {
    Csv(Box<csv::CsvReader<R>>),
    JsonLines(Box<json_lines::JsonLinesReader<R>>),
    Pfif(Box<pfif::PfifReader<R>>),
}

/// One row of a register.
pub enum Row {
    /// A row that became a record.
    Accepted(Location, Box<Record>),
    /// A row that could not be taken.
    Rejected(Rejection),
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The line on which it begins, counted from 1.
    pub line: u64,
    /// Its number among the rows after the header, counted from 1.
    pub row: u64,
}

/// A row that could not be taken, and why.
pub struct Rejection {
    /// Where it stands.
    pub location: Location,
    /// Everything that is wrong with it, by column; at least one error.
    pub errors: Vec<RowError>,
    /// The row as it was written.
    pub(super) raw: RawRow,
}

/// A rejected row as written: personal data.
pub(super) enum RawRow {
    /// It has the header's number of fields: error columns can be put after it.
    Whole(Zeroizing<Vec<u8>>),
    /// It does not fit under the header.
    Broken(Zeroizing<Vec<u8>>),
    /// It was too long to keep.
    TooLong,
}

/// What was read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows accepted.
    pub accepted: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Dates that can only be read day first, such as 23/05/2014.
    pub dates_day_first: u64,
    /// Dates that can only be read month first, such as 05/23/2014.
    pub dates_month_first: u64,
    /// Dates that were read by the order given, such as 03/05/2014.
    pub dates_by_order: u64,
    /// Values that could not be read and were taken as missing, where the options say so.
    pub unreadable: u64,
}

impl Tally {
    /// Rows read, the header not counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.accepted + self.rejected
    }
}

impl<R: Read> Import<R> {
    /// Begins to read a register; for CSV, reads and checks its header. The source need not be
    /// buffered.
    ///
    /// # Errors
    /// [`ImportError`]: the source cannot be read, is empty, or has a wrong header.
    pub fn new(source: R, format: Format, options: &ImportOptions) -> Result<Self, ImportError> {
        let reader = match format {
            Format::Csv => Reader::Csv(Box::new(csv::CsvReader::new(source, options)?)),
            Format::JsonLines => {
                Reader::JsonLines(Box::new(json_lines::JsonLinesReader::new(source, options)?))
            }
            Format::Pfif => Reader::Pfif(Box::new(pfif::PfifReader::new(source, options)?)),
        };
        Ok(Self {
            reader,
            tally: Tally::default(),
            ended: false,
        })
    }

    /// What was read so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// How many bytes of the source the rows so far took, for a progress bar.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        match &self.reader {
            Reader::Csv(reader) => reader.bytes_read(),
            Reader::JsonLines(reader) => reader.bytes_read(),
            Reader::Pfif(reader) => reader.bytes_read(),
        }
    }
}

impl<R: Read> Iterator for Import<R> {
    type Item = Result<Row, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = match &mut self.reader {
            Reader::Csv(reader) => reader.next_row(&mut self.tally),
            Reader::JsonLines(reader) => reader.next_row(&mut self.tally),
            Reader::Pfif(reader) => reader.next_row(&mut self.tally),
        };
        match &row {
            Ok(Some(Row::Accepted(..))) => self.tally.accepted += 1,
            Ok(Some(Row::Rejected(_))) => self.tally.rejected += 1,
            Ok(None) | Err(_) => self.ended = true,
        }
        row.transpose()
    }
}
