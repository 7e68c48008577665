//! `wayhome search`: looks children up at the other members.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;

use serde_json::{Value, json};

mod register;

use super::input::open_register;
use super::{CliError, Context};
use crate::node::MAX_OPERATOR_MESSAGE;
use crate::proto::operator::search_service_client::SearchServiceClient;
use crate::proto::operator::{Record, SearchRequest, SearchResponse, SubjectResult};
use crate::records::import::{Format, Import, ImportOptions, Row};
use crate::roster::{LegalBasis, Purpose};

/// Arguments of `wayhome search`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("whom").args(["records", "input", "register"]).multiple(true).required(true))]
pub struct Args {
    /// Reference of an own record; may be given several times.
    #[arg(long = "record", value_name = "REF")]
    records: Vec<String>,
    /// A file that describes children in the canonical columns (CSV or JSON Lines).
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Search for the whole register: only for what is new on either side since it was last asked
    /// about.
    #[arg(long, conflicts_with_all = ["records", "input"])]
    register: bool,
    /// With --register: ask about every record again.
    #[arg(long, requires = "register")]
    again: bool,
    /// Why the children are looked for.
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
    /// Ask this member only; may be given several times.
    #[arg(long = "at", value_name = "MEMBER")]
    members: Vec<String>,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    if args.register {
        return register::run(context, args).await;
    }
    let (described, subjects) = described(args.input.as_ref())?;
    let names: Vec<String> = args.records.iter().cloned().chain(described).collect();
    let channel = context.operator().await?;
    let mut results = SearchServiceClient::new(channel)
        .max_encoding_message_size(MAX_OPERATOR_MESSAGE)
        .max_decoding_message_size(MAX_OPERATOR_MESSAGE)
        .search(SearchRequest {
            record_refs: args.records,
            subjects,
            purpose: args.purpose.to_string(),
            legal_basis: args.legal_basis.to_string(),
            case_reference: args.case,
            members: args.members,
        })
        .await?
        .into_inner();
    let mut answers = BTreeMap::new();
    while let Some(answer) = results.message().await? {
        show(context, &names, &answer);
        answers.insert(answer.member.clone(), answer);
    }
    let failed = answers
        .values()
        .filter(|answer| !answer.error_code.is_empty())
        .count();
    let found = answers
        .values()
        .flat_map(|answer| &answer.results)
        .any(|result| result.grade != "NO_MATCH");
    if !found {
        context
            .output
            .say("No member that answered holds a matching record.");
    }
    let answers: Vec<Value> = answers
        .values()
        .map(|answer| object(&names, answer))
        .collect();
    if failed == 0 {
        context
            .output
            .object(&json!({"ok": true, "answers": answers}));
        return Ok(());
    }
    let error = CliError::failed(
        "SOME_MEMBERS_SILENT",
        format!("{failed} members gave no answer; what the others answered stands"),
    );
    context
        .output
        .object(&json!({"ok": false, "error": error.to_json(), "answers": answers}));
    Err(error.told())
}

fn described(input: Option<&PathBuf>) -> Result<(Vec<String>, Vec<Record>), CliError> {
    let Some(path) = input else {
        return Ok((Vec::new(), Vec::new()));
    };
    let name = path.display();
    let wrong = |why: &dyn std::fmt::Display| CliError::input("INPUT", format!("{name}: {why}"));
    let (file, first) = open_register(path)?;
    let format = Format::detect(Some(path), &first);
    let import = Import::new(BufReader::new(file), format, &ImportOptions::default())
        .map_err(|error| wrong(&error))?;
    let (mut names, mut subjects) = (Vec::new(), Vec::new());
    for row in import {
        match row.map_err(|error| wrong(&error))? {
            Row::Accepted(_, record) => {
                names.push(record.record_ref.as_str().to_owned());
                let fields = record
                    .fields()
                    .map(|(column, text)| (column.name().to_owned(), text.expose().clone()))
                    .collect();
                subjects.push(Record { fields });
            }
            Row::Rejected(rejection) => {
                let first = rejection.errors.first().map(ToString::to_string);
                return Err(wrong(&first.unwrap_or_default()));
            }
        }
    }
    Ok((names, subjects))
}

fn show(context: &Context, names: &[String], answer: &SearchResponse) {
    let member = &answer.member;
    if !answer.error_code.is_empty() {
        context.output.say(format_args!(
            "{member}: no answer ({}): {}",
            answer.error_code, answer.error_message
        ));
        return;
    }
    for (name, result) in names.iter().zip(&answer.results) {
        say_result(context, member, name, result);
    }
}

/// Says what one member says of one child.
fn say_result(context: &Context, member: &str, name: &str, result: &SubjectResult) {
    let output = context.output;
    output.say(format_args!("{member}: {name}: {}", result.grade));
    for lead in &result.leads {
        output.say(format_args!("    {:<9} lead {}", lead.grade, lead.lead));
    }
    if !result.more_attributes.is_empty() {
        output.say(format_args!(
            "    The {} would decide: search again with it if you can learn it.",
            result.more_attributes
        ));
    }
}

/// The same for machines.
fn lead_object(name: &str, result: &SubjectResult) -> Value {
    let leads: Vec<Value> = result
        .leads
        .iter()
        .map(|lead| json!({"lead": lead.lead, "grade": lead.grade}))
        .collect();
    json!({
        "subject": name,
        "grade": result.grade,
        "leads": leads,
        "more_attributes": result.more_attributes,
    })
}

fn object(names: &[String], answer: &SearchResponse) -> Value {
    let results: Vec<Value> = names
        .iter()
        .zip(&answer.results)
        .map(|(name, result)| lead_object(name, result))
        .collect();
    json!({
        "member": answer.member,
        "results": results,
        "error": (!answer.error_code.is_empty()).then(|| json!({
            "code": answer.error_code,
            "message": answer.error_message,
        })),
        "bytes_sent": answer.bytes_sent,
        "bytes_received": answer.bytes_received,
    })
}
