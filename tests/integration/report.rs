//! Reports as people open them: signed, in both languages, and free of barriers; and the watch.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::browser;
use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, ask, search};
use crate::process::{PATIENCE, Said, left_out, run};

async fn after_an_exchange() -> Coalition {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    let answers = search(&coalition, "ua", "UA-1").await;
    let lead = &answers[1].results[0].leads[0].lead;
    let fields = ["current_place", "current_carer"];
    ask(&coalition, lead, &fields, "family_tracing").await;
    coalition
}

async fn audit(coalition: &Coalition, arguments: &[&str]) -> Said {
    let mut command = vec!["--json", "audit"];
    command.extend(arguments);
    run(&coalition.path(OMBUDSMAN), &command).await
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// A report on all members and one on a child, each in both languages.
async fn reports(coalition: &Coalition) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lang in ["en", "uk"] {
        for kind in ["report", "subject"] {
            let folder = coalition.path(OMBUDSMAN).join(format!("{kind}-{lang}"));
            let out = folder.display().to_string();
            let arguments = match kind {
                "report" => vec!["report", "--lang", lang, "--out", &out],
                _ => vec![
                    "subject", "PL-1", "--member", "pl", "--lang", lang, "--out", &out,
                ],
            };
            let said = audit(coalition, &arguments).await;
            assert_eq!(said.code, Some(0), "{said:?}");
            folders.push(folder);
        }
    }
    folders
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_signed_in_both_languages_and_free_of_barriers() {
    let coalition = after_an_exchange().await;
    let folders = reports(&coalition).await;
    for (folder, words) in folders.iter().zip([
        &["The log of PL (pl) is whole", "lookup answered"][..],
        &[
            "UA (ua) looked for this child for tracing the family",
            "current_place",
        ],
        &["Журнал учасника PL (pl) цілий", "відповідь на пошук"],
        &[
            "учасник UA (ua) шукав цю дитину (мета: розшук родини",
            "current_place",
        ],
    ]) {
        let page = text(&folder.join("report.html"));
        let json: Value = serde_json::from_str(&text(&folder.join("report.json"))).unwrap();
        assert_eq!(json["ok"], true, "{json:#}");
        for words in words {
            assert!(page.contains(words), "{words}: {page}");
        }
        // Names of fields, never a value, a name or a reference of the record.
        for personal in ["Lublin", "PL-1", "The family asks"] {
            assert!(!page.contains(personal) && !json.to_string().contains(personal));
        }
        let folder = folder.display().to_string();
        let checked = audit(&coalition, &["verify", "--report", &folder]).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert_eq!(checked.object()["signed_by"], OMBUDSMAN);
    }
    for folder in &folders {
        assert_no_barriers(&folder.join("report.html")).await;
    }

    // A word that was changed afterwards.
    let page = folders[0].join("report.html");
    let changed = text(&page).replace("is whole", "is white");
    std::fs::write(&page, changed).unwrap();
    let folder = folders[0].display().to_string();
    let checked = audit(&coalition, &["verify", "--report", &folder]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert_eq!(checked.object()["error"]["code"], "REPORT_ALTERED");
}

/// Has axe look at a page in Chromium, wide and narrow. Where either cannot be had, says so.
async fn assert_no_barriers(page: &Path) {
    let Some(browser) = browser::program() else {
        left_out(
            "chromium",
            "no Chromium here, so the report was not looked at by axe",
        );
        return;
    };
    let Some(axe) = browser::axe().await else {
        left_out(
            "axe",
            "axe-core could not be fetched, so the report was not looked at by it",
        );
        return;
    };
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(axe, home.path().join("axe.js")).unwrap();
    let html = text(page);
    // The page's own policy lets no script run, which is what a reader gets; axe is one.
    let policy = html
        .find("<meta http-equiv=\"Content-Security-Policy\"")
        .unwrap();
    let end = policy + html[policy..].find('>').unwrap() + 1;
    let open = format!("{}{}", &html[..policy], &html[end..]);
    let looked_at = open.replace(
        "</body>",
        r#"<script src="axe.js"></script><script>
        axe.run(document).then(found => {
            const told = document.createElement("pre");
            told.id = "axe-told";
            told.textContent = JSON.stringify({
                passes: found.passes.length,
                violations: found.violations.map(one => [one.id, one.nodes.map(node => node.html)]),
            });
            document.body.append(told);
        });
        </script></body>"#,
    );
    let file = home.path().join("page.html");
    std::fs::write(&file, looked_at).unwrap();
    for size in ["1280,1000", "360,800"] {
        let profile = home.path().join(size);
        let mut command = Command::new(&browser);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--window-size={size}"))
            .args(["--virtual-time-budget=60000", "--dump-dom"])
            .arg(format!("file://{}", file.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .expect("Chromium did not end")
            .unwrap();
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = dom
            .split("id=\"axe-told\">")
            .nth(1)
            .and_then(|rest| rest.split("</pre>").next())
            .unwrap_or_else(|| panic!("axe told nothing about {}", page.display()));
        let told: Value = serde_json::from_str(
            &told
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&"),
        )
        .unwrap();
        assert!(told["passes"].as_u64() > Some(10), "{told}");
        assert_eq!(
            told["violations"],
            Value::Array(Vec::new()),
            "{size}: {}",
            page.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_raises_the_alarm_once() {
    let mut coalition = after_an_exchange().await;
    let quiet = audit(&coalition, &["watch", "--rounds", "2", "--every", "0"]).await;
    assert_eq!(quiet.code, Some(0), "{quiet:?}");
    assert_eq!(quiet.object()["rounds"], 2);

    // One leaf of a stopped node's database is damaged.
    coalition.stop_node("pl").await;
    crate::audit::damage_a_new_leaf(&coalition, "pl").await;
    coalition.start_node("pl").await;
    let ombudsman = coalition.path(OMBUDSMAN);
    let hook = ombudsman.join("hook");
    let told = ombudsman.join("told.json");
    std::fs::write(&hook, format!("#!/bin/sh\ncat > {}\n", told.display())).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let hook = hook.display().to_string();
    let arguments = ["watch", "--rounds", "3", "--every", "0", "--hook", &hook];
    let alarmed = audit(&coalition, &arguments).await;
    assert_eq!(alarmed.code, Some(1), "{alarmed:?}");
    // One alarm, then the end: the finding stands in every round and is told once.
    let lines: Vec<Value> = alarmed
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{alarmed:?}");
    assert_eq!(lines[0]["alarm"][0]["code"], "DAMAGED_LEAF");
    assert_eq!(lines[1]["rounds"], 3);
    let told: Value = serde_json::from_str(&text(&told)).unwrap();
    assert_eq!(told, lines[0]);

    let mut arguments = vec!["watch", "--exit-on-alarm", "--every", "0"];
    arguments.extend(["--rounds", "9"]);
    let stopped = audit(&coalition, &arguments).await;
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    assert!(stopped.out.contains("\"rounds\":1"), "{stopped:?}");
}
