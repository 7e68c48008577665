//! What a node has to answer, and what its answers must be like.

use prost::Message as _;

use super::probe::Probe;
use super::{Findings, Outcome};
use crate::exchange::ask::client;
use crate::exchange::log_files::{RemoteLog, log_key};
use crate::exchange::lookup::LEADS;
use crate::exchange::message::{Answer, Outgoing, open_answer_to};
use crate::proto::exchange as pb;
use crate::proto::exchange::audit_service_client::AuditServiceClient;
use crate::proto::exchange::roster_service_client::RosterServiceClient;
use crate::tlog::{SignedCheckpoint, TreeHead, proof};

/// Payloads of lookup answers have a multiple of this many octets.
const PADDED_TO: usize = 1024;

/// A lookup and its answer.
pub(super) struct Looked {
    pub(super) query: Outgoing,
    answer: Answer<pb::LookupAnswer>,
    came: pb::SignedMessage,
}

/// Asks twice, and once more what was asked first. Gives the first lookup, if it was answered: without
/// an answer there is nothing to hold the rest against.
pub(super) async fn lookups(probe: &Probe<'_>, findings: &mut Findings) -> Option<Looked> {
    const PROMISE: &str = "a lookup is answered: signed by the member, bound to the query, its items as signed, with a receipt under the log's own signature";
    let first = match look_up(probe, 1).await {
        Ok(looked) => looked,
        Err(why) => {
            findings.note("lookup", PROMISE, Outcome::Broken(why));
            return None;
        }
    };
    findings.note("lookup", PROMISE, Outcome::Kept);
    let promise = "the answer has one result for each child, with the fixed number of leads and a known grade; a child whom nobody holds is NO_MATCH";
    findings.note("grades", promise, results(&first, 1));
    let promise = "an answer's payload has a multiple of 1,024 octets";
    let octets = first
        .came
        .envelope
        .as_ref()
        .map_or(0, |envelope| envelope.payload.len());
    let padded = (octets % PADDED_TO == 0 && octets > 0)
        .then_some(())
        .ok_or_else(|| format!("It has {octets}."));
    findings.note("padding", promise, padded);

    let again = probe.send(Some(first.query.message.clone())).await;
    findings.note(
        "replay",
        "the same query gets the same answer, octet for octet",
        match again {
            Ok(Some(again)) if same(&again, &first.came) => Ok(()),
            Ok(_) => Err("Another answer came.".to_owned()),
            Err(status) => Err(format!("It was refused: {status}.")),
        },
    );
    match look_up(probe, 3).await {
        Ok(second) => {
            let promise = "three children get three results";
            findings.note("several", promise, results(&second, 3));
            let promise = "every act has a leaf of its own";
            let apart = first.answer.receipt.leaf_index != second.answer.receipt.leaf_index
                && first.answer.receipt.leaf_hash != second.answer.receipt.leaf_hash;
            let apart = apart
                .then_some(())
                .ok_or("Two lookups have one leaf.".to_owned());
            findings.note("leaves", promise, apart);
            let promise = "answers state the use of quotas, and each child is counted once";
            findings.note("quotas", promise, counted(&first, &second));
        }
        Err(why) => {
            let promise = "a lookup of several children is answered";
            findings.note("several", promise, Outcome::Broken(why));
        }
    }
    Some(first)
}

async fn look_up(probe: &Probe<'_>, subjects: usize) -> Result<Looked, String> {
    let query = probe.query(subjects)?;
    let came = probe.send(Some(query.message.clone())).await;
    let came = came
        .map_err(|status| format!("It was refused: {status}."))?
        .ok_or("An empty answer came.")?;
    let answer = open_answer_to(
        probe.signer(),
        probe.roster,
        probe.holder,
        &query,
        Some(came.clone()),
    )
    .map_err(|error| format!("The answer does not hold: {error}."))?;
    Ok(Looked {
        query,
        answer,
        came,
    })
}

/// Whether two messages are one, but for what travels beside them unsigned.
fn same(one: &pb::SignedMessage, other: &pb::SignedMessage) -> bool {
    one.envelope == other.envelope && one.items == other.items
}

fn results(looked: &Looked, subjects: usize) -> Result<(), String> {
    let items = &looked.answer.items;
    if items.len() != subjects {
        return Err(format!("{} results came for {subjects}.", items.len()));
    }
    let size = items.first().map_or(0, |item| item.len());
    for item in items {
        let result = pb::LookupResult::decode(item.as_slice())
            .map_err(|error| format!("A result cannot be read: {error}."))?;
        if result.leads.len() != LEADS {
            return Err(format!(
                "{} leads came, {LEADS} were due.",
                result.leads.len()
            ));
        }
        if result.leads.iter().any(|lead| lead.lead_id.len() != 16) {
            return Err("A lead has not 16 octets.".to_owned());
        }
        if result.grade() != pb::Grade::NoMatch {
            return Err(format!("Random tokens were graded {}.", result.grade));
        }
        if item.len() != size {
            return Err("Two results differ in size.".to_owned());
        }
    }
    Ok(())
}

/// Whether some quota was drawn on for each child of the second lookup, and none went back.
fn counted(first: &Looked, second: &Looked) -> Result<(), String> {
    let (before, after) = (&first.answer.payload.quotas, &second.answer.payload.quotas);
    let mut drawn = false;
    for quota in after {
        let Some(earlier) = before.iter().find(|earlier| earlier.quota == quota.quota) else {
            continue;
        };
        if quota.used < earlier.used {
            return Err(format!("The use of {} went back.", quota.quota));
        }
        drawn |= quota.used - earlier.used >= 3;
    }
    if drawn {
        Ok(())
    } else {
        Err("Three children were asked about, and no quota that both answers state was drawn on for each.".to_owned())
    }
}

/// Holds the log to what the first lookup's receipt promised.
pub(super) async fn log(probe: &Probe<'_>, findings: &mut Findings, first: &Looked) {
    let promise = "the log's tiles show the leaf that the receipt promised, under a checkpoint that extends the receipt's";
    findings.note("tiles", promise, tiles(probe, first).await);
    let promise = "the calls for checkpoints and proofs show the same";
    findings.note("proofs", promise, proofs(probe, first).await);
}

fn promised(looked: &Looked) -> Result<([u8; 32], u64, TreeHead), String> {
    let receipt = &looked.answer.receipt;
    let hash = receipt.leaf_hash.as_slice().try_into();
    let hash = hash.map_err(|_| "The leaf's hash has not 32 octets.".to_owned())?;
    Ok((hash, receipt.leaf_index, looked.answer.covered))
}

async fn tiles(probe: &Probe<'_>, first: &Looked) -> Result<(), String> {
    let (hash, index, covered) = promised(first)?;
    let told = |error: crate::exchange::log_files::LogFileError| format!("{error}.");
    let mut log = RemoteLog::new(probe.channel.clone(), probe.holder).map_err(told)?;
    let head = log.checkpoint().await.map_err(told)?.head();
    log.check_inclusion(&hash, index, &head)
        .await
        .map_err(told)?;
    log.prove_consistency(&covered, &head)
        .await
        .map(drop)
        .map_err(told)
}

async fn proofs(probe: &Probe<'_>, first: &Looked) -> Result<(), String> {
    let (hash, index, covered) = promised(first)?;
    let mut client = client!(AuditServiceClient<_>, probe.channel.clone());
    let refused = |status: tonic::Status| format!("It was refused: {status}.");
    let came = client
        .get_checkpoint(pb::GetCheckpointRequest {})
        .await
        .map_err(refused)?
        .into_inner();
    let key = log_key(probe.holder).map_err(|error| format!("{error}."))?;
    let head = SignedCheckpoint::parse(came.checkpoint.as_bytes())
        .and_then(|signed| signed.verify(&[key]))
        .map_err(|error| format!("{error}."))?
        .head();
    let asked = pb::ProveInclusionRequest {
        leaf_index: index,
        size: head.size,
    };
    let path = client.prove_inclusion(asked).await.map_err(refused)?;
    let path = hashes(path.into_inner().proof)?;
    proof::verify_inclusion(&hash, index, head.size, &path, &head.root)
        .map_err(|error| format!("The leaf is not in the log: {error}."))?;
    let asked = pb::ProveConsistencyRequest {
        old_size: covered.size,
        new_size: head.size,
    };
    let path = client.prove_consistency(asked).await.map_err(refused)?;
    let path = hashes(path.into_inner().proof)?;
    proof::verify_consistency(covered.size, head.size, &path, &covered.root, &head.root)
        .map_err(|error| format!("The log was forked: {error}."))
}

fn hashes(proof: Vec<Vec<u8>>) -> Result<Vec<[u8; 32]>, String> {
    proof
        .into_iter()
        .map(|hash| hash.try_into())
        .collect::<Result<_, _>>()
        .map_err(|_| "A hash has not 32 octets.".to_owned())
}

/// Asks for rosters by two versions.
pub(super) async fn rosters(probe: &Probe<'_>, findings: &mut Findings) {
    let mut client = client!(RosterServiceClient<_>, probe.channel.clone());
    let version = u64::from(probe.roster.version());
    let nothing = client
        .get_roster(pb::GetRosterRequest {
            root_version: u64::from(probe.roster.roster().root_version),
            roster_version: version,
            roster_root_version: u64::from(probe.roster.roster().root_version),
        })
        .await;
    let all = client.get_roster(pb::GetRosterRequest::default()).await;
    let outcome = match (nothing, all) {
        (Ok(nothing), _) if !nothing.get_ref().roster.is_empty() => Outcome::LeftOut(format!(
            "The node has a newer roster than {version}: publish it here, and ask again."
        )),
        (Ok(_), Ok(all)) if all.get_ref().roster.is_empty() => {
            Outcome::Broken("It keeps its roster back from who has none.".to_owned())
        }
        (Ok(_), Ok(_)) => Outcome::Kept,
        (Err(status), _) | (_, Err(status)) => {
            Outcome::Broken(format!("It was refused: {status}."))
        }
    };
    let promise =
        "a party that has an older roster is given the newest, and one that has it is given none";
    findings.note("rosters", promise, outcome);
}
