//! One part of the filter: the tokens that begin with one octet, as a binary fuse filter
//! (Graefe and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters", 2022).

use std::io::{self, Read, Write};

use xorf::{BinaryFuse16, Descriptor, Filter as _};

use crate::store::TOKEN;

/// Which tokens of one part there may be.
pub(super) enum Shard {
    /// None at all.
    Empty,
    /// Any: what stands in for a part that could not be built.
    Any,
    /// Those whose fingerprint fits, of so many.
    Fuse {
        /// The filter.
        fuse: BinaryFuse16,
        /// How many tokens it was built of.
        tokens: u32,
    },
}

/// The kinds of part, as a file has them.
const EMPTY: u8 = 0;
const ANY: u8 = 1;
const FUSE: u8 = 2;

/// What a token is to the filter. Tokens are the output of a pseudorandom function: any eight of
/// their octets are as good as a hash. The first tells the part, so the last ones are taken.
pub(in crate::store) fn key(token: &[u8; TOKEN]) -> u64 {
    let mut key = [0; 8];
    key.copy_from_slice(&token[TOKEN - 8..]);
    u64::from_be_bytes(key)
}

impl Shard {
    /// Builds a part of the keys of its tokens, in any order and as often as they come.
    pub(super) fn build(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Self::Empty;
        }
        // Fails only for equal keys, and there are none; if it did, every lookup would go to the
        // database, and none would be answered wrongly.
        match BinaryFuse16::try_from(&keys) {
            Ok(fuse) => Self::Fuse {
                fuse,
                tokens: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            },
            Err(why) => {
                tracing::error!(why, "a part of the index filter could not be built");
                Self::Any
            }
        }
    }

    /// Whether there may be a token with this key. `false` is certain.
    pub(super) fn may_hold(&self, key: u64) -> bool {
        match self {
            Self::Empty => false,
            Self::Any => true,
            Self::Fuse { fuse, .. } => fuse.contains(&key),
        }
    }

    /// How many tokens it was built of.
    pub(super) fn tokens(&self) -> u64 {
        match self {
            Self::Empty | Self::Any => 0,
            Self::Fuse { tokens, .. } => u64::from(*tokens),
        }
    }

    /// Octets that its fingerprints take.
    pub(super) fn octets(&self) -> u64 {
        match self {
            Self::Empty | Self::Any => 0,
            Self::Fuse { fuse, .. } => 2 * fuse.fingerprints.len() as u64,
        }
    }

    /// Writes it: its kind and, of a filter, how many tokens it is of, its four parameters, the
    /// number of its fingerprints and the fingerprints, all little-endian.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (fuse, tokens) = match self {
            Self::Empty => return to.write_all(&[EMPTY]),
            Self::Any => return to.write_all(&[ANY]),
            Self::Fuse { fuse, tokens } => (fuse, *tokens),
        };
        to.write_all(&[FUSE])?;
        to.write_all(&tokens.to_le_bytes())?;
        to.write_all(&fuse.descriptor.seed.to_le_bytes())?;
        to.write_all(&fuse.descriptor.segment_length.to_le_bytes())?;
        to.write_all(&fuse.descriptor.segment_count_length.to_le_bytes())?;
        to.write_all(&(fuse.fingerprints.len() as u32).to_le_bytes())?;
        let mut octets = Vec::with_capacity(2 * BLOCK);
        for block in fuse.fingerprints.chunks(BLOCK) {
            octets.clear();
            octets.extend(block.iter().flat_map(|print| print.to_le_bytes()));
            to.write_all(&octets)?;
        }
        Ok(())
    }

    /// Reads what [`Shard::write`] wrote. `most` is how many octets its fingerprints take at most.
    pub(super) fn read(from: &mut impl Read, most: u64) -> io::Result<Self> {
        let [kind] = array(from)?;
        match kind {
            EMPTY => return Ok(Self::Empty),
            ANY => return Ok(Self::Any),
            FUSE => {}
            _ => return Err(wrong("a part is of no known kind")),
        }
        let tokens = u32::from_le_bytes(array(from)?);
        let seed = u64::from_le_bytes(array(from)?);
        let segment_length = u32::from_le_bytes(array(from)?);
        let segment_count_length = u32::from_le_bytes(array(from)?);
        let prints = u32::from_le_bytes(array(from)?);
        // Whatever is looked for, its three places lie in three segments one after another, the
        // first of which begins below `segment_count_length`.
        let reach = u64::from(segment_count_length) + 2 * u64::from(segment_length);
        let fits = segment_length.is_power_of_two()
            && segment_count_length.is_multiple_of(segment_length)
            && reach <= u64::from(prints)
            && 2 * u64::from(prints) <= most;
        if !fits {
            return Err(wrong("the sizes of a part contradict each other"));
        }
        let mut fingerprints = Vec::with_capacity(prints as usize);
        let mut octets = vec![0; 2 * BLOCK];
        while fingerprints.len() < prints as usize {
            let count = BLOCK.min(prints as usize - fingerprints.len());
            let block = &mut octets[..2 * count];
            from.read_exact(block)?;
            let (pairs, _) = block.as_chunks::<2>();
            fingerprints.extend(pairs.iter().copied().map(u16::from_le_bytes));
        }
        Ok(Self::Fuse {
            fuse: BinaryFuse16 {
                descriptor: Descriptor {
                    seed,
                    segment_length,
                    segment_length_mask: segment_length - 1,
                    segment_count_length,
                },
                fingerprints: fingerprints.into_boxed_slice(),
            },
            tokens,
        })
    }
}

/// How many fingerprints are read or written at a time.
const BLOCK: usize = 4096;

pub(super) fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_back(shard: &Shard) -> Shard {
        let mut bytes = Vec::new();
        shard.write(&mut bytes).unwrap();
        Shard::read(&mut bytes.as_slice(), bytes.len() as u64).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Few keys as well as many, with equal ones among them: none is ever missed, before and
        /// after a way through a file.
        #[test]
        fn what_is_there_is_never_missed(
            keys in proptest::collection::vec(any::<u64>(), 0..700),
            twice in any::<bool>(),
        ) {
            let mut given = keys.clone();
            if twice {
                given.extend(&keys);
            }
            let shard = Shard::build(given);
            let again = read_back(&shard);
            for key in keys {
                prop_assert!(shard.may_hold(key));
                prop_assert!(again.may_hold(key));
            }
        }

        /// No file, however wrong, makes it panic or look beyond its fingerprints.
        #[test]
        fn a_wrong_part_is_refused_or_harmless(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            sizes in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if sizes && bytes.len() > 25 {
                // Sizes that nearly fit.
                bytes[0] = FUSE;
                bytes[13..25].copy_from_slice(&[4, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0, 0]);
            }
            if let Ok(shard) = Shard::read(&mut bytes.as_slice(), bytes.len() as u64) {
                for key in 0..64_u64 {
                    let _ = shard.may_hold(key << 58 | key);
                }
            }
        }
    }

    #[test]
    fn few_others_are_let_through_and_memory_is_as_stated() {
        // Distinct by construction: a product by an odd number is a permutation.
        let of = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let shard = Shard::build((0..60_000).map(of).collect());
        let through = (60_000..260_000).filter(|n| shard.may_hold(of(*n))).count();
        // 2^-16 of 200,000 is 3; 30 would be a fault, not chance.
        assert!(through < 30, "{through}");
        assert_eq!(shard.tokens(), 60_000);
        let bits = 8.0 * shard.octets() as f64 / 60_000.0;
        assert!(bits < 20.0, "{bits} bits a token");
        assert_eq!(read_back(&shard).octets(), shard.octets());
    }
}
