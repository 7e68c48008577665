//! Evidence in one file: whole, it proves without a node; altered anywhere, it says where.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::{Value, json};
use wayhome::audit::bundle::{Anchors, check};
use wayhome::envelope::{Cosigner, KeyName, NoteSigner, SigningKey};
use wayhome::exchange::message::Payload as _;
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::Act;
use wayhome::proto::operator::EraseRecordRequest;
use wayhome::proto::operator::record_service_client::RecordServiceClient;
use wayhome::tlog::SignedCheckpoint;

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, ask, search};
use crate::forge::{LateClock, sign_bytes};
use crate::process::{Said, run};

const HOLDER: &str = "pl";

async fn after_an_exchange() -> Coalition {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import(HOLDER, &[ABROAD]).await;
    find_and_ask(&coalition).await;
    coalition
}

async fn find_and_ask(coalition: &Coalition) {
    let answers = search(coalition, "ua", "UA-1").await;
    let lead = &answers[1].results[0].leads[0].lead;
    let fields = ["current_place"];
    ask(coalition, lead, &fields, "family_tracing").await;
}

/// A bundle that the ombudsman has made, as a file.
struct Bundle<'a> {
    coalition: &'a Coalition,
    file: PathBuf,
    sound: Value,
}

impl<'a> Bundle<'a> {
    async fn make(coalition: &'a Coalition, arguments: &[&str]) -> Self {
        let file = coalition.path(OMBUDSMAN).join("bundle.json");
        let mut command = vec!["--json", "audit", "bundle", "--out", file.to_str().unwrap()];
        command.extend(arguments);
        let said = run(&coalition.path(OMBUDSMAN), &command).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let sound = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        Self {
            coalition,
            file,
            sound,
        }
    }

    /// Checks what is left after a change, in a directory that knows nothing but the root.
    async fn verify(&self, change: impl FnOnce(&mut Value)) -> Said {
        self.verify_in(&self.stranger(), &[], change).await
    }

    async fn verify_in(
        &self,
        directory: &Path,
        more: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Said {
        let mut bundle = self.sound.clone();
        change(&mut bundle);
        std::fs::write(&self.file, bundle.to_string()).unwrap();
        let mut command = vec!["--json", "audit", "verify", "--bundle"];
        command.push(self.file.to_str().unwrap());
        command.extend(more);
        run(directory, &command).await
    }

    /// A directory of somebody who has the coalition's root and nothing else.
    fn stranger(&self) -> PathBuf {
        let directory = self.coalition.path("stranger");
        std::fs::create_dir_all(&directory).unwrap();
        let root = self.coalition.path("ua").join("root.note");
        std::fs::copy(root, directory.join("root.note")).unwrap();
        directory
    }

    /// The place of the leaf of an act.
    fn leaf_of(&self, act: Act) -> usize {
        let leaves = self.sound["logs"][0]["leaves"].as_array().unwrap();
        let found = leaves.iter().position(|leaf| entry(leaf).act() == act);
        found.unwrap()
    }
}

fn entry(leaf: &Value) -> pb::LogEntry {
    let octets = STANDARD.decode(leaf["leaf"].as_str().unwrap()).unwrap();
    pb::LogEntry::decode(octets.as_slice()).unwrap()
}

fn leaves(bundle: &mut Value) -> &mut Vec<Value> {
    bundle["logs"][0]["leaves"].as_array_mut().unwrap()
}

/// What was found, with its place.
fn found(said: &Said) -> Vec<(String, Option<u64>, String)> {
    assert_eq!(said.code, Some(1), "{said:?}");
    let object = said.object();
    assert_eq!(object["ok"], false);
    let within = object["logs"].as_array().unwrap().iter();
    let within = within.flat_map(|log| log["findings"].as_array().unwrap());
    let between = object["story"]["between"].as_array().into_iter().flatten();
    within
        .chain(between)
        .map(|finding| {
            (
                finding["code"].as_str().unwrap().to_owned(),
                finding["leaf_index"].as_u64(),
                finding["place"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn assert_found(said: &Said, code: &str, leaf: Option<u64>) {
    let found = found(said);
    assert!(
        found.iter().any(|(is, at, _)| is == code && *at == leaf),
        "{code} at {leaf:?} is not among {found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_altered_in_a_bundle_is_named_to_the_leaf() {
    let coalition = after_an_exchange().await;
    let bundle = Bundle::make(&coalition, &[HOLDER]).await;
    let sound = bundle.verify(|_| {}).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    let told = bundle.leaf_of(Act::DisclosureAnswered);
    let at = Some(told as u64);
    let size = bundle.sound["logs"][0]["leaves"].as_array().unwrap().len();

    let edited = bundle
        .verify(|bundle| {
            let leaf = &mut leaves(bundle)[told];
            let mut entry = entry(leaf);
            entry.purpose = pb::Purpose::Reunification.into();
            leaf["leaf"] = STANDARD.encode(entry.encode_to_vec()).into();
        })
        .await;
    assert_found(&edited, "ALTERED_LEAF", at);

    let deleted = bundle
        .verify(|bundle| {
            leaves(bundle).remove(told);
        })
        .await;
    assert_found(&deleted, "LEAF_MISSING", at);

    let inserted = bundle
        .verify(|bundle| {
            let again = leaves(bundle)[told].clone();
            leaves(bundle).insert(told + 1, again);
        })
        .await;
    assert_found(&inserted, "LEAF_MOVED", at);
    let shifted = bundle
        .verify(|bundle| {
            let again = leaves(bundle)[told].clone();
            leaves(bundle).insert(told, again);
            for (index, leaf) in leaves(bundle).iter_mut().enumerate() {
                leaf["index"] = json!(index);
            }
        })
        .await;
    assert_found(&shifted, "BAD_PROOF", Some(told as u64 + 1));
    assert_found(&shifted, "LEAF_ADDED", Some(size as u64));

    let swapped = bundle
        .verify(|bundle| leaves(bundle).swap(told, told + 1))
        .await;
    assert_found(&swapped, "LEAF_MOVED", at);

    let truncated = bundle
        .verify(|bundle| {
            leaves(bundle).pop();
        })
        .await;
    assert_found(&truncated, "CUT_BACK", None);

    let without_receipt = bundle
        .verify(|bundle| {
            let leaf = &mut leaves(bundle)[told];
            let octets = STANDARD.decode(leaf["answer"].as_str().unwrap()).unwrap();
            let message = pb::SignedMessage::decode(octets.as_slice()).unwrap();
            let envelope = message.envelope.unwrap();
            let mut answer = pb::DisclosureAnswer::decode(envelope.payload.as_slice()).unwrap();
            answer.receipt = None;
            let key = &coalition.identity(HOLDER).signing;
            let kind = pb::DisclosureAnswer::TYPE;
            let signed = sign_bytes(kind, answer.encode_to_vec(), key, message.items);
            leaf["answer"] = STANDARD.encode(signed.encode_to_vec()).into();
        })
        .await;
    assert_found(&without_receipt, "BAD_RECEIPT", at);
    assert!(
        found(&without_receipt)
            .iter()
            .any(|(.., place)| place == "answer")
    );

    let wrong_key = bundle
        .verify(|bundle| {
            let note = bundle["logs"][0]["checkpoints"][0].as_str().unwrap();
            let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
            let checkpoint = signed.unverified().clone();
            let key = SigningKey::from_seed(&[9; 32]);
            let signer = NoteSigner::new(checkpoint.origin().clone(), key);
            let forged = checkpoint.sign(&signer).unwrap().to_string();
            bundle["logs"][0]["checkpoints"][0] = forged.into();
        })
        .await;
    assert_found(&wrong_key, "BAD_CHECKPOINT", None);

    // A bundle of one leaf proves as much of that leaf.
    let leaf = told.to_string();
    let one = Bundle::make(&coalition, &[HOLDER, "--leaf", &leaf]).await;
    let sound = one.verify(|_| {}).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    let edited = one
        .verify(|bundle| {
            // Before it stand the roster and the policy that were in force then.
            let leaf = leaves(bundle).last_mut().unwrap();
            let mut entry = entry(leaf);
            entry.time_ms += 1;
            leaf["leaf"] = STANDARD.encode(entry.encode_to_vec()).into();
        })
        .await;
    assert_found(&edited, "ALTERED_LEAF", at);

    // Under another root nothing of it counts.
    let directory = bundle.stranger();
    std::fs::write(directory.join("other.note"), foreign_root()).unwrap();
    let other = directory.join("other.note").display().to_string();
    let foreign = bundle
        .verify_in(&directory, &["--root", &other], |_| {})
        .await;
    assert_eq!(foreign.code, Some(1), "{foreign:?}");
    assert_eq!(foreign.object()["error"]["code"], "BUNDLE_NO_ROSTER");
}

/// The root of another coalition.
fn foreign_root() -> String {
    let other = Coalition::found(|_| {});
    std::fs::read_to_string(other.path("ua").join("root.note")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_holds_against_another_is_told_by_its_bundle_too() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import(HOLDER, &[ABROAD]).await;
    coalition.misstate_log("ua", HOLDER).await;
    search(&coalition, "ua", "UA-1").await;
    let kept = coalition.leaves("ua", 0).await;
    let mut kept = kept.iter();
    let index = kept.position(|leaf| leaf.act() == Act::WrongAnswer);
    let index = index.unwrap().to_string();
    for arguments in [&["ua"][..], &["ua", "--leaf", &index]] {
        let bundle = Bundle::make(&coalition, arguments).await;
        let said = bundle.verify(|_| {}).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        let object = said.object();
        let log = &object["logs"][0];
        assert_eq!(log["verified"], true, "Ukraine's own log holds: {log:#}");
        assert_eq!(log["reported"].as_array().map(Vec::len), Some(1), "{log:#}");
        assert_eq!(log["reported"][0]["member"], HOLDER);
        assert_eq!(log["reported"][0]["code"], "WRONG_ANSWER");
        let file = bundle.file.to_str().unwrap();
        let for_people = run(&bundle.stranger(), &["audit", "verify", "--bundle", file]).await;
        assert!(for_people.out.contains("It reports: "), "{for_people:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_are_counted_and_strangers_named() {
    let coalition = after_an_exchange().await;
    let bundle = Bundle::make(&coalition, &[HOLDER]).await;
    let cosigner = Cosigner::new(
        KeyName::new("witness.example").unwrap(),
        SigningKey::from_seed(&[8; 32]),
    );
    let cosign = |bundle: &mut Value, text: Option<&str>| {
        let note = bundle["logs"][0]["checkpoints"][0].as_str().unwrap();
        let mut signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
        let stated = signed.unverified().to_string();
        let line = cosigner.cosign(text.unwrap_or(&stated), 1_790_000_000);
        signed.add_cosignature(line.unwrap()).unwrap();
        bundle["logs"][0]["checkpoints"][0] = signed.to_string().into();
    };
    let stranger = bundle.verify(|bundle| cosign(bundle, None)).await;
    assert_found(&stranger, "UNKNOWN_WITNESS", None);

    let directory = bundle.stranger();
    let vkey = cosigner.note_key().to_string();
    let policy = ["--witness", &vkey, "--quorum", "1"];
    let known = bundle
        .verify_in(&directory, &policy, |bundle| cosign(bundle, None))
        .await;
    assert_eq!(known.code, Some(0), "{known:?}");
    assert_eq!(known.object()["logs"][0]["cosigned"][0], "witness.example");
    let nobody = bundle.verify_in(&directory, &policy, |_| {}).await;
    assert_found(&nobody, "TOO_FEW_WITNESSES", None);
    let another = bundle
        .verify_in(&directory, &policy, |bundle| {
            cosign(bundle, Some("pl.example/log\n1\nAAAA\n"));
        })
        .await;
    assert_found(&another, "BAD_COSIGNATURE", None);
    // What the witnesses of another tree saw says nothing of a leaf that is proved in this one.
    let one = Bundle::make(&coalition, &[HOLDER, "--leaf", "1"]).await;
    let elsewhere = one
        .verify_in(&directory, &policy, |one| {
            let mut earlier = bundle.sound.clone();
            cosign(&mut earlier, None);
            let seen = earlier["logs"][0]["checkpoints"][0].take();
            one["logs"][0]["checkpoints"]
                .as_array_mut()
                .unwrap()
                .push(seen);
        })
        .await;
    assert_found(&elsewhere, "TOO_FEW_WITNESSES", None);
    // The same policy holds for a node.
    let mut command = vec!["--json", "audit", "verify", HOLDER];
    command.extend(policy);
    let said = run(&coalition.path(OMBUDSMAN), &command).await;
    assert_found(&said, "TOO_FEW_WITNESSES", None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_log_has_its_quorum_and_its_unseen_leaves_grow_late() {
    let coalition = Coalition::start_witnessing().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import(HOLDER, &[ABROAD]).await;
    find_and_ask(&coalition).await;
    let check = run(&coalition.path(HOLDER), &["--json", "log", "check"]).await;
    assert_eq!(check.object()["cosignatures"], 2, "{check:?}");

    let verify = ["--json", "audit", "verify", HOLDER, "--quorum", "2"];
    let said = run(&coalition.path(OMBUDSMAN), &verify).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let log = &said.object()["logs"][0];
    assert_eq!(log["cosigned"].as_array().unwrap().len(), 2);
    let (size, leaves) = (&log["cosigned_leaves"], &log["leaves"]);
    assert!(size.as_u64() > Some(0) && size.as_u64() < leaves.as_u64());
    let said = run(
        &coalition.path(OMBUDSMAN),
        &["--json", "audit", "verify", HOLDER, "--quorum", "3"],
    )
    .await;
    assert_found(&said, "TOO_FEW_WITNESSES", None);

    // So has a whole log in a file, whose last leaf is the request for it.
    let bundle = Bundle::make(&coalition, &[HOLDER]).await;
    let quorum = ["--quorum", "2"];
    let said = bundle.verify_in(&bundle.stranger(), &quorum, |_| {}).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let size = said.object()["logs"][0]["cosigned_leaves"].as_u64();
    // Had it been made later, that leaf would have been seen by then.
    let late = bundle
        .verify_in(&bundle.stranger(), &quorum, |bundle| {
            bundle["made_at"] = json!("2099-01-01T00:00:00Z");
        })
        .await;
    assert_found(&late, "NOT_COSIGNED", size);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_that_speaks_of_leaves_without_end_is_refused() {
    let coalition = after_an_exchange().await;
    let whole = Bundle::make(&coalition, &[HOLDER]).await;
    for index in [1_000_000_000_000, u64::MAX] {
        let said = whole
            .verify(|bundle| {
                leaves(bundle).truncate(1);
                leaves(bundle)[0]["index"] = json!(index);
            })
            .await;
        assert_eq!(said.object()["error"]["code"], "BUNDLE_UNREADABLE");
    }
    let one = Bundle::make(&coalition, &[HOLDER, "--leaf", "1"]).await;
    let said = one
        .verify(|bundle| leaves(bundle)[0]["index"] = json!(u64::MAX))
        .await;
    assert_found(&said, "LEAF_ADDED", Some(u64::MAX));
    let said = one
        .verify(|bundle| {
            bundle["logs"][0]["checkpoints"] = json!([]);
            leaves(bundle)[0]["index"] = json!(u64::MAX);
        })
        .await;
    assert_found(&said, "LEAF_ADDED", Some(u64::MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_query_a_rollback_and_a_fork_show_without_any_node() {
    // What is denied has to lie longer back than a message is valid: of anything newer a file cannot
    // tell whether it was read before.
    let (clock, ambient) = LateClock::behind_ms(12 * 60_000);
    let mut coalition = Coalition::start_at(ambient, |_| {}).await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import(HOLDER, &[ABROAD]).await;
    let (ua, pl) = (
        taken(&mut coalition, "ua").await,
        taken(&mut coalition, HOLDER).await,
    );
    find_and_ask(&coalition).await;
    clock.catch_up();
    let ombudsman = coalition.path(OMBUDSMAN);
    let said = run(&ombudsman, &["--json", "audit", "verify", HOLDER]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let before = said.object()["logs"][0]["leaves"].as_u64().unwrap();

    // Ukraine's node forgets that it asked; Poland's answer tells of it.
    put_back(&mut coalition, "ua", &ua).await;
    let bundle = Bundle::make(&coalition, &["ua", HOLDER]).await;
    let denied = bundle.verify(|_| {}).await;
    assert_found(&denied, "QUERY_DENIED", None);
    // The leaf that tells of it stands in Poland's log, and is named.
    let object = denied.object();
    let between = object["story"]["between"].as_array().unwrap();
    let denial = between
        .iter()
        .find(|found| found["code"] == "QUERY_DENIED")
        .unwrap();
    assert_eq!(denial["member"], "ua");
    let held_by = &denial["held_by"];
    assert_eq!(held_by["member"], HOLDER);
    let at = held_by["leaf_index"].as_u64().unwrap();
    let leaf = coalition.leaves(HOLDER, at).await.remove(0);
    assert!(leaf.peer == "ua" && !leaf.query_digest.is_empty());

    // Poland's node forgets that it answered: the ombudsman remembers how long its log was.
    put_back(&mut coalition, HOLDER, &pl).await;
    let bundle = Bundle::make(&coalition, &[HOLDER]).await;
    let rolled_back = bundle.verify_in(&ombudsman, &[], |_| {}).await;
    assert_found(&rolled_back, "CUT_BACK", None);
    // The checkpoint of before is in the bundle as well: a stranger is told the same.
    assert_found(&bundle.verify(|_| {}).await, "CUT_BACK", None);

    // Grown past that size again, it is another history.
    for _ in 0..before {
        Bundle::make(&coalition, &[HOLDER]).await;
    }
    let bundle = Bundle::make(&coalition, &[HOLDER]).await;
    let forked = bundle.verify(|_| {}).await;
    assert_found(&forked, "FORKED", None);
    let object = forked.object();
    let proof = object["logs"][0]["findings"][0]["proof"].as_array();
    assert_eq!(proof.map(Vec::len), Some(2), "{object:#}");

    // A single leaf of it as well, which says nothing of the others.
    let one = Bundle::make(&coalition, &[HOLDER, "--leaf", "1"]).await;
    assert_found(&one.verify(|_| {}).await, "FORKED", None);
    let without = one
        .verify(|bundle| bundle["logs"][0]["growth"] = json!([]))
        .await;
    assert_found(&without, "BAD_PROOF", None);
    // Where the file does not speak of what the reader has seen, the reader is told so.
    let silent = one
        .verify_in(&ombudsman, &[], |bundle| {
            bundle["logs"][0]["growth"] = json!([]);
            let checkpoints = bundle["logs"][0]["checkpoints"].as_array_mut().unwrap();
            checkpoints.truncate(1);
        })
        .await;
    assert_eq!(silent.code, Some(0), "{silent:?}");
    assert_eq!(silent.object()["logs"][0]["unheld"], true);
    // Two parts of one log could tell two histories.
    let doubled = one
        .verify(|bundle| {
            let again = bundle["logs"][0].clone();
            bundle["logs"].as_array_mut().unwrap().push(again);
        })
        .await;
    assert_eq!(doubled.object()["error"]["code"], "BUNDLE_UNREADABLE");
}

fn part_of<'a>(bundle: &'a mut Value, member: &str) -> &'a mut Value {
    let mut parts = bundle["logs"].as_array_mut().unwrap().iter_mut();
    parts.find(|part| part["member"] == member).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_were_read_at_other_times_accuse_nobody() {
    let (clock, ambient) = LateClock::behind_ms(12 * 60_000);
    let coalition = Coalition::start_at(ambient, |_| {}).await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import(HOLDER, &[ABROAD]).await;
    clock.catch_up();
    let mut before = Bundle::make(&coalition, &["ua", HOLDER]).await.sound;
    find_and_ask(&coalition).await;
    let after = Bundle::make(&coalition, &["ua", HOLDER]).await;
    let blamed = |said: &Said, member: &str| {
        let object = said.object();
        let between = object["story"]["between"].as_array().unwrap();
        let of_it = between.iter().filter(|finding| finding["member"] == member);
        of_it.map(Value::to_string).collect::<Vec<_>>()
    };
    for (member, other) in [(HOLDER, "ua"), ("ua", HOLDER)] {
        let earlier = part_of(&mut before, member).clone();
        let spliced = after
            .verify(|bundle| *part_of(bundle, member) = earlier)
            .await;
        assert_eq!(spliced.code, Some(0), "{spliced:?}");
        let open = &spliced.object()["story"]["open"];
        assert!(!open.as_array().unwrap().is_empty(), "{open}");
        // One whose newest leaves were taken out of the file is cut back, and denies nothing.
        let cut = after
            .verify(|bundle| {
                let leaves = part_of(bundle, member)["leaves"].as_array_mut().unwrap();
                leaves.truncate(leaves.len() / 2);
            })
            .await;
        assert_found(&cut, "CUT_BACK", None);
        assert_eq!(blamed(&cut, member), Vec::<String>::new());
        assert_eq!(blamed(&cut, other), Vec::<String>::new());
    }
}

async fn taken(coalition: &mut Coalition, id: &str) -> Vec<u8> {
    coalition.stop_node(id).await;
    let database = std::fs::read(coalition.path(id).join("wayhome.db")).unwrap();
    coalition.start_node(id).await;
    database
}

async fn put_back(coalition: &mut Coalition, id: &str, database: &[u8]) {
    coalition.stop_node(id).await;
    let path = coalition.path(id).join("wayhome.db");
    for side in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(path.with_extension(side));
    }
    std::fs::write(path, database).unwrap();
    coalition.let_lie(id);
    coalition.start_node(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_outlives_the_data_and_holds_none() {
    let coalition = after_an_exchange().await;
    let before = Bundle::make(&coalition, &["ua", HOLDER]).await;
    // The place that was disclosed, and why it was asked for, are not in the file.
    let text = before.sound.to_string();
    for value in ["Lublin", "The family asks."] {
        assert!(!text.contains(value));
        assert!(!contains_octets(&before.sound, value.as_bytes()));
    }
    RecordServiceClient::new(coalition.operator(HOLDER).await)
        .erase_record(EraseRecordRequest {
            record_ref: "PL-1".to_owned(),
        })
        .await
        .unwrap();
    let said = before.verify(|_| {}).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.object()["story"]["pairs"].as_u64().unwrap() >= 3);
    let after = Bundle::make(&coalition, &["ua", HOLDER]).await;
    let said = after.verify(|_| {}).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

fn contains_octets(value: &Value, octets: &[u8]) -> bool {
    match value {
        Value::String(text) => STANDARD
            .decode(text)
            .is_ok_and(|bytes| bytes.windows(octets.len()).any(|window| window == octets)),
        Value::Array(values) => values.iter().any(|value| contains_octets(value, octets)),
        Value::Object(values) => values.values().any(|value| contains_octets(value, octets)),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_to_the_file_is_a_crash() {
    let coalition = after_an_exchange().await;
    let bundle = Bundle::make(&coalition, &[HOLDER]).await;
    let root = std::fs::read(coalition.path("ua").join("root.note")).unwrap();
    let anchors = Anchors {
        root: &root,
        witnesses: &[],
        quorum: 0,
        last: &|_, _| Ok(None),
    };
    let sound = bundle.sound.to_string().into_bytes();
    assert!(check(&sound, &anchors).is_ok_and(|checked| checked.findings() == 0));
    let first_leaf = String::from_utf8_lossy(&sound).find("\"leaf\":").unwrap();
    let mut unnoticed = 0;
    const FLIPS: usize = 120;
    for flip in 0..FLIPS {
        let mut damaged = sound.clone();
        let at = first_leaf + (damaged.len() - first_leaf) * flip / FLIPS;
        damaged[at] ^= 1 << (flip % 7);
        // Rosters and roots stand behind the leaves in the file.
        unnoticed +=
            usize::from(check(&damaged, &anchors).is_ok_and(|checked| checked.findings() == 0));
        damaged.truncate(at);
        assert!(check(&damaged, &anchors).is_err());
    }
    // What goes unnoticed is the file's own: who made it, and when.
    assert!(unnoticed <= FLIPS / 20, "{unnoticed} of {FLIPS}");
}
