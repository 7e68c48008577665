//! The benchmarks run, and print what machines rely on.

use serde_json::Value;

use crate::process;

/// A figure that a benchmark printed.
fn figure<'a>(object: &'a Value, name: &str) -> &'a Value {
    let figures = object["figures"].as_array().unwrap();
    let found = figures.iter().find(|figure| figure["figure"] == name);
    found.unwrap_or_else(|| panic!("no figure {name}: {object}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_hit_cannot_be_told_from_a_miss() {
    let home = tempfile::tempdir().unwrap();
    let said = process::run(
        home.path(),
        &["bench", "oracle", "--count", "240", "--json"],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(object["bench"], "oracle");
    assert!(object["machine"]["cores"].as_u64().unwrap() > 0);
    let figure = |name: &str| figure(&object, name);
    assert_eq!(figure("lookups")["value"], 240.0);
    let t = figure("welch_t")["value"].as_f64().unwrap();
    assert!(t.abs() < 4.5, "{t}: {object}");
    // One size, whatever was found and however long the log has grown.
    assert_eq!(figure("largest_answer_bytes")["ratio"], 1.0, "{object}");
    // No answer leaves before its tick.
    for kind in ["miss_median_ms", "silent_median_ms", "hit_median_ms"] {
        assert!(figure(kind)["value"].as_f64().unwrap() > 24.0, "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_the_console_are_measured() {
    let home = tempfile::tempdir().unwrap();
    let said = process::run(
        home.path(),
        &["bench", "console", "--count", "120", "--json"],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    let figure = |name: &str| figure(&object, name)["value"].as_f64().unwrap();
    // Nine pages, the next one of the register, and one record of it.
    assert_eq!((figure("pages"), figure("records")), (11.0, 120.0));
    assert!(
        figure("p95_ms") > 0.0 && figure("p95_ms") >= figure("median_ms"),
        "{object}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_leaf_is_found_while_a_log_is_measured() {
    let home = tempfile::tempdir().unwrap();
    let said = process::run(home.path(), &["bench", "log", "--count", "3000", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    for name in [
        "durable_appends_per_second",
        "verified_leaves_per_second",
        "cold_verification_s",
        "new_thousand_ms",
        "altered_leaf_found_ms",
    ] {
        figure(&object, name);
    }
}

#[tokio::test]
async fn a_benchmark_that_does_not_exist_is_refused_with_those_that_do() {
    let home = tempfile::tempdir().unwrap();
    let said = process::run(home.path(), &["bench", "speed", "--json"]).await;
    assert_eq!(said.code, Some(2));
    assert_eq!(said.object()["error"]["code"], "UNKNOWN_BENCH");
    assert!(said.err.contains("oracle"), "{}", said.err);
    let said = process::run(home.path(), &["bench", "oracle", "--count", "1"]).await;
    assert_eq!(said.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_are_measured_beside_a_bare_echo_on_either_database() {
    for database in ["sqlite", "postgres"] {
        let home = tempfile::tempdir().unwrap();
        let said = process::run(
            home.path(),
            &[
                "bench",
                "lookup",
                "--count",
                "64",
                "--database",
                database,
                "--json",
            ],
        )
        .await;
        // That every lookup was answered rightly, and left its leaves, it checks by itself.
        assert_eq!(said.code, Some(0), "{said:?}");
        let object = said.object();
        let figure = |name: &str| figure(&object, name);
        for kind in ["", "_hits30"] {
            let rate = figure(&format!("signed_lookups_per_second{kind}"));
            assert_eq!(rate["reference"], "bare mTLS echo");
            let ratio = rate["ratio"].as_f64().unwrap();
            assert!(ratio > 0.0 && ratio < 1.0, "{object}");
            // No answer leaves before its tick.
            let [half, most] = ["p50_ms", "p99_ms"]
                .map(|name| figure(&format!("{name}{kind}"))["value"].as_f64().unwrap());
            assert!(half > 9.0 && most >= half, "{object}");
        }
    }
}
