//! What the answers are worth, held against the truth.

use std::collections::{BTreeMap, HashSet};

use super::truth::Truth;
use crate::exchange::lookup::{Candidate, LEADS};
use crate::linkage::{AttributeClass, Grade, Presence, decide};

/// A pair of records that share a token, with what became of it.
pub struct Pair {
    /// Position in A.
    pub a: usize,
    /// Position in B.
    pub b: usize,
    /// What the holder made of it.
    pub candidate: Candidate,
    /// Whether it is among the leads that the asking side is given.
    pub answered: bool,
    /// Which pair of the truth it is, if any.
    pub truth: Option<usize>,
}

impl Pair {
    /// Whether the asking side is told of it at this grade or a better one.
    pub fn at_least(&self, grade: Grade) -> bool {
        self.answered && self.candidate.decision.grade >= grade
    }
}

/// Lays out all candidates of all subjects as pairs.
pub fn pairs(found: Vec<Vec<Candidate>>, truth: &Truth) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (b, candidates) in found.into_iter().enumerate() {
        for (rank, candidate) in candidates.into_iter().enumerate() {
            let a = candidate.record_id as usize - 1;
            pairs.push(Pair {
                a,
                b,
                answered: candidate.decision.grade != Grade::NoMatch && rank < LEADS,
                truth: truth.by_position.get(&(a, b)).copied(),
                candidate,
            });
        }
    }
    pairs
}

/// Right and wrong answers against all that was to be found.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Score {
    /// Answers that are right.
    pub right: usize,
    /// Answers that are wrong.
    pub wrong: usize,
    /// True pairs in all.
    pub truth: usize,
}

impl Score {
    /// The part of the answers that is right; 0 where there are none.
    pub fn precision(&self) -> f64 {
        ratio(self.right, self.right + self.wrong)
    }

    /// The part of the true pairs that was found.
    pub fn recall(&self) -> f64 {
        ratio(self.right, self.truth)
    }

    /// The harmonic mean of the two.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.right, self.right + self.wrong + self.truth)
    }
}

/// `part / whole`; 0 where there is no whole.
pub fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The score of all pairs answered with at least `grade`, many-to-many.
pub fn many_to_many(pairs: &[Pair], truth: &Truth, grade: Grade) -> Score {
    let mut score = Score {
        truth: truth.pairs.len(),
        ..Score::default()
    };
    for pair in pairs.iter().filter(|pair| pair.at_least(grade)) {
        match pair.truth {
            Some(_) => score.right += 1,
            None => score.wrong += 1,
        }
    }
    score
}

/// The share of wrong answers among the matches that the weights themselves lead one to expect: each
/// is the logarithm of the odds that it is right. It needs no truth; 0 where nothing matches.
pub fn expected_wrong(pairs: &[Pair]) -> f64 {
    let matches = pairs.iter().filter(|pair| pair.at_least(Grade::Match));
    let doubts: Vec<f64> = matches
        .map(|pair| 1.0 / (1.0 + pair.candidate.decision.weight.exp2()))
        .collect();
    if doubts.is_empty() {
        0.0
    } else {
        doubts.iter().sum::<f64>() / doubts.len() as f64
    }
}

/// A greedy one-to-one assignment: the pair of the greatest weight first, each record once.
pub struct Assignment<'p> {
    chosen: Vec<&'p Pair>,
    truth: usize,
}

impl<'p> Assignment<'p> {
    /// Assigns. Equal weights go by the records' positions, so that a run can be repeated.
    pub fn greedy(pairs: &'p [Pair], truth: &Truth) -> Self {
        let weight = |pair: &Pair| pair.candidate.decision.weight;
        let mut order: Vec<&Pair> = pairs
            .iter()
            .filter(|pair| weight(pair) > f64::NEG_INFINITY)
            .collect();
        order.sort_by(|x, y| {
            weight(y)
                .total_cmp(&weight(x))
                .then((x.a, x.b).cmp(&(y.a, y.b)))
        });
        let (mut taken_a, mut taken_b) = (HashSet::new(), HashSet::new());
        order.retain(|pair| {
            let free = !taken_a.contains(&pair.a) && !taken_b.contains(&pair.b);
            if free {
                taken_a.insert(pair.a);
                taken_b.insert(pair.b);
            }
            free
        });
        Self {
            chosen: order,
            truth: truth.pairs.len(),
        }
    }

    /// Its score, of the pairs that are a match alone.
    pub fn at_match(&self) -> Score {
        let matches = |pair: &&&Pair| pair.candidate.decision.grade == Grade::Match;
        self.score(self.chosen.iter().filter(matches).copied())
    }

    /// The least weight to be taken that serves F1 best, and its score.
    pub fn best(&self) -> (f64, Score) {
        let mut running = self.score([].into_iter());
        let mut best = (0.0, running);
        for (at, pair) in self.chosen.iter().enumerate() {
            match pair.truth {
                Some(_) => running.right += 1,
                None => running.wrong += 1,
            }
            let weight = pair.candidate.decision.weight;
            // A threshold cannot part pairs of one weight.
            let next = self.chosen.get(at + 1);
            let last = next.is_none_or(|next| next.candidate.decision.weight < weight);
            if last && running.f1() > best.1.f1() {
                best = (weight, running);
            }
        }
        best
    }

    fn score<'a>(&self, pairs: impl Iterator<Item = &'a Pair>) -> Score {
        let mut score = Score {
            truth: self.truth,
            ..Score::default()
        };
        for pair in pairs {
            match pair.truth {
                Some(_) => score.right += 1,
                None => score.wrong += 1,
            }
        }
        score
    }
}

/// How well pairs of one alteration were found.
#[derive(Clone, Debug, PartialEq)]
pub struct TagFigures {
    /// The tag.
    pub tag: String,
    /// True pairs that have it.
    pub pairs: usize,
    /// How many of them are answered as a match.
    pub at_match: usize,
    /// How many of them are answered as a match or possible.
    pub at_possible: usize,
}

/// The figures of every tag of the truth.
pub fn by_tag(pairs: &[Pair], truth: &Truth) -> Vec<TagFigures> {
    let mut grades = vec![Grade::NoMatch; truth.pairs.len()];
    for pair in pairs.iter().filter(|pair| pair.answered) {
        if let Some(at) = pair.truth {
            grades[at] = pair.candidate.decision.grade;
        }
    }
    let mut tags: BTreeMap<&str, TagFigures> = BTreeMap::new();
    for (pair, grade) in truth.pairs.iter().zip(grades) {
        let distinct: HashSet<&str> = pair.tags.iter().map(String::as_str).collect();
        for tag in distinct {
            let figures = tags.entry(tag).or_insert_with(|| TagFigures {
                tag: tag.to_owned(),
                pairs: 0,
                at_match: 0,
                at_possible: 0,
            });
            figures.pairs += 1;
            figures.at_match += usize::from(grade == Grade::Match);
            figures.at_possible += usize::from(grade >= Grade::Possible);
        }
    }
    tags.into_values().collect()
}

/// The 95 % score interval of Wilson (1927) for `part` of `whole`.
pub fn wilson(part: usize, whole: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if whole == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (whole as f64, ratio(part, whole));
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    let (low, high) = ((centre - spread) / scale, (centre + spread) / scale);
    (low.max(0.0), high.min(1.0))
}

/// Wrong answers about negatives of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct KindFigures {
    /// The kind.
    pub kind: String,
    /// How many records of the kind were asked about.
    pub asked: usize,
    /// For how many of them a wrong record is answered as a match.
    pub at_match: usize,
    /// For how many of them a wrong record is answered as a match or possible.
    pub at_possible: usize,
}

/// The wrong answers by the kinds of the records asked about.
pub fn false_by_kind(pairs: &[Pair], kinds: &[Option<String>]) -> Vec<KindFigures> {
    let mut worst = vec![Grade::NoMatch; kinds.len()];
    for pair in pairs.iter().filter(|pair| pair.answered) {
        if pair.truth.is_none() {
            worst[pair.b] = worst[pair.b].max(pair.candidate.decision.grade);
        }
    }
    let mut by_kind: BTreeMap<&str, KindFigures> = BTreeMap::new();
    for (kind, worst) in kinds.iter().zip(worst) {
        let Some(kind) = kind else { continue };
        let figures = by_kind.entry(kind).or_insert_with(|| KindFigures {
            kind: kind.clone(),
            asked: 0,
            at_match: 0,
            at_possible: 0,
        });
        figures.asked += 1;
        figures.at_match += usize::from(worst == Grade::Match);
        figures.at_possible += usize::from(worst >= Grade::Possible);
    }
    by_kind.into_values().collect()
}

/// How many subjects are told which class of attribute would decide.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct StepUp {
    /// The mother's names.
    pub mother: usize,
    /// A document number.
    pub document: usize,
    /// The place of birth.
    pub place: usize,
    /// A sibling.
    pub sibling: usize,
}

/// Counts step-ups as the holder answers them: for subjects whose best lead is a possible one, by
/// the masks of both sides. `asked` are those of the subjects.
pub fn step_up(pairs: &[Pair], asked: &[Presence]) -> StepUp {
    let mut counts = StepUp::default();
    // Pairs of one subject stand together, the best first.
    for leads in pairs.chunk_by(|x, y| x.b == y.b) {
        let Some(best) = leads.first() else { continue };
        if best.candidate.decision.grade != Grade::Possible {
            continue;
        }
        match decide::step_up(asked[best.b], best.candidate.held) {
            AttributeClass::Mother => counts.mother += 1,
            AttributeClass::Document => counts.document += 1,
            AttributeClass::Place => counts.place += 1,
            AttributeClass::Sibling => counts.sibling += 1,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::truth::TruePair;
    use crate::linkage::{Decision, Field, RuleSet};

    /// Pairs `(a, b, weight)`, a match from weight 2 on and possible from 0 on, and a truth in which
    /// record n of A is record n of B for n below `same`.
    fn example(same: usize, given: &[(usize, usize, f64)]) -> (Vec<Pair>, Truth) {
        let same_child = (0..same).map(|at| TruePair {
            a_ref: format!("A{at}"),
            b_ref: format!("B{at}"),
            positions: Some((at, at)),
            tags: vec![if at == 0 { "first" } else { "later" }.to_owned()],
        });
        let truth = Truth {
            pairs: same_child.collect(),
            by_position: (0..same).map(|at| ((at, at), at)).collect(),
        };
        let most = given.iter().map(|pair| pair.1).max().unwrap_or_default();
        let mut held = Presence::default();
        held.set(Field::MotherGiven);
        let mut found: Vec<Vec<Candidate>> = vec![Vec::new(); most + 1];
        for &(a, b, weight) in given {
            let grade = match weight {
                w if w >= 2.0 => Grade::Match,
                w if w >= 0.0 => Grade::Possible,
                _ => Grade::NoMatch,
            };
            let decision = Decision {
                grade,
                weight,
                more: None,
            };
            found[b].push(Candidate {
                record_id: a as u64 + 1,
                held,
                agreed: RuleSet::default(),
                decision,
                alone: decision,
                touching: Vec::new(),
                by_family: false,
                family_set: None,
            });
        }
        (pairs(found, &truth), truth)
    }

    fn score(right: usize, wrong: usize, truth: usize) -> Score {
        Score {
            right,
            wrong,
            truth,
        }
    }

    #[test]
    fn each_answer_counts_at_its_grade_and_below() {
        let (pairs, truth) = example(4, &[(0, 0, 9.0), (7, 0, 3.0), (1, 1, 1.0), (2, 2, -1.0)]);
        assert_eq!(many_to_many(&pairs, &truth, Grade::Match), score(1, 1, 4));
        assert_eq!(
            many_to_many(&pairs, &truth, Grade::Possible),
            score(2, 1, 4)
        );
        // Odds of 512 and of 8 to 1 that they are right.
        let expected = (1.0 / 513.0 + 1.0 / 9.0) / 2.0;
        assert!((expected_wrong(&pairs) - expected).abs() < 1e-12);
        assert_eq!(expected_wrong(&[]), 0.0);
        let at_match = many_to_many(&pairs, &truth, Grade::Match);
        assert_eq!((at_match.precision(), at_match.recall()), (0.5, 0.25));
        assert!((at_match.f1() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(score(0, 0, 4).precision(), 0.0);
        assert_eq!(
            step_up(&pairs, &[Presence::default(); 3]),
            StepUp {
                mother: 1,
                ..StepUp::default()
            }
        );
        let tags = by_tag(&pairs, &truth);
        assert_eq!((tags[0].pairs, tags[0].at_match), (1, 1));
        assert_eq!(
            (tags[1].pairs, tags[1].at_match, tags[1].at_possible),
            (3, 0, 1)
        );
    }

    #[test]
    fn what_no_lead_is_given_for_is_not_answered() {
        let many: Vec<(usize, usize, f64)> = (0..7).map(|a| (a, 0, 9.0 - a as f64)).collect();
        let (pairs, truth) = example(1, &many);
        let all = many_to_many(&pairs, &truth, Grade::Possible);
        assert_eq!(all, score(1, LEADS - 1, 1));
    }

    #[test]
    fn an_assignment_gives_each_record_once() {
        // The first of B is likest to the second of A, which belongs to another.
        let given = [
            (1, 0, 8.0),
            (0, 0, 7.0),
            (1, 1, 6.0),
            (2, 2, 5.0),
            (3, 3, 1.0),
            (5, 4, 0.5),
        ];
        let (pairs, truth) = example(4, &given);
        let assignment = Assignment::greedy(&pairs, &truth);
        assert_eq!(assignment.at_match(), score(1, 1, 4));
        assert_eq!(assignment.best(), (1.0, score(2, 1, 4)));
        // Pairs of one weight are taken together or not at all.
        let (pairs, truth) = example(2, &[(0, 0, 3.0), (1, 1, 3.0), (5, 2, 3.0)]);
        assert_eq!(
            Assignment::greedy(&pairs, &truth).best(),
            (3.0, score(2, 1, 2))
        );
    }

    #[test]
    fn wrong_answers_count_once_for_each_record_asked_about() {
        let (pairs, _) = example(1, &[(0, 0, 9.0), (5, 0, 1.0), (3, 1, 3.0), (4, 1, 3.0)]);
        let kinds = ["match", "twin", "twin"].map(|kind| Some(kind.to_owned()));
        let figures = false_by_kind(&pairs, &kinds);
        let counts: Vec<_> = figures
            .iter()
            .map(|kind| {
                (
                    kind.kind.as_str(),
                    kind.asked,
                    kind.at_match,
                    kind.at_possible,
                )
            })
            .collect();
        assert_eq!(counts, [("match", 1, 0, 1), ("twin", 2, 1, 1)]);
    }

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        for (part, whole, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let (found_low, found_high) = wilson(part, whole);
            assert!(
                (found_low - low).abs() < 5e-5,
                "{part}/{whole}: {found_low}"
            );
            assert!(
                (found_high - high).abs() < 5e-5,
                "{part}/{whole}: {found_high}"
            );
        }
    }
}
