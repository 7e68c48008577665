//! PFIF, the People Finder Interchange Format, versions 1.2 to 1.4 (<http://zesty.ca/pfif/>).
//!
//! Persons are read with the notes inside them. A note that stands outside its person, as in note
//! feeds, cannot be joined to it in a stream and is passed over. PFIF knows no grounds and no
//! protection: what a register has there comes from the defaults of a map file.
//!
//! | PFIF | here |
//! | --- | --- |
//! | `person_record_id` | `record_ref` |
//! | `family_name`, `given_name` (before 1.4 `last_name`, `first_name`) | the same |
//! | `alternate_names` | `other_names`; also `full_name`, where it is all there is |
//! | `sex`, `date_of_birth` | the same |
//! | `description` | `note` |
//! | `source_name` | `source` |
//! | latest note's `last_known_location`, else the `home_*` fields | `last_known_place` |
//! | latest note's `status` | `status`: missing, located or deceased |

use std::io::Read;

use zeroize::Zeroizing;

use super::build::{Builder, Faults};
use super::error::{ColumnAt, ImportError, PfifFault, RowError, RowErrorKind};
use super::input::{Input, newlines};
use super::markup::{Kind, find, next_piece};
use super::options::ImportOptions;
use super::pfif_person::Person;
use super::{Location, ROW_LIMIT, RawRow, Rejection, Row, Tally};
use crate::records::record::Record;

/// A PFIF file being read.
pub(super) struct PfifReader<R> {
    input: Input<R>,
    /// The root's opening tag as written, and its name.
    root_tag: Vec<u8>,
    root: Vec<u8>,
    /// The name of a person's element, with the file's prefix.
    person: Vec<u8>,
    builder: Builder,
    rows: u64,
    /// Whether the root has ended.
    finished: bool,
}

impl<R: Read> PfifReader<R> {
    pub(super) fn new(source: R, options: &ImportOptions) -> Result<Self, ImportError> {
        let mut input = Input::new(source)?;
        loop {
            let Some(piece) = next_piece(input.bytes(), 0) else {
                if input.bytes().len() <= ROW_LIMIT && input.fill()? {
                    continue;
                }
                let blank = input.bytes().trim_ascii().is_empty();
                return Err(if blank {
                    ImportError::Empty
                } else {
                    fault(&input, 0, PfifFault::NotPfif)
                });
            };
            let tag = &input.bytes()[piece.start..piece.end];
            match piece.kind {
                Kind::DocType => return Err(fault(&input, piece.start, PfifFault::DocType)),
                Kind::Instruction if !is_utf8_or_silent(tag) => {
                    return Err(fault(&input, piece.start, PfifFault::Encoding));
                }
                Kind::Instruction | Kind::Passive => {}
                Kind::Close { .. } => return Err(fault(&input, piece.start, PfifFault::NotPfif)),
                Kind::Open { name, empty } => {
                    let prefix = name.strip_suffix(b"pfif").filter(|prefix| {
                        (prefix.is_empty() || prefix.ends_with(b":")) && names_version(tag)
                    });
                    let Some(prefix) = prefix else {
                        return Err(fault(&input, piece.start, PfifFault::NotPfif));
                    };
                    let person = [prefix, b"person"].concat();
                    let (root, root_tag) = (name.to_vec(), tag.to_vec());
                    let end = piece.end;
                    input.consume(end);
                    return Ok(Self {
                        input,
                        root_tag,
                        root,
                        person,
                        builder: Builder::new(options),
                        rows: 0,
                        finished: empty,
                    });
                }
            }
            let end = piece.end;
            input.consume(end);
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.input.offset()
    }

    pub(super) fn root_tag(&self) -> &[u8] {
        &self.root_tag
    }

    pub(super) fn root(&self) -> &[u8] {
        &self.root
    }

    /// The next person.
    pub(super) fn next_row(&mut self, tally: &mut Tally) -> Result<Option<Row>, ImportError> {
        while !self.finished {
            let Some(piece) = next_piece(self.input.bytes(), 0) else {
                self.wait_between_persons()?;
                continue;
            };
            let (start, end) = (piece.start, piece.end);
            match piece.kind {
                Kind::DocType => return Err(fault(&self.input, start, PfifFault::DocType)),
                Kind::Close { name } if name == self.root => {
                    self.input.consume(end);
                    self.finished = true;
                }
                Kind::Open { name, empty } if name == self.person => {
                    self.input.consume(start);
                    return self.take_person(end - start, empty, tally).map(Some);
                }
                _ => self.input.consume(end),
            }
        }
        Ok(None)
    }

    fn wait_between_persons(&mut self) -> Result<(), ImportError> {
        let text = find(self.input.bytes(), 0, b"<").unwrap_or(self.input.bytes().len());
        self.input.consume(text);
        if self.input.bytes().len() > ROW_LIMIT {
            return Err(fault(&self.input, 0, PfifFault::NotWellFormed));
        }
        if !self.input.fill()? {
            return Err(fault(
                &self.input,
                self.input.bytes().len(),
                PfifFault::CutShort,
            ));
        }
        Ok(())
    }

    /// Reads the person at the window's beginning, whose opening tag has `opening` bytes.
    fn take_person(
        &mut self,
        opening: usize,
        empty: bool,
        tally: &mut Tally,
    ) -> Result<Row, ImportError> {
        let length = if empty {
            Some(opening)
        } else {
            self.person_end(opening)?
        };
        self.rows += 1;
        let location = Location {
            line: self.input.line(),
            row: self.rows,
        };
        let Some(length) = length else {
            self.skip_person()?;
            let errors = vec![RowError {
                line: location.line,
                column: None,
                kind: RowErrorKind::RowTooLong,
            }];
            return Ok(Row::Rejected(Rejection {
                location,
                errors,
                raw: RawRow::TooLong,
            }));
        };
        let written = Zeroizing::new(self.input.bytes()[..length].to_vec());
        let outcome = self.read_person(&written, location.line, tally);
        self.input.consume(length);
        Ok(match outcome {
            Ok(record) => Row::Accepted(location, record),
            Err(errors) => Row::Rejected(Rejection {
                location,
                errors,
                raw: RawRow::Whole(written),
            }),
        })
    }

    /// Where the person ends that begins the window; `None` over the limit. One that is not closed
    /// ends where the next begins.
    fn person_end(&mut self, opening: usize) -> Result<Option<usize>, ImportError> {
        let mut at = opening;
        loop {
            match next_piece(self.input.bytes(), at) {
                Some(piece) => match piece.kind {
                    Kind::Close { name } if name == self.person => return Ok(Some(piece.end)),
                    Kind::Close { name } if name == self.root => return Ok(Some(piece.start)),
                    Kind::Open { name, .. } if name == self.person => {
                        return Ok(Some(piece.start));
                    }
                    _ => at = piece.end,
                },
                None if self.input.bytes().len() > ROW_LIMIT => return Ok(None),
                None => {
                    if !self.input.fill()? {
                        return Err(fault(
                            &self.input,
                            self.input.bytes().len(),
                            PfifFault::CutShort,
                        ));
                    }
                }
            }
        }
    }

    /// Passes over a person that is longer than the window may grow.
    fn skip_person(&mut self) -> Result<(), ImportError> {
        let closing = [b"</", self.person.as_slice()].concat();
        loop {
            if let Some(at) = find(self.input.bytes(), 0, &closing) {
                self.input.consume(at + closing.len());
                return Ok(());
            }
            // The closing tag may have begun already.
            let length = self.input.bytes().len();
            self.input.consume(length.saturating_sub(closing.len()));
            if !self.input.fill()? {
                return Err(fault(
                    &self.input,
                    self.input.bytes().len(),
                    PfifFault::CutShort,
                ));
            }
        }
    }

    fn read_person(
        &mut self,
        written: &[u8],
        line: u64,
        tally: &mut Tally,
    ) -> Result<Box<Record>, Vec<RowError>> {
        let whole_person = |kind| {
            vec![RowError {
                line,
                column: None,
                kind,
            }]
        };
        let text = str::from_utf8(written).map_err(|error| {
            let byte = self.input.offset() + error.valid_up_to() as u64;
            whole_person(RowErrorKind::InvalidUtf8 { byte })
        })?;
        let person = Person::parse(text).map_err(|fault| whole_person(fault.into()))?;
        self.build(&person, line, tally).map_err(|faults| {
            faults
                .into_iter()
                .map(|(number, kind)| {
                    let element = person.element(number);
                    let before = element.and_then(|element| written.get(..element.at));
                    RowError {
                        line: line + before.map_or(0, newlines),
                        column: element.map(|element| ColumnAt {
                            number,
                            name: Some(element.name.to_owned()),
                        }),
                        kind,
                    }
                })
                .collect()
        })
    }

    fn build(
        &mut self,
        person: &Person,
        line: u64,
        tally: &mut Tally,
    ) -> Result<Box<Record>, Faults> {
        let mut draft = self.builder.draft();
        person.refuse_faulty(&mut draft);
        for (number, column, text) in person.fields() {
            self.builder.set(&mut draft, number, column, &text);
        }
        self.builder.finish(draft, person.ref_number(), line, tally)
    }
}

/// Whether a root's tag declares PFIF 1.2, 1.3 or 1.4.
fn names_version(tag: &[u8]) -> bool {
    [
        b"http://zesty.ca/pfif/1.2",
        b"http://zesty.ca/pfif/1.3",
        b"http://zesty.ca/pfif/1.4",
    ]
    .iter()
    .any(|namespace| find(tag, 0, *namespace).is_some())
}

/// Whether an XML declaration names UTF-8 or no encoding. Other instructions name none.
fn is_utf8_or_silent(instruction: &[u8]) -> bool {
    let text = String::from_utf8_lossy(instruction).to_ascii_lowercase();
    !text.starts_with("<?xml ") || !text.contains("encoding") || text.contains("utf-8")
}

/// A fault at a place in the window.
fn fault<R: Read>(input: &Input<R>, at: usize, fault: PfifFault) -> ImportError {
    ImportError::Pfif {
        line: input.line() + input.bytes().get(..at).map_or(0, newlines),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::import::{Format, Import, RejectsWriter};
    use proptest::prelude::*;

    const OPEN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                        <pfif:pfif xmlns:pfif=\"http://zesty.ca/pfif/1.4\">\n";
    const CLOSE: &str = "</pfif:pfif>\n";

    fn import(file: &str) -> Import<&[u8]> {
        match Import::new(file.as_bytes(), Format::Pfif, &ImportOptions::default()) {
            Ok(import) => import,
            Err(error) => panic!("{error}"),
        }
    }

    /// Each row's fields, or its errors.
    fn read(persons: &str) -> Vec<Result<Vec<String>, Vec<String>>> {
        import(&format!("{OPEN}{persons}{CLOSE}"))
            .map(|row| match row {
                Ok(Row::Accepted(_, record)) => Ok(record
                    .fields()
                    .map(|(column, text)| format!("{}={}", column.name(), text.expose()))
                    .collect()),
                Ok(Row::Rejected(rejection)) => {
                    Err(rejection.errors.iter().map(RowError::to_string).collect())
                }
                Err(error) => panic!("{error}"),
            })
            .collect()
    }

    fn bare(reference: &str) -> Result<Vec<String>, Vec<String>> {
        Ok(vec![
            format!("record_ref={reference}"),
            "protection=none".to_owned(),
            "consent=none".to_owned(),
        ])
    }

    #[test]
    fn a_person_with_its_notes_becomes_a_record() {
        let found = read(
            "<pfif:person>
               <pfif:person_record_id>example.org/p.1</pfif:person_record_id>
               <pfif:entry_date>2024-01-01T00:00:00Z</pfif:entry_date>
               <pfif:source_name>a &amp; b</pfif:source_name>
               <pfif:full_name>Оля Мельник</pfif:full_name>
               <pfif:given_name>&#1054;ля</pfif:given_name>
               <pfif:family_name><![CDATA[Мельник]]></pfif:family_name>
               <pfif:alternate_names>Оленка
                 Olga</pfif:alternate_names>
               <pfif:description>one\ntwo</pfif:description>
               <pfif:sex>female</pfif:sex>
               <pfif:date_of_birth>2014-05</pfif:date_of_birth>
               <pfif:home_city>Місто</pfif:home_city>
               <pfif:home_country>UA</pfif:home_country>
               <pfif:photo_url/>
               <x:other><x:person_record_id>no</x:person_record_id></x:other>
               <pfif:note>
                 <pfif:source_date>2024-03-01T00:00:00Z</pfif:source_date>
                 <pfif:status>believed_alive</pfif:status>
                 <pfif:last_known_location>later</pfif:last_known_location>
               </pfif:note>
               <pfif:note>
                 <pfif:source_date>2024-02-01T00:00:00Z</pfif:source_date>
                 <pfif:status>believed_missing</pfif:status>
                 <pfif:last_known_location>earlier</pfif:last_known_location>
               </pfif:note>
             </pfif:person>",
        );
        assert_eq!(
            found,
            [Ok([
                "record_ref=example.org/p.1",
                "family_name=Мельник",
                "given_name=Оля",
                "other_names=Оленка; Olga",
                "sex=F",
                "date_of_birth=2014-05",
                "last_known_place=later",
                "status=located",
                "protection=none",
                "consent=none",
                "source=a & b",
                "note=one\ntwo",
            ]
            .map(str::to_owned)
            .to_vec())]
        );
    }

    #[test]
    fn older_names_a_full_name_alone_and_an_address_are_read() {
        let found = read(
            "<pfif:person><pfif:person_record_id>1</pfif:person_record_id>\
             <pfif:first_name>Оля</pfif:first_name><pfif:last_name>Мельник</pfif:last_name>\
             <pfif:home_country>UA</pfif:home_country><pfif:home_city>Місто</pfif:home_city>\
             </pfif:person>\
             <pfif:person><pfif:person_record_id>2</pfif:person_record_id>\
             <pfif:full_name>Оля Мельник</pfif:full_name></pfif:person>",
        );
        let first = found[0].as_ref().unwrap();
        assert_eq!(
            first[1..4],
            [
                "family_name=Мельник",
                "given_name=Оля",
                "last_known_place=Місто, UA"
            ]
        );
        assert_eq!(found[1].as_ref().unwrap()[1], "other_names=Оля Мельник");
    }

    #[test]
    fn what_is_commented_out_or_outside_a_person_is_passed_over() {
        let found = read(
            "<!-- <pfif:person><pfif:person_record_id>0</pfif:person_record_id></pfif:person> -->\
             text /> more\
             <pfif:note><pfif:person_record_id>1</pfif:person_record_id></pfif:note>\
             <pfif:person><pfif:person_record_id>1</pfif:person_record_id></pfif:person>",
        );
        assert_eq!(found, [bare("1")]);
        let empty = "<pfif:pfif xmlns:pfif='http://zesty.ca/pfif/1.3'/>";
        assert_eq!(import(empty).count(), 0);
    }

    #[test]
    fn each_fault_of_a_person_is_told_and_costs_that_person() {
        let huge = "x".repeat(10_000_000);
        let found = read(&format!(
            "<pfif:person>\n<pfif:person_record_id>1</pfif:person_record_id>\n\
             <pfif:date_of_birth>2014-02-30</pfif:date_of_birth></pfif:person>\n\
             <pfif:person><pfif:sex>F</pfif:sex></pfif:person>\n\
             <pfif:person><pfif:person_record_id>3</pfif:sex></pfif:person>\n\
             <pfif:person><pfif:full_name>&nbsp;</pfif:full_name></pfif:person>\n\
             <pfif:person><pfif:person_record_id><b/>5<i>5</i></pfif:person_record_id></pfif:person>\n\
             <pfif:person><pfif:person_record_id>6</pfif:person_record_id>\
             <pfif:sex>F</pfif:sex><pfif:sex>M</pfif:sex></pfif:person>\n\
             <pfif:person><pfif:person_record_id>1</pfif:person_record_id></pfif:person>\n\
             <pfif:person><pfif:description>{huge}</pfif:description></pfif:person>\n\
             <pfif:person><pfif:person_record_id>9</pfif:person_record_id>\n\
             <pfif:person/>\n\
             <pfif:person><pfif:person_record_id>10</pfif:person_record_id></pfif:person>\n"
        ));
        let said: Vec<_> = found
            .iter()
            .filter_map(|row| row.as_ref().err())
            .map(|errors| errors.join(" | "))
            .collect();
        let not_well_formed = "the person is not well-formed XML: check that each element is closed \
                               in its order";
        assert_eq!(
            said,
            [
                "line 5, column 2 (date_of_birth): impossible date: the calendar has no such day or \
                 month"
                    .to_owned(),
                "line 6: no reference: every record needs one that stays the same".to_owned(),
                format!("line 7: {not_well_formed}"),
                "line 8: an entity that XML does not define: write the character itself".to_owned(),
                "line 9: an element inside a field that holds text alone".to_owned(),
                "line 10, column 3 (sex): the field stands twice in its person or note: remove one"
                    .to_owned(),
                "line 11, column 1 (person_record_id): the reference stands on line 3 already: give \
                 each record its own, or remove one of the two"
                    .to_owned(),
                "line 12: the row is longer than 1048576 bytes: shorten it".to_owned(),
                format!("line 13: {not_well_formed}"),
                "line 14: no reference: every record needs one that stays the same".to_owned(),
            ]
        );
        assert_eq!(found.last(), Some(&bare("10")));
    }

    #[test]
    fn a_file_that_is_no_pfif_is_refused() {
        for (file, message) in [
            ("", "the file is empty"),
            ("hello", "line 1: not PFIF 1.2 to 1.4"),
            ("<html>", "line 1: not PFIF 1.2 to 1.4"),
            (
                "<pfif xmlns='http://zesty.ca/pfif/1.1'>",
                "line 1: not PFIF 1.2 to 1.4",
            ),
            (
                "<?xml version='1.0'?>\n<!DOCTYPE x []>",
                "line 2: a document type declaration",
            ),
            (
                "<?xml version='1.0' encoding='windows-1251'?>",
                "line 1: the file says that it is not in UTF-8",
            ),
        ] {
            let error = Import::new(file.as_bytes(), Format::Pfif, &ImportOptions::default());
            let said = error
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(said.starts_with(message), "{file}: {said}");
        }
    }

    #[test]
    fn a_file_that_was_cut_short_says_so_at_its_end() {
        let person = "<pfif:person><pfif:person_record_id>1</pfif:person_record_id></pfif:person>";
        for rest in ["", "<pfif:person>", "<pfif:per"] {
            let file = format!("{OPEN}{person}{rest}");
            let mut import = import(&file);
            assert!(matches!(import.next(), Some(Ok(Row::Accepted(..)))));
            let Some(Err(error)) = import.next() else {
                panic!("must be refused");
            };
            assert_eq!(
                error.to_string(),
                "line 3: the file ends before its last element does: it was cut short, fetch it \
                 again"
            );
            assert!(import.next().is_none());
        }
    }

    #[test]
    fn rejected_persons_are_kept_with_their_errors_and_can_be_read_again() {
        let person = "<pfif:person><pfif:person_record_id>1</pfif:person_record_id>\
                      <pfif:sex>Q</pfif:sex></pfif:person>";
        let file = format!("{OPEN}{person}{CLOSE}");
        let mut import = import(&file);
        let mut writer = RejectsWriter::new(Vec::new(), &import).unwrap();
        for row in import.by_ref() {
            if let Ok(Row::Rejected(rejection)) = row {
                writer.write(&rejection).unwrap();
            }
        }
        let kept = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert!(
            kept.contains("<!-- line 3, column 2 (sex): not a word"),
            "{kept}"
        );
        let mended = kept.replace("Q", "F");
        let again = self::import(&mended).next();
        assert!(matches!(again, Some(Ok(Row::Accepted(..)))));
    }

    proptest! {
        #[test]
        fn whatever_is_inside_never_panics(
            inside in "(<pfif:person>|</pfif:person>|<pfif:sex>|</pfif:sex>|<!--|-->|&|;|<|>|/|'|a|#x41){0,30}",
        ) {
            for file in [format!("{OPEN}{inside}"), format!("{OPEN}{inside}{CLOSE}"), inside] {
                let options = ImportOptions::default();
                if let Ok(import) = Import::new(file.as_bytes(), Format::Pfif, &options) {
                    prop_assert!(import.count() <= inside_limit(&file));
                }
            }
        }
    }

    /// No more rows than opening tags, and one error.
    fn inside_limit(file: &str) -> usize {
        file.matches("<pfif:person").count() + 1
    }
}
