//! Looking a whole register up at one member.
//!
//! Records are asked about in batches, many on their way at once. Which record was
//! asked about where, and under which mark of the member's index, is kept with the answer's leaf; so a
//! search that was broken off goes on where it was, and the next one asks only what is new: about
//! records that are new or changed here, and about all of them once the member's mark has moved.
//! Batches that were sent and not answered are sent again, the same messages, as long as the member
//! takes them: it gives its stored answers, and charges nothing twice.
//!
//! What asking again tells a member: which records it is asked about. Under one mark those are the ones
//! that are new here, and it would see that as well by comparing the tokens of two searches. The
//! mark itself tells a requester that something in the index became visible, and not what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use prost::Message as _;
use tokio::sync::mpsc;

use super::client::{asking_about, question, results, unfit};
use super::stream::{IN_FLIGHT, Line, index_mark};
use super::{LookupAt, SubjectGrade, SubjectTokens};
use crate::exchange::ask::{Asked, Asking, Changes, OnAnswer, ask_keeping, complete};
use crate::exchange::message::{Answer, LIFETIME_MS, Outgoing, to_wire};
use crate::exchange::{Party, PeerError, Refusal, enrol, epochs};
use crate::proto::exchange as pb;
use crate::roster::{Member, TrustedRoster};
use crate::store::{
    Effect, EvidencePart, RegisterCounts, RegisterEntry, RegisterStep, RegisterToAsk, SentBatch,
    StoreError,
};

/// A search for this node's register at one member.
pub struct RegisterSearch<'a> {
    /// This node.
    pub party: &'a Arc<Party>,
    /// The member that is asked.
    pub holder: &'a Member,
    /// Why.
    pub lookup: &'a LookupAt,
    /// Whether records are asked about again where nothing has changed.
    pub again: bool,
}

/// How far a search is.
pub struct Progress {
    /// Records answered so far.
    pub done: u64,
    /// How much there was when it began.
    pub counts: RegisterCounts,
    /// What was found since the last time: reference and answer.
    pub found: Vec<(String, SubjectGrade)>,
    /// Octets sent so far.
    pub bytes_sent: u64,
    /// Octets received so far.
    pub bytes_received: u64,
}

/// A batch that is ready to be sent: afresh, or again.
struct Batch {
    query: Outgoing,
    asking: Asking,
    sent: SentBatch,
    /// Whether its act of asking is recorded already.
    again: bool,
}

impl RegisterSearch<'_> {
    /// Searches, telling of each batch that is answered.
    ///
    /// # Errors
    /// [`PeerError`] says what broke it off. What was answered stands.
    pub async fn run(
        &self,
        told: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<RegisterCounts, PeerError> {
        let roster = self.party.roster()?;
        super::server::check_case_reference(&self.lookup.case_reference)?;
        let store = self.party.store();
        store.tidy_register(self.party.ambient().now_ms()).await?;
        let mut refused = PeerError::Own(no_key());
        for epoch in self.epochs(&roster).await? {
            match self.under(&roster, epoch, told).await {
                Err(PeerError::Refused { member, refusal }) if refusal.code == "WRONG_EPOCH" => {
                    refused = PeerError::Refused { member, refusal };
                }
                Ok(counts) => {
                    self.party.note_answer(&self.holder.id, &roster, epoch);
                    return Ok(counts);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// The epochs to ask under, the best first: those under which own records have tokens, and of
    /// them the one that the member answered last, then the one in use.
    async fn epochs(&self, roster: &TrustedRoster) -> Result<Vec<u32>, PeerError> {
        let open = epochs::open(self.party).await?;
        let keys = roster.coalition_keys();
        let answered = self.party.answered_under(&self.holder.id, roster);
        let mut listed: Vec<u32> = [&keys.current, &keys.next, &keys.previous]
            .into_iter()
            .filter_map(|key| u32::try_from(key.as_ref()?.epoch).ok())
            .filter(|epoch| open.contains(epoch))
            .collect();
        listed.sort_by_key(|epoch| Some(*epoch) != answered);
        Ok(listed)
    }

    async fn under(
        &self,
        roster: &Arc<TrustedRoster>,
        epoch: u32,
        told: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<RegisterCounts, PeerError> {
        let to_ask = RegisterToAsk {
            member: self.holder.id.to_string(),
            epoch,
            mark: if self.again {
                Vec::new()
            } else {
                index_mark(self.party, self.holder).await?
            },
        };
        let counts = self.party.store().register_counts(&to_ask).await?;
        let asking = UnderWay {
            roster,
            line: Line::new(self.party, self.holder),
            counts,
            totals: Totals::default(),
            told,
        };
        asking.tell(Vec::new());
        // What is on its way first: when a record is read to be asked about, it is known whether it
        // was answered.
        let unanswered = self.unanswered(epoch).await?;
        let (batches, taken) = mpsc::channel(AHEAD);
        let sent_again = async {
            for batch in unanswered {
                // Nobody takes batches once one has failed.
                if batches.send(batch).await.is_err() {
                    break;
                }
            }
            drop(batches);
            Ok(())
        };
        tokio::try_join!(sent_again, self.ask_all(&asking, taken))?;
        let (batches, taken) = mpsc::channel(AHEAD);
        let sent = async {
            let batches = batches;
            let mut after = 0;
            let size = batch_size(counts.to_ask);
            while let Some(batch) = self.next(roster, &to_ask, size, &mut after).await? {
                if batches.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        tokio::try_join!(sent, self.ask_all(&asking, taken))?;
        Ok(counts)
    }

    async fn ask_all(
        &self,
        asking: &UnderWay<'_>,
        mut batches: mpsc::Receiver<Batch>,
    ) -> Result<(), PeerError> {
        let mut under_way = FuturesUnordered::new();
        let mut more = true;
        while more || !under_way.is_empty() {
            tokio::select! {
                batch = batches.recv(), if more && under_way.len() < IN_FLIGHT => match batch {
                    Some(batch) => under_way.push(self.ask(asking, batch)),
                    None => more = false,
                },
                Some(found) = under_way.next(), if !under_way.is_empty() => {
                    asking.tell(found?);
                }
            }
        }
        Ok(())
    }

    /// The batches that were sent and not answered, as they were sent.
    async fn unanswered(&self, epoch: u32) -> Result<Vec<Batch>, PeerError> {
        let store = self.party.store();
        let mut batches = Vec::new();
        for sent in store.sent_batches(self.holder.id.as_str()).await? {
            // One that is about to expire is not sent again: its answer might come too late.
            let soon = self.party.ambient().now_ms() + 30_000;
            if sent.epoch != epoch || sent.expires_ms <= soon {
                continue;
            }
            let evidence = store.evidence(sent.leaf_index, EvidencePart::Query).await?;
            let Some(evidence) = evidence else { continue };
            let Some(digest) = digest_of(&evidence.envelope) else {
                continue;
            };
            batches.push(Batch {
                query: Outgoing {
                    message: to_wire(&evidence),
                    message_id: sent.message_id,
                    digest,
                    evidence,
                },
                asking: asking_about(self.lookup, sent.records.len(), pb::Outcome::default()),
                sent,
                again: true,
            });
        }
        Ok(batches)
    }

    /// The next batch of records that are to be asked about.
    async fn next(
        &self,
        roster: &Arc<TrustedRoster>,
        to_ask: &RegisterToAsk,
        size: usize,
        after: &mut u64,
    ) -> Result<Option<Batch>, PeerError> {
        let limit = (size + FAMILY) as u64;
        let store = self.party.store();
        let mut page = store.register_page(to_ask, *after, limit).await?;
        page.truncate(whole_families(&page, size));
        let Some(last) = page.last() else {
            return Ok(None);
        };
        *after = last.record.record_id;
        let (party, roster) = (Arc::clone(self.party), Arc::clone(roster));
        let (holder, lookup) = (self.holder.clone(), self.lookup.clone());
        let epoch = to_ask.epoch;
        let made = tokio::task::spawn_blocking(move || {
            make(&party, &roster, &holder, &lookup, epoch, &page)
        })
        .await
        .map_err(|_| PeerError::Store(StoreError::Closed))?;
        let (batch, pseudonyms) = made?;
        if !pseudonyms.is_empty() {
            self.party.store().save_pseudonyms(&pseudonyms).await?;
        }
        Ok(Some(batch))
    }

    async fn ask(
        &self,
        asking_all: &UnderWay<'_>,
        batch: Batch,
    ) -> Result<Vec<(String, SubjectGrade)>, PeerError> {
        let UnderWay {
            roster,
            line,
            totals,
            ..
        } = asking_all;
        let Batch {
            query,
            asking,
            sent,
            again,
        } = batch;
        let noting = Noting(sent.clone());
        let send = |message| line.send(message);
        let Asked {
            answer,
            bytes_sent,
            bytes_received,
        } = if again {
            complete(
                self.party,
                roster,
                self.holder,
                &query,
                &asking,
                &noting,
                send,
            )
            .await?
        } else {
            let before = vec![Effect::Register(RegisterStep::Sent(sent.clone()))];
            ask_keeping(
                self.party,
                roster,
                self.holder,
                &query,
                asking,
                before,
                &noting,
                send,
            )
            .await?
        };
        let results =
            results(&answer.items, sent.records.len()).map_err(|why| unfit(self.holder, why))?;
        let mut found = Vec::new();
        for (record_id, result) in sent.records.iter().zip(results) {
            if result.grade == pb::Grade::NoMatch {
                continue;
            }
            // Erased since it was asked about: there is nobody to be told of.
            if let Some(stored) = self.party.store().record_by_id(*record_id).await? {
                let record = enrol::parse(&stored)?;
                found.push((record.record_ref.as_str().to_owned(), result));
            }
        }
        let count = sent.records.len() as u64;
        totals.done.fetch_add(count, Ordering::Relaxed);
        totals.sent.fetch_add(bytes_sent, Ordering::Relaxed);
        totals.received.fetch_add(bytes_received, Ordering::Relaxed);
        Ok(found)
    }
}

/// A search under one epoch.
struct UnderWay<'a> {
    roster: &'a Arc<TrustedRoster>,
    line: Line<'a>,
    counts: RegisterCounts,
    totals: Totals,
    told: &'a (dyn Fn(Progress) + Send + Sync),
}

impl UnderWay<'_> {
    fn tell(&self, found: Vec<(String, SubjectGrade)>) {
        (self.told)(Progress {
            done: self.totals.done.load(Ordering::Relaxed),
            counts: self.counts,
            found,
            bytes_sent: self.totals.sent.load(Ordering::Relaxed),
            bytes_received: self.totals.received.load(Ordering::Relaxed),
        });
    }
}

/// How many batches are made ahead of their turn.
const AHEAD: usize = 2;

#[derive(Default)]
struct Totals {
    done: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Notes which records an answer was about, with the answer's leaf.
struct Noting(SentBatch);

#[tonic::async_trait]
impl OnAnswer<pb::LookupAnswer> for Noting {
    async fn effects(
        &self,
        _: &Party,
        answer: &Answer<pb::LookupAnswer>,
    ) -> Result<Changes, StoreError> {
        let step = RegisterStep::Answered {
            batch: self.0.clone(),
            mark: answer.payload.index_mark.clone(),
        };
        Ok(vec![Effect::Register(step)].into())
    }
}

/// A record's id, with its pseudonym.
type Named = (u64, [u8; 16]);

/// A batch about these records, with the pseudonyms that had to be made for it.
fn make(
    party: &Party,
    roster: &TrustedRoster,
    holder: &Member,
    lookup: &LookupAt,
    epoch: u32,
    page: &[RegisterEntry],
) -> Result<(Batch, Vec<Named>), PeerError> {
    let mut bodies = Vec::with_capacity(page.len());
    let mut pseudonyms = Vec::with_capacity(page.len());
    let mut made = Vec::new();
    for entry in page {
        let tokens = SubjectTokens::from_bytes(entry.presence, &entry.tokens).ok_or_else(|| {
            StoreError::Damaged {
                what: "coalition tokens".to_owned(),
                reason: "they have another length".to_owned(),
            }
        })?;
        let subject = tokens.for_holder(party.rules(), epoch, holder.id.as_str(), party.ambient());
        bodies.push(subject.encode_to_vec());
        pseudonyms.push(match entry.pseudonym {
            Some(pseudonym) => pseudonym,
            None => {
                let record = enrol::parse(&entry.record)?;
                let pseudonym = *party.pseudonym(record.record_ref.as_str())?.as_bytes();
                made.push((entry.record.record_id, pseudonym));
                pseudonym
            }
        });
    }
    let expires_ms = party.ambient().now_ms() + LIFETIME_MS;
    let (query, asking) = question(
        party,
        roster,
        holder,
        lookup,
        epoch,
        &bodies,
        pseudonyms.into_iter().map(Some),
    )?;
    let sent = SentBatch {
        message_id: query.message_id,
        member: holder.id.to_string(),
        leaf_index: 0,
        epoch,
        expires_ms,
        records: page.iter().map(|entry| entry.record.record_id).collect(),
    };
    let batch = Batch {
        query,
        asking,
        sent,
        again: false,
    };
    Ok((batch, made))
}

/// How many records a batch has: as few as make good use of the line, since an answer to fewer comes
/// sooner, but so many that a signature, a leaf and a commit are shared.
fn batch_size(to_ask: u64) -> usize {
    let even = to_ask.div_ceil(IN_FLIGHT as u64);
    usize::try_from(even)
        .unwrap_or(LARGEST)
        .clamp(SMALLEST, LARGEST)
}

const SMALLEST: usize = 40;
const LARGEST: usize = 250;

/// How many records more a batch may have so that a family stays together: siblings are found together
/// or not at all.
const FAMILY: usize = 8;

/// How many of a page make a batch of about `size` that parts no siblings who stand one after another.
fn whole_families(page: &[RegisterEntry], size: usize) -> usize {
    let mut end = size.min(page.len());
    let family = |at: usize| page.get(at).and_then(|entry| entry.record.family_tag);
    while end > 0 && end < page.len() && family(end).is_some() && family(end) == family(end - 1) {
        end += 1;
    }
    end
}

/// The digest of a kept query.
fn digest_of(envelope: &[u8]) -> Option<[u8; 32]> {
    let wire = pb::Envelope::decode(envelope).ok()?;
    let message = pb::SignedMessage {
        envelope: Some(wire),
        ..pb::SignedMessage::default()
    };
    let (envelope, _) = crate::exchange::message::take_apart(message).ok()?;
    Some(envelope.digest())
}

fn no_key() -> Refusal {
    Refusal::WrongEpoch { asked: 0, ours: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_as_small_as_makes_good_use_of_the_line() {
        assert_eq!(batch_size(0), SMALLEST);
        assert_eq!(batch_size(41), SMALLEST);
        assert_eq!(batch_size(100 * IN_FLIGHT as u64), 100);
        assert_eq!(batch_size(20_000), LARGEST);
        assert_eq!(batch_size(u64::MAX), LARGEST);
        // No batch is beyond what a query may hold.
        const { assert!(LARGEST + FAMILY <= super::super::MAX_SUBJECTS) };
    }
}
