//! Ceremonies over the nodes' own connections.

use tonic::{Code, Request, Response, Status};

use super::duty::Duty;
use super::{Operator, invalid, refused, store_failed};
use crate::node::ceremonies::{CeremoniesError, Stand};
use crate::node::ceremony::{Fingerprint, Terms};
use crate::proto::operator as pb;
use crate::proto::operator::ceremony_service_server::CeremonyService;
use crate::roster::MemberId;

#[tonic::async_trait]
impl CeremonyService for Operator {
    async fn call_ceremony(
        &self,
        request: Request<pb::CallCeremonyRequest>,
    ) -> Result<Response<pb::CallCeremonyResponse>, Status> {
        let caller = self.caller(&request, Duty::Run).await?;
        let terms = terms(request.into_inner())?;
        let called = caller.does(self.ceremonies.call(terms)).await;
        let fingerprint = called.map_err(failed)?;
        Ok(Response::new(pb::CallCeremonyResponse {
            fingerprint: fingerprint.to_string(),
            folder: self.ceremonies.folder(fingerprint).display().to_string(),
        }))
    }

    async fn join_ceremony(
        &self,
        request: Request<pb::JoinCeremonyRequest>,
    ) -> Result<Response<pb::JoinCeremonyResponse>, Status> {
        let caller = self.caller(&request, Duty::Run).await?;
        let fingerprint = told(&request.into_inner().fingerprint)?;
        let joined = caller.does(self.ceremonies.join(fingerprint)).await;
        let stand = joined.map_err(failed)?;
        Ok(Response::new(pb::JoinCeremonyResponse {
            standing: Some(self.said(fingerprint, stand)),
        }))
    }

    async fn get_ceremony(
        &self,
        request: Request<pb::GetCeremonyRequest>,
    ) -> Result<Response<pb::GetCeremonyResponse>, Status> {
        self.caller(&request, Duty::Watch).await?;
        let fingerprint = told(&request.into_inner().fingerprint)?;
        let stand = self.ceremonies.stand(fingerprint).await.map_err(failed)?;
        Ok(Response::new(pb::GetCeremonyResponse {
            standing: Some(self.said(fingerprint, stand)),
        }))
    }
}

impl Operator {
    fn said(&self, fingerprint: Fingerprint, stand: Stand) -> pb::CeremonyStanding {
        let (waits_for, members) = stand.waits_for.map_or_else(Default::default, |waiting| {
            let members = waiting.members.iter().map(MemberId::to_string).collect();
            (waiting.round.to_string(), members)
        });
        let (code, message) = stand.stopped.unwrap_or_default();
        pb::CeremonyStanding {
            folder: self.ceremonies.folder(fingerprint).display().to_string(),
            has_plan: stand.has_plan,
            joined: stand.joined,
            finished: stand.finished,
            waits_for: if stand.finished {
                String::new()
            } else {
                waits_for
            },
            members,
            stopped_code: code.to_owned(),
            stopped_message: message,
            faults: stand
                .faults
                .into_iter()
                .map(|fault| pb::CeremonyFault {
                    peer: fault.peer.to_string(),
                    file: fault.file,
                    code: fault.code.to_owned(),
                    message: fault.message,
                })
                .collect(),
            away: stand.away.iter().map(MemberId::to_string).collect(),
        }
    }
}

fn told(fingerprint: &str) -> Result<Fingerprint, Status> {
    Fingerprint::parse(fingerprint).ok_or_else(|| {
        invalid(
            "FINGERPRINT",
            "a ceremony's fingerprint has 32 hexadecimal digits: give all of them, as they were told",
        )
    })
}

fn terms(asked: pb::CallCeremonyRequest) -> Result<Terms, Status> {
    let one = |text: &str| -> Result<MemberId, Status> {
        text.parse()
            .map_err(|_| invalid("PARTY", &format!("{text:?} is no party's id")))
    };
    let many = |ids: &[String]| -> Result<Option<Vec<MemberId>>, Status> {
        let ids = ids
            .iter()
            .map(|id| one(id))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((!ids.is_empty()).then_some(ids))
    };
    let epoch = (asked.epoch > 0).then_some(asked.epoch);
    match asked.procedure.as_str() {
        "generate" => Ok(Terms::Generate {
            epoch,
            threshold: match asked.threshold {
                0 => None,
                threshold => Some(
                    u16::try_from(threshold)
                        .map_err(|_| invalid("THRESHOLD", "no threshold is so large"))?,
                ),
            },
            keyholders: many(&asked.keyholders)?,
        }),
        "refresh" => Ok(Terms::Refresh {
            epoch,
            keyholders: many(&asked.keyholders)?,
        }),
        "repair" => Ok(Terms::Repair {
            epoch,
            target: one(&asked.target)?,
            helpers: many(&asked.keyholders)?,
        }),
        "replace" => Ok(Terms::Replace {
            epoch,
            leaves: one(&asked.leaves)?,
            joins: one(&asked.target)?,
        }),
        _ => Err(invalid(
            "PROCEDURE",
            "a ceremony is one of generate, refresh, repair, replace",
        )),
    }
}

fn failed(error: CeremoniesError) -> Status {
    match error {
        CeremoniesError::Ceremony(error) => {
            refused(Code::FailedPrecondition, error.code(), &error.to_string())
        }
        CeremoniesError::Refusal(refusal) => refusal.into(),
        CeremoniesError::Directory(error) => {
            refused(Code::FailedPrecondition, "FILE", &error.to_string())
        }
        CeremoniesError::Store(error) => store_failed(&error),
        error @ CeremoniesError::Interrupted => {
            refused(Code::Unavailable, "INTERRUPTED", &error.to_string())
        }
    }
}
