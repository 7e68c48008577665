//! The register.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::duty::Duty;
use super::{
    Operator, fields, invalid, no_such_record, page_size, record, refused, store_failed, told,
};
use crate::exchange::Party;
use crate::exchange::enrol::{self, PublishError};
use crate::proto::operator as pb;
use crate::proto::operator::record_service_server::RecordService;
use crate::records::{Column, Record};
use crate::store::Tag;

type Progress = Pin<Box<dyn Stream<Item = Result<pb::PublishRecordsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl RecordService for Operator {
    async fn import_records(
        &self,
        request: Request<Streaming<pb::ImportRecordsRequest>>,
    ) -> Result<Response<pb::ImportRecordsResponse>, Status> {
        let caller = self.caller(&request, Duty::Keep).await?;
        let import_id = self.party.store().new_import();
        let outcome = stage_all(&self.party, import_id, request.into_inner()).await;
        let committed = match outcome {
            Ok(grounds_lost) => caller
                .does(enrol::commit_import(&self.party, import_id))
                .await
                .map(|counts| (counts, grounds_lost))
                .map_err(|error| store_failed(&error)),
            Err(status) => Err(status),
        };
        match committed {
            Ok((counts, grounds_lost)) => Ok(Response::new(pb::ImportRecordsResponse {
                added: counts.added,
                changed: counts.changed,
                unchanged: counts.unchanged,
                not_searchable: counts.not_searchable,
                grounds_lost,
            })),
            Err(status) => {
                if let Err(error) = self.party.store().discard_import(import_id).await {
                    tracing::error!(%error, "a failed import could not be cleared away");
                }
                Err(status)
            }
        }
    }

    type PublishRecordsStream = Progress;

    async fn publish_records(
        &self,
        request: Request<pb::PublishRecordsRequest>,
    ) -> Result<Response<Progress>, Status> {
        let caller = self.caller(&request, Duty::Keep).await?;
        let (sender, receiver) = mpsc::channel(64);
        let party = Arc::clone(&self.party);
        tokio::spawn(async move {
            let outcome = caller.does(publish(&party, &sender)).await;
            // Whoever asked may have gone away; what was done is done.
            let _ = sender.send(outcome).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn list_records(
        &self,
        request: Request<pb::ListRecordsRequest>,
    ) -> Result<Response<pb::ListRecordsResponse>, Status> {
        self.caller(&request, Duty::Read).await?;
        let asked = request.into_inner();
        let store = self.party.store();
        let failed = |error| store_failed(&error);
        let limit = page_size(asked.limit);
        let after = if asked.after.is_empty() {
            0
        } else {
            store
                .record_by_ref(&asked.after)
                .await
                .map_err(failed)?
                .ok_or_else(no_such_record)?
                .record_id
        };
        let page = store
            .records_after(after, u64::from(limit))
            .await
            .map_err(failed)?;
        let total = store.record_total().await.map_err(failed)?;
        let mut records = Vec::with_capacity(page.len());
        for stored in page {
            let record = enrol::parse(&stored).map_err(failed)?;
            records.push(pb::RecordSummary {
                record_ref: record.record_ref.as_str().to_owned(),
                state: stored.state.as_str().to_owned(),
                protection: record.protection.as_str().to_owned(),
                handle: hex::encode(stored.ref_tag()),
            });
        }
        Ok(Response::new(pb::ListRecordsResponse { records, total }))
    }

    async fn get_record(
        &self,
        request: Request<pb::GetRecordRequest>,
    ) -> Result<Response<pb::GetRecordResponse>, Status> {
        self.caller(&request, Duty::Read).await?;
        let asked = request.into_inner();
        let store = self.party.store();
        let stored = match asked.handle.is_empty() {
            true => store.record_by_ref(&asked.record_ref).await,
            false => {
                let mut tag = Tag::default();
                hex::decode_to_slice(&asked.handle, &mut tag).map_err(|_| no_such_record())?;
                store.record_by_tag(tag).await
            }
        };
        let stored = stored
            .map_err(|error| store_failed(&error))?
            .ok_or_else(no_such_record)?;
        let record = enrol::parse(&stored).map_err(|error| store_failed(&error))?;
        Ok(Response::new(pb::GetRecordResponse {
            record: Some(pb::Record {
                fields: fields(&record),
            }),
            state: stored.state.as_str().to_owned(),
            handle: hex::encode(stored.ref_tag()),
        }))
    }

    async fn correct_record(
        &self,
        request: Request<pb::CorrectRecordRequest>,
    ) -> Result<Response<pb::CorrectRecordResponse>, Status> {
        let caller = self.caller(&request, Duty::Keep).await?;
        let asked = request.into_inner();
        if asked.fields.contains_key(Column::RecordRef.name()) {
            return Err(invalid(
                "RECORD_REF",
                "a record keeps its reference: erase it and import it under another one",
            ));
        }
        let done = caller
            .does(correct(&self.party, &asked))
            .await?
            .ok_or_else(no_such_record)?;
        Ok(Response::new(done))
    }

    async fn erase_record(
        &self,
        request: Request<pb::EraseRecordRequest>,
    ) -> Result<Response<pb::EraseRecordResponse>, Status> {
        let caller = self.caller(&request, Duty::Keep).await?;
        let leaf_index = caller
            .does(enrol::erase(&self.party, &request.into_inner().record_ref))
            .await
            .map_err(|error| told(&error))?
            .ok_or_else(no_such_record)?;
        Ok(Response::new(pb::EraseRecordResponse { leaf_index }))
    }
}

/// Changes fields of a record as it is.
async fn correct(
    party: &Arc<Party>,
    asked: &pb::CorrectRecordRequest,
) -> Result<Option<pb::CorrectRecordResponse>, Status> {
    let change = |before: &Record| {
        let mut after = fields(before);
        after.extend(asked.fields.clone());
        record(&after)
    };
    let done = enrol::correct(party, &asked.record_ref, change)
        .await
        .map_err(|error| store_failed(&error))??;
    Ok(done.map(|done| pb::CorrectRecordResponse {
        changed: done.changed,
        ground_lost: done.ground_lost,
    }))
}

async fn stage_all(
    party: &Arc<Party>,
    import_id: [u8; 16],
    mut parts: Streaming<pb::ImportRecordsRequest>,
) -> Result<u64, Status> {
    let mut any = false;
    let mut grounds_lost = 0;
    while let Some(part) = parts.message().await? {
        let mut records = part
            .records
            .iter()
            .map(|given| record(&given.fields))
            .collect::<Result<Vec<_>, Status>>()?;
        for record in &mut records {
            let loses = enrol::keep_protection(party, record)
                .await
                .map_err(|error| store_failed(&error))?;
            grounds_lost += u64::from(loses);
        }
        let deriving = Arc::clone(party);
        let staged = tokio::task::spawn_blocking(move || {
            let staged = records
                .iter()
                .map(|record| enrol::staged(&deriving, record));
            staged.collect::<Vec<_>>()
        })
        .await
        .map_err(|error| refused(tonic::Code::Internal, "IMPORT", &error.to_string()))?;
        any = true;
        party
            .store()
            .stage_import(import_id, staged)
            .await
            .map_err(|error| store_failed(&error))?;
    }
    if any {
        Ok(grounds_lost)
    } else {
        Err(invalid("EMPTY_IMPORT", "the import holds no record"))
    }
}

async fn publish(
    party: &Arc<Party>,
    progress: &mpsc::Sender<Result<pb::PublishRecordsResponse, Status>>,
) -> Result<pb::PublishRecordsResponse, Status> {
    let done = enrol::enrol(party, |done, total| {
        // A slow reader misses steps, never the outcome.
        let _ = progress.try_send(Ok(pb::PublishRecordsResponse {
            done,
            total,
            ..pb::PublishRecordsResponse::default()
        }));
    })
    .await
    .map_err(|error| told(&error))?;
    let size = enrol::publish(party, cap(party)?)
        .await
        .map_err(|error| match error {
            PublishError::Store(error) => store_failed(&error),
            error @ PublishError::IndexCap { .. } => refused(
                tonic::Code::FailedPrecondition,
                "INDEX_CAP",
                &error.to_string(),
            ),
        })?;
    Ok(pb::PublishRecordsResponse {
        done,
        total: done,
        published: true,
        index_records: size.records,
        index_tokens: size.tokens,
    })
}

/// How many records the roster lets this member's index have; nothing without a coalition key, under
/// which there is no index to ask.
fn cap(party: &Party) -> Result<Option<u64>, Status> {
    let roster = party.roster()?;
    let own = roster.member(party.id().as_str());
    Ok(roster
        .coalition_key()
        .map(|_| own.map_or(0, |own| own.index_cap)))
}
