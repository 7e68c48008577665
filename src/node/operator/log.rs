//! How the node's own log stands, and what was found out.

use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, store_failed};
use crate::node::keeper::witnesses;
use crate::proto::operator as pb;
use crate::proto::operator::log_service_server::LogService;
use crate::roster::TrustedRoster;
use crate::tlog::SignedCheckpoint;

/// Most findings that are told at once.
const FINDINGS: u64 = 100;

#[tonic::async_trait]
impl LogService for Operator {
    async fn get_log(
        &self,
        request: Request<pb::GetLogRequest>,
    ) -> Result<Response<pb::GetLogResponse>, Status> {
        self.caller(&request, Duty::Watch).await?;
        let store = self.party.store();
        let failed = |error| store_failed(&error);
        let newest = store.newest_signed().await.map_err(failed)?;
        let served = store.published_checkpoint().await.map_err(failed)?;
        let (open_receipts, broken_receipts) = store.receipt_counts().await.map_err(failed)?;
        let findings = store.log_findings(FINDINGS).await.map_err(failed)?;
        let roster = self.party.roster().ok();
        let own = roster
            .as_ref()
            .and_then(|roster| roster.member(self.party.id().as_str()));
        Ok(Response::new(pb::GetLogResponse {
            origin: own
                .and_then(|own| own.log.as_ref())
                .map(|log| log.origin.clone())
                .unwrap_or_default(),
            size: newest.map_or(0, |newest| newest.head.size),
            served_size: served.as_ref().map_or(0, |(size, _)| *size),
            not_signed: match self.party.ledger().standing() {
                Some(Ok(())) => String::new(),
                Some(Err(why)) => why.to_string(),
                None => "no term has begun yet".to_owned(),
            },
            cosigned_by: match (&served, &roster) {
                (Some((_, served)), Some(roster)) => cosigned_by(served, roster),
                _ => Vec::new(),
            },
            witnesses: roster.as_ref().map_or_else(Vec::new, |roster| {
                witnesses(&self.party, roster)
                    .iter()
                    .map(|member| member.id.to_string())
                    .collect()
            }),
            open_receipts,
            broken_receipts,
            findings: findings
                .into_iter()
                .map(|alert| pb::LogFinding {
                    found_ms: alert.found_ms,
                    kind: alert.kind,
                    member: alert.member,
                    detail: alert.detail,
                    proof: alert
                        .proof
                        .into_iter()
                        .filter(|checkpoint| !checkpoint.is_empty())
                        .collect(),
                })
                .collect(),
        }))
    }

    async fn get_activity(
        &self,
        request: Request<pb::GetActivityRequest>,
    ) -> Result<Response<pb::GetActivityResponse>, Status> {
        self.caller(&request, Duty::Watch).await?;
        let days = self
            .activity()
            .await
            .map_err(|error| store_failed(&error))?;
        Ok(Response::new(pb::GetActivityResponse { days }))
    }

    async fn check_log(
        &self,
        request: Request<pb::CheckLogRequest>,
    ) -> Result<Response<pb::CheckLogResponse>, Status> {
        // The node does the same by itself every few minutes.
        let caller = self.caller(&request, Duty::Watch).await?;
        let failed = |error| store_failed(&error);
        caller.does(self.rounds.witness()).await.map_err(failed)?;
        let looked = caller
            .does(self.rounds.look_at_peers())
            .await
            .map_err(failed)?;
        let outcome = looked.promises;
        let served = self.party.store().published_checkpoint();
        let cosignatures = served
            .await
            .map_err(failed)?
            .and_then(|(_, served)| SignedCheckpoint::parse(served.as_bytes()).ok())
            .map_or(0, |served| served.note().signatures().len() - 1);
        Ok(Response::new(pb::CheckLogResponse {
            kept: outcome.kept,
            open: outcome.open,
            broken: outcome.alerts.len() as u64,
            cosignatures: cosignatures as u32,
            splits: looked.splits,
        }))
    }
}

/// Which parties of the roster have cosigned a checkpoint.
fn cosigned_by(served: &str, roster: &TrustedRoster) -> Vec<String> {
    let Ok(served) = SignedCheckpoint::parse(served.as_bytes()) else {
        return Vec::new();
    };
    let cosigned = |vkey: &str| {
        vkey.parse().is_ok_and(|key| {
            crate::envelope::verify_threshold(served.note(), std::slice::from_ref(&key), 1).is_ok()
        })
    };
    roster
        .roster()
        .members
        .iter()
        .filter(|member| member.witness_vkey.as_deref().is_some_and(cosigned))
        .map(|member| member.id.to_string())
        .collect()
}
