//! `wayhome disclose`: asks a member for fields behind a lead.

use std::collections::BTreeMap;

use serde_json::json;

use super::{CliError, Context};
use crate::node::operator_client;
use crate::proto::operator::DiscloseRequest;
use crate::proto::operator::disclosure_service_client::DisclosureServiceClient;
use crate::roster::{LegalBasis, Purpose};

/// Arguments of `wayhome disclose`.
#[derive(clap::Args)]
pub struct Args {
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
    #[arg(long, value_name = "REF", default_value = "")]
    case: String,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let channel = operator_client(&context.directory.socket()).await?;
    let answer = DisclosureServiceClient::new(channel)
        .disclose(DiscloseRequest {
            lead: args.lead,
            fields: args.fields,
            purpose: args.purpose.to_string(),
            legal_basis: args.legal_basis.to_string(),
            case_reference: args.case,
            justification: args.justification,
        })
        .await?
        .into_inner();
    let granted: BTreeMap<_, _> = answer.granted.iter().collect();
    for (name, value) in &granted {
        context.output.say(format_args!("{name}: {value}"));
    }
    for name in &answer.withheld {
        context.output.say(format_args!("{name}: withheld"));
    }
    context.output.say(format_args!(
        "Keep none of it after {}. The holder recorded this as leaf {} of its log.",
        answer.retain_until, answer.holder_leaf_index
    ));
    context.output.object(&json!({
        "ok": true,
        "granted": granted,
        "withheld": answer.withheld,
        "retain_until": answer.retain_until,
        "holder_leaf_index": answer.holder_leaf_index,
    }));
    Ok(())
}
