//! The child's record, and how a member's own register becomes records.
//!
//! A [`Record`] is what a member knows of one child: names, dates, places, parents, documents, and
//! how the record may be used ([`Protection`], [`Consent`]). It never leaves its member whole.
//! What a peer is told goes through [`FIELDS`], which names each field as the register's columns,
//! the disclosure requests and the policies name it, and says of what class it is.
//!
//! Registers come from many countries and many hands, so reading them is most of the work here:
//!
//! * [`PartialDate`] reads a date in the forms that people write, keeps how much of it is known,
//!   and refuses what no calendar has.
//! * [`import`] reads CSV, JSON Lines and PFIF as a stream, in bounded memory, and says of each row
//!   that it cannot take where and why, without repeating what the row says of a child.
//!
//! Records are sealed by [`vault`](crate::vault) before they are stored:
//! [`Record::to_plaintext`] gives the bytes for that.

mod code;
mod date;
mod field;
pub mod import;
mod month_names;
mod plaintext;
mod record;

pub use code::{CodeError, Consent, Protection, Sex, StatusCode};
pub use date::{DateError, DateOrder, OrderShown, PartialDate};
pub use field::{Column, FIELDS, Field, FieldClass};
pub use plaintext::PlaintextError;
pub use record::{FamilyRef, ReadingRules, Record, RecordRef, RefError, SexCode, ValueError};
