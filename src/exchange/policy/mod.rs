//! Which fields a holder tells, and how many people have to approve: Cedar policies.
//!
//! A policy is a text that a ministry writes. It is held to a schema when it is loaded, so that one
//! that loads can be followed. Cedar answers yes or no; how many people have to approve is found by
//! asking it with nobody's approval, then with one person's, then with two people's. What the
//! policy cannot change (see [`Floor`](super::disclose::Floor)) is not its business and stands
//! elsewhere.

mod adopt;
mod explain;
mod question;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    Authorizer, Decision, Effect, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use ring::digest::{SHA256, digest};

pub use adopt::{
    Adopted, DIGEST_SETTING, PolicyInForce, RefusedPolicy, SETTING, adopt, follow, not_in_force,
};
pub use explain::Explained;
pub use question::{Question, RecordFacts};
pub use table::{Case, CaseOutcome, Expected, TableError, TableFormat, read_table};

use crate::records::Column;

/// The policy that a node follows until its authority writes its own.
pub const DEFAULT: &str = include_str!("default.cedar");

/// What policies can speak of.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// Largest policy file, in octets.
const MAX_POLICY: usize = 256 * 1024;

/// How many different people have to approve before a field is told, or that it never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Needs {
    /// Nobody: it is told at once.
    Nobody,
    /// One person.
    OnePerson,
    /// Two different people.
    TwoPeople,
    /// It is not told, whoever approves.
    Refused,
}

impl Needs {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "granted",
            Self::OnePerson => "one_approval",
            Self::TwoPeople => "two_approvals",
            Self::Refused => "refused",
        }
    }

    /// How many people have to approve; none if it is refused.
    #[must_use]
    pub fn approvals(self) -> Option<usize> {
        match self {
            Self::Nobody => Some(0),
            Self::OnePerson => Some(1),
            Self::TwoPeople => Some(2),
            Self::Refused => None,
        }
    }

    fn after(approvals: i64) -> Self {
        match approvals {
            0 => Self::Nobody,
            1 => Self::OnePerson,
            _ => Self::TwoPeople,
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Its name (`@id`).
    pub id: String,
    /// Its sentence (`@says`), or empty.
    pub says: String,
}

/// What a policy says of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it needs.
    pub needs: Needs,
    /// The rules that decided, by name; none if no rule permits the field.
    pub rules: Vec<Rule>,
}

/// A policy that can be followed.
#[derive(Clone)]
pub struct Policy {
    rules: PolicySet,
    text: String,
    digest: [u8; 32],
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is too large.
    #[error("the policy has more than {MAX_POLICY} octets: shorten it")]
    TooLarge,
    /// It is no Cedar.
    #[error("line {line}, column {column}: {why}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// A rule has no name, or another has it too.
    #[error("line {line}: {why}: give each rule a name of its own, written @id(\"name\") above it")]
    Name {
        /// Line, from 1, at which the rule begins.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// It speaks of what there is not.
    #[error("{}", .faults.join("\n"))]
    Schema {
        /// Each fault, with the rule's name.
        faults: Vec<String>,
    },
    /// It permits nothing whatsoever.
    #[error(
        "the policy has no rule: an empty file withholds every field; if that is meant, write a rule that forbids everything"
    )]
    Empty,
}

impl PolicyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "POLICY_TOO_LARGE",
            Self::Syntax { .. } => "POLICY_SYNTAX",
            Self::Name { .. } => "POLICY_RULE_NAME",
            Self::Schema { .. } => "POLICY_INVALID",
            Self::Empty => "POLICY_EMPTY",
        }
    }
}

static PARSED_SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::from_cedarschema_str(SCHEMA)
        .expect("a test reads the shipped schema")
        .0
});

static SHIPPED: LazyLock<Policy> =
    LazyLock::new(|| Policy::parse(DEFAULT).expect("a test reads the shipped policy"));

impl Policy {
    /// Reads a policy and holds it to the schema.
    ///
    /// # Errors
    /// [`PolicyError`] names the place.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY {
            return Err(PolicyError::TooLarge);
        }
        let read = PolicySet::from_str(text).map_err(|error| {
            let error = DetailedError::from(&error);
            let offset = error
                .source_locations
                .first()
                .map_or(0, |label| label.loc.start);
            let (line, column) = place(text, offset);
            let help = error
                .help
                .map_or_else(String::new, |help| format!(" ({help})"));
            PolicyError::Syntax {
                line,
                column,
                why: format!("{}{help}", error.message),
            }
        })?;
        let rules = named(text, &read)?;
        if rules.is_empty() {
            return Err(PolicyError::Empty);
        }
        let checked =
            Validator::new(PARSED_SCHEMA.clone()).validate(&rules, ValidationMode::Strict);
        let faults: Vec<String> = checked
            .validation_errors()
            .map(ToString::to_string)
            .collect();
        if !faults.is_empty() {
            return Err(PolicyError::Schema { faults });
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Ok(Self {
            rules,
            text: text.to_owned(),
            digest: hash,
        })
    }

    /// The policy that is shipped.
    #[must_use]
    pub fn shipped() -> Self {
        SHIPPED.clone()
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of its text.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// How many rules it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.policies().count()
    }

    /// Whether it has no rule; never so for one that was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a field needs. Fields that are the holder's own business are refused, whatever the
    /// rules say.
    #[must_use]
    pub fn verdict(&self, question: &Question, column: Column) -> Verdict {
        let mut refused = Verdict {
            needs: Needs::Refused,
            rules: Vec::new(),
        };
        if !column.field().disclosable {
            return refused;
        }
        for approvals in 0..=2 {
            match self.ask(question, column, approvals, false) {
                (true, rules) => {
                    return Verdict {
                        needs: Needs::after(approvals),
                        rules,
                    };
                }
                // What still forbids it when two people have approved is why it is refused.
                (false, rules) => refused.rules = rules,
            }
        }
        refused
    }

    /// The rules by which one person alone may release a field at once; none if they may not.
    #[must_use]
    pub fn break_glass(&self, question: &Question, column: Column) -> Option<Vec<Rule>> {
        if !column.field().disclosable {
            return None;
        }
        let (allowed, rules) = self.ask(question, column, 1, true);
        allowed.then_some(rules)
    }

    fn ask(
        &self,
        question: &Question,
        column: Column,
        approvals: i64,
        break_glass: bool,
    ) -> (bool, Vec<Rule>) {
        let Ok((request, entities)) =
            question.to_cedar(&PARSED_SCHEMA, column, approvals, break_glass)
        else {
            // A question that the schema does not know permits nothing.
            return (false, Vec::new());
        };
        let response = Authorizer::new().is_authorized(&request, &self.rules, &entities);
        let rules: BTreeSet<Rule> = response
            .diagnostics()
            .reason()
            .map(|id| self.rule(id))
            .collect();
        // A rule that could not be followed might have forbidden: then nothing is told.
        let followed = response.diagnostics().errors().next().is_none();
        let allowed = followed && response.decision() == Decision::Allow;
        (allowed, rules.into_iter().collect())
    }

    fn rule(&self, id: &PolicyId) -> Rule {
        let says = self
            .rules
            .policy(id)
            .and_then(|rule| rule.annotation("says"));
        Rule {
            id: id.to_string(),
            says: says.unwrap_or_default().to_owned(),
        }
    }

    /// The names of its rules that forbid, and of those that permit.
    #[must_use]
    pub fn rules(&self) -> (Vec<Rule>, Vec<Rule>) {
        let of = |effect: Effect| {
            let mut rules: Vec<Rule> = self
                .rules
                .policies()
                .filter(|rule| rule.effect() == effect)
                .map(|rule| self.rule(rule.id()))
                .collect();
            rules.sort();
            rules
        };
        (of(Effect::Forbid), of(Effect::Permit))
    }
}

impl Verdict {
    /// Why, in a sentence for people.
    #[must_use]
    pub fn sentence(&self, column: Column) -> String {
        let field = column.name();
        let what = match self.needs {
            Needs::Nobody => format!("{field} is told at once"),
            Needs::OnePerson => format!("{field} is told once one person has approved"),
            Needs::TwoPeople => {
                format!("{field} is told once two different people have approved")
            }
            Needs::Refused => format!("{field} is not told"),
        };
        if !column.field().disclosable {
            return format!("{what}: it is the holder's own business, which no rule can change.");
        }
        match self.rules.as_slice() {
            [] => format!("{what}: no rule permits it."),
            rules => {
                let said: Vec<String> = rules.iter().map(Rule::quoted).collect();
                format!("{what}, by {}", said.join(" and by "))
            }
        }
    }
}

impl Rule {
    fn quoted(&self) -> String {
        if self.says.is_empty() {
            format!("the rule {}.", self.id)
        } else {
            format!("the rule {}: {}", self.id, self.says)
        }
    }
}

/// The same rules, each under the name that its author gave it.
fn named(text: &str, read: &PolicySet) -> Result<PolicySet, PolicyError> {
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for rule in read.policies() {
        let line = rule
            .to_string()
            .lines()
            .next()
            .and_then(|head| text.find(head))
            .map_or(1, |offset| place(text, offset).0);
        let wrong = |why: &str| PolicyError::Name {
            line,
            why: why.to_owned(),
        };
        let name = rule
            .annotation("id")
            .filter(|name| !name.is_empty())
            .ok_or_else(|| wrong("a rule has no name"))?;
        if !names.insert(name.to_owned()) {
            return Err(wrong(&format!("two rules are called {name:?}")));
        }
        rules.push(rule.new_id(PolicyId::new(name)));
    }
    if read.templates().next().is_some() {
        return Err(PolicyError::Name {
            line: 1,
            why: "a rule with a slot (?principal, ?resource) is a template, which nothing fills in"
                .to_owned(),
        });
    }
    PolicySet::from_policies(rules).map_err(|error| PolicyError::Schema {
        faults: vec![error.to_string()],
    })
}

/// Line and column, from 1, of an octet of a text.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
