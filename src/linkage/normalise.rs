//! From raw text to plain words: compatibility forms, case, apostrophes, marks, and letters of one
//! script typed inside words of another.
//!
//! Everything downstream sees lower-case words made of letters and digits only, at most
//! [`MAX_WORDS`] of at most [`MAX_CHARS`] characters in all, whatever came in. That bound is what
//! makes the time of a derivation bounded for any input.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Characters of a field that are looked at; the rest is ignored.
pub const MAX_CHARS: usize = 160;
/// Words of a field that are looked at.
pub const MAX_WORDS: usize = 8;

/// Script of a word, by its letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    /// Cyrillic.
    Cyrillic,
    /// Latin.
    Latin,
    /// Anything else, or digits only.
    Other,
}

/// One word, lower case, diacritics still composed, wiped on drop.
#[derive(Clone)]
pub struct Word {
    /// The letters and digits.
    pub text: Zeroizing<String>,
    /// The script they are read in.
    pub script: Script,
    /// Whether a hyphen, and no space, joins it to the word before.
    pub hyphened: bool,
    /// Whether a comma, semicolon or bracket separates it from the word before.
    pub after_break: bool,
}

/// Splits a field into words.
#[must_use]
pub fn words(raw: &str) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    let mut current = Zeroizing::new(String::with_capacity(32));
    let mut hyphen = false;
    let mut broke = false;
    for c in raw
        .chars()
        .take(MAX_CHARS)
        .nfkc()
        .take(2 * MAX_CHARS)
        .flat_map(char::to_lowercase)
    {
        if c.is_alphanumeric() && !is_silent(c) {
            current.push(c);
        } else if is_silent(c) || is_mark(c) {
            if is_mark(c) {
                current.push(c);
            }
        } else {
            close(&mut current, &mut out, &mut hyphen, &mut broke);
            if is_hyphen(c) {
                hyphen = true;
            } else if !c.is_whitespace() {
                hyphen = false;
                broke |= matches!(c, ',' | ';' | '(' | ')' | '/');
            } else if !hyphen {
                // A space after a hyphen ("Коваль - Бойко") leaves the two joined.
                hyphen = false;
            }
        }
        if out.len() >= MAX_WORDS {
            return out;
        }
    }
    close(&mut current, &mut out, &mut hyphen, &mut broke);
    out
}

fn close(
    current: &mut Zeroizing<String>,
    out: &mut Vec<Word>,
    hyphen: &mut bool,
    broke: &mut bool,
) {
    if current.is_empty() {
        return;
    }
    let text: Zeroizing<String> = Zeroizing::new(current.nfc().collect());
    current.clear();
    let (text, script) = one_script(text);
    let first = out.is_empty();
    out.push(Word {
        text,
        script,
        hyphened: *hyphen && !first,
        after_break: *broke && !first,
    });
    *hyphen = false;
    *broke = false;
}

/// Signs that transliterations write for soft and hard signs, and the apostrophes in all their
/// code points: none of them is pronounced, and no two registers agree on them.
fn is_silent(c: char) -> bool {
    matches!(
        c,
        '\'' | '`' | '"' | '\u{b4}' | '\u{2b9}'..='\u{2bf}' | '\u{2c8}' | '\u{2ca}' | '\u{2cb}'
            | '\u{2018}'..='\u{201f}' | '\u{2032}'..='\u{2035}' | '\u{ff07}' | '\u{55a}'
            | 'ь' | 'ъ' | '\u{200b}'..='\u{200f}' | '\u{ad}' | '\u{feff}' | '\u{2060}'
            | '\u{2ee}' | '\u{a78c}'
    )
}

fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

fn is_hyphen(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

/// Latin letters and the Cyrillic letters drawn the same way.
const TWINS: [(char, char); 18] = [
    ('a', 'а'),
    ('b', 'в'),
    ('c', 'с'),
    ('e', 'е'),
    ('h', 'н'),
    ('i', 'і'),
    ('j', 'ј'),
    ('k', 'к'),
    ('m', 'м'),
    ('o', 'о'),
    ('p', 'р'),
    ('s', 'ѕ'),
    ('t', 'т'),
    ('x', 'х'),
    ('y', 'у'),
    ('ï', 'ї'),
    ('ë', 'ё'),
    ('r', 'г'),
];

/// Reads a word that mixes scripts in the one that its unmistakable letters belong to.
fn one_script(text: Zeroizing<String>) -> (Zeroizing<String>, Script) {
    let (mut cyrillic, mut latin, mut sure_cyrillic, mut sure_latin) = (0, 0, 0, 0);
    for c in text.chars() {
        if is_cyrillic(c) {
            cyrillic += 1;
            sure_cyrillic += usize::from(!TWINS[..17].iter().any(|t| t.1 == c));
        } else if is_latin(c) {
            latin += 1;
            sure_latin += usize::from(!TWINS[..17].iter().any(|t| t.0 == c));
        }
    }
    if cyrillic == 0 || latin == 0 {
        let script = match (cyrillic, latin) {
            (0, 0) => Script::Other,
            (0, _) => Script::Latin,
            _ => Script::Cyrillic,
        };
        return (text, script);
    }
    let to_cyrillic = (sure_cyrillic, cyrillic) >= (sure_latin, latin);
    let mixed = text.chars().map(|c| {
        let twin = if to_cyrillic {
            TWINS.iter().find(|t| t.0 == c).map(|t| t.1)
        } else {
            TWINS.iter().find(|t| t.1 == c).map(|t| t.0)
        };
        twin.unwrap_or(c)
    });
    let script = if to_cyrillic {
        Script::Cyrillic
    } else {
        Script::Latin
    };
    (Zeroizing::new(mixed.collect()), script)
}

fn is_cyrillic(c: char) -> bool {
    matches!(c, '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}')
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}') && c.is_alphabetic()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(raw: &str) -> String {
        words(raw)
            .iter()
            .map(|w| w.text.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn apostrophes_and_soft_signs_go() {
        for raw in [
            "Дем'яненко",
            "Дем’яненко",
            "Демʼяненко",
            "ДЕМ`ЯНЕНКО",
            "Дем\u{2032}яненко",
        ] {
            assert_eq!(joined(raw), "демяненко");
        }
        assert_eq!(joined("Melʹnik"), joined("Mel'nik"));
        assert_eq!(joined("Мельник"), "мелник");
    }

    #[test]
    fn homoglyphs_are_read_in_the_script_of_the_rest() {
        assert_eq!(joined("Бoндapeнкo"), "бондаренко");
        assert_eq!(joined("ДOPOШEНКO"), "дорошенко");
        assert_eq!(joined("Kоvаl"), "koval");
    }

    #[test]
    fn hyphens_and_spaces_split() {
        let w = words("Коваль-Бойко");
        assert!(w.len() == 2 && w[1].hyphened);
        let w = words("Коваль - Бойко");
        assert!(w.len() == 2 && w[1].hyphened);
        let w = words("Коваль Бойко");
        assert!(w.len() == 2 && !w[1].hyphened);
    }

    #[test]
    fn marks_compose() {
        assert_eq!(joined("Cherniiv\u{306}"), "cherniiv\u{306}");
        assert_eq!(joined("и\u{306}ван"), "йван");
    }

    #[test]
    fn long_input_is_cut() {
        let long = "я ".repeat(100_000);
        assert!(words(&long).len() <= MAX_WORDS);
        let marks = "\u{301}".repeat(100_000);
        assert!(words(&marks).len() <= 1);
        // A single character may unfold into many under NFKC.
        assert!(words(&"\u{fdfa}".repeat(10_000)).len() <= MAX_WORDS);
    }
}
