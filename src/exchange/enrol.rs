//! A member's own register on its way into the index: import, enrolment, publication, erasure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::epochs;
use super::evaluate::{Source, coalition_tokens};
use super::leaf::Leaf;
use super::lookup::{SubjectTokens, attributes, sibling_keys};
use super::{Party, PeerError};
use crate::linkage::{LinkageKey, Presence, RuleId};
use crate::oprf::CoalitionToken;
use crate::proto::exchange as pb;
use crate::records::{Protection, Record};
use crate::store::{
    Act, Committed, Effect, Evidence, EvidencePart, Findable, ImportCounts, IndexKey, IndexProof,
    IndexSize, RecordTokens, SiblingTokens, StagedRecord, StoreError, StoredRecord, Surveyed, Tag,
};

/// How often the index is gone through when rows leave it meanwhile.
const PROVED_AGAIN: u32 = 3;

/// How many records are enrolled at a time: their keys fill a few batches.
const ENROL_AT_ONCE: u64 = 192;

/// A record as an import stages it.
#[must_use]
pub fn staged(party: &Party, record: &Record) -> StagedRecord {
    let derived = party.rules().derive(&attributes(record));
    let findable = if !record.consent.permits_search() || !party.rules().searchable(&derived) {
        Findable::No
    } else if matches!(record.protection, Protection::Silent) {
        Findable::Silently
    } else {
        Findable::Yes
    };
    StagedRecord {
        record_ref: record.record_ref.as_str().to_owned(),
        plaintext: record.to_plaintext(),
        family_ref: record
            .family_ref
            .as_ref()
            .map(|family| family.as_str().to_owned()),
        findable,
        guarded: !matches!(record.protection, Protection::None) || !record.consent.permits_search(),
    }
}

/// Keeps the protection that a record has, if an import states none: a register that knows nothing
/// of protection must not take it away. An import can raise or change it; to lift it, erase the
/// record and import it anew. A ground that an import does not state is gone, for to be found
/// without one would be the dangerous way to be wrong.
///
/// Tells whether the record loses its ground.
///
/// # Errors
/// If the store fails.
pub async fn keep_protection(party: &Party, record: &mut Record) -> Result<bool, StoreError> {
    let states_protection = !matches!(record.protection, Protection::None);
    if states_protection && record.consent.permits_search() {
        return Ok(false);
    }
    let held = party
        .store()
        .record_by_ref(record.record_ref.as_str())
        .await?;
    let Some(held) = held else { return Ok(false) };
    let held = parse(&held)?;
    let loses_ground = held.consent.permits_search() && !record.consent.permits_search();
    if !states_protection {
        record.protection = held.protection;
    }
    Ok(loses_ground)
}

/// Commits a staged import as one act.
///
/// # Errors
/// If the store fails; nothing of the import is then visible.
pub async fn commit_import(party: &Party, import_id: [u8; 16]) -> Result<ImportCounts, StoreError> {
    let _register = party.register.lock().await;
    // Without a row that it rests on there is nothing that could have changed.
    commit_staged(party, import_id, None)
        .await?
        .ok_or(StoreError::Closed)
}

/// A record that was corrected.
pub struct Corrected {
    /// Whether it says something else than before.
    pub changed: bool,
    /// Whether it could be found and now cannot, because no ground is stated for it any more.
    pub ground_lost: bool,
}

/// How often a correction is made anew because another process changed the record under it.
const CORRECTIONS: u32 = 20;

/// Changes a record as it is at this moment, as one act: what others change at the same time is not
/// undone. `None` if there is no such record; the inner error is that of `change`.
///
/// # Errors
/// If the store fails; nothing has then changed.
pub async fn correct<E>(
    party: &Party,
    record_ref: &str,
    change: impl Fn(&Record) -> Result<Record, E>,
) -> Result<Result<Option<Corrected>, E>, StoreError> {
    let _register = party.register.lock().await;
    for _ in 0..CORRECTIONS {
        let Some(held) = party.store().record_by_ref(record_ref).await? else {
            return Ok(Ok(None));
        };
        let mut after = match change(&parse(&held)?) {
            Ok(after) => after,
            Err(error) => return Ok(Err(error)),
        };
        let ground_lost = keep_protection(party, &mut after).await?;
        let import_id = party.ambient().random();
        party
            .store()
            .stage_import(import_id, vec![staged(party, &after)])
            .await?;
        let committed = commit_staged(party, import_id, Some(held.record_id)).await;
        if !matches!(committed, Ok(Some(_))) {
            party.store().discard_import(import_id).await?;
        }
        if let Some(counts) = committed? {
            return Ok(Ok(Some(Corrected {
                changed: counts.changed > 0,
                ground_lost,
            })));
        }
    }
    Err(StoreError::Closed)
}

/// Commits a staged import, on the row `over` if one is given: `None` if that is not the newest of its
/// record any more, and nothing is then done. The register is locked.
async fn commit_staged(
    party: &Party,
    import_id: [u8; 16],
    over: Option<u64>,
) -> Result<Option<ImportCounts>, StoreError> {
    let counts = party.store().import_counts(import_id).await?;
    let (leaf, opening) = Leaf::new(
        pb::Act::RecordsImported,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.count = u32::try_from(counts.added + counts.changed).unwrap_or(u32::MAX);
        entry.reference = format!(
            "added={} changed={} unchanged={}",
            counts.added, counts.changed, counts.unchanged
        );
    })
    .finish();
    let mut act = Act::alone(leaf);
    if let Some(account_id) = super::acting::account() {
        act = act.with(Effect::NoteAuthors {
            import_id,
            account_id,
        });
    }
    if let Some(record_id) = over {
        act = act.with(Effect::StillHeld(record_id));
    }
    let act = act.with(Effect::CommitImport(import_id)).with(Effect::Keep(
        EvidencePart::Opening,
        Evidence::plain(opening),
    ));
    match party.ledger().commit(act).await? {
        Committed::Done { .. } => {}
        _ => return Ok(None),
    }
    mark_if_changed(party).await?;
    Ok(Some(counts))
}

/// Logs size and root of the index, if rows have left it since they were last logged: who may be
/// found no longer is gone at once, and the log says what the index is from then on.
///
/// # Errors
/// If the store fails; the next start tries again.
pub async fn mark_if_changed(party: &Party) -> Result<(), StoreError> {
    if !party.store().index_is_unmarked().await? {
        return Ok(());
    }
    for _ in 0..SURVEYS {
        let (surveyed, stated) = survey(party, Surveyed::Published).await?;
        let size = in_use_or_last(&stated, epochs::in_use(party));
        let act = mark(party, &stated, &size, Effect::MarkIndex).with(surveyed);
        if !matches!(party.ledger().commit(act).await?, Committed::Stale) {
            return Ok(());
        }
    }
    Err(always_changing())
}

/// Size and root of the index under every open epoch, with what demands that they hold still.
async fn survey(
    party: &Party,
    which: Surveyed,
) -> Result<(Effect, Vec<(u32, IndexSize)>), StoreError> {
    let mut open = epochs::open(party).await?;
    if open.is_empty() && which == Surveyed::AfterPublishing {
        open.extend(epochs::in_use(party));
    }
    let survey = party.store().survey(which, &open).await?;
    let stated = survey.sizes.into_iter().collect();
    Ok((Effect::AsSurveyed(survey.state), stated))
}

/// How often an index is surveyed anew because another process of this node changed it meanwhile.
const SURVEYS: u32 = 5;

fn always_changing() -> StoreError {
    StoreError::damaged(
        "index",
        "other processes of this node change it without a pause; publish again when they are done",
    )
}

/// Proves which rows stand in the index of an epoch as it was last logged. No import and no publication
/// comes between, and one proof is made at a time: each goes through the whole index.
///
/// # Errors
/// If the store fails.
pub async fn prove_index(
    party: &Party,
    epoch: u32,
    wanted: &BTreeSet<IndexKey>,
) -> Result<IndexProof, StoreError> {
    let _register = party.register.lock().await;
    for _ in 1..PROVED_AGAIN {
        mark_if_changed(party).await?;
        let proof = party.store().prove_index(epoch, wanted).await?;
        // A record may have been erased meanwhile.
        if !party.store().index_is_unmarked().await? {
            return Ok(proof);
        }
    }
    mark_if_changed(party).await?;
    party.store().prove_index(epoch, wanted).await
}

/// The index that peers ask now, of those that are stated.
fn in_use_or_last(stated: &[(u32, IndexSize)], in_use: Option<u32>) -> IndexSize {
    stated
        .iter()
        .find(|(epoch, _)| Some(*epoch) == in_use)
        .or(stated.last())
        .map_or_else(IndexSize::empty, |(_, size)| *size)
}

/// The act that logs what the index is with `effect`: under each epoch, and how many records the one
/// has that peers ask now.
fn mark(party: &Party, stated: &[(u32, IndexSize)], size: &IndexSize, effect: Effect) -> Act {
    let reference: Vec<String> = stated
        .iter()
        .map(|(epoch, size)| epochs::index_text(*epoch, size))
        .collect();
    let (leaf, opening) = Leaf::new(
        pb::Act::RecordsPublished,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.count = u32::try_from(size.records).unwrap_or(u32::MAX);
        entry.reference = reference.join(" ");
    })
    .finish();
    Act::alone(leaf).with(effect).with(Effect::Keep(
        EvidencePart::Opening,
        Evidence::plain(opening),
    ))
}

/// Makes coalition tokens for every record that has none, and keeps them.
///
/// `progress` is told how many records are done of how many. Can be stopped and taken up again at
/// any point: what is done is kept.
///
/// # Errors
/// If too few keyholders answer, or the store fails.
pub async fn enrol(
    party: &Arc<Party>,
    progress: impl Fn(u64, u64) + Sync,
) -> Result<u64, PeerError> {
    let (_, total) = party.store().record_counts().await?;
    let mut done = 0;
    progress(done, total);
    loop {
        let before = done;
        enrol_waiting(party, |some| {
            done += some;
            progress(done.min(total), total);
        })
        .await?;
        // Once more for those that came or changed meanwhile, until none waits.
        if done == before {
            return Ok(done);
        }
    }
}

/// Goes once through the records that wait. While the elements of some are at the keyholders, those of
/// the next are derived and blinded, and those of the last are kept.
async fn enrol_waiting(party: &Arc<Party>, mut enrolled: impl FnMut(u64)) -> Result<(), PeerError> {
    let (some, mut waiting) = mpsc::channel(1);
    let reading = async {
        let some = some;
        let mut after = 0;
        loop {
            let store = party.store();
            let records = store.records_to_enrol_after(after, ENROL_AT_ONCE).await?;
            let Some(last) = records.last() else {
                return Ok::<(), PeerError>(());
            };
            after = last.record_id;
            // Nobody takes them once something has failed.
            if some.send(records).await.is_err() {
                return Ok(());
            }
        }
    };
    let enrolling = async {
        let mut waiting = waiting_stream(&mut waiting)
            .map(|records| async move { enrol_some(party, &records).await })
            .buffer_unordered(UNDER_WAY);
        while let Some(done) = waiting.next().await {
            enrolled(done?);
        }
        Ok(())
    };
    tokio::try_join!(reading, enrolling).map(drop)
}

/// What comes over a channel, as a stream.
fn waiting_stream<T>(channel: &mut mpsc::Receiver<T>) -> impl Stream<Item = T> + '_ {
    stream::poll_fn(|context| channel.poll_recv(context))
}

/// How many portions of records are under way at once: one at the keyholders, one on its way there, one
/// on its way into the database.
const UNDER_WAY: usize = 3;

async fn enrol_some(party: &Arc<Party>, records: &[StoredRecord]) -> Result<u64, PeerError> {
    let epochs = epochs::to_enrol_in(party).await?;
    let derived = derive(party, records).await?;
    let mut saved: Vec<(&StoredRecord, Vec<RecordTokens>)> =
        records.iter().map(|stored| (stored, Vec::new())).collect();
    for epoch in epochs {
        let tokens = tokens_under(party, epoch, &derived).await?;
        for ((_, of_record), tokens) in saved.iter_mut().zip(tokens) {
            of_record.push(tokens);
        }
    }
    let count = saved.len() as u64;
    // A publication's leaf states the index as it will be: no rows come in between.
    let _register = party.register.lock().await;
    // An epoch that a roster dropped meanwhile may have been left already: nothing comes back of it.
    let roster = party.roster()?;
    for (_, of_record) in &mut saved {
        of_record.retain(|tokens| epochs::is_listed(&roster, tokens.epoch));
    }
    saved.retain(|(_, of_record)| !of_record.is_empty());
    party.store().save_tokens(saved).await?;
    Ok(count)
}

/// What the tokens of some records are made of.
pub(super) struct Derived {
    /// All keys, record by record.
    inputs: Vec<(Source, Zeroizing<Vec<u8>>)>,
    /// Of each record, its presence mask and the rules of its keys.
    plans: Vec<(Presence, Vec<RuleId>)>,
}

/// Derives the linkage keys of stored records, sibling keys included.
///
/// # Errors
/// If the store fails.
pub(super) async fn derive(
    party: &Arc<Party>,
    records: &[StoredRecord],
) -> Result<Derived, StoreError> {
    let mut families: HashMap<Tag, Vec<Record>> = HashMap::new();
    let mut inputs = Vec::new();
    let mut plans: Vec<(Presence, Vec<RuleId>)> = Vec::with_capacity(records.len());
    for stored in records {
        let record = parse(stored)?;
        if let Some(tag) = stored.family_tag
            && !families.contains_key(&tag)
        {
            let family = findable_family(party, tag).await?;
            families.insert(tag, family);
        }
        let family = stored
            .family_tag
            .and_then(|tag| families.get(&tag))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let (presence, keys) = keys(party, &record, family);
        plans.push((presence, keys.iter().map(|key| key.rule).collect()));
        inputs.extend(
            keys.into_iter()
                .map(|key| (Source::Record(stored.record_id), key.text)),
        );
    }
    Ok(Derived { inputs, plans })
}

/// The tokens of derived records under one epoch, in their order, with the index rows made of them.
///
/// # Errors
/// If too few keyholders answer.
pub(super) async fn tokens_under(
    party: &Arc<Party>,
    epoch: u32,
    derived: &Derived,
) -> Result<Vec<RecordTokens>, PeerError> {
    let tokens = made(party, epoch, derived.inputs.clone()).await?;
    let mut tokens = tokens.into_iter();
    let holder = party.id().as_str();
    let of_record = |(presence, rules): &(Presence, Vec<RuleId>)| {
        let subject = SubjectTokens {
            presence: *presence,
            tokens: rules.iter().copied().zip(tokens.by_ref()).collect(),
        };
        RecordTokens {
            epoch,
            presence: presence.0,
            index: subject.index_rows(epoch, holder),
            tokens: subject.to_bytes(),
        }
    };
    Ok(derived.plans.iter().map(of_record).collect())
}

async fn made(
    party: &Arc<Party>,
    epoch: u32,
    inputs: Vec<(Source, Zeroizing<Vec<u8>>)>,
) -> Result<Vec<CoalitionToken>, PeerError> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    coalition_tokens(party, epoch, inputs, |_| {}).await
}

/// The records of a family that may lend each other evidence: those that anyone may find. A sibling
/// under protection, or without a ground to be searched on, shows in nobody's keys.
async fn findable_family(party: &Party, tag: Tag) -> Result<Vec<Record>, StoreError> {
    let mut family = Vec::new();
    for stored in party.store().family(tag).await? {
        let record = parse(&stored)?;
        if record.is_open() {
            family.push(record);
        }
    }
    Ok(family)
}

/// All linkage keys of a record, sibling keys included, with its presence mask.
#[must_use]
pub fn keys(party: &Party, record: &Record, family: &[Record]) -> (Presence, Vec<LinkageKey>) {
    let derived = party.rules().derive(&attributes(record));
    let mut keys = derived.keys;
    keys.extend(sibling_keys(party.rules(), record, family));
    (derived.presence, keys)
}

/// As [`keys`], for a stored record among its family as it is now.
async fn keys_among_family(
    party: &Party,
    stored: &StoredRecord,
) -> Result<(Presence, Vec<LinkageKey>), StoreError> {
    let record = parse(stored)?;
    let family = match stored.family_tag {
        Some(tag) => findable_family(party, tag).await?,
        None => Vec::new(),
    };
    Ok(keys(party, &record, &family))
}

/// The texts of all linkage keys of a stored record, sibling keys included.
///
/// # Errors
/// If the store fails.
pub async fn keys_of(
    party: &Party,
    stored: &StoredRecord,
) -> Result<Vec<Zeroizing<Vec<u8>>>, StoreError> {
    let (_, keys) = keys_among_family(party, stored).await?;
    Ok(keys.into_iter().map(|key| key.text).collect())
}

/// The coalition tokens of an own record under `epoch`, for a search; a record without tokens has
/// them made.
///
/// # Errors
/// If too few keyholders answer, or the store fails.
pub async fn tokens_of(
    party: &Arc<Party>,
    epoch: u32,
    stored: &StoredRecord,
) -> Result<SubjectTokens, PeerError> {
    if let Some((presence, bytes)) = party.store().tokens(stored, epoch).await? {
        return SubjectTokens::from_bytes(presence, &bytes).ok_or_else(|| {
            PeerError::Store(StoreError::Damaged {
                what: "coalition tokens".to_owned(),
                reason: "they have another length".to_owned(),
            })
        });
    }
    let (presence, keys) = keys_among_family(party, stored).await?;
    let source = Source::Record(stored.record_id);
    tokens_for(party, epoch, source, presence, keys).await
}

/// The coalition tokens of a child that is described, not held, under `epoch`.
///
/// # Errors
/// If too few keyholders answer.
pub async fn tokens_for(
    party: &Arc<Party>,
    epoch: u32,
    source: Source,
    presence: Presence,
    keys: Vec<LinkageKey>,
) -> Result<SubjectTokens, PeerError> {
    let rules: Vec<RuleId> = keys.iter().map(|key| key.rule).collect();
    let inputs: Vec<(Source, Zeroizing<Vec<u8>>)> =
        keys.into_iter().map(|key| (source, key.text)).collect();
    let tokens = made(party, epoch, inputs).await?;
    Ok(SubjectTokens {
        presence,
        tokens: rules.into_iter().zip(tokens).collect(),
    })
}

/// Sets a publication mark: what is enrolled becomes searchable, all at once. Gives the size of the
/// index of the epoch in use, or of the newest one that is open.
///
/// The leaf states the index of every open epoch: `epoch=1 tokens=12 root=..`, one after another.
///
/// `cap` is how many records the index may have: a larger one would be a dictionary for the questions
/// that are sent to it.
///
/// # Errors
/// If there are more, or the store fails; the index is then as it was.
pub async fn publish(party: &Party, cap: Option<u64>) -> Result<IndexSize, PublishError> {
    let _register = party.register.lock().await;
    for _ in 0..SURVEYS {
        let (surveyed, stated) = survey(party, Surveyed::AfterPublishing).await?;
        let size = in_use_or_last(&stated, epochs::in_use(party));
        if let Some(cap) = cap
            && size.records > cap
        {
            return Err(PublishError::IndexCap {
                records: size.records,
                cap,
            });
        }
        let new = party.store().new_mark();
        let act = mark(party, &stated, &size, Effect::Publish(new)).with(surveyed);
        let committed = party.ledger().commit(act).await;
        if !matches!(committed.map_err(PublishError::Store)?, Committed::Stale) {
            party.store().mark_is_set(new);
            return Ok(size);
        }
    }
    Err(always_changing().into())
}

/// Why an index is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It has more records than the roster lets this member's have.
    #[error(
        "the index would have {records} records, and the roster lets this member's have {cap}: ask \
         the secretariat for a larger cap, or take records out"
    )]
    IndexCap {
        /// How many it would have.
        records: u64,
        /// How many it may have.
        cap: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Erases a record at once: its rows, its tokens, its data key, and what is kept about it. Its
/// siblings stay in the index, without the keys that they shared with it, and the log says what the
/// index is from then on.
///
/// # Errors
/// If the store fails. `None` if there is no such record.
pub async fn erase(party: &Party, record_ref: &str) -> Result<Option<u64>, PeerError> {
    let _register = party.register.lock().await;
    let Some(stored) = party.store().record_by_ref(record_ref).await? else {
        return Ok(None);
    };
    erase_row(party, &stored, None).await
}

/// As [`erase`], of a record that is over its time of `days` days. `None` if it was changed or erased
/// since it was read: then its time begins anew, or is over.
///
/// # Errors
/// As [`erase`].
pub async fn erase_in_time(
    party: &Party,
    stored: &StoredRecord,
    days: u64,
) -> Result<Option<u64>, PeerError> {
    let _register = party.register.lock().await;
    erase_row(party, stored, Some(days)).await
}

async fn erase_row(
    party: &Party,
    stored: &StoredRecord,
    retention_days: Option<u64>,
) -> Result<Option<u64>, PeerError> {
    let record_ref = parse(stored)?.record_ref;
    let subject = party.pseudonym(record_ref.as_str())?;
    let siblings = siblings_without(party, stored).await?;
    let (leaf, opening) = Leaf::new(
        pb::Act::RecordErased,
        party.ambient(),
        &pb::Outcome::default(),
    )
    .set(|entry| {
        entry.count = 1;
        entry.subject = subject.as_bytes().to_vec();
        if let Some(days) = retention_days {
            entry.reference = format!("retention={days}");
        }
    })
    .finish();
    let mut act = Act::alone(leaf);
    if retention_days.is_some() {
        act = act.with(Effect::StillHeld(stored.record_id));
    }
    let act = act
        .with(Effect::Erase {
            ref_tag: stored.ref_tag(),
            siblings,
        })
        .with(Effect::Keep(
            EvidencePart::Opening,
            Evidence::plain(opening),
        ));
    match party.ledger().commit(act).await? {
        Committed::Done { position, .. } => {
            mark_if_changed(party).await?;
            scrub(party).await?;
            Ok(Some(position.leaf_index))
        }
        Committed::Stale => Ok(None),
        _ => Err(PeerError::Store(StoreError::Closed)),
    }
}

/// How often old pages are tried to be emptied before it is left to the node's housekeeping.
const SCRUBS: usize = 5;

/// Empties the database's old pages of what was erased.
async fn scrub(party: &Party) -> Result<(), StoreError> {
    for _ in 0..SCRUBS {
        if party.store().scrub().await? {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tracing::warn!("old pages of the database are still read; they are emptied later");
    Ok(())
}

/// The tokens of a record's siblings without those that they share with it. A sibling whose tokens
/// do not fit the family as it is known now is left out: its tokens are made anew.
async fn siblings_without(
    party: &Party,
    erased: &StoredRecord,
) -> Result<Vec<SiblingTokens>, PeerError> {
    let Some(tag) = erased.family_tag else {
        return Ok(Vec::new());
    };
    let open = epochs::open(party).await?;
    let before = findable_family(party, tag).await?;
    let gone = parse(erased)?;
    let stays = |record: &Record| record.record_ref.as_str() != gone.record_ref.as_str();
    let mut after = findable_family(party, tag).await?;
    after.retain(stays);
    let mut siblings = Vec::new();
    for stored in party.store().family(tag).await? {
        let record = parse(&stored)?;
        if !stays(&record) {
            continue;
        }
        let (_, had) = keys(party, &record, &before);
        let (_, left) = keys(party, &record, &after);
        let mut tokens = Vec::with_capacity(open.len());
        for epoch in &open {
            tokens.extend(tokens_left(party, &stored, *epoch, &had, &left).await?);
        }
        if tokens.len() == open.len() && !tokens.is_empty() {
            siblings.push(SiblingTokens {
                record: stored,
                tokens,
            });
        }
    }
    Ok(siblings)
}

/// The tokens of a record under an epoch that belong to the keys that are left of those it had.
/// Nothing if its tokens do not fit those keys.
async fn tokens_left(
    party: &Party,
    stored: &StoredRecord,
    epoch: u32,
    had: &[LinkageKey],
    left: &[LinkageKey],
) -> Result<Option<RecordTokens>, StoreError> {
    let kept = party.store().tokens(stored, epoch).await?;
    let Some((presence, bytes)) = kept else {
        return Ok(None);
    };
    let Some(tokens) = SubjectTokens::from_bytes(presence, &bytes) else {
        return Ok(None);
    };
    let fits = had.len() == tokens.tokens.len()
        && had
            .iter()
            .zip(&tokens.tokens)
            .all(|(key, (rule, _))| key.rule == *rule);
    if !fits {
        return Ok(None);
    }
    let of_key = |key: &LinkageKey| {
        let at = had
            .iter()
            .position(|known| known.rule == key.rule && known.text == key.text)?;
        tokens.tokens.get(at).cloned()
    };
    let kept: Option<Vec<_>> = left.iter().map(of_key).collect();
    Ok(kept.map(|kept| {
        let kept = SubjectTokens {
            presence: tokens.presence,
            tokens: kept,
        };
        RecordTokens {
            epoch,
            presence,
            index: kept.index_rows(epoch, party.id().as_str()),
            tokens: kept.to_bytes(),
        }
    }))
}

/// The record behind a published row as the register has it now: protection and ground count from
/// the moment they are set, and do not wait for a publication mark. `None` if it is there no more.
///
/// # Errors
/// If the store fails.
pub async fn newest(party: &Party, published: &StoredRecord) -> Result<Option<Newest>, StoreError> {
    let record = parse(published)?;
    match party
        .store()
        .record_by_ref(record.record_ref.as_str())
        .await?
    {
        Some(newest) if newest.record_id == published.record_id => Ok(Some(Newest {
            record,
            is_as_published: true,
        })),
        Some(newest) => Ok(Some(Newest {
            record: parse(&newest)?,
            is_as_published: false,
        })),
        None => Ok(None),
    }
}

/// A record as it stands now.
pub struct Newest {
    /// The record.
    pub record: Record,
    /// Whether it is what peers find, unchanged since.
    pub is_as_published: bool,
}

/// A stored record, read.
///
/// # Errors
/// If it is not what was stored.
pub fn parse(stored: &StoredRecord) -> Result<Record, StoreError> {
    Record::from_plaintext(&stored.plaintext).map_err(|error| StoreError::Damaged {
        what: format!("record in row {}", stored.record_id),
        reason: error.to_string(),
    })
}
