//! What is kept, for how long, and what is kept of what was erased: told values, words of requests,
//! reminders on their way, records over their time.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use wayhome::envelope::ItemEvidence;
use wayhome::envelope::merkle::root_of;
use wayhome::node::config::Notify;
use wayhome::node::retention::{self, Retention};
use wayhome::node::{Directory, open_party};
use wayhome::proto::exchange::{Act, LogEntry};
use wayhome::proto::operator as pb;
use wayhome::proto::operator::log_service_client::LogServiceClient;
use wayhome::proto::operator::membership_service_client::MembershipServiceClient;
use wayhome::proto::operator::quota_service_client::QuotaServiceClient;
use wayhome::store::{EvidencePart, Mail};

use crate::approval::{Scene, at_holder};
use crate::coalition::Coalition;
use crate::exchange::{ABROAD, AT_HOME, ask, search};
use crate::forge::{DAY_MS, standing_clock};
use crate::office::{ADMINISTRATOR, PASSWORD, reason};
use crate::process::{NodeProcess, PATIENCE, comes};

const PARTS: [EvidencePart; 5] = [
    EvidencePart::Query,
    EvidencePart::Answer,
    EvidencePart::Opening,
    EvidencePart::Seed,
    EvidencePart::Document,
];

/// Everything that a node keeps behind its leaves, opened.
async fn all_evidence(coalition: &Coalition, id: &str) -> Vec<u8> {
    let leaves = coalition.leaves(id, 0).await.len() as u64;
    let store = coalition.store(id).await;
    let mut all = Vec::new();
    for leaf_index in 0..leaves {
        for part in PARTS {
            let Some(found) = store.evidence(leaf_index, part).await.unwrap() else {
                continue;
            };
            all.extend_from_slice(&found.envelope);
            for item in &found.items {
                if let ItemEvidence::Full(item) = item {
                    all.extend_from_slice(item);
                }
            }
        }
    }
    store.close().await;
    all
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// The leaves of an act, with their places.
fn of(leaves: &[LogEntry], act: Act) -> Vec<(u64, &LogEntry)> {
    (0..)
        .zip(leaves)
        .filter(|(_, leaf)| leaf.act() == act)
        .collect()
}

#[tokio::test]
async fn what_was_told_of_an_erased_record_is_in_nobodys_evidence_and_the_proofs_still_hold() {
    const VALUE: &str = "Lublin";
    const WORDS: &str = "The family asks.";
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_place"]).await;
    assert_eq!(answer.granted["current_place"], VALUE);
    for id in ["ua", "pl"] {
        let kept = all_evidence(&scene.coalition, id).await;
        assert!(holds(&kept, VALUE) && holds(&kept, WORDS), "{id}");
    }
    // Asked about again before the node has come round to it: what was told is called back all the
    // same.
    scene.erase().await;
    let told = scene.poll(&answer.request).await;
    assert!(told.granted.is_empty());
    let kept = scene
        .until(&answer.request, |kept| kept.values.is_empty())
        .await;
    assert_eq!(kept.asked.unwrap().state, "withdrawn");
    let shown = scene
        .pl
        .requests("anna")
        .await
        .show_request(pb::ShowRequestRequest {
            request: at_holder(&answer),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.justification, "");
    for id in ["ua", "pl"] {
        let kept = all_evidence(&scene.coalition, id).await;
        assert!(!holds(&kept, VALUE), "{id} still has the value");
        assert!(!holds(&kept, WORDS), "{id} still has the words");
    }
    // What is left are hashes, and they still are what was signed and logged.
    let leaves = scene.coalition.leaves("pl", 0).await;
    let store = scene.coalition.store("pl").await;
    let answered = of(&leaves, Act::DisclosureAnswered);
    let (leaf_index, leaf) = answered[0];
    let kept = store
        .evidence(leaf_index, EvidencePart::Answer)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(kept.items[..], [ItemEvidence::Erased(_)]));
    let root = root_of(kept.items.iter().map(ItemEvidence::leaf_hash));
    assert_eq!(leaf.answer_digest, root);
    store.close().await;
}

#[tokio::test]
async fn a_second_correction_is_announced_like_the_first() {
    let scene = Scene::set().await;
    let answer = scene.ask(&["current_place", "current_carer"]).await;
    let request = at_holder(&answer);
    for name in ["anna", "boris"] {
        scene.pl.approve(name, &request).await.unwrap();
    }
    scene.poll(&answer.request).await;
    let correct = async |field: &str, value: &str| {
        scene
            .pl
            .records("steward")
            .await
            .correct_record(pb::CorrectRecordRequest {
                record_ref: "PL-1".to_owned(),
                fields: [(field.to_owned(), value.to_owned())].into(),
            })
            .await
            .unwrap()
            .into_inner()
    };
    let announced = async |count: usize| {
        let seen = async {
            loop {
                let leaves = scene.coalition.leaves("pl", 0).await;
                if of(&leaves, Act::DisclosureCorrected).len() >= count {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen)
            .await
            .unwrap_or_else(|_| panic!("correction {count} was not announced"));
    };
    assert!(correct("current_place", "Gdynia").await.changed);
    announced(1).await;
    assert!(correct("current_carer", "foster family 13").await.changed);
    announced(2).await;
    assert!(correct("current_place", "Sopot").await.changed);
    announced(3).await;
    // The receiver knows of both fields, and the same value again is no news.
    let kept = scene
        .until(&answer.request, |kept| {
            kept.asked.as_ref().unwrap().outdated.len() == 2
        })
        .await;
    assert_eq!(kept.asked.unwrap().state, "corrected");
    assert!(!correct("current_place", "Sopot").await.changed);
}

#[tokio::test]
async fn corrections_at_once_undo_nothing_of_each_other() {
    let scene = Scene::set().await;
    let fields = ["current_place", "current_carer", "note", "status"];
    let corrections = fields.map(|field| {
        let scene = &scene;
        async move {
            let mut records = scene.pl.records("steward").await;
            for round in 0..3 {
                let done = records
                    .correct_record(pb::CorrectRecordRequest {
                        record_ref: "PL-1".to_owned(),
                        fields: [(field.to_owned(), format!("{field}_{round}"))].into(),
                    })
                    .await
                    .unwrap();
                assert!(done.into_inner().changed);
            }
        }
    });
    futures_util::future::join_all(corrections).await;
    let now = scene
        .pl
        .records("steward")
        .await
        .get_record(pb::GetRecordRequest {
            record_ref: "PL-1".to_owned(),
            ..pb::GetRecordRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
        .record
        .unwrap();
    for field in fields {
        assert_eq!(now.fields[field], format!("{field}_2"));
    }
    let gone = scene
        .pl
        .records("steward")
        .await
        .correct_record(pb::CorrectRecordRequest {
            record_ref: "PL-9".to_owned(),
            fields: [("note".to_owned(), "x".to_owned())].into(),
        })
        .await;
    assert_eq!(reason(gone), "NO_SUCH_RECORD");
}

#[tokio::test]
async fn guesses_at_once_count_one_by_one() {
    let scene = Scene::set().await;
    let code = scene.pl.code(&scene.coalition, "anna");
    let guesses = (0..8).map(|_| scene.pl.try_sign_in("anna", "a wrong password", &code));
    let refused = futures_util::future::join_all(guesses).await;
    assert!(refused.iter().all(Result::is_err));
    let locked = scene.pl.try_sign_in("anna", PASSWORD, &code).await;
    assert_eq!(reason(locked), "SIGN_IN_LOCKED");
}

#[tokio::test]
async fn running_the_node_takes_a_person_too_once_there_are_people() {
    let scene = Scene::set().await;
    let nobody = || scene.coalition.operator("pl");
    let reads = |list: Result<tonic::Response<pb::ListQuotasResponse>, tonic::Status>| list;
    let quotas = QuotaServiceClient::new(nobody().await)
        .list_quotas(pb::ListQuotasRequest::default())
        .await;
    assert_eq!(reason(reads(quotas)), "SIGN_IN_NEEDED");
    let log = LogServiceClient::new(nobody().await)
        .get_log(pb::GetLogRequest::default())
        .await;
    assert_eq!(reason(log), "SIGN_IN_NEEDED");
    let taken = MembershipServiceClient::new(nobody().await)
        .take_files(pb::TakeFilesRequest::default())
        .await;
    assert_eq!(reason(taken), "SIGN_IN_NEEDED");
    let clock = MembershipServiceClient::new(scene.pl.person("anna").await)
        .accept_clock(pb::AcceptClockRequest::default())
        .await;
    assert_eq!(reason(clock), "ROLE_MISSING");
    for name in [ADMINISTRATOR, "auditor"] {
        QuotaServiceClient::new(scene.pl.person(name).await)
            .list_quotas(pb::ListQuotasRequest::default())
            .await
            .unwrap();
    }
    MembershipServiceClient::new(scene.pl.person(ADMINISTRATOR).await)
        .take_files(pb::TakeFilesRequest::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_erased_when_the_time_of_their_status_is_over() {
    const DAYS: u64 = 10;
    let (clock, ambient) = standing_clock();
    let mut coalition = Coalition::start_at(ambient.clone(), |_| {}).await;
    let with = |reference: &'static str, status: &'static str| {
        let mut child = ABROAD.to_vec();
        child.retain(|(name, _)| !["record_ref", "status"].contains(name));
        child.extend([("record_ref", reference), ("status", status)]);
        child
    };
    let (found, missing) = (with("PL-1", "Reunified"), with("PL-2", "missing"));
    coalition.import("pl", &[&found, &missing]).await;
    coalition.stop_node("pl").await;
    let rules: Retention = toml::from_str::<Rules>(&format!(
        "[[retention]]\nstatus = \"reunified\"\ndays = {DAYS}"
    ))
    .unwrap()
    .retention;
    let opened = open_party(&Directory::new(coalition.path("pl")), &ambient)
        .await
        .unwrap();
    let party = &opened.party;
    clock.advance_ms(DAYS * DAY_MS - 1);
    assert_eq!(retention::step(party, &rules).await.unwrap(), 0);
    clock.advance_ms(1);
    assert_eq!(
        retention::step(party, &Retention::default()).await.unwrap(),
        0
    );
    assert_eq!(retention::step(party, &rules).await.unwrap(), 1);
    assert_eq!(retention::step(party, &rules).await.unwrap(), 0);
    let store = party.store();
    assert!(store.record_by_ref("PL-1").await.unwrap().is_none());
    assert!(store.record_by_ref("PL-2").await.unwrap().is_some());
    store.close().await;
    drop(opened);
    let leaves = coalition.leaves("pl", 0).await;
    let erased = of(&leaves, Act::RecordErased);
    assert_eq!(erased.len(), 1);
    assert_eq!(erased[0].1.reference, format!("retention={DAYS}"));
}

#[derive(serde::Deserialize)]
struct Rules {
    retention: Retention,
}

/// Answers each call with the next of `answers`, the last one again and again, and notes what came.
async fn hook(answers: &'static [&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let came = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&came);
    tokio::spawn(async move {
        let mut next = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"}") {
                if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let answer = answers[next.min(answers.len() - 1)];
            next += 1;
            let _ = stream.write_all(answer.as_bytes()).await;
            noted.lock().await.push(String::from_utf8(asked).unwrap());
        }
    });
    (address, came)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_by_every_way_even_if_the_node_dies_or_a_way_is_closed_at_first() {
    let mut coalition = Coalition::found(|_| {});
    let home = coalition.path("pl");
    let (webhook, came) = hook(&["HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"]).await;
    let (open, told) = (home.join("open"), home.join("told"));
    let script = format!(
        "[ -e '{}' ] || exit 1; cat >> '{}'",
        open.display(),
        told.display()
    );
    let notify = Notify {
        command: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec(),
        webhook: Some(webhook.parse().unwrap()),
        webhook_ca: None,
    };
    coalition.configure("pl", |config| config.notify = notify);
    for id in ["ua", "de"] {
        coalition.start_node(id).await;
    }
    let node = NodeProcess::start(&home).await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    let answers = search(&coalition, "ua", "UA-1").await;
    let answer = answers.iter().find(|answer| answer.member == "pl").unwrap();
    let lead = &answer.results[0].leads[0].lead;
    ask(&coalition, lead, &["current_carer"], "family_tracing").await;
    comes("the webhook's second call", async || {
        came.lock().await.len() >= 2
    })
    .await;
    let store = coalition.store("pl").await;
    comes("the node's note of it", async || {
        let waiting = store.notices_due(Mail::Reminder, i64::MAX as u64, 9).await;
        waiting.unwrap().len() == 1
    })
    .await;
    store.close().await;
    // The node dies while the other way is closed; it is told when both are back.
    node.kill().await;
    assert!(!told.exists());
    std::fs::write(&open, "").unwrap();
    let node = NodeProcess::start(&home).await;
    comes("what the program is told", async || has_line(&told)).await;
    assert!(node.stop().await.success());
    let told = std::fs::read_to_string(&told).unwrap();
    assert_eq!(told.lines().count(), 1, "told more than once: {told}");
    let calls = came.lock().await.clone();
    assert_eq!(calls.len(), 2, "called again after success: {calls:?}");
    let of_program: serde_json::Value = serde_json::from_str(&told).unwrap();
    for call in calls {
        assert!(call.starts_with("POST /hook HTTP/1.1\r\n"), "{call}");
        let (_, body) = call.split_once("\r\n\r\n").unwrap();
        let object: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(object, of_program);
    }
    // Nothing of the child, and nothing of the words in which it was asked for.
    let mut keys: Vec<&str> = of_program
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["answer_by", "event", "member", "node", "request"]);
    assert_eq!(of_program["event"], "waiting");
    assert_eq!(of_program["member"], "ua");
}

fn has_line(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains('\n'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_erases_by_itself_what_is_over_its_time() {
    // Imported three days ago, by a node of that time.
    let now_ms = wayhome::ambient::Ambient::system().now_ms();
    let clock = wayhome::ambient::ManualClock::at_ms(now_ms - 3 * 86_400_000);
    let then = wayhome::ambient::Ambient::new(clock, wayhome::ambient::SystemRandomness);
    let mut coalition = Coalition::found_at(then, |_| {});
    coalition.start_node("pl").await;
    let of_status = |reference, status| {
        let mut record = ABROAD.to_vec();
        record.retain(|(name, _)| *name != "record_ref");
        record.extend([("record_ref", reference), ("status", status)]);
        record
    };
    let (over, kept) = (of_status("PL-1", "reunified"), of_status("PL-2", "located"));
    coalition.import_unpublished("pl", &[&over, &kept]).await;
    coalition.stop_node("pl").await;
    let rules = toml::from_str::<Rules>("[[retention]]\nstatus = \"reunified\"\ndays = 2\n");
    coalition.configure("pl", |config| config.retention = rules.unwrap().retention);
    let node = NodeProcess::start(&coalition.path("pl")).await;
    comes("the leaf of the erasure", async || {
        let leaves = coalition.leaves("pl", 0).await;
        leaves
            .iter()
            .any(|leaf| leaf.act() == Act::RecordErased && leaf.reference == "retention=2")
    })
    .await;
    assert!(node.stop().await.success());
    let store = coalition.store("pl").await;
    assert!(store.record_by_ref("PL-1").await.unwrap().is_none());
    assert!(store.record_by_ref("PL-2").await.unwrap().is_some());
    store.close().await;
}
