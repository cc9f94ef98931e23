//! What runs a balancer: where its program is, the folder of its files, its process, and the guard that ends it when we end.

pub(crate) mod guard;
pub(crate) mod installed;
pub(crate) mod launch;
mod scratch;

pub(crate) use scratch::Scratch;
