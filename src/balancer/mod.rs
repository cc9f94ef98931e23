//! PURE. Configuration for the balancer in front of the fleet, written from its topology. It starts nothing.

pub mod nginx;
