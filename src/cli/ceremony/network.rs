//! Ceremonies over the nodes' own connections: the running node does the work, these commands tell it
//! to.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::words;
use crate::cli::roster::RootArgs;
use crate::cli::{CliError, Context};
use crate::node::OperatorChannel;
use crate::node::ceremony::{Ceremony, Terms};
use crate::proto::operator as pb;
use crate::proto::operator::ceremony_service_client::CeremonyServiceClient;
use crate::roster::MemberId;

/// How often a command that waits looks.
const LOOK: Duration = Duration::from_secs(1);

/// What a command over the network says of the ceremony's root.
#[derive(clap::Args)]
pub struct NetworkArgs {
    /// Over the nodes' own connections, by the running node of this directory, instead of a folder.
    #[arg(long)]
    pub over_network: bool,
}

async fn client(context: &Context) -> Result<CeremonyServiceClient<OperatorChannel>, CliError> {
    Ok(CeremonyServiceClient::new(context.operator().await?))
}

/// Calls a ceremony at the running node.
pub async fn call(context: &Context, root: &RootArgs, terms: &Terms) -> Result<(), CliError> {
    let called = client(context)
        .await?
        .call_ceremony(request(terms))
        .await?
        .into_inner();
    let folder = Path::new(&called.folder);
    let ceremony = Ceremony::open(folder, root.chain(context)?.newest())?;
    let output = context.output;
    words::introduce(context, &ceremony);
    output.say(
        "Read the fingerprint to every one who takes part, over the telephone or in the room; \
         never take it from a message.",
    );
    output.say(format_args!(
        "Next: each of them, this party too if it takes part, runs `wayhome --dir DIR ceremony join \
         --over-network --expect {}`.",
        called.fingerprint
    ));
    let done = json!({"ok": true, "folder": called.folder});
    output.object(&words::with(&ceremony, done));
    Ok(())
}

fn request(terms: &Terms) -> pb::CallCeremonyRequest {
    let ids = |ids: &Option<Vec<MemberId>>| -> Vec<String> {
        ids.iter().flatten().map(MemberId::to_string).collect()
    };
    let mut asked = pb::CallCeremonyRequest::default();
    match terms {
        Terms::Generate {
            epoch,
            threshold,
            keyholders,
        } => {
            asked.procedure = "generate".to_owned();
            asked.epoch = epoch.unwrap_or(0);
            asked.threshold = threshold.unwrap_or(0).into();
            asked.keyholders = ids(keyholders);
        }
        Terms::Refresh { epoch, keyholders } => {
            asked.procedure = "refresh".to_owned();
            asked.epoch = epoch.unwrap_or(0);
            asked.keyholders = ids(keyholders);
        }
        Terms::Repair {
            epoch,
            target,
            helpers,
        } => {
            asked.procedure = "repair".to_owned();
            asked.epoch = epoch.unwrap_or(0);
            asked.target = target.to_string();
            asked.keyholders = ids(helpers);
        }
        Terms::Replace {
            epoch,
            leaves,
            joins,
        } => {
            asked.procedure = "replace".to_owned();
            asked.epoch = epoch.unwrap_or(0);
            asked.target = joins.to_string();
            asked.leaves = leaves.to_string();
        }
    }
    asked
}

/// Lets the running node take part, and says how far it is; with `wait`, until the end.
pub async fn join(
    context: &Context,
    root: &RootArgs,
    told: &str,
    wait: bool,
) -> Result<(), CliError> {
    let mut client = client(context).await?;
    let mut standing = client
        .join_ceremony(pb::JoinCeremonyRequest {
            fingerprint: told.to_owned(),
        })
        .await?
        .into_inner()
        .standing
        .unwrap_or_default();
    while wait && !standing.finished && standing.stopped_code.is_empty() {
        tokio::time::sleep(LOOK).await;
        standing = client
            .get_ceremony(pb::GetCeremonyRequest {
                fingerprint: told.to_owned(),
            })
            .await?
            .into_inner()
            .standing
            .unwrap_or_default();
    }
    report(context, root, &standing)
}

fn report(
    context: &Context,
    root: &RootArgs,
    standing: &pb::CeremonyStanding,
) -> Result<(), CliError> {
    let output = context.output;
    let folder = Path::new(&standing.folder);
    let ceremony = match standing.has_plan {
        true => Some(Ceremony::open(folder, root.chain(context)?.newest())?),
        false => None,
    };
    match &ceremony {
        Some(ceremony) => {
            words::introduce(context, ceremony);
            words::show(context, &ceremony.status());
        }
        None => output.say(
            "No keyholder has given the plan of this ceremony yet. The node goes on asking; check \
             the fingerprint if it stays like this.",
        ),
    }
    for fault in &standing.faults {
        output.say(format_args!(
            "REFUSED: {} gave {}: {} ({})",
            fault.peer, fault.file, fault.message, fault.code
        ));
    }
    if !standing.away.is_empty() {
        output.say(format_args!(
            "Could not be asked just now: {}.",
            standing.away.join(", ")
        ));
    }
    let faults: Vec<Value> = standing
        .faults
        .iter()
        .map(|fault| {
            json!({"peer": fault.peer, "file": fault.file, "code": fault.code, "message": fault.message})
        })
        .collect();
    let done = json!({
        "ok": standing.stopped_code.is_empty(), "folder": standing.folder,
        "has_plan": standing.has_plan, "joined": standing.joined, "finished": standing.finished,
        "waits_for": {"round": standing.waits_for, "members": standing.members},
        "stopped": standing.stopped_code, "faults": faults, "away": standing.away,
    });
    if !standing.stopped_code.is_empty() {
        return Err(CliError::failed(
            &standing.stopped_code,
            &standing.stopped_message,
        ));
    }
    if standing.finished {
        output.say(format_args!(
            "Next: `wayhome roster draft --from ROSTER.note --coalition-key {} ...`, unless a lost \
             share was restored. Keep the folder: with it anyone can check the key again.",
            folder.join("coalition-key.json").display()
        ));
    } else {
        output.say("The node goes on by itself, also after a restart. Run this again to see how far it is.");
    }
    output.object(&match &ceremony {
        Some(ceremony) => words::with(ceremony, done),
        None => done,
    });
    Ok(())
}
