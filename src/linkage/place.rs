//! Places: the settlement alone, in whatever language it is written.
//!
//! Registers write "Київ", "м. Київ, Україна", "г. Киев, Киевская область" and "Kyiv". What counts is
//! the settlement's skeleton; generic words go, a country alone is as good as nothing, and the table
//! `data/places.tsv` joins names that changed (Bakhmut, Artemivsk).

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::normalise::{Word, words};
use super::skeleton::{self, Orthographies, rows_of};

struct Places {
    generic: HashSet<String>,
    countries: HashSet<String>,
    aliases: HashMap<String, String>,
    /// Settlements that are common enough to be guessed.
    towns: HashSet<String>,
}

static PLACES: LazyLock<Places> = LazyLock::new(|| {
    let mut out = Places {
        generic: HashSet::new(),
        countries: HashSet::new(),
        aliases: HashMap::new(),
        towns: HashSet::new(),
    };
    for line in rows_of(include_str!("data/places.tsv")) {
        let mut cells = line.split('\t');
        let (Some(kind), Some(form)) = (cells.next(), cells.next()) else {
            continue;
        };
        match kind {
            "generic" => {
                out.generic
                    .extend(words(form).iter().map(|w| w.text.to_string()));
            }
            "country" => {
                out.countries
                    .insert(bones(&words(form), skeleton::orthography_named("en")));
            }
            "town" => {
                out.towns
                    .insert(bones(&words(form), skeleton::orthography_named("en")));
            }
            _ => {
                let Some(to) = cells.next() else { continue };
                let en = skeleton::orthography_named("en");
                out.aliases
                    .insert(bones(&words(form), en), bones(&words(to), en));
            }
        }
    }
    out
});

/// The key value of a place, absent for a country or for nothing.
#[must_use]
pub fn settlement(place: &[Word], spelling: Orthographies) -> Option<Zeroizing<String>> {
    let places = &*PLACES;
    let meaningful = |w: &&Word| !places.generic.contains(&*w.text);
    let mut start = 0;
    while start < place.len() {
        let len = 1 + place[start + 1..]
            .iter()
            .take_while(|w| !w.after_break)
            .count();
        let part: Vec<Word> = place[start..start + len]
            .iter()
            .filter(meaningful)
            .cloned()
            .collect();
        let key = Zeroizing::new(bones(&part, spelling));
        if !key.is_empty() && !places.countries.contains(&*key) {
            return Some(match places.aliases.get(&*key) {
                Some(known) => Zeroizing::new(known.clone()),
                None => key,
            });
        }
        start += len;
    }
    None
}

/// The numbers of an address, house and postal code, which a misspelt street leaves alone. Absent
/// unless there are two of them with five digits or more in all.
#[must_use]
pub fn address_numbers(address: &[Word]) -> Option<Zeroizing<String>> {
    let mut out = Zeroizing::new(String::new());
    let mut digits = 0;
    let mut numbers = 0;
    for word in address
        .iter()
        .filter(|w| w.text.chars().all(|c| c.is_ascii_digit()))
    {
        digits += word.text.len();
        numbers += 1;
        out.push('-');
        out.push_str(&word.text);
    }
    (numbers >= 2 && digits >= 5).then_some(out)
}

/// Whether a key value is a settlement that the table lists: the rest are rarer and harder to guess.
#[must_use]
pub fn listed(key: &str) -> bool {
    PLACES.towns.contains(key)
}

fn bones(part: &[Word], spelling: Orthographies) -> String {
    let mut out = String::new();
    for word in part {
        out.push_str(&skeleton::skeleton(&skeleton::codes(&word.text, spelling)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(raw: &str) -> Option<String> {
        let w = words(raw);
        let o = skeleton::orthography(w.iter());
        settlement(&w, o).map(|z| z.to_string())
    }

    #[test]
    fn one_town_in_many_registers() {
        for raw in [
            "м. Харків",
            "г. Харьков, Украина",
            "Kharkiv",
            "Kharkov, Ukraine",
            "ХАРКІВ",
        ] {
            assert_eq!(key(raw), key("Харків"), "{raw}");
        }
        assert_eq!(key("Дніпропетровськ"), key("Dnipro"));
        assert_ne!(key("Суми"), key("Київ"));
    }

    #[test]
    fn a_country_is_nothing() {
        for raw in ["Україна", "UKRAINE", "Украина", ""] {
            assert_eq!(key(raw), None, "{raw}");
        }
    }
}
