//! Fuzzing in the process, on stable: everything that reads what others wrote.
//!
//! Each target is a pure function of octets. Its corpus is the files in `tests/corpus/TARGET/`;
//! these are run first, then mutations of them, from a fixed seed, until the time is up. An input
//! that makes the target answer in a way not met before is kept and mutated further, which takes
//! the place of coverage. Held of every input: no panic, the same answer twice, and an answer
//! within [`engine::LIMIT_MS`]; that the work itself is bounded by the readers' own limits is held
//! by the tests named `bounded`.
//!
//! ```text
//! WAYHOME_FUZZ_SECONDS=600 WAYHOME_FUZZ_SEED=7 cargo test --test integration fuzz::
//! ```
//!
//! An input that fails is shortened and written to the folder that the failure names; it belongs
//! into the corpus with the mending of what it found.

mod bundles;
mod engine;
mod linkage;
mod protocol;
mod records;
