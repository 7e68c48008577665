//! The asking side of an evaluation: blind, ask a threshold of keyholders, verify, combine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use zeroize::Zeroizing;

use super::opening::write_inputs;
use super::{ELEMENT, PROOF};
use crate::exchange::ask::{self, Asking, ask, client};
use crate::exchange::message::{AnswerError, Outgoing, sign_query, to_wire};
use crate::exchange::{Party, PeerError, Refusal};
use crate::oprf::{
    self, BatchSeed, CoalitionKey, CoalitionToken, EvaluatedElement, Evaluation, KeyholderFault,
    MAX_BATCH, OprfError, Proof, Subset, VerifiedShare,
};
use crate::proto::exchange as pb;
use crate::proto::exchange::token_service_client::TokenServiceClient;
use crate::roster::{Member, TrustedRoster};
use crate::store::{Evidence, EvidencePart};

/// What a blinded element stands for: kept sealed beside the batch's seed, so that an ombudsman can
/// have single elements opened and traced to their source ([`open_elements`](super::open_elements)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A record of this node's register, by its row.
    Record(u64),
    /// A child described in a search.
    Search,
}

/// How many batches are on their way at once.
const PIPELINE: usize = 3;

/// How often a batch is asked anew when keyholders work under another state of the key than this
/// node, as for a moment after its shares were renewed or an epoch was announced.
const WAITS: u32 = 5;

/// How long is waited the first time, unless a roster comes sooner; each time after that, twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Makes coalition tokens for `inputs`, in their order, under `epoch`.
///
/// `progress` is told how many are done.
///
/// # Errors
/// [`PeerError::TooFewKeyholders`] if fewer than the threshold gave valid answers.
pub async fn coalition_tokens(
    party: &Arc<Party>,
    epoch: u32,
    inputs: Vec<(Source, Zeroizing<Vec<u8>>)>,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<CoalitionToken>, PeerError> {
    let mut batches = Vec::new();
    let mut rest = inputs.into_iter().peekable();
    while rest.peek().is_some() {
        let batch: Vec<_> = rest.by_ref().take(MAX_BATCH).collect();
        batches.push(Arc::new(batch));
    }
    let progress = &progress;
    let done: Vec<Vec<CoalitionToken>> = stream::iter(batches.into_iter().enumerate())
        .map(|(number, batch)| async move {
            let tokens = one_batch(party, epoch, number, &batch).await?;
            progress(tokens.len());
            Ok::<_, PeerError>(tokens)
        })
        .buffered(PIPELINE)
        .try_collect()
        .await?;
    Ok(done.into_iter().flatten().collect())
}

/// One batch, asked anew if this node and the keyholders have different rosters: they have one
/// before long.
async fn one_batch(
    party: &Arc<Party>,
    epoch: u32,
    number: usize,
    batch: &Arc<Batch>,
) -> Result<Vec<CoalitionToken>, PeerError> {
    let mut waits = 0;
    let mut changes = party.trust_changes();
    loop {
        changes.mark_unchanged();
        let roster = party.roster()?;
        let key = party.coalition_key(&roster, Some(epoch))?;
        let mut differs = false;
        match ask_any(party, &roster, &key, number, batch, &mut differs).await {
            Err(PeerError::TooFewKeyholders { .. }) if differs && waits < WAITS => {
                let wait = FIRST_WAIT * 2_u32.pow(waits);
                let _ = tokio::time::timeout(wait, changes.changed()).await;
                waits += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Elements with their sources, up to the size of a batch.
type Batch = Vec<(Source, Zeroizing<Vec<u8>>)>;

/// Asks as many keyholders as the threshold. One that does not give a valid answer is left out and
/// the batch is asked anew, under a fresh seed, of others. `differs` is set if one seems to work
/// under another state of the key.
async fn ask_any(
    party: &Arc<Party>,
    roster: &TrustedRoster,
    key: &CoalitionKey,
    number: usize,
    batch: &Arc<Batch>,
    differs: &mut bool,
) -> Result<Vec<CoalitionToken>, PeerError> {
    let threshold = usize::from(key.threshold());
    let mut left_out = BTreeSet::new();
    let mut last = String::from("too few are in the roster and active");
    loop {
        let stated = roster
            .coalition_keys()
            .of_epoch(u64::from(key.epoch()))
            .map(|stated| roster.keyholders_of(stated, party.ambient().now()))
            .unwrap_or_default();
        let mut able: Vec<(u16, Member)> = stated
            .into_iter()
            .filter(|(keyholder, _)| !left_out.contains(&keyholder.identifier))
            .map(|(keyholder, member)| (keyholder.identifier, member.clone()))
            .collect();
        if able.len() < threshold {
            return Err(PeerError::TooFewKeyholders {
                answered: able.len(),
                needed: threshold,
                last,
            });
        }
        // Batches take turns over the keyholders, so that all carry the load.
        let turn = number % able.len();
        able.rotate_left(turn);
        able.truncate(threshold);
        match ask_subset(party, roster, key, &able, Arc::clone(batch)).await {
            Ok(tokens) => return Ok(tokens),
            Err((Some(identifier), error)) => {
                tracing::warn!(
                    keyholder = identifier,
                    code = error.code(),
                    "a keyholder is left out of a batch"
                );
                *differs |= match &error {
                    PeerError::BadAnswer { .. } => true,
                    PeerError::Refused { refusal, .. } => {
                        ["WRONG_EPOCH", "NO_SHARE"].contains(&refusal.code.as_str())
                    }
                    _ => false,
                };
                last = error.to_string();
                left_out.insert(identifier);
            }
            Err((None, error)) => return Err(error),
        }
    }
}

type Failure = (Option<u16>, PeerError);

async fn ask_subset(
    party: &Arc<Party>,
    roster: &TrustedRoster,
    key: &CoalitionKey,
    keyholders: &[(u16, Member)],
    batch: Arc<Batch>,
) -> Result<Vec<CoalitionToken>, Failure> {
    let own = |error: OprfError| {
        let refusal = Refusal::BadBatch {
            why: error.to_string(),
        };
        (None, PeerError::Own(refusal))
    };
    let identifiers: Vec<u16> = keyholders
        .iter()
        .map(|(identifier, _)| *identifier)
        .collect();
    let subset = key.subset(&identifiers).map_err(own)?;
    let seed = BatchSeed::generate(&mut party.ambient().rng());
    let kept = kept_secrets(&seed, &batch);
    let blinded = {
        let batch = Arc::clone(&batch);
        heavy(move || {
            let inputs: Vec<&[u8]> = batch.iter().map(|(_, input)| input.as_slice()).collect();
            oprf::blind(&seed, &inputs)
        })
        .await?
        .map_err(own)?
    };
    let blinded = Arc::new(blinded);
    let elements: Zeroizing<Vec<u8>> = Zeroizing::new(
        blinded
            .batch()
            .elements()
            .flat_map(|element| *element.as_bytes())
            .collect(),
    );
    let shares = try_join_all(keyholders.iter().map(|(identifier, member)| {
        let (subset, blinded, kept) = (subset.clone(), Arc::clone(&blinded), kept.clone());
        let elements = &elements;
        async move {
            let failed = |error| (Some(*identifier), error);
            let came = ask_one(party, roster, key, &subset, member, elements, kept)
                .await
                .map_err(failed)?;
            let (key, identifier) = (key.clone(), *identifier);
            let evaluation = came.evaluation;
            let verified = heavy(move || {
                oprf::verify(&key, &subset, identifier, blinded.batch(), &evaluation)
            });
            match verified.await? {
                Ok(share) => Ok(share),
                Err(error) => {
                    if verdict(came.same_roster, &error) == Wrong::Keep {
                        let answer = to_wire(&came.answer);
                        let query = &came.query;
                        ask::keep_wrong(party, roster, member, query, answer, ask::BAD_PROOF).await;
                    }
                    Err(failed(PeerError::BadAnswer {
                        member: member.id.to_string(),
                        why: AnswerError::Content {
                            why: error.to_string(),
                        },
                    }))
                }
            }
        }
    }))
    .await?;
    let key = key.clone();
    heavy(move || {
        let inputs: Vec<&[u8]> = batch.iter().map(|(_, input)| input.as_slice()).collect();
        let shares: Vec<VerifiedShare> = shares;
        oprf::combine(&key, &blinded, &inputs, &shares)
    })
    .await?
    .map_err(own)
}

/// What becomes of an answer that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// It is kept as a wrong answer, and the ombudsman is told of it.
    Keep,
    /// It accuses nobody, and the batch is asked anew; the signed answer stands behind the leaf of its
    /// receipt in any case.
    AskAnew,
}

/// Whether an evaluation that does not hold is the keyholder's own fault. Under another roster it may
/// well be right: shares change with the roster, and nodes take a new one at different moments. Nor is
/// it answerable for what the roster states of it.
fn verdict(same_roster: bool, error: &OprfError) -> Wrong {
    match error {
        OprfError::Keyholder {
            fault: KeyholderFault::VerifyingShare { .. },
            ..
        } => Wrong::AskAnew,
        OprfError::Keyholder { .. } if same_roster => Wrong::Keep,
        _ => Wrong::AskAnew,
    }
}

/// What a keyholder gave, with what proves that it did.
struct Came {
    evaluation: Evaluation,
    query: Outgoing,
    answer: Evidence,
    /// Whether it states that it was made under the very roster by which it is judged here.
    same_roster: bool,
}

async fn ask_one(
    party: &Arc<Party>,
    roster: &TrustedRoster,
    key: &CoalitionKey,
    subset: &Subset,
    keyholder: &Member,
    elements: &[u8],
    kept: Vec<(EvidencePart, Evidence)>,
) -> Result<Came, PeerError> {
    let count = (elements.len() / ELEMENT) as u32;
    let payload = pb::EvaluationQuery {
        epoch: key.epoch(),
        keyholders: subset.members().iter().map(|&id| u32::from(id)).collect(),
        element_count: count,
        ..pb::EvaluationQuery::default()
    };
    let query = sign_query(party, roster, keyholder, payload, &[elements])?;
    let asking = Asking {
        asked: pb::Act::EvaluationAsked,
        received: pb::Act::EvaluationReceived,
        ground: None,
        count,
        outcome: pb::Outcome::default(),
        keep: kept,
    };
    let is_self = keyholder.id == *party.id();
    let channel = if is_self {
        None
    } else {
        Some(ask::link(party, keyholder).await?)
    };
    let asked =
        ask::<pb::EvaluationAnswer, _, _>(party, roster, keyholder, &query, asking, |message| {
            let channel = channel.clone();
            async move {
                // A node that is a keyholder too asks itself by the same road, without the network.
                let Some(channel) = channel else {
                    return Ok(Some(super::answer(party, keyholder, message).await?));
                };
                let request = pb::EvaluateRequest {
                    message: Some(message),
                };
                let reply = client!(TokenServiceClient<_>, channel)
                    .evaluate(request)
                    .await?;
                Ok(reply.into_inner().message)
            }
        })
        .await?;
    let same_roster = states(asked.answer.payload.header.as_ref(), roster);
    let answer = asked.answer.evidence;
    match read_evaluation(&asked.answer.items, count) {
        Ok(evaluation) => Ok(Came {
            evaluation,
            query,
            answer,
            same_roster,
        }),
        Err(why) => {
            let why = AnswerError::Content { why };
            let answer = to_wire(&answer);
            ask::keep_wrong(party, roster, keyholder, &query, answer, why.code()).await;
            Err(PeerError::BadAnswer {
                member: keyholder.id.to_string(),
                why,
            })
        }
    }
}

/// Whether a message states that it was made under this very roster.
fn states(header: Option<&pb::Header>, roster: &TrustedRoster) -> bool {
    header.is_some_and(|header| header.roster_digest == roster.digest().as_bytes())
}

/// Reads the one item of an answer to a batch of `count` elements.
///
/// # Errors
/// What is wrong with it.
pub fn read_evaluation(items: &[Zeroizing<Vec<u8>>], count: u32) -> Result<Evaluation, String> {
    let [body] = items else {
        return Err("it is not one item".to_owned());
    };
    let split = body
        .len()
        .checked_sub(PROOF)
        .ok_or("it is too short for a proof")?;
    let (elements, proof) = body.split_at(split);
    let (elements, []) = elements.as_chunks::<ELEMENT>() else {
        return Err("its elements are not 32 octets each".to_owned());
    };
    if elements.len() as u64 != u64::from(count) {
        return Err("it has not as many elements as were asked for".to_owned());
    }
    let proof: [u8; PROOF] = proof.try_into().map_err(|_| "its proof is too short")?;
    Ok(Evaluation {
        elements: elements
            .iter()
            .copied()
            .map(EvaluatedElement::new)
            .collect(),
        proof: Proof::new(proof),
    })
}

/// What a batch can be opened with. Seed and sources: 32 octets, then for each element the record's row
/// (8 octets, 0 for a search). And what the elements of searches hid, which nobody could derive again.
fn kept_secrets(
    seed: &BatchSeed,
    batch: &[(Source, Zeroizing<Vec<u8>>)],
) -> Vec<(EvidencePart, Evidence)> {
    let mut bytes = seed.as_bytes().to_vec();
    for (source, _) in batch {
        let row = match source {
            Source::Record(row) => *row,
            Source::Search => 0,
        };
        bytes.extend_from_slice(&row.to_be_bytes());
    }
    let mut kept = vec![(EvidencePart::Seed, Evidence::plain(bytes))];
    let searched = (0..)
        .zip(batch)
        .filter(|(_, (source, _))| *source == Source::Search)
        .map(|(position, (_, input))| (position, input.as_slice()));
    let inputs = write_inputs(searched);
    if !inputs.is_empty() {
        let inputs = Evidence {
            envelope: inputs,
            items: Vec::new(),
        };
        kept.push((EvidencePart::Inputs, inputs));
    }
    kept
}

/// Runs group arithmetic where it keeps nobody waiting.
async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        let refusal = Refusal::Unavailable {
            reference: "group arithmetic".to_owned(),
        };
        (None, PeerError::Own(refusal))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oprf::ElementFault;

    #[test]
    fn a_keyholder_is_accused_only_of_what_it_made_under_the_roster_that_judges_it() {
        let fault = |fault| OprfError::Keyholder {
            keyholder: 2,
            fault,
        };
        let too_few = fault(KeyholderFault::Count {
            expected: 2,
            got: 1,
        });
        assert_eq!(verdict(true, &too_few), Wrong::Keep);
        assert_eq!(verdict(false, &too_few), Wrong::AskAnew);
        // What the roster states of it, and what went wrong here.
        let share = fault(KeyholderFault::VerifyingShare {
            fault: ElementFault::Identity,
        });
        for error in [share, OprfError::Assembly, OprfError::OtherInputs] {
            assert_eq!(verdict(true, &error), Wrong::AskAnew, "{error}");
        }
    }
}
