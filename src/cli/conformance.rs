//! `wayhome conformance`: whether a live node, of anyone's making, keeps the protocol.
//!
//! It asks as a member does, with real signatures over a real connection, and makes no use of anything
//! but docs/protocol.md: what is asked is wrong in one respect at a time, and the refusal has to name
//! it. The node's log will show the questions, and nobody's log the asking: it belongs into a coalition
//! on trial.

mod probe;
mod right;
mod wrong;

use std::sync::Arc;

use serde_json::json;

use self::probe::Probe;
use super::{CliError, Context};
use crate::node::{Config, Identity, PinnedPeers};
use crate::roster::{Address, Member, MemberId, TrustedRoster};

/// Arguments of `wayhome conformance`.
#[derive(clap::Args)]
pub struct Args {
    /// Where the node listens, as HOST:PORT.
    endpoint: Address,
    /// Whose node it is; if not given, the party whose address in the roster it is.
    #[arg(long, value_name = "ID")]
    member: Option<MemberId>,
}

/// What one check came to.
pub(super) struct Finding {
    /// Its name, for machines.
    check: &'static str,
    /// What the node promises.
    promise: &'static str,
    outcome: Outcome,
}

/// Whether a promise is kept.
pub(super) enum Outcome {
    /// It is.
    Kept,
    /// It is not: what was seen.
    Broken(String),
    /// It could not be tried: why.
    LeftOut(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Broken, |()| Self::Kept)
    }
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken(_) => "broken",
            Self::LeftOut(_) => "left_out",
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Kept => None,
            Self::Broken(why) | Self::LeftOut(why) => Some(why),
        }
    }
}

/// All checks, in their order.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    fn note(&mut self, check: &'static str, promise: &'static str, outcome: impl Into<Outcome>) {
        self.0.push(Finding {
            check,
            promise,
            outcome: outcome.into(),
        });
    }

    fn count(&self, word: &str) -> usize {
        let of_it = |finding: &&Finding| finding.outcome.word() == word;
        self.0.iter().filter(of_it).count()
    }
}

pub async fn run(context: &Context, args: Args) -> Result<(), CliError> {
    let directory = &context.directory;
    let config = Config::load(directory)?;
    let now = context.ambient.now();
    let trust = super::roster::trust::with_roster(context)?;
    let roster = Arc::clone(trust.roster_in_force(now)?);
    let holder = whose(&roster, &args)?;
    let own = roster.active(config.member.as_str(), now).map_err(|why| {
        CliError::input(
            "NOT_IN_ROSTER",
            format!("this directory's party cannot ask: {why}"),
        )
    })?;
    let identity = Arc::new(Identity::load(directory)?.in_use(directory, Some(own), now)?);
    let peers = PinnedPeers::configured(Arc::clone(&identity), &config, context.ambient.clone());
    peers.set_routes([(holder.id.clone(), vec![args.endpoint.clone()])].into());
    let probe = Probe::open(context, &config.member, &identity, &roster, holder, &peers).await?;

    let mut findings = Findings::default();
    if let Some(first) = right::lookups(&probe, &mut findings).await {
        right::log(&probe, &mut findings, &first).await;
        wrong::messages(&probe, &mut findings, &first.query).await;
        wrong::calls(&probe, &mut findings).await;
        right::rosters(&probe, &mut findings).await;
    }
    report(context, &args, holder, &findings)
}

/// The party whose node is at the endpoint.
fn whose<'a>(roster: &'a TrustedRoster, args: &Args) -> Result<&'a Member, CliError> {
    let members = &roster.roster().members;
    let found = match &args.member {
        Some(id) => roster.member(id.as_str()),
        None => members
            .iter()
            .find(|member| member.addresses.contains(&args.endpoint)),
    };
    found.ok_or_else(|| {
        let who = args.member.as_ref().map_or_else(
            || format!("no party of the roster has the address {}", args.endpoint),
            |id| format!("the roster has no party called {id}"),
        );
        let listed: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        CliError::input(
            "PARTY_UNKNOWN",
            format!(
                "{who}: name one of {} with --member: its keys in the roster are what the node is held to",
                listed.join(", ")
            ),
        )
    })
}

fn report(
    context: &Context,
    args: &Args,
    holder: &Member,
    findings: &Findings,
) -> Result<(), CliError> {
    let output = context.output;
    for finding in &findings.0 {
        let (check, promise) = (finding.check, finding.promise);
        match &finding.outcome {
            Outcome::Kept => output.say(format_args!("kept      {check}: {promise}")),
            Outcome::Broken(why) => {
                output.say(format_args!("BROKEN    {check}: {promise}. {why}"));
            }
            Outcome::LeftOut(why) => {
                output.say(format_args!("left out  {check}: {promise}. {why}"));
            }
        }
    }
    let (kept, broken) = (findings.count("kept"), findings.count("broken"));
    let ok = broken == 0;
    output.say(format_args!(
        "{} at {}: {kept} promises kept, {broken} broken, {} left out.",
        holder.title(),
        args.endpoint,
        findings.count("left_out"),
    ));
    let checks: Vec<_> = findings
        .0
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check,
                "promise": finding.promise,
                "outcome": finding.outcome.word(),
                "why": finding.outcome.why(),
            })
        })
        .collect();
    output.object(&json!({
        "ok": ok,
        "member": holder.id.as_str(),
        "endpoint": args.endpoint.as_str(),
        "kept": kept,
        "broken": broken,
        "left_out": findings.count("left_out"),
        "checks": checks,
    }));
    if ok {
        return Ok(());
    }
    let message = format!(
        "the node breaks {broken} promises of the protocol: docs/protocol.md says what each should be"
    );
    Err(CliError::failed("NOT_CONFORMING", message).told())
}
