//! Fields that hold one of a few values: sex, protection, consent, status.
//!
//! Sex has no `Debug`, since it is said of a child. The other three are terms of handling, which
//! policies and logs may name.

/// Why a coded value was refused. The value itself is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// No known word for a sex.
    #[error(
        "not a word for a sex that is known here: write M, F or X, or give its meaning under \
         [sex] in the map file"
    )]
    UnknownSex,

    /// A word or digit that means one sex in one country and the other in the next.
    #[error(
        "means different sexes in different registers: give its meaning under [sex] in the map file"
    )]
    AmbiguousSex,

    /// No known protection.
    #[error("not a protection: write none, alert, silent or human_only")]
    UnknownProtection,

    /// No known ground.
    #[error("not a ground: write tracing, guardian, vital_interest, legal_obligation or none")]
    UnknownConsent,

    /// No status code.
    #[error(
        "not a status: write up to 40 letters, digits, spaces, hyphens or underscores, such as \
         missing or returned"
    )]
    MalformedStatus,
}

/// A child's sex as its documents state it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sex {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Neither, as some states' documents have it (`X` of ICAO Doc 9303).
    Unspecified,
}

impl Sex {
    /// `M`, `F` or `X`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Male => "M",
            Self::Female => "F",
            Self::Unspecified => "X",
        }
    }

    /// Reads the words that registers use, in any case. `Ok(None)` is a stated "unknown".
    ///
    /// Some codes are refused as ambiguous, since a guess would make a girl a boy in silence:
    /// digits (ISO/IEC 5218 has 1 for male, other registers 0 for male and 1 for female), `h`
    /// (Spanish *hombre* and French *homme* are men, and where a register writes H for them, its M
    /// is *mujer*), `v` (Dutch *vrouw*, Lithuanian *vyras*) and `n` (Hungarian *nő*, Finnish
    /// *nainen*, "not stated"). A Hungarian register, where *férfi* is a man, needs a map
    /// for its `f`.
    ///
    /// # Errors
    /// [`CodeError::UnknownSex`] or [`CodeError::AmbiguousSex`].
    pub fn parse(text: &str) -> Result<Option<Self>, CodeError> {
        let word = text.trim().trim_end_matches('.').to_lowercase();
        let among = |words: &[&str]| words.contains(&word.as_str());
        if among(AMBIGUOUS_SEX_WORDS) {
            Err(CodeError::AmbiguousSex)
        } else if among(UNKNOWN_SEX_WORDS) {
            Ok(None)
        } else {
            SEX_WORDS
                .iter()
                .find(|(_, _, words)| among(words))
                .map(|(sex, _, _)| Some(*sex))
                .ok_or(CodeError::UnknownSex)
        }
    }
}

/// Words for a sex by language (ISO 639-1; `-` for letters common to many), in lower case.
#[rustfmt::skip]
const SEX_WORDS: &[(Sex, &str, &[&str])] = &[
    (Sex::Male, "-", &["m"]),
    (Sex::Male, "en", &["male", "man", "boy"]),
    (Sex::Male, "uk", &["ч", "чол", "чоловік", "чоловіча", "чоловічий", "хлопець", "хлопчик"]),
    (Sex::Male, "ru", &["м", "муж", "мужской", "мужчина", "мальчик"]),
    (Sex::Male, "be", &["мужчынскі", "мужчынская", "хлопчык"]),
    (Sex::Male, "pl", &["męska", "męski", "mężczyzna", "chłopiec"]),
    (Sex::Male, "de", &["männlich", "maennlich", "mann", "junge"]),
    (Sex::Male, "fr", &["masculin", "homme", "garçon"]),
    (Sex::Male, "cs", &["muž", "mužské", "chlapec"]),
    (Sex::Male, "sk", &["mužské", "muž"]),
    (Sex::Male, "es", &["hombre", "varón", "masculino", "niño"]),
    (Sex::Male, "it", &["maschio", "maschile"]),
    (Sex::Male, "ro", &["masculin", "bărbat", "băiat"]),
    (Sex::Male, "nl", &["mannelijk", "jongen"]),
    (Sex::Male, "lt", &["vyras", "berniukas"]),
    (Sex::Male, "lv", &["vīrietis", "zēns"]),
    (Sex::Male, "et", &["mees", "poiss"]),
    (Sex::Male, "fi", &["mies", "poika"]),
    (Sex::Male, "sv", &["pojke", "kille"]),
    (Sex::Male, "hu", &["férfi", "fiú"]),
    (Sex::Male, "bg", &["мъж", "мъжки", "момче"]),
    (Sex::Female, "-", &["f"]),
    (Sex::Female, "en", &["female", "woman", "girl"]),
    (Sex::Female, "uk", &["ж", "жін", "жінка", "жіноча", "жіночий", "дівчина", "дівчинка"]),
    (Sex::Female, "ru", &["жен", "женский", "женщина", "девочка"]),
    (Sex::Female, "be", &["жаночы", "жаночая", "дзяўчынка"]),
    (Sex::Female, "pl", &["k", "kobieta", "żeńska", "żeński", "dziewczynka"]),
    (Sex::Female, "de", &["w", "weiblich", "frau", "mädchen"]),
    (Sex::Female, "fr", &["féminin", "femme", "fille"]),
    (Sex::Female, "cs", &["ž", "žena", "ženské", "dívka"]),
    (Sex::Female, "sk", &["ž", "ženské", "dievča"]),
    (Sex::Female, "es", &["mujer", "femenino", "niña"]),
    (Sex::Female, "it", &["femmina", "femminile"]),
    (Sex::Female, "ro", &["feminin", "femeie", "fată"]),
    (Sex::Female, "nl", &["vrouwelijk", "vrouw", "meisje"]),
    (Sex::Female, "lt", &["moteris", "mergaitė"]),
    (Sex::Female, "lv", &["sieviete", "meitene"]),
    (Sex::Female, "et", &["naine", "tüdruk"]),
    (Sex::Female, "fi", &["nainen", "tyttö"]),
    (Sex::Female, "sv", &["kvinna", "flicka"]),
    (Sex::Female, "hu", &["nő", "lány"]),
    (Sex::Female, "bg", &["жена", "женски", "момиче"]),
    (Sex::Unspecified, "-", &["x", "х"]),
    (Sex::Unspecified, "en", &["other", "unspecified", "indeterminate", "non-binary"]),
    (Sex::Unspecified, "de", &["d", "divers"]),
];

/// Words by which a register says that it does not know.
const UNKNOWN_SEX_WORDS: &[&str] = &[
    "",
    "-",
    "?",
    "u",
    "unknown",
    "n/a",
    "невідомо",
    "не відомо",
    "неизвестно",
    "nieznana",
    "unbekannt",
    "inconnu",
];

const AMBIGUOUS_SEX_WORDS: &[&str] = &["0", "1", "2", "3", "9", "h", "v", "n"];

/// How a record answers other members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// It answers as any record.
    #[default]
    None,
    /// It answers, and a lead on it shows as a warning in its holder's operational log.
    Alert,
    /// It answers as if it did not exist.
    Silent,
    /// It is never graded above `POSSIBLE`, and nothing of it is told without a person.
    HumanOnly,
}

impl Protection {
    /// The word in registers and policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Alert => "alert",
            Self::Silent => "silent",
            Self::HumanOnly => "human_only",
        }
    }

    /// Reads a protection; case, hyphens and spaces do not matter.
    ///
    /// # Errors
    /// [`CodeError::UnknownProtection`]: an unreadable protection is never read as none.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        match fold(text).as_str() {
            "none" => Ok(Self::None),
            "alert" => Ok(Self::Alert),
            "silent" => Ok(Self::Silent),
            "human_only" => Ok(Self::HumanOnly),
            _ => Err(CodeError::UnknownProtection),
        }
    }
}

/// The ground on which a record may be searched for by other members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consent {
    /// No ground: the record is kept and not searchable.
    #[default]
    None,
    /// Someone entitled agreed to the tracing.
    Tracing,
    /// The guardian appointed by law acts for the child.
    Guardian,
    /// The child's life or safety (GDPR, article 6(1)(d)).
    VitalInterest,
    /// A law obliges the member to search (GDPR, article 6(1)(c)).
    LegalObligation,
}

impl Consent {
    /// The word in registers and policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tracing => "tracing",
            Self::Guardian => "guardian",
            Self::VitalInterest => "vital_interest",
            Self::LegalObligation => "legal_obligation",
        }
    }

    /// Whether a record on this ground may be searched for.
    #[must_use]
    pub fn permits_search(self) -> bool {
        self != Self::None
    }

    /// Reads a ground; case, hyphens and spaces do not matter. There is no "yes": a bare yes does
    /// not say to what.
    ///
    /// # Errors
    /// [`CodeError::UnknownConsent`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        match fold(text).as_str() {
            "none" => Ok(Self::None),
            "tracing" => Ok(Self::Tracing),
            "guardian" => Ok(Self::Guardian),
            "vital_interest" => Ok(Self::VitalInterest),
            "legal_obligation" => Ok(Self::LegalObligation),
            _ => Err(CodeError::UnknownConsent),
        }
    }
}

/// What has become of the child, in the member's own terms: policies and retention periods refer
/// to it. Advised are `missing`, `deported`, `displaced`, `located`, `returned`, `deceased` and
/// `closed`.
///
/// 1 to 40 letters, digits, `_`; in lower case, so that `Forcibly displaced` and
/// `forcibly_displaced` are one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StatusCode(String);

impl StatusCode {
    /// Reads a status; case, hyphens and spaces do not matter.
    ///
    /// # Errors
    /// [`CodeError::MalformedStatus`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let code = fold(text);
        let length = code.chars().count();
        let well_formed = code.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !(1..=40).contains(&length) || !well_formed {
            return Err(CodeError::MalformedStatus);
        }
        Ok(Self(code))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower case, with `_` for each run of spaces and hyphens.
fn fold(text: &str) -> String {
    text.to_lowercase()
        .split(|c: char| c.is_whitespace() || c == '-' || c == '_')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn sex(text: &str) -> Result<Option<&'static str>, CodeError> {
        Sex::parse(text).map(|sex| sex.map(Sex::as_str))
    }

    #[test]
    fn sex_is_read_in_the_words_of_many_registers() {
        for (word, expected) in [
            ("M", "M"),
            ("f", "F"),
            ("X", "X"),
            ("Ч", "M"),
            ("ж", "F"),
            ("жін.", "F"),
            ("чол.", "M"),
            ("М", "M"),
            ("W", "F"),
            ("männlich", "M"),
            ("K", "F"),
            (" Female ", "F"),
            ("divers", "X"),
            ("Ж", "F"),
            ("МУЖСКОЙ", "M"),
        ] {
            assert_eq!(sex(word), Ok(Some(expected)), "{word}");
        }
        assert_eq!(sex("невідомо"), Ok(None));
        assert_eq!(sex("unknown"), Ok(None));
    }

    #[test]
    fn a_sex_that_would_be_guessed_is_refused() {
        for word in ["1", "2", "0", "H", "v", "N"] {
            assert_eq!(sex(word), Err(CodeError::AmbiguousSex), "{word}");
        }
        assert_eq!(sex("Олена"), Err(CodeError::UnknownSex));
    }

    #[test]
    fn no_word_stands_for_two_sexes() {
        let mut seen = HashMap::new();
        for (sex, language, words) in SEX_WORDS {
            for word in *words {
                assert_eq!(*word, word.to_lowercase(), "{language}");
                let known = *seen.entry(*word).or_insert(sex.as_str());
                assert_eq!(known, sex.as_str(), "{word} in {language}");
                assert!(!AMBIGUOUS_SEX_WORDS.contains(word));
                assert!(!UNKNOWN_SEX_WORDS.contains(word));
            }
        }
    }

    #[test]
    fn protection_and_consent_read_their_own_words_and_no_others() {
        for protection in [
            Protection::None,
            Protection::Alert,
            Protection::Silent,
            Protection::HumanOnly,
        ] {
            assert_eq!(Protection::parse(protection.as_str()), Ok(protection));
        }
        assert_eq!(Protection::parse("Human-Only"), Ok(Protection::HumanOnly));
        assert_eq!(
            Protection::parse("hidden"),
            Err(CodeError::UnknownProtection)
        );
        assert_eq!(Protection::parse(""), Err(CodeError::UnknownProtection));
        for consent in [
            Consent::None,
            Consent::Tracing,
            Consent::Guardian,
            Consent::VitalInterest,
            Consent::LegalObligation,
        ] {
            assert_eq!(Consent::parse(consent.as_str()), Ok(consent));
            assert_eq!(consent.permits_search(), consent != Consent::None);
        }
        assert_eq!(Consent::parse("Vital interest"), Ok(Consent::VitalInterest));
        assert_eq!(Consent::parse("yes"), Err(CodeError::UnknownConsent));
    }

    #[test]
    fn a_status_is_one_however_it_is_written() {
        let status = |text| StatusCode::parse(text).map(|status| status.0);
        assert_eq!(status("Forcibly  displaced").unwrap(), "forcibly_displaced");
        assert_eq!(status("forcibly-displaced").unwrap(), "forcibly_displaced");
        assert_eq!(status("Зник").unwrap(), "зник");
        for bad in ["", "  ", "a;b", &"a".repeat(41)] {
            assert_eq!(status(bad), Err(CodeError::MalformedStatus));
        }
    }
}
