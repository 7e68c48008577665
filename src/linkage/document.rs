//! Document numbers: digits, and the series by its sound.
//!
//! "І-ВА №449579", "I-VA 449579" and "І ВА 449579" are one birth certificate: the series is written in
//! Cyrillic or in any romanisation of it, the number sign or not at all.

use zeroize::Zeroizing;

use super::normalise::Word;
use super::skeleton::{self, Orthographies};

/// Fewest digits of a number that can serve in a key; shorter ones are house numbers.
const FEWEST_DIGITS: usize = 6;

/// The key value of a document number, absent when it has too few digits to tell anything.
#[must_use]
pub fn number(words: &[Word], spelling: Orthographies) -> Option<Zeroizing<String>> {
    let mut digits = Zeroizing::new(String::new());
    let mut letters = Zeroizing::new(String::new());
    for word in words {
        for c in word.text.chars() {
            match c.to_digit(10) {
                Some(_) => digits.push(c),
                None => letters.push(c),
            }
        }
    }
    if digits.len() < FEWEST_DIGITS {
        return None;
    }
    // The number sign normalises to "no".
    let series = letters.strip_suffix("no").unwrap_or(&letters);
    let bones = skeleton::skeleton(&skeleton::codes(series, spelling));
    Some(Zeroizing::new(format!("{}{}", &*bones, &*digits)))
}

#[cfg(test)]
mod tests {
    use super::super::normalise::words;
    use super::*;

    fn key(raw: &str) -> Option<String> {
        let w = words(raw);
        number(&w, skeleton::orthography_named("en")).map(|z| z.to_string())
    }

    #[test]
    fn a_series_in_two_scripts() {
        assert_eq!(key("І-ВА №449579"), key("I-VA 449579"));
        assert_eq!(key("І-ГЖ №779461"), key("I-HZH 779461"));
        assert_eq!(key("І-ЯП №246168"), key("I-YAP 246168"));
        assert_ne!(key("І-ВА №449579"), key("І-ВА №449578"));
        assert_eq!(key("5"), None);
    }
}
