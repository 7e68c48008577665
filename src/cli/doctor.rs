//! `wayhome doctor`: what is missing or wrong at a node, and how to mend it.
//!
//! It looks first at what lies in the directory, then asks the running node. Every look is made,
//! whatever the ones before came to.

use serde_json::{Value, json};

use super::{CliError, Context};
use crate::console::Door;
use crate::node::{Config, Identity, OperatorChannel};
use crate::proto::operator as pb;
use crate::proto::operator::log_service_client::LogServiceClient;
use crate::proto::operator::membership_service_client::MembershipServiceClient;
use crate::proto::operator::node_service_client::NodeServiceClient;

/// Arguments of `wayhome doctor`.
#[derive(clap::Args)]
pub struct Args {}

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Good,
    /// It works, and somebody has to do something about it.
    Soon,
    Wrong,
}

/// What a look came to.
struct Look {
    what: &'static str,
    how: How,
    /// What is so.
    said: String,
    /// What to do; empty where nothing is.
    remedy: String,
}

#[derive(Default)]
struct Looks(Vec<Look>);

impl Looks {
    fn good(&mut self, what: &'static str, said: impl Into<String>) {
        self.add(what, How::Good, said, "");
    }

    fn wrong(&mut self, what: &'static str, said: impl Into<String>, remedy: &str) {
        self.add(what, How::Wrong, said, remedy);
    }

    /// The node did not say it: to nobody who is not signed in, or for a reason in its own log.
    fn refused(&mut self, what: &'static str, status: &tonic::Status) {
        let remedy = match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
                "this was not looked at: the node says it to a person who is signed in"
            }
            _ => "look at the node's log",
        };
        self.wrong(what, status.message(), remedy);
    }

    fn add(&mut self, what: &'static str, how: How, said: impl Into<String>, remedy: &str) {
        self.0.push(Look {
            what,
            how,
            said: said.into(),
            remedy: remedy.to_owned(),
        });
    }
}

pub async fn run(context: &Context, _args: Args) -> Result<(), CliError> {
    let mut looks = Looks::default();
    let config = directory(context, &mut looks);
    if let Some(config) = &config {
        console(context, config, &mut looks).await;
    }
    node(context, &mut looks).await;
    let output = context.output;
    for look in &looks.0 {
        let mark = match look.how {
            How::Good => "ok   ",
            How::Soon => "soon ",
            How::Wrong => "WRONG",
        };
        output.say(format_args!("{mark}  {}: {}", look.what, look.said));
        if !look.remedy.is_empty() {
            output.say(format_args!("       {}", look.remedy));
        }
    }
    let wrong = looks.0.iter().filter(|look| look.how == How::Wrong).count();
    let object = json!({
        "ok": wrong == 0,
        "looks": looks.0.iter().map(to_json).collect::<Vec<_>>(),
    });
    output.object(&object);
    match wrong {
        0 => Ok(()),
        wrong => Err(CliError::failed(
            "NOT_WELL",
            format!("{wrong} of {} looks found something wrong", looks.0.len()),
        )
        .told()),
    }
}

fn to_json(look: &Look) -> Value {
    json!({
        "what": look.what,
        "how": match look.how {
            How::Good => "good",
            How::Soon => "soon",
            How::Wrong => "wrong",
        },
        "said": look.said,
        "remedy": look.remedy,
    })
}

/// What lies in the directory; gives the configuration if it can be read.
fn directory(context: &Context, looks: &mut Looks) -> Option<Config> {
    use std::os::unix::fs::MetadataExt as _;
    let directory = &context.directory;
    match std::fs::metadata(directory.path()) {
        Ok(data) if data.mode() & 0o077 == 0 => {
            looks.good("directory", "only its owner can reach into it");
        }
        Ok(data) => looks.wrong(
            "directory",
            format!("others can reach into it (mode {:o})", data.mode() & 0o777),
            "run `chmod 700` on it",
        ),
        Err(error) => looks.wrong(
            "directory",
            error.to_string(),
            "give the node's directory with --dir; `wayhome init` makes one",
        ),
    }
    let config = match Config::load(directory) {
        Ok(config) => {
            looks.good(
                "configuration",
                format!("node.toml is that of {}", config.member),
            );
            Some(config)
        }
        Err(error) => {
            looks.wrong(
                "configuration",
                error.to_string(),
                "mend node.toml: docs/operations.md says what may stand in it",
            );
            None
        }
    };
    match Identity::load(directory) {
        Ok(_) => looks.good("keys", "all are there and fit together"),
        Err(error) => looks.wrong(
            "keys",
            error.to_string(),
            "bring them back from where they are kept, or begin anew with `wayhome init` in another directory",
        ),
    }
    for (what, file, remedy) in [
        (
            "root",
            "root.note",
            "ask the coalition's secretariat for it, compare its digest by another way, and put it there",
        ),
        (
            "roster",
            "roster.note",
            "`wayhome roster publish FILE` puts the one there that the secretariat sent; a node that runs also takes it from its peers",
        ),
    ] {
        match directory.read_if_there(file) {
            Ok(Some(_)) => looks.good(what, format!("{file} is there")),
            // A roster also comes from peers: what the running node says of it counts.
            Ok(None) if what == "roster" => {
                looks.add(what, How::Soon, format!("{file} is not there"), remedy)
            }
            Ok(None) => looks.wrong(what, format!("{file} is not there"), remedy),
            Err(error) => looks.wrong(what, error.to_string(), remedy),
        }
    }
    config
}

/// Whether the console's configuration can be followed. A door that is taken is the running node's.
async fn console(context: &Context, config: &Config, looks: &mut Looks) {
    let Some(console) = &config.console else {
        looks.add("console", How::Good, "there is none", "");
        return;
    };
    match Door::open(console, &context.directory).await {
        Ok(door) => looks.good("console", format!("it can be served at {}", door.url())),
        Err(error) if error.is_taken() => {
            looks.good("console", format!("{} is listened on", console.listen));
        }
        Err(error) => looks.wrong("console", error.to_string(), "see docs/console.md"),
    }
}

/// What the running node says, to the person who is signed in.
async fn node(context: &Context, looks: &mut Looks) {
    let channel = match context.operator().await {
        Ok(channel) => channel,
        Err(error) => {
            looks.wrong(
                "node",
                error.to_string(),
                "what only a running node can say was not looked at",
            );
            return;
        }
    };
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
            match status.epoch {
                0 => looks.wrong(
                    "coalition key",
                    "there is none yet",
                    "the keyholders hold a ceremony: docs/ceremony.md",
                ),
                epoch => looks.good("coalition key", format!("epoch {epoch}")),
            }
            if status.records > 0 && status.index_records == 0 {
                looks.add(
                    "register",
                    How::Soon,
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
    membership(MembershipServiceClient::new(channel), looks).await;
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

async fn membership(mut client: MembershipServiceClient<OperatorChannel>, looks: &mut Looks) {
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
            for warning in membership.warnings {
                looks.add(
                    "expiry",
                    How::Soon,
                    warning.sentence,
                    "the secretariat's next roster, or `wayhome keys renew`, mends it",
                );
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
                    looks.add(
                        "peer",
                        How::Soon,
                        format!("{} does not answer: {}", offer.source, offer.message),
                        "it may be down; if all are, look at this node's network and clock",
                    );
                }
            }
        }
        Err(status) => looks.refused("peer", &status),
    }
}
