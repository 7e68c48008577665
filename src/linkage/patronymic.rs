//! Patronymics to the father's given name: Миколайович, Николаевич, Mykolaiovych and Nikolayevich all
//! mean a father named Микола.

use std::collections::HashMap;
use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::given;
use super::normalise::words;
use super::skeleton::{self, Orthographies, rows_of};

/// Endings of the skeleton, son's and daughter's, longest first: -ович/-евич, -івна/-овна/-евна,
/// -инична, -ична, -ич.
const ENDINGS: [&str; 5] = ["NSN", "VS", "VN", "SN", "S"];

/// Skeletons of the patronymics that the rules would read wrongly, with the father's class.
static IRREGULAR: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let mut out = HashMap::new();
    for line in rows_of(include_str!("data/patronymics.tsv")) {
        let cells: Vec<&'static str> = line.split('\t').collect();
        let [class, _, _, son, daughter, ..] = cells[..] else {
            continue;
        };
        for form in [son, daughter] {
            if let Some(word) = words(form).first() {
                out.entry(plain(&word.text).to_string()).or_insert(class);
            }
        }
    }
    out
});

/// The key value of a patronymic: the father's class, or the stem's skeleton for a name not in the
/// table. Absent where nothing is left of the word.
#[must_use]
pub fn father(word: &str, spelling: Orthographies) -> Option<Zeroizing<String>> {
    let bones = skeleton::skeleton(&skeleton::codes(word, spelling));
    if bones.is_empty() {
        return None;
    }
    let table = given::table();
    for ending in ENDINGS {
        if let Some(stem) = bones.strip_suffix(ending)
            && let Some(id) = table.father(stem)
        {
            return Some(Zeroizing::new(id.to_owned()));
        }
    }
    if let Some(class) = IRREGULAR.get(bones.as_str()) {
        return Some(Zeroizing::new((*class).to_owned()));
    }
    let stem = ENDINGS
        .iter()
        .find_map(|e| bones.strip_suffix(e))
        .unwrap_or(&bones);
    Some(Zeroizing::new(format!("~{stem}")))
}

/// Whether a word has the form of an East Slavic patronymic, in Cyrillic or romanised.
#[must_use]
pub fn looks_like_one(word: &str, spelling: Orthographies) -> bool {
    let loose = skeleton::loose(&skeleton::codes(word, spelling));
    const SON: [&str; 3] = ["oViS", "iViS", "LiS"];
    const DAUGHTER: [&str; 6] = ["oVNa", "iVNa", "iSNa", "uVNa", "aVNa", "oVN"];
    loose.len() > 6
        && (SON.iter().any(|e| loose.ends_with(e)) || DAUGHTER.iter().any(|e| loose.ends_with(e)))
}

fn plain(word: &str) -> Zeroizing<String> {
    skeleton::skeleton(&skeleton::codes(word, skeleton::orthography_named("en")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> String {
        let w = words(raw);
        let o = skeleton::orthography(w.iter());
        father(&w[0].text, o)
            .map(|z| z.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn sons_and_daughters_have_one_father() {
        for all in [
            &[
                "Олександрович",
                "Олександрівна",
                "Александровна",
                "Oleksandrovych",
            ][..],
            &[
                "Миколайович",
                "Миколаївна",
                "Николаевич",
                "Nikolayevna",
                "Mykołajowycz",
            ],
            &[
                "Дмитрович",
                "Дмитрівна",
                "Дмитриевич",
                "Dmitriewitsch",
                "Dmytrovytch",
            ],
            &["Іванович", "Ивановна", "Ivanivna", "Iwanowna"],
        ] {
            for form in all {
                assert_eq!(of(form), of(all[0]), "{form}");
            }
        }
        assert_ne!(of("Іванович"), of("Павлович"));
    }

    #[test]
    fn known_by_its_form() {
        let w = words("Dmytrovych Бондаренко Ілліч Андреевна");
        let o = skeleton::orthography(w.iter());
        let seen: Vec<bool> = w.iter().map(|w| looks_like_one(&w.text, o)).collect();
        assert_eq!(seen, [true, false, false, true]);
    }
}
