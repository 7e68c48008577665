//! Slips of the pen: the forms of a table that lie one or two slips from a word.
//!
//! Ways to bear a slip in a family name inside the tokens, measured on 810 pairs of the development
//! sets whose skeletons differ by slips (part found, keys spent a rule):
//!
//! | way | found | keys |
//! | --- | --- | --- |
//! | deletion neighbourhood, one sound left out | 0.78 | 4.7 |
//! | MinHash over pairs of sounds, 4 bands of 1 | 0.78 | 4 |
//! | MinHash, 4 bands of 2 | 0.59 | 4 |
//! | first three sounds; last three | 0.39 | 2 |
//! | first two sounds; first and last | 0.80 | 2 |
//! | the same and the last two | 0.81 | 3 |
//!
//! The first two sounds are what the rules use ([`super::surname::head`]), beside given name and date,
//! which leave the floor room for so coarse a value; for plain Latin records also the first letters.
//!
//! For given names the table of classes is itself a dictionary, so a misspelt one is mended before
//! any key is made, by the deletion neighbourhood of this module over the table, at no key at all.

/// Forms by what is left of them with up to two codes taken out: two strings at most two slips apart
/// share such a rest, so the forms near a word are found by a few look-ups.
#[derive(Default)]
pub(super) struct Neighbours {
    forms: Vec<String>,
    /// Hash of a rest and index of its form, sorted.
    rests: Vec<(u32, u32)>,
}

/// Shortest loose form in which one slip is repaired: shorter ones have too many neighbours.
const ONE_SLIP_FROM: usize = 4;
/// Shortest loose form in which two slips are repaired.
const TWO_SLIPS_FROM: usize = 5;
/// Longest loose form that is repaired, which bounds the work.
const REPAIR_TO: usize = 16;

impl Neighbours {
    pub(super) fn of(mut forms: Vec<String>) -> Self {
        forms.retain(|f| f.is_ascii() && (ONE_SLIP_FROM..=REPAIR_TO).contains(&f.len()));
        forms.sort();
        let mut rests = Vec::new();
        for (n, form) in forms.iter().enumerate() {
            let n = u32::try_from(n).unwrap_or(u32::MAX);
            each_rest(form.as_bytes(), |hash| rests.push((hash, n)));
        }
        rests.sort_unstable();
        rests.dedup();
        Self { forms, rests }
    }

    /// Forms one or two slips away, with the number of slips.
    pub(super) fn near(&self, word: &str) -> Vec<(&str, usize)> {
        if !word.is_ascii() || !(ONE_SLIP_FROM..=REPAIR_TO).contains(&word.len()) {
            return Vec::new();
        }
        let mut found: Vec<u32> = Vec::new();
        each_rest(word.as_bytes(), |hash| {
            let start = self.rests.partition_point(|r| r.0 < hash);
            found.extend(
                self.rests[start..]
                    .iter()
                    .take_while(|r| r.0 == hash)
                    .map(|r| r.1),
            );
        });
        found.sort_unstable();
        found.dedup();
        let most = if word.len() < TWO_SLIPS_FROM { 1 } else { 2 };
        let forms = found.iter().map(|n| self.forms[*n as usize].as_str());
        forms
            .map(|f| (f, slips(f.as_bytes(), word.as_bytes())))
            .filter(|(_, s)| (1..=most).contains(s))
            .collect()
    }
}

/// Hashes of a string with none, one and two of its bytes taken out.
fn each_rest(text: &[u8], mut visit: impl FnMut(u32)) {
    let n = text.len();
    // An index of n takes nothing out.
    for i in 0..=n {
        for j in i..=n {
            if i == j && i < n {
                continue;
            }
            let kept = text
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != i && *at != j);
            // FNV-1a.
            visit(kept.fold(0x811c_9dc5, |h: u32, (_, b)| {
                (h ^ u32::from(*b)).wrapping_mul(0x0100_0193)
            }));
        }
    }
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one string into the other
/// (optimal string alignment distance), for strings of at most [`REPAIR_TO`] bytes.
fn slips(a: &[u8], b: &[u8]) -> usize {
    const ROW: usize = REPAIR_TO + 1;
    let (a, b) = (&a[..a.len().min(REPAIR_TO)], &b[..b.len().min(REPAIR_TO)]);
    let mut before = [0; ROW];
    let mut last: [usize; ROW] = std::array::from_fn(|j| j);
    for (i, x) in a.iter().enumerate() {
        let mut row = [i + 1; ROW];
        for (j, y) in b.iter().enumerate() {
            row[j + 1] = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_slips() {
        for (a, b, n) in [
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "acb", 1),
            ("abc", "abcd", 1),
            ("", "a", 1),
            ("abcd", "badc", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(slips(a.as_bytes(), b.as_bytes()), n);
            assert_eq!(slips(b.as_bytes(), a.as_bytes()), n);
        }
    }

    #[test]
    fn neighbours_are_complete_up_to_two_slips() {
        let all: Vec<String> = ["MaKSiM", "MaKSiMiLaN", "MaRiNa", "MaRaNa", "oKSaNa"]
            .iter()
            .map(|s| (*s).to_owned())
            .collect();
        let near = Neighbours::of(all.clone());
        for word in ["MaKSiN", "MaSKiM", "MKSM", "MaRaNaK", "oSaNa", "RaMiNa"] {
            let mut found: Vec<&str> = near.near(word).iter().map(|f| f.0).collect();
            found.sort_unstable();
            let most = if word.len() < TWO_SLIPS_FROM { 1 } else { 2 };
            let mut want: Vec<&str> = all
                .iter()
                .filter(|f| (1..=most).contains(&slips(f.as_bytes(), word.as_bytes())))
                .map(String::as_str)
                .collect();
            want.sort_unstable();
            assert_eq!(found, want, "{word}");
        }
    }
}
