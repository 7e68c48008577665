//! Imports run downwards only. The table below is the whole rule; what it does not allow fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PURE: [&str; 6] = ["envelope", "linkage", "oprf", "roster", "tlog", "vault"];

/// Which module of the crate may import which others.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let pure: BTreeSet<&str> = PURE.into();
    let with = |more: &[&'static str]| pure.iter().copied().chain(more.iter().copied()).collect();
    BTreeMap::from([
        // The pure modules know nothing of each other, but that checkpoints and rosters are notes.
        ("envelope", BTreeSet::new()),
        ("linkage", BTreeSet::new()),
        ("oprf", BTreeSet::new()),
        ("vault", BTreeSet::new()),
        ("tlog", BTreeSet::from(["envelope"])),
        ("roster", BTreeSet::from(["envelope"])),
        ("ambient", BTreeSet::new()),
        ("proto", BTreeSet::new()),
        ("locale", BTreeSet::new()),
        ("telemetry", BTreeSet::from(["ambient"])),
        ("records", with(&[])),
        ("store", with(&["ambient"])),
        (
            "exchange",
            with(&["ambient", "proto", "records", "store", "telemetry"]),
        ),
        (
            "audit",
            with(&["ambient", "exchange", "locale", "proto", "records", "store"]),
        ),
        (
            "node",
            with(&[
                "ambient",
                "audit",
                "exchange",
                "proto",
                "records",
                "store",
                "telemetry",
            ]),
        ),
        ("demo", with(&["ambient", "records"])),
        (
            "console",
            with(&[
                "ambient", "exchange", "locale", "node", "proto", "records", "store",
            ]),
        ),
        (
            "cli",
            with(&[
                "ambient", "audit", "console", "demo", "exchange", "locale", "node", "proto",
                "records", "store",
            ]),
        ),
    ])
}

#[test]
fn imports_run_downwards() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    let mut files = 0;
    for file in rust_files(Path::new("src")) {
        let module = module_of(&file);
        if module == "lib" || module == "main" {
            continue;
        }
        files += 1;
        let may = allowed
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} is missing from the table of modules"));
        for (line, imported) in imports(&fs::read_to_string(&file).unwrap()) {
            if imported != module && !may.contains(imported.as_str()) {
                wrong.push(format!(
                    "{}:{line}: {module} imports {imported}",
                    file.display()
                ));
            }
        }
    }
    assert!(files > 50, "only {files} files were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_need_no_runtime_and_no_database() {
    let mut wrong = Vec::new();
    for module in PURE {
        for file in rust_files(&Path::new("src").join(module)) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for foreign in ["tokio::", "sqlx::", "tonic::", "prost::", "tracing::"] {
                    if code.contains(foreign) {
                        wrong.push(format!("{}:{}: {foreign}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sql_stands_in_the_store_alone() {
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        if file.starts_with("src/store") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            if line.contains("sqlx::") || line.contains("INSERT INTO ") {
                wrong.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The module of the crate that a file belongs to: the first part of its path below `src`.
fn module_of(file: &Path) -> String {
    let below = file.strip_prefix("src").unwrap();
    let first = below.components().next().unwrap();
    Path::new(first.as_os_str())
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// Every module of the crate that a text names, with the line.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            // `pub(in crate::x)` and `$crate::x` name modules as well.
            let name: String = code[at + "crate::".len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            // A macro of the crate's root, such as `crate::values!`, has no module.
            if !name.is_empty() && name.chars().next().is_some_and(char::is_lowercase) {
                found.push((number + 1, name));
            }
        }
    }
    found
}

#[test]
fn the_reader_of_imports_sees_them() {
    let text = "use crate::store::Store;\n// crate::node\nlet x = crate::oprf::blind();\n";
    assert_eq!(
        imports(text),
        [(1, "store".to_owned()), (3, "oprf".to_owned())]
    );
}
