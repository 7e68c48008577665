//! Witnesses over real connections: cosignatures are served, a log that went back is not signed, a
//! split view is found and proved, and a peer that breaks a promise is named.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use prost::Message as _;

use ring::digest::{SHA256, digest};
use serde_json::Value;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tonic::codegen::http::Method;
use tonic::transport::Channel;
use wayhome::envelope::merkle::leaf_hash;
use wayhome::envelope::{KeyName, NoteKey};
use wayhome::exchange::log_files::{Fetched, send};
use wayhome::node::Directory;
use wayhome::proto::exchange as pb;
use wayhome::proto::exchange::Act;
use wayhome::roster::Timestamp;
use wayhome::store::EvidencePart;
use wayhome::tlog::{AddCheckpoint, Checkpoint, LogPolicy, SignedCheckpoint};

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, search};
use crate::forge::{Sent as _, lookup, refusal};
use crate::process::{Said, run};

async fn get(channel: &Channel, path: &str) -> Fetched {
    send(channel, Method::GET, path, Vec::new(), 1 << 20)
        .await
        .unwrap()
}

async fn add(channel: &Channel, body: &str) -> Fetched {
    let path = "/witness/add-checkpoint";
    send(
        channel,
        Method::POST,
        path,
        body.as_bytes().to_vec(),
        1 << 20,
    )
    .await
    .unwrap()
}

async fn command(coalition: &Coalition, id: &str, arguments: &[&str]) -> Value {
    let said = run(&coalition.path(id), &[&["--json"], arguments].concat()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said.object()
}

/// Waits until something is so.
async fn until<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let waited = async { while !is().await {} };
    tokio::time::timeout(Duration::from_secs(60), waited)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come about"));
}

fn held_path(coalition: &Coalition, of: &str) -> String {
    let origin = &coalition.member(of).log.as_ref().unwrap().origin;
    let name = hex::encode(digest(&SHA256, origin.as_bytes()));
    format!("/witness/checkpoint/{name}")
}

fn policy(coalition: &Coalition, of: &str, quorum: usize) -> LogPolicy {
    let key = |vkey: &str| vkey.parse::<NoteKey>().unwrap();
    let witnesses = coalition
        .roster
        .members
        .iter()
        .filter(|member| member.id.as_str() != of)
        .filter_map(|member| member.witness_vkey.as_deref().map(key))
        .collect();
    let log = vec![key(&coalition.member(of).log.as_ref().unwrap().vkey)];
    LogPolicy::with_witnesses(log, witnesses, quorum).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_cosigns_its_peers_logs_and_the_served_checkpoint_shows_it() {
    let coalition = Coalition::start_witnessing().await;
    let channel = coalition.channel("ua", "pl").await;
    for _ in 0..3 {
        let query = lookup(&coalition, "ua", "pl", 1).sign();
        pb::LookupQuery::send(channel.clone(), query).await.unwrap();
    }
    let checked = command(&coalition, "pl", &["log", "check"]).await;
    assert_eq!(checked["cosignatures"], 2);
    let served = get(&channel, "/log/checkpoint").await;
    let served = SignedCheckpoint::parse(&served.body).unwrap();
    let accepted = policy(&coalition, "pl", 2).accept(&served).unwrap();
    assert_eq!(accepted.cosignatures.len(), 2);
    // Three are more than there are.
    assert!(policy(&coalition, "pl", 3).accept(&served).is_err());
    // What the witnesses remember is that very state, without anybody's cosignature.
    for witness in ["ua", "de"] {
        let channel = coalition.channel("pl", witness).await;
        let held = get(&channel, &held_path(&coalition, "pl")).await;
        let held = SignedCheckpoint::parse(&held.body).unwrap();
        assert_eq!(held.unverified(), served.unverified());
        assert_eq!(held.note().signatures().len(), 1);
    }
    let shown = command(&coalition, "pl", &["log", "show"]).await;
    assert_eq!(shown["signed"], true);
    assert_eq!(shown["cosigned_by"].as_array().unwrap().len(), 2);
    assert_eq!(shown["findings"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_answers_by_the_codes_of_the_protocol() {
    let mut coalition = Coalition::found(|_| {});
    coalition.start_node("de").await;
    let channel = coalition.channel("ua", "de").await;
    let log = coalition.identity("pl").log.clone();
    let state = |size: u64, root: [u8; 32]| {
        Checkpoint::new(log.note_key().name().clone(), size, root)
            .unwrap()
            .sign(&log)
            .unwrap()
    };
    let request = |old_size: u64, checkpoint: &SignedCheckpoint| {
        AddCheckpoint {
            old_size,
            proof: Vec::new(),
            checkpoint: checkpoint.clone(),
        }
        .to_string()
    };
    let first = state(1, [1; 32]);
    assert_eq!(
        get(&channel, &held_path(&coalition, "pl")).await.status,
        404
    );

    let cosigned = add(&channel, &request(0, &first)).await;
    assert_eq!(cosigned.status, 200);
    assert!(
        cosigned
            .body
            .starts_with("— de.wayhome.internal/witness ".as_bytes())
    );
    // What was cosigned was remembered before.
    let held = get(&channel, &held_path(&coalition, "pl")).await;
    assert_eq!(held.body, first.to_string().into_bytes());
    // Again, from where it stands.
    assert_eq!(add(&channel, &request(1, &first)).await.status, 200);
    // From elsewhere: the size it remembers.
    let conflict = add(&channel, &request(0, &first)).await;
    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.content_type, "text/x.tlog.size");
    assert_eq!(conflict.body, b"1\n");
    // No proof, or a wrong one.
    assert_eq!(
        add(&channel, &request(1, &state(2, [2; 32]))).await.status,
        422
    );
    // Sizes the wrong way round; nothing at all; too much.
    assert_eq!(add(&channel, &request(2, &first)).await.status, 400);
    assert_eq!(add(&channel, "old 1\n").await.status, 400);
    assert_eq!(add(&channel, &"x".repeat(100_000)).await.status, 413);
    // A log that nobody in the roster has, and a key that is not the log's.
    let stranger = wayhome::envelope::NoteSigner::new(
        KeyName::new("stranger.test/log").unwrap(),
        wayhome::envelope::SigningKey::from_seed(&[3; 32]),
    );
    let unknown = Checkpoint::new(stranger.note_key().name().clone(), 1, [1; 32])
        .unwrap()
        .sign(&stranger)
        .unwrap();
    assert_eq!(add(&channel, &request(0, &unknown)).await.status, 404);
    let impostor = wayhome::envelope::NoteSigner::new(
        log.note_key().name().clone(),
        wayhome::envelope::SigningKey::from_seed(&[3; 32]),
    );
    let forged = Checkpoint::new(log.note_key().name().clone(), 1, [1; 32])
        .unwrap()
        .sign(&impostor)
        .unwrap();
    assert_eq!(add(&channel, &request(1, &forged)).await.status, 403);
    let wrong_method = get(&channel, "/witness/add-checkpoint").await;
    assert_eq!(wrong_method.status, 405);

    // A second history of the same length: refused, named, kept with both checkpoints, and a leaf.
    let second = state(1, [9; 32]);
    let split = add(&channel, &request(1, &second)).await;
    assert_eq!(split.status, 409);
    assert_ne!(split.content_type, "text/x.tlog.size");
    until("the leaf of the split view", || async {
        coalition
            .leaves("de", 0)
            .await
            .iter()
            .any(|leaf| leaf.act() == Act::SplitViewFound && leaf.peer == "pl")
    })
    .await;
    let shown = command(&coalition, "de", &["log", "show"]).await;
    let alert = &shown["findings"][0];
    assert_eq!(
        (&alert["kind"], &alert["member"]),
        (&"SPLIT_VIEW".into(), &"pl".into())
    );
    // Anybody can check the proof: one log, one size, two roots, both signed.
    let [one, other] = [0, 1].map(|at| {
        let text = alert["proof"][at].as_str().unwrap();
        SignedCheckpoint::parse(text.as_bytes())
            .unwrap()
            .verify(&[log.note_key()])
            .unwrap()
    });
    assert!(one.contradicts(&other));
    // The witness stays with the first.
    let held = get(&channel, &held_path(&coalition, "pl")).await;
    assert_eq!(held.body, first.to_string().into_bytes());
    coalition.stop_node("de").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_does_not_tell_a_silent_hit_from_a_miss() {
    const ROUNDS: usize = 12;
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    let silent: Vec<(&str, &str)> = ABROAD
        .iter()
        .copied()
        .filter(|(name, _)| *name != "protection")
        .chain([("protection", "silent")])
        .collect();
    coalition.import("pl", &[&silent]).await;
    let before = coalition.log_size("pl").await;
    let channel = coalition.channel("ua", "pl").await;
    let mut receipts: Vec<(bool, pb::Receipt)> = Vec::new();
    for _ in 0..ROUNDS {
        // The child that the silent record is about, and one whom nobody holds.
        search(&coalition, "ua", "UA-1").await;
        let query = lookup(&coalition, "ua", "pl", 1).sign();
        let answer = pb::LookupQuery::send(channel.clone(), query).await.unwrap();
        let payload = &answer.envelope.as_ref().unwrap().payload;
        let answer = pb::LookupAnswer::decode(payload.as_slice()).unwrap();
        receipts.push((false, answer.receipt.unwrap()));
    }
    // The silent ones' receipts, as the asker's node keeps them in its evidence.
    let store = coalition.store("ua").await;
    for (index, leaf) in (0..).zip(coalition.leaves("ua", 0).await) {
        if leaf.act() == Act::LookupReceived && leaf.peer == "pl" {
            let kept = store.evidence(index, EvidencePart::Answer).await.unwrap();
            let envelope = pb::Envelope::decode(kept.unwrap().envelope.as_slice()).unwrap();
            let answer = pb::LookupAnswer::decode(envelope.payload.as_slice()).unwrap();
            receipts.push((true, answer.receipt.unwrap()));
        }
    }
    store.close().await;
    let count = |silent| receipts.iter().filter(|(is, _)| *is == silent).count();
    assert_eq!((count(true), count(false)), (ROUNDS, ROUNDS));

    let leaves = coalition.store("pl").await;
    let stored = leaves.leaves(0, 10_000).await.unwrap();
    leaves.close().await;
    let mut shapes = BTreeSet::new();
    let mut hashes = BTreeSet::new();
    let mut indexes: Vec<u64> = Vec::new();
    for (_, receipt) in &receipts {
        // One leaf of one size each, whatever was met, and no number that tells.
        let bytes = &stored[receipt.leaf_index as usize];
        let leaf = pb::LogEntry::decode(bytes.as_slice()).unwrap();
        shapes.insert((
            bytes.len(),
            leaf.count,
            leaf.purpose,
            leaf.legal_basis,
            leaf.reference.clone(),
            leaf.subject.clone(),
            receipt.leaf_hash.len(),
        ));
        // Whoever knows all of the leaf but its commitment, and tries the one outcome that both
        // come to, an empty one, does not find the hash: the commitment is salted.
        let guess = pb::LogEntry {
            commitment: digest(&SHA256, &pb::Outcome::default().encode_to_vec())
                .as_ref()
                .to_vec(),
            ..leaf.clone()
        };
        assert_ne!(
            leaf_hash(&guess.encode_to_vec()).to_vec(),
            receipt.leaf_hash
        );
        assert_eq!(leaf_hash(bytes).to_vec(), receipt.leaf_hash);
        hashes.insert(receipt.leaf_hash.clone());
        indexes.push(receipt.leaf_index);
    }
    assert_eq!(hashes.len(), receipts.len(), "a hash was met twice");
    // The indexes are those of the acts in their order, one for each.
    indexes.sort_unstable();
    let all: Vec<u64> = (before..before + 2 * ROUNDS as u64).collect();
    assert_eq!(indexes, all);
    assert_eq!(shapes.len(), 1, "{shapes:?}");
}

/// The database of a stopped node.
fn database(coalition: &Coalition, id: &str) -> Vec<u8> {
    std::fs::read(coalition.path(id).join("wayhome.db")).unwrap()
}

fn restore(directory: &Path, sound: &[u8]) {
    let path = directory.join("wayhome.db");
    for side in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(path.with_extension(side));
    }
    std::fs::write(path, sound).unwrap();
}

async fn answers(coalition: &Coalition, id: &str) -> Result<(), String> {
    let channel = coalition.channel("ua", id).await;
    let query = lookup(coalition, "ua", id, 1).sign();
    match pb::LookupQuery::send(channel, query).await {
        Ok(_) => Ok(()),
        Err(status) => Err(refusal(&status).1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_back_is_not_signed_whoever_vouches_for_it() {
    let mut coalition = Coalition::start_witnessing().await;
    answers(&coalition, "pl").await.unwrap();
    coalition.stop_node("pl").await;
    let before = database(&coalition, "pl");
    let guard = Directory::new(coalition.path("pl")).guard();

    // Stopped and started without any change, with every peer away: the guard suffices.
    for peer in ["ua", "de"] {
        coalition.stop_node(peer).await;
    }
    coalition.start_node("pl").await;
    answers(&coalition, "pl").await.unwrap();
    for peer in ["ua", "de"] {
        coalition.start_node(peer).await;
    }
    command(&coalition, "pl", &["log", "check"]).await;
    let size = coalition.log_size("pl").await;
    coalition.stop_node("pl").await;
    let newest = database(&coalition, "pl");

    // An older database: the guard tells.
    restore(&coalition.path("pl"), &before);
    coalition.start_node("pl").await;
    assert_eq!(
        answers(&coalition, "pl").await.unwrap_err(),
        "LOG_NOT_SIGNED"
    );
    let shown = command(&coalition, "pl", &["log", "show"]).await;
    assert!(
        shown["not_signed"]
            .as_str()
            .unwrap()
            .contains("taken back to an older state"),
        "{shown}"
    );
    coalition.stop_node("pl").await;

    // The guard is gone as well: the witnesses tell, also against an operator who needs none.
    std::fs::remove_file(&guard).unwrap();
    coalition.start_node("pl").await;
    assert_eq!(
        answers(&coalition, "pl").await.unwrap_err(),
        "LOG_NOT_SIGNED"
    );
    coalition.stop_node("pl").await;
    coalition.let_lie("pl");
    coalition.start_node("pl").await;
    assert_eq!(
        answers(&coalition, "pl").await.unwrap_err(),
        "LOG_NOT_SIGNED"
    );
    // A witness that does not know whether its own memory is whole cosigns nothing.
    let channel = coalition.channel("ua", "pl").await;
    assert_eq!(add(&channel, "old 0\n").await.status, 503);
    coalition.stop_node("pl").await;

    // The newest database without a guard: good as soon as a quorum says so, and not before.
    let _ = std::fs::remove_file(&guard);
    let directory = Directory::new(coalition.path("pl"));
    let mut config = wayhome::node::Config::load(&directory).unwrap();
    config.log.quorum = None;
    directory.write("node.toml", &config.to_text()).unwrap();
    restore(&coalition.path("pl"), &newest);
    coalition.stop_node("de").await;
    coalition.start_node("pl").await;
    assert_eq!(
        answers(&coalition, "pl").await.unwrap_err(),
        "LOG_NOT_SIGNED"
    );
    let shown = command(&coalition, "pl", &["log", "show"]).await;
    assert!(
        shown["not_signed"]
            .as_str()
            .unwrap()
            .contains("1 answered where 2 are needed"),
        "{shown}"
    );
    coalition.start_node("de").await;
    until("an answer", || async {
        answers(&coalition, "pl").await.is_ok()
    })
    .await;
    assert!(coalition.log_size("pl").await > size);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_real_loss_a_new_log_begins_and_names_the_broken_one() {
    let mut coalition = Coalition::start_witnessing().await;
    answers(&coalition, "pl").await.unwrap();
    command(&coalition, "pl", &["log", "check"]).await;
    coalition.stop_node("pl").await;
    let before = database(&coalition, "pl");
    coalition.start_node("pl").await;
    answers(&coalition, "pl").await.unwrap();
    let verified = audited(&coalition, "pl").await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    command(&coalition, "pl", &["log", "check"]).await;
    let lost = coalition.log_size("pl").await;
    let witness = coalition.channel("ua", "de").await;
    let held = get(&witness, &held_path(&coalition, "pl")).await.body;
    coalition.stop_node("pl").await;
    restore(&coalition.path("pl"), &before);
    std::fs::remove_file(Directory::new(coalition.path("pl")).guard()).unwrap();

    let said = run(&coalition.path("pl"), &["--json", "log", "new-origin"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    let file = coalition.path("pl").join("last.note");
    std::fs::write(&file, held).unwrap();
    let begun = command(
        &coalition,
        "pl",
        &[
            "log",
            "new-origin",
            "--yes",
            "--last",
            file.to_str().unwrap(),
        ],
    )
    .await;
    assert_eq!(begun["origin"], "pl.wayhome.internal/log/2");
    assert_eq!(begun["broken_origin"], "pl.wayhome.internal/log");
    assert_eq!(begun["broken_size"], lost);

    // Ukraine holds a receipt of the old log that it had no time to look at.
    let receipt = sqlx::query(
        "INSERT INTO receipts (member, leaf_index, leaf_hash, size, root, checkpoint, query_digest,
             received_ms, state)
         VALUES ('pl', 1, zeroblob(32), $1, zeroblob(32), $2, zeroblob(32), 0, 0)",
    )
    .bind(lost as i64)
    .bind(std::fs::read_to_string(&file).unwrap());
    let mut database = opened(&coalition, "ua").await;
    receipt.execute(&mut database).await.unwrap();
    state_new_log(&mut coalition, &begun).await;
    coalition.start_node("pl").await;
    answers(&coalition, "pl").await.unwrap();
    let leaves = coalition.leaves("pl", 0).await;
    assert!(leaves[0].act() == Act::LogStarted);
    let names = format!(" after=pl.wayhome.internal/log size={lost} root=");
    assert!(
        leaves[0].reference.contains(&names),
        "{}",
        leaves[0].reference
    );
    let checked = command(&coalition, "pl", &["log", "check"]).await;
    assert_eq!(checked["cosignatures"], 2);
    // No receipt of the old log is held against the new one: nobody has broken anything.
    let checked = command(&coalition, "ua", &["log", "check"]).await;
    assert_eq!(
        (&checked["broken"], &checked["open"]),
        (&0.into(), &0.into()),
        "{checked}"
    );
    let shown = command(&coalition, "ua", &["log", "show"]).await;
    assert_eq!(shown["broken_receipts"], 0, "{shown}");
    assert_eq!(shown["findings"], Value::Array(Vec::new()));
    let aside = sqlx::query("SELECT state FROM receipts WHERE received_ms = 0")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(aside.get::<i64, _>(0), 2);
    database.close().await.unwrap();
    // The ombudsman reads the new log as any other, and that it continues what was verified before;
    // twice, for the first time leaves the old record aside.
    for _ in 0..2 {
        let said = audited(&coalition, "pl").await;
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let audit = coalition.path(OMBUDSMAN).join("audit");
    let aside = std::fs::read_to_string(audit.join("pl.1.json")).unwrap();
    assert!(aside.contains("pl.wayhome.internal/log\\n"), "{aside}");
    assert!(!audit.join("pl.2.json").exists());
    let all = ["--json", "audit", "verify", "--all", "pl"];
    let said = run(&coalition.path(OMBUDSMAN), &all).await.object();
    let continues = &said["logs"][0]["continues"];
    assert_eq!(
        (&continues["origin"], &continues["size"]),
        (&"pl.wayhome.internal/log".into(), &lost.into())
    );
}

async fn audited(coalition: &Coalition, member: &str) -> Said {
    let arguments = ["--json", "audit", "verify", member];
    run(&coalition.path(OMBUDSMAN), &arguments).await
}

async fn opened(coalition: &Coalition, id: &str) -> SqliteConnection {
    let path = coalition.path(id).join("wayhome.db");
    SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap()
}

/// Has the secretariat state the log that Poland has begun, and the others take its roster.
async fn state_new_log(coalition: &mut Coalition, begun: &Value) {
    coalition.roster.issued = Timestamp::from_unix(coalition.ambient.now());
    let of = |name: &str| begun[name].as_str().unwrap().to_owned();
    let version = coalition.state_log("pl", of("origin"), of("vkey"));
    for peer in ["ua", "de"] {
        coalition.roster_in_force(peer, version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_log_that_continues_less_than_was_verified_is_found_out() {
    let mut coalition = Coalition::start().await;
    answers(&coalition, "pl").await.unwrap();
    coalition.stop_node("pl").await;
    let before = database(&coalition, "pl");
    coalition.start_node("pl").await;
    answers(&coalition, "pl").await.unwrap();
    assert_eq!(audited(&coalition, "pl").await.code, Some(0));
    // It gives up what the ombudsman has seen, and tells nobody that there was more.
    coalition.stop_node("pl").await;
    restore(&coalition.path("pl"), &before);
    coalition.let_lie("pl");
    let begun = command(&coalition, "pl", &["log", "new-origin", "--yes"]).await;
    state_new_log(&mut coalition, &begun).await;
    coalition.start_node("pl").await;
    // It stays found: nothing of such a log is remembered as verified.
    for _ in 0..2 {
        let said = audited(&coalition, "pl").await;
        assert_eq!(said.code, Some(1), "{said:?}");
        let object = said.object();
        let finding = &object["logs"][0]["findings"][0];
        assert_eq!(
            (&finding["code"], &finding["leaf_index"]),
            (&"GIVEN_UP_SHORT".into(), &0.into()),
            "{object:#}"
        );
        // What proves it is signed by the log that was given up.
        let proof = finding["proof"][0].as_str().unwrap();
        assert!(proof.starts_with("pl.wayhome.internal/log\n"), "{proof}");
    }
    // The others are read all the same.
    assert_eq!(audited(&coalition, "de").await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_breaks_its_promise_is_found_by_the_one_it_was_given_to() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    coalition.stop_node("pl").await;
    let before = database(&coalition, "pl");
    coalition.start_node("pl").await;
    search(&coalition, "ua", "UA-1").await;
    let kept = command(&coalition, "ua", &["log", "check"]).await;
    assert!(kept["kept"].as_u64().unwrap() >= 2, "{kept}");
    assert_eq!((&kept["open"], &kept["broken"]), (&0.into(), &0.into()));

    // Promises that are open when the peer goes back in time.
    search(&coalition, "ua", "UA-1").await;
    coalition.stop_node("pl").await;
    let away = command(&coalition, "ua", &["log", "check"]).await;
    assert!(away["open"].as_u64().unwrap() >= 1, "{away}");
    assert_eq!(away["broken"], 0, "a peer that is away breaks nothing");
    restore(&coalition.path("pl"), &before);
    coalition.let_lie("pl");
    coalition.start_node("pl").await;
    for _ in 0..8 {
        answers(&coalition, "pl").await.unwrap();
    }
    let said = run(&coalition.path("ua"), &["--json", "log", "check"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.object()["broken"].as_u64().unwrap() >= 1);
    until("the leaf of the broken promise", || async {
        coalition
            .leaves("ua", 0)
            .await
            .iter()
            .any(|leaf| leaf.act() == Act::PromiseBroken && leaf.peer == "pl")
    })
    .await;
    let shown = command(&coalition, "ua", &["log", "show"]).await;
    assert_eq!(shown["findings"][0]["kind"], "PROMISE_BROKEN");
    assert!(shown["broken_receipts"].as_u64().unwrap() >= 1);
    // Two checkpoints under the peer's own signature prove it.
    let key: NoteKey = coalition
        .member("pl")
        .log
        .as_ref()
        .unwrap()
        .vkey
        .parse()
        .unwrap();
    for proof in shown["findings"][0]["proof"].as_array().unwrap() {
        SignedCheckpoint::parse(proof.as_str().unwrap().as_bytes())
            .unwrap()
            .verify(std::slice::from_ref(&key))
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_edited_while_the_log_could_not_be_signed_comes_into_force() {
    const NOTHING: &str = "@id(\"nothing\") forbid (principal, action, resource);\n";
    let mut coalition = Coalition::start_witnessing().await;
    answers(&coalition, "pl").await.unwrap();
    command(&coalition, "pl", &["log", "check"]).await;
    coalition.stop_node("pl").await;
    std::fs::write(coalition.path("pl").join("policy.cedar"), NOTHING).unwrap();
    let _ = std::fs::remove_file(Directory::new(coalition.path("pl")).guard());
    coalition.stop_node("de").await;
    coalition.start_node("pl").await;
    assert_eq!(
        answers(&coalition, "pl").await.unwrap_err(),
        "LOG_NOT_SIGNED"
    );
    let path = coalition.path("pl");
    let status = async || run(&path, &["--json", "policy", "status"]).await.object();
    // What holds meanwhile is said not to be what is on offer.
    let meanwhile = status().await;
    assert_eq!(meanwhile["refused"]["code"], "POLICY_NOT_RECORDED");
    coalition.start_node("de").await;
    until("the new policy", async || {
        status().await["policy"] == NOTHING
    })
    .await;
    assert_eq!(status().await["ok"], true);
}
