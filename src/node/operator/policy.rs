//! Which disclosure policy is in force.

use tonic::{Request, Response, Status};

use super::Operator;
use crate::proto::operator as pb;
use crate::proto::operator::policy_service_server::PolicyService;

#[tonic::async_trait]
impl PolicyService for Operator {
    async fn get_policy(
        &self,
        _request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        let now = self.party.policy_in_force();
        let (refused_code, refused_why) = now
            .refused
            .map(|refused| (refused.code.to_owned(), refused.why))
            .unwrap_or_default();
        Ok(Response::new(pb::GetPolicyResponse {
            sha256: hex::encode(now.policy.digest()),
            text: now.policy.text().to_owned(),
            refused_code,
            refused_why,
        }))
    }
}
