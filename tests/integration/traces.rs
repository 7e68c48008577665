//! Looking for traces of personal data in bytes: many values at once, in every encoding that a
//! program might write them in, and in the streams of an HTTP/2 connection.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shortest pattern that is looked for, in octets.
///
/// What is searched is mostly sealed, that is random: some 2^28 octets, for some 2^18 patterns. A
/// pattern of 7 octets is met by chance once in 2^(56 - 28 - 18) = 1,000 runs if all patterns are so
/// short; nearly all are longer.
pub const MIN_OCTETS: usize = 7;

/// Shortest pattern that is made of letters, digits and `+/-_` alone. Such a one is also met by
/// chance in text that is base64 (keys, hashes, signatures: below 2^25 octets of all), where an octet
/// has 6 bits; few patterns are so short, say 2^11: 2^(48 - 25 - 11) = 4,000 runs.
pub const MIN_TEXT: usize = 8;

/// Shortest pattern of hexadecimal digits alone, which have 4 bits in text that is hexadecimal.
pub const MIN_HEX: usize = 14;

/// In which form a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Utf8,
    Utf16Le,
    Utf16Be,
    Base64,
    Hex,
}

/// All forms.
pub const FORMS: [Form; 5] = [
    Form::Utf8,
    Form::Utf16Le,
    Form::Utf16Be,
    Form::Base64,
    Form::Hex,
];

impl Form {
    /// The value in this form: the patterns that must stand in any text that holds it.
    pub fn patterns(self, value: &str) -> Vec<Vec<u8>> {
        let utf16 =
            |octets: fn(u16) -> [u8; 2]| vec![value.encode_utf16().flat_map(octets).collect()];
        match self {
            Self::Utf8 => vec![value.as_bytes().to_vec()],
            Self::Utf16Le => utf16(u16::to_le_bytes),
            Self::Utf16Be => utf16(u16::to_be_bytes),
            Self::Base64 => base64_patterns(value.as_bytes()),
            Self::Hex => vec![
                hex::encode(value).into_bytes(),
                hex::encode_upper(value).into_bytes(),
            ],
        }
    }
}

/// The base64 digits that a value has wherever it stands in what is encoded: at each of the three
/// alignments those that no neighbour changes, in both alphabets.
fn base64_patterns(value: &[u8]) -> Vec<Vec<u8>> {
    let mut patterns = Vec::new();
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(value);
        // Digits whose six bits lie within the value.
        let first = (8 * before).div_ceil(6);
        let last = 8 * padded.len() / 6;
        for engine in [&STANDARD, &URL_SAFE] {
            patterns.push(engine.encode(&padded).as_bytes()[first..last].to_vec());
        }
    }
    patterns.sort();
    patterns.dedup();
    patterns
}

/// Whether a pattern is long enough not to be met by chance.
pub fn is_significant(pattern: &[u8]) -> bool {
    let all = |test: fn(&u8) -> bool| pattern.iter().all(test);
    if all(u8::is_ascii_hexdigit) {
        pattern.len() >= MIN_HEX
    } else if all(|octet| octet.is_ascii_alphanumeric() || b"+/-_".contains(octet)) {
        pattern.len() >= MIN_TEXT
    } else {
        pattern.len() >= MIN_OCTETS
    }
}

/// Many values, ready to be looked for.
pub struct Finder {
    patterns: Vec<(Vec<u8>, usize, Form)>,
    /// Patterns by their first octets.
    by_head: HashMap<[u8; MIN_OCTETS], Vec<usize>>,
    /// Whether any pattern may begin with four octets of this hash.
    may_begin: Vec<bool>,
    values: usize,
}

const HASH_BITS: u32 = 24;

fn hash(four: u32) -> usize {
    (four.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

impl Finder {
    /// Prepares the search for `values`. Forms that are not significant are left out.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut finder = Self {
            patterns: Vec::new(),
            by_head: HashMap::new(),
            may_begin: vec![false; 1 << HASH_BITS],
            values: 0,
        };
        for value in values {
            for form in FORMS {
                for pattern in form.patterns(value) {
                    finder.add(pattern, form);
                }
            }
            finder.values += 1;
        }
        finder
    }

    fn add(&mut self, pattern: Vec<u8>, form: Form) {
        if !is_significant(&pattern) {
            return;
        }
        let four = u32::from_be_bytes(*pattern.first_chunk().unwrap());
        self.may_begin[hash(four)] = true;
        let head = *pattern.first_chunk().unwrap();
        let number = self.patterns.len();
        self.by_head.entry(head).or_default().push(number);
        self.patterns.push((pattern, self.values, form));
    }

    /// How many patterns are looked for.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Every place where a value stands: the place, the value's number, its form.
    pub fn find(&self, bytes: &[u8]) -> Vec<(usize, usize, Form)> {
        let mut found = Vec::new();
        let mut four = 0;
        let mut end = 0;
        // An index in place of an iterator: this loop runs for every octet, unoptimised.
        while end < bytes.len() {
            four = four << 8 | u32::from(bytes[end]);
            end += 1;
            if end < 4 || !self.may_begin[hash(four)] {
                continue;
            }
            let at = end - 4;
            let Some(numbers) = bytes[at..]
                .first_chunk()
                .and_then(|head| self.by_head.get(head))
            else {
                continue;
            };
            for &number in numbers {
                let (pattern, value, form) = &self.patterns[number];
                if bytes[at..].starts_with(pattern) {
                    found.push((at, *value, *form));
                }
            }
        }
        found
    }
}

/// What the DATA frames of one direction of an HTTP/2 connection carry (RFC 9113), by stream, so
/// that a value which is split over frames stands in one piece.
pub fn data_by_stream(connection: &[u8]) -> BTreeMap<u32, Vec<u8>> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut rest = connection.strip_prefix(preface).unwrap_or(connection);
    let mut streams = BTreeMap::<u32, Vec<u8>>::new();
    while let Some((head, after)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        // A connection that was cut ends within a frame: what came of it counts.
        let payload = &after[..length.min(after.len())];
        rest = &after[payload.len()..];
        const DATA: u8 = 0;
        const PADDED: u8 = 8;
        if kind == DATA {
            let data = match payload.split_first() {
                Some((&padding, data)) if flags & PADDED != 0 => {
                    &data[..data.len().saturating_sub(padding.into())]
                }
                _ => payload,
            };
            streams.entry(stream).or_default().extend_from_slice(data);
        }
    }
    streams
}

/// A DATA frame.
pub fn data_frame(stream: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], 0, 0];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(data);
    frame
}

#[test]
fn a_value_is_found_in_every_form_and_at_every_alignment() {
    let values = ["Ковальчук", "Kowalczuk-Nowak", "2014-05-03"];
    let finder = Finder::new(values);
    let noise: Vec<u8> = (0..64u8).map(|octet| octet.wrapping_mul(37)).collect();
    for (number, value) in values.iter().enumerate() {
        for before in 0..6 {
            let around = |inner: &[u8]| [&noise[..before], inner, &noise[..7]].concat();
            let utf16 = |octets: fn(u16) -> [u8; 2]| {
                value.encode_utf16().flat_map(octets).collect::<Vec<u8>>()
            };
            let written = [
                (around(value.as_bytes()), Form::Utf8),
                (around(&utf16(u16::to_le_bytes)), Form::Utf16Le),
                (around(&utf16(u16::to_be_bytes)), Form::Utf16Be),
                (
                    STANDARD.encode(around(value.as_bytes())).into_bytes(),
                    Form::Base64,
                ),
                (
                    URL_SAFE.encode(around(value.as_bytes())).into_bytes(),
                    Form::Base64,
                ),
                (
                    hex::encode(around(value.as_bytes())).into_bytes(),
                    Form::Hex,
                ),
                (
                    hex::encode_upper(around(value.as_bytes())).into_bytes(),
                    Form::Hex,
                ),
            ];
            for (bytes, form) in written {
                let found = finder.find(&bytes);
                assert!(
                    found
                        .iter()
                        .any(|(_, value, as_form)| (*value, *as_form) == (number, form)),
                    "{value} as {form:?} after {before} octets"
                );
            }
        }
    }
    assert_eq!(finder.find(&noise), []);
    assert_eq!(
        finder.find("Ковальчу Kowalczuk-Nowa 2014-05-0".as_bytes()),
        []
    );
}

#[test]
fn what_is_too_short_to_be_told_from_chance_is_left_out() {
    for (pattern, significant) in [
        (&b"Kowalcz"[..], false),
        (b"Kowalczu", true),
        ("Олі".as_bytes(), false),
        ("Олег".as_bytes(), true),
        (b"d09ed0bbd196", false),
        (b"d09ed0bbd196d0", true),
    ] {
        assert_eq!(is_significant(pattern), significant, "{pattern:?}");
    }
}

#[test]
fn a_value_that_is_split_over_frames_is_put_together() {
    let finder = Finder::new(["Ковальчук"]);
    let (one, two) = "Ковальчук".as_bytes().split_at(7);
    let mut connection = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // A SETTINGS frame, then two streams that take turns; the last frame is padded and cut.
    connection.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    connection.extend(data_frame(1, one));
    connection.extend(data_frame(3, b"something else"));
    connection.extend(data_frame(1, two));
    connection.extend([0, 0, 5, 0, 8, 0, 0, 0, 3, 2, b'x', b'y', 0, 0]);
    connection.extend(&data_frame(5, b"cut short")[..12]);
    assert_eq!(finder.find(&connection), []);
    let streams = data_by_stream(&connection);
    assert_eq!(streams[&1], "Ковальчук".as_bytes());
    assert_eq!(streams[&3], b"something elsexy");
    assert_eq!(streams[&5], b"cut");
    assert_eq!(finder.find(&streams[&1]).len(), 1);
}
