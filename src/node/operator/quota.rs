//! Who used how much, and what was unusual.

use prost::Message as _;
use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, store_failed};
use crate::exchange::quota;
use crate::proto::exchange::LogEntry;
use crate::proto::operator as pb;
use crate::proto::operator::quota_service_server::QuotaService;

/// How many alerts are told if nothing else is asked for, and at most.
const ALERTS: u32 = 100;

#[tonic::async_trait]
impl QuotaService for Operator {
    async fn list_quotas(
        &self,
        request: Request<pb::ListQuotasRequest>,
    ) -> Result<Response<pb::ListQuotasResponse>, Status> {
        self.caller(&request, Duty::Watch).await?;
        let party = &self.party;
        let roster = party.roster()?;
        let epoch = party
            .coalition_key(&roster, None)
            .ok()
            .filter(|key| party.share_of(key).is_some())
            .map(|key| key.epoch());
        let mut here = Vec::new();
        for member in &roster.roster().members {
            if !member.roles.member {
                continue;
            }
            let standing = quota::standing(party, member, epoch)
                .await
                .map_err(|error| store_failed(&error))?;
            here.extend(standing.into_iter().map(|drawn| pb::QuotaUse {
                member: member.id.to_string(),
                quota: drawn.quota.to_owned(),
                used: drawn.used,
                limit: drawn.limit,
                stated_ms: 0,
            }));
        }
        let elsewhere = party
            .own_use()
            .into_iter()
            .map(|(member, quota, found)| pb::QuotaUse {
                member: member.to_string(),
                quota: quota.to_owned(),
                used: found.used,
                limit: found.limit,
                stated_ms: found.at_ms,
            })
            .collect();
        Ok(Response::new(pb::ListQuotasResponse { here, elsewhere }))
    }

    async fn list_alerts(
        &self,
        request: Request<pb::ListAlertsRequest>,
    ) -> Result<Response<pb::ListAlertsResponse>, Status> {
        self.caller(&request, Duty::Watch).await?;
        let count = match request.into_inner().count {
            0 => ALERTS,
            count => count.min(ALERTS),
        };
        let store = self.party.store();
        let failed = |error| store_failed(&error);
        let mut alerts = Vec::new();
        for leaf_index in store.newest_alerts(count.into()).await.map_err(failed)? {
            let leaves = store.leaves(leaf_index, 1).await.map_err(failed)?;
            // What stands at the place of an alert was written as one by this node.
            let entry = leaves
                .first()
                .and_then(|leaf| LogEntry::decode(leaf.as_slice()).ok());
            alerts.extend(entry.map(|entry| pb::UseAlert {
                leaf_index,
                time_ms: entry.time_ms,
                member: entry.peer,
                alert: entry.reference,
            }));
        }
        Ok(Response::new(pb::ListAlertsResponse { alerts }))
    }
}
