//! Rows and fields of CSV, by the letter of RFC 4180.
//!
//! The usual parsers forgive what they cannot read: a quote that is never closed swallows the rest
//! of the file as one field, and a stray quote vanishes. A register of children cannot be read so.
//! This scanner says what is wrong and where, gives each field's place in the file, and keeps no
//! copy, so memory stays bounded and a rejected row can be shown as it was written. It is held to
//! the `csv` crate on everything that is well formed.

use super::FIELD_LIMIT;

/// The most columns a file can have.
pub(super) const COLUMN_LIMIT: usize = 4096;

/// Where a field's content lies within its row, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it was written in quotes, so that `""` in it is one quote.
    pub(super) quoted: bool,
}

/// The outcome of looking for a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// The row goes on past the bytes given.
    NeedMore {
        /// The field at which they end.
        field: usize,
        /// Where it begins.
        field_start: usize,
        /// Whether they end inside quotes.
        in_quotes: bool,
    },
    /// A row.
    Row(ScannedRow),
}

/// A row, whole or faulty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScannedRow {
    /// Its length with its line end.
    pub(super) length: usize,
    /// How many fields it has; of these the first [`COLUMN_LIMIT`] have spans.
    pub(super) fields: usize,
    /// The first thing wrong with it, and the index of the field.
    pub(super) fault: Option<(Fault, usize)>,
}

/// What can be wrong with a row's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    UnclosedQuote,
    StrayQuote,
    TextAfterQuote,
    FieldTooLong,
}

/// Finds the row at the beginning of `bytes`, which must not be empty unless `ended` is false.
/// After a fault of quoting, the row is taken to end with its line.
pub(super) fn scan_row(bytes: &[u8], ended: bool, delimiter: u8, spans: &mut Vec<Span>) -> Scanned {
    spans.clear();
    let mut fields = 0;
    let mut at = 0;
    let mut fault = None;
    loop {
        let need_more = |in_quotes| Scanned::NeedMore {
            field: fields,
            field_start: at,
            in_quotes,
        };
        match scan_field(bytes, at, ended, delimiter) {
            Field::NeedMore { in_quotes } => return need_more(in_quotes),
            Field::Complete { span, next, last } => {
                if span.end - span.start > FIELD_LIMIT {
                    fault.get_or_insert((Fault::FieldTooLong, fields));
                }
                if spans.len() < COLUMN_LIMIT {
                    spans.push(span);
                }
                fields += 1;
                at = next;
                if last {
                    return Scanned::Row(ScannedRow {
                        length: at,
                        fields,
                        fault,
                    });
                }
            }
            Field::Faulty { found, from } => {
                let line_end = find(bytes, from, |byte| byte == b'\n').map(|at| at + 1);
                let Some(length) = line_end.or(ended.then_some(bytes.len())) else {
                    return need_more(false);
                };
                return Scanned::Row(ScannedRow {
                    length,
                    fields: fields + 1,
                    fault: fault.or(Some((found, fields))),
                });
            }
        }
    }
}

enum Field {
    NeedMore { in_quotes: bool },
    Complete { span: Span, next: usize, last: bool },
    Faulty { found: Fault, from: usize },
}

fn scan_field(bytes: &[u8], start: usize, ended: bool, delimiter: u8) -> Field {
    if bytes.get(start) == Some(&b'"') {
        scan_quoted(bytes, start, ended, delimiter)
    } else {
        scan_bare(bytes, start, ended, delimiter)
    }
}

fn scan_bare(bytes: &[u8], start: usize, ended: bool, delimiter: u8) -> Field {
    let stop = find(bytes, start, |byte| {
        byte == delimiter || byte == b'\n' || byte == b'"'
    });
    let (end, next, last) = match stop.map(|at| (at, bytes[at])) {
        Some((at, b'"')) => {
            return Field::Faulty {
                found: Fault::StrayQuote,
                from: at,
            };
        }
        Some((at, b'\n')) => (without_return(bytes, start, at), at + 1, true),
        Some((at, _)) => (at, at + 1, false),
        None if ended => (without_return(bytes, start, bytes.len()), bytes.len(), true),
        None => return Field::NeedMore { in_quotes: false },
    };
    Field::Complete {
        span: Span {
            start,
            end,
            quoted: false,
        },
        next,
        last,
    }
}

/// The end of a bare field that a line end follows: the carriage return of CRLF is not part of it.
fn without_return(bytes: &[u8], start: usize, end: usize) -> usize {
    if end > start && bytes[end - 1] == b'\r' {
        end - 1
    } else {
        end
    }
}

fn scan_quoted(bytes: &[u8], open: usize, ended: bool, delimiter: u8) -> Field {
    let mut at = open + 1;
    loop {
        let Some(quote) = find(bytes, at, |byte| byte == b'"') else {
            return if ended {
                Field::Faulty {
                    found: Fault::UnclosedQuote,
                    from: bytes.len(),
                }
            } else {
                Field::NeedMore { in_quotes: true }
            };
        };
        let span = Span {
            start: open + 1,
            end: quote,
            quoted: true,
        };
        let complete = |next, last| Field::Complete { span, next, last };
        let after = |distance: usize| bytes.get(quote + distance).copied();
        return match (after(1), after(2)) {
            (Some(b'"'), _) => {
                at = quote + 2;
                continue;
            }
            (Some(byte), _) if byte == delimiter => complete(quote + 2, false),
            (Some(b'\n'), _) => complete(quote + 2, true),
            (Some(b'\r'), Some(b'\n')) => complete(quote + 3, true),
            (None, _) | (Some(b'\r'), None) if ended => complete(bytes.len(), true),
            (None, _) | (Some(b'\r'), None) => Field::NeedMore { in_quotes: false },
            _ => Field::Faulty {
                found: Fault::TextAfterQuote,
                from: quote,
            },
        };
    }
}

fn find(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter()
        .position(|byte| wanted(*byte))
        .map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row as its fields or its fault.
    type Fields = Result<Vec<Vec<u8>>, (Fault, usize)>;

    /// All rows.
    fn rows(bytes: &[u8]) -> Vec<Fields> {
        let mut rest = bytes;
        let mut spans = Vec::new();
        let mut rows = Vec::new();
        while !rest.is_empty() {
            let Scanned::Row(row) = scan_row(rest, true, b',', &mut spans) else {
                panic!("at the end of the file there is nothing to wait for");
            };
            rows.push(match row.fault {
                Some(fault) => Err(fault),
                None => Ok(spans.iter().map(|span| content(rest, *span)).collect()),
            });
            rest = &rest[row.length..];
        }
        rows
    }

    fn content(row: &[u8], span: Span) -> Vec<u8> {
        let written = &row[span.start..span.end];
        if !span.quoted {
            return written.to_vec();
        }
        let mut content = Vec::new();
        let mut bytes = written.iter();
        while let Some(byte) = bytes.next() {
            content.push(*byte);
            if *byte == b'"' {
                assert_eq!(bytes.next(), Some(&b'"'));
            }
        }
        content
    }

    fn fields(texts: &[&str]) -> Fields {
        Ok(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
    }

    #[test]
    fn quotes_commas_and_line_ends_read_as_rfc_4180_says() {
        for (text, expected) in [
            ("a,b\r\nc,d", vec![fields(&["a", "b"]), fields(&["c", "d"])]),
            ("a,\n,b\n", vec![fields(&["a", ""]), fields(&["", "b"])]),
            (
                "\"a,\"\"b\"\"\r\n\",c\r\n",
                vec![fields(&["a,\"b\"\r\n", "c"])],
            ),
            ("\"\",\"a\"", vec![fields(&["", "a"])]),
            ("a,b,", vec![fields(&["a", "b", ""])]),
            ("a\rb,c\r", vec![fields(&["a\rb", "c"])]),
            ("\n", vec![fields(&[""])]),
            ("\"a\"\r", vec![fields(&["a"])]),
        ] {
            assert_eq!(rows(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_named_and_costs_its_line() {
        for (text, fault) in [
            ("a,b\"c\nd,e", (Fault::StrayQuote, 1)),
            ("a, \"c\"\nd,e", (Fault::StrayQuote, 1)),
            ("\"a\"b,c\nd,e", (Fault::TextAfterQuote, 0)),
            ("\"a\"\rb,c\nd,e", (Fault::TextAfterQuote, 0)),
        ] {
            let expected = vec![Err(fault), fields(&["d", "e"])];
            assert_eq!(rows(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(rows(b"a,\"b\nc,d"), [Err((Fault::UnclosedQuote, 1))]);
        let long = [
            b"a,".to_vec(),
            vec![b'x'; FIELD_LIMIT + 1],
            b",b\nc".to_vec(),
        ]
        .concat();
        assert_eq!(rows(&long), [Err((Fault::FieldTooLong, 1)), fields(&["c"])]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_csv_crate_on_what_it_writes(
            rows_written in proptest::collection::vec(
                proptest::collection::vec("[ab,\"\r\n;ї]{0,6}", 1..4), 1..5),
            crlf: bool,
        ) {
            let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new()
                .flexible(true)
                .quote_style(csv::QuoteStyle::Necessary)
                .terminator(terminator)
                .from_writer(Vec::new());
            for row in &rows_written {
                writer.write_record(row).unwrap();
            }
            let written = writer.into_inner().unwrap();
            let expected: Vec<_> = rows_written
                .iter()
                .map(|row| Ok(row.iter().map(|field| field.clone().into_bytes()).collect()))
                .collect();
            prop_assert_eq!(rows(&written), expected);
        }

        #[test]
        fn agrees_with_the_csv_crate_on_all_that_is_well_formed(text in "[ab,\"\n]{0,40}") {
            let ours = rows(text.as_bytes());
            prop_assume!(ours.iter().all(Result::is_ok));
            let theirs: Vec<_> = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes())
                .byte_records()
                .map(|row| Ok(row.unwrap().iter().map(<[u8]>::to_vec).collect::<Vec<_>>()))
                .collect();
            // That crate passes over empty lines; so does the reader above this scanner.
            let empty = Ok(vec![Vec::new()]);
            let ours: Vec<_> = ours.into_iter().filter(|row| *row != empty).collect();
            let theirs: Vec<_> = theirs.into_iter().filter(|row| *row != empty).collect();
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn waiting_for_more_never_changes_the_outcome(bytes in "[ab,\"\r\n]{1,40}", cut: usize) {
            let bytes = bytes.as_bytes();
            let cut = cut % bytes.len();
            let mut spans = Vec::new();
            let early = scan_row(&bytes[..cut], false, b',', &mut spans);
            if matches!(early, Scanned::Row(_)) {
                let mut whole = Vec::new();
                prop_assert_eq!(early, scan_row(bytes, true, b',', &mut whole));
                prop_assert_eq!(spans, whole);
            }
        }
    }
}
