//! Progress of readings.

use crate::cli::{Context, progress};
use crate::roster::Member;

/// One bar for what is being read.
pub struct Bars<'a> {
    context: &'a Context,
    prefix: String,
    current: std::sync::Mutex<Option<(String, indicatif::ProgressBar)>>,
}

impl<'a> Bars<'a> {
    /// For one member.
    pub fn new(context: &'a Context, member: &Member) -> Self {
        Self {
            context,
            prefix: format!("{}: ", member.id),
            current: std::sync::Mutex::default(),
        }
    }

    /// For several.
    pub fn all(context: &'a Context) -> Self {
        Self {
            context,
            prefix: String::new(),
            current: std::sync::Mutex::default(),
        }
    }

    /// What is read, how much is done, of how much.
    pub fn step(&self, what: &str, done: u64, of: u64) {
        let mut current = self
            .current
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = current
            .as_ref()
            .is_none_or(|(shown, bar)| shown != what || done < bar.position());
        if fresh {
            if let Some((_, bar)) = current.take() {
                bar.finish_and_clear();
            }
            let title = format!("{}{what}", self.prefix);
            let bar = progress::bar(self.context.output, of, &title);
            *current = Some((what.to_owned(), bar));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_length(of);
            bar.set_position(done);
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        let mut current = self
            .current
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, bar)) = current.take() {
            bar.finish_and_clear();
        }
    }
}
