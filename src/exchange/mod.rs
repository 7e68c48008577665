//! The acts between parties: evaluate, look up, disclose. Each act's server side and client side
//! stand together, because what one signs the other checks.
//!
//! Every query takes the same road. [`message`] opens it: the party behind the connection must be
//! the party that signed, the message must be for this node, fresh, and whole. The act then
//! decides, and commits one leaf through the ledger; the answer is built inside that commit, so
//! no answer exists whose act is not durable. Asking the same again gives the stored answer;
//! asking something else under the same message id is refused.

pub mod acting;
pub mod ask;
pub mod calls;
mod convert;
pub mod disclose;
pub mod enrol;
pub mod epochs;
pub mod evaluate;
pub mod freshness;
pub mod hearsay;
mod house_rules;
pub mod leaf;
pub mod link;
pub mod log_files;
pub mod lookup;
pub mod message;
mod party;
pub mod peers;
pub mod policy;
pub mod promises;
pub mod quota;
mod refusal;
pub mod rosters;
pub mod service;
pub mod unusual;

pub use convert::{legal_basis_from, legal_basis_to, purpose_from, purpose_to};
pub use house_rules::{HouseRules, HouseRulesError, Refused, Thresholds};
pub use party::{Keyholding, OwnUse, Party, PartyParts, checked_key};
pub use peers::{PeerError, Peers};
pub use refusal::{DOMAIN, Refusal, RemoteRefusal};
