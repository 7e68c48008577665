//! Which disclosure policy is in force, and what it comes to.

use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, columns, invalid};
use crate::exchange::policy::{Question, RecordFacts};
use crate::proto::operator as pb;
use crate::proto::operator::policy_service_server::PolicyService;
use crate::records::{Consent, FIELDS, Protection};
use crate::roster::{LegalBasis, Purpose, UnknownName};

#[tonic::async_trait]
impl PolicyService for Operator {
    async fn get_policy(
        &self,
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        self.own_user_or(&request, Duty::Watch).await?;
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

    async fn explain_policy(
        &self,
        request: Request<pb::ExplainPolicyRequest>,
    ) -> Result<Response<pb::ExplainPolicyResponse>, Status> {
        self.own_user_or(&request, Duty::Watch).await?;
        let asked = request.into_inner();
        let asked_columns = if asked.fields.is_empty() {
            FIELDS
                .iter()
                .filter(|field| field.disclosable)
                .map(|field| field.column)
                .collect()
        } else {
            columns(&asked.fields)?
        };
        let question = question(asked)?;
        let policy = self.party.policy_in_force().policy;
        let fields = asked_columns
            .into_iter()
            .map(|column| {
                let explained = policy.explain(&question, column);
                pb::ExplainedField {
                    field: column.name().to_owned(),
                    decision: explained.needs.as_str().to_owned(),
                    rules: explained.rules.into_iter().map(|rule| rule.id).collect(),
                    break_glass: explained.alone.is_some(),
                    sentence: explained.sentence,
                }
            })
            .collect();
        Ok(Response::new(pb::ExplainPolicyResponse {
            fields,
            sha256: hex::encode(policy.digest()),
        }))
    }
}

/// The request that is thought of, with what is usual where nothing is said.
fn question(asked: pb::ExplainPolicyRequest) -> Result<Question, Status> {
    let or = |text: String, usual: &str| match text.is_empty() {
        true => usual.to_owned(),
        false => text,
    };
    let purpose: Purpose = or(asked.purpose, Purpose::FamilyTracing.as_str())
        .parse()
        .map_err(|error: UnknownName| invalid("PURPOSE", &error.to_string()))?;
    let legal_basis: LegalBasis = or(asked.legal_basis, LegalBasis::VitalInterest.as_str())
        .parse()
        .map_err(|error: UnknownName| invalid("LEGAL_BASIS", &error.to_string()))?;
    let protection = Protection::parse(&or(asked.protection, Protection::None.as_str()))
        .map_err(|error| invalid("PROTECTION", &format!("protection: {error}")))?;
    let ground = Consent::parse(&or(asked.ground, Consent::Tracing.as_str()))
        .map_err(|error| invalid("GROUND", &format!("ground: {error}")))?;
    Ok(Question {
        member: or(asked.member, "any"),
        purpose,
        legal_basis,
        certain: !asked.uncertain,
        urgent: asked.urgent,
        record: RecordFacts {
            status: asked.status,
            protection,
            ground,
            family_silent: false,
            entered_by: Vec::new(),
        },
    })
}
