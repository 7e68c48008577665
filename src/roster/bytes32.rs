//! Thirty-two bytes written as hexadecimal: digests, public keys, group elements.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Thirty-two public bytes, written as 64 lower-case hexadecimal digits.
///
/// Used for SHA-256 digests, Ed25519 and X25519 public keys and ristretto255 elements. Never for a
/// secret: the type prints itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes32([u8; 32]);

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hexadecimal digits (32 bytes), found {0}")]
pub struct HexError(String);

impl Bytes32 {
    /// Wraps 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits followed by an ellipsis: enough for a person to tell two
    /// keys apart in a sentence, never enough to compare them by.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text.push('…');
        text
    }

    /// SHA-256 of `data`.
    pub fn sha256(data: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, data);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl From<[u8; 32]> for Bytes32 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Bytes32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Bytes32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Bytes32 {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(HexError(format!("{} characters", text.chars().count())));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(HexError("another character among them".to_owned())),
            }
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Bytes32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::serde_text::from_text(deserializer)
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc_is_the_published_digest() {
        // FIPS 180-4, example of one block.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Bytes32::sha256(b"abc").to_string(), expected);
        assert_eq!(
            expected.parse::<Bytes32>().unwrap(),
            Bytes32::sha256(b"abc")
        );
        assert_eq!(Bytes32::sha256(b"abc").short(), "ba7816bf…");
    }

    #[test]
    fn other_texts_are_refused() {
        let upper = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        for wrong in [
            "",
            "ba",
            upper,
            &"é".repeat(32),
            &format!("{}g", "0".repeat(63)),
        ] {
            assert!(wrong.parse::<Bytes32>().is_err(), "{wrong}");
        }
    }
}
