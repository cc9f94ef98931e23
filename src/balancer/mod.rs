//! The balancer in front of the fleet: what is known of each and a writer of its configuration, in one file; `read`, its readers; `run`, what
//! starts a real one; `fallback`, a small one that is built in.
//!
//! What a balancer does not support is an error that names the nearest thing, never left out in silence.

mod caddy;
mod compose;
mod containers;
mod envoy;
pub(crate) mod expected;
mod fallback;
mod haproxy;
mod kubernetes;
mod limits;
mod lines;
mod list;
pub(crate) mod nginx;
mod options;
mod own;
pub(crate) mod path;
mod product;
pub(crate) mod read;
pub(crate) mod recognise;
pub(crate) mod run;
mod topic;
mod traefik;
mod written;

pub(crate) use containers::{Containers, DnsLabel, FleetToken, Image};
pub(crate) use list::Balancer;
pub(crate) use options::{BalancerVersion, For, Listen, Options};
pub(crate) use product::{CertificateStore, Program};
pub(crate) use run::Scratch;
pub(crate) use topic::HintTopic;
pub(crate) use written::WrittenConfig;

#[cfg(test)]
mod tests;
