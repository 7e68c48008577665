//! HMAC-SHA512 (RFC 2104) and the expansion half of HKDF (RFC 5869) over it.
//!
//! Why not a crate: a key state that is zeroized on drop and reused for many short messages is
//! what lookups live on, and the general crates offer one or the other. The compression function
//! is that of `sha2`; only padding and keying are done here, and held to RFC 4231's vectors.

use rand_core::{CryptoRng, RngCore};
use sha2::compress512;
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK: usize = 128;

/// A key absorbed once, for any number of messages.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct HmacKey {
    inner: [u64; 8],
    outer: [u64; 8],
}

impl HmacKey {
    /// Absorbs a key of up to one block. (Longer ones would have to be hashed first; none exist.)
    pub(super) fn new<const N: usize>(key: &[u8; N]) -> Self {
        const { assert!(N <= BLOCK) };
        Self {
            inner: absorb(key, 0x36),
            outer: absorb(key, 0x5c),
        }
    }

    /// HMAC over the concatenation of `parts`.
    pub(super) fn tag(&self, parts: &[&[u8]]) -> [u8; 64] {
        let mut inner = self.inner;
        let mut digest = finish(&mut inner, parts);
        let mut outer = self.outer;
        let tag = finish(&mut outer, &[&digest]);
        inner.zeroize();
        outer.zeroize();
        digest.zeroize();
        tag
    }

    /// HKDF-Expand with this key as PRK, for up to 64 bytes: one block, so the counter is 1.
    pub(super) fn expand(&self, info: &[&[u8]]) -> [u8; 64] {
        let mut parts = [&[][..]; 8];
        debug_assert!(info.len() < parts.len());
        let mut count = 0;
        for (slot, part) in parts.iter_mut().zip(info) {
            *slot = part;
            count += 1;
        }
        parts[count] = &[1];
        self.tag(&parts[..=count])
    }
}

/// A deterministic generator: HMAC in counter mode under a seed.
///
/// Lets a step that draws randomness be run again from 32 stored bytes and give the same outcome.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct SeedRng {
    key: HmacKey,
    #[zeroize(skip)]
    label: &'static str,
    counter: u64,
    block: [u8; 64],
    used: usize,
}

impl SeedRng {
    pub(super) fn new(seed: &[u8; 32], label: &'static str) -> Self {
        Self {
            key: HmacKey::new(seed),
            label,
            counter: 0,
            block: [0; 64],
            used: 64,
        }
    }
}

impl RngCore for SeedRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                let counter = self.counter.to_be_bytes();
                self.block = self.key.tag(&[self.label.as_bytes(), &counter]);
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

// The output is that of a pseudorandom function under a secret seed.
impl CryptoRng for SeedRng {}

/// SHA-512's initial state (FIPS 180-4, section 5.3.5).
const INITIAL: [u64; 8] = [
    0x6a09e667f3bcc908,
    0xbb67ae8584caa73b,
    0x3c6ef372fe94f82b,
    0xa54ff53a5f1d36f1,
    0x510e527fade682d1,
    0x9b05688c2b3e6c1f,
    0x1f83d9abfb41bd6b,
    0x5be0cd19137e2179,
];

fn absorb(key: &[u8], pad: u8) -> [u64; 8] {
    let mut block = [pad; BLOCK];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    let mut state = INITIAL;
    compress(&mut state, &block);
    block.zeroize();
    state
}

/// Hashes `parts` after the one block that `state` has already absorbed, and pads.
fn finish(state: &mut [u64; 8], parts: &[&[u8]]) -> [u8; 64] {
    let mut block = [0u8; BLOCK];
    let mut filled = 0;
    let mut total = BLOCK as u128;
    for part in parts {
        total += part.len() as u128;
        let mut rest = *part;
        while !rest.is_empty() {
            let (taken, left) = rest.split_at(rest.len().min(BLOCK - filled));
            block[filled..filled + taken.len()].copy_from_slice(taken);
            filled += taken.len();
            rest = left;
            if filled == BLOCK {
                compress(state, &block);
                filled = 0;
            }
        }
    }
    block[filled] = 0x80;
    block[filled + 1..].fill(0);
    if filled + 1 > BLOCK - 16 {
        compress(state, &block);
        block.fill(0);
    }
    block[BLOCK - 16..].copy_from_slice(&(total * 8).to_be_bytes());
    compress(state, &block);
    block.zeroize();
    let mut digest = [0u8; 64];
    for (bytes, word) in digest.chunks_exact_mut(8).zip(state.iter()) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn compress(state: &mut [u64; 8], block: &[u8; BLOCK]) {
    compress512(state, core::slice::from_ref(block.into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha512};

    /// RFC 4231, test cases 1 and 2.
    #[test]
    fn published_vectors() {
        assert_eq!(
            hex::encode(HmacKey::new(&[0x0b; 20]).tag(&[b"Hi ", b"There"])),
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"
        );
        assert_eq!(
            hex::encode(HmacKey::new(b"Jefe").tag(&[b"what do ya want for nothing?"])),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
    }

    /// Every length around the padding's borders, against HMAC written out over `sha2`.
    #[test]
    fn every_message_length_is_padded_rightly() {
        let key = [0x42; 64];
        let message: Vec<u8> = (0..400).map(|i| (i % 251) as u8).collect();
        for length in 0..message.len() {
            let pad = |byte: u8| {
                let mut block = [byte; BLOCK];
                block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
                block
            };
            let inner = Sha512::new()
                .chain_update(pad(0x36))
                .chain_update(&message[..length])
                .finalize();
            let outer = Sha512::new()
                .chain_update(pad(0x5c))
                .chain_update(inner)
                .finalize();
            let (a, b) = message[..length].split_at(length / 2);
            assert_eq!(
                HmacKey::new(&key).tag(&[a, b])[..],
                outer[..],
                "length {length}"
            );
        }
    }

    #[test]
    fn the_seeded_generator_repeats_itself_and_only_itself() {
        let draw = |seed: u8, label| {
            let mut rng = SeedRng::new(&[seed; 32], label);
            let mut out = vec![0; 200];
            let (a, b) = out.split_at_mut(7);
            rng.fill_bytes(a);
            rng.fill_bytes(b);
            out
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a")[..64], draw(1, "a")[64..128]);
    }
}
