//! `wayhome eval linkage`: match quality between two registers whose true pairs are known.

use std::path::PathBuf;
use std::sync::Arc;

use super::groups::{self, GroupFigures};
use super::lookup::Holder;
use super::measure::{self, Assignment, KindFigures, Score, StepUp, TagFigures};
use super::register::Register;
use super::rules::Table;
use super::tokens::{self, Keys};
use super::truth::{self, Truth};
use super::{RegisterArgs, pairs, report};
use crate::cli::progress::bar;
use crate::cli::{CliError, Context};
use crate::linkage::{Grade, Presence, RuleTable};
use crate::oprf::LocalKey;

/// Arguments of `wayhome eval linkage`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    registers: RegisterArgs,
    /// The true pairs: CSV with the columns a_ref, b_ref and perhaps tags, separated by `;`.
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// What kind each record of B is of: CSV with the columns b_ref and kind.
    #[arg(long, value_name = "FILE")]
    negatives: Option<PathBuf>,
    /// The true families: CSV with the columns a_family_ref and b_family_ref. Without it, those
    /// that a true pair joins.
    #[arg(long, value_name = "FILE")]
    groups_truth: Option<PathBuf>,
    /// Where to write the true pairs that are no match: references, weights and rules alone.
    #[arg(long, value_name = "FILE")]
    missed: Option<PathBuf>,
    /// Where to write the wrong answers.
    #[arg(long = "false", value_name = "FILE")]
    wrong: Option<PathBuf>,
    /// Take rules under the entropy floor as well, to see what the floor costs. No node takes them.
    #[arg(long)]
    floor_waived: bool,
}

/// Everything that is reported.
pub struct Figures {
    /// Records of A and of B.
    pub records: [usize; 2],
    /// Values of A and of B that could not be read.
    pub unreadable: [u64; 2],
    /// Rows of A and of B that could not be taken.
    pub rejected: [u64; 2],
    /// Records of A and of B with too few attributes for any rule.
    pub not_searchable: [usize; 2],
    /// Whether rules under the entropy floor were taken.
    pub floor_waived: bool,
    /// Many-to-many, the pairs answered as a match.
    pub at_match: Score,
    /// Share of wrong ones among those that the weights lead one to expect.
    pub expected_wrong: f64,
    /// Many-to-many, the pairs answered as a match or possible.
    pub at_possible: Score,
    /// Greedy one-to-one, of the matches.
    pub one_to_one: Score,
    /// One-to-one at the threshold that serves F1 best.
    pub best: (f64, Score),
    /// By alteration.
    pub by_tag: Vec<TagFigures>,
    /// Wrong answers by the kind of record, where the kinds are known.
    pub false_by_kind: Option<Vec<KindFigures>>,
    /// Families, where both registers have them.
    pub groups: Option<GroupFigures>,
    /// Pairs that share a token.
    pub candidates: usize,
    /// True pairs among them.
    pub true_candidates: usize,
    /// Which attributes would decide.
    pub step_up: StepUp,
    /// Tokens of a record: mean and most.
    pub tokens: (f64, usize),
    /// The same for tokens that it shares with siblings.
    pub sibling_tokens: (f64, usize),
    /// Time of the whole, in milliseconds.
    pub total_ms: u64,
    /// Time of each stage, in milliseconds.
    pub stages_ms: Vec<(&'static str, u64)>,
}

pub async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let figures = measure(context, args).await?;
    report::print(context.output, &figures);
    Ok(())
}

/// Runs the whole pipeline and holds its answers against the truth.
pub async fn measure(context: &Context, args: &Args) -> Result<Figures, CliError> {
    let mut watch = Watch::start(context);
    let table = Table::read(args.registers.rules.as_deref(), args.floor_waived)?;
    let rules = Arc::new(table.rules);
    let (a, b) = args.registers.read(context.output)?;
    let truth = Truth::read(&args.truth, &a, &b)?;
    let kinds = match &args.negatives {
        Some(path) => Some(truth::kinds(path, &b)?),
        None => None,
    };
    let true_groups = groups::true_groups(args.groups_truth.as_deref(), &truth, &a, &b)?;
    watch.note("read");

    let keys = [&a, &b].map(|register| tokens::derive(&rules, register));
    watch.note("keys");
    let found = ask(context, &rules, [&a, &b], &keys, &mut watch).await?;

    let found = measure::pairs(found, &truth);
    let assignment = Assignment::greedy(&found, &truth);
    let masks: [Vec<Presence>; 2] = keys
        .each_ref()
        .map(|keys| keys.iter().map(|keys| keys.presence).collect());
    let of_both = [masks[0].as_slice(), masks[1].as_slice()];
    if let Some(path) = &args.missed {
        pairs::write_missed(path, &found, &truth, of_both)?;
    }
    if let Some(path) = &args.wrong {
        pairs::write_false(path, &found, [&a, &b], kinds.as_deref(), of_both)?;
    }
    Ok(Figures {
        records: [a.records.len(), b.records.len()],
        unreadable: [a.unreadable, b.unreadable],
        rejected: [a.rejected, b.rejected],
        not_searchable: keys
            .each_ref()
            .map(|keys| keys.iter().filter(|keys| keys.own == 0).count()),
        floor_waived: args.floor_waived,
        at_match: measure::many_to_many(&found, &truth, Grade::Match),
        expected_wrong: measure::expected_wrong(&found),
        at_possible: measure::many_to_many(&found, &truth, Grade::Possible),
        one_to_one: assignment.at_match(),
        best: assignment.best(),
        by_tag: measure::by_tag(&found, &truth),
        false_by_kind: kinds
            .as_deref()
            .map(|kinds| measure::false_by_kind(&found, kinds)),
        groups: groups::figures(&found, &true_groups, &a, &b),
        candidates: found.len(),
        true_candidates: found.iter().filter(|pair| pair.truth.is_some()).count(),
        step_up: measure::step_up(&found, &masks[1]),
        tokens: mean_and_most(&keys, |keys| keys.own),
        sibling_tokens: mean_and_most(&keys, Keys::with_siblings),
        total_ms: watch.total_ms(),
        stages_ms: watch.stages,
    })
}

/// From keys to candidates, on both sides.
async fn ask(
    context: &Context,
    rules: &Arc<RuleTable>,
    [a, b]: [&Register; 2],
    keys: &[Vec<Keys>; 2],
    watch: &mut Watch<'_>,
) -> Result<Vec<Vec<crate::exchange::lookup::Candidate>>, CliError> {
    let ambient = &context.ambient;
    let key = LocalKey::generate(&mut ambient.rng());
    let making = bar(context.output, 0, "making tokens");
    let [of_a, of_b] = tokens::evaluate(&key, [&keys[0], &keys[1]], &making)?;
    making.finish_and_clear();
    watch.note("tokens");
    let holder = Holder::fill(ambient, a, &of_a).await?;
    drop(of_a);
    watch.note("index");
    let asking = bar(context.output, b.records.len() as u64, "asking");
    let found = holder.ask(ambient, rules, b, &of_b, &asking).await;
    asking.finish_and_clear();
    holder.close().await;
    watch.note("lookups");
    found
}

fn mean_and_most(keys: &[Vec<Keys>; 2], count: impl Fn(&Keys) -> usize) -> (f64, usize) {
    let counts: Vec<usize> = keys.iter().flatten().map(count).collect();
    let most = counts.iter().copied().max().unwrap_or_default();
    (measure::ratio(counts.iter().sum(), counts.len()), most)
}

/// How long each stage takes.
struct Watch<'c> {
    context: &'c Context,
    start: u64,
    last: u64,
    stages: Vec<(&'static str, u64)>,
}

impl<'c> Watch<'c> {
    fn start(context: &'c Context) -> Self {
        let now = context.ambient.now_ms();
        Self {
            context,
            start: now,
            last: now,
            stages: Vec::new(),
        }
    }

    fn note(&mut self, stage: &'static str) {
        let now = self.context.ambient.now_ms();
        self.stages.push((stage, now - self.last));
        self.last = now;
    }

    fn total_ms(&self) -> u64 {
        self.context.ambient.now_ms() - self.start
    }
}
