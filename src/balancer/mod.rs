//! The balancer in front of the fleet: PURE writers of its configuration, the launcher of a real one, and one that is built in.

pub mod builtin;
pub mod guard;
pub mod launch;
pub mod nginx;
