//! `wayhome conformance`: our own node keeps what it promises, a foreign one is told what it does not,
//! and the published vectors say the same in both languages.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wayhome::envelope::merkle::leaf_hash;
use wayhome::envelope::{KeyName, NoteSigner, SigningKey, dsse, items};
use wayhome::linkage::RuleTable;
use wayhome::oprf::{BatchSeed, CoalitionToken, lookup_token};
use wayhome::tlog::{Checkpoint, Frontier, TreeHead, proof};

use crate::coalition::{Coalition, free_address};
use crate::process::{self, PATIENCE, Said};

const HOLDER: &str = "pl";

/// What the foreign node leaves out.
const LEAVES_OUT: [&str; 4] = ["tiles", "roster_split", "too_large", "unknown_call"];

/// How many checks there are.
const ALL: usize = 32;

/// Folder of the second implementation, and the vectors that it made.
const FOREIGN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign");
const VECTORS: &str = include_str!("../vectors/protocol.json");

async fn asked(coalition: &Coalition, endpoint: &str) -> Said {
    let asker = coalition.path("ua");
    process::run(
        &asker,
        &["--json", "conformance", endpoint, "--member", HOLDER],
    )
    .await
}

/// The names of the checks that came out so.
fn named<'a>(object: &'a Value, outcome: &str) -> Vec<&'a str> {
    let checks = object["checks"].as_array().unwrap();
    let of_it = checks.iter().filter(|check| check["outcome"] == outcome);
    of_it
        .map(|check| check["check"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_node_keeps_every_promise() {
    let mut coalition = Coalition::found(|_| {});
    coalition.start_node(HOLDER).await;
    let endpoint = coalition.member(HOLDER).addresses[0].to_string();
    let said = asked(&coalition, &endpoint).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let object = said.object();
    assert_eq!(object["ok"], true);
    assert_eq!(named(&object, "broken"), [""; 0], "{object:#}");
    assert_eq!(named(&object, "left_out"), [""; 0], "{object:#}");
    assert_eq!(object["kept"], ALL, "{object:#}");
    // To people it says the same, and it finds whose node it is by the address.
    let plain = process::run(&coalition.path("ua"), &["conformance", &endpoint]).await;
    assert_eq!(plain.code, Some(0), "{plain:?}");
    assert!(
        plain
            .out
            .contains(&format!("{ALL} promises kept, 0 broken")),
        "{plain:?}"
    );
    coalition.stop_node(HOLDER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_or_not_that_party_keeps_nothing() {
    let mut coalition = Coalition::found(|_| {});
    coalition.start_node("de").await;
    // Germany's node does not pass for Poland's, and where nobody listens there is no node.
    let germany = coalition.member("de").addresses[0].to_string();
    for endpoint in [germany, free_address().to_string()] {
        let said = asked(&coalition, &endpoint).await;
        assert_eq!(said.code, Some(1), "{said:?}");
        assert_eq!(named(&said.object(), "broken"), ["lookup"]);
    }
    let nobody = process::run(
        &coalition.path("ua"),
        &["--json", "conformance", "127.0.0.1:1"],
    )
    .await;
    assert_eq!(nobody.code, Some(2), "{nobody:?}");
    assert_eq!(nobody.object()["error"]["code"], "PARTY_UNKNOWN");
    coalition.stop_node("de").await;
}

/// Starts the foreign node with Poland's keys; gives it and its address.
async fn foreign(coalition: &Coalition, python: &str) -> (Child, String) {
    let (ours, theirs) = (coalition.path(HOLDER), coalition.path("ua"));
    let key = |directory: &Path, name: &str| {
        let path = directory.join("keys").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let log = coalition.member(HOLDER).log.as_ref().unwrap();
    // The secret text of a note's key ends with its algorithm and its seed, in base64.
    let secret = key(&ours, "log.key");
    let secret = secret.trim().splitn(5, '+').nth(4).unwrap().to_owned();
    let roster = coalition.trusted_roster();
    let setup = json!({
        "member": HOLDER,
        "peer": "ua",
        "peer_key": hex::encode(coalition.identity("ua").signing.verifying_key().as_bytes()),
        "signing_seed": key(&ours, "signing.key").trim(),
        "log_seed": hex::encode(&base64(&secret)[1..]),
        "origin": log.origin,
        "epoch": 1,
        "rules": hex::encode(RuleTable::shipped().unwrap().digest()),
        "roster": ours.join("roster.note"),
        "roster_version": roster.version(),
        "tls_key": ours.join("keys/tls.key"),
        "tls_certificate": ours.join("keys/tls.crt"),
        "peer_certificate": theirs.join("keys/tls.crt"),
    });
    let mut child = Command::new(python)
        .arg(Path::new(FOREIGN).join("node.py"))
        .arg(setup.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .expect("the foreign node did not start")
        .unwrap()
        .expect("the foreign node ended");
    (child, format!("127.0.0.1:{port}"))
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_node_is_told_what_it_leaves_out() {
    let Some(python) = process::python("grpc").await else {
        return;
    };
    let coalition = Coalition::found(|_| {});
    let (mut node, endpoint) = foreign(&coalition, &python).await;
    let said = asked(&coalition, &endpoint).await;
    let object = said.object();
    assert_eq!(named(&object, "broken"), LEAVES_OUT, "{object:#}");
    assert_eq!(object["kept"], ALL - LEAVES_OUT.len(), "{object:#}");
    assert_eq!(said.code, Some(1));
    node.kill().await.unwrap();
}

#[tokio::test]
async fn the_second_implementation_still_makes_the_published_vectors() {
    let Some(python) = process::python("hashlib").await else {
        return;
    };
    let made = Command::new(python)
        .arg(Path::new(FOREIGN).join("protocol.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(String::from_utf8(made.stdout).unwrap(), VECTORS);
}

fn octets(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn list(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().unwrap().iter().map(octets).collect()
}

fn hashes_in(value: &Value) -> Vec<[u8; 32]> {
    value.as_array().unwrap().iter().map(array::<32>).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    octets(value).try_into().unwrap()
}

#[test]
fn this_program_makes_the_published_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();

    let envelope = &vectors["envelope"];
    let key = SigningKey::from_seed(&array(&envelope["seed"]));
    let public = key.verifying_key();
    let signed = dsse::pae(
        envelope["payload_type"].as_str().unwrap(),
        &octets(&envelope["payload"]),
    );
    assert_eq!(public.as_bytes().to_vec(), octets(&envelope["public_key"]));
    assert_eq!(public.id().as_bytes().to_vec(), octets(&envelope["key_id"]));
    assert_eq!(signed, octets(&envelope["pae"]));
    assert_eq!(key.sign(&signed).to_vec(), octets(&envelope["signature"]));
    let digest = ring::digest::digest(&ring::digest::SHA256, &signed);
    assert_eq!(digest.as_ref(), octets(&envelope["digest"]));

    let salted = list(&vectors["items"]["salted"]);
    for (count, root) in list(&vectors["items"]["roots"]).into_iter().enumerate() {
        assert_eq!(items::items_root(&salted[..count]).to_vec(), root);
    }

    for vector in vectors["lookup_tokens"].as_array().unwrap() {
        let token = CoalitionToken::from_bytes(&array(&vector["token"]));
        let epoch = u32::try_from(vector["epoch"].as_u64().unwrap()).unwrap();
        let made = lookup_token(&token, epoch, vector["holder"].as_str().unwrap());
        assert_eq!(made.as_bytes().to_vec(), octets(&vector["lookup_token"]));
    }
    for vector in vectors["blinds"].as_array().unwrap() {
        let seed = BatchSeed::from_bytes(&array(&vector["seed"]));
        let index = u32::try_from(vector["index"].as_u64().unwrap()).unwrap();
        assert_eq!(
            seed.open(index).to_bytes().to_vec(),
            octets(&vector["blind"])
        );
    }

    let log = &vectors["log"];
    let leaves = list(&log["leaves"]);
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let (mut tree, mut roots) = (Frontier::new(), Vec::new());
    roots.push(tree.root());
    for hash in &hashes {
        let _ = tree.append(*hash);
        roots.push(tree.root());
    }
    assert_eq!(roots, hashes_in(&log["roots"]));
    let size = hashes.len() as u64;
    let path = hashes_in(&log["inclusion"]);
    proof::verify_inclusion(&hashes[4], 4, size, &path, &roots[hashes.len()]).unwrap();
    let path = hashes_in(&log["consistency"]);
    proof::verify_consistency(3, size, &path, &roots[3], &roots[hashes.len()]).unwrap();
    let origin = KeyName::new(log["origin"].as_str().unwrap()).unwrap();
    let signer = NoteSigner::new(origin.clone(), SigningKey::from_seed(&array(&log["seed"])));
    let head = TreeHead {
        size,
        root: roots[hashes.len()],
    };
    let signed = Checkpoint::new(origin, head.size, head.root)
        .and_then(|checkpoint| checkpoint.sign(&signer))
        .unwrap();
    assert_eq!(signed.to_string(), log["checkpoint"].as_str().unwrap());
}
