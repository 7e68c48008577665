//! `wayhome review`: what peers were answered about own records, for the member's own staff.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, Context};
use crate::node::{MAX_OPERATOR_MESSAGE, OperatorChannel};
use crate::proto::operator::review_service_client::ReviewServiceClient;
use crate::proto::operator::{Finding, FindingInFull, ListFindingsRequest, ShowFindingsRequest};
use crate::records::FIELDS;

/// Arguments of `wayhome review`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List what was found, newest first, without personal data.
    List(ListArgs),
    /// Show what one answer rests on, with the own record's fields.
    Show(ShowArgs),
}

#[derive(clap::Args)]
struct ListArgs {
    /// Only what stands in the log before this leaf.
    #[arg(long, value_name = "LEAF", default_value_t = 0)]
    before: u64,
    /// How many, at most 1000; all findings of one query come together.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only this own record.
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    record: String,
    /// Only what this member asked.
    #[arg(
        long,
        value_name = "MEMBER",
        default_value = "",
        hide_default_value = true
    )]
    from: String,
}

#[derive(clap::Args)]
struct ShowArgs {
    /// A lead, as the asking side quotes it (member:hex), or the digits of a lead or query.
    #[arg(value_name = "LEAD-or-QUERY")]
    handle: String,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::List(args) => list(context, args).await,
        Command::Show(args) => show(context, args).await,
    }
}

async fn client(context: &Context) -> Result<ReviewServiceClient<OperatorChannel>, CliError> {
    let channel = context.operator().await?;
    Ok(ReviewServiceClient::new(channel).max_decoding_message_size(MAX_OPERATOR_MESSAGE))
}

async fn list(context: &Context, args: ListArgs) -> Result<(), CliError> {
    let page = client(context)
        .await?
        .list_findings(ListFindingsRequest {
            before: args.before,
            limit: args.limit,
            record_ref: args.record,
            peer: args.from,
        })
        .await?
        .into_inner();
    for found in &page.findings {
        context.output.say(format_args!(
            "{} {:<8} {:<9} {:>7.1} {:<24} {}{}",
            found.at,
            found.peer,
            found.grade,
            found.weight,
            or(&found.record_ref, "(erased)"),
            or(&found.lead, "no lead"),
            marks(found),
        ));
    }
    let count = page.findings.len();
    context.output.say(match page.next_before {
        0 => format!("{count} findings"),
        next => format!("{count} findings; earlier ones: --before {next}"),
    });
    let findings: Vec<Value> = page.findings.iter().map(object).collect();
    context.output.object(&json!({
        "ok": true,
        "findings": findings,
        "next_before": (page.next_before != 0).then_some(page.next_before),
    }));
    Ok(())
}

async fn show(context: &Context, args: ShowArgs) -> Result<(), CliError> {
    let shown = client(context)
        .await?
        .show_findings(ShowFindingsRequest {
            handle: args.handle,
        })
        .await?
        .into_inner();
    let mut objects = Vec::new();
    for full in &shown.findings {
        let Some(found) = &full.finding else { continue };
        say(context, found, full);
        objects.push(object_in_full(found, full));
    }
    context
        .output
        .object(&json!({"ok": true, "findings": objects}));
    Ok(())
}

fn say(context: &Context, found: &Finding, full: &FindingInFull) {
    let out = context.output;
    let head = match found.lead.as_str() {
        "" => format!("{}: no lead was given", found.grade),
        lead => format!("{}: lead {lead}", found.grade),
    };
    out.say(format_args!("{head}{}", marks(found)));
    let line = |name: &str, value: &str| out.say(format_args!("  {name:<22} {value}"));
    line("asked by", &found.peer);
    line("at", &found.at);
    line("purpose", &found.purpose);
    line("legal basis", &found.legal_basis);
    line("their case", or(&found.case_reference, "-"));
    line(
        "query",
        &format!(
            "{}, child {} (leaf {} of the log)",
            found.message_id,
            found.subject_index + 1,
            found.leaf_index
        ),
    );
    out.say("Weighed");
    line("grade", &found.weighed);
    let limits = if found.match_at.is_finite() {
        format!(
            "MATCH from {:.1}, POSSIBLE from {:.1}",
            found.match_at, found.possible_at
        )
    } else {
        format!("siblings: POSSIBLE from {:.1}", found.possible_at)
    };
    line("weight", &format!("{:.1} ({limits})", found.weight));
    if found.by_family {
        line("without siblings", &weight(full.weight_alone));
    }
    for rule in &full.rules {
        line(&format!("rule {} agreed", rule.id), &rule.of);
    }
    out.say("Attributes");
    for class in &full.classes {
        line(&class.class, words(&class.finding));
    }
    out.say(format_args!(
        "Own record {} ({})",
        or(&found.record_ref, "erased since"),
        full.state
    ));
    if let Some(record) = &full.record {
        for field in FIELDS {
            if let Some(value) = record.fields.get(field.name) {
                line(field.name, value);
            }
        }
    }
    out.say("");
}

/// What is out of the ordinary about a finding.
fn marks(found: &Finding) -> String {
    let mut marks = String::new();
    for (is, mark) in [
        (found.frozen, "frozen by the probe limit"),
        (found.by_family, "by its siblings"),
        (found.explained, "another record is likelier by far"),
        (
            found.weighed != found.grade && !found.frozen,
            "grade lowered by protection or ground",
        ),
    ] {
        if is {
            marks.push_str("; ");
            marks.push_str(mark);
        }
    }
    marks
}

fn words(finding: &str) -> &str {
    match finding {
        "agrees_in_part" => "agrees in part",
        "untold" => "both have it; no rule tells",
        "missing_there" => "missing on their side",
        "missing_here" => "missing on ours",
        "missing_both" => "missing on both sides",
        other => other,
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn weight(weight: f64) -> String {
    if weight.is_finite() {
        format!("{weight:.1}")
    } else {
        "no rule of its own agreed".to_owned()
    }
}

/// A number for machines; null where it is infinite.
fn number(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn object(found: &Finding) -> Value {
    json!({
        "leaf_index": found.leaf_index,
        "at": found.at,
        "member": found.peer,
        "purpose": found.purpose,
        "legal_basis": found.legal_basis,
        "case_reference": found.case_reference,
        "query": found.message_id,
        "subject_index": found.subject_index,
        "record_ref": (!found.record_ref.is_empty()).then_some(&found.record_ref),
        "lead": (!found.lead.is_empty()).then_some(&found.lead),
        "grade": found.grade,
        "weighed": found.weighed,
        "weight": number(found.weight),
        "match_at": number(found.match_at),
        "possible_at": number(found.possible_at),
        "frozen": found.frozen,
        "by_family": found.by_family,
        "explained": found.explained,
    })
}

fn object_in_full(found: &Finding, full: &FindingInFull) -> Value {
    let mut value = object(found);
    if let Some(object) = value.as_object_mut() {
        let rules: Vec<Value> = full
            .rules
            .iter()
            .map(|rule| json!({"id": rule.id, "of": rule.of}))
            .collect();
        let classes: serde_json::Map<String, Value> = full
            .classes
            .iter()
            .map(|class| (class.class.clone(), class.finding.as_str().into()))
            .collect();
        object.insert("weight_alone".to_owned(), number(full.weight_alone));
        object.insert("rules".to_owned(), rules.into());
        object.insert("attributes".to_owned(), classes.into());
        object.insert("state".to_owned(), full.state.as_str().into());
        object.insert(
            "record".to_owned(),
            full.record.as_ref().map_or(Value::Null, |record| {
                let fields = record.fields.iter();
                fields
                    .map(|(name, value)| (name.clone(), value.as_str().into()))
                    .collect::<serde_json::Map<String, Value>>()
                    .into()
            }),
        );
    }
    value
}
