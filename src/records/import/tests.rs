//! Registers as a clerk might hand them in, and what is said of each.

use proptest::prelude::*;

use super::*;
use crate::records::{Column, DateOrder};

/// Every row: the reference of a record, or the errors of a rejection.
type Outcome = Vec<Result<String, Vec<String>>>;

fn csv(bytes: impl AsRef<[u8]>) -> Outcome {
    read(bytes.as_ref(), Format::Csv, &ImportOptions::default())
}

fn json(bytes: impl AsRef<[u8]>) -> Outcome {
    read(bytes.as_ref(), Format::JsonLines, &ImportOptions::default())
}

fn read(bytes: &[u8], format: Format, options: &ImportOptions) -> Outcome {
    let import = Import::new(bytes, format, options).unwrap_or_else(|error| panic!("{error}"));
    import
        .map(|row| match row.unwrap_or_else(|error| panic!("{error}")) {
            Row::Accepted(_, record) => Ok(record.record_ref.to_string()),
            Row::Rejected(rejection) => {
                Err(rejection.errors.iter().map(RowError::to_string).collect())
            }
        })
        .collect()
}

fn records(bytes: &[u8], format: Format, options: &ImportOptions) -> Vec<Record> {
    Import::new(bytes, format, options)
        .unwrap_or_else(|error| panic!("{error}"))
        .map(|row| match row.unwrap_or_else(|error| panic!("{error}")) {
            Row::Accepted(_, record) => *record,
            Row::Rejected(rejection) => panic!("{}", rejection.errors[0]),
        })
        .collect()
}

fn refusal(bytes: impl AsRef<[u8]>, format: Format) -> String {
    match Import::new(bytes.as_ref(), format, &ImportOptions::default()) {
        Ok(_) => panic!("must be refused"),
        Err(error) => error.to_string(),
    }
}

fn ok(reference: &str) -> Result<String, Vec<String>> {
    Ok(reference.to_owned())
}

fn err(message: &str) -> Result<String, Vec<String>> {
    Err(vec![message.to_owned()])
}

fn value(record: &Record, column: Column) -> Option<String> {
    record.field(column).map(|text| text.expose().clone())
}

// ---- What is read -------------------------------------------------------------------------------

#[test]
fn a_byte_order_mark_crlf_and_quoted_lines_are_read() {
    let file = "\u{feff}record_ref,family_name,note\r\nA1,\"Мельник, \"\"Оля\"\"\",\"one\r\ntwo\"\r\nA2,Бондар,\r\n";
    let found = records(file.as_bytes(), Format::Csv, &ImportOptions::default());
    assert_eq!(
        value(&found[0], Column::FamilyName).unwrap(),
        "Мельник, \"Оля\""
    );
    assert_eq!(value(&found[0], Column::Note).unwrap(), "one\r\ntwo");
    assert_eq!(value(&found[1], Column::Note), None);
    assert_eq!(found.len(), 2);
}

#[test]
fn every_canonical_column_is_read_from_csv_and_from_json_lines() {
    let names: Vec<_> = crate::records::FIELDS
        .iter()
        .map(|field| field.name)
        .collect();
    let values: Vec<_> = crate::records::FIELDS
        .iter()
        .map(|field| match field.column {
            Column::Sex => "F",
            Column::DateOfBirth => "2014-05",
            Column::Protection => "alert",
            Column::Consent => "guardian",
            _ => "x",
        })
        .collect();
    let file = format!("{}\n{}\n", names.join(","), values.join(","));
    let line: serde_json::Map<_, _> = names
        .iter()
        .zip(&values)
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let line = serde_json::Value::Object(line).to_string();
    for (bytes, format) in [(file, Format::Csv), (line, Format::JsonLines)] {
        let found = records(bytes.as_bytes(), format, &ImportOptions::default());
        let shown: Vec<_> = found[0]
            .fields()
            .map(|(_, text)| text.expose().clone())
            .collect();
        assert_eq!(shown, values);
    }
}

#[test]
fn blank_lines_and_spreadsheet_leftovers_are_passed_over() {
    assert_eq!(csv("\nrecord_ref,note\n\n,\r\nA1,x\n , \n"), [ok("A1")]);
    assert_eq!(json("\n\n{\"record_ref\":\"A1\"}\n\n"), [ok("A1")]);
}

#[test]
fn a_header_without_rows_is_a_register_without_children() {
    assert_eq!(csv("record_ref,note\n"), []);
    assert_eq!(csv("record_ref"), []);
}

#[test]
fn names_of_columns_are_taken_in_any_case() {
    assert_eq!(csv(" Record_Ref ,NOTE\nA1,x\n"), [ok("A1")]);
}

#[test]
fn locations_count_lines_and_rows() {
    let file = "record_ref,note\nA1,\"x\ny\n\"\n\nA2,z\n";
    let found: Vec<_> = Import::new(file.as_bytes(), Format::Csv, &ImportOptions::default())
        .ok()
        .unwrap()
        .map(|row| match row.ok().unwrap() {
            Row::Accepted(location, _) => (location.line, location.row),
            Row::Rejected(_) => panic!(),
        })
        .collect();
    assert_eq!(found, [(2, 1), (6, 2)]);
}

// ---- Rows that cannot be taken -------------------------------------------------------------------

#[test]
fn a_row_with_too_few_or_too_many_fields_is_told_by_its_line() {
    assert_eq!(
        csv("record_ref,given_name,note\nA1,Оля\nA2,Іван,x,y\nA3,Іван,x\n"),
        [
            err(
                "line 2: the row has 2 fields and the header has 3: add what is missing, or put a \
                 value that holds the separator in quotes"
            ),
            err(
                "line 3: the row has 4 fields and the header has 3: add what is missing, or put a \
                 value that holds the separator in quotes"
            ),
            ok("A3"),
        ]
    );
}

#[test]
fn an_impossible_date_is_told_by_line_and_column_also_after_quoted_lines() {
    assert_eq!(
        csv("record_ref,note,date_of_birth\nA1,\"one\ntwo\nthree\",31.04.2014\nA2,,2014-02-30\n"),
        [
            err(
                "line 4, column 3 (date_of_birth): impossible date: the calendar has no such day or \
                 month"
            ),
            err(
                "line 5, column 3 (date_of_birth): impossible date: the calendar has no such day or \
                 month"
            ),
        ]
    );
}

#[test]
fn all_errors_of_a_row_are_told_by_column() {
    let messages = csv("sex,record_ref,protection,consent,date_of_birth\nQ,,hidden,yes,1.1.14\n");
    assert_eq!(
        messages,
        [Err(vec![
            "line 2, column 1 (sex): not a word for a sex that is known here: write M, F or X, or \
             give its meaning under [sex] in the map file"
                .to_owned(),
            "line 2, column 2 (record_ref): no reference: every record needs one that stays the \
             same"
                .to_owned(),
            "line 2, column 3 (protection): not a protection: write none, alert, silent or \
             human_only"
                .to_owned(),
            "line 2, column 4 (consent): not a ground: write tracing, guardian, vital_interest, \
             legal_obligation or none"
                .to_owned(),
            "line 2, column 5 (date_of_birth): the year has two digits, which leaves the century \
             open: write all four"
                .to_owned(),
        ])]
    );
}

#[test]
fn a_doubled_reference_is_told_with_the_line_of_the_first() {
    let message = "line 4, column 1 (record_ref): the reference stands on line 2 already: give \
                   each record its own, or remove one of the two";
    assert_eq!(
        csv("record_ref,note\nA1,x\nA2,x\n A1 ,y\n"),
        [ok("A1"), ok("A2"), err(message)]
    );
    // Also where the first was refused for something else.
    let found = csv("record_ref,sex\nA1,1\nA1,F\n");
    assert!(found[1].as_ref().unwrap_err()[0].contains("stands on line 2 already"));
}

#[test]
fn invalid_utf8_is_told_by_its_byte_and_the_rest_of_the_file_goes_on() {
    let file = b"record_ref,given_name,note\nA1,\xce\xeb\xff,x\nA2,\"\"\"\xff\",x\nA3,\xd0\x9e,x\n";
    assert_eq!(
        csv(file),
        [
            err(
                "line 2, column 2 (given_name): not UTF-8 at byte 30 of the file: save the file as \
                 UTF-8"
            ),
            err(
                "line 3, column 2 (given_name): not UTF-8 at byte 42 of the file: save the file as \
                 UTF-8"
            ),
            ok("A3"),
        ]
    );
    // The byte that is named is the byte in question.
    assert_eq!(file[30], 0xce);
    assert_eq!(file[42], 0xff);
    assert_eq!(
        json(b"{\"record_ref\":\"A1\xff\"}\n{\"record_ref\":\"A2\"}"),
        [
            err("line 1: not UTF-8 at byte 17 of the file: save the file as UTF-8"),
            ok("A2"),
        ]
    );
}

#[test]
fn control_characters_are_refused_where_no_text_has_them() {
    assert_eq!(
        csv("record_ref,given_name,note\nA\u{7}1,Оля,x\nA2,О\0ля,x\nA3,\"О\nля\",\"a\nb\"\n"),
        [
            err(
                "line 2, column 1 (record_ref): control character U+0007 in a reference: remove it"
            ),
            err("line 3, column 2 (given_name): control character U+0000: remove it"),
            err("line 4, column 2 (given_name): control character U+000A: remove it"),
        ]
    );
}

#[test]
fn quotes_in_the_wrong_place_are_told() {
    assert_eq!(
        csv("record_ref,note\nA1,say \"hello\"\nA2,\"say \"hello\"\nA3,x\n"),
        [
            err(
                "line 2, column 2 (note): a quote inside a value that does not begin with one: put \
                 the whole value in quotes and double those inside it"
            ),
            err(
                "line 3, column 2 (note): text after the closing quote: double a quote that belongs \
                 to the value"
            ),
            ok("A3"),
        ]
    );
}

#[test]
fn a_quote_never_closed_costs_its_own_row_only() {
    let unclosed = "line 3, column 2 (note): the quote that opens this value is not closed: close \
                    it, or double a quote that belongs to the value";
    for rest in [
        // No other quote in the file; one; a row with as many fields by accident.
        "A3,x\nA4,y\n",
        "A3,\"x\"\nA4,y\n",
        "A3,\"\"\nA4,y\n",
        "A3,x\r\nA4,y",
    ] {
        let file = format!("record_ref,note\nA1,x\nA2,\"x\n{rest}");
        assert_eq!(
            csv(&file),
            [ok("A1"), err(unclosed), ok("A3"), ok("A4")],
            "{rest:?}"
        );
    }
    // Nothing valid follows.
    assert_eq!(
        csv("record_ref,note\nA1,x\nA2,\"x\n"),
        [ok("A1"), err(unclosed)]
    );
}

#[test]
fn a_quote_never_closed_in_a_large_file_costs_its_own_row_only() {
    let mut file = String::from("record_ref,note\nB,\"x\n");
    for number in 0..200_000 {
        file.push_str(&format!("A{number},some words\n"));
    }
    assert!(file.len() > 2 * ROW_LIMIT);
    let found = csv(&file);
    assert_eq!(found.len(), 200_001);
    assert_eq!(found.iter().filter(|row| row.is_err()).count(), 1);
    assert!(found[0].as_ref().unwrap_err()[0].starts_with("line 2, column 2 (note): the quote"));
}

#[test]
fn a_field_of_ten_megabytes_is_refused_and_the_next_row_is_read() {
    let huge = "x".repeat(10_000_000);
    let many_lines = "some words\n".repeat(1_000_000);
    let message = "line 3, column 2 (note): the value is longer than 65536 bytes: shorten it or \
                   leave it out";
    for field in [
        huge.clone(),
        format!("\"{huge}\""),
        format!("\"{huge}\"\"{huge}\""),
        format!("\"{many_lines}\""),
    ] {
        let file = format!("record_ref,note,source\nA1,x,y\nA2,{field},y\nA3,x,y\n");
        assert!(csv(file) == [ok("A1"), err(message), ok("A3")]);
    }
    let file =
        format!("{{\"note\":\"{huge}\",\"record_ref\":\"A1\"}}\n{{\"record_ref\":\"A2\"}}\n");
    assert_eq!(
        json(file),
        [
            err("line 1: the row is longer than 1048576 bytes: shorten it"),
            ok("A2")
        ]
    );
}

#[test]
fn a_field_of_ten_megabytes_that_nothing_closes_is_refused() {
    let huge = "x".repeat(10_000_000);
    let found = csv(format!("record_ref,note\nA1,\"{huge}\nA2,x\nA3,y\n"));
    assert_eq!(found.len(), 3);
    assert!(found[0].as_ref().unwrap_err()[0].contains("longer than 65536 bytes"));
    assert_eq!(found[1..], [ok("A2"), ok("A3")]);
}

#[test]
fn the_limits_are_exact() {
    let note = |length| format!("record_ref,note\nA1,{}\n", "x".repeat(length));
    assert_eq!(csv(note(FIELD_LIMIT)), [ok("A1")]);
    assert!(csv(note(FIELD_LIMIT + 1))[0].is_err());

    let header = "record_ref".to_owned() + &",error".repeat(40);
    let row = |length: usize| {
        let full = length - "A1".len() - 40 - 1;
        let fields: String = (0..40)
            .map(|at| format!(",{}", "x".repeat(full / 40 + usize::from(at < full % 40))))
            .collect();
        format!("{header}\nA1{fields}\nA2{}\n", ",".repeat(40))
    };
    assert_eq!(csv(row(ROW_LIMIT)), [ok("A1"), ok("A2")]);
    assert_eq!(
        csv(row(ROW_LIMIT + 1)),
        [
            err("line 2: the row is longer than 1048576 bytes: shorten it"),
            ok("A2")
        ]
    );
    assert_eq!(csv(row(4 * ROW_LIMIT - 7)).last().unwrap(), &ok("A2"));
}

// ---- Headers and whole files --------------------------------------------------------------------

#[test]
fn each_fault_of_a_header_is_told_with_its_remedy() {
    for (file, message) in [
        (
            "record_ref,famly_name,shoe_size\n",
            "line 1, column 2: unknown column `famly_name` (did you mean `family_name`?); column 3: \
             unknown column `shoe_size`; a map file renames or ignores columns",
        ),
        (
            "family_name,given_name\n",
            "line 1: no column `record_ref`; every record needs a reference that stays the same (a \
             map file can rename a column to it)",
        ),
        (
            "record_ref,note,Note\n",
            "line 1, column 3: `note` stands twice, first in column 2; remove one or ignore it in a \
             map file",
        ),
        (
            "record_ref;family_name;note\nA1;x;y\n",
            "line 1: the columns are separated by semicolons, not by commas; save the file with \
             commas, or write `delimiter = \";\"` in a map file",
        ),
        (
            "record_ref\tfamily_name\n",
            "line 1: the columns are separated by tabs, not by commas; save the file with commas, \
             or write `delimiter = \"\\t\"` in a map file",
        ),
        (
            "\"record_ref\";\"note\"\n",
            "line 1: the columns are separated by semicolons, not by commas; save the file with \
             commas, or write `delimiter = \";\"` in a map file",
        ),
        (
            "record_ref\rA1\r",
            "line 1: lines end in a carriage return alone; save the file with LF or CRLF line ends",
        ),
        (
            "record_ref,\"note\n",
            "line 1, column 2: a quote that is not closed or stands inside a name",
        ),
        (
            "",
            "the file is empty: it needs a header line and a row for each record",
        ),
        (
            "\n \n",
            "the file is empty: it needs a header line and a row for each record",
        ),
    ] {
        assert_eq!(refusal(file, Format::Csv), message, "{file:?}");
    }
    assert_eq!(
        refusal(b"record_ref,n\xffte\n", Format::Csv),
        "line 1, column 2: not UTF-8 at byte 12 of the file; save the file as UTF-8"
    );
    assert_eq!(
        refusal(b"\xff\xfer\0e\0", Format::Csv),
        "the file is in UTF-16: save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")"
    );
    assert!(refusal(vec![b'x'; 3 * ROW_LIMIT], Format::Csv).starts_with("line 1: longer than"));
    let message = refusal("x,".repeat(5000), Format::Csv);
    assert!(message.starts_with("line 1: longer than 1048576 bytes or wider than 4096 columns"));
}

#[test]
fn a_first_line_that_is_data_is_not_repeated() {
    let message = refusal("A1,Мельник,Оля,2014-05-03\n", Format::Csv);
    assert!(
        message.starts_with("line 1: none of the known columns is named here"),
        "{message}"
    );
    let message = refusal("Мельник,note,Оля\n", Format::Csv);
    assert!(
        message.contains("column 1: unknown column; column 3: unknown column"),
        "{message}"
    );
    let message = refusal("record_ref,note,Оля 2014-05-03\n", Format::Csv);
    assert!(!message.contains("2014"), "{message}");
}

#[test]
fn json_lines_have_their_own_faults() {
    let lines = [
        "{\"record_ref\":\"A1\",\"date_of_birth\":2014,\"sex\":null}",
        "{\"record_ref\":\"A2\"",
        "[\"A3\"]",
        "{\"record_ref\":\"A4\",\"note\":{\"a\":1},\"sex\":true,\"source\":0.5}",
        "{\"record_ref\":\"A5\",\"note\":\"x\",\"Note\":\"y\"}",
        "{\"record_ref\":\"A6\",\"famly_name\":\"x\",\"Мельник 2014-05-03\":1}",
        "{\"note\":\"x\"}",
        "{\"record_ref\":\"A8\"} {\"record_ref\":\"A9\"}",
        "{\"record_ref\":\"A1\"}",
        "{\"record_ref\":\"B1\",\"date_of_birth\":\"2014-02-30\"}",
    ];
    let found = json(lines.join("\r\n"));
    let not_text = "the value must be a text: write it in quotes";
    assert_eq!(found[0], ok("A1"));
    assert_eq!(
        found[1],
        err("line 2: not JSON from byte 18 of the line on: each line must be one whole object")
    );
    assert_eq!(
        found[2],
        err("line 3: not a JSON object: each line must read like {\"record_ref\": \"A1\", ...}")
    );
    assert_eq!(
        found[3],
        Err(vec![
            format!("line 4, column 2 (note): {not_text}"),
            format!("line 4, column 3 (sex): {not_text}"),
            format!("line 4, column 4 (source): {not_text}"),
        ])
    );
    assert_eq!(
        found[4],
        err("line 5, column 3 (Note): the field stands twice in the object: remove one")
    );
    assert_eq!(
        found[5],
        Err(vec![
            "line 6, column 2: unknown field `famly_name` (did you mean `family_name`?): rename or \
             ignore it in a map file"
                .to_owned(),
            "line 6, column 3: unknown field: rename or ignore it in a map file".to_owned(),
        ])
    );
    assert_eq!(
        found[6],
        err("line 7: no reference: every record needs one that stays the same")
    );
    assert!(found[7].as_ref().unwrap_err()[0].starts_with("line 8: not JSON from byte 21"));
    assert!(found[8].as_ref().unwrap_err()[0].contains("stands on line 1 already"));
    assert!(found[9].as_ref().unwrap_err()[0].starts_with("line 10, column 2 (date_of_birth): "));
    assert_eq!(found.len(), lines.len());

    assert_eq!(
        refusal(" [{\"record_ref\":\"A1\"}]", Format::JsonLines),
        "the file is one JSON array, and JSON Lines has one object on each line: convert it, for \
         example with `jq -c '.[]'`"
    );
    assert!(refusal("\n", Format::JsonLines).starts_with("the file is empty"));
}

#[test]
fn a_source_that_fails_says_where() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.min(out.len());
            if count == 0 {
                return Err(std::io::Error::other("the disk is gone"));
            }
            out[..count].fill(b'\n');
            self.0 -= count;
            Ok(count)
        }
    }
    let error = Import::new(Failing(100), Format::Csv, &ImportOptions::default())
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "cannot read on after byte 100: the disk is gone"
    );
}

// ---- Map files ----------------------------------------------------------------------------------

#[test]
fn a_map_file_reads_a_register_as_it_is() {
    let options = ImportOptions::from_toml(
        r#"
        delimiter = ";"
        date_order = "month-first"
        ignore = ["Фото"]
        lacks = ["patronymic"]
        [columns]
        "№" = "record_ref"
        "Прізвище" = "family_name"
        "Стать" = "sex"
        "Народж." = "date_of_birth"
        [defaults]
        consent = "tracing"
        protection = "alert"
        [sex]
        1 = "M"
        2 = "F"
        9 = "unknown"
        "#,
    )
    .unwrap();
    let file = "№;Прізвище;Стать;Народж.;Фото;patronymic;consent\n7;Мельник;2;03/05/2014;\u{7};;guardian\n8;Бондар;9;;;\u{7};\n";
    let found = records(file.as_bytes(), Format::Csv, &options);
    let shown = |at: usize, column| value(&found[at], column);
    assert_eq!(shown(0, Column::RecordRef).unwrap(), "7");
    assert_eq!(shown(0, Column::Sex).unwrap(), "F");
    assert_eq!(shown(0, Column::DateOfBirth).unwrap(), "2014-03-05");
    assert_eq!(shown(0, Column::Consent).unwrap(), "guardian");
    assert_eq!(shown(1, Column::Consent).unwrap(), "tracing");
    assert_eq!(shown(1, Column::Protection).unwrap(), "alert");
    assert_eq!(shown(1, Column::Sex), None);
    assert_eq!(shown(1, Column::Patronymic), None);
    assert!(options.lacks().eq([Column::Patronymic]));

    // Errors speak of the columns as the file names them.
    let found = read(
        "№;Прізвище;Стать;Народж.\n7;x;F;31/31/2014\n".as_bytes(),
        Format::Csv,
        &options,
    );
    assert!(
        found[0].as_ref().unwrap_err()[0].starts_with("line 2, column 4 (Народж.): impossible")
    );

    let error = Import::new("№;Прізвище\n".as_bytes(), Format::Csv, &options)
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "line 1: the map file speaks of a column `Народж.` that the file does not have; correct \
         the name under [columns]"
    );
}

#[test]
fn dates_that_speak_against_the_assumed_order_raise_a_doubt() {
    let file = "record_ref,date_of_birth\nA1,03/05/2014\nA2,05/23/2014\nA3,05/03/2014\n";
    let mut options = ImportOptions::default();
    let scanned = |options: &ImportOptions| {
        scan(file.as_bytes(), Format::Csv, options, |_| ())
            .ok()
            .unwrap()
    };
    assert_eq!(
        scanned(&options).date_order_doubt.unwrap().to_string(),
        "2 dates were read day first while 1 can only be month first: if the register writes dates \
         month first, put `date_order = \"month-first\"` in a map file"
    );
    options.set_date_order(DateOrder::MonthFirst);
    assert_eq!(scanned(&options).date_order_doubt, None);
}

#[test]
fn unreadable_values_can_be_taken_as_missing_but_never_a_protection() {
    let mut options = ImportOptions::default();
    options.take_unreadable_as_missing();
    let file = "record_ref,date_of_birth,sex,protection\nA1,2014-02-30,Q,alert\nA2,,,hidden\n,,,\n";
    let mut import = Import::new(file.as_bytes(), Format::Csv, &options)
        .ok()
        .unwrap();
    let Some(Ok(Row::Accepted(_, record))) = import.next() else {
        panic!("must be accepted");
    };
    // Of a 30 February the year and month are kept, and it is counted all the same.
    let born = record
        .date_of_birth
        .as_ref()
        .map(|date| date.to_iso().expose().clone());
    assert_eq!(born.as_deref(), Some("2014-02"));
    assert!(record.sex.is_none());
    assert!(matches!(import.next(), Some(Ok(Row::Rejected(_)))));
    assert_eq!(import.tally().unreadable, 2);
}

// ---- Two passes and rejects ---------------------------------------------------------------------

#[test]
fn a_scan_counts_what_an_import_then_takes() {
    let mut file = String::from("record_ref,sex\n");
    for number in 0..3000 {
        file.push_str(&format!(
            "A{number},{}\n",
            if number % 2 == 0 { "F" } else { "Q" }
        ));
    }
    let mut told = Vec::new();
    let report = scan(
        file.as_bytes(),
        Format::Csv,
        &ImportOptions::default(),
        |bytes| {
            told.push(bytes);
        },
    )
    .ok()
    .unwrap();
    assert_eq!((report.tally.accepted, report.tally.rejected), (1500, 1500));
    assert_eq!((report.tally.rows(), report.error_count), (3000, 1500));
    assert_eq!(report.errors.len(), 1000);
    assert!(!report.is_clean());
    assert!(told.is_sorted());
    assert_eq!(told.last(), Some(&(file.len() as u64)));
}

fn rejects(bytes: &[u8], format: Format, options: &ImportOptions) -> Vec<u8> {
    let mut import = Import::new(bytes, format, options).ok().unwrap();
    let mut writer = RejectsWriter::new(Vec::new(), &import).unwrap();
    for row in import.by_ref() {
        if let Row::Rejected(rejection) = row.ok().unwrap() {
            writer.write(&rejection).unwrap();
        }
    }
    writer.finish().unwrap()
}

#[test]
fn rejected_rows_are_kept_as_they_were_and_can_be_mended_and_read_again() {
    let file = "record_ref,note,date_of_birth\r\nA1,x,2014\r\nA2,\"y,\n\"\"\",2014-13\r\nA3,x\r\nA4,\"z,2014\r\nA5,x,2014\r\n";
    let kept = rejects(file.as_bytes(), Format::Csv, &ImportOptions::default());
    let kept = String::from_utf8(kept).unwrap();
    assert_eq!(
        kept,
        "record_ref,note,date_of_birth,error_line,error_column,error,error_row\r\n\
         A2,\"y,\n\"\"\",2014-13,\"4\",\"3\",\"line 4, column 3 (date_of_birth): impossible date: \
         the calendar has no such day or month\",\r\n\
         ,,,\"5\",,\"line 5: the row has 2 fields and the header has 3: add what is missing, or put \
         a value that holds the separator in quotes\",\"A3,x\"\r\n\
         ,,,\"6\",\"2\",\"line 6, column 2 (note): the quote that opens this value is not closed: \
         close it, or double a quote that belongs to the value\",\"A4,\"\"z,2014\"\r\n"
    );
    let mended = kept
        .replace("2014-13", "2014-12")
        .replacen(",,,", "A3,x,,", 1);
    let found = csv(&mended);
    assert_eq!(found[..2], [ok("A2"), ok("A3")]);
    assert!(found[2].as_ref().unwrap_err()[0].contains("no reference"));
}

#[test]
fn rejected_rows_keep_bytes_that_are_no_text_and_json_lines_stay_lines() {
    let kept = rejects(
        b"record_ref,note\nA1,\xff\n",
        Format::Csv,
        &ImportOptions::default(),
    );
    assert!(kept.windows(4).any(|bytes| bytes == b"A1,\xff"));
    let kept = rejects(
        b"{\"record_ref\":\"A1\"}\r\n{\"record_ref\":1.5}\r\n{oops\n",
        Format::JsonLines,
        &ImportOptions::default(),
    );
    assert_eq!(kept, b"{\"record_ref\":1.5}\n{oops\n");
}

// ---- Whatever comes -----------------------------------------------------------------------------

fn survives(bytes: &[u8], format: Format) -> Result<(), TestCaseError> {
    let Ok(mut import) = Import::new(bytes, format, &ImportOptions::default()) else {
        return Ok(());
    };
    let mut last = 0;
    for row in import.by_ref() {
        let (location, errors) = match row {
            Ok(Row::Accepted(location, _)) => (location, Vec::new()),
            Ok(Row::Rejected(rejection)) => {
                prop_assert!(!rejection.errors.is_empty());
                (rejection.location, rejection.errors)
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert!(location.line > last);
        last = location.line;
        prop_assert!(errors.iter().all(|error| error.line >= location.line));
    }
    prop_assert_eq!(import.bytes_read(), bytes.len() as u64);
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_the_end_or_refused(bytes: Vec<u8>) {
        survives(&bytes, Format::Csv)?;
        survives(&bytes, Format::JsonLines)?;
    }

    #[test]
    fn any_rows_under_a_header_are_read_to_the_end(
        bytes in "(\"|,|\r|\n|A1|\u{0}|2014|ї|\\\\){0,60}",
    ) {
        survives(format!("record_ref,note\n{bytes}").as_bytes(), Format::Csv)?;
        survives(format!("record_ref,date_of_birth,sex\n{bytes}").as_bytes(), Format::Csv)?;
    }

    #[test]
    fn any_json_like_lines_are_read_to_the_end(bytes in "[{}\\[\\]\":,a0\n\\\\]{0,60}") {
        survives(bytes.as_bytes(), Format::JsonLines)?;
    }

    /// Errors go to logs: none may hold what a row says.
    #[test]
    fn no_error_repeats_a_value(
        name in "Zzq[a-z\u{0}]{3,9}",
        date in "7[0-9]{9}",
        json: bool,
    ) {
        let file = if json {
            format!("{{\"record_ref\":\"\u{7}{name}\",\"date_of_birth\":\"{date}\",\"sex\":\"{name}\",\"{name}{date}\":1}}\n{{\"{name}\"")
        } else {
            format!("record_ref,date_of_birth,sex\n\u{7}{name},{date},{name}\n{name},\"{date}\n{name}\n")
        };
        let format = if json { Format::JsonLines } else { Format::Csv };
        for row in read(file.as_bytes(), format, &ImportOptions::default()) {
            for message in row.err().into_iter().flatten() {
                prop_assert!(!message.contains(&name) && !message.contains(&date), "{}", message);
            }
        }
    }
}
