//! Searching other members' registers for all of this member's own.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::duty::Duty;
use super::search::{ground, holders, shown};
use super::{Operator, refused};
use crate::exchange::lookup::{LookupAt, Progress, RegisterSearch};
use crate::exchange::{Party, acting};
use crate::proto::operator as pb;
use crate::proto::operator::register_search_service_server::RegisterSearchService;
use crate::roster::Member;

type Told = Pin<Box<dyn Stream<Item = Result<pb::SearchRegisterResponse, Status>> + Send>>;

#[tonic::async_trait]
impl RegisterSearchService for Operator {
    type SearchRegisterStream = Told;

    async fn search_register(
        &self,
        request: Request<pb::SearchRegisterRequest>,
    ) -> Result<Response<Told>, Status> {
        let caller = self.caller(&request, Duty::Ask).await?;
        let asked = request.into_inner();
        let ground = ground(&asked.purpose, &asked.legal_basis, &asked.case_reference)?;
        let holders = holders(&self.party, &asked.members)?;
        // Two at once would ask the same records twice.
        let Ok(alone) = Arc::clone(&self.searching).try_lock_owned() else {
            return Err(refused(
                tonic::Code::AlreadyExists,
                "ALREADY_SEARCHING",
                "a search for the whole register is under way: wait for its end",
            ));
        };
        let account = caller.account();
        let party = Arc::clone(&self.party);
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            let _alone = alone;
            let mut each = JoinSet::new();
            for holder in holders {
                let search = search(
                    Arc::clone(&party),
                    holder,
                    ground.clone(),
                    asked.again,
                    sender.clone(),
                );
                each.spawn(acting::acting_for(account, search));
            }
            tokio::select! {
                () = async { while each.join_next().await.is_some() {} } => {}
                // Whoever asked has gone away. What was answered is kept, and the next search goes
                // on from there.
                () = sender.closed() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

async fn search(
    party: Arc<Party>,
    holder: Member,
    ground: LookupAt,
    again: bool,
    sender: mpsc::Sender<Result<pb::SearchRegisterResponse, Status>>,
) {
    let member = holder.id.as_str();
    let (found, mut waiting) = mpsc::unbounded_channel();
    let search = RegisterSearch {
        party: &party,
        holder: &holder,
        lookup: &ground,
        again,
    };
    let searching = async {
        // Dropped at its end, so that what is forwarded ends, too.
        let found = found;
        let tell = move |progress| {
            let _ = found.send(progress);
        };
        search.run(&tell).await
    };
    let forwarding = async {
        let mut last = pb::SearchRegisterResponse {
            member: member.to_owned(),
            ..pb::SearchRegisterResponse::default()
        };
        while let Some(progress) = waiting.recv().await {
            let response = told(member, progress);
            last = pb::SearchRegisterResponse {
                found: Vec::new(),
                ..response.clone()
            };
            let _ = sender.send(Ok(response)).await;
        }
        last
    };
    let (outcome, last) = tokio::join!(searching, forwarding);
    let (error_code, error_message) = match outcome {
        Ok(_) => (String::new(), String::new()),
        Err(error) => (error.code().to_owned(), error.to_string()),
    };
    let _ = sender
        .send(Ok(pb::SearchRegisterResponse {
            finished: true,
            error_code,
            error_message,
            ..last
        }))
        .await;
}

fn told(member: &str, progress: Progress) -> pb::SearchRegisterResponse {
    pb::SearchRegisterResponse {
        member: member.to_owned(),
        done: progress.done,
        total: progress.counts.to_ask,
        unchanged: progress.counts.unchanged,
        waiting: progress.counts.waiting,
        found: progress
            .found
            .iter()
            .map(|(record_ref, result)| pb::FoundRecord {
                record_ref: record_ref.clone(),
                result: Some(shown(member, result)),
            })
            .collect(),
        bytes_sent: progress.bytes_sent,
        bytes_received: progress.bytes_received,
        ..pb::SearchRegisterResponse::default()
    }
}
