//! The languages in which people are spoken to.
//!
//! Texts stand in `locales/`, one folder for each language, in Fluent's format (projectfluent.org).
//! They are built into the program. A test holds that every language has every text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{Loader as _, static_loader};

static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        // The isolating marks around arguments would show in plain text and in copied sentences.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    English,
    /// Ukrainian.
    Ukrainian,
}

/// No language of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the languages are `en` and `uk`")]
pub struct UnknownLang;

impl Lang {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::English, Self::Ukrainian];

    /// Its code (ISO 639-1).
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Ukrainian => "uk",
        }
    }

    /// A text without arguments. A text that is not there shows as its name.
    #[must_use]
    pub fn text(self, id: &str) -> String {
        self.lookup(id, None)
    }

    /// A text without arguments, if it is there.
    #[must_use]
    pub fn known(self, id: &str) -> Option<String> {
        self.find(id, None)
    }

    /// A text with arguments.
    #[must_use]
    pub fn with(self, id: &str, arguments: &[(&'static str, Arg)]) -> String {
        let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> = arguments
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Arg::Text(text) => FluentValue::from(text.as_str()),
                    Arg::Number(number) => FluentValue::from(*number),
                };
                (Cow::Borrowed(*name), value)
            })
            .collect();
        self.lookup(id, Some(&arguments))
    }

    fn lookup(
        self,
        id: &str,
        arguments: Option<&HashMap<Cow<'static, str>, FluentValue<'_>>>,
    ) -> String {
        self.find(id, arguments).unwrap_or_else(|| id.to_owned())
    }

    fn find(
        self,
        id: &str,
        arguments: Option<&HashMap<Cow<'static, str>, FluentValue<'_>>>,
    ) -> Option<String> {
        let language = LOCALES
            .locales()
            .find(|language| language.language.as_str() == self.code())
            .unwrap_or_else(|| LOCALES.fallback());
        LOCALES.try_lookup_complete(language, id, arguments)
    }
}

/// An argument of a text.
#[derive(Clone)]
pub enum Arg {
    /// A piece of text.
    Text(String),
    /// A number, by which the text may choose its form.
    Number(u64),
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Lang {
    type Err = UnknownLang;

    fn from_str(text: &str) -> Result<Self, UnknownLang> {
        Self::ALL
            .into_iter()
            .find(|language| language.code() == text)
            .ok_or(UnknownLang)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Names of texts and of their arguments, as the files have them.
    fn texts(language: Lang) -> BTreeSet<(String, BTreeSet<String>)> {
        let folder = Path::new("locales").join(language.code());
        let mut texts = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let mut current: Option<(String, BTreeSet<String>)> = None;
            for line in text.lines() {
                let name = line.split(" =").next().unwrap_or_default();
                let begins = line.starts_with(|c: char| c.is_ascii_alphabetic());
                if begins && line.contains(" =") {
                    texts.extend(current.take());
                    current = Some((name.to_owned(), BTreeSet::new()));
                }
                if let Some((_, arguments)) = &mut current {
                    for (_, rest) in line.match_indices('$').map(|(at, _)| line.split_at(at + 1)) {
                        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                        arguments.insert(rest[..end.unwrap_or(rest.len())].to_owned());
                    }
                }
            }
            texts.extend(current);
        }
        texts
    }

    #[test]
    fn every_language_has_every_text_with_the_same_arguments() {
        let english = texts(Lang::English);
        assert!(english.len() > 50, "{}", english.len());
        for language in Lang::ALL {
            let other = texts(language);
            let missing: Vec<_> = english.symmetric_difference(&other).collect();
            assert!(missing.is_empty(), "{language}: {missing:?}");
            for (name, arguments) in other.iter().filter(|(_, arguments)| arguments.is_empty()) {
                assert!(arguments.is_empty());
                let text = language.text(name);
                assert!(
                    text != *name && !text.contains('\u{2068}'),
                    "{language}: {name}"
                );
            }
        }
    }

    #[test]
    fn numbers_choose_their_form() {
        let leaves =
            |language: Lang, count: u64| language.with("report-leaves", &[("count", count.into())]);
        assert_eq!(leaves(Lang::English, 1), "1 leaf");
        assert_eq!(leaves(Lang::English, 2), "2 leaves");
        assert_eq!(leaves(Lang::Ukrainian, 1), "1 запис");
        assert_eq!(leaves(Lang::Ukrainian, 3), "3 записи");
        assert_eq!(leaves(Lang::Ukrainian, 11), "11 записів");
    }

    #[test]
    fn languages_are_named_by_their_codes() {
        for language in Lang::ALL {
            assert_eq!(language.code().parse(), Ok(language));
        }
        assert_eq!("fr".parse::<Lang>(), Err(UnknownLang));
        assert_eq!(Lang::English.text("no-such-text"), "no-such-text");
    }
}
