//! `wayhome audit blinds`: what members had evaluated, shown by elements drawn at random.

use serde_json::{Value, json};

use super::bars::Bars;
use super::office::Office;
use super::read::{log_object, say_log};
use super::{list, verdict};
use crate::audit::blinds::{BlindReport, Drawn, MOST_DRAWN, Trace, spot_check};
use crate::cli::CliError;
use crate::linkage::RuleTable;
use crate::roster::{Member, MemberId, Timestamp};

/// Arguments of `wayhome audit blinds`.
#[derive(clap::Args)]
pub struct Args {
    /// The members; all in your scope if none is named.
    members: Vec<MemberId>,
    /// How many elements are drawn of each member's evaluations. A node opens 100 a day.
    #[arg(long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=MOST_DRAWN))]
    draw: u64,
}

/// Draws elements of what members had evaluated, and says what each was for.
pub async fn run(office: &Office<'_>, args: Args) -> Result<(), CliError> {
    let rules = RuleTable::shipped().map_err(|error| CliError::failed("RULES", error))?;
    let output = office.context.output;
    let (mut told, mut findings, mut unshown) = (Vec::new(), 0, 0);
    for member in office.members(&args.members)? {
        let last = office.last(member)?;
        let bars = Bars::new(office.context, member);
        let report = spot_check(
            &office.auditor,
            rules,
            member,
            args.draw,
            office.reading(last.as_ref(), false),
            &|what, done, of| bars.step(what, done, of),
        )
        .await;
        bars.clear();
        office.remember(&report.verification)?;
        say(office, member, &report);
        findings += report.verification.findings.len();
        unshown += to_look_into(&report).count();
        told.push(object(&report));
    }
    output.object(&json!({
        "ok": findings == 0,
        "members": told,
        "to_look_into": unshown,
        "findings": findings,
    }));
    verdict(findings)
}

/// The elements for which it was not shown what they were for.
fn to_look_into(report: &BlindReport) -> impl Iterator<Item = &Drawn> {
    report.drawn.iter().filter(|drawn| !drawn.trace.is_shown())
}

fn say(office: &Office<'_>, member: &Member, report: &BlindReport) {
    let output = office.context.output;
    output.say(format_args!(
        "{}: other keyholders evaluated {} elements, each counted at each of them; {} were drawn, and of {} it was shown what they were for.",
        member.title(),
        report.evaluated,
        report.drawn.len(),
        report.drawn.len() - to_look_into(report).count(),
    ));
    for drawn in to_look_into(report) {
        output.say(format_args!(
            "  To look into there: element {} of the batch at leaf {}, asked of {} at {}: {}",
            drawn.position,
            drawn.leaf_index,
            drawn.keyholder,
            Timestamp::from_unix(drawn.time_ms / 1000),
            words(&drawn.trace),
        ));
    }
    say_log(output, member, &report.verification);
}

fn words(trace: &Trace) -> String {
    match trace {
        Trace::Indexed { record_ref, mark } => {
            format!("it is of record {record_ref}, in the index of leaf {mark}.")
        }
        Trace::Unindexed { record_ref } => format!(
            "the member says that it is of record {record_ref}, which is not in its index: see whether the record is silent, without ground, or not published yet."
        ),
        Trace::Asked {
            leaf_index, holder, ..
        } => format!("it was asked about at {holder}, by leaf {leaf_index}."),
        Trace::Unasked => "it was made for a search, and no query to anybody carries it: ask what it was used for.".to_owned(),
        Trace::Gone => "the member says that its record was erased or changed since: ask for the papers.".to_owned(),
        Trace::Forgotten => "it was made for a search of more than 90 days ago: ask for the case.".to_owned(),
        Trace::Unreadable => {
            "the member cannot open it, as after a restore from a backup: ask for the papers.".to_owned()
        }
        Trace::Untraceable { why } => format!("it was opened, and cannot be traced: {why}"),
        Trace::Fault => "it was not opened, or not soundly: see below.".to_owned(),
    }
}

/// The keys that were opened are shown to nobody: what they were for is what counts.
fn object(report: &BlindReport) -> Value {
    json!({
        "member": report.member,
        "evaluated": report.evaluated,
        "drawn": list(&report.drawn, |drawn| {
            let mut object = json!({
                "leaf_index": drawn.leaf_index,
                "position": drawn.position,
                "keyholder": drawn.keyholder,
                "time_ms": drawn.time_ms,
                "rule": drawn.rule.map(|rule| rule.0),
                "trace": drawn.trace.name(),
            });
            match &drawn.trace {
                Trace::Indexed { record_ref, mark } => {
                    object["record_ref"] = json!(record_ref);
                    object["mark"] = json!(mark);
                }
                Trace::Unindexed { record_ref } => object["record_ref"] = json!(record_ref),
                Trace::Asked { leaf_index, holder, case_reference } => {
                    object["asked_at"] = json!(leaf_index);
                    object["holder"] = json!(holder);
                    object["case_reference"] = json!(case_reference);
                }
                Trace::Untraceable { why } => object["why"] = json!(why),
                _ => {}
            }
            object
        }),
        "log": log_object(&report.verification),
    })
}
