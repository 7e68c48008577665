//! An ombudsman reads logs from outside, believes nothing unchecked, and names what does not hold.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::sync::oneshot;
use tonic::transport::Channel;
use wayhome::audit::reconcile::{Reconciliation, reconcile};
use wayhome::audit::subject::{SubjectReport, What, subject};
use wayhome::audit::verify::{Reading, Verification, verify};
use wayhome::audit::{Auditor, Fault, LastVerified, Place, Rosters};
use wayhome::envelope::NoteSigner;
use wayhome::envelope::merkle::Hash;
use wayhome::exchange::leaf::Leaf;
use wayhome::exchange::message::Payload as _;
use wayhome::exchange::{PeerError, Peers};
use wayhome::locale::Lang;
use wayhome::node::PinnedPeers;
use wayhome::proto::exchange as pb;
use wayhome::roster::{Member, OmbudsmanScope};
use wayhome::store::{Act, Committed, Ledger, LedgerParts, LogSigner, Unwatched};
use wayhome::tlog::Checkpoint;

use crate::coalition::{Coalition, MEMBERS, OMBUDSMAN};
use crate::exchange::{ABROAD, AT_HOME, ask, search};

/// The party `id` as one that audits.
pub fn auditor(coalition: &Coalition, id: &str) -> Auditor {
    let identity = coalition.identity(id);
    Auditor {
        id: id.parse().unwrap(),
        signing_key: identity.signing.clone(),
        rosters: Rosters::new(
            vec![coalition.trusted_root()],
            Arc::new(coalition.trusted_roster()),
            Vec::new(),
        ),
        peers: Arc::new(PinnedPeers::new(identity, coalition.ambient.clone())),
        hearsay: Arc::default(),
        ambient: coalition.ambient.clone(),
    }
}

async fn read(coalition: &Coalition, id: &str, last: Option<&LastVerified>) -> Verification {
    let reading = Reading {
        last,
        ..Reading::default()
    };
    let auditor = auditor(coalition, OMBUDSMAN);
    let member = coalition.member(id);
    verify(&auditor, member, reading, &|_, _, _| {}, &mut |_, _, _| {}).await
}

async fn report(coalition: &Coalition, id: &str, record_ref: &str) -> SubjectReport {
    let auditor = auditor(coalition, OMBUDSMAN);
    let member = coalition.member(id);
    subject(
        &auditor,
        member,
        record_ref,
        Reading::default(),
        &|_, _, _| {},
    )
    .await
    .unwrap()
}

async fn reconciled(coalition: &Coalition) -> Reconciliation {
    reconciled_by(&auditor(coalition, OMBUDSMAN), coalition, &MEMBERS).await
}

async fn reconciled_by(
    auditor: &Auditor,
    coalition: &Coalition,
    members: &[&str],
) -> Reconciliation {
    let members: Vec<(&Member, Reading<'_>)> = members
        .iter()
        .map(|id| (coalition.member(id), Reading::default()))
        .collect();
    reconcile(auditor, &members, &|_, _, _| {}, &mut |_, _, _, _| {}).await
}

fn assert_holds(log: &Verification) {
    let findings: Vec<String> = log.findings.iter().map(ToString::to_string).collect();
    assert!(log.holds(), "{findings:#?}");
    assert!(log.last.is_some());
}

/// A coalition in which one child was looked up and fields were asked for.
async fn after_an_exchange() -> Coalition {
    let coalition = Coalition::start().await;
    exchange(&coalition).await;
    coalition
}

async fn exchange(coalition: &Coalition) {
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    find_and_ask(coalition).await;
}

async fn find_and_ask(coalition: &Coalition) {
    let answers = search(coalition, "ua", "UA-1").await;
    let lead = &answers[1].results[0].leads[0].lead;
    let fields = ["current_place", "current_carer"];
    ask(coalition, lead, &fields, "family_tracing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_logs_hold_and_tell_one_story() {
    let coalition = after_an_exchange().await;
    for id in MEMBERS {
        let log = read(&coalition, id, None).await;
        assert_holds(&log);
        assert_eq!(log.evidence, log.size());
    }
    let story = reconciled(&coalition).await;
    let findings: Vec<String> = story.findings.iter().map(ToString::to_string).collect();
    assert!(story.holds(), "{findings:#?}");
    assert!(story.matched >= 4, "{}", story.matched);
    let open: Vec<_> = story
        .open
        .iter()
        .map(|loose| loose.to_json().to_string())
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    assert!(story.refused.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_s_report_says_who_asked_and_what_was_told() {
    let coalition = after_an_exchange().await;
    let told = report(&coalition, "pl", "PL-1").await;
    assert_holds(&told.verification);
    assert!(told.held && told.subject.is_some());
    let roster = coalition.trusted_roster();
    let sentences: Vec<String> = told
        .events
        .iter()
        .map(|event| event.sentence(Lang::English, &roster, &told.member))
        .collect();
    // What waits for people is told to them some time or other.
    let told_people = pb::Act::DisclosureEscalated;
    let events: Vec<_> = told
        .events
        .iter()
        .filter(|event| !matches!(event.what, What::Decided { act, .. } if act == told_people))
        .collect();
    let [looked_up, disclosed, audited] = events.as_slice() else {
        panic!("{sentences:#?}");
    };
    assert!(matches!(
        looked_up.what,
        What::LookedUp {
            grade: 3,
            lead: true
        }
    ));
    assert_eq!(looked_up.case_reference, "CASE-1");
    assert!(matches!(
        &disclosed.what,
        What::Disclosed { granted, withheld }
            if *granted == ["current_place"] && *withheld == ["current_carer"]
    ));
    assert!(matches!(audited.what, What::Audited));
    // Names of fields, never their values.
    assert!(!sentences.concat().contains("Lublin"), "{sentences:#?}");

    let told = report(&coalition, "ua", "UA-1").await;
    assert_holds(&told.verification);
    let abroad: Vec<&What> = told.events.iter().map(|event| &event.what).collect();
    assert!(
        abroad
            .iter()
            .any(|what| matches!(what, What::AnswerFromAbroad { grade: 3 }))
    );
    assert!(abroad.iter().any(|what| matches!(
        what,
        What::ToldFromAbroad { granted, .. } if *granted == ["current_place"]
    )));

    // A reference that no record has is proved to have no entry but this very question.
    let nobody = report(&coalition, "pl", "PL-2").await;
    assert_holds(&nobody.verification);
    assert!(!nobody.held);
    assert!(matches!(nobody.events.as_slice(), [event] if event.what == What::Audited));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_from_the_last_time() {
    let coalition = after_an_exchange().await;
    let first = read(&coalition, "pl", None).await;
    let last = first.last.unwrap();
    let member = coalition.member("pl");
    let kept = LastVerified::parse(member, &last.to_text()).unwrap();
    assert_eq!(kept.to_text(), last.to_text());
    assert_eq!(kept.resume_at(), last.head.size);
    let touched = last.to_text().replace("\"size\": ", "\"size\": 1");
    assert!(LastVerified::parse(member, &touched).is_err());
    assert!(LastVerified::parse(coalition.member("ua"), &last.to_text()).is_err());

    let reading = Reading {
        last: Some(&kept),
        only_new: true,
        ..Reading::default()
    };
    let auditor = auditor(&coalition, OMBUDSMAN);
    let second = verify(&auditor, member, reading, &|_, _, _| {}, &mut |_, _, _| {}).await;
    assert_holds(&second);
    // The reading of the evidence, and this reading itself.
    assert_eq!(
        (second.start, second.size()),
        (last.head.size, last.head.size + 2)
    );
}

/// One stored value, and the places of which one must be named if it is altered.
struct Stored {
    table: &'static str,
    column: &'static str,
    rowid: Vec<(&'static str, i64)>,
}

async fn open(coalition: &Coalition, id: &str) -> SqliteConnection {
    let path = coalition.path(id).join("wayhome.db");
    SqliteConnection::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap()
}

impl Stored {
    fn filter(&self) -> String {
        let terms: Vec<String> = self
            .rowid
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        terms.join(" AND ")
    }

    async fn flip(&self, database: &mut SqliteConnection, seed: usize) {
        let Self { table, column, .. } = self;
        let filter = self.filter();
        let sql = format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE {filter}");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_one(&mut *database)
            .await
            .unwrap();
        let mut value: Vec<u8> = row.get(0);
        let at = seed % value.len();
        value[at] ^= 1 << (seed % 8);
        let sql = format!("UPDATE {table} SET {column} = $1 WHERE {filter}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(value)
            .execute(&mut *database)
            .await
            .unwrap();
    }
}

/// Every stored octet string of leaves and evidence.
async fn stored(database: &mut SqliteConnection) -> Vec<Stored> {
    let mut all = Vec::new();
    for (table, columns, key) in [
        (
            "log_leaves",
            &["leaf_hash", "sealed"][..],
            &["leaf_index"][..],
        ),
        ("evidence", &["data_key", "sealed"], &["leaf_index", "part"]),
        (
            "evidence_items",
            &["item_hash", "data_key", "sealed"],
            &["leaf_index", "part", "position"],
        ),
    ] {
        let sql = format!("SELECT {} FROM {table}", key.join(", "));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&mut *database)
            .await
            .unwrap();
        for row in rows {
            for column in columns {
                // What keyholders answered is kept as a hash alone: nothing is sealed there.
                if is_null(database, table, column, key, &row).await {
                    continue;
                }
                all.push(Stored {
                    table,
                    column,
                    rowid: key
                        .iter()
                        .enumerate()
                        .map(|(at, name)| (*name, row.get::<i64, _>(at)))
                        .collect(),
                });
            }
        }
    }
    all
}

async fn is_null(
    database: &mut SqliteConnection,
    table: &str,
    column: &str,
    key: &[&'static str],
    row: &SqliteRow,
) -> bool {
    let at: Vec<String> = key
        .iter()
        .enumerate()
        .map(|(at, name)| format!("{name} = {}", row.get::<i64, _>(at)))
        .collect();
    let sql = format!(
        "SELECT {column} IS NULL FROM {table} WHERE {}",
        at.join(" AND ")
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(&mut *database)
        .await
        .unwrap()
        .get::<bool, _>(0)
}

/// The place that has to be named for a stored value.
fn place(stored: &Stored) -> (u64, &'static str) {
    let leaf = stored.rowid[0].1 as u64;
    let part = match stored.rowid.get(1) {
        None => "leaf",
        Some((_, 0)) => "query",
        Some((_, 1)) => "answer",
        Some((_, 2)) => "opening",
        Some((_, 3)) => "seed",
        Some(_) => "document",
    };
    (leaf, part)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_anywhere_is_named() {
    let mut coalition = after_an_exchange().await;
    assert_holds(&read(&coalition, "ua", None).await);
    coalition.stop_node("ua").await;
    let path = coalition.path("ua").join("wayhome.db");
    let mut database = open(&coalition, "ua").await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut database)
        .await
        .unwrap();
    let all = stored(&mut database).await;
    database.close().await.unwrap();
    let sound = std::fs::read(&path).unwrap();
    assert!(all.len() > 100, "{}", all.len());

    // One after the other would take long: each round alters one value in every seventh place, and
    // every one of them has to be named, and nothing else.
    const ROUNDS: usize = 7;
    for round in 0..ROUNDS {
        restore(&path, &sound);
        coalition.let_lie("ua");
        let mut database = open(&coalition, "ua").await;
        let altered: Vec<&Stored> = all.iter().skip(round).step_by(ROUNDS).collect();
        for (number, stored) in altered.iter().enumerate() {
            stored.flip(&mut database, number * 31 + round).await;
        }
        database.close().await.unwrap();
        coalition.start_node("ua").await;
        let log = read(&coalition, "ua", None).await;
        coalition.stop_node("ua").await;
        let expected: BTreeSet<(u64, &str)> = altered.iter().map(|stored| place(stored)).collect();
        let damaged_leaves: BTreeSet<u64> = expected
            .iter()
            .filter(|(_, part)| *part == "leaf")
            .map(|(leaf, _)| *leaf)
            .collect();
        let named: BTreeSet<(u64, &str)> = log
            .findings
            .iter()
            .map(|finding| {
                let leaf = finding.place.leaf_index();
                (leaf.unwrap_or(u64::MAX), finding.place.as_str())
            })
            .collect();
        let missed: Vec<_> = expected
            .difference(&named)
            // What stands behind a leaf that cannot be read cannot be judged either.
            .filter(|(leaf, part)| *part == "leaf" || !damaged_leaves.contains(leaf))
            .collect();
        assert!(missed.is_empty(), "round {round}: {missed:?}");
        let too_many: Vec<String> = log
            .findings
            .iter()
            .filter(|finding| {
                let leaf = finding.place.leaf_index().unwrap_or(u64::MAX);
                !expected.contains(&(leaf, finding.place.as_str()))
            })
            .map(ToString::to_string)
            .collect();
        assert!(too_many.is_empty(), "round {round}: {too_many:#?}");
        // The root holds all the same: the hashes of damaged leaves were proved.
        assert!(log.last.is_some(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_checkpoint_is_named() {
    let coalition = after_an_exchange().await;
    let mut database = open(&coalition, "pl").await;
    let length = checkpoint(&mut database).await.len();
    for at in (0..length).step_by(29) {
        let mut text = checkpoint(&mut database).await;
        let at = at % text.len();
        text[at] ^= 1;
        sqlx::query("UPDATE log_state SET checkpoint = CAST($1 AS TEXT)")
            .bind(text)
            .execute(&mut database)
            .await
            .unwrap();
        let log = read(&coalition, "pl", None).await;
        assert!(
            log.findings
                .iter()
                .any(|finding| finding.place == Place::Checkpoint),
            "octet {at}: {:?}",
            log.findings
        );
        if log.last.is_none() {
            // The node refuses to go on from a checkpoint that is not its own.
            break;
        }
    }
}

async fn checkpoint(database: &mut SqliteConnection) -> Vec<u8> {
    sqlx::query("SELECT CAST(checkpoint AS BLOB) FROM log_state")
        .fetch_one(database)
        .await
        .unwrap()
        .get(0)
}

/// Damages the newest leaf of a stopped node's database.
pub async fn damage_a_new_leaf(coalition: &Coalition, id: &str) {
    let mut database = open(coalition, id).await;
    let newest = sqlx::query("SELECT max(leaf_index) FROM log_leaves")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let leaf = Stored {
        table: "log_leaves",
        column: "sealed",
        rowid: vec![("leaf_index", newest.get(0))],
    };
    leaf.flip(&mut database, 9).await;
    database.close().await.unwrap();
}

fn restore(path: &Path, sound: &[u8]) {
    for side in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(path.with_extension(side));
    }
    std::fs::write(path, sound).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_taken_back_is_found_out() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    // The state before anyone asked.
    coalition.stop_node("pl").await;
    let path = coalition.path("pl").join("wayhome.db");
    let before = std::fs::read(&path).unwrap();
    coalition.start_node("pl").await;
    find_and_ask(&coalition).await;
    let last = read(&coalition, "pl", None).await.last.unwrap();

    coalition.stop_node("pl").await;
    restore(&path, &before);
    coalition.let_lie("pl");
    coalition.start_node("pl").await;
    let log = read(&coalition, "pl", Some(&last)).await;
    assert!(
        log.findings
            .iter()
            .any(|finding| matches!(finding.fault, Fault::CutBack { .. })),
        "{:?}",
        log.findings
    );
    assert!(log.last.is_none());
    // So is one that is read from where it held: what is left is read from the first leaf.
    let reading = Reading {
        last: Some(&last),
        only_new: true,
        ..Reading::default()
    };
    let log = verify(
        &auditor(&coalition, OMBUDSMAN),
        coalition.member("pl"),
        reading,
        &|_, _, _| {},
        &mut |_, _, _| {},
    )
    .await;
    assert!(log.start == 0 && log.size() > 0);
    // It may have grown to the old size by being read, and is another history then.
    let taken_back = |finding: &wayhome::audit::Finding| {
        matches!(finding.fault, Fault::CutBack { .. } | Fault::Forked { .. })
    };
    assert!(log.findings.iter().any(taken_back), "{:?}", log.findings);
    // Grown past the old size again, it is another history.
    for _ in 0..last.head.size {
        read(&coalition, "pl", None).await;
    }
    let log = read(&coalition, "pl", Some(&last)).await;
    let reading = Reading {
        last: Some(&last),
        only_new: true,
        ..Reading::default()
    };
    let grown = verify(
        &auditor(&coalition, OMBUDSMAN),
        coalition.member("pl"),
        reading,
        &|_, _, _| {},
        &mut |_, _, _| {},
    )
    .await;
    let rewritten = |finding: &wayhome::audit::Finding| {
        matches!(
            finding.fault,
            Fault::Forked { .. } | Fault::Rewritten { .. }
        )
    };
    assert!(grown.findings.iter().any(rewritten), "{:?}", grown.findings);
    let forked = log
        .findings
        .iter()
        .find(|finding| matches!(finding.fault, Fault::Forked { .. }))
        .unwrap();
    assert_eq!(forked.to_json()["proof"][0], last.checkpoint);

    // Without any memory of its own, the other side's evidence shows it.
    let story = reconciled(&coalition).await;
    let denied = |finding: &&wayhome::audit::Finding| {
        finding.member.as_str() == "pl" && matches!(finding.fault, Fault::AnswerDenied { .. })
    };
    assert!(story.findings.iter().any(|finding| denied(&finding)));
    assert!(story.findings.iter().any(|finding| {
        finding.member.as_str() == "pl" && matches!(finding.fault, Fault::BrokenPromise { .. })
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hides_its_question_is_found_out() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    coalition.stop_node("ua").await;
    let path = coalition.path("ua").join("wayhome.db");
    let before = std::fs::read(&path).unwrap();
    coalition.start_node("ua").await;
    find_and_ask(&coalition).await;
    coalition.stop_node("ua").await;
    restore(&path, &before);
    coalition.let_lie("ua");
    coalition.start_node("ua").await;

    let story = reconciled(&coalition).await;
    let hidden: Vec<_> = story
        .findings
        .iter()
        .filter(|finding| matches!(finding.fault, Fault::QueryDenied { .. }))
        .collect();
    // A lookup at each of the two others, and a disclosure.
    assert_eq!(hidden.len(), 3, "{hidden:?}");
    assert!(hidden.iter().all(|finding| finding.member.as_str() == "ua"));
    // Within itself the log holds: only both sides together show it.
    assert!(story.logs.iter().all(Verification::holds));
}

/// Signs a log as its node does.
struct OwnKey(NoteSigner);

impl LogSigner for OwnKey {
    fn sign_checkpoint(&self, size: u64, root: &Hash) -> String {
        let origin = self.0.note_key().name().clone();
        let checkpoint = Checkpoint::new(origin, size, *root).unwrap();
        checkpoint.sign(&self.0).unwrap().to_string()
    }
}

/// Puts leaves into the log of a stopped node, as its operator can who means to deceive.
async fn append(coalition: &Coalition, id: &str, entries: Vec<pb::LogEntry>) {
    let store = coalition.store(id).await;
    let ledger = Ledger::start(LedgerParts {
        store: store.clone(),
        signer: Arc::new(OwnKey(coalition.identity(id).log.clone())),
        keeper: Arc::new(Unwatched),
    });
    for entry in entries {
        let done = ledger
            .commit(Act::alone(entry.encode_to_vec()))
            .await
            .unwrap();
        assert!(matches!(done, Committed::Done { .. }));
    }
    drop(ledger);
    store.close().await;
    coalition.let_lie(id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_with_nothing_signed_behind_it_accuses_nobody_but_its_log() {
    let mut coalition = Coalition::start().await;
    coalition.stop_node("pl").await;
    let acts = [
        pb::Act::LookupAnswered,
        pb::Act::QueryRefused,
        pb::Act::LookupReceived,
    ];
    let invented = (1..).zip(acts).map(|(number, act)| {
        let leaf = Leaf::new(act, &coalition.ambient, &pb::Outcome::default()).set(|entry| {
            entry.peer = "ua".to_owned();
            entry.message_id = vec![number; 16];
            entry.query_digest = vec![number; 32];
            entry.answer_digest = vec![number; 32];
            entry.purpose = pb::Purpose::FamilyTracing.into();
            entry.legal_basis = pb::LegalBasis::Consent.into();
            entry.count = 1;
            entry.reference = "0".to_owned();
        });
        pb::LogEntry::decode(leaf.finish().0.as_slice()).unwrap()
    });
    append(&coalition, "pl", invented.collect()).await;
    coalition.start_node("pl").await;
    let story = reconciled(&coalition).await;
    assert_eq!(story.findings, Vec::new());
    for log in &story.logs {
        let missing = log
            .findings
            .iter()
            .any(|finding| finding.fault == Fault::Missing);
        assert_eq!(missing, log.member.as_str() == "pl", "{:?}", log.findings);
    }
}

/// Poland is out of reach from when Ukraine's log is asked for; something happens before that.
struct Meanwhile {
    peers: PinnedPeers,
    happens: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
    gone: AtomicBool,
}

impl Peers for Meanwhile {
    fn channel<'a>(
        &'a self,
        member: &'a Member,
    ) -> Pin<Box<dyn Future<Output = Result<Channel, PeerError>> + Send + 'a>> {
        Box::pin(async move {
            let happens = match member.id.as_str() {
                "ua" => self.happens.lock().unwrap().take(),
                _ => None,
            };
            if let Some((now, happened)) = happens {
                now.send(()).unwrap();
                happened.await.unwrap();
                self.gone.store(true, Ordering::Release);
            }
            if member.id.as_str() == "pl" && self.gone.load(Ordering::Acquire) {
                return Err(PeerError::Address {
                    member: "pl".to_owned(),
                    why: "it is away".to_owned(),
                });
            }
            self.peers.channel(member).await
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_reading_broke_off_is_not_said_to_deny_what_came_after() {
    let coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    let (now, is_read) = oneshot::channel();
    let (happened, has_happened) = oneshot::channel();
    let mut auditor = auditor(&coalition, OMBUDSMAN);
    auditor.peers = Arc::new(Meanwhile {
        peers: PinnedPeers::new(coalition.identity(OMBUDSMAN), coalition.ambient.clone()),
        happens: Mutex::new(Some((now, has_happened))),
        gone: AtomicBool::new(false),
    });
    let searching = async {
        is_read.await.unwrap();
        find_and_ask(&coalition).await;
        happened.send(()).unwrap();
    };
    let reading = reconciled_by(&auditor, &coalition, &["pl", "ua"]);
    let (story, ()) = tokio::join!(reading, searching);
    // Ukraine's log tells of answers that Poland's, as far as it was read, does not have.
    let [pl, ua] = story.logs.as_slice() else {
        panic!("{} logs", story.logs.len());
    };
    assert!(
        ua.leaves()
            .any(|(_, entry)| entry.act == pb::Act::LookupReceived)
    );
    assert!(
        pl.leaves()
            .all(|(_, entry)| entry.act != pb::Act::LookupAnswered)
    );
    assert!(pl.torn() && !ua.torn(), "{:?}", pl.findings);
    assert_eq!(story.findings, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_ombudsman_within_its_scope_may_read() {
    let coalition = Coalition::start_with(|roster| {
        let ombudsman = roster
            .members
            .iter_mut()
            .find(|member| member.id.as_str() == OMBUDSMAN)
            .unwrap();
        ombudsman.roles.ombudsman = Some(OmbudsmanScope::Member("pl".parse().unwrap()));
    })
    .await;
    assert_holds(&read(&coalition, "pl", None).await);
    let refused = |log: &Verification, code: &str| {
        assert!(
            log.findings.iter().any(|finding| matches!(
                &finding.fault,
                Fault::Refused { code: found, .. } if found == code
            )),
            "{:?}",
            log.findings
        );
    };
    let log = read(&coalition, "de", None).await;
    refused(&log, "OUT_OF_SCOPE");
    // A member is no ombudsman, not even for its peers.
    let member = auditor(&coalition, "ua");
    let log = verify(
        &member,
        coalition.member("pl"),
        Reading::default(),
        &|_, _, _| {},
        &mut |_, _, _| {},
    )
    .await;
    refused(&log, "ROLE_MISSING");
    // Both attempts are on record where they were made.
    let mut recorded = false;
    let log = verify(
        &auditor(&coalition, OMBUDSMAN),
        coalition.member("pl"),
        Reading::default(),
        &|_, _, _| {},
        &mut |_, entry, _| recorded |= &*entry.reference == "ROLE_MISSING",
    )
    .await;
    assert_holds(&log);
    assert!(recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_peer_signed_and_that_does_not_hold_is_kept_and_reported() {
    let mut coalition = Coalition::start().await;
    coalition.import("ua", &[AT_HOME]).await;
    coalition.import("pl", &[ABROAD]).await;
    coalition.misstate_log("ua", "pl").await;
    let answers = search(&coalition, "ua", "UA-1").await;
    assert!(
        answers[1].error_message.contains("receipt"),
        "{}",
        answers[1].error_message
    );
    let kept: Vec<(u64, pb::LogEntry)> = (0..)
        .zip(coalition.leaves("ua", 0).await)
        .filter(|(_, leaf)| leaf.act() == pb::Act::WrongAnswer)
        .collect();
    let [(index, leaf)] = kept.as_slice() else {
        panic!("{} answers are kept", kept.len());
    };
    assert_eq!(
        (leaf.peer.as_str(), leaf.reference.as_str()),
        ("pl", "BAD_RECEIPT")
    );
    // The log that keeps it is whole, with the receipts that Poland gave under the key of before: the
    // roster of then stands in the log. And it tells the ombudsman, who may show it to others.
    let log = read(&coalition, "ua", None).await;
    assert_holds(&log);
    let [reported] = log.reported.as_slice() else {
        panic!("{:?}", log.reported);
    };
    assert_eq!(reported.member.as_str(), "pl");
    let Fault::WrongAnswer {
        leaf, why, answer, ..
    } = &reported.fault
    else {
        panic!("{reported}");
    };
    assert_eq!((leaf, why.as_str()), (index, "BAD_RECEIPT"));
    let answer = pb::SignedMessage::decode(answer.as_slice()).unwrap();
    let envelope = answer.envelope.unwrap();
    assert_eq!(envelope.payload_type, pb::LookupAnswer::TYPE);
    let payload = pb::LookupAnswer::decode(envelope.payload.as_slice()).unwrap();
    assert_eq!(payload.header.unwrap().issuer, "pl");
}
