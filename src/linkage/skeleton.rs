//! Words to sound codes that no transliteration convention changes.
//!
//! A word becomes a string of codes by the longest-match table `data/skeleton.tsv`. Three forms are
//! taken from it. The *sounds* keep a vowel class for each run of vowels and serve to look given
//! names up; the *loose* form is the same with e and i as one. The *skeleton* keeps consonant classes and whether the word starts with a vowel:
//! Мельник, Мельник (ru), Melnyk, Mel'nyk, Mielnik and Melʹnik all become `MLNK`, and because vowels
//! and glides go, so do the gendered endings -ський/-ська/-ский/-sky/-cka, -ов/-ова, -ий/-а/-ая.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::normalise::{Script, Word};

/// One bit per orthography of `data/orthographies.tsv`.
pub type Orthographies = u16;

struct Row {
    letters: Vec<char>,
    orthographies: Orthographies,
    codes: &'static str,
}

/// The two committed tables, parsed once.
struct Tables {
    rows: HashMap<char, Vec<Row>>,
    marks: Vec<(usize, &'static str, u32)>,
    orthographies: Vec<&'static str>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut orthographies = vec!["en"];
    let mut marks = Vec::new();
    for line in rows_of(include_str!("data/orthographies.tsv")) {
        let mut cells = line.split('\t');
        let (Some(name), Some(letters), Some(score)) = (cells.next(), cells.next(), cells.next())
        else {
            continue;
        };
        marks.push((
            index_of(&mut orthographies, name),
            letters,
            score.parse().unwrap_or(0),
        ));
    }
    let mut rows: HashMap<char, Vec<Row>> = HashMap::new();
    for line in rows_of(include_str!("data/skeleton.tsv")) {
        let cells: Vec<&'static str> = line.split('\t').collect();
        let [_, names, letters, codes] = cells[..] else {
            continue;
        };
        let mask = match names {
            "*" => Orthographies::MAX,
            list => list
                .split(',')
                .fold(0, |m, n| m | 1 << index_of(&mut orthographies, n)),
        };
        let letters: Vec<char> = letters.chars().collect();
        let Some(&first) = letters.first() else {
            continue;
        };
        rows.entry(first).or_default().push(Row {
            letters,
            orthographies: mask,
            codes,
        });
    }
    for bucket in rows.values_mut() {
        // Longest first; among equals the row for one orthography before the row for all.
        bucket.sort_by_key(|r| (usize::MAX - r.letters.len(), r.orthographies.count_ones()));
    }
    Tables {
        rows,
        marks,
        orthographies,
    }
});

/// Lines of a committed table without comments and blank lines.
pub(super) fn rows_of(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
}

fn index_of(names: &mut Vec<&'static str>, name: &'static str) -> usize {
    names.iter().position(|n| *n == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    })
}

/// Tells in which Latin orthography a record is written, from all its words together. One bit set.
#[must_use]
pub fn orthography<'a>(words: impl Iterator<Item = &'a Word>) -> Orthographies {
    let tables = &*TABLES;
    let mut scores = [0u32; 16];
    for word in words.filter(|w| w.script == Script::Latin) {
        for (which, letters, score) in &tables.marks {
            if let Some(slot) = scores.get_mut(*which)
                && word.text.contains(letters)
            {
                *slot += score;
            }
        }
    }
    let mut best = 0;
    for which in 1..tables.orthographies.len().min(16) {
        if scores[which] >= 2 && scores[which] > scores[best] {
            best = which;
        }
    }
    1 << best
}

/// The orthography of that name, English where the tables have none of that name.
#[must_use]
pub fn orthography_named(name: &str) -> Orthographies {
    1 << TABLES
        .orthographies
        .iter()
        .position(|n| *n == name)
        .unwrap_or(0)
}

/// The reading to try beside an orthography: ch, on which they differ most, as English reads it where
/// the record seems German, Polish or Czech, and as German does where it seems anything else.
#[must_use]
pub fn other_reading(orthography: Orthographies) -> Orthographies {
    let german = ["de", "pl", "cs"]
        .iter()
        .fold(0, |m, n| m | orthography_named(n));
    orthography_named(if orthography & german == 0 {
        "de"
    } else {
        "en"
    })
}

/// The sound codes of a word: consonant classes in upper case, vowel classes in lower case, digits
/// as they are.
#[must_use]
pub fn codes(text: &str, orthography: Orthographies) -> Zeroizing<String> {
    let tables = &*TABLES;
    let letters: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
    let mut out = Zeroizing::new(String::with_capacity(letters.len() + 2));
    let mut at = 0;
    while at < letters.len() {
        let rest = &letters[at..];
        if let Some(row) = match_row(tables, rest, orthography) {
            out.push_str(row.codes.trim_matches('-'));
            at += row.letters.len();
            continue;
        }
        let c = rest[0];
        if c.is_ascii_digit() {
            out.push(c);
        } else {
            for base in c.nfd().take(1) {
                if base != c {
                    match match_row(tables, &[base], orthography) {
                        Some(row) => out.push_str(row.codes.trim_matches('-')),
                        None => out.push(base),
                    }
                } else if base.is_alphanumeric() {
                    // A script without rows: the letter stands for itself.
                    out.push(base);
                }
            }
        }
        at += 1;
    }
    out
}

fn match_row<'t>(tables: &'t Tables, rest: &[char], mask: Orthographies) -> Option<&'t Row> {
    let bucket = tables.rows.get(rest.first()?)?;
    bucket
        .iter()
        .find(|r| r.orthographies & mask != 0 && rest.starts_with(&r.letters))
}

/// Consonant classes, doubled ones single, with a leading `A` where the word starts with a vowel.
#[must_use]
pub fn skeleton(codes: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(codes.len()));
    let mut previous = '\0';
    for (n, c) in codes.chars().enumerate() {
        if is_vowel(c) {
            if n == 0 {
                out.push('A');
            }
        } else {
            push_sound(&mut out, previous, c);
        }
        previous = c;
    }
    out
}

/// Consonant classes with one vowel class for each run of vowels. A glide at the very beginning
/// stays before a, o and u, since it is all that tells Яна from Анна.
#[must_use]
pub fn sounds(codes: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(codes.len()));
    let mut previous = '\0';
    for c in codes.chars() {
        if is_vowel(c) && is_vowel(previous) {
            // In a run the last full vowel counts: ія, iya, ia, ja -> a; ou, iou, yu, ю -> u; a
            // glide gives way to any other.
            let last = out.chars().next_back();
            if weight(c) >= last.map_or(0, weight) {
                if &*out != "i" || matches!(c, 'e' | 'i') {
                    out.pop();
                }
                out.push(c);
            }
        } else if is_vowel(c) {
            out.push(c);
        } else {
            push_sound(&mut out, previous, c);
        }
        previous = c;
    }
    out
}

/// [`sounds`] with e and i as one vowel: conventions, and the languages themselves, exchange them.
#[must_use]
pub fn loose(codes: &str) -> Zeroizing<String> {
    Zeroizing::new(sounds(codes).replace('e', "i"))
}

/// How full a vowel is, in a run of them.
fn weight(vowel: char) -> u8 {
    match vowel {
        'i' => 0,
        'e' => 1,
        _ => 2,
    }
}

fn push_sound(out: &mut String, previous: char, c: char) {
    if c == previous {
        return;
    }
    // ц is written ts, tz, c and z; ч is written tch and tsch: the t carries nothing.
    if c == 'S' && previous == 'T' {
        out.pop();
        if out.ends_with(c) {
            return;
        }
    }
    out.push(c);
}

fn is_vowel(c: char) -> bool {
    matches!(c, 'a' | 'o' | 'u' | 'e' | 'i')
}

#[cfg(test)]
mod tests {
    use super::super::normalise::words;
    use super::*;

    fn bones(raw: &str) -> String {
        let w = words(raw);
        let o = orthography(w.iter());
        w.iter()
            .map(|w| skeleton(&codes(&w.text, o)).to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[track_caller]
    fn same(spellings: &[&str]) {
        for s in spellings {
            assert_eq!(bones(s), bones(spellings[0]), "{s} and {}", spellings[0]);
        }
    }

    #[test]
    fn one_surname_in_every_convention() {
        // Ukrainian, Russian, KMU 2010, BGN/PCGN, ISO 9, German, French, Polish, Czech.
        same(&[
            "Шевченко",
            "Шевченко",
            "Shevchenko",
            "Ševčenko",
            "Schewtschenko",
            "Chevtchenko",
            "Szewczenko",
        ]);
        same(&[
            "Кравчук",
            "Kravchuk",
            "Kravčuk",
            "Krawtschuk",
            "Kravtchouk",
            "Krawczuk",
        ]);
        same(&[
            "Щербак",
            "Shcherbak",
            "Ŝerbak",
            "Schtscherbak",
            "Chtcherbak",
            "Szczerbak",
        ]);
        same(&[
            "Яценко",
            "Yatsenko",
            "Iatsenko",
            "Âcenko",
            "Jazenko",
            "Jacenko",
        ]);
        same(&[
            "Мельник",
            "Melnyk",
            "Mel'nyk",
            "Melʹnik",
            "Mielnik",
            "Melnik",
        ]);
    }

    #[test]
    fn gendered_endings_go() {
        same(&[
            "Вишневський",
            "Вишневська",
            "Вишневская",
            "Vyshnevskyi",
            "Wyschnewska",
        ]);
        same(&[
            "Кузнєцов",
            "Кузнєцова",
            "Кузнецова",
            "Kuznetsov",
            "Kusnjezowa",
            "Kuzniecowa",
        ]);
        same(&["Зубрицька", "Зубрицкая", "Zubrytska", "Zubrycka"]);
        same(&["Рудий", "Руда", "Рудая", "Rudyi", "Rudyj"]);
    }

    #[test]
    fn ch_is_read_by_the_orthography_of_the_record() {
        assert_eq!(bones("Chomenko Schewtschenko"), bones("Хоменко Шевченко"));
        assert_eq!(bones("Kharchenko"), bones("Харченко"));
        assert_eq!(bones("Jouravel"), bones("Журавель"));
    }
}
