//! `wayhome policy`: what this member tells others, checked, explained and tested.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::input::read_text;
use super::{CliError, Context};
use crate::exchange::policy::{
    self, Case, CaseOutcome, Needs, Policy, Question, RecordFacts, Rule, TableFormat,
};
use crate::node::{POLICY_FILE, operator_client};
use crate::proto::operator::GetPolicyRequest;
use crate::proto::operator::policy_service_client::PolicyServiceClient;
use crate::records::{Column, Consent, FIELDS, Protection};
use crate::roster::{LegalBasis, Purpose};

/// Arguments of `wayhome policy`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether a policy can be followed, and where it cannot.
    Check(FileArgs),
    /// Say what a policy decides, and which rule decides it.
    Explain(ExplainArgs),
    /// Hold a policy against a table of cases.
    Test(TestArgs),
    /// Print the policy that is shipped.
    Default,
    /// Say which policy the running node follows.
    Status,
}

#[derive(clap::Args)]
struct FileArgs {
    /// The policy; that of the directory if not given.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(clap::Args)]
struct ExplainArgs {
    /// The policy; that of the directory if not given.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The field, or several; all if not given.
    #[arg(long = "field", value_name = "FIELD", value_delimiter = ',')]
    fields: Vec<String>,
    /// Who asks, by its id in the roster.
    #[arg(long, default_value = "any")]
    member: String,
    /// What for.
    #[arg(long, default_value_t = Purpose::FamilyTracing)]
    purpose: Purpose,
    /// On what legal ground.
    #[arg(long, default_value_t = LegalBasis::VitalInterest)]
    legal_basis: LegalBasis,
    /// What has become of the child.
    #[arg(long, default_value = "", hide_default_value = true)]
    status: String,
    /// How the record is protected: `none`, `alert`, `silent` or `human_only`.
    #[arg(long, default_value = "none")]
    protection: String,
    /// On what ground it may be searched for.
    #[arg(long, default_value = "tracing")]
    ground: String,
    /// The finding is not certain: a POSSIBLE, or a MATCH in names and dates alone.
    #[arg(long)]
    uncertain: bool,
    /// The request states a deadline.
    #[arg(long)]
    urgent: bool,
}

#[derive(clap::Args)]
struct TestArgs {
    /// The cases: a CSV file with a header, or TOML with `[[case]]` tables.
    #[arg(value_name = "FILE")]
    cases: PathBuf,
    /// The policy; that of the directory if not given.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Check(args) => check(context, args.file.as_deref()),
        Command::Explain(args) => explain(context, args),
        Command::Test(args) => test(context, &args),
        Command::Default => {
            context.output.say(policy::DEFAULT.trim_end());
            context
                .output
                .object(&json!({"ok": true, "policy": policy::DEFAULT}));
            Ok(())
        }
        Command::Status => status(context).await,
    }
}

/// The policy that a command is about, and what to call it.
fn load(context: &Context, file: Option<&Path>) -> Result<(String, Policy), CliError> {
    let path = match file {
        Some(file) => Some(file.to_owned()),
        None => Some(context.directory.file(POLICY_FILE)).filter(|path| path.exists()),
    };
    let (name, text) = match path {
        None => ("the shipped policy".to_owned(), policy::DEFAULT.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let text = read_text(&path, "INPUT")?;
            (name, text)
        }
    };
    let policy = Policy::parse(&text)
        .map_err(|error| CliError::input(error.code(), format!("{name}: {error}")))?;
    Ok((name, policy))
}

fn check(context: &Context, file: Option<&Path>) -> Result<(), CliError> {
    let (name, policy) = load(context, file)?;
    let sha256 = hex::encode(policy.digest());
    let (forbid, permit) = policy.rules();
    let output = context.output;
    output.say(format_args!(
        "{name} can be followed: {} rules permit, {} forbid.",
        permit.len(),
        forbid.len()
    ));
    for rule in &permit {
        output.say(format_args!("  {:<28} {}", rule.id, rule.says));
    }
    for rule in &forbid {
        output.say(format_args!("  {:<28} {}", rule.id, rule.says));
    }
    output.say(format_args!("Its SHA-256 is {sha256}."));
    output.object(&json!({
        "ok": true,
        "policy": name,
        "sha256": sha256,
        "permit": rules(&permit),
        "forbid": rules(&forbid),
    }));
    Ok(())
}

fn explain(context: &Context, args: ExplainArgs) -> Result<(), CliError> {
    let (name, policy) = load(context, args.policy.as_deref())?;
    let wrong = |what: &str, why: &dyn std::fmt::Display| {
        CliError::input("USAGE", format!("{what}: {why}"))
    };
    let question = Question {
        member: args.member,
        purpose: args.purpose,
        legal_basis: args.legal_basis,
        certain: !args.uncertain,
        urgent: args.urgent,
        record: RecordFacts {
            status: args.status,
            protection: Protection::parse(&args.protection)
                .map_err(|error| wrong("--protection", &error))?,
            ground: Consent::parse(&args.ground).map_err(|error| wrong("--ground", &error))?,
            entered_by: Vec::new(),
            family_silent: false,
        },
    };
    let columns = if args.fields.is_empty() {
        FIELDS
            .iter()
            .filter(|field| field.disclosable)
            .map(|field| field.column)
            .collect()
    } else {
        args.fields
            .iter()
            .map(|field| {
                Column::from_name(field).ok_or_else(|| {
                    CliError::input(
                        "UNKNOWN_FIELD",
                        format!(
                            "--field: there is no field called {field:?}: {}",
                            known_fields()
                        ),
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?
    };
    let decided: Vec<Value> = columns
        .into_iter()
        .map(|column| explain_field(context, &policy, &question, column))
        .collect();
    context.output.object(&json!({
        "ok": true,
        "policy": name,
        "sha256": hex::encode(policy.digest()),
        "fields": decided,
    }));
    Ok(())
}

fn explain_field(context: &Context, policy: &Policy, question: &Question, column: Column) -> Value {
    let output = context.output;
    let explained = policy.explain(question, column);
    output.say(&explained.sentence);
    if let Some(alone) = &explained.alone
        && explained.needs > Needs::OnePerson
    {
        let names: Vec<&str> = alone.iter().map(|rule| rule.id.as_str()).collect();
        output.say(format_args!(
            "  In an emergency one person can release it alone, by the rule {}; it is reviewed afterwards.",
            names.join(" and ")
        ));
    }
    json!({
        "field": column.name(),
        "class": column.field().class.as_str(),
        "decision": explained.needs.as_str(),
        "rules": rules(&explained.rules),
        "break_glass": explained.alone.is_some(),
        "sentence": explained.sentence,
    })
}

fn test(context: &Context, args: &TestArgs) -> Result<(), CliError> {
    let (name, policy) = load(context, args.policy.as_deref())?;
    let file = args.cases.display();
    let wrong =
        |why: &dyn std::fmt::Display| CliError::input("POLICY_CASES", format!("{file}: {why}"));
    let text = read_text(&args.cases, "POLICY_CASES")?;
    let format = match args.cases.extension().and_then(std::ffi::OsStr::to_str) {
        Some("toml") => TableFormat::Toml,
        _ => TableFormat::Csv,
    };
    let cases = policy::read_table(&text, format).map_err(|error| wrong(&error))?;
    let held: Vec<(Case, CaseOutcome)> = cases
        .into_iter()
        .map(|case| {
            let outcome = case.hold(&policy);
            (case, outcome)
        })
        .collect();
    let output = context.output;
    let mut objects = Vec::with_capacity(held.len());
    let mut failed = 0;
    for (case, outcome) in &held {
        let by: Vec<&str> = outcome.rules.iter().map(|rule| rule.id.as_str()).collect();
        let by = if by.is_empty() {
            "no rule".to_owned()
        } else {
            by.join(" and ")
        };
        if !outcome.as_expected {
            failed += 1;
            let rule = case
                .rule
                .as_ref()
                .map_or_else(String::new, |rule| format!(" by {rule}"));
            output.say(format_args!(
                "{file}: case {}{}: {} for {}: expected {}{rule}, found {} by {by}",
                case.place,
                if case.name.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", case.name)
                },
                case.column.name(),
                case.question.purpose,
                case.expected.as_str(),
                outcome.found.as_str(),
            ));
        }
        objects.push(json!({
            "case": case.place,
            "name": case.name,
            "field": case.column.name(),
            "purpose": case.question.purpose,
            "expected": case.expected.as_str(),
            "found": outcome.found.as_str(),
            "rules": rules(&outcome.rules),
            "ok": outcome.as_expected,
        }));
    }
    output.say(format_args!(
        "{} of {} cases came out as expected of {name}.",
        held.len() - failed,
        held.len()
    ));
    let mut object = json!({
        "ok": failed == 0,
        "policy": name,
        "sha256": hex::encode(policy.digest()),
        "cases": objects,
        "failed": failed,
    });
    if failed == 0 {
        output.object(&object);
        return Ok(());
    }
    let error = CliError::failed(
        "POLICY_CASES_FAILED",
        format!("{failed} cases came out otherwise than expected"),
    );
    object["error"] = error.to_json();
    output.object(&object);
    Err(error.told())
}

async fn status(context: &Context) -> Result<(), CliError> {
    let channel = operator_client(&context.directory.socket()).await?;
    let policy = PolicyServiceClient::new(channel)
        .get_policy(GetPolicyRequest {})
        .await?
        .into_inner();
    let output = context.output;
    output.say(format_args!(
        "The node follows the policy with SHA-256 {}.",
        policy.sha256
    ));
    let refused = (!policy.refused_code.is_empty()).then(|| {
        output.say(format_args!(
            "A newer one was refused ({}): {}",
            policy.refused_code, policy.refused_why
        ));
        json!({"code": policy.refused_code, "message": policy.refused_why})
    });
    output.object(&json!({
        "ok": refused.is_none(),
        "sha256": policy.sha256,
        "policy": policy.text,
        "refused": refused,
    }));
    match refused {
        None => Ok(()),
        Some(_) => Err(CliError::failed(
            "POLICY_REFUSED",
            "the node follows an older policy than the file: mend it, `wayhome policy check` says where",
        )
        .told()),
    }
}

/// The fields that can be asked for.
fn known_fields() -> String {
    let names: Vec<&str> = FIELDS
        .iter()
        .filter(|field| field.disclosable)
        .map(|field| field.name)
        .collect();
    format!("write {}", names.join(", "))
}

fn rules(rules: &[Rule]) -> Vec<Value> {
    rules
        .iter()
        .map(|rule| json!({"id": rule.id, "says": rule.says}))
        .collect()
}
