//! Which requests change, as a stream: reason enough to ask again, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use super::case::State;
use super::client::state_from;
use super::server::state_to;
use crate::exchange::ask::{self, client};
use crate::exchange::{Party, PeerError, Refusal};
use crate::proto::exchange as pb;
use crate::proto::exchange::disclosure_service_client::DisclosureServiceClient;
use crate::roster::{Member, MemberId};

/// How often the holder looks for changes.
const LOOK: Duration = Duration::from_millis(500);

/// How much later than it is dated a change may become durable and still be told, in milliseconds.
const WINDOW_MS: u64 = 60_000;

/// Most changes that are read at a time.
const AT_ONCE: u64 = 100;

/// Most streams of one party at a time: one for each of its replicas, and some that ended without a
/// word.
pub const STREAMS: usize = 8;

/// How many streams each party has open at this node.
#[derive(Default)]
pub struct Watchers(Mutex<BTreeMap<MemberId, usize>>);

impl Watchers {
    /// A place for one more stream of `member`, if it has any left.
    fn enter(self: &Arc<Self>, member: &MemberId) -> Result<Watching, Refusal> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(member.clone()).or_default();
        if *count >= STREAMS {
            return Err(Refusal::TooManyStreams { limit: STREAMS });
        }
        *count += 1;
        Ok(Watching {
            watchers: Arc::clone(self),
            member: member.clone(),
        })
    }
}

/// A stream's place; given back when it is dropped.
struct Watching {
    watchers: Arc<Watchers>,
    member: MemberId,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut open = self
            .watchers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.member) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.member);
            }
        }
    }
}

/// Opens a stream of the requests of `caller` that change at `since_ms` or later; what changed in the
/// minute before may be told too. It ends when nobody
/// reads it any more, when the party may not ask here any more, when the store fails, or when the node
/// stops.
///
/// # Errors
/// A [`Refusal`]: the party has no records of its own to ask for, this node refuses it, or it has too
/// many streams open.
pub fn watch(
    party: &Arc<Party>,
    caller: &Member,
    since_ms: u64,
    mut stopped: watch::Receiver<bool>,
) -> Result<mpsc::Receiver<Result<pb::WatchRequestsResponse, Status>>, Refusal> {
    if !caller.roles.member {
        return Err(Refusal::RoleMissing { role: "member" });
    }
    party.house_rules().admit(&caller.id, None)?;
    let place = party.watchers.enter(&caller.id)?;
    let (to, told) = mpsc::channel(16);
    let (party, member) = (Arc::clone(party), caller.id.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = changes(party, member, since_ms, to) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        drop(place);
    });
    Ok(told)
}

async fn changes(
    party: Arc<Party>,
    member: MemberId,
    mut since_ms: u64,
    to: mpsc::Sender<Result<pb::WatchRequestsResponse, Status>>,
) {
    // What was told within the window: a change is dated before it is durable, so one may turn up that
    // is older than others which were told already.
    let mut told: HashMap<[u8; 16], (u64, u8)> = HashMap::new();
    loop {
        let admitted = party.roster().is_ok_and(|roster| {
            let now = party.ambient().now();
            roster.active(member.as_str(), now).is_ok()
        }) && party.house_rules().admit(&member, None).is_ok();
        if !admitted {
            return;
        }
        let from_ms = since_ms.saturating_sub(WINDOW_MS);
        told.retain(|_, (at_ms, _)| *at_ms >= from_ms);
        let mut after = (from_ms.saturating_sub(1), [u8::MAX; 16]);
        loop {
            let found = match party
                .store()
                .requests_of(member.as_str(), after, AT_ONCE)
                .await
            {
                Ok(found) => found,
                Err(error) => {
                    let _ = to.send(Err(party.unavailable(&error).into())).await;
                    return;
                }
            };
            let Some(last) = found.last() else { break };
            after = (last.updated_ms, last.request_id);
            since_ms = since_ms.max(last.updated_ms);
            for row in found {
                let now = (row.updated_ms, row.state);
                if told.insert(row.request_id, now) == Some(now) {
                    continue;
                }
                let state = State::from_number(row.state)
                    .map_or(pb::DisclosureState::Unspecified, state_to);
                let change = pb::WatchRequestsResponse {
                    request_id: row.request_id.to_vec(),
                    state: state.into(),
                    changed_ms: row.updated_ms,
                };
                if to.send(Ok(change)).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            () = to.closed() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// A change of a request at its holder.
pub struct Change {
    /// The holder's id of the request.
    pub request_id: [u8; 16],
    /// Where it stands now.
    pub state: State,
}

/// Watches this member's requests at `holder`, from `since_ms` on.
///
/// # Errors
/// [`PeerError`] names the holder and what is wrong.
pub async fn watch_at(
    party: &Party,
    holder: &Member,
    since_ms: u64,
) -> Result<Streaming<pb::WatchRequestsResponse>, PeerError> {
    let channel = ask::channel(party, holder).await?;
    client!(DisclosureServiceClient<_>, channel)
        .watch_requests(pb::WatchRequestsRequest { since_ms })
        .await
        .map(tonic::Response::into_inner)
        .map_err(|status| PeerError::Refused {
            member: holder.id.to_string(),
            refusal: status.into(),
        })
}

/// A change, read; none if it is not one.
#[must_use]
pub fn change(told: &pb::WatchRequestsResponse) -> Option<Change> {
    Some(Change {
        request_id: told.request_id.as_slice().try_into().ok()?,
        state: state_from(told.state())?,
    })
}
