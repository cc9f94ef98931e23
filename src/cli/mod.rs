//! A fleet with a balancer in front of it, for as long as a command needs them.

pub(crate) mod demo;
pub(crate) mod stage;
