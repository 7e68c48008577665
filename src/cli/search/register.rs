//! `wayhome search --register`: looks the whole register up at the other members.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{Args, lead_object, say_result};
use crate::cli::progress::bar;
use crate::cli::{CliError, Context};
use crate::node::MAX_OPERATOR_MESSAGE;
use crate::proto::operator::register_search_service_client::RegisterSearchServiceClient;
use crate::proto::operator::{FoundRecord, SearchRegisterRequest, SearchRegisterResponse};

/// What one member has come to.
#[derive(Default)]
struct AtMember {
    last: SearchRegisterResponse,
    found: Vec<FoundRecord>,
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let began = context.ambient.monotonic_ns();
    let channel = context.operator().await?;
    let mut told = RegisterSearchServiceClient::new(channel)
        .max_decoding_message_size(MAX_OPERATOR_MESSAGE)
        .search_register(SearchRegisterRequest {
            purpose: args.purpose.to_string(),
            legal_basis: args.legal_basis.to_string(),
            case_reference: args.case,
            members: args.members,
            again: args.again,
        })
        .await?
        .into_inner();
    let mut members: BTreeMap<String, AtMember> = BTreeMap::new();
    let bar = bar(context.output, 0, "looking up");
    while let Some(mut told) = told.message().await? {
        let member = members.entry(told.member.clone()).or_default();
        for found in &told.found {
            bar.suspend(|| {
                if let Some(result) = &found.result {
                    say_result(context, &told.member, &found.record_ref, result);
                }
            });
        }
        member.found.append(&mut told.found);
        member.last = told;
        show(&bar, &members);
    }
    bar.finish_and_clear();
    let seconds = (context.ambient.monotonic_ns() - began) as f64 / 1e9;
    report(context, &members, seconds)
}

fn show(bar: &ProgressBar, members: &BTreeMap<String, AtMember>) {
    bar.set_length(members.values().map(|member| member.last.total).sum());
    bar.set_position(members.values().map(|member| member.last.done).sum());
}

fn report(
    context: &Context,
    members: &BTreeMap<String, AtMember>,
    seconds: f64,
) -> Result<(), CliError> {
    let output = context.output;
    for (name, member) in members {
        let last = &member.last;
        output.say(format_args!(
            "{name}: {} of {} records asked about, {} found, {} unchanged since they were asked \
             about{}",
            last.done,
            last.total,
            member.found.len(),
            last.unchanged,
            if last.waiting > 0 {
                format!(
                    ", {} without tokens yet (see `wayhome records publish`)",
                    last.waiting
                )
            } else {
                String::new()
            }
        ));
        if !last.error_code.is_empty() {
            output.say(format_args!(
                "{name}: broken off ({}): {}; search again to go on from there",
                last.error_code, last.error_message
            ));
        }
    }
    let broken = members
        .values()
        .filter(|member| !member.last.error_code.is_empty() || !member.last.finished)
        .count();
    let object = |error: Option<Value>| {
        json!({
            "ok": broken == 0,
            "error": error,
            "members": members.iter().map(|(name, member)| object(name, member)).collect::<Vec<_>>(),
            "seconds": seconds,
        })
    };
    if broken == 0 {
        output.object(&object(None));
        return Ok(());
    }
    let error = CliError::failed(
        "SOME_MEMBERS_SILENT",
        format!(
            "{broken} members did not answer for the whole register; what they answered stands"
        ),
    );
    output.object(&object(Some(error.to_json())));
    Err(error.told())
}

fn object(name: &str, member: &AtMember) -> Value {
    let last = &member.last;
    let found: Vec<Value> = member
        .found
        .iter()
        .filter_map(|found| {
            let result = found.result.as_ref()?;
            Some(lead_object(&found.record_ref, result))
        })
        .collect();
    json!({
        "member": name,
        "asked": last.done,
        "to_ask": last.total,
        "unchanged": last.unchanged,
        "waiting": last.waiting,
        "found": found,
        "error": (!last.error_code.is_empty()).then(|| json!({
            "code": last.error_code,
            "message": last.error_message,
        })),
        "bytes_sent": last.bytes_sent,
        "bytes_received": last.bytes_received,
    })
}
