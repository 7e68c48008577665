//! `wayhome disclose`: asks a member for fields behind a lead, asks again, and watches.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, Context};
use crate::node::{MAX_OPERATOR_MESSAGE, OperatorChannel};
use crate::proto::operator::disclosure_service_client::DisclosureServiceClient;
use crate::proto::operator::{
    AskAgainRequest, Asked, DiscloseRequest, DiscloseResponse, ListAskedRequest, ShowAskedRequest,
    WatchAskedRequest,
};
use crate::roster::{LegalBasis, Purpose};

/// Arguments of `wayhome disclose`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    ask: Option<Ask>,
}

#[derive(clap::Args)]
struct Ask {
    /// The lead, as `wayhome search` printed it.
    #[arg(value_name = "MEMBER:LEAD")]
    lead: String,
    /// The fields to ask for, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    fields: Vec<String>,
    /// Why they are needed, for the holder's people.
    #[arg(long)]
    justification: String,
    /// What they are needed for.
    #[arg(long, default_value_t = Purpose::FamilyTracing)]
    purpose: Purpose,
    /// On what legal ground.
    #[arg(long, default_value_t = LegalBasis::VitalInterest)]
    legal_basis: LegalBasis,
    /// Your case reference: letters, digits and -_./: only, no personal data.
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    case: String,
    /// Urgent: an answer is needed by this moment, as 2026-03-01T00:00:00Z.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true
    )]
    urgent_by: String,
}

#[derive(Subcommand)]
enum Command {
    /// Ask a member for fields behind a lead.
    Ask(Ask),
    /// Ask about an earlier request again: what was decided, or corrected, since.
    Poll(PollArgs),
    /// Put other fields in the place of an earlier request.
    Amend(AmendArgs),
    /// Take a request back.
    TakeBack(PollArgs),
    /// Say when requests change at a member, and ask again each time one of the named ones does.
    Watch(WatchArgs),
    /// List what was asked for.
    List,
    /// Show what is kept of one request, with what was told.
    Show(PollArgs),
}

#[derive(clap::Args)]
struct PollArgs {
    /// The request, as `wayhome disclose` printed it.
    #[arg(value_name = "MEMBER:REQUEST")]
    request: String,
}

#[derive(clap::Args)]
struct AmendArgs {
    /// The request, as `wayhome disclose` printed it.
    #[arg(value_name = "MEMBER:REQUEST")]
    request: String,
    /// The fields to ask for instead, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    fields: Vec<String>,
    /// Why they are needed, for the holder's people.
    #[arg(long)]
    justification: String,
    /// Urgent: an answer is needed by this moment, as 2026-03-01T00:00:00Z; as before if not given.
    #[arg(long, value_name = "TIME", default_value = "")]
    urgent_by: String,
}

#[derive(clap::Args)]
struct WatchArgs {
    /// The request, as `wayhome disclose` printed it: watched until nothing of it waits any more.
    #[arg(value_name = "MEMBER:REQUEST")]
    request: String,
}

/// How long a watch waits for a change before it asks anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

type Client = DisclosureServiceClient<OperatorChannel>;

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let mut client = DisclosureServiceClient::new(context.operator().await?)
        .max_decoding_message_size(MAX_OPERATOR_MESSAGE);
    match (args.command, args.ask) {
        (Some(Command::Ask(ask)), _) | (None, Some(ask)) => self::ask(context, client, ask).await,
        (Some(Command::Poll(args)), _) => {
            let answer = poll(&mut client, &args.request).await?;
            told(context, &answer);
            context.output.object(&object(&answer));
            Ok(())
        }
        (Some(Command::Amend(args)), _) => {
            let amended = AskAgainRequest {
                request: args.request,
                fields: args.fields,
                justification: args.justification,
                take_back: false,
                answer_by: args.urgent_by,
            };
            let answer = again(&mut client, amended).await?;
            told(context, &answer);
            context.output.object(&object(&answer));
            Ok(())
        }
        (Some(Command::TakeBack(args)), _) => {
            let taken_back = AskAgainRequest {
                request: args.request,
                take_back: true,
                ..AskAgainRequest::default()
            };
            let answer = again(&mut client, taken_back).await?;
            context
                .output
                .say(format_args!("The request is {}.", answer.state));
            context.output.object(&object(&answer));
            Ok(())
        }
        (Some(Command::Watch(args)), _) => watch(context, client, &args.request).await,
        (Some(Command::List), _) => list(context, client).await,
        (Some(Command::Show(args)), _) => show(context, client, args.request).await,
        (None, None) => Err(CliError::input(
            "USAGE",
            "give a lead and --fields, or one of the commands that `wayhome disclose --help` lists",
        )),
    }
}

async fn ask(context: &Context, mut client: Client, args: Ask) -> Result<(), CliError> {
    let answer = client
        .disclose(DiscloseRequest {
            lead: args.lead,
            fields: args.fields,
            purpose: args.purpose.to_string(),
            legal_basis: args.legal_basis.to_string(),
            case_reference: args.case,
            justification: args.justification,
            answer_by: args.urgent_by,
        })
        .await?
        .into_inner();
    told(context, &answer);
    context.output.object(&object(&answer));
    Ok(())
}

async fn poll(client: &mut Client, request: &str) -> Result<DiscloseResponse, CliError> {
    let same = AskAgainRequest {
        request: request.to_owned(),
        ..AskAgainRequest::default()
    };
    again(client, same).await
}

async fn again(
    client: &mut Client,
    request: AskAgainRequest,
) -> Result<DiscloseResponse, CliError> {
    let answer = client.ask_again(request).await?.into_inner().answer;
    Ok(answer.unwrap_or_default())
}

async fn watch(context: &Context, mut client: Client, request: &str) -> Result<(), CliError> {
    let member = request.split(':').next().unwrap_or_default().to_owned();
    // Watched from before it is asked about, so that no change falls between the two.
    let mut changes = client
        .watch_asked(WatchAskedRequest { member })
        .await?
        .into_inner();
    let mut answer = poll(&mut client, request).await?;
    while !answer.waiting.is_empty() {
        context.output.say(format_args!(
            "{}: {} wait for people.",
            answer.state,
            answer.waiting.join(", ")
        ));
        let changed = async {
            loop {
                let change = changes.message().await?.ok_or_else(|| {
                    CliError::failed(
                        "WATCH_ENDED",
                        "the member ended the stream: ask again with `wayhome disclose poll`",
                    )
                })?;
                if change.request == request {
                    return Ok::<(), CliError>(());
                }
            }
        };
        // Asked about in any case once a minute: a stream only says that it is worth asking.
        if let Ok(changed) = tokio::time::timeout(LOOK_ANYWAY, changed).await {
            changed?;
        }
        answer = poll(&mut client, request).await?;
    }
    told(context, &answer);
    context.output.object(&object(&answer));
    Ok(())
}

async fn list(context: &Context, mut client: Client) -> Result<(), CliError> {
    let asked = client
        .list_asked(ListAskedRequest { limit: 1_000 })
        .await?
        .into_inner()
        .asked;
    for one in &asked {
        say_asked(context, one);
    }
    if asked.is_empty() {
        context.output.say("Nothing was asked for yet.");
    }
    let objects: Vec<Value> = asked.iter().map(asked_object).collect();
    context
        .output
        .object(&json!({"ok": true, "requests": objects}));
    Ok(())
}

async fn show(context: &Context, mut client: Client, request: String) -> Result<(), CliError> {
    let shown = client
        .show_asked(ShowAskedRequest { request })
        .await?
        .into_inner();
    let asked = shown.asked.unwrap_or_default();
    say_asked(context, &asked);
    let values: BTreeMap<_, _> = shown.values.iter().collect();
    for (name, value) in &values {
        let outdated = if asked.outdated.contains(name) {
            " (changed since: ask again)"
        } else {
            ""
        };
        context
            .output
            .say(format_args!("  {name}: {value}{outdated}"));
    }
    let mut object = asked_object(&asked);
    object["ok"] = true.into();
    object["values"] = json!(values);
    context.output.object(&object);
    Ok(())
}

fn say_asked(context: &Context, asked: &Asked) {
    let request = if asked.request.is_empty() {
        format!("{} (no answer yet)", asked.member)
    } else {
        asked.request.clone()
    };
    context.output.say(format_args!(
        "{request}  {}  {}  for {}, on {}{}{}",
        asked.state,
        asked.fields.join(", "),
        asked.purpose,
        asked.legal_basis,
        if asked.no_onward_transfer {
            ", not to be passed on"
        } else {
            ""
        },
        if asked.retain_until.is_empty() {
            String::new()
        } else {
            format!("; erased at {}", asked.retain_until)
        }
    ));
}

fn asked_object(asked: &Asked) -> Value {
    json!({
        "request": asked.request,
        "member": asked.member,
        "state": asked.state,
        "fields": asked.fields,
        "told": asked.told,
        "outdated": asked.outdated,
        "waiting": asked.waiting,
        "purpose": asked.purpose,
        "legal_basis": asked.legal_basis,
        "no_onward_transfer": asked.no_onward_transfer,
        "case": asked.case_reference,
        "retain_until": asked.retain_until,
        "denial_reason": asked.denial_reason,
    })
}

fn told(context: &Context, answer: &DiscloseResponse) {
    let output = context.output;
    let granted: BTreeMap<_, _> = answer.granted.iter().collect();
    for (name, value) in &granted {
        output.say(format_args!("{name}: {value}"));
    }
    for name in &answer.waiting {
        output.say(format_args!("{name}: waits for the holder's people"));
    }
    for name in &answer.withheld {
        output.say(format_args!("{name}: withheld"));
    }
    if !answer.denial_reason.is_empty() {
        output.say(format_args!(
            "The holder's people denied fields: {}.",
            answer.denial_reason.replace('_', " ")
        ));
    }
    if !granted.is_empty() {
        output.say(format_args!(
            "For {} only, on {}, and not to be passed on. It is erased here at {}.",
            answer.purpose, answer.legal_basis, answer.retain_until
        ));
    }
    output.say(format_args!(
        "The request is {} and is called {}; it ends at {}. The holder recorded this as leaf {} of its log.",
        answer.state, answer.request, answer.expires_at, answer.holder_leaf_index
    ));
}

fn object(answer: &DiscloseResponse) -> Value {
    let granted: BTreeMap<_, _> = answer.granted.iter().collect();
    json!({
        "ok": true,
        "request": answer.request,
        "state": answer.state,
        "granted": granted,
        "withheld": answer.withheld,
        "waiting": answer.waiting,
        "retain_until": answer.retain_until,
        "expires_at": answer.expires_at,
        "conditions": {
            "purpose": answer.purpose,
            "legal_basis": answer.legal_basis,
            "no_onward_transfer": answer.no_onward_transfer,
        },
        "denial_reason": answer.denial_reason,
        "holder_leaf_index": answer.holder_leaf_index,
    })
}
