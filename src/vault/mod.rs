//! Sealing at rest, and the types that hold personal data.
//!
//! A node's database is worth stealing: it holds children. So nothing personal is stored in the
//! clear. Each record, and each envelope kept as evidence, is *sealed* (AES-256-GCM) under a
//! [`DataKey`] of its own, and that data key is stored *wrapped* (sealed in its turn) by a master
//! key that is not in the database. Someone with the whole database and no master key learns how
//! many rows there are and when they were written.
//!
//! Three consequences carry the design:
//!
//! * **To erase a record is to destroy its data key.** What copies of the sealed bytes lie in old
//!   pages, logs or backups no longer matters.
//! * **A sealed value opens in its own place only.** Table, column and row are part of what the
//!   cipher authenticates ([`Place`]), so a person who can write to the database cannot move one
//!   child's address into another child's row.
//! * **The master key can change.** A [`KeyRing`] seals with its first key and opens with any, so
//!   a rotation is an added line, followed by re-wrapping at leisure. [`KeyWrapper`] is the seam
//!   at which a KMS or an HSM takes the ring's part.
//! * **A backup forgets.** Between master key and data keys stand wrapping keys ([`WrappingRing`]),
//!   which are in no backup of the database and are destroyed in their time: what was erased by
//!   then opens from no backup.
//!
//! In memory, personal data lives in [`Personal`], which cannot be printed, logged or serialised
//! by accident and is wiped when dropped.
//!
//! ```
//! use wayhome::vault::{DataKey, KeyRing, KeyWrapper, Place};
//! # use rand_core::{CryptoRng, RngCore};
//! # struct Fixed(u64);
//! # impl RngCore for Fixed {
//! #     fn next_u32(&mut self) -> u32 { self.next_u64() as u32 }
//! #     fn next_u64(&mut self) -> u64 { self.0 += 1; self.0 }
//! #     fn fill_bytes(&mut self, out: &mut [u8]) {
//! #         rand_core::impls::fill_bytes_via_next(self, out)
//! #     }
//! #     fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
//! #         self.fill_bytes(out); Ok(()) }
//! # }
//! # impl CryptoRng for Fixed {}
//! # let mut rng = Fixed(0);
//! let ring = KeyRing::generate(&mut rng);
//! let data_key = DataKey::generate(&mut rng);
//!
//! let wrapped = ring.wrap(&data_key, Place::new("record", "data_key", b"17"), &mut rng)?;
//! let sealed = data_key.seal(Place::new("record", "body", b"17"), b"a child", &mut rng);
//!
//! let data_key = ring.unwrap(&wrapped, Place::new("record", "data_key", b"17"))?;
//! assert_eq!(*data_key.open(Place::new("record", "body", b"17"), &sealed)?, b"a child");
//! assert!(data_key.open(Place::new("record", "body", b"18"), &sealed).is_err());
//! # Ok::<(), wayhome::vault::VaultError>(())
//! ```

mod error;
mod keyfile;
mod keyring;
mod moving;
mod personal;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod seal;
mod wrapping;

pub use error::VaultError;
pub use keyfile::{
    create_file, create_secret, load_credential, load_file, load_secret, load_secret_credential,
    save_file, save_secret,
};
pub use keyring::{KeyId, KeyRing, KeyWrapper, WRAPPED_KEY_BYTES};
pub use moving::Moving;
pub use personal::{Personal, PersonalText};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pkcs11Keys, TokenKeys};
pub use seal::{DATA_KEY_BYTES, DataKey, Place, SEAL_OVERHEAD};
pub use wrapping::{VaultKeys, WrappingKey, WrappingRing};
