//! Many batches of one register over one stream: the holder's side, and the asking side's line.
//!
//! A batch in a stream is a lookup like any other, with a leaf, a receipt and a stored answer of its
//! own. The stream adds that many can be on their way at once, and that a slow side slows the other
//! down and fills nobody's memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use futures_util::{Stream, StreamExt as _};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::server::{answer, mark_for};
use crate::exchange::ask::{self, client};
use crate::exchange::{Party, PeerError, Refusal};
use crate::proto::exchange as pb;
use crate::proto::exchange::lookup_service_client::LookupServiceClient;
use crate::roster::{Member, MemberId};

/// How many batches of a stream wait for their answers at most. An answer waits for its tick, which is
/// the longer the larger the batch, so it takes many to keep two cores busy.
pub(super) const IN_FLIGHT: usize = 48;

/// How many streams a party may have open at a node: what it can make a node hold in memory is
/// bounded by both numbers.
const STREAMS: usize = 2;

/// The streams that are open, by party.
#[derive(Default)]
pub struct Streams(StdMutex<BTreeMap<MemberId, usize>>);

impl Streams {
    /// Counts one more stream of `party`, as long as what is given lives.
    ///
    /// # Errors
    /// If it has as many as it may.
    fn enter(self: &Arc<Self>, party: &MemberId) -> Result<OpenStream, Refusal> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(party.clone()).or_default();
        if *count >= STREAMS {
            return Err(Refusal::QuotaExceeded {
                quota: "streams",
                used: *count as u64,
                limit: STREAMS as u64,
                asked: 1,
                retry_after_seconds: 1,
            });
        }
        *count += 1;
        Ok(OpenStream {
            streams: Arc::clone(self),
            party: party.clone(),
        })
    }
}

struct OpenStream {
    streams: Arc<Streams>,
    party: MemberId,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self
            .streams
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.party) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.party);
            }
        }
    }
}

/// Answers the batches of a stream, in their order. A batch that is refused does not end it.
///
/// # Errors
/// If the caller has too many streams open.
pub fn answer_stream(
    party: Arc<Party>,
    caller: Member,
    queries: impl Stream<Item = Result<pb::LookupStreamRequest, Status>> + Send + 'static,
) -> Result<impl Stream<Item = Result<pb::LookupStreamResponse, Status>> + Send + 'static, Refusal>
{
    let id = caller.id;
    let entered = party.streams.enter(&id)?;
    let answers = queries
        .map(move |query| {
            let (party, id) = (Arc::clone(&party), id.clone());
            // On a task of its own, so that batches are answered on all cores.
            let answering = tokio::spawn(async move {
                let message = query?.message.ok_or(Refusal::Malformed {
                    what: "message",
                    why: "it is missing".to_owned(),
                });
                // As the roster has it by now: a stream may outlast a quota, or a membership.
                let caller = party.roster().and_then(|roster| {
                    let member = roster.member(id.as_str()).cloned();
                    member.ok_or(Refusal::UnknownParty)
                });
                Ok::<_, Status>(match (message, caller) {
                    (Ok(message), Ok(caller)) => answer(&party, &caller, message).await,
                    (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
                })
            });
            async move {
                let outcome = answering
                    .await
                    .map_err(|_| Status::internal("a batch could not be answered"))??;
                Ok(pb::LookupStreamResponse {
                    outcome: Some(match outcome {
                        Ok(message) => pb::lookup_stream_response::Outcome::Message(message),
                        Err(refusal) => {
                            pb::lookup_stream_response::Outcome::Refusal(refused(refusal.into()))
                        }
                    }),
                })
            }
        })
        .buffered(IN_FLIGHT);
    Ok(answers.inspect(move |_| {
        // It is open as long as its answers are read.
        let _open = &entered;
    }))
}

fn refused(status: Status) -> pb::BatchRefusal {
    pb::BatchRefusal {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: status.details().to_vec(),
    }
}

fn outcome(response: pb::LookupStreamResponse) -> Outcome {
    match response.outcome {
        Some(pb::lookup_stream_response::Outcome::Message(message)) => Ok(Some(message)),
        Some(pb::lookup_stream_response::Outcome::Refusal(refusal)) => Err(Status::with_details(
            Code::from_i32(refusal.code),
            refusal.message,
            refusal.details.into(),
        )),
        None => Ok(None),
    }
}

/// The mark of `holder`'s index as it states it to this node.
///
/// # Errors
/// If the holder cannot be reached, or refuses.
pub async fn index_mark(party: &Party, holder: &Member) -> Result<Vec<u8>, PeerError> {
    let refused = |status: Status| PeerError::Refused {
        member: holder.id.to_string(),
        refusal: status.into(),
    };
    let channel = ask::link(party, holder).await?;
    let call = async {
        client!(LookupServiceClient<_>, channel)
            .get_index_mark(pb::GetIndexMarkRequest {})
            .await
    };
    match tokio::time::timeout(ask::TIMEOUT, call).await {
        Ok(response) => Ok(response.map_err(refused)?.into_inner().index_mark),
        Err(_) => Err(PeerError::Late {
            member: holder.id.to_string(),
            seconds: ask::TIMEOUT.as_secs(),
        }),
    }
}

/// The mark of this node's index as `caller` may know it.
///
/// # Errors
/// If the store fails.
pub async fn own_index_mark(
    party: &Party,
    caller: &Member,
) -> Result<pb::GetIndexMarkResponse, Refusal> {
    let mark = party
        .store()
        .index_mark()
        .await
        .map_err(|error| party.unavailable(&error))?;
    Ok(pb::GetIndexMarkResponse {
        index_mark: mark_for(party, caller, mark).to_vec(),
    })
}

type Outcome = Result<Option<pb::SignedMessage>, Status>;

/// A line to one holder over which batches are sent and answered. It is opened when it is needed and
/// again when it was cut; batches that were on it are then failed as `UNAVAILABLE`, for their sender to
/// send them again.
pub(super) struct Line<'a> {
    party: &'a Party,
    holder: &'a Member,
    open: Mutex<Option<Open>>,
}

struct Open {
    queries: mpsc::Sender<pb::LookupStreamRequest>,
    waiting: Waiting,
}

/// Who waits for answers, in the order of the queries; nothing once the stream has ended.
type Waiting = Arc<StdMutex<Option<VecDeque<oneshot::Sender<Outcome>>>>>;

impl<'a> Line<'a> {
    pub(super) fn new(party: &'a Party, holder: &'a Member) -> Self {
        Self {
            party,
            holder,
            open: Mutex::default(),
        }
    }

    /// Sends a batch and waits for its answer.
    pub(super) async fn send(&self, message: pb::SignedMessage) -> Outcome {
        let (told, answer) = oneshot::channel();
        {
            // Held while the query is handed over, so that those who wait stand in the order of
            // the queries.
            let mut open = self.open.lock().await;
            if open.as_ref().is_none_or(|line| line.is_cut()) {
                *open = Some(self.connect().await?);
            }
            let line = open.as_ref().ok_or_else(cut)?;
            match &mut *line.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(waiting) => waiting.push_back(told),
                None => return Err(cut()),
            }
            let query = pb::LookupStreamRequest {
                message: Some(message),
            };
            line.queries.send(query).await.map_err(|_| cut())?;
        }
        answer.await.map_err(|_| cut())?
    }

    async fn connect(&self) -> Result<Open, Status> {
        let channel = ask::link(self.party, self.holder)
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let (queries, sent) = mpsc::channel(1);
        let mut answers = client!(LookupServiceClient<_>, channel)
            .lookup_stream(ReceiverStream::new(sent))
            .await?
            .into_inner();
        let waiting: Waiting = Arc::new(StdMutex::new(Some(VecDeque::new())));
        let served = Arc::clone(&waiting);
        // Ends when the stream does: when the line is dropped, or cut.
        tokio::spawn(async move {
            let ended = loop {
                match answers.message().await {
                    Ok(Some(response)) => {
                        let first = served
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .as_mut()
                            .and_then(VecDeque::pop_front);
                        match first {
                            // Whoever asked may have gone away.
                            Some(first) => drop(first.send(outcome(response))),
                            None => break Status::unavailable("an answer came to no query"),
                        }
                    }
                    Ok(None) => break cut(),
                    Err(status) => break status,
                }
            };
            let left = served.lock().unwrap_or_else(PoisonError::into_inner).take();
            for one in left.into_iter().flatten() {
                let _ = one.send(Err(ended.clone()));
            }
        });
        Ok(Open { queries, waiting })
    }
}

impl Open {
    fn is_cut(&self) -> bool {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

fn cut() -> Status {
    Status::unavailable("the stream was cut")
}
