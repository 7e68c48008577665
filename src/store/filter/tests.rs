use super::*;
use crate::ambient::Ambient;
use crate::store::IndexedRecord;
use crate::vault::{DataKey, KeyRing};

struct Fixture {
    home: tempfile::TempDir,
    ring: String,
}

/// Rows of the measured index.
const RECORDS: u16 = 400;

fn token(number: u16, rule: u8) -> [u8; TOKEN] {
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        &[&number.to_be_bytes()[..], &[rule]].concat(),
    );
    digest.as_ref()[..TOKEN].try_into().unwrap()
}

impl Fixture {
    fn new() -> Self {
        let ring = KeyRing::generate(&mut Ambient::system().rng());
        Self {
            home: tempfile::tempdir().unwrap(),
            ring: ring.to_text().to_string(),
        }
    }

    async fn open(&self) -> Store {
        self.open_at("index.db", &self.ring).await
    }

    async fn open_at(&self, name: &str, ring: &str) -> Store {
        Store::open(
            &format!("sqlite:{}", self.home.path().join(name).display()),
            KeyRing::from_text(ring).unwrap(),
            DataKey::from_bytes(&[7; 32]),
            Ambient::system(),
        )
        .await
        .unwrap()
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("index.filter")
    }

    async fn filled(&self) -> Store {
        let store = self.open().await;
        let records: Vec<IndexedRecord> = (0..RECORDS)
            .map(|number| IndexedRecord {
                presence: number,
                family_ref: None,
                index: [1, 2].map(|rule| (rule, token(number, rule))).to_vec(),
            })
            .collect();
        store.fill_for_measurement(&records, 1).await.unwrap();
        store
    }
}

fn present() -> Vec<(u8, [u8; TOKEN])> {
    (0..RECORDS).map(|number| (2, token(number, 2))).collect()
}

fn absent() -> Vec<(u8, [u8; TOKEN])> {
    (0..200).map(|number| (9, token(number, 9))).collect()
}

#[tokio::test]
async fn misses_are_answered_without_the_database_and_hits_are_not() {
    let fixture = Fixture::new();
    let store = fixture.filled().await;
    assert!(!store.filter_size().in_force);
    store.refresh_filter().await.unwrap();
    let size = store.filter_size();
    assert!(size.in_force);
    assert_eq!(size.tokens, 2 * u64::from(RECORDS));

    let hits = store.probe(1, &present()).await.unwrap().hits;
    assert_eq!(hits.len(), usize::from(RECORDS));
    // Where the database is away, what is not held can still be said.
    store.close().await;
    let probed = store.probe(1, &absent()).await.unwrap();
    assert_eq!(probed.hits, []);
    assert!(probed.mark.is_some());
    assert!(store.probe(1, &present()).await.is_err());
    // Nobody is told of silent records by the filter.
    assert!(
        store
            .probe_in(crate::store::Index::Silent, 1, &absent())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_filter_out_of_force_sends_every_token_to_the_database() {
    let fixture = Fixture::new();
    let store = fixture.filled().await;
    store.refresh_filter().await.unwrap();
    let mut tx = store.db.begin("test").await.unwrap();
    let new = store.new_mark();
    Store::set_index_mark(&mut tx, new).await.unwrap();
    tx.commit().await.unwrap();
    // Until it is looked at, answers name the old mark, under which none is committed.
    assert_ne!(store.probe(1, &absent()).await.unwrap().mark, Some(new));
    store.check_filter().await.unwrap();
    assert!(!store.filter_size().in_force);
    assert_eq!(store.probe(1, &absent()).await.unwrap().mark, Some(new));
    store.refresh_filter().await.unwrap();
    assert!(store.filter_size().in_force);
}

#[tokio::test]
async fn a_kept_filter_is_taken_and_a_wrong_one_never() {
    let fixture = Fixture::new();
    let store = fixture.filled().await;
    assert!(!store.keep_filter_at(fixture.file()).await.unwrap());
    store.refresh_filter().await.unwrap();
    store.close().await;
    let kept = std::fs::read(fixture.file()).unwrap();

    let store = fixture.open().await;
    assert!(store.keep_filter_at(fixture.file()).await.unwrap());
    assert_eq!(store.filter_size().tokens, 2 * u64::from(RECORDS));
    let hits = store.probe(1, &present()).await.unwrap().hits;
    assert_eq!(hits.len(), usize::from(RECORDS));

    // Every octet matters; a few hundred of them are tried, the first and the last among them.
    let step = kept.len() / 300 + 1;
    let places = (0..kept.len()).step_by(step).chain([kept.len() - 1]);
    for place in places {
        let mut wrong = kept.clone();
        wrong[place] ^= 0x20;
        std::fs::write(fixture.file(), &wrong).unwrap();
        let store = fixture.open().await;
        assert!(
            !store.keep_filter_at(fixture.file()).await.unwrap(),
            "{place}"
        );
        assert!(!store.filter_size().in_force);
        store.close().await;
    }
    for length in [0, 15, 24, kept.len() / 2, kept.len() - 1] {
        std::fs::write(fixture.file(), &kept[..length]).unwrap();
        let store = fixture.open().await;
        assert!(
            !store.keep_filter_at(fixture.file()).await.unwrap(),
            "{length}"
        );
        store.close().await;
    }
    std::fs::remove_file(fixture.file()).unwrap();
    assert!(!store.keep_filter_at(fixture.file()).await.unwrap());
}

#[tokio::test]
async fn a_filter_of_another_mark_or_node_is_not_taken() {
    let fixture = Fixture::new();
    let store = fixture.filled().await;
    store.keep_filter_at(fixture.file()).await.unwrap();
    store.refresh_filter().await.unwrap();
    // Another node's, of an index with the very same mark.
    let ring = KeyRing::generate(&mut Ambient::system().rng());
    let other = fixture.open_at("other.db", &ring.to_text()).await;
    let mark = store.index_mark().await.unwrap();
    for (store, mark) in [(&other, mark), (&store, mark + 1)] {
        let mut tx = store.db.begin("test").await.unwrap();
        Store::set_index_mark(&mut tx, mark).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert!(!other.keep_filter_at(fixture.file()).await.unwrap());
    store.close().await;
    let store = fixture.open().await;
    assert!(!store.keep_filter_at(fixture.file()).await.unwrap());
    // What was built anew is kept in its place.
    store.refresh_filter().await.unwrap();
    store.close().await;
    let store = fixture.open().await;
    assert!(store.keep_filter_at(fixture.file()).await.unwrap());
}

#[tokio::test]
async fn the_filter_is_kept_current_by_whoever_publishes() {
    let fixture = Fixture::new();
    let store = fixture.filled().await;
    store.refresh_filter().await.unwrap();
    let mut tx = store.db.begin("test").await.unwrap();
    let row = super::super::bulk::IndexRow {
        token: token(1, 9),
        rule: 9,
        record_id: 1,
        epoch: 1,
    };
    let index = crate::store::Index::Published;
    super::super::bulk::insert_index(&store.keys, &mut tx, index, vec![row])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    // The survey before a mark builds the parts anew: they hold what is about to become visible.
    let epochs = std::collections::BTreeSet::from([1]);
    let survey = store.survey(crate::store::Surveyed::AfterPublishing, &epochs);
    assert_eq!(
        survey.await.unwrap().sizes[&1].tokens,
        2 * u64::from(RECORDS) + 1
    );
    let mut tx = store.db.begin("test").await.unwrap();
    let mark = store.new_mark();
    Store::publish(&mut tx, mark).await.unwrap();
    tx.commit().await.unwrap();
    store.mark_is_set(mark);
    let probed = store.probe(1, &[(9, token(1, 9))]).await.unwrap();
    assert_eq!((probed.hits.len(), probed.mark), (1, Some(mark)));
    assert_eq!(store.filter_size().tokens, 2 * u64::from(RECORDS) + 1);
}
