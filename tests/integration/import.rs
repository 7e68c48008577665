//! Import at the command line: every kind of bad register, and the good ones.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::coalition::Coalition;
use crate::process::{Said, run};

const HEADER: &str = "record_ref,family_name,given_name,date_of_birth\n";
const FIRST: &str = "A1,Коваль,Олег,2014-05-03\n";
const LAST: &str = "A3,Мороз,Ніна,2013-01-02\n";

/// Values that no error may repeat.
const PERSONAL: [&str; 8] = [
    "Коваль",
    "Олег",
    "Мороз",
    "Ніна",
    "Лисенко",
    "Ірина",
    "2014-05-03",
    "31.04.2014",
];

/// A node of `ua` and a place for files.
struct Desk {
    coalition: Coalition,
    files: tempfile::TempDir,
}

impl Desk {
    async fn set() -> Self {
        let mut coalition = Coalition::found(|_| {});
        coalition.start_node("ua").await;
        Self {
            coalition,
            files: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A place where no file is yet.
    fn place(&self, name: &str) -> PathBuf {
        let path = self.files.path().join(name);
        let _ = std::fs::remove_file(&path);
        path
    }

    async fn wayhome(&self, arguments: &[&str]) -> Said {
        let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        run(&self.coalition.path("ua"), &arguments).await
    }

    async fn import(&self, file: &Path, more: &[&str]) -> Said {
        let mut arguments = vec!["records", "import", file.to_str().unwrap()];
        arguments.extend(more);
        self.wayhome(&arguments).await
    }

    /// How many records the register holds.
    async fn held(&self) -> u64 {
        self.wayhome(&["status"]).await.object()["records"]
            .as_u64()
            .unwrap()
    }
}

fn tells_nothing_personal(said: &Said) {
    for value in PERSONAL {
        assert!(!said.err.contains(value), "{value} in {}", said.err);
        assert!(!said.out.contains(value), "{value} in {}", said.out);
    }
}

/// A row that cannot be read, between two that can: what is said of it, and where it is.
struct BadRow {
    what: &'static str,
    row: Vec<u8>,
    /// The line of the fault.
    line: u64,
    /// Number and name of its column, where it is one column's.
    column: Option<(u64, &'static str)>,
    message: &'static str,
    /// What stands in the file of rejected rows of this row: as it was, or as a whole in
    /// `error_row`, or nothing because it was too long to be kept.
    kept: Kept,
}

enum Kept {
    AsItWas,
    InErrorRow,
    Nothing,
}

fn bad_rows() -> Vec<BadRow> {
    let text = |row: &str| row.as_bytes().to_vec();
    vec![
        BadRow {
            what: "too few fields",
            row: text("A2,Лисенко\n"),
            line: 3,
            column: None,
            message: "the row has 2 fields and the header has 4",
            kept: Kept::InErrorRow,
        },
        BadRow {
            what: "too many fields",
            row: text("A2,Лисенко,Ірина,2012-12-12,,\n"),
            line: 3,
            column: None,
            message: "the row has 6 fields and the header has 4",
            kept: Kept::InErrorRow,
        },
        BadRow {
            what: "an impossible date",
            row: text("A2,Лисенко,Ірина,31.04.2014\n"),
            line: 3,
            column: Some((4, "date_of_birth")),
            message: "impossible date",
            kept: Kept::AsItWas,
        },
        BadRow {
            what: "a reference that stands twice",
            row: text("A1,Лисенко,Ірина,2012-12-12\n"),
            line: 3,
            column: Some((1, "record_ref")),
            message: "the reference stands on line 2 already",
            kept: Kept::AsItWas,
        },
        BadRow {
            what: "no reference",
            row: text(",Лисенко,Ірина,2012-12-12\n"),
            line: 3,
            column: Some((1, "record_ref")),
            message: "reference",
            kept: Kept::AsItWas,
        },
        BadRow {
            what: "invalid UTF-8",
            row: [
                b"A2,",
                &[0xd0, 0x28, 0xff][..],
                ",Ірина,2012-12-12\n".as_bytes(),
            ]
            .concat(),
            line: 3,
            column: Some((2, "family_name")),
            // Header of 48 octets, first row of 33: the second octet of the value is wrong.
            message: "not UTF-8 at byte",
            kept: Kept::AsItWas,
        },
        BadRow {
            what: "a field of ten megabytes",
            row: [
                b"A2,".as_slice(),
                &vec![b'x'; 10_000_000],
                b",B,2012-12-12\n",
            ]
            .concat(),
            line: 3,
            column: Some((2, "family_name")),
            message: "the value is longer than 65536 bytes",
            kept: Kept::Nothing,
        },
        BadRow {
            what: "a quote inside a value",
            row: text("A2,Лис\"енко,Ірина,2012-12-12\n"),
            line: 3,
            column: Some((2, "family_name")),
            message: "quote",
            kept: Kept::InErrorRow,
        },
        BadRow {
            what: "a quote that is never closed",
            row: text("A2,\"Лисенко,Ірина,2012-12-12\n"),
            line: 3,
            column: Some((2, "family_name")),
            message: "the quote that opens this value is not closed",
            kept: Kept::InErrorRow,
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_stops_the_import_or_is_set_aside() {
    let desk = Desk::set().await;
    for (number, bad) in bad_rows().into_iter().enumerate() {
        let what = bad.what;
        let bytes = [
            HEADER.as_bytes(),
            FIRST.as_bytes(),
            &bad.row,
            LAST.as_bytes(),
        ]
        .concat();
        let file = desk.file("register.csv", &bytes);
        let held = desk.held().await;

        // By default nothing is imported.
        let said = desk.import(&file, &[]).await;
        assert_eq!(said.code, Some(2), "{what}: {}", said.err);
        let object = said.object();
        assert_eq!(
            (&object["ok"], &object["imported"], &object["rejected"]),
            (&json!(false), &json!(0), &json!(1)),
            "{what}"
        );
        assert_eq!(object["error"]["code"], "BAD_ROWS", "{what}");
        let error = &object["errors"][0];
        assert_eq!(error["line"], bad.line, "{what}");
        assert_eq!(
            (error["column"].as_u64(), error["field"].as_str()),
            (
                bad.column.map(|(column, _)| column),
                bad.column.map(|(_, name)| name)
            ),
            "{what}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(bad.message), "{what}: {message}");
        // People are told the same with the file's name, and what to do.
        let place = format!("{}: {message}", file.display());
        assert!(said.err.contains(&place), "{what}: {}", said.err);
        assert!(
            said.err.contains("--on-error skip --rejects FILE"),
            "{what}"
        );
        tells_nothing_personal(&said);
        assert_eq!(desk.held().await, held, "{what}: something was imported");

        // Or the rest is, and the row is kept for mending.
        let rejects = desk.place("rejects.csv");
        let more = ["--on-error", "skip", "--rejects", rejects.to_str().unwrap()];
        let said = desk.import(&file, &more).await;
        assert_eq!(said.code, Some(0), "{what}: {}", said.err);
        let object = said.object();
        assert_eq!(object["ok"], true);
        let (added, unchanged) = if number == 0 { (2, 0) } else { (0, 2) };
        assert_eq!(
            (&object["added"], &object["unchanged"], &object["rejected"]),
            (&json!(added), &json!(unchanged), &json!(1)),
            "{what}"
        );
        assert_eq!(object["errors"][0]["line"], bad.line, "{what}");
        tells_nothing_personal(&said);
        assert_eq!(desk.held().await, 2, "{what}");
        let mode = std::fs::metadata(&rejects).unwrap().permissions().mode();
        assert_eq!(
            mode & 0o777,
            0o600,
            "{what}: others can read the rejected rows"
        );
        check_rejects(&bad, &std::fs::read(&rejects).unwrap(), message);
    }
}

fn check_rejects(bad: &BadRow, rejects: &[u8], message: &str) {
    let what = bad.what;
    let mut lines = rejects.splitn(2, |byte| *byte == b'\n');
    assert_eq!(
        lines.next().unwrap(),
        b"record_ref,family_name,given_name,date_of_birth,error_line,error_column,error,error_row\r"
    );
    let rest = lines.next().unwrap();
    let column = bad
        .column
        .map_or_else(String::new, |(column, _)| column.to_string());
    let row = bad.row.strip_suffix(b"\n").unwrap();
    let quoted = |text: &[u8]| {
        let doubled: Vec<u8> = text
            .iter()
            .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }))
            .collect();
        [b"\"", doubled.as_slice(), b"\""].concat()
    };
    let where_and_why: Vec<u8> = [
        b",".as_slice(),
        &quoted(bad.line.to_string().as_bytes()),
        b",".as_slice(),
        if column.is_empty() {
            Vec::new()
        } else {
            quoted(column.as_bytes())
        }
        .as_slice(),
        b",".as_slice(),
        &quoted(message.as_bytes()),
        b",".as_slice(),
    ]
    .concat();
    let expected = match bad.kept {
        Kept::AsItWas => [row, &where_and_why, b"\r\n"].concat(),
        Kept::InErrorRow => [b",,,".as_slice(), &where_and_why, &quoted(row), b"\r\n"].concat(),
        Kept::Nothing => [b",,,".as_slice(), &where_and_why, b"\r\n"].concat(),
    };
    assert_eq!(
        String::from_utf8_lossy(rest),
        String::from_utf8_lossy(&expected),
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_mended_and_come_in_and_no_file_is_written_over() {
    let desk = Desk::set().await;
    let file = desk.file(
        "register.csv",
        format!("{HEADER}{FIRST}A2,Лисенко,Ірина,31.04.2014\n{LAST}"),
    );
    let rejects = desk.place("rejects.csv");
    let more = ["--on-error", "skip", "--rejects", rejects.to_str().unwrap()];
    assert_eq!(desk.import(&file, &more).await.code, Some(0));
    let kept = std::fs::read_to_string(&rejects).unwrap();

    // A second run does not write over the first one's rows, and imports nothing.
    let said = desk.import(&file, &more).await;
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert_eq!(said.object()["error"]["code"], "REJECTS");
    assert!(
        said.err.contains("--rejects takes a new file"),
        "{}",
        said.err
    );
    assert_eq!(std::fs::read_to_string(&rejects).unwrap(), kept);

    std::fs::write(&rejects, kept.replace("31.04.2014", "30.04.2014")).unwrap();
    let said = desk.import(&rejects, &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.object()["added"], 1);
    assert_eq!(desk.held().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_as_a_whole_in_either_mode() {
    let desk = Desk::set().await;
    let utf16: Vec<u8> = format!("{HEADER}{FIRST}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "the file is empty"),
        (
            "a column of unknown name",
            b"record_ref,family_nam,given_name\nA1,B,C\n".to_vec(),
            "line 1, column 2: unknown column `family_nam` (did you mean `family_name`?)",
        ),
        (
            "no column for the reference",
            b"family_name,given_name\nB,C\n".to_vec(),
            "line 1: no column `record_ref`",
        ),
        (
            "a column twice",
            b"record_ref,sex,family_name,sex\nA1,M,B,M\n".to_vec(),
            "line 1, column 4: `sex` stands twice, first in column 2",
        ),
        (
            "no header",
            FIRST.as_bytes().to_vec(),
            "line 1: none of the known columns is named here",
        ),
        (
            "semicolons",
            b"record_ref;family_name\nA1;B\n".to_vec(),
            "line 1: the columns are separated by semicolons",
        ),
        (
            "a header that is not UTF-8",
            b"record_ref,family_name\xff\nA1,B\n".to_vec(),
            "line 1, column 2: not UTF-8",
        ),
        (
            "UTF-16",
            [&[0xff, 0xfe], utf16.as_slice()].concat(),
            "UTF-16",
        ),
        (
            "carriage returns alone",
            format!("{HEADER}{FIRST}").replace('\n', "\r").into_bytes(),
            "line 1: lines end in a carriage return alone",
        ),
    ];
    for (what, bytes, message) in cases {
        let file = desk.file("register.csv", bytes);
        let rejects = desk.place("rejects.csv");
        let skip = ["--on-error", "skip", "--rejects", rejects.to_str().unwrap()];
        for more in [&[][..], &skip, &["--dry-run"]] {
            let said = desk.import(&file, more).await;
            assert_eq!(said.code, Some(2), "{what} {more:?}: {}", said.err);
            let object = said.object();
            assert_eq!(
                (&object["ok"], &object["error"]["code"]),
                (&json!(false), &json!("BAD_FILE")),
                "{what}"
            );
            let place = format!("error: {}: ", file.display());
            assert!(said.err.starts_with(&place), "{what}: {}", said.err);
            assert!(said.err.contains(message), "{what}: {}", said.err);
            tells_nothing_personal(&said);
        }
        assert!(!rejects.exists(), "{what}");
    }
    assert_eq!(desk.held().await, 0);

    let nowhere = desk.place("no-such.csv");
    let said = desk.import(&nowhere, &[]).await;
    assert_eq!(said.code, Some(2));
    assert_eq!(said.object()["error"]["code"], "NO_FILE");
    assert!(said.err.contains("give the path of a file"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_and_crlf_are_no_fault() {
    let desk = Desk::set().await;
    let text = format!("\u{feff}{HEADER}{FIRST}{LAST}").replace('\n', "\r\n");
    let said = desk.import(&desk.file("register.csv", text), &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.object()["added"], 2);
    let shown = desk.wayhome(&["records", "show", "A3"]).await.object();
    // The last value of a row ends before the carriage return.
    assert_eq!(shown["record"]["date_of_birth"], "2013-01-02");
    // The very same register, without the mark and with other line ends, is no change.
    let file = desk.file("again.csv", format!("{HEADER}{FIRST}{LAST}"));
    assert_eq!(desk.import(&file, &[]).await.object()["unchanged"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_reads_all_and_keeps_nothing() {
    let desk = Desk::set().await;
    let good = desk.file("good.csv", format!("{HEADER}{FIRST}{LAST}"));
    let said = desk.import(&good, &["--dry-run"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let object = said.object();
    assert_eq!(
        (&object["dry_run"], &object["readable"], &object["rejected"]),
        (&json!(true), &json!(2), &json!(0))
    );
    let bad = desk.file("bad.csv", format!("{HEADER}{FIRST}A2,B\n{LAST}"));
    let rejects = desk.place("rejects.csv");
    let more = [
        "--dry-run",
        "--on-error",
        "skip",
        "--rejects",
        rejects.to_str().unwrap(),
    ];
    let said = desk.import(&bad, &more).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let object = said.object();
    assert_eq!(
        (&object["readable"], &object["rejected"]),
        (&json!(2), &json!(1))
    );
    // The rejected rows can be looked at before anything is imported.
    let mode = std::fs::metadata(&rejects).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(desk.import(&bad, &["--dry-run"]).await.code, Some(2));
    assert_eq!(desk.held().await, 0);
    // It needs no node.
    let nobody = tempfile::tempdir().unwrap();
    let arguments = [
        "--json",
        "records",
        "import",
        good.to_str().unwrap(),
        "--dry-run",
    ];
    assert_eq!(run(nobody.path(), &arguments).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_file_reads_a_register_in_its_own_ways() {
    let desk = Desk::set().await;
    let map = desk.file(
        "map.toml",
        "delimiter = \";\"\ndate_order = \"month-first\"\nignore = [\"clerk\"]\n\
         [columns]\n\"Номер\" = \"record_ref\"\n\"Прізвище\" = \"family_name\"\n\
         \"Народження\" = \"date_of_birth\"\n[defaults]\nconsent = \"tracing\"\n[sex]\n1 = \"M\"\n",
    );
    let register = desk.file(
        "register.csv",
        "Номер;Прізвище;given_name;Народження;sex;clerk\nA1;Коваль;Олег;05/03/2014;1;x\n",
    );
    let said = desk
        .import(&register, &["--map", map.to_str().unwrap()])
        .await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.object()["added"], 1);
    let shown = desk.wayhome(&["records", "show", "A1"]).await.object();
    assert_eq!(
        shown["record"],
        json!({
            "record_ref": "A1", "family_name": "Коваль", "given_name": "Олег",
            "date_of_birth": "2014-05-03", "sex": "M", "protection": "none",
            "consent": "tracing",
        })
    );
    for (text, message) in [
        ("delimeter = \";\"\n", "line 1"),
        (
            "[columns]\nX = \"family_nam\"\n",
            "did you mean `family_name`?",
        ),
        (
            "[defaults]\nrecord_ref = \"A\"\n",
            "each record needs its own",
        ),
        ("delimiter = \"x\"\n", "delimiter"),
    ] {
        let map = desk.file("wrong.toml", text);
        let said = desk
            .import(&register, &["--map", map.to_str().unwrap()])
            .await;
        assert_eq!(said.code, Some(2), "{text}: {}", said.err);
        assert_eq!(said.object()["error"]["code"], "MAP");
        assert!(said.err.contains(map.to_str().unwrap()), "{}", said.err);
        assert!(said.err.contains(message), "{text}: {}", said.err);
    }
    let nowhere = desk.place("no-such.toml");
    let said = desk
        .import(&register, &["--map", nowhere.to_str().unwrap()])
        .await;
    assert_eq!(
        (said.code, &said.object()["error"]["code"]),
        (Some(2), &json!("MAP"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_comes_again_is_told_from_one_that_changed() {
    let desk = Desk::set().await;
    let counts = |said: Said| -> (Value, Value, Value) {
        assert_eq!(said.code, Some(0), "{}", said.err);
        let object = said.object();
        (
            object["added"].clone(),
            object["changed"].clone(),
            object["unchanged"].clone(),
        )
    };
    // More than one message to the node carries.
    let rows: Vec<String> = (0..1_201)
        .map(|number| format!("R{number:04},Коваль,Олег,2014-05-03\n"))
        .collect();
    let first = desk.file("first.csv", format!("{HEADER}{}", rows.concat()));
    assert_eq!(
        counts(desk.import(&first, &[]).await),
        (json!(1_201), json!(0), json!(0))
    );
    assert_eq!(
        counts(desk.import(&first, &[]).await),
        (json!(0), json!(0), json!(1_201))
    );
    let mut changed = rows.clone();
    changed[7] = changed[7].replace("2014", "2015");
    changed[1_200] = "R9999,Мороз,Ніна,2013-01-02\n".to_owned();
    let second = desk.file("second.csv", format!("{HEADER}{}", changed.concat()));
    assert_eq!(
        counts(desk.import(&second, &[]).await),
        (json!(1), json!(1), json!(1_199))
    );
    // A row that is no longer in the file is not taken for erased.
    assert_eq!(desk.held().await, 1_202);
    let shown = desk.wayhome(&["records", "show", "R0007"]).await.object();
    assert_eq!(shown["record"]["date_of_birth"], "2015-05-03");
    // Each import is one act, whatever its size.
    let imports: Vec<String> = desk
        .coalition
        .leaves("ua", 0)
        .await
        .into_iter()
        .filter(|leaf| leaf.act() == wayhome::proto::exchange::Act::RecordsImported)
        .map(|leaf| leaf.reference)
        .collect();
    assert_eq!(
        imports,
        [
            "added=1201 changed=0 unchanged=0",
            "added=0 changed=0 unchanged=1201",
            "added=1 changed=1 unchanged=1199",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_come_in_by_the_same_rules() {
    let desk = Desk::set().await;
    let good = "{\"record_ref\":\"A1\",\"family_name\":\"Коваль\",\"consent\":\"tracing\"}\n";
    let bad = "{\"record_ref\":\"A2\",\"date_of_birth\":\"31.04.2014\"}\n";
    let broken = "{\"record_ref\":\"A3\"\n";
    let file = desk.file("register.jsonl", format!("{good}{bad}{broken}"));
    let said = desk.import(&file, &[]).await;
    assert_eq!(said.code, Some(2), "{}", said.err);
    let object = said.object();
    let places: Vec<(u64, Option<&str>)> = object["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["field"].as_str()))
        .collect();
    assert_eq!(places, [(2, Some("date_of_birth")), (3, None)]);
    tells_nothing_personal(&said);
    assert_eq!(desk.held().await, 0);

    let rejects = desk.place("rejects.jsonl");
    let more = ["--on-error", "skip", "--rejects", rejects.to_str().unwrap()];
    let said = desk.import(&file, &more).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.object()["added"], 1);
    assert_eq!(
        std::fs::read_to_string(&rejects).unwrap(),
        format!("{bad}{broken}"),
        "the lines as they were"
    );
    let mode = std::fs::metadata(&rejects).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let array = desk.file("array.jsonl", format!("[{}]", good.trim()));
    let said = desk.import(&array, &[]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("jq -c '.[]'"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_searched_for_is_counted() {
    let desk = Desk::set().await;
    let file = desk.file(
        "register.csv",
        "record_ref,family_name,given_name,date_of_birth,consent,protection\n\
         A1,Коваль,Олег,2014-05-03,tracing,\n\
         A2,Коваль,Олег,2014-05-03,none,\n\
         A3,Коваль,Олег,2014-05-03,tracing,silent\n\
         A4,,,,tracing,\n",
    );
    let object = desk.import(&file, &[]).await.object();
    assert_eq!(
        (&object["added"], &object["not_searchable"]),
        (&json!(4), &json!(3))
    );
    let list = desk.wayhome(&["records", "list"]).await.object();
    let mut states: Vec<(&str, &str, &str)> = list["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap();
            (text("record_ref"), text("state"), text("protection"))
        })
        .collect();
    states.sort_unstable();
    assert_eq!(
        states,
        [
            ("A1", "pending", "none"),
            ("A2", "not_searchable", "none"),
            ("A3", "silent", "silent"),
            ("A4", "not_searchable", "none"),
        ]
    );
}
