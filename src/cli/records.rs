//! `wayhome records`: the register.

mod import;

use std::collections::HashMap;

use crate::node::{MAX_OPERATOR_MESSAGE, OperatorChannel};
use clap::Subcommand;
use serde_json::json;

use super::progress::bar;
use super::{CliError, Context};
use crate::proto::operator::record_service_client::RecordServiceClient;
use crate::proto::operator::{
    CorrectRecordRequest, EraseRecordRequest, GetRecordRequest, ListRecordsRequest,
    PublishRecordsRequest,
};
use crate::records::{Column, FIELDS};

/// Arguments of `wayhome records`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take a register in from a CSV, JSON Lines or PFIF file.
    Import(import::Args),
    /// List references and states, without personal data.
    List(ListArgs),
    /// Show one record.
    Show(RefArgs),
    /// Correct fields of one record. Members who were told of them hear of it.
    Correct(CorrectArgs),
    /// Make tokens for new records and bring them into the index.
    Publish,
    /// Erase one record for good.
    Erase(EraseArgs),
}

#[derive(clap::Args)]
struct ListArgs {
    /// Begin after this reference.
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    after: String,
    /// How many, at most 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(clap::Args)]
struct RefArgs {
    /// The record's reference.
    #[arg(value_name = "REF")]
    record_ref: String,
}

#[derive(clap::Args)]
struct CorrectArgs {
    /// The record's reference.
    #[arg(value_name = "REF")]
    record_ref: String,
    /// A field and what it is to hold; nothing after the `=` empties it. May be given several times.
    #[arg(long = "set", value_name = "FIELD=VALUE", required = true)]
    set: Vec<String>,
}

#[derive(clap::Args)]
struct EraseArgs {
    /// The record's reference.
    #[arg(value_name = "REF")]
    record_ref: String,
    /// Confirm: what is erased cannot be brought back.
    #[arg(long)]
    yes: bool,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Import(args) => import::run(context, args).await,
        Command::List(args) => list(context, args).await,
        Command::Show(args) => show(context, args).await,
        Command::Correct(args) => correct(context, args).await,
        Command::Publish => publish(context).await,
        Command::Erase(args) => erase(context, args).await,
    }
}

async fn client(context: &Context) -> Result<RecordServiceClient<OperatorChannel>, CliError> {
    let channel = context.operator().await?;
    Ok(RecordServiceClient::new(channel).max_decoding_message_size(MAX_OPERATOR_MESSAGE))
}

async fn list(context: &Context, args: ListArgs) -> Result<(), CliError> {
    let page = client(context)
        .await?
        .list_records(ListRecordsRequest {
            after: args.after,
            limit: args.limit,
        })
        .await?
        .into_inner();
    for record in &page.records {
        context.output.say(format_args!(
            "{:<24} {:<16} {}",
            record.record_ref, record.state, record.protection
        ));
    }
    context.output.say(format_args!(
        "{} of {} records",
        page.records.len(),
        page.total
    ));
    let records: Vec<_> = page
        .records
        .iter()
        .map(|record| {
            json!({
                "record_ref": record.record_ref,
                "state": record.state,
                "protection": record.protection,
            })
        })
        .collect();
    context
        .output
        .object(&json!({"ok": true, "records": records, "total": page.total}));
    Ok(())
}

async fn show(context: &Context, args: RefArgs) -> Result<(), CliError> {
    let shown = client(context)
        .await?
        .get_record(GetRecordRequest {
            record_ref: args.record_ref,
            ..GetRecordRequest::default()
        })
        .await?
        .into_inner();
    let fields = shown.record.unwrap_or_default().fields;
    let mut object = serde_json::Map::new();
    for field in FIELDS {
        if let Some(value) = fields.get(field.name) {
            context
                .output
                .say(format_args!("{:<20} {value}", field.name));
            object.insert(field.name.to_owned(), value.as_str().into());
        }
    }
    context
        .output
        .say(format_args!("{:<20} {}", "(state)", shown.state));
    context
        .output
        .object(&json!({"ok": true, "state": shown.state, "record": object}));
    Ok(())
}

async fn correct(context: &Context, args: CorrectArgs) -> Result<(), CliError> {
    let mut fields = HashMap::new();
    let mut corrected = Vec::new();
    for set in &args.set {
        let (name, value) = set
            .split_once('=')
            .filter(|(name, _)| Column::from_name(name).is_some_and(|c| c != Column::RecordRef))
            .ok_or_else(|| {
                CliError::input(
                    "UNKNOWN_FIELD",
                    "--set takes FIELD=VALUE, with the name of a column other than record_ref",
                )
            })?;
        fields.insert(name.to_owned(), value.to_owned());
        corrected.push(name.to_owned());
    }
    let done = client(context)
        .await?
        .correct_record(CorrectRecordRequest {
            record_ref: args.record_ref.clone(),
            fields,
        })
        .await?
        .into_inner();
    context.output.say(if done.changed {
        "The record is corrected. Members who were told of it hear so; peers find it as it is now after the next `records publish`."
    } else {
        "The record says this already: nothing was changed."
    });
    if done.ground_lost {
        context
            .output
            .say("It states no ground to be searched on any more: peers find it no longer.");
    }
    context.output.object(&json!({
        "ok": true,
        "record_ref": args.record_ref,
        "corrected": corrected,
        "changed": done.changed,
        "ground_lost": done.ground_lost,
    }));
    Ok(())
}

async fn publish(context: &Context) -> Result<(), CliError> {
    let mut steps = client(context)
        .await?
        .publish_records(PublishRecordsRequest {})
        .await?
        .into_inner();
    let bar = bar(context.output, 0, "making tokens");
    let mut last = None;
    while let Some(step) = steps.message().await? {
        bar.set_length(step.total);
        bar.set_position(step.done);
        last = Some(step);
    }
    bar.finish_and_clear();
    let last = last.filter(|last| last.published).ok_or_else(|| {
        CliError::failed(
            "NOT_PUBLISHED",
            "the node ended the publication without its outcome: see its log",
        )
    })?;
    context.output.say(format_args!(
        "Tokens were made for {} records; {} records can now be found by peers ({} tokens).",
        last.done, last.index_records, last.index_tokens
    ));
    context.output.object(&json!({
        "ok": true,
        "enrolled": last.done,
        "index_records": last.index_records,
        "index_tokens": last.index_tokens,
    }));
    Ok(())
}

async fn erase(context: &Context, args: EraseArgs) -> Result<(), CliError> {
    if !args.yes {
        return Err(CliError::input(
            "NOT_CONFIRMED",
            "an erased record cannot be brought back: repeat the command with --yes",
        ));
    }
    let erased = client(context)
        .await?
        .erase_record(EraseRecordRequest {
            record_ref: args.record_ref,
        })
        .await?
        .into_inner();
    context.output.say(format_args!(
        "The record is erased; the act is leaf {} of the log.",
        erased.leaf_index
    ));
    context
        .output
        .object(&json!({"ok": true, "leaf_index": erased.leaf_index}));
    Ok(())
}
