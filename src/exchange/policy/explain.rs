//! What a policy comes to for one field, with what no policy can change.

use super::{Needs, Policy, Question, Rule};
use crate::exchange::disclose::Floor;
use crate::records::Column;

/// What would become of one field of one request.
pub struct Explained {
    /// How many people have to approve, the floor included.
    pub needs: Needs,
    /// The rules that decide.
    pub rules: Vec<Rule>,
    /// The rules by which one person could release it alone in an emergency; `None` if nobody could.
    pub alone: Option<Vec<Rule>>,
    /// All of it in a sentence or two.
    pub sentence: String,
}

impl Policy {
    /// Says what becomes of one field, and by which rules.
    #[must_use]
    pub fn explain(&self, question: &Question, column: Column) -> Explained {
        let verdict = self.verdict(question, column);
        let floor = Floor::of_question(question);
        let needs = floor.over(verdict.needs);
        let mut sentence = verdict.sentence(column);
        if needs != verdict.needs {
            let below = match floor {
                Floor::Closed => {
                    "nothing is told of a record that is silent or has no ground to be searched on."
                }
                _ => {
                    "a person looks first at a finding that is not certain, and at a record under human_only."
                }
            };
            sentence = format!("{sentence} But no rule goes below this: {below}");
        }
        Explained {
            needs,
            rules: verdict.rules,
            alone: self
                .break_glass(question, column)
                .filter(|_| !floor.is_closed()),
            sentence,
        }
    }
}
