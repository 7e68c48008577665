//! Which requests change, as a stream: reason enough to ask again, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::case::State;
use super::client::state_from;
use super::server::state_to;
use crate::exchange::ask::{self, client};
use crate::exchange::{Party, PeerError};
use crate::proto::exchange as pb;
use crate::proto::exchange::disclosure_service_client::DisclosureServiceClient;
use crate::roster::{Member, MemberId};

/// How often the holder looks for changes.
const LOOK: Duration = Duration::from_millis(500);

/// Most changes that are told at a time.
const AT_ONCE: u64 = 100;

/// Tells the requests of `member` that change at `since_ms` or later, until the receiver is gone, the
/// member is cut off, or the store fails.
pub async fn changes(
    party: Arc<Party>,
    member: MemberId,
    since_ms: u64,
    to: mpsc::Sender<Result<pb::WatchRequestsResponse, Status>>,
) {
    let mut since_ms = since_ms;
    // What was told of the newest moment, since more may happen at the same one.
    let mut told: Vec<([u8; 16], u8)> = Vec::new();
    loop {
        let active = party.roster().is_ok_and(|roster| {
            roster
                .active(member.as_str(), party.ambient().now())
                .is_ok()
        });
        if !active {
            return;
        }
        let found = match party
            .store()
            .requests_of(member.as_str(), since_ms, AT_ONCE)
            .await
        {
            Ok(found) => found,
            Err(error) => {
                let _ = to.send(Err(party.unavailable(&error).into())).await;
                return;
            }
        };
        for row in found {
            if row.updated_ms > since_ms {
                since_ms = row.updated_ms;
                told.clear();
            }
            if told.contains(&(row.request_id, row.state)) {
                continue;
            }
            told.push((row.request_id, row.state));
            let state =
                State::from_number(row.state).map_or(pb::DisclosureState::Unspecified, state_to);
            let change = pb::WatchRequestsResponse {
                request_id: row.request_id.to_vec(),
                state: state.into(),
                changed_ms: row.updated_ms,
            };
            if to.send(Ok(change)).await.is_err() {
                return;
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
