//! What tests and benches put the program in front of: balancers whose truth is known.

pub mod passage;
pub mod planted;
pub mod server;
pub mod simulated;
pub mod streams;
