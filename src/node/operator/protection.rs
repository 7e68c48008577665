//! What the holder's own people have to know about protected records.

use prost::Message as _;
use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, page_size, refused, store_failed};
use crate::proto::operator as pb;
use crate::proto::operator::protection_service_server::ProtectionService;
use crate::store::StoreError;

#[tonic::async_trait]
impl ProtectionService for Operator {
    async fn list_protection_alerts(
        &self,
        request: Request<pb::ListProtectionAlertsRequest>,
    ) -> Result<Response<pb::ListProtectionAlertsResponse>, Status> {
        self.caller(&request, Duty::Read).await?;
        let asked = request.into_inner();
        let failed = |error: StoreError| store_failed(&error);
        let store = self.party.store();
        let limit = page_size(asked.limit);
        let mut alerts = Vec::new();
        for kept in store
            .alerts(asked.after, u64::from(limit), asked.seen)
            .await
            .map_err(failed)?
        {
            let alert = pb::ProtectionAlert::decode(kept.plaintext.as_slice())
                .map_err(|error| failed(StoreError::damaged("alert", error.to_string())))?;
            alerts.push(pb::ProtectionAlert {
                id: kept.alert_id,
                raised_ms: kept.raised_ms,
                leaf_index: kept.leaf_index,
                seen: kept.seen,
                ..alert
            });
        }
        let open = store.open_alerts().await.map_err(failed)?;
        Ok(Response::new(pb::ListProtectionAlertsResponse {
            alerts,
            open,
        }))
    }

    async fn see_protection_alert(
        &self,
        request: Request<pb::SeeProtectionAlertRequest>,
    ) -> Result<Response<pb::SeeProtectionAlertResponse>, Status> {
        self.caller(&request, Duty::Keep).await?;
        let found = self
            .party
            .store()
            .see_alert(request.into_inner().id)
            .await
            .map_err(|error| store_failed(&error))?;
        if found {
            Ok(Response::new(pb::SeeProtectionAlertResponse {}))
        } else {
            Err(refused(
                tonic::Code::NotFound,
                "NO_SUCH_ALERT",
                "there is no alert with that number: see `wayhome alerts`",
            ))
        }
    }
}
