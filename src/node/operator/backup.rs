//! Backups.

use std::path::Path;

use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::{Operator, invalid, refused};
use crate::node::backup::{self, BackupError};
use crate::node::config::Config;
use crate::proto::operator as pb;
use crate::proto::operator::backup_service_server::BackupService;

#[tonic::async_trait]
impl BackupService for Operator {
    // Open to the node's own user, people or not: a backup is made by a timer, and whoever makes it
    // cannot read it. It writes where it is told, so over the network it takes an administrator.
    async fn create_backup(
        &self,
        request: Request<pb::CreateBackupRequest>,
    ) -> Result<Response<pb::CreateBackupResponse>, Status> {
        let caller = self.own_user_or(&request, Duty::Run).await?;
        let asked = request.into_inner();
        let (to, keys_to) = (Path::new(&asked.path), Path::new(&asked.keys_path));
        if !to.is_absolute() || !keys_to.is_absolute() || to == keys_to {
            return Err(invalid(
                "PATH",
                "the two archives have two absolute paths: the node writes them where it runs",
            ));
        }
        let directory = self.keeper.directory();
        let config = Config::load(directory).map_err(|error| failed(&error.into()))?;
        let created = caller
            .does(backup::create(directory, &config, &self.party, to, keys_to))
            .await
            .map_err(|error| failed(&error))?;
        Ok(Response::new(pb::CreateBackupResponse {
            log_size: created.log_size,
            records: created.records,
            bytes: created.bytes,
            sha256: created.sha256.to_vec(),
            leaf_index: created.leaf_index,
        }))
    }
}

fn failed(error: &BackupError) -> Status {
    tracing::error!(%error, "an operator's request about backups failed");
    refused(
        tonic::Code::FailedPrecondition,
        error.code(),
        &error.to_string(),
    )
}
