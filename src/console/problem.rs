//! Why a page is not shown, or a form not done.

use axum::http::StatusCode;
use tonic::{Code, Status};

use super::gate::Visit;
use super::words;
use crate::exchange::RemoteRefusal;
use crate::locale::Lang;
use crate::store::StoreError;

/// Why a page is not shown, or a form not done.
#[derive(Debug)]
pub enum Problem {
    /// Nobody is signed in, or the session has ended.
    SignIn,
    /// A decision takes a sign-in of the last minutes.
    SignInAgain,
    /// The person's roles do not permit it.
    Role(String),
    /// There is no such thing.
    NotFound,
    /// The node says no; with its code and its words.
    Told {
        /// The stable code.
        code: String,
        /// The node's words.
        message: String,
        /// Whether something failed, in place of being refused.
        failed: bool,
    },
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let (not_found, failed) = (
            status.code() == Code::NotFound,
            matches!(status.code(), Code::Internal | Code::Unknown),
        );
        let refusal = RemoteRefusal::from(status);
        match refusal.code.as_str() {
            "SIGN_IN_NEEDED" | "SESSION_ENDED" => Self::SignIn,
            "SIGN_IN_AGAIN" => Self::SignInAgain,
            "ROLE_MISSING" | "ROLE_WITHDRAWN" => Self::Role(refusal.code),
            _ if not_found => Self::NotFound,
            _ => Self::Told {
                code: refusal.code,
                message: refusal.message,
                failed,
            },
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the database failed the console");
        Self::Told {
            code: "STORE_FAILED".to_owned(),
            message: error.to_string(),
            failed: true,
        }
    }
}

impl Problem {
    /// What the reader is told.
    #[must_use]
    pub fn words(&self, lang: Lang) -> String {
        match self {
            Self::SignIn => lang.text("problem-sign-in"),
            Self::SignInAgain => lang.text("problem-sign-in-again"),
            Self::Role(code) => words::named(lang, "problem", code),
            Self::NotFound => lang.text("problem-not-found"),
            Self::Told { code, message, .. } => told(lang, code, message),
        }
    }

    /// The answer's status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::SignIn | Self::SignInAgain => StatusCode::UNAUTHORIZED,
            Self::Role(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Told { failed: true, .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Told { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// What the node said, in the reader's language where there are words for it, else in the node's own,
/// which are English.
#[must_use]
pub fn told(lang: Lang, code: &str, message: &str) -> String {
    if let Some(words) = lang.known(&format!("problem-{code}")) {
        return words;
    }
    match lang {
        Lang::English => message.to_owned(),
        _ => lang.with(
            "problem-other",
            &[("code", code.into()), ("message", message.into())],
        ),
    }
}

/// What is wrong with the fields of a form: the field, and what to say of it. Without a field, it is
/// said of the whole.
#[derive(Default, Clone)]
pub struct Wrong(Vec<(String, String)>);

impl Wrong {
    /// Says what is wrong with a field.
    pub fn say(&mut self, field: impl Into<String>, words: impl Into<String>) {
        self.0.push((field.into(), words.into()));
    }

    /// Says that a field is empty, if it is.
    pub fn need(&mut self, visit: &Visit, field: &str, value: &str) {
        if value.is_empty() {
            let words = visit
                .lang
                .known(&format!("console-need-{field}"))
                .unwrap_or_else(|| visit.text("console-need"));
            self.say(field, words);
        }
    }

    /// What is wrong with one field.
    #[must_use]
    pub fn of(&self, field: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(name, _)| name == field)
            .map(|(_, words)| words.clone())
    }

    /// What is wrong with the whole.
    #[must_use]
    pub fn general(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(name, _)| name.is_empty())
            .map(|(_, words)| words.clone())
            .collect()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stops here if anything is wrong.
    ///
    /// # Errors
    /// [`Stop::Wrong`].
    pub fn stop(self) -> Result<(), Stop> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Stop::Wrong(self))
        }
    }
}

/// Why a form was not done.
pub enum Stop {
    /// Its person can mend it.
    Wrong(Wrong),
    /// Something else.
    Problem(Problem),
}

impl Stop {
    /// One thing is wrong, with this field; without a field, with the whole.
    #[must_use]
    pub fn at(field: impl Into<String>, words: impl Into<String>) -> Self {
        let mut wrong = Wrong::default();
        wrong.say(field, words);
        Self::Wrong(wrong)
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Problem(status.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Problem(error.into())
    }
}
