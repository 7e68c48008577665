//! The file of rejected rows: what to mend, as it was written, and why.

use std::io::{self, Write};

use super::header::ERROR_COLUMNS;
use super::{Import, RawRow, Reader, Rejection, RowError};

/// Writes rejected rows so that they can be mended and imported again.
///
/// For CSV: the file's own header and separator, with the columns `error_line`, `error_column`,
/// `error` and `error_row` after it. A row that has the header's number of fields stands as it
/// was; one that does not fit leaves those fields empty and stands as a whole in `error_row`. The
/// importer passes these four columns over. For JSON Lines: the lines as they were. For PFIF: the
/// persons as they were, each after a comment that says what is wrong.
///
/// What is written is personal data: the caller opens the file for its owner's eyes only.
pub struct RejectsWriter<W: Write> {
    out: W,
    layout: Layout,
}

enum Layout {
    Csv { delimiter: u8, columns: usize },
    Lines,
    Pfif { root: Vec<u8> },
}

impl<W: Write> RejectsWriter<W> {
    /// Begins a file for the rejections of an import; for CSV, writes its header. It should be
    /// buffered.
    ///
    /// # Errors
    /// That it cannot be written to.
    pub fn new<R: io::Read>(mut out: W, import: &Import<R>) -> io::Result<Self> {
        let layout = match &import.reader {
            Reader::Csv(reader) => {
                let delimiter = reader.delimiter();
                out.write_all(reader.header_line())?;
                for name in ERROR_COLUMNS {
                    out.write_all(&[delimiter])?;
                    out.write_all(name.as_bytes())?;
                }
                out.write_all(b"\r\n")?;
                Layout::Csv {
                    delimiter,
                    columns: reader.columns(),
                }
            }
            Reader::JsonLines(_) => Layout::Lines,
            Reader::Pfif(reader) => {
                out.write_all(reader.root_tag())?;
                out.write_all(b"\n")?;
                Layout::Pfif {
                    root: reader.root().to_vec(),
                }
            }
        };
        Ok(Self { out, layout })
    }

    /// Writes a rejected row. Of one that was too long to be kept only the errors are written,
    /// and in JSON Lines, which has no place for them, nothing.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn write(&mut self, rejection: &Rejection) -> io::Result<()> {
        match self.layout {
            Layout::Csv { delimiter, columns } => self.write_csv(rejection, delimiter, columns),
            Layout::Pfif { .. } => self.write_pfif(rejection),
            Layout::Lines => match &rejection.raw {
                RawRow::Whole(line) | RawRow::Broken(line) => {
                    self.out.write_all(line)?;
                    self.out.write_all(b"\n")
                }
                RawRow::TooLong => Ok(()),
            },
        }
    }

    /// Ends the file, flushes it and gives it back.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if let Layout::Pfif { root } = &self.layout {
            self.out.write_all(b"</")?;
            self.out.write_all(root)?;
            self.out.write_all(b">\n")?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_csv(
        &mut self,
        rejection: &Rejection,
        delimiter: u8,
        columns: usize,
    ) -> io::Result<()> {
        let broken = match &rejection.raw {
            RawRow::Whole(row) => {
                self.out.write_all(row)?;
                None
            }
            RawRow::Broken(row) => {
                self.write_empty(delimiter, columns)?;
                Some(row.as_slice())
            }
            RawRow::TooLong => {
                self.write_empty(delimiter, columns)?;
                None
            }
        };
        let first = rejection.errors.first();
        let line = first.map_or(rejection.location.line, |error| error.line);
        let column = first
            .and_then(|error| error.column.as_ref())
            .map(|column| column.number.to_string());
        let messages: Vec<_> = rejection.errors.iter().map(RowError::to_string).collect();
        for text in [
            line.to_string(),
            column.unwrap_or_default(),
            messages.join("; "),
        ] {
            self.out.write_all(&[delimiter])?;
            self.write_quoted(text.as_bytes())?;
        }
        self.out.write_all(&[delimiter])?;
        self.write_quoted(broken.unwrap_or_default())?;
        self.out.write_all(b"\r\n")
    }

    fn write_pfif(&mut self, rejection: &Rejection) -> io::Result<()> {
        for error in &rejection.errors {
            // No comment may hold two hyphens in a row.
            let message = error.to_string().replace("--", "- -");
            writeln!(self.out, "<!-- {message} -->")?;
        }
        if let RawRow::Whole(person) | RawRow::Broken(person) = &rejection.raw {
            self.out.write_all(person)?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn write_empty(&mut self, delimiter: u8, columns: usize) -> io::Result<()> {
        for _ in 1..columns {
            self.out.write_all(&[delimiter])?;
        }
        Ok(())
    }

    fn write_quoted(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.out.write_all(b"\"")?;
        for (index, part) in bytes.split(|byte| *byte == b'"').enumerate() {
            if index > 0 {
                self.out.write_all(b"\"\"")?;
            }
            self.out.write_all(part)?;
        }
        self.out.write_all(b"\"")
    }
}
