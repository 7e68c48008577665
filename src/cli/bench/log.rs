//! `bench log`: how fast acts become durable, and how fast a log is verified.
//!
//! *Appends* go through the node's own ledger into a database on this machine's disk: an embedded
//! one, or with `--database postgres` one on a server that is started for it.
//! Each is an act as one answered lookup leaves it: query, answer and opening kept as evidence,
//! the query remembered, a quota drawn on, the answer signed inside the commit, the checkpoint
//! signed. Afterwards the log is read back and held against its newest checkpoint.
//!
//! *Verification* reads a log in the files that nodes serve (C2SP tlog-tiles) from the disk, on one
//! thread, as `wayhome audit verify --files` does: each leaf is parsed and hashed, each stored hash
//! compared with the one computed, and the root with the signed checkpoint. Then one octet of one leaf
//! is altered, and has to be found; and a log that has grown by a thousand leaves is verified from
//! where the last sound reading ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use zeroize::Zeroizing;

use super::{Bench, Figure, Measured, Measuring, Options, place::Place};
use crate::ambient::Ambient;
use crate::audit::files;
use crate::cli::{CliError, Context};
use crate::demo::Database;
use crate::envelope::{Envelope, ItemEvidence, KeyName, NoteKey, NoteSigner, SigningKey};
use crate::exchange::leaf::Leaf;
use crate::proto::exchange as pb;
use crate::store::{
    Act, Committed, Debit, Effect, Evidence, EvidencePart, Ledger, LedgerParts, LogSigner, Seen,
    Store, StoreError, TagKind, Unwatched,
};
use crate::tlog::tile::{Tile, decode_entries, encode_entries, encode_hashes};
use crate::tlog::tree::leaf_hash;
use crate::tlog::{Checkpoint, Frontier, Hash, LogChecker, SignedCheckpoint, TileKind, TreeHead};
use crate::vault::{DataKey, KeyRing};

/// The benchmark.
pub const BENCH: Bench = Bench {
    name: "log",
    about: "durable acts, and verification of a log",
    run,
};

/// How many leaves the verified log has, unless told otherwise.
const LEAVES: u64 = 1_000_000;

/// By how many leaves it grows before it is verified again.
const NEW: u64 = 1_000;

/// How many acts are made durable for each hundred leaves verified.
const ACTS_PER_HUNDRED: u64 = 2;

/// How many acts are under way at once.
const AT_ONCE: u64 = 256;

/// Commits one after the other, as what grouping is held against.
const ALONE: u64 = 200;

/// Octets of one subject of a query, its result, and their salt (docs/protocol.md).
const SUBJECT: usize = 16 + 587;
const RESULT: usize = 16 + 92;

const NAME: &str = "bench.wayhome.internal/log";

fn run<'a>(context: &'a Context, options: &'a Options) -> Measuring<'a> {
    Box::pin(measure(
        context,
        options.count.unwrap_or(LEAVES),
        options.database,
    ))
}

async fn measure(context: &Context, leaves: u64, database: Database) -> Result<Measured, CliError> {
    if leaves < 100 {
        return Err(CliError::input(
            "COUNT",
            "a log of so few leaves says nothing: give --count 100 or more",
        ));
    }
    // A temporary folder is often in memory, where nothing is durable.
    let place = Place::within(context, context.directory.path())?;
    let acts = (leaves / 100 * ACTS_PER_HUNDRED).clamp(200, 50_000);
    let server = database.server(&context.ambient)?;
    let address = match &server {
        Some(server) => server.create_database("bench")?,
        None => format!("sqlite:{}", place.path().join("bench.db").display()),
    };
    let appended = append(context, &address, acts).await?;
    drop(server);
    let folder = place.path().to_owned();
    let ambient = context.ambient.clone();
    let verified = tokio::task::spawn_blocking(move || verify(&ambient, &folder, leaves))
        .await
        .map_err(|error| CliError::failed("BENCH", error))??;
    let per_second = |count: u64, ms: u64| count as f64 * 1000.0 / ms.max(1) as f64;
    Ok(Measured {
        figures: vec![
            Figure::new(
                "durable_appends_per_second",
                per_second(acts, appended.together_ms),
                "1/s",
            )
            .against(
                "one commit for each act",
                per_second(ALONE, appended.alone_ms),
            ),
            Figure::new(
                "verified_leaves_per_second",
                per_second(leaves, verified.cold_ms),
                "1/s",
            )
            .against("1,000,000 leaves in 60 s", LEAVES as f64 / 60.0),
            Figure::new("cold_verification_s", verified.cold_ms as f64 / 1000.0, "s"),
            Figure::new("new_thousand_ms", verified.new_ms as f64, "ms"),
            Figure::new("altered_leaf_found_ms", verified.altered_ms as f64, "ms"),
        ],
        method: format!(
            "{acts} acts, {AT_ONCE} under way at once, into {} with every commit forced to the disk; then {leaves} leaves verified from tile files by one thread, and {NEW} new ones from where that ended. Between the two one octet of one leaf is altered, and the reading names that leaf.",
            match database {
                Database::Sqlite => "SQLite",
                Database::Postgres => "PostgreSQL",
            }
        ),
    })
}

struct Appended {
    together_ms: u64,
    alone_ms: u64,
}

struct Signer(NoteSigner);

impl LogSigner for Signer {
    fn sign_checkpoint(&self, size: u64, root: &Hash) -> String {
        Checkpoint::new(self.0.note_key().name().clone(), size, *root)
            .and_then(|checkpoint| checkpoint.sign(&self.0))
            .map(|signed| signed.to_string())
            .unwrap_or_default()
    }
}

fn log_signer(ambient: &Ambient) -> Result<NoteSigner, CliError> {
    let name = KeyName::new(NAME).map_err(|error| CliError::failed("BENCH", error))?;
    Ok(NoteSigner::new(
        name,
        SigningKey::generate(&mut ambient.rng()),
    ))
}

async fn append(context: &Context, address: &str, acts: u64) -> Result<Appended, CliError> {
    let ambient = &context.ambient;
    let signer = log_signer(ambient)?;
    let store = Store::open(
        address,
        KeyRing::generate(&mut ambient.rng()),
        DataKey::from_bytes(&ambient.random()),
        ambient.clone(),
    )
    .await?;
    let ledger = Ledger::start(LedgerParts {
        store: store.clone(),
        signer: Arc::new(Signer(signer.clone())),
        keeper: Arc::new(Unwatched),
    });
    let key = Arc::new(SigningKey::generate(&mut ambient.rng()));
    // What a node does before it commits, it does on other cores; here it is done beforehand.
    let mut ready: Vec<Act> = (0..acts + ALONE)
        .map(|_| answered_lookup(ambient, &store, &key))
        .collect();
    let alone: Vec<Act> = ready.drain(..usize::try_from(ALONE).unwrap_or(0)).collect();
    let began = ambient.now_ms();
    for act in alone {
        done(ledger.commit(act).await)?;
    }
    let alone_ms = ambient.now_ms() - began;

    let mut shares: Vec<Vec<Act>> = (0..AT_ONCE).map(|_| Vec::new()).collect();
    let count = shares.len();
    for (number, act) in ready.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(number % count) {
            share.push(act);
        }
    }
    let began = ambient.now_ms();
    let ended = join_all(shares.into_iter().map(|share| {
        let ledger = ledger.clone();
        async move {
            for act in share {
                done(ledger.commit(act).await)?;
            }
            Ok::<_, CliError>(())
        }
    }))
    .await;
    let together_ms = ambient.now_ms() - began;
    ended.into_iter().collect::<Result<Vec<_>, _>>()?;

    check_stored(&store, &signer, acts + ALONE).await?;
    store.close().await;
    Ok(Appended {
        together_ms,
        alone_ms,
    })
}

/// An act as one answered lookup of one child leaves it.
fn answered_lookup(ambient: &Ambient, store: &Store, key: &Arc<SigningKey>) -> Act {
    let message_id: [u8; 16] = ambient.random();
    let query_digest: [u8; 32] = ambient.random();
    let items = |octets: usize| {
        let mut item = vec![0; octets];
        item[..32].copy_from_slice(&ambient.random::<32>());
        vec![ItemEvidence::Full(Zeroizing::new(item))]
    };
    let (leaf, opening) = Leaf::new(pb::Act::LookupAnswered, ambient, &pb::Outcome::default())
        .set(|entry| {
            entry.peer = "ua".to_owned();
            entry.message_id = message_id.to_vec();
            entry.query_digest = query_digest.to_vec();
            entry.answer_digest = ambient.random::<32>().to_vec();
            entry.purpose = pb::Purpose::FamilyTracing.into();
            entry.legal_basis = pb::LegalBasis::PublicInterest.into();
            entry.count = 1;
        })
        .finish();
    let envelope = |payload: usize| {
        Envelope::sign("application/vnd.wayhome.bench.v1", vec![7; payload], key)
            .map(|envelope| envelope.unverified_parts().payload.to_vec())
            .unwrap_or_default()
    };
    let query = Evidence {
        envelope: Zeroizing::new(envelope(400)),
        items: items(SUBJECT),
    };
    let (result, key) = (items(RESULT), Arc::clone(key));
    Act {
        leaf,
        seen: Some(Seen {
            tag: store.tag(TagKind::Seen, &[b"ua", &message_id]),
            query_digest,
            expires_ms: ambient.now_ms() + 600_000,
        }),
        debits: vec![Debit {
            quota: "subjects_per_day",
            expires_ms: None,
            otherwise: None,
            tag: store.tag(TagKind::Quota, &[b"ua", b"subjects"]),
            amount: 1,
            limit: u64::MAX >> 1,
        }],
        effects: vec![
            Effect::Keep(EvidencePart::Query, query),
            Effect::Keep(EvidencePart::Opening, Evidence::plain(opening)),
        ],
        answer: Some(Box::new(move |position| {
            let mut payload = vec![7; 400];
            payload.extend_from_slice(position.checkpoint.as_bytes());
            let signed = Envelope::sign("application/vnd.wayhome.bench.v1", payload, &key);
            Evidence {
                envelope: Zeroizing::new(
                    signed
                        .map(|envelope| {
                            let parts = envelope.unverified_parts();
                            let mut bytes = parts.payload.to_vec();
                            for signature in parts.signatures {
                                bytes.extend_from_slice(&signature.sig);
                            }
                            bytes
                        })
                        .unwrap_or_default(),
                ),
                items: result.clone(),
            }
        })),
    }
}

fn done(committed: Result<Committed, StoreError>) -> Result<(), CliError> {
    match committed? {
        Committed::Done {
            answer: Some(_), ..
        } => Ok(()),
        _ => Err(CliError::failed("BENCH", "an act was not done as asked")),
    }
}

/// What was measured has to be right: every leaf is there under the newest checkpoint.
async fn check_stored(store: &Store, signer: &NoteSigner, leaves: u64) -> Result<(), CliError> {
    let wrong = |why: String| CliError::failed("BENCH", format!("the log does not hold: {why}"));
    let newest = store
        .newest_signed()
        .await?
        .ok_or_else(|| wrong("it is empty".to_owned()))?;
    let mut checker = LogChecker::new();
    while checker.next_index() < newest.head.size {
        let start = checker.next_index();
        for (index, leaf) in (start..).zip(store.leaves(start, 4_096).await?) {
            checker
                .feed(index, &leaf)
                .map_err(|error| wrong(error.to_string()))?;
        }
    }
    let signed = SignedCheckpoint::parse(newest.checkpoint.as_bytes())
        .and_then(|signed| signed.verify(&[signer.note_key()]))
        .map_err(|error| wrong(error.to_string()))?;
    checker
        .finish(signed.head())
        .map_err(|error| wrong(error.to_string()))?;
    if signed.head().size == leaves {
        Ok(())
    } else {
        Err(wrong(format!(
            "{} leaves in place of {leaves}",
            signed.head().size
        )))
    }
}

struct Verified {
    cold_ms: u64,
    new_ms: u64,
    altered_ms: u64,
}

fn verify(ambient: &Ambient, folder: &Path, leaves: u64) -> Result<Verified, CliError> {
    let signer = log_signer(ambient)?;
    let folder = folder.join("log");
    let mut log = Written::new(&folder);
    log.grow(ambient, leaves)?;
    let old = log.publish(&signer, 0)?;

    let key = signer.note_key();
    let wrong = |error: files::FilesFault| CliError::failed("BENCH", error);
    let began = ambient.now_ms();
    let read = files::verify(&folder, &key, None).map_err(wrong)?;
    let cold_ms = ambient.now_ms() - began;
    let head = read.checkpoint.head();
    if head != old {
        return Err(CliError::failed("BENCH", "another log was read"));
    }
    let altered_ms = find_altered(ambient, &folder, &key, leaves)?;
    log.grow(ambient, NEW)?;
    log.publish(&signer, leaves)?;
    let began = ambient.now_ms();
    let read = files::verify(&folder, &key, Some((read.frontier, head))).map_err(wrong)?;
    let new_ms = ambient.now_ms() - began;
    if read.checkpoint.head().size != leaves + NEW {
        return Err(CliError::failed("BENCH", "the new leaves were not read"));
    }
    Ok(Verified {
        cold_ms,
        new_ms,
        altered_ms,
    })
}

/// Alters one octet of one leaf in the files, and gives how long it takes until the leaf is named.
fn find_altered(
    ambient: &Ambient,
    folder: &Path,
    key: &NoteKey,
    leaves: u64,
) -> Result<u64, CliError> {
    let wrong = |why: &str| CliError::failed("BENCH", why);
    let altered = leaves / 3 * 2;
    let tile = Tile::of_leaf(altered, leaves).ok_or_else(|| wrong("the log has no such leaf"))?;
    let path = folder.join(tile.to_string());
    let sound = std::fs::read(&path)?;
    let mut octets = sound.clone();
    let place = decode_entries(&tile, &octets)
        .ok()
        .and_then(|entries| {
            let within = usize::try_from(altered - tile.leaves().start).ok()?;
            let before: usize = entries.iter().take(within).map(|leaf| leaf.len() + 2).sum();
            Some(before + 2)
        })
        .and_then(|at| octets.get_mut(at + 1))
        .ok_or_else(|| wrong("the leaf is not in its file"))?;
    *place ^= 1;
    std::fs::write(&path, octets)?;
    let began = ambient.now_ms();
    let found = files::verify(folder, key, None);
    let took = ambient.now_ms() - began;
    std::fs::write(&path, sound)?;
    match found {
        Err(fault) if fault.leaf_index() == Some(altered) && fault.code() == "ALTERED_LEAF" => {
            Ok(took)
        }
        Err(fault) => Err(wrong(&format!("leaf {altered} was altered, and {fault}"))),
        Ok(_) => Err(wrong("a leaf was altered, and the log holds")),
    }
}

/// A log as files.
struct Written {
    folder: PathBuf,
    tree: Frontier,
    leaves: Vec<Vec<u8>>,
    levels: Vec<Vec<Hash>>,
}

impl Written {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            tree: Frontier::new(),
            leaves: Vec::new(),
            levels: vec![Vec::new(); 8],
        }
    }

    fn grow(&mut self, ambient: &Ambient, count: u64) -> Result<(), CliError> {
        for _ in 0..count {
            let (leaf, _) = Leaf::new(pb::Act::LookupAnswered, ambient, &pb::Outcome::default())
                .set(|entry| {
                    entry.peer = "ua".to_owned();
                    entry.message_id = ambient.random::<16>().to_vec();
                    entry.query_digest = ambient.random::<32>().to_vec();
                    entry.answer_digest = ambient.random::<32>().to_vec();
                    entry.purpose = pb::Purpose::FamilyTracing.into();
                    entry.legal_basis = pb::LegalBasis::PublicInterest.into();
                    entry.count = 1;
                })
                .finish();
            let levels = &mut self.levels;
            self.tree.append_each(leaf_hash(&leaf), |node, hash| {
                if node.level % 8 == 0
                    && let Some(level) = levels.get_mut(usize::from(node.level / 8))
                {
                    level.push(*hash);
                }
            });
            self.leaves.push(leaf);
        }
        Ok(())
    }

    /// Writes the files that a log of this size has and one of `old` leaves had not.
    fn publish(&self, signer: &NoteSigner, old: u64) -> Result<TreeHead, CliError> {
        let head = TreeHead {
            size: self.tree.size(),
            root: self.tree.root(),
        };
        let wrong = |error: &dyn std::error::Error| CliError::failed("BENCH", error);
        let slice = |tile: &Tile| {
            let first = usize::try_from(tile.index()).unwrap_or(usize::MAX) * 256;
            first..first.saturating_add(usize::from(tile.width()))
        };
        let new = |tile: &Tile| !tile.is_in(old);
        for tile in Tile::all_hashes(head.size).filter(new) {
            let TileKind::Hashes { level } = tile.kind() else {
                continue;
            };
            let hashes = self
                .levels
                .get(usize::from(level))
                .and_then(|level| level.get(slice(&tile)))
                .unwrap_or_default();
            let bytes = encode_hashes(&tile, hashes).map_err(|error| wrong(&error))?;
            self.write(&tile.to_string(), &bytes)?;
        }
        for tile in Tile::all_entries(head.size).filter(new) {
            let leaves = self.leaves.get(slice(&tile)).unwrap_or_default();
            let bytes = encode_entries(&tile, leaves).map_err(|error| wrong(&error))?;
            self.write(&tile.to_string(), &bytes)?;
        }
        let text = Signer(signer.clone()).sign_checkpoint(head.size, &head.root);
        self.write("checkpoint", text.as_bytes())?;
        Ok(head)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CliError> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, bytes)?;
        Ok(())
    }
}
