//! The command line: what it says to mistakes, to people and to machines.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::coalition::Coalition;
use crate::process::{NodeProcess, Said, run};

/// Runs a command that must fail, with and without `--json`; checks what machines and people are
/// told, and returns the latter.
async fn fails(directory: &Path, arguments: &[&str], exit: i32, code: &str) -> String {
    let plain = run(directory, arguments).await;
    assert_eq!(plain.code, Some(exit), "{arguments:?}: {plain:?}");
    assert_eq!(plain.out, "", "{arguments:?}");
    let message = plain
        .err
        .lines()
        .find_map(|line| line.strip_prefix("error: "))
        .unwrap_or_else(|| panic!("{arguments:?}: no line begins with `error: `: {plain:?}"))
        .to_owned();
    let with_json: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
    let said = run(directory, &with_json).await;
    assert_eq!(said.code, Some(exit), "{arguments:?}: {said:?}");
    let object = said.object();
    assert_eq!(object["ok"], false, "{arguments:?}");
    assert_eq!(object["error"]["code"], code, "{arguments:?}: {object}");
    assert!(!object["error"]["message"].as_str().unwrap().is_empty());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_ends_with_2_and_says_what_is_right() {
    let directory = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 12] = [
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["serch"], "'search'"),
        (&["init"], "--member"),
        (
            &["init", "--member", "ua", "--name", "Ukraine"],
            "--organisation",
        ),
        (
            &[
                "init",
                "--member",
                "U A",
                "--name",
                "Ukraine",
                "--organisation",
                "M",
            ],
            "--member",
        ),
        (&["records", "import"], "<FILE>"),
        (&["records", "import", "x.csv", "--on-error", "cry"], "stop"),
        (&["records", "list", "--limit", "0"], "--limit"),
        (&["records", "list", "--limit", "1001"], "--limit"),
        (&["search"], "--record"),
        (
            &["search", "--record", "A1", "--purpose", "curiosity"],
            "--purpose",
        ),
        (&["disclose", "pl:00"], "--fields"),
    ];
    for (arguments, remedy) in cases {
        let said = run(directory.path(), arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(
            said.err.starts_with("error: "),
            "{arguments:?}: {}",
            said.err
        );
        assert!(said.err.contains(remedy), "{arguments:?}: {}", said.err);
        assert!(said.err.contains("--help"), "{arguments:?}: {}", said.err);
        assert_eq!(said.out, "", "{arguments:?}");
        // Machines get an object for this, too.
        let with_json: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        let said = run(directory.path(), &with_json).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        let object = said.object();
        assert_eq!(
            (&object["ok"], &object["error"]["code"]),
            (&json!(false), &json!("USAGE")),
            "{arguments:?}"
        );
        let message = object["error"]["message"].as_str().unwrap();
        assert!(
            said.err
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains(message)
        );
        assert!(
            !message.is_empty() && !message.contains("Usage"),
            "{message}"
        );
    }
    // No command at all: the list of commands.
    let said = run(directory.path(), &[]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("Usage: wayhome"), "{}", said.err);
    // Asking for help is no mistake.
    for arguments in [&["--help"][..], &["records", "--help"], &["--version"]] {
        let said = run(directory.path(), arguments).await;
        assert_eq!(
            (said.code, said.err.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_run_is_said_so() {
    let coalition = Coalition::found(|_| {});
    let directory = coalition.path("ua");
    let register = directory.join("register.csv");
    std::fs::write(&register, "record_ref,family_name\nA1,B\n").unwrap();
    let commands: [&[&str]; 8] = [
        &["status"],
        &["records", "list"],
        &["records", "show", "A1"],
        &["records", "publish"],
        &["records", "erase", "A1", "--yes"],
        &["records", "import", register.to_str().unwrap()],
        &["search", "--record", "A1"],
        &[
            "disclose",
            "pl:00",
            "--fields",
            "status",
            "--justification",
            "x",
        ],
    ];
    for arguments in commands {
        let message = fails(&directory, arguments, 1, "NODE_NOT_RUNNING").await;
        assert!(message.contains("no node is running"), "{message}");
        assert!(message.contains("run`"), "no remedy: {message}");
    }
    // A socket that a killed node left behind is no node.
    let node = NodeProcess::start(&directory).await;
    node.kill().await;
    assert!(directory.join("operator.sock").exists());
    fails(&directory, &["status"], 1, "NODE_NOT_RUNNING").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_is_made_once_and_its_keys_are_its_own() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("ua");
    let arguments = [
        "init",
        "--member",
        "ua",
        "--name",
        "Ukraine",
        "--organisation",
        "Ministry",
        "--keyholder",
        "1",
    ];
    let with_json: Vec<&str> = ["--json"].iter().chain(&arguments).copied().collect();
    let said = run(&directory, &with_json).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(
        (&object["ok"], &object["member"]),
        (&json!(true), &json!("ua"))
    );
    let written = std::fs::read_to_string(directory.join("member.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(object["entry"], written);
    assert_eq!(written["roles"]["keyholder"]["identifier"], 1);

    let keys = || -> BTreeMap<String, Vec<u8>> {
        std::fs::read_dir(directory.join("keys"))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let mode = std::fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{}", path.display());
                (path.display().to_string(), std::fs::read(&path).unwrap())
            })
            .collect()
    };
    let made = keys();
    assert_eq!(made.len(), 10);
    // What is public holds nothing of what is secret.
    for (path, secret) in &made {
        if !path.ends_with("tls.crt") {
            let secret = String::from_utf8(secret.clone()).unwrap();
            let secret = secret.lines().max_by_key(|line| line.len()).unwrap();
            assert!(!written.to_string().contains(secret), "{path}");
        }
    }
    let message = fails(&directory, &arguments, 2, "ALREADY_THERE").await;
    assert!(message.contains("give another one with --dir"), "{message}");
    assert_eq!(keys(), made, "keys were written over");
    // Not even where the configuration was lost.
    std::fs::remove_file(directory.join("node.toml")).unwrap();
    let said = run(&directory, &arguments).await;
    assert_ne!(said.code, Some(0));
    assert_eq!(keys(), made, "keys were written over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_start_says_why() {
    let nobody = tempfile::tempdir().unwrap();
    let message = fails(nobody.path(), &["run"], 1, "CONFIG").await;
    assert!(message.contains("wayhome init"), "{message}");

    let coalition = Coalition::found(|_| {});
    let node = NodeProcess::start(&coalition.path("ua")).await;
    let message = fails(&coalition.path("ua"), &["run"], 1, "NODE").await;
    assert!(
        message.contains("another process runs this node"),
        "{message}"
    );
    assert!(node.stop().await.success());

    let config = coalition.path("ua").join("node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let wrong = format!("{text}databse = \"sqlite:wayhome.db\"\n");
    std::fs::write(&config, wrong).unwrap();
    let message = fails(&coalition.path("ua"), &["run"], 1, "CONFIG").await;
    assert!(
        message.contains("node.toml: TOML parse error at line"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_found_and_told_of_at_the_command_line() {
    let coalition = Coalition::start().await;
    let (ua, pl) = (coalition.path("ua"), coalition.path("pl"));
    let ok = |said: Said| {
        assert_eq!(said.code, Some(0), "{said:?}");
        said
    };
    let columns = "record_ref,family_name,given_name,date_of_birth,place_of_birth,consent";
    for (directory, more, row) in [
        (
            &ua,
            "",
            "UA-1,Ковальчук,Олександр,2014-05-03,Маріуполь,tracing",
        ),
        (
            &pl,
            ",current_place",
            "PL-1,Kowalczuk,Aleksander,2014-05-03,Mariupol,tracing,Lublin",
        ),
    ] {
        let register = directory.join("register.csv");
        std::fs::write(&register, format!("{columns}{more}\n{row}\n")).unwrap();
        ok(run(
            directory,
            &["records", "import", register.to_str().unwrap()],
        )
        .await);
        ok(run(directory, &["records", "publish"]).await);
    }
    let found = ok(run(&ua, &["--json", "search", "--record", "UA-1"]).await).object();
    let answers = found["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["member"], "de");
    assert_eq!(answers[0]["results"][0]["grade"], "NO_MATCH");
    assert_eq!(answers[1]["results"][0]["grade"], "MATCH");
    let lead = answers[1]["results"][0]["leads"][0]["lead"]
        .as_str()
        .unwrap();
    let said = ok(run(&ua, &["search", "--record", "UA-1"]).await);
    assert!(said.out.contains("pl: UA-1: MATCH") && said.out.contains("de: UA-1: NO_MATCH"));
    // A child that is in no register, described in a file.
    let described = ua.join("described.csv");
    std::fs::write(
        &described,
        format!("{columns}\nX,Ковальчук,Саша,2014-05-03,Маріуполь,\n"),
    )
    .unwrap();
    let input = [
        "--json",
        "search",
        "--input",
        described.to_str().unwrap(),
        "--at",
        "pl",
    ];
    let found = ok(run(&ua, &input).await).object();
    assert_eq!(found["answers"].as_array().unwrap().len(), 1);
    assert_eq!(found["answers"][0]["results"][0]["grade"], "MATCH");

    let ask = |fields| {
        [
            "disclose",
            lead,
            "--fields",
            fields,
            "--justification",
            "The family asks.",
        ]
    };
    let said = ok(run(&ua, &ask("current_place,note")).await);
    assert!(
        said.out.contains("current_place: Lublin\nnote: withheld\n"),
        "{}",
        said.out
    );
    let with_json: Vec<&str> = ["--json"]
        .into_iter()
        .chain(ask("current_place,note"))
        .collect();
    let told = ok(run(&ua, &with_json).await).object();
    assert_eq!(told["granted"], json!({"current_place": "Lublin"}));
    assert_eq!(told["withheld"], json!(["note"]));

    // Mistakes along the way, each with its code.
    let unknown_field = ask("shoe_size");
    let other_lead = format!("pl:{}", "0".repeat(32));
    let foreign = [
        "disclose",
        &other_lead,
        "--fields",
        "note",
        "--justification",
        "x",
    ];
    let nobody = [
        "disclose",
        "fr:00",
        "--fields",
        "note",
        "--justification",
        "x",
    ];
    let cases: [(&[&str], i32, &str); 9] = [
        (&["records", "show", "UA-9"], 1, "NO_SUCH_RECORD"),
        (&["records", "erase", "UA-9", "--yes"], 1, "NO_SUCH_RECORD"),
        (&["records", "erase", "UA-1"], 2, "NOT_CONFIRMED"),
        (&["records", "list", "--after", "UA-9"], 1, "NO_SUCH_RECORD"),
        (&["search", "--record", "UA-9"], 1, "NO_SUCH_RECORD"),
        (
            &["search", "--record", "UA-1", "--at", "fr"],
            2,
            "UNKNOWN_MEMBER",
        ),
        (
            &["search", "--record", "UA-1", "--case", "a boy"],
            2,
            "CASE_REFERENCE",
        ),
        (&unknown_field, 2, "UNKNOWN_FIELD"),
        (&foreign, 1, "LEAD_UNKNOWN"),
    ];
    for (arguments, exit, code) in cases {
        fails(&ua, arguments, exit, code).await;
    }
    let said = run(&ua, &nobody).await;
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_answer_is_named_and_the_rest_stands() {
    let mut coalition = Coalition::start().await;
    let ua = coalition.path("ua");
    let register = ua.join("register.csv");
    std::fs::write(
        &register,
        "record_ref,family_name,given_name,date_of_birth,place_of_birth,consent\n\
         UA-1,Ковальчук,Олександр,2014-05-03,Маріуполь,tracing\n",
    )
    .unwrap();
    for arguments in [
        &["records", "import", register.to_str().unwrap()][..],
        &["records", "publish"],
    ] {
        assert_eq!(run(&ua, arguments).await.code, Some(0));
    }
    coalition.stop_node("de").await;
    let said = run(&ua, &["--json", "search", "--record", "UA-1"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let object = said.object();
    assert_eq!(
        (&object["ok"], &object["error"]["code"]),
        (&json!(false), &json!("SOME_MEMBERS_SILENT"))
    );
    assert!(!object["answers"][0]["error"].is_null());
    assert_eq!(object["answers"][1]["member"], "pl");
    assert_eq!(object["answers"][1]["results"][0]["grade"], "NO_MATCH");
}
