//! The hash functions of the RFC 6962 Merkle tree.
//!
//! A leaf is hashed with the prefix `0x00` and an inner node with `0x01` (RFC 6962, section
//! 2.1), so that no leaf can ever be passed off as an inner node. A tree of `n` leaves is split
//! at the largest power of two below `n`.

use ring::digest::{Context, SHA256};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The hash of a leaf: `SHA-256(0x00 || data)`.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    sha256(&[&[0x00], data])
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x01], left, right])
}

/// The root of the empty tree: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The root over leaf hashes that are all at hand.
///
/// Works in place on one level after another: an unpaired last node moves up unchanged, which
/// yields the same tree as the recursive split of RFC 6962.
#[must_use]
pub fn root_of(leaf_hashes: impl IntoIterator<Item = Hash>) -> Hash {
    let mut level: Vec<Hash> = leaf_hashes.into_iter().collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                alone => alone[0],
            })
            .collect();
    }
    level.first().copied().unwrap_or_else(empty_root)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1, word for word.
    fn recursive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let mut split = 1;
                while split * 2 < many.len() {
                    split *= 2;
                }
                node_hash(&recursive(&many[..split]), &recursive(&many[split..]))
            }
        }
    }

    #[test]
    fn levels_give_the_tree_of_the_rfc() {
        let leaves: Vec<Hash> = (0..130u32).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        for size in 0..=leaves.len() {
            assert_eq!(
                root_of(leaves[..size].iter().copied()),
                recursive(&leaves[..size])
            );
        }
    }

    #[test]
    fn the_empty_tree_is_the_hash_of_nothing() {
        // The well-known SHA-256 of the empty string (FIPS 180-4 examples).
        assert_eq!(
            hex::encode(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
