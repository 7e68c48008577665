//! `wayhome demo --story ombudsman`: a node that lies is caught, and the proof is on the screen.

use crate::demo::small_registers;
use crate::process::{finish, wayhome};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lies_is_caught_with_proof() {
    let home = tempfile::tempdir().unwrap();
    let (coalition, registers) = (home.path().join("coalition"), home.path().join("registers"));
    small_registers(&registers, &[]);
    let story = |json: bool| {
        let mut command = wayhome(&coalition);
        if json {
            command.arg("--json");
        }
        command.args(["demo", "--story", "ombudsman", "--registers"]);
        command.arg(&registers);
        command
    };
    let said = finish(&mut story(true)).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let outcome = said.object();
    assert_eq!(outcome["ok"], true, "{outcome:#}");
    let liar = outcome["liar"].as_str().unwrap();
    assert_ne!(liar, "ua");
    let caught = outcome["caught"].as_array().unwrap();
    assert!(
        caught
            .iter()
            .any(|finding| finding["member"] == liar && finding["code"] == "CUT_BACK"),
        "{caught:#?}"
    );
    assert!(outcome["proved_offline"].as_u64() > Some(5));

    let told = finish(&mut story(false)).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    // What the node signed before is on the screen, with its signature.
    let signatures = told.out.lines().filter(|line| line.trim().starts_with('—'));
    assert!(signatures.count() >= 1, "{}", told.out);
    assert!(told.out.contains("it was cut back"), "{}", told.out);
}
