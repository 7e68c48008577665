//! Roots and rosters at a running node.

use serde_json::json;

use super::trust;
use crate::cli::{CliError, Context};
use crate::node::OperatorChannel;
use crate::proto::operator as pb;
use crate::proto::operator::membership_service_client::MembershipServiceClient;
use crate::roster::Timestamp;

#[derive(clap::Args)]
pub struct AcceptClockArgs {
    /// Yes, the clock is right now: what was seen while it was ahead is forgotten.
    #[arg(long, required = true)]
    yes: bool,
}

async fn client(context: &Context) -> Result<MembershipServiceClient<OperatorChannel>, CliError> {
    let channel = context.operator().await?;
    Ok(MembershipServiceClient::new(channel))
}

/// `roster status`.
pub async fn status(context: &Context) -> Result<(), CliError> {
    let found = client(context)
        .await?
        .get_membership(pb::GetMembershipRequest {})
        .await?
        .into_inner();
    let output = context.output;
    let expires = Timestamp::from_unix(found.expires);
    match (found.roster_version, found.not_in_force.as_str()) {
        (0, _) => output.say("No roster is trusted."),
        (version, "") => output.say(format_args!(
            "Roster {version} is in force until {}, SHA-256 {}.",
            expires.spoken(),
            hex::encode(&found.roster_digest)
        )),
        (version, code) => output.say(format_args!(
            "Roster {version} is trusted and NOT in force: {code}."
        )),
    }
    output.say(format_args!("Root {} is trusted.", found.root_version));
    if found.vouched > 0 {
        output.say(format_args!(
            "A majority of the members held this roster for the newest at {}.",
            Timestamp::from_unix(found.vouched).spoken()
        ));
    }
    if found.stale {
        output.say(
            "Warning: no majority of the members has said within two days that this roster is the \
             newest. This node may be held in the past: ask another member, or the secretariat.",
        );
    }
    for warning in &found.warnings {
        output.say(format_args!("Warning: {}", warning.sentence));
    }
    let warnings: Vec<_> = found
        .warnings
        .iter()
        .map(|warning| {
            json!({"code": warning.code, "member": warning.member, "sentence": warning.sentence})
        })
        .collect();
    output.object(&json!({
        "ok": true, "root_version": found.root_version, "roster_version": found.roster_version,
        "digest": hex::encode(&found.roster_digest), "expires": expires.to_string(),
        "in_force": found.roster_version > 0 && found.not_in_force.is_empty(),
        "not_in_force": found.not_in_force, "stale": found.stale,
        "vouched": (found.vouched > 0).then(|| Timestamp::from_unix(found.vouched).to_string()),
        "warnings": warnings,
    }));
    Ok(())
}

/// `roster reload`: the node takes what lies in its directory.
pub async fn reload(context: &Context) -> Result<(), CliError> {
    let offers = client(context)
        .await?
        .take_files(pb::TakeFilesRequest {})
        .await?
        .into_inner()
        .offers;
    told(context, &offers)
}

/// `roster fetch`: the node asks its peers.
pub async fn fetch(context: &Context) -> Result<(), CliError> {
    let offers = client(context)
        .await?
        .ask_peers(pb::AskPeersRequest {})
        .await?
        .into_inner()
        .offers;
    told(context, &offers)
}

fn told(context: &Context, offers: &[pb::Offer]) -> Result<(), CliError> {
    let output = context.output;
    if offers.is_empty() {
        output.say("There was nothing to take, and nobody to ask.");
    }
    for offer in offers {
        let more = if offer.message.is_empty() {
            String::new()
        } else {
            format!(": {}", offer.message)
        };
        output.say(format_args!("{}: {}{more}", offer.source, offer.code));
    }
    let list: Vec<_> = offers
        .iter()
        .map(|offer| json!({"source": offer.source, "code": offer.code, "message": offer.message}))
        .collect();
    output.object(&json!({"ok": true, "offers": list}));
    Ok(())
}

/// `roster accept-clock`: at the running node, and for the commands of this directory.
pub async fn accept_clock(context: &Context, args: &AcceptClockArgs) -> Result<(), CliError> {
    // The argument is required: nobody does this by a slip of the finger.
    debug_assert!(args.yes);
    let directory = &context.directory;
    let mut accepted = Vec::new();
    if trust::is_kept(directory) {
        let mut kept = trust::open(context)?;
        let (seen, now) = (kept.last_seen(), context.ambient.now());
        kept.accept_clock(now);
        trust::keep(directory, &kept)?;
        accepted.push(("commands", seen, now));
    }
    match client(context).await {
        Ok(mut node) => {
            let times = node
                .accept_clock(pb::AcceptClockRequest {})
                .await?
                .into_inner();
            accepted.push(("node", times.seen, times.now));
        }
        // An ombudsman runs no node; a node that is stopped is not told.
        Err(error) if accepted.is_empty() => return Err(error),
        Err(_) => {}
    }
    let output = context.output;
    let mut list = Vec::new();
    for (what, seen, now) in accepted {
        let (seen, now) = (Timestamp::from_unix(seen), Timestamp::from_unix(now));
        output.say(format_args!(
            "The {what} had seen {seen} and now goes by {now}."
        ));
        list.push(json!({"what": what, "seen": seen.to_string(), "now": now.to_string()}));
    }
    output.object(&json!({"ok": true, "accepted": list}));
    Ok(())
}
