//! The node's keys at rest.

use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, refused};
use crate::node::keys::KeyKeepingError;
use crate::proto::operator as pb;
use crate::proto::operator::key_service_server::KeyService;

#[tonic::async_trait]
impl KeyService for Operator {
    async fn rotate_keys(
        &self,
        request: Request<pb::RotateKeysRequest>,
    ) -> Result<Response<pb::RotateKeysResponse>, Status> {
        let caller = self.caller(&request, Duty::Run).await?;
        let done = if request.into_inner().wrapping_only {
            caller.does(self.keeper.renew_wrapping(&self.party)).await
        } else {
            caller.does(self.keeper.rotate(&self.party)).await
        };
        done.map_err(|error| failed(&error))?;
        Ok(Response::new(pb::RotateKeysResponse {}))
    }

    async fn get_keys(
        &self,
        request: Request<pb::GetKeysRequest>,
    ) -> Result<Response<pb::GetKeysResponse>, Status> {
        self.caller(&request, Duty::Watch).await?;
        let status = self
            .keeper
            .status(self.party.store())
            .await
            .map_err(|error| failed(&error))?;
        let left = status.wrapping.iter().skip(1).map(|key| key.rows).sum();
        Ok(Response::new(pb::GetKeysResponse {
            masters: status.masters,
            wrapping: status
                .wrapping
                .into_iter()
                .map(|key| pb::WrappingKey {
                    id: key.id,
                    made_ms: key.made_ms,
                    retired_ms: key.retired_ms.unwrap_or(0),
                    rows: key.rows,
                })
                .collect(),
            left,
        }))
    }
}

fn failed(error: &KeyKeepingError) -> Status {
    let (status, code) = match error {
        KeyKeepingError::NotOurs { .. } => (tonic::Code::FailedPrecondition, "MASTER_KEY_NOT_OURS"),
        _ => (tonic::Code::Internal, "KEYS_FAILED"),
    };
    tracing::error!(%error, "an operator's request about keys failed");
    refused(status, code, &error.to_string())
}
