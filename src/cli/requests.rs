//! `wayhome requests`: the inbox of what other members ask to be told.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, Context};
use crate::exchange::disclose::DenialReason;
use crate::node::{MAX_OPERATOR_MESSAGE, OperatorChannel};
use crate::proto::operator::request_service_client::RequestServiceClient;
use crate::proto::operator::{
    ApproveRequestRequest, Decided, Decision, DenyRequestRequest, ListRequestsRequest,
    RequestSummary, ReviewReleaseRequest, ShowRequestRequest, WithdrawRequestRequest,
};

/// Arguments of `wayhome requests`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List what waits for people.
    List(ListArgs),
    /// Show one request, with the values that are asked for.
    Show(OneArgs),
    /// Approve fields.
    Approve(DecideArgs),
    /// Deny fields.
    Deny(DecideArgs),
    /// Withdraw what was told: the receiver erases it.
    Withdraw(WithdrawArgs),
    /// Review a release that one person made alone.
    Review(ReviewArgs),
}

#[derive(clap::Args)]
struct ListArgs {
    /// Those in this state, or `all`.
    #[arg(long, default_value = "", hide_default_value = true)]
    state: String,
    /// How many, at most 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(clap::Args)]
struct OneArgs {
    /// The request's id.
    #[arg(value_name = "REQUEST")]
    request: String,
}

#[derive(clap::Args)]
struct DecideArgs {
    /// The request's id.
    #[arg(value_name = "REQUEST")]
    request: String,
    /// The digest that `requests show` printed: the decision is on that and on nothing else.
    #[arg(long, value_name = "SHA-256")]
    digest: String,
    /// Only these fields, separated by commas.
    #[arg(long, value_delimiter = ',')]
    fields: Vec<String>,
    /// Release at once and alone, where the policy allows it. It is reported, and reviewed afterwards.
    #[arg(long)]
    break_glass: bool,
    /// Why it is denied; the asking member is told.
    #[arg(long, value_parser = DenialReason::ALL.map(DenialReason::as_str))]
    reason: Option<String>,
}

#[derive(clap::Args)]
struct WithdrawArgs {
    /// The request's id.
    #[arg(value_name = "REQUEST")]
    request: String,
    /// Confirm: what was told is erased where it was told.
    #[arg(long)]
    yes: bool,
}

#[derive(clap::Args)]
struct ReviewArgs {
    /// The request's id.
    #[arg(value_name = "REQUEST")]
    request: String,
    /// What the review found.
    #[arg(long, value_parser = ["right", "wrong"])]
    found: String,
}

type Client = RequestServiceClient<OperatorChannel>;

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let client = RequestServiceClient::new(context.operator().await?)
        .max_decoding_message_size(MAX_OPERATOR_MESSAGE);
    match args.command {
        Command::List(args) => list(context, client, args).await,
        Command::Show(args) => show(context, client, args).await,
        Command::Approve(args) => decide(context, client, args, true).await,
        Command::Deny(args) => decide(context, client, args, false).await,
        Command::Withdraw(args) => withdraw(context, client, args).await,
        Command::Review(args) => review(context, client, args).await,
    }
}

async fn list(context: &Context, mut client: Client, args: ListArgs) -> Result<(), CliError> {
    let requests = client
        .list_requests(ListRequestsRequest {
            state: args.state,
            limit: args.limit,
        })
        .await?
        .into_inner()
        .requests;
    for request in &requests {
        say(context, request);
    }
    if requests.is_empty() {
        context.output.say("Nothing waits for a decision.");
    }
    let objects: Vec<Value> = requests.iter().map(object).collect();
    context
        .output
        .object(&json!({"ok": true, "requests": objects}));
    Ok(())
}

async fn show(context: &Context, mut client: Client, args: OneArgs) -> Result<(), CliError> {
    let shown = client
        .show_request(ShowRequestRequest {
            request: args.request,
        })
        .await?
        .into_inner();
    let summary = shown.summary.unwrap_or_default();
    let output = context.output;
    say(context, &summary);
    output.say(format_args!("  why: {}", shown.justification));
    output.say(format_args!(
        "  record: {} ({}, {}, protection {})",
        if shown.record_ref.is_empty() {
            "gone"
        } else {
            &shown.record_ref
        },
        shown.grade,
        if shown.certain {
            "certain"
        } else {
            "not certain: look whether it is the child"
        },
        if shown.protection.is_empty() {
            "unknown"
        } else {
            &shown.protection
        }
    ));
    let values: BTreeMap<_, _> = shown.values.iter().collect();
    for field in &summary.fields {
        let value = shown
            .values
            .get(&field.name)
            .map_or("(the record lacks it)", String::as_str);
        output.say(format_args!("  {:<20} {value}", field.name));
        output.say(format_args!("  {:<20} {}", "", field.why));
    }
    for line in &shown.history {
        output.say(format_args!("  {line}"));
    }
    if !shown.digest.is_empty() {
        output.say(format_args!("  digest {}", shown.digest));
    }
    let mut object = object(&summary);
    object["ok"] = true.into();
    object["justification"] = shown.justification.into();
    object["record_ref"] = shown.record_ref.into();
    object["grade"] = shown.grade.into();
    object["certain"] = shown.certain.into();
    object["protection"] = shown.protection.into();
    object["values"] = json!(values);
    object["digest"] = shown.digest.into();
    object["history"] = json!(shown.history);
    output.object(&object);
    Ok(())
}

async fn decide(
    context: &Context,
    mut client: Client,
    args: DecideArgs,
    approve: bool,
) -> Result<(), CliError> {
    if args.break_glass && !approve {
        return Err(CliError::input(
            "USAGE",
            "--break-glass releases: a denial needs nobody else",
        ));
    }
    if args.reason.is_some() && approve {
        return Err(CliError::input("USAGE", "--reason says why it is denied"));
    }
    let decision = Some(Decision {
        request: args.request,
        digest: args.digest,
        fields: args.fields,
    });
    let decided = if approve {
        let break_glass = args.break_glass;
        let request = ApproveRequestRequest {
            decision,
            break_glass,
        };
        client.approve_request(request).await?.into_inner().decided
    } else {
        let request = DenyRequestRequest {
            decision,
            reason: args.reason.unwrap_or_default(),
        };
        client.deny_request(request).await?.into_inner().decided
    };
    decided_on(context, decided);
    Ok(())
}

async fn withdraw(
    context: &Context,
    mut client: Client,
    args: WithdrawArgs,
) -> Result<(), CliError> {
    if !args.yes {
        return Err(CliError::input(
            "NOT_CONFIRMED",
            "what is withdrawn is erased where it was told: repeat the command with --yes",
        ));
    }
    let decided = client
        .withdraw_request(WithdrawRequestRequest {
            request: args.request,
        })
        .await?;
    decided_on(context, decided.into_inner().decided);
    Ok(())
}

async fn review(context: &Context, mut client: Client, args: ReviewArgs) -> Result<(), CliError> {
    let decided = client
        .review_release(ReviewReleaseRequest {
            request: args.request.clone(),
            upheld: args.found == "right",
        })
        .await?;
    decided_on(context, decided.into_inner().decided);
    if args.found == "wrong" {
        context.output.say(format_args!(
            "What was told stays where it was told: `wayhome requests withdraw {} --yes` calls it back.",
            args.request
        ));
    }
    Ok(())
}

fn decided_on(context: &Context, decided: Option<Decided>) {
    let decided = decided.unwrap_or_default();
    let summary = decided.summary.unwrap_or_default();
    say(context, &summary);
    context.output.say(format_args!(
        "The decision is leaf {} of the log.",
        decided.leaf_index
    ));
    let mut object = object(&summary);
    object["ok"] = true.into();
    object["leaf_index"] = decided.leaf_index.into();
    context.output.object(&object);
}

fn say(context: &Context, request: &RequestSummary) {
    let output = context.output;
    output.say(format_args!(
        "{}  {} asks for {}, on {}: {}{}{}",
        request.request,
        request.member,
        request.purpose,
        request.legal_basis,
        request.state,
        match (request.answer_by.as_str(), request.overdue) {
            ("", _) => String::new(),
            (by, true) => format!("  OVERDUE since {by}"),
            (by, false) => format!("  urgent: by {by}"),
        },
        if request.review_due {
            "  (a release by one person is to be reviewed)"
        } else {
            ""
        }
    ));
    for field in &request.fields {
        let state = match field.state.as_str() {
            "waiting" => format!("waits: {} of {} have approved", field.have, field.needed),
            "granted" if field.told => "granted, and told".to_owned(),
            state => state.to_owned(),
        };
        output.say(format_args!("  {:<20} {state}", field.name));
    }
}

fn object(request: &RequestSummary) -> Value {
    let fields: Vec<Value> = request
        .fields
        .iter()
        .map(|field| {
            json!({
                "name": field.name,
                "state": field.state,
                "needed": field.needed,
                "have": field.have,
                "why": field.why,
                "told": field.told,
            })
        })
        .collect();
    json!({
        "request": request.request,
        "member": request.member,
        "state": request.state,
        "fields": fields,
        "purpose": request.purpose,
        "legal_basis": request.legal_basis,
        "case": request.case_reference,
        "asked_at": request.asked_at,
        "answer_by": request.answer_by,
        "expires_at": request.expires_at,
        "overdue": request.overdue,
        "review_due": request.review_due,
    })
}
