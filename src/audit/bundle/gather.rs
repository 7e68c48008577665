//! Putting a bundle together, from what nodes give.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Bundle, FORMAT, Growth, LeafPart, LogPart, MOST_LEAVES};
use crate::audit::auditor::{AuditError, Auditor};
use crate::audit::entry::Entry;
use crate::audit::in_force::adopts;
use crate::audit::last::{LastVerified, verify_checkpoint};
use crate::envelope::merkle::{Hash, leaf_hash};
use crate::proto::exchange as pb;
use crate::roster::{Bytes32, Member, Timestamp};
use crate::tlog::{Frontier, NodeId, ProofBundle, SignedCheckpoint, TreeHead, proof};

/// What a bundle is to hold of a log.
#[derive(Clone)]
pub enum Choice {
    /// Every leaf.
    Whole,
    /// These leaves.
    Leaves(Vec<u64>),
}

/// Fetches leaves of logs with all that proves them.
///
/// # Errors
/// [`AuditError`] if a node does not give what it owes. What it gives is not judged here.
pub async fn gather(
    auditor: &Auditor,
    logs: &[(&Member, Choice, Option<LastVerified>)],
) -> Result<Bundle, AuditError> {
    let mut parts = Vec::with_capacity(logs.len());
    for (member, choice, last) in logs {
        let last = last.as_ref().filter(|last| last.is_of(member));
        let mut newest = newest(auditor, member).await?;
        let cosigned = newest.cosigned.take();
        let mut part = match choice {
            Choice::Whole => whole(auditor, member).await?,
            Choice::Leaves(leaves) => {
                let needed = leaves.iter().map(|leaf| leaf.saturating_add(1));
                let needed = needed.chain(last.iter().map(|last| last.head.size)).max();
                if let Some(cosigned) = &cosigned
                    && needed.is_none_or(|needed| needed <= cosigned.head.size)
                {
                    newest = cosigned.as_ref().clone();
                }
                some(auditor, member, leaves, &newest).await?
            }
        };
        let seen = last.iter().map(|last| last.checkpoint.clone());
        let cosigned = cosigned.map(|cosigned| cosigned.note);
        for note in seen.chain([newest.note]).chain(cosigned) {
            if !part.checkpoints.contains(&note) {
                part.checkpoints.push(note);
            }
        }
        if !part.whole {
            part.growth = growth(auditor, member, &part.checkpoints).await;
        }
        parts.push(part);
    }
    Ok(Bundle {
        format: FORMAT.to_owned(),
        made_at: Timestamp::from_unix(auditor.ambient.now()),
        made_by: auditor.id.clone(),
        roots: auditor.rosters.roots().map(str::to_owned).collect(),
        rosters: auditor
            .rosters
            .all()
            .map(|roster| roster.note().to_owned())
            .collect(),
        logs: parts,
    })
}

/// That the first of these checkpoints extends the smaller ones. A node that does not prove it is not
/// asked again: without a proof the file does not hold.
async fn growth(auditor: &Auditor, member: &Member, checkpoints: &[String]) -> Vec<Growth> {
    let mut sizes = checkpoints
        .iter()
        .filter_map(|note| Some(verify_checkpoint(member, note).ok()?.head().size));
    let Some(to) = sizes.next() else {
        return Vec::new();
    };
    let sizes: BTreeSet<u64> = sizes.filter(|from| (1..to).contains(from)).collect();
    let mut growth = Vec::with_capacity(sizes.len());
    for from in sizes {
        if let Ok(proof) = auditor.prove_consistency(member, from, to).await {
            let proof = proof.into_iter().map(Bytes32::new).collect();
            growth.push(Growth { from, proof });
        }
    }
    growth
}

#[derive(Clone)]
struct Newest {
    note: String,
    head: TreeHead,
    signed: SignedCheckpoint,
    /// The one that the witnesses cosigned.
    cosigned: Option<Box<Newest>>,
}

async fn newest(auditor: &Auditor, member: &Member) -> Result<Newest, AuditError> {
    let reply = auditor.checkpoints(member).await?;
    let mut newest = signed(member, reply.checkpoint)?;
    if !reply.cosigned.is_empty() {
        newest.cosigned = Some(Box::new(signed(member, reply.cosigned)?));
    }
    Ok(newest)
}

fn signed(member: &Member, note: String) -> Result<Newest, AuditError> {
    let verified = verify_checkpoint(member, &note)
        .map_err(|why| wrong(member, &format!("its checkpoint: {why}")))?;
    Ok(Newest {
        head: verified.head(),
        signed: verified.signed().clone(),
        note,
        cosigned: None,
    })
}

/// Some leaves, each with its inclusion proof under a checkpoint: the cosigned one if it covers them
/// and what was verified before, else the newest.
async fn some(
    auditor: &Auditor,
    member: &Member,
    leaves: &[u64],
    newest: &Newest,
) -> Result<LogPart, AuditError> {
    let mut part = LogPart {
        member: member.id.clone(),
        whole: false,
        checkpoints: vec![newest.note.clone()],
        growth: Vec::new(),
        leaves: Vec::new(),
    };
    let size = newest.head.size;
    if let Some(index) = leaves.iter().find(|leaf| **leaf >= size) {
        return Err(wrong(
            member,
            &format!("its log has {size} leaves, and no leaf {index}"),
        ));
    }
    let mut leaves: BTreeSet<u64> = leaves.iter().copied().collect();
    leaves.extend(in_force(auditor, member, &leaves).await?);
    for index in leaves {
        let mut run = auditor.open_entries(member, index, Some(1)).await?;
        let leaf = match run.next().await?.pop() {
            Some((_, Some(leaf))) => leaf,
            _ => {
                return Err(wrong(
                    member,
                    &format!("it cannot read leaf {index} any more"),
                ));
            }
        };
        let behind = auditor
            .open_evidence(member, index, 1)
            .await?
            .next()
            .await?;
        let proof = auditor
            .prove_inclusion(member, index, newest.head.size)
            .await?;
        let proof = proof_text(member, index, proof, &newest.signed)?;
        part.leaves.push(LeafPart::new(&leaf, proof, &behind));
    }
    Ok(part)
}

/// The leaves that brought into force what was in force at each of the chosen ones: roster, policy, own
/// rules. That no other came between shows in the whole log alone.
async fn in_force(
    auditor: &Auditor,
    member: &Member,
    leaves: &BTreeSet<u64>,
) -> Result<BTreeSet<u64>, AuditError> {
    let end = leaves.last().map_or(0, |last| last.saturating_add(1));
    let mut run = auditor.open_entries(member, 0, Some(end)).await?;
    let mut newest: BTreeMap<i32, u64> = BTreeMap::new();
    let mut found = BTreeSet::new();
    loop {
        let part = run.next().await?;
        if part.is_empty() {
            return Ok(found);
        }
        for (index, leaf) in part {
            let entry = leaf.and_then(|leaf| Entry::parse(&leaf).ok());
            if let Some(entry) = entry.filter(|entry| adopts(entry.act)) {
                newest.insert(entry.act as i32, index);
            }
            if leaves.contains(&index) {
                found.extend(newest.values());
            }
        }
    }
}

/// All leaves, with proofs that are computed here: the node gives no hashes.
async fn whole(auditor: &Auditor, member: &Member) -> Result<LogPart, AuditError> {
    let mut run = auditor.open_entries(member, 0, None).await?;
    let newest = signed(member, run.checkpoint.clone())?;
    let size = run.end();
    if size > MOST_LEAVES {
        let why = format!(
            "its log has {size} leaves, and a bundle holds {MOST_LEAVES} at most: choose leaves"
        );
        return Err(wrong(member, &why));
    }
    let mut evidence = auditor.open_evidence(member, 0, size).await?;
    let mut frontier = Frontier::new();
    let mut nodes: HashMap<NodeId, Hash> = HashMap::new();
    let mut leaves: Vec<(Vec<u8>, pb::ReadEvidenceResponse)> = Vec::new();
    loop {
        let chunk = run.next().await?;
        if chunk.is_empty() {
            break;
        }
        for (index, leaf) in chunk {
            let leaf = leaf
                .ok_or_else(|| wrong(member, &format!("it cannot read leaf {index} any more")))?;
            frontier.append_each(leaf_hash(&leaf), |node, hash| {
                nodes.insert(node, *hash);
            });
            leaves.push((leaf, evidence.next().await?));
        }
    }
    let mut part = LogPart {
        member: member.id.clone(),
        whole: true,
        checkpoints: vec![newest.note.clone()],
        growth: Vec::new(),
        leaves: Vec::with_capacity(leaves.len()),
    };
    for (index, (leaf, behind)) in (0..).zip(leaves) {
        let bad = |error: &dyn std::fmt::Display| wrong(member, &format!("leaf {index}: {error}"));
        let wanted = proof::inclusion_nodes(index, size).map_err(|error| bad(&error))?;
        let hashes: Vec<Hash> = wanted
            .iter()
            .filter_map(|node| nodes.get(node).copied())
            .collect();
        let proof = proof::assemble_inclusion(index, size, &hashes).map_err(|error| bad(&error))?;
        let proof = proof_text(member, index, proof, &newest.signed)?;
        part.leaves.push(LeafPart::new(&leaf, proof, &behind));
    }
    Ok(part)
}

fn proof_text(
    member: &Member,
    index: u64,
    proof: Vec<Hash>,
    checkpoint: &SignedCheckpoint,
) -> Result<String, AuditError> {
    ProofBundle::new(index, proof, checkpoint.clone())
        .map(|proof| proof.to_string())
        .map_err(|error| wrong(member, &error.to_string()))
}

fn wrong(member: &Member, why: &str) -> AuditError {
    AuditError::Reply {
        member: member.id.clone(),
        why: why.to_owned(),
    }
}
