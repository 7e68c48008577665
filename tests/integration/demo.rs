//! The demo as anyone runs it: nothing personal is left anywhere, its case comes out of the
//! registers, and nothing of it stays behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use wayhome::proto::exchange as pb;
use wayhome::records::import::{Format, Import, ImportOptions, Row};
use wayhome::records::{Column, Record};

use crate::process::{PATIENCE, finish, terminate, wayhome};
use crate::traces::{FORMS, Finder, Form, data_by_stream, data_frame, is_significant};

const MEMBERS: [&str; 4] = ["ua", "pl", "de", "ca"];

/// The shipped registers.
const SHIPPED: &str = "tests/data/registers";

/// What no one is called; planted where it must be found.
const CANARY: &str = "Канарейко-Перевірко";

/// The columns that say who a child is.
const NAMES: [Column; 8] = [
    Column::FamilyName,
    Column::GivenName,
    Column::Patronymic,
    Column::OtherNames,
    Column::MotherFamilyName,
    Column::MotherGivenName,
    Column::FatherFamilyName,
    Column::FatherGivenName,
];

#[tokio::test(flavor = "multi_thread")]
async fn no_name_and_no_birth_date_is_in_any_database_log_or_message() {
    let home = tempfile::tempdir().unwrap();
    let (coalition, tap) = (home.path().join("coalition"), home.path().join("tap"));
    std::fs::create_dir(&tap).unwrap();
    let said = finish(
        wayhome(&coalition)
            .args(["--json", "demo", "--keep", "--seed", "3", "--log", "trace"])
            .env("WAYHOME_TEST_TAP", &tap),
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let outcome = said.object();
    check_outcome(&outcome);

    let registers: BTreeMap<&str, Vec<Record>> = MEMBERS
        .iter()
        .map(|member| (*member, read_register(&format!("{SHIPPED}/{member}.csv"))))
        .collect();
    let values = personal_values(registers.values().flatten());
    assert!(values.len() > 5_000, "only {} values", values.len());
    let (granted, withheld) = asked_of(&outcome, &registers);
    let mut looked_for: Vec<&str> = values.iter().map(String::as_str).collect();
    looked_for.extend([CANARY, granted.as_str(), withheld.as_str()]);
    let finder = Finder::new(looked_for.iter().copied());
    assert!(finder.len() > 50_000, "only {} patterns", finder.len());
    let name = |value: usize| looked_for[value];

    let places = places(&coalition, &tap);
    for kind in ["database", "log", "message"] {
        assert!(
            places.iter().any(|place| place.kind == kind),
            "no {kind} was searched"
        );
    }
    let mut told = 0;
    for place in &places {
        for (at, value, form) in finder.find(&place.bytes) {
            if name(value) == granted && place.tells(&granted) {
                told += 1;
                continue;
            }
            let around = &place.bytes[at.saturating_sub(60)..place.bytes.len().min(at + 60)];
            panic!(
                "{:?} stands as {form:?} at {at} of {}: {:?}",
                name(value),
                place.name,
                String::from_utf8_lossy(around)
            );
        }
    }
    // The search sees what is there: the one granted value, in the one answer that told it.
    assert_eq!(
        told,
        usize::from(is_significant(granted.as_bytes())),
        "the granted value is found in its own answer and nowhere else"
    );

    plant_in_memory(&finder, &places, looked_for.len() - 3);
    plant_in_database(&finder, &coalition.join("ua/wayhome.db")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_a_disclosure_is_told_to_its_end() {
    let home = tempfile::tempdir().unwrap();
    let coalition = home.path().join("coalition");
    let said = finish(wayhome(&coalition).args(["--json", "demo", "--story", "disclosure"])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let outcome = said.object();
    assert_eq!(outcome["ok"], true, "{outcome}");
    assert_eq!(outcome["at_once"], json!(["current_place"]));
    assert_eq!(outcome["approved"], json!(["current_carer"]));
    assert_eq!(outcome["refused"], json!(["note"]));
    assert_eq!(outcome["corrected"]["field"], "current_place");
    assert_eq!(outcome["withdrawn"], true);
    for log in outcome["logs"].as_array().unwrap() {
        assert_eq!(log["verified"], true, "{log}");
    }
}

/// Checks that the story was told to its end.
fn check_outcome(outcome: &Value) {
    assert_eq!(outcome["ok"], true, "{outcome}");
    assert_eq!(outcome["found"][0]["grade"], "MATCH");
    assert_eq!(outcome["disclosed"], json!(["current_place"]));
    assert_eq!(outcome["withheld"], json!(["current_carer"]));
    let logs = outcome["logs"].as_array().unwrap();
    assert_eq!(logs.len(), MEMBERS.len());
    for log in logs {
        assert_eq!(log["verified"], true, "{log}");
    }
    assert_eq!(outcome["reconciled"]["unmatched"], 0);
    assert!(outcome["reconciled"]["pairs"].as_u64().unwrap() > 0);
}

/// Values of the found child's record abroad: the place that was told, and the carer that was not.
fn asked_of(outcome: &Value, registers: &BTreeMap<&str, Vec<Record>>) -> (String, String) {
    let found = &outcome["found"][0];
    let (case, member) = (text(&found["case"]), text(&found["at"]));
    let truth = std::fs::read_to_string(format!("{SHIPPED}/truth.csv")).unwrap();
    let reference = truth
        .lines()
        .find_map(|line| {
            let mut fields = line.split(',');
            let (own, other) = (fields.next()?, fields.next()?);
            (own == case && fields.next()? == member).then_some(other)
        })
        .expect("the found child is one of the true pairs");
    let record = registers[member]
        .iter()
        .find(|record| record.record_ref.as_str() == reference)
        .unwrap();
    let value = |column| record.field(column).unwrap().expose().clone();
    (value(Column::CurrentPlace), value(Column::CurrentCarer))
}

/// Something that was searched, or a part of it.
struct Place {
    name: String,
    kind: &'static str,
    bytes: Vec<u8>,
}

impl Place {
    /// Whether this is the stream of an answer that discloses `value`.
    fn tells(&self, value: &str) -> bool {
        // A gRPC message: a flag, its length, itself.
        let Some((_, message)) = self.bytes.split_first_chunk::<5>() else {
            return false;
        };
        let Ok(pb::RequestDisclosureResponse {
            message: Some(answer),
        }) = pb::RequestDisclosureResponse::decode(message)
        else {
            return false;
        };
        self.kind == "message"
            && self.name.contains("-out.h2")
            && answer.envelope.is_some_and(|envelope| {
                envelope.payload_type == "application/vnd.wayhome.disclosure-answer.v1"
            })
            && answer.items.iter().any(|item| {
                matches!(&item.form, Some(pb::item::Form::Full(bytes))
                    if pb::DisclosedField::decode(&bytes[16..])
                        .is_ok_and(|field| field.value == value))
            })
    }
}

/// Every file of the coalition but the registers themselves, every tapped connection, and every
/// stream on it.
fn places(coalition: &Path, tap: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    for path in files(coalition) {
        if path.starts_with(coalition.join("registers")) {
            continue;
        }
        let name = path.display().to_string();
        let kind = match name.as_str() {
            name if name.contains("wayhome.db") => "database",
            name if name.ends_with(".log") => "log",
            _ => "other file",
        };
        let bytes = std::fs::read(&path).unwrap();
        places.push(Place { name, kind, bytes });
    }
    for path in files(tap) {
        let connection = std::fs::read(&path).unwrap();
        for (stream, bytes) in data_by_stream(&connection) {
            let name = format!("{}, stream {stream}", path.display());
            places.push(Place {
                name,
                kind: "message",
                bytes,
            });
        }
        // Whole as well: headers and trailers are no DATA. The granted value, which is told in the
        // stream above, would be found here a second time.
        let bytes = without_data(&connection);
        let name = path.display().to_string();
        places.push(Place {
            name,
            kind: "frames",
            bytes,
        });
    }
    places
}

/// A connection without the payload of its DATA frames.
fn without_data(connection: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut rest = connection.strip_prefix(preface).unwrap_or(connection);
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let end = (9 + length).min(rest.len());
        if rest[3] != 0 {
            kept.extend_from_slice(&rest[..end]);
        }
        rest = &rest[end..];
    }
    kept
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Names, each part of a name, and birth dates, as they are written and in lower case.
fn personal_values<'a>(records: impl IntoIterator<Item = &'a Record>) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for record in records {
        for column in NAMES {
            let Some(text) = record.field(column) else {
                continue;
            };
            let text = text.expose();
            let parts = text
                .split([' ', ';', '-', ','])
                .filter(|part| !part.is_empty());
            for name in parts.chain([text.as_str()]) {
                values.insert(name.to_owned());
                values.insert(name.to_lowercase());
            }
        }
        if let Some(born) = record.field(Column::DateOfBirth) {
            let born = born.expose();
            values.insert(born.clone());
            if let [year, month, day] = *born.split('-').collect::<Vec<_>>() {
                values.insert(format!("{day}.{month}.{year}"));
            }
        }
    }
    values
}

fn read_register(path: &str) -> Vec<Record> {
    let file = std::fs::File::open(path).unwrap();
    let import = Import::new(file, Format::Csv, &ImportOptions::default())
        .ok()
        .unwrap();
    import
        .map(|row| match row.ok().unwrap() {
            Row::Accepted(_, record) => *record,
            Row::Rejected(_) => panic!("{path} has a row that cannot be read"),
        })
        .collect()
}

/// A search that finds nothing proves nothing, unless it finds what was planted.
fn plant_in_memory(finder: &Finder, places: &[Place], canary: usize) {
    for kind in ["database", "log", "other file", "message"] {
        let place = places.iter().find(|place| place.kind == kind).unwrap();
        for form in FORMS {
            for planted in form.patterns(CANARY) {
                let middle = place.bytes.len() / 2;
                let (before, after) = place.bytes.split_at(middle);
                let bytes = [before, planted.as_slice(), after].concat();
                let found = finder.find(&bytes);
                assert!(
                    found.contains(&(middle, canary, form)),
                    "the canary as {form:?} was not found in {}",
                    place.name
                );
            }
        }
    }
    // Over the wire a value may be split over frames, with another stream's frame between them.
    let place = places.iter().find(|place| place.kind == "message").unwrap();
    let (one, two) = CANARY.as_bytes().split_at(9);
    let mut connection = data_frame(1, &place.bytes);
    connection.extend(data_frame(3, one));
    connection.extend(data_frame(1, b"between"));
    connection.extend(data_frame(3, two));
    assert_eq!(finder.find(&connection), []);
    let found = finder.find(&data_by_stream(&connection)[&3]);
    assert_eq!(found, [(0, canary, Form::Utf8)]);
}

/// In a database the canary is found where the database itself puts it: in the log of what is not
/// yet in its place, and after that in the file.
async fn plant_in_database(finder: &Finder, path: &Path) {
    let mut database = SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    for sql in [
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE canary (name TEXT)",
    ] {
        sqlx::query(sql).execute(&mut database).await.unwrap();
    }
    sqlx::query("INSERT INTO canary VALUES ($1)")
        .bind(CANARY)
        .execute(&mut database)
        .await
        .unwrap();
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    assert!(
        !finder.find(&std::fs::read(&wal).unwrap()).is_empty(),
        "not found in the WAL"
    );
    assert!(finder.find(&std::fs::read(path).unwrap()).is_empty());
    database.close().await.unwrap();
    assert!(
        !finder.find(&std::fs::read(path).unwrap()).is_empty(),
        "not found in the database"
    );
}

/// A few dozen children of the shipped registers: enough for the story, and told in a moment.
pub fn small_registers(directory: &Path, leave_out: &[&str]) {
    std::fs::create_dir_all(directory).unwrap();
    let read = |name: &str| std::fs::read_to_string(format!("{SHIPPED}/{name}.csv")).unwrap();
    let fields = |line: &str| -> Vec<String> { line.split(',').map(str::to_owned).collect() };
    let (truth, kinds) = (read("truth"), read("kinds"));
    // From each of the other members: some that are children of Ukraine's register, and some that
    // only look so.
    let pairs = some_of_each(&truth, 14, |line| {
        !leave_out.iter().any(|case| line.starts_with(case))
    });
    let negatives = some_of_each(&kinds, 2, |line| line.contains("neg_sibling"));
    let mut kept = BTreeSet::new();
    for line in &pairs {
        kept.extend(fields(line).into_iter().take(2));
    }
    for line in &negatives {
        let fields = fields(line);
        kept.extend([fields[0].clone(), fields[3].clone()]);
    }
    for member in MEMBERS {
        let register = read(member);
        let (header, rows) = register.split_once('\n').unwrap();
        let rows = rows
            .lines()
            .filter(|row| kept.contains(row.split(',').next().unwrap()));
        let text: Vec<&str> = [header].into_iter().chain(rows).collect();
        assert!(text.len() > 5);
        std::fs::write(
            directory.join(format!("{member}.csv")),
            text.join("\n") + "\n",
        )
        .unwrap();
    }
    let with_header = |text: &str, lines: &[&str]| {
        let header = text.lines().next().unwrap();
        format!("{header}\n{}\n", lines.join("\n"))
    };
    std::fs::write(directory.join("truth.csv"), with_header(&truth, &pairs)).unwrap();
    std::fs::write(directory.join("kinds.csv"), with_header(&kinds, &negatives)).unwrap();
}

/// The first lines of `text` about each of the members abroad.
fn some_of_each(text: &str, count: usize, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut some = Vec::new();
    for member in &MEMBERS[1..] {
        let of_member = format!(",{member},");
        let lines = text
            .lines()
            .filter(|line| line.contains(&of_member) && wanted(line));
        some.extend(lines.take(count));
    }
    some
}

async fn story(home: &Path, registers: &Path, seed: &str, database: &str) -> Value {
    let coalition = home.join("coalition");
    let said = finish(wayhome(&coalition).args([
        "--json",
        "demo",
        "--registers",
        registers.to_str().unwrap(),
        "--seed",
        seed,
        "--database",
        database,
    ]))
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        !coalition.exists(),
        "the coalition's directory was left behind"
    );
    assert_eq!(processes_of(home), Vec::<String>::new());
    let outcome = said.object();
    check_outcome(&outcome);
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn the_case_comes_out_of_the_registers_by_the_seed() {
    let home = tempfile::tempdir().unwrap();
    let (registers, changed) = (home.path().join("registers"), home.path().join("changed"));
    small_registers(&registers, &[]);
    let case = |outcome: &Value| text(&outcome["found"][0]["case"]).to_owned();
    let first = case(&story(home.path(), &registers, "1", "sqlite").await);
    // The same registers and seed tell of the same child, whatever the nodes keep their data in.
    assert_eq!(
        case(&story(home.path(), &registers, "1", "postgres").await),
        first
    );
    let other = case(&story(home.path(), &registers, "2", "sqlite").await);
    assert_ne!(other, first, "another seed, the same case");
    // Without that child the same seed tells of another.
    small_registers(&changed, &[&first]);
    let without = case(&story(home.path(), &changed, "1", "sqlite").await);
    assert_ne!(without, first, "a child that is in no register was found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let registers = home.path().join("registers");
    small_registers(&registers, &[]);
    // While keys are made, when the nodes run, and in the middle of the story.
    for (signal, when) in [
        ("INT", "A coalition of four states is founded"),
        ("INT", "The four hold a ceremony"),
        ("TERM", "Ukraine looks for a child"),
    ] {
        let coalition = home.path().join("coalition");
        let mut demo = wayhome(&coalition)
            .args(["demo", "--registers", registers.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
            let line = line.unwrap().unwrap().expect("the demo ended early");
            if line.starts_with(when) {
                break;
            }
        }
        assert!(coalition.exists());
        terminate(&demo, signal).await;
        // Its output is read on, so that it never waits for a reader.
        let drained = async { while let Ok(Some(_)) = lines.next_line().await {} };
        let (ended, ()) =
            tokio::time::timeout(PATIENCE, async { tokio::join!(demo.wait(), drained) })
                .await
                .expect("the demo did not end");
        assert_eq!(ended.unwrap().code(), Some(1), "{signal} at {when:?}");
        assert!(
            !coalition.exists(),
            "{signal} at {when:?} left the directory behind"
        );
        // A killed process is gone in a moment, but not in the same one.
        let gone = async {
            while !processes_of(home.path()).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone)
            .await
            .unwrap_or_else(|_| panic!("{when:?}: {:?}", processes_of(home.path())));
    }
}

/// The command lines of running processes that name a directory.
fn processes_of(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(directory) {
            found.push(command);
        }
    }
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
