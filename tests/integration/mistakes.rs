//! What users get wrong at the command line, and what they are told: where, what, and what to do.
//!
//! The cases are transcripts in `tests/cli/*.cases`:
//!
//! ```text
//! $ wayhome search --input nowhere.csv
//! ? 2 NO_FILE
//! error: nowhere.csv: No such file or directory (os error 2); give the path of a file that is there
//! ```
//!
//! Each is run twice in a folder of its own: for people, where standard error has to be the lines that
//! stand there (`[..]` is anything), and with `--json`, where exit code, reason code and message have
//! to be the same. That second run is why this is a table of our own and not a library's: `trycmd`
//! compares one run, and would bring fifteen crates. `WAYHOME_WRITE_CASES=1` writes what is said now
//! into the files, to be read before it is kept.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use serde_json::Value;

use crate::process::{Said, finish, program, wayhome};

/// How many commands run at once.
const AT_ONCE: usize = 4;

/// One transcript.
struct Case {
    file: String,
    line: usize,
    typed: String,
    /// Exit code and reason code.
    ends: String,
    /// What standard error holds.
    said: String,
}

/// Cases of a file.
fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(typed) = line.strip_prefix("$ wayhome ") {
            cases.push(Case {
                file: path.file_name().unwrap().to_str().unwrap().to_owned(),
                line: number + 1,
                typed: typed.to_owned(),
                ends: String::new(),
                said: String::new(),
            });
        } else if let (Some(ends), Some(case)) = (line.strip_prefix("? "), cases.last_mut()) {
            case.ends = ends.to_owned();
        } else if let (false, Some(case)) = (line.starts_with('#'), cases.last_mut()) {
            case.said.push_str(line);
            case.said.push('\n');
        }
    }
    for case in &mut cases {
        case.said = case.said.trim_end().to_owned();
    }
    cases
}

/// A typed line as words; quotes hold words together.
fn words(typed: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut quoted = false;
    for part in typed.split('\'') {
        if quoted {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
        quoted = !quoted;
    }
    words
}

/// The folder in which the cases are run: files of every wrong kind, and three parties' directories.
async fn furnish(home: &Path) {
    let write = |name: &str, content: &[u8]| std::fs::write(home.join(name), content).unwrap();
    write("good.csv", b"record_ref,family_name,given_name,date_of_birth,consent\nA1,Koval,Olena,2014-05-03,tracing\n");
    write("header.csv", b"colour,size\nred,1\n");
    write("quote.csv", b"record_ref,family_name\nA1,\"B\n");
    write(
        "day.csv",
        b"record_ref,family_name,date_of_birth\nA1,B,2014-02-31\n",
    );
    write("sheet.xlsx", b"PK\x03\x04\x14\x00\x06\x00");
    write("utf16.csv", b"\xff\xfer\x00e\x00c\x00");
    write("empty", b"");
    write("words", b"these are words\n");
    write("map.toml", b"colour = 1\n");
    write("short.password", b"short\n");
    write("long.password", b"a password that is long\n");
    std::fs::create_dir(home.join("folder")).unwrap();
    // The modes that files have where nobody thought of them, whatever this process is used to.
    for (name, mode) in [("words", 0o644), ("folder", 0o755), ("good.csv", 0o644)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(home.join(name), mode).unwrap();
    }
    let member = ["--member", "ua", "--name", "Ukraine"];
    let party = ["--organisation", "Ministry"];
    for (directory, more) in [
        ("node", &["--console", "off"][..]),
        ("office", &["--ombudsman", "coalition"]),
    ] {
        let arguments = [&["init"][..], &member, &party, more].concat();
        let said = finish(wayhome(&home.join(directory)).args(arguments)).await;
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    std::fs::create_dir(home.join("broken")).unwrap();
    std::fs::set_permissions(home.join("broken"), std::fs::Permissions::from_mode(0o700)).unwrap();
    write(
        "broken/node.toml",
        b"member = \"ua\"\nlisten = \"nowhere\"\n",
    );
    for key in ["root.key", "backup.key"] {
        let make: &[&str] = match key {
            "root.key" => &["roster", "keygen", "root1.test", "--out", "root.key"],
            _ => &["backup", "keygen", "--out", "backup.key"],
        };
        let said = finish(typed(home).args(make)).await;
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

/// A command typed in a folder, without `--dir`.
fn typed(home: &Path) -> tokio::process::Command {
    let mut command = program();
    command.current_dir(home);
    command
}

/// Whether a text is as a pattern says, in which `[..]` is anything within a line.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.lines().collect(), text.lines().collect());
    pattern.len() == text.len()
        && pattern.iter().zip(&text).all(|(pattern, text)| {
            let mut parts = pattern.split("[..]");
            let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
                return false;
            };
            let mut open = false;
            for part in parts {
                let Some(at) = rest.find(part) else {
                    return false;
                };
                rest = &rest[at + part.len()..];
                open = part.is_empty();
            }
            open || rest.is_empty()
        })
}

/// What a person reads, without trailing spaces.
fn plain(said: &str) -> String {
    let lines: Vec<&str> = said.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Both runs of a case: what people and what machines are told.
async fn play(home: &Path, case: &Case) -> (Said, Said) {
    let words = words(&case.typed);
    let people = finish(typed(home).args(&words)).await;
    let machines = finish(typed(home).arg("--json").args(&words)).await;
    (people, machines)
}

/// What is wrong with how a case ended; empty if nothing is.
fn judge(case: &Case, people: &Said, machines: &Said) -> Vec<String> {
    let mut wrong = Vec::new();
    let said = plain(&people.err);
    if !fits(&case.said, &said) {
        wrong.push(format!("expected:\n{}\nwas told:\n{said}", case.said));
    }
    let object: Value = serde_json::from_str(machines.out.trim()).unwrap_or_default();
    let ends = format!(
        "{} {}",
        people.code.unwrap_or(-1),
        object["error"]["code"].as_str().unwrap_or("?")
    );
    if ends != case.ends {
        wrong.push(format!(
            "expected to end with {}, ended with {ends}",
            case.ends
        ));
    }
    if people.code != machines.code || object["ok"] != false {
        wrong.push(format!("--json ended otherwise: {machines:?}"));
    }
    // The same words for both, but for the lines in which they are broken for people.
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = flat(object["error"]["message"].as_str().unwrap_or_default());
    if message.is_empty() || !flat(&people.err).contains(&message) {
        wrong.push(format!("--json says something else: {message:?}"));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_answered_with_what_where_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    furnish(home).await;
    let mut files: Vec<PathBuf> = std::fs::read_dir("tests/cli")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "cases")
        })
        .collect();
    files.sort();
    let cases: Vec<Case> = files.iter().flat_map(|file| read(file)).collect();
    assert!(cases.len() > 100, "only {} cases", cases.len());
    let played: Vec<(&Case, Said, Said)> = futures_util::stream::iter(&cases)
        .map(|case| async move {
            let (people, machines) = play(home, case).await;
            (case, people, machines)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    if std::env::var_os("WAYHOME_WRITE_CASES").is_some() {
        return write_down(&files, &played);
    }
    let mut wrong = Vec::new();
    for (case, people, machines) in &played {
        for what in judge(case, people, machines) {
            wrong.push(format!(
                "{}:{}: {}\n{what}",
                case.file, case.line, case.typed
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Writes what is said now into the files of cases.
fn write_down(files: &[PathBuf], played: &[(&Case, Said, Said)]) {
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let mut written: String = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        for (case, people, machines) in played.iter().filter(|(case, ..)| case.file == name) {
            let object: Value = serde_json::from_str(machines.out.trim()).unwrap_or_default();
            let code = object["error"]["code"].as_str().unwrap_or("?").to_owned();
            written.push_str(&format!(
                "\n$ wayhome {}\n? {} {code}\n{}\n",
                case.typed,
                people.code.unwrap_or(-1),
                plain(&people.err)
            ));
        }
        std::fs::write(file, written).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_its_mistakes_and_its_page_of_the_manual() {
    let home = tempfile::tempdir().unwrap();
    let said = finish(typed(home.path()).args(["--json", "man", "pages"])).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    let pages: BTreeSet<String> = object["pages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|page| {
            page.as_str()
                .unwrap()
                .strip_suffix(".1")
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(pages.len() > 80, "{pages:?}");
    for page in &pages {
        let text = std::fs::read_to_string(home.path().join(format!("pages/{page}.1"))).unwrap();
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(text.contains(part), "{page} has no {part}");
        }
    }
    let mut tried = BTreeSet::new();
    for entry in std::fs::read_dir("tests/cli").unwrap() {
        for case in read(&entry.unwrap().path()) {
            let words: Vec<String> = words(&case.typed)
                .into_iter()
                .filter(|word| !word.starts_with('-'))
                .collect();
            // Options that stand before the command have values that are no commands.
            for start in 0..words.len() {
                for end in start + 1..=words.len() {
                    let name = format!("wayhome-{}", words[start..end].join("-"));
                    if pages.contains(&name) {
                        tried.insert(name);
                    }
                }
            }
        }
    }
    let leaves = pages.iter().filter(|page| {
        let below = format!("{page}-");
        !pages.iter().any(|other| other.starts_with(&below)) && page.as_str() != "wayhome"
    });
    // What takes nothing that could be wrong, and what says by itself all that is (tests of the doctor).
    let nothing_to_get_wrong = ["wayhome-policy-default", "wayhome-doctor"];
    let untried: Vec<&String> = leaves
        .filter(|page| !tried.contains(*page) && !nothing_to_get_wrong.contains(&page.as_str()))
        .collect();
    assert!(untried.is_empty(), "no mistake is tried of {untried:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_are_told_every_command() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let said = finish(typed(home.path()).args(["completions", shell])).await;
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{shell}");
        for word in ["records", "sign-in", "legal-basis", "accept-clock"] {
            assert!(said.out.contains(word), "{shell} does not know {word}");
        }
        // The shell itself can read it, where it is here.
        let script = home.path().join(shell);
        std::fs::write(&script, &said.out).unwrap();
        let read = std::process::Command::new(shell)
            .arg("-n")
            .arg(&script)
            .output();
        if let Ok(read) = read {
            assert!(read.status.success(), "{shell}: {read:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_coloured_that_is_no_terminal_and_a_closed_ear_is_no_fault() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["--help"][..],
        &["status"],
        &["records", "--help"],
        &["fly"],
    ] {
        let mut command = typed(home.path());
        command.env("CLICOLOR_FORCE", "1").env("RUST_LOG", "debug");
        let said = finish(command.args(arguments)).await;
        assert!(
            !said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'),
            "{said:?}"
        );
    }
    // A pipe that nobody reads any more.
    for arguments in [&["status"][..], &["doctor"], &["fly"], &["--help"]] {
        let mut command = typed(home.path());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .args(arguments);
        let ended = command.status().await.unwrap();
        let expected = match arguments {
            ["fly"] => 2,
            ["--help"] => 0,
            _ => 1,
        };
        assert_eq!(ended.code(), Some(expected), "{arguments:?}");
    }
}

#[test]
fn a_pattern_fits_only_what_it_says() {
    assert!(fits("a[..]c", "abc") && fits("a[..]", "abc") && fits("a\n[..]", "a\nb"));
    assert!(!fits("a[..]c", "abd") && !fits("a", "ab") && !fits("a", "a\nb"));
    assert_eq!(words("a 'b c' d"), ["a", "b c", "d"]);
    assert_eq!(words("a ''"), ["a", ""]);
}
