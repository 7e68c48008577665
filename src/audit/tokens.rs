//! Coalition tokens for an ombudsman: blinded evaluation by a threshold of keyholders.
//!
//! The ombudsman stands to keyholders as a member does: they see random group elements, count them
//! against its small daily allowance, and have a leaf of every batch.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::auditor::{AuditError, Auditor};
use crate::exchange::ask::client;
use crate::exchange::evaluate::read_evaluation;
use crate::exchange::message::{Answer, AnswerError, open_answer_to, sign_query_as};

use crate::exchange::{PeerError, Refusal, checked_key};
use crate::oprf::{
    self, BatchSeed, Blinded, CoalitionKey, CoalitionToken, OprfError, Subset, VerifiedShare,
};
use crate::proto::exchange as pb;
use crate::proto::exchange::token_service_client::TokenServiceClient;
use crate::roster::{self, Member};

impl Auditor {
    /// The tokens of these inputs under one key of the roster, in their order, with its epoch.
    pub(super) async fn coalition_tokens(
        &self,
        stated: &roster::CoalitionKey,
        inputs: Arc<Vec<Zeroizing<Vec<u8>>>>,
    ) -> Result<(u32, Vec<CoalitionToken>), AuditError> {
        let roster = self.rosters.newest();
        let key = checked_key(stated).map_err(PeerError::Own)?;
        let epoch = key.epoch();
        if inputs.is_empty() {
            return Ok((epoch, Vec::new()));
        }
        let able = roster.keyholders_of(stated, self.ambient.now());
        let seed = BatchSeed::generate(&mut self.ambient.rng());
        let blinded = {
            let inputs = Arc::clone(&inputs);
            heavy(move || oprf::blind(&seed, &slices(&inputs))).await?
        };
        let blinded = Arc::new(blinded);
        // Every subset of one size evaluates to the same; who does not answer is left out.
        let threshold = usize::from(key.threshold());
        let mut left: Vec<(u16, Member)> = able
            .into_iter()
            .map(|(keyholder, member)| (keyholder.identifier, member.clone()))
            .collect();
        let mut last = "too few are in the roster and active".to_owned();
        while left.len() >= threshold {
            let chosen = left.get(..threshold).unwrap_or_default();
            let identifiers: Vec<u16> = chosen.iter().map(|(identifier, _)| *identifier).collect();
            let subset = key.subset(&identifiers).map_err(|error| own(&error))?;
            let mut shares: Vec<VerifiedShare> = Vec::with_capacity(threshold);
            let mut failed = None;
            for (number, (identifier, keyholder)) in chosen.iter().enumerate() {
                match self
                    .evaluated(&key, &subset, *identifier, keyholder, &blinded)
                    .await
                {
                    Ok(share) => shares.push(share),
                    Err(error) => {
                        last = error.to_string();
                        failed = Some(number);
                        break;
                    }
                }
            }
            if let Some(number) = failed {
                left.remove(number);
                continue;
            }
            let (key, blinded) = (key.clone(), Arc::clone(&blinded));
            let inputs = Arc::clone(&inputs);
            let tokens =
                heavy(move || oprf::combine(&key, &blinded, &slices(&inputs), &shares)).await?;
            return Ok((epoch, tokens));
        }
        Err(PeerError::TooFewKeyholders {
            answered: left.len(),
            needed: threshold,
            last,
        }
        .into())
    }

    async fn evaluated(
        &self,
        key: &CoalitionKey,
        subset: &Subset,
        identifier: u16,
        keyholder: &Member,
        blinded: &Arc<Blinded>,
    ) -> Result<VerifiedShare, AuditError> {
        let elements: Vec<u8> = blinded
            .batch()
            .elements()
            .flat_map(|element| *element.as_bytes())
            .collect();
        let count = u32::try_from(blinded.batch().len()).unwrap_or(u32::MAX);
        let payload = pb::EvaluationQuery {
            epoch: key.epoch(),
            keyholders: subset.members().iter().map(|&id| u32::from(id)).collect(),
            element_count: count,
            ..pb::EvaluationQuery::default()
        };
        let roster = self.rosters.newest();
        let query = sign_query_as(self.signer(), roster, keyholder, payload, &[&elements])
            .map_err(PeerError::Own)?;
        let channel = self.peers.channel(keyholder).await?;
        let mut client = client!(TokenServiceClient<_>, channel);
        let request = pb::EvaluateRequest {
            message: Some(query.message.clone()),
        };
        let reply = self
            .in_time(keyholder, client.evaluate(request))
            .await?
            .into_inner();
        let bad = |why: AnswerError| PeerError::BadAnswer {
            member: keyholder.id.to_string(),
            why,
        };
        let answer: Answer<pb::EvaluationAnswer> =
            open_answer_to(self.signer(), roster, keyholder, &query, reply.message).map_err(bad)?;
        let evaluation = read_evaluation(&answer.items, count)
            .map_err(|why| bad(AnswerError::Content { why }))?;
        let (key, subset, blinded) = (key.clone(), subset.clone(), Arc::clone(blinded));
        heavy(move || oprf::verify(&key, &subset, identifier, blinded.batch(), &evaluation)).await
    }
}

fn slices(inputs: &[Zeroizing<Vec<u8>>]) -> Vec<&[u8]> {
    inputs.iter().map(|input| input.as_slice()).collect()
}

fn own(error: &OprfError) -> AuditError {
    PeerError::Own(Refusal::BadBatch {
        why: error.to_string(),
    })
    .into()
}

/// Runs group arithmetic where it keeps nobody waiting.
async fn heavy<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OprfError> + Send + 'static,
) -> Result<T, AuditError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| {
            PeerError::Own(Refusal::Unavailable {
                reference: "group arithmetic".to_owned(),
            })
        })?
        .map_err(|error| own(&error))
}
