//! How the node is.

use tonic::{Request, Response, Status};

use super::{Operator, store_failed};
use crate::exchange::epochs;
use crate::node::readiness::not_ready;
use crate::proto::operator as pb;
use crate::proto::operator::node_service_server::NodeService;

#[tonic::async_trait]
impl NodeService for Operator {
    async fn get_status(
        &self,
        _request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let store = self.party.store();
        let failed = |error| store_failed(&error);
        let records = store.record_total().await.map_err(failed)?;
        let log_size = store
            .checkpoint()
            .await
            .map_err(failed)?
            .map_or(0, |log| log.0);
        let open_alerts = store.open_alerts().await.map_err(failed)?;
        let roster = self.party.roster().ok();
        let epoch = roster
            .as_ref()
            .and_then(|roster| roster.coalition_key())
            .map_or(0, |key| key.epoch as u32);
        let (index_records, index_tokens) = store.index_size(epoch).await.map_err(failed)?;
        let standings = epochs::standings(&self.party).await.map_err(failed)?;
        let stopping = *self.stopped.borrow();
        let reasons = not_ready(&self.party, stopping).await;
        Ok(Response::new(pb::GetStatusResponse {
            member: self.party.id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roster_version: roster.map_or(0, |roster| u64::from(roster.version())),
            epoch,
            keyholder: standings
                .iter()
                .any(|standing| standing.epoch == epoch && standing.share),
            records,
            index_records,
            index_tokens,
            log_size,
            epochs: standings
                .into_iter()
                .map(|standing| pb::KeyEpoch {
                    epoch: standing.epoch,
                    place: standing.place.as_str().to_owned(),
                    records_done: standing.done,
                    records_total: standing.total,
                    open: standing.open,
                    share: standing.share,
                })
                .collect(),
            open_alerts,
            not_ready: reasons
                .into_iter()
                .map(|reason| pb::NotReady {
                    code: reason.code.to_owned(),
                    reason: reason.reason,
                })
                .collect(),
        }))
    }
}
