//! Giving a ceremony's files to those who may see them.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};

use super::{CeremoniesError, FOLDER, blocking};
use crate::audit::server::may_read;
use crate::exchange::Refusal;
use crate::node::ceremony::{Ceremony, CeremonyError, Fingerprint, Reader, WireFile};
use crate::node::directory::Directory;
use crate::node::serve::Exchange;
use crate::proto::exchange as pb;
use crate::proto::exchange::ceremony_service_server::CeremonyService;
use crate::roster::{Bytes32, Member, TrustStore};

/// Most files that a caller may say it has.
const MOST_HELD: usize = 4_096;

/// Gives a ceremony's files to those who take part in it.
#[derive(Clone)]
pub struct CeremonyDesk {
    exchange: Exchange,
    directory: Directory,
}

impl CeremonyDesk {
    /// The desk of the node in `directory`.
    #[must_use]
    pub fn new(exchange: Exchange, directory: Directory) -> Self {
        Self {
            exchange,
            directory,
        }
    }

    async fn give(
        &self,
        caller: Member,
        asked: pb::GetCeremonyFilesRequest,
    ) -> Result<pb::GetCeremonyFilesResponse, Refusal> {
        let party = &self.exchange.party;
        party.house_rules().admit(&caller.id, None)?;
        let malformed = |why: &str| Refusal::Malformed {
            what: "ceremony",
            why: why.to_owned(),
        };
        let fingerprint = Fingerprint::from_slice(&asked.fingerprint)
            .ok_or_else(|| malformed("a fingerprint has 16 octets"))?;
        if asked.held.len() > MOST_HELD {
            return Err(malformed("no ceremony has so many files"));
        }
        let held: BTreeMap<String, Bytes32> = asked
            .held
            .into_iter()
            .filter_map(|file| {
                let sha256: [u8; 32] = file.sha256.try_into().ok()?;
                Some((file.name, Bytes32::new(sha256)))
            })
            .collect();
        let roster = party.roster()?;
        let is_ombudsman = may_read(party, &roster, &caller).is_ok();
        let path = self.directory.file(FOLDER).join(fingerprint.digits());
        let root = party.with_trust(|trust: &TrustStore| trust.root().clone());
        let me = party.id().clone();
        let given = blocking(move || {
            let ceremony = Ceremony::open(&path, &root)?;
            let reader = if ceremony.has(&caller.id) {
                Reader::Keyholder(&caller.id)
            } else if is_ombudsman {
                Reader::Ombudsman
            } else {
                return Err(CeremoniesError::Refusal(Refusal::RoleMissing {
                    role: "keyholder of this ceremony",
                }));
            };
            Ok(ceremony.give(&me, reader, &held)?)
        })
        .await;
        let (files, more) = given.map_err(|error| match error {
            CeremoniesError::Refusal(refusal) => refusal,
            CeremoniesError::Ceremony(CeremonyError::NoCeremony { .. }) => Refusal::CeremonyUnknown,
            error => {
                tracing::error!(%error, ceremony = %fingerprint, "a ceremony's files cannot be given");
                Refusal::Unavailable {
                    reference: "ceremony".to_owned(),
                }
            }
        })?;
        let file = |file: WireFile| pb::CeremonyFile {
            name: file.name,
            content: file.content,
        };
        Ok(pb::GetCeremonyFilesResponse {
            files: files.into_iter().map(file).collect(),
            more,
        })
    }
}

#[tonic::async_trait]
impl CeremonyService for CeremonyDesk {
    async fn get_ceremony_files(
        &self,
        request: Request<pb::GetCeremonyFilesRequest>,
    ) -> Result<Response<pb::GetCeremonyFilesResponse>, Status> {
        let caller = self.exchange.caller(&request)?;
        let given = self.give(caller, request.into_inner()).await?;
        Ok(Response::new(given))
    }
}
