//! A node's transparency log: an append-only list that nobody can quietly rewrite.
//!
//! Every act of a node is a *leaf* of its log. The leaves are hashed into a Merkle tree
//! (RFC 6962, [`tree`]); the tree's root and size, signed by the node, are a *checkpoint*
//! ([`checkpoint`]). Whoever holds a checkpoint can later demand two kinds of proof
//! ([`proof`]), each a few dozen hashes long whatever the log's size:
//!
//! * *inclusion*: this leaf stands at this place under this checkpoint;
//! * *consistency*: the later checkpoint only appended to the earlier one.
//!
//! A node could still show one history to one reader and another to the next. Against that,
//! *witnesses* ([`witness`]) cosign checkpoints, each only after it has checked that the new one
//! extends the last one it saw: a checkpoint with enough cosignatures has been seen by all. Which
//! keys a reader trusts, and how many cosignatures are enough, is its [`policy`].
//!
//! The formats are those of the C2SP family (`c2sp.org/tlog-checkpoint`, `tlog-tiles`,
//! `tlog-cosignature`, `tlog-witness`, `tlog-proof`), so that the log can be read with other
//! people's tools: tree hashes are served as *tiles* of 256 and leaves as *bundles* of 256
//! ([`tile`]). [`check`] reads a whole log again and names the first place where it does not
//! hold; [`proofbundle`] is the text form of one proof that stands on its own.
//!
//! Nothing here reads or writes storage. Functions say which nodes of the tree they need
//! ([`NodeId`]) and take the hashes afterwards, so that any database, blocking or not, serves.

pub mod check;
pub mod checkpoint;
pub mod policy;
pub mod proof;
pub mod proofbundle;
pub mod tile;
pub mod tree;
pub mod witness;

#[cfg(test)]
mod testing;

pub use check::{CheckError, LogChecker, TileChecker};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, TreeHead, VerifiedCheckpoint};
pub use policy::{AcceptedCheckpoint, LogPolicy};
pub use proof::ProofError;
pub use proofbundle::{LoggedLeaf, ProofBundle, ProofBundleError};
pub use tile::{Tile, TileError, TileKind};
pub use tree::{Frontier, Hash, NodeId, TreeError};
pub use witness::{AddCheckpoint, WatchedLog, Witness, WitnessError};
