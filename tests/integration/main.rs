//! All integration tests in one binary, so that the project is linked once.

mod architecture;
mod audit;
mod coalition;
mod disclosure;
mod exchange;
mod forge;
mod gate;
mod quota;
mod store;
