//! One folder of files for each attack on the roster, under `tests/fixtures/roster/`, made here
//! and run here. The same folders are run against the command line and a running node elsewhere.
//!
//! Set `WAYHOME_WRITE_FIXTURES=1` to write them anew after a change of the format.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::sample::*;
use super::*;

mod list;

const OLD: &[&str] = &["a", "b", "c"];

/// A folder: its story as a list of steps, and the files the steps name.
struct Attack {
    name: &'static str,
    about: &'static str,
    steps: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Attack {
    fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            steps: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    /// Begins as most stories do: root 1 of the keys a, b, c is pinned and roster 5 is trusted.
    fn usual(self) -> Self {
        self.pin("1.root", signed_root(&root(1, OLD), &["a", "b"]))
            .roster(
                "5.roster",
                signed_roster(&roster(5, 1), &["a", "b"]),
                NOW,
                "UPDATED",
            )
    }

    fn pin(self, name: &str, bytes: Vec<u8>) -> Self {
        self.file(name, bytes).step(format!("{NOW} pin {name}"))
    }

    fn root(self, name: &str, bytes: Vec<u8>, at: &str, expect: &str) -> Self {
        self.file(name, bytes)
            .step(format!("{at} root {name} -> {expect}"))
    }

    fn roster(self, name: &str, bytes: Vec<u8>, at: &str, expect: &str) -> Self {
        self.file(name, bytes)
            .step(format!("{at} roster {name} -> {expect}"))
    }

    fn again(self, name: &str, at: &str, expect: &str) -> Self {
        self.step(format!("{at} roster {name} -> {expect}"))
    }

    fn restart(self) -> Self {
        self.step(format!("{NOW} restart"))
    }

    fn file(mut self, name: &str, bytes: Vec<u8>) -> Self {
        assert!(
            self.files.insert(name.to_owned(), bytes).is_none(),
            "{name} is there twice"
        );
        self
    }

    fn step(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }

    fn story(&self) -> String {
        let about: String = self
            .about
            .lines()
            .map(|line| format!("# {}\n", line.trim()))
            .collect();
        format!("{about}{}\n", self.steps.join("\n"))
    }
}

#[test]
fn the_folders_hold_what_is_made_here() {
    let base = folder();
    let write = std::env::var_os("WAYHOME_WRITE_FIXTURES").is_some();
    let mut expected: Vec<String> = Vec::new();
    for attack in list::attacks() {
        let folder = base.join(attack.name);
        let mut files = attack.files.clone();
        files.insert("steps.txt".to_owned(), attack.story().into_bytes());
        if write {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
        }
        for (name, bytes) in &files {
            let path = folder.join(name);
            if write {
                fs::write(&path, bytes).unwrap();
            }
            assert!(
                fs::read(&path).unwrap() == *bytes,
                "{} is out of date",
                path.display()
            );
        }
        let count = fs::read_dir(&folder).unwrap().count();
        assert_eq!(
            count,
            files.len(),
            "{} holds other files too",
            folder.display()
        );
        expected.push(attack.name.to_owned());
    }
    expected.sort();
    assert_eq!(folders(), expected);
}

#[test]
fn every_attack_is_refused_for_its_own_reason() {
    for name in folders() {
        let folder = folder().join(&name);
        let story = fs::read_to_string(folder.join("steps.txt")).unwrap();
        let mut store: Option<TrustStore> = None;
        let mut pinned = Vec::new();
        for line in story.lines().filter(|line| !line.starts_with('#')) {
            let (step, expected) = line.split_once(" -> ").unwrap_or((line, ""));
            let words: Vec<_> = step.split(' ').collect();
            let now = time(words[0]).unix();
            let file = || fs::read(folder.join(words[2])).unwrap();
            let before = store.as_ref().map(trusted);
            let outcome = match words[1] {
                "pin" => {
                    pinned = file();
                    store = Some(TrustStore::new(&pinned).unwrap());
                    continue;
                }
                "restart" => {
                    let state = store.as_ref().unwrap().to_state();
                    store = Some(TrustStore::from_state(&pinned, &state).unwrap());
                    assert_eq!(store.as_ref().map(trusted), before, "{name}: {line}");
                    continue;
                }
                "root" => store.as_mut().unwrap().update_root(&file(), now),
                "roster" => store.as_mut().unwrap().update_roster(&file(), now),
                other => panic!("{name}: what is {other}?"),
            };
            let told = match &outcome {
                Ok(Update::Updated) => "UPDATED",
                Ok(Update::Unchanged) => "UNCHANGED",
                Err(error) => error.code(),
            };
            assert_eq!(told, expected, "{name}: {line}: {outcome:?}");
            if told != "UPDATED" {
                assert_eq!(
                    store.as_ref().map(trusted),
                    before,
                    "{name}: {line} changed the store"
                );
            }
        }
    }
}

/// All that a store trusts, the time apart.
fn trusted(store: &TrustStore) -> (Vec<Bytes32>, Option<Bytes32>, u32) {
    let roots = store.roots.iter().map(|root| root.digest()).collect();
    (
        roots,
        store.roster().map(|roster| roster.digest()),
        store.floor,
    )
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/roster")
}

fn folders() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
