//! A ceremony in sentences, and as an object for machines.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::node::ceremony::{Ceremony, Deed, Joined, Procedure, Round, Standing, Status};
use crate::roster::MemberId;

/// What every command says first: which ceremony this is.
pub fn introduce(context: &Context, ceremony: &Ceremony) {
    let plan = ceremony.plan();
    let title = |member: &MemberId| ceremony.title(member);
    let all: Vec<String> = plan
        .keyholders
        .iter()
        .map(|keyholder| title(&keyholder.member))
        .collect();
    let target = plan.target_member().map(title).unwrap_or_default();
    let (epoch, count) = (plan.epoch, all.len());
    let about = match plan.procedure {
        Procedure::Generate => format!(
            "the key of epoch {epoch}, any {} of {count} keyholders: {}",
            plan.threshold,
            all.join(", ")
        ),
        Procedure::Refresh => format!(
            "new shares of the key of epoch {epoch} for {}",
            all.join(", ")
        ),
        Procedure::Repair => {
            let helpers: Vec<String> = plan
                .keyholders
                .iter()
                .filter(|keyholder| plan.is_helper(&keyholder.member))
                .map(|keyholder| title(&keyholder.member))
                .collect();
            format!(
                "a share of the key of epoch {epoch} for {target}, made by {}",
                helpers.join(", ")
            )
        }
        Procedure::Replace => format!(
            "{target} becomes a keyholder of epoch {epoch}, and new shares for {}",
            all.join(", ")
        ),
    };
    context.output.say(format_args!(
        "Ceremony {}\nof {}: {about}.",
        ceremony.fingerprint(),
        plan.coalition,
    ));
    let leaving: Vec<String> = ceremony.leaving().into_iter().map(title).collect();
    if !leaving.is_empty() {
        context.output.say(format_args!(
            "Afterwards {} no share of it.",
            match leaving.as_slice() {
                [one] => format!("{one} has"),
                more => format!("{} have", more.join(", ")),
            }
        ));
    }
}

/// An object with what every command says of the ceremony.
pub fn with(ceremony: &Ceremony, mut object: Value) -> Value {
    let plan = ceremony.plan();
    let about = json!({
        "ceremony": ceremony.id(), "fingerprint": ceremony.fingerprint(),
        "procedure": plan.procedure, "coalition": plan.coalition, "epoch": plan.epoch,
        "threshold": plan.threshold, "target": plan.target_member(),
        "leaving": ceremony.leaving(),
    });
    if let (Value::Object(object), Value::Object(about)) = (&mut object, about) {
        object.extend(about);
    }
    object
}

/// What one run of a keyholder did.
pub fn report(
    context: &Context,
    folder: &Path,
    ceremony: &Ceremony,
    me: &MemberId,
    joined: &Joined,
) {
    let output = context.output;
    for deed in &joined.did {
        output.say(sentence(deed));
    }
    match &joined.waits_for {
        Some(waiting) => {
            if joined.did.is_empty() {
                output.say("Nothing could be done now.");
            }
            let names: Vec<String> = waiting
                .members
                .iter()
                .map(|member| ceremony.title(member))
                .collect();
            output.say(format_args!(
                "Waits for {} of {}. Run this again when they are there.",
                waiting.round,
                names.join(", ")
            ));
        }
        None => output.say(format_args!(
            "All have confirmed. Next: `wayhome ceremony finish {}`.",
            folder.display()
        )),
    }
    let did: Vec<Value> = joined.did.iter().map(deed_object).collect();
    let waits_for = joined
        .waits_for
        .as_ref()
        .map(|waiting| json!({"round": waiting.round, "members": waiting.members}));
    let done = json!({
        "ok": true, "member": me, "did": did, "waits_for": waits_for,
        "complete": joined.waits_for.is_none(),
    });
    output.object(&with(ceremony, done));
}

fn sentence(deed: &Deed) -> String {
    match deed {
        Deed::PutBack { files } => format!("Put back into the folder: {}.", files.join(", ")),
        Deed::CommittedToRepair => "Split this share's summand at random, sealed the secret of it \
                                    here, and published commitments to it (repair, round 1)."
            .to_owned(),
        Deed::SentParts { count } => format!(
            "Put {count} encrypted parts for the other helpers into the folder (repair, round 2)."
        ),
        Deed::Answered => "Checked the parts of the other helpers, and put their encrypted sum \
                           into the folder (repair, round 3)."
            .to_owned(),
        Deed::Committed => "Drew a secret, sealed it here, and published commitments to it \
                            (round 1)."
            .to_owned(),
        Deed::SentPackages { count } => format!(
            "Checked the commitments of all, and put {count} encrypted packages into the folder \
             (round 2)."
        ),
        Deed::HoldsShare { epoch } => format!(
            "Checked everything; the share of epoch {epoch} is sealed in this directory beside \
             what was there, and the secrets it was made with are destroyed. A running node takes \
             it into use when a roster names it, and then destroys the one before."
        ),
        Deed::Confirmed { transcript } => format!("Confirmed the transcript {transcript}."),
    }
}

fn deed_object(deed: &Deed) -> Value {
    match deed {
        Deed::PutBack { files } => json!({"deed": "put_back", "files": files}),
        Deed::CommittedToRepair => json!({"deed": "committed_to_repair"}),
        Deed::SentParts { count } => json!({"deed": "sent_parts", "count": count}),
        Deed::Answered => json!({"deed": "answered"}),
        Deed::Committed => json!({"deed": "committed"}),
        Deed::SentPackages { count } => json!({"deed": "sent_packages", "count": count}),
        Deed::HoldsShare { epoch } => json!({"deed": "holds_share", "epoch": epoch}),
        Deed::Confirmed { transcript } => {
            json!({"deed": "confirmed", "transcript_sha256": transcript})
        }
    }
}

/// One keyholder's standing for machines.
pub fn standing(standing: &Standing) -> Value {
    let rounds: Vec<Value> = standing
        .rounds
        .iter()
        .map(|progress| json!({"round": progress.round, "done": progress.done, "of": progress.of}))
        .collect();
    json!({
        "member": standing.member, "identifier": standing.identifier, "rounds": rounds,
        "confirmed": standing.has_confirmed(), "faults": standing.faults,
    })
}

/// Who has done what, for people.
pub fn show(context: &Context, status: &Status) {
    let output = context.output;
    let width = status
        .keyholders
        .iter()
        .map(|standing| standing.title.chars().count())
        .max()
        .unwrap_or_default();
    for standing in &status.keyholders {
        let rounds: Vec<String> = standing
            .rounds
            .iter()
            // After the end the encrypted messages are gone, and nobody asks for them.
            .filter(|progress| !status.finished || !progress.round.is_secret())
            .map(|progress| match (progress.done, progress.of) {
                (0, 1) => format!("{} no", short(progress.round)),
                (1, 1) => format!("{} yes", short(progress.round)),
                (done, of) => format!("{} {done} of {of}", short(progress.round)),
            })
            .collect();
        output.say(format_args!(
            "  {:width$}  {}",
            standing.title,
            rounds.join("  ")
        ));
        for fault in &standing.faults {
            output.say(format_args!("    WRONG: {fault}"));
        }
    }
    if let Some(fault) = &status.fault {
        output.say(format_args!("WRONG: {fault}"));
    }
    output.say(match (&status.key, status.finished) {
        (Some(key), true) => format!("Finished: the key is {}.", key.public_key),
        (Some(_), false) => "Everything is there: `wayhome ceremony finish` ends it.".to_owned(),
        (None, _) => "Not complete yet.".to_owned(),
    });
}

fn short(round: Round) -> &'static str {
    match round {
        Round::RepairCommitments => "repair: commitments",
        Round::RepairPart => "parts",
        Round::RepairAnswer => "sum",
        Round::Commitments => "commitments",
        Round::Package => "packages",
        Round::Confirmation => "confirmed",
    }
}
