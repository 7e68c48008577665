//! Record linkage on tokens: from a child's attributes to linkage keys, and from the keys that two
//! records share to a decision.
//!
//! Registers of different states write one child differently: in another script, by another
//! transliteration convention, under a diminutive, with a digit of the birth date wrong, with a new
//! surname. Comparing such records is easy with both in view and hard here, because the holder sees
//! only pseudorandom tokens: two values are equal or they are not. So everything that would be a
//! similarity elsewhere is made an equality here, in three steps.
//!
//! 1. [`normalise`] and [`skeleton`] take each name to a form that no convention changes;
//!    [`given`] and [`patronymic`] take given names to equivalence classes and mend slips in them;
//!    [`date`], [`place`], [`surname`] and [`document`] do the like for theirs. The result is a
//!    record's [`features::Features`].
//! 2. [`rules`] combines several of them into each linkage key, so that no key is guessable from one
//!    attribute ([`entropy`]), by a table that is data. Some rules leave a part of the date or of the
//!    name out, so that a slip there leaves other keys intact.
//! 3. [`decide`] reads the pattern of rules that agreed as statements about the attributes, and
//!    weighs them by a model whose probabilities are data too, learnt by [`fit`]. [`siblings`] weighs
//!    a family's dates together.
//!
//! The tables lie in `data/`: rules and probabilities, given names, patronymics, letters and
//! orthographies, places, beginnings of surnames, and the statistics that entropy is reckoned on.
//!
//! The module is pure: no clock, no randomness, no input or output.

pub mod attributes;
mod comparisons;
pub mod date;
pub mod decide;
pub mod document;
pub mod entropy;
pub mod explain;
pub mod features;
pub mod fit;
pub mod given;
mod model;
pub mod normalise;
pub mod patronymic;
pub mod place;
pub mod rules;
pub mod siblings;
pub mod skeleton;
pub mod surname;
mod typo;

pub use attributes::{Attributes, Date, Field, PRESENCE_BITS, Presence, Sex};
pub use decide::{AttributeClass, Decision, Grade, Thresholds};
pub use explain::{Explanation, Finding};
pub use rules::{
    Derived, FLOOR_BITS, Ingredient, LinkageKey, MAX_SLOTS, Rule, RuleId, RuleSet, RuleTable,
    RuleTableError,
};
pub use siblings::GroupEvidence;

#[cfg(test)]
mod tests;
