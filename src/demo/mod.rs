//! A whole coalition on one machine: four members, three of four keyholders, an ombudsman, each a
//! real process of this binary with its own directory, database, keys and port.
//!
//! The demo uses only what an operator has: the commands, the shipped registers, and a temporary
//! directory. It knows which records belong together (the generator's truth) to draw a case and to
//! say afterwards whether the answer was right; the nodes do not.

mod case;
mod coalition;
mod postgres;
mod process;
mod registers;
mod stories;

pub use coalition::{Coalition, ConsoleAt, Newcomer};
pub use postgres::PostgresServer;
pub use process::{DemoError, Wayhome};
pub use registers::MEMBERS;
pub use stories::{Database, Options, Story, tell};
