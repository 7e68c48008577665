//! CSV, row by row.

use std::io::Read;

use zeroize::{Zeroize, Zeroizing};

use super::build::{Builder, Draft, Faults};
use super::error::{ColumnAt, HeaderError, ImportError, RowError, RowErrorKind};
use super::header::{Header, other_delimiter};
use super::input::{Input, newlines};
use super::options::ImportOptions;
use super::split::{COLUMN_LIMIT, Fault, Scanned, ScannedRow, Span, scan_row};
use super::{FIELD_LIMIT, Location, ROW_LIMIT, RawRow, Rejection, Row, Tally};

/// A CSV file being read.
pub(super) struct CsvReader<R> {
    input: Input<R>,
    delimiter: u8,
    header: Header,
    /// The header as written, without its line end.
    header_line: Vec<u8>,
    builder: Builder,
    spans: Vec<Span>,
    rows: u64,
}

impl<R: Read> CsvReader<R> {
    pub(super) fn new(source: R, options: &ImportOptions) -> Result<Self, ImportError> {
        let mut input = Input::new(source)?;
        let mut spans = Vec::new();
        let delimiter = options.delimiter;
        let row = loop {
            let scanned = next_scanned(&mut input, delimiter, &mut spans)?;
            match scanned {
                None => return Err(ImportError::Empty),
                Some(Scanned::Row(row)) if is_blank(input.bytes(), &spans, &row) => {
                    input.consume(row.length);
                }
                Some(Scanned::Row(row)) if row.fields <= COLUMN_LIMIT => break row,
                Some(_) => return Err(header_error(&input, HeaderError::TooLong)),
            }
        };
        let header_line = without_line_end(&input.bytes()[..row.length]).to_vec();
        let header = read_header(&input, &header_line, &spans, &row, options)
            .map_err(|error| header_error(&input, error))?;
        input.consume(row.length);
        Ok(Self {
            input,
            delimiter,
            header,
            header_line,
            builder: Builder::new(options),
            spans,
            rows: 0,
        })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.input.offset()
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    pub(super) fn header_line(&self) -> &[u8] {
        &self.header_line
    }

    pub(super) fn columns(&self) -> usize {
        self.header.len()
    }

    /// The next row that is not blank.
    pub(super) fn next_row(&mut self, tally: &mut Tally) -> Result<Option<Row>, ImportError> {
        loop {
            let scanned = next_scanned(&mut self.input, self.delimiter, &mut self.spans)?;
            match scanned {
                None => return Ok(None),
                Some(Scanned::Row(row)) if is_blank(self.input.bytes(), &self.spans, &row) => {
                    self.input.consume(row.length);
                }
                Some(Scanned::Row(row)) => return Ok(Some(self.take_row(&row, tally))),
                Some(Scanned::NeedMore {
                    field,
                    field_start,
                    in_quotes,
                }) => {
                    let field_length = self.input.bytes().len() - field_start;
                    return self
                        .take_oversized(field, field_length, in_quotes)
                        .map(Some);
                }
            }
        }
    }

    /// Makes a record, or a rejection, of a row that lies in the window whole.
    fn take_row(&mut self, row: &ScannedRow, tally: &mut Tally) -> Row {
        let location = self.next_location();
        let whole = row.fields == self.header.len();
        let faults = match row.fault {
            // A field that is too long has an end all the same, and the row with it.
            Some((Fault::FieldTooLong, field)) => {
                vec![(field + 1, RowErrorKind::FieldTooLong)]
            }
            None if row.length > ROW_LIMIT => vec![(0, RowErrorKind::RowTooLong)],
            None if whole => {
                let bytes = self.input.bytes();
                let draft = self.draft(bytes, &self.spans);
                let ref_number = self.header.ref_at() + 1;
                match self.builder.finish(draft, ref_number, location.line, tally) {
                    Ok(record) => {
                        self.input.consume(row.length);
                        return Row::Accepted(location, record);
                    }
                    Err(faults) => faults,
                }
            }
            _ => return self.take_malformed(row, location),
        };
        let errors = self.errors(faults);
        let raw = copy(&self.input.bytes()[..row.length]);
        self.input.consume(row.length);
        Row::Rejected(Rejection {
            location,
            errors,
            raw: if whole {
                RawRow::Whole(raw)
            } else {
                RawRow::Broken(raw)
            },
        })
    }

    /// Rejects a row whose form is wrong. If it spans lines, a quote was perhaps never closed and
    /// what follows are rows of their own: reading goes on at the first line that is a valid row.
    fn take_malformed(&mut self, row: &ScannedRow, location: Location) -> Row {
        let next = self.next_valid_line(row.length);
        let length = next.unwrap_or(row.length);
        let fault = match row.fault {
            _ if next.is_some() => (self.field_over_lines(row) + 1, RowErrorKind::UnclosedQuote),
            Some((Fault::UnclosedQuote, field)) => (field + 1, RowErrorKind::UnclosedQuote),
            Some((Fault::StrayQuote, field)) => (field + 1, RowErrorKind::StrayQuote),
            Some((Fault::TextAfterQuote, field)) => (field + 1, RowErrorKind::TextAfterQuote),
            Some((Fault::FieldTooLong, field)) => (field + 1, RowErrorKind::FieldTooLong),
            None => (
                0,
                RowErrorKind::FieldCount {
                    expected: self.header.len(),
                    found: row.fields,
                },
            ),
        };
        let errors = self.errors(vec![fault]);
        let raw = RawRow::Broken(copy(&self.input.bytes()[..length]));
        self.input.consume(length);
        Row::Rejected(Rejection {
            location,
            errors,
            raw,
        })
    }

    /// Rejects a row that is longer than the window may grow, and finds the row after it.
    fn take_oversized(
        &mut self,
        field: usize,
        field_length: usize,
        in_quotes: bool,
    ) -> Result<Row, ImportError> {
        let location = self.next_location();
        let held = self.input.bytes().len();
        let next = if in_quotes {
            self.next_valid_line(held)
        } else {
            None
        };
        let fault = if next.is_some() {
            (field + 1, RowErrorKind::UnclosedQuote)
        } else if field_length > FIELD_LIMIT {
            (field + 1, RowErrorKind::FieldTooLong)
        } else {
            (0, RowErrorKind::RowTooLong)
        };
        let errors = self.errors(vec![fault]);
        let raw = if let Some(length) = next {
            let raw = RawRow::Broken(copy(&self.input.bytes()[..length]));
            self.input.consume(length);
            raw
        } else {
            self.skip_oversized(in_quotes)?;
            RawRow::TooLong
        };
        Ok(Row::Rejected(Rejection {
            location,
            errors,
            raw,
        }))
    }

    /// Passes over the rest of an oversized row: to the line end outside quotes, or to one inside
    /// them after which a valid row follows.
    fn skip_oversized(&mut self, mut in_quotes: bool) -> Result<(), ImportError> {
        let held = self.input.bytes().len();
        self.input.consume(held);
        while !self.input.bytes().is_empty() || self.input.fill()? {
            let mut line_end = None;
            for (at, byte) in self.input.bytes().iter().enumerate() {
                match byte {
                    // A doubled quote turns twice and so changes nothing.
                    b'"' => in_quotes = !in_quotes,
                    b'\n' => {
                        line_end = Some(at + 1);
                        break;
                    }
                    _ => {}
                }
            }
            match line_end {
                None => self.input.consume(self.input.bytes().len()),
                Some(length) => {
                    self.input.consume(length);
                    if !in_quotes || self.valid_line_follows()? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn valid_line_follows(&mut self) -> Result<bool, ImportError> {
        while !self.input.bytes().contains(&b'\n')
            && self.input.bytes().len() <= ROW_LIMIT
            && self.input.fill()?
        {}
        Ok(self.is_valid_line(self.input.bytes(), &mut Vec::new()))
    }

    /// Where, after the first line, the first line begins that is a valid row of its own, within
    /// the next `length` bytes.
    fn next_valid_line(&self, length: usize) -> Option<usize> {
        let bytes = self.input.bytes();
        let mut spans = Vec::new();
        bytes
            .get(..length)?
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1)
            .find(|start| *start < length && self.is_valid_line(&bytes[*start..], &mut spans))
    }

    /// Whether these bytes begin with one line that is a row and a record.
    fn is_valid_line(&self, bytes: &[u8], spans: &mut Vec<Span>) -> bool {
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        if bytes.is_empty() || (line_end.is_none() && !self.input.ended()) {
            return false;
        }
        let line = &bytes[..line_end.map_or(bytes.len(), |at| at + 1)];
        match scan_row(line, true, self.delimiter, spans) {
            Scanned::Row(row) => {
                row.fault.is_none()
                    && row.fields == self.header.len()
                    && self.draft(line, spans).would_stand()
            }
            Scanned::NeedMore { .. } => false,
        }
    }

    /// The field in which a malformed row first goes over a line end, else the faulty one.
    fn field_over_lines(&self, row: &ScannedRow) -> usize {
        let bytes = self.input.bytes();
        let over_lines = |span: &Span| bytes[span.start..span.end].contains(&b'\n');
        self.spans
            .iter()
            .position(over_lines)
            .or(row.fault.map(|(_, field)| field))
            .unwrap_or(0)
    }

    fn draft(&self, bytes: &[u8], spans: &[Span]) -> Draft {
        let mut draft = self.builder.draft();
        let mut unquoted = Zeroizing::new(String::new());
        for (index, column) in self.header.fields() {
            let Some(span) = spans.get(index) else {
                continue;
            };
            let written = &bytes[span.start..span.end];
            match str::from_utf8(written) {
                Ok(text) if span.quoted && text.contains('"') => {
                    unquoted.zeroize();
                    unquoted.reserve_exact(text.len());
                    unquoted.extend(
                        text.split("\"\"")
                            .enumerate()
                            .flat_map(|(part, text)| [if part == 0 { "" } else { "\"" }, text]),
                    );
                    self.builder.set(&mut draft, index + 1, column, &unquoted);
                }
                Ok(text) => self.builder.set(&mut draft, index + 1, column, text),
                Err(error) => {
                    let at = span.start + error.valid_up_to();
                    let byte = self.input.offset() + at as u64;
                    draft.refuse(index + 1, RowErrorKind::InvalidUtf8 { byte });
                }
            }
        }
        draft
    }

    /// Gives faults their lines and names. A number of 0 is the row as a whole.
    fn errors(&self, faults: Faults) -> Vec<RowError> {
        let bytes = self.input.bytes();
        faults
            .into_iter()
            .map(|(number, kind)| {
                let index = number.checked_sub(1);
                let start = index.and_then(|index| self.field_start(index));
                let before = start.and_then(|start| bytes.get(..start));
                RowError {
                    line: self.input.line() + before.map_or(0, newlines),
                    column: index.map(|index| ColumnAt {
                        number,
                        name: self.header.name(index).map(str::to_owned),
                    }),
                    kind,
                }
            })
            .collect()
    }

    /// Where a field begins, also one that was not finished.
    fn field_start(&self, index: usize) -> Option<usize> {
        let begun = index
            .checked_sub(1)
            .and_then(|before| self.spans.get(before));
        self.spans
            .get(index)
            .map(|span| span.start)
            .or(begun.map(|before| before.end))
    }

    fn next_location(&mut self) -> Location {
        self.rows += 1;
        Location {
            line: self.input.line(),
            row: self.rows,
        }
    }
}

/// Scans the row at the window's beginning, reading on as far as the limit allows. `None` at the
/// end of the file.
fn next_scanned<R: Read>(
    input: &mut Input<R>,
    delimiter: u8,
    spans: &mut Vec<Span>,
) -> Result<Option<Scanned>, ImportError> {
    loop {
        if input.bytes().is_empty() && !input.fill()? {
            return Ok(None);
        }
        let scanned = scan_row(input.bytes(), input.ended(), delimiter, spans);
        let waits = matches!(scanned, Scanned::NeedMore { .. });
        if !waits || input.bytes().len() > ROW_LIMIT {
            return Ok(Some(scanned));
        }
        // At the end the row is scanned once more, knowing that it is the end.
        input.fill()?;
    }
}

/// A line with nothing on it, or with separators alone, as spreadsheets leave them.
fn is_blank(bytes: &[u8], spans: &[Span], row: &ScannedRow) -> bool {
    row.fault.is_none()
        && row.fields == spans.len()
        && spans
            .iter()
            .all(|span| bytes[span.start..span.end].trim_ascii().is_empty())
}

fn read_header<R: Read>(
    input: &Input<R>,
    line: &[u8],
    spans: &[Span],
    row: &ScannedRow,
    options: &ImportOptions,
) -> Result<Header, HeaderError> {
    let text = String::from_utf8_lossy(line);
    if let Some((_, field)) = row.fault {
        let column = field + 1;
        return Err(other_delimiter(&text, options).unwrap_or(HeaderError::Quote { column }));
    }
    let mut names = Vec::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        let name = str::from_utf8(&line[span.start..span.end]).map_err(|error| {
            let at = span.start + error.valid_up_to();
            HeaderError::InvalidUtf8 {
                column: index + 1,
                byte: input.offset() + at as u64,
            }
        })?;
        names.push(name.trim().replace("\"\"", "\""));
    }
    Header::new(names, &text, options)
}

fn header_error<R: Read>(input: &Input<R>, error: HeaderError) -> ImportError {
    ImportError::Header {
        line: input.line(),
        error,
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn copy(row: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(without_line_end(row).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives endless variations of one row, and counts nothing: only the window is looked at.
    #[test]
    fn the_window_stays_small_whatever_the_rows_are() {
        for row in [
            "A1,x\n".to_owned(),
            format!("A1,{}\n", "x".repeat(3_000_000)),
            format!("A1,\"{}\"\n", "x\n".repeat(1_500_000)),
            format!("A1,\"{}\n", "x".repeat(3_000_000)),
            ",".repeat(3_000_000),
        ] {
            let file = format!("record_ref,note\n{}", row.repeat(4));
            let mut reader = CsvReader::new(file.as_bytes(), &ImportOptions::default())
                .ok()
                .unwrap();
            while let Some(_row) = reader.next_row(&mut Tally::default()).ok().unwrap() {
                assert!(reader.input.window() <= 2 * ROW_LIMIT);
                assert!(reader.spans.len() <= COLUMN_LIMIT);
            }
        }
    }
}
