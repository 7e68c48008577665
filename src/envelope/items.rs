//! Itemised commitments: many items under one signature, each of which can be erased alone.
//!
//! A signed payload about several children does not hold their items; it holds an
//! [`ItemsCommitment`]: how many items there are, and the RFC 6962 Merkle root over them. The
//! items travel and are stored beside it. When one has to be erased, its leaf hash stays
//! ([`ItemEvidence::Erased`]) and the evidence about the others still verifies.
//!
//! Every item begins with 16 random bytes of salt of its own. Without the salt, somebody who
//! holds the remaining hash could guess what was erased ("was it this child?") and check the
//! guess; the salt is erased with the item.
//!
//! The count is part of the commitment because it fixes the shape of the tree. Were only the
//! root compared, the hash of an inner node could be passed off as one erased item, and two
//! items would vanish behind it.

use zeroize::Zeroizing;

use super::merkle::{Hash, leaf_hash, root_of};

/// The length of an item's salt in bytes.
pub const SALT_LEN: usize = 16;

/// The largest number of items under one commitment.
pub const MAX_ITEMS: usize = 65_536;

/// What a signed payload says about its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemsCommitment {
    /// How many items there are.
    pub count: u32,
    /// The Merkle root over them, in order.
    pub root: Hash,
}

impl ItemsCommitment {
    /// Commits to salted items.
    pub fn to(items: &[impl AsRef<[u8]>]) -> Result<Self, ItemsError> {
        if let Some(position) = items.iter().position(|item| item.as_ref().len() < SALT_LEN) {
            return Err(ItemsError::Unsalted { position });
        }
        Ok(Self {
            count: checked_count(items.len())?,
            root: items_root(items),
        })
    }

    /// Checks items, some of them erased, against this commitment.
    pub fn check(&self, evidence: &[ItemEvidence]) -> Result<(), ItemsError> {
        let found = checked_count(evidence.len())?;
        if found != self.count {
            return Err(ItemsError::Count {
                expected: self.count,
                found,
            });
        }
        if evidence_root(evidence) != self.root {
            return Err(ItemsError::Root);
        }
        Ok(())
    }
}

/// One item as it is kept: whole, or erased to its leaf hash.
///
/// Items may hold personal data: no `Debug`, and whole items are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub enum ItemEvidence {
    /// The salted item.
    Full(Zeroizing<Vec<u8>>),
    /// The leaf hash of an item that was erased.
    Erased(Hash),
}

impl ItemEvidence {
    /// A whole item.
    #[must_use]
    pub fn full(item: Vec<u8>) -> Self {
        Self::Full(Zeroizing::new(item))
    }

    /// The same item, erased.
    #[must_use]
    pub fn erased(&self) -> Self {
        Self::Erased(self.leaf_hash())
    }

    /// The item's hash in the Merkle tree.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        match self {
            Self::Full(item) => leaf_hash(item),
            Self::Erased(hash) => *hash,
        }
    }
}

/// An item in the form that is committed to: the salt, then the body.
#[must_use]
pub fn salted_item(salt: [u8; SALT_LEN], body: &[u8]) -> Vec<u8> {
    // Grown once: a reallocation would leave a copy of personal data behind in freed memory.
    let mut item = Vec::with_capacity(SALT_LEN + body.len());
    item.extend_from_slice(&salt);
    item.extend_from_slice(body);
    item
}

/// Takes an item apart into salt and body.
pub fn split_item(item: &[u8]) -> Result<(&[u8; SALT_LEN], &[u8]), ItemsError> {
    item.split_first_chunk()
        .ok_or(ItemsError::TooShort { found: item.len() })
}

/// The Merkle root over whole items.
#[must_use]
pub fn items_root(items: &[impl AsRef<[u8]>]) -> Hash {
    root_of(items.iter().map(|item| leaf_hash(item.as_ref())))
}

/// The Merkle root over items of which some are erased. Check evidence with
/// [`ItemsCommitment::check`], which also holds the count.
#[must_use]
pub fn evidence_root(evidence: &[ItemEvidence]) -> Hash {
    root_of(evidence.iter().map(ItemEvidence::leaf_hash))
}

/// Why items do not fit their commitment. Nothing of an item is repeated here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemsError {
    /// Above [`MAX_ITEMS`].
    #[error("{found} items are too many for one commitment; split the message at {MAX_ITEMS}")]
    TooMany {
        /// How many items there are.
        found: usize,
    },
    /// An item to be committed to has no room for a salt.
    #[error("item {position} has no salt of {SALT_LEN} bytes; build it with `salted_item`")]
    Unsalted {
        /// Its position, from 0.
        position: usize,
    },
    /// An item is shorter than its salt.
    #[error("an item of {found} bytes is shorter than its salt of {SALT_LEN}: it was cut off")]
    TooShort {
        /// Its length in bytes.
        found: usize,
    },
    /// Another number of items than was signed.
    #[error("{found} items are at hand, but {expected} were signed: some were dropped or added")]
    Count {
        /// How many were signed.
        expected: u32,
        /// How many there are.
        found: u32,
    },
    /// The items are not those that were signed.
    #[error("the items do not hash to the signed root: at least one was altered or reordered")]
    Root,
}

fn checked_count(count: usize) -> Result<u32, ItemsError> {
    u32::try_from(count)
        .ok()
        .filter(|_| count <= MAX_ITEMS)
        .ok_or(ItemsError::TooMany { found: count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::merkle::node_hash;
    use proptest::prelude::*;

    fn items(count: u8) -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| salted_item([n; SALT_LEN], &[n, n]))
            .collect()
    }

    fn whole(items: &[Vec<u8>]) -> Vec<ItemEvidence> {
        items.iter().cloned().map(ItemEvidence::full).collect()
    }

    #[test]
    fn salt_and_body_come_back() {
        let item = salted_item([7; SALT_LEN], b"body");
        assert_eq!(split_item(&item), Ok((&[7; SALT_LEN], b"body".as_slice())));
        assert_eq!(
            split_item(&item[..15]),
            Err(ItemsError::TooShort { found: 15 })
        );
    }

    #[test]
    fn an_inner_node_is_not_taken_for_an_erased_item() {
        let items = items(4);
        let commitment = ItemsCommitment::to(&items).unwrap();
        let hashes: Vec<Hash> = items.iter().map(|item| leaf_hash(item)).collect();
        let folded = [
            ItemEvidence::Erased(node_hash(&hashes[0], &hashes[1])),
            ItemEvidence::Erased(node_hash(&hashes[2], &hashes[3])),
        ];
        assert_eq!(
            evidence_root(&folded),
            commitment.root,
            "the root alone is fooled"
        );
        assert_eq!(
            commitment.check(&folded),
            Err(ItemsError::Count {
                expected: 4,
                found: 2
            })
        );
    }

    #[test]
    fn items_without_salt_are_refused() {
        assert_eq!(
            ItemsCommitment::to(&[vec![0; 16], vec![0; 15]]),
            Err(ItemsError::Unsalted { position: 1 })
        );
        assert_eq!(
            ItemsCommitment::to(&vec![[0u8; 16]; MAX_ITEMS + 1]),
            Err(ItemsError::TooMany {
                found: MAX_ITEMS + 1
            })
        );
    }

    proptest! {
        #[test]
        fn any_items_may_be_erased(count in 0..40u8, erased in proptest::collection::vec(any::<bool>(), 40)) {
            let items = items(count);
            let commitment = ItemsCommitment::to(&items).unwrap();
            let mut evidence = whole(&items);
            for (item, erase) in evidence.iter_mut().zip(erased) {
                if erase {
                    *item = item.erased();
                }
            }
            prop_assert_eq!(commitment.check(&evidence), Ok(()));
        }

        #[test]
        fn any_change_is_noticed(count in 2..40u8, at in any::<proptest::sample::Index>(), byte in any::<proptest::sample::Index>()) {
            let items = items(count);
            let commitment = ItemsCommitment::to(&items).unwrap();
            let at = at.index(items.len());

            let mut altered = items.clone();
            let byte = byte.index(altered[at].len());
            altered[at][byte] ^= 1;
            prop_assert_eq!(commitment.check(&whole(&altered)), Err(ItemsError::Root));

            let mut swapped = items.clone();
            let other = (at + 1) % swapped.len();
            swapped.swap(at, other);
            prop_assert_eq!(commitment.check(&whole(&swapped)), Err(ItemsError::Root));

            let mut dropped = items.clone();
            dropped.remove(at);
            let is_count_error = matches!(commitment.check(&whole(&dropped)), Err(ItemsError::Count { .. }));
            prop_assert!(is_count_error);
        }
    }
}
