//! The fuzzer: a corpus, mutations, and the properties that every input must have.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use wayhome::ambient::Ambient;

/// Seconds for each target where the environment does not say otherwise.
const SECONDS: f64 = 1.0;

/// Inputs that are tried at least, however slow the machine: so much is the same everywhere.
const LEAST_INPUTS: usize = 100;

/// Longest input, in octets. Long enough to meet every limit of the readers but the row's.
const LONGEST: usize = 96 * 1024;

/// Longest time for one input, in milliseconds: far above what any takes on a loaded machine, and
/// far below what work that grows faster than the input would take.
pub const LIMIT_MS: u64 = 10_000;

/// Most inputs that are kept for mutation, and the longest of them: what is long is slow to try, and
/// short inputs grow long again.
const KEPT: usize = 2_000;
const LONGEST_KEPT: usize = 4 * 1024;

/// What a target notes of its answer.
#[derive(Default)]
pub struct Answer {
    shape: DefaultHasher,
    whole: DefaultHasher,
}

impl Answer {
    /// Notes what kind of answer it is: another kind makes the input worth keeping.
    pub fn kind(&mut self, kind: impl Hash) {
        kind.hash(&mut self.shape);
        kind.hash(&mut self.whole);
    }

    /// Notes a value: the same input must give it again.
    pub fn value(&mut self, value: impl Hash) {
        value.hash(&mut self.whole);
    }

    /// Notes whether a reading went well, and which error it met: the letters of its text, since
    /// numbers in it are positions.
    pub fn result<T, E: std::fmt::Display>(&mut self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.kind(true),
            Err(error) => {
                let text = error.to_string();
                let letters = text.chars().filter(|c| c.is_alphabetic()).take(60);
                self.kind(letters.collect::<String>());
                self.value(text);
            }
        }
    }
}

/// What is fuzzed.
pub struct Target {
    /// Its name, and its corpus' folder.
    pub name: &'static str,
    /// Reads an input, and notes what came of it.
    pub run: fn(&[u8], &mut Answer),
    /// Pieces that its inputs are made of.
    pub pieces: &'static [&'static str],
}

impl Target {
    /// Runs the target for its time.
    pub fn fuzz(&self) {
        let seconds = setting("WAYHOME_FUZZ_SECONDS").unwrap_or(SECONDS);
        let seed = setting("WAYHOME_FUZZ_SEED").unwrap_or(1.0) as u64;
        let ambient = Ambient::system();
        let end = ambient.now_ms() + (seconds * 1000.0) as u64;
        let mut corpus = self.corpus();
        let mut seen = HashSet::new();
        for input in &corpus {
            seen.insert(self.check(&ambient, input));
        }
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for name in self.name.bytes() {
            random.0 = random.0.wrapping_mul(31).wrapping_add(name.into());
        }
        let mut inputs = 0;
        while inputs < LEAST_INPUTS || ambient.now_ms() < end {
            inputs += 1;
            let input = self.mutated(&corpus, &mut random);
            let new = seen.insert(self.check(&ambient, &input));
            if new && corpus.len() < KEPT && input.len() <= LONGEST_KEPT {
                corpus.push(input);
            }
        }
        println!(
            "{}: {inputs} inputs, {} kinds of answer",
            self.name,
            seen.len()
        );
    }

    /// The files of the corpus, in the order of their names.
    fn corpus(&self) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/corpus")
            .join(self.name);
        let files = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} is empty", folder.display());
        paths
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect()
    }

    /// Holds the properties of one input; the kind of its answer.
    fn check(&self, ambient: &Ambient, input: &[u8]) -> u64 {
        let start = ambient.now_ms();
        let first = self.answer(input);
        let took = ambient.now_ms() - start;
        let second = self.answer(input);
        match (first, second) {
            (Some(first), Some(second)) if took <= LIMIT_MS => {
                assert!(
                    first == second,
                    "{}: two answers to one input: {}",
                    self.name,
                    self.keep(input)
                );
                first.0
            }
            (Some(_), Some(_)) => panic!(
                "{}: {took} ms for {} octets: {}",
                self.name,
                input.len(),
                self.keep(input)
            ),
            _ => panic!(
                "{}: a panic: {}",
                self.name,
                self.keep(&self.shorter(input))
            ),
        }
    }

    /// Kind and value of the answer; nothing where it panicked.
    fn answer(&self, input: &[u8]) -> Option<(u64, u64)> {
        let mut answer = Answer::default();
        catch_unwind(AssertUnwindSafe(|| (self.run)(input, &mut answer))).ok()?;
        Some((answer.shape.finish(), answer.whole.finish()))
    }

    /// A shorter input that panics, too.
    fn shorter(&self, input: &[u8]) -> Vec<u8> {
        let mut input = input.to_vec();
        let mut part = input.len() / 2;
        while part > 0 {
            let mut at = 0;
            while at < input.len() {
                let mut without = input.clone();
                without.drain(at..(at + part).min(input.len()));
                if self.answer(&without).is_none() {
                    input = without;
                } else {
                    at += part;
                }
            }
            part /= 2;
        }
        input
    }

    /// Writes a failing input down; where.
    fn keep(&self, input: &[u8]) -> String {
        let mut hash = DefaultHasher::new();
        input.hash(&mut hash);
        let path =
            std::env::temp_dir().join(format!("wayhome-fuzz-{}-{:016x}", self.name, hash.finish()));
        match std::fs::write(&path, input) {
            Ok(()) => path.display().to_string(),
            Err(error) => format!("{error}; in hexadecimal: {}", hex::encode(input)),
        }
    }

    fn mutated(&self, corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            self.mutate(&mut input, corpus, random);
        }
        input.truncate(LONGEST);
        input
    }

    fn mutate(&self, input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
        let at = random.below(input.len() + 1);
        let end = at + random.below(input.len() - at + 1);
        match random.below(10) {
            0 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] ^= 1 << random.below(8);
            }
            1 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] = random.next() as u8;
            }
            2 => drop(input.drain(at..end)),
            3 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
            5 => {
                let other = &corpus[random.below(corpus.len())];
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            6 | 7 => {
                let all = self.pieces.len() + ODDITIES.len();
                let which = random.below(all);
                let piece = self
                    .pieces
                    .get(which)
                    .unwrap_or_else(|| &ODDITIES[which - self.pieces.len()]);
                input.splice(at..at, piece.bytes());
            }
            8 => {
                // Any character at all.
                let code = random.next() as u32 % 0x11_0000;
                let text = char::from_u32(code).unwrap_or('\u{fffd}').to_string();
                input.splice(at..at, text.bytes());
            }
            _ => {
                // The same again and again, now and then very often.
                let most = if random.below(8) == 0 { 12 } else { 6 };
                let times = 1 << random.below(most);
                let part: Vec<u8> = input[at..end.min(at + 64)].to_vec();
                if !part.is_empty() {
                    let times = times.min(LONGEST / part.len());
                    input.splice(at..at, part.repeat(times));
                }
            }
        }
    }
}

/// What readers of text stumble over.
const ODDITIES: &[&str] = &[
    "\0",
    "\u{feff}",
    "\u{202e}",
    "\u{0301}",
    "\u{0345}\u{0345}\u{0345}",
    "\u{fdfa}",
    "İ",
    "ẞ",
    "ﬃ",
    "ａ１",
    "Ⅷ",
    "٢٠١٤",
    "𝔄",
    "👩‍👩‍👧‍👦",
    "ь'",
    "і",
    "-",
    "--",
    "\"",
    "\r\n",
    "\t",
    ";",
    ",",
    "00",
    "99999999999999999999",
    "-1",
    "1e999",
];

fn setting(name: &str) -> Option<f64> {
    let text = std::env::var(name).ok()?;
    let value = text.parse().ok().filter(|value: &f64| *value >= 0.0);
    Some(value.unwrap_or_else(|| panic!("{name} is a number, not {text:?}")))
}

/// A small generator: the runs must be the same everywhere, not unforeseeable.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `bound`, which is above 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[test]
fn a_panic_is_found_shortened_and_kept() {
    let target = Target {
        name: "dates",
        run: |input, _| assert!(!input.windows(2).any(|pair| pair == b"13"), "found"),
        pieces: &["1", "3"],
    };
    let failure = catch_unwind(|| target.fuzz()).unwrap_err();
    let message = failure.downcast_ref::<String>().unwrap();
    let path = message.rsplit(": ").next().unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"13", "{message}");
    std::fs::remove_file(path).unwrap();
}
