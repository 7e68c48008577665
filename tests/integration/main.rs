//! All integration tests in one binary, so that the project is linked once.

mod architecture;
mod audit;
mod cli;
mod coalition;
mod demo;
mod disclosure;
mod durability;
mod exchange;
mod forge;
mod fuzz;
mod gate;
mod import;
mod log_files;
mod membership;
mod oracle;
mod process;
mod quota;
mod review;
mod roster_attacks;
mod rotation;
mod store;
mod sweep;
mod tamper;
mod tls;
mod traces;
