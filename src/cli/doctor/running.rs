//! What only the running node can say.

use super::place::MEND_EXPIRY;
use super::{Context, Looks};
use crate::node::OperatorChannel;
use crate::proto::operator as pb;
use crate::proto::operator::log_service_client::LogServiceClient;
use crate::proto::operator::membership_service_client::MembershipServiceClient;
use crate::proto::operator::node_service_client::NodeServiceClient;

/// What the running node says, to the person who is signed in; whether there is one.
pub(super) async fn look(context: &Context, looks: &mut Looks) -> bool {
    let channel = match context.operator().await {
        Ok(channel) => channel,
        Err(error) => {
            looks.wrong(
                "node",
                error.to_string(),
                "what only a running node can say was not looked at",
            );
            return false;
        }
    };
    let mut keyholder = None;
    match NodeServiceClient::new(channel.clone())
        .get_status(pb::GetStatusRequest {})
        .await
    {
        Ok(status) => {
            let status = status.into_inner();
            looks.good(
                "node",
                format!("{} runs Wayhome {}", status.member, status.version),
            );
            if status.epoch > 0 {
                keyholder = Some(status.keyholder);
            }
            database(&status, looks);
            match status.epoch {
                0 => looks.wrong(
                    "coalition key",
                    "there is none yet",
                    "the keyholders hold a ceremony: docs/ceremony.md",
                ),
                epoch => looks.good("coalition key", format!("epoch {epoch}")),
            }
            if status.records > 0 && status.index_records == 0 {
                looks.soon(
                    "register",
                    format!("{} records, none of which others can find", status.records),
                    "`wayhome records publish` makes them findable",
                );
            } else {
                looks.good(
                    "register",
                    format!(
                        "{} records, {} findable",
                        status.records, status.index_records
                    ),
                );
            }
        }
        Err(status) => looks.refused("node", &status),
    }
    log(LogServiceClient::new(channel.clone()), looks).await;
    membership(MembershipServiceClient::new(channel), keyholder, looks).await;
    true
}

/// Whether the database answers the node. What else keeps it from answering is looked at by itself.
fn database(status: &pb::GetStatusResponse, looks: &mut Looks) {
    match status
        .not_ready
        .iter()
        .find(|reason| reason.code == "DATABASE")
    {
        Some(reason) => looks.wrong(
            "database",
            &reason.reason,
            "is the disk full, or the server down? The node goes on by itself when it is back",
        ),
        None => looks.good("database", "it answers the node"),
    }
}

async fn log(mut client: LogServiceClient<OperatorChannel>, looks: &mut Looks) {
    match client.get_log(pb::GetLogRequest {}).await {
        Ok(log) => {
            let log = log.into_inner();
            if log.not_signed.is_empty() {
                looks.good("log", format!("{} leaves, signed", log.size));
            } else {
                looks.wrong(
                    "log",
                    format!("it is not signed: {}", log.not_signed),
                    "until it is, the node answers nobody: docs/operations.md, The log",
                );
            }
            if log.broken_receipts > 0 || !log.findings.is_empty() {
                looks.wrong(
                    "findings",
                    format!(
                        "{} promises of others were broken, {} findings",
                        log.broken_receipts,
                        log.findings.len()
                    ),
                    "`wayhome log show` shows them; tell the ombudsman",
                );
            }
        }
        Err(status) => looks.refused("log", &status),
    }
}

/// Membership, keys and peers. `keyholder` says whether the node holds a share of the coalition key,
/// where there is one.
async fn membership(
    mut client: MembershipServiceClient<OperatorChannel>,
    keyholder: Option<bool>,
    looks: &mut Looks,
) {
    match client.get_membership(pb::GetMembershipRequest {}).await {
        Ok(membership) => {
            let membership = membership.into_inner();
            if membership.not_in_force.is_empty() {
                looks.good(
                    "membership",
                    format!("roster {} is in force", membership.roster_version),
                );
            } else {
                looks.wrong(
                    "membership",
                    format!("no roster is in force ({})", membership.not_in_force),
                    "`wayhome roster status` says why; if the clock is wrong, set it",
                );
            }
            let own = membership.parties.iter().find(|party| party.own);
            if keyholder == Some(false) && own.is_some_and(|own| own.keyholder) {
                looks.wrong(
                    "share",
                    "the roster makes this party a keyholder, and it has no share of the coalition key",
                    "if the ceremony is under way, finish it; if the share is lost, the others restore it with `wayhome ceremony repair`: docs/ceremony.md",
                );
            }
            for warning in membership.warnings {
                looks.soon("expiry", warning.sentence, MEND_EXPIRY);
            }
        }
        Err(status) => looks.refused("membership", &status),
    }
    match client.ask_peers(pb::AskPeersRequest {}).await {
        Ok(offers) => {
            for offer in offers.into_inner().offers {
                if matches!(offer.code.as_str(), "UPDATED" | "UNCHANGED") {
                    looks.good("peer", format!("{} answers", offer.source));
                } else {
                    looks.soon(
                        "peer",
                        format!("{} does not answer: {}", offer.source, offer.message),
                        "it may be down; if all are, look at this node's network and clock",
                    );
                }
            }
        }
        Err(status) => looks.refused("peer", &status),
    }
}
