//! The log as plain files: what each party is given, and whether somebody else's implementation can
//! read it.

use std::path::Path;
use std::process::Command;

use tonic::codegen::http::Method;
use tonic::transport::Channel;
use wayhome::envelope::merkle::leaf_hash;
use wayhome::exchange::log_files::{Fetched, RemoteLog, send};
use wayhome::proto::exchange::Act;
use wayhome::roster::OmbudsmanScope;
use wayhome::tlog::tile::{Tile, decode_entries};
use wayhome::tlog::{SignedCheckpoint, TreeHead};

use crate::coalition::{Coalition, OMBUDSMAN};
use crate::forge::{Sent as _, lookup};
use crate::process::{left_out, run};

const HOLDER: &str = "pl";

async fn get(channel: &Channel, path: &str) -> Fetched {
    send(channel, Method::GET, path, Vec::new(), 1 << 20)
        .await
        .unwrap()
}

/// A holder whose log is longer than one tile.
async fn after_lookups(count: usize) -> Coalition {
    let mut coalition = Coalition::found(|_| {});
    coalition.start_node(HOLDER).await;
    let channel = coalition.channel("ua", HOLDER).await;
    for _ in 0..count {
        let query = lookup(&coalition, "ua", HOLDER, 1).sign();
        wayhome::proto::exchange::LookupQuery::send(channel.clone(), query)
            .await
            .unwrap();
    }
    coalition
}

fn head(checkpoint: &Fetched) -> TreeHead {
    SignedCheckpoint::parse(&checkpoint.body)
        .unwrap()
        .unverified()
        .head()
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_read_checkpoints_and_hashes_and_no_leaves() {
    let mut coalition = after_lookups(4).await;
    let peer = coalition.channel("de", HOLDER).await;

    let checkpoint = get(&peer, "/log/checkpoint").await;
    assert_eq!(checkpoint.status, 200);
    assert_eq!(checkpoint.content_type, "text/plain; charset=utf-8");
    assert_eq!(checkpoint.caching, "no-store");
    let size = head(&checkpoint).size;
    let tile = get(&peer, &format!("/log/tile/0/000.p/{size}")).await;
    assert_eq!((tile.status, tile.body.len() as u64), (200, 32 * size));
    assert_eq!(tile.content_type, "application/octet-stream");
    assert!(tile.caching.contains("immutable"), "{}", tile.caching);

    // Beyond the log, in another spelling, or not there at all.
    for path in [
        format!("/log/tile/0/000.p/{}", size + 1),
        "/log/tile/0/000".to_owned(),
        "/log/tile/0/0.p/1".to_owned(),
        "/log/tile/9/000.p/1".to_owned(),
        "/log/tile/0/000.p/1/../1".to_owned(),
        "/log/keys".to_owned(),
    ] {
        assert_eq!(get(&peer, &path).await.status, 404, "{path}");
    }
    let post = send(&peer, Method::POST, "/log/checkpoint", Vec::new(), 1024).await;
    assert_eq!(post.unwrap().status, 405);

    // Leaves are not for peers, whether the bundle exists or not; and no leaf tells that they were
    // read, for they were not.
    for width in [1, size, 255] {
        let refused = get(&peer, &format!("/log/tile/entries/000.p/{width}")).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body.starts_with(b"ROLE_MISSING"));
    }
    let read = |leaves: Vec<wayhome::proto::exchange::LogEntry>| {
        leaves
            .iter()
            .filter(|leaf| leaf.act() == Act::LeavesRead)
            .count()
    };
    assert_eq!(read(coalition.leaves(HOLDER, 0).await), 0);

    // An ombudsman reads them, and every reading of an hour leaves the one leaf.
    let ombudsman = coalition.channel(OMBUDSMAN, HOLDER).await;
    let bundle = get(&ombudsman, &format!("/log/tile/entries/000.p/{size}")).await;
    assert_eq!(bundle.status, 200);
    let name: Tile = format!("tile/entries/000.p/{size}").parse().unwrap();
    assert_eq!(
        decode_entries(&name, &bundle.body).unwrap().len() as u64,
        size
    );
    assert_eq!(
        get(&ombudsman, "/log/tile/entries/000.p/2").await.status,
        200
    );
    assert_eq!(read(coalition.leaves(HOLDER, 0).await), 1);

    // With another scope it reads nothing, from that roster on.
    let scope = OmbudsmanScope::Member("de".parse().unwrap());
    let at = coalition.roster.members.iter();
    let at = at
        .clone()
        .position(|member| member.id.as_str() == OMBUDSMAN);
    coalition.roster.members[at.unwrap()].roles.ombudsman = Some(scope);
    coalition.roster.version += 1;
    coalition.publish_roster();
    coalition.roster_in_force(HOLDER, 2).await;
    let refused = get(&ombudsman, "/log/tile/entries/000.p/2").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.starts_with(b"OUT_OF_SCOPE"));
    coalition.stop_node(HOLDER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_party_is_given_nothing() {
    let mut coalition = after_lookups(1).await;
    let peer = coalition.channel("de", HOLDER).await;
    assert_eq!(get(&peer, "/log/checkpoint").await.status, 200);
    let now = coalition.ambient.now();
    for member in &mut coalition.roster.members {
        if member.id.as_str() == "de" {
            member.suspended_since = Some(wayhome::roster::Timestamp::from_unix(now - 60));
        }
    }
    coalition.roster.version += 1;
    coalition.publish_roster();
    coalition.roster_in_force(HOLDER, 2).await;
    // Its connection is cut, and until then the party behind it is looked up at each request.
    let path = "/log/checkpoint";
    if let Ok(refused) = send(&peer, Method::GET, path, Vec::new(), 1024).await {
        assert_eq!(refused.status, 401);
    }
    coalition.stop_node(HOLDER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_checks_inclusion_and_growth_from_the_tiles_alone() {
    let coalition = after_lookups(3).await;
    let channel = coalition.channel("de", HOLDER).await;
    let mut log = RemoteLog::new(channel, coalition.member(HOLDER)).unwrap();
    let old = log.checkpoint().await.unwrap().head();
    let asker = coalition.channel("ua", HOLDER).await;
    for _ in 0..300 {
        let query = lookup(&coalition, "ua", HOLDER, 1).sign();
        wayhome::proto::exchange::LookupQuery::send(asker.clone(), query)
            .await
            .unwrap();
    }
    let new = log.checkpoint().await.unwrap().head();
    assert!(new.size > 256 && old.size < new.size);
    log.prove_consistency(&old, &new).await.unwrap();

    let store = coalition.store(HOLDER).await;
    let leaves = store.leaves(0, 1_000).await.unwrap();
    for index in [0, 1, old.size, 255, 256, new.size - 1] {
        let hash = leaf_hash(&leaves[index as usize]);
        log.check_inclusion(&hash, index, &new).await.unwrap();
        // Another leaf, another place, another tree: each is a breach.
        let other = leaf_hash(b"another");
        let error = log.check_inclusion(&other, index, &new).await.unwrap_err();
        assert!(error.is_breach(), "{error}");
    }
    let mut forged = old;
    forged.root[0] ^= 1;
    let error = log.prove_consistency(&forged, &new).await.unwrap_err();
    assert!(error.is_breach(), "{error}");
    store.close().await;
}

/// Copies the log to a folder, byte for byte as it is served.
async fn copy_log(channel: &Channel, folder: &Path) -> TreeHead {
    let checkpoint = get(channel, "/log/checkpoint").await;
    let head = head(&checkpoint);
    std::fs::write(folder.join("checkpoint"), &checkpoint.body).unwrap();
    for tile in Tile::all_hashes(head.size).chain(Tile::all_entries(head.size)) {
        let file = folder.join(tile.to_string());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let fetched = get(channel, &format!("/log/{tile}")).await;
        assert_eq!(fetched.status, 200, "{tile}");
        std::fs::write(file, fetched.body).unwrap();
    }
    head
}

/// Go's packages as a distribution installs them, without a module proxy.
const GO_SOURCES: &str = "/usr/share/gocode";

#[tokio::test(flavor = "multi_thread")]
async fn go_reads_and_verifies_the_served_log_unchanged() {
    let installed = Path::new(GO_SOURCES).join("src/golang.org/x/mod/sumdb/tlog");
    if Command::new("go").arg("version").output().is_err() || !installed.exists() {
        left_out(
            "go",
            "Go is not installed here (packages golang-go and golang-golang-x-mod-dev)",
        );
        return;
    }
    let coalition = after_lookups(300).await;
    let ombudsman = coalition.channel(OMBUDSMAN, HOLDER).await;
    let folder = tempfile::tempdir().unwrap();
    let head = copy_log(&ombudsman, folder.path()).await;
    assert!(head.size > 256);

    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("logcheck");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/go/logcheck.go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(source)
        .env("GOPATH", GO_SOURCES)
        .env("GO111MODULE", "off")
        .env("GOCACHE", scratch.path().join("cache"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    let vkey = coalition.member(HOLDER).log.as_ref().unwrap().vkey.clone();
    let check = || {
        Command::new(&program)
            .arg(folder.path())
            .arg(&vkey)
            .output()
            .unwrap()
    };
    let checked = check();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{checked:?}");
    assert!(
        said.starts_with(&format!("leaves={} ", head.size)),
        "{said}"
    );

    // It does look: one bit of one leaf, and it refuses.
    let bundle = folder.path().join("tile/entries/000");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    assert!(!check().status.success());
}

/// The files of a log, as an ombudsman fetches them.
async fn mirrored(coalition: &Coalition, folder: &Path) -> u64 {
    let channel = coalition.channel(OMBUDSMAN, HOLDER).await;
    let checkpoint = get(&channel, "/log/checkpoint").await;
    let size = head(&checkpoint).size;
    let write = |name: &str, body: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    };
    write("checkpoint", &checkpoint.body);
    for tile in Tile::all_hashes(size).chain(Tile::all_entries(size)) {
        let fetched = get(&channel, &format!("/log/{tile}")).await;
        assert_eq!(fetched.status, 200, "{tile}");
        write(&tile.to_string(), &fetched.body);
    }
    size
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_files_is_verified_without_a_node_and_what_is_altered_is_named() {
    let mut coalition = after_lookups(270).await;
    let folder = coalition.path(OMBUDSMAN).join("log");
    let size = mirrored(&coalition, &folder).await;
    assert!(size > 256, "the log is longer than one tile");
    coalition.stop_node(HOLDER).await;

    let key = coalition.member(HOLDER).log.as_ref().unwrap().vkey.clone();
    let verify = async |more: &[&str]| {
        let files = folder.to_str().unwrap();
        let command = [&["--json", "audit", "verify", "--files", files], more].concat();
        run(&coalition.path(OMBUDSMAN), &command).await
    };
    for more in [&[][..], &["--log-key", &key]] {
        let said = verify(more).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.object()["logs"][0]["leaves"], size);
    }
    // Somebody else's key, no key at all, no log.
    let other = coalition.member("ua").log.as_ref().unwrap().vkey.clone();
    assert_eq!(verify(&["--log-key", &other]).await.code, Some(1));
    assert_eq!(verify(&["--log-key", "nonsense"]).await.code, Some(2));

    let found = async |what: &str, file: &str, alter: &dyn Fn(&mut Vec<u8>)| {
        let path = folder.join(file);
        let sound = std::fs::read(&path).unwrap();
        let mut octets = sound.clone();
        alter(&mut octets);
        std::fs::write(&path, &octets).unwrap();
        let said = verify(&[]).await;
        std::fs::write(&path, sound).unwrap();
        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        let finding = said.object()["logs"][0]["findings"][0].clone();
        (
            finding["code"].as_str().unwrap().to_owned(),
            finding["leaf_index"].as_u64(),
        )
    };
    let named = |code: &str, leaf: Option<u64>| (code.to_owned(), leaf);
    // One octet of leaf 200; its length; the leaf left out; the file cut off.
    let leaves = "tile/entries/000";
    let bytes = std::fs::read(folder.join(leaves)).unwrap();
    let tile: Tile = leaves.parse().unwrap();
    let entries = decode_entries(&tile, &bytes).unwrap();
    let at: usize = entries[..200].iter().map(|leaf| leaf.len() + 2).sum();
    let length = entries[200].len() + 2;
    let edited = found("edited", leaves, &|file| file[at + 12] ^= 1).await;
    assert_eq!(edited, named("ALTERED_LEAF", Some(200)));
    let swapped = found("swapped", leaves, &|file| {
        let leaf: Vec<u8> = file.drain(at..at + length).collect();
        file.splice(..0, leaf);
    })
    .await;
    assert_eq!(swapped, named("ALTERED_LEAF", Some(0)));
    for (what, alter) in [
        (
            "left out",
            &(|file: &mut Vec<u8>| drop(file.drain(at..at + length))) as &dyn Fn(&mut Vec<u8>),
        ),
        ("cut off", &|file: &mut Vec<u8>| file.truncate(at)),
        ("empty", &|file: &mut Vec<u8>| file.clear()),
    ] {
        assert_eq!(found(what, leaves, alter).await.0, "UNREADABLE", "{what}");
    }
    // A hash of the leaf, and one above; the size and the root that are claimed.
    let hash = found("hash", "tile/0/000", &|file| file[200 * 32] ^= 1).await;
    assert_eq!(hash, named("ALTERED_LEAF", Some(200)));
    let row = format!("tile/1/000.p/{}", size / 256);
    let above = found("node", &row, &|file| file[0] ^= 1).await;
    assert_eq!(above, named("OTHER_ROOT", Some(0)));
    let shorter = |file: &mut Vec<u8>| {
        let text = String::from_utf8(file.clone()).unwrap();
        *file = text
            .replacen(&format!("\n{size}\n"), "\n3\n", 1)
            .into_bytes();
    };
    let claimed = found("size", "checkpoint", &shorter).await;
    assert_eq!(claimed.0, "BAD_CHECKPOINT");
    // A file that is gone.
    std::fs::remove_file(folder.join(leaves)).unwrap();
    let gone = verify(&[]).await;
    let finding = &gone.object()["logs"][0]["findings"][0];
    assert_eq!(
        (&finding["code"], &finding["leaf_index"]),
        (&"LEAF_MISSING".into(), &0.into())
    );
    std::fs::remove_file(folder.join("checkpoint")).unwrap();
    assert_eq!(verify(&[]).await.code, Some(2));
}
