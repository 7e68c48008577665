//! Roots and rosters: what is trusted, and what is offered.

use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, refused, store_failed};
use crate::exchange::{freshness, rosters};
use crate::node::membership::{MembershipError, Offer};
use crate::proto::operator as pb;
use crate::proto::operator::membership_service_server::MembershipService;
use crate::roster::{EXPIRY_WARNING, Member, MemberId};

#[tonic::async_trait]
impl MembershipService for Operator {
    async fn get_membership(
        &self,
        request: Request<pb::GetMembershipRequest>,
    ) -> Result<Response<pb::GetMembershipResponse>, Status> {
        self.caller(&request, Duty::Watch).await?;
        let now = self.party.ambient().now();
        let failed = |error| store_failed(&error);
        let vouched = freshness::proved(&self.party).await.map_err(failed)?;
        let stale = freshness::is_stale(&self.party).await.map_err(failed)?;
        let own = self.party.id();
        let membership = self.party.with_trust(|trust| {
            let versions = trust.versions();
            let roster = trust.roster();
            pb::GetMembershipResponse {
                root_version: versions.root.into(),
                roster_version: versions.roster.into(),
                roster_digest: roster
                    .map_or_else(Vec::new, |roster| roster.digest().as_bytes().to_vec()),
                vouched: vouched.map_or(0, |proof| proof.as_of.unix()),
                stale,
                expires: roster.map_or(0, |roster| roster.roster().expires.unix()),
                not_in_force: trust
                    .roster_in_force(now)
                    .err()
                    .map_or_else(String::new, |error| error.code().to_owned()),
                warnings: trust
                    .warnings(now, EXPIRY_WARNING)
                    .into_iter()
                    .map(|warning| pb::MembershipWarning {
                        code: warning.code.to_owned(),
                        member: warning.member.map_or_else(String::new, |id| id.to_string()),
                        sentence: warning.sentence,
                    })
                    .collect(),
                parties: roster.map_or_else(Vec::new, |roster| {
                    let members = roster.roster().members.iter();
                    members.map(|one| party_of(one, own, now)).collect()
                }),
            }
        });
        Ok(Response::new(membership))
    }

    async fn take_files(
        &self,
        request: Request<pb::TakeFilesRequest>,
    ) -> Result<Response<pb::TakeFilesResponse>, Status> {
        let caller = self.caller(&request, Duty::Run).await?;
        let offers =
            caller
                .does(self.membership.take_files())
                .await
                .map_err(|error| match error {
                    MembershipError::Store(error) => store_failed(&error),
                    MembershipError::Directory(error) => {
                        refused(tonic::Code::FailedPrecondition, "FILE", &error.to_string())
                    }
                })?;
        Ok(Response::new(pb::TakeFilesResponse {
            offers: offers.into_iter().map(told).collect(),
        }))
    }

    async fn ask_peers(
        &self,
        request: Request<pb::AskPeersRequest>,
    ) -> Result<Response<pb::AskPeersResponse>, Status> {
        // The node does the same by itself, and takes nothing without the roots' signatures.
        let caller = self.caller(&request, Duty::Watch).await?;
        let offers = caller.does(self.membership.ask_peers()).await;
        Ok(Response::new(pb::AskPeersResponse {
            offers: offers.into_iter().map(told).collect(),
        }))
    }

    async fn accept_clock(
        &self,
        request: Request<pb::AcceptClockRequest>,
    ) -> Result<Response<pb::AcceptClockResponse>, Status> {
        let caller = self.caller(&request, Duty::Run).await?;
        let (seen, now) = caller
            .does(rosters::accept_clock(&self.party))
            .await
            .map_err(|error| store_failed(&error))?;
        Ok(Response::new(pb::AcceptClockResponse { seen, now }))
    }
}

fn party_of(member: &Member, own: &MemberId, now: u64) -> pb::RosterParty {
    pb::RosterParty {
        id: member.id.to_string(),
        name: member.name.clone(),
        organisation: member.organisation.clone(),
        member: member.roles.member,
        keyholder: member.roles.keyholder.is_some(),
        ombudsman: member.roles.ombudsman.is_some(),
        suspended: member.is_suspended(now),
        addresses: member.addresses.iter().map(ToString::to_string).collect(),
        own: member.id == *own,
    }
}

fn told(offer: Offer) -> pb::Offer {
    pb::Offer {
        source: offer.source,
        code: offer.code,
        message: offer.message,
    }
}
