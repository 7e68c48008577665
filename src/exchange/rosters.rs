//! Rosters on their way between nodes: from any peer, believed only for their signatures.

use std::sync::Arc;

use super::ask::{self, client};
use super::{Party, PeerError};
use crate::proto::exchange as pb;
use crate::proto::exchange::roster_service_client::RosterServiceClient;
use crate::roster::{Member, RosterError, Update};
use crate::store::StoreError;

/// What a peer with these versions lacks.
#[must_use]
pub fn newer(party: &Party, root_version: u64, roster_version: u64) -> pb::GetRosterResponse {
    let root_version = u32::try_from(root_version).unwrap_or(u32::MAX);
    party.with_trust(|trust| pb::GetRosterResponse {
        roots: trust.roots_above(root_version).map(str::to_owned).collect(),
        roster: trust
            .roster()
            .filter(|roster| u64::from(roster.version()) > roster_version)
            .map(|roster| roster.note().to_owned())
            .unwrap_or_default(),
    })
}

/// Fetches what `peer` has that is newer, and takes it if its signatures hold.
///
/// # Errors
/// If the peer cannot be reached or the state cannot be kept. What was refused, and why, is in the
/// inner result.
pub async fn fetch(
    party: &Arc<Party>,
    peer: &Member,
) -> Result<Result<Update, RosterError>, PeerError> {
    let versions = party.with_trust(crate::roster::TrustStore::versions);
    let channel = ask::channel(party, peer).await?;
    let request = pb::GetRosterRequest {
        root_version: u64::from(versions.root),
        roster_version: u64::from(versions.roster),
    };
    let mut client = client!(RosterServiceClient<_>, channel);
    let reply = tokio::time::timeout(ask::TIMEOUT, client.get_roster(request))
        .await
        .map_err(|_| PeerError::Late {
            member: peer.id.to_string(),
            seconds: ask::TIMEOUT.as_secs(),
        })?
        .map_err(|status| PeerError::Refused {
            member: peer.id.to_string(),
            refusal: status.into(),
        })?
        .into_inner();
    let roots: Vec<Vec<u8>> = reply.roots.into_iter().map(String::into_bytes).collect();
    let roster = (!reply.roster.is_empty()).then_some(reply.roster.as_bytes());
    party
        .offer_roster(&roots, roster)
        .await
        .map_err(|error: StoreError| PeerError::Store(error))
}
