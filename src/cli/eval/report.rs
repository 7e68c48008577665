//! The figures, for machines and for people.

use serde_json::{Map, Value, json};

use super::groups::GroupFigures;
use super::linkage::Figures;
use super::measure::{KindFigures, Score, TagFigures, ratio, wilson};
use crate::cli::Output;

/// Prints the figures.
pub fn print(output: Output, figures: &Figures) {
    let peak = peak_rss_mib();
    output.object(&object(figures, peak));
    for line in lines(figures, peak) {
        output.say(line);
    }
}

/// The one object for machines. Its shape is stable; keys may be added.
pub fn object(figures: &Figures, peak_rss_mib: Option<f64>) -> Value {
    let [in_a, in_b] = figures.records;
    let pairs = in_a * in_b;
    let step_up = figures.step_up;
    let mut object = json!({
        "ok": true,
        "match": score(figures.at_match),
        "match_or_possible": score(figures.at_possible),
        "one_to_one": score(figures.one_to_one),
        "best": best(figures.best),
        "by_tag": figures.by_tag.iter().map(tag).collect::<Vec<_>>(),
        "tokens_per_record": mean_and_max(figures.tokens),
        "sibling_tokens_per_record": mean_and_max(figures.sibling_tokens),
        "seconds": figures.total_ms as f64 / 1000.0,
        "peak_rss_mib": peak_rss_mib.map(round),
        "unreadable": figures.unreadable.iter().sum::<u64>(),
        "unreadable_by_register": by_register(figures.unreadable),
        "rejected": by_register(figures.rejected),
        "not_searchable": by_register(figures.not_searchable),
        "records": by_register(figures.records),
        "floor_waived": figures.floor_waived,
        "candidate_pairs": {
            "all": pairs,
            "compared": figures.candidates,
            "true": figures.true_candidates,
            "reduction": round(1.0 - ratio(figures.candidates, pairs)),
        },
        "step_up": {
            "mother": step_up.mother,
            "document": step_up.document,
            "place": step_up.place,
            "sibling": step_up.sibling,
        },
        "seconds_by_stage": figures
            .stages_ms
            .iter()
            .map(|(stage, ms)| ((*stage).to_owned(), json!(*ms as f64 / 1000.0)))
            .collect::<Map<_, _>>(),
    });
    object["match"]["expected_wrong"] = json!(round(figures.expected_wrong));
    if let Some(kinds) = &figures.false_by_kind {
        object["false_by_kind"] = kinds.iter().map(kind).collect();
    }
    if let Some(found) = &figures.groups {
        object["groups"] = groups(found);
    }
    object
}

fn score(score: Score) -> Value {
    json!({
        "precision": round(score.precision()),
        "recall": round(score.recall()),
        "f1": round(score.f1()),
        "right": score.right,
        "wrong": score.wrong,
        "truth": score.truth,
    })
}

fn best((threshold, best): (f64, Score)) -> Value {
    let mut object = score(best);
    object["threshold"] = json!(round(threshold));
    object
}

fn tag(figures: &TagFigures) -> Value {
    let (matched, possible) = (
        wilson(figures.at_match, figures.pairs),
        wilson(figures.at_possible, figures.pairs),
    );
    json!({
        "tag": figures.tag,
        "pairs": figures.pairs,
        "recall_match": round(ratio(figures.at_match, figures.pairs)),
        "recall_match_or_possible": round(ratio(figures.at_possible, figures.pairs)),
        "recall_match_95": [round(matched.0), round(matched.1)],
        "recall_match_or_possible_95": [round(possible.0), round(possible.1)],
    })
}

fn kind(figures: &KindFigures) -> Value {
    json!({
        "kind": figures.kind,
        "asked": figures.asked,
        "at_match": figures.at_match,
        "at_possible": figures.at_possible,
    })
}

fn groups(figures: &GroupFigures) -> Value {
    json!({
        "asked": figures.asked,
        "held": figures.held,
        "found": figures.found,
        "found_by_siblings": figures.found_by_siblings,
        "wrong": figures.wrong,
        "wrong_by_records": figures.wrong_by_records,
        "by_size": figures.by_size.iter().map(|sized| json!({
            "size": sized.size,
            "held": sized.held,
            "found": sized.found,
            "found_by_siblings": sized.found_by_siblings,
        })).collect::<Vec<_>>(),
    })
}

fn mean_and_max((mean, max): (f64, usize)) -> Value {
    json!({"mean": round(mean), "max": max})
}

fn by_register<T: Copy + Into<Value>>([a, b]: [T; 2]) -> Value {
    json!({"a": a.into(), "b": b.into()})
}

/// Six digits are more than any of the figures is good for.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// The figures in words and tables.
fn lines(figures: &Figures, peak_rss_mib: Option<f64>) -> Vec<String> {
    let [in_a, in_b] = figures.records;
    let mut lines = vec![format!(
        "A (the holder) has {in_a} records, B (who asks) {in_b}; {} are the same child.",
        figures.at_match.truth
    )];
    if figures.floor_waived {
        lines.push("RULES UNDER THE ENTROPY FLOOR WERE TAKEN: no node works like this.".to_owned());
    }
    for (count, what) in [
        (
            figures.unreadable,
            "values that cannot be read count as missing (of an impossible date, what is impossible)",
        ),
        (figures.rejected, "rows cannot be taken and are left out"),
        (
            figures.not_searchable.map(|count| count as u64),
            "records have too few attributes for any rule (not searchable)",
        ),
    ] {
        if count.iter().sum::<u64>() > 0 {
            lines.push(format!("{} of A and {} of B: {what}.", count[0], count[1]));
        }
    }
    lines.push(String::new());
    lines.push("                              precision  recall      F1   right  wrong".to_owned());
    let (threshold, best) = figures.best;
    for (name, score) in [
        ("MATCH", figures.at_match),
        ("MATCH or POSSIBLE", figures.at_possible),
        ("one-to-one, MATCH", figures.one_to_one),
        (&format!("one-to-one, weight >= {threshold:.1}"), best),
    ] {
        lines.push(format!(
            "{name:<30} {:>8.4} {:>7.4} {:>7.4} {:>7} {:>6}",
            score.precision(),
            score.recall(),
            score.f1(),
            score.right,
            score.wrong
        ));
    }
    lines.push(format!(
        "By the weights alone {:.2} % of the answers at MATCH are expected to be wrong.",
        100.0 * figures.expected_wrong
    ));
    tag_lines(&mut lines, figures);
    kind_lines(&mut lines, figures);
    group_lines(&mut lines, figures);
    lines.push(String::new());
    lines.push(format!(
        "{} of {} pairs share a token (reduction {:.6}); {} of the {} true pairs do.",
        figures.candidates,
        in_a * in_b,
        1.0 - ratio(figures.candidates, in_a * in_b),
        figures.true_candidates,
        figures.at_match.truth
    ));
    let step_up = figures.step_up;
    lines.push(format!(
        "Would decide a possible one: mother {}, document {}, place {}, sibling {}.",
        step_up.mother, step_up.document, step_up.place, step_up.sibling
    ));
    let (mean, max) = figures.tokens;
    let (sibling_mean, sibling_max) = figures.sibling_tokens;
    lines.push(format!(
        "Tokens of a record: {mean:.2} on average, {max} at most; with siblings {sibling_mean:.2} \
         and {sibling_max} more."
    ));
    let stages: Vec<String> = figures
        .stages_ms
        .iter()
        .map(|(stage, ms)| format!("{stage} {:.1}", *ms as f64 / 1000.0))
        .collect();
    let peak = peak_rss_mib.map_or_else(String::new, |mib| format!("; peak memory {mib:.0} MiB"));
    lines.push(format!(
        "{:.1} seconds ({}){peak}.",
        figures.total_ms as f64 / 1000.0,
        stages.join(", ")
    ));
    lines
}

fn tag_lines(lines: &mut Vec<String>, figures: &Figures) {
    if figures.by_tag.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(format!(
        "{:<30} {:>6}  {:<21}  recall at MATCH or POSSIBLE",
        "alteration", "pairs", "recall at MATCH"
    ));
    for tag in &figures.by_tag {
        let recall = |part: usize| {
            let (low, high) = wilson(part, tag.pairs);
            format!("{:.3} ({low:.3} to {high:.3})", ratio(part, tag.pairs))
        };
        lines.push(format!(
            "{:<30} {:>6}  {}  {}",
            tag.tag,
            tag.pairs,
            recall(tag.at_match),
            recall(tag.at_possible)
        ));
    }
    lines.push("In brackets: the 95 % interval (Wilson).".to_owned());
}

fn kind_lines(lines: &mut Vec<String>, figures: &Figures) {
    let Some(kinds) = &figures.false_by_kind else {
        return;
    };
    lines.push(String::new());
    lines.push(format!(
        "{:<30} {:>6}  answered with a wrong record: MATCH, MATCH or POSSIBLE",
        "records asked about", "asked"
    ));
    for kind in kinds {
        lines.push(format!(
            "{:<30} {:>6}  {:>35}, {:>17}",
            kind.kind, kind.asked, kind.at_match, kind.at_possible
        ));
    }
}

fn group_lines(lines: &mut Vec<String>, figures: &Figures) {
    let Some(groups) = &figures.groups else {
        return;
    };
    lines.push(String::new());
    lines.push(format!(
        "Of {} families asked about, {} are held and {} of those found, {} by their siblings. For \
         {} another family is answered because of siblings, for {} because of a record.",
        groups.asked,
        groups.held,
        groups.found,
        groups.found_by_siblings,
        groups.wrong,
        groups.wrong_by_records
    ));
    for sized in &groups.by_size {
        lines.push(format!(
            "    of {} children: {} of {} found ({:.3}), {} by their siblings ({:.3})",
            sized.size,
            sized.found,
            sized.held,
            ratio(sized.found, sized.held),
            sized.found_by_siblings,
            ratio(sized.found_by_siblings, sized.held)
        ));
    }
}

/// The most memory that the process ever held, where the system tells it.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
