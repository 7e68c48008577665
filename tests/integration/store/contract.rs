use std::collections::BTreeSet;
use std::sync::Arc;

use tempfile::TempDir;
use wayhome::ambient::{Ambient, ManualClock, SystemRandomness};
use wayhome::envelope::merkle::{Hash, leaf_hash};
use wayhome::envelope::{ItemEvidence, KeyName, NoteSigner, SigningKey};
use wayhome::store::{
    AccountRow, Act, Committed, Debit, Effect, Evidence, EvidencePart, Findable, Hit, Lead, Ledger,
    LedgerParts, LogSigner, RecordState, RecordTokens, RequestRow, Seen, StagedRecord, Store, Surveyed,
    TagKind, Unwatched, row_hash,
};
use wayhome::tlog::proof::{
    assemble_consistency, assemble_inclusion, consistency_nodes, inclusion_nodes,
    verify_consistency, verify_inclusion,
};
use wayhome::tlog::{Checkpoint, SignedCheckpoint};
use wayhome::vault::{DataKey, KeyRing};
use zeroize::Zeroizing;

struct Fixture {
    home: TempDir,
    ambient: Ambient,
    signer: NoteSigner,
    store: Store,
    ledger: Ledger,
}

struct Signer(NoteSigner);

impl LogSigner for Signer {
    fn sign_checkpoint(&self, size: u64, root: &Hash) -> String {
        Checkpoint::new(self.0.note_key().name().clone(), size, *root)
            .and_then(|checkpoint| checkpoint.sign(&self.0))
            .unwrap()
            .to_string()
    }
}

const TIME_MS: u64 = 1_790_000_000_000;

async fn fixture() -> Fixture {
    let home = tempfile::tempdir().unwrap();
    let ambient = Ambient::new(ManualClock::at_ms(TIME_MS), SystemRandomness);
    let ring = KeyRing::generate(&mut ambient.rng());
    std::fs::write(home.path().join("ring"), ring.to_text().as_bytes()).unwrap();
    let signer = NoteSigner::new(
        KeyName::new("store.test/log").unwrap(),
        SigningKey::generate(&mut ambient.rng()),
    );
    open(home, ambient, signer).await
}

async fn open(home: TempDir, ambient: Ambient, signer: NoteSigner) -> Fixture {
    let ring = KeyRing::from_text(&std::fs::read_to_string(home.path().join("ring")).unwrap());
    let address = database(home.path());
    let store = Store::open(
        &address,
        ring.unwrap(),
        DataKey::from_bytes(&[9; 32]),
        ambient.clone(),
    )
    .await
    .unwrap();
    let ledger = Ledger::start(LedgerParts {
        store: store.clone(),
        signer: Arc::new(Signer(signer.clone())),
        keeper: Arc::new(Unwatched),
    });
    Fixture {
        home,
        ambient,
        signer,
        store,
        ledger,
    }
}

impl Fixture {
    async fn reopen(self) -> Self {
        drop(self.ledger);
        self.store.close().await;
        open(self.home, self.ambient, self.signer).await
    }

    async fn done(&self, act: Act) -> u64 {
        match self.ledger.commit(act).await.unwrap() {
            Committed::Done { position, .. } => position.leaf_index,
            _ => panic!("the act was refused"),
        }
    }

    async fn import(&self, records: Vec<StagedRecord>) {
        let id = self.ambient.random();
        self.store.stage_import(id, records).await.unwrap();
        self.done(Act::alone(b"import".to_vec()).with(Effect::CommitImport(id)))
            .await;
    }

    /// Gives every record that waits one token made of its content.
    async fn enrol(&self) {
        let records = self.store.records_to_enrol(100).await.unwrap();
        let tokens = records
            .iter()
            .map(|record| {
                (
                    record,
                    vec![RecordTokens {
                        epoch: 1,
                        presence: 3,
                        tokens: Zeroizing::new(vec![1, 2, 3]),
                        index: vec![(7, token(&record.plaintext))],
                    }],
                )
            })
            .collect();
        self.store.save_tokens(tokens).await.unwrap();
    }

    async fn publish(&self) {
        let mark = self.store.new_mark();
        self.done(Act::alone(b"publish".to_vec()).with(Effect::Publish(mark)))
            .await;
    }

    async fn finds(&self, content: &str) -> bool {
        let hits = self
            .store
            .probe(1, &[(7, token(content.as_bytes()))])
            .await
            .unwrap()
            .hits;
        !hits.is_empty()
    }
}

fn token(content: &[u8]) -> [u8; 16] {
    leaf_hash(content)[..16].try_into().unwrap()
}

fn staged(record_ref: &str, content: &str) -> StagedRecord {
    StagedRecord {
        record_ref: record_ref.to_owned(),
        plaintext: Zeroizing::new(content.as_bytes().to_vec()),
        family_ref: Some("family".to_owned()),
        findable: Findable::Yes,
        guarded: false,
    }
}

fn answering(leaf: &[u8], seen: Seen) -> Act {
    Act {
        leaf: leaf.to_vec(),
        seen: Some(seen),
        debits: Vec::new(),
        effects: Vec::new(),
        answer: Some(Box::new(|position| {
            Evidence::plain(position.leaf_index.to_be_bytes().to_vec())
        })),
    }
}

fn seen(store: &Store, id: &[u8], digest: u8) -> Seen {
    Seen {
        tag: store.tag(TagKind::Seen, &[b"ua", id]),
        query_digest: [digest; 32],
        expires_ms: TIME_MS + 1_000,
    }
}

#[tokio::test]
async fn tokens_of_an_epoch_that_is_not_open_do_not_come_back() {
    let fixture = fixture().await;
    fixture.import(vec![staged("A", "first")]).await;
    fixture.enrol().await;
    fixture.import(vec![staged("B", "second")]).await;
    let records = fixture.store.records_to_enrol(100).await.unwrap();
    let under = |epoch| RecordTokens {
        epoch,
        presence: 3,
        tokens: Zeroizing::new(vec![1, 2, 3]),
        index: vec![(7, token(b"second"))],
    };
    // Made under two epochs, of which one was left in the meantime.
    let tokens = records
        .iter()
        .map(|record| (record, vec![under(1), under(2)]))
        .collect();
    fixture.store.save_tokens(tokens).await.unwrap();
    assert!(
        fixture
            .store
            .records_to_enrol(100)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(fixture.store.kept_epochs().await.unwrap(), [1].into());
}

#[tokio::test]
async fn a_query_is_answered_once_also_after_a_restart() {
    let fixture = fixture().await;
    let first = seen(&fixture.store, b"id", 1);
    let leaf = fixture.done(answering(b"answer", first.clone())).await;
    let fixture = fixture.reopen().await;
    for _ in 0..2 {
        match fixture
            .ledger
            .commit(answering(b"again", first.clone()))
            .await
            .unwrap()
        {
            Committed::Repeated { leaf_index } => assert_eq!(leaf_index, leaf),
            _ => panic!("the query was answered twice"),
        }
    }
    let other = seen(&fixture.store, b"id", 2);
    assert!(matches!(
        fixture
            .ledger
            .commit(answering(b"other", other))
            .await
            .unwrap(),
        Committed::Reused
    ));
    let (size, _) = fixture.store.checkpoint().await.unwrap().unwrap();
    assert_eq!(size, 1);
    let stored = fixture
        .store
        .evidence(leaf, EvidencePart::Answer)
        .await
        .unwrap();
    assert_eq!(stored.unwrap().envelope.as_slice(), leaf.to_be_bytes());
}

#[tokio::test]
async fn a_quota_is_drawn_on_to_its_limit_and_not_beyond() {
    let fixture = fixture().await;
    let debit = |amount| Debit {
        quota: "day",
        expires_ms: None,
        otherwise: None,
        tag: fixture.store.tag(TagKind::Quota, &[b"ua", b"day"]),
        amount,
        limit: 10,
    };
    let act = |amount| {
        let mut act = Act::alone(b"asked".to_vec());
        act.debits.push(debit(amount));
        act
    };
    fixture.done(act(7)).await;
    match fixture.ledger.commit(act(4)).await.unwrap() {
        Committed::OverQuota {
            quota, used, limit, ..
        } => assert_eq!((quota, used, limit), ("day", 7, 10)),
        _ => panic!("the quota was exceeded"),
    }
    // What was refused drew nothing.
    fixture.done(act(3)).await;
    assert!(matches!(
        fixture.ledger.commit(act(1)).await.unwrap(),
        Committed::OverQuota { used: 10, .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_allowance_lacks_is_drawn_whole_on_the_next() {
    let fixture = fixture().await;
    let debit = |quota, limit, otherwise| Debit {
        quota,
        tag: fixture.store.tag(TagKind::Quota, &[quota.as_bytes()]),
        amount: 3,
        limit,
        expires_ms: None,
        otherwise,
    };
    // Asked for at once, so that which allowance suffices is decided when it is drawn on.
    let acts = (0..8).map(|_| {
        let mut act = Act::alone(b"asked".to_vec());
        act.debits
            .push(debit("first", 10, Some(Box::new(debit("second", 7, None)))));
        fixture.ledger.commit(act)
    });
    let mut drawn = Vec::new();
    let mut refused = 0;
    for outcome in futures_util::future::join_all(acts).await {
        match outcome.unwrap() {
            Committed::Done { position, .. } => {
                drawn.push((position.drawn[0].quota, position.drawn[0].used));
            }
            Committed::OverQuota { quota, used, .. } => {
                assert_eq!((quota, used), ("second", 6));
                refused += 1;
            }
            _ => panic!("neither drawn nor refused"),
        }
    }
    drawn.sort_unstable();
    let expected = [
        ("first", 3),
        ("first", 6),
        ("first", 9),
        ("second", 3),
        ("second", 6),
    ];
    assert_eq!(drawn, expected);
    assert_eq!(refused, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_acts_get_consecutive_leaves_under_provable_checkpoints() {
    let fixture = fixture().await;
    let acts = (0..300_u32).map(|number| {
        let ledger = fixture.ledger.clone();
        tokio::spawn(async move {
            let leaf = number.to_be_bytes().to_vec();
            match ledger.commit(Act::alone(leaf)).await.unwrap() {
                Committed::Done { position, .. } => (number, position),
                _ => panic!("refused"),
            }
        })
    });
    let mut positions = Vec::new();
    for act in acts.collect::<Vec<_>>() {
        positions.push(act.await.unwrap());
    }
    let mut indexes: Vec<u64> = positions.iter().map(|(_, at)| at.leaf_index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..300).collect::<Vec<u64>>());

    let (size, newest) = fixture.store.checkpoint().await.unwrap().unwrap();
    let key = fixture.signer.note_key();
    let head = |note: &str| {
        SignedCheckpoint::parse(note.as_bytes())
            .unwrap()
            .verify(std::slice::from_ref(&key))
            .unwrap()
            .head()
    };
    let newest = head(&newest);
    assert_eq!((size, newest.size), (300, 300));
    let leaves = fixture.store.leaves(0, 1_000).await.unwrap();
    for (number, position) in positions {
        let under = head(&position.checkpoint);
        let leaf = leaf_hash(&leaves[position.leaf_index as usize]);
        assert_eq!(leaf, leaf_hash(&number.to_be_bytes()));
        let nodes = inclusion_nodes(position.leaf_index, under.size).unwrap();
        let hashes = fixture.store.log_hashes(&nodes).await.unwrap();
        let proof = assemble_inclusion(position.leaf_index, under.size, &hashes).unwrap();
        verify_inclusion(&leaf, position.leaf_index, under.size, &proof, &under.root).unwrap();
        let nodes = consistency_nodes(under.size, newest.size).unwrap();
        let hashes = fixture.store.log_hashes(&nodes).await.unwrap();
        let proof = assemble_consistency(under.size, newest.size, &hashes).unwrap();
        verify_consistency(under.size, newest.size, &proof, &under.root, &newest.root).unwrap();
    }
}

#[tokio::test]
async fn a_changed_record_stays_searchable_as_it_was_until_the_next_mark() {
    let fixture = fixture().await;
    fixture
        .import(vec![staged("A1", "old"), staged("A2", "other")])
        .await;
    fixture.enrol().await;
    assert!(!fixture.finds("old").await, "found before the mark");
    fixture.publish().await;
    assert!(fixture.finds("old").await);

    fixture
        .import(vec![staged("A1", "new"), staged("A2", "other")])
        .await;
    fixture.enrol().await;
    assert!(fixture.finds("old").await && !fixture.finds("new").await);
    let announced = fixture.store.index_after_publishing(1).await.unwrap();
    fixture.publish().await;
    assert!(!fixture.finds("old").await && fixture.finds("new").await);
    assert!(fixture.finds("other").await);
    let size = fixture.store.index_size(1).await.unwrap();
    assert_eq!((announced.records, announced.tokens), size);
    assert_eq!(size, (2, 2));
    assert_eq!(
        announced.root,
        fixture.store.index_after_publishing(1).await.unwrap().root
    );
}

#[tokio::test]
async fn importing_the_same_again_changes_nothing() {
    let fixture = fixture().await;
    fixture
        .import(vec![staged("A1", "one"), staged("A2", "two")])
        .await;
    fixture.enrol().await;
    fixture.publish().await;
    let id = fixture.ambient.random();
    let again = vec![
        staged("A1", "one"),
        staged("A2", "two!"),
        staged("A3", "three"),
    ];
    fixture.store.stage_import(id, again).await.unwrap();
    let counts = fixture.store.import_counts(id).await.unwrap();
    assert_eq!((counts.added, counts.changed, counts.unchanged), (1, 1, 1));
    fixture.store.discard_import(id).await.unwrap();
    // A discarded import leaves nothing.
    let counts = fixture.store.record_counts().await.unwrap();
    assert_eq!(counts, (2, 0));
    let record = fixture.store.record_by_ref("A2").await.unwrap().unwrap();
    assert_eq!(record.plaintext.as_slice(), b"two");
    assert_eq!(record.state, RecordState::Published);
}

#[tokio::test]
async fn a_record_changed_twice_before_a_mark_replaces_the_published_one() {
    let fixture = fixture().await;
    fixture.import(vec![staged("A1", "first")]).await;
    fixture.enrol().await;
    fixture.publish().await;
    fixture.import(vec![staged("A1", "second")]).await;
    fixture.import(vec![staged("A1", "third")]).await;
    fixture.enrol().await;
    assert!(fixture.finds("first").await);
    fixture.publish().await;
    for (content, found) in [("first", false), ("second", false), ("third", true)] {
        assert_eq!(fixture.finds(content).await, found, "{content}");
    }
}

#[tokio::test]
async fn an_erased_record_is_gone_at_once() {
    let fixture = fixture().await;
    fixture.import(vec![staged("A1", "one")]).await;
    fixture.enrol().await;
    fixture.publish().await;
    let ref_tag = fixture.store.tag(TagKind::Reference, &[b"A1"]);
    fixture
        .done(Act::alone(b"erase".to_vec()).with(Effect::Erase {
            ref_tag,
            siblings: Vec::new(),
        }))
        .await;
    assert!(!fixture.finds("one").await);
    assert!(fixture.store.record_by_ref("A1").await.unwrap().is_none());
}

#[tokio::test]
async fn a_record_that_is_not_searchable_is_never_enrolled() {
    let fixture = fixture().await;
    let mut record = staged("A1", "one");
    record.findable = Findable::No;
    fixture.import(vec![record]).await;
    assert!(fixture.store.records_to_enrol(10).await.unwrap().is_empty());
    let stored = fixture.store.record_by_ref("A1").await.unwrap().unwrap();
    assert_eq!(stored.state, RecordState::NotSearchable);
}

#[tokio::test]
async fn a_token_counts_under_its_own_rule_only() {
    let fixture = fixture().await;
    fixture.import(vec![staged("A1", "one")]).await;
    fixture.enrol().await;
    fixture.publish().await;
    let wanted = token(b"one");
    let mut probes: Vec<(u8, [u8; 16])> = (0..1_200_u32)
        .map(|number| (7, token(&number.to_be_bytes())))
        .collect();
    probes.push((8, wanted));
    assert!(fixture.store.probe(1, &probes).await.unwrap().hits.is_empty());
    probes.push((7, wanted));
    probes.push((7, wanted));
    let hits = fixture.store.probe(1, &probes).await.unwrap().hits;
    let positions: Vec<usize> = hits.iter().map(|Hit { position, .. }| *position).collect();
    assert_eq!(positions.len(), 2);
    assert!(positions.contains(&1_201) && positions.contains(&1_202));
}

#[tokio::test]
async fn what_the_index_has_is_proved_under_the_root_that_a_mark_states() {
    const RECORDS: usize = 300;
    let fixture = fixture().await;
    let names: Vec<String> = (0..RECORDS).map(|number| format!("R{number}")).collect();
    let records = names.iter().map(|name| staged(name, name)).collect();
    fixture.import(records).await;
    for _ in 0..3 {
        fixture.enrol().await;
    }
    fixture.publish().await;
    // What waits for the next mark is no part of the index.
    fixture.import(vec![staged("LATER", "later")]).await;
    fixture.enrol().await;

    let row = |content: &str, rule: u8| (token(content.as_bytes()), rule);
    let wanted: BTreeSet<([u8; 16], u8)> = names
        .iter()
        .flat_map(|name| [row(name, 7), row(name, 6)])
        .chain([row("later", 7), ([0; 16], 0), ([0xff; 16], 0xff)])
        .collect();
    let proved = fixture.store.prove_index(1, &wanted).await.unwrap();
    let stated = fixture.store.index_published(1).await.unwrap();
    assert_eq!((proved.size, proved.root), (stated.tokens, stated.root));
    assert_eq!(proved.size, RECORDS as u64);
    let mut standing = 0;
    for (asked, rows) in &proved.rows {
        for row in rows {
            verify_inclusion(
                &row_hash(&row.key),
                row.position,
                proved.size,
                &row.proof,
                &proved.root,
            )
            .unwrap();
        }
        match &rows[..] {
            [row] if row.key == *asked => standing += 1,
            [row] => assert!(row.position == 0 || row.position + 1 == proved.size),
            [before, after] => {
                assert_eq!(before.position + 1, after.position);
                assert!(before.key < *asked && *asked < after.key);
            }
            _ => panic!("{} rows", rows.len()),
        }
    }
    assert_eq!((proved.rows.len(), standing), (wanted.len(), RECORDS));
    // Under another epoch there is nothing.
    let empty = fixture.store.prove_index(2, &wanted).await.unwrap();
    assert_eq!((empty.size, empty.rows.len()), (0, wanted.len()));
    assert!(empty.rows.iter().all(|(_, rows)| rows.is_empty()));
}

#[tokio::test]
async fn evidence_is_kept_item_by_item() {
    let fixture = fixture().await;
    let kept = Evidence {
        envelope: Zeroizing::new(b"envelope".to_vec()),
        items: vec![
            ItemEvidence::full(b"0123456789abcdef-one".to_vec()),
            ItemEvidence::full(b"0123456789abcdef-two".to_vec()).erased(),
        ],
    };
    let leaf = fixture
        .done(Act::alone(b"x".to_vec()).with(Effect::Keep(EvidencePart::Query, kept.clone())))
        .await;
    let read = fixture
        .store
        .evidence(leaf, EvidencePart::Query)
        .await
        .unwrap()
        .unwrap();
    assert!(read.items == kept.items);
    assert_eq!(read.envelope, kept.envelope);
    assert!(
        fixture
            .store
            .evidence(leaf, EvidencePart::Answer)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_lead_is_found_by_its_handle_until_it_is_forgotten() {
    let fixture = fixture().await;
    let lead = Lead {
        lead_id: [5; 16],
        party: "ua".to_owned(),
        record_id: 42,
        ref_tag: [6; 16],
        corroborated: true,
        grade: 3,
        expires_ms: TIME_MS + 10,
    };
    fixture
        .done(Act::alone(b"x".to_vec()).with(Effect::HandOut(lead)))
        .await;
    let found = fixture.store.lead(&[5; 16]).await.unwrap().unwrap();
    assert_eq!(
        (found.party.as_str(), found.record_id, found.grade),
        ("ua", 42, 3)
    );
    assert!(fixture.store.lead(&[6; 16]).await.unwrap().is_none());
    fixture.store.forget_expired(TIME_MS + 11).await.unwrap();
    assert!(fixture.store.lead(&[5; 16]).await.unwrap().is_none());
}

#[tokio::test]
async fn another_master_key_opens_nothing() {
    let fixture = fixture().await;
    let address = database(fixture.home.path());
    let stranger = KeyRing::generate(&mut fixture.ambient.rng());
    let error = Store::open(
        &address,
        stranger,
        DataKey::from_bytes(&[9; 32]),
        fixture.ambient.clone(),
    )
    .await
    .err()
    .unwrap();
    assert!(
        error.to_string().contains("key ring does not hold"),
        "{error}"
    );
}

#[tokio::test]
async fn an_act_that_rests_on_a_record_as_it_was_is_not_done_once_it_changed() {
    let fixture = fixture().await;
    fixture.import(vec![staged("A1", "old")]).await;
    fixture.enrol().await;
    fixture.publish().await;
    let published = fixture
        .store
        .probe(1, &[(7, token(b"old"))])
        .await
        .unwrap()
        .hits;
    let held = published[0].record_id;
    let rests_on_it = || Act::alone(b"told".to_vec()).with(Effect::StillHeld(held));
    fixture.done(rests_on_it()).await;
    // The old row is still there, for searches until the next mark.
    fixture.import(vec![staged("A1", "new")]).await;
    assert!(fixture.finds("old").await);
    assert!(matches!(
        fixture.ledger.commit(rests_on_it()).await.unwrap(),
        Committed::Stale
    ));
}

/// A request on a record, at a version.
fn request(fixture: &Fixture, record_ref: &str, version: u64) -> RequestRow {
    RequestRow {
        request_id: [7; 16],
        party_tag: fixture.store.party_tag("ua"),
        ref_tag: fixture
            .store
            .tag(TagKind::Reference, &[record_ref.as_bytes()]),
        plaintext: Zeroizing::new(b"request".to_vec()),
        state: 2,
        version,
        waits: true,
        stale: 0,
        due_ms: u64::MAX >> 1,
        updated_ms: TIME_MS,
    }
}

#[tokio::test]
async fn a_change_that_comes_while_a_request_is_looked_at_is_not_lost() {
    let fixture = fixture().await;
    fixture.import(vec![staged("A1", "old")]).await;
    let put = Act::alone(b"asked".to_vec());
    fixture
        .done(put.with(Effect::PutRequest(request(&fixture, "A1", 1))))
        .await;
    let due = async || fixture.store.requests_due(TIME_MS, 9).await.unwrap();
    assert!(due().await.is_empty());
    fixture.import(vec![staged("A1", "new")]).await;
    let found = due().await.remove(0);
    // It is looked at, and the record goes at that moment.
    let erase = Effect::Erase {
        ref_tag: found.ref_tag,
        siblings: Vec::new(),
    };
    fixture.done(Act::alone(b"erased".to_vec()).with(erase)).await;
    fixture.store.request_is_fresh(&found).await.unwrap();
    let found = due().await.remove(0);
    fixture.store.request_is_fresh(&found).await.unwrap();
    assert!(due().await.is_empty());
    // A change of what decides on all of them.
    fixture
        .done(Act::alone(b"policy".to_vec()).with(Effect::LookAtRequests))
        .await;
    assert_eq!(due().await.len(), 1);
}

#[tokio::test]
async fn a_decision_on_what_is_no_more_is_not_made() {
    let fixture = fixture().await;
    let account = |version| AccountRow {
        account_id: [3; 16],
        name_tag: fixture.store.name_tag("anna"),
        plaintext: Zeroizing::new(b"account".to_vec()),
        version,
    };
    for version in 1..=2 {
        let put = Effect::PutAccount {
            row: account(version),
            first: false,
        };
        fixture.done(Act::alone(b"account".to_vec()).with(put)).await;
    }
    let decided = |version| {
        Act::alone(b"decided".to_vec())
            .with(Effect::AccountIs {
                account_id: [3; 16],
                version,
            })
            .with(Effect::PutRequest(request(&fixture, "A1", 1)))
    };
    let stale = fixture.ledger.commit(decided(1)).await.unwrap();
    assert!(matches!(stale, Committed::Stale));
    assert!(fixture.store.request(&[7; 16]).await.unwrap().is_none());
    fixture.done(decided(2)).await;
    // Over another version than the one that was read.
    for version in [1, 3] {
        let over = Effect::PutRequest(request(&fixture, "A1", version));
        let act = Act::alone(b"decided".to_vec()).with(over);
        let stale = fixture.ledger.commit(act).await.unwrap();
        assert!(matches!(stale, Committed::Stale), "{version}");
    }
    // What waits is found behind a cursor.
    let open = async |after| fixture.store.requests_open(after, 9).await.unwrap().len();
    assert_eq!(open(None).await, 1);
    assert_eq!(open(Some((TIME_MS, [6; 16]))).await, 1);
    assert_eq!(open(Some((TIME_MS, [7; 16]))).await, 0);
    let of = async |party, after| fixture.store.requests_of(party, after, 9).await.unwrap();
    assert_eq!(of("ua", (TIME_MS, [6; 16])).await.len(), 1);
    assert!(of("ua", (TIME_MS, [7; 16])).await.is_empty());
    assert!(of("de", (0, [0; 16])).await.is_empty());
}

/// A question that was answered with one value, kept behind a leaf.
async fn told(fixture: &Fixture, ask_id: [u8; 16], value: &[u8]) -> u64 {
    let row = wayhome::store::ReceivedRow {
        ask_id,
        origin_tag: None,
        plaintext: Zeroizing::new(b"question".to_vec()),
        state: 1,
        version: 1,
        due_ms: TIME_MS,
        updated_ms: TIME_MS,
    };
    let answer = Evidence {
        envelope: Zeroizing::new(b"envelope".to_vec()),
        items: vec![ItemEvidence::full(value.to_vec())],
    };
    fixture
        .done(
            Act::alone(b"told".to_vec())
                .with(Effect::Keep(EvidencePart::Answer, answer))
                .with(Effect::PutReceived {
                    row,
                    holds_values: true,
                }),
        )
        .await
}

#[tokio::test]
async fn told_values_are_found_and_erased_in_the_log_that_they_stand_in() {
    let fixture = fixture().await;
    let (ours, other) = (b"0123456789abcdef-ours", b"0123456789abcdef-other");
    let old = told(&fixture, [1; 16], ours).await;
    drop(fixture.ledger);
    fixture.store.set_log_aside("after=x").await.unwrap();
    fixture.store.close().await;
    let fixture = open(fixture.home, fixture.ambient, fixture.signer).await;
    // Another question's answer has the same index in the new log.
    let new = told(&fixture, [2; 16], other).await;
    assert_eq!(old, new);

    let items = async |ask_id: [u8; 16]| {
        let answers = fixture.store.answers_with_values(&ask_id).await.unwrap();
        let items: Vec<ItemEvidence> = answers.into_iter().flat_map(|kept| kept.items).collect();
        items
    };
    assert!(items([1; 16]).await == [ItemEvidence::full(ours.to_vec())]);
    assert!(items([2; 16]).await == [ItemEvidence::full(other.to_vec())]);

    fixture
        .done(Act::alone(b"erased".to_vec()).with(Effect::EraseValues([1; 16])))
        .await;
    assert!(items([1; 16]).await.is_empty());
    assert!(items([2; 16]).await == [ItemEvidence::full(other.to_vec())]);
    let kept = fixture
        .store
        .old_evidence(1, old, EvidencePart::Answer)
        .await;
    let kept = kept.unwrap().unwrap().items;
    assert!(kept == [ItemEvidence::full(ours.to_vec()).erased()]);
}

/// A lookup that the index of `mark` answered.
fn answered_under(mark: u64) -> Act {
    Act::alone(b"answered".to_vec()).with(Effect::AnsweredUnder(mark))
}

#[tokio::test]
async fn no_process_answers_a_miss_from_before_another_one_published() {
    let fixture = fixture().await;
    // Another process of the same node, with a filter of its own.
    let ring = KeyRing::from_text(
        &std::fs::read_to_string(fixture.home.path().join("ring")).unwrap(),
    );
    let other = Store::open(
        &database(fixture.home.path()),
        ring.unwrap(),
        DataKey::from_bytes(&[9; 32]),
        fixture.ambient.clone(),
    )
    .await
    .unwrap();
    other.refresh_filter().await.unwrap();
    let probes = [(7, token(b"one"))];
    let before = other.probe(1, &probes).await.unwrap();
    assert_eq!(before.hits, []);
    let mark = before.mark.unwrap();
    fixture.done(answered_under(mark)).await;

    fixture.import(vec![staged("A1", "one")]).await;
    fixture.enrol().await;
    // Enrolled is not visible: the same answer still stands.
    let enrolled = other.probe(1, &probes).await.unwrap();
    assert_eq!(enrolled.hits, []);
    // The first tokens that an index has open their epoch, which draws a mark of its own.
    other.refresh_filter().await.unwrap();
    let enrolled = other.probe(1, &probes).await.unwrap();
    assert_eq!(enrolled.hits, []);
    fixture.done(answered_under(enrolled.mark.unwrap())).await;

    fixture.publish().await;
    let stale = fixture
        .ledger
        .commit(answered_under(enrolled.mark.unwrap()))
        .await
        .unwrap();
    assert!(matches!(stale, Committed::Stale), "a wrong miss was committed");
    other.check_filter().await.unwrap();
    let after = other.probe(1, &probes).await.unwrap();
    assert_eq!(after.hits.len(), 1);
    fixture.done(answered_under(after.mark.unwrap())).await;
    other.refresh_filter().await.unwrap();
    assert_eq!(other.probe(1, &probes).await.unwrap(), after);
    // Removal draws no mark, and needs none: what passes the filter is looked up.
    let ref_tag = fixture.store.record_by_ref("A1").await.unwrap().unwrap().ref_tag();
    fixture
        .done(Act::alone(b"erase".to_vec()).with(Effect::Erase { ref_tag, siblings: Vec::new() }))
        .await;
    let gone = other.probe(1, &probes).await.unwrap();
    assert_eq!((gone.hits, gone.mark), (Vec::new(), after.mark));
    other.close().await;
}

#[tokio::test]
async fn a_mark_states_no_index_that_changed_since_it_was_surveyed() {
    let fixture = fixture().await;
    fixture.import(vec![staged("A1", "one")]).await;
    fixture.enrol().await;
    let epochs = std::collections::BTreeSet::from([1]);
    let publish = |state| {
        Act::alone(b"publish".to_vec())
            .with(Effect::AsSurveyed(state))
            .with(Effect::Publish(fixture.store.new_mark()))
    };
    let survey = |which| fixture.store.survey(which, &epochs);
    let early = survey(Surveyed::AfterPublishing).await.unwrap();
    fixture.import(vec![staged("A2", "two")]).await;
    fixture.enrol().await;
    let refused = fixture.ledger.commit(publish(early.state)).await.unwrap();
    assert!(matches!(refused, Committed::Stale));
    assert!(!fixture.finds("one").await && !fixture.finds("two").await);

    let late = survey(Surveyed::AfterPublishing).await.unwrap();
    assert_eq!((early.sizes[&1].tokens, late.sizes[&1].tokens), (1, 2));
    fixture.done(publish(late.state)).await;
    let published = survey(Surveyed::Published).await.unwrap();
    assert_eq!(published.sizes, late.sizes);
    assert!(fixture.finds("one").await && fixture.finds("two").await);
}

#[tokio::test]
async fn the_root_of_an_index_is_that_of_its_rows_in_order() {
    let fixture = fixture().await;
    let contents: Vec<String> = (0..40).map(|number| format!("child {number}")).collect();
    let records = contents
        .iter()
        .enumerate()
        .map(|(number, content)| staged(&format!("A{number}"), content));
    fixture.import(records.collect()).await;
    fixture.enrol().await;
    fixture.publish().await;
    let mut rows: Vec<[u8; 16]> = contents
        .iter()
        .map(|content| token(content.as_bytes()))
        .collect();
    rows.sort_unstable();
    let leaves = rows
        .iter()
        .map(|row| leaf_hash(&[&row[..], &[7]].concat()));
    let size = fixture.store.index_published(1).await.unwrap();
    assert_eq!(size.root, wayhome::envelope::merkle::root_of(leaves));
    assert_eq!((size.records, size.tokens), (40, 40));
}
