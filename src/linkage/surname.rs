//! Family names: the parts of double names, the forms that two registers still share after a slip,
//! and telling a family name from a given one when the two were entered in each other's place.

use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::given::{Found, Known};
use super::normalise::{Word, words};
use super::skeleton::{self, Orthographies, rows_of};

/// One part of a family name.
pub struct Part {
    /// Its skeleton.
    pub bones: Zeroizing<String>,
    /// The skeleton with the classes of the first vowels.
    pub sounds: Zeroizing<String>,
}

/// The parts of a family name, in order; particles and stray letters are joined to the part that
/// follows. Hyphen, space and nothing between the parts read the same.
#[must_use]
pub fn parts(words: &[Word], spelling: Orthographies) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    let mut held = Zeroizing::new(String::new());
    for (n, word) in words.iter().enumerate() {
        held.push_str(&skeleton::codes(&word.text, spelling));
        let short = word.text.chars().count() <= 2;
        if short && n + 1 < words.len() {
            continue;
        }
        let bones = stem(skeleton::skeleton(&held));
        if short && let Some(last) = out.last_mut() {
            last.bones.push_str(&bones);
            last.sounds.push_str(&bones);
        } else if !bones.is_empty() {
            let sounds = Zeroizing::new(format!("{}{}", &*bones, &*first_vowels(&held)));
            out.push(Part { bones, sounds });
        }
        held.clear();
    }
    out
}

/// The classes of the first two vowels, a final one left out because it shows the gender.
fn first_vowels(codes: &str) -> Zeroizing<String> {
    let loose = skeleton::loose(codes);
    let inner = loose.trim_end_matches(['a', 'o', 'u', 'i']);
    // The glide of Яценко is written in every way and lost in some.
    let inner = match inner.strip_prefix('i') {
        Some(rest) if rest.starts_with(['a', 'o', 'u']) => rest,
        _ => inner,
    };
    Zeroizing::new(
        inner
            .chars()
            .filter(char::is_ascii_lowercase)
            .take(2)
            .collect(),
    )
}

/// Family names made of a given name follow it into the other language: Пилипенко, Филиппенко.
fn stem(bones: Zeroizing<String>) -> Zeroizing<String> {
    for (from, to) in STEMS.iter() {
        if let Some(rest) = bones.strip_prefix(from.as_str()) {
            return Zeroizing::new(format!("{to}{rest}"));
        }
    }
    bones
}

static STEMS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let bones = |word: &str| {
        let spelling = skeleton::orthography_named("en");
        words(word)
            .first()
            .map(|w| skeleton::skeleton(&skeleton::codes(&w.text, spelling)))
    };
    rows_of(include_str!("data/surname_stems.tsv"))
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(from, to)| Some((bones(from)?.to_string(), bones(to)?.to_string())))
        .collect()
});

/// The first two sounds of a skeleton: what survives a slip further on. Absent from one of fewer.
#[must_use]
pub fn head(bones: &str) -> Option<Zeroizing<String>> {
    let end = bones
        .char_indices()
        .nth(2)
        .map_or(bones.len(), |(at, _)| at);
    (bones.chars().count() >= 2).then(|| Zeroizing::new(bones[..end].to_owned()))
}

/// In which order a record's two names stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// As their fields say.
    Straight,
    /// In each other's field.
    Swapped,
    /// It cannot be told.
    Unclear,
}

/// Tells the order of a record's names: the one field holds what is better known as a given name
/// than what the other holds. `slavic` says that something else in the record, a patronymic or the
/// script, shows that an unknown word is more likely a family name than a foreign given name.
#[must_use]
pub fn order(
    family: (&Word, &Found<'_>),
    given: (&Word, &Found<'_>),
    spelling: Orthographies,
    slavic: bool,
) -> Order {
    let known = (family.1.known(), given.1.known());
    let f_ends = like_a_surname(family.0, spelling);
    let g_ends = like_a_surname(given.0, spelling);
    match known {
        (Known::Common | Known::Rare, Known::No | Known::Misspelt) if slavic || g_ends => {
            Order::Swapped
        }
        (Known::Common, Known::No) => Order::Swapped,
        (Known::Common | Known::Rare, Known::Rare) if g_ends && !f_ends => Order::Swapped,
        // Given names of other languages are family names too: Thomas, Martin, George.
        (Known::Abroad, Known::No | Known::Misspelt) if g_ends => Order::Swapped,
        // A misspelt given name is told from a family name by the ending of the other field.
        (Known::Misspelt, Known::No) if g_ends && !f_ends => Order::Swapped,
        (Known::No | Known::Misspelt, Known::Common | Known::Rare) if slavic || f_ends => {
            Order::Straight
        }
        (Known::No | Known::Misspelt, Known::Common) => Order::Straight,
        (_, Known::Abroad | Known::Misspelt) if f_ends => Order::Straight,
        _ if slavic => Order::Straight,
        _ => Order::Unclear,
    }
}

/// Endings of East Slavic family names, as loose codes.
const ENDINGS: [&str; 14] = [
    "iNKo", "iNK", "SuK", "uK", "SKi", "SKa", "SKaa", "oV", "iV", "oVa", "iVa", "iS", "KiN", "iLo",
];

/// Those of them that names of other languages hardly have.
const OWN_ENDINGS: [&str; 8] = ["iNKo", "iNK", "SuK", "SKi", "SKa", "SKaa", "oVa", "iVa"];

/// Whether a word ends as East Slavic family names alone do.
#[must_use]
pub fn surely_a_surname(word: &Word, spelling: Orthographies) -> bool {
    ends(word, spelling, &OWN_ENDINGS)
}

/// Whether a word ends as East Slavic family names do.
#[must_use]
pub fn like_a_surname(word: &Word, spelling: Orthographies) -> bool {
    ends(word, spelling, &ENDINGS)
}

fn ends(word: &Word, spelling: Orthographies, endings: &[&str]) -> bool {
    let loose = skeleton::loose(&skeleton::codes(&word.text, spelling));
    endings
        .iter()
        .any(|e| loose.len() > e.len() + 1 && loose.ends_with(e))
}

#[cfg(test)]
mod tests {
    use super::super::given;
    use super::*;

    fn of(raw: &str) -> Vec<String> {
        let w = words(raw);
        let o = skeleton::orthography(w.iter());
        parts(&w, o).iter().map(|p| p.bones.to_string()).collect()
    }

    #[test]
    fn double_names_in_parts() {
        assert_eq!(of("Клименко-Іванова"), of("Klymenko Ivanov"));
        assert_eq!(of("Клименко-Іванова").len(), 2);
        assert_eq!(of("de Groot").len(), 1);
        assert_eq!(of("elk i").len(), 1);
        assert!(of("").is_empty() && of("'").is_empty());
    }

    #[test]
    fn halves() {
        assert_eq!(head("XRSNK").as_deref().map(String::as_str), Some("XR"));
        assert!(head("X").is_none());
    }

    #[test]
    fn family_and_given_in_each_others_place() {
        let of = |f: &str, g: &str| {
            let (f, g) = (words(f), words(g));
            let o = skeleton::orthography(f.iter().chain(&g));
            let look_up = |w: &Word| given::table().look_up(&w.text, o);
            order((&f[0], &look_up(&f[0])), (&g[0], &look_up(&g[0])), o, false)
        };
        assert_eq!(of("Олександр", "Хоменко"), Order::Swapped);
        assert_eq!(of("Oleksandr", "Khomenko"), Order::Swapped);
        assert_eq!(of("Хоменко", "Олександр"), Order::Straight);
        assert_eq!(of("Qwrtz", "Zxcvb"), Order::Unclear);
    }
}
