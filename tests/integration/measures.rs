//! The benchmarks of size and speed run, at a small size, and print the figures that machines rely on.

use std::collections::BTreeMap;

use crate::process;

/// Runs a benchmark and gives its figures by name.
async fn figures(arguments: &[&str]) -> BTreeMap<String, f64> {
    let home = tempfile::tempdir().unwrap();
    let mut command = vec!["bench"];
    command.extend(arguments);
    command.push("--json");
    let said = process::run(home.path(), &command).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(object["bench"], arguments[0]);
    assert!(object["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(!object["method"].as_str().unwrap().is_empty());
    // What it wrote is gone.
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    object["figures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|figure| {
            let name = figure["figure"].as_str().unwrap().to_owned();
            (name, figure["value"].as_f64().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_is_measured_by_the_size_of_the_index() {
    let figures = figures(&["scale", "--count", "10000"]).await;
    let names: Vec<&str> = figures.keys().map(String::as_str).collect();
    assert_eq!(names, ["lookup_us_1e4", "miss_us_1e4"]);
    assert!(figures.values().all(|figure| *figure > 0.0), "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_is_measured_on_its_way() {
    let figures = figures(&["stream", "--count", "60", "--held", "300"]).await;
    for name in ["subjects_per_second", "subjects_per_second_hits30"] {
        assert!(figures[name] > 0.0, "{figures:?}");
    }
    // A subject is 603 octets out and 108 back, and what is said of the whole batch.
    let octets = figures["bytes_per_subject"];
    assert!((711.0..1_000.0).contains(&octets), "{octets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_start_are_measured() {
    let figures = figures(&["memory", "--count", "3000"]).await;
    assert!(figures["idle_rss_mib"] > figures["idle_anonymous_mib"]);
    assert!(figures["million_records_rss_mib"] >= figures["after_rebuild_anonymous_mib"]);
    assert!(figures["ready_ms"] > 0.0);
    // 48,000 tokens in 256 parts: about 190 each, which a fuse filter takes more than 20 bits for.
    let bits = figures["filter_bits_per_token"];
    assert!((18.0..60.0).contains(&bits), "{bits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_is_measured_against_its_arithmetic() {
    let alone = figures(&["oprf", "--count", "1"]).await;
    for name in ["client_us", "blind_us", "combine_us"] {
        assert!(alone[name] > 0.0, "{alone:?}");
    }
    let whole = figures(&["enrol", "--count", "60"]).await;
    assert!(whole["tokens"] > 60.0 * 5.0, "{whole:?}");
    for name in ["client_us_per_token", "keyholder_us_per_token"] {
        assert!(whole[name] > 0.0, "{whole:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_children_are_found_among_the_records_of_a_peer() {
    let figures = figures(&["peers", "--count", "40", "--held", "400"]).await;
    assert!(figures["ours_ask_ms"] > 0.0);
    assert!(figures["ours_bytes"] > 40.0 * 711.0, "{figures:?}");
}
